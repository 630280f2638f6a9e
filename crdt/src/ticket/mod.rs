//! The ticket as a person passes it on: a text or a QR code.
//!
//! `LANAI1`, then Crockford base32 of these bytes, the last character padded with zero bits:
//!
//! | bytes | field |
//! | --- | --- |
//! | 2 | n, the bytes from here to the checksum, big endian |
//! | 32 | the ticket's one-time secret: an Ed25519 seed, its public half stands in the ticket entry |
//! | 32 | the community: id of its genesis entry |
//! | 32 | id of the ticket entry |
//! | 1 + len | the community's name, UTF-8 |
//! | 1 + ... | how many addresses, and the addresses (see `address.rs`) |
//! | 4 | checksum: first bytes of BLAKE3 `derive_key("lanai v1 ticket text")` over all the above |
//!
//! Rules:
//!
//! 1. The digit in the prefix is the version. Base32 and prefix are of one alphabet, so that a QR
//!    code holds the text in its alphanumeric mode.
//! 2. On reading, everything that is neither letter nor digit is skipped: people paste from chats,
//!    out of quoted mail and wrapped lines. Case does not matter, `o` is 0, `i` and `l` are 1.
//!    Words before the prefix are skipped as well.
//! 3. The text holds no community key. Whoever has it can ask to be let in and no more.
//! 4. The name is a claim of whoever wrote the text, made harmless to show; nothing is decided by
//!    it. So are the addresses.

mod address;

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

pub use address::{MAX_ADDRESS_BYTES, is_ticket_address};

use crate::entry::DeviceSecret;
use crate::id::{CommunityId, EntryId, base32, from_base32};
use crate::limits::MAX_NAME_BYTES;
use crate::text::clean_line;

/// Addresses that a ticket text may hold.
pub const MAX_TICKET_ADDRESSES: usize = 8;
/// Characters of text that are looked at when somebody pastes a ticket.
pub const MAX_TICKET_TEXT_CHARS: usize = 16 * 1024;

/// What a ticket starts with: the product and the version.
const PREFIX: &str = "lanai1";
const VERSION: u8 = 1;
/// The prefix without the version, as Crockford reads it: L and I are ones.
const PREFIX_READ: &[u8; 5] = b"1ana1";
const CHECKSUM_CONTEXT: &str = "lanai v1 ticket text";
const CHECKSUM_BYTES: usize = 4;
const LENGTH_BYTES: usize = 2;
/// Most bytes between length and checksum.
const MAX_BODY_BYTES: usize =
    3 * 32 + 1 + MAX_NAME_BYTES + 1 + MAX_TICKET_ADDRESSES * (2 + MAX_ADDRESS_BYTES + 32);

/// The secret half of a ticket's one-time key. Never printed; wiped when dropped.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct TicketSecret([u8; 32]);

impl TicketSecret {
    /// The secret with this seed, 32 random bytes.
    pub const fn from_bytes(seed: [u8; 32]) -> Self {
        Self(seed)
    }

    /// The seed, with which join records are signed.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The public half, as the ticket entry names it.
    pub fn public(&self) -> [u8; 32] {
        *DeviceSecret::from_bytes(&self.0).device().as_bytes()
    }
}

impl fmt::Debug for TicketSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TicketSecret(..)")
    }
}

/// What a ticket text says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TicketText {
    secret: TicketSecret,
    community: CommunityId,
    ticket: EntryId,
    name: String,
    addresses: Vec<String>,
}

