//! Device keys, peer names and addresses.
//!
//! A device has one Ed25519 key. libp2p names a peer by the *identity multihash* of the key's
//! protobuf form, so a device key and a [`PeerId`] are two spellings of the same 32 bytes and turn
//! into each other without a table.
//!
//! Addresses come from people, tickets, mDNS and other members. None is dialled before
//! [`dialable`] said yes to it, and none is kept with a `/p2p/…` tail: who must answer is said
//! apart from where.

use std::net::IpAddr;

use libp2p::identity::{self, ed25519};
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};

use crate::discovery::Endpoint;

/// Why 32 bytes are no device key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("these 32 bytes are not an Ed25519 public key")]
pub struct NotADeviceKey;

/// The peer name of a device key.
///
/// # Errors
/// [`NotADeviceKey`] if the bytes are no point of the curve.
pub fn peer_id_of(device_key: &[u8; 32]) -> Result<PeerId, NotADeviceKey> {
    let key = ed25519::PublicKey::try_from_bytes(device_key).map_err(|_| NotADeviceKey)?;
    Ok(identity::PublicKey::from(key).to_peer_id())
}

/// The device key behind a peer name, or `None` when the peer uses another kind of key (such a
/// peer can never be a member).
#[must_use]
pub fn device_key_of(peer: &PeerId) -> Option<[u8; 32]> {
    /// Multihash code of "the digest is the message itself".
    const IDENTITY: u64 = 0;
    let hash = peer.as_ref();
    if hash.code() != IDENTITY {
        return None;
    }
    let key = identity::PublicKey::try_decode_protobuf(hash.digest()).ok()?;
    Some(key.try_into_ed25519().ok()?.to_bytes())
}

/// How bytes travel on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// QUIC over UDP.
    Quic,
    /// TCP with Noise and Yamux.
    Tcp,
}

impl std::fmt::Display for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Quic => "quic",
            Self::Tcp => "tcp",
        })
    }
}

/// The transport an address names, or `None` when it names one that lanai does not speak.
#[must_use]
pub fn transport_of(address: &Multiaddr) -> Option<Transport> {
    let mut parts = address.iter().skip(1);
    match (parts.next()?, parts.next()) {
        (Protocol::Tcp(_), None | Some(Protocol::P2p(_))) => Some(Transport::Tcp),
        (Protocol::Udp(_), Some(Protocol::QuicV1)) => Some(Transport::Quic),
        _ => None,
    }
}

/// Cuts a trailing `/p2p/…` off.
#[must_use]
pub fn split_peer(address: &Multiaddr) -> (Multiaddr, Option<PeerId>) {
    let mut bare = address.clone();
    match bare.pop() {
        Some(Protocol::P2p(peer)) => (bare, Some(peer)),
        _ => (address.clone(), None),
    }
}

/// `address` without its `/p2p/…` tail, if it may be dialled to reach `peer`: IP and port are
/// usable, the transport is QUIC or TCP, and the tail, if any, names that peer.
///
/// Refused are the unspecified, multicast and broadcast addresses, port 0, IPv6 link-local
/// addresses (they lack the interface they belong to), relayed addresses and names.
#[must_use]
pub fn dialable(address: &Multiaddr, peer: Option<&PeerId>) -> Option<Multiaddr> {
    let (bare, named) = split_peer(address);
    if let (Some(named), Some(peer)) = (named, peer)
        && named != *peer
    {
        return None;
    }
    let ip_is_usable = match ip_of(&bare)? {
        IpAddr::V4(ip) => !ip.is_unspecified() && !ip.is_multicast() && !ip.is_broadcast(),
        IpAddr::V6(ip) => !ip.is_unspecified() && !ip.is_multicast() && !ip.is_unicast_link_local(),
    };
    let length = match transport_of(&bare)? {
        Transport::Tcp => 2,
        Transport::Quic => 3,
    };
    (ip_is_usable && port_of(&bare)? != 0 && bare.iter().count() == length).then_some(bare)
}

/// The same as other members' nodes are told it; `None` for what is no plain IP address and port.
pub(super) fn endpoint_of(address: &Multiaddr) -> Option<Endpoint> {
    let quic = transport_of(address)? == Transport::Quic;
    Some(Endpoint { address: (ip_of(address)?, port_of(address)?).into(), quic })
}

/// The address of an endpoint, if [`dialable`] says yes to it.
pub(super) fn address_of(endpoint: &Endpoint, peer: &PeerId) -> Option<Multiaddr> {
    let port = endpoint.address.port();
    let bare = Multiaddr::empty().with(endpoint.address.ip().into());
    let address = match endpoint.quic {
        true => bare.with(Protocol::Udp(port)).with(Protocol::QuicV1),
        false => bare.with(Protocol::Tcp(port)),
    };
    dialable(&address, Some(peer))
}

/// The IP address that `address` starts with.
pub fn ip_of(address: &Multiaddr) -> Option<IpAddr> {
    match address.iter().next()? {
        Protocol::Ip4(ip) => Some(IpAddr::V4(ip)),
        Protocol::Ip6(ip) => Some(IpAddr::V6(ip)),
        _ => None,
    }
}

fn port_of(address: &Multiaddr) -> Option<u16> {
    match address.iter().nth(1)? {
        Protocol::Tcp(port) | Protocol::Udp(port) => Some(port),
        _ => None,
    }
}

