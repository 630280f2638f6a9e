//! What a member, or somebody who has the ticket, may show a newcomer in vain.

use lanai_crdt::id::MemberId;

use super::*;

/// Brings a joiner to where it has shown its record.
pub(super) fn proven(joiner: &mut Joiner, ticket: &TicketText, newcomer: &Identity) {
    let key = ticket.secret().public();
    let tag = admitter_tag(&key, &[1; 32], &[2; 32], &newcomer.device_id()).into();
    let proof = Message::Proof { nonce: [2; 32], tag }.encode();
    let out = joiner.handle(JoinerInput::Bytes(&proof), NOW);
    assert!(matches!(out[0], JoinerOutput::Send(_)), "{out:?}");
}

/// Shows the newcomer these bytes as a roster, from `peer`, who knows the ticket.
fn show_bytes(
    ticket: &TicketText,
    newcomer: &Identity,
    peer: &Identity,
    (entries, body): (u32, Vec<u8>),
    admit: EntryId,
) -> Result<Box<Joined>, JoinerError> {
    let (mut joiner, _) =
        Joiner::start(ticket.clone(), newcomer.clone(), [4; 16], peer.device_id(), [1; 32], NOW);
    proven(&mut joiner, ticket, newcomer);
    let bytes = body.len() as u32;
    let mut stream = Message::Roster { entries, bytes }.encode();
    stream.extend(Message::Entries(body).encode());
    stream.extend(Message::Admitted(admit).encode());
    match joiner.handle(JoinerInput::Bytes(&stream), NOW).pop() {
        Some(JoinerOutput::Finished(how)) => how,
        other => panic!("{other:?}"),
    }
}

fn pack(items: &[RosterItem]) -> (u32, Vec<u8>) {
    let mut body = Vec::new();
    assert!(items.iter().all(|i| i.write(&mut body)));
    (items.len() as u32, body)
}

struct Scene {
    village: Village,
    founder: Identity,
    ticket: TicketText,
    ana: Identity,
    record: SignedJoinRecord,
}

fn scene() -> Scene {
    let (village, founder, ticket, ana) = setting();
    let record = join_record(&ticket, &ana, [4; 16]);
    Scene { village, founder, ticket, ana, record }
}

impl Scene {
    fn show_from(
        &self,
        peer: &Identity,
        items: &[RosterItem],
        admit: EntryId,
    ) -> Result<Box<Joined>, JoinerError> {
        show_bytes(&self.ticket, &self.ana, peer, pack(items), admit)
    }

    fn fault(&self, admit: EntryId) -> RosterFault {
        self.fault_of(&self.village.items, admit)
    }

    fn fault_of(&self, items: &[RosterItem], admit: EntryId) -> RosterFault {
        let how = self.show_from(&self.founder, items, admit);
        let Err(JoinerError::Roster(fault)) = how else { panic!("{how:?}") };
        fault
    }
}

#[test]
fn the_truth_is_believed_in_any_order_and_with_repetitions() {
    let mut s = scene();
    let admit = s.village.publish(&s.founder, &s.record, None);
    s.village.items.reverse();
    let first = s.village.items[0].clone();
    s.village.items.push(first);
    let joined = s.show_from(&s.founder, &s.village.items, admit).unwrap();
    assert_eq!(joined.entries.len(), s.village.items.len() - 1);
}

#[test]
fn a_foreign_roster() {
    let s = scene();
    let other = Village::found(&person(2));
    let genesis = other.community.genesis();
    assert_eq!(s.fault_of(&other.items, genesis), RosterFault::Foreign(genesis));
    assert_eq!(
        s.fault_of(&other.items[1..], genesis),
        RosterFault::Foreign(other.items[1].verified.id())
    );
}

#[test]
fn a_roster_without_its_beginning_or_from_before_the_ticket() {
    let mut s = scene();
    let admit = s.village.publish(&s.founder, &s.record, None);
    assert_eq!(s.fault_of(&s.village.items[1..], admit), RosterFault::NoGenesis);
    let without = |id: EntryId| -> Vec<RosterItem> {
        s.village.items.iter().filter(|i| i.verified.id() != id).cloned().collect()
    };
    assert_eq!(s.fault_of(&without(s.ticket.ticket()), admit), RosterFault::NoTicket);
    // A past in which something before the ticket never happened.
    let epoch = s.village.epoch_entry;
    let fault = s.fault_of(&without(epoch), admit);
    assert!(
        matches!(&fault, RosterFault::TicketAncestry(missing) if missing.contains(&epoch)),
        "{fault:?}"
    );
    // The ticket's header came without what it says.
    let mut hollow = s.village.items.clone();
    for item in &mut hollow {
        if item.verified.id() == s.ticket.ticket() {
            item.payload = None;
        }
    }
    assert_eq!(s.fault_of(&hollow, admit), RosterFault::NoTicket);
}

