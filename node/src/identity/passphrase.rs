//! What a passphrase protects: a secret sealed under a key that is slow to guess.
//!
//! The key is Argon2id (RFC 9106, version 0x13) of the passphrase with a salt, 32 bytes; the secret
//! is sealed with XChaCha20-Poly1305. What it takes to try a passphrase stands before the secret:
//!
//! | bytes | field |
//! | --- | --- |
//! | 4 | Argon2id memory in KiB, big endian |
//! | 4 | Argon2id passes, big endian |
//! | 1 | Argon2id lanes |
//! | 16 | salt |
//! | 24 | nonce |
//!
//! What a file asks of Argon2 is bounded before anything is computed ([`Cost::check`]), or a file
//! could take all memory.

use std::fmt;

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::aead::inout::InOutBuf;
use chacha20poly1305::{AeadInOut, KeyInit, Tag, XChaCha20Poly1305, XNonce};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::random::random_bytes;

/// Bytes of a salt.
pub const SALT_BYTES: usize = 16;
/// Bytes of a nonce.
pub const NONCE_BYTES: usize = 24;
/// Bytes of the tag after a sealed secret.
pub(super) const TAG_BYTES: usize = 16;
/// Bytes of an encoded [`Lock`].
pub(super) const LOCK_BYTES: usize = 4 + 4 + 1 + SALT_BYTES + NONCE_BYTES;

/// Most that a file may ask of Argon2.
pub(super) const MAX_MEMORY_KIB: u32 = 256 * 1024;
pub(super) const MAX_PASSES: u32 = 16;
pub(super) const MAX_LANES: u8 = 16;

/// A passphrase. Never printed; wiped when dropped.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Passphrase(String);

impl Passphrase {
    /// Takes what a person typed, without the line's end.
    pub fn new(text: String) -> Passphrase {
        Passphrase(text)
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(..)")
    }
}

/// Why no key comes of a passphrase.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PassphraseError {
    /// An empty passphrase protects nothing.
    #[error("the passphrase is empty")]
    Empty,
    /// The file asks for more than any honest one does.
    #[error("the file asks for {} KiB of memory, {} passes and {} lanes, which is out of range", .0.memory_kib, .0.passes, .0.lanes)]
    Cost(Cost),
    /// There is not enough memory to compute the key.
    #[error("there is not enough memory to compute the key from the passphrase")]
    Memory,
}

/// What a guess at the passphrase costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub passes: u32,
    /// Lanes.
    pub lanes: u8,
}

impl Cost {
    /// The second recommendation of RFC 9106: 64 MiB, three passes, four lanes.
    pub const STANDARD: Cost = Cost { memory_kib: 64 * 1024, passes: 3, lanes: 4 };

    /// Whether this program computes it.
    ///
    /// # Errors
    ///
    /// [`PassphraseError::Cost`] above 256 MiB, 16 passes or 16 lanes, or below what Argon2 needs.
    pub fn check(&self) -> Result<(), PassphraseError> {
        let ok = (1..=MAX_LANES).contains(&self.lanes)
            && (1..=MAX_PASSES).contains(&self.passes)
            && (8 * u32::from(self.lanes)..=MAX_MEMORY_KIB).contains(&self.memory_kib);
        ok.then_some(()).ok_or(PassphraseError::Cost(*self))
    }
}

/// How a secret is locked: all that is needed to open it but the passphrase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lock {
    /// What a guess costs.
    pub cost: Cost,
    /// Fresh random bytes.
    pub salt: [u8; SALT_BYTES],
    /// Fresh random bytes.
    pub nonce: [u8; NONCE_BYTES],
}

impl Lock {
    /// A new one, with the cost that is recommended.
    pub fn fresh() -> Lock {
        Lock { cost: Cost::STANDARD, salt: random_bytes(), nonce: random_bytes() }
    }

