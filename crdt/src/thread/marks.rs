//! Marks (rules 8 and 9): the state of an ask, and which posts are part of the answer.

use std::collections::{BTreeMap, BTreeSet};

use super::TalkEntry;
use super::supersede::{self, Superseding};
use crate::id::{EntryId, MemberId};
use crate::payload::{Body, Mark, Role, ThreadState};

/// Whether a member speaks for the thread: wrote a copy of its root, or tends topics.
pub(super) fn speaks_for(roots: &[&TalkEntry], member: &MemberId, role: Role) -> bool {
    role >= Role::Lead || roots.iter().any(|r| r.member == *member)
}

struct Claim {
    state: ThreadState,
    entitled: bool,
}

impl Claim {
    /// An answer or a closing, which only those who speak for the thread can undo.
    fn settles(&self) -> bool {
        matches!(self.state, ThreadState::Answered | ThreadState::Closed)
    }
}

/// The marks of state of one thread.
pub(super) struct States<'a> {
    claims: Vec<Claim>,
    items: Vec<(EntryId, &'a [EntryId])>,
    resolved: Superseding,
}

impl<'a> States<'a> {
    /// `roots` are the copies of the thread's root; `inside`, ascending by id, holds what is about it.
    pub(super) fn of(roots: &[&TalkEntry], inside: &[&'a TalkEntry]) -> States<'a> {
        let mut claims: Vec<Claim> = Vec::new();
        let mut items: Vec<(EntryId, &[EntryId])> = Vec::new();
        for e in inside {
            let Body::Mark(Mark::State(state)) = e.body else { continue };
            let about_thread = e.refs.get(1).is_some_and(|t| roots.iter().any(|r| r.id == *t));
            let entitled = speaks_for(roots, &e.member, e.role);
            if about_thread && (entitled || state == ThreadState::Working) {
                claims.push(Claim { state, entitled });
                items.push((e.id, e.refs.get(2..).unwrap_or_default()));
            }
        }
        let may = |by: usize, what: usize| match (claims.get(by), claims.get(what)) {
            (Some(by), Some(what)) => by.entitled || !what.settles(),
            _ => false,
        };
        let resolved = supersede::resolve(&items, may);
        States { claims, items, resolved }
    }

    fn is_settled(&self) -> bool {
        let mut left = self.resolved.unsuperseded().filter_map(|at| self.claims.get(at));
        left.any(Claim::settles)
    }

    /// The state and the mark that set it.
    pub(super) fn current(&self) -> (ThreadState, Option<EntryId>) {
        let settled = self.is_settled();
        let keep = |at: usize| self.claims.get(at).is_some_and(|c| c.entitled || !settled);
        let current = self.resolved.current(&self.items, keep);
        current
            .and_then(|at| Some((self.claims.get(at)?.state, Some(self.items.get(at)?.0))))
            .unwrap_or((ThreadState::Open, None))
    }

    /// What a new mark names, the greatest first; `None` if it would change nothing.
    pub(super) fn to_supersede(&self, entitled: bool, state: ThreadState) -> Option<Vec<EntryId>> {
        let may = entitled || state == ThreadState::Working && !self.is_settled();
        may.then(|| self.resolved.heads(&self.items))
    }
}

/// Marks of posts as part of the answer, by post, each list ascending by id.
pub(super) type AnswerMarks<'a> = BTreeMap<usize, Vec<(&'a TalkEntry, bool)>>;

/// The marks of one post as superseding sees them.
pub(super) fn items<'a>(marks: &[(&'a TalkEntry, bool)]) -> Vec<(EntryId, &'a [EntryId])> {
    marks.iter().map(|(e, _)| (e.id, e.refs.get(2..).unwrap_or_default())).collect()
}

/// The posts that are part of the answer.
pub(super) fn answers(marks: AnswerMarks<'_>) -> BTreeSet<usize> {
    let is_part = |marks: &[(&TalkEntry, bool)]| {
        let items = items(marks);
        let current = supersede::resolve(&items, |_, _| true).current(&items, |_| true);
        current.and_then(|at| marks.get(at)).is_some_and(|(_, part)| *part)
    };
    marks.into_iter().filter(|(_, m)| is_part(m)).map(|(post, _)| post).collect()
}
