//! Two sessions joined by a perfect wire, in lock step; records what went over it.

use std::collections::VecDeque;

use super::world::{MemStore, Rng};
use crate::sync::*;

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum End {
    Open,
    Done(Summary),
    Failed(SessionError),
}

/// A node's side of one session and the store behind it, answered at once.
pub(crate) struct Side {
    pub(crate) session: Session,
    pub(crate) store: MemStore,
    pub(crate) sent: Vec<u8>,
    pub(crate) end: End,
    /// Every entry that was handed over for verification.
    pub(crate) offered: Vec<Incoming>,
    pub(crate) peak: u64,
    /// Batches are taken and never committed.
    pub(crate) hold_commits: bool,
    /// How many entries had arrived when it began.
    pub(crate) began: usize,
}

impl Side {
    pub(crate) fn new(role: Role, config: Config, store: MemStore, nonce: Nonce) -> Side {
        let session = Session::new(role, config, store.state(), nonce, 0);
        let began = store.arrived.len();
        Side {
            session,
            store,
            sent: vec![],
            end: End::Open,
            offered: vec![],
            peak: 0,
            hold_commits: false,
            began,
        }
    }

    fn handle(&mut self, input: Input<'_>, now: u64) -> Vec<Output> {
        let outputs = self.session.handle(input, now);
        self.session.check_invariants();
        self.peak = self.peak.max(self.session.buffered());
        outputs
    }

    /// Gives an input and answers all queries until nothing happens any more. Returns the bytes
    /// written.
    pub(crate) fn give(&mut self, input: Input<'_>, now: u64) -> Vec<u8> {
        let mut written = Vec::new();
        let mut outputs: VecDeque<Output> = self.handle(input, now).into();
        while let Some(output) = outputs.pop_front() {
            assert_eq!(self.end, End::Open, "an output after the last one");
            let more = match output {
                Output::Send(bytes) => {
                    assert!(!bytes.is_empty() && bytes.len() <= MAX_WRITE_BYTES);
                    written.extend_from_slice(&bytes);
                    self.handle(Input::Sent(bytes.len()), now)
                }
                Output::Query(Query::Set) => {
                    let tree = ItemSet::new(self.store.items()).tree();
                    self.handle(Input::Set(tree), now)
                }
                Output::Query(Query::Places { ids }) => {
                    let items = self.store.places(&ids);
                    self.handle(Input::Places(items), now)
                }
                Output::Query(Query::News { after, limit }) => {
                    let items = self.store.news(after, self.began, limit);
                    self.handle(Input::News(items), now)
                }
                Output::Query(Query::WantedPayloads { limit }) => {
                    let ids = self.store.wanted_payloads(limit);
                    self.handle(Input::WantedPayloads(ids), now)
                }
                Output::Query(Query::Load { ids, max_bytes }) => {
                    let (entries, taken) = self.store.load(&ids, max_bytes);
                    self.handle(Input::Loaded { entries, taken }, now)
                }
                Output::Ingest(batch) => {
                    assert!(!batch.is_empty());
                    self.offered.extend(batch.iter().cloned());
                    if self.hold_commits {
                        continue;
                    }
                    let report = self.store.ingest(batch);
                    self.handle(Input::Ingested(report), now)
                }
                Output::Done(summary) => {
                    self.end = End::Done(summary);
                    assert!(self.session.is_over());
                    vec![]
                }
                Output::Failed(error) => {
                    self.end = End::Failed(error);
                    assert!(self.session.is_over());
                    vec![]
                }
            };
            outputs.extend(more);
        }
        self.sent.extend_from_slice(&written);
        written
    }

    pub(crate) fn summary(&self) -> &Summary {
        match &self.end {
            End::Done(summary) => summary,
            other => panic!("not done: {other:?}"),
        }
    }
}

/// Runs a whole session; bytes are cut into random pieces by `chunks`.
pub(crate) fn run(a: &mut Side, b: &mut Side, mut chunks: Option<&mut Rng>) {
    let mut to_b: VecDeque<u8> = a.give(Input::Start, 0).into();
    let mut to_a: VecDeque<u8> = b.give(Input::Start, 0).into();
    for step in 0.. {
        assert!(step < 1_000_000);
        if to_a.is_empty() && to_b.is_empty() {
            break;
        }
        let mut take = |queue: &mut VecDeque<u8>| -> Vec<u8> {
            let n = match &mut chunks {
                Some(rng) => 1 + rng.below(3000) as usize,
                None => queue.len(),
            };
            queue.drain(..n.min(queue.len())).collect()
        };
        let piece = take(&mut to_b);
        if !piece.is_empty() && b.end == End::Open {
            to_a.extend(b.give(Input::Bytes(&piece), 0));
        }
        let piece = take(&mut to_a);
        if !piece.is_empty() && a.end == End::Open {
            to_b.extend(a.give(Input::Bytes(&piece), 0));
        }
    }
}

/// A pair that starts from two stores of one world.
pub(crate) fn pair(config: &Config, a: &MemStore, b: &MemStore, seed: u64) -> (Side, Side) {
    let mut rng = Rng(seed);
    let (x, y) = (rng.nonce(), rng.nonce());
    (
        Side::new(Role::Initiator, config.clone(), a.clone(), x),
        Side::new(Role::Responder, config.clone(), b.clone(), y),
    )
}
