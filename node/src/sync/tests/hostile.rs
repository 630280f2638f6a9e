//! A peer that sends something else than it should: cut streams, flipped bits, made-up frames.

use std::sync::LazyLock;

use lanai_crdt::entry::{Signature, Verified};
use lanai_crdt::id::CommunityId;
use proptest::prelude::*;

use super::pair::{End, Side, pair, run};
use super::world::{MemStore, Rng, Writing, archive};
use crate::sync::frame::put_frame;
use crate::sync::*;

/// A short real session in which entries go both ways, and all that was sent in it.
struct Recording {
    community: CommunityId,
    all: MemStore,
    stores: [MemStore; 2],
    nonces: [Nonce; 2],
    streams: [Vec<u8>; 2],
}

static RECORDING: LazyLock<Recording> = LazyLock::new(|| {
    let (world, _, all) = archive(77, 3, 9, 40);
    let mut stores = [MemStore::default(), MemStore::default()];
    for (n, e) in all.entries.values().enumerate() {
        for (i, store) in stores.iter_mut().enumerate() {
            if n % 3 != i || e.entry.header().is_genesis() {
                let mut e = e.clone();
                if n % 5 == i {
                    e.payload = None;
                }
                store.insert(e);
            }
        }
    }
    let config = Config::new(world.community);
    let (mut a, mut b) = pair(&config, &stores[0], &stores[1], 5);
    let mut rng = Rng(5);
    let nonces = [rng.nonce(), rng.nonce()];
    run(&mut a, &mut b, None);
    assert!(a.summary().stored >= 3 && b.summary().stored >= 3);
    assert!(a.summary().payloads >= 1 && b.summary().payloads >= 1);
    assert_eq!(a.store.ids(), b.store.ids());
    Recording { community: world.community, all, stores, nonces, streams: [a.sent, b.sent] }
});

impl Recording {
    /// Side 0 or 1 of the recorded session, as it was at the start.
    fn side(&self, at: usize) -> Side {
        let role = if at == 0 { Role::Initiator } else { Role::Responder };
        let config = Config::new(self.community);
        let mut side = Side::new(role, config, self.stores[at].clone(), self.nonces[at]);
        side.give(Input::Start, 0);
        side
    }

    /// What the peer of side `at` had sent.
    fn towards(&self, at: usize) -> &[u8] {
        &self.streams[1 - at]
    }

    /// Gives a side the first `upto` of these bytes, which are the recorded ones but for some
    /// changes, frame by frame as they came, so that the store answers in between.
    fn replay(&self, side: &mut Side, at: usize, bytes: &[u8], upto: usize) {
        let (mut reader, mut input) = (FrameReader::default(), self.towards(at));
        let mut from = 0;
        while from < upto {
            reader.next(&mut input).unwrap();
            let to = (bytes.len() - input.len()).min(upto);
            side.give(Input::Bytes(&bytes[from..to]), 0);
            from = to;
        }
    }

    /// All that a side holds is, bit for bit, what some author signed.
    fn check(&self, side: &Side) {
        for (id, held) in &side.store.entries {
            let real = &self.all.entries[id];
            assert_eq!(held.entry.bytes(), real.entry.bytes());
            assert!(held.payload.is_none() || held.payload == real.payload);
            let signature = held.entry.signature();
            assert!(signature.is_none() || signature == real.entry.signature());
        }
    }
}

#[test]
fn the_recording_replays() {
    for at in 0..2 {
        let mut side = RECORDING.side(at);
        let stream = RECORDING.towards(at);
        RECORDING.replay(&mut side, at, stream, stream.len());
        assert!(matches!(side.end, End::Done(_)), "{:?}", side.end);
        assert_eq!(side.store.ids(), RECORDING.all.ids());
        RECORDING.check(&side);
    }
}

