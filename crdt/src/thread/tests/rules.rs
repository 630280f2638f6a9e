//! One test for each rule, happy and unhappy.

use super::super::*;
use super::testing::*;
use crate::payload::{Post, PostRole};

fn fold(t: &Talk) -> Thread {
    fold_thread(&t.entries).unwrap()
}

fn view(thread: &Thread, id: EntryId) -> &PostView {
    thread.posts.iter().find(|p| p.id == id || p.aliases.contains(&id)).unwrap()
}

fn text(p: &PostView) -> Option<&str> {
    match &p.text {
        PostText::Current(text) => Some(text),
        PostText::Withdrawn => None,
    }
}

fn order(thread: &Thread) -> Vec<EntryId> {
    thread.posts.iter().map(|p| p.id).collect()
}

#[test]
fn rule_1_a_root_opens_a_thread_and_others_name_it() {
    let mut t = Talk::default();
    let a = t.add(1, &[], ask("How?"));
    let other = t.add(1, &[], note("Else", None));
    let r = t.reply(2, &[a], "so");
    let elsewhere = t.reply(2, &[other], "there");
    let outcome = t.add(
        1,
        &[a, r],
        Body::Post(Post {
            role: PostRole::Outcome,
            text: "went well".into(),
            origin: None,
            met: None,
        }),
    );
    let mut threads = fold_threads(&t.entries);
    threads.sort_by_key(|t| t.kind);
    let [asked, noted] = &threads[..] else { panic!() };
    assert_eq!((asked.root, asked.kind, asked.title.as_str()), (a, ThreadKind::Ask, "How?"));
    assert_eq!((asked.author, asked.tags.clone()), (member(1), vec!["t".to_string()]));
    assert_eq!(asked.ask.as_ref().unwrap().need_by, Some(5));
    assert_eq!(order(asked), [a, r, outcome]);
    assert_eq!((noted.root, noted.kind, &noted.ask), (other, ThreadKind::Note, &None));
    assert_eq!(order(noted), [other, elsewhere]);

    let root = &asked.posts[0];
    assert_eq!((root.kind, root.parent, root.depth), (PostKind::Root, None, 0));
    assert_eq!(text(root), Some("the situation"));
    let p = view(asked, outcome);
    assert_eq!((p.kind, p.parent, p.depth, p.orphan), (PostKind::Outcome, Some(r), 2, false));
    assert_eq!(asked.last_activity, NOW + 4);

    // Without a root there is no thread; a root that names something is none.
    assert_eq!(fold_thread(&t.entries[2..]), None);
    let mut t = Talk::default();
    t.add(1, &[a], ask("How?"));
    assert_eq!(fold_thread(&t.entries), None);
}

mod rule_2_imports {
    use super::*;

    #[test]
    fn two_importers_make_one_thread() {
        let mut t = Talk::default();
        let x = t.add(1, &[], note("Old", origin("<1@x>", 1000)));
        let y = t.add(2, &[], note("Old", origin("<1@x>", 1000)));
        let rx = t.add(1, &[x], post("re", origin("<2@x>", 2000)));
        let ry = t.add(2, &[y], post("re", origin("<2@x>", 2000)));
        let below_x = t.reply(3, &[x, rx], "to x");
        let below_y = t.reply(3, &[y, ry], "to y");
        t.react(3, &[x, rx], true);
        t.react(4, &[y, ry], true);
        let threads = fold_threads(&t.entries);
        assert_eq!(threads.len(), 1);
        let th = &threads[0];
        assert_eq!((th.root, th.aliases.clone()), (x.min(y), vec![x.max(y)]));
        assert_eq!(th.posts.len(), 4);
        let re = &th.posts[1];
        assert_eq!((re.id, re.aliases.clone()), (rx.min(ry), vec![rx.max(ry)]));
        assert_eq!(re.author, if rx < ry { member(1) } else { member(2) });
        assert_eq!(re.origin.as_ref().unwrap().name, "old hand");
        assert_eq!(re.sort_millis, 2_000_000);
        assert_eq!(re.reactions[&Reaction::Thanks].len(), 2);
        assert_eq!(order(th)[2..], [below_x, below_y]);
        assert!(th.posts[2..].iter().all(|p| p.parent == Some(re.id) && p.depth == 2));
    }

