//! Entries that go from store to store.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use lanai_crdt::clock::Hlc;
use lanai_crdt::entry::{HeaderTail, payload_hash};
use lanai_crdt::id::{EpochRef, LogId, PayloadHash};
use lanai_crdt::payload::{Edit, React, Reaction};

#[test]
fn what_one_writes_the_other_reads() {
    let mut a = Node::founder("ana");
    let thread = a.note("Convoy", "How do I brief one?");
    let mut b = a.invite("bo");
    b.pull(&a);
    let answer = b.reply(thread, "With a sand table.");
    b.write(Body::Edit(Edit { text: "With a sand table, outside.".into() }), [thread, answer]);
    a.pull(&b);
    a.write(Body::React(React { reaction: Reaction::Thanks, on: true }), [thread, answer]);
    b.pull(&a);
    assert_eq!(a.texts(&thread), ["How do I brief one?", "With a sand table, outside."]);
    assert_eq!(a.hash(), b.hash());
    assert_eq!(a.store.set_summary().unwrap().heads.len(), 2);
    let (mut x, mut y) = (a.store.set_summary().unwrap(), b.store.set_summary().unwrap());
    x.heads.sort_unstable();
    y.heads.sort_unstable();
    assert_eq!(x, y);
    assert!(!x.holes && !x.wanted_payloads);
    a.assert_clean();
    b.assert_clean();
}

#[test]
fn a_run_without_signatures_is_vouched_for_by_its_last_entry() {
    let mut a = Node::founder("ana");
    let b = a.invite("bo");
    let thread = a.note("t", "root");
    for i in 0..30 {
        a.reply(thread, &format!("{i}"));
    }
    let all = a.everything();
    let head = a.store.log_heads().unwrap()[0].2;
    let stripped: Vec<Incoming> =
        all.iter().map(|i| if i.signed.id() == head { i.clone() } else { unsigned(i) }).collect();
    // Without the head nobody vouches for anything.
    let headless: Vec<Incoming> =
        stripped.iter().filter(|i| i.signed.id() != head).cloned().collect();
    let report = b.ingest(headless.clone());
    assert_eq!(report.new.len(), 2, "those before a roster entry that is here");
    assert_eq!(report.refused_by_reason()["not-authentic"], report.refused.len());
    assert!(report.refused.len() >= 30);
    // With it, all at once; and in the other order across batches: first the head, then the rest.
    let report = b.ingest(stripped.iter().rev().take(3).cloned().collect());
    assert_eq!((report.new.len(), report.refused.len()), (3, 0));
    assert!(b.store.set_summary().unwrap().holes);
    let report = b.ingest(headless);
    assert_eq!(report.refused, vec![]);
    b.fold();
    assert_eq!(b.texts(&thread).len(), 31);
    assert!(!b.store.set_summary().unwrap().holes);
    b.assert_clean();
    // A signature that comes later is kept.
    let unsigned_before = b.everything().iter().filter(|i| i.signed.signature().is_none()).count();
    assert!(unsigned_before > 20);
    b.ingest(all);
    assert!(b.everything().iter().all(|i| i.signed.signature().is_some()));
}

#[test]
fn every_flipped_bit_is_refused_and_the_neighbour_is_not() {
    let mut a = Node::founder("ana");
    let b = a.invite("bo");
    let thread = a.note("t", "root");
    b.pull(&a);
    let victim = a.reply(thread, "victim");
    let neighbour = a.reply(thread, "neighbour");
    let all = a.store.entries(&[victim, neighbour]).unwrap();
    let (victim, neighbour) = (incoming(&all[0]), incoming(&all[1]));
    let bytes = victim.signed.bytes().to_vec();
    let signature = *victim.signed.signature().unwrap();
    let mut undecodable = 0;
    for bit in 0..bytes.len() * 8 {
        let mut altered = bytes.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        let Ok(signed) = Signed::decode(altered, Some(signature)) else {
            undecodable += 1;
            continue;
        };
        let report = b.ingest(vec![Incoming { signed, payload: victim.payload.clone() }]);
        assert_eq!(
            (report.new.len(), report.refused.len(), report.waiting),
            (0, 1, 0),
            "bit {bit}"
        );
    }
    assert!(undecodable < bytes.len() * 8 / 10);
    // A flipped signature is refused alone; beside a successor that vouches, the header is good.
    let mut wrong = signature;
    wrong.0[5] ^= 4;
    let broken = Incoming {
        signed: Signed::decode(bytes, Some(wrong)).unwrap(),
        payload: victim.payload.clone(),
    };
    assert_eq!(b.ingest(vec![broken.clone()]).refused.len(), 1);
    let mut bad_payload = victim.clone();
    bad_payload.payload.as_mut().unwrap()[30] ^= 1;
    let report = b.ingest(vec![bad_payload, neighbour]);
    assert_eq!(report.new.len(), 2);
    assert_eq!(report.bad_payloads, vec![victim.signed.id()]);
    assert!(b.store.set_summary().unwrap().wanted_payloads);
    assert_eq!(b.store.missing_payloads(9).unwrap(), vec![victim.signed.id()]);
    b.fold();
    assert_eq!(b.texts(&thread), ["root", "neighbour"]);
    // The payload comes later.
    let report = b.ingest(vec![broken]);
    assert_eq!((report.payloads.len(), report.known), (1, 1));
    b.fold();
    assert_eq!(b.texts(&thread), ["root", "victim", "neighbour"]);
    assert_eq!(b.everything().iter().filter(|i| i.signed.clone().verify().is_err()).count(), 0);
    b.assert_clean();
}

