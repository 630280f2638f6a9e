//! A whole community in one process, by a seed: the proof that honest nodes agree.
//!
//! Nodes are real: each has its keys, a [`Store`](crate::store::Store) on a file in memory, and the
//! [`Session`](crate::sync::Session) machine that runs on real machines. What lies between them is
//! made up: time, links, and some of the members. The method is that of deterministic simulation
//! (Zhou et al., "FoundationDB", 2021, section 4): one thread, one queue of events ordered by time,
//! and no chance but the seed's. Nothing waits, so two minutes of a community take a second.
//!
//! # What goes wrong
//!
//! | | |
//! | --- | --- |
//! | streams | delay, little speed, pieces of any size, an end at any byte with or without notice |
//! | live messages | lost, twice, later than the next one |
//! | network | splits into groups, couriers who walk from group to group |
//! | links | half open: one direction loses everything, and nobody is told |
//! | machines | killed between a batch and its commit, started again, asleep and unaware of it, given another address, put back to an old copy |
//! | clocks | 0, 1970, 2099, the maximum, and set during the run |
//! | members | [`hostile`] plug-ins with a member's keys |
//!
//! # What must hold
//!
//! Rules 1 to 3 of `check`: bounds and invariants after every step, what a session promised when it is
//! done, and at the end equal sets, equal states, and nothing lost that an honest member wrote.
//! A scenario's `expect` adds what is to come of it.
//!
//! # Running it
//!
//! Scenario files ([`Scenario`]) are in `tests/scenarios`; [`random()`] makes one by a seed, and [`days()`]
//! one of several days.
//!
//! ```text
//! cargo test -p lanai-node --features simulator --test scenarios
//! cargo run --release -p lanai-node --features simulator --example simulate -- --seeds 0..2000
//! cargo run --release -p lanai-node --features simulator --example simulate -- --seed 7 --trace
//! cargo run --release -p lanai-node --features simulator --example simulate -- --days 7 --seed 7
//! ```
//!
//! A failure names the seed, and the same seed fails at the same step again.

mod acts;
mod check;
mod days;
mod engine;
mod forge;
mod govern;
pub mod hostile;
mod link;
mod live;
mod node;
mod random;
mod rng;
mod scenario;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

pub use days::days;
pub use forge::{Forgery, epoch_key, post, some_thread};
pub use node::{Me, Shown, incoming};
pub use random::random;
pub use rng::Rng;
pub use scenario::{
    Act, Bounds, Clock, Expect, LinkSpec, NodeSpec, RoleName, Scenario, ScenarioError, Step,
};

/// When every run begins, in Unix milliseconds: 15 January 2027.
pub const START_MS: u64 = 1_800_000_000_000;

/// What a run did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Events.
    pub steps: u64,
    /// Milliseconds of simulated time.
    pub simulated_ms: u64,
    /// Sessions begun.
    pub sessions: u64,
    /// Ends of sessions that were done.
    pub done: u64,
    /// Ends of sessions that failed, by reason.
    pub failed: BTreeMap<String, u64>,
    /// Sessions that did not begin because one side was no member for the other.
    pub strangers: u64,
    /// Ends of sessions that were done by what came since both held the same.
    pub by_news: u64,
    /// Bytes sent in sessions that were done.
    pub bytes: u64,
    /// Live messages that arrived.
    pub heard: u64,
    /// Live messages dropped because too many waited.
    pub dropped: u64,
    /// Acts done.
    pub acts: u64,
    /// Acts that a store refused.
    pub refused: u64,
    /// Entries that were lost because a home was put back to an old copy, and nobody who is a member
    /// at the end has got them.
    pub rolled_back: u64,
    /// Times that everybody had to meet the first node before all were equal.
    pub rounds: u32,
    /// Honest members at the end.
    pub members: u64,
    /// Epochs that none of them can open.
    pub lost_epochs: u64,
    /// Entries that each of them holds.
    pub entries: u64,
    /// Posts that each of them shows.
    pub posts: u64,
    /// Entries that honest members wrote.
    pub written: u64,
    /// Most bytes that a session of an honest node held for its peer.
    pub most_buffered: u64,
    /// Most sessions at one time.
    pub most_links: u64,
    /// Most events that waited to happen, but for what the scenario has to come.
    pub most_events: u64,
    /// Most entries that waited in an honest store for their author to be known.
    pub most_waiting: u64,
    /// Most bytes of an honest store.
    pub most_store: u64,
    /// Most bytes of an honest store for each entry in it, beside what an empty one has.
    pub most_an_entry: u64,
    /// The hash of the state that all of them are in.
    pub state: [u8; 32],
}

/// A run in which something did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The scenario's title.
    pub title: String,
    /// The seed.
    pub seed: u64,
    /// The step in which it showed.
    pub step: u64,
    /// Milliseconds from the start.
    pub at_ms: u64,
    /// What did not hold.
    pub what: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure { title, seed, step, at_ms, what } = self;
        write!(f, "{title}, seed {seed}, step {step} at {at_ms} ms: {what}")
    }
}

impl std::error::Error for Failure {}

/// Plays a scenario with a seed.
///
/// # Errors
///
/// What did not hold, and where.
pub fn run(scenario: &Scenario, seed: u64) -> Result<Report, Failure> {
    run_traced(scenario, seed, &mut |_| ())
}

/// As [`run`], and tells each act and each meeting in a line.
///
/// # Errors
///
/// What did not hold, and where.
pub fn run_traced(
    scenario: &Scenario,
    seed: u64,
    trace: &mut dyn FnMut(String),
) -> Result<Report, Failure> {
    let progress = engine::Progress::default();
    let result =
        catch_unwind(AssertUnwindSafe(|| engine::Sim::new(scenario, seed, &progress, trace).run()));
    result.map_err(|panic| {
        let what = match (panic.downcast_ref::<String>(), panic.downcast_ref::<&str>()) {
            (Some(what), _) => what.clone(),
            (None, Some(what)) => (*what).to_string(),
            (None, None) => "it stopped".to_string(),
        };
        Failure {
            title: scenario.title.clone(),
            seed,
            step: progress.steps.get(),
            at_ms: progress.now.get(),
            what,
        }
    })
}
