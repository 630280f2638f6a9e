//! What a hostile peer may deliver to a real store: altered entries, other communities' entries, forks,
//! absurd clocks.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    unreachable_pub,
    reason = "a test that goes wrong should say so and stop"
)]

#[path = "../examples/support/mod.rs"]
mod support;

use std::collections::BTreeSet;

use lanai_crdt::clock::Hlc;
use lanai_crdt::entry::{Class, DeviceSecret, Header, HeaderTail, Signed, Verified, payload_hash};
use lanai_crdt::envelope;
use lanai_crdt::id::{CommunityId, EntryId, PayloadHash};
use lanai_crdt::payload::{
    self, Ask, Body, Edit, Mark, Note, Post, PostRole, Profile, React, Reaction, ThreadState,
};
use lanai_crdt::seal::{EpochKey, seal_payload};
use lanai_node::store::{Incoming, NewEntry, Source, StoredEntry};
use support::{Person, found, now};

/// Entries whose bits are flipped.
const ENTRIES: usize = 200;

fn from_peer() -> Source {
    Source::Peer(DeviceSecret::from_bytes(&[77; 32]).device())
}

/// A community in which every kind of entry was written by several people.
fn busy(dir: &std::path::Path) -> (Person, Vec<StoredEntry>) {
    let ana = found(dir, "Ana").unwrap();
    let people = ["Ben", "Cleo", "Dora"].map(|name| ana.admit(dir, name).unwrap());
    let reply = |text: String| Body::Post(Post { role: PostRole::Reply, text, origin: None });
    let mut round = 0;
    while ana.store.stats().unwrap().entries < ENTRIES as u64 {
        round += 1;
        let ask = Ask {
            title: format!("Round {round}"),
            situation: "What would you do?".into(),
            decide: Some("whether to cross".into()),
            need_by: Some(now()),
            tried: None,
            helps: None,
            tags: vec!["ford".into()],
            origin: None,
        };
        let thread = ana.write(vec![NewEntry::new(Body::Ask(ask), [])]).unwrap()[0];
        for person in &people {
            person.take_all_from(&ana).unwrap();
            let text = format!("an answer, and some words about round {round}");
            let post = person.write(vec![NewEntry::new(reply(text), [thread])]).unwrap()[0];
            let react = React { reaction: Reaction::Helped, on: true };
            let note = Note { title: "n".into(), text: "t".into(), tags: vec![], origin: None };
            person
                .write(vec![
                    NewEntry::new(Body::Edit(Edit { text: "mended".into() }), [thread, post]),
                    NewEntry::new(Body::React(react), [thread, thread]),
                    NewEntry::new(Body::Mark(Mark::State(ThreadState::Working)), [thread, thread]),
                    NewEntry::new(
                        Body::Profile(Profile { name: "N".into(), ..Default::default() }),
                        [],
                    ),
                    NewEntry::new(Body::Note(note), []),
                    NewEntry::new(Body::Withdraw, [thread, post]),
                ])
                .unwrap();
            ana.take_all_from(person).unwrap();
        }
    }
    let ids: Vec<EntryId> = ana.store.items().unwrap().items.iter().map(|i| i.id).collect();
    let mut entries = ana.store.entries(&ids).unwrap();
    entries.truncate(ENTRIES);
    (ana, entries)
}

fn flipped(bytes: &[u8], bit: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[bit / 8] ^= 1 << (bit % 8);
    bytes
}

