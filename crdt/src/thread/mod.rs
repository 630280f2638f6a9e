//! Threads: what a reader sees of an ask or a note and of everything that refers to it.
//!
//! A pure function of the entries that count, in any order, duplicates allowed. The caller has judged
//! by the roster which entries count ([`Roster::standing_in`](crate::roster::Roster::standing_in));
//! here it is only decided what they add up to. Time sorts and decides nothing.
//!
//! # Rules
//!
//! 1. **Threads.** An ask or a note opens a thread and everything else names it in `refs[0]`. What is
//!    about a post names the thread that the post itself names, also when that is an alias (rule 2).
//! 2. **Imports fold.** Imported roots with one [`origin_key`] (same message, same name, same text)
//!    are *copies*: one thread. Imported posts with one key in one thread are copies of one post. The
//!    copy with the smallest id is *canonical* and gives the post its id and dates; the others are
//!    aliases, and what refers to any of them refers to the post.
//! 3. **Edits** are made by the author member of the copy they name. On each copy edits supersede
//!    each other: current is what no other edit supersedes; several: the greatest (supersede depth,
//!    id); all stay in the history. A post with several copies shows the
//!    original as long as one importer left it alone, and the greatest edit once all have edited: no
//!    member can change what another one's entry says. Edits of an ask do not count: what it says now
//!    stands on its question page.
//! 4. **Withdrawals** are made by the author member of the copy, name the same thread as the copy
//!    does, and are final. A withdrawn copy is a
//!    tombstone: an author, a time and a place in the tree, and nothing of the payload, which nodes
//!    may have dropped already. It folds with no other copy. A thread with a withdrawn root is a
//!    thread of its own without title. Whoever withdraws an edit gets a tombstone for it too: once
//!    its payload is gone, nobody can tell that it was an edit.
//! 5. **Tree.** A post hangs below the post that it answers. A post whose parent is not here hangs
//!    below the root as an *orphan* until the parent comes; so does a post whose parent is in another
//!    thread. With several copies, the first whose parent is here decides. Folding can make a loop
//!    (a copy that answers its own answers): its smallest post becomes an orphan.
//! 6. **Order.** Parents first, depth first; siblings by (sort time, id). The sort time of an
//!    imported post is its plausible date, of others the time of the entry.
//! 7. **Reactions** are an observed-remove set: a member's reaction is there while one of the
//!    member's entries that add it is not named, in `refs[2..]`, by one of the same member that takes
//!    it back.
//! 8. **State** of an ask: marks that name its root in `refs[1]`, by its author, leads and stewards,
//!    superseding each other. Any member may say "working": such a mark neither supersedes an answer or
//!    a closing nor wins against one.
//! 9. **Part of the answer**: marks by leads and stewards, the author of the thread that the post was
//!    written in, and that of the thread in which it is shown; for each post superseding each other.
//!    The root of the thread that is shown is never a part.
//! 10. **Acts** of leads and stewards (their role in the act's own past) are about the post or root in
//!     `refs[1]`, named with the thread that it names itself in `refs[0]`. For each post they supersede
//!     each other in *chains*: where it is shown (split, under, back), title (split, retitle), hide,
//!     pin, feature, and one for each tag, whatever its case. The author of a post may retitle and tag
//!     the thread that it opens. Every act that counts is listed in the history of the thread where its
//!     post is shown, and of the thread where the root is shown that its post was written under.
//! 11. **Split**: the post and all below it are a thread, whose root is the post and whose id is the
//!     post's. A thread is not split off itself. **Under**: the post, or a root with its whole thread,
//!     stands below another post, which is named by the thread that *it* names; as long as that is not
//!     here the act waits, and its post stands where its author put it. **Back**: where its author put
//!     it. What answers a post goes with it, whenever it was written: nobody's reply is lost by having
//!     been written elsewhere at the same time.
//! 12. **Loops**: of each loop the smallest of the posts that were put somewhere stands where its author
//!     put it; then again, until there is no loop.
//! 13. **Merged**: a root that stands below something opens no thread. Its ids are listed as
//!     [`Thread::absorbed`] by the thread in which it is shown.
//! 14. **Title** of a split-off thread: that of its split, or of a retitle after it; of a note: its own or
//!     that of a retitle; of an ask: its own (its question page says it now).
//! 15. **Tags**: those that the author of the thread gave (for a split-off thread: of the thread where
//!     its root was written), without those that were taken off, and then those that were put on.
//!     *Hidden* posts keep their text and their place: a reader may look anyway.
//! 16. **The hash** covers all that a reader sees, and nothing local.
//!
//! Folding n entries costs O(n log n), and never recurses, so that a chain of 100,000 answers is only
//! long.

