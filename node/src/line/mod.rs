//! A reliable stream over a line that is slow and loses things: a radio modem, a serial cable.
//!
//! `/lanai/sync/1` and Noise below it need every byte, once and in order. This protocol gives them
//! that over whatever carries bytes: whole frames may be lost, bytes may be missing, altered or made
//! up. It is a state machine without clock, sockets and randomness: [`Line::handle`] takes an input
//! and gives outputs, [`Line::deadline`] says when it wants to be told the time.
//!
//! 1. **Frames** ([`Frame`]) are told apart by zero bytes and checked, so that after any garbage the
//!    next whole one is read.
//! 2. **Meeting.** Each end says who it is this time with a greeting, again and again until the other
//!    has heard it. Both greetings mark all that follows, so that nothing of an earlier run is taken
//!    for part of this one. A new greeting in the middle says that the other end began anew.
//! 3. **Sending** is selective repeat: only what was lost goes out again, within a window
//!    that follows how long answers take, so that little waits in queues before the line.
//! 4. **Acknowledgements** travel with what goes out anyhow. Where nothing does, they wait a
//!    moment and go alone.
//! 5. **Silence.** When there is nothing to say nothing is said: no keepalive. An end that
//!    waits for an answer and hears nothing for [`SILENCE_MS`] gives the line up.
//! 6. One frame at a time is handed to the line, the next one when that is written. What waits in
//!    here can still change its mind.
//! 7. It hides nothing and proves nothing; that is for Noise above it. Whoever sits on the line can cut it,
//!    here as anywhere.
//!
//! Half duplex: the two ends do not take turns by themselves. A modem that cannot hear while it
//! speaks has to wait for a pause; what collides is lost and goes out again. In a transfer one way the other
//! end says some 11 bytes for every frame or two.

mod frame;
mod ranges;
mod receive;
mod send;

pub use frame::{Frame, MAGIC, MAX_DATA_BYTES, Nonce, Part, Received, Splitter, Tag, tag};

use receive::Receiving;
use send::Sending;

/// First wait for an answer to a greeting, in milliseconds; each further one is half as long again.
const FIRST_GREETING_MS: u64 = 4_000;
/// Longest wait between two greetings.
const MAX_GREETING_MS: u64 = 15_000;
/// Milliseconds without any frame of the other end after which a line that is waited for is dead.
pub const SILENCE_MS: u64 = 300_000;

/// What happens to a line.
#[derive(Debug)]
pub enum Input<'a> {
    /// It is open. First input.
    Start,
    /// The line brought these.
    Wire(&'a [u8]),
    /// The last frame that [`Output::Wire`] gave is written.
    Written,
    /// Bytes for the other end; not more than [`Line::room`].
    Stream(&'a [u8]),
    /// No more bytes for the other end.
    End,
    /// So many bytes of what [`Output::Stream`] gave were taken.
    Taken(usize),
    /// Time went by.
    Tick,
    /// This end has to go, whatever is still on the way.
    Leave,
}

/// What a line wants done, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Write this frame, in one piece if the line knows pieces.
    Wire(Vec<u8>),
    /// The other end is there. Once, before anything of the stream.
    Met {
        /// What the other end drew.
        theirs: Nonce,
    },
    /// Bytes from the other end.
    Stream(Vec<u8>),
    /// The other end has said all it had to say, and all of it was handed over.
    End,
    /// It is over. Last output.
    Over(Result<(), LineError>),
}

/// Why a line ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// Nothing came for long.
    #[error("nothing came over the line for {} minutes", SILENCE_MS / 60_000)]
    Dead,
    /// The other end went before it was done.
    #[error("the other end has gone")]
    Gone,
    /// The other end was started anew.
    #[error("the other end began anew")]
    Restarted,
}

/// What a line did so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LineCounts {
    /// Bytes given to the line.
    pub bytes_out: u64,
    /// Bytes that the line brought.
    pub bytes_in: u64,
    /// Frames sent that hold something sent before.
    pub again: u64,
    /// Bytes that the line brought and that were part of no frame of this run.
    pub garbage: u64,
    /// Usual time until something sent is acknowledged, in milliseconds; 0 if none is known.
    pub answer_ms: u64,
    /// Frames of its own that this end heard.
    pub echoes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The other end's greeting is not known.
    Alone,
    /// It is; that it knows this end's is not.
    Heard,
    /// Both know both.
    Met,
    Over,
}

