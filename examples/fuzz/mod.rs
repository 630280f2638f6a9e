//! The decoders of bytes from outside, with samples to mutate: shared by the example and the tests.

#![allow(dead_code, clippy::unwrap_used, clippy::indexing_slicing)]

use std::sync::Arc;

use lanai_crdt::entry::{Class, DeviceSecret, Header};
use lanai_crdt::envelope;
use lanai_crdt::id::{EntryId, IdPrefix};
use lanai_crdt::payload::{self, SignedJoinRecord};
use lanai_crdt::seal::{EpochKey, SealingSecret, open_payload, seal_payload};
use lanai_crdt::ticket::{TicketSecret, TicketText};
use lanai_node::control::Request;
use lanai_node::gossip;
use lanai_node::identity::Identity;
use lanai_node::import::parse_mail;
use lanai_node::join::{
    Admitter, AdmitterInput, AdmitterOutput, Joiner, JoinerInput, JoinerOutput,
};
use lanai_node::store::Store;
use lanai_node::sync::{
    Config, Input, LocalState, Nonce, Output, Query, Role, Session, StoredEntry, SyncItem,
};

use crate::support::{Result, found};

const NOW: u64 = 1_800_000_000_000;

/// A small generator (xorshift64*), so that a run can be repeated.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() >> 11) as usize % n.max(1)
    }
}

/// Something that reads bytes; says whether it accepted them.
type Run = Box<dyn Fn(&[u8]) -> bool + Send + Sync>;

/// One decoder.
pub(crate) struct Target {
    pub(crate) name: &'static str,
    samples: Vec<Vec<u8>>,
    pub(crate) run: Run,
}

impl Target {
    /// The next input: mostly a mutated sample, sometimes noise.
    pub(crate) fn input(&self, random: &mut Random) -> Vec<u8> {
        if self.samples.is_empty() || random.below(8) == 0 {
            let length = random.below(400);
            return (0..length).map(|_| random.next() as u8).collect();
        }
        let mut bytes = self.samples[random.below(self.samples.len())].clone();
        for _ in 0..=random.below(4) {
            let length = bytes.len();
            if length == 0 {
                break;
            }
            let at = random.below(length);
            match random.below(8) {
                0 | 1 => bytes[at] ^= 1 << random.below(8),
                2 => bytes[at] = random.next() as u8,
                3 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff, 0x5f, 0x9f, 0xbf][random.below(8)],
                4 => bytes.truncate(at),
                5 => bytes.insert(at, random.next() as u8),
                6 => {
                    let end = (at + 1 + random.below(16)).min(length);
                    let piece = bytes[at..end].to_vec();
                    let to = random.below(bytes.len());
                    bytes.splice(to..to, piece);
                }
                _ => {
                    let end = (at + 8).min(length);
                    bytes[at..end].fill(if random.below(2) == 0 { 0xff } else { 0 });
                }
            }
        }
        bytes
    }
}

/// A real sync session.
struct Recording {
    /// Bytes from the initiator.
    sent: Vec<u8>,
    /// Bytes from the responder.
    answered: Vec<u8>,
    /// What the initiator held.
    initiator: LocalState,
    /// What the responder held.
    responder: LocalState,
    /// The initiator's items.
    items: Vec<SyncItem>,
}

fn recorded_session(from: &Store, to: &Store) -> Result<Recording> {
    let state = |s: &Store| -> Result<LocalState> {
        let held = s.set_summary()?;
        Ok(LocalState::new(held.roster, held.entries, held.heads, held.holes, held.wanted_payloads))
    };
    let items = |s: &Store| -> Result<Vec<SyncItem>> {
        let mut items: Vec<SyncItem> = s
            .items()?
            .items
            .into_iter()
            .map(|i| SyncItem { time: i.time, id: i.id, lane: i.lane, roster: i.roster })
            .collect();
        items.sort_unstable();
        Ok(items)
    };
    let config = Config::new(from.community());
    let (a, b) = (state(from)?, state(to)?);
    let mut sides = [
        (
            Session::new(Role::Initiator, config.clone(), a.clone(), Nonce([1; 16]), 0),
            from,
            Vec::new(),
        ),
        (Session::new(Role::Responder, config, b.clone(), Nonce([2; 16]), 0), to, Vec::new()),
    ];
    let mut work: Vec<(usize, Vec<Output>)> = Vec::new();
    for (side, (session, ..)) in sides.iter_mut().enumerate() {
        work.push((side, session.handle(Input::Start, 0)));
    }
    while let Some((side, outputs)) = work.pop() {
        for output in outputs {
            match output {
                Output::Send(bytes) => {
                    sides[side].2.extend_from_slice(&bytes);
                    let more = sides[side].0.handle(Input::Sent(bytes.len()), 0);
                    work.push((side, more));
                    let other = 1 - side;
                    let more = sides[other].0.handle(Input::Bytes(&bytes), 0);
                    work.insert(0, (other, more));
                }
                Output::Query(query) => {
                    let store = sides[side].1;
                    let more = match query {
                        Query::Items => sides[side].0.handle(Input::Items(items(store)?), 0),
                        Query::WantedPayloads { .. } => {
                            sides[side].0.handle(Input::WantedPayloads(Vec::new()), 0)
                        }
                        Query::Load { ids, max_bytes } => {
                            let (found, taken) = store.load(&ids, max_bytes)?;
                            let entries = found
                                .into_iter()
                                .map(|e| StoredEntry { entry: e.verified, payload: e.payload })
                                .collect();
                            sides[side].0.handle(Input::Loaded { entries, taken }, 0)
                        }
                    };
                    work.push((side, more));
                }
                Output::Ingest(batch) => {
                    let report = lanai_node::sync::IngestReport {
                        stored: batch.len() as u64,
                        ..Default::default()
                    };
                    let more = sides[side].0.handle(Input::Ingested(report), 0);
                    work.push((side, more));
                }
                Output::Done(_) => {}
                Output::Failed(e) => return Err(format!("recording a session: {e}").into()),
            }
        }
    }
    let [(_, _, sent), (_, _, answered)] = sides;
    Ok(Recording { sent, answered, initiator: a, responder: b, items: items(from)? })
}

