//! When a beacon is sent, whose are believed and who is answered: pure, time is an argument.
//!
//! 1. An interface that comes up, and a node that wakes, gets four beacons within about four seconds, the
//!    first two of which ask; then one about every [`PAUSE`], the longer the more devices are heard.
//! 2. Whoever asks is answered at once and alone, at the address that the question came from. With many
//!    devices on one network each answers only some questions, so that all together do not drown the asker.
//! 3. The size is looked at first, then what the source has had so far; only then is a datagram decrypted,
//!    once with each of three keys.
//! 4. Of a device, only a later beacon than the last one counts, so a recorded one changes nothing while
//!    the device is around. What is not a member's is counted and otherwise forgotten.
//! 5. A probe of this very device by another process (`lanai doctor`) is answered like any other question.
//! 6. A question is answered once, so that a recorded one tells nothing where its answer was given before.

use std::collections::{HashMap, HashSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lanai_crdt::id::{CommunityId, DeviceId};

use super::beacon::{Beacon, BeaconError, DATAGRAM, Keyring, Kind};
use super::endpoint::MAX_ENDPOINTS;
use super::limiter::Limiter;
use super::{Endpoint, Jitter};

/// Time between two beacons once all is quiet; one second more for each device that was heard.
pub const PAUSE: Duration = Duration::from_secs(20);
/// But not more.
const LONGEST_PAUSE: Duration = Duration::from_secs(120);
/// After each of the first beacons on an interface.
const STEPS: [Duration; 4] = [
    Duration::ZERO,
    Duration::from_millis(400),
    Duration::from_millis(1_000),
    Duration::from_millis(2_500),
];
/// How many of them ask.
const ASKING: usize = 2;
/// A member's device that was not heard for this time may have been set back: an earlier start counts.
const FORGET: Duration = Duration::from_secs(300);
/// How often what is heard of a device is passed on although nothing changed.
const REFRESH: Duration = Duration::from_secs(15);
/// Devices that answer one question, about.
const ANSWERERS: u64 = 64;
/// Devices that are kept.
const MAX_DEVICES: usize = 4096;
/// Others who know the community's id and whose questions are kept, so that none is answered twice.
const MAX_OTHERS: usize = 256;
/// A look at a datagram comes back in this time, for each source.
const LOOK_EACH: Duration = Duration::from_millis(50);
/// Looks that a source has at once.
const LOOKS: u32 = 64;

/// Whose beacons matter.
#[derive(Debug, Clone)]
pub enum Interest {
    /// Members' devices.
    Members(Arc<HashSet<DeviceId>>),
    /// Everybody who knows the community's id: for who looks for a member to be let in by.
    Anybody,
}

/// What comes in.
#[derive(Debug)]
pub enum Input<'a> {
    /// An interface with this address can be used.
    Up(Ipv4Addr),
    /// It cannot any more.
    Down(Ipv4Addr),
    /// Where this device listens.
    Endpoints(Vec<Endpoint>),
    /// Whose beacons matter from now on.
    Interest(Interest),
    /// Something came.
    Datagram {
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

/// Where a beacon goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// To everybody on the network of the interface with this address.
    Broadcast(Ipv4Addr),
    /// To one.
    One(SocketAddr),
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Seal and send this.
    Send(Target, Beacon),
    /// A device says where it listens.
    Heard {
        /// Who.
        device: DeviceId,
        /// Where.
        endpoints: Vec<Endpoint>,
    },
}

/// Counts since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Beacons that were sent, answers included.
    pub sent: u64,
    /// Good ones of members.
    pub heard: u64,
    /// Good ones of others who know the community's id.
    pub others: u64,
    /// Datagrams that do not open: another community's, or no beacons.
    pub foreign: u64,
    /// Datagrams by sources that had their share.
    pub over_limit: u64,
    /// Beacons that opened and are wrong inside.
    pub bad: u64,
}

#[derive(Debug, Clone, Copy)]
struct Schedule {
    step: usize,
    next: Instant,
}

#[derive(Debug)]
struct Known {
    boot: u64,
    seq: u64,
    at: Instant,
    told: Instant,
    endpoints: Vec<Endpoint>,
}

