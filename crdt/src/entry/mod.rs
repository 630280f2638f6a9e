//! Entries: the signed records that everything else is folded from.
//!
//! An entry is a [`Header`] and a payload. The header is what is signed and hashed; it commits to
//! the payload by hash and length, so that a payload can be dropped or fetched later without
//! breaking the log. Three types keep apart what is believed:
//!
//! 1. [`Signed`]: decoded bytes with an optional signature. Nothing is believed yet.
//! 2. [`Verified`]: authentic. Only a good signature, or the *chain rule*, makes one.
//! 3. [`Verified`] with a payload that matches its hash: checked by [`Verified::matches_payload`].
//!
//! **Chain rule.** A header is authentic if its own signature is, or if it is the `prev` of an
//! authentic header of the same log with the next sequence number: that header's signature covers
//! its id, and so its bytes. A run of a thousand headers needs one signature check.
//!
//! An entry's id is BLAKE3 over the header without the signature: one header is one entry,
//! however many signatures exist for it.

mod header;
mod signed;

pub use header::{
    Class, HEADER_FIXED_BYTES, Header, HeaderError, HeaderTail, MIN_HEADER_BYTES, VERSION,
};
pub use signed::{
    DeviceKeyError, DeviceSecret, SIGNATURE_BYTES, Signature, Signed, Verified, VerifyError,
    check_device_key, payload_hash, sign_context, verify_context,
};
