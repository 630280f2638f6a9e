//! Whom to dial, where and when: pure bookkeeping, time is an argument.
//!
//! 1. Only members are dialled. Others that were discovered are kept so that they can be shown, and
//!    dialled at once should they become members.
//! 2. **The lower peer id dials.** Both sides follow the rule, so one connection comes up and not two.
//!    The higher side waits [`Redial::higher_waits`] and then dials too: a network that carries
//!    connections one way only still connects.
//! 3. One attempt per peer at a time, each with all its addresses; few attempts at once over all peers,
//!    those that waited longest first.
//! 4. A node that is **alone** tries again every [`Redial::alone`], however often it failed. A node with
//!    company backs off from [`Redial::first`], doubling, to [`Redial::last`].
//! 5. A connection that did not live for [`STEADY`] counts as a failed attempt: a peer that accepts and
//!    hangs up is not dialled in a tight loop.
//! 6. When the network under us changed, all waiting ends.
//! 7. Addresses per peer and strangers kept are bounded; the most recently useful stay.
//! 8. Among many, only [`neighbours`](super::neighbours) are dialled. Who counts as *around*: whoever is
//!    connected, or has an address and did not fail since it was last heard of. Whoever failed is tried as
//!    before, since nobody else would find out that it is back.
//! 9. What other members tell (*rumours*) is kept apart and used last. An address that was not heard of for
//!    [`FORGET`] is dropped, unless it worked once.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use libp2p::{Multiaddr, PeerId};

use super::address::dialable;
use super::neighbours::{FEW, neighbours};

/// Addresses kept for one peer, of each kind (remembered, discovered).
pub(super) const MAX_ADDRESSES: usize = 16;
/// Addresses kept of what others tell of one peer.
const MAX_RUMOURED: usize = 8;
/// Before an address that is announced no more is dropped.
const FORGET: Duration = Duration::from_secs(180);
/// Whoever announces itself and cannot be reached is dialled no more often than so, because of it.
const HEARD_PAUSE: Duration = Duration::from_secs(15);
/// Peers kept that are not members.
pub(super) const MAX_STRANGERS: usize = 512;
/// A connection that lived this long ends the backing off.
const STEADY: Duration = Duration::from_secs(10);
/// The least pause between the end of an attempt and the next one.
const BREATH: Duration = Duration::from_millis(300);

/// The waiting times of redialling.
#[derive(Debug, Clone)]
pub struct Redial {
    /// From one attempt's start to the next while no member is connected.
    pub alone: Duration,
    /// The same after the first failure while others are connected.
    pub first: Duration,
    /// The longest such wait.
    pub last: Duration,
    /// How long the higher peer id leaves dialling to the lower one.
    pub higher_waits: Duration,
    /// Attempts under way at once.
    pub at_once: usize,
}

impl Default for Redial {
    fn default() -> Self {
        Self {
            alone: Duration::from_secs(2),
            first: Duration::from_secs(3),
            last: Duration::from_secs(15),
            higher_waits: Duration::from_secs(2),
            at_once: 4,
        }
    }
}

/// What is known of one peer's whereabouts.
#[derive(Debug, Default)]
pub(super) struct Entry {
    /// Most recently useful first.
    remembered: Vec<Multiaddr>,
    discovered: Vec<Multiaddr>,
    rumoured: Vec<Multiaddr>,
    /// When it was last known to be around: connected, announced, or connected to somebody who says so.
    heard: Option<Instant>,
    /// When it last announced itself, or somebody told of it.
    announced: Option<Instant>,
    not_before: Option<Instant>,
    last_start: Option<Instant>,
    dialling: bool,
    connected_since: Option<Instant>,
    failures: u32,
    last_error: Option<String>,
}

impl Entry {
    pub(super) fn addresses(&self) -> Vec<Multiaddr> {
        let mut all = self.remembered.clone();
        for address in self.discovered.iter().chain(&self.rumoured) {
            if !all.contains(address) {
                all.push(address.clone());
            }
        }
        all
    }

    pub(super) fn is_discovered(&self) -> bool {
        !(self.discovered.is_empty() && self.rumoured.is_empty())
    }

    fn has_address(&self) -> bool {
        !self.remembered.is_empty() || self.is_discovered()
    }

