//! Authors, entries and an in-memory store for the tests: real signed headers, random payloads.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use lanai_crdt::clock::Hlc;
use lanai_crdt::entry::{DeviceSecret, Header, HeaderTail, Verified, payload_hash};
use lanai_crdt::id::{CommunityId, EntryId, EpochRef, LogId, LogNumber};

pub(crate) use crate::sim::Rng;
use crate::sync::*;

impl Rng {
    pub(crate) fn nonce(&mut self) -> Nonce {
        Nonce(self.array())
    }
}

/// One device with one log.
#[derive(Debug, Clone)]
pub(crate) struct Author {
    pub(crate) secret: DeviceSecret,
    pub(crate) log: LogNumber,
    pub(crate) seq: u64,
    pub(crate) prev: EntryId,
    pub(crate) time: Hlc,
}

/// A community and its genesis.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) community: CommunityId,
    pub(crate) genesis: StoredEntry,
    pub(crate) epoch: EpochRef,
}

pub(crate) struct Writing {
    pub(crate) class: u8,
    pub(crate) refs: Vec<EntryId>,
    pub(crate) payload: Vec<u8>,
    pub(crate) now: u64,
}

impl Author {
    pub(crate) fn new(n: u64) -> Author {
        let seed = *blake3::hash(&n.to_be_bytes()).as_bytes();
        Author {
            secret: DeviceSecret::from_bytes(&seed),
            log: LogNumber(n.to_be_bytes()),
            seq: 0,
            prev: EntryId::ZERO,
            time: Hlc::default(),
        }
    }

    fn header(&mut self, community: CommunityId, class: u8, now: u64, payload: &[u8]) -> Header {
        self.time = Hlc::next(self.time, now);
        Header {
            class,
            community,
            log: LogId { device: self.secret.device(), number: self.log },
            seq: self.seq,
            prev: self.prev,
            time: self.time,
            epoch: EpochRef::CLEAR,
            payload_hash: payload_hash(payload),
            payload_len: payload.len() as u32,
            tail: HeaderTail::V1 { heads: vec![], refs: vec![] },
        }
    }

    fn advance(&mut self, entry: Verified, payload: Vec<u8>) -> StoredEntry {
        self.seq += 1;
        self.prev = entry.id();
        StoredEntry { entry, payload: Some(payload) }
    }

    pub(crate) fn found(&mut self, now: u64) -> World {
        let payload = b"a genesis payload in the clear".to_vec();
        let header = self.header(CommunityId::ZERO, 0, now, &payload);
        let entry = self.secret.sign(&header);
        let community = entry.id().as_community();
        World { community, genesis: self.advance(entry, payload), epoch: EpochRef([7; 16]) }
    }

    pub(crate) fn write(&mut self, world: &World, w: Writing) -> StoredEntry {
        let mut header = self.header(world.community, w.class, w.now, &w.payload);
        let heads = match w.class {
            0 => vec![world.genesis.entry.id()],
            _ => {
                header.epoch = world.epoch;
                vec![]
            }
        };
        header.tail = HeaderTail::V1 { heads, refs: w.refs };
        let entry = self.secret.sign(&header);
        self.advance(entry, w.payload)
    }
}

/// What a node has on its disk.
#[derive(Debug, Clone, Default)]
pub(crate) struct MemStore {
    pub(crate) entries: BTreeMap<EntryId, StoredEntry>,
    by_prev: HashMap<EntryId, Vec<EntryId>>,
    /// In the order in which they came.
    pub(crate) arrived: Vec<EntryId>,
    pub(crate) bases: Vec<Base>,
}

impl MemStore {
    pub(crate) fn insert(&mut self, stored: StoredEntry) {
        self.by_prev.entry(stored.entry.header().prev).or_default().push(stored.entry.id());
        self.arrived.push(stored.entry.id());
        self.entries.insert(stored.entry.id(), stored);
    }

    pub(crate) fn ids(&self) -> BTreeSet<EntryId> {
        self.entries.keys().copied().collect()
    }

    fn successors(&self, id: &EntryId) -> impl Iterator<Item = &Header> {
        let ids = self.by_prev.get(id).into_iter().flatten();
        ids.filter_map(|id| self.entries.get(id)).map(|e| e.entry.header())
    }

    /// Whether the next entry of its log is here.
    pub(crate) fn has_successor(&self, entry: &Verified) -> bool {
        let h = entry.header();
        self.successors(&entry.id()).any(|s| s.log == h.log && s.seq == h.seq + 1)
    }

    pub(crate) fn state(&self) -> LocalState {
        let all = || self.entries.values();
        let heads = all().filter(|e| !self.has_successor(&e.entry)).map(|e| e.entry.id());
        let holes = all().any(|e| {
            e.entry.header().seq > 0 && !self.entries.contains_key(&e.entry.header().prev)
        });
        let wants = all().any(|e| e.payload.is_none());
        let mut roster = blake3::Hasher::new();
        for e in all().filter(|e| e.entry.header().class == 0) {
            roster.update(e.entry.id().as_bytes());
        }
        let roster = *roster.finalize().as_bytes();
        LocalState::new(roster, self.entries.len() as u64, heads.collect(), holes, wants)
            .with_bases(self.bases.clone())
    }

