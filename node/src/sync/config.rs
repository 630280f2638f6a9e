//! Limits of a session, and what a caller may choose.
//!
//! Everything that a peer can make this side hold is bounded here. The constants are part of the
//! protocol: both sides know them. [`Config`] holds what a link profile may change.

use super::terms::Terms;
use lanai_crdt::id::CommunityId;
use lanai_crdt::limits::{MAX_FRAME_BYTES, MAX_HEADER_BYTES, MAX_PAYLOAD_BYTES};

/// The stream protocol that carries sessions.
pub const PROTOCOL: &str = "/lanai/sync/1";
/// Oldest session version this code speaks.
pub const VERSION_MIN: u8 = 1;
/// Newest session version this code speaks.
pub const VERSION_MAX: u8 = 1;

/// Bytes in front of a frame's body: u24 length, u8 type.
pub const FRAME_HEADER_BYTES: usize = 4;
/// Bytes of a frame's body.
pub const MAX_BODY_BYTES: usize = MAX_FRAME_BYTES - FRAME_HEADER_BYTES;
/// Bytes of a HELLO body; later versions may append fields up to this.
pub const MAX_HELLO_BYTES: usize = 256;
/// Headers in one SEG frame.
pub const MAX_SEG_RECORDS: usize = 1024;
/// Ids in one WANT frame.
pub const MAX_WANT_IDS: usize = (MAX_BODY_BYTES - 1) / 32;
/// Entries whose payload a side may ask for in one session.
pub const MAX_WANTED_PAYLOADS: usize = 4096;
/// Entries that a side sends, and that a side asks for, in one session, at most
/// ([`Config::session_entries`]).
pub const MAX_SESSION_ENTRIES: usize = 1 << 20;
/// Rounds of reconciliation after which the driver settles for what it has learnt.
pub const MAX_ROUNDS: u32 = 1000;
/// Bytes of frames of unknown or reserved types that are tolerated in one session.
pub const MAX_IGNORED_BYTES: u64 = 1 << 20;
/// What an entry costs of the window beside its header and payload: the receiver's bookkeeping.
pub const ENTRY_OVERHEAD_BYTES: usize = 64;
/// The most that one entry can cost.
pub const MAX_ENTRY_COST: usize = MAX_HEADER_BYTES + MAX_PAYLOAD_BYTES + ENTRY_OVERHEAD_BYTES;
/// The smallest window that a HELLO may grant: a few entries of the greatest size.
pub const MIN_WINDOW_BYTES: u64 = 4 * MAX_ENTRY_COST as u64;
/// Greatest number of bytes in one [`Output::Send`](super::Output::Send).
pub const MAX_WRITE_BYTES: usize = 64 * 1024;
/// Bytes handed to the transport and not yet reported as sent beyond which a session gives up: the
/// peer asks and does not read the answers.
pub const MAX_UNSENT_BYTES: usize = 2 << 20;

/// What a caller may choose. The defaults suit a LAN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The community both sides must belong to.
    pub community: CommunityId,
    /// Bytes of entries the peer may send before this side has committed them. At least
    /// [`MIN_WINDOW_BYTES`]; smaller values are raised to it.
    pub window: u64,
    /// Bytes of unsent output above which no further entries are put on the stream.
    pub high_water: usize,
    /// Milliseconds without progress after which a session ends as stalled.
    pub stall_ms: u64,
    /// Milliseconds of one local commit after which the peer is told that this side is alive.
    pub keepalive_ms: u64,
    /// Milliseconds that the driver gives a session that is over to write what is left.
    pub flush_ms: u64,
    /// Entries asked of the store in one [`Query::Load`](super::Query::Load); at most
    /// [`MAX_SEG_RECORDS`] are useful.
    pub load_entries: usize,
    /// Bytes of headers and payloads wanted in one answer to `Load`.
    pub load_bytes: usize,
    /// How much to carry at all. The other side may have stricter ones.
    pub terms: Terms,
    /// Entries handed over in one [`Output::Ingest`](super::Output::Ingest).
    pub batch_entries: usize,
    /// Entries that this side sends, and that it asks for, in one session that compares whole sets: the first in the
    /// order of sending. What is left goes into the next one. At most [`MAX_SESSION_ENTRIES`].
    pub session_entries: usize,
    /// Entries that came since both sides held the same, up to which these are told one by one; with more,
    /// whole sets are compared, which costs little when both got the same from others. At most
    /// [`MAX_NEWS`](super::MAX_NEWS).
    pub news: usize,
}

impl Config {
    /// The defaults for a community.
    pub fn new(community: CommunityId) -> Config {
        Config {
            community,
            window: 4 << 20,
            high_water: 256 * 1024,
            stall_ms: 30_000,
            keepalive_ms: 10_000,
            flush_ms: 5_000,
            load_entries: MAX_SEG_RECORDS,
            load_bytes: 512 * 1024,
            terms: Terms::default(),
            batch_entries: 10_000,
            session_entries: 1 << 16,
            news: 2048,
        }
    }

    pub(super) fn granted_window(&self) -> u64 {
        self.window.max(MIN_WINDOW_BYTES)
    }
}
