//! What is read from files and from the control socket: mails of old archives, exported identities, and
//! the node's own files, which anything may have happened to.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use lanai_crdt::id::{CommunityId, MemberId, base32, from_base32};
use lanai_crdt::limits::{MAX_MESSAGE_ID_BYTES, MAX_NAME_BYTES, MAX_TITLE_BYTES};
use lanai_crdt::text::is_hazard;
use lanai_crdt::ticket::{TicketSecret, TicketText};
use lanai_node::config::Config;
use lanai_node::control::{NodeStatus, PeerStatus, Reply, Request};
use lanai_node::identity::Identity;
use lanai_node::identity::export::Export;
use lanai_node::identity::passphrase::{Cost, Lock, Passphrase};
use lanai_node::import::{Limits, parse_mail, read_all};
use lanai_node::join::JoinState;

use super::village::{NOW, person};
use super::{Decoder, Shape};

const MAILS: &[u8] = include_bytes!("../../node/tests/fixtures/oddities.mbox");
/// Bytes of text that a mail may yield here.
const MAX_TEXT: usize = 4096;

/// A private file that takes each input in turn.
#[derive(Clone)]
struct Place(PathBuf);

impl Place {
    fn new(dir: &Path, name: &str) -> Place {
        let path = dir.join(name);
        fs::write(&path, b"").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        Place(path)
    }

    fn fill(&self, bytes: &[u8]) -> &Path {
        fs::write(&self.0, bytes).unwrap();
        &self.0
    }
}

fn harmless(text: &str) {
    assert!(!text.chars().any(is_hazard), "not safe to show: {text:?}");
}

pub(super) fn all(dir: &Path) -> Vec<Decoder> {
    let mut all = own_files(dir);
    all.extend(exports());
    all.extend(control());
    all.extend(archives(dir));
    all
}

fn own_files(dir: &Path) -> Vec<Decoder> {
    let (key, join, config) =
        (Place::new(dir, "key"), Place::new(dir, "join.json"), Place::new(dir, "config.json"));
    let made = dir.join("made.key");
    person(1).create(&made).unwrap();
    let key_file = fs::read(&made).unwrap();
    let (community, entry) = (CommunityId::new([3; 32]), [4; 32]);
    let ticket = TicketText::new(
        TicketSecret::from_bytes([5; 32]),
        community,
        lanai_crdt::id::EntryId::new(entry),
        "The Porch",
        vec![],
    )
    .unwrap();
    let state = serde_json::to_vec_pretty(&JoinState::new(&ticket, "Ben", [6; 16], NOW)).unwrap();
    let settings = br#"{"listen": ["192.168.4.20"], "port": 4110, "mdns": false,
        "dial": ["node.example:7", "/ip4/10.0.0.1/tcp/1"], "later": {"a": [1, 2.5, null]}}"#;
    vec![
        Decoder::new("key file", 2, Shape::Binary, vec![key_file], move |bytes| {
            let good = Identity::load(key.fill(bytes)).is_ok_and(|found| {
                assert_eq!(found.device_id(), person(1).device_id(), "another key is believed");
                true
            });
            // The same with a checksum that fits.
            let Some((content, _)) = bytes.split_last_chunk::<8>() else { return good };
            let sum = blake3::derive_key("lanai v1 device key file", content);
            Identity::load(key.fill(&[content, &sum[..8]].concat())).is_ok()
        }),
        Decoder::new("join.json", 2, Shape::Text, vec![state], move |bytes| match JoinState::load(
            join.fill(bytes),
        ) {
            Ok(state) => {
                let state = state.expect("the file is there");
                state.ticket().expect("a state that was read has a ticket");
                harmless(&state.name);
                true
            }
            Err(_) => false,
        }),
        Decoder::new("config.json", 2, Shape::Text, vec![settings.to_vec()], move |bytes| {
            match Config::load(config.fill(bytes)) {
                Ok(found) => {
                    found.dial_addresses().expect("settings that were read can be used");
                    true
                }
                Err(_) => false,
            }
        }),
    ]
}

