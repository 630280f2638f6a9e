//! The network: connections, discovery, gossip and streams, translated from libp2p.
//!
//! This layer knows peers, bytes and streams. It knows nothing of entries, the roster or the store: it
//! is *told* who the members are, and hands over what arrives unjudged. One task owns the swarm;
//! [`start`] spawns it, [`NetHandle`] asks it for things, [`NetEvent`]s come out of it.
//!
//! 1. **Members only.** A member's connection carries gossip, sync, files, join, ping and identify. A
//!    stranger's carries join, ping and an identify that does not tell our addresses. It is decided per
//!    connection when it is established (see `gate`). When the members change, connections of removed
//!    peers are closed at once; new members are connected afresh, and their old connections stay for
//!    [`NetConfig::promotion_grace`], so that the join stream that brought the news can end in peace.
//! 2. **Only members are dialled**, besides the explicit targets of [`NetHandle::dial`]. Who dials whom
//!    and how often is in [`Redial`] and `book`. Strangers found by mDNS are reported, not dialled.
//! 3. More than one connection to a peer is normal and short-lived. [`NetEvent::Connected`] and
//!    [`NetEvent::Disconnected`] speak of the first and the last one of a kind.
//! 4. **Dead links are closed.** A connection on which no ping was answered for `ping_interval +
//!    ping_timeout` and a second is closed. (libp2p's ping forgives a first failure silently, and a
//!    cut TCP link stays "connected" for minutes.) [`NetHandle::shutdown`] leaves time for the peers to
//!    be told, so that nobody has to find this out of a node that stopped.
//! 5. **Gossip is a courtesy.** It may be dropped anywhere: slow peer, full queue, too many messages a
//!    second. Publishing to nobody is success. Only sync makes delivery certain.
//! 6. **Every queue is bounded, and no two wait for each other.** The task never waits for the reader of
//!    the events: it keeps a bounded backlog, drops and counts gossip and discoveries beyond it, refuses
//!    streams, and at the last stops reading the network. Commands are served throughout. Even so, do
//!    not await [`NetHandle::dial`] or the `open_…` methods on the task that drains the events.
//! 7. The loop ticks: gossipsub 0.50 does not wake itself for its heartbeat, so on a quiet network
//!    nothing would happen without a timer beside it.
//! 8. **Few connections among many.** Up to a dozen members are all connected to each other; of more, each
//!    node picks some, so that all are reached in few steps (`neighbours`), and knows where the others are.
//! 9. **What others shout costs the exchange nothing.** mDNS and beacons are a task of their own (`lan`),
//!    which hands over where members are. Members tell each other the same (`/lanai/peers/1`).
//! 10. A change of interfaces or addresses needs no restart: listeners follow it, a listener that closes
//!     is opened again, and all waiting to dial ends.

use std::collections::HashSet;
use std::time::Duration;

use lanai_crdt::id::CommunityId;
use tokio::sync::{mpsc, oneshot};
use zeroize::Zeroizing;

mod address;
mod behaviour;
mod book;
mod gate;
mod lan;
mod neighbours;
pub mod probe;
mod status;
mod streams;
mod task;
#[cfg(test)]
mod tests;

pub use address::{
    NotADeviceKey, Transport, device_key_of, dialable, ip_of, peer_id_of, split_peer, transport_of,
};
pub use book::Redial;
pub use lan::LanStatus;
/// An address as libp2p writes it: `/ip4/192.168.1.7/udp/4001/quic-v1`.
pub use libp2p::Multiaddr;
/// A peer's name, made of its device key.
pub use libp2p::PeerId;
/// A two-way stream of bytes to a peer (`futures::AsyncRead` and `AsyncWrite`). Dropping it without
/// closing resets it. Batch writes to about 64 KiB: small ones are slow over TCP.
pub use libp2p::Stream as NetStream;
pub use status::{ConnectionInfo, Counters, NetStatus, PeerInfo};
pub use streams::OpenError;

/// The largest gossip message, in bytes.
pub const MAX_GOSSIP_BYTES: usize = 64 * 1024;

