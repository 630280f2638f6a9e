//! What members tell each other of where other members are: `/lanai/peers/1`. Pure.
//!
//! One address that somebody typed is enough to find everybody: whoever is connected to a member is told
//! of the members that this one is connected to, or has heard of a moment ago.
//!
//! 1. One list, one way, on a stream of its own. A list is told after a connection came up, soon after
//!    something in it is new, and every [`REGULAR`] besides; never more often than each [`LEAST`].
//! 2. Each line says how long ago somebody was connected to that device or heard it. Passing on makes it
//!    older, and what is older than [`OLDEST`] is neither told nor taken: a rumour dies out.
//! 3. Nothing here is believed: lines about devices that are no member's here are dropped, and an address
//!    is good for an attempt to connect, in which the device has to prove who it is.
//! 4. Private addresses are told only to who is connected over a private address, and addresses of this
//!    machine only within it. (Members see each other's addresses anyway once they are connected.)

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use lanai_crdt::id::DeviceId;

use super::Endpoint;
use super::endpoint::{self, take};

/// Lines in one list.
pub const MAX_LINES: usize = 128;
/// Addresses in one line.
pub const MAX_ADDRESSES: usize = 8;
/// Bytes of the longest list: what 128 lines of 8 long addresses take.
pub const MAX_BYTES: usize = 3 + MAX_LINES * (35 + MAX_ADDRESSES * endpoint::MAX_ENDPOINT_BYTES);
/// How old a line may be.
pub const OLDEST: Duration = Duration::from_secs(120);

/// Between two lists to one peer, when nothing is new.
pub const REGULAR: Duration = Duration::from_secs(60);
/// The least time between two lists to one peer.
pub const LEAST: Duration = Duration::from_secs(2);
/// After a connection came up, so that the first list is not empty of those that come up with it.
const SETTLING: Duration = Duration::from_millis(250);
/// After something is new, so that what comes together is told together.
const GATHERING: Duration = Duration::from_millis(500);
/// A list that is taken from a peer comes back in this time.
const TAKE_EACH: Duration = Duration::from_millis(500);
/// Lists that are taken from a peer at once.
const TAKES: u32 = 6;

const VERSION: u8 = 1;

/// Where a device was, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Who.
    pub device: DeviceId,
    /// How long ago somebody knew it to be there.
    pub age: Duration,
    /// Where, most promising first.
    pub endpoints: Vec<Endpoint>,
}

/// Why bytes are no list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// A version that this program does not know.
    #[error("of another version")]
    Version,
    /// Too long, cut off, or with something behind its end.
    #[error("malformed")]
    Malformed,
}

/// Writes a list. What is too old or too much is left out.
#[must_use]
pub fn encode(lines: &[Line]) -> Vec<u8> {
    let few: Vec<&Line> = lines.iter().filter(|l| l.age <= OLDEST).take(MAX_LINES).collect();
    let mut out = vec![VERSION];
    out.extend_from_slice(&u16::try_from(few.len()).unwrap_or(0).to_be_bytes());
    for line in few {
        out.extend_from_slice(line.device.as_bytes());
        let age = u16::try_from(line.age.as_secs()).unwrap_or(u16::MAX);
        out.extend_from_slice(&age.to_be_bytes());
        let few = line.endpoints.get(..MAX_ADDRESSES).unwrap_or(&line.endpoints);
        endpoint::encode_list(few, &mut out);
    }
    out
}

