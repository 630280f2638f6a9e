//! RB: range-based set reconciliation, the negentropy v1 wire (Hoyte, "Range-Based Set
//! Reconciliation", <https://github.com/hoytech/negentropy>; Meyer 2023).
//!
//! 1. An item is (time, entry id), ordered by both. The *driver* sends fingerprints of ranges of its
//!    items; the other side answers, per range, nothing when its fingerprint is the same, finer
//!    fingerprints, or its list of ids. Round by round the driver learns which ids only it has and
//!    which only the other has.
//! 2. **The side with more entries drives**; when both have equally many, the one that opened the
//!    session. Ids that the driver alone has never cross the wire: a node that lacks the last
//!    100,000 posts costs about one kilobyte of reconciliation.
//! 3. The driver cuts its first ranges at random places, drawn from its nonce. The fingerprint of a
//!    range is a sum of ids, and an author who can choose many entries could make ids whose sums
//!    collide for ranges known beforehand; a range cut elsewhere shows the difference.
//! 4. Messages are at most [`MAX_BODY_BYTES`] long; what does not fit is carried by one more
//!    fingerprint over the rest. Ids can be reported twice, so they are deduplicated.
//! 5. A time of all ones means infinity on this wire, so times are capped one below.
//!
//! The crate is asked to read bytes that a peer made up. It has been fuzzed without a panic, but it
//! indexes slices, and a panic here would take the whole node down with one session; each call is
//! therefore caught and becomes an error of this session. The caught object is not used again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use lanai_crdt::id::EntryId;
use negentropy::{Bound, Id, Item, Negentropy, NegentropyStorageBase};

use super::config::MAX_BODY_BYTES;
use super::digest::Nonce;

const CUTS_CONTEXT: &str = "lanai v1 session cuts";
/// Ranges of the driver's first message.
const RANGES: usize = 16;
/// Below this many items the first message is a list of ids.
const LIST_BELOW: usize = 2 * RANGES;

/// One entry of the reconciled set, as the store tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SyncItem {
    /// The header's time stamp.
    pub time: u64,
    /// Which entry.
    pub id: EntryId,
    /// Entries of one lane share their turns when there is much to send, so that a flood of
    /// entries in one lane delays itself alone. A number for the author's member, or zero for all.
    pub lane: u32,
    /// A class 0 entry: sent before all others.
    pub roster: bool,
}

/// The reconciled set at one moment, in order.
#[derive(Debug, Clone, Default)]
pub struct ItemSet(Arc<Vec<SyncItem>>);

impl ItemSet {
    /// Sorts and deduplicates, which costs little when the store gave them in order.
    pub fn new(mut items: Vec<SyncItem>) -> ItemSet {
        for item in &mut items {
            item.time = item.time.min(u64::MAX - 1);
        }
        if !items.is_sorted_by(|a, b| (a.time, a.id) < (b.time, b.id)) {
            items.sort_unstable();
            items.dedup_by_key(|i| (i.time, i.id));
        }
        ItemSet(Arc::new(items))
    }

    /// The items, ascending by time and id.
    pub fn items(&self) -> &[SyncItem] {
        &self.0
    }

    /// Number of items.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn as_item(item: &SyncItem) -> Item {
    Item::with_timestamp_and_id(item.time, Id::from_byte_array(*item.id.as_bytes()))
}

impl NegentropyStorageBase for ItemSet {
    fn size(&self) -> Result<usize, negentropy::Error> {
        Ok(self.0.len())
    }

    fn get_item(&self, i: usize) -> Result<Option<Item>, negentropy::Error> {
        Ok(self.0.get(i).map(as_item))
    }

    fn iterate(
        &self,
        begin: usize,
        end: usize,
        each: &mut dyn FnMut(Item, usize) -> Result<bool, negentropy::Error>,
    ) -> Result<(), negentropy::Error> {
        let range = self.0.get(begin..end).ok_or(negentropy::Error::BadRange)?;
        for (n, item) in range.iter().enumerate() {
            if !each(as_item(item), begin + n)? {
                break;
            }
        }
        Ok(())
    }

    fn find_lower_bound(&self, first: usize, last: usize, value: &Bound) -> usize {
        let range = self.0.get(first..last).unwrap_or_default();
        first + range.partition_point(|item| as_item(item) < value.item)
    }
}

/// Why a reconciliation cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReconcileError {
    /// The peer's message is not well-formed.
    #[error("malformed reconciliation message: {0}")]
    Malformed(String),
    /// The message made the library panic.
    #[error("the reconciliation library gave up on the peer's message")]
    Panicked,
    /// The peer speaks another version of the reconciliation wire.
    #[error("the peer speaks another version of the reconciliation wire")]
    Version,
}

/// What the driver knows after a message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Learnt {
    /// Ids that only this side has.
    pub have: Vec<EntryId>,
    /// Ids that only the peer has.
    pub need: Vec<EntryId>,
    /// The next message, or `None` when all differences are known.
    pub reply: Option<Vec<u8>>,
}

