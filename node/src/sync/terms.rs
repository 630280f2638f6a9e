//! Terms of a session: how much it may carry, and how old what it brings may be.
//!
//! Each side says its terms in HELLO; the stricter ones hold for both directions.
//!
//! 1. **Horizon.** Texts of entries that are older do not travel. Their headers do, after
//!    everything else: an entry counts only with all that is before it in its log, so without them
//!    what is newer would not be shown either. When there are more of them than
//!    [`MAX_OLDER_HEADERS`] they are left out as well.
//! 2. **Budget.** Three quarters of it go into whole entries, newest first. What is left of it goes into the
//!    headers of the others, for the same reason. Then the session ends.
//! 3. Roster entries are always sent, before all others, as far as the budget goes.
//! 4. What was left out is counted, and the session says that there is more. The next one brings it:
//!    missing texts are asked for, missing entries are found.

use super::outgoing::StoredEntry;

/// Headers of entries beyond the horizon that a session carries.
pub const MAX_OLDER_HEADERS: usize = 256;
/// Payloads asked for in a session that is to be short.
const FEW_WANTED: usize = 64;
/// Bytes kept back for the frames that end a session.
const LAST_FRAMES_BYTES: u64 = 128;

/// What a session may carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Terms {
    /// No texts from before this, in Unix milliseconds.
    pub since: Option<u64>,
    /// Bytes of both directions, above the transport.
    pub budget: Option<u64>,
    /// The link is paid by the byte: no sessions without a reason.
    pub metered: bool,
}

impl Terms {
    /// Whether anything may be left out.
    pub fn is_limited(&self) -> bool {
        self.since.is_some() || self.budget.is_some()
    }

    /// The stricter of both, term by term.
    pub fn both(self, other: Terms) -> Terms {
        Terms {
            since: self.since.max(other.since),
            budget: self.budget.into_iter().chain(other.budget).min(),
            metered: self.metered || other.metered,
        }
    }

    /// How many payloads of `usual` to ask for.
    pub(super) fn wanted(&self, usual: usize) -> usize {
        let by_budget = self.budget.map_or(usize::MAX, |b| (b / 256) as usize);
        let few = if self.is_limited() { FEW_WANTED } else { usize::MAX };
        usual.min(few).min(by_budget)
    }

    /// How many entries of `usual` to ask for: 32 bytes each.
    pub(super) fn needed(&self, usual: usize) -> usize {
        usual.min(self.budget.map_or(usize::MAX, |b| (b / 256) as usize))
    }

    /// Whether an entry with this time stamp is beyond the horizon.
    pub(super) fn is_older(&self, time: u64) -> bool {
        self.since.is_some_and(|since| time >> 16 < since)
    }

    /// What becomes of a group of so many bytes, after so many.
    pub(super) fn judge(&self, spent: u64, bytes: u64, roster: bool) -> Room {
        let Some(budget) = self.budget else { return Room::Whole };
        let after = spent + bytes + LAST_FRAMES_BYTES;
        match roster {
            true if after <= budget => Room::Whole,
            false if after <= budget / 4 * 3 => Room::Whole,
            false => Room::HeadersUpTo(budget.saturating_sub(spent + LAST_FRAMES_BYTES)),
            true => Room::None,
        }
    }
}

/// What there is room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    /// The group as it is.
    Whole,
    /// Its headers, in so many bytes.
    HeadersUpTo(u64),
    /// Nothing any more.
    None,
}

/// Takes the payloads out; gives how many there were.
pub(super) fn strip(entries: &mut [StoredEntry]) -> u64 {
    let taken = entries.iter_mut().filter_map(|e| e.payload.take());
    taken.count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stricter_terms_hold() {
        let a = Terms { since: Some(5), budget: Some(900), metered: false };
        let b = Terms { since: Some(7), budget: None, metered: true };
        assert_eq!(a.both(b), Terms { since: Some(7), budget: Some(900), metered: true });
        assert_eq!(a.both(Terms::default()), a);
        assert!(b.is_older((7 << 16) - 1) && !b.is_older(7 << 16));
        assert!(!Terms::default().is_older(0));
    }

    #[test]
    fn a_budget_is_for_whole_entries_first_and_then_for_headers() {
        let terms = Terms { budget: Some(10_000), ..Terms::default() };
        assert_eq!(terms.judge(1_000, 6_000, false), Room::Whole);
        assert_eq!(terms.judge(1_000, 7_000, false), Room::HeadersUpTo(8_872));
        assert_eq!(terms.judge(1_000, 7_000, true), Room::Whole);
        assert_eq!(terms.judge(1_000, 9_000, true), Room::None);
        assert_eq!(terms.judge(20_000, 1, false), Room::HeadersUpTo(0));
        assert_eq!(Terms::default().judge(u64::MAX / 2, 1, false), Room::Whole);
        assert_eq!((terms.wanted(4096), terms.needed(4096)), (39, 39));
    }
}
