//! Bodies of class 0: keys, ids and roles. Nothing here is sealed, so nothing here names a person.

use minicbor::bytes::{ByteArray, ByteVec};
use minicbor::{Decode, Encode};

use super::{JOIN_RECORD_BYTES, PayloadError, SignedJoinRecord, field_error};
use crate::limits::{MAX_EPOCH_PARENTS, MAX_FOUNDERS, MAX_SEALS, MAX_TICKET_USES};

/// What a member may do. The order is the order of power.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum Role {
    /// Takes part.
    #[n(0)]
    Member,
    /// Tends topics.
    #[n(1)]
    Lead,
    /// Admits and removes.
    #[n(2)]
    Steward,
}

impl Role {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Role::Member => "member",
            Role::Lead => "lead",
            Role::Steward => "steward",
        }
    }
}

/// Who may issue tickets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum InvitePolicy {
    /// Every member.
    #[n(0)]
    Members,
    /// Leads and stewards.
    #[n(1)]
    Leads,
    /// Stewards only.
    #[n(2)]
    Stewards,
}

impl InvitePolicy {
    /// The least role that may invite.
    pub const fn least_role(self) -> Role {
        match self {
            InvitePolicy::Members => Role::Member,
            InvitePolicy::Leads => Role::Lead,
            InvitePolicy::Stewards => Role::Steward,
        }
    }
}

/// How far back newcomers read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum History {
    /// To the first day.
    #[default]
    #[n(0)]
    All,
    /// To their admission.
    #[n(1)]
    FromAdmission,
}

impl History {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            History::All => "all",
            History::FromAdmission => "admission",
        }
    }
}

/// Founds a community. The founders are its first stewards, in order of seniority.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Genesis {
    /// Version of the rules that the community lives by.
    #[n(0)]
    pub rules: u16,
    /// Founders' signed join records.
    #[n(1)]
    pub founders: Vec<ByteVec>,
    /// Ed25519 key whose secret is printed at founding.
    #[n(2)]
    pub recovery_key: ByteArray<32>,
    /// Quorum of stewards as a fraction: numerator.
    #[n(3)]
    pub quorum_num: u8,
    /// Quorum of stewards as a fraction: denominator.
    #[n(4)]
    pub quorum_den: u8,
    /// Who may invite.
    #[n(5)]
    pub invite: InvitePolicy,
    /// How far back newcomers read; absent: all.
    #[n(6)]
    pub history: Option<History>,
}

impl Genesis {
    /// The founders' records, decoded.
    pub fn founder_records(&self) -> Result<Vec<SignedJoinRecord>, PayloadError> {
        self.founders
            .iter()
            .map(|f| {
                SignedJoinRecord::decode(f)
                    .map_err(|_| field_error("founders", "not a join record"))
            })
            .collect()
    }

    pub(super) fn check(&self) -> Result<(), PayloadError> {
        if self.founders.is_empty() || self.founders.len() > MAX_FOUNDERS {
            return Err(field_error("founders", "none, or too many"));
        }
        if self.quorum_num == 0 || self.quorum_num > self.quorum_den {
            return Err(field_error("quorum", "not a fraction between 0 and 1"));
        }
        self.founder_records().map(|_| ())
    }
}

/// Lets somebody in who knows the secret of its key.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Ticket {
    /// Ed25519 key; the secret half is only in the ticket's text.
    #[n(0)]
    pub key: ByteArray<32>,
    /// Role granted on entry.
    #[n(1)]
    pub role: Role,
    /// How many newcomers may use it.
    #[n(2)]
    pub uses: u32,
    /// Unix milliseconds after which nobody is admitted by it.
    #[n(3)]
    pub expires: Option<u64>,
}

impl Ticket {
    pub(super) fn check(&self) -> Result<(), PayloadError> {
        if self.uses == 0 || self.uses > MAX_TICKET_USES {
            return Err(field_error("uses", "none, or too many"));
        }
        Ok(())
    }
}

/// Admits the newcomer who signed the record, by the ticket in `refs[0]`.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Admit {
    /// The signed join record, verbatim.
    #[n(0)]
    pub record: ByteVec,
}

impl Admit {
    /// The join record, decoded.
    pub fn signed_record(&self) -> Result<SignedJoinRecord, PayloadError> {
        SignedJoinRecord::decode(&self.record)
            .map_err(|_| field_error("record", "not a join record"))
    }

    pub(super) fn check(&self) -> Result<(), PayloadError> {
        if self.record.len() != JOIN_RECORD_BYTES {
            return Err(field_error("record", "not a join record"));
        }
        Ok(())
    }
}

/// Grants a role to a member.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct GrantRole {
    /// The member.
    #[n(0)]
    pub member: ByteArray<32>,
    /// The role.
    #[n(1)]
    pub role: Role,
    /// Signature of the recovery key over [`recovery_statement`](super::recovery_statement).
    #[n(2)]
    pub recovery: Option<ByteArray<64>>,
}

impl GrantRole {
    pub(super) fn check(&self) -> Result<(), PayloadError> {
        Ok(())
    }
}

/// A new epoch of a circle.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Epoch {
    /// Id of the epoch key; commits to it.
    #[n(0)]
    pub id: ByteArray<32>,
    /// Epochs that this one follows.
    #[n(1)]
    pub parents: Vec<ByteArray<32>>,
    /// Sealed under the key: the parents' keys, in the same order, 32 bytes each.
    #[n(2)]
    pub links: ByteVec,
}

impl Epoch {
    pub(super) fn check(&self) -> Result<(), PayloadError> {
        if self.parents.len() > MAX_EPOCH_PARENTS {
            return Err(field_error("parents", "too many"));
        }
        if self.links.len() > 24 + 16 + 32 * MAX_EPOCH_PARENTS {
            return Err(field_error("links", "too long"));
        }
        Ok(())
    }
}

/// An epoch key sealed to one device.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct DeviceSeal {
    /// The device.
    #[n(0)]
    pub device: ByteArray<32>,
    /// HPKE encapsulated key and ciphertext.
    #[n(1)]
    pub sealed: ByteArray<80>,
}

/// Seals of one epoch key for devices, ascending by device.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Seal {
    /// Id of the epoch.
    #[n(0)]
    pub epoch: ByteArray<32>,
    /// One seal a device.
    #[n(1)]
    pub seals: Vec<DeviceSeal>,
}

impl Seal {
    pub(super) fn check(&self) -> Result<(), PayloadError> {
        if self.seals.len() > MAX_SEALS {
            return Err(field_error("seals", "too many"));
        }
        if !self.seals.is_sorted_by(|a, b| a.device[..] < b.device[..]) {
            return Err(field_error("seals", "not in ascending order of device"));
        }
        Ok(())
    }
}