#[test]
fn every_truncation_ends_in_a_named_error() {
    for at in 0..2 {
        let stream = RECORDING.towards(at);
        for n in 0..stream.len() {
            let mut side = RECORDING.side(at);
            RECORDING.replay(&mut side, at, stream, n);
            assert_eq!(side.end, End::Open, "{n} of {}", stream.len());
            // Some are left alone by the peer, the others are told.
            if n % 2 == 0 {
                side.give(Input::Tick, 29_999);
                assert_eq!(side.end, End::Open);
                let deadline = side.session.deadline().unwrap();
                assert_eq!(deadline, 30_000);
                side.give(Input::Tick, deadline);
                assert_eq!(side.end, End::Failed(SessionError::Stalled));
            } else {
                side.give(Input::Eof, 0);
                assert_eq!(side.end, End::Failed(SessionError::Cut));
            }
            assert_eq!(side.session.deadline(), None);
            assert!(side.give(Input::Bytes(&stream[n..]), 0).is_empty());
            RECORDING.check(&side);
        }
    }
}

#[test]
fn no_flipped_bit_brings_in_a_changed_entry() {
    let mut ends = std::collections::BTreeMap::<String, u32>::new();
    for at in 0..2 {
        let stream = RECORDING.towards(at);
        for bit in 0..stream.len() * 8 {
            let mut bytes = stream.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let mut side = RECORDING.side(at);
            RECORDING.replay(&mut side, at, &bytes, bytes.len());
            RECORDING.check(&side);
            let name = match &side.end {
                End::Open => "open".to_owned(),
                End::Done(s) if s.refused.is_empty() => "done".to_owned(),
                End::Done(_) => "done, some refused".to_owned(),
                End::Failed(e) => format!("{:?}", e.severity()),
            };
            *ends.entry(name).or_default() += 1;
        }
    }
    println!("{ends:?}");
    assert!(ends["done, some refused"] > 100 && ends["Peer"] > 100);
}

#[test]
fn a_changed_entry_does_not_harm_its_neighbour() {
    let (world, mut authors, store) = archive(8, 3, 0, 0);
    let mut rng = Rng(3);
    let mut write = |n: usize| {
        let w = Writing { class: 2, refs: vec![], payload: rng.bytes(60), now: 1_800_000_000_000 };
        authors[n].write(&world, w)
    };
    let (good, bad) = (write(1), write(2));
    let empty = store.clone();
    let mut both = store.clone();
    both.insert(good.clone());
    let (mut taken, mut named) = (0, 0);
    for bit in 0..(bad.entry.bytes().len() + 64) * 8 {
        let mut bytes = bad.entry.bytes().to_vec();
        let mut signature = bad.entry.signature().unwrap().0;
        match bytes.get_mut(bit / 8) {
            Some(byte) => *byte ^= 1 << (bit % 8),
            None => signature[bit / 8 - bad.entry.bytes().len()] ^= 1 << (bit % 8),
        }
        // A hostile node may store, and sign for, what it likes.
        let Ok(entry) = Verified::from_trusted_storage(bytes, Some(Signature(signature))) else {
            named += 1;
            continue;
        };
        let mut evil = both.clone();
        evil.insert(StoredEntry { payload: bad.payload.clone(), entry });
        let (mut a, mut b) = pair(&Config::new(world.community), &evil, &empty, 1);
        run(&mut a, &mut b, None);
        assert!(b.store.entries.contains_key(&good.entry.id()), "bit {bit}");
        assert_eq!(b.store.entries.len(), empty.entries.len() + 1, "bit {bit}");
        let refused: u64 = b.summary().refused.values().sum();
        assert_eq!(refused + a.summary().unsendable, 1, "bit {bit}");
        taken += 1;
    }
    assert!(taken > 1000 && named > 10, "{taken} {named}");
}

