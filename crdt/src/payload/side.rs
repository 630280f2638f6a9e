//! Side talks on the wire: sealed once for the community, and inside that for those who take part.
//!
//! | body | refs of the header | what everybody in the community sees |
//! | --- | --- | --- |
//! | [`SideOpen`] | none | that a talk was opened, and how many devices it was sealed to at most |
//! | [`SideSeal`] | `[talk]` | that more devices were let in |
//! | [`SideSay`] | `[talk]` | that something was said, and how large it is |
//!
//! Each holds a box that opens with the talk's key: an envelope with [`SideRoot`], [`SideAdded`] or
//! [`Said`], sealed for the talk and the author ([`SideBox`]).

use minicbor::bytes::{ByteArray, ByteVec};
use minicbor::{Decode, Encode};

use super::talk::{check_len, check_title};
use super::{PayloadError, field_error, malformed};
use crate::envelope;
use crate::id::{EntryId, MemberId};
use crate::limits::{MAX_REFS, MAX_SIDE_MEMBERS, MAX_SIDE_SEALS};
use crate::seal::{BoxKey, DEVICE_SEAL_BYTES, NONCE_BYTES};

/// Opens a side talk; its entry's id is the talk's.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SideOpen {
    /// [`BoxKey::id`].
    #[n(0)]
    pub key: ByteArray<32>,
    /// The key, sealed to devices that are not named: ascending, so that their order tells nothing.
    #[n(1)]
    pub seals: Vec<ByteArray<DEVICE_SEAL_BYTES>>,
    /// A [`SideRoot`].
    #[n(2)]
    pub sealed: ByteVec,
}

/// Gives a talk's key to more devices.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SideSeal {
    /// As in [`SideOpen`].
    #[n(0)]
    pub seals: Vec<ByteArray<DEVICE_SEAL_BYTES>>,
    /// A [`SideAdded`].
    #[n(1)]
    pub sealed: ByteVec,
}

/// Something said in a talk.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SideSay {
    /// A [`Said`].
    #[n(0)]
    pub sealed: ByteVec,
}

fn check_seals(seals: &[ByteArray<DEVICE_SEAL_BYTES>]) -> Result<(), PayloadError> {
    if seals.len() > MAX_SIDE_SEALS {
        return Err(field_error("seals", "too many"));
    }
    if !seals.is_sorted_by(|a, b| **a < **b) {
        return Err(field_error("seals", "not ascending"));
    }
    Ok(())
}

impl SideOpen {
    pub(super) fn check(&self) -> Result<(), PayloadError> {
        check_seals(&self.seals)
    }
}

impl SideSeal {
    pub(super) fn check(&self) -> Result<(), PayloadError> {
        check_seals(&self.seals)
    }
}

impl SideSay {
    #[allow(clippy::unused_self, reason = "all bodies are checked alike")]
    pub(super) fn check(&self) -> Result<(), PayloadError> {
        Ok(())
    }
}

/// How a talk begins.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SideRoot {
    /// The thread of the post that it is about.
    #[n(0)]
    pub thread: ByteArray<32>,
    /// The post that it is about.
    #[n(1)]
    pub post: ByteArray<32>,
    /// One line.
    #[n(2)]
    pub title: String,
    /// The first words.
    #[n(3)]
    pub text: String,
    /// Who takes part beside the author, and which devices the key was sealed to.
    #[n(4)]
    pub added: SideAdded,
}

/// Who was let in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SideAdded {
    /// Members.
    #[n(0)]
    pub members: Vec<ByteArray<32>>,
    /// Devices that the key was sealed to.
    #[n(1)]
    pub devices: Vec<ByteArray<32>>,
}

