//! lanai-node
pub mod home;
