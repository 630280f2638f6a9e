//! What entries, tickets and texts consist of.

use std::collections::HashSet;

use lanai_crdt::clock::Hlc;
use lanai_crdt::entry::{Class, DeviceSecret, Header, HeaderTail, SIGNATURE_BYTES, Signed};
use lanai_crdt::envelope;
use lanai_crdt::id::{EntryId, EpochRef, IdPrefix, LogId, LogNumber, MemberId, base32};
use lanai_crdt::payload::{self, Body, JOIN_RECORD_BYTES, Role, SignedJoinRecord};
use lanai_crdt::people::{fold_community, fold_people};
use lanai_crdt::roster::{Roster, RosterEntry};
use lanai_crdt::seal::{
    DEVICE_SEAL_BYTES, EpochKey, SealingPublic, open_from_device, open_payload, seal_payload,
    seal_to_device, unwrap_under, wrap_under,
};
use lanai_crdt::text::{clean_block, clean_line, is_hazard, skeleton};
use lanai_crdt::thread::{TalkEntry, fold_threads};
use lanai_crdt::ticket::TicketText;
use lanai_node::config::parse_address;
use lanai_node::gossip;
use lanai_node::join::join_record;

use super::village::{NOW, Village, bodies, person};
use super::{Decoder, Random, Shape};

/// Bodies of all kinds that are in use, and one that is not.
fn body_samples(village: &Village) -> Vec<Vec<u8>> {
    let member = *village.roster().members().next().unwrap().id.as_bytes();
    let encode = |b: &Body| payload::encode(b).unwrap();
    let written = village.roster_entries();
    let mut all: Vec<Vec<u8>> = bodies(member).iter().map(encode).collect();
    all.extend(written.iter().map(|e| encode(&e.body)));
    // A kind of a later version.
    all.push(vec![0x82, 0x19, 0x27, 0x10, 0xa1, 0x00, 0x01]);
    all
}

pub(super) fn all() -> Vec<Decoder> {
    let (ana, ben) = (person(1), person(2));
    let mut village = Village::found(&ana);
    let ticket = village.ticket(&ana, 50, 3);
    let record = join_record(&ticket, &ben, [4; 16]);
    village.admit(&ana, &ben, &record);
    let samples = body_samples(&village);
    let thread = village.write(&ana, &[], &bodies([0; 32])[0]);
    for (n, body) in bodies([0; 32]).iter().enumerate().filter(|(n, _)| (2..10).contains(n)) {
        let refs = if n < 4 { vec![thread] } else { vec![thread, thread] };
        village.write(&ben, &refs, body);
    }

    let mut all = vec![
        header(&village),
        gossip_message(&village),
        body(&samples),
        talk(&samples),
        roster(&village, &samples),
    ];
    all.extend(sealed(&village, &samples));
    let ticket_key = ticket.secret().public();
    let good = record.encode();
    all.push(Decoder::new("join record", 8, Shape::Binary, vec![record.encode()], move |bytes| {
        match SignedJoinRecord::decode(bytes) {
            Ok(record) => {
                assert_eq!(bytes.len(), JOIN_RECORD_BYTES);
                assert_eq!(record.encode(), bytes);
                assert!(record.check_founder().is_err());
                let believed = record.check_newcomer(&ticket_key).is_ok();
                assert!(!believed || bytes == good, "a forged record is believed");
                believed
            }
            Err(_) => false,
        }
    }));
    all.extend(texts(&ticket));
    all
}

fn header(village: &Village) -> Decoder {
    let mut samples: Vec<Vec<u8>> =
        village.entries.iter().map(|e| e.entry.bytes().to_vec()).collect();
    let later = Header {
        class: 77,
        community: village.community,
        log: LogId { device: person(1).device_id(), number: LogNumber([9; 8]) },
        seq: 3,
        prev: EntryId::new([5; 32]),
        time: Hlc::from_millis(NOW),
        epoch: EpochRef([5; 16]),
        payload_hash: lanai_crdt::entry::payload_hash(b"x"),
        payload_len: 1,
        tail: HeaderTail::Later { version: 9, bytes: vec![1, 2, 3] },
    };
    samples.push(later.encode());
    Decoder::new("entry header", 16, Shape::Binary, samples, |bytes| match Header::decode(bytes) {
        Ok(header) => {
            assert_eq!(header.encode(), bytes, "an accepted header has one encoding");
            assert_eq!(header.associated_data().len(), bytes.len());
            let signed = Signed::decode(bytes.to_vec(), None).unwrap();
            assert_eq!(signed.id(), header.id());
            assert!(signed.verify().is_err());
            true
        }
        Err(_) => false,
    })
}

