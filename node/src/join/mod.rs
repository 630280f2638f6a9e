//! Joining: how a newcomer with a ticket becomes a member through any member it meets.
//!
//! Two machines speak `/lanai/join/1` over one stream: the newcomer's [`Joiner`] and the member's
//! [`Admitter`]. They do no I/O: inputs in, outputs back, time as an argument. The connection below
//! them is encrypted and has authenticated both device keys.
//!
//! ```text
//! newcomer                                member
//!    | -- CHALLENGE version, nonce, tag -->  |  finds the ticket that fits the tag, or UNKNOWN
//!    | <-- PROOF nonce, tag ---------------  |
//!    | -- RECORD signed join record ------>  |  judges it; publishes admission and seal
//!    | <-- ROSTER count, bytes ------------  |
//!    | <-- ENTRIES class 0 entries --------  |  as often as needed
//!    | <-- ADMITTED admission's id --------  |
//!    |     or, at any point: REFUSED reason  |
//! ```
//!
//! # Rules
//!
//! 1. **Strangers learn nothing.** A newcomer asks whoever it discovers, members or not. The first
//!    message is a hash of the ticket's public key, a fresh nonce and the asked device's key: it
//!    tells neither ticket nor community, and is of no use to whoever forwards it, since it holds
//!    for one device only. Who does not know the ticket answers UNKNOWN, always in the same way.
//! 2. **The member proves first** that it knows the ticket, by a hash that binds both nonces and
//!    the newcomer's device. Only then does the newcomer show its record.
//! 3. **The record is the newcomer's own**: it is signed by device and ticket, and its device is
//!    the one that the connection has authenticated. What becomes of the ticket (closed, used up,
//!    expired) is told only to whom can sign with its secret: its public half is known to all
//!    members, present and past.
//! 4. **Repeating is harmless.** The record is the same in each attempt ([`JoinState`] keeps its
//!    nonce), its hash is the member id, and who is a member already gets the same answer again,
//!    whatever has become of the ticket meanwhile. A join cut at any byte is simply begun again.
//! 5. **The newcomer believes nothing**: it takes the roster only if every header is authentic, the
//!    genesis is the one in the ticket, the ticket entry is there with its ancestry and counts, the
//!    member it talks to is a member, its own admission counts, and an epoch key sealed to it
//!    opens. So nobody can show it a foreign roster, or one from before the ticket.
//! 6. **Everything is bounded**: each frame by its type before it is kept, the roster by
//!    [`MAX_ROSTER_ENTRIES`] and [`MAX_ROSTER_BYTES`], each step by a deadline, the number of joins
//!    at a time and a minute by the [`Gate`].
//!
//! A member whom the other side does not know yet begins the same stream with ENROLMENT; see `enrol`.
//!
//! After [`Joined`] the newcomer makes its store and dials again as a member: what a connection may
//! do is decided when it is established.

mod admitter;
mod enrol;
mod frame;
mod gate;
mod joiner;
mod state;

pub use admitter::{Admitter, AdmitterError, AdmitterInput, AdmitterOutput};
pub use enrol::{Answer, MAX_ENROLMENT_BYTES, Pushed, enrolment_frames, vouched};
pub use frame::{FrameError, MAX_BODY_BYTES, RosterItem};
pub use gate::{Gate, MAX_CONCURRENT_JOINS, MAX_JOINS_A_MINUTE, MAX_JOINS_A_MINUTE_OF_ONE_PEER};
pub use joiner::{
    Joined, Joiner, JoinerError, JoinerInput, JoinerOutput, Next, Progress, RosterFault,
};
pub use state::{JoinStage, JoinState, JoinStateError};

use lanai_crdt::id::DeviceId;
use lanai_crdt::payload::{JoinRecord, SignedJoinRecord};
use lanai_crdt::roster::{AdmitRefusal, Reason, TicketRefusal};
use lanai_crdt::ticket::TicketText;

use crate::identity::Identity;

/// Name of the protocol when a stream is opened.
pub const PROTOCOL: &str = "/lanai/join/1";
/// Version in CHALLENGE.
pub const VERSION: u8 = 1;

/// Milliseconds that the other side has for its next message.
pub const STEP_MS: u64 = 15_000;
/// Milliseconds that a member has to publish an admission, and a newcomer waits for it.
pub const ADMISSION_MS: u64 = 60_000;
/// Milliseconds that a whole join may take.
pub const WHOLE_JOIN_MS: u64 = 15 * 60_000;
/// Entries of a roster that a newcomer takes.
pub const MAX_ROSTER_ENTRIES: u32 = 200_000;
/// Bytes of a roster that a newcomer takes.
pub const MAX_ROSTER_BYTES: u32 = 64 * 1024 * 1024;

const JOINER_TAG_CONTEXT: &str = "lanai v1 join tag joiner";
const ADMITTER_TAG_CONTEXT: &str = "lanai v1 join tag admitter";

/// Random bytes that make each attempt's tags new.
pub type Nonce = [u8; 32];

/// The newcomer's tag: it knows a ticket, and says so to one device. The comparison of two tags
/// takes the same time wherever they differ.
fn joiner_tag(ticket_key: &[u8; 32], joiner: &Nonce, responder: &DeviceId) -> blake3::Hash {
    blake3::Hasher::new_derive_key(JOINER_TAG_CONTEXT)
        .update(ticket_key)
        .update(joiner)
        .update(responder.as_bytes())
        .finalize()
}

