//! What of the entries here is known to be on other devices.
//!
//! Entries are numbered in the order in which they arrive here (`n`), and a session compares whole
//! sets. So when one is done, the peer holds all that was here when it began, and one number for each
//! device says which: the last that had arrived. The same follows from what a bundle's maker says that
//! it holds ([`crate::sync::Front`]), up to the first entry that it does not cover.
//!
//! It is what others said, by acknowledging it; a home that was put back to an older copy holds less
//! until it is heard of again. Nothing here decides what a session sends.

use std::collections::BTreeSet;

use lanai_crdt::clock::Hlc;
use lanai_crdt::id::{DeviceId, EntryId, MemberId};
use rusqlite::OptionalExtension as _;

use super::rows::{ID_IS_1, unordered};
use super::{Durability, Store, StoreError};

/// held: all entries up to number `upto` are on this device; at: when it was heard, Unix milliseconds.
pub(super) const MIGRATION: &str = r"
CREATE TABLE held (
    device BLOB PRIMARY KEY, upto INTEGER NOT NULL, at INTEGER NOT NULL
) WITHOUT ROWID;
";

/// What says nothing new but that it was heard again is noted when so much later, in milliseconds.
const AGAIN_MS: i64 = 600_000;

/// Posts of this device that no other device is known to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OnlyHere {
    /// How many.
    pub posts: u64,
    /// When the oldest of them was written, Unix milliseconds; 0 without any.
    pub oldest_ms: u64,
}

impl Store {
    /// Notes that `device` holds all that had arrived here up to `upto`
    /// ([`Store::newest_arrival`]), as was heard at `at_ms`. What was heard later stays.
    ///
    /// # Errors
    ///
    /// When the store cannot be written.
    pub fn note_held(&self, device: &DeviceId, upto: i64, at_ms: u64) -> Result<(), StoreError> {
        let at = i64::try_from(at_ms).unwrap_or(i64::MAX);
        let known = self.inner.connections.read(|conn| {
            let sql = "SELECT upto, at FROM held WHERE device = ?1";
            let mut known = conn.prepare_cached(sql)?;
            let row = |r: &rusqlite::Row<'_>| Ok((r.get::<_, i64>(0)?, r.get::<_, i64>(1)?));
            Ok(known.query_row([device.as_bytes()], row).optional()?)
        })?;
        let is_new = |when: i64| at.saturating_sub(when) >= AGAIN_MS;
        if known.is_some_and(|(known, when)| (known == upto && !is_new(when)) || when > at) {
            return Ok(());
        }
        self.inner.write(Durability::Normal, 0, |ctx| {
            ctx.conn
                .prepare_cached(
                    "INSERT INTO held (device, upto, at) VALUES (?1, ?2, ?3)
                     ON CONFLICT (device) DO UPDATE SET upto = excluded.upto, at = excluded.at
                     WHERE excluded.at >= held.at",
                )?
                .execute((device.as_bytes(), upto, at))?;
            Ok(())
        })
    }

    /// Up to which number of arrival `device` is known to hold everything; 0 where nothing is known.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn held_upto(&self, device: &DeviceId) -> Result<i64, StoreError> {
        self.inner.connections.read(|conn| {
            let mut upto = conn.prepare_cached("SELECT upto FROM held WHERE device = ?1")?;
            Ok(upto.query_row([device.as_bytes()], |r| r.get(0)).optional()?.unwrap_or(0))
        })
    }

    /// The members who are known to hold each of these entries: who wrote it, those whose devices said
    /// so, and this one. Of an entry that is not here, nobody.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn holders(&self, ids: &[EntryId]) -> Result<Vec<BTreeSet<MemberId>>, StoreError> {
        let roster = self.roster()?;
        let own = roster.standing(&self.own_device()).map(|standing| standing.member);
        self.inner.connections.read(|conn| {
            let mut heard: Vec<(MemberId, i64)> = Vec::new();
            let mut all = conn.prepare_cached("SELECT device, upto FROM held")?;
            let mut rows = all.query([])?;
            while let Some(row) = rows.next()? {
                let device = DeviceId::from_slice(row.get_ref(0)?.as_blob()?);
                let standing = device.and_then(|device| roster.standing(&device));
                heard.extend(standing.map(|s| s.member).zip(row.get(1).ok()));
            }
            let mut place = conn.prepare_cached(&format!(
                "SELECT e.n, g.device FROM entries e JOIN logs g ON g.l = e.l WHERE {ID_IS_1}"
            ))?;
            let mut holders = Vec::with_capacity(ids.len());
            for id in ids {
                let found = place.query_row([id.as_bytes()], |row| {
                    Ok((row.get::<_, i64>(0)?, DeviceId::from_slice(row.get_ref(1)?.as_blob()?)))
                });
                let Some((n, author)) = found.optional()? else {
                    holders.push(BTreeSet::new());
                    continue;
                };
                let author = author.and_then(|device| roster.standing(&device));
                let said = heard.iter().filter(|(_, upto)| *upto >= n).map(|(member, _)| *member);
                holders.push(said.chain(author.map(|s| s.member)).chain(own).collect());
            }
            Ok(holders)
        })
    }

    /// Posts of this device's that no other device is known to hold. None where there is no other
    /// device that could.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn only_here(&self) -> Result<OnlyHere, StoreError> {
        let roster = self.roster()?;
        let own = self.own_device();
        let others: BTreeSet<DeviceId> = roster
            .members()
            .filter(|member| !member.pending)
            .flat_map(|member| member.devices.iter().filter(|d| !d.paper).map(|d| d.device))
            .filter(|device| *device != own)
            .collect();
        if others.is_empty() {
            return Ok(OnlyHere::default());
        }
        self.inner.connections.read(|conn| {
            let mut all = conn.prepare_cached("SELECT device, upto FROM held")?;
            let mut rows = all.query([])?;
            let mut upto = 0;
            while let Some(row) = rows.next()? {
                let device = DeviceId::from_slice(row.get_ref(0)?.as_blob()?);
                if device.is_some_and(|device| others.contains(&device)) {
                    upto = row.get::<_, i64>(1)?.max(upto);
                }
            }
            let mut posts = conn.prepare_cached(
                "SELECT count(*), min(e.time) FROM entries e JOIN posts p ON p.n = e.n
                 WHERE e.n > ?1 AND e.l IN (SELECT l FROM logs WHERE device = ?2)",
            )?;
            Ok(posts.query_row((upto, own.as_bytes()), |row| {
                let oldest: Option<i64> = row.get(1)?;
                Ok(OnlyHere {
                    posts: row.get::<_, i64>(0)?.unsigned_abs(),
                    oldest_ms: oldest.map_or(0, |time| Hlc(unordered(time)).millis()),
                })
            })?)
        })
    }
}
