//! When to ask and answer by multicast DNS: pure, time is an argument.
//!
//! Speaks what libp2p nodes speak ([`dns`]), with the manners of RFC 6762 that keep a network of many
//! nodes quiet. All answers go to everybody, so:
//!
//! 1. Who comes up tells where it is, twice, and asks after a random moment. A question that somebody
//!    else has just asked counts as one's own (section 7.3); fifty nodes that come up together ask a few
//!    times and not fifty. Never for long: after [`MAX_SUPPRESSED`] times a node asks all the same.
//! 2. An answer waits for a random moment (section 6), and no node answers more than once a second,
//!    however often it is asked.
//! 3. Whoever is of no interest is dropped by its name, before its addresses are read. What one source
//!    may cost is bounded.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::announcer::on_interface;
use super::dns::{self, Packet};
use super::endpoint::MAX_ENDPOINTS;
use super::limiter::Limiter;
use super::{Endpoint, Jitter};

/// Where multicast DNS is spoken (RFC 6762).
pub const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
/// Its port.
pub const PORT: u16 = 5353;
/// Seconds for which an answer holds.
pub const TTL_S: u32 = 120;

/// Between two questions, once all is quiet.
const PAUSE: Duration = Duration::from_secs(20);
/// After each of the first questions.
const STEPS: [Duration; 4] = [
    Duration::ZERO,
    Duration::from_millis(1_000),
    Duration::from_millis(2_500),
    Duration::from_secs(8),
];
/// Random moment before a question or an answer.
const DELAY: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(120));
/// The least time between two answers (RFC 6762, section 6).
const ANSWER_EACH: Duration = Duration::from_secs(1);
/// Answers without having been asked, after coming up.
const ANNOUNCEMENTS: u32 = 2;
/// Questions in a row that are left to others.
const MAX_SUPPRESSED: u32 = 3;
/// Others' questions that come within this time count as one.
const SAME_QUESTION: Duration = Duration::from_millis(500);
/// How often what is heard of a node is passed on although nothing changed.
const REFRESH: Duration = Duration::from_secs(15);
/// Nodes whose addresses are kept.
const MAX_NODES: usize = 4096;
/// Strangers that are counted.
const MAX_STRANGERS: usize = 1024;
/// For how long without hearing of them.
const STRANGER_LIFE: Duration = Duration::from_secs(120);
/// A look at a packet comes back in this time, for each source.
const LOOK_EACH: Duration = Duration::from_millis(4);
/// Looks that a source has at once.
const LOOKS: u32 = 512;

/// Who matters.
#[derive(Debug, Clone)]
pub enum Interest {
    /// These peer ids, as text.
    Peers(Arc<std::collections::HashSet<String>>),
    /// Everybody: for who looks for a member to be let in by.
    Anybody,
}

/// What comes in.
#[derive(Debug)]
pub enum Input<'a> {
    /// An interface with this address can be used.
    Up(Ipv4Addr),
    /// It cannot any more.
    Down(Ipv4Addr),
    /// Where this node listens.
    Endpoints(Vec<Endpoint>),
    /// Who matters from now on.
    Interest(Interest),
    /// Something came.
    Packet {
        /// From where.
        from: SocketAddr,
        /// What.
        bytes: &'a [u8],
    },
    /// The machine slept, or the clock jumped.
    Woke,
    /// Time has passed.
    Tick,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send a packet to the group through the interface with this address.
    Send(Ipv4Addr, Vec<u8>),
    /// A node of interest says where it listens.
    Found {
        /// Its peer id, as text.
        peer: String,
        /// Where.
        endpoints: Vec<Endpoint>,
    },
}

/// Counts since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Questions sent.
    pub asked: u64,
    /// Questions left to others.
    pub left: u64,
    /// Answers sent.
    pub answered: u64,
    /// Packets received.
    pub received: u64,
    /// Packets by sources that had their share.
    pub over_limit: u64,
}