/// Feeds bytes to one side of a session whose store answers at once.
fn play(role: Role, config: &Config, state: &LocalState, items: &[SyncItem], bytes: &[u8]) -> bool {
    let nonce = Nonce(if role == Role::Initiator { [1; 16] } else { [2; 16] });
    let mut session = Session::new(role, config.clone(), state.clone(), nonce, 0);
    let mut outputs = session.handle(Input::Start, 0);
    outputs.extend(session.handle(Input::Bytes(bytes), 1));
    let mut steps = 0;
    while !outputs.is_empty() && steps < 1_000 {
        steps += 1;
        let output = outputs.remove(0);
        let more = match output {
            Output::Send(bytes) => session.handle(Input::Sent(bytes.len()), 1),
            Output::Query(Query::Items) => session.handle(Input::Items(items.to_vec()), 1),
            Output::Query(Query::WantedPayloads { .. }) => {
                session.handle(Input::WantedPayloads(Vec::new()), 1)
            }
            Output::Query(Query::Load { ids, .. }) => {
                session.handle(Input::Loaded { entries: Vec::new(), taken: ids.len() }, 1)
            }
            Output::Ingest(_) => session.handle(Input::Ingested(Default::default()), 1),
            Output::Done(_) => return true,
            Output::Failed(_) => return false,
        };
        outputs.extend(more);
    }
    false
}

