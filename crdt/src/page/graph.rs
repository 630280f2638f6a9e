//! Which entries of a page are applied: rules 5 to 8 of [`page`](super), as far as they can be told
//! without the text.
//!
//! The entries are put into one order, (depth, id), in which ancestors come first, and so does the
//! previous weave of an entry's device. The depth is 0 for an entry that has neither, otherwise one
//! more than that of the deepest. Each entry has the set of its
//! ancestors as bits, so that "is an ancestor of" is one look-up. For n entries that is n² / 8 bytes:
//! 2 MB for 4,000. Of one member no more than [`MAX_MEMBER_WEAVES`] are considered.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{PageBody, PageEntry, PageRoot};
use crate::id::{DeviceId, EntryId, MemberId};
use crate::limits::{
    MAX_DEVICE_WEAVE_BYTES, MAX_DEVICE_WEAVES, MAX_MEMBER_WEAVES, MAX_PAGE_BRANCHES,
    MAX_PAGE_BYTES, MAX_WEAVE_DEPS,
};
use crate::payload::{PageKind, Role};

/// Why an entry changes nothing for ever: "unreadable edit".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Malformed {
    /// One of its deps is an ancestor of another, or named twice, or there are too many.
    #[error("what it is built on is not in order")]
    Deps,
    /// It is not built on its own device's previous weave.
    #[error("it passes over an earlier change of its own device")]
    Previous,
    /// Too many weaves of its device are below it, or they insert too much.
    #[error(
        "its device made more than {MAX_DEVICE_WEAVES} changes to this text, or wrote more than \
         {MAX_DEVICE_WEAVE_BYTES} bytes of it"
    )]
    DeviceWeaves,
    /// It is built on two generations of the text.
    #[error("it is built on two generations of the text")]
    Generations,
    /// A splice reaches outside the text.
    #[error("it changes a place that the text does not have")]
    Range,
    /// The text would be longer than a page may be.
    #[error("it makes the text longer than {MAX_PAGE_BYTES} bytes")]
    Length,
    /// It cannot be applied.
    #[error("it cannot be applied")]
    Unappliable,
    /// What it is built on is malformed.
    #[error("it is built on an unreadable change")]
    Ancestor,
}

/// What became of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// Part of the text.
    Applied,
    /// Will be part of the text: the page is catching up.
    Pending,
    /// Waits for entries that are not here.
    Waiting(Vec<EntryId>),
    /// Breaks a rule.
    Malformed(Malformed),
    /// Its author was no member, as far as it says, or its member was removed.
    Uncounted,
    /// One of too many open branches of its member.
    Flood,
    /// Written on another generation of the text.
    OtherGeneration,
    /// A proposed wording that nobody took over.
    Proposed,
}

/// A set of places, as bits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Bits(Vec<u64>);

impl Bits {
    fn set(&mut self, at: usize) {
        let word = at / 64;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        if let Some(w) = self.0.get_mut(word) {
            *w |= 1 << (at % 64);
        }
    }

    fn has(&self, at: usize) -> bool {
        self.0.get(at / 64).is_some_and(|w| w >> (at % 64) & 1 == 1)
    }

    fn add(&mut self, other: &Bits) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        self.0.iter_mut().zip(&other.0).for_each(|(a, b)| *a |= b);
    }

    fn count_both(&self, other: &Bits) -> usize {
        self.0.iter().zip(&other.0).map(|(a, b)| (a & b).count_ones() as usize).sum()
    }

    /// The places that both have, ascending.
    fn both<'a>(&'a self, other: &'a Bits) -> impl Iterator<Item = usize> + 'a {
        self.0.iter().zip(&other.0).enumerate().flat_map(|(word, (a, b))| {
            let bits = a & b;
            (0..64).filter(move |bit| bits >> bit & 1 == 1).map(move |bit| word * 64 + bit)
        })
    }
}

/// What a device wrote in one generation of a page.
#[derive(Debug, Default)]
struct Own {
    places: Bits,
    /// Bytes that all of it inserts.
    bytes: usize,
}

impl Own {
    /// Whether what an entry that inserts `bytes` has of it below itself is more than a device may
    /// have.
    fn is_too_much(&self, entries: &[PageEntry], below: &Bits, bytes: usize) -> bool {
        if self.places.count_both(below) > MAX_DEVICE_WEAVES {
            return true;
        }
        // Only a device that wrote so much at all is looked at closely.
        self.bytes + bytes > MAX_DEVICE_WEAVE_BYTES && {
            let own = self.places.both(below).filter_map(|at| entries.get(at));
            own.map(inserted).sum::<usize>() + bytes > MAX_DEVICE_WEAVE_BYTES
        }
    }
}

fn inserted(entry: &PageEntry) -> usize {
    entry.splices().iter().map(|s| s.insert.len()).sum()
}

