//! Sealing: who can read what.
//!
//! A community's payloads are encrypted under an *epoch key* K, 32 random bytes that the devices
//! of a circle share. This module turns K into the three things it is used for, and carries K
//! itself to a device.
//!
//! | what | how | bytes |
//! | --- | --- | --- |
//! | epoch id | BLAKE3 `derive_key("lanai v1 epoch id", K)` | 32 |
//! | payload | XChaCha20-Poly1305 under `derive_key("lanai v1 payload", K)` | nonce 24, ciphertext, tag 16 |
//! | epoch links | the same under `derive_key("lanai v1 epoch links", K)` | nonce 24, ciphertext, tag 16 |
//! | device seal | HPKE (RFC 9180), below | encapsulated key 32, ciphertext of K 32, tag 16 |
//!
//! A device seal is HPKE in base mode, single shot: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256,
//! ChaCha20-Poly1305, empty associated data, and
//! `info = "lanai v1 seal" || epoch id (32) || device key (32)`, where the device key is the
//! Ed25519 key that names the device.
//!
//! # Rules
//!
//! 1. The epoch id commits to the key. XChaCha20-Poly1305 alone does not: one ciphertext can be
//!    made to open under two keys. Whoever receives K hashes it first ([`open_from_device`]), so
//!    all who hold "the key of this epoch" hold the same one.
//! 2. One key, one purpose: nothing is ever encrypted under K itself.
//! 3. A nonce is 24 fresh random bytes each time. At that length chance repeats do not happen.
//! 4. The associated data of a payload binds it to the header it belongs to; a blob moved to
//!    another entry does not open.
//! 5. HPKE's base mode says nothing of who made a seal. That is the business of the signed entry
//!    that carries it.
//! 6. Sealing keys are checked once, when they are enrolled ([`SealingPublic::checked`]):
//!    canonical, of the prime-order group, so that no two spellings of a key exist and none yields
//!    a secret that the world knows.
//!
//! Randomness is an argument: nonces as bytes, and a [`CryptoRng`] where HPKE makes a key.

use std::fmt;

use chacha20poly1305::aead::inout::InOutBuf;
use chacha20poly1305::{AeadInOut, KeyInit, Tag, XChaCha20Poly1305, XNonce};
use curve25519_dalek::montgomery::MontgomeryPoint;
use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// The traits by which a caller supplies randomness: [`CryptoRng`] is what functions here ask
/// for; a source implements `TryRng` and `TryCryptoRng`.
pub use hpke::rand_core::{self, CryptoRng};

use crate::envelope::{MAX_ENVELOPE_BYTES, SEAL_OVERHEAD_BYTES};
use crate::id::{DeviceId, EpochId};
use crate::limits::MAX_PAYLOAD_BYTES;

/// Bytes of an epoch key and of an X25519 key.
pub const KEY_BYTES: usize = 32;
/// Bytes of a nonce of XChaCha20-Poly1305.
pub const NONCE_BYTES: usize = 24;
/// Bytes of a Poly1305 tag.
pub const TAG_BYTES: usize = 16;
/// Bytes of one device seal: encapsulated key, sealed epoch key, tag.
pub const DEVICE_SEAL_BYTES: usize = KEY_BYTES + KEY_BYTES + TAG_BYTES;

const EPOCH_ID_CONTEXT: &str = "lanai v1 epoch id";
const PAYLOAD_CONTEXT: &str = "lanai v1 payload";
const LINKS_CONTEXT: &str = "lanai v1 epoch links";
const SEAL_CONTEXT: &[u8] = b"lanai v1 seal";

type DeviceKem = X25519HkdfSha256;

