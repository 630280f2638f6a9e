//! Forks: two entries with one place in a log.
//!
//! The entries are all the proof there is to have: both bear the device's signature over the log and
//! the place, both are kept and exchanged like any other, and so every member comes to see the fork
//! without being told. A home that was put back to an old copy forks once and goes on in a new log by
//! itself; whoever says two things to two halves forks again and again.

use std::collections::BTreeMap;

use lanai_crdt::id::{EntryId, LogId, MemberId};

use super::rows::{ENTRY_COLUMNS, read_entry};
use super::{Store, StoreError};

/// A log that has several entries in some place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fork {
    /// Which log.
    pub log: LogId,
    /// Whose; `None` if the device is nobody's any more.
    pub member: Option<MemberId>,
    /// The first such place.
    pub seq: u64,
    /// The entries in it, ascending by id, each with the Unix milliseconds that it bears.
    pub branches: Vec<(EntryId, u64)>,
}

impl Store {
    /// All logs that are forked here, by log.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn forks(&self) -> Result<Vec<Fork>, StoreError> {
        let roster = self.roster()?;
        self.inner.connections.read(|conn| {
            let mut statement = conn.prepare_cached(&format!(
                "WITH first (l, seq) AS (SELECT l, min(seq) FROM (
                     SELECT e.l, e.seq FROM forked_logs f CROSS JOIN entries e ON e.l = f.l
                     GROUP BY e.l, e.seq HAVING count(*) > 1) GROUP BY l)
                 SELECT {ENTRY_COLUMNS} FROM first CROSS JOIN entries e ON e.l = first.l AND e.seq = first.seq
                 JOIN logs g ON g.l = e.l ORDER BY e.id"
            ))?;
            let mut rows = statement.query([])?;
            let mut forks: BTreeMap<LogId, Fork> = BTreeMap::new();
            while let Some(row) = rows.next()? {
                let Ok(stored) = read_entry(row, &self.inner.community)? else { continue };
                let header = stored.verified.header();
                let (log, seq) = (header.log, header.seq);
                let fork = forks.entry(log).or_insert_with(|| {
                    let member = roster.standing(&log.device).map(|s| s.member);
                    Fork { log, member, seq, branches: Vec::new() }
                });
                fork.branches.push((stored.verified.id(), header.time.millis()));
            }
            Ok(forks.into_values().collect())
        })
    }
}
