//! Payloads: what entries say.
//!
//! A body is one CBOR array `[kind, map]` (RFC 8949) with small integer keys in the map. Keys that
//! this version does not know are skipped on reading and survive because stored bytes are never
//! re-encoded. Kinds that it does not know are kept and relayed unread ([`Body::Unknown`]).
//! A kind that does not belong to its entry's class, or breaks a limit, makes the entry *void*: its
//! header stays in the log and nothing is folded from it.
//!
//! Rules for `refs` of the header, by kind (`t` = thread, `p` = post or thread root acted on):
//!
//! | kind | refs |
//! | --- | --- |
//! | ask, note | none |
//! | post | `[t]` in answer to the thread itself, else `[t, parent]` |
//! | edit, withdraw, react, mark, hide, pin, feature, tag, thread-op | `[t, p, superseded entries...]` |
//! | weave, reframe, generation | `[t, deps...]`: the weaves seen, none an ancestor of another |
//! | profile, community, tend | `[superseded entries...]` |
//! | ticket-close, admit | `[ticket]` |
//! | role, own-state | none |
//! | epoch | none |
//! | seal | `[epoch entry]` |
//! | device, remove, motion, checkpoint | none |
//! | endorse, enact | `[motion]` |
//! | accept | `[removal]` |
//! | restore | `[admission]` |
//! | readmit | `[removal]` |
//! | reason | `[roster act, superseded entries...]` |
//! | side-open | none |
//! | side-seal, side-say | `[talk]` |
//! | file | none for a file of the community, else `[t, p]` |

mod device;
mod file;
mod join;
mod kinds;
mod own;
mod page;
mod power;
mod roster;
mod side;
mod talk;
mod tend;

pub use device::{DEVICE_RECORD_BYTES, DeviceStatement, SignedDevice, paper_nonce};
pub use file::File;
pub use join::{JOIN_RECORD_BYTES, JoinError, JoinRecord, SignedJoinRecord};
pub use kinds::Kind;
pub use own::{
    MAX_DRAFT_KEY_BYTES, OwnChanges, OwnDraft, OwnState, OwnStateError, SHORT_ID_BYTES, ShortId,
    short_id,
};
pub use page::{Generation, PageKind, Reframe, Run, Splice, Weave};
pub use power::{
    Accept, AddDevice, Checkpoint, Enact, Motion, Proposal, Readmit, Reason, Remove, Subject,
    recovery_statement, sign_recovery, verify_recovery,
};
pub use roster::{
    Admit, DeviceSeal, Epoch, Genesis, GrantRole, History, InvitePolicy, Role, Seal, Ticket,
};
pub use side::{Said, SideAdded, SideBox, SideOpen, SideRoot, SideSay, SideSeal};
pub use talk::{
    Ask, Community, Edit, Help, Mark, Note, Origin, Post, PostRole, Profile, React, Reaction,
    ThreadState,
};
pub use tend::{Feature, Hide, Pin, Tag, Tend, ThreadAct, ThreadOp};

use crate::entry::Class;
use crate::limits::MAX_INFLATED_BYTES;

/// Why a payload is void.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// Longer than a body may be.
    #[error("payload of {0} bytes is over the limit of {MAX_INFLATED_BYTES}")]
    TooLong(usize),
    /// Not the CBOR that this kind asks for.
    #[error("payload is not well-formed: {0}")]
    Malformed(String),
    /// The kind exists and belongs to another class.
    #[error("kind {kind} does not belong to class {class}")]
    WrongClass {
        /// The kind's number.
        kind: u16,
        /// The class of the header.
        class: u8,
    },
    /// A field is over its limit or outside its range.
    #[error("{field}: {what}")]
    Field {
        /// Which field.
        field: &'static str,
        /// What is wrong with it.
        what: &'static str,
    },
}

pub(crate) fn field_error(field: &'static str, what: &'static str) -> PayloadError {
    PayloadError::Field { field, what }
}

/// A decoded body.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // each variant is named for the type that documents it
pub enum Body {
    Genesis(Genesis),
    Ticket(Ticket),
    /// Closes the ticket in `refs[0]`.
    TicketClose,
    Admit(Admit),
    Role(GrantRole),
    Epoch(Epoch),
    Seal(Seal),
    AddDevice(AddDevice),
    Remove(Remove),
    Motion(Motion),
    /// Endorses the motion in `refs[0]`.
    Endorse,
    Enact(Enact),
    Checkpoint(Checkpoint),
    Accept(Accept),
    /// Makes the newcomer a member whose admission, in `refs[0]`, is pending.
    Restore,
    Readmit(Readmit),
    Reason(Reason),
    Community(Community),
    /// Withdraws the own post in `refs[1]`.
    Withdraw,
    Ask(Ask),
    Note(Note),
    Post(Post),
    Edit(Edit),
    Profile(Profile),
    React(React),
    Mark(Mark),
    Weave(Weave),
    Reframe(Reframe),
    Generation(Generation),
    ThreadOp(ThreadOp),
    Hide(Hide),
    Pin(Pin),
    Feature(Feature),
    Tag(Tag),
    Tend(Tend),
    SideOpen(SideOpen),
    SideSeal(SideSeal),
    SideSay(SideSay),
    OwnState(OwnState),
    File(File),
    /// A kind of a later version, or one that is reserved and not yet in use.
    Unknown(u16),
}

