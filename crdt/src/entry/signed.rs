//! Signatures and authenticity. See the module above for the three stages of belief.

use std::fmt;

use curve25519_dalek::edwards::CompressedEdwardsY;
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};

use super::header::{Header, HeaderError};
use crate::id::{DeviceId, EntryId, PayloadHash};

/// Bytes of a signature.
pub const SIGNATURE_BYTES: usize = 64;

const ENTRY_CONTEXT: &[u8] = b"lanai v1 entry\0";

/// An Ed25519 signature as sent and stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Signature(pub [u8; SIGNATURE_BYTES]);

/// Why a header is not authentic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// There is no signature, and no authentic successor was given.
    #[error("not signed")]
    Unsigned,
    /// The signature does not fit the header and the device.
    #[error("bad signature")]
    BadSignature,
    /// The device key is not an acceptable one.
    #[error("bad device key: {0}")]
    BadKey(#[from] DeviceKeyError),
    /// The given successor does not name this header as its previous one in the same log.
    #[error("not the previous entry of the one that vouches for it")]
    NotPrev,
}

/// Why 32 bytes are not acceptable as a device key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DeviceKeyError {
    /// Not a point on the curve.
    #[error("not a point on the curve")]
    NotAPoint,
    /// A second encoding of a point.
    #[error("not the canonical encoding")]
    NotCanonical,
    /// A point of small order verifies signatures that nobody made.
    #[error("small order")]
    SmallOrder,
    /// A point outside the prime-order group.
    #[error("not free of torsion")]
    Torsion,
}

/// Checks that a key may be enrolled: canonical, not of small order, torsion-free (RFC 8032, and
/// "Taming the many EdDSAs", Chalkias et al. 2020).
pub fn check_device_key(key: &DeviceId) -> Result<(), DeviceKeyError> {
    let point =
        CompressedEdwardsY(*key.as_bytes()).decompress().ok_or(DeviceKeyError::NotAPoint)?;
    if point.compress().as_bytes() != key.as_bytes() {
        return Err(DeviceKeyError::NotCanonical);
    }
    if point.is_small_order() {
        return Err(DeviceKeyError::SmallOrder);
    }
    if !point.is_torsion_free() {
        return Err(DeviceKeyError::Torsion);
    }
    Ok(())
}

/// The signing key of a device. Never printed; wiped when dropped.
#[derive(Clone)]
pub struct DeviceSecret(SigningKey);

impl DeviceSecret {
    /// The key with this 32-byte seed (RFC 8032's private key).
    pub fn from_bytes(seed: &[u8; 32]) -> DeviceSecret {
        DeviceSecret(SigningKey::from_bytes(seed))
    }

    /// The seed, to be stored beside the store with mode 0600.
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// The public half.
    pub fn device(&self) -> DeviceId {
        DeviceId::new(self.0.verifying_key().to_bytes())
    }

    /// Signs a header.
    pub fn sign(&self, header: &Header) -> Verified {
        let bytes = header.encode();
        let signature = Signature(self.0.sign(&message(ENTRY_CONTEXT, &bytes)).to_bytes());
        let id = Header::id_of(&bytes);
        Verified {
            signed: Signed { bytes, header: header.clone(), id, signature: Some(signature) },
        }
    }

    /// Signs `bytes` for a purpose other than an entry. `context` ends in a zero byte.
    pub fn sign_bytes(&self, context: &[u8], bytes: &[u8]) -> Signature {
        sign_context(&self.0.to_bytes(), context, bytes)
    }
}

impl fmt::Debug for DeviceSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceSecret({})", self.device())
    }
}

/// Signs `context || bytes` with a seed: for one-time keys such as a ticket's.
pub fn sign_context(seed: &[u8; 32], context: &[u8], bytes: &[u8]) -> Signature {
    Signature(SigningKey::from_bytes(seed).sign(&message(context, bytes)).to_bytes())
}

/// Checks a signature over `context || bytes` by `key`, strictly.
pub fn verify_context(
    key: &[u8; 32],
    context: &[u8],
    bytes: &[u8],
    signature: &Signature,
) -> Result<(), VerifyError> {
    let key = VerifyingKey::from_bytes(key).map_err(|_| DeviceKeyError::NotAPoint)?;
    let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
    key.verify_strict(&message(context, bytes), &signature).map_err(|_| VerifyError::BadSignature)
}

