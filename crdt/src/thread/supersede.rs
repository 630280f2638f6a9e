//! Superseding: how a changeable value is found without a clock.
//!
//! An entry that sets a value names the entries that it supersedes. Of those that count, the current
//! one is not superseded by another; if several are left (people wrote at the same time), it is the
//! one with the greatest (supersede depth, id). The supersede depth is 0 for an entry that supersedes
//! nothing here, otherwise one more than the deepest that it supersedes.
//!
//! A hash cannot name itself, so real entries form no cycle. Should ids form one anyway, what lies on
//! it or above it supersedes nothing.

use crate::id::EntryId;

/// Entries that set one value, resolved.
#[derive(Debug)]
pub(crate) struct Superseding {
    /// For each entry, in the order given.
    pub(crate) depth: Vec<u32>,
    /// For each entry, whether another one supersedes it.
    pub(crate) superseded: Vec<bool>,
}

/// Resolves `items`, ascending by id, each with the ids that it names. `may(by, what)`, both places
/// in `items`, says whether the one is allowed to supersede the other.
#[allow(clippy::indexing_slicing)] // every index is a place in `items`, and all lists are as long
pub(crate) fn resolve(
    items: &[(EntryId, &[EntryId])],
    may: impl Fn(usize, usize) -> bool,
) -> Superseding {
    let mut depth = vec![0u32; items.len()];
    let mut superseded = vec![false; items.len()];
    let mut open = vec![0usize; items.len()];
    let mut above = vec![Vec::new(); items.len()];
    for (at, (_, names)) in items.iter().enumerate() {
        let mut named: Vec<usize> = names
            .iter()
            .filter_map(|id| items.binary_search_by(|(i, _)| i.cmp(id)).ok())
            .filter(|what| *what != at && may(at, *what))
            .collect();
        named.sort_unstable();
        named.dedup();
        open[at] = named.len();
        named.into_iter().for_each(|what| above[what].push(at));
    }
    let mut below: Vec<Vec<usize>> = vec![Vec::new(); items.len()];
    let mut ready: Vec<usize> = (0..items.len()).filter(|at| open[*at] == 0).collect();
    while let Some(at) = ready.pop() {
        // All that it supersedes is settled by now, and only then does it supersede.
        std::mem::take(&mut below[at]).into_iter().for_each(|what| superseded[what] = true);
        for by in std::mem::take(&mut above[at]) {
            depth[by] = depth[by].max(depth[at].saturating_add(1));
            below[by].push(at);
            open[by] -= 1;
            if open[by] == 0 {
                ready.push(by);
            }
        }
    }
    for (at, open) in open.iter().enumerate() {
        if *open > 0 {
            depth[at] = 0;
        }
    }
    Superseding { depth, superseded }
}

impl Superseding {
    /// The current one of `items` among those that `keep` leaves in.
    pub(crate) fn current(
        &self,
        items: &[(EntryId, &[EntryId])],
        keep: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        self.unsuperseded().filter(|at| keep(*at)).max_by_key(|at| self.key(items, *at))
    }

    /// Places of the entries that nothing supersedes.
    pub(crate) fn unsuperseded(&self) -> impl Iterator<Item = usize> {
        self.superseded.iter().enumerate().filter(|(_, s)| !**s).map(|(at, _)| at)
    }

    /// The ids of the entries that nothing supersedes, the greatest (depth, id) first: what a new
    /// entry names.
    pub(crate) fn heads(&self, items: &[(EntryId, &[EntryId])]) -> Vec<EntryId> {
        let mut heads: Vec<usize> = self.unsuperseded().collect();
        heads.sort_by_key(|at| std::cmp::Reverse(self.key(items, *at)));
        heads.into_iter().filter_map(|at| items.get(at).map(|(id, _)| *id)).collect()
    }

    /// What orders the history and decides among concurrent values.
    pub(crate) fn key(&self, items: &[(EntryId, &[EntryId])], at: usize) -> (u32, Option<EntryId>) {
        (self.depth.get(at).copied().unwrap_or(0), items.get(at).map(|(id, _)| *id))
    }
}

/// [`Superseding::heads`] of entries that may all supersede each other.
pub(crate) fn unsuperseded(items: &[(EntryId, &[EntryId])]) -> Vec<EntryId> {
    resolve(items, |_, _| true).heads(items)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u8) -> EntryId {
        EntryId::new([n; 32])
    }

    fn current(items: &[(u8, &[u8])]) -> Option<u8> {
        let names: Vec<Vec<EntryId>> =
            items.iter().map(|(_, names)| names.iter().map(|n| id(*n)).collect()).collect();
        let list: Vec<(EntryId, &[EntryId])> =
            items.iter().zip(&names).map(|((n, _), names)| (id(*n), &names[..])).collect();
        let resolved = resolve(&list, |_, _| true);
        resolved.current(&list, |_| true).map(|at| items[at].0)
    }

    #[test]
    fn depth_then_id() {
        assert_eq!(current(&[]), None);
        assert_eq!(current(&[(1, &[]), (2, &[])]), Some(2));
        assert_eq!(current(&[(1, &[2]), (2, &[])]), Some(1));
        // A longer line of edits wins against a single one with a greater id.
        assert_eq!(current(&[(1, &[2]), (2, &[]), (9, &[])]), Some(1));
        // Every step of the line adds depth.
        assert_eq!(current(&[(3, &[]), (4, &[3]), (5, &[4]), (8, &[]), (9, &[8])]), Some(5));
        // Both branches superseded by a merge.
        assert_eq!(current(&[(1, &[]), (2, &[3, 9]), (3, &[1]), (9, &[1])]), Some(2));
        // What is not here is not superseded, and adds no depth.
        assert_eq!(current(&[(1, &[77]), (2, &[])]), Some(2));
    }

    #[test]
    fn cycles_supersede_nothing() {
        assert_eq!(current(&[(1, &[2]), (2, &[1])]), Some(2));
        assert_eq!(current(&[(1, &[1])]), Some(1));
        assert_eq!(current(&[(1, &[2, 3]), (2, &[1]), (3, &[])]), Some(3));
        assert_eq!(current(&[(1, &[2]), (2, &[1]), (3, &[2]), (4, &[])]), Some(4));
    }
}
