//! The member's side of a join.

use std::sync::Arc;

use lanai_crdt::id::{DeviceId, EntryId, MemberId};
use lanai_crdt::payload::SignedJoinRecord;
use lanai_crdt::roster::Roster;

use super::enrol::{MAX_ENROLMENT_BYTES, Pushed, read_body};
use super::frame::{FrameError, FrameReader, MAX_BODY_BYTES, Message, RosterItem};
use super::{
    ADMISSION_MS, Deadline, MAX_ROSTER_BYTES, MAX_ROSTER_ENTRIES, Nonce, Refusal, STEP_MS,
    WHOLE_JOIN_MS, admitter_tag, joiner_tag,
};

/// What happens to an admitter.
#[derive(Debug)]
pub enum AdmitterInput<'a> {
    /// Bytes came from the newcomer.
    Bytes(&'a [u8]),
    /// The newcomer's side of the stream has ended.
    Closed,
    /// Time has passed. To be given at least every few seconds.
    Tick,
    /// Answer to [`AdmitterOutput::Admit`]: the admission stands in the store, and so does a seal of
    /// the current epoch for the newcomer's device.
    Admitted {
        /// The admission.
        admit: EntryId,
        /// Class 0 entries that are going to be sent.
        entries: u32,
        /// Sum of their [`RosterItem::encoded_bytes`].
        bytes: u32,
    },
    /// Answer to [`AdmitterOutput::Admit`]: it could not be published; or to
    /// [`AdmitterOutput::Enrol`].
    Refused(Refusal),
    /// Answer to [`AdmitterOutput::Enrol`]: they are in the store, and the peer is a member.
    Enrolled {
        /// Who it is.
        member: MemberId,
        /// What enrols its device.
        admit: EntryId,
    },
    /// Answer to [`AdmitterOutput::WantEntries`]: the next entries, at least one.
    Entries(Vec<RosterItem>),
}

/// What an admitter wants.
#[derive(Debug, PartialEq, Eq)]
pub enum AdmitterOutput {
    /// Write these bytes to the stream.
    Send(Vec<u8>),
    /// Publish an admission of this record and a seal of the current epoch for its device, and
    /// answer with [`AdmitterInput::Admitted`] or [`AdmitterInput::Refused`]. The roster may have
    /// changed since this machine saw it: ask [`Roster::may_admit`] again in the transaction.
    Admit {
        /// The newcomer's record, checked.
        record: Box<SignedJoinRecord>,
        /// The newcomer is a member already, by this entry: publish only what seal is missing and
        /// answer with this entry.
        known: Option<EntryId>,
    },
    /// The peer says that it is a member by these entries: judge them with `vouched` and answer with
    /// [`AdmitterInput::Enrolled`] or [`AdmitterInput::Refused`].
    Enrol(Vec<Pushed>),
    /// Everything before is to be written first; then give the entries from this place on, some
    /// 64 KiB of them.
    WantEntries {
        /// How many were given before.
        from: u32,
    },
    /// It is over: write what is left to write, then close the stream. Always the last output.
    Finished(Result<MemberId, AdmitterError>),
}

