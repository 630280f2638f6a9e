//! Addresses that somebody typed: dialled until a member answers there.
//!
//! Whoever types one address before the other node is up, or while it is too busy to answer, has still
//! said where to look. Once a member answered, the address book takes over.

use std::time::Duration;

use crate::net::{DialError, DialTarget, Multiaddr, NetHandle, Purpose};

/// Before an address is dialled for the second time; each further wait is twice as long.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest wait between two attempts.
const LONGEST_WAIT: Duration = Duration::from_secs(15);

/// The wait after one of this length.
fn next_wait(wait: Duration) -> Duration {
    wait.saturating_mul(2).min(LONGEST_WAIT)
}

/// Whether another attempt may go otherwise.
fn may_change(error: &DialError) -> bool {
    match error {
        DialError::Own | DialError::NoAddress | DialError::Stopped => false,
        DialError::Name(_)
        | DialError::NotAMember(_)
        | DialError::Failed(_)
        | DialError::TimedOut => true,
    }
}

/// Dials until a member answers, the node stops, or it is plain that nobody ever will.
pub(super) fn dial_until_met(net: NetHandle, address: Multiaddr) {
    tokio::spawn(async move {
        let mut wait = FIRST_WAIT;
        loop {
            let target = DialTarget::Address(address.clone());
            let Err(error) = net.dial(target, Purpose::Member).await else { return };
            if matches!(error, DialError::Stopped) {
                return;
            }
            // Said once; the log need not repeat what goes on as before.
            if wait == FIRST_WAIT {
                tracing::warn!("{address}: {error}");
            }
            if !may_change(&error) {
                return;
            }
            tokio::time::sleep(wait).await;
            wait = next_wait(wait);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let waits: Vec<u64> = std::iter::successors(Some(FIRST_WAIT), |w| Some(next_wait(*w)))
            .take(6)
            .map(|w| w.as_secs())
            .collect();
        assert_eq!(waits, [1, 2, 4, 8, 15, 15]);
    }

    #[test]
    fn what_cannot_change_is_not_tried_again() {
        assert!(!may_change(&DialError::Own));
        assert!(!may_change(&DialError::NoAddress));
        assert!(may_change(&DialError::TimedOut));
        assert!(may_change(&DialError::Failed("refused".into())));
    }
}
