//! Plays simulated communities: one seed exactly, or many.
//!
//! ```text
//! cargo run --release -p lanai-node --features simulator --example simulate -- --seed 7
//! cargo run --release -p lanai-node --features simulator --example simulate -- --seeds 0..2000
//! cargo run --release -p lanai-node --features simulator --example simulate -- \
//!     --scenario tests/scenarios/courier.toml --seed 7 --trace
//! ```
//!
//! Without a scenario file each seed makes its own: twelve honest nodes and four hostile ones, or with
//! `--days N` six honest ones that live through so many days of sleep, half-open links and kills.
//! `--trace` tells each act and each meeting. On a failure the command is printed that plays
//! exactly it again, and the exit code is 1; a mistake in the arguments gives 2.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for the terminal")]

use std::io::{IsTerminal as _, Write as _};
use std::ops::Range;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use lanai_node::sim::{self, Failure, Report, Scenario};

const USAGE: &str =
    "usage: simulate [--seed N | --seeds A..B] [--scenario FILE | --days N] [--trace] [--jobs N]";

struct Arguments {
    seeds: Range<u64>,
    scenario: Option<(String, Scenario)>,
    days: Option<u64>,
    trace: bool,
    jobs: usize,
}

fn arguments() -> Result<Arguments, String> {
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    let mut found = Arguments { seeds: 0..1, scenario: None, days: None, trace: false, jobs };
    let mut args = std::env::args().skip(1);
    let number = |text: &str| text.parse::<u64>().map_err(|_| format!("{text} is not a number"));
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} needs a value"));
        match arg.as_str() {
            "--seed" => {
                let seed = number(&value()?)?;
                found.seeds = seed..seed.saturating_add(1);
            }
            "--seeds" => {
                let text = value()?;
                let (from, to) = text.split_once("..").ok_or("--seeds needs A..B")?;
                found.seeds = number(from)?..number(to)?;
            }
            "--scenario" => {
                let file = value()?;
                let text = std::fs::read_to_string(&file).map_err(|e| format!("{file}: {e}"))?;
                let scenario = Scenario::parse(&text).map_err(|e| format!("{file}: {e}"))?;
                found.scenario = Some((file, scenario));
            }
            "--days" => found.days = Some(number(&value()?)?),
            "--trace" => found.trace = true,
            "--jobs" => found.jobs = usize::try_from(number(&value()?)?).unwrap_or(1).max(1),
            other => return Err(format!("{other} is not known")),
        }
    }
    Ok(found)
}

fn main() -> ExitCode {
    let arguments = match arguments() {
        Ok(arguments) => arguments,
        Err(why) => {
            eprintln!("{why}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let failures = play(&arguments);
    for failure in &failures {
        let file = arguments.scenario.as_ref();
        let file = match (file, arguments.days) {
            (Some((file, _)), _) => format!(" --scenario {file}"),
            (None, Some(days)) => format!(" --days {days}"),
            (None, None) => String::new(),
        };
        println!(
            "\n{failure}\nagain: cargo run --release -p lanai-node --features simulator \
             --example simulate -- --seed {}{file} --trace",
            failure.seed
        );
    }
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) }
}

fn play_one(arguments: &Arguments, seed: u64) -> Result<Report, Failure> {
    let made;
    let scenario = match &arguments.scenario {
        Some((_, scenario)) => scenario,
        None => {
            made = match arguments.days {
                Some(days) => sim::days(seed, days),
                None => sim::random(seed),
            };
            &made
        }
    };
    if arguments.trace {
        sim::run_traced(scenario, seed, &mut |line| println!("{line}"))
    } else {
        sim::run(scenario, seed)
    }
}

/// Plays all seeds, several at a time; gives what failed.
fn play(arguments: &Arguments) -> Vec<Failure> {
    let began = Instant::now();
    let next = AtomicU64::new(arguments.seeds.start);
    let stop = AtomicBool::new(false);
    let results = Mutex::new((Vec::new(), Totals::default()));
    let all = arguments.seeds.end.saturating_sub(arguments.seeds.start);
    let jobs = if arguments.trace { 1 } else { arguments.jobs };
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= arguments.seeds.end {
                        break;
                    }
                    let result = play_one(arguments, seed);
                    let Ok(mut results) = results.lock() else { break };
                    let (failures, totals) = &mut *results;
                    match result {
                        Ok(report) => {
                            totals.add(&report);
                            if all == 1 {
                                println!("{report:#?}");
                            }
                        }
                        Err(failure) => failures.push(failure),
                    }
                    // Some failures tell more than one; a hundred tell no more than ten.
                    stop.fetch_or(failures.len() >= 10, Ordering::Relaxed);
                    progress(totals.runs + failures.len() as u64, all, failures.len());
                }
            });
        }
    });
    let (mut failures, totals) = results.into_inner().unwrap_or_default();
    failures.sort_by_key(|f| f.seed);
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "{} of {all} runs held in {seconds:.1} s, {} failed: {} h of {} members' lives, \
         {} entries, {} sessions done and {} broken off",
        totals.runs,
        failures.len(),
        totals.simulated_ms / 3_600_000,
        totals.members,
        totals.entries,
        totals.done,
        totals.failed,
    );
    failures
}

#[derive(Default)]
struct Totals {
    runs: u64,
    simulated_ms: u64,
    members: u64,
    entries: u64,
    done: u64,
    failed: u64,
}

impl Totals {
    fn add(&mut self, report: &Report) {
        self.runs += 1;
        self.simulated_ms += report.simulated_ms;
        self.members += report.members;
        self.entries += report.entries;
        self.done += report.done;
        self.failed += report.failed.values().sum::<u64>();
    }
}

fn progress(done: u64, all: u64, failed: usize) {
    if all > 1 && std::io::stderr().is_terminal() {
        eprint!("\r{done} of {all}, {failed} failed ");
        let _shown = std::io::stderr().flush();
    } else if all > 1 && done.is_multiple_of(50) {
        eprintln!("{done} of {all}, {failed} failed");
    }
}
