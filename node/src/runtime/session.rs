//! Drives one sync session: the pure machine in `sync`, a stream, and the store.
//!
//! The machine says what it wants; here it is read from the stream, written to it, asked of the
//! store (off the loop, since it blocks), and time is told. A session that ends in any way has
//! lost nothing: whatever was acknowledged is committed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use lanai_crdt::id::{DeviceId, EntryId};
use tokio::task::JoinHandle;

use super::now_millis;
use super::peers::Outcome;
use super::state::blocking;
use crate::identity::Identity;
use crate::net::NetStream;
use crate::random::random_bytes;
use crate::store::{self, Author, SetItem, Source, Store, StoreError, SyncState};
use crate::sync::{
    Config, Incoming, IngestReport, Input, LocalState, Nonce, Output, Progress, Query, Role,
    Session, SessionError, Severity, StoredEntry, SyncItem, Tree,
};

/// Bytes read from the stream at once.
const READ_BYTES: usize = 64 * 1024;

/// How long the set of entries stays in memory when no session compares whole sets: up to twice this.
const REST_AFTER: Duration = Duration::from_secs(300);

/// Gives the memory of the set of entries back whenever no session has needed it for a while.
pub(super) async fn rest_loop(store: Store) {
    let mut look = tokio::time::interval(REST_AFTER);
    loop {
        look.tick().await;
        let store = store.clone();
        if blocking(move || store.rest_reconciled()).await.is_err() {
            tracing::warn!("the set of entries could not be given back");
        }
    }
}

/// How a session ended.
#[derive(Debug)]
pub(super) struct SessionEnd {
    /// When it looked at what this node holds.
    pub(super) began: Instant,
    /// Entries or payloads that were new here.
    pub(super) received: u64,
    /// Entries that came though they were held here already.
    pub(super) repeated: u64,
    /// Entries that the peer has committed.
    pub(super) sent: u64,
    /// Bytes above the transport.
    pub(super) bytes_in: u64,
    /// Bytes above the transport.
    pub(super) bytes_out: u64,
    /// The differences were known from what came since both held the same.
    pub(super) by_news: bool,
    /// A side pays for the link by the byte.
    pub(super) metered: bool,
    /// Entries that the terms of the session left out, whole or but for their header.
    pub(super) left_out: u64,
    /// Entries refused, by reason.
    pub(super) refused: BTreeMap<&'static str, u64>,
    /// Whether class 0 entries came.
    pub(super) roster_changed: bool,
    /// Whether an entry of this node's own log came that it did not write.
    pub(super) own_unknown: bool,
    /// The task panicked: a mistake in this program.
    pub(super) panicked: bool,
    /// How it went.
    pub(super) outcome: Outcome,
}

impl SessionEnd {
    /// A session that carried nothing.
    pub(super) fn new(began: Instant, outcome: Outcome) -> SessionEnd {
        SessionEnd {
            began,
            received: 0,
            repeated: 0,
            sent: 0,
            bytes_in: 0,
            bytes_out: 0,
            metered: false,
            left_out: 0,
            by_news: false,
            refused: BTreeMap::new(),
            roster_changed: false,
            own_unknown: false,
            panicked: false,
            outcome,
        }
    }

    /// A session that did not come about.
    pub(super) fn failed(began: Instant, severity: Severity, why: String) -> SessionEnd {
        SessionEnd::new(began, Outcome::Failed { severity, why })
    }
}

/// Runs a session that this node opened.
pub(super) async fn initiate(
    store: Store,
    identity: Arc<Identity>,
    device: DeviceId,
    stream: NetStream,
    config: Config,
) -> SessionEnd {
    drive(store, identity, device, stream, Role::Initiator, config, None).await
}

/// Runs a session that the peer opened.
pub(super) async fn respond(
    store: Store,
    identity: Arc<Identity>,
    device: DeviceId,
    stream: NetStream,
    config: Config,
) -> SessionEnd {
    drive(store, identity, device, stream, Role::Responder, config, None).await
}

/// Who is told how far a session is.
pub(super) type Watcher = Box<dyn Fn(Progress) + Send>;

