//! The roster as this store knows it, folded once and kept until a roster entry arrives.
//!
//! The cache is named by the greatest number of a class 0 entry: such entries are only ever added,
//! so another process's addition shows as a greater number. (A repair may take damaged ones away;
//! it changes a generation number that is part of the name.)

use std::collections::HashSet;
use std::sync::{Arc, PoisonError, RwLock};

use lanai_crdt::entry::Verified;
use lanai_crdt::id::{CommunityId, DeviceId, EntryId};
use lanai_crdt::payload::Body;
use lanai_crdt::roster::{Roster, RosterEntry, Verdict};
use rusqlite::Connection;

use super::StoreError;
use super::rows::{self, AFTER_ENTRY, ENTRY_COLUMNS, get_u64, meta, read_entry, state};

/// Opens a class 0 entry whose payload matches its header. The error is the reason why it is void.
pub(super) fn open_roster_entry(verified: &Verified, blob: &[u8]) -> Result<RosterEntry, String> {
    RosterEntry::open(verified, blob).map_err(|e| e.to_string())
}

/// Which set of roster entries a fold was made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Version {
    generation: u64,
    newest: i64,
}

/// Roster entries and their fold.
#[derive(Debug, Clone)]
pub(super) struct RosterState {
    version: Version,
    entries: Vec<RosterEntry>,
    roster: Roster,
    /// Devices whose entries belong to the reconciled set.
    enrolled: HashSet<DeviceId>,
    /// Entries that are stored with the mark that their join record is good.
    marked: HashSet<EntryId>,
}

impl RosterState {
    fn empty(community: CommunityId, generation: u64) -> RosterState {
        RosterState {
            version: Version { generation, newest: 0 },
            entries: Vec::new(),
            roster: Roster::fold(community, &[]),
            enrolled: HashSet::new(),
            marked: HashSet::new(),
        }
    }

    pub(super) fn roster(&self) -> &Roster {
        &self.roster
    }

    /// Whether entries of `device` belong to the reconciled set: what enrols it is valid in its own
    /// past, which never changes. An admission that came too late for its ticket, or whose author was removed
    /// meanwhile, leaves a *pending* member, whose entries are kept and exchanged, and count for
    /// nothing until a steward says so.
    pub(super) fn is_enrolled(&self, device: &DeviceId) -> bool {
        self.enrolled.contains(device)
    }

    /// This state with more entries. Those that come behind all others are judged alone.
    pub(super) fn with(&self, more: impl IntoIterator<Item = RosterEntry>) -> RosterState {
        let mut state = self.clone();
        let before = state.entries.len();
        state.entries.extend(more);
        state.roster.grow(state.entries.get(before..).unwrap_or_default());
        // Of those before too: what waited may be whole now.
        state.enrolled = enrolled(&state.roster, &state.entries);
        state
    }

    /// This state without some entries, folded anew.
    pub(super) fn without(&self, community: CommunityId, ids: &HashSet<EntryId>) -> RosterState {
        let entries = self.entries.iter().filter(|e| !ids.contains(&e.id)).cloned().collect();
        RosterState::of(community, entries, self.version, self.marked.clone())
    }

    fn of(
        community: CommunityId,
        entries: Vec<RosterEntry>,
        version: Version,
        marked: HashSet<EntryId>,
    ) -> RosterState {
        let roster = Roster::fold(community, &entries);
        let enrolled = enrolled(&roster, &entries);
        RosterState { version, entries, roster, enrolled, marked }
    }

    /// Entries whose join record was found good and that do not bear that mark in the store yet;
    /// from now on they count as marked.
    pub(super) fn take_checked(&mut self) -> Vec<EntryId> {
        let good = self.entries.iter().filter(|e| e.join_record_is_good()).map(|e| e.id);
        let new: Vec<EntryId> = good.filter(|id| !self.marked.contains(id)).collect();
        self.marked.extend(&new);
        new
    }
}

fn enrolled(roster: &Roster, entries: &[RosterEntry]) -> HashSet<DeviceId> {
    entries.iter().flat_map(|e| enrolled_by(roster, e)).collect()
}

