//! Rules 10 to 15: what leads do, and where things stand then.

use proptest::prelude::*;

use super::super::*;
use super::laws::talk;
use super::testing::*;
use crate::payload::{Feature, Pin, ThreadAct, ThreadOp};

fn threads(t: &Talk) -> BTreeMap<EntryId, Thread> {
    fold_threads(&t.entries).into_iter().map(|t| (t.root, t)).collect()
}

/// The thread in which a post is shown, and its place there.
fn spot(t: &Talk, id: EntryId) -> (EntryId, PostView) {
    let found = fold_threads(&t.entries).into_iter().find_map(|th| {
        let post = th.posts.iter().find(|p| p.id == id || p.aliases.contains(&id))?;
        Some((th.root, post.clone()))
    });
    found.unwrap()
}

fn order(thread: &Thread) -> Vec<EntryId> {
    thread.posts.iter().map(|p| p.id).collect()
}

/// Two threads with an answer and an answer to that in each.
struct Two {
    t: Talk,
    a: [EntryId; 3],
    b: [EntryId; 3],
}

fn two() -> Two {
    let mut t = Talk::default();
    let thread = |t: &mut Talk, by: u8, title: &str| {
        let root = t.add(by, &[], note(title, None));
        let post = t.reply(by + 1, &[root], "answer");
        [root, post, t.reply(by, &[root, post], "to that")]
    };
    let a = thread(&mut t, 1, "A");
    let b = thread(&mut t, 3, "B");
    Two { t, a, b }
}

#[test]
fn a_split_takes_all_that_answers_along_whenever_it_was_written() {
    let Two { mut t, a, .. } = two();
    let s = t.add_lead(9, &[a[0], a[1]], split("Apart", true));
    // Written elsewhere without knowing of the split.
    let late = t.reply(5, &[a[0], a[2]], "late");
    let stays = t.reply(5, &[a[0]], "to the whole");
    let all = threads(&t);
    assert_eq!(order(&all[&a[0]]), [a[0], stays]);
    let apart = &all[&a[1]];
    assert_eq!(order(apart), [a[1], a[2], late]);
    assert_eq!((apart.title.as_str(), apart.kind, apart.split), ("Apart", ThreadKind::Ask, true));
    assert_eq!((apart.author, apart.state), (member(2), ThreadState::Open));
    assert_eq!(apart.ask.as_ref().unwrap().need_by, None);
    let root = &apart.posts[0];
    assert_eq!((root.kind, root.depth, root.parent), (PostKind::Root, 0, None));
    let moved = root.moved.as_ref().unwrap();
    assert_eq!((moved.from, moved.title.as_str(), moved.deed.entry), (a[0], "A", s));
    assert_eq!(moved.deed.reason.as_deref(), Some("why"));
    assert!(apart.posts[1..].iter().all(|p| p.moved.is_none()));
    // Listed in both.
    assert_eq!(all[&a[0]].acts, apart.acts);
    assert_eq!((apart.acts[0].entry, apart.acts[0].standing), (s, ActStanding::InForce));
    // A mark of state names the post; one about the thread it came from changes nothing here.
    t.add_lead(9, &[a[0], a[0]], state(ThreadState::Closed));
    let m = t.add(2, &[a[0], a[1]], state(ThreadState::Answered));
    t.add(1, &[a[0], a[1]], state(ThreadState::Closed));
    let apart = &threads(&t)[&a[1]];
    assert_eq!((apart.state, apart.state_mark), (ThreadState::Answered, Some(m)));
    // Back again.
    t.add_lead(8, &[a[0], a[1], s], back());
    let all = threads(&t);
    assert_eq!((all.len(), all[&a[0]].posts.len()), (2, 5));
    assert_eq!(all[&a[0]].state, ThreadState::Closed);
    assert_eq!(spot(&t, a[1]).1.moved, None);
    let standings: Vec<ActStanding> = all[&a[0]].acts.iter().map(|a| a.standing).collect();
    assert_eq!(standings, [ActStanding::Replaced, ActStanding::InForce]);
}

