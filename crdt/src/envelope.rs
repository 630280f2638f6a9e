//! The envelope: how a payload's body is packed before it is sealed, and unpacked after.
//!
//! Three things stand between a body (the CBOR of a post) and the cipher: a version byte, so that
//! later formats can be told apart; compression, because text shrinks to half and links are slow;
//! padding, because a ciphertext shows its length, and "the answer has 3 bytes" says a lot.
//!
//! # Bytes
//!
//! | offset | bytes | what |
//! | --- | --- | --- |
//! | 0 | 1 | version, [`VERSION`] = 1 |
//! | 1 | 1 | codec: 0 = the body as it is, 1 = zstd with dictionary v1 |
//! | 2 | 4 | length n of the encoded body, big endian |
//! | 6 | n | the encoded body |
//! | 6 + n | | zeros, up to the next size of [`PADDED_SIZES`]; none in the clear form |
//!
//! With codec 1 the encoded body is one zstd frame (RFC 8878) without the four bytes of its magic
//! number, compressed against `crdt/dict/v1.zdict`. Its frame header is
//!
//! | offset | bytes | what |
//! | --- | --- | --- |
//! | 0 | 1 | descriptor: `0x20`, `0x60` or `0xa0`: single segment; no checksum (the seal has one), no dictionary id (the codec names it) |
//! | 1 | 1, 2 or 4 | inflated length i, little endian: `0x20`: i < 256; `0x60`: i - 256, for 256 <= i < 65,792; `0xa0`: i >= 65,792 |
//!
//! then zstd's blocks, of which the last ends the encoded body.
//!
//! # Rules
//!
//! 1. Two forms: *sealed* ([`encode`], [`decode`]) for everything that a cipher protects, and
//!    *clear* ([`encode_clear`], [`decode_clear`]) for class 0: codec 0 and no padding, since what
//!    anyone may read gains nothing from either.
//! 2. Every byte is accounted for. Padding is zero and ends at the smallest size of the table that
//!    fits; a frame ends where its body ends; one frame, never a second one behind it.
//! 3. The inflated length is read from the frame header by this module, checked against
//!    [`MAX_INFLATED_BYTES`] before anything is allocated, is all that zstd is given to write to,
//!    and must be met exactly. A bomb costs its reader 256 KiB at most.
//! 4. Whether a payload decodes must not depend on a node's zstd: header forms that zstd would
//!    also take (checksum, window, other dictionary ids, longer spellings of a length) are refused
//!    here. What the encoder produces may differ between versions of zstd; what the decoder
//!    accepts may not, and golden bytes in the tests pin it.
//! 5. A body is compressed only when that reaches a smaller size of the table.

use std::cell::RefCell;
use std::sync::LazyLock;

use zstd::bulk::{Compressor, Decompressor};
use zstd::dict::{DecoderDictionary, EncoderDictionary};
use zstd::zstd_safe;

use crate::limits::{MAX_INFLATED_BYTES, MAX_PAYLOAD_BYTES};

/// Version of the envelope, its first byte.
pub const VERSION: u8 = 1;

/// Bytes that sealing adds to an envelope: a nonce of 24 and a tag of 16.
pub const SEAL_OVERHEAD_BYTES: usize = 24 + 16;

/// Most bytes of an envelope that is going to be sealed.
pub const MAX_ENVELOPE_BYTES: usize = MAX_PAYLOAD_BYTES - SEAL_OVERHEAD_BYTES;

/// Bytes before the encoded body: version, codec, length.
const PREFIX_BYTES: usize = 6;

/// The sizes, in bytes, that a sealed envelope can have: steps of 32 to 512, since most posts are
/// short and links are slow; steps of 64 to 1,024; then an eighth more each time, rounded down to
/// 64; last the most that fits.
pub const PADDED_SIZES: [usize; 59] = [
    32,
    64,
    96,
    128,
    160,
    192,
    224,
    256,
    288,
    320,
    352,
    384,
    416,
    448,
    480,
    512,
    576,
    640,
    704,
    768,
    832,
    896,
    960,
    1024,
    1152,
    1280,
    1408,
    1536,
    1728,
    1920,
    2112,
    2368,
    2624,
    2944,
    3264,
    3648,
    4096,
    4608,
    5184,
    5824,
    6528,
    7296,
    8192,
    9216,
    10368,
    11648,
    13056,
    14656,
    16448,
    18496,
    20800,
    23360,
    26240,
    29504,
    33152,
    37248,
    41856,
    47040,
    MAX_ENVELOPE_BYTES,
];