    #[test]
    fn what_differs_stays_apart() {
        let base = || note("Old", origin("<1@x>", 1000));
        let Body::Note(n) = base() else { panic!() };
        let mut name = n.clone();
        name.origin.as_mut().unwrap().name = "another".into();
        let mut body = n.clone();
        body.text = "other".into();
        let mut title = n.clone();
        title.title = "Older".into();
        let mut date = n.clone();
        date.origin.as_mut().unwrap().plausible = 7;
        let key = |n| origin_key(&Body::Note(n));
        for other in [name, body, title] {
            assert_ne!(key(other), key(n.clone()));
        }
        assert_eq!(key(date), key(n.clone()), "the plausible date is the importer's guess");
        assert_ne!(origin_key(&post("text", origin("<1@x>", 0))), key(n));
        assert_eq!(origin_key(&note("Old", None)), None);
        assert_eq!(origin_key(&Body::Withdraw), None);
        // Lengths keep the fields apart.
        let split = |name: &str, id: &str| {
            let mut o = origin(id, 0).unwrap();
            o.name = name.into();
            origin_key(&post("x", Some(o)))
        };
        assert_ne!(split("ab", "c"), split("b", "ca"));
    }

    #[test]
    fn copies_of_one_post_in_two_threads_stay_two() {
        let mut t = Talk::default();
        let a = t.add(1, &[], note("A", None));
        let b = t.add(1, &[], note("B", None));
        t.add(1, &[a], post("re", origin("<2@x>", 2000)));
        t.add(1, &[b], post("re", origin("<2@x>", 2000)));
        let threads = fold_threads(&t.entries);
        assert!(threads.iter().all(|t| t.posts.len() == 2 && t.posts[1].aliases.is_empty()));
    }

    #[test]
    fn absurd_dates_do_not_break_the_order() {
        let mut t = Talk::default();
        let a = t.add(1, &[], note("A", origin("<0@x>", i64::MIN)));
        let future = t.add(1, &[a], post("re", origin("<1@x>", i64::MAX)));
        let past = t.add(1, &[a], post("re", origin("<2@x>", -58_979_923_200)));
        let clock = t.reply(1, &[a], "absurd clock");
        t.last().time = Hlc(u64::MAX);
        let th = fold(&t);
        assert_eq!(th.posts[0].sort_millis, 0);
        assert_eq!(view(&th, past).sort_millis, 0);
        assert_eq!(view(&th, future).sort_millis, crate::clock::MAX_MILLIS);
        assert_eq!(order(&th), [a, past, future, clock]);
        assert_eq!(th.last_activity, crate::clock::MAX_MILLIS);
    }
}

mod rule_3_edits {
    use super::*;

    #[test]
    fn the_author_edits_and_history_stays() {
        let mut t = Talk::default();
        let a = t.add(1, &[], ask("How?"));
        let r = t.reply(2, &[a], "first");
        let e1 = t.edit(2, &[a, r], "second");
        let e2 = t.edit(2, &[a, r, e1], "third");
        let p = fold(&t);
        let p = view(&p, r);
        assert_eq!(text(p), Some("third"));
        assert_eq!(p.original.as_deref(), Some("first"));
        let history: Vec<_> = p.edits.iter().map(|e| (e.id, e.text.as_str(), e.current)).collect();
        assert_eq!(history, [(e1, "second", false), (e2, "third", true)]);
        // A note's text is edited alike; an ask's stands on its question page.
        let before = fold(&t);
        t.edit(1, &[a, a], "new situation");
        assert_eq!(fold(&t), before);
        let mut t = Talk::default();
        let n = t.add(1, &[], note("Tale", None));
        t.edit(1, &[n, n], "new text");
        assert_eq!(text(&fold(&t).posts[0]), Some("new text"));
    }

