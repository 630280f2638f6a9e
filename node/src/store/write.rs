//! One writing transaction: what it has learnt so far, and how an entry gets into the tables.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use lanai_crdt::clock::{Hlc, MAX_ADOPTED_SKEW_MS};
use lanai_crdt::entry::{Class, Header, HeaderTail, Verified};
use lanai_crdt::id::{CommunityId, DeviceId, EntryId, EpochRef, LogId, MemberId};
use lanai_crdt::payload::Role;
use lanai_crdt::roster::RosterEntry;
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior};

use super::authentic::{self, Arrival};
use super::connection::Durability;
use super::cuts::Inside;
use super::early::{EARLY_CLASSES, PRESENT, is_early_class};
use super::hot::Hot;
use super::keys::Keyring;
use super::pasts::{Awaited, Link, Past, follows};
use super::roster_cache::RosterState;
use super::rows::{self, N, class_column, meta, ordered, pack_header, placed, state, why};
use super::{Inner, StoreError};

/// A transaction with so many entries is a large one.
pub(super) const MANY: usize = 200;

/// Who wrote an entry, judged in its roster past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stand {
    pub(super) m: i64,
    pub(super) member: MemberId,
    pub(super) role: Role,
}

/// An entry that was put into the tables.
#[derive(Debug, Clone, Copy)]
pub(super) struct Inserted {
    pub(super) n: N,
    pub(super) id: EntryId,
}

/// A writing transaction.
pub(super) struct Ctx<'c> {
    pub(super) conn: &'c Connection,
    hot: Hot<'c>,
    pub(super) inner: &'c Inner,
    pub(super) community: CommunityId,
    pub(super) own: DeviceId,
    pub(super) now_ms: u64,
    pub(super) roster: Arc<RosterState>,
    roster_changed: bool,
    pub(super) logs: HashMap<LogId, i64>,
    epochs: HashMap<EpochRef, i64>,
    pub(super) links: HashMap<EntryId, Link>,
    pub(super) pasts: HashMap<i64, Arc<[EntryId]>>,
    threads: HashMap<EntryId, i64>,
    members: HashMap<MemberId, i64>,
    stands: HashMap<(i64, i64), Option<Stand>>,
    /// What cuts hold, as far as it was asked for.
    pub(super) inside: Inside,
    keys: Option<Keyring>,
    /// The entries that are waited for, once that was looked at.
    pub(super) awaited: Option<Awaited>,
    /// Places of logs in which there was no entry when it was looked, and is none now.
    gaps: HashMap<i64, Range<i64>>,
    heads_gained: HashSet<N>,
    heads_lost: HashSet<N>,
    newest: Hlc,
    inserted: u64,
    /// Entries that were inserted or folded.
    pub(super) many: usize,
    /// By how many more entries have no roster past.
    pub(super) waiting: i64,
    /// Times of which many are indexed, by their first rowid in the index; see [`Ctx::free_doc`].
    pub(super) crowded: HashMap<i64, u32>,
    /// Words that were indexed, for the vocabulary.
    pub(super) new_words: super::search::NewWords,
    /// Texts that are to be indexed.
    pub(super) new_texts: super::search::NewTexts,
    /// What was put into the tables: to free it takes time that others need for writing.
    pub(super) spent: Vec<Arrival>,
    /// While a community is being founded there is no token file to compare with.
    pub(super) founding: bool,
}