/// One side of one reconciliation.
pub struct Reconciler {
    machine: Negentropy<'static, ItemSet>,
}

impl std::fmt::Debug for Reconciler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reconciler")
    }
}

fn guarded<T>(call: impl FnOnce() -> Result<T, negentropy::Error>) -> Result<T, ReconcileError> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(negentropy::Error::UnsupportedProtocolVersion)) => Err(ReconcileError::Version),
        Ok(Err(error)) => Err(ReconcileError::Malformed(error.to_string())),
        Err(_) => Err(ReconcileError::Panicked),
    }
}

impl Reconciler {
    /// The driver's side and its first message.
    pub fn drive(items: ItemSet, nonce: &Nonce) -> Result<(Reconciler, Vec<u8>), ReconcileError> {
        let first =
            (items.len() >= LIST_BELOW).then(|| first_message(&items, nonce)).transpose()?;
        let mut machine = guarded(|| Negentropy::owned(items, MAX_BODY_BYTES as u64))?;
        let first = match first {
            Some(first) => {
                machine.set_initiator();
                first
            }
            None => guarded(|| machine.initiate())?,
        };
        Ok((Reconciler { machine }, first))
    }

    /// The answering side.
    pub fn answering(items: ItemSet) -> Result<Reconciler, ReconcileError> {
        guarded(|| Negentropy::owned(items, MAX_BODY_BYTES as u64))
            .map(|machine| Reconciler { machine })
    }

    /// The driver reads an answer.
    pub fn learn(&mut self, message: &[u8]) -> Result<Learnt, ReconcileError> {
        let (mut have, mut need) = (Vec::new(), Vec::new());
        let reply = guarded(|| self.machine.reconcile_with_ids(message, &mut have, &mut need))?;
        let ids = |list: Vec<Id>| list.into_iter().map(|id| EntryId::new(id.to_bytes())).collect();
        Ok(Learnt { have: ids(have), need: ids(need), reply })
    }

    /// The answering side reads the driver's message.
    pub fn answer(&mut self, message: &[u8]) -> Result<Vec<u8>, ReconcileError> {
        guarded(|| self.machine.reconcile(message))
    }
}

/// The driver's first message, with ranges of unequal size: the i-th cut lies anywhere between the
/// i-th and the next of the even places.
fn first_message(items: &ItemSet, nonce: &Nonce) -> Result<Vec<u8>, ReconcileError> {
    let mut random = [0u8; 4 * (RANGES - 1)];
    blake3::Hasher::new_derive_key(CUTS_CONTEXT).update(&nonce.0).finalize_xof().fill(&mut random);
    let even = |i: usize| (i * items.len() / RANGES).max(1);
    let mut cuts: Vec<usize> = Vec::with_capacity(RANGES);
    let (draws, _) = random.as_chunks::<4>();
    for (i, draw) in draws.iter().enumerate() {
        let (from, to) = (even(i), even(i + 1).max(even(i) + 1));
        cuts.push(from + u32::from_le_bytes(*draw) as usize % (to - from));
    }
    cuts.dedup();

    let mut out = vec![negentropy::PROTOCOL_VERSION as u8];
    let (mut from, mut last_time) = (0, 0);
    for cut in cuts.into_iter().map(Some).chain([None]) {
        match cut.and_then(|c| Some((items.items().get(c.checked_sub(1)?)?, items.items().get(c)?)))
        {
            Some((before, after)) => {
                put_varint_msb(&mut out, after.time - last_time + 1);
                last_time = after.time;
                let shared = before.id.as_bytes().iter().zip(after.id.as_bytes());
                let shared = shared.take_while(|(a, b)| a == b).count();
                let prefix = if before.time == after.time { shared + 1 } else { 0 };
                let prefix = after.id.as_bytes().get(..prefix).unwrap_or_default();
                put_varint_msb(&mut out, prefix.len() as u64);
                out.extend_from_slice(prefix);
            }
            // Infinity.
            None => out.extend_from_slice(&[0, 0]),
        }
        let to = cut.unwrap_or(items.len());
        out.push(1);
        out.extend_from_slice(&guarded(|| Ok(items.fingerprint(from, to)?.to_bytes()))?);
        from = to;
    }
    Ok(out)
}

