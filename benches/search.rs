//! Costs of finding: `cargo bench --bench search`.
//!
//! The store has 5,000 posts, each a real entry. A million of them are measured by the example
//! `search_bench`.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

#[path = "../examples/support/mod.rs"]
mod support;

use divan::Bencher;
use lanai_crdt::payload::{Body, Note};
use lanai_node::random::OsRandom;
use lanai_node::store::{NewEntry, SearchOrder, SearchQuery, Store};
use support::found;

const NOW: u64 = 1_800_000_000_000;
const POSTS: u64 = 5_000;

fn main() {
    divan::main();
}

/// A store of notes: "the" in all of them, "convoy" in a tenth, "ford" in a hundredth.
fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let ana = found(dir.path(), "Ana").unwrap();
    for batch in 0..POSTS / 1_000 {
        let note = |n: u64| {
            let convoy = if n.is_multiple_of(10) { "convoy" } else { "route" };
            let ford = if n.is_multiple_of(100) { "ford" } else { "bridge" };
            let text = format!("the {convoy} at the {ford} number w{n} in the night, walked first");
            let title = format!("Note about w{n}");
            NewEntry::new(Body::Note(Note { title, text, tags: vec![], origin: None }), [])
        };
        let notes = (batch * 1_000..(batch + 1) * 1_000).map(note).collect();
        ana.store.append(&ana.author, NOW + batch * 60_000, &mut OsRandom, notes).unwrap();
    }
    (dir, ana.store)
}

#[divan::bench(args = ["the", "convoy", "convoy ford", "\"the ford\"", "conv*", "convpy"])]
fn newest(bencher: Bencher<'_, '_>, text: &str) {
    let (_dir, store) = store();
    let query = SearchQuery { text: text.into(), limit: 20, ..SearchQuery::default() };
    bencher.bench_local(|| store.search(&query).unwrap());
}

#[divan::bench(args = ["the", "convoy", "convoy ford", "ford nowhere"])]
fn best(bencher: Bencher<'_, '_>, text: &str) {
    let (_dir, store) = store();
    let order = SearchOrder::Best;
    let query = SearchQuery { text: text.into(), limit: 20, order, ..SearchQuery::default() };
    bencher.bench_local(|| store.search(&query).unwrap());
}

const DRAFT: &str = "How does a convoy get over the ford at night? We walked the route first.";

#[divan::bench]
fn threads_like_a_draft(bencher: Bencher<'_, '_>) {
    let (_dir, store) = store();
    bencher.bench_local(|| store.similar(DRAFT, 5).unwrap());
}

#[divan::bench]
fn people_for_a_draft(bencher: Bencher<'_, '_>) {
    let (_dir, store) = store();
    bencher.bench_local(|| store.people_for(DRAFT, 3).unwrap());
}