/// Why a join came to nothing, on the member's side.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdmitterError {
    /// The newcomer was told why.
    #[error("refused: {0}")]
    Refused(Refusal),
    /// The stream ended early.
    #[error("the newcomer went away")]
    Closed,
    /// The newcomer took too long.
    #[error("the newcomer took too long")]
    TimedOut,
    /// What it sent is not this protocol.
    #[error("the newcomer's bytes are not the join protocol: {0}")]
    Frame(#[from] FrameError),
    /// A message at the wrong time.
    #[error("the newcomer sent {0} at the wrong time")]
    Unexpected(&'static str),
}

#[derive(Debug)]
enum State {
    Challenge,
    Record {
        ticket_key: [u8; 32],
    },
    Admission {
        member: MemberId,
    },
    Enrolment {
        bytes: usize,
        pushed: Vec<Pushed>,
    },
    Judging,
    Sending {
        member: MemberId,
        admit: EntryId,
        entries: u32,
        bytes: u32,
        sent: u32,
        sent_bytes: u32,
    },
    Done,
}

/// One join on the member's side.
#[derive(Debug)]
pub struct Admitter {
    own: DeviceId,
    newcomer: DeviceId,
    nonce: Nonce,
    roster: Arc<Roster>,
    reader: FrameReader,
    state: State,
    step: Deadline,
    whole: Deadline,
}

impl Admitter {
    /// For a stream that `newcomer`, as authenticated by the connection, has opened to this device.
    /// `nonce` is fresh random bytes; time is in Unix milliseconds.
    pub fn new(
        own: DeviceId,
        newcomer: DeviceId,
        roster: Arc<Roster>,
        nonce: Nonce,
        now_ms: u64,
    ) -> Admitter {
        Admitter {
            own,
            newcomer,
            nonce,
            roster,
            reader: FrameReader::default(),
            state: State::Challenge,
            step: Deadline::new(now_ms, STEP_MS),
            whole: Deadline::new(now_ms, WHOLE_JOIN_MS),
        }
    }

    /// Whether [`AdmitterOutput::Finished`] has been given.
    pub fn is_finished(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Takes an input at a time in Unix milliseconds, by which tickets expire. After the end every
    /// input is ignored.
    pub fn handle(&mut self, input: AdmitterInput<'_>, now_ms: u64) -> Vec<AdmitterOutput> {
        let mut out = Vec::new();
        if self.is_finished() {
            return out;
        }
        if let Err(error) = self.step(input, now_ms, &mut out) {
            if let AdmitterError::Refused(refusal) = error {
                out.push(AdmitterOutput::Send(refusal.frame()));
            }
            self.finish(Err(error), &mut out);
        }
        out
    }

    fn finish(&mut self, how: Result<MemberId, AdmitterError>, out: &mut Vec<AdmitterOutput>) {
        self.state = State::Done;
        out.push(AdmitterOutput::Finished(how));
    }

    fn step(
        &mut self,
        input: AdmitterInput<'_>,
        now_ms: u64,
        out: &mut Vec<AdmitterOutput>,
    ) -> Result<(), AdmitterError> {
        if self.whole.passed(now_ms) || self.step.passed(now_ms) {
            // A newcomer who waits for this side's store is not to blame.
            return Err(match self.state {
                State::Admission { .. } | State::Judging => {
                    AdmitterError::Refused(Refusal::Internal)
                }
                _ => AdmitterError::TimedOut,
            });
        }
        match input {
            AdmitterInput::Tick => Ok(()),
            AdmitterInput::Closed => Err(AdmitterError::Closed),
            AdmitterInput::Bytes(mut bytes) => {
                while let Some(message) = self.reader.next(&mut bytes)? {
                    self.message(message, now_ms, out)?;
                }
                Ok(())
            }
            AdmitterInput::Refused(refusal) => match self.state {
                State::Admission { .. } | State::Judging => Err(AdmitterError::Refused(refusal)),
                _ => Ok(()),
            },
            AdmitterInput::Admitted { admit, entries, bytes } => {
                let State::Admission { member } = self.state else { return Ok(()) };
                if entries == 0 || entries > MAX_ROSTER_ENTRIES || bytes > MAX_ROSTER_BYTES {
                    return Err(AdmitterError::Refused(Refusal::Internal));
                }
                out.push(AdmitterOutput::Send(Message::Roster { entries, bytes }.encode()));
                out.push(AdmitterOutput::WantEntries { from: 0 });
                self.step = Deadline::new(now_ms, ADMISSION_MS);
                self.state =
                    State::Sending { member, admit, entries, bytes, sent: 0, sent_bytes: 0 };
                Ok(())
            }
            AdmitterInput::Enrolled { member, admit } => {
                if matches!(self.state, State::Judging) {
                    out.push(AdmitterOutput::Send(Message::Admitted(admit).encode()));
                    self.finish(Ok(member), out);
                }
                Ok(())
            }
            AdmitterInput::Entries(items) => self.entries(&items, now_ms, out),
        }
    }

    fn message(
        &mut self,
        message: Message,
        now_ms: u64,
        out: &mut Vec<AdmitterOutput>,
    ) -> Result<(), AdmitterError> {
        match (&mut self.state, message) {
            (State::Challenge, Message::OtherVersion(_)) => {
                Err(AdmitterError::Refused(Refusal::Version))
            }
            (State::Challenge, Message::Challenge { nonce, tag }) => {
                let ticket_key = self
                    .find_ticket(&nonce, tag)
                    .ok_or(AdmitterError::Refused(Refusal::Unknown))?;
                let proof = Message::Proof {
                    nonce: self.nonce,
                    tag: admitter_tag(&ticket_key, &nonce, &self.nonce, &self.newcomer).into(),
                };
                out.push(AdmitterOutput::Send(proof.encode()));
                self.step = Deadline::new(now_ms, STEP_MS);
                self.state = State::Record { ticket_key };
                Ok(())
            }
            (State::Record { ticket_key }, Message::Record(record)) => {
                let ticket_key = *ticket_key;
                let known = self.judge(&ticket_key, &record, now_ms)?;
                self.step = Deadline::new(now_ms, ADMISSION_MS);
                self.state = State::Admission { member: record.record.member() };
                out.push(AdmitterOutput::Admit { record, known });
                Ok(())
            }
            (State::Challenge, Message::Enrolment(body)) => {
                self.enrolment(0, Vec::new(), &body, now_ms, out)
            }
            (State::Enrolment { bytes, pushed }, Message::Enrolment(body)) => {
                let (bytes, pushed) = (*bytes, std::mem::take(pushed));
                self.enrolment(bytes, pushed, &body, now_ms, out)
            }
            (_, message) => Err(AdmitterError::Unexpected(message.word())),
        }
    }

    fn enrolment(
        &mut self,
        bytes: usize,
        mut pushed: Vec<Pushed>,
        body: &[u8],
        now_ms: u64,
        out: &mut Vec<AdmitterOutput>,
    ) -> Result<(), AdmitterError> {
        let bytes = bytes + body.len();
        if bytes > MAX_ENROLMENT_BYTES {
            return Err(AdmitterError::Refused(Refusal::Unknown));
        }
        if body.is_empty() {
            self.step = Deadline::new(now_ms, ADMISSION_MS);
            self.state = State::Judging;
            out.push(AdmitterOutput::Enrol(pushed));
        } else {
            pushed.extend(read_body(body)?);
            self.state = State::Enrolment { bytes, pushed };
        }
        Ok(())
    }

    /// The key of the ticket that the newcomer's tag is made with. All tickets are looked through,
    /// so that the time tells nothing of which it was.
    fn find_ticket(&self, nonce: &Nonce, tag: [u8; 32]) -> Option<[u8; 32]> {
        self.roster.standing(&self.own)?;
        let mut found = None;
        for ticket in self.roster.tickets() {
            if joiner_tag(&ticket.key, nonce, &self.own) == tag {
                found = Some(ticket.key);
            }
        }
        found
    }

    /// Checks a record. Gives the admission of who is a member already.
    fn judge(
        &self,
        ticket_key: &[u8; 32],
        record: &SignedJoinRecord,
        now_ms: u64,
    ) -> Result<Option<EntryId>, AdmitterError> {
        let bad = AdmitterError::Refused(Refusal::BadRecord);
        let ticket = self.roster.ticket(&record.record.ticket).ok_or(bad.clone())?;
        // The signatures first: what became of a ticket is told only to who can sign with it.
        let good = ticket.key == *ticket_key
            && record.record.community == self.roster.community()
            && record.record.device == self.newcomer
            && record.check_newcomer(ticket_key).is_ok();
        if !good {
            return Err(bad);
        }
        let member = self.roster.member(&record.record.member());
        if let Some(member) = member.filter(|m| !m.pending) {
            return Ok(Some(member.admitted_entry));
        }
        self.roster
            .may_admit(&self.own, record, now_ms)
            .map_err(|refusal| AdmitterError::Refused(refusal.into()))?;
        Ok(None)
    }

    fn entries(
        &mut self,
        items: &[RosterItem],
        now_ms: u64,
        out: &mut Vec<AdmitterOutput>,
    ) -> Result<(), AdmitterError> {
        let State::Sending { member, admit, entries, bytes, sent, sent_bytes } = &mut self.state
        else {
            return Ok(());
        };
        let internal = AdmitterError::Refused(Refusal::Internal);
        let mut body = Vec::new();
        for item in items {
            let size = item.encoded_bytes();
            if body.len() + size > MAX_BODY_BYTES {
                let full = Message::Entries(std::mem::take(&mut body));
                out.push(AdmitterOutput::Send(full.encode()));
            }
            if !item.write(&mut body) {
                return Err(internal);
            }
            *sent += 1;
            *sent_bytes = sent_bytes.saturating_add(u32::try_from(size).unwrap_or(u32::MAX));
        }
        // The store must keep its word, or the newcomer would call this side a liar.
        let over = *sent > *entries || *sent_bytes > *bytes;
        if over || items.is_empty() || (*sent == *entries && *sent_bytes != *bytes) {
            return Err(internal);
        }
        if !body.is_empty() {
            out.push(AdmitterOutput::Send(Message::Entries(body).encode()));
        }
        if *sent < *entries {
            out.push(AdmitterOutput::WantEntries { from: *sent });
            self.step = Deadline::new(now_ms, ADMISSION_MS);
            return Ok(());
        }
        let member = *member;
        out.push(AdmitterOutput::Send(Message::Admitted(*admit).encode()));
        self.finish(Ok(member), out);
        Ok(())
    }
}