/// The machine. See the [module](self).
#[derive(Debug)]
pub struct Announcer {
    me: DeviceId,
    boot: u64,
    seq: u64,
    keys: Keyring,
    interest: Interest,
    endpoints: Vec<Endpoint>,
    interfaces: HashMap<Ipv4Addr, Schedule>,
    known: HashMap<DeviceId, Known>,
    /// Start and number of the last question of each device that is no member's, or this one itself.
    others: HashMap<DeviceId, (u64, u64)>,
    limiter: Limiter,
    jitter: Jitter,
    counts: Counts,
}

impl Announcer {
    /// `boot`: Unix milliseconds now. `seed` is random.
    #[must_use]
    pub fn new(me: DeviceId, community: CommunityId, boot: u64, seed: u64) -> Self {
        Self {
            me,
            boot,
            seq: 0,
            keys: Keyring::new(community, boot / 1000),
            interest: Interest::Members(Arc::default()),
            endpoints: Vec::new(),
            interfaces: HashMap::new(),
            known: HashMap::new(),
            others: HashMap::new(),
            limiter: Limiter::new(seed, LOOK_EACH, LOOKS),
            jitter: Jitter::new(seed),
            counts: Counts::default(),
        }
    }

    /// Counts since the start.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The keys that beacons are sealed with.
    #[must_use]
    pub fn keys(&self) -> &Keyring {
        &self.keys
    }

