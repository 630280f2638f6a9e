//! Read marks, and threads that are watched, muted or snoozed.

use std::collections::{HashMap, HashSet};

use lanai_crdt::id::EntryId;
use rusqlite::{Connection, OptionalExtension as _};

use super::stored_ms;
use crate::store::read::{group_of, own_number};
use crate::store::rows::ID_IS_1;
use crate::store::tallies::Tallies;
use crate::store::{Durability, Store, StoreError, side};

/// How much a thread is to be heard of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Watch {
    /// As any other.
    #[default]
    Normal,
    /// Before the rest.
    Watched,
    /// Not at all.
    Muted,
}

/// What this reader wants to hear of a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stance {
    /// Watched or muted.
    pub watch: Watch,
    /// Hidden until then, Unix milliseconds, or until somebody answers me; may be past.
    pub snoozed_until: Option<u64>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Row {
    watch: i64,
    until: Option<i64>,
    since: i64,
}

/// All stances, few as they are.
#[derive(Debug, Default)]
pub(super) struct Stances(HashMap<i64, Row>);

impl Stances {
    /// A thread takes the stance towards another root of it, when an import gave it a new one.
    pub(super) fn load(conn: &Connection) -> Result<Stances, StoreError> {
        let mut statement = conn.prepare_cached(
            "SELECT coalesce(CASE WHEN s.hash IS NULL THEN (
                 SELECT min(x.t) FROM threads x WHERE x.grp = s.grp AND x.hash IS NOT NULL) END, a.t),
             a.watch, a.until, a.since FROM attention a JOIN threads s ON s.t = a.t",
        )?;
        let rows = statement.query_map([], |r| {
            Ok((r.get(0)?, Row { watch: r.get(1)?, until: r.get(2)?, since: r.get(3)? }))
        })?;
        Ok(Stances(rows.collect::<Result<_, _>>()?))
    }

    pub(super) fn of(&self, t: i64) -> Stance {
        self.0.get(&t).map_or_else(Stance::default, |row| Stance {
            watch: watch_from(row.watch),
            snoozed_until: row.until.map(i64::unsigned_abs),
        })
    }

    /// The threads towards which there is one.
    pub(super) fn threads(&self) -> impl Iterator<Item = i64> {
        self.0.keys().copied()
    }

    pub(super) fn is_muted(&self, t: i64) -> bool {
        self.of(t).watch == Watch::Muted
    }

    /// Whether it is snoozed now, and from which arrival on an answer to me wakes it.
    pub(super) fn snoozed(&self, t: i64, now_ms: u64) -> Option<i64> {
        let row = self.0.get(&t)?;
        row.until.filter(|until| *until > stored_ms(now_ms)).map(|_| row.since)
    }

    pub(super) fn snoozed_now(&self, now_ms: u64) -> HashSet<i64> {
        self.0.keys().copied().filter(|t| self.snoozed(*t, now_ms).is_some()).collect()
    }
}

fn watch_from(number: i64) -> Watch {
    match number {
        1 => Watch::Watched,
        2 => Watch::Muted,
        _ => Watch::Normal,
    }
}

/// The stance towards one thread.
pub(in crate::store) fn stance_of(conn: &Connection, t: i64) -> Result<Stance, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT max(a.watch), max(a.until) FROM attention a JOIN threads s ON s.t = a.t
         WHERE a.t = ?1 OR s.hash IS NULL AND s.grp = (SELECT x.grp FROM threads x WHERE x.t = ?1)",
    )?;
    Ok(statement.query_row([t], |r| {
        Ok(Stance {
            watch: watch_from(r.get::<_, Option<i64>>(0)?.unwrap_or(0)),
            snoozed_until: r.get::<_, Option<i64>>(1)?.map(i64::unsigned_abs),
        })
    })?)
}

/// The shown thread that an entry belongs to.
fn shown_thread(conn: &Connection, id: &EntryId) -> Result<Option<i64>, StoreError> {
    // A thread is known by its root; a post by where it is shown.
    let post: Option<i64> = conn
        .prepare_cached(&format!(
            "SELECT x.t FROM entries e JOIN posts x ON x.n = e.n WHERE {ID_IS_1}"
        ))?
        .query_row([id.as_bytes()], |r| r.get(0))
        .optional()?;
    if post.is_some() {
        return Ok(post);
    }
    let Some(group) = group_of(conn, id)? else { return Ok(None) };
    Ok(conn
        .prepare_cached(
            "SELECT t FROM threads WHERE grp = ?1 AND hash IS NOT NULL
             ORDER BY id <> ?2, title = '', id LIMIT 1",
        )?
        .query_row((group, id.as_bytes()), |r| r.get(0))
        .optional()?)
}

