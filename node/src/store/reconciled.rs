//! The reconciled set in memory, for sessions that compare whole sets: one tree for all of them, made when the first
//! asks, brought up to date for each, and given back when none has asked for a while.

use std::sync::{Mutex, PoisonError};

use lanai_crdt::id::EntryId;

use super::rows::{self, ID_IS_1, entry_id, meta, unordered};
use super::sync_reads::{SetItem, lanes};
use super::{Store, StoreError};
use crate::sync::{Key, Tree};

/// The tree, while it is kept.
#[derive(Debug, Default)]
pub(super) struct SetCache(Mutex<Option<Cached>>);

#[derive(Debug)]
struct Cached {
    tree: Tree,
    /// The last arrival in it.
    mark: i64,
    generation: u64,
    /// Since it was last asked whether it is.
    used: bool,
}

impl Store {
    /// The reconciled set as it is now. The first time reads all entries once, some 40 bytes each are kept;
    /// after that only what came since is read.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn reconciled(&self) -> Result<Tree, StoreError> {
        // Who comes while it is made waits for it, instead of making another.
        let mut cache = self.inner.set.0.lock().unwrap_or_else(PoisonError::into_inner);
        self.inner.connections.read(|conn| {
            let generation = rows::get_u64(conn, meta::ROSTER_GENERATION)?;
            drop(cache.take_if(|cached| cached.generation != generation));
            let empty = || Cached { tree: Tree::default(), mark: 0, generation, used: true };
            let cached = cache.get_or_insert_with(empty);
            cached.used = true;
            let mut statement = conn
                .prepare_cached("SELECT n, time, id, class FROM entries WHERE n > ?1 ORDER BY n")?;
            let mut found = statement.query([cached.mark])?;
            while let Some(row) = found.next()? {
                let roster = row.get::<_, i64>(3)? == 0;
                let id = entry_id(row.get_ref(2)?.as_blob()?);
                cached.tree.insert(Key::new(unordered(row.get(1)?), roster, id));
                cached.mark = row.get(0)?;
            }
            Ok(cached.tree.clone())
        })
    }

    /// Gives the tree's memory back if no session asked for it since this was called last. A session that is
    /// under way keeps its own.
    pub fn rest_reconciled(&self) {
        let mut cache = self.inner.set.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cached) = cache.as_mut()
            && !std::mem::take(&mut cached.used)
        {
            *cache = None;
        }
    }

    /// What decides the order in which these entries are sent; those that are here.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn places(&self, ids: &[EntryId]) -> Result<Vec<SetItem>, StoreError> {
        self.inner.connections.read(|conn| {
            let lanes = lanes(conn, self.inner.rosters.get(conn)?.roster())?;
            let mut place = conn.prepare_cached(&format!(
                "SELECT e.time, e.l, e.class FROM entries e WHERE {ID_IS_1}"
            ))?;
            let mut out = Vec::with_capacity(ids.len());
            for id in ids {
                let mut found = place.query([id.as_bytes()])?;
                if let Some(row) = found.next()? {
                    out.push(SetItem {
                        time: unordered(row.get(0)?),
                        id: *id,
                        lane: lanes.get(&row.get(1)?).copied().unwrap_or(0),
                        roster: row.get::<_, i64>(2)? == 0,
                    });
                }
            }
            Ok(out)
        })
    }
}