/// The entries of a page in (depth, id) order, each with its ancestors and what becomes of it.
#[derive(Debug, Default)]
pub struct Graph {
    entries: Vec<PageEntry>,
    depths: Vec<u32>,
    ancestors: Vec<Bits>,
    generations: Vec<Option<EntryId>>,
    structure: Vec<Option<Malformed>>,
    statuses: Vec<Status>,
    places: HashMap<EntryId, usize>,
    /// Entries that wait, or are more than a member may have: not part of the order.
    aside: BTreeMap<EntryId, (PageEntry, Status)>,
    current: Option<EntryId>,
}

#[allow(clippy::indexing_slicing)] // every place is one in `entries`, and all lists are as long
impl Graph {
    pub(super) fn new(
        root: &PageRoot,
        entries: Vec<PageEntry>,
        broken: &BTreeMap<EntryId, Malformed>,
    ) -> Graph {
        let mut graph = Graph::default();
        graph.order(entries);
        graph.judge_structure();
        graph.mark_broken(root, broken);
        graph
    }

    /// Puts the entries into order and sets those aside whose ancestors are not all here.
    fn order(&mut self, entries: Vec<PageEntry>) {
        let mut by_id: BTreeMap<EntryId, PageEntry> =
            entries.into_iter().map(|e| (e.id, e)).collect();
        let mut depths: BTreeMap<EntryId, u32> = BTreeMap::new();
        let mut above: BTreeMap<EntryId, Vec<EntryId>> = BTreeMap::new();
        let mut missing: BTreeMap<EntryId, usize> = BTreeMap::new();
        let mut ready: Vec<EntryId> = Vec::new();
        for (id, entry) in &by_id {
            let needs: BTreeSet<EntryId> =
                entry.deps.iter().chain(&entry.previous).copied().collect();
            needs.iter().for_each(|need| above.entry(*need).or_default().push(*id));
            missing.insert(*id, needs.len());
            if needs.is_empty() {
                ready.push(*id);
            }
        }
        while let Some(id) = ready.pop() {
            let depth = by_id.get(&id).map_or(0, |e| {
                let below = e.deps.iter().chain(&e.previous);
                let below = below.filter_map(|d| depths.get(d)).max();
                below.map_or(0, |d| d.saturating_add(1))
            });
            depths.insert(id, depth);
            for next in above.remove(&id).unwrap_or_default() {
                if let Some(left) = missing.get_mut(&next) {
                    *left -= 1;
                    if *left == 0 {
                        ready.push(next);
                    }
                }
            }
        }
        let mut order: Vec<(u32, EntryId)> = depths.iter().map(|(id, d)| (*d, *id)).collect();
        order.sort_unstable();
        let mut of_member: HashMap<MemberId, usize> = HashMap::new();
        for (depth, id) in order {
            let Some(entry) = by_id.get(&id) else { continue };
            let count = of_member.entry(entry.member).or_default();
            *count += 1;
            let flood = *count > MAX_MEMBER_WEAVES;
            let whole = entry.deps.iter().all(|d| self.places.contains_key(d));
            if flood || !whole {
                continue;
            }
            let Some(entry) = by_id.remove(&id) else { continue };
            self.places.insert(id, self.entries.len());
            self.entries.push(entry);
            self.depths.push(depth);
        }
        for (id, entry) in by_id {
            let status = if depths.contains_key(&id) {
                Status::Flood
            } else {
                let absent = |d: &&EntryId| !depths.contains_key(d);
                let needs = entry.deps.iter().chain(&entry.previous).filter(absent);
                Status::Waiting(needs.copied().collect())
            };
            self.aside.insert(id, (entry, status));
        }
    }

    fn judge_structure(&mut self) {
        let mut own: HashMap<(DeviceId, Option<EntryId>), Own> = HashMap::new();
        for at in 0..self.entries.len() {
            let entry = &self.entries[at];
            let deps: Vec<usize> =
                entry.deps.iter().filter_map(|d| self.places.get(d).copied()).collect();
            let mut ancestors = Bits::default();
            let mut tangled = deps.len() > MAX_WEAVE_DEPS;
            for dep in &deps {
                let twice = deps.iter().filter(|d| *d == dep).count() > 1;
                tangled |= twice || deps.iter().any(|d| self.ancestors[*d].has(*dep));
                ancestors.add(&self.ancestors[*dep]);
            }
            deps.iter().for_each(|dep| ancestors.set(*dep));
            let mut below: Vec<Option<EntryId>> =
                deps.iter().map(|d| self.generations[*d]).collect();
            below.dedup();
            let fresh = matches!(entry.body, PageBody::Generation { .. });
            let generation = match below.first() {
                _ if fresh => Some(entry.id),
                Some(first) => *first,
                None => None,
            };
            let own_key = (entry.device, below.first().copied().flatten());
            let bytes = inserted(entry);
            let bad = |d: &usize| self.structure[*d].is_some();
            let fault = if tangled {
                Some(Malformed::Deps)
            } else if below.len() > 1 {
                Some(Malformed::Generations)
            } else if deps.iter().any(bad) && !fresh {
                Some(Malformed::Ancestor)
            } else if entry.is_bound()
                && !self.follows_own(at, &ancestors, below.first().copied().flatten())
            {
                Some(Malformed::Previous)
            } else if !fresh
                && own
                    .get(&own_key)
                    .is_some_and(|own| own.is_too_much(&self.entries, &ancestors, bytes))
            {
                Some(Malformed::DeviceWeaves)
            } else {
                None
            };
            let mine = own.entry((entry.device, generation)).or_default();
            mine.places.set(at);
            mine.bytes += bytes;
            self.ancestors.push(ancestors);
            self.generations.push(generation);
            self.structure.push(fault);
        }
    }

