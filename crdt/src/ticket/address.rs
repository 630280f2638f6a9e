//! Addresses in a ticket: multiaddr text, written in as few bytes as possible.
//!
//! Each address starts with a byte that says what follows:
//!
//! | bits | meaning |
//! | --- | --- |
//! | 0, 1 | host: 0 = IPv4 (4 bytes follow), 1 = IPv6 (16 bytes), 2 = that of the address before, 3 = text |
//! | 2 | transport: 0 = `/udp/PORT/quic-v1`, 1 = `/tcp/PORT` |
//! | 3 | port: 0 = 2 bytes follow, big endian; 1 = that of the address before |
//! | 4, 5 | peer: 0 = none, 1 = its Ed25519 key follows (32 bytes), 2 = that of the address before |
//! | 6, 7 | zero |
//!
//! in the order host, port, peer. *Text* (bits 2 and 3 zero) is a length byte and the multiaddr
//! without its `/p2p/` part, for whatever has no short form. "The address before" means the last
//! one that has such a part. An address that the short form would not give back letter by letter
//! is written as text.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::Reader;

/// Most bytes of one address as text.
pub const MAX_ADDRESS_BYTES: usize = 200;

/// What precedes an Ed25519 key in a libp2p peer id: identity multihash of 36 bytes, then a
/// protobuf of key type 1 and 32 bytes of data.
const PEER_ID_PREFIX: [u8; 6] = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20];
const BASE58: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

const HOST_SAME: u8 = 2;
const HOST_TEXT: u8 = 3;
const TCP: u8 = 1 << 2;
const PORT_SAME: u8 = 1 << 3;
const PEER_NEW: u8 = 1 << 4;
const PEER_SAME: u8 = 2 << 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Host {
    V4([u8; 4]),
    V6([u8; 16]),
}

/// What the address before had.
#[derive(Default)]
struct Before {
    host: Option<Host>,
    port: Option<u16>,
    peer: Option<[u8; 32]>,
}

/// Whether `text` can stand in a ticket: at most [`MAX_ADDRESS_BYTES`] of printable ASCII that
/// start like a multiaddr.
pub fn is_ticket_address(text: &str) -> bool {
    text.len() <= MAX_ADDRESS_BYTES
        && text.starts_with('/')
        && text.bytes().all(|b| b.is_ascii_graphic())
}

/// Writes acceptable addresses.
pub(super) fn write(out: &mut Vec<u8>, addresses: &[String]) {
    let mut before = Before::default();
    for address in addresses {
        let (rest, peer) = split_peer(address);
        let place = out.len();
        let mut tag;
        out.push(0);
        if let Some((host, port, tcp)) = parse_short(rest) {
            tag = if tcp { TCP } else { 0 };
            if before.host == Some(host) {
                tag |= HOST_SAME;
            } else {
                match host {
                    Host::V4(bytes) => out.extend_from_slice(&bytes),
                    Host::V6(bytes) => {
                        tag |= 1;
                        out.extend_from_slice(&bytes);
                    }
                }
            }
            if before.port == Some(port) {
                tag |= PORT_SAME;
            } else {
                out.extend_from_slice(&port.to_be_bytes());
            }
            before.host = Some(host);
            before.port = Some(port);
        } else {
            tag = HOST_TEXT;
            out.push(u8::try_from(rest.len()).unwrap_or(u8::MAX));
            out.extend_from_slice(rest.as_bytes());
        }
        if let Some(peer) = peer {
            if before.peer == Some(peer) {
                tag |= PEER_SAME;
            } else {
                tag |= PEER_NEW;
                out.extend_from_slice(&peer);
            }
            before.peer = Some(peer);
        }
        if let Some(byte) = out.get_mut(place) {
            *byte = tag;
        }
    }
}

