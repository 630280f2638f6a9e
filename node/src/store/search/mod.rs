//! Full text search: posts, pages and people.
//!
//! | typed | means |
//! | --- | --- |
//! | `convoy brief` | both words, in any form (Porter stems) |
//! | `"convoy brief"` | the words next to each other |
//! | `conv*` | words that begin so |
//! | `-rain` | without that word |
//! | `tag:convoy` | in threads with the tag |
//! | `by:ann` | written by a member, or in an import by an author, with this in the name |
//! | `since:2001-05`, `since:30d`, `until:2001` | of that time |
//! | `state:open` | in asks of that state; `state:outcome`: where somebody told the outcome |
//! | `in:title` | the words must be in the title |
//!
//! | module | what |
//! | --- | --- |
//! | `query` | taking apart what was typed |
//! | `index` | what is indexed, and its tables |
//! | `vocabulary` | the words that there are: typos, prefixes, which words tell something |
//! | `rank` | which documents match, in which order, with bounded work |
//! | `snippet` | the part of a text that shows why |
//! | `similar`, `people` | earlier threads like a draft, and who may know |
//!
//! Newest first is the default and the index's own order, so that the first page costs the same at a
//! million posts; ranking looks at the newest matches only. A word that occurs nowhere is taken for
//! a typo, and the answer says so.

use std::ops::Range;

use lanai_crdt::id::{EntryId, MemberId};
use lanai_crdt::payload::{Body, ThreadState};
use rusqlite::{Connection, OptionalExtension as _};

use super::fold::{open_body, thread_state_from};
use super::keys::Keyring;
use super::read::name_of;
use super::rows::{self, entry_by_number, entry_id};
use super::{Store, StoreError};

mod index;
mod people;
mod query;
mod rank;
mod similar;
mod snippet;
mod texts;
mod vocabulary;

#[cfg(test)]
mod tests;

#[allow(unused_imports)] // the page store names it
pub(super) use index::{DROP, DocKind, REFOLD, TABLES};
pub use people::{Expert, Named, Reason as Grounds, Who};
pub use query::{SearchOrder, SearchQuery, SearchState, span};
pub use similar::Similar;
pub(super) use texts::{MERGE_WHEN_IDLE, NewTexts, merge_when_idle};
pub(super) use vocabulary::NewWords;

use index::{OUTCOME, PART_OF_ANSWER};
use query::Parsed;
use rank::{Filters, MAX_COUNTED, Match, Plan};
use snippet::{Snippet, Wanted, snippet};

/// What a hit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HitKind {
    /// A post.
    Post,
    /// A post that tells what was done and how it went.
    Outcome,
    /// A post that is marked as part of the answer.
    PartOfAnswer,
    /// The answer page of a thread.
    AnswerPage,
    /// The question page of a thread.
    QuestionPage,
    /// A member's profile.
    Person,
}

/// A document that matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchHit {
    /// What it is.
    pub kind: HitKind,
    /// The post; the root of a page's thread; the entry of a profile.
    pub post: EntryId,
    /// The canonical root of its thread; for a person the same as `post`.
    pub thread: EntryId,
    /// The thread's title, or the person's name.
    pub title: String,
    /// Byte ranges of the matches in `title`.
    pub title_matches: Vec<Range<usize>>,
    /// The state of an ask; none for notes and people.
    pub state: Option<ThreadState>,
    /// Who wrote or imported it; for a page the one who opened the thread.
    pub author: MemberId,
    /// The author's name, where a profile is here.
    pub author_name: Option<String>,
    /// The original author of an import.
    pub origin: Option<String>,
    /// Its sort time, Unix milliseconds.
    pub time_ms: u64,
    /// Text around the matches, on one line.
    pub snippet: String,
    /// Byte ranges of the matches in `snippet`.
    pub matches: Vec<Range<usize>>,
    /// Further documents of the thread that matched, among those looked at; when ranked.
    pub more: usize,
    /// Not all words occur; only when ranked.
    pub partial: bool,
}

/// What a search found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SearchResults {
    /// The hits.
    pub hits: Vec<SearchHit>,
    /// How many documents hold all words, filters other than the time left out, up to 1,000; none
    /// where nothing but filters was given.
    pub count: Option<usize>,
    /// Words that occur nowhere, and what was looked for instead.
    pub corrected: Vec<(String, String)>,
    /// Filters that were not understood and left out.
    pub ignored: Vec<String>,
}

