//! Side talks: their keys, and what is said in them.
//!
//! Entries of a side talk are sealed for the community like all others, and hold a box that opens with
//! the talk's key. So everybody carries them, who is removed from the community cannot open what comes
//! after that, and no fold, index or hash that all must agree on looks into the box. What those who take
//! part see is opened and folded when it is read.
//!
//! The key comes sealed to devices that are not named: each device tries, once for an entry, and
//! [`MAX_TRIES`] entries in a transaction.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use lanai_crdt::id::{DeviceId, EntryId, MemberId};
use lanai_crdt::payload::{
    self, Body, Said, SideAdded, SideBox, SideOpen, SideRoot, SideSay, SideSeal,
};
use lanai_crdt::seal::{
    BoxKey, BoxPurpose, CryptoRng, DEVICE_SEAL_BYTES, NONCE_BYTES, SealingPublic,
};
use lanai_crdt::side::{SideEntry, SideTalk, SideWhat, may_be_said};
use lanai_crdt::thread::TalkEntry;
use minicbor::bytes::ByteArray;
use rusqlite::{Connection, OptionalExtension as _};
use zeroize::Zeroizing;

use super::append::{NewEntry, NewRef};
use super::groups::load_group;
use super::keys::Keyring;
use super::rows::{ID_IS_1, N, number_of};
use super::write::Ctx;
use super::{Author, Durability, Store, StoreError, ThreadView};

