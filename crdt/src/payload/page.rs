//! Bodies of shared texts: weaves, proposed wordings, generations.
//!
//! What is signed is the *intent* of a change, never the bytes of a document format: places and
//! texts. Every node derives the same change from it (see [`page`](crate::page)).

use minicbor::bytes::ByteArray;
use minicbor::{Decode, Encode};

use super::{PayloadError, field_error};
use crate::limits::{
    MAX_GENERATION_RUNS, MAX_PAGE_BYTES, MAX_REASON_BYTES, MAX_SPLICES, MAX_WEAVE_INSERT_BYTES,
};

/// Which of a thread's two shared texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum PageKind {
    /// The question as it is refined; its first line is the title.
    #[n(0)]
    Question,
    /// The answer as it is woven.
    #[n(1)]
    Answer,
}

impl PageKind {
    /// Both pages.
    pub const ALL: [PageKind; 2] = [PageKind::Question, PageKind::Answer];

    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            PageKind::Question => "question",
            PageKind::Answer => "answer",
        }
    }
}

/// Replaces `delete` characters at `at` by `insert`. Places and lengths count Unicode scalar values.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Splice {
    /// Where, in the text that the writer saw.
    #[n(0)]
    pub at: u32,
    /// How many characters go.
    #[n(1)]
    pub delete: u32,
    /// What comes in their place.
    #[n(2)]
    pub insert: String,
}

impl Splice {
    /// The place behind what it takes away.
    pub fn end(&self) -> u64 {
        u64::from(self.at) + u64::from(self.delete)
    }
}

/// Splices have one form: ascending, with at least one kept character between two of them, and
/// each does something.
fn check_splices(splices: &[Splice]) -> Result<(), PayloadError> {
    if splices.len() > MAX_SPLICES {
        return Err(field_error("splices", "too many"));
    }
    if splices.iter().map(|s| s.insert.len()).sum::<usize>() > MAX_WEAVE_INSERT_BYTES {
        return Err(field_error("splices", "insert too much"));
    }
    if splices.iter().any(|s| s.delete == 0 && s.insert.is_empty()) {
        return Err(field_error("splices", "one that changes nothing"));
    }
    let apart = |w: &[Splice]| matches!(w, [a, b] if u64::from(b.at) > a.end());
    if !splices.windows(2).all(apart) {
        return Err(field_error("splices", "not ascending and apart"));
    }
    Ok(())
}

pub(super) fn check_reason(reason: Option<&str>) -> Result<(), PayloadError> {
    match reason {
        Some(r) if r.len() > MAX_REASON_BYTES => Err(field_error("reason", "too long")),
        _ => Ok(()),
    }
}

/// One change to a page, made on the text at exactly the weaves in `refs[1..]`. Without splices it
/// joins them, and takes over proposals among them.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Weave {
    /// Which page.
    #[n(0)]
    pub page: PageKind,
    /// The changes, ascending.
    #[n(1)]
    pub splices: Vec<Splice>,
}

impl Weave {
    pub(super) fn check(&self) -> Result<(), PayloadError> {
        check_splices(&self.splices)
    }
}

/// A proposed wording of a question: a weave that takes effect only once a weave of somebody who may
/// write the question builds on it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Reframe {
    /// The changes, ascending.
    #[n(0)]
    pub splices: Vec<Splice>,
    /// Why it is better put so.
    #[n(1)]
    pub reason: Option<String>,
}

impl Reframe {
    pub(super) fn check(&self) -> Result<(), PayloadError> {
        if self.splices.is_empty() {
            return Err(field_error("splices", "a proposal that changes nothing"));
        }
        check_reason(self.reason.as_deref())?;
        check_splices(&self.splices)
    }
}

/// A stretch of a generation's text and the entry that wrote it, as its author claims.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Run {
    /// Length in Unicode scalar values.
    #[n(0)]
    pub length: u32,
    /// The entry that wrote it.
    #[n(1)]
    pub source: ByteArray<32>,
}

/// A page started afresh from its text, so that its past need not be computed for ever.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Generation {
    /// Which page.
    #[n(0)]
    pub page: PageKind,
    /// The whole text.
    #[n(1)]
    pub text: String,
    /// Who wrote which part: the lengths add up to the text's.
    #[n(2)]
    pub runs: Vec<Run>,
}

impl Generation {
    pub(super) fn check(&self) -> Result<(), PayloadError> {
        if self.text.len() > MAX_PAGE_BYTES {
            return Err(field_error("text", "too long for a page"));
        }
        if self.runs.len() > MAX_GENERATION_RUNS {
            return Err(field_error("runs", "too many"));
        }
        if self.runs.iter().any(|r| r.length == 0) {
            return Err(field_error("runs", "an empty one"));
        }
        let told: u64 = self.runs.iter().map(|r| u64::from(r.length)).sum();
        if told != self.text.chars().count() as u64 {
            return Err(field_error("runs", "do not add up to the text"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
