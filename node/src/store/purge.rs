//! Getting rid of what was withdrawn.
//!
//! 1. The payload of a withdrawn text, and of every edit of it, is dropped: of one's own at once, of
//!    another's [`GRACE_MS`] after the withdrawal, so that whoever stole a device cannot erase a
//!    person in one evening. The header stays, so logs have no holes, and the fold of what is left
//!    is the same.
//! 2. What was dropped is not wanted any more, and not taken when a peer sends it again.
//! 3. Views, full text and pages are made anew from what is left, the file is written anew without
//!    its free pages, and the log beside it is emptied: no copy of a text stays behind in any of them.

use std::path::{Path, PathBuf};

use lanai_crdt::thread::withdrawn_texts;

use super::groups::entries_of_group;
use super::keys::Keyring;
use super::rows::number_of;
use super::{Durability, Store, StoreError, backup};

/// How long another's text is kept after it was withdrawn: three days, in milliseconds.
pub(super) const GRACE_MS: u64 = 3 * 24 * 60 * 60 * 1000;

/// What [`Store::purge`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Purged {
    /// Texts whose payloads were dropped now.
    pub dropped: u64,
    /// Texts that are withdrawn and kept until their time is over.
    pub kept: u64,
}

impl Store {
    /// Drops what was withdrawn, and all traces of it in the store's files. Takes the time of
    /// [`rebuild`](Self::rebuild), and memory for all of the store. `progress` is told how many
    /// entries were folded.
    ///
    /// # Errors
    ///
    /// [`StoreError::Busy`] when another process reads for too long; it can be repeated then.
    pub fn purge(&self, now_ms: u64, progress: impl FnMut(u64)) -> Result<Purged, StoreError> {
        let purged = self.drop_withdrawn(now_ms)?;
        self.rebuild(progress)?;
        let (_turn, conn) = self.inner.connections.writer(Durability::Full)?;
        // The question page of a withdrawn ask is hidden, and folded all the same.
        conn.execute_batch(
            "DELETE FROM pages WHERE kind = 0
             AND t IN (SELECT t FROM threads WHERE hash IS NOT NULL AND title = '');
             VACUUM;",
        )?;
        let busy: i64 = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |r| r.get(0))?;
        if busy != 0 {
            return Err(StoreError::Busy);
        }
        Ok(purged)
    }

    fn drop_withdrawn(&self, now_ms: u64) -> Result<Purged, StoreError> {
        let me = self.own_member()?;
        self.inner.write(Durability::Full, now_ms, |ctx| {
            let mut purged = Purged::default();
            let keys = Keyring::load(ctx.conn)?;
            let groups: Vec<i64> = ctx
                .conn
                .prepare("SELECT DISTINCT grp FROM threads WHERE grp IS NOT NULL")?
                .query_map([], |r| r.get(0))?
                .collect::<Result<_, _>>()?;
            for group in groups {
                let entries = entries_of_group(ctx.conn, &ctx.community, &keys, group)?;
                for text in withdrawn_texts(&entries) {
                    let Some(n) = number_of(ctx.conn, &text.id)? else { continue };
                    if Some(text.author) != me
                        && text.withdrawn_ms.saturating_add(GRACE_MS) > now_ms
                    {
                        purged.kept += 1;
                        continue;
                    }
                    ctx.conn
                        .prepare_cached("DELETE FROM missing_payloads WHERE n = ?1")?
                        .execute([n])?;
                    let dropped = ctx
                        .conn
                        .prepare_cached("DELETE FROM payloads WHERE n = ?1")?
                        .execute([n])?;
                    purged.dropped += u64::try_from(dropped).unwrap_or(0);
                }
            }
            let own = match me {
                Some(me) => ctx.member(&me)?,
                None => -1,
            };
            let (dropped, kept) = super::files::purge_manifests(ctx, own)?;
            purged.dropped += dropped;
            purged.kept += kept;
            Ok(purged)
        })
    }

    /// Older copies of the store beside it, from migrations and restoring: they hold what the store
    /// held then.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read.
    pub fn older_copies(&self) -> Result<Vec<PathBuf>, StoreError> {
        let db = self.inner.connections.path();
        let dir = db.parent().unwrap_or(Path::new("."));
        let name = db.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let io = |source| StoreError::Io { path: dir.to_path_buf(), source };
        let own = backup::store_files(db);
        let mut found = Vec::new();
        for entry in std::fs::read_dir(dir).map_err(io)? {
            let path = entry.map_err(io)?.path();
            let of_store = path.file_name().is_some_and(|file| {
                file.to_string_lossy().strip_prefix(&name).is_some_and(|rest| rest.starts_with('.'))
            });
            if of_store && path.is_file() && !own.contains(&path) {
                found.push(path);
            }
        }
        found.sort();
        Ok(found)
    }
}
