//! State among the devices of one member: what was read, and texts that were begun.
//!
//! An entry carries it to everybody and only the member's own devices open it: a fresh key is sealed to
//! each of them, and what changed is encrypted under that key. Others learn that a device wrote own state,
//! when, how large it is, and to which devices, which the roster says anyway.
//!
//! # Merging without a clock
//!
//! 1. What was read is a set that only grows. It names posts by the first [`SHORT_ID_BYTES`] of their ids:
//!    to make a post that counts as read where it is not takes some 2^64 tries for each post that was read.
//! 2. A draft has a key. A new text for it, or its end, names in `over` the entries that held the text
//!    before. What no other names is current; several are two drafts, both kept. An end does not
//!    win against a text that was changed at the same time.

use minicbor::bytes::{ByteArray, ByteVec};
use minicbor::{Decode, Encode};

use super::{DeviceSeal, PayloadError, field_error};
use crate::envelope::{self, EnvelopeError};
use crate::id::{DeviceId, EntryId, MemberId};
use crate::limits::{
    MAX_DRAFT_BYTES, MAX_MEMBER_DEVICES, MAX_OWN_DRAFTS, MAX_OWN_READS, MAX_OWN_STATE_BYTES,
};
use crate::seal::{
    BoxKey, BoxPurpose, CryptoRng, NONCE_BYTES, SealError, SealingPublic, SealingSecret,
};

/// Bytes of an id by which a post is marked as read.
pub const SHORT_ID_BYTES: usize = 8;
/// Bytes of a draft's key.
pub const MAX_DRAFT_KEY_BYTES: usize = 80;
/// Earlier texts that a draft replaces.
const MAX_OVER: usize = 32;
/// What the state is bound to, before the member's id.
const CONTEXT: &[u8] = b"lanai v1 own state\0";

/// The first bytes of a post's id.
pub type ShortId = ByteArray<SHORT_ID_BYTES>;

/// The short form of an entry's id.
pub fn short_id(id: &EntryId) -> ShortId {
    id.as_bytes().first_chunk().copied().unwrap_or_default().into()
}

/// What changed on one device of a member, sealed to all of them.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct OwnState {
    /// [`BoxKey::id`]: commits to the key.
    #[n(0)]
    pub key: ByteArray<32>,
    /// The key, for each device, ascending.
    #[n(1)]
    pub seals: Vec<DeviceSeal>,
    /// [`OwnChanges`] in an envelope, encrypted under the key.
    #[n(2)]
    pub sealed: ByteVec,
}

/// What changed since the state that the device wrote before.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(map)]
pub struct OwnChanges {
    /// Posts that were read.
    #[n(0)]
    pub read: Vec<ShortId>,
    /// Texts that were begun, changed, published or thrown away.
    #[n(1)]
    pub drafts: Vec<OwnDraft>,
}

/// A text that was begun and is not published.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct OwnDraft {
    /// What it is for: small letters, digits and hyphens, since it becomes a file's name.
    #[n(0)]
    pub key: String,
    /// The text; none when it was published or thrown away.
    #[n(1)]
    pub text: Option<String>,
    /// The entries whose texts for this key it replaces.
    #[n(2)]
    pub over: Vec<ByteArray<32>>,
}

/// Why own state could not be sealed or opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OwnStateError {
    /// No device of this name is among those it was sealed to.
    #[error("the state is not sealed to this device")]
    NotSealedTo,
    /// A seal or the encryption.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The envelope.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// The content.
    #[error(transparent)]
    Payload(#[from] PayloadError),
}

fn context(member: &MemberId) -> Vec<u8> {
    [CONTEXT, member.as_bytes()].concat()
}

