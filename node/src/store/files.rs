//! Files: what manifests say, and what this device does about each.
//!
//! 1. `files` holds the manifests that count, folded one by one; they do not touch threads. What a file is
//!    attached to is the post in its `refs[1]`, wherever that is shown.
//! 2. A file is withdrawn by its own author, by a withdrawal that names it in `refs[1]`: hidden and not
//!    served from then on. Its bytes go with its manifest: own ones at once, others' after [`GRACE_MS`].
//! 3. `file_marks` is local: what is pinned, wanted, not wanted, and last used. Which bytes are here, only
//!    the disk knows ([`crate::files::Blobs`]).
//! 4. The key of a file stays in its sealed manifest; no table holds a copy.

use std::collections::BTreeMap;

use lanai_crdt::clock::Hlc;
use lanai_crdt::entry::HeaderTail;
use lanai_crdt::id::{EntryId, FileRoot, IdPrefix, MemberId};
use lanai_crdt::payload::{Body, File};
use rusqlite::{Connection, Row};

use super::fold::open_body;
use super::keys::Keyring;
use super::purge::GRACE_MS;
use super::rows::{self, N, Stored, entry_id, unordered};
use super::write::{Ctx, Stand};
use super::{Durability, Store, StoreError};

/// files: thread and post as the manifest names them, NULL for a file of the community. withdrawals:
/// target as it names it, m: by whom. file_marks: by root; used: Unix milliseconds.
pub(super) const MIGRATION: &str = r"
CREATE TABLE files (
    n INTEGER PRIMARY KEY,
    m INTEGER NOT NULL,
    thread BLOB,
    post BLOB,
    root BLOB NOT NULL,
    bytes INTEGER NOT NULL,
    name TEXT NOT NULL,
    media TEXT
);
CREATE INDEX files_by_post ON files (post);
CREATE INDEX files_by_root ON files (root);
CREATE TABLE withdrawals (
    n INTEGER PRIMARY KEY, m INTEGER NOT NULL, target BLOB NOT NULL
);
CREATE INDEX withdrawals_by_target ON withdrawals (target);
CREATE TABLE file_marks (
    root BLOB PRIMARY KEY,
    pinned INTEGER NOT NULL DEFAULT 0,
    wanted INTEGER NOT NULL DEFAULT 0,
    declined INTEGER NOT NULL DEFAULT 0,
    used INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
UPDATE entries SET state = 0 WHERE state = 4 AND class = 5;
INSERT OR IGNORE INTO todo (n) SELECT e.n FROM entries e JOIN payloads p ON p.n = e.n
    WHERE e.class = 5 AND e.past IS NOT NULL AND e.state = 0;
";

/// Empties the tables that are folds; part of throwing all views away.
pub(super) const DROP: &str = "DELETE FROM files; DELETE FROM withdrawals;";

/// What this device does about a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FileMarks {
    /// It is not dropped for want of room.
    pub pinned: bool,
    /// Somebody here asked for it.
    pub wanted: bool,
    /// Somebody here dropped it: it is not fetched unasked.
    pub declined: bool,
    /// When it was last added, fetched or written out, Unix milliseconds; 0 if never.
    pub used_ms: u64,
}

/// A file, by a manifest that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileView {
    /// The manifest.
    pub id: EntryId,
    /// Who added it.
    pub author: MemberId,
    /// Whether that is this device's owner.
    pub own: bool,
    /// The thread that the manifest names; none for a file of the community.
    pub thread: Option<EntryId>,
    /// The post that it is attached to, as the manifest names it; none for a file of the community.
    pub post: Option<EntryId>,
    /// What it is called: a peer's text.
    pub name: String,
    /// Its media type: a peer's text.
    pub media: Option<String>,
    /// Its bytes.
    pub bytes: u64,
    /// What its sealed bytes are known by.
    pub root: FileRoot,
    /// When it was added, Unix milliseconds.
    pub time_ms: u64,
    /// Whether its author took it back.
    pub withdrawn: bool,
    /// What this device does about it.
    pub marks: FileMarks,
}

const COLUMNS: &str = "e.id, m.id, f.post, f.name, f.media, f.bytes, f.root, e.time, \
     EXISTS (SELECT 1 FROM withdrawals w WHERE w.target = e.id AND w.m = f.m), \
     coalesce(k.pinned, 0), coalesce(k.wanted, 0), coalesce(k.declined, 0), coalesce(k.used, 0), f.thread";

