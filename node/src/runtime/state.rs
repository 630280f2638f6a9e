//! The node's loop.

mod requests;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lanai_crdt::entry::Class;
use lanai_crdt::id::{CommunityId, DeviceId};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinSet;

use super::addresses::Addresses;
use super::admit::{self, Served};
use super::doors::Doors;
use super::enrol;
use super::files::Files;
use super::fold::fold_loop;
use super::links::Links;
use super::live::{self, LiveReport};
use super::peers::{Outcome, Peers};
use super::session::author;
use super::session::{self, SessionEnd};
use super::tasks::{Label, Sessions};
use super::tell;
use super::throttle::Throttle;
use super::top_up::TopUp;
use super::typed::dial_until_met;
use super::{LOOK_EVERY, STOP_PATIENCE, now_millis};
use crate::control::{self, Events, Reply, Request};
use crate::gossip;
use crate::home::Home;
use crate::identity::Identity;
use crate::identity::passphrase::WrapKey;
use crate::lock::{LockError, NodeLock};
use crate::net::{
    self, Multiaddr, NetConfig, NetError, NetEvent, NetHandle, NetStream, PeerId, device_key_of,
    peer_id_of,
};
use crate::profile::{Profile, Rule};
use crate::random::OsRandom;
use crate::store::{Place, Store, StoreError, StoredEntry};
use crate::sync::Severity;

/// How long a device that was removed stays connected, so that it hears of it.
const FAREWELL: Duration = Duration::from_secs(5);
/// Nodes that are shown this device's enrolment at the same time.
const MAX_ENROLMENTS: usize = 4;
/// Roster changes from join streams that wait for the loop.
const NEWS_QUEUE: usize = 8;

/// How long a stopping node waits until its answer is written.
const ANSWER_PATIENCE: Duration = Duration::from_secs(1);

/// How a node is run.
#[derive(Debug, Clone)]
pub struct NodeOptions {
    /// Where everything is.
    pub home: Home,
    /// Where to listen.
    pub listen: Vec<Multiaddr>,
    /// Look for members with mDNS, and be found.
    pub mdns: bool,
    /// Send and hear beacons.
    pub beacon: bool,
    /// Addresses to connect to at the start.
    pub dial: Vec<Multiaddr>,
    /// How links are used; the first rule that fits decides.
    pub profiles: Vec<Rule>,
}

