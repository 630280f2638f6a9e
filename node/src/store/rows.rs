//! Rows and what they stand for.

use lanai_crdt::entry::{Class, Header, Signature, Verified};
use lanai_crdt::id::{CommunityId, DeviceId, EntryId, LogId, LogNumber};
use rusqlite::{Connection, OptionalExtension as _, Row};

use super::StoreError;

/// Place of arrival of an entry in this store.
pub(super) type N = i64;

/// State of an entry, in `entries.state`.
pub(super) mod state {
    /// Good as far as is known.
    pub(in super::super) const GOOD: i64 = 0;
    /// Sealed under an epoch whose key is not held.
    pub(in super::super) const NO_KEY: i64 = 1;
    /// Its device was not enrolled in its roster past.
    pub(in super::super) const UNCOUNTED: i64 = 2;
    /// Its payload is bad; the reason is in `voids`.
    pub(in super::super) const VOID: i64 = 3;
    /// A kind or version that this program does not know.
    pub(in super::super) const UNREAD: i64 = 4;
    /// `prev` names something that is not the entry before it.
    pub(in super::super) const BAD_LINK: i64 = 5;
    /// A good roster entry whose join record was found good.
    pub(in super::super) const CHECKED: i64 = 6;
}

/// Why an entry has no roster past yet, in `past_waits.why`.
pub(super) mod why {
    /// `prev` is not here.
    pub(in super::super) const HOLE: i64 = 0;
    /// `prev` is here and waits itself.
    pub(in super::super) const PREV_WAITS: i64 = 1;
    /// It names too many roster heads that are not here.
    pub(in super::super) const HEADS: i64 = 2;
}

/// An unsigned number as SQLite can order it.
pub(super) const fn ordered(value: u64) -> i64 {
    (value ^ (1 << 63)).cast_signed()
}

/// The inverse of [`ordered`].
pub(super) const fn unordered(value: i64) -> u64 {
    value.cast_unsigned() ^ (1 << 63)
}

/// Offset of the first header byte that differs between entries of one log.
const LOG_END: usize = 74;

/// A header without what its log says already: community, device and log number.
pub(super) fn pack_header(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    out.extend_from_slice(bytes.get(..2).unwrap_or_default());
    out.extend_from_slice(bytes.get(LOG_END..).unwrap_or_default());
    out
}

fn unpack_header(packed: &[u8], community: &CommunityId, log: &LogId) -> Vec<u8> {
    let mut out = Vec::with_capacity(packed.len() + LOG_END);
    let (front, rest) = packed.split_at_checked(2).unwrap_or((packed, &[]));
    out.extend_from_slice(front);
    out.extend_from_slice(community.as_bytes());
    out.extend_from_slice(log.device.as_bytes());
    out.extend_from_slice(&log.number.0);
    out.extend_from_slice(rest);
    out
}

/// `prev` of a packed header: behind version, class and place.
pub(super) fn packed_prev(packed: &[u8]) -> Option<EntryId> {
    EntryId::from_slice(packed.get(10..42)?)
}

/// The class column: -1 for a header of a later version, which no fold may read.
pub(super) fn class_column(header: &Header) -> i64 {
    header.known_class().map_or(-1, |c| i64::from(c.number()))
}

pub(super) fn signature(bytes: Option<Vec<u8>>) -> Option<Signature> {
    bytes.and_then(|b| <[u8; 64]>::try_from(b).ok()).map(Signature)
}

pub(super) fn entry_id(bytes: &[u8]) -> EntryId {
    EntryId::from_slice(bytes).unwrap_or(EntryId::ZERO)
}

/// An entry as stored.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) n: N,
    pub(super) l: i64,
    pub(super) past: Option<i64>,
    pub(super) state: i64,
    pub(super) verified: Verified,
}

impl Stored {
    pub(super) fn class(&self) -> Option<Class> {
        self.verified.header().known_class()
    }
}

/// The columns that [`read_entry`] wants, of `entries e JOIN logs g`.
pub(super) const ENTRY_COLUMNS: &str =
    "e.n, e.id, e.l, e.past, e.state, e.header, e.sig, g.device, g.number";
/// The number of columns in [`ENTRY_COLUMNS`]: where further ones begin.
pub(super) const AFTER_ENTRY: usize = 9;

/// Reads an entry. The inner `Err` names one whose bytes no longer give its id: damaged on disk.
pub(super) fn read_entry(
    row: &Row<'_>,
    community: &CommunityId,
) -> rusqlite::Result<Result<Stored, EntryId>> {
    let id = row.get_ref(1)?.as_blob().map_or(EntryId::ZERO, entry_id);
    match read_whole_entry(row, &id, community) {
        // Even the type of a value may be damaged.
        Err(
            rusqlite::Error::InvalidColumnType(..) | rusqlite::Error::FromSqlConversionFailure(..),
        ) => Ok(Err(id)),
        read => Ok(read?.ok_or(id)),
    }
}

