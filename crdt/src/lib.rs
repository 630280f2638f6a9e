//! lanai-crdt
