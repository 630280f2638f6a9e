//! One test for each rule, happy and unhappy. Tickets, epochs and checkpoints have their own file.

use super::super::testing::*;
use super::super::*;
use crate::entry::DeviceSecret;
use crate::payload::{Genesis, GrantRole, Kind, Role};

pub(super) fn reason(roster: &Roster, id: EntryId) -> Reason {
    match roster.verdict(&id) {
        Some(Verdict::Unsupported(reason)) => *reason,
        other => panic!("{other:?}"),
    }
}

pub(super) fn counts(roster: &Roster, id: EntryId) -> bool {
    roster.verdict(&id).is_some_and(Verdict::counts)
}

/// A community of one with a ticket of three uses and a member by it.
pub(super) struct Small {
    pub(super) w: World,
    pub(super) a: Person,
    pub(super) b: Person,
    pub(super) ticket: EntryId,
    pub(super) admitted: EntryId,
    pub(super) b_id: MemberId,
}

pub(super) fn small() -> Small {
    let mut w = World::new(1, InvitePolicy::Members);
    let (a, b) = (person(0), person(1));
    let ticket = w.ticket(&a, &[w.genesis], 1, 3);
    let admitted = w.admit(&a, &[ticket], 1, ticket, &b);
    let b_id = w.member_id(&b, ticket);
    Small { w, a, b, ticket, admitted, b_id }
}

mod rule_1_genesis {
    use super::*;

    #[test]
    fn founders_are_stewards_in_their_order() {
        let w = World::new(3, InvitePolicy::Leads);
        let r = w.fold();
        assert!(r.is_founded() && !r.needs_upgrade());
        assert_eq!((r.invite_policy(), r.rules_version()), (InvitePolicy::Leads, 1));
        assert_eq!(
            (r.quorum(), r.recovery_key()),
            (Some((2, 3)), Some(*DeviceSecret::from_bytes(&RECOVERY).device().as_bytes()))
        );
        assert_eq!(r.frontier(), [w.genesis]);
        for (n, m) in r.members().enumerate() {
            let p = person(n as u16);
            assert_eq!(m.id, founder_record(&p).record.member());
            assert_eq!((m.role, m.rank, m.pending), (Role::Steward, Rank(n as u32), false));
            assert_eq!((m.sponsor, m.admitted_by, m.admitted_entry), (None, None, w.genesis));
            assert_eq!(m.devices[0].device, p.device);
            let standing = Standing { member: m.id, role: Role::Steward, enrolled_by: w.genesis };
            assert_eq!(r.standing(&p.device), Some(standing));
            assert_eq!(r.member(&m.id), Some(m));
        }
        assert_eq!(r.members().len(), 3);
    }

    fn founded_by(author: &Person, founders: Vec<Vec<u8>>) -> Roster {
        let mut w = World::new(1, InvitePolicy::Members);
        w.community = CommunityId::ZERO;
        let body = Body::Genesis(Genesis {
            rules: 1,
            founders: founders.into_iter().map(Into::into).collect(),
            recovery_key: [5; 32].into(),
            quorum_num: 2,
            quorum_den: 3,
            invite: InvitePolicy::Members,
            history: None,
        });
        let genesis = w.make(author, &[], &[], body);
        Roster::fold(genesis.id.as_community(), &[genesis])
    }

    #[test]
    fn a_flaw_voids_the_community() {
        let (a, b) = (person(0), person(1));
        let good = |p: &Person| founder_record(p).encode();
        let verdict = |r: &Roster| reason(r, r.community().genesis());

        assert!(founded_by(&a, vec![good(&a), good(&b)]).is_founded());
        let twice = founded_by(&a, vec![good(&a), good(&a)]);
        assert_eq!(verdict(&twice), Reason::FounderTwice);
        assert_eq!((twice.is_founded(), twice.members().len()), (false, 0));
        assert_eq!(verdict(&founded_by(&b, vec![good(&a)])), Reason::NotByFounder);
        let mut forged = good(&b);
        forged[150] ^= 1;
        assert!(matches!(verdict(&founded_by(&a, vec![good(&a), forged])), Reason::BadFounder(_)));
        // A newcomer's record does not make a founder.
        let newcomer = join_record(&b, CommunityId::new([1; 32]), EntryId::new([2; 32]))
            .sign(&b.secret, Some(&ticket_seed(1)))
            .encode();
        let r = founded_by(&a, vec![good(&a), newcomer]);
        assert!(matches!(verdict(&r), Reason::BadFounder(_)));
    }