/// One end of a line.
#[derive(Debug)]
pub struct Line {
    own: Nonce,
    theirs: Option<Nonce>,
    tags: Option<(Tag, Tag)>,
    phase: Phase,
    /// When to greet next; every greeting answers a need.
    greet_at: Option<u64>,
    greet_wait: u64,
    /// When it first greeted.
    greeted: u64,
    greetings: u32,
    splitter: Splitter,
    sending: Sending,
    receiving: Receiving,
    /// The other end waits to be told that it was heard.
    prove: bool,
    writing: bool,
    /// When the other end was last heard, or something was first waited for.
    heard: u64,
    leaving: Option<u64>,
    gone: bool,
    counts: LineCounts,
    outputs: Vec<Output>,
}

impl Line {
    /// An end that drew `own`: fresh random bytes.
    pub fn new(own: Nonce, now: u64) -> Line {
        Line {
            own,
            theirs: None,
            tags: None,
            phase: Phase::Alone,
            greet_at: None,
            greet_wait: FIRST_GREETING_MS,
            greeted: now,
            greetings: 0,
            splitter: Splitter::default(),
            sending: Sending::new(now),
            receiving: Receiving::new(),
            prove: false,
            writing: false,
            heard: now,
            leaving: None,
            gone: false,
            counts: LineCounts::default(),
            outputs: Vec::new(),
        }
    }

    /// What was done so far.
    pub fn counts(&self) -> LineCounts {
        LineCounts {
            again: self.sending.again,
            garbage: self.splitter.garbage(),
            answer_ms: self.sending.usual_ms().unwrap_or(0),
            ..self.counts
        }
    }

    /// Bytes of the stream that it takes now.
    pub fn room(&self) -> usize {
        match self.phase {
            Phase::Met => self.sending.room(),
            _ => 0,
        }
    }

    /// Whether the last output has been given.
    pub fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    /// When to give [`Input::Tick`], in the milliseconds of `now`; `None` when there is nothing to
    /// wait for.
    pub fn deadline(&self) -> Option<u64> {
        if self.phase == Phase::Over {
            return None;
        }
        let dead = self.sending.is_waiting().then_some(self.heard + SILENCE_MS);
        let times = [self.sending.deadline(), dead, self.leaving];
        // What is to be sent waits until the frame before it is written.
        let sends = [self.greet_at, self.receiving.due()];
        let sends = sends.into_iter().flatten().filter(|_| !self.writing);
        times.into_iter().flatten().chain(sends).min()
    }

    /// Takes one input and says what to do. `now` is in milliseconds, of any clock that does not go
    /// back.
    pub fn handle(&mut self, input: Input<'_>, now: u64) -> Vec<Output> {
        if self.phase != Phase::Over {
            self.take(input, now);
            self.pump(now);
        }
        std::mem::take(&mut self.outputs)
    }

    fn take(&mut self, input: Input<'_>, now: u64) {
        match input {
            Input::Start => self.greet_at = Some(now),
            Input::Wire(mut bytes) => {
                self.counts.bytes_in += bytes.len() as u64;
                while let Some(body) = self.splitter.next(&mut bytes) {
                    let theirs = self.tags.as_ref().map(|(_, theirs)| theirs);
                    match Frame::decode(&body, theirs) {
                        Some(frame) => self.frame(frame, now),
                        None => self.splitter.refuse(&body),
                    }
                    if self.phase == Phase::Over {
                        return;
                    }
                }
            }
            Input::Written => self.writing = false,
            Input::Stream(bytes) => {
                self.expect(now);
                self.sending.give(bytes);
            }
            Input::End => {
                self.expect(now);
                self.sending.end();
            }
            Input::Taken(n) => {
                self.receiving.waiting = self.receiving.waiting.saturating_sub(n as u64);
            }
            Input::Tick => {}
            Input::Leave => {
                if let Some((ours, _)) = self.tags {
                    let received = self.receiving.received();
                    let part = self.sending.last_word();
                    let frame = Frame::Packet { received, part, gone: true };
                    // Nobody is left to send it again if it is lost.
                    self.write(&frame, &ours);
                    self.write(&frame, &ours);
                }
                self.over(Ok(()));
            }
        }
    }

    /// From here on silence counts, if it did not before.
    fn expect(&mut self, now: u64) {
        if !self.sending.is_waiting() {
            self.heard = now;
        }
    }

    fn over(&mut self, result: Result<(), LineError>) {
        if self.phase != Phase::Over {
            self.phase = Phase::Over;
            self.outputs.push(Output::Over(result));
        }
    }