    #[test]
    fn concurrent_edits_are_decided_by_depth_then_id_and_all_shown() {
        let mut t = Talk::default();
        let a = t.add(1, &[], ask("How?"));
        let r = t.reply(2, &[a], "first");
        let e1 = t.edit(2, &[a, r], "one");
        let e2 = t.edit(2, &[a, r], "two");
        let th = fold(&t);
        let p = view(&th, r);
        assert_eq!(text(p), Some(if e1 > e2 { "one" } else { "two" }));
        assert_eq!(p.edits.len(), 2);
        // A deeper line wins, whatever its id and its clock.
        let low = e1.min(e2);
        t.edit(2, &[a, r, low], "deep");
        t.last().time = Hlc(0);
        assert_eq!(text(view(&fold(&t), r)), Some("deep"));
        let all = [e1, e2];
        t.edit(2, &[a, r, all[0], all[1]], "merged");
        t.last().time = Hlc(1);
        let th = fold(&t);
        // Not superseding "deep" it is as deep, and the greater id decides.
        let p = view(&th, r);
        let current = p.edits.iter().filter(|e| e.current).count();
        assert_eq!((current, p.edits.len()), (1, 4));
    }

    #[test]
    fn nobody_edits_for_somebody_else() {
        let mut t = Talk::default();
        let a = t.add(1, &[], ask("How?"));
        let r = t.reply(2, &[a], "mine");
        let before = fold(&t);
        let own = t.edit(2, &[a, r], "still mine");
        let after = fold(&t);
        t.edit(3, &[a, r, own], "yours");
        t.add_lead(3, &[a, r, own], Body::Edit(crate::payload::Edit { text: "led".into() }));
        t.edit(2, &[a], "names no post");
        t.edit(2, &[a, own], "an edit of an edit");
        t.edit(2, &[a, id_of(999)], "of nothing");
        assert_eq!(fold(&t), after);
        assert_ne!(before.hash, after.hash);
    }

    #[test]
    fn an_import_shows_the_original_until_every_importer_edited() {
        let mut t = Talk::default();
        let a = t.add(1, &[], note("A", None));
        let x = t.add(1, &[a], post("re", origin("<2@x>", 2000)));
        let y = t.add(2, &[a], post("re", origin("<2@x>", 2000)));
        t.edit(2, &[a, y], "vandalised");
        t.edit(2, &[a, x], "not his copy");
        let th = fold(&t);
        let p = view(&th, x);
        assert_eq!(text(p), Some("re"));
        let edits: Vec<_> = p.edits.iter().map(|e| (e.author, e.current)).collect();
        assert_eq!(edits, [(member(2), false)]);
        let e = t.edit(1, &[a, x], "re, mended");
        t.edit(1, &[a, x, e], "re, mended twice");
        let th = fold(&t);
        assert_eq!(text(view(&th, y)), Some("re, mended twice"));
        assert_eq!(view(&th, y).original.as_deref(), Some("re"));
    }
}

mod rule_4_withdrawals {
    use super::*;

    #[test]
    fn a_withdrawn_post_keeps_its_place_and_nothing_else() {
        let mut t = Talk::default();
        let a = t.add(1, &[], ask("How?"));
        let r = t.reply(2, &[a], "regretted");
        t.edit(2, &[a, r], "more regretted");
        let below = t.reply(3, &[a, r], "indeed");
        let by_other = Talk {
            entries: [t.entries.clone(), {
                let mut w = t.clone();
                w.add(3, &[a, r], Body::Withdraw);
                vec![w.entries.pop().unwrap()]
            }]
            .concat(),
        };
        assert_eq!(fold(&by_other), fold(&t), "only the author withdraws");
        t.add(2, &[a, r], Body::Withdraw);
        let th = fold(&t);
        let p = view(&th, r);
        assert_eq!((text(p), &p.original, p.edits.len()), (None, &None, 0));
        assert_eq!(view(&th, below).parent, Some(r));
        let all = format!("{th:?}");
        assert!(!all.contains("regretted"));
    }