/// Why a ticket text could not be made or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TicketTextError {
    /// More addresses than a ticket may hold.
    #[error("{0} addresses, at most {MAX_TICKET_ADDRESSES} fit a ticket")]
    TooManyAddresses(usize),
    /// An address that is no multiaddr, or too long.
    #[error("'{0}' is not an address that fits a ticket")]
    Address(String),
    /// The text does not hold the start of a ticket, or is far too long.
    #[error("this is not a ticket: a ticket starts with LANAI1")]
    NotATicket,
    /// The version in the prefix is not the one that this program reads.
    #[error("this ticket was made by a newer version of lanai (ticket format {0})")]
    Newer(u8),
    /// Fewer characters than the ticket says that it has.
    #[error("the ticket is cut off: {found} of its {expected} characters are here")]
    CutOff {
        /// Characters that there are, prefix included.
        found: usize,
        /// Characters that there should be.
        expected: usize,
    },
    /// More characters than the ticket says that it has.
    #[error(
        "there are {0} characters too many: something was pasted behind the ticket, or there is a typo in it"
    )]
    TooLong(usize),
    /// A letter that no ticket has.
    #[error("there is a typo in the ticket: '{0}' does not occur in one")]
    Character(char),
    /// The checksum does not fit.
    #[error("there is a typo somewhere in the ticket; copy it again")]
    Typo,
    /// The checksum fits and the content does not: made by a faulty program.
    #[error("the ticket is malformed, and not by a typo: ask for another one")]
    Malformed,
}

impl TicketText {
    /// Puts a ticket together. The name is cleaned and cut to what fits.
    ///
    /// # Errors
    ///
    /// [`TicketTextError::TooManyAddresses`], [`TicketTextError::Address`].
    pub fn new(
        secret: TicketSecret,
        community: CommunityId,
        ticket: EntryId,
        name: &str,
        addresses: Vec<String>,
    ) -> Result<TicketText, TicketTextError> {
        if addresses.len() > MAX_TICKET_ADDRESSES {
            return Err(TicketTextError::TooManyAddresses(addresses.len()));
        }
        if let Some(bad) = addresses.iter().find(|a| !is_ticket_address(a)) {
            return Err(TicketTextError::Address(clean_line(bad).into_owned()));
        }
        Ok(TicketText { secret, community, ticket, name: fit_name(name), addresses })
    }

    /// The one-time secret.
    pub const fn secret(&self) -> &TicketSecret {
        &self.secret
    }

    /// The community to join.
    pub const fn community(&self) -> CommunityId {
        self.community
    }

    /// The ticket entry.
    pub const fn ticket(&self) -> EntryId {
        self.ticket
    }

    /// What the inviter called the community; safe to print.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where members were when the ticket was made: multiaddrs, printable ASCII.
    pub fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// The text in lower case, in one piece, so that a double click selects all of it.
    pub fn encode(&self) -> Zeroizing<String> {
        let mut body = Zeroizing::new(Vec::with_capacity(MAX_BODY_BYTES));
        body.extend_from_slice(&self.secret.0);
        body.extend_from_slice(self.community.as_bytes());
        body.extend_from_slice(self.ticket.as_bytes());
        // Both were bounded when the ticket was put together.
        body.push(u8::try_from(self.name.len()).unwrap_or(u8::MAX));
        body.extend_from_slice(self.name.as_bytes());
        body.push(u8::try_from(self.addresses.len()).unwrap_or(u8::MAX));
        address::write(&mut body, &self.addresses);

        let length = u16::try_from(body.len()).unwrap_or(u16::MAX).to_be_bytes();
        let mut bytes = Zeroizing::new(Vec::with_capacity(body.len() + 6));
        bytes.extend_from_slice(&length);
        bytes.extend_from_slice(&body);
        let sum = checksum(&bytes);
        bytes.extend_from_slice(&sum);
        let digits = Zeroizing::new(base32(&bytes));
        Zeroizing::new(format!("{PREFIX}{}", digits.as_str()))
    }

    /// The text in upper case: what goes into a QR code, in alphanumeric mode.
    pub fn encode_qr(&self) -> Zeroizing<String> {
        Zeroizing::new(self.encode().to_ascii_uppercase())
    }

