//! The same rows, inserted by SQLite and nothing else: what a cold sync is compared with.
//!
//! What is copied, row by row with prepared statements, out of a finished store into an empty database of
//! the same schema: `entries`, `payloads`, `logs`, `epochs`, `pasts`, `stands`, `members`, `threads`,
//! `thread_entries`, `posts`, `names`, `words`, `news`, all their indexes, and the full text index with the titles
//! and texts of the posts, which merges as FTS5 does by itself. In transactions of [`BATCH`] rows, with the pragmas of the store's writer. Only
//! the inserting is timed: reading the rows, and opening the texts, is not.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use lanai_crdt::id::EntryId;
use lanai_node::store::ThreadFilter;
use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, params_from_iter};

use crate::support::{Person, Result, text_of};

/// Rows of a transaction.
const BATCH: usize = 5_000;
/// Tables that are copied as they stand.
const TABLES: [&str; 13] = [
    "logs",
    "epochs",
    "pasts",
    "stands",
    "members",
    "entries",
    "payloads",
    "threads",
    "thread_entries",
    "posts",
    "names",
    "words",
    "news",
];

/// How long the rows of a finished store take, how many there are, and the bytes of the database they make.
pub(crate) struct SameRows {
    pub(crate) took: Duration,
    pub(crate) rows: usize,
    pub(crate) bytes: u64,
}

/// Inserts the rows of `from`'s store, which no process writes to, into a new database.
pub(crate) fn insert_same_rows(from: &Person) -> Result<SameRows> {
    let source = Connection::open_with_flags(from.home.store(), OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("same.db");
    let mut target = Connection::open(&path)?;
    for (pragma, value) in [
        ("journal_mode", "WAL"),
        ("synchronous", "NORMAL"),
        ("cache_size", "-16384"),
        ("wal_autocheckpoint", "4000"),
    ] {
        target.pragma_update(None, pragma, value)?;
    }
    let wanted = |name: &str| TABLES.contains(&name) || name == "fts";
    let mut schema = source.prepare(
        "SELECT tbl_name, sql FROM sqlite_schema WHERE sql NOT NULL AND type <> 'trigger'",
    )?;
    let mut found = schema.query([])?;
    while let Some(row) = found.next()? {
        if wanted(&row.get::<_, String>(0)?) {
            target.execute_batch(&row.get::<_, String>(1)?)?;
        }
    }
    let (mut took, mut rows) = (Duration::ZERO, 0);
    for table in TABLES {
        let (time, count) = copy_table(&source, &mut target, table)?;
        (took, rows) = (took + time, rows + count);
    }
    let (time, count) = copy_texts(from, &source, &mut target)?;
    (took, rows) = (took + time, rows + count);
    let start = Instant::now();
    target.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    took += start.elapsed();
    Ok(SameRows { took, rows, bytes: bytes_of(&path)? })
}

fn bytes_of(path: &Path) -> Result<u64> {
    Ok(std::fs::metadata(path)?.len())
}

fn copy_table(
    source: &Connection,
    target: &mut Connection,
    table: &str,
) -> Result<(Duration, usize)> {
    let mut select = source.prepare(&format!("SELECT * FROM {table}"))?;
    let columns = select.column_count();
    let places: Vec<String> = (1..=columns).map(|i| format!("?{i}")).collect();
    let insert = format!("INSERT INTO {table} VALUES ({})", places.join(", "));
    let mut rows = select.query([])?;
    let (mut took, mut count) = (Duration::ZERO, 0);
    loop {
        let mut batch: Vec<Vec<Value>> = Vec::with_capacity(BATCH);
        while batch.len() < BATCH
            && let Some(row) = rows.next()?
        {
            batch.push((0..columns).map(|i| row.get(i)).collect::<rusqlite::Result<_>>()?);
        }
        if batch.is_empty() {
            return Ok((took, count));
        }
        count += batch.len();
        let start = Instant::now();
        let tx = target.transaction()?;
        {
            let mut statement = tx.prepare_cached(&insert)?;
            for row in batch {
                statement.execute(params_from_iter(row))?;
            }
        }
        tx.commit()?;
        took += start.elapsed();
    }
}

/// The full text index: its rows are not to be had back, so the texts are read as a reader would.
fn copy_texts(
    from: &Person,
    source: &Connection,
    target: &mut Connection,
) -> Result<(Duration, usize)> {
    let mut place = source.prepare(
        "SELECT x.doc FROM entries e JOIN posts x ON x.n = e.n
         WHERE substr(e.id, 1, 8) = substr(?1, 1, 8) AND e.id = ?1",
    )?;
    let mut roots: Vec<EntryId> =
        from.store.threads(&ThreadFilter::default())?.iter().map(|t| t.root).collect();
    // The oldest first, as they were indexed.
    roots.reverse();
    let (mut took, mut count) = (Duration::ZERO, 0);
    for part in roots.chunks(BATCH / 10) {
        let mut batch: HashMap<i64, (String, String)> = HashMap::new();
        for root in part {
            let Some(view) = from.store.thread(root)? else { continue };
            for post in &view.thread.posts {
                let Ok(doc) = place.query_row([post.id.as_bytes()], |r| r.get(0)) else { continue };
                let title =
                    if post.id == *root { view.thread.title.clone() } else { String::new() };
                batch.insert(doc, (title, text_of(&post.text).to_owned()));
            }
        }
        count += batch.len();
        let mut batch: Vec<(i64, (String, String))> = batch.into_iter().collect();
        batch.sort_unstable_by_key(|(doc, _)| *doc);
        let start = Instant::now();
        let tx = target.transaction()?;
        {
            let mut insert =
                tx.prepare_cached("INSERT INTO fts (rowid, title, body) VALUES (?1, ?2, ?3)")?;
            for (doc, (title, body)) in batch {
                insert.execute((doc, title, body))?;
            }
        }
        tx.commit()?;
        took += start.elapsed();
    }
    Ok((took, count))
}