/// `side_keys`: keys of talks that this device takes part in. `side_seals`: entries that hold sealed
/// keys, and whether this device tried them.
pub(super) const MIGRATION: &str = r"
CREATE TABLE side_keys (t INTEGER PRIMARY KEY, key BLOB NOT NULL);
CREATE TABLE side_seals (
    n INTEGER PRIMARY KEY, t INTEGER NOT NULL, tried INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX side_seals_untried ON side_seals (n) WHERE tried = 0;
INSERT OR IGNORE INTO todo SELECT n, NULL FROM entries WHERE state = 4 AND class IN (1, 2);
UPDATE entries SET state = 0 WHERE state = 4 AND class IN (1, 2);
";

/// Entries whose seals are tried in one transaction.
const MAX_TRIES: i64 = 64;

/// Numbers of talks are those of threads.
type T = i64;

/// A talk, with the number of each of its entries.
type Loaded = (SideTalk, BTreeMap<EntryId, N>);

fn talk_number(conn: &Connection, talk: &EntryId) -> Result<Option<T>, StoreError> {
    let mut find = conn.prepare_cached("SELECT t FROM threads WHERE id = ?1")?;
    Ok(find.query_row([talk.as_bytes()], |r| r.get(0)).optional()?)
}

fn key_of(conn: &Connection, t: T) -> Result<Option<BoxKey>, StoreError> {
    let mut find = conn.prepare_cached("SELECT key FROM side_keys WHERE t = ?1")?;
    let bytes: Option<Vec<u8>> = find.query_row([t], |r| r.get(0)).optional()?;
    let bytes = bytes.map(Zeroizing::new);
    Ok(bytes.and_then(|b| {
        Some(BoxKey::from_bytes(BoxPurpose::SideTalk, <&[u8; 32]>::try_from(b.as_slice()).ok()?))
    }))
}

/// The entries of a talk that count, with the bodies that the community sees.
fn carried(
    store: &Store,
    conn: &Connection,
    talk: &EntryId,
    t: T,
) -> Result<Vec<(N, TalkEntry)>, StoreError> {
    let group = conn
        .prepare_cached("SELECT coalesce(grp, t) FROM threads WHERE t = ?1")?
        .query_row([t], |r| r.get(0))?;
    let keys = Keyring::load(conn)?;
    let (numbers, entries) =
        load_group(conn, &store.inner.community, &keys, group, &mut HashMap::new())?;
    let inside = |e: &TalkEntry| e.id == *talk || e.refs.first() == Some(talk);
    Ok(numbers.into_iter().zip(entries).filter(|(_, e)| inside(e)).collect())
}

fn open_box(key: &BoxKey, talk: &EntryId, e: &TalkEntry) -> Option<SideEntry> {
    let what = match &e.body {
        Body::SideOpen(open) if e.id == *talk => {
            let root = SideRoot::open(key, &EntryId::ZERO, &e.member, &open.sealed).ok()?;
            SideWhat::Root(root)
        }
        Body::SideSeal(seal) => {
            SideWhat::Added(SideAdded::open(key, talk, &e.member, &seal.sealed).ok()?)
        }
        Body::SideSay(say) => SideWhat::Said(Said::open(key, talk, &e.member, &say.sealed).ok()?),
        _ => return None,
    };
    Some(SideEntry { id: e.id, member: e.member, time: e.time, what })
}

/// A talk that this device takes part in.
pub(super) fn load(
    store: &Store,
    conn: &Connection,
    talk: &EntryId,
) -> Result<Option<Loaded>, StoreError> {
    let Some(t) = talk_number(conn, talk)? else { return Ok(None) };
    let Some(key) = key_of(conn, t)? else { return Ok(None) };
    let carried = carried(store, conn, talk, t)?;
    let opened: Vec<SideEntry> =
        carried.iter().filter_map(|(_, e)| open_box(&key, talk, e)).collect();
    let numbers = carried.iter().map(|(n, e)| (e.id, *n)).collect();
    Ok(SideTalk::fold(talk, &opened).map(|folded| (folded, numbers)))
}

/// Posts of others in a talk that were not read.
fn unread(
    store: &Store,
    conn: &Connection,
    talk: &SideTalk,
    numbers: &BTreeMap<EntryId, N>,
) -> Result<BTreeSet<EntryId>, StoreError> {
    let me = store.inner.rosters.get(conn)?.roster().standing(&store.inner.own).map(|s| s.member);
    let mut was_read = conn.prepare_cached("SELECT 1 FROM reads WHERE n = ?1")?;
    let mut new = BTreeSet::new();
    for post in talk.thread.posts.iter().filter(|p| Some(p.author) != me) {
        if let Some(n) = numbers.get(&post.id)
            && !was_read.exists([n])?
        {
            new.insert(post.id);
        }
    }
    Ok(new)
}

/// What a talk looks like to whoever reads threads.
pub(super) fn thread_view(
    store: &Store,
    conn: &Connection,
    talk: &EntryId,
) -> Result<Option<ThreadView>, StoreError> {
    let Some((talk, numbers)) = load(store, conn, talk)? else { return Ok(None) };
    let unread = unread(store, conn, &talk, &numbers)?;
    let mut names = BTreeMap::new();
    for member in &talk.members {
        if let Some(name) = super::read::name_of(conn, member)? {
            names.insert(*member, name);
        }
    }
    Ok(Some(ThreadView {
        unread,
        workers: Vec::new(),
        stance: super::Stance::default(),
        names,
        missing: 0,
        locked: 0,
        readers: Some(talk.members),
        thread: talk.thread,
    }))
}

/// A side talk in a list.
#[derive(Debug, Clone)]
pub struct SideTalkView {
    /// The talk.
    pub talk: SideTalk,
    /// Posts of others that were not read.
    pub unread: BTreeSet<EntryId>,
}

/// Marks the posts of talks among `shown` as read; gives how many were new.
pub(super) fn mark_read(conn: &Connection, shown: &[EntryId]) -> Result<u64, StoreError> {
    let mut mark = conn.prepare_cached(&format!(
        "INSERT OR IGNORE INTO reads (n) SELECT e.n FROM entries e
         LEFT JOIN thread_entries x ON x.n = e.n
         WHERE {ID_IS_1} AND EXISTS (SELECT 1 FROM side_keys k WHERE k.t = x.t)"
    ))?;
    let mut marked = 0;
    for id in shown {
        marked += u64::try_from(mark.execute([id.as_bytes()])?).unwrap_or(0);
    }
    Ok(marked)
}

impl Ctx<'_> {
    /// Remembers an entry that holds seals of a talk's key.
    pub(super) fn note_side_seals(&mut self, n: N, talk: &EntryId) -> Result<(), StoreError> {
        let t = self.thread(talk)?;
        self.conn
            .prepare_cached("INSERT OR IGNORE INTO thread_entries (t, n) VALUES (?1, ?2)")?
            .execute((t, n))?;
        self.conn
            .prepare_cached(
                "INSERT INTO side_seals (n, t) VALUES (?1, ?2)
                 ON CONFLICT (n) DO UPDATE SET tried = 0",
            )?
            .execute((n, t))?;
        Ok(())
    }

    /// As [`note_side_seals`](Self::note_side_seals), of what opens the talk: seals that came before it can
    /// be tried now.
    pub(super) fn note_side_open(&mut self, n: N, talk: &EntryId) -> Result<(), StoreError> {
        self.note_side_seals(n, talk)?;
        let t = self.thread(talk)?;
        self.conn.prepare_cached("UPDATE side_seals SET tried = 0 WHERE t = ?1")?.execute([t])?;
        Ok(())
    }

    fn side_key(&self, talk: &EntryId) -> Result<Option<BoxKey>, StoreError> {
        match talk_number(self.conn, talk)? {
            Some(t) => key_of(self.conn, t),
            None => Ok(None),
        }
    }

    fn keep_side_key(&mut self, talk: &EntryId, key: &BoxKey) -> Result<(), StoreError> {
        let t = self.thread(talk)?;
        self.conn
            .prepare_cached("INSERT OR IGNORE INTO side_keys (t, key) VALUES (?1, ?2)")?
            .execute((t, key.expose()))?;
        Ok(())
    }

    fn own_member(&self) -> Result<MemberId, StoreError> {
        let standing = self.roster.roster().standing(&self.own);
        Ok(standing.ok_or(StoreError::NotMember)?.member)
    }

    /// The key sealed to those devices of `members` that are not among `had`.
    fn seal_side_key(
        &self,
        key: &BoxKey,
        members: &BTreeSet<MemberId>,
        had: &BTreeSet<DeviceId>,
        rng: &mut impl CryptoRng,
    ) -> Result<Sealed, StoreError> {
        let roster = self.roster.roster();
        let present = roster.members().filter(|m| !m.pending && members.contains(&m.id));
        let mut sealed = Sealed::default();
        for device in present.flat_map(|m| &m.devices).filter(|d| !had.contains(&d.device)) {
            let Ok(to) = SealingPublic::checked(&device.sealing) else { continue };
            sealed.seals.push(key.seal_to(&to, &device.device, rng)?.into());
            sealed.devices.push((*device.device.as_bytes()).into());
        }
        sealed.seals.sort_unstable_by_key(|s| **s);
        Ok(sealed)
    }

    /// Puts what names a talk of ours into boxes.
    pub(super) fn put_in_boxes(
        &mut self,
        rng: &mut impl CryptoRng,
        new: Vec<NewEntry>,
    ) -> Result<Vec<NewEntry>, StoreError> {
        if !self.conn.prepare_cached("SELECT 1 FROM side_keys LIMIT 1")?.exists([])? {
            return Ok(new);
        }
        let mut out = Vec::with_capacity(new.len());
        for entry in new {
            let talk = match entry.refs.first() {
                Some(NewRef::Id(talk)) if !is_boxed(&entry.body) => *talk,
                _ => {
                    out.push(entry);
                    continue;
                }
            };
            match self.side_key(&talk)? {
                None => out.push(entry),
                Some(_) if !may_be_said(&entry.body) => return Err(StoreError::NotInSideTalk),
                Some(key) => {
                    let refs = entry.refs.iter().map(|r| match r {
                        NewRef::Id(id) => Ok((*id.as_bytes()).into()),
                        NewRef::Batch(n) => Err(StoreError::BadBatchRef(*n)),
                    });
                    let refs: Vec<ByteArray<32>> = refs.collect::<Result<_, _>>()?;
                    let said = Said::Entry(refs, payload::encode(&entry.body)?.into());
                    out.push(self.boxed(&key, &talk, &said, rng)?);
                }
            }
        }
        Ok(out)
    }

    fn boxed(
        &self,
        key: &BoxKey,
        talk: &EntryId,
        said: &Said,
        rng: &mut impl CryptoRng,
    ) -> Result<NewEntry, StoreError> {
        let sealed = said.seal(key, talk, &self.own_member()?, nonce(rng))?.into();
        Ok(NewEntry::new(Body::SideSay(SideSay { sealed }), [*talk]))
    }

    /// Tries some seals that were not tried; gives how many talks could be opened.
    fn open_side_talks(&mut self, author: &Author) -> Result<usize, StoreError> {
        let device = author.device.device();
        let untried: Vec<(N, EntryId, T)> = self
            .conn
            .prepare_cached(
                "SELECT s.n, x.id, s.t FROM side_seals s JOIN threads x ON x.t = s.t
                 WHERE s.tried = 0 LIMIT ?1",
            )?
            .query_map([MAX_TRIES], |r| {
                Ok((r.get(0)?, super::rows::entry_id(r.get_ref(1)?.as_blob()?), r.get(2)?))
            })?
            .collect::<Result<_, _>>()?;
        let mut opened = 0;
        for (n, talk, t) in untried {
            self.conn
                .prepare_cached("UPDATE side_seals SET tried = 1 WHERE n = ?1")?
                .execute([n])?;
            if key_of(self.conn, t)?.is_some() {
                continue;
            }
            // What opens the talk may come later; its seals are tried again then.
            let Some(Body::SideOpen(open)) = self.body_of_entry(&talk)? else { continue };
            let seals = match self.body(n)? {
                Some(
                    Body::SideOpen(SideOpen { seals, .. }) | Body::SideSeal(SideSeal { seals, .. }),
                ) => seals,
                _ => continue,
            };
            let try_one = |s: &ByteArray<DEVICE_SEAL_BYTES>| {
                let purpose = BoxPurpose::SideTalk;
                BoxKey::open_seal(purpose, &author.sealing, &open.key, &device, s).ok()
            };
            if let Some(key) = seals.iter().find_map(try_one) {
                self.keep_side_key(&talk, &key)?;
                opened += 1;
            }
        }
        Ok(opened)
    }

    fn body_of_entry(&mut self, id: &EntryId) -> Result<Option<Body>, StoreError> {
        number_of(self.conn, id)?.map_or(Ok(None), |n| self.body(n))
    }

    /// What an entry says, if it can be opened.
    fn body(&mut self, n: N) -> Result<Option<Body>, StoreError> {
        let Some(stored) = super::rows::entry_by_number(self.conn, &self.community, n)? else {
            return Ok(None);
        };
        let Some(blob) = super::rows::payload(self.conn, n)? else { return Ok(None) };
        Ok(super::fold::open_body(self.keys()?, &stored, &blob).ok())
    }
}

