//! Dialling, and why it failed.

use std::collections::HashSet;
use std::time::Instant;

use libp2p::core::transport::TransportError;
use libp2p::swarm::ConnectionId;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::{Multiaddr, PeerId, swarm};
use tokio::sync::oneshot;

use super::super::address::{dialable, split_peer};
use super::super::{DialError, DialTarget, NetEvent, Purpose};
use super::{Dial, GATHERING, LONGEST_SETTLING, MAX_ERROR_TEXT, SETTLING, Task};

impl Task {
    pub(super) fn dial(
        &mut self,
        target: DialTarget,
        purpose: Purpose,
        reply: oneshot::Sender<Result<PeerId, DialError>>,
    ) {
        let (peer, options) = match self.dial_options(target, purpose) {
            Ok(ready) => ready,
            Err(done) => {
                let _ = reply.send(done);
                return;
            }
        };
        let id = options.connection_id();
        match self.swarm.dial(options) {
            Ok(()) => {
                self.dials.insert(id, Dial { peer, purpose, reply: Some(reply) });
            }
            Err(error) => {
                let _ = reply.send(Err(dial_error(&error)));
            }
        }
    }

    /// What to dial, or the answer if there is nothing to dial.
    fn dial_options(
        &mut self,
        target: DialTarget,
        purpose: Purpose,
    ) -> Result<(Option<PeerId>, DialOpts), Result<PeerId, DialError>> {
        match target {
            DialTarget::Address(address) => {
                let address = dialable(&address, None).ok_or(Err(DialError::NoAddress))?;
                Ok((None, DialOpts::unknown_peer_id().address(address).build()))
            }
            DialTarget::Peer { peer, .. } if peer == self.local_peer() => Err(Err(DialError::Own)),
            DialTarget::Peer { peer, addresses } => {
                let is_member = self.members.contains(&peer);
                if purpose == Purpose::Member && !is_member {
                    return Err(Err(DialError::NotAMember(peer)));
                }
                if self.has(&peer, true) || (purpose == Purpose::Join && self.has(&peer, false)) {
                    // The connection may be to where the peer was before, and not known to be dead yet.
                    if is_member {
                        self.book.remember(peer, &addresses, Instant::now());
                    }
                    return Err(Ok(peer));
                }
                let mut usable: Vec<Multiaddr> =
                    addresses.iter().filter_map(|a| dialable(a, Some(&peer))).collect();
                if addresses.is_empty() {
                    usable = self.book.addresses(&peer);
                }
                if usable.is_empty() {
                    return Err(Err(DialError::NoAddress));
                }
                Ok((Some(peer), peer_options(peer, usable)))
            }
        }
    }

    /// Dials whoever is due in a moment, so that what comes in a row is looked through once.
    pub(super) fn redial_soon(&mut self) {
        self.redial_at.get_or_insert_with(|| Instant::now() + GATHERING);
    }

    /// Somebody new was found.
    pub(super) fn note_find(&mut self, now: Instant) {
        let began = self.finding.map_or(now, |(began, _)| began);
        self.finding = Some((began, now));
    }

    /// When a row of finds that is still going on may be taken to be over.
    fn settles_at(&mut self, now: Instant) -> Option<Instant> {
        let (began, last) = self.finding?;
        let settled = (last + SETTLING).min(began + LONGEST_SETTLING);
        if now >= settled {
            self.finding = None;
            return None;
        }
        self.book.are_many().then_some(settled)
    }

    pub(super) fn redial(&mut self) {
        self.redial_at = None;
        let now = Instant::now();
        let connected: HashSet<PeerId> = self
            .connections
            .values()
            .filter(|c| c.member && !c.superseded)
            .map(|c| c.peer)
            .collect();
        // Whoever is alone does not wait for more.
        if !(connected.is_empty() && self.dials.is_empty())
            && let Some(settled) = self.settles_at(now)
        {
            self.redial_at = Some(settled);
            return;
        }
        let due = self.book.due(now, connected.is_empty(), |peer| connected.contains(peer));
        for (peer, addresses) in due {
            let options = peer_options(peer, addresses);
            let id = options.connection_id();
            match self.swarm.dial(options) {
                Ok(()) => {
                    let dial = Dial { peer: Some(peer), purpose: Purpose::Member, reply: None };
                    self.dials.insert(id, dial);
                }
                Err(error) => self.book.failed(&peer, error_text(&error), now),
            }
        }
    }

    pub(super) fn dial_failed(
        &mut self,
        id: ConnectionId,
        peer: Option<PeerId>,
        error: &swarm::DialError,
    ) {
        let Some(dial) = self.dials.remove(&id) else { return };
        let peer = peer.or(dial.peer);
        if let (Some(peer), swarm::DialError::WrongPeerId { address, .. }) = (peer, error) {
            self.book.disprove(&peer, address);
        }
        let reason = error_text(error);
        match dial.reply {
            Some(reply) => {
                let _ = reply.send(Err(dial_error(error)));
            }
            None => {
                if let Some(peer) = peer {
                    self.book.failed(&peer, reason.clone(), Instant::now());
                }
            }
        }
        self.emit(NetEvent::DialFailed { peer, reason });
    }
}

fn peer_options(peer: PeerId, addresses: Vec<Multiaddr>) -> DialOpts {
    // A stranger's connection may still be there while its peer has become a member.
    DialOpts::peer_id(peer).condition(PeerCondition::Always).addresses(addresses).build()
}

fn dial_error(error: &swarm::DialError) -> DialError {
    match error {
        swarm::DialError::LocalPeerId { .. } => DialError::Own,
        swarm::DialError::NoAddresses => DialError::NoAddress,
        other => DialError::Failed(error_text(other)),
    }
}

/// Why a dial failed, for people.
fn error_text(error: &swarm::DialError) -> String {
    match error {
        swarm::DialError::Transport(attempts) => {
            let mut told: Vec<String> = Vec::new();
            for (address, error) in attempts.iter().take(4) {
                let (address, _) = split_peer(address);
                told.push(format!("{address}: {}", transport_error(error)));
            }
            clean(&told.join("; "))
        }
        swarm::DialError::LocalPeerId { .. } => "the address is this node's own".into(),
        swarm::DialError::NoAddresses => "no usable address".into(),
        swarm::DialError::WrongPeerId { address, .. } => {
            clean(&format!("{}: another device answers there", split_peer(address).0))
        }
        swarm::DialError::Denied { .. } => "too many connections".into(),
        other => clean(&other.to_string()),
    }
}

/// The innermost cause, which is the one that says something.
pub(super) fn transport_error(error: &TransportError<std::io::Error>) -> String {
    match error {
        TransportError::MultiaddrNotSupported(_) => "this kind of address is not supported".into(),
        TransportError::Other(error) => {
            let mut cause: &dyn std::error::Error = error;
            while let Some(inner) = cause.source() {
                cause = inner;
            }
            clean(&cause.to_string())
        }
    }
}

/// Bounds a text and takes control characters out of it.
pub(super) fn clean(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MAX_ERROR_TEXT).collect()
}
