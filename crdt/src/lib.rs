//! lanai-crdt
pub mod text;