#[test]
fn a_merged_thread_stands_below_and_its_ids_are_kept() {
    let Two { mut t, a, b } = two();
    let m = t.add_lead(9, &[b[0], b[0]], under(a[0], a[1]));
    let late = t.reply(6, &[b[0]], "late");
    let all = threads(&t);
    assert_eq!(all.len(), 1);
    let th = &all[&a[0]];
    assert_eq!(order(th), [a[0], a[1], a[2], b[0], b[1], b[2], late]);
    assert_eq!(th.absorbed, [b[0]]);
    assert!(th.answers_to(&b[0]) && !th.answers_to(&b[1]));
    let merged = &th.posts[3];
    assert_eq!((merged.kind, merged.depth, merged.parent), (PostKind::Reply, 2, Some(a[1])));
    let moved = merged.moved.as_ref().unwrap();
    assert_eq!((moved.from, moved.title.as_str(), moved.deed.entry), (b[0], "B", m));
    // What was said about its posts holds; an edit, a withdrawal and a reaction name what they did.
    t.edit(4, &[b[0], b[1]], "edited");
    t.react(7, &[b[0], b[1]], true);
    t.add(3, &[b[0], b[2]], Body::Withdraw);
    let th = &threads(&t)[&a[0]];
    assert_eq!(th.posts[4].text, PostText::Current("edited".into()));
    assert_eq!(th.posts[4].reactions.len(), 1);
    assert_eq!(th.posts[5].text, PostText::Withdrawn);
    // Both authors say what is part of the answer.
    for by in [1, 3] {
        let mut t = t.clone();
        t.add(by, &[b[0], b[1]], answer(true));
        assert!(spot(&t, b[1]).1.part_of_answer);
    }
    t.add(4, &[b[0], b[1]], answer(true));
    assert!(!spot(&t, b[1]).1.part_of_answer);
    // A withdrawn root keeps its thread where it was put.
    t.add(3, &[b[0], b[0]], Body::Withdraw);
    assert_eq!(threads(&t)[&a[0]].posts[3].text, PostText::Withdrawn);
    assert_eq!(threads(&t).len(), 1);
}

#[test]
fn only_leads_and_only_in_the_posts_own_thread() {
    let Two { mut t, a, b } = two();
    let before = fold_threads(&t.entries);
    for body in [split("x", false), under(b[0], b[0]), hide(true), retitle("mine")] {
        t.add(7, &[a[0], a[1]], body);
    }
    t.add(1, &[a[0], a[0]], under(b[0], b[0]));
    t.add(1, &[a[0], a[0]], hide(true));
    // Named with the wrong thread, or not at all.
    t.add_lead(9, &[b[0], a[1]], split("x", false));
    t.add_lead(9, &[a[0]], split("x", false));
    t.add_lead(9, &[a[0], id_of(99)], split("x", false));
    assert_eq!(fold_threads(&t.entries), before);
    // What has no effect as things stand is listed, and waits.
    t.add_lead(9, &[a[0], a[0]], split("x", false));
    t.add_lead(9, &[a[0], a[1]], under(a[0], b[1]));
    t.add_lead(9, &[a[0], a[2]], under(a[0], a[2]));
    let th = &threads(&t)[&a[0]];
    assert_eq!(th.posts, before.iter().find(|t| t.root == a[0]).unwrap().posts);
    assert!(th.acts.iter().all(|a| a.standing == ActStanding::Idle));
    assert_eq!((th.acts.len(), th.title.as_str()), (3, "A"));
}

#[test]
fn an_act_waits_for_what_it_names() {
    let Two { mut t, a, b } = two();
    t.add_lead(9, &[a[0], a[1]], under(b[0], b[1]));
    let target = t.entries.iter().position(|e| e.id == b[1]).unwrap();
    let target = t.entries.remove(target);
    assert_eq!(spot(&t, a[1]).0, a[0]);
    t.entries.push(target);
    let (thread, post) = spot(&t, a[1]);
    assert_eq!((thread, post.parent, post.orphan), (b[0], Some(b[1]), false));
}

