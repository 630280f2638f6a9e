//! Two stores, one session.

use lanai_crdt::entry::Verified;

use super::pair::{End, pair, run};
use super::world::{MemStore, Rng, Writing, archive};
use crate::sync::*;

/// Keeps a random part of a store's entries, the genesis always.
fn part(store: &MemStore, rng: &mut Rng, percent: u64) -> MemStore {
    let mut out = MemStore::default();
    for e in store.entries.values() {
        if e.entry.header().is_genesis() || rng.chance(percent) {
            out.insert(e.clone());
        }
    }
    out
}

#[test]
fn equal_sides_are_done_in_one_round_trip() {
    let (world, _, store) = archive(1, 5, 200, 200);
    let (mut a, mut b) = pair(&Config::new(world.community), &store, &store, 1);
    run(&mut a, &mut b, None);
    for side in [&a, &b] {
        let s = side.summary();
        assert!(s.nothing_new && s.rounds == 0 && !s.more);
        assert!(s.bytes_out + s.bytes_in <= 150, "{s:?}");
        assert_eq!(s.bytes_out, side.sent.len() as u64);
    }
}

#[test]
fn random_parts_become_equal() {
    for seed in 0..30 {
        let mut rng = Rng(seed);
        let posts = 10 + rng.below(400);
        let (world, _, all) = archive(seed, 1 + rng.below(8), posts, 100);
        let percents = [0, 10, 50, 90, 100];
        let (x, y) = (*rng.pick(&percents), *rng.pick(&percents));
        let (a, b) = (part(&all, &mut rng, x), part(&all, &mut rng, y));
        let union: std::collections::BTreeSet<_> = a.ids().union(&b.ids()).copied().collect();
        let (mut a, mut b) = pair(&Config::new(world.community), &a, &b, seed);
        let (had_a, had_b) = (a.store.ids().len(), b.store.ids().len());
        run(&mut a, &mut b, Some(&mut rng));
        assert_eq!(a.store.ids(), union, "seed {seed}");
        assert_eq!(b.store.ids(), union, "seed {seed}");
        let (sa, sb) = (a.summary(), b.summary());
        assert_eq!(sa.stored as usize, union.len() - had_a);
        assert_eq!(sb.stored as usize, union.len() - had_b);
        assert_eq!((sa.sent, sb.sent), (sb.received, sa.received));
        assert_eq!((sa.confirmed, sb.confirmed), (sb.stored, sa.stored));
        assert!(sa.refused.is_empty() && sb.refused.is_empty());
        assert_eq!((sa.bytes_out, sb.bytes_out), (sb.bytes_in, sa.bytes_in));
        // A second session finds nothing.
        let (mut a, mut b) = pair(&Config::new(world.community), &a.store, &b.store, seed + 1);
        run(&mut a, &mut b, None);
        assert!(a.summary().nothing_new && b.summary().nothing_new);
    }
}

#[test]
fn a_relay_without_signatures_passes_logs_on() {
    let (world, _, all) = archive(3, 4, 600, 60);
    let config = Config { load_entries: 50, ..Config::new(world.community) };
    let mut empty = MemStore::default();
    empty.insert(world.genesis.clone());
    let (mut a, mut b) = pair(&config, &all, &empty, 1);
    run(&mut a, &mut b, None);
    assert_eq!(b.store.ids(), all.ids());
    let unsigned = b.store.entries.values().filter(|e| e.entry.signature().is_none()).count();
    assert!(unsigned > 500, "{unsigned}");
    let (mut b, mut c) = pair(&config, &b.store, &empty, 2);
    run(&mut b, &mut c, None);
    assert_eq!(c.store.ids(), all.ids());
    // And from a relay that lacks the newest and some in the middle.
    let mut rng = Rng(9);
    let mut holed = part(&c.store, &mut rng, 70);
    let (mut c, mut d) = pair(&config, &c.store, &holed, 3);
    run(&mut c, &mut d, None);
    assert_eq!(d.store.ids(), all.ids());
    holed = d.store;
    assert!(holed.state().digest(&Nonce([0; 16])).settles(&all.state().digest(&Nonce([0; 16]))));
}

