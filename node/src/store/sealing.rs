//! Sealing a store that was plain.

use std::fs::{File, OpenOptions, rename};
use std::path::PathBuf;
use std::time::Duration;

use super::{CAN_SEAL, Place, StoreError, backup, connection, restrict, token};
use crate::identity::private;

/// Seals the store at `place` with its key, and destroys the plain file. Says whether there was
/// anything to do.
///
/// The sealed file takes the place of the plain one in one step, so an interruption leaves one or
/// the other. What the disk itself keeps of the plain one (flash memory, snapshots) is out of reach.
///
/// # Errors
///
/// [`StoreError::Busy`] where the store is open elsewhere, in this process too, and what SQLite and
/// the file system say; the store is as it was then.
pub fn seal(place: &Place) -> Result<bool, StoreError> {
    let db = &place.db;
    let Some(key) = place.key.as_ref().filter(|_| CAN_SEAL && db.exists()) else {
        return Ok(false);
    };
    let io = |source| StoreError::Io { path: db.clone(), source };
    let before = token::identity(db)?;
    let mut sealed = db.as_os_str().to_owned();
    sealed.push(".sealing");
    let sealed = PathBuf::from(sealed);
    backup::remove_files(&sealed);
    let conn = connection::open_writer(db, Some(key), false)?;
    if connection::seals(&conn) {
        return Ok(false);
    }
    // Nobody else may have it open, or what they write after this would be lost with the plain file.
    conn.busy_timeout(Duration::ZERO)?;
    let mode: String = conn.query_row("PRAGMA journal_mode = DELETE", [], |r| r.get(0))?;
    if mode != "delete" {
        return Err(StoreError::Busy);
    }
    conn.execute_batch("PRAGMA main.locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; COMMIT;")?;
    // SQLite makes no file here: a store is opened to be found.
    File::create(&sealed).map_err(io)?;
    restrict(&sealed)?;
    let path = sealed.to_str().ok_or(StoreError::Internal("a path that is no text"))?;
    conn.execute("ATTACH DATABASE ?1 AS sealed KEY ?2", (path, connection::raw_key(key).as_str()))?;
    conn.query_row("SELECT sqlcipher_export('sealed')", [], |_| Ok(()))?;
    for pragma in ["application_id", "user_version"] {
        let value: i32 = conn.query_row(&format!("PRAGMA {pragma}"), [], |r| r.get(0))?;
        conn.execute_batch(&format!("PRAGMA sealed.{pragma} = {value}"))?;
    }
    conn.execute_batch("DETACH DATABASE sealed")?;
    File::open(&sealed).and_then(|file| file.sync_all()).map_err(io)?;
    let plain = OpenOptions::new().write(true).open(db).map_err(io)?;
    rename(&sealed, db).map_err(io)?;
    private::sync_parent(db).map_err(|e| io(std::io::Error::other(e)))?;
    token::follow(place, before)?;
    private::overwrite(&plain).map_err(io)?;
    // Held until here: who opened the plain file meanwhile finds nothing in it.
    drop(conn);
    Ok(true)
}
