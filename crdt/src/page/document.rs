//! The text under Automerge. Nothing outside this file knows it.
//!
//! One document takes all changes. A weave that was written on something else than its newest state
//! is derived on a *fork* at its deps; some forks are kept, so that a long branch, and many weaves on
//! one state, do not make a new one each time. Changes from forks are taken into the document in
//! batches, which costs a fraction of taking them one by one.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};

use automerge::transaction::{CommitOptions, Transactable as _};
use automerge::{
    ActorId, Automerge, Change, ChangeHash, ObjId as ExId, ObjType, ROOT, ReadDoc as _,
    TextEncoding,
};

use super::conflicts::{Conflict, Element, Replaced};
use super::graph::Malformed;
use super::{PageBody, PageEntry, PageRoot, Span};
use crate::id::EntryId;
use crate::limits::MAX_PAGE_BYTES;
use crate::payload::Splice;

/// Forks that are kept.
const MAX_FORKS: usize = 12;
/// The only object: the text.
const TEXT: &str = "text";

/// The changes that an entry stands for: its own, or those of what it joins. Ascending.
type Hashes = Vec<ChangeHash>;

#[derive(Debug)]
pub(super) struct Document {
    doc: Automerge,
    text: ExId,
    generation: Option<EntryId>,
    /// The change that every other is built on.
    first: ChangeHash,
    applied: BTreeMap<EntryId, Hashes>,
    /// Heads of all changes, those that wait in `batch` included.
    heads: BTreeSet<ChangeHash>,
    batch: Vec<Change>,
    forks: VecDeque<(Hashes, Automerge)>,
    replaced: Vec<Replaced>,
    /// The text of `doc`, while weaves follow each other in a line.
    newest: Option<String>,
    /// Automerge failed while it changed the document, which is then good for nothing.
    spoilt: bool,
}

fn actor(id: &EntryId) -> ActorId {
    ActorId::from(&id.as_bytes()[..])
}

/// The entry that wrote a character, and its number among what that entry wrote.
fn element(id: &ExId) -> Option<Element> {
    let ExId::Id(counter, actor, _) = id else { return None };
    Some(Element { source: EntryId::from_slice(actor.to_bytes())?, counter: *counter })
}

fn options() -> CommitOptions {
    CommitOptions::default().with_time(0)
}

/// Makes one change under an actor; `None` when Automerge refuses it or panics.
fn change(
    doc: &mut Automerge,
    id: &EntryId,
    edit: impl FnOnce(
        &mut automerge::transaction::Transaction<'_>,
    ) -> Result<(), automerge::AutomergeError>,
) -> Option<ChangeHash> {
    doc.set_actor(actor(id));
    let made = catch_unwind(AssertUnwindSafe(|| {
        let mut tx = doc.transaction();
        match edit(&mut tx) {
            Ok(()) => tx.commit_with(options()).0,
            Err(_) => {
                tx.rollback();
                None
            }
        }
    }));
    made.ok().flatten()
}

impl Document {
    /// The document before any weave: empty, with the first text of a question, or with that of a
    /// generation.
    pub(super) fn new(root: &PageRoot, generation: Option<&PageEntry>) -> Document {
        let (id, opening) = match generation.map(|g| (g.id, &g.body)) {
            Some((id, PageBody::Generation { text, .. })) => (id, Some(text.as_str())),
            _ => (root.thread, root.opening.as_deref()),
        };
        let mut doc = Automerge::new_with_encoding(TextEncoding::UnicodeCodePoint);
        let mut text = ROOT;
        let first = change(&mut doc, &id, |tx| {
            text = tx.put_object(ROOT, TEXT, ObjType::Text)?;
            tx.splice_text(&text, 0, 0, opening.unwrap_or_default())
        });
        let first = first.unwrap_or(ChangeHash([0; 32]));
        let mut applied = BTreeMap::new();
        if let Some(generation) = generation {
            applied.insert(generation.id, vec![first]);
        }
        Document {
            doc,
            text,
            generation: generation.map(|g| g.id),
            first,
            applied,
            heads: BTreeSet::from([first]),
            batch: Vec::new(),
            forks: VecDeque::new(),
            replaced: Vec::new(),
            newest: None,
            spoilt: false,
        }
    }