/// Why something could not be sealed or opened, or a key was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// More plaintext than a payload may hold.
    #[error("{bytes} bytes are too many to seal, the most is {MAX_ENVELOPE_BYTES}")]
    PlaintextTooLong {
        /// Bytes that were to be sealed.
        bytes: usize,
    },
    /// A blob too short to hold a nonce and a tag.
    #[error("the sealed blob is cut off after {bytes} bytes")]
    Truncated {
        /// Bytes that there were.
        bytes: usize,
    },
    /// A blob larger than any payload.
    #[error("the sealed blob has {bytes} bytes, the most is {MAX_PAYLOAD_BYTES}")]
    TooLong {
        /// Bytes that there were.
        bytes: usize,
    },
    /// The blob was not made with this key for this associated data, or was altered.
    #[error("the sealed blob does not open with this key")]
    NotAuthentic,
    /// An X25519 key written in another way than the one canonical way.
    #[error("the sealing key is not in canonical form")]
    KeyNotCanonical,
    /// An X25519 key with which every shared secret is known to all.
    #[error("the sealing key is of small order")]
    KeySmallOrder,
    /// An X25519 key outside the prime-order group, on the curve or on its twist.
    #[error("the sealing key is not in the prime-order group")]
    KeyOutsideGroup,
    /// HPKE could not seal to this key.
    #[error("nothing can be sealed to this sealing key")]
    Recipient,
    /// A device seal that this device cannot open: made for another device or epoch, or altered.
    #[error("the seal is not for this device and epoch")]
    NotForThisDevice,
    /// The seal held a key, but not that of the epoch it was said to be for.
    #[error("the seal holds another key than that of its epoch")]
    WrongEpochKey,
}

/// The key of an epoch, with the keys derived from it. Wiped from memory when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct EpochKey {
    key: [u8; KEY_BYTES],
    payload: [u8; KEY_BYTES],
    links: [u8; KEY_BYTES],
    #[zeroize(skip)]
    id: EpochId,
}

impl EpochKey {
    /// The epoch key with these bytes.
    pub fn from_bytes(key: &[u8; KEY_BYTES]) -> Self {
        Self {
            key: *key,
            payload: blake3::derive_key(PAYLOAD_CONTEXT, key),
            links: blake3::derive_key(LINKS_CONTEXT, key),
            id: EpochId::new(blake3::derive_key(EPOCH_ID_CONTEXT, key)),
        }
    }

    /// A new epoch key.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        rng.fill_bytes(key.as_mut_slice());
        Self::from_bytes(&key)
    }

    /// The id of the epoch that this is the key of.
    pub fn id(&self) -> EpochId {
        self.id
    }

    /// The secret itself, to store it or to link it under a later epoch.
    pub fn expose(&self) -> &[u8; KEY_BYTES] {
        &self.key
    }
}

impl fmt::Debug for EpochKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EpochKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Seals `plaintext`, an envelope, under the payload key: `nonce || ciphertext || tag`.
///
/// `nonce` must be fresh random bytes; `aad` is what the blob belongs to.
///
/// # Errors
///
/// [`SealError::PlaintextTooLong`] above [`MAX_ENVELOPE_BYTES`].
pub fn seal_payload(
    key: &EpochKey,
    nonce: [u8; NONCE_BYTES],
    aad: &[u8],
    plaintext: &[u8],
) -> Result<Vec<u8>, SealError> {
    seal(&key.payload, nonce, aad, plaintext)
}

/// Opens what [`seal_payload`] sealed.
///
/// # Errors
///
/// [`SealError::Truncated`], [`SealError::TooLong`], [`SealError::NotAuthentic`].
pub fn open_payload(key: &EpochKey, aad: &[u8], blob: &[u8]) -> Result<Vec<u8>, SealError> {
    open(&key.payload, aad, blob)
}

/// Seals what only holders of this epoch's key may learn about the epoch: its parents' keys and
/// its recipients. Same form and limits as [`seal_payload`], under a key of its own.
///
/// # Errors
///
/// [`SealError::PlaintextTooLong`] above [`MAX_ENVELOPE_BYTES`].
pub fn wrap_under(
    key: &EpochKey,
    nonce: [u8; NONCE_BYTES],
    aad: &[u8],
    plaintext: &[u8],
) -> Result<Vec<u8>, SealError> {
    seal(&key.links, nonce, aad, plaintext)
}

/// Opens what [`wrap_under`] sealed. It holds keys, so it is wiped when dropped.
///
/// # Errors
///
/// [`SealError::Truncated`], [`SealError::TooLong`], [`SealError::NotAuthentic`].
pub fn unwrap_under(
    key: &EpochKey,
    aad: &[u8],
    blob: &[u8],
) -> Result<Zeroizing<Vec<u8>>, SealError> {
    open(&key.links, aad, blob).map(Zeroizing::new)
}

