//! Sessions between nodes: a stream each way with delay, speed, and an end at any byte.
//!
//! What a session sends is cut into pieces of random sizes that arrive in their order, as a stream
//! has it, but each in its own time. A link may be cut by both ends being told, or by silence.
//! The store answers, and commits, after a time of its own.

use std::collections::BTreeSet;

use lanai_crdt::id::EntryId;

use super::engine::{Event, Sim};
use crate::sync::{
    Config, Incoming, Input, ItemSet, MAX_UNSENT_BYTES, MIN_WINDOW_BYTES, Nonce, Output, Query,
    Role, Session, Severity,
};

/// Bytes a session may hold for its peer: the window it granted, and what the peer has not read.
const MAX_SESSION_BYTES: u64 = (4 << 20) + MAX_UNSENT_BYTES as u64;

pub(super) struct End {
    pub(super) node: usize,
    peer: usize,
    session: Session,
    /// What the node held when the session began.
    held: BTreeSet<EntryId>,
    /// The last arrival of that, and the store's generation.
    start: (i64, u64),
    pub(super) tick: Option<u64>,
    done: bool,
    /// When the batch under way will be on disk.
    committing: Option<u64>,
    /// Acknowledged entries that were looked for on the peer's disk.
    acked: usize,
}

pub(super) struct Link {
    pub(super) ends: [Option<End>; 2],
    latency: u64,
    bytes_per_ms: u64,
    /// When the last byte towards each end arrives.
    busy: [u64; 2],
    /// Bytes until the link is cut.
    life: u64,
    /// Nothing arrives any more, and nobody is told.
    silent: bool,
    /// Something on the way to that end was lost, so that nothing after it arrives either.
    lost: [bool; 2],
}

