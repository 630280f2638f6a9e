//! What is indexed: posts, pages and people, and what makes a hit worth more.
//!
//! 1. Every document has one rowid in the full text index, its sort time and some bits. Posts have
//!    theirs in `posts`, everything else in `docs`, which also keeps the text, as no entry holds it.
//! 2. `worth` marks the posts that told an outcome, are part of an answer, or helped somebody.
//! 3. `credits` says who wrote how much of a thread's answer page. Whoever keeps the pages fills it.

use std::collections::HashMap;

use lanai_crdt::id::EntryId;
use lanai_crdt::payload::{Profile, Reaction};
use lanai_crdt::thread::{PostKind, PostText, Thread};
use rusqlite::OptionalExtension as _;

use crate::store::StoreError;
use crate::store::groups::Group;
use crate::store::rows::N;
use crate::store::write::Ctx;

/// Tables of the search beside `posts` and `fts`.
///
/// docs: kind as [`DocKind`], subject: the thread or the member. worth: bit 0 an outcome, bit 1 part
/// of an answer, above them how many members it helped. words: see `vocabulary`.
pub(in crate::store) const TABLES: &str = r"
CREATE TABLE docs (
    doc INTEGER PRIMARY KEY,
    kind INTEGER NOT NULL,
    subject INTEGER NOT NULL,
    sort INTEGER NOT NULL,
    title TEXT NOT NULL,
    text TEXT NOT NULL,
    UNIQUE (kind, subject)
);
CREATE TABLE worth (n INTEGER PRIMARY KEY, grp INTEGER NOT NULL, worth INTEGER NOT NULL);
CREATE INDEX worth_by_group ON worth (grp);
CREATE TABLE credits (
    t INTEGER NOT NULL, m INTEGER NOT NULL, chars INTEGER NOT NULL, PRIMARY KEY (t, m)
) WITHOUT ROWID;
CREATE INDEX credits_by_member ON credits (m);
CREATE TABLE words (word TEXT PRIMARY KEY, docs INTEGER NOT NULL) WITHOUT ROWID;
";

/// Folds everything again in a store of an earlier version, so that the tables above are filled.
pub(in crate::store) const REFOLD: &str = r"
DELETE FROM posts;
INSERT INTO fts(fts) VALUES ('delete-all');
INSERT OR IGNORE INTO todo SELECT e.n, NULL FROM entries e JOIN payloads p ON p.n = e.n
    WHERE e.class > 0 AND e.past IS NOT NULL AND e.state = 0;
UPDATE todo SET t = x.t FROM thread_entries x WHERE x.n = todo.n;
";

/// Empties the tables above; part of throwing all views away.
pub(in crate::store) const DROP: &str = r"
DELETE FROM docs;
DELETE FROM worth;
DELETE FROM credits;
DELETE FROM words;
";

/// A document that is no post.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum DocKind {
    /// The answer page of a thread.
    Answer,
    /// The question page of a thread.
    Question,
    /// A member's profile.
    Person,
}

impl DocKind {
    pub(super) const fn number(self) -> i64 {
        match self {
            DocKind::Answer => 1,
            DocKind::Question => 2,
            DocKind::Person => 3,
        }
    }

    pub(super) const fn from_number(number: i64) -> Option<DocKind> {
        match number {
            1 => Some(DocKind::Answer),
            2 => Some(DocKind::Question),
            3 => Some(DocKind::Person),
            _ => None,
        }
    }
}

/// Bit of `worth`: it tells an outcome.
pub(super) const OUTCOME: i64 = 1;
/// Bit of `worth`: it is part of an answer.
pub(super) const PART_OF_ANSWER: i64 = 2;
/// Shift of the number of members whom it helped.
pub(super) const HELPED_SHIFT: i64 = 2;

/// What the fields of a profile are called that are searched.
pub(super) const PROFILE_LABELS: [&str; 3] = ["posts held", "experience", "ask me about"];

