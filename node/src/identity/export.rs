//! A person in a file: what it takes to be the same member again on another machine.
//!
//! The export holds the device's keys and where to find the community, sealed with a passphrase,
//! in a text that survives mail and paper. It holds no posts: those come back from the other
//! members. Who imports it starts a new log, for nobody knows how far the old one went.
//!
//! The text is a header line, lines of Crockford base32 and a footer line. The bytes:
//!
//! | bytes | field |
//! | --- | --- |
//! | 1 | version, 1 |
//! | 4 | Argon2id memory in KiB, big endian |
//! | 4 | Argon2id passes, big endian |
//! | 1 | Argon2id lanes |
//! | 16 | salt |
//! | 24 | nonce |
//! | n + 16 | XChaCha20-Poly1305 of the content, tag last; associated data: all the bytes before |
//! | 4 | first bytes of BLAKE3 `derive_key("lanai v1 identity export")` over all the above |
//!
//! The key is Argon2id (RFC 9106, version 0x13) of the passphrase with the salt, 32 bytes. The
//! content is a CBOR map: 0 Ed25519 seed, 1 X25519 secret, 2 community id, 3 its name, 4 member id
//! (absent where the founding was not finished), 5 the member's name, 6 addresses of members, 7
//! Unix milliseconds of the export. Unknown keys are skipped.
//!
//! The checksum tells a damaged text from a wrong passphrase. What the file asks of Argon2 is
//! bounded before anything is computed ([`Cost::check`]), or a file could take all memory.

use std::fmt;

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::aead::inout::InOutBuf;
use chacha20poly1305::{AeadInOut, KeyInit, Tag, XChaCha20Poly1305, XNonce};
use lanai_crdt::entry::DeviceSecret;
use lanai_crdt::id::{CommunityId, MemberId, base32, from_base32};
use lanai_crdt::seal::SealingSecret;
use lanai_crdt::ticket::{fit_name, is_ticket_address};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::Identity;

const VERSION: u8 = 1;
const HEADER_LINE: &str = "-----BEGIN LANAI IDENTITY-----";
const FOOTER_LINE: &str = "-----END LANAI IDENTITY-----";
const LINE_CHARS: usize = 64;
const CHECKSUM_CONTEXT: &str = "lanai v1 identity export";
const CHECKSUM_BYTES: usize = 4;
/// Bytes of a salt.
pub const SALT_BYTES: usize = 16;
/// Bytes of a nonce.
pub const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;
const PREFIX_BYTES: usize = 1 + 4 + 4 + 1 + SALT_BYTES + NONCE_BYTES;
/// Addresses of members that an export holds.
pub const MAX_EXPORT_ADDRESSES: usize = 32;
/// Bytes of text that are looked at when an export is read.
pub const MAX_EXPORT_TEXT_BYTES: usize = 64 * 1024;

/// Most that an export may ask of Argon2.
const MAX_MEMORY_KIB: u32 = 256 * 1024;
const MAX_PASSES: u32 = 16;
const MAX_LANES: u8 = 16;

/// A passphrase. Never printed; wiped when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
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
    /// [`ExportError::Cost`] above 256 MiB, 16 passes or 16 lanes, or below what Argon2 needs.
    pub fn check(&self) -> Result<(), ExportError> {
        let ok = (1..=MAX_LANES).contains(&self.lanes)
            && (1..=MAX_PASSES).contains(&self.passes)
            && (8 * u32::from(self.lanes)..=MAX_MEMORY_KIB).contains(&self.memory_kib);
        ok.then_some(()).ok_or(ExportError::Cost(*self))
    }
}

/// What an export holds.
#[derive(Debug, Clone)]
pub struct Export {
    /// The device's keys.
    pub identity: Identity,
    /// The community.
    pub community: CommunityId,
    /// What the community is called; safe to print.
    pub community_name: String,
    /// The member, where one is.
    pub member: Option<MemberId>,
    /// What the member is called; safe to print.
    pub member_name: String,
    /// Where other members were last seen: multiaddrs.
    pub addresses: Vec<String>,
    /// When the export was made, in Unix milliseconds.
    pub made_ms: u64,
}

/// Why an export could not be made or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExportError {
    /// An empty passphrase protects nothing.
    #[error("the passphrase is empty")]
    EmptyPassphrase,
    /// No header line.
    #[error("this is not a lanai identity: it has no line '{HEADER_LINE}'")]
    NotAnExport,
    /// No footer line.
    #[error("the identity is cut off: it has no line '{FOOTER_LINE}'")]
    CutOff,
    /// More text than an export has.
    #[error("the identity is longer than {MAX_EXPORT_TEXT_BYTES} bytes")]
    TooLong,
    /// Foreign characters, missing bytes or a wrong checksum.
    #[error("the identity is damaged: a character was lost or changed")]
    Damaged,
    /// Written by a later version.
    #[error("the identity was exported by a newer version of lanai (format {0})")]
    Newer(u8),
    /// Asks for more than any honest export does.
    #[error("the identity asks for {} KiB of memory, {} passes and {} lanes, which is out of range", .0.memory_kib, .0.passes, .0.lanes)]
    Cost(Cost),
    /// There is not enough memory to compute the key.
    #[error("there is not enough memory to compute the key from the passphrase")]
    Memory,
    /// The passphrase is not the one it was exported with.
    #[error("wrong passphrase")]
    WrongPassphrase,
    /// The passphrase is right and the content is not what it should be.
    #[error("the identity was written by a faulty program: {0}")]
    Content(&'static str),
}