impl Inner {
    /// Runs `work` in one `IMMEDIATE` transaction and commits it.
    pub(super) fn write<T>(
        &self,
        durability: Durability,
        now_ms: u64,
        work: impl FnOnce(&mut Ctx<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let (turn, mut writer) = self.connections.writer(durability)?;
        let tx = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        drop(turn);
        let mut ctx = Ctx {
            conn: &tx,
            hot: Hot::default(),
            inner: self,
            community: self.community,
            own: self.own,
            now_ms,
            roster: self.rosters.get(&tx)?,
            roster_changed: false,
            logs: HashMap::new(),
            epochs: HashMap::new(),
            links: HashMap::new(),
            pasts: HashMap::new(),
            threads: HashMap::new(),
            members: HashMap::new(),
            stands: HashMap::new(),
            inside: Inside::new(),
            keys: None,
            gaps: HashMap::new(),
            awaited: None,
            heads_gained: HashSet::new(),
            heads_lost: HashSet::new(),
            newest: Hlc::default(),
            inserted: 0,
            many: 0,
            waiting: 0,
            crowded: HashMap::new(),
            new_words: super::search::NewWords::default(),
            new_texts: super::search::NewTexts::default(),
            spent: Vec::new(),
            founding: false,
        };
        let result = work(&mut ctx)?;
        ctx.flush()?;
        let changed = ctx.roster_changed.then(|| ctx.roster.clone());
        let many = ctx.many >= MANY;
        let spent = std::mem::take(&mut ctx.spent);
        drop(ctx);
        match many {
            true => self.connections.commit_large(tx)?,
            false => tx.commit()?,
        }
        // Only what was committed may be remembered.
        if let Some(state) = changed {
            self.rosters.keep(Arc::unwrap_or_clone(state));
        }
        drop(writer);
        drop(spent);
        Ok(result)
    }
}

impl Ctx<'_> {
    // ---- entries -------------------------------------------------------------------------------

    /// Puts an authentic entry of an enrolled device into the tables. Its id must not be there yet,
    /// and a roster entry must be part of [`Ctx::roster`] before it comes here.
    pub(super) fn insert(
        &mut self,
        verified: &Verified,
        payload: Option<&[u8]>,
        void: Option<&str>,
    ) -> Result<Inserted, StoreError> {
        let header = verified.header();
        let id = verified.id();
        let l = self.log(&header.log)?;
        let class = class_column(header);
        let epoch = self.epoch(&header.epoch)?;
        let past = self.past_of(&id, header)?;
        let prev = self.link(&header.prev)?.filter(|p| follows(p, header, Some(l))).map(|p| p.n);
        let claimed = match declared_thread(&id, header) {
            Some(thread) => Some(self.thread(&thread)?),
            None => self.claimed_page(header)?,
        };
        let thread = claimed.filter(|_| !header.refs().is_empty());
        let past_column = match past {
            Past::BadLink(p) | Past::Known(p) => Some(p),
            Past::Waits(_) => None,
        };
        let early =
            past_column.is_none() && payload.is_some() && is_early_class(header.known_class());
        let state = match past {
            Past::BadLink(_) => state::BAD_LINK,
            _ if class < 0 => state::UNREAD,
            _ if void.is_some() => state::VOID,
            _ => state::GOOD,
        };
        self.note_fork(l, header.seq)?;
        self.hot.entry(self.conn)?.execute((
            id.as_bytes(),
            l,
            placed(header.seq),
            ordered(header.time.0),
            class,
            past_column,
            state,
            epoch,
            prev,
            thread,
            pack_header(verified, prev.is_some(), thread.is_some()),
            verified.signature().map(|s| s.0),
            // So that folding need not write it.
            early.then_some(PRESENT),
        ))?;
        let n = self.conn.last_insert_rowid();
        self.inserted += 1;
        self.many += 1;
        match payload {
            Some(blob) => {
                self.hot.payload(self.conn)?.execute((n, blob))?;
            }
            None => {
                self.conn
                    .prepare_cached("INSERT INTO missing_payloads (n) VALUES (?1)")?
                    .execute([n])?;
            }
        }
        if let (Some(reason), state::VOID) = (void, state) {
            self.set_void(n, reason)?;
        }
        if let Past::Waits(_) = past {
            self.waiting += 1;
        }
        if let Past::Waits(reason) = past
            && (reason != why::PREV_WAITS || prev.is_none())
        {
            self.list_waiting(n, &header.prev, reason)?;
        }
        let claimed = match (claimed, header.known_class()) {
            (Some(t), Some(Class::Weave)) => {
                self.conn
                    .prepare_cached("INSERT OR IGNORE INTO page_entries (t, n) VALUES (?1, ?2)")?
                    .execute((t, n))?;
                None
            }
            (Some(t), _) => {
                self.hot.thread_entry(self.conn)?.execute((t, n))?;
                Some(t)
            }
            (None, _) => None,
        };
        if early {
            self.add_todo(n, claimed)?;
        }
        if let (Some(p), true, state::GOOD) = (past_column, class > 0, state) {
            if payload.is_some() {
                self.add_todo(n, claimed)?;
            } else {
                // Its place is folded without its text: a withdrawn post leaves a tombstone.
                self.stand(p, l)?;
            }
        }
        let awaited = self.is_awaited(&id)?;
        self.track_head(&id, header, n, awaited)?;
        let link = Link { n, l, device: header.log.device, seq: header.seq, past: past_column };
        self.links.insert(id, link);
        if awaited {
            self.release(&id)?;
        }
        if header.time.millis() <= self.now_ms.saturating_add(MAX_ADOPTED_SKEW_MS) {
            self.newest = self.newest.max(header.time);
        }
        Ok(Inserted { n, id })
    }