#[derive(Debug)]
struct Interface {
    step: usize,
    ask_at: Instant,
    left: u32,
    last_question: Option<Instant>,
    answer_at: Option<Instant>,
    last_answer: Option<Instant>,
    announcements: u32,
}

#[derive(Debug)]
struct Node {
    told: Instant,
    endpoints: Vec<Endpoint>,
}

/// The machine. See the [module](self).
#[derive(Debug)]
pub struct Mdns {
    peer: String,
    label: [u8; 32],
    interest: Interest,
    endpoints: Vec<Endpoint>,
    interfaces: HashMap<Ipv4Addr, Interface>,
    nodes: HashMap<String, Node>,
    strangers: HashMap<u64, Instant>,
    limiter: Limiter,
    jitter: Jitter,
    counts: Counts,
}

impl Mdns {
    /// `peer`: this node's peer id as text. `seed` is random.
    #[must_use]
    pub fn new(peer: String, seed: u64) -> Self {
        const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
        let mut jitter = Jitter::new(seed);
        let label = std::array::from_fn(|_| {
            let letter = usize::try_from(jitter.next_u64() % 32).unwrap_or(0);
            LETTERS.get(letter).copied().unwrap_or(b'a')
        });
        Self {
            peer,
            label,
            interest: Interest::Peers(Arc::default()),
            endpoints: Vec::new(),
            interfaces: HashMap::new(),
            nodes: HashMap::new(),
            strangers: HashMap::new(),
            limiter: Limiter::new(seed, LOOK_EACH, LOOKS),
            jitter,
            counts: Counts::default(),
        }
    }

    /// Counts since the start.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Nodes of no interest that were heard of lately, as far as they are counted.
    #[must_use]
    pub fn strangers(&self) -> usize {
        self.strangers.len()
    }

