//! A member shows its enrolment to one that does not know it.

use super::*;
use lanai_crdt::id::DeviceId;
use lanai_crdt::roster::{Roster, RosterEntry};

/// Ana, Ben and Cleo; the village as Ana knew it before Ben admitted Cleo, and as it is; and by what
/// Cleo is in.
fn setting() -> ([Identity; 3], Village, Village, EntryId) {
    let [ana, ben, cleo] = [person(1), person(2), person(3)];
    let mut village = Village::found(&ana);
    let ticket = village.ticket(&ana, 50, 5, None);
    Wire::new(&mut village, &ana, &ben, &ticket).run().joiner.unwrap();
    let before = village.clone();
    let second = village.ticket(&ben, 51, 1, None);
    let joined = Wire::new(&mut village, &ben, &cleo, &second).run().joiner.unwrap();
    ([ana, ben, cleo], before, village, joined.admit)
}

fn admitter(own: &Identity, peer: &Identity, roster: Roster) -> Admitter {
    Admitter::new(own.device_id(), peer.device_id(), Arc::new(roster), [7; 32], NOW)
}

fn feed(machine: &mut Admitter, bytes: &[u8]) -> Vec<AdmitterOutput> {
    bytes.chunks(1_000).flat_map(|b| machine.handle(AdmitterInput::Bytes(b), NOW)).collect()
}

fn pushed(outputs: Vec<AdmitterOutput>) -> Vec<Pushed> {
    match <[AdmitterOutput; 1]>::try_from(outputs) {
        Ok([AdmitterOutput::Enrol(pushed)]) => pushed,
        other => panic!("{other:?}"),
    }
}

fn vouched_by(village: &Village, peer: &DeviceId, pushed: Vec<Pushed>) -> Option<Vec<EntryId>> {
    let roster = village.roster();
    let good = vouched(village.community, peer, |d| roster.standing(d).is_some(), pushed)?;
    Some(good.into_iter().map(|(verified, _)| verified.id()).collect())
}

#[test]
fn a_member_nobody_told_of_is_known_by_what_it_shows() {
    let ([ana, _, cleo], before, village, admit) = setting();
    assert_eq!(before.roster().standing(&cleo.device_id()), None);
    let mut machine = admitter(&ana, &cleo, before.roster());
    let frames = enrolment_frames(&village.items, &admit);
    let pushed = pushed(feed(&mut machine, &frames.concat()));
    let roster = before.roster();
    let good =
        vouched(village.community, &cleo.device_id(), |d| roster.standing(d).is_some(), pushed)
            .unwrap();
    // What Ana had, and what came.
    let entries: Vec<RosterEntry> = before
        .items
        .iter()
        .map(|i| (&i.verified, i.payload.as_ref().unwrap()))
        .chain(good.iter().map(|(v, p)| (v, p)))
        .map(|(verified, payload)| RosterEntry::open(verified, payload).unwrap())
        .collect();
    let standing = Roster::fold(village.community, &entries).standing(&cleo.device_id()).unwrap();
    assert_eq!(standing.enrolled_by, admit);

    let input = AdmitterInput::Enrolled { member: standing.member, admit };
    let mut outputs = machine.handle(input, NOW);
    assert_eq!(outputs.pop(), Some(AdmitterOutput::Finished(Ok(standing.member))));
    let Some(AdmitterOutput::Send(answer)) = outputs.pop() else { panic!() };
    let mut reader = Answer::default();
    assert_eq!(reader.read(&answer[..20]), Ok(None));
    assert_eq!(reader.read(&answer[20..]), Ok(Some(Ok(admit))));
}

#[test]
fn who_is_not_taken_is_told_nothing_more() {
    let ([ana, _, cleo], before, village, admit) = setting();
    let mut machine = admitter(&ana, &cleo, before.roster());
    feed(&mut machine, &enrolment_frames(&village.items, &admit).concat());
    let outputs = machine.handle(AdmitterInput::Refused(Refusal::Unknown), NOW);
    assert_eq!(outputs[0], AdmitterOutput::Send(Refusal::Unknown.frame()));
    assert_eq!(Answer::default().read(&Refusal::Unknown.frame()), Ok(Some(Err(Refusal::Unknown))));
}