    /// When something is to be done without an input.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        self.interfaces
            .iter()
            .filter(|(ip, _)| !self.endpoints_on(**ip).is_empty())
            .map(|(_, schedule)| schedule.next)
            .min()
    }

    /// Takes an input. `unix_s` is the wall clock, which chooses the key and nothing else.
    pub fn handle(&mut self, input: Input<'_>, now: Instant, unix_s: u64) -> Vec<Output> {
        if self.keys.turn(unix_s) {
            self.others.clear();
        }
        match input {
            Input::Up(ip) => {
                let next = now + self.jitter.between(Duration::ZERO, Duration::from_millis(80));
                self.interfaces.entry(ip).or_insert(Schedule { step: 0, next });
            }
            Input::Down(ip) => {
                self.interfaces.remove(&ip);
            }
            Input::Endpoints(endpoints) => {
                let old = std::mem::replace(&mut self.endpoints, endpoints);
                if old != self.endpoints {
                    // What was said is no longer true, or could not be said before.
                    let changed: Vec<Ipv4Addr> = self
                        .interfaces
                        .keys()
                        .filter(|ip| on_interface(&old, **ip) != self.endpoints_on(**ip))
                        .copied()
                        .collect();
                    self.start_over(&changed, now);
                }
            }
            Input::Interest(interest) => {
                let grew = match (&self.interest, &interest) {
                    (Interest::Members(old), Interest::Members(new)) => !new.is_subset(old),
                    _ => true,
                };
                self.interest = interest;
                // Whoever was passed over until now may have answered already, as a node's first
                // answers do that come while it still reads who its members are.
                let asked = |schedule: &Schedule| schedule.step >= ASKING;
                let again: Vec<Ipv4Addr> = self
                    .interfaces
                    .iter()
                    .filter(|(_, schedule)| grew && asked(schedule))
                    .map(|(ip, _)| *ip)
                    .collect();
                self.start_over(&again, now);
            }
            Input::Datagram { from, bytes } => return self.datagram(from, bytes, now),
            Input::Woke => {
                let all: Vec<Ipv4Addr> = self.interfaces.keys().copied().collect();
                self.start_over(&all, now);
            }
            Input::Tick => {}
        }
        self.announce(now)
    }

    fn start_over(&mut self, interfaces: &[Ipv4Addr], now: Instant) {
        for ip in interfaces {
            let next = now + self.jitter.between(Duration::ZERO, Duration::from_millis(80));
            self.interfaces.insert(*ip, Schedule { step: 0, next });
        }
    }

    fn endpoints_on(&self, interface: Ipv4Addr) -> Vec<Endpoint> {
        on_interface(&self.endpoints, interface)
    }

    fn announce(&mut self, now: Instant) -> Vec<Output> {
        let due: Vec<Ipv4Addr> =
            self.interfaces.iter().filter(|(_, s)| s.next <= now).map(|(ip, _)| *ip).collect();
        let mut out = Vec::new();
        for ip in due {
            let endpoints = self.endpoints_on(ip);
            if endpoints.is_empty() {
                continue;
            }
            let heard = u32::try_from(self.known.len()).unwrap_or(u32::MAX);
            let regular = (PAUSE + Duration::from_secs(heard.into())).min(LONGEST_PAUSE);
            let Some(schedule) = self.interfaces.get_mut(&ip) else { continue };
            let kind = if schedule.step < ASKING { Kind::Ask } else { Kind::Tell };
            schedule.step = schedule.step.saturating_add(1);
            let pause = STEPS.get(schedule.step).copied().unwrap_or(regular);
            schedule.next = now + self.jitter.between(pause.mul_f32(0.75), pause.mul_f32(1.25));
            let beacon = self.beacon(kind, endpoints);
            out.push(Output::Send(Target::Broadcast(ip), beacon));
        }
        out
    }

    fn beacon(&mut self, kind: Kind, endpoints: Vec<Endpoint>) -> Beacon {
        self.seq += 1;
        self.counts.sent += 1;
        Beacon { kind, device: self.me, boot: self.boot, seq: self.seq, endpoints }
    }

    fn datagram(&mut self, from: SocketAddr, bytes: &[u8], now: Instant) -> Vec<Output> {
        let mut out = Vec::new();
        if bytes.len() != DATAGRAM {
            self.counts.foreign += 1;
            return out;
        }
        if !self.limiter.take(from.ip(), now) {
            self.counts.over_limit += 1;
            return out;
        }
        let unproven = match self.keys.open(bytes) {
            Ok(unproven) => unproven,
            Err(BeaconError::Sealed | BeaconError::Size) => {
                self.counts.foreign += 1;
                return out;
            }
            Err(_) => {
                self.counts.bad += 1;
                return out;
            }
        };
        let claim = unproven.claim();
        let (device, kind) = (claim.device, claim.kind);
        let is_probe = device == self.me;
        if is_probe && (claim.boot == self.boot || kind != Kind::Ask) {
            // One's own, coming back.
            return out;
        }
        let is_wanted = !is_probe
            && match &self.interest {
                Interest::Members(members) => members.contains(&device),
                Interest::Anybody => true,
            };
        let number = (claim.boot, claim.seq);
        let is_news = match is_wanted {
            true => self.known.get(&device).is_none_or(|known| {
                number > (known.boot, known.seq)
                    || now.saturating_duration_since(known.at) >= FORGET
            }),
            false => match self.others.get(&device) {
                Some(last) => number > *last,
                None => self.others.len() < MAX_OTHERS,
            },
        };
        if !is_news {
            return out;
        }
        let Ok(beacon) = unproven.prove() else {
            self.counts.bad += 1;
            return out;
        };
        if kind == Kind::Ask && self.answers() {
            let endpoints = match from.ip() {
                std::net::IpAddr::V4(asker) => self.endpoints_towards(asker),
                std::net::IpAddr::V6(_) => Vec::new(),
            };
            if !endpoints.is_empty() {
                let answer = self.beacon(Kind::Tell, endpoints);
                out.push(Output::Send(Target::One(from), answer));
            }
        }
        if !is_wanted {
            self.others.insert(device, number);
            self.counts.others += 1;
            return out;
        }
        self.counts.heard += 1;
        if let Some(heard) = self.note(beacon, now) {
            out.push(heard);
        }
        out
    }

    /// Rule 2.
    fn answers(&mut self) -> bool {
        let around = u64::try_from(self.known.len().max(1)).unwrap_or(u64::MAX);
        self.jitter.next_u64() % around < ANSWERERS
    }

    /// What an asker can make use of: the addresses on the interface whose network it is most likely on.
    fn endpoints_towards(&self, asker: Ipv4Addr) -> Vec<Endpoint> {
        let alike = |ip: &Ipv4Addr| (u32::from(*ip) ^ u32::from(asker)).leading_zeros();
        let mut interfaces: Vec<Ipv4Addr> = self
            .interfaces
            .keys()
            .copied()
            .filter(|ip| !self.endpoints_on(*ip).is_empty())
            .collect();
        interfaces.sort_unstable();
        interfaces
            .iter()
            .max_by_key(|ip| alike(ip))
            .map_or_else(Vec::new, |ip| self.endpoints_on(*ip))
    }

    /// Keeps what a device says; gives it on if it is news, or some time has passed.
    fn note(&mut self, beacon: Beacon, now: Instant) -> Option<Output> {
        if self.known.len() >= MAX_DEVICES && !self.known.contains_key(&beacon.device) {
            self.known.retain(|_, known| now.saturating_duration_since(known.at) < FORGET);
            if self.known.len() >= MAX_DEVICES {
                return None;
            }
        }
        let Beacon { device, boot, seq, endpoints, .. } = beacon;
        let told = match self.known.get(&device) {
            Some(known)
                if known.endpoints == endpoints
                    && known.boot == boot
                    && now.saturating_duration_since(known.told) < REFRESH =>
            {
                Some(known.told)
            }
            _ => None,
        };
        self.known.insert(
            device,
            Known { boot, seq, at: now, told: told.unwrap_or(now), endpoints: endpoints.clone() },
        );
        told.is_none().then_some(Output::Heard { device, endpoints })
    }
}