#[test]
fn another_community_gets_nothing_in() {
    let mut a = Node::founder("ana");
    let mut z = Node::founder("zoe");
    z.note("t", "x");
    let report = a.ingest(z.everything());
    assert_eq!(report.new.len() + report.waiting, 0);
    assert_eq!(report.refused_by_reason()["other-community"], report.refused.len());
    let before = a.hash();
    // A stranger who signs for this community waits, and goes first when room is short.
    let stranger = stranger_entry(&a, 0, EntryId::ZERO);
    assert_eq!(a.ingest(vec![stranger]).waiting, 1);
    assert_eq!(a.store.stats().unwrap().waiting_for_device, 1);
    assert_eq!(a.hash(), before);
    a.note("t", "y");
}

fn stranger_entry(a: &Node, seq: u64, prev: EntryId) -> Incoming {
    let secret = DeviceSecret::from_bytes(&[99; 32]);
    let blob = vec![1, 2, 3];
    let header = Header {
        class: 2,
        community: a.store.community(),
        log: LogId { device: secret.device(), number: LogNumber([1; 8]) },
        seq,
        prev,
        time: Hlc::from_millis(NOW),
        epoch: EpochRef([9; 16]),
        payload_hash: payload_hash(&blob),
        payload_len: 3,
        tail: HeaderTail::V1 { heads: vec![], refs: vec![] },
    };
    let verified = secret.sign(&header);
    incoming(&StoredEntry { verified, payload: Some(blob) })
}

#[test]
fn the_waiting_room_is_capped_the_oldest_out_first() {
    let a = Node::founder("ana");
    let mut prev = EntryId::ZERO;
    let mut all = Vec::new();
    for seq in 0..3_000 {
        let entry = stranger_entry(&a, seq, prev);
        prev = entry.signed.id();
        all.push(entry);
    }
    let first = all[0].signed.id();
    let report = a.ingest(all);
    assert_eq!((report.waiting, report.dropped), (3_000, 500), "a quarter is one peer's share");
    assert_eq!(a.store.stats().unwrap().waiting_for_device, 2_500);
    let again = a.ingest(vec![stranger_entry(&a, 0, EntryId::ZERO)]);
    assert_eq!((again.waiting, again.dropped), (1, 1), "{first} had gone");
}

#[test]
fn unknown_devices_wait_and_count_once_the_admission_is_here() {
    let mut a = Node::founder("ana");
    let thread = a.note("t", "root");
    let other = a.invite("other");
    other.pull(&a);
    let mut b = a.invite("bo");
    b.pull(&a);
    let answer = b.reply(thread, "by somebody unknown");
    let of_b: Vec<Incoming> = b
        .everything()
        .into_iter()
        .filter(|i| i.signed.header().log.device == b.store.own_device())
        .collect();
    let report = other.ingest(of_b.clone());
    assert_eq!((report.waiting, report.new.len()), (of_b.len(), 0));
    let before = other.hash();
    // The admission comes without its ticket first: nobody is enrolled by that.
    let roster: Vec<Incoming> = a.store.roster_entries().unwrap().iter().map(incoming).collect();
    let (admit, rest) = roster.split_last().unwrap();
    let report = other.ingest(vec![admit.clone()]);
    assert_eq!(report.new.len(), 1);
    assert_eq!(other.store.stats().unwrap().waiting_for_device, of_b.len() as u64);
    let report = other.ingest(rest.to_vec());
    assert!(report.roster_changed && report.new.contains(&answer));
    assert_eq!(other.store.stats().unwrap().waiting_for_device, 0);
    assert_ne!(other.hash(), before);
    assert_eq!(other.texts(&thread), ["root", "by somebody unknown"]);
    b.pull(&other);
    assert_eq!(other.hash(), b.hash());
}

