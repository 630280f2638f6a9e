//! Tables, and how a store of an earlier version becomes one of this version.
//!
//! | table | holds | truth or view |
//! | --- | --- | --- |
//! | `meta` | settings, own log, token, clock | local truth |
//! | `logs`, `epochs` | (device, log number); the names of epochs in headers | truth |
//! | `entries` | authentic headers of enrolled devices: the reconciled set | truth |
//! | `payloads` | sealed blobs by entry | truth, purgeable |
//! | `waiting` | authentic entries of devices that nobody enrolled yet | truth, capped |
//! | `epoch_keys` | keys of the epochs this device can open | truth |
//! | `side_keys` | keys of the side talks this device takes part in | truth |
//! | `side_seals` | entries that may hold such a key | view |
//! | `fronts`, `held` | what other devices said they hold of each log; up to which `n` they hold all | local truth |
//! | `bases` | moments at which a peer's store held the same | local truth |
//! | `peers`, `notices` | address book, things to tell the user | local truth |
//! | `reads`, `attention`, `followed` | what was read, is watched, muted or snoozed; topics followed | local truth |
//! | `reads_ahead`, `drafts`, `draft_files` | what one's own devices told each other | local truth |
//! | `pasts`, `past_waits` | roster pasts as interned sets of heads, and who waits for what is not here | derived at insertion |
//! | `log_heads`, `missing_payloads` | what digests and wants are made of | derived at insertion |
//! | `stands` | rule 11: role of a log in a roster past | derived, judged again when the roster grows |
//! | `todo`, `voids` | entries not folded yet; why an entry is void | view |
//! | `threads`, `thread_entries`, `thread_tags`, `posts`, `fts` | threads, posts, full text | view |
//! | `page_entries`, `page_todo`, `pages` | shared texts, folded from weaves | view |
//! | `forked_logs` | logs whose history must be followed entry by entry | derived at insertion |
//! | `tallies`, `untallied`, `news` | counts over all threads; threads with something new | view |
//! | `asks`, `ask_workers` | what an ask says beside its thread | view |
//! | `docs`, `worth`, `credits`, `words` | what else is searched, and what makes hits worth more | view |
//! | `files`, `withdrawals` | manifests of files; what was taken back | view |
//! | `file_marks` | what is pinned, wanted or last used of files | local truth |
//! | `people`, `specials`, `origins`, `names` | profiles, community names, imported messages | view |
//!
//! Inside the store everything is an integer: `n` is an entry's place of arrival, `l` a log, `t` a
//! thread, `m` a member, `p` a roster past. Ids appear once, in `UNIQUE` columns (a rowid table
//! with a unique index takes inserts several times faster than `WITHOUT ROWID` on random keys).
//! **Nothing is unique by (device, log, seq)**: both branches of a fork are kept.
//!
//! Unsigned 64-bit numbers are stored with their top bit flipped, so that SQLite's signed order is
//! theirs.

use std::path::PathBuf;

use rusqlite::Connection;

use super::{Place, StoreError};

/// `application_id` of a lanai store: "lana".
pub(super) const APPLICATION_ID: i32 = 0x6c61_6e61;

/// One step from a version to the next.
pub(super) type Migration = &'static str;

/// All steps; the version of a store is how many of them it has seen.
pub(super) const MIGRATIONS: &[Migration] = &[
    V1,
    CRAFT,
    super::attention::MIGRATION,
    super::search::TABLES,
    super::search::REFOLD,
    super::cuts::MIGRATION,
    VOUCHERS,
    super::side::MIGRATION,
    super::own_state::MIGRATION,
    super::fronts::MIGRATION,
    super::held::MIGRATION,
    PACKED,
    POSTS,
    super::bases::MIGRATION,
    super::files::MIGRATION,
    BODY_FIRST,
    super::tallies::MIGRATION,
    super::early::MIGRATION,
    super::pasts::MIGRATION,
    super::tallies::WITHOUT_TRIGGER,
    super::search::MERGE_WHEN_IDLE,
    ROOTS,
];

