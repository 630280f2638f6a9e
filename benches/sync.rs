//! Costs of comparing sets of a million entries: `cargo bench --bench sync`.

#![allow(missing_docs, clippy::unwrap_used)]

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use lanai_crdt::id::EntryId;
use lanai_node::sync::{Key, Nonce, Reconciler, Tree};

const MANY: u64 = 1_000_000;

fn main() {
    divan::main();
}

/// One a second, as time stamps are.
fn key(n: u64) -> Key {
    Key::new((n * 1000) << 16, false, EntryId::new(*blake3::hash(&n.to_be_bytes()).as_bytes()))
}

fn keys() -> Vec<Key> {
    (0..MANY).map(key).collect()
}

fn tree() -> Tree {
    Tree::new(keys())
}

#[divan::bench(sample_count = 5)]
fn build_of_a_million(bencher: Bencher<'_, '_>) {
    bencher.with_inputs(keys).counter(ItemsCount::new(MANY)).bench_values(Tree::new);
}

#[divan::bench(sample_count = 3)]
fn a_million_inserts_in_order(bencher: Bencher<'_, '_>) {
    bencher.with_inputs(keys).counter(ItemsCount::new(MANY)).bench_values(|keys| {
        let mut tree = Tree::default();
        for key in keys {
            tree.insert(key);
        }
        tree
    });
}

#[divan::bench(sample_count = 3)]
fn a_million_inserts_in_any_order(bencher: Bencher<'_, '_>) {
    let keys = || {
        let mut keys = keys();
        // By their hashes.
        keys.sort_unstable_by_key(|key| key.id);
        keys
    };
    bencher.with_inputs(keys).counter(ItemsCount::new(MANY)).bench_values(|keys| {
        let mut tree = Tree::default();
        for key in keys {
            tree.insert(key);
        }
        tree
    });
}

#[divan::bench(sample_count = 20)]
fn a_thousand_inserts_of_any_time_into_a_million(bencher: Bencher<'_, '_>) {
    let mut tree = tree();
    let mut next = MANY;
    bencher.counter(ItemsCount::new(1000u64)).bench_local(|| {
        for _ in 0..1000 {
            next += 1;
            let id = key(next).id;
            tree.insert(Key::new(((next * 7919 % MANY) * 1000) << 16, false, id));
        }
    });
}

#[divan::bench(sample_count = 20)]
fn a_thousand_inserts_of_any_time_with_a_snapshot_kept(bencher: Bencher<'_, '_>) {
    let mut tree = tree();
    let mut next = MANY;
    bencher.counter(ItemsCount::new(1000u64)).bench_local(|| {
        let snapshot = tree.clone();
        for _ in 0..1000 {
            next += 1;
            let id = key(next).id;
            tree.insert(Key::new(((next * 7919 % MANY) * 1000) << 16, false, id));
        }
        snapshot
    });
}

/// A fingerprint of everything that does not fit: sixteen fingerprints are the answer.
#[divan::bench]
fn split_of_a_million_into_sixteen(bencher: Bencher<'_, '_>) {
    let mut side = Reconciler::answering(tree());
    let mut message = vec![0x61, 0, 0, 1];
    message.extend_from_slice(&[7; 16]);
    bencher.bench_local(|| side.answer(black_box(&message)).unwrap());
}

#[divan::bench]
fn first_message_of_a_million(bencher: Bencher<'_, '_>) {
    let tree = tree();
    bencher.bench(|| Reconciler::drive(black_box(&tree).clone(), &Nonce([3; 16])).1);
}
