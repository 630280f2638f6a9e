//! Signs two entries with one (device, log, seq) and shows each to half of the others.
//!
//! Both are whole: properly sealed, properly signed, in answer to a thread that everybody reads.
//! Both must end up everywhere and be shown, and neither may stop what comes after.

use super::Hostile;
use crate::sim::forge::{Forgery, epoch_key, post, some_thread};
use crate::sim::node::{Me, Shown};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Forker {
    forks: u32,
}

impl Hostile for Forker {
    fn turn(&mut self, me: &mut Me, _now: u64) {
        // The next fork grows from the branch that the own store took.
        let (Some(mut forgery), Some(key)) = (Forgery::next_of(me), epoch_key(me)) else { return };
        let Some(thread) = some_thread(me) else { return };
        forgery.refs = vec![thread];
        self.forks += 1;
        let others = !(u64::MAX << me.nodes) & !(1 << me.at);
        let half = loop {
            let some = me.rng.next() & others;
            if some.count_ones() == others.count_ones() / 2 {
                break some;
            }
        };
        for (branch, to) in [("one", half), ("the other", !half)] {
            let body = post(format!("fork {} of {}: {branch}", self.forks, me.name));
            let mut rng = me.rng.clone();
            if let Some(entry) = forgery.sign(&body, &me.author.device, Some(&key), &mut rng) {
                me.extra.insert(entry.verified.id(), Shown { entry, to });
            }
            me.rng = rng;
        }
    }
}
