//! The network: what waits to happen, in the order of time.
//!
//! Nothing in a run waits for anything. Every delay is an event at a later time, the event with the
//! smallest (time, number) is next, and the clock jumps to it. Events are numbered as they are
//! made, so equal seeds give equal runs to the last byte.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use lanai_crdt::entry::DeviceSecret;
use lanai_crdt::id::{CommunityId, EntryId};

use super::link::Link;
use super::node::Node;
use super::rng::Rng;
use super::scenario::{Act, Clock, Scenario};
use super::{Report, START_MS};
use crate::sync::{Incoming, Input, Query};

/// Events that may wait at one time. More than so many mean that somebody makes work without end.
const MAX_EVENTS: usize = 100_000;
/// Steps of one run.
const MAX_STEPS: u64 = 5_000_000;
/// Rounds in which everybody meets the first node, at most: each of twelve may be the only one who can
/// open some epoch, and then follows it with one for all.
const MAX_ROUNDS: u32 = 13;

#[derive(Debug)]
pub(super) enum Event {
    Deliver {
        link: u64,
        to: usize,
        bytes: Vec<u8>,
    },
    Sent {
        link: u64,
        end: usize,
        bytes: usize,
    },
    Eof {
        link: u64,
        to: usize,
    },
    Answer {
        link: u64,
        end: usize,
        query: Query,
    },
    Commit {
        link: u64,
        end: usize,
        node: usize,
        life: u64,
        batch: Vec<Incoming>,
    },
    Tick {
        link: u64,
        end: usize,
    },
    Live {
        from: usize,
        to: usize,
        message: Vec<u8>,
    },
    Connect {
        a: usize,
        b: usize,
    },
    Meet,
    Step {
        at: usize,
    },
    Restart {
        node: usize,
    },
    /// A node looks who lacks the key to write with.
    TopUp {
        node: usize,
    },
}

/// A post that scenario and seed can speak of.
#[derive(Debug, Clone)]
pub(super) struct Post {
    pub(super) id: EntryId,
    pub(super) thread: EntryId,
    pub(super) by: usize,
}

/// Where a run stands; outlives a panic.
#[derive(Debug, Default)]
pub(super) struct Progress {
    pub(super) steps: Cell<u64>,
    pub(super) now: Cell<u64>,
}

pub(super) struct Sim<'s> {
    pub(super) scenario: &'s Scenario,
    pub(super) progress: &'s Progress,
    pub(super) trace: &'s mut dyn FnMut(String),
    pub(super) rng: Rng,
    pub(super) now: u64,
    pub(super) events: BTreeMap<(u64, u64), Event>,
    pub(super) serial: u64,
    pub(super) community: CommunityId,
    pub(super) nodes: Vec<Node>,
    pub(super) links: BTreeMap<u64, Link>,
    pub(super) posts: Vec<Post>,
    pub(super) named: BTreeMap<String, Post>,
    pub(super) tickets: BTreeMap<String, (EntryId, [u8; 32])>,
    /// Motions by their names, with the endorsements that were written.
    pub(super) motions: BTreeMap<String, (EntryId, Vec<EntryId>)>,
    /// What a home held that was put back to a copy or left behind, and does not hold after.
    pub(super) put_back: BTreeSet<EntryId>,
    pub(super) recovery: DeviceSecret,
    /// Live messages under way to each node.
    pub(super) live: Vec<usize>,
    /// What (the first) sends to (the second) is lost until then.
    lost: BTreeMap<(usize, usize), u64>,
    /// Events that were laid down before the run began and did not happen yet.
    scheduled: u64,
    /// When the scenario is over.
    end: u64,
    /// Nothing goes wrong any more.
    pub(super) calm: bool,
    pub(super) report: Report,
    dir: tempfile::TempDir,
}

