//! The device record: a further device's own statement, which the entry that enrols it carries
//! verbatim.
//!
//! | offset | bytes | field |
//! | --- | --- | --- |
//! | 0 | 32 | community |
//! | 32 | 32 | member whose device it becomes |
//! | 64 | 32 | device key |
//! | 96 | 32 | sealing key |
//! | 128 | 16 | nonce |
//! | 144 | 64 | signature of the device over bytes 0..144 |
//!
//! **The device on paper.** Whoever joins may make a printed phrase first. Its device key is
//! committed to by the join record: the record's nonce is [`paper_nonce`] of that key. So the member's
//! most senior device is settled before the first one can be stolen, and nobody can put another in
//! its place.

use super::JoinError;
use crate::entry::{DeviceSecret, Signature, check_device_key, verify_context};
use crate::id::{CommunityId, DeviceId, MemberId};

const RECORD_CONTEXT: &[u8] = b"lanai v1 device record\0";
const PAPER_CONTEXT: &str = "lanai v1 paper device";
const STATEMENT_BYTES: usize = 144;

/// Bytes of a signed device record.
pub const DEVICE_RECORD_BYTES: usize = STATEMENT_BYTES + 64;

/// The nonce of a join record that commits to this device as the one on paper.
pub fn paper_nonce(device: &DeviceId) -> [u8; 16] {
    let mut nonce = [0; 16];
    let mut hash = blake3::Hasher::new_derive_key(PAPER_CONTEXT);
    hash.update(device.as_bytes()).finalize_xof().fill(&mut nonce);
    nonce
}

/// What a further device states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceStatement {
    /// The community.
    pub community: CommunityId,
    /// Whose device it becomes.
    pub member: MemberId,
    /// Its signing key.
    pub device: DeviceId,
    /// Its X25519 sealing key.
    pub sealing: [u8; 32],
    /// Random.
    pub nonce: [u8; 16],
}

impl DeviceStatement {
    fn bytes(&self) -> [u8; STATEMENT_BYTES] {
        let mut out = [0; STATEMENT_BYTES];
        let fields: [&[u8]; 5] = [
            self.community.as_bytes(),
            self.member.as_bytes(),
            self.device.as_bytes(),
            &self.sealing,
            &self.nonce,
        ];
        for (place, byte) in out.iter_mut().zip(fields.iter().flat_map(|f| f.iter())) {
            *place = *byte;
        }
        out
    }

    /// Signs with the device.
    pub fn sign(self, device: &DeviceSecret) -> SignedDevice {
        let signature = device.sign_bytes(RECORD_CONTEXT, &self.bytes());
        SignedDevice { statement: self, signature }
    }
}

/// A device record with its signature, which [`SignedDevice::check`] checks, not decoding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedDevice {
    /// The statement.
    pub statement: DeviceStatement,
    signature: Signature,
}

impl SignedDevice {
    /// Encodes; the inverse of [`SignedDevice::decode`].
    pub fn encode(&self) -> Vec<u8> {
        [&self.statement.bytes()[..], &self.signature.0].concat()
    }

    /// Decodes exactly [`DEVICE_RECORD_BYTES`].
    pub fn decode(bytes: &[u8]) -> Result<SignedDevice, JoinError> {
        let wrong = JoinError::Length(bytes.len());
        if bytes.len() != DEVICE_RECORD_BYTES {
            return Err(wrong);
        }
        let mut rest = bytes;
        fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
            let (head, tail) = rest.split_first_chunk::<N>()?;
            *rest = tail;
            Some(*head)
        }
        let mut read = || {
            let statement = DeviceStatement {
                community: CommunityId::new(take(&mut rest)?),
                member: MemberId::new(take(&mut rest)?),
                device: DeviceId::new(take(&mut rest)?),
                sealing: take(&mut rest)?,
                nonce: take(&mut rest)?,
            };
            Some(SignedDevice { statement, signature: Signature(take(&mut rest)?) })
        };
        read().ok_or(wrong)
    }

    /// Whether the device signed it and may be enrolled.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn check(&self) -> Result<(), JoinError> {
        check_device_key(&self.statement.device)?;
        let key = self.statement.device.as_bytes();
        verify_context(key, RECORD_CONTEXT, &self.statement.bytes(), &self.signature)
            .map_err(JoinError::DeviceSignature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_checks() {
        let secret = DeviceSecret::from_bytes(&[9; 32]);
        let statement = DeviceStatement {
            community: CommunityId::new([1; 32]),
            member: MemberId::new([2; 32]),
            device: secret.device(),
            sealing: [3; 32],
            nonce: [4; 16],
        };
        let signed = statement.sign(&secret);
        let bytes = signed.encode();
        assert_eq!(bytes.len(), DEVICE_RECORD_BYTES);
        assert_eq!(SignedDevice::decode(&bytes).unwrap(), signed);
        assert_eq!(signed.check(), Ok(()));
        for n in 0..bytes.len() {
            assert_eq!(SignedDevice::decode(&bytes[..n]), Err(JoinError::Length(n)));
        }
        for bit in 0..bytes.len() * 8 {
            let mut b = bytes.clone();
            b[bit / 8] ^= 1 << (bit % 8);
            assert!(SignedDevice::decode(&b).unwrap().check().is_err(), "bit {bit}");
        }
        assert_ne!(paper_nonce(&secret.device()), [0; 16]);
    }
}
