//! The receiving half of a session: pairs headers with payloads, group by group, within the window.
//!
//! 1. A SEG frame opens a group. Its cost is known from its headers alone, before any payload
//!    arrives; a group that does not fit the window ends the session.
//! 2. PAY frames fill the groups. Each payload has exactly the length its header said, and comes
//!    once.
//! 3. Whole groups are handed over in the order of their headers; a batch takes all that are whole
//!    while the batch before it is being committed. Nothing is held back that is whole, and
//!    nothing is handed over out of order, because an entry's successor vouches for it.
//! 4. A commit gives the window back, by ACK.

use std::collections::{BTreeMap, VecDeque};

use lanai_crdt::entry::{HeaderError, Signed, payload_hash};
use lanai_crdt::id::{CommunityId, PayloadHash};

use super::config::{MAX_SESSION_ENTRIES, MAX_WANTED_PAYLOADS};
use super::frame::{Ack, Fin};
use super::run::{PayReader, Segment};
use super::wire::WireError;

/// An entry from a peer. Nothing of it is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incoming {
    /// The header, with a signature unless the chain rule is to vouch for it.
    pub signed: Signed,
    /// Its payload, which fits the hash in the header. `None` where the peer did not send it.
    pub payload: Option<Vec<u8>>,
}

/// What the store did with a batch, once it is durable.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IngestReport {
    /// Entries that were new and are stored.
    pub stored: u64,
    /// Entries that were held already.
    pub known: u64,
    /// Payloads stored for headers that were held already.
    pub payloads: u64,
    /// Entries put aside until their device or parent is known.
    pub waiting: u64,
    /// Entries not taken, by reason.
    pub refused: BTreeMap<&'static str, u64>,
}

/// Why received entries end the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReceiveError {
    Wire(WireError),
    OverWindow,
    TooMany,
    AfterFin,
    BadFin,
}

impl From<WireError> for ReceiveError {
    fn from(error: WireError) -> ReceiveError {
        ReceiveError::Wire(error)
    }
}

#[derive(Debug)]
struct Group {
    first: u64,
    segment: Segment,
    payloads: Vec<Option<Vec<u8>>>,
    missing: usize,
}

impl Group {
    fn end(&self) -> u64 {
        self.first + self.segment.len() as u64
    }
}

#[derive(Debug)]
struct Committing {
    through: u64,
    cost: u64,
    /// Records that were no headers.
    refused: u64,
}

/// The receiving half.
#[derive(Debug)]
pub(super) struct Receiving {
    community: CommunityId,
    window: u64,
    groups: VecDeque<Group>,
    committing: Option<Committing>,
    /// Cost of all groups and of what is being committed.
    pending: u64,
    next: u64,
    done: Ack,
    fin: Option<Fin>,
    refused: BTreeMap<&'static str, u64>,
}

impl Receiving {
    pub(super) fn new(community: CommunityId, window: u64) -> Receiving {
        Receiving {
            community,
            window,
            groups: VecDeque::new(),
            committing: None,
            pending: 0,
            next: 0,
            done: Ack::default(),
            fin: None,
            refused: BTreeMap::new(),
        }
    }

    pub(super) fn on_seg(&mut self, body: &[u8]) -> Result<(), ReceiveError> {
        if self.fin.is_some() {
            return Err(ReceiveError::AfterFin);
        }
        let segment = Segment::decode(body)?;
        if self.pending + segment.cost() > self.window {
            return Err(ReceiveError::OverWindow);
        }
        let end = self.next + segment.len() as u64;
        if end > (MAX_SESSION_ENTRIES + MAX_WANTED_PAYLOADS) as u64 {
            return Err(ReceiveError::TooMany);
        }
        let payloads = vec![None; segment.len()];
        let missing = (0..segment.len()).filter(|n| segment.payload_len(*n).is_some()).count();
        self.pending += segment.cost();
        self.groups.push_back(Group { first: self.next, segment, payloads, missing });
        self.next = end;
        Ok(())
    }

    pub(super) fn on_pay(&mut self, body: &[u8]) -> Result<(), ReceiveError> {
        if self.fin.is_some() {
            return Err(ReceiveError::AfterFin);
        }
        let unexpected = WireError::Range("payload number");
        if body.is_empty() {
            return Err(WireError::Truncated.into());
        }
        let mut reader = PayReader::new(body);
        while let Some(number) = reader.number()? {
            let at = self.groups.partition_point(|g| g.end() <= number);
            let group = self.groups.get_mut(at).ok_or(unexpected)?;
            let n = number.checked_sub(group.first).and_then(|n| usize::try_from(n).ok());
            let n = n.ok_or(unexpected)?;
            let len = group.segment.payload_len(n).ok_or(unexpected)?;
            let payload = reader.payload(len)?;
            match group.payloads.get_mut(n) {
                Some(slot @ None) => *slot = Some(payload.to_vec()),
                _ => return Err(unexpected.into()),
            }
            group.missing -= 1;
        }
        Ok(())
    }

    pub(super) fn on_fin(&mut self, fin: Fin) -> Result<(), ReceiveError> {
        if self.fin.is_some() {
            return Err(ReceiveError::AfterFin);
        }
        if fin.sent != self.next || self.groups.iter().any(|g| g.missing > 0) {
            return Err(ReceiveError::BadFin);
        }
        self.fin = Some(fin);
        Ok(())
    }