/// The addresses of an interface, QUIC first: what is told on its network.
#[must_use]
pub fn on_interface(endpoints: &[Endpoint], interface: Ipv4Addr) -> Vec<Endpoint> {
    let mut few: Vec<Endpoint> =
        endpoints.iter().copied().filter(|e| e.address.ip() == interface).collect();
    few.sort_unstable_by_key(|e| (!e.quic, e.address));
    few.truncate(MAX_ENDPOINTS);
    few
}

#[cfg(test)]
mod tests {
    use lanai_crdt::entry::DeviceSecret;

    use super::*;

    const NOON: u64 = 1_750_000_000;
    const COMMUNITY: CommunityId = CommunityId::new([5; 32]);

    struct Host {
        secret: DeviceSecret,
        machine: Announcer,
        ip: Ipv4Addr,
        sent: u8,
    }

    fn secret(n: u8) -> DeviceSecret {
        DeviceSecret::from_bytes(&[n; 32])
    }

    fn endpoint(ip: Ipv4Addr) -> Endpoint {
        Endpoint { address: SocketAddr::new(ip.into(), 4001), quic: true }
    }

    impl Host {
        fn new(n: u8, members: &[u8], now: Instant) -> Self {
            let secret = secret(n);
            let boot = NOON * 1000 + u64::from(n);
            let mut machine = Announcer::new(secret.device(), COMMUNITY, boot, n.into());
            let members = members.iter().map(|n| self::secret(*n).device()).collect();
            let ip = Ipv4Addr::new(10, 0, 0, n);
            for input in [
                Input::Interest(Interest::Members(Arc::new(members))),
                Input::Endpoints(vec![endpoint(ip)]),
                Input::Up(ip),
            ] {
                assert!(machine.handle(input, now, NOON).is_empty());
            }
            Self { secret, machine, ip, sent: 0 }
        }

        fn tick(&mut self, now: Instant) -> Vec<Output> {
            self.machine.handle(Input::Tick, now, NOON)
        }

        fn seal(&mut self, beacon: &Beacon) -> Vec<u8> {
            self.sent += 1;
            self.machine.keys().seal(beacon, &self.secret, [self.sent; 24])
        }

        fn hear(&mut self, from: Ipv4Addr, bytes: &[u8], now: Instant) -> Vec<Output> {
            let from = SocketAddr::new(from.into(), 50_000);
            self.machine.handle(Input::Datagram { from, bytes }, now, NOON)
        }

