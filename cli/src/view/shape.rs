//! Threads and posts as they are answered in JSON, by every command alike.
//!
//! Ids are whole (52 characters), `short` is what a person types. Times are RFC 3339 in UTC with
//! the milliseconds beside them, because a peer's clock may say what no calendar has. Texts are
//! what the author wrote, uncleaned; [`crate::json`] makes them safe to look at.

use std::collections::BTreeMap;

use lanai_crdt::id::EntryId;
use lanai_crdt::payload::{Help, Origin, Role};
use lanai_crdt::thread::{Deed, PostKind, PostText, PostView, Thread, ThreadKind};
use lanai_node::store::{ThreadSummary, Watch};
use serde::Serialize;

use super::Reading;
use crate::app::{People, Person};
use crate::commands::file::{FileShape, shape as file_shape};
use crate::time;

/// A post or thread that came out of an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OriginShape {
    /// Name of the original author.
    pub name: String,
    /// The message's id in the archive.
    pub message_id: String,
    /// The date that the archive claims, where it could be read and has a year of four digits.
    pub claimed: Option<String>,
    /// The claimed date as it was written, where it could not be read.
    pub claimed_text: Option<String>,
    /// The date it is sorted by.
    pub date: Option<String>,
}

/// What a lead did, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeedShape {
    /// The whole id of the entry.
    pub id: String,
    /// Who.
    pub by: Person,
    /// Why.
    pub reason: Option<String>,
}

/// Where a post came from that a lead put elsewhere than its author did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MovedShape {
    /// The thread that it was written in; its own id for a merged thread.
    pub from: String,
    /// What that thread is called.
    pub title: String,
    /// Who did it, and why.
    pub deed: DeedShape,
}

/// A deed for JSON.
#[must_use]
pub fn deed(deed: &Deed, people: &People) -> DeedShape {
    let by = people.person(&deed.by);
    DeedShape { id: deed.entry.full(), by, reason: deed.reason.clone() }
}

/// A thread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ThreadShape {
    /// The whole id.
    pub id: String,
    /// What a person types for it.
    pub short: String,
    /// `ask` or `note`.
    pub kind: &'static str,
    /// The title; empty when the thread was withdrawn.
    pub title: String,
    /// `open`, `working`, `answered` or `closed`; none for a note.
    pub state: Option<&'static str>,
    /// Who opened it here; for an import, the importer.
    pub author: Person,
    /// Where it came from.
    pub origin: Option<OriginShape>,
    /// Tags.
    pub tags: Vec<String>,
    /// What has to be decided.
    pub decide: Option<String>,
    /// By when.
    pub need_by: Option<String>,
    /// What was tried.
    pub tried: Option<String>,
    /// What would help.
    pub helps: Vec<&'static str>,
    /// Who says to be working on it.
    pub workers: Vec<Person>,
    /// How many posts are part of the answer.
    pub answer_posts: usize,
    /// How many outcomes were told.
    pub outcomes: usize,
    /// Whether the reader watches it.
    pub watched: bool,
    /// Whether the reader muted it.
    pub muted: bool,
    /// Until when the reader snoozed it; may be past.
    pub snoozed_until: Option<String>,
    /// How many posts are here and not withdrawn, the first included.
    pub posts: usize,
    /// How many of them the reader has not read.
    pub unread: usize,
    /// When somebody last wrote.
    pub last_activity: Option<String>,
    /// The same in Unix milliseconds.
    pub last_activity_ms: u64,
    /// Other ids of the same imported thread.
    pub aliases: Vec<String>,
    /// Ids of threads that were merged into it.
    pub absorbed: Vec<String>,
    /// Whether it was split off another thread.
    pub split: bool,
    /// Who gave it its title, when that is not its author's.
    pub retitled: Option<DeedShape>,
    /// Who keeps it at the head of lists.
    pub pinned: Option<DeedShape>,
    /// Who shows it to everybody.
    pub featured: Option<DeedShape>,
    /// Hash of all that a reader sees, equal on all nodes that hold the same.
    pub hash: String,
}

/// A thread in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SummaryShape {
    /// The whole id.
    pub id: String,
    /// What a person types for it.
    pub short: String,
    /// `ask` or `note`.
    pub kind: &'static str,
    /// The title; empty when the thread was withdrawn.
    pub title: String,
    /// `open`, `working`, `answered` or `closed`; none for a note.
    pub state: Option<&'static str>,
    /// Who opened it here; for an import, the importer.
    pub author: Person,
    /// Name of the original author of an import.
    pub original_author: Option<String>,
    /// Tags.
    pub tags: Vec<String>,
    /// By when an ask is needed.
    pub need_by: Option<String>,
    /// Who says to be working on it.
    pub workers: Vec<Person>,
    /// Posts of others than the asker; none for a note.
    pub replies: Option<u64>,
    /// How many posts are part of the answer.
    pub answer_posts: u64,
    /// How many outcomes were told.
    pub outcomes: u64,
    /// Whether the reader watches it.
    pub watched: bool,
    /// Whether the reader muted it.
    pub muted: bool,
    /// Until when the reader snoozed it; may be past.
    pub snoozed_until: Option<String>,
    /// How many posts are here and not withdrawn, the first included.
    pub posts: u64,
    /// How many of them the reader has not read.
    pub unread: u64,
    /// Whether a lead keeps it at the head of lists.
    pub pinned: bool,
    /// Whether a lead shows it to everybody.
    pub featured: bool,
    /// When it was opened.
    pub started: Option<String>,
    /// When somebody last wrote.
    pub last_activity: Option<String>,
    /// The same in Unix milliseconds.
    pub last_activity_ms: u64,
}

