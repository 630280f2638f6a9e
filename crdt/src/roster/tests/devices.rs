//! Devices and vouching (rule 13), cuts (10).

use super::super::testing::*;
use super::super::*;
use super::rules::{counts, reason};
use crate::payload::{InvitePolicy, JoinRecord, Remove, Role, paper_nonce};

/// A founder and a member, person 9, whose join record commits to person 50 as the paper device and
/// who has added persons 51 and then 50.
fn with_paper() -> (World, EntryId, MemberId) {
    let mut w = World::new(2, InvitePolicy::Members);
    let ticket = w.ticket(&person(0), &[w.genesis], 1, 5);
    let nonce = paper_nonce(&person(50).device);
    let plain = join_record(&person(9), w.community, ticket);
    let record = JoinRecord { nonce, ..plain }.sign(&person(9).secret, Some(&ticket_seed(1)));
    let id = record.record.member();
    let admitted = w.add(&person(0), &[ticket], &[ticket], admit_body(&record));
    let second = w.add_device(&person(9), &[admitted], &person(51), id, false);
    let head = w.add_device(&person(9), &[second], &person(50), id, false);
    (w, head, id)
}

#[test]
fn the_paper_device_is_the_most_senior() {
    let (mut w, head, id) = with_paper();
    let r = w.fold();
    let devices: Vec<_> =
        r.member(&id).unwrap().devices.iter().map(|d| (d.device, d.paper)).collect();
    let of = |n| person(n).device;
    assert_eq!(devices, [(of(50), true), (of(9), false), (of(51), false)]);
    let up = w.remove(&person(51), &[head], of_device(&person(9)));
    let paper = w.remove(&person(9), &[head], of_device(&person(50)));
    let down = w.remove(&person(50), &[head], of_device(&person(9)));
    let other = w.remove(&person(1), &[down], of_device(&person(51)));
    let r = w.fold();
    assert_eq!(reason(&r, up), Reason::SeniorDevice);
    assert_eq!(reason(&r, paper), Reason::SeniorDevice);
    assert!(counts(&r, down) && counts(&r, other));
    assert_eq!(r.member(&id).unwrap().devices.len(), 1);
}

#[test]
fn what_a_stolen_device_wrote_meanwhile_is_struck() {
    let (mut w, head, id) = with_paper();
    let added = w.add_device(&person(51), &[head], &person(60), id, false);
    let issued = w.ticket(&person(9), &[head], 3, 1);
    let revoked = w.remove(&person(50), &[head], of_device(&person(51)));
    let r = w.fold();
    assert_eq!(reason(&r, added), Reason::Struck { by: revoked });
    assert_eq!(r.standing(&person(60).device), None);
    assert!(counts(&r, issued), "the other devices go on");
}

#[test]
fn a_revoked_device_is_cut_also_when_what_enrolled_it_is_struck() {
    let (mut w, head, id) = with_paper();
    let added = w.add_device(&person(51), &[head], &person(60), id, false);
    let gone = w.remove(&person(60), &[added], of_device(&person(60)));
    // Further from the genesis, so weaker: the one before is kept when this strikes the enrolment.
    let later = (3..6).fold(head, |at, seed| w.ticket(&person(50), &[at], seed, 1));
    let revoked = w.remove(&person(50), &[later], of_device(&person(51)));
    let r = w.fold();
    assert_eq!(reason(&r, added), Reason::Struck { by: revoked });
    assert_eq!(r.standing(&person(60).device), None);
    let cut_by = |n| r.cuts(&person(n).device).iter().map(|c| c.by).collect::<Vec<_>>();
    assert_eq!((cut_by(60), cut_by(51)), (vec![gone], vec![revoked]));
}

#[test]
fn devices_are_added_by_their_member_and_belong_to_one() {
    let (mut w, head, id) = with_paper();
    let by_other = w.add_device(&person(0), &[head], &person(60), id, false);
    let taken = w.add_device(&person(9), &[head], &person(1), id, false);
    let r = w.fold();
    assert_eq!(reason(&r, by_other), Reason::NotOwnDevice);
    assert_eq!(reason(&r, taken), Reason::DeviceTaken);
    let mut last = head;
    let adding: Vec<EntryId> = (100..130)
        .map(|n| {
            last = w.add_device(&person(9), &[last], &person(n), id, false);
            last
        })
        .collect();
    let r = w.fold();
    assert_eq!(reason(&r, adding[29]), Reason::TooManyDevices);
    assert!(counts(&r, adding[28]));
}