impl OwnState {
    /// Seals changes of `member` to these devices, each with its sealing key.
    ///
    /// # Errors
    ///
    /// When the changes are over a limit.
    pub fn seal<'d>(
        changes: &OwnChanges,
        member: &MemberId,
        devices: impl IntoIterator<Item = (&'d DeviceId, &'d SealingPublic)>,
        rng: &mut impl CryptoRng,
    ) -> Result<OwnState, OwnStateError> {
        changes.check()?;
        let mut body = Vec::new();
        minicbor::encode(changes, &mut body)
            .map_err(|_| PayloadError::Malformed("cannot be encoded".into()))?;
        if body.len() > MAX_OWN_STATE_BYTES {
            return Err(PayloadError::TooLong(body.len()).into());
        }
        let key = BoxKey::generate(BoxPurpose::OwnState, rng);
        let mut nonce = [0; NONCE_BYTES];
        rng.fill_bytes(&mut nonce);
        let sealed = key.seal(nonce, &context(member), &envelope::encode(&body)?)?;
        let mut seals = Vec::new();
        for (device, sealing) in devices {
            let sealed = key.seal_to(sealing, device, rng)?.into();
            seals.push(DeviceSeal { device: (*device.as_bytes()).into(), sealed });
        }
        seals.sort_by_key(|s| s.device);
        Ok(OwnState { key: key.id().into(), seals, sealed: sealed.into() })
    }

    /// Opens what a device of `member` sealed to this one.
    ///
    /// # Errors
    ///
    /// When it is not sealed to this device, or what is in it is bad.
    pub fn open(
        &self,
        member: &MemberId,
        device: &DeviceId,
        secret: &SealingSecret,
    ) -> Result<OwnChanges, OwnStateError> {
        let own = self.seals.iter().find(|s| *s.device == *device.as_bytes());
        let seal = own.ok_or(OwnStateError::NotSealedTo)?;
        let key = BoxKey::open_seal(BoxPurpose::OwnState, secret, &self.key, device, &seal.sealed)?;
        let body = envelope::decode(&key.open(&context(member), &self.sealed)?)?;
        let changes: OwnChanges = minicbor::decode(&body).map_err(super::malformed)?;
        changes.check()?;
        Ok(changes)
    }

    pub(super) fn check(&self) -> Result<(), PayloadError> {
        if self.seals.len() > MAX_MEMBER_DEVICES {
            return Err(field_error("seals", "too many"));
        }
        Ok(())
    }
}

impl OwnChanges {
    fn check(&self) -> Result<(), PayloadError> {
        if self.read.len() > MAX_OWN_READS {
            return Err(field_error("read", "too many"));
        }
        if self.drafts.len() > MAX_OWN_DRAFTS {
            return Err(field_error("drafts", "too many"));
        }
        self.drafts.iter().try_for_each(OwnDraft::check)
    }
}

impl OwnDraft {
    /// Whether a draft of this key and text may be shared: others stay on their device.
    pub fn fits(key: &str, text: &str) -> bool {
        is_key(key) && text.len() <= MAX_DRAFT_BYTES
    }

    fn check(&self) -> Result<(), PayloadError> {
        if !is_key(&self.key) {
            return Err(field_error("draft key", "not a plain name"));
        }
        if self.text.as_ref().is_some_and(|t| t.len() > MAX_DRAFT_BYTES) {
            return Err(field_error("draft", "too long"));
        }
        if self.over.len() > MAX_OVER {
            return Err(field_error("over", "too many"));
        }
        Ok(())
    }

    /// A text for a key that replaces earlier ones; of very many, the first.
    pub fn new(
        key: String,
        text: Option<String>,
        over: impl IntoIterator<Item = EntryId>,
    ) -> OwnDraft {
        let over = over.into_iter().take(MAX_OVER).map(|id| (*id.as_bytes()).into()).collect();
        OwnDraft { key, text, over }
    }
}

fn is_key(key: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    !key.is_empty()
        && key.len() <= MAX_DRAFT_KEY_BYTES
        && !key.starts_with('-')
        && !key.ends_with('-')
        && key.bytes().all(plain)
}

#[cfg(test)]
mod tests;