#[test]
fn the_smallest_of_a_loop_stays_where_its_author_put_it() {
    let Two { mut t, a, b } = two();
    t.add_lead(8, &[a[0], a[0]], under(b[0], b[1]));
    t.add_lead(9, &[b[0], b[0]], under(a[0], a[2]));
    let all = threads(&t);
    let (stays, goes) = (a[0].min(b[0]), a[0].max(b[0]));
    assert_eq!(all.len(), 1);
    assert_eq!((all[&stays].absorbed.as_slice(), all[&stays].posts.len()), (&[goes][..], 6));
    // One of them alone is put below its own answer: only that was put somewhere, so that stays.
    let Two { mut t, a, .. } = two();
    t.add_lead(8, &[a[0], a[1]], under(a[0], a[2]));
    assert_eq!(order(&threads(&t)[&a[0]]), a);
}

#[test]
fn concurrent_acts_are_decided_by_depth_then_id() {
    let Two { mut t, a, b } = two();
    let s = t.add_lead(8, &[a[0], a[1]], split("S", false));
    let u = t.add_lead(9, &[a[0], a[1]], under(b[0], b[0]));
    assert_eq!(spot(&t, a[1]).0, if s > u { a[1] } else { b[0] });
    t.add_lead(9, &[a[0], a[1], s.min(u)], under(b[0], b[2]));
    assert_eq!(spot(&t, a[1]).1.parent, Some(b[2]));
}

#[test]
fn titles_of_notes_and_split_off_threads() {
    let Two { mut t, a, .. } = two();
    let ask = t.add(1, &[], ask("How?"));
    t.add_lead(9, &[ask, ask], retitle("So!"));
    t.add(1, &[a[0], a[0]], retitle("Tale"));
    let s = t.add_lead(9, &[a[0], a[1]], split("Apart", false));
    let title = |t: &Talk, id| threads(t)[&id].title.clone();
    assert_eq!(
        (title(&t, ask), title(&t, a[0]), title(&t, a[1])),
        ("How?".into(), "Tale".into(), "Apart".into())
    );
    assert_eq!(threads(&t)[&a[0]].retitled.as_ref().unwrap().by, member(1));
    let r = t.add(2, &[a[0], a[1], s], retitle("Further apart"));
    assert_eq!(title(&t, a[1]), "Further apart");
    let again = t.add_lead(9, &[a[0], a[1], s, r], split("Anew", false));
    assert_eq!(title(&t, a[1]), "Anew");
    t.add(1, &[a[0], a[1], again], retitle("by the author of another post"));
    assert_eq!(title(&t, a[1]), "Anew");
    t.add(1, &[a[0], a[0]], Body::Withdraw);
    assert_eq!(title(&t, a[0]), "");
}

#[test]
fn tags_are_set_one_by_one_in_any_case() {
    let mut t = Talk::default();
    let a = t.add(1, &[], ask("How?"));
    let r = t.reply(2, &[a], "so");
    let tags = |t: &Talk| threads(t)[&a].tags.clone();
    assert_eq!(tags(&t), ["t"]);
    let off = t.add_lead(9, &[a, a], tag("T", false));
    t.add(1, &[a, a], tag("Convoy", true));
    t.add(2, &[a, a], tag("spam", true));
    t.add_lead(9, &[a, r], tag("elsewhere", true));
    assert_eq!(tags(&t), ["Convoy"]);
    t.add(1, &[a, a, off], tag("t", true));
    assert_eq!(tags(&t), ["t", "Convoy"]);
    // What is split off keeps the tags that the author gave, and takes its own.
    t.add_lead(9, &[a, r], split("Apart", false));
    assert_eq!(threads(&t)[&r].tags, ["t", "elsewhere"]);
}

