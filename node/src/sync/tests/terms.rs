//! Budgets and horizons.

use super::pair::{Side, pair, run};
use super::world::{MemStore, archive};
use crate::sync::*;

fn config(base: &Config, terms: Terms) -> Config {
    Config { load_bytes: 2_000, high_water: 1_000, terms, ..base.clone() }
}

/// The texts that are here, the newest first.
fn texts(store: &MemStore) -> Vec<bool> {
    let mut all: Vec<&StoredEntry> =
        store.entries.values().filter(|e| e.entry.header().class != 0).collect();
    all.sort_by_key(|e| std::cmp::Reverse((e.entry.header().time, e.entry.id())));
    all.iter().map(|e| e.payload.is_some()).collect()
}

fn only_roster(all: &MemStore) -> MemStore {
    let mut out = MemStore::default();
    for e in all.entries.values().filter(|e| e.entry.header().class == 0) {
        out.insert(e.clone());
    }
    out
}

fn bytes(side: &Side) -> u64 {
    let summary = side.summary();
    summary.bytes_in + summary.bytes_out
}

#[test]
fn a_budget_brings_the_newest_whole_and_the_headers_that_make_them_count() {
    let (world, _, all) = archive(5, 3, 80, 300);
    let base = Config::new(world.community);
    let mut here = only_roster(&all);
    let (budget, mut at_first) = (24_000, 0);
    for (n, limited) in [true, false].into_iter().enumerate() {
        // Either side may be the one who has to be brief.
        let brief = config(&base, Terms { since: None, budget: Some(budget), ..Terms::default() });
        let (mut a, mut b) = pair(&config(&base, Terms::default()), &all, &here, n as u64);
        let side = if limited { &mut a } else { &mut b };
        *side = Side::new(
            if limited { Role::Initiator } else { Role::Responder },
            brief,
            side.store.clone(),
            Nonce([n as u8 + 1; 16]),
        );
        run(&mut a, &mut b, None);
        assert!(bytes(&a) <= budget + budget / 20, "{} bytes", bytes(&a));
        let (given, taken) = (a.summary().clone(), b.summary().clone());
        assert_eq!(given.more, taken.more);
        assert_eq!(given.more, given.left_out > 0, "{given:?}");
        assert_eq!(given.sent, taken.received);
        assert_eq!(taken.known, taken.payloads, "nothing came twice but headers of missing texts");
        if n == 0 {
            assert!(given.more);
            assert_eq!(b.store.ids(), all.ids(), "every header");
            let texts = texts(&b.store);
            let whole = texts.iter().take_while(|t| **t).count();
            assert!((20..75).contains(&whole), "{whole}");
            at_first = whole;
            assert!(texts[whole..].iter().all(|t| !t), "the newest, and no others");
            assert!(bytes(&a) > budget / 2, "{} bytes", bytes(&a));
        }
        here = b.store;
    }
    let before = texts(&here).iter().filter(|t| **t).count();
    assert!(before > at_first, "{before}: the second session brought texts of the first's headers");
    let (mut a, mut b) = pair(&config(&base, Terms::default()), &all, &here, 9);
    run(&mut a, &mut b, None);
    assert!(texts(&b.store).iter().all(|t| *t) && !b.summary().more);
    assert_eq!(b.summary().payloads as usize, texts(&b.store).len() - before);
}

#[test]
fn a_budget_that_is_spent_before_anything_is_sent_ends_the_session_well() {
    let (world, _, all) = archive(5, 3, 80, 300);
    let terms = Terms { since: None, budget: Some(1), ..Terms::default() };
    let here = only_roster(&all);
    let (mut a, mut b) = pair(&config(&Config::new(world.community), terms), &all, &here, 1);
    run(&mut a, &mut b, None);
    assert_eq!((a.summary().sent, b.summary().received), (0, 0));
    assert!(a.summary().more && b.summary().more && a.summary().left_out >= 80);
}

#[test]
fn beyond_the_horizon_there_are_headers_and_the_roster() {
    let (world, _, all) = archive(6, 3, 100, 300);
    let mut times: Vec<u64> = all
        .entries
        .values()
        .filter(|e| e.entry.header().class != 0)
        .map(|e| e.entry.header().time.millis())
        .collect();
    times.sort_unstable();
    let since = times[70];
    let newer = times.iter().filter(|t| **t >= since).count();
    let mut bare = MemStore::default();
    bare.insert(world.genesis.clone());
    let terms = Terms { since: Some(since), budget: None, ..Terms::default() };
    let (mut a, mut b) = pair(&config(&Config::new(world.community), terms), &all, &bare, 1);
    run(&mut a, &mut b, None);
    assert_eq!(b.store.ids(), all.ids());
    let texts = texts(&b.store);
    assert_eq!(texts.iter().filter(|t| **t).count(), newer);
    assert!(texts[..newer].iter().all(|t| *t), "the newer ones");
    let roster = b.store.entries.values().filter(|e| e.entry.header().class == 0);
    assert!(roster.clone().count() > 1 && roster.clone().all(|e| e.payload.is_some()));
    assert_eq!(a.summary().left_out as usize, texts.len() - newer);
    assert!(a.summary().more && b.summary().more);
}

#[test]
fn more_than_so_many_older_headers_stay_away() {
    let (world, _, all) = archive(7, 3, 300, 20);
    let since = 1 << 45;
    let terms = Terms { since: Some(since), budget: None, ..Terms::default() };
    let here = only_roster(&all);
    let (mut a, mut b) = pair(&config(&Config::new(world.community), terms), &all, &here, 1);
    run(&mut a, &mut b, None);
    let older = all.entries.len() - here.entries.len();
    assert!(older > MAX_OLDER_HEADERS);
    assert_eq!((a.summary().sent, a.summary().left_out as usize), (0, older));
    assert!(a.summary().more && b.summary().more);
}
