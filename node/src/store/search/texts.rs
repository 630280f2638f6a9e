//! Texts on their way into the full text index.
//!
//! FTS5 gathers what is inserted in memory and writes it as one segment, to be merged with others later. It
//! does so not only when enough has come: also whenever a rowid is smaller than the one before it. Threads are
//! folded one after another, and their posts' times interleave, so every thread would make a segment of its
//! own. Texts are gathered here first and inserted in the order of their rowids.
//!
//! Merging is put off until nothing else is to be done ([`Store::merge_texts`]): a query reads all segments there are
//! and finds the same, so that it is for later queries to be fast that they are merged at all. Only when there are
//! very many of one size, FTS5 merges them at once.

use std::collections::BTreeMap;

use super::NewWords;
use crate::store::write::Ctx;
use crate::store::{Durability, Store, StoreError};

/// Bytes of text that are gathered at most.
const MAX_GATHERED: usize = 4 * 1024 * 1024;

/// How FTS5 is told not to merge by itself.
macro_rules! merge_when_idle {
    () => {
        "INSERT INTO fts (fts, rank) VALUES ('automerge', 0);
         INSERT INTO fts (fts, rank) VALUES ('crisismerge', 64);"
    };
}
pub(in crate::store) use merge_when_idle;
/// The same, for a store of an earlier version.
pub(in crate::store) const MERGE_WHEN_IDLE: &str = merge_when_idle!();

/// Pages, of 4 kB, that are merged at once: a few milliseconds in which nobody else can write.
const MERGED_PAGES: i64 = 32;

/// So many texts are worth a thread of their own.
const MANY: usize = 64;

/// Texts that a writing transaction has not put into the full text index yet: title and body by rowid.
#[derive(Debug, Default)]
pub(in crate::store) struct NewTexts {
    texts: BTreeMap<i64, (String, String)>,
    bytes: usize,
}

impl Ctx<'_> {
    /// Indexes a text under a rowid that is free.
    pub(in crate::store) fn add_text(
        &mut self,
        doc: i64,
        title: String,
        body: String,
    ) -> Result<(), StoreError> {
        self.new_texts.bytes += title.len() + body.len();
        self.new_texts.texts.insert(doc, (title, body));
        if self.new_texts.bytes >= MAX_GATHERED { self.flush_texts() } else { Ok(()) }
    }

    /// Takes a text out of the index.
    pub(in crate::store) fn remove_text(&mut self, doc: i64) -> Result<(), StoreError> {
        if self.new_texts.texts.remove(&doc).is_none() {
            self.conn.prepare_cached("DELETE FROM fts WHERE rowid = ?1")?.execute([doc])?;
        }
        Ok(())
    }

    /// Puts what was gathered into the full text index, and its words into those that are to be counted.
    pub(in crate::store) fn flush_texts(&mut self) -> Result<(), StoreError> {
        let NewTexts { texts, .. } = std::mem::take(&mut self.new_texts);
        let (conn, words) = (self.conn, &mut self.new_words);
        let counted = std::thread::scope(|scope| {
            // To count them takes nothing of the store.
            let counting = || count(&texts, words);
            let thread = std::thread::Builder::new().name("words".into());
            let counted = texts.len() >= MANY && thread.spawn_scoped(scope, counting).is_ok();
            let mut insert =
                conn.prepare_cached("INSERT INTO fts (rowid, title, body) VALUES (?1, ?2, ?3)")?;
            for (doc, (title, body)) in &texts {
                insert.execute((doc, title, body))?;
            }
            Ok::<_, StoreError>(counted)
        })?;
        if !counted {
            count(&texts, &mut self.new_words);
        }
        Ok(())
    }
}

impl Store {
    /// Merges some of the full text index. Whether there may be more to merge.
    ///
    /// # Errors
    ///
    /// When the store cannot be written.
    pub(crate) fn merge_texts(&self) -> Result<bool, StoreError> {
        self.inner.write(Durability::Normal, 0, |ctx| {
            let before = ctx.conn.total_changes();
            ctx.conn
                .prepare_cached("INSERT INTO fts (fts, rank) VALUES ('merge', ?1)")?
                .execute([MERGED_PAGES])?;
            // FTS5 counts the command itself as one.
            Ok(ctx.conn.total_changes() - before >= 2)
        })
    }
}

fn count(texts: &BTreeMap<i64, (String, String)>, words: &mut NewWords) {
    for (title, body) in texts.values() {
        words.add(title, body);
    }
}
