//! Inputs: valid samples, altered in ways that decoders are known to trip over.

/// A small generator (xorshift64*), so that a run can be repeated.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        // splitmix64's last step, so that neighbouring seeds have nothing in common.
        let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Random((z ^ (z >> 31)) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// From 0 to `n - 1`; 0 if there is nothing to choose from.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() >> 11) as usize % n.max(1)
    }

    /// One of two, the first once in 64 times.
    fn rarely<T>(&mut self, this: T, that: T) -> T {
        if self.below(64) == 0 { this } else { that }
    }

    /// Mostly small, now and then up to `n`.
    fn size(&mut self, n: usize) -> usize {
        let n = match self.below(8) {
            0 => n,
            1 => n.min(1024),
            _ => n.min(24),
        };
        1 + self.below(n)
    }

    fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }
}

/// Bytes that mean something to CBOR, varints, lengths and text.
const BYTES: [u8; 24] = [
    0x00, 0x01, 0x17, 0x18, 0x1b, 0x20, 0x3b, 0x40, 0x5b, 0x5f, 0x7b, 0x7f, 0x80, 0x81, 0x9b, 0x9f,
    0xa0, 0xbb, 0xbf, 0xc0, 0xd8, 0xf6, 0xfb, 0xff,
];

/// Pieces that claim more than there is, nest deeply or end early.
const PIECES: [&[u8]; 12] = [
    &[0xff; 8],
    &[0x00; 8],
    &[0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    &[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    &[0x5b, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff],
    &[0x7a, 0x7f, 0xff, 0xff, 0xff],
    &[0xba, 0x00, 0x10, 0x00, 0x00],
    &[0x9f, 0xbf, 0x9f, 0xbf],
    &[0xd8, 0x2a, 0xd8, 0x2a],
    &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01],
    &[0x00, 0x00, 0xff, 0xff],
    &[0xf4, 0x8f, 0xbf, 0xbf],
];

/// Words that mean something in the texts that are read.
const WORDS: [&str; 25] = [
    "\n",
    "\r\n",
    "\0",
    "\u{1b}[2J",
    "\u{202e}",
    "\u{200b}",
    "\u{feff}",
    "\u{301}",
    "\u{fffd}",
    "👩\u{200d}",
    "{",
    "[",
    "\"",
    "\\u0000",
    "-1",
    "18446744073709551616",
    "1e999",
    "null",
    "\nFrom a@b Mon Jan  1 00:00:00 0099\n",
    "\n--b\n",
    "Content-Type: multipart/mixed; boundary=b\n\n",
    "=?utf-8?b?//8=?=",
    "&#x110000;",
    "<p><p>",
    "/ip4/1.2.3.4/tcp/99999",
];

fn noise(random: &mut Random) -> Vec<u8> {
    let length = random.size(4096);
    (0..length).map(|_| random.next() as u8).collect()
}

/// Binary fields.
pub(super) fn binary(samples: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    if random.below(32) == 0 {
        return noise(random);
    }
    let mut bytes = random.pick(samples).clone();
    alter(&mut bytes, samples, random);
    bytes
}

/// Some changes to one sample, `others` being the samples that pieces may be taken from.
fn alter(bytes: &mut Vec<u8>, others: &[Vec<u8>], random: &mut Random) {
    let changes = match random.below(16) {
        0 => 1 + random.below(40),
        n => 1 + n % 4,
    };
    for _ in 0..changes {
        change(bytes, others, random);
    }
}

fn change(bytes: &mut Vec<u8>, others: &[Vec<u8>], random: &mut Random) {
    let length = bytes.len();
    let at = random.below(length);
    if length == 0 {
        bytes.push(random.next() as u8);
        return;
    }
    match random.below(16) {
        0..4 => bytes[at] ^= 1 << random.below(8),
        4 => bytes[at] = random.next() as u8,
        5 => bytes[at] = *random.pick(&BYTES),
        6 => bytes[at] = bytes[at].wrapping_add(*random.pick(&[1, 0xff])),
        7 => bytes.truncate(at),
        8 => bytes.insert(at, *random.pick(&BYTES)),
        9 => {
            let end = (at + random.size(length)).min(length);
            bytes.drain(at..end);
        }
        10 => {
            let end = (at + random.size(length)).min(length);
            let piece = bytes[at..end].to_vec();
            let to = random.below(length);
            bytes.splice(to..to, piece);
        }
        11 => {
            let piece = random.pick(&PIECES);
            let end = (at + piece.len()).min(length);
            bytes.splice(at..end, piece.iter().copied());
        }
        12 => {
            let piece = random.pick(&PIECES);
            bytes.splice(at..at, piece.iter().copied());
        }
        13 => {
            let other = random.pick(others);
            let from = random.below(other.len());
            let piece = &other[from..(from + random.size(other.len())).min(other.len())];
            let end = (at + piece.len()).min(length);
            bytes.splice(at..end, piece.iter().copied());
        }
        14 => {
            let end = (at + random.size(32)).min(length);
            bytes[at..end].fill(*random.pick(&[0, 0xff, 0x80]));
        }
        _ => {
            // One byte many times: nesting, and padding that is none.
            let byte = *random.pick(&BYTES);
            let most = random.rarely(300_000, 2_000);
            let times = random.size(most);
            bytes.splice(at..at, std::iter::repeat_n(byte, times));
        }
    }
}

/// Cuts a stream into its frames. What is no whole frame is the last piece.
pub(super) fn split(mut stream: &[u8]) -> Vec<&[u8]> {
    let mut frames = Vec::new();
    while let [a, b, c, _, ..] = stream {
        let end = 4 + (usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c));
        let Some((frame, rest)) = stream.split_at_checked(end) else { break };
        frames.push(frame);
        stream = rest;
    }
    if !stream.is_empty() {
        frames.push(stream);
    }
    frames
}