impl Sim<'_> {
    pub(super) fn links_of(&self, cut: impl Fn(usize, usize) -> bool) -> Vec<u64> {
        let nodes = |l: &Link| -> Vec<usize> { l.ends.iter().flatten().map(|e| e.node).collect() };
        let hit = self.links.iter().filter(|(_, l)| match nodes(l)[..] {
            [x, y] => cut(x, y),
            [x] => cut(x, x),
            _ => false,
        });
        hit.map(|(id, _)| *id).collect()
    }

    /// What is on the way is lost. `noisy`: both ends are told.
    pub(super) fn cut(&mut self, id: u64, noisy: bool) {
        let Some(link) = self.links.get_mut(&id) else { return };
        link.silent = true;
        self.events.retain(|_, e| !matches!(e, Event::Deliver { link, .. } if *link == id));
        if noisy {
            for to in 0..2 {
                let time = self.soon(100);
                self.at(time, Event::Eof { link: id, to });
            }
        }
        self.sweep(id);
    }

    pub(super) fn end(&mut self, link: u64, end: usize) -> Option<&mut End> {
        self.links.get_mut(&link)?.ends[end].as_mut()
    }

    fn sweep(&mut self, id: u64) {
        if self.links.get(&id).is_some_and(|l| l.ends.iter().flatten().all(|e| e.done)) {
            self.links.remove(&id);
        }
    }

    fn config(&mut self) -> Config {
        let community = self.community;
        let rng = &mut self.rng;
        Config {
            window: *rng.pick(&[0, MIN_WINDOW_BYTES, 1 << 20]),
            high_water: *rng.pick(&[1, 5000, 1 << 18]),
            load_entries: *rng.pick(&[1, 7, 1024]),
            load_bytes: *rng.pick(&[1, 4000, 1 << 19]),
            batch_entries: *rng.pick(&[50, 1000, 10_000]),
            ..Config::new(community)
        }
    }

    /// Begins a session, if both are there, reach each other and are members for each other.
    pub(super) fn connect(&mut self, a: usize, b: usize) {
        let there = |n: usize| self.nodes[n].is_there(self.now);
        if !self.reach(a, b) || !there(a) || !there(b) {
            return;
        }
        let busy = |x: usize, y: usize| (x == a && y == b) || (x == b && y == a);
        if !self.links_of(busy).is_empty() {
            return;
        }
        for (host, guest) in [(a, b), (b, a)] {
            if !self.lets_in(host, guest) {
                self.report.strangers += 1;
                return;
            }
        }
        self.report.sessions += 1;
        self.serial += 1;
        let id = self.serial;
        let ends = [(Role::Initiator, a, b), (Role::Responder, b, a)].map(|(role, node, peer)| {
            let (config, nonce) = (self.config(), Nonce(self.rng.array()));
            let theirs = self.nodes[peer].me.device();
            let n = &mut self.nodes[node];
            let (start, mut state) = n.me.state(peer, &theirs).expect("a store that works");
            if let Some(hostile) = &mut n.hostile {
                hostile.state(&mut n.me, peer, &mut state);
            }
            let session = Session::new(role, config, state, nonce, self.now);
            let held = n.me.items(peer, 0, start.0).expect("a store that works");
            let held = held.iter().map(|i| i.id).collect();
            let (tick, done, committing) = (None, false, None);
            Some(End { node, peer, session, held, start, tick, done, committing, acked: 0 })
        });
        let spec = &self.scenario.links;
        let rng = &mut self.rng;
        let dies = !self.calm && rng.chance(spec.cut);
        let link = Link {
            ends,
            latency: rng.within(spec.latency_ms.0, spec.latency_ms.1),
            bytes_per_ms: if spec.bytes_per_ms.is_empty() {
                1000
            } else {
                (*rng.pick(&spec.bytes_per_ms)).max(1)
            },
            busy: [0; 2],
            life: if dies { rng.below(20_000) } else { u64::MAX },
            silent: false,
            lost: [false; 2],
        };
        self.links.insert(id, link);
        self.report.most_links = self.report.most_links.max(self.links.len() as u64);
        self.tell(|s| format!("{} meets {}", s.nodes[a].me.name, s.nodes[b].me.name));
        for end in 0..2 {
            self.give(id, end, Input::Start);
        }
    }

    /// Whether `guest` is a member for `host`, perhaps because it shows what makes it one.
    fn lets_in(&mut self, host: usize, guest: usize) -> bool {
        let device = self.nodes[guest].me.device();
        if self.nodes[host].me.knows(&device) {
            return true;
        }
        let shown = self.nodes[guest].me.store().roster_entries().expect("a store that works");
        self.nodes[host].me.enrol(device, &shown, self.now).expect("a store that works");
        self.nodes[host].me.knows(&device)
    }

    pub(super) fn answer(&mut self, link: u64, end: usize, query: Query) {
        let Some(e) = self.end(link, end) else { return };
        let (at, peer, (upto, _)) = (e.node, e.peer, e.start);
        let node = &mut self.nodes[at];
        match query {
            Query::Set | Query::News { .. } => {
                let after = if let Query::News { after, .. } = query { after } else { 0 };
                let mut items = node.me.items(peer, after, upto).expect("a store that works");
                if let Some(hostile) = &mut node.hostile {
                    hostile.items(&mut node.me, peer, &mut items);
                }
                match query {
                    Query::News { .. } => self.give(link, end, Input::News(items)),
                    _ => self.give(link, end, Input::Set(ItemSet::new(items).tree())),
                }
            }
            Query::Places { ids } => {
                let items = node.me.places(peer, &ids).expect("a store that works");
                self.give(link, end, Input::Places(items));
            }
            Query::WantedPayloads { limit } => {
                let ids = node.me.store().missing_payloads(limit).expect("a store that works");
                self.give(link, end, Input::WantedPayloads(ids));
            }
            Query::Load { ids, max_bytes } => {
                let (mut entries, taken) =
                    node.me.load(&ids, max_bytes).expect("a store that works");
                if let Some(hostile) = &mut node.hostile {
                    hostile.load(&mut node.me, peer, &mut entries);
                }
                self.give(link, end, Input::Loaded { entries, taken });
            }
        }
    }

    pub(super) fn commit(
        &mut self,
        link: u64,
        end: usize,
        at: usize,
        life: u64,
        mut batch: Vec<Incoming>,
    ) {
        let node = &mut self.nodes[at];
        if node.life != life {
            return;
        }
        if let Some(hostile) = &mut node.hostile {
            hostile.keep(&mut node.me, &mut batch);
        }
        let peer = self.end(link, end).map(|e| e.peer);
        let from = match peer {
            Some(peer) => self.nodes[peer].me.device(),
            None => self.nodes[at].me.device(),
        };
        let taken = self.nodes[at].me.take(batch, from, self.now).expect("a store that works");
        if taken.roster_changed {
            self.roster_changed(at, false);
        }
        if let Some(e) = self.end(link, end) {
            e.committing = None;
        }
        if let Some(peer) = peer
            && self.are_honest(at, peer)
        {
            assert!(
                taken.refused.is_empty(),
                "{} refuses what {} sent: {:?} {}",
                self.nodes[at].me.name,
                self.nodes[peer].me.name,
                taken.refused,
                self.whereabouts(
                    at,
                    peer,
                    &taken.refused.iter().map(|(id, _)| *id).collect::<Vec<_>>()
                )
            );
        }
        self.give(link, end, Input::Ingested(taken.report));
    }

    /// For a message: where entries stand in their logs.
    fn whereabouts(&self, at: usize, from: usize, ids: &[EntryId]) -> String {
        let (mine, theirs) = (&self.nodes[at].me, self.nodes[from].me.store());
        let mut out = String::new();
        for id in ids {
            let Ok(held) = theirs.entries(&[*id]) else { continue };
            let Some(entry) = held.first() else { continue };
            let header = entry.verified.header();
            let next = theirs.successor(id).ok().flatten().map(|next| {
                let next = next.verified;
                let here = mine.store().unknown(&[next.id()]).is_ok_and(|u| u.is_empty());
                let signed = next.signature().is_some();
                format!(
                    "next {:?} of {}, signed {signed}, here {here}",
                    next.id(),
                    next.header().time.0
                )
            });
            out += &format!(
                "\n  class {} by {:?}, known {} and {}, seq {} time {} signed {}; {next:?}; waiting {}",
                header.class,
                self.nodes.iter().find(|n| n.me.device() == header.log.device).map(|n| &n.me.name),
                mine.knows(&header.log.device),
                self.nodes[from].me.knows(&header.log.device),
                header.seq,
                header.time.0,
                entry.verified.signature().is_some(),
                mine.store().stats().map_or(0, |s| s.waiting_for_device)
            );
        }
        out
    }

    fn are_honest(&self, a: usize, b: usize) -> bool {
        self.nodes[a].is_honest() && self.nodes[b].is_honest()
    }

    pub(super) fn give(&mut self, id: u64, at: usize, input: Input<'_>) {
        let now = self.now;
        let Some(link) = self.links.get_mut(&id) else { return };
        let Some(end) = link.ends[at].as_mut().filter(|e| !e.done) else { return };
        let outputs = end.session.handle(input, now);
        if self.nodes[end.node].is_honest() {
            end.session.check_invariants();
            let held = end.session.buffered();
            assert!(held <= MAX_SESSION_BYTES, "a session holds {held} bytes for its peer");
            self.report.most_buffered = self.report.most_buffered.max(held);
        }
        self.check_acked(id, at);
        for output in outputs {
            self.output(id, at, output);
        }
        let Some(end) = self.end(id, at) else { return self.sweep(id) };
        if let Some(deadline) = end.session.deadline()
            && end.tick.is_none_or(|t| t > deadline)
        {
            end.tick = Some(deadline);
            let time = deadline.max(now + 1);
            self.at(time, Event::Tick { link: id, end: at });
        }
        self.sweep(id);
    }

    /// What an honest peer acknowledged is on its disk.
    fn check_acked(&mut self, id: u64, at: usize) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let Some(end) = &mut link.ends[at] else { return };
        let acked = end.session.acked_ids();
        if acked.len() == end.acked {
            return;
        }
        let new: Vec<EntryId> = acked[end.acked..].to_vec();
        end.acked = acked.len();
        let (node, peer) = (end.node, end.peer);
        if self.are_honest(node, peer)
            && let Some(store) = &self.nodes[peer].me.store
        {
            let lost = store.unknown(&new).expect("a store that works");
            // Or it waits: a roster entry by a clock that stands at zero comes before the admission
            // of its author.
            let waiting = store.stats().map_or(0, |s| s.waiting_for_device);
            assert!(
                lost.len() as u64 <= waiting,
                "{} acknowledged to {} what it does not hold: {lost:?} {}",
                self.nodes[peer].me.name,
                self.nodes[node].me.name,
                self.whereabouts(peer, node, &lost)
            );
        }
    }

    fn output(&mut self, id: u64, at: usize, output: Output) {
        match output {
            Output::Send(bytes) => self.send(id, at, bytes),
            Output::Query(query) => {
                let time = self.soon(50);
                self.at(time, Event::Answer { link: id, end: at, query });
            }
            Output::Ingest(batch) => {
                let slow = !self.calm && self.rng.chance(3);
                let time = self.soon(if slow { 25_000 } else { 200 });
                let Some(end) = self.end(id, at) else { return };
                let time = match end.committing {
                    // Only the last batch of a session that failed comes before its answer.
                    Some(before) => {
                        assert!(end.session.is_over(), "two batches at once");
                        time.max(before)
                    }
                    None => time,
                };
                end.committing = Some(time);
                let node = end.node;
                let life = self.nodes[node].life;
                self.at(time, Event::Commit { link: id, end: at, node, life, batch });
            }
            Output::Done(summary) => {
                self.report.done += 1;
                self.report.bytes += summary.bytes_out;
                self.report.by_news += u64::from(summary.by_news);
                let Some(end) = self.end(id, at) else { return };
                end.done = true;
                let (node, peer, (arrived, generation)) = (end.node, end.peer, end.start);
                if let Some(equal) = &summary.equal {
                    let device = self.nodes[peer].me.device();
                    let store = self.nodes[node].me.store();
                    let noted = store.note_equal(&device, equal, arrived, generation);
                    noted.expect("a store that works");
                }
                if self.are_honest(node, peer) {
                    assert!(summary.refused.is_empty() && !summary.more, "{summary:?}");
                    self.check_done(id, at);
                }
            }
            Output::Failed(error) => {
                let Some(end) = self.end(id, at) else { return };
                end.done = true;
                let (node, peer) = (end.node, end.peer);
                if self.are_honest(node, peer) {
                    assert!(!self.calm, "two honest nodes on a good link: {error}");
                    assert_eq!(error.severity(), Severity::Link, "two honest nodes: {error}");
                }
                *self.report.failed.entry(error.to_string()).or_default() += 1;
                let time = self.soon(500);
                // On a half-open link the end is not heard of either.
                if !self.loses(node, peer) {
                    self.at(time, Event::Eof { link: id, to: 1 - at });
                }
            }
        }
    }

    /// A side that is done holds what the other held when it was asked, and the other way round.
    fn check_done(&self, id: u64, at: usize) {
        let Some(link) = self.links.get(&id) else { return };
        let (Some(mine), Some(theirs)) = (&link.ends[at], &link.ends[1 - at]) else { return };
        for (from, to) in [(mine, theirs), (theirs, mine)] {
            let held: Vec<EntryId> = from.held.iter().copied().collect();
            let Some(store) = &self.nodes[to.node].me.store else { continue };
            let lost = store.unknown(&held).expect("a store that works");
            assert!(
                lost.is_empty(),
                "a session is done, and {} lacks of {}: {lost:?}",
                self.nodes[to.node].me.name,
                self.nodes[from.node].me.name
            );
        }
    }

    fn send(&mut self, id: u64, from: usize, mut bytes: Vec<u8>) {
        let Some(end) = self.end(id, from) else { return };
        let (node, peer) = (end.node, end.peer);
        let loses = self.loses(node, peer);
        let said = bytes.len();
        let node = &mut self.nodes[node];
        if let Some(hostile) = &mut node.hostile {
            hostile.send(&mut node.me, &mut bytes);
        }
        let mut rest = &bytes[..];
        let most = *self.rng.pick(&[10, 2000, 60_000, 60_000]);
        while !rest.is_empty() {
            // Small pieces where there is little to send, or a run would be all pieces.
            let n = if bytes.len() > 4000 { 60_000 } else { most };
            let n = 1 + self.rng.place(n);
            let (mut piece, tail) = rest.split_at(n.min(rest.len()));
            rest = tail;
            let jitter = self.rng.below(30);
            let Some(link) = self.links.get_mut(&id) else { return };
            if link.silent {
                return;
            }
            let dies = link.life < piece.len() as u64;
            if dies {
                piece = &piece[..usize::try_from(link.life).unwrap_or(0)];
            }
            link.life -= piece.len() as u64;
            let to = 1 - from;
            let arrival = (self.now + link.latency + jitter).max(link.busy[to])
                + piece.len() as u64 / link.bytes_per_ms;
            link.busy[to] = arrival;
            let piece = piece.to_vec();
            link.lost[to] |= loses;
            let arrives = !link.lost[to];
            if said == bytes.len() {
                self.at(arrival, Event::Sent { link: id, end: from, bytes: piece.len() });
            }
            if arrives {
                self.at(arrival, Event::Deliver { link: id, to, bytes: piece });
            }
            if dies {
                if let Some(link) = self.links.get_mut(&id) {
                    link.silent = true;
                }
                if self.rng.chance(70) {
                    for to in 0..2 {
                        let time = arrival + self.rng.below(100);
                        self.at(time, Event::Eof { link: id, to });
                    }
                }
                return;
            }
        }
        if said != bytes.len() {
            // The own session is told that all it said went out.
            let time = self.soon(200);
            self.at(time, Event::Sent { link: id, end: from, bytes: said });
        }
    }
}
