//! Measures creating, syncing and reading, with real stores, processes and sockets on this machine.
//!
//! ```text
//! cargo build --release && cargo run --release --example sync_bench -- --posts 10000 --authors 20
//! ```
//!
//! All figures of one run belong together: compare ratios, not days. What is printed:
//!
//! - create: posts signed, sealed and committed, one at a time and in batches;
//! - cold sync: a member who holds the roster gets everything over one connection from a node at rest; when the
//!   newest threads are listed, when views and search are complete;
//! - the same rows: the rows of the receiver's finished store, inserted into an empty database by SQLite
//!   alone (`bench/rows.rs` names the tables), and how many times as long the cold sync took; with `--rounds` both
//!   are done several times by turns, since other machines on the same processors come and go within seconds;
//! - the store alone, without a network, for the same entries; with `--features sqlcipher` also how much
//!   longer a sealed store takes;
//! - nothing new, and 100 new: on an open connection;
//! - live: from one person's commit to another's readable view, 200 times;
//! - a node that starts on the received store, and what it takes while nothing happens;
//! - `lanai threads`, `read`, `search`, `status` and `inbox` as new processes, if the program is built beside this
//!   example.
//!
//! A million posts, kept for a second run: `--posts 1000000 --large --dir /some/where`; with `--open` only a node
//! that starts on them, and the commands.

#![allow(clippy::print_stdout)]

mod bench;
mod support;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bench::large::{REST, commands, start_and_idle};
use bench::posts::{Random, create};
use bench::rows::insert_same_rows;
use clap::Parser;
use lanai_crdt::id::EntryId;
use lanai_crdt::payload::{Body, Post, PostRole};
use lanai_node::control::{Reply, Request};
use lanai_node::store::{CAN_SEAL, Incoming, NewEntry, Source, ThreadFilter};
use support::{Node, Person, Result, again, be_a_node_if_asked, found, home, now, wait_until};

/// Threads that a newcomer is to see soon.
const NEWEST: usize = 20;
/// The longest that a cold sync may take.
const PATIENCE: Duration = Duration::from_secs(3600);

#[derive(Debug, Parser)]
struct Args {
    /// Posts in all.
    #[arg(long, default_value_t = 10_000)]
    posts: usize,
    /// People who write them.
    #[arg(long, default_value_t = 20)]
    authors: usize,
    /// Bytes of text in a post.
    #[arg(long, default_value_t = 280)]
    bytes: usize,
    /// `quic` or `tcp`.
    #[arg(long, default_value = "tcp")]
    transport: String,
    /// Live posts that are timed.
    #[arg(long, default_value_t = 200)]
    live: usize,
    /// Where the homes are made and stay: a second run takes the posts that are there.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Seconds for which the idle node is watched.
    #[arg(long, default_value_t = 60)]
    idle: u64,
    /// Cold syncs and rows, by turns.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Leave out the store alone, which takes the time and space of three more.
    #[arg(long)]
    large: bool,
    /// Only what opening the store takes: the start, the idle node, and commands, by the one who has all posts.
    #[arg(long)]
    open: bool,
}

fn main() -> Result<()> {
    be_a_node_if_asked()?;
    let args = Args::parse();
    let mut random = Random::new();
    let temporary = tempfile::tempdir()?;
    let dir = args.dir.as_deref().unwrap_or(temporary.path());
    let ana = sender(&args, dir, &mut random)?;
    if args.open {
        start_and_idle(&ana, Duration::from_secs(args.idle))?;
        return commands(&ana);
    }
    if home(dir, "Ben")?.has_store() {
        return Err(format!("{} holds a Ben already: remove it", dir.display()).into());
    }
    let mut ben = ana.admit(dir, "Ben")?;

    let anas = Node::start(&ana.home, &[])?;
    // What creating the posts left to do is not part of a sync.
    anas.rest(REST)?;
    let address = anas.address(if args.transport == "quic" { "/quic-v1" } else { "/tcp/" })?;
    let mut times = Vec::new();
    for round in 1..=args.rounds {
        if round > 1 {
            let before = std::mem::replace(&mut ben, ana.admit(dir, &format!("Ben {round}"))?);
            std::fs::remove_dir_all(before.home.root())?;
            // Ana's node has to see that somebody was let in.
            anas.rest(REST)?;
        }
        times.push(round_of(&args, &ana, &anas, &ben, &address)?);
    }
    if times.len() > 1 {
        times.sort_by(f64::total_cmp);
        let median = times.get(times.len() / 2).copied().unwrap_or_default();
        println!("  median of {} rounds:                  {median:.2} times", times.len());
    }
    if !args.large {
        alone(&args, &ana)?;
    }

    let bens = Node::start(&ben.home, &[address])?;
    wait_until(Duration::from_secs(600), || {
        Ok(bens.status()?.peers.iter().any(|p| p.in_sync)
            && ana.state_hash()? == ben.state_hash()?)
    })?;
    bens.rest(REST)?;
    small_syncs(&ana, &anas, &ben, &bens, &mut random, args.bytes)?;
    live(&args, &ana, &anas, &ben, &mut random)?;
    bens.stop()?;
    start_and_idle(&ben, Duration::from_secs(args.idle))?;
    anas.stop()?;
    commands(&ben)
}

