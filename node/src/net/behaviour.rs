//! The swarm's types, and nothing else: they take long to compile.
//!
//! | protocol | for whom |
//! | --- | --- |
//! | ping, `/lanai/join/1` | everybody |
//! | identify without our addresses | strangers |
//! | identify with our addresses, `/lanai/gossip/1`, `/lanai/sync/1`, `/lanai/file/1`, `/lanai/peers/1` | members |
//!
//! The connection limits have no protocol on connections.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use libp2p::swarm::NetworkBehaviour;
use libp2p::{
    PeerId, StreamProtocol, Swarm, SwarmBuilder, connection_limits, gossipsub, identify, identity,
    noise, ping, tcp, yamux,
};

use super::gate::{Gate, Side};
use super::streams::Streams;
use super::{MAX_GOSSIP_BYTES, NetConfig, NetError};

/// Said in identify, so that two lanai nodes know each other's protocol family.
const PROTOCOL_VERSION: &str = "lanai/1";
/// Deliberately without a version number.
const AGENT: &str = "lanai";
const JOIN: StreamProtocol = StreamProtocol::new("/lanai/join/1");
const SYNC: StreamProtocol = StreamProtocol::new("/lanai/sync/1");
const PEERS: StreamProtocol = StreamProtocol::new("/lanai/peers/1");
const FILE: StreamProtocol = StreamProtocol::new("/lanai/file/1");
const GOSSIP: &str = "/lanai/gossip/1";

/// Gossipsub's own bytes around a message.
const GOSSIP_OVERHEAD: usize = 1024;
/// How long a message may wait for a slow peer. The library's default of one second loses messages
/// under load.
const GOSSIP_QUEUE: Duration = Duration::from_secs(60);
/// Messages that may wait for one peer.
const GOSSIP_QUEUE_LENGTH: usize = 2048;
/// Heartbeats (seconds) for which a message can still be accepted and forwarded.
const GOSSIP_HISTORY: usize = 12;

/// What members get.
#[derive(NetworkBehaviour)]
pub(super) struct MemberBehaviour {
    pub(super) identify: identify::Behaviour,
    pub(super) gossip: gossipsub::Behaviour,
    pub(super) sync: Streams,
    pub(super) peers: Streams,
    pub(super) file: Streams,
}

/// The whole node. The order matters: the limits refuse a connection before anything else hears of
/// it, and the gates come last, so nothing can refuse what they admitted.
#[derive(NetworkBehaviour)]
pub(super) struct NodeBehaviour {
    pub(super) limits: connection_limits::Behaviour,
    pub(super) ping: ping::Behaviour,
    pub(super) join: Streams,
    pub(super) strangers: Gate<identify::Behaviour>,
    pub(super) members: Gate<MemberBehaviour>,
}

impl NodeBehaviour {
    /// Applies to connections from now on.
    pub(super) fn set_members(&mut self, members: &Arc<HashSet<PeerId>>, old: &HashSet<PeerId>) {
        for gone in old.difference(members) {
            self.limits.remove_peer_id(gone);
        }
        for new in members.difference(old) {
            self.limits.bypass_peer_id(new);
        }
        self.strangers.set_members(Arc::clone(members));
        self.members.set_members(Arc::clone(members));
    }

    pub(super) fn gossip(&self) -> &gossipsub::Behaviour {
        &self.members.inner().gossip
    }

    pub(super) fn gossip_mut(&mut self) -> &mut gossipsub::Behaviour {
        &mut self.members.inner_mut().gossip
    }

    pub(super) fn sync_mut(&mut self) -> &mut Streams {
        &mut self.members.inner_mut().sync
    }

    pub(super) fn peers_mut(&mut self) -> &mut Streams {
        &mut self.members.inner_mut().peers
    }

    pub(super) fn file_mut(&mut self) -> &mut Streams {
        &mut self.members.inner_mut().file
    }
}

/// Builds the swarm.
pub(super) fn build(config: &NetConfig) -> Result<Swarm<NodeBehaviour>, NetError> {
    let mut secret = *config.secret;
    let keypair =
        identity::Keypair::ed25519_from_bytes(&mut secret).map_err(|_| NetError::Secret)?;
    let limits = connection_limits::ConnectionLimits::default()
        .with_max_pending_incoming(Some(config.max_strangers))
        .with_max_pending_outgoing(Some(64))
        .with_max_established_incoming(Some(config.max_strangers))
        .with_max_established_per_peer(Some(4));
    let behaviour = NodeBehaviour {
        limits: connection_limits::Behaviour::new(limits),
        ping: ping::Behaviour::new(
            ping::Config::new()
                .with_interval(config.ping_interval)
                .with_timeout(config.ping_timeout),
        ),
        join: Streams::new(JOIN, false),
        strangers: Gate::new(identify_behaviour(&keypair, true), Side::Strangers),
        members: Gate::new(
            MemberBehaviour {
                identify: identify_behaviour(&keypair, false),
                gossip: gossip_behaviour()?,
                sync: Streams::new(SYNC, true),
                peers: Streams::new(PEERS, false),
                file: Streams::new(FILE, true),
            },
            Side::Members,
        ),
    };
    let idle = config.stranger_idle;
    Ok(SwarmBuilder::with_existing_identity(keypair)
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux::Config::default)
        .map_err(|error| NetError::Transport(error.to_string()))?
        .with_quic_config(|mut quic| {
            quic.keep_alive_interval = Duration::from_secs(3);
            quic
        })
        .with_behaviour(|_| behaviour)
        .map_err(|error| NetError::Transport(error.to_string()))?
        .with_swarm_config(|swarm| swarm.with_idle_connection_timeout(idle).with_smart_dial())
        .with_connection_timeout(config.dial_timeout)
        .build())
}

fn identify_behaviour(keypair: &identity::Keypair, hide_addresses: bool) -> identify::Behaviour {
    identify::Behaviour::new(
        identify::Config::new(PROTOCOL_VERSION.into(), keypair.public())
            .with_agent_version(AGENT.into())
            .with_hide_listen_addrs(hide_addresses)
            .with_push_listen_addr_updates(!hide_addresses)
            .with_cache_size(0),
    )
}

fn gossip_behaviour() -> Result<gossipsub::Behaviour, NetError> {
    let config = gossipsub::ConfigBuilder::default()
        .protocol_id(GOSSIP, gossipsub::Version::V1_1)
        .validation_mode(gossipsub::ValidationMode::Anonymous)
        .validate_messages()
        .message_id_fn(|message| gossipsub::MessageId::new(blake3::hash(&message.data).as_bytes()))
        .max_transmit_size(MAX_GOSSIP_BYTES + GOSSIP_OVERHEAD)
        .flood_publish(true)
        .heartbeat_initial_delay(Duration::from_secs(1))
        .heartbeat_interval(Duration::from_secs(1))
        .history_length(GOSSIP_HISTORY)
        .publish_queue_duration(GOSSIP_QUEUE)
        .forward_queue_duration(GOSSIP_QUEUE)
        .connection_handler_queue_len(GOSSIP_QUEUE_LENGTH)
        .build()
        .map_err(|error| NetError::Transport(error.to_string()))?;
    gossipsub::Behaviour::new(gossipsub::MessageAuthenticity::Anonymous, config)
        .map_err(|error| NetError::Transport(error.to_string()))
}
