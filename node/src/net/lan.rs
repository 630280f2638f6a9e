//! The task that speaks on the local network: sockets, interfaces and the clock for the machines of
//! [`crate::discovery`].
//!
//! It runs beside the swarm's task and says little to it, through a bounded queue: where a member's
//! device is. So whatever others send on these ports costs a share of one thread and never holds up the
//! exchange among members.
//!
//! - mDNS: one socket on port 5353 beside other programs', joined to the group on every interface.
//! - Beacons: one socket on [`beacon::PORT`], shared by all nodes of a machine, hears them; another one, on a
//!   port of its own, sends them and gets the answers, which are for this node alone.
//! - An address that comes or goes is told by the system, and the machines begin anew there. When time has
//!   jumped (sleep, a stopped process, a clock that was set) they begin anew everywhere.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures::{FutureExt as _, StreamExt as _};
use if_watch::tokio::IfWatcher;
use if_watch::{IfEvent, IpNet, Ipv4Net};
use lanai_crdt::entry::DeviceSecret;
use lanai_crdt::id::DeviceId;
use libp2p::{Multiaddr, PeerId};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, watch};

use super::NetConfig;
use super::address::{address_of, device_key_of, endpoint_of, peer_id_of};
use crate::discovery::announcer::{self, Announcer, Target};
use crate::discovery::mdns::{self, Mdns};
use crate::discovery::{Endpoint, beacon, dns};
use crate::random::random_bytes;

/// Finds that wait for the network's task; more are dropped, and come again.
const FOUND_QUEUE: usize = 512;
/// How often the clocks are compared.
const CLOCK_LOOK: Duration = Duration::from_secs(2);
/// By how much a clock may be off from one look to the next before time has jumped.
const JUMP: Duration = Duration::from_secs(6);
/// Before a socket that could not be opened, or that cannot send, is tried again.
const RETRY: Duration = Duration::from_secs(5);
/// Room that the system is asked for in each socket, in bytes.
const SOCKET_ROOM: usize = 1 << 20;

/// What the network's task tells this one.
#[derive(Debug, Clone, Default)]
pub(super) struct Wishes {
    pub(super) members: Arc<HashSet<PeerId>>,
    pub(super) listening: Vec<Multiaddr>,
}

/// What it is told.
#[derive(Debug)]
pub(super) enum Found {
    /// A device says where it listens.
    Peer { peer: PeerId, addresses: Vec<Multiaddr> },
    /// Time has jumped: connections may be dead, and peers may be back.
    Woke,
}

/// How looking on the local network goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LanStatus {
    /// Whether beacons are sent and heard.
    pub beacon: bool,
    /// Why they are not, though they should be.
    pub beacon_problem: Option<String>,
    /// Whether mDNS is spoken.
    pub mdns: bool,
    /// Why it is not, though it should be.
    pub mdns_problem: Option<String>,
    /// Devices of no member that announce themselves by mDNS.
    pub strangers: usize,
    /// What mDNS did.
    pub mdns_counts: mdns::Counts,
    /// What beacons did.
    pub beacon_counts: announcer::Counts,
}

/// The other end of the task.
#[derive(Debug)]
pub(super) struct Lan {
    pub(super) wishes: watch::Sender<Wishes>,
    status: Arc<Mutex<LanStatus>>,
}

impl Lan {
    /// Starts the task if anything is wanted of it.
    pub(super) fn start(config: &NetConfig, me: PeerId) -> Option<(Lan, mpsc::Receiver<Found>)> {
        if !config.mdns && config.beacon.is_none() {
            return None;
        }
        let (wishes, wished) = watch::channel(Wishes::default());
        let (found, finds) = mpsc::channel(FOUND_QUEUE);
        let status = Arc::new(Mutex::new(LanStatus::default()));
        let seed = u64::from_be_bytes(random_bytes());
        let secret = DeviceSecret::from_bytes(&config.secret);
        let task = Task {
            everybody: config.find_everybody,
            members: None,
            mdns: config.mdns.then(|| Mdns::new(me.to_string(), seed)),
            announcer: config
                .beacon
                .map(|community| Announcer::new(secret.device(), community, unix_ms(), seed)),
            secret,
            group: None,
            hear: None,
            speak: None,
            networks: HashMap::new(),
            retry_at: Some(Instant::now()),
            status: Arc::clone(&status),
            found,
        };
        tokio::spawn(task.run(wished));
        Some((Lan { wishes, status }, finds))
    }

