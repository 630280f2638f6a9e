//! The reconciled set in memory, in an order of its own, with sums over any range of it in about a microsecond.
//!
//! 1. A [`Key`] is a place and an entry id. Places put what is to be sent first in front: roster entries, the oldest
//!    first, then everything else, the newest first. Whoever reads the set from its front reads it in the
//!    order in which a newcomer wants it, and differences, which are nearly always new, lie close together.
//! 2. Keys stand in *leaves* of at most [`LEAF`], leaves in *branches* of at most [`BRANCH`], branches in one list. Leaves and
//!    branches know how many keys they hold and the sum of their ids modulo 2^256. The sum of a range is the difference of
//!    two sums from the front; each of these adds up some branches, some leaves of one branch and some keys of one leaf.
//! 3. A clone shares all leaves and branches ([`Arc`]). Who inserts afterwards copies the leaf and the branch it changes,
//!    once; so a session keeps its snapshot while others go on, and pays for what changes meanwhile.
//!
//! Forty bytes and a little more for each key; nothing is ever taken out, a set that shrank is built anew.

mod sum;

use std::sync::Arc;

use lanai_crdt::id::EntryId;

pub(super) use sum::{FINGERPRINT_BYTES, Fingerprint, Sum};

/// Keys of one leaf, at most.
const LEAF: usize = 256;
/// Leaves of one branch, at most.
const BRANCH: usize = 128;
/// A leaf's memory grows by so many keys.
const GROWTH: usize = 16;

/// Places from here on are those of entries that are not of the roster.
const TALK: u64 = 1 << 63;

/// Where an entry stands in the order of reconciliation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Ascending in the order of sending; never all ones, which means infinity on the wire.
    pub place: u64,
    /// Which entry.
    pub id: EntryId,
}

impl Key {
    /// Of an entry with this time stamp. `roster`: its header is of version 1 and class 0.
    pub fn new(time: u64, roster: bool, id: EntryId) -> Key {
        let half = time >> 1;
        let place = match roster {
            true => half,
            // From 2^63 - 2 down to 0.
            false => TALK | (TALK - 2 - half.min(TALK - 2)),
        };
        Key { place, id }
    }

    /// Whether it is a roster entry's.
    pub fn is_roster(&self) -> bool {
        self.place < TALK
    }
}

#[derive(Debug, Clone, Default)]
struct Leaf {
    keys: Vec<Key>,
    sum: Sum,
}

#[derive(Debug, Clone, Default)]
struct Branch {
    leaves: Vec<Arc<Leaf>>,
    count: usize,
    sum: Sum,
}

/// A set of keys; see the module.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    branches: Vec<Arc<Branch>>,
    len: usize,
}

impl Leaf {
    fn of(keys: Vec<Key>) -> Leaf {
        let mut sum = Sum::default();
        keys.iter().for_each(|key| sum.add_id(&key.id));
        Leaf { keys, sum }
    }

    /// Takes away the keys from `at` on, as a leaf.
    fn split(&mut self, at: usize) -> Leaf {
        let right = Leaf::of(self.keys.split_off(at));
        self.keys.shrink_to(self.keys.len() + GROWTH);
        self.sum.subtract(&right.sum);
        right
    }

    fn insert(&mut self, at: usize, key: Key) {
        if self.keys.len() == self.keys.capacity() {
            self.keys.reserve_exact(GROWTH);
        }
        self.sum.add_id(&key.id);
        self.keys.insert(at.min(self.keys.len()), key);
    }
}

impl Branch {
    fn of(leaves: Vec<Arc<Leaf>>) -> Branch {
        let mut branch = Branch { leaves, ..Branch::default() };
        for leaf in &branch.leaves {
            branch.count += leaf.keys.len();
            branch.sum.add(&leaf.sum);
        }
        branch
    }

    fn last(&self) -> Option<&Key> {
        self.leaves.last()?.keys.last()
    }