/// Commands that may wait for the task.
const COMMAND_QUEUE: usize = 256;
/// Events that may wait in the channel; the task keeps a bounded backlog besides.
const EVENT_QUEUE: usize = 256;
/// How long a caller waits for a stream to open.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a caller waits for a dial, all its addresses included.
const DIAL_PATIENCE: Duration = Duration::from_secs(30);

/// How the network is run.
#[derive(Debug, Clone)]
pub struct NetConfig {
    /// The device's Ed25519 secret key; the [`PeerId`] is made of its public half.
    pub secret: Zeroizing<[u8; 32]>,
    /// Where to listen. A port that is taken is replaced by one that the system chooses.
    pub listen: Vec<Multiaddr>,
    /// Look for peers on the local network, and be found there.
    pub mdns: bool,
    /// Send and hear beacons of this community; `None`: neither.
    pub beacon: Option<CommunityId>,
    /// Report all nodes that are found, not members' only: for who looks for a member to be let in by.
    pub find_everybody: bool,
    /// Time between pings on every connection.
    pub ping_interval: Duration,
    /// How long a ping may take.
    pub ping_timeout: Duration,
    /// How long one attempt to connect may take.
    pub dial_timeout: Duration,
    /// An unused connection of a stranger is closed after this time.
    pub stranger_idle: Duration,
    /// A stranger that connected to us is disconnected after this time, whatever it does.
    pub stranger_lifetime: Duration,
    /// How long a stranger's connection stays after the stranger became a member.
    pub promotion_grace: Duration,
    /// Connections that strangers may have to us, and inbound handshakes under way.
    pub max_strangers: u32,
    /// Waiting times of redialling.
    pub redial: Redial,
}

impl NetConfig {
    /// The usual settings: mDNS on, no beacon, everything else as documented in `docs/protocol.md`.
    #[must_use]
    pub fn new(secret: Zeroizing<[u8; 32]>, listen: Vec<Multiaddr>) -> Self {
        Self {
            secret,
            listen,
            mdns: true,
            beacon: None,
            find_everybody: false,
            ping_interval: Duration::from_secs(5),
            ping_timeout: Duration::from_secs(5),
            dial_timeout: Duration::from_secs(8),
            stranger_idle: Duration::from_secs(15),
            stranger_lifetime: Duration::from_secs(300),
            promotion_grace: Duration::from_secs(10),
            max_strangers: 64,
            redial: Redial::default(),
        }
    }
}

/// QUIC and TCP on every interface, IPv4 and IPv6, on one port; 0 lets the system choose.
#[must_use]
pub fn listen_everywhere(port: u16) -> Vec<Multiaddr> {
    use libp2p::multiaddr::Protocol;
    let hosts: [Protocol<'_>; 2] =
        [std::net::Ipv4Addr::UNSPECIFIED.into(), std::net::Ipv6Addr::UNSPECIFIED.into()];
    hosts
        .into_iter()
        .flat_map(|host| {
            let base = Multiaddr::empty().with(host);
            [
                base.clone().with(Protocol::Udp(port)).with(Protocol::QuicV1),
                base.with(Protocol::Tcp(port)),
            ]
        })
        .collect()
}

/// Why the network did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetError {
    /// The secret key is unusable.
    #[error("the device's secret key is not usable")]
    Secret,
    /// The transports or protocols could not be set up.
    #[error("the network could not be set up: {0}")]
    Transport(String),
    /// None of the addresses could be listened on.
    #[error("cannot listen anywhere: {0}")]
    Listen(String),
    /// A gossip message over [`MAX_GOSSIP_BYTES`].
    #[error("a message of {size} bytes is over the limit of {MAX_GOSSIP_BYTES}")]
    TooLarge {
        /// Its length in bytes.
        size: usize,
    },
    /// Gossip refused the message or topic.
    #[error("gossip refused: {0}")]
    Gossip(String),
    /// The network task has ended.
    #[error("the network has been stopped")]
    Stopped,
}

