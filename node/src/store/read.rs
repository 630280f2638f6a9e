//! Reading: lists of threads, one thread, people, what an id means, how the store is doing.
//!
//! A read is one snapshot. Where entries of a thread wait to be folded, reading it folds those
//! first, so that a reader sees what is here even while a bulk sync is behind with its index.

use std::collections::{BTreeMap, BTreeSet};

use lanai_crdt::entry::Header;
use lanai_crdt::id::{CommunityId, DeviceId, EntryId, IdPrefix, MemberId};
use lanai_crdt::payload::{Body, Kind, Profile, Role, ThreadState};
use lanai_crdt::people::{CommunityView, TendView, fold_community, fold_people, fold_tends};
use lanai_crdt::roster::Roster;
use lanai_crdt::state::state_hash;
use lanai_crdt::thread::{TalkEntry, Thread, ThreadKind, fold_threads};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, Row, params_from_iter};

use super::attention::{AskFacts, Stance, ask_facts, stance_of, workers_of};
use super::fold::{load_specials, open_body, thread_state_from, thread_state_number};
use super::groups::entries_of_group;
use super::keys::Keyring;
use super::rows::{self, ID_IS_1, N, entry_id, packed_tail, state};
use super::tallies::Tallies;
use super::{Durability, Store, StoreError, placing};

/// Candidates given for an ambiguous id.
const MAX_CANDIDATES: usize = 20;

/// Which threads to list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ThreadFilter {
    /// Only asks in one of these states.
    pub states: Vec<ThreadState>,
    /// Only asks, or only notes.
    pub kind: Option<ThreadKind>,
    /// Only with this tag, in any case.
    pub tag: Option<String>,
    /// Only by this member.
    pub author: Option<MemberId>,
    /// Only threads with something unread.
    pub unread: bool,
    /// At most so many; 0 gives all.
    pub limit: usize,
}

/// A thread in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThreadSummary {
    /// The canonical root.
    pub root: EntryId,
    /// Ask or note.
    pub kind: ThreadKind,
    /// Title; empty when the root was withdrawn.
    pub title: String,
    /// State; means something for asks only.
    pub state: ThreadState,
    /// Who wrote or imported it.
    pub author: MemberId,
    /// The author's name, where a profile is here.
    pub author_name: Option<String>,
    /// Name of the original author of an import.
    pub origin: Option<String>,
    /// Posts that are not withdrawn, the root's included.
    pub posts: u64,
    /// Posts of others that were not read. Imported ones are nobody's news.
    pub unread: u64,
    /// Sort time of the root, Unix milliseconds.
    pub started_ms: u64,
    /// Latest sort time of a post, Unix milliseconds.
    pub active_ms: u64,
    /// Tags.
    pub tags: Vec<String>,
    /// What is known of an ask, and of a note with outcomes.
    pub ask: Option<AskFacts>,
    /// What this reader wants to hear of it.
    pub stance: Stance,
    /// Whether a lead keeps it at the head of lists.
    pub pinned: bool,
    /// Whether a lead shows it to everybody.
    pub featured: bool,
}

/// One thread, whole.
#[derive(Debug, Clone)]
pub struct ThreadView {
    /// The fold.
    pub thread: Thread,
    /// Posts of others that were not read.
    pub unread: BTreeSet<EntryId>,
    /// Who says to be working on the ask, while it is being worked.
    pub workers: Vec<MemberId>,
    /// What this reader wants to hear of it.
    pub stance: Stance,
    /// Names of the members who occur in it.
    pub names: BTreeMap<MemberId, String>,
    /// Entries that belong to it and whose payload is not here yet.
    pub missing: u64,
    /// Entries that belong to it and cannot be opened for lack of a key.
    pub locked: u64,
    /// Who alone can read it, for a side talk.
    pub readers: Option<BTreeSet<MemberId>>,
}

/// What an id stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A thread, by its root or an alias of it.
    Thread {
        /// The canonical root.
        root: EntryId,
        /// Its title.
        title: String,
    },
    /// A post in a thread.
    Post {
        /// The canonical root of the thread.
        thread: EntryId,
        /// The thread's title.
        title: String,
    },
    /// A member.
    Member {
        /// The member.
        member: MemberId,
        /// The name, where a profile is here.
        name: Option<String>,
    },
    /// Another entry: an edit, a mark, a roster entry.
    Entry,
}

/// One meaning of a typed id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The 32 bytes of the id.
    pub id: [u8; 32],
    /// What it is.
    pub found: Found,
}

