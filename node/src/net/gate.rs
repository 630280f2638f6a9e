//! The gate: which protocols a connection carries depends on who is at its other end.
//!
//! [`Gate`] wraps a behaviour and decides **once per connection, when it is established**: if the peer
//! is on the gate's [`Side`], the connection gets the wrapped behaviour's handler, else a handler that
//! offers nothing. What the wrapped behaviour sees is a network that consists of admitted connections
//! only.
//!
//! 1. A handler is fixed for the life of a connection. When membership changes, connections are closed
//!    and made again; the gate never converts one.
//! 2. Everything is tracked by connection, never by peer: a new connection may be up before the old one
//!    is reported closed.
//! 3. Events about connections that the gate did not admit never reach the wrapped behaviour, and the
//!    counts of "other connections to this peer" are the gate's own.
//! 4. Events of the wrapped behaviour go to admitted connections only: "any connection" becomes the
//!    newest admitted one. An event for another connection is dropped (the handler there could not
//!    take it).
//! 5. The wrapped behaviour cannot dial.
//! 6. **Superseding.** Peers dial only when they believe that they are not connected. So a new
//!    connection while older ones exist (older than [`SUPERSEDE_AFTER`]; younger ones come from both
//!    sides dialling at once) means that the peer lost the old ones, often by a restart that this side
//!    has not noticed yet. Gossipsub says which topics it follows on a peer's first connection only, so
//!    the restarted peer would never hear it. The gate reports the old connections closed, closes them,
//!    and the new one is a first connection again. The peer applies the same rule, so both start afresh.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use either::Either;
use libp2p::core::transport::PortUse;
use libp2p::core::{ConnectedPoint, Endpoint};
use libp2p::swarm::behaviour::{AddressChange, ConnectionClosed, ConnectionEstablished};
use libp2p::swarm::{
    CloseConnection, ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, NotifyHandler,
    THandler, THandlerInEvent, THandlerOutEvent, ToSwarm, dummy,
};
use libp2p::{Multiaddr, PeerId};

/// Connections younger than this are kept beside a new one to the same peer.
pub(super) const SUPERSEDE_AFTER: Duration = Duration::from_secs(2);

/// The most connections one peer may have through a gate.
pub(super) const MAX_CONNECTIONS_PER_PEER: usize = 8;

/// Whom a gate lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// Peers in the members set.
    Members,
    /// Everybody else.
    Strangers,
}

/// A peer has more connections than one peer needs.
#[derive(Debug, thiserror::Error)]
#[error("more than {MAX_CONNECTIONS_PER_PEER} connections to one peer")]
struct TooManyConnections;

#[derive(Debug)]
struct Admitted {
    peer: PeerId,
    endpoint: ConnectedPoint,
    since: Instant,
}

/// A behaviour that only some peers' connections reach. See the [module](self).
#[derive(Debug)]
pub(super) struct Gate<B> {
    inner: B,
    side: Side,
    members: Arc<HashSet<PeerId>>,
    admitted: HashMap<ConnectionId, Admitted>,
    /// Admitted and established connections of each peer, oldest first.
    by_peer: HashMap<PeerId, Vec<ConnectionId>>,
    closing: VecDeque<(PeerId, ConnectionId)>,
}

impl<B: NetworkBehaviour> Gate<B> {
    pub(super) fn new(inner: B, side: Side) -> Self {
        Self {
            inner,
            side,
            members: Arc::default(),
            admitted: HashMap::new(),
            by_peer: HashMap::new(),
            closing: VecDeque::new(),
        }
    }

    pub(super) fn inner(&self) -> &B {
        &self.inner
    }

    pub(super) fn inner_mut(&mut self) -> &mut B {
        &mut self.inner
    }

    /// Applies to connections from now on; those that exist stay as they are until closed.
    pub(super) fn set_members(&mut self, members: Arc<HashSet<PeerId>>) {
        self.members = members;
    }

    /// Whether the wrapped behaviour knows this connection.
    pub(super) fn is_admitted(&self, connection: ConnectionId) -> bool {
        self.admitted.contains_key(&connection)
    }

    fn lets_in(&self, peer: &PeerId) -> bool {
        self.members.contains(peer) == (self.side == Side::Members)
    }

    /// Rule 6, and the bound on connections per peer.
    fn make_room(&mut self, peer: PeerId) -> Result<(), ConnectionDenied> {
        let connections = self.by_peer.get(&peer).cloned().unwrap_or_default();
        let mut left = connections.len();
        for id in connections {
            let is_old =
                self.admitted.get(&id).is_some_and(|c| c.since.elapsed() >= SUPERSEDE_AFTER);
            if is_old && let Some((admitted, remaining)) = self.forget(id) {
                left = remaining;
                self.inner.on_swarm_event(FromSwarm::ConnectionClosed(ConnectionClosed {
                    peer_id: peer,
                    connection_id: id,
                    endpoint: &admitted.endpoint,
                    cause: None,
                    remaining_established: remaining,
                }));
                self.closing.push_back((peer, id));
            }
        }
        if left < MAX_CONNECTIONS_PER_PEER {
            Ok(())
        } else {
            Err(ConnectionDenied::new(TooManyConnections))
        }
    }