/// Why a dial did not lead to a connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DialError {
    /// The target is this node.
    #[error("that address is this node's own")]
    Own,
    /// Nothing is known that could be dialled.
    #[error("no usable address")]
    NoAddress,
    /// The name in the address stands for nothing.
    #[error("cannot resolve the name: {0}")]
    Name(String),
    /// A member was wanted, and this peer is none.
    #[error("the peer {0} is not a member")]
    NotAMember(PeerId),
    /// No address answered; the text says why.
    #[error("{0}")]
    Failed(String),
    /// It took too long.
    #[error("no answer in time")]
    TimedOut,
    /// The network task has ended.
    #[error("the network has been stopped")]
    Stopped,
}

/// Whom a dial is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A stranger may answer: to join through it.
    Join,
    /// Only a member will do; anybody else is hung up on.
    Member,
}

/// What to dial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DialTarget {
    /// A known peer; with no address given, what is known of it is used.
    Peer {
        /// Who must answer.
        peer: PeerId,
        /// Where; names (`/dns4/…`) are resolved.
        addresses: Vec<Multiaddr>,
    },
    /// Whoever answers at an address. A `/p2p/…` tail says who must answer.
    Address(Multiaddr),
}

/// What to do with a gossip message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acceptance {
    /// Good: forward it.
    Accept,
    /// Do not forward it; nobody is to blame.
    Ignore,
    /// Do not forward it; it is wrong.
    Reject,
}

/// The name of a gossip message: BLAKE3 of its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct GossipId(pub [u8; 32]);

/// What happened on the network.
#[derive(Debug)]
pub enum NetEvent {
    /// This node can be reached at a new address.
    Listening(Multiaddr),
    /// This node can no longer be reached at an address.
    ListenExpired(Multiaddr),
    /// A member was found, by itself or because another one told, or a new address of it; with
    /// [`NetConfig::find_everybody`] anybody on the local network.
    Discovered {
        /// Who.
        peer: PeerId,
        /// All usable addresses known of it.
        addresses: Vec<Multiaddr>,
    },
    /// A discovered peer has not been heard of for long.
    Expired {
        /// Who.
        peer: PeerId,
    },
    /// The first connection of this kind to a peer is up. A restarted peer that this side believed
    /// connected is reported as disconnected first.
    Connected {
        /// Who.
        peer: PeerId,
        /// Whether it is a member's connection. A peer can have both kinds for a moment.
        member: bool,
        /// The other end.
        address: Multiaddr,
        /// Whether this node dialled, which makes `address` worth remembering.
        outbound: bool,
    },
    /// The last connection of this kind is gone.
    Disconnected {
        /// Who.
        peer: PeerId,
        /// The kind, as in [`NetEvent::Connected`].
        member: bool,
    },
    /// A member told where it listens.
    Addresses {
        /// Who.
        peer: PeerId,
        /// Worth remembering.
        addresses: Vec<Multiaddr>,
    },
    /// A member's node does not take us for a member (it may not have heard of our admission).
    NotAdmitted {
        /// Who.
        peer: PeerId,
    },
    /// A gossip message. Say what it is worth with [`NetHandle::report_validation`] within ten
    /// seconds, or it is not forwarded.
    Gossip {
        /// Its name.
        message_id: GossipId,
        /// The member that sent it to us, not necessarily its author.
        source: PeerId,
        /// The topic it came under.
        topic: String,
        /// At most [`MAX_GOSSIP_BYTES`].
        data: Vec<u8>,
    },
    /// A member opened a sync stream.
    SyncStream {
        /// Who.
        peer: PeerId,
        /// The stream.
        stream: NetStream,
    },
    /// A member opened a stream to fetch a file.
    FileStream {
        /// Who.
        peer: PeerId,
        /// The stream.
        stream: NetStream,
    },
    /// Somebody, most often a stranger, opened a join stream. Bound how long it may take.
    JoinStream {
        /// Who.
        peer: PeerId,
        /// The stream.
        stream: NetStream,
    },
    /// An attempt to connect failed.
    DialFailed {
        /// Whom it was for, if known.
        peer: Option<PeerId>,
        /// Why, for people.
        reason: String,
    },
}

/// A stream protocol.
#[derive(Debug, Clone, Copy)]
enum Protocol {
    Sync,
    File,
    Join,
}