    /// When something is to be done without an input.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        self.interfaces
            .values()
            .flat_map(|interface| [Some(interface.ask_at), interface.answer_at])
            .flatten()
            .min()
    }

    /// Takes an input.
    pub fn handle(&mut self, input: Input<'_>, now: Instant) -> Vec<Output> {
        match input {
            Input::Up(ip) => {
                if !self.interfaces.contains_key(&ip) {
                    self.begin(ip, now);
                }
            }
            Input::Down(ip) => {
                self.interfaces.remove(&ip);
            }
            Input::Endpoints(endpoints) => {
                let old = std::mem::replace(&mut self.endpoints, endpoints);
                let mut changed = Vec::new();
                for ip in self.interfaces.keys() {
                    if on_interface(&old, *ip) != on_interface(&self.endpoints, *ip) {
                        changed.push(*ip);
                    }
                }
                for ip in changed {
                    let at = now + self.jitter.between(DELAY.0, DELAY.1);
                    if let Some(interface) = self.interfaces.get_mut(&ip) {
                        interface.announcements = ANNOUNCEMENTS;
                        interface.answer_at = Some(at);
                    }
                }
            }
            Input::Interest(interest) => {
                let grew = match (&self.interest, &interest) {
                    (Interest::Peers(old), Interest::Peers(new)) => !new.is_subset(old),
                    _ => true,
                };
                self.interest = interest;
                // Who was passed over until now may have answered already.
                if grew {
                    self.ask_soon(now);
                }
            }
            Input::Packet { from, bytes } => return self.packet(from, bytes, now),
            Input::Woke => {
                let all: Vec<Ipv4Addr> = self.interfaces.keys().copied().collect();
                all.into_iter().for_each(|ip| self.begin(ip, now));
            }
            Input::Tick => {}
        }
        self.due(now)
    }

    fn begin(&mut self, ip: Ipv4Addr, now: Instant) {
        let interface = Interface {
            step: 0,
            ask_at: now + self.jitter.between(DELAY.0, DELAY.1),
            left: 0,
            last_question: None,
            answer_at: Some(now + self.jitter.between(DELAY.0, DELAY.1)),
            last_answer: None,
            announcements: ANNOUNCEMENTS,
        };
        self.interfaces.insert(ip, interface);
    }

    fn ask_soon(&mut self, now: Instant) {
        for interface in self.interfaces.values_mut() {
            let soon = now + self.jitter.between(DELAY.0, DELAY.1);
            interface.ask_at = interface.ask_at.min(soon);
        }
    }

    fn due(&mut self, now: Instant) -> Vec<Output> {
        let mut out = Vec::new();
        for (ip, interface) in &mut self.interfaces {
            if interface.ask_at <= now {
                interface.step = interface.step.saturating_add(1);
                interface.left = 0;
                interface.ask_at = now + pause(&mut self.jitter, interface.step);
                self.counts.asked += 1;
                out.push(Output::Send(*ip, dns::question()));
            }
            if interface.answer_at.is_some_and(|at| at <= now) {
                interface.answer_at = None;
                let endpoints = on_interface(&self.endpoints, *ip);
                if endpoints.is_empty() {
                    continue;
                }
                interface.last_answer = Some(now);
                interface.announcements = interface.announcements.saturating_sub(1);
                if interface.announcements > 0 {
                    interface.answer_at = Some(now + ANSWER_EACH);
                }
                self.counts.answered += 1;
                out.push(Output::Send(
                    *ip,
                    dns::answer(&self.label, &self.peer, &endpoints, TTL_S),
                ));
            }
        }
        self.strangers.retain(|_, heard| now.saturating_duration_since(*heard) < STRANGER_LIFE);
        out
    }

    fn packet(&mut self, from: SocketAddr, bytes: &[u8], now: Instant) -> Vec<Output> {
        self.counts.received += 1;
        if !self.limiter.take(from.ip(), now) {
            self.counts.over_limit += 1;
            return Vec::new();
        }
        match dns::read(bytes) {
            Some(Packet::Question) => {
                self.question(from, now);
                Vec::new()
            }
            Some(Packet::Answer(answer)) => self.answer(&answer.texts, now),
            None => Vec::new(),
        }
    }

    fn question(&mut self, from: SocketAddr, now: Instant) {
        let SocketAddr::V4(from) = from else { return };
        let alike = |ip: &Ipv4Addr| (u32::from(*ip) ^ u32::from(*from.ip())).leading_zeros();
        let nearest = self.interfaces.iter_mut().max_by_key(|(ip, _)| (alike(ip), **ip));
        let Some((ip, interface)) = nearest else { return };
        if interface.answer_at.is_none() {
            let earliest = interface.last_answer.map_or(now, |last| last + ANSWER_EACH);
            let at = now.max(earliest) + self.jitter.between(DELAY.0, DELAY.1);
            interface.answer_at = Some(at);
        }
        let is_other = interface
            .last_question
            .is_none_or(|last| now.saturating_duration_since(last) >= SAME_QUESTION);
        if *ip != *from.ip() && is_other && interface.left < MAX_SUPPRESSED {
            interface.last_question = Some(now);
            interface.left += 1;
            interface.step = interface.step.saturating_add(1);
            interface.ask_at = now + pause(&mut self.jitter, interface.step);
            self.counts.left += 1;
        }
    }

    fn answer(&mut self, texts: &[&[u8]], now: Instant) -> Vec<Output> {
        let mut found: Vec<(&str, Vec<Endpoint>)> = Vec::new();
        for (address, peer) in texts.iter().filter_map(|text| dns::split(text)) {
            let is_wanted = match &self.interest {
                Interest::Peers(peers) => peers.contains(peer),
                Interest::Anybody => true,
            };
            if peer == self.peer {
                continue;
            }
            if !is_wanted {
                let mut hasher = DefaultHasher::new();
                peer.hash(&mut hasher);
                let name = hasher.finish();
                if self.strangers.len() < MAX_STRANGERS || self.strangers.contains_key(&name) {
                    self.strangers.insert(name, now);
                }
                continue;
            }
            let Some(endpoint) = Endpoint::parse(address) else { continue };
            match found.last_mut().filter(|(last, _)| *last == peer) {
                Some((_, endpoints)) if endpoints.len() < MAX_ENDPOINTS => endpoints.push(endpoint),
                Some(_) => {}
                None => found.push((peer, vec![endpoint])),
            }
        }
        found.into_iter().filter_map(|(peer, endpoints)| self.note(peer, endpoints, now)).collect()
    }

    fn note(&mut self, peer: &str, endpoints: Vec<Endpoint>, now: Instant) -> Option<Output> {
        match self.nodes.get_mut(peer) {
            Some(node)
                if node.endpoints == endpoints
                    && now.saturating_duration_since(node.told) < REFRESH =>
            {
                return None;
            }
            Some(node) => {
                node.endpoints.clone_from(&endpoints);
                node.told = now;
            }
            None => {
                if self.nodes.len() >= MAX_NODES {
                    let life = Duration::from_secs(TTL_S.into());
                    self.nodes.retain(|_, node| now.saturating_duration_since(node.told) < life);
                }
                if self.nodes.len() >= MAX_NODES {
                    return None;
                }
                let node = Node { told: now, endpoints: endpoints.clone() };
                self.nodes.insert(peer.to_owned(), node);
            }
        }
        Some(Output::Found { peer: peer.to_owned(), endpoints })
    }
}