    /// Notes that a log is forked, where there is an entry already in the place of one that is to come.
    fn note_fork(&mut self, l: i64, seq: u64) -> Result<(), StoreError> {
        let place = placed(seq);
        let gap = self.gaps.entry(l).or_insert(0..0);
        if !gap.contains(&place) {
            // Entries come log by log and in order: what is free after this one is so for the next.
            let taken: Option<i64> = self
                .conn
                .prepare_cached("SELECT min(seq) FROM entries WHERE l = ?1 AND seq >= ?2")?
                .query_row((l, place), |r| r.get(0))?;
            if taken == Some(place) {
                self.conn
                    .prepare_cached("INSERT OR IGNORE INTO forked_logs (l) VALUES (?1)")?
                    .execute([l])?;
            }
            *gap = place..taken.unwrap_or(i64::MAX);
        }
        gap.start = place.saturating_add(1);
        Ok(())
    }

    /// The payload of an entry that came without.
    pub(super) fn insert_payload(&mut self, n: N, blob: &[u8]) -> Result<(), StoreError> {
        self.conn
            .prepare_cached("INSERT OR IGNORE INTO payloads (n, blob) VALUES (?1, ?2)")?
            .execute((n, blob))?;
        self.conn.prepare_cached("DELETE FROM missing_payloads WHERE n = ?1")?.execute([n])?;
        self.conn
            .prepare_cached(&format!(
                "INSERT OR IGNORE INTO todo (n) SELECT n FROM entries
                 WHERE n = ?1 AND class > 0 AND state = 0
                 AND (past IS NOT NULL OR class IN {EARLY_CLASSES})"
            ))?
            .execute([n])?;
        Ok(())
    }

    pub(super) fn set_void(&self, n: N, reason: &str) -> Result<(), StoreError> {
        self.conn
            .prepare_cached("INSERT OR REPLACE INTO voids (n, reason) VALUES (?1, ?2)")?
            .execute((n, reason))?;
        Ok(())
    }

    pub(super) fn set_state(&self, n: N, state: i64) -> Result<(), StoreError> {
        self.conn
            .prepare_cached("UPDATE entries SET state = ?2 WHERE n = ?1")?
            .execute((n, state))?;
        Ok(())
    }

    fn add_todo(&mut self, n: N, t: Option<i64>) -> Result<(), StoreError> {
        self.hot.todo(self.conn)?.execute((n, t))?;
        Ok(())
    }

    pub(super) fn known_past(&self, id: &EntryId) -> Option<i64> {
        self.links.get(id).and_then(|l| l.past)
    }

    pub(super) fn log(&mut self, log: &LogId) -> Result<i64, StoreError> {
        if let Some(l) = self.logs.get(log) {
            return Ok(*l);
        }
        let key = (log.device.as_bytes(), log.number.0);
        self.conn
            .prepare_cached("INSERT OR IGNORE INTO logs (device, number) VALUES (?1, ?2)")?
            .execute(key)?;
        let l = self
            .conn
            .prepare_cached("SELECT l FROM logs WHERE device = ?1 AND number = ?2")?
            .query_row(key, |r| r.get(0))?;
        self.logs.insert(*log, l);
        Ok(l)
    }

