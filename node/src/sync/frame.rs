//! Frames: u24 length of the body (big endian), u8 type, body.
//!
//! The reader checks the length as soon as its three bytes are there, before it keeps anything,
//! and holds at most one frame.

use super::config::{FRAME_HEADER_BYTES, MAX_BODY_BYTES, MAX_WANT_IDS};
use super::wire::{Cursor, WireError, put_varint};
use lanai_crdt::id::EntryId;

/// The type of a frame, its second field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum FrameType {
    /// Versions, nonce, community check, window. First from each side.
    Hello = 1,
    /// What this side holds, in short. Second from each side.
    Digest = 2,
    /// How far each log is held.
    Front = 3,
    /// Range-based reconciliation: one negentropy v1 message.
    Rb = 4,
    /// Compact headers.
    Seg = 5,
    /// Payloads of headers sent before.
    Pay = 6,
    /// Ids that the sender wants.
    Want = 7,
    /// Which wanted ids cannot be had here.
    Skip = 8,
    /// Reserved: live announcement.
    Have = 9,
    /// Reserved: slices of an attachment.
    File = 10,
    /// What has been committed durably.
    Ack = 11,
    /// The sender has sent all its entries.
    Fin = 12,
    /// The sender gives up, and why.
    Bye = 13,
    /// What came since both sides held the same.
    News = 14,
}

impl FrameType {
    /// The type with this number, if this version has one.
    pub fn from_number(n: u8) -> Option<FrameType> {
        use FrameType::*;
        [Hello, Digest, Front, Rb, Seg, Pay, Want, Skip, Have, File, Ack, Fin, Bye, News]
            .get(usize::from(n).checked_sub(1)?)
            .copied()
    }
}

/// A frame whose length is within the limit. Nothing else is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The number of its type.
    pub kind: u8,
    /// The rest.
    pub body: Vec<u8>,
}

/// A length field over the limit; the stream cannot be followed any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a frame of {0} bytes is over the limit of {MAX_BODY_BYTES}")]
pub struct FrameTooLong(
    /// The length that the peer announced.
    pub usize,
);

/// Cuts a stream of bytes, in pieces of any size, into frames.
#[derive(Debug, Default)]
pub struct FrameReader {
    header: [u8; FRAME_HEADER_BYTES],
    have: usize,
    body: Vec<u8>,
    want: usize,
}

impl FrameReader {
    /// Takes bytes from the front of `input` until a frame is whole or nothing is left. After
    /// `None` all of `input` has been taken.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<Frame>, FrameTooLong> {
        while self.have < FRAME_HEADER_BYTES {
            let Some((&byte, rest)) = input.split_first() else { return Ok(None) };
            if let Some(slot) = self.header.get_mut(self.have) {
                *slot = byte;
            }
            self.have += 1;
            *input = rest;
            if self.have == 3 {
                let [a, b, c, _] = self.header;
                self.want = u32::from_be_bytes([0, a, b, c]) as usize;
                if self.want > MAX_BODY_BYTES {
                    return Err(FrameTooLong(self.want));
                }
            }
        }
        let missing = self.want - self.body.len();
        let (head, rest) = input.split_at(missing.min(input.len()));
        if self.body.is_empty() {
            self.body.reserve_exact(self.want);
        }
        self.body.extend_from_slice(head);
        *input = rest;
        if self.body.len() < self.want {
            return Ok(None);
        }
        let [_, _, _, kind] = self.header;
        self.have = 0;
        Ok(Some(Frame { kind, body: std::mem::take(&mut self.body) }))
    }

    /// Whether it stands between two frames.
    pub fn is_between(&self) -> bool {
        self.have == 0
    }

    /// Bytes kept of an unfinished frame.
    pub fn buffered(&self) -> usize {
        self.body.capacity()
    }
}

/// Appends a frame. Bodies over the limit are a mistake of this side and are refused with `false`.
pub(super) fn put_frame(out: &mut Vec<u8>, kind: FrameType, body: &[u8]) -> bool {
    let Some(len) = u32::try_from(body.len()).ok().filter(|_| body.len() <= MAX_BODY_BYTES) else {
        return false;
    };
    let [_, a, b, c] = len.to_be_bytes();
    out.extend_from_slice(&[a, b, c, kind as u8]);
    out.extend_from_slice(body);
    true
}

