//! The outside of a bundle: seals, then chunks in boxes. The module above has the layout.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};

use lanai_crdt::id::DeviceId;
use lanai_crdt::seal::{
    BoxKey, BoxPurpose, CryptoRng, DEVICE_SEAL_BYTES, KEY_BYTES, NONCE_BYTES, SealingPublic,
    SealingSecret, TAG_BYTES,
};

use super::BundleError;
use crate::sync::{Cursor, put_varint};

/// What a file begins with; the digit is its version.
const MAGIC: &[u8; 15] = b"lanai-bundle/1\n";
/// Bytes of frames in one chunk, at most.
pub const CHUNK_BYTES: usize = 16 * 1024;
/// Bytes of a box beside what is in it.
const BOX_BYTES: usize = NONCE_BYTES + TAG_BYTES;
/// Bytes of a chunk before its box: number, length, and what the two are checked by.
const CHUNK_HEAD_BYTES: usize = 4 + 2 + 2;
/// Bytes of a varint, at most.
const VARINT_BYTES: usize = 10;

/// Bytes of a file before its first chunk.
pub(super) fn head_bytes(devices: usize) -> u64 {
    (MAGIC.len() + KEY_BYTES + 2 + devices * DEVICE_SEAL_BYTES) as u64
}

/// Where and how a file is not what its maker wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// The file ends inside.
    #[error("it is cut off after {at} bytes")]
    CutOff {
        /// Bytes that there are.
        at: u64,
    },
    /// Something is not what its maker wrote.
    #[error("it is damaged at byte {at}")]
    Altered {
        /// Where the damaged chunk begins.
        at: u64,
    },
}

fn aad(number: u32) -> [u8; 8] {
    u64::from(number).to_be_bytes()
}

/// What stands before a box. The check tells a place where a chunk begins from one where none does, behind
/// damage that took lengths along; it protects from accidents only, and the box from everything.
fn chunk_head(key_id: &[u8; KEY_BYTES], number: u32, len: u16) -> [u8; CHUNK_HEAD_BYTES] {
    let mut hasher = blake3::Hasher::new_derive_key("lanai v1 bundle chunk head");
    hasher.update(key_id).update(&number.to_be_bytes()).update(&len.to_be_bytes());
    let [c, d, ..] = *hasher.finalize().as_bytes();
    let ([n0, n1, n2, n3], [a, b]) = (number.to_be_bytes(), len.to_be_bytes());
    [n0, n1, n2, n3, a, b, c, d]
}

/// Writes chunks behind the seals.
pub(super) struct SealedWriter<'a, W: Write, R: CryptoRng> {
    out: W,
    rng: &'a mut R,
    key: BoxKey,
    number: u32,
    written: u64,
}

impl<'a, W: Write, R: CryptoRng> SealedWriter<'a, W, R> {
    /// Begins a file for these devices.
    pub(super) fn begin(
        mut out: W,
        devices: &[(DeviceId, SealingPublic)],
        rng: &'a mut R,
    ) -> Result<SealedWriter<'a, W, R>, BundleError> {
        let count =
            u16::try_from(devices.len()).map_err(|_| BundleError::TooManyDevices(devices.len()))?;
        let key = BoxKey::generate(BoxPurpose::Bundle, rng);
        out.write_all(MAGIC)?;
        out.write_all(&key.id())?;
        out.write_all(&count.to_be_bytes())?;
        for (device, sealing) in devices {
            out.write_all(&key.seal_to(sealing, device, rng)?)?;
        }
        Ok(SealedWriter { out, rng, key, number: 0, written: head_bytes(devices.len()) })
    }

    pub(super) fn key_id(&self) -> [u8; KEY_BYTES] {
        self.key.id()
    }

    /// Bytes written.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// Writes frames as one chunk, or as several where they are too long. `before`: entries that the
    /// frames before them hold, by which a reader who lost a chunk finds the way again.
    pub(super) fn put(&mut self, before: u64, frames: &[u8]) -> Result<(), BundleError> {
        let mut rest = frames;
        let mut start = Vec::with_capacity(VARINT_BYTES);
        put_varint(&mut start, before.saturating_add(1));
        loop {
            let (piece, after) = rest.split_at(rest.len().min(CHUNK_BYTES - start.len()));
            self.chunk(&[&start[..], piece].concat())?;
            rest = after;
            if rest.is_empty() {
                return Ok(());
            }
            // What goes on says so.
            start = vec![0];
        }
    }

    fn chunk(&mut self, plain: &[u8]) -> Result<(), BundleError> {
        let mut nonce = [0; NONCE_BYTES];
        self.rng.fill_bytes(&mut nonce);
        let blob = self.key.seal(nonce, &aad(self.number), plain)?;
        // A chunk and its box are below 64 KiB.
        let len = u16::try_from(blob.len()).unwrap_or(u16::MAX);
        self.out.write_all(&chunk_head(&self.key.id(), self.number, len))?;
        self.out.write_all(&blob)?;
        self.number = self.number.checked_add(1).ok_or(BundleError::TooLarge)?;
        self.written += CHUNK_HEAD_BYTES as u64 + u64::from(len);
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<W, BundleError> {
        self.out.flush()?;
        Ok(self.out)
    }
}

