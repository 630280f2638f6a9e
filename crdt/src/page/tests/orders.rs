//! Any causal order of arrival gives the same heads, text, blame, log and hash; and golden vectors.

use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRng, TestRunner};

use super::*;

/// The number of cases of a long test: `few` ordinarily, `all` when LANAI_TEST_ALL is set.
fn cases(few: u32, all: u32) -> u32 {
    if std::env::var_os("LANAI_TEST_ALL").is_some() { all } else { few }
}

/// Folds the entries as they arrive, in batches, a few weaves at a time; sometimes the page is saved
/// and loaded between two batches, sometimes its cache is lost.
fn arrive(desk: &Desk, order: &[usize], batch: usize, budget: usize, fate: u8) -> Page {
    let mut page = Page::new(desk.root.clone());
    let mut known = Vec::new();
    for (step, chunk) in order.chunks(batch.max(1)).enumerate() {
        known.extend(chunk.iter().map(|at| desk.entries[*at].clone()));
        page.set_entries(known.clone());
        page.step(budget.max(1));
        match (step + usize::from(fate)) % 4 {
            0 => {
                let cache = page.save();
                page = Page::load(desk.root.clone(), &cache).unwrap();
                page.set_entries(known.clone());
            }
            1 if fate > 3 => {
                page = Page::new(desk.root.clone());
                page.set_entries(known.clone());
            }
            _ => {}
        }
    }
    while page.step(budget.max(1)) > 0 {}
    page
}

/// Six weaves: one author's fork (one place in the log, two texts), and an honest one on each side.
fn forked() -> Desk {
    let mut desk = Desk::new(answer());
    let base = desk.weave(1, &[], &[(0, 0, "Brief the convoy before it leaves.")]);
    let bad = desk.weave(2, &[base], &[(10, 6, "patrol")]);
    let mut twin = desk.entry(2, &[base], PageBody::Weave(splices_of(&[(10, 6, "column")])));
    twin.previous = None;
    let twin = desk.add(twin);
    let left = desk.weave(3, &[bad], &[(34, 0, " Twice.")]);
    let right = desk.weave(4, &[twin], &[(0, 5, "Always brief")]);
    desk.weave(5, &[left, right], &[(0, 0, "Note: ")]);
    desk
}

fn permutations(n: usize) -> Vec<Vec<usize>> {
    if n == 0 {
        return vec![Vec::new()];
    }
    let mut out = Vec::new();
    for shorter in permutations(n - 1) {
        for at in 0..n {
            let mut longer = shorter.clone();
            longer.insert(at, n - 1);
            out.push(longer);
        }
    }
    out
}

#[test]
fn all_orders_of_six_with_a_fork_give_one_page() {
    let desk = forked();
    let expected = seen(&desk.whole());
    assert_eq!(expected.0.len(), 1);
    assert!(expected.3.iter().all(|(_, s)| *s == Status::Applied));
    for (n, order) in permutations(6).into_iter().enumerate() {
        let fate = u8::try_from(n % 8).unwrap();
        let page = arrive(&desk, &order, 1 + n % 3, 1 + n % 2, fate);
        assert_eq!(seen(&page), expected, "{order:?}");
    }
}

/// A random history: members who see a part of it write, some fork, some propose, some break rules.
fn history(choices: &[(u8, u8, u32, u32, u8)]) -> Desk {
    let mut desk = Desk::new(question("A question\n\nwith a situation"));
    for (who, kind, at, length, views) in choices {
        let who = 1 + who % 5;
        // What this member sees: all but some of the latest, and what that is built on.
        let seen = desk.entries.len().saturating_sub(usize::from(views % 4));
        let mut known: BTreeSet<EntryId> = desk.entries.iter().take(seen).map(|e| e.id).collect();
        known.extend(desk.entries.iter().filter(|e| e.member == member(who)).map(|e| e.id));
        loop {
            let more: Vec<EntryId> = desk
                .entries
                .iter()
                .filter(|e| known.contains(&e.id))
                .flat_map(|e| e.deps.iter().copied())
                .filter(|d| !known.contains(d))
                .collect();
            if more.is_empty() {
                break;
            }
            known.extend(more);
        }
        let page = desk.page(|e| known.contains(e));
        let chars = u32::try_from(page.text().chars().count()).unwrap();
        let at = at % (chars + 1);
        let delete = (length % 6).min(chars - at);
        let insert = ["", "a few words ", "x", "lìne\n", "🚚"][*length as usize % 5];
        let mut splices = splices_of(&[(at, delete, insert)]);
        if delete == 0 && insert.is_empty() {
            splices.clear();
        }
        let body = match kind % 8 {
            0 => PageBody::Reframe { splices, reason: None },
            1 => PageBody::Weave(splices_of(&[(chars + 3, 1, "far")])),
            _ => PageBody::Weave(splices),
        };
        let mut entry = desk.entry(who, &page.heads(), body);
        entry.deps.truncate(crate::limits::MAX_WEAVE_DEPS);
        entry.counts = kind % 16 != 5;
        if kind % 16 == 6 {
            entry.role = Role::Lead;
        }
        if kind % 16 == 7 {
            entry.previous = None;
        }
        desk.add(entry);
    }
    desk
}

fn orders_agree(len: usize, cases: u32) {
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner =
        TestRunner::new_with_rng(config.clone(), TestRng::deterministic_rng(config.rng_algorithm));
    let choice = (any::<u8>(), any::<u8>(), any::<u32>(), any::<u32>(), any::<u8>());
    let choices = proptest::collection::vec(choice, len..=len);
    let order = Just((0..len).collect::<Vec<usize>>()).prop_shuffle();
    let strategy = (choices, order, 1usize..6, 1usize..9, any::<u8>());
    runner
        .run(&strategy, |(choices, order, batch, budget, fate)| {
            let desk = history(&choices);
            let expected = seen(&desk.whole());
            let page = arrive(&desk, &order, batch, budget, fate % 8);
            prop_assert_eq!(seen(&page), expected);
            every_span_is_its_entry(&desk, &page)
        })
        .unwrap();
}

