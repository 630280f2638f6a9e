//! Writes as fast as it can: posts of its own, and entries of devices that nobody knows.
//!
//! The posts are a member's and everybody takes them, but in turns with everybody else's. The
//! strangers' entries may wait, within their share.

use lanai_crdt::entry::DeviceSecret;
use lanai_crdt::id::{EntryId, LogId, LogNumber};

use super::Hostile;
use crate::sim::forge::{Forgery, epoch_key, post, some_thread};
use crate::sim::node::{Me, Shown};

/// Own posts a turn.
const POSTS: u32 = 20;
/// Entries of strangers a turn.
const STRANGERS: usize = 40;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Flooder {
    posts: u32,
}

impl Hostile for Flooder {
    fn turn(&mut self, me: &mut Me, now: u64) {
        let Some(thread) = some_thread(me) else { return };
        for _ in 0..POSTS {
            self.posts += 1;
            let text = format!("buy {}", self.posts);
            if me.write(post(text), [thread], now).is_err() {
                break;
            }
        }
        let (Some(own), Some(key)) = (Forgery::next_of(me), epoch_key(me)) else { return };
        let mut rng = me.rng.clone();
        for _ in 0..STRANGERS {
            let stranger = DeviceSecret::from_bytes(&rng.array());
            let forgery = Forgery {
                log: LogId { device: stranger.device(), number: LogNumber(rng.array()) },
                seq: 0,
                prev: EntryId::ZERO,
                refs: vec![thread],
                ..own.clone()
            };
            let body = post("a stranger's".into());
            if let Some(entry) = forgery.sign(&body, &stranger, Some(&key), &mut rng) {
                me.extra.insert(entry.verified.id(), Shown { entry, to: u64::MAX });
            }
        }
        me.rng = rng;
    }
}
