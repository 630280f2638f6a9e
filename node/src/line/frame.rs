//! Frames of a line: how they are told apart, checked and read.
//!
//! On the wire a frame is a zero byte, its body without zero bytes (COBS: each run up to the next
//! zero is preceded by its length plus one), and a zero byte. A reader who starts in the middle, or
//! after any number of lost, altered or foreign bytes, is in step again at the next zero.
//!
//! The last four bytes of a body are a CRC-32 (that of zlib, big endian) over a *tag* and what is
//! before it. The tag of a greeting is empty; that of a packet is drawn from both greetings and the
//! direction ([`tag`]), so that what an earlier run of this program left in a modem's memory, or what
//! a line echoes, does not fit.
//!
//! Greeting: `lanai-line/1`, a line feed, 16 random bytes, and the 16 bytes of the other end's
//! greeting once it is known.
//!
//! Packet: u8 flags; with [`ACK`] u16 the greatest number received and a bitmap of 0, 1, 2 or 4 bytes,
//! of which bit n, counted from the least significant of its first byte, says that the number n + 1
//! below it was received, too; with [`DATA`] u16 number, u16 place in the stream, bytes to the end.
//! Numbers and places are the low 16 bits of what is meant.

/// Flag: what was received.
const ACK: u8 = 1;
/// Where the flags say how long the bitmap is.
const BITMAP_SHIFT: u32 = 1;
/// Flag: part of the stream.
const DATA: u8 = 8;
/// Flag: the stream ends behind this part.
const END: u8 = 16;
/// Flag: the sender is about to go.
const GONE: u8 = 32;
const RESERVED: u8 = 64 | 128;
/// Bytes of a bitmap, by what the flags say.
const BITMAP_BYTES: [usize; 4] = [0, 1, 2, 4];

/// What a greeting begins with; the digit is the version.
pub const MAGIC: &[u8; 13] = b"lanai-line/1\n";
/// Packets before the greatest one that an acknowledgement can speak of.
pub(super) const BITMAP_BITS: u64 = 32;
/// Bytes of the stream in one frame, at most.
pub const MAX_DATA_BYTES: usize = 200;
/// Bytes of a body.
const MAX_BODY_BYTES: usize = 253;
/// What a frame with an acknowledgement takes on the wire beside its data, about.
pub(super) const OVERHEAD_BYTES: usize = 15;

/// Random bytes that one end draws for one run.
pub type Nonce = [u8; 16];
/// Marks the packets of one direction of one run.
pub type Tag = [u8; 4];

/// The tag of what `from` sends to `to`: the first bytes of BLAKE3 `derive_key("lanai v1 line")` over
/// both nonces.
pub fn tag(from: &Nonce, to: &Nonce) -> Tag {
    let mut hasher = blake3::Hasher::new_derive_key("lanai v1 line");
    hasher.update(from).update(to);
    let mut tag = [0; 4];
    tag.copy_from_slice(hasher.finalize().as_bytes().first_chunk::<4>().unwrap_or(&[0; 4]));
    tag
}

/// What was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Low bits of the greatest number.
    pub greatest: u16,
    /// Bit n: the number n + 1 below it.
    pub before: u32,
}

/// Part of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Low bits of the number of this packet; each is used once.
    pub number: u16,
    /// Low bits of the place in the stream of the first byte.
    pub place: u16,
    /// The stream ends behind it.
    pub end: bool,
    /// At most [`MAX_DATA_BYTES`].
    pub bytes: Vec<u8>,
}

/// What goes over a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// Somebody is here.
    Greeting {
        /// Drawn by the sender.
        nonce: Nonce,
        /// The other end's, if the sender knows it.
        heard: Option<Nonce>,
    },
    /// All else.
    Packet {
        /// What the sender received.
        received: Option<Received>,
        /// Part of the stream.
        part: Option<Part>,
        /// The sender is about to go.
        gone: bool,
    },
}

fn checksum(tag: &[u8], body: &[u8]) -> [u8; 4] {
    let mut crc = crc32fast::Hasher::new();
    crc.update(tag);
    crc.update(body);
    crc.finalize().to_be_bytes()
}