/// What is said in a talk.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Said {
    /// A post, an edit, a withdrawal or a reaction, as it would stand in a thread: its refs, and the
    /// body as [`encode`](super::encode) gives it.
    #[n(0)]
    Entry(#[n(0)] Vec<ByteArray<32>>, #[n(1)] ByteVec),
    /// Proposes a text to bring back to the thread.
    #[n(1)]
    Proposal(#[n(0)] String),
    /// Consents to a proposal.
    #[n(2)]
    Consent(#[n(0)] ByteArray<32>),
}

/// What stands in a box of a talk.
pub trait SideBox: Encode<()> + for<'b> Decode<'b, ()> {
    /// Checks limits.
    ///
    /// # Errors
    ///
    /// A field over its limit.
    fn check(&self) -> Result<(), PayloadError>;

    /// The box of `author` in `talk`; the zero id while it is being opened. `nonce` must be fresh random
    /// bytes.
    ///
    /// # Errors
    ///
    /// A field over its limit, or too much in all.
    fn seal(
        &self,
        key: &BoxKey,
        talk: &EntryId,
        author: &MemberId,
        nonce: [u8; NONCE_BYTES],
    ) -> Result<Vec<u8>, PayloadError> {
        self.check()?;
        let bytes = minicbor::to_vec(self)
            .map_err(|_| PayloadError::Malformed("cannot be encoded".into()))?;
        let packed = envelope::encode(&bytes).map_err(|_| PayloadError::TooLong(bytes.len()))?;
        key.seal(nonce, &belongs_to(talk, author), &packed)
            .map_err(|_| PayloadError::TooLong(bytes.len()))
    }

    /// Opens a box.
    ///
    /// # Errors
    ///
    /// When it was not made with this key for this talk by this author, or breaks a limit.
    fn open(
        key: &BoxKey,
        talk: &EntryId,
        author: &MemberId,
        sealed: &[u8],
    ) -> Result<Self, PayloadError> {
        let error = |e: &dyn std::fmt::Display| PayloadError::Malformed(e.to_string());
        let packed = key.open(&belongs_to(talk, author), sealed).map_err(|e| error(&e))?;
        let bytes = envelope::decode(&packed).map_err(|e| error(&e))?;
        let inside: Self = minicbor::decode(&bytes).map_err(malformed)?;
        inside.check()?;
        Ok(inside)
    }
}

/// What a box is bound to, so that nobody can say another one's words, or say them elsewhere.
fn belongs_to(talk: &EntryId, author: &MemberId) -> [u8; 64] {
    let mut aad = [0; 64];
    let (first, second) = aad.split_at_mut(32);
    first.copy_from_slice(talk.as_bytes());
    second.copy_from_slice(author.as_bytes());
    aad
}

impl SideBox for SideRoot {
    fn check(&self) -> Result<(), PayloadError> {
        check_title(&self.title)?;
        self.added.check()
    }
}

impl SideBox for SideAdded {
    fn check(&self) -> Result<(), PayloadError> {
        if self.members.len() > MAX_SIDE_MEMBERS {
            return Err(field_error("members", "too many"));
        }
        if self.devices.len() > MAX_SIDE_SEALS {
            return Err(field_error("devices", "too many"));
        }
        Ok(())
    }
}

impl SideBox for Said {
    fn check(&self) -> Result<(), PayloadError> {
        match self {
            Said::Entry(refs, _) if refs.len() > MAX_REFS => Err(field_error("refs", "too many")),
            Said::Proposal(text) => check_len("text", text, crate::limits::MAX_INFLATED_BYTES),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::BoxPurpose;

    const NONCE: [u8; NONCE_BYTES] = [7; NONCE_BYTES];

    fn said() -> Vec<Said> {
        let reply = crate::payload::encode(&crate::payload::Body::Withdraw).unwrap();
        vec![
            Said::Entry(vec![[1; 32].into(), [2; 32].into()], reply.into()),
            Said::Proposal("Go there.".into()),
            Said::Consent([3; 32].into()),
        ]
    }

    #[test]
    fn a_box_opens_for_its_talk_and_author_alone() {
        let key = BoxKey::from_bytes(BoxPurpose::SideTalk, &[9; 32]);
        let (talk, author) = (EntryId::new([1; 32]), MemberId::new([2; 32]));
        for said in said() {
            let sealed = said.seal(&key, &talk, &author, NONCE).unwrap();
            assert_eq!(Said::open(&key, &talk, &author, &sealed), Ok(said));
            let wrong = [
                Said::open(
                    &BoxKey::from_bytes(BoxPurpose::SideTalk, &[8; 32]),
                    &talk,
                    &author,
                    &sealed,
                ),
                Said::open(&key, &EntryId::new([2; 32]), &author, &sealed),
                Said::open(&key, &talk, &MemberId::new([1; 32]), &sealed),
            ];
            assert!(wrong.iter().all(Result::is_err), "{wrong:?}");
            assert!(SideRoot::open(&key, &talk, &author, &sealed).is_err());
        }
    }

    #[test]
    fn limits_hold_on_both_sides() {
        let key = BoxKey::from_bytes(BoxPurpose::SideTalk, &[9; 32]);
        let (talk, author) = (EntryId::new([1; 32]), MemberId::new([2; 32]));
        let crowd =
            SideAdded { members: vec![[1; 32].into(); MAX_SIDE_MEMBERS + 1], devices: Vec::new() };
        assert!(crowd.seal(&key, &talk, &author, NONCE).is_err());
        let packed = envelope::encode(&minicbor::to_vec(&crowd).unwrap()).unwrap();
        let sealed = key.seal(NONCE, &belongs_to(&talk, &author), &packed).unwrap();
        assert!(SideAdded::open(&key, &talk, &author, &sealed).is_err());
    }

    #[test]
    fn golden_boxes() {
        let key = BoxKey::from_bytes(BoxPurpose::SideTalk, &[9; 32]);
        let (talk, author) = (EntryId::new([1; 32]), MemberId::new([2; 32]));
        let root = SideRoot {
            thread: [3; 32].into(),
            post: [4; 32].into(),
            title: "t".into(),
            text: "x".into(),
            added: SideAdded { members: vec![[5; 32].into()], devices: vec![[6; 32].into()] },
        };
        let mut hashes = vec![crate::id::base32(&key.id())[..16].to_owned()];
        let short = |bytes: Vec<u8>| blake3::hash(&bytes).to_hex()[..16].to_owned();
        hashes.push(short(minicbor::to_vec(&root).unwrap()));
        hashes.extend(said().iter().map(|s| short(minicbor::to_vec(s).unwrap())));
        let plain = envelope::encode_clear(b"x").unwrap();
        hashes.push(short(key.seal(NONCE, &belongs_to(&talk, &author), &plain).unwrap()));
        assert_eq!(hashes, GOLDEN, "an encoding changed: that is a change of the format");
    }

    const GOLDEN: &[&str] = &[
        "ay782tfsga4az1b4",
        "f1ae073a2cba6896",
        "658d3d93eb5a9937",
        "1dfeb9e75657f4c5",
        "beb9db552c1d9cac",
        "13dff1bebeb2ef1c",
    ];
}
