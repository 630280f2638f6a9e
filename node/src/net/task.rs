//! The one task that owns the swarm.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use libp2p::core::transport::ListenerId;
use libp2p::swarm::ConnectionId;
use libp2p::{Multiaddr, PeerId, Swarm, gossipsub};
use tokio::sync::{mpsc, oneshot};
use tokio::time::MissedTickBehavior;

use self::dial::{clean, transport_error};
use super::address::with_any_port;
use super::behaviour::{NodeBehaviour, build};
use super::book::{Book, MAX_ADDRESSES};
use super::lan::{Found, Lan};
use super::status::{ConnectionInfo, Counters, NetStatus, PeerInfo};
use super::{
    Acceptance, DialError, GossipId, MAX_GOSSIP_BYTES, NetCommand, NetConfig, NetError, NetEvent,
    Protocol, Purpose, Transport, transport_of,
};
use crate::discovery::exchange::Exchange;

mod dial;
mod events;
mod exchange;

/// The timer beside the swarm. Gossipsub's heartbeat needs it, and all waiting here hangs on it.
const TICK: Duration = Duration::from_millis(500);
/// Backlog of events from which on droppable ones are dropped.
const SOFT_BACKLOG: usize = 1024;
/// Backlog of events at which the network is no longer read.
const HARD_BACKLOG: usize = 4096;
/// Backlog of gossip in bytes from which on gossip is dropped.
const GOSSIP_BACKLOG_BYTES: usize = 8 * 1024 * 1024;
/// Gossip messages taken from one peer in a second.
const GOSSIP_PER_SECOND: u32 = 4096;
/// Join streams that a stranger may open on one connection.
const JOINS_PER_CONNECTION: u32 = 32;
/// Added to ping interval and timeout before a silent connection is given up.
const PING_SLACK: Duration = Duration::from_secs(1);
/// How long a member's topics may stay unknown before its connections are renewed.
const TOPICS_PATIENCE: Duration = Duration::from_secs(5);
/// The least time between two such renewals.
const RENEWAL_PAUSE: Duration = Duration::from_secs(60);
/// Before a listener that failed is opened again.
const LISTEN_RETRY: Duration = Duration::from_secs(5);
/// How long the peers' connections may take to close at the end.
const GOODBYE: Duration = Duration::from_secs(1);
/// And how long the packets that say so over QUIC may take to leave.
const LAST_PACKETS: Duration = Duration::from_millis(100);
/// What comes together is dialled together, after this time.
const GATHERING: Duration = Duration::from_millis(40);
/// Where many are found one after the other, dialling waits until so long nobody new was found, so that each
/// picks its neighbours from all of them.
const SETTLING: Duration = Duration::from_millis(800);
/// But not longer than this.
const LONGEST_SETTLING: Duration = Duration::from_secs(3);
/// Lists of peers that wait to be taken in.
const TOLD_QUEUE: usize = 64;
/// How often what is announced no more is looked for.
const FORGET_LOOK: Duration = Duration::from_secs(10);
/// Longest error text kept, in characters.
const MAX_ERROR_TEXT: usize = 300;

#[derive(Debug)]
struct Connection {
    peer: PeerId,
    address: Multiaddr,
    outbound: bool,
    member: bool,
    /// The gate took the connection away from gossip and sync; it is closing.
    superseded: bool,
    since: Instant,
    last_pong: Instant,
    round_trip: Option<Duration>,
    promoted: Option<Instant>,
    joins: u32,
    /// The addresses that the peer told and that were passed on.
    told: Vec<Multiaddr>,
}

impl Connection {
    fn is_of(&self, peer: &PeerId, member: bool) -> bool {
        self.peer == *peer && self.member == member && !self.superseded
    }
}

#[derive(Debug)]
struct Dial {
    peer: Option<PeerId>,
    purpose: Purpose,
    /// `None`: the schedule dials.
    reply: Option<oneshot::Sender<Result<PeerId, DialError>>>,
}

#[derive(Debug)]
struct Listener {
    wanted: Multiaddr,
    id: Option<ListenerId>,
    problem: Option<String>,
    retry_at: Option<Instant>,
}

#[derive(Debug)]
struct Traffic {
    messages: u64,
    bytes: u64,
    window: Instant,
    in_window: u32,
}

