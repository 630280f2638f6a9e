//! What a new entry names: the other side of the folding rules.

use super::fold::Entries;
use super::place::{Forest, Home};
use super::posts::ROOT;
use super::view::{answer_marks, shown_roots};
use super::{LeadAct, TalkEntry, acts, marks, supersede};
use crate::id::{EntryId, MemberId};
use crate::limits::MAX_REFS;
use crate::payload::{Body, Mark, Role, ThreadAct, ThreadOp};

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
    /// Other acts are for leads and stewards alone.
    #[error("only leads and stewards may do that")]
    NotLead,
    /// The root is what an answer answers.
    #[error("a question is no part of its own answer")]
    Root,
    /// There is no own reaction to take back.
    #[error("there is no such reaction of yours to take back")]
    NoReaction,
    /// The text and title of an ask are those of its question page.
    #[error("the words of an ask stand on its question page")]
    QuestionPage,
    /// It opens a thread as things stand.
    #[error("that is a thread already")]
    IsThread,
    /// It opens no thread as things stand.
    #[error("that opens no thread; it is a post in one")]
    NoThread,
    /// What it should stand under is not here, or named with another thread than it names itself.
    #[error("the post to put it under is not here")]
    NoTarget,
    /// It would stand below itself.
    #[error("a post cannot stand below itself")]
    Loop,
    /// It stands where its author put it.
    #[error("it stands where its author put it")]
    NotMoved,
    /// Not something that is said about a post.
    #[error("that is not said about a post")]
    Kind,
}

/// The refs of an entry that `author`, with this role, writes about `target`: a reply to it, an edit
/// or a withdrawal of it, a reaction, a mark, or an act of a lead. `entries` are those of the thread,
/// as for [`fold_threads`](super::fold_threads); `target` is any copy of a post or root. A mark of
/// state is about the thread in which `target` is shown.
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
    let forest = Forest::new(&all);
    let node = forest.find(target).ok_or(RefsError::NotHere)?;
    let (home, at) = forest.home(node).ok_or(RefsError::NotHere)?;
    let copies = home.posts.copies(at);
    let copy = copies.iter().copied().find(|c| c.id == *target).ok_or(RefsError::NotHere)?;
    let writer = Writer { all: &all, forest: &forest, home, at, node, copy, author, role };
    let mut refs = writer.refs(body)?;
    refs.truncate(MAX_REFS);
    Ok(refs)
}

/// The thread and the post to name for putting something under `target`: what
/// [`ThreadAct::Under`] takes. `None` if no such post is here.
pub fn place_of(entries: &[TalkEntry], target: &EntryId) -> Option<(EntryId, EntryId)> {
    let all = Entries::new(entries);
    let forest = Forest::new(&all);
    let node = forest.find(target)?;
    let copy = forest.copies(node).iter().copied().find(|c| c.id == *target)?;
    Some((thread_of(copy), copy.id))
}

struct Writer<'a> {
    all: &'a Entries<'a>,
    forest: &'a Forest<'a>,
    home: &'a Home<'a>,
    /// The place of the post in its thread, and its number among all.
    at: usize,
    node: usize,
    copy: &'a TalkEntry,
    author: &'a MemberId,
    role: Role,
}