#[test]
fn what_waits_vouches_for_what_comes_before_it() {
    let mut a = Node::founder("ana");
    let thread = a.note("t", "root");
    let other = a.invite("other");
    let mut b = a.invite("bo");
    b.pull(&a);
    let answer = b.reply(thread, "by somebody unknown");
    let mut of_b = b.everything();
    of_b.retain(|i| i.signed.header().log.device == b.store.own_device());
    of_b.sort_by_key(|i| i.signed.header().seq);
    let last = of_b.pop().unwrap();
    assert_eq!(other.ingest(vec![last]).waiting, 1);
    let before: Vec<Incoming> = of_b.iter().map(unsigned).collect();
    let report = other.ingest(before);
    assert_eq!((report.waiting, report.refused), (of_b.len(), vec![]));
    let roster: Vec<Incoming> = a.store.roster_entries().unwrap().iter().map(incoming).collect();
    assert!(other.ingest(roster).new.contains(&answer));
}

#[test]
fn an_own_admission_lets_in_who_waits() {
    let mut a = Node::founder("ana");
    let thread = a.note("t", "root");
    let mut m = a.invite("m");
    m.pull(&a);
    let ticket = a.ticket(1);
    m.pull(&a);
    let mut newcomer = Newcomer::new("x");
    let again = Newcomer { rng: TestRng::new("again"), ..newcomer.clone() };
    m.admit(&mut newcomer, &ticket);
    let mut x = newcomer.join(&m);
    x.pull(&m);
    x.reply(thread, "early");
    let of_x =
        x.everything().into_iter().filter(|i| i.signed.header().log.device == x.store.own_device());
    assert_eq!(a.ingest(of_x.collect()).waiting, 2);
    // The same person with the same record comes to another member as well.
    a.admit(&mut again.clone(), &ticket);
    assert_eq!(a.store.stats().unwrap().waiting_for_device, 0);
    // What x wrote named m's admission as its roster past, so it counts once that is here.
    a.fold();
    assert_eq!(a.texts(&thread), ["root"]);
    a.pull(&m);
    assert_eq!(a.texts(&thread), ["root", "early"]);
    assert!(a.store.people().unwrap().iter().all(|p| !p.pending));
}

#[test]
fn entries_wait_for_the_one_before_them() {
    let mut a = Node::founder("ana");
    let b = a.invite("bo");
    let thread = a.note("t", "root");
    let ids: Vec<EntryId> = (0..5).map(|i| a.reply(thread, &i.to_string())).collect();
    b.pull(&a);
    a.pull(&b);
    let c = a.invite("cy");
    // Everything but one entry in the middle of the log.
    let all = a.everything();
    let (gap, rest): (Vec<_>, Vec<_>) = all.into_iter().partition(|i| i.signed.id() == ids[1]);
    c.ingest(rest);
    c.fold();
    assert_eq!(c.texts(&thread), ["root", "0", "2", "3", "4"], "read early");
    let stats = c.store.stats().unwrap();
    assert_eq!(stats.holes, 1);
    assert!(stats.waiting_for_past >= 3);
    assert_eq!(c.store.holes(9).unwrap(), vec![ids[1]]);
    assert_eq!(c.ingest(gap).new, vec![ids[1]]);
    assert_eq!(c.store.stats().unwrap().waiting_for_past, 0);
    a.pull(&c);
    b.pull(&a);
    assert_eq!(a.hash(), c.hash());
    assert_eq!(a.hash(), b.hash());
}

