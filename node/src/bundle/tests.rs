//! Bundles between real stores.

use std::collections::BTreeSet;
use std::io::Cursor;

use lanai_crdt::id::LogId;
use proptest::prelude::*;

use super::*;
use crate::store::tests::Node;
use crate::sync::{Front, LogFront};

fn write(from: &mut Node, spec: &Spec) -> (Vec<u8>, Made) {
    from.now += 1;
    let mut file = Vec::new();
    let (now, author) = (from.now, from.author.clone());
    let made = make(&from.store, &author, spec, now, &mut from.rng, &mut file, |_, _| ()).unwrap();
    assert_eq!(made.bytes, file.len() as u64);
    (file, made)
}

fn for_(node: &Node) -> Spec {
    Spec { members: BTreeSet::from([node.member()]), ..Spec::default() }
}

fn read(to: &Node, file: &[u8]) -> Taken {
    let taken = take(&to.store, &to.author, to.now + 1000, Cursor::new(file), |_, _| ()).unwrap();
    to.fold();
    taken
}

fn look(at: &Node, file: &[u8]) -> Result<Shown, BundleError> {
    show(&at.store, &at.author, Cursor::new(file))
}

/// Ana with many posts, and Ben who has none of them.
fn porch(posts: usize) -> (Node, Node) {
    let mut ana = Node::founder("ana");
    let ben = ana.invite("ben");
    ana.pull(&ben);
    let thread = ana.note("Convoy", "How do I brief one?");
    for n in 0..posts {
        ana.reply(thread, &format!("{n}: {}", blake3::hash(&n.to_be_bytes())));
    }
    ana.fold();
    (ana, ben)
}

#[test]
fn two_who_never_meet_end_with_the_same() {
    let (mut ana, mut ben) = porch(500);
    let (there, made) = write(&mut ana, &for_(&ben));
    assert_eq!((made.devices, made.left_out, made.over_budget), (1, 0, 0));
    let taken = read(&ben, &there);
    assert_eq!((taken.read, taken.damage, taken.more), (made.entries, None, false));
    assert!(taken.new >= 501 && taken.front && taken.refused.is_empty(), "{taken:?}");
    assert_eq!(ben.hash(), ana.hash());
    assert_eq!(read(&ben, &there).new, 0, "a second time does nothing");

    ben.now = ana.now + 10;
    ben.note("Thanks", "It went well.");
    let (back, made) = write(&mut ben, &for_(&ana));
    assert!(made.entries <= 3 && made.left_out >= 501, "{made:?}");
    println!("{} bytes there, {} bytes back", there.len(), back.len());
    assert!(back.len() < there.len() / 100, "{} of {}", back.len(), there.len());
    read(&ana, &back);
    assert_eq!(ana.hash(), ben.hash());

    // What was delivered is not carried again.
    ana.note("More", "One more thing.");
    let (again, made) = write(&mut ana, &for_(&ben));
    assert_eq!(made.entries, 1);
    assert!(again.len() * 100 < there.len());
    read(&ben, &again);
    assert_eq!(ana.hash(), ben.hash());
    let everything = Spec { everything: true, ..for_(&ben) };
    assert!(write(&mut ana, &everything).1.entries > 500);
}

#[test]
fn who_wants_says_what_is_here() {
    let (mut ana, mut ben) = porch(30);
    read(&ben, &write(&mut ana, &for_(&ben)).0);
    let (want, made) = write(&mut ben, &Spec { only_front: true, ..Spec::default() });
    assert_eq!(made.entries, 0);
    let shown = look(&ana, &want).unwrap();
    assert!(shown.read == 0 && shown.front_logs >= 1 && shown.damage.is_none());
    assert!(read(&ana, &want).front);
    assert_eq!(write(&mut ana, &for_(&ben)).1.entries, 0);
}

/// Where chunks end, from the lengths in the file.
fn chunk_ends(file: &[u8], devices: usize) -> Vec<usize> {
    let mut at = usize::try_from(file::head_bytes(devices)).unwrap();
    let mut ends = Vec::new();
    while let Some(len) = file.get(at + 4..at + 6) {
        at += 8 + usize::from(u16::from_be_bytes([len[0], len[1]]));
        ends.push(at);
    }
    assert_eq!(at, file.len());
    ends
}

