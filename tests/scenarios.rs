//! Plays every file of `tests/scenarios`, and what seeds make.
//!
//! `LANAI_SEEDS=200` says how many seeds are played; ten where nothing does.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that goes wrong should say so and stop"
)]

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use lanai_node::sim::{self, Failure, Report, Scenario};

/// Seeds with which each file is played.
const SEEDS_OF_A_FILE: u64 = 6;

fn files() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/scenarios");
    let files = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
    let mut files: Vec<PathBuf> =
        files.filter(|f| f.extension() == Some("toml".as_ref())).collect();
    files.sort();
    files
}

/// Plays `count` runs on all processors.
fn play(count: u64, run: impl Fn(u64) -> Result<Report, Failure> + Sync) -> Vec<Report> {
    let (next, results) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= count {
                        break;
                    }
                    let result = run(n);
                    results.lock().unwrap().push(result);
                }
            });
        }
    });
    let (mut reports, mut failures) = (Vec::new(), String::new());
    for result in results.into_inner().unwrap() {
        match result {
            Ok(report) => reports.push(report),
            Err(failure) => failures += &format!("{failure}\n"),
        }
    }
    assert!(failures.is_empty(), "{failures}");
    reports
}

#[test]
fn every_scenario_comes_out_as_it_says() {
    let files = files();
    assert!(files.len() >= 8, "{files:?}");
    let scenarios: Vec<Scenario> = files
        .iter()
        .map(|file| {
            let text = std::fs::read_to_string(file).unwrap();
            Scenario::parse(&text).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
        })
        .collect();
    play(files.len() as u64 * SEEDS_OF_A_FILE, |n| {
        let at = usize::try_from(n / SEEDS_OF_A_FILE).unwrap();
        sim::run(scenarios.get(at).unwrap(), n % SEEDS_OF_A_FILE)
    });
}

#[test]
fn seeds_agree_and_lose_nothing() {
    let count = std::env::var("LANAI_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(10);
    let reports = play(count, |seed| sim::run(&sim::random(seed), seed));
    let sum = |of: fn(&Report) -> u64| reports.iter().map(of).sum::<u64>();
    println!(
        "{count} seeds: {} entries, {} written by honest members, {} sessions, {} ends of these by \
         news, {} live messages, {} steps",
        sum(|r| r.entries),
        sum(|r| r.written),
        sum(|r| r.sessions),
        sum(|r| r.by_news),
        sum(|r| r.heard),
        sum(|r| r.steps)
    );
    // There is something to agree on, and there is trouble.
    assert!(sum(|r| r.by_news) > 0);
    assert!(sum(|r| r.written) > 20 * count, "{reports:?}");
    assert!(sum(|r| r.failed.values().sum()) > count, "{reports:?}");
}

/// Days that are lived through, and how many times, each by another seed.
const DAYS: u64 = 4;
const LIVES: u64 = 4;

#[test]
fn six_nodes_live_through_days() {
    let reports = play(LIVES, |seed| sim::run(&sim::days(seed, DAYS), seed));
    for r in &reports {
        println!(
            "{} h: {} entries, {} sessions of which {} broke off; most: {} sessions at once, {} bytes \
             in one, {} events waiting, a store of {} bytes, {} an entry",
            r.simulated_ms / 3_600_000,
            r.entries,
            r.sessions,
            r.failed.values().sum::<u64>(),
            r.most_links,
            r.most_buffered,
            r.most_events,
            r.most_store,
            r.most_an_entry
        );
        // It was no idle time: they wrote, met, and lost each other.
        assert!(r.simulated_ms >= DAYS * 86_400_000, "{r:?}");
        assert!(r.written > DAYS * 40 && r.done > 200 * DAYS, "{r:?}");
        assert!(r.failed.values().sum::<u64>() > 10 * DAYS, "{r:?}");
    }
}

#[test]
fn memory_does_not_grow_with_the_days() {
    // Twice the time is twice the entries, and no more of what is held meanwhile.
    let reports = play(2, |n| sim::run(&sim::days(7, 2 + 4 * n), 7));
    let [short, long] = [2u64, 6].map(|days| {
        let of = reports.iter().find(|r| r.simulated_ms / 86_400_000 == days);
        of.unwrap_or_else(|| panic!("no run of {days} days: {reports:?}"))
    });
    assert!(long.entries > 2 * short.entries, "{short:?} {long:?}");
    assert!(long.most_events < 2 * short.most_events.max(2000), "{short:?} {long:?}");
    assert!(long.most_buffered < 4 * short.most_buffered, "{short:?} {long:?}");
    assert!(long.most_an_entry <= 2 * short.most_an_entry, "{short:?} {long:?}");
}
