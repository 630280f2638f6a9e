//! What deserves this reader's attention: what is new, what waits for an answer, what was promised
//! to be told. All of it is local: nothing here is part of the state hash, and nothing goes out.
//!
//! # Unread that does not lie
//!
//! 1. **New is what others wrote and I have not read.** A read mark names one post by its place of
//!    arrival. It says nothing about any other post: neither about one that arrives between showing
//!    and marking, nor about one whose text comes late, nor about the other threads that are folded
//!    together with this one. So a mark holds wherever a post is shown later.
//! 2. An imported archive is nobody's news.
//! 3. **Only reading in a thread marks** ([`Store::mark_posts_read`] with the posts that were shown),
//!    and [`Store::mark_all_read`] with what was new when an inbox was listed. Nothing else in the store does.
//! 4. What is for me goes before my topics, these before what I watch, and that before the rest
//!    ([`inbox`]). A muted thread is only counted; a snoozed one is, until its time comes or somebody
//!    answers me.
//!
//! | module | what |
//! | --- | --- |
//! | `marks` | read marks; watched, muted and snoozed threads |
//! | `topics` | which topics are mine, and what is about one of them |
//! | `tends` | who looks after which topic, and until when |
//! | `inbox` | what is new, in the order in which it concerns me |
//! | `mention` | posts that name me |
//! | `asks` | what is to be known of asks; which of them need somebody; outcomes that are due |

use std::collections::HashMap;

use rusqlite::Connection;

use super::StoreError;

mod asks;
mod inbox;
mod marks;
mod mention;
mod tends;
mod topics;
mod welcome;

pub use asks::{AskFacts, DueOutcome, Need, Needs, Newcomer, Outcome, OutcomeDelays, WhyDue};
pub use inbox::{AllNew, ForMe, Hidden, Inbox, InboxPost, InboxThread, Rank};
pub use marks::{Stance, Watch};
pub use mention::{mentions, own_handles};
pub use tends::Tending;
pub use topics::{About, MyTopic, TopicSource, TopicSummary};
pub use welcome::Unanswered;

pub(super) use asks::{ask_facts, workers_of};
pub(super) use marks::stance_of;

/// What this part adds to the tables.
///
/// `reads`: posts that were read, by number. `posts.unread` is the same for what is shown now, so that
/// new posts are found without looking at all others. `attention`: watched (1) or muted (2) threads,
/// and until when one is snoozed, with the newest arrival at that time. `asks`: one row for each
/// thread that is an ask or has an outcome.
pub(super) const MIGRATION: &str = r"
CREATE TABLE reads (n INTEGER PRIMARY KEY);
INSERT OR IGNORE INTO reads SELECT x.n FROM posts x JOIN read_marks r ON r.grp = x.grp
    WHERE x.n <= r.n AND x.origin IS NULL;
DROP TABLE read_marks;
ALTER TABLE posts ADD COLUMN unread INTEGER NOT NULL DEFAULT 1;
UPDATE posts SET unread = 0 WHERE n IN (SELECT r.n FROM reads r);
CREATE INDEX posts_unread ON posts (t, n) WHERE unread = 1 AND origin IS NULL;
CREATE INDEX posts_by_thread ON posts (t, author);

CREATE TABLE attention (
    t INTEGER PRIMARY KEY, watch INTEGER NOT NULL DEFAULT 0, until INTEGER,
    since INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE followed (topic TEXT PRIMARY KEY) WITHOUT ROWID;

-- replies, last_reply: posts of others than the asker. parts: posts that are part of the answer.
-- outcome: number of the latest outcome.
CREATE TABLE asks (
    t INTEGER PRIMARY KEY,
    need_by INTEGER,
    replies INTEGER NOT NULL,
    last_reply INTEGER,
    parts INTEGER NOT NULL,
    outcomes INTEGER NOT NULL,
    outcome INTEGER,
    outcome_at INTEGER
);
CREATE INDEX asks_by_outcome ON asks (outcome_at) WHERE outcome_at IS NOT NULL;
-- Who said to be working on an ask.
CREATE TABLE ask_workers (
    t INTEGER NOT NULL, m INTEGER NOT NULL, PRIMARY KEY (t, m)
) WITHOUT ROWID;
INSERT OR IGNORE INTO todo SELECT e.n, t.t FROM threads t JOIN entries e ON e.id = t.id
    WHERE t.kind = 0 AND t.hash IS NOT NULL;
";

/// Tags of some threads.
fn tags_of_all(
    conn: &Connection,
    threads: &[i64],
) -> Result<HashMap<i64, Vec<String>>, StoreError> {
    let mut statement =
        conn.prepare_cached("SELECT tag FROM thread_tags WHERE t = ?1 ORDER BY tag")?;
    let mut out = HashMap::with_capacity(threads.len());
    for t in threads {
        let tags: Vec<String> =
            statement.query_map([t], |r| r.get(0))?.collect::<Result<_, _>>()?;
        out.insert(*t, tags);
    }
    Ok(out)
}

/// A list of numbers for `IN`.
fn listed(numbers: &[i64]) -> String {
    let numbers: Vec<String> = numbers.iter().map(i64::to_string).collect();
    numbers.join(",")
}

/// A time as it is stored; what no calendar has becomes the latest.
fn stored_ms(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}
