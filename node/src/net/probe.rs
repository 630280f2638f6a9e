//! Tests of a node from outside of it: does what it offers answer?
//!
//! Plain sockets and calls that block, so that they tell of the machine and not of the node's own
//! libraries:
//!
//! - a TCP connection;
//! - a QUIC packet of a version that nobody speaks, to which every QUIC server has to answer with the
//!   versions that it does (RFC 9000, sections 6 and 15);
//! - a beacon that asks, signed by this very device, and whose devices answer it;
//! - an mDNS question for the name that libp2p nodes answer (RFC 6762; libp2p's discovery is its
//!   `specs/discovery/mdns.md`), with whose node each answer says it is.

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

use lanai_crdt::entry::DeviceSecret;
use lanai_crdt::id::{CommunityId, DeviceId};

use crate::discovery::beacon::{self, Beacon, Keyring, Kind};
use crate::random::random_bytes;

const MDNS_GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const MDNS_PORT: u16 = 5353;
/// Bytes of an answer that are looked at.
const MAX_ANSWER: usize = 9000;
/// Nodes that are told apart at most.
const MAX_NODES: usize = 1000;
/// Bytes below which a QUIC server need not answer (RFC 9000, section 14.1).
const QUIC_DATAGRAM: usize = 1200;
/// A version that is reserved for being unknown (RFC 9000, section 15).
const NO_QUIC_VERSION: [u8; 4] = [0x1a, 0x2a, 0x3a, 0x4a];

/// Whether something accepts a TCP connection.
///
/// # Errors
///
/// Why not.
pub fn tcp(address: SocketAddr, patience: Duration) -> io::Result<()> {
    TcpStream::connect_timeout(&address, patience).map(drop)
}

/// Whether a QUIC server answers.
///
/// # Errors
///
/// Why not; [`io::ErrorKind::TimedOut`] when nothing came.
pub fn quic(address: SocketAddr, patience: Duration) -> io::Result<()> {
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (std::net::Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any)?;
    socket.connect(address)?;
    let (there, here) = (random_bytes::<8>(), random_bytes::<8>());
    let mut packet = vec![0xc0];
    packet.extend_from_slice(&NO_QUIC_VERSION);
    for id in [&there, &here] {
        packet.push(8);
        packet.extend_from_slice(id);
    }
    packet.resize(QUIC_DATAGRAM, 0);
    socket.send(&packet)?;
    // Version negotiation: a long header with version 0, and our ids turned around.
    let mut expected = vec![8];
    expected.extend_from_slice(&here);
    expected.push(8);
    expected.extend_from_slice(&there);
    let is_answer = |answer: &[u8]| {
        answer.first().is_some_and(|first| first & 0x80 != 0)
            && answer.get(1..5) == Some(&[0; 4])
            && answer.get(5..).is_some_and(|ids| ids.starts_with(&expected))
    };
    hear(&socket, patience, |answer| is_answer(answer).then_some(()))?
        .ok_or_else(|| io::ErrorKind::TimedOut.into())
}

/// The peer ids of the nodes that answer on the local network, this machine's included, asked through
/// the interfaces with these addresses.
///
/// # Errors
///
/// When the question cannot be asked on any of the interfaces.
pub fn mdns(interfaces: &[Ipv4Addr], patience: Duration) -> io::Result<BTreeSet<String>> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_address(true)?;
    #[cfg(unix)]
    socket.set_reuse_port(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, MDNS_PORT)).into())?;
    socket.set_multicast_loop_v4(true)?;
    let group: SocketAddr = SocketAddrV4::new(MDNS_GROUP, MDNS_PORT).into();
    let (mut asked, mut failure) = (false, None);
    for interface in interfaces {
        let ask = || {
            socket.join_multicast_v4(&MDNS_GROUP, interface)?;
            socket.set_multicast_if_v4(interface)?;
            socket.send_to(&question(), &group.into())
        };
        match ask() {
            Ok(_) => asked = true,
            Err(error) => failure = Some(error),
        }
    }
    if !asked {
        return Err(failure.unwrap_or_else(|| io::ErrorKind::NetworkUnreachable.into()));
    }
    let mut nodes = BTreeSet::new();
    hear(&UdpSocket::from(socket), patience, |answer| {
        nodes.extend(peer_ids(answer));
        (nodes.len() >= MAX_NODES).then_some(())
    })?;
    Ok(nodes)
}