    /// The key that a new passphrase gives.
    ///
    /// # Errors
    ///
    /// Every variant.
    pub fn new_key(&self, passphrase: &Passphrase) -> Result<WrapKey, PassphraseError> {
        if passphrase.0.is_empty() {
            return Err(PassphraseError::Empty);
        }
        self.key(passphrase)
    }

    /// The key that a passphrase gives.
    ///
    /// # Errors
    ///
    /// [`PassphraseError::Cost`], [`PassphraseError::Memory`].
    pub fn key(&self, passphrase: &Passphrase) -> Result<WrapKey, PassphraseError> {
        let cost = self.cost;
        cost.check()?;
        let params = Params::new(cost.memory_kib, cost.passes, u32::from(cost.lanes), Some(32))
            .map_err(|_| PassphraseError::Cost(cost))?;
        let mut key = WrapKey([0; 32]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(passphrase.0.as_bytes(), &self.salt, &mut key.0)
            .map_err(|_| PassphraseError::Memory)?;
        Ok(key)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        [
            self.cost.memory_kib.to_be_bytes().as_slice(),
            &self.cost.passes.to_be_bytes(),
            &[self.cost.lanes],
            &self.salt,
            &self.nonce,
        ]
        .concat()
    }

    /// Reads a lock from the start of `bytes`; gives the rest too.
    pub(super) fn decode(bytes: &[u8]) -> Option<(Lock, &[u8])> {
        let (memory, rest) = bytes.split_first_chunk()?;
        let (passes, rest) = rest.split_first_chunk()?;
        let (lanes, rest) = rest.split_first()?;
        let (salt, rest) = rest.split_first_chunk()?;
        let (nonce, rest) = rest.split_first_chunk()?;
        let cost = Cost {
            memory_kib: u32::from_be_bytes(*memory),
            passes: u32::from_be_bytes(*passes),
            lanes: *lanes,
        };
        Some((Lock { cost, salt: *salt, nonce: *nonce }, rest))
    }

    /// Seals `secret` in place and gives the tag. `clear` is bound to it.
    pub(super) fn seal(
        &self,
        key: &WrapKey,
        clear: &[u8],
        secret: &mut [u8],
    ) -> Option<[u8; TAG_BYTES]> {
        let sealed = XChaCha20Poly1305::new((&key.0).into()).encrypt_inout_detached(
            &XNonce::from(self.nonce),
            clear,
            InOutBuf::from(secret),
        );
        sealed.ok().map(Into::into)
    }

    /// Opens what [`seal`](Self::seal) sealed, tag last.
    pub(super) fn open(
        &self,
        key: &WrapKey,
        clear: &[u8],
        sealed: &[u8],
    ) -> Option<Zeroizing<Vec<u8>>> {
        let (sealed, tag) = sealed.split_last_chunk::<TAG_BYTES>()?;
        let mut secret = Zeroizing::new(sealed.to_vec());
        XChaCha20Poly1305::new((&key.0).into())
            .decrypt_inout_detached(
                &XNonce::from(self.nonce),
                clear,
                InOutBuf::from(secret.as_mut_slice()),
                &Tag::from(*tag),
            )
            .ok()?;
        Some(secret)
    }
}

/// The key that a passphrase gave. Never printed; wiped when dropped. As text, for the hands of
/// another process of the same user, it is 64 hexadecimal digits.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WrapKey([u8; 32]);

impl fmt::Debug for WrapKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WrapKey(..)")
    }
}

impl From<WrapKey> for String {
    fn from(key: WrapKey) -> String {
        blake3::Hash::from_bytes(key.0).to_hex().to_string()
    }
}

impl TryFrom<String> for WrapKey {
    type Error = &'static str;

    fn try_from(text: String) -> Result<WrapKey, &'static str> {
        let text = Zeroizing::new(text);
        let bytes = blake3::Hash::from_hex(text.as_bytes()).map_err(|_| "not a key")?;
        Ok(WrapKey(*bytes.as_bytes()))
    }
}