/// Runs a session over a stream whose other end is proven to be `device`.
pub(super) async fn drive(
    store: Store,
    identity: Arc<Identity>,
    device: DeviceId,
    stream: impl AsyncRead + AsyncWrite,
    role: Role,
    config: Config,
    watcher: Option<Watcher>,
) -> SessionEnd {
    let began = Instant::now();
    let local = {
        let store = store.clone();
        blocking(move || local_state(&store, &device)).await
    };
    let (start, local) = match local {
        Ok(Ok(local)) => local,
        Ok(Err(e)) => return SessionEnd::failed(began, Severity::Local, e.to_string()),
        Err(e) => return SessionEnd::failed(began, Severity::Local, e.to_string()),
    };
    let nonce = Nonce(random_bytes());
    let flush = Duration::from_millis(config.flush_ms);
    let session = Session::new(role, config, local, nonce, 0);
    let mut driver = Driver {
        session,
        store,
        identity,
        device,
        start,
        started: began,
        queue: VecDeque::new(),
        offset: 0,
        query: None,
        ingest: None,
        last: None,
        late: 0,
        roster_changed: false,
        own_unknown: false,
        flush,
        watcher,
        end: None,
    };
    let result = driver.run(stream).await;
    let summary = driver.session.summary();
    let Start { arrived, generation } = start;
    if let Some(equal) = summary.equal {
        let store = driver.store.clone();
        let noted = blocking(move || store.note_equal(&device, &equal, arrived, generation)).await;
        if !matches!(noted, Ok(Ok(_))) {
            tracing::warn!("that {device} holds the same could not be noted");
        }
    }
    if result.is_ok() && !summary.more && summary.refused_by_peer == 0 && summary.unsendable == 0 {
        let store = driver.store.clone();
        let noted = blocking(move || store.note_held(&device, arrived, now_millis())).await;
        if !matches!(noted, Ok(Ok(()))) {
            tracing::warn!("what {device} holds could not be noted");
        }
    }
    let received = summary.stored + summary.payloads + driver.late;
    let outcome = match result {
        Ok(()) => Outcome::Done { more: summary.more, moved: received + summary.confirmed > 0 },
        Err(e) => Outcome::Failed { severity: e.severity(), why: e.to_string() },
    };
    SessionEnd {
        received,
        repeated: summary.known,
        sent: summary.confirmed,
        bytes_in: summary.bytes_in,
        bytes_out: summary.bytes_out,
        metered: summary.metered,
        left_out: summary.left_out,
        by_news: summary.by_news,
        refused: summary.refused.clone(),
        roster_changed: driver.roster_changed,
        own_unknown: driver.own_unknown,
        ..SessionEnd::new(began, outcome)
    }
}

/// An answer of the store that goes back into the machine.
pub(super) enum Answer {
    Set(Tree),
    News(Vec<SyncItem>),
    Places(Vec<SyncItem>),
    WantedPayloads(Vec<EntryId>),
    Loaded { entries: Vec<StoredEntry>, taken: usize },
}

type Work<T> = Option<JoinHandle<Result<T, StoreError>>>;

struct Driver {
    session: Session,
    store: Store,
    identity: Arc<Identity>,
    device: DeviceId,
    start: Start,
    started: Instant,
    queue: VecDeque<Vec<u8>>,
    offset: usize,
    query: Work<Answer>,
    ingest: Work<Taken>,
    last: Option<Vec<Incoming>>,
    late: u64,
    roster_changed: bool,
    own_unknown: bool,
    /// How long a finished session may take to write what is left.
    flush: Duration,
    watcher: Option<Watcher>,
    end: Option<Result<(), SessionError>>,
}

/// Waits for work that may not be there; only polled when it is.
async fn finished<T>(work: &mut Work<T>) -> Result<T, StoreError> {
    let Some(handle) = work else { return std::future::pending().await };
    let result = handle.await;
    *work = None;
    match result {
        Ok(result) => result,
        Err(_) => Err(StoreError::Internal("a task of the store ended")),
    }
}