/// Every bit of real entries, header, signature and payload, flipped one at a time and delivered
/// alone: nothing is believed. The ordinary run takes every 61st bit, another offset for each entry;
/// `LANAI_TEST_ALL=1` takes all.
#[test]
fn no_flipped_bit_is_accepted_and_good_neighbours_are() {
    let step = if std::env::var_os("LANAI_TEST_ALL").is_some() { 1 } else { 61 };
    let dir = tempfile::tempdir().unwrap();
    let (ana, entries) = busy(dir.path());
    assert_eq!(entries.len(), ENTRIES);
    let ben = ana.admit(dir.path(), "Receiver").unwrap();
    let before = ben.store.set_summary().unwrap().entries;
    let held: BTreeSet<EntryId> = ben.store.items().unwrap().items.iter().map(|i| i.id).collect();
    // Vouched for by a successor that is held: the chain rule needs no signature of their own.
    let vouched: BTreeSet<EntryId> = ben
        .store
        .entries(&held.iter().copied().collect::<Vec<_>>())
        .unwrap()
        .iter()
        .map(|e| e.verified.header().prev)
        .collect();
    let known = |id: &EntryId| held.contains(id) || vouched.contains(id);
    let fresh: Vec<&StoredEntry> = entries.iter().filter(|e| !known(&e.verified.id())).collect();
    assert!(fresh.len() > 100, "{}", fresh.len());

    let (mut deliveries, mut refused_headers) = (0u64, 0u64);
    for (i, entry) in entries.iter().enumerate() {
        let (bytes, signature) = (entry.verified.bytes(), *entry.verified.signature().unwrap());
        let payload = entry.payload.clone().unwrap();
        let alone = |signed: Signed, payload: Vec<u8>| {
            ben.store
                .ingest(vec![Incoming { signed, payload: Some(payload) }], &from_peer(), now())
                .unwrap()
        };
        for bit in (i % step..bytes.len() * 8).step_by(step) {
            deliveries += 1;
            match Signed::decode(flipped(bytes, bit), Some(signature)) {
                Ok(signed) => {
                    let report = alone(signed, payload.clone());
                    assert!(report.new.is_empty(), "header bit {bit} of entry {i}");
                    assert_eq!(report.refused.len() + report.waiting, 1, "bit {bit} of entry {i}");
                    assert_eq!(report.waiting, 0, "header bit {bit} of entry {i}");
                }
                Err(_) => refused_headers += 1,
            }
        }
        for bit in (i % step..512).step_by(step) {
            deliveries += 1;
            let mut bad = signature;
            bad.0[bit / 8] ^= 1 << (bit % 8);
            let signed = Signed::decode(bytes.to_vec(), Some(bad)).unwrap();
            if !known(&entry.verified.id()) {
                let report = alone(signed, payload.clone());
                assert!(report.new.is_empty(), "signature bit {bit} of entry {i}");
            }
        }
    }
    assert_eq!(ben.store.set_summary().unwrap().entries, before);

    // Payload bits. The header is good and stays; the payload is not taken, before or after.
    for (i, entry) in fresh.iter().enumerate() {
        let payload = entry.payload.clone().unwrap();
        let id = entry.verified.id();
        if entry.verified.header().class == Class::Roster.number() {
            continue;
        }
        for bit in (i % step..payload.len() * 8).step_by(step) {
            deliveries += 1;
            let incoming = Incoming {
                signed: entry.verified.clone().into_signed(),
                payload: Some(flipped(&payload, bit)),
            };
            let report = ben.store.ingest(vec![incoming], &from_peer(), now()).unwrap();
            assert!(report.payloads.is_empty(), "payload bit {bit} of entry {i}");
            assert_eq!(ben.store.payload(&id).unwrap(), None, "payload bit {bit} of entry {i}");
        }
    }
    eprintln!("{deliveries} deliveries, of which {refused_headers} were no headers");

    // A good neighbour in one batch with altered copies of the entry before it.
    let receiver = ana.admit(dir.path(), "Second").unwrap();
    for pair in fresh.windows(2) {
        let (bad, good) = (pair[0], pair[1]);
        let signature = bad.verified.signature().copied();
        let mut batch: Vec<Incoming> = [300, 650, 1_000]
            .iter()
            .filter_map(|bit| Signed::decode(flipped(bad.verified.bytes(), *bit), signature).ok())
            .map(|signed| Incoming { signed, payload: bad.payload.clone() })
            .collect();
        batch.insert(
            1.min(batch.len()),
            Incoming { signed: good.verified.clone().into_signed(), payload: good.payload.clone() },
        );
        let report = receiver.store.ingest(batch, &from_peer(), now()).unwrap();
        let here = receiver.store.entries(&[good.verified.id()]).unwrap();
        assert_eq!(here.len(), 1, "{report:?}");
        assert!(report.new.iter().all(|id| *id == good.verified.id()), "{report:?}");
    }
}

