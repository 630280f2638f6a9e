//! SEG and PAY: headers and payloads in few bytes.
//!
//! A header repeats most of what the one before it said, and its author's previous entry is
//! usually a few records up. A SEG frame is therefore a list of *records*, each relative to what
//! the frame has said so far; the frame stands for itself and needs nothing from earlier frames.
//!
//! 1. **Logs.** A record names its log by its place in the frame's table of logs; the place just
//!    after the last one adds a new log, whose 40 bytes follow.
//! 2. **Runs.** The records of one log form runs: a record without [`START`] follows the last record
//!    of its log in the frame, with the next sequence number and that record's id as `prev`.
//!    A record with `START` says both. Runs of several logs may be interleaved: records are sent in
//!    the order of time, so that posts come after what they answer.
//! 3. **Ids** (`prev` of a start, heads, refs) are a varint: 0 = 32 literal bytes follow, 1 = the
//!    zero id, k + 1 = the id k places back in the frame's table of ids. Every literal id and every
//!    finished record adds its id to that table.
//! 4. **Payload hash.** Where the payload travels (in PAY frames after the SEG), its hash does not:
//!    the receiver hashes what it gets. A payload that was altered on the way gives another header,
//!    whose signature does not fit. Only a header whose payload does not travel says the hash
//!    ([`HASH`]).
//! 5. **Signatures.** Roster entries carry their own. Elsewhere only the last record of a run
//!    does, and not even that when its successor went out earlier in the session: the chain rule
//!    vouches for the rest. A signature that the sender does not hold is left out.
//!
//! Record: u8 flags ([`SIGNATURE`] 1, [`START`] 2, [`HASH`] 4, kind in bits 3 to 5, [`EPOCH`] 64,
//! 128 reserved); varint log (and 40 bytes device and log number when new); with `START` varint
//! seq and id prev; varint time; with `EPOCH` varint place in the frame's table of epochs (and 16
//! bytes when new); varint payload length; with `HASH` 32 bytes; the tail; with `SIGNATURE` 64
//! bytes.
//!
//! - *Kind* 0 to 5 is the class of a version 1 header; 6 a genesis entry, whose community is zero and
//!   whose tail is empty; 7 a header of a later version.
//! - *Time* is `zigzag(milliseconds - those of the record before) * 2 + (counter != 0)`, then the
//!   counter as a varint when it is not zero.
//! - *Epoch* is that of the last record that said one, clear at first. Kinds 0 and 6 are always
//!   clear and say none.
//! - *Tail* of kinds 0 to 5: u8 refs + 16 x heads, ids of the heads, ids of the refs. Of kind 7: u8
//!   version, u8 class, varint length, bytes after the fixed part of the header.
//!
//! PAY: for each payload a varint, then the payload in the length that its header says. The first
//! varint is the running number of the payload's header in the session; each further one is how
//! many numbers were left out since the payload before.

use std::collections::HashMap;
use std::ops::Range;

use lanai_crdt::clock::{Hlc, MAX_MILLIS};
use lanai_crdt::entry::{
    HEADER_FIXED_BYTES, Header, HeaderError, HeaderTail, Signature, Signed, VERSION, Verified,
};
use lanai_crdt::id::{CommunityId, DeviceId, EntryId, EpochRef, LogId, LogNumber, PayloadHash};
use lanai_crdt::limits::{MAX_HEADER_BYTES, MAX_HEADS, MAX_PAYLOAD_BYTES, MAX_REFS};

use super::config::{ENTRY_OVERHEAD_BYTES, MAX_BODY_BYTES, MAX_SEG_RECORDS};
use super::wire::{Cursor, WireError, put_varint, unzigzag, zigzag};

/// Flag: a signature ends the record.
pub(super) const SIGNATURE: u8 = 1;
/// Flag: sequence number and previous entry are said.
pub(super) const START: u8 = 2;
/// Flag: the payload hash is said and the payload does not travel.
pub(super) const HASH: u8 = 4;
/// Flag: the epoch is said.
pub(super) const EPOCH: u8 = 64;
const RESERVED: u8 = 128;
const KIND_SHIFT: u32 = 3;
const KIND_GENESIS: u8 = 6;
const KIND_LATER: u8 = 7;

