//! Where a device listens, and its bytes on the wire.
//!
//! One byte of kind (bit 0: QUIC, otherwise TCP; bit 1: IPv6, otherwise IPv4), the address (4 or 16
//! bytes), the port (2 bytes, big-endian). A list is one byte of count and the endpoints.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Endpoints that one device may tell of at once.
pub const MAX_ENDPOINTS: usize = 16;
/// Bytes of the longest endpoint.
pub const MAX_ENDPOINT_BYTES: usize = 19;

const QUIC: u8 = 1;
const IPV6: u8 = 2;

/// An address and how bytes travel there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    /// IP address and port.
    pub address: SocketAddr,
    /// Over QUIC; otherwise over TCP.
    pub quic: bool,
}

/// Why bytes are no list of endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// They end too early.
    #[error("cut off")]
    Short,
    /// More than [`MAX_ENDPOINTS`].
    #[error("more than {MAX_ENDPOINTS} addresses")]
    TooMany,
    /// A kind that is not defined.
    #[error("an unknown kind of address")]
    Kind,
}

impl Endpoint {
    /// As an address on this machine only.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.address.ip().is_loopback()
    }

    /// Appends the bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let quic = if self.quic { QUIC } else { 0 };
        match self.address.ip() {
            IpAddr::V4(ip) => {
                out.push(quic);
                out.extend_from_slice(&ip.octets());
            }
            IpAddr::V6(ip) => {
                out.push(quic | IPV6);
                out.extend_from_slice(&ip.octets());
            }
        }
        out.extend_from_slice(&self.address.port().to_be_bytes());
    }

    /// Takes one from the front of `bytes`.
    ///
    /// # Errors
    /// [`EndpointError`].
    pub fn decode(bytes: &mut &[u8]) -> Result<Self, EndpointError> {
        let [kind] = take::<1>(bytes)?;
        let ip: IpAddr = match kind {
            0 | QUIC => Ipv4Addr::from(take::<4>(bytes)?).into(),
            IPV6 | 3 => Ipv6Addr::from(take::<16>(bytes)?).into(),
            _ => return Err(EndpointError::Kind),
        };
        let port = u16::from_be_bytes(take::<2>(bytes)?);
        Ok(Self { address: SocketAddr::new(ip, port), quic: kind & QUIC != 0 })
    }

    /// Reads `/ip4/192.168.1.7/udp/4001/quic-v1` or `/ip6/…/tcp/4001`; anything else is `None`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('/');
        if parts.next() != Some("") {
            return None;
        }
        let ip: IpAddr = match (parts.next()?, parts.next()?) {
            ("ip4", ip) => ip.parse::<Ipv4Addr>().ok()?.into(),
            ("ip6", ip) => ip.parse::<Ipv6Addr>().ok()?.into(),
            _ => return None,
        };
        let transport = parts.next()?;
        let port: u16 = parts.next()?.parse().ok()?;
        let quic = match (transport, parts.next()) {
            ("tcp", None) => false,
            ("udp", Some("quic-v1")) => true,
            _ => return None,
        };
        parts.next().is_none().then(|| Self { address: SocketAddr::new(ip, port), quic })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.address.is_ipv4() { "ip4" } else { "ip6" };
        let (ip, port) = (self.address.ip(), self.address.port());
        match self.quic {
            true => write!(f, "/{kind}/{ip}/udp/{port}/quic-v1"),
            false => write!(f, "/{kind}/{ip}/tcp/{port}"),
        }
    }
}

/// Appends the first [`MAX_ENDPOINTS`] of a list.
pub fn encode_list(endpoints: &[Endpoint], out: &mut Vec<u8>) {
    let few = endpoints.get(..MAX_ENDPOINTS).unwrap_or(endpoints);
    out.push(u8::try_from(few.len()).unwrap_or(0));
    few.iter().for_each(|endpoint| endpoint.encode(out));
}

/// Takes a list from the front of `bytes`.
///
/// # Errors
/// [`EndpointError`].
pub fn decode_list(bytes: &mut &[u8]) -> Result<Vec<Endpoint>, EndpointError> {
    let [count] = take::<1>(bytes)?;
    if usize::from(count) > MAX_ENDPOINTS {
        return Err(EndpointError::TooMany);
    }
    (0..count).map(|_| Endpoint::decode(bytes)).collect()
}

/// Takes `N` bytes from the front.
pub(super) fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], EndpointError> {
    let (first, rest) = bytes.split_first_chunk::<N>().ok_or(EndpointError::Short)?;
    *bytes = rest;
    Ok(*first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> Vec<Endpoint> {
        vec![
            Endpoint { address: "10.77.0.1:4001".parse().unwrap(), quic: true },
            Endpoint { address: "10.77.0.1:4002".parse().unwrap(), quic: false },
            Endpoint { address: "[2001:db8::7]:65535".parse().unwrap(), quic: true },
        ]
    }

    #[test]
    fn golden_bytes() {
        let mut bytes = Vec::new();
        encode_list(&some(), &mut bytes);
        let golden = [
            &[3u8, 1, 10, 77, 0, 1, 0x0f, 0xa1, 0, 10, 77, 0, 1, 0x0f, 0xa2, 3][..],
            &[0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0xff, 0xff],
        ]
        .concat();
        assert_eq!(bytes, golden);
        let mut rest = bytes.as_slice();
        assert_eq!(decode_list(&mut rest).unwrap(), some());
        assert!(rest.is_empty());
    }

    #[test]
    fn what_is_cut_or_unknown_is_refused() {
        let mut bytes = Vec::new();
        encode_list(&some(), &mut bytes);
        for len in 0..bytes.len() {
            assert_eq!(decode_list(&mut &bytes[..len]), Err(EndpointError::Short), "{len}");
        }
        assert_eq!(decode_list(&mut &[17u8][..]), Err(EndpointError::TooMany));
        assert_eq!(decode_list(&mut &[1u8, 4, 0, 0, 0, 0, 0, 0][..]), Err(EndpointError::Kind));
    }

    #[test]
    fn text_goes_both_ways() {
        for endpoint in some() {
            assert_eq!(Endpoint::parse(&endpoint.to_string()), Some(endpoint));
        }
        for other in [
            "",
            "/",
            "ip4/1.2.3.4/tcp/1",
            "/ip4/1.2.3.4/tcp/1/ws",
            "/ip4/1.2.3.4/udp/1",
            "/ip4/::1/tcp/1",
            "/ip4/1.2.3.4/tcp/65536",
            "/dns4/porch/tcp/1",
            "/ip4/1.2.3.4/udp/1/quic-v1/p2p/x",
        ] {
            assert_eq!(Endpoint::parse(other), None, "{other}");
        }
    }
}
