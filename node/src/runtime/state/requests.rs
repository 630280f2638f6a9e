//! What the control socket asks of a running node.

use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::{Node, RuntimeError, SyncWaiter, device_of, today};
use crate::control::{AbsentPeer, NodeStatus, PeerStatus, Reply, Request, SyncOutcome};
use crate::net::{DialTarget, Multiaddr, Purpose, peer_id_of};

/// The longest that one waits.
const LONGEST_WAIT: Duration = Duration::from_secs(60 * 60);
/// Requests for a sync that wait at the same time.
const MAX_WAITERS: usize = 64;

impl Node {
    pub(super) async fn on_request(
        &mut self,
        request: Request,
        reply: oneshot::Sender<Reply>,
    ) -> Result<(), RuntimeError> {
        let answer = match request {
            Request::Status => Reply::Status(self.status().await?),
            Request::Wake => {
                self.files.note();
                self.on_own_write().await?;
                Reply::Done
            }
            Request::Dial { address } => match address.parse::<Multiaddr>() {
                Ok(address) => {
                    let net = self.net.clone();
                    tokio::spawn(async move {
                        let target = DialTarget::Address(address);
                        let answer = match net.dial(target, Purpose::Member).await {
                            Ok(_) => Reply::Done,
                            Err(e) => Reply::Error { message: e.to_string() },
                        };
                        // The asker may have lost patience.
                        let _gone = reply.send(answer);
                    });
                    return Ok(());
                }
                Err(e) => Reply::Error { message: format!("not an address: {e}") },
            },
            Request::Sync { wait_ms } => {
                self.on_own_write().await?;
                let now = Instant::now();
                self.waiters.retain(|w| !w.reply.is_closed());
                if self.waiters.len() >= MAX_WAITERS {
                    let message = "too many wait for a sync already".to_owned();
                    let _gone = reply.send(Reply::Error { message });
                    return Ok(());
                }
                self.peers.sync_all_soon(now);
                self.waiters.push(SyncWaiter {
                    reply,
                    until: now + Duration::from_millis(wait_ms).min(LONGEST_WAIT),
                    received_before: self.counter("entries received"),
                    sent_before: self.counter("entries sent"),
                });
                return Ok(());
            }
            Request::FileGet { file } => self.files.get(&file).await?,
            Request::FileProgress { file } => self.files.progress(&file).await?,
            Request::FileStop { file } => self.files.stop(&file).await?,
            Request::Key => Reply::Key { key: self.wrap.clone() },
            // The socket itself answers who listens.
            Request::Stop | Request::Events => Reply::Done,
        };
        // The asker may have gone away.
        let _gone = reply.send(answer);
        Ok(())
    }

    fn counter(&self, what: &str) -> u64 {
        self.counters.get(what).copied().unwrap_or(0)
    }

    pub(super) fn answer_waiters(&mut self, now: Instant) {
        let devices = self.peers.devices();
        let (mut waiting, waiters) = (Vec::new(), std::mem::take(&mut self.waiters));
        for waiter in waiters {
            let confirmed = devices
                .iter()
                .filter_map(|d| self.peers.get(d))
                // Asking made all of them out of sync until a session that began later.
                .filter(|p| p.in_sync)
                .count();
            let all = !devices.is_empty() && confirmed == devices.len();
            if !all && now < waiter.until {
                waiting.push(waiter);
                continue;
            }
            let errors = devices
                .iter()
                .filter_map(|d| Some((d, self.peers.get(d)?.last_error.as_ref()?)))
                .map(|(d, e)| format!("{d}: {e}"))
                .collect();
            let outcome = SyncOutcome {
                asked: devices.len(),
                confirmed,
                received: self.counter("entries received") - waiter.received_before,
                sent: self.counter("entries sent") - waiter.sent_before,
                errors,
            };
            // The asker may have gone away.
            let _gone = waiter.reply.send(Reply::Synced(outcome));
        }
        self.waiters = waiting;
    }

    async fn status(&mut self) -> Result<NodeStatus, RuntimeError> {
        let net = self.net.status().await?;
        let own = net.peer;
        let mut peers = Vec::new();
        for device in self.peers.devices() {
            let (Some(peer), Ok(id)) = (self.peers.get(&device), peer_id_of(device.as_bytes()))
            else {
                continue;
            };
            let connection = net.connections.iter().find(|c| c.peer == id && c.member);
            peers.push(PeerStatus {
                device: device.full(),
                address: connection.map(|c| c.address.to_string()).unwrap_or_default(),
                transport: connection
                    .and_then(|c| c.transport)
                    .map(|t| t.to_string())
                    .unwrap_or_default(),
                connected_s: connection.map_or(0, |c| c.age.as_secs()),
                rtt_ms: connection.and_then(|c| c.round_trip).map(|d| d.as_secs_f64() * 1000.0),
                last_sync_s: peer.last_sync.map(|t| t.elapsed().as_secs()),
                in_sync: peer.in_sync,
                last_error: peer.last_error.clone(),
                profile: self.links.profile(&device),
                left_today: self.links.left(&device, today()),
            });
        }
        let absent = net
            .peers
            .iter()
            .filter(|p| p.member && !p.connected && p.peer != own)
            .filter_map(|p| {
                Some(AbsentPeer {
                    device: device_of(&p.peer)?.full(),
                    addresses: p.addresses.iter().map(ToString::to_string).collect(),
                    last_error: p.last_error.clone(),
                    heard_s: p.heard.map(|d| d.as_secs()),
                })
            })
            .collect();
        Ok(NodeStatus {
            pid: std::process::id(),
            uptime_s: self.started.elapsed().as_secs(),
            listening: net.listening.iter().map(|a| format!("{a}/p2p/{own}")).collect(),
            mdns: self.mdns,
            mdns_problem: net.lan.mdns_problem,
            beacon: self.beacon,
            beacon_problem: net.lan.beacon_problem,
            peers,
            absent,
            strangers: net.lan.strangers,
            counters: self.counters.iter().map(|(k, v)| ((*k).to_owned(), *v)).collect(),
        })
    }
}
