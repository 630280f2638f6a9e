//! Measures what two people send each other who hold nearly the same, with real stores and real sessions.
//!
//! ```text
//! cargo run --release --example difference_bench -- --posts 1000000 --dir /var/tmp/million
//! ```
//!
//! Two members hold the same posts, by many authors. Then each gets new ones that the other lacks, and one session
//! between them runs over a pair of pipes with a delay. What is printed for each:
//!
//! - bytes above the transport, both ways together, and *own bytes*: what the new entries take by themselves
//!   (header, signature and sealed payload);
//! - round trips; half a one at the end is the acknowledgement of what is on both sides by then;
//! - how the difference was found: by news, or by comparing whole sets, as two do who never met before.
//!
//! With `--dir` the stores stay there, and the next run goes on with them: then all who meet have met before.

#![allow(clippy::print_stdout)]

mod support;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::Parser;
use lanai_crdt::id::EntryId;
use lanai_crdt::payload::{Body, Note};
use lanai_node::identity::Identity;
use lanai_node::runtime::{PipeDone, PipeOptions, pipe};
use lanai_node::store::{Author, Incoming, NewEntry, Place, Source, Store};
use support::{Person, Result, found, home, now};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio_util::compat::TokioAsyncReadCompatExt as _;

#[derive(Debug, Parser)]
struct Args {
    /// Posts that both hold.
    #[arg(long, default_value_t = 10_000)]
    posts: usize,
    /// People who write them; each has a log.
    #[arg(long, default_value_t = 200)]
    authors: usize,
    /// Bytes of text in a post.
    #[arg(long, default_value_t = 280)]
    bytes: usize,
    /// New posts that each side has in the large case, over all logs.
    #[arg(long, default_value_t = 1000)]
    scattered: usize,
    /// Milliseconds that a byte takes from one side to the other: longer than what the stores need.
    #[arg(long, default_value_t = 300)]
    delay_ms: u64,
    /// Where to make the stores, and to find them the next time.
    #[arg(long)]
    dir: Option<PathBuf>,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let passing = tempfile::tempdir()?;
    let dir = args.dir.clone().unwrap_or_else(|| passing.path().to_owned());
    std::fs::create_dir_all(&dir)?;
    let people = match dir.join("made").exists() {
        true => People::open(&dir, args.authors)?,
        false => People::make(&dir, &args)?,
    };
    let entries = people.ana.store.set_summary()?.entries;
    println!("{entries} entries on both sides, {} logs", people.authors.len() + 2);
    let bench = Bench { people, args, serial: std::cell::Cell::new(now()) };
    bench.small("10 + 10 new, at the first meeting")?;
    bench.nothing()?;
    bench.small("10 + 10 new")?;
    bench.large()?;
    bench.nothing()?;
    if let Some(peak) = peak_mib() {
        println!("peak memory of both together, the making of the stores included: {peak:.0} MiB");
    }
    Ok(())
}

fn peak_mib() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find(|l| l.starts_with("VmHWM:"))?;
    let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1024.0)
}

struct People {
    ana: Person,
    ben: Person,
    authors: Vec<Person>,
}

fn author_name(n: usize) -> String {
    format!("author-{n}")
}

fn open(dir: &Path, name: &str) -> Result<Person> {
    let home = home(dir, name)?;
    let identity = Identity::of_home(&home)?;
    let author = Author { device: identity.device.clone(), sealing: identity.sealing.clone() };
    let store = Store::open(&Place::of_home(&home))?;
    Ok(Person { home, author, store })
}

/// Takes over entries without making them readable: a session does not need that.
fn take(to: &Person, from: &Person, ids: &[EntryId]) -> Result<()> {
    for part in ids.chunks(5_000) {
        let batch = from.store.entries(part)?.into_iter();
        let batch =
            batch.map(|e| Incoming { signed: e.verified.into_signed(), payload: e.payload });
        to.store.ingest(batch.collect(), &Source::File, now())?;
    }
    Ok(())
}

fn take_all(to: &Person, from: &Person) -> Result<()> {
    let mut items = from.store.items()?.items;
    // Who belongs comes before what they wrote.
    items.sort_by_key(|item| !item.roster);
    let ids: Vec<EntryId> = items.iter().map(|item| item.id).collect();
    take(to, from, &ids)
}