    /// Whether it must be made anew, without what was found to be unappliable.
    pub(super) fn is_spoilt(&self) -> bool {
        self.spoilt
    }

    pub(super) fn generation(&self) -> Option<EntryId> {
        self.generation
    }

    /// What is applied, without the generation that it starts from.
    pub(super) fn applied(&self) -> impl Iterator<Item = &EntryId> {
        self.applied.keys().filter(|id| Some(**id) != self.generation)
    }

    pub(super) fn has(&self, id: &EntryId) -> bool {
        self.applied.contains_key(id)
    }

    pub(super) fn text(&self) -> String {
        self.doc.text(&self.text).unwrap_or_default()
    }

    /// The changes that entries stand for. `None` when one is not applied.
    fn hashes(&self, ids: &[EntryId]) -> Option<Hashes> {
        if ids.is_empty() {
            return self.generation.is_none().then(|| vec![self.first]);
        }
        let mut out: BTreeSet<ChangeHash> = BTreeSet::new();
        for id in ids {
            out.extend(self.applied.get(id)?);
        }
        Some(out.into_iter().collect())
    }

    /// Applies an entry whose deps are applied. Call [`settle`](Self::settle) after some of them.
    pub(super) fn apply(&mut self, entry: &PageEntry) -> Result<(), Malformed> {
        let Some(base) = self.hashes(&entry.deps) else { return Ok(()) };
        let splices = entry.splices();
        if splices.is_empty() {
            self.applied.insert(entry.id, base);
            return Ok(());
        }
        if base.iter().eq(self.heads.iter()) {
            self.settle();
            let text = match self.newest.take() {
                Some(text) => text,
                None => self.doc.text(&self.text).map_err(|_| Malformed::Unappliable)?,
            };
            let mut doc = std::mem::take(&mut self.doc);
            let derived = self.derive(&mut doc, &text, entry.id, splices);
            self.doc = doc;
            if derived.is_ok() {
                self.newest = super::apply_splices(&text, splices);
            }
            // A copy for each weave would cost more than the weave. What fits the text is applied;
            // should it ever fail half way, the whole document is thrown away.
            self.spoilt |= derived == Err(Malformed::Unappliable);
            let hash = derived?;
            self.heads = BTreeSet::from([hash]);
            self.applied.insert(entry.id, vec![hash]);
            return Ok(());
        }
        let fork = self.fork(&base).ok_or(Malformed::Unappliable)?;
        let mut next = fork.clone();
        self.keep(base.clone(), fork);
        let text = next.text(&self.text).map_err(|_| Malformed::Unappliable)?;
        let hash = self.derive(&mut next, &text, entry.id, splices)?;
        let change = next.get_change_by_hash(&hash).ok_or(Malformed::Unappliable)?;
        self.batch.push(change);
        base.iter().for_each(|h| {
            self.heads.remove(h);
        });
        self.heads.insert(hash);
        self.applied.insert(entry.id, vec![hash]);
        self.keep(vec![hash], next);
        Ok(())
    }

    /// Takes what was derived on forks into the document.
    pub(super) fn settle(&mut self) {
        if !self.batch.is_empty() {
            self.newest = None;
            // They were made by this code on states of this document, so that they fit.
            let batch = std::mem::take(&mut self.batch);
            let taken = catch_unwind(AssertUnwindSafe(|| self.doc.apply_changes(batch).is_ok()));
            self.spoilt |= !taken.unwrap_or(false);
        }
    }