fn gossip_message(village: &Village) -> Decoder {
    let samples: Vec<Vec<u8>> = village
        .entries
        .iter()
        .filter_map(|e| gossip::encode(&e.entry, e.payload.as_deref()?))
        .collect();
    let written: HashSet<Vec<u8>> = samples.iter().cloned().collect();
    // Signatures cost more than all the rest.
    Decoder::new("gossip message", 4, Shape::Binary, samples, move |bytes| {
        let Ok((signed, payload)) = gossip::decode(bytes) else { return false };
        let Ok(entry) = signed.verify() else { return false };
        let good = entry.matches_payload(&payload);
        assert!(!good || written.contains(bytes), "a forged message is believed");
        let header_end = 3 + entry.bytes().len() + SIGNATURE_BYTES;
        assert!(
            written.iter().any(|w| w.get(3..header_end) == bytes.get(3..header_end)),
            "a forged header is believed"
        );
        good
    })
}

fn body(samples: &[Vec<u8>]) -> Decoder {
    Decoder::new("payload body", 16, Shape::Binary, samples.to_vec(), |bytes| {
        let mut accepted = None;
        for class in Class::ALL {
            let Ok(body) = payload::decode(class, bytes) else { continue };
            match body.class() {
                Some(own) => assert_eq!(own, class, "a kind in a class that is not its own"),
                // Of a kind that nobody knows, nothing is read.
                None => return true,
            }
            assert!(accepted.is_none(), "a body of two classes");
            let again = payload::encode(&body).expect("what was accepted is within all limits");
            assert_eq!(payload::decode(class, &again).as_ref(), Ok(&body), "reads as it writes");
            accepted = Some(body);
        }
        accepted.is_some()
    })
}

/// A body that a member sealed, among others in a thread: folded in two orders.
fn talk(samples: &[Vec<u8>]) -> Decoder {
    let id = |n: u8| EntryId::new([n; 32]);
    let entry = move |n: u8, member: u8, refs: &[EntryId], body: Body| TalkEntry {
        id: id(n),
        member: MemberId::new([member; 32]),
        role: if member == 1 { Role::Steward } else { Role::Member },
        time: Hlc::from_millis(NOW + u64::from(n)),
        refs: refs.to_vec(),
        body,
    };
    let all = bodies([0; 32]);
    let fixed = vec![
        entry(10, 1, &[], all[0].clone()),
        entry(11, 2, &[id(10)], all[2].clone()),
        entry(12, 2, &[id(10), id(11)], all[3].clone()),
        entry(13, 2, &[id(10), id(12)], all[4].clone()),
        entry(14, 1, &[id(10), id(11)], all[6].clone()),
        entry(15, 1, &[id(10), id(10)], all[8].clone()),
        entry(16, 1, &[], all[1].clone()),
        entry(17, 1, &[], all[10].clone()),
    ];
    let classes = [Class::Act, Class::Post, Class::Light];
    let samples = samples.iter().filter(|s| classes.iter().any(|c| payload::decode(*c, s).is_ok()));
    Decoder::new("talk, folded", 4, Shape::Binary, samples.cloned().collect(), move |bytes| {
        let Some(body) = classes.iter().find_map(|c| payload::decode(*c, bytes).ok()) else {
            return false;
        };
        let mut entries = fixed.clone();
        let places: [&[EntryId]; 6] = [
            &[],
            &[id(10)],
            &[id(10), id(11)],
            &[id(10), id(13), id(13)],
            &[id(21), id(20)],
            &[id(10), id(10), id(15), id(17)],
        ];
        for (n, refs) in places.iter().enumerate() {
            // Ids before and after the others, one of each author.
            let at = if n % 2 == 0 { 20 + n as u8 } else { 1 + n as u8 };
            entries.push(entry(at, 1 + n as u8 % 2, refs, body.clone()));
        }
        let one = fold_threads(&entries);
        let (people, community) = (fold_people(&entries), fold_community(&entries));
        entries.reverse();
        entries.extend(fixed.iter().cloned());
        assert_eq!(fold_threads(&entries), one, "order and repetition mean nothing");
        assert_eq!(fold_people(&entries), people);
        assert_eq!(fold_community(&entries), community);
        assert!(one.iter().any(|t| t.root == id(10) || t.aliases.contains(&id(10))));
        true
    })
}

