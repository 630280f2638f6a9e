//! Sessions of two who remember that they held the same.

use std::collections::BTreeSet;

use lanai_crdt::id::EntryId;

use super::pair::{End, Side, pair, run};
use super::world::{Author, MemStore, Rng, World, Writing, archive};
use crate::sync::frame::put_frame;
use crate::sync::*;

/// One session; both note what it says. Gives both sides as they were at its end.
fn meet(world: &World, a: &mut MemStore, b: &mut MemStore, seed: u64) -> (Side, Side) {
    let (before_a, before_b) = (a.arrived.len(), b.arrived.len());
    let (mut x, mut y) = pair(&Config::new(world.community), a, b, seed);
    run(&mut x, &mut y, None);
    (*a, *b) = (x.store.clone(), y.store.clone());
    for (side, store, before) in [(&x, a, before_a), (&y, b, before_b)] {
        if let Some(equal) = &side.summary().equal {
            assert!(store.note(equal, before));
        }
    }
    (x, y)
}

fn write(world: &World, author: &mut Author, rng: &mut Rng) -> StoredEntry {
    let now = 1_800_000_000_000 + rng.below(1 << 30);
    let payload = rng.bytes(200);
    author.write(world, Writing { class: 2, refs: vec![], payload, now })
}

fn kinds(bytes: &[u8]) -> Vec<u8> {
    let (mut reader, mut input) = (FrameReader::default(), bytes);
    let mut kinds = Vec::new();
    while let Some(frame) = reader.next(&mut input).unwrap() {
        kinds.push(frame.kind);
    }
    kinds
}

#[test]
fn what_came_since_crosses_in_two_round_trips_and_eight_bytes_each() {
    let (world, mut authors, all) = archive(31, 20, 2000, 200);
    let (mut a, mut b) = (all.clone(), all.clone());
    let mut rng = Rng(1);
    let (x, _) = meet(&world, &mut a, &mut b, 1);
    assert!(x.summary().nothing_new && !x.summary().by_news);
    assert_eq!((a.bases.len(), b.bases.len()), (1, 1));
    assert_eq!(a.bases[0], b.bases[0]);
    for (n, author) in authors.iter_mut().enumerate() {
        let store = if n % 2 == 0 { &mut a } else { &mut b };
        store.insert(write(&world, author, &mut rng));
    }
    let union: BTreeSet<EntryId> = a.ids().union(&b.ids()).copied().collect();
    let (x, y) = {
        let met = meet(&world, &mut a, &mut b, 2);
        assert_eq!((a.ids(), b.ids()), (union.clone(), union));
        met
    };
    for side in [&x, &y] {
        let s = side.summary();
        assert!(s.by_news && s.rounds == 0 && s.stored == 10 && !s.more);
        assert_eq!(s.equal.unwrap().runs, 1);
    }
    // HELLO, DIGEST, NEWS, SEG, PAY, FIN, ACK, in this order, and no round of anything else.
    assert_eq!(kinds(&x.sent), [1, 2, 14, 5, 6, 12, 11]);
    assert_eq!(kinds(&y.sent), [1, 2, 14, 11, 5, 6, 12]);
    let payloads: usize = 20 * 200;
    let total = x.sent.len() + y.sent.len();
    // A header in a log of its own, with its signature: some 140 bytes.
    assert!(total < payloads + 20 * 170 + 1000, "{total}");
    assert_eq!(a.bases[0].token, b.bases[0].token);
    assert_eq!((a.bases.len(), b.bases.len()), (2, 2));

    // And with nothing new, what is sent stays within 150 bytes.
    let (x, y) = meet(&world, &mut a, &mut b, 3);
    assert!(x.summary().nothing_new && x.sent.len() + y.sent.len() <= 150, "{}", x.sent.len());
    assert_eq!(a.bases[0].runs, 0);
}

#[test]
fn what_both_got_from_others_is_not_sent() {
    let (world, mut authors, all) = archive(32, 5, 100, 50);
    let (mut a, mut b) = (all.clone(), all);
    let mut rng = Rng(2);
    meet(&world, &mut a, &mut b, 1);
    for (n, author) in (0..40).map(|n| (n, n % 5)) {
        let e = write(&world, &mut authors[author], &mut rng);
        a.insert(e.clone());
        if n != 39 {
            b.insert(e);
        }
    }
    let (x, y) = meet(&world, &mut a, &mut b, 2);
    assert!(x.summary().by_news);
    assert_eq!((x.summary().sent, y.summary().sent), (1, 0));
    assert_eq!(a.ids(), b.ids());
}

