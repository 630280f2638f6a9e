//! RB: range-based set reconciliation on the negentropy v1 wire (Hoyte, "Range-Based Set
//! Reconciliation", <https://github.com/hoytech/negentropy>; Meyer, "Range-Based Set Reconciliation", 2023), over
//! a [`Tree`], whose fingerprints cost about a microsecond each. In the tests the negentropy crate is the oracle.
//!
//! 1. An item is a [`Key`]: roster entries first, then the newest first. The *driver* sends fingerprints of ranges of its
//!    items; the other side answers, per range, nothing when its fingerprint is the same, finer
//!    fingerprints, or its list of ids. Round by round the driver learns which ids only it has and
//!    which only the other has.
//! 2. **The side with more entries drives**; when both have equally many, the one that opened the
//!    session. Ids that the driver alone has never cross the wire: a node that lacks the last
//!    100,000 posts costs about one kilobyte of reconciliation.
//! 3. The driver's first ranges are short where differences nearly always are, among the newest, and long elsewhere. They are
//!    cut at random places, drawn from its nonce: the fingerprint of a range is a sum of ids, and an author who
//!    can choose many entries could make ids whose sums collide for ranges known beforehand; a range cut elsewhere
//!    shows the difference.
//! 4. Messages are at most [`MAX_BODY_BYTES`] long; what does not fit, the oldest, is carried by one more
//!    fingerprint over the rest. Ids can be reported twice, so they are deduplicated.
//! 5. The driver stops when it knows as many differences as one session carries; these are the first in the
//!    order of sending, so nothing older goes before them.

use std::collections::HashSet;
use std::sync::Arc;

use lanai_crdt::id::EntryId;

use super::config::MAX_BODY_BYTES;
use super::digest::Nonce;
use super::tree::{FINGERPRINT_BYTES, Fingerprint, Key, Tree};

const CUTS_CONTEXT: &str = "lanai v1 session cuts";
/// The first byte of a message: version 1 of the wire.
const WIRE_VERSION: u8 = 0x61;
/// Ranges into which a range is split.
const BUCKETS: usize = 16;
/// Ranges with fewer items are told as lists of ids.
const LIST_BELOW: usize = 2 * BUCKETS;
/// Bytes of a message that are kept for its end.
const SPARE_BYTES: usize = 200;
/// Lengths of the driver's first ranges among the newest, about, the newest first.
const NEWEST_RANGES: [usize; 5] = [32, 128, 512, 2048, 8192];
/// And of those at the end of the roster.
const ROSTER_RANGES: [usize; 2] = [32, 256];
/// Into how many ranges what is older is cut.
const OLDER_RANGES: usize = 8;
/// The place behind all others.
const INFINITY: u64 = u64::MAX;

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
    /// A class 0 entry of version 1: sent before all others.
    pub roster: bool,
}

impl SyncItem {
    /// Where it stands in the reconciled set.
    pub fn key(&self) -> Key {
        Key::new(self.time, self.roster, self.id)
    }
}

/// Entries with all that decides the order in which they are sent; ascending by time and id.
#[derive(Debug, Clone, Default)]
pub struct ItemSet(Arc<Vec<SyncItem>>);

impl ItemSet {
    /// Sorts and deduplicates, which costs little when the store gave them in order.
    pub fn new(mut items: Vec<SyncItem>) -> ItemSet {
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

    /// The tree of all.
    pub fn tree(&self) -> Tree {
        Tree::new(self.0.iter().map(SyncItem::key).collect())
    }
}

/// Why a reconciliation cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReconcileError {
    /// The peer's message is not well-formed.
    #[error("malformed reconciliation message: {0}")]
    Malformed(&'static str),
    /// The peer speaks another version of the reconciliation wire.
    #[error("the peer speaks another version of the reconciliation wire")]
    Version,
}

const CUT_OFF: ReconcileError = ReconcileError::Malformed("cut off");

/// What the driver knows after a message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Learnt {
    /// What only this side has.
    pub have: Vec<Key>,
    /// Ids that only the peer has.
    pub need: Vec<EntryId>,
    /// There are more that only this side has, behind those in `have`.
    pub more: bool,
    /// The next message, or `None` when all differences are known.
    pub reply: Option<Vec<u8>>,
}

/// One side of one reconciliation.
#[derive(Debug, Clone)]
pub struct Reconciler {
    tree: Tree,
    drives: bool,
}

/// The end of a range: all keys before it, as far as an id prefix tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bound {
    key: Key,
    prefix: usize,
}