/// How the body is encoded. The byte is part of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Codec {
    None = 0,
    ZstdV1 = 1,
}

/// Why an envelope could not be made or was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// The body is larger than any payload may inflate to.
    #[error("the body has {bytes} bytes, the most is {MAX_INFLATED_BYTES}")]
    BodyTooLong {
        /// Bytes of the body.
        bytes: usize,
    },
    /// The body does not fit the largest envelope, compressed or not.
    #[error("the body needs {bytes} bytes when encoded, the most is {most}")]
    EncodedTooLong {
        /// Bytes that the encoded body takes, prefix included.
        bytes: usize,
        /// Bytes that there may be.
        most: usize,
    },
    /// zstd could not compress: out of memory.
    #[error("zstd could not compress the body")]
    Compress,
    /// Fewer bytes than version, codec and length take.
    #[error("the envelope is cut off after {bytes} bytes")]
    Truncated {
        /// Bytes that there were.
        bytes: usize,
    },
    /// More bytes than a payload may have.
    #[error("the envelope has {bytes} bytes, the most is {most}")]
    TooLong {
        /// Bytes that there were.
        bytes: usize,
        /// Bytes that there may be.
        most: usize,
    },
    /// A version that this node does not know.
    #[error("envelope version {0} is unknown")]
    Version(u8),
    /// A codec that this version does not have, or that the clear form does not allow.
    #[error("envelope codec {0} is unknown here")]
    Codec(u8),
    /// The length points beyond the end.
    #[error("the envelope claims a body of {claimed} bytes and has {available}")]
    Length {
        /// Bytes that the length field claims.
        claimed: u32,
        /// Bytes behind the prefix.
        available: usize,
    },
    /// The whole is not the smallest size of the table that fits the body.
    #[error("the envelope has {bytes} bytes where padding leads to {expected}")]
    PaddedSize {
        /// Bytes that there were.
        bytes: usize,
        /// Bytes that there should be.
        expected: usize,
    },
    /// Padding that is not zero.
    #[error("the padding is not zero")]
    PaddingNotZero,
    /// Bytes behind the body of a clear envelope.
    #[error("{bytes} bytes follow the body of a clear envelope")]
    Trailing {
        /// Bytes behind the body.
        bytes: usize,
    },
    /// A zstd frame header of a form that the format does not have.
    #[error("the compressed body starts with a frame header that is not allowed")]
    FrameHeader,
    /// A compressed body that claims to inflate to more than is allowed.
    #[error("the compressed body claims {claimed} bytes, the most is {MAX_INFLATED_BYTES}")]
    InflatedTooLong {
        /// Bytes that the frame header claims.
        claimed: u32,
    },
    /// The frame does not end where the encoded body ends: cut off, or followed by more.
    #[error("the compressed body is not exactly one frame")]
    FrameEnd,
    /// zstd refused the frame.
    #[error("the compressed body is damaged")]
    Inflate,
    /// The body did not have the length that its frame header claims.
    #[error("the body inflated to {got} bytes instead of {claimed}")]
    InflatedLength {
        /// Bytes that came out.
        got: usize,
        /// Bytes that the frame header claims.
        claimed: u32,
    },
}

/// The smallest size of [`PADDED_SIZES`] that holds `bytes`; `None` when none does.
pub fn padded_size(bytes: usize) -> Option<usize> {
    PADDED_SIZES.get(PADDED_SIZES.partition_point(|&size| size < bytes)).copied()
}

/// Packs `body` for sealing: compressed when that helps, padded to a size of [`PADDED_SIZES`].
///
/// # Errors
///
/// [`EnvelopeError::BodyTooLong`], [`EnvelopeError::EncodedTooLong`], [`EnvelopeError::Compress`].
pub fn encode(body: &[u8]) -> Result<Vec<u8>, EnvelopeError> {
    if body.len() > MAX_INFLATED_BYTES {
        return Err(EnvelopeError::BodyTooLong { bytes: body.len() });
    }
    let plain = padded_size(PREFIX_BYTES + body.len());
    if plain == PADDED_SIZES.first().copied() {
        return pack(Codec::None, body);
    }
    let frame = zstd_v1::compress(body)?;
    let packed = padded_size(PREFIX_BYTES + frame.len());
    let smaller = match (packed, plain) {
        (Some(packed), Some(plain)) => packed < plain,
        (Some(_), None) => true,
        (None, _) => false,
    };
    // A frame that the decoder would refuse is never written, whatever zstd makes of its options.
    if smaller && inflated_length(&frame).is_ok() {
        pack(Codec::ZstdV1, &frame)
    } else {
        pack(Codec::None, body)
    }
}

