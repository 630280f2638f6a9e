//! Removals, demotions and who wins (rules 5, 7, 8 and 9), motions (6), ways back (9 and 12).

use super::super::testing::*;
use super::super::*;
use super::rules::{counts, reason};
use crate::payload::{InvitePolicy, Proposal, Role};

/// Four founders 0..4 and a member, person 9.
fn village() -> (World, EntryId, EntryId, MemberId) {
    let mut w = World::new(4, InvitePolicy::Members);
    let ticket = w.ticket(&person(0), &[w.genesis], 1, 5);
    let admitted = w.admit(&person(1), &[ticket], 1, ticket, &person(9));
    let id = w.member_id(&person(9), ticket);
    (w, ticket, admitted, id)
}

mod rule_5_who_may {
    use super::*;

    #[test]
    fn stewards_remove_members_and_members_only_themselves() {
        let (mut w, _, head, nine) = village();
        let by_member = w.remove(&person(9), &[head], of_member(w.founder(3)));
        let left = w.remove(&person(9), &[head], of_member(nine));
        let removed = w.remove(&person(3), &[head], of_member(nine));
        let nobody = w.remove(&person(3), &[head], of_member(MemberId::ZERO));
        let r = w.fold();
        assert_eq!(reason(&r, by_member), Reason::NotSteward { has: Role::Member });
        assert_eq!(reason(&r, nobody), Reason::SubjectNotMember);
        assert!(counts(&r, left) || counts(&r, removed));
        assert_eq!(r.standing(&person(9).device), None);
        let former: Vec<_> = r.former().collect();
        assert_eq!((former[0].id, former[0].devices.len()), (nine, 1));
        assert!(r.standing_in(&[head], &person(9).device).is_some(), "before, nothing changes");
    }

    #[test]
    fn between_stewards_seniority_decides_and_anybody_steps_down() {
        let (mut w, _, head, _) = village();
        let up = w.remove(&person(2), &[head], of_member(w.founder(1)));
        let down = w.remove(&person(1), &[head], of_role(w.founder(2), Role::Lead));
        let own = w.remove(&person(0), &[head], of_role(w.founder(0), Role::Member));
        let r = w.fold();
        assert_eq!(reason(&r, up), Reason::NotSenior);
        assert!(counts(&r, down) && counts(&r, own));
        assert_eq!(r.standing(&person(2).device).unwrap().role, Role::Lead);
        assert_eq!(r.standing(&person(0).device).unwrap().role, Role::Member);
    }

    #[test]
    fn a_recovery_signature_lifts_the_limits_and_a_false_one_does_not() {
        let (mut w, _, head, nine) = village();
        let done = w.remove_by_recovery(&person(9), &[head], of_member(w.founder(0)));
        let raised = w.grant_by_recovery(&person(9), &[done], nine, Role::Steward);
        // The signature of another act.
        let Body::Remove(mut other) = w.entries.iter().find(|e| e.id == done).unwrap().body.clone()
        else {
            panic!()
        };
        other.subject = of_member(w.founder(1));
        let forged = w.add(&person(9), &[head], &[], Body::Remove(other));
        let r = w.fold();
        assert!(counts(&r, done) && counts(&r, raised));
        assert_eq!(reason(&r, forged), Reason::NotSteward { has: Role::Member });
        assert_eq!(r.standing(&person(9).device).unwrap().role, Role::Steward);
    }
}

mod rules_7_and_8_struggles {
    use super::*;

    #[test]
    fn of_two_who_remove_each_other_the_stronger_stays() {
        let (mut w, _, head, nine) = village();
        // Two is senior to three; three raised nine to a steward, who is junior to both.
        let raised = w.grant(&person(3), &[head], nine, Role::Steward);
        let by_two = w.remove(&person(2), &[raised], of_member(w.founder(3)));
        let by_three = w.remove(&person(3), &[raised], of_member(nine));
        let after = w.ticket(&person(3), &[by_three], 7, 1);
        let r = w.fold();
        assert!(counts(&r, by_two));
        assert_eq!(reason(&r, by_three), Reason::Struck { by: by_two });
        assert_eq!(reason(&r, after), Reason::Struck { by: by_two });
        assert!(r.standing(&person(9).device).is_some());
        let struck: Vec<_> = r.revocations().map(|r| (r.entry, r.kept, r.struck_by)).collect();
        assert!(struck.contains(&(by_three, false, Some(by_two))));
        assert!(struck.contains(&(by_two, true, None)));
    }

