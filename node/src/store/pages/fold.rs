//! Folding pages: which pages an entry touches, and bringing the kept document in line.

use std::collections::HashMap;

use lanai_crdt::entry::{Class, HeaderTail};
use lanai_crdt::id::EntryId;
use lanai_crdt::page::{Page, PageBody, PageEntry, PageRoot, Status, opening_text};
use lanai_crdt::payload::{Body, PageKind};
use rusqlite::{Connection, OptionalExtension as _};

use super::super::StoreError;
use super::super::fold::load_root;
use super::super::keys::Keyring;
use super::super::rows::{self, ID_IS_1, Stored};
use super::super::search::DocKind;
use super::super::write::Ctx;
use super::load::{copies_of, load_entries, page_of};
use super::row::{AsideRow, ConflictRow, ProposalRow, SpanRow, ViewRow, WordingRow, id};

/// Weaves applied in one transaction. The rest waits for the next one, so that a flood holds up
/// neither readers nor other writers.
const STEP_WEAVES: usize = 64;

/// Proposals, and conflicts, that a reader is shown; the log has all.
const MAX_SHOWN: usize = 50;

/// What a citation counts for its author, beside the characters that others wrote themselves.
const CITED_CHARS: u64 = 100;

fn doc_kind(kind: PageKind) -> DocKind {
    match kind {
        PageKind::Question => DocKind::Question,
        PageKind::Answer => DocKind::Answer,
    }
}

/// The number of a kind of page in the tables.
pub(super) fn kind_number(kind: PageKind) -> i64 {
    match kind {
        PageKind::Question => 0,
        PageKind::Answer => 1,
    }
}

pub(super) fn kind_from(number: i64) -> PageKind {
    if number == 0 { PageKind::Question } else { PageKind::Answer }
}

/// The thread whose page an entry of class 3 changes: its first ref.
pub(in super::super) fn page_thread(header: &lanai_crdt::entry::Header) -> Option<EntryId> {
    let HeaderTail::V1 { refs, .. } = &header.tail else { return None };
    (header.known_class() == Some(Class::Weave)).then_some(())?;
    refs.first().copied()
}

/// What the fold of a page starts from, where that is here.
pub(super) fn page_root(
    conn: &Connection,
    community: &lanai_crdt::id::CommunityId,
    keys: &Keyring,
    threads: &[i64],
    kind: PageKind,
) -> Result<Option<PageRoot>, StoreError> {
    let Some(canonical) = threads.first() else { return Ok(None) };
    let thread: EntryId = conn
        .prepare_cached("SELECT id FROM threads WHERE t = ?1")?
        .query_row([canonical], |r| Ok(rows::entry_id(r.get_ref(0)?.as_blob()?)))?;
    match load_root(conn, community, keys, &thread)? {
        Some((member, Body::Ask(ask))) => Ok(Some(PageRoot {
            thread,
            kind,
            author: member,
            opening: (kind == PageKind::Question).then(|| opening_text(&ask)),
        })),
        Some((member, _)) if kind == PageKind::Answer => {
            Ok(Some(PageRoot { thread, kind, author: member, opening: None }))
        }
        _ => Ok(None),
    }
}

