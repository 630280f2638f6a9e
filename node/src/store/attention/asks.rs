//! Asks: what is to be known of each beside its thread, which need somebody, and of which the outcome
//! is due.
//!
//! 1. **Needs me**: open asks of others about my topics. First what is overdue or has a date, the
//!    soonest first; then the rest by how few replies they have, the oldest first. A date that
//!    passed long ago urges nobody any more. Where I replied myself, others are needed.
//! 2. **Outcomes**: an ask of mine without an outcome is due when its date has passed, or some time
//!    after it was answered, or, with replies that nobody marked as an answer, a longer time after it
//!    was asked. A closed ask asks for nothing. Muting or snoozing the thread quiets the question.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use lanai_crdt::id::{EntryId, MemberId};
use lanai_crdt::payload::{Body, Mark, ThreadState};
use lanai_crdt::thread::{PostKind, PostText, TalkEntry, Thread, ThreadKind};
use rusqlite::{Connection, OptionalExtension as _};

use super::inbox::{summaries, text_of};
use super::marks::Stances;
use super::topics::{About, Matcher, MyTopic, my_topics};
use super::{stored_ms, tags_of_all};
use crate::store::fold::thread_state_number;
use crate::store::groups::Group;
use crate::store::keys::Keyring;
use crate::store::read::{ThreadSummary, list_numbered, own_number};
use crate::store::rows::{ID_IS_1, N, entry_id, unordered};
use crate::store::write::Ctx;
use crate::store::{Store, StoreError};

/// Milliseconds of a day.
const DAY_MS: u64 = 86_400_000;
/// Days for which a date that has passed still puts an ask at the head of what needs somebody.
const OVERDUE_DAYS: u64 = 30;
/// Outcomes listed, the latest.
const MAX_OUTCOMES: i64 = 500;
/// Featured threads looked at, the latest activity first.
const MAX_FEATURED: usize = 100;

/// What is known of an ask.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AskFacts {
    /// By when it is needed, Unix milliseconds.
    pub need_by_ms: Option<u64>,
    /// Posts of others than the asker.
    pub replies: u64,
    /// Sort time of the latest of them, Unix milliseconds.
    pub last_reply_ms: Option<u64>,
    /// Posts that are part of the answer.
    pub parts: u64,
    /// Outcomes told.
    pub outcomes: u64,
    /// Who said to be working on it, while it is being worked.
    pub workers: Vec<MemberId>,
}

/// An open ask that needs somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// The ask.
    pub thread: ThreadSummary,
    /// The topics of mine that it is about; none where I have no topics.
    pub about: Vec<About>,
    /// Whether I wrote in it.
    pub replied: bool,
}

/// Open asks that need somebody.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Needs {
    /// My topics. Without any, all open asks are listed.
    pub topics: Vec<MyTopic>,
    /// The asks, the most urgent first.
    pub needs: Vec<Need>,
    /// Such asks beyond the limit.
    pub more: u64,
    /// Open asks about other topics.
    pub elsewhere: u64,
    /// Those of them that nobody replied to.
    pub unanswered: u64,
    /// Such asks in muted and snoozed threads.
    pub hidden: u64,
}

/// How long after what the asker is asked how it went, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutcomeDelays {
    /// After the last reply to an ask with an answer.
    pub after_answer_ms: u64,
    /// After an ask that has replies and no answer.
    pub after_ask_ms: u64,
}

/// Why an outcome is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhyDue {
    /// It was needed by this time, Unix milliseconds, which has passed.
    NeededBy(u64),
    /// It was answered.
    Answered,
    /// It has so many replies.
    Replies(u64),
}

/// An ask of mine of which the outcome is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueOutcome {
    /// The ask.
    pub thread: ThreadSummary,
    /// Why.
    pub why: WhyDue,
}

/// An outcome that was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The thread.
    pub thread: ThreadSummary,
    /// The post.
    pub post: EntryId,
    /// Who told it.
    pub author: MemberId,
    /// Sort time, Unix milliseconds.
    pub time_ms: u64,
    /// What it says, if it can be opened.
    pub text: Option<String>,
}

/// A member who was admitted not long ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Newcomer {
    /// Who.
    pub member: MemberId,
    /// When, by the admitting node's clock, Unix milliseconds.
    pub admitted_ms: u64,
}

/// Who says to be working on an ask: the marks that led to its state without another state between.
pub(in crate::store) fn workers_of(entries: &[TalkEntry], thread: &Thread) -> Vec<MemberId> {
    let known: HashMap<EntryId, &TalkEntry> = entries.iter().map(|e| (e.id, e)).collect();
    let mut todo: Vec<EntryId> = thread.state_mark.into_iter().collect();
    let mut seen: BTreeSet<EntryId> = BTreeSet::new();
    let mut workers = Vec::new();
    while let Some(id) = todo.pop() {
        let Some(mark) = known.get(&id).filter(|_| seen.insert(id)) else { continue };
        if !matches!(mark.body, Body::Mark(Mark::State(ThreadState::Working))) {
            continue;
        }
        if !workers.contains(&mark.member) {
            workers.push(mark.member);
        }
        todo.extend(mark.refs.iter().skip(2));
    }
    workers
}