fn seal(
    key: &[u8; KEY_BYTES],
    nonce: [u8; NONCE_BYTES],
    aad: &[u8],
    plaintext: &[u8],
) -> Result<Vec<u8>, SealError> {
    let too_long = SealError::PlaintextTooLong { bytes: plaintext.len() };
    if plaintext.len() > MAX_ENVELOPE_BYTES {
        return Err(too_long);
    }
    let mut blob = Vec::with_capacity(plaintext.len() + SEAL_OVERHEAD_BYTES);
    blob.extend_from_slice(&nonce);
    blob.extend_from_slice(plaintext);
    let Some(text) = blob.get_mut(NONCE_BYTES..) else { return Err(too_long) };
    let tag = XChaCha20Poly1305::new(key.into())
        .encrypt_inout_detached(&XNonce::from(nonce), aad, InOutBuf::from(text))
        .map_err(|_| too_long)?;
    blob.extend_from_slice(&tag);
    Ok(blob)
}

fn open(key: &[u8; KEY_BYTES], aad: &[u8], blob: &[u8]) -> Result<Vec<u8>, SealError> {
    if blob.len() > MAX_PAYLOAD_BYTES {
        return Err(SealError::TooLong { bytes: blob.len() });
    }
    let parts = blob
        .split_first_chunk::<NONCE_BYTES>()
        .and_then(|(nonce, rest)| Some((nonce, rest.split_last_chunk::<TAG_BYTES>()?)));
    let Some((nonce, (ciphertext, tag))) = parts else {
        return Err(SealError::Truncated { bytes: blob.len() });
    };
    let mut text = ciphertext.to_vec();
    XChaCha20Poly1305::new(key.into())
        .decrypt_inout_detached(
            &XNonce::from(*nonce),
            aad,
            InOutBuf::from(text.as_mut_slice()),
            &Tag::from(*tag),
        )
        .map_err(|_| SealError::NotAuthentic)?;
    Ok(text)
}

/// The public half of a device's sealing key (X25519), known to be safe to seal to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SealingPublic([u8; KEY_BYTES]);

impl SealingPublic {
    /// Checks a key that is about to be enrolled.
    ///
    /// X25519 takes any 32 bytes, which leaves three kinds to refuse: numbers not below
    /// 2^255 - 19, which are second spellings of others; points of small order, whose shared
    /// secret is zero; and points with a part of small order or on the curve's twist, which no
    /// honest key generation yields. Takes some 50 us.
    ///
    /// # Errors
    ///
    /// [`SealError::KeyNotCanonical`], [`SealError::KeySmallOrder`],
    /// [`SealError::KeyOutsideGroup`].
    pub fn checked(bytes: &[u8; KEY_BYTES]) -> Result<Self, SealError> {
        if !is_canonical(bytes) {
            return Err(SealError::KeyNotCanonical);
        }
        // The one point of small order that has no place on the Edwards curve: u = -1.
        if *bytes == MINUS_ONE {
            return Err(SealError::KeySmallOrder);
        }
        let Some(point) = MontgomeryPoint(*bytes).to_edwards(0) else {
            return Err(SealError::KeyOutsideGroup);
        };
        if point.is_small_order() {
            return Err(SealError::KeySmallOrder);
        }
        if !point.is_torsion_free() {
            return Err(SealError::KeyOutsideGroup);
        }
        Ok(Self(*bytes))
    }

    /// The key's bytes.
    pub fn as_bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }
}

impl fmt::Debug for SealingPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingPublic(")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        write!(f, ")")
    }
}

/// p - 1 = 2^255 - 20, little endian.
const MINUS_ONE: [u8; KEY_BYTES] = {
    let mut bytes = [0xff; KEY_BYTES];
    bytes[0] = 0xec;
    bytes[31] = 0x7f;
    bytes
};

/// Whether the number, little endian, is below p = 2^255 - 19.
fn is_canonical(bytes: &[u8; KEY_BYTES]) -> bool {
    // Compare from the most significant byte: below or equal to p - 1.
    bytes.iter().rev().le(MINUS_ONE.iter().rev())
}

/// The secret half of a device's sealing key. Wiped from memory when dropped.
#[derive(Clone)]
pub struct SealingSecret {
    /// hpke wipes it when it is dropped.
    secret: <DeviceKem as Kem>::PrivateKey,
    public: SealingPublic,
}

