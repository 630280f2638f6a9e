//! Roster entries as the fold takes them, and the check of join records.

use std::sync::{Arc, OnceLock};

use crate::entry::{Class, Header, HeaderTail, Verified};
use crate::envelope::{self, EnvelopeError};
use crate::id::EntryId;
use crate::payload::{self, Body, JoinError, PayloadError, SignedDevice, SignedJoinRecord};
use crate::seal::{SealError, SealingPublic};

/// Why an authentic header and a payload are not a roster entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RosterEntryError {
    /// The header is of a later version, whose heads this one cannot read.
    #[error("written by a later version of the format ({0})")]
    LaterVersion(u8),
    /// The header is of another class.
    #[error("class {0} is not a roster entry")]
    NotRoster(u8),
    /// The payload is not the one that the header commits to.
    #[error("the payload does not match its header")]
    PayloadMismatch,
    /// The payload's envelope is void.
    #[error("void: {0}")]
    Envelope(#[from] EnvelopeError),
    /// The payload's body is void.
    #[error("void: {0}")]
    Payload(#[from] PayloadError),
}

/// An authentic class 0 entry with its decoded body.
///
/// It remembers, as do its clones, the outcome of checking its join or device records, so that folding it again costs no
/// signature check; keep and reuse the values rather than opening entries for each fold.
#[derive(Debug, Clone)]
pub struct RosterEntry {
    /// The entry's id.
    pub id: EntryId,
    /// Its authentic header, of class 0 and version 1.
    pub header: Header,
    /// What it says.
    pub body: Body,
    /// Shared by the clones, so that each learns what any of them found out.
    checked: Arc<OnceLock<Checked>>,
}

/// What was found out about the records in an entry.
#[derive(Debug, Clone)]
enum Checked {
    /// Found good by this node before, and stored.
    Trusted,
    /// The outcome for these records, and the ticket's key where there is one.
    Against([u8; 32], Result<(), RecordFault>),
}

/// What is wrong with a join record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordFault {
    /// The record or one of its signatures.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// Nothing can be sealed to its sealing key.
    #[error("sealing key: {0}")]
    SealingKey(#[from] SealError),
}

impl RosterEntry {
    /// Takes an authentic header and its decoded body.
    ///
    /// # Errors
    ///
    /// When the header is not of version 1 and class 0.
    pub fn new(verified: &Verified, body: Body) -> Result<RosterEntry, RosterEntryError> {
        let header = verified.header();
        if let HeaderTail::Later { version, .. } = header.tail {
            return Err(RosterEntryError::LaterVersion(version));
        }
        if header.known_class() != Some(Class::Roster) {
            return Err(RosterEntryError::NotRoster(header.class));
        }
        let header = header.clone();
        Ok(RosterEntry { id: verified.id(), header, body, checked: Arc::default() })
    }

    /// Opens an authentic header's payload, as it is stored and sent.
    ///
    /// # Errors
    ///
    /// As [`RosterEntry::new`], and when the payload does not match or is void.
    pub fn open(verified: &Verified, payload: &[u8]) -> Result<RosterEntry, RosterEntryError> {
        if !verified.matches_payload(payload) {
            return Err(RosterEntryError::PayloadMismatch);
        }
        let body = envelope::decode_clear(payload)?;
        RosterEntry::new(verified, payload::decode(Class::Roster, &body)?)
    }

    /// Marks the join record as found good: for an entry that counted in an earlier fold and comes
    /// back from a place that only this node writes. The signatures are not checked again.
    pub fn trust_join_record(mut self) -> RosterEntry {
        self.checked = Arc::new(OnceLock::from(Checked::Trusted));
        self
    }

    /// Whether the records of an admission, a device or the founders were checked and found good, so that it may be stored with
    /// that mark for [`RosterEntry::trust_join_record`].
    pub fn join_record_is_good(&self) -> bool {
        matches!(self.checked.get(), Some(Checked::Trusted | Checked::Against(_, Ok(()))))
    }

    /// Checks `record` against the ticket's key, or takes the outcome of the last such check.
    pub(super) fn check_newcomer(
        &self,
        record: &SignedJoinRecord,
        ticket_key: &[u8; 32],
    ) -> Result<(), RecordFault> {
        if matches!(self.checked.get(), Some(Checked::Trusted)) {
            return Ok(());
        }
        let subject: [u8; 32] =
            blake3::Hasher::new().update(&record.encode()).update(ticket_key).finalize().into();
        self.remember(subject, || check_newcomer(record, ticket_key))
    }

    /// Checks a further device's `record`, or takes the outcome of the last such check.
    pub(super) fn check_device(&self, record: &SignedDevice) -> Result<(), RecordFault> {
        let subject: [u8; 32] = blake3::hash(&record.encode()).into();
        self.remember(subject, || check_device_record(record))
    }

    /// Checks the founders' records, or takes the outcome of the last such check.
    pub(super) fn check_founders(&self, records: &[SignedJoinRecord]) -> Result<(), RecordFault> {
        let mut subject = blake3::Hasher::new();
        for record in records {
            subject.update(&record.encode());
        }
        self.remember(subject.finalize().into(), || check_founders(records))
    }

    fn remember(
        &self,
        subject: [u8; 32],
        check: impl Fn() -> Result<(), RecordFault>,
    ) -> Result<(), RecordFault> {
        match self.checked.get_or_init(|| Checked::Against(subject, check())) {
            Checked::Trusted => Ok(()),
            Checked::Against(of, outcome) if *of == subject => *outcome,
            Checked::Against(..) => check(),
        }
    }
}

/// Checks a newcomer's record and keys.
pub(super) fn check_newcomer(
    record: &SignedJoinRecord,
    ticket_key: &[u8; 32],
) -> Result<(), RecordFault> {
    record.check_newcomer(ticket_key)?;
    check_sealing_key(&record.record.sealing)
}

/// Checks a further device's record and keys.
pub(super) fn check_device_record(record: &SignedDevice) -> Result<(), RecordFault> {
    record.check()?;
    check_sealing_key(&record.statement.sealing)
}

/// Checks the founders' records and keys.
pub(super) fn check_founders(records: &[SignedJoinRecord]) -> Result<(), RecordFault> {
    records.iter().try_for_each(|record| {
        record.check_founder()?;
        check_sealing_key(&record.record.sealing)
    })
}

fn check_sealing_key(key: &[u8; 32]) -> Result<(), RecordFault> {
    SealingPublic::checked(key).map(|_| ()).map_err(RecordFault::SealingKey)
}
