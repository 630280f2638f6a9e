//! Connections: one writer behind a lock, a few readers kept ready, and the pragmas of both.
//!
//! Several processes open one store (the node, and commands typed beside it). SQLite's write lock
//! orders their transactions; every writing transaction begins `IMMEDIATE`, so that what it reads
//! first (the head of the own log, the roster) is still true when it writes.
//!
//! A store is plain or sealed (SQLCipher with a raw key), and its first bytes tell which. One that is
//! made where there is a key is sealed, if this build can.

use std::io::Read as _;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _, Transaction};
use zeroize::Zeroizing;

use super::checkpoint::Checkpoints;
use super::turn::{Turn, Turns};
use super::{Place, StoreError};
use crate::identity::StoreKey;

/// Looks at another process's transaction, some 20 s in all, before a statement gives up.
const BUSY_LOOKS: i32 = 10_000;
/// Pause between two of them: short, so that who has the turn takes the store as soon as it is free.
const BUSY_PAUSE: Duration = Duration::from_millis(2);
/// What every SQLite file that is not sealed begins with.
const PLAIN_MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// Bytes of a page of a sealed store, as SQLCipher makes it.
const SEALED_PAGE_BYTES: u64 = 4096;
/// Whether this build can seal a store, and open one that is sealed: the feature `sqlcipher`.
pub const CAN_SEAL: bool = cfg!(feature = "sqlcipher");
/// Idle reading connections kept open.
const IDLE_READERS: usize = 4;
/// KiB of pages that the writer keeps: what is inserted at random places of indexes comes back soon.
const WRITER_CACHE_KIB: i64 = 16 * 1024;
/// Pages in the log of writes from which on a commit moves them into the store by itself.
const AUTOCHECKPOINT_PAGES: i64 = 1_000;
/// The same for a large transaction, after which [`super::checkpoint`] does: so many only where that does not keep up.
const AUTOCHECKPOINT_PAGES_LARGE: i64 = 16_000;
/// Bytes to which the log of writes is cut when it begins anew.
const MAX_IDLE_LOG_BYTES: i64 = 4 * 1024 * 1024;
/// The same for a large transaction: more follow, and to cut the log each time, and to let it grow again, took a tenth of a
/// first sync. The next small one cuts it.
const MAX_BUSY_LOG_BYTES: i64 = 128 * 1024 * 1024;
/// KiB of pages that a reader keeps. There are several, and the system keeps the file's pages for all.
const READER_CACHE_KIB: i64 = 2 * 1024;
/// Prepared statements kept by a connection.
const STATEMENT_CACHE: usize = 128;

/// How much a commit promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Durability {
    /// Own entries: on disk when the commit returns. A sequence number must never be given twice.
    Full,
    /// Everything that peers hold as well: whole after a crash, perhaps without the last commits.
    Normal,
}

/// The connections of one process to one store.
#[derive(Debug)]
pub(super) struct Connections {
    // The first to go: see its `drop`.
    checkpoints: Checkpoints,
    place: Place,
    turns: Turns,
    writer: Mutex<Connection>,
    readers: Mutex<Vec<Connection>>,
}

impl Connections {
    pub(super) fn new(place: Place, writer: Connection) -> Connections {
        let checkpoints = Checkpoints::of(place.clone());
        Connections {
            turns: Turns::at(super::backup::turn_file(&place.db)),
            place,
            writer: Mutex::new(writer),
            readers: Mutex::new(Vec::new()),
            checkpoints,
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.place.db
    }

    /// The writer, and the turn: to be held until the transaction has begun, so that who waits for it,
    /// here or in another process, is not passed over. A thread that panicked while it held the lock rolled its
    /// transaction back.
    pub(super) fn writer(
        &self,
        durability: Durability,
    ) -> Result<(Turn<'_>, Writer<'_>), StoreError> {
        let turn = self.turns.take();
        let conn = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let level = match durability {
            Durability::Full => "FULL",
            Durability::Normal => "NORMAL",
        };
        conn.pragma_update(None, "synchronous", level)?;
        conn.pragma_update(None, "wal_autocheckpoint", AUTOCHECKPOINT_PAGES)?;
        conn.pragma_update(None, "journal_size_limit", MAX_IDLE_LOG_BYTES)?;
        Ok((turn, Writer(conn)))
    }

    /// Commits a large transaction, and has what it wrote moved into the store while others write.
    pub(super) fn commit_large(&self, tx: Transaction<'_>) -> Result<(), StoreError> {
        let conn: &Connection = &tx;
        conn.pragma_update(None, "wal_autocheckpoint", AUTOCHECKPOINT_PAGES_LARGE)?;
        conn.pragma_update(None, "journal_size_limit", MAX_BUSY_LOG_BYTES)?;
        tx.commit()?;
        self.checkpoints.begin();
        Ok(())
    }

    /// Runs `read` on a connection of its own, in one snapshot of the store.
    pub(super) fn read<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let idle = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let conn = match idle {
            Some(conn) => conn,
            None => open_reader(&self.place)?,
        };
        let tx = conn.unchecked_transaction()?;
        let result = read(&tx);
        tx.finish()?;
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if readers.len() < IDLE_READERS {
            readers.push(conn);
        }
        result
    }
}

