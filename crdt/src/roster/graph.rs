//! Ancestry of roster entries: who is in whose past.
//!
//! 1. The parents of an entry are its roster heads and its refs. `prev` is not ancestry: what an
//!    author *saw* is what it names, and a log says only what it wrote.
//! 2. An entry is *whole* when all its ancestors are here. Others wait, and are not in the graph.
//! 3. Depth: 0 for the genesis, otherwise one more than the deepest parent.
//! 4. Whole entries are numbered in (depth, id) order. A [`Node`] is that number, so comparing
//!    nodes compares (depth, id), and every parent has a smaller number than its children.
//!
//! The past of every entry is kept as a set of bits, cut into chunks that an entry shares with its
//! parents wherever they agree. Asking "is a in the past of b" is one bit. Memory is about 800 bytes
//! an entry at 100,000 entries as people write them, less below; a history crafted to share nothing costs n/8 bytes
//! an entry (12 MB in all for 10,000 entries). Nothing recurses.

use std::sync::Arc;

use super::RosterEntry;
use crate::id::EntryId;

/// Missing ancestors that are listed for one waiting entry; the smallest ids.
pub const MAX_MISSING_LISTED: usize = 8;

const WORDS: usize = 32;
const CHUNK_BITS: usize = WORDS * 64;

/// A whole entry, by its place in (depth, id) order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Node(pub(super) u32);

impl Node {
    fn chunk(self) -> usize {
        self.0 as usize / CHUNK_BITS
    }

    fn word(self) -> usize {
        self.0 as usize % CHUNK_BITS / 64
    }

    fn bit(self) -> u64 {
        1 << (self.0 % 64)
    }
}

type Chunk = Arc<[u64; WORDS]>;

/// A set of nodes.
#[derive(Debug, Clone, Default)]
pub(super) struct NodeSet {
    chunks: Vec<Option<Chunk>>,
}

impl NodeSet {
    pub(super) fn has(&self, node: Node) -> bool {
        let chunk = self.chunks.get(node.chunk()).and_then(Option::as_ref);
        chunk.and_then(|c| c.get(node.word())).is_some_and(|w| w & node.bit() != 0)
    }

    pub(super) fn insert(&mut self, node: Node) {
        if self.chunks.len() <= node.chunk() {
            self.chunks.resize(node.chunk() + 1, None);
        }
        if let Some(slot) = self.chunks.get_mut(node.chunk()) {
            let chunk = slot.get_or_insert_with(|| Arc::new([0; WORDS]));
            if let Some(word) = Arc::make_mut(chunk).get_mut(node.word()) {
                *word |= node.bit();
            }
        }
    }

    /// Adds every node of `other`, sharing its chunks where that is all it takes.
    pub(super) fn union(&mut self, other: &NodeSet) {
        if self.chunks.len() < other.chunks.len() {
            self.chunks.resize(other.chunks.len(), None);
        }
        for (mine, theirs) in self.chunks.iter_mut().zip(&other.chunks) {
            let Some(theirs) = theirs else { continue };
            match mine {
                None => *mine = Some(Arc::clone(theirs)),
                Some(m) if Arc::ptr_eq(m, theirs) || covers(m, theirs) => {}
                Some(m) if covers(theirs, m) => *m = Arc::clone(theirs),
                Some(m) => {
                    for (a, b) in Arc::make_mut(m).iter_mut().zip(theirs.iter()) {
                        *a |= b;
                    }
                }
            }
        }
    }
}

impl NodeSet {
    /// The first `n` nodes.
    pub(super) fn first(n: usize) -> NodeSet {
        let mut set = NodeSet::default();
        (0u32..).take(n).for_each(|node| set.insert(Node(node)));
        set
    }

    pub(super) fn is_empty(&self) -> bool {
        self.chunks.iter().flatten().all(|c| c.iter().all(|w| *w == 0))
    }

    /// The nodes that `other` lacks, ascending.
    pub(super) fn without(&self, other: &NodeSet) -> Vec<Node> {
        let mut found = Vec::new();
        for (number, chunk) in self.chunks.iter().enumerate() {
            let Some(chunk) = chunk else { continue };
            let theirs = other.chunks.get(number).and_then(Option::as_ref);
            if theirs.is_some_and(|t| Arc::ptr_eq(t, chunk)) {
                continue;
            }
            let theirs = theirs.map_or(&[0; WORDS], |t| &**t);
            for (place, (a, b)) in chunk.iter().zip(theirs).enumerate() {
                let mut word = a & !b;
                while word != 0 {
                    let node = number * CHUNK_BITS + place * 64 + word.trailing_zeros() as usize;
                    found.push(Node(u32::try_from(node).unwrap_or(u32::MAX)));
                    word &= word - 1;
                }
            }
        }
        found
    }

