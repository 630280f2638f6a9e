//! Fronts: how far this node holds each log, and how far others said that they do.
//!
//! What others said is kept as they said it (`fronts`), for what is written to a bundle for them later. It
//! costs nothing to believe too much of it but that something is left out of a bundle; a session always
//! compares whole sets.

use lanai_crdt::id::{DeviceId, EntryId, LogId, LogNumber};
use rusqlite::OptionalExtension as _;

use super::rows::{entry_id, placed, unordered, unplaced};
use super::{Durability, Store, StoreError};
use crate::sync::{Front, IdPrefix, LogFront, id_prefix};

/// fronts: what a device said it held, the newest; body: its frames one after the other, each behind its
/// length in four bytes.
pub(super) const MIGRATION: &str = r"
CREATE TABLE fronts (
    device BLOB PRIMARY KEY, made INTEGER NOT NULL, body BLOB NOT NULL
) WITHOUT ROWID;
";

/// Bytes that an entry takes in frames beside its header and payload, at most: a signature and lengths.
const FRAMED_BYTES: u64 = 80;

/// An entry that a front does not cover.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uncovered {
    /// Which.
    pub id: EntryId,
    /// Its number of arrival here.
    pub arrival: i64,
    /// Its header's time stamp.
    pub time: u64,
    /// Bytes that it takes in frames, at most.
    pub bytes: u64,
    /// A roster entry.
    pub roster: bool,
}

/// Entries of one log that a front says another holds, and that are not here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lacking {
    /// Whose log.
    pub log: LogId,
    /// The places that are not here, in ascending order, first and last of each run.
    pub places: Vec<(u64, u64)>,
}

impl Lacking {
    /// How many entries that are.
    pub fn count(&self) -> u64 {
        let runs = self.places.iter().map(|(first, last)| (last - first).saturating_add(1));
        runs.fold(0, u64::saturating_add)
    }
}

/// A log as it is read, place by place.
struct Reading {
    l: i64,
    log: LogId,
    ids: Vec<IdPrefix>,
    /// Nothing more of it counts: a place is missing, twice there, or without its payload.
    ended: bool,
}

