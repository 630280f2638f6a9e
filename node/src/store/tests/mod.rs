//! Stores as files in temporary directories, with members who found, join, write and exchange.

use std::convert::Infallible;
use std::path::Path;

use lanai_crdt::entry::{DeviceSecret, Header, Signed};
use lanai_crdt::id::{CommunityId, DeviceId, EntryId, LogNumber, MemberId};
use lanai_crdt::payload::{
    Admit, Body, History, InvitePolicy, JoinRecord, Note, Origin, Post, PostRole, Profile, Role,
    Ticket,
};
use lanai_crdt::seal::SealingSecret;
use lanai_crdt::seal::rand_core::{TryCryptoRng, TryRng};

use super::*;

mod ahead;
mod attention;
mod bases;
mod cuts;
mod damage;
mod early;
mod exchange;
mod files;
mod held;
mod local;
mod newcomers;
mod own;
mod own_state;
mod pages;
mod placing;
mod purge;
mod sealing;
mod seals;
mod side;
mod space;
mod tallies;
mod views;

pub(crate) const NOW: u64 = 1_800_000_000_000;

/// Numbers that repeat from run to run.
#[derive(Clone)]
pub(crate) struct TestRng(blake3::OutputReader);

impl TestRng {
    pub(crate) fn new(seed: &str) -> TestRng {
        TestRng(blake3::Hasher::new().update(seed.as_bytes()).finalize_xof())
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        self.0.fill(&mut out);
        out
    }
}

impl TryRng for TestRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_le_bytes(self.array()))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_le_bytes(self.array()))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill(out);
        Ok(())
    }
}

impl TryCryptoRng for TestRng {}

/// A member with a store in a directory of its own.
pub(crate) struct Node {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) place: Place,
    pub(crate) author: Author,
    pub(crate) rng: TestRng,
    pub(crate) now: u64,
    pub(crate) store: Store,
}

pub(crate) fn place_in(dir: &Path) -> Place {
    Place { machine: "here".into(), ..Place::new(dir.join("store.db"), dir.join("store.token")) }
}

fn author(rng: &mut TestRng) -> Author {
    Author {
        device: DeviceSecret::from_bytes(&rng.array()),
        sealing: SealingSecret::from_bytes(&rng.array()),
    }
}

fn profile(name: &str) -> Profile {
    Profile { name: name.into(), ..Profile::default() }
}

impl Node {
    pub(crate) fn founder(name: &str) -> Node {
        Node::founder_of(name, History::All)
    }

    pub(crate) fn founder_of(name: &str, history: History) -> Node {
        let dir = tempfile::tempdir().unwrap();
        let mut rng = TestRng::new(name);
        let author = author(&mut rng);
        let place = place_in(dir.path());
        let founding = Founding {
            name: "porch".into(),
            charter: None,
            profile: profile(name),
            recovery_key: rng.array(),
            invite: InvitePolicy::Members,
            history,
            quorum: (2, 3),
            paper: None,
        };
        let store = Store::create(&place, &author, &founding, NOW, &mut rng).unwrap();
        Node { dir, place, author, rng, now: NOW, store }
    }

    /// Writes a ticket; its id and the secret half.
    pub(crate) fn ticket(&mut self, uses: u32) -> (EntryId, [u8; 32]) {
        let secret: [u8; 32] = self.rng.array();
        let key = *DeviceSecret::from_bytes(&secret).device().as_bytes();
        let ticket = Ticket { key: key.into(), role: Role::Member, uses, expires: None };
        (self.write(Body::Ticket(ticket), []), secret)
    }

    /// Admits `newcomer`; gives the admission.
    pub(crate) fn admit(
        &mut self,
        newcomer: &mut Newcomer,
        ticket: &(EntryId, [u8; 32]),
    ) -> EntryId {
        let record = JoinRecord {
            community: self.store.community(),
            ticket: ticket.0,
            device: newcomer.author.device.device(),
            sealing: *newcomer.author.sealing.public().as_bytes(),
            nonce: newcomer.nonce,
        };
        let signed = record.sign(&newcomer.author.device, Some(&ticket.1));
        let admit = Admit { record: signed.encode().into() };
        let id = self.write(Body::Admit(admit), [ticket.0]);
        self.now += 1;
        self.store.top_up(&self.author, self.now, &mut self.rng).unwrap();
        id
    }

    /// A newcomer's node that was admitted by this one and has its roster.
    pub(crate) fn invite(&mut self, name: &str) -> Node {
        let mut newcomer = Newcomer::new(name);
        let ticket = self.ticket(1);
        self.admit(&mut newcomer, &ticket);
        newcomer.join(self)
    }

    pub(crate) fn try_write<const N: usize>(
        &mut self,
        body: Body,
        refs: [EntryId; N],
    ) -> Result<EntryId, StoreError> {
        self.now += 1;
        let new = vec![NewEntry::new(body, refs)];
        let ids = self.store.append(&self.author, self.now, &mut self.rng, new)?;
        Ok(ids[0])
    }