/// What an entry costs of the receiver's window: its header, the payload it commits to, and
/// [`ENTRY_OVERHEAD_BYTES`]. Both sides compute the same number from the header alone.
pub fn entry_cost(header_bytes: usize, payload_len: u32) -> u64 {
    (header_bytes + payload_len as usize + ENTRY_OVERHEAD_BYTES) as u64
}

/// Why a header cannot be put into a SEG frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PutError {
    /// The frame is full; the writer is as it was before.
    #[error("the frame is full")]
    Full,
    /// The header belongs to another community or is no header of this one.
    #[error("not an entry of this community")]
    Foreign,
}

/// Writes one SEG frame.
#[derive(Debug)]
pub struct SegWriter {
    community: CommunityId,
    body: Vec<u8>,
    records: usize,
    cost: u64,
    logs: HashMap<LogId, (u64, LastRecord)>,
    epochs: HashMap<EpochRef, u64>,
    epoch: EpochRef,
    millis: u64,
    ids: HashMap<EntryId, u64>,
    id_count: u64,
}

/// Where a log stands in the frame: the last record's sequence number and id.
#[derive(Debug, Clone, Copy)]
struct LastRecord {
    seq: u64,
    id: EntryId,
}

impl SegWriter {
    /// An empty frame of a community's headers.
    pub fn new(community: CommunityId) -> SegWriter {
        SegWriter {
            community,
            body: Vec::new(),
            records: 0,
            cost: 0,
            logs: HashMap::new(),
            epochs: HashMap::new(),
            epoch: EpochRef::CLEAR,
            millis: 0,
            ids: HashMap::new(),
            id_count: 0,
        }
    }

    /// Records so far.
    pub fn records(&self) -> usize {
        self.records
    }

    /// Bytes of the body so far.
    pub fn body_len(&self) -> usize {
        self.body.len()
    }

    /// What the records so far cost of the receiver's window, in bytes.
    pub fn cost(&self) -> u64 {
        self.cost
    }

    /// The body of the frame.
    pub fn into_body(self) -> Vec<u8> {
        self.body
    }

    /// Whether the next record of this header would continue a run.
    pub fn continues(&self, header: &Header) -> bool {
        self.logs.get(&header.log).is_some_and(|(_, at)| {
            at.id == header.prev && at.seq.checked_add(1) == Some(header.seq)
        })
    }

