use std::collections::BTreeSet;
use std::sync::Arc;

use lanai_crdt::id::EntryId;
use lanai_crdt::payload::{Body, SignedJoinRecord};
use lanai_crdt::ticket::{TicketSecret, TicketText};
use proptest::prelude::*;

use super::frame::Message;
use super::*;

mod enrolment;
mod lies;
mod village;

use village::{NAME, NOW, Outcome, Village, Wire, contains, person};

/// A founded village, its founder, a ticket and a newcomer.
fn setting() -> (Village, Identity, TicketText, Identity) {
    let founder = person(1);
    let mut village = Village::found(&founder);
    let ticket = village.ticket(&founder, 50, 1, Some(NOW + 1000));
    (village, founder, ticket, person(9))
}

fn refused(outcome: &Outcome) -> Refusal {
    let Err(JoinerError::Refused(refusal)) = &outcome.joiner else {
        panic!("{:?}", outcome.joiner)
    };
    assert_eq!(outcome.admitter, Some(Err(AdmitterError::Refused(*refusal))));
    assert_eq!(outcome.from_admitter[outcome.from_admitter.len() - 5..], refusal.frame());
    *refusal
}

#[test]
fn a_newcomer_joins() {
    let (mut village, founder, ticket, ana) = setting();
    let outcome = Wire::new(&mut village, &founder, &ana, &ticket).run();
    let joined = outcome.joiner.unwrap();
    let record = join_record(&ticket, &ana, [4; 16]);
    assert_eq!(joined.member, record.record.member());
    assert_eq!(outcome.admitter, Some(Ok(joined.member)));
    assert_eq!(joined.community, village.community);
    assert_eq!(joined.keys.len(), 1);
    assert_eq!(joined.keys[0].expose(), village.key.expose());
    assert_eq!(joined.roster.hash(), village.roster().hash());
    let me = joined.roster.standing(&ana.device_id()).unwrap();
    assert_eq!((me.member, me.enrolled_by), (joined.member, joined.admit));
    let mut items = village.items.clone();
    items.sort_by_key(|i| i.verified.id());
    assert_eq!(joined.entries, items);
    let n = items.len() as u32;
    assert_eq!(
        outcome.progress,
        [
            Progress::Recognised,
            Progress::Receiving { entries: 0, of: n },
            Progress::Receiving { entries: n, of: n },
        ]
    );
}

#[test]
fn any_member_admits() {
    let (mut village, founder, ticket, ana) = setting();
    Wire::new(&mut village, &founder, &ana, &ticket).run().joiner.unwrap();
    let second = village.ticket(&founder, 51, 1, None);
    let bo = person(10);
    let outcome = Wire::new(&mut village, &ana, &bo, &second).run();
    let joined = outcome.joiner.unwrap();
    assert_eq!(village.verified(&joined.admit).header().log.device, ana.device_id());
    assert_eq!(village.roster().members().len(), 3);
}

#[test]
fn who_asks_again_gets_the_same_answer() {
    let (mut village, founder, ticket, ana) = setting();
    let first = Wire::new(&mut village, &founder, &ana, &ticket).run().joiner.unwrap();
    let before = village.items.len();
    // Used up by now, closed, and expired.
    village.write(&founder, &[ticket.ticket()], &Body::TicketClose);
    let mut wire = Wire::new(&mut village, &founder, &ana, &ticket);
    wire.now = NOW + 100_000;
    let again = wire.run().joiner.unwrap();
    assert_eq!((again.member, again.admit), (first.member, first.admit));
    assert_eq!(village.items.len(), before + 1, "only the closing came along");
}

#[test]
fn a_join_cut_at_any_byte_is_begun_again_and_makes_one_member() {
    let (village, founder, ticket, ana) = setting();
    let before = village.items.len();
    let whole = Wire::new(&mut village.clone(), &founder, &ana, &ticket).run();
    let bytes = whole.from_joiner.len() + whole.from_admitter.len();
    let member = whole.joiner.unwrap().member;
    assert!(bytes > 1500, "{bytes}");
    let mut left_behind = BTreeSet::new();
    for cut in 0..bytes {
        let mut village = village.clone();
        // Some are cut a second time, elsewhere.
        let second = (cut % 16 == 0).then_some(bytes - 1 - cut);
        for cut in [Some(cut), second].into_iter().flatten() {
            let mut wire = Wire::new(&mut village, &founder, &ana, &ticket);
            wire.cut = cut;
            let outcome = wire.run();
            assert_eq!(outcome.joiner.unwrap_err(), JoinerError::Closed, "cut at {cut}");
            assert!(village.items.len() <= before + 2);
        }
        // A cut leaves nothing behind but what stands in the village: of those that leave the same
        // there, some need to be taken up again.
        if second.is_some() || left_behind.insert(village.items.len()) {
            let joined = Wire::new(&mut village, &founder, &ana, &ticket).run().joiner.unwrap();
            assert_eq!(joined.member, member);
            assert_eq!(village.admissions(), 1, "cut at {cut}");
            assert_eq!(joined.roster.members().len(), 2);
            assert_eq!(joined.roster.hash(), village.roster().hash());
        }
    }
}

