//! The body of a file's manifest.

use std::fmt;

use minicbor::bytes::ByteArray;
use minicbor::{Decode, Encode};

use super::talk::check_len;
use super::{PayloadError, field_error};
use crate::limits::{MAX_FILE_BYTES, MAX_FILE_NAME_BYTES, MAX_MEDIA_TYPE_BYTES};

/// Says that there is a file, what it is called, and how its bytes are known and opened. The bytes
/// themselves travel apart ([`crate::file`]).
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct File {
    /// What it is called, for the eye alone: it never names a place on a disk as it stands
    /// ([`crate::file::safe_name`]).
    #[n(0)]
    pub name: String,
    /// Its media type (RFC 6838), as its author says.
    #[n(1)]
    pub media: Option<String>,
    /// Bytes of the file as it was.
    #[n(2)]
    pub bytes: u64,
    /// BLAKE3 of the file as it is sealed.
    #[n(3)]
    pub root: ByteArray<32>,
    /// What it is sealed with: this file and no other.
    #[n(4)]
    pub key: ByteArray<32>,
}

impl File {
    pub(super) fn check(&self) -> Result<(), PayloadError> {
        if self.name.trim().is_empty() {
            return Err(field_error("file name", "empty"));
        }
        check_len("file name", &self.name, MAX_FILE_NAME_BYTES)?;
        check_len("media type", self.media.as_deref().unwrap_or_default(), MAX_MEDIA_TYPE_BYTES)?;
        if self.bytes > MAX_FILE_BYTES {
            return Err(field_error("file", "too large"));
        }
        Ok(())
    }
}

impl fmt::Debug for File {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File")
            .field("name", &self.name)
            .field("media", &self.media)
            .field("bytes", &self.bytes)
            .field("root", &crate::id::base32(&*self.root))
            .finish_non_exhaustive()
    }
}
