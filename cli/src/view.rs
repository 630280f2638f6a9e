//! How threads and posts look: as a tree for reading ([`tree`]), as JSON ([`shape`]), as Markdown
//! ([`markdown`]).

pub mod markdown;
pub mod page;
pub mod shape;
pub mod tree;

use std::collections::{BTreeMap, BTreeSet};

use lanai_crdt::id::{EntryId, MemberId};
use lanai_crdt::thread::{PostKind, PostText, PostView, Thread};
use lanai_node::store::{FileView, Stance, ThreadView};

use crate::app::People;
use crate::commands::file::Presence;

/// A thread, and what has to be known to show it to somebody.
#[derive(Debug, Clone, Copy)]
pub struct Reading<'a> {
    /// The thread.
    pub thread: &'a Thread,
    /// Everybody's names.
    pub people: &'a People,
    /// The posts that the reader has not read.
    pub unread: &'a BTreeSet<EntryId>,
    /// Who says to be working on the ask.
    pub workers: &'a [MemberId],
    /// What the reader wants to hear of it.
    pub stance: Stance,
    /// Who alone can read it, for a side talk.
    pub readers: Option<&'a BTreeSet<MemberId>>,
    /// Who is known to hold each post, where that is to be told.
    pub holders: Option<&'a Holders>,
    /// The files attached to posts.
    pub files: Option<&'a Attached>,
    /// The wall clock in Unix milliseconds.
    pub now_ms: u64,
}

/// The files attached to some posts, and how much of each is here.
pub type Attached = BTreeMap<EntryId, Vec<(FileView, Presence)>>;

/// The members who are known to hold each of some posts.
pub type Holders = BTreeMap<EntryId, BTreeSet<MemberId>>;

impl<'a> Reading<'a> {
    /// A thread out of the store.
    #[must_use]
    pub fn of(view: &'a ThreadView, people: &'a People, now_ms: u64) -> Self {
        Self {
            thread: &view.thread,
            people,
            unread: &view.unread,
            workers: &view.workers,
            stance: view.stance,
            readers: view.readers.as_ref(),
            holders: None,
            files: None,
            now_ms,
        }
    }

    /// The files attached to a post, or to a copy of it.
    pub fn files_of(
        &self,
        post: &PostView,
    ) -> impl Iterator<Item = &'a (FileView, Presence)> + use<'a> {
        let files = self.files;
        let ids: Vec<EntryId> =
            std::iter::once(post.id).chain(post.aliases.iter().copied()).collect();
        ids.into_iter().filter_map(move |id| files?.get(&id)).flatten()
    }

    /// Posts that are part of the answer.
    #[must_use]
    pub fn parts(&self) -> usize {
        let part = |post: &&PostView| post.part_of_answer && post.text != PostText::Withdrawn;
        self.thread.posts.iter().filter(part).count()
    }

    /// Outcomes that were told.
    #[must_use]
    pub fn outcomes(&self) -> usize {
        let told = |p: &&PostView| p.kind == PostKind::Outcome && p.text != PostText::Withdrawn;
        self.thread.posts.iter().filter(told).count()
    }

    /// Posts that were not withdrawn.
    #[must_use]
    pub fn posts(&self) -> usize {
        self.thread.posts.iter().filter(|post| post.text != PostText::Withdrawn).count()
    }
}
