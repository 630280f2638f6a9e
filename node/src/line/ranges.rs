//! Sets of positions in a stream, as sorted disjoint ranges.

use std::ops::Range;

/// Half-open ranges, ascending, none empty, none touching another.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Ranges(Vec<Range<u64>>);

impl Ranges {
    pub(super) fn first(&self) -> Option<Range<u64>> {
        self.0.first().cloned()
    }

    /// Number of ranges.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn add(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let from = self.0.partition_point(|r| r.end < range.start);
        let to = self.0.partition_point(|r| r.start <= range.end);
        let touched = self.0.get(from..to).unwrap_or_default();
        let start = touched.first().map_or(range.start, |r| r.start.min(range.start));
        let end = touched.last().map_or(range.end, |r| r.end.max(range.end));
        self.0.splice(from..to.max(from), std::iter::once(start..end));
    }

    pub(super) fn remove(&mut self, range: &Range<u64>) {
        if range.is_empty() {
            return;
        }
        let mut kept = Vec::with_capacity(self.0.len() + 1);
        for r in self.0.drain(..) {
            let before = r.start..r.end.min(range.start);
            let after = r.start.max(range.end)..r.end;
            kept.extend([before, after].into_iter().filter(|r| !r.is_empty()));
        }
        self.0 = kept;
    }

    /// What of `range` is not in the set.
    pub(super) fn missing_of(&self, range: Range<u64>) -> Ranges {
        let mut missing = Ranges::default();
        missing.add(range);
        for r in &self.0 {
            missing.remove(r);
        }
        missing
    }

    pub(super) fn add_all(&mut self, other: Ranges) {
        for range in other.0 {
            self.add(range);
        }
    }

    /// Where the run that holds `from` ends; `from` itself if none does.
    pub(super) fn run_from(&self, from: u64) -> u64 {
        self.0.iter().find(|r| r.contains(&from)).map_or(from, |r| r.end)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn they_are_a_set(steps in proptest::collection::vec((any::<bool>(), 0u64..60, 0u64..12), 0..60)) {
            let (mut ranges, mut set) = (Ranges::default(), BTreeSet::new());
            for (add, from, len) in steps {
                let range = from..from + len;
                let missing = ranges.missing_of(range.clone());
                let lacking: Vec<u64> = range.clone().filter(|n| !set.contains(n)).collect();
                prop_assert_eq!(missing.0.into_iter().flatten().collect::<Vec<_>>(), lacking);
                if add {
                    ranges.add(range.clone());
                    set.extend(range);
                } else {
                    ranges.remove(&range);
                    set.retain(|n| !range.contains(n));
                }
                prop_assert_eq!(
                    ranges.0.iter().cloned().flatten().collect::<Vec<_>>(),
                    set.iter().copied().collect::<Vec<_>>()
                );
                prop_assert!(ranges.0.windows(2).all(|w| w[0].end < w[1].start));
                let run = ranges.run_from(from);
                prop_assert!((from..run).all(|n| set.contains(&n)) && !set.contains(&run));
            }
        }
    }
}