    #[test]
    fn a_dropped_payload_shows_the_same() {
        let mut t = Talk::default();
        let a = t.add(1, &[], ask("How?"));
        let b = t.add(2, &[], note("Old", origin("<1@x>", 1000)));
        let c = t.add(3, &[], note("Old", origin("<1@x>", 1000)));
        let r = t.reply(2, &[a], "regretted");
        let e = t.edit(2, &[a, r], "more regretted");
        t.reply(3, &[b, b], "below");
        t.add(2, &[a, r], Body::Withdraw);
        t.add(1, &[a, a], Body::Withdraw);
        t.add(2, &[b, b], Body::Withdraw);
        let mut dropped = t.clone();
        for entry in &mut dropped.entries {
            if [a, b, r, e].contains(&entry.id) {
                entry.body = Body::Unknown(0);
            }
        }
        let threads = fold_threads(&t.entries);
        assert_eq!(fold_threads(&dropped.entries), threads);
        assert_eq!(threads.len(), 3);
        let find = |id| threads.iter().find(|t: &&Thread| t.root == id).unwrap();
        assert_eq!((find(a).title.as_str(), &find(a).ask, find(a).posts.len()), ("", &None, 2));
        assert_eq!(find(a).last_activity, NOW, "nothing is left but the root's time");
        assert_eq!((find(b).posts.len(), find(b).kind), (2, ThreadKind::Note));
        assert_eq!((find(c).title.as_str(), find(c).aliases.len()), ("Old", 0));
        // What was dropped without a withdrawal is not there at all.
        let mut unexplained = t.clone();
        unexplained.entries.retain(|e| e.body != Body::Withdraw);
        for entry in unexplained.entries.iter_mut().filter(|e| [a, r].contains(&e.id)) {
            entry.body = Body::Unknown(0);
        }
        assert!(fold_threads(&unexplained.entries).iter().all(|t| t.root != a));
    }

    #[test]
    fn one_importer_withdraws_one_copy() {
        let mut t = Talk::default();
        let a = t.add(1, &[], note("A", None));
        let x = t.add(1, &[a], post("re", origin("<2@x>", 2000)));
        let y = t.add(2, &[a], post("re", origin("<2@x>", 2000)));
        t.add(2, &[a, y], Body::Withdraw);
        let th = fold(&t);
        assert_eq!(th.posts.len(), 3);
        assert_eq!(text(view(&th, x)), Some("re"));
        assert_eq!((text(view(&th, y)), &view(&th, y).origin), (None, &None));
    }

    #[test]
    fn a_withdrawal_names_the_thread_of_its_post() {
        let mut t = Talk::default();
        let a = t.add(1, &[], note("A", None));
        let b = t.add(1, &[], note("B", None));
        let r = t.reply(2, &[a], "text");
        let before = fold_threads(&t.entries);
        t.add(2, &[b, r], Body::Withdraw);
        t.add(2, &[r, r], Body::Withdraw);
        t.add(2, &[a], Body::Withdraw);
        t.add(2, &[], Body::Withdraw);
        t.add(2, &[a, id_of(77)], Body::Withdraw);
        assert_eq!(fold_threads(&t.entries), before);
    }

    #[test]
    fn fold_thread_prefers_what_is_still_there() {
        let mut t = Talk::default();
        let x = t.add(1, &[], note("Old", origin("<1@x>", 1000)));
        let y = t.add(2, &[], note("Old", origin("<1@x>", 1000)));
        t.add(1, &[x, x], Body::Withdraw);
        assert_eq!(fold(&t).root, y);
        t.add(2, &[y, y], Body::Withdraw);
        assert_eq!(fold(&t).root, x.min(y));
    }
}

mod rules_5_and_6_tree {
    use super::*;

