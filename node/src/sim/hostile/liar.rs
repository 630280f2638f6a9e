//! Lies about what it holds: false hashes of its set, entries that do not exist, none of those that
//! do.
//!
//! Nobody may believe a peer about anything but what that peer then sends: a false "we are equal"
//! costs one session with the liar, and what was asked for and never came is asked of others.

use lanai_crdt::id::EntryId;

use super::Hostile;
use crate::sim::node::Me;
use crate::sync::{LocalState, SyncItem};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Liar {
    lies: u64,
}

impl Hostile for Liar {
    fn state(&mut self, me: &mut Me, _peer: usize, state: &mut LocalState) {
        self.lies += 1;
        if me.rng.chance(60) {
            let heads = (0..me.rng.below(20)).map(|_| EntryId::new(me.rng.array())).collect();
            let entries = match me.rng.below(4) {
                0 => 0,
                1 => u64::MAX,
                _ => me.rng.below(2000),
            };
            let (holes, wanted) = (me.rng.chance(50), me.rng.chance(50));
            *state = LocalState::new(me.rng.array(), entries, heads, holes, wanted);
        }
    }

    fn items(&mut self, me: &mut Me, _peer: usize, items: &mut Vec<SyncItem>) {
        match me.rng.below(4) {
            0 => items.clear(),
            1 => items.retain(|i| i.time & 1 == 0),
            _ => {}
        }
        for _ in 0..me.rng.below(100) {
            items.push(SyncItem {
                time: me.rng.next(),
                id: EntryId::new(me.rng.array()),
                lane: 0,
                roster: me.rng.chance(20),
            });
        }
        items.sort_unstable();
    }
}
