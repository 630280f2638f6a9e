//! SEG and PAY: every header survives exactly, whatever it looks like.

use lanai_crdt::clock::{Hlc, MAX_MILLIS};
use lanai_crdt::entry::{DeviceSecret, Header, HeaderTail, Verified};
use lanai_crdt::id::{CommunityId, EntryId, EpochRef, LogId, LogNumber, PayloadHash};
use proptest::prelude::*;

use super::world::{Rng, archive};
use crate::sync::*;

const HOME: CommunityId = CommunityId::new([1; 32]);

/// Random headers that like to have things in common, as real ones do.
fn headers(seed: u64, count: usize) -> Vec<(Verified, bool, bool)> {
    let mut rng = Rng(seed);
    let secrets: Vec<DeviceSecret> =
        (0..3).map(|n| DeviceSecret::from_bytes(&[n + 1; 32])).collect();
    let mut out: Vec<(Verified, bool, bool)> = Vec::new();
    for _ in 0..count {
        let mut header = Header {
            class: rng.below(6) as u8,
            community: HOME,
            log: LogId {
                device: rng.pick(&secrets).device(),
                number: LogNumber([rng.below(2) as u8; 8]),
            },
            seq: *rng.pick(&[0, 1, 77, u64::MAX]),
            prev: EntryId::new([rng.below(3) as u8 + 1; 32]),
            time: Hlc(*rng.pick(&[
                0,
                u64::MAX,
                1 << 16,
                MAX_MILLIS << 16,
                1_700_000_000_000 << 16 | 5,
            ])),
            epoch: EpochRef([rng.below(3) as u8 + 1; 16]),
            payload_hash: PayloadHash::new(rng.bytes(32).try_into().unwrap()),
            payload_len: rng.below(48 * 1024 + 1) as u32,
            tail: HeaderTail::V1 { heads: vec![], refs: vec![] },
        };
        if header.seq == 0 && rng.chance(50) {
            header.prev = EntryId::ZERO;
        }
        if let Some((last, ..)) = out.last().filter(|_| rng.chance(60)) {
            let last = last.header();
            if let Some(seq) = last.seq.checked_add(1) {
                (header.log, header.seq, header.prev) = (last.log, seq, last.id());
                header.time = Hlc(last.time.0.saturating_add(rng.below(1 << 30)));
            }
        }
        let id = |rng: &mut Rng| match out.is_empty() || rng.chance(30) {
            true => EntryId::new([rng.below(5) as u8; 32]),
            false => rng.pick(&out).0.id(),
        };
        let mut heads: Vec<EntryId> = (0..rng.below(5)).map(|_| id(&mut rng)).collect();
        heads.sort();
        heads.dedup();
        let refs = (0..rng.below(11)).map(|_| id(&mut rng)).collect();
        if header.class == 0 {
            header.epoch = EpochRef::CLEAR;
            if heads.is_empty() {
                heads.push(EntryId::new([9; 32]));
            }
        }
        header.tail = HeaderTail::V1 { heads, refs };
        if rng.chance(10) {
            let n = rng.below(850) as usize;
            header.tail =
                HeaderTail::Later { version: 2 + rng.below(254) as u8, bytes: rng.bytes(n) };
            header.class = rng.next() as u8;
        }
        let secret = secrets.iter().find(|s| s.device() == header.log.device).unwrap();
        let entry = secret.sign(&header);
        out.push((entry, rng.chance(40), rng.chance(60)));
    }
    out
}

