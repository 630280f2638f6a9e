//! Rows and what they stand for.

use std::sync::LazyLock;

use lanai_crdt::entry::{Class, Header, Signature, Verified};
use lanai_crdt::id::{CommunityId, DeviceId, EntryId, LogId, LogNumber};
use rusqlite::types::ValueRef;
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
    /// `prev` is here and waits itself, and is of another log or came later.
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

/// A place in a log as stored. What a log that is written one by one ever reaches stays itself and is
/// short on disk; what lies beyond 2^63 is negative, and so not in its order: no entry there can have all
/// those before it.
pub(super) const fn placed(seq: u64) -> i64 {
    seq.cast_signed()
}

/// The inverse of [`placed`].
pub(super) const fn unplaced(place: i64) -> u64 {
    place.cast_unsigned()
}

/// Where the fields of a header begin; the layout is that of `lanai_crdt::entry::Header`.
mod at {
    pub(super) const PREV: usize = 82;
    pub(super) const TIME: usize = 114;
    pub(super) const PAYLOAD_HASH: usize = 138;
    pub(super) const PAYLOAD_LEN: usize = 170;
    pub(super) const TAIL: usize = 174;
    /// In a packed header, where `prev` is or the payload hash.
    pub(super) const PACKED: usize = 2;
}

/// What a row says of an entry beside its packed header, and so what the packed header leaves out.
///
/// A packed header is version and class (2 bytes), `prev` (32, left out where the row names it by
/// number), payload hash (32), payload length (2: no payload is longer), then heads and refs as they
/// are in the header, the first ref left out where the row names it as a thread.
pub(super) struct Beside<'a> {
    pub(super) community: &'a CommunityId,
    pub(super) log: &'a LogId,
    pub(super) seq: u64,
    pub(super) time: u64,
    pub(super) epoch: &'a [u8],
    pub(super) prev: Option<&'a [u8]>,
    pub(super) thread: Option<&'a [u8]>,
}

/// A header without what its row says already. `prev` and `thread`: those two are said by numbers.
pub(super) fn pack_header(verified: &Verified, prev: bool, thread: bool) -> Vec<u8> {
    let bytes = verified.bytes();
    let part = |from: usize, to: usize| bytes.get(from..to).unwrap_or_default();
    let mut out = Vec::with_capacity(bytes.len());
    out.extend_from_slice(part(0, at::PACKED));
    if !prev {
        out.extend_from_slice(part(at::PREV, at::TIME));
    }
    out.extend_from_slice(part(at::PAYLOAD_HASH, at::PAYLOAD_LEN + 4));
    // Two zero bytes in front: a header of a longer payload is refused.
    out.drain(out.len().saturating_sub(4)..out.len().saturating_sub(2));
    let tail = bytes.get(at::TAIL..).unwrap_or_default();
    match thread {
        false => out.extend_from_slice(tail),
        true => {
            let first = first_ref(tail);
            out.extend_from_slice(tail.get(..first).unwrap_or_default());
            out.extend_from_slice(tail.get(first + 32..).unwrap_or_default());
        }
    }
    out
}

/// Heads and refs of a packed header, which has `prev` in it or not.
pub(super) fn packed_tail(packed: &[u8], names_prev: bool) -> &[u8] {
    let prev = if names_prev { at::TIME - at::PREV } else { 0 };
    packed.get(at::PACKED + prev + 32 + 2..).unwrap_or_default()
}

/// Where the first ref of a tail begins, if there is one.
fn first_ref(tail: &[u8]) -> usize {
    2 + 32 * tail.first().map_or(0, |heads| usize::from(*heads))
}

