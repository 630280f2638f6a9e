//! HELLO and DIGEST: who speaks, and whether there is anything to do.
//!
//! 1. Each side draws a nonce of 16 bytes and says it in HELLO together with a *community check*:
//!    a hash of the community's id under that nonce, so that a recording of one session is no
//!    token for another and the id itself is not sent.
//! 2. Each side computes its DIGEST under its **own** nonce; the other side computes what its own
//!    digest would be under the same nonce and compares. A peer cannot seem equal by sending back
//!    what it was sent, and nobody can prepare sets that collide.
//! 3. A digest covers the roster hash, the number of reconciled entries and the heads of all logs,
//!    hashed in ascending order. When no log has a hole, equal heads mean equal sets. A side with
//!    holes, or with headers whose payload it lacks, says so, and then nobody is ever "done" by
//!    digest alone.
//!
//! HELLO and DIGEST together take some 66 bytes, frame headers included; that is all that two
//! equal sides send.

use lanai_crdt::id::{CommunityId, EntryId};

use super::base::{Base, BaseName, MAX_BASES};
use super::config::{MAX_HELLO_BYTES, VERSION_MAX, VERSION_MIN};
use super::terms::Terms;
use super::wire::{Cursor, WireError, put_varint};

const COMMUNITY_CONTEXT: &str = "lanai v1 session";
const DIGEST_CONTEXT: &str = "lanai v1 session digest";

/// Random bytes that one side draws for one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Nonce(pub [u8; 16]);

/// HELLO: u8 oldest and u8 newest version spoken, u8 *chosen*, 16 bytes nonce, 16 bytes community check, varint
/// window; then, where the sender names bases or has terms, u8 how many bases and 6 bytes for each. More than
/// [`MAX_BASES`] are passed over. Then, where it has terms, varint milliseconds of the horizon and varint bytes
/// of the budget, 0 if there is none, and u8 flags, of which 1 says that the link is metered. Bytes after that belong to later versions and are not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hello {
    /// Oldest session version the sender speaks.
    pub version_min: u8,
    /// Newest session version the sender speaks.
    pub version_max: u8,
    /// Drawn by the sender for this session.
    pub nonce: Nonce,
    /// [`community_check`] under that nonce.
    pub check: [u8; 16],
    /// Bytes of entries that the other side may send before they are acknowledged.
    pub window: u64,
    /// The responder: which of the initiator's bases it remembers as well, counted from 1; 0 for none.
    pub chosen: u8,
    /// The initiator: the bases that it remembers, from the front.
    pub bases: [Option<BaseName>; MAX_BASES],
    /// How much the sender wants carried.
    pub terms: Terms,
}

/// The first half of BLAKE3 `derive_key("lanai v1 session")` over community and nonce.
pub fn community_check(community: &CommunityId, nonce: &Nonce) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new_derive_key(COMMUNITY_CONTEXT);
    hasher.update(community.as_bytes()).update(&nonce.0);
    half(&hasher.finalize())
}

fn half(hash: &blake3::Hash) -> [u8; 16] {
    let mut out = [0; 16];
    out.copy_from_slice(hash.as_bytes().first_chunk::<16>().unwrap_or(&[0; 16]));
    out
}

impl Hello {
    /// What this code says in HELLO.
    pub fn new(community: &CommunityId, nonce: Nonce, window: u64) -> Hello {
        Hello {
            version_min: VERSION_MIN,
            version_max: VERSION_MAX,
            nonce,
            check: community_check(community, &nonce),
            window,
            chosen: 0,
            bases: [None; MAX_BASES],
            terms: Terms::default(),
        }
    }