#[test]
fn a_file_cut_at_every_kilobyte_gives_all_before_the_cut() {
    let (mut ana, ben) = porch(300);
    let (file, made) = write(&mut ana, &for_(&ben));
    let ends = chunk_ends(&file, 1);
    assert!(ends.len() > 20, "a group is a chunk");
    let mut by_chunk = vec![0];
    for end in &ends {
        by_chunk.push(look(&ben, &file[..*end]).map_or(0, |s| s.read));
    }
    assert!(by_chunk.is_sorted() && by_chunk.last() == Some(&made.entries));
    let (all, held_before) = (places(&ana), held(&ben, &places(&ana)));
    let known_before = look(&ben, &file).unwrap().known;
    let mut cuts = 0;
    // Each cut takes more than the one before, so one reader will do for all.
    for cut in (0..file.len()).step_by(1024) {
        let part = &file[..cut];
        let whole_chunks = ends.iter().filter(|end| **end <= cut).count();
        if whole_chunks == 0 {
            let error = look(&ben, part).unwrap_err();
            assert!(matches!(error, BundleError::NotABundle | BundleError::Damaged(_)), "{error}");
            continue;
        }
        let shown = look(&ben, part).unwrap();
        assert_eq!(shown.read, by_chunk[whole_chunks], "cut at {cut}");
        assert_eq!(shown.manifest.entries, made.entries);
        let taken = read(&ben, part);
        assert_eq!(taken.read, by_chunk[whole_chunks], "cut at {cut}");
        assert!(taken.refused.is_empty() && taken.waiting == 0, "{taken:?}");
        let at = cut as u64;
        assert!(matches!(taken.damage, Some(Damage::CutOff { at: end }) if end <= at), "{taken:?}");
        // Every whole entry is here, and every other one is named.
        let held = held(&ben, &all);
        let came = held.len() as u64 - held_before.len() as u64;
        // What was here before may be among the first of the file.
        assert!(came <= taken.read && came + known_before >= taken.read, "cut at {cut}: {taken:?}");
        assert_eq!(named(&taken), all.difference(&held).copied().collect(), "cut at {cut}");
        cuts += 1;
    }
    assert!(cuts > 20, "{cuts} cuts of {} bytes", file.len());
    assert!(held(&ben, &all).len() < all.len());
    let last = read(&ben, &file);
    assert!(last.damage.is_none() && last.lacking.is_empty());
    assert_eq!(ben.hash(), ana.hash());
}

/// Where entries stand in logs.
type Places = BTreeSet<(LogId, u64)>;

fn places(node: &Node) -> Places {
    node.everything().iter().map(|i| (i.signed.header().log, i.signed.header().seq)).collect()
}

fn held(node: &Node, of: &Places) -> Places {
    places(node).intersection(of).copied().collect()
}

fn named(taken: &Taken) -> Places {
    let runs = taken.lacking.iter().flat_map(|l| l.places.iter().map(|run| (l.log, *run)));
    runs.flat_map(|(log, (first, last))| (first..=last).map(move |n| (log, n))).collect()
}

#[test]
fn what_is_altered_is_lost_and_nothing_else() {
    let (mut ana, ben) = porch(60);
    let (file, made) = write(&mut ana, &for_(&ben));
    let head = usize::try_from(file::head_bytes(1)).unwrap();
    let ends = chunk_ends(&file, 1);
    let mut by_chunk = vec![0];
    for end in &ends {
        by_chunk.push(look(&ben, &file[..*end]).map_or(0, |s| s.read));
    }
    for at in (0..file.len()).step_by(61) {
        let mut bad = file.clone();
        bad[at] ^= 1 << (at % 8);
        let chunk = ends.iter().filter(|end| **end <= at).count();
        match look(&ben, &bad) {
            Ok(shown) => {
                let begins = if chunk == 0 { head } else { ends[chunk - 1] } as u64;
                assert_eq!(shown.damage, Some(Damage::Altered { at: begins }), "byte {at}");
                assert_eq!(shown.places, 1, "byte {at}");
                let lost = by_chunk[chunk + 1] - by_chunk[chunk];
                assert_eq!(shown.read, made.entries - lost, "byte {at} in chunk {chunk}");
            }
            Err(BundleError::NotABundle | BundleError::NotForUs) => assert!(at < head),
            Err(BundleError::Damaged(_)) => assert!(at < ends[0]),
            Err(error) => panic!("byte {at}: {error}"),
        }
    }
    // A chunk that is left out, and two that are exchanged: the second is read, and the first comes late.
    let [a, b, c] = [ends[2], ends[3], ends[4]];
    let without = [&file[..a], &file[b..]].concat();
    let exchanged = [&file[..a], &file[b..c], &file[a..b], &file[c..]].concat();
    for bad in [without, exchanged] {
        let shown = look(&ben, &bad).unwrap();
        assert_eq!(shown.damage, Some(Damage::Altered { at: a as u64 }));
        assert_eq!(shown.read, made.entries - (by_chunk[4] - by_chunk[3]));
    }
}

