//! Why a session ends before it is done, and what to think of it.

use super::frame::FrameTooLong;
use super::frame::FrameType;
use super::reconcile::ReconcileError;
use super::wire::WireError;

/// What an error says about whom, and so whether to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The link or the moment: try again soon.
    Link,
    /// This side: stopping, or its store has trouble.
    Local,
    /// The two sides do not go together: trying again soon is of no use.
    Mismatch,
    /// The peer broke the protocol: leave it alone for a good while.
    Peer,
}

/// Why a side said BYE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ByeReason {
    /// No common version.
    Version,
    /// Not of this community.
    Community,
    /// The other side broke the protocol.
    Protocol,
    /// No progress.
    Stalled,
    /// The store has trouble.
    Store,
    /// The node is stopping.
    Stopping,
    /// A reason of a later version.
    Other(u8),
}

impl ByeReason {
    /// The body of BYE: one byte; later versions may append more.
    pub fn number(self) -> u8 {
        match self {
            ByeReason::Version => 1,
            ByeReason::Community => 2,
            ByeReason::Protocol => 3,
            ByeReason::Stalled => 4,
            ByeReason::Store => 5,
            ByeReason::Stopping => 6,
            ByeReason::Other(n) => n,
        }
    }

    /// The reason with this number.
    pub fn from_number(n: u8) -> ByeReason {
        use ByeReason::*;
        let known = [Version, Community, Protocol, Stalled, Store, Stopping];
        known.into_iter().find(|r| r.number() == n).unwrap_or(Other(n))
    }
}

/// Why a session failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// A length field over the limit.
    #[error(transparent)]
    TooLong(#[from] FrameTooLong),
    /// The inside of a frame could not be read.
    #[error("bad {kind:?} frame: {error}")]
    BadFrame {
        /// Which frame.
        kind: FrameType,
        /// What is wrong with it.
        error: WireError,
    },
    /// A frame that has no place at this point of a session.
    #[error("a {0:?} frame out of place")]
    Unexpected(FrameType),
    /// No version in common.
    #[error("the peer speaks session versions {min} to {max}")]
    Version {
        /// The peer's oldest.
        min: u8,
        /// The peer's newest.
        max: u8,
    },
    /// The community check does not fit.
    #[error("the peer belongs to another community")]
    OtherCommunity,
    /// The peer sent this side's own nonce back.
    #[error("the peer repeats what it is told")]
    Reflected,
    /// A window in which the greatest entries could not be sent.
    #[error("the peer's window of {0} bytes is too small")]
    WindowTooSmall(u64),
    /// Reconciliation failed.
    #[error(transparent)]
    Reconcile(#[from] ReconcileError),
    /// More rounds of reconciliation than the protocol has.
    #[error("too many rounds of reconciliation")]
    TooManyRounds,
    /// Reconciliation reported far more differences than there can be.
    #[error("the peer reports more differences than there can be")]
    TooManyDifferences,
    /// More wanted than this side could hold, or than the protocol allows.
    #[error("the peer wants more than it may")]
    TooManyWanted,
    /// More entries on the way than this side allowed.
    #[error("the peer sends more than the window allows")]
    OverWindow,
    /// More entries than a session may carry.
    #[error("the peer sends more entries than a session may carry")]
    TooManyEntries,
    /// An acknowledgement of what was not sent, or one that takes an earlier one back.
    #[error("the peer acknowledges what was not sent")]
    BadAck,
    /// FIN with another count than what came, or before all payloads came.
    #[error("the peer finished before it had sent everything")]
    BadFin,
    /// Too many frames of unknown types.
    #[error("too many frames of unknown types")]
    TooMuchIgnored,
    /// The peer asks and does not read the answers.
    #[error("the peer does not read")]
    NotReading,
    /// No progress for the configured time.
    #[error("no progress")]
    Stalled,
    /// The stream ended in the middle.
    #[error("the connection was cut")]
    Cut,
    /// The peer gave up.
    #[error("the peer gave up: {0:?}")]
    PeerGaveUp(ByeReason),
    /// The store failed to answer or to commit.
    #[error("the store has trouble")]
    Store,
    /// This node is stopping.
    #[error("stopping")]
    Stopped,
    /// The caller gave an answer that was not asked for: a mistake in this program.
    #[error("the session was given {0} that it had not asked for")]
    Driver(&'static str),
}

impl SessionError {
    /// What the error says about whom.
    pub fn severity(&self) -> Severity {
        use SessionError::*;
        match self {
            Cut | Stalled | NotReading => Severity::Link,
            PeerGaveUp(ByeReason::Version | ByeReason::Community) => Severity::Mismatch,
            PeerGaveUp(_) => Severity::Link,
            Store | Stopped | Driver(_) => Severity::Local,
            Version { .. } | OtherCommunity => Severity::Mismatch,
            Reconcile(ReconcileError::Version) => Severity::Mismatch,
            TooLong(_)
            | BadFrame { .. }
            | Unexpected(_)
            | Reflected
            | WindowTooSmall(_)
            | Reconcile(_)
            | TooManyRounds
            | TooManyDifferences
            | TooManyWanted
            | OverWindow
            | TooManyEntries
            | BadAck
            | BadFin
            | TooMuchIgnored => Severity::Peer,
        }
    }

    /// What the peer is told; `None` when there is nobody left to tell.
    pub fn bye(&self) -> Option<ByeReason> {
        use SessionError::*;
        match self {
            Cut | PeerGaveUp(_) | NotReading => None,
            Version { .. } | Reconcile(ReconcileError::Version) => Some(ByeReason::Version),
            OtherCommunity => Some(ByeReason::Community),
            Stalled => Some(ByeReason::Stalled),
            Store | Driver(_) => Some(ByeReason::Store),
            Stopped => Some(ByeReason::Stopping),
            _ => Some(ByeReason::Protocol),
        }
    }
}