    /// Takes note of what a session says, as the store does.
    pub(crate) fn note(&mut self, equal: &Equal, began_with: usize) -> bool {
        let (now, received) = (self.arrived.len(), equal.received as usize);
        if received > 0 && now - began_with != received {
            return false;
        }
        let upto = (began_with + received) as i64;
        self.bases.retain(|b| Some(b.token) == equal.kept);
        let Equal { token, entries, runs, .. } = *equal;
        self.bases.insert(0, Base { token, entries, upto, runs });
        true
    }

    fn item(e: &StoredEntry) -> SyncItem {
        SyncItem {
            time: e.entry.header().time.0,
            id: e.entry.id(),
            lane: u32::from(e.entry.header().log.device.as_bytes()[0]),
            roster: e.entry.header().class == 0,
        }
    }

    pub(crate) fn items(&self) -> Vec<SyncItem> {
        self.entries.values().map(MemStore::item).collect()
    }

    pub(crate) fn places(&self, ids: &[EntryId]) -> Vec<SyncItem> {
        ids.iter().filter_map(|id| self.entries.get(id)).map(MemStore::item).collect()
    }

    pub(crate) fn news(&self, after: i64, upto: usize, limit: usize) -> Vec<SyncItem> {
        let came = self.arrived.iter().take(upto).skip(after as usize).take(limit);
        came.map(|id| MemStore::item(&self.entries[id])).collect()
    }

    pub(crate) fn wanted_payloads(&self, limit: usize) -> Vec<EntryId> {
        let missing = self.entries.values().filter(|e| e.payload.is_none());
        missing.map(|e| e.entry.id()).take(limit).collect()
    }

    pub(crate) fn load(&self, ids: &[EntryId], max_bytes: usize) -> (Vec<StoredEntry>, usize) {
        let (mut entries, mut taken, mut bytes) = (Vec::new(), 0, 0);
        for id in ids {
            if bytes >= max_bytes {
                break;
            }
            taken += 1;
            if let Some(e) = self.entries.get(id) {
                bytes += e.entry.bytes().len() + e.payload.as_ref().map_or(0, Vec::len);
                entries.push(e.clone());
            }
        }
        (entries, taken)
    }

    /// Verifies by own signature or chain rule, against the batch and what is stored.
    pub(crate) fn ingest(&mut self, batch: Vec<Incoming>) -> IngestReport {
        let mut report = IngestReport::default();
        let mut open: Vec<Incoming> = Vec::new();
        for incoming in batch {
            let Some(held) = self.entries.get_mut(&incoming.signed.id()) else {
                open.push(incoming);
                continue;
            };
            report.known += 1;
            if held.payload.is_none() && incoming.payload.is_some() {
                report.payloads += 1;
                held.payload = incoming.payload;
            }
        }
        loop {
            let mut left = Vec::new();
            let before = open.len();
            for Incoming { signed, payload } in open.into_iter().rev() {
                let next = self.successors(&signed.id()).find(|s| {
                    s.log == signed.header().log && s.seq == signed.header().seq.wrapping_add(1)
                });
                let verified = match next {
                    Some(next) => signed.clone().verify_by_next(next),
                    None => signed.clone().verify(),
                };
                match verified {
                    Ok(entry) => {
                        if let Some(payload) = &payload {
                            assert!(entry.matches_payload(payload));
                        }
                        if !self.entries.contains_key(&entry.id()) {
                            report.stored += 1;
                            self.insert(StoredEntry { entry, payload });
                        } else {
                            report.known += 1;
                        }
                    }
                    Err(_) => left.push(Incoming { signed, payload }),
                }
            }
            left.reverse();
            open = left;
            if open.is_empty() || open.len() == before {
                break;
            }
        }
        if !open.is_empty() {
            report.refused.insert("not authentic", open.len() as u64);
        }
        report
    }
}

/// A store with a genesis, some roster entries, and posts by several authors that answer each
/// other. Equal seeds give equal bytes.
pub(crate) fn archive(
    seed: u64,
    authors: u64,
    posts: u64,
    payload: u64,
) -> (World, Vec<Author>, MemStore) {
    let mut rng = Rng(seed);
    let mut now = 1_700_000_000_000;
    let mut writers: Vec<Author> = (0..authors).map(|n| Author::new(seed * 1000 + n)).collect();
    let world = writers[0].found(now);
    let mut store = MemStore::default();
    store.insert(world.genesis.clone());
    for author in writers.iter_mut().skip(1) {
        now += 60_000;
        let payload = rng.bytes(100);
        store.insert(author.write(&world, Writing { class: 0, refs: vec![], payload, now }));
    }
    let mut posted: Vec<EntryId> = Vec::new();
    let mut threads: Vec<EntryId> = Vec::new();
    for _ in 0..posts {
        now += rng.below(600_000);
        let author = rng.below(authors) as usize;
        let recent = &posted[posted.len().saturating_sub(20)..];
        let refs = match threads.last() {
            Some(thread) if !rng.chance(5) => match rng.chance(50) {
                true => vec![*thread],
                false => vec![*thread, *rng.pick(recent)],
            },
            _ => vec![],
        };
        let len = payload / 2 + rng.below(payload.max(1));
        let payload = rng.bytes(len as usize);
        let new_thread = refs.is_empty();
        let w = Writing { class: 2, refs, payload, now };
        let e = writers[author].write(&world, w);
        if new_thread {
            threads.push(e.entry.id());
        }
        posted.push(e.entry.id());
        store.insert(e);
    }
    (world, writers, store)
}