impl Candidate {
    /// The id as an entry's.
    pub fn entry(&self) -> EntryId {
        EntryId::new(self.id)
    }
}

/// A member as people see one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The member.
    pub member: MemberId,
    /// Role now.
    pub role: Role,
    /// Let in too late for the ticket; a steward must decide.
    pub pending: bool,
    /// Devices.
    pub devices: Vec<DeviceId>,
    /// Who issued the ticket.
    pub sponsor: Option<MemberId>,
    /// The profile, where one is here.
    pub profile: Option<Profile>,
    /// Topics that the member tends, or did until some time that has passed.
    pub tends: Vec<TendView>,
}

/// The community's own words about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommunityInfo {
    /// Its id.
    pub id: CommunityId,
    /// Name and charter, once a steward's entry that sets them is here.
    pub view: Option<CommunityView>,
}

/// One entry, opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryInfo {
    /// The header.
    pub header: Header,
    /// Who wrote it, if it counts.
    pub member: Option<(MemberId, Role)>,
    /// The body, if it is here and could be opened.
    pub body: Option<Body>,
    /// Why it is not shown, if it is not.
    pub aside: Option<String>,
}

const SUMMARY_COLUMNS: &str = "t.id, t.kind, t.title, t.state, m.id, p.name, o.name, t.posts, \
     t.started, t.active, t.t, \
     (SELECT count(*) FROM posts x WHERE x.t = t.t AND x.unread = 1 AND x.hidden = 0 AND x.origin IS NULL \
      AND x.author <> ?1), t.pinned, t.featured";

const SUMMARY_JOINS: &str = "JOIN members m ON m.m = t.author LEFT JOIN people p ON p.m = t.author \
     LEFT JOIN names o ON o.a = t.origin";

fn read_summary(row: &Row<'_>) -> rusqlite::Result<(i64, ThreadSummary)> {
    Ok((
        row.get(10)?,
        ThreadSummary {
            root: entry_id(row.get_ref(0)?.as_blob()?),
            kind: kind_from(row.get(1)?),
            title: row.get(2)?,
            state: thread_state_from(row.get(3)?),
            author: MemberId::from_slice(row.get_ref(4)?.as_blob()?).unwrap_or(MemberId::ZERO),
            author_name: row.get(5)?,
            origin: row.get(6)?,
            posts: row.get::<_, i64>(7)?.unsigned_abs(),
            started_ms: row.get::<_, i64>(8)?.unsigned_abs(),
            active_ms: row.get::<_, i64>(9)?.unsigned_abs(),
            unread: row.get::<_, i64>(11)?.unsigned_abs(),
            tags: Vec::new(),
            ask: None,
            stance: Stance::default(),
            pinned: row.get(12)?,
            featured: row.get(13)?,
        },
    ))
}

fn kind_from(number: i64) -> ThreadKind {
    if number == 0 { ThreadKind::Ask } else { ThreadKind::Note }
}

/// The number of the own member, or one that nobody has.
pub(super) fn own_number(conn: &Connection, store: &Store) -> Result<i64, StoreError> {
    member_number(conn, store.inner.rosters.get(conn)?.roster(), &store.inner.own)
}

/// The number of the member whose device it is, or one that nobody has.
pub(super) fn member_number(
    conn: &Connection,
    roster: &Roster,
    device: &DeviceId,
) -> Result<i64, StoreError> {
    let Some(standing) = roster.standing(device) else { return Ok(-1) };
    let m: Option<i64> = conn
        .prepare_cached("SELECT m FROM members WHERE id = ?1")?
        .query_row([standing.member.as_bytes()], |r| r.get(0))
        .optional()?;
    Ok(m.unwrap_or(-1))
}

pub(super) fn tags_of(conn: &Connection, t: i64) -> Result<Vec<String>, StoreError> {
    let mut statement =
        conn.prepare_cached("SELECT tag FROM thread_tags WHERE t = ?1 ORDER BY tag")?;
    Ok(statement.query_map([t], |r| r.get(0))?.collect::<Result<_, _>>()?)
}

/// Lists threads; `?1` of the condition is the own member.
pub(super) fn list_threads(
    conn: &Connection,
    conditions: &str,
    values: Vec<Value>,
    limit: usize,
) -> Result<Vec<ThreadSummary>, StoreError> {
    let numbered = list_numbered(conn, conditions, values, limit)?;
    Ok(numbered.into_iter().map(|(_, summary)| summary).collect())
}

