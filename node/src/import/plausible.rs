//! When a mail was most likely written.
//!
//! Archives claim dates such as the years 99, 1970 and 2036: clocks were wrong, and software had Y2K
//! faults. A claim is never changed; beside it every mail gets a plausible date, by which threads
//! are sorted:
//!
//! 1. The claim, if it lies after 1970 and not in the future; else, for a Y2K fault, the year it
//!    probably means. Otherwise the mail has no date of its own.
//! 2. A date far from the bulk of the archive (beyond its middle half by more than twice its width
//!    and five years) does not count.
//! 3. A date that its neighbours in the file contradict does not count. How far dates of neighbours
//!    lie apart is measured first, so that this does nothing in an archive that is not sorted.
//! 4. Where replies are dated more than a day before what they answer, its date does not count if
//!    several of them say so or its neighbours contradict it more; else the reply's does not.
//! 5. Dates that do not count are interpolated between the neighbours in the file that have one, and
//!    kept between parent and children. In an unsorted archive they lie next to parent or child.
//! 6. Last, every reply lies after what it answers, if only by a second, and nothing in the future.

use super::date::{DAY, century_repaired};

/// Neighbours on each side in the file whose dates are compared.
const NEIGHBOURS: usize = 5;
/// Fewer neighbours with a date than this say nothing.
const MIN_NEIGHBOURS: usize = 4;
/// The least distance from the bulk of the archive that makes a date implausible.
const ARCHIVE_SLACK: i64 = 5 * 365 * DAY;
/// The least distance from the neighbours that makes a date implausible.
const NEIGHBOUR_SLACK: i64 = 30 * DAY;
/// How many times the usual distance from the neighbours is still plausible.
const USUAL_FACTOR: i64 = 20;
/// A usual distance above this means that the archive is not sorted by date.
const UNSORTED: i64 = 60 * DAY;
/// By how much clocks and zones of two people may differ.
const CLOCK_SLACK: i64 = DAY;

/// What is known about the date of one mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dated {
    /// The claim, in Unix seconds.
    pub claimed: Option<i64>,
    /// Index of the mail it answers. Cycles are not allowed; see [`plausible_dates`].
    pub parent: Option<usize>,
}

/// A plausible date in Unix seconds for each mail, given in file order; rules above.
///
/// `now`, in Unix seconds, is the latest date possible. No date is before its parent's, and it
/// is later by a second or more except where that would be after `now`. Mails on a cycle of parents are
/// dated as if they had none.
#[must_use]
pub fn plausible_dates(mails: &[Dated], now: i64) -> Vec<i64> {
    // Far from the ends of the range, so that no sum below overflows.
    let now = now.clamp(1, i64::MAX / 4);
    let mut own: Vec<Option<i64>> = mails.iter().map(|m| own_date(m.claimed, now)).collect();
    drop_far_from_archive(&mut own);
    let neighbours = Neighbours::measure(&own);
    for (date, offset) in own.iter_mut().zip(&neighbours.outside) {
        if offset.is_some_and(|o| o > neighbours.tolerance) {
            *date = None;
        }
    }
    drop_reversed(mails, &mut own, &neighbours);
    let guessed = interpolate(mails, &own, neighbours.usual > UNSORTED, now);
    after_parents(mails, &guessed, now)
}

fn own_date(claimed: Option<i64>, now: i64) -> Option<i64> {
    let possible = |date: &i64| (1..=now).contains(date);
    let claimed = claimed?;
    Some(claimed).filter(possible).or_else(|| century_repaired(claimed).filter(possible))
}

/// Rule 2.
fn drop_far_from_archive(own: &mut [Option<i64>]) {
    let mut sorted: Vec<i64> = own.iter().flatten().copied().collect();
    sorted.sort_unstable();
    let quarter = sorted.len() / 4;
    let (Some(&low), Some(&high)) = (sorted.get(quarter), sorted.iter().rev().nth(quarter)) else {
        return;
    };
    let slack = ARCHIVE_SLACK.max((high - low).saturating_mul(2));
    for date in own.iter_mut() {
        if date.is_some_and(|d| d < low.saturating_sub(slack) || d > high.saturating_add(slack)) {
            *date = None;
        }
    }
}

/// How the dates compare with those of their neighbours in the file.
struct Neighbours {
    /// How far each date lies outside the range of its neighbours, their two extremes left out: a
    /// gap in the archive contradicts nobody, and neither does one wrong neighbour.
    outside: Vec<Option<i64>>,
    /// The usual distance from the middle of the neighbours.
    usual: i64,
    tolerance: i64,
}

impl Neighbours {
    fn measure(own: &[Option<i64>]) -> Self {
        let dated: Vec<i64> = own.iter().flatten().copied().collect();
        let mut outside = Vec::with_capacity(own.len());
        let mut distances = Vec::with_capacity(dated.len());
        let mut nth = 0;
        for date in own {
            outside.push(date.and_then(|date| {
                nth += 1;
                let around = sorted_around(&dated, nth - 1);
                let (low, high) = (around.get(1)?, around.iter().nth_back(1)?);
                distances.push((date - around.get(around.len() / 2)?).abs());
                Some((low - date).max(date - high).max(0))
            }));
        }
        distances.sort_unstable();
        let usual = distances.get(distances.len() / 2).copied().unwrap_or(0);
        let tolerance = NEIGHBOUR_SLACK.max(usual.saturating_mul(USUAL_FACTOR));
        Neighbours { outside, usual, tolerance }
    }
}

