//! What the runtime knows of each connected member's device, and when a session with it is due.
//!
//! Pure: `now` is an argument. The rules:
//!
//! 1. A session speaks for what this node held when it **began**. What came up later makes another
//!    one due, and until that one is over the two are not said to be in sync.
//! 2. Sessions over what a third one brought wait a moment, the longer the more peers there are, so
//!    that many small arrivals among many peers become few sessions.
//! 3. Where a session could not carry all, the one with the smaller key goes on; the other steps in if it does not.
//! 4. A failure pauses, longer with each further one. Whoever breaks the protocol is left alone for
//!    [`BREACH_PAUSE`], its own sessions included, even if it connects anew meanwhile.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use lanai_crdt::id::DeviceId;

use super::{SYNC_COURTESY, SYNC_EVERY};
use crate::sync::Severity;

/// First pause after a failed session; doubled with each further failure.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Longest pause after failed sessions.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// Pause when the two sides do not go together, as with another version.
const MISMATCH_PAUSE: Duration = Duration::from_secs(60);
/// How long a device that broke the protocol is left alone.
pub(super) const BREACH_PAUSE: Duration = Duration::from_secs(300);
/// Sessions with one peer over what others brought are this far apart, for each peer there is.
const NEWS_PAUSE: Duration = Duration::from_millis(20);
/// But not farther.
const LONGEST_NEWS_PAUSE: Duration = Duration::from_secs(2);

/// Time between two sessions over a metered link without a reason for one: an audit a day.
const METERED_EVERY: Duration = Duration::from_secs(86_400);

/// How a session ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Well.
    Done {
        /// There was more than one session carries.
        more: bool,
        /// Something was sent or received.
        moved: bool,
    },
    /// Not well.
    Failed {
        /// Whose fault it was.
        severity: Severity,
        /// Why, for people.
        why: String,
    },
}

/// One connected device.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    /// Which time it connected: sessions of an earlier time say nothing about this one.
    visit: u64,
    /// A session that this node opened is under way.
    running: bool,
    /// Sessions that the device opened and that are under way.
    served: u32,
    due: Instant,
    /// When something last came up that this device may lack or have.
    changed: Instant,
    ended: Option<Instant>,
    failures: u32,
    /// End of the last session that finished well.
    pub(super) last_sync: Option<Instant>,
    /// Nothing without a reason: somebody pays for this link by the byte.
    metered: bool,
    /// Whether that session ended with both holding the same, and nothing has come up since.
    pub(super) in_sync: bool,
    /// Why the last session failed, if it did.
    pub(super) last_error: Option<String>,
}

impl Peer {
    /// Whether a session may be opened: two side by side would carry everything twice.
    fn is_free(&self) -> bool {
        !self.running && self.served == 0
    }
}

/// All connected devices.
#[derive(Debug)]
pub(super) struct Peers {
    own: DeviceId,
    visits: u64,
    peers: HashMap<DeviceId, Peer>,
    /// Until when devices are left alone. Only members' devices come here.
    shunned: HashMap<DeviceId, Instant>,
}

impl Peers {
    /// Nobody is connected yet.
    pub(super) fn new(own: DeviceId) -> Peers {
        Peers { own, visits: 0, peers: HashMap::new(), shunned: HashMap::new() }
    }

    /// A member's device connected: the smaller key opens the session.
    pub(super) fn connected(&mut self, device: DeviceId, now: Instant) {
        let due = if self.own < device { now } else { now + SYNC_COURTESY };
        let due = self.shunned.get(&device).map_or(due, |until| due.max(*until));
        self.visits += 1;
        self.peers.insert(
            device,
            Peer {
                visit: self.visits,
                running: false,
                served: 0,
                due,
                changed: now,
                ended: None,
                failures: 0,
                last_sync: None,
                metered: false,
                in_sync: false,
                last_error: None,
            },
        );
    }

    /// This side, or the other, pays for the link by the byte.
    pub(super) fn spare(&mut self, device: &DeviceId) {
        if let Some(peer) = self.peers.get_mut(device) {
            peer.metered = true;
        }
    }

