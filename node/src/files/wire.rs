//! Frames of `/lanai/file/1`: u24 length of the body (big endian), u8 type, body.
//!
//! | type | from | body |
//! | --- | --- | --- |
//! | ASK 1 | who fetches | root (32), bytes of the file (u64), 1 if the outline is wanted, else 0 |
//! | GROUP 2 | who fetches | number (u32) |
//! | OUTLINE 3 | who serves | chaining values, 32 bytes each; none if they were not wanted |
//! | SLICE 4 | who serves | number (u32), the sealed group |
//! | NO 5 | who serves | reason: 1 not here, 2 too busy, 3 it cannot be read any more |
//!
//! One ASK opens a stream and is answered by OUTLINE or NO; then every GROUP by SLICE or NO, in order. NO is
//! the last frame. The reader checks the length as soon as it is there.

use lanai_crdt::file::{ChainingValue, GROUP_BYTES, Layout, VALUE_BYTES, outline_from_bytes};
use lanai_crdt::id::FileRoot;

/// Bytes before a body.
const HEADER_BYTES: usize = 4;
/// The longest body of a request.
pub const MAX_REQUEST_BYTES: usize = 41;
/// Bytes of a slice before its group.
const SLICE_HEAD_BYTES: usize = 4;

const ASK: u8 = 1;
const GROUP: u8 = 2;
const OUTLINE: u8 = 3;
const SLICE: u8 = 4;
const NO: u8 = 5;

/// Why bytes are no frame of this protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Longer than anything that may come.
    #[error("a frame of {0} bytes is too long")]
    TooLong(usize),
    /// A type that does not exist, or not from this side.
    #[error("a frame of type {0} does not belong here")]
    Type(u8),
    /// The body is not what the type asks for.
    #[error("a frame of type {0} is malformed")]
    Malformed(u8),
}

/// What who fetches says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// Opens the stream: about which file.
    Ask {
        /// The file.
        root: FileRoot,
        /// Its bytes, as its manifest says.
        bytes: u64,
        /// Whether the outline is wanted.
        outline: bool,
    },
    /// One sealed group, please.
    Group(u32),
}

/// Why something is not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum No {
    /// The file is not here, not all of it, or nothing of the community's.
    NotHere,
    /// Too many are served already.
    Busy,
    /// It was here, and cannot be read any more.
    Unreadable,
}

impl No {
    const ALL: [No; 3] = [No::NotHere, No::Busy, No::Unreadable];

    const fn number(self) -> u8 {
        match self {
            No::NotHere => 1,
            No::Busy => 2,
            No::Unreadable => 3,
        }
    }

    /// A few words for people.
    pub const fn words(self) -> &'static str {
        match self {
            No::NotHere => "does not have it",
            No::Busy => "is busy",
            No::Unreadable => "cannot read it any more",
        }
    }
}

/// What who serves says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The file is here; its outline, where it was wanted.
    Outline(Vec<ChainingValue>),
    /// A sealed group. Nothing is known of it but that its length is within the limit.
    Slice {
        /// Its number.
        group: u32,
        /// Its bytes.
        sealed: Vec<u8>,
    },
    /// Not given, and nothing more comes.
    No(No),
}

fn frame(kind: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = Vec::with_capacity(HEADER_BYTES + length);
    let [_, length @ ..] = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    out.extend_from_slice(&length);
    out.push(kind);
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out
}

impl Request {
    /// As a frame.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Request::Ask { root, bytes, outline } => {
                let flag = [u8::from(*outline)];
                frame(ASK, &[root.as_bytes(), &bytes.to_be_bytes(), &flag])
            }
            Request::Group(group) => frame(GROUP, &[&group.to_be_bytes()]),
        }
    }

    /// Reads one.
    ///
    /// # Errors
    ///
    /// [`WireError::Type`], [`WireError::Malformed`].
    pub fn decode(frame: &Frame) -> Result<Request, WireError> {
        let malformed = WireError::Malformed(frame.kind);
        match frame.kind {
            ASK => {
                let (root, rest) = frame.body.split_first_chunk::<32>().ok_or(malformed)?;
                let (bytes, rest) = rest.split_first_chunk::<8>().ok_or(malformed)?;
                let outline = match rest {
                    [0] => false,
                    [1] => true,
                    _ => return Err(malformed),
                };
                let bytes = u64::from_be_bytes(*bytes);
                Ok(Request::Ask { root: FileRoot::new(*root), bytes, outline })
            }
            GROUP => {
                let group = frame.body.as_slice().try_into().map_err(|_| malformed)?;
                Ok(Request::Group(u32::from_be_bytes(group)))
            }
            other => Err(WireError::Type(other)),
        }
    }
}

