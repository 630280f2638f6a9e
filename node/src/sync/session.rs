//! The session itself: one state machine for both sides. See the module above for the protocol.

mod compare;
mod news;

use std::collections::VecDeque;

use lanai_crdt::id::EntryId;

use super::base::{Base, MAX_NEWS};
use super::config::{
    Config, MAX_IGNORED_BYTES, MAX_SESSION_ENTRIES, MAX_UNSENT_BYTES, MAX_WANT_IDS,
    MAX_WANTED_PAYLOADS, MAX_WRITE_BYTES, MIN_WINDOW_BYTES,
};
use super::digest::{Digest, Hello, LocalState, Nonce, community_check};
use super::error::{ByeReason, SessionError, Severity};
use super::event::{Input, Output, Progress, Query, Role, Summary};
use super::frame::{Ack, Fin, Frame, FrameReader, FrameType, Skip, Want, put_frame};
use super::incoming::{IngestReport, ReceiveError, Receiving};
use super::outgoing::{Outgoing, order};
use super::reconcile::{ItemSet, Reconciler, SyncItem};
use super::terms::Terms;
use super::tree::Key;
use news::Telling;

/// Bytes received that count as progress when no frame is whole yet: slow links live, and a peer
/// that sends a byte now and then does not.
const PROGRESS_BYTES: usize = 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Waiting for HELLO.
    Hello,
    /// Waiting for DIGEST.
    Digest,
    /// Both tell what came since they were equal.
    News,
    /// Differences are being found.
    Reconcile,
    /// Entries flow.
    Transfer,
    Over,
}

/// One side of one session.
#[derive(Debug)]
pub struct Session {
    role: Role,
    config: Config,
    state: LocalState,
    nonce: Nonce,
    phase: Phase,
    started: bool,
    drives: bool,
    reader: FrameReader,
    out: Vec<u8>,
    outputs: Vec<Output>,
    unsent: usize,
    peer_nonce: Option<Nonce>,
    peer_digest: Option<Digest>,
    window: u64,
    /// Those of both sides, once the peer's are known.
    terms: Terms,
    queries: VecDeque<Query>,
    querying: bool,
    items: ItemSet,
    /// Entries in the set that is compared.
    held: usize,
    reconciler: Option<Reconciler>,
    early: Option<Vec<u8>>,
    have: Vec<Key>,
    /// What is to be sent is known, and is put into order.
    planned: bool,
    need: Vec<EntryId>,
    wanted_payloads: Vec<EntryId>,
    wants: VecDeque<Want>,
    asked: [u64; 2],
    peer_wants: Vec<EntryId>,
    peer_wants_done: bool,
    outgoing: Option<Outgoing>,
    incoming: Receiving,
    fin_sent: bool,
    /// The base that both sides remember, and which of the initiator's it is.
    common: Option<Base>,
    chosen: u8,
    telling: Option<Telling>,
    /// Entries that the peer is to send, once that is known.
    expected: Option<u64>,
    unserved_payloads: u64,
    /// The digests were the same.
    settled: bool,
    ignored_bytes: u64,
    progress_at: u64,
    progress_bytes: usize,
    alive_at: u64,
    summary: Summary,
}

impl Session {
    /// A session over a stream that is authenticated and encrypted already. `nonce` must be fresh
    /// random bytes.
    pub fn new(role: Role, config: Config, state: LocalState, nonce: Nonce, now: u64) -> Session {
        let incoming = Receiving::new(config.community, config.granted_window());
        Session {
            role,
            terms: config.terms,
            config,
            state,
            nonce,
            phase: Phase::Hello,
            started: false,
            drives: false,
            reader: FrameReader::default(),
            out: Vec::new(),
            outputs: Vec::new(),
            unsent: 0,
            peer_nonce: None,
            peer_digest: None,
            window: 0,
            queries: VecDeque::new(),
            querying: false,
            items: ItemSet::default(),
            held: 0,
            planned: false,
            reconciler: None,
            early: None,
            have: Vec::new(),
            need: Vec::new(),
            wanted_payloads: Vec::new(),
            wants: VecDeque::new(),
            asked: [0; 2],
            peer_wants: Vec::new(),
            peer_wants_done: false,
            outgoing: None,
            incoming,
            fin_sent: false,
            common: None,
            chosen: 0,
            telling: None,
            expected: None,
            unserved_payloads: 0,
            settled: false,
            ignored_bytes: 0,
            progress_at: now,
            progress_bytes: 0,
            alive_at: now,
            summary: Summary::default(),
        }
    }

