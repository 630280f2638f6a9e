use minicbor::bytes::ByteVec;
use proptest::prelude::*;

use super::*;
use crate::entry::DeviceSecret;
use crate::id::{CommunityId, EntryId};

fn origin() -> Origin {
    Origin {
        name: "member-0007".into(),
        message_id: "<1@example>".into(),
        claimed: Some(-58_979_923_200),
        claimed_text: None,
        plausible: 915_148_800,
    }
}

fn file() -> File {
    File {
        name: "map.pdf".into(),
        media: Some("application/pdf".into()),
        bytes: 70_000,
        root: [1; 32].into(),
        key: [2; 32].into(),
    }
}

fn samples() -> Vec<Body> {
    let device = DeviceSecret::from_bytes(&[9; 32]);
    let mut record = JoinRecord {
        community: CommunityId::ZERO,
        ticket: EntryId::ZERO,
        device: device.device(),
        sealing: [3; 32],
        nonce: [4; 16],
    };
    let founder = record.clone().sign(&device, None);
    record.community = CommunityId::new([1; 32]);
    record.ticket = EntryId::new([2; 32]);
    let newcomer = record.sign(&device, Some(&[8; 32]));
    let statement = DeviceStatement {
        community: CommunityId::new([1; 32]),
        member: crate::id::MemberId::new([2; 32]),
        device: device.device(),
        sealing: [3; 32],
        nonce: [4; 16],
    };
    let further = statement.sign(&device).encode();
    let genesis = Genesis {
        rules: 1,
        founders: vec![ByteVec::from(founder.encode())],
        recovery_key: [5; 32].into(),
        quorum_num: 2,
        quorum_den: 3,
        invite: InvitePolicy::Members,
        history: None,
    };
    vec![
        Body::Genesis(genesis.clone()),
        Body::Genesis(Genesis { history: Some(History::FromAdmission), ..genesis }),
        Body::Ticket(Ticket { key: [1; 32].into(), role: Role::Member, uses: 1, expires: Some(9) }),
        Body::TicketClose,
        Body::Admit(Admit { record: ByteVec::from(newcomer.encode()) }),
        Body::Role(GrantRole { member: [1; 32].into(), role: Role::Lead, recovery: None }),
        Body::Epoch(Epoch { id: [1; 32].into(), parents: vec![], links: ByteVec::from(vec![]) }),
        Body::Seal(Seal {
            epoch: [1; 32].into(),
            seals: vec![DeviceSeal { device: [2; 32].into(), sealed: [3; 80].into() }],
        }),
        Body::AddDevice(AddDevice { record: ByteVec::from(further.clone()), vouch: None }),
        Body::AddDevice(AddDevice {
            record: ByteVec::from(further.clone()),
            vouch: Some(vec![[1; 32].into()]),
        }),
        Body::Remove(Remove {
            subject: Subject::Member([1; 32].into()),
            cut: vec![[1; 32].into(), [2; 32].into()],
            recovery: Some([3; 64].into()),
        }),
        Body::Remove(Remove {
            subject: Subject::Role([1; 32].into(), Role::Lead),
            cut: vec![],
            recovery: None,
        }),
        Body::Remove(Remove {
            subject: Subject::Device([1; 32].into()),
            cut: vec![],
            recovery: None,
        }),
        Body::Motion(Motion { proposal: Proposal::Remove(Subject::Member([1; 32].into())) }),
        Body::Motion(Motion {
            proposal: Proposal::Grant(GrantRole {
                member: [1; 32].into(),
                role: Role::Steward,
                recovery: None,
            }),
        }),
        Body::Endorse,
        Body::Enact(Enact { endorsements: vec![[1; 32].into()], cut: vec![[2; 32].into()] }),
        Body::Checkpoint(Checkpoint { seen: vec![[1; 32].into()] }),
        Body::Accept(Accept { heads: vec![[1; 32].into()] }),
        Body::Restore,
        Body::Readmit(Readmit { record: ByteVec::from(further) }),
        Body::Reason(Reason { text: "Left the unit.".into() }),
        Body::Community(Community { name: "porch".into(), charter: None, salt: [0; 16].into() }),
        Body::Withdraw,
        Body::Ask(Ask {
            title: "How do I brief a convoy?".into(),
            situation: "First one on Friday.".into(),
            decide: None,
            need_by: Some(1_800_000_000_000),
            tried: None,
            helps: Some(vec![Help::Document, Help::Talk]),
            tags: vec!["convoy".into()],
            origin: None,
        }),
        Body::Note(Note {
            title: "Old".into(),
            text: "text".into(),
            tags: vec![],
            origin: Some(origin()),
        }),
        Body::Post(Post {
            role: PostRole::Reply,
            text: "Use the sample.".into(),
            origin: None,
            met: None,
        }),
        Body::Edit(Edit { text: "Use the newer sample.".into() }),
        Body::Profile(Profile { name: "Ana".into(), ..Profile::default() }),
        Body::OwnState(OwnState {
            key: [1; 32].into(),
            seals: vec![DeviceSeal { device: [2; 32].into(), sealed: [3; 80].into() }],
            sealed: vec![4; 40].into(),
        }),
        Body::React(React { reaction: Reaction::Helped, on: true }),
        Body::File(file()),
        Body::Mark(Mark::State(ThreadState::Answered)),
        Body::Mark(Mark::Answer(true)),
        Body::SideOpen(SideOpen {
            key: [1; 32].into(),
            seals: vec![[2; 80].into(), [3; 80].into()],
            sealed: vec![4; 60].into(),
        }),
        Body::SideSeal(SideSeal { seals: vec![[2; 80].into()], sealed: vec![4; 60].into() }),
        Body::SideSay(SideSay { sealed: vec![4; 60].into() }),
    ]
}