/// The writing connection, held by one thread at a time.
pub(super) struct Writer<'a>(MutexGuard<'a, Connection>);

impl std::ops::Deref for Writer<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.0
    }
}

impl std::ops::DerefMut for Writer<'_> {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.0
    }
}

/// Opens the writing connection; makes the file where `create` says so.
pub(super) fn open_writer(
    path: &Path,
    key: Option<&StoreKey>,
    create: bool,
) -> Result<Connection, StoreError> {
    if !create && !path.exists() {
        return Err(StoreError::Missing(path.to_path_buf()));
    }
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    if create {
        flags |= OpenFlags::SQLITE_OPEN_CREATE;
    }
    let conn = open(path, key, flags)?;
    conn.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
    conn.pragma_update(None, "journal_mode", "WAL")?;
    tune(&conn, WRITER_CACHE_KIB)?;
    Ok(conn)
}

/// Opens a store that may be sealed, and sees whether it can be read.
///
/// Which it is must be found out by SQLite: to open the file in any other way, and to close it again,
/// would take away the locks of every other connection that this process has to it.
pub(super) fn open(
    path: &Path,
    key: Option<&StoreKey>,
    flags: OpenFlags,
) -> Result<Connection, StoreError> {
    if let Some(key) = key.filter(|_| CAN_SEAL) {
        let mut conn = Connection::open_with_flags(path, flags)?;
        // It would tell the terminal that a plain store does not open with a key.
        conn.query_row("PRAGMA cipher_log_level = NONE", [], |_| Ok(())).optional()?;
        conn.pragma_update(None, "key", raw_key(key).as_str())?;
        if is_readable(&mut conn)? {
            return Ok(conn);
        }
    }
    let mut conn = Connection::open_with_flags(path, flags)?;
    if is_readable(&mut conn)? {
        return Ok(conn);
    }
    drop(conn);
    Err(match is_sealed(path) {
        true if !CAN_SEAL => StoreError::CannotUnseal(path.to_path_buf()),
        true if key.is_none() => StoreError::Sealed(path.to_path_buf()),
        _ => StoreError::Damaged("not a database".into()),
    })
}

fn is_readable(conn: &mut Connection) -> Result<bool, StoreError> {
    conn.busy_handler(Some(wait_for_others))?;
    match conn.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())) {
        Err(e) if e.sqlite_error_code() == Some(ErrorCode::NotADatabase) => Ok(false),
        read => Ok(read.map(|()| true)?),
    }
}

fn wait_for_others(looks: i32) -> bool {
    std::thread::sleep(BUSY_PAUSE);
    looks < BUSY_LOOKS
}

/// Whether what the connection reads and writes is sealed.
pub(super) fn seals(conn: &Connection) -> bool {
    let status = conn.query_row("PRAGMA cipher_status", [], |r| r.get::<_, String>(0));
    CAN_SEAL && status.is_ok_and(|status| status == "1")
}

/// A key as SQLCipher takes it when nothing is to be derived from it.
pub(super) fn raw_key(key: &StoreKey) -> Zeroizing<String> {
    Zeroizing::new(format!("x'{}'", blake3::Hash::from_bytes(*key.as_bytes()).to_hex()))
}

pub(super) fn open_reader(place: &Place) -> Result<Connection, StoreError> {
    let path = &place.db;
    if !path.exists() {
        return Err(StoreError::Missing(path.clone()));
    }
    // Readers of a WAL store write to its shared index, so the file is not opened read-only.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = open(path, place.key.as_ref(), flags)?;
    conn.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
    tune(&conn, READER_CACHE_KIB)?;
    conn.pragma_update(None, "query_only", true)?;
    Ok(conn)
}

/// Whether the store at `path` is sealed: whole pages, of which the first begins with random bytes and
/// not with those of a plain one, a few of them damaged perhaps. Not to be asked while this process has it open ([`open`] says why).
pub fn is_sealed(path: &Path) -> bool {
    let mut start = [0; PLAIN_MAGIC.len()];
    let read = std::fs::File::open(path).and_then(|mut file| {
        file.read_exact(&mut start)?;
        Ok(file.metadata()?.len().is_multiple_of(SEALED_PAGE_BYTES))
    });
    let plain = start.iter().zip(PLAIN_MAGIC).filter(|(found, plain)| found == plain).count();
    read.is_ok_and(|whole| whole) && plain < PLAIN_MAGIC.len() / 2
}

fn tune(conn: &Connection, cache_kib: i64) -> Result<(), StoreError> {
    // KiB, when negative.
    conn.pragma_update(None, "cache_size", -cache_kib)?;
    conn.pragma_update(None, "temp_store", "MEMORY")?;
    conn.pragma_update(None, "foreign_keys", false)?;
    // Without it a statement is compiled anew for each value it is given, wherever a partial index
    // might serve some values and not others.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}