    /// How long ago it was known to be around.
    pub(super) fn heard(&self, now: Instant) -> Option<Duration> {
        match self.connected_since {
            Some(_) => Some(Duration::ZERO),
            None => self.heard.map(|heard| now.saturating_duration_since(heard)),
        }
    }

    /// It is around, and what failed before need not fail now.
    fn note_heard(&mut self, when: Instant, now: Instant) {
        self.heard = Some(self.heard.map_or(when, |heard| heard.max(when)));
        self.announced = Some(self.announced.map_or(when, |heard| heard.max(when)));
        let is_later = self.last_start.is_none_or(|start| when > start);
        let rested =
            self.last_start.is_none_or(|start| now.saturating_duration_since(start) >= HEARD_PAUSE);
        if self.failures > 0 && is_later && rested && !self.dialling {
            self.failures = 0;
            self.last_start = None;
        }
    }

    pub(super) fn is_dialling(&self) -> bool {
        self.dialling
    }

    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    pub(super) fn last_error(&self) -> Option<&str> {
        self.last_error.as_deref()
    }

    fn wait(&self, redial: &Redial, alone: bool) -> Duration {
        if alone || self.failures == 0 {
            return redial.alone;
        }
        let doublings = self.failures.saturating_sub(1).min(16);
        redial.first.saturating_mul(1 << doublings).min(redial.last)
    }
}

/// The address book and dialling schedule. See the [module](self).
#[derive(Debug)]
pub(super) struct Book {
    me: PeerId,
    redial: Redial,
    members: Arc<HashSet<PeerId>>,
    peers: HashMap<PeerId, Entry>,
}

impl Book {
    pub(super) fn new(me: PeerId, redial: Redial) -> Self {
        Self { me, redial, members: Arc::default(), peers: HashMap::new() }
    }

    pub(super) fn peers(&self) -> impl Iterator<Item = (&PeerId, &Entry)> {
        self.peers.iter()
    }

    pub(super) fn addresses(&self, peer: &PeerId) -> Vec<Multiaddr> {
        self.peers.get(peer).map(Entry::addresses).unwrap_or_default()
    }

    fn is_higher(&self, peer: &PeerId) -> bool {
        self.me > *peer
    }

    /// Rule 2: when this side may start, if the reason to dial came up at `now`.
    fn turn(&self, peer: &PeerId, now: Instant) -> Instant {
        if self.is_higher(peer) { now + self.redial.higher_waits } else { now }
    }

    pub(super) fn set_members(&mut self, members: Arc<HashSet<PeerId>>, now: Instant) {
        let old = std::mem::replace(&mut self.members, members);
        let new: Vec<PeerId> = self.members.difference(&old).copied().collect();
        for peer in new {
            let turn = self.turn(&peer, now);
            if let Some(entry) = self.peers.get_mut(&peer) {
                entry.not_before = Some(turn);
            }
        }
        self.trim(None);
    }

    /// Adds an address that somebody vouched for or that worked, in front of the others.
    pub(super) fn remember(&mut self, peer: PeerId, addresses: &[Multiaddr], now: Instant) {
        if peer == self.me {
            return;
        }
        let turn = self.turn(&peer, now);
        let entry = self.peers.entry(peer).or_default();
        let mut is_new = false;
        for address in addresses.iter().rev().filter_map(|a| dialable(a, Some(&peer))) {
            is_new |= !entry.remembered.contains(&address);
            entry.remembered.retain(|known| *known != address);
            entry.remembered.insert(0, address);
            entry.remembered.truncate(MAX_ADDRESSES);
        }
        if is_new {
            entry.not_before = Some(turn);
            entry.last_start = None;
        }
        self.trim(Some(peer));
    }

    /// Adds an address that was heard of on the local network. Returns whether it was new.
    pub(super) fn discover(&mut self, peer: PeerId, address: &Multiaddr, now: Instant) -> bool {
        let Some(address) = dialable(address, Some(&peer)) else { return false };
        if peer == self.me {
            return false;
        }
        let turn = self.turn(&peer, now);
        let entry = self.peers.entry(peer).or_default();
        if entry.discovered.contains(&address) {
            return false;
        }
        entry.discovered.insert(0, address);
        entry.discovered.truncate(MAX_ADDRESSES);
        entry.not_before = Some(turn);
        entry.last_start = None;
        entry.failures = 0;
        self.trim(Some(peer));
        true
    }