fn message(context: &[u8], bytes: &[u8]) -> Vec<u8> {
    [context, bytes].concat()
}

/// The hash by which a header commits to its payload blob.
pub fn payload_hash(blob: &[u8]) -> PayloadHash {
    PayloadHash::new(blake3::hash(blob).into())
}

/// A well-formed header that nobody has vouched for yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    bytes: Vec<u8>,
    header: Header,
    id: EntryId,
    signature: Option<Signature>,
}

impl Signed {
    /// Decodes a header that came with or without a signature.
    pub fn decode(bytes: Vec<u8>, signature: Option<Signature>) -> Result<Signed, HeaderError> {
        let header = Header::decode(&bytes)?;
        let id = Header::id_of(&bytes);
        Ok(Signed { bytes, header, id, signature })
    }

    /// The header, not yet to be believed.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The exact bytes that are signed and hashed.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The entry id. It says nothing about who wrote it.
    pub fn id(&self) -> EntryId {
        self.id
    }

    /// The signature it came with.
    pub fn signature(&self) -> Option<&Signature> {
        self.signature.as_ref()
    }

    /// Believes it by its own signature.
    pub fn verify(self) -> Result<Verified, VerifyError> {
        let signature = self.signature.as_ref().ok_or(VerifyError::Unsigned)?;
        verify_context(self.header.log.device.as_bytes(), ENTRY_CONTEXT, &self.bytes, signature)?;
        Ok(Verified { signed: self })
    }

    /// Believes it by the chain rule: `next` is authentic and names it as its previous entry.
    ///
    /// A signature that came along is kept only if it is good, so that a node never hands on a bad
    /// one.
    pub fn verify_by_next(self, next: &Header) -> Result<Verified, VerifyError> {
        let follows = next.prev == self.id
            && next.log == self.header.log
            && self.header.seq.checked_add(1) == Some(next.seq);
        if !follows {
            return Err(VerifyError::NotPrev);
        }
        let mut signed = self;
        if let Some(signature) = &signed.signature
            && verify_context(
                signed.header.log.device.as_bytes(),
                ENTRY_CONTEXT,
                &signed.bytes,
                signature,
            )
            .is_err()
        {
            signed.signature = None;
        }
        Ok(Verified { signed })
    }
}

/// An authentic header: its device wrote these bytes. Whether the device belongs to the community,
/// and whether the entry counts, is the roster's business.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    signed: Signed,
}

impl Verified {
    /// Takes back what was verified before it was stored in a place that only this node writes.
    pub fn from_trusted_storage(
        bytes: Vec<u8>,
        signature: Option<Signature>,
    ) -> Result<Verified, HeaderError> {
        Signed::decode(bytes, signature).map(|signed| Verified { signed })
    }

    /// The header.
    pub fn header(&self) -> &Header {
        &self.signed.header
    }

    /// The exact bytes that are signed and hashed.
    pub fn bytes(&self) -> &[u8] {
        &self.signed.bytes
    }

    /// The entry id.
    pub fn id(&self) -> EntryId {
        self.signed.id
    }

    /// The entry's own signature, where it is known. It may be missing by the chain rule.
    pub fn signature(&self) -> Option<&Signature> {
        self.signed.signature.as_ref()
    }

    /// Forgets that it was verified: to hand it to something that verifies by itself.
    pub fn into_signed(self) -> Signed {
        self.signed
    }

