//! Measures the search over a store of generated posts.
//!
//! ```text
//! cargo run --release --example search_bench -- --posts 1000000
//! ```
//!
//! The posts are real entries: signed, sealed, committed and folded like any other, by one author, in
//! threads of ten, one post in fifty an outcome. Their words follow Zipf's law over a generated
//! vocabulary, the commonest of which are English. Queries are drawn by how common their words are;
//! each class prints the median, the 99th percentile and the worst, warm, one after another.

#![allow(clippy::print_stdout, clippy::cast_precision_loss, clippy::print_stderr)]

mod support;

use std::io::Write as _;
use std::time::{Duration, Instant};

use clap::Parser;
use lanai_crdt::payload::{Body, Note, Post, PostRole};
use lanai_node::random::OsRandom;
use lanai_node::store::{NewEntry, NewRef, SearchOrder, SearchQuery, Store};
use support::{Person, Result, found, now};

/// The commonest words, so that they look like what they are.
const COMMON: &str = "the of and to a in that we is for it on you with as not be are this was but at have \
    from they or by one had what all were when there can an your which their if do will how about out \
    up them then many some so these would into has more two like time could no make than first been \
    who now people my made over did down only way find use may water long little very after words \
    called just where most know get through back much before go good new write our used";

/// Posts of a batch.
const BATCH: usize = 1_000;
/// Posts of a thread.
const THREAD: usize = 10;
/// Between two batches, milliseconds.
const BETWEEN_MS: u64 = 60_000;

#[derive(Debug, Parser)]
struct Args {
    /// Posts in all.
    #[arg(long, default_value_t = 100_000)]
    posts: usize,
    /// Different words.
    #[arg(long, default_value_t = 60_000)]
    words: usize,
    /// Words of a post.
    #[arg(long, default_value_t = 50)]
    length: usize,
    /// Queries of each class.
    #[arg(long, default_value_t = 100)]
    queries: usize,
}

/// A small generator, so that a run can be repeated.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn between(&mut self, from: usize, to: usize) -> usize {
        from + (self.next() % (to - from).max(1) as u64) as usize
    }

    /// A rank from 0, as often as Zipf's law has it.
    fn rank(&mut self, words: usize) -> usize {
        (((words as f64 + 1.0).ln() * self.unit()).exp() as usize).saturating_sub(1).min(words - 1)
    }

    fn text(&mut self, words: &[String], length: usize) -> String {
        let picked: Vec<&str> = (0..length)
            .filter_map(|_| words.get(self.rank(words.len())).map(String::as_str))
            .collect();
        picked.join(" ")
    }
}

/// Makes a query of the words that occur.
type MakeQuery = fn(&[String], &mut Random) -> String;

/// Words that can be spoken, each once: the common ones, then syllables.
fn vocabulary(count: usize) -> Vec<String> {
    const HEADS: [&str; 16] =
        ["b", "d", "f", "g", "h", "k", "l", "m", "n", "p", "r", "s", "t", "v", "st", "br"];
    const TAILS: [&str; 8] = ["a", "e", "i", "o", "u", "an", "or", "el"];
    let mut words: Vec<String> = COMMON.split_whitespace().map(String::from).collect();
    let mut n = 0usize;
    while words.len() < count {
        let mut word = String::new();
        // An odd multiplier mixes the syllables, and keeps every number apart.
        let mut rest = n.wrapping_mul(40_503) % (1 << 21);
        for _ in 0..3 {
            word.push_str(HEADS.get(rest % 16).unwrap_or(&"b"));
            rest /= 16;
            word.push_str(TAILS.get(rest % 8).unwrap_or(&"a"));
            rest /= 8;
        }
        words.push(word);
        n += 1;
    }
    words
}