    /// What was done so far.
    pub fn summary(&self) -> Summary {
        let mut s = self.summary.clone();
        if let Some(outgoing) = &self.outgoing {
            let ack = outgoing.acked();
            s.sent = outgoing.sent();
            s.refused_by_peer = ack.refused;
            s.unsendable = outgoing.unsendable();
            s.confirmed = ack.through.saturating_sub(ack.refused);
        }
        s.received = self.incoming.done().through;
        s.refused = self.incoming.refused().clone();
        s.more |= self.incoming.fin().is_some_and(|f| f.more);
        s.nothing_new = s.sent == 0 && s.received == 0;
        s
    }

    /// How far it is.
    pub fn how_far(&self) -> Progress {
        let received = self.incoming.done().through;
        let expected = match self.phase {
            Phase::Hello | Phase::Digest | Phase::News | Phase::Reconcile => 0,
            _ if self.expected.is_some() => self.expected.unwrap_or(0),
            _ if self.drives => self.asked.iter().sum(),
            // What the driver sends it does not announce; that it holds more tells most of it.
            _ => self.summary.peer_entries.saturating_sub(self.state.entries()),
        };
        let missing = self.summary.unserved.saturating_add(received);
        Progress {
            bytes_in: self.summary.bytes_in,
            bytes_out: self.summary.bytes_out,
            received,
            sent: self.outgoing.as_ref().map_or(0, |o| o.acked().through),
            to_receive: match self.incoming.fin() {
                Some(fin) => fin.sent.saturating_sub(received),
                None => expected.saturating_sub(missing),
            },
            to_send: self.outgoing.as_ref().map_or(0, Outgoing::left),
        }
    }

    /// Whether the last output has been given.
    pub fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    /// The peer's digest, once it is known.
    pub fn peer_digest(&self) -> Option<&Digest> {
        self.peer_digest.as_ref()
    }

    /// When to give [`Input::Tick`], in the milliseconds of `now`; `None` when it is over.
    pub fn deadline(&self) -> Option<u64> {
        match self.phase {
            Phase::Over => None,
            _ if self.is_busy() => Some(self.alive_at.saturating_add(self.config.keepalive_ms)),
            _ => Some(self.progress_at.saturating_add(self.config.stall_ms)),
        }
    }

    /// Bytes held on behalf of the peer: unfinished frames, unsent output, loaded and received
    /// entries. The list of items and of ids is not counted: it is the store's size.
    pub fn buffered(&self) -> u64 {
        let bytes = self.reader.buffered() + self.unsent + self.early.as_ref().map_or(0, Vec::len);
        let ids = 32 * self.peer_wants.len() + self.telling.as_ref().map_or(0, Telling::buffered);
        (bytes + ids) as u64
            + self.incoming.buffered()
            + self.outgoing.as_ref().map_or(0, Outgoing::buffered)
    }

    /// Takes one input and says what to do. After [`Output::Done`] or [`Output::Failed`] every
    /// input is without effect. `now` is in milliseconds, of any clock that does not go back.
    pub fn handle(&mut self, input: Input<'_>, now: u64) -> Vec<Output> {
        if self.phase != Phase::Over
            && let Err(error) = self.take(input, now)
        {
            self.fail(error);
        }
        self.pump(now);
        self.flush();
        std::mem::take(&mut self.outputs)
    }

    fn fail(&mut self, error: SessionError) {
        if error.severity() != Severity::Local {
            let rest = self.incoming.take_rest();
            if !rest.is_empty() {
                self.outputs.push(Output::Ingest(rest));
            }
        }
        if let Some(reason) = error.bye() {
            put_frame(&mut self.out, FrameType::Bye, &[reason.number()]);
        }
        self.flush();
        self.phase = Phase::Over;
        self.outputs.push(Output::Failed(error));
    }

    /// A query or a commit is open: the next move is this side's.
    fn is_busy(&self) -> bool {
        self.querying || self.incoming.is_committing()
    }

    fn progress(&mut self, now: u64) {
        self.progress_at = now;
        self.progress_bytes = 0;
    }

