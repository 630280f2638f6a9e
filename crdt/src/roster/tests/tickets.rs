//! Tickets (rules 8 and 14), epochs and seals (16), checkpoints (17).

use minicbor::bytes::ByteArray;

use super::super::testing::*;
use super::super::*;
use super::rules::{counts, reason, small};
use crate::id::EpochId;
use crate::payload::{Checkpoint, DeviceSeal, Epoch, Role, Seal};

mod rule_8_and_14_tickets {
    use super::*;

    /// One ticket with one use; two newcomers admitted at the same time, each with a later act.
    fn contested() -> (World, EntryId, [(Person, EntryId, EntryId); 2]) {
        let mut w = World::new(2, InvitePolicy::Members);
        let (a, b) = (person(0), person(1));
        let t = w.ticket(&a, &[w.genesis], 1, 1);
        let mut sides = Vec::new();
        for (by, who) in [(&a, person(2)), (&b, person(3))] {
            let admitted = w.admit(by, &[t], 1, t, &who);
            let act = w.ticket(&who, &[admitted], 10 + sides.len() as u16, 1);
            sides.push((who, admitted, act));
        }
        sides.sort_by_key(|(_, admitted, _)| *admitted);
        let sides = sides.try_into().unwrap();
        (w, t, sides)
    }

    #[test]
    fn too_many_uses_leave_the_greater_pending() {
        let (w, t, [winner, loser]) = contested();
        let r = w.fold();
        assert!(counts(&r, winner.1) && counts(&r, winner.2));
        assert_eq!(reason(&r, loser.1), Reason::TicketUsedUp { uses: 1 });
        assert!(reason(&r, loser.1).is_pending());
        assert_eq!(reason(&r, loser.2), Reason::AuthorNotMember, "nothing rests on a pending one");
        assert_eq!(r.standing(&loser.0.device), None);
        let m = r.member(&w.member_id(&loser.0, t)).unwrap();
        assert!(m.pending);
        assert_eq!(m.rank, Rank(3));
        assert_eq!((m.role, m.admitted_entry), (Role::Member, loser.1));
        assert_eq!(r.ticket(&t).unwrap().used_by, [w.member_id(&winner.0, t)]);
        // Before the winner's side came, the loser was a member.
        let half: Vec<RosterEntry> =
            w.entries.iter().filter(|e| ![winner.1, winner.2].contains(&e.id)).cloned().collect();
        let r = Roster::fold(w.community, &half);
        assert!(r.standing(&loser.0.device).is_some() && counts(&r, loser.2));
    }

    #[test]
    fn a_pending_head_still_passes_its_past_on() {
        let (w, _, [winner, loser]) = contested();
        let r = w.fold();
        let founder = person(0).device;
        assert!(r.standing_in(&[loser.1], &founder).is_some());
        assert_eq!(r.standing_in(&[loser.1], &loser.0.device), None);
        assert_eq!(r.standing_in(&[loser.1], &winner.0.device), None, "not seen there");
        assert!(r.standing_in(&[loser.1, winner.1], &winner.0.device).is_some());
        assert!(!r.frontier().contains(&loser.1));
    }

    #[test]
    fn who_is_pending_may_come_in_by_another_ticket() {
        let (mut w, t, [winner, loser]) = contested();
        let t2 = w.ticket(&person(0), &[winner.1], 2, 1);
        let again = w.admit(&person(1), &[t2], 2, t2, &loser.0);
        let r = w.fold();
        assert!(counts(&r, again));
        assert_eq!(r.standing(&loser.0.device).unwrap().member, w.member_id(&loser.0, t2));
        assert_eq!(r.member(&w.member_id(&loser.0, t)), None, "no longer pending");
        assert!(r.members().all(|m| !m.pending));
    }

    #[test]
    fn closing_is_for_sponsor_and_stewards() {
        let mut s = small();
        let c = person(2);
        let admitted = s.w.admit(&s.a, &[s.admitted], 1, s.ticket, &c);
        let t = s.w.ticket(&s.b, &[admitted], 2, 5);
        let by_other = s.w.add(&c, &[t], &[t], Body::TicketClose);
        let r = s.w.fold();
        assert_eq!(reason(&r, by_other), Reason::NotOwnTicket);
        assert_eq!(r.ticket(&t).unwrap().is_open(0), Ok(()));
        let by_sponsor = s.w.add(&s.b, &[t], &[t], Body::TicketClose);
        let r = s.w.fold();
        assert_eq!(r.ticket(&t).unwrap().closed, Some(by_sponsor));
        assert_eq!(r.ticket(&t).unwrap().is_open(0), Err(TicketRefusal::Closed));
        let by_steward = s.w.add(&s.a, &[t], &[t], Body::TicketClose);
        let nothing = s.w.add(&s.a, &[t], &[s.admitted], Body::TicketClose);
        let r = s.w.fold();
        assert_eq!(r.ticket(&t).unwrap().closed, Some(by_sponsor.min(by_steward)));
        assert_eq!(reason(&r, nothing), Reason::NoTicket);
    }

