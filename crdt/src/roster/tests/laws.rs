//! Laws over random histories: several members, forks, contested tickets, grants and nonsense.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::super::testing::*;
use super::super::*;
use super::oracle::Oracle;
use super::play::all_of;
use crate::payload::{Checkpoint, DeviceSeal, Epoch, Role, Seal};

const PEOPLE: u16 = 7;

/// One step of a history, all choices still open.
#[derive(Debug, Clone)]
struct Step {
    kind: u8,
    honesty: u8,
    author: u16,
    heads: Vec<prop::sample::Index>,
    /// Mostly the newest entries, so that histories grow deep.
    recent: bool,
    a: u16,
    b: u16,
    pick: prop::sample::Index,
}

fn step() -> impl Strategy<Value = Step> {
    let heads = prop::collection::vec(any::<prop::sample::Index>(), 1..4);
    (
        any::<u8>(),
        any::<u8>(),
        0..PEOPLE,
        heads,
        any::<bool>(),
        any::<u16>(),
        any::<u16>(),
        any::<prop::sample::Index>(),
    )
        .prop_map(|(kind, honesty, author, heads, recent, a, b, pick)| Step {
            kind,
            honesty,
            author,
            heads,
            recent,
            a,
            b,
            pick,
        })
}

fn role(n: u16) -> Role {
    [Role::Member, Role::Lead, Role::Steward][usize::from(n % 3)]
}

pub(super) fn history() -> impl Strategy<Value = World> {
    let policy = prop::sample::select(vec![InvitePolicy::Members, InvitePolicy::Leads]);
    (1..3u16, policy, prop::collection::vec(step(), 5..45)).prop_map(|(founders, policy, steps)| {
        let mut w = World::new(founders, policy);
        let mut tickets: Vec<(EntryId, u16)> = Vec::new();
        let mut epochs: Vec<(EntryId, u8)> = Vec::new();
        for step in steps {
            let all: Vec<EntryId> = w.entries.iter().map(|e| e.id).collect();
            let from = if step.recent { all.len().saturating_sub(4) } else { 0 };
            let heads: Vec<EntryId> = step.heads.iter().map(|h| *h.get(&all[from..])).collect();
            // Most acts are by members who name what they know, or little would count.
            let now = w.fold();
            let (author, heads) = match step.honesty {
                0..60 => (person(step.author), heads),
                60..180 => (member_of(&now, step.author), heads),
                _ => {
                    let newest = now.frontier().iter().rev().take(3).copied().collect();
                    (member_of(&now, step.author), newest)
                }
            };
            match step.kind % 16 {
                0..=2 => {
                    let n = tickets.len() as u16 + 1;
                    let body = ticket_body(n, role(step.b), 1 + u32::from(step.a % 2));
                    tickets.push((w.add(&author, &heads, &[], body), n));
                }
                3..=8 if !tickets.is_empty() => {
                    let (ticket, n) = *step.pick.get(&tickets);
                    let who = person(step.a % PEOPLE);
                    if step.b % 8 == 0 {
                        // The record of another ticket or with a bad signature.
                        let record = w.record(&who, n + 1, ticket);
                        w.add(&author, &heads, &[ticket], admit_body(&record));
                    } else {
                        w.admit(&author, &heads, n, ticket, &who);
                    }
                }
                9 if !tickets.is_empty() => {
                    let (ticket, _) = *step.pick.get(&tickets);
                    w.add(&author, &heads, &[ticket], Body::TicketClose);
                }
                10..=12 => {
                    let ids: Vec<MemberId> = members_ever(&w);
                    let member = *step.pick.get(&ids);
                    w.grant(&author, &heads, member, role(step.b));
                }
                13 => {
                    let parent = epochs.get(usize::from(step.a) % (epochs.len() + 1));
                    let id = step.b as u8 % 8;
                    let body = Body::Epoch(Epoch {
                        id: [id; 32].into(),
                        parents: parent.iter().map(|(_, p)| [*p; 32].into()).collect(),
                        links: vec![].into(),
                    });
                    epochs.push((w.add(&author, &heads, &[], body), id));
                }
                14 if !epochs.is_empty() => {
                    let (epoch, id) = *step.pick.get(&epochs);
                    let device = (*person(step.a % PEOPLE).device.as_bytes()).into();
                    let seals = vec![DeviceSeal { device, sealed: [7; 80].into() }];
                    let epoch_id = if step.b % 4 == 0 { 99 } else { id };
                    let body = Body::Seal(Seal { epoch: [epoch_id; 32].into(), seals });
                    w.add(&author, &heads, &[epoch], body);
                }
                15 => {
                    // A checkpoint, something unknown, or something with a parent nobody has.
                    match step.b % 3 {
                        0 => w.add(&author, &heads, &[], Body::Checkpoint(Checkpoint::default())),
                        1 => w.add(&author, &heads, &[], Body::Unknown(777)),
                        _ => {
                            let nowhere = EntryId::new([step.a as u8; 32]);
                            w.add(&author, &heads, &[nowhere], Body::TicketClose)
                        }
                    };
                }
                _ => {}
            }
        }
        w
    })
}

fn member_of(now: &Roster, n: u16) -> Person {
    let effective: Vec<u16> =
        (0..PEOPLE).filter(|n| now.standing(&person(*n).device).is_some()).collect();
    person(effective[usize::from(n) % effective.len()])
}

fn members_ever(w: &World) -> Vec<MemberId> {
    let mut ids = vec![founder_record(&person(0)).record.member(), MemberId::new([1; 32])];
    for e in &w.entries {
        if let Body::Admit(a) = &e.body {
            ids.push(a.signed_record().unwrap().record.member());
        }
    }
    ids
}

