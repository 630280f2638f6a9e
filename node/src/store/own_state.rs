//! State among one's own devices: read marks and drafts (`lanai_crdt::payload::OwnState` says how they
//! merge).
//!
//! 1. Folding puts the own member's states aside (`specials`), since only the device's secret opens them:
//!    [`Store::take_own_states`] does, merges them in, and forgets them. Those of other members are
//!    folded into nothing.
//! 2. [`Store::tell_own_devices`] writes what changed here since the last one, if the member has another
//!    device: not for every read, since every entry stays with everybody. When a device was added, all
//!    that is known is told again, of read marks the newest.
//! 3. What was read elsewhere and is not here yet waits in `reads_ahead`.
//! 4. `drafts` has the texts that were told, each with the entry that told it; `draft_files` what the
//!    draft's file said when the two last agreed. The file is the writer's: where it says something else, it
//!    stays, and what came is put beside it.

use std::collections::{BTreeMap, BTreeSet};

use lanai_crdt::id::{DeviceId, EntryId, MemberId};
use lanai_crdt::limits::{MAX_OWN_DRAFTS, MAX_OWN_READS, MAX_OWN_STATE_BYTES};
use lanai_crdt::payload::{Body, Kind, OwnChanges, OwnDraft, OwnState, ShortId, short_id};
use lanai_crdt::roster::Roster;
use lanai_crdt::seal::{CryptoRng, SealingPublic};
use rusqlite::Connection;

use super::append::NewEntry;
use super::fold::load_specials;
use super::read::own_number;
use super::rows::{self, N, entry_id, meta};
use super::write::Ctx;
use super::{Author, Durability, Store, StoreError};

/// Milliseconds between two states of one device, but for what is asked for at once.
const PAUSE_MS: u64 = 15 * 60 * 1000;
/// Entries that are written at once for what was read; the rest, the oldest, is not told.
const MAX_READ_ENTRIES: usize = 8;
/// Bytes that a draft takes beside its key and text.
const DRAFT_OVERHEAD_BYTES: usize = 33 * 34;

/// The tables of this module. reads.told: an own-state entry for all present devices has it.
/// drafts.state: 0 came and is not in a file yet, 1 was put into one or came from one, 2 replaced.
pub(super) const MIGRATION: &str = r"
ALTER TABLE reads ADD COLUMN told INTEGER NOT NULL DEFAULT 0;
CREATE INDEX reads_untold ON reads (n) WHERE told = 0;
CREATE TABLE reads_ahead (id BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE drafts (
    key TEXT NOT NULL, entry BLOB NOT NULL, text TEXT, state INTEGER NOT NULL,
    PRIMARY KEY (key, entry)
) WITHOUT ROWID;
CREATE TABLE draft_files (key TEXT PRIMARY KEY, text TEXT NOT NULL) WITHOUT ROWID;
";

/// A draft as the devices of a member have it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SharedDraft {
    /// What it is for, as part of a file's name.
    pub key: String,
    /// What its file said when it last agreed with the others; none without one.
    pub filed: Option<String>,
    /// The present texts, each once, in the same order on every device; several where devices
    /// disagree, none where it was published or thrown away.
    pub texts: Vec<String>,
    /// Those of them that came since.
    pub new: BTreeSet<String>,
    /// Whether it came to an end elsewhere, or a text of it came.
    pub changed: bool,
}

/// The member's devices that state is sealed to: not those on paper.
fn own_devices(
    conn: &Connection,
    roster: &Roster,
    me: &MemberId,
) -> Result<BTreeMap<DeviceId, SealingPublic>, StoreError> {
    let papers = papers(conn)?;
    let devices = roster.member(me).map(|m| m.devices.as_slice()).unwrap_or_default();
    Ok(devices
        .iter()
        .filter(|d| !d.paper && !papers.contains(&d.device))
        .filter_map(|d| Some((d.device, SealingPublic::checked(&d.sealing).ok()?)))
        .collect())
}

fn papers(conn: &Connection) -> Result<BTreeSet<DeviceId>, StoreError> {
    let papers = rows::get_meta(conn, meta::PAPERS)?.unwrap_or_default();
    Ok(papers.chunks_exact(32).filter_map(DeviceId::from_slice).collect())
}