    /// Inserts a key. `false`: it is here.
    fn insert(&mut self, key: Key) -> bool {
        let at = self.leaves.partition_point(|leaf| leaf.keys.last().is_some_and(|k| *k < key));
        // Behind the last: into the last leaf.
        let at = at.min(self.leaves.len().saturating_sub(1));
        let Some(leaf) = self.leaves.get(at) else {
            self.leaves.push(Arc::new(Leaf::of(vec![key])));
            self.count += 1;
            self.sum.add_id(&key.id);
            return true;
        };
        let Err(place) = leaf.keys.binary_search(&key) else { return false };
        let full = leaf.keys.len() >= LEAF;
        match split_place(place, leaf.keys.len()) {
            _ if !full => self.change(at, |leaf| leaf.insert(place, key)),
            None if place == 0 => self.leaves.insert(at, Arc::new(Leaf::of(vec![key]))),
            None => self.leaves.insert(at + 1, Arc::new(Leaf::of(vec![key]))),
            Some(half) => {
                let mut right = Leaf::default();
                self.change(at, |leaf| {
                    right = leaf.split(half);
                    match place.checked_sub(half) {
                        Some(place) if place > 0 => right.insert(place, key),
                        _ => leaf.insert(place, key),
                    }
                });
                self.leaves.insert(at + 1, Arc::new(right));
            }
        }
        self.count += 1;
        self.sum.add_id(&key.id);
        true
    }

    fn change(&mut self, at: usize, change: impl FnOnce(&mut Leaf)) {
        if let Some(leaf) = self.leaves.get_mut(at) {
            change(Arc::make_mut(leaf));
        }
    }

    fn split(&mut self, at: usize) -> Branch {
        let right = Branch::of(self.leaves.split_off(at));
        self.count -= right.count;
        self.sum.subtract(&right.sum);
        right
    }
}

/// Where to cut a full node of `len` that something is to be put into at `place`; `None` at either end, where a
/// node of its own leaves the full one whole.
fn split_place(place: usize, len: usize) -> Option<usize> {
    (place > 0 && place < len).then_some(len / 2)
}

impl Tree {
    /// The tree of these keys, in any order, each once or more.
    pub fn new(mut keys: Vec<Key>) -> Tree {
        keys.sort_unstable();
        keys.dedup();
        let mut leaves = Vec::with_capacity(keys.len() / LEAF + 1);
        for part in keys.chunks(LEAF) {
            leaves.push(Arc::new(Leaf::of(part.to_vec())));
        }
        let mut branches = Vec::with_capacity(leaves.len() / BRANCH + 1);
        for part in leaves.chunks(BRANCH) {
            branches.push(Arc::new(Branch::of(part.to_vec())));
        }
        Tree { branches, len: keys.len() }
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Puts a key in. `false`: it is there already.
    pub fn insert(&mut self, key: Key) -> bool {
        let at = self.branches.partition_point(|b| b.last().is_some_and(|last| *last < key));
        let at = at.min(self.branches.len().saturating_sub(1));
        if self.branches.is_empty() {
            self.branches.push(Arc::default());
        }
        let Some(branch) = self.branches.get_mut(at).map(Arc::make_mut) else { return false };
        if !branch.insert(key) {
            return false;
        }
        self.len += 1;
        if branch.leaves.len() > BRANCH {
            // Runs that come in order leave full branches behind, as they leave full leaves.
            let first = branch.leaves.first().is_some_and(|l| l.keys.len() == 1);
            let last = branch.leaves.last().is_some_and(|l| l.keys.len() == 1);
            let cut = match (first, last) {
                (true, _) => 1,
                (false, true) => BRANCH,
                (false, false) => BRANCH / 2,
            };
            let right = branch.split(cut);
            self.branches.insert(at + 1, Arc::new(right));
        }
        true
    }

    /// The key at a place counted from the front.
    pub fn get(&self, at: usize) -> Option<Key> {
        self.iter_from(at).next()
    }

    /// The first place whose key satisfies not `before`, which holds for all keys up to some place.
    pub fn partition_point(&self, before: impl Fn(&Key) -> bool) -> usize {
        let full = self.branches.partition_point(|b| b.last().is_some_and(&before));
        let mut at: usize = self.branches.iter().take(full).map(|b| b.count).sum();
        let Some(branch) = self.branches.get(full) else { return at };
        let full = branch.leaves.partition_point(|l| l.keys.last().is_some_and(&before));
        at += branch.leaves.iter().take(full).map(|l| l.keys.len()).sum::<usize>();
        at + branch.leaves.get(full).map_or(0, |leaf| leaf.keys.partition_point(&before))
    }

    /// Whether a key is in it.
    pub fn contains(&self, key: &Key) -> bool {
        self.get(self.partition_point(|k| k < key)) == Some(*key)
    }

    /// In which branch, which leaf of it and which key of that a place is.
    fn locate(&self, at: usize) -> (usize, usize, usize) {
        let mut left = at;
        for (b, branch) in self.branches.iter().enumerate() {
            if left >= branch.count {
                left -= branch.count;
                continue;
            }
            for (l, leaf) in branch.leaves.iter().enumerate() {
                if left < leaf.keys.len() {
                    return (b, l, left);
                }
                left -= leaf.keys.len();
            }
        }
        (self.branches.len(), 0, 0)
    }

    /// All keys from a place on.
    pub fn iter_from(&self, from: usize) -> impl Iterator<Item = Key> + '_ {
        let (branch, leaf, key) = self.locate(from);
        let leaves = self.branches.iter().skip(branch).flat_map(|b| b.leaves.iter()).skip(leaf);
        leaves.flat_map(|leaf| leaf.keys.iter().copied()).skip(key)
    }