    #[test]
    fn closing_binds_those_who_know() {
        let mut s = small();
        let close = s.w.add(&s.a, &[s.admitted], &[s.ticket], Body::TicketClose);
        let knowing = s.w.admit(&s.b, &[close], 1, s.ticket, &person(2));
        // Deeper than the closing, and still without it in its past.
        let later = s.w.ticket(&s.b, &[s.admitted], 2, 1);
        let later = s.w.ticket(&s.b, &[later], 3, 1);
        let unaware = s.w.admit(&s.b, &[later], 1, s.ticket, &person(3));
        let r = s.w.fold();
        assert_eq!(reason(&r, knowing), Reason::TicketClosed);
        assert!(counts(&r, unaware));
    }

    #[test]
    fn any_member_admits_and_a_ticket_must_be_known() {
        let mut s = small();
        let by_b = s.w.admit(&s.b, &[s.admitted], 1, s.ticket, &person(2));
        let by_stranger = s.w.admit(&person(8), &[s.admitted], 1, s.ticket, &person(8));
        // A ticket that does not count lets nobody in.
        let void = s.w.ticket(&person(8), &[s.admitted], 9, 1);
        let by_void = s.w.admit(&s.b, &[s.admitted], 9, void, &person(4));
        let r = s.w.fold();
        assert!(counts(&r, by_b));
        let m = r.member(&s.w.member_id(&person(2), s.ticket)).unwrap();
        let founder = r.standing(&s.a.device).unwrap().member;
        assert_eq!((m.sponsor, m.admitted_by), (Some(founder), Some(s.b_id)));
        assert_eq!(reason(&r, by_stranger), Reason::AuthorNotMember);
        assert_eq!(reason(&r, by_void), Reason::NoTicket);
    }

    #[test]
    fn the_admitting_node_judges_time_and_uses() {
        let mut w = World::new(1, InvitePolicy::Members);
        let a = person(0);
        let Body::Ticket(mut ticket) = ticket_body(1, Role::Member, 1) else { panic!() };
        ticket.expires = Some(1000);
        let t = w.add(&a, &[w.genesis], &[], Body::Ticket(ticket));
        let (b, c) = (w.record(&person(1), 1, t), w.record(&person(2), 1, t));
        let r = w.fold();
        assert_eq!(r.may_admit(&a.device, &b, 1000), Ok(()));
        let refused = |r: &Roster, record: &SignedJoinRecord, now| {
            r.may_admit(&a.device, record, now).unwrap_err()
        };
        assert_eq!(refused(&r, &b, 1001), AdmitRefusal::Ticket(TicketRefusal::Expired));
        assert_eq!(
            r.may_admit(&person(5).device, &b, 0),
            Err(AdmitRefusal::Rules(Reason::AuthorNotMember))
        );
        let mut bytes = b.encode();
        bytes[220] ^= 1;
        let forged = SignedJoinRecord::decode(&bytes).unwrap();
        assert!(matches!(refused(&r, &forged, 0), AdmitRefusal::Rules(Reason::BadRecord(_))));
        let elsewhere = w.record(&person(1), 1, EntryId::new([3; 32]));
        assert_eq!(refused(&r, &elsewhere, 0), AdmitRefusal::UnknownTicket);

        w.admit(&a, &[t], 1, t, &person(1));
        let r = w.fold();
        assert_eq!(refused(&r, &c, 0), AdmitRefusal::Ticket(TicketRefusal::UsedUp));
        assert_eq!(r.may_admit(&a.device, &b, 5000), Ok(()), "the same newcomer again");
        assert!(TicketRefusal::UsedUp.to_string().starts_with("this ticket"));
    }
}

mod rules_16_and_17_epochs_and_checkpoints {
    use super::*;

    fn epoch(id: u8, parents: &[u8]) -> Body {
        Body::Epoch(Epoch {
            id: [id; 32].into(),
            parents: parents.iter().map(|p| ByteArray::from([*p; 32])).collect(),
            links: vec![].into(),
        })
    }

