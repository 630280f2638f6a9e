//! Entries as frames in one direction, for who cannot answer: what a bundle holds.
//!
//! The frames are those of a session's transfer: groups of SEG and PAY in the same order, then FIN. There
//! is no credit, since a file waits for its reader.
//!
//! What is in the way may be lost. So each group has the signatures that its entries need, as far as they are
//! held, whatever groups before it vouch for; and a reader goes on at the next group
//! ([`OneWayReader::resume`]), whose number it is told.

use lanai_crdt::id::{CommunityId, EntryId};

use super::config::{MAX_SEG_RECORDS, MIN_WINDOW_BYTES};
use super::frame::{Ack, Fin, FrameReader, FrameTooLong, FrameType, put_frame};
use super::front::Front;
use super::incoming::{Incoming, IngestReport, ReceiveError, Receiving};
use super::outgoing::{Outgoing, StoredEntry, order};
use super::reconcile::ItemSet;
use super::terms::Terms;
use super::wire::WireError;

/// Writes chosen entries as frames.
#[derive(Debug)]
pub struct OneWayWriter {
    outgoing: Outgoing,
    more: bool,
}

impl OneWayWriter {
    /// To write those of `items` that are in `chosen`; the order is a session's.
    pub fn new(community: CommunityId, items: &ItemSet, mut chosen: Vec<EntryId>) -> OneWayWriter {
        chosen.sort_unstable();
        chosen.dedup();
        let mut outgoing = Outgoing::new(community, 2 * MIN_WINDOW_BYTES, Terms::default());
        outgoing.sign_each_group();
        let plan = order(items, &chosen, &Terms::default());
        let more = plan.more;
        outgoing.set_plan(plan);
        OneWayWriter { outgoing, more }
    }

    /// The ids to look up next, when it is time to.
    pub fn next_load(&mut self) -> Option<Vec<EntryId>> {
        self.outgoing.next_load(MAX_SEG_RECORDS)
    }

    /// The entries that were found: `taken` ids from the front were looked up. `false` when it was not
    /// asked, or none was.
    pub fn on_loaded(&mut self, entries: Vec<StoredEntry>, taken: usize) -> bool {
        self.outgoing.on_loaded(entries, taken)
    }

    /// The frames of one group; nothing when all that was loaded is written.
    pub fn next_group(&mut self) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        while self.outgoing.send_group(&mut out, 0) && out.is_empty() {}
        // Nobody answers: what is written is done with.
        let ack = Ack { through: self.outgoing.sent(), refused: 0 };
        let settled = self.outgoing.on_ack(ack);
        debug_assert!(settled.is_ok(), "what was written can be acknowledged");
        (!out.is_empty()).then_some(out)
    }

    /// Entries written; the number of the next one.
    pub fn written(&self) -> u64 {
        self.outgoing.sent()
    }

    /// The last frame; `more`: there is more that the reader may lack.
    pub fn finish(self, more: bool) -> Vec<u8> {
        let mut out = Vec::new();
        let fin = Fin { sent: self.outgoing.sent(), more: more || self.more };
        put_frame(&mut out, FrameType::Fin, &fin.encode());
        out
    }
}

/// Frames of a front.
pub fn front_frames(front: &Front) -> Vec<u8> {
    let mut out = Vec::new();
    for body in front.encode() {
        put_frame(&mut out, FrameType::Front, &body);
    }
    out
}

/// Why frames could not be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OneWayError {
    /// A frame over the limit.
    #[error(transparent)]
    FrameTooLong(#[from] FrameTooLong),
    /// A body that cannot be read.
    #[error("a frame of type {kind}: {error}")]
    BadFrame {
        /// Number of the frame's type.
        kind: u8,
        /// What is wrong with it.
        error: WireError,
    },
    /// More than one may send at once.
    #[error("a group of entries is too large")]
    TooLarge,
    /// A frame that has no place here.
    #[error("a frame of type {0} has no place here")]
    Unexpected(u8),
}

/// Reads frames that came one way.
#[derive(Debug)]
pub struct OneWayReader {
    frames: FrameReader,
    incoming: Receiving,
    front: Front,
    read: u64,
}

impl OneWayReader {
    /// For frames of a community.
    pub fn new(community: CommunityId) -> OneWayReader {
        OneWayReader {
            frames: FrameReader::default(),
            incoming: Receiving::new(community, 2 * MIN_WINDOW_BYTES),
            front: Front::new(),
            read: 0,
        }
    }

    /// Whether a frame can begin here, and the entry with this number be the next.
    pub fn is_at(&self, number: u64) -> bool {
        self.frames.is_between() && self.incoming.next_number() == number
    }

    /// Goes on behind something that was lost, at a frame before which `number` entries were sent.
    ///
    /// # Errors
    ///
    /// [`OneWayError`] where that is behind, or after the last frame.
    pub fn resume(&mut self, number: u64) -> Result<(), OneWayError> {
        self.frames = FrameReader::default();
        self.incoming.resume_at(number).map_err(|e| wrong(FrameType::Seg as u8, e))
    }

    /// Takes bytes, in pieces of any size; gives the entries that are whole now, unverified.
    ///
    /// # Errors
    ///
    /// [`OneWayError`]: nothing after it can be read. What is whole is in `whole` all the same.
    pub fn take(&mut self, mut bytes: &[u8], whole: &mut Vec<Incoming>) -> Result<(), OneWayError> {
        while let Some(frame) = self.frames.next(&mut bytes)? {
            let bad = |error| OneWayError::BadFrame { kind: frame.kind, error };
            let body = &frame.body[..];
            match FrameType::from_number(frame.kind) {
                Some(FrameType::Front) => self.front.add_body(body).map_err(bad)?,
                Some(FrameType::Seg) => {
                    self.incoming.on_seg(body).map_err(|e| wrong(frame.kind, e))?
                }
                Some(FrameType::Pay) => {
                    self.incoming.on_pay(body).map_err(|e| wrong(frame.kind, e))?
                }
                Some(FrameType::Fin) => {
                    let fin = Fin::decode(body).map_err(bad)?;
                    self.incoming.on_fin(fin).map_err(|e| wrong(frame.kind, e))?;
                }
                _ => return Err(OneWayError::Unexpected(frame.kind)),
            }
            while let Some(batch) = self.incoming.take_batch(usize::MAX) {
                self.read += batch.len() as u64;
                whole.extend(batch);
                self.incoming.on_ingested(&IngestReport::default());
            }
        }
        Ok(())
    }

    /// What the sender said it holds.
    pub fn front(&self) -> &Front {
        &self.front
    }

    /// Entries that came whole.
    pub fn read(&self) -> u64 {
        self.read
    }

    /// Records that were no headers, by reason.
    pub fn refused(&self) -> &std::collections::BTreeMap<&'static str, u64> {
        self.incoming.refused()
    }

    /// Whether the last frame came, and with it whether there is more elsewhere.
    pub fn end(&self) -> Option<bool> {
        self.incoming.fin().map(|fin| fin.more)
    }
}

fn wrong(kind: u8, error: ReceiveError) -> OneWayError {
    match error {
        ReceiveError::Wire(error) => OneWayError::BadFrame { kind, error },
        ReceiveError::OverWindow | ReceiveError::TooMany => OneWayError::TooLarge,
        ReceiveError::AfterFin | ReceiveError::BadFin => OneWayError::Unexpected(kind),
    }
}
