//! Costs of the parts, one by one: `cargo bench`.
//!
//! Compare figures of one run with each other; the machine under them is rarely idle. The whole
//! (cold sync, live latency, cold read) is measured by `examples/sync_bench`.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

#[path = "../examples/support/mod.rs"]
mod support;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use lanai_crdt::entry::{DeviceSecret, Header, HeaderTail, Signed, payload_hash};
use lanai_crdt::envelope;
use lanai_crdt::id::{CommunityId, EntryId, EpochRef, LogId, LogNumber};
use lanai_crdt::payload::{self, Body, Note, Post, PostRole};
use lanai_crdt::seal::{EpochKey, open_payload, seal_payload};
use lanai_node::random::OsRandom;
use lanai_node::store::{
    Incoming, NewEntry, NewRef, Place, SearchQuery, Source, Store, ThreadFilter,
};
use support::{Person, found};

const NOW: u64 = 1_800_000_000_000;

fn main() {
    divan::main();
}

fn text(n: usize) -> String {
    let words =
        ["convoy", "the", "ford", "at", "night", "we", "walk", "it", "first", "with", "poles"];
    let mut text = String::new();
    let mut i = n;
    while text.len() < 280 {
        text.push_str(words[i % words.len()]);
        text.push(' ');
        i = i.wrapping_mul(31).wrapping_add(7);
    }
    text.truncate(280);
    text
}

fn post(n: usize) -> Body {
    Body::Post(Post { role: PostRole::Reply, text: text(n), origin: None, met: None })
}

fn header(secret: &DeviceSecret, seq: u64, prev: EntryId) -> Header {
    Header {
        class: 2,
        community: CommunityId::new([1; 32]),
        log: LogId { device: secret.device(), number: LogNumber([3; 8]) },
        seq,
        prev,
        time: lanai_crdt::clock::Hlc::from_millis(NOW + seq),
        epoch: EpochRef([5; 16]),
        payload_hash: payload_hash(b"x"),
        payload_len: 1,
        tail: HeaderTail::V1 { heads: vec![], refs: vec![EntryId::new([9; 32])] },
    }
}

#[divan::bench]
fn sign_a_header(bencher: Bencher<'_, '_>) {
    let secret = DeviceSecret::from_bytes(&[7; 32]);
    let header = header(&secret, 1, EntryId::new([4; 32]));
    bencher.bench(|| secret.sign(black_box(&header)));
}

#[divan::bench]
fn verify_by_signature(bencher: Bencher<'_, '_>) {
    let secret = DeviceSecret::from_bytes(&[7; 32]);
    let signed = secret.sign(&header(&secret, 1, EntryId::new([4; 32]))).into_signed();
    bencher.with_inputs(|| signed.clone()).bench_values(|s| s.verify().unwrap());
}

#[divan::bench]
fn verify_by_the_chain(bencher: Bencher<'_, '_>) {
    let secret = DeviceSecret::from_bytes(&[7; 32]);
    let first = secret.sign(&header(&secret, 1, EntryId::new([4; 32])));
    let next = header(&secret, 2, first.id());
    let unsigned = Signed::decode(first.bytes().to_vec(), None).unwrap();
    bencher.with_inputs(|| unsigned.clone()).bench_values(|s| s.verify_by_next(&next).unwrap());
}

#[divan::bench]
fn pack_and_seal_a_post(bencher: Bencher<'_, '_>) {
    let key = EpochKey::from_bytes(&[8; 32]);
    let body = post(1);
    bencher.bench(|| {
        let packed = envelope::encode(&payload::encode(black_box(&body)).unwrap()).unwrap();
        seal_payload(&key, [1; 24], b"header", &packed).unwrap()
    });
}

#[divan::bench]
fn open_and_unpack_a_post(bencher: Bencher<'_, '_>) {
    let key = EpochKey::from_bytes(&[8; 32]);
    let packed = envelope::encode(&payload::encode(&post(1)).unwrap()).unwrap();
    let blob = seal_payload(&key, [1; 24], b"header", &packed).unwrap();
    bencher.bench(|| {
        let packed = open_payload(&key, b"header", black_box(&blob)).unwrap();
        payload::decode(lanai_crdt::entry::Class::Post, &envelope::decode(&packed).unwrap())
    });
}

/// A store with its founder.
fn founder() -> (tempfile::TempDir, Person) {
    let dir = tempfile::tempdir().unwrap();
    let person = found(dir.path(), "Ana").unwrap();
    (dir, person)
}