#[test]
fn vouching_replaces_all_devices_and_takes_the_role() {
    let (mut w, head, id) = with_paper();
    let raised = w.grant(&person(0), &[head], id, Role::Lead);
    let by_junior = w.add_device(&person(9), &[raised], &person(70), w.founder(1), true);
    let by_self = w.add_device(&person(1), &[raised], &person(71), w.founder(1), true);
    let senior = w.add_device(&person(1), &[raised], &person(72), w.founder(0), true);
    let vouched = w.add_device(&person(1), &[raised], &person(73), id, true);
    let meanwhile = w.ticket(&person(9), &[raised], 3, 1);
    let r = w.fold();
    assert_eq!(reason(&r, by_junior), Reason::NotSteward { has: Role::Lead });
    assert_eq!(reason(&r, by_self), Reason::VouchesForSelf);
    assert_eq!(reason(&r, senior), Reason::NotSenior);
    assert_eq!(reason(&r, meanwhile), Reason::Struck { by: vouched });
    let m = r.member(&id).unwrap();
    assert_eq!((m.role, m.devices.len()), (Role::Member, 1));
    assert_eq!(r.standing(&person(73).device).unwrap().enrolled_by, vouched);
    assert_eq!(r.cuts(&person(9).device)[0].left, None);
    assert_eq!(r.cuts(&person(73).device)[0].left, Some(Role::Member));
}

#[test]
fn cuts_are_widened_by_others_who_did_not_know_and_by_accepts() {
    let (mut w, head, id) = with_paper();
    let seen = |n: u8| EntryId::new([n; 32]);
    let cut = raw(&[seen(1)]);
    let body = Body::Remove(Remove { subject: of_member(id), cut, recovery: None });
    let removed = w.add(&person(0), &[head], &[], body);
    w.checkpoint(&person(1), &[head], &[seen(2)]);
    w.checkpoint(&person(9), &[head], &[seen(3)]);
    w.checkpoint(&person(1), &[removed], &[seen(4)]);
    w.accept(&person(1), &[removed], removed, &[seen(5)]);
    w.accept(&person(0), &[removed], head, &[seen(6)]);
    let r = w.fold();
    for n in [9, 50, 51] {
        let cuts = r.cuts(&person(n).device);
        assert_eq!(cuts.len(), 1);
        assert_eq!((cuts[0].by, cuts[0].left), (removed, None));
        assert_eq!(cuts[0].heads, [seen(1), seen(2), seen(5)]);
    }
    assert!(r.cuts(&person(1).device).is_empty());
    let demoted = w.remove(&person(0), &[head], of_role(w.founder(1), Role::Member));
    let r = w.fold();
    let cut = &r.cuts(&person(1).device)[0];
    assert_eq!((cut.by, cut.left), (demoted, Some(Role::Member)));
}

#[test]
fn would_count_says_so_beforehand() {
    let (mut w, _, id) = with_paper();
    let r = w.fold();
    let ask = |by: u16, body: &Body| r.would_count(&person(by).device, &[], body);
    assert_eq!(ask(0, &remove_body(of_member(id))), Ok(()));
    assert_eq!(ask(9, &remove_body(of_member(id))), Ok(()));
    let steward = remove_body(of_member(w.founder(0)));
    assert_eq!(ask(1, &steward), Err(Reason::NotSenior));
    assert_eq!(ask(9, &steward), Err(Reason::NotSteward { has: Role::Member }));
    assert_eq!(
        r.would_count(&person(0).device, &[w.genesis], &Body::Endorse),
        Err(Reason::NoMotion)
    );
    // And after a struggle, when the tip is not quiet.
    let head = r.frontier().to_vec();
    w.remove(&person(0), &head, of_member(id));
    w.ticket(&person(9), &head, 3, 1);
    let r = w.fold();
    assert_eq!(r.would_count(&person(9).device, &[], &steward), Err(Reason::AuthorNotMember));
    assert_eq!(r.would_count(&person(0).device, &[], &ticket_body(9, Role::Member, 1)), Ok(()));
}