impl Store {
    /// Searches posts as they read now, pages, and people.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn search(&self, query: &SearchQuery) -> Result<SearchResults, StoreError> {
        let parsed = Parsed::of(query);
        self.inner.connections.read(|conn| {
            let plan = Plan::of(conn, &parsed)?;
            let mut results = SearchResults {
                corrected: plan.corrected.clone(),
                ignored: parsed.ignored.clone(),
                ..SearchResults::default()
            };
            let expression = plan.expression();
            if expression.is_none() && !parsed.has_filters() {
                return Ok(results);
            }
            let filters = Filters::of(conn, &parsed)?;
            let found = match (query.order, &expression) {
                (SearchOrder::Best, Some(_)) => rank::best(conn, &plan, &filters, query.limit)?,
                _ => rank::newest(conn, &plan, &filters, query.limit)?,
            };
            if let Some(expression) = &expression {
                let most = i64::try_from(MAX_COUNTED).unwrap_or(i64::MAX);
                results.count = usize::try_from(rank::count(conn, expression, most)?).ok();
            }
            let hits = Hits::new(self, conn)?;
            for found in found {
                results.hits.extend(hits.hit(&found, &plan.wanted)?);
            }
            Ok(results)
        })
    }
}

/// Makes hits of matches.
struct Hits<'c> {
    store: &'c Store,
    conn: &'c Connection,
    keys: Keyring,
}

impl<'c> Hits<'c> {
    fn new(store: &'c Store, conn: &'c Connection) -> Result<Hits<'c>, StoreError> {
        Ok(Hits { store, conn, keys: Keyring::load(conn)? })
    }

    fn hit(&self, found: &Match, wanted: &[Wanted]) -> Result<Option<SearchHit>, StoreError> {
        let hit = match found.other {
            None => self.post(found, wanted)?,
            Some((DocKind::Person, m)) => self.person(found.doc, m, wanted)?,
            Some((kind, t)) => self.page(found.doc, kind, t, wanted)?,
        };
        Ok(hit.map(|mut hit| {
            hit.title_matches = snippet::marks(&hit.title, wanted);
            hit.more = found.more;
            hit.partial = found.partial;
            hit
        }))
    }

    /// The text of a post as it reads now; none when it cannot be opened.
    fn text(&self, text_n: i64) -> Result<Option<Body>, StoreError> {
        let community = &self.store.inner.community;
        let stored = entry_by_number(self.conn, community, text_n)?;
        let (Some(stored), Some(blob)) = (stored, rows::payload(self.conn, text_n)?) else {
            return Ok(None);
        };
        Ok(open_body(&self.keys, &stored, &blob).ok())
    }

    fn post(&self, found: &Match, wanted: &[Wanted]) -> Result<Option<SearchHit>, StoreError> {
        let mut statement = self.conn.prepare_cached(
            "SELECT e.id, t.id, t.title, m.id, o.name, x.sort, x.text_n, t.kind, t.state
             FROM posts x JOIN entries e ON e.n = x.n JOIN threads t ON t.t = x.t
             JOIN members m ON m.m = x.author LEFT JOIN names o ON o.a = x.origin
             WHERE x.doc = ?1",
        )?;
        let kind = match found.worth {
            worth if worth & OUTCOME != 0 => HitKind::Outcome,
            worth if worth & PART_OF_ANSWER != 0 => HitKind::PartOfAnswer,
            _ => HitKind::Post,
        };
        let row = statement
            .query_row([found.doc], |r| {
                let state = state_of(r.get(7)?, r.get(8)?);
                let hit = SearchHit {
                    origin: r.get(4)?,
                    time_ms: r.get::<_, i64>(5)?.unsigned_abs(),
                    ..blank(
                        kind,
                        entry_id(r.get_ref(0)?.as_blob()?),
                        entry_id(r.get_ref(1)?.as_blob()?),
                        r.get::<_, Option<String>>(2)?.unwrap_or_default(),
                        MemberId::from_slice(r.get_ref(3)?.as_blob()?).unwrap_or(MemberId::ZERO),
                        state,
                    )
                };
                Ok((hit, r.get::<_, i64>(6)?))
            })
            .optional()?;
        let Some((mut hit, text_n)) = row else { return Ok(None) };
        hit.author_name = name_of(self.conn, &hit.author)?;
        if let Some(body) = self.text(text_n)? {
            hit.show(snippet(&text_of(&body), wanted));
        }
        Ok(Some(hit))
    }

    fn page(
        &self,
        doc: i64,
        kind: DocKind,
        t: i64,
        wanted: &[Wanted],
    ) -> Result<Option<SearchHit>, StoreError> {
        let mut statement = self.conn.prepare_cached(
            "SELECT t.id, coalesce(t.title, d.title), m.id, o.name, d.sort, d.text, t.kind, t.state
             FROM docs d JOIN threads t ON t.t = ?2 LEFT JOIN members m ON m.m = t.author
             LEFT JOIN names o ON o.a = t.origin WHERE d.doc = ?1",
        )?;
        let kind =
            if kind == DocKind::Answer { HitKind::AnswerPage } else { HitKind::QuestionPage };
        let row = statement
            .query_row((doc, t), |r| {
                let thread = entry_id(r.get_ref(0)?.as_blob()?);
                let author = r.get::<_, Option<Vec<u8>>>(2)?;
                let author = author.and_then(|id| MemberId::from_slice(&id));
                let state = state_of(r.get(6)?, r.get(7)?);
                let author = author.unwrap_or(MemberId::ZERO);
                let hit = SearchHit {
                    origin: r.get(3)?,
                    time_ms: r.get::<_, i64>(4)?.unsigned_abs(),
                    ..blank(kind, thread, thread, r.get(1)?, author, state)
                };
                Ok((hit, r.get::<_, String>(5)?))
            })
            .optional()?;
        let Some((mut hit, text)) = row else { return Ok(None) };
        hit.author_name = name_of(self.conn, &hit.author)?;
        hit.show(snippet(&text, wanted));
        Ok(Some(hit))
    }

    fn person(&self, doc: i64, m: i64, wanted: &[Wanted]) -> Result<Option<SearchHit>, StoreError> {
        let mut statement = self.conn.prepare_cached(
            "SELECT e.id, p.name, m.id, d.sort, d.text FROM docs d JOIN people p ON p.m = ?2
             JOIN members m ON m.m = p.m JOIN entries e ON e.n = p.n WHERE d.doc = ?1",
        )?;
        let row = statement
            .query_row((doc, m), |r| {
                let entry = entry_id(r.get_ref(0)?.as_blob()?);
                let member =
                    MemberId::from_slice(r.get_ref(2)?.as_blob()?).unwrap_or(MemberId::ZERO);
                let name: String = r.get(1)?;
                let hit = SearchHit {
                    author_name: Some(name.clone()),
                    time_ms: r.get::<_, i64>(3)?.unsigned_abs(),
                    ..blank(HitKind::Person, entry, entry, name, member, None)
                };
                Ok((hit, r.get::<_, String>(4)?))
            })
            .optional()?;
        let Some((mut hit, text)) = row else { return Ok(None) };
        if !is_member(self.store, self.conn, &hit.author)? {
            return Ok(None);
        }
        hit.show(snippet(&text.replace('\n', " · "), wanted));
        Ok(Some(hit))
    }
}

