//! Histories with a moral, the outcome said in words. Every one is held against the oracle too.

use super::super::testing::*;
use super::super::*;
use super::play::differences;
use crate::payload::{Proposal, Role, Subject};

/// Folds, and holds what comes out against the oracle.
fn told(w: &World) -> Roster {
    let r = w.fold();
    let wrong = differences(&r, w.community, &w.entries);
    assert!(wrong.is_empty(), "{wrong:#?}");
    r
}

fn in_roster(r: &Roster, n: u16) -> bool {
    r.standing(&person(n).device).is_some()
}

#[test]
fn two_stewards_remove_each_other_while_split_and_the_senior_one_stays() {
    let mut w = World::new(3, InvitePolicy::Members);
    let tip = [w.genesis];
    let up = w.remove(&person(1), &tip, of_member(w.founder(0)));
    let down = w.remove(&person(0), &tip, of_member(w.founder(1)));
    let r = told(&w);
    assert!(r.verdict(&down).unwrap().counts());
    assert!(!r.verdict(&up).unwrap().counts());
    assert!(in_roster(&r, 0) && !in_roster(&r, 1) && in_roster(&r, 2));
}

#[test]
fn a_steward_who_removes_all_the_others_gets_rid_of_the_juniors_only() {
    let mut w = World::new(4, InvitePolicy::Members);
    let tip = [w.genesis];
    for n in [0, 2, 3] {
        w.remove(&person(1), &tip, of_member(w.founder(n)));
    }
    let r = told(&w);
    // The most senior stays, and puts it right.
    assert!(in_roster(&r, 0) && in_roster(&r, 1) && !in_roster(&r, 2) && !in_roster(&r, 3));
    let heads = r.frontier().to_vec();
    w.remove(&person(0), &heads, of_member(w.founder(1)));
    assert!(!in_roster(&told(&w), 1));
}

#[test]
fn a_stolen_founders_key_removes_everybody_and_the_quorum_takes_the_community_back() {
    let mut w = World::new(4, InvitePolicy::Members);
    let tip = [w.genesis];
    // The thief has the first founder's key and removes all the others.
    let thefts: Vec<EntryId> =
        (1..4).map(|n| w.remove(&person(0), &tip, of_member(w.founder(n)))).collect();
    // On their side of the split the others decide.
    let subject = Subject::Member((*w.founder(0).as_bytes()).into());
    let motion = w.move_to(&person(1), &tip, Proposal::Remove(subject));
    let mut listed: Vec<EntryId> =
        (2..4).map(|n| w.endorse(&person(n), &[motion], motion)).collect();
    let heads = listed.clone();
    listed.push(motion);
    listed.sort_unstable();
    w.enact(&person(2), &heads, motion, &listed);
    let r = told(&w);
    assert!(!in_roster(&r, 0));
    assert!((1..4).all(|n| in_roster(&r, n)));
    assert!(thefts.iter().all(|t| !r.verdict(t).unwrap().counts()));
}

#[test]
fn a_removed_steward_who_back_dates_admissions_lets_nobody_in() {
    let mut w = World::new(2, InvitePolicy::Members);
    let ticket = w.ticket(&person(1), &[w.genesis], 1, 1000);
    let tip = [ticket];
    w.remove(&person(0), &tip, of_member(w.founder(1)));
    for n in 0..1000 {
        w.admit(&person(1), &tip, 1, ticket, &person(1000 + n));
    }
    let r = told(&w);
    assert_eq!(r.members().filter(|m| !m.pending).count(), 1);
    // They are known and wait; a steward can take in the one who was honest.
    assert_eq!(r.members().filter(|m| m.pending).count(), 1000);
    let honest = w.entries.last().unwrap().id;
    let heads = r.frontier().to_vec();
    w.restore(&person(0), &heads, honest);
    let r = told(&w);
    assert_eq!(r.members().filter(|m| !m.pending).count(), 2);
}

#[test]
fn an_erasing_cut_is_widened_by_another_steward() {
    let mut w = World::new(3, InvitePolicy::Members);
    let tip = [w.genesis];
    // The removal names no heads: all that its subject wrote would be folded away.
    let gone = w.remove(&person(0), &tip, of_member(w.founder(2)));
    let (seen, more) = (EntryId::new([3; 32]), EntryId::new([4; 32]));
    w.checkpoint(&person(1), &tip, &[seen]);
    w.accept(&person(1), &[gone], gone, &[more]);
    let r = told(&w);
    let cuts = r.cuts(&person(2).device);
    assert_eq!(cuts.len(), 1);
    assert_eq!((cuts[0].by, cuts[0].left), (gone, None));
    assert_eq!(cuts[0].heads, [seen, more]);
}

#[test]
fn somebody_admitted_again_while_being_removed_is_out() {
    let mut w = World::new(2, InvitePolicy::Members);
    let ticket = w.ticket(&person(0), &[w.genesis], 1, 1);
    let admit = w.admit(&person(0), &[ticket], 1, ticket, &person(5));
    let member = w.member_id(&person(5), ticket);
    w.remove(&person(0), &[admit], of_member(member));
    w.admit(&person(1), &[ticket], 1, ticket, &person(5));
    assert!(!in_roster(&told(&w), 5));
}

#[test]
fn one_of_a_hundred_comes_in_by_a_ticket_of_one_use_and_the_others_wait() {
    let mut w = World::new(2, InvitePolicy::Members);
    let ticket = w.ticket(&person(0), &[w.genesis], 1, 1);
    for n in 0..100 {
        w.admit(&person(n % 2), &[ticket], 1, ticket, &person(1000 + n));
    }
    let r = told(&w);
    assert_eq!(r.members().filter(|m| !m.pending).count(), 3);
    assert_eq!(r.members().filter(|m| m.pending).count(), 99);
}

#[test]
fn who_is_taken_back_has_a_new_device_and_starts_as_a_member() {
    let mut w = World::new(2, InvitePolicy::Members);
    let member = w.founder(1);
    let gone = w.remove(&person(0), &[w.genesis], of_member(member));
    w.readmit(&person(0), &[gone], gone, &person(50), member);
    let r = told(&w);
    assert!(!in_roster(&r, 1));
    assert_eq!(
        r.standing(&person(50).device).map(|s| (s.member, s.role)),
        Some((member, Role::Member))
    );
}

#[test]
fn who_lost_all_devices_is_vouched_for_and_has_to_be_granted_the_role_again() {
    let mut w = World::new(2, InvitePolicy::Members);
    let member = w.founder(1);
    let vouch = w.add_device(&person(0), &[w.genesis], &person(50), member, true);
    let r = told(&w);
    assert!(!in_roster(&r, 1));
    assert_eq!(
        r.standing(&person(50).device).map(|s| (s.member, s.role)),
        Some((member, Role::Member))
    );
    w.grant(&person(0), &[vouch], member, Role::Steward);
    assert_eq!(told(&w).standing(&person(50).device).map(|s| s.role), Some(Role::Steward));
}