/// Whether the characters of `part` stand in `whole` in this order; some between may be gone.
fn occurs(part: &str, whole: &str) -> bool {
    let mut rest = whole.chars();
    part.chars().all(|c| rest.any(|w| w == c))
}

/// Each stretch of text occurs in what its entry inserted, and the stretches are the whole text.
fn every_span_is_its_entry(desk: &Desk, page: &Page) -> Result<(), TestCaseError> {
    let text: Vec<char> = page.text().chars().collect();
    let mut at = 0;
    for span in page.blame() {
        let part: String = text[at..at + span.length as usize].iter().collect();
        at += span.length as usize;
        if span.source == desk.root.thread {
            prop_assert!(occurs(&part, desk.root.opening.as_ref().unwrap()));
            continue;
        }
        let entry = desk.entries.iter().find(|e| e.id == span.source).unwrap();
        let inserted: String = entry.splices().iter().map(|s| s.insert.as_str()).collect();
        prop_assert!(occurs(&part, &inserted), "{}", part);
    }
    prop_assert_eq!(at, text.len());
    // Nothing that anybody wrote is gone from the log.
    prop_assert_eq!(page.log().len(), desk.entries.len());
    Ok(())
}

#[test]
fn random_orders_of_twelve_agree() {
    orders_agree(12, cases(150, 10_000));
}

#[test]
fn random_orders_of_long_logs_agree() {
    orders_agree(60, cases(3, 0));
    orders_agree(200, cases(0, 50));
}

/// A hostile member's many branches, broken ones among them, on honest text, on proposals and on what
/// does not count; and honest text on some of them.
fn flooded(dice: &mut Dice) -> Desk {
    let mut desk = Desk::new(question("Which ford?"));
    let base = desk.weave(ASKER, &[], &[(0, 0, "Tell me: ")]);
    let mut all = vec![base];
    for n in 0..50u8 {
        let who = [7, 7, 7, 8, 9][dice.below(5)];
        let on = all[dice.below(all.len()) * dice.below(3) / 2];
        let at = if dice.below(4) == 0 { 400 } else { u32::try_from(dice.below(9)).unwrap() };
        let splices = splices_of(&[(at, 1, &format!("<{n}>"))]);
        let body = match dice.below(5) {
            0 => PageBody::Reframe { splices, reason: None },
            1 if n > 30 => PageBody::Weave(Vec::new()),
            _ => PageBody::Weave(splices),
        };
        let mut deps = vec![on];
        if dice.below(3) == 0 {
            // Shape is enough for it.
            let mut page = Page::new(desk.root.clone());
            page.set_entries(desk.entries.clone());
            deps = page.reduce(&[on, all[dice.below(all.len())]]);
        }
        let mut entry = desk.entry(who, &deps, body);
        // The asker's kind of effect, with no past to answer for.
        entry.role = if who == 9 { Role::Member } else { Role::Lead };
        entry.previous = None;
        entry.counts = who == 7 || dice.below(2) == 0;
        all.push(desk.add(entry));
    }
    desk
}

#[test]
fn floods_with_broken_branches_give_one_page_in_any_order() {
    let mut seen_statuses = BTreeSet::new();
    for seed in 0..u64::from(cases(12, 2_000)) {
        let mut dice = Dice::new(seed);
        let desk = flooded(&mut dice);
        let expected = seen(&desk.whole());
        seen_statuses.extend(expected.3.iter().map(|(_, s)| format!("{s:?}")));
        for _ in 0..3 {
            let mut order: Vec<usize> = (0..desk.entries.len()).collect();
            for at in (1..order.len()).rev() {
                order.swap(at, dice.below(at + 1));
            }
            let fate = u8::try_from(dice.below(8)).unwrap();
            let page = arrive(&desk, &order, 1 + dice.below(9), 1 + dice.below(9), fate);
            assert_eq!(seen(&page), expected, "seed {seed}");
            // What once counted and does so no more leaves nothing behind.
            let mut page = page;
            let mut fewer = desk.entries.clone();
            fewer.iter_mut().filter(|e| e.member == member(8)).for_each(|e| e.counts = false);
            let mut fresh = Page::new(desk.root.clone());
            for page in [&mut page, &mut fresh] {
                page.set_entries(fewer.clone());
                while page.step(1 + dice.below(9)) > 0 {}
            }
            assert_eq!(seen(&page), seen(&fresh), "seed {seed}, with some cut off");
        }
    }
    for wanted in ["Applied", "Flood", "Proposed", "Uncounted", "Malformed(Range)"] {
        assert!(seen_statuses.contains(wanted), "{wanted} in {seen_statuses:?}");
    }
}

/// Pins the order of concurrent text and the hashes of the changes: another Automerge, or another way
/// to derive a change, is another page version.
#[test]
fn golden_page() {
    let desk = forked();
    let page = desk.whole();
    assert_eq!(page.text(), "Note: Always brief the columnpatrol before it leaves. Twice.");
    let hashes: Vec<String> = desk
        .entries
        .iter()
        .flat_map(|e| page.document.change_hashes(&e.id).unwrap())
        .map(|h| crate::id::base32(&h)[..8].to_owned())
        .collect();
    let expected = ["2m2me1sa", "pk6gn912", "64btzvdv", "nhpv0ktt", "j6qw72es", "whpxp608"];
    assert_eq!(hashes, expected);
    assert_eq!(crate::id::base32(&page.hash())[..16], *"0dzwt5a9gxr5xyna");
}
