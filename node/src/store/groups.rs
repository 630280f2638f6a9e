//! Groups of threads: reading what one is folded from, folding it, writing what its threads look like.

use std::collections::{HashMap, HashSet};

use lanai_crdt::entry::Class;
use lanai_crdt::id::{CommunityId, EntryId, MemberId};
use lanai_crdt::payload::Body;
use lanai_crdt::thread::{TalkEntry, fold_threads};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};

use super::StoreError;
use super::fold::{PostRow, open_body};
use super::keys::Keyring;
use super::rows::{AFTER_ENTRY, ENTRY_COLUMNS, N, Stored, read_entry};
use super::write::{Ctx, role_from};

/// Entries that were judged and opened in this transaction, by number: they need not be read again. They are large,
/// and maps move what is in them.
pub(super) type Opened = HashMap<N, Box<TalkEntry>>;

/// Loads what a group of threads is folded from: entries that count and are good, and their numbers in the
/// same order.
pub(super) fn load_group(
    conn: &Connection,
    community: &CommunityId,
    keys: &Keyring,
    group: i64,
    opened: &mut Opened,
) -> Result<(Vec<N>, Vec<TalkEntry>), StoreError> {
    let mut numbers = conn.prepare_cached(
        "SELECT te.n FROM threads tt JOIN thread_entries te ON te.t = tt.t WHERE tt.grp = ?1",
    )?;
    let mut statement = conn.prepare_cached(&format!(
        "SELECT {ENTRY_COLUMNS}, s.role, m.id, p.blob
         FROM entries e JOIN logs g ON g.l = e.l
         JOIN stands s ON s.p = coalesce(e.judged, e.past) AND s.l = e.l JOIN members m ON m.m = s.m
         LEFT JOIN payloads p ON p.n = e.n
         WHERE e.n = ?1 AND e.state = 0
         AND NOT EXISTS (SELECT 1 FROM todo d WHERE d.n = e.n)"
    ))?;
    let mut numbers = numbers.query([group])?;
    let (mut found, mut entries) = (Vec::new(), Vec::new());
    while let Some(number) = numbers.next()? {
        let n: N = number.get(0)?;
        if let Some(entry) = opened.remove(&n) {
            found.push(n);
            entries.push(*entry);
            continue;
        }
        let mut rows = statement.query([n])?;
        let Some(row) = rows.next()? else { continue };
        let Ok(stored) = read_entry(row, community)? else { continue };
        let body = match row.get_ref(AFTER_ENTRY + 2)? {
            ValueRef::Blob(blob) => match open_body(keys, &stored, blob) {
                Ok(body) => body,
                Err(_) => continue,
            },
            // Of a post whose text was dropped, only that it was there can be folded.
            ValueRef::Null if stored.class() == Some(Class::Post) => Body::Unknown(0),
            _ => continue,
        };
        let Some(entry) = talk_entry(row, &stored, body)? else { continue };
        found.push(stored.n);
        entries.push(entry);
    }
    Ok((found, entries))
}

/// An entry as the folds take it, from a row that has its author's role and member behind [`ENTRY_COLUMNS`].
pub(super) fn talk_entry(
    row: &Row<'_>,
    stored: &Stored,
    body: Body,
) -> Result<Option<TalkEntry>, StoreError> {
    let role = role_from(row.get(AFTER_ENTRY)?);
    let member = MemberId::from_slice(row.get_ref(AFTER_ENTRY + 1)?.as_blob()?);
    let header = stored.verified.header();
    Ok(member.map(|member| TalkEntry {
        id: stored.verified.id(),
        member,
        role,
        time: header.time,
        refs: header.refs().to_vec(),
        body,
    }))
}

/// The same entries without their numbers.
pub(super) fn entries_of_group(
    conn: &Connection,
    community: &CommunityId,
    keys: &Keyring,
    group: i64,
) -> Result<Vec<TalkEntry>, StoreError> {
    Ok(load_group(conn, community, keys, group, &mut Opened::new())?.1)
}

/// A group that is being folded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Group {
    /// Its number.
    pub(super) grp: i64,
    /// Nothing of it was folded before, so nothing that was needs to be looked for: as for nearly all groups of a
    /// first sync.
    pub(super) first: bool,
}

impl Ctx<'_> {
    fn group_to_fold(&self, grp: i64) -> Result<Group, StoreError> {
        let mut first = self.conn.prepare_cached(
            "SELECT NOT EXISTS (SELECT 1 FROM threads x WHERE x.grp = ?1
                 AND (x.hash IS NOT NULL OR EXISTS (SELECT 1 FROM asks a WHERE a.t = x.t)))
             AND NOT EXISTS (SELECT 1 FROM posts p WHERE p.grp = ?1)
             AND NOT EXISTS (SELECT 1 FROM worth w WHERE w.grp = ?1)",
        )?;
        Ok(Group { grp, first: first.query_row([grp], |r| r.get(0))? })
    }

    /// Folds a group. `touched` gets the roots of its threads.
    pub(super) fn fold_group(
        &mut self,
        group: i64,
        opened: &mut Opened,
        touched: &mut Vec<EntryId>,
    ) -> Result<(), StoreError> {
        let (conn, community) = (self.conn, self.community);
        let (numbers, entries) = load_group(conn, &community, self.keys()?, group, opened)?;
        let numbers: HashMap<EntryId, N> =
            numbers.into_iter().zip(&entries).map(|(n, e)| (e.id, n)).collect();
        let group = self.group_to_fold(group)?;
        let threads = fold_threads(&entries);
        let mut shown = HashSet::new();
        let mut rows: HashMap<N, PostRow> = HashMap::new();
        let mut texts: HashMap<N, (String, String)> = HashMap::new();
        for thread in &threads {
            let t = self.thread(&thread.root)?;
            shown.insert(t);
            self.save_summary(group, t, thread)?;
            self.save_ask(group, t, thread, &numbers, &entries)?;
            self.post_rows(t, thread, &numbers, &mut rows, &mut texts)?;
            touched.push(thread.root);
        }
        if !group.first {
            self.clear_stale(group, &shown)?;
        }
        self.note_worth(group, &threads, &numbers)?;
        self.save_posts(group, rows, texts)?;
        self.save_places(group, &threads, &numbers)
    }

    /// Threads that were shown and are no more.
    fn clear_stale(&mut self, group: Group, shown: &HashSet<i64>) -> Result<(), StoreError> {
        let stale: Vec<i64> = self
            .conn
            .prepare_cached("SELECT t FROM threads WHERE grp = ?1 AND hash IS NOT NULL")?
            .query_map([group.grp], |r| r.get(0))?
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
        Ok(())
    }
}