#[test]
fn hide_pin_and_feature_are_taken_back() {
    let Two { mut t, a, .. } = two();
    let h = t.add_lead(9, &[a[0], a[1]], hide(true));
    let pin = |on| Body::Pin(Pin { on, reason: None });
    let feature = |on| Body::Feature(Feature { on, reason: Some("good".into()) });
    let p = t.add_lead(9, &[a[0], a[0]], pin(true));
    let f = t.add_lead(9, &[a[0], a[0]], feature(true));
    t.add_lead(9, &[a[0], a[2]], feature(true));
    let th = &threads(&t)[&a[0]];
    let hidden = th.posts[1].hidden.as_ref().unwrap();
    assert_eq!((hidden.entry, hidden.reason.as_deref()), (h, Some("rude")));
    assert_eq!(th.posts[1].text, PostText::Current("answer".into()), "a reader may look anyway");
    assert_eq!(th.pinned.as_ref().map(|d| d.entry), Some(p));
    assert_eq!(th.featured().map(|d| d.entry), Some(f));
    assert!(th.posts[2].featured.is_some());
    t.add_lead(8, &[a[0], a[1], h], hide(false));
    t.add_lead(8, &[a[0], a[0], p], pin(false));
    t.add_lead(8, &[a[0], a[0], f], feature(false));
    let th = &threads(&t)[&a[0]];
    assert_eq!((&th.posts[1].hidden, &th.pinned, th.featured()), (&None, &None, None));
    assert_eq!(th.acts.len(), 7);
}

#[test]
fn every_part_is_in_the_hash() {
    let Two { t, a, b } = two();
    let met = |t: &mut Talk| {
        let Body::Post(p) = &mut t.entries[1].body else { panic!() };
        p.met = Some(vec![[7; 32].into()]);
    };
    let with = |f: &dyn Fn(&mut Talk)| {
        let mut t = t.clone();
        f(&mut t);
        threads(&t)[&a[0]].hash
    };
    let mut hashes = vec![
        with(&|_| ()),
        with(&met),
        with(&|t| _ = t.add_lead(9, &[a[0], a[1]], hide(true))),
        with(&|t| _ = t.add_lead(9, &[a[0], a[2]], hide(true))),
        with(&|t| _ = t.add_lead(9, &[a[0], a[0]], tag("x", true))),
        with(&|t| _ = t.add_lead(9, &[a[0], a[0]], retitle("x"))),
        with(&|t| _ = t.add_lead(9, &[a[0], a[1]], split("x", true))),
        with(&|t| _ = t.add_lead(9, &[a[0], a[1]], back())),
        with(&|t| _ = t.add_lead(9, &[b[0], b[0]], under(a[0], a[0]))),
        with(&|t| _ = t.add_lead(9, &[b[0], b[1]], under(a[0], a[0]))),
        with(&|t| _ = t.add_lead(9, &[a[0], a[0]], Body::Pin(Pin { on: true, reason: None }))),
    ];
    let all = hashes.len();
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), all);
}

mod what_to_name {
    use super::*;

    fn refs(
        t: &Talk,
        by: u8,
        role: Role,
        on: EntryId,
        body: &Body,
    ) -> Result<Vec<EntryId>, RefsError> {
        refs_for(&t.entries, &member(by), role, &on, body)
    }

