//! Folding: from sealed entries to threads, posts, people and the full text index.
//!
//! 1. `todo` names the entries that have not been folded. `Store::fold_pending` (in `pending`) takes some of
//!    them, judges them by the roster (rule 11), opens their payloads, and folds each touched thread
//!    once, from all of its entries. Bulk sync and folding are separate transactions: the index may
//!    lag, and says so.
//! 2. An entry that is not good is set aside with a state: no key yet, does not count, void,
//!    unread. Whatever can change that (a key, a roster entry, a payload) puts it into `todo` again.
//! 3. Texts are not stored twice: views hold titles, names, numbers and where a text is; the text
//!    itself is opened when it is read. The full text index holds words only.
//! 4. A rowid of the full text index is the post's sort time and [`PLACE_BITS`] bits to tell posts of
//!    one millisecond apart, so that "newest first" is the index's own order. The index keeps how far it is
//!    from one rowid to the next for each word of each post, so every bit here is paid for often.

use std::collections::{BTreeSet, HashMap};

use lanai_crdt::entry::Class;
use lanai_crdt::envelope;
use lanai_crdt::id::{CommunityId, EntryId};
use lanai_crdt::payload::{self, Body, Kind, Origin, ThreadState};
use lanai_crdt::people::fold_people;
use lanai_crdt::seal::open_payload;
use lanai_crdt::thread::{PostKind, PostText, PostView, TalkEntry, Thread, ThreadKind, origin_key};
use rusqlite::{Connection, OptionalExtension as _};

use super::StoreError;
use super::early::{PRESENT, is_early_body, is_early_class};
use super::groups::{Group, Opened, talk_entry};
use super::keys::Keyring;
use super::pending::Prepared;
use super::rows::{AFTER_ENTRY, ENTRY_COLUMNS, ID_IS_1, N, Stored, read_entry, state};
use super::write::{Ctx, Stand, declared_thread};

/// Bits of a rowid of the full text index below the milliseconds.
const PLACE_BITS: u32 = 4;

/// The first rowid of the full text index for what is sorted by this time, Unix milliseconds.
pub(super) fn doc_from(sort: i64) -> i64 {
    sort.clamp(0, (1 << 47) - 1) << PLACE_BITS
}

/// Why an entry is set aside.
pub(super) enum Aside {
    NoKey,
    Void(String),
}

/// Opens the payload of an entry of another class than 0.
pub(super) fn open_body(keys: &Keyring, stored: &Stored, blob: &[u8]) -> Result<Body, Aside> {
    let header = stored.verified.header();
    let class = stored.class().ok_or_else(|| Aside::Void("unknown class".into()))?;
    let key = keys.get(&header.epoch).ok_or(Aside::NoKey)?;
    let void = |e: &dyn std::fmt::Display| Aside::Void(e.to_string());
    let packed = open_payload(key, &header.associated_data(), blob).map_err(|e| void(&e))?;
    let body = envelope::decode(&packed).map_err(|e| void(&e))?;
    payload::decode(class, &body).map_err(|e| void(&e))
}

/// A row of `posts` as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PostRow {
    t: i64,
    text_n: N,
    author: i64,
    parent: Option<i64>,
    origin: Option<i64>,
    sort: i64,
    print: Vec<u8>,
}