    /// The number of an epoch's name, as headers have it.
    fn epoch(&mut self, epoch: &EpochRef) -> Result<i64, StoreError> {
        if let Some(k) = self.epochs.get(epoch) {
            return Ok(*k);
        }
        self.conn
            .prepare_cached("INSERT OR IGNORE INTO epochs (ref) VALUES (?1)")?
            .execute([epoch.0])?;
        let k = self
            .conn
            .prepare_cached("SELECT k FROM epochs WHERE ref = ?1")?
            .query_row([epoch.0], |r| r.get(0))?;
        self.epochs.insert(*epoch, k);
        Ok(k)
    }

    /// An entry is a head while no entry of its own log follows it.
    fn track_head(
        &mut self,
        id: &EntryId,
        header: &Header,
        n: N,
        awaited: bool,
    ) -> Result<(), StoreError> {
        if let Some(prev) = self.link(&header.prev)?
            && follows(&prev, header, self.logs.get(&header.log).copied())
            && !self.heads_gained.remove(&prev.n)
        {
            self.heads_lost.insert(prev.n);
        }
        if !awaited || self.successor(id, header)?.is_none() {
            self.heads_gained.insert(n);
        }
        Ok(())
    }

    /// The entry that follows in the log of `header`, where it came first and waits for it.
    fn successor(&mut self, id: &EntryId, header: &Header) -> Result<Option<N>, StoreError> {
        match self.is_awaited(id)? {
            true => authentic::successor(self.conn, id, header),
            false => Ok(None),
        }
    }

    // ---- the roster ----------------------------------------------------------------------------

    /// Adds roster entries to the fold. They must be inserted in the same transaction.
    pub(super) fn grow_roster(&mut self, entries: Vec<RosterEntry>) {
        if !entries.is_empty() {
            self.roster = Arc::new(self.roster.with(entries));
            self.roster_changed = true;
        }
    }

    /// Takes roster entries out of the fold again that are not going to be inserted.
    pub(super) fn shrink_roster(&mut self, ids: &HashSet<EntryId>) {
        if !ids.is_empty() {
            self.roster = Arc::new(self.roster.without(self.community, ids));
            self.roster_changed = true;
        }
    }

    /// After roster entries were inserted: judges everything again that the roster decides.
    pub(super) fn roster_grew(&mut self) -> Result<(), StoreError> {
        let crowded: Vec<N> = self
            .conn
            .prepare_cached("SELECT n FROM past_waits WHERE why = ?1")?
            .query_map([why::HEADS], |r| r.get(0))?
            .collect::<Result<_, _>>()?;
        for n in crowded {
            let done = self.try_again(n)?;
            self.release_after(done.into_iter().collect())?;
        }
        let known: Vec<(i64, i64)> = self
            .conn
            .prepare_cached("SELECT p, l FROM stands")?
            .query_map([], |r| Ok((r.get(0)?, r.get(1)?)))?
            .collect::<Result<_, _>>()?;
        self.stands.clear();
        for (p, l) in known {
            let stand = self.judge(p, l)?;
            self.save_stand(p, l, stand)?;
        }
        self.recut()
    }

    /// Rule 11: who the author of an entry was in its roster past. `None`: it does not count.
    pub(super) fn stand(&mut self, p: i64, l: i64) -> Result<Option<Stand>, StoreError> {
        if let Some(known) = self.stands.get(&(p, l)) {
            return Ok(*known);
        }
        let stand = self.judge(p, l)?;
        self.save_stand(p, l, stand)?;
        Ok(stand)
    }

    /// Judges the entries whose payloads are not here: a withdrawn post leaves a tombstone.
    pub(super) fn stand_without_payloads(&mut self) -> Result<(), StoreError> {
        let places: Vec<(i64, i64)> = self
            .conn
            .prepare(
                "SELECT DISTINCT e.past, e.l FROM entries e WHERE e.class > 0 AND e.state = 0
                 AND e.past IS NOT NULL AND NOT EXISTS (SELECT 1 FROM payloads p WHERE p.n = e.n)",
            )?
            .query_map([], |r| Ok((r.get(0)?, r.get(1)?)))?
            .collect::<Result<_, _>>()?;
        for (p, l) in places {
            self.stand(p, l)?;
        }
        Ok(())
    }

