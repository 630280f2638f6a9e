//! The layer over real loopback sockets, mDNS off. Every wait is for a condition, with a deadline.

use std::collections::HashSet;
use std::time::Duration;

use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::identity;
use tokio::sync::mpsc;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::*;

const DEADLINE: Duration = Duration::from_secs(30);
const TOPIC: &str = "lanai/test";

struct Node {
    net: NetHandle,
    events: mpsc::Receiver<NetEvent>,
    /// Gossip that came by while something else was awaited.
    gossip: Vec<Vec<u8>>,
}

fn secret(seed: u8) -> Zeroizing<[u8; 32]> {
    Zeroizing::new([seed; 32])
}

fn peer(seed: u8) -> PeerId {
    identity::Keypair::ed25519_from_bytes([seed; 32]).unwrap().public().to_peer_id()
}

/// Two seeds of which the first has the lower peer id.
fn lower_and_higher(a: u8, b: u8) -> (u8, u8) {
    if peer(a) < peer(b) { (a, b) } else { (b, a) }
}

fn config(seed: u8, transport: Transport) -> NetConfig {
    let listen = match transport {
        Transport::Tcp => "/ip4/127.0.0.1/tcp/0",
        Transport::Quic => "/ip4/127.0.0.1/udp/0/quic-v1",
    };
    let mut config = NetConfig::new(secret(seed), vec![listen.parse().unwrap()]);
    config.mdns = false;
    config.promotion_grace = Duration::from_secs(1);
    config.redial.alone = Duration::from_millis(500);
    config
}

impl Node {
    async fn start(seed: u8, transport: Transport, members: &[u8]) -> Self {
        Self::start_with(config(seed, transport), members).await
    }

    async fn start_with(config: NetConfig, members: &[u8]) -> Self {
        let (net, events) = start(config).unwrap();
        let node = Self { net, events, gossip: Vec::new() };
        node.set_members(members).await;
        node.net.subscribe(TOPIC).await.unwrap();
        node
    }

    fn peer(&self) -> PeerId {
        self.net.local_peer()
    }

    async fn set_members(&self, seeds: &[u8]) {
        self.net.set_members(seeds.iter().map(|seed| peer(*seed)).collect()).await.unwrap();
    }

    /// The next event that `pick` wants; gossip that it does not want is kept, all else skipped.
    async fn next<T>(&mut self, what: &str, mut pick: impl FnMut(NetEvent) -> Option<T>) -> T {
        let wait = async {
            loop {
                let event = self.events.recv().await.expect("the network runs");
                if let NetEvent::Gossip { data, .. } = &event {
                    self.gossip.push(data.clone());
                }
                if let Some(found) = pick(event) {
                    return found;
                }
            }
        };
        timeout(DEADLINE, wait).await.unwrap_or_else(|_| panic!("no {what}"))
    }

    async fn connected(&mut self, other: PeerId, is_member: bool) {
        self.next("connection", |event| match event {
            NetEvent::Connected { peer, member, .. } if peer == other && member == is_member => {
                Some(())
            }
            _ => None,
        })
        .await;
    }

    async fn disconnected(&mut self, other: PeerId, was_member: bool) {
        self.next("disconnection", |event| match event {
            NetEvent::Disconnected { peer, member } if peer == other && member == was_member => {
                Some(())
            }
            _ => None,
        })
        .await;
    }

    /// Takes the next gossip message and accepts it.
    async fn gossip(&mut self) -> (PeerId, Vec<u8>) {
        let (id, source, data) = self
            .next("gossip", |event| match event {
                NetEvent::Gossip { message_id, source, data, topic } => {
                    assert_eq!(topic, TOPIC);
                    Some((message_id, source, data))
                }
                _ => None,
            })
            .await;
        assert_eq!(id.0, *blake3::hash(&data).as_bytes());
        self.net.report_validation(id, source, Acceptance::Accept).await.unwrap();
        (source, data)
    }

