//! What a store tells of itself: counts, the clock, what arrived, and where imported messages are.

use lanai_crdt::clock::{Hlc, MAX_ADOPTED_SKEW_MS};
use lanai_crdt::id::EntryId;
use lanai_crdt::payload::{Body, History};
use lanai_crdt::thread::origin_key;
use rusqlite::{Connection, OptionalExtension as _, Row};

use super::fold::message_number;
use super::keys::{Keyring, closed_epochs};
use super::pending::todo_count;
use super::rows::{self, entry_id, state};
use super::tallies::Tallies;
use super::{Store, StoreError};

/// How the store is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs)] // each field counts what it says
pub struct Stats {
    pub entries: u64,
    pub logs: u64,
    pub threads: u64,
    pub posts: u64,
    /// Entries not folded yet: views and search lag by so many.
    pub unfolded: u64,
    /// Entries whose payload is not here.
    pub missing_payloads: u64,
    /// Entries whose `prev` is not here.
    pub holes: u64,
    /// Entries without a roster past yet.
    pub waiting_for_past: u64,
    /// Entries of unknown devices.
    pub waiting_for_device: u64,
    /// Entries sealed under a key that is not here yet.
    pub locked: u64,
    /// Threads from before the own admission, where newcomers read no further back.
    pub threads_before: u64,
    /// Entries by devices that were not enrolled in their roster past.
    pub uncounted: u64,
    pub void: u64,
    /// Entries of kinds or versions that this program does not know.
    pub unread: u64,
    /// Bytes of the store file and the log beside it.
    pub bytes: u64,
}

