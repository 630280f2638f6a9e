use proptest::prelude::*;

use super::*;

const PEER: &str = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA";

fn sample() -> TicketText {
    TicketText::new(
        TicketSecret::from_bytes([1; 32]),
        CommunityId::new([2; 32]),
        EntryId::new([3; 32]),
        "The porch",
        vec![
            format!("/ip4/192.168.1.20/udp/4001/quic-v1/p2p/{PEER}"),
            format!("/ip4/192.168.1.20/tcp/4001/p2p/{PEER}"),
        ],
    )
    .unwrap()
}

#[test]
fn golden_text() {
    let text = sample().encode();
    assert_eq!(text.as_str(), GOLDEN, "the text of a ticket is part of the format");
    assert_eq!(TicketText::decode(GOLDEN), Ok(sample()));
    assert_eq!(text.len(), 251);
    // Version 10 at error correction M holds 311 characters of the QR alphabet.
    assert!(sample().encode_qr().chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit()));
}

const GOLDEN: &str = "\
    lanai1029g2081040g2081040g2081040g2081040g2081040g2081040g2082081040g2081040g208\
    1040g2081040g2081040g2081040g2081g60r30c1g60r30c1g60r30c1g60r30c1g60r30c1g60r30c\
    1g62amd1jj0w3fe9hpg0ggr2m0250fm4qzmdd9kmx3syxhfevw3q2nc6rrn3ecmkfkhq317tm5kgvyp4\
    sppbp8fmrgp";

#[test]
fn what_people_do_to_a_ticket() {
    let text = sample().encode();
    let upper = sample().encode_qr();
    let lines: Vec<&str> =
        (0..text.len()).step_by(40).map(|i| &text[i..text.len().min(i + 40)]).collect();
    for pasted in [
        upper.to_string(),
        format!("  {}\n", text.as_str()),
        lines.join("\n"),
        format!("> {}", lines.join("\r\n> ")),
        lines.join("-"),
        lines.join("\u{200b}\u{2011}"),
        format!("`{}`.", text.as_str()),
        format!("Hello Ana, run: lanai join {}", text.as_str()),
        upper.replace('0', "O").replacen('1', "l", 20).replacen('1', "i", 3),
    ] {
        assert_eq!(TicketText::decode(&pasted), Ok(sample()), "{pasted}");
    }
}

#[test]
fn what_is_wrong_is_named() {
    let text = sample().encode();
    for not in ["", "lanai", "lanai0abc", "hello", "lanai join", "1234"] {
        assert_eq!(TicketText::decode(not), Err(TicketTextError::NotATicket), "{not}");
    }
    let long = "lanai1".to_string() + &"0".repeat(MAX_TICKET_TEXT_CHARS);
    assert_eq!(TicketText::decode(&long), Err(TicketTextError::NotATicket));
    let newer = text.replacen("lanai1", "lanai2", 1);
    assert_eq!(TicketText::decode(&newer), Err(TicketTextError::Newer(2)));
    for n in PREFIX.len()..text.len() {
        let cut = TicketText::decode(&text[..n]);
        let Err(TicketTextError::CutOff { found, expected }) = cut else { panic!("{n}: {cut:?}") };
        assert_eq!(found, n);
        assert!(expected == text.len() || n < 10, "{n}");
    }
    assert_eq!(
        TicketText::decode(&format!("{} see", text.as_str())),
        Err(TicketTextError::TooLong(3))
    );
    let (head, tail) = text.split_at(100);
    assert_eq!(
        TicketText::decode(&format!("{head}u{}", &tail[1..])),
        Err(TicketTextError::Character('u'))
    );
    assert_eq!(
        TicketText::decode(&format!("{head}é{}", &tail[1..])),
        Err(TicketTextError::Character('é'))
    );
}

#[test]
fn every_typo_is_caught() {
    let text = sample().encode();
    for at in PREFIX.len()..text.len() {
        for c in "0123456789abcdefghjkmnpqrstvwxyz".chars() {
            let mut typo = text.to_string();
            if !typo[at..].starts_with(c) {
                typo.replace_range(at..=at, &c.to_string());
                assert!(TicketText::decode(&typo).is_err(), "{c} at {at}");
            }
        }
        // Two neighbours changed places.
        if at + 1 < text.len() && text.as_bytes()[at] != text.as_bytes()[at + 1] {
            let mut swapped = text.as_bytes().to_vec();
            swapped.swap(at, at + 1);
            assert!(TicketText::decode(std::str::from_utf8(&swapped).unwrap()).is_err());
        }
    }
}