/// What the task is asked for.
#[derive(Debug)]
enum NetCommand {
    SetMembers(HashSet<PeerId>, oneshot::Sender<()>),
    Remember(PeerId, Vec<Multiaddr>),
    Dial(DialTarget, Purpose, oneshot::Sender<Result<PeerId, DialError>>),
    Publish(String, Vec<u8>, oneshot::Sender<Result<usize, NetError>>),
    Subscribe(String, oneshot::Sender<Result<(), NetError>>),
    Unsubscribe(String),
    Report(GossipId, PeerId, Acceptance),
    Open(Protocol, PeerId, streams::OpenReply),
    Status(oneshot::Sender<NetStatus>),
    Disconnect(PeerId),
    Shutdown(oneshot::Sender<()>),
}

/// Starts the network on the current tokio runtime. It ends with [`NetHandle::shutdown`], or when
/// the last handle or the events' receiver is dropped.
///
/// # Errors
/// [`NetError::Secret`], [`NetError::Transport`], or [`NetError::Listen`] if not a single address can
/// be listened on (an empty list is allowed: such a node only dials).
pub fn start(config: NetConfig) -> Result<(NetHandle, mpsc::Receiver<NetEvent>), NetError> {
    let (commands, command_queue) = mpsc::channel(COMMAND_QUEUE);
    let (event_queue, events) = mpsc::channel(EVENT_QUEUE);
    let (task, beside) = task::Task::new(config)?;
    let peer = task.local_peer();
    tokio::spawn(task.run(beside, command_queue, event_queue));
    Ok((NetHandle { commands, peer }, events))
}

/// Asks the network task for things. Cheap to clone.
#[derive(Debug, Clone)]
pub struct NetHandle {
    commands: mpsc::Sender<NetCommand>,
    peer: PeerId,
}

impl NetHandle {
    /// This node's own name.
    #[must_use]
    pub fn local_peer(&self) -> PeerId {
        self.peer
    }

    async fn send(&self, command: NetCommand) -> Result<(), NetError> {
        self.commands.send(command).await.map_err(|_| NetError::Stopped)
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> NetCommand,
    ) -> Result<T, NetError> {
        let (reply, answer) = oneshot::channel();
        self.send(command(reply)).await?;
        answer.await.map_err(|_| NetError::Stopped)
    }

    /// Replaces the set of members. When this returns, new connections are judged by it and those of
    /// removed members are being closed.
    ///
    /// # Errors
    /// [`NetError::Stopped`].
    pub async fn set_members(&self, members: HashSet<PeerId>) -> Result<(), NetError> {
        self.ask(|reply| NetCommand::SetMembers(members, reply)).await
    }

    /// Adds addresses of a peer, most promising first. They are used once it is a member. Addresses that
    /// cannot be dialled are left out; the newest sixteen are kept.
    ///
    /// # Errors
    /// [`NetError::Stopped`].
    pub async fn remember(&self, peer: PeerId, addresses: Vec<Multiaddr>) -> Result<(), NetError> {
        self.send(NetCommand::Remember(peer, addresses)).await
    }

    /// Connects, or finds that there is a fitting connection already; then a member's addresses are kept for
    /// when that one ends. Returns who answered.
    ///
    /// # Errors
    /// See [`DialError`].
    pub async fn dial(&self, target: DialTarget, purpose: Purpose) -> Result<PeerId, DialError> {
        let target = resolved(target).await?;
        let (reply, answer) = oneshot::channel();
        self.send(NetCommand::Dial(target, purpose, reply))
            .await
            .map_err(|_| DialError::Stopped)?;
        match tokio::time::timeout(DIAL_PATIENCE, answer).await {
            Ok(answer) => answer.map_err(|_| DialError::Stopped)?,
            Err(_) => Err(DialError::TimedOut),
        }
    }

    /// Sends a message to the members that follow the topic. Returns to how many; nobody is fine, and a
    /// message that was published or received before goes to nobody.
    ///
    /// # Errors
    /// [`NetError::TooLarge`], [`NetError::Gossip`], [`NetError::Stopped`].
    pub async fn publish(&self, topic: &str, data: Vec<u8>) -> Result<usize, NetError> {
        self.ask(|reply| NetCommand::Publish(topic.to_owned(), data, reply)).await?
    }