impl Bound {
    const END: Bound = Bound { key: Key { place: INFINITY, id: EntryId::ZERO }, prefix: 0 };
    const START: Bound = Bound { key: Key { place: 0, id: EntryId::ZERO }, prefix: 0 };

    fn of(key: Key) -> Bound {
        Bound { key, prefix: 32 }
    }

    /// The shortest that tells `after` from the key before it.
    fn between(before: &Key, after: &Key) -> Bound {
        let mut prefix = 0;
        if before.place == after.place {
            let pairs = before.id.as_bytes().iter().zip(after.id.as_bytes());
            prefix = (pairs.take_while(|(a, b)| a == b).count() + 1).min(32);
        }
        let mut id = [0; 32];
        for (to, from) in id.iter_mut().zip(after.id.as_bytes()).take(prefix) {
            *to = *from;
        }
        Bound { key: Key { place: after.place, id: EntryId::new(id) }, prefix }
    }
}

/// Writes ranges; ends of ranges are told as differences from one to the next.
struct Writer {
    out: Vec<u8>,
    last: u64,
}

impl Writer {
    fn new() -> Writer {
        Writer { out: vec![WIRE_VERSION], last: 0 }
    }

    fn is_full(&self) -> bool {
        self.out.len() > MAX_BODY_BYTES - SPARE_BYTES
    }

    fn bound(&mut self, bound: &Bound) {
        let place = bound.key.place;
        if place == INFINITY {
            put_varint(&mut self.out, 0);
        } else {
            put_varint(&mut self.out, place.saturating_sub(self.last).saturating_add(1));
        }
        self.last = place;
        put_varint(&mut self.out, bound.prefix as u64);
        self.out.extend_from_slice(bound.key.id.as_bytes().get(..bound.prefix).unwrap_or_default());
    }

    fn same(&mut self, to: &Bound) {
        self.bound(to);
        self.out.push(0);
    }

    fn fingerprint(&mut self, to: &Bound, fingerprint: &Fingerprint) {
        self.bound(to);
        self.out.push(1);
        self.out.extend_from_slice(fingerprint);
    }

    fn list(&mut self, to: &Bound, ids: &[EntryId]) {
        self.bound(to);
        self.out.push(2);
        put_varint(&mut self.out, ids.len() as u64);
        for id in ids {
            self.out.extend_from_slice(id.as_bytes());
        }
    }

    /// All from `told` on, in one: the message is full.
    fn rest(&mut self, tree: &Tree, told: usize) {
        self.fingerprint(&Bound::END, &tree.fingerprint(told, tree.len()));
    }

    /// Tells the items from `from` up to `to`, whose end is `bound`, more finely.
    fn split(&mut self, tree: &Tree, from: usize, to: usize, bound: &Bound) {
        let count = to.saturating_sub(from);
        if count < LIST_BELOW {
            let ids: Vec<EntryId> = tree.iter_from(from).take(count).map(|k| k.id).collect();
            return self.list(bound, &ids);
        }
        let mut at = from;
        for bucket in 0..BUCKETS {
            let next = at + count / BUCKETS + usize::from(bucket < count % BUCKETS);
            let end = cut_at(tree, next).filter(|_| next < to).unwrap_or(*bound);
            self.fingerprint(&end, &tree.fingerprint(at, next));
            at = next;
        }
    }
}

/// The end of a range before this place; `None` at both ends of the tree.
fn cut_at(tree: &Tree, at: usize) -> Option<Bound> {
    let mut pair = tree.iter_from(at.checked_sub(1)?);
    let (before, after) = (pair.next()?, pair.next()?);
    Some(Bound::between(&before, &after))
}

/// Reads ranges.
struct Reader<'a> {
    rest: &'a [u8],
    last: u64,
}