impl Answer {
    /// As a frame.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Answer::Outline(values) => frame(OUTLINE, &[values.as_flattened()]),
            Answer::Slice { group, sealed } => frame(SLICE, &[&group.to_be_bytes(), sealed]),
            Answer::No(no) => frame(NO, &[&[no.number()]]),
        }
    }

    /// Reads one.
    ///
    /// # Errors
    ///
    /// [`WireError::Type`], [`WireError::Malformed`].
    pub fn decode(frame: Frame) -> Result<Answer, WireError> {
        let malformed = WireError::Malformed(frame.kind);
        match frame.kind {
            OUTLINE => outline_from_bytes(&frame.body).map(Answer::Outline).ok_or(malformed),
            SLICE => {
                let (group, sealed) = frame.body.split_first_chunk::<4>().ok_or(malformed)?;
                if sealed.len() > GROUP_BYTES {
                    return Err(malformed);
                }
                Ok(Answer::Slice { group: u32::from_be_bytes(*group), sealed: sealed.to_vec() })
            }
            NO => {
                let [number] = frame.body.as_slice() else { return Err(malformed) };
                let no = No::ALL.into_iter().find(|no| no.number() == *number);
                no.map(Answer::No).ok_or(malformed)
            }
            other => Err(WireError::Type(other)),
        }
    }

    /// The longest body of an answer about a file.
    pub fn max_bytes(layout: &Layout) -> usize {
        let outline = usize::try_from(layout.groups()).unwrap_or(usize::MAX);
        outline.saturating_mul(VALUE_BYTES).max(GROUP_BYTES + SLICE_HEAD_BYTES)
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

/// Cuts a stream of bytes, in pieces of any size, into frames; holds at most one.
#[derive(Debug)]
pub struct FrameReader {
    limit: usize,
    header: Vec<u8>,
    body: Vec<u8>,
    want: usize,
}

impl FrameReader {
    /// `limit`: the longest body that may come.
    pub fn new(limit: usize) -> FrameReader {
        FrameReader { limit, header: Vec::with_capacity(HEADER_BYTES), body: Vec::new(), want: 0 }
    }

    /// Takes bytes from the front of `input` until a frame is whole or nothing is left. After `None` all
    /// of `input` has been taken.
    ///
    /// # Errors
    ///
    /// [`WireError::TooLong`]: the stream cannot be followed any further.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<Frame>, WireError> {
        while self.header.len() < HEADER_BYTES {
            let Some((&byte, rest)) = input.split_first() else { return Ok(None) };
            self.header.push(byte);
            *input = rest;
            if let [a, b, c] = *self.header.as_slice() {
                self.want = usize::try_from(u32::from_be_bytes([0, a, b, c])).unwrap_or(usize::MAX);
                if self.want > self.limit {
                    return Err(WireError::TooLong(self.want));
                }
            }
        }
        let missing = self.want.saturating_sub(self.body.len());
        let (head, rest) = input.split_at(missing.min(input.len()));
        if self.body.is_empty() {
            self.body.reserve_exact(self.want);
        }
        self.body.extend_from_slice(head);
        *input = rest;
        if self.body.len() < self.want {
            return Ok(None);
        }
        let kind = self.header.last().copied().unwrap_or(0);
        self.header.clear();
        Ok(Some(Frame { kind, body: std::mem::take(&mut self.body) }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn requests() -> Vec<Request> {
        let root = FileRoot::new([1; 32]);
        vec![
            Request::Ask { root, bytes: 70_000, outline: true },
            Request::Ask { root, bytes: 0, outline: false },
            Request::Group(258),
        ]
    }

    fn answers() -> Vec<Answer> {
        vec![
            Answer::Outline(vec![[2; 32], [3; 32]]),
            Answer::Outline(Vec::new()),
            Answer::Slice { group: 258, sealed: vec![4; 17] },
            Answer::No(No::NotHere),
            Answer::No(No::Busy),
            Answer::No(No::Unreadable),
        ]
    }

    fn frames(bytes: &[u8], limit: usize) -> Result<Vec<Frame>, WireError> {
        let mut reader = FrameReader::new(limit);
        let mut found = Vec::new();
        // One byte at a time: whatever the pieces, the frames are the same.
        for byte in bytes {
            found.extend(reader.next(&mut std::slice::from_ref(byte))?);
        }
        Ok(found)
    }

    #[test]
    fn frames_are_read_as_they_were_written() {
        let sent: Vec<u8> = requests().iter().flat_map(Request::encode).collect();
        let read = frames(&sent, MAX_REQUEST_BYTES).unwrap();
        let read: Vec<_> = read.iter().map(|f| Request::decode(f).unwrap()).collect();
        assert_eq!(read, requests());
        let sent: Vec<u8> = answers().iter().flat_map(Answer::encode).collect();
        let limit = Answer::max_bytes(&Layout::of(70_000).unwrap());
        let read = frames(&sent, limit).unwrap();
        let read: Vec<_> = read.into_iter().map(|f| Answer::decode(f).unwrap()).collect();
        assert_eq!(read, answers());
    }

    #[test]
    fn golden_frames() {
        let hex = |bytes: Vec<u8>| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        let ones = "01".repeat(32);
        assert_eq!(
            requests().iter().map(|r| hex(r.encode())).collect::<Vec<_>>(),
            [
                format!("00002901{ones}000000000001117001"),
                format!("00002901{ones}000000000000000000"),
                "0000040200000102".to_owned(),
            ]
        );
        assert_eq!(
            answers().iter().map(|a| hex(a.encode())).collect::<Vec<_>>(),
            [
                format!("00004003{}{}", "02".repeat(32), "03".repeat(32)),
                "00000003".to_owned(),
                format!("0000150400000102{}", "04".repeat(17)),
                "0000010501".to_owned(),
                "0000010502".to_owned(),
                "0000010503".to_owned(),
            ]
        );
    }

    #[test]
    fn too_long_a_frame_is_refused_before_anything_is_kept() {
        let mut reader = FrameReader::new(MAX_REQUEST_BYTES);
        let mut input: &[u8] = &[0xff, 0xff, 0xff, 1, 0, 0];
        assert_eq!(reader.next(&mut input), Err(WireError::TooLong(0xff_ffff)));
        assert_eq!(reader.body.capacity(), 0);
    }

    #[test]
    fn what_is_not_said_by_that_side_is_refused() {
        let request = |kind, body: &[u8]| Request::decode(&Frame { kind, body: body.to_vec() });
        assert_eq!(request(SLICE, &[0; 4]), Err(WireError::Type(SLICE)));
        assert_eq!(request(ASK, &[0; 40]), Err(WireError::Malformed(ASK)));
        assert_eq!(request(ASK, &[2; 41]), Err(WireError::Malformed(ASK)));
        assert_eq!(request(GROUP, &[0; 5]), Err(WireError::Malformed(GROUP)));
        let answer = |kind, body: Vec<u8>| Answer::decode(Frame { kind, body });
        assert_eq!(answer(ASK, vec![0; 41]), Err(WireError::Type(ASK)));
        assert_eq!(answer(OUTLINE, vec![0; 33]), Err(WireError::Malformed(OUTLINE)));
        assert_eq!(answer(SLICE, vec![0; 3]), Err(WireError::Malformed(SLICE)));
        assert_eq!(answer(SLICE, vec![0; GROUP_BYTES + 5]), Err(WireError::Malformed(SLICE)));
        for body in [vec![], vec![0], vec![4], vec![1, 1]] {
            assert_eq!(answer(NO, body), Err(WireError::Malformed(NO)));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_frames_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut reader = FrameReader::new(128);
            let mut input = bytes.as_slice();
            while let Ok(Some(frame)) = reader.next(&mut input) {
                prop_assert!(frame.body.len() <= 128);
                if let Ok(request) = Request::decode(&frame) {
                    prop_assert_eq!(&request.encode()[4..], frame.body.as_slice());
                }
                if let Ok(answer) = Answer::decode(frame.clone()) {
                    prop_assert_eq!(&answer.encode()[4..], frame.body.as_slice());
                }
            }
        }
    }
}