impl SealingSecret {
    /// A new key.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        rng.fill_bytes(bytes.as_mut_slice());
        Self::from_bytes(&bytes)
    }

    /// The key stored as these bytes; the bits that X25519 fixes (RFC 7748, 5) are set as it says.
    #[allow(clippy::expect_used, reason = "the only error is a length other than 32")]
    pub fn from_bytes(bytes: &[u8; KEY_BYTES]) -> Self {
        let secret = <DeviceKem as Kem>::PrivateKey::from_bytes(bytes).expect("32 bytes");
        // A multiple of the base point is canonical and in its group: nothing to check.
        let public = SealingPublic(DeviceKem::sk_to_pk(&secret).to_bytes().into());
        Self { secret, public }
    }

    /// The secret itself, to store it.
    pub fn to_bytes(&self) -> Zeroizing<[u8; KEY_BYTES]> {
        Zeroizing::new(self.secret.to_bytes().into())
    }

    /// The public half.
    pub fn public(&self) -> SealingPublic {
        self.public
    }
}

impl fmt::Debug for SealingSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealingSecret").field("public", &self.public).finish_non_exhaustive()
    }
}

/// `info` of a device seal: what it is for, and for whom.
fn seal_info(context: &[u8], id: &[u8; KEY_BYTES], device: &DeviceId) -> Vec<u8> {
    [context, id, device.as_bytes()].concat()
}

/// Seals an epoch key so that one device alone can open it.
///
/// `to` is the device's sealing key; it and the device's name are bound in.
/// 32 bytes are drawn from `rng`.
///
/// # Errors
///
/// [`SealError::Recipient`], which a checked key does not cause.
pub fn seal_to_device(
    to: &SealingPublic,
    device: &DeviceId,
    key: &EpochKey,
    rng: &mut impl CryptoRng,
) -> Result<[u8; DEVICE_SEAL_BYTES], SealError> {
    hpke_seal(to, &seal_info(SEAL_CONTEXT, key.id.as_bytes(), device), key.expose(), rng)
}

fn hpke_seal(
    to: &SealingPublic,
    info: &[u8],
    secret: &[u8; KEY_BYTES],
    rng: &mut impl CryptoRng,
) -> Result<[u8; DEVICE_SEAL_BYTES], SealError> {
    let public = <DeviceKem as Kem>::PublicKey::from_bytes(to.as_bytes())
        .map_err(|_| SealError::Recipient)?;
    let (encapsulated, ciphertext) = hpke::single_shot_seal_with_rng::<
        ChaCha20Poly1305,
        HkdfSha256,
        DeviceKem,
    >(&OpModeS::Base, &public, info, secret, &[], rng)
    .map_err(|_| SealError::Recipient)?;
    let bytes = [encapsulated.to_bytes().as_slice(), &ciphertext].concat();
    bytes.try_into().map_err(|_| SealError::Recipient)
}

/// Opens a device seal for `epoch` made to the device named by `device`, and checks that the key
/// inside is that epoch's.
///
/// # Errors
///
/// [`SealError::NotForThisDevice`]; [`SealError::WrongEpochKey`] when its maker lied.
pub fn open_from_device(
    secret: &SealingSecret,
    epoch: &EpochId,
    device: &DeviceId,
    seal: &[u8; DEVICE_SEAL_BYTES],
) -> Result<EpochKey, SealError> {
    let opened = hpke_open(secret, &seal_info(SEAL_CONTEXT, epoch.as_bytes(), device), seal)?;
    let key = EpochKey::from_bytes(&opened);
    if key.id != *epoch {
        return Err(SealError::WrongEpochKey);
    }
    Ok(key)
}

fn hpke_open(
    secret: &SealingSecret,
    info: &[u8],
    seal: &[u8; DEVICE_SEAL_BYTES],
) -> Result<Zeroizing<[u8; KEY_BYTES]>, SealError> {
    let (encapsulated, ciphertext) = seal.split_at(KEY_BYTES);
    let encapsulated = <DeviceKem as Kem>::EncappedKey::from_bytes(encapsulated)
        .map_err(|_| SealError::NotForThisDevice)?;
    let opened = hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, DeviceKem>(
        &OpModeR::Base,
        &secret.secret,
        &encapsulated,
        info,
        ciphertext,
        &[],
    )
    .map_err(|_| SealError::NotForThisDevice)?;
    let opened = Zeroizing::new(opened);
    let bytes =
        <&[u8; KEY_BYTES]>::try_from(opened.as_slice()).map_err(|_| SealError::NotForThisDevice)?;
    Ok(Zeroizing::new(*bytes))
}

/// What a [`BoxKey`] is for. Each has contexts of its own: a seal or box that is put to another use opens
/// nothing, and least of all as the key of an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BoxPurpose {
    /// What is said in a side talk.
    SideTalk,
    /// State among the devices of one member.
    OwnState,
    /// A file that carries entries between nodes that never meet.
    Bundle,
}