/// What comes in from tasks beside this one.
pub(super) struct Beside {
    /// Nothing comes where nothing is looked for.
    found: Option<mpsc::Receiver<Found>>,
    told: mpsc::Receiver<Vec<u8>>,
}

/// The state of the network. See the [module](super).
pub(super) struct Task {
    swarm: Swarm<NodeBehaviour>,
    config: NetConfig,
    members: Arc<HashSet<PeerId>>,
    book: Book,
    connections: HashMap<ConnectionId, Connection>,
    dials: HashMap<ConnectionId, Dial>,
    listeners: Vec<Listener>,
    lan: Option<Lan>,
    exchange: Exchange,
    /// Where lists of peers come in from their streams.
    told: mpsc::Sender<Vec<u8>>,
    redial_at: Option<Instant>,
    /// When a row of finds began, and the last of them.
    finding: Option<(Instant, Instant)>,
    forget_at: Instant,
    traffic: HashMap<PeerId, Traffic>,
    refusing_us: HashSet<PeerId>,
    renewed: HashMap<PeerId, Instant>,
    backlog: VecDeque<NetEvent>,
    gossip_backlog: usize,
    counters: Counters,
}

impl Task {
    pub(super) fn new(config: NetConfig) -> Result<(Self, Beside), NetError> {
        let swarm = build(&config)?;
        let me = *swarm.local_peer_id();
        let (lan, found) = Lan::start(&config, me).unzip();
        let (told, lists) = mpsc::channel(TOLD_QUEUE);
        let mut task = Self {
            book: Book::new(me, config.redial.clone()),
            swarm,
            members: Arc::default(),
            connections: HashMap::new(),
            dials: HashMap::new(),
            listeners: Vec::new(),
            lan,
            exchange: Exchange::default(),
            told,
            redial_at: None,
            finding: None,
            forget_at: Instant::now() + FORGET_LOOK,
            traffic: HashMap::new(),
            refusing_us: HashSet::new(),
            renewed: HashMap::new(),
            backlog: VecDeque::new(),
            gossip_backlog: 0,
            counters: Counters::default(),
            config,
        };
        task.listen()?;
        Ok((task, Beside { found, told: lists }))
    }

    pub(super) fn local_peer(&self) -> PeerId {
        *self.swarm.local_peer_id()
    }

    fn listen(&mut self) -> Result<(), NetError> {
        for wanted in self.config.listen.clone() {
            let mut listener = Listener { wanted, id: None, problem: None, retry_at: None };
            self.open_listener(&mut listener);
            self.listeners.push(listener);
        }
        let problems: Vec<String> =
            self.listeners.iter().filter_map(|l| l.problem.clone()).collect();
        if !problems.is_empty() && problems.len() == self.listeners.len() {
            return Err(NetError::Listen(problems.join("; ")));
        }
        Ok(())
    }

    fn open_listener(&mut self, listener: &mut Listener) {
        let mut opened = self.swarm.listen_on(listener.wanted.clone());
        if opened.is_err()
            && let Some(any_port) = with_any_port(&listener.wanted)
        {
            opened = self.swarm.listen_on(any_port);
        }
        match opened {
            Ok(id) => {
                listener.id = Some(id);
                listener.problem = None;
                listener.retry_at = None;
            }
            Err(error) => {
                listener.id = None;
                listener.problem = Some(transport_error(&error));
                listener.retry_at = Some(Instant::now() + LISTEN_RETRY);
            }
        }
    }