fn read_whole_entry(
    row: &Row<'_>,
    id: &EntryId,
    community: &CommunityId,
) -> rusqlite::Result<Option<Stored>> {
    let packed = row.get_ref(5)?.as_blob().map_err(rusqlite::Error::from)?;
    let device = DeviceId::from_slice(row.get_ref(7)?.as_blob()?).unwrap_or(DeviceId::ZERO);
    let number = row.get_ref(8)?.as_blob()?.try_into().unwrap_or([0; 8]);
    let log = LogId { device, number: LogNumber(number) };
    let zero = CommunityId::ZERO;
    let community = if *id == community.genesis() { &zero } else { community };
    let bytes = unpack_header(packed, community, &log);
    let signature = signature(row.get(6)?);
    match Verified::from_trusted_storage(bytes, signature) {
        Ok(verified) if verified.id() == *id => Ok(Some(Stored {
            n: row.get(0)?,
            l: row.get(2)?,
            past: row.get(3)?,
            state: row.get(4)?,
            verified,
        })),
        _ => Ok(None),
    }
}

/// The entry with this id; a damaged one counts as absent.
pub(super) fn entry_by_id(
    conn: &Connection,
    community: &CommunityId,
    id: &EntryId,
) -> Result<Option<Stored>, StoreError> {
    let mut statement = conn.prepare_cached(&format!(
        "SELECT {ENTRY_COLUMNS} FROM entries e JOIN logs g ON g.l = e.l WHERE e.id = ?1"
    ))?;
    let found = statement.query_row([id.as_bytes()], |r| read_entry(r, community)).optional()?;
    Ok(found.and_then(Result::ok))
}

/// The entry with this number; a damaged one counts as absent.
pub(super) fn entry_by_number(
    conn: &Connection,
    community: &CommunityId,
    n: N,
) -> Result<Option<Stored>, StoreError> {
    let mut statement = conn.prepare_cached(&format!(
        "SELECT {ENTRY_COLUMNS} FROM entries e JOIN logs g ON g.l = e.l WHERE e.n = ?1"
    ))?;
    let found = statement.query_row([n], |r| read_entry(r, community)).optional()?;
    Ok(found.and_then(Result::ok))
}

/// The payload of an entry.
pub(super) fn payload(conn: &Connection, n: N) -> Result<Option<Vec<u8>>, StoreError> {
    let mut statement = conn.prepare_cached("SELECT blob FROM payloads WHERE n = ?1")?;
    // A value that is not even a blob any more is damage, and as good as not here.
    let found = statement.query_row([n], |r| Ok(r.get_ref(0)?.as_blob().ok().map(Vec::from)));
    Ok(found.optional()?.flatten())
}

/// Keys of the `meta` table.
pub(super) mod meta {
    /// Id of the community.
    pub(in super::super) const COMMUNITY: &str = "community";
    /// Own device.
    pub(in super::super) const DEVICE: &str = "device";
    /// Number of the own log that is being written; absent when the next entry starts a new one.
    pub(in super::super) const OWN_LOG: &str = "own_log";
    /// The greatest stamp that the own clock follows, eight bytes big endian.
    pub(in super::super) const CLOCK: &str = "clock";
    /// Secret shared with the token file.
    pub(in super::super) const TOKEN: &str = "token";
    /// Changes when roster entries were taken away, so that caches notice.
    pub(in super::super) const ROSTER_GENERATION: &str = "roster_generation";
    /// When own state was last told to one's other devices, Unix milliseconds, eight bytes big endian.
    pub(in super::super) const OWN_STATE_AT: &str = "own_state_at";
    /// The devices that it was told to.
    pub(in super::super) const OWN_STATE_TO: &str = "own_state_to";
    /// Own devices that are known here to be on paper.
    pub(in super::super) const PAPERS: &str = "papers";
    /// Prefix of the keys that callers may use.
    pub(in super::super) const SETTING: &str = "setting.";
}

pub(super) fn get_meta(conn: &Connection, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
    let mut statement = conn.prepare_cached("SELECT value FROM meta WHERE key = ?1")?;
    Ok(statement.query_row([key], |r| r.get(0)).optional()?)
}

pub(super) fn set_meta(conn: &Connection, key: &str, value: &[u8]) -> Result<(), StoreError> {
    conn.prepare_cached(
        "INSERT INTO meta (key, value) VALUES (?1, ?2)
         ON CONFLICT (key) DO UPDATE SET value = excluded.value",
    )?
    .execute((key, value))?;
    Ok(())
}

pub(super) fn unset_meta(conn: &Connection, key: &str) -> Result<(), StoreError> {
    conn.prepare_cached("DELETE FROM meta WHERE key = ?1")?.execute([key])?;
    Ok(())
}

pub(super) fn get_u64(conn: &Connection, key: &str) -> Result<u64, StoreError> {
    let value = get_meta(conn, key)?;
    Ok(value.and_then(|v| v.try_into().ok()).map_or(0, u64::from_be_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_of_unsigned_numbers_is_kept() {
        let values = [0, 1, u64::MAX / 2, u64::MAX / 2 + 1, u64::MAX - 1, u64::MAX];
        assert!(values.map(ordered).is_sorted_by(|a, b| a < b));
        for v in values {
            assert_eq!(unordered(ordered(v)), v);
        }
    }
}
