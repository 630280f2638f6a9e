//! The header: fixed layout, big endian, one encoding.
//!
//! | offset | bytes | field |
//! | --- | --- | --- |
//! | 0 | 1 | version |
//! | 1 | 1 | class |
//! | 2 | 32 | community (zero in a genesis entry) |
//! | 34 | 32 | device |
//! | 66 | 8 | log number |
//! | 74 | 8 | sequence number |
//! | 82 | 32 | prev |
//! | 114 | 8 | time |
//! | 122 | 16 | epoch |
//! | 138 | 32 | payload hash |
//! | 170 | 4 | payload length |
//! | 174 | 1 + 32 n | roster heads, n <= 4 |
//! | then | 1 + 32 n | refs, n <= 10 |
//!
//! The first 174 bytes stay in place in every version, so that a node can keep, reconcile and relay
//! entries of a later version that it cannot read. Decoding consumes every byte; what does not
//! re-encode to the same bytes does not exist.

use crate::clock::Hlc;
use crate::id::{CommunityId, DeviceId, EntryId, EpochRef, LogId, LogNumber, PayloadHash};
use crate::limits::{MAX_HEADER_BYTES, MAX_HEADS, MAX_PAYLOAD_BYTES, MAX_REFS};

/// The header version that this code writes and reads whole.
pub const VERSION: u8 = 1;
/// Bytes that stay in place in every version.
pub const HEADER_FIXED_BYTES: usize = 174;
/// Bytes of a version 1 header without heads and refs.
pub const MIN_HEADER_BYTES: usize = HEADER_FIXED_BYTES + 2;

const ID_CONTEXT: &str = "lanai v1 entry id";

/// What an entry may hold, and whether its payload may be dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Genesis, tickets, admissions, roles, epochs, seals: keys, ids and roles only, in the clear.
    Roster,
    /// Moderation, withdrawals, names and reasons.
    Act,
    /// Asks, notes, posts, edits.
    Post,
    /// Weaves and generations of pages.
    Weave,
    /// Profiles, reactions, marks, tags.
    Light,
    /// File manifests.
    File,
}

impl Class {
    /// All classes in the order of their numbers.
    pub const ALL: [Class; 6] =
        [Class::Roster, Class::Act, Class::Post, Class::Weave, Class::Light, Class::File];

    /// The number on the wire.
    pub const fn number(self) -> u8 {
        match self {
            Class::Roster => 0,
            Class::Act => 1,
            Class::Post => 2,
            Class::Weave => 3,
            Class::Light => 4,
            Class::File => 5,
        }
    }

    /// The class with this number, if version 1 has one.
    pub fn from_number(n: u8) -> Option<Class> {
        Class::ALL.get(usize::from(n)).copied()
    }
}

/// Why bytes are not a header. Such bytes are refused: they are not an entry at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Fewer bytes than the layout needs.
    #[error("header cut off at {0} bytes")]
    Truncated(usize),
    /// More bytes than a header may have.
    #[error("header of {0} bytes is over the limit of {MAX_HEADER_BYTES}")]
    TooLong(usize),
    /// Bytes left over after the last field.
    #[error("{0} bytes after the end of the header")]
    Trailing(usize),
    /// Version 0 does not exist.
    #[error("header version 0 does not exist")]
    VersionZero,
    /// A class that version 1 does not have.
    #[error("unknown class {0}")]
    UnknownClass(u8),
    /// More roster heads than allowed.
    #[error("{0} roster heads, at most {MAX_HEADS} allowed")]
    TooManyHeads(u8),
    /// More references than allowed.
    #[error("{0} references, at most {MAX_REFS} allowed")]
    TooManyRefs(u8),
    /// Heads must be in ascending order, each once.
    #[error("roster heads are not in strictly ascending order")]
    UnsortedHeads,
    /// The payload is longer than allowed.
    #[error("payload of {0} bytes is over the limit of {MAX_PAYLOAD_BYTES}")]
    PayloadTooLong(u32),
    /// Class 0 is in the clear and every other class is sealed.
    #[error("class {class} with {} payload", if *.clear { "a clear" } else { "a sealed" })]
    WrongSealing {
        /// The class's number.
        class: u8,
        /// Whether the header says "in the clear".
        clear: bool,
    },
    /// A roster entry other than genesis that names no roster heads.
    #[error("a roster entry must name roster heads")]
    NoHeads,
    /// `prev` of all zeros after the first entry of a log.
    #[error("sequence number {0} without a previous entry")]
    NoPrev(u64),
    /// Genesis is the only entry with an empty community, and starts its log.
    #[error("not a well-formed genesis header")]
    BadGenesis,
}

