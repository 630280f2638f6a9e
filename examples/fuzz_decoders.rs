//! Throws noise and altered valid bytes at everything that reads bytes from outside.
//!
//! ```text
//! cargo run --release --example fuzz_decoders -- --inputs 10000000
//! cargo run --release --example fuzz_decoders -- --only "sync SEG" --inputs 1000000 --seed 7
//! cargo run --release --example fuzz_decoders -- --only "sync SEG" --replay 0a00ff
//! ```
//!
//! A decoder that panics, believes what is false or holds more than `--limit-mib` ends the run with its
//! input in hex; so does one that aborts the process, which is why the work is done in a second
//! process. Equal seeds give equal inputs. The ordinary tests run a small budget of the same.

#![allow(clippy::print_stdout, clippy::print_stderr)]

mod fuzz;

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[derive(Debug, Parser)]
struct Args {
    /// Inputs in all. Slow decoders get fewer of them than quick ones.
    #[arg(long, default_value_t = 1_000_000)]
    inputs: u64,
    /// Seed of the inputs.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only decoders whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
    /// MiB that one input may make a decoder hold.
    #[arg(long, default_value_t = fuzz::MEMORY_LIMIT >> 20)]
    limit_mib: usize,
    /// Only this input, in hex.
    #[arg(long)]
    replay: Option<String>,
    /// Do the work here, and keep each input in this file before it is used.
    #[arg(long, hide = true)]
    keep: Option<PathBuf>,
}

/// Panics, those included that a decoder catches: of parsers that are not ours.
static PANICS: AtomicU64 = AtomicU64::new(0);

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    match &args.keep {
        Some(keep) => work(&args, &File::create(keep)?),
        None => watch(),
    }
}

/// Runs the work in a second process, and says what its last input was should it be killed.
fn watch() -> Result<ExitCode> {
    let dir = tempfile::tempdir()?;
    let keep = dir.path().join("input");
    let words = std::env::args_os().skip(1);
    let status =
        Command::new(std::env::current_exe()?).args(words).arg("--keep").arg(&keep).status()?;
    match status.code() {
        Some(0) => Ok(ExitCode::SUCCESS),
        Some(_) => Ok(ExitCode::FAILURE),
        None => {
            let kept = std::fs::read(&keep)?;
            let length = kept.first_chunk().map_or(0, |n| u64::from_le_bytes(*n) as usize);
            let input = kept.get(8..8 + length).unwrap_or_default();
            eprintln!("the process ended by {status} on the input\n{}", fuzz::hex(input));
            Ok(ExitCode::FAILURE)
        }
    }
}

fn work(args: &Args, keep: &File) -> Result<ExitCode> {
    std::panic::set_hook(Box::new(|_| {
        PANICS.fetch_add(1, Ordering::Relaxed);
    }));
    let dir = tempfile::tempdir()?;
    let decoders = fuzz::decoders(dir.path(), &args.only);
    if let Some(hex) = &args.replay {
        let input = fuzz::unhex(hex).ok_or("this is not hex")?;
        for decoder in &decoders {
            let done =
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| decoder.replay(&input)));
            println!("{:<32} {done:?}", decoder.name);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let weights: u64 = decoders.iter().map(|d| d.weight).sum();
    let (mut all, mut most) = (0, 0);
    println!(
        "{:<32} {:>10} {:>10} {:>10} {:>10} {:>7}",
        "decoder", "inputs", "accepted", "per second", "peak KiB", "panics"
    );
    for decoder in &decoders {
        let share = (args.inputs * decoder.weight).div_ceil(weights.max(1));
        let before = PANICS.load(Ordering::Relaxed);
        let (start, mut told) = (Instant::now(), Instant::now());
        let kept = |input: &[u8]| {
            let bytes = [&(input.len() as u64).to_le_bytes(), input].concat();
            keep.write_all_at(&bytes, 0)
        };
        let attack = decoder.attack(args.seed, share, args.limit_mib << 20, |number, input| {
            if let Err(error) = kept(input) {
                eprintln!("the input could not be kept: {error}");
            }
            if told.elapsed() > Duration::from_secs(10) {
                told = Instant::now();
                let rate = number as f64 / start.elapsed().as_secs_f64();
                eprintln!("  {}: {number} of {share}, {rate:.0}/s", decoder.name);
            }
        });
        let report = match attack {
            Ok(report) => report,
            Err(failure) => {
                eprintln!("{failure}");
                return Ok(ExitCode::FAILURE);
            }
        };
        all += report.inputs;
        most = most.max(report.peak);
        println!(
            "{:<32} {:>10} {:>10} {:>10.0} {:>10} {:>7}",
            decoder.name,
            report.inputs,
            report.accepted,
            report.inputs as f64 / report.took.as_secs_f64(),
            report.peak.div_ceil(1024),
            PANICS.load(Ordering::Relaxed) - before,
        );
    }
    println!(
        "{all} inputs with seed {}, no decoder failed; the most memory that one input took: {} KiB",
        args.seed,
        most.div_ceil(1024)
    );
    Ok(ExitCode::SUCCESS)
}
