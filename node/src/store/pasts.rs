//! The roster past of an entry, as which it is judged.
//!
//! Rule 11 judges an entry in its *roster past*: what the heads in its own header cover, and in the
//! headers before it in its log. The store keeps it as an interned set of heads:
//!
//! 1. past(e) = past(prev(e)) with the heads of e, and with e itself when e is a roster entry: who
//!    writes a roster entry has seen it.
//! 2. Heads that others in the set cover are left out. What is covered does not depend on what
//!    else is here, since a head that is known is known with all its ancestors.
//! 3. While `prev` is not here, or waits itself, past(e) is unknown and e waits in `past_waits`.
//!    When the missing one arrives, all who waited for it follow, one after another.
//! 4. A `prev` that is not (same log, seq - 1), or at seq 0 not of the same device, makes e void;
//!    past(e) then starts from nothing.
//! 5. A set of more than [`MAX_PAST_HEADS`] heads that cannot be reduced waits too, until the
//!    roster knows enough of them. Honest logs stay at one to four.

use std::sync::Arc;

use lanai_crdt::entry::{Class, Header};
use lanai_crdt::id::{DeviceId, EntryId};
use rusqlite::OptionalExtension as _;

use super::StoreError;
use super::rows::{self, ID_IS_1, N, class_column, entry_id, state, unplaced, why};
use super::write::Ctx;

/// Heads of an interned roster past, after reduction.
pub(super) const MAX_PAST_HEADS: usize = 64;

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
    pub(super) fn anybody_waits(&self) -> Result<bool, StoreError> {
        if let Some(known) = self.somebody_waits.get() {
            return Ok(known);
        }
        let some = self.conn.prepare_cached("SELECT 1 FROM past_waits LIMIT 1")?.exists([])?;
        self.somebody_waits.set(Some(some));
        Ok(some)
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

    /// Gives a roster past to all who waited for the entry `id`, and to all who waited for those.
    pub(super) fn release(&mut self, id: EntryId) -> Result<(), StoreError> {
        let mut arrived = vec![id];
        while let Some(prev) = arrived.pop() {
            let waiting: Vec<N> = self
                .conn
                .prepare_cached("SELECT n FROM past_waits WHERE prev = ?1 ORDER BY n")?
                .query_map([prev.as_bytes()], |r| r.get(0))?
                .collect::<Result<_, _>>()?;
            for n in waiting {
                if let Some(child) = self.try_again(n)? {
                    arrived.push(child);
                }
            }
        }
        Ok(())
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
                self.conn
                    .prepare_cached("UPDATE past_waits SET why = ?2 WHERE n = ?1 AND why <> ?2")?
                    .execute((n, reason))?;
                return Ok(None);
            }
            Past::BadLink(p) => (p, state::BAD_LINK),
            Past::Known(p) => (p, stored.state),
        };
        self.conn
            .prepare_cached("UPDATE entries SET past = ?2, state = ?3, judged = NULL WHERE n = ?1")?
            .execute((n, p, state))?;
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

/// Whether `header` comes right after `prev` in the log numbered `l`.
pub(super) fn follows(prev: &Link, header: &Header, l: Option<i64>) -> bool {
    Some(prev.l) == l && prev.seq.checked_add(1) == Some(header.seq)
}