impl Ctx<'_> {
    /// Folds entries: judges and opens them, and folds what they touch. Gives the roots of touched
    /// threads.
    pub(super) fn fold(&mut self, entries: &[N]) -> Result<Vec<EntryId>, StoreError> {
        self.fold_prepared(entries, HashMap::new())
    }

    /// The same, where some of the entries were read before the transaction began.
    pub(super) fn fold_prepared(
        &mut self,
        entries: &[N],
        mut prepared: HashMap<N, Box<Prepared>>,
    ) -> Result<Vec<EntryId>, StoreError> {
        let mut threads: BTreeSet<i64> = BTreeSet::new();
        let mut people: BTreeSet<i64> = BTreeSet::new();
        let mut opened = Opened::with_capacity(entries.len());
        self.take_from_todo(entries)?;
        self.many += entries.len();
        self.as_they_are(entries, &mut prepared)?;
        for n in entries {
            let entry = match prepared.remove(n) {
                Some(entry) => Some(entry),
                None => self.entry_to_fold(*n)?,
            };
            if let Some(entry) = entry {
                self.fold_one(*entry, &mut threads, &mut people, &mut opened)?;
            }
        }
        // Not before all are opened: some connect threads.
        let groups: BTreeSet<i64> =
            threads.into_iter().map(|t| self.group(t)).collect::<Result<_, _>>()?;
        let mut touched = Vec::new();
        for group in groups {
            self.fold_group(group, &mut opened, &mut touched)?;
        }
        for m in people {
            self.fold_person(m)?;
        }
        Ok(touched)
    }

    fn fold_one(
        &mut self,
        Prepared { stored, body, .. }: Prepared,
        threads: &mut BTreeSet<i64>,
        people: &mut BTreeSet<i64>,
        opened: &mut Opened,
    ) -> Result<(), StoreError> {
        let n = stored.n;
        if stored.class() == Some(Class::Roster) {
            return Ok(());
        }
        match stored.state {
            state::GOOD | state::NO_KEY | state::UNCOUNTED => {}
            // It may have been read before it was known what it follows.
            state::BAD_LINK => return self.forget(n, &stored, threads, people),
            _ => return Ok(()),
        }
        let Some(past) = stored.past else {
            return self.fold_early(&stored, body, threads, people, opened);
        };
        let past = self.judged_past(&stored, past)?;
        let stand = self.stand(past, stored.l)?;
        if stored.class() == Some(Class::Weave) {
            return self.fold_weave(n, &stored, stand.is_some());
        }
        let Some(stand) = stand else {
            self.set_state(n, state::UNCOUNTED)?;
            return self.forget(n, &stored, threads, people);
        };
        let Some(body) = self.open_stored(&stored, body)? else { return Ok(()) };
        self.fold_body(&stored, stand, body, threads, people, opened)
    }

    /// An entry whose roster past is not known yet; see [`super::early`].
    fn fold_early(
        &mut self,
        stored: &Stored,
        body: Option<Body>,
        threads: &mut BTreeSet<i64>,
        people: &mut BTreeSet<i64>,
        opened: &mut Opened,
    ) -> Result<(), StoreError> {
        let n = stored.n;
        if !is_early_class(stored.class()) {
            return Ok(());
        }
        let Some(stand) = self.stand(PRESENT, stored.l)? else {
            self.set_early(stored, true)?;
            return self.forget(n, stored, threads, people);
        };
        let Some(body) = self.open_stored(stored, body)? else { return Ok(()) };
        if !is_early_body(&body) {
            return self.set_early(stored, false);
        }
        self.set_early(stored, true)?;
        self.fold_body(stored, stand, body, threads, people, opened)
    }

    /// What an entry that counts says; `None` where it cannot be opened, which is noted.
    fn open_stored(
        &mut self,
        stored: &Stored,
        body: Option<Body>,
    ) -> Result<Option<Body>, StoreError> {
        let n = stored.n;
        let opened = match body {
            Some(body) => Ok(body),
            None => {
                let Some(blob) = super::rows::payload(self.conn, n)? else { return Ok(None) };
                open_body(self.keys()?, stored, &blob)
            }
        };
        match opened {
            Ok(body) => {
                if stored.state != state::GOOD {
                    self.set_state(n, state::GOOD)?;
                }
                return Ok(Some(body));
            }
            Err(Aside::NoKey) => self.set_state(n, state::NO_KEY)?,
            Err(Aside::Void(reason)) => {
                self.set_void(n, &reason)?;
                self.set_state(n, state::VOID)?;
            }
        }
        Ok(None)
    }

    fn fold_body(
        &mut self,
        stored: &Stored,
        stand: Stand,
        body: Body,
        threads: &mut BTreeSet<i64>,
        people: &mut BTreeSet<i64>,
        opened: &mut Opened,
    ) -> Result<(), StoreError> {
        let n = stored.n;
        let header = stored.verified.header();
        let id = stored.verified.id();
        let thread = declared_thread(&id, header);
        match &body {
            Body::Unknown(_) => return self.set_state(n, state::UNREAD),
            Body::SideOpen(_) => return self.note_side_open(n, &id),
            Body::SideSeal(_) => {
                return thread.map_or(Ok(()), |talk| self.note_side_seals(n, &talk));
            }
            Body::SideSay(_) => return Ok(()),
            Body::File(file) => return self.note_file(stored, &stand, file),
            Body::Withdraw => self.note_withdrawal(n, stand.m, header.refs().get(1))?,
            Body::Profile(_)
            | Body::Community(_)
            | Body::Tend(_)
            | Body::Reason(_)
            | Body::OwnState(_) => {
                if !matches!(body, Body::OwnState(_)) || self.is_me(&stand.member) {
                    self.conn
                        .prepare_cached(
                            "INSERT OR IGNORE INTO specials (kind, m, n) VALUES (?1, ?2, ?3)",
                        )?
                        .execute((body.kind_number(), stand.m, n))?;
                }
                if let Some(thread) = thread {
                    let t = self.thread(&thread)?;
                    self.conn
                        .prepare_cached("DELETE FROM thread_entries WHERE t = ?1 AND n = ?2")?
                        .execute((t, n))?;
                }
                if matches!(body, Body::Profile(_)) {
                    people.insert(stand.m);
                }
                return Ok(());
            }
            _ => {}
        }
        let Some(thread) = thread else { return Ok(()) };
        let t = self.thread(&thread)?;
        if let (Some(key), Some(origin)) = (origin_key(&body), origin_of(&body)) {
            let root = thread == id && !matches!(body, Body::Post(_));
            self.add_origin(n, t, root, &key, origin)?;
        }
        if thread == id {
            match origin_of(&body) {
                Some(_) => self.touch_pages_of(t)?,
                None => self.touch_pages(t)?,
            }
        }
        self.connect(t, stand.role, &body)?;
        threads.insert(t);
        let entry = TalkEntry {
            id,
            member: stand.member,
            role: stand.role,
            time: header.time,
            refs: header.refs().to_vec(),
            body,
        };
        opened.insert(n, Box::new(entry));
        Ok(())
    }

    /// An entry of class 3. It is opened even where it does not count: others may have built on it.
    fn fold_weave(&mut self, n: N, stored: &Stored, counts: bool) -> Result<(), StoreError> {
        let Some(blob) = super::rows::payload(self.conn, n)? else { return Ok(()) };
        match open_body(self.keys()?, stored, &blob) {
            Ok(Body::Unknown(_)) => self.set_state(n, state::UNREAD),
            Ok(body) => {
                self.set_state(n, if counts { state::GOOD } else { state::UNCOUNTED })?;
                self.touch_page(stored, &body)
            }
            Err(Aside::NoKey) => self.set_state(n, state::NO_KEY),
            Err(Aside::Void(reason)) => {
                self.set_void(n, &reason)?;
                self.set_state(n, state::VOID)
            }
        }
    }

    /// An entry that counted and no longer does: what it was folded into is folded again.
    fn forget(
        &mut self,
        n: N,
        stored: &Stored,
        threads: &mut BTreeSet<i64>,
        people: &mut BTreeSet<i64>,
    ) -> Result<(), StoreError> {
        let special: Option<i64> = self
            .conn
            .prepare_cached("DELETE FROM specials WHERE n = ?1 RETURNING m")?
            .query_row([n], |r| r.get(0))
            .optional()?;
        people.extend(special);
        self.forget_file(n)?;
        if let Some(thread) = declared_thread(&stored.verified.id(), stored.verified.header()) {
            let t = self.thread(&thread)?;
            self.touch_pages_of(t)?;
            threads.insert(t);
        }
        Ok(())
    }

    pub(super) fn group(&self, t: i64) -> Result<i64, StoreError> {
        Ok(self
            .conn
            .prepare_cached("SELECT coalesce(grp, t) FROM threads WHERE t = ?1")?
            .query_row([t], |r| r.get(0))?)
    }

    /// Remembers an imported message; a root joins the group of the first import of it.
    fn add_origin(
        &mut self,
        n: N,
        t: i64,
        root: bool,
        key: &[u8; 32],
        origin: &Origin,
    ) -> Result<(), StoreError> {
        if root {
            let first: Option<i64> = self
                .conn
                .prepare_cached("SELECT t FROM origins WHERE fold = ?1 AND root = 1 LIMIT 1")?
                .query_row([key], |r| r.get(0))
                .optional()?;
            if let Some(first) = first.filter(|f| *f != t) {
                self.unite(self.group(first)?, self.group(t)?)?;
            }
        }
        self.conn
            .prepare_cached(
                "INSERT OR REPLACE INTO origins (n, fold, message, t, root)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute((n, key, message_number(&origin.message_id), t, root))?;
        Ok(())
    }

    pub(super) fn save_summary(
        &mut self,
        group: Group,
        t: i64,
        thread: &Thread,
    ) -> Result<(), StoreError> {
        let author = self.member(&thread.author)?;
        let origin = match &thread.origin {
            Some(origin) => Some(self.name(&origin.name)?),
            None => None,
        };
        let shown = thread.posts.iter().filter(|p| !is_withdrawn(p)).count();
        let started = thread.posts.first().map_or(0, |p| p.sort_millis);
        let title = self.page_title(t)?.filter(|_| !thread.title.is_empty());
        let title = title.unwrap_or_else(|| thread.title.clone());
        self.conn
            .prepare_cached(
                "UPDATE OR FAIL threads SET grp = ?2, kind = ?3, state = ?4, title = ?5, author = ?6,
                 origin = ?7, posts = ?8, started = ?9, active = ?10, hash = ?11 WHERE t = ?1",
            )?
            .execute((
                t,
                group.grp,
                i64::from(thread.kind == ThreadKind::Note),
                thread_state_number(thread.state),
                &title,
                author,
                origin,
                i64::try_from(shown).unwrap_or(i64::MAX),
                started.cast_signed(),
                thread.last_activity.cast_signed(),
                thread.hash,
            ))?;
        if thread.title.is_empty() {
            // A withdrawn ask hides its question page.
            self.unindex_page(t, super::search::DocKind::Question)?;
        }
        if !group.first {
            self.conn.prepare_cached("DELETE FROM thread_tags WHERE t = ?1")?.execute([t])?;
        }
        for tag in &thread.tags {
            self.conn
                .prepare_cached("INSERT OR IGNORE INTO thread_tags (tag, t) VALUES (?1, ?2)")?
                .execute((tag.to_lowercase(), t))?;
        }
        Ok(())
    }

    /// What the rows of `posts` should be for a thread; withdrawn posts have none.
    pub(super) fn post_rows(
        &mut self,
        t: i64,
        thread: &Thread,
        numbers: &HashMap<EntryId, N>,
        rows: &mut HashMap<N, PostRow>,
        texts: &mut HashMap<N, (String, String)>,
    ) -> Result<(), StoreError> {
        let by_id: HashMap<EntryId, &PostView> = thread.posts.iter().map(|p| (p.id, p)).collect();
        for post in &thread.posts {
            let PostText::Current(text) = &post.text else { continue };
            let copies = std::iter::once(&post.id).chain(&post.aliases);
            let Some(n) = copies.filter_map(|id| numbers.get(id)).min() else { continue };
            let edit = post.edits.iter().find(|e| e.current).map_or(&post.id, |e| &e.id);
            let text_n = numbers.get(edit).copied().unwrap_or(*n);
            let mut title = String::new();
            let mut body = text.clone();
            if post.kind == PostKind::Root {
                title.clone_from(&thread.title);
                let ask = thread.ask.as_ref();
                for more in ask.into_iter().flat_map(|a| [&a.decide, &a.tried]).flatten() {
                    body.push('\n');
                    body.push_str(more);
                }
            }
            if let Some(moved) = post.moved.as_ref().filter(|m| m.from == post.id) {
                title.clone_from(&moved.title);
            }
            if post.hidden.is_some() {
                (title, body) = Default::default();
            }
            // What was put below a post does not answer it.
            let parent = post.parent.as_ref().filter(|_| post.moved.is_none());
            let parent = match parent.and_then(|p| by_id.get(p)) {
                // A reply to something imported is no reply to the importer.
                Some(parent) if parent.origin.is_none() => Some(self.member(&parent.author)?),
                _ => None,
            };
            let origin = match &post.origin {
                Some(origin) => Some(self.name(&origin.name)?),
                None => None,
            };
            let mut print = blake3::Hasher::new();
            print.update(title.as_bytes()).update(&[0]).update(body.as_bytes());
            let print =
                print.finalize().as_bytes().first_chunk::<8>().map_or(Vec::new(), Vec::from);
            rows.insert(
                *n,
                PostRow {
                    t,
                    text_n,
                    author: self.member(&post.author)?,
                    parent,
                    origin,
                    sort: post.sort_millis.cast_signed(),
                    print,
                },
            );
            texts.insert(*n, (title, body));
        }
        Ok(())
    }

    /// Brings the rows of `posts` and the full text index in line.
    pub(super) fn save_posts(
        &mut self,
        group: Group,
        mut rows: HashMap<N, PostRow>,
        mut texts: HashMap<N, (String, String)>,
    ) -> Result<(), StoreError> {
        if !group.first {
            self.update_posts(group, &mut rows, &mut texts)?;
        }
        let mut new: Vec<(N, PostRow)> = rows.into_iter().collect();
        new.sort_unstable_by_key(|(n, _)| *n);
        // In a new one the summaries were written just now, and a trigger noted that.
        if !group.first {
            let of_threads: BTreeSet<i64> = new.iter().map(|(_, row)| row.t).collect();
            for t in of_threads {
                self.note_tally(t)?;
            }
        }
        let some_read_elsewhere = self.something_read_ahead()?;
        for (n, row) in new {
            if some_read_elsewhere && row.origin.is_none() {
                self.read_elsewhere(n)?;
            }
            let doc = self.add_post(n, group.grp, &row)?;
            if let Some((title, body)) = texts.remove(&n) {
                self.add_text(doc, title, body)?;
            }
        }
        Ok(())
    }

    /// Brings in line what is there already, and takes that out of what is to be added.
    fn update_posts(
        &mut self,
        group: Group,
        rows: &mut HashMap<N, PostRow>,
        texts: &mut HashMap<N, (String, String)>,
    ) -> Result<(), StoreError> {
        let old: Vec<(i64, N, PostRow)> = self
            .conn
            .prepare_cached(
                "SELECT doc, n, t, text_n, author, parent, origin, sort, print
                 FROM posts WHERE grp = ?1",
            )?
            .query_map([group.grp], |r| {
                Ok((
                    r.get(0)?,
                    r.get(1)?,
                    PostRow {
                        t: r.get(2)?,
                        text_n: r.get(3)?,
                        author: r.get(4)?,
                        parent: r.get(5)?,
                        origin: r.get(6)?,
                        sort: r.get(7)?,
                        print: r.get(8)?,
                    },
                ))
            })?
            .collect::<Result<_, _>>()?;
        for (doc, n, old) in old {
            match rows.get(&n) {
                Some(new) if *new == old => {
                    rows.remove(&n);
                }
                Some(new) if new.sort == old.sort => {
                    self.conn
                        .prepare_cached(
                            "UPDATE posts SET t = ?2, text_n = ?3, author = ?4, parent = ?5,
                             origin = ?6, print = ?7 WHERE doc = ?1",
                        )?
                        .execute((
                            doc, new.t, new.text_n, new.author, new.parent, new.origin, &new.print,
                        ))?;
                    if new.print != old.print {
                        self.remove_text(doc)?;
                        if let Some((title, body)) = texts.remove(&n) {
                            self.add_text(doc, title, body)?;
                        }
                    }
                    rows.remove(&n);
                }
                _ => {
                    self.remove_text(doc)?;
                    self.conn.prepare_cached("DELETE FROM posts WHERE doc = ?1")?.execute([doc])?;
                }
            }
        }
        Ok(())
    }

    /// Puts a post into the list under a free rowid of the full text index, and gives that.
    fn add_post(&mut self, n: N, group: i64, row: &PostRow) -> Result<i64, StoreError> {
        // With NULL in place of `doc` the row is left out. What inserts from a SELECT keeps a journal of its own.
        let mut insert = self.conn.prepare_cached(
            "INSERT OR IGNORE INTO posts (doc, n, grp, t, text_n, author, parent, origin, sort, print,
             unread) VALUES (iif(EXISTS (SELECT 1 FROM docs d WHERE d.doc = ?1), NULL, ?1),
             ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10,
             NOT EXISTS (SELECT 1 FROM reads r WHERE r.n = ?2))",
        )?;
        let conn = self.conn;
        let mut try_place = |doc| {
            let added = insert.execute((
                doc, n, group, row.t, row.text_n, row.author, row.parent, row.origin, row.sort,
                &row.print,
            ))?;
            Ok(added == 1)
        };
        if let Some(doc) = self.first_free(row.sort, n, &mut try_place)? {
            return Ok(doc);
        }
        // A post that moves between groups still has its row in the other one.
        let elsewhere: Option<i64> = conn
            .prepare_cached("SELECT doc FROM posts WHERE n = ?1")?
            .query_row([n], |r| r.get(0))
            .optional()?;
        if let Some(old) = elsewhere {
            self.remove_text(old)?;
            conn.prepare_cached("DELETE FROM posts WHERE doc = ?1")?.execute([old])?;
            if let Some(doc) = self.first_free(row.sort, n, &mut try_place)? {
                return Ok(doc);
            }
        }
        Err(StoreError::Internal("no free place in the index"))
    }

    /// A free rowid for a document of this sort time that is no post.
    pub(super) fn free_doc(&mut self, sort: i64, n: N) -> Result<i64, StoreError> {
        let mut taken = self.conn.prepare_cached(
            "SELECT 1 FROM posts WHERE doc = ?1 UNION ALL SELECT 1 FROM docs WHERE doc = ?1",
        )?;
        self.first_free(sort, n, &mut |doc| Ok(!taken.exists([doc])?))?
            .ok_or(StoreError::Internal("no free place in the index"))
    }

    /// The first rowid for this sort time that `is_free`. The range in which one is looked for doubles with
    /// every second failure, so that many posts of one millisecond cost little; a thousand of them reach some
    /// hundred milliseconds into the time of others.
    fn first_free(
        &mut self,
        sort: i64,
        n: N,
        is_free: &mut dyn FnMut(i64) -> Result<bool, StoreError>,
    ) -> Result<Option<i64>, StoreError> {
        let base = doc_from(sort);
        // Where it was crowded a moment ago it still is.
        let known = self.crowded.entry(base).or_insert(0);
        for attempt in *known..80u32 {
            let bits = PLACE_BITS + attempt / 2;
            let mix = n
                .wrapping_add(i64::from(attempt))
                .wrapping_mul(0x9e37_79b9_7f4a_7c15_u64.cast_signed());
            let offset = (mix.cast_unsigned() >> (64 - bits)).cast_signed();
            let doc = base.saturating_add(offset).max(1);
            if is_free(doc)? {
                *known = attempt & !1;
                return Ok(Some(doc));
            }
        }
        Ok(None)
    }

    fn name(&mut self, name: &str) -> Result<i64, StoreError> {
        self.conn
            .prepare_cached("INSERT OR IGNORE INTO names (name) VALUES (?1)")?
            .execute([name])?;
        Ok(self
            .conn
            .prepare_cached("SELECT a FROM names WHERE name = ?1")?
            .query_row([name], |r| r.get(0))?)
    }

    fn fold_person(&mut self, m: i64) -> Result<(), StoreError> {
        let (conn, community) = (self.conn, self.community);
        let profiles = load_specials(conn, &community, self.keys()?, Kind::Profile, Some(m))?;
        let entries: Vec<TalkEntry> = profiles.iter().map(|(_, e)| e.clone()).collect();
        let Some((_, person)) = fold_people(&entries).pop_first() else {
            self.conn.prepare_cached("DELETE FROM people WHERE m = ?1")?.execute([m])?;
            self.unindex_person(m)?;
            return Ok(());
        };
        let found = profiles.iter().find(|(_, e)| e.id == person.entry);
        let (n, sort_ms) = found.map_or((0, 0), |(n, e)| (*n, e.time.millis()));
        self.index_person(m, sort_ms, &person.profile)?;
        self.conn
            .prepare_cached("INSERT OR REPLACE INTO people (m, name, n) VALUES (?1, ?2, ?3)")?
            .execute((m, &person.name, n))?;
        Ok(())
    }
}