impl People {
    fn make(dir: &Path, args: &Args) -> Result<People> {
        let start = Instant::now();
        let ana = found(dir, "ana")?;
        let mut authors = Vec::new();
        for n in 0..args.authors {
            authors.push(ana.admit(dir, &author_name(n))?);
        }
        let ben = ana.admit(dir, "ben")?;
        let mut made = 0;
        for (n, author) in authors.iter().enumerate() {
            let share = args.posts * (n + 1) / args.authors - args.posts * n / args.authors;
            let mut left = share;
            while left > 0 {
                let now = left.min(1000);
                author.write(
                    (0..now).map(|i| post(&format!("{n}.{left}.{i}"), args.bytes)).collect(),
                )?;
                left -= now;
                made += now;
            }
            take_all(&ana, author)?;
            if n % 20 == 19 {
                println!("{made} posts after {:.0?}", start.elapsed());
            }
        }
        take_all(&ben, &ana)?;
        take_all(&ana, &ben)?;
        std::fs::write(dir.join("made"), b"")?;
        println!("made in {:.0?}", start.elapsed());
        Ok(People { ana, ben, authors })
    }

    fn open(dir: &Path, authors: usize) -> Result<People> {
        let authors = (0..authors).map(|n| open(dir, &author_name(n))).collect::<Result<_>>()?;
        Ok(People { ana: open(dir, "ana")?, ben: open(dir, "ben")?, authors })
    }
}

fn post(name: &str, bytes: usize) -> NewEntry {
    let mut text = String::new();
    let mut hash = blake3::hash(name.as_bytes());
    while text.len() < bytes {
        // Words that do not compress to nothing.
        let hex = hash.to_hex();
        for word in hex.as_bytes().chunks(7) {
            text.push_str(&String::from_utf8_lossy(word));
            text.push(' ');
        }
        hash = blake3::hash(hash.as_bytes());
    }
    text.truncate(bytes);
    NewEntry::new(Body::Note(Note { title: name.into(), text, tags: vec![], origin: None }), [])
}

struct Bench {
    people: People,
    args: Args,
    serial: std::cell::Cell<u64>,
}

impl Bench {
    fn posts(&self, count: usize) -> Vec<NewEntry> {
        let posts = (0..count).map(|_| {
            self.serial.set(self.serial.get() + 1);
            post(&format!("new {}", self.serial.get()), self.args.bytes)
        });
        posts.collect()
    }

    /// Bytes of entries by themselves.
    fn own_bytes(&self, ids: &[EntryId], at: &Person) -> Result<usize> {
        let entries = at.store.entries(ids)?;
        let bytes = entries
            .iter()
            .map(|e| e.verified.bytes().len() + 64 + e.payload.as_ref().map_or(0, Vec::len));
        Ok(bytes.sum())
    }

    fn nothing(&self) -> Result<()> {
        let met = meet(&self.people, self.args.delay_ms)?;
        println!("nothing new: {} bytes, {} round trips, {:.1?}", met.bytes(), met.trips, met.took);
        Ok(())
    }

    fn small(&self, name: &str) -> Result<()> {
        let People { ana, ben, .. } = &self.people;
        let (mine, theirs) = (ana.write(self.posts(10))?, ben.write(self.posts(10))?);
        let own = self.own_bytes(&mine, ana)? + self.own_bytes(&theirs, ben)?;
        self.difference(name, own)
    }

    fn large(&self) -> Result<()> {
        let People { ana, ben, authors } = &self.people;
        let each = (2 * self.args.scattered).div_ceil(authors.len());
        let mut own = 0;
        let mut left = [self.args.scattered; 2];
        for (n, author) in authors.iter().enumerate() {
            let to = if n % 2 == 0 { ana } else { ben };
            let Some(left) = left.get_mut(n % 2) else { continue };
            let ids = author.write(self.posts(each.min(*left)))?;
            *left -= ids.len();
            own += self.own_bytes(&ids, author)?;
            take(to, author, &ids)?;
        }
        let name = format!("{0} + {0} new in {1} logs", self.args.scattered, authors.len());
        self.difference(&name, own)
    }

