//! Devices without the epoch key.

use std::collections::BTreeSet;

use lanai_crdt::payload::{Admit, Body, JoinRecord};

use super::*;

#[test]
fn a_device_admitted_without_a_seal_is_seen_and_any_member_gives_it_one() {
    let mut ana = Node::founder("ana");
    let mut ben = ana.invite("ben");
    assert_eq!(ana.store.lacking_seals().unwrap(), BTreeSet::new());

    // Ana's node dies after the admission and before the seal.
    let cleo = Newcomer::new("cleo");
    let (ticket, secret) = ana.ticket(1);
    let device = cleo.author.device.device();
    let record = JoinRecord {
        community: ana.store.community(),
        ticket,
        device,
        sealing: *cleo.author.sealing.public().as_bytes(),
        nonce: cleo.nonce,
    };
    let signed = record.sign(&cleo.author.device, Some(&secret));
    ana.write(Body::Admit(Admit { record: signed.encode().into() }), [ticket]);

    ben.pull(&ana);
    assert_eq!(ben.store.lacking_seals().unwrap(), [device].into());
    assert_eq!(ben.store.top_up(&ben.author, ben.now + 1, &mut ben.rng).unwrap().len(), 1);
    assert_eq!(ben.store.lacking_seals().unwrap(), BTreeSet::new());
    ana.pull(&ben);
    assert_eq!(ana.store.lacking_seals().unwrap(), BTreeSet::new());
    let note = ana.note("Can you read this?", "It is sealed.");

    let cleo = cleo.join(&ben);
    cleo.pull(&ana);
    cleo.fold();
    assert!(cleo.store.thread(&note).unwrap().is_some(), "the seal that Ben gave opens it");
}