/// Loads the drafts that were told and are not replaced.
fn shared_drafts(conn: &Connection) -> Result<BTreeMap<String, SharedDraft>, StoreError> {
    let mut drafts: BTreeMap<String, SharedDraft> = BTreeMap::new();
    let of = |key: String| SharedDraft { key, ..SharedDraft::default() };
    let mut statement = conn.prepare_cached(
        "SELECT key, text, state FROM drafts WHERE state < 2 ORDER BY key, entry",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let key: String = row.get(0)?;
        let draft = drafts.entry(key.clone()).or_insert_with(|| of(key));
        let is_new = row.get::<_, i64>(2)? == 0;
        draft.changed |= is_new;
        let Some(text) = row.get::<_, Option<String>>(1)? else { continue };
        if is_new {
            draft.new.insert(text.clone());
        }
        if !draft.texts.contains(&text) {
            draft.texts.push(text);
        }
    }
    let mut statement = conn.prepare_cached("SELECT key, text FROM draft_files")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let key: String = row.get(0)?;
        drafts.entry(key.clone()).or_insert_with(|| of(key)).filed = Some(row.get(1)?);
    }
    Ok(drafts)
}

impl Ctx<'_> {
    /// Marks a post as read that another device of the member read before it came here.
    pub(super) fn read_elsewhere(&self, n: N) -> Result<(), StoreError> {
        self.conn
            .prepare_cached(
                "INSERT OR IGNORE INTO reads (n, told) SELECT e.n, 1 FROM entries e
                 JOIN reads_ahead a ON a.id = substr(e.id, 1, 8) WHERE e.n = ?1",
            )?
            .execute([n])?;
        Ok(())
    }

    /// Whether one's other devices read something that is not here, or was not.
    pub(super) fn something_read_ahead(&self) -> Result<bool, StoreError> {
        Ok(self.conn.prepare_cached("SELECT 1 FROM reads_ahead LIMIT 1")?.exists([])?)
    }

    /// Whether an own-state entry of this member is for this store.
    pub(super) fn is_me(&self, member: &MemberId) -> bool {
        self.roster.roster().standing(&self.own).is_some_and(|own| own.member == *member)
    }

    fn take_own_state(
        &mut self,
        entry: &EntryId,
        changes: &OwnChanges,
        told: bool,
    ) -> Result<(), StoreError> {
        for id in &changes.read {
            self.take_read(id, told)?;
        }
        for draft in &changes.drafts {
            for over in &draft.over {
                self.replace_draft(&draft.key, &EntryId::new(**over))?;
            }
            self.conn
                .prepare_cached(
                    "INSERT OR IGNORE INTO drafts (key, entry, text, state) VALUES (?1, ?2, ?3, 0)",
                )?
                .execute((&draft.key, entry.as_bytes(), &draft.text))?;
        }
        Ok(())
    }

    fn take_read(&self, id: &ShortId, told: bool) -> Result<(), StoreError> {
        let least: &[u8] = &id[..];
        let greatest = [least, &[0xff; 24]].concat();
        let found: Vec<N> = self
            .conn
            .prepare_cached("SELECT n FROM entries WHERE id BETWEEN ?1 AND ?2")?
            .query_map((least, &greatest), |r| r.get(0))?
            .collect::<Result<_, _>>()?;
        if found.is_empty() {
            self.conn
                .prepare_cached("INSERT OR IGNORE INTO reads_ahead (id) VALUES (?1)")?
                .execute([least])?;
        }
        for n in found {
            self.conn
                .prepare_cached(
                    "INSERT INTO reads (n, told) VALUES (?1, ?2)
                     ON CONFLICT (n) DO UPDATE SET told = max(told, excluded.told)",
                )?
                .execute((n, told))?;
            self.conn.prepare_cached("UPDATE posts SET unread = 0 WHERE n = ?1")?.execute([n])?;
        }
        Ok(())
    }

    fn replace_draft(&self, key: &str, entry: &EntryId) -> Result<(), StoreError> {
        self.conn
            .prepare_cached(
                "INSERT INTO drafts (key, entry, text, state) VALUES (?1, ?2, NULL, 2)
                 ON CONFLICT (key, entry) DO UPDATE SET text = NULL, state = 2",
            )?
            .execute((key, entry.as_bytes()))?;
        Ok(())
    }

    /// What is to be told of drafts: where a file no longer says what it said, or devices disagree.
    fn untold_drafts(
        &self,
        files: &BTreeMap<String, String>,
        all: bool,
    ) -> Result<Vec<OwnDraft>, StoreError> {
        let shared = shared_drafts(self.conn)?;
        let keys: BTreeSet<&String> = shared.keys().chain(files.keys()).collect();
        let mut changed = Vec::new();
        for key in keys {
            let text = files.get(key);
            let was = shared.get(key);
            let same = was.and_then(|d| d.filed.as_ref()) == text;
            let settled = was.is_none_or(|d| d.texts.len() < 2) && !(all && text.is_some());
            // What came and is not in a file yet is nobody's wish to have it gone.
            let waits = was.is_some_and(|d| d.changed);
            if waits || same && settled || !OwnDraft::fits(key, text.map_or("", String::as_str)) {
                continue;
            }
            let mut statement = self.conn.prepare_cached(
                "SELECT entry FROM drafts WHERE key = ?1 AND state < 2 ORDER BY entry",
            )?;
            let over: Vec<EntryId> = statement
                .query_map([key], |r| Ok(entry_id(r.get_ref(0)?.as_blob()?)))?
                .collect::<Result<_, _>>()?;
            changed.push(OwnDraft::new(key.clone(), text.cloned(), over));
        }
        Ok(changed)
    }

    /// Posts that were read and that the other devices were not told of, the newest first.
    fn untold_reads(&self) -> Result<Vec<ShortId>, StoreError> {
        let most = i64::try_from(MAX_OWN_READS * MAX_READ_ENTRIES).unwrap_or(i64::MAX);
        let mut statement = self.conn.prepare_cached(
            "SELECT e.id FROM reads r JOIN entries e ON e.n = r.n WHERE r.told = 0
             ORDER BY r.n DESC LIMIT ?1",
        )?;
        let found =
            statement.query_map([most], |r| Ok(short_id(&entry_id(r.get_ref(0)?.as_blob()?))))?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    fn tell_own_devices(
        &mut self,
        author: &Author,
        rng: &mut impl CryptoRng,
        files: Option<&BTreeMap<String, String>>,
        at_once: bool,
    ) -> Result<bool, StoreError> {
        let state = self.roster.clone();
        let Some(me) = state.roster().standing(&self.own).map(|own| own.member) else {
            return Ok(false);
        };
        let devices = own_devices(self.conn, state.roster(), &me)?;
        let known = rows::get_meta(self.conn, meta::OWN_STATE_TO)?.unwrap_or_default();
        let known: BTreeSet<DeviceId> =
            known.chunks_exact(32).filter_map(DeviceId::from_slice).collect();
        // What came from the others is told already, so a first state needs no repetition.
        let grown = !known.is_empty() && devices.keys().any(|d| !known.contains(d));
        let last = rows::get_u64(self.conn, meta::OWN_STATE_AT)?;
        let early = last > 0 && self.now_ms.abs_diff(last) < PAUSE_MS;
        if devices.len() < 2 || early && !grown && !at_once {
            return Ok(false);
        }
        if grown {
            self.conn.execute("UPDATE reads SET told = 0", [])?;
        }
        let drafts = match files {
            Some(files) => self.untold_drafts(files, grown)?,
            None => Vec::new(),
        };
        let changes = in_entries(&self.untold_reads()?, drafts);
        if changes.is_empty() {
            return Ok(false);
        }
        let mut new = Vec::new();
        for changes in &changes {
            let sealed = OwnState::seal(changes, &me, &devices, rng)
                .map_err(|_| StoreError::Internal("own state"))?;
            new.push(NewEntry::new(Body::OwnState(sealed), []));
        }
        let ids = self.append(author, rng, new)?;
        for (id, changes) in ids.iter().zip(&changes) {
            self.take_own_state(id, changes, true)?;
            for draft in &changes.drafts {
                self.draft_filed(&draft.key, draft.text.as_deref())?;
            }
        }
        self.conn.execute("UPDATE reads SET told = 1 WHERE told = 0", [])?;
        let devices: Vec<u8> = devices.keys().flat_map(|d| *d.as_bytes()).collect();
        rows::set_meta(self.conn, meta::OWN_STATE_TO, &devices)?;
        rows::set_meta(self.conn, meta::OWN_STATE_AT, &self.now_ms.to_be_bytes())?;
        Ok(true)
    }

    /// The file of a draft and what was told of it agree.
    fn draft_filed(&self, key: &str, text: Option<&str>) -> Result<(), StoreError> {
        match text {
            Some(text) => self
                .conn
                .prepare_cached("INSERT OR REPLACE INTO draft_files (key, text) VALUES (?1, ?2)")?
                .execute((key, text))?,
            None => self
                .conn
                .prepare_cached("DELETE FROM draft_files WHERE key = ?1")?
                .execute([key])?,
        };
        self.conn
            .prepare_cached(
                "UPDATE drafts SET state = CASE WHEN text IS NULL THEN 2 ELSE 1 END
                 WHERE key = ?1 AND state = 0",
            )?
            .execute([key])?;
        Ok(())
    }
}

