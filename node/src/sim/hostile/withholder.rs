//! Takes everything, acknowledges everything, and hands on next to nothing.
//!
//! It throws away half of what it is sent, keeps half of what it has to itself, and sends headers
//! without their payloads. Who acknowledged an entry and does not have it must not be the only one
//! to be given it.

use super::Hostile;
use crate::sim::node::Me;
use crate::sync::{Incoming, StoredEntry, SyncItem};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Withholder {
    hidden: u64,
}

impl Hostile for Withholder {
    fn items(&mut self, me: &mut Me, _peer: usize, items: &mut Vec<SyncItem>) {
        let before = items.len() as u64;
        items.retain(|i| i.roster || me.rng.chance(50));
        self.hidden += before - items.len() as u64;
    }

    fn load(&mut self, me: &mut Me, _peer: usize, entries: &mut Vec<StoredEntry>) {
        entries.retain(|_| me.rng.chance(70));
        for entry in entries {
            if entry.entry.header().class != 0 && me.rng.chance(40) {
                entry.payload = None;
            }
        }
    }

    fn keep(&mut self, me: &mut Me, batch: &mut Vec<Incoming>) {
        batch.retain(|_| me.rng.chance(50));
    }

    fn live(&mut self, me: &mut Me, message: Vec<u8>) -> Option<Vec<u8>> {
        me.rng.chance(10).then_some(message)
    }
}
