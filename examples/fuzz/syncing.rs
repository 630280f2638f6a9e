//! Whole sync sessions: a recorded one, altered, to either side, with a store that answers at once.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use lanai_crdt::entry::Header;
use lanai_crdt::id::EntryId;
use lanai_node::sync::{
    Config, Incoming, IngestReport, Input, ItemSet, LocalState, Nonce, Output, Query, Role,
    Session, StoredEntry, SyncItem,
};

use super::village::{Village, bodies, person};
use super::{Decoder, Shape, mutate};

/// What a node holds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Held(pub(crate) BTreeMap<EntryId, Rc<StoredEntry>>);

impl Held {
    pub(crate) fn insert(&mut self, stored: StoredEntry) {
        self.0.insert(stored.entry.id(), Rc::new(stored));
    }

    fn next(&self, header: &Header, id: &EntryId) -> Option<&Header> {
        self.0.values().map(|e| e.entry.header()).find(|h| {
            h.prev == *id && h.log == header.log && header.seq.checked_add(1) == Some(h.seq)
        })
    }

    pub(crate) fn state(&self) -> LocalState {
        let all = || self.0.values().map(|e| &e.entry);
        let heads = all().filter(|e| self.next(e.header(), &e.id()).is_none()).map(|e| e.id());
        let holes = all().any(|e| e.header().seq > 0 && !self.0.contains_key(&e.header().prev));
        let wants = self.0.values().any(|e| e.payload.is_none());
        LocalState::new([7; 32], self.0.len() as u64, heads.collect(), holes, wants)
    }

    fn items(&self) -> Vec<SyncItem> {
        let item = |e: &Rc<StoredEntry>| SyncItem {
            time: e.entry.header().time.0,
            id: e.entry.id(),
            lane: 0,
            roster: e.entry.header().class == 0,
        };
        self.0.values().map(item).collect()
    }

    /// Takes what is authentic by itself or by its successor.
    fn ingest(&mut self, batch: Vec<Incoming>) -> IngestReport {
        let mut report = IngestReport::default();
        for Incoming { signed, payload } in batch.into_iter().rev() {
            if let Some(held) = self.0.get_mut(&signed.id()) {
                report.known += 1;
                if held.payload.is_none() && payload.is_some() {
                    Rc::make_mut(held).payload = payload;
                    report.payloads += 1;
                }
                continue;
            }
            let verified = match self.next(signed.header(), &signed.id()) {
                Some(next) => signed.clone().verify_by_next(next),
                None => signed.verify(),
            };
            match verified {
                Ok(entry) => {
                    let fits = payload.as_ref().is_none_or(|p| entry.matches_payload(p));
                    assert!(fits, "a session hands over payloads that fit");
                    self.insert(StoredEntry { entry, payload });
                    report.stored += 1;
                }
                Err(_) => *report.refused.entry("not-authentic").or_default() += 1,
            }
        }
        report
    }
}

/// One side of a session and what it holds.
pub(crate) struct Side {
    pub(crate) session: Session,
    pub(crate) held: Held,
    pub(crate) sent: Vec<u8>,
    /// Whether it is done, once it is over.
    pub(crate) end: Option<bool>,
}

impl Side {
    pub(crate) fn new(role: Role, config: &Config, held: Held, nonce: Nonce) -> Side {
        let session = Session::new(role, config.clone(), held.state(), nonce, 0);
        Side { session, held, sent: Vec::new(), end: None }
    }

    /// Gives an input and does what the session wants, until it wants no more. Gives what it sent.
    pub(crate) fn give(&mut self, input: Input<'_>) -> Vec<u8> {
        let mut todo: VecDeque<Output> = self.session.handle(input, 0).into();
        let mut sent = Vec::new();
        while let Some(output) = todo.pop_front() {
            assert!(self.end.is_none(), "an output after the last one");
            let more = match output {
                Output::Send(bytes) => {
                    sent.extend_from_slice(&bytes);
                    self.session.handle(Input::Sent(bytes.len()), 0)
                }
                Output::Query(Query::Set) => {
                    let tree = ItemSet::new(self.held.items()).tree();
                    self.session.handle(Input::Set(tree), 0)
                }
                Output::Query(Query::Places { ids }) => {
                    let mut items = self.held.items();
                    items.retain(|item| ids.contains(&item.id));
                    self.session.handle(Input::Places(items), 0)
                }
                Output::Query(Query::News { .. }) => {
                    unreachable!("no base is remembered");
                }
                Output::Query(Query::WantedPayloads { limit }) => {
                    let missing = self.held.0.values().filter(|e| e.payload.is_none());
                    let ids = missing.map(|e| e.entry.id()).take(limit).collect();
                    self.session.handle(Input::WantedPayloads(ids), 0)
                }
                Output::Query(Query::Load { ids, .. }) => {
                    let found = ids.iter().filter_map(|id| self.held.0.get(id));
                    let entries = found.map(|e| StoredEntry::clone(e)).collect();
                    self.session.handle(Input::Loaded { entries, taken: ids.len() }, 0)
                }
                Output::Ingest(batch) => {
                    let report = self.held.ingest(batch);
                    self.session.handle(Input::Ingested(report), 0)
                }
                Output::Done(_) => {
                    self.end = Some(true);
                    Vec::new()
                }
                Output::Failed(_) => {
                    self.end = Some(false);
                    Vec::new()
                }
            };
            todo.extend(more);
        }
        self.sent.extend_from_slice(&sent);
        sent
    }
}