macro_rules! bodies {
    ($($variant:ident),+) => {
        /// Encodes a body; the inverse of [`decode`]. Checks the same limits, so that an own entry
        /// can never be void.
        pub fn encode(body: &Body) -> Result<Vec<u8>, PayloadError> {
            let mut out = Vec::new();
            let mut e = minicbor::Encoder::new(&mut out);
            let kind = body.kind_number();
            let ok = e.array(2).and_then(|e| e.u16(kind)).is_ok() && match body {
                $(Body::$variant(b) => { b.check()?; e.encode(b).is_ok() })+
                Body::TicketClose
                | Body::Endorse
                | Body::Restore
                | Body::Withdraw
                | Body::Unknown(_) => e.map(0).is_ok(),
            };
            if !ok {
                return Err(PayloadError::Malformed("cannot be encoded".into()));
            }
            if out.len() > MAX_INFLATED_BYTES {
                return Err(PayloadError::TooLong(out.len()));
            }
            Ok(out)
        }

        fn decode_kind(kind: Kind, d: &mut minicbor::Decoder<'_>) -> Result<Body, PayloadError> {
            match kind {
                $(Kind::$variant => {
                    let b = d.decode().map_err(malformed)?;
                    let body = Body::$variant(b);
                    if let Body::$variant(b) = &body { b.check()?; }
                    Ok(body)
                })+
                Kind::TicketClose => d.skip().map_err(malformed).map(|()| Body::TicketClose),
                Kind::Endorse => d.skip().map_err(malformed).map(|()| Body::Endorse),
                Kind::Restore => d.skip().map_err(malformed).map(|()| Body::Restore),
                Kind::Withdraw => d.skip().map_err(malformed).map(|()| Body::Withdraw),
                other => d
                    .skip()
                    .map_err(malformed)
                    .map(|()| Body::Unknown(other.number())),
            }
        }

        impl Body {
            /// The number of the body's kind.
            pub fn kind_number(&self) -> u16 {
                match self {
                    $(Body::$variant(_) => Kind::$variant.number(),)+
                    Body::TicketClose => Kind::TicketClose.number(),
                    Body::Endorse => Kind::Endorse.number(),
                    Body::Restore => Kind::Restore.number(),
                    Body::Withdraw => Kind::Withdraw.number(),
                    Body::Unknown(n) => *n,
                }
            }
        }
    };
}

bodies!(
    Genesis, Ticket, Admit, Role, Epoch, Seal, AddDevice, Remove, Motion, Enact, Checkpoint,
    Accept, Readmit, Reason, Community, Ask, Note, Post, Edit, Profile, React, Mark, Weave,
    Reframe, Generation, ThreadOp, Hide, Pin, Feature, Tag, Tend, OwnState, SideOpen, SideSeal,
    SideSay, File
);

fn malformed(e: minicbor::decode::Error) -> PayloadError {
    PayloadError::Malformed(e.to_string())
}

impl Body {
    /// The kind, where this version has a name for it.
    pub fn kind(&self) -> Option<Kind> {
        Kind::from_number(self.kind_number())
    }

    /// The class that an entry with this body has; `None` for an unknown kind.
    pub fn class(&self) -> Option<Class> {
        self.kind().map(Kind::class)
    }
}

/// Decodes and checks the body of an entry of `class`. Never panics, and allocates no more than a
/// small multiple of `bytes`.
pub fn decode(class: Class, bytes: &[u8]) -> Result<Body, PayloadError> {
    if bytes.len() > MAX_INFLATED_BYTES {
        return Err(PayloadError::TooLong(bytes.len()));
    }
    let mut d = minicbor::Decoder::new(bytes);
    if d.array().map_err(malformed)? != Some(2) {
        return Err(PayloadError::Malformed("not an array of two".into()));
    }
    let number = d.u16().map_err(malformed)?;
    let Some(kind) = Kind::from_number(number) else { return Ok(Body::Unknown(number)) };
    if kind.class() != class {
        return Err(PayloadError::WrongClass { kind: number, class: class.number() });
    }
    let body = decode_kind(kind, &mut d)?;
    if d.position() != bytes.len() {
        return Err(PayloadError::Malformed("bytes after the end".into()));
    }
    Ok(body)
}

#[cfg(test)]
mod tests;
