//! Judges the ranked search by hand-made judgements over a real archive.
//!
//! ```text
//! cargo run --release --example search_judgements -- ARCHIVE
//! ```
//!
//! The archive is imported into a store that is thrown away. Each line of `tests/judgements.tsv` is
//! a query and the threads that its author hoped for; a query is met when one of those threads is
//! among the first five that the ranked search gives. The judgements were made before the search
//! was tuned, and are not changed to fit it.

#![allow(clippy::print_stdout)]

mod support;

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Instant;

use clap::Parser;
use lanai_crdt::id::EntryId;
use lanai_node::import::{self, Limits};
use lanai_node::random::OsRandom;
use lanai_node::store::{SearchOrder, SearchQuery, Store};
use support::{Result, found, now};

/// Hits among which a hoped-for thread must be.
const FIRST: usize = 5;

#[derive(Debug, Parser)]
struct Args {
    /// The archive, an mbox.
    archive: PathBuf,
    /// The judgements.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/judgements.tsv"))]
    judgements: PathBuf,
    /// Print the hits of each query.
    #[arg(long)]
    hits: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let dir = tempfile::tempdir()?;
    let ana = found(dir.path(), "Ana")?;
    let seconds = i64::try_from(now() / 1000)?;
    let archive = import::read_all(&args.archive, &Limits::default(), seconds, &mut |_| {
        ControlFlow::Continue(())
    })?;
    let mut go_on = |_: u64, _: &import::Imported| ControlFlow::Continue(());
    let done =
        import::write(&ana.store, &ana.author, &archive, &[], now(), &mut OsRandom, &mut go_on)?;
    while ana.store.fold_pending(1_000)?.left > 0 {}
    println!("{} posts in {} threads", done.posts, done.threads);

    let judgements = std::fs::read_to_string(&args.judgements)?;
    let (mut met, mut all) = (0, 0);
    for line in judgements.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let mut fields = line.split('\t');
        let (Some(query), Some(wanted)) = (fields.next(), fields.next()) else {
            return Err(format!("no judgement: {line}").into());
        };
        let wanted = threads(&ana.store, wanted)?;
        let started = Instant::now();
        let hits = ana.store.search(&SearchQuery {
            text: query.into(),
            order: SearchOrder::Best,
            limit: 20,
            ..SearchQuery::default()
        })?;
        let took = started.elapsed();
        let mut given: Vec<(EntryId, String)> = Vec::new();
        for hit in hits.hits {
            if !given.iter().any(|(thread, _)| *thread == hit.thread) {
                given.push((hit.thread, hit.title));
            }
        }
        let place = given.iter().position(|(thread, _)| wanted.contains(thread));
        let ok = place.is_some_and(|place| place < FIRST);
        all += 1;
        met += usize::from(ok);
        let place = place.map_or("-".to_owned(), |place| (place + 1).to_string());
        let mark = if ok { "met" } else { "   " };
        println!("{mark}  {place:>3}  {:>6.1} ms  {query}", took.as_secs_f64() * 1000.0);
        if args.hits {
            for (thread, title) in given.iter().take(FIRST) {
                println!("            {} {title}", thread.short());
            }
        }
    }
    println!("{met} of {all} queries have a hoped-for thread among the first {FIRST}");
    Ok(())
}

/// The threads that the messages became.
fn threads(store: &Store, wanted: &str) -> Result<Vec<EntryId>> {
    let mut out = Vec::new();
    for id in wanted.split_whitespace() {
        let id = format!("{id}@everything.example");
        let found = store.find_message(&id)?;
        if found.is_empty() {
            return Err(format!("{id} is not in the archive").into());
        }
        out.extend(found.into_iter().map(|(_, thread)| thread));
    }
    Ok(out)
}