    fn difference(&self, name: &str, own: usize) -> Result<()> {
        let met = meet(&self.people, self.args.delay_ms)?;
        let how = if met.done.by_news { "by news" } else { "whole sets" };
        println!(
            "{name}: {how}, {} bytes, own bytes {own} ({:+.1} %), {} + {} entries, {} round trips, {:.1?}",
            met.bytes(),
            (met.bytes() as f64 / own as f64 - 1.0) * 100.0,
            met.done.received,
            met.done.sent,
            met.trips,
            met.took,
        );
        let (mine, theirs) =
            (self.people.ana.store.set_summary()?, self.people.ben.store.set_summary()?);
        if mine.entries != theirs.entries {
            return Err("they do not hold the same".into());
        }
        Ok(())
    }
}

/// One session.
struct Met {
    done: PipeDone,
    /// Without those of the handshake below the session.
    trips: f64,
    took: Duration,
}

impl Met {
    fn bytes(&self) -> u64 {
        self.done.bytes_in + self.done.bytes_out
    }
}

/// Who spoke last, and how often that changed.
#[derive(Debug, Default)]
struct Turns {
    last: Option<usize>,
    count: u32,
}

/// Turns before the session, without the greetings, which cross: two messages of Noise. A third goes the same way
/// as the session's first.
const HANDSHAKE_TURNS: u32 = 2;

fn meet(people: &People, delay_ms: u64) -> Result<Met> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let delay = Duration::from_millis(delay_ms);
    runtime.block_on(async {
        let (ana_end, a) = duplex(1 << 20);
        let (ben_end, b) = duplex(1 << 20);
        let turns = Arc::new(Mutex::new(Turns::default()));
        let (a_read, a_write) = tokio::io::split(a);
        let (b_read, b_write) = tokio::io::split(b);
        tokio::spawn(carry(a_read, b_write, delay, 0, turns.clone()));
        tokio::spawn(carry(b_read, a_write, delay, 1, turns.clone()));
        let start = Instant::now();
        let side = |person: &Person, link: DuplexStream| -> Result<_> {
            let identity = Arc::new(Identity::of_home(&person.home)?);
            let store = person.store.clone();
            let options = PipeOptions::new(Duration::from_secs(60));
            Ok(tokio::spawn(pipe(store, identity, link.compat(), options)))
        };
        let (x, y) = (side(&people.ana, ana_end)?, side(&people.ben, ben_end)?);
        let done = x.await??;
        y.await??;
        let took = start.elapsed();
        let count = turns.lock().unwrap_or_else(PoisonError::into_inner).count;
        let trips = f64::from(count.saturating_sub(HANDSHAKE_TURNS)) / 2.0;
        Ok(Met { done, trips, took })
    })
}

/// Carries bytes from one end to the other, each `delay` after it was sent.
async fn carry(
    mut from: tokio::io::ReadHalf<DuplexStream>,
    mut to: tokio::io::WriteHalf<DuplexStream>,
    delay: Duration,
    direction: usize,
    turns: Arc<Mutex<Turns>>,
) {
    let (send, mut receive) = tokio::sync::mpsc::channel::<(Instant, Vec<u8>)>(1024);
    let arriving = tokio::spawn(async move {
        while let Some((sent, bytes)) = receive.recv().await {
            tokio::time::sleep((sent + delay).saturating_duration_since(Instant::now())).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
        // The other end may have gone first.
        let _gone = to.shutdown().await;
    });
    let mut buffer = vec![0; 1 << 16];
    let mut is_greeting = true;
    while let Ok(n) = from.read(&mut buffer).await {
        if n == 0 {
            break;
        }
        if !std::mem::take(&mut is_greeting) {
            let mut turns = turns.lock().unwrap_or_else(PoisonError::into_inner);
            if turns.last.replace(direction) != Some(direction) {
                turns.count += 1;
            }
        }
        let bytes = buffer.get(..n).unwrap_or_default().to_vec();
        if send.send((Instant::now(), bytes)).await.is_err() {
            break;
        }
    }
    drop(send);
    // It ends when all has arrived.
    let _arrived = arriving.await;
}
