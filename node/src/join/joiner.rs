//! The newcomer's side of a join.

use std::collections::BTreeMap;

use lanai_crdt::entry::VerifyError;
use lanai_crdt::id::{CommunityId, DeviceId, EntryId, MemberId};
use lanai_crdt::payload::SignedJoinRecord;
use lanai_crdt::roster::{Reason, Roster, RosterEntry, RosterEntryError, Verdict};
use lanai_crdt::seal::{EpochKey, open_from_device};
use lanai_crdt::ticket::TicketText;

use super::frame::{FrameError, FrameReader, Message, RosterItem, read_entry};
use super::{
    ADMISSION_MS, Deadline, MAX_ROSTER_BYTES, MAX_ROSTER_ENTRIES, Nonce, Refusal, STEP_MS,
    WHOLE_JOIN_MS, admitter_tag, join_record, joiner_tag,
};
use crate::identity::Identity;

/// Seals that a newcomer tries to open: a member who floods the roster with seals for a newcomer
/// costs it a second at most.
const MAX_SEALS_TRIED: usize = 10_000;

/// What happens to a joiner.
#[derive(Debug)]
pub enum JoinerInput<'a> {
    /// Bytes came from the member.
    Bytes(&'a [u8]),
    /// The member's side of the stream has ended.
    Closed,
    /// Time has passed. To be given at least every few seconds.
    Tick,
}

/// How far a join is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The other side knows the ticket; it has been asked to admit this device.
    Recognised,
    /// It has admitted this device, and sends the roster.
    Receiving {
        /// Entries that have come.
        entries: u32,
        /// Entries that will come.
        of: u32,
    },
}

/// What a joiner wants.
#[derive(Debug)]
pub enum JoinerOutput {
    /// Write these bytes to the stream.
    Send(Vec<u8>),
    /// To be shown.
    Progress(Progress),
    /// It is over: close the stream. Always the last output.
    Finished(Result<Box<Joined>, JoinerError>),
}

/// What a newcomer has when it is a member: all it takes to make a store.
#[derive(Debug)]
pub struct Joined {
    /// The community.
    pub community: CommunityId,
    /// Who this device's owner is now.
    pub member: MemberId,
    /// The admission.
    pub admit: EntryId,
    /// The roster entries as they came, each once, every header authentic.
    pub entries: Vec<RosterItem>,
    /// Their fold.
    pub roster: Roster,
    /// Epoch keys that were sealed to this device; at least one.
    pub keys: Vec<EpochKey>,
}

/// What is wrong with the roster that a member showed. An honest one shows none of this.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RosterFault {
    /// More entries or bytes than any roster has, or none.
    #[error("it announced {entries} entries of {bytes} bytes")]
    Size {
        /// Entries announced.
        entries: u32,
        /// Bytes announced.
        bytes: u32,
    },
    /// Other than was announced.
    #[error("it sent more or less than it announced")]
    Count,
    /// A header that its device did not sign.
    #[error("entry {id}: {error}")]
    NotAuthentic {
        /// The entry.
        id: EntryId,
        /// Why not.
        error: VerifyError,
    },
    /// An entry of another class or community.
    #[error("entry {0} is no roster entry of the community that the ticket is for")]
    Foreign(EntryId),
    /// A payload that is not the one its header commits to.
    #[error("entry {0} came with another payload than its own")]
    Payload(EntryId),
    /// The genesis is missing or not good.
    #[error("the founding of the community is not in it")]
    NoGenesis,
    /// The ticket entry is missing.
    #[error("the ticket is not in it")]
    NoTicket,
    /// What the ticket entry refers to is missing.
    #[error("{} entries are missing that the ticket builds on", .0.len())]
    TicketAncestry(Vec<EntryId>),
    /// The ticket entry counts for nothing.
    #[error("the ticket counts for nothing: {0}")]
    TicketVoid(Reason),
    /// The ticket entry has another key.
    #[error("the ticket in it has another key")]
    TicketKey,
    /// The member that showed it is no member there.
    #[error("the device that showed it belongs to no member there")]
    PeerNotMember,
    /// The admission is missing, is somebody else's, or does not count.
    #[error("this device's admission is not in it, or does not count")]
    NotAdmitted,
    /// No epoch key can be opened.
    #[error("no key was sealed to this device")]
    NoSeal,
}

