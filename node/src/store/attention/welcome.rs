//! Who has written and was never answered by anybody.

use lanai_crdt::id::{EntryId, MemberId};

use crate::store::rows::entry_id;
use crate::store::{Store, StoreError};

/// Somebody who waits for a first answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unanswered {
    /// Who.
    pub member: MemberId,
    /// The thread in which they wrote first.
    pub thread: EntryId,
    /// Its title.
    pub title: String,
    /// Their first post.
    pub post: EntryId,
    /// When they wrote it, Unix milliseconds by their clock.
    pub time_ms: u64,
}

impl Store {
    /// Members who have written something to which nobody else has replied, in any thread, who waits
    /// longest first. Imported posts do not count; neither does the reader.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn unanswered(&self) -> Result<Vec<Unanswered>, StoreError> {
        let (roster, own) = (self.roster()?, self.own_member()?);
        let found = self.inner.connections.read(|conn| {
            let mut statement = conn.prepare_cached(
                "SELECT m.id, t.id, coalesce(t.title, ''), e.id, min(p.sort)
                 FROM posts p JOIN members m ON m.m = p.author
                 JOIN threads t ON t.t = p.t JOIN entries e ON e.n = p.n
                 WHERE p.origin IS NULL AND p.author NOT IN (
                     SELECT parent FROM posts WHERE parent IS NOT NULL AND author <> parent)
                 GROUP BY p.author ORDER BY min(p.sort)",
            )?;
            let found = statement.query_map([], |r| {
                Ok(Unanswered {
                    member: MemberId::from_slice(r.get_ref(0)?.as_blob()?)
                        .unwrap_or(MemberId::ZERO),
                    thread: entry_id(r.get_ref(1)?.as_blob()?),
                    title: r.get(2)?,
                    post: entry_id(r.get_ref(3)?.as_blob()?),
                    time_ms: r.get::<_, i64>(4)?.try_into().unwrap_or_default(),
                })
            })?;
            Ok(found.collect::<Result<Vec<_>, _>>()?)
        })?;
        let waits = |u: &Unanswered| {
            Some(u.member) != own && roster.member(&u.member).is_some_and(|m| !m.pending)
        };
        Ok(found.into_iter().filter(waits).collect())
    }
}
