//! From entries to threads: which threads there are (rules 1, 2 and 4), and what each is made of.

use std::collections::{BTreeMap, BTreeSet};

use super::place::Forest;
use super::{TalkEntry, Thread, origin_key, view};
use crate::id::{EntryId, MemberId};
use crate::payload::Body;

/// The entries by id, each once, and which of them are withdrawn.
pub(super) struct Entries<'a> {
    sorted: Vec<&'a TalkEntry>,
    withdrawn: BTreeSet<EntryId>,
}

impl<'a> Entries<'a> {
    pub(super) fn new(entries: &'a [TalkEntry]) -> Entries<'a> {
        let mut sorted: Vec<&TalkEntry> = entries.iter().collect();
        sorted.sort_by_key(|e| e.id);
        sorted.dedup_by_key(|e| e.id);
        let mut all = Entries { sorted, withdrawn: BTreeSet::new() };
        all.withdrawn = all.withdrawals().map(|(_, target)| target.id).collect();
        all
    }

    /// Rule 4: withdrawals by the author member, naming the same thread, each with what it takes back.
    fn withdrawals(&self) -> impl Iterator<Item = (&'a TalkEntry, &'a TalkEntry)> {
        self.sorted.iter().filter(|w| w.body == Body::Withdraw).filter_map(|w| {
            let (thread, target) = (w.refs.first()?, self.get(w.refs.get(1)?)?);
            let inside = target.refs.first().unwrap_or(&target.id) == thread;
            let own = target.member == w.member && may_be_dropped(&target.body);
            (inside && own).then_some((*w, target))
        })
    }

    fn get(&self, id: &EntryId) -> Option<&'a TalkEntry> {
        let at = self.sorted.binary_search_by(|e| e.id.cmp(id)).ok()?;
        self.sorted.get(at).copied()
    }

    pub(super) fn is_withdrawn(&self, id: &EntryId) -> bool {
        self.withdrawn.contains(id)
    }

    /// Whether it opens a thread. What is withdrawn is told apart by its refs alone, since its
    /// payload may be gone.
    fn is_root(&self, e: &TalkEntry) -> bool {
        let opens = matches!(e.body, Body::Ask(_) | Body::Note(_));
        e.refs.is_empty() && (opens || self.is_withdrawn(&e.id))
    }

    /// Whether it is a post in the thread that it names.
    pub(super) fn is_post(&self, e: &TalkEntry) -> bool {
        !e.refs.is_empty() && (matches!(e.body, Body::Post(_)) || self.is_withdrawn(&e.id))
    }
}

/// The entries of one thread.
pub(super) struct Group<'a> {
    /// The copies of the root, ascending.
    pub(super) roots: Vec<&'a TalkEntry>,
    /// What names one of them, ascending.
    pub(super) inside: Vec<&'a TalkEntry>,
}

impl<'a> Entries<'a> {
    /// The threads whose root is here (rules 1, 2 and 4).
    pub(super) fn groups(&self) -> Vec<Group<'a>> {
        let mut by_key: BTreeMap<GroupKey, Vec<&TalkEntry>> = BTreeMap::new();
        for root in self.sorted.iter().copied().filter(|e| self.is_root(e)) {
            let key = origin_key(&root.body).filter(|_| !self.is_withdrawn(&root.id));
            let key = key.map_or(GroupKey::Alone(root.id), GroupKey::Origin);
            by_key.entry(key).or_default().push(root);
        }
        let mut groups: Vec<Group<'_>> =
            by_key.into_values().map(|roots| Group { roots, inside: Vec::new() }).collect();
        let group_of: BTreeMap<EntryId, usize> = groups
            .iter()
            .enumerate()
            .flat_map(|(n, g)| g.roots.iter().map(move |r| (r.id, n)))
            .collect();
        for entry in &self.sorted {
            let group = entry.refs.first().and_then(|t| group_of.get(t));
            if let Some(group) = group.and_then(|n| groups.get_mut(*n)) {
                group.inside.push(entry);
            }
        }
        groups
    }
}

/// Whether its payload may be dropped once it is withdrawn, so that nobody can tell any more what it
/// was: then it must not matter what it was.
fn may_be_dropped(body: &Body) -> bool {
    matches!(body, Body::Ask(_) | Body::Note(_) | Body::Post(_) | Body::Edit(_) | Body::Unknown(_))
}

/// A text that was withdrawn, or an edit of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WithdrawnText {
    /// The entry whose payload holds it.
    pub id: EntryId,
    /// Who wrote it and took it back.
    pub author: MemberId,
    /// When it was taken back, as the withdrawal says, Unix milliseconds.
    pub withdrawn_ms: u64,
}

/// The texts whose payloads may be dropped (rule 4). What is folded from `entries` without them is the
/// same.
pub fn withdrawn_texts(entries: &[TalkEntry]) -> Vec<WithdrawnText> {
    let all = Entries::new(entries);
    let mut texts = Vec::new();
    for (withdrawal, target) in all.withdrawals() {
        let edits = all.sorted.iter().filter(|e| {
            matches!(e.body, Body::Edit(_))
                && e.member == target.member
                && e.refs.get(1) == Some(&target.id)
        });
        texts.extend(edits.map(|e| e.id).chain([target.id]).map(|id| WithdrawnText {
            id,
            author: target.member,
            withdrawn_ms: withdrawal.time.millis(),
        }));
    }
    texts
}

/// Which roots are one thread.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum GroupKey {
    Origin([u8; 32]),
    Alone(EntryId),
}

/// Folds every thread whose root is among `entries`, ascending by root. Entries of threads whose
/// root is not here add nothing.
///
/// Hand in all that belongs together: all roots with one [`origin_key`], the threads that a counting
/// act connects (the one that it names first and the one that it puts something under), and everything
/// that names one of them. More than one thread comes back when a root was withdrawn (rule 4), when
/// something was split off, or when only parts of a thread were moved.
pub fn fold_threads(entries: &[TalkEntry]) -> Vec<Thread> {
    let all = Entries::new(entries);
    let forest = Forest::new(&all);
    let mut threads = view::threads(&all, &forest);
    threads.sort_by_key(|t| t.root);
    threads
}

/// Folds one thread: the one with the smallest root that is not withdrawn, or else the smallest. `None`
/// while no root is here.
pub fn fold_thread(entries: &[TalkEntry]) -> Option<Thread> {
    let threads = fold_threads(entries);
    let live = threads.iter().position(|t| t.title_is_here());
    threads.into_iter().nth(live.unwrap_or(0))
}

impl Thread {
    /// Whether the root was not withdrawn: a title is never empty.
    fn title_is_here(&self) -> bool {
        !self.title.is_empty()
    }
}
