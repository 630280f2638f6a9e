//! Everything that reads bytes from outside, attacked with noise and with altered valid bytes: shared by
//! `examples/fuzz_decoders.rs` and `tests/fuzz.rs`.
//!
//! 1. An input is a pure function of the seed, the decoder and the input's number.
//! 2. A decoder must return. A panic is a failure, and so is memory held beyond a limit.
//! 3. A decoder must not believe. Each one states what has to hold of what it accepted: it encodes to
//!    the same bytes again, it was signed by whom it says, a session stored nothing that nobody wrote.
//! 4. What once failed is a line in `corpus.txt` and runs in every test.
//!
//! Memory is what Rust code holds; SQLite and zstd have allocators of their own. What zstd may write
//! to is a buffer of ours, of the size that its frame claims and our limit allows.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "samples that cannot be made are a fault of the program that makes them"
)]

mod decoders;
mod discovery;
mod files;
mod frames;
mod joining;
mod line;
mod mutate;
mod syncing;
pub(crate) mod village;

use std::alloc::System;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use cap::Cap;

pub(crate) use mutate::Random;

/// Counts and caps what is allocated.
#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, usize::MAX);

/// What one input may make a decoder hold, in bytes: the most that waiting entries may take.
pub(crate) const MEMORY_LIMIT: usize = lanai_crdt::limits::MAX_WAITING_BYTES;

/// What failed, as one line per input: the decoder's name, a tab, the input in hex.
pub(crate) const CORPUS: &str = include_str!("corpus.txt");

/// What samples look like, so that altered ones still resemble them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// Binary fields.
    Binary,
    /// Frames: u24 length of the body, u8 type, body.
    Frames,
    /// Text for people or other programs.
    Text,
}

/// Reads bytes; says whether it accepted them.
type Run = Box<dyn Fn(&[u8]) -> bool>;

/// Something that reads bytes from outside.
pub(crate) struct Decoder {
    pub(crate) name: &'static str,
    /// Inputs that it gets for each one of the slowest decoders.
    pub(crate) weight: u64,
    shape: Shape,
    samples: Vec<Vec<u8>>,
    run: Run,
}

impl Decoder {
    fn new(
        name: &'static str,
        weight: u64,
        shape: Shape,
        samples: Vec<Vec<u8>>,
        run: impl Fn(&[u8]) -> bool + 'static,
    ) -> Decoder {
        assert!(!samples.is_empty(), "{name} has samples");
        Decoder { name, weight, shape, samples, run: Box::new(run) }
    }

    /// The input with this number.
    pub(crate) fn input(&self, seed: u64, number: u64) -> Vec<u8> {
        let mut random = Random::new(seed ^ number.wrapping_mul(0x9e6c_63d0_876a_3f35));
        match self.shape {
            Shape::Binary => mutate::binary(&self.samples, &mut random),
            Shape::Frames => mutate::frames(&self.samples, &mut random),
            Shape::Text => mutate::text(&self.samples, &mut random),
        }
    }

    /// Attacks the decoder with the inputs from number 0 on. `watch` sees each before it is used.
    pub(crate) fn attack(
        &self,
        seed: u64,
        inputs: u64,
        limit: usize,
        mut watch: impl FnMut(u64, &[u8]),
    ) -> Result<Report, Failure> {
        let start = Instant::now();
        // Makes what it keeps from the first use on: tables, contexts, dictionaries.
        let good = self.samples.iter().filter(|s| (self.run)(s)).count();
        assert_eq!(good, self.samples.len(), "{}: all samples are accepted", self.name);
        let level = Level::new(limit);
        let mut accepted = 0;
        for number in 0..inputs {
            let input = self.input(seed, number);
            watch(number, &input);
            let result = catch_unwind(AssertUnwindSafe(|| (self.run)(&input)));
            let what = match result {
                Err(panic) => What::Panic(message(&*panic)),
                Ok(_) if level.above() > limit => What::Memory(level.above()),
                Ok(good) => {
                    accepted += u64::from(good);
                    continue;
                }
            };
            return Err(Failure { decoder: self.name, number, input, what });
        }
        Ok(Report { inputs, accepted, peak: level.above(), took: start.elapsed() })
    }

    /// Runs one input, which may panic.
    pub(crate) fn replay(&self, input: &[u8]) -> bool {
        (self.run)(input)
    }
}

/// How much memory is held above a level. The allocator only knows the most that was ever held, so
/// the level is raised to that with memory that is never touched.
struct Level {
    base: usize,
    _ballast: Vec<u8>,
}

impl Level {
    fn new(limit: usize) -> Level {
        let gap = MEMORY.max_allocated().saturating_sub(MEMORY.allocated());
        let ballast = Vec::with_capacity(gap);
        let base = MEMORY.allocated();
        // Beyond this an allocation fails, which ends the process: better than the whole machine.
        let hard = base.saturating_add(limit.saturating_mul(16));
        MEMORY.set_limit(hard).expect("less is held than that");
        Level { base, _ballast: ballast }
    }

    /// The most bytes that were held above the level.
    fn above(&self) -> usize {
        MEMORY.max_allocated().saturating_sub(self.base)
    }
}

impl Drop for Level {
    fn drop(&mut self) {
        MEMORY.set_limit(usize::MAX).expect("there is more room now");
    }
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("?").to_owned()
}

/// What an attack came to.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) inputs: u64,
    /// Inputs that were accepted, rightly.
    pub(crate) accepted: u64,
    /// The most bytes that an input made the decoder hold, the input included.
    pub(crate) peak: usize,
    pub(crate) took: Duration,
}

/// An input that must not do what it did.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) decoder: &'static str,
    pub(crate) number: u64,
    pub(crate) input: Vec<u8>,
    pub(crate) what: What,
}

#[derive(Debug)]
pub(crate) enum What {
    Panic(String),
    Memory(usize),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, input {}: ", self.decoder, self.number)?;
        match &self.what {
            What::Panic(message) => write!(f, "panicked: {message}")?,
            What::Memory(bytes) => write!(f, "held {} KiB", bytes / 1024)?,
        }
        write!(f, "\nfor the corpus:\n{}\t{}", self.decoder, hex(&self.input))
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |c: u8| char::from(c).to_digit(16).map(|d| d as u8);
    let pair = |p: &[u8]| Some(digit(*p.first()?)? << 4 | digit(*p.get(1)?)?);
    text.trim().as_bytes().chunks(2).map(pair).collect()
}

/// All decoders whose name contains `only`. Files that they need are in `dir`.
pub(crate) fn decoders(dir: &std::path::Path, only: &str) -> Vec<Decoder> {
    let mut all = decoders::all();
    all.extend(frames::all());
    all.extend(syncing::all());
    all.extend(joining::all());
    all.extend(discovery::all());
    all.extend(files::all(dir));
    all.extend(line::all());
    all.retain(|d| d.name.contains(only));
    all
}
