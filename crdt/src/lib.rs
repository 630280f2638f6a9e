//! What lanai's data means.
//!
//! Pure rules: no I/O, no clock, no randomness, no async. Time and random bytes come in as
//! arguments, so that every node computes the same thing from the same entries.

#![warn(missing_docs)]

pub mod cite;
pub mod clock;
pub mod entry;
pub mod envelope;
pub mod file;
pub mod id;
pub mod limits;
pub mod page;
pub mod payload;
pub mod people;
pub mod roster;
pub mod seal;
pub mod side;
pub mod state;
pub mod text;
pub mod thread;
pub mod ticket;