#[test]
fn strangers_learn_nothing() {
    let (mut village, founder, ticket, ana) = setting();
    // The newcomer asks a node of another community.
    let other = person(2);
    let mut elsewhere = Village::found(&other);
    elsewhere.ticket(&other, 60, 1, None);
    let asked = Wire::new(&mut elsewhere, &other, &ana, &ticket).run();
    assert_eq!(refused(&asked), Refusal::Unknown);
    assert_eq!(asked.joiner.as_ref().unwrap_err().next(), Next::AskAnother);
    assert_eq!(asked.from_joiner.len(), 4 + 65);
    let record = join_record(&ticket, &ana, [4; 16]);
    for secret in [
        &village.community.as_bytes()[..],
        ticket.ticket().as_bytes(),
        &ticket.secret().public(),
        ticket.secret().as_bytes(),
        ana.device_id().as_bytes(),
        ana.sealing.public().as_bytes(),
        record.record.member().as_bytes(),
        NAME.as_bytes(),
    ] {
        for part in secret.windows(8.min(secret.len())) {
            assert!(!contains(&asked.from_joiner, part));
        }
    }
    // A stranger asks a member: with another's ticket, with noise.
    let foreign = elsewhere.ticket(&other, 61, 1, None);
    let stranger = person(3);
    let answer = Wire::new(&mut village, &founder, &stranger, &foreign).run();
    assert_eq!(refused(&answer), Refusal::Unknown);
    assert_eq!(answer.from_admitter, [0, 0, 1, 7, 1], "the whole answer");
    // A node that holds the roster and is no member answers the same, whatever it is asked.
    let former = Wire::new(&mut village, &stranger, &ana, &ticket).run();
    assert_eq!(former.from_admitter, answer.from_admitter);
    // Each attempt looks different.
    let challenge = |nonce| {
        let (_, out) =
            Joiner::start(ticket.clone(), ana.clone(), [4; 16], founder.device_id(), nonce, NOW);
        let [JoinerOutput::Send(bytes)] = out.as_slice() else { panic!() };
        bytes.clone()
    };
    let (a, b) = (challenge([1; 32]), challenge([2; 32]));
    assert_eq!(a[..5], b[..5]);
    for part in a[5..].windows(4) {
        assert!(!contains(&b[5..], part) || part == [1; 4] || part == [2; 4]);
    }
}

#[test]
fn a_challenge_for_one_device_is_no_use_at_another() {
    let (mut village, founder, ticket, ana) = setting();
    // A stranger was asked by the newcomer and forwards the challenge to a member.
    let mallory = person(66);
    let mut wire = Wire::new(&mut village, &founder, &ana, &ticket);
    wire.dialled = mallory.device_id();
    assert_eq!(refused(&wire.run()), Refusal::Unknown);

    // A proof made for one newcomer does not convince another.
    let (mut joiner, _) =
        Joiner::start(ticket.clone(), ana, [4; 16], founder.device_id(), [1; 32], NOW);
    let key = ticket.secret().public();
    let tag = admitter_tag(&key, &[1; 32], &[2; 32], &mallory.device_id()).into();
    let proof = Message::Proof { nonce: [2; 32], tag }.encode();
    let out = joiner.handle(JoinerInput::Bytes(&proof), NOW);
    let [JoinerOutput::Finished(Err(error))] = out.as_slice() else { panic!("{out:?}") };
    assert_eq!((error, error.next()), (&JoinerError::FalseProof, Next::AskAnother));
}