#[test]
fn many_meetings_in_any_order_end_in_equal_sets() {
    for seed in 0..40 {
        let mut rng = Rng(seed);
        let (world, mut authors, all) = archive(33 + seed, 6, 30, 20);
        let mut genesis = MemStore::default();
        for e in all.entries.values().filter(|e| e.entry.header().class == 0) {
            genesis.insert(e.clone());
        }
        // Two who meet each other, and a third who brings things to both.
        let (mut a, mut b) = (all.clone(), genesis);
        let mut copies: Vec<MemStore> = Vec::new();
        let (mut by_news, mut written) = (0, all.ids());
        for step in 0..30 {
            for _ in 0..rng.below(5) {
                let at = rng.below(6) as usize;
                let e = write(&world, &mut authors[at], &mut rng);
                written.insert(e.entry.id());
                match rng.below(3) {
                    0 => a.insert(e),
                    1 => b.insert(e),
                    _ => {
                        a.insert(e.clone());
                        b.insert(e);
                    }
                }
            }
            match rng.below(12) {
                0 => copies.push(b.clone()),
                // One is put back to an older copy.
                1 if !copies.is_empty() => {
                    b = copies[rng.below(copies.len() as u64) as usize].clone();
                    // What only it had is lost with it.
                    let held: BTreeSet<EntryId> = a.ids().union(&b.ids()).copied().collect();
                    written.retain(|id| held.contains(id));
                }
                // One note is lost.
                2 => b.bases.clear(),
                3 => drop(a.bases.pop()),
                4 if !a.bases.is_empty() => drop(a.bases.remove(0)),
                _ => {}
            }
            let (first, second) = if rng.chance(50) { (&mut a, &mut b) } else { (&mut b, &mut a) };
            let (x, y) = meet(&world, first, second, seed * 100 + step);
            by_news += u32::from(x.summary().by_news);
            assert_eq!(x.summary().by_news, y.summary().by_news);
            assert_eq!(a.ids(), b.ids(), "seed {seed} step {step}");
            assert!(a.bases.len() <= MAX_BASES && b.bases.len() <= MAX_BASES);
        }
        assert_eq!(a.ids(), written, "what one has does not get lost by the other's old copy");
        assert!(by_news >= 10, "{by_news}");
    }
}

#[test]
fn a_base_that_does_not_hold_costs_a_comparison_of_whole_sets() {
    let (world, mut authors, all) = archive(34, 5, 200, 50);
    let mut rng = Rng(3);
    let spoil: [fn(&mut MemStore); 3] = [
        // An entry is gone that both held.
        |b| {
            let lost = b.arrived.remove(17);
            b.entries.remove(&lost);
            b.bases[0].upto -= 1;
        },
        // The count of the base is another's.
        |b| b.bases[0].entries += 1,
        // The place of arrival is another's.
        |b| b.bases[0].upto -= 3,
    ];
    for spoil in spoil {
        let (mut a, mut b) = (all.clone(), all.clone());
        meet(&world, &mut a, &mut b, 1);
        a.insert(write(&world, &mut authors[1], &mut rng));
        spoil(&mut b);
        let (x, y) = meet(&world, &mut a, &mut b, 2);
        assert!(!x.summary().by_news && x.summary().rounds + y.summary().rounds > 0);
        assert_eq!(a.ids(), b.ids());
    }
    // One for one: the counts fit, and the lists say that there is no difference.
    let (mut a, mut b) = (all.clone(), all.clone());
    meet(&world, &mut a, &mut b, 1);
    let (mut one, mut two) = (authors[2].clone(), authors[2].clone());
    a.insert(write(&world, &mut one, &mut rng));
    b.insert(write(&world, &mut two, &mut rng));
    for store in [&mut a, &mut b] {
        store.bases[0].upto += 1;
        store.bases[0].entries += 1;
    }
    let (x, _) = meet(&world, &mut a, &mut b, 2);
    assert!(!x.summary().by_news);
    assert_eq!(a.ids(), b.ids());
}