#[derive(Default)]
struct Sealed {
    seals: Vec<ByteArray<DEVICE_SEAL_BYTES>>,
    devices: Vec<ByteArray<32>>,
}

fn is_boxed(body: &Body) -> bool {
    matches!(body, Body::SideOpen(_) | Body::SideSeal(_) | Body::SideSay(_))
}

fn nonce(rng: &mut impl CryptoRng) -> [u8; NONCE_BYTES] {
    let mut nonce = [0; NONCE_BYTES];
    rng.fill_bytes(&mut nonce);
    nonce
}

fn ids(members: &BTreeSet<MemberId>) -> Vec<ByteArray<32>> {
    members.iter().map(|m| (*m.as_bytes()).into()).collect()
}

impl Store {
    /// Tries the seals of side talks that were not tried yet. To be called when entries arrived. Gives
    /// how many talks this device can read now that it could not before.
    ///
    /// # Errors
    ///
    /// When the store cannot be read or written.
    pub fn open_side_talks(&self, author: &Author) -> Result<usize, StoreError> {
        let waits = || {
            self.inner.connections.read(|conn| {
                let sql = "SELECT 1 FROM side_seals WHERE tried = 0 LIMIT 1";
                Ok(conn.prepare_cached(sql)?.exists([])?)
            })
        };
        let mut opened = 0;
        while waits()? {
            opened += self.inner.write(Durability::Full, 0, |ctx| ctx.open_side_talks(author))?;
        }
        Ok(opened)
    }