#[test]
fn closed_used_up_and_expired_tickets_are_refused_with_the_reason() {
    let (village, founder, ticket, ana) = setting();
    let bo = person(10);

    let mut used_up = village.clone();
    Wire::new(&mut used_up, &founder, &bo, &ticket).run().joiner.unwrap();
    let outcome = Wire::new(&mut used_up, &founder, &ana, &ticket).run();
    assert_eq!(refused(&outcome), Refusal::UsedUp);
    assert_eq!(outcome.joiner.as_ref().unwrap_err().next(), Next::GiveUp);
    assert!(!contains(&outcome.from_admitter, village.community.as_bytes()));

    let mut closed = village.clone();
    closed.write(&founder, &[ticket.ticket()], &Body::TicketClose);
    assert_eq!(refused(&Wire::new(&mut closed, &founder, &ana, &ticket).run()), Refusal::Closed);

    let mut expired = village.clone();
    let mut wire = Wire::new(&mut expired, &founder, &ana, &ticket);
    wire.now = NOW + 1001;
    let outcome = wire.run();
    assert_eq!(refused(&outcome), Refusal::Expired);
    assert!(outcome.joiner.unwrap_err().hint().unwrap().contains("clock"));
    assert_eq!(expired.admissions(), 0);
    let mut wire = Wire::new(&mut expired, &founder, &ana, &ticket);
    wire.now = NOW + 1000;
    wire.run().joiner.unwrap();
}

#[test]
fn a_device_of_one_member_cannot_become_another() {
    let (mut village, founder, ticket, ana) = setting();
    Wire::new(&mut village, &founder, &ana, &ticket).run().joiner.unwrap();
    let second = village.ticket(&founder, 51, 1, None);
    let outcome = Wire::new(&mut village, &founder, &ana, &second).run();
    assert_eq!(refused(&outcome), Refusal::DeviceTaken);
    // The same ticket with another nonce is another record, and the ticket has no more uses.
    let mut wire = Wire::new(&mut village, &founder, &ana, &ticket);
    wire.record_nonce = [5; 16];
    assert_eq!(refused(&wire.run()), Refusal::UsedUp);
}

/// Plays a newcomer that shows this record, and gives the member's last output.
fn show_record(
    village: &Village,
    newcomer: &Identity,
    key: [u8; 32],
    record: &[u8],
) -> AdmitterOutput {
    let own = person(1).device_id();
    let mut admitter =
        Admitter::new(own, newcomer.device_id(), Arc::new(village.roster()), [2; 32], NOW);
    let tag = joiner_tag(&key, &[1; 32], &own).into();
    let challenge = Message::Challenge { nonce: [1; 32], tag }.encode();
    let out = admitter.handle(AdmitterInput::Bytes(&challenge), NOW);
    let [AdmitterOutput::Send(proof)] = out.as_slice() else { panic!("{out:?}") };
    let want = admitter_tag(&key, &[1; 32], &[2; 32], &newcomer.device_id());
    assert_eq!(proof[4 + 32..], *want.as_bytes());
    let mut frame = vec![0, (record.len() >> 8) as u8, record.len() as u8, 3];
    frame.extend_from_slice(record);
    admitter.handle(AdmitterInput::Bytes(&frame), NOW).pop().unwrap()
}

#[test]
fn an_altered_record_is_refused() {
    let (mut village, founder, ticket, ana) = setting();
    let key = ticket.secret().public();
    let good = join_record(&ticket, &ana, [4; 16]).encode();
    assert!(matches!(
        show_record(&village, &ana, key, &good),
        AdmitterOutput::Admit { known: None, .. }
    ));
    let bad = AdmitterOutput::Finished(Err(AdmitterError::Refused(Refusal::BadRecord)));
    for byte in 0..good.len() {
        let mut altered = good.clone();
        altered[byte] ^= 1 << (byte % 8);
        assert_eq!(show_record(&village, &ana, key, &altered), bad, "byte {byte}");
    }
    // Another's record, taken from the roster or the wire.
    assert_eq!(show_record(&village, &person(10), key, &good), bad);
    // A record for another ticket of this community.
    let second = village.ticket(&founder, 51, 1, None);
    let other = join_record(&second, &ana, [4; 16]).encode();
    assert_eq!(show_record(&village, &ana, key, &other), bad);
    assert!(matches!(
        show_record(&village, &ana, key, &good[..271]),
        AdmitterOutput::Finished(Err(AdmitterError::Frame(FrameError::Record(_))))
    ));
}