    #[test]
    fn parents_first_then_time_then_id() {
        let mut t = Talk::default();
        let a = t.add(1, &[], ask("How?"));
        let late = t.reply(2, &[a], "late");
        t.last().time = Hlc::from_millis(NOW + 900);
        let early = t.reply(2, &[a], "early");
        let child = t.reply(2, &[a, late], "a child older than its parent");
        t.last().time = Hlc(0);
        let twin1 = t.reply(2, &[a, early], "twin");
        let twin2 = t.reply(3, &[a, early], "twin");
        let n = t.entries.len();
        t.entries[n - 2].time = t.entries[n - 1].time;
        let th = fold(&t);
        assert_eq!(order(&th), [a, early, twin1.min(twin2), twin1.max(twin2), late, child]);
        assert_eq!(th.posts.iter().map(|p| p.depth).collect::<Vec<_>>(), [0, 1, 2, 2, 1, 2]);
    }

    #[test]
    fn the_counter_of_the_clock_orders_within_a_millisecond() {
        for (one, two) in [(1, 2), (2, 1)] {
            let mut t = Talk::default();
            let a = t.add(1, &[], ask("How?"));
            let x = t.reply(2, &[a], "x");
            t.last().time = Hlc(Hlc::from_millis(NOW).0 + one);
            let y = t.reply(2, &[a], "y");
            t.last().time = Hlc(Hlc::from_millis(NOW).0 + two);
            let want = if one < two { [a, x, y] } else { [a, y, x] };
            assert_eq!(order(&fold(&t)), want);
        }
    }

    #[test]
    fn orphans_hang_below_the_root_until_the_parent_comes() {
        let mut t = Talk::default();
        let a = t.add(1, &[], ask("How?"));
        let r = t.reply(2, &[a], "parent");
        let c = t.reply(3, &[a, r], "child");
        let whole = fold(&t);
        let parent = t.entries.remove(1);
        let th = fold(&t);
        let p = view(&th, c);
        assert_eq!((p.parent, p.depth, p.orphan), (Some(a), 1, true));
        assert_eq!(p.wanted_parent, Some(r));
        t.entries.push(parent);
        assert_eq!(fold(&t), whole);
        assert_eq!(view(&whole, c).wanted_parent, None);
    }

    #[test]
    fn a_parent_elsewhere_makes_an_orphan() {
        let mut t = Talk::default();
        let a = t.add(1, &[], ask("How?"));
        let b = t.add(1, &[], ask("Else?"));
        let there = t.reply(2, &[b], "there");
        let e = t.edit(1, &[a, a], "an edit is no parent");
        for wrong in [there, b, e] {
            t.reply(2, &[a, wrong], "lost");
        }
        let threads = fold_threads(&t.entries);
        let th = threads.iter().find(|t| t.root == a).unwrap();
        assert_eq!(th.posts.len(), 4);
        assert!(th.posts[1..].iter().all(|p| p.orphan && p.parent == Some(a) && p.depth == 1));
    }

    #[test]
    fn loops_lose_their_smallest_post_to_the_root() {
        let mut t = Talk::default();
        let a = t.add(1, &[], ask("How?"));
        let (x, y, z) = (id_of(1), id_of(2), id_of(3));
        t.reply(2, &[a, z], "x");
        t.reply(2, &[a, x], "y");
        t.reply(2, &[a, y], "z");
        let itself = id_of(4);
        t.reply(2, &[a, itself], "itself");
        let tail = t.reply(2, &[a, z], "below the loop");
        let th = fold(&t);
        assert_eq!(th.posts.len(), 6);
        let smallest = x.min(y).min(z);
        for id in [x, y, z] {
            assert_eq!(view(&th, id).orphan, id == smallest);
        }
        assert_eq!(view(&th, smallest).parent, Some(a));
        assert_eq!(view(&th, tail).parent, Some(z));
        assert!(view(&th, itself).orphan);
    }