#[test]
fn a_peer_that_is_no_member_itself() {
    let mut s = scene();
    let admit = s.village.publish(&s.founder, &s.record, None);
    let how = s.show_from(&person(66), &s.village.items, admit);
    assert_eq!(how.unwrap_err(), RosterFault::PeerNotMember.into());
    // Nor by entries of its own making.
    let mallory = person(66);
    let record = join_record(&s.ticket, &mallory, [6; 16]);
    s.village.admission(&mallory, &record);
    let how = s.show_from(&mallory, &s.village.items, admit);
    assert_eq!(how.unwrap_err(), RosterFault::PeerNotMember.into());
}

#[test]
fn a_forged_admission() {
    let mut s = scene();
    let before = s.village.items.clone();
    // By nobody.
    let nobody = s.village.admission(&person(66), &s.record);
    assert_eq!(s.fault(nobody), RosterFault::NotAdmitted);
    // Of somebody else.
    s.village.items = before.clone();
    let bo = person(10);
    let other = s.village.publish(&s.founder, &join_record(&s.ticket, &bo, [4; 16]), None);
    assert_eq!(s.fault(other), RosterFault::NotAdmitted);
    // With a record that the newcomer did not make: another nonce, signed with the ticket alone.
    s.village.items = before.clone();
    let forged = {
        let mut record = s.record.record.clone();
        record.nonce = [5; 16];
        record.sign(&person(66).device, Some(s.ticket.secret().as_bytes()))
    };
    let entry = s.village.admission(&s.founder, &forged);
    assert_eq!(s.fault(entry), RosterFault::NotAdmitted);
    // None at all, by the id of something that counts, or of nothing.
    s.village.items = before;
    assert_eq!(s.fault(s.village.community.genesis()), RosterFault::NotAdmitted);
    s.village.publish(&s.founder, &s.record, None);
    assert_eq!(s.fault(s.village.community.genesis()), RosterFault::NotAdmitted);
    assert_eq!(s.fault(EntryId::new([7; 32])), RosterFault::NotAdmitted);
    // That of somebody else, where both count.
    let second = s.village.ticket(&s.founder, 51, 1, None);
    let other = s.village.publish(&s.founder, &join_record(&second, &bo, [4; 16]), None);
    assert!(s.village.roster().verdict(&other).unwrap().counts());
    assert_eq!(s.fault(other), RosterFault::NotAdmitted);
}

#[test]
fn no_seal_or_one_that_does_not_open() {
    let mut s = scene();
    let admit = s.village.admission(&s.founder, &s.record);
    assert_eq!(s.fault(admit), RosterFault::NoSeal);
    // To another's key.
    let mut wrong = s.village.clone();
    wrong.seal(&s.founder, &s.ana.device_id(), person(10).sealing.public());
    assert_eq!(s.fault_of(&wrong.items, admit), RosterFault::NoSeal);
    // Of another key than the epoch's.
    let mut wrong = s.village.clone();
    let key = lanai_crdt::seal::EpochKey::from_bytes(&[1; 32]);
    let device = s.ana.device_id();
    let sealed = lanai_crdt::seal::seal_to_device(
        &s.ana.sealing.public(),
        &device,
        &key,
        &mut crate::random::OsRandom,
    )
    .unwrap();
    let part = lanai_crdt::payload::DeviceSeal {
        device: (*device.as_bytes()).into(),
        sealed: sealed.into(),
    };
    let epoch = (*wrong.key.id().as_bytes()).into();
    let body = Body::Seal(lanai_crdt::payload::Seal { epoch, seals: vec![part] });
    wrong.write(&s.founder, &[wrong.epoch_entry], &body);
    assert_eq!(s.fault_of(&wrong.items, admit), RosterFault::NoSeal);
    // A bad seal does not stand in the way of a good one.
    wrong.seal(&s.founder, &device, s.ana.sealing.public());
    assert!(s.show_from(&s.founder, &wrong.items, admit).is_ok());
}

#[test]
fn altered_entries() {
    let mut s = scene();
    let admit = s.village.publish(&s.founder, &s.record, None);
    let (entries, body) = pack(&s.village.items);
    let show = |body: Vec<u8>| show_bytes(&s.ticket, &s.ana, &s.founder, (entries, body), admit);
    assert!(show(body.clone()).is_ok());
    for byte in 0..body.len() {
        let mut altered = body.clone();
        altered[byte] ^= 1 << (byte % 8);
        match show(altered).unwrap_err() {
            JoinerError::Frame(_)
            | JoinerError::Roster(
                RosterFault::NotAuthentic { .. }
                | RosterFault::Foreign(_)
                | RosterFault::Payload(_)
                | RosterFault::Count,
            ) => {}
            other => panic!("byte {byte}: {other:?}"),
        }
    }
    for n in 0..body.len() {
        assert!(show(body[..n].to_vec()).is_err(), "cut at {n}");
    }
}