    #[test]
    fn other_communities_and_misplaced_kinds() {
        let mut w = World::new(1, InvitePolicy::Members);
        let a = person(0);
        let other = World::new(2, InvitePolicy::Members);
        let Body::Genesis(genesis) = w.entries[0].body.clone() else { panic!() };
        let misplaced = w.add(&a, &[w.genesis], &[], Body::Genesis(genesis));
        let foreign = other.entries[0].clone();
        let mut in_other = other.clone();
        let t = in_other.ticket(&person(0), &[in_other.genesis], 1, 1);
        w.entries.extend(in_other.entries);
        let r = w.fold();
        assert_eq!(reason(&r, misplaced), Reason::NotGenesis);
        assert_eq!(reason(&r, foreign.id), Reason::OtherCommunity);
        assert_eq!(reason(&r, t), Reason::OtherCommunity);
        assert_eq!(r.hash(), World::new(1, InvitePolicy::Members).fold().hash());

        let nothing = Roster::fold(w.community, &[]);
        assert!(!nothing.is_founded() && nothing.frontier().is_empty());
        assert_eq!(nothing.standing(&a.device), None);
    }

    #[test]
    fn later_rules_ask_for_an_upgrade() {
        let mut w = World::new(1, InvitePolicy::Members);
        let Body::Genesis(mut genesis) = w.entries[0].body.clone() else { panic!() };
        genesis.rules = 2;
        w.community = CommunityId::ZERO;
        let e = w.make(&person(0), &[], &[], Body::Genesis(genesis));
        assert!(Roster::fold(e.id.as_community(), &[e]).needs_upgrade());
    }
}

mod rule_2_whole_entries {
    use super::*;

    #[test]
    fn waits_for_the_smallest_missing_and_counts_once_whole() {
        let s = small();
        let without: Vec<RosterEntry> =
            s.w.entries.iter().filter(|e| e.id != s.ticket).cloned().collect();
        let r = Roster::fold(s.w.community, &without);
        assert_eq!(r.verdict(&s.admitted), Some(&Verdict::Waiting { missing: vec![s.ticket] }));
        assert_eq!(r.missing(), [s.ticket]);
        assert_eq!(r.frontier(), [s.w.genesis]);
        assert_eq!(r.standing(&s.b.device), None);
        assert_eq!(r.unknown_heads(&[s.w.genesis, s.admitted]), [s.admitted]);

        let r = s.w.fold();
        assert!(counts(&r, s.admitted) && r.missing().is_empty());
        assert_eq!(r.frontier(), [s.admitted]);
    }

    #[test]
    fn what_is_missing_is_handed_down_and_bounded() {
        let mut w = World::new(1, InvitePolicy::Members);
        let a = person(0);
        let mut heads = vec![w.genesis];
        for n in 0..6u8 {
            let refs: Vec<EntryId> = (0..3).map(|k| EntryId::new([n * 3 + k + 1; 32])).collect();
            let body = ticket_body(1, Role::Member, 1);
            heads = vec![w.add(&a, &heads, &refs, body)];
        }
        let r = w.fold();
        let Some(Verdict::Waiting { missing }) = r.verdict(&heads[0]) else { panic!() };
        let smallest: Vec<EntryId> = (1..=8).map(|n| EntryId::new([n; 32])).collect();
        assert_eq!(missing, &smallest);
        assert_eq!(r.missing().len(), 18);
    }

    #[test]
    fn one_place_in_a_log_twice_is_two_concurrent_entries() {
        let mut s = small();
        let one = s.w.make(&s.b, &[s.admitted], &[], ticket_body(2, Role::Member, 1));
        let mut header = s.w.make(&s.b, &[s.admitted], &[], ticket_body(3, Role::Member, 1)).header;
        header.log = one.header.log;
        let bytes = header.encode();
        let verified = crate::entry::Verified::from_trusted_storage(bytes, None).unwrap();
        let two = RosterEntry::new(&verified, ticket_body(3, Role::Member, 1)).unwrap();
        assert_eq!((one.header.log, one.header.seq), (two.header.log, two.header.seq));
        let (one_id, two_id) = (one.id, two.id);
        s.w.entries.extend([one, two]);
        let r = s.w.fold();
        assert!(counts(&r, one_id) && counts(&r, two_id));
        assert_eq!(r.frontier().len(), 2);
        assert!(!r.covers(&[one_id], &two_id) && !r.covers(&[two_id], &one_id));
    }

