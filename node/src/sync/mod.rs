//! Sync: two nodes compare what they hold and exchange the difference.

mod config;
mod digest;
mod error;
mod frame;
mod incoming;
mod outgoing;
mod reconcile;
mod run;
mod session;
mod wire;

pub use config::*;
pub use digest::{Digest, Hello, LocalState, Nonce, community_check};
pub use error::{ByeReason, SessionError, Severity};
pub use frame::{Ack, Fin, Frame, FrameReader, FrameTooLong, FrameType, Skip, Want};
pub use incoming::{Incoming, IngestReport};
pub use outgoing::{LANE_TURN, StoredEntry};
pub use reconcile::{ItemSet, Learnt, ReconcileError, Reconciler, SyncItem};
pub use run::{Built, PayReader, PayWriter, PutError, SegWriter, Segment, entry_cost};
pub use session::{Input, Output, Query, Role, Session, Summary};
pub use wire::WireError;

#[cfg(test)]
mod tests;
