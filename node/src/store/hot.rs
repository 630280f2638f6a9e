//! Statements that run for every entry of a batch.
//!
//! A connection finds a prepared statement by its text, and to hash the text of four for each entry took a
//! twentieth of the time in which a batch is put into the store. A transaction looks each up once.

use rusqlite::{CachedStatement, Connection};

/// The statements, each from its first use to the end of the transaction.
#[derive(Default)]
pub(super) struct Hot<'c> {
    entry: Option<CachedStatement<'c>>,
    payload: Option<CachedStatement<'c>>,
    thread_entry: Option<CachedStatement<'c>>,
    todo: Option<CachedStatement<'c>>,
}

type Found<'h, 'c> = rusqlite::Result<&'h mut CachedStatement<'c>>;

impl<'c> Hot<'c> {
    /// Inserts a row of `entries`: all columns but `n`.
    pub(super) fn entry(&mut self, conn: &'c Connection) -> Found<'_, 'c> {
        find(
            &mut self.entry,
            conn,
            "INSERT INTO entries
             (id, l, seq, time, class, past, state, epoch, prev, thread, header, sig, judged)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        )
    }

    /// Inserts the payload of an entry.
    pub(super) fn payload(&mut self, conn: &'c Connection) -> Found<'_, 'c> {
        find(&mut self.payload, conn, "INSERT INTO payloads (n, blob) VALUES (?1, ?2)")
    }

    /// Notes the thread of an entry.
    pub(super) fn thread_entry(&mut self, conn: &'c Connection) -> Found<'_, 'c> {
        let sql = "INSERT OR IGNORE INTO thread_entries (t, n) VALUES (?1, ?2)";
        find(&mut self.thread_entry, conn, sql)
    }

    /// Notes that an entry, of a thread perhaps, is to be folded.
    pub(super) fn todo(&mut self, conn: &'c Connection) -> Found<'_, 'c> {
        find(&mut self.todo, conn, "INSERT OR IGNORE INTO todo (n, t) VALUES (?1, ?2)")
    }
}

fn find<'h, 'c>(
    slot: &'h mut Option<CachedStatement<'c>>,
    conn: &'c Connection,
    sql: &str,
) -> Found<'h, 'c> {
    let statement = match slot.take() {
        Some(statement) => statement,
        None => conn.prepare_cached(sql)?,
    };
    Ok(slot.insert(statement))
}
