//! Measures creating, syncing and reading, with real stores, processes and sockets on this machine.
//!
//! ```text
//! cargo build --release && cargo run --release --example sync_bench -- --posts 10000 --authors 20
//! ```
//!
//! All figures of one run belong together: compare ratios, not days. What is printed:
//!
//! - create: posts signed, sealed and committed, one at a time and in batches;
//! - cold sync: a member who holds the roster gets everything over one connection, and how much of
//!   that time its store alone would have taken for the same entries; with `--features sqlcipher` also
//!   how much longer a sealed store takes;
//! - nothing new, and 100 new: on an open connection;
//! - live: from one person's commit to another's readable view, 200 times;
//! - cold read: `lanai read` as a new process, if the program is built beside this example.

#![allow(clippy::print_stdout)]

mod support;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clap::Parser;
use lanai_crdt::id::EntryId;
use lanai_crdt::payload::{Body, Note, Post, PostRole};
use lanai_node::control::{Reply, Request};
use lanai_node::store::{CAN_SEAL, Incoming, NewEntry, NewRef, Source};
use support::{Node, Person, Result, be_a_node_if_asked, found, now, wait_until};

/// Words of which the posts are made: common ones often, rare ones rarely.
const WORDS: &str = "the of and to a in that we is for it on you with as not be are this was but at \
    have from they or by one had what all were when there can an your which their if do will how \
    about out up them then she many some so these would into has more her two like him see time \
    could no make than first been its who now people my made over did down only way find use may \
    water long little very after words called just where most know get through back much before go \
    good new write our used me man too any day same right look think also around another came come \
    work three word must because does part even place well such here take why things help put years \
    different away again off went old number great tell men say small every found still between \
    name should home big give air line set own under read last never us left end along while might \
    next sound below saw something thought both few those always looked show large often together \
    asked house world going want school important until form food keep children feet land side \
    without boy once animals life enough took four head above kind began almost live page got earth \
    need far hand high year mother light country father let night following picture being study \
    second eyes soon times story boys since white days ever paper hard near sentence better best \
    across during today others however sure means knew try told young miles sun ways thing whole \
    hear example heard several change answer room sea against top turned learn point city play \
    toward five using himself usually convoy trailer ford depth radio battery spare driver route";

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
}

/// A small generator, so that a run can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n.max(1) as u64) as usize
    }

    fn text(&mut self, words: &[&str], bytes: usize) -> String {
        let mut text = String::with_capacity(bytes + 16);
        while text.len() < bytes {
            let rank = self.below(words.len()).min(self.below(words.len()));
            text.push_str(words.get(rank).unwrap_or(&"the"));
            text.push(if self.below(12) == 0 { '\n' } else { ' ' });
        }
        text.truncate(bytes);
        text
    }
}

fn main() -> Result<()> {
    be_a_node_if_asked()?;
    let args = Args::parse();
    let words: Vec<&str> = WORDS.split_whitespace().collect();
    let mut random = Random(0x5eed_1a2a_1234_5677);
    let dir = tempfile::tempdir()?;
    println!("{} posts of {} bytes by {} authors", args.posts, args.bytes, args.authors);

    let ana = found(dir.path(), "Ana")?;
    let mut people = Vec::new();
    for i in 1..args.authors {
        people.push(ana.admit(dir.path(), &format!("Author {i}"))?);
    }
    create(&args, &words, &mut random, &ana, &people)?;
    for person in &people {
        ana.take_all_from(person)?;
    }
    let ben = ana.admit(dir.path(), "Ben")?;

    let anas = Node::start(&ana.home, &[])?;
    let address = anas.address(if args.transport == "quic" { "/quic-v1" } else { "/tcp/" })?;
    cold_sync(&args, &ana, &anas, &ben, &address)?;
    let bens = Node::start(&ben.home, &[address])?;
    wait_until(Duration::from_secs(60), || {
        Ok(bens.status()?.peers.iter().any(|p| p.in_sync)
            && ana.state_hash()? == ben.state_hash()?)
    })?;
    small_syncs(&ana, &anas, &ben, &bens, &words, &mut random, args.bytes)?;
    live(&args, &ana, &anas, &ben, &words, &mut random)?;
    cold_read(&ben)?;
    bens.stop()?;
    anas.stop()
}

