//! Who this device is: its signing key and its sealing key.
//!
//! Both live in one file beside the store, never in it and never in a backup of it. Whoever has
//! the file can write as this member and read what the member reads.
//!
//! | bytes | field |
//! | --- | --- |
//! | 8 | `lanaikey` |
//! | 1 | version: 1 as it is, 2 locked with a passphrase |
//! | 49 | version 2 only: how it is locked ([`passphrase`]) |
//! | 32 | Ed25519 seed (RFC 8032's private key) of the device |
//! | 32 | X25519 sealing secret |
//! | 16 | version 2 only: the tag; it and the two before are the sealed secret, and all before them is bound to it |
//! | 8 | first bytes of BLAKE3 `derive_key("lanai v1 device key file")` over all the above |
//!
//! The checksum tells a damaged file from a wrong passphrase. The key of a sealed store
//! ([`Identity::store_key`]) follows from the two secrets, so this file is all there is to protect, to
//! export and to destroy.
//!
//! The file is replaced as a whole or not at all ([`private`] has the rules). A person who wants to
//! outlive a laptop makes an [`export`].

pub mod export;
pub mod link;
pub mod passphrase;
pub mod phrase;
pub mod private;

use std::path::{Path, PathBuf};

use lanai_crdt::entry::DeviceSecret;
use lanai_crdt::id::DeviceId;
use lanai_crdt::seal::{CryptoRng, SealingSecret};
use zeroize::Zeroizing;

use crate::home::Home;
use passphrase::{LOCK_BYTES, Lock, Passphrase, PassphraseError, TAG_BYTES, WrapKey};
use private::PrivateFileError;

const MAGIC: &[u8; 8] = b"lanaikey";
/// Version of a file that whoever has it can read.
const OPEN: u8 = 1;
/// Version of a file that takes a passphrase.
const LOCKED: u8 = 2;
const STORE_KEY_CONTEXT: &str = "lanai v1 store key";
const CHECKSUM_CONTEXT: &str = "lanai v1 device key file";
const CHECKSUM_BYTES: usize = 8;
const SECRET_BYTES: usize = 32 + 32;
/// Bytes of a key file, at most.
const MAX_KEY_FILE_BYTES: usize = 8 + 1 + LOCK_BYTES + SECRET_BYTES + TAG_BYTES + CHECKSUM_BYTES;

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
    /// It takes a passphrase, and there is none.
    #[error("{} is locked with a passphrase", .0.display())]
    Locked(PathBuf),
    /// It takes another passphrase.
    #[error("wrong passphrase")]
    WrongPassphrase,
    /// No key comes of the passphrase.
    #[error(transparent)]
    Passphrase(#[from] PassphraseError),
}