impl Ctx<'_> {
    /// What is to be known of an ask, or of a note that has an outcome.
    pub(in crate::store) fn save_ask(
        &mut self,
        group: Group,
        t: i64,
        thread: &Thread,
        numbers: &HashMap<EntryId, N>,
        entries: &[TalkEntry],
    ) -> Result<(), StoreError> {
        if !group.first {
            self.conn.prepare_cached("DELETE FROM asks WHERE t = ?1")?.execute([t])?;
            self.conn.prepare_cached("DELETE FROM ask_workers WHERE t = ?1")?.execute([t])?;
        }
        let there = thread.posts.iter().filter(|post| post.text != PostText::Withdrawn);
        let outcomes: Vec<_> =
            there.clone().filter(|post| post.kind == PostKind::Outcome).collect();
        if thread.kind == ThreadKind::Note && outcomes.is_empty() {
            return Ok(());
        }
        let by_asker = |author: &MemberId| *author == thread.author && thread.origin.is_none();
        let replies: Vec<u64> = there
            .clone()
            .filter(|post| post.kind == PostKind::Reply && !by_asker(&post.author))
            .map(|post| post.sort_millis)
            .collect();
        let latest = outcomes.iter().max_by_key(|post| (post.sort_millis, post.id));
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.conn
            .prepare_cached(
                "INSERT INTO asks (t, need_by, replies, last_reply, parts, outcomes, outcome,
                 outcome_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?
            .execute((
                t,
                thread.ask.as_ref().and_then(|ask| ask.need_by).map(stored_ms),
                number(replies.len()),
                replies.iter().max().copied().map(stored_ms),
                number(there.filter(|post| post.part_of_answer).count()),
                number(outcomes.len()),
                latest.and_then(|post| numbers.get(&post.id)),
                latest.map(|post| stored_ms(post.sort_millis)),
            ))?;
        if thread.state == ThreadState::Working {
            for worker in workers_of(entries, thread) {
                let m = self.member(&worker)?;
                self.conn
                    .prepare_cached("INSERT OR IGNORE INTO ask_workers (t, m) VALUES (?1, ?2)")?
                    .execute((t, m))?;
            }
        }
        Ok(())
    }
}

/// What is known of an ask; none for a note without outcomes.
pub(in crate::store) fn ask_facts(
    conn: &Connection,
    t: i64,
) -> Result<Option<AskFacts>, StoreError> {
    let facts: Option<AskFacts> = conn
        .prepare_cached(
            "SELECT need_by, replies, last_reply, parts, outcomes FROM asks WHERE t = ?1",
        )?
        .query_row([t], |r| {
            Ok(AskFacts {
                need_by_ms: r.get::<_, Option<i64>>(0)?.map(i64::unsigned_abs),
                replies: r.get::<_, i64>(1)?.unsigned_abs(),
                last_reply_ms: r.get::<_, Option<i64>>(2)?.map(i64::unsigned_abs),
                parts: r.get::<_, i64>(3)?.unsigned_abs(),
                outcomes: r.get::<_, i64>(4)?.unsigned_abs(),
                workers: Vec::new(),
            })
        })
        .optional()?;
    let Some(mut facts) = facts else { return Ok(None) };
    let mut statement = conn.prepare_cached(
        "SELECT m.id FROM ask_workers w JOIN members m ON m.m = w.m WHERE w.t = ?1 ORDER BY m.id",
    )?;
    let workers = statement.query_map([t], |r| {
        Ok(MemberId::from_slice(r.get_ref(0)?.as_blob()?).unwrap_or(MemberId::ZERO))
    })?;
    facts.workers = workers.collect::<Result<_, _>>()?;
    Ok(Some(facts))
}

/// An open ask of somebody else, as far as it decides how urgent it is.
struct Open {
    t: i64,
    title: String,
    started: u64,
    need_by: Option<u64>,
    replies: u64,
    replied: bool,
}

impl Open {
    /// The most urgent first.
    fn urgency(&self, now_ms: u64) -> impl Ord + use<> {
        let long_ago = now_ms.saturating_sub(OVERDUE_DAYS * DAY_MS);
        let date = self.need_by.filter(|by| *by >= long_ago);
        (self.replied, date.is_none(), date, self.replies, self.started, self.t)
    }
}

