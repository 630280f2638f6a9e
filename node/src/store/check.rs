//! Looking for damage, repairing what peers can send again, and folding the views anew.

use std::collections::{BTreeMap, HashMap, HashSet};

use lanai_crdt::entry::Verified;
use lanai_crdt::id::EntryId;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension as _};

use super::groups::entries_of_group;
use super::keys::Keyring;
use super::roster_cache::bump_generation;
use super::rows::{
    self, AFTER_ENTRY, ENTRY_COLUMNS, ID_IS_1, N, PREV_ID, entry_id, meta, read_entry,
};
use super::{Durability, Store, StoreError, schema};

/// Something wrong in a store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// SQLite's own check.
    #[error("the file: {0}")]
    File(String),
    /// The bytes of a header no longer give its id.
    #[error("entry {0}: its header was altered")]
    Header(EntryId),
    /// Neither its signature nor a successor vouches for it.
    #[error("entry {0}: nothing vouches for it")]
    NotAuthentic(EntryId),
    /// The payload is not the one that the header commits to.
    #[error("entry {0}: its payload was altered")]
    Payload(EntryId),
    /// A thread's summary differs from its fold.
    #[error("thread {0}: its view differs from its entries")]
    Thread(EntryId),
    /// The index of posts differs from the posts.
    #[error("the index has {found} posts and should have {expected}")]
    Index {
        /// Rows that there are.
        found: u64,
        /// Rows that there should be.
        expected: u64,
    },
    /// What is kept of all threads together differs from the threads.
    #[error("the counts over all threads differ from the threads")]
    Tallies,
}

impl Damage {
    /// Whether folding the views anew mends it.
    pub const fn is_of_views(&self) -> bool {
        matches!(self, Damage::Thread(_) | Damage::Index { .. } | Damage::Tallies)
    }
}

/// What [`Store::check`] found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CheckReport {
    /// Entries looked at.
    pub entries: u64,
    /// Payloads looked at.
    pub payloads: u64,
    /// Threads folded anew for comparison.
    pub threads: u64,
    /// Entries that were not folded yet and so could not be compared.
    pub unfolded: u64,
    /// What is wrong.
    pub damage: Vec<Damage>,
}

impl CheckReport {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.damage.is_empty()
    }
}

/// What [`Store::rebuild`] did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rebuilt {
    /// Entries folded.
    pub entries: u64,
}

impl Store {
    /// Whether SQLite finds its file in order, without looking at what is in it; else what is wrong.
    ///
    /// # Errors
    ///
    /// When the store cannot be read at all.
    pub fn quick_check(&self) -> Result<Option<String>, StoreError> {
        self.inner.connections.read(|conn| {
            let verdict: String = conn.query_row("PRAGMA quick_check(1)", [], |r| r.get(0))?;
            Ok((verdict != "ok").then_some(verdict))
        })
    }