    /// Whether `blob` is the payload that this header commits to.
    pub fn matches_payload(&self, blob: &[u8]) -> bool {
        blob.len() == self.signed.header.payload_len as usize
            && payload_hash(blob) == self.signed.header.payload_hash
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Hlc;
    use crate::entry::HeaderTail;
    use crate::id::{CommunityId, EpochRef, LogId, LogNumber};

    fn header(secret: &DeviceSecret, seq: u64, prev: EntryId) -> Header {
        Header {
            class: 2,
            community: CommunityId::new([1; 32]),
            log: LogId { device: secret.device(), number: LogNumber([3; 8]) },
            seq,
            prev,
            time: Hlc::from_millis(1000 + seq),
            epoch: EpochRef([5; 16]),
            payload_hash: payload_hash(b"hello"),
            payload_len: 5,
            tail: HeaderTail::V1 { heads: vec![], refs: vec![] },
        }
    }

    fn strip(v: &Verified) -> Signed {
        Signed::decode(v.bytes().to_vec(), None).unwrap()
    }

    #[test]
    fn own_signature_and_chain_rule() {
        let secret = DeviceSecret::from_bytes(&[7; 32]);
        let a = secret.sign(&header(&secret, 0, EntryId::ZERO));
        let b = secret.sign(&header(&secret, 1, a.id()));
        assert!(a.matches_payload(b"hello") && !a.matches_payload(b"hellp"));
        let again = Signed::decode(a.bytes().to_vec(), a.signature().copied()).unwrap();
        assert_eq!(again.verify().unwrap(), a);

        assert_eq!(strip(&a).verify(), Err(VerifyError::Unsigned));
        assert_eq!(strip(&a).verify_by_next(b.header()).unwrap().id(), a.id());
        assert_eq!(strip(&b).verify_by_next(a.header()), Err(VerifyError::NotPrev));

        let mut other_log = b.header().clone();
        other_log.log.number = LogNumber([4; 8]);
        assert_eq!(strip(&a).verify_by_next(&other_log), Err(VerifyError::NotPrev));
        let mut gap = b.header().clone();
        gap.seq = 2;
        assert_eq!(strip(&a).verify_by_next(&gap), Err(VerifyError::NotPrev));
    }

    #[test]
    fn chain_rule_drops_a_bad_signature_and_keeps_a_good_one() {
        let secret = DeviceSecret::from_bytes(&[7; 32]);
        let a = secret.sign(&header(&secret, 0, EntryId::ZERO));
        let b = secret.sign(&header(&secret, 1, a.id()));
        let bad = Signed::decode(a.bytes().to_vec(), Some(Signature([9; 64]))).unwrap();
        assert_eq!(bad.verify_by_next(b.header()).unwrap().signature(), None);
        let good = Signed::decode(a.bytes().to_vec(), a.signature().copied()).unwrap();
        assert_eq!(good.verify_by_next(b.header()).unwrap().signature(), a.signature());
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let secret = DeviceSecret::from_bytes(&[7; 32]);
        let a = secret.sign(&header(&secret, 3, EntryId::new([8; 32])));
        let signature = *a.signature().unwrap();
        for bit in 0..a.bytes().len() * 8 {
            let mut bytes = a.bytes().to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            if let Ok(signed) = Signed::decode(bytes, Some(signature)) {
                assert!(signed.verify().is_err(), "bit {bit}");
            }
        }
        for bit in 0..512 {
            let mut s = signature;
            s.0[bit / 8] ^= 1 << (bit % 8);
            assert!(Signed::decode(a.bytes().to_vec(), Some(s)).unwrap().verify().is_err());
        }
    }

    #[test]
    fn crafted_keys_are_refused_at_enrolment() {
        assert_eq!(check_device_key(&DeviceSecret::from_bytes(&[7; 32]).device()), Ok(()));
        // The identity, and the point of order two.
        let mut identity = [0; 32];
        identity[0] = 1;
        assert_eq!(check_device_key(&DeviceId::new(identity)), Err(DeviceKeyError::SmallOrder));
        // y = p + 1 is a second encoding of the identity.
        let mut twice = [0xff; 32];
        (twice[0], twice[31]) = (0xee, 0x7f);
        assert_eq!(check_device_key(&DeviceId::new(twice)), Err(DeviceKeyError::NotCanonical));
        assert_eq!(check_device_key(&DeviceId::new([2; 32])), Err(DeviceKeyError::NotAPoint));
        // A good key plus a point of order eight.
        let torsion = curve25519_dalek::constants::EIGHT_TORSION[1];
        let good = CompressedEdwardsY(*DeviceSecret::from_bytes(&[7; 32]).device().as_bytes());
        let mixed = (good.decompress().unwrap() + torsion).compress();
        assert_eq!(check_device_key(&DeviceId::new(mixed.0)), Err(DeviceKeyError::Torsion));
    }
}
