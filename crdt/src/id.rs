//! Identifiers: every kind of id is its own type, so that one cannot stand in for another.
//!
//! All ids are 32 raw bytes, except a log number (8 bytes) and the short form of an epoch id
//! (16 bytes). On screen an id is written in Crockford's base32 (no I, L, O, U; read aloud over a
//! radio without confusion), lower case, in groups of four. A person may type any unique prefix,
//! in any case, with or without hyphens, and with the letters that are commonly misheard:
//! `o` is read as `0`, `i` and `l` as `1`.

use std::fmt;

/// Digits of Crockford's base32, <https://www.crockford.com/base32.html>.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Characters in the short display form of an id (40 bits).
pub const SHORT_ID_CHARS: usize = 8;

/// Writes `bytes` in Crockford base32 without grouping; the last character is padded with zero bits.
pub fn base32(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 8 / 5 + 1);
    let (mut acc, mut bits) = (0u32, 0u32);
    for &b in bytes {
        acc = (acc << 8) | u32::from(b);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            out.push(digit(acc >> bits));
        }
        acc &= (1 << bits) - 1;
    }
    if bits > 0 {
        out.push(digit(acc << (5 - bits)));
    }
    out
}

fn digit(value: u32) -> char {
    ALPHABET.get((value & 31) as usize).map_or('0', |&b| b as char)
}

fn digit_value(c: char) -> Option<u8> {
    let c = match c.to_ascii_lowercase() {
        'o' => '0',
        'i' | 'l' => '1',
        c => c,
    };
    ALPHABET.iter().position(|&d| d as char == c).and_then(|p| u8::try_from(p).ok())
}

/// Reads Crockford base32 written by [`base32`] back into whole bytes; hyphens and spaces are
/// ignored. `None` on a foreign character or when the padding bits are not zero.
pub fn from_base32(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() * 5 / 8);
    let (mut acc, mut bits) = (0u32, 0u32);
    for c in text.chars().filter(|c| !matches!(c, '-' | ' ')) {
        acc = (acc << 5) | u32::from(digit_value(c)?);
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            out.push(u8::try_from(acc >> bits & 0xff).ok()?);
            acc &= (1 << bits) - 1;
        }
    }
    (acc == 0 && bits < 5).then_some(out)
}

/// What a person typed for an id: a prefix of its base32 form, as a range of ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdPrefix {
    text: String,
    low: [u8; 32],
    high: [u8; 32],
}

/// Why a typed id could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdPrefixError {
    /// Nothing was typed.
    #[error("an id cannot be empty")]
    Empty,
    /// A character outside Crockford's base32.
    #[error("'{0}' does not occur in an id")]
    Character(char),
    /// More characters than an id has.
    #[error("an id has at most 52 characters")]
    TooLong,
}

impl IdPrefix {
    /// Reads a prefix of one or more base32 characters.
    pub fn parse(text: &str) -> Result<IdPrefix, IdPrefixError> {
        let mut clean = String::new();
        let (mut low, mut high) = ([0u8; 32], [0xffu8; 32]);
        let mut bit = 0usize;
        for c in text.trim().chars().filter(|c| *c != '-') {
            let value = digit_value(c).ok_or(IdPrefixError::Character(c))?;
            if clean.len() == 52 {
                return Err(IdPrefixError::TooLong);
            }
            clean.push(digit(u32::from(value)));
            for shift in (0..5).rev() {
                let (Some(l), Some(h)) = (low.get_mut(bit / 8), high.get_mut(bit / 8)) else {
                    continue;
                };
                let mask = 0x80u8 >> (bit % 8);
                if value >> shift & 1 == 1 {
                    *l |= mask;
                } else {
                    *h &= !mask;
                }
                bit += 1;
            }
        }
        if clean.is_empty() {
            return Err(IdPrefixError::Empty);
        }
        Ok(IdPrefix { text: clean, low, high })
    }

    /// The smallest and the greatest id that start with this prefix, both inclusive.
    pub fn range(&self) -> ([u8; 32], [u8; 32]) {
        (self.low, self.high)
    }

    /// Whether `bytes` starts with this prefix.
    pub fn matches(&self, bytes: &[u8; 32]) -> bool {
        *bytes >= self.low && *bytes <= self.high
    }
}

