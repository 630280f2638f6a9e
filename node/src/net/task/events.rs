//! What the swarm reports.

use std::time::{Duration, Instant};

use libp2p::core::ConnectedPoint;
use libp2p::swarm::{ConnectionId, SwarmEvent};
use libp2p::{Multiaddr, PeerId, gossipsub, identify};

use super::super::address::{dialable, ip_of, split_peer};
use super::super::behaviour::{MemberBehaviourEvent, NodeBehaviourEvent};
use super::super::book::MAX_ADDRESSES;
use super::super::streams::Inbound;
use super::super::{Acceptance, DialError, GossipId, MAX_GOSSIP_BYTES, NetEvent, Purpose};
use super::dial::clean;
use super::{
    Connection, Dial, GOSSIP_PER_SECOND, JOINS_PER_CONNECTION, LISTEN_RETRY, Task, Traffic,
};

impl Task {
    pub(super) fn swarm_event(&mut self, event: SwarmEvent<NodeBehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(event) => self.behaviour_event(event),
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                self.established(peer_id, connection_id, &endpoint);
            }
            SwarmEvent::ConnectionClosed { connection_id, .. } => self.closed(connection_id),
            SwarmEvent::OutgoingConnectionError { connection_id, peer_id, error } => {
                self.dial_failed(connection_id, peer_id, &error);
            }
            SwarmEvent::IncomingConnectionError { .. } => self.counters.inbound_failures += 1,
            SwarmEvent::NewListenAddr { address, .. } => {
                self.book.network_changed(Instant::now());
                self.wish();
                self.emit(NetEvent::Listening(address));
            }
            SwarmEvent::ExpiredListenAddr { address, .. } => {
                self.book.network_changed(Instant::now());
                self.wish();
                self.emit(NetEvent::ListenExpired(address));
            }
            SwarmEvent::ListenerClosed { listener_id, addresses, reason } => {
                if let Some(listener) =
                    self.listeners.iter_mut().find(|l| l.id == Some(listener_id))
                {
                    listener.id = None;
                    listener.problem = reason.err().map(|error| clean(&error.to_string()));
                    listener.retry_at = Some(Instant::now() + LISTEN_RETRY);
                }
                for address in addresses {
                    self.emit(NetEvent::ListenExpired(address));
                }
                self.wish();
            }
            SwarmEvent::ListenerError { error, .. } => {
                tracing::debug!(%error, "a listener reports an error");
            }
            _ => {}
        }
    }

    fn established(&mut self, peer: PeerId, id: ConnectionId, endpoint: &ConnectedPoint) {
        let now = Instant::now();
        let member = self.swarm.behaviour().members.is_admitted(id);
        let (address, _) = split_peer(endpoint.get_remote_address());
        let outbound = endpoint.is_dialer();
        let dial = self.dials.remove(&id);
        if member {
            self.note_superseded(&peer);
        }
        let is_first = !self.has(&peer, member);
        let connection = Connection {
            peer,
            address: address.clone(),
            outbound,
            member,
            superseded: false,
            since: now,
            last_pong: now,
            round_trip: None,
            promoted: None,
            joins: 0,
            told: Vec::new(),
        };
        self.connections.insert(id, connection);
        if is_first {
            let address = address.clone();
            self.emit(NetEvent::Connected { peer, member, address, outbound });
        }
        if member {
            self.refusing_us.remove(&peer);
            self.book.connected(peer, outbound.then_some(&address), now);
            if is_first {
                self.note_for_exchange(&peer, true);
            }
        }
        let Some(Dial { purpose, reply, .. }) = dial else { return };
        if reply.is_none() {
            self.book.attempt_over(&peer);
        }
        let unwanted = purpose == Purpose::Member && !member;
        if unwanted {
            self.swarm.close_connection(id);
        }
        if let Some(reply) = reply {
            let _ = reply.send(if unwanted { Err(DialError::NotAMember(peer)) } else { Ok(peer) });
        }
    }

    /// Marks the connections that the gate has given up for a newer one, and says so if no other is
    /// left: the peer starts afresh.
    fn note_superseded(&mut self, peer: &PeerId) {
        let gate = &self.swarm.behaviour().members;
        let mut some = false;
        for (id, connection) in &mut self.connections {
            if connection.is_of(peer, true) && !gate.is_admitted(*id) {
                connection.superseded = true;
                some = true;
            }
        }
        if some && !self.has(peer, true) {
            self.emit(NetEvent::Disconnected { peer: *peer, member: true });
        }
    }

    fn closed(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.remove(&id) else { return };
        let Connection { peer, member, superseded, .. } = connection;
        if superseded || self.has(&peer, member) {
            return;
        }
        if member {
            self.traffic.remove(&peer);
            self.refusing_us.remove(&peer);
            self.book.disconnected(&peer, Instant::now());
            self.note_for_exchange(&peer, false);
        }
        self.emit(NetEvent::Disconnected { peer, member });
        self.redial_soon();
    }

    fn behaviour_event(&mut self, event: NodeBehaviourEvent) {
        match event {
            NodeBehaviourEvent::Ping(ping) => match ping.result {
                Ok(round_trip) => {
                    if let Some(connection) = self.connections.get_mut(&ping.connection) {
                        connection.last_pong = Instant::now();
                        connection.round_trip = Some(round_trip);
                    }
                }
                Err(_) => {
                    if self.swarm.close_connection(ping.connection) {
                        self.counters.dead_connections += 1;
                    }
                }
            },
            NodeBehaviourEvent::Join(inbound) => self.join_stream(inbound),
            NodeBehaviourEvent::Members(MemberBehaviourEvent::Sync(inbound)) => {
                self.emit(NetEvent::SyncStream { peer: inbound.peer, stream: inbound.stream });
            }
            NodeBehaviourEvent::Members(MemberBehaviourEvent::Peers(inbound)) => {
                self.peers_stream(inbound);
            }
            NodeBehaviourEvent::Members(MemberBehaviourEvent::File(inbound)) => {
                self.emit(NetEvent::FileStream { peer: inbound.peer, stream: inbound.stream });
            }
            NodeBehaviourEvent::Members(MemberBehaviourEvent::Gossip(event)) => {
                self.gossip_event(event);
            }
            NodeBehaviourEvent::Members(MemberBehaviourEvent::Identify(
                identify::Event::Received { connection_id, peer_id, info },
            )) => self.identified(connection_id, peer_id, &info.listen_addrs),
            NodeBehaviourEvent::Members(MemberBehaviourEvent::Identify(_))
            | NodeBehaviourEvent::Strangers(_) => {}
            NodeBehaviourEvent::Limits(never) => match never {},
        }
    }

    fn join_stream(&mut self, Inbound { peer, connection, stream }: Inbound) {
        let Some(state) = self.connections.get_mut(&connection) else { return };
        state.joins = state.joins.saturating_add(1);
        if !state.member && state.joins > JOINS_PER_CONNECTION {
            self.counters.streams_refused += 1;
            self.swarm.close_connection(connection);
            return;
        }
        self.emit(NetEvent::JoinStream { peer, stream });
    }

    /// A member says where it listens. Loopback addresses count only if it is on this machine.
    fn identified(&mut self, id: ConnectionId, peer: PeerId, listening: &[Multiaddr]) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let is_loopback = |address: &Multiaddr| ip_of(address).is_some_and(|ip| ip.is_loopback());
        let is_local = is_loopback(&connection.address);
        let proven = connection.outbound.then(|| connection.address.clone());
        let mut addresses: Vec<Multiaddr> = listening
            .iter()
            .filter_map(|address| dialable(address, Some(&peer)))
            .filter(|address| is_local || !is_loopback(address))
            .take(MAX_ADDRESSES)
            .collect();
        if let Some(proven) = proven {
            addresses.retain(|address| *address != proven);
            addresses.insert(0, proven);
            addresses.truncate(MAX_ADDRESSES);
        }
        if !addresses.is_empty() && addresses != connection.told {
            let is_first = connection.told.is_empty();
            connection.told.clone_from(&addresses);
            self.book.remember(peer, &addresses, Instant::now());
            // Where somebody is who announces it is no news to others on this network.
            if !(is_first && self.book.is_announced(&peer)) {
                self.exchange.news(Instant::now());
            }
            self.emit(NetEvent::Addresses { peer, addresses });
        }
    }

    fn gossip_event(&mut self, event: gossipsub::Event) {
        match event {
            gossipsub::Event::Message { propagation_source, message_id, message } => {
                self.gossip_message(propagation_source, &message_id, message);
            }
            gossipsub::Event::GossipsubNotSupported { peer_id }
                if self.refusing_us.insert(peer_id) =>
            {
                self.emit(NetEvent::NotAdmitted { peer: peer_id });
            }
            _ => {}
        }
    }

    fn gossip_message(
        &mut self,
        source: PeerId,
        id: &gossipsub::MessageId,
        message: gossipsub::Message,
    ) {
        let now = Instant::now();
        // The id function is ours and makes 32 bytes.
        let Ok(id) = <[u8; 32]>::try_from(id.0.as_slice()) else { return };
        let id = GossipId(id);
        self.counters.gossip_received += 1;
        let traffic = self.traffic.entry(source).or_insert(Traffic {
            messages: 0,
            bytes: 0,
            window: now,
            in_window: 0,
        });
        if now.saturating_duration_since(traffic.window) >= Duration::from_secs(1) {
            traffic.window = now;
            traffic.in_window = 0;
        }
        traffic.messages += 1;
        traffic.bytes += message.data.len() as u64;
        traffic.in_window = traffic.in_window.saturating_add(1);
        let too_many = traffic.in_window > GOSSIP_PER_SECOND;
        if too_many || message.data.len() > MAX_GOSSIP_BYTES {
            self.counters.gossip_over_limit += 1;
            self.report(id, source, Acceptance::Ignore);
            return;
        }
        self.emit(NetEvent::Gossip {
            message_id: id,
            source,
            topic: message.topic.into_string(),
            data: message.data,
        });
    }
}