    #[test]
    fn what_one_saw_before_removing_stays() {
        let (mut w, _, head, _) = village();
        let issued = w.ticket(&person(3), &[head], 7, 1);
        let removed = w.remove(&person(0), &[issued], of_member(w.founder(3)));
        let late = w.ticket(&person(3), &[head], 8, 1);
        let r = w.fold();
        assert!(counts(&r, issued) && counts(&r, removed));
        assert_eq!(reason(&r, late), Reason::Struck { by: removed });
        assert!(!r.ticket(&issued).unwrap().sponsor_stands);
    }

    #[test]
    fn a_demotion_strikes_only_what_needed_the_role() {
        let (mut w, ticket, head, nine) = village();
        let to_member = w.remove(&person(0), &[head], of_role(w.founder(3), Role::Member));
        let granted = w.grant(&person(3), &[head], nine, Role::Lead);
        let admitted = w.admit(&person(3), &[head], 1, ticket, &person(10));
        let r = w.fold();
        assert_eq!(reason(&r, granted), Reason::Struck { by: to_member });
        assert!(counts(&r, admitted), "any member may write an admission");
    }

    #[test]
    fn the_recovery_key_beats_a_thief_of_the_first_founder() {
        let (mut w, _, head, _) = village();
        let thief = person(0);
        let mut heads = vec![head];
        for n in 1..4 {
            heads = vec![w.remove(&thief, &heads, of_member(w.founder(n)))];
        }
        let rescue = w.remove_by_recovery(&person(3), &[head], of_member(w.founder(0)));
        let r = w.fold();
        assert!(counts(&r, rescue));
        assert!((1..4).all(|n| r.standing(&person(n).device).is_some()));
        assert_eq!(r.standing(&thief.device), None);
    }

    /// In one line nothing is concurrent: what was sound holds, whatever is stronger than what.
    #[test]
    fn what_rests_on_a_weaker_revocation_holds() {
        let (mut w, _, head, nine) = village();
        let vouched = w.add_device(&person(3), &[head], &person(20), nine, true);
        let left = w.remove(&person(20), &[vouched], of_member(nine));
        let removed = w.remove(&person(1), &[left], of_member(w.founder(3)));
        let removed = w.remove(&person(1), &[removed], of_member(w.founder(2)));
        // Of the two stewards who are left both are needed.
        let motion = w.move_to(
            &person(1),
            &[removed],
            Proposal::Grant(grant_body(w.founder(1), Role::Steward)),
        );
        let second = w.endorse(&person(0), &[motion], motion);
        let enact = w.enact(&person(0), &[second], motion, &[motion, second]);
        let r = w.fold();
        assert!([vouched, left, removed, enact].iter().all(|e| counts(&r, *e)));
    }
}

mod rule_6_motions {
    use super::*;

    #[test]
    fn a_quorum_without_the_subject_removes_the_most_senior() {
        let (mut w, _, head, nine) = village();
        let motion = w.move_to(&person(9), &[head], Proposal::Remove(of_member(w.founder(0))));
        let one = w.endorse(&person(1), &[motion], motion);
        let by_member = w.endorse(&person(9), &[motion], motion);
        let early = w.enact(&person(9), &[one], motion, &[motion, one]);
        let two = w.endorse(&person(2), &[one], motion);
        // Three stewards without the subject: two of them.
        let enact = w.enact(&person(9), &[two], motion, &[one, two]);
        // The subject, at the same time, removes those who endorsed.
        let revenge = w.remove(&person(0), &[two], of_member(w.founder(1)));
        let r = w.fold();
        assert_eq!(reason(&r, by_member), Reason::NotSteward { has: Role::Member });
        assert_eq!(reason(&r, early), Reason::TooFewEndorsements { has: 1, needs: 2 });
        assert!(counts(&r, enact));
        assert_eq!(reason(&r, revenge), Reason::Struck { by: enact });
        let m = r.motions().next().unwrap();
        assert_eq!((m.entry, m.author, m.enacted_by, m.open), (motion, nine, Some(enact), false));
        assert_eq!(m.endorsements.len(), 2);
    }

