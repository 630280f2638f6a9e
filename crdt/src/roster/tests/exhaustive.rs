//! Every small history. An entry's id follows from what it says and from what it names, so that a
//! history up to renaming is a set of ids, and each set is met once: in its (depth, id) order.
//!
//! What is unsound in its own past changes nothing, whatever else there is, but an admission that is short of a
//! use of its ticket. So nothing is put after an unsound entry: each kind of it is met as the last one.
//!
//! The ordinary run goes through all histories of one entry and a share of the longer ones;
//! `LANAI_TEST_ALL=1` through all of them.

use std::collections::BTreeSet;

use super::super::testing::*;
use super::super::*;
use super::play::{Act, SECOND, Stage, differences};
use crate::payload::{Role, Subject};

const NEWCOMER: u16 = 3;

struct Search<'a> {
    stage: &'a Stage,
    maker: World,
    wide: bool,
    most: usize,
    /// Of 256 branches past the first entry, how many are followed.
    share: u16,
    /// First entries are dealt out to so many searches, of which this is one.
    searches: usize,
    search: usize,
    first: usize,
    met: u64,
    cases: u64,
    counted: u64,
}

type Node = (RosterEntry, u64, BTreeSet<EntryId>, (u16, Act));

impl Search<'_> {
    fn acts(&self, past: &[&Node]) -> Vec<(u16, Act)> {
        let mut acts = Vec::new();
        for who in 0..3 {
            for other in 0..3 {
                acts.push((who, Act::Remove(other)));
                if who != other {
                    acts.push((who, Act::Grant(other, Role::Steward)));
                    acts.push((who, Act::Demote(other, Role::Member)));
                }
                if self.wide {
                    acts.push((who, Act::MoveToRemove(other)));
                    acts.push((who, Act::RevokeDevice(other)));
                    acts.push((who, Act::Vouch(other)));
                    acts.push((who, Act::Grant(other, Role::Lead)));
                }
            }
            acts.push((who, Act::Admit(NEWCOMER)));
            if self.wide {
                acts.push((who, Act::Admit(NEWCOMER + 1)));
                acts.push((who, Act::MoveToGrant(2)));
                acts.push((who, Act::AddDevice(who)));
                acts.push((who, Act::RevokeDevice(SECOND + who)));
                acts.push((SECOND + who, Act::RevokeDevice(who)));
                acts.push((who, Act::Checkpoint));
            }
            for (e, ..) in past {
                match &e.body {
                    Body::Motion(_) => {
                        acts.push((who, Act::Endorse(e.id)));
                        acts.push((who, Act::Enact(e.id)));
                    }
                    Body::Admit(_) => acts.push((who, Act::Restore(e.id))),
                    Body::Remove(r) => {
                        if let Subject::Member(m) = &r.subject {
                            for n in 0..3 {
                                if *self.stage.member(n).as_bytes() == **m {
                                    acts.push((who, Act::Readmit(e.id, n)));
                                }
                            }
                        }
                        if self.wide {
                            acts.push((who, Act::Accept(e.id)));
                        }
                    }
                    _ => {}
                }
            }
        }
        acts
    }

    fn go(&mut self, nodes: &mut Vec<Node>) {
        if nodes.len() == self.most {
            return;
        }
        // Every antichain of what is there; none: the start.
        for set in 0..1u32 << nodes.len() {
            let heads: Vec<&Node> =
                (0..nodes.len()).filter(|i| set >> i & 1 == 1).map(|i| &nodes[i]).collect();
            if heads.iter().any(|a| heads.iter().any(|b| a.2.contains(&b.0.id))) {
                continue;
            }
            let mut past: BTreeSet<EntryId> = heads.iter().map(|h| h.0.id).collect();
            heads.iter().for_each(|h| past.extend(&h.2));
            let depth = heads.iter().map(|h| h.1 + 1).max().unwrap_or(0);
            let known: Vec<&Node> = nodes.iter().filter(|n| past.contains(&n.0.id)).collect();
            let acts = self.acts(&known);
            let entries: Vec<RosterEntry> = known.iter().map(|n| n.0.clone()).collect();
            let mut ids: Vec<EntryId> = heads.iter().map(|h| h.0.id).collect();
            if ids.is_empty() {
                ids.push(self.stage.tip);
            }
            for (who, act) in acts {
                self.met += 1;
                // Signing costs more than all else, so a branch is passed over before it is made.
                let met = blake3::hash(&self.met.to_be_bytes());
                if !nodes.is_empty() && u16::from(met.as_bytes()[0]) >= self.share {
                    continue;
                }
                let mut maker = self.maker.clone();
                let entry = self.stage.entry(&mut maker, who, &ids, &entries, act);
                let after = nodes.last().is_none_or(|l| (l.1, l.0.id) < (depth, entry.id));
                if !after {
                    continue;
                }
                if nodes.is_empty() {
                    self.first += 1;
                    if self.first % self.searches != self.search {
                        continue;
                    }
                }
                let admission = matches!(entry.body, Body::Admit(_));
                nodes.push((entry, depth, past.clone(), (who, act)));
                if self.check(nodes) || admission {
                    self.go(nodes);
                }
                nodes.pop();
            }
        }
    }

    /// Compares; gives whether the last entry is sound.
    fn check(&mut self, nodes: &[Node]) -> bool {
        let mut entries = self.stage.world.entries.clone();
        entries.extend(nodes.iter().map(|n| n.0.clone()));
        let r = Roster::fold(self.stage.world.community, &entries);
        let wrong = differences(&r, self.stage.world.community, &entries);
        assert!(
            wrong.is_empty(),
            "{wrong:#?}\n{:#?}",
            nodes.iter().map(|n| (n.0.id, n.3, n.0.header.heads())).collect::<Vec<_>>()
        );
        self.cases += 1;
        self.counted += u64::from(nodes.iter().all(|n| r.verdict(&n.0.id).unwrap().counts()));
        nodes.last().is_some_and(|n| r.is_sound(&n.0.id))
    }
}

fn search(name: &str, stage: &Stage, wide: bool, most: usize, share: u16) {
    let all = std::env::var_os("LANAI_TEST_ALL").is_some();
    let share = if all { 256 } else { share };
    let searches = std::thread::available_parallelism().map_or(1, usize::from);
    let (cases, counted) = std::thread::scope(|scope| {
        let one = |search| {
            let mut maker = stage.world.clone();
            maker.entries.clear();
            let (first, met, cases, counted) = (0, 0, 0, 0);
            let mut s = Search {
                stage,
                maker,
                wide,
                most,
                share,
                searches,
                search,
                first,
                met,
                cases,
                counted,
            };
            s.go(&mut Vec::new());
            (s.cases, s.counted)
        };
        let all: Vec<_> = (0..searches).map(|n| scope.spawn(move || one(n))).collect();
        let sums = all.into_iter().map(|search| search.join().unwrap());
        sums.fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1))
    });
    println!("{name}: {cases} histories of at most {most}, of which {counted} count whole");
    assert!(counted > 0 && counted < cases);
}

fn stages() -> [(&'static str, Stage); 3] {
    [
        ("two founders and a member", Stage::new(2, 3, Role::Member)),
        ("one founder and two stewards", Stage::new(1, 3, Role::Steward)),
        ("three founders", Stage::new(3, 3, Role::Member)),
    ]
}

#[test]
fn four_entries_of_the_acts_that_take_and_give_power() {
    for (name, stage) in stages() {
        search(name, &stage, false, 4, 9);
    }
}

#[test]
fn three_entries_of_every_act() {
    for (name, stage) in stages() {
        search(name, &stage, true, 3, 5);
    }
}