impl Driver {
    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    async fn run(&mut self, stream: impl AsyncRead + AsyncWrite) -> Result<(), SessionError> {
        let (mut read, mut write) = stream.split();
        let mut buffer = vec![0; READ_BYTES];
        self.feed(Input::Start);
        let mut dirty = false;
        while self.end.is_none() {
            let deadline = self.session.deadline().unwrap_or(u64::MAX).saturating_sub(self.now());
            let tick = tokio::time::sleep(Duration::from_millis(deadline.min(60_000)));
            tokio::select! {
                n = read.read(&mut buffer) => match n {
                    Ok(0) | Err(_) => self.feed(Input::Eof),
                    Ok(n) => {
                        let bytes = buffer.get(..n).unwrap_or_default();
                        let now = self.now();
                        let outputs = self.session.handle(Input::Bytes(bytes), now);
                        self.carry_out(outputs);
                    }
                },
                n = push(&mut write, &self.queue, self.offset), if dirty || !self.queue.is_empty() => {
                    match n {
                        Ok(Pushed::Flushed) => dirty = false,
                        Ok(Pushed::Wrote(0)) | Err(_) => self.feed(Input::Eof),
                        Ok(Pushed::Wrote(n)) => {
                            dirty = true;
                            self.wrote(n);
                            self.feed(Input::Sent(n));
                        }
                    }
                },
                answer = finished(&mut self.query), if self.query.is_some() => match answer {
                    Ok(Answer::Set(tree)) => self.feed(Input::Set(tree)),
                    Ok(Answer::Places(items)) => self.feed(Input::Places(items)),
                    Ok(Answer::News(items)) => self.feed(Input::News(items)),
                    Ok(Answer::WantedPayloads(ids)) => self.feed(Input::WantedPayloads(ids)),
                    Ok(Answer::Loaded { entries, taken }) => {
                        self.feed(Input::Loaded { entries, taken });
                    }
                    Err(e) => self.store_failed(&e),
                },
                report = finished(&mut self.ingest), if self.ingest.is_some() => match report {
                    Ok(taken) => {
                        self.note(&taken);
                        self.feed(Input::Ingested(taken.report));
                    }
                    Err(e) => self.store_failed(&e),
                },
                () = tick => self.feed(Input::Tick),
            }
        }
        // What came whole before the end is kept, and its entries are counted as received.
        while self.ingest.is_some() {
            if let Ok(taken) = finished(&mut self.ingest).await {
                self.note(&taken);
                self.late += taken.report.stored + taken.report.payloads;
            }
            if let Some(batch) = self.last.take() {
                self.commit(batch);
            }
        }
        let rest = async {
            while let Some(piece) = self.queue.pop_front() {
                write.write_all(piece.get(self.offset..).unwrap_or_default()).await?;
                self.offset = 0;
            }
            write.close().await
        };
        // The peer may have gone once it had all it wanted; what mattered was acknowledged before.
        let _unsent = tokio::time::timeout(self.flush, rest).await;
        self.end.take().unwrap_or(Err(SessionError::Stopped))
    }

    fn wrote(&mut self, n: usize) {
        self.offset += n;
        if self.queue.front().is_some_and(|piece| self.offset >= piece.len()) {
            self.queue.pop_front();
            self.offset = 0;
        }
    }

    fn note(&mut self, taken: &Taken) {
        self.roster_changed |= taken.roster_changed;
        self.own_unknown |= taken.own_unknown;
    }

    fn store_failed(&mut self, error: &StoreError) {
        tracing::error!(device = %self.device, "sync: {error}");
        self.feed(Input::StoreFailed);
    }

    fn commit(&mut self, batch: Vec<Incoming>) {
        let (store, identity, device) = (self.store.clone(), self.identity.clone(), self.device);
        self.ingest = Some(tokio::task::spawn_blocking(move || {
            take(&store, &author(&identity), device, batch)
        }));
    }

    fn feed(&mut self, input: Input<'_>) {
        let now = self.now();
        let outputs = self.session.handle(input, now);
        self.carry_out(outputs);
    }

