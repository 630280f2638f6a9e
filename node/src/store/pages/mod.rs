//! Pages: the shared texts of a thread, kept so that they open at once.
//!
//! 1. The truth are the entries of class 3. [`crdt::page`](lanai_crdt::page) folds them; this module
//!    finds them, keeps the folded document between two folds, and keeps what a reader sees beside it.
//! 2. The kept document is only a cache. It carries a checksum, since Automerge must never read bytes
//!    that changed, and it can be deleted at any time.
//! 3. A fold applies a bounded number of weaves and comes back for the rest; until then the page says
//!    that it is catching up. So a flood costs its readers nothing.
//! 4. A page of imports of one message is one page, folded from the weaves that name any copy of it.
//! 5. What a device writes must be built on its own last weave of the page. Where the text was edited
//!    on an older one (two editors open on one machine), the change is first carried over.

mod fold;
mod load;
mod row;
mod weave;

use std::collections::BTreeMap;

use lanai_crdt::id::{EntryId, MemberId};
use lanai_crdt::page::{self, LogEntry};
use lanai_crdt::payload::PageKind;
use lanai_crdt::thread::{Thread, ThreadKind};
use rusqlite::{Connection, OptionalExtension as _};

pub use weave::{PageEdit, PageError};

use super::keys::Keyring;
use super::read::{name_of, own_number};
use super::rows::{ID_IS_1, entry_id};
use super::{Durability, Store, StoreError};
use fold::kind_number;
use row::{ViewRow, entry};

/// Transactions that a reader waits for before it shows a page that is still catching up.
const READER_STEPS: usize = 4;

/// A stretch of a page's text and the entry that wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageSpan {
    /// Length in Unicode scalar values.
    pub length: u32,
    /// The weave, or the ask, that wrote it.
    pub source: EntryId,
    /// The generation whose author claims so, where the weave itself is no longer computed.
    pub claimed_by: Option<EntryId>,
}

/// A place where people who did not see each other's changes replaced the same words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageConflict {
    /// Where in today's text, in Unicode scalar values.
    pub at: u32,
    /// The wordings and the weaves that wrote them.
    pub wordings: Vec<(EntryId, String)>,
}

/// A proposed wording of the question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageProposal {
    /// The entry that proposes it.
    pub id: EntryId,
    /// The whole text that it proposes; none where it cannot be computed.
    pub text: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// The heads of the text that it was written on.
    pub base: Vec<EntryId>,
}

/// Wordings that others propose for an ask of mine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProposedToMe {
    /// The ask.
    pub thread: EntryId,
    /// Its title.
    pub title: String,
    /// The proposals and who made them.
    pub proposals: Vec<(PageProposal, PageSource)>,
}

/// Who wrote an entry that a page names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageSource {
    /// The member; none where the entry does not count.
    pub member: Option<MemberId>,
    /// The member's name, where a profile is here.
    pub name: Option<String>,
    /// When, Unix milliseconds.
    pub time_ms: u64,
}

/// What is not part of a page's text, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PageAside {
    /// Weaves that break a rule.
    pub unreadable: u64,
    /// Weaves of a member with more open branches than one may have.
    pub flood: u64,
    /// Weaves on an earlier generation of the text.
    pub earlier: u64,
    /// Weaves that wait for others.
    pub waiting: u64,
    /// Weaves by people who were no members.
    pub uncounted: u64,
}

/// A page as a reader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageView {
    /// The thread; of an import the canonical copy.
    pub thread: EntryId,
    /// Question or answer.
    pub kind: PageKind,
    /// The text.
    pub text: String,
    /// The weaves that it stands at; none while nobody changed it.
    pub heads: Vec<EntryId>,
    /// Who wrote which part, in order: together the whole text.
    pub spans: Vec<PageSpan>,
    /// Weaves still to be applied: the page is catching up.
    pub left: u64,
    /// Weaves in it.
    pub weaves: u64,
    /// Time of the latest weave in it, Unix milliseconds.
    pub latest_ms: Option<u64>,
    /// The weave in which branches last came together.
    pub merged: Option<EntryId>,
    /// Where two wordings stand side by side.
    pub conflicts: Vec<PageConflict>,
    /// Proposed wordings that nobody took over.
    pub proposals: Vec<PageProposal>,
    /// What is left out.
    pub aside: PageAside,
    /// The generation that the text belongs to, if it is not the first.
    pub generation: Option<EntryId>,
    /// Who wrote the entries that this view names.
    pub sources: BTreeMap<EntryId, PageSource>,
}