    fn take(&mut self, input: Input<'_>, now: u64) -> Result<(), SessionError> {
        match input {
            Input::Start => {
                if !std::mem::replace(&mut self.started, true) && self.role == Role::Initiator {
                    self.greet();
                }
                self.progress(now);
            }
            Input::Bytes(mut bytes) => {
                self.summary.bytes_in += bytes.len() as u64;
                self.progress_bytes = self.progress_bytes.saturating_add(bytes.len());
                if self.progress_bytes >= PROGRESS_BYTES {
                    self.progress(now);
                }
                while let Some(frame) = self.reader.next(&mut bytes)? {
                    self.frame(frame, now)?;
                    if self.phase == Phase::Over {
                        break;
                    }
                }
            }
            Input::Eof => return Err(SessionError::Cut),
            Input::Sent(n) => {
                self.unsent = self.unsent.saturating_sub(n);
                if n > 0 {
                    self.progress(now);
                }
            }
            Input::Set(tree) => {
                self.answered("the set", now, |q| matches!(q, Query::Set))?;
                self.on_set(tree)?;
            }
            Input::Places(items) => {
                self.answered("places", now, |q| matches!(q, Query::Places { .. }))?;
                self.on_places(items);
            }
            Input::WantedPayloads(mut ids) => {
                self.answered("payloads", now, |q| matches!(q, Query::WantedPayloads { .. }))?;
                ids.truncate(MAX_WANTED_PAYLOADS);
                self.wanted_payloads = ids;
                // Where news is told first, it is not known yet who drives.
                if !self.drives && self.phase != Phase::News {
                    self.queue_wants(true);
                }
            }
            Input::News(items) => {
                self.answered("news", now, |q| matches!(q, Query::News { .. }))?;
                self.on_news_items(items)?;
            }
            Input::Loaded { entries, taken } => {
                self.answered("entries", now, |q| matches!(q, Query::Load { .. }))?;
                let ok = self.outgoing.as_mut().is_some_and(|o| o.on_loaded(entries, taken));
                if !ok {
                    return Err(SessionError::Driver("entries"));
                }
            }
            Input::Ingested(report) => {
                let ack = self.incoming.on_ingested(&report);
                let ack = ack.ok_or(SessionError::Driver("a commit"))?;
                let s = &mut self.summary;
                s.stored += report.stored;
                s.known += report.known;
                s.waiting += report.waiting;
                s.payloads += report.payloads;
                put_frame(&mut self.out, FrameType::Ack, &ack.encode());
                self.progress(now);
            }
            Input::StoreFailed => return Err(SessionError::Store),
            Input::Tick => {
                if self.is_busy() {
                    if now >= self.alive_at.saturating_add(self.config.keepalive_ms) {
                        self.alive_at = now;
                        let ack = self.incoming.done();
                        put_frame(&mut self.out, FrameType::Ack, &ack.encode());
                    }
                } else if now >= self.progress_at.saturating_add(self.config.stall_ms) {
                    return Err(SessionError::Stalled);
                }
            }
            Input::Stop => return Err(SessionError::Stopped),
        }
        Ok(())
    }

    /// Takes note of an answer, which must fit the open query.
    fn answered(
        &mut self,
        what: &'static str,
        now: u64,
        fits: impl Fn(&Query) -> bool,
    ) -> Result<(), SessionError> {
        let open = self.querying && self.queries.front().is_some_and(fits);
        if !open {
            return Err(SessionError::Driver(what));
        }
        self.queries.pop_front();
        self.querying = false;
        self.progress(now);
        Ok(())
    }

    fn greet(&mut self) {
        let mut hello =
            Hello::new(&self.config.community, self.nonce, self.config.granted_window());
        hello.chosen = self.chosen;
        hello.terms = self.config.terms;
        if self.role == Role::Initiator {
            for (slot, base) in hello.bases.iter_mut().zip(self.state.bases()) {
                *slot = Some(base.token.name(&self.nonce));
            }
        }
        put_frame(&mut self.out, FrameType::Hello, &hello.encode());
        put_frame(&mut self.out, FrameType::Digest, &self.state.digest(&self.nonce).encode());
    }