    /// Reads a ticket from whatever a person pasted.
    ///
    /// # Errors
    ///
    /// Every variant from [`TicketTextError::NotATicket`] on.
    pub fn decode(text: &str) -> Result<TicketText, TicketTextError> {
        let mut chars = Zeroizing::new(String::new());
        for (n, c) in text.chars().enumerate() {
            if n >= MAX_TICKET_TEXT_CHARS {
                return Err(TicketTextError::NotATicket);
            }
            if c.is_alphanumeric() {
                chars.push(match c.to_ascii_lowercase() {
                    'o' => '0',
                    'i' | 'l' => '1',
                    c => c,
                });
            }
        }
        let (version, digits) = find_prefix(&chars).ok_or(TicketTextError::NotATicket)?;
        if version != VERSION {
            return Err(TicketTextError::Newer(version));
        }
        if let Some(c) = digits.chars().find(|c| !c.is_ascii_alphanumeric() || *c == 'u') {
            return Err(TicketTextError::Character(c));
        }
        // All ASCII from here on: characters are bytes. Four of them hold the length.
        let cut = |expected| TicketTextError::CutOff {
            found: PREFIX.len() + digits.len(),
            expected: PREFIX.len() + expected,
        };
        let minimum = base32_chars(LENGTH_BYTES + 3 * 32 + 2 + CHECKSUM_BYTES);
        let first = digits.get(..4).and_then(|d| from_base32(&format!("{d}0000")));
        let Some([high, low, ..]) = first.as_deref() else { return Err(cut(minimum)) };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if length > MAX_BODY_BYTES {
            return Err(TicketTextError::Typo);
        }
        let expected = base32_chars(LENGTH_BYTES + length + CHECKSUM_BYTES);
        if digits.len() < expected {
            return Err(cut(expected));
        }
        if digits.len() > expected {
            return Err(TicketTextError::TooLong(digits.len() - expected));
        }
        let bytes = Zeroizing::new(from_base32(digits).ok_or(TicketTextError::Typo)?);
        let Some((signed, sum)) = bytes.split_last_chunk::<CHECKSUM_BYTES>() else {
            return Err(TicketTextError::Typo);
        };
        if checksum(signed) != *sum {
            return Err(TicketTextError::Typo);
        }
        let body = signed.get(LENGTH_BYTES..).ok_or(TicketTextError::Malformed)?;
        read_body(body).ok_or(TicketTextError::Malformed)
    }
}

/// Splits cleaned text into version and base32 digits.
fn find_prefix(text: &str) -> Option<(u8, &str)> {
    let at = text.as_bytes().windows(6).position(|w| {
        w.starts_with(PREFIX_READ) && w.last().is_some_and(|v| (b'1'..=b'9').contains(v))
    })?;
    let version = text.as_bytes().get(at + 5)?.checked_sub(b'0')?;
    Some((version, text.get(at + 6..)?))
}

fn read_body(body: &[u8]) -> Option<TicketText> {
    let mut r = Reader { bytes: body };
    let secret = TicketSecret(r.array()?);
    let community = CommunityId::new(r.array()?);
    let ticket = EntryId::new(r.array()?);
    let n = usize::from(r.byte()?);
    if n > MAX_NAME_BYTES {
        return None;
    }
    let name = fit_name(std::str::from_utf8(r.take(n)?).ok()?);
    let count = usize::from(r.byte()?);
    if count > MAX_TICKET_ADDRESSES {
        return None;
    }
    let addresses = address::read(&mut r, count)?;
    r.bytes.is_empty().then_some(TicketText { secret, community, ticket, name, addresses })
}

/// A name as it may be shown: cleaned, trimmed and cut to [`MAX_NAME_BYTES`].
pub fn fit_name(name: &str) -> String {
    let mut clean = clean_line(name).trim().to_string();
    if clean.len() > MAX_NAME_BYTES {
        clean.truncate(clean.floor_char_boundary(MAX_NAME_BYTES));
        // A cut can leave a joiner or selector behind that was there for what is gone.
        clean = clean_line(&clean).trim().to_string();
    }
    clean
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let hash = blake3::Hasher::new_derive_key(CHECKSUM_CONTEXT).update(bytes).finalize();
    hash.as_bytes().first_chunk().copied().unwrap_or_default()
}

/// Base32 characters that `bytes` bytes take.
const fn base32_chars(bytes: usize) -> usize {
    (bytes * 8).div_ceil(5)
}

/// Takes fields off the front.
struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.bytes.split_at_checked(n)?;
        self.bytes = rest;
        Some(head)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn byte(&mut self) -> Option<u8> {
        self.array().map(|[b]| b)
    }
}

#[cfg(test)]
mod tests;