    #[test]
    fn covers_follows_heads_and_refs_and_nothing_else() {
        let mut s = small();
        let old = s.w.ticket(&s.a, &[s.w.genesis], 4, 1);
        // The ticket is an ancestor by refs alone.
        let by_ref = s.w.admit(&s.a, &[s.admitted], 4, old, &person(5));
        let r = s.w.fold();
        assert!(r.covers(&[by_ref], &old) && r.covers(&[by_ref], &s.w.genesis));
        assert!(r.covers(&[by_ref], &by_ref) && !r.covers(&[s.admitted], &old));
        assert!(r.covers(&[s.admitted, old], &old));
        assert!(!r.covers(&[EntryId::new([9; 32])], &old));
        assert!(!r.covers(&[by_ref], &EntryId::new([9; 32])));
        assert_eq!(r.reduce_heads(&[s.w.genesis, old, s.admitted, by_ref]), [by_ref]);
        let mut both = vec![old, s.admitted];
        both.sort();
        assert_eq!(r.reduce_heads(&[s.admitted, s.w.genesis, old, old]), both);
        let unknown = EntryId::new([0; 32]);
        assert_eq!(r.reduce_heads(&[by_ref, unknown, unknown]), [unknown, by_ref]);
    }
}

mod rule_3_join_records {
    use super::*;

    #[test]
    fn two_admissions_of_one_record_make_one_member() {
        let mut s = small();
        let c = person(2);
        let by_a = s.w.admit(&s.a, &[s.admitted], 1, s.ticket, &c);
        let by_b = s.w.admit(&s.b, &[s.admitted], 1, s.ticket, &c);
        let r = s.w.fold();
        assert!(counts(&r, by_a) && counts(&r, by_b));
        let m = r.member(&s.w.member_id(&c, s.ticket)).unwrap();
        assert_eq!(m.admitted_entry, by_a.min(by_b));
        assert_eq!(r.ticket(&s.ticket).unwrap().used_by, [s.b_id, m.id]);
        assert_eq!(r.members().len(), 3);
        // Each admission alone is enough.
        for (head, other) in [(by_a, by_b), (by_b, by_a)] {
            let standing = r.standing_in(&[head], &c.device).unwrap();
            assert_eq!((standing.member, standing.enrolled_by), (m.id, head));
            assert!(!r.covers(&[head], &other));
        }
        assert_eq!(r.standing(&c.device).unwrap().enrolled_by, by_a.min(by_b));
    }

    #[test]
    fn an_admitter_can_change_nothing() {
        let mut s = small();
        let c = person(2);
        let good = s.w.record(&c, 1, s.ticket);
        for byte in [70, 100, 130, 150, 220] {
            let mut bytes = good.encode();
            bytes[byte] ^= 1;
            let body = Body::Admit(crate::payload::Admit { record: bytes.into() });
            let id = s.w.add(&s.b, &[s.admitted], &[s.ticket], body);
            assert!(matches!(reason(&s.w.fold(), id), Reason::BadRecord(_)), "byte {byte}");
        }
        // Signed by the device but not with the ticket.
        let unsigned = join_record(&c, s.w.community, s.ticket).sign(&c.secret, None);
        let id = s.w.add(&s.b, &[s.admitted], &[s.ticket], admit_body(&unsigned));
        assert!(matches!(reason(&s.w.fold(), id), Reason::BadRecord(_)));
        assert_eq!(s.w.fold().members().len(), 2);
    }

