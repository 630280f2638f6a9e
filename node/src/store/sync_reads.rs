//! What synchronisation reads: the reconciled set, digests, entries by id.
//!
//! The set is what `entries` holds. A holder keeps its own copy of the ids in memory and asks for
//! what came since ([`Store::items_since`]; `reconciled` is one); entries are only ever added, but for a
//! repair, after which the generation differs and the holder starts afresh.

use std::collections::HashMap;

use lanai_crdt::entry::Verified;
use lanai_crdt::id::{DeviceId, EntryId, LogId};
use lanai_crdt::roster::Roster;
use rusqlite::{Connection, OptionalExtension as _};

use super::roster_cache::RosterCache;
use super::rows::{
    self, AFTER_ENTRY, ENTRY_COLUMNS, ID_IS_1, entry_by_number, entry_id, read_entry, unordered,
    why,
};
use super::{Store, StoreError};

/// One entry of the reconciled set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SetItem {
    /// The header's time stamp.
    pub time: u64,
    /// Which entry.
    pub id: EntryId,
    /// A number for the author's member, so that a flooder can be made to wait for itself alone.
    pub lane: u32,
    /// A roster entry: sent before all others.
    pub roster: bool,
}

/// A part of the reconciled set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetItems {
    /// Entries in order of arrival.
    pub items: Vec<SetItem>,
    /// Give this to the next [`Store::items_since`].
    pub mark: i64,
    /// Changes when the set was shrunk by a repair: the holder must start again from mark 0.
    pub generation: u64,
}

/// An entry as it is handed on.
#[derive(Debug, Clone)]
pub struct StoredEntry {
    /// Header and, where it is known, the own signature.
    pub verified: Verified,
    /// The payload, where it is here.
    pub payload: Option<Vec<u8>>,
}

/// What two nodes compare first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetSummary {
    /// Hash of the folded roster.
    pub roster: [u8; 32],
    /// Entries in the set.
    pub entries: u64,
    /// Entries that no entry of their own log follows, in no order.
    pub heads: Vec<EntryId>,
    /// Some entry's `prev` is not here.
    pub holes: bool,
    /// Some payload is not here.
    pub wanted_payloads: bool,
}