#[test]
fn who_knows_only_the_public_half_is_told_nothing_of_the_ticket() {
    let (mut village, founder, ticket, ana) = setting();
    village.write(&founder, &[ticket.ticket()], &Body::TicketClose);
    let key = ticket.secret().public();
    let forged: SignedJoinRecord = {
        let record = join_record(&ticket, &ana, [4; 16]).record;
        record.sign(&ana.device, Some(&[99; 32]))
    };
    assert_eq!(
        show_record(&village, &ana, key, &forged.encode()),
        AdmitterOutput::Finished(Err(AdmitterError::Refused(Refusal::BadRecord)))
    );
    let honest = join_record(&ticket, &ana, [4; 16]).encode();
    assert_eq!(
        show_record(&village, &ana, key, &honest),
        AdmitterOutput::Finished(Err(AdmitterError::Refused(Refusal::Closed)))
    );
}

#[test]
fn a_large_roster_comes_in_frames() {
    let (mut village, founder, ticket, ana) = setting();
    // Chained by hand: to fold the roster for each would take its square.
    let mut heads = village.roster().frontier().to_vec();
    for n in 0..400u32 {
        let mut seed = [77; 32];
        seed[..4].copy_from_slice(&n.to_be_bytes());
        let key = TicketSecret::from_bytes(seed).public();
        let body = Body::Ticket(lanai_crdt::payload::Ticket {
            key: key.into(),
            role: lanai_crdt::payload::Role::Member,
            uses: 1,
            expires: None,
        });
        let blob = lanai_crdt::envelope::encode_clear(&lanai_crdt::payload::encode(&body).unwrap())
            .unwrap();
        heads = vec![village.write_on(&founder, heads, &[], blob)];
    }
    let outcome = Wire::new(&mut village, &founder, &ana, &ticket).run();
    let joined = outcome.joiner.unwrap();
    assert_eq!(joined.entries.len(), village.items.len());
    assert_eq!(joined.roster.hash(), village.roster().hash());
    let mut bytes = outcome.from_admitter.as_slice();
    let mut frames = 0;
    while let [a, b, c, kind, rest @ ..] = bytes {
        let n = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        assert!(n + 4 <= 64 * 1024);
        frames += usize::from(*kind == 5);
        bytes = &rest[n..];
    }
    assert!(frames >= 4, "{frames}");
}

#[test]
fn every_step_has_a_deadline() {
    let (village, founder, ticket, ana) = setting();
    let start =
        || Joiner::start(ticket.clone(), ana.clone(), [4; 16], founder.device_id(), [1; 32], NOW).0;
    let mut joiner = start();
    assert!(joiner.handle(JoinerInput::Tick, NOW + STEP_MS - 1).is_empty());
    let out = joiner.handle(JoinerInput::Tick, NOW + STEP_MS);
    assert!(matches!(out[..], [JoinerOutput::Finished(Err(JoinerError::TimedOut))]));
    assert!(joiner.handle(JoinerInput::Bytes(&[1, 2, 3]), NOW).is_empty(), "over is over");
    // A clock set back and on again counts only what passes.
    let mut joiner = start();
    assert!(joiner.handle(JoinerInput::Tick, 0).is_empty());
    assert!(joiner.handle(JoinerInput::Tick, STEP_MS - 1).is_empty());
    assert_eq!(joiner.handle(JoinerInput::Tick, STEP_MS).len(), 1);

    let roster = Arc::new(village.roster());
    let own = founder.device_id();
    let new = || Admitter::new(own, ana.device_id(), roster.clone(), [2; 32], NOW);
    let mut admitter = new();
    assert_eq!(
        admitter.handle(AdmitterInput::Tick, NOW + STEP_MS),
        [AdmitterOutput::Finished(Err(AdmitterError::TimedOut))]
    );
    // One byte now and then does not help.
    let mut admitter = new();
    for n in 1..4 {
        assert!(admitter.handle(AdmitterInput::Bytes(&[0]), NOW + n * STEP_MS / 4).is_empty());
    }
    assert_eq!(admitter.handle(AdmitterInput::Tick, NOW + STEP_MS).len(), 1);
}

/// An admitter that has asked for the admission.
fn waiting_for_the_store() -> Admitter {
    let (village, founder, ticket, ana) = setting();
    let own = founder.device_id();
    let mut admitter =
        Admitter::new(own, ana.device_id(), Arc::new(village.roster()), [2; 32], NOW);
    let tag = joiner_tag(&ticket.secret().public(), &[1; 32], &own).into();
    let challenge = Message::Challenge { nonce: [1; 32], tag }.encode();
    admitter.handle(AdmitterInput::Bytes(&challenge), NOW);
    let record = Message::Record(Box::new(join_record(&ticket, &ana, [4; 16]))).encode();
    let out = admitter.handle(AdmitterInput::Bytes(&record), NOW);
    assert!(matches!(out[..], [AdmitterOutput::Admit { .. }]));
    admitter
}

