//! The roster past of an entry, as which it is judged.
//!
//! Rule 11 judges an entry in its *roster past*: what the heads in its own header cover, and in the
//! headers before it in its log. The store keeps it as an interned set of heads:
//!
//! 1. past(e) = past(prev(e)) with the heads of e, and with e itself when e is a roster entry: who
//!    writes a roster entry has seen it.
//! 2. Heads that others in the set cover are left out. What is covered does not depend on what
//!    else is here, since a head that is known is known with all its ancestors.
//! 3. While `prev` is not here, or waits itself, past(e) is unknown and e waits. Who waits for what is not
//!    here is listed in `past_waits`; who only comes after somebody who waits, in the same log, is not: it has
//!    no past, and `entries.prev` names the one before it. Sync sends the newest first, so nearly all of a
//!    first sync waits, in a few long runs. When the missing one arrives the whole run follows, and all whom
//!    it lets go in turn.
//! 4. A `prev` that is not (same log, seq - 1), or at seq 0 not of the same device, makes e void;
//!    past(e) then starts from nothing.
//! 5. A set of more than [`MAX_PAST_HEADS`] heads that cannot be reduced waits too, until the
//!    roster knows enough of them. Honest logs stay at one to four.

use std::collections::HashSet;
use std::sync::Arc;

use lanai_crdt::entry::{Class, Header};
use lanai_crdt::id::{DeviceId, EntryId};
use rusqlite::OptionalExtension as _;

use super::StoreError;
use super::rows::{self, ID_IS_1, N, class_column, entry_id, placed, state, unplaced, why};
use super::write::Ctx;

/// Heads of an interned roster past, after reduction.
pub(super) const MAX_PAST_HEADS: usize = 64;
/// Entries of a run that are read at once.
const MAX_RUN: i64 = if cfg!(test) { 3 } else { 4_096 };

/// Ids that are awaited, of which so many are remembered.
const MAX_AWAITED: i64 = if cfg!(test) { 4 } else { 4_096 };

/// Who only comes after somebody who waits is not listed, but counted.
pub(super) const MIGRATION: &str = r"
DELETE FROM past_waits WHERE why = 1 AND n IN (SELECT n FROM entries WHERE prev IS NOT NULL);
INSERT OR REPLACE INTO meta SELECT 'waiting_for_past', unhex(printf('%016X', count(*)))
    FROM entries WHERE past IS NULL;
";

/// Ids that are awaited, as a transaction remembers them.
#[derive(Debug)]
pub(super) enum Awaited {
    /// No others are.
    Among(HashSet<EntryId>),
    /// Too many to remember.
    Many,
}

/// What is known of an entry that others may name as `prev`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Link {
    pub(super) n: N,
    pub(super) l: i64,
    pub(super) device: DeviceId,
    pub(super) seq: u64,
    pub(super) past: Option<i64>,
}

/// Where an entry's roster past stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Past {
    Known(i64),
    BadLink(i64),
    Waits(i64),
}