/// Everything that was ever written to a page.
#[derive(Debug, Clone)]
pub struct PageLog {
    /// The entries in causal order, each with what became of it.
    pub entries: Vec<LogEntry>,
    /// Who wrote them.
    pub sources: BTreeMap<EntryId, PageSource>,
}

impl Store {
    /// A page of a thread, named by its root or a copy of it. `None` when there is no such thread,
    /// or the thread is a note and the page a question. A page that nobody wrote to yet is empty, or
    /// the question as it was asked.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn page(&self, thread: &EntryId, kind: PageKind) -> Result<Option<PageView>, StoreError> {
        self.fold_page_of(thread, kind)?;
        self.inner.connections.read(|conn| self.read_page(conn, thread, kind))
    }

    fn read_page(
        &self,
        conn: &Connection,
        thread: &EntryId,
        kind: PageKind,
    ) -> Result<Option<PageView>, StoreError> {
        let Some(t) = thread_number(conn, thread)? else { return Ok(None) };
        let threads = load::copies_of(conn, t)?;
        let canonical = threads.first().copied().unwrap_or(t);
        if kind == PageKind::Question && is_withdrawn(conn, canonical)? {
            return Ok(None);
        }
        let row: Option<(EntryId, Vec<u8>)> = conn
            .prepare_cached(
                "SELECT x.id, p.view FROM pages p JOIN threads x ON x.t = p.t
                 WHERE p.t = ?1 AND p.kind = ?2",
            )?
            .query_row((canonical, kind_number(kind)), |r| {
                Ok((entry_id(r.get_ref(0)?.as_blob()?), r.get(1)?))
            })
            .optional()?;
        let mut view = match row {
            Some((id, bytes)) => {
                let row: ViewRow = minicbor::decode(&bytes)
                    .map_err(|_| StoreError::Damaged("a page cannot be read".into()))?;
                row.view(id, kind)
            }
            None => {
                let keys = Keyring::load(conn)?;
                let community = &self.inner.community;
                let root = fold::page_root(conn, community, &keys, &threads, kind)?;
                let Some(root) = root else { return Ok(None) };
                untouched(root)
            }
        };
        for id in view.named() {
            if let Some(source) = source_of(conn, &id)? {
                view.sources.insert(id, source);
            }
        }
        Ok(Some(view))
    }

    /// Everything that was written to a page, whatever became of it.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn page_log(
        &self,
        thread: &EntryId,
        kind: PageKind,
    ) -> Result<Option<PageLog>, StoreError> {
        self.fold_page_of(thread, kind)?;
        self.inner.connections.read(|conn| {
            let Some(page) = self.whole(conn, thread, kind)? else { return Ok(None) };
            let entries = page.log();
            let mut sources = BTreeMap::new();
            for entry in &entries {
                if let Some(source) = source_of(conn, &entry.entry.id)? {
                    sources.insert(entry.entry.id, source);
                }
            }
            Ok(Some(PageLog { entries, sources }))
        })
    }

    /// The text of a page as it stood at some of its weaves; none given: the first text. `None` when
    /// one of them is not part of it.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn page_at(
        &self,
        thread: &EntryId,
        kind: PageKind,
        heads: &[EntryId],
    ) -> Result<Option<String>, StoreError> {
        self.fold_page_of(thread, kind)?;
        self.inner.connections.read(|conn| {
            let Some(mut page) = self.whole(conn, thread, kind)? else { return Ok(None) };
            Ok(page.text_at(heads))
        })
    }

    fn whole(
        &self,
        conn: &Connection,
        thread: &EntryId,
        kind: PageKind,
    ) -> Result<Option<page::Page>, StoreError> {
        let Some(t) = thread_number(conn, thread)? else { return Ok(None) };
        if kind == PageKind::Question && is_withdrawn(conn, t)? {
            return Ok(None);
        }
        let keys = Keyring::load(conn)?;
        fold::whole_page(conn, &self.inner.community, &keys, t, kind)
    }

    /// My asks for which somebody proposes another wording, each with the proposals that wait.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn proposed_to_me(&self) -> Result<Vec<ProposedToMe>, StoreError> {
        self.inner.connections.read(|conn| {
            let own = own_number(conn, self)?;
            let mut statement = conn.prepare_cached(
                "SELECT x.id, x.title, p.view FROM pages p CROSS JOIN threads x ON x.t = p.t
                 WHERE x.author = ?1 AND x.hash IS NOT NULL AND x.title <> '' AND p.kind = 0
                 ORDER BY x.active DESC",
            )?;
            let mut rows = statement.query([own])?;
            let mut out = Vec::new();
            while let Some(row) = rows.next()? {
                let thread = entry_id(row.get_ref(0)?.as_blob()?);
                let bytes: Vec<u8> = row.get(2)?;
                let Ok(view) = minicbor::decode::<ViewRow>(&bytes) else { continue };
                let view = view.view(thread, PageKind::Question);
                let mut proposals = Vec::new();
                for proposal in view.proposals {
                    if let Some(source) = source_of(conn, &proposal.id)? {
                        proposals.push((proposal, source));
                    }
                }
                if !proposals.is_empty() {
                    out.push(ProposedToMe { thread, title: row.get(1)?, proposals });
                }
            }
            Ok(out)
        })
    }

    /// The title of an ask whose question somebody changed.
    pub(super) fn question_title(
        &self,
        conn: &Connection,
        thread: &Thread,
    ) -> Result<Option<String>, StoreError> {
        if thread.kind != ThreadKind::Ask || thread.title.is_empty() {
            return Ok(None);
        }
        let title: Option<Option<String>> = conn
            .prepare_cached(
                "SELECT p.title FROM threads x JOIN pages p ON p.t = x.t
                 WHERE x.id = ?1 AND p.kind = 0",
            )?
            .query_row([thread.root.as_bytes()], |r| r.get(0))
            .optional()?;
        Ok(title.flatten().filter(|t| !t.is_empty()))
    }

    /// The hashes of all pages that somebody wrote to.
    pub(super) fn page_hashes(
        &self,
        conn: &Connection,
    ) -> Result<Vec<(EntryId, PageKind, [u8; 32])>, StoreError> {
        let mut statement = conn.prepare_cached(
            "SELECT x.id, p.kind, p.hash FROM pages p JOIN threads x ON x.t = p.t",
        )?;
        let found = statement.query_map([], |r| {
            Ok((entry_id(r.get_ref(0)?.as_blob()?), fold::kind_from(r.get(1)?), r.get(2)?))
        })?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    /// Folds what waits for this page, as far as a reader would want to wait.
    fn fold_page_of(&self, thread: &EntryId, kind: PageKind) -> Result<(), StoreError> {
        for _ in 0..READER_STEPS {
            let waits = self.inner.connections.read(|conn| {
                let Some(t) = thread_number(conn, thread)? else { return Ok(false) };
                Ok(!weave::pending(conn, t)?.is_empty() || weave::in_todo(conn, t, kind)?)
            })?;
            if !waits {
                return Ok(());
            }
            self.inner.write(Durability::Normal, 0, |ctx| ctx.fold_page_now(thread, kind))?;
        }
        Ok(())
    }
}