#[test]
fn behind_what_is_damaged_entries_are_taken_and_the_lost_ones_named() {
    let (mut ana, ben) = porch(300);
    let (file, made) = write(&mut ana, &for_(&ben));
    let all = places(&ana);
    // Two sectors of a card that read as nothing, and the end torn off in the middle of a chunk.
    let mut bad = file.clone();
    for sector in [10 * 512, 41 * 512] {
        bad[sector..sector + 512].fill(0);
    }
    bad.truncate(file.len() - 700);
    let taken = read(&ben, &bad);
    assert!(taken.places == 3 && taken.refused.is_empty(), "{taken:?}");
    assert!(taken.read + 25 > made.entries && taken.read < made.entries, "{taken:?}");
    let lost: Places = all.difference(&held(&ben, &all)).copied().collect();
    assert_eq!((named(&taken), lost.len() as u64), (lost, made.entries - taken.read));
    // What was lost is asked for, and comes.
    let mut ben = ben;
    let (want, _) = write(&mut ben, &Spec { only_front: true, ..for_(&ana) });
    assert!(read(&ana, &want).front);
    let device = Some(ben.author.device.device());
    let (rest, _) = write(&mut ana, &Spec { device, ..for_(&ben) });
    let taken = read(&ben, &rest);
    assert!(taken.damage.is_none() && taken.lacking.is_empty(), "{taken:?}");
    assert_eq!(ben.hash(), ana.hash());
}

#[test]
fn others_learn_nothing_from_the_file() {
    let (mut ana, ben) = porch(5);
    let cleo = ana.invite("cleo");
    let (file, _) = write(&mut ana, &for_(&ben));
    assert!(matches!(look(&cleo, &file), Err(BundleError::NotForUs)));
    let stranger = Node::founder("dov");
    assert!(matches!(look(&stranger, &file), Err(BundleError::NotForUs)));
    let community = ana.store.community();
    let devices = [ana.author.device.device(), ben.author.device.device()];
    let said = devices.iter().map(|d| &d.as_bytes()[..]).chain([&community.as_bytes()[..]]);
    for secret in said.chain([&b"brief"[..]]) {
        assert!(!file.windows(secret.len()).any(|w| w == secret));
    }
    // For all: both, but not who made it.
    let (file, made) = write(&mut ana, &Spec::default());
    assert_eq!(made.devices, 2);
    assert!(look(&cleo, &file).is_ok() && look(&ben, &file).is_ok());
    assert!(matches!(look(&ana, &file), Err(BundleError::NotForUs)));
    let alone = Node::founder("eve");
    let mut rng = Node::founder("rng").rng;
    let made =
        make(&alone.store, &alone.author, &Spec::default(), 1, &mut rng, Vec::new(), |_, _| ());
    assert!(matches!(made, Err(BundleError::Nobody)));
}

#[test]
fn a_budget_is_kept_and_the_rest_follows() {
    let (mut ana, mut ben) = porch(200);
    let least = {
        let spec = Spec { budget: Some(100), ..for_(&ben) };
        let mut rng = Node::founder("rng").rng;
        match make(&ana.store, &ana.author, &spec, 1, &mut rng, Vec::new(), |_, _| ()) {
            Err(BundleError::BudgetTooSmall { least, .. }) => least,
            other => panic!("{other:?}"),
        }
    };
    let whole = write(&mut ana, &for_(&ben)).1;
    for budget in [least, least + 700, 5000, 12_345, whole.bytes, whole.bytes * 2] {
        let (file, made) = write(&mut ana, &Spec { budget: Some(budget), ..for_(&ben) });
        assert!(file.len() as u64 <= budget, "{} of {budget}", file.len());
        assert_eq!(made.entries + made.over_budget, whole.entries);
        if budget > 2000 {
            assert!(file.len() as u64 > budget.min(whole.bytes) / 2, "{} of {budget}", file.len());
        }
    }
    // The oldest first, so that what came counts at once; then on from there.
    let mut files = 0;
    while ben.hash() != ana.hash() {
        let (file, _) = write(&mut ana, &Spec { budget: Some(15_000), ..for_(&ben) });
        let taken = read(&ben, &file);
        assert!(taken.new > 0 && taken.damage.is_none());
        read(&ana, &write(&mut ben, &Spec { only_front: true, ..for_(&ana) }).0);
        files += 1;
        assert!(files < 30);
    }
    assert!(files > 2);
}

