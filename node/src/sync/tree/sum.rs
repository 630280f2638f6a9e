//! Sums of ids modulo 2^256, and the fingerprint that negentropy makes of one.

use lanai_crdt::id::EntryId;
use sha2::{Digest as _, Sha256};

/// Bytes of a fingerprint on the wire.
pub(in crate::sync) const FINGERPRINT_BYTES: usize = 16;

/// A fingerprint as it is on the wire.
pub(in crate::sync) type Fingerprint = [u8; FINGERPRINT_BYTES];

/// A sum of ids as little-endian numbers, modulo 2^256: four digits, the least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::sync) struct Sum([u64; 4]);

impl Sum {
    fn of(id: &EntryId) -> Sum {
        let mut digits = [0; 4];
        let (words, _) = id.as_bytes().as_chunks::<8>();
        for (digit, word) in digits.iter_mut().zip(words) {
            *digit = u64::from_le_bytes(*word);
        }
        Sum(digits)
    }

    pub(in crate::sync) fn add(&mut self, other: &Sum) {
        let mut carry = false;
        for (digit, more) in self.0.iter_mut().zip(&other.0) {
            (*digit, carry) = {
                let (sum, over) = digit.overflowing_add(*more);
                let (sum, again) = sum.overflowing_add(u64::from(carry));
                (sum, over || again)
            };
        }
    }

    pub(in crate::sync) fn subtract(&mut self, other: &Sum) {
        let mut borrow = false;
        for (digit, less) in self.0.iter_mut().zip(&other.0) {
            (*digit, borrow) = {
                let (rest, under) = digit.overflowing_sub(*less);
                let (rest, again) = rest.overflowing_sub(u64::from(borrow));
                (rest, under || again)
            };
        }
    }

    pub(in crate::sync) fn add_id(&mut self, id: &EntryId) {
        self.add(&Sum::of(id));
    }

    pub(in crate::sync) fn subtract_id(&mut self, id: &EntryId) {
        self.subtract(&Sum::of(id));
    }

    /// The first half of SHA-256 over the sum, little-endian, and the count as a varint whose first digits
    /// count most.
    pub(in crate::sync) fn fingerprint(&self, count: u64) -> Fingerprint {
        let mut hash = Sha256::new();
        for digit in self.0 {
            hash.update(digit.to_le_bytes());
        }
        let mut varint = Vec::with_capacity(10);
        crate::sync::reconcile::put_varint(&mut varint, count);
        hash.update(&varint);
        hash.finalize().first_chunk().copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn carries_run_through_all_digits() {
        let all = EntryId::new([0xff; 32]);
        let mut one = [0; 32];
        one[0] = 1;
        let mut sum = Sum::default();
        sum.add_id(&all);
        sum.add_id(&EntryId::new(one));
        assert_eq!(sum, Sum::default());
        sum.subtract_id(&EntryId::new(one));
        assert_eq!(sum, Sum::of(&all));
    }

    proptest! {
        #[test]
        fn what_was_added_can_be_taken_away(a: [u8; 32], b: [u8; 32]) {
            let (a, b) = (EntryId::new(a), EntryId::new(b));
            let mut sum = Sum::of(&a);
            sum.add_id(&b);
            let mut other = Sum::of(&b);
            other.add_id(&a);
            prop_assert_eq!(sum, other);
            sum.subtract_id(&a);
            prop_assert_eq!(sum, Sum::of(&b));
        }
    }
}
