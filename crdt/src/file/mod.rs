//! Files: bytes in groups, each sealed for itself and each provable by itself.
//!
//! A file's *manifest* is an entry ([`crate::payload::File`]); its bytes are not. They are sealed, named by
//! a hash, kept beside the store, and fetched from whoever has them.
//!
//! | step | what |
//! | --- | --- |
//! | text | the file as it was, cut into groups of [`GROUP_TEXT_BYTES`]; the last is shorter; an empty file is one empty group |
//! | seal | ChaCha20-Poly1305 (RFC 8439) of each group, under `kdf("lanai v1 file", key)`, nonce = four zero bytes and the group's number (u64, big endian), no associated data: ciphertext, tag |
//! | tree | BLAKE3 of all sealed groups one after another. A full sealed group has [`GROUP_BYTES`] = 64 chunks, so it is a whole subtree |
//! | outline | the chaining values of the groups in order, 32 bytes each; of a single group, the root itself |
//!
//! # Rules
//!
//! 1. The key is 32 fresh random bytes for each file and seals nothing else, so counting nonces never
//!    repeat under it. Whoever carries sealed bytes without the manifest learns their number.
//! 2. **The root is the truth.** An outline is believed once it gives the root ([`root_of`]), a group once it
//!    gives its value of the outline ([`chaining_value`]). Both fail alone: bad bytes are known at once, with
//!    who sent them, and cost at most a group.
//! 3. The tag of a group is no proof to others. It tells who has the key that the manifest's author sealed
//!    what the manifest says.

mod name;
#[cfg(test)]
mod tests;

use std::fmt;

use blake3::hazmat::{HasherExt as _, Mode, merge_subtrees_non_root, merge_subtrees_root};
use chacha20poly1305::aead::inout::InOutBuf;
use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, KeyInit, Nonce, Tag};
use zeroize::{Zeroize, ZeroizeOnDrop};

pub use name::{MAX_SAFE_NAME_BYTES, numbered_name, safe_name};

use crate::id::FileRoot;
use crate::limits::MAX_FILE_BYTES;
use crate::seal::{KEY_BYTES, TAG_BYTES};

/// Bytes of a sealed group, but for the last: 64 chunks of BLAKE3.
pub const GROUP_BYTES: usize = 64 * 1024;
/// Bytes of a file that one group holds.
pub const GROUP_TEXT_BYTES: usize = GROUP_BYTES - TAG_BYTES;
/// Bytes of a chaining value.
pub const VALUE_BYTES: usize = 32;

const FILE_CONTEXT: &str = "lanai v1 file";

/// The hash of a group, as a part of the tree.
pub type ChainingValue = [u8; VALUE_BYTES];

/// Why a group could not be sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// More bytes than a file may have.
    #[error("a file has at most {MAX_FILE_BYTES} bytes, not {0}")]
    TooLarge(u64),
    /// The group does not have the length that its place gives it.
    #[error("group {0} has a wrong length")]
    Length(u32),
    /// It was not sealed with this key in this place.
    #[error("group {0} does not open with the key of its manifest")]
    NotAuthentic(u32),
}

/// How a file of some length lies in groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Layout {
    bytes: u64,
    groups: u32,
}

impl Layout {
    /// The layout of a file with so many bytes.
    ///
    /// # Errors
    ///
    /// [`FileError::TooLarge`] above [`MAX_FILE_BYTES`].
    pub fn of(bytes: u64) -> Result<Layout, FileError> {
        let groups = bytes.div_ceil(GROUP_TEXT_BYTES as u64).max(1);
        match u32::try_from(groups) {
            Ok(groups) if bytes <= MAX_FILE_BYTES => Ok(Layout { bytes, groups }),
            _ => Err(FileError::TooLarge(bytes)),
        }
    }

    /// Bytes of the file.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many groups it has; at least one.
    pub const fn groups(&self) -> u32 {
        self.groups
    }

    /// Bytes of all sealed groups.
    pub fn sealed_bytes(&self) -> u64 {
        self.bytes + u64::from(self.groups) * TAG_BYTES as u64
    }

    /// Bytes of the outline.
    pub fn outline_bytes(&self) -> u64 {
        u64::from(self.groups) * VALUE_BYTES as u64
    }

    /// Where a sealed group begins.
    pub fn offset(&self, group: u32) -> u64 {
        u64::from(group) * GROUP_BYTES as u64
    }

    /// Bytes of the file that a group holds; none where there is no such group.
    pub fn text_len(&self, group: u32) -> Option<usize> {
        let before = u64::from(group) * GROUP_TEXT_BYTES as u64;
        if group >= self.groups {
            return None;
        }
        usize::try_from(self.bytes.saturating_sub(before).min(GROUP_TEXT_BYTES as u64)).ok()
    }