    /// Whether the nearest earlier weave of its device that is in order, joins aside, is among its
    /// ancestors. One of another generation binds nobody: it may have come too late for this one.
    fn follows_own(&self, at: usize, ancestors: &Bits, generation: Option<EntryId>) -> bool {
        let mut previous = self.entries[at].previous;
        while let Some(place) = previous.and_then(|p| self.places.get(&p).copied()) {
            if self.structure[place].is_none() && self.entries[place].is_bound() {
                return self.generations[place] != generation || ancestors.has(place);
            }
            previous = self.entries[place].previous;
        }
        true
    }

    /// Decides what becomes of each entry, once it is known which splices do not fit their text.
    pub(super) fn mark_broken(&mut self, root: &PageRoot, broken: &BTreeMap<EntryId, Malformed>) {
        let mut faults = self.structure.clone();
        for at in 0..self.entries.len() {
            let fresh = matches!(self.entries[at].body, PageBody::Generation { .. });
            let below_fault =
                |d: &EntryId| self.places.get(d).is_some_and(|place| faults[*place].is_some());
            if faults[at].is_none() {
                faults[at] = if let Some(reason) = broken.get(&self.entries[at].id) {
                    Some(*reason)
                } else if !fresh && self.entries[at].deps.iter().any(below_fault) {
                    Some(Malformed::Ancestor)
                } else {
                    None
                };
            }
        }
        self.current = self.current_generation();
        let here = |at: usize| self.structure[at].is_none() && self.generations[at] == self.current;
        // Up to here the text has no say: who takes part must be known before anything is computed,
        // or broken branches could be put forward without end.
        let effective = |at: usize| here(at) && writes(root, &self.entries[at]);
        let part = self.with_ancestors(self.greatest_branches(effective));
        let applied = self.with_ancestors(
            (0..self.entries.len())
                .filter(|at| effective(*at) && part.has(*at) && faults[*at].is_none()),
        );
        let proposal = |at: usize| {
            let entry = &self.entries[at];
            let fresh = matches!(entry.body, PageBody::Generation { .. });
            here(at) && entry.counts && !fresh && !effective(at)
        };
        let shown = self.greatest_of_each(|at| proposal(at) && !part.has(at));
        let status = |at: usize| {
            if let Some(reason) = self.structure[at] {
                Status::Malformed(reason)
            } else if !here(at) {
                Status::OtherGeneration
            } else if applied.has(at) {
                Status::Applied
            } else if effective(at) && part.has(at) {
                Status::Malformed(faults[at].unwrap_or(Malformed::Ancestor))
            } else if proposal(at) && (part.has(at) || shown.has(at)) {
                // Whether its own text fits is not told: it may never have been tried.
                Status::Proposed
            } else if self.entries[at].counts {
                Status::Flood
            } else {
                Status::Uncounted
            }
        };
        self.statuses = (0..self.entries.len()).map(status).collect();
    }

    /// The greatest (depth, id) of a lead's that counts. It stands on its own: what it was made from
    /// need not be applied.
    fn current_generation(&self) -> Option<EntryId> {
        let starts = |at: &usize| {
            let entry = &self.entries[*at];
            matches!(entry.body, PageBody::Generation { .. })
                && entry.counts
                && entry.role >= Role::Lead
                && self.structure[*at].is_none()
        };
        let latest = (0..self.entries.len()).rfind(starts);
        latest.map(|at| self.entries[at].id)
    }

    /// Of each member, the greatest by (depth, id) of those of his entries that `among` picks and that
    /// no other such one of his is built on.
    fn greatest_branches(&self, among: impl Fn(usize) -> bool) -> Vec<usize> {
        let mut of_member: HashMap<MemberId, (usize, Bits)> = HashMap::new();
        let mut kept = Vec::new();
        // Descending: what others are built on comes after them.
        for at in (0..self.entries.len()).rev().filter(|at| among(*at)) {
            let (heads, below) = of_member.entry(self.entries[at].member).or_default();
            if below.has(at) {
                continue;
            }
            below.add(&self.ancestors[at]);
            *heads += 1;
            if *heads <= MAX_PAGE_BRANCHES {
                kept.push(at);
            }
        }
        kept
    }

