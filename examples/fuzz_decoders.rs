//! Throws random and mutated bytes at everything that reads bytes from outside.
//!
//! ```text
//! cargo run --release --example fuzz_decoders -- --inputs 10000000
//! ```
//!
//! A panic, or a single allocation run beyond `--limit-mib`, ends the run with the input in hex. The
//! same `--seed` gives the same inputs. The ordinary tests run a small budget of the same.

#![allow(clippy::print_stdout)]

mod fuzz;
mod support;

use std::time::Instant;

use clap::Parser;

/// Counts and caps what is allocated.
#[global_allocator]
static MEMORY: cap::Cap<std::alloc::System> = cap::Cap::new(std::alloc::System, usize::MAX);

#[derive(Debug, Parser)]
struct Args {
    /// Inputs in all, shared evenly among the decoders.
    #[arg(long, default_value_t = 1_000_000)]
    inputs: u64,
    /// Seed of the inputs.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only decoders whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
    /// MiB that one input may make a decoder hold beyond what was held before.
    #[arg(long, default_value_t = 64)]
    limit_mib: usize,
}

fn main() -> support::Result<()> {
    let args = Args::parse();
    let targets: Vec<fuzz::Target> =
        fuzz::targets()?.into_iter().filter(|t| t.name.contains(&args.only)).collect();
    let share = args.inputs / targets.len().max(1) as u64;
    std::panic::set_hook(Box::new(|_| {}));
    let mut all = 0;
    for target in &targets {
        let mut random = fuzz::Random::new(args.seed);
        let (start, mut accepted) = (Instant::now(), 0u64);
        for _ in 0..share {
            let input = target.input(&mut random);
            let before = MEMORY.allocated();
            MEMORY
                .set_limit(before + args.limit_mib * 1024 * 1024)
                .map_err(|()| "more is held than the limit")?;
            let result =
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| (target.run)(&input)));
            MEMORY.set_limit(usize::MAX).map_err(|()| "the limit cannot be lifted")?;
            match result {
                Ok(good) => accepted += u64::from(good),
                Err(_) => {
                    let hex: String = input.iter().map(|b| format!("{b:02x}")).collect();
                    return Err(format!("{} panicked on {hex}", target.name).into());
                }
            }
        }
        all += share;
        println!(
            "{:<24} {share:>10} inputs, {accepted:>9} accepted, {:>9.0}/s",
            target.name,
            share as f64 / start.elapsed().as_secs_f64()
        );
    }
    println!("{all} inputs, no panic, nothing held beyond {} MiB", args.limit_mib);
    Ok(())
}