/// Packs `body` for a payload that anyone may read: neither compressed nor padded.
///
/// # Errors
///
/// [`EnvelopeError::EncodedTooLong`] when it does not fit [`MAX_PAYLOAD_BYTES`].
pub fn encode_clear(body: &[u8]) -> Result<Vec<u8>, EnvelopeError> {
    let bytes = PREFIX_BYTES.saturating_add(body.len());
    if bytes > MAX_PAYLOAD_BYTES {
        return Err(EnvelopeError::EncodedTooLong { bytes, most: MAX_PAYLOAD_BYTES });
    }
    write(Codec::None, body, bytes)
}

/// Unpacks what [`encode`] packed, after the seal was opened.
///
/// # Errors
///
/// One variant of [`EnvelopeError`] for each rule that is broken.
pub fn decode(envelope: &[u8]) -> Result<Vec<u8>, EnvelopeError> {
    let (codec, encoded, padding) = split(envelope, MAX_ENVELOPE_BYTES)?;
    let used = envelope.len() - padding.len();
    let expected = padded_size(used).unwrap_or(MAX_ENVELOPE_BYTES);
    if envelope.len() != expected {
        return Err(EnvelopeError::PaddedSize { bytes: envelope.len(), expected });
    }
    if padding.iter().any(|&byte| byte != 0) {
        return Err(EnvelopeError::PaddingNotZero);
    }
    match codec {
        Codec::None => Ok(encoded.to_vec()),
        Codec::ZstdV1 => zstd_v1::inflate(encoded),
    }
}

/// Unpacks what [`encode_clear`] packed.
///
/// # Errors
///
/// One variant of [`EnvelopeError`] for each rule that is broken.
pub fn decode_clear(envelope: &[u8]) -> Result<Vec<u8>, EnvelopeError> {
    let (codec, body, rest) = split(envelope, MAX_PAYLOAD_BYTES)?;
    if codec != Codec::None {
        return Err(EnvelopeError::Codec(codec as u8));
    }
    if !rest.is_empty() {
        return Err(EnvelopeError::Trailing { bytes: rest.len() });
    }
    Ok(body.to_vec())
}

fn pack(codec: Codec, encoded: &[u8]) -> Result<Vec<u8>, EnvelopeError> {
    let bytes = PREFIX_BYTES + encoded.len();
    let Some(size) = padded_size(bytes) else {
        return Err(EnvelopeError::EncodedTooLong { bytes, most: MAX_ENVELOPE_BYTES });
    };
    write(codec, encoded, size)
}

fn write(codec: Codec, encoded: &[u8], size: usize) -> Result<Vec<u8>, EnvelopeError> {
    let Ok(length) = u32::try_from(encoded.len()) else {
        return Err(EnvelopeError::EncodedTooLong {
            bytes: encoded.len(),
            most: MAX_PAYLOAD_BYTES,
        });
    };
    let mut out = Vec::with_capacity(size);
    out.push(VERSION);
    out.push(codec as u8);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(encoded);
    out.resize(size, 0);
    Ok(out)
}

/// Reads the prefix: codec, encoded body, and whatever follows it.
fn split(envelope: &[u8], most: usize) -> Result<(Codec, &[u8], &[u8]), EnvelopeError> {
    if envelope.len() > most {
        return Err(EnvelopeError::TooLong { bytes: envelope.len(), most });
    }
    // The version comes first: what follows it may mean something else in another one.
    match envelope.first() {
        Some(&VERSION) => {}
        Some(&version) => return Err(EnvelopeError::Version(version)),
        None => return Err(EnvelopeError::Truncated { bytes: 0 }),
    }
    let Some((&[_, codec, a, b, c, d], rest)) = envelope.split_first_chunk::<PREFIX_BYTES>() else {
        return Err(EnvelopeError::Truncated { bytes: envelope.len() });
    };
    let codec = match codec {
        0 => Codec::None,
        1 => Codec::ZstdV1,
        other => return Err(EnvelopeError::Codec(other)),
    };
    let claimed = u32::from_be_bytes([a, b, c, d]);
    let parts = usize::try_from(claimed).ok().and_then(|length| rest.split_at_checked(length));
    let Some((encoded, rest)) = parts else {
        return Err(EnvelopeError::Length { claimed, available: rest.len() });
    };
    Ok((codec, encoded, rest))
}

