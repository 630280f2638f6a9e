//! Rule 10: what goes on counting of somebody who was removed, demoted, or lost a device.
//!
//! Whoever removes names the heads of the subject's logs as they stood. What is one of them or an
//! ancestor by prev is *inside the cut* and counts as before. What lies outside, and was written by
//! somebody who had not seen the removal, is judged as if its author had: as if the removal were one
//! of its roster heads. So one question to the roster answers for all of it, and nothing is destroyed:
//! where the cut is widened or the removal falls, the entry is judged by its own past again.
//!
//! The past as which an entry is judged stands beside its own (`entries.judged`). What was decided
//! for a log is remembered by the hash of its cuts (`log_cuts`), so that a roster that grows by
//! something else costs nothing here.

use std::collections::{BTreeMap, HashSet};

use lanai_crdt::id::{DeviceId, EntryId};
use lanai_crdt::roster::Cut;
use rusqlite::OptionalExtension as _;

use super::StoreError;
use super::rows::{self, ID_IS_1, Stored};
use super::write::Ctx;

/// The table and column of this module.
pub(super) const MIGRATION: &str = r"
ALTER TABLE entries ADD COLUMN judged INTEGER;
CREATE TABLE log_cuts (l INTEGER PRIMARY KEY, hash BLOB NOT NULL);
";

/// What is inside a cut, by the removal and the heads that it names.
pub(super) type Inside = BTreeMap<EntryId, HashSet<EntryId>>;

impl Ctx<'_> {
    /// The roster past as which an entry of another class than 0 is judged.
    pub(super) fn judged_past(&mut self, stored: &Stored, past: i64) -> Result<i64, StoreError> {
        let state = self.roster.clone();
        let roster = state.roster();
        let cuts = roster.cuts(&stored.verified.header().log.device);
        if cuts.is_empty() {
            return Ok(past);
        }
        let id = stored.verified.id();
        if cuts.iter().any(|cut| cut.heads.contains(&id)) {
            // What it vouches for may have been judged before it came. Only that is listed: two
            // heads, each outside the other's cut, would list each other for ever.
            self.inside.clear();
            let mut before = HashSet::new();
            self.add_chain(stored.verified.header().prev, &mut before)?;
            self.list_judged(&before)?;
        }
        let heads = self.past_heads(past)?;
        let mut more = Vec::new();
        for cut in cuts {
            if !roster.covers(&heads, &cut.by) && !self.is_inside(cut, &id)? {
                more.push(cut.by);
            }
        }
        let judged = if more.is_empty() {
            None
        } else {
            more.extend_from_slice(&heads);
            let heads = self.reduce(more);
            Some(self.intern_past(&heads)?)
        };
        self.conn
            .prepare_cached("UPDATE entries SET judged = ?2 WHERE n = ?1 AND judged IS NOT ?2")?
            .execute((stored.n, judged))?;
        Ok(judged.unwrap_or(past))
    }

    fn is_inside(&mut self, cut: &Cut, id: &EntryId) -> Result<bool, StoreError> {
        if let Some(inside) = self.inside.get(&cut.by) {
            return Ok(inside.contains(id));
        }
        let mut inside = HashSet::new();
        for head in &cut.heads {
            self.add_chain(*head, &mut inside)?;
        }
        let found = inside.contains(id);
        self.inside.insert(cut.by, inside);
        Ok(found)
    }

    /// Adds `head` and its ancestors by prev, as far as they are here.
    fn add_chain(&self, head: EntryId, to: &mut HashSet<EntryId>) -> Result<(), StoreError> {
        let mut at = head;
        while !at.is_zero() && !to.contains(&at) {
            let Some(stored) = rows::entry_by_id(self.conn, &self.community, &at)? else { break };
            to.insert(at);
            at = stored.verified.header().prev;
        }
        Ok(())
    }

    /// Lists those of `ids` for folding that are not judged by their own past.
    fn list_judged(&self, ids: &HashSet<EntryId>) -> Result<(), StoreError> {
        let mut list = self.conn.prepare_cached(&format!(
            "INSERT OR IGNORE INTO todo (n) SELECT e.n FROM entries e JOIN payloads b ON b.n = e.n
             WHERE {ID_IS_1} AND e.judged IS NOT NULL AND e.class > 0 AND e.past IS NOT NULL
             AND e.state IN (0, 2)"
        ))?;
        for id in ids {
            list.execute([id.as_bytes()])?;
        }
        Ok(())
    }

    /// After the roster grew: has everything judged again that other cuts concern than before.
    pub(super) fn recut(&mut self) -> Result<(), StoreError> {
        self.inside.clear();
        let state = self.roster.clone();
        let mut before: BTreeMap<i64, Vec<u8>> = self
            .conn
            .prepare_cached("SELECT l, hash FROM log_cuts")?
            .query_map([], |r| Ok((r.get(0)?, r.get(1)?)))?
            .collect::<Result<_, _>>()?;
        for (device, cuts) in state.roster().cut_devices() {
            let hash = hash_of(cuts);
            for l in self.logs_of(device)? {
                if before.remove(&l).is_some_and(|h| h == hash) {
                    // What came may be a roster head that an entry names, and have the removal in
                    // its past.
                    self.fold_again(l, "judged IS NOT NULL")?;
                    continue;
                }
                self.conn
                    .prepare_cached("INSERT OR REPLACE INTO log_cuts (l, hash) VALUES (?1, ?2)")?
                    .execute((l, hash))?;
                self.fold_again(l, "TRUE")?;
            }
        }
        for l in before.into_keys() {
            self.conn.prepare_cached("DELETE FROM log_cuts WHERE l = ?1")?.execute([l])?;
            self.fold_again(l, "TRUE")?;
            self.conn
                .prepare_cached(
                    "UPDATE entries SET judged = NULL WHERE l = ?1 AND past IS NOT NULL",
                )?
                .execute([l])?;
        }
        Ok(())
    }

    fn logs_of(&self, device: &DeviceId) -> Result<Vec<i64>, StoreError> {
        let mut statement = self.conn.prepare_cached("SELECT l FROM logs WHERE device = ?1")?;
        let found = statement.query_map([device.as_bytes()], |r| r.get(0))?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    /// Lists entries of the device of log `l` for folding; `which` is a condition on their rows.
    fn fold_again(&mut self, l: i64, which: &'static str) -> Result<(), StoreError> {
        let device: Option<Vec<u8>> = self
            .conn
            .prepare_cached("SELECT device FROM logs WHERE l = ?1")?
            .query_row([l], |r| r.get(0))
            .optional()?;
        self.conn
            .prepare_cached(&format!(
                "INSERT OR IGNORE INTO todo (n) SELECT e.n FROM entries e
                 JOIN logs g ON g.l = e.l JOIN payloads b ON b.n = e.n
                 WHERE g.device = ?1 AND e.class > 0 AND e.past IS NOT NULL
                 AND e.state IN (0, 2) AND {which}"
            ))?
            .execute([device])?;
        Ok(())
    }
}

fn hash_of(cuts: &[Cut]) -> [u8; 32] {
    let mut hash = blake3::Hasher::new();
    for cut in cuts {
        hash.update(cut.by.as_bytes());
        hash.update(&(cut.heads.len() as u64).to_be_bytes());
        cut.heads.iter().for_each(|h| {
            hash.update(h.as_bytes());
        });
    }
    hash.finalize().into()
}
