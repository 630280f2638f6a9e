//! Files beside the store: how their sealed bytes are kept, fetched, served and written out again.
//!
//! What a file *is* (manifest, key, groups, tree) is in [`lanai_crdt::file`]; who may see which manifest is
//! the store's business. Here it is about bytes.
//!
//! | module | what | |
//! | --- | --- | --- |
//! | `blobs` | sealed bytes on the disk: `files/` in the home | blocks |
//! | `wire` | frames of `/lanai/file/1` | pure |
//! | `fetch` | who is asked for which group of one file, who lied, what is left | sans-I/O |
//! | `serve` | what one stream of somebody who fetches is given | sans-I/O |
//! | `quota` | what is dropped when there is no room | pure |
//! | `export` | a file written out under a harmless name | blocks |
//!
//! # Rules
//!
//! 1. **Bytes are believed by their hash alone**, wherever they come from: a peer, a half-finished file of
//!    an earlier run, the own disk when they are served. There is no list of what is here that could be wrong.
//! 2. One wrong group and its sender is named, counted, and not asked for this file again; the group comes
//!    from somebody else.
//! 3. Served is what a manifest that counts and was not withdrawn names, whole, and to members' devices only.
//! 4. What a file is called never decides where anything is written but for its last component, cleaned.

pub mod blobs;
pub mod export;
pub mod fetch;
pub mod quota;
pub mod serve;
pub mod wire;

pub use blobs::{Blob, BlobError, BlobInfo, Blobs, PartialBlob};
