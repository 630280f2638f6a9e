//! Enrolment pushed by a member that the other side does not know yet.
//!
//! Cleo was admitted by Ben while Ana's node was off. Then Ana and Cleo meet, and Ben is away: for Ana
//! Cleo is a stranger and gets no sync. So Cleo opens a join stream and begins it with ENROLMENT frames
//! instead of a CHALLENGE: the roster entries that make her a member.
//!
//! 1. Cleo shows them only to a device that is a member's in her own roster; the connection has
//!    authenticated it.
//! 2. What is sent is the admission and its ancestors, the nearest first, to at most
//!    [`MAX_ENROLMENT_BYTES`]: the other side has been away and lacks the newest.
//! 3. Ana keeps an entry only if it is authentic and its author's device is a member's, or is enrolled
//!    by such an entry among them ([`vouched`]). So nobody outside can leave anything in
//!    her store, and she takes nothing that sync would not bring.
//! 4. Whether that makes Cleo a member is for the roster alone to say. If it does, she is told the id of
//!    her admission and connects anew; in every other case she is told *unknown*, so that nobody
//!    learns by it which community Ana belongs to.

use std::collections::{HashMap, HashSet, VecDeque};

use lanai_crdt::entry::{Class, Signed, Verified};
use lanai_crdt::id::{CommunityId, DeviceId, EntryId};
use lanai_crdt::payload::Body;
use lanai_crdt::roster::RosterEntry;

use super::Refusal;
use super::frame::{
    FrameError, FrameReader, MAX_BODY_BYTES, Message, Received, RosterItem, read_entry,
};

/// Bytes of all ENROLMENT bodies.
pub const MAX_ENROLMENT_BYTES: usize = 256 * 1024;

/// An entry that was pushed, not believed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// Header and signature.
    pub signed: Signed,
    /// The payload.
    pub payload: Vec<u8>,
}

/// The frames that push the entries by which `admission` stands; `items` is the whole roster.
/// Everything to be written before [`Answer`] is read.
pub fn enrolment_frames(items: &[RosterItem], admission: &EntryId) -> Vec<Vec<u8>> {
    let by_id: HashMap<EntryId, &RosterItem> = items.iter().map(|i| (i.verified.id(), i)).collect();
    let mut queue = VecDeque::from([*admission]);
    let mut seen = HashSet::from([*admission]);
    let (mut frames, mut body, mut total) = (Vec::new(), Vec::new(), 0);
    while let Some(item) = queue.pop_front().and_then(|id| by_id.get(&id)) {
        let size = item.encoded_bytes();
        total += size;
        if total > MAX_ENROLMENT_BYTES {
            break;
        }
        if body.len() + size > MAX_BODY_BYTES {
            frames.push(Message::Enrolment(std::mem::take(&mut body)).encode());
        }
        // Roster entries are kept with their signatures.
        let _written = item.write(&mut body);
        let header = item.verified.header();
        let before = header.heads().iter().chain(header.refs());
        queue.extend(before.filter(|id| by_id.contains_key(id) && seen.insert(**id)));
    }
    if !body.is_empty() {
        frames.push(Message::Enrolment(body).encode());
    }
    frames.push(Message::Enrolment(Vec::new()).encode());
    frames
}

/// Reads the answer to a push.
#[derive(Debug, Default)]
pub struct Answer(FrameReader);

impl Answer {
    /// Takes bytes; gives the id of the admission, or the refusal, once it is whole.
    ///
    /// # Errors
    ///
    /// When the bytes are no answer.
    pub fn read(
        &mut self,
        mut bytes: &[u8],
    ) -> Result<Option<Result<EntryId, Refusal>>, FrameError> {
        Ok(match self.0.next(&mut bytes)? {
            None => None,
            Some(Message::Admitted(id)) => Some(Ok(id)),
            Some(Message::Refused(refusal)) => Some(Err(refusal)),
            Some(other) => return Err(FrameError::Malformed(other.kind())),
        })
    }
}

/// Takes an ENROLMENT body apart.
pub(super) fn read_body(mut body: &[u8]) -> Result<Vec<Pushed>, FrameError> {
    let mut out = Vec::new();
    while !body.is_empty() {
        let Received { signed, payload } = read_entry(&mut body)?;
        // A roster entry without its payload says nothing.
        out.extend(payload.map(|payload| Pushed { signed, payload }));
    }
    Ok(out)
}

/// The pushed entries that somebody known vouches for (rule 3). `None` if they do not enrol `peer`.
/// `is_member` says whether a device is a member's in this side's roster.
pub fn vouched(
    community: CommunityId,
    peer: &DeviceId,
    is_member: impl Fn(&DeviceId) -> bool,
    pushed: Vec<Pushed>,
) -> Option<Vec<(Verified, Vec<u8>)>> {
    // Signatures cost most: what is not of this community is not looked at further.
    let mut rest: Vec<(Verified, Vec<u8>, Option<DeviceId>)> = pushed
        .into_iter()
        .filter(|p| {
            let header = p.signed.header();
            header.community == community && header.known_class() == Some(Class::Roster)
        })
        .filter_map(|Pushed { signed, payload }| {
            let verified = signed.verify().ok()?;
            let entry = RosterEntry::open(&verified, &payload).ok()?;
            let enrols = match &entry.body {
                Body::Admit(admit) => admit.signed_record().ok().map(|r| r.record.device),
                Body::AddDevice(add) => add.signed_record().ok().map(|r| r.statement.device),
                Body::Readmit(readmit) => readmit.signed_record().ok().map(|r| r.statement.device),
                _ => None,
            };
            Some((verified, payload, enrols))
        })
        .collect();
    let (mut good, mut enrolled) = (Vec::new(), HashSet::new());
    loop {
        let knows = |device: &DeviceId| is_member(device) || enrolled.contains(device);
        let (new, others): (Vec<_>, Vec<_>) =
            rest.into_iter().partition(|(v, _, _)| knows(&v.header().log.device));
        if new.is_empty() {
            break;
        }
        enrolled.extend(new.iter().filter_map(|(_, _, enrols)| *enrols));
        good.extend(new.into_iter().map(|(verified, payload, _)| (verified, payload)));
        rest = others;
    }
    enrolled.contains(peer).then_some(good)
}