/// Whether the root of a thread was withdrawn, which hides its question page.
fn is_withdrawn(conn: &Connection, t: i64) -> Result<bool, StoreError> {
    Ok(conn
        .prepare_cached("SELECT 1 FROM threads WHERE t = ?1 AND hash IS NOT NULL AND title = ''")?
        .exists([t])?)
}

fn thread_number(conn: &Connection, thread: &EntryId) -> Result<Option<i64>, StoreError> {
    Ok(conn
        .prepare_cached("SELECT t FROM threads WHERE id = ?1")?
        .query_row([thread.as_bytes()], |r| r.get(0))
        .optional()?)
}

fn source_of(conn: &Connection, id: &EntryId) -> Result<Option<PageSource>, StoreError> {
    let found: Option<(i64, Option<Vec<u8>>)> = conn
        .prepare_cached(&format!(
            "SELECT e.time, m.id FROM entries e
             LEFT JOIN stands s ON s.p = coalesce(e.judged, e.past) AND s.l = e.l LEFT JOIN members m ON m.m = s.m
             WHERE {ID_IS_1}"
        ))?
        .query_row([id.as_bytes()], |r| Ok((r.get(0)?, r.get(1)?)))
        .optional()?;
    let Some((time, member)) = found else { return Ok(None) };
    let member = member.and_then(|m| MemberId::from_slice(&m));
    let name = match &member {
        Some(member) => name_of(conn, member)?,
        None => None,
    };
    let time = lanai_crdt::clock::Hlc(super::rows::unordered(time));
    Ok(Some(PageSource { member, name, time_ms: time.millis() }))
}