impl Store {
    /// Counts.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn stats(&self) -> Result<Stats, StoreError> {
        let mut stats = self.inner.connections.read(|conn| {
            let count = |sql: &str| -> Result<u64, StoreError> {
                let n: i64 = conn.prepare_cached(sql)?.query_row([], |r| r.get(0))?;
                Ok(n.unsigned_abs())
            };
            let aside = |state: i64| {
                count(&format!(
                    "SELECT count(*) FROM entries WHERE state = {state} AND state BETWEEN 1 AND 5"
                ))
            };
            let tallies = Tallies::load(conn)?;
            let (before, threads_before) = self.before_admission(conn)?;
            Ok(Stats {
                entries: rows::get_u64(conn, rows::meta::ENTRIES)?,
                logs: count("SELECT count(*) FROM logs")?,
                threads: tallies.sum.count(),
                posts: tallies.posts,
                unfolded: todo_count(conn)?,
                missing_payloads: count("SELECT count(*) FROM missing_payloads")?,
                holes: count("SELECT count(DISTINCT prev) FROM past_waits WHERE why = 0")?,
                waiting_for_past: rows::get_u64(conn, rows::meta::WAITING)?,
                waiting_for_device: count("SELECT count(*) FROM waiting")?,
                locked: aside(state::NO_KEY)?.saturating_sub(before),
                threads_before,
                uncounted: aside(state::UNCOUNTED)?,
                void: aside(state::VOID)? + aside(state::BAD_LINK)?,
                unread: aside(state::UNREAD)?,
                bytes: 0,
            })
        })?;
        let path = self.inner.connections.path();
        let mut wal = path.as_os_str().to_owned();
        wal.push("-wal");
        for file in [path, std::path::Path::new(&wal)] {
            stats.bytes += std::fs::metadata(file).map_or(0, |m| m.len());
        }
        Ok(stats)
    }

    /// Entries and threads that were not meant for this member, who was not there yet.
    fn before_admission(&self, conn: &Connection) -> Result<(u64, u64), StoreError> {
        let state = self.inner.rosters.get(conn)?;
        let mut counts = (0, 0);
        if state.roster().history() == History::All {
            return Ok(counts);
        }
        for epoch in closed_epochs(state.roster(), &Keyring::load(conn)?, &self.inner.own) {
            let (entries, threads): (i64, i64) = conn
                .prepare_cached(
                    "SELECT count(*), count(t.t) FROM entries e
                     LEFT JOIN threads t ON t.id = e.id AND e.class = 2
                     WHERE e.state = 1 AND e.epoch = (SELECT k FROM epochs WHERE ref = ?1)",
                )?
                .query_row([epoch.short_ref().0], |r| Ok((r.get(0)?, r.get(1)?)))?;
            counts = (counts.0 + entries.unsigned_abs(), counts.1 + threads.unsigned_abs());
        }
        Ok(counts)
    }

    /// Threads from before the own admission, as [`Stats::threads_before`] has them.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn threads_before(&self) -> Result<u64, StoreError> {
        self.inner.connections.read(|conn| Ok(self.before_admission(conn)?.1))
    }

    /// Whether an imported message is here already: the entry and thread it became.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn find_import(&self, body: &Body) -> Result<Option<(EntryId, EntryId)>, StoreError> {
        let Some(key) = origin_key(body) else { return Ok(None) };
        self.inner.connections.read(|conn| {
            let mut statement = conn.prepare_cached(
                "SELECT e.id, t.id FROM origins o JOIN entries e ON e.n = o.n
                 JOIN threads t ON t.t = o.t WHERE o.fold = ?1 ORDER BY o.n LIMIT 1",
            )?;
            Ok(statement.query_row([key], two_ids).optional()?)
        })
    }

    /// Entries and threads that messages with this id became, the first import first.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn find_message(&self, message_id: &str) -> Result<Vec<(EntryId, EntryId)>, StoreError> {
        self.inner.connections.read(|conn| {
            let mut statement = conn.prepare_cached(
                "SELECT e.id, t.id FROM origins o JOIN entries e ON e.n = o.n
                 JOIN threads t ON t.t = o.t WHERE o.message = ?1 ORDER BY o.n",
            )?;
            let found = statement.query_map([message_number(message_id)], two_ids)?;
            Ok(found.collect::<Result<_, _>>()?)
        })
    }

    /// The latest stamp that the own clock follows.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn clock(&self) -> Result<Hlc, StoreError> {
        self.inner.connections.read(|conn| Ok(Hlc(rows::get_u64(conn, rows::meta::CLOCK)?)))
    }

    /// Entries of other devices that are dated so far ahead of this clock that no clock is set by
    /// them: how many, of how many devices, and by how many milliseconds the farthest.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn dated_ahead(&self, now_ms: u64) -> Result<(u64, u64, u64), StoreError> {
        let own = self.own_device();
        let limit = Hlc::from_millis(now_ms.saturating_add(MAX_ADOPTED_SKEW_MS));
        self.inner.connections.read(|conn| {
            let mut ahead = conn.prepare_cached(
                "SELECT count(*), count(DISTINCT g.device), max(e.time) FROM entries e
                 JOIN logs g ON g.l = e.l WHERE e.time > ?1 AND g.device <> ?2",
            )?;
            Ok(ahead.query_row((rows::ordered(limit.0), own.as_bytes()), |row| {
                let newest = row.get::<_, Option<i64>>(2)?.map(rows::unordered);
                let by = newest.map_or(0, |n| Hlc(n).millis().saturating_sub(now_ms));
                Ok((row.get::<_, i64>(0)?.unsigned_abs(), row.get::<_, i64>(1)?.unsigned_abs(), by))
            })?)
        })
    }

    /// A number that changes whenever anything in the store does, by this process or another: to
    /// be watched by whoever shows or announces what is new.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn newest_arrival(&self) -> Result<i64, StoreError> {
        self.inner.connections.read(|conn| {
            let newest: Option<i64> =
                conn.prepare_cached("SELECT max(n) FROM entries")?.query_row([], |r| r.get(0))?;
            Ok(newest.unwrap_or(0))
        })
    }

    /// Ids of own entries that arrived after `mark`, for a node that announces what a command beside
    /// it wrote.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn own_since(&self, mark: i64) -> Result<Vec<EntryId>, StoreError> {
        self.inner.connections.read(|conn| {
            let mut statement = conn.prepare_cached(
                "SELECT e.id FROM entries e JOIN logs g ON g.l = e.l
                 WHERE e.n > ?1 AND g.device = ?2 ORDER BY e.n",
            )?;
            let found = statement.query_map((mark, self.inner.own.as_bytes()), |r| {
                Ok(entry_id(r.get_ref(0)?.as_blob()?))
            })?;
            Ok(found.collect::<Result<_, _>>()?)
        })
    }
}

fn two_ids(row: &Row<'_>) -> rusqlite::Result<(EntryId, EntryId)> {
    Ok((entry_id(row.get_ref(0)?.as_blob()?), entry_id(row.get_ref(1)?.as_blob()?)))
}
