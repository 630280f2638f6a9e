//! The running node: the only place with `select!`, the wall clock and randomness.
//!
//! It joins the store, the network, live gossip, sync sessions and the control socket, and decides
//! nothing that a pure module could decide. Its rules:
//!
//! 1. **Sync makes it true.** Every connected member's device is synced with: when it connects, every
//!    [`SYNC_EVERY`], and at once when something came that it may not have. Between two devices the
//!    one with the smaller key opens the regular sessions, so that two do not run side by side; either
//!    may open one when it has a reason.
//! 2. **Gossip makes it quick.** Own new entries are announced; what comes in goes to the store first
//!    and is forwarded only if it was new and authentic.
//! 3. What one peer brought, the others are offered: a session that received something makes the
//!    sessions with all other peers due.
//! 4. The command line writes to the same store. It wakes the node; the node also looks by itself
//!    every [`LOOK_EVERY`], in case nobody could tell it.
//! 5. Whoever asks to join is answered by `admit`; `doors` bounds how many at once and a minute.
//! 6. A member's node that does not know this device yet is shown its enrolment (`enrol`); a device
//!    without the epoch key gets it from whoever's turn it is (`top_up`).
//! 7. Files are fetched and given beside all that (`files`).
//! 8. Nothing that a peer sends, and no panic over it, ends the node or takes a place for ever: tasks
//!    are counted by who they serve, and given back however they end (`tasks`, `doors`). What a peer
//!    can make this node log is bounded (`throttle`).

mod addresses;
mod admit;
mod doors;
mod enrol;
mod files;
mod fold;
mod joining;
mod links;
mod live;
mod peers;
mod pipe;
mod session;
mod state;
mod tasks;
mod tell;
mod throttle;
mod top_up;
mod typed;

pub use joining::{JoinEvent, JoinOptions, JoinRunError, Joined, join};
pub use pipe::{PipeDone, PipeError, PipeOptions, PipeProgress, pipe};
pub use state::{Node, NodeOptions, RuntimeError, run_as};

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::identity::Identity;

/// What a process that is to be a node is started with, for glibc's allocator; others ignore it.
///
/// By itself it keeps ever larger buffers on its heaps, and has such a heap for every thread: what one thread
/// has freed no other gets. A node's work goes round a dozen threads, and a first sync held twice the memory that
/// it needed. So there are few heaps, and buffers of chunks come from the system and go back to it.
const PROCESS_ENVIRONMENT: [(&str, &str); 3] = [
    ("MALLOC_ARENA_MAX", "4"),
    ("MALLOC_MMAP_THRESHOLD_", "65536"),
    ("MALLOC_TRIM_THRESHOLD_", "131072"),
];

/// Sets what a node is to be started with, but for what the user has set.
pub fn set_process_environment(command: &mut std::process::Command) {
    for (name, value) in PROCESS_ENVIRONMENT {
        if std::env::var_os(name).is_none() {
            command.env(name, value);
        }
    }
}

/// Starts this process anew, under its number and with its arguments, with what a node is to be started with. To be
/// called before there are threads and before anything was read; returns where there is nothing to set, and where it
/// cannot be done.
pub fn restart_with_process_environment() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        use std::os::unix::process::CommandExt as _;
        if PROCESS_ENVIRONMENT.iter().all(|(name, _)| std::env::var_os(name).is_some()) {
            return;
        }
        let (Ok(program), mut words) = (std::env::current_exe(), std::env::args_os()) else {
            return;
        };
        let mut process = std::process::Command::new(program);
        if let Some(name) = words.next() {
            process.arg0(name);
        }
        set_process_environment(&mut process);
        // Without it the node needs more memory, and does all else.
        let _not_done = process.args(words).exec();
    }
}

/// Time between two regular sync sessions with one peer.
pub const SYNC_EVERY: Duration = Duration::from_secs(20);
/// How long the device with the greater key waits for the other to open the first session.
pub const SYNC_COURTESY: Duration = Duration::from_secs(3);
/// How often the store is looked at for what another process wrote.
pub const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long a stop may take.
pub const STOP_PATIENCE: Duration = Duration::from_secs(4);

/// Runs a node on a home until `stop` is done or the control socket says so.
///
/// # Errors
/// [`RuntimeError`]; everything that was acknowledged is in the store whatever happens.
pub async fn run(options: NodeOptions, stop: impl Future<Output = ()>) -> Result<(), RuntimeError> {
    let identity = Identity::of_home(&options.home)?;
    run_as(options, identity, stop).await
}

/// Unix milliseconds by the wall clock; zero on a machine whose clock is before 1970.
pub fn now_millis() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}