fn exports() -> Vec<Decoder> {
    let passphrase = || Passphrase::new("correct horse".into());
    let cheap = Cost { memory_kib: 8, passes: 1, lanes: 1 };
    let export = Export {
        identity: person(1),
        community: CommunityId::new([3; 32]),
        community_name: "The Porch".into(),
        member: Some(MemberId::new([4; 32])),
        member_name: "Ana".into(),
        addresses: vec!["/ip4/192.168.4.20/tcp/4110".into()],
        made_ms: NOW,
    };
    let text =
        export.seal(&passphrase(), &Lock { cost: cheap, salt: [7; 16], nonce: [8; 24] }).unwrap();
    let digits: String = text.lines().filter(|l| !l.starts_with('-')).collect();
    let bytes = from_base32(&digits).unwrap();
    let content = bytes[..bytes.len() - 4].to_vec();
    let read = move |text: &str| match Export::open(text, &passphrase()) {
        Ok(found) => {
            assert_eq!(found.identity.device_id(), person(1).device_id(), "a forged export opens");
            true
        }
        Err(_) => false,
    };
    vec![
        Decoder::new(
            "identity export, as text",
            2,
            Shape::Text,
            vec![text.into_bytes()],
            move |b| read(&String::from_utf8_lossy(b)),
        ),
        Decoder::new("identity export, good checksum", 2, Shape::Binary, vec![content], move |b| {
            let mut bytes = b.to_vec();
            // What is asked of Argon2 is allowed to take its time and memory; not here.
            if let Some(fields) = bytes.get_mut(1..10) {
                let number = |f: &[u8]| f.iter().fold(0u32, |n, b| n << 8 | u32::from(*b));
                let cost = Cost {
                    memory_kib: number(&fields[..4]),
                    passes: number(&fields[4..8]),
                    lanes: fields[8],
                };
                if cost.check().is_ok() && (cost.memory_kib > 128 || cost.passes > 2) {
                    fields.copy_from_slice(&[0, 0, 0, 128, 0, 0, 0, 1, cost.lanes]);
                }
            }
            let sum = blake3::derive_key("lanai v1 identity export", &bytes);
            bytes.extend_from_slice(&sum[..4]);
            read(&format!(
                "-----BEGIN LANAI IDENTITY-----\n{}\n-----END LANAI IDENTITY-----\n",
                base32(&bytes)
            ))
        }),
    ]
}

fn control() -> Vec<Decoder> {
    let requests = [
        Request::Status,
        Request::Sync { wait_ms: 1000 },
        Request::Dial { address: "/ip4/10.0.0.1/tcp/1".into() },
    ];
    let peer = PeerStatus { device: "x".into(), rtt_ms: Some(1.5), ..PeerStatus::default() };
    let status = NodeStatus { pid: 7, peers: vec![peer], ..NodeStatus::default() };
    let replies = [Reply::Done, Reply::Status(status), Reply::Error { message: "no".into() }];
    vec![
        Decoder::new(
            "control request",
            16,
            Shape::Text,
            requests.iter().map(|r| serde_json::to_vec(r).unwrap()).collect(),
            |b| serde_json::from_slice::<Request>(b).is_ok(),
        ),
        Decoder::new(
            "control reply",
            16,
            Shape::Text,
            replies.iter().map(|r| serde_json::to_vec(r).unwrap()).collect(),
            |b| serde_json::from_slice::<Reply>(b).is_ok(),
        ),
    ]
}

/// The mails of the fixture, without their separators.
fn mails() -> Vec<Vec<u8>> {
    let mut mails: Vec<Vec<u8>> = Vec::new();
    for line in MAILS.split_inclusive(|b| *b == b'\n') {
        if line.starts_with(b"From ") {
            mails.push(Vec::new());
        } else if let Some(mail) = mails.last_mut() {
            mail.extend_from_slice(line);
        }
    }
    mails.retain(|m| parse_mail(m, MAX_TEXT).is_ok());
    mails
}

fn archives(dir: &Path) -> Vec<Decoder> {
    let (mbox, packed) = (Place::new(dir, "mbox"), Place::new(dir, "mbox.gz"));
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&MAILS[..MAILS.len().min(8_000)]).unwrap();
    let gzip = gzip.finish().unwrap();
    let read = |place: &Place, bytes: &[u8]| {
        let limits = Limits { max_mail_bytes: 1 << 20, ..Limits::default() };
        match read_all(place.fill(bytes), &limits, (NOW / 1000) as i64, &mut |_| {
            std::ops::ControlFlow::Continue(())
        }) {
            Ok(archive) => {
                for skipped in &archive.skipped {
                    harmless(&skipped.why);
                }
                !archive.mails.is_empty()
            }
            Err(error) => {
                harmless(&error.to_string());
                false
            }
        }
    };
    vec![
        Decoder::new("mail", 2, Shape::Text, mails(), |bytes| match parse_mail(bytes, MAX_TEXT) {
            Ok(mail) => {
                assert!(mail.message_id.len() <= MAX_MESSAGE_ID_BYTES);
                assert!(!mail.message_id.is_empty());
                assert!(mail.from_name.len() <= MAX_NAME_BYTES, "{:?}", mail.from_name);
                assert!(mail.subject.len() <= MAX_TITLE_BYTES, "{:?}", mail.subject);
                let (text, _) = mail.text(MAX_TEXT);
                assert!(text.len() <= MAX_TEXT, "{}", text.len());
                true
            }
            Err(_) => false,
        }),
        Decoder::new(
            "mbox",
            1,
            Shape::Text,
            vec![MAILS[..MAILS.len().min(20_000)].to_vec()],
            move |b| read(&mbox, b),
        ),
        Decoder::new("mbox.gz", 1, Shape::Binary, vec![gzip], move |b| read(&packed, b)),
    ]
}
