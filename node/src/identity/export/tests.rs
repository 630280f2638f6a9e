use proptest::prelude::*;

use super::super::passphrase::{Cost, MAX_LANES, MAX_MEMORY_KIB, MAX_PASSES};
use super::*;

const CHEAP: Cost = Cost { memory_kib: 8, passes: 1, lanes: 1 };

fn pass(text: &str) -> Passphrase {
    Passphrase::new(text.to_string())
}

fn sample() -> Export {
    Export {
        identity: Identity {
            device: DeviceSecret::from_bytes(&[1; 32]),
            sealing: SealingSecret::from_bytes(&[2; 32]),
        },
        community: CommunityId::new([3; 32]),
        community_name: "The porch".into(),
        member: Some(MemberId::new([4; 32])),
        member_name: "Ana".into(),
        addresses: vec!["/ip4/192.168.1.20/udp/4001/quic-v1".into()],
        made_ms: 1_800_000_000_000,
    }
}

fn sealed() -> String {
    let lock = Lock { cost: CHEAP, salt: [5; 16], nonce: [6; 24] };
    sample().seal(&pass("correct horse"), &lock).unwrap()
}

fn assert_same(a: &Export, b: &Export) {
    assert_eq!(a.identity.device.to_bytes(), b.identity.device.to_bytes());
    assert_eq!(a.identity.sealing.to_bytes(), b.identity.sealing.to_bytes());
    assert_eq!(
        (a.community, &a.community_name, a.member, &a.member_name, &a.addresses, a.made_ms),
        (b.community, &b.community_name, b.member, &b.member_name, &b.addresses, b.made_ms),
    );
}

#[test]
fn a_file_of_version_1_opens() {
    let text = include_str!("golden-v1.txt");
    assert_same(&Export::open(text, &pass("correct horse")).unwrap(), &sample());
    assert_eq!(sealed(), text, "the export is part of the format");
}

#[test]
fn a_wrong_passphrase_is_told_from_a_damaged_file() {
    let text = sealed();
    let open = |text: &str| Export::open(text, &pass("correct horse")).unwrap_err();
    for wrong in ["", "correct hors", "Correct horse", "correct horse "] {
        assert_eq!(Export::open(&text, &pass(wrong)).unwrap_err(), ExportError::WrongPassphrase);
    }
    let body = text.find('\n').unwrap() + 1;
    let end = text.rfind("\n---").unwrap();
    for at in body..end {
        let mut altered = text.clone();
        let other = if altered[at..].starts_with('0') { "2" } else { "0" };
        altered.replace_range(at..=at, other);
        assert_eq!(open(&altered), ExportError::Damaged, "at {at}");
    }
    assert_eq!(open("hello"), ExportError::NotAnExport);
    assert_eq!(open(&text[..end]), ExportError::CutOff);
    assert_eq!(open(&text.replace("0", "u")), ExportError::Damaged);
    let long = format!("{text}{}", " ".repeat(MAX_EXPORT_TEXT_BYTES));
    assert_eq!(open(&long), ExportError::TooLong);
}

#[test]
fn what_mail_does_to_a_text_is_no_damage() {
    let text = sealed();
    for changed in [
        text.replace('\n', "\r\n"),
        text.replace('\n', "\n> "),
        format!("Keep this:\n\n{text}\n-- \nAna"),
        text.lines().map(|l| format!("   {l}  \n")).collect(),
    ] {
        assert_same(&Export::open(&changed, &pass("correct horse")).unwrap(), &sample());
    }
}

/// Puts text armour with a right checksum around any bytes.
fn armour(bytes: &[u8]) -> String {
    let sum = checksum(bytes);
    format!("{HEADER_LINE}\n{}\n{FOOTER_LINE}", base32(&[bytes, &sum].concat()))
}