    /// Goes on at the group that begins with this number: what is not whole before it is lost. Nothing is
    /// acknowledged to anybody after that.
    pub(super) fn resume_at(&mut self, number: u64) -> Result<(), ReceiveError> {
        if self.fin.is_some() || number < self.done.through {
            return Err(ReceiveError::AfterFin);
        }
        self.groups.clear();
        self.pending = self.committing.as_ref().map_or(0, |c| c.cost);
        self.next = number;
        if self.committing.is_none() {
            self.done.through = number;
        }
        Ok(())
    }

    /// The number of the next header.
    pub(super) fn next_number(&self) -> u64 {
        self.next
    }

    /// The next batch, when groups are whole and no commit is under way. It may be empty: then
    /// nothing of it was a well-formed header, and it counts as committed.
    pub(super) fn take_batch(&mut self, limit: usize) -> Option<Vec<Incoming>> {
        if self.committing.is_some() || self.groups.front().is_none_or(|g| g.missing > 0) {
            return None;
        }
        let (batch, committing) = self.whole(limit);
        self.committing = Some(committing);
        Some(batch)
    }

    /// All that is whole, when the session ends early. Nothing is acknowledged after that.
    pub(super) fn take_rest(&mut self) -> Vec<Incoming> {
        let (batch, rest) = self.whole(usize::MAX);
        self.pending -= rest.cost;
        batch
    }

    fn whole(&mut self, limit: usize) -> (Vec<Incoming>, Committing) {
        let mut batch = Vec::new();
        let (mut through, mut cost, mut refused) = (self.done.through, 0, 0);
        while let Some(group) = self.groups.pop_front_if(|g| {
            g.missing == 0 && (batch.is_empty() || batch.len() + g.segment.len() <= limit)
        }) {
            through = group.end();
            cost += group.segment.cost();
            let hashes: Vec<PayloadHash> = group
                .payloads
                .iter()
                .map(|p| p.as_ref().map_or(PayloadHash::ZERO, |p| payload_hash(p)))
                .collect();
            let hash = |n: usize| hashes.get(n).copied().unwrap_or(PayloadHash::ZERO);
            let built = group.segment.build(self.community, hash);
            for (built, payload) in built.into_iter().zip(group.payloads) {
                match built {
                    Ok(signed) => batch.push(Incoming { signed, payload }),
                    Err(error) => {
                        *self.refused.entry(refusal(&error)).or_default() += 1;
                        refused += 1;
                    }
                }
            }
        }
        (batch, Committing { through, cost, refused })
    }

    /// The batch is durable: what to acknowledge. `None` when no batch was handed over.
    pub(super) fn on_ingested(&mut self, report: &IngestReport) -> Option<Ack> {
        let committing = self.committing.take()?;
        self.pending -= committing.cost;
        let handled = committing.through - self.done.through;
        self.done.through = committing.through;
        let mut refused = committing.refused;
        for (reason, count) in &report.refused {
            let sum = self.refused.entry(reason).or_default();
            *sum = sum.saturating_add(*count);
            refused = refused.saturating_add(*count);
        }
        // Never more refusals than headers, whatever the report says.
        self.done.refused += refused.min(handled);
        Some(self.done)
    }

    pub(super) fn is_committing(&self) -> bool {
        self.committing.is_some()
    }

    /// The peer has sent everything and all of it is committed.
    pub(super) fn is_complete(&self) -> bool {
        self.fin.is_some() && self.groups.is_empty() && self.committing.is_none()
    }

    /// What has been committed so far.
    pub(super) fn done(&self) -> Ack {
        self.done
    }

    pub(super) fn fin(&self) -> Option<Fin> {
        self.fin
    }

    pub(super) fn refused(&self) -> &BTreeMap<&'static str, u64> {
        &self.refused
    }

    /// Bytes of entries held or being committed; at most the window.
    pub(super) fn buffered(&self) -> u64 {
        self.pending
    }

    #[cfg(any(test, feature = "simulator"))]
    pub(super) fn check_invariants(&self) {
        let groups: u64 = self.groups.iter().map(|g| g.segment.cost()).sum();
        assert_eq!(self.pending, groups + self.committing.as_ref().map_or(0, |c| c.cost));
        assert!(self.pending <= self.window);
        assert!(self.done.refused <= self.done.through && self.done.through <= self.next);
        for g in &self.groups {
            let held: usize = g.payloads.iter().flatten().map(Vec::len).sum();
            assert!(held as u64 <= g.segment.cost());
        }
        let ends: Vec<u64> = self.groups.iter().map(Group::end).collect();
        assert!(ends.is_sorted() && ends.last().is_none_or(|e| *e == self.next));
    }
}

/// A short name for a header that is none.
fn refusal(error: &HeaderError) -> &'static str {
    match error {
        HeaderError::UnsortedHeads => "header: heads out of order",
        HeaderError::WrongSealing { .. } => "header: wrong sealing",
        HeaderError::NoHeads => "header: no roster heads",
        HeaderError::NoPrev(_) => "header: no previous entry",
        HeaderError::BadGenesis => "header: bad genesis",
        HeaderError::TooManyHeads(_) | HeaderError::TooManyRefs(_) => "header: too many ids",
        HeaderError::PayloadTooLong(_) => "header: payload too long",
        HeaderError::UnknownClass(_) => "header: unknown class",
        HeaderError::VersionZero
        | HeaderError::Truncated(_)
        | HeaderError::TooLong(_)
        | HeaderError::Trailing(_) => "header: malformed",
    }
}