/// Reads `count` addresses; `None` when they are malformed.
pub(super) fn read(r: &mut Reader<'_>, count: usize) -> Option<Vec<String>> {
    let mut before = Before::default();
    let mut addresses = Vec::with_capacity(count);
    for _ in 0..count {
        let tag = r.byte()?;
        let mut address = String::new();
        match tag & 3 {
            HOST_TEXT => {
                if tag & (TCP | PORT_SAME) != 0 {
                    return None;
                }
                let n = usize::from(r.byte()?);
                address.push_str(std::str::from_utf8(r.take(n)?).ok()?);
            }
            kind => {
                let host = match kind {
                    HOST_SAME => before.host?,
                    1 => Host::V6(r.array()?),
                    _ => Host::V4(r.array()?),
                };
                let port = if tag & PORT_SAME != 0 {
                    before.port?
                } else {
                    u16::from_be_bytes(r.array()?)
                };
                before.host = Some(host);
                before.port = Some(port);
                address = short_text(host, port, tag & TCP != 0);
            }
        }
        let peer = match tag & 0xf0 {
            0 => None,
            PEER_NEW => Some(r.array()?),
            PEER_SAME => Some(before.peer?),
            _ => return None,
        };
        if let Some(peer) = peer {
            before.peer = Some(peer);
            address.push_str("/p2p/");
            address.push_str(&peer_id(&peer));
        }
        if !is_ticket_address(&address) {
            return None;
        }
        addresses.push(address);
    }
    Some(addresses)
}

fn short_text(host: Host, port: u16, tcp: bool) -> String {
    let mut text = match host {
        Host::V4(bytes) => format!("/ip4/{}", Ipv4Addr::from(bytes)),
        Host::V6(bytes) => format!("/ip6/{}", Ipv6Addr::from(bytes)),
    };
    // Writing to a string cannot fail.
    let _ = if tcp { write!(text, "/tcp/{port}") } else { write!(text, "/udp/{port}/quic-v1") };
    text
}

/// The short form of a multiaddr, if that gives back exactly `text`.
fn parse_short(text: &str) -> Option<(Host, u16, bool)> {
    let mut parts = text.split('/').skip(1);
    let host = match (parts.next()?, parts.next()?) {
        ("ip4", host) => Host::V4(host.parse::<Ipv4Addr>().ok()?.octets()),
        ("ip6", host) => Host::V6(host.parse::<Ipv6Addr>().ok()?.octets()),
        _ => return None,
    };
    let tcp = parts.next()? == "tcp";
    let port = parts.next()?.parse().ok()?;
    (short_text(host, port, tcp) == text).then_some((host, port, tcp))
}

/// Splits a trailing `/p2p/` with an Ed25519 peer id off.
fn split_peer(address: &str) -> (&str, Option<[u8; 32]>) {
    address
        .rsplit_once("/p2p/")
        .and_then(|(rest, id)| {
            let key = parse_peer_id(id)?;
            (peer_id(&key) == id && is_ticket_address(rest)).then_some((rest, Some(key)))
        })
        .unwrap_or((address, None))
}

/// The libp2p peer id of a device key, in base58 as it stands in addresses.
fn peer_id(key: &[u8; 32]) -> String {
    let bytes = [&PEER_ID_PREFIX[..], key].concat();
    // Base 58 digits, least significant first.
    let mut digits: Vec<u8> = Vec::with_capacity(52);
    for &byte in &bytes {
        let mut carry = u32::from(byte);
        for digit in &mut digits {
            carry += u32::from(*digit) << 8;
            *digit = (carry % 58) as u8;
            carry /= 58;
        }
        while carry > 0 {
            digits.push((carry % 58) as u8);
            carry /= 58;
        }
    }
    // One '1' for each leading zero byte, and the prefix starts with exactly one.
    std::iter::once('1')
        .chain(digits.iter().rev().filter_map(|d| BASE58.get(usize::from(*d)).map(|&c| c as char)))
        .collect()
}