#[test]
fn too_much_news_is_told_by_whole_sets() {
    let (world, mut authors, all) = archive(35, 3, 50, 20);
    let (mut a, mut b) = (all.clone(), all);
    let mut rng = Rng(4);
    meet(&world, &mut a, &mut b, 1);
    for n in 0..60 {
        a.insert(write(&world, &mut authors[n % 3], &mut rng));
    }
    let config = Config { news: 59, ..Config::new(world.community) };
    let (mut x, mut y) = pair(&config, &a, &b, 2);
    run(&mut x, &mut y, None);
    assert!(!x.summary().by_news);
    assert_eq!(y.store.ids(), a.ids());
    assert_eq!(x.summary().equal.map(|e| e.token), y.summary().equal.map(|e| e.token));
    assert_eq!(y.summary().equal.unwrap().received, 60);
}

#[test]
fn missing_payloads_are_asked_for_beside_news() {
    let (world, mut authors, all) = archive(36, 3, 50, 20);
    let (mut a, mut b) = (all.clone(), all.clone());
    let mut rng = Rng(5);
    meet(&world, &mut a, &mut b, 1);
    let posts: Vec<EntryId> = all
        .entries
        .values()
        .filter(|e| e.entry.header().class == 2)
        .map(|e| e.entry.id())
        .collect();
    let lose = |store: &mut MemStore, id: &EntryId| {
        store.entries.get_mut(id).unwrap().payload = None;
    };
    lose(&mut a, &posts[0]);
    lose(&mut a, &posts[1]);
    lose(&mut b, &posts[1]);
    lose(&mut b, &posts[2]);
    a.insert(write(&world, &mut authors[0], &mut rng));
    let (x, y) = meet(&world, &mut a, &mut b, 2);
    for side in [&x, &y] {
        let s = side.summary();
        assert!(s.by_news && s.payloads == 1 && s.unserved == 1, "{s:?}");
    }
    assert_eq!(a.ids(), b.ids());
    // The next time only the one that nobody has is wanted, and still nothing needs whole sets.
    let (x, y) = meet(&world, &mut a, &mut b, 3);
    assert!(x.summary().by_news && x.summary().rounds + y.summary().rounds == 0);
    let lacks = |s: &MemStore| s.entries.values().filter(|e| e.payload.is_none()).count();
    assert_eq!((lacks(&a), lacks(&b)), (1, 1));
}

/// A responder that was told a base it remembers, after HELLO and DIGEST.
fn telling() -> (Side, World) {
    let (world, mut authors, all) = archive(37, 3, 50, 20);
    let (mut a, mut b) = (all.clone(), all);
    meet(&world, &mut a, &mut b, 1);
    b.insert(write(&world, &mut authors[0], &mut Rng(6)));
    let nonce = Nonce([9; 16]);
    let mut side =
        Side::new(Role::Responder, Config::new(world.community), b.clone(), Nonce([8; 16]));
    let mut hello = Hello::new(&world.community, nonce, MIN_WINDOW_BYTES);
    hello.bases[0] = Some(b.bases[0].token.name(&nonce));
    let mut bytes = Vec::new();
    put_frame(&mut bytes, FrameType::Hello, &hello.encode());
    put_frame(&mut bytes, FrameType::Digest, &a.state().digest(&nonce).encode());
    let answer = side.give(Input::Bytes(&bytes), 0);
    assert_eq!(kinds(&answer), [1, 2, 14]);
    (side, world)
}

fn feed(side: &mut Side, kind: FrameType, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    assert!(put_frame(&mut bytes, kind, body));
    side.give(Input::Bytes(&bytes), 0)
}

