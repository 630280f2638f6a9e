//! What is new, in the order in which it concerns the reader.

use std::collections::{BTreeMap, HashMap, HashSet};

use lanai_crdt::id::{EntryId, MemberId};
use lanai_crdt::payload::Body;
use rusqlite::Connection;

use super::marks::{Stances, Watch};
use super::mention::{mentions, own_handles};
use super::topics::{About, Matcher, my_topics};
use super::{listed, tags_of_all};
use crate::store::fold::open_body;
use crate::store::keys::Keyring;
use crate::store::read::{ThreadSummary, list_numbered, own_number};
use crate::store::rows::{self, entry_id};
use crate::store::tallies::Tallies;
use crate::store::{Store, StoreError};

/// New posts listed for one thread.
const MAX_POSTS_PER_THREAD: i64 = 100;
/// New posts, the latest, that are looked through for the reader's name.
const MAX_LOOKED_THROUGH: i64 = 2000;

/// Threads, those last active, whose titles and tags are compared with the reader's topics. What is further down is
/// listed with the rest, for whoever has that much to read.
const MAX_COMPARED: usize = 2000;

/// Threads whose summaries are read with one query.
const THREADS_AT_ONCE: usize = 500;

/// Why a post is for me, the strongest reason first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ForMe {
    /// It answers a post of mine.
    Reply,
    /// It names me.
    Mention,
    /// It stands in a thread that I opened.
    MyThread,
}

/// How much a thread with something new concerns me, most first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// Something in it is for me.
    ForMe,
    /// It is about one of my topics.
    Topic,
    /// I watch it.
    Watched,
    /// None of these.
    Rest,
}

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
    /// Why it is for me, if it is.
    pub for_me: Option<ForMe>,
}

/// A thread with something new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboxThread {
    /// The thread.
    pub thread: ThreadSummary,
    /// Where it stands.
    pub rank: Rank,
    /// The topics of mine that it is about.
    pub about: Vec<About>,
    /// Its new posts, oldest arrival first; the latest hundred.
    pub posts: Vec<InboxPost>,
}

/// Threads with something new that are not listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hidden {
    /// Threads.
    pub threads: u64,
    /// New posts in them.
    pub posts: u64,
}

impl Hidden {
    fn add(&mut self, posts: i64) {
        self.threads += 1;
        self.posts += posts.unsigned_abs();
    }
}

/// Everything new.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inbox {
    /// Threads by rank, the latest activity first in each.
    pub threads: Vec<InboxThread>,
    /// Threads beyond the limit.
    pub more: Hidden,
    /// Muted threads.
    pub muted: Hidden,
    /// Snoozed threads.
    pub snoozed: Hidden,
    unread: u64,
}

/// All posts that were new at one moment, listed or not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AllNew(pub(super) Vec<i64>);

impl Inbox {
    /// The threads of one rank.
    pub fn ranked(&self, rank: Rank) -> impl Iterator<Item = &InboxThread> {
        self.threads.iter().filter(move |item| item.rank == rank)
    }

    /// Whether nothing at all is new, hidden threads included.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Inbox::default()
    }

    /// New posts in what is listed and beyond the limit: without muted and snoozed threads.
    #[must_use]
    pub fn unread(&self) -> u64 {
        self.unread
    }
}

/// What decides where a thread stands.
struct Found {
    t: i64,
    title: String,
    active: i64,
    new: i64,
    mine: bool,
    for_me: bool,
    latest_for_me: i64,
}