    /// Of each member, the greatest by (depth, id) of those of his entries that `among` picks.
    fn greatest_of_each(&self, among: impl Fn(usize) -> bool) -> Bits {
        let mut of_member: HashMap<MemberId, usize> = HashMap::new();
        let mut kept = Bits::default();
        for at in (0..self.entries.len()).rev().filter(|at| among(*at)) {
            let count = of_member.entry(self.entries[at].member).or_default();
            *count += 1;
            if *count <= MAX_PAGE_BRANCHES {
                kept.set(at);
            }
        }
        kept
    }

    fn with_ancestors(&self, places: impl IntoIterator<Item = usize>) -> Bits {
        let mut out = Bits::default();
        for at in places {
            out.add(&self.ancestors[at]);
            out.set(at);
        }
        out
    }

    pub(super) fn entry(&self, id: &EntryId) -> Option<&PageEntry> {
        self.places.get(id).map(|at| &self.entries[*at])
    }

    pub(super) fn status(&self, id: &EntryId) -> Option<&Status> {
        self.places.get(id).map(|at| &self.statuses[*at])
    }

    pub(super) fn generation(&self) -> Option<EntryId> {
        self.current
    }

    /// What is applied, ancestors first. A generation is what the document starts from.
    pub(super) fn applied(&self) -> impl Iterator<Item = EntryId> + '_ {
        let of = self.entries.iter().zip(&self.statuses);
        of.filter(|(e, s)| **s == Status::Applied && Some(e.id) != self.current).map(|(e, _)| e.id)
    }

    pub(super) fn is_applied(&self, id: &EntryId) -> bool {
        self.status(id) == Some(&Status::Applied)
    }

    /// All entries in order, those that wait last.
    pub(super) fn in_order(&self) -> impl Iterator<Item = (&PageEntry, u32, &Status)> {
        let ordered = self.entries.iter().zip(&self.depths).zip(&self.statuses);
        let ordered = ordered.map(|((e, d), s)| (e, *d, s));
        ordered.chain(self.aside.values().map(|(e, s)| (e, 0, s)))
    }

    /// Those of `ids` that are here and no ancestor of another, ascending by id.
    pub(super) fn maximal(&self, ids: &[EntryId]) -> Vec<EntryId> {
        let places: BTreeSet<usize> =
            ids.iter().filter_map(|id| self.places.get(id).copied()).collect();
        let mut below = Bits::default();
        let mut out = Vec::new();
        for at in places.into_iter().rev() {
            if !below.has(at) {
                out.push(self.entries[at].id);
            }
            below.add(&self.ancestors[at]);
        }
        out.sort_unstable();
        out
    }

    pub(super) fn covers(&self, heads: &[EntryId], id: &EntryId) -> bool {
        let Some(at) = self.places.get(id).copied() else { return false };
        let heads = heads.iter().filter_map(|h| self.places.get(h).copied());
        heads.into_iter().any(|head| head == at || self.ancestors[head].has(at))
    }

    pub(super) fn concurrent(&self, a: &EntryId, b: &EntryId) -> bool {
        a != b && !self.covers(&[*a], b) && !self.covers(&[*b], a)
    }

    /// The maximal well-formed weaves of a device.
    pub(super) fn heads_of(&self, device: &DeviceId) -> Vec<EntryId> {
        let own = self.entries.iter().zip(&self.statuses).filter(|(e, s)| {
            e.device == *device
                && !matches!(e.body, PageBody::Reframe { .. })
                && !matches!(s, Status::Malformed(_) | Status::OtherGeneration)
        });
        self.maximal(&own.map(|(e, _)| e.id).collect::<Vec<_>>())
    }

    /// The last entry of those that `wanted` picks that is built on more than one.
    pub(super) fn merged(&self, wanted: impl Fn(&EntryId) -> bool) -> Option<EntryId> {
        let joins = self.entries.iter().rev().filter(|e| e.deps.len() > 1 && wanted(&e.id));
        joins.map(|e| e.id).next()
    }
}

/// Whether an entry takes effect by itself.
fn writes(root: &PageRoot, entry: &PageEntry) -> bool {
    let entitled = entry.member == root.author || entry.role >= Role::Lead;
    entry.counts
        && match entry.body {
            PageBody::Weave(_) => root.kind == PageKind::Answer || entitled,
            PageBody::Reframe { .. } => false,
            PageBody::Generation { .. } => entry.role >= Role::Lead,
        }
}