impl BoxPurpose {
    const fn id_context(self) -> &'static str {
        match self {
            BoxPurpose::SideTalk => "lanai v1 talk key id",
            BoxPurpose::OwnState => "lanai v1 own state key id",
            BoxPurpose::Bundle => "lanai v1 bundle key id",
        }
    }

    const fn payload_context(self) -> &'static str {
        match self {
            BoxPurpose::SideTalk => "lanai v1 talk payload",
            BoxPurpose::OwnState => "lanai v1 own state payload",
            BoxPurpose::Bundle => "lanai v1 bundle chunk",
        }
    }

    const fn seal_context(self) -> &'static [u8] {
        match self {
            BoxPurpose::SideTalk => b"lanai v1 talk seal",
            BoxPurpose::OwnState => b"lanai v1 own state seal",
            BoxPurpose::Bundle => b"lanai v1 bundle seal",
        }
    }
}

/// The key of boxes inside payloads, and of bundles, for some devices only. Wiped from memory when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct BoxKey {
    key: [u8; KEY_BYTES],
    payload: [u8; KEY_BYTES],
    #[zeroize(skip)]
    purpose: BoxPurpose,
}

impl BoxKey {
    /// The key with these bytes.
    pub fn from_bytes(purpose: BoxPurpose, key: &[u8; KEY_BYTES]) -> Self {
        Self { key: *key, payload: blake3::derive_key(purpose.payload_context(), key), purpose }
    }

    /// A new key.
    pub fn generate(purpose: BoxPurpose, rng: &mut impl CryptoRng) -> Self {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        rng.fill_bytes(key.as_mut_slice());
        Self::from_bytes(purpose, &key)
    }

    /// What commits to the key without giving it away.
    pub fn id(&self) -> [u8; KEY_BYTES] {
        blake3::derive_key(self.purpose.id_context(), &self.key)
    }

    /// The secret itself, to store it.
    pub fn expose(&self) -> &[u8; KEY_BYTES] {
        &self.key
    }

    /// Seals the key so that one device alone can open it. The seal does not say which.
    ///
    /// # Errors
    ///
    /// [`SealError::Recipient`], which a checked key does not cause.
    pub fn seal_to(
        &self,
        to: &SealingPublic,
        device: &DeviceId,
        rng: &mut impl CryptoRng,
    ) -> Result<[u8; DEVICE_SEAL_BYTES], SealError> {
        hpke_seal(to, &seal_info(self.purpose.seal_context(), &self.id(), device), &self.key, rng)
    }

    /// Opens a seal, if it was made to this device, and checks that the key inside has this id.
    ///
    /// # Errors
    ///
    /// [`SealError::NotForThisDevice`]; [`SealError::WrongEpochKey`] when its maker lied.
    pub fn open_seal(
        purpose: BoxPurpose,
        secret: &SealingSecret,
        id: &[u8; KEY_BYTES],
        device: &DeviceId,
        seal: &[u8; DEVICE_SEAL_BYTES],
    ) -> Result<BoxKey, SealError> {
        let key = hpke_open(secret, &seal_info(purpose.seal_context(), id, device), seal)?;
        let key = BoxKey::from_bytes(purpose, &key);
        if key.id() != *id {
            return Err(SealError::WrongEpochKey);
        }
        Ok(key)
    }

    /// Seals an envelope under the key, as [`seal_payload`] does under an epoch's.
    ///
    /// # Errors
    ///
    /// [`SealError::PlaintextTooLong`] above [`MAX_ENVELOPE_BYTES`].
    pub fn seal(
        &self,
        nonce: [u8; NONCE_BYTES],
        aad: &[u8],
        plaintext: &[u8],
    ) -> Result<Vec<u8>, SealError> {
        seal(&self.payload, nonce, aad, plaintext)
    }

    /// Opens what [`BoxKey::seal`] sealed.
    ///
    /// # Errors
    ///
    /// [`SealError::Truncated`], [`SealError::TooLong`], [`SealError::NotAuthentic`].
    pub fn open(&self, aad: &[u8], blob: &[u8]) -> Result<Vec<u8>, SealError> {
        open(&self.payload, aad, blob)
    }
}

impl fmt::Debug for BoxKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoxKey").field("purpose", &self.purpose).finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod tests;