#[test]
fn pending_newcomers_are_kept_and_do_not_count() {
    let mut a = Node::founder("ana");
    let thread = a.note("t", "root");
    let mut m = a.invite("m");
    m.pull(&a);
    let ticket = a.ticket(1);
    m.pull(&a);
    // Split: both let somebody in by the one use.
    let (mut x, mut y) = (Newcomer::new("x"), Newcomer::new("y"));
    a.admit(&mut x, &ticket);
    m.admit(&mut y, &ticket);
    let (mut x, mut y) = (x.join(&a), y.join(&m));
    x.pull(&a);
    y.pull(&m);
    x.reply(thread, "x was here");
    y.reply(thread, "y was here");
    let nodes = [&a, &m, &x, &y];
    for _ in 0..2 {
        for to in nodes {
            for from in nodes {
                to.pull(from);
            }
        }
    }
    let hash = a.hash();
    let entries = a.store.set_summary().unwrap().entries;
    for node in nodes {
        assert_eq!(node.hash(), hash);
        assert_eq!(node.store.set_summary().unwrap().entries, entries);
        assert_eq!(node.texts(&thread).len(), 2, "one of the two is pending");
        node.assert_clean();
    }
    assert_eq!(a.store.people().unwrap().iter().filter(|p| p.pending).count(), 1);
}

/// Entries that no honest program writes: `prev` of a log not one's own, and a fork.
#[test]
fn bad_links_are_void_and_forks_are_kept() {
    let mut a = Node::founder("ana");
    let thread = a.note("t", "root");
    let mut b = a.invite("bo");
    b.pull(&a);
    let key = {
        let conn = rusqlite::Connection::open(&b.place.db).unwrap();
        let key: [u8; 32] = conn.query_row("SELECT key FROM epoch_keys", [], |r| r.get(0)).unwrap();
        lanai_crdt::seal::EpochKey::from_bytes(&key)
    };
    let profile = b.store.log_heads().unwrap();
    let head = profile.iter().find(|h| h.0.device == b.store.own_device()).unwrap().2;
    let number = b.log_number(&head);
    a.pull(&b);
    let mut forge = |number, seq, prev, text: &str, heads: Vec<EntryId>| {
        let body = lanai_crdt::payload::encode(&post(text)).unwrap();
        let packed = lanai_crdt::envelope::encode(&body).unwrap();
        let mut header = Header {
            class: 2,
            community: b.store.community(),
            log: LogId { device: b.store.own_device(), number },
            seq,
            prev,
            time: Hlc::from_millis(NOW),
            epoch: key.id().short_ref(),
            payload_hash: PayloadHash::ZERO,
            payload_len: u32::try_from(packed.len() + 40).unwrap(),
            tail: HeaderTail::V1 { heads, refs: vec![thread] },
        };
        let blob =
            lanai_crdt::seal::seal_payload(&key, b.rng.array(), &header.associated_data(), &packed)
                .unwrap();
        header.payload_hash = payload_hash(&blob);
        let verified = b.author.device.sign(&header);
        incoming(&StoredEntry { verified, payload: Some(blob) })
    };
    let left = forge(number, 1, head, "left", vec![]);
    let right = forge(number, 1, head, "right", vec![]);
    let after_left = forge(number, 2, left.signed.id(), "after left", vec![]);
    let gap = forge(number, 5, head, "seq does not follow", vec![]);
    let foreign = forge(number, 2, thread, "prev of another's log", vec![]);
    let fresh = forge(LogNumber([9; 8]), 0, left.signed.id(), "a second log", vec![]);
    let stolen = forge(LogNumber([8; 8]), 0, thread, "begins with another's head", vec![]);
    let mut branches = vec![(left.signed.id(), NOW), (right.signed.id(), NOW)];
    branches.sort_unstable();
    let all =
        vec![left, right, after_left, gap.clone(), foreign.clone(), fresh.clone(), stolen.clone()];
    let report = a.ingest(all.clone());
    assert_eq!((report.new.len(), report.refused.len()), (7, 0));
    a.fold();
    let texts = a.texts(&thread);
    for shown in ["left", "right", "after left", "a second log"] {
        assert!(texts.contains(&shown.to_string()), "{texts:?}");
    }
    assert_eq!(texts.len(), 5);
    let log = LogId { device: b.store.own_device(), number };
    let member = b.store.own_member().unwrap();
    assert_eq!(a.store.forks().unwrap(), [crate::store::Fork { log, member, seq: 1, branches }]);
    for void in [gap, foreign, stolen] {
        let info = a.store.entry(&void.signed.id()).unwrap().unwrap();
        assert!(info.aside.unwrap().contains("does not follow"));
    }
    // Heads that nobody knows: they add nothing, and a log of too many of them waits.
    let mut prev = fresh;
    for i in 0..20u8 {
        let heads = (0..4).map(|k| EntryId::new([i * 4 + k + 1; 32])).collect();
        prev = forge(LogNumber([9; 8]), u64::from(i) + 1, prev.signed.id(), "many heads", heads);
        a.ingest(vec![prev.clone()]);
    }
    a.fold();
    assert_eq!(a.texts(&thread).len(), 5 + 20, "those that wait are read early");
    assert_eq!(a.store.stats().unwrap().waiting_for_past, 5, "one known head and 60 unknown");
    // The other way round, one by one.
    let other = a.invite("other");
    let everything = a.everything();
    for entry in everything.iter().rev() {
        other.ingest(vec![entry.clone()]);
    }
    for entry in everything {
        other.ingest(vec![entry]);
    }
    a.pull(&other);
    assert_eq!(other.hash(), a.hash());
    let heads = |n: &Node| {
        let mut heads = n.store.set_summary().unwrap().heads;
        heads.sort_unstable();
        heads
    };
    assert_eq!(heads(&a), heads(&other));
    other.assert_clean();
}