/// The fields that follow the fixed ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderTail {
    /// Version 1.
    V1 {
        /// Roster heads seen by the author, ascending.
        heads: Vec<EntryId>,
        /// What the entry refers to; the meaning of each place depends on the kind.
        refs: Vec<EntryId>,
    },
    /// A later version: kept and relayed unread.
    Later {
        /// The version's number.
        version: u8,
        /// The bytes after the fixed fields.
        bytes: Vec<u8>,
    },
}

/// A decoded header. Its encoding is unique.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The class's number; always one of [`Class`] in version 1.
    pub class: u8,
    /// The community it belongs to; zero in a genesis entry.
    pub community: CommunityId,
    /// Whose log, and which.
    pub log: LogId,
    /// Place in the log, from 0.
    pub seq: u64,
    /// The previous entry of the log; at `seq` 0 the last known head of the device's previous log.
    pub prev: EntryId,
    /// The author's clock.
    pub time: Hlc,
    /// Under which epoch the payload is sealed.
    pub epoch: EpochRef,
    /// BLAKE3 of the payload blob.
    pub payload_hash: PayloadHash,
    /// Bytes of the payload blob.
    pub payload_len: u32,
    /// Heads and refs.
    pub tail: HeaderTail,
}

impl Header {
    /// The version's number.
    pub fn version(&self) -> u8 {
        match &self.tail {
            HeaderTail::V1 { .. } => VERSION,
            HeaderTail::Later { version, .. } => *version,
        }
    }

    /// The class, where this version knows it.
    pub fn known_class(&self) -> Option<Class> {
        match self.tail {
            HeaderTail::V1 { .. } => Class::from_number(self.class),
            HeaderTail::Later { .. } => None,
        }
    }

    /// Roster heads; none for a later version.
    pub fn heads(&self) -> &[EntryId] {
        match &self.tail {
            HeaderTail::V1 { heads, .. } => heads,
            HeaderTail::Later { .. } => &[],
        }
    }

    /// References; none for a later version.
    pub fn refs(&self) -> &[EntryId] {
        match &self.tail {
            HeaderTail::V1 { refs, .. } => refs,
            HeaderTail::Later { .. } => &[],
        }
    }

    /// Whether this header founds a community.
    pub fn is_genesis(&self) -> bool {
        self.community.is_zero()
    }