/// The header again. `None` for bytes that [`pack_header`] cannot have made.
pub(super) fn unpack_header(packed: &[u8], beside: &Beside<'_>) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(packed.len() + at::TAIL + 32);
    let (front, mut rest) = packed.split_at_checked(at::PACKED)?;
    out.extend_from_slice(front);
    out.extend_from_slice(beside.community.as_bytes());
    out.extend_from_slice(beside.log.device.as_bytes());
    out.extend_from_slice(&beside.log.number.0);
    out.extend_from_slice(&beside.seq.to_be_bytes());
    let prev = match beside.prev {
        Some(prev) => prev,
        None => {
            let (prev, after) = rest.split_at_checked(at::TIME - at::PREV)?;
            rest = after;
            prev
        }
    };
    out.extend_from_slice(prev);
    out.extend_from_slice(&beside.time.to_be_bytes());
    out.extend_from_slice(beside.epoch);
    let (hash, rest) = rest.split_at_checked(at::PAYLOAD_LEN - at::PAYLOAD_HASH)?;
    out.extend_from_slice(hash);
    let (len, tail) = rest.split_at_checked(2)?;
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(len);
    match beside.thread {
        None => out.extend_from_slice(tail),
        Some(thread) => {
            let (before, after) = tail.split_at_checked(first_ref(tail))?;
            out.extend_from_slice(before);
            out.extend_from_slice(thread);
            out.extend_from_slice(after);
        }
    }
    Some(out)
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
    pub(super) judged: Option<i64>,
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
    "e.n, e.id, e.l, e.past, e.state, e.header, e.sig, g.device, g.number, e.seq, e.time,
     (SELECT epochs.ref FROM epochs WHERE epochs.k = e.epoch),
     e.prev, (SELECT prev.id FROM entries prev WHERE prev.n = e.prev),
     e.thread, (SELECT thread.id FROM threads thread WHERE thread.t = e.thread), e.judged";
/// The number of columns in [`ENTRY_COLUMNS`]: where further ones begin.
pub(super) const AFTER_ENTRY: usize = 17;

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
    // What the row names by number must be there.
    let named = |number: usize, id: usize| -> rusqlite::Result<Option<&[u8]>> {
        match row.get_ref(number)? {
            ValueRef::Null => Ok(None),
            _ => Ok(Some(row.get_ref(id)?.as_blob()?)),
        }
    };
    let bytes = unpack_header(
        packed,
        &Beside {
            community,
            log: &log,
            seq: unplaced(row.get(9)?),
            time: unordered(row.get(10)?),
            epoch: row.get_ref(11)?.as_blob()?,
            prev: named(12, 13)?,
            thread: named(14, 15)?,
        },
    );
    let Some(bytes) = bytes else { return Ok(None) };
    let signature = signature(row.get(6)?);
    match Verified::from_trusted_storage(bytes, signature) {
        Ok(verified) if verified.id() == *id => Ok(Some(Stored {
            n: row.get(0)?,
            l: row.get(2)?,
            past: row.get(3)?,
            judged: row.get(16)?,
            state: row.get(4)?,
            verified,
        })),
        _ => Ok(None),
    }
}

/// A condition for the entry whose id is `?1`.
///
/// The index of ids holds their first eight bytes only, which is a third of the space. Two ids may begin
/// alike: by chance among 2^32 entries, and on purpose, at some 2^32 hashes for a pair. So the rest is
/// always compared too, and nothing takes the index for unique.
pub(super) const ID_IS_1: &str = "substr(e.id, 1, 8) = substr(?1, 1, 8) AND e.id = ?1";

/// The id of the entry before an entry `e` in its log, as its header names it.
pub(super) const PREV_ID: &str = "CASE WHEN e.prev IS NULL THEN substr(e.header, 3, 32)
     ELSE (SELECT prev.id FROM entries prev WHERE prev.n = e.prev) END";

/// The number of the entry with this id.
pub(super) fn number_of(conn: &Connection, id: &EntryId) -> Result<Option<N>, StoreError> {
    let mut find = conn.prepare_cached(&format!("SELECT e.n FROM entries e WHERE {ID_IS_1}"))?;
    Ok(find.query_row([id.as_bytes()], |r| r.get(0)).optional()?)
}

