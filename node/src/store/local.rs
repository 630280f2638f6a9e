//! What belongs to this device alone: the address book, settings, and things to tell the user.

use lanai_crdt::id::DeviceId;

use super::rows::{self, meta};
use super::{Durability, Store, StoreError};

/// Addresses kept for one device; the longest unseen go first.
const MAX_ADDRESSES: i64 = 16;
/// Bytes of an address.
const MAX_ADDRESS_BYTES: usize = 512;

/// Where a device was reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerAddress {
    /// The device.
    pub device: DeviceId,
    /// Its address, in the network's own notation.
    pub address: String,
    /// When it was last reached there, Unix milliseconds.
    pub seen_ms: u64,
}

/// Something that the user is to be told once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Names it when it was shown.
    pub number: i64,
    /// When it happened, Unix milliseconds.
    pub at_ms: u64,
    /// A short word: `copied`, `continued`, `restored`.
    pub kind: String,
    /// A sentence without the full stop.
    pub detail: String,
}

impl Store {
    /// Remembers that a device was reached at an address. Addresses that are too long are ignored.
    ///
    /// # Errors
    ///
    /// When the store cannot be written.
    pub fn remember_peer(
        &self,
        device: &DeviceId,
        address: &str,
        now_ms: u64,
    ) -> Result<(), StoreError> {
        self.remember_peers(&[(*device, address.to_owned())], now_ms)
    }

    /// As [`remember_peer`](Self::remember_peer), for many at once.
    ///
    /// # Errors
    ///
    /// When the store cannot be written.
    pub fn remember_peers(
        &self,
        addresses: &[(DeviceId, String)],
        now_ms: u64,
    ) -> Result<(), StoreError> {
        self.inner.write(Durability::Normal, now_ms, |ctx| {
            for (device, address) in addresses.iter().filter(|(_, a)| a.len() <= MAX_ADDRESS_BYTES)
            {
                ctx.conn
                    .prepare_cached(
                        "INSERT INTO peers (device, address, seen) VALUES (?1, ?2, ?3)
                         ON CONFLICT (device, address)
                         DO UPDATE SET seen = max(seen, excluded.seen)",
                    )?
                    .execute((device.as_bytes(), address, now_ms.cast_signed()))?;
                ctx.conn
                    .prepare_cached(
                        "DELETE FROM peers WHERE device = ?1 AND address NOT IN (
                         SELECT address FROM peers WHERE device = ?1 ORDER BY seen DESC LIMIT ?2)",
                    )?
                    .execute((device.as_bytes(), MAX_ADDRESSES))?;
            }
            Ok(())
        })
    }

    /// The address book, the latest seen first.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn peers(&self) -> Result<Vec<PeerAddress>, StoreError> {
        self.inner.connections.read(|conn| {
            let mut statement = conn.prepare_cached(
                "SELECT device, address, seen FROM peers ORDER BY seen DESC, address",
            )?;
            let found = statement.query_map([], |r| {
                Ok(PeerAddress {
                    device: DeviceId::from_slice(r.get_ref(0)?.as_blob()?)
                        .unwrap_or(DeviceId::ZERO),
                    address: r.get(1)?,
                    seen_ms: r.get::<_, i64>(2)?.cast_unsigned(),
                })
            })?;
            Ok(found.collect::<Result<_, _>>()?)
        })
    }

    /// Forgets all addresses of a device.
    ///
    /// # Errors
    ///
    /// When the store cannot be written.
    pub fn forget_peer(&self, device: &DeviceId) -> Result<(), StoreError> {
        self.inner.write(Durability::Normal, 0, |ctx| {
            ctx.conn.execute("DELETE FROM peers WHERE device = ?1", [device.as_bytes()])?;
            Ok(())
        })
    }

    /// A setting of this store.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn setting(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let key = format!("{}{key}", meta::SETTING);
        self.inner.connections.read(|conn| rows::get_meta(conn, &key))
    }

    /// Changes a setting; `None` takes it away.
    ///
    /// # Errors
    ///
    /// When the store cannot be written.
    pub fn set_setting(&self, key: &str, value: Option<&[u8]>) -> Result<(), StoreError> {
        let key = format!("{}{key}", meta::SETTING);
        self.inner.write(Durability::Normal, 0, |ctx| match value {
            Some(value) => rows::set_meta(ctx.conn, &key, value),
            None => rows::unset_meta(ctx.conn, &key),
        })
    }

    /// What the user has not been told yet, the oldest first.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn notices(&self) -> Result<Vec<Notice>, StoreError> {
        self.inner.connections.read(|conn| {
            let mut statement = conn.prepare_cached(
                "SELECT i, at, kind, detail FROM notices WHERE shown = 0 ORDER BY i",
            )?;
            let found = statement.query_map([], |r| {
                Ok(Notice {
                    number: r.get(0)?,
                    at_ms: r.get::<_, i64>(1)?.cast_unsigned(),
                    kind: r.get(2)?,
                    detail: r.get(3)?,
                })
            })?;
            Ok(found.collect::<Result<_, _>>()?)
        })
    }

    /// Has the user told something, once if it is not new.
    ///
    /// # Errors
    ///
    /// When the store cannot be written.
    pub fn notify(&self, kind: &str, detail: &str, now_ms: u64) -> Result<(), StoreError> {
        if self.notices()?.iter().any(|n| n.kind == kind) {
            return Ok(());
        }
        self.inner.write(Durability::Normal, now_ms, |ctx| ctx.notice(kind, detail))
    }

    /// The user was told.
    ///
    /// # Errors
    ///
    /// When the store cannot be written.
    pub fn notices_shown(&self, up_to: i64) -> Result<(), StoreError> {
        self.inner.write(Durability::Normal, 0, |ctx| {
            ctx.conn.execute("UPDATE notices SET shown = 1 WHERE i <= ?1", [up_to])?;
            Ok(())
        })
    }
}
