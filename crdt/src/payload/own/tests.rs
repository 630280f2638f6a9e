use super::*;
use crate::entry::{Class, DeviceSecret};
use crate::payload::{Body, decode, encode};
use crate::seal::tests::TestRng;

const MEMBER: MemberId = MemberId::new([1; 32]);

struct Device(DeviceId, SealingSecret);

fn device(n: u8) -> Device {
    Device(DeviceSecret::from_bytes(&[n; 32]).device(), SealingSecret::from_bytes(&[n; 32]))
}

fn sealed(changes: &OwnChanges, to: &[&Device]) -> Result<OwnState, OwnStateError> {
    let publics: Vec<(DeviceId, SealingPublic)> = to.iter().map(|d| (d.0, d.1.public())).collect();
    let to = publics.iter().map(|(d, p)| (d, p));
    OwnState::seal(changes, &MEMBER, to, &mut TestRng::new("own"))
}

fn draft(key: &str, text: &str) -> OwnChanges {
    let drafts = vec![OwnDraft::new(key.into(), Some(text.into()), [EntryId::new([9; 32])])];
    OwnChanges { read: vec![[7; 8].into(), [8; 8].into()], drafts }
}

#[test]
fn own_devices_open_it_and_nobody_else() {
    let (laptop, phone, other) = (device(2), device(3), device(4));
    let changes = draft("reply-k7qp-3m2x", "half a thought");
    let state = sealed(&changes, &[&phone, &laptop]).unwrap();
    assert!(state.seals.is_sorted_by(|a, b| a.device < b.device));
    let bytes = encode(&Body::OwnState(state.clone())).unwrap();
    assert_eq!(decode(Class::Light, &bytes).unwrap(), Body::OwnState(state.clone()));
    for d in [&laptop, &phone] {
        assert_eq!(state.open(&MEMBER, &d.0, &d.1).unwrap(), changes);
        // Whoever copies it into an entry of theirs has nothing that opens.
        let copied = state.open(&MemberId::new([5; 32]), &d.0, &d.1);
        assert_eq!(copied, Err(OwnStateError::Seal(SealError::NotAuthentic)));
    }
    assert_eq!(state.open(&MEMBER, &other.0, &other.1), Err(OwnStateError::NotSealedTo));
    let taken = state.open(&MEMBER, &phone.0, &other.1);
    assert_eq!(taken, Err(OwnStateError::Seal(SealError::NotForThisDevice)));
}

#[test]
fn a_key_can_be_nothing_but_a_plain_name() {
    let phone = device(3);
    for key in ["", "../x", "a/b", "A", "-a", "a-", "a.md", "a b", "é", &"a".repeat(81)] {
        assert!(!OwnDraft::fits(key, "x"));
        assert!(sealed(&draft(key, "x"), &[&phone]).is_err(), "{key}");
        // Nor does one count that comes from a device with another program.
        let body = minicbor::to_vec(draft(key, "x")).unwrap();
        let key = BoxKey::from_bytes(BoxPurpose::OwnState, &[6; 32]);
        let envelope = envelope::encode(&body).unwrap();
        let forged = OwnState {
            key: key.id().into(),
            seals: sealed(&OwnChanges::default(), &[&phone]).unwrap().seals,
            sealed: key.seal([0; 24], &context(&MEMBER), &envelope).unwrap().into(),
        };
        let seal = key.seal_to(&phone.1.public(), &phone.0, &mut TestRng::new("x"));
        let seals =
            vec![DeviceSeal { device: (*phone.0.as_bytes()).into(), sealed: seal.unwrap().into() }];
        let opened = OwnState { seals, ..forged }.open(&MEMBER, &phone.0, &phone.1);
        assert!(matches!(opened, Err(OwnStateError::Payload(_))), "{opened:?}");
    }
}

#[test]
fn the_largest_fits_a_payload() {
    let noise = |seed: &str, bytes: usize| {
        let mut out = vec![0; bytes];
        blake3::Hasher::new().update(seed.as_bytes()).finalize_xof().fill(&mut out);
        out
    };
    let read = noise("reads", MAX_OWN_READS * SHORT_ID_BYTES);
    let read = read.chunks_exact(8).map(|c| <[u8; 8]>::try_from(c).unwrap().into()).collect();
    let drafts = vec![OwnDraft::new("ask".into(), Some("x".repeat(4000)), [])];
    let all: Vec<Device> = (0..32).map(device).collect();
    let all: Vec<&Device> = all.iter().collect();
    let state = sealed(&OwnChanges { read, drafts }, &all).unwrap();
    let body = encode(&Body::OwnState(state)).unwrap();
    assert!(envelope::encode(&body).is_ok(), "{}", body.len());
    let much = vec![OwnDraft::new("ask".into(), Some("x".repeat(MAX_DRAFT_BYTES + 1)), [])];
    assert!(sealed(&OwnChanges { read: vec![], drafts: much }, &all).is_err());
}
