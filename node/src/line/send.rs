//! The sending half: what goes out next, what was lost, and how much may be on the way.
//!
//! 1. Every packet has a number of its own, so that an acknowledgement says which sending arrived.
//!    What was lost is cut anew and goes out under new numbers, before anything new.
//! 2. A line keeps the order: whatever went out before a packet that arrived, and was not received,
//!    is lost.
//! 3. Where nothing is heard for longer than an answer ever took, the oldest part goes out once more
//!    (a *probe*); each further wait is twice as long, up to [`MAX_PROBE_MS`].
//! 4. **Window.** Bytes on the way follow the time that answers take. The shortest of late is what the
//!    line itself takes; all above is waiting in some queue before it, and how much waits follows
//!    from both. Between [`QUEUED_LEAST`] and [`QUEUED_MOST`] bytes are to wait: fewer would let the
//!    line stand still, more would only delay what comes up next. Losses say nothing about that: on a
//!    radio they are noise.
//! 5. Frames get shorter where more of them are lost.

use std::collections::VecDeque;
use std::ops::Range;

use super::frame::{BITMAP_BITS, MAX_DATA_BYTES, OVERHEAD_BYTES, Part, Received};
use super::ranges::Ranges;

/// Bytes on the way at first.
const FIRST_WINDOW: u64 = 4 * FULL;
/// Wire bytes of a frame of the usual length.
const FULL: u64 = (MAX_DATA_BYTES + OVERHEAD_BYTES) as u64;
/// Packets on the way: all of them fit one acknowledgement.
const MAX_ON_THE_WAY: u64 = BITMAP_BITS;
/// Bytes that wait before the line, at least.
const QUEUED_LEAST: u64 = FULL;
/// Bytes that wait before the line, at most.
const QUEUED_MOST: u64 = 5 * FULL / 2;
/// Bytes of the stream that are kept beside what is on the way.
const AHEAD: u64 = 1024;
/// How long an answer may take before any has come.
const FIRST_PROBE_MS: u64 = 8_000;
/// What is added to the longest usual time of an answer.
const PROBE_SLACK_MS: u64 = 700;
/// Packets of one probe: alone it would be lost as easily as what it is sent for.
const PROBE_PACKETS: usize = 2;
/// Longest wait between two probes.
const MAX_PROBE_MS: u64 = 60_000;
/// How long the shortest time of an answer is believed.
const SHORTEST_FOR_MS: u64 = 120_000;

/// A packet that was neither acknowledged nor found lost.
#[derive(Debug, Clone)]
struct Sent {
    number: u64,
    /// Places in the stream; the end counts as one.
    places: Range<u64>,
    at: u64,
    bytes: u64,
}

/// The shortest of late, from two stretches of time.
#[derive(Debug, Default)]
struct Shortest {
    from: u64,
    now: Option<u64>,
    before: Option<u64>,
}

impl Shortest {
    fn note(&mut self, ms: u64, now: u64) {
        if now.saturating_sub(self.from) > SHORTEST_FOR_MS {
            self.before = self.now.take();
            self.from = now;
        }
        self.now = Some(self.now.map_or(ms, |n| n.min(ms)));
    }

    fn get(&self) -> Option<u64> {
        self.now.into_iter().chain(self.before).min()
    }
}

#[derive(Debug)]
pub(super) struct Sending {
    /// The stream from `base` on.
    buffer: VecDeque<u8>,
    /// All before this place has arrived.
    base: u64,
    /// First place that was never sent.
    fresh: u64,
    /// Where the stream ends, once that is known.
    end: Option<u64>,
    arrived: Ranges,
    lost: Ranges,
    sent: VecDeque<Sent>,
    number: u64,
    newest_arrived: Option<u64>,
    window: u64,
    /// The window was not yet found to be large enough.
    opening: bool,
    adjusted: u64,
    shortest: Shortest,
    /// Smoothed time of an answer and its deviation.
    times: Option<(u64, u64)>,
    /// Time of the last answer.
    latest: u64,
    probes: u32,
    /// Packets to send for that, window or not.
    probing: usize,
    /// When something was last sent or something new arrived.
    touched: u64,
    /// Share of lost packets of late, in 65,536ths.
    loss: u64,
    pub(super) again: u64,
}

impl Sending {
    pub(super) fn new(now: u64) -> Sending {
        Sending {
            buffer: VecDeque::new(),
            base: 0,
            fresh: 0,
            end: None,
            arrived: Ranges::default(),
            lost: Ranges::default(),
            sent: VecDeque::new(),
            number: 0,
            newest_arrived: None,
            window: FIRST_WINDOW,
            opening: true,
            adjusted: now,
            shortest: Shortest::default(),
            times: None,
            latest: 0,
            probes: 0,
            probing: 0,
            touched: now,
            loss: 0,
            again: 0,
        }
    }