    /// A member told that this one was there so long ago. Returns whether that was new.
    pub(super) fn rumour(
        &mut self,
        peer: PeerId,
        addresses: &[Multiaddr],
        age: Duration,
        now: Instant,
    ) -> bool {
        if peer == self.me || !self.members.contains(&peer) {
            return false;
        }
        let turn = self.turn(&peer, now);
        let when = now.checked_sub(age).unwrap_or(now);
        let entry = self.peers.entry(peer).or_default();
        let was_unheard = entry.heard.is_none();
        entry.note_heard(when, now);
        let mut is_new = false;
        for address in addresses.iter().rev().filter_map(|a| dialable(a, Some(&peer))) {
            if entry.remembered.contains(&address)
                || entry.discovered.contains(&address)
                || entry.rumoured.contains(&address)
            {
                continue;
            }
            is_new = true;
            entry.rumoured.insert(0, address);
            entry.rumoured.truncate(MAX_RUMOURED);
        }
        // Known addresses first; a rumour does not end the waiting of whoever is being tried.
        if is_new && entry.last_start.is_none() {
            entry.not_before = Some(turn);
        }
        self.trim(Some(peer));
        is_new || was_unheard
    }

    /// Whether it announced itself, or another member told of it: others are likely to know as well.
    pub(super) fn is_announced(&self, peer: &PeerId) -> bool {
        self.peers.get(peer).is_some_and(|entry| entry.announced.is_some())
    }

    /// It announced itself. Returns whether it had not been heard of lately.
    pub(super) fn announced(&mut self, peer: &PeerId, now: Instant) -> bool {
        let Some(entry) = self.peers.get_mut(peer) else { return false };
        let was_unheard = entry.heard.is_none();
        entry.note_heard(now, now);
        was_unheard
    }

    /// Drops what is announced no more. Returns peers that have no such address left.
    pub(super) fn forget_unheard(&mut self, now: Instant) -> Vec<PeerId> {
        let mut gone = Vec::new();
        for (peer, entry) in &mut self.peers {
            let is_fresh =
                entry.announced.is_none_or(|heard| now.saturating_duration_since(heard) < FORGET);
            if entry.is_discovered() && !is_fresh {
                entry.discovered.clear();
                entry.rumoured.clear();
                gone.push(*peer);
            }
        }
        self.trim(None);
        gone
    }

    /// Whether there are so many members with an address that not all will be connected.
    pub(super) fn are_many(&self) -> bool {
        self.peers
            .iter()
            .filter(|(peer, entry)| self.members.contains(peer) && entry.has_address())
            .nth(FEW)
            .is_some()
    }

    /// Members that are around as far as is known; see rule 8.
    fn around(&self, is_connected: impl Fn(&PeerId) -> bool) -> HashSet<PeerId> {
        self.peers
            .iter()
            .filter(|(peer, entry)| {
                self.members.contains(peer)
                    && (is_connected(peer) || (entry.failures == 0 && entry.has_address()))
            })
            .map(|(peer, _)| *peer)
            .collect()
    }

    /// Drops an address where somebody else answered.
    pub(super) fn disprove(&mut self, peer: &PeerId, address: &Multiaddr) {
        let (address, _) = super::address::split_peer(address);
        if let Some(entry) = self.peers.get_mut(peer) {
            entry.remembered.retain(|known| *known != address);
            entry.discovered.retain(|known| *known != address);
            entry.rumoured.retain(|known| *known != address);
        }
    }

    /// Rule 7: strangers without an address go; if there are too many, others too, but not the one just
    /// touched.
    fn trim(&mut self, keep: Option<PeerId>) {
        let members = &self.members;
        self.peers.retain(|peer, entry| {
            members.contains(peer)
                || entry.connected_since.is_some()
                || entry.dialling
                || entry.has_address()
        });
        let strangers: Vec<PeerId> =
            self.peers.keys().filter(|peer| !members.contains(peer)).copied().collect();
        let surplus = strangers.len().saturating_sub(MAX_STRANGERS);
        for peer in strangers.into_iter().filter(|peer| Some(*peer) != keep).take(surplus) {
            self.peers.remove(&peer);
        }
    }

