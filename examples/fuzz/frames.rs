//! The bodies of the sync protocol's frames, read one by one.

use lanai_crdt::id::EntryId;
use lanai_node::sync::{
    Ack, Digest, Fin, FrameReader, Hello, ItemSet, LocalState, News, Nonce, PayReader, PayWriter,
    Reconciler, SegWriter, Segment, Skip, SyncItem, Want,
};

use super::village::{Village, bodies, person};
use super::{Decoder, Random, Shape, mutate};

pub(super) fn all() -> Vec<Decoder> {
    let mut all = small();
    all.extend(entries());
    all.extend(reconciliation());
    all.push(files());
    all
}

/// Frames of `/lanai/file/1`, of both sides.
fn files() -> Decoder {
    use lanai_crdt::id::FileRoot;
    use lanai_node::files::wire::{Answer, FrameReader, No, Request};
    let ask = Request::Ask { root: FileRoot::new([1; 32]), bytes: 70_000, outline: true };
    let samples = vec![
        ask.encode(),
        Request::Group(7).encode(),
        Answer::Outline(vec![[2; 32], [3; 32]]).encode(),
        Answer::Slice { group: 7, sealed: vec![4; 300] }.encode(),
        Answer::No(No::Busy).encode(),
    ];
    Decoder::new("file frames", 16, Shape::Binary, samples, |b| {
        let (mut reader, mut input, mut some) = (FrameReader::new(4096), b, false);
        while let Ok(Some(frame)) = reader.next(&mut input) {
            assert!(frame.body.len() <= 4096);
            let body = frame.body.clone();
            if let Ok(request) = Request::decode(&frame) {
                assert_eq!(request.encode().get(4..), Some(body.as_slice()), "one encoding");
                some = true;
            }
            if let Ok(answer) = Answer::decode(frame) {
                assert_eq!(answer.encode().get(4..), Some(body.as_slice()), "one encoding");
                some = true;
            }
        }
        some
    })
}

fn small() -> Vec<Decoder> {
    let community = EntryId::new([1; 32]).as_community();
    let ids: Vec<EntryId> = (0..5).map(|n| EntryId::new([n; 32])).collect();
    let state = LocalState::new([4; 32], 300, ids.clone(), true, false);
    let hello = Hello::new(&community, Nonce([3; 16]), 5 << 20);
    let named = Hello { bases: [Some([1; 6]), Some([2; 6])], chosen: 2, ..hello }.encode();
    let hello = hello.encode();
    let news = News::Came((0..40).map(|n| n << 50).collect()).encode();
    let digest = state.digest(&Nonce([3; 16])).encode();
    let want = Want { last: true, payloads: false, ids }.encode();
    let skip = Skip { payloads: true, places: vec![0, 3, 900] }.encode();
    let ack = Ack { through: 5000, refused: 3 }.encode();
    let fin = Fin { sent: 70_000, more: true }.encode();
    let frame = |kind, body: &[u8]| mutate::whole(kind, body);
    let stream = [frame(1, &hello), frame(2, &digest), frame(200, &[7; 300])].concat();
    vec![
        Decoder::new("sync HELLO", 16, Shape::Binary, vec![hello, named], |b| {
            Hello::decode(b).is_ok_and(|h| Hello::decode(&h.encode()) == Ok(h) && h.version_min > 0)
        }),
        Decoder::new("sync DIGEST", 16, Shape::Binary, vec![digest], |b| match Digest::decode(b) {
            Ok(digest) => {
                assert_eq!(digest.encode(), b, "one encoding");
                true
            }
            Err(_) => false,
        }),
        Decoder::new("sync NEWS", 16, Shape::Binary, vec![news, vec![1]], |b| {
            News::decode(b).is_ok_and(|news| news.encode() == b)
        }),
        Decoder::new("sync WANT", 16, Shape::Binary, vec![want], |b| match Want::decode(b) {
            Ok(want) => {
                assert_eq!(want.encode(), b, "one encoding");
                true
            }
            Err(_) => false,
        }),
        Decoder::new("sync SKIP", 16, Shape::Binary, vec![skip], |b| {
            let Ok(skip) = Skip::decode(b, 1000, 1000) else { return false };
            assert!(skip.places.iter().all(|p| *p < 1000), "a place that was not asked for");
            assert_eq!(skip.encode(), b, "one encoding");
            true
        }),
        Decoder::new("sync ACK, FIN", 16, Shape::Binary, vec![ack, fin], |b| {
            let ack = Ack::decode(b).ok();
            let fin = Fin::decode(b).ok();
            assert!(ack.is_none_or(|a| a.encode() == b) && fin.is_none_or(|f| f.encode() == b));
            ack.is_some() || fin.is_some()
        }),
        Decoder::new("sync frames", 16, Shape::Frames, vec![stream], |b| {
            let (mut whole, mut pieces) = (Vec::new(), Vec::new());
            let read = |mut bytes: &[u8], frames: &mut Vec<_>, reader: &mut FrameReader| {
                while let Some(frame) = reader.next(&mut bytes).ok()? {
                    assert!(frame.body.len() < 65_536);
                    frames.push(frame);
                }
                Some(())
            };
            let mut reader = FrameReader::default();
            let ok = read(b, &mut whole, &mut reader).is_some();
            let mut reader = FrameReader::default();
            let also = b.chunks(7).all(|b| read(b, &mut pieces, &mut reader).is_some());
            assert_eq!((ok, &whole), (also, &pieces), "pieces of any size make the same frames");
            ok && !whole.is_empty()
        }),
    ]
}