/// A member's own signed entry with chosen fields.
fn craft(
    person: &Person,
    change: impl FnOnce(&mut Header),
    key: &EpochKey,
    plaintext: &[u8],
) -> (Verified, Vec<u8>) {
    let ids: Vec<EntryId> = person.store.items().unwrap().items.iter().map(|i| i.id).collect();
    let own = person.store.own_device();
    let last = person
        .store
        .entries(&ids)
        .unwrap()
        .into_iter()
        .map(|e| e.verified)
        .filter(|v| v.header().log.device == own)
        .max_by_key(|v| v.header().seq)
        .unwrap();
    let mut header = Header {
        class: 2,
        community: person.store.community(),
        log: last.header().log,
        seq: last.header().seq + 1,
        prev: last.id(),
        time: Hlc::from_millis(now()),
        epoch: key.id().short_ref(),
        payload_hash: PayloadHash::ZERO,
        payload_len: u32::try_from(plaintext.len() + 40).unwrap(),
        tail: HeaderTail::V1 { heads: vec![], refs: vec![] },
    };
    change(&mut header);
    let blob = seal_payload(key, [9; 24], &header.associated_data(), plaintext).unwrap();
    header.payload_hash = payload_hash(&blob);
    (person.author.device.sign(&header), blob)
}

#[test]
fn another_communitys_entries_and_replays_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let ana = found(&dir.path().join("one"), "Ana").unwrap();
    let eve = found(&dir.path().join("two"), "Eve").unwrap();
    ana.note("ours", "text").unwrap();
    eve.note("theirs", "text").unwrap();
    let hash = ana.state_hash().unwrap();
    let everything = |p: &Person| -> Vec<Incoming> {
        let ids: Vec<EntryId> = p.store.items().unwrap().items.iter().map(|i| i.id).collect();
        p.store
            .entries(&ids)
            .unwrap()
            .into_iter()
            .map(|e| Incoming { signed: e.verified.into_signed(), payload: e.payload })
            .collect()
    };
    let foreign = everything(&eve);
    let count = foreign.len();
    let report = ana.store.ingest(foreign, &from_peer(), now()).unwrap();
    assert_eq!((report.refused.len(), report.new.len()), (count, 0), "{report:?}");
    let own = everything(&ana);
    let report = ana.store.ingest(own, &from_peer(), now()).unwrap();
    assert!(report.new.is_empty() && report.refused.is_empty(), "{report:?}");
    assert_eq!(ana.state_hash().unwrap(), hash);
}