        fn ask(&mut self, now: Instant) -> Vec<u8> {
            let out = self.tick(now);
            let [Output::Send(Target::Broadcast(ip), beacon)] = &out[..] else { panic!("{out:?}") };
            assert_eq!((*ip, beacon.kind), (self.ip, Kind::Ask));
            self.seal(&beacon.clone())
        }
    }

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn who_comes_up_is_loud_and_then_quiet() {
        let start = Instant::now();
        let mut host = Host::new(1, &[1, 2], start);
        let mut at = Vec::new();
        for tick in 0..1200 {
            let now = start + ms(tick * 100);
            for out in host.tick(now) {
                let Output::Send(Target::Broadcast(_), beacon) = out else { panic!() };
                at.push((tick / 10, beacon.kind));
            }
        }
        let asks = at.iter().filter(|(_, kind)| *kind == Kind::Ask).count();
        assert_eq!(asks, 2);
        let early = at.iter().filter(|(second, _)| *second <= 6).count();
        assert_eq!(early, 4, "{at:?}");
        assert!((8..=12).contains(&at.len()), "{at:?}");
    }

    #[test]
    fn a_question_is_answered_and_both_are_found() {
        let now = Instant::now() + ms(100);
        let (mut a, mut b) =
            (Host::new(1, &[1, 2], now - ms(100)), Host::new(2, &[1, 2], now - ms(100)));
        let question = a.ask(now);
        let out = b.hear(a.ip, &question, now);
        let [Output::Send(Target::One(to), answer), Output::Heard { device, endpoints }] = &out[..]
        else {
            panic!("{out:?}")
        };
        assert_eq!(to.ip(), a.ip);
        assert_eq!((*device, endpoints), (a.secret.device(), &vec![endpoint(a.ip)]));
        let answer = b.seal(&answer.clone());
        let out = a.hear(b.ip, &answer, now);
        let b_is = Output::Heard { device: b.secret.device(), endpoints: vec![endpoint(b.ip)] };
        assert_eq!(out, [b_is]);
        // The same again is nothing new, and one's own is nothing at all.
        assert!(b.hear(a.ip, &question, now).is_empty());
        assert!(a.hear(a.ip, &question, now).is_empty());
    }

    #[test]
    fn a_recorded_beacon_does_not_lead_back_to_an_old_address() {
        let start = Instant::now();
        let now = start + ms(100);
        let (mut a, mut b) = (Host::new(1, &[1, 2], start), Host::new(2, &[1, 2], start));
        let old = a.ask(now);
        let moved = Ipv4Addr::new(10, 0, 0, 99);
        a.machine.handle(Input::Down(a.ip), now, NOON);
        a.machine.handle(Input::Endpoints(vec![endpoint(moved)]), now, NOON);
        a.machine.handle(Input::Up(moved), now, NOON);
        a.ip = moved;
        let new = a.ask(now + ms(100));
        assert!(
            b.hear(moved, &new, now + ms(100)).iter().any(|o| matches!(o, Output::Heard { .. }))
        );
        assert!(b.hear(moved, &old, now + ms(200)).is_empty());
    }

    #[test]
    fn others_who_know_the_id_are_answered_and_not_believed() {
        let start = Instant::now();
        let now = start + ms(100);
        let (mut newcomer, mut b) = (Host::new(9, &[], start), Host::new(2, &[1, 2], start));
        newcomer.machine.handle(Input::Interest(Interest::Anybody), start, NOON);
        let question = newcomer.ask(now);
        let out = b.hear(newcomer.ip, &question, now);
        let [Output::Send(Target::One(_), answer)] = &out[..] else { panic!("{out:?}") };
        let answer = b.seal(&answer.clone());
        let heard = newcomer.hear(b.ip, &answer, now);
        assert!(matches!(&heard[..], [Output::Heard { .. }]));
        assert_eq!(b.machine.counts().others, 1);
    }

