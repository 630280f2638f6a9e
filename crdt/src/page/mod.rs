//! Pages: the texts that the members of a thread write together.
//!
//! A thread has two: the *question* as it is refined, and the *answer* as it is woven from what
//! several people said. Each is one text under Automerge, and this module is the only one that knows
//! it.
//!
//! **No peer's bytes ever reach Automerge.** It is unsafe against a hostile member: two changes in one
//! place make replicas differ by order of arrival, changed bytes panic or leave a document that cannot
//! be loaded, and a kilobyte can hold a million operations. So what is signed is the *intent* of a
//! change, and every node derives the same change from it:
//!
//! 1. A weave names its *deps*: the weaves whose text its author saw, none an ancestor of another. Its
//!    splices are places in the text at exactly those.
//! 2. To apply it, the document is forked at its deps, given the 32 bytes of the entry's id as actor,
//!    changed from the last splice to the first, and the one resulting change (seq 1, time 0, no
//!    message) is taken into the document. One entry is one actor, so two entries in one place of a
//!    log are nothing but two concurrent edits, and **every character names the entry that wrote it**.
//! 3. A weave without splices makes no change. It joins its deps: who names it means them.
//! 4. The first text of a question is derived from its ask in the same way, with the thread as actor.
//!
//! What is applied ([`graph`]):
//!
//! 5. *Malformed*, by a weave and its ancestors alone: deps that are not an antichain; it is not
//!    built on its own device's previous weave of this generation that is in order itself (joins and
//!    proposals need not be, and do not oblige the next one); more than
//!    [`MAX_DEVICE_WEAVES`](crate::limits::MAX_DEVICE_WEAVES) of the device below it, or with these
//!    more than [`MAX_DEVICE_WEAVE_BYTES`](crate::limits::MAX_DEVICE_WEAVE_BYTES) inserted; deps of two
//!    generations; built on a malformed one. So far its shape tells. By the text: a splice outside the
//!    text at its deps; a text that grows over [`MAX_PAGE_BYTES`];
//!    built on such a one.
//! 6. Of a member's open branches (weaves of good shape that have effect by themselves, and that no
//!    other such one of his is built on) the
//!    [`MAX_PAGE_BRANCHES`](crate::limits::MAX_PAGE_BRANCHES) greatest by (depth, id) take part, with
//!    all they are built on. The rest is a *flood*: folded away, and never computed. Shape alone
//!    decides, so that nobody can have broken branches tried one after the other.
//! 7. What has effect by itself, takes part and fits the text is applied, and all that it is built on:
//!    honest text on a removed member's stays whole. On a question, what somebody writes who neither
//!    asked nor tends topics is a *proposal*: it waits until somebody entitled builds on it. Of those
//!    of a member that nobody entitled named, the `MAX_PAGE_BRANCHES` greatest are shown.
//! 8. A *generation* starts a text afresh, with its claim who wrote what. The greatest (depth, id) that
//!    counts and is by a lead is current; only weaves above it are applied. What was written on an
//!    earlier one stays in the log.
//!
//! Everything here is a function of the set of entries. The saved document is a cache: it carries a
//! checksum, and anything wrong with it means that it is made anew.

mod cache;
mod conflicts;
mod difference;
mod document;
pub mod graph;

pub use cache::CacheError;
pub use conflicts::Conflict;
pub use difference::{TooMuch, apply_splices, splices_between};
pub use graph::{Malformed, Status};

use std::collections::{BTreeMap, BTreeSet};

use crate::clock::Hlc;
use crate::id::{DeviceId, EntryId, MemberId};
use crate::limits::MAX_PAGE_BYTES;
use crate::payload::{Ask, PageKind, Role, Run, Splice};
use document::Document;
use graph::Graph;

/// What a page belongs to and starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRoot {
    /// The thread.
    pub thread: EntryId,
    /// Which of its pages.
    pub kind: PageKind,
    /// Who opened the thread.
    pub author: MemberId,
    /// The first text, of a question.
    pub opening: Option<String>,
}

/// What an entry does to a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PageBody {
    /// Changes the text.
    Weave(Vec<Splice>),
    /// Proposes a change.
    Reframe {
        /// The change.
        splices: Vec<Splice>,
        /// Why.
        reason: Option<String>,
    },
    /// Starts the text afresh.
    Generation {
        /// The whole text.
        text: String,
        /// Who wrote which part, as its author claims.
        runs: Vec<Run>,
    },
}