fn entries() -> Vec<Decoder> {
    let (ana, ben) = (person(1), person(2));
    let mut village = Village::found(&ana);
    let all = bodies([0; 32]);
    let thread = village.write(&ana, &[], &all[0]);
    for n in 0..8 {
        let by = if n % 3 == 0 { &ana } else { &ben };
        let refs = if n < 4 { vec![thread] } else { vec![thread, thread] };
        village.write(by, &refs, &all[2 + n % 8]);
    }
    let community = village.community;
    let (mut unsigned, mut signed, mut bare) =
        (SegWriter::new(community), SegWriter::new(community), SegWriter::new(community));
    let mut pay = PayWriter::default();
    for (n, e) in village.entries.iter().enumerate() {
        unsigned.put(&e.entry, false, true).unwrap();
        signed.put(&e.entry, true, true).unwrap();
        bare.put(&e.entry, n % 2 == 0, false).unwrap();
        assert!(pay.put(2 * n as u64, e.payload.as_ref().unwrap()));
    }
    let segments = vec![unsigned.into_body(), signed.into_body(), bare.into_body()];
    let lengths: Vec<usize> =
        village.entries.iter().map(|e| e.payload.as_ref().unwrap().len()).collect();
    vec![
        Decoder::new("sync SEG", 8, Shape::Binary, segments, move |b| {
            let Ok(segment) = Segment::decode(b) else { return false };
            assert!(segment.len() <= b.len());
            let (records, cost) = (segment.len(), segment.cost());
            let announced: usize = (0..records).filter_map(|n| segment.payload_len(n)).sum();
            assert!(announced as u64 <= cost, "payloads are paid for");
            let built = segment.build(community, |n| lanai_crdt::entry::payload_hash(&[n as u8]));
            assert_eq!(built.len(), records);
            for signed in built.iter().flatten() {
                let ours = signed.header().community == community || signed.header().is_genesis();
                assert!(ours, "a segment holds entries of one community");
            }
            true
        }),
        Decoder::new("sync PAY", 8, Shape::Binary, vec![pay.into_body()], move |b| {
            let mut reader = PayReader::new(b);
            let mut last = None;
            loop {
                let number = match reader.number() {
                    Ok(Some(number)) => number,
                    Ok(None) => return true,
                    Err(_) => return false,
                };
                assert!(last.is_none_or(|l| l < number), "numbers ascend");
                last = Some(number);
                let length = lengths.get(number as usize / 2).copied().unwrap_or(48);
                if reader.payload(length).is_err() {
                    return false;
                }
            }
        }),
    ]
}

/// Messages of range-based reconciliation, to the side that leads and to the one that answers.
fn reconciliation() -> Vec<Decoder> {
    let mut random = Random::new(5);
    let mut item = |n: u64| {
        let mut id = [0; 32];
        id.iter_mut().for_each(|b| *b = random.next() as u8);
        SyncItem { time: n / 3, id: EntryId::new(id), lane: 0, roster: false }
    };
    let all: Vec<SyncItem> = (0..400).map(&mut item).collect();
    let some = |skip: usize| {
        let kept = all.iter().enumerate().filter(|(n, _)| n % 17 != skip).map(|(_, i)| *i);
        ItemSet::new(kept.collect()).tree()
    };
    let (mine, theirs) = (some(1), some(2));
    let nonce = Nonce([6; 16]);
    let (mut driver, mut message) = Reconciler::drive(mine.clone(), &nonce);
    let mut answering = Reconciler::answering(theirs.clone());
    let (mut asked, mut answers) = (Vec::new(), Vec::new());
    loop {
        asked.push(message.clone());
        let answer = answering.answer(&message).unwrap();
        answers.push(answer.clone());
        match driver.learn(&answer, 1000).unwrap().reply {
            Some(next) => message = next,
            None => break,
        }
    }
    assert!(asked.len() > 1, "{}", asked.len());
    vec![
        Decoder::new("sync RB, to the answering side", 2, Shape::Binary, asked, move |b| {
            let mut machine = Reconciler::answering(theirs.clone());
            machine.answer(b).is_ok_and(|reply| reply.len() <= 65_536)
        }),
        Decoder::new("sync RB, to the leading side", 2, Shape::Binary, answers, move |b| {
            let (mut machine, _) = Reconciler::drive(mine.clone(), &nonce);
            let Ok(learnt) = machine.learn(b, 100) else { return false };
            assert!(learnt.have.len() <= 100 && learnt.have.iter().all(|key| mine.contains(key)));
            true
        }),
    ]
}