    fn carry_out(&mut self, outputs: Vec<Output>) {
        if let Some(watcher) = &self.watcher {
            watcher(self.session.how_far());
        }
        for output in outputs {
            match output {
                Output::Send(bytes) => self.queue.push_back(bytes),
                Output::Query(query) => {
                    let (store, start) = (self.store.clone(), self.start);
                    self.query =
                        Some(tokio::task::spawn_blocking(move || ask(&store, start, query)));
                }
                Output::Ingest(batch) if self.ingest.is_none() => self.commit(batch),
                // The last batch of a session that fails may come behind an open commit.
                Output::Ingest(batch) => self.last = Some(batch),
                Output::Done(_) => self.end = Some(Ok(())),
                Output::Failed(error) => self.end = Some(Err(error)),
            }
        }
    }
}

enum Pushed {
    Wrote(usize),
    Flushed,
}

/// Writes some of what waits, or flushes when nothing does. Loses nothing when dropped half-way.
async fn push(
    write: &mut (impl AsyncWrite + Unpin),
    queue: &VecDeque<Vec<u8>>,
    offset: usize,
) -> std::io::Result<Pushed> {
    match queue.front() {
        Some(piece) => {
            write.write(piece.get(offset..).unwrap_or_default()).await.map(Pushed::Wrote)
        }
        None => write.flush().await.map(|()| Pushed::Flushed),
    }
}

/// The state of the store that a session speaks for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Start {
    /// The last arrival that is part of it.
    arrived: i64,
    generation: u64,
}

/// What this side holds, as the machine wants it.
pub(super) fn local_state(
    store: &Store,
    device: &DeviceId,
) -> Result<(Start, LocalState), StoreError> {
    let SyncState { summary: held, arrived, generation, bases } = store.sync_state(device)?;
    let state =
        LocalState::new(held.roster, held.entries, held.heads, held.holes, held.wanted_payloads);
    Ok((Start { arrived, generation }, state.with_bases(bases)))
}

fn sync_items(items: Vec<SetItem>) -> Vec<SyncItem> {
    let item = |i: SetItem| SyncItem { time: i.time, id: i.id, lane: i.lane, roster: i.roster };
    let mut items: Vec<SyncItem> = items.into_iter().map(item).collect();
    items.sort_unstable();
    items
}

pub(super) fn ask(store: &Store, start: Start, query: Query) -> Result<Answer, StoreError> {
    match query {
        Query::Set => store.reconciled().map(Answer::Set),
        Query::Places { ids } => Ok(Answer::Places(sync_items(store.places(&ids)?))),
        Query::News { after, limit } => {
            let found = store.items_between(after, start.arrived, limit)?;
            Ok(Answer::News(sync_items(found.items)))
        }
        Query::WantedPayloads { limit } => {
            store.missing_payloads(limit).map(Answer::WantedPayloads)
        }
        Query::Load { ids, max_bytes } => {
            let (entries, taken) = store.load(&ids, max_bytes)?;
            let entries = entries
                .into_iter()
                .map(|e| StoredEntry { entry: e.verified, payload: e.payload })
                .collect();
            Ok(Answer::Loaded { entries, taken })
        }
    }
}

/// What became of a batch.
pub(super) struct Taken {
    pub(super) report: IngestReport,
    roster_changed: bool,
    own_unknown: bool,
}

pub(super) fn take(
    store: &Store,
    author: &Author,
    device: DeviceId,
    batch: Vec<Incoming>,
) -> Result<Taken, StoreError> {
    let batch: Vec<store::Incoming> = batch
        .into_iter()
        .map(|Incoming { signed, payload }| store::Incoming { signed, payload })
        .collect();
    let done = store.ingest(batch, &Source::Peer(device), now_millis())?;
    if done.roster_changed {
        store.open_seals(author, now_millis())?;
    }
    let refused: BTreeMap<&'static str, u64> =
        done.refused_by_reason().into_iter().map(|(word, n)| (word, n as u64)).collect();
    let report = IngestReport {
        stored: done.new.len() as u64,
        known: done.known as u64,
        payloads: done.payloads.len() as u64,
        waiting: done.waiting as u64,
        refused,
    };
    Ok(Taken { report, roster_changed: done.roster_changed, own_unknown: done.own_unknown })
}

/// The keys of this device as the store wants them.
pub(super) fn author(identity: &Identity) -> Author {
    Author { device: identity.device.clone(), sealing: identity.sealing.clone() }
}
