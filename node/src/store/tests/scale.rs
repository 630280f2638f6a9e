//! Rates at some size. Run by hand, optimised:
//! `cargo test --release -p lanai-node --lib store::tests::scale -- --ignored --nocapture`

use std::time::Instant;

use super::*;

fn rate(what: &str, count: usize, since: Instant) {
    let seconds = since.elapsed().as_secs_f64();
    eprintln!("{what}: {count} in {seconds:.2} s, {:.0}/s", count as f64 / seconds);
}

#[test]
#[ignore = "a measurement"]
fn rates() {
    let posts: usize = std::env::var("POSTS").ok().and_then(|v| v.parse().ok()).unwrap_or(100_000);
    let mut a = Node::founder("ana");
    let b = a.invite("bo");
    let text = |i: usize| {
        let words = ["convoy", "brief", "night", "river", "platoon", "sand", "table", "radio"];
        let mut out = format!("post number {i}:");
        for k in 0..40 {
            out.push(' ');
            out.push_str(words[(i * 7 + k * k * 13 + i / 8) % words.len()]);
        }
        out
    };
    let start = Instant::now();
    let mut threads = Vec::new();
    for batch in 0..posts / 1_000 {
        let mut new = Vec::new();
        for i in 0..1_000 {
            let at = batch * 1_000 + i;
            if i % 20 == 0 {
                new.push(NewEntry::new(note(&format!("thread {at}"), &text(at)), []));
            } else {
                let refs = vec![NewRef::Batch(i - i % 20)];
                new.push(NewEntry { body: post(&text(at)), refs });
            }
        }
        a.now += 10;
        let ids = a.store.append(&a.author, a.now, &mut a.rng, new).unwrap();
        threads.push(ids[0]);
    }
    rate("append in batches of 1,000", posts, start);

    let all: Vec<EntryId> = a.store.items().unwrap().items.iter().map(|i| i.id).collect();
    let start = Instant::now();
    let head = a.store.log_heads().unwrap()[0].2;
    let mut batches = Vec::new();
    for ids in all.chunks(5_000) {
        let mut entries = a.store.entries(ids).unwrap();
        let last = entries.len() - 1;
        for (i, e) in entries.iter_mut().enumerate() {
            if i != last && e.verified.id() != head {
                let bytes = e.verified.bytes().to_vec();
                e.verified =
                    lanai_crdt::entry::Verified::from_trusted_storage(bytes, None).unwrap();
            }
        }
        batches.push(entries.iter().map(incoming).collect::<Vec<_>>());
    }
    rate("reading for sync", all.len(), start);

    let start = Instant::now();
    let mut new = 0;
    for batch in batches {
        new += b.ingest(batch).new.len();
    }
    rate("ingest in batches of 5,000, chain rule", new, start);
    b.store.open_seals(&b.author, b.now).unwrap();
    let fold = Instant::now();
    while b.store.fold_pending(2_000).unwrap().left > 0 {}
    rate("fold", new, fold);
    rate("ingest and fold", new, start);
    let start = Instant::now();
    assert_eq!(b.store.items().unwrap().items.len(), new + 7);
    rate("items", new, start);
    let start = Instant::now();
    b.store.set_summary().unwrap();
    rate("summary", 1, start);

    for thread in [threads[0], threads[threads.len() / 2]] {
        let start = Instant::now();
        let cold = Store::open(&b.place).unwrap();
        assert_eq!(cold.thread(&thread).unwrap().unwrap().thread.posts.len(), 20);
        eprintln!("cold open and thread: {:.1} ms", start.elapsed().as_secs_f64() * 1e3);
    }
    for (what, order) in [("newest", SearchOrder::Newest), ("best", SearchOrder::Best)] {
        for words in ["convoy", "\"night river\"", "number convoy radio", "post*"] {
            let start = Instant::now();
            let cold = Store::open(&b.place).unwrap();
            let query = SearchQuery { text: words.into(), author: None, order, limit: 20 };
            let hits = cold.search(&query).unwrap().len();
            eprintln!("{what} {words}: {hits}, {:.1} ms", start.elapsed().as_secs_f64() * 1e3);
        }
    }
    let start = Instant::now();
    let list = b.store.threads(&ThreadFilter { limit: 50, ..ThreadFilter::default() }).unwrap();
    eprintln!("{} threads: {:.1} ms", list.len(), start.elapsed().as_secs_f64() * 1e3);
    let start = Instant::now();
    let inbox = b.store.inbox(50).unwrap();
    let shown = inbox.for_me.len() + inbox.rest.len();
    eprintln!("inbox of {shown}: {:.1} ms", start.elapsed().as_secs_f64() * 1e3);
    let start = Instant::now();
    b.store.state_hash().unwrap();
    eprintln!("state hash: {:.1} ms", start.elapsed().as_secs_f64() * 1e3);
    let start = Instant::now();
    b.store.stats().unwrap();
    eprintln!("stats: {:.1} ms", start.elapsed().as_secs_f64() * 1e3);
    let mut times = Vec::new();
    for i in 0..200 {
        let start = Instant::now();
        a.reply(threads[0], &format!("live {i}"));
        times.push(start.elapsed());
    }
    times.sort();
    eprintln!("one post: p50 {:?}, p99 {:?}", times[100], times[197]);
    let bytes = b.store.stats().unwrap().bytes;
    eprintln!("disk: {} bytes a post", bytes / new as u64);
    let start = Instant::now();
    assert!(b.store.check(|_| ()).unwrap().is_clean());
    rate("check", new, start);
    let start = Instant::now();
    b.store.rebuild(|_| ()).unwrap();
    rate("rebuild", new, start);
}