    /// Bytes of a sealed group; none where there is no such group.
    pub fn sealed_len(&self, group: u32) -> Option<usize> {
        self.text_len(group).map(|text| text + TAG_BYTES)
    }
}

/// What one file is sealed with. Wiped from memory when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct FileKey([u8; KEY_BYTES]);

impl FileKey {
    /// The key that a manifest with these bytes means.
    pub fn from_bytes(key: &[u8; KEY_BYTES]) -> FileKey {
        FileKey(blake3::derive_key(FILE_CONTEXT, key))
    }

    /// Seals a group: ciphertext, tag.
    ///
    /// # Errors
    ///
    /// [`FileError::Length`] where `text` is not as long as the group's place says.
    pub fn seal(&self, layout: &Layout, group: u32, text: &[u8]) -> Result<Vec<u8>, FileError> {
        if layout.text_len(group) != Some(text.len()) {
            return Err(FileError::Length(group));
        }
        let mut sealed = Vec::with_capacity(text.len() + TAG_BYTES);
        sealed.extend_from_slice(text);
        let tag = ChaCha20Poly1305::new((&self.0).into())
            .encrypt_inout_detached(&nonce(group), &[], InOutBuf::from(sealed.as_mut_slice()))
            .map_err(|_| FileError::Length(group))?;
        sealed.extend_from_slice(&tag);
        Ok(sealed)
    }

    /// Opens what [`seal`](Self::seal) sealed.
    ///
    /// # Errors
    ///
    /// [`FileError::Length`], [`FileError::NotAuthentic`].
    pub fn open(&self, layout: &Layout, group: u32, sealed: &[u8]) -> Result<Vec<u8>, FileError> {
        if layout.sealed_len(group) != Some(sealed.len()) {
            return Err(FileError::Length(group));
        }
        let parts = sealed.split_last_chunk::<TAG_BYTES>();
        let (text, tag) = parts.ok_or(FileError::Length(group))?;
        let mut text = text.to_vec();
        ChaCha20Poly1305::new((&self.0).into())
            .decrypt_inout_detached(
                &nonce(group),
                &[],
                InOutBuf::from(text.as_mut_slice()),
                &Tag::from(*tag),
            )
            .map_err(|_| FileError::NotAuthentic(group))?;
        Ok(text)
    }
}

impl fmt::Debug for FileKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FileKey(..)")
    }
}

fn nonce(group: u32) -> Nonce {
    let mut nonce = [0; 12];
    if let Some(tail) = nonce.last_chunk_mut::<8>() {
        *tail = u64::from(group).to_be_bytes();
    }
    Nonce::from(nonce)
}

/// The value of a sealed group in the outline; none where its length does not fit its place.
pub fn chaining_value(layout: &Layout, group: u32, sealed: &[u8]) -> Option<ChainingValue> {
    if layout.sealed_len(group) != Some(sealed.len()) {
        return None;
    }
    if layout.groups() == 1 {
        return Some(*blake3::hash(sealed).as_bytes());
    }
    // The offset is a whole number of groups, and a group is no longer than the subtree that may
    // begin there.
    let mut hasher = blake3::Hasher::new();
    hasher.set_input_offset(layout.offset(group)).update(sealed);
    Some(hasher.finalize_non_root())
}

/// The root of the tree over an outline; none where it has not one value for each group.
pub fn root_of(layout: &Layout, outline: &[ChainingValue]) -> Option<FileRoot> {
    if u32::try_from(outline.len()).ok() != Some(layout.groups()) {
        return None;
    }
    if let [only] = outline {
        return Some(FileRoot::new(*only));
    }
    let (left, right) = outline.split_at(left_groups(outline.len()));
    let root = merge_subtrees_root(&subtree(left)?, &subtree(right)?, Mode::Hash);
    Some(FileRoot::new(*root.as_bytes()))
}

/// Some fifteen levels deep at most.
fn subtree(values: &[ChainingValue]) -> Option<ChainingValue> {
    match values {
        [] => None,
        [only] => Some(*only),
        several => {
            let (left, right) = several.split_at(left_groups(several.len()));
            Some(merge_subtrees_non_root(&subtree(left)?, &subtree(right)?, Mode::Hash))
        }
    }
}

/// The left side of a tree over `n` groups, two or more: the greatest power of two below `n`.
fn left_groups(n: usize) -> usize {
    n.div_ceil(2).next_power_of_two()
}

/// The outline as it is sent and kept: value after value.
pub fn outline_from_bytes(bytes: &[u8]) -> Option<Vec<ChainingValue>> {
    let (values, rest) = bytes.as_chunks::<VALUE_BYTES>();
    rest.is_empty().then(|| values.to_vec())
}