/// Why a node did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// Another node runs on this home.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The device key cannot be used.
    #[error(transparent)]
    Identity(#[from] crate::identity::IdentityError),
    /// The network could not be set up.
    #[error(transparent)]
    Net(#[from] NetError),
    /// The control socket could not be made.
    #[error("control socket: {0}")]
    Control(#[source] std::io::Error),
    /// The home's socket place is not usable.
    #[error(transparent)]
    Home(#[from] crate::home::HomeError),
    /// A task of the node died.
    #[error("a part of the node failed: {0}")]
    Task(String),
}

/// Somebody waits for a sync.
#[derive(Debug)]
struct SyncWaiter {
    reply: oneshot::Sender<Reply>,
    until: Instant,
    received_before: u64,
    sent_before: u64,
}

/// The running node.
#[derive(Debug)]
pub struct Node {
    store: Store,
    identity: Arc<Identity>,
    wrap: Option<WrapKey>,
    community: CommunityId,
    topic: String,
    net: NetHandle,
    peers: Peers,
    links: Links,
    members: HashSet<PeerId>,
    /// Devices that are no member's any more, and until when they may stay to hear of it.
    leaving: HashMap<PeerId, Instant>,
    sessions: Sessions,
    doors: Doors,
    news: mpsc::Sender<oneshot::Sender<()>>,
    enrolments: JoinSet<()>,
    top_up: TopUp,
    throttle: Throttle,
    live: mpsc::Sender<live::LiveMessage>,
    files: Files,
    fold: Arc<Notify>,
    waiters: Vec<SyncWaiter>,
    addresses: Addresses,
    seen_change: i64,
    announced: i64,
    started: Instant,
    mdns: bool,
    beacon: bool,
    counters: BTreeMap<&'static str, u64>,
    events: Events,
}

/// As [`run`](super::run), with keys that need not be in the home.
///
/// # Errors
/// As for [`run`](super::run).
pub async fn run_as(
    options: NodeOptions,
    identity: Identity,
    stop: impl Future<Output = ()>,
) -> Result<(), RuntimeError> {
    let _lock = NodeLock::acquire(&options.home.lock())?;
    let identity = Arc::new(identity);
    let store = blocking({
        let home = options.home.clone();
        move || Store::open(&Place::of_home(&home))
    })
    .await??;
    let socket = options.home.prepare_socket()?;
    let told = Events::default();
    let mut control = control::listen(&socket, told.clone()).map_err(RuntimeError::Control)?;

    let mut config =
        NetConfig::new(zeroize::Zeroizing::new(identity.device.to_bytes()), options.listen);
    config.mdns = options.mdns;
    let community = store.community();
    config.beacon = options.beacon.then_some(community);
    let (net, mut events) = net::start(config)?;

    let topic = gossip::topic(&community);
    net.subscribe(&topic).await?;
    let fold = Arc::new(Notify::new());
    let sessions = Sessions::default();
    let folder =
        tokio::spawn(fold_loop(store.clone(), identity.clone(), fold.clone(), sessions.running()));
    let rester = tokio::spawn(session::rest_loop(store.clone()));
    let (live, mut live_reports) = live::start(store.clone(), identity.clone(), net.clone());
    let (news, mut roster_news) = mpsc::channel::<oneshot::Sender<()>>(NEWS_QUEUE);

    let files = Files::new(store.clone(), net.clone(), options.home.clone());
    let mut node = Node {
        peers: Peers::new(identity.device_id()),
        links: Links::new(options.profiles),
        community,
        topic,
        net,
        members: HashSet::new(),
        leaving: HashMap::new(),
        sessions,
        doors: Doors::default(),
        news,
        enrolments: JoinSet::new(),
        top_up: TopUp::default(),
        throttle: Throttle::default(),
        live,
        files,
        fold,
        waiters: Vec::new(),
        addresses: Addresses::default(),
        seen_change: 0,
        announced: blocking({
            let store = store.clone();
            move || store.newest_arrival()
        })
        .await??,
        started: Instant::now(),
        mdns: options.mdns,
        beacon: options.beacon,
        counters: BTreeMap::new(),
        events: told,
        store,
        identity,
        wrap: options.home.unlocked().and_then(|unlocked| unlocked.wrap.clone()),
    };
    node.roster_changed().await?;
    node.remember_addresses().await?;
    node.fold.notify_one();
    for address in options.dial {
        dial_until_met(node.net.clone(), address);
    }
    tracing::info!(community = %node.community, peer = %node.net.local_peer(), "node started");

    let mut look = tokio::time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    tokio::pin!(stop);
    let result = loop {
        let next_session = node.next_session();
        let step = tokio::select! {
            () = &mut stop => break Ok(()),
            event = events.recv() => match event {
                Some(event) => {
                    node.on_net(event);
                    Ok(())
                }
                None => break Err(RuntimeError::Task("the network ended".into())),
            },
            Some(incoming) = control.recv() => match incoming.request {
                Request::Stop => {
                    // The asker may have gone away; the node stops all the same.
                    let _gone = incoming.reply.send(Reply::Done);
                    let _written = tokio::time::timeout(ANSWER_PATIENCE, incoming.delivered).await;
                    break Ok(());
                }
                request => node.on_request(request, incoming.reply).await,
            },
            Some((label, end)) = node.sessions.next() => node.on_session_end(label, end).await,
            Some(served) = node.doors.next() => match served {
                Some(served) => node.on_served(served).await,
                None => Ok(()),
            },
            Some(taken_in) = roster_news.recv() => {
                let done = node.roster_changed().await;
                // Whoever waited for it may have gone.
                let _gone = taken_in.send(());
                done
            }
            Some(_) = node.enrolments.join_next() => Ok(()),
            Some(event) = node.files.next() => {
                let news = node.files.on_event(event);
                news.counts.iter().for_each(|(what, n)| node.count(what, *n));
                Ok(())
            }
            Some(report) = live_reports.recv() => node.on_live(report).await,
            () = sleep_until(next_session) => Ok(()),
            _ = look.tick() => node.on_look().await,
        };
        if let Err(e) = step {
            node.throttle.warn(|| e.to_string());
            tell::problem(&node.events, e.to_string());
        }
        node.open_due_sessions();
    };
    tracing::info!("node stops");
    if let Err(e) = node.keep_addresses(true).await {
        tracing::warn!("addresses of peers are not kept: {e}");
    }
    folder.abort();
    rester.abort();
    let ending = async {
        node.sessions.shutdown().await;
        node.doors.shutdown().await;
        node.enrolments.shutdown().await;
        node.files.shutdown().await;
        node.net.shutdown().await;
    };
    if tokio::time::timeout(STOP_PATIENCE, ending).await.is_err() {
        tracing::warn!("stopped without waiting for the network any longer");
    }
    // It may be gone already; a left-over socket is replaced at the next start.
    let _gone = std::fs::remove_file(&socket);
    result
}

/// Runs blocking store work off the loop.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, RuntimeError> {
    tokio::task::spawn_blocking(work).await.map_err(|e| RuntimeError::Task(e.to_string()))
}

/// Sleeps until a moment, or for ever.
async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

impl Node {
    fn count(&mut self, what: &'static str, n: u64) {
        let counter = self.counters.entry(what).or_default();
        *counter = counter.saturating_add(n);
    }

    fn on_net(&mut self, event: NetEvent) {
        let now = Instant::now();
        match event {
            NetEvent::Listening(address) => tracing::info!("listening on {address}"),
            NetEvent::ListenExpired(address) => tracing::info!("no longer listening on {address}"),
            NetEvent::Discovered { peer, addresses } => {
                // They are the network's already; a good one is kept once a connection came of it.
                tracing::debug!(%peer, ?addresses, "found");
            }
            NetEvent::Connected { peer, member: true, address, outbound } => {
                if let Some(device) = device_of(&peer) {
                    tracing::info!(%device, %address, outbound, "connected");
                    tell::connected(&self.events, &device, &address, outbound);
                    self.peers.connected(device, now);
                    if self.links.connected(device, &address) == Profile::Lan {
                        self.files.connected(device);
                    } else {
                        // Files are many bytes: not over a link that is paid by the byte.
                        self.peers.spare(&device);
                    }
                    if outbound {
                        self.remember(peer, &[address]);
                    }
                }
            }
            NetEvent::Disconnected { peer, member: true } => {
                if let Some(device) = device_of(&peer) {
                    tracing::info!(%device, "disconnected");
                    tell::disconnected(&self.events, &device);
                    self.peers.disconnected(&device);
                    self.files.disconnected(&device);
                }
            }
            NetEvent::Addresses { peer, addresses } => self.remember(peer, &addresses),
            NetEvent::Gossip { message_id, source, topic, data } => {
                let message = live::LiveMessage { message_id, source, data };
                if topic != self.topic || self.live.try_send(message).is_err() {
                    // Sync brings what gossip drops.
                    self.count("gossip dropped, node behind", 1);
                    if let Some(device) = device_of(&source) {
                        self.peers.sync_soon(&device, now);
                    }
                }
            }
            NetEvent::SyncStream { peer, stream } => self.accept_session(peer, stream),
            NetEvent::FileStream { peer, stream } => {
                if device_of(&peer).is_none_or(|device| !self.files.serve(device, stream)) {
                    self.count("file streams refused", 1);
                }
            }
            NetEvent::JoinStream { peer, stream } => self.accept_join(peer, stream),
            NetEvent::NotAdmitted { peer } => {
                self.push_enrolment(peer);
            }
            NetEvent::Connected { member: false, .. }
            | NetEvent::Disconnected { member: false, .. }
            | NetEvent::Expired { .. }
            | NetEvent::DialFailed { .. } => {}
        }
    }

    fn accept_session(&mut self, peer: PeerId, stream: NetStream) {
        let Some(device) = device_of(&peer) else { return };
        if !self.peers.accepts(&device, Instant::now()) {
            self.count("inbound sessions refused, protocol broken before", 1);
            return;
        }
        if !self.sessions.has_room_for(&device) {
            self.count("inbound sessions refused, too many", 1);
            return;
        }
        if self.links.left(&device, today()) == Some(0) {
            self.count("inbound sessions refused, nothing left of the day's bytes", 1);
            return;
        }
        let (store, identity) = (self.store.clone(), self.identity.clone());
        let config = self.links.session(&device, self.community, today());
        let label = self.label(device, false);
        self.peers.serving(&device);
        tell::began(&self.events, &device, false);
        self.sessions.spawn(label, session::respond(store, identity, device, stream, config));
    }

    fn accept_join(&mut self, peer: PeerId, stream: NetStream) {
        let Some(device) = device_of(&peer) else { return };
        let (store, identity) = (self.store.clone(), self.identity.clone());
        let news = self.news.clone();
        let serve = |stream| admit::serve(store, identity, device, news, stream);
        if !self.doors.open(device, stream, serve) {
            self.count("joins refused, too many", 1);
        }
    }

    async fn on_served(&mut self, served: Served) -> Result<(), RuntimeError> {
        match served {
            Served::Joined(device) => {
                tracing::info!(%device, "admitted a newcomer");
                self.on_own_write().await
            }
            Served::Enrolled(device) => {
                tracing::info!(%device, "was shown to be a member");
                self.fold.notify_one();
                self.peers.offer_others(&device, Instant::now());
                Ok(())
            }
        }
    }

    /// A member's node does not know this device yet: show it why it should.
    fn push_enrolment(&mut self, peer: PeerId) {
        let Some(device) = device_of(&peer) else { return };
        tracing::info!(%device, "does not know this device as a member yet");
        // It is tried again with the next connection.
        if self.enrolments.len() >= MAX_ENROLMENTS || !self.members.contains(&peer) {
            return;
        }
        let (store, net) = (self.store.clone(), self.net.clone());
        let own = self.identity.device_id();
        self.enrolments.spawn(async move {
            match enrol::push(store, own, net.clone(), peer).await {
                Ok(()) => {
                    tracing::info!(%device, "knows this device as a member now");
                    // What a connection may carry is decided when it is made. An error says that
                    // the network has ended.
                    let _ended = net.disconnect(peer).await;
                }
                Err(e) => tracing::info!(%device, "showing it this device's admission: {e}"),
            }
        });
    }

    fn label(&self, device: DeviceId, opened: bool) -> Label {
        Label { device, visit: self.peers.visit(&device), opened, started: Instant::now() }
    }

    /// When the next session is to be opened, if there is room for one.
    fn next_session(&self) -> Option<Instant> {
        self.peers.next_due().filter(|_| self.sessions.room() > 0)
    }

    fn open_due_sessions(&mut self) {
        for device in self.peers.take_due(Instant::now(), self.sessions.room()) {
            let label = self.label(device, true);
            tell::began(&self.events, &device, true);
            let (store, identity, net) =
                (self.store.clone(), self.identity.clone(), self.net.clone());
            let config = self.links.session(&device, self.community, today());
            self.sessions.spawn(label, async move {
                if config.terms.budget == Some(0) {
                    let why = "nothing is left of the day's bytes for this link".to_owned();
                    return SessionEnd::failed(label.started, Severity::Mismatch, why);
                }
                let failed = |why| SessionEnd::failed(label.started, Severity::Link, why);
                let Ok(peer) = peer_id_of(device.as_bytes()) else {
                    return failed("not a device key".to_owned());
                };
                match net.open_sync(peer).await {
                    Ok(stream) => session::initiate(store, identity, device, stream, config).await,
                    Err(e) => failed(e.to_string()),
                }
            });
        }
    }

    async fn on_session_end(&mut self, label: Label, end: SessionEnd) -> Result<(), RuntimeError> {
        let (now, device) = (Instant::now(), label.device);
        tell::ended(&self.events, &label, &end);
        self.count("entries received", end.received);
        self.count("entries sent", end.sent);
        self.count("session bytes received", end.bytes_in);
        self.count("session bytes sent", end.bytes_out);
        self.links.used(&device, end.bytes_in + end.bytes_out, today());
        if end.metered {
            self.peers.spare(&device);
        }
        for (reason, n) in &end.refused {
            self.throttle.warn(|| format!("refused {n} entries from {device}: {reason}"));
            self.count("entries refused", *n);
        }
        if end.panicked {
            self.throttle.warn(|| format!("the session with {device} failed by a mistake here"));
            self.count("sessions panicked", 1);
        }
        if let Outcome::Failed { why, .. } = &end.outcome {
            self.throttle.info(|| format!("sync with {device}: {why}"));
        }
        if end.own_unknown {
            warn_of_a_twin(&device);
        }
        if end.received > 0 {
            self.fold.notify_one();
            self.files.note();
            self.peers.offer_others(&device, now);
        }
        self.peers.ended(&device, (label.visit, label.opened, end.began), end.outcome, now);
        let settled = if end.roster_changed { self.roster_changed().await } else { Ok(()) };
        self.answer_waiters(now);
        settled
    }

    async fn on_live(&mut self, report: LiveReport) -> Result<(), RuntimeError> {
        let now = Instant::now();
        self.count("gossip entries new", report.new);
        self.count("gossip messages refused", report.refused);
        if report.new > 0 {
            tell::arrived(&self.events, report.new, true);
            self.fold.notify_one();
            self.files.note();
        }
        if let Some(from) = &report.own_unknown {
            warn_of_a_twin(from);
        }
        for source in report.ask {
            self.peers.sync_soon(&source, now);
        }
        if report.roster_changed {
            self.roster_changed().await?;
        }
        Ok(())
    }

    /// Regular look: has another process written to the store? Has a waiter's time come?
    async fn on_look(&mut self) -> Result<(), RuntimeError> {
        self.keep_addresses(false).await?;
        let store = self.store.clone();
        let change = blocking(move || store.newest_arrival()).await??;
        if change != self.seen_change {
            self.seen_change = change;
            // A long session: what it has brought so far is shown meanwhile.
            self.fold.notify_one();
            self.on_own_write().await?;
        }
        self.answer_waiters(Instant::now());
        self.files.look().await?;
        if self.leaving.values().any(|until| *until <= Instant::now()) {
            self.roster_changed().await?;
        }
        if self.top_up.is_due(Instant::now()) {
            let (store, identity) = (self.store.clone(), self.identity.clone());
            let sealed =
                blocking(move || store.top_up(&author(&identity), now_millis(), &mut OsRandom));
            match sealed.await? {
                Ok(new) if new.is_empty() => {}
                Ok(_) => {
                    tracing::info!("sealed the key to members' devices that had none");
                    self.on_own_write().await?;
                }
                // What came in since then changed what there is to seal.
                Err(e @ (StoreError::NoEpochKey | StoreError::NotMember)) => {
                    tracing::debug!("sealed nothing: {e}");
                }
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }

    /// Announces own entries that have not been announced, by gossip if few, by sync if many.
    async fn on_own_write(&mut self) -> Result<(), RuntimeError> {
        let (store, after) = (self.store.clone(), self.announced);
        let (newest, news) = blocking(move || -> Result<_, StoreError> {
            let newest = store.newest_arrival()?;
            let ids = store.own_since(after)?;
            let few = ids.len() <= gossip::MAX_ANNOUNCED_AT_ONCE;
            let entries = if few { Some(store.entries(&ids)?) } else { None };
            Ok((newest, entries))
        })
        .await??;
        self.announced = newest;
        if news.as_ref().is_some_and(Vec::is_empty) {
            return Ok(());
        }
        tell::written(&self.events, news.as_ref().map(Vec::len));
        self.fold.notify_one();
        let roster = |e: &StoredEntry| e.verified.header().class == Class::Roster.number();
        if news.as_ref().is_none_or(|news| news.iter().any(roster)) {
            self.roster_changed().await?;
        }
        let mut all_announced = news.is_some();
        for own in news.unwrap_or_default() {
            let payload = own.payload.unwrap_or_default();
            let message = gossip::encode(&own.verified, &payload);
            let published = match message {
                Some(message) => self.net.publish(&self.topic, message).await.is_ok(),
                None => false,
            };
            all_announced &= published;
        }
        if !all_announced {
            self.peers.sync_all_soon(Instant::now());
        }
        Ok(())
    }

    /// Tells the network who belongs, and opens seals that came for this device.
    async fn roster_changed(&mut self) -> Result<(), RuntimeError> {
        let (store, identity) = (self.store.clone(), self.identity.clone());
        let (roster, book, lacking) = blocking(move || -> Result<_, StoreError> {
            store.open_seals(&author(&identity), now_millis())?;
            let roster = store.roster()?;
            let lacking = match roster.standing(&identity.device_id()) {
                Some(_) => store.lacking_seals(now_millis())?,
                None => BTreeSet::new(),
            };
            Ok((roster, store.peers()?, lacking))
        })
        .await??;
        let own = self.identity.device_id();
        self.top_up.lack(lacking, &own, &self.peers.devices(), Instant::now());
        let mut members: HashSet<PeerId> = roster
            .members()
            .filter(|m| !m.pending)
            .flat_map(|m| &m.devices)
            .filter_map(|d| peer_id_of(d.device.as_bytes()).ok())
            .collect();
        if !roster.is_founded() {
            // Somebody came back with keys and an address book. What those devices send proves
            // itself: the community's id is the hash of its founding.
            members.extend(book.iter().filter_map(|p| peer_id_of(p.device.as_bytes()).ok()));
        }
        let now = Instant::now();
        let mut leaving = HashMap::new();
        let connected: HashSet<PeerId> =
            self.peers.devices().iter().filter_map(|d| peer_id_of(d.as_bytes()).ok()).collect();
        for peer in self.members.difference(&members).filter(|p| connected.contains(p)) {
            let until = self.leaving.get(peer).copied().unwrap_or(now + FAREWELL);
            if until > now {
                leaving.insert(*peer, until);
            }
        }
        members.extend(leaving.keys());
        self.leaving = leaving;
        if members != self.members {
            self.members = members.clone();
            tell::roster(&self.events, members.len());
            self.net.set_members(members).await?;
        }
        Ok(())
    }

    /// The network knows them already.
    fn remember(&mut self, peer: PeerId, addresses: &[Multiaddr]) {
        if let Some(device) = device_of(&peer) {
            let texts = addresses.iter().map(ToString::to_string);
            self.addresses.add(device, texts, Instant::now());
        }
    }

    async fn keep_addresses(&mut self, all: bool) -> Result<(), RuntimeError> {
        let addresses = self.addresses.take(Instant::now(), all);
        if !addresses.is_empty() {
            let store = self.store.clone();
            blocking(move || store.remember_peers(&addresses, now_millis())).await??;
        }
        Ok(())
    }

    async fn remember_addresses(&self) -> Result<(), RuntimeError> {
        let store = self.store.clone();
        let mut book: BTreeMap<DeviceId, Vec<Multiaddr>> = BTreeMap::new();
        for known in blocking(move || store.peers()).await?? {
            book.entry(known.device).or_default().extend(known.address.parse().ok());
        }
        for (device, addresses) in book {
            if let Ok(peer) = peer_id_of(device.as_bytes())
                && peer != self.net.local_peer()
            {
                self.net.remember(peer, addresses).await?;
            }
        }
        Ok(())
    }
}

/// The store has left a notice for the user; this is for the log.
fn warn_of_a_twin(from: &DeviceId) {
    tracing::warn!(
        "{from} brought an entry by this device that was not written here: another copy of this \
         home is in use, or somebody has its key"
    );
}

/// Which day it is, counted from 1970, by the wall clock in UTC.
fn today() -> u64 {
    now_millis() / 86_400_000
}

fn device_of(peer: &PeerId) -> Option<DeviceId> {
    device_key_of(peer).map(DeviceId::new)
}
