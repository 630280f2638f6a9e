//! Devices without the epoch key.

use std::collections::BTreeSet;

use lanai_crdt::payload::{Admit, Body, JoinRecord};

use super::*;

#[test]
fn a_device_admitted_without_a_seal_is_seen_and_any_member_gives_it_one() {
    let mut ana = Node::founder("ana");
    let mut ben = ana.invite("ben");
    assert_eq!(ana.store.lacking_seals(ana.now).unwrap(), BTreeSet::new());

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
    assert_eq!(ben.store.lacking_seals(ben.now).unwrap(), [device].into());
    assert_eq!(ben.store.top_up(&ben.author, ben.now + 1, &mut ben.rng).unwrap().len(), 1);
    assert_eq!(ben.store.lacking_seals(ben.now).unwrap(), BTreeSet::new());
    ana.pull(&ben);
    assert_eq!(ana.store.lacking_seals(ana.now).unwrap(), BTreeSet::new());
    let note = ana.note("Can you read this?", "It is sealed.");

    let cleo = cleo.join(&ben);
    cleo.pull(&ana);
    cleo.fold();
    assert!(cleo.store.thread(&note).unwrap().is_some(), "the seal that Ben gave opens it");
}

#[test]
fn an_old_epoch_is_followed_by_a_new_one_and_newcomers_walk_back() {
    let mut ana = Node::founder("ana");
    let mut ben = ana.invite("ben");
    let first = ana.note("First", "Under the first key.");
    ben.pull(&ana);
    let before = ana.header(&first).epoch;
    let later = ana.now + crate::store::keys::MAX_EPOCH_AGE_MS + 1;

    // Both are cut off from each other when the time comes, and each mints one.
    for node in [&mut ana, &mut ben] {
        assert_eq!(node.store.lacking_seals(later).unwrap().len(), 2);
        assert_eq!(node.store.top_up(&node.author, later, &mut node.rng).unwrap().len(), 1);
        assert_eq!(node.store.lacking_seals(later).unwrap(), BTreeSet::new());
        node.now = later;
    }
    let mine = ana.note("Second", "Under Ana's key.");
    let bens = ben.note("Third", "Under Ben's key.");
    ana.pull(&ben);
    ben.pull(&ana);
    for node in [&ana, &ben] {
        node.store.open_seals(&node.author, later).unwrap();
        node.fold();
    }
    let epochs = [before, ana.header(&mine).epoch, ana.header(&bens).epoch];
    assert!(epochs[0] != epochs[1] && epochs[1] != epochs[2] && epochs[0] != epochs[2]);
    assert_eq!(ana.hash(), ben.hash());
    // Of the two heads both write with the same one.
    let (a, b) = (ana.note("Fourth", "x"), ben.note("Fifth", "y"));
    ana.pull(&ben);
    assert_eq!(ana.header(&a).epoch, ana.header(&b).epoch);

    // One that joins them, so that whoever comes in later opens all.
    assert_eq!(ana.store.top_up(&ana.author, later, &mut ana.rng).unwrap().len(), 1);
    assert_eq!(ana.store.lacking_seals(later).unwrap(), BTreeSet::new());
    let cleo = ana.invite("cleo");
    cleo.pull(&ana);
    cleo.fold();
    for thread in [first, mine, bens, a, b] {
        assert!(cleo.store.thread(&thread).unwrap().is_some(), "{thread:?}");
    }
}
