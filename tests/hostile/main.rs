//! What a hostile peer or member may deliver to a real store, and what people get to see of it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test that goes wrong should say so and stop"
)]

mod craft;
mod flips;
mod members;
#[path = "../../examples/support/mod.rs"]
mod support;

use lanai_crdt::entry::DeviceSecret;
use lanai_node::store::Source;

fn from_peer() -> Source {
    Source::Peer(DeviceSecret::from_bytes(&[77; 32]).device())
}