impl Writer<'_> {
    fn refs(&self, body: &Body) -> Result<Vec<EntryId>, RefsError> {
        let (copy, inside) = (self.copy, &self.home.group.inside);
        let thread = thread_of(copy);
        let about = vec![thread, copy.id];
        match body {
            Body::Post(_) if thread == copy.id => Ok(vec![thread]),
            Body::Post(_) => Ok(about),
            Body::Edit(_) | Body::Withdraw => self.own(matches!(body, Body::Edit(_))),
            Body::React(react) if react.on => Ok(about),
            Body::React(react) => {
                let own = self.home.posts.own_reactions(inside, self.at, self.author, react);
                if own.is_empty() {
                    return Err(RefsError::NoReaction);
                }
                Ok([about, own].concat())
            }
            Body::Mark(Mark::State(state)) => {
                let roots = shown_roots(self.forest, self.node);
                // The copy that names the same thread, where there is one.
                let root = roots.iter().find(|r| r.id == thread).or(roots.first());
                let root = root.copied().ok_or(RefsError::NotHere)?;
                let place = self.forest.find(&root.id).and_then(|n| self.forest.home(n));
                let (home, _) = place.ok_or(RefsError::NotHere)?;
                let states = marks::States::of(roots, &home.group.inside);
                let entitled = marks::speaks_for(roots, self.author, self.role);
                let named = states.to_supersede(entitled, *state).ok_or(RefsError::NotEntitled)?;
                Ok([vec![thread_of(root), root.id], named].concat())
            }
            Body::Mark(Mark::Answer(_)) => {
                let speaks = |roots| marks::speaks_for(roots, self.author, self.role);
                if !speaks(&self.home.group.roots) && !speaks(shown_roots(self.forest, self.node)) {
                    return Err(RefsError::NotEntitled);
                }
                if self.forest.is_root(self.node) {
                    return Err(RefsError::Root);
                }
                let marks = answer_marks(self.forest);
                let named = marks.get(&self.node);
                let named = named.map(|m| supersede::unsuperseded(&marks::items(m)));
                Ok([about, named.unwrap_or_default()].concat())
            }
            _ => {
                self.may(body)?;
                Ok([about, self.forest.acts.to_supersede(self.node, body)].concat())
            }
        }
    }

    /// An edit or a withdrawal: of the own copy.
    fn own(&self, edit: bool) -> Result<Vec<EntryId>, RefsError> {
        let own = |c: &&TalkEntry| c.member == *self.author;
        let copies = self.home.posts.copies(self.at);
        let first = Some(self.copy).filter(own);
        let copy = first.or_else(|| copies.iter().copied().find(own)).ok_or(RefsError::NotOwn)?;
        if self.all.is_withdrawn(&copy.id) {
            return Err(RefsError::Withdrawn);
        }
        let mut refs = vec![thread_of(copy), copy.id];
        if edit {
            if matches!(copy.body, Body::Ask(_)) {
                return Err(RefsError::QuestionPage);
            }
            refs.extend(self.own_edits(copy));
        }
        Ok(refs)
    }

    /// Whether an act of a lead would do something.
    fn may(&self, body: &Body) -> Result<(), RefsError> {
        if acts::chains(body).is_empty() {
            return Err(RefsError::Kind);
        }
        let (forest, node) = (self.forest, self.node);
        let own = forest.copies(node).iter().any(|c| c.member == *self.author);
        if self.role < Role::Lead {
            if !acts::is_for_authors(body) {
                return Err(RefsError::NotLead);
            }
            if !own {
                return Err(RefsError::NotEntitled);
            }
        }
        let needs_thread = match body {
            Body::ThreadOp(ThreadOp { act, .. }) => match act {
                ThreadAct::Split(..) => {
                    // A merged thread is made one again by taking it back.
                    let thread = forest.is_root(node) || self.at == ROOT;
                    return if thread { Err(RefsError::IsThread) } else { Ok(()) };
                }
                ThreadAct::Under(thread, post) => {
                    let (thread, post) = (EntryId::new(**thread), EntryId::new(**post));
                    let target = forest.target(&thread, &post).ok_or(RefsError::NoTarget)?;
                    let below = forest.is_below(target, node);
                    return if below { Err(RefsError::Loop) } else { Ok(()) };
                }
                ThreadAct::Back => {
                    let current = forest.acts.current(node, &acts::Chain::Place);
                    let there = current.and_then(|e| acts::word(&e.body));
                    let home = there.is_none_or(|act| act == LeadAct::Back);
                    return if home { Err(RefsError::NotMoved) } else { Ok(()) };
                }
                ThreadAct::Retitle(_) => true,
            },
            Body::Hide(_) => {
                let gone = self.all.is_withdrawn(&self.copy.id);
                return if gone { Err(RefsError::Withdrawn) } else { Ok(()) };
            }
            Body::Pin(_) | Body::Tag(_) => true,
            _ => false,
        };
        if needs_thread && !forest.is_root(node) {
            return Err(RefsError::NoThread);
        }
        if matches!(body, Body::ThreadOp(_)) && !forest.takes_title(node) {
            let gone = self.all.is_withdrawn(&self.copy.id);
            return Err(if gone { RefsError::Withdrawn } else { RefsError::QuestionPage });
        }
        Ok(())
    }

    fn own_edits(&self, copy: &TalkEntry) -> Vec<EntryId> {
        let inside = self.home.group.inside.iter();
        let edits: Vec<(EntryId, &[EntryId])> = inside
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
