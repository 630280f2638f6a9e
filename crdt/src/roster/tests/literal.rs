//! Rule 8 read literally, with the same rules by kind: every past and every set resolved from
//! nothing, without signatures. What the resolver saves must change nothing.

use std::collections::BTreeMap;

use super::super::graph::{Graph, Node, NodeSet, View};
use super::super::judge::{Act, Known, judge};
use super::super::resolve::Source;
use super::super::*;

/// K(X) and what is out of X, for each X that was asked for.
pub(super) struct Literal<'r> {
    roster: &'r Roster,
    known: BTreeMap<Vec<Node>, (NodeSet, NodeSet)>,
}

impl<'r> Literal<'r> {
    pub(super) fn new(roster: &'r Roster) -> Literal<'r> {
        Literal { roster, known: BTreeMap::new() }
    }

    fn graph(&self) -> &'r Graph {
        &self.roster.graph
    }

    fn source(&self) -> Source<'r> {
        Source { graph: &self.roster.graph, entries: &self.roster.entries }
    }

    fn is_sound(&self, node: Node) -> bool {
        self.roster.resolver.facts(node).is_some()
    }

    fn is_revocation(&self, node: Node) -> bool {
        self.roster.resolver.facts(node).is_some_and(|f| f.strength.is_some())
    }

    fn strikes(&self, k: Node, e: Node) -> bool {
        let concurrent = k != e && !self.graph().before(k, e) && !self.graph().before(e, k);
        let taken = self.roster.resolver.ledger.takes(k);
        let facts = self.roster.resolver.facts(e);
        concurrent && taken.zip(facts).is_some_and(|(t, f)| Resolver::strikes(t, f))
    }

    fn holds(&self, out: &NodeSet, x: &NodeSet, node: Node) -> bool {
        let (graph, resolver) = (self.graph(), &self.roster.resolver);
        let view = View::past(graph, graph.past(node).unwrap(), out);
        let recovery = resolver.facts(node).unwrap().recovery;
        let entry = &self.roster.entries[node.0 as usize];
        let act = Act::of(entry, Some(Known { recovery }));
        let Ok(found) = judge(self.roster.community, &resolver.ledger, &view, &act) else {
            return false;
        };
        resolver.look_beyond(&found, |n| n < node && x.has(n) && !out.has(n)).is_ok()
    }

    /// What is out under Sift(X, K).
    fn sift(&self, x: &NodeSet, kept: &[Node]) -> NodeSet {
        let mut out = NodeSet::default();
        for node in x.without(&NodeSet::default()) {
            if !self.is_sound(node) {
                continue;
            }
            let is_in = if self.is_revocation(node) {
                kept.contains(&node)
            } else {
                !kept.iter().any(|k| self.strikes(*k, node)) && self.holds(&out, x, node)
            };
            if !is_in {
                out.insert(node);
            }
        }
        out
    }

    /// Resolve(X): the revocations that are kept, and what is out.
    pub(super) fn resolve(&mut self, x: &NodeSet) -> (NodeSet, NodeSet) {
        let nodes = x.without(&NodeSet::default());
        if let Some(known) = self.known.get(&nodes) {
            return known.clone();
        }
        let mut revocations: Vec<Node> =
            nodes.iter().copied().filter(|n| self.is_revocation(*n)).collect();
        revocations.sort_by(|a, b| {
            self.roster.resolver.is_stronger(*b, *a).cmp(&self.roster.resolver.is_stronger(*a, *b))
        });
        let mut kept: Vec<Node> = Vec::new();
        for r in &revocations {
            if kept.iter().any(|k| self.strikes(*k, *r)) {
                continue;
            }
            let past = self.graph().past(*r).unwrap().clone();
            let (known_then, _) = self.resolve(&past);
            let mut heard = kept.clone();
            for h in known_then.without(&NodeSet::default()) {
                let is_weaker = self.roster.resolver.is_stronger(*r, h);
                if is_weaker && !kept.iter().any(|k| self.strikes(*k, h)) {
                    heard.push(h);
                }
            }
            let out = self.sift(x, &heard);
            if self.holds(&out, x, *r) {
                kept.push(*r);
            }
        }
        let out = self.sift(x, &kept);
        let mut set = NodeSet::default();
        kept.iter().for_each(|k| set.insert(*k));
        self.known.insert(nodes, (set.clone(), out.clone()));
        (set, out)
    }

    /// Compares every past and the whole with what the resolver found.
    pub(super) fn check(&mut self) {
        let _ = self.source();
        let graph = self.graph();
        let mut sets: Vec<NodeSet> =
            (0..graph.len() as u32).map(|n| graph.past(Node(n)).unwrap().clone()).collect();
        sets.push(self.roster.all.clone());
        sets.push(self.roster.tip.clone());
        let mut resolver = self.roster.resolver.clone();
        for (n, set) in sets.iter().enumerate() {
            let (_, want) = self.resolve(set);
            let resolved = resolver.resolve(self.source(), set);
            let got = resolver.out(resolved);
            for node in set.without(&NodeSet::default()) {
                let body = &self.roster.entries[node.0 as usize].body;
                assert_eq!(got.has(node), want.has(node), "set {n}, {node:?}: {body:?}");
            }
        }
        // Soundness by the literal resolution of the past.
        for n in 0..graph.len() as u32 {
            let (node, past) = (Node(n), &sets[n as usize]);
            let (_, out) = self.resolve(past);
            let entry = &self.roster.entries[n as usize];
            let view = View::past(graph, past, &out);
            let act = Act::of(entry, None);
            let found = judge(self.roster.community, self.roster.ledger(), &view, &act);
            let sound = found.is_ok_and(|found| {
                self.roster.resolver.look_beyond(&found, |n| view.has(n)).is_ok()
            });
            assert_eq!(sound, self.is_sound(node), "{node:?}: {:?}", entry.body);
        }
    }
}