/// A chunk that is as it was written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chunk {
    /// Its place in the file, in bytes.
    pub(super) at: u64,
    /// The one before it was read, too.
    pub(super) follows: bool,
    /// Entries before it, where a frame begins here; nothing where it goes on with one.
    pub(super) before: Option<u64>,
    /// Frames.
    pub(super) frames: Vec<u8>,
}

/// Reads chunks, also those behind damaged ones.
pub(super) struct SealedReader<R: Read> {
    input: R,
    key: BoxKey,
    key_id: [u8; KEY_BYTES],
    /// The number of the next chunk, if none is lost.
    number: u32,
    /// A chunk before the next one was lost.
    gap: bool,
    at: u64,
    /// Bytes that were read and are looked at again.
    ahead: VecDeque<u8>,
}

impl<R: Read> SealedReader<R> {
    /// Reads the seals, and opens the one that is for this device.
    pub(super) fn begin(
        mut input: R,
        device: &DeviceId,
        secret: &SealingSecret,
    ) -> Result<SealedReader<R>, BundleError> {
        let mut magic = [0; MAGIC.len()];
        if fill(&mut input, &mut magic)? < magic.len() || magic != *MAGIC {
            return Err(BundleError::NotABundle);
        }
        let mut at = MAGIC.len() as u64;
        let mut id = [0; KEY_BYTES];
        let mut count = [0; 2];
        whole(&mut input, &mut id, &mut at)?;
        whole(&mut input, &mut count, &mut at)?;
        let mut key = None;
        let mut seal = [0; DEVICE_SEAL_BYTES];
        for _ in 0..u16::from_be_bytes(count) {
            whole(&mut input, &mut seal, &mut at)?;
            if key.is_none() {
                key = BoxKey::open_seal(BoxPurpose::Bundle, secret, &id, device, &seal).ok();
            }
        }
        let key = key.ok_or(BundleError::NotForUs)?;
        let key_id = key.id();
        let ahead = VecDeque::new();
        Ok(SealedReader { input, key, key_id, number: 0, gap: false, at, ahead })
    }

    pub(super) fn key_id(&self) -> [u8; KEY_BYTES] {
        self.key_id
    }

    /// The next chunk that is as it was written; `None` at the end of the file. After
    /// [`Damage::Altered`] it can be asked again.
    pub(super) fn next(&mut self) -> Result<Option<Chunk>, ChunkError> {
        let began = self.at;
        let mut head = [0; CHUNK_HEAD_BYTES];
        match self.fill(&mut head)? {
            0 => return Ok(None),
            CHUNK_HEAD_BYTES => {}
            _ => return Err(Damage::CutOff { at: self.at }.into()),
        }
        let Some((number, len)) = self.is_head(&head) else {
            self.gap = true;
            self.find_head(head)?;
            return Err(Damage::Altered { at: began }.into());
        };
        let mut blob = vec![0; len];
        if self.fill(&mut blob)? < len {
            return Err(Damage::CutOff { at: self.at }.into());
        }
        let plain = self.key.open(&aad(number), &blob).ok();
        let opened = plain.and_then(|plain| {
            let (start, bytes) = get_varint(&plain)?;
            Some((start, plain.get(bytes..)?.to_vec()))
        });
        let follows = !self.gap && number == self.number;
        self.number = number.saturating_add(1);
        let Some((start, frames)) = opened else {
            self.gap = true;
            return Err(Damage::Altered { at: began }.into());
        };
        self.gap = false;
        Ok(Some(Chunk { at: began, follows, before: start.checked_sub(1), frames }))
    }