/// A stream of frames, altered inside of frames, whose lengths still fit, and in their order.
pub(super) fn frames(samples: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    if random.below(32) == 0 {
        return noise(random);
    }
    let stream = random.pick(samples);
    let other: &Vec<u8> = random.pick(samples);
    let others: Vec<Vec<u8>> = split(other).iter().map(|f| f[4.min(f.len())..].to_vec()).collect();
    let mut list: Vec<Vec<u8>> = split(stream).iter().map(|f| f.to_vec()).collect();
    for _ in 0..=random.below(2) {
        let at = random.below(list.len());
        let Some(frame) = list.get_mut(at) else { break };
        match random.below(16) {
            0 => {
                let again = frame.clone();
                let to = random.below(list.len() + 1);
                list.insert(to, again);
            }
            1 => {
                list.remove(at);
            }
            2 => {
                let to = random.below(list.len());
                list.swap(at, to);
            }
            3 => {
                if let Some(kind) = frame.get_mut(3) {
                    *kind = random.below(16) as u8;
                }
            }
            4 => change(frame, &others, random),
            _ => {
                let kind = frame.get(3).copied().unwrap_or(0);
                let mut body = frame.get(4..).unwrap_or_default().to_vec();
                alter(&mut body, &others, random);
                *frame = whole(kind, &body);
            }
        }
    }
    let mut stream = list.concat();
    if random.below(16) == 0 {
        let at = random.below(stream.len());
        stream.truncate(at);
    }
    stream
}

/// A frame with this body.
pub(super) fn whole(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u32).to_be_bytes();
    [&length[1..], &[kind], body].concat()
}

/// Text, with changes to words as well as to bytes.
pub(super) fn text(samples: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    if random.below(32) == 0 {
        return noise(random);
    }
    let mut bytes = random.pick(samples).clone();
    for _ in 0..=random.below(5) {
        let at = random.below(bytes.len() + 1);
        match random.below(8) {
            0 | 1 => {
                let word = random.pick(&WORDS).as_bytes();
                bytes.splice(at..at, word.iter().copied());
            }
            2 => {
                let word = random.pick(&WORDS);
                let most = random.rarely(20_000, 200);
                let times = random.size(most);
                bytes.splice(at..at, word.repeat(times).into_bytes());
            }
            3 => {
                // A line to another place.
                let ends = |b: &[u8]| b.iter().position(|b| *b == b'\n');
                let from = at.min(bytes.len());
                let end = ends(&bytes[from..]).map_or(bytes.len(), |n| from + n + 1);
                let line: Vec<u8> = bytes.drain(from..end).collect();
                let to = random.below(bytes.len() + 1);
                bytes.splice(to..to, line);
            }
            _ => change(&mut bytes, samples, random),
        }
    }
    bytes
}