/// A hostile member knows the epoch key. Whatever it seals, equal sets stay equal, in any order, and
/// others' posts stay readable.
#[test]
fn a_hostile_member_harms_only_itself() {
    let dir = tempfile::tempdir().unwrap();
    let ana = found(dir.path(), "Ana").unwrap();
    let eve = ana.admit(dir.path(), "Eve").unwrap();
    let thread = ana.note("The ford", "Who has crossed it?").unwrap();
    eve.take_all_from(&ana).unwrap();
    eve.reply(thread, "an honest start").unwrap();
    ana.take_all_from(&eve).unwrap();

    // Eve opens the seal that was made for her.
    let roster = ana.store.roster().unwrap();
    let device = eve.store.own_device();
    let key = roster
        .epochs()
        .flat_map(|e| e.sealed_to.get(&device).into_iter().flatten().map(move |s| (e.id, s)))
        .find_map(|(id, s)| {
            lanai_crdt::seal::open_from_device(&eve.author.sealing, &id, &device, &s.sealed).ok()
        })
        .unwrap();

    let post = |text: &str| {
        let post = Post { role: PostRole::Reply, text: text.into(), origin: None };
        envelope::encode(&payload::encode(&Body::Post(post)).unwrap()).unwrap()
    };
    let refs = |h: &mut Header| {
        h.tail = HeaderTail::V1 { heads: vec![], refs: vec![thread] };
    };
    let mut crafted = Vec::new();
    // A fork: three texts for one place in the log.
    for text in ["left", "right", "middle"] {
        crafted.push(craft(&eve, refs, &key, &post(text)));
    }
    // Clocks at the ends.
    for time in [0, 1, Hlc::from_millis(4_070_908_800_000).0, u64::MAX - 1, u64::MAX] {
        let at = |h: &mut Header| {
            refs(h);
            h.time = Hlc(time);
        };
        crafted.push(craft(&eve, at, &key, &post(&format!("at {time}"))));
    }
    // A bomb: a frame that claims the most that may be inflated, and one that claims more.
    for claimed in [262_144u32, u32::MAX] {
        let mut frame = vec![1, 1];
        let mut zstd = vec![0xa0];
        zstd.extend(claimed.to_le_bytes());
        zstd.extend([0x03, 0x00, 0x00, 0xff]);
        frame.extend(u32::try_from(zstd.len()).unwrap().to_be_bytes());
        frame.extend(zstd);
        frame.resize(32, 0);
        crafted.push(craft(&eve, refs, &key, &frame));
    }
    // Nonsense, an unknown kind, a kind of another class, an edit of somebody else's post.
    crafted.push(craft(&eve, refs, &key, &[0xff; 32]));
    crafted.push(craft(
        &eve,
        refs,
        &key,
        &envelope::encode(&[0x82, 0x19, 0x27, 0x10, 0xa0]).unwrap(),
    ));
    let profile = Body::Profile(Profile { name: "E".into(), ..Profile::default() });
    crafted.push(craft(
        &eve,
        refs,
        &key,
        &envelope::encode(&payload::encode(&profile).unwrap()).unwrap(),
    ));
    let edit =
        envelope::encode(&payload::encode(&Body::Edit(Edit { text: "Never!".into() })).unwrap());
    let at_ana = |h: &mut Header| {
        h.tail = HeaderTail::V1 { heads: vec![], refs: vec![thread, thread] };
    };
    crafted.push(craft(&eve, at_ana, &key, &edit.unwrap()));
    // Sealed under no key of this community, and a community of its own making.
    let other = EpochKey::from_bytes(&[3; 32]);
    crafted.push(craft(&eve, refs, &other, &post("sealed elsewhere")));
    let elsewhere = |h: &mut Header| {
        refs(h);
        h.community = CommunityId::new([5; 32]);
    };
    crafted.push(craft(&eve, elsewhere, &key, &post("foreign")));

    let ben = ana.admit(dir.path(), "Ben").unwrap();
    ana.take_all_from(&ben).unwrap();
    ben.take_all_from(&ana).unwrap();
    let deliver = |person: &Person, order: &mut dyn Iterator<Item = usize>| {
        for i in order {
            let (verified, blob) = crafted[i].clone();
            let incoming = Incoming { signed: verified.into_signed(), payload: Some(blob) };
            person.store.ingest(vec![incoming], &from_peer(), now()).unwrap();
            while person.store.fold_pending(100).unwrap().left > 0 {}
        }
    };
    deliver(&ana, &mut (0..crafted.len()));
    deliver(&ben, &mut (0..crafted.len()).rev());
    assert_eq!(ana.state_hash().unwrap(), ben.state_hash().unwrap());

    let view = ana.store.thread(&thread).unwrap().unwrap();
    let texts: Vec<&str> = view.thread.posts.iter().map(|p| support::text_of(&p.text)).collect();
    assert_eq!(texts[0], "Who has crossed it?");
    for text in ["an honest start", "left", "right", "middle", "at 0"] {
        assert!(texts.contains(&text), "{text} in {texts:?}");
    }
    assert!(!texts.contains(&"foreign") && !texts.contains(&"sealed elsewhere"), "{texts:?}");
    // Honest clocks are not dragged along.
    let after = ana.reply(thread, "still here").unwrap();
    let header = ana.store.entries(&[after]).unwrap()[0].verified.header().clone();
    assert!(header.time.millis() <= now() + 11 * 60 * 1000, "{:?}", header.time);
    assert!(ana.store.check(|_| ()).unwrap().is_clean());
}