    /// The members to dial now, with their addresses. They count as being dialled from here on; say
    /// how it went with [`Book::failed`] or [`Book::connected`].
    pub(super) fn due(
        &mut self,
        now: Instant,
        alone: bool,
        is_connected: impl Fn(&PeerId) -> bool,
    ) -> Vec<(PeerId, Vec<Multiaddr>)> {
        let under_way = self.peers.values().filter(|entry| entry.dialling).count();
        let room = self.redial.at_once.saturating_sub(under_way);
        if room == 0 {
            return Vec::new();
        }
        let wanted = neighbours(&self.me, &self.around(&is_connected));
        let is_wanted = |peer: &PeerId, entry: &Entry| {
            entry.failures > 0 || wanted.as_ref().is_none_or(|wanted| wanted.contains(peer))
        };
        let mut due: Vec<(Option<Instant>, PeerId)> = self
            .peers
            .iter()
            .filter(|(peer, entry)| {
                self.members.contains(peer)
                    && !entry.dialling
                    && entry.has_address()
                    && is_wanted(peer, entry)
                    && entry.not_before.is_none_or(|start| now >= start)
                    && entry
                        .last_start
                        .is_none_or(|start| now >= start + entry.wait(&self.redial, alone))
                    && !is_connected(peer)
            })
            .map(|(peer, entry)| (entry.last_start, *peer))
            .collect();
        due.sort();
        due.truncate(room);
        due.into_iter()
            .filter_map(|(_, peer)| {
                let entry = self.peers.get_mut(&peer)?;
                entry.dialling = true;
                entry.last_start = Some(now);
                Some((peer, entry.addresses()))
            })
            .collect()
    }

    /// An attempt failed.
    pub(super) fn failed(&mut self, peer: &PeerId, why: String, now: Instant) {
        let higher = self.is_higher(peer);
        if let Some(entry) = self.peers.get_mut(peer) {
            entry.dialling = false;
            entry.failures = entry.failures.saturating_add(1);
            entry.last_error = Some(why);
            // The two sides must not go on in step, each meeting the other's attempt.
            entry.not_before = Some(now + if higher { 2 * BREATH } else { BREATH });
        }
        self.trim(None);
    }

    /// A connection that carries what members exchange is up, at `address` if this side dialled.
    pub(super) fn connected(&mut self, peer: PeerId, address: Option<&Multiaddr>, now: Instant) {
        if let Some(address) = address {
            self.remember(peer, std::slice::from_ref(address), now);
        }
        let entry = self.peers.entry(peer).or_default();
        entry.dialling = false;
        entry.last_error = None;
        entry.heard = Some(now);
        entry.connected_since.get_or_insert(now);
    }

    /// An attempt ended without a failure but without such a connection either.
    pub(super) fn attempt_over(&mut self, peer: &PeerId) {
        if let Some(entry) = self.peers.get_mut(peer) {
            entry.dialling = false;
        }
    }

    /// The last such connection is gone.
    pub(super) fn disconnected(&mut self, peer: &PeerId, now: Instant) {
        let turn = self.turn(peer, now);
        if let Some(entry) = self.peers.get_mut(peer) {
            entry.heard = Some(now);
            let was_steady = entry
                .connected_since
                .take()
                .is_some_and(|since| now.saturating_duration_since(since) >= STEADY);
            if was_steady {
                entry.failures = 0;
                entry.last_start = None;
            } else {
                entry.failures = entry.failures.saturating_add(1);
                entry.last_start = Some(now);
            }
            entry.not_before = Some(turn);
        }
        self.trim(None);
    }

    /// Ends a peer's waiting: there is a reason to believe that it can be reached now.
    pub(super) fn hurry(&mut self, peer: &PeerId, not_before: Instant) {
        if let Some(entry) = self.peers.get_mut(peer) {
            entry.failures = 0;
            entry.last_start = None;
            entry.not_before = Some(not_before);
        }
    }

