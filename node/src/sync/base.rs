//! What two nodes remember of each other: a moment at which both held the same.
//!
//! 1. Whenever a session ends with both sides holding the same set, each side may note it: a *token* that both
//!    compute from the session's nonces, how many entries both held, and the place in its own order of arrival
//!    up to which its own set was exactly that. That is a *base*.
//! 2. In its HELLO the initiator names the bases that it remembers of the peer; the responder says which of them
//!    it remembers as well. A token that both know was noted by both in one session, so both held the same
//!    then, and still do: entries are only ever added. Where one side was put back to an older copy, it
//!    remembers an older base, or none, and never one that it does not hold.
//! 3. If the digests differ, each says in NEWS what came since the base, as short names of entries under a key
//!    of this session. What is in one list only is what the other side lacks, and is sent without
//!    being asked for. This takes two round trips and eight bytes for each new entry, however large the sets are.
//! 4. The lists are used only if they explain both counts: entries held = entries of the base + entries named.
//!    Otherwise, and if the lists say that there is no difference although the digests do, whole
//!    sets are compared in the same session. So a mistake costs a comparison, and no entry is lost by it.
//!
//! What a peer says decides only what that peer is sent.

use lanai_crdt::id::EntryId;

use super::config::MAX_BODY_BYTES;
use super::digest::Nonce;
use super::wire::{Cursor, WireError};

const TOKEN_CONTEXT: &str = "lanai v1 session equal";
const NAME_CONTEXT: &str = "lanai v1 session base";
const NEWS_CONTEXT: &str = "lanai v1 session news";

/// Bases that one side names in HELLO, and remembers of one peer.
pub const MAX_BASES: usize = 2;
/// Bytes of a base's name in HELLO.
pub const BASE_NAME_BYTES: usize = 6;
/// Bytes of an entry's name in NEWS.
const SHORT_BYTES: usize = 8;
/// Entries that one NEWS frame can name.
pub const MAX_NEWS: usize = (MAX_BODY_BYTES - 1) / SHORT_BYTES;

/// What names a moment at which two nodes held the same: both compute it, and nobody can choose it alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BaseToken(pub [u8; 16]);

/// A token as HELLO names it, under the sender's nonce.
pub type BaseName = [u8; BASE_NAME_BYTES];

/// A moment at which this side and the peer held the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Base {
    /// Names it.
    pub token: BaseToken,
    /// Entries that both held.
    pub entries: u64,
    /// All that had arrived here up to this number, and nothing else, is what both held.
    pub upto: i64,
    /// Sessions by news one after the other that led here since whole sets were compared.
    pub runs: u32,
}

/// Both sides of a session hold the same: what to note ([`Base`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Equal {
    /// Names the moment.
    pub token: BaseToken,
    /// The base that both remembered already and that stays, if there was one.
    pub kept: Option<BaseToken>,
    /// Entries that both hold.
    pub entries: u64,
    /// How many of them came in this session. That nothing else came is for the driver to see.
    pub received: u64,
    /// As in [`Base`].
    pub runs: u32,
}

fn keyed(context: &str, parts: &[&[u8; 16]]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    for part in parts {
        hasher.update(*part);
    }
    hasher.finalize()
}

fn first<const N: usize>(hash: &blake3::Hash) -> [u8; N] {
    hash.as_bytes().first_chunk().copied().unwrap_or([0; N])
}

impl BaseToken {
    /// The token of a session.
    pub fn of_session(initiator: &Nonce, responder: &Nonce) -> BaseToken {
        BaseToken(first(&keyed(TOKEN_CONTEXT, &[&initiator.0, &responder.0])))
    }

    /// Its name in the HELLO of the side that drew `nonce`.
    pub fn name(&self, nonce: &Nonce) -> BaseName {
        first(&keyed(NAME_CONTEXT, &[&nonce.0, &self.0]))
    }
}

/// Makes the short names of entries in one session.
#[derive(Debug, Clone)]
pub struct ShortNames([u8; 32]);

impl ShortNames {
    /// Under the nonces of both sides, so that nobody can prepare two entries of one name.
    pub fn of_session(initiator: &Nonce, responder: &Nonce) -> ShortNames {
        ShortNames(*keyed(NEWS_CONTEXT, &[&initiator.0, &responder.0]).as_bytes())
    }

    /// The name of an entry.
    pub fn of(&self, id: &EntryId) -> u64 {
        u64::from_be_bytes(first(&blake3::keyed_hash(&self.0, id.as_bytes())))
    }
}

