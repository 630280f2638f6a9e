//! Taking in entries of others.
//!
//! 1. *Known?* An id that is here is not looked at again; its payload or signature may still be new.
//! 2. *Of this community?*
//! 3. *Authentic?* By the chain where possible (a successor that is authentic, in the batch or in the
//!    store), so that a run of a thousand headers costs one signature check; else by its own
//!    signature.
//! 4. *Payload?* It must be the one that the header commits to. A wrong one is dropped and named, and
//!    the header kept. Roster entries come with their payload or not at all: they are judged at once.
//! 5. *Enrolled?* Entries of devices that no roster entry enrols wait outside of the set, capped, the
//!    oldest out first; a roster entry that enrols them lets them in.
//!
//! 1 to 4 are looked into before the transaction begins where a batch is large ([`authentic`](super::authentic)). The
//! rest is one transaction. The same entries in any order, in any batches, any number of times, end
//! in the same store.

use std::collections::{BTreeMap, HashMap, HashSet};

use lanai_crdt::entry::{Header, Signed, Verified, VerifyError};
use lanai_crdt::id::{CommunityId, DeviceId, EntryId, LogId};
use lanai_crdt::limits::{MAX_WAITING_BYTES, MAX_WAITING_ENTRIES};
use lanai_crdt::roster::RosterEntry;
use lanai_crdt::seal::CryptoRng;
use rusqlite::OptionalExtension as _;

use super::authentic::{self, Arrival, Batch, Vouching, is_of, judge};
use super::rows::{self, ID_IS_1, N, meta};
use super::token::TOKEN_BYTES;
use super::write::Ctx;
use super::{Durability, Place, Store, StoreError};

/// One peer may fill this part of what may wait.
const PEER_SHARE: usize = 4;

/// A decoded entry from elsewhere, not believed yet.
#[derive(Debug, Clone)]
pub struct Incoming {
    /// Header and perhaps a signature.
    pub signed: Signed,
    /// The payload, where it came along.
    pub payload: Option<Vec<u8>>,
}

/// Where entries come from: whose share of the waiting room they use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A peer's device.
    Peer(DeviceId),
    /// A file on this machine.
    File,
}

impl Source {
    fn bytes(&self) -> &[u8] {
        match self {
            Source::Peer(device) => device.as_bytes(),
            Source::File => &[],
        }
    }
}

/// Why an entry was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Its header names another community.
    #[error("it belongs to another community")]
    OtherCommunity,
    /// Nobody vouches for it.
    #[error("not authentic: {0}")]
    NotAuthentic(#[from] VerifyError),
    /// A roster entry without the payload that its header commits to.
    #[error("a roster entry without its payload")]
    RosterPayload,
}

impl Refusal {
    /// A short word for counting.
    pub const fn word(&self) -> &'static str {
        match self {
            Refusal::OtherCommunity => "other-community",
            Refusal::NotAuthentic(_) => "not-authentic",
            Refusal::RosterPayload => "roster-payload",
        }
    }
}

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IngestReport {
    /// Entries that are in the set now and were not before, those let in from waiting included.
    pub new: Vec<EntryId>,
    /// Payloads that came for entries without one.
    pub payloads: Vec<EntryId>,
    /// Entries that were here already.
    pub known: usize,
    /// Entries of unknown devices that wait now.
    pub waiting: usize,
    /// Waiting entries that had to go.
    pub dropped: usize,
    /// Refused entries and why.
    pub refused: Vec<(EntryId, Refusal)>,
    /// Entries whose payload was not the one their header commits to. Their headers are here.
    pub bad_payloads: Vec<EntryId>,
    /// Whether the roster may have changed.
    pub roster_changed: bool,
    /// An entry of this store's own log arrived that it did not write: somebody else has this
    /// device's key and continued the log. The next own entry starts a new log.
    pub own_unknown: bool,
}

impl IngestReport {
    /// Refusals by their word.
    pub fn refused_by_reason(&self) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        for (_, refusal) in &self.refused {
            *counts.entry(refusal.word()).or_insert(0) += 1;
        }
        counts
    }
}

