//! What goes into a session and what comes out of it.

use std::collections::BTreeMap;

use lanai_crdt::id::EntryId;

use super::base::Equal;
use super::error::SessionError;
use super::incoming::{Incoming, IngestReport};
use super::outgoing::StoredEntry;
use super::reconcile::SyncItem;
use super::tree::Tree;

/// Which side opened the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// This side.
    Initiator,
    /// The peer.
    Responder,
}

/// What happens to a session.
#[derive(Debug)]
pub enum Input<'a> {
    /// The stream is open. First input.
    Start,
    /// Bytes from the peer, in pieces of any size.
    Bytes(&'a [u8]),
    /// The peer closed its direction.
    Eof,
    /// The transport took this many bytes of what [`Output::Send`] gave it.
    Sent(usize),
    /// Answer to [`Query::Set`].
    Set(Tree),
    /// Answer to [`Query::News`].
    News(Vec<SyncItem>),
    /// Answer to [`Query::Places`]: those that are held, in any order.
    Places(Vec<SyncItem>),
    /// Answer to [`Query::WantedPayloads`].
    WantedPayloads(Vec<EntryId>),
    /// Answer to [`Query::Load`].
    Loaded {
        /// Those of the entries that are held, in any order.
        entries: Vec<StoredEntry>,
        /// How many ids from the front of the query were looked up; at least one.
        taken: usize,
    },
    /// The last batch is durable.
    Ingested(IngestReport),
    /// The store could not answer or commit.
    StoreFailed,
    /// Time went by; see [`Session::deadline`](super::Session::deadline).
    Tick,
    /// The node stops.
    Stop,
}

/// What a session asks of the store. At most one query is open at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Query {
    /// The whole reconciled set; what came since the local state was made may be in it. Asked once.
    Set,
    /// What decides the order in which these are sent. Asked once, after `Set`.
    Places {
        /// Which.
        ids: Vec<EntryId>,
    },
    /// What of it arrived after this number ([`Base::upto`](super::Base::upto)); more than `limit` need not be
    /// given. Asked once.
    News {
        /// The last number of arrival before.
        after: i64,
        /// How many to give at most.
        limit: usize,
    },
    /// Up to `limit` entries whose payload is missing and wanted. Asked once, if the local state
    /// said that there are some.
    WantedPayloads {
        /// How many to give at most.
        limit: usize,
    },
    /// These entries with their payloads, from the front, until `max_bytes` are reached; at least
    /// one id is to be looked up.
    Load {
        /// Which.
        ids: Vec<EntryId>,
        /// Where to stop.
        max_bytes: usize,
    },
}

/// What a session wants done. Outputs are to be carried out in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Write these bytes; at most [`MAX_WRITE_BYTES`](super::MAX_WRITE_BYTES).
    Send(Vec<u8>),
    /// Ask the store.
    Query(Query),
    /// Verify and commit these in one transaction, then give [`Input::Ingested`]. Batches are to be
    /// committed in the order they were given. The next one comes when this one is answered; only
    /// when the session fails a last one may follow at once, right before [`Output::Failed`], and
    /// needs no answer: what has arrived whole is not thrown away with the link.
    Ingest(Vec<Incoming>),
    /// All is done: flush, close this direction. Last output.
    Done(Summary),
    /// It failed: flush what there is, close. Last output. [`Session::summary`](super::Session::summary) says what was done
    /// before.
    Failed(SessionError),
}

/// How far a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Bytes received above the transport.
    pub bytes_in: u64,
    /// Bytes sent above the transport.
    pub bytes_out: u64,
    /// Entries received and committed.
    pub received: u64,
    /// Entries sent that the peer has committed.
    pub sent: u64,
    /// Entries that are still to come, as far as it is known.
    pub to_receive: u64,
    /// Entries that are still to be sent or committed by the peer.
    pub to_send: u64,
}

/// What a session did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Summary {
    /// Nothing went either way.
    pub nothing_new: bool,
    /// Entries sent.
    pub sent: u64,
    /// Entries that the peer has committed.
    pub confirmed: u64,
    /// Entries that the peer refused.
    pub refused_by_peer: u64,
    /// Entries received, new or not.
    pub received: u64,
    /// Entries received that were new and are stored.
    pub stored: u64,
    /// Payloads received for headers held before.
    pub payloads: u64,
    /// Entries received that were held before.
    pub known: u64,
    /// Entries received that wait for their device or parent.
    pub waiting: u64,
    /// Entries received and refused, by reason.
    pub refused: BTreeMap<&'static str, u64>,
    /// Wanted entries and payloads that the peer does not hold.
    pub unserved: u64,
    /// Entries that were to be sent and turned out not to belong to the community.
    pub unsendable: u64,
    /// Bytes sent above the transport.
    pub bytes_out: u64,
    /// Bytes received above the transport.
    pub bytes_in: u64,
    /// Messages of reconciliation that this side sent.
    pub rounds: u32,
    /// Frames of unknown types that were passed over.
    pub ignored_frames: u64,
    /// Entries that the peer says it holds.
    pub peer_entries: u64,
    /// Entries of this side, or wants, that the terms left out, whole or but for their header.
    pub left_out: u64,
    /// A side pays for the link by the byte.
    pub metered: bool,
    /// A side had more than one session carries: start another.
    pub more: bool,
    /// The differences were known from what came since both held the same.
    pub by_news: bool,
    /// Both hold the same now: to be noted, if nothing else came here meanwhile.
    pub equal: Option<Equal>,
}