    #[test]
    fn acts_name_what_stands() {
        let Two { mut t, a, b } = two();
        let lead = |t: &Talk, on, body: &Body| refs(t, 9, Role::Lead, on, body);
        let plain = |t: &Talk, on, body: &Body| refs(t, 1, Role::Member, on, body);
        assert_eq!(plain(&t, a[1], &split("x", false)), Err(RefsError::NotLead));
        assert_eq!(plain(&t, a[0], &hide(true)), Err(RefsError::NotLead));
        assert_eq!(plain(&t, b[0], &retitle("x")), Err(RefsError::NotEntitled));
        assert_eq!(plain(&t, a[0], &retitle("x")), Ok(vec![a[0], a[0]]));
        assert_eq!(lead(&t, a[0], &split("x", false)), Err(RefsError::IsThread));
        assert_eq!(lead(&t, a[1], &retitle("x")), Err(RefsError::NoThread));
        assert_eq!(lead(&t, a[1], &tag("x", true)), Err(RefsError::NoThread));
        assert_eq!(lead(&t, a[1], &back()), Err(RefsError::NotMoved));
        assert_eq!(lead(&t, a[1], &under(b[0], id_of(99))), Err(RefsError::NoTarget));
        assert_eq!(lead(&t, a[1], &under(a[0], b[0])), Err(RefsError::NoTarget));
        assert_eq!(lead(&t, a[1], &under(a[0], a[2])), Err(RefsError::Loop));
        assert_eq!(lead(&t, a[1], &under(a[0], a[1])), Err(RefsError::Loop));
        assert_eq!(place_of(&t.entries, &b[2]), Some((b[0], b[2])));
        assert_eq!(place_of(&t.entries, &b[0]), Some((b[0], b[0])));
        assert_eq!(place_of(&t.entries, &id_of(99)), None);
        assert_eq!(lead(&t, a[1], &under(b[0], b[2])), Ok(vec![a[0], a[1]]));
        let s = t.add_lead(9, &[a[0], a[1]], split("S", true));
        assert_eq!(lead(&t, a[1], &split("x", false)), Err(RefsError::IsThread));
        assert_eq!(lead(&t, a[1], &back()), Ok(vec![a[0], a[1], s]));
        assert_eq!(lead(&t, a[1], &retitle("x")), Ok(vec![a[0], a[1], s]));
        let r = t.add(2, &[a[0], a[1], s], retitle("x"));
        assert_eq!(lead(&t, a[1], &under(b[0], b[0])), Ok(vec![a[0], a[1], s]));
        // Replies and marks name the thread in which the post was written.
        assert_eq!(plain(&t, a[1], &post("x", None)), Ok(vec![a[0], a[1]]));
        assert_eq!(plain(&t, a[2], &post("x", None)), Ok(vec![a[0], a[2]]));
        let closed = state(ThreadState::Closed);
        assert_eq!(lead(&t, a[2], &closed), Ok(vec![a[0], a[1]]));
        assert_eq!(plain(&t, a[2], &closed), Err(RefsError::NotEntitled));
        assert_eq!(plain(&t, a[1], &answer(true)), Err(RefsError::Root));
        let ask = t.add(1, &[], ask("How?"));
        assert_eq!(lead(&t, ask, &retitle("x")), Err(RefsError::QuestionPage));
        t.add_lead(9, &[a[0], a[1], s], back());
        assert_eq!(lead(&t, a[1], &split("y", false)).unwrap()[3..], [r]);
        assert_eq!(lead(&t, a[1], &back()), Err(RefsError::NotMoved));
    }
}

