//! A member's running node.
//!
//! Blocking work (store) and pure machines (sync, join) at the core, the network and the runtime at
//! the rim. See `ARCHITECTURE.md`.

#![warn(missing_docs)]

pub mod bundle;
pub mod config;
pub mod control;
pub mod discovery;
pub mod files;
pub mod gossip;
pub mod home;
pub mod identity;
pub mod import;
pub mod join;
pub mod line;
pub mod lock;
pub mod net;
pub mod profile;
pub mod random;
pub mod runtime;
#[cfg(any(test, feature = "simulator"))]
#[allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "never part of a node: a run that goes wrong stops and names its seed"
)]
pub mod sim;
pub mod store;
pub mod sync;
pub mod wipe;
