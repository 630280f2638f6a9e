//! What is read before all that it stands on is here.

use std::collections::HashSet;

use lanai_crdt::payload::{GrantRole, Pin, Remove, Role, Subject};
use proptest::prelude::*;

use super::exchange::busy_community;
use super::*;

/// All entries of `from` but some.
fn all_but(from: &Node, some: &[EntryId]) -> Vec<Incoming> {
    let all = from.everything();
    all.into_iter().filter(|i| !some.contains(&i.signed.id())).collect()
}

#[test]
fn the_classes_that_are_read_early_are_the_same_in_sql() {
    use lanai_crdt::entry::Class;
    let early: Vec<String> = Class::ALL
        .into_iter()
        .filter(|c| crate::store::early::is_early_class(Some(*c)))
        .map(|c| c.number().to_string())
        .collect();
    assert_eq!(crate::store::early::EARLY_CLASSES, format!("({})", early.join(", ")));
}

#[test]
fn the_newest_are_read_first_and_folded_once() {
    let mut a = Node::founder("ana");
    let thread = a.note("t", "root");
    let ids: Vec<EntryId> = (0..6).map(|i| a.reply(thread, &i.to_string())).collect();
    let d = a.invite("dov");
    let (gap, rest): (Vec<_>, Vec<_>) =
        a.everything().into_iter().partition(|i| ids[..3].contains(&i.signed.id()));
    d.ingest(rest);
    d.fold();
    assert_eq!(d.texts(&thread), ["root", "3", "4", "5"]);
    let query = SearchQuery { text: "5".into(), limit: 9, ..SearchQuery::default() };
    assert_eq!(d.store.search(&query).unwrap().hits.len(), 1, "and can be searched");
    d.ingest(gap);
    assert_eq!(d.store.stats().unwrap().waiting_for_past, 0);
    assert_eq!(d.store.stats().unwrap().unfolded, 3, "what was read right is not folded again");
    d.fold();
    a.pull(&d);
    assert_eq!(d.hash(), a.hash());
    assert!(d.store.rebuild(|_| ()).unwrap().entries > 0);
    assert_eq!(d.hash(), a.hash());
    d.assert_clean();
}

#[test]
fn a_long_run_is_let_go_when_what_it_waits_for_comes() {
    let mut a = Node::founder("ana");
    let mut b = a.invite("ben");
    let thread = a.note("t", "root");
    b.pull(&a);
    let ids: Vec<EntryId> = (0..20)
        .map(|i| {
            if i == 11 {
                // What the log says from here on was written with a newer roster.
                a.invite("cy");
                b.pull(&a);
            }
            b.reply(thread, &i.to_string())
        })
        .collect();
    a.pull(&b);
    let c = a.invite("dov");
    let all = a.everything();
    let is = |i: &Incoming, which: &[EntryId]| which.contains(&i.signed.id());
    let before = c.store.stats().unwrap().waiting_for_past;
    // The newest come first, in parts; two of them find the one before them waiting.
    for part in [&ids[15..], &ids[14..15], &ids[4..14], &ids[1..4]] {
        c.ingest(all.iter().filter(|i| is(i, part)).cloned().collect());
        assert!(c.store.waits_hold().unwrap());
    }
    assert_eq!(c.store.stats().unwrap().waiting_for_past, before + 19);
    assert!(c.store.holes(9).unwrap().contains(&ids[0]));
    c.fold();
    c.ingest(all);
    assert_eq!(c.store.stats().unwrap().waiting_for_past, 0);
    c.assert_clean();
    c.fold();
    assert_eq!(c.texts(&thread).len(), 21);
    a.pull(&c);
    assert_eq!(a.hash(), c.hash());
}

#[test]
fn who_is_no_member_any_more_shows_nothing_early() {
    let mut a = Node::founder("ana");
    let mut b = a.invite("ben");
    let thread = a.note("t", "root");
    b.pull(&a);
    let gap = b.reply(thread, "one");
    let last = b.reply(thread, "two");
    a.pull(&b);
    let c = a.invite("cy");
    let before = all_but(&a, &[gap]);
    let cut = vec![(*last.as_bytes()).into()];
    let subject = Subject::Member((*b.member().as_bytes()).into());
    a.write(Body::Remove(Remove { subject, cut, recovery: None }), []);
    c.ingest(before);
    c.fold();
    assert_eq!(c.texts(&thread), ["root", "two"]);
    c.ingest(all_but(&a, &[gap]));
    c.fold();
    assert_eq!(c.texts(&thread), ["root"], "the removal takes back what was read early");
    c.ingest(a.everything());
    c.fold();
    assert_eq!(c.texts(&thread), ["root", "one", "two"], "inside of the cut it counts");
    a.pull(&c);
    assert_eq!(c.hash(), a.hash());
}

