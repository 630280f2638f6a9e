//! Bodies of class 0 by which membership is taken away, given back and governed.

use minicbor::bytes::{ByteArray, ByteVec};
use minicbor::{Decode, Encode};

use super::device::{DEVICE_RECORD_BYTES, SignedDevice};
use super::talk::check_len;
use super::{GrantRole, PayloadError, Role, field_error};
use crate::entry::{Signature, VerifyError, sign_context, verify_context};
use crate::id::{CommunityId, EntryId};
use crate::limits::{MAX_CUT_HEADS, MAX_ENDORSEMENTS, MAX_REASON_BYTES, MAX_SEEN_HEADS};

const RECOVERY_CONTEXT: &[u8] = b"lanai v1 recovery act\0";

fn check_ids(field: &'static str, ids: &[ByteArray<32>], most: usize) -> Result<(), PayloadError> {
    if ids.len() > most {
        return Err(field_error(field, "too many"));
    }
    if !ids.is_sorted_by(|a, b| a[..] < b[..]) {
        return Err(field_error(field, "not ascending"));
    }
    Ok(())
}

/// What is taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(flat)]
pub enum Subject {
    /// Membership.
    #[n(0)]
    Member(#[n(0)] ByteArray<32>),
    /// Every role above this one: a demotion of the member to it.
    #[n(1)]
    Role(#[n(0)] ByteArray<32>, #[n(1)] Role),
    /// One device of a member.
    #[n(2)]
    Device(#[n(0)] ByteArray<32>),
}

impl Subject {
    fn check(&self) -> Result<(), PayloadError> {
        match self {
            Subject::Role(_, Role::Steward) => Err(field_error("role", "nothing is above it")),
            Subject::Role(..) | Subject::Member(_) | Subject::Device(_) => Ok(()),
        }
    }
}

/// Removes a member, a role or a device.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Remove {
    /// What is taken away.
    #[n(0)]
    pub subject: Subject,
    /// The heads of the subject's logs as the author saw them, ascending: what is an ancestor of
    /// them, by prev, goes on counting.
    #[n(1)]
    pub cut: Vec<ByteArray<32>>,
    /// Signature of the recovery key over [`recovery_statement`].
    #[n(2)]
    pub recovery: Option<ByteArray<64>>,
}

impl Remove {
    pub(super) fn check(&self) -> Result<(), PayloadError> {
        self.subject.check()?;
        check_ids("cut", &self.cut, MAX_CUT_HEADS)
    }
}

/// The bytes that the recovery key signs: which community, what is done (the body without the
/// signature) and from which roster heads, so that the act cannot be said again elsewhere.
pub fn recovery_statement(community: &CommunityId, heads: &[EntryId], act: &[u8]) -> Vec<u8> {
    let mut bytes = community.as_bytes().to_vec();
    bytes.extend_from_slice(&(heads.len() as u64).to_be_bytes());
    heads.iter().for_each(|h| bytes.extend_from_slice(h.as_bytes()));
    bytes.extend_from_slice(act);
    bytes
}

/// Signs an act with the secret of the recovery key.
pub fn sign_recovery(seed: &[u8; 32], statement: &[u8]) -> Signature {
    sign_context(seed, RECOVERY_CONTEXT, statement)
}

/// Checks that the recovery key signed an act.
///
/// # Errors
///
/// When it did not.
pub fn verify_recovery(
    key: &[u8; 32],
    statement: &[u8],
    signature: &[u8; 64],
) -> Result<(), VerifyError> {
    verify_context(key, RECOVERY_CONTEXT, statement, &Signature(*signature))
}

/// What stewards decide together.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(flat)]
#[allow(clippy::large_enum_variant)] // one a motion, and short-lived
pub enum Proposal {
    /// Takes something away.
    #[n(0)]
    Remove(#[n(0)] Subject),
    /// Grants a role.
    #[n(1)]
    Grant(#[n(0)] GrantRole),
}

/// Opens a motion.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Motion {
    /// What is to be done.
    #[n(0)]
    pub proposal: Proposal,
}

impl Motion {
    pub(super) fn check(&self) -> Result<(), PayloadError> {
        match &self.proposal {
            Proposal::Remove(subject) => subject.check(),
            Proposal::Grant(GrantRole { recovery: Some(_), .. }) => {
                Err(field_error("recovery", "a motion needs none"))
            }
            Proposal::Grant(grant) => grant.check(),
        }
    }
}

/// Does what the motion in `refs[0]` proposes.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Enact {
    /// The endorsements, ascending by id. The motion itself, named here, is the endorsement of its
    /// author.
    #[n(0)]
    pub endorsements: Vec<ByteArray<32>>,
    /// As [`Remove::cut`].
    #[n(1)]
    pub cut: Vec<ByteArray<32>>,
}

impl Enact {
    pub(super) fn check(&self) -> Result<(), PayloadError> {
        check_ids("endorsements", &self.endorsements, MAX_ENDORSEMENTS)?;
        check_ids("cut", &self.cut, MAX_CUT_HEADS)
    }
}

/// Enrols a further device of a member.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct AddDevice {
    /// The device's signed record, verbatim.
    #[n(0)]
    pub record: ByteVec,
    /// The author vouches for a member who lost all devices: those enrolled before are revoked, and
    /// every role above member is taken away. The heads of their logs, as [`Remove::cut`].
    #[n(1)]
    pub vouch: Option<Vec<ByteArray<32>>>,
}

impl AddDevice {
    /// The device record, decoded.
    pub fn signed_record(&self) -> Result<SignedDevice, PayloadError> {
        decode_device(&self.record)
    }

