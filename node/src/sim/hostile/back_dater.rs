//! Writes entries that say they are of another time: the first second of 1970, the end of time, and
//! before the community was founded; and roster entries that pretend to know an older roster.
//!
//! Time decides nothing. An entry that names old roster heads is judged by them, and says nothing
//! about what came after.

use lanai_crdt::clock::Hlc;
use lanai_crdt::id::{EntryId, LogId, LogNumber};
use lanai_crdt::payload::{Body, Checkpoint};

use super::Hostile;
use crate::sim::forge::{Forgery, epoch_key, post, some_thread};
use crate::sim::node::{Me, Shown};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct BackDater {
    /// The roster's frontier when it first looked.
    old: Vec<EntryId>,
    written: u32,
}

impl Hostile for BackDater {
    fn turn(&mut self, me: &mut Me, _now: u64) {
        let (Some(own), Some(key)) = (Forgery::next_of(me), epoch_key(me)) else { return };
        let Some(thread) = some_thread(me) else { return };
        if self.old.is_empty() {
            self.old.clone_from(&own.heads);
        }
        let mut rng = me.rng.clone();
        for time in [Hlc(0), Hlc(1), Hlc(u64::MAX), Hlc::from_millis(1_000_000_000_000)] {
            self.written += 1;
            // A log of its own for each, so that nothing stands before it.
            let forgery = Forgery {
                log: LogId { device: me.device(), number: LogNumber(rng.array()) },
                seq: 0,
                prev: own.prev,
                time,
                heads: self.old.clone(),
                refs: vec![thread],
                community: own.community,
            };
            let text = format!("{} was here {}", me.name, self.written);
            let post = forgery.sign(&post(text), &me.author.device, Some(&key), &mut rng);
            let forgery = Forgery {
                log: LogId { device: me.device(), number: LogNumber(rng.array()) },
                refs: Vec::new(),
                ..forgery
            };
            let checkpoint = Body::Checkpoint(Checkpoint::default());
            let checkpoint = forgery.sign(&checkpoint, &me.author.device, None, &mut rng);
            for entry in post.into_iter().chain(checkpoint) {
                me.extra.insert(entry.verified.id(), Shown { entry, to: u64::MAX });
            }
        }
        me.rng = rng;
    }
}