/// A note and its replies.
fn thread(posts: usize) -> Vec<NewEntry> {
    let note = Note { title: "Ford".into(), text: text(0), tags: vec![], origin: None };
    let mut batch = vec![NewEntry::new(Body::Note(note), [])];
    batch.extend((1..posts).map(|n| NewEntry { body: post(n), refs: vec![NewRef::Batch(0)] }));
    batch
}

fn threads(posts: usize, size: usize) -> Vec<Vec<NewEntry>> {
    (0..posts / size).map(|_| thread(size)).collect()
}

#[divan::bench(sample_count = 10)]
fn create_one_post_on_disk(bencher: Bencher<'_, '_>) {
    let (_dir, f) = founder();
    let root = f.store.append(&f.author, NOW, &mut OsRandom, thread(1)).unwrap()[0];
    bencher.bench_local(|| {
        let new = vec![NewEntry::new(post(1), [root])];
        f.store.append(&f.author, NOW, &mut OsRandom, new).unwrap()
    });
}

#[divan::bench(sample_count = 5)]
fn create_1000_posts_in_a_batch(bencher: Bencher<'_, '_>) {
    let (_dir, f) = founder();
    bencher
        .counter(ItemsCount::new(1000usize))
        .with_inputs(|| thread(1000))
        .bench_local_values(|new| f.store.append(&f.author, NOW, &mut OsRandom, new).unwrap());
}

/// Everything a founder holds, as a peer sends it.
fn incoming(f: &Person) -> Vec<Incoming> {
    let ids: Vec<EntryId> = f.store.items().unwrap().items.iter().map(|i| i.id).collect();
    f.store
        .entries(&ids)
        .unwrap()
        .into_iter()
        .map(|e| Incoming { signed: e.verified.into_signed(), payload: e.payload })
        .collect()
}

#[divan::bench(sample_count = 5, args = [true, false])]
fn ingest_5000_posts(bencher: Bencher<'_, '_>, chain_rule: bool) {
    let (_dir, f) = founder();
    for batch in threads(5_000, 10) {
        f.store.append(&f.author, NOW, &mut OsRandom, batch).unwrap();
    }
    let mut all = incoming(&f);
    if chain_rule {
        let last = all.len() - 1;
        for (i, entry) in all.iter_mut().enumerate() {
            let class = entry.signed.header().class;
            if class != 0 && i != last {
                let bytes = entry.signed.bytes().to_vec();
                entry.signed = Signed::decode(bytes, None).unwrap();
            }
        }
    }
    let community = f.store.community();
    bencher
        .counter(ItemsCount::new(5_000usize))
        .with_inputs(|| {
            let dir = tempfile::tempdir().unwrap();
            let place = Place::new(dir.path().join("store.db"), dir.path().join("store.token"));
            let roster: Vec<Incoming> =
                all.iter().filter(|e| e.signed.header().class == 0).cloned().collect();
            let device = f.author.device.device();
            let (store, _) =
                Store::create_joined(&place, community, device, roster, NOW, &mut OsRandom)
                    .unwrap();
            store.open_seals(&f.author, NOW).unwrap();
            (dir, store, all.clone())
        })
        .bench_local_values(|(dir, store, all)| {
            store.ingest(all, &Source::File, NOW).unwrap();
            (dir, store)
        });
}

fn community_of(posts: usize) -> (tempfile::TempDir, Person) {
    let (dir, f) = founder();
    for batch in threads(posts, 10) {
        f.store.append(&f.author, NOW, &mut OsRandom, batch).unwrap();
    }
    (dir, f)
}

#[divan::bench(sample_count = 20)]
fn read_a_thread_of_10(bencher: Bencher<'_, '_>) {
    let (_dir, f) = community_of(5_000);
    let root = f.store.threads(&ThreadFilter { limit: 1, ..Default::default() }).unwrap()[0].root;
    bencher.bench_local(|| f.store.thread(&root).unwrap());
}

#[divan::bench(sample_count = 20)]
fn list_20_threads(bencher: Bencher<'_, '_>) {
    let (_dir, f) = community_of(5_000);
    let filter = ThreadFilter { limit: 20, ..Default::default() };
    bencher.bench_local(|| f.store.threads(&filter).unwrap());
}

#[divan::bench(sample_count = 20)]
fn search_two_words(bencher: Bencher<'_, '_>) {
    let (_dir, f) = community_of(5_000);
    let query = SearchQuery { text: "convoy ford".into(), limit: 20, ..Default::default() };
    bencher.bench_local(|| f.store.search(&query).unwrap());
}

#[divan::bench(sample_count = 10)]
fn state_hash_of_500_threads(bencher: Bencher<'_, '_>) {
    let (_dir, f) = community_of(5_000);
    bencher.bench_local(|| f.store.state_hash().unwrap());
}
