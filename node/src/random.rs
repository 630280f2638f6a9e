//! Randomness from the operating system: the only place in the node that asks for it.
//!
//! Everything that needs random bytes takes them, or an [`OsRandom`], as an argument.

use std::convert::Infallible;

use lanai_crdt::seal::rand_core::{TryCryptoRng, TryRng};

/// The operating system's generator, as sealing and key generation ask for one.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsRandom;

impl TryRng for OsRandom {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_le_bytes(random_bytes()))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_le_bytes(random_bytes()))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        fill(out);
        Ok(())
    }
}

impl TryCryptoRng for OsRandom {}

/// `N` random bytes: nonces, log numbers, seeds.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut out = [0; N];
    fill(&mut out);
    out
}

#[allow(
    clippy::expect_used,
    reason = "an operating system without randomness cannot run a node: every nonce and key would \
              be known to others, and going on would be worse than stopping"
)]
fn fill(out: &mut [u8]) {
    getrandom::fill(out).expect("the operating system gives random bytes");
}

#[cfg(test)]
mod tests {
    use lanai_crdt::seal::rand_core::Rng as _;

    use super::*;

    #[test]
    fn bytes_differ_and_fill_whole_buffers() {
        assert_ne!(random_bytes::<16>(), random_bytes::<16>());
        let mut long = [0; 1000];
        OsRandom.fill_bytes(&mut long);
        assert!(long.iter().filter(|b| **b == 0).count() < 50);
        assert!(long.iter().rev().take(100).any(|b| *b != 0));
    }
}