    /// Adds a header. `with_payload`: the payload will follow in a PAY frame, and the caller has
    /// checked that it is the one the header commits to.
    pub fn put(
        &mut self,
        entry: &Verified,
        with_signature: bool,
        with_payload: bool,
    ) -> Result<(), PutError> {
        let header = entry.header();
        let kind = match (&header.tail, header.community.is_zero()) {
            (HeaderTail::Later { .. }, _) => KIND_LATER,
            (HeaderTail::V1 { .. }, true) => KIND_GENESIS,
            (HeaderTail::V1 { .. }, false) => header.class & 7,
        };
        let home = match kind {
            KIND_GENESIS => entry.id().as_community() == self.community,
            _ => header.community == self.community,
        };
        if !home {
            return Err(PutError::Foreign);
        }
        if self.records == MAX_SEG_RECORDS {
            return Err(PutError::Full);
        }
        let signature = entry.signature().filter(|_| with_signature);
        let says_epoch = !matches!(kind, 0 | KIND_GENESIS) && header.epoch != self.epoch;
        let start = !self.continues(header);

        let mut draft = Draft { out: Vec::with_capacity(64), new_ids: Vec::new() };
        let flag = |on: bool, bit: u8| if on { bit } else { 0 };
        draft.out.push(
            flag(signature.is_some(), SIGNATURE)
                | flag(start, START)
                | flag(!with_payload, HASH)
                | kind << KIND_SHIFT
                | flag(says_epoch, EPOCH),
        );
        let log_place = self.logs.get(&header.log).map(|(place, _)| *place);
        put_varint(&mut draft.out, log_place.unwrap_or(self.logs.len() as u64));
        if log_place.is_none() {
            draft.out.extend_from_slice(header.log.device.as_bytes());
            draft.out.extend_from_slice(&header.log.number.0);
        }
        if start {
            put_varint(&mut draft.out, header.seq);
            draft.id(self, header.prev);
        }
        let (millis, counter) = (header.time.millis(), header.time.0 & 0xffff);
        let step = millis as i64 - self.millis as i64;
        put_varint(&mut draft.out, zigzag(step) << 1 | u64::from(counter != 0));
        if counter != 0 {
            put_varint(&mut draft.out, counter);
        }
        if says_epoch {
            let known = self.epochs.get(&header.epoch).copied();
            put_varint(&mut draft.out, known.unwrap_or(self.epochs.len() as u64));
            if known.is_none() {
                draft.out.extend_from_slice(&header.epoch.0);
            }
        }
        put_varint(&mut draft.out, u64::from(header.payload_len));
        if !with_payload {
            draft.out.extend_from_slice(header.payload_hash.as_bytes());
        }
        match &header.tail {
            HeaderTail::V1 { .. } if kind == KIND_GENESIS => {}
            HeaderTail::V1 { heads, refs } => {
                // A verified header has at most four heads and ten refs.
                draft.out.push((heads.len() << 4 | refs.len()) as u8);
                for id in heads.iter().chain(refs) {
                    draft.id(self, *id);
                }
            }
            HeaderTail::Later { version, bytes } => {
                draft.out.extend_from_slice(&[*version, header.class]);
                put_varint(&mut draft.out, bytes.len() as u64);
                draft.out.extend_from_slice(bytes);
            }
        }
        if let Some(signature) = signature {
            draft.out.extend_from_slice(&signature.0);
        }
        if self.body.len() + draft.out.len() > MAX_BODY_BYTES {
            return Err(PutError::Full);
        }

        self.body.extend_from_slice(&draft.out);
        for id in draft.new_ids {
            self.ids.insert(id, self.id_count);
            self.id_count += 1;
        }
        self.ids.insert(entry.id(), self.id_count);
        self.id_count += 1;
        let at = LastRecord { seq: header.seq, id: entry.id() };
        let place = log_place.unwrap_or(self.logs.len() as u64);
        self.logs.insert(header.log, (place, at));
        if says_epoch {
            let next = self.epochs.len() as u64;
            self.epochs.entry(header.epoch).or_insert(next);
            self.epoch = header.epoch;
        }
        self.millis = millis;
        self.records += 1;
        self.cost += entry_cost(entry.bytes().len(), header.payload_len);
        Ok(())
    }
}

/// A record being written; nothing of it counts until it is known to fit.
struct Draft {
    out: Vec<u8>,
    new_ids: Vec<EntryId>,
}

impl Draft {
    fn id(&mut self, seg: &SegWriter, id: EntryId) {
        if id.is_zero() {
            return put_varint(&mut self.out, 1);
        }
        let count = seg.id_count + self.new_ids.len() as u64;
        let new = self.new_ids.iter().rposition(|n| *n == id);
        let place = new.map(|p| seg.id_count + p as u64).or_else(|| seg.ids.get(&id).copied());
        if let Some(place) = place {
            return put_varint(&mut self.out, count - place + 1);
        }
        put_varint(&mut self.out, 0);
        self.out.extend_from_slice(id.as_bytes());
        self.new_ids.push(id);
    }
}

/// An id as a record says it.
#[derive(Debug, Clone, Copy)]
enum IdSource {
    Known(EntryId),
    /// The id of a record of the same frame, which exists once its payload is here.
    Record(usize),
}

