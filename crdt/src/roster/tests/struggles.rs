//! Random histories of members who remove, demote, vouch, move and enact against each other, from
//! every part of the past.

use proptest::prelude::*;

use super::super::testing::*;
use super::super::*;
use super::literal::Literal;
use super::play::all_of;
use crate::payload::{InvitePolicy, Proposal, Role, Subject};

const PEOPLE: u16 = 12;

#[derive(Debug, Clone)]
struct Step {
    kind: u8,
    author: prop::sample::Index,
    heads: Vec<prop::sample::Index>,
    recent: bool,
    stranger: u8,
    pick: prop::sample::Index,
    other: prop::sample::Index,
    n: u16,
}

fn step() -> impl Strategy<Value = Step> {
    (
        any::<u8>(),
        any::<prop::sample::Index>(),
        prop::collection::vec(any::<prop::sample::Index>(), 1..4),
        any::<bool>(),
        any::<u8>(),
        any::<prop::sample::Index>(),
        any::<prop::sample::Index>(),
        any::<u16>(),
    )
        .prop_map(|(kind, author, heads, recent, stranger, pick, other, n)| Step {
            kind,
            author,
            heads,
            recent,
            stranger,
            pick,
            other,
            n,
        })
}

fn role(n: u16) -> Role {
    [Role::Member, Role::Lead, Role::Steward][usize::from(n % 3)]
}

fn entries_of(w: &World, is: impl Fn(&Body) -> bool) -> Vec<EntryId> {
    w.entries.iter().filter(|e| is(&e.body)).map(|e| e.id).collect()
}

fn members_ever(w: &World, founders: u16) -> Vec<MemberId> {
    let mut ids: Vec<MemberId> = (0..founders).map(|n| w.founder(n)).collect();
    for e in &w.entries {
        if let Body::Admit(a) = &e.body {
            ids.push(a.signed_record().unwrap().record.member());
        }
    }
    ids
}

/// Most acts are by devices that stand in the view of their heads, or little would count.
fn author(w: &World, now: &Roster, heads: &[EntryId], step: &Step) -> Person {
    let stand: Vec<Person> =
        (0..PEOPLE).map(person).filter(|p| now.standing_in(heads, &p.device).is_some()).collect();
    if stand.is_empty() || step.stranger < 8 {
        return person(step.n % PEOPLE);
    }
    let _ = w;
    step.author.get(&stand).clone()
}