    #[test]
    fn records_for_something_else() {
        let mut s = small();
        let c = person(2);
        let other = s.w.ticket(&s.a, &[s.admitted], 2, 1);
        let record = s.w.record(&c, 1, s.ticket);
        let wrong_ticket = s.w.add(&s.a, &[s.admitted], &[other], admit_body(&record));
        let elsewhere = join_record(&c, CommunityId::new([7; 32]), s.ticket)
            .sign(&c.secret, Some(&ticket_seed(1)));
        let wrong_community = s.w.add(&s.a, &[s.admitted], &[s.ticket], admit_body(&elsewhere));
        let no_ticket = s.w.add(&s.a, &[s.admitted], &[], admit_body(&record));
        let not_a_ticket = s.w.add(&s.a, &[s.admitted], &[s.admitted], admit_body(&record));
        let mut weak = join_record(&c, s.w.community, s.ticket);
        weak.sealing = [0; 32];
        let weak = weak.sign(&c.secret, Some(&ticket_seed(1)));
        let weak = s.w.add(&s.a, &[s.admitted], &[s.ticket], admit_body(&weak));
        let r = s.w.fold();
        assert_eq!(reason(&r, wrong_ticket), Reason::OtherTicket);
        assert_eq!(reason(&r, wrong_community), Reason::RecordOfOtherCommunity);
        assert_eq!(reason(&r, no_ticket), Reason::NoTicket);
        assert_eq!(reason(&r, not_a_ticket), Reason::NoTicket);
        assert!(matches!(reason(&r, weak), Reason::BadRecord(RecordFault::SealingKey(_))));
    }

    #[test]
    fn a_device_belongs_to_one_member() {
        let mut s = small();
        // B's device again, as a new person.
        let other = s.w.ticket(&s.a, &[s.admitted], 2, 1);
        let again = s.w.admit(&s.a, &[other], 2, other, &s.b);
        // The founder's device by a ticket.
        let third = s.w.ticket(&s.a, &[s.admitted], 3, 1);
        let founder = s.w.admit(&s.a, &[third], 3, third, &s.a);
        let r = s.w.fold();
        assert_eq!(reason(&r, again), Reason::DeviceTaken);
        assert_eq!(reason(&r, founder), Reason::DeviceTaken);
        assert_eq!(r.standing(&s.b.device).unwrap().member, s.b_id);
        assert_eq!(r.members().len(), 2);
    }

    #[test]
    fn of_two_records_with_one_device_the_smaller_enrols_it() {
        let mut w = World::new(1, InvitePolicy::Members);
        let (a, c) = (person(0), person(2));
        let t1 = w.ticket(&a, &[w.genesis], 1, 1);
        let t2 = w.ticket(&a, &[w.genesis], 2, 1);
        let one = w.admit(&a, &[t1, t2], 1, t1, &c);
        let two = w.admit(&a, &[t1, t2], 2, t2, &c);
        let r = w.fold();
        assert!(counts(&r, one.min(two)));
        assert_eq!(reason(&r, one.max(two)), Reason::DeviceTaken);
        assert_eq!(r.members().len(), 2);
    }

    #[test]
    fn a_check_is_remembered_and_bound_to_what_it_checked() {
        let mut s = small();
        let entry = s.w.entries.last().unwrap().clone();
        assert!(!entry.join_record_is_good());
        s.w.fold();
        let checked = s.w.entries.last().unwrap().clone();
        assert!(checked.join_record_is_good());
        // Another body under the same memory is checked anew.
        let mut swapped = checked.clone();
        let mut bytes = s.w.record(&s.b, 1, s.ticket).encode();
        bytes[220] ^= 1;
        swapped.body = Body::Admit(crate::payload::Admit { record: bytes.into() });
        let last = s.w.entries.len() - 1;
        s.w.entries[last] = swapped;
        assert!(matches!(reason(&s.w.fold(), s.admitted), Reason::BadRecord(_)));
        // Trusted storage is believed.
        let trusted = s.w.entries[last].clone().trust_join_record();
        assert!(trusted.join_record_is_good());
        s.w.entries[last] = trusted;
        assert!(counts(&s.w.fold(), s.admitted));
    }
}

mod rule_4_rank {
    use super::*;

    fn ranked(w: &World) -> Vec<MemberId> {
        let r = w.fold();
        r.members().enumerate().for_each(|(n, m)| assert_eq!(m.rank, Rank(n as u32)));
        r.members().map(|m| m.id).collect()
    }