impl Store {
    /// How far this node holds each log.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn front(&self) -> Result<Front, StoreError> {
        self.inner.connections.read(|conn| {
            let mut statement = conn.prepare_cached(
                "SELECT e.l, g.device, g.number, e.seq, e.id, m.n IS NOT NULL FROM entries e
                 JOIN logs g ON g.l = e.l LEFT JOIN missing_payloads m ON m.n = e.n
                 WHERE e.seq >= 0 ORDER BY e.l, e.seq",
            )?;
            let mut found = statement.query([])?;
            let mut front = Front::new();
            let mut reading: Option<Reading> = None;
            while let Some(row) = found.next()? {
                let l: i64 = row.get(0)?;
                if reading.as_ref().is_none_or(|r| r.l != l) {
                    finish(&mut front, reading.take());
                    let device = DeviceId::from_slice(row.get_ref(1)?.as_blob()?);
                    let number: [u8; 8] = row.get(2)?;
                    let Some(device) = device else { continue };
                    let log = LogId { device, number: LogNumber(number) };
                    reading = Some(Reading { l, log, ids: Vec::new(), ended: false });
                }
                let Some(reading) = &mut reading else { continue };
                if reading.ended {
                    continue;
                }
                let seq = unplaced(row.get(3)?);
                let (next, missing) = (reading.ids.len() as u64, row.get::<_, bool>(5)?);
                if seq + 1 == next {
                    // Two for the last place: which of them another holds, one cannot say shortly.
                    reading.ids.pop();
                    reading.ended = true;
                } else if seq != next || missing {
                    reading.ended = true;
                } else {
                    reading.ids.push(id_prefix(&entry_id(row.get_ref(4)?.as_blob()?)));
                }
            }
            finish(&mut front, reading);
            Ok(front)
        })
    }

    /// The entries that `front` does not cover, in no order.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn uncovered(&self, front: &Front) -> Result<Vec<Uncovered>, StoreError> {
        self.inner.connections.read(|conn| {
            let mut logs = conn.prepare_cached(
                "SELECT g.l, g.device, g.number,
                 (SELECT min(seq) FROM (SELECT seq FROM entries WHERE l = g.l AND seq >= 0
                  AND EXISTS (SELECT 1 FROM forked_logs f WHERE f.l = g.l)
                  GROUP BY seq HAVING count(*) > 1))
                 FROM logs g",
            )?;
            let mut at = conn.prepare_cached("SELECT id FROM entries WHERE l = ?1 AND seq = ?2")?;
            let mut rest = conn.prepare_cached(
                "SELECT e.id, e.time, e.class, length(e.header) + 32 * (e.prev IS NOT NULL)
                 + 32 * (e.thread IS NOT NULL) + 34, coalesce(length(b.blob), 0), e.n
                 FROM entries e LEFT JOIN payloads b ON b.n = e.n WHERE e.l = ?1
                 AND (e.seq >= ?2 OR e.seq < 0)",
            )?;
            let mut found = logs.query([])?;
            let mut out = Vec::new();
            while let Some(row) = found.next()? {
                let l: i64 = row.get(0)?;
                let Some(device) = DeviceId::from_slice(row.get_ref(1)?.as_blob()?) else {
                    continue;
                };
                let log = LogId { device, number: LogNumber(row.get(2)?) };
                let fork = row.get::<_, Option<i64>>(3)?.map(unplaced);
                let mut from = 0;
                for (place, prefix) in front.get(&log).into_iter().flat_map(LogFront::points) {
                    if fork.is_some_and(|f| place >= f) {
                        continue;
                    }
                    let here: Option<Vec<u8>> =
                        at.query_row((l, placed(place)), |r| r.get(0)).optional()?;
                    if here.is_some_and(|id| id.starts_with(prefix)) {
                        from = place.saturating_add(1);
                        break;
                    }
                }
                let mut entries = rest.query((l, placed(from)))?;
                while let Some(row) = entries.next()? {
                    let stored = row.get::<_, i64>(3)?.unsigned_abs();
                    let blob = row.get::<_, i64>(4)?.unsigned_abs();
                    out.push(Uncovered {
                        id: entry_id(row.get_ref(0)?.as_blob()?),
                        arrival: row.get(5)?,
                        time: unordered(row.get(1)?),
                        bytes: stored + blob + FRAMED_BYTES,
                        roster: row.get::<_, i64>(2)? == 0,
                    });
                }
            }
            Ok(out)
        })
    }

    /// The places of logs that `front` covers and of which no entry is here, in the order of logs.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn lacking(&self, front: &Front) -> Result<Vec<Lacking>, StoreError> {
        self.inner.connections.read(|conn| {
            let mut held = conn.prepare_cached(
                "SELECT DISTINCT e.seq FROM entries e JOIN logs g ON g.l = e.l
                 WHERE g.device = ?1 AND g.number = ?2 AND e.seq BETWEEN 0 AND ?3 ORDER BY e.seq",
            )?;
            let mut out = Vec::new();
            for (log, last) in front.ends() {
                // No log that is written one by one gets beyond it.
                let searched = last.min(i64::MAX.unsigned_abs());
                let mut found =
                    held.query((log.device.as_bytes(), &log.number.0[..], placed(searched)))?;
                // The first place that may be lacking; nothing behind the greatest number there is.
                let mut from = Some(0);
                let mut places = Vec::new();
                while let Some(row) = found.next()? {
                    let seq = unplaced(row.get(0)?);
                    if let Some(from) = from.filter(|from| *from < seq) {
                        places.push((from, seq - 1));
                    }
                    from = seq.checked_add(1);
                }
                if let Some(from) = from.filter(|from| *from <= last) {
                    places.push((from, last));
                }
                if !places.is_empty() {
                    out.push(Lacking { log, places });
                }
            }
            out.sort_unstable_by_key(|l| l.log);
            Ok(out)
        })
    }

    /// Remembers what a device said it held, if nothing newer is known, and up to which arrival here
    /// that is all ([`Store::held_upto`]).
    ///
    /// # Errors
    ///
    /// When the store cannot be written.
    pub fn note_front(
        &self,
        device: &DeviceId,
        made_ms: u64,
        front: &Front,
    ) -> Result<(), StoreError> {
        let newest = self.newest_arrival()?;
        let first = self.uncovered(front)?.iter().map(|u| u.arrival).min();
        self.note_held(device, first.map_or(newest, |n| newest.min(n - 1)), made_ms)?;
        let mut body = Vec::new();
        for frame in front.encode() {
            let len = u32::try_from(frame.len()).unwrap_or(u32::MAX);
            body.extend_from_slice(&len.to_be_bytes());
            body.extend_from_slice(&frame);
        }
        let made = i64::try_from(made_ms).unwrap_or(i64::MAX);
        self.inner.write(Durability::Normal, 0, |ctx| {
            ctx.conn
                .prepare_cached(
                    "INSERT INTO fronts (device, made, body) VALUES (?1, ?2, ?3)
                     ON CONFLICT (device) DO UPDATE SET made = excluded.made, body = excluded.body
                     WHERE excluded.made >= fronts.made",
                )?
                .execute((device.as_bytes(), made, body))?;
            Ok(())
        })
    }

    /// What a device said it held, where it said anything.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn front_of(&self, device: &DeviceId) -> Result<Option<Front>, StoreError> {
        self.inner.connections.read(|conn| {
            let body: Option<Vec<u8>> = conn
                .prepare_cached("SELECT body FROM fronts WHERE device = ?1")?
                .query_row([device.as_bytes()], |r| r.get(0))
                .optional()?;
            let Some(body) = body else { return Ok(None) };
            let mut front = Front::new();
            let mut rest = &body[..];
            while let Some((len, after)) = rest.split_first_chunk::<4>() {
                let len = usize::try_from(u32::from_be_bytes(*len)).unwrap_or(usize::MAX);
                let Some((frame, after)) = after.split_at_checked(len) else { break };
                if front.add_body(frame).is_err() {
                    break;
                }
                rest = after;
            }
            Ok(Some(front))
        })
    }
}

fn finish(front: &mut Front, reading: Option<Reading>) {
    if let Some(Reading { log, ids, .. }) = reading
        && let Some(held) = LogFront::new(&ids)
    {
        front.insert(log, held);
    }
}