/// As [`list_threads`], each thread with its number.
pub(super) fn list_numbered(
    conn: &Connection,
    conditions: &str,
    values: Vec<Value>,
    limit: usize,
) -> Result<Vec<(i64, ThreadSummary)>, StoreError> {
    let limit = if limit == 0 { String::new() } else { format!(" LIMIT {limit}") };
    let mut statement = conn.prepare_cached(&format!(
        "SELECT {SUMMARY_COLUMNS} FROM threads t {SUMMARY_JOINS}
         WHERE t.hash IS NOT NULL{conditions} ORDER BY t.active DESC, t.id{limit}"
    ))?;
    let mut found: Vec<(i64, ThreadSummary)> =
        statement.query_map(params_from_iter(values), read_summary)?.collect::<Result<_, _>>()?;
    for (t, summary) in &mut found {
        summary.tags = tags_of(conn, *t)?;
        summary.ask = ask_facts(conn, *t)?;
        summary.stance = stance_of(conn, *t)?;
    }
    Ok(found)
}

/// A condition for "something in the thread was not read".
const UNREAD: &str = " AND EXISTS (SELECT 1 FROM posts x WHERE x.t = t.t AND x.unread = 1 AND x.hidden = 0 \
     AND x.origin IS NULL AND x.author <> ?1)";

/// The group of the thread that an entry belongs to: as its root, an alias, or an entry in it. What
/// the entry itself says goes first: others can name anything as a thread.
pub(super) fn group_of(conn: &Connection, id: &EntryId) -> Result<Option<i64>, StoreError> {
    let thread = thread_named_by(conn, id)?.unwrap_or(*id);
    Ok(conn
        .prepare_cached("SELECT grp FROM threads WHERE id = ?1")?
        .query_row([thread.as_bytes()], |r| r.get(0))
        .optional()?)
}

/// `refs[0]` of an entry, read from its packed header.
pub(super) fn thread_named_by(
    conn: &Connection,
    id: &EntryId,
) -> Result<Option<EntryId>, StoreError> {
    type Row = (i64, Option<Vec<u8>>, bool, Vec<u8>);
    let row: Option<Row> = conn
        .prepare_cached(&format!(
            "SELECT e.class, (SELECT t.id FROM threads t WHERE t.t = e.thread), e.prev IS NULL,
             e.header FROM entries e WHERE {ID_IS_1}"
        ))?
        .query_row([id.as_bytes()], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?)))
        .optional()?;
    let row = row.filter(|(class, ..)| *class > 0);
    let Some((_, thread, names_prev, header)) = row else { return Ok(None) };
    if let Some(thread) = thread {
        return Ok(EntryId::from_slice(&thread));
    }
    let tail = packed_tail(&header, names_prev);
    let heads = tail.first().map_or(0, |n| usize::from(*n));
    let refs = tail.get(1 + 32 * heads..).unwrap_or_default();
    let first = if refs.first().is_some_and(|n| *n > 0) { refs.get(1..33) } else { None };
    Ok(first.and_then(EntryId::from_slice))
}

