//! Whether an entry counts, and if not, why: in words that can be shown to people.

use super::entry::RecordFault;
use crate::id::EntryId;
use crate::payload::Role;

/// What the fold decided about one roster entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is part of the roster.
    Counts,
    /// Ancestors are missing, and these would help (at most
    /// [`MAX_MISSING_LISTED`](super::MAX_MISSING_LISTED), ascending).
    Waiting {
        /// Ids of entries that are not here.
        missing: Vec<EntryId>,
    },
    /// It is here and changes nothing.
    Unsupported(Reason),
}

impl Verdict {
    /// Whether the entry is part of the roster.
    pub fn counts(&self) -> bool {
        *self == Verdict::Counts
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Verdict::Counts => f.write_str("it counts"),
            Verdict::Waiting { missing } => {
                write!(f, "it waits for {} entries that are not here", missing.len())?;
                if missing.len() >= super::MAX_MISSING_LISTED {
                    f.write_str(" or more")?;
                }
                Ok(())
            }
            Verdict::Unsupported(reason) => write!(f, "{reason}"),
        }
    }
}

/// Why an entry does not count. Its text is a sentence without the full stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// Its header names another community, or it is another community's genesis.
    #[error("it belongs to another community")]
    OtherCommunity,
    /// A kind that this version does not know or use.
    #[error("this version does not know what it says (kind {0}); a later one may")]
    UnknownKind(u16),
    /// It says the kind of thing that only a genesis may say, or a genesis says something else.
    #[error("it stands where only a genesis may stand, or the other way round")]
    NotGenesis,
    /// A founder's record is not good.
    #[error("a founder's join record is not good: {0}")]
    BadFounder(RecordFault),
    /// A founder or a founder's device is named twice.
    #[error("it names a founder twice")]
    FounderTwice,
    /// The genesis was not written by a founder.
    #[error("it was not written by one of the founders")]
    NotByFounder,
    /// Its author is not enrolled in the roster that it names.
    #[error("its author was not a member in the roster that it names")]
    AuthorNotMember,
    /// The invite policy asks for more.
    #[error("its author was a {has}, and inviting takes a {needs} here", has = .has.word(), needs = .needs.word())]
    MayNotInvite {
        /// What the author was.
        has: Role,
        /// What the policy asks for.
        needs: Role,
    },
    /// Nobody grants a role above the own one.
    #[error("its author was a {own} and cannot make anyone a {granted}", own = .own.word(), granted = .granted.word())]
    RoleAboveOwn {
        /// The author's role.
        own: Role,
        /// What was to be granted.
        granted: Role,
    },
    /// The grantee is no member in the roster that the grant names.
    #[error("whom it names was not a member in the roster that it names")]
    GranteeNotMember,
    /// `refs[0]` is not a ticket that counts.
    #[error("it names no ticket that counts")]
    NoTicket,
    /// Somebody else's ticket.
    #[error("a ticket is closed by its sponsor or a steward, and its author was neither")]
    NotOwnTicket,
    /// The record was made for another ticket than the one named.
    #[error("the newcomer's record was made for another ticket")]
    OtherTicket,
    /// The record was made for another community.
    #[error("the newcomer's record was made for another community")]
    RecordOfOtherCommunity,
    /// The newcomer's record is not good.
    #[error("the newcomer's record is not good: {0}")]
    BadRecord(RecordFault),
    /// The ticket was closed, and the admitter knew.
    #[error("the ticket had been closed")]
    TicketClosed,
    /// Whoever issued the ticket no longer could.
    #[error("whoever issued the ticket could no longer invite")]
    SponsorGone,
    /// The newcomer's device belongs to a member already.
    #[error("the newcomer's device belongs to another member already")]
    DeviceTaken,
    /// All uses went to admissions that come before. The newcomer is *pending*.
    #[error("others used the ticket up first ({uses} in all), so the newcomer is pending")]
    TicketUsedUp {
        /// Uses that the ticket allows.
        uses: u32,
    },
    /// A revocation at the same time took away what it rests on (rule 8).
    #[error("somebody had meanwhile taken away what its author wrote it with (entry {})", .by.full())]
    Struck {
        /// The revocation.
        by: EntryId,
    },
    /// An admission whose admitter or sponsor a revocation at the same time took the right from. The
    /// newcomer is *pending*.
    #[error("who admitted or invited the newcomer had meanwhile been removed or demoted (entry {}), so the newcomer is pending", .by.full())]
    AdmitterStruck {
        /// The revocation.
        by: EntryId,
    },
    /// It takes a steward.
    #[error("it takes a steward, and its author was a {has}", has = .has.word())]
    NotSteward {
        /// What the author was.
        has: Role,
    },
    /// The subject is a steward, and not junior to the author.
    #[error("whom it concerns was a steward, and not junior to its author")]
    NotSenior,
    /// An own device that was there before the one used.
    #[error("the device it revokes is senior to the one it was written with")]
    SeniorDevice,
    /// Whom or what it is about is not there.
    #[error(
        "whom it is about was not a member, or the device not in use, in the roster that it names"
    )]
    SubjectNotMember,
    /// `refs[0]` is not a motion that counts.
    #[error("it names no motion that counts")]
    NoMotion,
    /// Fewer endorsements than the quorum.
    #[error("{has} stewards had endorsed it, and it takes {needs}")]
    TooFewEndorsements {
        /// Endorsements that count.
        has: u32,
        /// What the quorum asks for.
        needs: u32,
    },
    /// A device record for another member than the author.
    #[error("a device is added by a device of the same member, and its author was somebody else")]
    NotOwnDevice,
    /// Nobody vouches for oneself.
    #[error("nobody can vouch for oneself")]
    VouchesForSelf,
    /// As many devices as a member may have.
    #[error("the member had {} devices already", crate::limits::MAX_MEMBER_DEVICES)]
    TooManyDevices,
    /// The device's record is not good.
    #[error("the device's record is not good: {0}")]
    BadDevice(RecordFault),
    /// `refs[0]` is not a removal of the kind it takes.
    #[error("it names no removal that it could follow")]
    NoRemoval,
    /// `refs[0]` is not an admission that may be restored.
    #[error("it names no admission that could be restored")]
    NoAdmission,
    /// A parent is not an epoch in the past.
    #[error("it follows an epoch that its author could not know")]
    UnknownParentEpoch,
    /// `refs[0]` is not an epoch entry that counts, or has another id.
    #[error("it names no epoch that counts")]
    NoEpoch,
}

impl Reason {
    /// Whether this leaves a newcomer *pending*: known, not effective, and one entry of a steward
    /// away from being a member.
    pub const fn is_pending(&self) -> bool {
        matches!(self, Reason::TicketUsedUp { .. } | Reason::AdmitterStruck { .. })
    }
}