    /// Removes a connection; returns it with how many others its peer has left.
    fn forget(&mut self, id: ConnectionId) -> Option<(Admitted, usize)> {
        let admitted = self.admitted.remove(&id)?;
        let remaining = match self.by_peer.get_mut(&admitted.peer) {
            Some(list) => {
                list.retain(|other| *other != id);
                list.len()
            }
            None => 0,
        };
        if remaining == 0 {
            self.by_peer.remove(&admitted.peer);
        }
        Some((admitted, remaining))
    }

    fn record(&mut self, id: ConnectionId, peer: PeerId, endpoint: ConnectedPoint) {
        self.admitted.insert(id, Admitted { peer, endpoint, since: Instant::now() });
    }
}

impl<B: NetworkBehaviour> NetworkBehaviour for Gate<B> {
    type ConnectionHandler = Either<THandler<B>, dummy::ConnectionHandler>;
    type ToSwarm = B::ToSwarm;

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        if !self.lets_in(&peer) {
            return Ok(Either::Right(dummy::ConnectionHandler));
        }
        self.make_room(peer)?;
        let handler = self.inner.handle_established_inbound_connection(id, peer, local, remote)?;
        let endpoint =
            ConnectedPoint::Listener { local_addr: local.clone(), send_back_addr: remote.clone() };
        self.record(id, peer, endpoint);
        Ok(Either::Left(handler))
    }

    fn handle_established_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role_override: Endpoint,
        port_use: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        if !self.lets_in(&peer) {
            return Ok(Either::Right(dummy::ConnectionHandler));
        }
        self.make_room(peer)?;
        let handler = self.inner.handle_established_outbound_connection(
            id,
            peer,
            address,
            role_override,
            port_use,
        )?;
        let endpoint = ConnectedPoint::Dialer { address: address.clone(), role_override, port_use };
        self.record(id, peer, endpoint);
        Ok(Either::Left(handler))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(event) => {
                if self.is_admitted(event.connection_id) {
                    let list = self.by_peer.entry(event.peer_id).or_default();
                    let other_established = list.len();
                    list.push(event.connection_id);
                    self.inner.on_swarm_event(FromSwarm::ConnectionEstablished(
                        ConnectionEstablished { other_established, ..event },
                    ));
                }
            }
            FromSwarm::ConnectionClosed(event) => {
                if let Some((_, remaining_established)) = self.forget(event.connection_id) {
                    self.inner.on_swarm_event(FromSwarm::ConnectionClosed(ConnectionClosed {
                        remaining_established,
                        ..event
                    }));
                }
            }
            FromSwarm::AddressChange(event @ AddressChange { connection_id, new, .. }) => {
                if let Some(admitted) = self.admitted.get_mut(&connection_id) {
                    admitted.endpoint = new.clone();
                    self.inner.on_swarm_event(FromSwarm::AddressChange(event));
                }
            }
            // These end a connection that never came to be.
            FromSwarm::DialFailure(event) => {
                self.forget(event.connection_id);
            }
            FromSwarm::ListenFailure(event) => {
                self.forget(event.connection_id);
            }
            about_this_node => self.inner.on_swarm_event(about_this_node),
        }
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        id: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {
            Either::Left(event) => {
                if self.is_admitted(id) {
                    self.inner.on_connection_handler_event(peer, id, event);
                }
            }
            Either::Right(never) => match never {},
        }
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        if let Some((peer_id, id)) = self.closing.pop_front() {
            return Poll::Ready(ToSwarm::CloseConnection {
                peer_id,
                connection: CloseConnection::One(id),
            });
        }
        loop {
            match ready!(self.inner.poll(cx)) {
                ToSwarm::Dial { .. } => {}
                ToSwarm::NotifyHandler { peer_id, handler, event } => {
                    let target = match handler {
                        NotifyHandler::One(id) => Some(id).filter(|id| self.is_admitted(*id)),
                        NotifyHandler::Any => {
                            self.by_peer.get(&peer_id).and_then(|list| list.last()).copied()
                        }
                    };
                    if let Some(id) = target {
                        return Poll::Ready(ToSwarm::NotifyHandler {
                            peer_id,
                            handler: NotifyHandler::One(id),
                            event: Either::Left(event),
                        });
                    }
                }
                other => return Poll::Ready(other.map_in(Either::Left)),
            }
        }
    }
}
