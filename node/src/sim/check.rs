//! What must hold: after every step, and when all is quiet.
//!
//! 1. After every step: the invariants of the session concerned and its bound of memory, every entry
//!    that an honest peer acknowledged on that peer's disk, time that does not go back, queues within
//!    their bounds. Every so many steps: what waits in an honest store within its bounds.
//! 2. When a session of two honest nodes is done: each holds what the other held when it began.
//! 3. When all is quiet: all honest members hold the same set and the same roster; equal sets give
//!    equal state hashes; what one can open all can; nothing that an honest member wrote is missing anywhere, header or payload,
//!    and it counts, unless it or an entry before it in its log is gone with a home; no view differs from its entries.

use std::collections::{BTreeMap, BTreeSet};

use lanai_crdt::id::{DeviceId, EntryId};
use lanai_crdt::limits::{MAX_WAITING_BYTES, MAX_WAITING_ENTRIES};
use lanai_crdt::payload::Role;
use lanai_crdt::thread::PostText;

use super::engine::Sim;
use super::live::MAX_LIVE;
use crate::store::{Stats, Store};

/// Which people a list names.
type Fits<'a> = &'a dyn Fn(&crate::store::Person) -> bool;

/// Bytes that SQLite's log takes beside a store before it is written from the front again.
const STORE_LOG: u64 = 4 << 20;
/// Entries from which on the bytes of a store are shared out among them.
const MANY: u64 = 100;
/// Steps between two looks into a store.
const LOOK_EVERY: u64 = 512;

