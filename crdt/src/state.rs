//! The state hash: one number that is equal on two nodes exactly when their readers see the same.
//!
//! It covers what is folded from entries (roster, threads, people, the community's name) and nothing
//! local: no inbox, read marks, drafts, peers, or how far an index has come.

use std::collections::BTreeMap;

use crate::id::{EntryId, MemberId};
use crate::payload::PageKind;
use crate::people::{CommunityView, PersonView};
use crate::thread::digest::Digest;

const STATE_CONTEXT: &str = "lanai v1 state";
const THREAD_CONTEXT: &str = "lanai v1 thread of the state";

/// Numbers of a [`ThreadSum`].
const LANES: usize = 1024;

/// A hash of a set of threads to which one is added, and from which one is taken, without the others.
///
/// Each thread, by its canonical root and hash, stands for 1,024 numbers of 16 bits that follow from it; those of all
/// threads are added, without carries (LtHash). To find two sets with one sum is a problem of short vectors in
/// lattices that nobody knows how to solve at this size; a sum of 256 bits could be searched for.
#[derive(Clone, PartialEq, Eq)]
pub struct ThreadSum {
    lanes: Vec<u16>,
    count: u64,
}

impl Default for ThreadSum {
    fn default() -> ThreadSum {
        ThreadSum { lanes: vec![0; LANES], count: 0 }
    }
}

impl std::fmt::Debug for ThreadSum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ThreadSum").field("count", &self.count).finish_non_exhaustive()
    }
}

impl ThreadSum {
    /// How many threads there are.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Adds a thread that is not in it.
    pub fn add(&mut self, root: &EntryId, hash: &[u8; 32]) {
        self.count = self.count.wrapping_add(1);
        for (lane, number) in self.lanes.iter_mut().zip(numbers(root, hash)) {
            *lane = lane.wrapping_add(number);
        }
    }

    /// Takes a thread out that is in it.
    pub fn remove(&mut self, root: &EntryId, hash: &[u8; 32]) {
        self.count = self.count.wrapping_sub(1);
        for (lane, number) in self.lanes.iter_mut().zip(numbers(root, hash)) {
            *lane = lane.wrapping_sub(number);
        }
    }

    /// To be kept.
    pub fn to_bytes(&self) -> Vec<u8> {
        let lanes = self.lanes.iter().flat_map(|lane| lane.to_be_bytes());
        self.count.to_be_bytes().into_iter().chain(lanes).collect()
    }

    /// What was kept; nothing stands for no threads. `None` if it cannot be one.
    pub fn from_bytes(bytes: &[u8]) -> Option<ThreadSum> {
        if bytes.is_empty() {
            return Some(ThreadSum::default());
        }
        let (count, lanes) = bytes.split_first_chunk()?;
        let (lanes, rest) = lanes.as_chunks();
        let whole = lanes.len() == LANES && rest.is_empty();
        whole.then(|| ThreadSum {
            lanes: lanes.iter().map(|lane| u16::from_be_bytes(*lane)).collect(),
            count: u64::from_be_bytes(*count),
        })
    }
}

impl<'a> FromIterator<(&'a EntryId, &'a [u8; 32])> for ThreadSum {
    fn from_iter<I: IntoIterator<Item = (&'a EntryId, &'a [u8; 32])>>(threads: I) -> ThreadSum {
        let mut sum = ThreadSum::default();
        threads.into_iter().for_each(|(root, hash)| sum.add(root, hash));
        sum
    }
}

/// What a thread stands for in a sum.
fn numbers(root: &EntryId, hash: &[u8; 32]) -> impl Iterator<Item = u16> {
    let mut d = Digest::new(THREAD_CONTEXT);
    d.id(root.as_bytes());
    d.id(hash);
    let mut bytes = [0; 2 * LANES];
    d.fill(&mut bytes);
    (0..LANES).map(move |lane| {
        let number = bytes.get(2 * lane..).and_then(|rest| rest.first_chunk());
        number.map_or(0, |number| u16::from_be_bytes(*number))
    })
}

/// Combines the hash of the roster, the sum of all threads, and the hashes of all pages that somebody wrote to (by
/// thread and kind, in any order) with the people, the community's name and charter, and the manifests of the files that were not withdrawn (in any order).
pub fn state_hash(
    roster: [u8; 32],
    threads: &ThreadSum,
    pages: impl IntoIterator<Item = (EntryId, PageKind, [u8; 32])>,
    people: &BTreeMap<MemberId, PersonView>,
    community: Option<&CommunityView>,
    files: impl IntoIterator<Item = EntryId>,
) -> [u8; 32] {
    let mut d = Digest::new(STATE_CONTEXT);
    d.id(&roster);
    d.maybe(community, |d, c| {
        d.bytes(c.name.as_bytes());
        d.maybe(c.charter.as_deref(), |d, t| d.bytes(t.as_bytes()));
        d.id(c.by.as_bytes());
        history(d, c.entry, &c.history);
    });
    d.length(people.len());
    for (member, person) in people {
        d.id(member.as_bytes());
        let p = &person.profile;
        d.bytes(p.name.as_bytes());
        for field in [&p.posts_held, &p.experience, &p.ask_about, &p.reach] {
            d.maybe(field.as_deref(), |d, t| d.bytes(t.as_bytes()));
        }
        history(&mut d, person.entry, &person.history);
        d.length(person.tends.len());
        for tend in &person.tends {
            d.bytes(tend.topic.as_bytes());
            d.number(tend.until);
            d.id(tend.entry.as_bytes());
        }
    }
    d.bytes(&threads.to_bytes());
    let mut pages: Vec<(EntryId, PageKind, [u8; 32])> = pages.into_iter().collect();
    pages.sort_unstable();
    d.length(pages.len());
    for (thread, kind, hash) in &pages {
        d.id(thread.as_bytes());
        d.number(*kind as u64);
        d.id(hash);
    }
    let mut files: Vec<EntryId> = files.into_iter().collect();
    files.sort_unstable();
    d.length(files.len());
    files.iter().for_each(|file| d.id(file.as_bytes()));
    d.finish()
}