    #[test]
    fn a_copy_that_answers_its_own_answer_breaks_nothing() {
        let mut t = Talk::default();
        let a = t.add(1, &[], note("A", None));
        let x = t.add(1, &[a], post("re", origin("<2@x>", 2000)));
        let child = t.reply(3, &[a, x], "child");
        for _ in 0..8 {
            t.add(2, &[a, child], post("re", origin("<2@x>", 2000)));
        }
        let th = fold(&t);
        assert_eq!(th.posts.len(), 3);
        assert_eq!(view(&th, x).aliases.len(), 8);
        // A copy that names another copy as its parent is not its own parent.
        let mut t = Talk::default();
        let a = t.add(1, &[], note("A", None));
        let x = t.add(1, &[a], post("re", origin("<2@x>", 2000)));
        t.add(2, &[a, x], post("re", origin("<2@x>", 2000)));
        let th = fold(&t);
        assert_eq!((th.posts.len(), view(&th, x).orphan), (2, false));
    }

    #[test]
    fn a_hundred_thousand_answers_in_a_line_and_in_a_row() {
        for chain in [true, false] {
            let mut t = Talk::default();
            let a = t.add(1, &[], note("A", None));
            let mut last = a;
            for _ in 0..100_000 {
                last = t.reply(2, &[a, if chain { last } else { a }], "x");
            }
            let th = fold(&t);
            assert_eq!(th.posts.len(), 100_001);
            let depth = th.posts.last().unwrap().depth;
            assert_eq!(depth, if chain { u16::MAX } else { 1 });
            assert_eq!(th.posts.last().unwrap().id, last);
        }
    }
}

#[test]
fn rule_7_reactions_are_an_observed_remove_set() {
    let mut t = Talk::default();
    let a = t.add(1, &[], ask("How?"));
    let r = t.reply(2, &[a], "so");
    let thanks = |t: &Talk| {
        let th = fold(t);
        view(&th, r).reactions.get(&Reaction::Thanks).cloned().unwrap_or_default()
    };
    let one = t.react(1, &[a, r], true);
    let two = t.react(1, &[a, r], true);
    t.react(3, &[a, r], true);
    assert_eq!(thanks(&t), [member(1), member(3)].into());
    t.react(1, &[a, r], false);
    t.react(1, &[a, r, one], false);
    assert_eq!(thanks(&t).len(), 2, "the second one was not seen by who took back");
    t.react(3, &[a, r, two], false);
    let mut helped = t.clone();
    helped.add(
        1,
        &[a, r, two],
        Body::React(crate::payload::React { reaction: Reaction::Helped, on: false }),
    );
    assert_eq!(thanks(&helped).len(), 2, "neither another member nor another reaction");
    t.react(1, &[a, r, two], false);
    assert_eq!(thanks(&t), [member(3)].into());
    // Back again.
    t.react(1, &[a, r], true);
    assert_eq!(thanks(&t).len(), 2);
    t.react(5, &[a, id_of(999)], true);
    t.react(5, &[a], true);
    assert_eq!(thanks(&t).len(), 2);
}

mod rules_8_and_9_marks {
    use super::*;
    use crate::payload::ThreadState::{Answered, Closed, Open, Working};

    #[test]
    fn the_asker_and_leads_set_the_state_and_anyone_says_working() {
        let mut t = Talk::default();
        let a = t.add(1, &[], ask("How?"));
        let now = |t: &Talk| fold(t).state;
        assert_eq!((now(&t), fold(&t).state_mark), (Open, None));
        t.add(3, &[a, a], state(Answered));
        t.add(3, &[a, a], state(Closed));
        assert_eq!(now(&t), Open, "not for a member to say");
        let working = t.add(3, &[a, a], state(Working));
        assert_eq!((now(&t), fold(&t).state_mark), (Working, Some(working)));
        let answered = t.add(1, &[a, a, working], state(Answered));
        assert_eq!(now(&t), Answered);
        t.add(3, &[a, a, answered], state(Working));
        t.add(3, &[a, a], state(Working));
        assert_eq!((now(&t), fold(&t).state_mark), (Answered, Some(answered)));
        let reopened = t.add_lead(4, &[a, a, answered], state(Open));
        t.add(3, &[a, a, reopened], state(Working));
        assert_eq!(now(&t), Working, "on an open ask, anyone may start");
        t.add_lead(4, &[a, id_of(1)], state(Closed));
        t.add_lead(4, &[a], state(Closed));
        assert_eq!(now(&t), Working, "a state is the thread's");
    }