enum Range<'a> {
    Same,
    Fingerprint(Fingerprint),
    List(&'a [[u8; 32]]),
}

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], ReconcileError> {
        let (head, rest) = self.rest.split_at_checked(n).ok_or(CUT_OFF)?;
        self.rest = rest;
        Ok(head)
    }

    fn varint(&mut self) -> Result<u64, ReconcileError> {
        let mut value = 0u64;
        loop {
            let byte = self.take(1)?.first().copied().ok_or(CUT_OFF)?;
            if value >> 57 != 0 {
                return Err(ReconcileError::Malformed("number"));
            }
            value = value << 7 | u64::from(byte & 0x7f);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
    }

    fn bound(&mut self) -> Result<Bound, ReconcileError> {
        let place = match self.varint()? {
            0 => INFINITY,
            n => (n - 1).saturating_add(self.last),
        };
        self.last = place;
        let prefix = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
        if prefix > 32 {
            return Err(ReconcileError::Malformed("length of an id"));
        }
        let mut id = [0; 32];
        for (to, from) in id.iter_mut().zip(self.take(prefix)?) {
            *to = *from;
        }
        Ok(Bound { key: Key { place, id: EntryId::new(id) }, prefix })
    }

    fn next(&mut self) -> Result<Option<(Bound, Range<'a>)>, ReconcileError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let bound = self.bound()?;
        let range = match self.varint()? {
            0 => Range::Same,
            1 => {
                let bytes = self.take(FINGERPRINT_BYTES)?;
                Range::Fingerprint(bytes.try_into().map_err(|_| CUT_OFF)?)
            }
            2 => {
                // The count is the peer's: what is not there is not reserved.
                let count = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
                let bytes = self.take(count.checked_mul(32).ok_or(CUT_OFF)?)?;
                Range::List(bytes.as_chunks::<32>().0)
            }
            _ => return Err(ReconcileError::Malformed("kind of range")),
        };
        Ok(Some((bound, range)))
    }
}

impl Reconciler {
    /// The driver's side and its first message.
    pub fn drive(tree: Tree, nonce: &Nonce) -> (Reconciler, Vec<u8>) {
        let mut out = Writer::new();
        if tree.len() < LIST_BELOW {
            out.split(&tree, 0, tree.len(), &Bound::END);
        } else {
            let mut from = 0;
            for cut in first_cuts(&tree, nonce).into_iter().chain([tree.len()]) {
                let end = cut_at(&tree, cut).unwrap_or(Bound::END);
                out.fingerprint(&end, &tree.fingerprint(from, cut));
                from = cut;
            }
        }
        (Reconciler { tree, drives: true }, out.out)
    }

    /// The answering side.
    pub fn answering(tree: Tree) -> Reconciler {
        Reconciler { tree, drives: false }
    }

    /// The driver reads an answer. Of what only this side has at most `most` ids are given.
    ///
    /// # Errors
    ///
    /// [`ReconcileError`].
    pub fn learn(&mut self, message: &[u8], most: usize) -> Result<Learnt, ReconcileError> {
        let mut learnt = Learnt::default();
        let reply = self.go_on(message, most, &mut learnt)?;
        learnt.reply = (reply.len() > 1).then_some(reply);
        Ok(learnt)
    }

    /// The answering side reads the driver's message.
    ///
    /// # Errors
    ///
    /// [`ReconcileError`].
    pub fn answer(&mut self, message: &[u8]) -> Result<Vec<u8>, ReconcileError> {
        self.go_on(message, 0, &mut Learnt::default())
    }

    fn go_on(
        &self,
        message: &[u8],
        most: usize,
        learnt: &mut Learnt,
    ) -> Result<Vec<u8>, ReconcileError> {
        let mut out = Writer::new();
        let Some((version, rest)) = message.split_first() else { return Err(CUT_OFF) };
        match *version {
            WIRE_VERSION => {}
            0x60..=0x6f if self.drives => return Err(ReconcileError::Version),
            // It is told which version is spoken here.
            0x60..=0x6f => return Ok(out.out),
            _ => return Err(ReconcileError::Malformed("version")),
        }
        let mut reader = Reader { rest, last: 0 };
        let tree = &self.tree;
        // Items before `from` have been dealt with, those before `told` in what was written.
        let (mut from, mut told) = (0, 0);
        // Where the range begins, and whether what comes before it is the same and that was not said yet.
        let (mut start, mut same) = (Bound::START, false);
        while let Some((bound, range)) = reader.next()? {
            let to = tree.partition_point(|k| *k < bound.key).max(from);
            let before = out.out.len();
            match range {
                Range::Same => same = true,
                Range::Fingerprint(theirs) if theirs == tree.fingerprint(from, to) => same = true,
                Range::List(ids) if self.drives => {
                    self.compare(from, to, ids, most, learnt);
                    same = true;
                }
                Range::Fingerprint(_) => {
                    if std::mem::take(&mut same) {
                        out.same(&start);
                    }
                    out.split(tree, from, to, &bound);
                    if out.is_full() {
                        out.out.truncate(before);
                        out.rest(tree, told);
                        break;
                    }
                    told = to;
                }
                Range::List(_) => {
                    if std::mem::take(&mut same) {
                        out.same(&start);
                    }
                    let room = (MAX_BODY_BYTES - SPARE_BYTES + 1).saturating_sub(before);
                    let count = (to - from).min(room.div_ceil(32));
                    told = from + count;
                    let ids: Vec<EntryId> =
                        tree.iter_from(from).take(count).map(|k| k.id).collect();
                    let end = tree.get(told).filter(|_| told < to).map_or(bound, Bound::of);
                    out.list(&end, &ids);
                    if out.is_full() {
                        out.rest(tree, told);
                        break;
                    }
                }
            }
            from = to;
            start = bound;
        }
        Ok(out.out)
    }