    pub(crate) fn write<const N: usize>(&mut self, body: Body, refs: [EntryId; N]) -> EntryId {
        self.try_write(body, refs).unwrap()
    }

    pub(crate) fn note(&mut self, title: &str, text: &str) -> EntryId {
        self.write(note(title, text), [])
    }

    pub(crate) fn reply(&mut self, thread: EntryId, text: &str) -> EntryId {
        self.write(post(text), [thread])
    }

    pub(crate) fn member(&self) -> MemberId {
        self.store.own_member().unwrap().unwrap()
    }

    /// Everything in the store, as it would be sent.
    pub(crate) fn everything(&self) -> Vec<Incoming> {
        let ids: Vec<EntryId> = self.store.items().unwrap().items.iter().map(|i| i.id).collect();
        self.store.entries(&ids).unwrap().iter().map(incoming).collect()
    }

    pub(crate) fn ingest(&self, batch: Vec<Incoming>) -> IngestReport {
        let source = Source::Peer(DeviceId::new([7; 32]));
        self.store.ingest(batch, &source, self.now).unwrap()
    }

    pub(crate) fn fold(&self) {
        self.store.open_seals(&self.author, self.now).unwrap();
        while self.store.fold_pending(100).unwrap().left > 0 {}
    }

    /// Takes everything that `other` has.
    pub(crate) fn pull(&self, other: &Node) -> IngestReport {
        let report = self.ingest(other.everything());
        self.fold();
        report
    }

    pub(crate) fn hash(&self) -> [u8; 32] {
        self.fold();
        self.store.state_hash().unwrap()
    }

    pub(crate) fn reopen(&mut self) {
        self.store = Store::open(&self.place).unwrap();
    }

    pub(crate) fn log_number(&self, id: &EntryId) -> LogNumber {
        self.header(id).log.number
    }

    pub(crate) fn header(&self, id: &EntryId) -> Header {
        self.store.entries(&[*id]).unwrap()[0].verified.header().clone()
    }

    pub(crate) fn assert_clean(&self) {
        let report = self.store.check(|_| ()).unwrap();
        assert_eq!(report.damage, vec![]);
        assert!(self.store.waits_hold().unwrap());
    }

    pub(crate) fn texts(&self, thread: &EntryId) -> Vec<String> {
        let view = self.store.thread(thread).unwrap().unwrap();
        let text = |p: &lanai_crdt::thread::PostView| match &p.text {
            lanai_crdt::thread::PostText::Current(t) => t.clone(),
            lanai_crdt::thread::PostText::Withdrawn => "(withdrawn)".into(),
        };
        view.thread.posts.iter().map(text).collect()
    }
}

/// Somebody with keys and no store yet.
#[derive(Clone)]
pub(crate) struct Newcomer {
    name: String,
    author: Author,
    rng: TestRng,
    nonce: [u8; 16],
}

impl Newcomer {
    pub(crate) fn new(name: &str) -> Newcomer {
        let mut rng = TestRng::new(name);
        let author = author(&mut rng);
        let nonce = rng.array();
        Newcomer { name: name.into(), author, rng, nonce }
    }

    pub(crate) fn join(mut self, from: &Node) -> Node {
        let dir = tempfile::tempdir().unwrap();
        let place = place_in(dir.path());
        let roster = from.store.roster_entries().unwrap().iter().map(incoming).collect();
        let (store, report) = Store::create_joined(
            &place,
            from.store.community(),
            self.author.device.device(),
            roster,
            from.now,
            &mut self.rng,
        )
        .unwrap();
        assert_eq!(report.refused, vec![]);
        let mut node =
            Node { dir, place, author: self.author, rng: self.rng, now: from.now, store };
        let opened = node.store.open_seals(&node.author, node.now).unwrap();
        assert!(opened.new_keys > 0 && opened.locked.is_empty(), "{opened:?}");
        node.write(Body::Profile(profile(&self.name)), []);
        node
    }
}

pub(crate) fn incoming(entry: &StoredEntry) -> Incoming {
    let v = &entry.verified;
    let signed = Signed::decode(v.bytes().to_vec(), v.signature().copied()).unwrap();
    Incoming { signed, payload: entry.payload.clone() }
}

pub(crate) fn unsigned(i: &Incoming) -> Incoming {
    Incoming {
        signed: Signed::decode(i.signed.bytes().to_vec(), None).unwrap(),
        payload: i.payload.clone(),
    }
}

pub(crate) fn note(title: &str, text: &str) -> Body {
    Body::Note(Note { title: title.into(), text: text.into(), tags: vec![], origin: None })
}

pub(crate) fn post(text: &str) -> Body {
    Body::Post(Post { role: PostRole::Reply, text: text.into(), origin: None, met: None })
}

pub(crate) fn origin(name: &str, message: &str) -> Option<Origin> {
    Some(Origin {
        name: name.into(),
        message_id: message.into(),
        claimed: Some(900_000_000),
        claimed_text: None,
        plausible: 900_000_000,
    })
}

pub(crate) const NOBODY: CommunityId = CommunityId::ZERO;