use std::collections::{BTreeMap, BTreeSet};

use crate::clock::Hlc;
use crate::id::{EntryId, MemberId};
use crate::payload::{Body, Help, Origin, Reaction, Role, ThreadState};

mod acts;
pub(crate) mod digest;
mod fold;
mod marks;
mod place;
mod posts;
mod refs;
pub(crate) mod supersede;
mod view;

pub use fold::{WithdrawnText, fold_thread, fold_threads, withdrawn_texts};
pub use refs::{RefsError, place_of, refs_for};

const ORIGIN_CONTEXT: &str = "lanai v1 origin key";

/// An entry of another class than 0 that counts, as the folds take it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TalkEntry {
    /// The entry.
    pub id: EntryId,
    /// Whose it is.
    pub member: MemberId,
    /// The member's role in the entry's roster past.
    pub role: Role,
    /// The entry's time.
    pub time: Hlc,
    /// Its refs.
    pub refs: Vec<EntryId>,
    /// What it says. For an ask, note or post whose payload was dropped after its withdrawal:
    /// [`Body::Unknown`] of any number.
    pub body: Body,
}

/// What opened a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ThreadKind {
    /// An ask.
    Ask,
    /// A note.
    Note,
}

/// What an ask says beside its situation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskForm {
    /// What must be decided.
    pub decide: Option<String>,
    /// By when, Unix milliseconds.
    pub need_by: Option<u64>,
    /// What was tried.
    pub tried: Option<String>,
    /// What would help.
    pub helps: Vec<Help>,
}

/// Who did something as a lead, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deed {
    /// Who.
    pub by: MemberId,
    /// Why, in their words.
    pub reason: Option<String>,
    /// The entry that does it.
    pub entry: EntryId,
}

/// Where a post came from that does not stand where its author put it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// The canonical root of the thread that it was written in; for a merged thread, its own.
    pub from: EntryId,
    /// What that thread is called, by itself.
    pub title: String,
    /// Who put it here.
    pub deed: Deed,
}

/// What a lead, a steward or an author did with a thread or a post.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeadAct {
    /// Made the post and all below it a thread.
    Split {
        /// Its title.
        title: String,
        /// Whether it asks something.
        ask: bool,
    },
    /// Put the post below another one.
    Under {
        /// The thread that the other post names.
        thread: EntryId,
        /// The other post; `thread` itself for its root.
        post: EntryId,
    },
    /// Put it back where its author did.
    Back,
    /// Gave the thread this title.
    Retitle(String),
    /// Folded the post away, or not any more.
    Hide(bool),
    /// Keeps the thread at the head of lists, or not any more.
    Pin(bool),
    /// Shows it to everybody, or not any more.
    Feature(bool),
    /// Put a tag on the thread, or took it off.
    Tag {
        /// The tag.
        tag: String,
        /// Whether it is on.
        on: bool,
    },
}

/// How an act stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ActStanding {
    /// It decides.
    InForce,
    /// It would decide, and has no effect as things stand: what it names is not here or no thread, or
    /// it would close a loop.
    Idle,
    /// Another one came after it, or won against it.
    Replaced,
}

/// An act in the history of a thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActView {
    /// The entry.
    pub entry: EntryId,
    /// Who.
    pub by: MemberId,
    /// When.
    pub time: Hlc,
    /// The post or root that it is about.
    pub post: EntryId,
    /// What was done.
    pub act: LeadAct,
    /// Why.
    pub reason: Option<String>,
    /// How it stands.
    pub standing: ActStanding,
}

/// A folded thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thread {
    /// The canonical root: what opened it, or the post that was split off.
    pub root: EntryId,
    /// The other copies of the root, ascending.
    pub aliases: Vec<EntryId>,
    /// Roots, with their copies, of the threads that are shown as a part of this one, ascending.
    pub absorbed: Vec<EntryId>,
    /// Whether it was split off: its root is a post of another thread.
    pub split: bool,
    /// Ask or note; a note once it is withdrawn.
    pub kind: ThreadKind,
    /// Title; empty once it is withdrawn.
    pub title: String,
    /// Who retitled it, and why.
    pub retitled: Option<Deed>,
    /// Who keeps it at the head of lists, and why.
    pub pinned: Option<Deed>,
    /// Whose the canonical root is: for an import, the importer.
    pub author: MemberId,
    /// Where an imported root came from.
    pub origin: Option<Origin>,
    /// Tags: those of the author that nobody took off, then those that were put on.
    pub tags: Vec<String>,
    /// The rest of an ask.
    pub ask: Option<AskForm>,
    /// The state; means something for asks only.
    pub state: ThreadState,
    /// The mark that set the state; none while nobody did.
    pub state_mark: Option<EntryId>,
    /// All posts in reading order. The first one is the root's own.
    pub posts: Vec<PostView>,
    /// The latest sort time of a post that is not withdrawn, Unix milliseconds; the root's time if
    /// there is none.
    pub last_activity: u64,
    /// What leads and stewards did, by (time, id).
    pub acts: Vec<ActView>,
    /// Hash of everything above.
    pub hash: [u8; 32],
}