/// The page of a thread that nobody wrote to.
fn untouched(root: page::PageRoot) -> PageView {
    let text = root.opening.unwrap_or_default();
    let length = u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
    let span = PageSpan { length, source: root.thread, claimed_by: None };
    PageView {
        thread: root.thread,
        kind: root.kind,
        heads: Vec::new(),
        spans: if length == 0 { Vec::new() } else { vec![span] },
        text,
        left: 0,
        weaves: 0,
        latest_ms: None,
        merged: None,
        conflicts: Vec::new(),
        proposals: Vec::new(),
        aside: PageAside::default(),
        generation: None,
        sources: BTreeMap::new(),
    }
}

impl PageView {
    /// The entries whose authors a reader is told.
    fn named(&self) -> Vec<EntryId> {
        let mut ids: Vec<EntryId> = self.spans.iter().map(|s| s.source).collect();
        ids.extend(self.spans.iter().filter_map(|s| s.claimed_by));
        ids.extend(&self.heads);
        ids.extend(self.merged);
        ids.extend(self.generation);
        ids.extend(self.proposals.iter().map(|p| p.id));
        ids.extend(self.conflicts.iter().flat_map(|c| c.wordings.iter().map(|(id, _)| *id)));
        ids.sort_unstable();
        ids.dedup();
        ids
    }
}

impl ViewRow {
    fn view(self, thread: EntryId, kind: PageKind) -> PageView {
        PageView {
            thread,
            kind,
            heads: self.heads.iter().map(entry).collect(),
            spans: self
                .spans
                .iter()
                .map(|s| PageSpan {
                    length: s.length,
                    source: entry(&s.source),
                    claimed_by: s.claimed_by.as_ref().map(entry),
                })
                .collect(),
            text: self.text,
            left: self.left,
            weaves: self.weaves,
            latest_ms: (self.weaves > 0).then_some(self.latest_ms),
            merged: self.merged.as_ref().map(entry),
            conflicts: self
                .conflicts
                .into_iter()
                .map(|c| PageConflict {
                    at: c.at,
                    wordings: c.wordings.into_iter().map(|w| (entry(&w.source), w.text)).collect(),
                })
                .collect(),
            proposals: self
                .proposals
                .into_iter()
                .map(|p| PageProposal {
                    id: entry(&p.id),
                    text: p.text,
                    reason: p.reason,
                    base: p.deps.iter().map(entry).collect(),
                })
                .collect(),
            aside: PageAside {
                unreadable: self.aside.unreadable,
                flood: self.aside.flood,
                earlier: self.aside.earlier,
                waiting: self.aside.waiting,
                uncounted: self.aside.uncounted,
            },
            generation: self.generation.as_ref().map(entry),
            sources: BTreeMap::new(),
        }
    }
}
