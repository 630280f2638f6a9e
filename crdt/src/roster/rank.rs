//! Rule 4: rank, the order of seniority.
//!
//! A rank is a list: founder i has `[i]`; whoever was granted a role has the rank of the sponsor and
//! then the (depth, id) of the grant. A prefix is senior, otherwise the lists compare element by
//! element. Written out, the lists of a long line of sponsors would take quadratic space, so they are
//! paths in one tree: each grant is a tree node below its sponsor's. Two paths are compared at the
//! children of their lowest common ancestor, which jump pointers find in O(log n) steps (Myers, "An
//! applicative random-access stack", 1983).

use std::cmp::Ordering;

use super::graph::Node;

/// A rank: a node of the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RankId(usize);

#[derive(Debug, Clone, Copy)]
struct Place {
    parent: usize,
    jump: usize,
    level: usize,
    key: u32,
}

/// All ranks that were ever given.
#[derive(Debug, Clone)]
pub(super) struct Ranks {
    places: Vec<Place>,
}

const ROOT: usize = 0;

impl Default for Ranks {
    fn default() -> Self {
        Ranks { places: vec![Place { parent: ROOT, jump: ROOT, level: 0, key: 0 }] }
    }
}

#[allow(clippy::indexing_slicing)] // ids are only made by `push`, and places are never removed
impl Ranks {
    /// The rank of the founder at this place of the genesis.
    pub(super) fn founder(&mut self, place: u32) -> RankId {
        self.push(ROOT, place)
    }

    /// The rank that `grant` gives, below that of its sponsor.
    pub(super) fn granted(&mut self, sponsor: RankId, grant: Node) -> RankId {
        self.push(sponsor.0, grant.0)
    }

    fn push(&mut self, parent: usize, key: u32) -> RankId {
        let p = self.places[parent];
        let j = self.places[p.jump];
        let jump =
            if p.level - j.level == j.level - self.places[j.jump].level { j.jump } else { parent };
        self.places.push(Place { parent, jump, level: p.level + 1, key });
        RankId(self.places.len() - 1)
    }

    /// Compares seniority: `Less` is more senior.
    pub(super) fn compare(&self, a: RankId, b: RankId) -> Ordering {
        let (mut x, mut y) = (a.0, b.0);
        let (level_a, level_b) = (self.places[x].level, self.places[y].level);
        x = self.lift(x, level_b);
        y = self.lift(y, level_a);
        if x == y {
            return level_a.cmp(&level_b);
        }
        while self.places[x].parent != self.places[y].parent {
            let (px, py) = (self.places[x], self.places[y]);
            // At one level the jumps lead to one level too.
            if px.jump != py.jump {
                (x, y) = (px.jump, py.jump);
            } else {
                (x, y) = (px.parent, py.parent);
            }
        }
        self.places[x].key.cmp(&self.places[y].key)
    }

    fn lift(&self, mut at: usize, level: usize) -> usize {
        while self.places[at].level > level {
            let place = self.places[at];
            at = if self.places[place.jump].level >= level { place.jump } else { place.parent };
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn compares_like_the_written_out_lists(sponsors in proptest::collection::vec(any::<u16>(), 1..120)) {
            let mut ranks = Ranks::default();
            let mut all: Vec<(RankId, Vec<u32>)> =
                (0..3).map(|i| (ranks.founder(i), vec![i])).collect();
            for (n, s) in sponsors.iter().enumerate() {
                // Long lines and bushes both.
                let at = if s % 4 == 0 { usize::from(*s) % all.len() } else { all.len() - 1 };
                let (sponsor, mut path) = all[at].clone();
                path.push(10 + n as u32);
                all.push((ranks.granted(sponsor, Node(10 + n as u32)), path));
            }
            for (a, pa) in &all {
                for (b, pb) in &all {
                    prop_assert_eq!(ranks.compare(*a, *b), pa.cmp(pb));
                }
            }
        }
    }

    #[test]
    fn a_very_long_line_of_sponsors() {
        let mut ranks = Ranks::default();
        let founder = ranks.founder(0);
        let (mut a, mut b) = (ranks.granted(founder, Node(1)), ranks.granted(founder, Node(2)));
        for n in 0..100_000 {
            a = ranks.granted(a, Node(3 + 2 * n));
            b = ranks.granted(b, Node(4 + 2 * n));
        }
        assert_eq!(ranks.compare(a, b), Ordering::Less);
        assert_eq!(ranks.compare(b, founder), Ordering::Greater);
    }
}