/// Brings a session to the point where entries flow: side 1 of the recording, before its peer's
/// first SEG.
fn receiving() -> Side {
    let mut side = RECORDING.side(1);
    let stream = RECORDING.towards(1);
    let (mut reader, mut input) = (FrameReader::default(), stream);
    let mut from = 0;
    while let Some(frame) = reader.next(&mut input).unwrap() {
        if frame.kind == FrameType::Seg as u8 {
            break;
        }
        from = stream.len() - input.len();
    }
    RECORDING.replay(&mut side, 1, stream, from);
    assert_eq!(side.end, End::Open);
    side
}

fn feed(side: &mut Side, kind: u8, body: &[u8]) {
    let mut bytes = (body.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.push(kind);
    bytes.extend_from_slice(body);
    side.give(Input::Bytes(&bytes), 0);
}

#[test]
fn records_that_are_no_headers_are_named_and_their_neighbours_stay() {
    let mut side = receiving();
    let mut writer = SegWriter::new(RECORDING.community);
    let good =
        RECORDING.all.entries.values().find(|e| {
            !side.store.entries.contains_key(&e.entry.id()) && e.entry.signature().is_some()
        });
    let good = good.unwrap();
    writer.put(&good.entry, true, true).unwrap();
    let mut body = writer.into_body();
    // A roster entry without heads: flags, log 1 (new), seq 5, prev zero, time, length 0, hash, counts.
    body.extend_from_slice(&[2 | 4, 1]);
    body.extend_from_slice(&[9; 40]);
    body.extend_from_slice(&[5, 1, 0, 0]);
    body.extend_from_slice(&[3; 32]);
    body.push(0);
    feed(&mut side, 5, &body);
    let mut pay = PayWriter::default();
    assert!(pay.put(0, good.payload.as_ref().unwrap()));
    feed(&mut side, 6, &pay.into_body());
    assert_eq!(side.end, End::Open);
    assert!(side.store.entries.contains_key(&good.entry.id()));
    let refused = side.session.summary().refused;
    assert_eq!(refused.into_iter().collect::<Vec<_>>(), [("header: no roster heads", 1)]);
}

#[test]
fn frames_out_of_place_and_over_the_limits_are_named() {
    let end = |kind: u8, body: &[u8]| {
        let mut side = receiving();
        feed(&mut side, kind, body);
        match side.end {
            End::Failed(error) => error,
            other => panic!("{kind}: {other:?}"),
        }
    };
    use FrameType::*;
    assert_eq!(end(1, &[]), SessionError::Unexpected(Hello));
    assert_eq!(end(2, &[]), SessionError::Unexpected(Digest));
    assert_eq!(end(4, &[0x61]), SessionError::Unexpected(Rb));
    assert_eq!(end(7, &[1]), SessionError::Unexpected(Want));
    assert_eq!(end(11, &[200, 1, 0]), SessionError::BadAck);
    assert_eq!(end(11, &[0, 1]), SessionError::BadAck);
    assert_eq!(end(12, &[7, 0]), SessionError::BadFin);
    assert_eq!(end(13, &[6]), SessionError::PeerGaveUp(ByeReason::Stopping));
    assert_eq!(end(13, &[]), SessionError::PeerGaveUp(ByeReason::Other(0)));
    assert_eq!(
        end(8, &[0, 50]),
        SessionError::BadFrame { kind: Skip, error: WireError::Range("place") }
    );
    let truncated = |kind| SessionError::BadFrame { kind, error: WireError::Truncated };
    assert_eq!(end(5, &[]), truncated(Seg));
    assert_eq!(end(6, &[]), truncated(Pay));
    let number = WireError::Range("payload number");
    assert_eq!(end(6, &[0]), SessionError::BadFrame { kind: Pay, error: number });
    let reserved = SessionError::BadFrame { kind: Seg, error: WireError::Reserved };
    assert_eq!(end(5, &[128]), reserved);

    let mut side = receiving();
    side.give(Input::Bytes(&[255, 255, 255]), 0);
    assert_eq!(side.end, End::Failed(SessionError::TooLong(FrameTooLong(0xff_ffff))));
}

#[test]
fn reserved_and_unknown_frames_are_passed_over_and_counted() {
    let mut side = receiving();
    for kind in [0, 3, 9, 10, 15, 255] {
        feed(&mut side, kind, b"from a later version");
    }
    assert_eq!((side.end.clone(), side.session.summary().ignored_frames), (End::Open, 6));
    for _ in 0..16 {
        feed(&mut side, 200, &vec![0; MAX_BODY_BYTES]);
    }
    assert_eq!(side.end, End::Failed(SessionError::TooMuchIgnored));
}

#[test]
fn more_than_the_window_ends_the_session_before_any_payload() {
    let mut side = receiving();
    // 84 headers of 48 KiB payloads each cost over 4 MiB.
    let mut body = Vec::new();
    for n in 0..85u8 {
        body.extend_from_slice(&[2 | 2 << 3, 0]);
        if n == 0 {
            body.extend_from_slice(&[9; 40]);
        }
        body.extend_from_slice(&[n & 127, 1, 0, 0x80, 0x80, 3, 0]);
    }
    feed(&mut side, 5, &body);
    assert_eq!(side.end, End::Failed(SessionError::OverWindow));
    assert!(side.peak < 200_000, "{}", side.peak);
}

#[test]
fn what_arrived_whole_survives_a_cut() {
    let stream = RECORDING.towards(0);
    let (mut reader, mut input, mut end) = (FrameReader::default(), stream, 0);
    while reader.next(&mut input).unwrap().is_some_and(|f| f.kind != FrameType::Fin as u8) {
        end = stream.len() - input.len();
    }
    let mut side = RECORDING.side(0);
    side.hold_commits = true;
    RECORDING.replay(&mut side, 0, stream, end);
    // Another group, whole, behind the commit that is under way.
    let mut writer = SegWriter::new(RECORDING.community);
    let any = RECORDING.all.entries.values().next().unwrap();
    writer.put(&any.entry, true, false).unwrap();
    let before = side.offered.len();
    feed(&mut side, 5, &writer.into_body());
    assert_eq!(side.offered.len(), before);
    side.give(Input::Eof, 0);
    assert_eq!(side.end, End::Failed(SessionError::Cut));
    assert!(side.offered.len() > before);
    assert_eq!(side.offered.last().unwrap().signed.id(), any.entry.id());
}

#[test]
fn a_peer_that_asks_and_does_not_read_is_dropped() {
    // Its first message is repeated for ever; nothing of the answers is reported as sent.
    let (world, _, all) = archive(12, 3, 3000, 10);
    let mut session =
        Session::new(Role::Responder, Config::new(world.community), all.state(), Nonce([1; 16]), 0);
    let mut bytes = Vec::new();
    let hello = Hello::new(&world.community, Nonce([2; 16]), MIN_WINDOW_BYTES);
    put_frame(&mut bytes, FrameType::Hello, &hello.encode());
    let more = LocalState::new([0; 32], 1_000_000, vec![], false, false);
    put_frame(&mut bytes, FrameType::Digest, &more.digest(&Nonce([2; 16])).encode());
    session.handle(Input::Bytes(&bytes), 0);
    session.handle(Input::Set(ItemSet::new(all.items()).tree()), 0);
    let mut rb = Vec::new();
    // "I have nothing at all": the answer is a list of all ids.
    put_frame(&mut rb, FrameType::Rb, &[0x61, 0, 0, 2, 0]);
    let mut handed = 0;
    for _ in 0..1000 {
        for output in session.handle(Input::Bytes(&rb), 0) {
            match output {
                Output::Send(bytes) => handed += bytes.len(),
                Output::Failed(error) => {
                    assert_eq!(error, SessionError::NotReading);
                    assert!(handed <= MAX_UNSENT_BYTES + 2 * 65_536);
                    return;
                }
                other => panic!("{other:?}"),
            }
        }
    }
    panic!("never dropped");
}

#[test]
fn a_drip_of_bytes_is_no_progress() {
    let mut side = RECORDING.side(0);
    for n in 0..60 {
        side.give(Input::Bytes(&[0]), n * 1000);
    }
    side.give(Input::Tick, 30_000);
    assert_eq!(side.end, End::Failed(SessionError::Stalled));
}

#[test]
fn a_slow_commit_keeps_the_peer_waiting_not_stalled() {
    let mut side = RECORDING.side(0);
    side.hold_commits = true;
    let stream = RECORDING.towards(0);
    RECORDING.replay(&mut side, 0, stream, stream.len());
    assert_eq!((side.end.clone(), side.offered.is_empty()), (End::Open, false));
    for n in 1..10 {
        let deadline = side.session.deadline().unwrap();
        assert_eq!(deadline, n * 10_000);
        let outputs = side.session.handle(Input::Tick, deadline);
        assert!(matches!(&outputs[..], [Output::Send(ack)] if ack[3] == FrameType::Ack as u8));
    }
}

#[test]
fn answers_that_nobody_asked_for_are_this_programs_mistake() {
    let inputs: [(Input<'static>, &str); 6] = [
        (Input::Set(Tree::default()), "the set"),
        (Input::Places(vec![]), "places"),
        (Input::News(vec![]), "news"),
        (Input::WantedPayloads(vec![]), "payloads"),
        (Input::Loaded { entries: vec![], taken: 1 }, "entries"),
        (Input::Ingested(IngestReport::default()), "a commit"),
    ];
    for (input, what) in inputs {
        let mut side = RECORDING.side(0);
        side.give(input, 0);
        assert_eq!(side.end, End::Failed(SessionError::Driver(what)));
    }
    for (input, error) in
        [(Input::Stop, SessionError::Stopped), (Input::StoreFailed, SessionError::Store)]
    {
        let mut side = RECORDING.side(0);
        side.give(input, 0);
        assert_eq!(error.severity(), Severity::Local);
        assert_eq!(side.end, End::Failed(error));
    }
}

/// A frame of a random type, filled at random or from the recording with a few changed bytes.
fn arb_frame() -> impl Strategy<Value = Vec<u8>> {
    let random = (0u8..16, proptest::collection::vec(any::<u8>(), 0..200));
    let real = (any::<prop::sample::Index>(), 0usize..2)
        .prop_map(|(n, at)| {
            let (mut reader, mut input) = (FrameReader::default(), RECORDING.towards(at));
            let mut frames = Vec::new();
            while let Some(frame) = reader.next(&mut input).unwrap() {
                frames.push((frame.kind, frame.body));
            }
            n.get(&frames).clone()
        })
        .boxed();
    let changed = (real.clone(), any::<prop::sample::Index>(), any::<u8>()).prop_map(
        |((kind, mut body), at, value)| {
            if !body.is_empty() {
                let at = at.index(body.len());
                body[at] = value;
            }
            (kind, body)
        },
    );
    prop_oneof![random, real, changed].prop_map(|(kind, body)| {
        let mut bytes = (body.len() as u32).to_be_bytes()[1..].to_vec();
        bytes.push(kind);
        bytes.extend_from_slice(&body);
        bytes
    })
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2000), at in 0usize..2) {
        let mut side = RECORDING.side(at);
        side.give(Input::Bytes(&bytes), 0);
        prop_assert!(side.peak < 200_000);
    }

    #[test]
    fn random_frames_never_panic(frames in proptest::collection::vec(arb_frame(), 0..12),
                                 at in 0usize..2, from in 0usize..3) {
        let mut side = match from {
            0 => RECORDING.side(at),
            1 => {
                // HELLO and DIGEST are good.
                let mut side = RECORDING.side(at);
                side.give(Input::Bytes(&RECORDING.towards(at)[..83]), 0);
                side
            }
            _ => receiving(),
        };
        for frame in frames {
            side.give(Input::Bytes(&frame), 0);
        }
        RECORDING.check(&side);
        prop_assert!(side.peak < 400_000, "{}", side.peak);
    }
}
