//! The frames: u24 length of the body (big endian), u8 type, body; at most 64 KiB in all.
//!
//! | type | name | body |
//! | --- | --- | --- |
//! | 1 | CHALLENGE | u8 version, 32 nonce, 32 tag |
//! | 2 | PROOF | 32 nonce, 32 tag |
//! | 3 | RECORD | 272 signed join record |
//! | 4 | ROSTER | u32 entries, u32 bytes of all ENTRIES bodies together |
//! | 5 | ENTRIES | one or more entries |
//! | 6 | ADMITTED | 32 id of the admission |
//! | 7 | REFUSED | u8 reason |
//! | 8 | ENROLMENT | no, one or more entries |
//!
//! An entry: u16 length of the header, header, 64 signature, u8 payload flag (0 or 1), and with
//! flag 1 the payload, as long as the header says. Flag 0: the sender does not have the payload.
//!
//! The reader knows the longest body of each type and refuses a longer one as soon as the four
//! bytes of length and type are there.

use lanai_crdt::entry::{HeaderError, SIGNATURE_BYTES, Signature, Signed, Verified};
use lanai_crdt::id::EntryId;
use lanai_crdt::limits::{MAX_FRAME_BYTES, MAX_HEADER_BYTES};
use lanai_crdt::payload::{JOIN_RECORD_BYTES, JoinError, SignedJoinRecord};

use super::{Nonce, Refusal, VERSION};

/// Bytes of length and type.
const FRAME_HEADER_BYTES: usize = 4;
/// Most bytes of a body.
pub const MAX_BODY_BYTES: usize = MAX_FRAME_BYTES - FRAME_HEADER_BYTES;
const CHALLENGE_BYTES: usize = 1 + 32 + 32;
/// Later versions may say more in a CHALLENGE; this much is read to find the version.
const MAX_CHALLENGE_BYTES: usize = 1024;

const CHALLENGE: u8 = 1;
const PROOF: u8 = 2;
const RECORD: u8 = 3;
const ROSTER: u8 = 4;
const ENTRIES: u8 = 5;
const ADMITTED: u8 = 6;
const REFUSED: u8 = 7;
const ENROLMENT: u8 = 8;

/// Why bytes are not frames of this protocol. The stream cannot be followed any further.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// No frame has this type.
    #[error("unknown frame type {0}")]
    UnknownType(u8),
    /// More bytes than a frame of this type has.
    #[error("a frame of type {kind} with {bytes} bytes is over the limit")]
    TooLong {
        /// The type.
        kind: u8,
        /// Bytes that were announced.
        bytes: usize,
    },
    /// Not the fields that the type has.
    #[error("a frame of type {0} is malformed")]
    Malformed(u8),
    /// The join record.
    #[error(transparent)]
    Record(#[from] JoinError),
    /// A header that is none.
    #[error("an entry of the roster: {0}")]
    Header(#[from] HeaderError),
}

/// A message of either side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Message {
    Challenge {
        nonce: Nonce,
        tag: [u8; 32],
    },
    /// A challenge of a version that this code does not speak.
    OtherVersion(u8),
    Proof {
        nonce: Nonce,
        tag: [u8; 32],
    },
    Record(Box<SignedJoinRecord>),
    Roster {
        entries: u32,
        bytes: u32,
    },
    /// Not decoded: [`read_entries`] does that, entry by entry.
    Entries(Vec<u8>),
    Admitted(EntryId),
    Refused(Refusal),
    /// Entries, not decoded; empty at the end.
    Enrolment(Vec<u8>),
}

impl Message {
    pub(super) const fn kind(&self) -> u8 {
        match self {
            Message::Challenge { .. } | Message::OtherVersion(_) => CHALLENGE,
            Message::Proof { .. } => PROOF,
            Message::Record(_) => RECORD,
            Message::Roster { .. } => ROSTER,
            Message::Entries(_) => ENTRIES,
            Message::Admitted(_) => ADMITTED,
            Message::Refused(_) => REFUSED,
            Message::Enrolment(_) => ENROLMENT,
        }
    }