/// What a profile says, for the index and for the eye: labels and texts.
pub(super) fn profile_fields(profile: &Profile) -> [(&'static str, Option<&str>); 3] {
    let [held, experience, about] = PROFILE_LABELS;
    [
        (held, profile.posts_held.as_deref()),
        (experience, profile.experience.as_deref()),
        (about, profile.ask_about.as_deref()),
    ]
}

impl Ctx<'_> {
    /// Puts the text of a thread's page into the index, in place of what was there. `t` is the
    /// thread's number, `sort_ms` when the page was last changed.
    pub(in crate::store) fn index_page(
        &mut self,
        t: i64,
        kind: DocKind,
        sort_ms: u64,
        title: &str,
        text: &str,
    ) -> Result<(), StoreError> {
        self.index_doc(kind, t, sort_ms, title, text)
    }

    /// Takes a thread's page out of the index.
    pub(in crate::store) fn unindex_page(
        &mut self,
        t: i64,
        kind: DocKind,
    ) -> Result<(), StoreError> {
        self.unindex_doc(kind, t)
    }

    /// Says who wrote how many characters of a thread's answer page: numbers of members.
    pub(in crate::store) fn set_credits(
        &mut self,
        t: i64,
        credits: &[(i64, u64)],
    ) -> Result<(), StoreError> {
        self.conn.prepare_cached("DELETE FROM credits WHERE t = ?1")?.execute([t])?;
        for (m, chars) in credits {
            self.conn
                .prepare_cached("INSERT OR REPLACE INTO credits (t, m, chars) VALUES (?1, ?2, ?3)")?
                .execute((t, m, i64::try_from(*chars).unwrap_or(i64::MAX)))?;
        }
        Ok(())
    }

    /// Indexes who a member is.
    pub(in crate::store) fn index_person(
        &mut self,
        m: i64,
        sort_ms: u64,
        profile: &Profile,
    ) -> Result<(), StoreError> {
        let fields = profile_fields(profile);
        let lines: Vec<String> = fields
            .iter()
            .filter_map(|(label, text)| text.map(|text| format!("{label}: {text}")))
            .collect();
        self.index_doc(DocKind::Person, m, sort_ms, &profile.name, &lines.join("\n"))
    }

    /// Takes a member out of the index.
    pub(in crate::store) fn unindex_person(&mut self, m: i64) -> Result<(), StoreError> {
        self.unindex_doc(DocKind::Person, m)
    }

    fn index_doc(
        &mut self,
        kind: DocKind,
        subject: i64,
        sort_ms: u64,
        title: &str,
        text: &str,
    ) -> Result<(), StoreError> {
        let sort = i64::try_from(sort_ms).unwrap_or(i64::MAX);
        let same = self
            .conn
            .prepare_cached(
                "SELECT 1 FROM docs WHERE kind = ?1 AND subject = ?2 AND sort = ?3 AND title = ?4
                 AND text = ?5",
            )?
            .exists((kind.number(), subject, sort, title, text))?;
        if same {
            return Ok(());
        }
        self.unindex_doc(kind, subject)?;
        let doc = self.free_doc(sort, subject)?;
        self.conn
            .prepare_cached(
                "INSERT INTO docs (doc, kind, subject, sort, title, text)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute((doc, kind.number(), subject, sort, title, text))?;
        self.add_text(doc, title.to_owned(), text.to_owned())
    }

    fn unindex_doc(&mut self, kind: DocKind, subject: i64) -> Result<(), StoreError> {
        let doc: Option<i64> = self
            .conn
            .prepare_cached("DELETE FROM docs WHERE kind = ?1 AND subject = ?2 RETURNING doc")?
            .query_row((kind.number(), subject), |r| r.get(0))
            .optional()?;
        if let Some(doc) = doc {
            self.remove_text(doc)?;
        }
        Ok(())
    }

    /// Notes which posts of a group that was folded are worth more than others.
    pub(in crate::store) fn note_worth(
        &mut self,
        group: Group,
        threads: &[Thread],
        numbers: &HashMap<EntryId, N>,
    ) -> Result<(), StoreError> {
        let mut wanted: HashMap<N, i64> = HashMap::new();
        for post in threads.iter().flat_map(|t| &t.posts) {
            if matches!(post.text, PostText::Withdrawn) {
                continue;
            }
            let helped = post.reactions.get(&Reaction::Helped).map_or(0, |by| by.len());
            let helped = i64::try_from(helped).unwrap_or(i64::MAX).min(1 << 20);
            let outcome = if post.kind == PostKind::Outcome { OUTCOME } else { 0 };
            let part = if post.part_of_answer { PART_OF_ANSWER } else { 0 };
            let worth = outcome | part | helped << HELPED_SHIFT;
            let copies = std::iter::once(&post.id).chain(&post.aliases);
            if let (true, Some(n)) = (worth != 0, copies.filter_map(|id| numbers.get(id)).min()) {
                wanted.insert(*n, worth);
            }
        }
        let there: HashMap<N, i64> = match group.first {
            true => HashMap::new(),
            false => self
                .conn
                .prepare_cached("SELECT n, worth FROM worth WHERE grp = ?1")?
                .query_map([group.grp], |r| Ok((r.get(0)?, r.get(1)?)))?
                .collect::<Result<_, _>>()?,
        };
        for n in there.keys().filter(|n| !wanted.contains_key(n)) {
            self.conn.prepare_cached("DELETE FROM worth WHERE n = ?1")?.execute([n])?;
        }
        for (n, worth) in wanted.iter().filter(|(n, worth)| there.get(n) != Some(worth)) {
            self.conn
                .prepare_cached("INSERT OR REPLACE INTO worth (n, grp, worth) VALUES (?1, ?2, ?3)")?
                .execute((n, group.grp, worth))?;
        }
        Ok(())
    }
}