/// The devices that answer a beacon on the networks of the interfaces with these addresses, which are
/// this device's own node and members' (`unix_ms`: the time now).
///
/// # Errors
///
/// When it cannot be sent on any of the interfaces.
pub fn beacon(
    interfaces: &[Ipv4Addr],
    (community, secret): (CommunityId, &DeviceSecret),
    unix_ms: u64,
    patience: Duration,
) -> io::Result<BTreeSet<DeviceId>> {
    let keys = Keyring::new(community, unix_ms / 1000);
    let mut failure = None;
    let mut asked = Vec::new();
    for (seq, interface) in (1..).zip(interfaces) {
        let ask = || -> io::Result<UdpSocket> {
            let socket = UdpSocket::bind((*interface, 0))?;
            socket.set_broadcast(true)?;
            let question = Beacon {
                kind: Kind::Ask,
                device: secret.device(),
                boot: unix_ms,
                seq,
                endpoints: Vec::new(),
            };
            let sealed = keys.seal(&question, secret, random_bytes());
            socket.send_to(&sealed, (Ipv4Addr::BROADCAST, beacon::PORT))?;
            Ok(socket)
        };
        match ask() {
            Ok(socket) => asked.push(socket),
            Err(error) => failure = Some(error),
        }
    }
    if asked.is_empty() {
        return Err(failure.unwrap_or_else(|| io::ErrorKind::NetworkUnreachable.into()));
    }
    let mut devices = BTreeSet::new();
    let each = patience / u32::try_from(asked.len()).unwrap_or(1).max(1);
    for socket in asked {
        hear(&socket, each, |answer| {
            if let Ok(answer) = keys.open(answer).and_then(beacon::Unproven::prove) {
                devices.insert(answer.device);
            }
            (devices.len() >= MAX_NODES).then_some(())
        })?;
    }
    Ok(devices)
}

/// Hands what comes to `each` until it gives something, or nothing for as long as one has patience.
fn hear<T>(
    socket: &UdpSocket,
    patience: Duration,
    mut each: impl FnMut(&[u8]) -> Option<T>,
) -> io::Result<Option<T>> {
    let end = Instant::now() + patience;
    let mut buffer = [0; MAX_ANSWER];
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        socket.set_read_timeout(Some(left))?;
        match socket.recv(&mut buffer) {
            Ok(len) => {
                if let Some(found) = buffer.get(..len).and_then(&mut each) {
                    return Ok(Some(found));
                }
            }
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock
                        | io::ErrorKind::TimedOut
                        | io::ErrorKind::Interrupted
                ) => {}
            Err(error) => return Err(error),
        }
    }
}

/// One question, for `_p2p._udp.local`, type PTR, class IN.
fn question() -> Vec<u8> {
    let mut packet = vec![0; 12];
    if let Some(count) = packet.get_mut(5) {
        *count = 1;
    }
    for label in [&b"_p2p"[..], b"_udp", b"local"] {
        packet.push(u8::try_from(label.len()).unwrap_or_default());
        packet.extend_from_slice(label);
    }
    packet.extend_from_slice(&[0, 0, 12, 0, 1]);
    packet
}

/// The peer ids at the ends of addresses in an answer: `dnsaddr=/ip4/.../p2p/ID` in TXT records.
fn peer_ids(answer: &[u8]) -> BTreeSet<String> {
    const BEFORE: &[u8] = b"/p2p/";
    let is_base58 = |byte: &u8| byte.is_ascii_alphanumeric() && !b"0OIl".contains(byte);
    let starts = answer.windows(BEFORE.len()).enumerate().filter(|(_, w)| *w == BEFORE);
    let ids = starts.filter_map(|(at, _)| {
        let rest = answer.get(at + BEFORE.len()..)?;
        let len = rest.iter().take(64).take_while(|byte| is_base58(byte)).count();
        let id = std::str::from_utf8(rest.get(..len)?).ok()?;
        id.parse::<libp2p::PeerId>().ok().map(|id| id.to_string())
    });
    ids.take(MAX_NODES).collect()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_listener_answers_and_a_closed_port_does_not() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        tcp(address, Duration::from_secs(5)).unwrap();
        drop(listener);
        assert!(tcp(address, Duration::from_secs(5)).is_err());
    }

    #[test]
    fn only_an_answer_to_the_packet_is_one() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        let answers = std::thread::spawn(move || {
            let mut packet = [0; 2000];
            let (len, from) = server.recv_from(&mut packet).unwrap();
            assert_eq!((len, &packet[1..6]), (1200, &[0x1a, 0x2a, 0x3a, 0x4a, 8][..]));
            server.send_to(b"something else", from).unwrap();
            let (there, here) = (&packet[6..14], &packet[15..23]);
            let answer = [&[0x80, 0, 0, 0, 0, 8][..], here, &[8], there, &[0, 0, 0, 1]].concat();
            server.send_to(&answer, from).unwrap();
        });
        quic(address, Duration::from_secs(20)).unwrap();
        answers.join().unwrap();
        assert!(quic(address, Duration::from_millis(50)).is_err());
    }

    #[test]
    fn peer_ids_are_found_in_whatever_comes() {
        let id = "12D3KooWSdaoKPa1TiNhSDvpZx875LEqwN8nHuSdDPyPxyBPu3hi";
        let text = format!("\x10xdnsaddr=/ip4/10.0.0.1/tcp/1/p2p/{id}\x00/p2p/nonsense/p2p/");
        assert_eq!(peer_ids(text.as_bytes()), BTreeSet::from([id.to_owned()]));
        assert_eq!(peer_ids(&[0xff; 200]), BTreeSet::new());
        assert_eq!(question().len(), 12 + 5 + 5 + 6 + 5);
    }
}