/// Reads the inflated length from the header of a frame without its magic number.
fn inflated_length(frame: &[u8]) -> Result<u32, EnvelopeError> {
    /// Lengths from here on take four bytes.
    const LONG: u32 = 256 + (1 << 16);
    let length = match *frame {
        [0x20, a, ..] => u32::from(a),
        [0x60, a, b, ..] => 256 + u32::from(u16::from_le_bytes([a, b])),
        [0xa0, a, b, c, d, ..] => {
            let length = u32::from_le_bytes([a, b, c, d]);
            if length < LONG {
                return Err(EnvelopeError::FrameHeader);
            }
            length
        }
        _ => return Err(EnvelopeError::FrameHeader),
    };
    match usize::try_from(length) {
        Ok(bytes) if bytes <= MAX_INFLATED_BYTES => Ok(length),
        _ => Err(EnvelopeError::InflatedTooLong { claimed: length }),
    }
}

/// Codec 1. Contexts are kept per thread: making one costs more than a post does.
mod zstd_v1 {
    use super::*;

    /// Magic number of a zstd frame (RFC 8878, 3.1.1), left out of the encoded body.
    const MAGIC: [u8; 4] = 0xfd2f_b528_u32.to_le_bytes();

    /// zstd level for short bodies, which are most: the best that is still quick on them.
    const SHORT_LEVEL: i32 = 15;
    /// zstd level for long bodies, where the best costs milliseconds for an eighth less.
    const LONG_LEVEL: i32 = 5;
    /// Bytes up to which a body is short.
    const SHORT_BYTES: usize = 640;

    static DICTIONARY: &[u8] = include_bytes!("../dict/v1.zdict");
    static SHORT_ENCODER: LazyLock<EncoderDictionary<'static>> =
        LazyLock::new(|| EncoderDictionary::copy(DICTIONARY, SHORT_LEVEL));
    static LONG_ENCODER: LazyLock<EncoderDictionary<'static>> =
        LazyLock::new(|| EncoderDictionary::copy(DICTIONARY, LONG_LEVEL));
    static DECODER: LazyLock<DecoderDictionary<'static>> =
        LazyLock::new(|| DecoderDictionary::copy(DICTIONARY));

    thread_local! {
        static SHORT: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
        static LONG: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
        static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
    }

    /// One frame without its magic number. `body` has been checked against the limit.
    pub(super) fn compress(body: &[u8]) -> Result<Vec<u8>, EnvelopeError> {
        let (place, dictionary) = match body.len() {
            0..=SHORT_BYTES => (&SHORT, &SHORT_ENCODER),
            _ => (&LONG, &LONG_ENCODER),
        };
        let mut frame = place.with_borrow_mut(|slot| {
            let zstd = match slot {
                Some(zstd) => zstd,
                None => slot.insert(compressor(dictionary).map_err(|_| EnvelopeError::Compress)?),
            };
            zstd.compress(body).map_err(|_| EnvelopeError::Compress)
        })?;
        if !frame.starts_with(&MAGIC) {
            return Err(EnvelopeError::Compress);
        }
        frame.drain(..MAGIC.len());
        Ok(frame)
    }

    fn compressor(
        dictionary: &'static EncoderDictionary<'static>,
    ) -> std::io::Result<Compressor<'static>> {
        let mut zstd = Compressor::with_prepared_dictionary(dictionary)?;
        zstd.include_checksum(false)?;
        zstd.include_dictid(false)?;
        zstd.include_contentsize(true)?;
        Ok(zstd)
    }

    /// The inverse of [`compress`], for bytes from anyone.
    pub(super) fn inflate(encoded: &[u8]) -> Result<Vec<u8>, EnvelopeError> {
        let claimed = inflated_length(encoded)?;
        let capacity = usize::try_from(claimed).unwrap_or(0);
        let mut frame = Vec::with_capacity(MAGIC.len() + encoded.len());
        frame.extend_from_slice(&MAGIC);
        frame.extend_from_slice(encoded);
        if zstd_safe::find_frame_compressed_size(&frame) != Ok(frame.len()) {
            return Err(EnvelopeError::FrameEnd);
        }
        let body = DECOMPRESSOR.with_borrow_mut(|slot| {
            let zstd = match slot {
                Some(zstd) => zstd,
                None => slot.insert(
                    Decompressor::with_prepared_dictionary(&DECODER)
                        .map_err(|_| EnvelopeError::Inflate)?,
                ),
            };
            zstd.decompress(&frame, capacity).map_err(|_| EnvelopeError::Inflate)
        })?;
        if body.len() != capacity {
            return Err(EnvelopeError::InflatedLength { got: body.len(), claimed });
        }
        Ok(body)
    }
}

#[cfg(test)]
mod tests;
