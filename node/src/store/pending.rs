//! What waits to be folded, in which order it is taken, and what can be done before the writer is needed.
//!
//! There is one writer, and while a community streams in, it is the narrow place. So entries are read and
//! opened on a reading connection first ([`Store::prepare_fold`]), beside whoever writes; the transaction
//! looks again only at what may have changed since: what is judged how, and whether the text is still here.

use std::collections::{BTreeSet, HashMap, HashSet};

use lanai_crdt::entry::Class;
use lanai_crdt::id::EntryId;
use lanai_crdt::payload::Body;
use rusqlite::Connection;

use super::fold::open_body;
use super::keys::Keyring;
use super::rows::{self, N, Stored};
use super::write::Ctx;
use super::{Durability, Store, StoreError};

/// Of so many arrivals the newest are looked for: a few slices, since what streams in comes newest first.
const LOOKED_THROUGH: i64 = 4_000;

/// What [`Store::fold_pending`] did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FoldProgress {
    /// Entries taken from the list.
    pub folded: usize,
    /// Entries that are still on it.
    pub left: u64,
    /// Roots of the threads that may look different now.
    pub threads: Vec<EntryId>,
}

/// Which entries are folded first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FoldFirst {
    /// In the order in which they came.
    Arrived,
    /// What was written last, of the earlier arrivals: what a reader looks at while more is coming.
    Newest,
}

/// An entry that is to be folded, as it was read.
pub(super) struct Prepared {
    pub(super) stored: Stored,
    /// What it says, where that could be opened already.
    pub(super) body: Option<Body>,
    /// It was looked at again in the transaction that folds it.
    still: bool,
}

/// Entries that are to be folded, read and opened.
#[derive(Default)]
pub(crate) struct PreparedFold {
    numbers: Vec<N>,
    entries: HashMap<N, Box<Prepared>>,
}

impl PreparedFold {
    /// The entries by number, to be left out of what is prepared next.
    pub(crate) fn numbers(&self) -> HashSet<i64> {
        self.numbers.iter().copied().collect()
    }
}

/// Some `limit` entries to fold and all others of their threads: then no thread is folded twice when many
/// logs, each with a post in every thread, came one after another.
fn next_todo(
    conn: &Connection,
    limit: usize,
    first: FoldFirst,
    but: &HashSet<N>,
) -> Result<Vec<N>, StoreError> {
    let listed = i64::try_from(limit.saturating_add(but.len())).unwrap_or(i64::MAX);
    let sql = match first {
        FoldFirst::Arrived => "SELECT n, t FROM todo ORDER BY n LIMIT ?1",
        FoldFirst::Newest => {
            "SELECT d.n, d.t FROM (SELECT n, t FROM todo ORDER BY n LIMIT ?2) d
             JOIN entries e ON e.n = d.n ORDER BY e.time DESC, d.n LIMIT ?1"
        }
    };
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = match first {
        FoldFirst::Arrived => statement.query([listed])?,
        FoldFirst::Newest => statement.query([listed, listed.max(LOOKED_THROUGH)])?,
    };
    let mut of_thread = conn.prepare_cached(
        "SELECT x.n FROM thread_entries x JOIN todo d ON d.n = x.n WHERE x.t = ?1",
    )?;
    let mut picked: BTreeSet<N> = BTreeSet::new();
    let mut threads: HashSet<i64> = HashSet::new();
    while let Some(row) = rows.next()? {
        if picked.len() >= limit {
            break;
        }
        let (n, t): (N, Option<i64>) = (row.get(0)?, row.get(1)?);
        if !but.contains(&n) {
            picked.insert(n);
        }
        if let Some(t) = t.filter(|t| threads.insert(*t)) {
            for n in of_thread.query_map([t], |r| r.get(0))? {
                let n = n?;
                if !but.contains(&n) {
                    picked.insert(n);
                }
            }
        }
    }
    Ok(picked.into_iter().collect())
}

/// How many entries and pages wait to be folded.
pub(super) fn todo_count(conn: &Connection) -> Result<u64, StoreError> {
    let count: i64 = conn
        .prepare_cached("SELECT (SELECT count(*) FROM todo) + (SELECT count(*) FROM page_todo)")?
        .query_row([], |r| r.get(0))?;
    Ok(count.unsigned_abs())
}