/// Those threads with something new of which one that is to be listed first must be: of those for me and of all, the
/// `most` that were last active; those that are watched, muted or snoozed; those of posts that name me.
fn threads_with_news(
    conn: &Connection,
    most: usize,
    others: &[i64],
) -> Result<Vec<Found>, StoreError> {
    let mut statement = conn.prepare(&format!(
        "SELECT w.t, t.title, t.active, w.posts, w.mine, w.for_me, w.latest
         FROM news w JOIN threads t ON t.t = w.t WHERE w.t IN (
             SELECT t FROM (SELECT t FROM news INDEXED BY news_for_me WHERE for_me = 1 ORDER BY place, t LIMIT ?1)
             UNION SELECT t FROM (SELECT t FROM news INDEXED BY news_by_place ORDER BY place, t LIMIT ?1)
             UNION SELECT t FROM news WHERE t IN ({}))",
        listed(others)
    ))?;
    let rows = statement.query_map([i64::try_from(most).unwrap_or(i64::MAX)], |r| {
        Ok(Found {
            t: r.get(0)?,
            title: r.get(1)?,
            active: r.get(2)?,
            new: r.get(3)?,
            mine: r.get(4)?,
            for_me: r.get(5)?,
            latest_for_me: r.get(6)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The text of a post, by the number of the entry that holds it.
pub(super) fn text_of(
    conn: &Connection,
    store: &Store,
    keys: &Keyring,
    n: i64,
) -> Result<Option<String>, StoreError> {
    let Some(stored) = rows::entry_by_number(conn, &store.inner.community, n)? else {
        return Ok(None);
    };
    let Some(blob) = rows::payload(conn, n)? else { return Ok(None) };
    Ok(match open_body(keys, &stored, &blob) {
        Ok(Body::Post(post)) => Some(post.text),
        Ok(Body::Edit(edit)) => Some(edit.text),
        Ok(Body::Note(note)) => Some(note.text),
        Ok(Body::Ask(ask)) => Some(ask.situation),
        _ => None,
    })
}

/// New posts that name me, by thread.
fn new_mentions(
    conn: &Connection,
    store: &Store,
    own: i64,
) -> Result<HashMap<i64, Vec<i64>>, StoreError> {
    let mut statement = conn.prepare_cached("SELECT m, name FROM people")?;
    let names: Vec<(i64, String)> =
        statement.query_map([], |r| Ok((r.get(0)?, r.get(1)?)))?.collect::<Result<_, _>>()?;
    let Some((_, name)) = names.iter().find(|(m, _)| *m == own) else { return Ok(HashMap::new()) };
    let others = names.iter().filter(|(m, _)| *m != own).map(|(_, name)| name.as_str());
    let handles = own_handles(name, others);
    let mut statement = conn.prepare_cached(
        "SELECT n, t, text_n FROM posts
         WHERE unread = 1 AND hidden = 0 AND origin IS NULL AND author <> ?1 ORDER BY n DESC LIMIT ?2",
    )?;
    let latest: Vec<(i64, i64, i64)> = statement
        .query_map((own, MAX_LOOKED_THROUGH), |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))?
        .collect::<Result<_, _>>()?;
    let keys = Keyring::load(conn)?;
    let mut found: HashMap<i64, Vec<i64>> = HashMap::new();
    for (n, t, text_n) in latest {
        let text = text_of(conn, store, &keys, text_n)?;
        if text.is_some_and(|text| mentions(&text, &handles)) {
            found.entry(t).or_default().push(n);
        }
    }
    Ok(found)
}

impl Store {
    /// What is new. `limit` is the most threads to list; 0 means all.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn inbox(&self, now_ms: u64, limit: usize) -> Result<Inbox, StoreError> {
        self.inner.connections.read(|conn| self.inbox_of(conn, now_ms, limit))
    }

    /// As [`inbox`](Self::inbox), with what [`Store::mark_all_read`] is to mark: all that is new at the same moment, which
    /// may be as many posts as there are.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn inbox_to_mark(&self, now_ms: u64, limit: usize) -> Result<(Inbox, AllNew), StoreError> {
        self.inner.connections.read(|conn| {
            let own = own_number(conn, self)?;
            let all: Vec<i64> = conn
                .prepare_cached(
                    "SELECT n FROM posts x JOIN threads t ON t.t = x.t
                     WHERE x.unread = 1 AND x.hidden = 0 AND x.origin IS NULL AND x.author <> ?1
                     AND t.hash IS NOT NULL",
                )?
                .query_map([own], |r| r.get(0))?
                .collect::<Result<_, _>>()?;
            Ok((self.inbox_of(conn, now_ms, limit)?, AllNew(all)))
        })
    }

    fn inbox_of(&self, conn: &Connection, now_ms: u64, limit: usize) -> Result<Inbox, StoreError> {
        let mut inbox = Inbox::default();
        let all = Tallies::load(conn)?;
        if all.new_threads == 0 {
            return Ok(inbox);
        }
        let own = own_number(conn, self)?;
        let stances = Stances::load(conn)?;
        let named = new_mentions(conn, self, own)?;
        let matcher = Matcher::new(&my_topics(conn, self, now_ms)?);
        let mut others: Vec<i64> = stances.threads().chain(named.keys().copied()).collect();
        others.sort_unstable();
        let most = match limit {
            0 => usize::MAX,
            limit => limit.saturating_add(stances.threads().count()).max(MAX_COMPARED),
        };
        let found = threads_with_news(conn, most, &others)?;
        let tags = tags_of_all(conn, &found.iter().map(|f| f.t).collect::<Vec<_>>())?;
        let mut ranked = Vec::new();
        for thread in found {
            if stances.is_muted(thread.t) {
                inbox.muted.add(thread.new);
                continue;
            }
            let named_at = named.get(&thread.t).and_then(|ns| ns.iter().max()).copied();
            let latest = thread.latest_for_me.max(named_at.unwrap_or(0));
            if stances.snoozed(thread.t, now_ms).is_some_and(|since| latest <= since) {
                inbox.snoozed.add(thread.new);
                continue;
            }
            let tags = tags.get(&thread.t).map(Vec::as_slice).unwrap_or_default();
            let about = matcher.about(&thread.title, tags);
            let rank = if thread.for_me || named_at.is_some() {
                Rank::ForMe
            } else if !about.is_empty() {
                Rank::Topic
            } else if stances.of(thread.t).watch == Watch::Watched {
                Rank::Watched
            } else {
                Rank::Rest
            };
            ranked.push((rank, thread, about));
        }
        ranked.sort_by_key(|(rank, thread, _)| (*rank, -thread.active, thread.t));
        let listed_now = if limit == 0 { ranked.len() } else { limit.min(ranked.len()) };
        ranked.truncate(listed_now);
        let listed: u64 = ranked.iter().map(|(_, thread, _)| thread.new.unsigned_abs()).sum();
        let hidden =
            (inbox.muted.threads + inbox.snoozed.threads, inbox.muted.posts + inbox.snoozed.posts);
        inbox.unread = all.new_posts.saturating_sub(hidden.1);
        inbox.more = Hidden {
            threads: all.new_threads.saturating_sub(hidden.0 + ranked.len() as u64),
            posts: inbox.unread.saturating_sub(listed),
        };
        let mut summaries: BTreeMap<i64, ThreadSummary> =
            summaries(conn, own, ranked.iter().map(|(_, thread, _)| thread.t))?;
        for (rank, thread, about) in ranked {
            let Some(summary) = summaries.remove(&thread.t) else { continue };
            let named: HashSet<i64> = named.get(&thread.t).into_iter().flatten().copied().collect();
            let posts = new_posts(conn, own, &thread, &named)?;
            inbox.threads.push(InboxThread { thread: summary, rank, about, posts });
        }
        Ok(inbox)
    }
}

/// The summaries of some threads.
pub(super) fn summaries(
    conn: &Connection,
    own: i64,
    threads: impl IntoIterator<Item = i64>,
) -> Result<BTreeMap<i64, ThreadSummary>, StoreError> {
    let threads: Vec<i64> = threads.into_iter().collect();
    let mut out = BTreeMap::new();
    for some in threads.chunks(THREADS_AT_ONCE) {
        let condition = format!(" AND t.t IN ({})", listed(some));
        out.extend(list_numbered(conn, &condition, vec![own.into()], 0)?);
    }
    Ok(out)
}

fn new_posts(
    conn: &Connection,
    own: i64,
    thread: &Found,
    named: &HashSet<i64>,
) -> Result<Vec<InboxPost>, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT e.id, m.id, p.name, x.sort, coalesce(x.parent = ?1, 0), x.n
         FROM posts x JOIN entries e ON e.n = x.n JOIN members m ON m.m = x.author
         LEFT JOIN people p ON p.m = x.author
         WHERE x.t = ?2 AND x.unread = 1 AND x.hidden = 0 AND x.origin IS NULL AND x.author <> ?1
         ORDER BY x.n DESC LIMIT ?3",
    )?;
    let mut posts: Vec<InboxPost> = statement
        .query_map((own, thread.t, MAX_POSTS_PER_THREAD), |r| {
            let for_me = if r.get(4)? {
                Some(ForMe::Reply)
            } else if named.contains(&r.get(5)?) {
                Some(ForMe::Mention)
            } else {
                thread.mine.then_some(ForMe::MyThread)
            };
            Ok(InboxPost {
                id: entry_id(r.get_ref(0)?.as_blob()?),
                author: MemberId::from_slice(r.get_ref(1)?.as_blob()?).unwrap_or(MemberId::ZERO),
                author_name: r.get(2)?,
                time_ms: r.get::<_, i64>(3)?.unsigned_abs(),
                for_me,
            })
        })?
        .collect::<Result<_, _>>()?;
    posts.reverse();
    Ok(posts)
}