    /// Whose log this is.
    pub(super) fn device_of(&self, l: i64) -> Result<DeviceId, StoreError> {
        let device: Vec<u8> = self
            .conn
            .prepare_cached("SELECT device FROM logs WHERE l = ?1")?
            .query_row([l], |r| r.get(0))?;
        Ok(DeviceId::from_slice(&device).unwrap_or(DeviceId::ZERO))
    }

    fn judge(&mut self, p: i64, l: i64) -> Result<Option<Stand>, StoreError> {
        let device = self.device_of(l)?;
        let standing = match p {
            PRESENT => self.roster.roster().standing(&device),
            p => {
                let heads = self.past_heads(p)?;
                self.roster.roster().standing_in(&heads, &device)
            }
        };
        let Some(standing) = standing else { return Ok(None) };
        let m = self.member(&standing.member)?;
        Ok(Some(Stand { m, member: standing.member, role: standing.role }))
    }

    /// Keeps a judgement. If it differs from the one before it, every entry that was judged by that
    /// is folded again, whoever noticed the difference: an entry that arrives together with what
    /// changed the roster meets its predecessors' place before they are judged again.
    fn save_stand(&mut self, p: i64, l: i64, stand: Option<Stand>) -> Result<(), StoreError> {
        self.stands.insert((p, l), stand);
        let new = (stand.map(|s| s.m), stand.map(|s| role_number(s.role)));
        let old: Option<(Option<i64>, Option<i64>)> = self
            .conn
            .prepare_cached("SELECT m, role FROM stands WHERE p = ?1 AND l = ?2")?
            .query_row((p, l), |r| Ok((r.get(0)?, r.get(1)?)))
            .optional()?;
        if old == Some(new) {
            return Ok(());
        }
        self.conn
            .prepare_cached(
                "INSERT OR REPLACE INTO stands (p, l, m, role) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute((p, l, new.0, new.1))?;
        if old.is_some() {
            self.conn
                .prepare_cached(
                    // The bounds let the index of what was set aside serve it.
                    "UPDATE entries SET state = 0
                     WHERE l = ?1 AND coalesce(judged, past) = ?2 AND state = ?3
                     AND state BETWEEN 1 AND 5",
                )?
                .execute((l, p, state::UNCOUNTED))?;
            self.conn
                .prepare_cached(
                    "INSERT OR IGNORE INTO todo (n) SELECT e.n FROM entries e
                     JOIN payloads b ON b.n = e.n
                     WHERE e.l = ?1 AND coalesce(e.judged, e.past) = ?2
                     AND e.state = 0 AND e.class > 0",
                )?
                .execute((l, p))?;
        }
        Ok(())
    }

    // ---- interning -----------------------------------------------------------------------------

    /// The number of a member.
    pub(super) fn member(&mut self, id: &MemberId) -> Result<i64, StoreError> {
        if let Some(m) = self.members.get(id) {
            return Ok(*m);
        }
        self.conn
            .prepare_cached("INSERT OR IGNORE INTO members (id) VALUES (?1)")?
            .execute([id.as_bytes()])?;
        let m = self
            .conn
            .prepare_cached("SELECT m FROM members WHERE id = ?1")?
            .query_row([id.as_bytes()], |r| r.get(0))?;
        self.members.insert(*id, m);
        Ok(m)
    }

    /// The number of a thread; a thread of its own until its root says otherwise.
    pub(super) fn thread(&mut self, id: &EntryId) -> Result<i64, StoreError> {
        if let Some(t) = self.threads.get(id) {
            return Ok(*t);
        }
        let known: Option<i64> = self
            .conn
            .prepare_cached("SELECT t FROM threads WHERE id = ?1")?
            .query_row([id.as_bytes()], |r| r.get(0))
            .optional()?;
        let t = match known {
            Some(t) => t,
            None => {
                // The number that it would be given by itself.
                self.conn
                    .prepare_cached(
                        "INSERT INTO threads (t, id, grp) VALUES (
                             (SELECT coalesce(max(t), 0) + 1 FROM threads), ?1,
                             (SELECT coalesce(max(t), 0) + 1 FROM threads))",
                    )?
                    .execute([id.as_bytes()])?;
                self.conn.last_insert_rowid()
            }
        };
        self.threads.insert(*id, t);
        Ok(t)
    }