/// Reads a list. Lines that are too old are left out.
///
/// # Errors
/// [`ListError`].
pub fn decode(bytes: &[u8]) -> Result<Vec<Line>, ListError> {
    let malformed = |_| ListError::Malformed;
    if bytes.len() > MAX_BYTES {
        return Err(ListError::Malformed);
    }
    let mut rest = bytes;
    let [version] = take::<1>(&mut rest).map_err(malformed)?;
    if version != VERSION {
        return Err(ListError::Version);
    }
    let count = usize::from(u16::from_be_bytes(take(&mut rest).map_err(malformed)?));
    if count > MAX_LINES {
        return Err(ListError::Malformed);
    }
    let mut lines = Vec::new();
    for _ in 0..count {
        let device = DeviceId::new(take(&mut rest).map_err(malformed)?);
        let age = u16::from_be_bytes(take(&mut rest).map_err(malformed)?);
        let endpoints = endpoint::decode_list(&mut rest).map_err(malformed)?;
        if endpoints.len() > MAX_ADDRESSES {
            return Err(ListError::Malformed);
        }
        let age = Duration::from_secs(age.into());
        if age <= OLDEST {
            lines.push(Line { device, age, endpoints });
        }
    }
    if rest.is_empty() { Ok(lines) } else { Err(ListError::Malformed) }
}

/// How far an address reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Within this machine.
    Machine,
    /// Within some private network.
    Private,
    /// Everywhere.
    Global,
}

/// How far an address reaches.
#[must_use]
pub fn scope(ip: IpAddr) -> Scope {
    match ip {
        IpAddr::V4(ip) if ip.is_loopback() => Scope::Machine,
        IpAddr::V4(ip) if ip.is_private() || ip.is_link_local() => Scope::Private,
        IpAddr::V6(ip) if ip.is_loopback() => Scope::Machine,
        IpAddr::V6(ip) if ip.is_unique_local() || ip.is_unicast_link_local() => Scope::Private,
        IpAddr::V4(_) | IpAddr::V6(_) => Scope::Global,
    }
}

/// Rule 4: whether an address is told to a peer that is connected over another one.
#[must_use]
pub fn may_tell(address: IpAddr, listener: IpAddr) -> bool {
    scope(address) >= scope(listener)
}

#[derive(Debug)]
struct Peer {
    due: Instant,
    told: Option<Instant>,
    /// When all lists taken from it will have come back.
    taken: Instant,
}

/// When a list is told to whom, and taken from whom. See the [module](self).
#[derive(Debug, Default)]
pub struct Exchange {
    peers: HashMap<DeviceId, Peer>,
}

impl Exchange {
    /// A device is connected.
    pub fn connected(&mut self, device: DeviceId, now: Instant) {
        let peer = Peer { due: now + SETTLING, told: None, taken: now };
        self.peers.insert(device, peer);
    }

    /// It is gone.
    pub fn disconnected(&mut self, device: &DeviceId) {
        self.peers.remove(device);
    }

    /// The list has something in it that it had not.
    pub fn news(&mut self, now: Instant) {
        for peer in self.peers.values_mut() {
            let earliest = peer.told.map_or(now, |told| now.max(told + LEAST));
            peer.due = peer.due.min(earliest + GATHERING);
        }
    }

    /// Whom to tell now; they count as told.
    pub fn due(&mut self, now: Instant) -> Vec<DeviceId> {
        let mut due = Vec::new();
        for (device, peer) in &mut self.peers {
            if peer.due <= now {
                peer.due = now + REGULAR;
                peer.told = Some(now);
                due.push(*device);
            }
        }
        due
    }