#[test]
fn a_store_that_fails_is_said_so() {
    let internal = |out: Vec<AdmitterOutput>| {
        assert_eq!(
            out,
            [
                AdmitterOutput::Send(Refusal::Internal.frame()),
                AdmitterOutput::Finished(Err(AdmitterError::Refused(Refusal::Internal))),
            ]
        );
    };
    internal(waiting_for_the_store().handle(AdmitterInput::Refused(Refusal::Internal), NOW));
    internal(waiting_for_the_store().handle(AdmitterInput::Tick, NOW + ADMISSION_MS));
    let admit = EntryId::new([1; 32]);
    let none = AdmitterInput::Admitted { admit, entries: 0, bytes: 0 };
    internal(waiting_for_the_store().handle(none, NOW));
    let (village, ..) = setting();
    let sized = |entries, bytes| {
        let mut admitter = waiting_for_the_store();
        admitter.handle(AdmitterInput::Admitted { admit, entries, bytes }, NOW);
        let items = village.items[..2].to_vec();
        admitter.handle(AdmitterInput::Entries(items), NOW)
    };
    let two: u32 = village.items[..2].iter().map(|i| i.encoded_bytes() as u32).sum();
    internal(sized(1, two));
    internal(sized(2, two + 1));
    internal(sized(3, two - 1));
    assert_eq!(sized(2, two).len(), 3);
    assert!(matches!(sized(3, two + 100)[1], AdmitterOutput::WantEntries { from: 2 }));
    let busy = waiting_for_the_store().handle(AdmitterInput::Refused(Refusal::Busy), NOW);
    assert_eq!(busy[0], AdmitterOutput::Send(Refusal::Busy.frame()));
    // A newcomer that goes on talking is cut off.
    let talk = waiting_for_the_store()
        .handle(AdmitterInput::Bytes(&Message::Admitted(admit).encode()), NOW);
    assert_eq!(talk, [AdmitterOutput::Finished(Err(AdmitterError::Unexpected("ADMITTED")))]);
}

#[test]
fn other_versions_are_told_apart() {
    let (village, founder, _, ana) = setting();
    let roster = Arc::new(village.roster());
    let mut admitter = Admitter::new(founder.device_id(), ana.device_id(), roster, [2; 32], NOW);
    let out = admitter.handle(AdmitterInput::Bytes(&[0, 0, 3, 1, 2, 0, 0]), NOW);
    assert_eq!(out[0], AdmitterOutput::Send(Refusal::Version.frame()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn random_bytes_never_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..300), kind in 1u8..9, at in 0usize..4,
    ) {
        let (village, founder, ticket, ana) = setting();
        let own = founder.device_id();
        let framed = [&[0, (bytes.len() >> 8) as u8, bytes.len() as u8, kind], &bytes[..]].concat();
        let mut admitter =
            Admitter::new(own, ana.device_id(), Arc::new(village.roster()), [2; 32], NOW);
        let tag = joiner_tag(&ticket.secret().public(), &[1; 32], &own).into();
        if at > 1 {
            let challenge = Message::Challenge { nonce: [1; 32], tag }.encode();
            admitter.handle(AdmitterInput::Bytes(&challenge), NOW);
        }
        let noise = if at % 2 == 0 { &bytes } else { &framed };
        let out = admitter.handle(AdmitterInput::Bytes(noise), NOW);
        let admitted = out.iter().any(|o| matches!(o, AdmitterOutput::Admit { .. }));
        prop_assert!(!admitted);

        let (mut joiner, _) = Joiner::start(ticket.clone(), ana.clone(), [4; 16], own, [1; 32], NOW);
        if at > 1 {
            lies::proven(&mut joiner, &ticket, &ana);
        }
        if at > 2 {
            let roster = Message::Roster { entries: 5, bytes: 300 }.encode();
            joiner.handle(JoinerInput::Bytes(&roster), NOW);
        }
        let out = joiner.handle(JoinerInput::Bytes(noise), NOW);
        let joined = out.iter().any(|o| matches!(o, JoinerOutput::Finished(Ok(_))));
        prop_assert!(!joined);
    }
}
