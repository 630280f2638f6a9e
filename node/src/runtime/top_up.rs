//! Who seals the epoch key to a member's device that has none.
//!
//! Whoever admits a device seals the key to it in the next moment. If its node died in between, or the
//! admission came in from elsewhere without the seal, any member's node that holds the key does it.
//! So that not all do it at once, each waits its turn: the connected devices and this one are ordered
//! by the distance (XOR) of their keys to the key of the device that lacks a seal. By the second
//! one's turn the first one's seal has most often arrived. Two seals do no harm.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use lanai_crdt::id::DeviceId;

/// The first one's turn: whoever is admitting right now gets ahead of it.
const FIRST_TURN: Duration = Duration::from_secs(5);
/// Between two turns.
const TURN: Duration = Duration::from_secs(3);
/// The last turn, however many there are.
const LAST_TURN: Duration = Duration::from_secs(60);

/// When it is this node's turn.
#[derive(Debug, Default)]
pub(super) struct TopUp {
    lacking: BTreeSet<DeviceId>,
    at: Option<Instant>,
}

impl TopUp {
    /// Takes note of the devices that lack a seal now; `own` and `connected` might give it.
    pub(super) fn lack(
        &mut self,
        lacking: BTreeSet<DeviceId>,
        own: &DeviceId,
        connected: &[DeviceId],
        now: Instant,
    ) {
        if lacking == self.lacking && self.at.is_some() {
            return;
        }
        let turn = |to: &DeviceId| {
            let before = connected.iter().filter(|d| distance(d, to) < distance(own, to)).count();
            u32::try_from(before).unwrap_or(u32::MAX)
        };
        // One writing serves all: the earliest turn is the one.
        self.at =
            lacking.iter().map(turn).min().map(|turn| {
                now + TURN.saturating_mul(turn).saturating_add(FIRST_TURN).min(LAST_TURN)
            });
        self.lacking = lacking;
    }

    /// Whether it is this node's turn; says so once.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        let due = self.at.is_some_and(|at| at <= now);
        if due {
            *self = TopUp::default();
        }
        due
    }
}

fn distance(a: &DeviceId, b: &DeviceId) -> [u8; 32] {
    let mut out = *a.as_bytes();
    out.iter_mut().zip(b.as_bytes()).for_each(|(o, b)| *o ^= b);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u8) -> DeviceId {
        DeviceId::new([n; 32])
    }

    #[test]
    fn turns_differ_and_the_nearest_is_first() {
        let now = Instant::now();
        let all = [id(1), id(2), id(3), id(4)];
        let mut turns = Vec::new();
        for own in &all {
            let others: Vec<DeviceId> = all.iter().copied().filter(|d| d != own).collect();
            let mut top_up = TopUp::default();
            top_up.lack([id(6)].into(), own, &others, now);
            turns.push((top_up.at.unwrap(), distance(own, &id(6))));
        }
        turns.sort_unstable();
        assert!(turns.is_sorted_by(|a, b| a.0 < b.0 && a.1 < b.1), "{turns:?}");
        assert_eq!(turns[0], (now + FIRST_TURN, distance(&id(4), &id(6))));
    }

    #[test]
    fn said_once_and_not_put_off_by_more_of_the_same() {
        let now = Instant::now();
        let mut top_up = TopUp::default();
        top_up.lack([id(6)].into(), &id(1), &[], now);
        top_up.lack([id(6)].into(), &id(1), &[], now + Duration::from_secs(4));
        assert!(!top_up.is_due(now));
        assert!(top_up.is_due(now + FIRST_TURN));
        assert!(!top_up.is_due(now + LAST_TURN));
    }

    #[test]
    fn nothing_is_done_once_the_seal_has_come() {
        let now = Instant::now();
        let mut top_up = TopUp::default();
        top_up.lack([id(6)].into(), &id(1), &[], now);
        top_up.lack(BTreeSet::new(), &id(1), &[], now);
        assert!(!top_up.is_due(now + LAST_TURN));
    }
}