/// An entry of class 3 that belongs to a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageEntry {
    /// The entry.
    pub id: EntryId,
    /// Whose it is; anything where it does not count.
    pub member: MemberId,
    /// The device that wrote it.
    pub device: DeviceId,
    /// The member's role in the entry's roster past.
    pub role: Role,
    /// Its time.
    pub time: Hlc,
    /// `refs[1..]` of its header.
    pub deps: Vec<EntryId>,
    /// The nearest weave with splices, or generation, of this page before it in its device's log; of
    /// no account for joins and proposals.
    pub previous: Option<EntryId>,
    /// Whether it counts (its device was enrolled in its roster past, and it is inside the cut).
    pub counts: bool,
    /// What it does.
    pub body: PageBody,
}

impl PageEntry {
    /// The changes that it makes to the text; none for a generation.
    pub fn splices(&self) -> &[Splice] {
        match &self.body {
            PageBody::Weave(splices) | PageBody::Reframe { splices, .. } => splices,
            PageBody::Generation { .. } => &[],
        }
    }

    /// Whether it must be built on its device's previous one, and obliges the next one: neither a join
    /// (which writes nothing) nor a proposal.
    fn is_bound(&self) -> bool {
        match &self.body {
            PageBody::Weave(splices) => !splices.is_empty(),
            PageBody::Generation { .. } => true,
            PageBody::Reframe { .. } => false,
        }
    }
}

/// A stretch of the text and the entry that wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Length in Unicode scalar values.
    pub length: u32,
    /// The weave that wrote it, or the ask.
    pub source: EntryId,
    /// The generation whose author claims so.
    pub claimed_by: Option<EntryId>,
}

/// An entry and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// The entry.
    pub entry: PageEntry,
    /// Steps from the first text: 0 for what is built on nothing.
    pub depth: u32,
    /// What became of it.
    pub status: Status,
}

/// The first text of a question page.
pub fn opening_text(ask: &Ask) -> String {
    let mut text = format!("{}\n\n{}", ask.title.trim(), ask.situation.trim_end());
    for (what, part) in [("To decide", &ask.decide), ("Tried", &ask.tried)] {
        if let Some(part) = part.as_deref().map(str::trim).filter(|p| !p.is_empty()) {
            text.push_str(&format!("\n\n{what}: {part}"));
        }
    }
    text
}

/// A page: its entries, and the text as far as they were applied.
#[derive(Debug)]
pub struct Page {
    root: PageRoot,
    graph: Graph,
    document: Document,
    /// Entries whose splices do not fit the text at their deps, and why.
    broken: BTreeMap<EntryId, Malformed>,
}

impl Page {
    /// A page to which nobody wrote yet.
    pub fn new(root: PageRoot) -> Page {
        let document = Document::new(&root, None);
        Page { graph: Graph::default(), document, broken: BTreeMap::new(), root }
    }

    /// What it belongs to.
    pub fn root(&self) -> &PageRoot {
        &self.root
    }

    /// Takes the whole known set of entries, in any order. Applies nothing yet.
    pub fn set_entries(&mut self, entries: Vec<PageEntry>) {
        self.graph = Graph::new(&self.root, entries, &self.broken);
        self.start_over_where_needed();
    }

    fn start_over_where_needed(&mut self) {
        let generation = self.graph.generation();
        let shrank = self.document.applied().any(|id| !self.graph.is_applied(id));
        if shrank || self.document.is_spoilt() || self.document.generation() != generation {
            let entry = generation.and_then(|id| self.graph.entry(&id));
            self.document = Document::new(&self.root, entry);
        }
    }

    /// Applies at most `budget` entries; how many are left.
    pub fn step(&mut self, budget: usize) -> usize {
        let mut budget = budget;
        loop {
            let todo: Vec<EntryId> =
                self.graph.applied().filter(|id| !self.document.has(id)).take(budget).collect();
            if todo.is_empty() {
                return self.left();
            }
            budget = budget.saturating_sub(todo.len());
            let mut found = false;
            for id in &todo {
                let Some(entry) = self.graph.entry(id) else { continue };
                if entry.deps.iter().any(|d| self.broken.contains_key(d)) {
                    continue;
                }
                if let Err(reason) = self.document.apply(entry) {
                    self.broken.insert(*id, reason);
                    found = true;
                }
            }
            self.document.settle();
            if self.document.is_spoilt() {
                // Without a culprit all of them are left out: there must be an end to it.
                let left_out = todo.iter().filter(|_| !found);
                self.broken.extend(left_out.map(|id| (*id, Malformed::Unappliable)));
                found = true;
            }
            if found {
                self.graph.mark_broken(&self.root, &self.broken);
                self.start_over_where_needed();
            }
            if budget == 0 {
                return self.left();
            }
        }
    }