fn create(
    args: &Args,
    words: &[&str],
    random: &mut Random,
    ana: &Person,
    people: &[Person],
) -> Result<()> {
    let single = 200.min(args.posts);
    let start = Instant::now();
    for _ in 0..single {
        ana.note("One at a time", &random.text(words, args.bytes))?;
    }
    let rate = single as f64 / start.elapsed().as_secs_f64();
    println!("create, one at a time, on disk each:   {rate:8.0} posts/s");

    let left = args.posts - single;
    let mut written = 0;
    let start = Instant::now();
    let writers: Vec<&Person> = std::iter::once(ana).chain(people).collect();
    for (i, person) in writers.iter().enumerate() {
        let share = left * (i + 1) / writers.len() - left * i / writers.len();
        let mut batch: Vec<NewEntry> = Vec::new();
        let mut root = 0;
        for n in 0..share {
            let text = random.text(words, args.bytes);
            // Threads of ten.
            batch.push(match batch.len() % 10 {
                0 => {
                    root = batch.len();
                    let title = format!("Thread {i}.{n}");
                    NewEntry::new(Body::Note(Note { title, text, tags: vec![], origin: None }), [])
                }
                _ => NewEntry {
                    body: Body::Post(Post { role: PostRole::Reply, text, origin: None, met: None }),
                    refs: vec![NewRef::Batch(root)],
                },
            });
            if batch.len() == 1_000 || n + 1 == share {
                written += person.write(std::mem::take(&mut batch))?.len();
            }
        }
    }
    let rate = written as f64 / start.elapsed().as_secs_f64();
    println!("create, batches of 1,000:              {rate:8.0} posts/s");
    Ok(())
}

fn cold_sync(args: &Args, ana: &Person, anas: &Node, ben: &Person, address: &str) -> Result<()> {
    let total = ana.store.stats()?.entries;
    let before = ben.store.stats()?.entries;
    let start = Instant::now();
    let bens = Node::start(&ben.home, &[address.to_owned()])?;
    wait_until(Duration::from_secs(600), || {
        // Headers can be ahead of what they announce.
        let summary = ben.store.set_summary()?;
        Ok(summary.entries >= total && !summary.wanted_payloads)
    })?;
    let took = start.elapsed();
    wait_until(Duration::from_secs(600), || Ok(ben.store.stats()?.unfolded == 0))?;
    let folded = start.elapsed();
    wait_until(Duration::from_secs(60), || Ok(bens.counter("session bytes received")? > 0))?;
    let received = (total - before) as f64;
    println!(
        "cold sync:                             {:8.0} posts/s ({took:.2?}; with views and search {folded:.2?})",
        received / took.as_secs_f64()
    );
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
        let mut batches = Vec::new();
        for part in ids.chunks(5_000) {
            let batch: Vec<Incoming> = ana
                .store
                .entries(part)?
                .into_iter()
                .map(|e| Incoming { signed: e.verified.into_signed(), payload: e.payload })
                .collect();
            batches.push(batch);
        }
        let start = Instant::now();
        for batch in batches {
            alone.store.ingest(batch, &Source::File, now())?;
        }
        let inserted = start.elapsed();
        while alone.store.fold_pending(5_000)?.left > 0 {}
        best = (best.0.min(inserted), best.1.min(start.elapsed()));
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
    words: &[&str],
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
        let text = random.text(words, bytes);
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

fn live(
    args: &Args,
    ana: &Person,
    anas: &Node,
    ben: &Person,
    words: &[&str],
    random: &mut Random,
) -> Result<()> {
    let thread = ana.note("Live", "one after another")?;
    anas.wake()?;
    let mut times = Vec::new();
    for _ in 0..args.live {
        let text = random.text(words, args.bytes);
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

fn cold_read(ben: &Person) -> Result<()> {
    let program = std::env::current_exe()?
        .parent()
        .and_then(|examples| examples.parent())
        .map(|target| target.join("lanai"))
        .filter(|program| program.exists());
    let Some(program) = program else {
        println!("cold read: not measured, `lanai` is not built beside this example");
        return Ok(());
    };
    let filter = lanai_node::store::ThreadFilter { limit: 20, ..Default::default() };
    let threads = ben.store.threads(&filter)?;
    let mut times = Vec::new();
    for thread in threads.iter().chain(&threads) {
        let start = Instant::now();
        let status = Command::new(&program)
            .arg("--home")
            .arg(ben.home.root())
            .args(["--no-pager", "read", &thread.root.full()])
            .stdout(Stdio::null())
            .status()?;
        if !status.success() {
            return Err(format!("lanai read: {status}").into());
        }
        times.push(start.elapsed());
    }
    times.sort();
    if let Some(median) = times.get(times.len() / 2) {
        println!("cold read, new process, warm cache:    median {median:.1?} of {}", times.len());
    }
    Ok(())
}