    /// What it is called in errors.
    pub(super) const fn word(&self) -> &'static str {
        match self {
            Message::Challenge { .. } | Message::OtherVersion(_) => "CHALLENGE",
            Message::Proof { .. } => "PROOF",
            Message::Record(_) => "RECORD",
            Message::Roster { .. } => "ROSTER",
            Message::Entries(_) => "ENTRIES",
            Message::Admitted(_) => "ADMITTED",
            Message::Refused(_) => "REFUSED",
            Message::Enrolment(_) => "ENROLMENT",
        }
    }

    /// The whole frame.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = vec![0, 0, 0, self.kind()];
        match self {
            Message::Challenge { nonce, tag } => {
                out.push(VERSION);
                out.extend_from_slice(nonce);
                out.extend_from_slice(tag);
            }
            Message::OtherVersion(version) => out.push(*version),
            Message::Proof { nonce, tag } => {
                out.extend_from_slice(nonce);
                out.extend_from_slice(tag);
            }
            Message::Record(record) => out.extend_from_slice(&record.encode()),
            Message::Roster { entries, bytes } => {
                out.extend_from_slice(&entries.to_be_bytes());
                out.extend_from_slice(&bytes.to_be_bytes());
            }
            Message::Entries(body) | Message::Enrolment(body) => out.extend_from_slice(body),
            Message::Admitted(id) => out.extend_from_slice(id.as_bytes()),
            Message::Refused(refusal) => out.push(refusal.number()),
        }
        // Bodies of ENTRIES are packed to the limit, and all others are short.
        let length = u32::try_from(out.len() - FRAME_HEADER_BYTES).unwrap_or(u32::MAX);
        out.iter_mut().zip(length.to_be_bytes().into_iter().skip(1)).for_each(|(o, b)| *o = b);
        out
    }

    fn decode(kind: u8, body: Vec<u8>) -> Result<Message, FrameError> {
        let mut r = Reader { bytes: &body };
        let malformed = FrameError::Malformed(kind);
        let message = match kind {
            CHALLENGE => {
                let version = r.byte().ok_or(malformed.clone())?;
                if version != VERSION {
                    return Ok(Message::OtherVersion(version));
                }
                match (r.array(), r.array()) {
                    (Some(nonce), Some(tag)) => Message::Challenge { nonce, tag },
                    _ => return Err(malformed),
                }
            }
            PROOF => match (r.array(), r.array()) {
                (Some(nonce), Some(tag)) => Message::Proof { nonce, tag },
                _ => return Err(malformed),
            },
            RECORD => return Ok(Message::Record(Box::new(SignedJoinRecord::decode(&body)?))),
            ROSTER => match (r.array(), r.array()) {
                (Some(entries), Some(bytes)) => Message::Roster {
                    entries: u32::from_be_bytes(entries),
                    bytes: u32::from_be_bytes(bytes),
                },
                _ => return Err(malformed),
            },
            ENTRIES => return Ok(Message::Entries(body)),
            ENROLMENT => return Ok(Message::Enrolment(body)),
            ADMITTED => Message::Admitted(EntryId::new(r.array().ok_or(malformed.clone())?)),
            REFUSED => Message::Refused(Refusal::from_number(r.byte().ok_or(malformed.clone())?)),
            _ => return Err(FrameError::UnknownType(kind)),
        };
        if r.bytes.is_empty() { Ok(message) } else { Err(malformed) }
    }
}

/// Most bytes of a body of this type.
const fn limit(kind: u8) -> Option<usize> {
    Some(match kind {
        CHALLENGE => MAX_CHALLENGE_BYTES,
        PROOF => 64,
        RECORD => JOIN_RECORD_BYTES,
        ROSTER => 8,
        ENTRIES | ENROLMENT => MAX_BODY_BYTES,
        ADMITTED => 32,
        REFUSED => 1,
        _ => return None,
    })
}

const _: () = assert!(CHALLENGE_BYTES <= MAX_CHALLENGE_BYTES);

/// Cuts a stream of bytes, in pieces of any size, into messages. Holds at most one frame.
#[derive(Debug, Default)]
pub(super) struct FrameReader {
    header: Vec<u8>,
    body: Vec<u8>,
}