#[test]
fn a_relay_passes_on_logs_whose_clock_went_back_or_stood_still() {
    for step in [0, 3_600_000] {
        let (world, mut authors, mut all) = archive(3, 2, 5, 60);
        let mut now = 1_900_000_000_000;
        for _ in 0..40 {
            now -= step;
            // As a clock does that was far ahead and is right again.
            authors[1].time = lanai_crdt::clock::Hlc::default();
            let writing = Writing { class: 2, refs: vec![], payload: vec![7; 20], now };
            all.insert(authors[1].write(&world, writing));
        }
        let mut relay = MemStore::default();
        let head = authors[1].prev;
        for e in all.entries.values() {
            let mut e = e.clone();
            if e.entry.header().class != 0 && e.entry.id() != head && all.has_successor(&e.entry) {
                let bytes = e.entry.bytes().to_vec();
                e.entry = Verified::from_trusted_storage(bytes, None).unwrap();
            }
            relay.insert(e);
        }
        let unsigned = relay.entries.values().filter(|e| e.entry.signature().is_none()).count();
        assert!(unsigned >= 39, "{unsigned}");
        for load_entries in [1, 7, 1024] {
            let mut empty = MemStore::default();
            empty.insert(world.genesis.clone());
            let config = Config { load_entries, batch_entries: 1, ..Config::new(world.community) };
            let (mut a, mut b) = pair(&config, &relay, &empty, 1);
            run(&mut a, &mut b, None);
            assert_eq!(b.summary().refused, std::collections::BTreeMap::new());
            assert_eq!(b.store.ids(), all.ids(), "step {step}, {load_entries} at a time");
        }
    }
}

#[test]
fn forks_are_carried() {
    let (world, authors, mut all) = archive(4, 3, 60, 60);
    let mut rng = Rng(1);
    // Two branches of each log, each of three entries.
    for author in &authors {
        for _ in 0..2 {
            let mut branch = author.clone();
            for _ in 0..3 {
                let payload = rng.bytes(50);
                let now = 1_800_000_000_000 + rng.below(1000);
                all.insert(branch.write(&world, Writing { class: 2, refs: vec![], payload, now }));
            }
        }
    }
    for percent in [0, 50, 90] {
        let some = part(&all, &mut rng, percent);
        let (mut a, mut b) = pair(&Config::new(world.community), &all, &some, 5);
        run(&mut a, &mut b, Some(&mut rng));
        assert_eq!(b.store.ids(), all.ids());
    }
}

#[test]
fn missing_payloads_are_fetched_or_declined() {
    let (world, _, all) = archive(5, 3, 40, 80);
    let lose = |store: &MemStore, every: usize, off: usize| {
        let mut out = MemStore::default();
        for (n, e) in store.entries.values().enumerate() {
            let mut e = e.clone();
            if n % every == off {
                e.payload = None;
            }
            out.insert(e);
        }
        out
    };
    // Places 0 mod 6 are lost on both sides.
    let (a, b) = (lose(&all, 2, 0), lose(&all, 3, 0));
    let lost = |s: &MemStore| s.entries.values().filter(|e| e.payload.is_none()).count() as u64;
    let both = (0..all.entries.len()).filter(|n| n % 6 == 0).count() as u64;
    let (before_a, before_b) = (lost(&a), lost(&b));
    for flip in [false, true] {
        let (first, second) = if flip { (&b, &a) } else { (&a, &b) };
        let (mut x, mut y) = pair(&Config::new(world.community), first, second, 5);
        run(&mut x, &mut y, None);
        assert_eq!((lost(&x.store), lost(&y.store)), (both, both));
        let filled = x.summary().payloads + y.summary().payloads;
        assert_eq!(filled, before_a + before_b - 2 * both);
        assert_eq!((x.summary().unserved, y.summary().unserved), (both, both));
        assert!(x.summary().refused.is_empty());
    }
}

