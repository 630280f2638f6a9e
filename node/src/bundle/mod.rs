//! Bundles: files that carry entries between nodes that never meet.
//!
//! A bundle is what one side of a session would send, written to a file: the same frames, one way
//! ([`crate::sync::OneWayWriter`]), sealed for chosen devices. Whoever finds the file learns its size and
//! for how many devices it is, and nothing else.
//!
//! | bytes | field |
//! | --- | --- |
//! | 15 | `lanai-bundle/1` and a line feed |
//! | 32 | id of the file's key |
//! | u16 | number of seals |
//! | 80 each | the key, sealed to a device that is not named ([`lanai_crdt::seal::BoxKey`]) |
//! | rest | chunks to the end |
//!
//! | bytes | field of a chunk |
//! | --- | --- |
//! | u32 | its number, from 0 |
//! | u16 | length of the box |
//! | 2 | the first of `kdf("lanai v1 bundle chunk head")` over the key's id, number and length |
//! | length | a box: nonce 24, ciphertext, tag 16 |
//!
//! Numbers are big-endian. The associated data of a box is its number, as u64; so a chunk that is left out or
//! exchanged is noticed. In the box is a varint: 0 where the chunk goes on with a frame of the one before
//! it, otherwise one more than the number of entries that come before it; then the rest. Chunk 0 has the
//! manifest:
//!
//! | bytes | field |
//! | --- | --- |
//! | 32 | community |
//! | 32 | device that made it |
//! | u64 | when, in milliseconds since 1970 |
//! | u64 | entries in it, if it is whole |
//! | 32 | BLAKE3 of the FRONT frames |
//! | 64 | the device's signature over `lanai v1 bundle`, a zero byte, the key's id and the fields above |
//!
//! The chunks after it hold FRONT frames, then groups of SEG and PAY frames, then FIN; a frame may go on
//! in the next chunk.
//!
//! # Rules
//!
//! 1. A file that is cut off gives everything before the cut, and a damaged one everything but what is
//!    damaged. A group is one entry, or small ones of a kilobyte together, and begins a chunk. It has the
//!    signatures that its entries need, as far as the maker holds them; those that it does not are vouched for by
//!    later entries of their log, which come before them in the file, and are lost with these.
//! 2. What was lost is named: the front says how far the maker holds each log, and the reader sees what of it
//!    is not here ([`Taken::lacking`]).
//! 3. Entries vouch for themselves; a bundle adds nothing to that, whoever made it. What the signature is
//!    for is the front: what a member's device says it holds, and the next bundle for it leaves out.
//! 4. With a budget the oldest go first, since an entry counts only when those before it in its log are
//!    there.

mod file;
mod make;
mod take;
pub mod text;

pub use file::{CHUNK_BYTES, Damage};
pub use make::{Made, Spec, make, make_parts};
pub use take::{Manifest, Shown, Taken, show, take};

use lanai_crdt::seal::SealError;

use crate::store::StoreError;

/// What a bundle's signature is made over, first.
const SIGN_CONTEXT: &[u8] = b"lanai v1 bundle\0";

/// Why a bundle could not be made or taken.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// Reading or writing the file.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A device's key cannot be sealed to.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// Nobody else is a member with a device.
    #[error("there is no device that it could be for")]
    Nobody,
    /// More devices than a file can name.
    #[error("it would be for {0} devices, the most is {max}", max = u16::MAX)]
    TooManyDevices(usize),
    /// The budget does not even hold what a file begins with, or the next entry.
    #[error("{budget} bytes are too few: a bundle for these devices takes {least} at least")]
    BudgetTooSmall {
        /// What was given, in bytes.
        budget: u64,
        /// What it takes at least.
        least: u64,
    },
    /// More chunks than can be numbered.
    #[error("it would be too large: --max-size makes parts of it")]
    TooLarge,
    /// The file is something else.
    #[error("this is no bundle")]
    NotABundle,
    /// It does not open here.
    #[error("it was not made for this device")]
    NotForUs,
    /// It is cut off or damaged before the first entry.
    #[error("nothing in it can be read: {0}")]
    Damaged(Damage),
    /// It belongs to another community.
    #[error("it belongs to another community")]
    OtherCommunity,
    /// Its maker did not sign it.
    #[error("its signature is not that of the device that it names")]
    BadSignature,
}

#[cfg(test)]
mod tests;