    /// Follows a topic.
    ///
    /// # Errors
    /// [`NetError::Gossip`], [`NetError::Stopped`].
    pub async fn subscribe(&self, topic: &str) -> Result<(), NetError> {
        self.ask(|reply| NetCommand::Subscribe(topic.to_owned(), reply)).await?
    }

    /// Stops following a topic.
    ///
    /// # Errors
    /// [`NetError::Stopped`].
    pub async fn unsubscribe(&self, topic: &str) -> Result<(), NetError> {
        self.send(NetCommand::Unsubscribe(topic.to_owned())).await
    }

    /// Says what a gossip message is worth.
    ///
    /// # Errors
    /// [`NetError::Stopped`].
    pub async fn report_validation(
        &self,
        message_id: GossipId,
        source: PeerId,
        acceptance: Acceptance,
    ) -> Result<(), NetError> {
        self.send(NetCommand::Report(message_id, source, acceptance)).await
    }

    async fn open(&self, protocol: Protocol, peer: PeerId) -> Result<NetStream, OpenError> {
        let (reply, answer) = oneshot::channel();
        let stopped = || OpenError::Broken("the network has been stopped".into());
        self.send(NetCommand::Open(protocol, peer, reply)).await.map_err(|_| stopped())?;
        match tokio::time::timeout(OPEN_TIMEOUT, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(OpenError::NotConnected),
            Err(_) => Err(OpenError::TimedOut),
        }
    }

    /// Opens a sync stream to a connected member.
    ///
    /// # Errors
    /// See [`OpenError`]; it never dials.
    pub async fn open_sync(&self, peer: PeerId) -> Result<NetStream, OpenError> {
        self.open(Protocol::Sync, peer).await
    }

    /// Opens a stream to fetch a file from a connected member.
    ///
    /// # Errors
    /// See [`OpenError`]; it never dials.
    pub async fn open_file(&self, peer: PeerId) -> Result<NetStream, OpenError> {
        self.open(Protocol::File, peer).await
    }

    /// Opens a join stream to a connected peer.
    ///
    /// # Errors
    /// See [`OpenError`]; it never dials.
    pub async fn open_join(&self, peer: PeerId) -> Result<NetStream, OpenError> {
        self.open(Protocol::Join, peer).await
    }

    /// The addresses this node listens on.
    ///
    /// # Errors
    /// [`NetError::Stopped`].
    pub async fn listeners(&self) -> Result<Vec<Multiaddr>, NetError> {
        Ok(self.status().await?.listening)
    }

    /// Everything there is to say about the network now.
    ///
    /// # Errors
    /// [`NetError::Stopped`].
    pub async fn status(&self) -> Result<NetStatus, NetError> {
        self.ask(NetCommand::Status).await
    }

    /// Closes all connections to a peer. A member is dialled again in due course.
    ///
    /// # Errors
    /// [`NetError::Stopped`].
    pub async fn disconnect(&self, peer: PeerId) -> Result<(), NetError> {
        self.send(NetCommand::Disconnect(peer)).await
    }

    /// Closes all connections, telling the peers, and ends the task; takes at most about a second.
    pub async fn shutdown(&self) {
        // Whether it was running or not, it has stopped afterwards.
        let _ = self.ask(NetCommand::Shutdown).await;
    }
}

async fn resolved(target: DialTarget) -> Result<DialTarget, DialError> {
    let name_error = |error: std::io::Error| DialError::Name(error.to_string());
    match target {
        DialTarget::Peer { peer, addresses } => {
            let mut found = Vec::new();
            for address in addresses.iter().take(book::MAX_ADDRESSES) {
                found.extend(address::resolve(address).await.map_err(name_error)?);
            }
            Ok(DialTarget::Peer { peer, addresses: found })
        }
        DialTarget::Address(address) => {
            let (bare, peer) = split_peer(&address);
            let found = address::resolve(&bare).await.map_err(name_error)?;
            match (peer, found.first()) {
                (_, None) => Err(DialError::NoAddress),
                (None, Some(first)) => Ok(DialTarget::Address(first.clone())),
                (Some(peer), Some(_)) => Ok(DialTarget::Peer { peer, addresses: found }),
            }
        }
    }
}
