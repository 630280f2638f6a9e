//! lanai-node