    /// Rule 6.
    pub(super) fn network_changed(&mut self, now: Instant) {
        let me = self.me;
        for (peer, entry) in &mut self.peers {
            entry.failures = 0;
            entry.last_start = None;
            let wait = if me > *peer { self.redial.higher_waits } else { Duration::ZERO };
            entry.not_before = Some(now + wait);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOBODY: fn(&PeerId) -> bool = |_| false;

    fn two_peers() -> (PeerId, PeerId) {
        let (a, b) = (PeerId::random(), PeerId::random());
        (a.min(b), a.max(b))
    }

    fn book(me: PeerId, member: PeerId, now: Instant) -> Book {
        let mut book = Book::new(me, Redial::default());
        book.set_members(Arc::new(HashSet::from([member])), now);
        book
    }

    fn address(last: u16) -> Multiaddr {
        format!("/ip4/10.0.0.{}/tcp/{}", last % 250 + 1, last + 1).parse().unwrap()
    }

    fn seconds(s: u64) -> Duration {
        Duration::from_secs(s)
    }

    #[test]
    fn the_lower_id_dials_at_once_and_the_higher_later() {
        let (low, high) = two_peers();
        let now = Instant::now();
        let mut lower = book(low, high, now);
        assert!(lower.discover(high, &address(1), now));
        assert_eq!(lower.due(now, true, NOBODY), vec![(high, vec![address(1)])]);

        let mut higher = book(high, low, now);
        assert!(higher.discover(low, &address(2), now));
        assert!(higher.due(now + seconds(1), true, NOBODY).is_empty());
        assert_eq!(higher.due(now + seconds(2), true, NOBODY).len(), 1);
    }

    #[test]
    fn strangers_are_never_dialled_until_they_are_members() {
        let (low, high) = two_peers();
        let now = Instant::now();
        let mut book = Book::new(low, Redial::default());
        book.discover(high, &address(1), now);
        assert!(book.due(now + seconds(100), true, NOBODY).is_empty());
        book.set_members(Arc::new(HashSet::from([high])), now + seconds(100));
        assert_eq!(book.due(now + seconds(100), true, NOBODY).len(), 1);
    }

    #[test]
    fn one_attempt_at_a_time_and_none_while_connected() {
        let (low, high) = two_peers();
        let now = Instant::now();
        let mut book = book(low, high, now);
        book.remember(high, &[address(1)], now);
        assert!(book.due(now, true, |_| true).is_empty());
        assert_eq!(book.due(now, true, NOBODY).len(), 1);
        assert!(book.due(now + seconds(60), true, NOBODY).is_empty());
    }

    #[test]
    fn alone_retries_steadily_and_in_company_backs_off() {
        let (low, high) = two_peers();
        let start = Instant::now();
        let mut book = book(low, high, start);
        book.remember(high, &[address(1)], start);
        let mut waits = Vec::new();
        let mut now = start;
        for _ in 0..6 {
            let attempt = now;
            assert_eq!(book.due(now, false, NOBODY).len(), 1);
            book.failed(&high, "refused".into(), now);
            while book.due(now, false, NOBODY).is_empty() {
                now += Duration::from_millis(100);
            }
            waits.push((now - attempt).as_secs());
            book.attempt_over(&high);
            // `due` moved the start of the attempt; the next round starts from a fresh one.
            now += seconds(30);
        }
        assert_eq!(waits, [3, 6, 12, 15, 15, 15]);

        let attempt = now;
        assert_eq!(book.due(now, true, NOBODY).len(), 1);
        book.failed(&high, "refused".into(), now);
        while book.due(now, true, NOBODY).is_empty() {
            now += Duration::from_millis(100);
        }
        assert_eq!((now - attempt).as_secs(), 2);
    }

    #[test]
    fn a_connection_that_does_not_last_is_a_failure() {
        let (low, high) = two_peers();
        let now = Instant::now();
        let mut book = book(low, high, now);
        book.remember(high, &[address(1)], now);
        assert_eq!(book.due(now, false, NOBODY).len(), 1);
        book.connected(high, Some(&address(1)), now);
        book.disconnected(&high, now + seconds(1));
        assert!(book.due(now + seconds(2), false, NOBODY).is_empty());
        assert_eq!(book.due(now + seconds(4), false, NOBODY).len(), 1);

        book.connected(high, None, now + seconds(5));
        book.disconnected(&high, now + seconds(60));
        assert_eq!(book.due(now + seconds(60), false, NOBODY).len(), 1);
    }

    #[test]
    fn a_changed_network_ends_the_waiting() {
        let (low, high) = two_peers();
        let now = Instant::now();
        let mut book = book(low, high, now);
        book.remember(high, &[address(1)], now);
        for second in 0..5 {
            book.due(now + seconds(second * 20), false, NOBODY);
            book.failed(&high, "refused".into(), now + seconds(second * 20));
        }
        let later = now + seconds(81);
        assert!(book.due(later, false, NOBODY).is_empty());
        book.network_changed(later);
        assert_eq!(book.due(later, false, NOBODY).len(), 1);
    }

    #[test]
    fn addresses_and_strangers_are_bounded() {
        let (low, high) = two_peers();
        let now = Instant::now();
        let mut book = book(low, high, now);
        for n in 0..100 {
            book.remember(high, &[address(n)], now);
            book.discover(high, &address(n + 100), now);
        }
        let known = book.addresses(&high);
        assert_eq!(known.len(), 2 * MAX_ADDRESSES);
        assert_eq!(known.first(), Some(&address(99)));
        for _ in 0..MAX_STRANGERS + 50 {
            book.discover(PeerId::random(), &address(1), now);
        }
        assert_eq!(book.peers().count(), MAX_STRANGERS + 1);
        assert!(!book.addresses(&high).is_empty());
    }

    #[test]
    fn rumours_are_of_members_used_last_and_die_out() {
        let (low, high) = two_peers();
        let now = Instant::now();
        let mut book = book(low, high, now);
        let stranger = PeerId::random();
        assert!(!book.rumour(stranger, &[address(1)], seconds(0), now));
        assert!(book.addresses(&stranger).is_empty());
        book.remember(high, &[address(1)], now);
        for n in 0..100 {
            book.rumour(high, &[address(n)], seconds(5), now);
        }
        let known = book.addresses(&high);
        assert_eq!((known.len(), known.first()), (1 + MAX_RUMOURED, Some(&address(1))));
        assert_eq!(book.peers[&high].heard(now), Some(seconds(5)));
        assert!(book.forget_unheard(now + FORGET - seconds(6)).is_empty());
        assert_eq!(book.forget_unheard(now + FORGET), [high]);
        assert_eq!(book.addresses(&high), [address(1)], "what was remembered stays");
    }

    #[test]
    fn who_announces_itself_is_tried_again_and_not_in_a_rush() {
        let (low, high) = two_peers();
        let start = Instant::now();
        let mut book = book(low, high, start);
        book.discover(high, &address(1), start);
        for round in 0..5 {
            let now = start + seconds(round * 20);
            book.due(now, false, NOBODY);
            book.failed(&high, "refused".into(), now);
        }
        let now = start + seconds(81);
        book.announced(&high, now);
        assert!(book.due(now, false, NOBODY).is_empty(), "it was tried a second ago");
        book.announced(&high, start + seconds(95));
        assert_eq!(book.due(start + seconds(95), false, NOBODY).len(), 1);
    }

    #[test]
    fn of_many_some_are_dialled_and_who_fails_is_replaced() {
        let me = PeerId::random();
        let start = Instant::now();
        let members: HashSet<PeerId> = (0..49).map(|_| PeerId::random()).collect();
        let redial = Redial { at_once: 100, ..Redial::default() };
        let mut book = Book::new(me, redial);
        book.set_members(Arc::new(members.clone()), start);
        for member in &members {
            book.discover(*member, &address(1), start);
        }
        let now = start + seconds(3);
        let first: HashSet<PeerId> =
            book.due(now, true, NOBODY).into_iter().map(|(peer, _)| peer).collect();
        assert!((8..=10).contains(&first.len()), "{}", first.len());
        for peer in &first {
            book.failed(peer, "refused".into(), now);
        }
        let second = book.due(now + seconds(1), false, NOBODY);
        assert!(second.len() >= 8 && second.iter().all(|(peer, _)| !first.contains(peer)));
    }

    #[test]
    fn an_address_where_another_answered_is_dropped() {
        let (low, high) = two_peers();
        let now = Instant::now();
        let mut book = book(low, high, now);
        book.remember(high, &[address(1), address(2)], now);
        book.disprove(&high, &address(1));
        assert_eq!(book.addresses(&high), [address(2)]);
    }
}