    fn frame(&mut self, frame: Frame, now: u64) -> Result<(), SessionError> {
        use FrameType::*;
        let body = &frame.body[..];
        let kind = FrameType::from_number(frame.kind);
        let Some(kind) = kind.filter(|k| !matches!(k, Front | Have | File)) else {
            self.summary.ignored_frames += 1;
            self.ignored_bytes += 4 + body.len() as u64;
            return match self.ignored_bytes > MAX_IGNORED_BYTES {
                true => Err(SessionError::TooMuchIgnored),
                false => Ok(()),
            };
        };
        self.progress(now);
        if self.unsent + self.out.len() > MAX_UNSENT_BYTES {
            return Err(SessionError::NotReading);
        }
        let bad = |error| SessionError::BadFrame { kind, error };
        match (kind, self.phase) {
            (Bye, _) => {
                let reason = body.first().copied().unwrap_or(0);
                Err(SessionError::PeerGaveUp(ByeReason::from_number(reason)))
            }
            (Hello, Phase::Hello) => {
                self.on_hello(super::digest::Hello::decode(body).map_err(bad)?)
            }
            (Digest, Phase::Digest) => {
                self.on_digest(super::digest::Digest::decode(body).map_err(bad)?)
            }
            (News, Phase::News) => self.on_news(super::base::News::decode(body).map_err(bad)?),
            (Rb, Phase::Reconcile) => self.on_rb(frame.body),
            (Want, Phase::Reconcile | Phase::Transfer) => {
                self.on_want(super::frame::Want::decode(body).map_err(bad)?)
            }
            (Skip, Phase::Transfer) => {
                let [entries, payloads] = self.asked;
                let skip = super::frame::Skip::decode(body, entries, payloads).map_err(bad)?;
                self.summary.unserved += skip.places.len() as u64;
                if skip.payloads {
                    self.unserved_payloads += skip.places.len() as u64;
                }
                match self.summary.unserved > entries + payloads {
                    true => Err(SessionError::Unexpected(Skip)),
                    false => Ok(()),
                }
            }
            (Seg, Phase::Transfer) => self.incoming.on_seg(body).map_err(|e| receive(kind, e)),
            (Pay, Phase::Transfer) => self.incoming.on_pay(body).map_err(|e| receive(kind, e)),
            (Fin, Phase::Transfer) => {
                let fin = super::frame::Fin::decode(body).map_err(bad)?;
                self.incoming.on_fin(fin).map_err(|e| receive(kind, e))
            }
            (Ack, Phase::News | Phase::Reconcile | Phase::Transfer) => {
                self.on_ack(super::frame::Ack::decode(body).map_err(bad)?)
            }
            _ => Err(SessionError::Unexpected(kind)),
        }
    }

    fn on_hello(&mut self, hello: Hello) -> Result<(), SessionError> {
        if hello.common_version().is_none() {
            let (min, max) = (hello.version_min, hello.version_max);
            return Err(SessionError::Version { min, max });
        }
        if hello.nonce == self.nonce {
            return Err(SessionError::Reflected);
        }
        if hello.check != community_check(&self.config.community, &hello.nonce) {
            return Err(SessionError::OtherCommunity);
        }
        if hello.window < MIN_WINDOW_BYTES {
            return Err(SessionError::WindowTooSmall(hello.window));
        }
        self.peer_nonce = Some(hello.nonce);
        match self.role {
            Role::Initiator => self.hear_choice(hello.chosen),
            Role::Responder => self.choose_base(&hello),
        }
        self.window = hello.window;
        self.terms = self.terms.both(hello.terms);
        self.summary.metered = self.terms.metered;
        self.phase = Phase::Digest;
        Ok(())
    }

    fn on_digest(&mut self, theirs: Digest) -> Result<(), SessionError> {
        let nonce = self.peer_nonce.ok_or(SessionError::Unexpected(FrameType::Digest))?;
        let mine = self.state.digest(&nonce);
        if self.role == Role::Responder {
            self.greet();
        }
        self.peer_digest = Some(theirs);
        self.summary.peer_entries = theirs.entries;
        if mine.settles(&theirs) {
            self.settled = true;
            self.finish();
            return Ok(());
        }
        self.drives = match mine.entries.cmp(&theirs.entries) {
            std::cmp::Ordering::Greater => true,
            std::cmp::Ordering::Less => false,
            std::cmp::Ordering::Equal => self.role == Role::Initiator,
        };
        self.outgoing = Some(Outgoing::new(self.config.community, self.window, self.terms));
        if self.state.wants_payloads() {
            self.queries
                .push_back(Query::WantedPayloads { limit: self.terms.wanted(MAX_WANTED_PAYLOADS) });
        }
        match self.common {
            Some(base) => {
                let same = mine.held == theirs.held && mine.entries == theirs.entries;
                self.start_news(base, same);
            }
            None => self.start_reconciliation(),
        }
        Ok(())
    }

