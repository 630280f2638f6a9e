//! Which members to be connected to, where there are too many for everybody to be connected to everybody.
//!
//! Up to [`FEW`] members that seem to be around, this device included, are all connected. Of more, the
//! devices stand in a ring in the order of their peer ids, and each is connected to those at distance 1, 2,
//! 4, 8, ... on either side (the fingers of Chord: Stoica and others, 2001). So that
//!
//! - everybody who knows of the same devices wants the same connections, from both ends;
//! - the graph is connected, and anybody is reached in few steps: of 50 nodes each has 10 to 12 neighbours and
//!   nobody is farther than three;
//! - whoever comes or goes changes a few connections, and when two halves of a community meet, the ring of
//!   all runs through both (a bare number of connections to keep would let each half keep to itself).
//!
//! Nothing is closed because of it: who wants a connection has it.

use std::collections::HashSet;

use libp2p::PeerId;

/// Devices up to which all are connected to all.
pub(super) const FEW: usize = 12;

/// Whom to be connected to, of those around (this device may be among them); `None`: everybody.
pub(super) fn neighbours(me: &PeerId, around: &HashSet<PeerId>) -> Option<HashSet<PeerId>> {
    let others = around.iter().filter(|peer| *peer != me).count();
    if others < FEW {
        return None;
    }
    let mut ring: Vec<&PeerId> = around.iter().filter(|peer| *peer != me).collect();
    ring.push(me);
    ring.sort_unstable();
    let size = ring.len();
    let own = ring.binary_search(&me).unwrap_or(0);
    let mut chosen = HashSet::new();
    let mut distance = 1;
    while distance <= size / 2 {
        for place in [(own + distance) % size, (own + size - distance) % size] {
            chosen.extend(ring.get(place).map(|peer| **peer));
        }
        distance *= 2;
    }
    Some(chosen)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, VecDeque};

    use super::*;

    fn farthest(graph: &BTreeMap<PeerId, HashSet<PeerId>>, from: PeerId) -> Option<usize> {
        let mut steps = BTreeMap::from([(from, 0)]);
        let mut queue = VecDeque::from([from]);
        while let Some(peer) = queue.pop_front() {
            for next in &graph[&peer] {
                if !steps.contains_key(next) {
                    steps.insert(*next, steps[&peer] + 1);
                    queue.push_back(*next);
                }
            }
        }
        (steps.len() == graph.len()).then(|| steps.values().max().copied().unwrap_or(0))
    }

    #[test]
    fn few_are_all_connected() {
        let all: HashSet<PeerId> = (0..FEW).map(|_| PeerId::random()).collect();
        for me in &all {
            assert_eq!(neighbours(me, &all), None);
        }
        assert_eq!(neighbours(&PeerId::random(), &HashSet::new()), None);
    }

    #[test]
    fn many_make_one_graph_in_which_nobody_is_far() {
        for size in [FEW + 1, 20, 50, 51, 200] {
            let all: HashSet<PeerId> = (0..size).map(|_| PeerId::random()).collect();
            let graph: BTreeMap<PeerId, HashSet<PeerId>> =
                all.iter().map(|me| (*me, neighbours(me, &all).unwrap())).collect();
            let degree = 2 * size.ilog2() as usize;
            for (me, chosen) in &graph {
                assert!(chosen.len() <= degree, "{} of {size}", chosen.len());
                assert!(chosen.iter().all(|other| graph[other].contains(me)), "from both ends");
                let far = farthest(&graph, *me).unwrap();
                assert!(far <= 1 + degree / 4, "{far} steps among {size}");
            }
        }
    }

    #[test]
    fn two_halves_that_meet_become_one() {
        let halves: [HashSet<PeerId>; 2] =
            std::array::from_fn(|_| (0..25).map(|_| PeerId::random()).collect());
        let mut graph: BTreeMap<PeerId, HashSet<PeerId>> = BTreeMap::new();
        for half in &halves {
            graph.extend(half.iter().map(|me| (*me, neighbours(me, half).unwrap())));
        }
        let all: HashSet<PeerId> = halves.iter().flatten().copied().collect();
        for me in &all {
            let more = neighbours(me, &all).unwrap();
            graph.get_mut(me).unwrap().extend(more);
        }
        assert!(farthest(&graph, *all.iter().next().unwrap()).is_some());
    }
}
