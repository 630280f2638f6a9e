//! What can be told about the network at one moment.

use std::time::Duration;

use libp2p::{Multiaddr, PeerId};

use super::{LanStatus, Transport};

/// One connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// The other end.
    pub peer: PeerId,
    /// Whether it carries what members exchange.
    pub member: bool,
    /// The other end's address.
    pub address: Multiaddr,
    /// Whether this node dialled.
    pub outbound: bool,
    /// How bytes travel.
    pub transport: Option<Transport>,
    /// How long it has been up.
    pub age: Duration,
    /// Round trip time of the last ping.
    pub round_trip: Option<Duration>,
}

/// What is known of a member or of a peer on the local network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerInfo {
    /// Who.
    pub peer: PeerId,
    /// Whether it is a member.
    pub member: bool,
    /// Whether a connection to it is up.
    pub connected: bool,
    /// Its gossip reaches us and ours it: it follows a topic of ours.
    pub gossiping: bool,
    /// It is a member, but its node does not take us for one.
    pub refuses_us: bool,
    /// Whether it is announced on the local network, or another member told where it is.
    pub discovered: bool,
    /// How long ago it was connected, or heard of by whatever way.
    pub heard: Option<Duration>,
    /// Where it may be.
    pub addresses: Vec<Multiaddr>,
    /// An attempt to connect is under way.
    pub dialling: bool,
    /// Attempts that failed since the last steady connection.
    pub failures: u32,
    /// Why the last attempt failed; `None` after a success.
    pub last_error: Option<String>,
    /// Gossip messages received from it since it connected.
    pub gossip_messages: u64,
    /// Their bytes.
    pub gossip_bytes: u64,
}

/// Counts since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Gossip messages received.
    pub gossip_received: u64,
    /// Gossip messages published to at least one peer.
    pub gossip_published: u64,
    /// Gossip messages published while nobody was there.
    pub gossip_to_nobody: u64,
    /// Received messages dropped because the node was behind.
    pub gossip_dropped: u64,
    /// Received messages dropped because one peer sent too many a second, or too large ones.
    pub gossip_over_limit: u64,
    /// Messages that found the queues to all peers full.
    pub gossip_queue_full: u64,
    /// Streams refused because the node was behind, or a stranger opened too many.
    pub streams_refused: u64,
    /// Other events dropped because the node was behind.
    pub events_dropped: u64,
    /// Connections closed because pings stayed unanswered.
    pub dead_connections: u64,
    /// Inbound connections refused or failed.
    pub inbound_failures: u64,
    /// Connections renewed because a peer's topics were missing.
    pub gossip_renewals: u64,
    /// Lists of members' addresses told to members.
    pub peer_lists_told: u64,
    /// Such lists taken from members.
    pub peer_lists_taken: u64,
    /// Such lists refused: malformed, or too many.
    pub peer_lists_refused: u64,
}

/// Everything at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetStatus {
    /// This node.
    pub peer: PeerId,
    /// Where it listens.
    pub listening: Vec<Multiaddr>,
    /// Where it was to listen and cannot, and why.
    pub listen_problems: Vec<(Multiaddr, String)>,
    /// How looking on the local network goes.
    pub lan: LanStatus,
    /// Members known to the network layer, this node included if it is one.
    pub members: usize,
    /// All connections.
    pub connections: Vec<ConnectionInfo>,
    /// Members with known addresses or connections, and peers on the local network.
    pub peers: Vec<PeerInfo>,
    /// Counts since the start.
    pub counters: Counters,
}