/// Divides changes so that each part fits an entry.
fn in_entries(read: &[ShortId], drafts: Vec<OwnDraft>) -> Vec<OwnChanges> {
    let mut all: Vec<OwnChanges> = read
        .chunks(MAX_OWN_READS)
        .map(|read| OwnChanges { read: read.to_vec(), drafts: Vec::new() })
        .collect();
    let mut left = all.last().map_or(0, |c| MAX_OWN_STATE_BYTES - c.read.len() * 9);
    let mut count = 0;
    for draft in drafts {
        let bytes = draft.key.len() + draft.text.as_ref().map_or(0, String::len);
        let bytes = bytes + DRAFT_OVERHEAD_BYTES;
        if bytes > left || count == MAX_OWN_DRAFTS {
            all.push(OwnChanges::default());
            (left, count) = (MAX_OWN_STATE_BYTES, 0);
        }
        left = left.saturating_sub(bytes);
        count += 1;
        if let Some(last) = all.last_mut() {
            last.drafts.push(draft);
        }
    }
    all
}

impl Store {
    /// Opens what other devices of this member wrote about read marks and drafts, and merges it in.
    /// Posts that they read are not new any more; drafts are for [`Store::shared_drafts`].
    ///
    /// # Errors
    ///
    /// When the store cannot be read or written.
    pub fn take_own_states(
        &self,
        author: impl FnOnce() -> Option<Author>,
    ) -> Result<(), StoreError> {
        let waiting = self.inner.connections.read(|conn| {
            let own = own_number(conn, self)?;
            let mut statement =
                conn.prepare_cached("SELECT 1 FROM specials WHERE kind = ?1 AND m = ?2")?;
            Ok(statement.exists((Kind::OwnState.number(), own))?)
        })?;
        let Some(author) = waiting.then(author).flatten() else { return Ok(()) };
        self.inner.write(Durability::Normal, 0, |ctx| {
            let own = own_number(ctx.conn, self)?;
            let (conn, community) = (ctx.conn, ctx.community);
            let loaded = load_specials(conn, &community, ctx.keys()?, Kind::OwnState, Some(own))?;
            let state = ctx.roster.clone();
            for (n, entry) in loaded {
                conn.prepare_cached("DELETE FROM specials WHERE n = ?1")?.execute([n])?;
                let Body::OwnState(sealed) = &entry.body else { continue };
                match sealed.open(&entry.member, &author.device.device(), &author.sealing) {
                    Ok(changes) => {
                        let devices = own_devices(conn, state.roster(), &entry.member)?;
                        let has =
                            |d: &DeviceId| sealed.seals.iter().any(|s| *s.device == *d.as_bytes());
                        ctx.take_own_state(&entry.id, &changes, devices.keys().all(has))?;
                    }
                    // Written before this device was the member's.
                    Err(e) => tracing::debug!("own state {}: {e}", entry.id.short()),
                }
            }
            Ok(())
        })
    }