const JOINS: &str = "FROM files f JOIN entries e ON e.n = f.n JOIN members m ON m.m = f.m \
     LEFT JOIN file_marks k ON k.root = f.root";

fn read_file(row: &Row<'_>, own: Option<MemberId>) -> rusqlite::Result<FileView> {
    let author = MemberId::from_slice(row.get_ref(1)?.as_blob()?).unwrap_or(MemberId::ZERO);
    let post = row.get_ref(2)?.as_blob_or_null()?.map(entry_id);
    Ok(FileView {
        id: entry_id(row.get_ref(0)?.as_blob()?),
        author,
        own: own == Some(author),
        thread: row.get_ref(13)?.as_blob_or_null()?.map(entry_id),
        post,
        name: row.get(3)?,
        media: row.get(4)?,
        bytes: row.get::<_, i64>(5)?.unsigned_abs(),
        root: FileRoot::from_slice(row.get_ref(6)?.as_blob()?).unwrap_or(FileRoot::ZERO),
        time_ms: Hlc(unordered(row.get(7)?)).millis(),
        withdrawn: row.get(8)?,
        marks: FileMarks {
            pinned: row.get(9)?,
            wanted: row.get(10)?,
            declined: row.get(11)?,
            used_ms: row.get::<_, i64>(12)?.unsigned_abs(),
        },
    })
}

impl Ctx<'_> {
    /// A manifest that counts.
    pub(super) fn note_file(
        &mut self,
        stored: &Stored,
        stand: &Stand,
        file: &File,
    ) -> Result<(), StoreError> {
        let refs = match &stored.verified.header().tail {
            HeaderTail::V1 { refs, .. } => refs.as_slice(),
            HeaderTail::Later { .. } => &[],
        };
        let (thread, post) = (refs.first(), refs.get(1).or(refs.first()));
        self.conn
            .prepare_cached(
                "INSERT OR REPLACE INTO files (n, m, thread, post, root, bytes, name, media)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?
            .execute((
                stored.n,
                stand.m,
                thread.map(|id| id.as_bytes().as_slice()),
                post.map(|id| id.as_bytes().as_slice()),
                file.root.as_slice(),
                i64::try_from(file.bytes).unwrap_or(i64::MAX),
                &file.name,
                &file.media,
            ))?;
        Ok(())
    }

    /// A withdrawal that counts, of whatever.
    pub(super) fn note_withdrawal(
        &self,
        n: N,
        m: i64,
        target: Option<&EntryId>,
    ) -> Result<(), StoreError> {
        let Some(target) = target else { return Ok(()) };
        self.conn
            .prepare_cached(
                "INSERT OR REPLACE INTO withdrawals (n, m, target) VALUES (?1, ?2, ?3)",
            )?
            .execute((n, m, target.as_bytes()))?;
        Ok(())
    }

    /// An entry that no longer counts.
    pub(super) fn forget_file(&self, n: N) -> Result<(), StoreError> {
        self.conn.prepare_cached("DELETE FROM files WHERE n = ?1")?.execute([n])?;
        self.conn.prepare_cached("DELETE FROM withdrawals WHERE n = ?1")?.execute([n])?;
        Ok(())
    }
}

/// Ids of the manifests that readers see, in order: what the state hash covers of files.
pub(super) fn shown_files(conn: &Connection) -> Result<Vec<EntryId>, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT e.id FROM files f JOIN entries e ON e.n = f.n
         WHERE NOT EXISTS (SELECT 1 FROM withdrawals w WHERE w.target = e.id AND w.m = f.m)
         ORDER BY e.id",
    )?;
    let ids = statement.query_map([], |r| Ok(entry_id(r.get_ref(0)?.as_blob()?)))?;
    Ok(ids.collect::<Result<_, _>>()?)
}