impl Ctx<'_> {
    /// Takes in a batch; see the module above.
    pub(super) fn ingest(
        &mut self,
        batch: Batch,
        source: &Source,
    ) -> Result<IngestReport, StoreError> {
        let mut report = IngestReport::default();
        let looked = match batch {
            Batch::Looked(ahead) => ahead.still(self.conn)?,
            Batch::Raw(batch) => Err(batch),
        };
        let arrivals = match looked {
            Ok(arrivals) => arrivals,
            Err(batch) => {
                let fresh = self.sift(batch, &mut report)?;
                let mut verdicts = judge(&fresh, self)?;
                report.refused.append(&mut verdicts.refused);
                report.bad_payloads.append(&mut verdicts.bad_payloads);
                verdicts.arrivals(fresh)
            }
        };
        let strangers = self.admit(arrivals, &mut report)?;
        self.keep_waiting(strangers, source, &mut report)?;
        Ok(report)
    }

    /// Leaves out what is known, of another community, or twice in the batch.
    fn sift(
        &mut self,
        batch: Vec<Incoming>,
        report: &mut IngestReport,
    ) -> Result<Vec<Incoming>, StoreError> {
        let waiting_room = self.conn.prepare_cached("SELECT 1 FROM waiting LIMIT 1")?.exists([])?;
        let mut fresh: Vec<Incoming> = Vec::with_capacity(batch.len());
        let mut places: HashMap<EntryId, usize> = HashMap::new();
        for incoming in batch {
            let id = incoming.signed.id();
            if !is_of(&self.community, &incoming.signed) {
                report.refused.push((id, Refusal::OtherCommunity));
                continue;
            }
            if let Some(twin) = places.get(&id).and_then(|at| fresh.get_mut(*at)) {
                // One header may come with two signatures or payloads: the good one decides, and
                // which that is shows when each is checked.
                report.known += 1;
                merge(twin, incoming);
                continue;
            }
            if self.fill_known(&id, &incoming, report)?
                || (waiting_room && self.fill_waiting(&id, &incoming)?)
            {
                report.known += 1;
                continue;
            }
            places.insert(id, fresh.len());
            fresh.push(incoming);
        }
        Ok(fresh)
    }

    /// Whether an entry is here; takes what is new about it.
    fn fill_known(
        &mut self,
        id: &EntryId,
        incoming: &Incoming,
        report: &mut IngestReport,
    ) -> Result<bool, StoreError> {
        let found: Option<(N, bool, bool)> = self
            .conn
            .prepare_cached(&format!(
                "SELECT e.n, e.sig IS NULL, EXISTS (SELECT 1 FROM missing_payloads x WHERE x.n = e.n)
                 FROM entries e WHERE {ID_IS_1}"
            ))?
            .query_row([id.as_bytes()], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))
            .optional()?;
        let Some((n, unsigned, without)) = found else { return Ok(false) };
        if let (true, Some(signature)) = (unsigned, incoming.signed.signature())
            && incoming.signed.clone().verify().is_ok()
        {
            self.conn
                .prepare_cached("UPDATE entries SET sig = ?2 WHERE n = ?1")?
                .execute((n, signature.0))?;
        }
        if let (true, Some(blob)) = (without, &incoming.payload) {
            let stored = rows::entry_by_number(self.conn, &self.community, n)?;
            if stored.is_some_and(|s| s.verified.matches_payload(blob)) {
                self.insert_payload(n, blob)?;
                report.payloads.push(*id);
            } else {
                report.bad_payloads.push(*id);
            }
        }
        Ok(true)
    }

    /// Whether an entry waits already; takes its payload if that is new.
    fn fill_waiting(&mut self, id: &EntryId, incoming: &Incoming) -> Result<bool, StoreError> {
        let found: Option<(i64, bool)> = self
            .conn
            .prepare_cached("SELECT w, payload IS NULL FROM waiting WHERE id = ?1")?
            .query_row([id.as_bytes()], |r| Ok((r.get(0)?, r.get(1)?)))
            .optional()?;
        let Some((w, without)) = found else { return Ok(false) };
        if let (true, Some(blob)) = (without, &incoming.payload)
            && incoming.signed.header().payload_len as usize == blob.len()
            && lanai_crdt::entry::payload_hash(blob) == incoming.signed.header().payload_hash
        {
            self.conn
                .prepare_cached(
                    "UPDATE waiting SET payload = ?2, bytes = bytes + length(?2) WHERE w = ?1",
                )?
                .execute((w, blob))?;
        }
        Ok(true)
    }

    /// Inserts entries of enrolled devices, and of those who become enrolled by them. Gives back
    /// the others.
    fn admit(
        &mut self,
        arrivals: Vec<Arrival>,
        report: &mut IngestReport,
    ) -> Result<Vec<Arrival>, StoreError> {
        let mut outside = arrivals;
        let mut grew = false;
        loop {
            // Roster entries go into the fold before anybody is judged, and those whose authors
            // turn out to be nobody are taken out again.
            let roster: Vec<RosterEntry> =
                outside.iter().filter_map(|a| a.decoded()?.as_ref().ok().cloned()).collect();
            self.grow_roster(roster);
            let enrolled = |a: &Arrival| self.roster.is_enrolled(&a.verified.header().log.device);
            // Mostly all are, and in order.
            let (mut inside, rest): (Vec<_>, Vec<_>) = match outside.iter().all(enrolled) {
                true => (outside, Vec::new()),
                false => outside.into_iter().partition(enrolled),
            };
            outside = rest;
            let strangers: HashSet<EntryId> =
                outside.iter().filter(|a| a.roster.is_some()).map(|a| a.verified.id()).collect();
            self.shrink_roster(&strangers);
            if !inside.is_sorted_by_key(Arrival::place) {
                inside.sort_by_cached_key(Arrival::place);
            }
            let mut came_in = false;
            for arrival in &inside {
                came_in |= matches!(arrival.decoded(), Some(Ok(_)));
                self.take(arrival, report)?;
            }
            self.spent.append(&mut inside);
            grew |= came_in;
            if !came_in {
                break;
            }
            outside.extend(self.leave_waiting()?);
        }
        if grew {
            self.roster_grew()?;
            report.roster_changed = true;
        }
        // Those who came from waiting and may not come in go back.
        Ok(outside)
    }

    fn take(&mut self, arrival: &Arrival, report: &mut IngestReport) -> Result<(), StoreError> {
        let void = arrival.decoded().and_then(|r| r.as_ref().err()).map(String::as_str);
        let inserted = self.insert(&arrival.verified, arrival.payload.as_deref(), void)?;
        report.new.push(inserted.id);
        let log = arrival.verified.header().log;
        if log.device == self.own && self.is_own_log(&log)? {
            report.own_unknown = true;
            self.retire_log(
                "continued",
                "an entry of this store's own log came from elsewhere: another copy of it writes",
            )?;
        }
        Ok(())
    }

    fn is_own_log(&self, log: &LogId) -> Result<bool, StoreError> {
        Ok(rows::get_meta(self.conn, meta::OWN_LOG)?.is_some_and(|n| n == log.number.0))
    }

    // ---- the waiting room ----------------------------------------------------------------------

    /// Takes out everything whose device is enrolled now.
    fn leave_waiting(&mut self) -> Result<Vec<Arrival>, StoreError> {
        let devices: Vec<Vec<u8>> = self
            .conn
            .prepare_cached("SELECT DISTINCT device FROM waiting")?
            .query_map([], |r| r.get(0))?
            .collect::<Result<_, _>>()?;
        let mut out = Vec::new();
        for device in devices {
            let known = DeviceId::from_slice(&device);
            if !known.is_some_and(|d| self.roster.is_enrolled(&d)) {
                continue;
            }
            let mut statement = self.conn.prepare_cached(
                "DELETE FROM waiting WHERE device = ?1 RETURNING header, sig, payload",
            )?;
            let mut found = statement.query([&device])?;
            while let Some(row) = found.next()? {
                let signature = rows::signature(row.get(1)?);
                // It was authentic when it was put there.
                if let Ok(verified) = Verified::from_trusted_storage(row.get(0)?, signature) {
                    out.push(Arrival::new(verified, row.get(2)?, true));
                }
            }
        }
        Ok(out)
    }

    /// After the roster grew by an own entry: takes in who waited for that.
    pub(super) fn let_in_waiting(&mut self) -> Result<(), StoreError> {
        let arrivals = self.leave_waiting()?;
        if !arrivals.is_empty() {
            self.admit(arrivals, &mut IngestReport::default())?;
        }
        Ok(())
    }

    fn keep_waiting(
        &mut self,
        strangers: Vec<Arrival>,
        source: &Source,
        report: &mut IngestReport,
    ) -> Result<(), StoreError> {
        if strangers.is_empty() {
            return Ok(());
        }
        let peer = source.bytes();
        for arrival in strangers {
            let v = &arrival.verified;
            let bytes = v.bytes().len() + arrival.payload.as_ref().map_or(0, Vec::len);
            let added = self
                .conn
                .prepare_cached(
                    "INSERT OR IGNORE INTO waiting (id, device, peer, bytes, header, sig, payload)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                )?
                .execute((
                    v.id().as_bytes(),
                    v.header().log.device.as_bytes(),
                    peer,
                    i64::try_from(bytes).unwrap_or(i64::MAX),
                    v.bytes(),
                    v.signature().map(|s| s.0),
                    arrival.payload.as_deref(),
                ))?;
            if !arrival.from_waiting {
                report.waiting += added;
            }
        }
        report.dropped += self.drop_oldest(Some(peer), PEER_SHARE)?;
        report.dropped += self.drop_oldest(None, 1)?;
        Ok(())
    }

    /// Drops the oldest waiting entries, of one peer or of all, beyond the limits divided by `share`.
    fn drop_oldest(&self, peer: Option<&[u8]>, share: usize) -> Result<usize, StoreError> {
        let (entries, bytes) = (MAX_WAITING_ENTRIES / share, MAX_WAITING_BYTES / share);
        // The newest that fit stay: walk from the newest until a limit is met.
        let mut statement = self.conn.prepare_cached(
            "SELECT w, bytes FROM waiting WHERE ?1 IS NULL OR peer = ?1 ORDER BY w DESC",
        )?;
        let mut found = statement.query([peer])?;
        let (mut count, mut total) = (0usize, 0usize);
        let mut last_out = None;
        while let Some(row) = found.next()? {
            count += 1;
            total = total.saturating_add(usize::try_from(row.get::<_, i64>(1)?).unwrap_or(0));
            if count > entries || total > bytes {
                last_out = Some(row.get::<_, i64>(0)?);
                break;
            }
        }
        let Some(last_out) = last_out else { return Ok(0) };
        Ok(self
            .conn
            .prepare_cached("DELETE FROM waiting WHERE (?1 IS NULL OR peer = ?1) AND w <= ?2")?
            .execute((peer, last_out))?)
    }
}

