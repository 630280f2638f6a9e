//! What one source may cost: a token bucket for each, in a table of fixed size.
//!
//! Sources are hashed into the table under a seed that others do not know, so a source that makes up
//! senders fills buckets at random and cannot aim at another's. Two sources in one bucket share it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::time::{Duration, Instant};

const BUCKETS: usize = 2048;

#[derive(Debug, Clone, Copy)]
struct Bucket {
    /// When it was or will be full.
    full_at: Instant,
}

/// Looks that each source may have.
#[derive(Debug)]
pub struct Limiter {
    seed: u64,
    /// Time in which one look comes back.
    each: Duration,
    burst: u32,
    buckets: Vec<Option<Bucket>>,
}

impl Limiter {
    /// `burst` looks at once, and one more `each` time.
    #[must_use]
    pub fn new(seed: u64, each: Duration, burst: u32) -> Self {
        Self { seed, each, burst, buckets: vec![None; BUCKETS] }
    }

    /// Takes a look at something of a source, if it has one left.
    pub fn take(&mut self, source: IpAddr, now: Instant) -> bool {
        let mut hasher = DefaultHasher::new();
        (self.seed, source).hash(&mut hasher);
        let place = usize::try_from(hasher.finish() % BUCKETS as u64).unwrap_or(0);
        let Some(bucket) = self.buckets.get_mut(place) else { return false };
        let full_at = bucket.map_or(now, |b| b.full_at.max(now));
        let debt = full_at.saturating_duration_since(now) + self.each;
        if debt > self.each.saturating_mul(self.burst) {
            return false;
        }
        *bucket = Some(Bucket { full_at: now + debt });
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(n: u32) -> IpAddr {
        std::net::Ipv4Addr::from(n).into()
    }

    #[test]
    fn a_flooder_gets_its_share_and_others_theirs() {
        let now = Instant::now();
        let mut limiter = Limiter::new(1, Duration::from_millis(100), 5);
        let at = |ms: u64| now + Duration::from_millis(ms);
        let taken =
            |limiter: &mut Limiter, n, when| (0..100).filter(|_| limiter.take(ip(n), when)).count();
        assert_eq!(taken(&mut limiter, 1, at(0)), 5);
        assert_eq!(taken(&mut limiter, 2, at(0)), 5);
        assert_eq!(taken(&mut limiter, 1, at(99)), 0);
        assert_eq!(taken(&mut limiter, 1, at(100)), 1);
        assert_eq!(taken(&mut limiter, 1, at(10_000)), 5);
    }

    #[test]
    fn made_up_sources_use_up_no_more_than_the_table() {
        let now = Instant::now();
        let mut limiter = Limiter::new(9, Duration::from_millis(100), 5);
        let taken = (0..100_000).filter(|n| limiter.take(ip(*n), now)).count();
        assert_eq!(taken, BUCKETS * 5);
    }
}
