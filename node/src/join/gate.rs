//! How many joins a member's node takes on.
//!
//! Anybody on the network may open a join stream, and each costs a search through the tickets and
//! perhaps a transaction. So few run at a time, few begin in a minute, and few of them by one peer.

use std::collections::VecDeque;

use lanai_crdt::id::DeviceId;

/// Joins that run at a time.
pub const MAX_CONCURRENT_JOINS: usize = 8;
/// Joins that begin in any minute.
pub const MAX_JOINS_A_MINUTE: usize = 120;
/// Joins of one peer that begin in any minute.
pub const MAX_JOINS_A_MINUTE_OF_ONE_PEER: usize = 12;

const MINUTE_MS: u64 = 60_000;

/// Counts joins. Holds at most [`MAX_JOINS_A_MINUTE`] records.
#[derive(Debug, Default)]
pub struct Gate {
    running: usize,
    begun: VecDeque<(u64, DeviceId)>,
}

impl Gate {
    /// Whether a join of `peer` may begin now; if so it is counted until [`Gate::leave`].
    pub fn enter(&mut self, peer: DeviceId, now_ms: u64) -> bool {
        // A clock set back would keep old records for ever.
        self.begun.retain(|(at, _)| *at <= now_ms && now_ms - at < MINUTE_MS);
        let of_peer = self.begun.iter().filter(|(_, p)| *p == peer).count();
        let free = self.running < MAX_CONCURRENT_JOINS
            && self.begun.len() < MAX_JOINS_A_MINUTE
            && of_peer < MAX_JOINS_A_MINUTE_OF_ONE_PEER;
        if free {
            self.running += 1;
            self.begun.push_back((now_ms, peer));
        }
        free
    }

    /// A join that was let in has ended.
    pub fn leave(&mut self) {
        self.running = self.running.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(n: usize) -> DeviceId {
        DeviceId::new([u8::try_from(n).unwrap(); 32])
    }

    #[test]
    fn few_at_a_time() {
        let mut gate = Gate::default();
        for n in 0..MAX_CONCURRENT_JOINS {
            assert!(gate.enter(peer(n), 0));
        }
        assert!(!gate.enter(peer(99), 0));
        gate.leave();
        assert!(gate.enter(peer(99), 0));
    }

    #[test]
    fn few_a_minute() {
        let mut gate = Gate::default();
        let mut try_one = |peer, now| {
            let entered = gate.enter(peer, now);
            if entered {
                gate.leave();
            }
            entered
        };
        for n in 0..20 {
            assert_eq!(try_one(peer(1), 5), n < MAX_JOINS_A_MINUTE_OF_ONE_PEER);
        }
        assert!(try_one(peer(2), 5), "another peer is not held up");
        assert!(!try_one(peer(1), MINUTE_MS + 4));
        assert!(try_one(peer(1), MINUTE_MS + 5));
        let entered = (0..200).filter(|n| try_one(peer(*n), MINUTE_MS + 5)).count();
        assert_eq!(entered, MAX_JOINS_A_MINUTE - 1);
        assert!(try_one(peer(3), 0), "a clock set back does not lock anybody out");
    }
}