impl Export {
    /// Seals the export with a passphrase. `salt` and `nonce` are fresh random bytes.
    ///
    /// Names are cleaned and cut, addresses that are none are left out, as are those over
    /// [`MAX_EXPORT_ADDRESSES`].
    ///
    /// # Errors
    ///
    /// [`ExportError::EmptyPassphrase`], [`ExportError::Cost`], [`ExportError::Memory`].
    pub fn seal(
        &self,
        passphrase: &Passphrase,
        cost: Cost,
        salt: [u8; SALT_BYTES],
        nonce: [u8; NONCE_BYTES],
    ) -> Result<String, ExportError> {
        if passphrase.0.is_empty() {
            return Err(ExportError::EmptyPassphrase);
        }
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&cost.memory_kib.to_be_bytes());
        bytes.extend_from_slice(&cost.passes.to_be_bytes());
        bytes.push(cost.lanes);
        bytes.extend_from_slice(&salt);
        bytes.extend_from_slice(&nonce);
        let key = stretch(passphrase, cost, &salt)?;
        let mut content = self.content()?;
        let tag = XChaCha20Poly1305::new((&*key).into())
            .encrypt_inout_detached(
                &XNonce::from(nonce),
                &bytes,
                InOutBuf::from(content.as_mut_slice()),
            )
            .map_err(|_| ExportError::Content("too long"))?;
        bytes.extend_from_slice(&content);
        bytes.extend_from_slice(&tag);
        let sum = checksum(&bytes);
        bytes.extend_from_slice(&sum);

        let digits = base32(&bytes);
        let mut text = String::from(HEADER_LINE);
        for (n, c) in digits.chars().enumerate() {
            if n % LINE_CHARS == 0 {
                text.push('\n');
            }
            text.push(c);
        }
        text.push('\n');
        text.push_str(FOOTER_LINE);
        text.push('\n');
        Ok(text)
    }

    /// Opens an export.
    ///
    /// # Errors
    ///
    /// Every variant from [`ExportError::NotAnExport`] on.
    pub fn open(text: &str, passphrase: &Passphrase) -> Result<Export, ExportError> {
        let bytes = unarmour(text)?;
        let (&version, _) = bytes.split_first().ok_or(ExportError::Damaged)?;
        if version != VERSION {
            return Err(ExportError::Newer(version));
        }
        let damaged = ExportError::Damaged;
        let (prefix, rest) = bytes.split_at_checked(PREFIX_BYTES).ok_or_else(|| damaged.clone())?;
        let (sealed, tag) = rest.split_last_chunk::<TAG_BYTES>().ok_or_else(|| damaged.clone())?;
        let mut r = prefix.get(1..).unwrap_or_default();
        let mut next = |n: usize| -> Result<&[u8], ExportError> {
            let (head, tail) = r.split_at_checked(n).ok_or(ExportError::Damaged)?;
            r = tail;
            Ok(head)
        };
        fn number(bytes: &[u8]) -> u32 {
            bytes.iter().fold(0, |n, b| n << 8 | u32::from(*b))
        }
        let cost = Cost {
            memory_kib: number(next(4)?),
            passes: number(next(4)?),
            lanes: next(1)?.first().copied().unwrap_or(0),
        };
        let salt: [u8; SALT_BYTES] = next(SALT_BYTES)?.try_into().map_err(|_| damaged.clone())?;
        let nonce: [u8; NONCE_BYTES] = next(NONCE_BYTES)?.try_into().map_err(|_| damaged)?;

        let key = stretch(passphrase, cost, &salt)?;
        let mut content = Zeroizing::new(sealed.to_vec());
        XChaCha20Poly1305::new((&*key).into())
            .decrypt_inout_detached(
                &XNonce::from(nonce),
                prefix,
                InOutBuf::from(content.as_mut_slice()),
                &Tag::from(*tag),
            )
            .map_err(|_| ExportError::WrongPassphrase)?;
        read_content(&content)
    }

    fn content(&self) -> Result<Zeroizing<Vec<u8>>, ExportError> {
        // Room for all of it at once: growing would leave copies of the secrets behind.
        let mut out = Zeroizing::new(Vec::with_capacity(512 + self.addresses.len().min(64) * 256));
        let addresses: Vec<&String> = self
            .addresses
            .iter()
            .filter(|a| is_ticket_address(a))
            .take(MAX_EXPORT_ADDRESSES)
            .collect();
        let seed = Zeroizing::new(self.identity.device.to_bytes());
        let sealing = self.identity.sealing.to_bytes();
        let (community_name, member_name) =
            (fit_name(&self.community_name), fit_name(&self.member_name));
        let mut e = minicbor::Encoder::new(&mut *out);
        let mut write = || -> Result<(), minicbor::encode::Error<std::convert::Infallible>> {
            e.map(7 + u64::from(self.member.is_some()))?;
            e.u8(0)?.bytes(seed.as_slice())?;
            e.u8(1)?.bytes(sealing.as_slice())?;
            e.u8(2)?.bytes(self.community.as_bytes())?;
            e.u8(3)?.str(&community_name)?;
            if let Some(member) = &self.member {
                e.u8(4)?.bytes(member.as_bytes())?;
            }
            e.u8(5)?.str(&member_name)?;
            e.u8(6)?.array(u64::try_from(addresses.len()).unwrap_or(0))?;
            for address in &addresses {
                e.str(address)?;
            }
            e.u8(7)?.u64(self.made_ms)?;
            Ok(())
        };
        write().map_err(|_| ExportError::Content("cannot be encoded"))?;
        Ok(out)
    }
}