/// The devices that an entry enrols, if it is valid in its own past or leaves a pending newcomer.
fn enrolled_by(roster: &Roster, entry: &RosterEntry) -> Vec<DeviceId> {
    let is_pending = || {
        let verdict = roster.verdict(&entry.id);
        matches!(verdict, Some(Verdict::Unsupported(reason)) if reason.is_pending())
    };
    if !roster.is_sound(&entry.id) && !is_pending() {
        return Vec::new();
    }
    match &entry.body {
        Body::Genesis(genesis) => {
            let records = genesis.founder_records().unwrap_or_default();
            records.iter().map(|r| r.record.device).collect()
        }
        Body::Admit(admit) => admit.signed_record().iter().map(|r| r.record.device).collect(),
        Body::AddDevice(add) => add.signed_record().iter().map(|r| r.statement.device).collect(),
        Body::Readmit(back) => back.signed_record().iter().map(|r| r.statement.device).collect(),
        _ => Vec::new(),
    }
}

/// The newest roster state of this process.
#[derive(Debug)]
pub(super) struct RosterCache {
    community: CommunityId,
    current: RwLock<Arc<RosterState>>,
}

impl RosterCache {
    pub(super) fn new(community: CommunityId) -> RosterCache {
        let empty = RosterState::empty(community, 0);
        RosterCache { community, current: RwLock::new(Arc::new(empty)) }
    }

    /// The roster of the store as `conn` sees it.
    pub(super) fn get(&self, conn: &Connection) -> Result<Arc<RosterState>, StoreError> {
        let version = version(conn)?;
        let cached = self.current.read().unwrap_or_else(PoisonError::into_inner).clone();
        if cached.version == version {
            return Ok(cached);
        }
        let newer = self.load(conn, &cached, version)?;
        Ok(self.keep(newer))
    }

    /// Makes a state that was committed the current one.
    pub(super) fn keep(&self, state: RosterState) -> Arc<RosterState> {
        let state = Arc::new(state);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = state.clone();
        state
    }

    fn load(
        &self,
        conn: &Connection,
        cached: &RosterState,
        version: Version,
    ) -> Result<RosterState, StoreError> {
        let same = cached.version.generation == version.generation
            && cached.version.newest <= version.newest;
        let mut entries = Vec::new();
        let mut marked = if same { cached.marked.clone() } else { HashSet::new() };
        let after = if same { cached.version.newest } else { 0 };
        let mut statement = conn.prepare_cached(&format!(
            "SELECT {ENTRY_COLUMNS}, p.blob FROM entries e JOIN logs g ON g.l = e.l
             JOIN payloads p ON p.n = e.n WHERE e.class = 0 AND e.n > ?1 ORDER BY e.n"
        ))?;
        let mut found = statement.query([after])?;
        while let Some(row) = found.next()? {
            let Ok(stored) = read_entry(row, &self.community)? else { continue };
            let blob = row.get_ref(AFTER_ENTRY)?.as_blob().map_err(rusqlite::Error::from)?;
            // Void ones fail again, and are no part of the roster.
            let Ok(entry) = open_roster_entry(&stored.verified, blob) else { continue };
            if stored.state == state::CHECKED {
                marked.insert(entry.id);
                entries.push(entry.trust_join_record());
            } else {
                entries.push(entry);
            }
        }
        if same && !cached.entries.is_empty() {
            let state = cached.with(entries);
            return Ok(RosterState { version, marked, ..state });
        }
        Ok(RosterState::of(self.community, entries, version, marked))
    }
}

impl RosterState {
    /// Takes the version of the store as `conn` sees it, once all entries of this state are in it.
    pub(super) fn stamp(&mut self, conn: &Connection) -> Result<(), StoreError> {
        self.version = version(conn)?;
        Ok(())
    }
}

fn version(conn: &Connection) -> Result<Version, StoreError> {
    let newest = conn
        .prepare_cached("SELECT max(n) FROM entries WHERE class = 0")?
        .query_row([], |r| r.get::<_, Option<i64>>(0))?;
    let generation = get_u64(conn, meta::ROSTER_GENERATION)?;
    Ok(Version { generation, newest: newest.unwrap_or(0) })
}

/// Makes every process fold the roster anew.
pub(super) fn bump_generation(conn: &Connection) -> Result<(), StoreError> {
    let next = get_u64(conn, meta::ROSTER_GENERATION)?.wrapping_add(1);
    rows::set_meta(conn, meta::ROSTER_GENERATION, &next.to_be_bytes())
}