    /// Queues what this side lacks: payloads, and for the driver entries.
    fn queue_wants(&mut self, only_payloads: bool) {
        let (need, payloads) =
            (std::mem::take(&mut self.need), std::mem::take(&mut self.wanted_payloads));
        self.asked = [need.len() as u64, payloads.len() as u64];
        let frames = &mut self.wants;
        for (payloads, ids) in [(true, &payloads), (false, &need)] {
            for ids in ids.chunks(MAX_WANT_IDS) {
                frames.push_back(Want { last: false, payloads, ids: ids.to_vec() });
            }
        }
        match frames.back_mut() {
            Some(frame) => frame.last = true,
            None => frames.push_back(Want { last: true, payloads: only_payloads, ids: Vec::new() }),
        }
    }

    fn plan(&mut self, wanted: &[EntryId]) -> Vec<bool> {
        let plan = order(&self.items, wanted, &self.terms);
        self.items = ItemSet::default();
        self.summary.more |= plan.more;
        self.planned = true;
        self.summary.left_out += plan.left_out;
        let found = plan.found.clone();
        if let Some(outgoing) = &mut self.outgoing {
            outgoing.set_plan(plan);
        }
        found
    }

    fn on_want(&mut self, want: Want) -> Result<(), SessionError> {
        let Some(outgoing) = &mut self.outgoing else {
            return Err(SessionError::Unexpected(FrameType::Want));
        };
        // The other side can only know what it lacks once this side has answered it.
        let by_news = self.summary.by_news;
        let early = !self.drives && self.reconciler.is_none() && !by_news;
        if early || self.peer_wants_done || ((self.drives || by_news) && !want.payloads) {
            return Err(SessionError::Unexpected(FrameType::Want));
        }
        if want.payloads {
            if outgoing.payloads_asked() + want.ids.len() as u64 > MAX_WANTED_PAYLOADS as u64 {
                return Err(SessionError::TooManyWanted);
            }
            outgoing.want_payloads(&want.ids);
        } else {
            // Ids come from this side's own messages, so there cannot be more than it holds.
            let most = self.held.min(MAX_SESSION_ENTRIES);
            if self.peer_wants.len() + want.ids.len() > most {
                return Err(SessionError::TooManyWanted);
            }
            self.peer_wants.extend_from_slice(&want.ids);
        }
        self.peer_wants_done = want.last;
        if want.last && !self.drives && !by_news {
            self.reconciler = None;
            let union = self.summary.peer_entries.checked_add(self.peer_wants.len() as u64);
            self.expected = union.and_then(|union| union.checked_sub(self.state.entries()));
            self.queries.push_back(Query::Places { ids: self.peer_wants.clone() });
            self.phase = Phase::Transfer;
        }
        Ok(())
    }

    fn send_skip(&mut self, payloads: bool, places: Vec<u64>) {
        // A place takes at most four bytes, so this many fit one frame.
        for places in places.chunks(MAX_WRITE_BYTES / 8) {
            let skip = Skip { payloads, places: places.to_vec() };
            put_frame(&mut self.out, FrameType::Skip, &skip.encode());
        }
    }

    fn on_ack(&mut self, ack: Ack) -> Result<(), SessionError> {
        let outgoing = self.outgoing.as_mut().ok_or(SessionError::BadAck)?;
        outgoing.on_ack(ack).map_err(|_| SessionError::BadAck)
    }

