//! The two texts by which a person's further device comes in.
//!
//! 1. The device that the person has says where the community is: an [`Invitation`], which holds no
//!    secret. Who reads it learns the community's and member's ids and names, and addresses.
//! 2. The new device makes its own keys and answers with its signed record, the [`request`]. The
//!    first device writes it into the roster, and the community's node lets the new one in.
//!
//! Keys never leave the device that made them. Both texts end in a checksum, so that a slip of the
//! pen is noticed; that the record is the new device's own is what its signature says, and that it is
//! the right machine is for the person to compare: both show the same device mark.

use lanai_crdt::id::{CommunityId, MemberId, base32, from_base32};
use lanai_crdt::payload::{DEVICE_RECORD_BYTES, DeviceStatement, SignedDevice};
use lanai_crdt::text::clean_line;
use minicbor::bytes::ByteArray;
use minicbor::{Decode, Encode};

use super::Identity;

/// What an invitation begins with.
pub const INVITATION_PREFIX: &str = "lanaidev1";
/// What a request begins with.
pub const REQUEST_PREFIX: &str = "lanaireq1";
const CHECKSUM_CONTEXT: &str = "lanai v1 device link";
const CHECKSUM_BYTES: usize = 4;
/// Bytes of an invitation's content.
const MAX_INVITATION_BYTES: usize = 4096;
/// Addresses in an invitation.
pub const MAX_LINK_ADDRESSES: usize = 8;
/// Bytes of one address.
const MAX_ADDRESS_BYTES: usize = 256;
/// Bytes of a name.
const MAX_NAME_BYTES: usize = 256;

/// Why a text is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// It begins with something else.
    #[error("this is no {0}: it does not begin with `{1}`")]
    Other(&'static str, &'static str),
    /// Characters that do not belong there, or a wrong checksum.
    #[error("a character was lost or changed; copy it again")]
    Damaged,
    /// The content is not what it should be.
    #[error("it was written by a faulty program: {0}")]
    Content(&'static str),
}

/// Where a person's community is, for a further device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    /// The community.
    pub community: CommunityId,
    /// The person.
    pub member: MemberId,
    /// What the community is called; safe to print.
    pub community_name: String,
    /// What the person is called; safe to print.
    pub member_name: String,
    /// Multiaddrs of members' nodes, each with its peer, the inviting device's first.
    pub addresses: Vec<String>,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct Content {
    #[n(0)]
    community: ByteArray<32>,
    #[n(1)]
    member: ByteArray<32>,
    #[n(2)]
    community_name: String,
    #[n(3)]
    member_name: String,
    #[n(4)]
    addresses: Vec<String>,
}

impl Invitation {
    /// The invitation as text. Addresses over [`MAX_LINK_ADDRESSES`] and such as are too long are left
    /// out.
    pub fn encode(&self) -> String {
        let addresses = self.addresses.iter().filter(|a| a.len() <= MAX_ADDRESS_BYTES);
        let content = Content {
            community: (*self.community.as_bytes()).into(),
            member: (*self.member.as_bytes()).into(),
            community_name: cut(&clean_line(&self.community_name)),
            member_name: cut(&clean_line(&self.member_name)),
            addresses: addresses.take(MAX_LINK_ADDRESSES).cloned().collect(),
        };
        let mut bytes = Vec::new();
        // Writing to a vector does not fail.
        let _written = minicbor::encode(&content, &mut bytes);
        wrap(INVITATION_PREFIX, &bytes)
    }

    /// Reads one; case, spaces and line ends do not matter.
    ///
    /// # Errors
    ///
    /// When it is not one, or was damaged on the way.
    pub fn decode(text: &str) -> Result<Invitation, LinkError> {
        let bytes =
            unwrap("invitation of a device", INVITATION_PREFIX, text, MAX_INVITATION_BYTES)?;
        let content: Content =
            minicbor::decode(&bytes).map_err(|_| LinkError::Content("not an invitation"))?;
        let names = [&content.community_name, &content.member_name];
        if names.iter().any(|n| n.len() > MAX_NAME_BYTES) {
            return Err(LinkError::Content("a name is too long"));
        }
        if content.addresses.len() > MAX_LINK_ADDRESSES
            || content.addresses.iter().any(|a| a.len() > MAX_ADDRESS_BYTES)
        {
            return Err(LinkError::Content("too many addresses"));
        }
        Ok(Invitation {
            community: CommunityId::new(*content.community),
            member: MemberId::new(*content.member),
            community_name: clean_line(&content.community_name).into_owned(),
            member_name: clean_line(&content.member_name).into_owned(),
            addresses: content.addresses,
        })
    }
}

