//! The join record: a newcomer's own statement, which an admission carries verbatim.
//!
//! | offset | bytes | field |
//! | --- | --- | --- |
//! | 0 | 32 | community (zero for a founder: it does not exist yet) |
//! | 32 | 32 | id of the ticket entry (zero for a founder) |
//! | 64 | 32 | device key |
//! | 96 | 32 | sealing key |
//! | 128 | 16 | nonce |
//! | 144 | 64 | signature of the device over bytes 0..144 |
//! | 208 | 64 | signature of the ticket key over the same bytes (zero for a founder) |
//!
//! The member id is a hash over bytes 0..144, so whoever admits a newcomer can change nothing, and
//! two nodes that admit one newcomer at the same time make one member.

use crate::entry::{
    DeviceKeyError, DeviceSecret, Signature, VerifyError, check_device_key, sign_context,
    verify_context,
};
use crate::id::{CommunityId, DeviceId, EntryId, MemberId};

const RECORD_CONTEXT: &[u8] = b"lanai v1 join record\0";
const MEMBER_CONTEXT: &str = "lanai v1 member id";
const STATEMENT_BYTES: usize = 144;

/// Bytes of a signed join record.
pub const JOIN_RECORD_BYTES: usize = STATEMENT_BYTES + 128;

/// What a newcomer states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinRecord {
    /// The community to join; zero for a founder.
    pub community: CommunityId,
    /// The ticket entry used; zero for a founder.
    pub ticket: EntryId,
    /// The newcomer's first device.
    pub device: DeviceId,
    /// The device's X25519 sealing key.
    pub sealing: [u8; 32],
    /// Random, so that a person who comes back later is a new member.
    pub nonce: [u8; 16],
}

/// Why a join record is not acceptable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// Not exactly [`JOIN_RECORD_BYTES`].
    #[error("a join record has {JOIN_RECORD_BYTES} bytes, not {0}")]
    Length(usize),
    /// The device key may not be enrolled.
    #[error("device key: {0}")]
    DeviceKey(#[from] DeviceKeyError),
    /// The newcomer's device did not sign it.
    #[error("not signed by its device: {0}")]
    DeviceSignature(VerifyError),
    /// The ticket's secret did not sign it.
    #[error("not signed with the ticket: {0}")]
    TicketSignature(VerifyError),
    /// A founder's record names a ticket or a community, or a newcomer's does not.
    #[error("founders come without a ticket, everybody else with one")]
    Founder,
}

impl JoinRecord {
    fn statement(&self) -> [u8; STATEMENT_BYTES] {
        let mut out = [0; STATEMENT_BYTES];
        let fields: [&[u8]; 5] = [
            self.community.as_bytes(),
            self.ticket.as_bytes(),
            self.device.as_bytes(),
            &self.sealing,
            &self.nonce,
        ];
        for (place, byte) in out.iter_mut().zip(fields.iter().flat_map(|f| f.iter())) {
            *place = *byte;
        }
        out
    }

    /// The id of the member whom this record brings in.
    pub fn member(&self) -> MemberId {
        let hash =
            blake3::Hasher::new_derive_key(MEMBER_CONTEXT).update(&self.statement()).finalize();
        MemberId::new(hash.into())
    }

    /// Signs with the device and, for everybody but a founder, with the ticket's secret.
    pub fn sign(self, device: &DeviceSecret, ticket: Option<&[u8; 32]>) -> SignedJoinRecord {
        let statement = self.statement();
        SignedJoinRecord {
            device_signature: device.sign_bytes(RECORD_CONTEXT, &statement),
            ticket_signature: ticket
                .map_or(Signature([0; 64]), |seed| sign_context(seed, RECORD_CONTEXT, &statement)),
            record: self,
        }
    }
}

/// A join record with its signatures. They are checked by [`SignedJoinRecord::check_newcomer`] and
/// [`SignedJoinRecord::check_founder`], not by decoding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedJoinRecord {
    /// The statement.
    pub record: JoinRecord,
    device_signature: Signature,
    ticket_signature: Signature,
}