impl Ctx<'_> {
    /// The thread whose page an entry of class 3 names.
    pub(in super::super) fn claimed_page(
        &mut self,
        header: &lanai_crdt::entry::Header,
    ) -> Result<Option<i64>, StoreError> {
        page_thread(header).map(|thread| self.thread(&thread)).transpose()
    }

    /// An entry of class 3 was opened, or stands differently than before: its page is folded again.
    pub(in super::super) fn touch_page(
        &mut self,
        stored: &Stored,
        body: &Body,
    ) -> Result<(), StoreError> {
        let (Some(thread), Some(kind)) = (page_thread(stored.verified.header()), page_of(body))
        else {
            return Ok(());
        };
        let t = self.thread(&thread)?;
        self.page_todo(t, kind)
    }

    fn page_todo(&self, t: i64, kind: PageKind) -> Result<(), StoreError> {
        self.conn
            .prepare_cached("INSERT OR IGNORE INTO page_todo (t, kind) VALUES (?1, ?2)")?
            .execute((t, kind_number(kind)))?;
        Ok(())
    }

    /// The root of a thread came, or counts no longer: its pages are folded again if it has any.
    pub(in super::super) fn touch_pages_of(&self, t: i64) -> Result<(), StoreError> {
        for copy in copies_of(self.conn, t)? {
            self.touch_pages(copy)?;
        }
        Ok(())
    }

    /// The same for a thread whose root is no copy of another.
    pub(in super::super) fn touch_pages(&self, t: i64) -> Result<(), StoreError> {
        let mut some = self.conn.prepare_cached("SELECT 1 FROM page_entries WHERE t = ?1")?;
        if some.exists([t])? {
            self.conn
                .prepare_cached(
                    "INSERT OR IGNORE INTO page_todo (t, kind) VALUES (?1, 0), (?1, 1)",
                )?
                .execute([t])?;
        }
        Ok(())
    }

    /// Applies some weaves of one page that waits for it. Gives the thread, if there was one.
    pub(in super::super) fn fold_next_page(&mut self) -> Result<Option<EntryId>, StoreError> {
        let next: Option<(i64, i64)> = self
            .conn
            .prepare_cached("SELECT t, kind FROM page_todo ORDER BY rowid LIMIT 1")?
            .query_row([], |r| Ok((r.get(0)?, r.get(1)?)))
            .optional()?;
        let Some((t, kind)) = next else { return Ok(None) };
        self.fold_page(t, kind_from(kind)).map(Some)
    }

    /// Applies some weaves of a page; it stays in `page_todo` while there are more.
    pub(in super::super) fn fold_page(
        &mut self,
        t: i64,
        kind: PageKind,
    ) -> Result<EntryId, StoreError> {
        let (conn, community) = (self.conn, self.community);
        let threads = copies_of(conn, t)?;
        let canonical = threads.first().copied().unwrap_or(t);
        for copy in &threads {
            conn.prepare_cached("DELETE FROM page_todo WHERE t = ?1 AND kind = ?2")?
                .execute((copy, kind_number(kind)))?;
            if *copy != canonical {
                self.drop_page(*copy, kind)?;
            }
        }
        let thread: EntryId = conn
            .prepare_cached("SELECT id FROM threads WHERE t = ?1")?
            .query_row([canonical], |r| Ok(rows::entry_id(r.get_ref(0)?.as_blob()?)))?;
        let keys = self.keys()?;
        let root = page_root(conn, &community, keys, &threads, kind)?;
        let entries = load_entries(conn, &community, keys, &threads, kind)?;
        let Some(root) = root.filter(|_| !entries.is_empty()) else {
            self.drop_page(canonical, kind)?;
            return Ok(thread);
        };
        let cache: Option<Option<Vec<u8>>> = conn
            .prepare_cached("SELECT cache FROM pages WHERE t = ?1 AND kind = ?2")?
            .query_row((canonical, kind_number(kind)), |r| r.get(0))
            .optional()?;
        let mut page = open_page(root, cache.flatten().as_deref());
        page.set_entries(entries);
        let left = page.step(STEP_WEAVES);
        self.save_page(canonical, kind, &mut page, left)?;
        if left > 0 {
            self.page_todo(canonical, kind)?;
        }
        Ok(thread)
    }

    fn drop_page(&mut self, t: i64, kind: PageKind) -> Result<(), StoreError> {
        let dropped = self
            .conn
            .prepare_cached("DELETE FROM pages WHERE t = ?1 AND kind = ?2")?
            .execute((t, kind_number(kind)))?;
        if dropped > 0 {
            self.unindex_page(t, doc_kind(kind))?;
            if kind == PageKind::Answer {
                self.set_credits(t, &[])?;
            }
        }
        if dropped > 0 && kind == PageKind::Question {
            // The title is that of the ask again.
            let group = self.group(t)?;
            self.fold_group(group, &mut HashMap::new(), &mut Vec::new())?;
        }
        Ok(())
    }

    /// Makes a page findable, and its writers known for what they know.
    fn index_text(
        &mut self,
        t: i64,
        kind: PageKind,
        view: &ViewRow,
        title: Option<&str>,
    ) -> Result<(), StoreError> {
        let shown: Option<String> = self
            .conn
            .prepare_cached("SELECT title FROM threads WHERE t = ?1 AND title <> ''")?
            .query_row([t], |r| r.get(0))
            .optional()?;
        let Some(shown) = shown else { return self.unindex_page(t, doc_kind(kind)) };
        let title = title.filter(|t| !t.is_empty()).unwrap_or(&shown);
        self.index_page(t, doc_kind(kind), view.latest_ms, title, &view.text)?;
        if kind == PageKind::Answer {
            let credits = self.credits(view)?;
            self.set_credits(t, &credits)?;
        }
        Ok(())
    }

    /// How much of an answer is whose; a post that it cites counts as some characters.
    fn credits(&mut self, view: &ViewRow) -> Result<Vec<(i64, u64)>, StoreError> {
        let mut chars: HashMap<i64, u64> = HashMap::new();
        for span in &view.spans {
            let m: Option<i64> = self
                .conn
                .prepare_cached(&format!(
                    "SELECT s.m FROM entries e JOIN stands s ON s.p = coalesce(e.judged, e.past) AND s.l = e.l
                     WHERE {ID_IS_1} AND s.m IS NOT NULL"
                ))?
                .query_row([&span.source[..]], |r| r.get(0))
                .optional()?;
            if let Some(m) = m {
                *chars.entry(m).or_default() += u64::from(span.length);
            }
        }
        for citation in lanai_crdt::cite::citations(&view.text) {
            let (low, high) = citation.id.range();
            let author: Option<i64> = self
                .conn
                .prepare_cached(
                    "SELECT x.author FROM entries e JOIN posts x ON x.n = e.n
                     WHERE substr(e.id, 1, 8) BETWEEN substr(?1, 1, 8) AND substr(?2, 1, 8)
                     AND e.id BETWEEN ?1 AND ?2 AND x.origin IS NULL LIMIT 1",
                )?
                .query_row((low, high), |r| r.get(0))
                .optional()?;
            if let Some(m) = author {
                *chars.entry(m).or_default() += CITED_CHARS;
            }
        }
        let mut credits: Vec<(i64, u64)> = chars.into_iter().collect();
        credits.sort_unstable();
        Ok(credits)
    }

    /// The first line of a thread's question page, where somebody changed it.
    pub(in super::super) fn page_title(&self, t: i64) -> Result<Option<String>, StoreError> {
        let title: Option<Option<String>> = self
            .conn
            .prepare_cached("SELECT title FROM pages WHERE t = ?1 AND kind = 0")?
            .query_row([t], |r| r.get(0))
            .optional()?;
        Ok(title.flatten().filter(|t| !t.is_empty()))
    }

    fn save_page(
        &mut self,
        t: i64,
        kind: PageKind,
        page: &mut Page,
        left: usize,
    ) -> Result<(), StoreError> {
        let view = view_of(page, left);
        let title = match kind {
            PageKind::Question => Some(title_of(&view.text)),
            PageKind::Answer => None,
        };
        let encoded = minicbor::to_vec(&view).map_err(|_| StoreError::Internal("page view"))?;
        self.conn
            .prepare_cached(
                "INSERT OR REPLACE INTO pages (t, kind, left, hash, title, view, cache)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute((
                t,
                kind_number(kind),
                i64::try_from(left).unwrap_or(i64::MAX),
                page.hash(),
                &title,
                encoded,
                page.save(),
            ))?;
        self.index_text(t, kind, &view, title.as_deref())?;
        if let Some(title) = title.filter(|t| !t.is_empty()) {
            self.conn
                .prepare_cached(
                    "UPDATE threads SET title = ?2
                     WHERE t = ?1 AND hash IS NOT NULL AND title <> '' AND kind = 0",
                )?
                .execute((t, title))?;
        }
        Ok(())
    }
}