    /// Whether `a` and `b` hold the same nodes of this set.
    pub(super) fn sees_same(&self, a: &NodeSet, b: &NodeSet) -> bool {
        fn chunk(set: &NodeSet, n: usize) -> Option<&Chunk> {
            set.chunks.get(n).and_then(Option::as_ref)
        }
        (0..a.chunks.len().max(b.chunks.len()).min(self.chunks.len())).all(|n| {
            let Some(Some(mine)) = self.chunks.get(n) else { return true };
            let (a, b) = (chunk(a, n), chunk(b, n));
            let (a, b) = match (a, b) {
                (None, None) => return true,
                (Some(a), Some(b)) if Arc::ptr_eq(a, b) => return true,
                (a, b) => (a.map_or(&[0; WORDS], |c| &**c), b.map_or(&[0; WORDS], |c| &**c)),
            };
            mine.iter().zip(a.iter().zip(b)).all(|(m, (a, b))| (a ^ b) & m == 0)
        })
    }
}

fn covers(a: &[u64; WORDS], b: &[u64; WORDS]) -> bool {
    a.iter().zip(b).all(|(a, b)| b & !a == 0)
}

/// The whole entries and their ancestry.
#[derive(Debug, Clone, Default)]
pub(super) struct Graph {
    ids: Vec<EntryId>,
    depths: Vec<u32>,
    pasts: Vec<NodeSet>,
    by_id: Vec<(EntryId, Node)>,
}

/// What [`build`] makes of a set of entries.
pub(super) struct Built<'a> {
    pub(super) graph: Graph,
    /// By node.
    pub(super) entries: Vec<&'a RosterEntry>,
    /// Entries that are not whole, with the smallest of the ids that they lack.
    pub(super) waiting: Vec<(EntryId, Vec<EntryId>)>,
    /// Every id that some entry names and that is not here, ascending.
    pub(super) missing: Vec<EntryId>,
}

#[derive(Clone, Default)]
struct Visit {
    parents: Vec<usize>,
    open_parents: usize,
    children: Vec<usize>,
    missing: Vec<EntryId>,
    depth: u32,
    done: bool,
}

fn note_missing(list: &mut Vec<EntryId>, id: EntryId) {
    if let Err(place) = list.binary_search(&id) {
        list.insert(place, id);
        list.truncate(MAX_MISSING_LISTED);
    }
}

/// Builds the graph of `entries`, which are ascending by id, each once.
#[allow(clippy::indexing_slicing)] // every index is a position in `entries` or in `visits`, of equal length
pub(super) fn build<'a>(entries: &[&'a RosterEntry]) -> Built<'a> {
    let find = |id: &EntryId| entries.binary_search_by(|e| e.id.cmp(id)).ok();
    let mut visits = vec![Visit::default(); entries.len()];
    let mut all_missing = Vec::new();
    for (at, entry) in entries.iter().enumerate() {
        for id in entry.header.heads().iter().chain(entry.header.refs()) {
            match find(id) {
                Some(parent) => visits[at].parents.push(parent),
                None => {
                    note_missing(&mut visits[at].missing, *id);
                    all_missing.push(*id);
                }
            }
        }
        visits[at].parents.sort_unstable();
        visits[at].parents.dedup();
        visits[at].open_parents = visits[at].parents.len();
        for parent in visits[at].parents.clone() {
            visits[parent].children.push(at);
        }
    }
    all_missing.sort_unstable();
    all_missing.dedup();

    // Kahn's walk, parents first. Entries on a cycle are never reached; hashing makes that
    // impossible for real ids, and here it only means that they wait.
    let mut ready: Vec<usize> =
        (0..visits.len()).filter(|&v| visits[v].open_parents == 0).collect();
    let mut whole = Vec::new();
    while let Some(at) = ready.pop() {
        let (depth, missing) = (visits[at].depth, visits[at].missing.clone());
        visits[at].done = true;
        if missing.is_empty() {
            whole.push(at);
        }
        for child in std::mem::take(&mut visits[at].children) {
            let visit = &mut visits[child];
            visit.depth = visit.depth.max(depth.saturating_add(1));
            missing.iter().for_each(|id| note_missing(&mut visit.missing, *id));
            visit.open_parents -= 1;
            if visit.open_parents == 0 {
                ready.push(child);
            }
        }
    }
    whole.sort_unstable_by_key(|&at| (visits[at].depth, entries[at].id));

    let mut graph = Graph::default();
    let mut node_of = vec![Node(0); entries.len()];
    for (number, &at) in whole.iter().enumerate() {
        let node = Node(u32::try_from(number).unwrap_or(u32::MAX));
        node_of[at] = node;
        let mut past = NodeSet::default();
        for &parent in &visits[at].parents {
            let parent = node_of[parent];
            past.union(&graph.pasts[parent.0 as usize]);
        }
        for &parent in &visits[at].parents {
            past.insert(node_of[parent]);
        }
        graph.ids.push(entries[at].id);
        graph.depths.push(visits[at].depth);
        graph.pasts.push(past);
    }
    graph.by_id = whole.iter().map(|&at| (entries[at].id, node_of[at])).collect();
    graph.by_id.sort_unstable();
    let waiting = visits
        .into_iter()
        .zip(entries)
        .filter(|(visit, _)| !visit.done || !visit.missing.is_empty())
        .map(|(visit, entry)| (entry.id, visit.missing))
        .collect();
    let entries = whole.iter().map(|&at| entries[at]).collect();
    Built { graph, entries, waiting, missing: all_missing }
}