/// Every decoder of bytes from outside.
pub(crate) fn targets() -> Result<Vec<Target>> {
    let dir = tempfile::tempdir()?;
    let ana = found(dir.path(), "Ana")?;
    let ben = ana.admit(dir.path(), "Ben")?;
    let thread = ana.note("The ford", "Who has crossed it?")?;
    for i in 0..6 {
        ana.reply(thread, &format!("Reply {i}, with some words that compress a little."))?;
    }
    let ids: Vec<EntryId> = ana.store.items()?.items.iter().map(|i| i.id).collect();
    let entries = ana.store.entries(&ids)?;
    let headers: Vec<Vec<u8>> = entries.iter().map(|e| e.verified.bytes().to_vec()).collect();
    let blobs: Vec<Vec<u8>> = entries.iter().filter_map(|e| e.payload.clone()).collect();
    let clear: Vec<Vec<u8>> = entries
        .iter()
        .filter(|e| e.verified.header().class == 0)
        .filter_map(|e| e.payload.clone())
        .collect();
    let bodies: Vec<Vec<u8>> =
        clear.iter().filter_map(|b| envelope::decode_clear(b).ok()).collect();
    let texts = ["short", "a longer text that will be compressed, compressed and compressed again"];
    let post = |text: &str| {
        payload::Body::Post(payload::Post {
            role: payload::PostRole::Reply,
            text: text.repeat(6),
            origin: None,
        })
    };
    let mut all_bodies = bodies.clone();
    all_bodies.extend(texts.iter().filter_map(|t| payload::encode(&post(t)).ok()));
    let sealed: Vec<Vec<u8>> = all_bodies.iter().filter_map(|b| envelope::encode(b).ok()).collect();
    let records: Vec<Vec<u8>> = bodies
        .iter()
        .filter_map(|b| match payload::decode(Class::Roster, b) {
            Ok(payload::Body::Admit(admit)) => Some(admit.record.to_vec()),
            _ => None,
        })
        .collect();
    let messages: Vec<Vec<u8>> =
        entries.iter().filter_map(|e| gossip::encode(&e.verified, e.payload.as_deref()?)).collect();
    let mut targets = Vec::new();
    let mut add =
        |name, samples: Vec<Vec<u8>>, run: Run| targets.push(Target { name, samples, run });

    add(
        "entry header",
        headers,
        Box::new(|b| match Header::decode(b) {
            Ok(header) => {
                assert_eq!(header.encode(), b, "an accepted header is canonical");
                true
            }
            Err(_) => false,
        }),
    );
    add(
        "gossip message",
        messages,
        Box::new(|b| match gossip::decode(b) {
            Ok((signed, _)) => signed.verify().is_ok(),
            Err(_) => false,
        }),
    );
    add(
        "payload body",
        all_bodies,
        Box::new(|b| Class::ALL.iter().filter(|c| payload::decode(**c, b).is_ok()).count() > 0),
    );
    add("envelope, sealed form", sealed.clone(), Box::new(|b| envelope::decode(b).is_ok()));
    add("envelope, clear form", clear, Box::new(|b| envelope::decode_clear(b).is_ok()));
    let key = EpochKey::from_bytes(&[8; 32]);
    let sealed_blobs: Vec<Vec<u8>> = sealed
        .iter()
        .filter_map(|s| seal_payload(&key, [1; 24], b"header", s).ok())
        .chain(blobs)
        .collect();
    add(
        "sealed payload",
        sealed_blobs,
        Box::new(move |b| {
            let opened = open_payload(&key, b"header", b);
            opened.is_ok_and(|plain| envelope::decode(&plain).is_ok())
        }),
    );
    add(
        "join record",
        records,
        Box::new(|b| SignedJoinRecord::decode(b).is_ok_and(|r| r.check_newcomer(&[1; 32]).is_ok())),
    );

    let secret = TicketSecret::from_bytes([4; 32]);
    let address = "/ip4/192.168.4.20/tcp/4110".to_owned();
    let ticket =
        TicketText::new(secret, ana.store.community(), thread, "The Porch", vec![address])?;
    let text = ticket.encode().as_bytes().to_vec();
    add(
        "ticket text",
        vec![text],
        Box::new(|b| TicketText::decode(&String::from_utf8_lossy(b)).is_ok()),
    );
    add(
        "typed id",
        vec![thread.full().into_bytes()],
        Box::new(|b| IdPrefix::parse(&String::from_utf8_lossy(b)).is_ok()),
    );
    add(
        "control request",
        vec![br#"{"op":"sync","wait_ms":1000}"#.to_vec()],
        Box::new(|b| serde_json::from_slice::<Request>(b).is_ok()),
    );
    let mail = b"From: A <a@example.org>\nSubject: =?utf-8?q?x=C3=A9?=\nMIME-Version: 1.0\n\
        Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/html; charset=koi8-r\n\
        Content-Transfer-Encoding: quoted-printable\n\n<p>=D0=D2</p>\n--b\nContent-Type: image/gif\n\
        Content-Transfer-Encoding: base64\n\nR0lGODlh\n--b--\n"
        .to_vec();
    add("mail", vec![mail], Box::new(|b| parse_mail(b, 4096).is_ok()));

    let Recording { sent, answered, initiator: a, responder: b, items } =
        recorded_session(&ana.store, &ben.store)?;
    let config = Config::new(ana.store.community());
    let few: Vec<SyncItem> = items.iter().filter(|i| i.roster).copied().collect();
    let (c, i) = (config.clone(), items);
    add(
        "sync, to the initiator",
        vec![answered],
        Box::new(move |bytes| play(Role::Initiator, &c, &a, &i, bytes)),
    );
    add(
        "sync, to the responder",
        vec![sent],
        Box::new(move |bytes| play(Role::Responder, &config, &b, &few, bytes)),
    );

    let newcomer = Identity {
        device: DeviceSecret::from_bytes(&[5; 32]),
        sealing: SealingSecret::from_bytes(&[6; 32]),
    };
    let roster = Arc::new((*ana.store.roster()?).clone());
    let own = ana.store.own_device();
    let (mut joiner, first) =
        Joiner::start(ticket.clone(), newcomer.clone(), [1; 16], own, [2; 32], NOW);
    let mut asked = Vec::new();
    for output in first {
        if let JoinerOutput::Send(bytes) = output {
            asked.extend(bytes);
        }
    }
    let device = newcomer.device_id();
    let admitter = |roster: &Arc<_>| Admitter::new(own, device, Arc::clone(roster), [3; 32], NOW);
    let mut proofs = Vec::new();
    for output in admitter(&roster).handle(AdmitterInput::Bytes(&asked), NOW) {
        if let AdmitterOutput::Send(bytes) = output {
            proofs.extend(bytes);
        }
    }
    for output in joiner.handle(JoinerInput::Bytes(&proofs), NOW) {
        if let JoinerOutput::Send(bytes) = output {
            asked.extend(bytes);
        }
    }
    add(
        "join, to the member",
        vec![asked],
        Box::new(move |bytes| {
            let mut machine = Admitter::new(own, device, Arc::clone(&roster), [3; 32], NOW);
            let outputs = machine.handle(AdmitterInput::Bytes(bytes), NOW);
            outputs.iter().any(|o| matches!(o, AdmitterOutput::Admit { .. }))
        }),
    );
    add(
        "join, to the newcomer",
        vec![proofs],
        Box::new(move |bytes| {
            let (mut machine, _) =
                Joiner::start(ticket.clone(), newcomer.clone(), [1; 16], own, [2; 32], NOW);
            let outputs = machine.handle(JoinerInput::Bytes(bytes), NOW);
            outputs.iter().any(|o| matches!(o, JoinerOutput::Finished(Ok(_))))
        }),
    );
    Ok(targets)
}