fn check(entries: &[(Verified, bool, bool)]) -> Result<(), TestCaseError> {
    let mut seg = SegWriter::new(HOME);
    let mut put = Vec::new();
    for (entry, sign, payload) in entries {
        let before = (seg.records(), seg.cost());
        match seg.put(entry, *sign, *payload) {
            Ok(()) => put.push((entry, *sign, *payload)),
            Err(PutError::Full) => prop_assert_eq!((seg.records(), seg.cost()), before),
            Err(PutError::Foreign) => prop_assert!(false),
        }
    }
    let cost = seg.cost();
    let body = seg.into_body();
    prop_assert!(body.len() <= MAX_BODY_BYTES);
    let segment = Segment::decode(&body).unwrap();
    prop_assert_eq!((segment.len(), segment.cost()), (put.len(), cost));
    for (n, (entry, _, payload)) in put.iter().enumerate() {
        let len = payload.then_some(entry.header().payload_len as usize);
        prop_assert_eq!(segment.payload_len(n), len);
    }
    prop_assert_eq!(segment.payload_len(put.len()), None);
    let built = segment.build(HOME, |n| put[n].0.header().payload_hash);
    prop_assert_eq!(built.len(), put.len());
    for (built, (entry, sign, _)) in built.into_iter().zip(put) {
        let built = built.unwrap();
        prop_assert_eq!(built.bytes(), entry.bytes());
        prop_assert_eq!(built.id(), entry.id());
        prop_assert_eq!(built.signature(), entry.signature().filter(|_| sign));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn any_headers_survive(seed: u64, count in 1usize..40) {
        check(&headers(seed, count))?;
    }

    #[test]
    fn random_bodies_never_panic(body in proptest::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(segment) = Segment::decode(&body) {
            prop_assert!(segment.len() <= body.len());
            segment.build(HOME, |_| PayloadHash::ZERO);
        }
    }

    #[test]
    fn changed_bodies_never_panic(seed: u64, at: prop::sample::Index, value: u8, cut: prop::sample::Index) {
        let mut seg = SegWriter::new(HOME);
        for (entry, sign, payload) in headers(seed, 12) {
            seg.put(&entry, sign, payload).unwrap();
        }
        let mut body = seg.into_body();
        let at = at.index(body.len());
        body[at] = value;
        for body in [&body[..], &body[..cut.index(body.len())]] {
            if let Ok(segment) = Segment::decode(body) {
                segment.build(HOME, |_| PayloadHash::ZERO);
            }
        }
    }

    #[test]
    fn payloads_survive(payloads in proptest::collection::vec((0u64..5, proptest::collection::vec(any::<u8>(), 0..50)), 1..50)) {
        let mut pay = PayWriter::default();
        let mut number = 0;
        let mut want = Vec::new();
        for (gap, payload) in payloads {
            number += gap;
            prop_assert!(pay.put(number, &payload));
            want.push((number, payload));
            number += 1;
        }
        let body = pay.into_body();
        let mut reader = PayReader::new(&body);
        for (number, payload) in want {
            prop_assert_eq!(reader.number(), Ok(Some(number)));
            prop_assert_eq!(reader.payload(payload.len()), Ok(&payload[..]));
        }
        prop_assert_eq!(reader.number(), Ok(None));
    }
}

#[test]
fn a_full_frame_says_so() {
    let (world, _, store) = archive(1, 3, 1500, 10);
    let mut seg = SegWriter::new(world.community);
    let put = store.entries.values().filter(|e| seg.put(&e.entry, true, false).is_ok()).count();
    assert!((400..store.entries.len()).contains(&put), "{put}");
    assert!(seg.records() == put && seg.body_len() <= MAX_BODY_BYTES);
    let mut seg = SegWriter::new(world.community);
    let mut entries: Vec<&StoredEntry> = store.entries.values().collect();
    entries.sort_by_key(|e| e.entry.header().time);
    let put = entries.iter().filter(|e| seg.put(&e.entry, false, true).is_ok()).count();
    assert_eq!(put, MAX_SEG_RECORDS);
    // The other community's entries, its genesis included, do not pass.
    let (other, ..) = archive(2, 1, 1, 1);
    let mut seg = SegWriter::new(other.community);
    assert_eq!(seg.put(&world.genesis.entry, true, true), Err(PutError::Foreign));
    assert_eq!(
        seg.put(&store.entries.values().next().unwrap().entry, true, true),
        Err(PutError::Foreign)
    );
    assert_eq!(seg.put(&other.genesis.entry, true, true), Ok(()));
}

#[test]
fn a_long_payload_always_fits_an_empty_frame() {
    let payload = vec![0; lanai_crdt::limits::MAX_PAYLOAD_BYTES];
    let mut pay = PayWriter::default();
    assert!(pay.put(u64::MAX - 1, &payload) && !pay.put(u64::MAX, &payload));
    assert!(pay.into_body().len() <= MAX_BODY_BYTES);
}

/// Prints the bytes of one record: `cargo test -p lanai-node codec -- --nocapture`.
#[test]
fn bytes_of_a_record() {
    let (world, _, store) = archive(10, 20, 1000, 210);
    let mut entries: Vec<&StoredEntry> =
        store.entries.values().filter(|e| e.entry.header().class == 2).collect();
    entries.sort_by_key(|e| e.entry.header().time);
    let mut seg = SegWriter::new(world.community);
    let mut logs = std::collections::HashSet::new();
    let (mut sum, mut count, mut last) = (0, 0, 0);
    for e in entries {
        let before = last;
        seg.put(&e.entry, false, true).unwrap();
        last = seg.body_len();
        if !logs.insert(e.entry.header().log) && e.entry.header().refs().len() == 1 {
            sum += last - before;
            count += 1;
        }
    }
    println!(
        "a reply with one ref: {:.2} bytes of header on average",
        sum as f64 / f64::from(count)
    );
}