/// What a post is to its thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PostKind {
    /// It opened the thread.
    Root,
    /// A reply, or a withdrawn post of any kind.
    Reply,
    /// Tells what was done and how it went.
    Outcome,
}

/// The text of a post now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PostText {
    /// The text.
    Current(String),
    /// The author took it back.
    Withdrawn,
}

/// An edit in the history of a post.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EditView {
    /// The edit entry.
    pub id: EntryId,
    /// Whose edit: one of the post's importers, or its author.
    pub author: MemberId,
    /// Its time.
    pub time: Hlc,
    /// The whole new text.
    pub text: String,
    /// Whether it is the text shown.
    pub current: bool,
}

/// A post in a thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostView {
    /// The canonical entry.
    pub id: EntryId,
    /// The other copies, ascending.
    pub aliases: Vec<EntryId>,
    /// The post above it in the tree; none for the root.
    pub parent: Option<EntryId>,
    /// The post that it answers and that is not here, for an orphan.
    pub wanted_parent: Option<EntryId>,
    /// Steps from the root, at most 65,535.
    pub depth: u16,
    /// Whose it is: for an import, the importer.
    pub author: MemberId,
    /// The author's role when it was written.
    pub author_role: Role,
    /// Where an imported post came from.
    pub origin: Option<Origin>,
    /// The entry's time.
    pub time: Hlc,
    /// The time to sort and show by, Unix milliseconds: the plausible date of an import, otherwise
    /// the entry's.
    pub sort_millis: u64,
    /// What it is to its thread.
    pub kind: PostKind,
    /// Its text now.
    pub text: PostText,
    /// The first text, when there were edits.
    pub original: Option<String>,
    /// All edits, the current one last unless the original is shown: by (supersede depth, id).
    pub edits: Vec<EditView>,
    /// The wording of the question that its author had before them: heads of the question page,
    /// ascending. Empty: the first wording.
    pub met: Vec<EntryId>,
    /// Who said what without words.
    pub reactions: BTreeMap<Reaction, BTreeSet<MemberId>>,
    /// Whether it is marked as part of the answer.
    pub part_of_answer: bool,
    /// Whether it hangs below the root for want of its parent.
    pub orphan: bool,
    /// Who folded it away, and why. Its text is here all the same.
    pub hidden: Option<Deed>,
    /// Who shows it to everybody, and why.
    pub featured: Option<Deed>,
    /// Where it came from, for one that somebody put here. What stands below it came along.
    pub moved: Option<Moved>,
}

impl Thread {
    /// Who shows the thread to everybody, and why.
    pub fn featured(&self) -> Option<&Deed> {
        self.posts.first().and_then(|root| root.featured.as_ref())
    }

    /// Whether an id stands for this thread: its root, a copy of it, or a thread that is shown as a part
    /// of it.
    pub fn answers_to(&self, id: &EntryId) -> bool {
        self.root == *id || self.aliases.contains(id) || self.absorbed.contains(id)
    }
}

/// The key by which imported roots and posts fold into one: a hash of what kind of thing it is,
/// message id, original name, title and text. `None` for what was written here.
pub fn origin_key(body: &Body) -> Option<[u8; 32]> {
    let (origin, title, text) = match body {
        Body::Ask(a) => (a.origin.as_ref()?, a.title.as_str(), a.situation.as_str()),
        Body::Note(n) => (n.origin.as_ref()?, n.title.as_str(), n.text.as_str()),
        Body::Post(p) => (p.origin.as_ref()?, "", p.text.as_str()),
        _ => return None,
    };
    let mut d = digest::Digest::new(ORIGIN_CONTEXT);
    d.number(u64::from(body.kind_number()));
    for text in [origin.message_id.as_str(), origin.name.as_str(), title, text] {
        d.bytes(text.as_bytes());
    }
    Some(d.finish())
}

#[cfg(test)]
mod tests;