static ENTRY_BY_ID: LazyLock<String> = LazyLock::new(|| {
    format!("SELECT {ENTRY_COLUMNS} FROM entries e JOIN logs g ON g.l = e.l WHERE {ID_IS_1}")
});
static ENTRY_BY_NUMBER: LazyLock<String> = LazyLock::new(|| {
    format!("SELECT {ENTRY_COLUMNS} FROM entries e JOIN logs g ON g.l = e.l WHERE e.n = ?1")
});
static WHOLE_BY_ID: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT {ENTRY_COLUMNS}, p.blob FROM entries e JOIN logs g ON g.l = e.l
         LEFT JOIN payloads p ON p.n = e.n WHERE {ID_IS_1}"
    )
});
static WHOLE_BY_NUMBERS: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT {ENTRY_COLUMNS}, p.blob FROM entries e JOIN logs g ON g.l = e.l
         LEFT JOIN payloads p ON p.n = e.n WHERE e.n BETWEEN ?1 AND ?2 ORDER BY e.n"
    )
});

/// An entry and its payload, where that is here.
pub(super) type Whole = (Stored, Option<Vec<u8>>);

/// The entry with this id and its payload; a damaged one counts as absent.
pub(super) fn whole_by_id(
    conn: &Connection,
    community: &CommunityId,
    id: &EntryId,
) -> Result<Option<Whole>, StoreError> {
    let mut statement = conn.prepare_cached(&WHOLE_BY_ID)?;
    let mut rows = statement.query([id.as_bytes()])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    // A value that is not even a blob any more is damage, and as good as not here.
    let blob = row.get_ref(AFTER_ENTRY)?.as_blob().ok().map(Vec::from);
    Ok(read_entry(row, community)?.ok().map(|stored| (stored, blob)))
}

/// Gives `each` the entries with these numbers, one after another, with their payloads where they are here;
/// damaged ones count as absent.
pub(super) fn for_each_whole(
    conn: &Connection,
    community: &CommunityId,
    (first, last): (N, N),
    mut each: impl FnMut(Stored, Option<&[u8]>),
) -> Result<(), StoreError> {
    let mut statement = conn.prepare_cached(&WHOLE_BY_NUMBERS)?;
    let mut rows = statement.query((first, last))?;
    while let Some(row) = rows.next()? {
        if let Ok(stored) = read_entry(row, community)? {
            each(stored, row.get_ref(AFTER_ENTRY)?.as_blob().ok());
        }
    }
    Ok(())
}

/// The entry with this id; a damaged one counts as absent.
pub(super) fn entry_by_id(
    conn: &Connection,
    community: &CommunityId,
    id: &EntryId,
) -> Result<Option<Stored>, StoreError> {
    let mut statement = conn.prepare_cached(&ENTRY_BY_ID)?;
    let found = statement.query_row([id.as_bytes()], |r| read_entry(r, community)).optional()?;
    Ok(found.and_then(Result::ok))
}