impl Vouching for Ctx<'_> {
    fn stored_successor(
        &mut self,
        id: &EntryId,
        header: &Header,
    ) -> Result<Option<Verified>, StoreError> {
        match self.is_awaited(id)? {
            true => authentic::stored_successor(self.conn, &self.community, id, header),
            false => Ok(None),
        }
    }

    fn vouched_by_waiting(&mut self, signed: &Signed) -> Result<Option<Verified>, StoreError> {
        // In a header, the previous entry begins at byte 82 (SQLite counts from one).
        let mut waiting = self
            .conn
            .prepare_cached("SELECT header, sig FROM waiting WHERE substr(header, 83, 32) = ?1")?;
        let mut found = waiting.query([signed.id().as_bytes()])?;
        while let Some(row) = found.next()? {
            // It was authentic when it was put there.
            let next = Verified::from_trusted_storage(row.get(0)?, rows::signature(row.get(1)?));
            let vouched = next.ok().and_then(|n| signed.clone().verify_by_next(n.header()).ok());
            if vouched.is_some() {
                return Ok(vouched);
            }
        }
        Ok(None)
    }
}

/// Two copies of one header in a batch: keeps a signature and a payload, preferring those that fit.
fn merge(twin: &mut Incoming, other: Incoming) {
    let fits = |i: &Incoming| {
        i.payload.as_ref().is_some_and(|blob| {
            lanai_crdt::entry::payload_hash(blob) == i.signed.header().payload_hash
        })
    };
    if !fits(twin) && fits(&other) {
        twin.payload = other.payload.clone();
    }
    let signed_well = |s: &Signed| s.clone().verify().is_ok();
    if other.signed.signature() != twin.signed.signature()
        && !signed_well(&twin.signed)
        && signed_well(&other.signed)
    {
        twin.signed = other.signed;
    }
}