    /// Looks at every byte: SQLite's own check, every header's id, signature or chain, every
    /// payload's hash, and every view against a fresh fold. Changes nothing. `progress` is told how
    /// many entries were looked at.
    ///
    /// # Errors
    ///
    /// When the store cannot be read at all.
    pub fn check(&self, mut progress: impl FnMut(u64)) -> Result<CheckReport, StoreError> {
        self.inner.connections.read(|conn| {
            let mut report = CheckReport::default();
            // A query makes FTS5 notice what other connections wrote since this one was used last; its
            // part of the integrity check does not, and would call the pages that went damaged.
            conn.prepare(r#"SELECT 1 FROM fts WHERE fts MATCH '"a"' LIMIT 1"#)?.exists([])?;
            let mut statement = conn.prepare("PRAGMA integrity_check(100)")?;
            let mut found = statement.query([])?;
            while let Some(row) = found.next()? {
                let line: String = row.get(0)?;
                if line != "ok" {
                    report.damage.push(Damage::File(line));
                }
            }
            self.check_entries(conn, &mut report, &mut progress)?;
            self.check_views(conn, &mut report)?;
            Ok(report)
        })
    }

    /// Entries in the order of their logs, the last first, so that each knows its successor.
    fn check_entries(
        &self,
        conn: &Connection,
        report: &mut CheckReport,
        progress: &mut impl FnMut(u64),
    ) -> Result<(), StoreError> {
        let logs: Vec<i64> = conn
            .prepare("SELECT l FROM logs ORDER BY l")?
            .query_map([], |r| r.get(0))?
            .collect::<Result<_, _>>()?;
        for l in logs {
            // Authentic headers of the log that vouch for what comes next, by the id they vouch for.
            let mut vouching: HashMap<EntryId, Vec<Verified>> = HashMap::new();
            // Places beyond 2^63 are stored as negative numbers.
            for beyond in [true, false] {
                self.check_log(conn, (l, beyond), &mut vouching, report, progress)?;
            }
        }
        progress(report.entries);
        Ok(())
    }

    /// A part of a log, the last entry first.
    fn check_log(
        &self,
        conn: &Connection,
        part: (i64, bool),
        vouching: &mut HashMap<EntryId, Vec<Verified>>,
        report: &mut CheckReport,
        progress: &mut impl FnMut(u64),
    ) -> Result<(), StoreError> {
        let mut statement = conn.prepare_cached(&format!(
            "SELECT {ENTRY_COLUMNS}, p.blob FROM entries e JOIN logs g ON g.l = e.l
             LEFT JOIN payloads p ON p.n = e.n
             WHERE e.l = ?1 AND (e.seq < 0) = ?2 ORDER BY e.seq DESC"
        ))?;
        let mut found = statement.query(part)?;
        while let Some(row) = found.next()? {
            report.entries += 1;
            if report.entries.is_multiple_of(1024) {
                progress(report.entries);
            }
            let stored = match read_entry(row, &self.inner.community)? {
                Ok(stored) => stored,
                Err(id) => {
                    report.damage.push(Damage::Header(id));
                    continue;
                }
            };
            let verified = stored.verified;
            let id = verified.id();
            let signed = lanai_crdt::entry::Signed::decode(
                verified.bytes().to_vec(),
                verified.signature().copied(),
            );
            let authentic = signed.is_ok_and(|signed| {
                let nexts = vouching.remove(&id).unwrap_or_default();
                let by_chain =
                    nexts.iter().any(|next| signed.clone().verify_by_next(next.header()).is_ok());
                // A signature that is stored must be good even where the chain vouches already.
                match signed.signature() {
                    Some(_) => signed.verify().is_ok(),
                    None => by_chain,
                }
            });
            if !authentic {
                report.damage.push(Damage::NotAuthentic(id));
            }
            let blob = row.get_ref(AFTER_ENTRY)?;
            if blob != ValueRef::Null {
                report.payloads += 1;
                if !blob.as_blob().is_ok_and(|blob| verified.matches_payload(blob)) {
                    report.damage.push(Damage::Payload(id));
                }
            }
            vouching.entry(verified.header().prev).or_default().push(verified);
        }
        Ok(())
    }

    fn check_views(&self, conn: &Connection, report: &mut CheckReport) -> Result<(), StoreError> {
        report.unfolded = super::pending::todo_count(conn)?;
        let keys = Keyring::load(conn)?;
        let mut statement = conn.prepare("SELECT DISTINCT grp FROM threads ORDER BY grp")?;
        let groups: Vec<i64> = statement.query_map([], |r| r.get(0))?.collect::<Result<_, _>>()?;
        let mut posts = 0u64;
        for group in groups {
            let mut stored: BTreeMap<EntryId, [u8; 32]> = conn
                .prepare_cached("SELECT id, hash FROM threads WHERE grp = ?1 AND hash IS NOT NULL")?
                .query_map([group], |r| Ok((entry_id(r.get_ref(0)?.as_blob()?), r.get(1)?)))?
                .collect::<Result<_, _>>()?;
            let entries = entries_of_group(conn, &self.inner.community, &keys, group)?;
            for thread in lanai_crdt::thread::fold_threads(&entries) {
                report.threads += 1;
                let shown = |p: &&lanai_crdt::thread::PostView| {
                    !matches!(p.text, lanai_crdt::thread::PostText::Withdrawn)
                };
                posts += thread.posts.iter().filter(shown).count() as u64;
                if stored.remove(&thread.root) != Some(thread.hash) {
                    report.damage.push(Damage::Thread(thread.root));
                }
            }
            report.damage.extend(stored.into_keys().map(Damage::Thread));
        }
        let found: i64 = conn.query_row("SELECT count(*) FROM posts", [], |r| r.get(0))?;
        if found.unsigned_abs() != posts {
            report.damage.push(Damage::Index { found: found.unsigned_abs(), expected: posts });
        }
        if !super::tallies::hold(conn)? {
            report.damage.push(Damage::Tallies);
        }
        Ok(())
    }

    /// Takes damaged headers and payloads out, so that the next sync fetches them again, and folds
    /// the views anew where they are concerned. Gives how many were taken out.
    ///
    /// # Errors
    ///
    /// When the store cannot be written.
    pub fn repair(&self, report: &CheckReport) -> Result<u64, StoreError> {
        let headers: HashSet<EntryId> = report
            .damage
            .iter()
            .filter_map(|d| match d {
                Damage::Header(id) | Damage::NotAuthentic(id) => Some(*id),
                _ => None,
            })
            .collect();
        let payloads: Vec<EntryId> = report
            .damage
            .iter()
            .filter_map(|d| match d {
                Damage::Payload(id) => Some(*id),
                _ => None,
            })
            .collect();
        if headers.is_empty() && payloads.is_empty() {
            return Ok(0);
        }
        let taken = self.inner.write(Durability::Normal, 0, |ctx| {
            let mut taken = 0;
            let number = |id: &EntryId| -> Result<Option<(N, i64)>, StoreError> {
                use rusqlite::OptionalExtension as _;
                Ok(ctx
                    .conn
                    .prepare_cached(&format!("SELECT e.n, e.class FROM entries e WHERE {ID_IS_1}"))?
                    .query_row([id.as_bytes()], |r| Ok((r.get(0)?, r.get(1)?)))
                    .optional()?)
            };
            for id in &payloads {
                let Some((n, class)) = number(id)? else { continue };
                taken += 1;
                if class == 0 {
                    // A roster entry without its payload is nothing.
                    remove_entry(ctx.conn, n)?;
                } else {
                    ctx.conn.execute("DELETE FROM payloads WHERE n = ?1", [n])?;
                    ctx.conn.execute("INSERT OR IGNORE INTO missing_payloads VALUES (?1)", [n])?;
                }
            }
            for id in &headers {
                let Some((n, _)) = number(id)? else { continue };
                taken += 1;
                remove_entry(ctx.conn, n)?;
            }
            bump_generation(ctx.conn)?;
            Ok(taken)
        })?;
        self.rebuild(|_| ())?;
        Ok(taken)
    }

    /// Throws all views away and folds them anew from the entries, read marks kept. `progress` is
    /// told how many entries were folded.
    ///
    /// # Errors
    ///
    /// When the store cannot be written.
    pub fn rebuild(&self, mut progress: impl FnMut(u64)) -> Result<Rebuilt, StoreError> {
        self.inner.write(Durability::Normal, 0, |ctx| {
            ctx.conn.execute_batch(schema::DROP_VIEWS)?;
            ctx.conn.execute_batch(super::search::DROP)?;
            ctx.conn.execute_batch(super::files::DROP)?;
            ctx.conn.execute_batch(super::tallies::DROP)?;
            ctx.stand_without_payloads()
        })?;
        let mut rebuilt = Rebuilt::default();
        loop {
            let step = self.fold_pending(2_000)?;
            rebuilt.entries += step.folded as u64;
            progress(rebuilt.entries);
            if step.folded == 0 {
                return Ok(rebuilt);
            }
        }
    }
}

/// Takes an entry out of every table. Who follows it in its log waits for it again, and so can vouch
/// for it when it comes back; who comes before it is a head of the log again.
fn remove_entry(conn: &Connection, n: N) -> Result<(), StoreError> {
    // Who names it by number names it by id again: the header of `pack_header` has `prev` in it then.
    conn.execute(
        "UPDATE entries AS c SET prev = NULL,
         header = CAST(substr(c.header, 1, 2) || e.id || substr(c.header, 3) AS BLOB)
         FROM entries e WHERE e.n = ?1 AND c.l = e.l AND c.seq = e.seq + 1 AND c.prev = e.n",
        [n],
    )?;
    conn.execute(
        "INSERT OR REPLACE INTO past_waits (n, prev, why)
         SELECT c.n, e.id, 0 FROM entries e
         JOIN entries c ON c.l = e.l AND c.seq = e.seq + 1 AND c.prev IS NULL
             AND substr(c.header, 3, 32) = e.id
         WHERE e.n = ?1",
        [n],
    )?;
    conn.execute(
        "INSERT OR IGNORE INTO todo (n) SELECT w.n FROM past_waits w JOIN payloads p ON p.n = w.n
         WHERE w.prev = (SELECT id FROM entries WHERE n = ?1)",
        [n],
    )?;
    let waits_again = conn.execute(
        "UPDATE entries SET past = NULL, judged = NULL WHERE past IS NOT NULL
         AND n IN (SELECT n FROM past_waits WHERE prev = (SELECT id FROM entries WHERE n = ?1))",
        [n],
    )?;
    let waited = conn.query_row("SELECT past IS NULL FROM entries WHERE n = ?1", [n], |r| r.get(0));
    let waiting = rows::get_u64(conn, meta::WAITING)?
        .saturating_add(waits_again as u64)
        .saturating_sub(u64::from(waited.optional()?.unwrap_or(false)));
    rows::set_meta(conn, meta::WAITING, &waiting.to_be_bytes())?;
    conn.execute(
        &format!(
            "INSERT OR IGNORE INTO log_heads (n)
             SELECT p.n FROM entries g JOIN entries p ON p.l = g.l AND p.seq = g.seq - 1
             WHERE g.n = ?1 AND NOT EXISTS (
                 SELECT 1 FROM entries e WHERE e.l = p.l AND e.seq = g.seq AND e.n <> g.n
                 AND {PREV_ID} = p.id)"
        ),
        [n],
    )?;
    for table in [
        "reads",
        "payloads",
        "missing_payloads",
        "past_waits",
        "log_heads",
        "todo",
        "voids",
        "specials",
        "files",
        "withdrawals",
        "origins",
    ] {
        conn.execute(&format!("DELETE FROM {table} WHERE n = ?1"), [n])?;
    }
    conn.execute("DELETE FROM thread_entries WHERE n = ?1", [n])?;
    conn.execute("DELETE FROM entries WHERE n = ?1", [n])?;
    let left = rows::get_u64(conn, meta::ENTRIES)?.saturating_sub(1);
    rows::set_meta(conn, meta::ENTRIES, &left.to_be_bytes())?;
    // The number may be given again, to an entry that nobody else holds.
    conn.execute("UPDATE held SET upto = ?1 - 1 WHERE upto >= ?1", [n])?;
    Ok(())
}