    /// How it goes.
    pub(super) fn status(&self) -> LanStatus {
        self.status.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

struct Task {
    everybody: bool,
    /// Whom the machines know of; making it into what they look for takes a while for thousands.
    members: Option<Arc<HashSet<PeerId>>>,
    secret: DeviceSecret,
    mdns: Option<Mdns>,
    announcer: Option<Announcer>,
    group: Option<UdpSocket>,
    hear: Option<UdpSocket>,
    speak: Option<UdpSocket>,
    networks: HashMap<Ipv4Addr, Ipv4Net>,
    /// When sockets are opened again, or sending is tried again.
    retry_at: Option<Instant>,
    status: Arc<Mutex<LanStatus>>,
    found: mpsc::Sender<Found>,
}

/// Where a datagram came in.
enum Came {
    Mdns,
    Beacon,
}

impl Task {
    async fn run(mut self, mut wishes: watch::Receiver<Wishes>) {
        let mut watcher = match IfWatcher::new() {
            Ok(watcher) => watcher,
            Err(error) => {
                let problem = format!("interfaces cannot be watched: {error}");
                self.tell(|status| {
                    status.mdns_problem = Some(problem.clone());
                    status.beacon_problem = Some(problem);
                });
                return;
            }
        };
        let mut clocks = tokio::time::interval(CLOCK_LOOK);
        clocks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut last = (Instant::now(), SystemTime::now());
        let mut group_bytes = vec![0; dns::MAX_PACKET + 1];
        let mut heard_bytes = vec![0; beacon::DATAGRAM + 1];
        let mut answer_bytes = vec![0; beacon::DATAGRAM + 1];
        self.take_wishes(&wishes.borrow_and_update().clone());
        loop {
            let due = self.next_due();
            let (came, read) = tokio::select! {
                event = watcher.select_next_some() => {
                    match event {
                        Ok(event) => self.interface(&event),
                        Err(error) => tracing::debug!(%error, "watching interfaces"),
                    }
                    continue;
                }
                changed = wishes.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let wished = wishes.borrow_and_update().clone();
                    self.take_wishes(&wished);
                    continue;
                }
                read = receive(self.group.as_ref(), &mut group_bytes) => (Came::Mdns, read),
                read = receive(self.hear.as_ref(), &mut heard_bytes) => (Came::Beacon, read.map(|r| (r.0, r.1))),
                read = receive(self.speak.as_ref(), &mut answer_bytes) => {
                    // Answers come here; they are kept apart from what all hear by their buffer.
                    match read {
                        Ok((len, from)) => self.datagram(answer_bytes.get(..len).unwrap_or_default(), from),
                        Err(error) => self.failed_to_read(&error).await,
                    }
                    continue;
                }
                () = sleep_until(due) => {
                    self.tick();
                    continue;
                }
                _ = clocks.tick() => {
                    let now = (Instant::now(), SystemTime::now());
                    let steady = now.0.saturating_duration_since(last.0);
                    let wall = now.1.duration_since(last.1).unwrap_or_else(|back| JUMP + back.duration());
                    last = now;
                    if steady > CLOCK_LOOK + JUMP || wall.abs_diff(steady) > JUMP {
                        self.woke();
                    }
                    self.tell_counts();
                    continue;
                }
            };
            match (came, read) {
                (Came::Mdns, Ok((len, from))) => {
                    let bytes = group_bytes.get(..len).unwrap_or_default();
                    if let Some(mdns) = &mut self.mdns {
                        let out = mdns.handle(mdns::Input::Packet { from, bytes }, Instant::now());
                        self.do_mdns(out);
                    }
                }
                (Came::Beacon, Ok((len, from))) => {
                    self.datagram(heard_bytes.get(..len).unwrap_or_default(), from);
                }
                (_, Err(error)) => self.failed_to_read(&error).await,
            }
        }
    }

    /// Errors of a datagram socket are about one datagram (an unreachable port); if not, looking at it
    /// again at once would turn in circles.
    async fn failed_to_read(&mut self, error: &io::Error) {
        tracing::debug!(%error, "reading from the local network");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    fn tell(&self, change: impl FnOnce(&mut LanStatus)) {
        change(&mut self.status.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    }

    fn tell_counts(&self) {
        self.tell(|status| {
            if let Some(mdns) = &self.mdns {
                status.strangers = mdns.strangers();
                status.mdns_counts = mdns.counts();
            }
            if let Some(announcer) = &self.announcer {
                status.beacon_counts = announcer.counts();
            }
        });
    }

    fn next_due(&self) -> Option<Instant> {
        let mdns = self.mdns.as_ref().filter(|_| self.group.is_some()).and_then(Mdns::next_due);
        let beacon =
            self.announcer.as_ref().filter(|_| self.speak.is_some()).and_then(Announcer::next_due);
        [mdns, beacon, self.retry_at].into_iter().flatten().min()
    }

    // ---- what comes in ----------------------------------------------------------------------

    fn take_wishes(&mut self, wishes: &Wishes) {
        let now = Instant::now();
        let endpoints: Vec<Endpoint> = wishes.listening.iter().filter_map(endpoint_of).collect();
        let same_members = self.members.as_ref().is_some_and(|m| Arc::ptr_eq(m, &wishes.members));
        self.members = Some(Arc::clone(&wishes.members));
        if let Some(mdns) = &mut self.mdns {
            let mut out = mdns.handle(mdns::Input::Endpoints(endpoints.clone()), now);
            if !same_members {
                let interest = match self.everybody {
                    true => mdns::Interest::Anybody,
                    false => mdns::Interest::Peers(Arc::new(
                        wishes.members.iter().map(PeerId::to_string).collect(),
                    )),
                };
                out.extend(mdns.handle(mdns::Input::Interest(interest), now));
            }
            self.do_mdns(out);
        }
        if let Some(announcer) = &mut self.announcer {
            let unix_s = unix_ms() / 1000;
            let mut out = announcer.handle(announcer::Input::Endpoints(endpoints), now, unix_s);
            if !same_members {
                let devices = wishes.members.iter().filter_map(device_key_of).map(DeviceId::new);
                let interest = match self.everybody {
                    true => announcer::Interest::Anybody,
                    false => announcer::Interest::Members(Arc::new(devices.collect())),
                };
                out.extend(announcer.handle(announcer::Input::Interest(interest), now, unix_s));
            }
            self.do_beacon(out);
        }
    }

    fn interface(&mut self, event: &IfEvent) {
        match event {
            IfEvent::Up(IpNet::V4(net)) if !net.addr().is_loopback() => {
                self.networks.insert(net.addr(), *net);
                self.join_group(net.addr());
                self.about_interface(net.addr(), true);
            }
            IfEvent::Down(IpNet::V4(net)) if self.networks.remove(&net.addr()).is_some() => {
                if let Some(group) = &self.group {
                    // It has gone with its address most often.
                    let _gone = group.leave_multicast_v4(mdns::GROUP, net.addr());
                }
                self.about_interface(net.addr(), false);
            }
            IfEvent::Up(_) | IfEvent::Down(_) => {}
        }
    }

    fn about_interface(&mut self, ip: Ipv4Addr, is_up: bool) {
        let now = Instant::now();
        if let Some(mdns) = &mut self.mdns {
            let input = if is_up { mdns::Input::Up(ip) } else { mdns::Input::Down(ip) };
            let out = mdns.handle(input, now);
            self.do_mdns(out);
        }
        if let Some(announcer) = &mut self.announcer {
            let input = if is_up { announcer::Input::Up(ip) } else { announcer::Input::Down(ip) };
            let out = announcer.handle(input, now, unix_ms() / 1000);
            self.do_beacon(out);
        }
    }

    fn datagram(&mut self, bytes: &[u8], from: SocketAddr) {
        if let Some(announcer) = &mut self.announcer {
            let input = announcer::Input::Datagram { from, bytes };
            let out = announcer.handle(input, Instant::now(), unix_ms() / 1000);
            self.do_beacon(out);
        }
    }

    fn woke(&mut self) {
        tracing::info!("time has jumped: looking for everybody anew");
        // If the queue is full the network's task has its hands full of news anyway.
        let _full = self.found.try_send(Found::Woke);
        self.begin_anew();
    }

    fn begin_anew(&mut self) {
        let now = Instant::now();
        if let Some(mdns) = &mut self.mdns {
            let out = mdns.handle(mdns::Input::Woke, now);
            self.do_mdns(out);
        }
        if let Some(announcer) = &mut self.announcer {
            let out = announcer.handle(announcer::Input::Woke, now, unix_ms() / 1000);
            self.do_beacon(out);
        }
    }

    fn tick(&mut self) {
        let now = Instant::now();
        if self.retry_at.is_some_and(|at| at <= now) {
            self.retry_at = None;
            let had = self.group.is_some() && self.speak.is_some();
            self.open();
            if had {
                self.begin_anew();
            }
        }
        if let Some(mdns) = self.mdns.as_mut().filter(|_| self.group.is_some()) {
            let out = mdns.handle(mdns::Input::Tick, now);
            self.do_mdns(out);
        }
        if let Some(announcer) = self.announcer.as_mut().filter(|_| self.speak.is_some()) {
            let out = announcer.handle(announcer::Input::Tick, now, unix_ms() / 1000);
            self.do_beacon(out);
        }
    }

    // ---- sockets ----------------------------------------------------------------------------

    /// Opens what is wanted and not open.
    fn open(&mut self) {
        if self.mdns.is_some() && self.group.is_none() {
            let opened = shared_socket(mdns::PORT).and_then(|group| {
                group.set_multicast_loop_v4(true)?;
                group.set_multicast_ttl_v4(255)?;
                Ok(group)
            });
            let problem = opened.as_ref().err().map(ToString::to_string);
            self.group = opened.ok();
            self.retry_at = self.retry_at.or(problem.as_ref().map(|_| Instant::now() + RETRY));
            self.tell(|status| {
                status.mdns = problem.is_none();
                status.mdns_problem = problem;
            });
            let networks: Vec<Ipv4Addr> = self.networks.keys().copied().collect();
            networks.into_iter().for_each(|ip| self.join_group(ip));
        }
        if self.announcer.is_some() && (self.hear.is_none() || self.speak.is_none()) {
            let opened =
                shared_socket(beacon::PORT).and_then(|hear| Ok((hear, speaking_socket()?)));
            let problem = opened.as_ref().err().map(ToString::to_string);
            if let Ok((hear, speak)) = opened {
                (self.hear, self.speak) = (Some(hear), Some(speak));
            }
            self.retry_at = self.retry_at.or(problem.as_ref().map(|_| Instant::now() + RETRY));
            self.tell(|status| {
                status.beacon = problem.is_none();
                status.beacon_problem = problem;
            });
        }
    }

    fn join_group(&self, ip: Ipv4Addr) {
        if let Some(group) = &self.group
            && let Err(error) = group.join_multicast_v4(mdns::GROUP, ip)
        {
            tracing::debug!(%error, %ip, "joining the mDNS group");
        }
    }

    // ---- what goes out ----------------------------------------------------------------------

    fn do_mdns(&mut self, out: Vec<mdns::Output>) {
        for output in out {
            match output {
                mdns::Output::Send(interface, packet) => {
                    let Some(group) = &self.group else { continue };
                    let to = SocketAddr::from((mdns::GROUP, mdns::PORT));
                    let sent = SockRef::from(group)
                        .set_multicast_if_v4(&interface)
                        .and_then(|()| send_now(group, &packet, to));
                    self.sent(sent);
                }
                mdns::Output::Found { peer, endpoints } => {
                    if let Ok(peer) = peer.parse::<PeerId>() {
                        self.find(peer, &endpoints);
                    }
                }
            }
        }
    }

    fn do_beacon(&mut self, out: Vec<announcer::Output>) {
        for output in out {
            match output {
                announcer::Output::Send(target, said) => {
                    let (Some(speak), Some(announcer)) = (&self.speak, &self.announcer) else {
                        continue;
                    };
                    let sealed = announcer.keys().seal(&said, &self.secret, random_bytes());
                    let to = match target {
                        Target::One(to) => to,
                        Target::Broadcast(ip) => match self.networks.get(&ip) {
                            Some(net) => (net.broadcast(), beacon::PORT).into(),
                            None => continue,
                        },
                    };
                    let sent = send_now(speak, &sealed, to);
                    self.sent(sent);
                }
                announcer::Output::Heard { device, endpoints } => {
                    if let Ok(peer) = peer_id_of(device.as_bytes()) {
                        self.find(peer, &endpoints);
                    }
                }
            }
        }
    }

    /// A network that is down takes nothing: it is tried again soon, not with the next turn.
    fn sent(&mut self, sent: io::Result<()>) {
        if let Err(error) = sent {
            tracing::debug!(%error, "sending on the local network");
            self.retry_at = self.retry_at.or(Some(Instant::now() + RETRY));
        }
    }

    fn find(&self, peer: PeerId, endpoints: &[Endpoint]) {
        let addresses: Vec<Multiaddr> =
            endpoints.iter().filter_map(|endpoint| address_of(endpoint, &peer)).collect();
        if !addresses.is_empty() {
            // Whoever is not taken up now announces itself again.
            let _full = self.found.try_send(Found::Peer { peer, addresses });
        }
    }
}

async fn receive(socket: Option<&UdpSocket>, bytes: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
    match socket {
        Some(socket) => socket.recv_from(bytes).await,
        None => std::future::pending().await,
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// Sends without waiting; a full socket counts as sent, since datagrams get lost anyway.
fn send_now(socket: &UdpSocket, bytes: &[u8], to: SocketAddr) -> io::Result<()> {
    match socket.try_send_to(bytes, to) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            // The first write after the socket was made finds it not yet known to be writable.
            socket.send_to(bytes, to).now_or_never().unwrap_or(Ok(0)).map(drop)
        }
        other => other.map(drop),
    }
}

fn udp() -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    // As much as the system gives.
    let _less = socket.set_recv_buffer_size(SOCKET_ROOM);
    Ok(socket)
}

/// A socket on a port that other processes listen on as well.
fn shared_socket(port: u16) -> io::Result<UdpSocket> {
    let socket = udp()?;
    socket.set_reuse_address(true)?;
    #[cfg(unix)]
    socket.set_reuse_port(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)).into())?;
    UdpSocket::from_std(socket.into())
}

fn speaking_socket() -> io::Result<UdpSocket> {
    let socket = udp()?;
    socket.set_broadcast(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)).into())?;
    UdpSocket::from_std(socket.into())
}
