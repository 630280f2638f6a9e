//! How threads and posts look: as a tree for reading ([`tree`]), as JSON ([`shape`]), as Markdown
//! ([`markdown`]).

pub mod markdown;
pub mod page;
pub mod shape;
pub mod tree;

use std::collections::BTreeSet;

use lanai_crdt::id::EntryId;
use lanai_crdt::thread::{PostText, Thread};
use lanai_node::store::ThreadView;

use crate::app::People;

/// A thread, and what has to be known to show it to somebody.
#[derive(Debug, Clone, Copy)]
pub struct Reading<'a> {
    /// The thread.
    pub thread: &'a Thread,
    /// Everybody's names.
    pub people: &'a People,
    /// The posts that the reader has not read.
    pub unread: &'a BTreeSet<EntryId>,
    /// The wall clock in Unix milliseconds.
    pub now_ms: u64,
}

impl<'a> Reading<'a> {
    /// A thread out of the store.
    #[must_use]
    pub fn of(view: &'a ThreadView, people: &'a People, now_ms: u64) -> Self {
        Self { thread: &view.thread, people, unread: &view.unread, now_ms }
    }

    /// Posts that were not withdrawn.
    #[must_use]
    pub fn posts(&self) -> usize {
        self.thread.posts.iter().filter(|post| post.text != PostText::Withdrawn).count()
    }
}