/// Where a post is shown, found by taking acts one by one and trying all that could close a loop.
fn brute(t: &Talk) -> BTreeMap<EntryId, Option<EntryId>> {
    let mut plain = t.clone();
    plain.entries.retain(|e| !matches!(e.body, Body::ThreadOp(_)));
    let mut home: BTreeMap<EntryId, (Vec<EntryId>, Option<EntryId>)> = BTreeMap::new();
    let mut thread_of: BTreeMap<EntryId, EntryId> = BTreeMap::new();
    let mut of_copy: BTreeMap<EntryId, EntryId> = BTreeMap::new();
    for th in fold_threads(&plain.entries) {
        for p in &th.posts {
            let copies: Vec<EntryId> = p.aliases.iter().copied().chain([p.id]).collect();
            for c in &copies {
                of_copy.insert(*c, p.id);
                thread_of.insert(*c, th.root);
            }
            home.insert(p.id, (copies, p.parent));
        }
    }
    let mut parent: BTreeMap<EntryId, Option<EntryId>> =
        home.iter().map(|(id, (_, p))| (*id, *p)).collect();
    let mut placed: BTreeMap<EntryId, Option<EntryId>> = BTreeMap::new();
    for (id, (copies, above)) in &home {
        let mut acts: Vec<&TalkEntry> = t
            .entries
            .iter()
            .filter(|e| e.role >= Role::Lead && e.refs.get(1).is_some_and(|p| copies.contains(p)))
            .filter(|e| thread_of.get(&e.refs[0]) == thread_of.get(id))
            .filter(|e| e.refs[0] == thread_of[id] || home[&thread_of[id]].0.contains(&e.refs[0]))
            .filter(|e| matches!(&e.body, Body::ThreadOp(op) if !matches!(op.act, ThreadAct::Retitle(_))))
            .collect();
        // Depth by definition, then what nothing names.
        acts.sort_by_key(|e| e.id);
        fn depth(e: &TalkEntry, all: &[&TalkEntry]) -> usize {
            let named = all.iter().filter(|o| e.refs[2..].contains(&o.id) && o.id != e.id);
            named.map(|o| depth(o, all) + 1).max().unwrap_or(0)
        }
        let free = acts
            .iter()
            .filter(|e| !acts.iter().any(|o| o.id != e.id && o.refs[2..].contains(&e.id)));
        let Some(act) = free.max_by_key(|e| (depth(e, &acts), e.id)) else { continue };
        let Body::ThreadOp(ThreadOp { act, .. }) = &act.body else { panic!() };
        match act {
            ThreadAct::Split(..) if above.is_some() => _ = placed.insert(*id, None),
            ThreadAct::Under(thread, post) => {
                let (thread, post) = (EntryId::new(**thread), EntryId::new(**post));
                let is_root = t.entries.iter().any(|e| e.id == thread && e.refs.is_empty());
                let inside =
                    thread_of.get(&thread).is_some_and(|x| Some(x) == thread_of.get(&post));
                let is_root =
                    is_root && thread_of.get(&thread).is_some_and(|r| home[r].0.contains(&thread));
                if inside && is_root {
                    placed.insert(*id, Some(of_copy[&post]));
                }
            }
            _ => {}
        }
    }
    parent.extend(placed.iter().map(|(id, p)| (*id, *p)));
    loop {
        // Every post that comes back to itself, and the smallest placed one of its loop.
        let mut send_home = BTreeSet::new();
        for id in parent.keys() {
            let (mut at, mut round) = (*id, vec![*id]);
            while let Some(p) = parent[&at].filter(|p| !round.contains(p)) {
                (at, _) = (p, round.push(p));
            }
            if parent[&at] == Some(*id) {
                send_home.extend(round.iter().filter(|p| placed.contains_key(*p)).min());
            }
        }
        if send_home.is_empty() {
            return parent;
        }
        for id in send_home {
            placed.remove(&id);
            parent.insert(id, home[&id].1);
        }
    }
}

