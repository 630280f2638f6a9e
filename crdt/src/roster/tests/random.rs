//! Random histories of up to eight people and sixty entries, in twenty orders of delivery each.
//!
//! `LANAI_TEST_HISTORIES` says how many; without it there are few.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::super::testing::*;
use super::super::*;
use super::play::{Act, SECOND, Stage, differences};
use crate::payload::{Remove, Role, Subject};

/// One entry, all choices still open.
#[derive(Debug, Clone)]
struct Step {
    kind: u8,
    author: u16,
    second: bool,
    whom: u16,
    heads: Vec<prop::sample::Index>,
    recent: bool,
    pick: prop::sample::Index,
}

fn step() -> impl Strategy<Value = Step> {
    let heads = prop::collection::vec(any::<prop::sample::Index>(), 1..4);
    (
        any::<u8>(),
        0..8u16,
        prop::bool::weighted(0.1),
        0..8u16,
        heads,
        prop::bool::weighted(0.8),
        any::<prop::sample::Index>(),
    )
        .prop_map(|(kind, author, second, whom, heads, recent, pick)| Step {
            kind,
            author,
            second,
            whom,
            heads,
            recent,
            pick,
        })
}

fn act(stage: &Stage, step: &Step, past: &[RosterEntry], people: u16) -> Act {
    let whom = step.whom % people;
    let of = |is: fn(&Body) -> bool| {
        let all: Vec<&RosterEntry> = past.iter().filter(|e| is(&e.body)).collect();
        (!all.is_empty()).then(|| *step.pick.get(&all))
    };
    let act = match step.kind % 32 {
        0..=5 => Some(Act::Remove(whom)),
        6..=8 => Some(Act::Demote(whom, [Role::Member, Role::Lead][usize::from(step.kind / 128)])),
        9..=11 => Some(Act::Grant(whom, Role::Steward)),
        12 => Some(Act::Grant(whom, Role::Lead)),
        13..=14 => Some(Act::Admit(people + step.whom % 2)),
        15 => Some(Act::MoveToRemove(whom)),
        16 => Some(Act::MoveToGrant(whom)),
        17..=18 => of(|b| matches!(b, Body::Motion(_))).map(|e| Act::Endorse(e.id)),
        19..=20 => of(|b| matches!(b, Body::Motion(_))).map(|e| Act::Enact(e.id)),
        21..=22 => Some(Act::AddDevice(step.author % people)),
        23 => Some(Act::Vouch(whom)),
        24..=25 => Some(Act::RevokeDevice(whom + if step.second { SECOND } else { 0 })),
        26..=27 => of(|b| matches!(b, Body::Remove(_))).map(|e| {
            let n = match &e.body {
                Body::Remove(Remove { subject: Subject::Member(m), .. }) => {
                    (0..people).find(|n| *stage.member(*n).as_bytes() == **m)
                }
                _ => None,
            };
            Act::Readmit(e.id, n.unwrap_or(whom))
        }),
        28 => of(|b| matches!(b, Body::Admit(_))).map(|e| Act::Restore(e.id)),
        29 => of(|b| matches!(b, Body::Remove(_) | Body::Enact(_))).map(|e| Act::Accept(e.id)),
        30 => Some(Act::Recover(whom)),
        _ => None,
    };
    act.unwrap_or(Act::Checkpoint)
}

pub(super) fn history() -> impl Strategy<Value = (World, usize)> {
    let role = prop::sample::select(vec![Role::Member, Role::Lead, Role::Steward]);
    let parts = (1..4u16, 1..5u16, role, prop::collection::vec(step(), 3..46));
    parts.prop_map(|(founders, more, role, steps)| {
        let people = founders + more;
        let stage = Stage::new(founders, people, role);
        let start = stage.world.entries.len();
        let mut world = stage.world.clone();
        for step in &steps {
            let ids: Vec<EntryId> = world.entries[start - 1..].iter().map(|e| e.id).collect();
            let from = if step.recent { ids.len().saturating_sub(5) } else { 0 };
            let mut heads: Vec<EntryId> = step.heads.iter().map(|h| *h.get(&ids[from..])).collect();
            heads.sort_unstable();
            heads.dedup();
            let mut past: BTreeSet<EntryId> = heads.iter().copied().collect();
            for e in world.entries.iter().rev() {
                if past.contains(&e.id) {
                    past.extend(e.header.heads().iter().chain(e.header.refs()));
                }
            }
            let known: Vec<RosterEntry> =
                world.entries.iter().filter(|e| past.contains(&e.id)).cloned().collect();
            let author = step.author % people + if step.second { SECOND } else { 0 };
            let act = act(&stage, step, &known, people);
            let entry = stage.entry(&mut world, author, &heads, &known, act);
            world.entries.push(entry);
        }
        (world, start)
    })
}

pub(super) fn cases() -> u32 {
    std::env::var("LANAI_TEST_HISTORIES").ok().and_then(|n| n.parse().ok()).unwrap_or(12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 3000, ..ProptestConfig::default() })]

    #[test]
    fn any_history_in_any_order_is_as_the_oracle_says((w, start) in history(), seed: u64) {
        let r = w.fold();
        let wrong = differences(&r, w.community, &w.entries);
        prop_assert!(wrong.is_empty(), "{:#?}\n{:#?}", wrong, w.entries[start..]
            .iter()
            .map(|e| (e.id, e.header.log.device, e.header.heads().to_vec(), e.header.refs().to_vec(), e.body.clone()))
            .collect::<Vec<_>>());
        for order in 0..20u64 {
            let mut shuffled = w.entries.clone();
            shuffled.sort_by_key(|e| {
                let mut hash = blake3::Hasher::new();
                hash.update(&seed.to_be_bytes()).update(&order.to_be_bytes());
                *hash.update(e.id.as_bytes()).finalize().as_bytes()
            });
            if order % 2 == 0 {
                prop_assert_eq!(Roster::fold(w.community, &shuffled).hash(), r.hash());
            } else {
                let mut grown = Roster::fold(w.community, &[]);
                let size = 1 + order as usize / 2;
                shuffled.chunks(size).for_each(|part| grown.grow(part));
                prop_assert_eq!(grown.hash(), r.hash());
            }
        }
    }
}