impl Store {
    /// Lists threads: pinned ones, then the others, each the latest activity first.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn threads(&self, filter: &ThreadFilter) -> Result<Vec<ThreadSummary>, StoreError> {
        self.inner.connections.read(|conn| {
            let mut conditions = String::new();
            let mut values: Vec<Value> = vec![own_number(conn, self)?.into()];
            let place = |value: Value, values: &mut Vec<Value>| {
                values.push(value);
                format!("?{}", values.len())
            };
            if let Some(kind) = filter.kind {
                let at = place(i64::from(kind == ThreadKind::Note).into(), &mut values);
                conditions.push_str(&format!(" AND t.kind = {at}"));
            }
            if !filter.states.is_empty() {
                let states: Vec<String> =
                    filter.states.iter().map(|s| thread_state_number(*s).to_string()).collect();
                conditions
                    .push_str(&format!(" AND t.kind = 0 AND t.state IN ({})", states.join(",")));
            }
            if let Some(tag) = &filter.tag {
                let at = place(tag.to_lowercase().into(), &mut values);
                conditions.push_str(&format!(
                    " AND t.t IN (SELECT g.t FROM thread_tags g WHERE g.tag = {at})"
                ));
            }
            if let Some(author) = &filter.author {
                let at = place(author.as_bytes().to_vec().into(), &mut values);
                conditions.push_str(&format!(" AND m.id = {at}"));
            }
            if filter.unread {
                conditions.push_str(UNREAD);
            }
            // The few that are pinned are found by their index, not by looking at all from the latest on.
            let pinned = format!(
                "{conditions} AND t.t IN (SELECT x.t FROM threads x INDEXED BY threads_pinned
                 WHERE x.pinned = 1)"
            );
            let mut found = list_threads(conn, &pinned, values.clone(), filter.limit)?;
            let left = filter.limit.saturating_sub(found.len());
            if filter.limit == 0 || left > 0 {
                let rest = format!("{conditions} AND t.pinned = 0");
                found.extend(list_threads(conn, &rest, values, left)?);
            }
            Ok(found)
        })
    }

    /// One thread, by the id of its root, of an alias of its root, or of any entry in it.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn thread(&self, id: &EntryId) -> Result<Option<ThreadView>, StoreError> {
        self.fold_thread_of(id)?;
        self.inner.connections.read(|conn| {
            let named = thread_named_by(conn, id)?.unwrap_or(*id);
            if let Some(talk) = super::side::thread_view(self, conn, &named)? {
                return Ok(Some(talk));
            }
            let Some(group) = group_of(conn, id)? else { return Ok(None) };
            let keys = Keyring::load(conn)?;
            let entries = entries_of_group(conn, &self.inner.community, &keys, group)?;
            let threads = fold_threads(&entries);
            let at = placing::position(&threads, &entries, id);
            // What names no post is in the first live thread of its group.
            let at = at.or_else(|| threads.iter().position(|t| !t.title.is_empty())).unwrap_or(0);
            let Some(thread) = threads.into_iter().nth(at) else { return Ok(None) };
            let workers = match thread.state {
                ThreadState::Working => workers_of(&entries, &thread),
                _ => Vec::new(),
            };
            self.view(conn, group, thread, workers).map(Some)
        })
    }

    fn view(
        &self,
        conn: &Connection,
        group: i64,
        mut thread: Thread,
        workers: Vec<MemberId>,
    ) -> Result<ThreadView, StoreError> {
        if let Some(title) = self.question_title(conn, &thread)? {
            thread.title = title;
        }
        let own = own_number(conn, self)?;
        let new: BTreeSet<EntryId> = conn
            .prepare_cached(
                "SELECT e.id FROM posts x JOIN entries e ON e.n = x.n WHERE x.grp = ?1
                 AND x.unread = 1 AND x.hidden = 0 AND x.origin IS NULL AND x.author <> ?2",
            )?
            .query_map((group, own), |r| Ok(entry_id(r.get_ref(0)?.as_blob()?)))?
            .collect::<Result<_, _>>()?;
        let unread = thread.posts.iter().map(|p| p.id).filter(|id| new.contains(id)).collect();
        let t: Option<i64> = conn
            .prepare_cached("SELECT t FROM threads WHERE id = ?1")?
            .query_row([thread.root.as_bytes()], |r| r.get(0))
            .optional()?;
        let stance = t.map_or_else(|| Ok(Stance::default()), |t| stance_of(conn, t))?;
        let mut members: BTreeSet<MemberId> = BTreeSet::from([thread.author]);
        members.extend(&workers);
        for post in &thread.posts {
            members.insert(post.author);
            members.extend(post.edits.iter().map(|e| e.author));
            members.extend(post.hidden.iter().chain(&post.featured).map(|d| d.by));
            members.extend(post.moved.as_ref().map(|m| m.deed.by));
            members.extend(post.reactions.values().flatten());
        }
        members.extend(thread.acts.iter().map(|a| a.by));
        let mut names = BTreeMap::new();
        for member in members {
            if let Some(name) = name_of(conn, &member)? {
                names.insert(member, name);
            }
        }
        let count = |sql: &str| -> Result<u64, StoreError> {
            let n: i64 = conn.prepare_cached(sql)?.query_row([group], |r| r.get(0))?;
            Ok(n.unsigned_abs())
        };
        let missing = count(
            "SELECT count(*) FROM threads t JOIN thread_entries x ON x.t = t.t
             JOIN missing_payloads p ON p.n = x.n WHERE t.grp = ?1",
        )?;
        let locked = count(
            "SELECT count(*) FROM threads t JOIN thread_entries x ON x.t = t.t
             JOIN entries e ON e.n = x.n WHERE t.grp = ?1 AND e.state = 1",
        )?;
        let readers = None;
        Ok(ThreadView { thread, unread, workers, stance, names, missing, locked, readers })
    }

    /// Folds the entries of one thread that wait to be folded.
    fn fold_thread_of(&self, id: &EntryId) -> Result<(), StoreError> {
        let pending = |conn: &Connection| -> Result<Vec<N>, StoreError> {
            let Some(group) = group_of(conn, id)? else { return Ok(Vec::new()) };
            let mut statement = conn.prepare_cached(
                "SELECT x.n FROM threads t JOIN thread_entries x ON x.t = t.t
                 JOIN todo d ON d.n = x.n WHERE t.grp = ?1",
            )?;
            Ok(statement.query_map([group], |r| r.get(0))?.collect::<Result<_, _>>()?)
        };
        if self.inner.connections.read(pending)?.is_empty() {
            return Ok(());
        }
        let folded = self.inner.write(Durability::Normal, 0, |ctx| {
            let entries = pending(ctx.conn)?;
            ctx.fold(&entries).map(|_| ())
        });
        match folded {
            // What is here already can be read all the same.
            Err(StoreError::DiskFull) => Ok(()),
            folded => folded,
        }
    }

    /// What a typed id may mean, at most twenty candidates. Aliases of a thread or post are one
    /// candidate.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn resolve(&self, prefix: &IdPrefix) -> Result<Vec<Candidate>, StoreError> {
        let (low, high) = prefix.range();
        self.inner.connections.read(|conn| {
            let mut out = Vec::new();
            let mut statement = conn.prepare_cached(
                "SELECT id FROM entries
                 WHERE substr(id, 1, 8) BETWEEN substr(?1, 1, 8) AND substr(?2, 1, 8)
                     AND id BETWEEN ?1 AND ?2
                 ORDER BY substr(id, 1, 8), id LIMIT ?3",
            )?;
            // More than are shown, since aliases fold and members come first.
            let limit = i64::try_from(MAX_CANDIDATES * 4).unwrap_or(i64::MAX);
            let ids: Vec<EntryId> = statement
                .query_map((low, high, limit), |r| Ok(entry_id(r.get_ref(0)?.as_blob()?)))?
                .collect::<Result<_, _>>()?;
            let roster = self.inner.rosters.get(conn)?;
            for member in roster.roster().members().filter(|m| prefix.matches(m.id.as_bytes())) {
                let name = name_of(conn, &member.id)?;
                out.push(Candidate {
                    id: *member.id.as_bytes(),
                    found: Found::Member { member: member.id, name },
                });
            }
            for id in ids {
                let found = self.describe(conn, &id)?;
                let same = |c: &Candidate| match (&c.found, &found) {
                    (Found::Thread { root: a, .. }, Found::Thread { root: b, .. }) => a == b,
                    _ => false,
                };
                if !out.iter().any(same) {
                    out.push(Candidate { id: *id.as_bytes(), found });
                }
            }
            out.truncate(MAX_CANDIDATES);
            Ok(out)
        })
    }

    fn describe(&self, conn: &Connection, id: &EntryId) -> Result<Found, StoreError> {
        if let Some((root, title)) = placing::shown_thread(conn, id)? {
            return Ok(Found::Thread { root, title });
        }
        Ok(match placing::thread_of_post(conn, id)? {
            Some((thread, title)) => Found::Post { thread, title },
            None => Found::Entry,
        })
    }

    /// One entry, opened as far as it can be.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn entry(&self, id: &EntryId) -> Result<Option<EntryInfo>, StoreError> {
        self.inner.connections.read(|conn| {
            let Some(stored) = rows::entry_by_id(conn, &self.inner.community, id)? else {
                return Ok(None);
            };
            let header = stored.verified.header().clone();
            let blob = rows::payload(conn, stored.n)?;
            let roster = self.inner.rosters.get(conn)?;
            let heads: Option<Vec<u8>> = match stored.past {
                Some(p) => conn
                    .prepare_cached("SELECT heads FROM pasts WHERE p = ?1")?
                    .query_row([p], |r| r.get(0))
                    .optional()?,
                None => None,
            };
            let heads: Vec<EntryId> =
                heads.unwrap_or_default().chunks_exact(32).map(entry_id).collect();
            let standing = roster.roster().standing_in(&heads, &header.log.device);
            let mut info = EntryInfo {
                header,
                member: standing.map(|s| (s.member, s.role)),
                body: None,
                aside: None,
            };
            let reason: Option<String> = conn
                .prepare_cached("SELECT reason FROM voids WHERE n = ?1")?
                .query_row([stored.n], |r| r.get(0))
                .optional()?;
            info.aside = match (stored.state, stored.past, &blob) {
                (state::BAD_LINK, ..) => Some("it does not follow the entry that it names".into()),
                (state::VOID, ..) => reason,
                (state::UNREAD, ..) => Some("a later version may know what it says".into()),
                (_, None, _) => Some("an earlier entry of its log is not here".into()),
                (.., None) => Some("its text is not here".into()),
                _ if info.member.is_none() && info.header.class != 0 => {
                    Some("its author was not a member as far as it says".into())
                }
                _ => None,
            };
            let Some(blob) = blob else { return Ok(Some(info)) };
            if info.header.class == 0 {
                let opened = super::roster_cache::open_roster_entry(&stored.verified, &blob);
                info.body = opened.ok().map(|e| e.body);
            } else {
                match open_body(&Keyring::load(conn)?, &stored, &blob) {
                    Ok(body) => info.body = Some(body),
                    Err(super::fold::Aside::NoKey) => {
                        info.aside = Some("the key that it is sealed with is not here".into());
                    }
                    Err(super::fold::Aside::Void(reason)) => info.aside = Some(reason),
                }
            }
            Ok(Some(info))
        })
    }

    /// All members with their profiles, the most senior first.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn people(&self) -> Result<Vec<Person>, StoreError> {
        self.inner.connections.read(|conn| {
            let roster = self.inner.rosters.get(conn)?;
            let keys = Keyring::load(conn)?;
            let entries = self.people_entries(conn, &keys)?;
            let mut views = fold_people(&entries);
            let mut tends = fold_tends(&entries);
            let people = roster.roster().members().map(|m| Person {
                member: m.id,
                role: m.role,
                pending: m.pending,
                devices: m.devices.iter().map(|d| d.device).collect(),
                sponsor: m.sponsor,
                profile: views.remove(&m.id).map(|v| v.profile),
                tends: tends.remove(&m.id).unwrap_or_default(),
            });
            Ok(people.collect())
        })
    }

    /// Profiles and tended topics of all members.
    fn people_entries(
        &self,
        conn: &Connection,
        keys: &Keyring,
    ) -> Result<Vec<TalkEntry>, StoreError> {
        let mut entries = Vec::new();
        for kind in [Kind::Profile, Kind::Tend] {
            let loaded = load_specials(conn, &self.inner.community, keys, kind, None)?;
            entries.extend(loaded.into_iter().map(|(_, e)| e));
        }
        Ok(entries)
    }

    /// The name of a member, where a profile is here.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn name(&self, member: &MemberId) -> Result<Option<String>, StoreError> {
        self.inner.connections.read(|conn| name_of(conn, member))
    }

    /// The community's id, name and charter.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn community_info(&self) -> Result<CommunityInfo, StoreError> {
        self.inner.connections.read(|conn| {
            let keys = Keyring::load(conn)?;
            Ok(CommunityInfo { id: self.inner.community, view: self.community_view(conn, &keys)? })
        })
    }

    fn community_view(
        &self,
        conn: &Connection,
        keys: &Keyring,
    ) -> Result<Option<CommunityView>, StoreError> {
        let found = load_specials(conn, &self.inner.community, keys, Kind::Community, None)?;
        let found: Vec<TalkEntry> = found.into_iter().map(|(_, e)| e).collect();
        Ok(fold_community(&found))
    }

    /// The hash over everything that is folded: equal on two nodes that hold the same entries,
    /// payloads and keys and have folded them all ([`Stats::unfolded`](super::Stats::unfolded) says whether).
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn state_hash(&self) -> Result<[u8; 32], StoreError> {
        self.inner.connections.read(|conn| {
            let roster = self.inner.rosters.get(conn)?;
            let keys = Keyring::load(conn)?;
            let people = fold_people(&self.people_entries(conn, &keys)?);
            let threads = Tallies::load(conn)?.sum;
            let pages = self.page_hashes(conn)?;
            let community = self.community_view(conn, &keys)?;
            let files = super::files::shown_files(conn)?;
            let (roster, community) = (roster.roster().hash(), community.as_ref());
            Ok(state_hash(roster, &threads, pages, &people, community, files))
        })
    }
}

pub(super) fn name_of(conn: &Connection, member: &MemberId) -> Result<Option<String>, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT p.name FROM people p JOIN members m ON m.m = p.m WHERE m.id = ?1",
    )?;
    Ok(statement.query_row([member.as_bytes()], |r| r.get(0)).optional()?)
}