    /// It is gone.
    pub(super) fn disconnected(&mut self, device: &DeviceId) {
        self.peers.remove(device);
    }

    /// Whether a session that this device opens is served.
    pub(super) fn accepts(&self, device: &DeviceId, now: Instant) -> bool {
        self.shunned.get(device).is_none_or(|until| *until <= now)
    }

    /// A session that this device opened is being served; it is told of by [`Peers::ended`].
    pub(super) fn serving(&mut self, device: &DeviceId) {
        if let Some(peer) = self.peers.get_mut(device) {
            peer.served = peer.served.saturating_add(1);
        }
    }

    /// The visit that a session with this device belongs to; 0 if it is not connected.
    pub(super) fn visit(&self, device: &DeviceId) -> u64 {
        self.peers.get(device).map_or(0, |p| p.visit)
    }

    /// Something is new that this device may lack, or may have.
    pub(super) fn sync_soon(&mut self, device: &DeviceId, now: Instant) {
        if let Some(peer) = self.peers.get_mut(device) {
            peer.changed = now;
            peer.in_sync = false;
            if peer.failures == 0 && self.shunned.get(device).is_none_or(|until| *until <= now) {
                peer.due = now;
            }
        }
    }

    /// As [`Peers::sync_soon`], for all.
    pub(super) fn sync_all_soon(&mut self, now: Instant) {
        for device in self.devices() {
            self.sync_soon(&device, now);
        }
    }

    /// A session with `from` brought something: the others are offered it (rule 2).
    pub(super) fn offer_others(&mut self, from: &DeviceId, now: Instant) {
        let pause = self.news_pause();
        for device in self.devices() {
            let Some(peer) = self.peers.get(&device) else { continue };
            if device == *from {
                continue;
            }
            let (before, rested) = (peer.due, peer.ended.map_or(now, |t| now.max(t + pause)));
            self.sync_soon(&device, now);
            if let Some(peer) = self.peers.get_mut(&device)
                && peer.due == now
            {
                peer.due = rested.min(before.max(now));
            }
        }
    }

    fn news_pause(&self) -> Duration {
        let peers = u32::try_from(self.peers.len()).unwrap_or(u32::MAX);
        NEWS_PAUSE.saturating_mul(peers).min(LONGEST_NEWS_PAUSE)
    }

