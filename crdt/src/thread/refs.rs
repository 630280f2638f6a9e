//! What a new entry names: the other side of the folding rules.

use super::fold::{Entries, Group};
use super::posts::Posts;
use super::{TalkEntry, marks, supersede};
use crate::id::{EntryId, MemberId};
use crate::limits::MAX_REFS;
use crate::payload::{Body, Mark, Role};

/// Why an entry would change nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RefsError {
    /// No post with this id is among the entries.
    #[error("there is no such post here")]
    NotHere,
    /// Posts are edited and withdrawn by their author alone.
    #[error("only its author may do that to a post")]
    NotOwn,
    /// A withdrawn post has no text to change.
    #[error("this post was withdrawn")]
    Withdrawn,
    /// Marks are for the author of the thread, leads and stewards.
    #[error("only the author of the thread, leads and stewards may say that")]
    NotEntitled,
    /// The root is what an answer answers.
    #[error("a question is no part of its own answer")]
    Root,
    /// There is no own reaction to take back.
    #[error("there is no such reaction of yours to take back")]
    NoReaction,
    /// Not something that is said about a post.
    #[error("that is not said about a post")]
    Kind,
}

/// The refs of an entry that `author`, with this role, writes about `target`: a reply to it, an edit
/// or a withdrawal of it, a reaction or a mark. `entries` are those of the thread, as for
/// [`fold_threads`](super::fold_threads); `target` is any copy of a post or root.
///
/// Keeps the rules of the folds: own copies of imports for edits and withdrawals, the thread that the
/// post itself names, and what is to be superseded or taken back (of more than eight, the greatest).
///
/// # Errors
///
/// When the entry would change nothing.
pub fn refs_for(
    entries: &[TalkEntry],
    author: &MemberId,
    role: Role,
    target: &EntryId,
    body: &Body,
) -> Result<Vec<EntryId>, RefsError> {
    let all = Entries::new(entries);
    for group in all.groups() {
        let posts = Posts::build(&all, &group.roots, &group.inside);
        if let Some(at) = posts.place(target) {
            let copies = posts.copies(at);
            let copy =
                copies.iter().copied().find(|c| c.id == *target).ok_or(RefsError::NotHere)?;
            let writer = Writer { all: &all, group: &group, posts: &posts, author, role };
            let mut refs = writer.refs(at, copy, copies, body)?;
            refs.truncate(MAX_REFS);
            return Ok(refs);
        }
    }
    Err(RefsError::NotHere)
}

struct Writer<'a> {
    all: &'a Entries<'a>,
    group: &'a Group<'a>,
    posts: &'a Posts<'a>,
    author: &'a MemberId,
    role: Role,
}

impl Writer<'_> {
    fn refs(
        &self,
        at: usize,
        copy: &TalkEntry,
        copies: &[&TalkEntry],
        body: &Body,
    ) -> Result<Vec<EntryId>, RefsError> {
        let thread = thread_of(copy);
        let about = vec![thread, copy.id];
        match body {
            Body::Post(_) if thread == copy.id => Ok(vec![thread]),
            Body::Post(_) => Ok(about),
            Body::Edit(_) | Body::Withdraw => {
                let own = |c: &&TalkEntry| c.member == *self.author;
                let first = Some(copy).filter(own);
                let copy = first.or_else(|| copies.iter().copied().find(own));
                let copy = copy.ok_or(RefsError::NotOwn)?;
                if self.all.is_withdrawn(&copy.id) {
                    return Err(RefsError::Withdrawn);
                }
                let mut refs = vec![thread_of(copy), copy.id];
                if matches!(body, Body::Edit(_)) {
                    refs.extend(self.own_edits(copy));
                }
                Ok(refs)
            }
            Body::React(react) if react.on => Ok(about),
            Body::React(react) => {
                let own = self.posts.own_reactions(&self.group.inside, at, self.author, react);
                if own.is_empty() {
                    return Err(RefsError::NoReaction);
                }
                Ok([about, own].concat())
            }
            Body::Mark(Mark::State(state)) => {
                let states = marks::States::of(&self.group.roots, &self.group.inside);
                let entitled = marks::speaks_for(&self.group.roots, self.author, self.role);
                let named = states.to_supersede(entitled, *state).ok_or(RefsError::NotEntitled)?;
                Ok([vec![thread, thread], named].concat())
            }
            Body::Mark(Mark::Answer(_)) => {
                if !marks::speaks_for(&self.group.roots, self.author, self.role) {
                    return Err(RefsError::NotEntitled);
                }
                if at == 0 {
                    return Err(RefsError::Root);
                }
                let marks = self.posts.answer_marks(&self.group.inside);
                let named = marks.get(&at).map(|m| supersede::unsuperseded(&marks::items(m)));
                Ok([about, named.unwrap_or_default()].concat())
            }
            _ => Err(RefsError::Kind),
        }
    }

    fn own_edits(&self, copy: &TalkEntry) -> Vec<EntryId> {
        let edits: Vec<(EntryId, &[EntryId])> = self
            .group
            .inside
            .iter()
            .filter(|e| matches!(e.body, Body::Edit(_)) && e.member == *self.author)
            .filter(|e| e.refs.get(1) == Some(&copy.id) && !self.all.is_withdrawn(&e.id))
            .map(|e| (e.id, e.refs.get(2..).unwrap_or_default()))
            .collect();
        supersede::unsuperseded(&edits)
    }
}

fn thread_of(e: &TalkEntry) -> EntryId {
    e.refs.first().copied().unwrap_or(e.id)
}
