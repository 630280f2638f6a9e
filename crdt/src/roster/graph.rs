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

fn covers(a: &[u64; WORDS], b: &[u64; WORDS]) -> bool {
    a.iter().zip(b).all(|(a, b)| b & !a == 0)
}

/// The whole entries and their ancestry.
#[derive(Debug, Clone, Default)]
pub(super) struct Graph {
    ids: Vec<EntryId>,
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

/// The part of the roster from which something is judged.
#[derive(Debug, Clone)]
pub(super) enum View<'g> {
    /// All of it.
    Now,
    /// What an entry has in its past.
    Past(&'g NodeSet),
    /// What these entries have in their past, themselves included.
    Heads(&'g Graph, Vec<Node>),
}

impl View<'_> {
    pub(super) fn has(&self, node: Node) -> bool {
        match self {
            View::Now => true,
            View::Past(past) => past.has(node),
            View::Heads(graph, heads) => {
                heads.iter().any(|h| *h == node || graph.past(*h).is_some_and(|p| p.has(node)))
            }
        }
    }
}
