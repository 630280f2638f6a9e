//! A member's running node.

#![warn(missing_docs)]

pub mod identity;
pub mod random;
