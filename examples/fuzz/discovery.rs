//! What comes from a local network, and what members tell of others.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use lanai_crdt::entry::DeviceSecret;
use lanai_crdt::id::CommunityId;
use lanai_node::discovery::announcer::{self, Announcer};
use lanai_node::discovery::beacon::{Beacon, Keyring, Kind};
use lanai_node::discovery::exchange::{self, Line};
use lanai_node::discovery::mdns::{self, Mdns};
use lanai_node::discovery::{Endpoint, dns, endpoint};

use super::{Decoder, Shape};

const NOON: u64 = 1_750_000_000;
const PEER: &str = "12D3KooWSdaoKPa1TiNhSDvpZx875LEqwN8nHuSdDPyPxyBPu3hi";

fn endpoints() -> Vec<Endpoint> {
    ["/ip4/10.77.0.1/udp/4001/quic-v1", "/ip6/2001:db8::1/tcp/4001"]
        .iter()
        .filter_map(|text| Endpoint::parse(text))
        .collect()
}

pub(super) fn all() -> Vec<Decoder> {
    let from = SocketAddr::from(([10, 0, 0, 9], 5353));
    let secret = DeviceSecret::from_bytes(&[7; 32]);
    let beacon = Beacon {
        kind: Kind::Ask,
        device: secret.device(),
        boot: 5,
        seq: 3,
        endpoints: endpoints(),
    };
    let community = CommunityId::new([1; 32]);
    let sealed = Keyring::new(community, NOON).seal(&beacon, &secret, [9; 24]);
    let mut list = Vec::new();
    endpoint::encode_list(&endpoints(), &mut list);
    let line = Line {
        device: secret.device(),
        age: std::time::Duration::from_secs(3),
        endpoints: endpoints(),
    };
    let lines = exchange::encode(&[line.clone(), line]);
    let answer = dns::answer(&[b'x'; 32], PEER, &endpoints(), 120);
    let good = sealed.clone();
    vec![
        Decoder::new("beacon, opened", 16, Shape::Binary, vec![beacon.encode()], |bytes| {
            match Beacon::decode(bytes) {
                Ok(beacon) => {
                    assert_eq!(beacon.encode(), bytes, "an accepted beacon has one encoding");
                    true
                }
                Err(_) => false,
            }
        }),
        Decoder::new("beacon, as it comes", 4, Shape::Binary, vec![sealed], move |bytes| {
            let mut machine =
                Announcer::new(DeviceSecret::from_bytes(&[8; 32]).device(), community, NOON, 1);
            let members = Arc::new(HashSet::from([DeviceSecret::from_bytes(&[7; 32]).device()]));
            let now = Instant::now();
            let interest = announcer::Input::Interest(announcer::Interest::Members(members));
            machine.handle(interest, now, NOON);
            let input = announcer::Input::Datagram { from, bytes };
            let heard = !machine.handle(input, now, NOON).is_empty();
            assert!(!heard || bytes == good, "a forged beacon is believed");
            heard
        }),
        Decoder::new(
            "mDNS packet",
            16,
            Shape::Binary,
            vec![answer, dns::question()],
            move |bytes| {
                let mut machine = Mdns::new("me".to_owned(), 1);
                let now = Instant::now();
                machine.handle(mdns::Input::Interest(mdns::Interest::Anybody), now);
                let found = machine.handle(mdns::Input::Packet { from, bytes }, now);
                assert!(found.len() <= dns::MAX_RECORDS * 8, "bounded");
                dns::read(bytes).is_some()
            },
        ),
        Decoder::new("list of endpoints", 16, Shape::Binary, vec![list], |bytes| {
            let mut rest = bytes;
            let Ok(endpoints) = endpoint::decode_list(&mut rest) else { return false };
            let mut again = Vec::new();
            endpoint::encode_list(&endpoints, &mut again);
            assert_eq!(again, bytes[..bytes.len() - rest.len()]);
            true
        }),
        Decoder::new("list of peers", 16, Shape::Binary, vec![lines], |bytes| {
            let Ok(lines) = exchange::decode(bytes) else { return false };
            assert!(lines.len() <= exchange::MAX_LINES);
            let again = exchange::encode(&lines);
            assert_eq!(exchange::decode(&again), Ok(lines), "reads as it writes");
            true
        }),
    ]
}