    /// The driver has the peer's list of a range.
    fn compare(&self, from: usize, to: usize, ids: &[[u8; 32]], most: usize, learnt: &mut Learnt) {
        let mut theirs: HashSet<EntryId> = ids.iter().map(|id| EntryId::new(*id)).collect();
        for key in self.tree.iter_from(from).take(to - from) {
            if theirs.remove(&key.id) {
                continue;
            }
            if learnt.have.len() < most {
                learnt.have.push(key);
                continue;
            }
            learnt.more = true;
            if theirs.is_empty() {
                break;
            }
        }
        learnt.need.extend(theirs);
    }
}

/// Where the driver cuts its first ranges, ascending.
fn first_cuts(tree: &Tree, nonce: &Nonce) -> Vec<usize> {
    const DRAWS: usize = NEWEST_RANGES.len() + ROSTER_RANGES.len() + OLDER_RANGES;
    let mut random = [0u8; 4 * DRAWS];
    blake3::Hasher::new_derive_key(CUTS_CONTEXT).update(&nonce.0).finalize_xof().fill(&mut random);
    let (draws, _) = random.as_chunks::<4>();
    let mut draws = draws.iter().map(|d| u32::from_le_bytes(*d) as usize);
    // From half to one and a half of it.
    let mut about = |n: usize| n / 2 + draws.next().unwrap_or(0) % n.max(1);
    let roster = tree.partition_point(Key::is_roster);
    let mut cuts = vec![roster];
    let mut at = roster;
    for length in ROSTER_RANGES {
        at = at.saturating_sub(about(length));
        cuts.push(at);
    }
    at = roster;
    for length in NEWEST_RANGES {
        at += about(length);
        cuts.push(at);
    }
    let older = tree.len().saturating_sub(at) / OLDER_RANGES;
    if older >= LIST_BELOW {
        cuts.extend((0..OLDER_RANGES - 1).map(|i| at + i * older + about(older)));
    }
    cuts.retain(|cut| *cut > 0 && *cut < tree.len());
    cuts.sort_unstable();
    cuts.dedup();
    cuts
}

