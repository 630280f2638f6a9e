//! What would have to be counted over all threads, kept as it changes: the sum of their hashes, how many threads and
//! posts there are, and what is new to the reader, by thread and altogether.
//!
//! 1. Triggers note in `untallied` each thread that a transaction touches, with what it was counted as before. So no code that
//!    writes threads or posts can forget to; but who adds posts says so by [`Ctx::note_tally`].
//! 2. At the end of the transaction [`Ctx::flush_tallies`] takes what these threads were out of the counts, and puts in what they
//!    are. After a commit `untallied` is empty, and the counts are true in every snapshot.
//! 3. What is new depends on which member the reader is. When that changes, all threads are counted again.
//!
//! [`Store::check`] compares all of it with what it counts.

use std::sync::LazyLock;

use lanai_crdt::state::ThreadSum;
use rusqlite::{Connection, params_from_iter};

use super::read::member_number;
use super::rows::entry_id;
use super::write::Ctx;
use super::{Durability, Store, StoreError};

/// tallies: the one row with all counts; own: the member for whom `news` was counted; sum: see [`ThreadSum`].
///
/// untallied: hash and posts of a thread as they were counted; hash is NULL where nothing was.
///
/// news: threads with posts of others that were not read. posts: how many; mine: whether the reader began it; for_me:
/// whether that, or one of the posts answers the reader; latest: the last of them that is for the reader; place: what
/// comes before what in lists, the time of the last activity below zero.
pub(super) const MIGRATION: &str = r"
CREATE TABLE tallies (
    one INTEGER PRIMARY KEY,
    own INTEGER NOT NULL,
    posts INTEGER NOT NULL,
    new_threads INTEGER NOT NULL,
    new_posts INTEGER NOT NULL,
    sum BLOB NOT NULL
);
INSERT INTO tallies VALUES (1, -1, 0, 0, 0, x'');
CREATE TABLE untallied (t INTEGER PRIMARY KEY, hash BLOB, posts INTEGER);
CREATE TABLE news (
    t INTEGER PRIMARY KEY,
    posts INTEGER NOT NULL,
    mine INTEGER NOT NULL,
    for_me INTEGER NOT NULL,
    latest INTEGER NOT NULL,
    place INTEGER NOT NULL
);
CREATE INDEX news_by_place ON news (place);
CREATE INDEX news_for_me ON news (place) WHERE for_me = 1;
CREATE TRIGGER tally_thread AFTER UPDATE OF hash, posts, active, author, origin ON threads
WHEN old.hash IS NOT new.hash OR old.posts IS NOT new.posts OR old.active IS NOT new.active
    OR old.author IS NOT new.author OR old.origin IS NOT new.origin
BEGIN
    INSERT INTO untallied SELECT old.t, old.hash, old.posts
    WHERE NOT EXISTS (SELECT 1 FROM untallied u WHERE u.t = old.t);
END;
CREATE TRIGGER tally_new_post AFTER INSERT ON posts WHEN new.unread = 1 AND new.origin IS NULL
    AND NOT EXISTS (SELECT 1 FROM untallied u WHERE u.t = new.t)
BEGIN
    INSERT INTO untallied SELECT s.t, s.hash, s.posts FROM threads s WHERE s.t = new.t;
END;
CREATE TRIGGER tally_gone_post AFTER DELETE ON posts WHEN old.unread = 1 AND old.origin IS NULL
BEGIN
    INSERT INTO untallied SELECT s.t, s.hash, s.posts FROM threads s
    WHERE s.t = old.t AND NOT EXISTS (SELECT 1 FROM untallied u WHERE u.t = s.t);
END;
CREATE TRIGGER tally_other_post AFTER UPDATE OF t, author, parent, origin, hidden, unread ON posts
WHEN old.t <> new.t OR old.author <> new.author OR old.parent IS NOT new.parent
    OR old.origin IS NOT new.origin OR old.hidden <> new.hidden OR old.unread <> new.unread
BEGIN
    INSERT INTO untallied SELECT s.t, s.hash, s.posts FROM threads s
    WHERE s.t IN (old.t, new.t) AND NOT EXISTS (SELECT 1 FROM untallied u WHERE u.t = s.t);
END;
INSERT INTO untallied SELECT t, NULL, NULL FROM threads WHERE hash IS NOT NULL;
";