    /// The body of the frame.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![self.version_min, self.version_max, self.chosen];
        out.extend_from_slice(&self.nonce.0);
        out.extend_from_slice(&self.check);
        put_varint(&mut out, self.window);
        let names = self.bases.iter().flatten();
        let count = names.clone().count();
        let limited = self.terms != Terms::default();
        if count > 0 || limited {
            put_varint(&mut out, count as u64);
            names.for_each(|name| out.extend_from_slice(name));
        }
        if limited {
            put_varint(&mut out, self.terms.since.unwrap_or(0));
            put_varint(&mut out, self.terms.budget.unwrap_or(0));
            out.push(u8::from(self.terms.metered));
        }
        out
    }

    /// Reads a body.
    pub fn decode(body: &[u8]) -> Result<Hello, WireError> {
        if body.len() > MAX_HELLO_BYTES {
            return Err(WireError::Trailing(body.len() - MAX_HELLO_BYTES));
        }
        let mut c = Cursor::new(body);
        let (version_min, version_max, chosen) = (c.byte()?, c.byte()?, c.byte()?);
        if version_min == 0 || version_min > version_max {
            return Err(WireError::Range("version"));
        }
        let (nonce, check) = (Nonce(c.array()?), c.array()?);
        let window = c.varint()?;
        let mut bases = [None; MAX_BASES];
        let count = if c.remaining() > 0 { c.byte()? } else { 0 };
        for at in 0..usize::from(count) {
            let name = c.array()?;
            if let Some(slot) = bases.get_mut(at) {
                *slot = Some(name);
            }
        }
        let mut terms = Terms::default();
        if c.remaining() > 0 {
            terms.since = Some(c.varint()?).filter(|ms| *ms > 0);
            terms.budget = Some(c.varint()?).filter(|bytes| *bytes > 0);
            terms.metered = c.byte()? & 1 != 0;
        }
        Ok(Hello { version_min, version_max, nonce, check, window, chosen, bases, terms })
    }

    /// The version both sides speak, if there is one.
    pub fn common_version(&self) -> Option<u8> {
        let version = self.version_max.min(VERSION_MAX);
        (version >= self.version_min.max(VERSION_MIN)).then_some(version)
    }
}

/// What this side holds when a session starts, as the store knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalState {
    roster: [u8; 32],
    entries: u64,
    heads: Vec<EntryId>,
    holes: bool,
    wants_payloads: bool,
    bases: Vec<Base>,
}

impl LocalState {
    /// `roster` is the roster's hash, `entries` the number of entries in the reconciled set,
    /// `heads` those of its entries that no entry of the set names as `prev` in the same log, in
    /// any order. `holes`: some log lacks an entry before its head. `wants_payloads`: the payload
    /// of some header is missing and wanted.
    pub fn new(
        roster: [u8; 32],
        entries: u64,
        mut heads: Vec<EntryId>,
        holes: bool,
        wants_payloads: bool,
    ) -> LocalState {
        heads.sort_unstable();
        heads.dedup();
        LocalState { roster, entries, heads, holes, wants_payloads, bases: Vec::new() }
    }

    /// With what is remembered of the peer, the newest first; at most [`MAX_BASES`] are used.
    #[must_use]
    pub fn with_bases(mut self, mut bases: Vec<Base>) -> LocalState {
        bases.truncate(MAX_BASES);
        self.bases = bases;
        self
    }

    /// What is remembered of the peer.
    pub fn bases(&self) -> &[Base] {
        &self.bases
    }

    /// Entries in the reconciled set.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// Whether payloads are wanted.
    pub fn wants_payloads(&self) -> bool {
        self.wants_payloads
    }

    /// The digest under a nonce.
    pub fn digest(&self, nonce: &Nonce) -> Digest {
        let key = blake3::derive_key(DIGEST_CONTEXT, &nonce.0);
        let mut held = blake3::Hasher::new_keyed(&key);
        held.update(&self.roster);
        for head in &self.heads {
            held.update(head.as_bytes());
        }
        Digest {
            holes: self.holes,
            wants_payloads: self.wants_payloads,
            entries: self.entries,
            held: half(&held.finalize()),
        }
    }
}

/// DIGEST: u8 flags (1 = holes, 2 = wants payloads), varint entries, 16 bytes for what is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digest {
    /// Some log has a hole.
    pub holes: bool,
    /// The payload of some header is missing and wanted.
    pub wants_payloads: bool,
    /// Entries in the reconciled set.
    pub entries: u64,
    /// First half of BLAKE3 over the roster hash and the heads in ascending order, keyed by the nonce.
    pub held: [u8; 16],
}