/// The dates of the neighbours; none if they are too few to say anything.
fn sorted_around(dated: &[i64], at: usize) -> Vec<i64> {
    let before = dated.get(at.saturating_sub(NEIGHBOURS)..at).unwrap_or_default();
    let after = dated.get(at + 1..dated.len().min(at + 1 + NEIGHBOURS)).unwrap_or_default();
    let mut around: Vec<i64> = before.iter().chain(after).copied().collect();
    if around.len() < MIN_NEIGHBOURS {
        around.clear();
    }
    around.sort_unstable();
    around
}

/// Rule 4.
fn drop_reversed(mails: &[Dated], own: &mut [Option<i64>], neighbours: &Neighbours) {
    // For each parent: children dated before it. Those dated after it fit an earlier date as well.
    let mut against = vec![0_usize; mails.len()];
    let reversed = |own: &[Option<i64>], child: usize, parent: usize| {
        let (Some(Some(child)), Some(Some(parent))) = (own.get(child), own.get(parent)) else {
            return None;
        };
        Some(child + CLOCK_SLACK < *parent)
    };
    for (child, mail) in mails.iter().enumerate() {
        if let Some(parent) = mail.parent
            && reversed(own, child, parent) == Some(true)
            && let Some(votes) = against.get_mut(parent)
        {
            *votes += 1;
        }
    }
    let outside = |at: usize| neighbours.outside.get(at).copied().flatten().unwrap_or(0);
    for (child, mail) in mails.iter().enumerate() {
        let Some(parent) = mail.parent else { continue };
        if reversed(own, child, parent) != Some(true) {
            continue;
        }
        let outvoted = against.get(parent).is_some_and(|votes| *votes > 1);
        let worse = if outvoted || outside(parent) > outside(child) { parent } else { child };
        if let Some(date) = own.get_mut(worse) {
            *date = None;
        }
    }
}

/// Rule 5.
fn interpolate(mails: &[Dated], own: &[Option<i64>], unsorted: bool, now: i64) -> Vec<i64> {
    let known: Vec<(usize, i64)> =
        own.iter().enumerate().filter_map(|(at, date)| Some((at, (*date)?))).collect();
    let mut first_child: Vec<Option<i64>> = vec![None; mails.len()];
    for (mail, date) in mails.iter().zip(own) {
        if let (Some(parent), Some(date)) = (mail.parent, date)
            && let Some(first) = first_child.get_mut(parent)
        {
            *first = Some(first.map_or(*date, |f| f.min(*date)));
        }
    }
    let mut next = 0;
    let mut out = Vec::with_capacity(mails.len());
    for (at, mail) in mails.iter().enumerate() {
        while known.get(next).is_some_and(|(k, _)| *k < at) {
            next += 1;
        }
        if let Some(Some(date)) = own.get(at) {
            out.push(*date);
            continue;
        }
        let before = next.checked_sub(1).and_then(|n| known.get(n));
        let in_file = between(before, known.get(next), at);
        // Without any date in the archive only the order in the file is left.
        let in_file = in_file.unwrap_or_else(|| now - (mails.len() - at) as i64);
        let parent = mail.parent.and_then(|p| own.get(p).copied().flatten());
        let child = first_child.get(at).copied().flatten();
        out.push(match (parent, child) {
            (Some(parent), _) if unsorted => parent + 1,
            (None, Some(child)) if unsorted => child - 1,
            (parent, child) => {
                let date = child.map_or(in_file, |c| in_file.min(c - 1));
                parent.map_or(date, |p| date.max(p + 1))
            }
        });
    }
    out
}

fn between(before: Option<&(usize, i64)>, after: Option<&(usize, i64)>, at: usize) -> Option<i64> {
    match (before, after) {
        (Some((from, start)), Some((to, end))) => {
            let steps = (to - from).max(1) as i64;
            Some(start + (end - start) / steps * (at - from) as i64)
        }
        (Some((from, date)), None) => Some(date + (at - from) as i64),
        (None, Some((to, date))) => Some(date - (to - at) as i64),
        (None, None) => None,
    }
}