/// The record by which a device becomes a member's.
pub fn record(
    identity: &Identity,
    community: CommunityId,
    member: MemberId,
    nonce: [u8; 16],
) -> SignedDevice {
    let device = identity.device_id();
    let sealing = *identity.sealing.public().as_bytes();
    let statement = DeviceStatement { community, member, device, sealing, nonce };
    statement.sign(&identity.device)
}

/// A new device's signed record as text.
pub fn request(record: &SignedDevice) -> String {
    wrap(REQUEST_PREFIX, &record.encode())
}

/// Reads a request; its signature is checked.
///
/// # Errors
///
/// When it is not one, was damaged on the way, or was not signed by the device that it names.
pub fn read_request(text: &str) -> Result<SignedDevice, LinkError> {
    let bytes = unwrap("request of a device", REQUEST_PREFIX, text, DEVICE_RECORD_BYTES)?;
    let record =
        SignedDevice::decode(&bytes).map_err(|_| LinkError::Content("not a device record"))?;
    record.check().map_err(|_| LinkError::Content("not signed by its device"))?;
    Ok(record)
}

fn cut(text: &str) -> String {
    let mut end = text.len().min(MAX_NAME_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}

fn checksum(prefix: &str, bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let mut sum = [0; CHECKSUM_BYTES];
    let mut hash = blake3::Hasher::new_derive_key(CHECKSUM_CONTEXT);
    hash.update(prefix.as_bytes()).update(bytes).finalize_xof().fill(&mut sum);
    sum
}

fn wrap(prefix: &str, bytes: &[u8]) -> String {
    let whole = [bytes, &checksum(prefix, bytes)].concat();
    format!("{prefix}{}", base32(&whole))
}

fn unwrap(
    what: &'static str,
    prefix: &'static str,
    text: &str,
    most: usize,
) -> Result<Vec<u8>, LinkError> {
    let other = || LinkError::Other(what, prefix);
    // Five bits a character, and room for how people break lines.
    if text.len() > 4 * (most + CHECKSUM_BYTES) {
        return Err(other());
    }
    let text: String = text.chars().filter(|c| !c.is_whitespace() && *c != '-').collect();
    let text = text.to_lowercase();
    let coded = text.strip_prefix(prefix).ok_or_else(other)?;
    let mut bytes = from_base32(coded).ok_or(LinkError::Damaged)?;
    let end = bytes.len().checked_sub(CHECKSUM_BYTES).ok_or(LinkError::Damaged)?;
    let sum = bytes.split_off(end);
    if bytes.len() > most || sum != checksum(prefix, &bytes) {
        return Err(LinkError::Damaged);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use lanai_crdt::entry::DeviceSecret;

    use super::*;

    fn invitation() -> Invitation {
        Invitation {
            community: CommunityId::new([1; 32]),
            member: MemberId::new([2; 32]),
            community_name: "porch".into(),
            member_name: "Ana".into(),
            addresses: vec!["/ip4/10.0.0.1/tcp/4110".into()],
        }
    }

    fn record() -> SignedDevice {
        let secret = DeviceSecret::from_bytes(&[9; 32]);
        let statement = DeviceStatement {
            community: CommunityId::new([1; 32]),
            member: MemberId::new([2; 32]),
            device: secret.device(),
            sealing: [3; 32],
            nonce: [4; 16],
        };
        statement.sign(&secret)
    }

    #[test]
    fn both_come_back_however_they_are_typed() {
        let text = invitation().encode();
        assert_eq!(Invitation::decode(&text).unwrap(), invitation());
        assert_eq!(
            Invitation::decode(&format!(" {}\n", text.to_uppercase())).unwrap(),
            invitation()
        );
        let text = request(&record());
        let broken: String = text
            .chars()
            .enumerate()
            .flat_map(|(n, c)| [Some(c), (n % 40 == 39).then_some('\n')])
            .flatten()
            .collect();
        assert_eq!(read_request(&broken).unwrap(), record());
    }

    #[test]
    fn what_is_damaged_or_something_else_is_named() {
        let text = request(&record());
        for at in REQUEST_PREFIX.len()..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = if bytes[at] == b'7' { b'8' } else { b'7' };
            let altered = String::from_utf8(bytes).unwrap();
            assert!(read_request(&altered).is_err(), "character {at}");
            assert!(read_request(&text[..at]).is_err(), "cut at {at}");
        }
        assert!(matches!(Invitation::decode(&text), Err(LinkError::Other(..))));
        assert!(matches!(read_request(&invitation().encode()), Err(LinkError::Other(..))));
        assert!(matches!(read_request(&"x".repeat(1_000_000)), Err(LinkError::Other(..))));
        let mut other = record().encode();
        other[100] ^= 1;
        assert_eq!(
            read_request(&wrap(REQUEST_PREFIX, &other)),
            Err(LinkError::Content("not signed by its device"))
        );
    }
}