/// Why a join came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JoinerError {
    /// The other side said why.
    #[error("the other node does not let you in: {0}")]
    Refused(Refusal),
    /// The other side does not know the ticket, and claims to.
    #[error("the other node does not know the ticket, and said that it does")]
    FalseProof,
    /// The stream ended early.
    #[error("the connection ended before the join was complete")]
    Closed,
    /// The other side took too long.
    #[error("the other node took too long")]
    TimedOut,
    /// What it sent is not this protocol.
    #[error("the other node does not speak the join protocol: {0}")]
    Frame(#[from] FrameError),
    /// A message at the wrong time.
    #[error("the other node sent {0} at the wrong time")]
    Unexpected(&'static str),
    /// The roster is not to be believed.
    #[error("the other node showed a roster that cannot be right: {0}")]
    Roster(#[from] RosterFault),
    /// More people used the ticket, in different places, than it allows.
    #[error("you were admitted, but others used the ticket up elsewhere before")]
    Pending,
}

/// What is worth doing after a join came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Ask another node; this one, if it was honest, cannot help now.
    AskAnother,
    /// Ask this one again, or another, in a while.
    TryAgain,
    /// Tell the user: asking on changes nothing.
    GiveUp,
}

impl JoinerError {
    /// What is worth doing.
    pub const fn next(&self) -> Next {
        match self {
            Self::Closed | Self::TimedOut => Next::TryAgain,
            Self::Refused(refusal) => match refusal {
                Refusal::Busy | Refusal::Internal => Next::TryAgain,
                Refusal::Unknown | Refusal::Version => Next::AskAnother,
                Refusal::Closed
                | Refusal::UsedUp
                | Refusal::Expired
                | Refusal::SponsorGone
                | Refusal::BadRecord
                | Refusal::DeviceTaken => Next::GiveUp,
            },
            Self::FalseProof | Self::Frame(_) | Self::Unexpected(_) | Self::Roster(_) => {
                Next::AskAnother
            }
            Self::Pending => Next::GiveUp,
        }
    }

    /// What the user can do about it.
    pub const fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Refused(Refusal::Expired) => {
                Some("ask for a new ticket; if it is new, check the clocks of both machines")
            }
            Self::Refused(Refusal::Closed | Refusal::UsedUp | Refusal::SponsorGone) => {
                Some("ask for a new ticket")
            }
            Self::Refused(Refusal::DeviceTaken) => {
                Some("join with another --home, which gets a device key of its own")
            }
            Self::Refused(Refusal::Version) => Some("one of the two nodes needs an upgrade"),
            Self::Pending => Some("ask a member for a new ticket"),
            _ => None,
        }
    }
}

#[derive(Debug)]
enum State {
    Proof,
    Roster,
    Entries { entries: u32, bytes: u32 },
    Done,
}

/// One join on the newcomer's side.
#[derive(Debug)]
pub struct Joiner {
    ticket: TicketText,
    ticket_key: [u8; 32],
    identity: Identity,
    record: SignedJoinRecord,
    peer: DeviceId,
    nonce: Nonce,
    reader: FrameReader,
    state: State,
    step: Deadline,
    whole: Deadline,
    items: BTreeMap<EntryId, RosterItem>,
    opened: Vec<RosterEntry>,
    entries: u32,
    bytes: u32,
}

impl Joiner {
    /// For a stream opened to `peer`, as authenticated by the connection. `record_nonce` is the one
    /// in the [`JoinState`](super::JoinState), `nonce` is fresh random bytes. The outputs are to be
    /// carried out like those of [`Joiner::handle`].
    pub fn start(
        ticket: TicketText,
        identity: Identity,
        record_nonce: [u8; 16],
        peer: DeviceId,
        nonce: Nonce,
        now_ms: u64,
    ) -> (Joiner, Vec<JoinerOutput>) {
        let ticket_key = ticket.secret().public();
        let tag = joiner_tag(&ticket_key, &nonce, &peer).into();
        let joiner = Joiner {
            record: join_record(&ticket, &identity, record_nonce),
            ticket,
            ticket_key,
            identity,
            peer,
            nonce,
            reader: FrameReader::default(),
            state: State::Proof,
            step: Deadline::new(now_ms, STEP_MS),
            whole: Deadline::new(now_ms, WHOLE_JOIN_MS),
            items: BTreeMap::new(),
            opened: Vec::new(),
            entries: 0,
            bytes: 0,
        };
        (joiner, vec![JoinerOutput::Send(Message::Challenge { nonce, tag }.encode())])
    }