impl fmt::Display for IdPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 32]);

        impl $name {
            /// The id of all zero bytes: "none" where the format has no other way to say it.
            pub const ZERO: $name = $name([0; 32]);

            /// Wraps 32 raw bytes.
            pub const fn new(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// Reads exactly 32 bytes.
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self)
            }

            /// The raw bytes.
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }

            /// Whether this is [`Self::ZERO`].
            pub fn is_zero(&self) -> bool {
                self.0 == [0; 32]
            }

            /// The short form shown to people: eight characters in two groups.
            pub fn short(&self) -> String {
                let mut text = base32(&self.0);
                text.truncate(SHORT_ID_CHARS);
                text.insert(SHORT_ID_CHARS / 2, '-');
                text
            }

            /// The whole id in base32, 52 characters.
            pub fn full(&self) -> String {
                base32(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.short())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.short())
            }
        }
    };
}

id_type! {
    /// Names an entry: a hash of its header without the signature.
    EntryId
}
id_type! {
    /// Names the sealed bytes of a file: their BLAKE3 hash.
    FileRoot
}
id_type! {
    /// Names a community: the id of its genesis entry.
    CommunityId
}
id_type! {
    /// Names a device: its Ed25519 verifying key, which is also its network identity.
    DeviceId
}
id_type! {
    /// Names a member: a hash of the join record that brought the person in.
    MemberId
}
id_type! {
    /// Names an epoch key: a hash that commits to it.
    EpochId
}
id_type! {
    /// BLAKE3 of a payload as it is stored and sent.
    PayloadHash
}

impl CommunityId {
    /// The genesis entry of the community.
    pub const fn genesis(&self) -> EntryId {
        EntryId::new(self.0)
    }
}

impl EntryId {
    /// The community that this entry founds, should it be a genesis.
    pub const fn as_community(&self) -> CommunityId {
        CommunityId::new(self.0)
    }
}

impl EpochId {
    /// The first half, as headers name an epoch.
    pub fn short_ref(&self) -> EpochRef {
        let mut out = [0; 16];
        out.copy_from_slice(self.0.first_chunk::<16>().unwrap_or(&[0; 16]));
        EpochRef(out)
    }
}

/// How a header names an epoch: the first 16 bytes of its id; zero means "in the clear".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EpochRef(pub [u8; 16]);

impl EpochRef {
    /// Not sealed.
    pub const CLEAR: EpochRef = EpochRef([0; 16]);

    /// Whether this says "in the clear".
    pub fn is_clear(&self) -> bool {
        *self == Self::CLEAR
    }
}

/// The random number of a log. A device starts a new log when its store is made, restored or copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogNumber(pub [u8; 8]);

/// One log: a device and a log number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId {
    /// The device that signs the log.
    pub device: DeviceId,
    /// Which of the device's logs.
    pub number: LogNumber,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base32_round_trip() {
        for n in 0..40usize {
            let bytes: Vec<u8> = (0..n).map(|i| (i * 37 + n) as u8).collect();
            assert_eq!(from_base32(&base32(&bytes)).unwrap(), bytes);
        }
        assert_eq!(base32(&[0xff; 5]), "zzzzzzzz");
    }

    #[test]
    fn prefix_accepts_what_people_say() {
        let id = EntryId::new([0x08; 32]);
        let text = id.full();
        assert_eq!(text.len(), 52);
        for n in 1..=52 {
            let p = IdPrefix::parse(&text[..n]).unwrap();
            assert!(p.matches(id.as_bytes()), "{n}");
        }
        let said = id.short().to_uppercase().replace('0', "O").replace('1', "l");
        assert!(IdPrefix::parse(&said).unwrap().matches(id.as_bytes()));
        assert!(!IdPrefix::parse("zz").unwrap().matches(id.as_bytes()));
        assert_eq!(IdPrefix::parse("u"), Err(IdPrefixError::Character('u')));
        assert_eq!(IdPrefix::parse("-"), Err(IdPrefixError::Empty));
        assert_eq!(IdPrefix::parse(&"0".repeat(53)), Err(IdPrefixError::TooLong));
    }
}
