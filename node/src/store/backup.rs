//! Backup and restore.
//!
//! A backup is a store file of its own, made with SQLite's backup interface while everything goes
//! on. It holds the entries and the community's epoch keys, and never the device's secrets. Its token
//! is taken out, so that whoever continues from it starts a new log. A backup of a sealed store is
//! sealed with the same key, which follows from the device's secrets.

use std::path::{Path, PathBuf};
use std::time::Duration;

use lanai_crdt::id::{CommunityId, DeviceId};
use rusqlite::backup::Backup;
use rusqlite::{Connection, OpenFlags};

use super::rows::{self, meta};
use super::{Place, Store, StoreError, connection, schema};
use crate::identity::StoreKey;

/// What the name of the file by which processes take turns to write has after the store's.
const TURN: &str = "-turn";
/// Pages copied between two looks at whether somebody else wants the store.
const PAGES_PER_STEP: i32 = 512;

/// Copies a database into a new file: one that is sealed with `key` sealed with it again.
pub(super) fn copy(from: &Connection, to: &Path, key: Option<&StoreKey>) -> Result<(), StoreError> {
    let io = |source| StoreError::Io { path: to.to_path_buf(), source };
    if to.exists() {
        std::fs::remove_file(to).map_err(io)?;
    }
    let key = key.filter(|_| connection::seals(from));
    let mut out = connection::open(to, key, OpenFlags::default())?;
    super::restrict(to)?;
    Backup::new(from, &mut out)?.run_to_completion(
        PAGES_PER_STEP,
        Duration::from_millis(1),
        None,
    )?;
    Ok(())
}

/// A store and the files that are kept beside it: two of SQLite, and the one for turns.
pub fn store_files(db: &Path) -> [PathBuf; 4] {
    ["", "-wal", "-shm", TURN].map(|suffix| beside(db, suffix))
}

/// The file by which processes take turns to write.
pub(super) fn turn_file(db: &Path) -> PathBuf {
    beside(db, TURN)
}

fn beside(db: &Path, suffix: &str) -> PathBuf {
    let mut name = db.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Removes a store that was never finished. What cannot be removed stays.
pub(super) fn remove_files(db: &Path) {
    for file in store_files(db) {
        // Most of them may not exist.
        drop(std::fs::remove_file(file));
    }
}

/// What [`Store::restore`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// The community of the backup.
    pub community: CommunityId,
    /// Where the store that was there before is now.
    pub replaced: Option<PathBuf>,
}

impl Store {
    /// Writes a backup to `to`, a path where nothing is.
    ///
    /// # Errors
    ///
    /// [`StoreError::Exists`] when something is there, and what the file system and SQLite say.
    pub fn backup(&self, to: &Path) -> Result<(), StoreError> {
        if to.exists() {
            return Err(StoreError::Exists(to.to_path_buf()));
        }
        let mut part = to.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        let Place { db, key, .. } = &self.inner.place;
        let from = connection::open_writer(db, key.as_ref(), false)?;
        copy(&from, &part, key.as_ref())?;
        let out = connection::open(&part, key.as_ref(), OpenFlags::default())?;
        rows::unset_meta(&out, meta::TOKEN)?;
        rows::unset_meta(&out, meta::OWN_LOG)?;
        // One file, without a log beside it.
        out.pragma_update(None, "journal_mode", "DELETE")?;
        out.close().map_err(|(_, e)| StoreError::from(e))?;
        let file = std::fs::File::open(&part).and_then(|f| f.sync_all());
        file.and_then(|()| std::fs::rename(&part, to))
            .map_err(|source| StoreError::Io { path: to.to_path_buf(), source })
    }

    /// Puts a backup in the place of a store. No process may have the store open. A store that is
    /// there is kept beside it under another name. The next own entry starts a new log.
    ///
    /// `device` is the device whose secrets are at hand; a backup of another one is refused.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotAStore`], [`StoreError::Damaged`], [`StoreError::OtherStore`], and what the
    /// file system says.
    pub fn restore(
        place: &Place,
        from: &Path,
        device: &DeviceId,
        now_ms: u64,
    ) -> Result<Restored, StoreError> {
        if !from.exists() {
            return Err(StoreError::Missing(from.to_path_buf()));
        }
        let io = |path: &Path| {
            let path = path.to_path_buf();
            move |source| StoreError::Io { path, source }
        };
        // Everything is made ready in a file beside, so that a bad backup costs nothing.
        let mut ready = place.db.as_os_str().to_owned();
        ready.push(".restoring");
        let ready = PathBuf::from(ready);
        remove_files(&ready);
        let key = place.key.as_ref();
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let source = connection::open(from, key, flags)?;
        copy(&source, &ready, key)?;
        drop(source);
        let ready_place = Place { db: ready.clone(), ..place.clone() };
        let checked = prepare_restored(&ready_place, device, now_ms);
        let community = match checked {
            Ok(community) => community,
            Err(e) => {
                remove_files(&ready);
                return Err(e);
            }
        };
        let replaced = if place.db.exists() { Some(set_aside(&place.db, now_ms)?) } else { None };
        std::fs::rename(&ready, &place.db).map_err(io(&place.db))?;
        remove_files(&ready);
        Ok(Restored { community, replaced })
    }
}

fn prepare_restored(
    place: &Place,
    device: &DeviceId,
    now_ms: u64,
) -> Result<CommunityId, StoreError> {
    if place.key.is_some() {
        super::seal(place)?;
    }
    let path = &place.db;
    let mut conn = connection::open_writer(path, place.key.as_ref(), false)?;
    let verdict: String = conn.query_row("PRAGMA quick_check(1)", [], |r| r.get(0))?;
    if verdict != "ok" {
        return Err(StoreError::Damaged(verdict));
    }
    schema::migrate(&mut conn, place, schema::MIGRATIONS)?;
    let community = rows::get_meta(&conn, meta::COMMUNITY)?
        .and_then(|c| CommunityId::from_slice(&c))
        .ok_or_else(|| StoreError::NotAStore(path.clone()))?;
    if rows::get_meta(&conn, meta::DEVICE)?.as_deref() != Some(device.as_bytes()) {
        return Err(StoreError::OtherStore);
    }
    // The token goes with the file that it stands for: a restored one gets its own.
    let mut token = blake3::Hasher::new();
    token.update(&now_ms.to_be_bytes()).update(path.as_os_str().as_encoded_bytes());
    rows::unset_meta(&conn, meta::OWN_LOG)?;
    rows::set_meta(&conn, meta::TOKEN, token.finalize().as_bytes().get(..16).unwrap_or_default())?;
    conn.execute(
        "INSERT INTO notices (at, kind, detail) VALUES (?1, 'restored', ?2)",
        (now_ms.cast_signed(), "this store was restored from a backup"),
    )?;
    conn.pragma_update(None, "journal_mode", "DELETE")?;
    conn.close().map_err(|(_, e)| StoreError::from(e))?;
    Ok(community)
}

/// Moves a store out of the way, with the files beside it.
fn set_aside(db: &Path, now_ms: u64) -> Result<PathBuf, StoreError> {
    let mut name = db.as_os_str().to_owned();
    name.push(format!(".replaced-{now_ms}"));
    let target = PathBuf::from(name);
    for (from, to) in store_files(db).iter().zip(store_files(&target)) {
        if from.exists() {
            std::fs::rename(from, to)
                .map_err(|source| StoreError::Io { path: from.clone(), source })?;
        }
    }
    Ok(target)
}