impl Graph {
    /// The node of an entry, if it is here and whole.
    pub(super) fn node(&self, id: &EntryId) -> Option<Node> {
        let place = self.by_id.binary_search_by(|(i, _)| i.cmp(id)).ok()?;
        self.by_id.get(place).map(|(_, node)| *node)
    }

    /// The id of a node.
    pub(super) fn id(&self, node: Node) -> EntryId {
        self.ids.get(node.0 as usize).copied().unwrap_or(EntryId::ZERO)
    }

    /// The past of a node, itself not included.
    pub(super) fn past(&self, node: Node) -> Option<&NodeSet> {
        self.pasts.get(node.0 as usize)
    }

    /// The maximal ones of `nodes`: those that are in no other's past.
    pub(super) fn maximal(&self, nodes: &[Node]) -> Vec<Node> {
        let mut covered = NodeSet::default();
        for node in nodes {
            if let Some(past) = self.past(*node) {
                covered.union(past);
            }
        }
        nodes.iter().copied().filter(|n| !covered.has(*n)).collect()
    }
}

impl Graph {
    /// The depth of an entry, here or not, if all its parents are here.
    pub(super) fn depth_of(&self, entry: &RosterEntry) -> Option<u32> {
        let mut parents = entry.header.heads().iter().chain(entry.header.refs());
        parents.try_fold(0, |depth: u32, id| {
            let parent = self.node(id)?;
            Some(depth.max(self.depths.get(parent.0 as usize)?.saturating_add(1)))
        })
    }

    /// Appends an entry, whose parents are here and whose depth this is, if it comes after all others in (depth, id)
    /// order; `None`, and nothing changed, for any other.
    pub(super) fn append(&mut self, entry: &RosterEntry, depth: u32) -> Option<Node> {
        let last = self.depths.last().copied().zip(self.ids.last().copied());
        if last.is_none_or(|last| last >= (depth, entry.id)) {
            return None;
        }
        let mut past = NodeSet::default();
        let named = entry.header.heads().iter().chain(entry.header.refs());
        let parents: Vec<Node> = named.filter_map(|id| self.node(id)).collect();
        for parent in &parents {
            past.union(self.past(*parent)?);
        }
        parents.iter().for_each(|p| past.insert(*p));
        let node = Node(u32::try_from(self.ids.len()).ok()?);
        self.ids.push(entry.id);
        self.depths.push(depth);
        self.pasts.push(past);
        let place = self.by_id.partition_point(|(id, _)| *id < entry.id);
        self.by_id.insert(place, (entry.id, node));
        Some(node)
    }

    /// How many nodes there are.
    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether `a` is in the past of `b`.
    pub(super) fn before(&self, a: Node, b: Node) -> bool {
        a < b && self.past(b).is_some_and(|p| p.has(a))
    }

    /// Whether neither is in the other's past.
    pub(super) fn concurrent(&self, a: Node, b: Node) -> bool {
        a != b && !self.before(a, b) && !self.before(b, a)
    }
}

/// The part of the roster from which something is judged: some part of the graph, without the
/// entries that are out there (rule 8). What is no sound entry is in no view, since nothing ever
/// asks for one.
#[derive(Debug, Clone)]
pub(super) struct View<'g> {
    pub(super) graph: &'g Graph,
    base: Base<'g>,
    out: &'g NodeSet,
}

#[derive(Debug, Clone)]
enum Base<'g> {
    Now,
    Past(&'g NodeSet),
    Heads(Vec<Node>),
}

impl<'g> View<'g> {
    /// All of it.
    pub(super) fn now(graph: &'g Graph, out: &'g NodeSet) -> View<'g> {
        View { graph, base: Base::Now, out }
    }

    /// What an entry has in its past.
    pub(super) fn past(graph: &'g Graph, past: &'g NodeSet, out: &'g NodeSet) -> View<'g> {
        View { graph, base: Base::Past(past), out }
    }

    /// What these entries have in their past, themselves included.
    pub(super) fn heads(graph: &'g Graph, heads: Vec<Node>, out: &'g NodeSet) -> View<'g> {
        View { graph, base: Base::Heads(heads), out }
    }

    pub(super) fn has(&self, node: Node) -> bool {
        let there = match &self.base {
            Base::Now => true,
            Base::Past(past) => past.has(node),
            Base::Heads(heads) => heads.iter().any(|h| *h == node || self.graph.before(node, *h)),
        };
        there && !self.out.has(node)
    }

    /// Whether `node` is here and does not lie in the past of `of`, nor is it: what takes away
    /// takes from all that did not follow it.
    pub(super) fn has_after(&self, node: Node, of: Node) -> bool {
        node != of && self.has(node) && !self.graph.before(node, of)
    }
}