impl IdentityError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::File(error) => error.hint(),
            Self::NotAKeyFile(_) => None,
            Self::Locked(_) => Some("`lanai unlock` opens it".to_string()),
            Self::WrongPassphrase => Some("type it again".to_string()),
            Self::Passphrase(PassphraseError::Empty) => {
                Some("four random words make a good one".to_string())
            }
            Self::Passphrase(_) => None,
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

    /// Writes a new key file, which whoever has it can read.
    ///
    /// # Errors
    ///
    /// [`IdentityError::File`], in particular when there is a file already.
    pub fn create(&self, path: &Path) -> Result<(), IdentityError> {
        private::create(path, &self.encode()).map_err(IdentityError::File)
    }

    /// The keys of a home: those that were unlocked for this process, else those of its key file.
    ///
    /// # Errors
    ///
    /// Those of [`load`](Self::load).
    pub fn of_home(home: &Home) -> Result<Identity, IdentityError> {
        match home.unlocked() {
            Some(unlocked) => Ok(unlocked.identity.clone()),
            None => Self::load(&home.device_key()),
        }
    }

    /// Reads a key file that takes no passphrase.
    ///
    /// # Errors
    ///
    /// [`IdentityError::Locked`] where it does, and those of [`KeyFile::read`].
    pub fn load(path: &Path) -> Result<Identity, IdentityError> {
        match KeyFile::read(path)? {
            KeyFile::Open(identity) => Ok(identity),
            KeyFile::Locked(_) => Err(IdentityError::Locked(path.to_path_buf())),
        }
    }

    /// Writes a key file that takes a passphrase: a new one, or in place of one that is destroyed.
    ///
    /// # Errors
    ///
    /// [`IdentityError::File`].
    pub fn write_locked(
        &self,
        path: &Path,
        lock: &Lock,
        key: &WrapKey,
    ) -> Result<(), IdentityError> {
        let bytes = self.encode_locked(lock, key);
        let written = match path.exists() {
            true => private::replace_secret(path, &bytes),
            false => private::create(path, &bytes),
        };
        written.map_err(IdentityError::File)
    }

    /// Writes a key file that takes no passphrase in place of one that does.
    ///
    /// # Errors
    ///
    /// [`IdentityError::File`].
    pub fn write_open(&self, path: &Path) -> Result<(), IdentityError> {
        private::replace(path, &self.encode()).map_err(IdentityError::File)
    }

    /// The key of a sealed store of this device.
    pub fn store_key(&self) -> StoreKey {
        let mut hasher = blake3::Hasher::new_derive_key(STORE_KEY_CONTEXT);
        hasher.update(Zeroizing::new(self.device.to_bytes()).as_slice());
        hasher.update(self.sealing.to_bytes().as_slice());
        StoreKey(Zeroizing::new(*hasher.finalize().as_bytes()))
    }

    fn secret(&self) -> Zeroizing<[u8; SECRET_BYTES]> {
        let mut secret = Zeroizing::new([0; SECRET_BYTES]);
        let (seed, sealing) = secret.split_at_mut(32);
        seed.copy_from_slice(Zeroizing::new(self.device.to_bytes()).as_slice());
        sealing.copy_from_slice(self.sealing.to_bytes().as_slice());
        secret
    }

    fn of_secret(secret: &[u8]) -> Option<Identity> {
        let (seed, rest) = secret.split_first_chunk()?;
        let sealing = rest.first_chunk().filter(|_| rest.len() == 32)?;
        Some(Identity {
            device: DeviceSecret::from_bytes(seed),
            sealing: SealingSecret::from_bytes(sealing),
        })
    }

    fn encode(&self) -> Zeroizing<Vec<u8>> {
        encode(OPEN, &[self.secret().as_slice()])
    }

    fn encode_locked(&self, lock: &Lock, key: &WrapKey) -> Zeroizing<Vec<u8>> {
        let clear = lock.encode();
        let mut secret = self.secret();
        // The only error is a length of more than 256 GiB.
        let tag = lock.seal(key, &bound(&clear), secret.as_mut_slice()).unwrap_or_default();
        encode(LOCKED, &[&clear, secret.as_slice(), &tag])
    }
}

/// All of a key file but its checksum, and that.
fn encode(version: u8, parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    // Room for all of it at once: growing would leave copies of the secret behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_KEY_FILE_BYTES));
    bytes.extend_from_slice(MAGIC);
    bytes.push(version);
    for part in parts {
        bytes.extend_from_slice(part);
    }
    let sum = checksum(&bytes);
    bytes.extend_from_slice(&sum);
    bytes
}

/// What stands before the secret in a locked file.
fn bound(lock: &[u8]) -> Vec<u8> {
    [MAGIC.as_slice(), &[LOCKED], lock].concat()
}

/// The key of a store that is sealed. Wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreKey(Zeroizing<[u8; 32]>);

impl StoreKey {
    /// The key itself.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl std::fmt::Debug for StoreKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StoreKey(..)")
    }
}

/// The keys of a locked home in the hands of a process that was given the passphrase.
#[derive(Debug, Clone)]
pub struct Unlocked {
    /// The keys.
    pub identity: Identity,
    /// What opened them; `None` where the key file takes no passphrase.
    pub wrap: Option<WrapKey>,
}

/// A key file that was read.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "a process makes one or two")]
pub enum KeyFile {
    /// Its keys: it takes no passphrase.
    Open(Identity),
    /// It takes a passphrase.
    Locked(LockedKeys),
}

impl KeyFile {
    /// Reads a key file.
    ///
    /// # Errors
    ///
    /// Every variant but those about passphrases.
    pub fn read(path: &Path) -> Result<KeyFile, IdentityError> {
        let bytes = match private::read(path, MAX_KEY_FILE_BYTES) {
            Err(PrivateFileError::TooLarge { .. }) => {
                return Err(IdentityError::NotAKeyFile(path.to_path_buf()));
            }
            other => other?,
        };
        Self::decode(&bytes, path)
    }