impl Store {
    /// The whole reconciled set.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn items(&self) -> Result<SetItems, StoreError> {
        self.items_since(0)
    }

    /// The part of the reconciled set that arrived after `mark`; 0 gives all.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn items_since(&self, mark: i64) -> Result<SetItems, StoreError> {
        self.items_between(mark, i64::MAX, usize::MAX)
    }

    /// The part of the reconciled set that arrived after `mark` and up to `upto`; of more than `limit` entries
    /// the first.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn items_between(
        &self,
        mark: i64,
        upto: i64,
        limit: usize,
    ) -> Result<SetItems, StoreError> {
        self.inner.connections.read(|conn| {
            let lanes = lanes(conn, self.inner.rosters.get(conn)?.roster())?;
            let generation = rows::get_u64(conn, rows::meta::ROSTER_GENERATION)?;
            let mut statement = conn.prepare_cached(
                "SELECT n, time, id, l, class FROM entries WHERE n > ?1 AND n <= ?2
                 ORDER BY n LIMIT ?3",
            )?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let mut found = statement.query([mark, upto, limit])?;
            let mut out = SetItems { items: Vec::new(), mark, generation };
            while let Some(row) = found.next()? {
                out.mark = row.get(0)?;
                out.items.push(SetItem {
                    time: unordered(row.get(1)?),
                    id: entry_id(row.get_ref(2)?.as_blob()?),
                    lane: lanes.get(&row.get(3)?).copied().unwrap_or(0),
                    roster: row.get::<_, i64>(4)? == 0,
                });
            }
            Ok(out)
        })
    }

    /// What to compare with a peer.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn set_summary(&self) -> Result<SetSummary, StoreError> {
        self.inner.connections.read(|conn| set_summary(conn, &self.inner.rosters))
    }

    /// The entries with these ids and their payloads, from the front of `ids`, until `max_bytes`
    /// are reached: at least one id is looked up. Gives the entries that are here, in the order of
    /// (log, seq), and how many ids were looked up.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn load(
        &self,
        ids: &[EntryId],
        max_bytes: usize,
    ) -> Result<(Vec<StoredEntry>, usize), StoreError> {
        self.inner.connections.read(|conn| {
            let mut out: Vec<StoredEntry> = Vec::new();
            let (mut bytes, mut taken) = (0usize, 0usize);
            for id in ids {
                if taken > 0 && bytes >= max_bytes {
                    break;
                }
                taken += 1;
                let found = rows::whole_by_id(conn, &self.inner.community, id)?;
                if let Some((stored, payload)) = found {
                    bytes += stored.verified.bytes().len() + payload.as_ref().map_or(0, Vec::len);
                    out.push(StoredEntry { verified: stored.verified, payload });
                }
            }
            out.sort_by_cached_key(|e| {
                let header = e.verified.header();
                (header.log, header.seq, e.verified.id())
            });
            out.dedup_by_key(|e| e.verified.id());
            Ok((out, taken))
        })
    }

    /// Hands the entries with these ids to `each`, in the order of (log, seq), as long as it
    /// returns true. Ids that are not here are left out. Payloads are read where `payloads` says so.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn for_each_entry(
        &self,
        ids: &[EntryId],
        payloads: bool,
        mut each: impl FnMut(StoredEntry) -> bool,
    ) -> Result<(), StoreError> {
        self.inner.connections.read(|conn| {
            let mut places = Vec::with_capacity(ids.len());
            {
                let mut place = conn.prepare_cached(&format!(
                    "SELECT e.l, e.seq, e.n FROM entries e WHERE {ID_IS_1}"
                ))?;
                for id in ids {
                    let found: Option<(i64, i64, i64)> = place
                        .query_row([id.as_bytes()], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))
                        .optional()?;
                    places.extend(found);
                }
            }
            places.sort_unstable();
            places.dedup();
            for (_, _, n) in places {
                let Some(stored) = entry_by_number(conn, &self.inner.community, n)? else {
                    continue;
                };
                let payload = if payloads { rows::payload(conn, n)? } else { None };
                if !each(StoredEntry { verified: stored.verified, payload }) {
                    break;
                }
            }
            Ok(())
        })
    }

    /// The entries with these ids, in the order of (log, seq).
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn entries(&self, ids: &[EntryId]) -> Result<Vec<StoredEntry>, StoreError> {
        let mut out = Vec::with_capacity(ids.len());
        self.for_each_entry(ids, true, |entry| {
            out.push(entry);
            true
        })?;
        Ok(out)
    }

    /// Which of these ids are not here.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn unknown(&self, ids: &[EntryId]) -> Result<Vec<EntryId>, StoreError> {
        self.inner.connections.read(|conn| {
            let mut known =
                conn.prepare_cached(&format!("SELECT 1 FROM entries e WHERE {ID_IS_1}"))?;
            let mut out = Vec::new();
            for id in ids {
                if !known.exists([id.as_bytes()])? {
                    out.push(*id);
                }
            }
            Ok(out)
        })
    }

    /// The payload of an entry.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn payload(&self, id: &EntryId) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.connections.read(|conn| {
            let mut statement = conn.prepare_cached(&format!(
                "SELECT p.blob FROM entries e JOIN payloads p ON p.n = e.n WHERE {ID_IS_1}"
            ))?;
            Ok(statement.query_row([id.as_bytes()], |r| r.get(0)).optional()?)
        })
    }

    /// Entries whose payload is not here, the newest arrivals first.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn missing_payloads(&self, limit: usize) -> Result<Vec<EntryId>, StoreError> {
        self.ids(
            "SELECT e.id FROM missing_payloads m JOIN entries e ON e.n = m.n
             ORDER BY e.time DESC, m.n DESC LIMIT ?1",
            limit,
        )
    }

    /// Ids that stored entries name as `prev` and that are not here.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn holes(&self, limit: usize) -> Result<Vec<EntryId>, StoreError> {
        self.ids("SELECT DISTINCT prev FROM past_waits WHERE why = 0 LIMIT ?1", limit)
    }

    fn ids(&self, sql: &str, limit: usize) -> Result<Vec<EntryId>, StoreError> {
        self.inner.connections.read(|conn| {
            let mut statement = conn.prepare_cached(sql)?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let found = statement.query_map([limit], |r| Ok(entry_id(r.get_ref(0)?.as_blob()?)))?;
            Ok(found.collect::<Result<_, _>>()?)
        })
    }

    /// The entry that follows `id` in its log and is authentic, so that a header that is sent
    /// without a signature can be vouched for. Of two branches, either.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn successor(&self, id: &EntryId) -> Result<Option<StoredEntry>, StoreError> {
        self.inner.connections.read(|conn| {
            let mut statement = conn.prepare_cached(&format!(
                "SELECT {ENTRY_COLUMNS}, p.blob FROM entries o
                 JOIN entries e ON e.l = o.l AND e.seq = o.seq + 1
                 JOIN logs g ON g.l = e.l LEFT JOIN payloads p ON p.n = e.n
                 WHERE substr(o.id, 1, 8) = substr(?1, 1, 8) AND o.id = ?1"
            ))?;
            let mut found = statement.query([id.as_bytes()])?;
            while let Some(row) = found.next()? {
                let Ok(stored) = read_entry(row, &self.inner.community)? else { continue };
                if stored.verified.header().prev == *id {
                    let payload = row.get(AFTER_ENTRY)?;
                    return Ok(Some(StoredEntry { verified: stored.verified, payload }));
                }
            }
            Ok(None)
        })
    }

    /// All roster entries with their payloads, in the order of arrival: what a newcomer is sent.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn roster_entries(&self) -> Result<Vec<StoredEntry>, StoreError> {
        self.inner.connections.read(|conn| {
            let mut statement = conn.prepare_cached(&format!(
                "SELECT {ENTRY_COLUMNS}, p.blob FROM entries e JOIN logs g ON g.l = e.l
                 JOIN payloads p ON p.n = e.n WHERE e.class = 0 ORDER BY e.n"
            ))?;
            let mut found = statement.query([])?;
            let mut out = Vec::new();
            while let Some(row) = found.next()? {
                if let Ok(stored) = read_entry(row, &self.inner.community)? {
                    let payload = row.get(AFTER_ENTRY)?;
                    out.push(StoredEntry { verified: stored.verified, payload });
                }
            }
            Ok(out)
        })
    }

    /// Heads of all logs: log, sequence number, id.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn log_heads(&self) -> Result<Vec<(LogId, u64, EntryId)>, StoreError> {
        self.inner.connections.read(|conn| {
            let mut statement = conn.prepare_cached(&format!(
                "SELECT {ENTRY_COLUMNS} FROM log_heads h JOIN entries e ON e.n = h.n
                 JOIN logs g ON g.l = e.l"
            ))?;
            let mut found = statement.query([])?;
            let mut out = Vec::new();
            while let Some(row) = found.next()? {
                if let Ok(stored) = read_entry(row, &self.inner.community)? {
                    let header = stored.verified.header();
                    out.push((header.log, header.seq, stored.verified.id()));
                }
            }
            Ok(out)
        })
    }
}