/// A cold sync, and its rows by SQLite alone: how many times as long it took, with views and search.
fn round_of(args: &Args, ana: &Person, anas: &Node, ben: &Person, address: &str) -> Result<f64> {
    let synced = cold_sync(ana, anas, ben, address)?;
    let same = insert_same_rows(ben)?;
    println!(
        "  the same {} rows by SQLite alone:  {:8.2?}, {} bytes a post",
        same.rows,
        same.took,
        same.bytes / args.posts.max(1) as u64
    );
    let times = |of: Duration| of.as_secs_f64() / same.took.as_secs_f64();
    println!(
        "  cold sync takes {:.2} times as long, with views and search {:.2} times",
        times(synced.entries),
        times(synced.folded)
    );
    Ok(times(synced.folded))
}

/// Who has all posts: from the directory, if they are there already.
fn sender(args: &Args, dir: &Path, random: &mut Random) -> Result<Person> {
    if home(dir, "Ana")?.has_store() {
        return again(dir, "Ana");
    }
    println!("{} posts of {} bytes by {} authors", args.posts, args.bytes, args.authors);
    let ana = found(dir, "Ana")?;
    let mut people = Vec::new();
    for i in 1..args.authors {
        people.push(ana.admit(dir, &format!("Author {i}"))?);
    }
    let writers: Vec<&Person> = std::iter::once(&ana).chain(&people).collect();
    create(&writers, args.posts, args.bytes, random)?;
    for person in people {
        ana.take_all_from(&person)?;
        std::fs::remove_dir_all(person.home.root())?;
    }
    Ok(ana)
}

/// How long a cold sync took.
struct Synced {
    /// Until entries and payloads were committed.
    entries: Duration,
    /// Until views and search were complete.
    folded: Duration,
}