fn unarmour(text: &str) -> Result<Vec<u8>, ExportError> {
    if text.len() > MAX_EXPORT_TEXT_BYTES {
        return Err(ExportError::TooLong);
    }
    let (_, rest) = text.split_once(HEADER_LINE).ok_or(ExportError::NotAnExport)?;
    let (lines, _) = rest.split_once(FOOTER_LINE).ok_or(ExportError::CutOff)?;
    // Quoted mail puts '>' in front of each line.
    let digits: String = lines.chars().filter(|c| !c.is_whitespace() && *c != '>').collect();
    let bytes = from_base32(&digits).ok_or(ExportError::Damaged)?;
    let (body, sum) = bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or(ExportError::Damaged)?;
    if checksum(body) != *sum {
        return Err(ExportError::Damaged);
    }
    Ok(body.to_vec())
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let hash = blake3::Hasher::new_derive_key(CHECKSUM_CONTEXT).update(bytes).finalize();
    hash.as_bytes().first_chunk().copied().unwrap_or_default()
}

fn stretch(
    passphrase: &Passphrase,
    cost: Cost,
    salt: &[u8; SALT_BYTES],
) -> Result<Zeroizing<[u8; 32]>, ExportError> {
    cost.check()?;
    let params = Params::new(cost.memory_kib, cost.passes, u32::from(cost.lanes), Some(32))
        .map_err(|_| ExportError::Cost(cost))?;
    let mut key = Zeroizing::new([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase.0.as_bytes(), salt, key.as_mut_slice())
        .map_err(|_| ExportError::Memory)?;
    Ok(key)
}

fn read_content(bytes: &[u8]) -> Result<Export, ExportError> {
    let malformed = |_: minicbor::decode::Error| ExportError::Content("not well-formed");
    let id = |bytes: &[u8]| <[u8; 32]>::try_from(bytes).map_err(|_| ExportError::Content("a key"));
    let mut d = minicbor::Decoder::new(bytes);
    let (mut seed, mut sealing, mut community, mut member) = (None, None, None, None);
    let (mut community_name, mut member_name) = (String::new(), String::new());
    let mut addresses = Vec::new();
    let mut made_ms = 0;
    let fields = d.map().map_err(malformed)?.ok_or(ExportError::Content("no length"))?;
    for _ in 0..fields {
        match d.u32().map_err(malformed)? {
            0 => seed = Some(Zeroizing::new(id(d.bytes().map_err(malformed)?)?)),
            1 => sealing = Some(Zeroizing::new(id(d.bytes().map_err(malformed)?)?)),
            2 => community = Some(CommunityId::new(id(d.bytes().map_err(malformed)?)?)),
            3 => community_name = fit_name(d.str().map_err(malformed)?),
            4 => member = Some(MemberId::new(id(d.bytes().map_err(malformed)?)?)),
            5 => member_name = fit_name(d.str().map_err(malformed)?),
            6 => {
                let n = d.array().map_err(malformed)?.ok_or(ExportError::Content("no length"))?;
                for _ in 0..n {
                    let address = d.str().map_err(malformed)?;
                    if addresses.len() < MAX_EXPORT_ADDRESSES && is_ticket_address(address) {
                        addresses.push(address.to_string());
                    }
                }
            }
            7 => made_ms = d.u64().map_err(malformed)?,
            _ => d.skip().map_err(malformed)?,
        }
    }
    if d.position() != bytes.len() {
        return Err(ExportError::Content("bytes after the end"));
    }
    let seed = seed.ok_or(ExportError::Content("no device key"))?;
    let sealing = sealing.ok_or(ExportError::Content("no sealing key"))?;
    Ok(Export {
        identity: Identity {
            device: DeviceSecret::from_bytes(&seed),
            sealing: SealingSecret::from_bytes(&sealing),
        },
        community: community.ok_or(ExportError::Content("no community"))?,
        community_name,
        member,
        member_name,
        addresses,
        made_ms,
    })
}

#[cfg(test)]
mod tests;
