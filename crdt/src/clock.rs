//! The hybrid logical clock that stamps entries.
//!
//! 48 bits of Unix milliseconds and 16 bits of counter in one number (Kulkarni, Demirbas et al.,
//! "Logical Physical Clocks", 2014). A stamp is greater than every stamp its author had seen that
//! was not absurdly far ahead, even on a machine whose clock stands still. **Time decides
//! nothing**: it sorts views and is a claim of its author.

/// How far ahead of the local clock a foreign stamp may be and still move our clock, in milliseconds.
pub const MAX_ADOPTED_SKEW_MS: u64 = 10 * 60 * 1000;

const COUNTER_BITS: u32 = 16;
/// Greatest millisecond that fits a stamp (year 10889).
pub const MAX_MILLIS: u64 = (1 << 48) - 1;

/// A hybrid logical time stamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Hlc(pub u64);

impl Hlc {
    /// A stamp of the given Unix milliseconds, counter zero.
    pub const fn from_millis(millis: u64) -> Hlc {
        let millis = if millis > MAX_MILLIS { MAX_MILLIS } else { millis };
        Hlc(millis << COUNTER_BITS)
    }

    /// Unix milliseconds.
    pub const fn millis(self) -> u64 {
        self.0 >> COUNTER_BITS
    }

    /// The next stamp for an own entry, given the last one seen and the wall clock.
    ///
    /// A `last` beyond [`MAX_ADOPTED_SKEW_MS`] ahead is not adopted, so that one absurd clock cannot
    /// push a whole community into the future.
    pub fn next(last: Hlc, now_millis: u64) -> Hlc {
        let now = Hlc::from_millis(now_millis);
        if last.millis() > now_millis.saturating_add(MAX_ADOPTED_SKEW_MS) || now > last {
            now
        } else {
            Hlc(last.0.saturating_add(1))
        }
    }

    /// Whether a stamp is so far ahead of the local clock that it is shown as "clock unsure".
    pub fn is_unsure(self, now_millis: u64) -> bool {
        self.millis() > now_millis.saturating_add(MAX_ADOPTED_SKEW_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_is_monotonic_and_ignores_absurd_clocks() {
        let now = 1_800_000_000_000;
        let a = Hlc::next(Hlc::default(), now);
        assert_eq!(a.millis(), now);
        let b = Hlc::next(a, now - 5000);
        assert!(b > a);
        let near = Hlc::from_millis(now + MAX_ADOPTED_SKEW_MS);
        assert!(Hlc::next(near, now) > near);
        let absurd = Hlc(u64::MAX);
        assert_eq!(Hlc::next(absurd, now).millis(), now);
        assert!(absurd.is_unsure(now) && !near.is_unsure(now));
    }

    #[test]
    fn clocks_at_the_ends() {
        assert_eq!(Hlc::next(Hlc::default(), 0), Hlc(1));
        assert_eq!(Hlc::from_millis(u64::MAX).millis(), MAX_MILLIS);
        assert_eq!(Hlc::next(Hlc(u64::MAX), MAX_MILLIS), Hlc(u64::MAX));
    }
}