impl Ctx<'_> {
    /// Whether somebody is listed as waiting for this entry.
    pub(super) fn is_awaited(&mut self, id: &EntryId) -> Result<bool, StoreError> {
        if self.awaited.is_none() {
            let mut listed =
                self.conn.prepare_cached("SELECT DISTINCT prev FROM past_waits LIMIT ?1")?;
            let ids: HashSet<EntryId> = listed
                .query_map([MAX_AWAITED], |r| Ok(entry_id(r.get_ref(0)?.as_blob()?)))?
                .collect::<Result<_, _>>()?;
            let few = i64::try_from(ids.len()).is_ok_and(|len| len < MAX_AWAITED);
            self.awaited = Some(if few { Awaited::Among(ids) } else { Awaited::Many });
        }
        if matches!(&self.awaited, Some(Awaited::Among(ids)) if !ids.contains(id)) {
            return Ok(false);
        }
        let mut listed = self.conn.prepare_cached("SELECT 1 FROM past_waits WHERE prev = ?1")?;
        Ok(listed.exists([id.as_bytes()])?)
    }

    /// Lists an entry as waiting for the one before it, or notes why it still does.
    pub(super) fn list_waiting(
        &mut self,
        n: N,
        prev: &EntryId,
        why: i64,
    ) -> Result<(), StoreError> {
        self.conn
            .prepare_cached(
                "INSERT INTO past_waits (n, prev, why) VALUES (?1, ?2, ?3)
                 ON CONFLICT (n) DO UPDATE SET why = excluded.why WHERE why <> excluded.why",
            )?
            .execute((n, prev.as_bytes(), why))?;
        if let Some(Awaited::Among(ids)) = &mut self.awaited {
            ids.insert(*prev);
        }
        Ok(())
    }

    pub(super) fn link(&mut self, id: &EntryId) -> Result<Option<Link>, StoreError> {
        if id.is_zero() {
            return Ok(None);
        }
        if let Some(link) = self.links.get(id) {
            return Ok(Some(*link));
        }
        let found = self
            .conn
            .prepare_cached(&format!(
                "SELECT e.n, e.l, e.seq, e.past, g.device FROM entries e JOIN logs g ON g.l = e.l
                 WHERE {ID_IS_1}"
            ))?
            .query_row([id.as_bytes()], |r| {
                Ok(Link {
                    n: r.get(0)?,
                    l: r.get(1)?,
                    seq: unplaced(r.get(2)?),
                    past: r.get(3)?,
                    device: DeviceId::from_slice(r.get_ref(4)?.as_blob()?)
                        .unwrap_or(DeviceId::ZERO),
                })
            })
            .optional()?;
        if let Some(link) = found {
            self.links.insert(*id, link);
        }
        Ok(found)
    }

    pub(super) fn past_of(&mut self, id: &EntryId, header: &Header) -> Result<Past, StoreError> {
        let mut bad = false;
        let mut base = None;
        if !header.prev.is_zero() {
            let Some(prev) = self.link(&header.prev)? else { return Ok(Past::Waits(why::HOLE)) };
            let l = self.logs.get(&header.log).copied();
            let fits = if header.seq == 0 {
                prev.device == header.log.device && Some(prev.l) != l
            } else {
                follows(&prev, header, l)
            };
            if fits {
                let Some(p) = prev.past else { return Ok(Past::Waits(why::PREV_WAITS)) };
                base = Some(p);
            } else {
                bad = true;
            }
        }
        let own = header.known_class() == Some(Class::Roster);
        let p = match base {
            Some(p) if header.heads().is_empty() && !own => p,
            _ => {
                let mut heads = match base {
                    Some(p) => self.past_heads(p)?.to_vec(),
                    None => Vec::new(),
                };
                heads.extend_from_slice(header.heads());
                if own {
                    heads.push(*id);
                }
                let heads = self.reduce(heads);
                if heads.len() > MAX_PAST_HEADS {
                    return Ok(Past::Waits(why::HEADS));
                }
                self.intern_past(&heads)?
            }
        };
        Ok(if bad { Past::BadLink(p) } else { Past::Known(p) })
    }

    /// Leaves out what others in the set cover.
    pub(super) fn reduce(&self, mut heads: Vec<EntryId>) -> Vec<EntryId> {
        heads.sort_unstable();
        heads.dedup();
        let roster = self.roster.roster();
        let mut at = 0;
        while let Some(head) = heads.get(at).copied() {
            if heads.iter().any(|other| *other != head && roster.covers(&[*other], &head)) {
                heads.remove(at);
            } else {
                at += 1;
            }
        }
        heads
    }

    pub(super) fn intern_past(&mut self, heads: &[EntryId]) -> Result<i64, StoreError> {
        let bytes: Vec<u8> = heads.iter().flat_map(|h| *h.as_bytes()).collect();
        self.conn
            .prepare_cached("INSERT OR IGNORE INTO pasts (heads) VALUES (?1)")?
            .execute([&bytes])?;
        let p = self
            .conn
            .prepare_cached("SELECT p FROM pasts WHERE heads = ?1")?
            .query_row([&bytes], |r| r.get(0))?;
        self.pasts.insert(p, heads.into());
        Ok(p)
    }

    pub(super) fn past_heads(&mut self, p: i64) -> Result<Arc<[EntryId]>, StoreError> {
        if let Some(heads) = self.pasts.get(&p) {
            return Ok(heads.clone());
        }
        let bytes: Vec<u8> = self
            .conn
            .prepare_cached("SELECT heads FROM pasts WHERE p = ?1")?
            .query_row([p], |r| r.get(0))?;
        let heads: Arc<[EntryId]> = bytes.chunks_exact(32).map(entry_id).collect();
        self.pasts.insert(p, heads.clone());
        Ok(heads)
    }

    /// Gives a roster past to all who are listed as waiting for the entry `id`, which has come, and to all who
    /// waited for those.
    pub(super) fn release(&mut self, id: &EntryId) -> Result<(), StoreError> {
        let mut arrived = Vec::new();
        self.try_listed(id, &mut arrived)?;
        self.release_after(arrived)
    }

    /// Gives a roster past to all who waited for these entries, which have one since just now.
    pub(super) fn release_after(&mut self, mut arrived: Vec<EntryId>) -> Result<(), StoreError> {
        while let Some(id) = arrived.pop() {
            self.try_listed(&id, &mut arrived)?;
            self.release_run(&id, &mut arrived)?;
        }
        Ok(())
    }

    fn try_listed(&mut self, prev: &EntryId, done: &mut Vec<EntryId>) -> Result<(), StoreError> {
        let listed: Vec<N> = self
            .conn
            .prepare_cached("SELECT n FROM past_waits WHERE prev = ?1 ORDER BY n")?
            .query_map([prev.as_bytes()], |r| r.get(0))?
            .collect::<Result<_, _>>()?;
        for n in listed {
            done.extend(self.try_again(n)?);
        }
        Ok(())
    }

    /// Gives a roster past to those who come after `id` in its log and wait for nothing else. `done` gets
    /// those after whom others may follow.
    fn release_run(&mut self, id: &EntryId, done: &mut Vec<EntryId>) -> Result<(), StoreError> {
        let Some(mut last) = self.link(id)? else { return Ok(()) };
        let Some(past) = last.past else { return Ok(()) };
        if self.is_forked(last.l)? {
            let after: Vec<N> = self
                .conn
                .prepare_cached(
                    "SELECT n FROM entries WHERE l = ?1 AND seq = ?2 AND prev = ?3 AND past IS NULL",
                )?
                .query_map((last.l, placed(last.seq.wrapping_add(1)), last.n), |r| r.get(0))?
                .collect::<Result<_, _>>()?;
            for n in after {
                done.extend(self.try_again(n)?);
            }
            return Ok(());
        }
        loop {
            let Run { same, then } = self.run_after(&last)?;
            if let (Some(first), Some(end)) = (same.first(), same.last()) {
                self.give_past(last.l, past, (first.1, end.1), done)?;
                for (id, _, _) in &same {
                    if let Some(link) = self.links.get_mut(id) {
                        link.past = Some(past);
                    }
                }
                (last.seq, last.n) = (unplaced(end.1), end.2);
            }
            match then {
                Then::End => return Ok(()),
                Then::Another(n) => {
                    done.extend(self.try_again(n)?);
                    return Ok(());
                }
                Then::More => {}
            }
        }
    }

    /// Entries that come after `last` in its log, which is not forked, and wait only for it; at most
    /// [`MAX_RUN`].
    fn run_after(&self, last: &Link) -> Result<Run, StoreError> {
        // A packed header that leaves `prev` out has the number of heads as its 37th byte.
        let mut after = self.conn.prepare_cached(
            "SELECT n, id, seq, past IS NULL AND prev IS NOT NULL,
                 class > 0 AND substr(header, 37, 1) = x'00'
             FROM entries WHERE l = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3",
        )?;
        let mut rows = after.query((last.l, placed(last.seq), MAX_RUN))?;
        let mut same = Vec::new();
        let mut next = last.seq;
        while let Some(row) = rows.next()? {
            let seq: i64 = row.get(2)?;
            next = next.wrapping_add(1);
            if placed(next) != seq || !row.get::<_, bool>(3)? {
                return Ok(Run { same, then: Then::End });
            }
            if !row.get::<_, bool>(4)? {
                return Ok(Run { same, then: Then::Another(row.get(0)?) });
            }
            same.push((entry_id(row.get_ref(1)?.as_blob()?), seq, row.get(0)?));
        }
        let full = i64::try_from(same.len()).is_ok_and(|len| len >= MAX_RUN);
        Ok(Run { same, then: if full { Then::More } else { Then::End } })
    }

    /// The past `p` for the entries of log `l` from place to place, who all waited.
    fn give_past(
        &mut self,
        l: i64,
        p: i64,
        (from, to): (i64, i64),
        done: &mut Vec<EntryId>,
    ) -> Result<(), StoreError> {
        let right = self.reads_right(l, p)?;
        self.conn
            .prepare_cached(
                "INSERT OR IGNORE INTO todo (n) SELECT e.n FROM entries e
                 JOIN payloads p ON p.n = e.n
                 WHERE e.l = ?1 AND e.seq BETWEEN ?2 AND ?3 AND e.class > 0
                 AND e.state IN (0, 5) AND NOT (?4 AND e.judged IS 0)",
            )?
            .execute((l, from, to, right))?;
        let given = self
            .conn
            .prepare_cached(
                "UPDATE entries SET past = ?4, judged = NULL
                 WHERE l = ?1 AND seq BETWEEN ?2 AND ?3",
            )?
            .execute((l, from, to, p))?;
        self.waiting -= i64::try_from(given).unwrap_or(i64::MAX);
        // Others may have named one of them as what comes before them.
        let listed: Vec<N> = self
            .conn
            .prepare_cached(
                "SELECT w.n FROM entries e JOIN past_waits w ON w.prev = e.id
                 WHERE e.l = ?1 AND e.seq BETWEEN ?2 AND ?3",
            )?
            .query_map((l, from, to), |r| r.get(0))?
            .collect::<Result<_, _>>()?;
        for n in listed {
            done.extend(self.try_again(n)?);
        }
        Ok(())
    }

    fn is_forked(&self, l: i64) -> Result<bool, StoreError> {
        Ok(self.conn.prepare_cached("SELECT 1 FROM forked_logs WHERE l = ?1")?.exists([l])?)
    }

    /// Tries to find the roster past of an entry that waits; its id when it has one now.
    pub(super) fn try_again(&mut self, n: N) -> Result<Option<EntryId>, StoreError> {
        let Some(stored) = rows::entry_by_number(self.conn, &self.community, n)? else {
            return Ok(None);
        };
        let header = stored.verified.header();
        self.logs.insert(header.log, stored.l);
        let id = stored.verified.id();
        let (p, state) = match self.past_of(&id, header)? {
            Past::Waits(reason) => {
                self.list_waiting(n, &header.prev, reason)?;
                return Ok(None);
            }
            Past::BadLink(p) => (p, state::BAD_LINK),
            Past::Known(p) => (p, stored.state),
        };
        self.conn
            .prepare_cached("UPDATE entries SET past = ?2, state = ?3, judged = NULL WHERE n = ?1")?
            .execute((n, p, state))?;
        self.waiting -= i64::from(stored.past.is_none());
        self.conn.prepare_cached("DELETE FROM past_waits WHERE n = ?1")?.execute([n])?;
        if state != stored.state || !self.was_read_right(&stored, p)? {
            self.conn
                .prepare_cached(
                    "INSERT OR IGNORE INTO todo (n) SELECT e.n FROM entries e
                     JOIN payloads p ON p.n = e.n
                     WHERE e.n = ?1 AND e.class > 0 AND e.state IN (0, 5)",
                )?
                .execute([n])?;
        }
        if let Some(link) = self.links.get_mut(&id) {
            link.past = Some(p);
        }
        if class_column(header) > 0 {
            self.stand(p, stored.l)?;
        }
        Ok(Some(id))
    }
}

