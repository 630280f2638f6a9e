//! A roster that grows entry by entry is at each of them the one that is folded from nothing.

use proptest::prelude::*;

use super::super::testing::*;
use super::super::*;
use super::play::all_of;
use super::{laws, random, struggles};

/// Entries in (depth, id) order, so that each comes at the tip, and those whose parents nobody has.
fn by_depth(w: &World) -> Vec<RosterEntry> {
    let r = w.fold();
    let mut entries = w.entries.clone();
    entries.sort_by_key(|e| r.graph.node(&e.id).map_or(u32::MAX, |n| n.0));
    entries
}

fn grows_as_folded(community: CommunityId, entries: &[RosterEntry]) -> Result<(), TestCaseError> {
    let mut grown = Roster::fold(community, &[]);
    for (at, entry) in entries.iter().enumerate() {
        grown.grow(std::slice::from_ref(entry));
        let folded = Roster::fold(community, &entries[..=at]);
        prop_assert_eq!(all_of(&grown), all_of(&folded), "after {:?}", entry);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: random::cases().max(24), max_shrink_iters: 3000, ..ProptestConfig::default() })]

    #[test]
    fn through_tickets_and_epochs(w in laws::history()) {
        grows_as_folded(w.community, &by_depth(&w))?;
    }

    #[test]
    fn through_struggles(w in struggles::history(1..4, 5..50), as_written: bool) {
        let entries = if as_written { w.entries.clone() } else { by_depth(&w) };
        grows_as_folded(w.community, &entries)?;
    }

    #[test]
    fn through_whatever_the_oracle_judges((w, _) in random::history()) {
        grows_as_folded(w.community, &by_depth(&w))?;
    }
}