#[derive(Debug)]
struct Record {
    log: LogId,
    seq: u64,
    prev: IdSource,
    time: Hlc,
    epoch: EpochRef,
    payload_len: u32,
    /// Said when the payload does not travel.
    hash: Option<PayloadHash>,
    tail: Tail,
    signature: Option<Signature>,
}

#[derive(Debug)]
enum Tail {
    Genesis,
    V1 { class: u8, heads: Range<usize>, refs: Range<usize> },
    Later { version: u8, class: u8, bytes: Vec<u8> },
}

impl Record {
    fn header_bytes(&self) -> usize {
        HEADER_FIXED_BYTES
            + match &self.tail {
                Tail::Genesis => 2,
                Tail::V1 { heads, refs, .. } => 2 + 32 * (heads.len() + refs.len()),
                Tail::Later { bytes, .. } => bytes.len(),
            }
    }
}

/// A SEG frame that was read and whose headers cannot be built before their payloads are here.
/// Nothing in it is believed.
#[derive(Debug)]
pub struct Segment {
    records: Vec<Record>,
    /// Heads and refs of all records.
    ids: Vec<IdSource>,
    cost: u64,
}

/// What became of one record.
pub type Built = Result<Signed, HeaderError>;

impl Segment {
    /// Reads a body. Checks every count and place before it allocates; the memory taken is a small
    /// multiple of the body's length.
    pub fn decode(body: &[u8]) -> Result<Segment, WireError> {
        let mut reader = SegReader {
            c: Cursor::new(body),
            logs: Vec::new(),
            epochs: Vec::new(),
            table: Vec::new(),
            ids: Vec::new(),
        };
        let mut records = Vec::new();
        let (mut epoch, mut millis, mut cost) = (EpochRef::CLEAR, 0, 0);
        while reader.c.remaining() > 0 {
            if records.len() == MAX_SEG_RECORDS {
                return Err(WireError::Range("number of records"));
            }
            let record = reader.record(records.len(), &mut epoch, &mut millis)?;
            cost += entry_cost(record.header_bytes(), record.payload_len);
            records.push(record);
        }
        if records.is_empty() {
            return Err(WireError::Truncated);
        }
        Ok(Segment { records, ids: reader.ids, cost })
    }

    /// Number of records; at least one.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Never true: an empty frame is refused.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// What its records cost of the receiver's window, in bytes.
    pub fn cost(&self) -> u64 {
        self.cost
    }

    /// The length of the payload that must follow for a record; `None` where none follows or there
    /// is no such record.
    pub fn payload_len(&self, record: usize) -> Option<usize> {
        let record = self.records.get(record)?;
        record.hash.is_none().then_some(record.payload_len as usize)
    }

    /// Builds the exact header bytes of all records, in their order. `payload_hash` gives the hash
    /// of the payload that came for a record.
    ///
    /// A record that is not a well-formed header is named in its place; its bytes still have an id,
    /// so that its neighbours are not harmed.
    pub fn build(
        self,
        community: CommunityId,
        mut payload_hash: impl FnMut(usize) -> PayloadHash,
    ) -> Vec<Built> {
        let mut built_ids: Vec<EntryId> = Vec::with_capacity(self.records.len());
        let mut out = Vec::with_capacity(self.records.len());
        for (n, record) in self.records.into_iter().enumerate() {
            let resolve = |source: &IdSource| match source {
                IdSource::Known(id) => *id,
                // Decoding admits earlier records only.
                IdSource::Record(r) => built_ids.get(*r).copied().unwrap_or(EntryId::ZERO),
            };
            let list = |range: &Range<usize>| -> Vec<EntryId> {
                self.ids.get(range.clone()).unwrap_or_default().iter().map(resolve).collect()
            };
            let (class, home, tail) = match record.tail {
                Tail::Genesis => {
                    (0, CommunityId::ZERO, HeaderTail::V1 { heads: vec![], refs: vec![] })
                }
                Tail::V1 { class, heads, refs } => {
                    let (heads, refs) = (list(&heads), list(&refs));
                    (class, community, HeaderTail::V1 { heads, refs })
                }
                Tail::Later { version, class, bytes } => {
                    (class, community, HeaderTail::Later { version, bytes })
                }
            };
            let header = Header {
                class,
                community: home,
                log: record.log,
                seq: record.seq,
                prev: resolve(&record.prev),
                time: record.time,
                epoch: record.epoch,
                payload_hash: record.hash.unwrap_or_else(|| payload_hash(n)),
                payload_len: record.payload_len,
                tail,
            };
            let bytes = header.encode();
            let signed = Signed::decode(bytes, record.signature);
            built_ids.push(match &signed {
                Ok(signed) => signed.id(),
                Err(_) => header.id(),
            });
            out.push(signed);
        }
        out
    }
}