pub(super) fn busy_community() -> (Node, Vec<Incoming>) {
    let mut a = Node::founder("ana");
    let thread = a.note("first", "root");
    let mut b = a.invite("bo");
    b.pull(&a);
    let answer = b.reply(thread, "one");
    a.pull(&b);
    let mut c = b.invite("cy");
    c.pull(&b);
    c.write(post("two"), [thread, answer]);
    let mine = c.note("second", "by cy");
    a.write(Body::Edit(Edit { text: "root, edited".into() }), [thread, thread]);
    let thanks =
        c.write(Body::React(React { reaction: Reaction::Thanks, on: true }), [thread, answer]);
    c.write(Body::React(React { reaction: Reaction::Thanks, on: false }), [thread, answer, thanks]);
    b.write(Body::Withdraw, [thread, answer]);
    for (importer, name) in [(&mut a, "a"), (&mut b, "b")] {
        let root = Body::Note(Note {
            title: "old".into(),
            text: "from the archive".into(),
            tags: vec!["history".into()],
            origin: origin("m-1", "<1@x>"),
        });
        let root = importer.write(root, []);
        importer.write(
            Body::Post(Post {
                role: PostRole::Reply,
                text: "answer from the archive".into(),
                origin: origin("m-2", "<2@x>"),
                met: None,
            }),
            [root],
        );
        importer.reply(root, &format!("new answer by {name}"));
    }
    a.pull(&b);
    a.pull(&c);
    b.pull(&a);
    c.pull(&a);
    assert_eq!(a.hash(), b.hash());
    assert_eq!(a.hash(), c.hash());
    let all = a.everything();
    assert!(all.iter().any(|i| i.signed.id() == mine));
    (a, all)
}

#[test]
fn what_arrives_with_a_missing_roster_entry_does_not_hide_what_waited_for_it() {
    let mut a = Node::founder("ana");
    let thread = a.note("first", "root");
    let c = a.invite("cy");
    c.pull(&a);
    let mut b = a.invite("bo");
    b.pull(&a);
    let first = b.reply(thread, "one");
    let middle = b.reply(thread, "two");
    b.reply(thread, "three");
    let profile = b.header(&first).prev;
    let head = b.header(&profile).heads()[0];
    let (late, early): (Vec<Incoming>, Vec<Incoming>) =
        b.everything().into_iter().partition(|i| [head, middle].contains(&i.signed.id()));
    c.ingest(early);
    c.fold();
    assert_eq!(c.store.stats().unwrap().uncounted, 2);
    assert_eq!(c.texts(&thread), ["root", "three"], "the last is read early");
    c.ingest(late);
    c.fold();
    assert_eq!(c.store.stats().unwrap().uncounted, 0);
    assert_eq!(c.texts(&thread), ["root", "one", "two", "three"]);
    b.pull(&c);
    assert_eq!(c.hash(), b.hash());
}