/// WANT: u8 flags (1 = the last WANT of this side, 2 = entries held here whose payload is missing),
/// then ids of 32 bytes to the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Want {
    /// No further WANT will come from this side.
    pub last: bool,
    /// The ids name entries of which only the payload is missing.
    pub payloads: bool,
    /// What is wanted; at most [`MAX_WANT_IDS`].
    pub ids: Vec<EntryId>,
}

impl Want {
    /// The body of the frame.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(1 + 32 * self.ids.len());
        out.push(u8::from(self.last) | u8::from(self.payloads) << 1);
        for id in &self.ids {
            out.extend_from_slice(id.as_bytes());
        }
        out
    }

    /// Reads a body.
    pub fn decode(body: &[u8]) -> Result<Want, WireError> {
        let (flags, ids) = body.split_first().ok_or(WireError::Truncated)?;
        if flags & !3 != 0 {
            return Err(WireError::Reserved);
        }
        let (ids, rest) = ids.as_chunks::<32>();
        if !rest.is_empty() {
            return Err(WireError::Truncated);
        }
        if ids.len() > MAX_WANT_IDS {
            return Err(WireError::Range("number of ids"));
        }
        let ids = ids.iter().map(|id| EntryId::new(*id)).collect();
        Ok(Want { last: flags & 1 != 0, payloads: flags & 2 != 0, ids })
    }
}

/// SKIP: u8 which (0 = entries, 1 = payloads), then the places of the declined ids among all ids
/// wanted in that way, in the order they were asked for: the first as it is, each further one as
/// the distance to the one before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skip {
    /// Whether this answers the WANT of payloads.
    pub payloads: bool,
    /// The places, strictly ascending, counted from 0.
    pub places: Vec<u64>,
}

impl Skip {
    /// The body of the frame.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![u8::from(self.payloads)];
        let mut last = 0;
        for &place in &self.places {
            put_varint(&mut out, place.wrapping_sub(last));
            last = place;
        }
        out
    }

    /// Reads a body. Every place must be below the number of entries, or of payloads, that were
    /// asked for.
    pub fn decode(body: &[u8], entries: u64, payloads_asked: u64) -> Result<Skip, WireError> {
        let mut c = Cursor::new(body);
        let payloads = match c.byte()? {
            0 => false,
            1 => true,
            _ => return Err(WireError::Reserved),
        };
        let limit = if payloads { payloads_asked } else { entries };
        let mut places = Vec::new();
        let mut last = 0u64;
        while c.remaining() > 0 {
            let step = c.varint()?;
            let place = last.checked_add(step).filter(|p| *p < limit);
            let place = place.ok_or(WireError::Range("place"))?;
            if step == 0 && !places.is_empty() {
                return Err(WireError::Range("place"));
            }
            places.push(place);
            last = place;
        }
        Ok(Skip { payloads, places })
    }
}

/// ACK: varint headers dealt with, varint of them refused; both counted from the session's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ack {
    /// All headers with a lower running number are durably committed or refused.
    pub through: u64,
    /// How many of them were refused.
    pub refused: u64,
}

impl Ack {
    /// The body of the frame.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_varint(&mut out, self.through);
        put_varint(&mut out, self.refused);
        out
    }

    /// Reads a body.
    pub fn decode(body: &[u8]) -> Result<Ack, WireError> {
        let mut c = Cursor::new(body);
        let ack = Ack { through: c.varint()?, refused: c.varint()? };
        c.finish()?;
        Ok(ack)
    }
}

/// FIN: varint number of headers sent in this session; bit 0 of a trailing byte says that there
/// was more than fits one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fin {
    /// Headers sent.
    pub sent: u64,
    /// The sender holds more that the receiver lacks: another session is worth while.
    pub more: bool,
}

