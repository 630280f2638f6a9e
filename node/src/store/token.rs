//! Telling a store from its copy.
//!
//! Two stores that continue one log write two entries with one sequence number: a fork, which looks
//! like a lie. So a small file beside the store names *this* file on *this* machine, and every
//! writing of own entries first compares. Whoever was copied, restored or rolled back starts a new
//! log, and the user is told.
//!
//! | in the token file | a mismatch means |
//! | --- | --- |
//! | token, a random number that the store holds too | the store was put here from elsewhere |
//! | inode and time of birth of the store file | both files were copied |
//! | machine id | the whole disk was copied |
//! | log number and the next sequence number | the store file alone was put back to an earlier time |
//!
//! The file is written after each commit of own entries. A crash between the two leaves a token
//! that is behind the store, which is no mismatch: only a store behind its token is. A home that is
//! rolled back as a whole and in place cannot be told; then the next meeting with a peer shows an
//! entry of the own log that is not here, and ingestion starts the new log.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::UNIX_EPOCH;

use lanai_crdt::id::{LogId, LogNumber, base32, from_base32};
use rusqlite::OptionalExtension as _;
use serde::{Deserialize, Serialize};

use super::rows::{self, meta, unplaced};
use super::write::Ctx;
use super::{Inner, Place, StoreError};

/// Bytes of the token.
pub(super) const TOKEN_BYTES: usize = 16;
/// Longest token file that is read.
const MAX_TOKEN_FILE: u64 = 4096;

/// Makes the names of temporary files differ within a process.
static TURN: AtomicU64 = AtomicU64::new(0);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct TokenFile {
    token: String,
    inode: u64,
    born: u64,
    machine: String,
    log: String,
    next: u64,
}

/// Why a store does not continue its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mismatch {
    NoToken,
    OtherToken,
    Copied,
    OtherMachine,
    Behind,
}

impl Mismatch {
    const fn sentence(self) -> &'static str {
        match self {
            Mismatch::NoToken => "the file that marks this store as the original is not here",
            Mismatch::OtherToken => "this store was put here from elsewhere",
            Mismatch::Copied => "this store is a copy",
            Mismatch::OtherMachine => "this store was moved to another machine",
            Mismatch::Behind => "this store was put back to an earlier time",
        }
    }
}

/// Inode and time of birth (nanoseconds, 0 where the file system keeps none) of the store file.
pub(super) fn identity(path: &Path) -> Result<(u64, u64), StoreError> {
    let found =
        fs::metadata(path).map_err(|source| StoreError::Io { path: path.to_path_buf(), source })?;
    let born = found.created().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok());
    let born = born.and_then(|d| u64::try_from(d.as_nanos()).ok()).unwrap_or(0);
    Ok((found.ino(), born))
}

/// After the store file was written anew by its own process: what was the original still is.
pub(super) fn follow(place: &Place, before: (u64, u64)) -> Result<(), StoreError> {
    match read_token(&place.token) {
        Some(file) if (file.inode, file.born) == before => {
            let (inode, born) = identity(&place.db)?;
            write_token(place, &TokenFile { inode, born, ..file })
        }
        _ => Ok(()),
    }
}

fn read_token(path: &Path) -> Option<TokenFile> {
    if fs::metadata(path).ok()?.len() > MAX_TOKEN_FILE {
        return None;
    }
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// The log that is being written and its next sequence number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OwnLog {
    pub(super) number: LogNumber,
    pub(super) next: u64,
}

impl Inner {
    /// Writes the token file to say where the own log stands now.
    pub(super) fn refresh_token(&self) -> Result<(), StoreError> {
        let (token, log) = self.connections.read(|conn| {
            let token = rows::get_meta(conn, meta::TOKEN)?;
            Ok((token, own_log(conn, self)?))
        })?;
        let (Some(token), Some(log)) = (token, log) else { return Ok(()) };
        let (inode, born) = identity(&self.place.db)?;
        let file = TokenFile {
            token: base32(&token),
            inode,
            born,
            machine: self.place.machine.clone(),
            log: base32(&log.number.0),
            next: log.next,
        };
        write_token(&self.place, &file)
    }
}

fn write_token(place: &Place, file: &TokenFile) -> Result<(), StoreError> {
    let bytes = serde_json::to_vec(file).map_err(|_| StoreError::Internal("token"))?;
    let path: &PathBuf = &place.token;
    let mut name = path.as_os_str().to_owned();
    // Several processes, and threads of one, may be writing at the same time.
    let turn = TURN.fetch_add(1, Ordering::Relaxed);
    name.push(format!(".{}.{turn}", std::process::id()));
    let temporary = PathBuf::from(name);
    let io = |source| StoreError::Io { path: path.clone(), source };
    let mut out = fs::File::create(&temporary).map_err(io)?;
    out.write_all(&bytes).map_err(io)?;
    drop(out);
    fs::rename(&temporary, path).map_err(io)
}