    /// `path` is for the error.
    fn decode(bytes: &[u8], path: &Path) -> Result<KeyFile, IdentityError> {
        let not = || IdentityError::NotAKeyFile(path.to_path_buf());
        let damaged = || IdentityError::Damaged(path.to_path_buf());
        let version = bytes.strip_prefix(MAGIC).ok_or_else(not)?.first().ok_or_else(damaged)?;
        if ![OPEN, LOCKED].contains(version) {
            return Err(IdentityError::Newer { path: path.to_path_buf(), version: *version });
        }
        let (signed, sum) = bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or_else(damaged)?;
        if checksum(signed) != *sum {
            return Err(damaged());
        }
        let rest = signed.get(MAGIC.len() + 1..).ok_or_else(damaged)?;
        if *version == OPEN {
            return Identity::of_secret(rest).map(KeyFile::Open).ok_or_else(damaged);
        }
        let (lock, sealed) = Lock::decode(rest).ok_or_else(damaged)?;
        if sealed.len() != SECRET_BYTES + TAG_BYTES {
            return Err(damaged());
        }
        Ok(KeyFile::Locked(LockedKeys { lock, sealed: sealed.to_vec() }))
    }
}

/// Whether the key file at `path` takes a passphrase.
pub fn is_locked(path: &Path) -> bool {
    use std::io::Read as _;
    let mut start = [0; MAGIC.len() + 1];
    let read = std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut start));
    read.is_ok() && start.strip_prefix(MAGIC) == Some(&[LOCKED])
}

/// The content of a locked key file.
#[derive(Debug, Clone)]
pub struct LockedKeys {
    lock: Lock,
    sealed: Vec<u8>,
}

impl LockedKeys {
    /// Opens it with a passphrase. Takes a good part of a second, and the memory that the file says.
    ///
    /// # Errors
    ///
    /// [`IdentityError::WrongPassphrase`], [`IdentityError::Passphrase`].
    pub fn open(&self, passphrase: &Passphrase) -> Result<Unlocked, IdentityError> {
        self.open_with(self.lock.key(passphrase)?)
    }

    /// Opens it with what a passphrase gave earlier.
    ///
    /// # Errors
    ///
    /// [`IdentityError::WrongPassphrase`].
    pub fn open_with(&self, key: WrapKey) -> Result<Unlocked, IdentityError> {
        let secret = self.lock.open(&key, &bound(&self.lock.encode()), &self.sealed);
        let identity = secret.and_then(|secret| Identity::of_secret(&secret));
        let identity = identity.ok_or(IdentityError::WrongPassphrase)?;
        Ok(Unlocked { identity, wrap: Some(key) })
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

    use super::passphrase::Cost;
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
        assert_eq!(fixed().store_key().as_bytes(), &GOLDEN_STORE_KEY);
    }

    const CHEAP: Cost = Cost { memory_kib: 8, passes: 1, lanes: 1 };

    fn pass(text: &str) -> Passphrase {
        Passphrase::new(text.to_string())
    }

    fn locked() -> Zeroizing<Vec<u8>> {
        let lock = Lock { cost: CHEAP, salt: [5; 16], nonce: [6; 24] };
        fixed().encode_locked(&lock, &lock.new_key(&pass("correct horse")).unwrap())
    }

    fn locked_keys(bytes: &[u8]) -> LockedKeys {
        match KeyFile::decode(bytes, Path::new("device.key")).unwrap() {
            KeyFile::Locked(keys) => keys,
            KeyFile::Open(_) => panic!("open"),
        }
    }

    #[test]
    fn golden_bytes_of_a_locked_file() {
        let bytes = locked();
        assert_eq!(bytes.len(), MAX_KEY_FILE_BYTES);
        let sum = bytes.last_chunk::<8>().unwrap();
        assert_eq!(*sum, GOLDEN_LOCKED_SUM, "the key file is part of the format");
        let opened = locked_keys(&bytes).open(&pass("correct horse")).unwrap();
        assert_eq!(opened.identity.device_id(), fixed().device_id());
        assert_eq!(opened.identity.sealing.public(), fixed().sealing.public());
        // What it was opened with opens it again, also from another process's hands.
        let text = serde_json::to_string(&opened.wrap.unwrap()).unwrap();
        let key: WrapKey = serde_json::from_str(&text).unwrap();
        assert!(locked_keys(&bytes).open_with(key).is_ok());
        assert!(serde_json::from_str::<WrapKey>("\"00\"").is_err());
    }