/// Who wrote the root of a thread, and what it says, where it counts and is here.
pub(super) fn load_root(
    conn: &Connection,
    community: &CommunityId,
    keys: &Keyring,
    root: &EntryId,
) -> Result<Option<(lanai_crdt::id::MemberId, Body)>, StoreError> {
    let mut statement = conn.prepare_cached(&format!(
        "SELECT {ENTRY_COLUMNS}, m.id, p.blob
         FROM entries e JOIN logs g ON g.l = e.l
         JOIN stands s ON s.p = coalesce(e.judged, e.past) AND s.l = e.l JOIN members m ON m.m = s.m
         JOIN payloads p ON p.n = e.n WHERE {ID_IS_1} AND e.state = 0"
    ))?;
    let mut rows = statement.query([root.as_bytes()])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let Ok(stored) = read_entry(row, community)? else { return Ok(None) };
    let member = lanai_crdt::id::MemberId::from_slice(row.get_ref(AFTER_ENTRY)?.as_blob()?);
    let body = open_body(keys, &stored, row.get_ref(AFTER_ENTRY + 1)?.as_blob()?);
    Ok(member.zip(body.ok()))
}

/// Profiles, community entries or terms that count, of one member or of all.
pub(super) fn load_specials(
    conn: &Connection,
    community: &CommunityId,
    keys: &Keyring,
    kind: Kind,
    member: Option<i64>,
) -> Result<Vec<(N, TalkEntry)>, StoreError> {
    let mut statement = conn.prepare_cached(&format!(
        "SELECT {ENTRY_COLUMNS}, s.role, m.id, p.blob
         FROM specials x JOIN entries e ON e.n = x.n JOIN logs g ON g.l = e.l
         JOIN stands s ON s.p = coalesce(e.judged, e.past) AND s.l = e.l JOIN members m ON m.m = s.m
         JOIN payloads p ON p.n = e.n
         WHERE x.kind = ?1 AND (?2 IS NULL OR x.m = ?2) AND e.state = 0"
    ))?;
    let mut rows = statement.query((kind.number(), member))?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        let Ok(stored) = read_entry(row, community)? else { continue };
        let Ok(body) = open_body(keys, &stored, row.get_ref(AFTER_ENTRY + 2)?.as_blob()?) else {
            continue;
        };
        entries.extend(talk_entry(row, &stored, body)?.map(|entry| (stored.n, entry)));
    }
    Ok(entries)
}

fn is_withdrawn(post: &PostView) -> bool {
    matches!(post.text, PostText::Withdrawn)
}

fn origin_of(body: &Body) -> Option<&Origin> {
    match body {
        Body::Ask(a) => a.origin.as_ref(),
        Body::Note(n) => n.origin.as_ref(),
        Body::Post(p) => p.origin.as_ref(),
        _ => None,
    }
}

/// A number by which an imported message is looked up; what is found is compared.
pub(super) fn message_number(message_id: &str) -> i64 {
    let hash = blake3::hash(message_id.as_bytes());
    hash.as_bytes().first_chunk::<8>().map_or(0, |b| i64::from_be_bytes(*b))
}

pub(super) fn thread_state_number(state: ThreadState) -> i64 {
    match state {
        ThreadState::Open => 0,
        ThreadState::Working => 1,
        ThreadState::Answered => 2,
        ThreadState::Closed => 3,
    }
}

pub(super) fn thread_state_from(number: i64) -> ThreadState {
    match number {
        1 => ThreadState::Working,
        2 => ThreadState::Answered,
        3 => ThreadState::Closed,
        _ => ThreadState::Open,
    }
}