    pub(super) async fn run(
        mut self,
        mut beside: Beside,
        mut commands: mpsc::Receiver<NetCommand>,
        events: mpsc::Sender<NetEvent>,
    ) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut goodbye = None;
        loop {
            tokio::select! {
                command = commands.recv() => match command {
                    Some(NetCommand::Shutdown(reply)) => {
                        goodbye = Some(reply);
                        break;
                    }
                    Some(command) => self.command(command),
                    None => break,
                },
                event = self.swarm.select_next_some(), if self.backlog.len() < HARD_BACKLOG => {
                    self.swarm_event(event);
                }
                slot = events.reserve(), if !self.backlog.is_empty() => match slot {
                    Ok(slot) => if let Some(event) = self.backlog.pop_front() {
                        if let NetEvent::Gossip { data, .. } = &event {
                            self.gossip_backlog = self.gossip_backlog.saturating_sub(data.len());
                        }
                        slot.send(event);
                    },
                    Err(_) => break,
                },
                Some(found) = next(&mut beside.found) => self.found(found),
                Some(bytes) = beside.told.recv() => self.take_list(&bytes),
                () = sleep_until(self.redial_at) => self.redial(),
                _ = tick.tick() => self.tick(),
            }
        }
        self.say_goodbye().await;
        if let Some(reply) = goodbye {
            // Whoever asked may have stopped waiting.
            let _ = reply.send(());
        }
    }

    async fn say_goodbye(&mut self) {
        let over_quic =
            self.connections.values().any(|c| transport_of(&c.address) == Some(Transport::Quic));
        for peer in self.connections.values().map(|c| c.peer).collect::<HashSet<_>>() {
            // An error says that it is not connected any more.
            let _ = self.swarm.disconnect_peer_id(peer);
        }
        let closed = async {
            while self.swarm.network_info().num_peers() > 0 {
                self.swarm.select_next_some().await;
            }
        };
        // A peer that does not answer does not hold us up.
        let _ = tokio::time::timeout(GOODBYE, closed).await;
        // A QUIC connection counts as closed before its own task has sent the packet that says so, and
        // libp2p does not tell when it has. A process that ends at once takes the packet with it, and the
        // peer believes itself connected until its pings fail.
        if over_quic {
            tokio::time::sleep(LAST_PACKETS).await;
        }
    }

    // ---- events out -------------------------------------------------------------------------

    /// Queues an event; when the reader is behind, drops what may be dropped.
    fn emit(&mut self, event: NetEvent) {
        let behind = self.backlog.len() >= SOFT_BACKLOG;
        match event {
            NetEvent::Gossip { message_id, source, ref data, .. } => {
                if behind || self.gossip_backlog + data.len() > GOSSIP_BACKLOG_BYTES {
                    self.counters.gossip_dropped += 1;
                    self.report(message_id, source, Acceptance::Ignore);
                    return;
                }
                self.gossip_backlog += data.len();
            }
            NetEvent::SyncStream { .. }
            | NetEvent::FileStream { .. }
            | NetEvent::JoinStream { .. }
                if behind =>
            {
                self.counters.streams_refused += 1;
                return;
            }
            NetEvent::Discovered { .. }
            | NetEvent::Expired { .. }
            | NetEvent::Addresses { .. }
            | NetEvent::NotAdmitted { .. }
            | NetEvent::DialFailed { .. }
                if behind =>
            {
                self.counters.events_dropped += 1;
                return;
            }
            _ => {}
        }
        self.backlog.push_back(event);
    }

    // ---- commands in ------------------------------------------------------------------------

    fn command(&mut self, command: NetCommand) {
        // Replies may come too late for whoever asked; that is no error here.
        match command {
            NetCommand::SetMembers(members, reply) => {
                self.set_members(members);
                let _ = reply.send(());
            }
            NetCommand::Remember(peer, addresses) => {
                let addresses: Vec<_> = addresses.into_iter().take(MAX_ADDRESSES).collect();
                self.book.remember(peer, &addresses, Instant::now());
                self.redial_soon();
            }
            NetCommand::Dial(target, purpose, reply) => self.dial(target, purpose, reply),
            NetCommand::Publish(topic, data, reply) => {
                let _ = reply.send(self.publish(&topic, data));
            }
            NetCommand::Subscribe(topic, reply) => {
                let topic = gossipsub::IdentTopic::new(topic);
                let done = self.swarm.behaviour_mut().gossip_mut().subscribe(&topic);
                let _ = reply
                    .send(done.map(|_| ()).map_err(|e| NetError::Gossip(clean(&e.to_string()))));
            }
            NetCommand::Unsubscribe(topic) => {
                let topic = gossipsub::IdentTopic::new(topic);
                self.swarm.behaviour_mut().gossip_mut().unsubscribe(&topic);
            }
            NetCommand::Report(message_id, source, acceptance) => {
                self.report(message_id, source, acceptance);
            }
            NetCommand::Open(Protocol::Sync, peer, reply) => {
                self.swarm.behaviour_mut().sync_mut().open(peer, reply);
            }
            NetCommand::Open(Protocol::File, peer, reply) => {
                self.swarm.behaviour_mut().file_mut().open(peer, reply);
            }
            NetCommand::Open(Protocol::Join, peer, reply) => {
                self.swarm.behaviour_mut().join.open(peer, reply);
            }
            NetCommand::Status(reply) => {
                let _ = reply.send(self.status());
            }
            NetCommand::Disconnect(peer) => self.close_all(&peer),
            NetCommand::Shutdown(reply) => {
                let _ = reply.send(());
            }
        }
    }

    fn close_all(&mut self, peer: &PeerId) {
        let ids: Vec<ConnectionId> =
            self.connections.iter().filter(|(_, c)| c.peer == *peer).map(|(id, _)| *id).collect();
        for id in ids {
            self.swarm.close_connection(id);
        }
    }

    fn set_members(&mut self, members: HashSet<PeerId>) {
        let now = Instant::now();
        let members = Arc::new(members);
        let old = std::mem::replace(&mut self.members, Arc::clone(&members));
        self.swarm.behaviour_mut().set_members(&members, &old);
        self.book.set_members(Arc::clone(&members), now);
        let mut close = Vec::new();
        let mut promoted = Vec::new();
        for (id, connection) in &mut self.connections {
            match (connection.member, members.contains(&connection.peer)) {
                (true, false) => close.push(*id),
                (false, true) if connection.promoted.is_none() => {
                    connection.promoted = Some(now);
                    promoted.push((
                        connection.peer,
                        connection.address.clone(),
                        connection.outbound,
                    ));
                }
                (false, false) => connection.promoted = None,
                _ => {}
            }
        }
        for id in close {
            self.swarm.close_connection(id);
        }
        for (peer, address, outbound) in promoted {
            // Who dialled before knows a way, and most often is the newcomer who has just been told.
            if outbound {
                self.book.remember(peer, &[address], now);
                self.book.hurry(&peer, now);
            } else {
                self.book.hurry(&peer, now + self.config.redial.higher_waits);
            }
        }
        self.traffic.retain(|peer, _| members.contains(peer));
        self.refusing_us.retain(|peer| members.contains(peer));
        self.renewed.retain(|peer, _| members.contains(peer));
        self.wish();
        self.redial();
    }

    fn has(&self, peer: &PeerId, member: bool) -> bool {
        self.connections.values().any(|c| c.is_of(peer, member))
    }

    fn publish(&mut self, topic: &str, data: Vec<u8>) -> Result<usize, NetError> {
        if data.len() > MAX_GOSSIP_BYTES {
            return Err(NetError::TooLarge { size: data.len() });
        }
        let topic = gossipsub::IdentTopic::new(topic).hash();
        let gossip = self.swarm.behaviour_mut().gossip_mut();
        let followers = gossip.all_peers().filter(|(_, topics)| topics.contains(&&topic)).count();
        match gossip.publish(topic, data) {
            Ok(_) => {
                self.counters.gossip_published += 1;
                Ok(followers)
            }
            Err(gossipsub::PublishError::NoPeersSubscribedToTopic) => {
                self.counters.gossip_to_nobody += 1;
                Ok(0)
            }
            Err(gossipsub::PublishError::Duplicate) => Ok(0),
            Err(gossipsub::PublishError::AllQueuesFull(_)) => {
                self.counters.gossip_queue_full += 1;
                Ok(0)
            }
            Err(error) => Err(NetError::Gossip(clean(&error.to_string()))),
        }
    }

    fn report(&mut self, message_id: GossipId, source: PeerId, acceptance: Acceptance) {
        let acceptance = match acceptance {
            Acceptance::Accept => gossipsub::MessageAcceptance::Accept,
            Acceptance::Ignore => gossipsub::MessageAcceptance::Ignore,
            Acceptance::Reject => gossipsub::MessageAcceptance::Reject,
        };
        let id = gossipsub::MessageId::new(&message_id.0);
        let gossip = self.swarm.behaviour_mut().gossip_mut();
        gossip.report_message_validation_result(&id, &source, acceptance);
    }

    fn status(&self) -> NetStatus {
        let now = Instant::now();
        let connections: Vec<ConnectionInfo> = self
            .connections
            .values()
            .filter(|c| !c.superseded)
            .map(|c| ConnectionInfo {
                peer: c.peer,
                member: c.member,
                address: c.address.clone(),
                outbound: c.outbound,
                transport: transport_of(&c.address),
                age: c.since.elapsed(),
                round_trip: c.round_trip,
            })
            .collect();
        let following = self.peers_with_topics();
        let mut peers: Vec<PeerInfo> = self
            .book
            .peers()
            .map(|(peer, entry)| PeerInfo {
                peer: *peer,
                member: self.members.contains(peer),
                connected: connections.iter().any(|c| c.peer == *peer),
                gossiping: following.contains(peer),
                refuses_us: self.refusing_us.contains(peer),
                discovered: entry.is_discovered(),
                heard: entry.heard(now),
                addresses: entry.addresses(),
                dialling: entry.is_dialling(),
                failures: entry.failures(),
                last_error: entry.last_error().map(str::to_owned),
                gossip_messages: self.traffic.get(peer).map_or(0, |t| t.messages),
                gossip_bytes: self.traffic.get(peer).map_or(0, |t| t.bytes),
            })
            .collect();
        peers.sort_by_key(|peer| peer.peer);
        NetStatus {
            peer: self.local_peer(),
            listening: self.swarm.listeners().cloned().collect(),
            listen_problems: self
                .listeners
                .iter()
                .filter_map(|l| Some((l.wanted.clone(), l.problem.clone()?)))
                .collect(),
            lan: self.lan.as_ref().map(Lan::status).unwrap_or_default(),
            members: self.members.len(),
            connections,
            peers,
            counters: self.counters,
        }
    }

    // ---- the timer --------------------------------------------------------------------------

    fn tick(&mut self) {
        let now = Instant::now();
        self.close_overdue(now);
        self.renew_silent_gossip(now);
        let mut listeners = std::mem::take(&mut self.listeners);
        for listener in &mut listeners {
            if listener.retry_at.is_some_and(|at| now >= at) {
                self.open_listener(listener);
            }
        }
        self.listeners = listeners;
        if now >= self.forget_at {
            self.forget_at = now + FORGET_LOOK;
            for peer in self.book.forget_unheard(now) {
                self.emit(NetEvent::Expired { peer });
            }
        }
        self.tell_peers(now);
        self.redial();
    }

    fn close_overdue(&mut self, now: Instant) {
        let silence = self.config.ping_interval + self.config.ping_timeout + PING_SLACK;
        let mut close = Vec::new();
        for (id, connection) in &self.connections {
            let since = |moment: Instant| now.saturating_duration_since(moment);
            let is_dead = since(connection.last_pong) > silence;
            if is_dead {
                self.counters.dead_connections += 1;
            }
            let grace_is_over =
                connection.promoted.is_some_and(|at| since(at) > self.config.promotion_grace);
            let overstays = !connection.member
                && !connection.outbound
                && connection.promoted.is_none()
                && since(connection.since) > self.config.stranger_lifetime;
            if is_dead || grace_is_over || overstays {
                close.push(*id);
            }
        }
        for id in close {
            self.swarm.close_connection(id);
        }
    }

    fn peers_with_topics(&self) -> HashSet<PeerId> {
        self.swarm
            .behaviour()
            .gossip()
            .all_peers()
            .filter(|(_, topics)| !topics.is_empty())
            .map(|(peer, _)| *peer)
            .collect()
    }

    /// Gossipsub tells its topics on a first connection only. Should the two sides disagree on which
    /// one was the first, a member's topics stay unknown here: then all its connections are renewed.
    fn renew_silent_gossip(&mut self, now: Instant) {
        if self.swarm.behaviour().gossip().topics().next().is_none() {
            return;
        }
        let following = self.peers_with_topics();
        let mut oldest: HashMap<PeerId, Instant> = HashMap::new();
        for connection in self.connections.values().filter(|c| c.member && !c.superseded) {
            let first = oldest.entry(connection.peer).or_insert(connection.since);
            *first = connection.since.min(*first);
        }
        for (peer, since) in oldest {
            let is_silent = now.saturating_duration_since(since) > TOPICS_PATIENCE
                && !following.contains(&peer)
                && !self.refusing_us.contains(&peer);
            let may_renew =
                self.renewed.get(&peer).is_none_or(|at| now.duration_since(*at) > RENEWAL_PAUSE);
            if is_silent && may_renew {
                self.renewed.insert(peer, now);
                self.counters.gossip_renewals += 1;
                self.close_all(&peer);
            }
        }
    }
}

/// What comes next, or nothing for ever.
async fn next<T>(queue: &mut Option<mpsc::Receiver<T>>) -> Option<T> {
    match queue {
        Some(queue) => queue.recv().await,
        None => std::future::pending().await,
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
