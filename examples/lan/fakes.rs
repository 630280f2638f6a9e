//! Announcers that belong to nobody: what a street full of other libp2p nodes, or a nuisance, sends.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use lanai_crdt::entry::DeviceSecret;
use lanai_crdt::id::CommunityId;
use lanai_node::discovery::beacon::{self, Beacon, DATAGRAM, Keyring, Kind};
use lanai_node::discovery::dns::{self, Packet};
use lanai_node::discovery::{Endpoint, mdns};
use lanai_node::net::peer_id_of;
use lanai_node::random::random_bytes;
use socket2::{Domain, Protocol, Socket, Type};
use std::net::UdpSocket;

use super::support::{Result, now};

/// How often each fake asks and sends beacons by itself.
const EACH: Duration = Duration::from_secs(5);

struct Fake {
    secret: DeviceSecret,
    answer: Vec<u8>,
    next: Instant,
}

/// Is that many fakes for some time, behind the interface to which the route for all leads.
pub(crate) fn be(number: usize, time: Duration) -> Result<()> {
    let own = own_address()?;
    let group = SocketAddr::from((mdns::GROUP, mdns::PORT));
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, mdns::PORT)).into())?;
    socket.join_multicast_v4(&mdns::GROUP, &own)?;
    socket.set_multicast_if_v4(&own)?;
    // What they say themselves does not concern them.
    socket.set_multicast_loop_v4(false)?;
    let _less = socket.set_recv_buffer_size(4 << 20);
    let socket = UdpSocket::from(socket);
    socket.set_read_timeout(Some(Duration::from_millis(20)))?;
    let shout = UdpSocket::bind((own, 0))?;
    shout.set_broadcast(true)?;
    let begin = Instant::now();
    let mut fakes = Vec::new();
    for n in 0..number {
        let secret = DeviceSecret::from_bytes(&random_bytes());
        let peer = peer_id_of(secret.device().as_bytes())?.to_string();
        let host = Ipv4Addr::from(u32::from(own) & 0xffff_0000 | 0xc800 | (n as u32 & 0xff));
        let endpoints = [true, false].map(|quic| Endpoint { address: (host, 4001).into(), quic });
        let label = std::array::from_fn(|_| b'a' + random_bytes::<1>()[0] % 26);
        let answer = dns::answer(&label, &peer, &endpoints, mdns::TTL_S);
        fakes.push(Fake { secret, answer, next: begin + EACH.mul_f64(n as f64 / number as f64) });
    }
    let keys = Keyring::new(CommunityId::new(random_bytes()), now() / 1000);
    let mut bytes = [0; 9000];
    let (mut asked, mut answers, mut shouts) = (0u64, 0u64, 0u64);
    while begin.elapsed() < time {
        if let Ok((len, _)) = socket.recv_from(&mut bytes)
            && dns::read(&bytes[..len]) == Some(Packet::Question)
        {
            asked += 1;
            for fake in &fakes {
                answers += u64::from(socket.send_to(&fake.answer, group).is_ok());
            }
        }
        let now = Instant::now();
        for fake in fakes.iter_mut().filter(|fake| fake.next <= now) {
            fake.next = now + EACH;
            let _lost = socket.send_to(&fake.answer, group);
            // One in ten also asks, so that not only members' questions are answered.
            if random_bytes::<1>()[0] < 26 {
                let _lost = socket.send_to(&dns::question(), group);
            }
            let said = Beacon {
                kind: Kind::Ask,
                device: fake.secret.device(),
                boot: 1,
                seq: shouts + 1,
                endpoints: Vec::new(),
            };
            let sealed = keys.seal(&said, &fake.secret, random_bytes());
            for datagram in [sealed, random_bytes::<DATAGRAM>().to_vec()] {
                shouts += u64::from(
                    shout.send_to(&datagram, (Ipv4Addr::BROADCAST, beacon::PORT)).is_ok(),
                );
            }
        }
    }
    println!("{number} fakes: asked {asked} times, {answers} answers, {shouts} beacons");
    Ok(())
}

/// The address of the only interface that is not this machine's own.
fn own_address() -> Result<Ipv4Addr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.set_broadcast(true)?;
    socket.connect((Ipv4Addr::new(10, 77, 0, 1), 9))?;
    match socket.local_addr()?.ip() {
        std::net::IpAddr::V4(ip) => Ok(ip),
        std::net::IpAddr::V6(_) => Err("no IPv4 address".into()),
    }
}
