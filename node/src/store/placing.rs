//! Threads that belong together, and where their posts are shown.
//!
//! 1. Threads are folded in *groups* (`threads.grp`): imports of one root, and what an act of a lead
//!    connects: the thread that the act names, and the one that it puts something under. Groups only
//!    grow. An act that no longer counts leaves its group united; that costs time and changes nothing.
//!    Only acts of leads and stewards unite, so that nobody else can make everything one group.
//! 2. `threads.shown` says for each root, copy of a root, root of a merged thread and split-off post in
//!    which thread it is shown, so that every id keeps leading somewhere.
//! 3. Hidden posts are not in the full text index.
//! 4. Where a post is shown says nothing about whether it was read: a post that moves stays read, or
//!    unread.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use lanai_crdt::id::EntryId;
use lanai_crdt::payload::{Body, Role, ThreadAct, ThreadOp};
use lanai_crdt::thread::{PostView, TalkEntry, Thread};
use rusqlite::{Connection, OptionalExtension as _};

use super::StoreError;
use super::groups::Group;
use super::rows::{ID_IS_1, N, entry_id};
use super::write::Ctx;

impl Ctx<'_> {
    /// Makes two groups one; gives its number.
    pub(super) fn unite(&self, a: i64, b: i64) -> Result<i64, StoreError> {
        let (stays, goes) = (a.min(b), a.max(b));
        if stays != goes {
            for table in ["threads", "posts"] {
                self.conn
                    .prepare_cached(&format!("UPDATE {table} SET grp = ?1 WHERE grp = ?2"))?
                    .execute((stays, goes))?;
            }
        }
        Ok(stays)
    }

    /// Unites what an act connects (rule 1).
    pub(super) fn connect(&mut self, t: i64, role: Role, body: &Body) -> Result<(), StoreError> {
        let Body::ThreadOp(ThreadOp { act: ThreadAct::Under(to, _), .. }) = body else {
            return Ok(());
        };
        if role >= Role::Lead {
            let to = self.thread(&EntryId::new(**to))?;
            self.unite(self.group(t)?, self.group(to)?)?;
        }
        Ok(())
    }

    /// Writes down where ids lead and what stands out (rules 2 and 3).
    pub(super) fn save_places(
        &mut self,
        group: Group,
        threads: &[Thread],
        numbers: &HashMap<EntryId, N>,
    ) -> Result<(), StoreError> {
        let mut shown: BTreeMap<i64, i64> = BTreeMap::new();
        let mut hidden: BTreeSet<N> = BTreeSet::new();
        for thread in threads {
            let t = self.thread(&thread.root)?;
            shown.insert(t, t);
            for id in thread.aliases.iter().chain(&thread.absorbed) {
                shown.insert(self.thread(id)?, t);
            }
            let copies = |p: &PostView| std::iter::once(p.id).chain(p.aliases.clone());
            let numbered =
                |p: &PostView| copies(p).filter_map(|id| numbers.get(&id)).min().copied();
            hidden.extend(thread.posts.iter().filter(|p| p.hidden.is_some()).filter_map(numbered));
            let (pinned, featured) = (thread.pinned.is_some(), thread.featured().is_some());
            if pinned || featured || !group.first {
                self.conn
                    .prepare_cached(
                        "UPDATE threads SET pinned = ?2, featured = ?3
                         WHERE t = ?1 AND (pinned <> ?2 OR featured <> ?3)",
                    )?
                    .execute((t, pinned, featured))?;
            }
        }
        if group.first {
            for (t, shown) in shown {
                self.show_in(t, Some(shown))?;
            }
            return self.hide(hidden.iter().map(|n| (*n, true)));
        }
        let old: Vec<(i64, Option<i64>)> = self
            .conn
            .prepare_cached("SELECT t, shown FROM threads WHERE grp = ?1")?
            .query_map([group.grp], |r| Ok((r.get(0)?, r.get(1)?)))?
            .collect::<Result<_, _>>()?;
        for (t, old) in old {
            let new = shown.get(&t).copied();
            if new != old {
                self.show_in(t, new)?;
            }
        }
        let old: BTreeSet<N> = self
            .conn
            .prepare_cached("SELECT n FROM posts WHERE grp = ?1 AND hidden = 1")?
            .query_map([group.grp], |r| r.get(0))?
            .collect::<Result<_, _>>()?;
        self.hide(hidden.symmetric_difference(&old).map(|n| (*n, hidden.contains(n))))
    }

    fn show_in(&self, t: i64, shown: Option<i64>) -> Result<(), StoreError> {
        self.conn
            .prepare_cached("UPDATE threads SET shown = ?2 WHERE t = ?1")?
            .execute((t, shown))?;
        Ok(())
    }

    fn hide(&self, posts: impl Iterator<Item = (N, bool)>) -> Result<(), StoreError> {
        for (n, hidden) in posts {
            self.conn
                .prepare_cached("UPDATE posts SET hidden = ?2 WHERE n = ?1")?
                .execute((n, hidden))?;
        }
        Ok(())
    }
}

/// The thread in which the root of a thread is shown, by the id of the root or of a copy of it, or of a
/// post that was split off: its root and title.
pub(super) fn shown_thread(
    conn: &Connection,
    id: &EntryId,
) -> Result<Option<(EntryId, String)>, StoreError> {
    Ok(conn
        .prepare_cached(
            "SELECT s.id, s.title FROM threads x JOIN threads s ON s.t = x.shown
             WHERE x.id = ?1 AND s.hash IS NOT NULL",
        )?
        .query_row([id.as_bytes()], |r| Ok((entry_id(r.get_ref(0)?.as_blob()?), r.get(1)?)))
        .optional()?)
}

/// The thread in which a post is shown that is in the list of posts: its root and title.
pub(super) fn thread_of_post(
    conn: &Connection,
    id: &EntryId,
) -> Result<Option<(EntryId, String)>, StoreError> {
    Ok(conn
        .prepare_cached(&format!(
            "SELECT s.id, s.title FROM entries e JOIN posts p ON p.n = e.n
             JOIN threads s ON s.t = p.t WHERE {ID_IS_1}"
        ))?
        .query_row([id.as_bytes()], |r| Ok((entry_id(r.get_ref(0)?.as_blob()?), r.get(1)?)))
        .optional()?)
}

/// Which of the threads of a group an entry is found in: as a post, or by the post that it is about,
/// or by the root that it names.
pub(super) fn position(threads: &[Thread], entries: &[TalkEntry], id: &EntryId) -> Option<usize> {
    let holds = |id: &EntryId| {
        threads.iter().position(|t| {
            t.root == *id || t.posts.iter().any(|p| p.id == *id || p.aliases.contains(id))
        })
    };
    holds(id).or_else(|| {
        let entry = entries.iter().find(|e| e.id == *id)?;
        entry.refs.iter().take(2).rev().find_map(holds)
    })
}