    /// The drafts that devices of this member have told of each other.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn shared_drafts(&self) -> Result<Vec<SharedDraft>, StoreError> {
        self.inner.connections.read(|conn| Ok(shared_drafts(conn)?.into_values().collect()))
    }

    /// The file of a draft says now what [`Store::shared_drafts`] said first of it, or what else came
    /// was put beside it.
    ///
    /// # Errors
    ///
    /// When the store cannot be written.
    pub fn draft_filed(&self, draft: &SharedDraft) -> Result<(), StoreError> {
        let text = draft.texts.first().map(String::as_str);
        self.inner.write(Durability::Normal, 0, |ctx| ctx.draft_filed(&draft.key, text))
    }

    /// Whether this member has another device that [`Store::tell_own_devices`] would tell.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn has_other_devices(&self) -> Result<bool, StoreError> {
        self.inner.connections.read(|conn| {
            let state = self.inner.rosters.get(conn)?;
            let Some(own) = state.roster().standing(&self.inner.own) else { return Ok(false) };
            Ok(own_devices(conn, state.roster(), &own.member)?.len() > 1)
        })
    }

    /// The devices that [`Store::note_paper`] was told of.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn papers(&self) -> Result<BTreeSet<DeviceId>, StoreError> {
        self.inner.connections.read(papers)
    }

    /// Notes that a device of this member exists on paper only. Of one that was made when the member joined
    /// the roster knows; of one that was made later only this store.
    ///
    /// # Errors
    ///
    /// When the store cannot be written.
    pub fn note_paper(&self, device: &DeviceId) -> Result<(), StoreError> {
        self.inner.write(Durability::Normal, 0, |ctx| {
            let mut papers = rows::get_meta(ctx.conn, meta::PAPERS)?.unwrap_or_default();
            papers.extend_from_slice(device.as_bytes());
            rows::set_meta(ctx.conn, meta::PAPERS, &papers)
        })
    }

    /// Tells the other devices of this member what was read and drafted here, and is not told yet; whether
    /// anything was. Not more often than every quarter of an hour, but where `at_once`. `drafts` are all
    /// that there are in files, by what they are for; `None` says nothing about drafts.
    ///
    /// # Errors
    ///
    /// As for [`Store::append`].
    pub fn tell_own_devices(
        &self,
        author: &Author,
        now_ms: u64,
        rng: &mut impl CryptoRng,
        drafts: Option<&BTreeMap<String, String>>,
        at_once: bool,
    ) -> Result<bool, StoreError> {
        self.own_write(author, now_ms, |ctx| ctx.tell_own_devices(author, rng, drafts, at_once))
    }
}
