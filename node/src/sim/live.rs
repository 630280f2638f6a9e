//! Live messages: each may be lost, come twice, or come before what it follows.

use lanai_crdt::id::EntryId;

use super::engine::{Event, Sim};
use crate::gossip;
use crate::sync::Incoming;

/// Messages that wait for one node; more are dropped, as the runtime drops them.
pub(super) const MAX_LIVE: usize = 1024;
/// Whom a node tells what it wrote.
const TELL: usize = 4;
/// Whom a node tells what it heard.
const HAND_ON: usize = 2;

impl Sim<'_> {
    /// Tells others of an entry that `node` just wrote or heard.
    fn spread(&mut self, node: usize, message: &[u8], to_how_many: usize, but: usize) {
        let mut others: Vec<usize> = (0..self.nodes.len())
            .filter(|n| *n != node && *n != but)
            .filter(|n| self.reach(node, *n) && self.nodes[*n].is_there(self.now))
            .collect();
        for _ in 0..to_how_many {
            if others.is_empty() {
                return;
            }
            let to = others.swap_remove(self.rng.place(others.len()));
            let spec = &self.scenario.links;
            if self.rng.chance(spec.loss) || self.loses(node, to) {
                continue;
            }
            let copies = if self.rng.chance(spec.duplicate) { 2 } else { 1 };
            for _ in 0..copies {
                let n = &mut self.nodes[node];
                let sent = match &mut n.hostile {
                    Some(hostile) => hostile.live(&mut n.me, message.to_vec()),
                    None => Some(message.to_vec()),
                };
                let Some(message) = sent else { continue };
                if self.live[to] >= MAX_LIVE {
                    self.report.dropped += 1;
                    continue;
                }
                self.live[to] += 1;
                // Each in its own time, so that a later one may come first.
                let (low, high) = spec.latency_ms;
                let time = self.now + self.rng.within(low, high.saturating_mul(3));
                self.at(time, Event::Live { from: node, to, message });
            }
        }
    }

    /// Tells others of own entries.
    pub(super) fn announce(&mut self, node: usize, ids: &[EntryId]) {
        if self.calm || !self.scenario.links.live || ids.len() > gossip::MAX_ANNOUNCED_AT_ONCE {
            return;
        }
        let entries = self.nodes[node].me.store().entries(ids).expect("a store that works");
        for entry in entries {
            let payload = entry.payload.unwrap_or_default();
            if let Some(message) = gossip::encode(&entry.verified, &payload) {
                self.spread(node, &message, TELL, node);
            }
        }
    }

    /// A live message arrives.
    pub(super) fn hear(&mut self, from: usize, to: usize, message: &[u8]) {
        self.live[to] -= 1;
        if !self.reach(from, to) || !self.nodes[to].is_there(self.now) {
            return;
        }
        self.report.heard += 1;
        let Ok((signed, payload)) = gossip::decode(message) else {
            let honest = self.nodes[from].is_honest();
            assert!(!honest, "{} sends what is no message", self.nodes[from].me.name);
            return;
        };
        let prev = signed.header().prev;
        let source = self.nodes[from].me.device();
        let batch = vec![Incoming { signed, payload: Some(payload) }];
        let me = &self.nodes[to].me;
        let taken = me.take(batch, source, self.now).expect("a store that works");
        if taken.roster_changed {
            self.roster_changed(to, false);
        }
        if self.nodes[from].is_honest() {
            assert!(taken.report.refused.is_empty(), "{:?}", taken.report.refused);
            assert!(!taken.spoilt, "{} hands on a false payload", self.nodes[from].me.name);
        }
        if !taken.new.is_empty() && !taken.spoilt {
            self.spread(to, message, HAND_ON, from);
        }
        let me = &self.nodes[to].me;
        let hole =
            !prev.is_zero() && !me.store().unknown(&[prev]).expect("a store that works").is_empty();
        if (taken.lacks || hole) && !self.calm {
            let time = self.soon(2000);
            self.at(time, Event::Connect { a: to, b: from });
        }
    }
}