fn own_log(conn: &rusqlite::Connection, inner: &Inner) -> Result<Option<OwnLog>, StoreError> {
    let number = rows::get_meta(conn, meta::OWN_LOG)?.and_then(|v| v.try_into().ok());
    let Some(number) = number.map(LogNumber) else { return Ok(None) };
    let last: Option<i64> = conn
        .prepare_cached(
            "SELECT e.seq FROM entries e JOIN logs g ON g.l = e.l
             WHERE g.device = ?1 AND g.number = ?2 ORDER BY e.seq DESC LIMIT 1",
        )?
        .query_row((inner.own.as_bytes(), number.0), |r| r.get(0))
        .optional()?;
    let next = last.map_or(0, |s| unplaced(s).saturating_add(1));
    Ok(Some(OwnLog { number, next }))
}

impl Ctx<'_> {
    /// The own log to continue, in this transaction. `None`: start a new one. A store that is not
    /// the original has its log retired here, and a notice left for the user.
    pub(super) fn own_log(&mut self, inner: &Inner) -> Result<Option<OwnLog>, StoreError> {
        let Some(log) = own_log(self.conn, inner)? else { return Ok(None) };
        if self.founding {
            return Ok(Some(log));
        }
        let Some(mismatch) = self.mismatch(inner, &log)? else { return Ok(Some(log)) };
        self.retire_log("copied", mismatch.sentence())?;
        Ok(None)
    }

    /// Makes the next own entry start a new log, and says so.
    pub(super) fn retire_log(&mut self, kind: &str, why: &str) -> Result<(), StoreError> {
        rows::unset_meta(self.conn, meta::OWN_LOG)?;
        self.notice(kind, why)
    }

    fn mismatch(&self, inner: &Inner, log: &OwnLog) -> Result<Option<Mismatch>, StoreError> {
        let Some(file) = read_token(&inner.place.token) else {
            return Ok(Some(Mismatch::NoToken));
        };
        let inside = rows::get_meta(self.conn, meta::TOKEN)?;
        if inside.is_none() || from_base32(&file.token) != inside {
            return Ok(Some(Mismatch::OtherToken));
        }
        if file.machine != inner.place.machine {
            return Ok(Some(Mismatch::OtherMachine));
        }
        if (file.inode, file.born) != identity(&inner.place.db)? {
            return Ok(Some(Mismatch::Copied));
        }
        let number = from_base32(&file.log).and_then(|n| n.try_into().ok()).map(LogNumber);
        let behind = match number {
            Some(number) if number == log.number => file.next > log.next,
            // The token speaks of a log that this store never wrote.
            Some(number) => !self.knows_log(&LogId { device: inner.own, number })?,
            None => true,
        };
        Ok(behind.then_some(Mismatch::Behind))
    }

    fn knows_log(&self, log: &LogId) -> Result<bool, StoreError> {
        Ok(self
            .conn
            .prepare_cached("SELECT 1 FROM logs WHERE device = ?1 AND number = ?2")?
            .exists((log.device.as_bytes(), log.number.0))?)
    }

    /// The head of the own device's latest log, for a new log to name as its `prev`.
    pub(super) fn last_own_head(&self) -> Result<Option<rows::Stored>, StoreError> {
        let newest: Option<i64> = self
            .conn
            .prepare_cached(
                "SELECT e.l FROM entries e JOIN logs g ON g.l = e.l WHERE g.device = ?1
                 ORDER BY e.n DESC LIMIT 1",
            )?
            .query_row([self.own.as_bytes()], |r| r.get(0))
            .optional()?;
        let Some(l) = newest else { return Ok(None) };
        self.head_of(l)
    }

    /// The last entry of a log; of a forked one, the branch with the greater id.
    pub(super) fn head_of(&self, l: i64) -> Result<Option<rows::Stored>, StoreError> {
        let n: Option<i64> = self
            .conn
            .prepare_cached(
                "SELECT n FROM entries WHERE l = ?1 ORDER BY seq DESC, id DESC LIMIT 1",
            )?
            .query_row([l], |r| r.get(0))
            .optional()?;
        match n {
            Some(n) => rows::entry_by_number(self.conn, &self.community, n),
            None => Ok(None),
        }
    }

    /// Makes a fresh log the own one.
    pub(super) fn start_log(&mut self, number: LogNumber) -> Result<OwnLog, StoreError> {
        rows::set_meta(self.conn, meta::OWN_LOG, &number.0)?;
        Ok(OwnLog { number, next: 0 })
    }
}