#[test]
fn other_counts_than_announced() {
    let mut s = scene();
    let admit = s.village.publish(&s.founder, &s.record, None);
    let (entries, body) = pack(&s.village.items);
    let show = |entries, body| {
        show_bytes(&s.ticket, &s.ana, &s.founder, (entries, body), admit).unwrap_err()
    };
    assert_eq!(show(entries + 1, body.clone()), RosterFault::Count.into());
    assert_eq!(show(entries - 1, body.clone()), RosterFault::Count.into());
    assert_eq!(
        show(0, body.clone()),
        RosterFault::Size { entries: 0, bytes: body.len() as u32 }.into()
    );

    let start = || {
        let (mut joiner, _) = Joiner::start(
            s.ticket.clone(),
            s.ana.clone(),
            [4; 16],
            s.founder.device_id(),
            [1; 32],
            NOW,
        );
        proven(&mut joiner, &s.ticket, &s.ana);
        joiner
    };
    let last = |mut out: Vec<JoinerOutput>| match out.pop() {
        Some(JoinerOutput::Finished(Err(error))) => error,
        other => panic!("{other:?}"),
    };
    for (entries, bytes) in [(MAX_ROSTER_ENTRIES + 1, 9), (9, MAX_ROSTER_BYTES + 1), (0, 0)] {
        let huge = Message::Roster { entries, bytes }.encode();
        let error = last(start().handle(JoinerInput::Bytes(&huge), NOW));
        assert_eq!(error, RosterFault::Size { entries, bytes }.into());
    }
    // More bytes than announced, before they are looked at.
    let mut joiner = start();
    joiner.handle(JoinerInput::Bytes(&Message::Roster { entries: 1, bytes: 9 }.encode()), NOW);
    let error =
        last(joiner.handle(JoinerInput::Bytes(&Message::Entries(vec![0; 10]).encode()), NOW));
    assert_eq!(error, RosterFault::Count.into());
    // Out of turn.
    let error = last(start().handle(JoinerInput::Bytes(&Message::Admitted(admit).encode()), NOW));
    assert_eq!(error, JoinerError::Unexpected("ADMITTED"));
}

#[test]
fn a_ticket_text_for_another_ticket_entry() {
    let mut s = scene();
    let other = s.village.ticket(&s.founder, 51, 1, None);
    // Whoever wrote this text mixed the secret of one ticket with the entry of another.
    s.ticket = TicketText::new(
        other.secret().clone(),
        s.village.community,
        s.ticket.ticket(),
        NAME,
        vec![],
    )
    .unwrap();
    assert_eq!(s.fault(EntryId::new([7; 32])), RosterFault::TicketKey);
}

#[test]
fn void_entries_of_members_do_no_harm() {
    let mut s = scene();
    let heads = s.village.roster().frontier().to_vec();
    let void = s.village.write_on(&s.founder, heads, &[], b"no envelope".to_vec());
    let admit = s.village.publish(&s.founder, &s.record, None);
    let joined = s.show_from(&s.founder, &s.village.items, admit).unwrap();
    assert!(joined.entries.iter().any(|i| i.verified.id() == void), "kept and handed on");
    // An entry whose payload the member does not have.
    for item in &mut s.village.items {
        if item.verified.id() == void {
            item.payload = None;
        }
    }
    assert!(s.show_from(&s.founder, &s.village.items, admit).is_ok());
}

#[test]
fn a_ticket_used_in_two_places_leaves_one_pending() {
    let s = scene();
    // The village is split, and each half admits somebody.
    let (mut left, mut right) = (s.village.clone(), s.village.clone());
    let bo = person(10);
    let bo_record = join_record(&s.ticket, &bo, [4; 16]);
    let ana_admit = left.publish(&s.founder, &s.record, None);
    let bo_admit = right.publish(&s.founder, &bo_record, None);
    let mut both = left;
    for item in right.items {
        if !both.items.contains(&item) {
            both.items.push(item);
        }
    }
    let roster = both.roster();
    let pending = |m: MemberId| roster.member(&m).is_some_and(|m| m.pending);
    let ana_waits = pending(s.record.record.member());
    assert_ne!(ana_waits, pending(bo_record.record.member()));
    let (who, record, admit) =
        if ana_waits { (&s.ana, s.record.clone(), ana_admit) } else { (&bo, bo_record, bo_admit) };
    assert_eq!(join_record(&s.ticket, who, [4; 16]), record);
    let how = show_bytes(&s.ticket, who, &s.founder, pack(&both.items), admit);
    assert_eq!(how.unwrap_err(), JoinerError::Pending);
    // Asking again is refused: the use is gone.
    let outcome = Wire::new(&mut both, &s.founder, who, &s.ticket).run();
    assert_eq!(refused(&outcome), Refusal::UsedUp);
}