/// A directory in memory where there is one.
fn directory() -> std::io::Result<tempfile::TempDir> {
    let memory = std::path::Path::new("/dev/shm");
    tempfile::Builder::new()
        .prefix("lanai-sim")
        .tempdir_in(memory)
        .or_else(|_| tempfile::Builder::new().prefix("lanai-sim").tempdir())
}

impl<'s> Sim<'s> {
    pub(super) fn new(
        scenario: &'s Scenario,
        seed: u64,
        progress: &'s Progress,
        trace: &'s mut dyn FnMut(String),
    ) -> Sim<'s> {
        let rng = Rng(seed).fork("network");
        let dir = directory().expect("a directory for stores");
        let count = scenario.nodes.len();
        let nodes: Vec<Node> = scenario
            .nodes
            .iter()
            .enumerate()
            .map(|(at, spec)| Node::new(spec, at, count, dir.path(), &Rng(seed)))
            .collect();
        let live = vec![0; nodes.len()];
        let mut sim = Sim {
            scenario,
            progress,
            trace,
            rng,
            now: START_MS,
            events: BTreeMap::new(),
            serial: 0,
            community: CommunityId::ZERO,
            nodes,
            links: BTreeMap::new(),
            posts: Vec::new(),
            named: BTreeMap::new(),
            tickets: BTreeMap::new(),
            motions: BTreeMap::new(),
            put_back: BTreeSet::new(),
            recovery: DeviceSecret::from_bytes(&Rng(seed).fork("recovery").array()),
            live,
            lost: BTreeMap::new(),
            scheduled: 0,
            end: u64::MAX,
            calm: false,
            report: Report::default(),
            dir,
        };
        sim.found();
        sim
    }

    /// Founds the community and lets in everybody who is a member from the start. All of this is
    /// long past when the run begins, and clocks were right then.
    fn found(&mut self) {
        let clocks: Vec<Clock> = self.scenario.nodes.iter().map(|n| n.clock).collect();
        self.nodes.iter_mut().for_each(|n| n.set_clock(Clock::Right));
        let long_ago = START_MS - 86_400_000;
        let (founder, others) = self.nodes.split_first_mut().expect("a founder");
        self.community = founder.me.found(&self.recovery, long_ago).expect("a community");
        let members = self.scenario.nodes.iter().skip(1).filter(|n| !n.joins).count();
        let uses = u32::try_from(members).unwrap_or(u32::MAX).max(1);
        let role = lanai_crdt::payload::Role::Member;
        let ticket = founder.me.ticket(uses, role, None, long_ago).expect("a ticket");
        let joining = self.scenario.nodes.iter().skip(1).map(|n| n.joins);
        let mut newcomers: Vec<&mut Node> = Vec::new();
        for (node, joins) in others.iter_mut().zip(joining) {
            if joins {
                continue;
            }
            let record = node.me.join_record(self.community, &ticket);
            let admitted = founder.me.admit(&record, long_ago).expect("a store that works");
            assert!(admitted.is_some(), "{} is not admitted", node.me.name);
            newcomers.push(node);
        }
        let roster = founder.me.store().roster_entries().expect("a roster");
        for node in newcomers {
            let profile = node.me.join(self.community, &roster, long_ago).expect("a newcomer");
            if node.is_honest() {
                node.written.extend(profile);
            }
        }
        for (node, clock) in self.nodes.iter_mut().zip(clocks) {
            node.set_clock(clock);
        }
        let all = self.nodes[0].me.store().items().expect("items").items;
        self.nodes[0].written.extend(all.iter().map(|i| i.id));
    }

    /// The whole run.
    pub(super) fn run(mut self) -> Report {
        let timeline = self.scenario.timeline.iter().enumerate();
        let steps: Vec<(usize, u64)> =
            timeline.map(|(at, s)| (at, START_MS + to_millis(s.at))).collect();
        let last = steps.iter().map(|(_, time)| *time).max().unwrap_or(START_MS);
        let end = last.max(START_MS + self.scenario.seconds * 1000);
        self.end = end;
        for (at, time) in steps {
            self.at(time, Event::Step { at });
        }
        let every = self.scenario.links.meet_every_ms;
        let mut time = START_MS;
        while every > 0 && time < end {
            time += self.rng.within(every / 2, every + every / 2).max(1);
            self.at(time, Event::Meet);
        }
        self.scheduled = self.events.len() as u64;
        self.drain();
        self.settle();
        self.check_end();
        self.report.steps = self.progress.steps.get();
        self.report.simulated_ms = self.now - START_MS;
        drop(self.nodes);
        drop(self.dir);
        self.report
    }

    pub(super) fn at(&mut self, time: u64, event: Event) {
        self.serial += 1;
        self.events.insert((time, self.serial), event);
    }

    /// Some time between now and `max` milliseconds from now.
    pub(super) fn soon(&mut self, max: u64) -> u64 {
        self.now + self.rng.below(max)
    }

    pub(super) fn tell(&mut self, what: impl FnOnce(&Self) -> String) {
        let ms = self.now - START_MS;
        let line = format!("{:>9.3} s  {}", ms as f64 / 1000.0, what(self));
        (self.trace)(line);
    }

    pub(super) fn drain(&mut self) {
        while let Some(((time, serial), event)) = self.events.pop_first() {
            assert!(time >= self.now, "time goes back");
            self.now = time;
            let steps = self.progress.steps.get() + 1;
            self.progress.steps.set(steps);
            self.progress.now.set(time - START_MS);
            assert!(steps < MAX_STEPS, "it does not come to rest");
            assert!(self.events.len() < MAX_EVENTS, "{} events wait", self.events.len());
            self.scheduled -= u64::from(matches!(event, Event::Meet | Event::Step { .. }));
            let under_way = (self.events.len() as u64).saturating_sub(self.scheduled);
            self.report.most_events = self.report.most_events.max(under_way);
            if let Some(node) = self.whose(&event) {
                let until = self.nodes[node].asleep_until;
                if until > self.now {
                    // It keeps its number, so what came first is first when the node wakes.
                    self.scheduled += u64::from(matches!(event, Event::Step { .. }));
                    self.events.insert((until, serial), event);
                    continue;
                }
            }
            self.step(event);
            self.check_step(steps);
        }
        assert!(self.links.is_empty(), "{} links left", self.links.len());
    }

    /// The node on which an event happens, if it is one that sleeping keeps from happening.
    fn whose(&self, event: &Event) -> Option<usize> {
        let (link, end) = match event {
            Event::Deliver { link, to, .. } | Event::Eof { link, to } => (link, *to),
            Event::Sent { link, end, .. }
            | Event::Answer { link, end, .. }
            | Event::Tick { link, end } => (link, *end),
            Event::Commit { node, .. } => return Some(*node),
            Event::Live { to, .. } => return Some(*to),
            Event::TopUp { node } => return Some(*node),
            Event::Step { at } => {
                let step = self.scenario.timeline.get(*at)?;
                // What befalls a node does so also while it sleeps.
                return match step.act {
                    Act::Crash { .. }
                    | Act::Suspend { .. }
                    | Act::HalfOpen { .. }
                    | Act::Move
                    | Act::Carry { .. } => None,
                    _ => self.scenario.node(step.who.as_ref()?),
                };
            }
            Event::Connect { .. } | Event::Meet | Event::Restart { .. } => return None,
        };
        Some(self.links.get(link)?.ends[end].as_ref()?.node)
    }

    fn step(&mut self, event: Event) {
        match event {
            Event::Deliver { link, to, bytes } => self.give(link, to, Input::Bytes(&bytes)),
            Event::Sent { link, end, bytes } => self.give(link, end, Input::Sent(bytes)),
            Event::Eof { link, to } => self.give(link, to, Input::Eof),
            Event::Tick { link, end } => {
                if let Some(end) = self.end(link, end) {
                    end.tick = None;
                }
                self.give(link, end, Input::Tick);
            }
            Event::Answer { link, end, query } => self.answer(link, end, query),
            Event::Commit { link, end, node, life, batch } => {
                self.commit(link, end, node, life, batch);
            }
            Event::Live { from, to, message } => self.hear(from, to, &message),
            Event::Connect { a, b } => self.connect(a, b),
            Event::Meet => self.meet(),
            Event::TopUp { node } => self.top_up(node),
            Event::Step { at } => self.act(at),
            Event::Restart { node } => {
                if !self.nodes[node].up {
                    self.nodes[node].start();
                    self.tell(|s| format!("{} is started again", s.nodes[node].me.name));
                }
            }
        }
    }

    /// The roster changed on a node: soon it is its turn to see whether everybody has the key. Who
    /// changed it is first, and the others wait to see whether that comes about.
    pub(super) fn roster_changed(&mut self, node: usize, own: bool) {
        if self.now > self.end || self.nodes[node].turn || !self.nodes[node].is_honest() {
            return;
        }
        self.nodes[node].turn = true;
        let time = if own { self.now + 1000 } else { self.now + self.rng.within(5000, 60_000) };
        self.at(time, Event::TopUp { node });
    }

    fn top_up(&mut self, node: usize) {
        self.nodes[node].turn = false;
        if !self.nodes[node].is_there(self.now) || !self.nodes[node].me.is_member() {
            return;
        }
        let written = self.nodes[node].me.top_up(self.now).expect("a store that works");
        self.nodes[node].written.extend(&written);
        if !written.is_empty() {
            self.tell(|s| format!("{} gives the key", s.nodes[node].me.name));
            self.announce(node, &written);
        }
    }

    /// Two nodes that can begin a session.
    fn meet(&mut self) {
        let now = self.now;
        let there: Vec<usize> =
            (0..self.nodes.len()).filter(|n| self.nodes[*n].is_there(now)).collect();
        // Some tries, so that small groups meet as well.
        for _ in 0..6 {
            if there.len() < 2 {
                return;
            }
            let (a, b) = (*self.rng.pick(&there), *self.rng.pick(&there));
            if a != b && self.reach(a, b) {
                return self.connect(a, b);
            }
        }
    }

    pub(super) fn reach(&self, a: usize, b: usize) -> bool {
        self.nodes[a].side == self.nodes[b].side
    }

    /// Whether what one sends to the other is lost now.
    pub(super) fn loses(&self, from: usize, to: usize) -> bool {
        !self.calm && self.lost.get(&(from, to)).is_some_and(|until| self.now < *until)
    }

    /// What `from` sends to `to` is lost for a while; of all, where nobody is named.
    pub(super) fn half_open(&mut self, from: Option<usize>, to: usize, seconds: u64) {
        let until = self.now + seconds * 1000;
        let senders = from.map_or(0..self.nodes.len(), |n| n..n + 1);
        self.lost.extend(senders.map(|n| ((n, to), until)));
    }

    /// A node has another address: its sessions are dead, and no end is told.
    pub(super) fn moved(&mut self, node: usize) {
        for id in self.links_of(|x, y| x == node || y == node) {
            self.cut(id, false);
        }
    }

    /// A crash takes the node's ends of links with it.
    pub(super) fn crash(&mut self, node: usize) {
        self.nodes[node].crash();
        self.nodes[node].asleep_until = 0;
        let noisy = self.rng.chance(50);
        for id in self.links_of(|x, y| x == node || y == node) {
            let Some(link) = self.links.get_mut(&id) else { continue };
            for end in &mut link.ends {
                if end.as_ref().is_some_and(|e| e.node == node) {
                    *end = None;
                }
            }
            self.cut(id, noisy);
        }
    }

    /// Cuts the links between nodes that no longer reach each other.
    pub(super) fn cut_apart(&mut self) {
        let noisy = self.rng.chance(30);
        let sides: Vec<usize> = self.nodes.iter().map(|n| n.side).collect();
        for id in self.links_of(|x, y| sides[x] != sides[y]) {
            self.cut(id, noisy);
        }
    }

    /// Links are good from now on, and everybody is there. Whoever meets everybody else is soon
    /// equal: all members meet one of them and then hear from it what it heard, until nothing is
    /// new.
    fn settle(&mut self) {
        self.calm = true;
        for node in &mut self.nodes {
            node.side = 0;
            node.asleep_until = 0;
            if !node.up {
                node.start();
            }
        }
        let hostile = self.there(false);
        let honest = self.there(true);
        for n in hostile {
            let b = self.hub();
            self.at(self.now, Event::Connect { a: n, b });
            self.drain();
        }
        for round in 1..=MAX_ROUNDS {
            // Who was removed is let in nowhere, so it must be one whom most know.
            let hub = self.hub();
            for direction in 0..2 {
                for n in honest.iter().copied().filter(|n| *n != hub) {
                    let (a, b) = if direction == 0 { (n, hub) } else { (hub, n) };
                    self.at(self.now, Event::Connect { a, b });
                    self.drain();
                }
            }
            self.report.rounds = round;
            // The hub may have no key itself.
            let mut quiet = true;
            for n in std::iter::once(hub).chain(self.standing()) {
                let new = self.nodes[n].me.top_up(self.now).expect("a store that works");
                self.nodes[n].written.extend(&new);
                if !new.is_empty() {
                    quiet = false;
                    self.tell(|s| format!("{} gives the key, round {round}", s.nodes[n].me.name));
                    break;
                }
            }
            if quiet && self.are_equal() {
                return;
            }
        }
        let mut groups: BTreeMap<_, Vec<String>> = BTreeMap::new();
        for (name, (entries, roster, heads)) in self.digests() {
            groups.entry((entries, heads.len(), roster[..4].to_vec())).or_default().push(name);
        }
        panic!(
            "not at rest after {MAX_ROUNDS} rounds of meeting: (entries, heads, roster) {groups:?}"
        );
    }

    /// Nodes with a store.
    fn there(&self, honest: bool) -> Vec<usize> {
        let nodes = self.nodes.iter().enumerate();
        let there = nodes.filter(|(_, n)| n.is_honest() == honest && n.me.store.is_some());
        there.map(|(n, _)| n).collect()
    }

    /// The honest node that most honest nodes know as a member; of several, the first.
    pub(super) fn hub(&self) -> usize {
        let honest = self.there(true);
        let known = |n: usize| {
            let device = self.nodes[n].me.device();
            honest.iter().filter(|o| self.nodes[**o].me.knows(&device)).count()
        };
        let best = honest.iter().copied().max_by_key(|n| (known(*n), std::cmp::Reverse(*n)));
        best.unwrap_or(0)
    }

    /// The honest nodes that are members as that one sees it.
    pub(super) fn standing(&self) -> Vec<usize> {
        let first = &self.nodes[self.hub()].me;
        let mut standing = self.there(true);
        standing.retain(|n| first.knows(&self.nodes[*n].me.device()));
        standing
    }

    /// What each of those holds, in one line each.
    fn digests(&self) -> BTreeMap<String, (u64, [u8; 32], BTreeSet<EntryId>)> {
        let digest = |n: usize| {
            let me = &self.nodes[n].me;
            let held = me.store().set_summary().expect("a store that works");
            (me.name.clone(), (held.entries, held.roster, held.heads.into_iter().collect()))
        };
        self.standing().into_iter().map(digest).collect()
    }

    fn are_equal(&self) -> bool {
        let held = self.digests();
        let mut values = held.values();
        let first = values.next();
        values.all(|v| Some(v) == first)
    }
}

fn to_millis(seconds: f64) -> u64 {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "seconds of a scenario are few and positive"
    )]
    let ms = (seconds.max(0.0) * 1000.0) as u64;
    ms
}