#[test]
fn what_a_file_asks_of_argon2_is_bounded() {
    let bytes = unarmour(&sealed()).unwrap();
    let with = |memory: u32, passes: u32, lanes: u8| {
        let mut b = bytes.clone();
        b[1..5].copy_from_slice(&memory.to_be_bytes());
        b[5..9].copy_from_slice(&passes.to_be_bytes());
        b[9] = lanes;
        Export::open(&armour(&b), &pass("correct horse")).unwrap_err()
    };
    for (m, p, l) in [
        (u32::MAX, 1, 1),
        (MAX_MEMORY_KIB + 1, 1, 1),
        (8, MAX_PASSES + 1, 1),
        (8, 0, 1),
        (7, 1, 1),
        (8, 1, 2),
        (8, 1, 0),
        (1024, 1, MAX_LANES + 1),
    ] {
        let cost = Cost { memory_kib: m, passes: p, lanes: l };
        assert_eq!(with(m, p, l), PassphraseError::Cost(cost).into());
    }
    // In range, and not what the file was sealed with.
    assert_eq!(with(16, 1, 1), ExportError::WrongPassphrase);
    assert_eq!(Cost::STANDARD.check(), Ok(()));
    let too_much = Cost { memory_kib: MAX_MEMORY_KIB + 1, ..CHEAP };
    let lock = |cost| Lock { cost, salt: [0; 16], nonce: [0; 24] };
    assert_eq!(
        sample().seal(&pass("x"), &lock(too_much)),
        Err(PassphraseError::Cost(too_much).into())
    );
    assert_eq!(sample().seal(&pass(""), &lock(CHEAP)), Err(PassphraseError::Empty.into()));
}

#[test]
fn later_versions_and_short_files_are_named() {
    let mut bytes = unarmour(&sealed()).unwrap();
    for n in 0..1 + LOCK_BYTES + TAG_BYTES {
        assert_eq!(
            Export::open(&armour(&bytes[..n]), &pass("x")).unwrap_err(),
            ExportError::Damaged
        );
    }
    bytes[0] = 2;
    assert_eq!(Export::open(&armour(&bytes), &pass("x")).unwrap_err(), ExportError::Newer(2));
}

#[test]
fn hostile_content_is_made_harmless() {
    let mut export = sample();
    export.community_name = "\u{1b}[2J".repeat(40);
    export.member_name = "Ana\u{202e}\n".into();
    export.addresses = vec!["/ip4/1.2.3.4/tcp/1".into(); 40];
    export.addresses.push("\u{1b}".into());
    export.member = None;
    let text =
        export.seal(&pass("x"), &Lock { cost: CHEAP, salt: [0; 16], nonce: [0; 24] }).unwrap();
    let back = Export::open(&text, &pass("x")).unwrap();
    assert!(back.community_name.len() <= 64 && !back.community_name.contains('\u{1b}'));
    assert_eq!(back.member_name, "Ana");
    assert_eq!(back.addresses.len(), MAX_EXPORT_ADDRESSES);
    assert_eq!(back.member, None);
}

#[test]
fn content_of_a_faulty_program_is_named() {
    let good = sample().content().unwrap();
    assert_same(&read_content(&good).unwrap(), &sample());
    for n in 0..good.len() {
        assert!(matches!(read_content(&good[..n]), Err(ExportError::Content(_))), "{n}");
    }
    assert!(read_content(&[&good[..], &[0]].concat()).is_err());
    assert_eq!(read_content(&[0xa0]).unwrap_err(), ExportError::Content("no device key"));
    // Four thousand million addresses, and none there.
    assert!(read_content(&[0xa1, 6, 0x9a, 0xff, 0xff, 0xff, 0xff]).is_err());
    // A key of a later version is skipped.
    let mut later = good.to_vec();
    later[0] += 1;
    later.extend([0x18, 99, 0x81, 0xf6]);
    assert_same(&read_content(&later).unwrap(), &sample());
}

#[test]
fn secrets_are_not_printed() {
    let shown = format!("{:?} {:?}", sample(), pass("correct horse"));
    assert!(!shown.contains("horse") && !shown.contains("1, 1, 1"), "{shown}");
}

proptest! {
    #[test]
    fn random_input_never_panics(
        text in "\\PC{0,200}", bytes in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let _ = Export::open(&text, &pass("x"));
        let _ = unarmour(&format!("{HEADER_LINE}{text}{FOOTER_LINE}"));
        let _ = read_content(&bytes);
        // A first byte other than 1 keeps this from computing Argon2 each time.
        let _ = Export::open(&armour(&[&[0][..], &bytes].concat()), &pass("x"));
    }
}