/// What is settled for everybody, whoever else is pending or ignored.
fn settled(r: &Roster) -> impl PartialEq + std::fmt::Debug + use<> {
    let standings: Vec<_> = (0..PEOPLE).map(|n| r.standing(&person(n).device)).collect();
    let members: Vec<MemberRecord> = r.members().filter(|m| !m.pending).cloned().collect();
    let tickets: Vec<TicketRecord> = r.tickets().cloned().collect();
    let counted: Vec<EntryId> =
        r.verdicts().filter(|(_, v)| v.counts()).map(|(id, _)| *id).collect();
    (standings, members, tickets, counted, r.frontier().to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn any_order_any_duplicates_any_parts(w in history(), seed: u64, cut in any::<prop::sample::Index>()) {
        let r = w.fold();
        let mut shuffled = w.entries.clone();
        shuffled.sort_by_key(|e| *blake3::keyed_hash(&[seed as u8; 32], e.id.as_bytes()).as_bytes());
        let again = shuffled.clone();
        shuffled.extend(again.into_iter().step_by(2));
        prop_assert_eq!(all_of(&Roster::fold(w.community, &shuffled)), all_of(&r));
        // Two nodes that each hold a part, overlapping or not, and then both.
        let at = cut.index(w.entries.len());
        let (one, other) = (&shuffled[..at], &shuffled[at / 2..]);
        let union: Vec<RosterEntry> = other.iter().chain(one).cloned().collect();
        let both = Roster::fold(w.community, &union);
        prop_assert_eq!(both.hash(), r.hash());
        prop_assert_eq!(all_of(&both), all_of(&r));
    }

    #[test]
    fn agrees_with_the_plain_reading_of_the_rules(w in history(), heads in prop::collection::vec(any::<prop::sample::Index>(), 0..4)) {
        let (r, o) = (w.fold(), Oracle::new(w.community, &w.entries));
        for e in &w.entries {
            let verdict = r.verdict(&e.id).unwrap();
            prop_assert_eq!(verdict.counts(), o.supported.contains(&e.id), "{:?} {:?}", e.body, verdict);
            prop_assert_eq!(matches!(verdict, Verdict::Waiting { .. }), !o.whole(&e.id));
        }
        let views = [
            (o.supported.clone(), None),
            {
                let heads: Vec<EntryId> = heads.iter().map(|h| h.get(&w.entries).id).collect();
                (o.past_of(&heads), Some(heads))
            },
        ];
        for (past, heads) in &views {
            for n in 0..PEOPLE {
                let device = person(n).device;
                let got = match heads {
                    None => r.standing(&device),
                    Some(heads) => r.standing_in(heads, &device),
                };
                let want = o.standing(past, &device);
                prop_assert_eq!(got.map(|s| (s.member, s.role, s.enrolled_by)), want);
            }
            if let Some(heads) = heads {
                for e in &w.entries {
                    if o.supported.contains(&e.id) {
                        prop_assert_eq!(r.covers(heads, &e.id), past.contains(&e.id));
                    }
                }
                let reduced = r.reduce_heads(heads);
                prop_assert_eq!(o.past_of(&reduced), past.clone());
            }
        }
        let mut by_rank: Vec<_> = r
            .members()
            .filter(|m| !m.pending)
            .map(|m| (o.rank(&o.supported, &m.id), m.id))
            .collect();
        let shown: Vec<MemberId> = by_rank.iter().map(|(_, id)| *id).collect();
        by_rank.sort();
        prop_assert_eq!(by_rank.into_iter().map(|(_, id)| id).collect::<Vec<_>>(), shown);
        // Whoever was refused in the admission's own past already waits by that, whatever became of
        // the admitter since; the plain reading looks at the end only.
        let sound: BTreeSet<MemberId> = w
            .entries
            .iter()
            .filter(|e| r.is_sound(&e.id))
            .filter_map(|e| match &e.body {
                Body::Admit(a) => Some(a.signed_record().unwrap().record.member()),
                _ => None,
            })
            .collect();
        let pending: BTreeSet<MemberId> =
            r.members().filter(|m| m.pending && sound.contains(&m.id)).map(|m| m.id).collect();
        let read: BTreeSet<MemberId> = o.pending.intersection(&sound).copied().collect();
        prop_assert_eq!(pending, read);
        let past: BTreeSet<EntryId> = o.past_of(r.frontier());
        prop_assert_eq!(past, o.supported);
    }

    #[test]
    fn what_does_not_count_changes_nobody(w in history()) {
        let r = w.fold();
        // Everything that neither counts nor has a counted entry above it.
        let counted: Vec<EntryId> = r.verdicts().filter(|(_, v)| v.counts()).map(|(i, _)| *i).collect();
        let kept: Vec<RosterEntry> =
            w.entries.iter().filter(|e| r.covers(&counted, &e.id)).cloned().collect();
        let bare = Roster::fold(w.community, &kept);
        prop_assert_eq!(settled(&bare), settled(&r));
    }

    #[test]
    fn would_count_agrees_with_the_verdict(w in history(), s in step()) {
        let r = w.fold();
        prop_assume!(r.is_founded() && r.frontier().len() <= crate::limits::MAX_HEADS);
        let author = person(s.author);
        let body = ticket_body(50, role(s.b), 1);
        let said = r.would_count(&author.device, &[], &body);
        let mut next = w.clone();
        let id = next.add(&author, r.frontier(), &[], body);
        let verdict = next.fold().verdict(&id).cloned().unwrap();
        match said {
            Ok(()) => prop_assert!(verdict.counts()),
            Err(reason) => prop_assert_eq!(verdict, Verdict::Unsupported(reason)),
        }
    }
}