    fn derive(
        &mut self,
        doc: &mut Automerge,
        text: &str,
        id: EntryId,
        splices: &[Splice],
    ) -> Result<ChangeHash, Malformed> {
        check(text, splices)?;
        let gone = self.gone(doc, splices);
        let hash = change(doc, &id, |tx| splice(tx, &self.text, splices));
        let hash = hash.ok_or(Malformed::Unappliable)?;
        let mut shift = 0i64;
        for (splice, gone) in splices.iter().zip(gone) {
            let length = splice.insert.chars().count();
            let at = usize::try_from(i64::from(splice.at) + shift).unwrap_or(0);
            shift += i64::try_from(length).unwrap_or(0) - i64::from(splice.delete);
            if gone.is_empty() || length == 0 {
                continue;
            }
            let first = doc.list_range(&self.text, at..at + 1).next();
            let first = first.and_then(|item| element(&item.id()));
            if let Some(first) = first {
                self.replaced.push(Replaced { by: id, first: first.counter, length, gone });
            }
        }
        Ok(hash)
    }

    /// The characters that each splice takes away, where it puts something in their place.
    fn gone(&self, doc: &Automerge, splices: &[Splice]) -> Vec<Vec<Element>> {
        let of = |s: &Splice| {
            if s.delete == 0 || s.insert.is_empty() {
                return Vec::new();
            }
            let (at, end) = (s.at as usize, s.at as usize + s.delete as usize);
            doc.list_range(&self.text, at..end).filter_map(|item| element(&item.id())).collect()
        };
        splices.iter().map(of).collect()
    }

    /// The document as it was at some changes.
    fn fork(&mut self, at: &Hashes) -> Option<Automerge> {
        if let Some(found) = self.forks.iter().position(|(heads, _)| heads == at) {
            return self.forks.remove(found).map(|(_, doc)| doc);
        }
        self.settle();
        if at.iter().eq(self.heads.iter()) {
            return Some(self.doc.clone());
        }
        catch_unwind(AssertUnwindSafe(|| self.doc.fork_at(at).ok())).ok().flatten()
    }

    fn keep(&mut self, at: Hashes, doc: Automerge) {
        self.forks.retain(|(heads, _)| *heads != at);
        self.forks.push_back((at, doc));
        if self.forks.len() > MAX_FORKS {
            self.forks.pop_front();
        }
    }

    pub(super) fn text_at(&mut self, heads: &[EntryId]) -> Option<String> {
        let at = self.hashes(heads)?;
        self.settle();
        self.doc.text_at(&self.text, &at).ok()
    }

    /// The text at `onto` with a change that was written on the text at `base`.
    pub(super) fn carry_over(
        &mut self,
        base: &[EntryId],
        splices: &[Splice],
        onto: &[EntryId],
    ) -> Option<String> {
        let (base, onto) = (self.hashes(base)?, self.hashes(onto)?);
        let mut changed = self.fork(&base)?;
        check(&changed.text(&self.text).ok()?, splices).ok()?;
        // Its actor plays no part: the result is a text, and the change is thrown away.
        change(&mut changed, &EntryId::new([0xff; 32]), |tx| splice(tx, &self.text, splices))?;
        let mut target = self.fork(&onto)?;
        target.merge(&mut changed).ok()?;
        target.text(&self.text).ok()
    }

    pub(super) fn blame(&self, root: &PageRoot, generation: Option<&PageEntry>) -> Vec<Span> {
        let runs = match generation.map(|g| &g.body) {
            Some(PageBody::Generation { runs, .. }) => claims(runs),
            _ => Vec::new(),
        };
        let mut spans: Vec<Span> = Vec::new();
        for item in self.doc.list_range(&self.text, ..) {
            let Some(element) = element(&item.id()) else { continue };
            let mut span = Span { length: 1, source: element.source, claimed_by: None };
            if Some(element.source) == self.generation {
                // The text itself was operation 1; its characters follow.
                let place = element.counter.saturating_sub(2);
                let run = runs.partition_point(|(end, _)| *end <= place);
                span.claimed_by = self.generation;
                span.source = runs.get(run).map_or(root.thread, |(_, source)| *source);
            }
            match spans.last_mut() {
                Some(last) if (last.source, last.claimed_by) == (span.source, span.claimed_by) => {
                    last.length = last.length.saturating_add(1);
                }
                _ => spans.push(span),
            }
        }
        spans
    }

