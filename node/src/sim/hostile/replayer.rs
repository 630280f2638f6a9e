//! Sends again what was sent before: old live messages, and other entries than those it was asked
//! for.
//!
//! An entry is the same entry however often it comes, from whomever, and whatever was asked.

use std::collections::VecDeque;

use super::Hostile;
use crate::sim::node::Me;
use crate::sync::{Incoming, StoredEntry};

/// Things that it remembers.
const MEMORY: usize = 64;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Replayer {
    messages: VecDeque<Vec<u8>>,
    sent: VecDeque<StoredEntry>,
}

impl Hostile for Replayer {
    fn load(&mut self, me: &mut Me, _peer: usize, entries: &mut Vec<StoredEntry>) {
        for entry in entries.iter_mut() {
            self.sent.push_back(entry.clone());
            if self.sent.len() > MEMORY {
                self.sent.pop_front();
            }
            if me.rng.chance(30) {
                let at = me.rng.place(self.sent.len());
                entry.clone_from(&self.sent[at]);
            }
        }
        if me.rng.chance(30) {
            let again = entries.clone();
            entries.extend(again);
        }
    }

    fn keep(&mut self, _me: &mut Me, batch: &mut Vec<Incoming>) {
        let again = batch.clone();
        batch.extend(again);
    }

    fn live(&mut self, me: &mut Me, message: Vec<u8>) -> Option<Vec<u8>> {
        self.messages.push_back(message);
        if self.messages.len() > MEMORY {
            self.messages.pop_front();
        }
        let at = me.rng.place(self.messages.len());
        self.messages.get(at).cloned()
    }
}
