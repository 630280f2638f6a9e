//! Puts on the stream what no frame is: altered bytes, cut frames, lengths that lie, noise.
//!
//! A session that cannot be read ends with a named error. What came whole before it is kept.

use super::Hostile;
use crate::sim::node::Me;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Malformed {
    spoilt: u64,
}

fn spoil(me: &mut Me, bytes: &mut Vec<u8>) {
    if bytes.is_empty() {
        return;
    }
    let at = me.rng.place(bytes.len());
    match me.rng.below(6) {
        0 => bytes[at] ^= 1 << me.rng.below(8),
        1 => bytes.truncate(at),
        2 => {
            let n = me.rng.place(64);
            let noise = me.rng.bytes(n);
            bytes.splice(at..at, noise);
        }
        3 => bytes.splice(0..0, [0xff, 0xff, 0xff, 5]).for_each(drop),
        4 => {
            // Frames of every type with bodies of noise.
            let body = me.rng.place(200);
            let mut frame = vec![0, 0, u8::try_from(body).unwrap_or(0), 0];
            frame[3] = me.rng.next().to_le_bytes()[0] & 15;
            frame.extend(me.rng.bytes(body));
            bytes.extend(frame);
        }
        _ => {
            let again = bytes.clone();
            bytes.extend(again);
        }
    }
}

impl Hostile for Malformed {
    fn send(&mut self, me: &mut Me, bytes: &mut Vec<u8>) {
        if me.rng.chance(40) {
            self.spoilt += 1;
            spoil(me, bytes);
        }
    }

    fn live(&mut self, me: &mut Me, mut message: Vec<u8>) -> Option<Vec<u8>> {
        if me.rng.chance(60) {
            spoil(me, &mut message);
        }
        Some(message)
    }
}