/// The negentropy wire's own varint: most significant digits first.
pub(super) fn put_varint(out: &mut Vec<u8>, value: u64) {
    let digits = (64 - value.leading_zeros()).div_ceil(7).max(1);
    for i in (0..digits).rev() {
        let more = if i > 0 { 0x80 } else { 0 };
        out.push((value >> (7 * i) & 0x7f) as u8 | more);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use negentropy::{Id, Negentropy, NegentropyStorageVector};
    use proptest::prelude::*;

    use super::*;

    fn item(n: u64) -> Key {
        let id = EntryId::new(blake3::hash(&n.to_be_bytes()).into());
        // Several items share a time, and some lie at both ends of it.
        let time = if n.is_multiple_of(97) { u64::MAX } else { n / 3 * 2 };
        Key::new(time, n.is_multiple_of(13), id)
    }

    fn set(numbers: impl Iterator<Item = u64>) -> Tree {
        Tree::new(numbers.map(item).collect())
    }

    fn ids(tree: &Tree) -> BTreeSet<EntryId> {
        tree.iter_from(0).map(|k| k.id).collect()
    }

    fn crates(tree: &Tree) -> NegentropyStorageVector {
        let mut vector = NegentropyStorageVector::new();
        for key in tree.iter_from(0) {
            vector.insert(key.place, Id::from_byte_array(*key.id.as_bytes())).unwrap();
        }
        vector.seal().unwrap();
        vector
    }

    const LIMIT: u64 = MAX_BODY_BYTES as u64;

    /// Rounds, bytes each way. Every message of either side is compared with what the crate says.
    fn reconcile(mine: &Tree, theirs: &Tree, nonce: u8) -> (usize, usize, usize) {
        let (mut driver, mut message) = Reconciler::drive(mine.clone(), &Nonce([nonce; 16]));
        let mut other = Reconciler::answering(theirs.clone());
        let mut crate_driver = Negentropy::owned(crates(mine), LIMIT).unwrap();
        let mut crate_other = Negentropy::owned(crates(theirs), LIMIT).unwrap();
        crate_driver.set_initiator();
        let (mut have, mut need) = (BTreeSet::new(), BTreeSet::new());
        let (mut crate_have, mut crate_need) = (Vec::new(), Vec::new());
        let (mut rounds, mut up, mut down) = (0, 0, 0);
        loop {
            rounds += 1;
            assert!(message.len() <= MAX_BODY_BYTES && rounds <= 1000);
            up += message.len();
            let answer = other.answer(&message).unwrap();
            assert_eq!(answer, crate_other.reconcile(&message).unwrap());
            assert!(answer.len() <= MAX_BODY_BYTES);
            down += answer.len();
            let learnt = driver.learn(&answer, usize::MAX).unwrap();
            let crates =
                crate_driver.reconcile_with_ids(&answer, &mut crate_have, &mut crate_need).unwrap();
            assert_eq!(learnt.reply, crates);
            assert!(!learnt.more);
            have.extend(learnt.have.iter().map(|k| k.id));
            need.extend(learnt.need);
            match learnt.reply {
                Some(next) => message = next,
                None => break,
            }
        }
        let of = |list: Vec<Id>| list.into_iter().map(|id| EntryId::new(id.to_bytes())).collect();
        assert_eq!((&have, &need), (&of(crate_have), &of(crate_need)));
        let (mine, theirs) = (ids(mine), ids(theirs));
        assert_eq!(have, mine.difference(&theirs).copied().collect());
        assert_eq!(need, theirs.difference(&mine).copied().collect());
        (rounds, up, down)
    }

    #[test]
    fn all_differences_are_found_as_the_crate_finds_them() {
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
    fn what_is_new_is_found_in_the_first_answer() {
        let all: Vec<Key> = (0..50_000).map(|n| Key::new(n, false, item(n).id)).collect();
        let tree = |n: usize| Tree::new(all[..n].to_vec());
        for nonce in 0..20 {
            let (rounds, up, down) = reconcile(&tree(50_000), &tree(49_990), nonce);
            assert!(rounds == 1 && up + down < 1600, "{rounds} {up} {down}");
        }
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
    fn no_more_is_given_than_asked_for_and_the_first_come_first() {
        let all = set(0..3000);
        let (mut driver, first) = Reconciler::drive(all.clone(), &Nonce([1; 16]));
        let answer = Reconciler::answering(set(0..0)).answer(&first).unwrap();
        let learnt = driver.learn(&answer, 100).unwrap();
        assert!(learnt.more && learnt.reply.is_none() && learnt.need.is_empty());
        assert!(learnt.have.iter().copied().eq(all.iter_from(0).take(100)));
        assert!(learnt.have[0].is_roster());
    }

    #[test]
    fn cuts_depend_on_the_nonce() {
        let all = set(0..1000);
        let first = |n: u8| Reconciler::drive(all.clone(), &Nonce([n; 16])).1;
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
            let theirs = set(50..260);
            let (mut driver, first) = Reconciler::drive(all.clone(), &Nonce([1; 16]));
            let mut other = Reconciler::answering(theirs.clone());
            let mut prefixed = vec![0x61];
            prefixed.extend_from_slice(&bytes);
            for message in [&bytes, &prefixed] {
                if let Ok(answer) = other.answer(message) {
                    prop_assert!(answer.len() <= MAX_BODY_BYTES);
                }
                if let Ok(learnt) = driver.learn(message, 50) {
                    prop_assert!(learnt.have.len() <= 50 && learnt.need.len() <= message.len() / 32);
                    prop_assert!(learnt.have.iter().all(|k| all.contains(k)));
                }
            }
            // A message with one byte changed: what the crate makes of it, if it makes anything of it.
            let answer = other.answer(&first).unwrap();
            for message in [first, answer] {
                let mut message = message;
                let at = at % message.len();
                message[at] = value;
                let ours = Reconciler::answering(theirs.clone()).answer(&message);
                let crates = Negentropy::owned(crates(&theirs), LIMIT).unwrap().reconcile(&message);
                if let (Ok(ours), Ok(crates)) = (ours, crates) {
                    prop_assert_eq!(ours, crates);
                }
                if let Ok(learnt) = driver.learn(&message, usize::MAX) {
                    prop_assert!(learnt.have.len() <= all.len());
                }
            }
        }
    }
}