#[cfg(any(test, feature = "simulator"))]
impl super::Store {
    /// Whether all who have no roster past are counted, and wait for something that can still come.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub(crate) fn waits_hold(&self) -> Result<bool, StoreError> {
        self.inner.connections.read(|conn| {
            let stranded = conn
                .prepare(
                    "SELECT 1 FROM entries e WHERE e.past IS NULL
                     AND NOT EXISTS (SELECT 1 FROM past_waits w WHERE w.n = e.n)
                     AND NOT EXISTS (SELECT 1 FROM entries p WHERE p.n = e.prev AND p.past IS NULL)
                     UNION ALL
                     SELECT 1 FROM past_waits w JOIN entries e ON e.n = w.n WHERE e.past IS NOT NULL
                     UNION ALL
                     SELECT 1 FROM past_waits w JOIN entries p ON p.id = w.prev
                     WHERE w.why < 2 AND (p.past IS NOT NULL OR w.why = 0)",
                )?
                .exists([])?;
            let sql = "SELECT count(*) FROM entries WHERE past IS NULL";
            let waiting: i64 = conn.query_row(sql, [], |r| r.get(0))?;
            let counted = rows::get_u64(conn, rows::meta::WAITING)?;
            Ok(!stranded && counted == waiting.unsigned_abs())
        })
    }
}

/// Entries of one log, one after another, who have their predecessor's past.
struct Run {
    /// Id, place as stored, and number.
    same: Vec<(EntryId, i64, N)>,
    then: Then,
}

/// What comes after a run.
enum Then {
    /// Nobody who waits for it.
    End,
    /// An entry whose past is its own.
    Another(N),
    /// Perhaps more of the same.
    More,
}

/// Whether `header` comes right after `prev` in the log numbered `l`.
pub(super) fn follows(prev: &Link, header: &Header, l: Option<i64>) -> bool {
    Some(prev.l) == l && prev.seq.checked_add(1) == Some(header.seq)
}