pub(super) fn set_summary(
    conn: &Connection,
    rosters: &RosterCache,
) -> Result<SetSummary, StoreError> {
    let roster = rosters.get(conn)?.roster().hash();
    let entries = rows::get_u64(conn, rows::meta::ENTRIES)?;
    let mut statement =
        conn.prepare_cached("SELECT e.id FROM log_heads h JOIN entries e ON e.n = h.n")?;
    let heads = statement
        .query_map([], |r| Ok(entry_id(r.get_ref(0)?.as_blob()?)))?
        .collect::<Result<_, _>>()?;
    let holes = conn
        .prepare_cached("SELECT 1 FROM past_waits WHERE why = ?1 LIMIT 1")?
        .exists([why::HOLE])?;
    let wanted_payloads =
        conn.prepare_cached("SELECT 1 FROM missing_payloads LIMIT 1")?.exists([])?;
    Ok(SetSummary { roster, entries, heads, holes, wanted_payloads })
}

/// Numbers for the members that logs belong to; a device without a member has its own.
pub(super) fn lanes(conn: &Connection, roster: &Roster) -> Result<HashMap<i64, u32>, StoreError> {
    let mut statement = conn.prepare_cached("SELECT l, device FROM logs ORDER BY l")?;
    let mut found = statement.query([])?;
    let mut numbers: HashMap<[u8; 32], u32> = HashMap::new();
    let mut lanes = HashMap::new();
    while let Some(row) = found.next()? {
        let device = DeviceId::from_slice(row.get_ref(1)?.as_blob()?).unwrap_or(DeviceId::ZERO);
        let member = roster.standing(&device).map(|s| *s.member.as_bytes());
        let next = u32::try_from(numbers.len()).unwrap_or(u32::MAX).saturating_add(1);
        let lane = *numbers.entry(member.unwrap_or(*device.as_bytes())).or_insert(next);
        lanes.insert(row.get(0)?, lane);
    }
    Ok(lanes)
}