/// A thread of an archive is looked up by its root, once for each that is folded: without this, an import takes
/// ever longer for each message.
const ROOTS: &str = "CREATE INDEX origins_of_roots ON origins (t) WHERE root = 1;";

/// What waits for its device vouches for the entry before it.
const VOUCHERS: &str = "CREATE INDEX waiting_by_prev ON waiting (substr(header, 83, 32));";

const V1: &str = r"
CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;

CREATE TABLE logs (
    l INTEGER PRIMARY KEY, device BLOB NOT NULL, number BLOB NOT NULL, UNIQUE (device, number)
);

-- header: without the community, device and log number, which are the same for a whole log.
-- class: the number in the header, -1 for a header of a later version.
-- past: the roster past, NULL while prev (or prev's past) is missing.
-- state: 0 good as far as known, 1 no key, 2 does not count, 3 void, 4 kept unread,
-- 5 prev is not its log's, 6 good and its join record was checked
CREATE TABLE entries (
    n INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    l INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    time INTEGER NOT NULL,
    class INTEGER NOT NULL,
    past INTEGER,
    state INTEGER NOT NULL DEFAULT 0,
    header BLOB NOT NULL,
    sig BLOB
);
CREATE INDEX entries_by_log ON entries (l, seq);
CREATE INDEX entries_of_roster ON entries (n) WHERE class = 0;
CREATE INDEX entries_set_aside ON entries (state) WHERE state BETWEEN 1 AND 5;

CREATE TABLE payloads (n INTEGER PRIMARY KEY, blob BLOB NOT NULL);
CREATE TABLE missing_payloads (n INTEGER PRIMARY KEY);

CREATE TABLE waiting (
    w INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    device BLOB NOT NULL,
    peer BLOB NOT NULL,
    bytes INTEGER NOT NULL,
    header BLOB NOT NULL,
    sig BLOB,
    payload BLOB
);
CREATE INDEX waiting_by_device ON waiting (device);
CREATE INDEX waiting_by_peer ON waiting (peer, w);

CREATE TABLE pasts (p INTEGER PRIMARY KEY, heads BLOB NOT NULL UNIQUE);
-- why: 0 prev is not here, 1 prev waits itself, 2 too many heads that cannot be reduced yet
CREATE TABLE past_waits (n INTEGER PRIMARY KEY, prev BLOB NOT NULL, why INTEGER NOT NULL);
CREATE INDEX past_waits_by_prev ON past_waits (prev);

-- Entries without a successor in their own log.
CREATE TABLE log_heads (n INTEGER PRIMARY KEY);

CREATE TABLE stands (
    p INTEGER NOT NULL, l INTEGER NOT NULL, m INTEGER, role INTEGER,
    PRIMARY KEY (p, l)
) WITHOUT ROWID;
CREATE TABLE members (m INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE);

CREATE TABLE epoch_keys (id BLOB PRIMARY KEY, key BLOB NOT NULL) WITHOUT ROWID;

-- t: the thread that the entry claims, so that a thread's entries are folded together.
CREATE TABLE todo (n INTEGER PRIMARY KEY, t INTEGER);
CREATE TABLE voids (n INTEGER PRIMARY KEY, reason TEXT NOT NULL);

-- grp: threads with one group are folded together (imports of one root), named by the first of
-- them. The summary columns are NULL but for canonical roots.
CREATE TABLE threads (
    t INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    grp INTEGER,
    kind INTEGER,
    state INTEGER,
    title TEXT,
    author INTEGER,
    origin INTEGER,
    posts INTEGER,
    started INTEGER,
    active INTEGER,
    hash BLOB
);
CREATE INDEX threads_by_group ON threads (grp);
CREATE INDEX threads_by_activity ON threads (active) WHERE hash IS NOT NULL;
CREATE TABLE thread_entries (
    t INTEGER NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (t, n)
) WITHOUT ROWID;
CREATE TABLE thread_tags (
    tag TEXT NOT NULL, t INTEGER NOT NULL, PRIMARY KEY (tag, t)
) WITHOUT ROWID;
CREATE INDEX thread_tags_by_thread ON thread_tags (t);

-- doc: rowid in the full text index, ascending by sort time. n: first arrival of the post.
-- t: canonical root of its thread. text_n: the entry that holds the current text. parent: author of
-- the post it answers. print: hash of what is indexed.
CREATE TABLE posts (
    doc INTEGER PRIMARY KEY,
    n INTEGER NOT NULL UNIQUE,
    grp INTEGER NOT NULL,
    t INTEGER NOT NULL,
    text_n INTEGER NOT NULL,
    author INTEGER NOT NULL,
    parent INTEGER,
    origin INTEGER,
    sort INTEGER NOT NULL,
    print BLOB NOT NULL
);
CREATE INDEX posts_by_group ON posts (grp, n);
CREATE TABLE names (a INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE VIRTUAL TABLE fts USING fts5(
    title, body, content = '', contentless_delete = 1,
    tokenize = 'porter unicode61 remove_diacritics 2'
);

-- Profiles and community names: entries by kind and author.
CREATE TABLE specials (
    kind INTEGER NOT NULL, m INTEGER NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (kind, m, n)
) WITHOUT ROWID;
CREATE TABLE people (m INTEGER PRIMARY KEY, name TEXT NOT NULL, n INTEGER NOT NULL);

-- Imported messages: by their fold key, and by a hash of the message id.
CREATE TABLE origins (
    n INTEGER PRIMARY KEY,
    fold BLOB NOT NULL,
    message INTEGER NOT NULL,
    t INTEGER NOT NULL,
    root INTEGER NOT NULL
);
CREATE INDEX origins_by_fold ON origins (fold);
CREATE INDEX origins_by_message ON origins (message);

CREATE TABLE read_marks (grp INTEGER PRIMARY KEY, n INTEGER NOT NULL);
CREATE TABLE peers (
    device BLOB NOT NULL, address TEXT NOT NULL, seen INTEGER NOT NULL, PRIMARY KEY (device, address)
) WITHOUT ROWID;
CREATE TABLE notices (
    i INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    detail TEXT NOT NULL,
    shown INTEGER NOT NULL DEFAULT 0
);
";

/// What pages, and what leads do, add to the tables. Kinds that version 1 kept unread are folded now; of
/// those that name a page, the thread is the first ref, which follows the heads in the packed header.
///
/// threads.shown: the thread in which what has this id is shown; groups are also made of what leads
/// connected, and the summary columns belong to threads that are shown. posts.t: the thread in which it is
/// shown; hidden: folded away by a lead. page_entries.t: the thread that an entry of class 3 names.
/// pages.kind: 0 question, 1 answer; left: weaves not applied yet; view: what a reader sees; cache: the
/// document, which can be deleted at any time. forked_logs: logs with two entries in one place.
const CRAFT: &str = r"
ALTER TABLE threads ADD COLUMN shown INTEGER;
ALTER TABLE threads ADD COLUMN pinned INTEGER NOT NULL DEFAULT 0;
ALTER TABLE threads ADD COLUMN featured INTEGER NOT NULL DEFAULT 0;
CREATE INDEX threads_pinned ON threads (t) WHERE pinned = 1;
ALTER TABLE posts ADD COLUMN hidden INTEGER NOT NULL DEFAULT 0;
CREATE INDEX posts_hidden ON posts (grp) WHERE hidden = 1;
CREATE TABLE page_entries (
    t INTEGER NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (t, n)
) WITHOUT ROWID;
CREATE TABLE page_todo (t INTEGER NOT NULL, kind INTEGER NOT NULL, UNIQUE (t, kind));
CREATE TABLE pages (
    t INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    left INTEGER NOT NULL,
    hash BLOB NOT NULL,
    title TEXT,
    view BLOB NOT NULL,
    cache BLOB,
    PRIMARY KEY (t, kind)
);
CREATE TABLE forked_logs (l INTEGER PRIMARY KEY);
INSERT OR IGNORE INTO forked_logs SELECT l FROM entries GROUP BY l, seq HAVING count(*) > 1;
CREATE TEMP TABLE weaves AS
    SELECT n, substr(header, 105 + 32 * (instr(x'0001020304', substr(header, 103, 1)) - 1), 32)
    AS thread FROM entries WHERE class = 3;
INSERT OR IGNORE INTO threads (id) SELECT thread FROM weaves WHERE length(thread) = 32;
UPDATE threads SET grp = t WHERE grp IS NULL;
INSERT OR IGNORE INTO page_entries SELECT t.t, w.n FROM weaves w JOIN threads t ON t.id = w.thread;
DROP TABLE weaves;
UPDATE entries SET state = 0 WHERE state = 4 AND class > 0;
";

/// Entries in less space: what is the same for many, or is here already, is named by a number.
///
/// `seq` is a plain number; see `rows::placed`. `epoch`: a number of `epochs`, the names of epochs in headers.
/// `prev`: the entry before it in its log, where that is here. `thread`: the thread that its first ref
/// names. `header`: see `rows::pack_header`. `entries_by_id`: see `rows::ID_IS_1`.
///
/// In a header as it was packed before, the fields began at (counted from one): seq 3, prev 11, time 43,
/// epoch 51, payload hash 67, payload length 99, number of heads 103, number of refs 104 + 32 heads.
const PACKED: &str = r"
CREATE TABLE epochs (k INTEGER PRIMARY KEY, ref BLOB NOT NULL UNIQUE);
INSERT OR IGNORE INTO epochs (ref) SELECT DISTINCT substr(header, 51, 16) FROM entries;
CREATE TABLE packed (
    n INTEGER PRIMARY KEY,
    id BLOB NOT NULL,
    l INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    time INTEGER NOT NULL,
    class INTEGER NOT NULL,
    past INTEGER,
    state INTEGER NOT NULL DEFAULT 0,
    epoch INTEGER NOT NULL,
    prev INTEGER,
    thread INTEGER,
    header BLOB NOT NULL,
    sig BLOB,
    judged INTEGER
);
INSERT INTO packed
    SELECT e.n, e.id, e.l,
        CASE WHEN e.seq < 0 THEN e.seq + 9223372036854775807 + 1
            ELSE e.seq - 9223372036854775807 - 1 END,
        e.time, e.class, e.past, e.state, o.k, p.n, t.t,
        CAST(substr(e.header, 1, 2)
            || CASE WHEN p.n IS NULL THEN substr(e.header, 11, 32) ELSE x'' END
            || substr(e.header, 67, 32) || substr(e.header, 101, 2)
            || CASE WHEN t.t IS NULL THEN substr(e.header, 103)
                ELSE substr(e.header, 103, e.refs - 102) || substr(e.header, e.refs + 33) END
            AS BLOB),
        e.sig, e.judged
    FROM (SELECT *, 104 + 32 * (instr(x'0001020304', substr(header, 103, 1)) - 1) AS refs
        FROM entries) e
    JOIN epochs o ON o.ref = substr(e.header, 51, 16)
    LEFT JOIN entries p ON p.id = substr(e.header, 11, 32) AND p.l = e.l AND p.seq = e.seq - 1
    LEFT JOIN threads t ON e.class > 0 AND substr(e.header, 1, 1) = x'01'
        AND substr(e.header, e.refs, 1) > x'00' AND t.id = substr(e.header, e.refs + 1, 32)
    ORDER BY e.n;
DROP TABLE entries;
ALTER TABLE packed RENAME TO entries;
CREATE INDEX entries_by_id ON entries (substr(id, 1, 8));
CREATE INDEX entries_by_log ON entries (l, seq);
CREATE INDEX entries_of_roster ON entries (n) WHERE class = 0;
CREATE INDEX entries_set_aside ON entries (state) WHERE state BETWEEN 1 AND 5;
INSERT OR REPLACE INTO meta
    SELECT 'entries', unhex(printf('%016X', count(*))) FROM entries;
";

/// Posts by their number, with fewer and shorter indexes, and shorter rowids in the full text index (see
/// `fold::doc_from`): everything is folded again. What else is indexed keeps its order; of thousands within
/// one eighth of a second some would have to be folded again to be found.
const POSTS: &str = r"
DROP TABLE posts;
CREATE TABLE posts (
    n INTEGER PRIMARY KEY,
    doc INTEGER NOT NULL UNIQUE,
    grp INTEGER NOT NULL,
    t INTEGER NOT NULL,
    text_n INTEGER NOT NULL,
    author INTEGER NOT NULL,
    parent INTEGER,
    origin INTEGER,
    sort INTEGER NOT NULL,
    print BLOB NOT NULL,
    hidden INTEGER NOT NULL DEFAULT 0,
    unread INTEGER NOT NULL DEFAULT 1
);
CREATE INDEX posts_by_group ON posts (grp);
CREATE INDEX posts_hidden ON posts (grp) WHERE hidden = 1;
CREATE INDEX posts_unread ON posts (t, author)
    WHERE unread = 1 AND hidden = 0 AND origin IS NULL;
CREATE TEMP TABLE moved AS SELECT *,
    (min(sort, 140737488355327) >> 7 << 11) + row_number() OVER (PARTITION BY sort >> 7 ORDER BY doc)
    AS place FROM docs;
DELETE FROM docs;
INSERT OR IGNORE INTO docs (doc, kind, subject, sort, title, text)
    SELECT place, kind, subject, sort, title, text FROM moved;
DROP TABLE moved;
INSERT INTO fts (fts) VALUES ('delete-all');
INSERT INTO fts (fts, rank) VALUES ('hashsize', 4194304);
INSERT INTO fts (rowid, title, body) SELECT doc, title, text FROM docs;
INSERT OR IGNORE INTO todo SELECT e.n, NULL FROM entries e JOIN payloads p ON p.n = e.n
    WHERE e.class > 0 AND e.past IS NOT NULL AND e.state = 0;
UPDATE todo SET t = x.t FROM thread_entries x WHERE x.n = todo.n;
";

/// The body before the title in the full text index: of every word that is not in the first column, the
/// index keeps for each document in which column it is, two bytes, and nearly all words are in bodies.
const BODY_FIRST: &str = r"
DROP TABLE fts;
CREATE VIRTUAL TABLE fts USING fts5(
    body, title, content = '', contentless_delete = 1,
    tokenize = 'porter unicode61 remove_diacritics 2'
);
INSERT INTO fts (fts, rank) VALUES ('hashsize', 4194304);
INSERT INTO fts (rowid, title, body) SELECT doc, title, text FROM docs;
DELETE FROM posts;
INSERT OR IGNORE INTO todo SELECT e.n, NULL FROM entries e JOIN payloads p ON p.n = e.n
    WHERE e.class > 0 AND e.past IS NOT NULL AND e.state = 0;
UPDATE todo SET t = x.t FROM thread_entries x WHERE x.n = todo.n;
";

/// Tables that are folds of the others and can be emptied and made again.
pub(super) const DROP_VIEWS: &str = concat!(
    r"
DELETE FROM todo;
DELETE FROM stands;
DELETE FROM log_cuts;
UPDATE entries SET judged = NULL WHERE judged IS NOT NULL;
DELETE FROM voids WHERE n IN (SELECT n FROM entries WHERE class <> 0);
UPDATE entries SET state = 0 WHERE state BETWEEN 1 AND 4 AND class > 0;
UPDATE threads SET grp = t, kind = NULL, state = NULL, title = NULL, author = NULL, origin = NULL,
    posts = NULL, started = NULL, active = NULL, shown = NULL, pinned = 0, featured = 0, hash = NULL;
DELETE FROM thread_tags;
DELETE FROM page_todo;
DELETE FROM pages;
DELETE FROM asks;
DELETE FROM ask_workers;
DELETE FROM posts;
DELETE FROM names;
DROP TABLE fts;
CREATE VIRTUAL TABLE fts USING fts5(
    body, title, content = '', contentless_delete = 1,
    tokenize = 'porter unicode61 remove_diacritics 2'
);
INSERT INTO fts (fts, rank) VALUES ('hashsize', 4194304);
",
    super::search::merge_when_idle!(),
    r"
DELETE FROM specials;
DELETE FROM people;
DELETE FROM origins;
DELETE FROM side_seals;
INSERT INTO todo SELECT e.n, NULL FROM entries e JOIN payloads p ON p.n = e.n
    WHERE e.class > 0 AND e.state = 0 AND (e.past IS NOT NULL OR e.class IN ",
    super::early::early_classes!(),
    r");
UPDATE todo SET t = x.t FROM thread_entries x WHERE x.n = todo.n;
INSERT OR REPLACE INTO meta
    SELECT 'entries', unhex(printf('%016X', count(*))) FROM entries;
INSERT OR REPLACE INTO meta SELECT 'waiting_for_past', unhex(printf('%016X', count(*)))
    FROM entries WHERE past IS NULL;
"
);

/// What [`migrate`] did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Migrated {
    /// Version of the store before; `None` for a new one.
    pub from: Option<i32>,
    /// Version of the store now.
    pub to: i32,
    /// Where the store as it was before was put.
    pub backup: Option<PathBuf>,
}

/// Brings a store to the newest version: one transaction a step, a backup before the first.
pub(super) fn migrate(
    conn: &mut Connection,
    place: &Place,
    steps: &[Migration],
) -> Result<Migrated, StoreError> {
    let newest = i32::try_from(steps.len()).unwrap_or(i32::MAX);
    let version = user_version(conn)?;
    let tables: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |r| r.get(0))?;
    if version > newest {
        return Err(StoreError::Newer { found: version, known: newest });
    }
    let application: i32 = conn.query_row("PRAGMA application_id", [], |r| r.get(0))?;
    if tables > 0 && application != APPLICATION_ID {
        return Err(StoreError::NotAStore(place.db.clone()));
    }
    let mut done =
        Migrated { from: (tables > 0).then_some(version), to: newest, ..Migrated::default() };
    if version == newest {
        return Ok(done);
    }
    if done.from.is_some() {
        let mut name = place.db.as_os_str().to_owned();
        name.push(format!(".v{version}"));
        let backup = PathBuf::from(name);
        super::backup::copy(conn, &backup, place.key.as_ref())?;
        done.backup = Some(backup);
    }
    for step in steps.iter().skip(usize::try_from(version).unwrap_or(0)) {
        let tx = conn.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        // Another process may have done this step while we waited for the lock.
        let now = user_version(&tx)?;
        if steps.get(usize::try_from(now).unwrap_or(0)).is_none_or(|s| s != step) {
            continue;
        }
        tx.execute_batch(step)?;
        tx.pragma_update(None, "application_id", APPLICATION_ID)?;
        tx.pragma_update(None, "user_version", now + 1)?;
        tx.commit()?;
    }
    Ok(done)
}

pub(super) fn user_version(conn: &Connection) -> Result<i32, StoreError> {
    Ok(conn.query_row("PRAGMA user_version", [], |r| r.get(0))?)
}
