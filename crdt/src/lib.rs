//! lanai-crdt

pub mod envelope;
pub mod seal;