#[test]
fn parts_are_bundles_by_themselves_in_any_order() {
    let (mut ana, ben) = porch(200);
    let whole = write(&mut ana, &for_(&ben)).1;
    let spec = Spec { budget: Some(9000), ..for_(&ben) };
    let mut files: Vec<Vec<u8>> = Vec::new();
    let (author, mut rng) = (ana.author.clone(), Node::founder("rng").rng);
    let mut told = (0, 0);
    let keep = |file| {
        files.push(file);
        Ok(())
    };
    let made =
        make_parts(&ana.store, &author, &spec, ana.now, &mut rng, keep, |n, of| told = (n, of));
    let made = made.unwrap();
    assert_eq!((made.entries, made.over_budget), (whole.entries, 0));
    assert_eq!(told, (whole.entries, whole.entries));
    assert_eq!(made.bytes, files.iter().map(|f| f.len() as u64).sum::<u64>());
    assert!(files.len() > 3 && files.iter().all(|f| f.len() <= 9000));
    let full = files.iter().filter(|f| f.len() > 7000).count();
    assert!(full + 2 >= files.len(), "{full} of {} are full", files.len());
    for (n, file) in files.iter().enumerate().rev() {
        let taken = read(&ben, file);
        assert!(taken.damage.is_none() && taken.refused.is_empty());
        assert_eq!(taken.more, n + 1 < files.len());
    }
    assert_eq!(ben.hash(), ana.hash());
    // A part that cannot hold the next post says how large it has to be.
    let spec = Spec { budget: Some(600), everything: true, ..for_(&ben) };
    let made = make_parts(&ana.store, &author, &spec, ana.now, &mut rng, |_| Ok(()), |_, _| ())
        .unwrap_err();
    assert!(matches!(made, BundleError::BudgetTooSmall { budget: 600, least: 601.. }), "{made}");
}

#[test]
fn what_is_older_is_left_out_but_for_the_roster() {
    let (mut ana, ben) = porch(20);
    let since_ms = Some(ana.now - 4);
    let (file, made) = write(&mut ana, &Spec { since_ms, ..for_(&ben) });
    let all = write(&mut ana, &for_(&ben)).1;
    assert_eq!(made.entries + made.older, all.entries);
    let roster = ana.store.roster_entries().unwrap().len() as u64;
    assert_eq!(made.entries, roster + 5);
    assert_eq!(read(&ben, &file).read, made.entries);
}

#[test]
fn what_is_forked_or_has_holes_is_not_said_to_be_held() {
    let (ana, ben) = porch(20);
    let all = ana.everything();
    let log = ana.store.log_heads().unwrap().iter().max_by_key(|(_, seq, _)| *seq).unwrap().0;
    let last = |front: &Front| front.get(&log).and_then(|f| f.points().next()).map(|(n, _)| n);
    let whole = last(&ana.store.front().unwrap()).unwrap();
    // Without one in the middle.
    let without: Vec<_> = all
        .iter()
        .filter(|i| !(i.signed.header().log == log && i.signed.header().seq == 12))
        .cloned()
        .collect();
    ben.ingest(without);
    assert_eq!(last(&ben.store.front().unwrap()), Some(11));
    let lacking = ana.store.uncovered(&ben.store.front().unwrap()).unwrap();
    assert!(lacking.len() as u64 >= whole - 11);
    ben.ingest(all);
    assert_eq!(last(&ben.store.front().unwrap()), Some(whole));
    assert_eq!(ana.store.uncovered(&ben.store.front().unwrap()).unwrap(), []);
    // A front that speaks of other entries than ours covers nothing.
    let mut lie = Front::new();
    assert!(lie.insert(log, LogFront::new(&[[7; 8]; 40]).unwrap()));
    assert_eq!(ana.store.uncovered(&lie).unwrap().len() as u64, ana.store.stats().unwrap().entries);
}

#[test]
fn the_newest_front_of_a_device_is_kept() {
    let (ana, ben) = porch(3);
    let device = ben.author.device.device();
    let (old, new) = (Front::new(), ana.store.front().unwrap());
    assert_eq!(ana.store.front_of(&device).unwrap(), None);
    ana.store.note_front(&device, 20, &new).unwrap();
    ana.store.note_front(&device, 10, &old).unwrap();
    assert_eq!(ana.store.front_of(&device).unwrap(), Some(new));
    ana.store.note_front(&device, 30, &old).unwrap();
    assert_eq!(ana.store.front_of(&device).unwrap(), Some(old));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..2000), magic: bool) {
        thread_local!(static EVE: Node = Node::founder("eve"));
        let file = if magic { [&b"lanai-bundle/1\n"[..], &bytes].concat() } else { bytes };
        prop_assert!(EVE.with(|eve| look(eve, &file).is_err()));
    }
}