    /// The sum of the ids of the first keys.
    fn sum_to(&self, to: usize) -> Sum {
        let (mut sum, mut left) = (Sum::default(), to);
        for branch in &self.branches {
            if branch.count <= left {
                left -= branch.count;
                sum.add(&branch.sum);
                continue;
            }
            for leaf in &branch.leaves {
                if leaf.keys.len() <= left {
                    left -= leaf.keys.len();
                    sum.add(&leaf.sum);
                    continue;
                }
                // The shorter way to the place.
                if left <= leaf.keys.len() / 2 {
                    leaf.keys.iter().take(left).for_each(|key| sum.add_id(&key.id));
                } else {
                    sum.add(&leaf.sum);
                    leaf.keys.iter().skip(left).for_each(|key| sum.subtract_id(&key.id));
                }
                break;
            }
            break;
        }
        sum
    }

    /// The fingerprint of the keys from one place up to another.
    pub(super) fn fingerprint(&self, from: usize, to: usize) -> Fingerprint {
        let to = to.min(self.len);
        let count = to.saturating_sub(from);
        let mut sum = Sum::default();
        if count > 0 && count <= 64 {
            self.iter_from(from).take(count).for_each(|key| sum.add_id(&key.id));
        } else if count > 0 {
            sum = self.sum_to(to);
            sum.subtract(&self.sum_to(from));
        }
        sum.fingerprint(count as u64)
    }