/// The member's tag: it knows the ticket too, and says so to one device.
fn admitter_tag(
    ticket_key: &[u8; 32],
    joiner: &Nonce,
    admitter: &Nonce,
    device: &DeviceId,
) -> blake3::Hash {
    blake3::Hasher::new_derive_key(ADMITTER_TAG_CONTEXT)
        .update(ticket_key)
        .update(joiner)
        .update(admitter)
        .update(device.as_bytes())
        .finalize()
}

/// The record with which this device asks to be let in. The same arguments give the same record.
pub fn join_record(ticket: &TicketText, identity: &Identity, nonce: [u8; 16]) -> SignedJoinRecord {
    let record = JoinRecord {
        community: ticket.community(),
        ticket: ticket.ticket(),
        device: identity.device_id(),
        sealing: *identity.sealing.public().as_bytes(),
        nonce,
    };
    record.sign(&identity.device, Some(ticket.secret().as_bytes()))
}

/// Why a member does not admit a newcomer, as it is said on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// No ticket here fits the tag.
    #[error("it does not know this ticket (it may be no member, or not have heard of it yet)")]
    Unknown,
    /// The ticket was closed.
    #[error("the ticket was closed")]
    Closed,
    /// The ticket has no uses left.
    #[error("the ticket was used up")]
    UsedUp,
    /// The ticket's time is over, by the member's clock.
    #[error("the ticket has expired")]
    Expired,
    /// Whoever issued the ticket can no longer invite.
    #[error("whoever issued the ticket can no longer invite")]
    SponsorGone,
    /// The join record is not good.
    #[error("the join record is not valid for this ticket and device")]
    BadRecord,
    /// Too many joins at once.
    #[error("it is busy with other newcomers")]
    Busy,
    /// The member's node could not do it, or gives a reason of a later version.
    #[error("it could not publish the admission")]
    Internal,
    /// The member's node does not speak the newcomer's version.
    #[error("it runs a version of lanai that does not know this kind of ticket")]
    Version,
    /// The newcomer's device belongs to a member already.
    #[error("this device belongs to another member already")]
    DeviceTaken,
}

impl Refusal {
    const ALL: [Refusal; 10] = [
        Refusal::Unknown,
        Refusal::Closed,
        Refusal::UsedUp,
        Refusal::Expired,
        Refusal::SponsorGone,
        Refusal::BadRecord,
        Refusal::Busy,
        Refusal::Internal,
        Refusal::Version,
        Refusal::DeviceTaken,
    ];

    /// The number on the wire.
    pub const fn number(self) -> u8 {
        match self {
            Refusal::Unknown => 1,
            Refusal::Closed => 2,
            Refusal::UsedUp => 3,
            Refusal::Expired => 4,
            Refusal::SponsorGone => 5,
            Refusal::BadRecord => 6,
            Refusal::Busy => 7,
            Refusal::Internal => 8,
            Refusal::Version => 9,
            Refusal::DeviceTaken => 10,
        }
    }

    /// The reason with this number; a later version's reasons are all [`Refusal::Internal`].
    pub fn from_number(n: u8) -> Refusal {
        Refusal::ALL.into_iter().find(|r| r.number() == n).unwrap_or(Refusal::Internal)
    }

    /// The whole frame: for a driver that refuses a stream before it makes an [`Admitter`].
    pub fn frame(self) -> Vec<u8> {
        frame::Message::Refused(self).encode()
    }
}

impl From<TicketRefusal> for Refusal {
    fn from(refusal: TicketRefusal) -> Refusal {
        match refusal {
            TicketRefusal::Closed => Refusal::Closed,
            TicketRefusal::UsedUp => Refusal::UsedUp,
            TicketRefusal::Expired => Refusal::Expired,
            TicketRefusal::SponsorGone => Refusal::SponsorGone,
        }
    }
}

impl From<AdmitRefusal> for Refusal {
    fn from(refusal: AdmitRefusal) -> Refusal {
        match refusal {
            AdmitRefusal::UnknownTicket => Refusal::Unknown,
            AdmitRefusal::Ticket(refusal) => refusal.into(),
            AdmitRefusal::Rules(reason) => match reason {
                Reason::TicketClosed => Refusal::Closed,
                Reason::TicketUsedUp { .. } => Refusal::UsedUp,
                Reason::SponsorGone => Refusal::SponsorGone,
                Reason::DeviceTaken => Refusal::DeviceTaken,
                Reason::BadRecord(_) | Reason::OtherTicket | Reason::RecordOfOtherCommunity => {
                    Refusal::BadRecord
                }
                _ => Refusal::Internal,
            },
        }
    }
}

/// A deadline that a clock set back cannot put off for ever.
#[derive(Debug, Clone, Copy)]
struct Deadline {
    last: u64,
    left: u64,
}

impl Deadline {
    fn new(now_ms: u64, length_ms: u64) -> Deadline {
        Deadline { last: now_ms, left: length_ms }
    }

    /// Takes the time that has passed off what is left; whether nothing is.
    fn passed(&mut self, now_ms: u64) -> bool {
        self.left = self.left.saturating_sub(now_ms.saturating_sub(self.last));
        self.last = now_ms;
        self.left == 0
    }
}

#[cfg(test)]
mod tests;