#[test]
fn every_kind_round_trips() {
    for body in samples() {
        let bytes = encode(&body).unwrap();
        assert_eq!(decode(body.class().unwrap(), &bytes).unwrap(), body);
        for n in 0..bytes.len() {
            assert!(decode(body.class().unwrap(), &bytes[..n]).is_err(), "{body:?} cut at {n}");
        }
        for class in Class::ALL {
            if Some(class) != body.class() {
                assert!(matches!(decode(class, &bytes), Err(PayloadError::WrongClass { .. })));
            }
        }
    }
}

#[test]
fn golden_bytes() {
    let hash: Vec<String> = samples()
        .iter()
        .map(|b| blake3::hash(&encode(b).unwrap()).to_hex()[..16].to_string())
        .collect();
    let post = encode(&Body::Post(Post {
        role: PostRole::Outcome,
        text: "ok".into(),
        origin: None,
        met: None,
    }))
    .unwrap();
    assert_eq!(post, [0x82, 0x18, 66, 0xa2, 0, 1, 1, 0x62, b'o', b'k']);
    assert_eq!(hash, GOLDEN, "an encoding changed: that is a change of the format");
}

const GOLDEN: &[&str] = &[
    "c5ed51c476695033",
    "c968cf5aff4514cc",
    "67acce8ac663ee76",
    "b0c757c3599e5ba2",
    "2cd9f00e463b1504",
    "773579f90bd13297",
    "a1510b536f10bdfe",
    "d68a2a4f72ea0107",
    "30fda558b2514010",
    "ac9115af4b86db1b",
    "146a274ed2d6347a",
    "2acf7aaf011de33a",
    "d2644c3d19a5d514",
    "80383bfb63b8477f",
    "9442240f2ca07d4a",
    "1eed1d489af2bfa8",
    "5b34505fbce3de4f",
    "22cc0bb172936f74",
    "ab0675e80f5ba2fc",
    "f3b9f4153db1f2f7",
    "5217b6610e26cf40",
    "c7c2981e621f41f8",
    "c1c4f0e037e6aaec",
    "202616ae2ea5a0d3",
    "a6446281e325ca49",
    "de92a0fa1cdba9c9",
    "363b1e19dd690802",
    "ef4783b11e1c37c6",
    "387d34a46a7636d5",
    "d09f21a4cfe8cc86",
    "aabcef5d28fca028",
    "52b1f14438a0f926",
    "f5149faebb1022bb",
    "84ad6693a2593949",
    "973dee9bf7e4302e",
    "c522adf26a8dab0c",
    "accc39833c5fad4b",
];