/// The same listen address with a port that the system chooses, or `None` when it has none to
/// replace or leaves the choice to the system already.
pub(super) fn with_any_port(address: &Multiaddr) -> Option<Multiaddr> {
    if port_of(address)? == 0 {
        return None;
    }
    address.replace(1, |part| match part {
        Protocol::Tcp(_) => Some(Protocol::Tcp(0)),
        Protocol::Udp(_) => Some(Protocol::Udp(0)),
        _ => None,
    })
}

/// The most addresses one name may stand for.
const MAX_RESOLVED: usize = 8;

/// Replaces a leading `/dns…/name` by the addresses it stands for; any other address is returned
/// as it is. Asks the system's resolver.
pub(super) async fn resolve(address: &Multiaddr) -> std::io::Result<Vec<Multiaddr>> {
    let (name, keep): (String, fn(&IpAddr) -> bool) = match address.iter().next() {
        Some(Protocol::Dns(name)) => (name.into_owned(), |_| true),
        Some(Protocol::Dns4(name)) => (name.into_owned(), IpAddr::is_ipv4),
        Some(Protocol::Dns6(name)) => (name.into_owned(), IpAddr::is_ipv6),
        _ => return Ok(vec![address.clone()]),
    };
    let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
    Ok(found
        .map(|socket| socket.ip())
        .filter(keep)
        .filter_map(|ip| address.replace(0, |_| Some(ip.into())))
        .take(MAX_RESOLVED)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Multiaddr {
        text.parse().unwrap()
    }

    #[test]
    fn device_key_and_peer_id_are_one_name() {
        let secret = ed25519::SecretKey::try_from_bytes([7u8; 32]).unwrap();
        let key = ed25519::Keypair::from(secret).public().to_bytes();
        let peer = peer_id_of(&key).unwrap();
        assert_eq!(device_key_of(&peer), Some(key));
        // 00 24: identity multihash of 36 bytes; 08 01: key type Ed25519; 12 20: 32 bytes follow.
        let mut golden = vec![0x00, 0x24, 0x08, 0x01, 0x12, 0x20];
        golden.extend_from_slice(&key);
        assert_eq!(peer.to_bytes(), golden);
    }

    #[test]
    fn other_key_kinds_have_no_device_key() {
        assert_eq!(device_key_of(&PeerId::random()), None);
        let mut no_point = [0xffu8; 32];
        no_point[0] = 2;
        assert_eq!(peer_id_of(&no_point), Err(NotADeviceKey));
    }

    #[test]
    fn only_addresses_that_can_be_reached_are_dialled() {
        let peer = peer_id_of(&ed25519::Keypair::generate().public().to_bytes()).unwrap();
        let other = PeerId::random();
        let tcp = address("/ip4/192.168.1.7/tcp/4001");
        let quic = address("/ip6/2001:db8::1/udp/4001/quic-v1");
        assert_eq!(dialable(&tcp, None), Some(tcp.clone()));
        assert_eq!(dialable(&quic, Some(&peer)), Some(quic.clone()));
        assert_eq!(
            dialable(&tcp.clone().with(Protocol::P2p(peer)), Some(&peer)),
            Some(tcp.clone())
        );
        assert_eq!(dialable(&tcp.clone().with(Protocol::P2p(other)), Some(&peer)), None);
        for refused in [
            "/ip4/0.0.0.0/tcp/4001",
            "/ip4/224.0.0.251/udp/5353/quic-v1",
            "/ip4/255.255.255.255/tcp/1",
            "/ip4/10.0.0.1/tcp/0",
            "/ip4/10.0.0.1/udp/9",
            "/ip4/10.0.0.1/tcp/80/ws",
            "/ip6/fe80::1/tcp/4001",
            "/dns4/example.org/tcp/4001",
            "/ip4/10.0.0.1/tcp/1/p2p-circuit",
        ] {
            assert_eq!(dialable(&address(refused), None), None, "{refused}");
        }
    }

    #[test]
    fn endpoints_and_addresses_are_two_spellings() {
        let peer = PeerId::random();
        for text in ["/ip4/10.77.0.1/udp/4001/quic-v1", "/ip6/2001:db8::1/tcp/4001"] {
            let endpoint = Endpoint::parse(text).unwrap();
            assert_eq!(address_of(&endpoint, &peer), Some(address(text)));
            assert_eq!(endpoint_of(&address(text)), Some(endpoint));
        }
        let group = Endpoint { address: "224.0.0.251:1".parse().unwrap(), quic: true };
        assert_eq!(address_of(&group, &peer), None);
        assert_eq!(endpoint_of(&address("/dns4/porch/tcp/1")), None);
    }

    #[test]
    fn a_taken_port_is_replaced_by_any_port() {
        let any = with_any_port(&address("/ip4/0.0.0.0/udp/4001/quic-v1"));
        assert_eq!(any, Some(address("/ip4/0.0.0.0/udp/0/quic-v1")));
        assert_eq!(with_any_port(&address("/ip4/0.0.0.0/tcp/0")), None);
    }

    #[tokio::test]
    async fn plain_addresses_resolve_to_themselves() {
        let plain = address("/ip4/10.1.2.3/tcp/4");
        assert_eq!(resolve(&plain).await.unwrap(), vec![plain]);
        let local = resolve(&address("/dns4/localhost/tcp/4")).await.unwrap();
        assert!(local.contains(&address("/ip4/127.0.0.1/tcp/4")), "{local:?}");
    }
}
