//! Live gossip: one message is one sealed entry.
//!
//! Gossip only makes news quick; sync makes it true. So a message may be lost, repeated or come
//! early, and nothing here keeps state about delivery. The rules:
//!
//! 1. An own new entry is announced at once, if few are new: past [`MAX_ANNOUNCED_AT_ONCE`] (an
//!    import) peers are synced with instead, which costs less and arrives whole.
//! 2. A message is forwarded only after the store has found it authentic and new
//!    ([`Verdict::Forward`]); what is known is not forwarded again, and what is false counts
//!    against whoever sent it.
//! 3. An entry that waits for something (its previous entry, its author's admission) calls for a sync
//!    with the one who sent it.
//!
//! The topic is derived from the community id, which outsiders do not know.

use lanai_crdt::entry::{HeaderError, SIGNATURE_BYTES, Signature, Signed, Verified};
use lanai_crdt::id::CommunityId;
use lanai_crdt::limits::{MAX_FRAME_BYTES, MAX_HEADER_BYTES, MAX_PAYLOAD_BYTES};

/// First byte of a message.
const MESSAGE_VERSION: u8 = 1;
/// More new entries than this at once go out by sync.
pub const MAX_ANNOUNCED_AT_ONCE: usize = 64;

const TOPIC_CONTEXT: &str = "lanai v1 gossip topic";

/// The gossip topic of a community.
pub fn topic(community: &CommunityId) -> String {
    lanai_crdt::id::base32(&blake3::derive_key(TOPIC_CONTEXT, community.as_bytes()))
}

/// What becomes of a message that came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// New and authentic: hand it on.
    Forward,
    /// Known, or not yet to be judged: do not hand it on.
    Ignore,
    /// False: nobody honest sends this.
    Reject,
}

/// Why bytes are not a gossip message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// Empty, or cut off.
    #[error("gossip message cut off")]
    Truncated,
    /// A version that this node does not know.
    #[error("gossip message of version {0}")]
    Version(u8),
    /// Larger than a message may be.
    #[error("gossip message of {0} bytes")]
    TooLong(usize),
    /// The header is not one.
    #[error("gossip message: {0}")]
    Header(#[from] HeaderError),
    /// The payload is not as long as the header says.
    #[error("gossip message: payload of {0} bytes, header says {1}")]
    PayloadLength(usize, usize),
}

/// Encodes an entry with its payload: version, header length (u16), header, signature, payload.
/// `None` if its signature is not held, so that it can only travel in a log.
pub fn encode(entry: &Verified, payload: &[u8]) -> Option<Vec<u8>> {
    let signature = entry.signature()?;
    let header = entry.bytes();
    let mut out = Vec::with_capacity(3 + header.len() + SIGNATURE_BYTES + payload.len());
    out.push(MESSAGE_VERSION);
    out.extend_from_slice(&u16::try_from(header.len()).ok()?.to_be_bytes());
    out.extend_from_slice(header);
    out.extend_from_slice(&signature.0);
    out.extend_from_slice(payload);
    (out.len() <= MAX_FRAME_BYTES).then_some(out)
}

/// Decodes a message from a peer. Nothing is believed yet.
pub fn decode(bytes: &[u8]) -> Result<(Signed, Vec<u8>), MessageError> {
    if bytes.len() > 3 + MAX_HEADER_BYTES + SIGNATURE_BYTES + MAX_PAYLOAD_BYTES {
        return Err(MessageError::TooLong(bytes.len()));
    }
    let (&version, rest) = bytes.split_first().ok_or(MessageError::Truncated)?;
    if version != MESSAGE_VERSION {
        return Err(MessageError::Version(version));
    }
    let (&length, rest) = rest.split_first_chunk::<2>().ok_or(MessageError::Truncated)?;
    let (header, rest) = rest
        .split_at_checked(usize::from(u16::from_be_bytes(length)))
        .ok_or(MessageError::Truncated)?;
    let (signature, payload) =
        rest.split_first_chunk::<SIGNATURE_BYTES>().ok_or(MessageError::Truncated)?;
    let signed = Signed::decode(header.to_vec(), Some(Signature(*signature)))?;
    let expected = signed.header().payload_len as usize;
    if payload.len() != expected {
        return Err(MessageError::PayloadLength(payload.len(), expected));
    }
    Ok((signed, payload.to_vec()))
}

#[cfg(test)]
mod tests {
    use lanai_crdt::clock::Hlc;
    use lanai_crdt::entry::{DeviceSecret, Header, HeaderTail, payload_hash};
    use lanai_crdt::id::{EntryId, EpochRef, LogId, LogNumber};
    use proptest::prelude::*;

    use super::*;

    fn message() -> Vec<u8> {
        let secret = DeviceSecret::from_bytes(&[7; 32]);
        let header = Header {
            class: 2,
            community: CommunityId::new([1; 32]),
            log: LogId { device: secret.device(), number: LogNumber([3; 8]) },
            seq: 0,
            prev: EntryId::ZERO,
            time: Hlc::from_millis(1000),
            epoch: EpochRef([5; 16]),
            payload_hash: payload_hash(b"sealed"),
            payload_len: 6,
            tail: HeaderTail::V1 { heads: vec![], refs: vec![] },
        };
        encode(&secret.sign(&header), b"sealed").unwrap()
    }

    #[test]
    fn golden_bytes_and_round_trip() {
        let bytes = message();
        let (signed, payload) = decode(&bytes).unwrap();
        assert_eq!(payload, b"sealed");
        let entry = signed.verify().unwrap();
        assert_eq!(encode(&entry, &payload).unwrap(), bytes);
        assert_eq!(bytes.len(), 3 + 176 + 64 + 6);
        assert_eq!(
            blake3::hash(&bytes).to_hex().as_str(),
            "4978cf95cb734d500f37b5656daab40cd5f6adc42e384b6575a17b86b5b40ed5",
            "the message is part of the format"
        );
        assert_eq!(
            topic(&CommunityId::new([1; 32])),
            "ssx666ee43qhy75brefeng3j2fjc7678we02m0b894n9p55ymk8g"
        );
    }

    #[test]
    fn every_truncation_is_named() {
        let bytes = message();
        for n in 0..bytes.len() {
            assert!(decode(&bytes[..n]).is_err(), "{n}");
        }
        let mut long = bytes;
        long.push(0);
        assert_eq!(decode(&long), Err(MessageError::PayloadLength(7, 6)));
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = decode(&bytes);
        }
    }
}