impl Store {
    /// Open asks of others about my topics; without topics, all of them. `limit` is the most to list;
    /// 0 means all.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn needs(&self, now_ms: u64, limit: usize) -> Result<Needs, StoreError> {
        self.open_asks(now_ms, limit, false)
    }

    /// As [`needs`](Self::needs), about any topic.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn needs_of_all(&self, now_ms: u64, limit: usize) -> Result<Needs, StoreError> {
        self.open_asks(now_ms, limit, true)
    }

    fn open_asks(&self, now_ms: u64, limit: usize, all: bool) -> Result<Needs, StoreError> {
        self.inner.connections.read(|conn| {
            let own = own_number(conn, self)?;
            let topics = my_topics(conn, self, now_ms)?;
            let matcher = Matcher::new(&topics);
            let stances = Stances::load(conn)?;
            let snoozed = stances.snoozed_now(now_ms);
            let mut statement = conn.prepare_cached(
                "SELECT t.t, t.title, t.started, a.need_by, a.replies,
                 EXISTS (SELECT 1 FROM posts x WHERE x.grp = t.grp AND x.t = t.t AND x.author = ?1)
                 FROM asks a JOIN threads t ON t.t = a.t
                 WHERE t.hash IS NOT NULL AND t.kind = 0 AND t.state IN (?2, ?3) AND t.title <> ''
                 AND NOT (t.author = ?1 AND t.origin IS NULL)",
            )?;
            let states = (
                own,
                thread_state_number(ThreadState::Open),
                thread_state_number(ThreadState::Working),
            );
            let open: Vec<Open> = statement
                .query_map(states, |r| {
                    Ok(Open {
                        t: r.get(0)?,
                        title: r.get(1)?,
                        started: r.get::<_, i64>(2)?.unsigned_abs(),
                        need_by: r.get::<_, Option<i64>>(3)?.map(i64::unsigned_abs),
                        replies: r.get::<_, i64>(4)?.unsigned_abs(),
                        replied: r.get(5)?,
                    })
                })?
                .collect::<Result<_, _>>()?;
            let tags = tags_of_all(conn, &open.iter().map(|ask| ask.t).collect::<Vec<_>>())?;
            let mut out = Needs::default();
            let mut chosen = Vec::new();
            for ask in open {
                let tags = tags.get(&ask.t).map(Vec::as_slice).unwrap_or_default();
                let about = matcher.about(&ask.title, tags);
                if about.is_empty() && !topics.is_empty() && !all {
                    out.elsewhere += 1;
                    out.unanswered += u64::from(ask.replies == 0);
                } else if stances.is_muted(ask.t) || snoozed.contains(&ask.t) {
                    out.hidden += 1;
                } else {
                    chosen.push((ask, about));
                }
            }
            chosen.sort_by_cached_key(|(ask, _)| ask.urgency(now_ms));
            let listed = if limit == 0 { chosen.len() } else { limit.min(chosen.len()) };
            out.more = u64::try_from(chosen.drain(listed..).count()).unwrap_or(u64::MAX);
            let mut known = summaries(conn, own, chosen.iter().map(|(ask, _)| ask.t))?;
            for (ask, about) in chosen {
                if let Some(thread) = known.remove(&ask.t) {
                    out.needs.push(Need { thread, about, replied: ask.replied });
                }
            }
            out.topics = topics;
            Ok(out)
        })
    }

    /// Asks of mine of which the outcome is due, the latest activity first.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn due_outcomes(
        &self,
        now_ms: u64,
        delays: OutcomeDelays,
    ) -> Result<Vec<DueOutcome>, StoreError> {
        self.inner.connections.read(|conn| {
            let own = own_number(conn, self)?;
            let stances = Stances::load(conn)?;
            let snoozed = stances.snoozed_now(now_ms);
            let mut statement = conn.prepare_cached(
                "SELECT t.t FROM asks a CROSS JOIN threads t ON t.t = a.t
                 WHERE t.hash IS NOT NULL AND t.kind = 0 AND t.author = ?1 AND t.origin IS NULL
                 AND t.state <> ?2 AND a.outcomes = 0 AND t.title <> ''",
            )?;
            let closed = thread_state_number(ThreadState::Closed);
            let mine: Vec<i64> =
                statement.query_map((own, closed), |r| r.get(0))?.collect::<Result<_, _>>()?;
            let quiet = |t: &i64| stances.is_muted(*t) || snoozed.contains(t);
            let mine = summaries(conn, own, mine.into_iter().filter(|t| !quiet(t)))?;
            let due = |thread: ThreadSummary| {
                why_due(&thread, now_ms, delays).map(|why| DueOutcome { thread, why })
            };
            let mut due: Vec<DueOutcome> = mine.into_values().filter_map(due).collect();
            due.sort_by_key(|due| (std::cmp::Reverse(due.thread.active_ms), due.thread.root));
            Ok(due)
        })
    }

    /// Outcomes told since a time, Unix milliseconds, and those of others that I have not read; the
    /// latest first.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn outcomes_since(&self, since_ms: u64) -> Result<Vec<Outcome>, StoreError> {
        self.inner.connections.read(|conn| {
            let own = own_number(conn, self)?;
            let stances = Stances::load(conn)?;
            let mut statement = conn.prepare_cached(
                "SELECT a.t, e.id, m.id, x.sort, x.text_n
                 FROM asks a JOIN posts x ON x.n = a.outcome
                 JOIN entries e ON e.n = x.n JOIN members m ON m.m = x.author
                 JOIN threads t ON t.t = a.t
                 WHERE a.outcome_at IS NOT NULL AND t.hash IS NOT NULL AND (a.outcome_at >= ?1
                     OR x.unread = 1 AND x.origin IS NULL AND x.author <> ?2)
                 ORDER BY a.outcome_at DESC LIMIT ?3",
            )?;
            let found: Vec<(i64, EntryId, MemberId, i64, i64)> = statement
                .query_map((stored_ms(since_ms), own, MAX_OUTCOMES), |r| {
                    let member = r.get_ref(2)?.as_blob()?;
                    Ok((
                        r.get(0)?,
                        entry_id(r.get_ref(1)?.as_blob()?),
                        MemberId::from_slice(member).unwrap_or(MemberId::ZERO),
                        r.get(3)?,
                        r.get(4)?,
                    ))
                })?
                .collect::<Result<_, _>>()?;
            let keys = Keyring::load(conn)?;
            let mut known: BTreeMap<i64, ThreadSummary> =
                summaries(conn, own, found.iter().map(|(t, ..)| *t))?;
            let mut out = Vec::new();
            for (t, post, author, sort, text_n) in found {
                if stances.is_muted(t) {
                    continue;
                }
                let Some(thread) = known.remove(&t) else { continue };
                let text = text_of(conn, self, &keys, text_n)?;
                out.push(Outcome { thread, post, author, time_ms: sort.unsigned_abs(), text });
            }
            Ok(out)
        })
    }

    /// Threads that a lead features, with activity since a time, Unix milliseconds, or something that I
    /// have not read; the latest activity first.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn featured_since(&self, since_ms: u64) -> Result<Vec<ThreadSummary>, StoreError> {
        self.inner.connections.read(|conn| {
            let own = own_number(conn, self)?;
            let stances = Stances::load(conn)?;
            let found = list_numbered(conn, " AND t.featured = 1", vec![own.into()], MAX_FEATURED)?;
            let heard = |(t, thread): (i64, ThreadSummary)| {
                let news = thread.active_ms >= since_ms || thread.unread > 0;
                (news && !stances.is_muted(t)).then_some(thread)
            };
            Ok(found.into_iter().filter_map(heard).collect())
        })
    }

    /// Members who were admitted since a time, Unix milliseconds, the latest first.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn newcomers_since(&self, since_ms: u64) -> Result<Vec<Newcomer>, StoreError> {
        self.inner.connections.read(|conn| {
            let roster = self.inner.rosters.get(conn)?;
            let own = roster.roster().standing(&self.inner.own).map(|s| s.member);
            let mut statement =
                conn.prepare_cached(&format!("SELECT e.time FROM entries e WHERE {ID_IS_1}"))?;
            let mut out = Vec::new();
            for member in roster.roster().members() {
                if member.pending || Some(member.id) == own {
                    continue;
                }
                let time: Option<i64> = statement
                    .query_row([member.admitted_entry.as_bytes()], |r| r.get(0))
                    .optional()?;
                // The clock's upper 48 bits.
                let admitted_ms = time.map_or(0, |time| unordered(time) >> 16);
                if admitted_ms >= since_ms {
                    out.push(Newcomer { member: member.id, admitted_ms });
                }
            }
            out.sort_by_key(|n| (std::cmp::Reverse(n.admitted_ms), n.member));
            Ok(out)
        })
    }
}

fn why_due(thread: &ThreadSummary, now_ms: u64, delays: OutcomeDelays) -> Option<WhyDue> {
    let ask = thread.ask.as_ref()?;
    let answered = ask.parts > 0 || thread.state == ThreadState::Answered;
    let passed = |since: u64, delay: u64| since.saturating_add(delay) <= now_ms;
    match ask.need_by_ms {
        // What was to be decided by then has not happened before.
        Some(by) => passed(by, 0).then_some(WhyDue::NeededBy(by)),
        None if answered => {
            let last = ask.last_reply_ms.unwrap_or(thread.started_ms);
            passed(last, delays.after_answer_ms).then_some(WhyDue::Answered)
        }
        None if ask.replies > 0 => {
            passed(thread.started_ms, delays.after_ask_ms).then_some(WhyDue::Replies(ask.replies))
        }
        None => None,
    }
}