/// Drops the manifests of files that were withdrawn, those of others after their time; gives how many
/// were dropped, and how many are kept yet.
pub(super) fn purge_manifests(ctx: &Ctx<'_>, own: i64) -> Result<(u64, u64), StoreError> {
    let mut statement = ctx.conn.prepare(
        "SELECT f.n, f.m, f.root, min(x.time) FROM files f JOIN entries e ON e.n = f.n
         JOIN withdrawals w ON w.target = e.id AND w.m = f.m JOIN entries x ON x.n = w.n GROUP BY f.n",
    )?;
    let withdrawn: Vec<(N, i64, i64)> = statement
        .query_map([], |r| Ok((r.get(0)?, r.get(1)?, r.get(3)?)))?
        .collect::<Result<_, _>>()?;
    let (mut dropped, mut kept) = (0, 0);
    for (n, m, time) in withdrawn {
        let since = Hlc(unordered(time)).millis();
        if m != own && since.saturating_add(GRACE_MS) > ctx.now_ms {
            kept += 1;
            continue;
        }
        ctx.conn.execute("DELETE FROM missing_payloads WHERE n = ?1", [n])?;
        dropped += ctx.conn.execute("DELETE FROM payloads WHERE n = ?1", [n])? as u64;
    }
    Ok((dropped, kept))
}

impl Store {
    fn read_files(
        &self,
        condition: &str,
        values: impl rusqlite::Params,
    ) -> Result<Vec<FileView>, StoreError> {
        let own = self.own_member()?;
        self.inner.connections.read(|conn| {
            let mut statement = conn.prepare_cached(&format!(
                "SELECT {COLUMNS} {JOINS} WHERE {condition} ORDER BY e.time, e.id"
            ))?;
            let files = statement.query_map(values, |row| read_file(row, own))?;
            Ok(files.collect::<Result<_, _>>()?)
        })
    }

    /// All files that were not withdrawn, the oldest first.
    ///
    /// # Errors
    ///
    /// When the store cannot be read; so for the other calls here.
    pub fn files(&self) -> Result<Vec<FileView>, StoreError> {
        let mut all = self.read_files("1", [])?;
        all.retain(|file| !file.withdrawn);
        Ok(all)
    }

    /// The files attached to these posts (any copy of each) that were not withdrawn.
    ///
    /// # Errors
    ///
    /// As for [`files`](Self::files).
    pub fn files_of(
        &self,
        posts: &[EntryId],
    ) -> Result<BTreeMap<EntryId, Vec<FileView>>, StoreError> {
        let mut found: BTreeMap<EntryId, Vec<FileView>> = BTreeMap::new();
        let none = self
            .inner
            .connections
            .read(|conn| Ok(!conn.prepare_cached("SELECT 1 FROM files LIMIT 1")?.exists([])?))?;
        if none {
            return Ok(found);
        }
        for post in posts {
            let mut files = self.read_files("f.post = ?1", [post.as_bytes()])?;
            files.retain(|file| !file.withdrawn);
            if !files.is_empty() {
                found.insert(*post, files);
            }
        }
        Ok(found)
    }

    /// The files whose manifest's id begins so, withdrawn ones included.
    ///
    /// # Errors
    ///
    /// As for [`files`](Self::files).
    pub fn files_by_prefix(&self, prefix: &IdPrefix) -> Result<Vec<FileView>, StoreError> {
        let (low, high) = prefix.range();
        self.read_files("e.id BETWEEN ?1 AND ?2", (low, high))
    }

    /// One file, by its manifest.
    ///
    /// # Errors
    ///
    /// As for [`files`](Self::files).
    pub fn file(&self, id: &EntryId) -> Result<Option<FileView>, StoreError> {
        Ok(self.read_files("e.id = ?1", [id.as_bytes()])?.pop())
    }

    /// All manifests that name these sealed bytes.
    ///
    /// # Errors
    ///
    /// As for [`files`](Self::files).
    pub fn files_with_root(&self, root: &FileRoot) -> Result<Vec<FileView>, StoreError> {
        self.read_files("f.root = ?1", [root.as_bytes()])
    }

    /// Whether members may be given these sealed bytes: a manifest that counts names them, and its author
    /// did not take it back.
    ///
    /// # Errors
    ///
    /// As for [`files`](Self::files).
    pub fn is_served(&self, root: &FileRoot, bytes: u64) -> Result<bool, StoreError> {
        let named = self.files_with_root(root)?;
        Ok(named.iter().any(|file| file.bytes == bytes && !file.withdrawn))
    }