#[test]
fn a_header_whose_payload_is_gone_travels_alone() {
    let (world, _, mut all) = archive(6, 3, 40, 80);
    for (n, e) in all.entries.values_mut().enumerate() {
        match n % 4 {
            1 => e.payload = None,
            // Damaged on the sender's disk: sent as missing.
            2 => e.payload.as_mut().unwrap()[0] ^= 1,
            _ => {}
        }
    }
    let mut empty = MemStore::default();
    empty.insert(world.genesis.clone());
    let (mut a, mut b) = pair(&Config::new(world.community), &all, &empty, 5);
    run(&mut a, &mut b, None);
    assert_eq!(b.store.ids(), all.ids());
    for (n, (id, e)) in b.store.entries.iter().enumerate() {
        let whole = n % 4 == 0 || n % 4 == 3 || *id == world.genesis.entry.id();
        assert_eq!(e.payload.is_some(), whole);
    }
    assert!(b.summary().refused.is_empty());
}

#[test]
fn greatest_entries_fit_the_smallest_window() {
    let (world, mut authors, mut all) = archive(7, 2, 0, 0);
    let mut rng = Rng(2);
    let mut refs = Vec::new();
    for n in 0..40 {
        let payload = rng.bytes(48 * 1024);
        let w = Writing { class: 2, refs: refs.clone(), payload, now: 1_800_000_000_000 + n };
        let e = authors[1].write(&world, w);
        refs = (0..10)
            .map(|i| if i == 0 { e.entry.id() } else { lanai_crdt::id::EntryId::new([i; 32]) })
            .collect();
        all.insert(e);
    }
    let mut empty = MemStore::default();
    empty.insert(world.genesis.clone());
    let config = Config { window: 0, high_water: 1, ..Config::new(world.community) };
    let (mut a, mut b) = pair(&config, &all, &empty, 5);
    run(&mut a, &mut b, Some(&mut rng));
    assert_eq!(b.store.ids(), all.ids());
    assert!(b.peak <= MIN_WINDOW_BYTES + 2 * 65_536, "{}", b.peak);
}

#[test]
fn long_wants_wait_for_the_transport() {
    let (world, _, all) = archive(11, 3, 5300, 10);
    let (mut a, mut b) = (MemStore::default(), MemStore::default());
    for (n, e) in all.entries.values().enumerate() {
        if n % 2 == 0 || e.entry.header().class == 0 {
            a.insert(e.clone());
        }
        if n % 2 == 1 || e.entry.header().class == 0 {
            b.insert(e.clone());
        }
    }
    let config = Config { high_water: 1, ..Config::new(world.community) };
    let (mut a, mut b) = pair(&config, &a, &b, 3);
    run(&mut a, &mut b, None);
    assert_eq!((a.store.ids(), b.store.ids()), (all.ids(), all.ids()));
    for side in [&a, &b] {
        // One frame of output, or one group, is the most that waits.
        assert!(side.peak < 3 << 20, "{}", side.peak);
    }
}

#[test]
fn the_roster_comes_first_and_the_newest_next() {
    let (world, _, all) = archive(8, 6, 300, 60);
    let mut empty = MemStore::default();
    empty.insert(world.genesis.clone());
    let config = Config { load_entries: 20, ..Config::new(world.community) };
    let (mut a, mut b) = pair(&config, &all, &empty, 5);
    run(&mut a, &mut b, None);
    let classes: Vec<u8> = b.offered.iter().map(|i| i.signed.header().class).collect();
    assert!(classes.is_sorted(), "{classes:?}");
    // Every roster entry came with its own signature.
    let roster = b.offered.iter().filter(|i| i.signed.header().class == 0);
    assert!(roster.clone().count() == 5 && roster.clone().all(|i| i.signed.signature().is_some()));
    let talk: Vec<u64> = b.offered[5..].iter().map(|i| i.signed.header().time.0).collect();
    let first: u64 = talk[..20].iter().copied().min().unwrap();
    let last: u64 = talk[talk.len() - 20..].iter().copied().max().unwrap();
    assert!(first > last);
}

