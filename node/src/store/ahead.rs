//! How far this node is ahead of others, and behind them, by what they said last.
//!
//! Ahead of a device are the entries that arrived here after all that it is known to hold
//! ([`Store::held_upto`]), but those that it wrote itself. Behind it are the entries that it said it
//! holds in a bundle's front and that are not here; after a finished session there were none.

use std::collections::BTreeMap;

use lanai_crdt::id::DeviceId;

use super::{Store, StoreError};

/// What is known of a device since its last exchange with this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exchange {
    /// When it said last what it holds, in Unix milliseconds: the end of a session, or when it made a bundle.
    pub at_ms: u64,
    /// Entries here that it is not known to hold.
    pub ahead: u64,
    /// Entries that it then held and that are not here.
    pub behind: u64,
}

impl Store {
    /// Version of this store's tables.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn schema_version(&self) -> Result<i32, StoreError> {
        self.inner.connections.read(super::schema::user_version)
    }

    /// The last exchange with each device that there was one with.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn exchanges(&self) -> Result<BTreeMap<DeviceId, Exchange>, StoreError> {
        let heard: Vec<(DeviceId, i64, u64, Option<u64>)> =
            self.inner.connections.read(|conn| {
                let mut all = conn.prepare_cached(
                    "SELECT h.device, h.upto, h.at, f.made FROM held h
                 LEFT JOIN fronts f ON f.device = h.device",
                )?;
                let mut rows = all.query([])?;
                let mut heard = Vec::new();
                while let Some(row) = rows.next()? {
                    let Some(device) = DeviceId::from_slice(row.get_ref(0)?.as_blob()?) else {
                        continue;
                    };
                    let made = row.get::<_, Option<i64>>(3)?.map(i64::unsigned_abs);
                    heard.push((device, row.get(1)?, row.get::<_, i64>(2)?.unsigned_abs(), made));
                }
                Ok(heard)
            })?;
        let mut exchanges = BTreeMap::new();
        for (device, upto, at_ms, made) in heard {
            let ahead = self.inner.connections.read(|conn| {
                let mut count = conn.prepare_cached(
                    "SELECT count(*) FROM entries
                     WHERE n > ?1 AND l NOT IN (SELECT l FROM logs WHERE device = ?2)",
                )?;
                Ok(count.query_row((upto, device.as_bytes()), |r| r.get::<_, i64>(0))?)
            })?;
            // A session that ended after the front was made left nothing behind.
            let behind = match made.filter(|made| *made >= at_ms) {
                Some(_) => match self.front_of(&device)? {
                    Some(front) => self.lacking(&front)?.iter().map(super::Lacking::count).sum(),
                    None => 0,
                },
                None => 0,
            };
            let ahead = ahead.unsigned_abs();
            exchanges.insert(device, Exchange { at_ms, ahead, behind });
        }
        Ok(exchanges)
    }
}