/// Rule 6: parents before children, down every tree.
fn after_parents(mails: &[Dated], dates: &[i64], now: i64) -> Vec<i64> {
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); mails.len()];
    let mut ready = Vec::new();
    for (at, mail) in mails.iter().enumerate() {
        match mail.parent.and_then(|p| children.get_mut(p)) {
            Some(siblings) => siblings.push(at),
            None => ready.push((at, 1)),
        }
    }
    let mut out: Vec<i64> = dates.iter().map(|d| (*d).clamp(1, now)).collect();
    while let Some((at, earliest)) = ready.pop() {
        let Some(date) = out.get_mut(at) else { continue };
        *date = (*date).max(earliest).min(now);
        let next = *date + 1;
        ready.extend(children.get(at).into_iter().flatten().map(|&child| (child, next)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 900_000_000;
    const NOW: i64 = 1_700_000_000;

    fn daily(count: usize) -> Vec<Dated> {
        let day = |n: usize| Dated { claimed: Some(START + n as i64 * DAY), parent: None };
        (0..count).map(day).collect()
    }

    fn dates_with(change: impl FnOnce(&mut Vec<Dated>)) -> Vec<i64> {
        let mut mails = daily(40);
        change(&mut mails);
        plausible_dates(&mails, NOW)
    }

    #[test]
    fn good_claims_stay() {
        let dates = dates_with(|_| {});
        let claims: Vec<i64> = daily(40).iter().filter_map(|m| m.claimed).collect();
        assert_eq!(dates, claims);
    }

    #[test]
    fn impossible_claims_are_interpolated() {
        for claim in
            [None, Some(0), Some(-59_000_000_000), Some(NOW + 1), Some(i64::MAX), Some(i64::MIN)]
        {
            let dates = dates_with(|m| m[20].claimed = claim);
            assert_eq!(dates[20], START + 20 * DAY, "{claim:?}");
        }
    }

    #[test]
    fn claims_that_the_neighbours_contradict_are_interpolated() {
        for years in [-20, -2, 2, 15] {
            let dates = dates_with(|m| m[20].claimed = Some(START + years * 365 * DAY));
            assert_eq!(dates[20], START + 20 * DAY, "{years}");
        }
        let dates = dates_with(|m| m[20].claimed = Some(START + 27 * DAY));
        assert_eq!(dates[20], START + 27 * DAY, "a week is no contradiction");
    }

    #[test]
    fn a_y2k_fault_is_repaired() {
        // 1998-07-29 as the year 98.
        let claim = START + 20 * DAY - 59_958_144_000;
        assert_eq!(century_repaired(claim).map(|d| (d - START) / DAY), Some(20));
        let dates = dates_with(|m| m[20].claimed = Some(claim + 3600));
        assert_eq!(dates[20], START + 20 * DAY + 3600);
    }

    #[test]
    fn a_reply_is_never_before_its_parent() {
        let dates = dates_with(|m| {
            m[20].parent = Some(22);
            m[21].parent = Some(20);
            m[5] = Dated { claimed: None, parent: Some(39) };
        });
        assert!(dates[20] > dates[22]);
        assert!(dates[21] > dates[20]);
        assert!(dates[5] > dates[39]);
        let dates = dates_with(|m| {
            m[21] = Dated { claimed: Some(START + 20 * DAY - 600), parent: Some(20) };
        });
        assert_eq!(dates[21], START + 20 * DAY + 1, "clocks differ by minutes");
        assert_eq!(dates[20], START + 20 * DAY);
    }

    #[test]
    fn several_replies_outvote_what_they_answer() {
        let dates = dates_with(|m| {
            for reply in [10, 11, 12] {
                m[reply].parent = Some(25);
            }
        });
        assert!((START + 9 * DAY..START + 10 * DAY).contains(&dates[25]), "{}", dates[25]);
        assert_eq!(dates[11], START + 11 * DAY);
    }

    #[test]
    fn a_gap_in_the_archive_contradicts_nobody() {
        let dates = dates_with(|m| {
            for late in m.iter_mut().skip(20) {
                late.claimed = late.claimed.map(|c| c + 150 * DAY);
            }
            m[20].claimed = Some(START + 50 * DAY);
        });
        assert_eq!(dates[20], START + 50 * DAY);
        assert_eq!(dates[19], START + 19 * DAY);
        assert_eq!(dates[21], START + 171 * DAY);
    }

    #[test]
    fn archives_without_any_date_keep_their_order() {
        let dates = plausible_dates(&[Dated::default(); 5], NOW);
        assert!(dates.windows(2).all(|w| w[0] < w[1]));
        assert!(dates.iter().all(|d| *d <= NOW));
        assert!(plausible_dates(&[], NOW).is_empty());
        assert_eq!(plausible_dates(&[Dated::default()], i64::MIN), [1]);
    }

    #[test]
    fn an_unsorted_archive_keeps_its_claims() {
        let mut mails = daily(400);
        for (n, mail) in mails.iter_mut().enumerate() {
            mail.claimed = Some(START + (n as i64 * 7919 % 400) * 10 * DAY);
        }
        mails[7] = Dated { claimed: None, parent: Some(300) };
        let dates = plausible_dates(&mails, NOW);
        let kept = dates.iter().zip(&mails).filter(|(d, m)| Some(**d) == m.claimed).count();
        assert_eq!(kept, 399);
        assert_eq!(dates[7], dates[300] + 1);
    }

    #[test]
    fn a_cycle_of_parents_does_not_hang() {
        let dates = dates_with(|m| {
            m[1].parent = Some(2);
            m[2].parent = Some(1);
            m[3].parent = Some(99);
        });
        assert_eq!(dates.len(), 40);
    }
}