#[test]
fn a_flood_in_one_lane_does_not_delay_the_others() {
    let (world, mut authors, mut all) = archive(9, 4, 100, 60);
    let mut rng = Rng(3);
    for n in 0..2000 {
        let payload = rng.bytes(10);
        let w = Writing { class: 2, refs: vec![], payload, now: 1_900_000_000_000 + n };
        all.insert(authors[1].write(&world, w));
    }
    let flooder = authors[1].secret.device();
    let mut empty = MemStore::default();
    empty.insert(world.genesis.clone());
    let (mut a, mut b) = pair(&Config::new(world.community), &all, &empty, 5);
    run(&mut a, &mut b, None);
    assert_eq!(b.store.ids(), all.ids());
    let others = b.offered.iter().rposition(|i| i.signed.header().log.device != flooder);
    // Two turns of the flooder and one or two of three others, in groups of up to 1,024.
    assert!(others.unwrap() < 1100, "{others:?}");
}

#[test]
fn other_communities_and_versions_are_told_apart() {
    let (world, _, store) = archive(1, 2, 5, 50);
    let (other, ..) = archive(2, 2, 5, 50);
    let (mut a, mut b) = pair(&Config::new(world.community), &store, &store, 1);
    b.session = Session::new(
        Role::Responder,
        Config::new(other.community),
        store.state(),
        Nonce([9; 16]),
        0,
    );
    run(&mut a, &mut b, None);
    assert_eq!(b.end, End::Failed(SessionError::OtherCommunity));
    assert_eq!(a.end, End::Failed(SessionError::PeerGaveUp(ByeReason::Community)));
    assert_eq!(SessionError::OtherCommunity.severity(), Severity::Mismatch);

    // A peer that repeats what it hears.
    let (mut a, _) = pair(&Config::new(world.community), &store, &store, 1);
    let hello = a.give(Input::Start, 0);
    a.give(Input::Bytes(&hello), 0);
    assert_eq!(a.end, End::Failed(SessionError::Reflected));
}

/// Prints what sessions cost: `cargo test -p lanai-node sync::tests::exchange::costs -- --nocapture`.
#[test]
fn costs() {
    let (world, mut authors, all) = archive(10, 20, 3000, 210);
    let mut empty = MemStore::default();
    empty.insert(world.genesis.clone());
    let payloads: usize = all.entries.values().flat_map(|e| &e.payload).map(Vec::len).sum();
    let (mut a, mut b) = pair(&Config::new(world.community), &all, &empty, 1);
    run(&mut a, &mut b, None);
    assert_eq!(b.store.ids(), all.ids());
    let n = all.entries.len() as f64;
    let stream = (a.sent.len() + b.sent.len()) as f64;
    println!(
        "cold: {n} entries, {:.1} bytes an entry, of these {:.1} payload and {:.1} over it; rounds {}, peak {}",
        stream / n,
        payloads as f64 / n,
        (stream - payloads as f64) / n,
        a.summary().rounds,
        b.peak,
    );
    let mut more = all.clone();
    let mut rng = Rng(4);
    for n in 0..100u64 {
        let refs = vec![*rng.pick(&all.ids().into_iter().collect::<Vec<_>>())];
        let payload = rng.bytes(210);
        let w = Writing { class: 2, refs, payload, now: 1_900_000_000_000 + n * 60_000 };
        more.insert(authors[(n % 20) as usize].write(&world, w));
    }
    for flip in [false, true] {
        let (x, y) = if flip { (&more, &all) } else { (&all, &more) };
        let (mut a, mut b) = pair(&Config::new(world.community), x, y, 1);
        run(&mut a, &mut b, None);
        // Whoever opened the session, the side with more drives and no id crosses the wire.
        assert!(a.sent.len().min(b.sent.len()) < 1500);
        println!("100 new: {} bytes out, {} bytes back", a.sent.len(), b.sent.len());
    }
    let (mut a, mut b) = pair(&Config::new(world.community), &all, &all, 1);
    run(&mut a, &mut b, None);
    println!("nothing new: {} bytes out, {} bytes back", a.sent.len(), b.sent.len());
}
