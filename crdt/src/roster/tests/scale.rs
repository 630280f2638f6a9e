//! Large and crafted histories: nothing recurses, and nothing grows with the square of the size.

use super::super::testing::*;
use super::super::*;
use crate::payload::{Checkpoint, Role};

fn checkpoint() -> Body {
    Body::Checkpoint(Checkpoint::default())
}

#[test]
fn a_chain_of_ten_thousand() {
    let mut w = World::new(1, InvitePolicy::Members);
    let a = person(0);
    let mut head = w.genesis;
    for _ in 0..10_000 {
        head = w.add(&a, &[head], &[], checkpoint());
    }
    let r = w.fold();
    assert_eq!(r.frontier(), [head]);
    assert!(r.covers(&[head], &w.entries[5000].id));
    assert!(!r.covers(&[w.entries[5000].id], &head));
}

#[test]
fn a_long_line_of_sponsors() {
    let mut w = World::new(1, InvitePolicy::Members);
    let (mut head, mut sponsor) = (w.genesis, person(0));
    for n in 1..300 {
        let t = w.ticket(&sponsor, &[head], n, 1);
        sponsor = person(n);
        head = w.admit(&person(0), &[t], n, t, &sponsor);
    }
    let r = w.fold();
    assert_eq!(r.members().len(), 300);
    assert_eq!(r.members().last().unwrap().devices[0].device, sponsor.device);
}

#[test]
fn ten_thousand_at_once_and_their_joining() {
    let mut w = World::new(1, InvitePolicy::Members);
    let a = person(0);
    let mut layer: Vec<EntryId> =
        (0..8000).map(|_| w.add(&a, &[w.genesis], &[], checkpoint())).collect();
    assert_eq!(w.fold().frontier().len(), 8000);
    while layer.len() > 1 {
        layer = layer
            .chunks(14)
            .map(|c| w.add(&a, &c[..c.len().min(4)], &c[c.len().min(4)..], checkpoint()))
            .collect();
    }
    let r = w.fold();
    assert_eq!(r.frontier(), layer);
    assert!(w.entries.iter().all(|e| r.covers(&layer, &e.id)));
}

#[test]
fn thousands_of_grants_to_one_member() {
    let mut w = World::new(1, InvitePolicy::Members);
    let a = person(0);
    let t = w.ticket(&a, &[w.genesis], 1, 1);
    let admitted = w.admit(&a, &[t], 1, t, &person(1));
    let member = w.member_id(&person(1), t);
    let grants: Vec<EntryId> =
        (0..2000).map(|_| w.grant(&a, &[admitted], member, Role::Lead)).collect();
    let r = w.fold();
    assert_eq!(r.standing(&person(1).device).unwrap().role, Role::Lead);
    assert_eq!(r.standing_in(&grants[1999..], &person(1).device).unwrap().role, Role::Lead);
}