    #[test]
    fn sponsors_come_before_those_they_brought() {
        let mut w = World::new(2, InvitePolicy::Members);
        let founder = |n| founder_record(&person(n)).record.member();
        // The second founder sponsors early, the first late: the first's guests are senior.
        let t1 = w.ticket(&person(1), &[w.genesis], 1, 2);
        let c = w.admit(&person(1), &[t1], 1, t1, &person(2));
        let c_id = w.member_id(&person(2), t1);
        let t0 = w.ticket(&person(0), &[c], 2, 2);
        let d = w.admit(&person(1), &[t0], 2, t0, &person(3));
        let d_id = w.member_id(&person(3), t0);
        // A guest's guest comes after the guest and before the host's later guests.
        let t2 = w.ticket(&person(3), &[d], 3, 1);
        let e = w.admit(&person(3), &[t2], 3, t2, &person(4));
        let e_id = w.member_id(&person(4), t2);
        w.admit(&person(0), &[e], 2, t0, &person(5));
        let f_id = w.member_id(&person(5), t0);
        assert_eq!(ranked(&w), [founder(0), d_id, e_id, f_id, founder(1), c_id]);
    }

    #[test]
    fn rank_is_that_of_the_present_role_and_of_the_most_senior_grant() {
        let mut w = World::new(2, InvitePolicy::Members);
        let founder = |n| founder_record(&person(n)).record.member();
        let t = w.ticket(&person(0), &[w.genesis], 1, 2);
        let c = w.admit(&person(0), &[t], 1, t, &person(2));
        let d = w.admit(&person(0), &[c], 1, t, &person(3));
        let (c_id, d_id) = (w.member_id(&person(2), t), w.member_id(&person(3), t));
        assert_eq!(ranked(&w), [founder(0), c_id, d_id, founder(1)]);
        // As a steward by the second founder's grant, C ranks below that founder.
        let g = w.grant(&person(1), &[d], c_id, Role::Steward);
        assert_eq!(ranked(&w), [founder(0), d_id, founder(1), c_id]);
        // The first founder's grant of the same role is more senior.
        w.grant(&person(0), &[g], c_id, Role::Steward);
        assert_eq!(ranked(&w), [founder(0), d_id, c_id, founder(1)]);
    }
}

mod rule_5_authority {
    use super::*;

    #[test]
    fn strangers_and_those_who_name_an_older_roster() {
        let mut s = small();
        let stranger = s.w.ticket(&person(7), &[s.admitted], 5, 1);
        let too_early = s.w.ticket(&s.b, &[s.w.genesis], 6, 1);
        let r = s.w.fold();
        assert_eq!(reason(&r, stranger), Reason::AuthorNotMember);
        assert_eq!(reason(&r, too_early), Reason::AuthorNotMember);
        assert_eq!(r.frontier(), [s.admitted]);
    }

    #[test]
    fn inviting_is_by_policy() {
        for (policy, may_member, may_lead) in [
            (InvitePolicy::Members, true, true),
            (InvitePolicy::Leads, false, true),
            (InvitePolicy::Stewards, false, false),
        ] {
            let mut w = World::new(1, policy);
            let (a, b) = (person(0), person(1));
            let t = w.ticket(&a, &[w.genesis], 1, 1);
            let admitted = w.admit(&a, &[t], 1, t, &b);
            let as_member = w.ticket(&b, &[admitted], 2, 1);
            let lead = w.grant(&a, &[admitted], w.member_id(&b, t), Role::Lead);
            let as_lead = w.ticket(&b, &[lead], 3, 1);
            let r = w.fold();
            assert_eq!(counts(&r, as_member), may_member, "{policy:?}");
            assert_eq!(counts(&r, as_lead), may_lead, "{policy:?}");
            if !may_member {
                let (has, needs) = (Role::Member, policy.least_role());
                assert_eq!(reason(&r, as_member), Reason::MayNotInvite { has, needs });
            }
        }
    }