    /// When the next session is due; `None` if there is none to wait for.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.peers.values().filter(|p| p.is_free()).map(|p| p.due).min()
    }

    /// At most `room` devices to open a session with now, those first that have been due for
    /// longest; they count as running from here on.
    pub(super) fn take_due(&mut self, now: Instant, room: usize) -> Vec<DeviceId> {
        let mut due: Vec<(Instant, DeviceId)> = self
            .peers
            .iter()
            .filter(|(_, p)| p.is_free() && p.due <= now)
            .map(|(device, p)| (p.due, *device))
            .collect();
        due.sort_unstable();
        due.truncate(room);
        for (_, device) in &due {
            if let Some(peer) = self.peers.get_mut(device) {
                peer.running = true;
            }
        }
        due.into_iter().map(|(_, device)| device).collect()
    }

    /// A session of a visit ended. `opened` says whether this node opened it, `began` when it looked
    /// at what this node holds.
    pub(super) fn ended(
        &mut self,
        device: &DeviceId,
        (visit, opened, began): (u64, bool, Instant),
        outcome: Outcome,
        now: Instant,
    ) {
        let breach = matches!(outcome, Outcome::Failed { severity: Severity::Peer, .. });
        if breach {
            self.shunned.retain(|_, until| *until > now);
            self.shunned.insert(*device, now + BREACH_PAUSE);
        }
        let regular = if self.own < *device { SYNC_EVERY } else { SYNC_EVERY * 2 };
        let courtesy = if self.own < *device { Duration::ZERO } else { SYNC_COURTESY };
        let pause = self.news_pause();
        let Some(peer) = self.peers.get_mut(device).filter(|p| p.visit == visit) else { return };
        if opened {
            peer.running = false;
        } else {
            peer.served = peer.served.saturating_sub(1);
        }
        peer.ended = Some(now);
        let regular = if peer.metered { METERED_EVERY } else { regular };
        match outcome {
            Outcome::Done { more, moved } => {
                let is_fresh = began >= peer.changed;
                peer.failures = 0;
                peer.last_error = None;
                peer.last_sync = Some(now);
                peer.in_sync = !more && is_fresh;
                peer.due = match (is_fresh, more && moved) {
                    (true, false) => now + regular,
                    // Both know that there is more; if both went on, they would carry it twice.
                    (_, true) => now + pause + courtesy,
                    _ => now + pause,
                };
            }
            Outcome::Failed { severity, why } => {
                peer.last_error = Some(why);
                peer.in_sync = false;
                if breach {
                    peer.due = now + BREACH_PAUSE;
                } else if opened {
                    let pause = match severity {
                        Severity::Mismatch => MISMATCH_PAUSE,
                        _ => {
                            FIRST_PAUSE.saturating_mul(1 << peer.failures.min(6)).min(LONGEST_PAUSE)
                        }
                    };
                    peer.failures = peer.failures.saturating_add(1);
                    peer.due = now + pause;
                }
            }
        }
    }

    /// What is known of one device.
    pub(super) fn get(&self, device: &DeviceId) -> Option<&Peer> {
        self.peers.get(device)
    }

    /// All connected devices.
    pub(super) fn devices(&self) -> Vec<DeviceId> {
        let mut all: Vec<DeviceId> = self.peers.keys().copied().collect();
        all.sort_unstable();
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOW: DeviceId = DeviceId::new([1; 32]);
    const ME: DeviceId = DeviceId::new([2; 32]);
    const HIGH: DeviceId = DeviceId::new([3; 32]);
    const MANY: usize = 100;
    const SAME: Outcome = Outcome::Done { more: false, moved: false };

    fn with(devices: &[DeviceId], now: Instant) -> Peers {
        let mut peers = Peers::new(ME);
        devices.iter().for_each(|d| peers.connected(*d, now));
        peers
    }

    fn failed(severity: Severity) -> Outcome {
        Outcome::Failed { severity, why: "cut".into() }
    }

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    impl Peers {
        fn end(
            &mut self,
            device: &DeviceId,
            opened: bool,
            began: Instant,
            how: Outcome,
            now: Instant,
        ) {
            self.ended(device, (self.visit(device), opened, began), how, now);
        }
    }

    #[test]
    fn what_one_session_could_not_carry_is_carried_once() {
        let now = Instant::now();
        let mut peers = with(&[LOW, HIGH], now);
        let more = || Outcome::Done { more: true, moved: true };
        for device in [LOW, HIGH] {
            peers.end(&device, true, now, more(), now);
        }
        let soon = now + NEWS_PAUSE * 2;
        assert_eq!(peers.take_due(soon, MANY), [HIGH]);
        assert_eq!(peers.next_due(), Some(soon + SYNC_COURTESY));
        assert_eq!(peers.take_due(soon + SYNC_COURTESY, MANY), [LOW]);
    }

    #[test]
    fn the_smaller_key_opens_and_the_other_steps_in() {
        let now = Instant::now();
        let mut peers = with(&[LOW, HIGH], now);
        assert_eq!(peers.take_due(now, MANY), [HIGH]);
        assert_eq!(peers.next_due(), Some(now + SYNC_COURTESY));
        assert_eq!(peers.take_due(now + SYNC_COURTESY, MANY), [LOW]);
        assert!(peers.take_due(now + SYNC_COURTESY, MANY).is_empty(), "both are running");
        assert_eq!(peers.next_due(), None);
    }

    #[test]
    fn few_at_once_and_who_waited_longest_first() {
        let now = Instant::now();
        let mut peers = Peers::new(ME);
        for n in 0..20u8 {
            peers.connected(DeviceId::new([100 - n; 32]), now + ms(n.into()));
        }
        let later = now + ms(50);
        assert_eq!(peers.take_due(later, 1), [DeviceId::new([100; 32])]);
        assert_eq!(peers.take_due(later, 9).len(), 9);
        assert_eq!(peers.take_due(later, MANY).len(), 10);
    }

    #[test]
    fn news_during_a_session_makes_another_one_due() {
        let now = Instant::now();
        let mut peers = with(&[HIGH], now);
        peers.take_due(now, MANY);
        peers.sync_all_soon(now + ms(1));
        peers.end(&HIGH, true, now, SAME, now + ms(2));
        assert!(!peers.get(&HIGH).unwrap().in_sync);
        let soon = now + ms(2) + NEWS_PAUSE;
        assert_eq!(peers.take_due(soon, MANY), [HIGH]);
        peers.end(&HIGH, true, soon, SAME, soon);
        assert!(peers.get(&HIGH).unwrap().in_sync);
        assert!(peers.take_due(soon, MANY).is_empty());
        assert_eq!(peers.take_due(soon + SYNC_EVERY, MANY), [HIGH]);
    }

    #[test]
    fn a_session_that_began_before_a_post_does_not_confirm_it() {
        let now = Instant::now();
        for opened in [true, false] {
            let mut peers = with(&[HIGH], now);
            peers.sync_all_soon(now + ms(5));
            peers.end(&HIGH, opened, now + ms(4), SAME, now + ms(6));
            assert!(!peers.get(&HIGH).unwrap().in_sync, "opened here: {opened}");
            peers.end(&HIGH, opened, now + ms(5), SAME, now + ms(7));
            assert!(peers.get(&HIGH).unwrap().in_sync);
        }
    }

    #[test]
    fn a_session_of_an_earlier_visit_does_not_touch_the_present_one() {
        let now = Instant::now();
        let mut peers = with(&[HIGH], now);
        let old = peers.visit(&HIGH);
        peers.take_due(now, MANY);
        peers.disconnected(&HIGH);
        peers.connected(HIGH, now + ms(1));
        assert_eq!(peers.take_due(now + ms(1), MANY), [HIGH]);
        peers.ended(&HIGH, (old, true, now), failed(Severity::Link), now + ms(2));
        assert!(peers.take_due(now + ms(3), MANY).is_empty(), "the new session still runs");
        assert_eq!(peers.get(&HIGH).unwrap().last_error, None);
    }

    #[test]
    fn more_than_one_session_carries_goes_on_soon() {
        let now = Instant::now();
        let mut peers = with(&[HIGH], now);
        peers.take_due(now, MANY);
        peers.end(&HIGH, true, now, Outcome::Done { more: true, moved: true }, now);
        assert_eq!(peers.take_due(now + NEWS_PAUSE, MANY), [HIGH]);
        // Nothing moved: going on at once would turn for ever.
        peers.end(&HIGH, true, now + NEWS_PAUSE, Outcome::Done { more: true, moved: false }, now);
        assert!(!peers.get(&HIGH).unwrap().in_sync);
        assert!(peers.take_due(now + NEWS_PAUSE * 2, MANY).is_empty());
    }

    #[test]
    fn over_a_metered_link_nothing_goes_without_a_reason() {
        let mut now = Instant::now();
        let mut peers = with(&[HIGH], now);
        peers.spare(&HIGH);
        assert_eq!(peers.take_due(now, MANY), [HIGH], "once when it connects");
        peers.end(&HIGH, true, now, SAME, now);
        now += METERED_EVERY - ms(1);
        assert!(peers.take_due(now, MANY).is_empty());
        peers.sync_soon(&HIGH, now);
        assert_eq!(peers.take_due(now, MANY), [HIGH], "something is new");
        peers.end(&HIGH, true, now, SAME, now);
        assert_eq!(peers.take_due(now + METERED_EVERY, MANY), [HIGH]);
    }

    #[test]
    fn failures_pause_longer_and_longer() {
        let mut now = Instant::now();
        let mut peers = with(&[HIGH], now);
        let mut pauses = Vec::new();
        for _ in 0..8 {
            assert_eq!(peers.take_due(now, MANY), [HIGH]);
            peers.end(&HIGH, true, now, failed(Severity::Link), now);
            peers.sync_soon(&HIGH, now);
            let from = now;
            while peers.peers[&HIGH].due > now {
                now += ms(100);
            }
            pauses.push((now - from).as_millis());
        }
        assert!(pauses.is_sorted() && pauses[0] == 500 && pauses[7] == 15_000, "{pauses:?}");
        assert_eq!(peers.get(&HIGH).unwrap().last_error.as_deref(), Some("cut"));
    }

    #[test]
    fn who_breaks_the_protocol_is_left_alone_even_after_it_connects_anew() {
        let now = Instant::now();
        for opened in [true, false] {
            let mut peers = with(&[HIGH], now);
            assert!(peers.accepts(&HIGH, now));
            peers.end(&HIGH, opened, now, failed(Severity::Peer), now);
            peers.disconnected(&HIGH);
            peers.connected(HIGH, now);
            peers.sync_all_soon(now);
            let almost = now + BREACH_PAUSE - ms(1);
            assert!(!peers.accepts(&HIGH, almost) && peers.take_due(almost, MANY).is_empty());
            let later = now + BREACH_PAUSE;
            assert!(peers.accepts(&HIGH, later));
            assert_eq!(peers.take_due(later, MANY), [HIGH]);
        }
    }

    #[test]
    fn no_session_is_opened_beside_one_that_is_served() {
        let now = Instant::now();
        let mut peers = Peers::new(ME);
        peers.connected(LOW, now);
        peers.serving(&LOW);
        let later = now + SYNC_COURTESY;
        assert!(peers.take_due(later, 8).is_empty());
        assert_eq!(peers.next_due(), None);
        peers.sync_soon(&LOW, later);
        assert!(peers.take_due(later, 8).is_empty());
        let of = (peers.visit(&LOW), false, now);
        peers.ended(&LOW, of, Outcome::Done { more: false, moved: true }, later);
        assert_eq!(
            peers.take_due(later + LONGEST_NEWS_PAUSE, 8),
            [LOW],
            "there was news meanwhile"
        );
    }

    #[test]
    fn an_inbound_session_counts_as_the_regular_one() {
        let now = Instant::now();
        let mut peers = with(&[LOW], now);
        peers.end(&LOW, false, now, SAME, now);
        assert!(peers.take_due(now + SYNC_COURTESY, MANY).is_empty());
    }

    #[test]
    fn one_entry_among_fifty_nodes_comes_to_rest() {
        // Everybody is connected with everybody; one node holds something that the others lack. The
        // nodes' clocks turn in steps, and a session takes no time.
        const NODES: usize = 50;
        let mut now = Instant::now();
        let id = |n: usize| DeviceId::new([u8::try_from(n + 1).unwrap(); 32]);
        let mut nodes: Vec<Peers> = (0..NODES)
            .map(|n| {
                let mut peers = Peers::new(id(n));
                (0..NODES).filter(|m| *m != n).for_each(|m| peers.connected(id(m), now));
                peers
            })
            .collect();
        for (n, node) in nodes.iter_mut().enumerate() {
            for m in (0..NODES).filter(|m| *m != n) {
                node.end(&id(m), false, now, SAME, now);
            }
        }
        now += ms(1);
        let mut has = [false; NODES];
        has[7] = true;
        nodes[7].sync_all_soon(now);
        let mut sessions = 0;
        let quiet_from = now + ms(5_000);
        while now < quiet_from {
            for n in 0..NODES {
                for device in nodes[n].take_due(now, 16) {
                    let m = usize::from(device.as_bytes()[0]) - 1;
                    let moved = has[n] != has[m];
                    let taker = if has[n] { m } else { n };
                    let giver = if has[n] { n } else { m };
                    if moved {
                        has[taker] = true;
                        nodes[taker].offer_others(&id(giver), now);
                    }
                    let done = Outcome::Done { more: false, moved };
                    nodes[n].end(&device, true, now, done.clone(), now);
                    nodes[m].end(&id(n), false, now, done, now);
                    sessions += 1;
                }
            }
            now += ms(50);
        }
        assert!(has.iter().all(|h| *h));
        assert!(sessions <= NODES * (NODES - 1), "{sessions} sessions");
        let busy = nodes.iter_mut().map(|n| n.take_due(now, MANY).len()).sum::<usize>();
        assert_eq!(busy, 0);
    }
}
