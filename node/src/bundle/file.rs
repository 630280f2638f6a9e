//! The outside of a bundle: seals, then chunks in boxes. The module above has the layout.

use std::io::{ErrorKind, Read, Write};

use lanai_crdt::id::DeviceId;
use lanai_crdt::seal::{
    BoxKey, BoxPurpose, CryptoRng, DEVICE_SEAL_BYTES, KEY_BYTES, NONCE_BYTES, SealingPublic,
    SealingSecret, TAG_BYTES,
};

use super::BundleError;

/// What a file begins with; the digit is its version.
const MAGIC: &[u8; 15] = b"lanai-bundle/1\n";
/// Bytes of frames in one chunk, at most.
pub const CHUNK_BYTES: usize = 16 * 1024;
/// Bytes of a box beside what is in it.
const BOX_BYTES: usize = NONCE_BYTES + TAG_BYTES;

/// Bytes of a file before its first chunk.
pub(super) fn head_bytes(devices: usize) -> u64 {
    (MAGIC.len() + KEY_BYTES + 2 + devices * DEVICE_SEAL_BYTES) as u64
}

/// Where and how a file ends too early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// The file ends inside.
    #[error("it is cut off after {at} bytes")]
    CutOff {
        /// Bytes that there are.
        at: u64,
    },
    /// A chunk is not what its maker wrote.
    #[error("it is damaged at byte {at}")]
    Altered {
        /// Where the damaged chunk begins.
        at: u64,
    },
}

fn aad(number: u64) -> [u8; 8] {
    number.to_be_bytes()
}

/// Writes chunks behind the seals.
pub(super) struct SealedWriter<'a, W: Write, R: CryptoRng> {
    out: W,
    rng: &'a mut R,
    key: BoxKey,
    number: u64,
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

    /// Writes `plain` as one chunk, or as several where it is too long.
    pub(super) fn put(&mut self, plain: &[u8]) -> Result<(), BundleError> {
        for piece in plain.chunks(CHUNK_BYTES) {
            let mut nonce = [0; NONCE_BYTES];
            self.rng.fill_bytes(&mut nonce);
            let blob = self.key.seal(nonce, &aad(self.number), piece)?;
            // A chunk and its box are below 64 KiB.
            let len = u16::try_from(blob.len()).unwrap_or(u16::MAX);
            self.out.write_all(&len.to_be_bytes())?;
            self.out.write_all(&blob)?;
            self.number += 1;
            self.written += 2 + u64::from(len);
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<W, BundleError> {
        self.out.flush()?;
        Ok(self.out)
    }
}

/// Reads chunks.
pub(super) struct SealedReader<R: Read> {
    input: R,
    key: BoxKey,
    number: u64,
    at: u64,
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
        Ok(SealedReader { input, key, number: 0, at })
    }

    pub(super) fn key_id(&self) -> [u8; KEY_BYTES] {
        self.key.id()
    }

    /// The next chunk; `None` at the end of the file.
    pub(super) fn next(&mut self) -> Result<Option<Vec<u8>>, ChunkError> {
        let began = self.at;
        let mut len = [0; 2];
        match fill(&mut self.input, &mut len)? {
            0 => return Ok(None),
            2 => self.at += 2,
            n => return Err(Damage::CutOff { at: began + n as u64 }.into()),
        }
        let len = usize::from(u16::from_be_bytes(len));
        if !(BOX_BYTES..=BOX_BYTES + CHUNK_BYTES).contains(&len) {
            return Err(Damage::Altered { at: began }.into());
        }
        let mut blob = vec![0; len];
        let got = fill(&mut self.input, &mut blob)?;
        self.at += got as u64;
        if got < len {
            return Err(Damage::CutOff { at: self.at }.into());
        }
        let plain = self.key.open(&aad(self.number), &blob);
        let plain = plain.map_err(|_| Damage::Altered { at: began })?;
        self.number += 1;
        Ok(Some(plain))
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