    #[test]
    fn concurrent_states_are_decided_by_depth_then_id() {
        let mut t = Talk::default();
        let a = t.add(1, &[], ask("How?"));
        let one = t.add(1, &[a, a], state(Answered));
        let two = t.add_lead(4, &[a, a], state(Closed));
        assert_eq!(fold(&t).state_mark, Some(one.max(two)));
        let deep = t.add(1, &[a, a, one.min(two)], state(Open));
        assert_eq!(fold(&t).state_mark, Some(deep));
    }

    #[test]
    fn working_does_not_win_against_an_answer_by_being_deeper() {
        let mut t = Talk::default();
        let a = t.add(1, &[], ask("How?"));
        let mut working = t.add(3, &[a, a], state(Working));
        for _ in 0..3 {
            working = t.add(3, &[a, a, working], state(Working));
        }
        let answered = t.add(1, &[a, a], state(Answered));
        assert_eq!(fold(&t).state_mark, Some(answered));
    }

    #[test]
    fn part_of_the_answer() {
        let mut t = Talk::default();
        let a = t.add(1, &[], ask("How?"));
        let r = t.reply(2, &[a], "so");
        let part = |t: &Talk| view(&fold(t), r).part_of_answer;
        t.add(3, &[a, r], answer(true));
        t.add(2, &[a, r], answer(true));
        assert!(!part(&t), "neither a member nor the post's author says so");
        let yes = t.add(1, &[a, r], answer(true));
        assert!(part(&t));
        t.add(3, &[a, r, yes], answer(false));
        assert!(part(&t));
        let no = t.add_lead(4, &[a, r, yes], answer(false));
        assert!(!part(&t));
        t.add_lead(4, &[a, r, no], answer(true));
        assert!(part(&t));
        t.add(1, &[a, a], answer(true));
        assert!(!fold(&t).posts[0].part_of_answer, "a question is no answer");
    }
}

#[test]
fn rule_10_the_hash_covers_what_is_seen() {
    let mut t = Talk::default();
    let a = t.add(1, &[], ask("How?"));
    let r = t.reply(2, &[a], "so");
    let mut hashes = vec![fold(&t).hash];
    let e = t.edit(2, &[a, r], "so");
    hashes.push(fold(&t).hash);
    t.react(3, &[a, r], true);
    hashes.push(fold(&t).hash);
    t.add(1, &[a, r], answer(true));
    hashes.push(fold(&t).hash);
    t.add(1, &[a, a], state(ThreadState::Open));
    hashes.push(fold(&t).hash);
    t.edit(2, &[a, r, e], "so!");
    hashes.push(fold(&t).hash);
    t.reply(4, &[a, id_of(99)], "orphan");
    hashes.push(fold(&t).hash);
    t.add(2, &[a, r], Body::Withdraw);
    hashes.push(fold(&t).hash);
    t.entries[0].body = ask("How!");
    hashes.push(fold(&t).hash);
    t.entries[1].time = Hlc(9);
    hashes.push(fold(&t).hash);
    let unique: BTreeSet<_> = hashes.iter().collect();
    assert_eq!(unique.len(), hashes.len());
    let unseen = t.edit(7, &[a, r], "not seen");
    assert_eq!(Some(&fold(&t).hash), hashes.last());
    t.react(7, &[a, unseen], true);
    assert_eq!(Some(&fold(&t).hash), hashes.last());
}

#[test]
fn golden_hash() {
    let mut t = Talk::default();
    let a = t.add(1, &[], ask("How?"));
    let x = t.add(1, &[a], post("re", origin("<2@x>", 2000)));
    t.edit(1, &[a, x], "re!");
    t.react(3, &[a, x], true);
    t.add(1, &[a, x], answer(true));
    assert_eq!(
        crate::id::base32(&fold(&t).hash)[..16],
        *"373stbexj1mgq26k",
        "nodes of both versions would never agree on their state"
    );
}