impl FrameReader {
    /// Takes bytes from the front of `input` until a message is whole or nothing is left. After
    /// `None` all of `input` has been taken.
    pub(super) fn next(&mut self, input: &mut &[u8]) -> Result<Option<Message>, FrameError> {
        move_bytes(input, &mut self.header, FRAME_HEADER_BYTES);
        let &[a, b, c, kind] = self.header.as_slice() else { return Ok(None) };
        let bytes = u32::from_be_bytes([0, a, b, c]) as usize;
        if bytes > limit(kind).ok_or(FrameError::UnknownType(kind))? {
            return Err(FrameError::TooLong { kind, bytes });
        }
        self.body.reserve_exact(bytes - self.body.len());
        move_bytes(input, &mut self.body, bytes);
        if self.body.len() < bytes {
            return Ok(None);
        }
        self.header.clear();
        Message::decode(kind, std::mem::take(&mut self.body)).map(Some)
    }
}

/// Moves bytes to the end of `to` until it has `length` of them.
fn move_bytes(from: &mut &[u8], to: &mut Vec<u8>, length: usize) {
    let (head, rest) = from.split_at(length.saturating_sub(to.len()).min(from.len()));
    to.extend_from_slice(head);
    *from = rest;
}

/// A roster entry on its way to a newcomer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RosterItem {
    /// The authentic header, with its signature.
    pub verified: Verified,
    /// The payload, where the sender has it.
    pub payload: Option<Vec<u8>>,
}

impl RosterItem {
    /// Bytes that it takes in an ENTRIES body.
    pub fn encoded_bytes(&self) -> usize {
        encoded_bytes(self.verified.bytes().len(), self.payload.as_ref().map(Vec::len))
    }

    /// Appends the entry; `false` and nothing appended if its signature is not known here.
    pub(super) fn write(&self, out: &mut Vec<u8>) -> bool {
        let header = self.verified.bytes();
        let (Some(signature), Ok(length)) =
            (self.verified.signature(), u16::try_from(header.len()))
        else {
            return false;
        };
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(header);
        out.extend_from_slice(&signature.0);
        out.push(u8::from(self.payload.is_some()));
        out.extend_from_slice(self.payload.as_deref().unwrap_or_default());
        true
    }
}

const fn encoded_bytes(header: usize, payload: Option<usize>) -> usize {
    let payload = match payload {
        Some(bytes) => bytes,
        None => 0,
    };
    2 + header + SIGNATURE_BYTES + 1 + payload
}

// The largest entry fits a frame.
const _: () = assert!(
    encoded_bytes(MAX_HEADER_BYTES, Some(lanai_crdt::limits::MAX_PAYLOAD_BYTES)) <= MAX_BODY_BYTES
);

/// An entry that came in, not yet to be believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Received {
    pub(super) signed: Signed,
    pub(super) payload: Option<Vec<u8>>,
}

/// Takes the next entry off the front of an ENTRIES body.
pub(super) fn read_entry(body: &mut &[u8]) -> Result<Received, FrameError> {
    let malformed = || FrameError::Malformed(ENTRIES);
    let mut r = Reader { bytes: body };
    let length = usize::from(u16::from_be_bytes(r.array().ok_or_else(malformed)?));
    if length > MAX_HEADER_BYTES {
        return Err(HeaderError::TooLong(length).into());
    }
    let header = r.take(length).ok_or_else(malformed)?.to_vec();
    let signature = Signature(r.array().ok_or_else(malformed)?);
    let signed = Signed::decode(header, Some(signature))?;
    let payload = match r.byte().ok_or_else(malformed)? {
        0 => None,
        1 => {
            let bytes = signed.header().payload_len as usize;
            Some(r.take(bytes).ok_or_else(malformed)?.to_vec())
        }
        _ => return Err(malformed()),
    };
    *body = r.bytes;
    Ok(Received { signed, payload })
}

struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.bytes.split_at_checked(n)?;
        self.bytes = rest;
        Some(head)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn byte(&mut self) -> Option<u8> {
        self.array().map(|[b]| b)
    }
}

#[cfg(test)]
mod tests {
    use lanai_crdt::entry::DeviceSecret;
    use lanai_crdt::id::CommunityId;
    use lanai_crdt::payload::JoinRecord;
    use proptest::prelude::*;

    use super::*;

    fn record() -> SignedJoinRecord {
        let device = DeviceSecret::from_bytes(&[9; 32]);
        JoinRecord {
            community: CommunityId::new([1; 32]),
            ticket: EntryId::new([2; 32]),
            device: device.device(),
            sealing: [3; 32],
            nonce: [4; 16],
        }
        .sign(&device, Some(&[8; 32]))
    }

