//! One direction of a slow, lossy line, by a seed and in made-up time.

use std::collections::VecDeque;

/// What happens to frames on the way.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Loss {
    /// So many of a thousand frames are lost whole.
    Frames(u64),
    /// So many of 100,000 bytes are lost or altered, each by itself.
    Bytes(u64),
    /// So many of a thousand frames lose a piece, get one that is not theirs, or come twice.
    Mangled(u64),
}

/// Numbers that repeat from run to run (SplitMix64).
#[derive(Debug, Clone)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }

    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.roll(256) as u8)
    }
}

#[derive(Debug)]
pub(crate) struct Shaper {
    dice: Dice,
    bytes_per_s: u64,
    delay_ms: u64,
    loss: Loss,
    /// Microseconds at which what was put in has gone out.
    busy_until: u64,
    flying: VecDeque<(u64, Vec<u8>)>,
    pub(crate) carried: u64,
    pub(crate) frames: u64,
    pub(crate) cut: bool,
}

impl Shaper {
    pub(crate) fn new(seed: u64, bits_per_s: u64, delay_ms: u64, loss: Loss) -> Shaper {
        Shaper {
            dice: Dice(seed),
            bytes_per_s: bits_per_s / 8,
            delay_ms,
            loss,
            busy_until: 0,
            flying: VecDeque::new(),
            carried: 0,
            frames: 0,
            cut: false,
        }
    }

    /// Puts a frame in. The line is busy with it whether it arrives or not.
    pub(crate) fn put(&mut self, mut frame: Vec<u8>, now: u64) {
        let len = frame.len() as u64;
        self.carried += len;
        self.frames += 1;
        self.busy_until = self.busy_until.max(now * 1000) + len * 1_000_000 / self.bytes_per_s;
        let at = self.busy_until.div_ceil(1000) + self.delay_ms;
        match self.loss {
            Loss::Frames(share) => {
                if self.dice.roll(1000) < share {
                    return;
                }
            }
            Loss::Bytes(share) => {
                let dice = &mut self.dice;
                frame = frame
                    .into_iter()
                    .filter_map(|byte| match dice.roll(100_000) < share {
                        false => Some(byte),
                        true if dice.roll(2) == 0 => None,
                        true => Some(dice.roll(256) as u8),
                    })
                    .collect();
            }
            Loss::Mangled(share) => {
                if self.dice.roll(1000) < share {
                    let at = self.dice.roll(len) as usize;
                    match self.dice.roll(3) {
                        0 => drop(frame.drain(at..)),
                        1 => frame.splice(at..at, self.dice.bytes::<5>()).for_each(drop),
                        _ => frame.extend_from_within(..),
                    }
                }
            }
        }
        if !self.cut {
            self.flying.push_back((at, frame));
        }
    }

    pub(crate) fn next(&self) -> Option<u64> {
        self.flying.front().map(|(at, _)| *at)
    }

    pub(crate) fn get(&mut self, now: u64) -> Option<Vec<u8>> {
        self.flying.pop_front_if(|(at, _)| *at <= now).map(|(_, frame)| frame)
    }
}