    /// Writes into a new store what it is a store of.
    pub(super) fn name_store(&self, token: &[u8]) -> Result<(), StoreError> {
        rows::set_meta(self.conn, meta::COMMUNITY, self.community.as_bytes())?;
        rows::set_meta(self.conn, meta::DEVICE, self.own.as_bytes())?;
        rows::set_meta(self.conn, meta::TOKEN, token)
    }

    /// The keys of the epochs that this store can open.
    pub(super) fn keys(&mut self) -> Result<&mut Keyring, StoreError> {
        if self.keys.is_none() {
            self.keys = Some(Keyring::load(self.conn)?);
        }
        self.keys.as_mut().ok_or(StoreError::Internal("keyring"))
    }

    /// Notes something that the user is to be told.
    pub(super) fn notice(&self, kind: &str, detail: &str) -> Result<(), StoreError> {
        self.conn
            .prepare_cached("INSERT INTO notices (at, kind, detail) VALUES (?1, ?2, ?3)")?
            .execute((self.now_ms.cast_signed(), kind, detail))?;
        Ok(())
    }

    /// The stamp for the next own entry.
    pub(super) fn next_time(&mut self) -> Result<Hlc, StoreError> {
        let stored = Hlc(rows::get_u64(self.conn, meta::CLOCK)?);
        let next = Hlc::next(stored.max(self.newest), self.now_ms);
        self.newest = self.newest.max(next);
        Ok(next)
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        self.flush_texts()?;
        self.flush_words()?;
        for n in self.heads_lost.drain() {
            self.conn.prepare_cached("DELETE FROM log_heads WHERE n = ?1")?.execute([n])?;
        }
        for n in self.heads_gained.drain() {
            self.conn
                .prepare_cached("INSERT OR IGNORE INTO log_heads (n) VALUES (?1)")?
                .execute([n])?;
        }
        if self.inserted > 0 {
            let entries = rows::get_u64(self.conn, meta::ENTRIES)?.saturating_add(self.inserted);
            rows::set_meta(self.conn, meta::ENTRIES, &entries.to_be_bytes())?;
            self.inserted = 0;
        }
        if self.waiting != 0 {
            let waiting =
                rows::get_u64(self.conn, meta::WAITING)?.saturating_add_signed(self.waiting);
            rows::set_meta(self.conn, meta::WAITING, &waiting.to_be_bytes())?;
            self.waiting = 0;
        }
        if self.newest.0 > rows::get_u64(self.conn, meta::CLOCK)? {
            rows::set_meta(self.conn, meta::CLOCK, &self.newest.0.to_be_bytes())?;
        }
        if self.roster_changed {
            // So that the next process need not check these signatures again.
            let roster = Arc::make_mut(&mut self.roster);
            let mut mark = self.conn.prepare_cached(
                "UPDATE entries SET state = ?2 WHERE n = ?1 AND class = 0 AND state = 0",
            )?;
            for id in roster.take_checked() {
                if let Some(n) = rows::number_of(self.conn, &id)? {
                    mark.execute((n, state::CHECKED))?;
                }
            }
            roster.stamp(self.conn)?;
        }
        self.flush_tallies()?;
        Ok(())
    }
}

/// The thread that a header claims to belong to: `refs[0]`, or itself when it refers to nothing.
/// Profiles claim one too; opening them takes the claim back.
pub(super) fn declared_thread(id: &EntryId, header: &Header) -> Option<EntryId> {
    let HeaderTail::V1 { refs, .. } = &header.tail else { return None };
    match (header.known_class()?, refs.first()) {
        (Class::Post, None) => Some(*id),
        (Class::Post | Class::Act | Class::Light, Some(thread)) => Some(*thread),
        _ => None,
    }
}

/// A role as stored.
pub(super) fn role_number(role: Role) -> i64 {
    match role {
        Role::Member => 0,
        Role::Lead => 1,
        Role::Steward => 2,
    }
}

/// The inverse of [`role_number`].
pub(super) fn role_from(number: i64) -> Role {
    match number {
        2 => Role::Steward,
        1 => Role::Lead,
        _ => Role::Member,
    }
}