/// New posts are noted by [`Ctx::note_tally`], once for each thread: a statement with a trigger keeps a journal of its
/// own, and this is the one that runs for every post of a first sync.
pub(super) const WITHOUT_TRIGGER: &str = "DROP TRIGGER tally_new_post;";

/// Nothing is counted; for when there are no views.
pub(super) const DROP: &str = r"
DELETE FROM untallied;
DELETE FROM news;
UPDATE tallies SET posts = 0, new_threads = 0, new_posts = 0, sum = x'';
";

/// Posts of others that were not read; `?1` is the own member.
const UNREAD: &str =
    "x.unread = 1 AND x.hidden = 0 AND x.origin IS NULL AND x.author <> ?1 AND t.hash IS NOT NULL";

/// What `news` says of threads, from their posts; the condition for some of them goes behind it.
fn news_from_posts(condition: &str) -> String {
    let mine = "t.author = ?1 AND t.origin IS NULL";
    format!(
        "SELECT t.t, count(*), {mine}, {mine} OR coalesce(max(x.parent = ?1), 0),
         coalesce(max(CASE WHEN x.parent = ?1 OR {mine} THEN x.n END), 0), -t.active
         FROM posts x INDEXED BY posts_unread JOIN threads t ON t.t = x.t
         WHERE {UNREAD}{condition} GROUP BY x.t"
    )
}

/// All counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tallies {
    own: i64,
    /// Posts that are shown.
    pub(super) posts: u64,
    /// Threads with something new.
    pub(super) new_threads: u64,
    /// New posts in them.
    pub(super) new_posts: u64,
    /// The threads that are shown.
    pub(super) sum: ThreadSum,
}

impl Tallies {
    pub(super) fn load(conn: &Connection) -> Result<Tallies, StoreError> {
        let mut statement =
            conn.prepare_cached("SELECT own, posts, new_threads, new_posts, sum FROM tallies")?;
        let mut rows = statement.query([])?;
        let damaged = || StoreError::Damaged("its counts cannot be read".into());
        let row = rows.next()?.ok_or_else(damaged)?;
        Ok(Tallies {
            own: row.get(0)?,
            posts: row.get::<_, i64>(1)?.unsigned_abs(),
            new_threads: row.get::<_, i64>(2)?.unsigned_abs(),
            new_posts: row.get::<_, i64>(3)?.unsigned_abs(),
            sum: ThreadSum::from_bytes(row.get_ref(4)?.as_blob()?).ok_or_else(damaged)?,
        })
    }

    fn save(&self, conn: &Connection) -> Result<(), StoreError> {
        conn.prepare_cached(
            "UPDATE tallies SET own = ?1, posts = ?2, new_threads = ?3, new_posts = ?4, sum = ?5",
        )?
        .execute((
            self.own,
            self.posts.cast_signed(),
            self.new_threads.cast_signed(),
            self.new_posts.cast_signed(),
            self.sum.to_bytes(),
        ))?;
        Ok(())
    }

    /// Takes the threads out that are in `untallied`, as they were, and puts them in as they are. Few statements for all of
    /// them: one that inserts from a SELECT keeps a journal of its own, of every page that it writes to.
    fn change(&mut self, conn: &Connection) -> Result<(), StoreError> {
        let mut touched = conn.prepare_cached(
            "SELECT s.id, u.hash, s.hash, coalesce(u.posts, 0), coalesce(s.posts, 0)
             FROM untallied u JOIN threads s ON s.t = u.t",
        )?;
        let mut rows = touched.query([])?;
        while let Some(r) = rows.next()? {
            let root = entry_id(r.get_ref(0)?.as_blob()?);
            let (old, new): (Option<[u8; 32]>, Option<[u8; 32]>) = (r.get(1)?, r.get(2)?);
            if old != new {
                if let Some(old) = old {
                    self.sum.remove(&root, &old);
                }
                if let Some(new) = new {
                    self.sum.add(&root, &new);
                }
            }
            let (before, now): (i64, i64) = (r.get(3)?, r.get(4)?);
            self.posts = self.posts.wrapping_add_signed(now.wrapping_sub(before));
        }
        // In a thread that was not shown nothing was new.
        let gone =
            "DELETE FROM news WHERE t IN (SELECT u.t FROM untallied u WHERE u.hash IS NOT NULL)
             RETURNING posts";
        for (sql, own, sign) in [(gone, None, -1), (NEW_NEWS.as_str(), Some(self.own), 1)] {
            let mut statement = conn.prepare_cached(sql)?;
            let mut rows = statement.query(params_from_iter(own))?;
            while let Some(r) = rows.next()? {
                self.new_threads = self.new_threads.wrapping_add_signed(sign);
                self.new_posts = self.new_posts.wrapping_add_signed(sign * r.get::<_, i64>(0)?);
            }
        }
        Ok(())
    }
}