#[test]
fn entries_that_no_member_vouches_for_are_left_out() {
    let ([_, ben, cleo], before, village, admit) = setting();
    let all: Vec<Pushed> = village
        .items
        .iter()
        .map(|i| Pushed {
            signed: i.verified.clone().into_signed(),
            payload: i.payload.clone().unwrap(),
        })
        .collect();
    assert!(vouched_by(&before, &cleo.device_id(), all.clone()).unwrap().contains(&admit));
    // Those entries enrol Cleo and nobody else.
    let outsider = person(66);
    assert_eq!(vouched_by(&before, &outsider.device_id(), all.clone()), None);

    // An outsider admits itself, with the ticket's own key.
    let mut forged = village.clone();
    let ticket = forged.ticket(&outsider, 77, 9, None);
    let own = forged.admission(&outsider, &join_record(&ticket, &outsider, [4; 16]));
    let forged: Vec<Pushed> = forged
        .items
        .iter()
        .map(|i| Pushed {
            signed: i.verified.clone().into_signed(),
            payload: i.payload.clone().unwrap(),
        })
        .collect();
    assert_eq!(vouched_by(&before, &outsider.device_id(), forged.clone()), None);
    // Nor does it slip in beside what is good.
    assert!(!vouched_by(&before, &cleo.device_id(), forged).unwrap().contains(&own));

    // Another community.
    let elsewhere = Village::found(&ben);
    assert_eq!(vouched_by(&elsewhere, &cleo.device_id(), all.clone()), None);

    // A payload, or a signature, that is not the entry's.
    for spoil in [
        |p: &mut Pushed| p.payload[0] ^= 1,
        |p: &mut Pushed| {
            let bytes = p.signed.bytes().to_vec();
            let mut signature = *p.signed.signature().unwrap();
            signature.0[5] ^= 1;
            p.signed = lanai_crdt::entry::Signed::decode(bytes, Some(signature)).unwrap();
        },
    ] {
        let mut bad = all.clone();
        bad.iter_mut().filter(|p| p.signed.id() == admit).for_each(spoil);
        assert_eq!(vouched_by(&before, &cleo.device_id(), bad), None);
    }
}

#[test]
fn a_large_roster_is_cut_to_what_is_nearest() {
    let ([ana, ben, cleo], before, mut village, _) = setting();
    let padding = village.items[0].encoded_bytes();
    while (village.items.len() - before.items.len()) * padding <= 2 * MAX_ENROLMENT_BYTES {
        village.ticket(&ben, 90, 1, None);
    }
    let last = village.items.last().unwrap().verified.id();
    let frames = enrolment_frames(&village.items, &last);
    let bodies: usize = frames.iter().map(|f| f.len() - 4).sum();
    assert!(bodies <= MAX_ENROLMENT_BYTES && bodies > MAX_ENROLMENT_BYTES - 2_000, "{bodies}");
    assert!(frames.iter().all(|f| f.len() <= MAX_BODY_BYTES + 4));
    let mut machine = admitter(&ana, &cleo, before.roster());
    let pushed = pushed(feed(&mut machine, &frames.concat()));
    assert_eq!(pushed[0].signed.id(), last);

    // More than that is refused before it is kept.
    let mut machine = admitter(&ana, &cleo, before.roster());
    let body = &frames[..frames.len() - 1].concat();
    let outputs: Vec<_> = [body, body].iter().flat_map(|b| feed(&mut machine, b)).collect();
    assert_eq!(
        outputs.last(),
        Some(&AdmitterOutput::Finished(Err(AdmitterError::Refused(Refusal::Unknown))))
    );
}

#[test]
fn a_push_that_stops_half_way_is_given_up() {
    let ([ana, _, cleo], before, village, admit) = setting();
    let bytes = enrolment_frames(&village.items, &admit).concat();
    let mut machine = admitter(&ana, &cleo, before.roster());
    assert_eq!(feed(&mut machine, &bytes[..bytes.len() - 4]), []);
    let outputs = machine.handle(AdmitterInput::Tick, NOW + STEP_MS);
    assert_eq!(outputs, [AdmitterOutput::Finished(Err(AdmitterError::TimedOut))]);
}
