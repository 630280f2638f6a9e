//! lanai-node

pub mod sync;
