//! What lies outside the cut of a removal, as stores judge it.

use lanai_crdt::payload::{GrantRole, Remove, Role, Subject};

use super::*;

/// Has `of`'s node say that `who` is out, and that what is up to `head` goes on counting.
fn remove(of: &mut Node, who: &Node, head: EntryId) {
    let subject = Subject::Member((*who.member().as_bytes()).into());
    let cut = vec![(*head.as_bytes()).into()];
    of.write(Body::Remove(Remove { subject, cut, recovery: None }), []);
}

#[test]
fn a_head_outside_another_cut_is_judged_once() {
    let mut ana = Node::founder("ana");
    let mut ben = ana.invite("ben");
    let mut cleo = ana.invite("cleo");
    let member = (*cleo.member().as_bytes()).into();
    let grant = GrantRole { member, role: Role::Steward, recovery: None };
    ana.write(Body::Role(grant), []);
    cleo.pull(&ana);
    let first = ben.note("first", "Both stewards have it.");
    let second = ben.note("second", "Ana alone has it when she removes him.");
    let third = ben.note("third", "Nobody has it.");
    // The first two are each the head of a cut, and the second lies outside of the other cut.
    remove(&mut ana, &ben, second);
    remove(&mut cleo, &ben, first);
    cleo.pull(&ana);
    cleo.pull(&ben);
    ana.pull(&ben);
    ana.pull(&cleo);
    // Whenever the roster grows, what is judged by another past than its own is looked at again.
    ana.ticket(1);
    cleo.ingest(ana.everything());
    for node in [&ana, &cleo] {
        // Some dozens of entries: what takes more rounds than this never ends.
        let mut rounds = 0;
        while node.store.fold_pending(100).unwrap().left > 0 {
            rounds += 1;
            assert!(rounds < 100, "entries list each other for folding");
        }
        let counts = |id: &EntryId| node.store.thread(id).unwrap().is_some();
        assert!(counts(&first) && !counts(&second) && !counts(&third));
    }
    assert_eq!(ana.hash(), cleo.hash());
}