    pub(super) fn check(&self) -> Result<(), PayloadError> {
        check_device(&self.record)?;
        self.vouch.as_deref().map_or(Ok(()), |cut| check_ids("vouch", cut, MAX_CUT_HEADS))
    }
}

fn decode_device(record: &[u8]) -> Result<SignedDevice, PayloadError> {
    SignedDevice::decode(record).map_err(|_| field_error("record", "not a device record"))
}

fn check_device(record: &[u8]) -> Result<(), PayloadError> {
    if record.len() != DEVICE_RECORD_BYTES {
        return Err(field_error("record", "not a device record"));
    }
    Ok(())
}

/// Joins roster heads, and says which heads of logs its author holds.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Default)]
#[cbor(map)]
pub struct Checkpoint {
    /// Heads of logs, ascending.
    #[n(0)]
    #[cbor(default)]
    pub seen: Vec<ByteArray<32>>,
}

impl Checkpoint {
    pub(super) fn check(&self) -> Result<(), PayloadError> {
        check_ids("seen", &self.seen, MAX_SEEN_HEADS)
    }
}

/// Widens the cut of the removal in `refs[0]`.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Accept {
    /// Heads of the subject's logs, ascending: what is an ancestor of them counts too.
    #[n(0)]
    pub heads: Vec<ByteArray<32>>,
}

impl Accept {
    pub(super) fn check(&self) -> Result<(), PayloadError> {
        check_ids("heads", &self.heads, MAX_CUT_HEADS)
    }
}

/// Takes a member back whom the removal in `refs[0]` took out, with a new device.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Readmit {
    /// The new device's signed record, verbatim.
    #[n(0)]
    pub record: ByteVec,
}

impl Readmit {
    /// The device record, decoded.
    pub fn signed_record(&self) -> Result<SignedDevice, PayloadError> {
        decode_device(&self.record)
    }

    pub(super) fn check(&self) -> Result<(), PayloadError> {
        check_device(&self.record)
    }
}

/// Who is meant by the roster act in `refs[0]`, and why: sealed, while the act itself names nobody.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Reason {
    /// Why.
    #[n(0)]
    pub text: String,
}

impl Reason {
    pub(super) fn check(&self) -> Result<(), PayloadError> {
        check_len("text", &self.text, MAX_REASON_BYTES)
    }
}
