//! What members tell each other of where others are: the streams and the address book around the
//! [machine](crate::discovery::exchange).

use std::time::{Duration, Instant};

use futures::{AsyncReadExt as _, AsyncWriteExt as _};
use lanai_crdt::id::DeviceId;
use libp2p::{Multiaddr, PeerId};
use tokio::sync::oneshot;

use super::super::NetEvent;
use super::super::address::{address_of, device_key_of, endpoint_of, ip_of, peer_id_of};
use super::super::lan::{Found, Wishes};
use super::super::streams::Inbound;
use super::Task;
use crate::discovery::exchange::{self, Line, MAX_ADDRESSES, MAX_BYTES, MAX_LINES, OLDEST};

/// How long a list may take to come or go.
const PATIENCE: Duration = Duration::from_secs(10);

impl Task {
    /// Tells the task beside this one whom to look for and what to say.
    pub(super) fn wish(&self) {
        if let Some(lan) = &self.lan {
            let listening = self.swarm.listeners().cloned().collect();
            // It ends with this task only.
            let _gone = lan.wishes.send(Wishes { members: self.members.clone(), listening });
        }
    }

    /// Something was found on the local network.
    pub(super) fn found(&mut self, found: Found) {
        let now = Instant::now();
        match found {
            Found::Peer { peer, addresses } => {
                let mut is_new = false;
                for address in &addresses {
                    is_new |= self.book.discover(peer, address, now);
                }
                is_new |= self.book.announced(&peer, now);
                if is_new {
                    let addresses = self.book.addresses(&peer);
                    self.emit(NetEvent::Discovered { peer, addresses });
                    self.exchange.news(now);
                    self.note_find(now);
                }
                self.redial_soon();
            }
            Found::Woke => {
                self.book.network_changed(now);
                self.redial_soon();
            }
        }
    }

    /// Tells those whose turn it is.
    pub(super) fn tell_peers(&mut self, now: Instant) {
        for device in self.exchange.due(now) {
            let Ok(peer) = peer_id_of(device.as_bytes()) else { continue };
            let Some(listener) = self.address_of_connection(&peer).and_then(|a| ip_of(&a)) else {
                continue;
            };
            let mut lines: Vec<Line> = self
                .book
                .peers()
                .filter(|(other, _)| **other != peer && self.members.contains(other))
                .filter_map(|(other, entry)| {
                    let age = entry.heard(now).filter(|age| *age <= OLDEST)?;
                    let endpoints: Vec<_> = entry
                        .addresses()
                        .iter()
                        .filter(|a| ip_of(a).is_some_and(|ip| exchange::may_tell(ip, listener)))
                        .filter_map(endpoint_of)
                        .take(MAX_ADDRESSES)
                        .collect();
                    let device = DeviceId::new(device_key_of(other)?);
                    (!endpoints.is_empty()).then_some(Line { device, age, endpoints })
                })
                .collect();
            if lines.is_empty() {
                continue;
            }
            // Of more than one list holds: those first who were here last.
            lines.sort_by_key(|line| (line.age, line.device));
            lines.truncate(MAX_LINES);
            let bytes = exchange::encode(&lines);
            let (reply, opened) = oneshot::channel();
            self.swarm.behaviour_mut().peers_mut().open(peer, reply);
            self.counters.peer_lists_told += 1;
            tokio::spawn(tokio::time::timeout(PATIENCE, async move {
                // A list that does not get there is told again in a minute.
                if let Ok(Ok(mut stream)) = opened.await
                    && stream.write_all(&bytes).await.is_ok()
                {
                    let _lost = stream.close().await;
                }
            }));
        }
    }

    fn address_of_connection(&self, peer: &PeerId) -> Option<Multiaddr> {
        self.connections.values().find(|c| c.is_of(peer, true)).map(|c| c.address.clone())
    }

    /// A member wants to tell something.
    pub(super) fn peers_stream(&mut self, Inbound { peer, mut stream, .. }: Inbound) {
        let Some(device) = device_key_of(&peer).map(DeviceId::new) else { return };
        if !self.exchange.takes(&device, Instant::now()) {
            self.counters.peer_lists_refused += 1;
            return;
        }
        let told = self.told.clone();
        tokio::spawn(tokio::time::timeout(PATIENCE, async move {
            let mut bytes = Vec::new();
            let most = u64::try_from(MAX_BYTES).unwrap_or(0) + 1;
            if (&mut stream).take(most).read_to_end(&mut bytes).await.is_ok() {
                // A full queue means that there is enough to do; it comes again in a minute.
                let _full = told.try_send(bytes);
            }
        }));
    }

    /// A list came.
    pub(super) fn take_list(&mut self, bytes: &[u8]) {
        let now = Instant::now();
        let Ok(lines) = exchange::decode(bytes) else {
            self.counters.peer_lists_refused += 1;
            return;
        };
        self.counters.peer_lists_taken += 1;
        let mut some_new = false;
        for line in lines {
            let Ok(peer) = peer_id_of(line.device.as_bytes()) else { continue };
            let addresses: Vec<Multiaddr> =
                line.endpoints.iter().filter_map(|e| address_of(e, &peer)).collect();
            if !addresses.is_empty() && self.book.rumour(peer, &addresses, line.age, now) {
                some_new = true;
                let addresses = self.book.addresses(&peer);
                self.emit(NetEvent::Discovered { peer, addresses });
            }
        }
        if some_new {
            self.exchange.news(now);
            self.note_find(now);
            self.redial_soon();
        }
    }

    /// A member's connection came up or went.
    pub(super) fn note_for_exchange(&mut self, peer: &PeerId, is_up: bool) {
        let Some(device) = device_key_of(peer).map(DeviceId::new) else { return };
        match is_up {
            true => self.exchange.connected(device, Instant::now()),
            false => self.exchange.disconnected(&device),
        }
    }
}
