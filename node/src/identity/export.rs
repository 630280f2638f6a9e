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
//! | 49 | how it is locked: [`passphrase`](super::passphrase) |
//! | n + 16 | XChaCha20-Poly1305 of the content, tag last; associated data: all the bytes before |
//! | 4 | first bytes of BLAKE3 `derive_key("lanai v1 identity export")` over all the above |
//!
//! The content is a CBOR map: 0 Ed25519 seed, 1 X25519 secret, 2 community id, 3 its name, 4 member id
//! (absent where the founding was not finished), 5 the member's name, 6 addresses of members, 7
//! Unix milliseconds of the export. Unknown keys are skipped.
//!
//! The checksum tells a damaged text from a wrong passphrase.

use lanai_crdt::entry::DeviceSecret;
use lanai_crdt::id::{CommunityId, MemberId, base32, from_base32};
use lanai_crdt::seal::SealingSecret;
use lanai_crdt::ticket::{fit_name, is_ticket_address};
use zeroize::Zeroizing;

use super::Identity;
use super::passphrase::{LOCK_BYTES, Lock, Passphrase, PassphraseError, TAG_BYTES};

const VERSION: u8 = 1;
const HEADER_LINE: &str = "-----BEGIN LANAI IDENTITY-----";
const FOOTER_LINE: &str = "-----END LANAI IDENTITY-----";
const LINE_CHARS: usize = 64;
const CHECKSUM_CONTEXT: &str = "lanai v1 identity export";
const CHECKSUM_BYTES: usize = 4;
/// Addresses of members that an export holds.
pub const MAX_EXPORT_ADDRESSES: usize = 32;
/// Bytes of text that are looked at when an export is read.
pub const MAX_EXPORT_TEXT_BYTES: usize = 64 * 1024;

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
    /// No key comes of the passphrase.
    #[error(transparent)]
    Passphrase(#[from] PassphraseError),
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
    /// The passphrase is not the one it was exported with.
    #[error("wrong passphrase")]
    WrongPassphrase,
    /// The passphrase is right and the content is not what it should be.
    #[error("the identity was written by a faulty program: {0}")]
    Content(&'static str),
}

impl Export {
    /// Seals the export with a passphrase.
    ///
    /// Names are cleaned and cut, addresses that are none are left out, as are those over
    /// [`MAX_EXPORT_ADDRESSES`].
    ///
    /// # Errors
    ///
    /// [`ExportError::Passphrase`].
    pub fn seal(&self, passphrase: &Passphrase, lock: &Lock) -> Result<String, ExportError> {
        let key = lock.new_key(passphrase)?;
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&lock.encode());
        let mut content = self.content()?;
        let tag = lock.seal(&key, &bytes, &mut content).ok_or(ExportError::Content("too long"))?;
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
        let (prefix, sealed) =
            bytes.split_at_checked(1 + LOCK_BYTES).ok_or(ExportError::Damaged)?;
        let (lock, _) = prefix.get(1..).and_then(Lock::decode).ok_or(ExportError::Damaged)?;
        if sealed.len() < TAG_BYTES {
            return Err(ExportError::Damaged);
        }
        let key = lock.key(passphrase)?;
        let content = lock.open(&key, prefix, sealed).ok_or(ExportError::WrongPassphrase)?;
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
