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
    MAX_DEVICE_WEAVES, MAX_MEMBER_WEAVES, MAX_PAGE_BRANCHES, MAX_PAGE_BYTES, MAX_WEAVE_DEPS,
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
    /// Too many weaves of its device are below it.
    #[error("its device wrote more than {MAX_DEVICE_WEAVES} changes to this text")]
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
        let mut own: HashMap<(DeviceId, Option<EntryId>), Bits> = HashMap::new();
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
            let proposal = matches!(entry.body, PageBody::Reframe { .. });
            let bad = |d: &usize| self.structure[*d].is_some();
            let fault = if tangled {
                Some(Malformed::Deps)
            } else if below.len() > 1 {
                Some(Malformed::Generations)
            } else if deps.iter().any(bad) && !fresh {
                Some(Malformed::Ancestor)
            } else if !proposal
                && !self.follows_own(at, &ancestors, below.first().copied().flatten())
            {
                Some(Malformed::Previous)
            } else if own
                .get(&own_key)
                .is_some_and(|own| own.count_both(&ancestors) > MAX_DEVICE_WEAVES)
            {
                Some(Malformed::DeviceWeaves)
            } else {
                None
            };
            if !proposal {
                own.entry((entry.device, generation)).or_default().set(at);
            }
            self.ancestors.push(ancestors);
            self.generations.push(generation);
            self.structure.push(fault);
        }
    }

    /// Whether the nearest earlier weave of its device that is in order is among its ancestors. One of
    /// another generation binds nobody: it may have come too late for this one.
    fn follows_own(&self, at: usize, ancestors: &Bits, generation: Option<EntryId>) -> bool {
        let mut previous = self.entries[at].previous;
        while let Some(place) = previous.and_then(|p| self.places.get(&p).copied()) {
            if self.structure[place].is_none() {
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
        let counting: Vec<bool> = (0..self.entries.len())
            .map(|at| {
                faults[at].is_none()
                    && self.generations[at] == self.current
                    && writes(root, &self.entries[at])
            })
            .collect();
        let flood = self.flood(&counting);
        let mut applied = Bits::default();
        for at in (0..self.entries.len()).rev() {
            if counting[at] && !flood.contains(&at) {
                applied.add(&self.ancestors[at]);
                applied.set(at);
            }
        }
        let status = |at: usize| {
            let entry = &self.entries[at];
            if let Some(reason) = faults[at] {
                Status::Malformed(reason)
            } else if self.generations[at] != self.current {
                Status::OtherGeneration
            } else if applied.has(at) {
                Status::Applied
            } else if flood.contains(&at) {
                Status::Flood
            } else if entry.counts && !matches!(entry.body, PageBody::Generation { .. }) {
                Status::Proposed
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

    /// The open branches of each member beyond the greatest sixteen, with what leads to nothing else.
    fn flood(&self, counting: &[bool]) -> BTreeSet<usize> {
        let mut of_member: HashMap<MemberId, Vec<usize>> = HashMap::new();
        for at in (0..self.entries.len()).filter(|at| counting[*at]) {
            of_member.entry(self.entries[at].member).or_default().push(at);
        }
        let mut flood = BTreeSet::new();
        for places in of_member.values() {
            let mut below = Bits::default();
            let mut heads = 0;
            let mut kept = Bits::default();
            let mut dropped = Vec::new();
            // Descending by (depth, id): what others of the member are built on comes after them.
            for at in places.iter().rev() {
                if !below.has(*at) {
                    heads += 1;
                    below.add(&self.ancestors[*at]);
                    if heads <= MAX_PAGE_BRANCHES {
                        kept.add(&self.ancestors[*at]);
                        kept.set(*at);
                    }
                }
                if !kept.has(*at) {
                    dropped.push(*at);
                }
            }
            flood.extend(dropped);
        }
        flood
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