    #[test]
    fn a_struck_endorsement_does_not_count() {
        let (mut w, _, head, _) = village();
        let three = w.founder(3);
        let gone = w.remove_by_recovery(&person(0), &[head], of_member(w.founder(2)));
        let motion = w.move_to(&person(1), &[head], Proposal::Remove(of_member(three)));
        let two = w.endorse(&person(2), &[motion], motion);
        let enact = w.enact(&person(1), &[two], motion, &[motion, two]);
        let r = w.fold();
        assert!(counts(&r, gone));
        assert_eq!(reason(&r, two), Reason::Struck { by: gone });
        assert_eq!(reason(&r, enact), Reason::TooFewEndorsements { has: 1, needs: 2 });
        assert!(r.is_sound(&enact) && r.motions().next().unwrap().open);
    }
}

mod rules_9_and_12_ways_back {
    use super::*;

    #[test]
    fn removal_wins_against_an_admission_at_the_same_time() {
        let (mut w, ticket, head, nine) = village();
        let again = w.admit(&person(2), &[head], 1, ticket, &person(9));
        let removed = w.remove(&person(0), &[head], of_member(nine));
        let r = w.fold();
        assert!(counts(&r, again) && counts(&r, removed));
        assert_eq!(r.standing(&person(9).device), None);
    }

    #[test]
    fn who_was_admitted_by_a_removed_steward_is_pending_until_restored() {
        let (mut w, _, head, _) = village();
        let removed = w.remove(&person(0), &[head], of_member(w.founder(3)));
        // Back-dated, and an honest admission by the same sponsor's ticket.
        let t = w.ticket(&person(3), &[head], 7, 5);
        let by_rogue = w.admit(&person(3), &[t], 7, t, &person(30));
        let r = w.fold();
        assert_eq!(reason(&r, by_rogue), Reason::AdmitterStruck { by: removed });
        let id = w.member_id(&person(30), t);
        assert!(r.member(&id).unwrap().pending);
        let restored = w.restore(&person(1), &[removed, by_rogue], by_rogue);
        let by_member = w.restore(&person(9), &[removed, by_rogue], by_rogue);
        let r = w.fold();
        assert!(counts(&r, restored));
        assert_eq!(reason(&r, by_member), Reason::NotSteward { has: Role::Member });
        let m = r.member(&id).unwrap();
        assert_eq!((m.pending, m.role, m.admitted_entry), (false, Role::Member, restored));
        assert_eq!(r.standing(&person(30).device).unwrap().enrolled_by, restored);
        // What was written before counts; what was written without the admission does not.
        assert_eq!(r.standing_in(&[by_rogue], &person(30).device).unwrap().enrolled_by, restored);
        assert_eq!(r.standing_in(&[t], &person(30).device), None);
    }

    #[test]
    fn restoring_takes_no_use() {
        let mut w = World::new(2, InvitePolicy::Members);
        let t = w.ticket(&person(0), &[w.genesis], 1, 1);
        let (a, b) = (
            w.admit(&person(0), &[t], 1, t, &person(5)),
            w.admit(&person(1), &[t], 1, t, &person(6)),
        );
        let r = w.fold();
        let late = if counts(&r, a) { b } else { a };
        let restored = w.restore(&person(0), &[a, b], late);
        let r = w.fold();
        assert!(counts(&r, restored));
        assert_eq!((r.members().len(), r.ticket(&t).unwrap().used_by.len()), (4, 1));
        assert!(r.members().all(|m| !m.pending));
    }

    #[test]
    fn readmission_names_the_removal_and_brings_a_new_device() {
        let (mut w, _, head, nine) = village();
        let removed = w.remove(&person(0), &[head], of_member(nine));
        let back = w.readmit(&person(1), &[removed], removed, &person(40), nine);
        let wrong = w.readmit(&person(1), &[removed], head, &person(41), nine);
        let r = w.fold();
        assert!(counts(&r, back));
        assert_eq!(reason(&r, wrong), Reason::NoRemoval);
        assert_eq!(r.standing(&person(40).device).unwrap().member, nine);
        assert_eq!(r.standing(&person(9).device), None, "the old device stays out");
        assert_eq!(r.former().len(), 0);
    }
}