    fn frame(&mut self, frame: Frame, now: u64) {
        match frame {
            Frame::Greeting { nonce, .. } if nonce == self.own => self.counts.echoes += 1,
            Frame::Greeting { nonce, heard } => self.on_greeting(nonce, heard, now),
            Frame::Packet { received, part, gone } => {
                self.heard = now;
                self.met();
                if let Some(received) = received {
                    self.sending.on_received(received, now);
                }
                if let Some(part) = part {
                    self.receiving.on_part(&part, now);
                }
                self.gone |= gone;
            }
        }
    }

    fn on_greeting(&mut self, nonce: Nonce, heard: Option<Nonce>, now: u64) {
        if self.theirs != Some(nonce) {
            if self.phase == Phase::Met {
                return self.over(Err(LineError::Restarted));
            }
            // The first, or one of an earlier run had been waiting somewhere.
            self.theirs = Some(nonce);
            self.tags = Some((tag(&self.own, &nonce), tag(&nonce, &self.own)));
            self.phase = Phase::Heard;
        }
        self.heard = now;
        if heard == Some(self.own) {
            // At most: it may answer the second one.
            if self.greetings <= 2 && self.phase != Phase::Met {
                self.sending.note_greeting(now.saturating_sub(self.greeted));
            }
            self.met();
            self.prove = true;
        } else {
            // Also where it is known already: what told it may have been lost.
            self.greet_at = Some(now);
        }
    }

    /// The other end has answered this one's greeting.
    fn met(&mut self) {
        if self.phase == Phase::Heard
            && let Some(theirs) = self.theirs
        {
            self.phase = Phase::Met;
            // It greets on until it hears that it was heard; a packet tells it as well.
            self.greet_at = None;
            self.outputs.push(Output::Met { theirs });
        }
    }

    fn write(&mut self, frame: &Frame, tag: &Tag) {
        let wire = frame.encode(tag);
        self.counts.bytes_out += wire.len() as u64;
        self.writing = true;
        self.outputs.push(Output::Wire(wire));
    }

    fn pump(&mut self, now: u64) {
        if self.phase == Phase::Over {
            return;
        }
        let bytes = self.receiving.take();
        if !bytes.is_empty() {
            self.outputs.push(Output::Stream(bytes));
        }
        if self.receiving.take_end() {
            self.outputs.push(Output::End);
        }
        self.sending.tick(now);
        if self.sending.is_waiting() && now >= self.heard + SILENCE_MS {
            return self.over(Err(LineError::Dead));
        }
        if !self.writing {
            self.send(now);
        }
        self.finish(now);
    }

    fn send(&mut self, now: u64) {
        if self.greet_at.is_some_and(|at| now >= at) {
            let frame = Frame::Greeting { nonce: self.own, heard: self.theirs };
            self.write(&frame, &Tag::default());
            if self.greetings == 0 {
                self.greeted = now;
            }
            self.greetings += 1;
            self.greet_at = (self.phase != Phase::Met).then_some(now + self.greet_wait);
            self.greet_wait = (self.greet_wait * 3 / 2).min(MAX_GREETING_MS);
            return;
        }
        let Some((ours, _)) = self.tags.filter(|_| self.phase == Phase::Met) else { return };
        let part = self.sending.next(now);
        let due = self.receiving.due().is_some_and(|at| now >= at);
        if part.is_some() || due || std::mem::take(&mut self.prove) {
            self.prove = false;
            let received = self.receiving.acknowledge();
            self.write(&Frame::Packet { received, part, gone: false }, &ours);
        }
    }

    /// Ends when both have said all and know it. Who knows that all of its own has arrived waits for
    /// the other's last word only as long as an answer takes, and says that it goes.
    fn finish(&mut self, now: u64) {
        let delivered = self.sending.is_delivered();
        if self.gone {
            let whole = delivered && self.receiving.is_ended();
            return self.over(if whole { Ok(()) } else { Err(LineError::Gone) });
        }
        if !delivered {
            return;
        }
        // An end is over only for who has ended itself.
        if !self.sending.is_ending() {
            return;
        }
        let both = self.receiving.is_ended();
        let left = self.leaving.is_some_and(|at| now >= at);
        if self.leaving.is_none() {
            self.leaving = Some(now + 2 * self.sending.probe_ms());
        }
        if (both || left) && !self.writing {
            self.take(Input::Leave, now);
        }
    }

    #[cfg(test)]
    pub(crate) fn check_invariants(&self) {
        self.sending.check_invariants();
        self.receiving.check_invariants();
        assert!(self.outputs.is_empty());
    }
}

#[cfg(test)]
pub(crate) mod shaper;
#[cfg(test)]
mod tests;