#[test]
fn unknown_keys_survive_reading_and_unknown_kinds_are_kept() {
    // A post with a key 9 of a later version.
    let bytes = [0x82, 0x18, 66, 0xa3, 0, 0, 1, 0x62, b'o', b'k', 9, 0x81, 0xf6];
    let Body::Post(p) = decode(Class::Post, &bytes).unwrap() else { panic!() };
    assert_eq!(p.text, "ok");
    assert_eq!(decode(Class::Post, &[0x82, 0x19, 3, 0xe8, 0xa0]).unwrap(), Body::Unknown(1000));
    assert_eq!(decode(Class::File, &[0x82, 0x18, 161, 0xa0]).unwrap(), Body::Unknown(161));
}

#[test]
fn limits_are_enforced_on_both_sides() {
    let ask = |title: String, tags: Vec<String>| {
        Body::Note(Note { title, text: String::new(), tags, origin: None })
    };
    assert!(encode(&ask("x".repeat(300), vec!["t".into(); 8])).is_ok());
    for bad in [
        ask("x".repeat(301), vec![]),
        ask("  ".into(), vec![]),
        ask("x".into(), vec!["t".into(); 9]),
        ask("x".into(), vec!["t".repeat(33)]),
        ask("x".into(), vec![String::new()]),
        Body::Profile(Profile { name: "n".repeat(65), ..Profile::default() }),
        Body::File(File { name: "n".repeat(256), ..file() }),
        Body::File(File { name: " ".into(), ..file() }),
        Body::File(File { media: Some("m".repeat(128)), ..file() }),
        Body::File(File { bytes: crate::limits::MAX_FILE_BYTES + 1, ..file() }),
        Body::Ticket(Ticket { key: [1; 32].into(), role: Role::Member, uses: 0, expires: None }),
        Body::Seal(Seal {
            epoch: [1; 32].into(),
            seals: vec![DeviceSeal { device: [2; 32].into(), sealed: [3; 80].into() }; 2],
        }),
    ] {
        assert!(matches!(encode(&bad), Err(PayloadError::Field { .. })), "{bad:?}");
    }
    let long = Body::Post(Post {
        role: PostRole::Reply,
        text: "x".repeat(crate::limits::MAX_INFLATED_BYTES),
        origin: None,
        met: None,
    });
    assert!(matches!(encode(&long), Err(PayloadError::TooLong(_))));
}

#[test]
fn huge_declared_lengths_allocate_nothing() {
    // An array of 2^32 seals, and a text of 2^62 bytes.
    let seals = [0x82, 14, 0xa2, 0, 0x58, 32]
        .into_iter()
        .chain([1; 32])
        .chain([1, 0x9a, 0xff, 0xff, 0xff, 0xff])
        .collect::<Vec<u8>>();
    assert!(matches!(decode(Class::Roster, &seals), Err(PayloadError::Malformed(_))));
    let text = [0x82, 0x18, 67, 0xa1, 0, 0x7b, 0x40, 0, 0, 0, 0, 0, 0, 0];
    assert!(matches!(decode(Class::Post, &text), Err(PayloadError::Malformed(_))));
    let nested = [&[0x82, 0x18, 67, 0xa2, 9][..], &[0x81; 100_000][..]].concat();
    assert!(decode(Class::Post, &nested).is_err());
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        for class in Class::ALL {
            let _ = decode(class, &bytes);
        }
    }

    #[test]
    fn mutated_bodies_never_panic(which in 0usize..17, at: usize, value: u8) {
        let body = &samples()[which];
        let mut bytes = encode(body).unwrap();
        let at = at % bytes.len();
        bytes[at] = value;
        if let Ok(b) = decode(body.class().unwrap(), &bytes) {
            // What is accepted can be written again.
            prop_assert!(encode(&b).is_ok());
        }
    }
}