impl SummaryShape {
    /// A thread out of a list.
    #[must_use]
    pub fn of(thread: &ThreadSummary, people: &People) -> Self {
        let ask = thread.ask.clone().unwrap_or_default();
        Self {
            id: thread.root.full(),
            short: thread.root.short(),
            kind: kind_word(thread.kind),
            title: thread.title.clone(),
            state: (thread.kind == ThreadKind::Ask).then(|| thread.state.word()),
            author: people.person(&thread.author),
            original_author: thread.origin.clone(),
            tags: thread.tags.clone(),
            need_by: ask.need_by_ms.and_then(millis),
            workers: ask.workers.iter().map(|m| people.person(m)).collect(),
            replies: (thread.kind == ThreadKind::Ask).then_some(ask.replies),
            answer_posts: ask.parts,
            outcomes: ask.outcomes,
            watched: thread.stance.watch == Watch::Watched,
            muted: thread.stance.watch == Watch::Muted,
            snoozed_until: thread.stance.snoozed_until.and_then(millis),
            posts: thread.posts,
            unread: thread.unread,
            pinned: thread.pinned,
            featured: thread.featured,
            started: millis(thread.started_ms),
            last_activity: millis(thread.active_ms),
            last_activity_ms: thread.active_ms,
        }
    }
}

/// An earlier or later text of a post.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EditShape {
    /// The edit.
    pub id: String,
    /// Who made it.
    pub author: Person,
    /// When.
    pub time: Option<String>,
    /// The whole text.
    pub text: String,
    /// Whether it is the text shown.
    pub current: bool,
}

/// A post.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PostShape {
    /// The whole id.
    pub id: String,
    /// What a person types for it.
    pub short: String,
    /// The thread.
    pub thread: String,
    /// The post it answers; none for the first.
    pub parent: Option<String>,
    /// The post it answers and that has not come yet.
    pub missing_parent: Option<String>,
    /// Steps from the first post.
    pub depth: u16,
    /// `root`, `reply` or `outcome`.
    pub role: &'static str,
    /// Who wrote it; for an import, the importer.
    pub author: Person,
    /// The author's role when it was written: `member`, `lead` or `steward`.
    pub author_role: &'static str,
    /// Where it came from.
    pub origin: Option<OriginShape>,
    /// When, by the author's clock; for an import, when it was imported.
    pub time: Option<String>,
    /// The same in Unix milliseconds.
    pub time_ms: u64,
    /// The time it is sorted by, in Unix milliseconds.
    pub sort_ms: u64,
    /// Whether its clock was far ahead of ours.
    pub clock_unsure: bool,
    /// The text; none when it was withdrawn.
    pub text: Option<String>,
    /// Whether the author took it back.
    pub withdrawn: bool,
    /// How many edits there are.
    pub edited: usize,
    /// The first text, when there are edits.
    pub original: Option<String>,
    /// The edits.
    pub edits: Vec<EditShape>,
    /// Who said what without words.
    pub reactions: BTreeMap<&'static str, Vec<Person>>,
    /// Whether it is marked as part of the answer.
    pub part_of_answer: bool,
    /// The wording of the question that its author had before them; empty for the first one.
    pub met: Vec<String>,
    /// Who folded it away.
    pub hidden: Option<DeedShape>,
    /// Who shows it to everybody.
    pub featured: Option<DeedShape>,
    /// Where it came from, when a lead put it here.
    pub moved: Option<MovedShape>,
    /// Whether the reader has not read it.
    pub unread: bool,
    /// The members who are known to hold it, oneself and its author among them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_by: Option<Vec<Person>>,
    /// The files attached to it.
    pub files: Vec<FileShape>,
    /// Other ids of the same imported post.
    pub aliases: Vec<String>,
}

/// A thread with its posts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WholeThread {
    /// The thread.
    pub thread: ThreadShape,
    /// Its posts, parents first.
    pub posts: Vec<PostShape>,
}

/// The word for a role.
#[must_use]
pub const fn role_word(role: Role) -> &'static str {
    match role {
        Role::Member => "member",
        Role::Lead => "lead",
        Role::Steward => "steward",
    }
}

/// The word for what would help.
#[must_use]
pub const fn help_word(help: Help) -> &'static str {
    match help {
        Help::Facts => "facts",
        Help::Document => "document",
        Help::Talk => "talk",
        Help::Heard => "heard",
    }
}

/// The word for a kind of thread.
#[must_use]
pub const fn kind_word(kind: ThreadKind) -> &'static str {
    match kind {
        ThreadKind::Ask => "ask",
        ThreadKind::Note => "note",
    }
}

