//! One frame of each type, byte for byte. A change here is a change of the protocol.

use lanai_crdt::id::{CommunityId, EntryId};

use super::world::{Author, Rng, Writing};
use crate::sync::frame::put_frame;
use crate::sync::*;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[track_caller]
fn pin(kind: FrameType, body: &[u8], golden: &str) {
    let mut out = Vec::new();
    assert!(put_frame(&mut out, kind, body));
    assert_eq!(hex(&out), golden.replace(char::is_whitespace, ""), "{kind:?}");
}

#[test]
fn frames() {
    let community = CommunityId::new([1; 32]);
    let nonce = Nonce([2; 16]);
    let ids: Vec<EntryId> = (3..6).map(|n| EntryId::new([n; 32])).collect();
    pin(
        FrameType::Hello,
        &Hello::new(&community, nonce, 4 << 20).encode(),
        "000027010101000202020202020202020202020202020295dc84d7d9e03a3727dd71e7a61c4d9680\
         808002",
    );
    let bases = [Some([5; 6]), Some([6; 6])];
    let hello = Hello { bases, chosen: 1, ..Hello::new(&community, nonce, 4 << 20) };
    pin(
        FrameType::Hello,
        &hello.encode(),
        "000034010101010202020202020202020202020202020295dc84d7d9e03a3727dd71e7a61c4d9680\
         80800202050505050505060606060606",
    );
    let terms = Terms { since: Some(1), budget: Some(300), metered: true };
    pin(
        FrameType::Hello,
        &Hello { terms, ..Hello::new(&community, nonce, 4 << 20) }.encode(),
        "00002c010101000202020202020202020202020202020295dc84d7d9e03a3727dd71e7a61c4d9680\
         8080020001ac0201",
    );
    let news = News::Came(vec![7, 1 << 63]);
    pin(FrameType::News, &news.encode(), "0000110e0000000000000000078000000000000000");
    pin(FrameType::News, &News::Whole.encode(), "0000010e01");
    let token = BaseToken::of_session(&nonce, &Nonce([3; 16]));
    let short = ShortNames::of_session(&nonce, &Nonce([3; 16])).of(&ids[0]);
    assert_eq!(
        [hex(&token.0), hex(&token.name(&nonce)), hex(&short.to_be_bytes())],
        ["8ef98134c54154aad6a667b99a7157ac", "cd2420a539ad", "a5abd19d57b3b790"]
    );
    let state = LocalState::new([4; 32], 1000, ids.clone(), true, false);
    pin(
        FrameType::Digest,
        &state.digest(&nonce).encode(),
        "0000130201e8079ea0305b3fa01b22c11b7ffd80f73809",
    );
    let want = Want { last: true, payloads: true, ids: ids[..1].to_vec() };
    pin(
        FrameType::Want,
        &want.encode(),
        "00002107030303030303030303030303030303030303030303030303030303030303030303",
    );
    let skip = Skip { payloads: true, places: vec![0, 3, 200] };
    pin(FrameType::Skip, &skip.encode(), "00000508010003c501");
    pin(FrameType::Ack, &Ack { through: 1000, refused: 2 }.encode(), "0000030be80702");
    pin(FrameType::Fin, &Fin { sent: 1000, more: true }.encode(), "0000030ce80701");
    pin(FrameType::Bye, &[ByeReason::Stopping.number()], "0000010d06");
    let items = |n: u8| {
        ItemSet::new(
            (0..n)
                .map(|i| SyncItem {
                    time: u64::from(i / 2),
                    id: EntryId::new([i; 32]),
                    lane: 0,
                    roster: false,
                })
                .collect(),
        )
        .tree()
    };
    let (_, list) = Reconciler::drive(items(2), &nonce);
    pin(
        FrameType::Rb,
        &list,
        "00004504610000020200000000000000000000000000000000000000000000000000000000000000\
         000101010101010101010101010101010101010101010101010101010101010101",
    );
    let (_, ranges) = Reconciler::drive(items(40), &nonce);
    pin(
        FrameType::Rb,
        &ranges,
        "000031046181ffffffffffffffff7c010d01cd6355a32a966f8a6ecd0d888795ac5e000001809c1636fb6627\
         970b87f15d6d2941df",
    );
}

#[test]
fn headers_and_payloads() {
    let mut rng = Rng(1);
    let (mut founder, mut other) = (Author::new(1), Author::new(2));
    let world = founder.found(1_700_000_000_000);
    let now = 1_700_000_060_000;
    let mut post = |a: &mut Author, refs: Vec<EntryId>, class| {
        a.write(&world, Writing { class, refs, payload: rng.bytes(4), now })
    };
    let joined = post(&mut other, vec![], 0);
    let ask = post(&mut founder, vec![], 2);
    let reply = post(&mut other, vec![ask.entry.id()], 2);
    let again = post(&mut founder, vec![ask.entry.id(), reply.entry.id()], 2);

    let mut seg = SegWriter::new(world.community);
    let mut pay = PayWriter::default();
    for (n, e) in [&world.genesis, &joined, &ask, &reply, &again].into_iter().enumerate() {
        // The fourth goes without its payload and the first three with theirs.
        let with_payload = n != 3;
        seg.put(&e.entry, matches!(n, 0 | 1 | 3), with_payload).unwrap();
        if with_payload {
            assert!(pay.put(n as u64 + 300, e.payload.as_ref().unwrap()));
        }
    }
    pin(
        FrameType::Seg,
        &seg.into_body(),
        "00016b0533003a25f5730f12cee81783097e0c2a768d3abaca0809cd14f734fdd014c6ca3da60000\
         000000000001000180c0d6fcf3c5011e779539fa36f5b8264202d213352971c1119dbad8190b2eb5\
         15f77e8b113439755d2173c5d1920df882d40777b968baf30cac0cf77c9cdec65ce8b9da1ed1dd06\
         0301e991c063cc4bab7fe25b08f1e5806fc07c3bb459bde5203f04047d1f4fd9d747000000000000\
         0002000180d30e041002fcb61b68fcf7458c190f2447b5fbc183c33da38600497863d11aa4457276\
         b918d3be529897fb2064dad750f7f79c834a097f3823dbc2e744cc10f93d76069008500000000707\
         070707070707070707070707070704001501010104e2ea4ec8a521d6c1422efbe905655ebd348e50\
         a2748e77901f164259d8c712a80102d4f0695ef961afb19da9a99fe89e8a9795929ade5017fc0081\
         faf2b51d4ba6149ac5f4ee9d099effbdc52ab560443fee0eb2593a088c6b03cc0cd082bac0440c10\
         00010104020302",
    );
    pin(
        FrameType::Pay,
        &pay.into_body(),
        "00002f06ac02612067656e65736973207061796c6f616420696e2074686520636c65617200c1675e\
         0b00b980a57501c08aa83b",
    );
}