    #[cfg(test)]
    fn check(&self) {
        let mut len = 0;
        let mut before: Option<Key> = None;
        for branch in &self.branches {
            assert!(!branch.leaves.is_empty() && branch.leaves.len() <= BRANCH);
            let (mut count, mut sum) = (0, Sum::default());
            for leaf in &branch.leaves {
                assert!(!leaf.keys.is_empty() && leaf.keys.len() <= LEAF);
                assert_eq!(leaf.sum, Leaf::of(leaf.keys.clone()).sum);
                for key in &leaf.keys {
                    assert!(before.is_none_or(|b| b < *key));
                    before = Some(*key);
                }
                count += leaf.keys.len();
                sum.add(&leaf.sum);
            }
            assert_eq!((branch.count, branch.sum), (count, sum));
            len += count;
        }
        assert_eq!(self.len, len);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn key(n: u64) -> Key {
        Key { place: n / 3, id: EntryId::new(blake3::hash(&n.to_be_bytes()).into()) }
    }

    #[test]
    fn places_put_the_roster_first_and_the_newest_next() {
        let id = EntryId::new([1; 32]);
        let times = [0, 1, 2, 1 << 40, u64::MAX - 1, u64::MAX];
        let talk: Vec<u64> = times.iter().map(|t| Key::new(*t, false, id).place).collect();
        let roster: Vec<u64> = times.iter().map(|t| Key::new(*t, true, id).place).collect();
        assert!(roster.is_sorted() && talk.is_sorted_by(|a, b| a >= b));
        assert!(roster.iter().max() < talk.iter().min());
        assert_eq!(talk.iter().max(), Some(&(u64::MAX - 1)));
        assert!(Key::new(5, true, id).is_roster() && !Key::new(5, false, id).is_roster());
    }

    #[test]
    fn many_keys_in_any_order_make_one_set() {
        const MANY: u64 = 40_000;
        let expected = Tree::new((0..MANY).map(key).collect());
        expected.check();
        for step in [1, MANY - 1, 7919] {
            let mut tree = Tree::default();
            for n in 0..MANY {
                assert!(tree.insert(key(n * step % MANY)));
                assert!(n % 999 != 0 || !tree.insert(key(n * step % MANY)));
            }
            tree.check();
            assert_eq!(tree.len(), expected.len());
            assert!(tree.iter_from(0).eq(expected.iter_from(0)));
            assert_eq!(tree.fingerprint(0, tree.len()), expected.fingerprint(0, expected.len()));
            let leaves: usize = tree.branches.iter().map(|b| b.leaves.len()).sum();
            assert!(leaves < 450, "{leaves} leaves for {} keys, in steps of {step}", tree.len());
        }
        // In order, nodes are left full.
        let mut tree = Tree::default();
        let mut keys: Vec<Key> = (0..MANY).map(key).collect();
        keys.sort_unstable();
        keys.iter().rev().for_each(|k| assert!(tree.insert(*k)));
        tree.check();
        let leaves: usize = tree.branches.iter().map(|b| b.leaves.len()).sum();
        assert!(leaves < 160 && tree.branches.len() < 4, "{leaves} {}", tree.branches.len());
    }

    #[test]
    fn a_snapshot_stays_as_it_was() {
        let mut tree = Tree::new((0..5000).map(key).collect());
        let snapshot = tree.clone();
        let before = snapshot.fingerprint(0, 5000);
        for n in 5000..6000 {
            assert!(tree.insert(key(n)));
        }
        snapshot.check();
        assert_eq!((snapshot.len(), tree.len()), (5000, 6000));
        assert_eq!(snapshot.fingerprint(0, 5000), before);
        assert!(!snapshot.contains(&key(5500)) && tree.contains(&key(5500)));
    }

    proptest! {
        #[test]
        fn a_tree_is_a_sorted_set(numbers in proptest::collection::vec(0u64..3000, 0..1500),
                                  built in 0usize..1500, cuts: [prop::sample::Index; 2]) {
            let (first, rest) = numbers.split_at(built.min(numbers.len()));
            let mut tree = Tree::new(first.iter().map(|n| key(*n)).collect());
            let mut model: BTreeSet<Key> = first.iter().map(|n| key(*n)).collect();
            for n in rest {
                prop_assert_eq!(tree.insert(key(*n)), model.insert(key(*n)));
            }
            tree.check();
            let all: Vec<Key> = model.into_iter().collect();
            prop_assert_eq!(tree.iter_from(0).collect::<Vec<_>>(), all.clone());
            let mut at = cuts.map(|c| c.index(all.len() + 1));
            at.sort_unstable();
            let [from, to] = at;
            prop_assert!(tree.iter_from(from).take(to - from).eq(all[from..to].iter().copied()));
            prop_assert_eq!(tree.get(from), all.get(from).copied());
            if let Some(bound) = all.get(from) {
                prop_assert_eq!(tree.partition_point(|k| k < bound), from);
                prop_assert!(tree.contains(bound));
            }
            let mut sum = Sum::default();
            all[from..to].iter().for_each(|k| sum.add_id(&k.id));
            prop_assert_eq!(tree.fingerprint(from, to), sum.fingerprint((to - from) as u64));
        }
    }
}
