//! Costs of pages: `cargo bench --bench page`.
//!
//! The page is what a thread of some importance comes to: 20 kB and 500 weaves. The goals, on one
//! ordinary laptop: opened from the cache in 50 ms, an own weave in 20 ms, rebuilt from a line of weaves
//! in 2 s, from 500 concurrent ones in 10 s. Counts heap bytes, since a page must stay under 50 MB.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use divan::{AllocProfiler, Bencher, black_box};
use lanai_crdt::clock::Hlc;
use lanai_crdt::id::{DeviceId, EntryId, MemberId};
use lanai_crdt::page::{Page, PageBody, PageEntry, PageRoot, splices_between};
use lanai_crdt::payload::{PageKind, Role, Splice};

#[global_allocator]
static ALLOC: AllocProfiler = AllocProfiler::system();

const WEAVES: usize = 500;
const BYTES: usize = 20_000;
const WRITERS: usize = 10;

fn main() {
    divan::main();
}

fn root() -> PageRoot {
    PageRoot {
        thread: EntryId::new([1; 32]),
        kind: PageKind::Answer,
        author: MemberId::new([1; 32]),
        opening: None,
    }
}

fn words(bytes: usize) -> String {
    let words =
        ["convoy", "the", "ford", "at", "night", "we", "walk", "it", "first", "with", "poles"];
    let mut text = String::new();
    for n in 0.. {
        if text.len() >= bytes {
            break;
        }
        text.push_str(words[n * 31 % words.len()]);
        text.push(if n % 12 == 11 { '\n' } else { ' ' });
    }
    text.truncate(bytes);
    text
}

fn entry(
    n: usize,
    by: usize,
    deps: Vec<EntryId>,
    previous: Option<EntryId>,
    splices: Vec<Splice>,
) -> PageEntry {
    let writer = [u8::try_from(by % 250).unwrap() + 1; 32];
    PageEntry {
        id: EntryId::new(*blake3::hash(&n.to_be_bytes()).as_bytes()),
        member: MemberId::new(writer),
        device: DeviceId::new(writer),
        role: Role::Member,
        time: Hlc::from_millis(n as u64),
        deps,
        previous,
        counts: true,
        body: PageBody::Weave(splices),
    }
}

fn start() -> PageEntry {
    let insert = words(BYTES);
    entry(0, 0, vec![], None, vec![Splice { at: 0, delete: 0, insert }])
}

fn swap(n: usize) -> Vec<Splice> {
    let at = u32::try_from(n * 7919 % (BYTES - 100)).unwrap();
    vec![Splice { at, delete: 9, insert: format!("<{n} word>") }]
}

/// Each on the one before, by ten people in turn.
fn line(weaves: usize) -> Vec<PageEntry> {
    let mut all = vec![start()];
    for n in 1..weaves {
        let deps = vec![all[n - 1].id];
        let previous = n.checked_sub(WRITERS).filter(|p| *p > 0).map(|p| all[p].id);
        all.push(entry(n, n % WRITERS + 1, deps, previous, swap(n)));
    }
    all
}

/// All on the first one, by as many devices of many people.
fn concurrent() -> Vec<PageEntry> {
    let mut all = vec![start()];
    for n in 1..WEAVES {
        let mut e = entry(n, n % 100 + 1, vec![all[0].id], None, swap(n));
        e.device = DeviceId::new(*e.id.as_bytes());
        all.push(e);
    }
    all
}

/// Three groups that do not hear of each other.
fn branches() -> Vec<PageEntry> {
    let mut all = vec![start()];
    for n in 1..WEAVES {
        let before = n.saturating_sub(3);
        let previous = (n > 3).then(|| all[before].id);
        all.push(entry(n, n % 3 + 1, vec![all[before].id], previous, swap(n)));
    }
    all
}

fn build(entries: Vec<PageEntry>) -> Page {
    let mut page = Page::new(root());
    page.set_entries(entries);
    assert_eq!(page.step(100_000), 0);
    assert!(page.log().iter().all(|l| l.status == lanai_crdt::page::Status::Applied));
    page
}

#[divan::bench(sample_count = 3)]
fn rebuild_a_line_of_500(bencher: Bencher<'_, '_>) {
    bencher.with_inputs(|| line(WEAVES)).bench_values(build);
}

#[divan::bench(sample_count = 2)]
fn rebuild_500_concurrent(bencher: Bencher<'_, '_>) {
    bencher.with_inputs(concurrent).bench_values(build);
}

#[divan::bench(sample_count = 2)]
fn rebuild_three_branches_of_167(bencher: Bencher<'_, '_>) {
    bencher.with_inputs(branches).bench_values(build);
}

#[divan::bench(args = ["line", "concurrent"], sample_count = 20)]
fn open_from_the_cache(bencher: Bencher<'_, '_>, shape: &str) {
    let entries = if shape == "line" { line(WEAVES) } else { concurrent() };
    let saved = build(entries.clone()).save();
    bencher.with_inputs(|| entries.clone()).bench_values(|entries| {
        let mut page = Page::load(root(), black_box(&saved)).unwrap();
        page.set_entries(entries);
        assert_eq!(page.left(), 0);
        page.text()
    });
}

#[divan::bench(sample_count = 20)]
fn weave_on_an_open_page(bencher: Bencher<'_, '_>) {
    let entries = line(WEAVES);
    let mut all = entries.clone();
    let own = entry(WEAVES, 200, vec![all[WEAVES - 1].id], None, swap(3));
    all.push(own);
    bencher.with_inputs(|| (build(entries.clone()), all.clone())).bench_values(
        |(mut page, all)| {
            page.set_entries(all);
            assert_eq!(page.step(1), 0);
            (page.text(), page)
        },
    );
}

#[divan::bench(sample_count = 20)]
fn save(bencher: Bencher<'_, '_>) {
    let mut page = build(line(WEAVES));
    bencher.bench_local(|| page.save());
}

#[divan::bench(args = ["line", "concurrent"], sample_count = 20)]
fn blame(bencher: Bencher<'_, '_>, shape: &str) {
    let page = build(if shape == "line" { line(WEAVES) } else { concurrent() });
    bencher.bench_local(|| page.blame());
}

#[divan::bench(args = ["line", "concurrent"], sample_count = 20)]
fn conflicts(bencher: Bencher<'_, '_>, shape: &str) {
    let page = build(if shape == "line" { line(WEAVES) } else { concurrent() });
    bencher.bench_local(|| page.conflicts());
}

#[divan::bench(sample_count = 20)]
fn splices_of_an_edit(bencher: Bencher<'_, '_>) {
    let old = words(BYTES);
    let new = old.replace("night", "dawn").replacen("poles", "sticks", 40);
    bencher.bench(|| splices_between(black_box(&old), &new).unwrap());
}

/// One member's 10,000 weaves on one base: planned, and folded away.
#[divan::bench(args = ["flood", "line"], sample_count = 5)]
fn plan_10000(bencher: Bencher<'_, '_>, shape: &str) {
    let entries = if shape == "line" {
        line(10_000)
    } else {
        let mut all = vec![start()];
        for n in 1..10_000 {
            all.push(entry(n, 7, vec![all[0].id], None, swap(n)));
        }
        all
    };
    bencher.with_inputs(|| entries.clone()).bench_values(|entries| {
        let mut page = Page::new(root());
        page.set_entries(entries);
        (page.left(), page)
    });
}
