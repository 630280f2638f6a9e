//! Addresses that are to be kept, gathered so that the store is not written for each.
//!
//! Among many nodes that come up together each learns some hundred addresses within seconds. They are worth
//! one write a moment later; if the process dies before, the next meeting brings them again.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use lanai_crdt::id::DeviceId;

/// How long addresses wait for others.
const GATHERING: Duration = Duration::from_secs(1);
/// Addresses that wait at most.
const MOST: usize = 8192;

/// Addresses that wait to be kept.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    waiting: BTreeSet<(DeviceId, String)>,
    since: Option<Instant>,
}

impl Addresses {
    /// Adds some of a device.
    pub(super) fn add(
        &mut self,
        device: DeviceId,
        addresses: impl Iterator<Item = String>,
        now: Instant,
    ) {
        let room = MOST.saturating_sub(self.waiting.len());
        self.waiting.extend(addresses.take(room).map(|address| (device, address)));
        self.since.get_or_insert(now);
    }

    /// Those that have waited long enough, or all of them.
    pub(super) fn take(&mut self, now: Instant, all: bool) -> Vec<(DeviceId, String)> {
        let is_due =
            self.since.is_some_and(|since| now.saturating_duration_since(since) >= GATHERING);
        if !(is_due || all) {
            return Vec::new();
        }
        self.since = None;
        std::mem::take(&mut self.waiting).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_wait_for_each_other_and_not_for_long() {
        let now = Instant::now();
        let mut addresses = Addresses::default();
        let device = DeviceId::new([1; 32]);
        assert!(addresses.take(now, true).is_empty());
        for n in 0..3 {
            let one = std::iter::once(format!("/ip4/10.0.0.{}/tcp/1", n % 2));
            addresses.add(device, one, now + GATHERING / 4 * n);
        }
        assert!(addresses.take(now + GATHERING / 2, false).is_empty());
        assert_eq!(addresses.take(now + GATHERING, false).len(), 2);
        assert!(addresses.take(now + GATHERING * 9, false).is_empty());
        addresses.add(device, std::iter::once("x".to_owned()), now);
        assert_eq!(addresses.take(now, true).len(), 1);
        addresses.add(device, (0..MOST * 2).map(|n| n.to_string()), now);
        assert_eq!(addresses.take(now, true).len(), MOST);
    }
}