#[test]
fn hostile_names_and_addresses() {
    let make = |name: &str, addresses: Vec<String>| {
        TicketText::new(
            TicketSecret::from_bytes([1; 32]),
            CommunityId::new([2; 32]),
            EntryId::new([3; 32]),
            name,
            addresses,
        )
    };
    let name = make("\u{1b}[2Jevil\u{202e}\n", vec![]).unwrap();
    assert_eq!(name.name(), "␛[2Jevil");
    // Cleaned text is three times as long as the control characters that it stands for.
    let long = make(&"\u{1b}".repeat(64), vec![]).unwrap();
    assert!(long.name().len() <= MAX_NAME_BYTES);
    assert_eq!(TicketText::decode(&long.encode()).unwrap(), long);
    assert_eq!(make("é".repeat(40).as_str(), vec![]).unwrap().name().len(), 64);

    let most = vec![format!("/{}", "x".repeat(MAX_ADDRESS_BYTES - 1)); MAX_TICKET_ADDRESSES];
    let big = make(&"n".repeat(64), most).unwrap();
    assert_eq!(TicketText::decode(&big.encode()).unwrap(), big);
    assert!(big.encode().len() < 4296, "fits the largest QR code");
    assert_eq!(
        make("", vec!["/".into(); MAX_TICKET_ADDRESSES + 1]),
        Err(TicketTextError::TooManyAddresses(MAX_TICKET_ADDRESSES + 1))
    );
    for bad in ["", "host:1", "/a b", "/a\u{1b}", &format!("/{}", "x".repeat(MAX_ADDRESS_BYTES))] {
        assert!(matches!(make("", vec![bad.into()]), Err(TicketTextError::Address(_))), "{bad}");
    }
}

/// A text with a right checksum around any body.
fn wrap(body: &[u8]) -> String {
    let mut bytes = u16::try_from(body.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend_from_slice(body);
    let sum = checksum(&bytes);
    bytes.extend_from_slice(&sum);
    format!("{PREFIX}{}", base32(&bytes))
}

#[test]
fn a_right_checksum_does_not_excuse_the_content() {
    let mut body = vec![7; 96];
    body.extend([2, b'h', b'i', 0]);
    let good = TicketText::decode(&wrap(&body)).unwrap();
    assert_eq!((good.name(), good.addresses().len()), ("hi", 0));
    for change in [
        |b: &mut Vec<u8>| b.push(0),
        |b: &mut Vec<u8>| {
            b.pop();
        },
        |b: &mut Vec<u8>| b[96] = 65,
        |b: &mut Vec<u8>| b[97] = 0xff,
        |b: &mut Vec<u8>| b[99] = 9,
        |b: &mut Vec<u8>| b.clear(),
    ] {
        let mut body = body.clone();
        change(&mut body);
        assert_eq!(TicketText::decode(&wrap(&body)), Err(TicketTextError::Malformed));
    }
    // A name that was never cleaned is cleaned by the reader.
    body[97] = 0x1b;
    assert_eq!(TicketText::decode(&wrap(&body)).unwrap().name(), "␛i");
}

#[test]
fn the_secret_is_not_printed() {
    let shown = format!("{:?}", sample());
    assert!(shown.contains("TicketSecret(..)"));
    assert!(!shown.contains("1, 1, 1") && !shown.contains("0101"), "{shown}");
}

proptest! {
    #[test]
    fn random_text_never_panics(text in "\\PC{0,300}") {
        let _ = TicketText::decode(&text);
        let _ = TicketText::decode(&format!("lanai1{text}"));
    }

    #[test]
    fn random_bodies_never_panic(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(ticket) = TicketText::decode(&wrap(&body)) {
            prop_assert_eq!(TicketText::decode(&ticket.encode()), Ok(ticket));
        }
    }

    #[test]
    fn random_addresses_never_panic(
        tail in proptest::collection::vec(any::<u8>(), 0..200), n in 0u8..9,
    ) {
        let mut body = vec![7; 96];
        body.extend([0, n]);
        body.extend(tail);
        if let Ok(ticket) = TicketText::decode(&wrap(&body)) {
            prop_assert_eq!(TicketText::decode(&ticket.encode()), Ok(ticket));
        }
    }

    #[test]
    fn round_trip(
        seed: [u8; 32], c: [u8; 32], t: [u8; 32], name in "\\PC{0,40}",
        hosts in proptest::collection::vec((any::<u32>(), 0u16..3, any::<bool>()), 0..8),
    ) {
        let addresses = hosts.into_iter().map(|(host, port, tcp)| {
            let host = std::net::Ipv4Addr::from(host % 3);
            if tcp { format!("/ip4/{host}/tcp/{port}") }
            else { format!("/ip4/{host}/udp/{port}/quic-v1/p2p/{PEER}") }
        }).collect();
        let ticket = TicketText::new(
            TicketSecret::from_bytes(seed), CommunityId::new(c), EntryId::new(t), &name, addresses,
        ).unwrap();
        prop_assert_eq!(TicketText::decode(&ticket.encode()), Ok(ticket));
    }
}