    /// Does all that can be done now.
    fn pump(&mut self, now: u64) {
        if self.phase == Phase::Over {
            return;
        }
        let was_busy = self.is_busy();
        while let Some(batch) = self.incoming.take_batch(self.config.batch_entries) {
            if !batch.is_empty() {
                self.outputs.push(Output::Ingest(batch));
                break;
            }
            if let Some(ack) = self.incoming.on_ingested(&IngestReport::default()) {
                put_frame(&mut self.out, FrameType::Ack, &ack.encode());
            }
        }
        while self.has_room()
            && let Some(want) = self.wants.pop_front()
        {
            put_frame(&mut self.out, FrameType::Want, &want.encode());
        }
        if self.phase == Phase::Transfer {
            self.send_entries();
        }
        if !self.querying
            && let Some(query) = self.queries.front().cloned()
        {
            self.querying = true;
            self.outputs.push(Output::Query(query));
        }
        if self.is_busy() && !was_busy {
            self.alive_at = now;
        }
        if self.phase == Phase::Transfer && self.is_finished() {
            self.finish();
        }
    }

    /// Whether the transport keeps up with what it is given.
    fn has_room(&self) -> bool {
        self.unsent + self.out.len() <= self.config.high_water
    }

    fn send_entries(&mut self) {
        let spent = self.summary.bytes_in + self.summary.bytes_out;
        while self.wants.is_empty()
            && self.has_room()
            && self.outgoing.as_mut().is_some_and(|o| o.send_group(&mut self.out, spent))
        {}
        let Some(outgoing) = &mut self.outgoing else { return };
        if self.queries.is_empty()
            && let Some(ids) = outgoing.next_load(self.config.load_entries)
        {
            self.queries.push_back(Query::Load { ids, max_bytes: self.config.load_bytes });
        }
        let more_to_say = !self.planned
            || !self.wants.is_empty()
            || !outgoing.is_drained()
            || !self.peer_wants_done;
        if more_to_say || self.fin_sent {
            return;
        }
        let declined = outgoing.take_declined();
        self.summary.left_out += outgoing.left_out();
        self.summary.more |= outgoing.left_out() > 0;
        let fin = Fin { sent: outgoing.sent(), more: self.summary.more };
        self.send_skip(true, declined);
        put_frame(&mut self.out, FrameType::Fin, &fin.encode());
        self.fin_sent = true;
    }

    #[cfg(any(test, feature = "simulator"))]
    pub(crate) fn acked_ids(&self) -> &[EntryId] {
        self.outgoing.as_ref().map_or(&[], Outgoing::acked_ids)
    }

    #[cfg(test)]
    pub(crate) fn sent_ids(&self) -> &[EntryId] {
        self.outgoing.as_ref().map_or(&[], Outgoing::sent_ids)
    }

    #[cfg(any(test, feature = "simulator"))]
    pub(crate) fn check_invariants(&self) {
        self.incoming.check_invariants();
        if let Some(outgoing) = &self.outgoing {
            outgoing.check_invariants();
        }
        assert!(self.out.is_empty() && self.outputs.is_empty());
        assert!(self.peer_wants.len() <= self.held);
        let early = self.early.as_ref().map_or(0, Vec::len);
        assert!(self.reader.buffered().max(early) <= super::config::MAX_BODY_BYTES);
        let output = MAX_UNSENT_BYTES as u64 + self.window + self.config.high_water as u64;
        assert!(self.unsent as u64 <= output, "{} unsent", self.unsent);
    }

    fn is_finished(&self) -> bool {
        self.fin_sent
            && self.incoming.is_complete()
            && self.outgoing.as_ref().is_some_and(Outgoing::is_acked)
    }

    /// All done.
    fn finish(&mut self) {
        self.flush();
        self.phase = Phase::Over;
        self.summary.equal = self.equal();
        self.outputs.push(Output::Done(self.summary()));
    }

    /// Turns written frames into outputs.
    fn flush(&mut self) {
        for piece in self.out.chunks(MAX_WRITE_BYTES) {
            self.unsent += piece.len();
            self.summary.bytes_out += piece.len() as u64;
            self.outputs.push(Output::Send(piece.to_vec()));
        }
        self.out.clear();
    }
}

fn receive(kind: FrameType, error: ReceiveError) -> SessionError {
    match error {
        ReceiveError::Wire(error) => SessionError::BadFrame { kind, error },
        ReceiveError::OverWindow => SessionError::OverWindow,
        ReceiveError::TooMany => SessionError::TooManyEntries,
        ReceiveError::AfterFin => SessionError::Unexpected(kind),
        ReceiveError::BadFin => SessionError::BadFin,
    }
}
