//! What is new for the reader of this store.
//!
//! 1. A read mark says how many arrivals of a thread were seen. It is about arrival here, not about
//!    dates: a post that was carried for months is new when it comes.
//! 2. New is what others wrote. An imported archive is nobody's news.
//! 3. *For me* are replies to what I wrote, and posts in threads that I opened.
//! 4. Marks are local: they are not part of the state hash and go nowhere.

use lanai_crdt::id::{EntryId, MemberId};
use rusqlite::OptionalExtension as _;
use rusqlite::types::Value;

use super::read::{ThreadSummary, UNREAD, group_of, list_threads, own_number};
use super::rows::entry_id;
use super::{Durability, Store, StoreError};

/// New posts listed for one thread.
const MAX_POSTS_PER_THREAD: i64 = 100;

/// A new post.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboxPost {
    /// The post.
    pub id: EntryId,
    /// Who wrote it.
    pub author: MemberId,
    /// The author's name, where a profile is here.
    pub author_name: Option<String>,
    /// Its sort time, Unix milliseconds.
    pub time_ms: u64,
    /// Whether it answers me, or stands in a thread that I opened.
    pub for_me: bool,
}

/// A thread with something new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboxThread {
    /// The thread.
    pub thread: ThreadSummary,
    /// Its new posts, oldest arrival first; at most a hundred.
    pub posts: Vec<InboxPost>,
}

/// Everything new.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inbox {
    /// Threads with something for me, the latest activity first.
    pub for_me: Vec<InboxThread>,
    /// The others.
    pub rest: Vec<InboxThread>,
}

impl Store {
    /// What is new. `limit` is the most threads to look at; 0 means all.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn inbox(&self, limit: usize) -> Result<Inbox, StoreError> {
        self.inner.connections.read(|conn| {
            let own = own_number(conn, self)?;
            let threads = list_threads(conn, UNREAD, vec![Value::from(own)], limit)?;
            let mut inbox = Inbox::default();
            for thread in threads {
                let mut statement = conn.prepare_cached(
                    "SELECT e.id, m.id, p.name, x.sort,
                     x.parent = ?1 OR (t.author = ?1 AND t.origin IS NULL)
                     FROM threads t JOIN posts x ON x.grp = t.grp AND x.t = t.t
                     JOIN entries e ON e.n = x.n JOIN members m ON m.m = x.author
                     LEFT JOIN people p ON p.m = x.author
                     WHERE t.id = ?2 AND x.origin IS NULL AND x.author <> ?1
                     AND x.n > coalesce((SELECT r.n FROM read_marks r WHERE r.grp = t.grp), 0)
                     ORDER BY x.n LIMIT ?3",
                )?;
                let posts: Vec<InboxPost> = statement
                    .query_map((own, thread.root.as_bytes(), MAX_POSTS_PER_THREAD), |r| {
                        Ok(InboxPost {
                            id: entry_id(r.get_ref(0)?.as_blob()?),
                            author: MemberId::from_slice(r.get_ref(1)?.as_blob()?)
                                .unwrap_or(MemberId::ZERO),
                            author_name: r.get(2)?,
                            time_ms: r.get::<_, i64>(3)?.unsigned_abs(),
                            for_me: r.get::<_, Option<bool>>(4)?.unwrap_or(false),
                        })
                    })?
                    .collect::<Result<_, _>>()?;
                let for_me = posts.iter().any(|p| p.for_me);
                let list = if for_me { &mut inbox.for_me } else { &mut inbox.rest };
                list.push(InboxThread { thread, posts });
            }
            Ok(inbox)
        })
    }

    /// Marks everything that is here of a thread as read. Gives how many posts were new.
    ///
    /// # Errors
    ///
    /// When the store cannot be written.
    pub fn mark_read(&self, thread: &EntryId) -> Result<u64, StoreError> {
        self.inner.write(Durability::Normal, 0, |ctx| {
            let Some(group) = group_of(ctx.conn, thread)? else { return Ok(0) };
            let own = own_number(ctx.conn, self)?;
            let mark: i64 = ctx
                .conn
                .prepare_cached("SELECT n FROM read_marks WHERE grp = ?1")?
                .query_row([group], |r| r.get(0))
                .optional()?
                .unwrap_or(0);
            let (new, newest): (i64, Option<i64>) = ctx
                .conn
                .prepare_cached(
                    "SELECT count(*) FILTER (WHERE origin IS NULL AND author <> ?3), max(n)
                     FROM posts WHERE grp = ?1 AND n > ?2",
                )?
                .query_row((group, mark, own), |r| Ok((r.get(0)?, r.get(1)?)))?;
            if let Some(newest) = newest {
                ctx.conn
                    .prepare_cached("INSERT OR REPLACE INTO read_marks (grp, n) VALUES (?1, ?2)")?
                    .execute((group, newest))?;
            }
            Ok(new.unsigned_abs())
        })
    }

    /// Marks everything that is here as read.
    ///
    /// # Errors
    ///
    /// When the store cannot be written.
    pub fn mark_all_read(&self) -> Result<(), StoreError> {
        self.inner.write(Durability::Normal, 0, |ctx| {
            ctx.conn.execute(
                "INSERT OR REPLACE INTO read_marks (grp, n)
                 SELECT grp, max(n) FROM posts GROUP BY grp",
                [],
            )?;
            Ok(())
        })
    }
}