struct LogState {
    log: LogId,
    seq: u64,
    last: usize,
}

struct SegReader<'a> {
    c: Cursor<'a>,
    logs: Vec<LogState>,
    epochs: Vec<EpochRef>,
    table: Vec<IdSource>,
    ids: Vec<IdSource>,
}

impl SegReader<'_> {
    fn record(
        &mut self,
        number: usize,
        epoch: &mut EpochRef,
        millis: &mut u64,
    ) -> Result<Record, WireError> {
        let flags = self.c.byte()?;
        if flags & RESERVED != 0 {
            return Err(WireError::Reserved);
        }
        let kind = flags >> KIND_SHIFT & 7;
        let place = self.place(self.logs.len(), "log")?;
        let known = self.logs.get(place).map(|l| (l.log, l.seq, l.last));
        let log = match known {
            Some((log, ..)) => log,
            None => {
                let device = DeviceId::new(self.c.array()?);
                LogId { device, number: LogNumber(self.c.array()?) }
            }
        };
        let (seq, prev) = match known {
            _ if flags & START != 0 => (self.c.varint()?, self.id()?),
            Some((_, seq, last)) => {
                let seq = seq.checked_add(1).ok_or(WireError::Range("sequence number"))?;
                (seq, IdSource::Record(last))
            }
            None => return Err(WireError::Range("start of a log")),
        };
        let time = self.time(millis)?;
        if flags & EPOCH != 0 {
            if matches!(kind, 0 | KIND_GENESIS) {
                return Err(WireError::Reserved);
            }
            let place = self.place(self.epochs.len(), "epoch")?;
            *epoch = match self.epochs.get(place) {
                Some(epoch) => *epoch,
                None => {
                    let new = EpochRef(self.c.array()?);
                    self.epochs.push(new);
                    new
                }
            };
        }
        let payload_len = u32::try_from(self.c.varint()?).ok();
        let payload_len = payload_len
            .filter(|n| *n as usize <= MAX_PAYLOAD_BYTES)
            .ok_or(WireError::Range("payload length"))?;
        let hash = match flags & HASH {
            0 => None,
            _ => Some(PayloadHash::new(self.c.array()?)),
        };
        let tail = self.tail(kind)?;
        let signature = match flags & SIGNATURE {
            0 => None,
            _ => Some(Signature(self.c.array()?)),
        };
        self.table.push(IdSource::Record(number));
        match self.logs.get_mut(place) {
            Some(state) => (state.seq, state.last) = (seq, number),
            None => self.logs.push(LogState { log, seq, last: number }),
        }
        let epoch = if matches!(kind, 0 | KIND_GENESIS) { EpochRef::CLEAR } else { *epoch };
        Ok(Record { log, seq, prev, time, epoch, payload_len, hash, tail, signature })
    }

    /// A place in a table of `len` things, or just after its end.
    fn place(&mut self, len: usize, what: &'static str) -> Result<usize, WireError> {
        let place = usize::try_from(self.c.varint()?).ok();
        place.filter(|p| *p <= len).ok_or(WireError::Range(what))
    }

    fn id(&mut self) -> Result<IdSource, WireError> {
        match self.c.varint()? {
            0 => {
                let id = IdSource::Known(EntryId::new(self.c.array()?));
                self.table.push(id);
                Ok(id)
            }
            1 => Ok(IdSource::Known(EntryId::ZERO)),
            back => usize::try_from(back - 1)
                .ok()
                .and_then(|back| self.table.len().checked_sub(back))
                .and_then(|place| self.table.get(place).copied())
                .ok_or(WireError::Range("id")),
        }
    }

    fn time(&mut self, millis: &mut u64) -> Result<Hlc, WireError> {
        let value = self.c.varint()?;
        let range = WireError::Range("time");
        let next = i64::try_from(*millis).ok().and_then(|m| m.checked_add(unzigzag(value >> 1)));
        *millis =
            next.and_then(|n| u64::try_from(n).ok()).filter(|n| *n <= MAX_MILLIS).ok_or(range)?;
        let counter = match value & 1 {
            0 => 0,
            _ => Some(self.c.varint()?).filter(|n| (1..=0xffff).contains(n)).ok_or(range)?,
        };
        Ok(Hlc(*millis << 16 | counter))
    }

    fn tail(&mut self, kind: u8) -> Result<Tail, WireError> {
        match kind {
            KIND_GENESIS => Ok(Tail::Genesis),
            KIND_LATER => {
                let (version, class) = (self.c.byte()?, self.c.byte()?);
                if version <= VERSION {
                    return Err(WireError::Range("header version"));
                }
                let len = usize::try_from(self.c.varint()?).ok();
                let len = len
                    .filter(|n| *n <= MAX_HEADER_BYTES - HEADER_FIXED_BYTES)
                    .ok_or(WireError::Range("header length"))?;
                Ok(Tail::Later { version, class, bytes: self.c.take(len)?.to_vec() })
            }
            class => {
                let counts = self.c.byte()?;
                let (heads, refs) = (usize::from(counts >> 4), usize::from(counts & 15));
                if heads > MAX_HEADS || refs > MAX_REFS {
                    return Err(WireError::Range("number of heads or refs"));
                }
                let from = self.ids.len();
                for _ in 0..heads + refs {
                    let id = self.id()?;
                    self.ids.push(id);
                }
                let middle = from + heads;
                Ok(Tail::V1 { class, heads: from..middle, refs: middle..middle + refs })
            }
        }
    }
}