    #[test]
    fn nobody_grants_above_the_own_role() {
        let mut s = small();
        let lead = s.w.grant(&s.a, &[s.admitted], s.b_id, Role::Lead);
        let above = s.w.grant(&s.b, &[lead], s.b_id, Role::Steward);
        let ticket = s.w.add(&s.b, &[lead], &[], ticket_body(5, Role::Steward, 1));
        let equal = s.w.add(&s.b, &[lead], &[], ticket_body(6, Role::Lead, 1));
        let before = s.w.grant(&s.b, &[s.admitted], s.b_id, Role::Lead);
        let r = s.w.fold();
        let own = Role::Lead;
        assert_eq!(reason(&r, above), Reason::RoleAboveOwn { own, granted: Role::Steward });
        assert_eq!(reason(&r, ticket), Reason::RoleAboveOwn { own, granted: Role::Steward });
        let own = Role::Member;
        assert_eq!(reason(&r, before), Reason::RoleAboveOwn { own, granted: Role::Lead });
        assert!(counts(&r, equal));
        assert_eq!(r.standing(&s.b.device).unwrap().role, Role::Lead);
        assert_eq!(r.standing_in(&[s.admitted], &s.b.device).unwrap().role, Role::Member);
    }

    #[test]
    fn tickets_bring_their_role_and_grants_never_lower_one() {
        let mut s = small();
        let c = person(2);
        let t = s.w.add(&s.a, &[s.admitted], &[], ticket_body(5, Role::Lead, 1));
        let admitted = s.w.admit(&s.b, &[t], 5, t, &c);
        let c_id = s.w.member_id(&c, t);
        assert_eq!(s.w.fold().member(&c_id).unwrap().role, Role::Lead);
        let lower = s.w.grant(&s.a, &[admitted], c_id, Role::Member);
        let r = s.w.fold();
        assert!(counts(&r, lower));
        assert_eq!(r.member(&c_id).unwrap().role, Role::Lead);
    }

    #[test]
    fn grants_go_to_members_that_the_grant_knows() {
        let mut s = small();
        let nobody = s.w.grant(&s.a, &[s.admitted], MemberId::new([3; 32]), Role::Lead);
        let too_early = s.w.grant(&s.a, &[s.w.genesis], s.b_id, Role::Lead);
        let r = s.w.fold();
        assert_eq!(reason(&r, nobody), Reason::GranteeNotMember);
        assert_eq!(reason(&r, too_early), Reason::GranteeNotMember);
    }

    #[test]
    fn unknown_kinds_change_nothing() {
        let mut s = small();
        let later = s.w.add(&s.a, &[s.admitted], &[], Body::Unknown(999));
        let reserved = s.w.add(&s.a, &[s.admitted], &[], Body::Unknown(Kind::ForkProof.number()));
        let r = s.w.fold();
        assert_eq!(reason(&r, later), Reason::UnknownKind(999));
        assert_eq!(reason(&r, reserved), Reason::UnknownKind(15));
    }

    #[test]
    fn would_count_says_what_the_fold_will_say() {
        let s = small();
        let r = s.w.fold();
        let ticket = ticket_body(5, Role::Member, 1);
        assert_eq!(r.would_count(&s.b.device, &[], &ticket), Ok(()));
        let stranger = person(9).device;
        assert_eq!(r.would_count(&stranger, &[], &ticket), Err(Reason::AuthorNotMember));
        let lead = ticket_body(5, Role::Lead, 1);
        let above = Reason::RoleAboveOwn { own: Role::Member, granted: Role::Lead };
        assert_eq!(r.would_count(&s.b.device, &[], &lead), Err(above));
        let grant = Body::Role(GrantRole {
            member: (*s.b_id.as_bytes()).into(),
            role: Role::Lead,
            recovery: None,
        });
        assert_eq!(r.would_count(&s.a.device, &[], &grant), Ok(()));
        assert_eq!(r.would_count(&s.a.device, &[], &s.w.entries[0].body), Err(Reason::NotGenesis));
        assert_eq!(
            r.would_count(&s.a.device, &[], &Body::Withdraw),
            Err(Reason::UnknownKind(Kind::Withdraw.number()))
        );
    }
}