impl SignedJoinRecord {
    /// Encodes; the inverse of [`SignedJoinRecord::decode`].
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.record.statement().to_vec();
        out.extend_from_slice(&self.device_signature.0);
        out.extend_from_slice(&self.ticket_signature.0);
        out
    }

    /// Decodes exactly [`JOIN_RECORD_BYTES`].
    pub fn decode(bytes: &[u8]) -> Result<SignedJoinRecord, JoinError> {
        let wrong = JoinError::Length(bytes.len());
        let mut rest = bytes;
        let mut take = |n: usize| -> Result<&[u8], JoinError> {
            let (head, tail) = rest.split_at_checked(n).ok_or(wrong)?;
            rest = tail;
            Ok(head)
        };
        fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
            bytes.try_into().unwrap_or([0; N])
        }
        let record = JoinRecord {
            community: CommunityId::new(array(take(32)?)),
            ticket: EntryId::new(array(take(32)?)),
            device: DeviceId::new(array(take(32)?)),
            sealing: array(take(32)?),
            nonce: array(take(16)?),
        };
        let device_signature = Signature(array(take(64)?));
        let ticket_signature = Signature(array(take(64)?));
        if rest.is_empty() {
            Ok(SignedJoinRecord { record, device_signature, ticket_signature })
        } else {
            Err(wrong)
        }
    }

    fn check_device(&self) -> Result<(), JoinError> {
        check_device_key(&self.record.device)?;
        let key = self.record.device.as_bytes();
        verify_context(key, RECORD_CONTEXT, &self.record.statement(), &self.device_signature)
            .map_err(JoinError::DeviceSignature)
    }

    /// Checks a founder's record.
    pub fn check_founder(&self) -> Result<(), JoinError> {
        if !self.record.community.is_zero() || !self.record.ticket.is_zero() {
            return Err(JoinError::Founder);
        }
        self.check_device()
    }

    /// Checks a newcomer's record against the ticket's public key.
    pub fn check_newcomer(&self, ticket_key: &[u8; 32]) -> Result<(), JoinError> {
        if self.record.community.is_zero() || self.record.ticket.is_zero() {
            return Err(JoinError::Founder);
        }
        self.check_device()?;
        verify_context(ticket_key, RECORD_CONTEXT, &self.record.statement(), &self.ticket_signature)
            .map_err(JoinError::TicketSignature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(device: &DeviceSecret) -> JoinRecord {
        JoinRecord {
            community: CommunityId::new([1; 32]),
            ticket: EntryId::new([2; 32]),
            device: device.device(),
            sealing: [3; 32],
            nonce: [4; 16],
        }
    }

    #[test]
    fn round_trip_and_checks() {
        let device = DeviceSecret::from_bytes(&[9; 32]);
        let ticket = DeviceSecret::from_bytes(&[8; 32]);
        let signed = record(&device).sign(&device, Some(&[8; 32]));
        let bytes = signed.encode();
        assert_eq!(bytes.len(), JOIN_RECORD_BYTES);
        let back = SignedJoinRecord::decode(&bytes).unwrap();
        assert_eq!(back, signed);
        let ticket_key = *ticket.device().as_bytes();
        assert_eq!(back.check_newcomer(&ticket_key), Ok(()));
        assert_eq!(back.check_founder(), Err(JoinError::Founder));
        for n in 0..bytes.len() {
            assert_eq!(SignedJoinRecord::decode(&bytes[..n]), Err(JoinError::Length(n)));
        }
        for bit in 0..bytes.len() * 8 {
            let mut b = bytes.clone();
            b[bit / 8] ^= 1 << (bit % 8);
            let altered = SignedJoinRecord::decode(&b).unwrap();
            assert!(altered.check_newcomer(&ticket_key).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn member_id_ignores_signatures() {
        let device = DeviceSecret::from_bytes(&[9; 32]);
        let a = record(&device).sign(&device, Some(&[8; 32]));
        let b = record(&device).sign(&device, Some(&[7; 32]));
        assert_eq!(a.record.member(), b.record.member());
        assert_eq!(
            a.record.member().full(),
            "dksq1pn9vwdt9a20hhjyeykhb8tmrc1vevemb6zxdm60rv2jmtmg"
        );
    }
}