#[test]
fn the_past_decides_when_it_is_known() {
    let mut a = Node::founder("ana");
    let mut b = a.invite("ben");
    b.pull(&a);
    let thread = a.note("t", "root");
    b.pull(&a);
    let gap = b.reply(thread, "one");
    // A member may not pin, and a lead may.
    b.write(Body::Pin(Pin { on: true, reason: None }), [thread, thread]);
    let member = (*b.member().as_bytes()).into();
    a.write(Body::Role(GrantRole { member, role: Role::Lead, recovery: None }), []);
    a.pull(&b);
    let c = a.invite("cy");
    let pinned = |n: &Node| n.store.thread(&thread).unwrap().unwrap().thread.pinned.is_some();
    c.ingest(all_but(&a, &[gap]));
    c.fold();
    assert!(pinned(&c), "a lead of today, as far as is known");
    c.ingest(a.everything());
    c.fold();
    assert!(!pinned(&c), "a member when it was written");
    a.pull(&c);
    assert_eq!(c.hash(), a.hash());
}

#[test]
fn a_roster_that_grows_with_what_was_missing_is_heard() {
    let mut a = Node::founder("ana");
    let mut b = a.invite("ben");
    b.pull(&a);
    let c = a.invite("cy");
    let (thread, other) = (a.note("t", "root"), a.note("other", "root"));
    let member = (*b.member().as_bytes()).into();
    let grant = a.write(Body::Role(GrantRole { member, role: Role::Lead, recovery: None }), []);
    b.pull(&a);
    // In another thread: nothing new comes to the one with the pin.
    let gap = b.reply(other, "as a lead");
    b.write(Body::Pin(Pin { on: true, reason: None }), [thread, thread]);
    a.pull(&b);
    let pinned = |n: &Node| n.store.thread(&thread).unwrap().unwrap().thread.pinned.is_some();
    c.ingest(all_but(&a, &[grant, gap]));
    c.fold();
    assert!(!pinned(&c), "a member of today, as far as is known");
    // In one transaction he is a lead of today, and was one when it was written.
    c.ingest(a.everything());
    c.fold();
    assert!(pinned(&c));
    a.pull(&c);
    assert_eq!(c.hash(), a.hash());
}

#[test]
fn with_the_same_entries_missing_any_order_gives_one_state() {
    let (a, all) = busy_community();
    let own = a.author.device.device();
    let genesis = a.store.roster_entries().unwrap().iter().map(incoming).next().unwrap();
    let key: [u8; 32] = {
        let conn = rusqlite::Connection::open(&a.place.db).unwrap();
        conn.query_row("SELECT key FROM epoch_keys", [], |r| r.get(0)).unwrap()
    };
    let state = |missing: &HashSet<usize>, order: &[u32], size: usize| {
        let dir = tempfile::tempdir().unwrap();
        let place = place_in(dir.path());
        let mut rng = TestRng::new("receiver");
        let community = a.store.community();
        let first = vec![genesis.clone()];
        let (store, _) =
            Store::create_joined(&place, community, own, first, NOW, &mut rng).unwrap();
        let key = lanai_crdt::seal::EpochKey::from_bytes(&key);
        store.inner.write(Durability::Full, NOW, |ctx| ctx.add_key(&key)).unwrap();
        let mut sequence: Vec<(u32, &Incoming)> = (0..)
            .zip(&all)
            .filter(|(i, _)| !missing.contains(i))
            .map(|(i, entry)| (order[i], entry))
            .collect();
        sequence.sort_by_key(|(at, _)| *at);
        for batch in sequence.chunks(size) {
            let batch: Vec<Incoming> = batch.iter().map(|(_, i)| (*i).clone()).collect();
            store.ingest(batch, &Source::File, NOW).unwrap();
            store.fold_pending(3).unwrap();
            assert!(store.waits_hold().unwrap());
        }
        while store.fold_pending(7).unwrap().left > 0 {}
        assert_eq!(store.check(|_| ()).unwrap().damage, vec![]);
        let folded = store.state_hash().unwrap();
        store.rebuild(|_| ()).unwrap();
        assert_eq!(store.state_hash().unwrap(), folded, "folded anew it is the same");
        folded
    };
    let order = || proptest::collection::vec(any::<u32>(), all.len());
    let missing = proptest::collection::hash_set(1..all.len(), 1..5);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 24,
        ..ProptestConfig::default()
    });
    runner
        .run(&(missing, order(), order(), 1usize..9), |(missing, one, other, size)| {
            prop_assert_eq!(state(&missing, &one, size), state(&missing, &other, 4));
            Ok(())
        })
        .unwrap();
}
