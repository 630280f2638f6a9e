//! Live messages: from gossip into the store, and the verdict back to gossip.
//!
//! One task takes what has arrived, in small batches, hands it to the store, and folds it at once so
//! that a reader sees it.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use lanai_crdt::id::{DeviceId, EntryId};
use tokio::sync::mpsc;

use super::now_millis;
use super::session::author;
use super::state::blocking;
use super::throttle::Throttle;
use crate::gossip::{self, Verdict};
use crate::identity::Identity;
use crate::net::{Acceptance, GossipId, NetHandle, PeerId, device_key_of};
use crate::store::{Incoming, Source, Store, StoreError};

/// Messages that wait for the store.
const QUEUE: usize = 1024;
/// Messages that go to the store together.
const BATCH: usize = 128;

/// A gossip message as it arrived.
#[derive(Debug)]
pub(super) struct LiveMessage {
    /// Gossip's name for it.
    pub(super) message_id: GossipId,
    /// Who sent it to us.
    pub(super) source: PeerId,
    /// Its bytes.
    pub(super) data: Vec<u8>,
}

/// What a batch of messages came to.
#[derive(Debug, Default)]
pub(super) struct LiveReport {
    /// Entries that were new.
    pub(super) new: u64,
    /// Messages that were refused.
    pub(super) refused: u64,
    /// Whether class 0 entries were among the new ones.
    pub(super) roster_changed: bool,
    /// Devices that hold something an entry waits for.
    pub(super) ask: Vec<DeviceId>,
    /// Who brought an entry of this node's own log that it did not write.
    pub(super) own_unknown: Option<DeviceId>,
}

/// Starts the task; it ends when the sender is dropped.
pub(super) fn start(
    store: Store,
    identity: Arc<Identity>,
    net: NetHandle,
) -> (mpsc::Sender<LiveMessage>, mpsc::Receiver<LiveReport>) {
    let (tx, mut rx) = mpsc::channel::<LiveMessage>(QUEUE);
    let (reports, reports_rx) = mpsc::channel(QUEUE);
    tokio::spawn(async move {
        let mut batch: Vec<LiveMessage> = Vec::with_capacity(BATCH);
        let mut throttle = Throttle::default();
        while rx.recv_many(&mut batch, BATCH).await > 0 {
            let messages = std::mem::take(&mut batch);
            let (store, identity) = (store.clone(), identity.clone());
            let sources: BTreeSet<DeviceId> = messages
                .iter()
                .filter_map(|m| device_key_of(&m.source).map(DeviceId::new))
                .collect();
            let mut log = std::mem::take(&mut throttle);
            let taken = blocking(move || {
                let taken = take(&store, &identity, messages, &mut log);
                (taken, log)
            });
            let (verdicts, report) = match taken.await {
                Ok((taken, log)) => {
                    throttle = log;
                    taken
                }
                Err(e) => {
                    // A mistake in this program; what was in the messages comes by sync.
                    tracing::error!("live entries: {e}");
                    let ask = sources.into_iter().collect();
                    (Vec::new(), LiveReport { ask, ..LiveReport::default() })
                }
            };
            for (message_id, source, verdict) in verdicts {
                let acceptance = match verdict {
                    Verdict::Forward => Acceptance::Accept,
                    Verdict::Ignore => Acceptance::Ignore,
                    Verdict::Reject => Acceptance::Reject,
                };
                if net.report_validation(message_id, source, acceptance).await.is_err() {
                    return;
                }
            }
            if reports.send(report).await.is_err() {
                return;
            }
        }
    });
    (tx, reports_rx)
}

type Verdicts = Vec<(GossipId, PeerId, Verdict)>;

fn take(
    store: &Store,
    identity: &Identity,
    messages: Vec<LiveMessage>,
    log: &mut Throttle,
) -> (Verdicts, LiveReport) {
    let mut report = LiveReport::default();
    let mut verdicts = Vec::with_capacity(messages.len());
    let (mut by_source, mut from) = (BTreeMap::<DeviceId, Vec<Incoming>>::new(), Vec::new());
    for LiveMessage { message_id, source, data } in messages {
        match (gossip::decode(&data), device_key_of(&source).map(DeviceId::new)) {
            (Ok((signed, payload)), Some(device)) => {
                from.push(Received {
                    message_id,
                    source,
                    device,
                    id: signed.id(),
                    prev: signed.header().prev,
                });
                by_source
                    .entry(device)
                    .or_default()
                    .push(Incoming { signed, payload: Some(payload) });
            }
            (Err(e), _) => {
                log.warn(|| format!("{source}: {e}"));
                report.refused += 1;
                verdicts.push((message_id, source, Verdict::Reject));
            }
            (_, None) => verdicts.push((message_id, source, Verdict::Ignore)),
        }
    }
    let (mut new, mut refused) = (HashSet::new(), HashSet::new());
    for (device, batch) in by_source {
        match store.ingest(batch, &Source::Peer(device), now_millis()) {
            Ok(done) => {
                report.roster_changed |= done.roster_changed;
                if done.own_unknown {
                    report.own_unknown = Some(device);
                }
                if done.waiting > 0 {
                    report.ask.push(device);
                }
                for (id, reason) in &done.refused {
                    log.warn(|| format!("refused live entry {id} from {device}: {reason}"));
                    refused.insert(*id);
                }
                for id in &done.bad_payloads {
                    log.warn(|| format!("live entry {id} from {device} came with a wrong payload"));
                    refused.insert(*id);
                }
                new.extend(done.new);
            }
            Err(e) => {
                // They come again by sync.
                log.warn(|| format!("storing live entries: {e}"));
                report.ask.push(device);
            }
        }
    }
    report.new = new.len() as u64;
    report.refused += refused.len() as u64;
    let after: Vec<EntryId> = from.iter().map(|r| r.prev).filter(|p| !p.is_zero()).collect();
    let missing: HashSet<EntryId> = store.unknown(&after).unwrap_or_default().into_iter().collect();
    for Received { message_id, source, device, id, prev } in from {
        if missing.contains(&prev) {
            report.ask.push(device);
        }
        let verdict = match (refused.contains(&id), new.contains(&id)) {
            (true, _) => Verdict::Reject,
            (false, true) => Verdict::Forward,
            (false, false) => Verdict::Ignore,
        };
        verdicts.push((message_id, source, verdict));
    }
    if let Err(e) = settle(store, identity, &report) {
        tracing::error!("folding live entries: {e}");
    }
    (verdicts, report)
}

struct Received {
    message_id: GossipId,
    source: PeerId,
    device: DeviceId,
    id: EntryId,
    prev: EntryId,
}

/// Makes what came readable at once.
fn settle(store: &Store, identity: &Identity, report: &LiveReport) -> Result<(), StoreError> {
    if report.roster_changed {
        store.open_seals(&author(identity), now_millis())?;
    }
    if report.new > 0 {
        store.fold_pending(BATCH * 2)?;
        store.open_side_talks(&author(identity))?;
    }
    Ok(())
}
