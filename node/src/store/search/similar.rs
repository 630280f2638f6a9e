//! Earlier threads like a draft, so that a question answered once is not asked twice.
//!
//! The most telling words of the draft are looked for, any of them; the best document of each thread
//! is given when it holds at least two of them (one, where the draft has no more than two), or when the
//! titles have one in common.

use lanai_crdt::id::EntryId;
use lanai_crdt::payload::ThreadState;

use super::index::{DocKind, OUTCOME, PART_OF_ANSWER};
use super::rank::{self, Filters, has_worth, some_of, thread_number};
use super::snippet::Wanted;
use super::{HitKind, Hits};
use crate::store::{Store, StoreError};

/// Telling words that are looked for.
const MAX_WORDS: usize = 8;
/// Documents looked into, for each thread that is wanted.
const LOOKED_INTO: usize = 4;

/// A thread that may answer a draft.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Similar {
    /// The canonical root.
    pub thread: EntryId,
    /// The post that is most like the draft; the root for a page.
    pub post: EntryId,
    /// What that post is.
    pub kind: HitKind,
    /// The thread's title.
    pub title: String,
    /// Telling words of the draft that the title or the snippet's text has.
    pub words: Vec<String>,
    /// Text around the words, on one line.
    pub snippet: String,
    /// Byte ranges of the words in `snippet`.
    pub matches: Vec<std::ops::Range<usize>>,
    /// The state of an ask; none for a note.
    pub state: Option<ThreadState>,
    /// Somebody told the outcome.
    pub has_outcome: bool,
    /// A post is marked as part of the answer.
    pub has_answer: bool,
    /// Sort time of the post, Unix milliseconds.
    pub time_ms: u64,
}

impl Store {
    /// The earlier threads that are most like a text, the nearest first.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn similar(&self, text: &str, limit: usize) -> Result<Vec<Similar>, StoreError> {
        self.inner.connections.read(|conn| {
            let (found, words) = some_of(conn, text, &Filters::none(), MAX_WORDS)?;
            let wanted: Vec<Wanted> =
                words.iter().map(|t| Wanted { word: t.word.clone(), prefix: false }).collect();
            let about: Vec<&Wanted> =
                wanted.iter().zip(&words).filter(|(_, t)| t.title).map(|(w, _)| w).collect();
            let enough = if wanted.len() > 2 { 2 } else { 1 };
            let found = rank::grouped(found, &wanted.iter().collect::<Vec<_>>());
            let hits = Hits::new(self, conn)?;
            let mut out: Vec<Similar> = Vec::new();
            let threads = found
                .iter()
                .filter(|m| !matches!(m.other, Some((DocKind::Person, _))) && m.t.is_some());
            for found in threads.take(limit.saturating_mul(LOOKED_INTO)) {
                if out.len() >= limit {
                    break;
                }
                let Some(hit) = hits.hit(found, &wanted)? else { continue };
                let shown = |text: &str, at: &[std::ops::Range<usize>]| -> Vec<String> {
                    at.iter().filter_map(|at| Some(text.get(at.clone())?.to_lowercase())).collect()
                };
                let mut has = shown(&hit.title, &hit.title_matches);
                let same_subject = about.iter().any(|w| has.iter().any(|word| w.is(word)));
                has.extend(shown(&hit.snippet, &hit.matches));
                let words: Vec<String> = wanted
                    .iter()
                    .filter(|w| has.iter().any(|word| w.is(word)))
                    .map(|w| w.word.clone())
                    .collect();
                if words.len() < enough && !same_subject {
                    continue;
                }
                let t = thread_number(conn, hit.thread.as_bytes())?.unwrap_or(-1);
                out.push(Similar {
                    thread: hit.thread,
                    post: hit.post,
                    kind: hit.kind,
                    title: hit.title,
                    words,
                    snippet: hit.snippet,
                    matches: hit.matches,
                    state: hit.state,
                    has_outcome: has_worth(conn, t, OUTCOME)?,
                    has_answer: has_worth(conn, t, PART_OF_ANSWER)?,
                    time_ms: hit.time_ms,
                });
            }
            Ok(out)
        })
    }
}