/// Inserts what is new in the threads of `untallied`.
static NEW_NEWS: LazyLock<String> = LazyLock::new(|| {
    let of_touched = " AND x.t IN (SELECT u.t FROM untallied u)";
    format!("INSERT INTO news {} RETURNING posts", news_from_posts(of_touched))
});

impl Ctx<'_> {
    /// Notes a thread that is getting a post.
    pub(super) fn note_tally(&self, t: i64) -> Result<(), StoreError> {
        self.conn
            .prepare_cached(
                "INSERT OR IGNORE INTO untallied SELECT t, hash, posts FROM threads WHERE t = ?1",
            )?
            .execute([t])?;
        Ok(())
    }

    /// Brings the counts in line with what the transaction did; the last that it does to threads and posts.
    pub(super) fn flush_tallies(&mut self) -> Result<(), StoreError> {
        let own = member_number(self.conn, self.roster.roster(), &self.own)?;
        let counted: i64 =
            self.conn.prepare_cached("SELECT own FROM tallies")?.query_row([], |r| r.get(0))?;
        if own != counted {
            self.conn.execute(
                "INSERT OR IGNORE INTO untallied
                 SELECT t, hash, posts FROM threads WHERE hash IS NOT NULL",
                [],
            )?;
        }
        let waits = self.conn.prepare_cached("SELECT 1 FROM untallied")?.exists([])?;
        if own == counted && !waits {
            return Ok(());
        }
        let mut tallies = Tallies { own, ..Tallies::load(self.conn)? };
        tallies.change(self.conn)?;
        self.conn.prepare_cached("DELETE FROM untallied")?.execute([])?;
        tallies.save(self.conn)
    }
}

impl Store {
    /// Counts what a migration, or another program, left uncounted.
    pub(super) fn tally(&self) -> Result<(), StoreError> {
        let waits = self
            .inner
            .connections
            .read(|conn| Ok(conn.prepare_cached("SELECT 1 FROM untallied")?.exists([])?))?;
        if waits {
            self.inner.write(Durability::Normal, 0, |_| Ok(()))?;
        }
        Ok(())
    }

    /// Whether the counts are those that are counted anew.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    #[cfg(any(test, feature = "simulator"))]
    pub(crate) fn tallies_hold(&self) -> Result<bool, StoreError> {
        self.inner.connections.read(hold)
    }
}

/// Whether what is kept is what is counted anew.
pub(super) fn hold(conn: &Connection) -> Result<bool, StoreError> {
    let kept = Tallies::load(conn)?;
    let mut sum = ThreadSum::default();
    let mut threads = conn.prepare("SELECT id, hash FROM threads WHERE hash IS NOT NULL")?;
    let mut rows = threads.query([])?;
    while let Some(r) = rows.next()? {
        sum.add(&entry_id(r.get_ref(0)?.as_blob()?), &r.get(1)?);
    }
    let count = |sql: &str| -> Result<u64, StoreError> {
        Ok(conn.query_row(sql, [], |r| r.get::<_, i64>(0))?.unsigned_abs())
    };
    let counted = Tallies {
        own: kept.own,
        posts: count("SELECT count(*) FROM posts")?,
        new_threads: count("SELECT count(*) FROM news")?,
        new_posts: count("SELECT coalesce(sum(posts), 0) FROM news")?,
        sum,
    };
    let news = news_from_posts("");
    let differ = conn
        .prepare(&format!(
            "SELECT * FROM (SELECT * FROM news EXCEPT {news})
             UNION ALL SELECT * FROM ({news} EXCEPT SELECT * FROM news)"
        ))?
        .exists([kept.own])?;
    let waits = conn.prepare("SELECT 1 FROM untallied")?.exists([])?;
    Ok(counted == kept && !differ && !waits)
}