impl Frame {
    /// The bytes on the wire. `tag` is that of the sender's direction; greetings have none.
    pub fn encode(&self, tag: &Tag) -> Vec<u8> {
        let mut body = Vec::with_capacity(MAX_BODY_BYTES);
        let mut tag: &[u8] = tag;
        match self {
            Frame::Greeting { nonce, heard } => {
                tag = &[];
                body.extend_from_slice(MAGIC);
                body.extend_from_slice(nonce);
                body.extend(heard.iter().flatten());
            }
            Frame::Packet { received, part, gone } => {
                let mut flags = if *gone { GONE } else { 0 };
                let mut bitmap = [0; 4];
                let mut bitmap_bytes = 0;
                if let Some(Received { before, .. }) = received {
                    bitmap = before.to_le_bytes();
                    let long = BITMAP_BYTES.iter().position(|n| {
                        u64::from(*before).checked_shr(8 * *n as u32).unwrap_or(0) == 0
                    });
                    let long = long.unwrap_or(3);
                    bitmap_bytes = BITMAP_BYTES.get(long).copied().unwrap_or(4);
                    flags |= ACK | (long as u8) << BITMAP_SHIFT;
                }
                if let Some(part) = part {
                    flags |= DATA | if part.end { END } else { 0 };
                }
                body.push(flags);
                if let Some(received) = received {
                    body.extend_from_slice(&received.greatest.to_be_bytes());
                    body.extend(bitmap.iter().take(bitmap_bytes));
                }
                if let Some(part) = part {
                    body.extend_from_slice(&part.number.to_be_bytes());
                    body.extend_from_slice(&part.place.to_be_bytes());
                    body.extend_from_slice(&part.bytes);
                }
            }
        }
        let check = checksum(tag, &body);
        body.extend_from_slice(&check);
        let mut out = Vec::with_capacity(body.len() + 3);
        out.push(0);
        for run in body.split(|byte| *byte == 0) {
            // A body has fewer than 254 bytes.
            out.push(run.len() as u8 + 1);
            out.extend_from_slice(run);
        }
        out.push(0);
        out
    }

    /// Reads a body that [`Splitter`] found. `tag`: that of the other end's direction, once both
    /// greetings are known. `None`: it is none of this run's frames.
    pub fn decode(body: &[u8], tag: Option<&Tag>) -> Option<Frame> {
        let (body, check) = body.split_last_chunk::<4>()?;
        if let Some(greeting) = body.strip_prefix(MAGIC) {
            let (nonce, heard) = greeting.split_first_chunk::<16>()?;
            let heard = match heard {
                [] => None,
                heard => Some(*heard.as_array::<16>()?),
            };
            return (checksum(&[], body) == *check)
                .then_some(Frame::Greeting { nonce: *nonce, heard });
        }
        if checksum(tag?, body) != *check {
            return None;
        }
        let (&flags, mut rest) = body.split_first()?;
        let bitmap_bytes = BITMAP_BYTES.get(usize::from(flags >> BITMAP_SHIFT & 3)).copied()?;
        let stray = flags & ACK == 0 && bitmap_bytes > 0 || flags & (DATA | END) == END;
        if flags & RESERVED != 0 || stray {
            return None;
        }
        let mut received = None;
        if flags & ACK != 0 {
            let (greatest, after) = rest.split_first_chunk::<2>()?;
            let (bits, after) = after.split_at_checked(bitmap_bytes)?;
            let mut before = [0; 4];
            before.iter_mut().zip(bits).for_each(|(to, from)| *to = *from);
            let (greatest, before) = (u16::from_be_bytes(*greatest), u32::from_le_bytes(before));
            received = Some(Received { greatest, before });
            rest = after;
        }
        let mut part = None;
        if flags & DATA != 0 {
            let (number, after) = rest.split_first_chunk::<2>()?;
            let (place, bytes) = after.split_first_chunk::<2>()?;
            let end = flags & END != 0;
            if bytes.len() > MAX_DATA_BYTES || bytes.is_empty() && !end {
                return None;
            }
            let (number, place) = (u16::from_be_bytes(*number), u16::from_be_bytes(*place));
            part = Some(Part { number, place, end, bytes: bytes.to_vec() });
        } else if !rest.is_empty() {
            return None;
        }
        Some(Frame::Packet { received, part, gone: flags & GONE != 0 })
    }
}

/// Finds bodies in what a line brings, in pieces of any size.
#[derive(Debug, Default)]
pub struct Splitter {
    body: Vec<u8>,
    /// More came without a zero than any frame has.
    overlong: bool,
    /// Bytes that were part of nothing.
    garbage: u64,
}

impl Splitter {
    /// Takes bytes from the front of `input` until a body is found or nothing is left. After `None`
    /// all of `input` has been taken.
    pub fn next(&mut self, input: &mut &[u8]) -> Option<Vec<u8>> {
        while let Some((&byte, rest)) = input.split_first() {
            *input = rest;
            if byte != 0 {
                if self.body.len() > MAX_BODY_BYTES {
                    self.overlong = true;
                    self.garbage += 1;
                } else {
                    self.body.push(byte);
                }
                continue;
            }
            let stuffed = std::mem::take(&mut self.body);
            let overlong = std::mem::take(&mut self.overlong);
            if stuffed.is_empty() {
                continue;
            }
            match unstuff(&stuffed).filter(|_| !overlong) {
                Some(body) => return Some(body),
                None => self.garbage += stuffed.len() as u64,
            }
        }
        None
    }