/// The entry with this number; a damaged one counts as absent.
pub(super) fn entry_by_number(
    conn: &Connection,
    community: &CommunityId,
    n: N,
) -> Result<Option<Stored>, StoreError> {
    let mut statement = conn.prepare_cached(&ENTRY_BY_NUMBER)?;
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
    /// How many entries there are, eight bytes big endian: to count them takes as long as they are many.
    pub(in super::super) const ENTRIES: &str = "entries";
    /// How many entries have no roster past yet, eight bytes big endian.
    pub(in super::super) const WAITING: &str = "waiting_for_past";
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
    use lanai_crdt::clock::Hlc;
    use lanai_crdt::entry::HeaderTail;
    use lanai_crdt::id::{EpochRef, PayloadHash};

    use super::*;

    #[test]
    fn order_of_unsigned_numbers_is_kept() {
        let values = [0, 1, u64::MAX / 2, u64::MAX / 2 + 1, u64::MAX - 1, u64::MAX];
        assert!(values.map(ordered).is_sorted_by(|a, b| a < b));
        for v in values {
            assert_eq!(unordered(ordered(v)), v);
        }
    }

    fn header(heads: u8, refs: u8) -> Header {
        Header {
            class: 2,
            community: CommunityId::new([1; 32]),
            log: LogId { device: DeviceId::new([2; 32]), number: LogNumber([3; 8]) },
            seq: 7,
            prev: EntryId::new([4; 32]),
            time: Hlc(0x0102_0304_0506_0708),
            epoch: EpochRef([5; 16]),
            payload_hash: PayloadHash::new([6; 32]),
            payload_len: 321,
            tail: HeaderTail::V1 {
                heads: (0..heads).map(|i| EntryId::new([10 + i; 32])).collect(),
                refs: (0..refs).map(|i| EntryId::new([99 - i; 32])).collect(),
            },
        }
    }

    fn stored(header: &Header) -> Verified {
        Verified::from_trusted_storage(header.encode(), None).unwrap()
    }

    fn beside<'a>(
        header: &'a Header,
        prev: Option<&'a [u8]>,
        thread: Option<&'a [u8]>,
    ) -> Beside<'a> {
        Beside {
            community: &header.community,
            log: &header.log,
            seq: header.seq,
            time: header.time.0,
            epoch: &header.epoch.0,
            prev,
            thread,
        }
    }

    #[test]
    fn golden_bytes_of_a_packed_header() {
        let header = header(1, 2);
        let mut want = vec![1, 2];
        want.extend([6; 32]);
        want.extend([1, 0x41, 1]);
        want.extend([10; 32]);
        want.push(2);
        want.extend([98; 32]);
        assert_eq!(pack_header(&stored(&header), true, true), want);
        let mut whole = vec![1, 2];
        whole.extend([4; 32]);
        whole.extend([6; 32]);
        whole.extend([1, 0x41, 1]);
        whole.extend([10; 32]);
        whole.push(2);
        whole.extend([99; 32]);
        whole.extend([98; 32]);
        assert_eq!(pack_header(&stored(&header), false, false), whole);
    }

    #[test]
    fn a_packed_header_comes_back_whatever_is_left_out_and_damage_is_no_panic() {
        let mut headers: Vec<Header> =
            (0..=4).flat_map(|heads| (0..=10).map(move |refs| header(heads, refs))).collect();
        let mut later = header(0, 0);
        later.class = 77;
        later.tail = HeaderTail::Later { version: 9, bytes: vec![200; 70] };
        headers.push(later);
        for header in headers {
            let verified = stored(&header);
            let first = header.refs().first().map(|id| &id.as_bytes()[..]);
            for prev in [None, Some(&header.prev.as_bytes()[..])] {
                for thread in [None, first] {
                    let packed = pack_header(&verified, prev.is_some(), thread.is_some());
                    let beside = beside(&header, prev, thread);
                    let back = unpack_header(&packed, &beside);
                    assert_eq!(back.as_deref(), Some(verified.bytes()));
                    let tail = packed_tail(&packed, prev.is_none());
                    assert_eq!(
                        tail.len(),
                        header.encode().len() - 174 - 32 * usize::from(thread.is_some())
                    );
                    for at in 0..packed.len() {
                        assert_ne!(
                            unpack_header(&packed[..at], &beside).as_deref(),
                            Some(verified.bytes())
                        );
                        let mut bytes = packed.clone();
                        bytes[at] ^= 0xff;
                        assert_ne!(
                            unpack_header(&bytes, &beside).as_deref(),
                            Some(verified.bytes())
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn places_in_a_log_are_kept() {
        for seq in [0, 1, i64::MAX as u64, 1 << 63, u64::MAX] {
            assert_eq!(unplaced(placed(seq)), seq);
        }
        assert_eq!(placed(300), 300);
    }
}