fn main() -> Result<()> {
    let args = Args::parse();
    let words = vocabulary(args.words);
    let mut random = Random(0x5eed_1a2a_1234_5677);
    let dir = tempfile::tempdir()?;
    let ana = found(dir.path(), "Ana")?;
    fill(&args, &words, &mut random, &ana)?;

    println!("{:44} {:>8} {:>8} {:>8}", "ms", "p50", "p99", "worst");
    let classes: [(&str, (usize, usize), usize); 4] = [
        ("the 20 commonest words", (0, 20), 1),
        ("words of rank 100 to 500", (100, 500), 1),
        ("words of rank 1,000 to 4,000", (1_000, 4_000), 1),
        ("words of rank 20,000 and more", (20_000, args.words), 1),
    ];
    let mut all = [Vec::new(), Vec::new()];
    for (at, order) in [SearchOrder::Newest, SearchOrder::Best].into_iter().enumerate() {
        let name = if at == 0 { "newest" } else { "best" };
        let mut kept = Vec::new();
        for (what, (from, to), _) in classes {
            let query = |random: &mut Random| pick(&words, random, from, to);
            let times = measure(&args, &ana.store, &mut random, order, query)?;
            kept.push((what, times));
        }
        let mixes: [(&str, MakeQuery); 6] = [
            ("two of the 20 commonest", |w, r| {
                format!("{} {}", pick(w, r, 0, 20), pick(w, r, 0, 20))
            }),
            ("a common word and one of rank 100 to 500", |w, r| {
                format!("{} {}", pick(w, r, 0, 20), pick(w, r, 100, 500))
            }),
            ("three words of rank 20 to 500", |w, r| {
                format!("{} {} {}", pick(w, r, 20, 500), pick(w, r, 20, 500), pick(w, r, 20, 500))
            }),
            ("a phrase of two common words", |w, r| {
                format!("\"{} {}\"", pick(w, r, 0, 20), pick(w, r, 0, 20))
            }),
            ("a prefix of three letters", |w, r| {
                format!("{}*", pick(w, r, 200, 4_000).chars().take(3).collect::<String>())
            }),
            ("a typo", |w, r| format!("{}q", pick(w, r, 200, 4_000))),
        ];
        for (what, make) in mixes {
            let query = |random: &mut Random| make(&words, random);
            let times = measure(&args, &ana.store, &mut random, order, query)?;
            kept.push((what, times));
        }
        for (what, times) in kept {
            row(&format!("{name}: {what}"), &times);
            if let Some(all) = all.get_mut(at) {
                all.extend(times);
            }
        }
    }
    let [newest, best] = all;
    row("newest: all of them", &newest);
    row("best: all of them", &best);

    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..args.queries {
        let draft = random.text(&words, 60);
        let start = Instant::now();
        ana.store.similar(&draft, 5)?;
        let [similar, people] = &mut times;
        similar.push(start.elapsed());
        let start = Instant::now();
        ana.store.people_for(&draft, 3)?;
        people.push(start.elapsed());
    }
    row("threads like a draft of 60 words", &times[0]);
    row("people for it", &times[1]);
    Ok(())
}

fn pick(words: &[String], random: &mut Random, from: usize, to: usize) -> String {
    words.get(random.between(from, to.min(words.len()))).cloned().unwrap_or_default()
}

fn fill(args: &Args, words: &[String], random: &mut Random, ana: &Person) -> Result<()> {
    let start = Instant::now();
    let batches = args.posts.div_ceil(BATCH);
    let first = now().saturating_sub(batches as u64 * BETWEEN_MS);
    let mut written = 0;
    for batch in 0..batches {
        let mut new = Vec::with_capacity(BATCH);
        let mut root = 0;
        for place in 0..BATCH.min(args.posts - written) {
            let text = random.text(words, args.length);
            if place % THREAD == 0 {
                root = place;
                let note = Note { title: random.text(words, 6), text, tags: vec![], origin: None };
                new.push(NewEntry::new(Body::Note(note), []));
            } else {
                let role =
                    if random.between(0, 50) == 0 { PostRole::Outcome } else { PostRole::Reply };
                let post = Post { role, text, origin: None, met: None };
                new.push(NewEntry {
                    body: Body::Post(post),
                    refs: vec![NewRef::Batch(root), NewRef::Batch(root)],
                });
            }
        }
        written += new.len();
        let time = first + batch as u64 * BETWEEN_MS;
        ana.store.append(&ana.author, time, &mut OsRandom, new)?;
        if batch % 100 == 99 {
            eprint!("\r{written} posts, {:.0} s ", start.elapsed().as_secs_f64());
            let _ = std::io::stderr().flush();
        }
    }
    while ana.store.fold_pending(1_000)?.left > 0 {}
    let seconds = start.elapsed().as_secs_f64();
    let stats = ana.store.stats()?;
    println!(
        "{} posts of {} words, written and indexed in {seconds:.0} s ({:.0}/s), {} bytes a post",
        stats.posts,
        args.length,
        written as f64 / seconds,
        stats.bytes / stats.posts.max(1),
    );
    Ok(())
}

fn measure(
    args: &Args,
    store: &Store,
    random: &mut Random,
    order: SearchOrder,
    make: impl Fn(&mut Random) -> String,
) -> Result<Vec<Duration>> {
    let mut times = Vec::with_capacity(args.queries);
    for _ in 0..args.queries {
        let query = SearchQuery { text: make(random), order, limit: 20, ..SearchQuery::default() };
        let start = Instant::now();
        store.search(&query)?;
        times.push(start.elapsed());
    }
    Ok(times)
}

fn row(what: &str, times: &[Duration]) {
    let mut sorted: Vec<f64> = times.iter().map(|t| t.as_secs_f64() * 1000.0).collect();
    sorted.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let place = (share * sorted.len() as f64) as usize;
        sorted.get(place.min(sorted.len().saturating_sub(1))).copied().unwrap_or(0.0)
    };
    println!("{what:44} {:8.2} {:8.2} {:8.2}", at(0.5), at(0.99), at(1.0));
}