    /// What a file is sealed with; `None` where its manifest cannot be opened here.
    ///
    /// # Errors
    ///
    /// As for [`files`](Self::files).
    pub fn file_key(
        &self,
        id: &EntryId,
    ) -> Result<Option<zeroize::Zeroizing<[u8; 32]>>, StoreError> {
        self.inner.connections.read(|conn| {
            let Some(stored) = rows::entry_by_id(conn, &self.inner.community, id)? else {
                return Ok(None);
            };
            let Some(blob) = rows::payload(conn, stored.n)? else { return Ok(None) };
            match open_body(&Keyring::load(conn)?, &stored, &blob) {
                Ok(Body::File(file)) => Ok(Some(zeroize::Zeroizing::new(*file.key))),
                _ => Ok(None),
            }
        })
    }

    /// Roots whose bytes are to go: every manifest that names them was withdrawn, those of others
    /// [`GRACE_MS`] ago.
    ///
    /// # Errors
    ///
    /// As for [`files`](Self::files).
    pub fn files_to_drop(&self, now_ms: u64) -> Result<Vec<FileRoot>, StoreError> {
        let own = self.own_member()?;
        self.inner.connections.read(|conn| {
            let mut statement = conn.prepare_cached(
                "SELECT f.root, m.id, (SELECT min(x.time) FROM withdrawals w
                     JOIN entries x ON x.n = w.n WHERE w.target = e.id AND w.m = f.m)
                 FROM files f JOIN entries e ON e.n = f.n JOIN members m ON m.m = f.m
                 WHERE f.root IN (SELECT g.root FROM files g JOIN entries y ON y.n = g.n
                     JOIN withdrawals v ON v.target = y.id AND v.m = g.m)",
            )?;
            let mut rows = statement.query([])?;
            let mut gone: BTreeMap<FileRoot, bool> = BTreeMap::new();
            while let Some(row) = rows.next()? {
                let Some(root) = FileRoot::from_slice(row.get_ref(0)?.as_blob()?) else { continue };
                let author = MemberId::from_slice(row.get_ref(1)?.as_blob()?);
                let time: Option<i64> = row.get(2)?;
                let over = time.is_some_and(|time| {
                    let since = Hlc(unordered(time)).millis();
                    author == own || since.saturating_add(GRACE_MS) <= now_ms
                });
                *gone.entry(root).or_insert(true) &= over;
            }
            Ok(gone.into_iter().filter(|(_, gone)| *gone).map(|(root, _)| root).collect())
        })
    }

    fn mark_file(&self, root: &FileRoot, set: &str, value: i64) -> Result<(), StoreError> {
        self.inner.write(Durability::Normal, 0, |ctx| {
            ctx.conn
                .prepare_cached("INSERT OR IGNORE INTO file_marks (root) VALUES (?1)")?
                .execute([root.as_bytes()])?;
            ctx.conn
                .prepare_cached(&format!("UPDATE file_marks SET {set} WHERE root = ?1"))?
                .execute((root.as_bytes(), value))?;
            Ok(())
        })
    }

    /// Keeps a file from being dropped for want of room, or not any more.
    ///
    /// # Errors
    ///
    /// When the store cannot be written; so for the other marks.
    pub fn pin_file(&self, root: &FileRoot, pinned: bool) -> Result<(), StoreError> {
        self.mark_file(root, "pinned = ?2", i64::from(pinned))
    }

    /// Somebody here wants a file.
    ///
    /// # Errors
    ///
    /// As for [`pin_file`](Self::pin_file).
    pub fn want_file(&self, root: &FileRoot) -> Result<(), StoreError> {
        self.mark_file(root, "wanted = ?2, declined = 0", 1)
    }

    /// Somebody here does not want a file (any more): it is neither kept nor fetched unasked.
    ///
    /// # Errors
    ///
    /// As for [`pin_file`](Self::pin_file).
    pub fn decline_file(&self, root: &FileRoot) -> Result<(), StoreError> {
        self.mark_file(root, "declined = ?2, wanted = 0, pinned = 0", 1)
    }

    /// A file came, was added, or was written out.
    ///
    /// # Errors
    ///
    /// As for [`pin_file`](Self::pin_file).
    pub fn use_file(&self, root: &FileRoot, now_ms: u64) -> Result<(), StoreError> {
        let now = i64::try_from(now_ms).unwrap_or(i64::MAX);
        self.mark_file(root, "used = ?2, wanted = 0", now)
    }
}
