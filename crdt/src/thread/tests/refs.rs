//! What is written with [`refs_for`] does what it is meant to do, whatever was said before.

use proptest::prelude::*;

use super::super::*;
use super::laws::talk;
use super::testing::*;

fn refs(t: &Talk, by: u8, target: EntryId, body: &Body) -> Result<Vec<EntryId>, RefsError> {
    refs_for(&t.entries, &member(by), Role::Member, &target, body)
}

fn edit(text: &str) -> Body {
    Body::Edit(crate::payload::Edit { text: text.into() })
}

fn react(on: bool) -> Body {
    Body::React(crate::payload::React { reaction: Reaction::Thanks, on })
}

#[test]
fn plain_posts() {
    let mut t = Talk::default();
    let a = t.add(1, &[], ask("How?"));
    let r = t.reply(2, &[a], "so");
    assert_eq!(refs(&t, 3, a, &post("x", None)), Ok(vec![a]));
    assert_eq!(refs(&t, 3, r, &post("x", None)), Ok(vec![a, r]));
    assert_eq!(refs(&t, 2, r, &edit("x")), Ok(vec![a, r]));
    assert_eq!(refs(&t, 1, a, &edit("x")), Err(RefsError::QuestionPage));
    assert_eq!(refs(&t, 1, r, &edit("x")), Err(RefsError::NotOwn));
    assert_eq!(refs(&t, 1, r, &Body::Withdraw), Err(RefsError::NotOwn));
    assert_eq!(refs(&t, 1, r, &react(false)), Err(RefsError::NoReaction));
    assert_eq!(refs(&t, 1, a, &answer(true)), Err(RefsError::Root));
    assert_eq!(refs(&t, 2, r, &answer(true)), Err(RefsError::NotEntitled));
    assert_eq!(refs(&t, 2, a, &state(ThreadState::Closed)), Err(RefsError::NotEntitled));
    assert_eq!(refs(&t, 2, r, &state(ThreadState::Working)), Ok(vec![a, a]));
    assert_eq!(refs(&t, 1, id_of(99), &react(true)), Err(RefsError::NotHere));
    assert_eq!(refs(&t, 1, a, &Body::TicketClose), Err(RefsError::Kind));
    let e = t.edit(2, &[a, r], "one");
    assert_eq!(refs(&t, 2, e, &edit("x")), Err(RefsError::NotHere));
    let f = t.edit(2, &[a, r], "two");
    assert_eq!(refs(&t, 2, r, &edit("x")), Ok(vec![a, r, e.max(f), e.min(f)]));
    t.add(2, &[a, r], Body::Withdraw);
    assert_eq!(refs(&t, 2, r, &edit("x")), Err(RefsError::Withdrawn));
    assert_eq!(refs(&t, 2, r, &Body::Withdraw), Err(RefsError::Withdrawn));
    assert_eq!(refs(&t, 3, r, &post("x", None)), Ok(vec![a, r]));
}

#[test]
fn an_importer_edits_the_own_copy_in_its_own_thread() {
    let mut t = Talk::default();
    let x = t.add(1, &[], note("Old", origin("<1@x>", 1000)));
    let y = t.add(2, &[], note("Old", origin("<1@x>", 1000)));
    let rx = t.add(1, &[x], post("re", origin("<2@x>", 2000)));
    let ry = t.add(2, &[y], post("re", origin("<2@x>", 2000)));
    for target in [rx, ry] {
        assert_eq!(refs(&t, 1, target, &edit("x")), Ok(vec![x, rx]));
        assert_eq!(refs(&t, 2, target, &Body::Withdraw), Ok(vec![y, ry]));
        assert_eq!(refs(&t, 3, target, &edit("x")), Err(RefsError::NotOwn));
    }
    assert_eq!(refs(&t, 1, y, &Body::Withdraw), Ok(vec![x, x]));
    // Who imported it twice means the copy that was named.
    let again = t.add(1, &[x], post("re", origin("<2@x>", 2000)));
    for copy in [rx, again] {
        assert_eq!(refs(&t, 1, copy, &Body::Withdraw), Ok(vec![x, copy]));
    }
}

