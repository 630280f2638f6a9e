//! What is kept of a page for readers, so that showing one needs neither its weaves nor the document.

use lanai_crdt::id::EntryId;
use minicbor::bytes::ByteArray;
use minicbor::{Decode, Encode};

type Id = ByteArray<32>;

/// A stretch of text and who wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(super) struct SpanRow {
    /// Unicode scalar values.
    #[n(0)]
    pub(super) length: u32,
    #[n(1)]
    pub(super) source: Id,
    /// The generation whose author claims it.
    #[n(2)]
    pub(super) claimed_by: Option<Id>,
}

/// A place where people who did not see each other's changes replaced the same words.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(super) struct ConflictRow {
    #[n(0)]
    pub(super) at: u32,
    #[n(1)]
    pub(super) wordings: Vec<WordingRow>,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(super) struct WordingRow {
    #[n(0)]
    pub(super) source: Id,
    #[n(1)]
    pub(super) text: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(super) struct ProposalRow {
    #[n(0)]
    pub(super) id: Id,
    /// The whole wording that it proposes.
    #[n(1)]
    pub(super) text: Option<String>,
    #[n(2)]
    pub(super) reason: Option<String>,
    /// The heads of the text that it was written on.
    #[n(3)]
    pub(super) deps: Vec<Id>,
}

/// What is not part of the text, by number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(super) struct AsideRow {
    #[n(0)]
    pub(super) unreadable: u64,
    #[n(1)]
    pub(super) flood: u64,
    #[n(2)]
    pub(super) earlier: u64,
    #[n(3)]
    pub(super) waiting: u64,
    #[n(4)]
    pub(super) uncounted: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(super) struct ViewRow {
    #[n(0)]
    pub(super) text: String,
    #[n(1)]
    pub(super) heads: Vec<Id>,
    #[n(2)]
    pub(super) spans: Vec<SpanRow>,
    /// Weaves still to be applied.
    #[n(3)]
    pub(super) left: u64,
    /// Weaves applied.
    #[n(4)]
    pub(super) weaves: u64,
    /// The latest time of one that is applied, Unix milliseconds.
    #[n(5)]
    pub(super) latest_ms: u64,
    /// The weave in which branches came together last.
    #[n(6)]
    pub(super) merged: Option<Id>,
    #[n(7)]
    pub(super) conflicts: Vec<ConflictRow>,
    #[n(8)]
    pub(super) proposals: Vec<ProposalRow>,
    #[n(9)]
    pub(super) aside: AsideRow,
    #[n(10)]
    pub(super) generation: Option<Id>,
}

pub(super) fn id(id: EntryId) -> Id {
    (*id.as_bytes()).into()
}

pub(super) fn entry(id: &Id) -> EntryId {
    EntryId::new(**id)
}
