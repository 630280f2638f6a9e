//! Laws over random conversations: imports, edits, marks, reactions, withdrawals, and refs to
//! anything.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::super::*;
use super::testing::*;

#[derive(Debug, Clone)]
struct Step {
    kind: u8,
    by: u8,
    lead: bool,
    refs: Vec<prop::sample::Index>,
    aimed: bool,
    n: u8,
}

fn step() -> impl Strategy<Value = Step> {
    let refs = prop::collection::vec(any::<prop::sample::Index>(), 1..5);
    (any::<u8>(), 0..4u8, any::<bool>(), refs, any::<bool>(), any::<u8>())
        .prop_map(|(kind, by, lead, refs, aimed, n)| Step { kind, by, lead, refs, aimed, n })
}

/// Entries of a few threads, some imported twice.
pub(super) fn talk() -> impl Strategy<Value = Talk> {
    prop::collection::vec(step(), 0..60).prop_map(|steps| {
        let mut t = Talk::default();
        t.add(0, &[], ask("one"));
        t.add(1, &[], note("old", origin("<1@x>", 1000)));
        t.add(2, &[], note("old", origin("<1@x>", 1000)));
        for s in steps {
            let ids: Vec<EntryId> = (0..t.entries.len() as u64 + 3).map(id_of).collect();
            let mut refs: Vec<EntryId> = s.refs.iter().map(|r| *r.get(&ids)).collect();
            let mut by = s.by;
            if s.aimed {
                // About a post, in its own thread, by its author, superseding what went before.
                let target = s.refs[0].get(&t.entries).clone();
                let thread = target.refs.first().copied().unwrap_or(target.id);
                by = target.member.as_bytes()[0];
                let about: Vec<EntryId> = t
                    .entries
                    .iter()
                    .filter(|e| e.refs.get(1) == Some(&target.id))
                    .map(|e| e.id)
                    .take(usize::from(s.n % 4))
                    .collect();
                refs = vec![thread, target.id];
                refs.extend(about);
            }
            let other = s.refs[s.refs.len() - 1].get(&t.entries);
            let (home, other) = (other.refs.first().copied().unwrap_or(other.id), other.id);
            let body = match s.kind % 22 {
                16 | 17 => under(home, other),
                18 => split(["x", "y"][usize::from(s.n % 2)], s.n % 3 == 0),
                19 => {
                    if s.n % 2 == 0 {
                        back()
                    } else {
                        retitle("z")
                    }
                }
                20 => hide(s.n % 3 > 0),
                21 => tag(["T", "t", "u"][usize::from(s.n % 3)], s.n % 2 == 0),
                0..=4 => post("text", None),
                5 | 6 => post(["a", "b"][usize::from(s.n % 2)], origin("<2@x>", i64::from(s.n))),
                7..=9 => Body::Edit(crate::payload::Edit { text: format!("edit {}", s.n % 3) }),
                10 | 11 => Body::React(crate::payload::React {
                    reaction: Reaction::ALL[usize::from(s.n % 3)],
                    on: s.n % 4 < 2,
                }),
                12 => state(ThreadState::ALL[usize::from(s.n % 4)]),
                13 => answer(s.n % 2 == 0),
                14 => Body::Withdraw,
                _ => {
                    refs.clear();
                    note(["old", "new"][usize::from(s.n % 2)], origin("<1@x>", 5))
                }
            };
            t.add(by, &refs, body);
            if s.lead {
                t.last().role = Role::Lead;
            }
            t.last().time = Hlc::from_millis(NOW + u64::from(s.n % 8));
        }
        t
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn any_order_any_duplicates_any_parts(t in talk(), seed: u8, cut in any::<prop::sample::Index>()) {
        let want = fold_threads(&t.entries);
        let mut shuffled = t.entries.clone();
        shuffled.sort_by_key(|e| *blake3::keyed_hash(&[seed; 32], e.id.as_bytes()).as_bytes());
        let at = cut.index(shuffled.len());
        let union: Vec<TalkEntry> = [&shuffled[at / 2..], &shuffled[..at]].concat();
        prop_assert_eq!(fold_threads(&union), want);
    }

    #[test]
    fn every_post_is_shown_once_below_its_parent(t in talk()) {
        let threads = fold_threads(&t.entries);
        let mut shown = BTreeSet::new();
        for thread in &threads {
            let mut seen = BTreeMap::new();
            for (place, p) in thread.posts.iter().enumerate() {
                prop_assert!(p.aliases.iter().all(|a| *a > p.id));
                for id in p.aliases.iter().chain([&p.id]) {
                    prop_assert!(shown.insert(*id));
                }
                prop_assert_eq!(p.parent.is_none(), place == 0);
                if let Some(parent) = p.parent {
                    prop_assert_eq!(seen.get(&parent), Some(&(p.depth - 1)));
                }
                prop_assert!(p.edits.iter().filter(|e| e.current).count() <= 1);
                prop_assert!(p.edits.is_empty() == p.original.is_none());
                seen.insert(p.id, p.depth);
            }
        }
        // Every post of a thread that is here.
        let roots: BTreeSet<EntryId> =
            t.entries.iter().filter(|e| e.refs.is_empty()).map(|e| e.id).collect();
        for e in &t.entries {
            let posted = matches!(e.body, Body::Post(_)) && e.refs.first().is_some_and(|t| roots.contains(t));
            let opened = matches!(e.body, Body::Ask(_) | Body::Note(_)) && e.refs.is_empty();
            if posted || opened {
                prop_assert!(shown.contains(&e.id));
            } else if shown.contains(&e.id) {
                prop_assert!(matches!(e.body, Body::Edit(_)), "a withdrawn edit");
            }
        }
    }

    /// A store folds one group of roots at a time, with what names one of them: copies, and what an
    /// act of a lead connects.
    #[test]
    fn folding_group_by_group_gives_the_same(t in talk()) {
        let mut group: BTreeMap<[u8; 32], [u8; 32]> = BTreeMap::new();
        let find = |group: &BTreeMap<[u8; 32], [u8; 32]>, mut key: [u8; 32]| {
            while let Some(next) = group.get(&key) {
                key = *next;
            }
            key
        };
        let copies: BTreeMap<EntryId, [u8; 32]> =
            t.entries.iter().filter_map(|e| Some((e.id, origin_key(&e.body)?))).collect();
        let of_id = |id: &EntryId| copies.get(id).copied().unwrap_or(*id.as_bytes());
        for e in t.entries.iter().filter(|e| e.role >= Role::Lead) {
            let Body::ThreadOp(op) = &e.body else { continue };
            let crate::payload::ThreadAct::Under(to, _) = &op.act else { continue };
            let a = find(&group, of_id(&e.refs[0]));
            let b = find(&group, of_id(&EntryId::new(**to)));
            if a != b {
                group.insert(a, b);
            }
        }
        let key = |e: &TalkEntry| find(&group, of_id(&e.id));
        let roots = || t.entries.iter().filter(|e| matches!(e.body, Body::Ask(_) | Body::Note(_)));
        let keys: BTreeSet<[u8; 32]> = roots().map(key).collect();
        let mut threads = Vec::new();
        for k in keys {
            let group: BTreeSet<EntryId> = roots().filter(|e| key(e) == k).map(|e| e.id).collect();
            let inside: Vec<TalkEntry> = t
                .entries
                .iter()
                .filter(|e| group.contains(e.refs.first().unwrap_or(&e.id)))
                .cloned()
                .collect();
            threads.extend(fold_threads(&inside));
        }
        threads.sort_by_key(|t| t.root);
        prop_assert_eq!(threads, fold_threads(&t.entries));
    }

    #[test]
    fn dropping_withdrawn_payloads_changes_nothing(t in talk()) {
        let want = fold_threads(&t.entries);
        let gone: BTreeSet<EntryId> = want
            .iter()
            .flat_map(|t| &t.posts)
            .filter(|p| p.text == PostText::Withdrawn)
            .map(|p| p.id)
            .collect();
        let mut dropped = t.entries.clone();
        for e in &mut dropped {
            let edit_of_gone =
                matches!(e.body, Body::Edit(_)) && e.refs.get(1).is_some_and(|p| gone.contains(p));
            if gone.contains(&e.id) || edit_of_gone {
                e.body = Body::Unknown(0);
            }
        }
        prop_assert_eq!(fold_threads(&dropped), want);
    }

    /// Only its author changes what a post says. (A withdrawn root takes its copy out of its thread,
    /// and with it what named that copy for another.)
    #[test]
    fn others_change_no_text(mut t in talk(), who in 0..4u8) {
        let roots: BTreeSet<EntryId> =
            t.entries.iter().filter(|e| e.refs.is_empty()).map(|e| e.id).collect();
        let of_root = |e: &TalkEntry| e.refs.get(1).is_some_and(|p| roots.contains(p));
        t.entries.retain(|e| e.body != Body::Withdraw || !of_root(e));
        let texts = |entries: &[TalkEntry]| -> BTreeMap<EntryId, (PostText, Option<String>)> {
            fold_threads(entries)
                .into_iter()
                .flat_map(|t| t.posts)
                .filter(|p| p.author == member(who) && p.origin.is_none())
                .map(|p| (p.id, (p.text, p.original)))
                .collect()
        };
        let own: Vec<TalkEntry> = t
            .entries
            .iter()
            .filter(|e| e.member == member(who) || e.refs.is_empty())
            .cloned()
            .collect();
        // The member's own entries alone decide.
        let all = texts(&t.entries);
        for (id, text) in texts(&own) {
            prop_assert_eq!(all.get(&id), Some(&text));
        }
    }
}