/// A roster body that a member signed, among the others of a roster: folded in two orders.
fn roster(village: &Village, samples: &[Vec<u8>]) -> Decoder {
    let community = village.community;
    let written = village.roster_entries();
    let before = Roster::fold(community, &written);
    let founder = before.members().next().unwrap().id;
    let ids: Vec<EntryId> = written.iter().map(|e| e.id).collect();
    let (ana, ben) = (person(1), person(2));
    let sign = move |by: &DeviceSecret, seq: u64, refs: &[EntryId], heads: EntryId| {
        by.sign(&Header {
            class: 0,
            community,
            log: LogId { device: by.device(), number: LogNumber([9; 8]) },
            seq,
            prev: if seq == 0 { EntryId::ZERO } else { EntryId::new([1; 32]) },
            time: Hlc::from_millis(NOW),
            epoch: EpochRef::CLEAR,
            payload_hash: lanai_crdt::entry::payload_hash(&[]),
            payload_len: 0,
            tail: HeaderTail::V1 { heads: vec![heads], refs: refs.to_vec() },
        })
    };
    let last = *ids.last().unwrap();
    let headers: Vec<_> = ids
        .iter()
        .enumerate()
        .map(|(n, r)| sign(&ana.device, n as u64, &[*r], last))
        .chain([sign(&ana.device, 90, &[], last), sign(&ben.device, 0, &[], ids[2])])
        .collect();
    let samples = samples.iter().filter(|s| payload::decode(Class::Roster, s).is_ok());
    Decoder::new("roster, folded", 1, Shape::Binary, samples.cloned().collect(), move |bytes| {
        let Ok(body) = payload::decode(Class::Roster, bytes) else { return false };
        let mut entries = written.clone();
        for header in &headers {
            entries.push(RosterEntry::new(header, body.clone()).unwrap());
        }
        let one = Roster::fold(community, &entries);
        entries.reverse();
        let two = Roster::fold(community, &entries);
        assert_eq!(one.hash(), two.hash(), "order means nothing");
        assert!(one.is_founded() && one.member(&founder).is_some_and(|m| m.role == Role::Steward));
        true
    })
}

fn sealed(village: &Village, bodies: &[Vec<u8>]) -> Vec<Decoder> {
    let plain: Vec<Vec<u8>> = bodies.iter().map(|b| envelope::encode(b).unwrap()).collect();
    let clear = bodies.iter().map(|b| envelope::encode_clear(b).unwrap()).collect();
    let key = EpochKey::from_bytes(&[8; 32]);
    let blob = |p: &Vec<u8>| seal_payload(&key, [1; 24], b"header", p).unwrap();
    let blobs: Vec<Vec<u8>> = plain.iter().map(blob).collect();
    let known: HashSet<Vec<u8>> = blobs.iter().cloned().collect();
    let links = wrap_under(&key, [2; 24], b"epoch", &[7; 64]).unwrap();
    let (ben, device) = (person(2), person(2).device_id());
    let public = SealingPublic::checked(ben.sealing.public().as_bytes()).unwrap();
    let seal = seal_to_device(&public, &device, &key, &mut Random::new(4)).unwrap();
    let epoch = key.id();
    let (payload_key, links_key, good) = (key.clone(), village.key.clone(), links.clone());
    vec![
        Decoder::new("envelope, sealed form", 16, Shape::Binary, plain, |bytes| {
            let Ok(body) = envelope::decode(bytes) else { return false };
            if let Ok(again) = envelope::encode(&body) {
                assert_eq!(envelope::decode(&again).as_ref(), Ok(&body), "reads as it writes");
            }
            true
        }),
        Decoder::new("envelope, clear form", 16, Shape::Binary, clear, |bytes| {
            let Ok(body) = envelope::decode_clear(bytes) else { return false };
            assert_eq!(envelope::encode_clear(&body).as_deref(), Ok(bytes), "one encoding");
            true
        }),
        Decoder::new("sealed payload", 16, Shape::Binary, blobs, move |bytes| {
            match open_payload(&payload_key, b"header", bytes) {
                Ok(plain) => {
                    assert!(known.contains(bytes), "a forged seal opens");
                    envelope::decode(&plain).is_ok()
                }
                Err(_) => false,
            }
        }),
        Decoder::new("epoch links", 16, Shape::Binary, vec![links], move |bytes| {
            let opened = unwrap_under(&links_key, b"epoch", bytes).is_ok();
            assert!(!opened || bytes == good, "a forged seal opens");
            opened
        }),
        Decoder::new("device seal", 2, Shape::Binary, vec![seal.to_vec()], move |bytes| {
            let Ok(bytes) = <&[u8; DEVICE_SEAL_BYTES]>::try_from(bytes) else { return false };
            let opened = open_from_device(&ben.sealing, &epoch, &device, bytes).is_ok();
            assert!(!opened || *bytes == seal, "a forged seal opens");
            opened
        }),
        Decoder::new("sealing key", 8, Shape::Binary, vec![public.as_bytes().to_vec()], |bytes| {
            let Ok(bytes) = <&[u8; 32]>::try_from(bytes) else { return false };
            SealingPublic::checked(bytes).is_ok_and(|k| k.as_bytes() == bytes)
        }),
    ]
}

