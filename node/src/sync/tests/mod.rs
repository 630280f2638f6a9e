//! Tests of whole sessions.

mod exchange;
mod pair;
mod sim;
mod world;