#[test]
fn marks_name_all_that_stands() {
    let mut t = Talk::default();
    let a = t.add(1, &[], ask("How?"));
    let r = t.reply(2, &[a], "so");
    let (yes, no) = (t.add(1, &[a, r], answer(true)), t.add_lead(4, &[a, r], answer(false)));
    assert_eq!(refs(&t, 1, r, &answer(true)), Ok(vec![a, r, yes.max(no), yes.min(no)]));
    let (open, closed) = (
        t.add(1, &[a, a], state(ThreadState::Open)),
        t.add(1, &[a, a], state(ThreadState::Closed)),
    );
    let want = vec![a, a, open.max(closed), open.min(closed)];
    assert_eq!(refs(&t, 1, r, &state(ThreadState::Answered)), Ok(want));
}

#[test]
fn no_more_refs_than_a_header_takes() {
    let mut t = Talk::default();
    let a = t.add(1, &[], note("Tale", None));
    for _ in 0..20 {
        t.edit(1, &[a, a], "again");
        t.react(1, &[a, a], true);
    }
    assert_eq!(refs(&t, 1, a, &edit("x")).unwrap().len(), crate::limits::MAX_REFS);
    assert_eq!(refs(&t, 1, a, &react(false)).unwrap().len(), crate::limits::MAX_REFS);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_takes_effect(t in talk(), by in 0..4u8, lead: bool, which: prop::sample::Index, kind in 0..8usize) {
        let target = which.get(&t.entries).id;
        let body = [
            post("new", None),
            edit("new"),
            Body::Withdraw,
            react(true),
            react(false),
            state(ThreadState::ALL[usize::from(by)]),
            answer(true),
            answer(false),
        ][kind].clone();
        let role = if lead { Role::Lead } else { Role::Member };
        let before = fold_threads(&t.entries);
        let refs = refs_for(&t.entries, &member(by), role, &target, &body);
        let mut next = t.clone();
        let Ok(refs) = refs else {
            // A careless client writes it all the same, and nobody's text or state changes for it.
            if matches!(body, Body::Edit(_) | Body::Mark(_)) {
                let root = before.iter().find(|t| t.posts.iter().any(|p| p.id == target || p.aliases.contains(&target)));
                let root = root.map_or(target, |t| t.root);
                next.add(by, &[root, target], body);
                next.last().role = role;
                prop_assert_eq!(fold_threads(&next.entries), before);
            }
            return Ok(());
        };
        prop_assume!(refs.len() < crate::limits::MAX_REFS);
        let own = refs.get(1).copied().unwrap_or(refs[0]);
        let id = next.add(by, &refs, body.clone());
        next.last().role = role;
        // Ids are hashes: nothing can name what is not written yet.
        prop_assume!(t.entries.iter().all(|e| !e.refs.contains(&id)));
        let threads = fold_threads(&next.entries);
        let has = |p: &PostView, id: EntryId| p.id == id || p.aliases.contains(&id);
        let thread = threads.iter().find(|t| t.posts.iter().any(|p| has(p, own))).unwrap();
        let p = thread.posts.iter().find(|p| has(p, own)).unwrap();
        let thanks = |p: &PostView| p.reactions.get(&Reaction::Thanks).is_some_and(|m| m.contains(&member(by)));
        match body {
            Body::Post(_) => {
                let new = thread.posts.iter().find(|p| p.id == id).unwrap();
                prop_assert_eq!(new.parent, Some(p.id));
                prop_assert!(!new.orphan);
            }
            Body::Edit(_) => {
                let e = p.edits.iter().find(|e| e.id == id).unwrap();
                prop_assert!(e.current || !p.aliases.is_empty());
            }
            Body::Withdraw => prop_assert_eq!(&p.text, &PostText::Withdrawn),
            Body::React(r) => prop_assert_eq!(thanks(p), r.on),
            Body::Mark(crate::payload::Mark::State(s)) => {
                prop_assert_eq!((thread.state, thread.state_mark), (s, Some(id)));
            }
            Body::Mark(crate::payload::Mark::Answer(part)) => prop_assert_eq!(p.part_of_answer, part),
            _ => unreachable!(),
        }
    }
}