    /// Place behind the last byte that was given.
    fn tail(&self) -> u64 {
        self.base + self.buffer.len() as u64
    }

    /// Bytes that may be given now.
    pub(super) fn room(&self) -> usize {
        match self.end {
            Some(_) => 0,
            None => (self.window + AHEAD).saturating_sub(self.buffer.len() as u64) as usize,
        }
    }

    pub(super) fn give(&mut self, bytes: &[u8]) {
        if self.end.is_none() {
            self.buffer.extend(bytes);
        }
    }

    pub(super) fn end(&mut self) {
        let tail = self.tail();
        self.end.get_or_insert(tail);
    }

    /// All bytes have arrived, if not the end.
    pub(super) fn is_delivered(&self) -> bool {
        self.base >= self.tail() && self.buffer.is_empty()
    }

    /// Whether no more bytes will be given.
    pub(super) fn is_ending(&self) -> bool {
        self.end.is_some()
    }

    /// The end alone, where nothing else is left to arrive.
    pub(super) fn last_word(&mut self) -> Option<Part> {
        let end = self.end.filter(|end| self.buffer.is_empty() && self.base <= *end)?;
        let part =
            Part { number: self.number as u16, place: end as u16, end: true, bytes: Vec::new() };
        self.number += 1;
        Some(part)
    }

    pub(super) fn is_waiting(&self) -> bool {
        !self.sent.is_empty()
    }

    /// How long the answer to a greeting took: better than nothing.
    pub(super) fn note_greeting(&mut self, ms: u64) {
        self.times.get_or_insert((ms, ms / 4));
    }

    /// The usual time of an answer, in milliseconds.
    pub(super) fn usual_ms(&self) -> Option<u64> {
        self.times.map(|(usual, _)| usual)
    }

    /// How long an answer may take before a part goes out once more.
    pub(super) fn probe_ms(&self) -> u64 {
        let first = self.times.map_or(FIRST_PROBE_MS, |(usual, deviation)| {
            usual + (2 * deviation).max(PROBE_SLACK_MS)
        });
        first.checked_shl(self.probes.min(16)).unwrap_or(MAX_PROBE_MS).min(MAX_PROBE_MS)
    }

    /// When to look again.
    pub(super) fn deadline(&self) -> Option<u64> {
        self.is_waiting().then(|| self.touched + self.probe_ms())
    }

    pub(super) fn tick(&mut self, now: u64) {
        if self.deadline().is_some_and(|at| now >= at) && self.probing == 0 {
            self.probing = PROBE_PACKETS;
            self.probes += 1;
            self.touched = now;
            if self.probes >= 2 {
                self.window = 2 * FULL;
                self.opening = true;
            }
        }
    }

    fn data_bytes(&self) -> u64 {
        let full = MAX_DATA_BYTES as u64;
        match self.loss {
            0..10_000 => full,
            10_000..20_000 => full * 3 / 5,
            _ => full * 3 / 10,
        }
    }

    fn on_the_way(&self) -> u64 {
        self.sent.iter().map(|s| s.bytes).sum()
    }

    fn has_room(&self) -> bool {
        let Some(oldest) = self.sent.front() else { return true };
        self.number - oldest.number < MAX_ON_THE_WAY
            && self.on_the_way() + FULL <= self.window.max(FULL)
    }

    /// The next part to send, if it is time for one.
    pub(super) fn next(&mut self, now: u64) -> Option<Part> {
        let most = self.data_bytes();
        let stop = self.tail() + u64::from(self.end.is_some());
        let base = self.base;
        // The oldest; then the one after it, or the oldest once more.
        let oldest = match self.probing {
            0 => None,
            PROBE_PACKETS => self.sent.front(),
            _ if self.sent.len() > 2 => self.sent.get(1),
            _ => self.sent.front(),
        };
        let probe = oldest.map(|s| s.places.start.max(base)..s.places.end);
        let places = if let Some(oldest) = probe {
            oldest
        } else if !self.has_room() {
            return None;
        } else if let Some(lost) = self.lost.first() {
            lost
        } else if self.fresh < stop {
            self.fresh..stop
        } else {
            return None;
        };
        let places = places.start..places.end.min(places.start + most);
        self.probing = self.probing.saturating_sub(1);
        if places.start < self.fresh {
            self.again += 1;
        }
        self.lost.remove(&places);
        self.fresh = self.fresh.max(places.end);
        let end = self.end.is_some_and(|end| places.contains(&end));
        let offset = |place: u64| usize::try_from(place - self.base).unwrap_or(usize::MAX);
        let from = offset(places.start).min(self.buffer.len());
        let to = offset(places.end).min(self.buffer.len());
        let bytes: Vec<u8> = self.buffer.range(from..to).copied().collect();
        let part = Part { number: self.number as u16, place: places.start as u16, end, bytes };
        let bytes = part.bytes.len() as u64 + OVERHEAD_BYTES as u64;
        self.sent.push_back(Sent { number: self.number, places, at: now, bytes });
        self.number += 1;
        self.touched = now;
        Some(part)
    }