/// The title of an ask: the first line of its question page that holds something.
fn title_of(text: &str) -> String {
    let line = text.lines().map(str::trim).find(|l| !l.is_empty()).unwrap_or_default();
    let mut title = String::new();
    for c in line.chars() {
        if title.len() + c.len_utf8() > lanai_crdt::limits::MAX_TITLE_BYTES {
            break;
        }
        title.push(c);
    }
    title
}

/// The kept document, or a new one where it is missing or damaged: it is only a cache.
pub(super) fn open_page(root: PageRoot, cache: Option<&[u8]>) -> Page {
    if let Some(cache) = cache {
        match Page::load(root.clone(), cache) {
            Ok(page) => return page,
            Err(e) => tracing::warn!("a page is folded anew, its kept copy is no good: {e}"),
        }
    }
    Page::new(root)
}

fn view_of(page: &mut Page, left: usize) -> ViewRow {
    let log = page.log();
    let mut aside = AsideRow::default();
    let mut view = ViewRow {
        text: page.text(),
        heads: page.heads().into_iter().map(id).collect(),
        spans: Vec::new(),
        left: left as u64,
        weaves: 0,
        latest_ms: 0,
        merged: page.merged().map(id),
        conflicts: Vec::new(),
        proposals: Vec::new(),
        aside,
        generation: page.generation().map(id),
    };
    view.spans.extend(page.blame().iter().map(|s| SpanRow {
        length: s.length,
        source: id(s.source),
        claimed_by: s.claimed_by.map(id),
    }));
    view.conflicts.extend(page.conflicts().into_iter().take(MAX_SHOWN).map(|c| {
        ConflictRow {
            at: u32::try_from(c.at).unwrap_or(u32::MAX),
            wordings: c
                .wordings
                .into_iter()
                .map(|(source, text)| WordingRow { source: id(source), text })
                .collect(),
        }
    }));
    for entry in &log {
        match entry.status {
            Status::Applied if !entry.entry.splices().is_empty() => {
                view.weaves += 1;
                view.latest_ms = view.latest_ms.max(entry.entry.time.millis());
            }
            Status::Applied | Status::Pending | Status::Proposed => {}
            Status::Waiting(_) => aside.waiting += 1,
            Status::Malformed(_) => aside.unreadable += 1,
            Status::Uncounted => aside.uncounted += 1,
            Status::Flood => aside.flood += 1,
            Status::OtherGeneration => aside.earlier += 1,
        }
    }
    view.aside = aside;
    let proposed = log.iter().rev().filter(|e| e.status == Status::Proposed);
    let proposed: Vec<&PageEntry> = proposed.take(MAX_SHOWN).map(|e| &e.entry).collect();
    for entry in proposed.into_iter().rev() {
        let reason = match &entry.body {
            PageBody::Reframe { reason, .. } => reason.clone(),
            _ => None,
        };
        view.proposals.push(ProposalRow {
            id: id(entry.id),
            text: page.text_proposed(&entry.id),
            reason,
            deps: entry.deps.iter().copied().map(id).collect(),
        });
    }
    view
}

/// Everything that `page log` needs: the page with all its entries, applied as far as they go now.
pub(super) fn whole_page(
    conn: &Connection,
    community: &lanai_crdt::id::CommunityId,
    keys: &Keyring,
    t: i64,
    kind: PageKind,
) -> Result<Option<Page>, StoreError> {
    let threads = copies_of(conn, t)?;
    let Some(root) = page_root(conn, community, keys, &threads, kind)? else { return Ok(None) };
    let entries: Vec<PageEntry> = load_entries(conn, community, keys, &threads, kind)?;
    let canonical = threads.first().copied().unwrap_or(t);
    let cache: Option<Option<Vec<u8>>> = conn
        .prepare_cached("SELECT cache FROM pages WHERE t = ?1 AND kind = ?2")?
        .query_row((canonical, kind_number(kind)), |r| r.get(0))
        .optional()?;
    let mut page = open_page(root, cache.flatten().as_deref());
    page.set_entries(entries);
    Ok(Some(page))
}
