//! Moments at which this store and a peer's held the same ([`crate::sync::Base`]).
//!
//! Entries are numbered as they arrive, so one number says what was here then. A base holds as long as no entry
//! is taken away: a repair does that, and changes the generation, by which older bases are told.
//!
//! Kept are the newest base of each peer and the one that the peer remembered as well when that was made: if
//! only one of the two could note it, they still have that in common.

use lanai_crdt::id::DeviceId;

use super::rows::{self, meta};
use super::sync_reads::{SetSummary, set_summary};
use super::{Durability, Store, StoreError};
use crate::sync::{Base, BaseToken, Equal};

/// upto: `n` up to which this store held the same; entries: how many that were; runs: sessions since whole sets
/// were compared.
pub(super) const MIGRATION: &str = r"
CREATE TABLE bases (
    device BLOB NOT NULL, token BLOB NOT NULL, upto INTEGER NOT NULL, entries INTEGER NOT NULL,
    generation INTEGER NOT NULL, runs INTEGER NOT NULL, made INTEGER NOT NULL,
    PRIMARY KEY (device, token)
) WITHOUT ROWID;
";

/// So many sessions with a peer by news, one after the other, and whole sets are compared again.
pub const MAX_NEWS_RUNS: u32 = 64;

/// What a session with a peer starts from, all at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncState {
    /// What is held.
    pub summary: SetSummary,
    /// The last arrival that is part of it.
    pub arrived: i64,
    /// As in [`super::SetItems`].
    pub generation: u64,
    /// What is remembered of the peer, the newest first.
    pub bases: Vec<Base>,
}

impl Store {
    /// What a session with `device` starts from.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn sync_state(&self, device: &DeviceId) -> Result<SyncState, StoreError> {
        self.inner.connections.read(|conn| {
            let summary = set_summary(conn, &self.inner.rosters)?;
            let newest: Option<i64> =
                conn.prepare_cached("SELECT max(n) FROM entries")?.query_row([], |r| r.get(0))?;
            let generation = rows::get_u64(conn, meta::ROSTER_GENERATION)?;
            let bases = conn
                .prepare_cached(
                    "SELECT token, entries, upto, runs FROM bases
                     WHERE device = ?1 AND generation = ?2 AND runs < ?3
                     ORDER BY made DESC, upto DESC",
                )?
                .query_map((device.as_bytes(), generation.cast_signed(), MAX_NEWS_RUNS), |r| {
                    Ok(Base {
                        token: BaseToken(r.get(0)?),
                        entries: r.get::<_, i64>(1)?.unsigned_abs(),
                        upto: r.get(2)?,
                        runs: r.get(3)?,
                    })
                })?
                .collect::<Result<_, _>>()?;
            Ok(SyncState { summary, arrived: newest.unwrap_or(0), generation, bases })
        })
    }

    /// Notes that `device` held the same at the end of a session that began with `arrived` and `generation`
    /// ([`SyncState`]). Gives whether it could: not if something else came here during the session.
    ///
    /// # Errors
    ///
    /// When the store cannot be written.
    pub fn note_equal(
        &self,
        device: &DeviceId,
        equal: &Equal,
        arrived: i64,
        generation: u64,
    ) -> Result<bool, StoreError> {
        let kept = equal.kept.map_or([0; 16], |token| token.0);
        let generation = generation.cast_signed();
        let says_nothing_new = self.inner.connections.read(|conn| {
            Ok(conn
                .prepare_cached(
                    "SELECT 1 FROM bases WHERE device = ?1 AND token = ?2 AND generation = ?3
                     AND upto = ?4 AND runs <= ?5",
                )?
                .exists((device.as_bytes(), kept, generation, arrived, equal.runs))?)
        })?;
        if says_nothing_new && equal.received == 0 {
            return Ok(true);
        }
        self.inner.write(Durability::Normal, 0, |ctx| {
            let upto = match equal.received {
                // What came meanwhile came after it.
                0 => arrived,
                received => {
                    let mut since = ctx
                        .conn
                        .prepare_cached("SELECT count(*), max(n) FROM entries WHERE n > ?1")?;
                    let (count, newest): (i64, Option<i64>) =
                        since.query_row([arrived], |r| Ok((r.get(0)?, r.get(1)?)))?;
                    match newest {
                        Some(newest) if count.unsigned_abs() == received => newest,
                        _ => return Ok(false),
                    }
                }
            };
            // A peer that is put back to an older copy may say anything of before; only these two count.
            ctx.conn
                .prepare_cached("DELETE FROM bases WHERE device = ?1 AND token <> ?2")?
                .execute((device.as_bytes(), kept))?;
            let made: i64 = ctx
                .conn
                .prepare_cached("SELECT coalesce(max(made), 0) + 1 FROM bases WHERE device = ?1")?
                .query_row([device.as_bytes()], |r| r.get(0))?;
            let entries = i64::try_from(equal.entries).unwrap_or(i64::MAX);
            ctx.conn
                .prepare_cached(
                    "INSERT OR REPLACE INTO bases
                     (device, token, upto, entries, generation, runs, made)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                )?
                .execute((
                    device.as_bytes(),
                    equal.token.0,
                    upto,
                    entries,
                    generation,
                    equal.runs,
                    made,
                ))?;
            Ok(true)
        })
    }
}