    /// Takes an acknowledgement.
    pub(super) fn on_received(&mut self, received: Received, now: u64) {
        // Acknowledged is what was sent lately: the nearest number below the next one.
        let behind = (self.number as u16).wrapping_sub(received.greatest);
        let Some(greatest) = self.number.checked_sub(u64::from(behind)) else { return };
        if behind == 0 {
            return;
        }
        let is_in = |number: u64| match greatest.checked_sub(number) {
            Some(0) => true,
            Some(n @ 1..=BITMAP_BITS) => received.before >> (n - 1) & 1 == 1,
            _ => false,
        };
        let full = self.on_the_way() + 2 * FULL > self.window;
        let mut fresh_bytes = 0;
        let mut waiting = VecDeque::with_capacity(self.sent.len());
        for sent in self.sent.drain(..) {
            if !is_in(sent.number) {
                waiting.push_back(sent);
                continue;
            }
            if sent.number == greatest {
                let ms = now.saturating_sub(sent.at);
                self.shortest.note(ms, now);
                self.latest = ms;
                self.times = Some(match self.times {
                    None => (ms, ms / 4),
                    Some((usual, deviation)) => {
                        ((7 * usual + ms) / 8, (3 * deviation + usual.abs_diff(ms)) / 4)
                    }
                });
            }
            fresh_bytes += sent.bytes;
            self.newest_arrived = self.newest_arrived.max(Some(sent.number));
            self.loss -= self.loss / 16;
            self.lost.remove(&sent.places);
            self.arrived.add(sent.places);
        }
        let newest = self.newest_arrived.unwrap_or(0);
        let mut kept = VecDeque::with_capacity(waiting.len());
        for sent in waiting {
            if self.newest_arrived.is_some() && sent.number < newest {
                self.loss += (65_536 - self.loss) / 16;
                let places = sent.places.start.max(self.base)..sent.places.end;
                self.lost.add_all(self.arrived.missing_of(places));
            } else {
                kept.push_back(sent);
            }
        }
        self.sent = kept;
        if fresh_bytes == 0 {
            return;
        }
        self.probes = 0;
        self.probing = 0;
        self.touched = now;
        if full {
            self.adjust(fresh_bytes, now);
        }
        self.forget();
    }

    /// Rule 4.
    fn adjust(&mut self, fresh_bytes: u64, now: u64) {
        let (Some((usual, _)), Some(shortest)) = (self.times, self.shortest.get()) else { return };
        let latest = self.latest.max(1);
        let queued = self.window * latest.saturating_sub(shortest) / latest;
        let most = MAX_ON_THE_WAY * FULL;
        if self.opening {
            if queued < QUEUED_LEAST {
                self.window = (self.window + fresh_bytes).min(most);
                return;
            }
            self.opening = false;
        } else if now.saturating_sub(self.adjusted) < usual {
            return;
        }
        self.adjusted = now;
        if queued < QUEUED_LEAST {
            self.window = (self.window + FULL).min(most);
        } else if queued > QUEUED_MOST {
            let less = (queued - QUEUED_MOST).min(self.window / 2);
            self.window = (self.window - less).max(2 * FULL);
        }
    }

    /// Lets go of what has arrived.
    fn forget(&mut self) {
        let base = self.arrived.run_from(self.base);
        self.arrived.remove(&(0..base));
        self.lost.remove(&(0..base));
        // What went out twice and arrived once.
        self.sent.retain(|s| s.places.end > base);
        let bytes = usize::try_from(base - self.base).unwrap_or(usize::MAX);
        self.buffer.drain(..bytes.min(self.buffer.len()));
        self.base = base;
    }

    #[cfg(test)]
    pub(super) fn check_invariants(&self) {
        assert!(self.sent.len() as u64 <= MAX_ON_THE_WAY);
        assert!(self.buffer.len() as u64 <= MAX_ON_THE_WAY * FULL + AHEAD);
        assert!(self.arrived.len() + self.lost.len() <= 4 * MAX_ON_THE_WAY as usize);
        assert!(self.base <= self.fresh);
    }
}