/// Runs two sides until neither has anything to say.
pub(crate) fn run(a: &mut Side, b: &mut Side) {
    let mut to_b = a.give(Input::Start);
    let mut to_a = b.give(Input::Start);
    while !to_a.is_empty() || !to_b.is_empty() {
        to_a.extend(b.give(Input::Bytes(&std::mem::take(&mut to_b))));
        to_b.extend(a.give(Input::Bytes(&std::mem::take(&mut to_a))));
    }
}

pub(super) fn all() -> Vec<Decoder> {
    let (ana, ben) = (person(1), person(2));
    let mut village = Village::found(&ana);
    let ticket = village.ticket(&ana, 50, 3);
    let record = lanai_node::join::join_record(&ticket, &ben, [4; 16]);
    village.admit(&ana, &ben, &record);
    let texts = bodies([0; 32]);
    let thread = village.write(&ana, &[], &texts[0]);
    for n in 0..14 {
        let by = if n % 3 == 0 { &ana } else { &ben };
        let refs = if n % 8 < 2 { vec![thread] } else { vec![thread, thread] };
        village.write(by, &refs, &texts[2 + n % 8]);
    }
    let config = Config::new(village.community);
    let all: Rc<Held> = Rc::new({
        let mut held = Held::default();
        village.entries.iter().for_each(|e| held.insert(e.clone()));
        held
    });
    // Each lacks some entries, and some payloads.
    let part = |at: usize| {
        let mut held = Held::default();
        for (n, e) in village.entries.iter().enumerate() {
            let mut e = e.clone();
            let posted = e.entry.header().class != 0;
            if n > 3 && n % 3 == at {
                continue;
            }
            if posted && n % 5 == at {
                e.payload = None;
            }
            held.insert(e);
        }
        held
    };
    let nonces = [Nonce([1; 16]), Nonce([2; 16])];
    let parts = [part(0), part(1)];
    let side = |at: usize, held: &Held| {
        let role = if at == 0 { Role::Initiator } else { Role::Responder };
        Side::new(role, &config, held.clone(), nonces[at])
    };
    let (mut a, mut b) = (side(0, &parts[0]), side(1, &parts[1]));
    run(&mut a, &mut b);
    assert_eq!((a.end, b.end), (Some(true), Some(true)), "the recorded session is done");
    assert!(a.held.0.keys().eq(all.0.keys()) && b.held.0.keys().eq(all.0.keys()));

    let [from_a, from_b] = parts;
    let decoder = |name, at: usize, held: Held, stream: Vec<u8>| {
        let (all, config, nonce) = (Rc::clone(&all), config.clone(), nonces[at]);
        Decoder::new(name, 1, Shape::Frames, vec![stream], move |bytes| {
            let role = if at == 0 { Role::Initiator } else { Role::Responder };
            let mut side = Side::new(role, &config, held.clone(), nonce);
            side.give(Input::Start);
            for frame in mutate::split(bytes) {
                if side.end.is_some() {
                    break;
                }
                side.give(Input::Bytes(frame));
                assert!(side.session.buffered() <= 8 << 20, "{}", side.session.buffered());
            }
            side.give(Input::Eof);
            assert!(side.end.is_some() && side.session.is_over(), "a session ends");
            for (id, held) in &side.held.0 {
                let real = all.0.get(id).expect("nothing is held that nobody wrote");
                assert_eq!(held.entry.bytes(), real.entry.bytes());
                assert!(held.payload.is_none() || held.payload == real.payload);
            }
            side.end == Some(true)
        })
    };
    vec![
        decoder("sync session, to the initiator", 0, from_a, b.sent),
        decoder("sync session, to the responder", 1, from_b, a.sent),
    ]
}