fn pause(jitter: &mut Jitter, step: usize) -> Duration {
    let pause = STEPS.get(step).copied().unwrap_or(PAUSE);
    jitter.between(pause.mul_f32(0.75), pause.mul_f32(1.25))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const PEERS: [&str; 2] = [
        "12D3KooWSdaoKPa1TiNhSDvpZx875LEqwN8nHuSdDPyPxyBPu3hi",
        "12D3KooWRH71QRJe5vrMp6zZXoH4K7z5MDSWwTXXPriG9dK8HQXk",
    ];

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn ip(n: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 0, 0, n)
    }

    fn up(peer: &str, n: u8, now: Instant) -> Mdns {
        let mut mdns = Mdns::new(peer.to_owned(), n.into());
        let listening = Endpoint { address: (ip(n), 4001).into(), quic: true };
        let peers: HashSet<String> = PEERS.iter().map(|p| (*p).to_owned()).collect();
        mdns.handle(Input::Interest(Interest::Peers(Arc::new(peers))), now);
        mdns.handle(Input::Endpoints(vec![listening]), now);
        mdns.handle(Input::Up(ip(n)), now);
        mdns
    }

    /// A network on which all hear all at once.
    fn play(nodes: &mut [Mdns], from: Instant, time: Duration) -> Vec<(usize, Output)> {
        let (mut now, end, mut found) = (from, from + time, Vec::new());
        while now < end {
            now += ms(5);
            let mut packets = Vec::new();
            for (n, node) in nodes.iter_mut().enumerate() {
                for out in node.handle(Input::Tick, now) {
                    match out {
                        Output::Send(ip, bytes) => packets.push((ip, bytes)),
                        found_one @ Output::Found { .. } => found.push((n, found_one)),
                    }
                }
            }
            for (ip, bytes) in packets {
                for (n, node) in nodes.iter_mut().enumerate() {
                    let packet = Input::Packet { from: (ip, PORT).into(), bytes: &bytes };
                    found.extend(node.handle(packet, now).into_iter().map(|out| (n, out)));
                }
            }
        }
        found
    }

    #[test]
    fn two_find_each_other_at_once() {
        let now = Instant::now();
        let mut nodes = [up(PEERS[0], 1, now), up(PEERS[1], 2, now)];
        let found = play(&mut nodes, now, ms(400));
        assert_eq!(found.len(), 2, "{found:?}");
        for (n, out) in found {
            let other = 1 - n;
            let listening = Endpoint {
                address: (ip(u8::try_from(other).unwrap() + 1), 4001).into(),
                quic: true,
            };
            let expected =
                Output::Found { peer: PEERS[other].to_owned(), endpoints: vec![listening] };
            assert_eq!(out, expected);
        }
    }

    #[test]
    fn who_comes_late_is_found_and_finds() {
        let now = Instant::now();
        let mut nodes = vec![up(PEERS[0], 1, now)];
        play(&mut nodes, now, ms(30_000));
        let later = now + ms(30_000);
        nodes.push(up(PEERS[1], 2, later));
        assert_eq!(play(&mut nodes, later, ms(400)).len(), 2);
    }

    #[test]
    fn many_that_come_up_together_ask_and_answer_a_few_times() {
        let now = Instant::now();
        let mut nodes: Vec<Mdns> = (0..50).map(|n| up(&format!("node{n}"), n + 1, now)).collect();
        play(&mut nodes, now, ms(10_000));
        let asked: u64 = nodes.iter().map(|n| n.counts().asked).sum();
        let answered = nodes.iter().map(|n| n.counts().answered).max().unwrap();
        assert!((1..=60).contains(&asked), "{asked} questions");
        assert!(answered <= 9, "{answered} answers of one node in ten seconds");
    }

    #[test]
    fn however_often_one_is_asked_one_answers_once_a_second_and_goes_on_asking() {
        let now = Instant::now();
        let mut mdns = up(PEERS[0], 1, now);
        for n in 0..3_000u64 {
            let at = now + ms(n * 10);
            let from = (ip(200), PORT).into();
            mdns.handle(Input::Packet { from, bytes: &dns::question() }, at);
            mdns.handle(Input::Tick, at);
        }
        let counts = mdns.counts();
        assert!((15..=31).contains(&counts.answered), "{counts:?}");
        assert!(counts.asked >= 1, "{counts:?}");
    }

    #[test]
    fn two_hundred_fakes_do_not_hide_a_member() {
        let now = Instant::now();
        let mut nodes = [up(PEERS[0], 1, now), up(PEERS[1], 2, now)];
        let label = [b'x'; 32];
        for fake in 0..2_000u16 {
            let peer = format!("12D3KooWFake{fake}");
            let [_, low] = fake.to_be_bytes();
            let endpoint = Endpoint { address: (ip(low), 1).into(), quic: false };
            let bytes = dns::answer(&label, &peer, &[endpoint], 100_000);
            let from = (Ipv4Addr::from(0x0a00_0100 + u32::from(fake)), PORT).into();
            assert!(nodes[0].handle(Input::Packet { from, bytes: &bytes }, now).is_empty());
        }
        assert_eq!(nodes[0].strangers(), MAX_STRANGERS);
        assert_eq!(play(&mut nodes, now, ms(400)).len(), 2);
        play(&mut nodes, now + ms(400), ms(125_000));
        assert_eq!(nodes[0].strangers(), 0);
    }

    #[test]
    fn a_new_member_is_asked_for() {
        let now = Instant::now();
        let mut nodes = [up(PEERS[0], 1, now), up(PEERS[1], 2, now)];
        let nobody = Interest::Peers(Arc::default());
        nodes[0].handle(Input::Interest(nobody), now);
        play(&mut nodes, now, ms(20_000));
        let now = now + ms(20_000);
        let peers = Arc::new(PEERS.iter().map(|p| (*p).to_owned()).collect());
        nodes[0].handle(Input::Interest(Interest::Peers(peers)), now);
        let found = play(&mut nodes, now, ms(1_500));
        assert!(found.iter().any(|(n, _)| *n == 0), "{found:?}");
    }

    #[test]
    fn an_address_that_changes_is_told() {
        let now = Instant::now();
        let mut nodes = [up(PEERS[0], 1, now), up(PEERS[1], 2, now)];
        play(&mut nodes, now, ms(5_000));
        let now = now + ms(5_000);
        nodes[0].handle(Input::Down(ip(1)), now);
        let moved = Endpoint { address: (ip(9), 4001).into(), quic: true };
        nodes[0].handle(Input::Endpoints(vec![moved]), now);
        nodes[0].handle(Input::Up(ip(9)), now);
        let found = play(&mut nodes, now, ms(400));
        let told = Output::Found { peer: PEERS[0].to_owned(), endpoints: vec![moved] };
        assert_eq!(found, [(1, told)]);
    }
}