/// Writes PAY frames.
#[derive(Debug, Default)]
pub struct PayWriter {
    body: Vec<u8>,
    next: u64,
}

impl PayWriter {
    /// Adds the payload of header `number`, which is greater than the one before; `false` when the
    /// frame is full.
    pub fn put(&mut self, number: u64, payload: &[u8]) -> bool {
        if !self.body.is_empty() && self.body.len() + payload.len() + 10 > MAX_BODY_BYTES {
            return false;
        }
        put_varint(&mut self.body, number.wrapping_sub(self.next));
        self.body.extend_from_slice(payload);
        self.next = number + 1;
        true
    }

    /// Whether nothing was put.
    pub fn is_empty(&self) -> bool {
        self.body.is_empty()
    }

    /// The body of the frame.
    pub fn into_body(self) -> Vec<u8> {
        self.body
    }
}

/// Reads a PAY body, whose payloads are only as long as their headers say.
#[derive(Debug)]
pub struct PayReader<'a> {
    c: Cursor<'a>,
    next: u64,
}

impl<'a> PayReader<'a> {
    /// Starts at the front of a body.
    pub fn new(body: &'a [u8]) -> PayReader<'a> {
        PayReader { c: Cursor::new(body), next: 0 }
    }

    /// The number of the header whose payload comes next; `None` at the end.
    pub fn number(&mut self) -> Result<Option<u64>, WireError> {
        if self.c.remaining() == 0 {
            return Ok(None);
        }
        let range = WireError::Range("payload number");
        let number = self.next.checked_add(self.c.varint()?).ok_or(range)?;
        self.next = number.checked_add(1).ok_or(range)?;
        Ok(Some(number))
    }

    /// The payload of the last number, which must be `len` bytes long.
    pub fn payload(&mut self, len: usize) -> Result<&'a [u8], WireError> {
        self.c.take(len)
    }
}