impl Sim<'_> {
    /// Bounds of the whole node, checked beside those that are checked where they might break.
    pub(super) fn check_step(&mut self, steps: u64) {
        assert!(self.live.iter().all(|n| *n <= MAX_LIVE), "live messages wait without bound");
        if !steps.is_multiple_of(LOOK_EVERY) {
            return;
        }
        let place = usize::try_from(steps / LOOK_EVERY).unwrap_or(0) % self.nodes.len();
        let node = &self.nodes[place];
        let Some(store) = node.me.store.as_ref().filter(|_| node.is_honest()) else { return };
        let stats = store.stats().expect("a store that works");
        assert!(stats.waiting_for_device <= MAX_WAITING_ENTRIES as u64, "{stats:?}");
        // A store does not grow beyond what it holds: entries, what waits, and the room SQLite takes.
        let room = 8 << 20;
        let most = stats.entries * 40_000 + room + MAX_WAITING_BYTES as u64;
        assert!(stats.bytes <= most, "{stats:?}");
        self.note_size(&stats);
    }

    /// The greatest numbers of any honest store.
    fn note_size(&mut self, stats: &Stats) {
        let report = &mut self.report;
        report.most_waiting = report.most_waiting.max(stats.waiting_for_device);
        report.most_store = report.most_store.max(stats.bytes);
        if stats.entries >= MANY {
            let grown = stats.bytes.saturating_sub(STORE_LOG);
            report.most_an_entry = report.most_an_entry.max(grown / stats.entries);
        }
    }

    /// All that must hold when nothing happens any more.
    pub(super) fn check_end(&mut self) {
        let standing = self.standing();
        let (mut hashes, mut locked) = (BTreeMap::new(), BTreeMap::new());
        let mut written: BTreeSet<EntryId> =
            standing.iter().flat_map(|n| self.nodes[*n].written.iter().copied()).collect();
        // What went with a home, put back or left behind, and nobody has who is a member still.
        let mut gone: Vec<EntryId> = self.put_back.iter().copied().collect();
        for n in &standing {
            gone = self.nodes[*n].me.store().unknown(&gone).expect("a store that works");
        }
        let gone: BTreeSet<EntryId> = gone.into_iter().collect();
        written.retain(|id| !gone.contains(id));
        self.report.rolled_back = gone.len() as u64;
        let all: Vec<EntryId> = written.iter().copied().collect();
        for n in &standing {
            let me = &self.nodes[*n].me;
            let store = me.store();
            let clock = me.clock(self.now);
            let opened = store.open_seals(&me.author, clock).expect("a store that works");
            // A call folds a thousand entries or one page, and few are listed again by others.
            let mut calls = 0;
            while store.fold_pending(1000).expect("a store that works").left > 0 {
                calls += 1;
                assert!(calls < 10_000, "{} does not come to an end of folding", me.name);
            }
            let lost = store.unknown(&all).expect("a store that works");
            assert!(lost.is_empty(), "{} lacks {lost:?}", self.whose_are(&lost, &me.name));
            let missing = store.missing_payloads(usize::MAX).expect("a store that works");
            let missing: Vec<_> = missing.into_iter().filter(|id| written.contains(id)).collect();
            assert!(missing.is_empty(), "{} lacks the text of {missing:?}", me.name);
            locked.insert(me.name.clone(), opened.locked);
            assert!(store.tallies_hold().expect("a store that works"), "{} miscounts", me.name);
            assert!(store.waits_hold().expect("a store that works"), "{} waits in vain", me.name);
            hashes.insert(me.name.clone(), store.state_hash().expect("a store that works"));
        }
        // What one can open, all can. The key of an epoch whose seals nobody got is gone with a home that
        // was put back to an old copy, or there never was one; nothing that counts is sealed under it.
        let lost = locked.values().next().cloned().unwrap_or_default();
        assert!(
            locked.values().all(|l| *l == lost),
            "some cannot open what others can: {locked:?}"
        );
        self.report.lost_epochs = lost.len() as u64;
        let first = hashes.values().next().copied().unwrap_or_default();
        let mut groups: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for (name, hash) in &hashes {
            let hash = blake3::Hash::from_bytes(*hash).to_hex();
            groups.entry(hash.chars().take(8).collect()).or_default().push(name);
        }
        assert!(
            groups.len() <= 1,
            "equal sets and unequal states: {groups:?}; {}",
            self.differences(&groups)
        );
        // All are equal now: one is looked at in full, and of another every byte.
        let store = self.nodes[self.hub()].me.store();
        // Of who was removed or pending for a while, some may be cut off.
        let stayed = standing.iter().map(|n| &self.nodes[*n]).filter(|n| !n.me.away);
        for id in stayed.flat_map(|n| &n.written).filter(|id| !gone.contains(id)) {
            let entry = store.entry(id).expect("a store that works").expect("it is held");
            let counts = entry.aside.is_none() || follows(store, id, &gone);
            assert!(counts, "{id} by an honest member does not count: {:?}", entry.aside);
        }
        let other = standing[self.rng.place(standing.len())];
        let report = self.nodes[other].me.store().check(|_| ()).expect("a store that works");
        assert!(report.is_clean(), "{}: {:?}", self.nodes[other].me.name, report.damage);
        let stats = store.stats().expect("a store that works");
        self.note_size(&stats);
        self.report.entries = stats.entries;
        self.report.posts = stats.posts;
        self.report.written = all.len() as u64;
        self.report.members = standing.len() as u64;
        self.report.state = first;
        self.check_expected();
    }

    /// For a message: what the first of each group judges otherwise than the first group's first.
    fn differences(&self, groups: &BTreeMap<String, Vec<&str>>) -> String {
        let firsts: Vec<usize> =
            groups.values().filter_map(|g| self.scenario.node(g.first()?)).collect();
        let Some((one, others)) = firsts.split_first() else { return String::new() };
        let store = self.nodes[*one].me.store();
        let mut out = String::new();
        for other in others {
            let theirs = self.nodes[*other].me.store();
            for item in store.items().map_or(Vec::new(), |i| i.items) {
                let (Ok(Some(a)), Ok(Some(b))) = (store.entry(&item.id), theirs.entry(&item.id))
                else {
                    continue;
                };
                if (&a.aside, a.member) != (&b.aside, b.member) {
                    let by = a.header.log.device;
                    let by = self.nodes.iter().find(|n| n.me.device() == by);
                    let by = by.map(|n| n.me.name.as_str());
                    out += &format!(
                        "\n  {} class {} by {by:?}: {:?} {:?} and {:?} {:?}",
                        item.id, a.header.class, a.member, a.aside, b.member, b.aside
                    );
                }
            }
            out += &format!("\n  {:?}\n  {:?}", store.stats(), theirs.stats());
        }
        out
    }

    fn whose_are(&self, ids: &[EntryId], who: &str) -> String {
        let authors: BTreeSet<&str> = self
            .nodes
            .iter()
            .filter(|n| ids.iter().any(|id| n.written.contains(id)))
            .map(|n| n.me.name.as_str())
            .collect();
        let holds = |n: &&super::node::Node| {
            let missing = n.me.store.as_ref().and_then(|s| s.unknown(ids).ok());
            missing.is_some_and(|missing| missing.len() < ids.len())
        };
        let holders: Vec<&str> =
            self.nodes.iter().filter(holds).map(|n| n.me.name.as_str()).collect();
        format!("{who} (of {authors:?}, held by {holders:?})")
    }

    /// What the scenario says besides.
    fn check_expected(&self) {
        let expect = &self.scenario.expect;
        let me = &self.nodes[self.hub()].me;
        let store = me.store();
        let people = store.people().expect("a store that works");
        let device_names: BTreeMap<DeviceId, &str> =
            self.nodes.iter().map(|n| (n.me.device(), n.me.name.as_str())).collect();
        let names = |fits: Fits<'_>| -> BTreeSet<&str> {
            let devices = people.iter().filter(|p| fits(p)).flat_map(|p| &p.devices);
            devices.map(|d| device_names.get(d).copied().unwrap_or("somebody else")).collect()
        };
        let lists: [(_, _, Fits<'_>); 4] = [
            ("members", &expect.members, &|p| !p.pending),
            ("pending", &expect.pending, &|p| p.pending),
            ("leads", &expect.leads, &|p| !p.pending && p.role == Role::Lead),
            ("stewards", &expect.stewards, &|p| !p.pending && p.role == Role::Steward),
        ];
        for (what, expected, fits) in lists {
            if let Some(expected) = expected {
                let expected: BTreeSet<&str> = expected.iter().map(String::as_str).collect();
                assert_eq!(names(fits), expected, "{what}");
            }
        }
        if let Some(count) = expect.pending_count {
            assert_eq!(people.iter().filter(|p| p.pending).count(), count, "pending");
        }
        for (name, text) in &expect.reads {
            let post = self.named.get(name).unwrap_or_else(|| panic!("nothing is called {name}"));
            let view = store.thread(&post.thread).expect("a store that works");
            let view = view.unwrap_or_else(|| panic!("{name}: its thread is not shown"));
            let shown = view.thread.posts.iter().find(|p| p.id == post.id);
            let shown = shown.unwrap_or_else(|| panic!("{name} is not shown"));
            assert_eq!(shown.text, PostText::Current(text.clone()), "{name}");
        }
        for name in &expect.aside {
            let post = self.named.get(name).unwrap_or_else(|| panic!("nothing is called {name}"));
            let entry = store.entry(&post.id).expect("a store that works");
            assert!(entry.is_none_or(|e| e.aside.is_some()), "{name} counts");
        }
        if let Some(threads) = expect.threads {
            assert_eq!(store.stats().expect("a store that works").threads, threads, "threads");
        }
        self.check_forks(&expect.forked);
        let (report, bounds) = (&self.report, &expect.at_most);
        for (what, most, bound) in [
            ("bytes in a session", report.most_buffered, bounds.session_bytes),
            ("sessions at once", report.most_links, bounds.sessions),
            ("entries that wait", report.most_waiting, bounds.waiting),
            ("bytes of a store an entry", report.most_an_entry, bounds.store_bytes_an_entry),
            ("events that wait", report.most_events, bounds.events),
        ] {
            assert!(bound.is_none_or(|bound| most <= bound), "{most} {what}, of {bound:?}");
        }
    }

    /// Exactly these nodes' logs are seen to be forked, and both entries count.
    fn check_forks(&self, names: &[String]) {
        if names.is_empty() {
            return;
        }
        let store = self.nodes[self.hub()].me.store();
        let forks = store.forks().expect("a store that works");
        for id in forks.iter().flat_map(|f| &f.branches).map(|(id, _)| id) {
            let entry = store.entry(id).expect("a store that works").expect("it is held");
            assert_eq!(entry.aside, None, "{id}, a branch of a fork, does not count");
        }
        let device = |name: &String| self.scenario.node(name).map(|n| self.nodes[n].me.device());
        let expected: BTreeSet<DeviceId> = names.iter().filter_map(device).collect();
        let seen: BTreeSet<DeviceId> = forks.iter().map(|f| f.log.device).collect();
        assert_eq!(seen, expected, "whose logs are forked ({names:?})");
    }
}

/// Whether an entry before this one in its log is one of these.
fn follows(store: &Store, id: &EntryId, gone: &BTreeSet<EntryId>) -> bool {
    let mut id = *id;
    while let Some(entry) = store.entry(&id).expect("a store that works") {
        id = entry.header.prev;
    }
    gone.contains(&id)
}