    #[test]
    fn a_locked_file_shows_nothing_and_no_bit_of_it_can_be_changed() {
        let bytes = locked();
        let public = *fixed().device_id().as_bytes();
        let secrets = [[1; 32], public, *fixed().sealing.public().as_bytes()];
        for secret in secrets {
            assert!(!bytes.windows(8).any(|w| secret.windows(8).any(|s| s == w)));
        }
        for wrong in ["", "correct hors", "Correct horse", "correct horse "] {
            let error = locked_keys(&bytes).open(&pass(wrong)).unwrap_err();
            assert!(matches!(error, IdentityError::WrongPassphrase), "{error:?}");
        }
        for bit in 9 * 8..(bytes.len() - 8) * 8 {
            let mut altered = bytes.to_vec();
            altered[bit / 8] ^= 1 << (bit % 8);
            assert!(KeyFile::decode(&altered, Path::new("x")).is_err(), "bit {bit}");
            let length = altered.len() - 8;
            altered.truncate(length);
            let sum = checksum(&altered);
            altered.extend(sum);
            // Bits of the memory and of the passes may ask for what takes long: those are bounded
            // elsewhere.
            if !(9..17).contains(&(bit / 8)) {
                assert!(locked_keys(&altered).open(&pass("correct horse")).is_err(), "bit {bit}");
            }
        }
        for n in 0..bytes.len() {
            assert!(KeyFile::decode(&bytes[..n], Path::new("x")).is_err(), "{n}");
        }
    }

    #[test]
    fn a_file_that_asks_for_too_much_is_refused_before_anything_is_computed() {
        for (at, value) in [(9, [255; 4]), (13, [0, 0, 0, 17])] {
            let mut bytes = locked().to_vec();
            bytes[at..at + 4].copy_from_slice(&value);
            bytes.truncate(bytes.len() - 8);
            let sum = checksum(&bytes);
            bytes.extend(sum);
            let error = locked_keys(&bytes).open(&pass("correct horse")).unwrap_err();
            assert!(matches!(error, IdentityError::Passphrase(PassphraseError::Cost(_))));
        }
    }

    #[test]
    fn a_passphrase_is_put_on_and_taken_off() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("device.key");
        fixed().create(&path).unwrap();
        let plain = std::fs::read(&path).unwrap();
        // A second name for the old file shows that it is destroyed and not only unlinked.
        std::fs::hard_link(&path, dir.path().join("old")).unwrap();
        let lock = Lock { cost: CHEAP, ..Lock::fresh() };
        let key = lock.new_key(&pass("x")).unwrap();
        fixed().write_locked(&path, &lock, &key).unwrap();
        assert_eq!(std::fs::read(dir.path().join("old")).unwrap(), vec![0; plain.len()]);
        assert!(matches!(Identity::load(&path), Err(IdentityError::Locked(_))));
        let KeyFile::Locked(locked) = KeyFile::read(&path).unwrap() else { panic!("open") };
        let opened = locked.open(&pass("x")).unwrap();
        opened.identity.write_open(&path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), plain);
        let empty = lock.new_key(&pass("")).unwrap_err();
        assert_eq!(empty, PassphraseError::Empty);
    }

    const GOLDEN_LOCKED_SUM: [u8; 8] = [203, 104, 34, 156, 100, 91, 105, 141];
    const GOLDEN_STORE_KEY: [u8; 32] = [
        128, 218, 149, 89, 133, 150, 244, 165, 130, 8, 3, 163, 222, 90, 249, 212, 100, 167, 145,
        243, 85, 0, 145, 47, 125, 162, 118, 3, 30, 184, 140, 57,
    ];

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
            match KeyFile::decode(&bytes[..n], path) {
                Err(IdentityError::NotAKeyFile(_)) => assert!(n < 8, "{n}"),
                Err(IdentityError::Damaged(_)) => assert!(n >= 8, "{n}"),
                other => panic!("{n}: {other:?}"),
            }
        }
        for bit in 0..bytes.len() * 8 {
            let mut altered = bytes.to_vec();
            altered[bit / 8] ^= 1 << (bit % 8);
            assert!(KeyFile::decode(&altered, path).is_err(), "bit {bit}");
        }
        let mut newer = bytes.to_vec();
        newer[8] = 3;
        assert!(matches!(
            KeyFile::decode(&newer, path),
            Err(IdentityError::Newer { version: 3, .. })
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
