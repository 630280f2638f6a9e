//! A member's running node.
//!
//! Blocking work (store) and pure machines (sync, join) at the core, the network and the runtime at
//! the rim. See `ARCHITECTURE.md`.

#![warn(missing_docs)]

pub mod control;
pub mod gossip;
pub mod import;
pub mod lock;