impl Store {
    /// How many posts of others were not read, without those of muted threads.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn unread_posts(&self) -> Result<u64, StoreError> {
        self.inner.connections.read(|conn| {
            let mut of_thread = conn.prepare_cached("SELECT posts FROM news WHERE t = ?1")?;
            let stances = Stances::load(conn)?;
            let mut muted: i64 = 0;
            for t in stances.0.keys().filter(|t| stances.is_muted(**t)) {
                let new: Option<i64> = of_thread.query_row([t], |r| r.get(0)).optional()?;
                muted = muted.saturating_add(new.unwrap_or(0));
            }
            Ok(Tallies::load(conn)?.new_posts.saturating_sub(muted.unsigned_abs()))
        })
    }

    /// Marks posts as read: those that were shown, by the ids of their entries. Gives how many
    /// were new. Others are left alone, whatever arrived meanwhile.
    ///
    /// # Errors
    ///
    /// When the store cannot be written.
    pub fn mark_posts_read(&self, shown: &[EntryId]) -> Result<u64, StoreError> {
        if shown.is_empty() {
            return Ok(0);
        }
        self.inner.write(Durability::Normal, 0, |ctx| {
            let own = own_number(ctx.conn, self)?;
            let mut find = ctx.conn.prepare_cached(&format!(
                "SELECT x.n FROM entries e JOIN posts x ON x.n = e.n
                 WHERE {ID_IS_1} AND x.unread = 1 AND x.origin IS NULL AND x.author <> ?2"
            ))?;
            let mut new = Vec::new();
            for id in shown {
                let n: Option<i64> =
                    find.query_row((id.as_bytes(), own), |r| r.get(0)).optional()?;
                new.extend(n);
            }
            Ok(mark(ctx.conn, &new)? + side::mark_read(ctx.conn, shown)?)
        })
    }

    /// Marks as read what [`Store::inbox_to_mark`] found new, listed or not; what came since stays new.
    /// Gives how many were.
    ///
    /// # Errors
    ///
    /// When the store cannot be written.
    pub fn mark_all_read(&self, new: &super::AllNew) -> Result<u64, StoreError> {
        self.inner.write(Durability::Normal, 0, |ctx| mark(ctx.conn, &new.0))
    }

    /// Watches, mutes, or does neither. False if there is no such thread.
    ///
    /// # Errors
    ///
    /// When the store cannot be written.
    pub fn set_watch(&self, thread: &EntryId, watch: Watch) -> Result<bool, StoreError> {
        let number = match watch {
            Watch::Normal => 0,
            Watch::Watched => 1,
            Watch::Muted => 2,
        };
        self.inner.write(Durability::Normal, 0, |ctx| {
            let Some(t) = shown_thread(ctx.conn, thread)? else { return Ok(false) };
            ctx.conn
                .prepare_cached(
                    "INSERT INTO attention (t, watch) VALUES (?1, ?2)
                     ON CONFLICT (t) DO UPDATE SET watch = excluded.watch",
                )?
                .execute((t, number))?;
            tidy(ctx.conn)?;
            Ok(true)
        })
    }

    /// Hides a thread until a time, in Unix milliseconds, or until somebody answers me in it;
    /// `None` shows it again. False if there is no such thread.
    ///
    /// # Errors
    ///
    /// When the store cannot be written.
    pub fn snooze(&self, thread: &EntryId, until_ms: Option<u64>) -> Result<bool, StoreError> {
        self.inner.write(Durability::Normal, 0, |ctx| {
            let Some(t) = shown_thread(ctx.conn, thread)? else { return Ok(false) };
            ctx.conn
                .prepare_cached(
                    "INSERT INTO attention (t, until, since)
                     VALUES (?1, ?2, coalesce((SELECT max(n) FROM entries), 0))
                     ON CONFLICT (t) DO UPDATE SET until = excluded.until, since = excluded.since",
                )?
                .execute((t, until_ms.map(stored_ms)))?;
            tidy(ctx.conn)?;
            Ok(true)
        })
    }

    /// What this reader wants to hear of a thread.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn stance(&self, thread: &EntryId) -> Result<Stance, StoreError> {
        self.inner.connections.read(|conn| match shown_thread(conn, thread)? {
            Some(t) => stance_of(conn, t),
            None => Ok(Stance::default()),
        })
    }
}

fn mark(conn: &Connection, numbers: &[i64]) -> Result<u64, StoreError> {
    let mut remember = conn.prepare_cached("INSERT OR IGNORE INTO reads (n) VALUES (?1)")?;
    let mut show = conn.prepare_cached("UPDATE posts SET unread = 0 WHERE n = ?1")?;
    let mut marked = 0;
    for n in numbers {
        marked += u64::try_from(remember.execute([n])?).unwrap_or(0);
        show.execute([n])?;
    }
    Ok(marked)
}

/// Forgets rows that say nothing.
fn tidy(conn: &Connection) -> Result<(), StoreError> {
    conn.execute("DELETE FROM attention WHERE watch = 0 AND until IS NULL", [])?;
    Ok(())
}
