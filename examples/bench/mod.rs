//! The parts of `sync_bench`.

pub(crate) mod large;
pub(crate) mod posts;
pub(crate) mod rows;