pub(super) fn history(
    founders: std::ops::Range<u16>,
    steps: std::ops::Range<usize>,
) -> impl Strategy<Value = World> {
    (founders, prop::collection::vec(step(), steps)).prop_map(|(founders, steps)| {
        let mut w = World::new(founders, InvitePolicy::Members);
        let mut now = w.fold();
        let mut tickets: Vec<(EntryId, u16)> = Vec::new();
        for step in steps {
            let all: Vec<EntryId> = w.entries.iter().map(|e| e.id).collect();
            let from = if step.recent { all.len().saturating_sub(4) } else { 0 };
            let heads: Vec<EntryId> = step.heads.iter().map(|h| *h.get(&all[from..])).collect();
            let by = author(&w, &now, &heads, &step);
            let members = members_ever(&w, founders);
            let (one, n) = (*step.pick.get(&members), step.n);
            let subject = || match n % 5 {
                0 | 1 => of_member(one),
                2 => of_role(one, role(n / 5 % 2)),
                _ => of_device(&person(n / 5 % PEOPLE)),
            };
            let before = w.entries.len();
            match step.kind % 24 {
                0..=1 => {
                    let number = tickets.len() as u16 + 1;
                    let body = ticket_body(number, role(n), 1 + u32::from(n % 2));
                    tickets.push((w.add(&by, &heads, &[], body), number));
                }
                2..=5 if !tickets.is_empty() => {
                    let (ticket, number) = *step.other.get(&tickets);
                    let who = person(n % PEOPLE);
                    w.admit(&by, &heads, number, ticket, &who);
                }
                6..=7 => {
                    w.grant(&by, &heads, one, role(n));
                }
                8..=12 => {
                    w.remove(&by, &heads, subject());
                }
                13 => {
                    w.remove_by_recovery(&by, &heads, subject());
                }
                14 => {
                    let proposal = if n % 4 == 0 {
                        Proposal::Grant(grant_body(one, role(n / 4)))
                    } else {
                        Proposal::Remove(subject())
                    };
                    w.move_to(&by, &heads, proposal);
                }
                15..=16 => {
                    let motions = entries_of(&w, |b| matches!(b, Body::Motion(_)));
                    if let Some(motion) = motions.last() {
                        w.endorse(&by, &heads, *motion);
                    }
                }
                17..=18 => {
                    let motions = entries_of(&w, |b| matches!(b, Body::Motion(_)));
                    if let Some(motion) = motions.last() {
                        let named =
                            entries_of(&w, |b| matches!(b, Body::Endorse | Body::Motion(_)));
                        w.enact(&by, &heads, *motion, &named);
                    }
                }
                19 => {
                    let of = now.standing_in(&heads, &by.device).map_or(one, |s| s.member);
                    w.add_device(&by, &heads, &person(n % PEOPLE), of, false);
                }
                20 => {
                    w.add_device(&by, &heads, &person(n % PEOPLE), one, true);
                }
                21 => {
                    let removals =
                        entries_of(&w, |b| matches!(b, Body::Remove(_) | Body::Enact(_)));
                    if !removals.is_empty() {
                        let removal = *step.other.get(&removals);
                        let of = match &w.entries.iter().find(|e| e.id == removal).unwrap().body {
                            Body::Remove(r) => match r.subject {
                                Subject::Member(m) => MemberId::new(*m),
                                _ => one,
                            },
                            _ => one,
                        };
                        if n % 3 == 0 {
                            w.accept(&by, &heads, removal, &heads);
                        } else {
                            w.readmit(&by, &heads, removal, &person(n % PEOPLE), of);
                        }
                    }
                }
                22 => {
                    let admits = entries_of(&w, |b| matches!(b, Body::Admit(_)));
                    if !admits.is_empty() {
                        w.restore(&by, &heads, *step.other.get(&admits));
                    }
                }
                _ => {
                    w.checkpoint(&by, &heads, &heads);
                }
            }
            if w.entries.len() > before {
                now.grow(&w.entries[before..]);
            }
        }
        w
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn what_is_saved_changes_nothing(w in history(1..4, 5..50)) {
        Literal::new(&w.fold()).check();
    }

    #[test]
    fn any_order_grows_to_the_same(w in history(1..4, 5..40), seed: u64, parts in 1..9usize) {
        let whole = w.fold();
        let mut shuffled = w.entries.clone();
        // As written; as judged, so that every part comes behind all before; and any way.
        if seed % 3 == 1 {
            shuffled.sort_by_key(|e| (whole.graph.depth_of(e), e.id));
        } else if seed % 3 == 2 {
            shuffled.sort_by_key(|e| *blake3::keyed_hash(&[seed as u8; 32], e.id.as_bytes()).as_bytes());
        }
        let mut grown = Roster::fold(w.community, &[]);
        for part in shuffled.chunks(parts) {
            grown.grow(part);
        }
        prop_assert_eq!(all_of(&grown), all_of(&whole));
        prop_assert_eq!(all_of(&Roster::fold(w.community, &shuffled)), all_of(&whole));
    }
}

#[test]
fn several_who_change_their_rank_at_once_find_their_places() {
    let mut w = World::new(2, InvitePolicy::Members);
    let steward = person(0);
    let ticket = w.ticket(&steward, &[w.entries[0].id], 0, 20);
    let mut head = ticket;
    let mut members = Vec::new();
    for n in 10..18 {
        head = w.admit(&steward, &[head], 0, ticket, &person(n));
        members.push(w.member_id(&person(n), ticket));
    }
    let before = w.entries.len();
    // The seniors among them are granted more, and so come behind all others.
    for member in members.iter().take(5) {
        head = w.grant(&steward, &[head], *member, Role::Lead);
    }
    let mut grown = Roster::fold(w.community, &w.entries[..before]);
    grown.grow(&w.entries[before..]);
    assert_eq!(all_of(&grown), all_of(&w.fold()));
}

/// The histories above are worth something only if much of this happens in them.
#[test]
fn struggles_are_struggles() {
    use proptest::strategy::ValueTree as _;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    let mut count = |what: &str, n: usize| *seen.entry(what.into()).or_default() += n as u32;
    for _ in 0..60 {
        let w = history(1..4, 20..50).new_tree(&mut runner).unwrap().current();
        let r = w.fold();
        count("kept", r.revocations().filter(|r| r.kept).count());
        count("struck", r.revocations().filter(|r| r.struck_by.is_some()).count());
        count("fell", r.revocations().filter(|r| !r.kept && r.struck_by.is_none()).count());
        count("former", r.former().len());
        count("enacted", r.motions().filter(|m| m.enacted_by.is_some()).count());
        count("pending", r.members().filter(|m| m.pending).count());
        count("cut", r.cuts.len());
        for e in &w.entries {
            if matches!(r.verdict(&e.id), Some(Verdict::Counts)) {
                count(e.body.kind().unwrap().word(), 1);
            } else if r.is_sound(&e.id) {
                count("sound and out", 1);
            }
        }
    }
    println!("{seen:?}");
    for what in [
        "kept", "struck", "fell", "former", "enacted", "pending", "cut", "readmit", "restore",
        "device",
    ] {
        assert!(seen.get(what).is_some_and(|n| *n > 0), "no {what} in {seen:?}");
    }
}