    fn seal(epoch: u8, to: &[(&Person, u8)]) -> Body {
        let mut seals: Vec<DeviceSeal> = to
            .iter()
            .map(|(p, n)| DeviceSeal {
                device: (*p.device.as_bytes()).into(),
                sealed: [*n; 80].into(),
            })
            .collect();
        seals.sort_by_key(|s| *s.device);
        Body::Seal(Seal { epoch: [epoch; 32].into(), seals })
    }

    #[test]
    fn epochs_know_their_parents_and_seals() {
        let mut s = small();
        let first = s.w.add(&s.a, &[s.admitted], &[], epoch(1, &[]));
        let sealed = s.w.add(&s.a, &[first], &[first], seal(1, &[(&s.a, 1), (&s.b, 2)]));
        let again = s.w.add(&s.b, &[sealed], &[first], seal(1, &[(&s.b, 3)]));
        let next = s.w.add(&s.b, &[again], &[], epoch(2, &[1]));
        let r = s.w.fold();
        let records: Vec<&EpochRecord> = r.epochs().collect();
        assert_eq!(records.len(), 2);
        assert_eq!((records[0].entry, records[1].entry), (first, next));
        assert_eq!(records[1].parents, [EpochId::new([1; 32])]);
        assert_eq!(records[0].author, s.a.device);
        let to_b: Vec<(u8, EntryId)> =
            records[0].sealed_to[&s.b.device].iter().map(|k| (k.sealed[0], k.entry)).collect();
        assert_eq!(to_b, [(2, sealed), (3, again)]);
        assert_eq!(records[0].sealed_to.len(), 2);
    }

    #[test]
    fn what_does_not_fit_does_not_count() {
        let mut s = small();
        let first = s.w.add(&s.a, &[s.admitted], &[], epoch(1, &[]));
        let beside = s.w.ticket(&s.a, &[s.admitted], 9, 1);
        let beside = s.w.ticket(&s.a, &[beside], 9, 1);
        let ahead = s.w.add(&s.a, &[beside], &[], epoch(2, &[1]));
        let by_stranger = s.w.add(&person(9), &[first], &[], epoch(3, &[1]));
        let wrong_id = s.w.add(&s.a, &[first], &[first], seal(2, &[]));
        let no_epoch = s.w.add(&s.a, &[first], &[s.ticket], seal(1, &[]));
        let nameless = s.w.add(&s.a, &[first], &[], seal(1, &[]));
        let sealed_by_stranger = s.w.add(&person(9), &[first], &[first], seal(1, &[(&s.b, 1)]));
        let r = s.w.fold();
        assert_eq!(reason(&r, ahead), Reason::UnknownParentEpoch);
        assert_eq!(reason(&r, by_stranger), Reason::AuthorNotMember);
        assert_eq!(reason(&r, sealed_by_stranger), Reason::AuthorNotMember);
        for id in [wrong_id, no_epoch, nameless] {
            assert_eq!(reason(&r, id), Reason::NoEpoch);
        }
        assert_eq!(r.epochs().len(), 1);
        assert!(r.epochs().all(|e| e.sealed_to.is_empty()));
    }

    #[test]
    fn a_copied_epoch_id_takes_nothing_away() {
        let mut s = small();
        let real = s.w.add(&s.a, &[s.admitted], &[], epoch(1, &[]));
        let sealed = s.w.add(&s.a, &[real], &[real], seal(1, &[(&s.b, 7)]));
        let copy = s.w.add(&s.a, &[s.w.genesis], &[], epoch(1, &[]));
        let r = s.w.fold();
        assert!(counts(&r, real) && counts(&r, copy) && counts(&r, sealed));
        let record = r.epochs().find(|e| e.entry == real).unwrap();
        assert_eq!(record.sealed_to[&s.b.device].len(), 1);
    }

    #[test]
    fn checkpoints_join_heads() {
        let mut s = small();
        let loose: Vec<EntryId> =
            (0..6).map(|n| s.w.ticket(&s.a, &[s.admitted], 20 + n, 1)).collect();
        assert_eq!(s.w.fold().frontier().len(), 6);
        let body = Body::Checkpoint(Checkpoint::default());
        let joined = s.w.add(&s.b, &loose[..4], &loose[4..], body);
        let r = s.w.fold();
        assert!(counts(&r, joined));
        assert_eq!(r.frontier(), [joined]);
        loose.iter().for_each(|id| assert!(r.covers(&[joined], id)));
    }
}