    #[test]
    fn two_hundred_fakes_do_not_silence_a_member() {
        let start = Instant::now();
        let (mut a, mut b) = (Host::new(1, &[1, 2], start), Host::new(2, &[1, 2], start));
        let mut now = start + ms(100);
        let garbage = vec![0xa5; DATAGRAM];
        let foreign = Keyring::new(CommunityId::new([6; 32]), NOON);
        let foreign = foreign.seal(&a.machine.beacon(Kind::Ask, vec![]), &a.secret, [1; 24]);
        for round in 0..20 {
            for fake in 0..200u32 {
                let ip = Ipv4Addr::from(0x0a01_0000 + fake);
                let bytes = if round % 2 == 0 { &garbage } else { &foreign };
                assert!(b.hear(ip, bytes, now).is_empty());
            }
            now += ms(1);
        }
        // And one of them from one place, without end.
        for _ in 0..10_000 {
            assert!(b.hear(Ipv4Addr::new(10, 1, 0, 7), &garbage, now).is_empty());
        }
        let counts = b.machine.counts();
        assert!(counts.over_limit >= 9_900 && counts.foreign >= 4_000, "{counts:?}");
        let question = a.ask(now);
        assert_eq!(b.hear(a.ip, &question, now).len(), 2);
    }

    #[test]
    fn a_probe_by_the_same_device_is_answered_and_not_taken_for_a_peer() {
        let start = Instant::now();
        let mut b = Host::new(2, &[1, 2], start);
        for seq in 1..3 {
            let device = b.secret.device();
            let probe = Beacon { kind: Kind::Ask, device, boot: 1, seq, endpoints: vec![] };
            let sealed = b.seal(&probe);
            let out = b.hear(b.ip, &sealed, start);
            assert!(matches!(&out[..], [Output::Send(Target::One(_), _)]), "{out:?}");
            assert!(b.hear(b.ip, &sealed, start).is_empty(), "recorded and sent again");
        }
    }

    #[test]
    fn who_learns_of_members_asks_again() {
        let start = Instant::now();
        let (mut a, mut b) = (Host::new(1, &[], start), Host::new(2, &[1, 2], start));
        let mut now = start;
        for _ in 0..20 {
            now += ms(100);
            for out in a.tick(now) {
                let Output::Send(_, beacon) = out else { panic!() };
                let sealed = a.seal(&beacon);
                for answer in b.hear(a.ip, &sealed, now) {
                    let Output::Send(_, beacon) = answer else { continue };
                    let sealed = b.seal(&beacon);
                    assert!(a.hear(b.ip, &sealed, now).is_empty(), "it knows no members yet");
                }
            }
        }
        let members = Arc::new([1, 2].map(|n| secret(n).device()).into());
        a.machine.handle(Input::Interest(Interest::Members(members)), now, NOON);
        now += ms(100);
        let question = a.ask(now);
        let out = b.hear(a.ip, &question, now);
        let Some(Output::Send(_, answer)) = out.first() else { panic!("{out:?}") };
        let answer = b.seal(&answer.clone());
        assert_eq!(a.hear(b.ip, &answer, now).len(), 1);
    }

    #[test]
    fn nothing_is_said_where_nobody_could_be_reached() {
        let start = Instant::now();
        let mut host = Host::new(1, &[1], start);
        host.machine.handle(
            Input::Endpoints(vec![Endpoint {
                address: "127.0.0.1:1".parse().unwrap(),
                quic: true,
            }]),
            start,
            NOON,
        );
        assert!(host.tick(start + ms(60_000)).is_empty());
        assert_eq!(host.machine.next_due(), None);
    }

    #[test]
    fn waking_and_a_new_day_are_heard_of() {
        let start = Instant::now();
        let (mut a, mut b) = (Host::new(1, &[1, 2], start), Host::new(2, &[1, 2], start));
        let mut now = start;
        for _ in 0..300 {
            now += ms(100);
            a.tick(now);
        }
        let tomorrow = NOON + super::super::beacon::DAY_S;
        a.machine.handle(Input::Woke, now, tomorrow);
        let out = a.machine.handle(Input::Tick, now + ms(100), tomorrow);
        let [Output::Send(_, beacon)] = &out[..] else { panic!("{out:?}") };
        assert_eq!(beacon.kind, Kind::Ask);
        let sealed = a.seal(&beacon.clone());
        assert!(!b.hear(a.ip, &sealed, now).is_empty(), "a day apart");
    }
}