impl Ctx<'_> {
    /// Takes entries from the list; those that follow one another at once.
    pub(super) fn take_from_todo(&self, entries: &[N]) -> Result<(), StoreError> {
        let mut take = self.conn.prepare_cached("DELETE FROM todo WHERE n BETWEEN ?1 AND ?2")?;
        for run in runs(entries) {
            take.execute(run)?;
        }
        Ok(())
    }

    /// An entry that was not read before.
    pub(super) fn entry_to_fold(&self, n: N) -> Result<Option<Box<Prepared>>, StoreError> {
        let stored = rows::entry_by_number(self.conn, &self.community, n)?;
        Ok(stored.map(|stored| Box::new(Prepared { stored, body: None, still: true })))
    }

    /// Brings what was read before the transaction began in line with how it is now, and leaves out what is not
    /// here any more.
    pub(super) fn as_they_are(
        &self,
        entries: &[N],
        prepared: &mut HashMap<N, Box<Prepared>>,
    ) -> Result<(), StoreError> {
        if prepared.is_empty() {
            return Ok(());
        }
        let mut again = self.conn.prepare_cached(
            "SELECT e.n, e.past, e.judged, e.state, e.id,
                 EXISTS (SELECT 1 FROM payloads p WHERE p.n = e.n)
             FROM entries e WHERE e.n BETWEEN ?1 AND ?2",
        )?;
        for (first, last) in runs(entries) {
            let mut rows = again.query((first, last))?;
            while let Some(row) = rows.next()? {
                let Some(entry) = prepared.get_mut(&row.get(0)?) else { continue };
                let Prepared { stored, body, still } = &mut **entry;
                // A number may be given again.
                *still = row.get_ref(4)?.as_blob().ok() == Some(stored.verified.id().as_bytes());
                (stored.past, stored.judged, stored.state) =
                    (row.get(1)?, row.get(2)?, row.get(3)?);
                if !row.get::<_, bool>(5)? {
                    *body = None;
                }
            }
        }
        prepared.retain(|_, entry| entry.still);
        Ok(())
    }
}

/// The first and the last of each run of numbers that follow one another.
fn runs(numbers: &[N]) -> impl Iterator<Item = (N, N)> {
    let runs = numbers.chunk_by(|a, b| a.checked_add(1) == Some(*b));
    runs.filter_map(|run| run.first().copied().zip(run.last().copied()))
}

impl Store {
    /// Reads and opens some `limit` entries that are to be folded, but those that another call has taken.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub(crate) fn prepare_fold(
        &self,
        limit: usize,
        first: FoldFirst,
        but: &HashSet<i64>,
    ) -> Result<PreparedFold, StoreError> {
        self.inner.connections.read(|conn| {
            let numbers = next_todo(conn, limit, first, but)?;
            if numbers.is_empty() {
                return Ok(PreparedFold::default());
            }
            let keys = Keyring::load(conn)?;
            let mut entries = HashMap::with_capacity(numbers.len());
            for run in runs(&numbers) {
                rows::for_each_whole(conn, &self.inner.community, run, |stored, blob| {
                    if matches!(stored.class(), None | Some(Class::Roster | Class::Weave)) {
                        return;
                    }
                    // What cannot be opened now is tried again, and judged, when it is folded.
                    let body = blob.and_then(|blob| open_body(&keys, &stored, blob).ok());
                    entries.insert(stored.n, Box::new(Prepared { stored, body, still: false }));
                })?;
            }
            Ok(PreparedFold { numbers, entries })
        })
    }

    /// Folds what was prepared, in one transaction.
    ///
    /// # Errors
    ///
    /// When the store cannot be read or written.
    pub(crate) fn fold_prepared(&self, prepared: PreparedFold) -> Result<FoldProgress, StoreError> {
        let PreparedFold { numbers, entries } = prepared;
        if numbers.is_empty() && self.inner.connections.read(|conn| Ok(todo_count(conn)? == 0))? {
            return Ok(FoldProgress::default());
        }
        self.inner.write(Durability::Normal, 0, |ctx| {
            let mut threads = ctx.fold_prepared(&numbers, entries)?;
            if numbers.is_empty() {
                threads.extend(ctx.fold_next_page()?);
            }
            let left = todo_count(ctx.conn)?;
            Ok(FoldProgress { folded: numbers.len(), left, threads })
        })
    }

    /// Folds up to `limit` entries that were not folded yet, the oldest arrivals first. Call it
    /// until `left` is zero; each call is one transaction.
    ///
    /// # Errors
    ///
    /// When the store cannot be read or written.
    pub fn fold_pending(&self, limit: usize) -> Result<FoldProgress, StoreError> {
        self.fold_prepared(self.prepare_fold(limit, FoldFirst::Arrived, &HashSet::new())?)
    }
}