    /// Whether a list of a device is taken now.
    pub fn takes(&mut self, device: &DeviceId, now: Instant) -> bool {
        let Some(peer) = self.peers.get_mut(device) else { return false };
        let back = peer.taken.max(now) + TAKE_EACH;
        let takes = back.saturating_duration_since(now) <= TAKE_EACH * TAKES;
        if takes {
            peer.taken = back;
        }
        takes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(n: u8) -> DeviceId {
        DeviceId::new([n; 32])
    }

    fn line(n: u8, age: u64) -> Line {
        let endpoint = Endpoint { address: ([10, 0, 0, n], 4001).into(), quic: true };
        Line { device: device(n), age: Duration::from_secs(age), endpoints: vec![endpoint] }
    }

    #[test]
    fn golden_bytes() {
        let bytes = encode(&[line(1, 0), line(2, 119)]);
        let golden = [
            &[1u8, 0, 2][..],
            &[1; 32],
            &[0, 0, 1, 1, 10, 0, 0, 1, 0x0f, 0xa1],
            &[2; 32],
            &[0, 119, 1, 1, 10, 0, 0, 2, 0x0f, 0xa1],
        ]
        .concat();
        assert_eq!(bytes, golden);
        assert_eq!(decode(&bytes).unwrap(), [line(1, 0), line(2, 119)]);
    }

    #[test]
    fn the_longest_list_fits_and_more_is_left_out() {
        let long = Endpoint { address: "[2001:db8::1]:1".parse().unwrap(), quic: true };
        let lines: Vec<Line> =
            (0..200).map(|n| Line { endpoints: vec![long; 16], ..line(n, 0) }).collect();
        let bytes = encode(&lines);
        assert!(bytes.len() <= MAX_BYTES, "{}", bytes.len());
        let read = decode(&bytes).unwrap();
        assert_eq!(read.len(), MAX_LINES);
        assert!(read.iter().all(|l| l.endpoints.len() == MAX_ADDRESSES));
    }

    #[test]
    fn what_is_cut_long_old_or_new_is_refused() {
        let bytes = encode(&[line(1, 0), line(2, 3)]);
        for len in 0..bytes.len() {
            assert_eq!(decode(&bytes[..len]), Err(ListError::Malformed), "{len}");
        }
        let mut more = bytes.clone();
        more.push(0);
        assert_eq!(decode(&more), Err(ListError::Malformed));
        assert_eq!(decode(&vec![1; MAX_BYTES + 1]), Err(ListError::Malformed));
        assert_eq!(decode(&[1, 0xff, 0xff]), Err(ListError::Malformed));
        assert_eq!(decode(&[2, 0, 0]), Err(ListError::Version));
        assert_eq!(encode(&[line(1, 121)]), [1, 0, 0]);
        let mut old = encode(&[line(1, 120)]);
        old[36] += 1;
        assert_eq!(decode(&old), Ok(vec![]));
    }

    #[test]
    fn private_addresses_stay_private() {
        let (machine, private, global) = ("127.0.0.1", "192.168.1.7", "192.0.1.7");
        let told = |address: &str, listener: &str| {
            may_tell(address.parse().unwrap(), listener.parse().unwrap())
        };
        for (address, listener, is_told) in [
            (machine, machine, true),
            (private, machine, true),
            (machine, private, false),
            (private, private, true),
            ("fd00::1", private, true),
            (private, global, false),
            ("fe80::1", "2001:db8::1", false),
            (global, private, true),
            (global, global, true),
        ] {
            assert_eq!(told(address, listener), is_told, "{address} to {listener}");
        }
    }

    #[test]
    fn a_list_is_told_soon_then_regularly_and_never_in_a_rush() {
        let start = Instant::now();
        let mut exchange = Exchange::default();
        exchange.connected(device(1), start);
        let mut told = Vec::new();
        for tick in 0..2_000u64 {
            let now = start + Duration::from_millis(tick * 100);
            if tick < 100 {
                exchange.news(now);
            }
            if !exchange.due(now).is_empty() {
                told.push(tick / 10);
            }
        }
        assert_eq!(told.first(), Some(&0));
        let early = told.iter().filter(|second| **second <= 12).count();
        assert!((4..=6).contains(&early), "{told:?}");
        assert!((6..=9).contains(&told.len()), "{told:?}");
        exchange.disconnected(&device(1));
        assert!(exchange.due(start + Duration::from_secs(3600)).is_empty());
    }

    #[test]
    fn who_tells_too_much_is_not_listened_to() {
        let start = Instant::now();
        let mut exchange = Exchange::default();
        assert!(!exchange.takes(&device(1), start));
        exchange.connected(device(1), start);
        let taken = (0..100).filter(|_| exchange.takes(&device(1), start)).count();
        assert_eq!(taken, 6);
        assert!(exchange.takes(&device(1), start + TAKE_EACH));
    }
}
