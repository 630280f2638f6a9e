//! A page as it is kept between two runs.
//!
//! `checksum (32) || body`; the checksum is BLAKE3 with a context of its own over the body, and is
//! compared before anything else is looked at: Automerge can abort a process that hands it changed
//! bytes. The body is CBOR.

use std::collections::BTreeMap;

use minicbor::bytes::ByteArray;
use minicbor::{Decode, Encode};

use super::conflicts::{Element, Replaced};
use super::document::{Document, Saved};
use super::graph::{Graph, Malformed};
use super::{Page, PageRoot};
use crate::id::EntryId;
use crate::payload::PageKind;

const CACHE_CONTEXT: &str = "lanai v1 page cache";
/// Raise it whenever the body means something else, or Automerge is another.
const CACHE_VERSION: u32 = 1;

/// Why a kept page is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CacheError {
    /// Its bytes are not those that were written.
    #[error("its checksum does not fit")]
    Checksum,
    /// Of another version.
    #[error("another version of this program wrote it")]
    Version,
    /// Of another page.
    #[error("it belongs to another page")]
    OtherPage,
    /// It cannot be read.
    #[error("it cannot be read")]
    Unreadable,
}

type Id = ByteArray<32>;

#[derive(Encode, Decode)]
#[cbor(array)]
struct Row {
    #[n(0)]
    version: u32,
    #[n(1)]
    thread: Id,
    #[n(2)]
    kind: PageKind,
    #[n(3)]
    opening: Option<String>,
    #[n(4)]
    generation: Option<Id>,
    #[n(5)]
    first: Id,
    #[n(6)]
    applied: Vec<(Id, Vec<Id>)>,
    #[n(7)]
    replaced: Vec<ReplacedRow>,
    #[n(8)]
    broken: Vec<(Id, u8)>,
    #[n(9)]
    #[cbor(with = "minicbor::bytes")]
    doc: Vec<u8>,
}

#[derive(Encode, Decode)]
#[cbor(array)]
struct ReplacedRow {
    #[n(0)]
    by: Id,
    #[n(1)]
    first: u64,
    #[n(2)]
    length: u64,
    #[n(3)]
    gone: Vec<(Id, u64)>,
}

const REASONS: [Malformed; 3] = [Malformed::Range, Malformed::Length, Malformed::Unappliable];

fn id(id: &EntryId) -> Id {
    (*id.as_bytes()).into()
}

fn entry(id: &Id) -> EntryId {
    EntryId::new(**id)
}

fn checksum(body: &[u8]) -> [u8; 32] {
    blake3::derive_key(CACHE_CONTEXT, body)
}

impl Page {
    /// The page as far as it is applied, to be kept.
    pub fn save(&mut self) -> Vec<u8> {
        let saved = self.document.save();
        let row = Row {
            version: CACHE_VERSION,
            thread: id(&self.root.thread),
            kind: self.root.kind,
            opening: self.root.opening.clone(),
            generation: saved.generation.as_ref().map(id),
            first: saved.first.into(),
            applied: saved
                .applied
                .iter()
                .map(|(e, hashes)| (id(e), hashes.iter().map(|h| (*h).into()).collect()))
                .collect(),
            replaced: saved
                .replaced
                .iter()
                .map(|r| ReplacedRow {
                    by: id(&r.by),
                    first: r.first,
                    length: r.length as u64,
                    gone: r.gone.iter().map(|e| (id(&e.source), e.counter)).collect(),
                })
                .collect(),
            broken: self
                .broken
                .iter()
                .map(|(e, why)| {
                    let place = REASONS.iter().position(|r| r == why).unwrap_or(2);
                    (id(e), u8::try_from(place).unwrap_or(2))
                })
                .collect(),
            doc: saved.doc,
        };
        // Writing to a vector cannot fail.
        let body = minicbor::to_vec(&row).unwrap_or_default();
        [&checksum(&body)[..], &body].concat()
    }

    /// A page from what [`Page::save`] gave. Hand in its entries next.
    ///
    /// # Errors
    ///
    /// When it cannot be used; then start from [`Page::new`].
    pub fn load(root: PageRoot, cache: &[u8]) -> Result<Page, CacheError> {
        let (sum, body) = cache.split_at_checked(32).ok_or(CacheError::Checksum)?;
        if sum != checksum(body) {
            return Err(CacheError::Checksum);
        }
        let row: Row = minicbor::decode(body).map_err(|_| CacheError::Version)?;
        if row.version != CACHE_VERSION {
            return Err(CacheError::Version);
        }
        let same = entry(&row.thread) == root.thread
            && row.kind == root.kind
            && row.opening == root.opening;
        if !same {
            return Err(CacheError::OtherPage);
        }
        let broken: BTreeMap<EntryId, Malformed> = row
            .broken
            .iter()
            .map(|(e, why)| {
                let why = REASONS.get(usize::from(*why)).copied();
                (entry(e), why.unwrap_or(Malformed::Unappliable))
            })
            .collect();
        let saved = Saved {
            doc: row.doc,
            applied: row
                .applied
                .iter()
                .map(|(e, hashes)| (entry(e), hashes.iter().map(|h| **h).collect()))
                .collect(),
            generation: row.generation.as_ref().map(entry),
            first: *row.first,
            replaced: row
                .replaced
                .iter()
                .map(|r| Replaced {
                    by: entry(&r.by),
                    first: r.first,
                    length: usize::try_from(r.length).unwrap_or(0),
                    gone: r
                        .gone
                        .iter()
                        .map(|(source, counter)| Element {
                            source: entry(source),
                            counter: *counter,
                        })
                        .collect(),
                })
                .collect(),
        };
        let document = Document::restore(saved).ok_or(CacheError::Unreadable)?;
        Ok(Page { graph: Graph::default(), document, broken, root })
    }
}