    /// The side talks that this device can read, the latest activity first.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn side_talks(&self) -> Result<Vec<SideTalkView>, StoreError> {
        self.inner.connections.read(|conn| {
            let talks: Vec<EntryId> = conn
                .prepare_cached("SELECT x.id FROM side_keys k CROSS JOIN threads x ON x.t = k.t")?
                .query_map([], |r| Ok(super::rows::entry_id(r.get_ref(0)?.as_blob()?)))?
                .collect::<Result<_, _>>()?;
            let mut out = Vec::with_capacity(talks.len());
            for id in talks {
                if let Some((talk, numbers)) = load(self, conn, &id)? {
                    let unread = unread(self, conn, &talk, &numbers)?;
                    out.push(SideTalkView { talk, unread });
                }
            }
            out.sort_by_key(|v| {
                std::cmp::Reverse((v.talk.thread.last_activity, v.talk.thread.root))
            });
            Ok(out)
        })
    }

    /// A side talk, by its id or that of anything said in it. `None` for what is none, or not for us.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn side_talk(&self, id: &EntryId) -> Result<Option<SideTalk>, StoreError> {
        self.inner.connections.read(|conn| {
            let talk = super::read::thread_named_by(conn, id)?.unwrap_or(*id);
            Ok(load(self, conn, &talk)?.map(|(talk, _)| talk))
        })
    }

    /// Lets other devices of ours into the talks whose key they lack.
    pub(super) fn share_side_talks(
        &self,
        author: &Author,
        now_ms: u64,
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<EntryId>, StoreError> {
        let state = self.roster()?;
        let Some(me) = state.standing(&self.inner.own).map(|s| s.member) else {
            return Ok(Vec::new());
        };
        let own = state.members().filter(|m| m.id == me).flat_map(|m| &m.devices);
        let own: Vec<DeviceId> = own.map(|d| d.device).collect();
        let lacks = |v: &SideTalkView| own.iter().any(|d| !v.talk.devices.contains(d));
        let mut written = Vec::new();
        for talk in self.side_talks()?.iter().filter(|v| lacks(v)) {
            let talk = talk.talk.thread.root;
            written.extend(self.let_into_side_talk(
                author,
                now_ms,
                rng,
                &talk,
                &BTreeSet::new(),
            )?);
        }
        Ok(written)
    }

    /// Opens a side talk about a post, with `members` beside oneself; gives its id.
    ///
    /// # Errors
    ///
    /// A text over a limit; those of [`Store::append`].
    #[allow(clippy::too_many_arguments, reason = "a talk begins with that many things")]
    pub fn open_side_talk(
        &self,
        author: &Author,
        now_ms: u64,
        rng: &mut impl CryptoRng,
        about: (EntryId, EntryId),
        members: &BTreeSet<MemberId>,
        title: &str,
        text: &str,
    ) -> Result<EntryId, StoreError> {
        self.own_write(author, now_ms, |ctx| {
            let me = ctx.own_member()?;
            let key = BoxKey::generate(BoxPurpose::SideTalk, rng);
            let mut readers = members.clone();
            readers.insert(me);
            let sealed = ctx.seal_side_key(&key, &readers, &BTreeSet::new(), rng)?;
            let root = SideRoot {
                thread: (*about.0.as_bytes()).into(),
                post: (*about.1.as_bytes()).into(),
                title: title.into(),
                text: text.into(),
                added: SideAdded { members: ids(members), devices: sealed.devices },
            };
            let open = SideOpen {
                key: key.id().into(),
                seals: sealed.seals,
                sealed: root.seal(&key, &EntryId::ZERO, &me, nonce(rng))?.into(),
            };
            let written = ctx.append(author, rng, vec![NewEntry::new(Body::SideOpen(open), [])])?;
            let talk = *written.first().ok_or(StoreError::Internal("side talk"))?;
            ctx.keep_side_key(&talk, &key)?;
            Ok(talk)
        })
    }

    /// Lets members into a talk, and devices of those who are in it that lack its key. Nothing is
    /// written when nobody lacks it.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotInSideTalk`] when this device does not take part; those of [`Store::append`].
    pub fn let_into_side_talk(
        &self,
        author: &Author,
        now_ms: u64,
        rng: &mut impl CryptoRng,
        talk: &EntryId,
        members: &BTreeSet<MemberId>,
    ) -> Result<Vec<EntryId>, StoreError> {
        self.own_write(author, now_ms, |ctx| {
            let key = ctx.side_key(talk)?.ok_or(StoreError::NotInSideTalk)?;
            let (now, _) = load(self, ctx.conn, talk)?.ok_or(StoreError::NotInSideTalk)?;
            let new: BTreeSet<MemberId> = members.difference(&now.members).copied().collect();
            let readers = now.members.union(&new).copied().collect();
            let sealed = ctx.seal_side_key(&key, &readers, &now.devices, rng)?;
            if new.is_empty() && sealed.seals.is_empty() {
                return Ok(Vec::new());
            }
            let added = SideAdded { members: ids(&new), devices: sealed.devices };
            let sealed_to = added.seal(&key, talk, &ctx.own_member()?, nonce(rng))?;
            let seal = SideSeal { seals: sealed.seals, sealed: sealed_to.into() };
            ctx.append(author, rng, vec![NewEntry::new(Body::SideSeal(seal), [*talk])])
        })
    }

    /// Proposes a text to bring back, or consents to one.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotInSideTalk`] when this device does not take part; those of [`Store::append`].
    pub fn say_in_side_talk(
        &self,
        author: &Author,
        now_ms: u64,
        rng: &mut impl CryptoRng,
        talk: &EntryId,
        said: &Said,
    ) -> Result<EntryId, StoreError> {
        self.own_write(author, now_ms, |ctx| {
            let key = ctx.side_key(talk)?.ok_or(StoreError::NotInSideTalk)?;
            let entry = ctx.boxed(&key, talk, said, rng)?;
            let written = ctx.append(author, rng, vec![entry])?;
            written.first().copied().ok_or(StoreError::Internal("side talk"))
        })
    }
}