    /// Entries that are still to be applied.
    pub fn left(&self) -> usize {
        self.graph.applied().filter(|id| !self.document.has(id)).count()
    }

    /// The text, as far as it is applied.
    pub fn text(&self) -> String {
        self.document.text()
    }

    /// The applied entries that no other applied one is built on, ascending: what a new weave names.
    pub fn heads(&self) -> Vec<EntryId> {
        let applied: Vec<EntryId> =
            self.graph.applied().filter(|id| self.document.has(id)).collect();
        let mut heads = self.graph.maximal(&applied);
        if heads.is_empty() {
            heads.extend(self.document.generation());
        }
        heads
    }

    /// Those of `ids` that no other is built on, ascending.
    pub fn reduce(&self, ids: &[EntryId]) -> Vec<EntryId> {
        self.graph.maximal(ids)
    }

    /// Whether an entry is one of `heads` or an ancestor of one.
    pub fn covers(&self, heads: &[EntryId], id: &EntryId) -> bool {
        self.graph.covers(heads, id)
    }

    /// The latest well-formed weaves of a device that nothing else of its is built on: a new one of
    /// the device must be built on them.
    pub fn heads_of(&self, device: &DeviceId) -> Vec<EntryId> {
        self.graph.heads_of(device)
    }

    /// Whether it is a proposal that nobody took over.
    pub fn is_proposal(&self, id: &EntryId) -> bool {
        self.graph.status(id) == Some(&Status::Proposed)
    }

    /// Who wrote which part of the text: stretches that together are all of it.
    pub fn blame(&self) -> Vec<Span> {
        let generation = self.document.generation().and_then(|id| self.graph.entry(&id));
        self.document.blame(&self.root, generation)
    }

    /// Every known entry in causal order, with what became of it.
    pub fn log(&self) -> Vec<LogEntry> {
        self.graph
            .in_order()
            .map(|(entry, depth, status)| {
                let pending = *status == Status::Applied && !self.document.has(&entry.id);
                let status = if pending { Status::Pending } else { status.clone() };
                LogEntry { entry: entry.clone(), depth, status }
            })
            .collect()
    }

    /// The text as it stood at some of its applied entries; none given: the first text.
    pub fn text_at(&mut self, heads: &[EntryId]) -> Option<String> {
        self.document.text_at(heads)
    }

    /// What a proposal, or any entry whose deps are applied, makes of the text that it was written
    /// on.
    pub fn text_proposed(&mut self, id: &EntryId) -> Option<String> {
        let entry = self.graph.entry(id)?;
        let (deps, splices) = (entry.deps.clone(), entry.splices().to_vec());
        apply_splices(&self.document.text_at(&deps)?, &splices)
    }

    /// The text that comes of it when `text`, written on the text at `base`, meets the text at
    /// `onto`, which is built on that.
    pub fn carry_over(&mut self, base: &[EntryId], text: &str, onto: &[EntryId]) -> Option<String> {
        let before = self.document.text_at(base)?;
        let splices = splices_between(&before, text).ok()?;
        self.document.carry_over(base, &splices, onto)
    }

    /// Places where people who did not see each other's change replaced the same words, and both
    /// wordings still stand.
    pub fn conflicts(&self) -> Vec<Conflict> {
        self.document.conflicts(|a, b| self.graph.concurrent(a, b))
    }

    /// The latest applied entry in which branches came together.
    pub fn merged(&self) -> Option<EntryId> {
        self.graph.merged(|id| self.document.has(id))
    }

    /// The generation that the text belongs to; none for the first.
    pub fn generation(&self) -> Option<EntryId> {
        self.document.generation()
    }

    /// BLAKE3 over what a reader sees: the text, what it is made of, and what is proposed.
    pub fn hash(&self) -> [u8; 32] {
        let mut d = crate::thread::digest::Digest::new("lanai v1 page state");
        d.id(self.root.thread.as_bytes());
        d.number(self.root.kind as u64);
        d.bytes(self.text().as_bytes());
        d.maybe(self.generation(), |d, id| d.id(id.as_bytes()));
        let of = |wanted: fn(&Status) -> bool| -> BTreeSet<EntryId> {
            self.graph.in_order().filter(|(.., s)| wanted(s)).map(|(e, ..)| e.id).collect()
        };
        for ids in [of(|s| *s == Status::Applied), of(|s| *s == Status::Proposed)] {
            d.length(ids.len());
            ids.iter().for_each(|id| d.id(id.as_bytes()));
        }
        d.finish()
    }

    /// Whether the page may grow to this length.
    pub fn fits(text: &str) -> bool {
        text.len() <= MAX_PAGE_BYTES
    }
}

#[cfg(test)]
mod tests;