fn millis(millis: u64) -> Option<String> {
    time::rfc3339(time::seconds(millis))
}

fn ids(ids: &[EntryId]) -> Vec<String> {
    ids.iter().map(EntryId::full).collect()
}

/// An origin for JSON.
#[must_use]
pub fn origin(origin: &Origin) -> OriginShape {
    OriginShape {
        name: origin.name.clone(),
        message_id: origin.message_id.clone(),
        claimed: origin.claimed.and_then(time::rfc3339),
        claimed_text: origin.claimed_text.clone(),
        date: time::rfc3339(origin.plausible),
    }
}

/// A thread for JSON.
#[must_use]
pub fn thread(reading: &Reading<'_>) -> ThreadShape {
    let (thread, people): (&Thread, _) = (reading.thread, reading.people);
    let ask = thread.ask.as_ref();
    ThreadShape {
        id: thread.root.full(),
        short: thread.root.short(),
        kind: kind_word(thread.kind),
        title: thread.title.clone(),
        state: (thread.kind == ThreadKind::Ask).then(|| thread.state.word()),
        author: people.person(&thread.author),
        origin: thread.origin.as_ref().map(origin),
        tags: thread.tags.clone(),
        decide: ask.and_then(|a| a.decide.clone()),
        need_by: ask.and_then(|a| a.need_by).and_then(millis),
        tried: ask.and_then(|a| a.tried.clone()),
        helps: ask.map(|a| a.helps.iter().copied().map(help_word).collect()).unwrap_or_default(),
        workers: reading.workers.iter().map(|m| people.person(m)).collect(),
        answer_posts: reading.parts(),
        outcomes: reading.outcomes(),
        watched: reading.stance.watch == Watch::Watched,
        muted: reading.stance.watch == Watch::Muted,
        snoozed_until: reading.stance.snoozed_until.and_then(millis),
        posts: reading.posts(),
        unread: reading.unread.len(),
        last_activity: millis(thread.last_activity),
        last_activity_ms: thread.last_activity,
        aliases: ids(&thread.aliases),
        absorbed: ids(&thread.absorbed),
        split: thread.split,
        retitled: thread.retitled.as_ref().map(|d| deed(d, people)),
        pinned: thread.pinned.as_ref().map(|d| deed(d, people)),
        featured: thread.featured().map(|d| deed(d, people)),
        hash: lanai_crdt::id::base32(&thread.hash),
    }
}

/// A post for JSON.
#[must_use]
pub fn post(post: &PostView, reading: &Reading<'_>) -> PostShape {
    let people = reading.people;
    let text = match &post.text {
        PostText::Current(text) => Some(text.clone()),
        PostText::Withdrawn => None,
    };
    let text_is_here = text.is_some();
    let edit = |edit: &lanai_crdt::thread::EditView| EditShape {
        id: edit.id.full(),
        author: people.person(&edit.author),
        time: millis(edit.time.millis()),
        text: edit.text.clone(),
        current: edit.current,
    };
    let reactions = post.reactions.iter().map(|(reaction, members)| {
        (reaction.word(), members.iter().map(|m| people.person(m)).collect())
    });
    PostShape {
        id: post.id.full(),
        short: post.id.short(),
        thread: reading.thread.root.full(),
        parent: post.parent.map(|p| p.full()),
        missing_parent: post.wanted_parent.map(|p| p.full()),
        depth: post.depth,
        role: match post.kind {
            PostKind::Root => "root",
            PostKind::Reply => "reply",
            PostKind::Outcome => "outcome",
        },
        author: people.person(&post.author),
        author_role: role_word(post.author_role),
        origin: post.origin.as_ref().map(origin),
        time: millis(post.time.millis()),
        time_ms: post.time.millis(),
        sort_ms: post.sort_millis,
        clock_unsure: post.time.is_unsure(reading.now_ms),
        withdrawn: text.is_none(),
        text,
        edited: post.edits.len(),
        original: post.original.clone(),
        edits: post.edits.iter().map(edit).collect(),
        reactions: reactions.collect(),
        part_of_answer: post.part_of_answer,
        met: ids(&post.met),
        hidden: post.hidden.as_ref().map(|d| deed(d, people)),
        featured: post.featured.as_ref().map(|d| deed(d, people)),
        moved: post.moved.as_ref().map(|m| MovedShape {
            from: m.from.full(),
            title: m.title.clone(),
            deed: deed(&m.deed, people),
        }),
        unread: reading.unread.contains(&post.id),
        held_by: reading
            .holders
            .and_then(|all| all.get(&post.id))
            .map(|members| members.iter().map(|m| people.person(m)).collect()),
        files: match text_is_here {
            true => reading.files_of(post).map(|(f, here)| file_shape(f, *here, people)).collect(),
            false => Vec::new(),
        },
        aliases: ids(&post.aliases),
    }
}

/// A thread with all its posts for JSON.
#[must_use]
pub fn whole(reading: &Reading<'_>) -> WholeThread {
    WholeThread {
        thread: thread(reading),
        posts: reading.thread.posts.iter().map(|p| post(p, reading)).collect(),
    }
}
