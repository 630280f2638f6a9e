//! Marks (rules 8 and 9): the state of an ask, and which posts are part of the answer.

use std::collections::{BTreeMap, BTreeSet};

use super::TalkEntry;
use super::supersede;
use crate::id::EntryId;
use crate::payload::{Body, Mark, Role, ThreadState};

/// Whether the author of an entry speaks for the thread: wrote a copy of its root, or tends topics.
fn speaks_for(roots: &[&TalkEntry], e: &TalkEntry) -> bool {
    e.role >= Role::Lead || roots.iter().any(|r| r.member == e.member)
}

/// The state and the mark that set it. `inside` is ascending by id.
pub(super) fn state(roots: &[&TalkEntry], inside: &[&TalkEntry]) -> (ThreadState, Option<EntryId>) {
    struct Claim {
        state: ThreadState,
        entitled: bool,
    }
    let mut claims = Vec::new();
    let mut items: Vec<(EntryId, &[EntryId])> = Vec::new();
    for e in inside {
        let Body::Mark(Mark::State(state)) = e.body else { continue };
        let about_thread = e.refs.get(1).is_some_and(|t| roots.iter().any(|r| r.id == *t));
        let entitled = speaks_for(roots, e);
        if about_thread && (entitled || state == ThreadState::Working) {
            claims.push(Claim { state, entitled });
            items.push((e.id, e.refs.get(2..).unwrap_or_default()));
        }
    }
    let settles = |at: usize| {
        claims
            .get(at)
            .is_some_and(|c| matches!(c.state, ThreadState::Answered | ThreadState::Closed))
    };
    let entitled = |at: usize| claims.get(at).is_some_and(|c| c.entitled);
    let resolved = supersede::resolve(&items, |by, what| entitled(by) || !settles(what));
    let settled = resolved.unsuperseded().any(settles);
    let current = resolved.current(&items, |at| entitled(at) || !settled);
    current
        .and_then(|at| Some((claims.get(at)?.state, Some(items.get(at)?.0))))
        .unwrap_or((ThreadState::Open, None))
}

/// The posts that are part of the answer. `posts` leads from the id of any copy to its post; the
/// root, which is the first, is never an answer to itself.
pub(super) fn answers(
    roots: &[&TalkEntry],
    inside: &[&TalkEntry],
    posts: &BTreeMap<EntryId, usize>,
) -> BTreeSet<usize> {
    let mut marks: BTreeMap<usize, Vec<(&TalkEntry, bool)>> = BTreeMap::new();
    for e in inside {
        let Body::Mark(Mark::Answer(part)) = e.body else { continue };
        let post = e.refs.get(1).and_then(|p| posts.get(p)).filter(|p| **p != 0);
        if let Some(post) = post
            && speaks_for(roots, e)
        {
            marks.entry(*post).or_default().push((e, part));
        }
    }
    let is_part = |marks: &Vec<(&TalkEntry, bool)>| {
        let items: Vec<(EntryId, &[EntryId])> =
            marks.iter().map(|(e, _)| (e.id, e.refs.get(2..).unwrap_or_default())).collect();
        let current = supersede::resolve(&items, |_, _| true).current(&items, |_| true);
        current.and_then(|at| marks.get(at)).is_some_and(|(_, part)| *part)
    };
    marks.into_iter().filter(|(_, m)| is_part(m)).map(|(post, _)| post).collect()
}
