//! How nodes find each other: pure machines for what is said on a local network and between members.
//!
//! | module | what |
//! | --- | --- |
//! | [`beacon`] | one datagram of our own, sealed so that only who knows the community's id can read it |
//! | [`announcer`] | when a beacon is sent, whose are believed, who is answered |
//! | [`dns`], [`mdns`] | multicast DNS (RFC 6762) as libp2p nodes speak it: packets, and when to ask and answer |
//! | [`exchange`] | what members tell each other of where other members are, `/lanai/peers/1` |
//! | [`endpoint`], [`limiter`] | an address on the wire; a bound on what one source may cost |
//!
//! 1. **What is found is an address to dial, never a fact.** Whoever answers there proves by the handshake
//!    who it is, and only members' devices are dialled.
//! 2. **A stranger costs as little as possible.** The size is looked at before anything is decoded, one
//!    source gets a bounded number of looks a second, and whatever names no member is dropped before it is
//!    parsed in full. Hundreds of strangers that announce themselves leave the rest as quick as before.
//! 3. **Nobody shouts for ever.** Who comes up asks a few times quickly, then slowly; what another one
//!    asked already is not asked again, and an answer that all have just heard is not repeated.
//! 4. Nothing here opens a socket, reads a clock or asks for randomness: `net::lan` does.

pub mod announcer;
pub mod beacon;
pub mod dns;
pub mod endpoint;
pub mod exchange;
pub mod limiter;
pub mod mdns;

pub use endpoint::Endpoint;

use std::time::Duration;

/// A small generator for jitter. Nothing secret hangs on it.
#[derive(Debug, Clone)]
pub struct Jitter(u64);

impl Jitter {
    /// Starts from a seed that differs between nodes.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number (SplitMix64; Steele, Lea and Flood, 2014).
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A time between two others.
    pub fn between(&mut self, least: Duration, most: Duration) -> Duration {
        let span = u64::try_from(most.saturating_sub(least).as_micros()).unwrap_or(u64::MAX);
        let part = self.next_u64() % span.saturating_add(1).max(1);
        least + Duration::from_micros(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_stays_between_its_bounds_and_moves() {
        let mut jitter = Jitter::new(7);
        let (least, most) = (Duration::from_millis(20), Duration::from_millis(120));
        let all: Vec<Duration> = (0..200).map(|_| jitter.between(least, most)).collect();
        assert!(all.iter().all(|d| (least..=most).contains(d)));
        assert!(all.iter().any(|d| *d < Duration::from_millis(50)));
        assert!(all.iter().any(|d| *d > Duration::from_millis(90)));
        assert_eq!(jitter.between(most, most), most);
    }
}