/// The device key in a base58 peer id of an Ed25519 key.
fn parse_peer_id(text: &str) -> Option<[u8; 32]> {
    if text.len() != 52 {
        return None;
    }
    // Base 256, least significant first.
    let mut bytes: Vec<u8> = Vec::with_capacity(38);
    for c in text.bytes() {
        let mut carry = u32::try_from(BASE58.iter().position(|&d| d == c)?).ok()?;
        for byte in &mut bytes {
            carry += u32::from(*byte) * 58;
            *byte = (carry & 0xff) as u8;
            carry >>= 8;
        }
        while carry > 0 {
            bytes.push((carry & 0xff) as u8);
            carry >>= 8;
        }
    }
    bytes.push(0);
    bytes.reverse();
    bytes.strip_prefix(&PEER_ID_PREFIX)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the libp2p specification of peer ids (peer-ids.md): an Ed25519 key and its id.
    const PEER: &str = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA";

    fn round_trip(addresses: &[&str]) -> Vec<u8> {
        let addresses: Vec<String> = addresses.iter().map(|a| (*a).to_string()).collect();
        let mut bytes = Vec::new();
        write(&mut bytes, &addresses);
        let mut r = Reader { bytes: &bytes };
        assert_eq!(read(&mut r, addresses.len()).as_ref(), Some(&addresses));
        assert!(r.bytes.is_empty());
        for n in 0..bytes.len() {
            assert_eq!(read(&mut Reader { bytes: &bytes[..n] }, addresses.len()), None, "{n}");
        }
        bytes
    }

    #[test]
    fn peer_ids() {
        let key = parse_peer_id(PEER).unwrap();
        assert_eq!(peer_id(&key), PEER);
        for k in [[0; 32], [0xff; 32], [7; 32]] {
            let id = peer_id(&k);
            assert_eq!(id.len(), 52);
            assert!(id.starts_with("12D3KooW"), "{id}");
            assert_eq!(parse_peer_id(&id), Some(k));
        }
        assert_eq!(parse_peer_id("QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N"), None);
        assert_eq!(parse_peer_id(&"z".repeat(52)), None);
    }

    #[test]
    fn short_forms_share_what_repeats() {
        let quic = format!("/ip4/192.168.1.20/udp/4001/quic-v1/p2p/{PEER}");
        let tcp = format!("/ip4/192.168.1.20/tcp/4001/p2p/{PEER}");
        let six = format!("/ip6/fe80::1/tcp/4001/p2p/{PEER}");
        let bytes = round_trip(&[&quic, &tcp, &six]);
        assert_eq!(bytes.len(), 1 + 4 + 2 + 32 + 1 + (1 + 16));
        assert_eq!(bytes[..7], [PEER_NEW, 192, 168, 1, 20, 0x0f, 0xa1]);
        assert_eq!(bytes[39], HOST_SAME | TCP | PORT_SAME | PEER_SAME);
        assert_eq!(bytes[40], 1 | TCP | PORT_SAME | PEER_SAME);
        round_trip(&["/ip4/10.0.0.1/tcp/1"]);
    }

    #[test]
    fn everything_else_is_text() {
        let dns = format!("/dns4/node.example/udp/4001/quic-v1/p2p/{PEER}");
        assert_eq!(round_trip(&[&dns]).len(), 2 + dns.len() - 57 + 32);
        for odd in [
            "/ip4/10.0.0.1/tcp/04001",
            "/ip6/FE80::1/tcp/1",
            "/ip4/1.2.3.4/udp/1/quic",
            "/ip4/1.2.3.4/tcp/1/ws",
            "/memory/7",
            "/p2p/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N",
            "/",
        ] {
            round_trip(&[odd]);
        }
        // A bare peer id has nothing in front of it that could stand alone.
        round_trip(&[&format!("/p2p/{PEER}")]);
    }

    #[test]
    fn nonsense_is_refused() {
        for bytes in [
            &[HOST_SAME, 0, 1][..],            // no host before
            &[PORT_SAME, 1, 2, 3, 4],          // no port before
            &[PEER_SAME, 1, 2, 3, 4, 0, 1],    // no peer before
            &[0xc0, 1, 2, 3, 4, 0, 1],         // unknown bits
            &[0x30, 1, 2, 3, 4, 0, 1],         // unknown peer form
            &[HOST_TEXT | TCP, 1, b'/'],       // text with a transport
            &[HOST_TEXT, 2, b'/', 0x1b],       // a control character
            &[HOST_TEXT, 1, b'x'],             // not a multiaddr
            &[HOST_TEXT, 3, b'/', 0xff, 0xff], // not UTF-8
        ] {
            assert_eq!(read(&mut Reader { bytes }, 1), None, "{bytes:?}");
        }
    }
}