/// NEWS: what came since the base. u8 0 and the short names, 8 bytes each, ascending; or u8 1 alone, if it
/// is too much or the base does not hold any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// The names of all that came.
    Came(Vec<u64>),
    /// Compare whole sets instead.
    Whole,
}

impl News {
    /// The body of the frame.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            News::Whole => vec![1],
            News::Came(names) => {
                let mut out = Vec::with_capacity(1 + SHORT_BYTES * names.len());
                out.push(0);
                for name in names {
                    out.extend_from_slice(&name.to_be_bytes());
                }
                out
            }
        }
    }

    /// Reads a body.
    ///
    /// # Errors
    ///
    /// [`WireError`].
    pub fn decode(body: &[u8]) -> Result<News, WireError> {
        let mut c = Cursor::new(body);
        let news = match c.byte()? {
            0 => {
                let names = c.take(c.remaining())?;
                let (names, rest) = names.as_chunks::<SHORT_BYTES>();
                if !rest.is_empty() {
                    return Err(WireError::Truncated);
                }
                let names: Vec<u64> = names.iter().map(|n| u64::from_be_bytes(*n)).collect();
                if names.len() > MAX_NEWS || !names.is_sorted_by(|a, b| a < b) {
                    return Err(WireError::Range("names of entries"));
                }
                News::Came(names)
            }
            1 => News::Whole,
            _ => return Err(WireError::Reserved),
        };
        c.finish()?;
        Ok(news)
    }
}

/// How many of `theirs` are not among `mine`, and which places of `mine` are not among `theirs`; both
/// ascending.
pub(super) fn difference(mine: &[u64], theirs: &[u64]) -> (usize, Vec<usize>) {
    let lacking = theirs.iter().filter(|n| mine.binary_search(n).is_err()).count();
    let alone = mine.iter().enumerate().filter(|(_, n)| theirs.binary_search(n).is_err());
    (lacking, alone.map(|(at, _)| at).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn tokens_and_names_depend_on_both_nonces() {
        let [a, b, c] = [1, 2, 3].map(|n| Nonce([n; 16]));
        let token = BaseToken::of_session(&a, &b);
        assert_ne!(token, BaseToken::of_session(&b, &a));
        assert_ne!(token, BaseToken::of_session(&a, &c));
        assert_ne!(token.name(&a), token.name(&b));
        let id = EntryId::new([7; 32]);
        let name = |x, y| ShortNames::of_session(x, y).of(&id);
        assert!(name(&a, &b) != name(&a, &c) && name(&a, &b) != name(&c, &b));
    }

    #[test]
    fn bodies_have_one_form() {
        assert_eq!(News::decode(&[]), Err(WireError::Truncated));
        assert_eq!(News::decode(&[2]), Err(WireError::Reserved));
        assert_eq!(News::decode(&[1, 0]), Err(WireError::Trailing(1)));
        assert_eq!(News::decode(&[0, 1, 2]), Err(WireError::Truncated));
        let range = Err(WireError::Range("names of entries"));
        for names in [vec![5, 5], vec![6, 5]] {
            assert_eq!(News::decode(&News::Came(names).encode()), range);
        }
        let most: Vec<u64> = (0..MAX_NEWS as u64).collect();
        let body = News::Came(most.clone()).encode();
        assert!(body.len() <= MAX_BODY_BYTES);
        assert_eq!(News::decode(&body), Ok(News::Came(most)));
    }

    proptest! {
        #[test]
        fn random_bodies_never_panic(body in proptest::collection::vec(any::<u8>(), 0..100)) {
            if let Ok(news) = News::decode(&body) {
                prop_assert_eq!(news.encode(), body);
            }
        }

        #[test]
        fn differences(a: std::collections::BTreeSet<u8>, b: std::collections::BTreeSet<u8>) {
            let of = |s: &std::collections::BTreeSet<u8>| s.iter().map(|n| u64::from(*n)).collect::<Vec<_>>();
            let (x, y) = (of(&a), of(&b));
            let (lacking, alone) = difference(&x, &y);
            prop_assert_eq!(lacking, b.difference(&a).count());
            let alone: Vec<u64> = alone.into_iter().map(|at| x[at]).collect();
            prop_assert_eq!(alone, a.difference(&b).map(|n| u64::from(*n)).collect::<Vec<_>>());
        }
    }
}