    /// Whether [`JoinerOutput::Finished`] has been given.
    pub fn is_finished(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Takes an input at a time in Unix milliseconds. After the end every input is ignored.
    ///
    /// Signatures are checked as entries come, some 50 microseconds each; the whole roster is
    /// folded once, at the end.
    pub fn handle(&mut self, input: JoinerInput<'_>, now_ms: u64) -> Vec<JoinerOutput> {
        let mut out = Vec::new();
        if self.is_finished() {
            return out;
        }
        match self.step(input, now_ms, &mut out) {
            Ok(None) => {}
            Ok(Some(joined)) => self.finish(Ok(joined), &mut out),
            Err(error) => self.finish(Err(error), &mut out),
        }
        out
    }

    fn finish(&mut self, how: Result<Box<Joined>, JoinerError>, out: &mut Vec<JoinerOutput>) {
        self.state = State::Done;
        self.items = BTreeMap::new();
        self.opened = Vec::new();
        out.push(JoinerOutput::Finished(how));
    }

    fn step(
        &mut self,
        input: JoinerInput<'_>,
        now_ms: u64,
        out: &mut Vec<JoinerOutput>,
    ) -> Result<Option<Box<Joined>>, JoinerError> {
        if self.whole.passed(now_ms) || self.step.passed(now_ms) {
            return Err(JoinerError::TimedOut);
        }
        match input {
            JoinerInput::Tick => Ok(None),
            JoinerInput::Closed => Err(JoinerError::Closed),
            JoinerInput::Bytes(mut bytes) => {
                while let Some(message) = self.reader.next(&mut bytes)? {
                    if let Some(joined) = self.message(message, now_ms, out)? {
                        return Ok(Some(joined));
                    }
                }
                Ok(None)
            }
        }
    }

    fn message(
        &mut self,
        message: Message,
        now_ms: u64,
        out: &mut Vec<JoinerOutput>,
    ) -> Result<Option<Box<Joined>>, JoinerError> {
        match (&self.state, message) {
            (_, Message::Refused(refusal)) => return Err(JoinerError::Refused(refusal)),
            (State::Proof, Message::Proof { nonce, tag }) => {
                let device = self.identity.device_id();
                if admitter_tag(&self.ticket_key, &self.nonce, &nonce, &device) != tag {
                    return Err(JoinerError::FalseProof);
                }
                let record = Message::Record(Box::new(self.record.clone()));
                out.push(JoinerOutput::Send(record.encode()));
                out.push(JoinerOutput::Progress(Progress::Recognised));
                self.step = Deadline::new(now_ms, ADMISSION_MS + STEP_MS);
                self.state = State::Roster;
            }
            (State::Roster, Message::Roster { entries, bytes }) => {
                if entries == 0 || entries > MAX_ROSTER_ENTRIES || bytes > MAX_ROSTER_BYTES {
                    return Err(RosterFault::Size { entries, bytes }.into());
                }
                out.push(JoinerOutput::Progress(Progress::Receiving { entries: 0, of: entries }));
                self.step = Deadline::new(now_ms, ADMISSION_MS + STEP_MS);
                self.state = State::Entries { entries, bytes };
            }
            (State::Entries { entries, bytes }, Message::Entries(body)) => {
                let (entries, bytes) = (*entries, *bytes);
                // A body is at most 64 KiB, so neither sum can overflow.
                self.bytes += u32::try_from(body.len()).unwrap_or(u32::MAX);
                if self.bytes > bytes {
                    return Err(RosterFault::Count.into());
                }
                self.take_entries(&body, entries)?;
                let progress = Progress::Receiving { entries: self.entries, of: entries };
                out.push(JoinerOutput::Progress(progress));
                self.step = Deadline::new(now_ms, ADMISSION_MS + STEP_MS);
            }
            (State::Entries { entries, bytes }, Message::Admitted(admit)) => {
                if self.entries != *entries || self.bytes != *bytes {
                    return Err(RosterFault::Count.into());
                }
                return self.judge(admit).map(Some);
            }
            (_, message) => return Err(JoinerError::Unexpected(message.word())),
        }
        Ok(None)
    }

    /// Believes the entries of one frame, or nothing any more.
    fn take_entries(&mut self, mut body: &[u8], announced: u32) -> Result<(), JoinerError> {
        while !body.is_empty() {
            if self.entries == announced {
                return Err(RosterFault::Count.into());
            }
            self.entries += 1;
            let received = read_entry(&mut body)?;
            let id = received.signed.id();
            if self.items.contains_key(&id) {
                continue;
            }
            let header = received.signed.header();
            let ours = if header.is_genesis() {
                id == self.ticket.community().genesis()
            } else {
                header.community == self.ticket.community()
            };
            if !ours || header.class != 0 {
                return Err(RosterFault::Foreign(id).into());
            }
            let verified = received
                .signed
                .verify()
                .map_err(|error| RosterFault::NotAuthentic { id, error })?;
            if let Some(payload) = &received.payload {
                match RosterEntry::open(&verified, payload) {
                    Ok(entry) => self.opened.push(entry),
                    Err(RosterEntryError::PayloadMismatch) => {
                        return Err(RosterFault::Payload(id).into());
                    }
                    // Void, or of a later version: a member can write such an entry, and it is no
                    // fault of whoever hands it on.
                    Err(_) => {}
                }
            }
            self.items.insert(id, RosterItem { verified, payload: received.payload });
        }
        Ok(())
    }

    /// The checks of rule 5 of the module above.
    fn judge(&mut self, admit: EntryId) -> Result<Box<Joined>, JoinerError> {
        let community = self.ticket.community();
        let roster = Roster::fold(community, &self.opened);
        if !roster.is_founded() {
            return Err(RosterFault::NoGenesis.into());
        }
        match roster.verdict(&self.ticket.ticket()) {
            None => return Err(RosterFault::NoTicket.into()),
            Some(Verdict::Waiting { missing }) => {
                return Err(RosterFault::TicketAncestry(missing.clone()).into());
            }
            Some(Verdict::Unsupported(reason)) => {
                return Err(RosterFault::TicketVoid(*reason).into());
            }
            Some(Verdict::Counts) => {}
        }
        let ticket = roster.ticket(&self.ticket.ticket()).ok_or(RosterFault::NoTicket)?;
        if ticket.key != self.ticket_key {
            return Err(RosterFault::TicketKey.into());
        }
        if roster.standing(&self.peer).is_none() {
            return Err(RosterFault::PeerNotMember.into());
        }
        let member = self.record.record.member();
        let device = self.identity.device_id();
        let me = roster.member(&member).ok_or(RosterFault::NotAdmitted)?;
        if me.pending {
            return Err(JoinerError::Pending);
        }
        // Of two admissions at once both count; the one named must be one of them.
        let stands = roster.standing(&device).is_some_and(|s| s.member == member);
        if !stands || !self.admits_me(&roster, &admit) {
            return Err(RosterFault::NotAdmitted.into());
        }
        let keys = self.open_seals(&roster);
        if keys.is_empty() {
            return Err(RosterFault::NoSeal.into());
        }
        let entries = std::mem::take(&mut self.items).into_values().collect();
        Ok(Box::new(Joined { community, member, admit, entries, roster, keys }))
    }

    /// Whether this entry counts and is an admission of this side's record.
    fn admits_me(&self, roster: &Roster, admit: &EntryId) -> bool {
        use lanai_crdt::payload::Body;
        roster.verdict(admit).is_some_and(Verdict::counts)
            && self.opened.iter().any(|e| match &e.body {
                Body::Admit(a) => e.id == *admit && a.record[..] == self.record.encode()[..],
                _ => false,
            })
    }

    /// Every epoch key that opens, of the latest epochs first.
    fn open_seals(&self, roster: &Roster) -> Vec<EpochKey> {
        let device = self.identity.device_id();
        let mut epochs: Vec<_> = roster.epochs().collect();
        epochs.reverse();
        let mut tried = 0;
        let mut keys: Vec<EpochKey> = Vec::new();
        for epoch in epochs {
            if keys.iter().any(|k| k.id() == epoch.id) {
                continue;
            }
            for seal in epoch.sealed_to.get(&device).into_iter().flatten() {
                tried += 1;
                if tried > MAX_SEALS_TRIED {
                    return keys;
                }
                let opened =
                    open_from_device(&self.identity.sealing, &epoch.id, &device, &seal.sealed);
                if let Ok(key) = opened {
                    keys.push(key);
                    break;
                }
            }
        }
        keys
    }
}