#[test]
fn rule_11_other_classes_are_judged_in_their_roster_past() {
    let mut s = small();
    let lead = s.w.grant(&s.a, &[s.admitted], s.b_id, Role::Lead);
    let r = s.w.fold();
    let role = |heads: &[EntryId]| r.standing_in(heads, &s.b.device).map(|s| s.role);
    assert_eq!(role(&[]), None);
    assert_eq!(role(&[s.w.genesis]), None);
    assert_eq!(role(&[s.ticket]), None);
    assert_eq!(role(&[s.admitted]), Some(Role::Member));
    assert_eq!(role(&[lead]), Some(Role::Lead));
    assert_eq!(role(&[EntryId::new([1; 32])]), None);
    assert_eq!(role(&[EntryId::new([1; 32]), s.admitted]), Some(Role::Member));
    assert_eq!(r.standing_in(&[lead], &person(9).device), None);
}

#[test]
fn opening_checks_class_version_payload_and_envelope() {
    use crate::clock::Hlc;
    use crate::entry::{Header, HeaderTail, payload_hash};
    use crate::id::{EpochRef, LogId, LogNumber, PayloadHash};
    let a = person(0);
    let body = crate::payload::encode(&ticket_body(1, Role::Member, 1)).unwrap();
    let payload = crate::envelope::encode_clear(&body).unwrap();
    let header = |class, epoch, hash: PayloadHash| Header {
        class,
        community: CommunityId::new([1; 32]),
        log: LogId { device: a.device, number: LogNumber([0; 8]) },
        seq: 0,
        prev: EntryId::ZERO,
        time: Hlc::default(),
        epoch,
        payload_hash: hash,
        payload_len: payload.len() as u32,
        tail: HeaderTail::V1 { heads: vec![EntryId::new([1; 32])], refs: vec![] },
    };
    let hash = payload_hash(&payload);
    let good = a.secret.sign(&header(0, EpochRef::CLEAR, hash));
    let entry = RosterEntry::open(&good, &payload).unwrap();
    assert_eq!((entry.id, &entry.header), (good.id(), good.header()));
    assert_eq!(entry.body, ticket_body(1, Role::Member, 1));
    assert_eq!(
        RosterEntry::open(&good, &payload[1..]).unwrap_err(),
        RosterEntryError::PayloadMismatch
    );
    let post = a.secret.sign(&header(2, EpochRef([1; 16]), hash));
    assert_eq!(RosterEntry::open(&post, &payload).unwrap_err(), RosterEntryError::NotRoster(2));
    let mut later = header(0, EpochRef::CLEAR, hash);
    later.tail = HeaderTail::Later { version: 2, bytes: vec![] };
    let later = a.secret.sign(&later);
    assert_eq!(RosterEntry::open(&later, &payload).unwrap_err(), RosterEntryError::LaterVersion(2));
    for (junk, envelope) in [
        (vec![9; payload.len()], true),
        (crate::envelope::encode_clear(&vec![0xff; body.len()]).unwrap(), false),
    ] {
        let v = a.secret.sign(&header(0, EpochRef::CLEAR, payload_hash(&junk)));
        let error = RosterEntry::open(&v, &junk).unwrap_err();
        assert_eq!(matches!(error, RosterEntryError::Envelope(_)), envelope, "{error}");
    }
}

#[test]
fn every_verdict_is_a_sentence() {
    let s = small();
    let r = s.w.fold();
    assert_eq!(r.verdict(&s.ticket).unwrap().to_string(), "it counts");
    let reasons = [
        Reason::UnknownKind(15),
        Reason::MayNotInvite { has: Role::Member, needs: Role::Steward },
        Reason::TicketUsedUp { uses: 3 },
    ];
    assert_eq!(
        reasons.map(|r| r.to_string()),
        [
            "this version does not know what it says (kind 15); a later one may",
            "its author was a member, and inviting takes a steward here",
            "others used the ticket up first (3 in all), so the newcomer is pending",
        ]
    );
    let waiting = Verdict::Waiting { missing: vec![EntryId::ZERO; MAX_MISSING_LISTED] };
    assert_eq!(waiting.to_string(), "it waits for 8 entries that are not here or more");
}

#[test]
fn golden_hash() {
    let mut s = small();
    s.w.grant(&s.a, &[s.admitted], s.b_id, Role::Lead);
    s.w.add(&s.a, &[s.admitted], &[s.ticket], Body::TicketClose);
    assert_eq!(
        crate::id::base32(&s.w.fold().hash())[..16],
        *"4126khj5kdn5hxd1",
        "nodes of both versions would never agree on their state"
    );
}