#[test]
fn any_order_and_repetition_gives_one_state() {
    let (a, all) = busy_community();
    let expected = a.hash();
    let roster: Vec<Incoming> = a.store.roster_entries().unwrap().iter().map(incoming).collect();
    let author = a.author.device.device();
    let summary = |store: &Store| {
        let mut s = store.set_summary().unwrap();
        s.heads.sort_unstable();
        s
    };
    let first = summary(&a.store);
    let keys: Vec<[u8; 32]> = {
        let conn = rusqlite::Connection::open(&a.place.db).unwrap();
        let mut statement = conn.prepare("SELECT key FROM epoch_keys").unwrap();
        statement.query_map([], |r| r.get(0)).unwrap().map(Result::unwrap).collect()
    };
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 24,
        ..ProptestConfig::default()
    });
    let order = proptest::collection::vec((any::<u32>(), 0u8..4), all.len());
    runner
        .run(&(order, 1usize..9, any::<bool>()), |(order, size, key_first)| {
            let dir = tempfile::tempdir().unwrap();
            let place = place_in(dir.path());
            let mut rng = TestRng::new("receiver");
            // A store of the same device that knows the genesis alone.
            let genesis = vec![roster[0].clone()];
            let community = a.store.community();
            let (store, _) =
                Store::create_joined(&place, community, author, genesis, NOW, &mut rng).unwrap();
            let keys_in = |store: &Store| {
                store
                    .inner
                    .write(Durability::Full, NOW, |ctx| {
                        for key in &keys {
                            ctx.add_key(&lanai_crdt::seal::EpochKey::from_bytes(key))?;
                        }
                        Ok(())
                    })
                    .unwrap();
            };
            if key_first {
                keys_in(&store);
            }
            let mut sequence: Vec<(u32, &Incoming)> = Vec::new();
            for (entry, (at, times)) in all.iter().zip(&order) {
                for again in 0..(*times).max(1) {
                    sequence.push((at.wrapping_mul(u32::from(again) * 2 + 1), entry));
                }
            }
            sequence.sort_by_key(|(at, _)| *at);
            for (step, batch) in sequence.chunks(size).enumerate() {
                let batch: Vec<Incoming> = batch.iter().map(|(_, i)| (*i).clone()).collect();
                store.ingest(batch, &Source::File, NOW).unwrap();
                if step % 3 == 0 {
                    store.fold_pending(5).unwrap();
                }
            }
            keys_in(&store);
            while store.fold_pending(7).unwrap().left > 0 {}
            prop_assert_eq!(store.stats().unwrap().waiting_for_device, 0);
            prop_assert_eq!(summary(&store), first.clone());
            prop_assert_eq!(store.state_hash().unwrap(), expected);
            prop_assert_eq!(store.check(|_| ()).unwrap().damage, vec![]);
            Ok(())
        })
        .unwrap();
}

#[test]
fn items_come_in_order_of_arrival_and_from_a_mark() {
    let mut a = Node::founder("ana");
    let all = a.store.items().unwrap();
    assert_eq!(all.items.len(), 5);
    assert_eq!(all.items.iter().filter(|i| i.roster).count(), 3);
    let note = a.note("t", "x");
    let more = a.store.items_since(all.mark).unwrap();
    assert_eq!(more.items.iter().map(|i| i.id).collect::<Vec<_>>(), vec![note]);
    assert_eq!(more.items[0].time, a.header(&note).time.0);
    let ids: Vec<EntryId> = a.store.items().unwrap().items.iter().map(|i| i.id).collect();
    assert_eq!(a.store.unknown(&[ids[0], EntryId::new([5; 32])]).unwrap().len(), 1);
    let (some, taken) = a.store.load(&ids, 1).unwrap();
    assert_eq!((some.len(), taken), (1, 1));
    let (some, taken) = a.store.load(&ids, usize::MAX).unwrap();
    assert_eq!((some.len(), taken), (6, 6));
    let seqs: HashMap<EntryId, u64> =
        some.iter().map(|e| (e.verified.id(), e.verified.header().seq)).collect();
    let next = a.store.successor(&ids[4]).unwrap().unwrap();
    assert_eq!((next.verified.id(), seqs[&note]), (note, 5));
    assert!(a.store.successor(&note).unwrap().is_none());
}

#[test]
fn joining_needs_an_admission() {
    let a = Node::founder("ana");
    let newcomer = Newcomer::new("nobody");
    let dir = tempfile::tempdir().unwrap();
    let place = place_in(dir.path());
    let roster = a.store.roster_entries().unwrap().iter().map(incoming).collect();
    let mut rng = TestRng::new("x");
    let device = newcomer.author.device.device();
    let refused = Store::create_joined(&place, a.store.community(), device, roster, NOW, &mut rng);
    assert!(matches!(refused, Err(StoreError::NotMember)));
    assert!(!place.db.exists(), "nothing is left behind");
    assert!(matches!(Store::open(&place), Err(StoreError::Missing(_))));
    assert_ne!(a.store.community(), NOBODY);
}