    async fn sync_stream(&mut self) -> (PeerId, NetStream) {
        self.next("sync stream", |event| match event {
            NetEvent::SyncStream { peer, stream } => Some((peer, stream)),
            _ => None,
        })
        .await
    }

    async fn join_stream(&mut self) -> (PeerId, NetStream) {
        self.next("join stream", |event| match event {
            NetEvent::JoinStream { peer, stream } => Some((peer, stream)),
            _ => None,
        })
        .await
    }

    async fn address(&self) -> Multiaddr {
        until("listener", || async { self.net.listeners().await.unwrap().first().cloned() }).await
    }

    async fn knows(&self, other: &Self) {
        self.net.remember(other.peer(), vec![other.address().await]).await.unwrap();
    }

    async fn member_connections(&self, other: PeerId) -> usize {
        let status = self.net.status().await.unwrap();
        status.connections.iter().filter(|c| c.peer == other && c.member).count()
    }

    /// Until the other's topics are known here, so that a message sent now reaches it.
    async fn gossips_with(&self, other: PeerId) {
        until("the other's topics", || async {
            let status = self.net.status().await.unwrap();
            status.peers.iter().any(|p| p.peer == other && p.gossiping).then_some(())
        })
        .await;
    }
}

/// Asks again and again, leaving the others time, until there is an answer.
async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let wait = async {
        loop {
            if let Some(found) = ask().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(DEADLINE, wait).await.unwrap_or_else(|_| panic!("no {what}"))
}

async fn write_all(mut stream: NetStream, bytes: &[u8]) -> NetStream {
    timeout(DEADLINE, stream.write_all(bytes)).await.unwrap().unwrap();
    timeout(DEADLINE, stream.flush()).await.unwrap().unwrap();
    stream
}

async fn read_exact<const N: usize>(stream: &mut NetStream) -> [u8; N] {
    let mut bytes = [0; N];
    timeout(DEADLINE, stream.read_exact(&mut bytes)).await.unwrap().unwrap();
    bytes
}

async fn members_meet(transport: Transport) {
    let mut a = Node::start(1, transport, &[1, 2]).await;
    let mut b = Node::start(2, transport, &[1, 2]).await;
    a.knows(&b).await;
    b.knows(&a).await;
    a.connected(b.peer(), true).await;
    b.connected(a.peer(), true).await;
    a.gossips_with(b.peer()).await;
    b.gossips_with(a.peer()).await;

    assert_eq!(a.net.publish(TOPIC, b"from a".to_vec()).await, Ok(1));
    assert_eq!(b.gossip().await, (a.peer(), b"from a".to_vec()));
    assert_eq!(b.net.publish(TOPIC, b"from b".to_vec()).await, Ok(1));
    assert_eq!(a.gossip().await, (b.peer(), b"from b".to_vec()));
    assert_eq!(b.net.publish(TOPIC, b"from b".to_vec()).await, Ok(0), "sent before");
    let size = MAX_GOSSIP_BYTES + 1;
    assert_eq!(a.net.publish(TOPIC, vec![0; size]).await, Err(NetError::TooLarge { size }));
    assert_eq!(a.net.publish(TOPIC, vec![7; MAX_GOSSIP_BYTES]).await, Ok(1));
    assert_eq!(b.gossip().await.1.len(), MAX_GOSSIP_BYTES);

    let ours = write_all(a.net.open_sync(b.peer()).await.unwrap(), b"ping").await;
    let (from, mut theirs) = b.sync_stream().await;
    assert_eq!(from, a.peer());
    assert_eq!(&read_exact::<4>(&mut theirs).await, b"ping");
    let _theirs = write_all(theirs, b"pong").await;
    let mut ours = ours;
    assert_eq!(&read_exact::<4>(&mut ours).await, b"pong");

    let status = a.net.status().await.unwrap();
    let link = status.connections.iter().find(|c| c.peer == b.peer()).unwrap();
    assert_eq!((link.member, link.transport), (true, Some(transport)));
    timeout(DEADLINE, a.net.shutdown()).await.unwrap();
    b.disconnected(a.peer(), true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_exchange_gossip_and_streams_over_tcp() {
    members_meet(Transport::Tcp).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_exchange_gossip_and_streams_over_quic() {
    members_meet(Transport::Quic).await;
}

/// How a node ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Stopped,
    Killed,
}

/// Starts a node that connects to another one and ends, in a runtime that ends with it, as a process does.
async fn come_and_go(end: End, seed: u8, transport: Transport, other: PeerId, address: Multiaddr) {
    let process = move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let node = Node::start(seed, transport, &[1, 2]).await;
            let target = DialTarget::Peer { peer: other, addresses: vec![address] };
            assert_eq!(node.net.dial(target, Purpose::Member).await, Ok(other));
            // An answer: the other side has the connection too.
            let _stream = node.net.open_sync(other).await.unwrap();
            if end == End::Stopped {
                timeout(DEADLINE, node.net.shutdown()).await.unwrap();
            } else {
                // No task runs any more when the node is dropped, so nothing is closed.
                std::mem::forget(node);
            }
        });
        runtime.shutdown_background();
    };
    tokio::task::spawn_blocking(process).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_stops_is_gone_for_its_peers_at_once() {
    // Well before a ping that nobody answers, or silence, would tell.
    const AT_ONCE: Duration = Duration::from_secs(5);
    for transport in [Transport::Tcp, Transport::Quic] {
        let mut stays = Node::start(1, transport, &[1, 2]).await;
        for round in 0..20 {
            come_and_go(End::Stopped, 2, transport, stays.peer(), stays.address().await).await;
            let gone = timeout(AT_ONCE, stays.disconnected(peer(2), true)).await;
            assert!(gone.is_ok(), "{transport:?}: round {round}: it is still taken for connected");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_given_for_a_peer_that_died_unnoticed_is_used_once_it_is_noticed() {
    let mut stays = Node::start(1, Transport::Quic, &[1, 2]).await;
    come_and_go(End::Killed, 2, Transport::Quic, stays.peer(), stays.address().await).await;
    stays.connected(peer(2), true).await;
    // It comes back elsewhere, knows of nobody, and the death of the first has not been noticed.
    let mut back = Node::start(2, Transport::Tcp, &[1, 2]).await;
    let target = DialTarget::Peer { peer: back.peer(), addresses: vec![back.address().await] };
    assert_eq!(stays.net.dial(target, Purpose::Member).await, Ok(back.peer()));
    back.connected(stays.peer(), true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_gets_join_and_nothing_else_until_it_is_a_member() {
    const A: u8 = 1;
    const B: u8 = 2;
    const STRANGER: u8 = 3;
    let mut a = Node::start(A, Transport::Quic, &[A, B]).await;
    let mut b = Node::start(B, Transport::Quic, &[A, B]).await;
    a.knows(&b).await;
    b.knows(&a).await;
    a.gossips_with(b.peer()).await;
    b.gossips_with(a.peer()).await;

    // The stranger takes A for a member, so it tries all that a member would.
    let mut stranger = Node::start(STRANGER, Transport::Quic, &[A, B, STRANGER]).await;
    let target = DialTarget::Peer { peer: a.peer(), addresses: vec![a.address().await] };
    assert_eq!(stranger.net.dial(target, Purpose::Join).await, Ok(a.peer()));
    a.connected(stranger.peer(), false).await;
    stranger
        .next("refusal of gossip", |event| match event {
            NetEvent::NotAdmitted { peer } => Some(peer),
            _ => None,
        })
        .await;
    assert_eq!(stranger.net.open_sync(a.peer()).await.unwrap_err(), OpenError::Refused);
    assert_eq!(a.net.open_sync(stranger.peer()).await.unwrap_err(), OpenError::NotConnected);

    // Only B follows the topic as far as A knows, whoever publishes.
    assert_eq!(a.net.publish(TOPIC, b"secret of a".to_vec()).await, Ok(1));
    assert_eq!(b.gossip().await.1, b"secret of a");
    assert_eq!(b.net.publish(TOPIC, b"secret of b".to_vec()).await, Ok(1));
    assert_eq!(a.gossip().await.1, b"secret of b");
    assert_eq!(stranger.net.publish(TOPIC, b"noise".to_vec()).await, Ok(0));

    // The join protocol works. What A sent before would have come before this answer or with it.
    let ours = write_all(stranger.net.open_join(a.peer()).await.unwrap(), b"let me in").await;
    let (from, mut theirs) = a.join_stream().await;
    assert_eq!(from, stranger.peer());
    assert_eq!(&read_exact::<9>(&mut theirs).await, b"let me in");
    // Admitted while the stream is open: it must survive that.
    a.set_members(&[A, B, STRANGER]).await;
    b.set_members(&[A, B, STRANGER]).await;
    let _theirs = write_all(theirs, b"welcome").await;
    let mut ours = ours;
    assert_eq!(&read_exact::<7>(&mut ours).await, b"welcome");
    assert!(stranger.gossip.is_empty(), "{:?}", stranger.gossip);

    // Connected afresh as a member. To the newcomer A was a member all along: its old connection
    // goes, a new one comes.
    a.connected(stranger.peer(), true).await;
    a.gossips_with(stranger.peer()).await;
    assert_eq!(a.net.publish(TOPIC, b"for all".to_vec()).await, Ok(2));
    assert_eq!(stranger.gossip().await.1, b"for all");
    let stream =
        until("sync stream", || async { stranger.net.open_sync(a.peer()).await.ok() }).await;
    let _stream = write_all(stream, b"x").await;
    assert_eq!(a.sync_stream().await.0, stranger.peer());

    // Removed: cut off at once.
    a.set_members(&[A, B]).await;
    a.disconnected(stranger.peer(), true).await;
    until("end of the removed member's gossip", || async {
        let status = a.net.status().await.unwrap();
        (!status.peers.iter().any(|p| p.peer == stranger.peer() && p.gossiping)).then_some(())
    })
    .await;
    assert_eq!(a.member_connections(stranger.peer()).await, 0);
    assert_eq!(a.net.open_sync(stranger.peer()).await.unwrap_err(), OpenError::NotConnected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newcomer_joins_through_a_member_and_is_connected_as_one() {
    let patient = |seed| {
        let mut config = config(seed, Transport::Tcp);
        config.promotion_grace = DEADLINE;
        config
    };
    let mut a = Node::start_with(patient(1), &[1]).await;
    let mut newcomer = Node::start_with(patient(2), &[]).await;
    let target = DialTarget::Address(a.address().await);
    assert_eq!(newcomer.net.dial(target, Purpose::Join).await, Ok(a.peer()));
    newcomer.connected(a.peer(), false).await;
    let mut ours = newcomer.net.open_join(a.peer()).await.unwrap();
    ours = write_all(ours, b"please").await;
    let (_, mut theirs) = a.join_stream().await;
    assert_eq!(&read_exact::<6>(&mut theirs).await, b"please");

    a.set_members(&[1, 2]).await;
    theirs = write_all(theirs, b"yes").await;
    assert_eq!(&read_exact::<3>(&mut ours).await, b"yes");
    newcomer.set_members(&[1, 2]).await;
    newcomer.connected(a.peer(), true).await;
    a.connected(newcomer.peer(), true).await;
    a.gossips_with(newcomer.peer()).await;
    newcomer.gossips_with(a.peer()).await;
    assert_eq!(a.net.publish(TOPIC, b"welcome".to_vec()).await, Ok(1));
    assert_eq!(newcomer.gossip().await.1, b"welcome");
    // The stream that brought the news still stands.
    let _theirs = write_all(theirs, b"bye").await;
    assert_eq!(&read_exact::<3>(&mut ours).await, b"bye");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publishing_to_nobody_is_success() {
    let a = Node::start(1, Transport::Tcp, &[1, 2]).await;
    assert_eq!(a.net.publish(TOPIC, b"hello?".to_vec()).await, Ok(0));
    assert_eq!(a.net.status().await.unwrap().counters.gossip_to_nobody, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_higher_peer_dials_when_the_lower_one_does_not() {
    let (low, high) = lower_and_higher(1, 2);
    let mut lower = Node::start(low, Transport::Tcp, &[1, 2]).await;
    let mut higher = Node::start(high, Transport::Tcp, &[1, 2]).await;
    // Only the higher one knows an address.
    higher.knows(&lower).await;
    higher.connected(lower.peer(), true).await;
    lower.connected(higher.peer(), true).await;
    let status = higher.net.status().await.unwrap();
    assert!(status.connections.iter().all(|c| c.outbound));
    // The lower one learns from the higher one where it listens.
    let learned = lower
        .next("addresses", |event| match event {
            NetEvent::Addresses { addresses, .. } => Some(addresses),
            _ => None,
        })
        .await;
    assert_eq!(learned, vec![higher.address().await]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_peer_is_met_afresh() {
    let (low, high) = lower_and_higher(1, 2);
    let mut stays = Node::start(high, Transport::Quic, &[1, 2]).await;
    let leaves = Node::start(low, Transport::Quic, &[1, 2]).await;
    leaves.knows(&stays).await;
    stays.connected(leaves.peer(), true).await;
    stays.gossips_with(leaves.peer()).await;
    until("an old connection", || async {
        let status = stays.net.status().await.unwrap();
        status.connections.iter().any(|c| c.age > gate::SUPERSEDE_AFTER).then_some(())
    })
    .await;

    // A twin with the same key stands for the restarted peer: the old connection is still up here when
    // the new one comes, as after a crash that QUIC has not noticed.
    let mut twin = Node::start(low, Transport::Quic, &[1, 2]).await;
    twin.knows(&stays).await;
    stays.disconnected(twin.peer(), true).await;
    stays.connected(twin.peer(), true).await;
    twin.connected(stays.peer(), true).await;
    twin.gossips_with(stays.peer()).await;
    stays.gossips_with(twin.peer()).await;
    drop(leaves);
    assert_eq!(stays.net.publish(TOPIC, b"are you back?".to_vec()).await, Ok(1));
    assert_eq!(twin.gossip().await.1, b"are you back?");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_says_why_a_peer_is_not_reached() {
    let a = Node::start(1, Transport::Tcp, &[1, 2]).await;
    // A port that was free a moment ago and that nobody listens on.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let nowhere: Multiaddr = format!("/ip4/127.0.0.1/tcp/{free}").parse().unwrap();
    a.net.remember(peer(2), vec![nowhere.clone()]).await.unwrap();
    let why = until("an error", || async {
        let status = a.net.status().await.unwrap();
        status.peers.into_iter().find(|p| p.peer == peer(2))?.last_error
    })
    .await;
    assert!(why.contains("refused"), "{why}");

    let target = |peer| DialTarget::Peer { peer, addresses: vec![nowhere.clone()] };
    assert!(matches!(
        a.net.dial(target(peer(2)), Purpose::Member).await,
        Err(DialError::Failed(why)) if why.contains("refused")
    ));
    assert_eq!(
        a.net.dial(target(peer(3)), Purpose::Member).await,
        Err(DialError::NotAMember(peer(3)))
    );
    assert_eq!(a.net.dial(target(a.peer()), Purpose::Join).await, Err(DialError::Own));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_at_a_typed_address_is_no_member() {
    let a = Node::start(1, Transport::Tcp, &[1]).await;
    let b = Node::start(2, Transport::Tcp, &[2]).await;
    let target = DialTarget::Address(b.address().await);
    assert_eq!(
        a.net.dial(target.clone(), Purpose::Member).await,
        Err(DialError::NotAMember(b.peer()))
    );
    until("hanging up", || async {
        a.net.status().await.unwrap().connections.is_empty().then_some(())
    })
    .await;
    assert_eq!(a.net.dial(target, Purpose::Join).await, Ok(b.peer()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_taken_port_does_not_keep_a_node_from_starting() {
    let mut config = config(2, Transport::Tcp);
    // The library shares ports between its own sockets; a plain one does not.
    let plain = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = plain.local_addr().unwrap().port();
    config.listen = vec![format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap()];
    let b = Node::start_with(config, &[2]).await;
    let address = b.address().await;
    assert_ne!(address, format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap());
    drop(plain);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_sleeps_does_not_block_commands() {
    let mut a = Node::start(1, Transport::Tcp, &[1, 2]).await;
    let b = Node::start(2, Transport::Tcp, &[1, 2]).await;
    b.knows(&a).await;
    a.connected(b.peer(), true).await;
    b.gossips_with(a.peer()).await;
    // Nobody reads A's events: more messages than its channel and backlog hold.
    let sent: u32 = 2000;
    for n in 0..sent {
        until("room in the queue", || async {
            let status = b.net.status().await.unwrap();
            let full = status.counters.gossip_queue_full;
            b.net.publish(TOPIC, n.to_be_bytes().to_vec()).await.unwrap();
            (b.net.status().await.unwrap().counters.gossip_queue_full == full).then_some(())
        })
        .await;
    }
    until("dropping", || async {
        (a.net.status().await.unwrap().counters.gossip_dropped > 0).then_some(())
    })
    .await;
    assert_eq!(a.net.publish("another topic", vec![1]).await, Ok(0));
    a.gossip().await;
}

#[tokio::test]
async fn bad_settings_are_named() {
    let mut config = config(1, Transport::Tcp);
    config.listen = vec!["/ip4/203.0.113.77/tcp/0".parse().unwrap()];
    assert!(matches!(start(config), Err(NetError::Listen(_))));
    let mut members = HashSet::new();
    members.insert(peer(1));
    assert_eq!(listen_everywhere(4001).len(), 4);
}

/// Passes bytes between whoever connects to it and `target` until `cut`; then keeps the connections
/// open and passes nothing, like a cable that was pulled.
async fn pullable_cable(
    target: std::net::SocketAddr,
) -> (Multiaddr, tokio::sync::watch::Sender<bool>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (cut, is_cut) = tokio::sync::watch::channel(false);
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let mut is_cut = is_cut.clone();
            tokio::spawn(async move {
                let mut far = tokio::net::TcpStream::connect(target).await.unwrap();
                let pulled = async { is_cut.wait_for(|cut| *cut).await.map(|_| ()) };
                let passing = tokio::io::copy_bidirectional(&mut near, &mut far);
                tokio::select! {
                    _ = passing => {}
                    _ = pulled => std::future::pending::<()>().await,
                }
            });
        }
    });
    (format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap(), cut)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_link_is_noticed_and_dialled_again() {
    let (low, high) = lower_and_higher(1, 2);
    let quick = |seed| {
        let mut config = config(seed, Transport::Tcp);
        config.ping_interval = Duration::from_millis(300);
        config.ping_timeout = Duration::from_millis(700);
        config
    };
    let mut dialler = Node::start_with(quick(low), &[1, 2]).await;
    let mut listener = Node::start_with(quick(high), &[1, 2]).await;
    let address = listener.address().await;
    let port = address.to_string().rsplit('/').next().unwrap().parse().unwrap();
    let (cable, cut) = pullable_cable(([127, 0, 0, 1], port).into()).await;
    dialler.net.remember(listener.peer(), vec![cable]).await.unwrap();
    dialler.connected(listener.peer(), true).await;
    listener.connected(dialler.peer(), true).await;
    dialler
        .next("real address", |event| match event {
            NetEvent::Addresses { addresses, .. } => addresses.contains(&address).then_some(()),
            _ => None,
        })
        .await;

    cut.send(true).unwrap();
    // Two seconds and a tick; by the library's own judgement of pings it would be more than five.
    let noticed = timeout(Duration::from_millis(4500), dialler.disconnected(listener.peer(), true));
    noticed.await.expect("noticed soon");
    listener.disconnected(dialler.peer(), true).await;
    assert!(dialler.net.status().await.unwrap().counters.dead_connections > 0);
    // The way to the real address is not cut.
    dialler.connected(listener.peer(), true).await;
}