impl Digest {
    /// The body of the frame.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![u8::from(self.holes) | u8::from(self.wants_payloads) << 1];
        put_varint(&mut out, self.entries);
        out.extend_from_slice(&self.held);
        out
    }

    /// Reads a body.
    pub fn decode(body: &[u8]) -> Result<Digest, WireError> {
        let mut c = Cursor::new(body);
        let flags = c.byte()?;
        if flags & !3 != 0 {
            return Err(WireError::Reserved);
        }
        let digest = Digest {
            holes: flags & 1 != 0,
            wants_payloads: flags & 2 != 0,
            entries: c.varint()?,
            held: c.array()?,
        };
        c.finish()?;
        Ok(digest)
    }

    /// Whether two digests under the same nonce mean that there is nothing to do.
    pub fn settles(&self, other: &Digest) -> bool {
        let open = |d: &Digest| d.holes || d.wants_payloads;
        self == other && !open(self) && !open(other)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn state(heads: &[u8], holes: bool, wants: bool) -> LocalState {
        let heads = heads.iter().map(|b| EntryId::new([*b; 32])).collect();
        LocalState::new([4; 32], 10, heads, holes, wants)
    }

    #[test]
    fn only_whole_equal_sets_settle() {
        let n = Nonce([1; 16]);
        let a = state(&[1, 2, 3], false, false).digest(&n);
        assert!(a.settles(&state(&[3, 1, 2, 2], false, false).digest(&n)));
        assert!(!a.settles(&state(&[1, 2], false, false).digest(&n)));
        assert!(!a.settles(&state(&[1, 2, 3], false, false).digest(&Nonce([2; 16]))));
        for (holes, wants) in [(true, false), (false, true)] {
            let open = state(&[1, 2, 3], holes, wants).digest(&n);
            assert!(!open.settles(&open));
        }
        let other = LocalState::new([5; 32], 10, vec![], false, false).digest(&n);
        assert!(!other.settles(&LocalState::new([4; 32], 10, vec![], false, false).digest(&n)));
    }

    #[test]
    fn versions_meet_or_not() {
        let mut hello = Hello::new(&CommunityId::new([1; 32]), Nonce([0; 16]), 1 << 20);
        assert_eq!(hello.common_version(), Some(1));
        hello.version_max = 9;
        assert_eq!(hello.common_version(), Some(1));
        hello.version_min = 2;
        assert_eq!(hello.common_version(), None);
        hello.version_max = 1;
        assert_eq!(Hello::decode(&hello.encode()), Err(WireError::Range("version")));
    }

    #[test]
    fn a_later_hello_may_be_longer() {
        let hello = Hello::new(&CommunityId::new([1; 32]), Nonce([3; 16]), 5 << 20);
        let mut body = hello.encode();
        let mut named = hello;
        named.bases = [Some([7; 6]), Some([8; 6])];
        named.chosen = 2;
        for hello in [hello, named] {
            let mut body = hello.encode();
            let later: &[u8] = &[0, 0, 0, 0, 2, 3];
            body.extend_from_slice(if hello.chosen == 0 { later } else { &later[1..] });
            assert_eq!(Hello::decode(&body), Ok(hello));
        }
        // More bases than this version remembers, and fewer than it says.
        let mut many = body.clone();
        many.push(3);
        many.extend_from_slice(&[7; 6]);
        many.extend_from_slice(&[8; 6]);
        assert_eq!(Hello::decode(&many), Err(WireError::Truncated));
        many.extend_from_slice(&[9; 6]);
        assert_eq!(Hello::decode(&many), Ok(Hello { chosen: 0, ..named }));
        body.resize(MAX_HELLO_BYTES + 1, 0);
        assert_eq!(Hello::decode(&body), Err(WireError::Trailing(1)));
    }

    proptest! {
        #[test]
        fn random_bodies_never_panic(body in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(hello) = Hello::decode(&body) {
                prop_assert_eq!(Hello::decode(&hello.encode()), Ok(hello));
            }
            if let Ok(digest) = Digest::decode(&body) {
                prop_assert_eq!(digest.encode(), body);
            }
        }
    }
}