/// Acts only, on a few threads: many loops.
fn busy() -> impl Strategy<Value = Talk> {
    let index = any::<prop::sample::Index>();
    let act = (index, any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..8u8);
    (0..4usize, prop::collection::vec(act, 0..40)).prop_map(|(threads, acts)| {
        let Two { mut t, a, b } = two();
        let mut posts: Vec<(EntryId, EntryId)> =
            a.iter().map(|p| (a[0], *p)).chain(b.iter().map(|p| (b[0], *p))).collect();
        for n in 0..threads {
            let root = t.add(n as u8, &[], note("more", None));
            posts.push((root, root));
        }
        let mut made: Vec<EntryId> = Vec::new();
        for (which, to, old, kind) in acts {
            let (thread, post) = *which.get(&posts);
            let (to, below) = *to.get(&posts);
            let mut refs = vec![thread, post];
            if kind % 2 == 0 && !made.is_empty() {
                refs.push(*old.get(&made));
            }
            let body = match kind {
                0..=4 => under(to, below),
                5 => split("x", false),
                6 => back(),
                _ => {
                    posts.push((thread, t.reply(2, &[thread, post], "more")));
                    continue;
                }
            };
            made.push(t.add_lead(9, &refs, body));
        }
        t
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn as_by_brute_force(t in busy()) {
        let mut shown = BTreeMap::new();
        for th in fold_threads(&t.entries) {
            for p in &th.posts {
                prop_assert!(shown.insert(p.id, p.parent).is_none());
            }
        }
        prop_assert_eq!(shown, brute(&t));
    }

    #[test]
    fn as_by_brute_force_in_mixed_talk(t in talk()) {
        let folded = fold_threads(&t.entries);
        let shown: BTreeMap<EntryId, Option<EntryId>> =
            folded.iter().flat_map(|t| &t.posts).map(|p| (p.id, p.parent)).collect();
        prop_assert_eq!(shown, brute(&t));
    }

    /// Whatever leads do, the same posts are there with the same words.
    #[test]
    fn acts_lose_nothing(t in talk()) {
        let mut plain = t.clone();
        plain.entries.retain(|e| !matches!(e.body, Body::ThreadOp(_) | Body::Hide(_) | Body::Tag(_)));
        let words = |entries: &[TalkEntry]| -> BTreeMap<EntryId, (PostText, Vec<EntryId>, usize)> {
            let threads = fold_threads(entries);
            let posts = threads.into_iter().flat_map(|t| t.posts);
            posts.map(|p| (p.id, (p.text, p.aliases, p.reactions.len()))).collect()
        };
        prop_assert_eq!(words(&t.entries), words(&plain.entries));
        // Every root that was merged is found by its id.
        let threads = fold_threads(&t.entries);
        for root in fold_threads(&plain.entries) {
            prop_assert_eq!(threads.iter().filter(|t| t.answers_to(&root.root)).count(), 1);
        }
    }

    #[test]
    fn an_act_that_may_be_written_is_in_force(t in talk(), which: prop::sample::Index, to: prop::sample::Index, kind in 0..8usize) {
        let target = which.get(&t.entries).id;
        let Some((thread, below)) = place_of(&t.entries, &to.get(&t.entries).id) else { return Ok(()) };
        let body = [
            split("new", true), under(thread, below), back(), retitle("new"), hide(true), tag("new", true),
            Body::Pin(Pin { on: true, reason: None }), Body::Feature(Feature { on: true, reason: None }),
        ][kind].clone();
        let Ok(refs) = refs_for(&t.entries, &member(9), Role::Lead, &target, &body) else { return Ok(()) };
        prop_assume!(refs.len() < crate::limits::MAX_REFS);
        let mut t = t;
        // Ids are hashes: nothing can name what is not written yet.
        let before = t.entries.clone();
        let id = t.add_lead(9, &refs, body.clone());
        prop_assume!(before.iter().all(|e| !e.refs.contains(&id)));
        let threads = fold_threads(&t.entries);
        let acts: Vec<&ActView> =
            threads.iter().flat_map(|t| &t.acts).filter(|a| a.entry == id).collect();
        prop_assert!(!acts.is_empty() && acts.len() <= 2);
        prop_assert!(acts.iter().all(|a| a.standing == ActStanding::InForce), "{:?}", acts);
        let (root, p) = spot(&t, target);
        match kind {
            0 => prop_assert_eq!(root, p.id),
            1 => prop_assert_eq!(spot(&t, below).1.id, p.parent.unwrap()),
            2 => prop_assert_eq!(p.moved, None),
            3 => prop_assert_eq!(threads.iter().find(|t| t.root == root).unwrap().title.as_str(), "new"),
            4 => prop_assert_eq!(p.hidden.unwrap().entry, id),
            5 => prop_assert!(threads.iter().find(|t| t.root == root).unwrap().tags.contains(&"new".to_string())),
            6 => prop_assert!(threads.iter().find(|t| t.root == root).unwrap().pinned.is_some()),
            _ => prop_assert_eq!(p.featured.unwrap().entry, id),
        }
    }
}