    /// Number and length of the chunk that begins with these bytes, if one of this file may.
    fn is_head(&self, head: &[u8; CHUNK_HEAD_BYTES]) -> Option<(u32, usize)> {
        let [n0, n1, n2, n3, a, b, ..] = *head;
        let (number, len) = (u32::from_be_bytes([n0, n1, n2, n3]), u16::from_be_bytes([a, b]));
        let fits = (BOX_BYTES + 1..=BOX_BYTES + CHUNK_BYTES).contains(&usize::from(len));
        let is_one =
            number >= self.number && fits && chunk_head(&self.key_id, number, len) == *head;
        is_one.then(|| (number, usize::from(len)))
    }

    /// Goes on byte by byte to where a chunk begins, or to the end.
    fn find_head(&mut self, mut window: [u8; CHUNK_HEAD_BYTES]) -> std::io::Result<()> {
        let mut next = [0];
        while self.fill(&mut next)? == 1 {
            window.rotate_left(1);
            if let (Some(last), [byte]) = (window.last_mut(), next) {
                *last = byte;
            }
            if self.is_head(&window).is_some() {
                self.ahead.extend(window);
                self.at -= CHUNK_HEAD_BYTES as u64;
                return Ok(());
            }
        }
        Ok(())
    }

    fn fill(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let again = buffer.len().min(self.ahead.len());
        for (slot, byte) in buffer.iter_mut().zip(self.ahead.drain(..again)) {
            *slot = byte;
        }
        let rest = buffer.get_mut(again..).unwrap_or_default();
        let got = again + fill(&mut self.input, rest)?;
        self.at += got as u64;
        Ok(got)
    }

    /// Bytes read.
    pub(super) fn at(&self) -> u64 {
        self.at
    }
}

/// Why there is no next chunk.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChunkError {
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Damage(#[from] Damage),
}

/// A varint at the front, and how many bytes it has.
fn get_varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut cursor = Cursor::new(bytes);
    let value = cursor.varint().ok()?;
    Some((value, bytes.len() - cursor.remaining()))
}

/// Reads until `buffer` is full or the input ends; how many bytes there were.
fn fill(input: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut have = 0;
    while let Some(rest) = buffer.get_mut(have..).filter(|r| !r.is_empty()) {
        match input.read(rest) {
            Ok(0) => break,
            Ok(n) => have += n,
            Err(e) if e.kind() == ErrorKind::Interrupted => (),
            Err(e) => return Err(e),
        }
    }
    Ok(have)
}

fn whole(input: &mut impl Read, buffer: &mut [u8], at: &mut u64) -> Result<(), BundleError> {
    let got = fill(input, buffer)?;
    *at += got as u64;
    match got == buffer.len() {
        true => Ok(()),
        false => Err(BundleError::Damaged(Damage::CutOff { at: *at })),
    }
}

#[cfg(test)]
mod tests {
    use lanai_crdt::entry::DeviceSecret;

    use super::*;
    use crate::store::tests::TestRng;

    #[test]
    fn bytes_of_a_file() {
        let mut rng = TestRng::new("bundle");
        let secret = SealingSecret::from_bytes(&[5; 32]);
        let device = DeviceSecret::from_bytes(&[6; 32]).device();
        let sealing = SealingPublic::checked(secret.public().as_bytes()).unwrap();
        let mut writer = SealedWriter::begin(Vec::new(), &[(device, sealing)], &mut rng).unwrap();
        writer.put(0, b"manifest").unwrap();
        writer.put(200, &[7; CHUNK_BYTES]).unwrap();
        let bytes = writer.finish().unwrap();
        // The seal and two boxes of one chunk and a bit: 49 + 80, 8 + 40 + 9, 8 + 40 + 16384, 8 + 40 + 3.
        assert_eq!(bytes.len(), 49 + 80 + 57 + 16_432 + 51);
        assert_eq!(bytes[..15], *b"lanai-bundle/1\n");
        assert_eq!(bytes[47..49], [0, 1]);
        assert_eq!(bytes[129..135], [0, 0, 0, 0, 0, 49]);
        assert_eq!(blake3::hash(&bytes).to_hex()[..16], *"c8f5b7cc24480506");

        let mut reader = SealedReader::begin(&bytes[..], &device, &secret).unwrap();
        let mut chunk = || reader.next().unwrap();
        let (first, second, third) = (chunk().unwrap(), chunk().unwrap(), chunk().unwrap());
        assert_eq!(
            (first.before, &first.frames[..], first.follows),
            (Some(0), &b"manifest"[..], true)
        );
        assert_eq!((second.before, second.frames.len()), (Some(200), CHUNK_BYTES - 2));
        assert_eq!((third.before, third.frames.len(), third.follows), (None, 2, true));
        assert_eq!(chunk(), None);
    }
}