impl Store {
    /// Takes in a batch of entries, at most some ten thousand, in one transaction; what can be found out about a
    /// large one is found out before.
    ///
    /// # Errors
    ///
    /// When the store cannot be written. What is wrong with an entry is in the report.
    pub fn ingest(
        &self,
        batch: Vec<Incoming>,
        source: &Source,
        now_ms: u64,
    ) -> Result<IngestReport, StoreError> {
        let community = &self.inner.community;
        let batch = self.inner.connections.read(|conn| Batch::look(batch, conn, community))?;
        self.inner.write(Durability::Normal, now_ms, |ctx| ctx.ingest(batch, source))
    }

    /// Makes the store of a newcomer from the roster entries that its admitter sent.
    ///
    /// # Errors
    ///
    /// [`StoreError::Exists`] when there is one already; [`StoreError::NotMember`] when the entries
    /// do not make `device` a member's, and then no store is left behind.
    pub fn create_joined(
        place: &Place,
        community: CommunityId,
        device: DeviceId,
        roster: Vec<Incoming>,
        now_ms: u64,
        rng: &mut impl CryptoRng,
    ) -> Result<(Store, IngestReport), StoreError> {
        let store = Store::prepare(place, community, device)?;
        let mut token = [0; TOKEN_BYTES];
        rng.fill_bytes(&mut token);
        let made = store.inner.write(Durability::Full, now_ms, |ctx| {
            ctx.name_store(&token)?;
            let report = ctx.ingest(Batch::Raw(roster), &Source::File)?;
            if ctx.roster.roster().standing(&device).is_none() {
                return Err(StoreError::NotMember);
            }
            Ok(report)
        });
        match made {
            Ok(report) => Ok((store, report)),
            Err(e) => {
                drop(store);
                super::backup::remove_files(&place.db);
                Err(e)
            }
        }
    }
}