/// The negentropy wire's own varint: most significant digits first.
fn put_varint_msb(out: &mut Vec<u8>, value: u64) {
    let digits = (64 - value.leading_zeros()).div_ceil(7).max(1);
    for i in (0..digits).rev() {
        let more = if i > 0 { 0x80 } else { 0 };
        out.push((value >> (7 * i) & 0x7f) as u8 | more);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn item(n: u64) -> SyncItem {
        let id = EntryId::new(blake3::hash(&n.to_be_bytes()).into());
        // Several items share a time, and some lie at both ends of it.
        let time = if n.is_multiple_of(97) { u64::MAX } else { n / 3 };
        SyncItem { time, id, lane: 0, roster: false }
    }

    fn set(numbers: impl Iterator<Item = u64>) -> ItemSet {
        ItemSet::new(numbers.map(item).collect())
    }

    /// Rounds, bytes each way.
    fn reconcile(mine: &ItemSet, theirs: &ItemSet, nonce: u8) -> (usize, usize, usize) {
        let (mut driver, mut message) =
            Reconciler::drive(mine.clone(), &Nonce([nonce; 16])).unwrap();
        let mut other = Reconciler::answering(theirs.clone()).unwrap();
        let (mut have, mut need) = (BTreeSet::new(), BTreeSet::new());
        let (mut rounds, mut up, mut down) = (0, 0, 0);
        loop {
            rounds += 1;
            assert!(message.len() <= MAX_BODY_BYTES && rounds <= 1000);
            up += message.len();
            let answer = other.answer(&message).unwrap();
            assert!(answer.len() <= MAX_BODY_BYTES);
            down += answer.len();
            let learnt = driver.learn(&answer).unwrap();
            have.extend(learnt.have);
            need.extend(learnt.need);
            match learnt.reply {
                Some(next) => message = next,
                None => break,
            }
        }
        let ids = |s: &ItemSet| s.items().iter().map(|i| i.id).collect::<BTreeSet<_>>();
        let (mine, theirs) = (ids(mine), ids(theirs));
        assert_eq!(have, mine.difference(&theirs).copied().collect());
        assert_eq!(need, theirs.difference(&mine).copied().collect());
        (rounds, up, down)
    }

    #[test]
    fn all_differences_are_found() {
        for n in [0, 1, 5, 31, 32, 33, 40, 100, 1000] {
            let all = set(0..n);
            for nonce in 0..5 {
                reconcile(&all, &all, nonce);
                reconcile(&all, &set(0..0), nonce);
                reconcile(&set(0..0), &all, nonce);
                reconcile(&all, &set((0..n).filter(|i| i % 7 != 3)), nonce);
                reconcile(
                    &set((0..n).filter(|i| i % 5 != 1)),
                    &set((0..n).filter(|i| i % 7 != 3)),
                    nonce,
                );
                reconcile(&set(0..n / 2), &set(n / 2..n), nonce);
            }
        }
    }

    #[test]
    fn a_driver_with_more_costs_a_kilobyte() {
        let all = set(0..20_000);
        let (rounds, up, down) = reconcile(&all, &set(0..1000), 3);
        assert!(rounds <= 4 && up + down < 6000, "{rounds} {up} {down}");
        let (rounds, up, down) = reconcile(&all, &set(0..19_900), 3);
        assert!(rounds <= 4 && up + down < 6000, "{rounds} {up} {down}");
        let (_, up, down) = reconcile(&all, &all, 3);
        assert!(up + down < 500, "{up} {down}");
    }

    #[test]
    fn long_answers_are_cut_into_messages() {
        let all = set(0..6000);
        let (rounds, ..) = reconcile(&set(0..0), &all, 1);
        assert!(rounds >= 3, "{rounds}");
        let (even, odd) =
            (set((0..6000).filter(|i| i % 2 == 0)), set((0..6000).filter(|i| i % 2 == 1)));
        reconcile(&even, &odd, 1);
    }

    #[test]
    fn cuts_depend_on_the_nonce() {
        let all = set(0..1000);
        let first = |n: u8| Reconciler::drive(all.clone(), &Nonce([n; 16])).unwrap().1;
        assert_eq!(first(1), first(1));
        assert_ne!(first(1), first(2));
    }

    proptest! {
        #[test]
        fn random_sets(a: BTreeSet<u16>, b: BTreeSet<u16>, nonce: u8) {
            let of = |s: &BTreeSet<u16>| set(s.iter().map(|n| u64::from(*n)));
            reconcile(&of(&a), &of(&b), nonce);
        }

        #[test]
        fn hostile_messages_end_in_errors(bytes in proptest::collection::vec(any::<u8>(), 0..400),
                                          at in 0usize..400, value: u8) {
            let all = set(0..200);
            let (mut driver, first) = Reconciler::drive(all.clone(), &Nonce([1; 16])).unwrap();
            let mut other = Reconciler::answering(set(50..260)).unwrap();
            let mut prefixed = vec![0x61];
            prefixed.extend_from_slice(&bytes);
            for message in [&bytes, &prefixed] {
                if let Ok(answer) = other.answer(message) {
                    prop_assert!(answer.len() <= MAX_BODY_BYTES);
                }
                let _ = driver.learn(message);
            }
            let mut answer = other.answer(&first).unwrap();
            let at = at % answer.len();
            answer[at] = value;
            if let Ok(learnt) = driver.learn(&answer) {
                prop_assert!(learnt.have.len() <= all.len() * (answer.len() + 1));
            }
        }
    }
}