#[test]
fn lies_and_nonsense_in_news_are_refused_or_cost_a_comparison() {
    let bad = |error| End::Failed(SessionError::BadFrame { kind: FrameType::News, error });
    for (body, end) in [
        (vec![], bad(WireError::Truncated)),
        (vec![0, 1], bad(WireError::Truncated)),
        (vec![7], bad(WireError::Reserved)),
        (vec![1, 1], bad(WireError::Trailing(1))),
        ([&[0][..], &[5; 16]].concat(), bad(WireError::Range("names of entries"))),
    ] {
        let (mut side, _) = telling();
        feed(&mut side, FrameType::News, &body);
        assert_eq!(side.end, end);
    }
    // Names of things that do not fit the count in its digest, or none at all where there must be some.
    let many: Vec<u64> = (0..MAX_NEWS as u64).collect();
    for news in [News::Whole, News::Came(vec![3]), News::Came(many)] {
        let (mut side, _) = telling();
        let answer = feed(&mut side, FrameType::News, &news.encode());
        assert_eq!((side.end.clone(), side.session.summary().by_news), (End::Open, false));
        // It has more, so it drives.
        assert_eq!(kinds(&answer), [4]);
        assert!(side.peak < 200_000);
        // Twice is once too often.
        feed(&mut side, FrameType::News, &news.encode());
        assert_eq!(side.end, End::Failed(SessionError::Unexpected(FrameType::News)));
    }
    // It fits: what it lacks is sent unasked. To ask for more by WANT is out of place then.
    let (mut side, _) = telling();
    let answer = feed(&mut side, FrameType::News, &News::Came(vec![]).encode());
    assert_eq!(kinds(&answer), [5, 6, 12]);
    feed(&mut side, FrameType::Want, &Want { last: true, payloads: false, ids: vec![] }.encode());
    assert_eq!(side.end, End::Failed(SessionError::Unexpected(FrameType::Want)));
    // Entries before the news.
    let (mut side, _) = telling();
    feed(&mut side, FrameType::Seg, &[]);
    assert_eq!(side.end, End::Failed(SessionError::Unexpected(FrameType::Seg)));
}

#[test]
fn a_responder_that_chooses_what_was_not_named_is_not_followed() {
    let (world, _, all) = archive(38, 3, 20, 20);
    let (mut a, mut b) = (all.clone(), all);
    meet(&world, &mut a, &mut b, 1);
    for chosen in [0, 2, 3, 255] {
        let config = Config::new(world.community);
        let mut side = Side::new(Role::Initiator, config, a.clone(), Nonce([1; 16]));
        side.give(Input::Start, 0);
        let nonce = Nonce([2; 16]);
        let hello = Hello { chosen, ..Hello::new(&world.community, nonce, MIN_WINDOW_BYTES) };
        let other = LocalState::new([0; 32], 1, vec![], false, false);
        let mut bytes = Vec::new();
        put_frame(&mut bytes, FrameType::Hello, &hello.encode());
        put_frame(&mut bytes, FrameType::Digest, &other.digest(&nonce).encode());
        let answer = side.give(Input::Bytes(&bytes), 0);
        assert_eq!((kinds(&answer), side.end), (vec![4], End::Open));
    }
}

#[test]
fn nothing_is_noted_unless_all_came_and_was_new() {
    let (world, mut authors, all) = archive(39, 3, 50, 20);
    let mut rng = Rng(7);
    let (mut a, mut b) = (all.clone(), all);
    meet(&world, &mut a, &mut b, 1);
    let bases = a.bases.clone();
    let one = write(&world, &mut authors[0], &mut rng);
    let two = write(&world, &mut authors[1], &mut rng);
    a.insert(one);
    a.insert(two.clone());
    let (mut x, mut y) = pair(&Config::new(world.community), &a, &b, 2);
    // While it goes on, one of the entries comes from elsewhere.
    y.store.insert(two);
    run(&mut x, &mut y, None);
    assert_eq!(x.store.ids(), y.store.ids());
    assert_eq!(y.summary().equal, None);
    assert_eq!(y.store.bases, bases);
    // The other could note it, and they still have the older one in common.
    let before = a.arrived.len();
    assert!(x.store.note(&x.summary().equal.unwrap(), before));
    assert!(x.store.bases.contains(&bases[0]));
    let (mut a, mut b) = (x.store.clone(), y.store.clone());
    b.insert(write(&world, &mut authors[2], &mut rng));
    let (x, y) = meet(&world, &mut a, &mut b, 3);
    assert!(x.summary().by_news && y.summary().sent == 1 && x.summary().sent == 0);
    assert_eq!(a.ids(), b.ids());
}