fn texts(ticket: &TicketText) -> Vec<Decoder> {
    let typed = ticket.encode().as_bytes().to_vec();
    let pasted = format!("> hi Ben,\r\n> {}\n", ticket.encode_qr().as_str()).into_bytes();
    let digits = ticket.encode()[6..].to_owned();
    let bytes = lanai_crdt::id::from_base32(&digits).unwrap();
    let content = bytes[2..bytes.len() - 4].to_vec();
    let read = |text: &str| match TicketText::decode(text) {
        Ok(ticket) => {
            let again = TicketText::decode(&ticket.encode()).expect("what was read can be written");
            assert_eq!(again, ticket, "reads as it writes");
            assert!(!ticket.name().chars().any(is_hazard), "a name is safe to show");
            assert!(ticket.addresses().iter().all(|a| !a.chars().any(is_hazard)));
            true
        }
        Err(error) => {
            assert!(!error.to_string().chars().any(is_hazard), "an error is safe to show");
            false
        }
    };
    let id = EntryId::new([0x5a; 32]);
    let address = |text: &str| text.as_bytes().to_vec();
    vec![
        Decoder::new("ticket, as pasted", 16, Shape::Text, vec![typed, pasted], move |bytes| {
            read(&String::from_utf8_lossy(bytes))
        }),
        Decoder::new("ticket, good checksum", 16, Shape::Binary, vec![content], move |content| {
            let Ok(length) = u16::try_from(content.len()) else { return false };
            let mut bytes = length.to_be_bytes().to_vec();
            bytes.extend_from_slice(content);
            let sum = blake3::derive_key("lanai v1 ticket text", &bytes);
            bytes.extend_from_slice(&sum[..4]);
            read(&format!("lanai1{}", base32(&bytes)))
        }),
        Decoder::new(
            "typed id",
            16,
            Shape::Text,
            vec![id.full().into_bytes(), id.short().into_bytes()],
            |bytes| match IdPrefix::parse(&String::from_utf8_lossy(bytes)) {
                Ok(prefix) => {
                    let (low, high) = prefix.range();
                    assert!(low <= high && prefix.matches(&low) && prefix.matches(&high));
                    true
                }
                Err(_) => false,
            },
        ),
        Decoder::new(
            "typed address",
            16,
            Shape::Text,
            vec![
                address("192.168.4.20:4110"),
                address("[fe80::1]:7"),
                address("node.example:7"),
                address("/ip6/fe80::1/udp/4110/quic-v1"),
            ],
            |bytes| {
                parse_address(&String::from_utf8_lossy(bytes)).is_ok_and(|list| !list.is_empty())
            },
        ),
        Decoder::new(
            "text on its way to a terminal",
            8,
            Shape::Text,
            vec![
                "می\u{200c}خواهم 👩🏽\u{200d}❤\u{fe0f}\u{200d}👨🏿 z\u{335}\u{335}\r\n\ttab"
                    .as_bytes()
                    .to_vec(),
                b"plain text, of several lines\nand no harm".to_vec(),
            ],
            |bytes| {
                let text = String::from_utf8_lossy(bytes);
                let (line, block) = (clean_line(&text), clean_block(&text));
                assert!(!line.chars().any(is_hazard));
                assert!(!block.chars().any(|c| c != '\n' && is_hazard(c)));
                assert_eq!(clean_line(&line), line, "cleaning twice is cleaning once");
                assert_eq!(clean_block(&block), block, "cleaning twice is cleaning once");
                // Names are short wherever they come from.
                let name: String = text.chars().take(64).collect();
                let folded = skeleton(&name);
                assert_eq!(skeleton(&folded), folded);
                true
            },
        ),
    ]
}
