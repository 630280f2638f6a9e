//! Who this device is: its signing key and its sealing key.
//!
//! Both live in one file beside the store, never in it and never in a backup of it. Whoever has
//! the file can write as this member and read what the member reads.
//!
//! | offset | bytes | field |
//! | --- | --- | --- |
//! | 0 | 8 | `lanaikey` |
//! | 8 | 1 | version, 1 |
//! | 9 | 32 | Ed25519 seed (RFC 8032's private key) of the device |
//! | 41 | 32 | X25519 sealing secret |
//! | 73 | 8 | first bytes of BLAKE3 `derive_key("lanai v1 device key file")` over all the above |
//!
//! The file is made once and never overwritten ([`private`] has the rules). A person who wants to
//! outlive a laptop makes an [`export`].

pub mod export;
pub mod link;
pub mod phrase;
pub mod private;

use std::path::{Path, PathBuf};

use lanai_crdt::entry::DeviceSecret;
use lanai_crdt::id::DeviceId;
use lanai_crdt::seal::{CryptoRng, SealingSecret};
use zeroize::Zeroizing;

use private::PrivateFileError;

const MAGIC: &[u8; 8] = b"lanaikey";
const VERSION: u8 = 1;
const CHECKSUM_CONTEXT: &str = "lanai v1 device key file";
const CHECKSUM_BYTES: usize = 8;
/// Bytes of a key file.
pub const KEY_FILE_BYTES: usize = 8 + 1 + 32 + 32 + CHECKSUM_BYTES;

/// The secret keys of this device. Wiped from memory when dropped.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Signs entries, and is the node's identity in the network.
    pub device: DeviceSecret,
    /// Opens the epoch keys that others seal to this device.
    pub sealing: SealingSecret,
}

/// Why the keys of this device could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The file itself.
    #[error(transparent)]
    File(#[from] PrivateFileError),
    /// The file is something else.
    #[error("{} is not a lanai key file", .0.display())]
    NotAKeyFile(PathBuf),
    /// Written by a later version.
    #[error("{} was written by a newer version of lanai (format {version})", .path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// The version that it states.
        version: u8,
    },
    /// The checksum does not fit, or bytes are missing.
    #[error("{} is damaged", .0.display())]
    Damaged(PathBuf),
}

impl IdentityError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::File(error) => error.hint(),
            Self::NotAKeyFile(_) => None,
            Self::Newer { .. } => Some("install the newer version".to_string()),
            Self::Damaged(_) => Some(
                "put a copy of the file back, or use `lanai identity import` with an export"
                    .to_string(),
            ),
        }
    }
}

impl Identity {
    /// New keys.
    pub fn generate(rng: &mut impl CryptoRng) -> Identity {
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(seed.as_mut_slice());
        Identity { device: DeviceSecret::from_bytes(&seed), sealing: SealingSecret::generate(rng) }
    }

    /// The device's public name.
    pub fn device_id(&self) -> DeviceId {
        self.device.device()
    }

    /// Writes a new key file.
    ///
    /// # Errors
    ///
    /// [`IdentityError::File`], in particular when there is a file already.
    pub fn create(&self, path: &Path) -> Result<(), IdentityError> {
        private::create(path, &self.encode()).map_err(IdentityError::File)
    }

    /// Reads a key file.
    ///
    /// # Errors
    ///
    /// Every variant.
    pub fn load(path: &Path) -> Result<Identity, IdentityError> {
        let bytes = match private::read(path, KEY_FILE_BYTES) {
            Err(PrivateFileError::TooLarge { .. }) => {
                return Err(IdentityError::NotAKeyFile(path.to_path_buf()));
            }
            other => other?,
        };
        Self::decode(&bytes, path)
    }

    fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(KEY_FILE_BYTES));
        bytes.extend_from_slice(MAGIC);
        bytes.push(VERSION);
        bytes.extend_from_slice(Zeroizing::new(self.device.to_bytes()).as_slice());
        bytes.extend_from_slice(self.sealing.to_bytes().as_slice());
        let sum = checksum(&bytes);
        bytes.extend_from_slice(&sum);
        bytes
    }

    /// `path` is for the error.
    fn decode(bytes: &[u8], path: &Path) -> Result<Identity, IdentityError> {
        let not = || IdentityError::NotAKeyFile(path.to_path_buf());
        let damaged = || IdentityError::Damaged(path.to_path_buf());
        let rest = bytes.strip_prefix(MAGIC).ok_or_else(not)?;
        match rest.first() {
            None => return Err(damaged()),
            Some(&VERSION) => {}
            Some(&version) => {
                return Err(IdentityError::Newer { path: path.to_path_buf(), version });
            }
        }
        if bytes.len() != KEY_FILE_BYTES {
            return Err(damaged());
        }
        let (signed, sum) = bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or_else(damaged)?;
        if checksum(signed) != *sum {
            return Err(damaged());
        }
        let keys = rest.get(1..).ok_or_else(damaged)?;
        let (seed, keys) = keys.split_first_chunk::<32>().ok_or_else(damaged)?;
        let sealing = keys.first_chunk::<32>().ok_or_else(damaged)?;
        Ok(Identity {
            device: DeviceSecret::from_bytes(seed),
            sealing: SealingSecret::from_bytes(sealing),
        })
    }
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let hash = blake3::Hasher::new_derive_key(CHECKSUM_CONTEXT).update(bytes).finalize();
    hash.as_bytes().first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::random::OsRandom;

    fn fixed() -> Identity {
        Identity {
            device: DeviceSecret::from_bytes(&[1; 32]),
            sealing: SealingSecret::from_bytes(&[2; 32]),
        }
    }

    #[test]
    fn golden_bytes() {
        let bytes = fixed().encode();
        let mut want = b"lanaikey\x01".to_vec();
        want.extend([1; 32]);
        want.extend(fixed().sealing.to_bytes().as_slice());
        want.extend(GOLDEN_SUM);
        assert_eq!(bytes.as_slice(), want, "the key file is part of the format");
        assert_eq!(bytes.len(), KEY_FILE_BYTES);
    }

    const GOLDEN_SUM: [u8; 8] = [243, 243, 98, 212, 39, 193, 208, 51];

    #[test]
    fn a_new_identity_is_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("device.key");
        let made = Identity::generate(&mut OsRandom);
        made.create(&path).unwrap();
        let found = Identity::load(&path).unwrap();
        assert_eq!(found.device_id(), made.device_id());
        assert_eq!(found.sealing.public(), made.sealing.public());
        assert!(matches!(
            Identity::generate(&mut OsRandom).create(&path),
            Err(IdentityError::File(PrivateFileError::Exists(_)))
        ));
        assert_eq!(Identity::load(&path).unwrap().device_id(), made.device_id());
        set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        let error = Identity::load(&path).unwrap_err();
        assert!(error.hint().unwrap().contains("chmod 600"), "{error}");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let path = Path::new("device.key");
        let bytes = fixed().encode();
        for n in 0..bytes.len() {
            match Identity::decode(&bytes[..n], path) {
                Err(IdentityError::NotAKeyFile(_)) => assert!(n < 8, "{n}"),
                Err(IdentityError::Damaged(_)) => assert!(n >= 8, "{n}"),
                other => panic!("{n}: {other:?}"),
            }
        }
        for bit in 0..bytes.len() * 8 {
            let mut altered = bytes.to_vec();
            altered[bit / 8] ^= 1 << (bit % 8);
            assert!(Identity::decode(&altered, path).is_err(), "bit {bit}");
        }
        let mut newer = bytes.to_vec();
        newer[8] = 2;
        assert!(matches!(
            Identity::decode(&newer, path),
            Err(IdentityError::Newer { version: 2, .. })
        ));
        let dir = tempfile::tempdir().unwrap();
        let big = dir.path().join("device.key");
        private::create(&big, &[0; 1000]).unwrap();
        assert!(matches!(Identity::load(&big), Err(IdentityError::NotAKeyFile(_))));
    }

    #[test]
    fn secrets_are_not_printed() {
        let shown = format!("{:?}", fixed());
        assert!(!shown.contains("1, 1") && !shown.contains("2, 2"), "{shown}");
    }
}
