//! What the roster shows: plain records, made once for each fold.

use std::collections::BTreeMap;

use super::verdict::Reason;
use crate::id::{DeviceId, EntryId, EpochId, MemberId};
use crate::payload::{Proposal, Role};

/// Who a device is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Whose device it is.
    pub member: MemberId,
    /// The member's role.
    pub role: Role,
    /// The smallest supported entry that enrols the device.
    pub enrolled_by: EntryId,
}

/// Seniority: the place in the order of all members (rule 4), 0 the most senior.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rank(pub u32);

/// A device of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceRecord {
    /// Its signing key.
    pub device: DeviceId,
    /// Its X25519 sealing key.
    pub sealing: [u8; 32],
    /// The entry that enrols it.
    pub enrolled_by: EntryId,
    /// The printed phrase: the device that the member's join record committed to.
    pub paper: bool,
}

/// A member as the roster has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberRecord {
    /// The member.
    pub id: MemberId,
    /// The present role; for a pending newcomer the ticket's.
    pub role: Role,
    /// The member's devices that stand, the most senior first (rule 13).
    pub devices: Vec<DeviceRecord>,
    /// Who issued the ticket; none for founders.
    pub sponsor: Option<MemberId>,
    /// Who wrote the admission; none for founders.
    pub admitted_by: Option<MemberId>,
    /// The first admission, or the genesis.
    pub admitted_entry: EntryId,
    /// Place in the order of seniority; pending newcomers come last.
    pub rank: Rank,
    /// Not effective: a use of the ticket was lacking (rule 14), or who admitted or invited the
    /// newcomer was removed meanwhile (rule 9).
    pub pending: bool,
}

/// Why a ticket lets nobody in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TicketRefusal {
    /// It was closed.
    #[error("this ticket was closed")]
    Closed,
    /// All its uses are used.
    #[error("this ticket was used up")]
    UsedUp,
    /// Its time is over.
    #[error("this ticket has expired")]
    Expired,
    /// Its sponsor can no longer invite.
    #[error("whoever issued this ticket can no longer invite")]
    SponsorGone,
}

/// A ticket that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TicketRecord {
    /// The ticket entry.
    pub entry: EntryId,
    /// The public half of its key.
    pub key: [u8; 32],
    /// The role it grants.
    pub role: Role,
    /// Newcomers it lets in.
    pub uses: u32,
    /// Unix milliseconds after which nobody is to be admitted by it.
    pub expires: Option<u64>,
    /// Who issued it.
    pub sponsor: MemberId,
    /// Whether the sponsor could issue it now.
    pub sponsor_stands: bool,
    /// Who came in by it, first admission first.
    pub used_by: Vec<MemberId>,
    /// The first entry that closes it.
    pub closed: Option<EntryId>,
}

impl TicketRecord {
    /// Whether a newcomer may be admitted by it at this time (Unix milliseconds).
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn is_open(&self, now_ms: u64) -> Result<(), TicketRefusal> {
        if self.closed.is_some() {
            Err(TicketRefusal::Closed)
        } else if self.used_by.len() >= self.uses as usize {
            Err(TicketRefusal::UsedUp)
        } else if self.expires.is_some_and(|end| now_ms > end) {
            Err(TicketRefusal::Expired)
        } else if !self.sponsor_stands {
            Err(TicketRefusal::SponsorGone)
        } else {
            Ok(())
        }
    }
}

/// Why a newcomer is not to be admitted by this node now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AdmitRefusal {
    /// No ticket that counts here has this id. It may be on its way.
    #[error("this ticket is not known here")]
    UnknownTicket,
    /// The ticket lets nobody in.
    #[error(transparent)]
    Ticket(#[from] TicketRefusal),
    /// An admission of this record would not count.
    #[error("{0}")]
    Rules(Reason),
}

/// One seal of an epoch key for a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealedKey {
    /// HPKE encapsulated key and ciphertext.
    pub sealed: [u8; 80],
    /// Whose device made it.
    pub by: DeviceId,
    /// The seal entry.
    pub entry: EntryId,
}

/// An epoch that counts. Two entries may claim one epoch id, since an id can be copied; each has
/// its own record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EpochRecord {
    /// The epoch entry.
    pub entry: EntryId,
    /// Commits to the key.
    pub id: EpochId,
    /// Epochs that it follows; none for the first.
    pub parents: Vec<EpochId>,
    /// The parents' keys, sealed under this epoch's key.
    pub links: Vec<u8>,
    /// The device that minted it.
    pub author: DeviceId,
    /// The seals for each device, first made first. More than one may be there, and one that does
    /// not open says nothing about the next.
    pub sealed_to: BTreeMap<DeviceId, Vec<SealedKey>>,
}

/// Somebody who was a member, and was removed or left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormerMember {
    /// The member.
    pub id: MemberId,
    /// The supported entry that removed the member; several: the last in (depth, id) order.
    pub removed_by: EntryId,
    /// Who wrote that entry: the member's own id for who left.
    pub author: MemberId,
    /// Every device that was the member's, by supported entries.
    pub devices: Vec<DeviceRecord>,
}

/// What a revocation took away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevocationKind {
    /// Membership.
    Member,
    /// Every role above this one.
    Role(Role),
    /// One device.
    Device(DeviceId),
    /// All devices but this one, and every role above member: somebody vouched for who lost them.
    Vouch(DeviceId),
}

/// A revocation that was allowed to its author. Whether it is *kept* depends on others that were
/// written at the same time (rule 8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevocationRecord {
    /// The entry.
    pub entry: EntryId,
    /// What it takes away.
    pub kind: RevocationKind,
    /// From whom.
    pub subject: MemberId,
    /// Who wrote it.
    pub author: MemberId,
    /// Whether it is part of the roster.
    pub kept: bool,
    /// The stronger revocation that struck it, if that is why it is not.
    pub struck_by: Option<EntryId>,
}

/// Where a revocation cuts the logs of a device (rule 10).
///
/// It concerns entries of other classes whose roster past does not hold `by`: those that are one of
/// `heads` or an ancestor of one, by prev, count as ever; the others count with the role that is left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// The revocation.
    pub by: EntryId,
    /// What role the device has outside the cut; none: nothing there counts.
    pub left: Option<Role>,
    /// Heads of logs, ascending.
    pub heads: Vec<EntryId>,
}

/// A motion that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MotionRecord {
    /// The motion.
    pub entry: EntryId,
    /// What it proposes.
    pub proposal: Proposal,
    /// Who moved it.
    pub author: MemberId,
    /// Endorsements that would count now, one for each steward: the entry, which is the motion itself
    /// for its mover, and who made it.
    pub endorsements: Vec<(EntryId, MemberId)>,
    /// How many endorsements it takes now.
    pub needed: u32,
    /// The first supported entry that enacts it.
    pub enacted_by: Option<EntryId>,
    /// Not enacted, and about somebody or something that is still there.
    pub open: bool,
}