fn history(d: &mut Digest, current: EntryId, all: &[EntryId]) {
    d.id(current.as_bytes());
    d.length(all.len());
    all.iter().for_each(|id| d.id(id.as_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::Profile;
    use crate::people::TendView;

    fn person(name: &str, reach: Option<&str>) -> PersonView {
        let reach = reach.map(str::to_string);
        let profile = Profile { name: name.into(), reach, ..Profile::default() };
        let entry = EntryId::new([8; 32]);
        let tends = vec![TendView { topic: "radio".into(), until: 7, entry }];
        let (history, heads) = (vec![entry], vec![entry]);
        PersonView { name: name.into(), profile, entry, history, heads, tends }
    }

    fn named(name: &str) -> CommunityView {
        let entry = EntryId::new([9; 32]);
        let (by, history) = (MemberId::new([1; 32]), vec![entry]);
        CommunityView { name: name.into(), charter: None, by, entry, history, heads: vec![entry] }
    }

    #[test]
    fn covers_every_part_and_no_order() {
        let both = [(EntryId::new([1; 32]), [2; 32]), (EntryId::new([3; 32]), [4; 32])];
        let sum = |threads: &[(EntryId, [u8; 32])]| threads.iter().map(|(t, h)| (t, h)).collect();
        let threads: &ThreadSum = &sum(&both);
        let people = |p| BTreeMap::from([(MemberId::new([1; 32]), p)]);
        let ana = people(person("Ana", None));
        let porch = named("porch");
        let base = state_hash([0; 32], threads, [], &ana, Some(&porch), []);
        let page = (EntryId::new([1; 32]), PageKind::Question, [6; 32]);
        let other_thread = &sum(&[both[0], (both[1].0, [5; 32])]);
        let others = [
            state_hash([1; 32], threads, [], &ana, Some(&porch), []),
            state_hash([0; 32], other_thread, [], &ana, Some(&porch), []),
            state_hash([0; 32], &sum(&both[..1]), [], &ana, Some(&porch), []),
            state_hash([0; 32], threads, [], &people(person("Anna", None)), Some(&porch), []),
            state_hash([0; 32], threads, [], &people(person("Ana", Some(""))), Some(&porch), []),
            state_hash([0; 32], threads, [], &BTreeMap::new(), Some(&porch), []),
            state_hash([0; 32], threads, [], &ana, Some(&named("veranda")), []),
            state_hash([0; 32], threads, [], &ana, None, []),
            state_hash([0; 32], threads, [page], &ana, Some(&porch), []),
            state_hash(
                [0; 32],
                threads,
                [(page.0, PageKind::Answer, page.2)],
                &ana,
                Some(&porch),
                [],
            ),
        ];
        let mut all = others.to_vec();
        all.push(state_hash([0; 32], threads, [], &ana, Some(&porch), [page.0]));
        all.push(base);
        all.sort();
        all.dedup();
        assert_eq!(all.len(), others.len() + 2);
    }

    #[test]
    fn a_sum_knows_no_order_and_forgets_what_is_taken_out() {
        let thread = |n: u8| (EntryId::new([n; 32]), [n ^ 0x55; 32]);
        let mut sum = ThreadSum::default();
        let mut few = ThreadSum::default();
        for n in 0..100 {
            sum.add(&thread(n).0, &thread(n).1);
            few.add(&thread(99 - n).0, &thread(99 - n).1);
        }
        assert_eq!(sum, few);
        for n in 3..100 {
            sum.remove(&thread(n).0, &thread(n).1);
        }
        let left: Vec<_> = (0..3).map(thread).collect();
        assert_eq!(sum, left.iter().map(|(t, h)| (t, h)).collect());
        assert_eq!(ThreadSum::from_bytes(&sum.to_bytes()), Some(sum.clone()));
        assert_eq!(ThreadSum::from_bytes(&[]), Some(ThreadSum::default()));
        assert_eq!(ThreadSum::from_bytes(&sum.to_bytes()[1..]), None);
        // Whose hash is whose matters.
        let [a, b, _] = [thread(1), thread(2), thread(3)];
        let crossed: ThreadSum = [(&a.0, &b.1), (&b.0, &a.1)].into_iter().collect();
        assert_ne!(crossed, [(&a.0, &a.1), (&b.0, &b.1)].into_iter().collect());
    }

    #[test]
    fn golden_hash() {
        let people = BTreeMap::from([(MemberId::new([1; 32]), person("Ana", Some("radio")))]);
        let threads = &[(&EntryId::new([1; 32]), &[2; 32])].into_iter().collect();
        let pages = [(EntryId::new([1; 32]), PageKind::Answer, [6; 32])];
        let hash = state_hash(
            [7; 32],
            threads,
            pages,
            &people,
            Some(&named("porch")),
            [EntryId::new([5; 32])],
        );
        assert_eq!(crate::id::base32(&hash)[..16], *"q42es2h0cwf9gz4z");
    }
}