    /// Counts a body that turned out to be none of this run's frames.
    pub fn refuse(&mut self, body: &[u8]) {
        self.garbage += body.len() as u64;
    }

    /// Bytes that were part of nothing.
    pub fn garbage(&self) -> u64 {
        self.garbage
    }
}

fn unstuff(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(rest.len());
    loop {
        let (&code, after) = rest.split_first()?;
        let (run, after) = after.split_at_checked(usize::from(code).checked_sub(1)?)?;
        out.extend_from_slice(run);
        if after.is_empty() {
            return Some(out);
        }
        out.push(0);
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TAG: Tag = [1, 2, 3, 4];

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    #[test]
    fn golden_bytes() {
        let greeting = Frame::Greeting { nonce: [0xaa; 16], heard: None };
        assert_eq!(
            hex(&greeting.encode(&TAG)),
            "00226c616e61692d6c696e652f310aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\
             3d82975e00"
        );
        let packet = Frame::Packet {
            received: Some(Received { greatest: 0x0102, before: 0x0105 }),
            part: Some(Part { number: 0x0304, place: 0, end: true, bytes: b"hi".to_vec() }),
            gone: false,
        };
        assert_eq!(hex(&packet.encode(&TAG)), "00081d010205010304010768699115688a00");
        assert_eq!(hex(&tag(&[1; 16], &[2; 16])), "8da6f3e2");
    }

    fn frames() -> impl Strategy<Value = Frame> {
        let received = proptest::option::of((any::<u16>(), any::<u32>(), 0u32..33)).prop_map(|r| {
            r.map(|(greatest, b, n)| Received { greatest, before: b.checked_shr(n).unwrap_or(0) })
        });
        let bytes = proptest::collection::vec(any::<u8>(), 0..=MAX_DATA_BYTES);
        let part = proptest::option::of((any::<u16>(), any::<u16>(), any::<bool>(), bytes))
            .prop_map(|p| {
                p.map(|(number, place, end, bytes)| Part {
                    number,
                    place,
                    end: end || bytes.is_empty(),
                    bytes,
                })
            });
        prop_oneof![
            (any::<Nonce>(), proptest::option::of(any::<Nonce>()))
                .prop_map(|(nonce, heard)| Frame::Greeting { nonce, heard }),
            (received, part, any::<bool>()).prop_map(|(received, part, gone)| Frame::Packet {
                received,
                part,
                gone
            }),
        ]
    }

    proptest! {
        #[test]
        fn frames_survive_garbage_and_any_chunking(
            list in proptest::collection::vec((frames(), proptest::collection::vec(any::<u8>(), 0..300)), 1..6),
            chunk in 1usize..70
        ) {
            let mut bytes = Vec::new();
            for (frame, garbage) in &list {
                let wire = frame.encode(&TAG);
                prop_assert!(!wire[1..wire.len() - 1].contains(&0));
                bytes.extend(wire);
                bytes.extend(garbage);
            }
            let (mut splitter, mut got) = (Splitter::default(), Vec::new());
            for mut piece in bytes.chunks(chunk) {
                while let Some(body) = splitter.next(&mut piece) {
                    got.extend(Frame::decode(&body, Some(&TAG)));
                }
                prop_assert!(splitter.body.len() <= MAX_BODY_BYTES + 1);
            }
            prop_assert_eq!(got, list.into_iter().map(|(f, _)| f).collect::<Vec<_>>());
        }

        #[test]
        fn what_was_altered_or_is_of_another_run_is_refused(frame in frames(), at: usize, bit in 0u32..8) {
            let wire = frame.encode(&TAG);
            let read = |bytes: &[u8], tag: &Tag| {
                let (mut splitter, mut bytes, mut got) = (Splitter::default(), bytes, Vec::new());
                while let Some(body) = splitter.next(&mut bytes) {
                    got.extend(Frame::decode(&body, Some(tag)));
                }
                got
            };
            let other = read(&wire, &[1, 2, 3, 5]);
            prop_assert_eq!(other.len(), usize::from(matches!(frame, Frame::Greeting { .. })));
            let mut altered = wire.clone();
            let at = 1 + at % (wire.len() - 2);
            altered[at] ^= 1 << bit;
            prop_assert_eq!(read(&altered, &TAG), vec![]);
        }

        #[test]
        fn any_body_is_read_or_refused(body in proptest::collection::vec(any::<u8>(), 0..260)) {
            let mut checked = body.clone();
            checked.extend(checksum(&TAG, &body));
            for body in [&body, &checked] {
                if let Some(frame) = Frame::decode(body, Some(&TAG)) {
                    let wire = frame.encode(&TAG);
                    let again = Splitter::default().next(&mut &wire[..]).unwrap();
                    prop_assert_eq!(Frame::decode(&again, Some(&TAG)), Some(frame));
                }
            }
        }
    }
}
