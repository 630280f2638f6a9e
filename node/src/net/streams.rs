//! Raw streams of one protocol: open one to a connected peer, take the ones that peers open.
//!
//! 1. A stream is opened on the newest connection to the peer and **never dials**: who is dialled is
//!    decided elsewhere.
//! 2. Nothing is kept for a connection after it closed.
//! 3. An inbound stream travels through the swarm's own bounded channels to the event queue; there it
//!    is either handed over or refused and counted, never lost in between.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::task::{Context, Poll};
use std::time::Duration;

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::core::upgrade::ReadyUpgrade;
use libp2p::swarm::behaviour::{ConnectionClosed, ConnectionEstablished};
use libp2p::swarm::handler::{
    ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound,
};
use libp2p::swarm::{
    ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm,
    NetworkBehaviour, NotifyHandler, StreamUpgradeError, SubstreamProtocol, THandler,
    THandlerInEvent, THandlerOutEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId, Stream, StreamProtocol};
use tokio::sync::oneshot;

/// Why no stream could be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// There is no connection to the peer that carries this protocol.
    #[error("not connected to the peer")]
    NotConnected,
    /// The peer refuses the protocol: it does not take us for a member, or is no lanai node.
    #[error("the peer refuses this protocol")]
    Refused,
    /// The peer did not answer in time.
    #[error("the peer did not answer in time")]
    TimedOut,
    /// The connection broke while the stream was being opened.
    #[error("the connection broke: {0}")]
    Broken(String),
}

/// Where the outcome of an opening goes.
pub(super) type OpenReply = oneshot::Sender<Result<Stream, OpenError>>;

/// How long the two sides may take to agree on the protocol of a new stream.
const NEGOTIATION_TIMEOUT: Duration = Duration::from_secs(8);

/// Inbound streams of one connection that wait for the swarm; more are reset.
const MAX_WAITING_INBOUND: usize = 16;

/// A stream that a peer opened to us.
#[derive(Debug)]
pub(super) struct Inbound {
    pub(super) peer: PeerId,
    pub(super) connection: ConnectionId,
    pub(super) stream: Stream,
}

/// The behaviour for one stream protocol.
#[derive(Debug)]
pub(super) struct Streams {
    protocol: StreamProtocol,
    keep_alive: bool,
    /// Connections of each peer, oldest first.
    connections: HashMap<PeerId, Vec<ConnectionId>>,
    events: VecDeque<ToSwarm<Inbound, OpenReply>>,
}

impl Streams {
    /// `keep_alive`: connections that carry this protocol stay open even when nothing happens.
    pub(super) fn new(protocol: StreamProtocol, keep_alive: bool) -> Self {
        Self { protocol, keep_alive, connections: HashMap::new(), events: VecDeque::new() }
    }

    /// Opens a stream; the outcome goes to `reply`. A reply that is dropped unanswered means that
    /// the connection went away meanwhile.
    pub(super) fn open(&mut self, peer: PeerId, reply: OpenReply) {
        match self.connections.get(&peer).and_then(|list| list.last()) {
            Some(newest) => self.events.push_back(ToSwarm::NotifyHandler {
                peer_id: peer,
                handler: NotifyHandler::One(*newest),
                event: reply,
            }),
            None => {
                // The asker may have given up; then nobody needs the answer.
                let _ = reply.send(Err(OpenError::NotConnected));
            }
        }
    }

    fn handler(&self) -> Handler {
        Handler {
            protocol: self.protocol.clone(),
            keep_alive: self.keep_alive,
            open: VecDeque::new(),
            inbound: VecDeque::new(),
        }
    }
}

impl NetworkBehaviour for Streams {
    type ConnectionHandler = Handler;
    type ToSwarm = Inbound;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler())
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler())
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(ConnectionEstablished {
                peer_id,
                connection_id,
                ..
            }) => self.connections.entry(peer_id).or_default().push(connection_id),
            FromSwarm::ConnectionClosed(ConnectionClosed { peer_id, connection_id, .. }) => {
                if let Some(list) = self.connections.get_mut(&peer_id) {
                    list.retain(|id| *id != connection_id);
                    if list.is_empty() {
                        self.connections.remove(&peer_id);
                    }
                }
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        stream: THandlerOutEvent<Self>,
    ) {
        self.events.push_back(ToSwarm::GenerateEvent(Inbound { peer, connection, stream }));
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        self.events.pop_front().map_or(Poll::Pending, Poll::Ready)
    }
}

/// One connection's side of [`Streams`].
#[derive(Debug)]
pub(super) struct Handler {
    protocol: StreamProtocol,
    keep_alive: bool,
    open: VecDeque<OpenReply>,
    inbound: VecDeque<Stream>,
}

type Upgrade = ReadyUpgrade<StreamProtocol>;

impl ConnectionHandler for Handler {
    type FromBehaviour = OpenReply;
    type ToBehaviour = Stream;
    type InboundProtocol = Upgrade;
    type OutboundProtocol = Upgrade;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = OpenReply;

    fn listen_protocol(&self) -> SubstreamProtocol<Upgrade> {
        SubstreamProtocol::new(ReadyUpgrade::new(self.protocol.clone()), ())
            .with_timeout(NEGOTIATION_TIMEOUT)
    }

    fn connection_keep_alive(&self) -> bool {
        self.keep_alive
    }

    fn on_behaviour_event(&mut self, reply: OpenReply) {
        self.open.push_back(reply);
    }

    fn poll(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Upgrade, OpenReply, Stream>> {
        if let Some(stream) = self.inbound.pop_front() {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(stream));
        }
        match self.open.pop_front() {
            Some(reply) => Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest {
                protocol: SubstreamProtocol::new(ReadyUpgrade::new(self.protocol.clone()), reply)
                    .with_timeout(NEGOTIATION_TIMEOUT),
            }),
            None => Poll::Pending,
        }
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<'_, Upgrade, Upgrade, (), OpenReply>) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol: stream,
                ..
            }) => {
                if self.inbound.len() < MAX_WAITING_INBOUND {
                    self.inbound.push_back(stream);
                } else {
                    tracing::debug!(protocol = %self.protocol, "too many streams at once: one reset");
                }
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol: stream,
                info: reply,
            }) => {
                // A dropped receiver gave up waiting; dropping the stream resets it.
                let _ = reply.send(Ok(stream));
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info: reply, error }) => {
                let _ = reply.send(Err(open_error(error)));
            }
            _ => {}
        }
    }
}

fn open_error(error: StreamUpgradeError<Infallible>) -> OpenError {
    match error {
        StreamUpgradeError::Timeout => OpenError::TimedOut,
        StreamUpgradeError::Apply(never) => match never {},
        StreamUpgradeError::NegotiationFailed => OpenError::Refused,
        StreamUpgradeError::Io(error) => OpenError::Broken(error.kind().to_string()),
    }
}
