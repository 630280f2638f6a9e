//! The receiving half: puts the stream together and says what came.

use std::collections::VecDeque;

use super::frame::{BITMAP_BITS, Part, Received};
use super::ranges::Ranges;

/// Bytes that are kept beyond what was handed over, and that may wait for whoever takes them.
pub(super) const WINDOW: u64 = 16 * 1024;
/// How long an acknowledgement waits for something to travel with.
const PATIENCE_MS: u64 = 300;
/// Packets after which it waits no longer.
const MANY: u32 = 2;

#[derive(Debug)]
pub(super) struct Receiving {
    /// The stream from `base` on, with gaps.
    buffer: VecDeque<u8>,
    /// All before this place was handed over.
    base: u64,
    held: Ranges,
    end: Option<u64>,
    told_end: bool,
    greatest: Option<u64>,
    before: u32,
    untold: u32,
    due: Option<u64>,
    /// Handed over and not yet taken.
    pub(super) waiting: u64,
}

impl Receiving {
    pub(super) fn new() -> Receiving {
        Receiving {
            buffer: VecDeque::new(),
            base: 0,
            held: Ranges::default(),
            end: None,
            told_end: false,
            greatest: None,
            before: 0,
            untold: 0,
            due: None,
            waiting: 0,
        }
    }

    /// Takes a part. What there is no room for is as if it had not come.
    pub(super) fn on_part(&mut self, part: &Part, now: u64) {
        let len = part.bytes.len() as u64;
        // The place nearest to where the stream stands.
        let ahead = i64::from(part.place.wrapping_sub(self.base as u16).cast_signed());
        let Some(from) = self.base.checked_add_signed(ahead) else { return };
        let to = from + len;
        if to + self.waiting > self.base + WINDOW {
            return;
        }
        let ends_elsewhere = self.end.is_some_and(|end| to > end || part.end && to != end);
        let highest = self.base + self.buffer.len() as u64;
        if ends_elsewhere || part.end && to < highest {
            return;
        }
        self.note_number(part.number, now);
        if part.end {
            self.end = Some(to);
        }
        let skip = self.base.saturating_sub(from).min(len);
        let from = from.max(self.base);
        let Ok(at) = usize::try_from(from - self.base) else { return };
        let bytes = part.bytes.get(skip as usize..).unwrap_or_default();
        if self.buffer.len() < at + bytes.len() {
            self.buffer.resize(at + bytes.len(), 0);
        }
        self.buffer.range_mut(at..at + bytes.len()).zip(bytes).for_each(|(to, from)| *to = *from);
        self.held.add(from..from + bytes.len() as u64);
    }

    fn note_number(&mut self, number: u16, now: u64) {
        let gap = match self.greatest {
            None => {
                // Numbers start at 0: what is missing before the first one was lost.
                self.greatest = Some(u64::from(number));
                number > 0
            }
            Some(greatest) => {
                let ahead = i64::from(number.wrapping_sub(greatest as u16).cast_signed());
                if ahead > 0 {
                    let ahead = ahead.unsigned_abs();
                    let shifted = u64::from(self.before) << 1 | 1;
                    self.before = match ahead {
                        1..=BITMAP_BITS => (shifted << (ahead - 1)) as u32,
                        _ => 0,
                    };
                    self.greatest = Some(greatest + ahead);
                    ahead > 1
                } else {
                    if let 1..=BITMAP_BITS = ahead.unsigned_abs() {
                        self.before |= 1 << (ahead.unsigned_abs() - 1);
                    }
                    true
                }
            }
        };
        self.untold += 1;
        let due = if gap || self.untold >= MANY { now } else { now + PATIENCE_MS };
        self.due = Some(self.due.map_or(due, |d| d.min(due)));
    }

    /// What can be handed over.
    pub(super) fn take(&mut self) -> Vec<u8> {
        let to = self.held.run_from(self.base);
        let n = usize::try_from(to - self.base).unwrap_or(0);
        let bytes: Vec<u8> = self.buffer.drain(..n.min(self.buffer.len())).collect();
        self.held.remove(&(self.base..to));
        self.base = to;
        self.waiting += bytes.len() as u64;
        bytes
    }

    /// Whether all up to the end was handed over.
    pub(super) fn is_ended(&self) -> bool {
        self.end == Some(self.base)
    }

    /// Whether to say now that the stream has ended: once.
    pub(super) fn take_end(&mut self) -> bool {
        self.is_ended() && !std::mem::replace(&mut self.told_end, true)
    }

    /// When something has to be acknowledged.
    pub(super) fn due(&self) -> Option<u64> {
        self.due
    }

    /// What to acknowledge, where there is something new to say.
    pub(super) fn acknowledge(&mut self) -> Option<Received> {
        self.due.take()?;
        self.untold = 0;
        self.received()
    }

    /// What came so far.
    pub(super) fn received(&self) -> Option<Received> {
        let greatest = self.greatest?;
        Some(Received { greatest: greatest as u16, before: self.before })
    }

    #[cfg(test)]
    pub(super) fn check_invariants(&self) {
        assert!(self.buffer.len() as u64 + self.waiting <= WINDOW);
        assert!(self.held.run_from(self.base) == self.base, "handed over at once");
    }
}
