//! What the runtime knows of each connected member's device, and when a session with it is due.
//!
//! Pure: `now` is an argument.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use lanai_crdt::id::DeviceId;

use super::{SYNC_COURTESY, SYNC_EVERY};

/// First pause after a failed session; doubled with each further failure.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Longest pause after failed sessions.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// One connected device.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    /// Sessions under way that this node opened.
    running: bool,
    /// Something came up while a session ran: another one is needed.
    again: bool,
    due: Instant,
    failures: u32,
    /// End of the last session that finished well.
    pub(super) last_sync: Option<Instant>,
    /// Whether that session ended with both holding the same.
    pub(super) in_sync: bool,
    /// Why the last session failed, if it did.
    pub(super) last_error: Option<String>,
}

/// All connected devices.
#[derive(Debug)]
pub(super) struct Peers {
    own: DeviceId,
    peers: HashMap<DeviceId, Peer>,
}

impl Peers {
    /// Nobody is connected yet.
    pub(super) fn new(own: DeviceId) -> Peers {
        Peers { own, peers: HashMap::new() }
    }

    /// A member's device connected: the smaller key opens the session.
    pub(super) fn connected(&mut self, device: DeviceId, now: Instant) {
        let due = if self.own < device { now } else { now + SYNC_COURTESY };
        self.peers.insert(
            device,
            Peer {
                running: false,
                again: false,
                due,
                failures: 0,
                last_sync: None,
                in_sync: false,
                last_error: None,
            },
        );
    }

    /// It is gone.
    pub(super) fn disconnected(&mut self, device: &DeviceId) {
        self.peers.remove(device);
    }

    /// Something is new that this device may lack, or may have.
    pub(super) fn sync_soon(&mut self, device: &DeviceId, now: Instant) {
        if let Some(peer) = self.peers.get_mut(device) {
            peer.in_sync = false;
            if peer.running {
                peer.again = true;
            } else if peer.failures == 0 {
                peer.due = now;
            }
        }
    }

    /// As [`Peers::sync_soon`], for all but one.
    pub(super) fn sync_others_soon(&mut self, except: Option<&DeviceId>, now: Instant) {
        let all: Vec<DeviceId> = self.peers.keys().copied().collect();
        for device in all.iter().filter(|d| Some(*d) != except) {
            self.sync_soon(device, now);
        }
    }

    /// Devices to open a session with now; they count as running from here on.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<DeviceId> {
        let mut due = Vec::new();
        for (device, peer) in &mut self.peers {
            if !peer.running && peer.due <= now {
                peer.running = true;
                peer.again = false;
                due.push(*device);
            }
        }
        due
    }

    /// A session ended. `opened` says whether this node opened it; `same` whether both hold the same.
    pub(super) fn ended(
        &mut self,
        device: &DeviceId,
        opened: bool,
        result: Result<bool, String>,
        now: Instant,
    ) {
        let regular = if self.own < *device { SYNC_EVERY } else { SYNC_EVERY * 2 };
        let Some(peer) = self.peers.get_mut(device) else { return };
        if opened {
            peer.running = false;
        }
        match result {
            Ok(same) => {
                peer.failures = 0;
                peer.last_error = None;
                peer.last_sync = Some(now);
                peer.in_sync = same && !peer.again;
                peer.due = if peer.again { now } else { now + regular };
            }
            Err(why) => {
                peer.last_error = Some(why);
                peer.in_sync = false;
                if opened {
                    let pause = FIRST_PAUSE.saturating_mul(1 << peer.failures.min(6));
                    peer.failures = peer.failures.saturating_add(1);
                    peer.due = now + pause.min(LONGEST_PAUSE);
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

    #[test]
    fn the_smaller_key_opens_and_the_other_steps_in() {
        let now = Instant::now();
        let mut peers = Peers::new(ME);
        peers.connected(LOW, now);
        peers.connected(HIGH, now);
        assert_eq!(peers.take_due(now), [HIGH]);
        assert_eq!(peers.take_due(now + SYNC_COURTESY), [LOW]);
        assert!(peers.take_due(now + SYNC_COURTESY).is_empty(), "both are running");
    }

    #[test]
    fn news_during_a_session_makes_another_one_due() {
        let now = Instant::now();
        let mut peers = Peers::new(ME);
        peers.connected(HIGH, now);
        peers.take_due(now);
        peers.sync_others_soon(None, now);
        peers.ended(&HIGH, true, Ok(true), now);
        assert!(!peers.get(&HIGH).unwrap().in_sync);
        assert_eq!(peers.take_due(now), [HIGH]);
        peers.ended(&HIGH, true, Ok(true), now);
        assert!(peers.get(&HIGH).unwrap().in_sync);
        assert!(peers.take_due(now).is_empty());
        assert_eq!(peers.take_due(now + SYNC_EVERY), [HIGH]);
    }

    #[test]
    fn failures_pause_longer_and_longer() {
        let mut now = Instant::now();
        let mut peers = Peers::new(ME);
        peers.connected(HIGH, now);
        let mut pauses = Vec::new();
        for _ in 0..8 {
            assert_eq!(peers.take_due(now), [HIGH]);
            peers.ended(&HIGH, true, Err("cut".into()), now);
            peers.sync_soon(&HIGH, now);
            let from = now;
            while peers.peers[&HIGH].due > now {
                now += Duration::from_millis(100);
            }
            pauses.push((now - from).as_millis());
        }
        assert!(pauses.is_sorted() && pauses[0] == 500 && pauses[7] == 15_000, "{pauses:?}");
        assert_eq!(peers.get(&HIGH).unwrap().last_error.as_deref(), Some("cut"));
    }

    #[test]
    fn an_inbound_session_counts_as_the_regular_one() {
        let now = Instant::now();
        let mut peers = Peers::new(ME);
        peers.connected(LOW, now);
        peers.ended(&LOW, false, Ok(true), now);
        assert!(peers.take_due(now + SYNC_COURTESY).is_empty());
    }
}