    pub(super) fn conflicts(
        &self,
        concurrent: impl Fn(&EntryId, &EntryId) -> bool,
    ) -> Vec<Conflict> {
        if self.replaced.len() < 2 {
            return Vec::new();
        }
        let text: Vec<char> = self.text().chars().collect();
        let elements: Vec<Option<Element>> =
            self.doc.list_range(&self.text, ..).map(|item| element(&item.id())).collect();
        super::conflicts::find(&self.replaced, &text, &elements, concurrent)
    }

    // ---- what the cache holds ------------------------------------------------------------------

    pub(super) fn save(&mut self) -> Saved {
        self.settle();
        Saved {
            doc: self.doc.save(),
            applied: self
                .applied
                .iter()
                .map(|(id, hashes)| (*id, hashes.iter().map(|h| h.0).collect()))
                .collect(),
            generation: self.generation,
            first: self.first.0,
            replaced: self.replaced.clone(),
        }
    }

    /// Only for bytes that [`save`](Self::save) gave and whose checksum was compared.
    pub(super) fn restore(saved: Saved) -> Option<Document> {
        let load = || {
            let options =
                automerge::LoadOptions::new().text_encoding(TextEncoding::UnicodeCodePoint);
            Automerge::load_with_options(&saved.doc, options).ok()
        };
        let doc = catch_unwind(AssertUnwindSafe(load)).ok().flatten()?;
        let (_, text) = doc.get(ROOT, TEXT).ok().flatten()?;
        let heads = doc.get_heads().into_iter().collect();
        let of = |hashes: Vec<[u8; 32]>| hashes.into_iter().map(ChangeHash).collect();
        Some(Document {
            doc,
            text,
            generation: saved.generation,
            first: ChangeHash(saved.first),
            applied: saved.applied.into_iter().map(|(id, hashes)| (id, of(hashes))).collect(),
            heads,
            batch: Vec::new(),
            forks: VecDeque::new(),
            replaced: saved.replaced,
            newest: None,
            spoilt: false,
        })
    }

    /// The hashes of the changes of an entry, for golden vectors.
    #[cfg(test)]
    pub(super) fn change_hashes(&self, id: &EntryId) -> Option<Vec<[u8; 32]>> {
        self.applied.get(id).map(|hashes| hashes.iter().map(|h| h.0).collect())
    }
}

/// What of a document is kept between two runs.
#[derive(Debug)]
pub(super) struct Saved {
    pub(super) doc: Vec<u8>,
    pub(super) applied: Vec<(EntryId, Vec<[u8; 32]>)>,
    pub(super) generation: Option<EntryId>,
    pub(super) first: [u8; 32],
    pub(super) replaced: Vec<Replaced>,
}

fn splice(
    tx: &mut automerge::transaction::Transaction<'_>,
    text: &ExId,
    splices: &[Splice],
) -> Result<(), automerge::AutomergeError> {
    for s in splices.iter().rev() {
        let delete = isize::try_from(s.delete).unwrap_or(isize::MAX);
        tx.splice_text(text, s.at as usize, delete, &s.insert)?;
    }
    Ok(())
}

/// Whether splices, ascending and apart, fit a text, and what comes of it fits a page.
fn check(text: &str, splices: &[Splice]) -> Result<(), Malformed> {
    let chars = text.chars().count() as u64;
    if splices.last().is_some_and(|s| s.end() > chars) {
        return Err(Malformed::Range);
    }
    let after = super::apply_splices(text, splices).ok_or(Malformed::Range)?;
    if after.len() > MAX_PAGE_BYTES.max(text.len()) {
        return Err(Malformed::Length);
    }
    Ok(())
}

/// Where each run ends, and its source.
fn claims(runs: &[crate::payload::Run]) -> Vec<(u64, EntryId)> {
    let mut end = 0u64;
    let claim = |run: &crate::payload::Run| {
        end += u64::from(run.length);
        (end, EntryId::new(*run.source))
    };
    runs.iter().map(claim).collect()
}