    /// Encodes; the inverse of [`Header::decode`].
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(MIN_HEADER_BYTES + 96);
        out.push(self.version());
        out.push(self.class);
        out.extend_from_slice(self.community.as_bytes());
        out.extend_from_slice(self.log.device.as_bytes());
        out.extend_from_slice(&self.log.number.0);
        out.extend_from_slice(&self.seq.to_be_bytes());
        out.extend_from_slice(self.prev.as_bytes());
        out.extend_from_slice(&self.time.0.to_be_bytes());
        out.extend_from_slice(&self.epoch.0);
        out.extend_from_slice(self.payload_hash.as_bytes());
        out.extend_from_slice(&self.payload_len.to_be_bytes());
        match &self.tail {
            HeaderTail::V1 { heads, refs } => {
                for list in [heads, refs] {
                    // Lists longer than a byte cannot be decoded again, so they never get this far.
                    out.push(u8::try_from(list.len()).unwrap_or(u8::MAX));
                    for id in list {
                        out.extend_from_slice(id.as_bytes());
                    }
                }
            }
            HeaderTail::Later { bytes, .. } => out.extend_from_slice(bytes),
        }
        out
    }

    /// Decodes a whole header and checks every limit and form rule. Never panics.
    pub fn decode(bytes: &[u8]) -> Result<Header, HeaderError> {
        if bytes.len() > MAX_HEADER_BYTES {
            return Err(HeaderError::TooLong(bytes.len()));
        }
        let mut r = Reader { bytes, total: bytes.len() };
        let version = r.byte()?;
        if version == 0 {
            return Err(HeaderError::VersionZero);
        }
        let class = r.byte()?;
        let community = CommunityId::new(r.array()?);
        let device = DeviceId::new(r.array()?);
        let number = LogNumber(r.array()?);
        let seq = u64::from_be_bytes(r.array()?);
        let prev = EntryId::new(r.array()?);
        let time = Hlc(u64::from_be_bytes(r.array()?));
        let epoch = EpochRef(r.array()?);
        let payload_hash = PayloadHash::new(r.array()?);
        let payload_len = u32::from_be_bytes(r.array()?);
        let tail = if version == VERSION {
            let heads = r.ids(MAX_HEADS, HeaderError::TooManyHeads)?;
            let refs = r.ids(MAX_REFS, HeaderError::TooManyRefs)?;
            if !r.bytes.is_empty() {
                return Err(HeaderError::Trailing(r.bytes.len()));
            }
            HeaderTail::V1 { heads, refs }
        } else {
            HeaderTail::Later { version, bytes: r.bytes.to_vec() }
        };
        let log = LogId { device, number };
        let header = Header {
            class,
            community,
            log,
            seq,
            prev,
            time,
            epoch,
            payload_hash,
            payload_len,
            tail,
        };
        header.check()?;
        Ok(header)
    }

    /// The form rules that the layout alone does not enforce.
    pub fn check(&self) -> Result<(), HeaderError> {
        if self.payload_len as usize > MAX_PAYLOAD_BYTES {
            return Err(HeaderError::PayloadTooLong(self.payload_len));
        }
        let HeaderTail::V1 { heads, refs } = &self.tail else { return Ok(()) };
        let class = Class::from_number(self.class).ok_or(HeaderError::UnknownClass(self.class))?;
        if heads.len() > MAX_HEADS {
            return Err(HeaderError::TooManyHeads(u8::try_from(heads.len()).unwrap_or(u8::MAX)));
        }
        if refs.len() > MAX_REFS {
            return Err(HeaderError::TooManyRefs(u8::try_from(refs.len()).unwrap_or(u8::MAX)));
        }
        if !heads.is_sorted_by(|a, b| a < b) {
            return Err(HeaderError::UnsortedHeads);
        }
        let clear = self.epoch.is_clear();
        if clear != (class == Class::Roster) {
            return Err(HeaderError::WrongSealing { class: self.class, clear });
        }
        if self.is_genesis() {
            let first = class == Class::Roster && self.seq == 0 && self.prev.is_zero();
            if !first || !heads.is_empty() || !refs.is_empty() {
                return Err(HeaderError::BadGenesis);
            }
        } else if class == Class::Roster && heads.is_empty() {
            return Err(HeaderError::NoHeads);
        }
        if self.seq > 0 && self.prev.is_zero() {
            return Err(HeaderError::NoPrev(self.seq));
        }
        Ok(())
    }

    /// The id of the entry with this header.
    pub fn id(&self) -> EntryId {
        Header::id_of(&self.encode())
    }

    /// The id of the entry whose encoded header is `bytes`.
    pub fn id_of(bytes: &[u8]) -> EntryId {
        EntryId::new(blake3::Hasher::new_derive_key(ID_CONTEXT).update(bytes).finalize().into())
    }

    /// The bytes that sealing binds the payload to: the whole header with the payload hash zeroed.
    pub fn associated_data(&self) -> Vec<u8> {
        let mut bytes = self.encode();
        if let Some(hash) = bytes.get_mut(138..170) {
            hash.fill(0);
        }
        bytes
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    total: usize,
}

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], HeaderError> {
        let (head, rest) =
            self.bytes.split_first_chunk::<N>().ok_or(HeaderError::Truncated(self.total))?;
        self.bytes = rest;
        Ok(*head)
    }

    fn byte(&mut self) -> Result<u8, HeaderError> {
        self.array::<1>().map(|[b]| b)
    }

    fn ids(
        &mut self,
        max: usize,
        too_many: fn(u8) -> HeaderError,
    ) -> Result<Vec<EntryId>, HeaderError> {
        let n = self.byte()?;
        if usize::from(n) > max {
            return Err(too_many(n));
        }
        (0..n).map(|_| self.array().map(EntryId::new)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn sample(heads: usize, refs: usize) -> Header {
        Header {
            class: 2,
            community: CommunityId::new([1; 32]),
            log: LogId { device: DeviceId::new([2; 32]), number: LogNumber([3; 8]) },
            seq: 7,
            prev: EntryId::new([4; 32]),
            time: Hlc::from_millis(1_800_000_000_000),
            epoch: EpochRef([5; 16]),
            payload_hash: PayloadHash::new([6; 32]),
            payload_len: 321,
            tail: HeaderTail::V1 {
                heads: (0..heads).map(|i| EntryId::new([10 + i as u8; 32])).collect(),
                refs: (0..refs).map(|i| EntryId::new([99 - i as u8; 32])).collect(),
            },
        }
    }

    #[test]
    fn golden_bytes() {
        let bytes = sample(1, 1).encode();
        let mut want = vec![1, 2];
        want.extend([1; 32]);
        want.extend([2; 32]);
        want.extend([3; 8]);
        want.extend([0, 0, 0, 0, 0, 0, 0, 7]);
        want.extend([4; 32]);
        want.extend([0x01, 0xa3, 0x18, 0x5c, 0x50, 0x00, 0, 0]);
        want.extend([5; 16]);
        want.extend([6; 32]);
        want.extend([0, 0, 1, 0x41]);
        want.push(1);
        want.extend([10; 32]);
        want.push(1);
        want.extend([99; 32]);
        assert_eq!(bytes, want);
        assert_eq!(
            sample(1, 1).id().full(),
            "95n9nvvz1nsdfwycy26yjz0nhpvcrtmre56jehge50bjrpbwt9z0",
            "the id of a fixed header is part of the format"
        );
    }

    #[test]
    fn every_truncation_and_extension_is_refused() {
        let bytes = sample(2, 3).encode();
        assert_eq!(Header::decode(&bytes).unwrap().encode(), bytes);
        for n in 0..bytes.len() {
            assert!(Header::decode(&bytes[..n]).is_err(), "{n}");
        }
        let mut long = bytes.clone();
        long.push(0);
        assert_eq!(Header::decode(&long), Err(HeaderError::Trailing(1)));
    }

    #[test]
    fn form_rules() {
        let refuse = |change: fn(&mut Header), want: HeaderError| {
            let mut h = sample(1, 1);
            change(&mut h);
            assert_eq!(Header::decode(&h.encode()), Err(want));
        };
        refuse(|h| h.class = 6, HeaderError::UnknownClass(6));
        refuse(|h| h.class = 0, HeaderError::WrongSealing { class: 0, clear: false });
        refuse(|h| h.epoch = EpochRef::CLEAR, HeaderError::WrongSealing { class: 2, clear: true });
        refuse(|h| h.prev = EntryId::ZERO, HeaderError::NoPrev(7));
        refuse(|h| h.payload_len = 49_153, HeaderError::PayloadTooLong(49_153));
        refuse(|h| h.community = CommunityId::ZERO, HeaderError::BadGenesis);
        assert_eq!(Header::decode(&sample(5, 0).encode()), Err(HeaderError::TooManyHeads(5)));
        assert_eq!(Header::decode(&sample(0, 11).encode()), Err(HeaderError::TooManyRefs(11)));
        let mut twice = sample(2, 0);
        twice.tail = HeaderTail::V1 { heads: vec![EntryId::new([9; 32]); 2], refs: vec![] };
        assert_eq!(Header::decode(&twice.encode()), Err(HeaderError::UnsortedHeads));
        let mut roster = sample(0, 0);
        (roster.class, roster.epoch) = (0, EpochRef::CLEAR);
        assert_eq!(Header::decode(&roster.encode()), Err(HeaderError::NoHeads));
    }

    #[test]
    fn later_versions_are_kept_whole() {
        let mut h = sample(0, 0);
        h.class = 77;
        h.tail = HeaderTail::Later { version: 9, bytes: vec![1, 2, 3] };
        let bytes = h.encode();
        assert_eq!(Header::decode(&bytes).unwrap(), h);
        assert_eq!(h.known_class(), None);
    }

    proptest! {
        #[test]
        fn decode_never_panics_and_is_canonical(bytes in proptest::collection::vec(any::<u8>(), 0..1100)) {
            if let Ok(h) = Header::decode(&bytes) {
                prop_assert_eq!(h.encode(), bytes);
            }
        }

        #[test]
        fn mutated_headers_are_canonical_or_refused(at in 0usize..340, value: u8, heads in 0usize..5, refs in 0usize..11) {
            let mut bytes = sample(heads, refs).encode();
            let at = at % bytes.len();
            bytes[at] = value;
            if let Ok(h) = Header::decode(&bytes) {
                prop_assert_eq!(h.encode(), bytes);
            }
        }
    }
}
