//! Groups of threads: reading what one is folded from, folding it, writing what its threads look like.

use std::collections::{HashMap, HashSet};

use lanai_crdt::id::EntryId;
use lanai_crdt::thread::{TalkEntry, fold_threads};

use super::StoreError;
use super::fold::{Opened, PostRow, load_group};
use super::rows::N;
use super::write::Ctx;

impl Ctx<'_> {
    /// Folds a group. `touched` gets the roots of its threads.
    pub(super) fn fold_group(
        &mut self,
        group: i64,
        opened: &mut Opened,
        touched: &mut Vec<EntryId>,
    ) -> Result<(), StoreError> {
        let (conn, community) = (self.conn, self.community);
        let loaded = load_group(conn, &community, self.keys()?, group, opened)?;
        let numbers: HashMap<EntryId, N> = loaded.iter().map(|(n, e)| (e.id, *n)).collect();
        let entries: Vec<TalkEntry> = loaded.into_iter().map(|(_, e)| e).collect();
        let threads = fold_threads(&entries);
        let mut shown = HashSet::new();
        let mut rows: HashMap<N, PostRow> = HashMap::new();
        let mut texts: HashMap<N, (String, String)> = HashMap::new();
        for thread in &threads {
            let t = self.thread(&thread.root)?;
            shown.insert(t);
            self.save_summary(group, t, thread)?;
            self.save_ask(t, thread, &numbers, &entries)?;
            self.post_rows(t, thread, &numbers, &mut rows, &mut texts)?;
            touched.push(thread.root);
        }
        let stale: Vec<i64> = self
            .conn
            .prepare_cached("SELECT t FROM threads WHERE grp = ?1 AND hash IS NOT NULL")?
            .query_map([group], |r| r.get(0))?
            .collect::<Result<_, _>>()?;
        for t in stale.into_iter().filter(|t| !shown.contains(t)) {
            self.conn
                .prepare_cached(
                    "UPDATE threads SET kind = NULL, state = NULL, title = NULL, author = NULL,
                     origin = NULL, posts = NULL, started = NULL, active = NULL, pinned = 0,
                     featured = 0, hash = NULL WHERE t = ?1",
                )?
                .execute([t])?;
            self.conn.prepare_cached("DELETE FROM thread_tags WHERE t = ?1")?.execute([t])?;
        }
        self.note_worth(group, &threads, &numbers)?;
        self.save_posts(group, rows, texts)?;
        self.save_places(group, &threads, &numbers)
    }
}