fn cold_sync(ana: &Person, anas: &Node, ben: &Person, address: &str) -> Result<Synced> {
    let total = ana.store.stats()?.entries;
    let before = ben.store.stats()?.entries;
    let newest = ThreadFilter { limit: NEWEST, ..ThreadFilter::default() };
    // By when they were last written in: a batch has one time, and any of its threads is as new.
    let newest_of = |person: &Person| -> Result<Vec<u64>> {
        Ok(person.store.threads(&newest)?.iter().map(|t| t.active_ms).collect())
    };
    let wanted = newest_of(ana)?;
    let start = Instant::now();
    let bens = Node::start(&ben.home, &[address.to_owned()])?;
    let mut shown = None;
    let mut done = || -> Result<bool> {
        if shown.is_none() && newest_of(ben)? == wanted {
            shown = Some(start.elapsed());
        }
        // Headers can be ahead of what they announce.
        let summary = ben.store.set_summary()?;
        Ok(summary.entries >= total && !summary.wanted_payloads)
    };
    // Looked for seldom: two processes need the processors.
    while !done()? {
        if start.elapsed() > PATIENCE {
            return Err("the cold sync does not end".into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let took = start.elapsed();
    while ben.store.stats()?.unfolded > 0 {
        if shown.is_none() && newest_of(ben)? == wanted {
            shown = Some(start.elapsed());
        }
        if start.elapsed() > PATIENCE {
            return Err("the folding does not end".into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let folded = start.elapsed();
    wait_until(Duration::from_secs(60), || Ok(bens.counter("session bytes received")? > 0))?;
    let received = (total - before) as f64;
    println!(
        "cold sync:                             {:8.0} posts/s ({took:.2?}; with views and search {folded:.2?})",
        received / took.as_secs_f64()
    );
    println!("  views and search after the entries:  {:8.2?}", folded.saturating_sub(took));
    println!("  the {NEWEST} newest threads are listed: {:10.2?}", shown.unwrap_or(folded));
    let bytes = bens.counter("session bytes received")? + bens.counter("session bytes sent")?;
    println!("  stream bytes a post, both ways:      {:8.0}", bytes as f64 / received);
    if let Some(mib) = bens.peak_mib() {
        println!("  peak memory of the receiver:         {mib:8.0} MiB");
    }
    if let Some(mib) = anas.peak_mib() {
        println!("  peak memory of the sender:           {mib:8.0} MiB");
    }
    bens.stop()?;
    let disk = std::fs::metadata(ben.home.store())?.len();
    println!("  disk bytes a post, search included:  {:8.0}", disk as f64 / received);
    Ok(Synced { entries: took, folded })
}

/// What the store alone takes for the same entries.
fn alone(args: &Args, ana: &Person) -> Result<()> {
    let plain = store_alone(ana, false)?;
    println!(
        "  the store alone, same entries:       {:8.0} posts/s (views and search after {:.2?})",
        args.posts as f64 / plain.0.as_secs_f64(),
        plain.1
    );
    if CAN_SEAL {
        let sealed = store_alone(ana, true)?;
        println!(
            "  a sealed store, same entries:        {:8.0} posts/s (views and search after {:.2?})",
            args.posts as f64 / sealed.0.as_secs_f64(),
            sealed.1
        );
        let times = |a: Duration, b: Duration| a.as_secs_f64() / b.as_secs_f64();
        println!(
            "  sealed takes {:.2} times as long, with views and search {:.2} times",
            times(sealed.0, plain.0),
            times(sealed.1, plain.1)
        );
    }
    Ok(())
}

/// The entries of `ana` into a store of the same kind, with no network and no second process: how long
/// until all are in, and until views and search are too. The better of two.
fn store_alone(ana: &Person, sealed: bool) -> Result<(Duration, Duration)> {
    let mut best = (Duration::MAX, Duration::MAX);
    for _ in 0..2 {
        let dir = tempfile::tempdir()?;
        let alone = match sealed {
            true => ana.admit_sealed(dir.path(), "Alone")?,
            false => ana.admit(dir.path(), "Alone")?,
        };
        let ids: Vec<EntryId> = ana.store.items()?.items.iter().map(|i| i.id).collect();
        let mut inserted = Duration::ZERO;
        for part in ids.chunks(5_000) {
            let batch: Vec<Incoming> = ana
                .store
                .entries(part)?
                .into_iter()
                .map(|e| Incoming { signed: e.verified.into_signed(), payload: e.payload })
                .collect();
            let start = Instant::now();
            alone.store.ingest(batch, &Source::File, now())?;
            inserted += start.elapsed();
        }
        let start = Instant::now();
        while alone.store.fold_pending(5_000)?.left > 0 {}
        best = (best.0.min(inserted), best.1.min(inserted + start.elapsed()));
    }
    Ok(best)
}

/// Syncs now, and gives the time and the bytes that it took.
fn sync(bens: &Node) -> Result<(Duration, u64)> {
    let bytes = |n: &Node| -> Result<u64> {
        Ok(n.counter("session bytes received")? + n.counter("session bytes sent")?)
    };
    let before = bytes(bens)?;
    let start = Instant::now();
    match bens.ask(&Request::Sync { wait_ms: 30_000 })? {
        Reply::Synced(outcome) if outcome.confirmed == 1 => {}
        other => return Err(format!("not confirmed: {other:?}").into()),
    }
    Ok((start.elapsed(), bytes(bens)? - before))
}

fn small_syncs(
    ana: &Person,
    anas: &Node,
    ben: &Person,
    bens: &Node,
    random: &mut Random,
    bytes: usize,
) -> Result<()> {
    let mut best = (Duration::MAX, u64::MAX);
    for _ in 0..5 {
        best = best.min(sync(bens)?);
    }
    println!("nothing new, best of 5:                {:8} bytes, {:.2?}", best.1, best.0);

    // Written behind the node's back in one go, more than gossip announces.
    let thread = ana.note("A hundred", "replies follow")?;
    let replies = (0..99).map(|_| {
        let text = random.text(bytes);
        let post = Post { role: PostRole::Reply, text, origin: None, met: None };
        NewEntry::new(Body::Post(post), [thread])
    });
    ana.write(replies.collect())?;
    anas.wake()?;
    let before = bens.counter("session bytes received")? + bens.counter("session bytes sent")?;
    let took = wait_until(Duration::from_secs(30), || Ok(ana.state_hash()? == ben.state_hash()?))?;
    let after = bens.counter("session bytes received")? + bens.counter("session bytes sent")?;
    println!("100 new:                               {:8} bytes, {took:.2?}", after - before);
    Ok(())
}

fn live(args: &Args, ana: &Person, anas: &Node, ben: &Person, random: &mut Random) -> Result<()> {
    let thread = ana.note("Live", "one after another")?;
    anas.wake()?;
    let mut times = Vec::new();
    for _ in 0..args.live {
        let text = random.text(args.bytes);
        let start = Instant::now();
        let id = ana.reply(thread, &text)?;
        anas.wake()?;
        wait_until(Duration::from_secs(10), || {
            let view = ben.store.thread(&thread)?;
            Ok(view.is_some_and(|v| v.thread.posts.iter().any(|p| p.id == id)))
        })?;
        times.push(start.elapsed());
    }
    times.sort();
    let at = |share: f64| times.get(((times.len() as f64 * share) as usize).min(times.len() - 1));
    if let (Some(p50), Some(p99)) = (at(0.5), at(0.99)) {
        println!("live, commit to readable, {} posts:   p50 {p50:.1?}, p99 {p99:.1?}", times.len());
    }
    Ok(())
}