    fn samples() -> Vec<Message> {
        vec![
            Message::Challenge { nonce: [1; 32], tag: [2; 32] },
            Message::Proof { nonce: [3; 32], tag: [4; 32] },
            Message::Record(Box::new(record())),
            Message::Roster { entries: 7, bytes: 0x0102_0304 },
            Message::Entries(vec![5; 3]),
            Message::Admitted(EntryId::new([6; 32])),
            Message::Refused(Refusal::UsedUp),
            Message::Enrolment(vec![8; 2]),
        ]
    }

    fn read_all(mut bytes: &[u8]) -> Result<Vec<Message>, FrameError> {
        let mut reader = FrameReader::default();
        let mut out = Vec::new();
        while let Some(m) = reader.next(&mut bytes)? {
            out.push(m);
        }
        assert!(bytes.is_empty());
        Ok(out)
    }

    #[test]
    fn golden_frames() {
        let mut want: Vec<Vec<u8>> = vec![
            [&[0, 0, 65, 1, 1][..], &[1; 32], &[2; 32]].concat(),
            [&[0, 0, 64, 2][..], &[3; 32], &[4; 32]].concat(),
            [&[0, 1, 0x10, 3][..], &record().encode()].concat(),
            vec![0, 0, 8, 4, 0, 0, 0, 7, 1, 2, 3, 4],
            vec![0, 0, 3, 5, 5, 5, 5],
            [&[0, 0, 32, 6][..], &[6; 32]].concat(),
            vec![0, 0, 1, 7, 3],
            vec![0, 0, 2, 8, 8, 8],
        ];
        let got: Vec<Vec<u8>> = samples().iter().map(Message::encode).collect();
        assert_eq!(got, want, "the frames are part of the protocol");
        for (frame, message) in want.iter().zip(samples()) {
            assert_eq!(read_all(frame).unwrap(), [message]);
        }
        // One byte at a time gives the same messages.
        let stream = want.concat();
        let mut reader = FrameReader::default();
        let mut out = Vec::new();
        for byte in stream.chunks(1) {
            let mut byte = byte;
            out.extend(reader.next(&mut byte).unwrap());
        }
        assert_eq!(out, samples());
        want[0][4] = 2;
        assert_eq!(read_all(&want[0]).unwrap(), [Message::OtherVersion(2)]);
    }

    #[test]
    fn lengths_are_refused_before_anything_is_kept() {
        assert_eq!(
            read_all(&[0xff, 0xff, 0xff, 5]),
            Err(FrameError::TooLong { kind: 5, bytes: 0x00ff_ffff })
        );
        assert_eq!(read_all(&[0, 1, 0x11, 3]), Err(FrameError::TooLong { kind: 3, bytes: 273 }));
        assert_eq!(read_all(&[0, 0, 0, 9]), Err(FrameError::UnknownType(9)));
        assert_eq!(read_all(&[0, 0, 0, 0]), Err(FrameError::UnknownType(0)));
        for message in samples() {
            let kind = message.kind();
            let mut frame = message.encode();
            if ![ENTRIES, ENROLMENT].contains(&kind) {
                frame.pop();
                frame[2] = frame[2].wrapping_sub(1);
                if frame[2] == 0xff {
                    frame[1] -= 1;
                }
                assert!(read_all(&frame).is_err(), "type {kind} with a byte less");
            }
        }
    }

    #[test]
    fn refusals_round_trip() {
        for r in Refusal::ALL {
            assert_eq!(Refusal::from_number(r.number()), r);
        }
        assert_eq!(Refusal::from_number(99), Refusal::Internal);
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = read_all_lossy(&bytes);
            let mut body = bytes.as_slice();
            while !body.is_empty() && read_entry(&mut body).is_ok() {}
        }

        #[test]
        fn random_bodies_never_panic(
            kind in 0u8..9, body in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            if let Ok(m) = Message::decode(kind, body.clone())
                && !matches!(m, Message::OtherVersion(_) | Message::Refused(_))
            {
                prop_assert_eq!(&m.encode()[4..], body.as_slice());
            }
        }
    }

    fn read_all_lossy(mut bytes: &[u8]) -> usize {
        let mut reader = FrameReader::default();
        let mut n = 0;
        while let Ok(Some(_)) = reader.next(&mut bytes) {
            n += 1;
        }
        n
    }
}