impl Fin {
    /// The body of the frame.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_varint(&mut out, self.sent);
        out.push(u8::from(self.more));
        out
    }

    /// Reads a body.
    pub fn decode(body: &[u8]) -> Result<Fin, WireError> {
        let mut c = Cursor::new(body);
        let sent = c.varint()?;
        let more = match c.byte()? {
            0 => false,
            1 => true,
            _ => return Err(WireError::Reserved),
        };
        c.finish()?;
        Ok(Fin { sent, more })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn frames_survive_any_chunking() {
        let mut bytes = Vec::new();
        let bodies = [vec![], vec![7; 300], vec![9; MAX_BODY_BYTES]];
        for body in &bodies {
            assert!(put_frame(&mut bytes, FrameType::Rb, body));
        }
        assert!(!put_frame(&mut bytes, FrameType::Rb, &vec![0; MAX_BODY_BYTES + 1]));
        for chunk in [1, 2, 3, 5, 1000, bytes.len()] {
            let mut reader = FrameReader::default();
            let mut got = Vec::new();
            for mut piece in bytes.chunks(chunk) {
                while let Some(frame) = reader.next(&mut piece).unwrap() {
                    assert_eq!(frame.kind, FrameType::Rb as u8);
                    got.push(frame.body);
                }
                assert!(reader.buffered() <= MAX_BODY_BYTES);
            }
            assert_eq!(got, bodies);
            assert!(reader.is_between());
        }
    }

    #[test]
    fn a_length_over_the_limit_is_refused_at_its_third_byte() {
        let mut reader = FrameReader::default();
        assert_eq!(reader.next(&mut &[0, 0xff, 0xfd][..]), Err(FrameTooLong(65_533)));
        assert_eq!(reader.buffered(), 0);
    }

    #[test]
    fn type_numbers() {
        for n in 0..=255u8 {
            assert_eq!(
                FrameType::from_number(n).map(|t| t as u8),
                (1..=14).contains(&n).then_some(n)
            );
        }
    }

    proptest! {
        #[test]
        fn small_bodies_round_trip(last: bool, payloads: bool, ids: Vec<[u8; 32]>, a: u64, b: u64,
                                   steps in proptest::collection::vec(1u64..1000, 0..40)) {
            let want = Want { last, payloads, ids: ids.into_iter().map(EntryId::new).collect() };
            prop_assert_eq!(Want::decode(&want.encode()), Ok(want));
            let ack = Ack { through: a, refused: b };
            prop_assert_eq!(Ack::decode(&ack.encode()), Ok(ack));
            let fin = Fin { sent: a, more: last };
            prop_assert_eq!(Fin::decode(&fin.encode()), Ok(fin));
            let mut at = 0;
            let places = steps.into_iter().map(|s| { at += s; at - 1 }).collect();
            let skip = Skip { payloads, places };
            prop_assert_eq!(Skip::decode(&skip.encode(), at, at), Ok(skip.clone()));
            prop_assert_eq!(skip.places.is_empty(), Skip::decode(&skip.encode(), at.saturating_sub(1), at.saturating_sub(1)).is_ok());
        }

        #[test]
        fn random_bodies_never_panic(body: Vec<u8>, limit: u64) {
            if let Ok(want) = Want::decode(&body) {
                prop_assert_eq!(want.encode(), body.clone());
            }
            if let Ok(ack) = Ack::decode(&body) {
                prop_assert_eq!(ack.encode(), body.clone());
            }
            if let Ok(fin) = Fin::decode(&body) {
                prop_assert_eq!(fin.encode(), body.clone());
            }
            if let Ok(skip) = Skip::decode(&body, limit, limit / 2) {
                prop_assert_eq!(skip.encode(), body);
            }
        }

        #[test]
        fn random_streams_stay_bounded(bytes in proptest::collection::vec(any::<u8>(), 0..3000)) {
            let mut reader = FrameReader::default();
            let mut input = &bytes[..];
            while let Ok(Some(frame)) = reader.next(&mut input) {
                prop_assert!(frame.body.len() <= MAX_BODY_BYTES);
            }
            prop_assert!(reader.buffered() <= MAX_BODY_BYTES);
        }
    }
}