/// Whether the roster still has the member.
fn is_member(store: &Store, conn: &Connection, member: &MemberId) -> Result<bool, StoreError> {
    let roster = store.inner.rosters.get(conn)?;
    Ok(roster.roster().member(member).is_some())
}

impl SearchHit {
    fn show(&mut self, snippet: Snippet) {
        self.snippet = snippet.text;
        self.matches = snippet.matches;
    }
}

fn blank(
    kind: HitKind,
    post: EntryId,
    thread: EntryId,
    title: String,
    author: MemberId,
    state: Option<ThreadState>,
) -> SearchHit {
    SearchHit {
        kind,
        post,
        thread,
        title,
        title_matches: Vec::new(),
        state,
        author,
        author_name: None,
        origin: None,
        time_ms: 0,
        snippet: String::new(),
        matches: Vec::new(),
        more: 0,
        partial: false,
    }
}

fn state_of(kind: Option<i64>, state: Option<i64>) -> Option<ThreadState> {
    (kind == Some(0)).then(|| thread_state_from(state.unwrap_or(0)))
}

fn text_of(body: &Body) -> String {
    match body {
        Body::Ask(a) => {
            let more = [&a.decide, &a.tried].into_iter().flatten();
            std::iter::once(&a.situation).chain(more).cloned().collect::<Vec<_>>().join("\n")
        }
        Body::Note(n) => n.text.clone(),
        Body::Post(p) => p.text.clone(),
        Body::Edit(e) => e.text.clone(),
        _ => String::new(),
    }
}
