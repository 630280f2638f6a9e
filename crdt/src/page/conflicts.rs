//! Where two people replaced the same words without seeing each other's change.
//!
//! Automerge keeps both wordings, one after the other, and no word is lost; but the sentence then says
//! something twice. A conflict is a pair or more of concurrent replacements that took away a common
//! character, and of which at least two wordings still stand as they were written. As soon as somebody
//! changes inside one of them, or takes one away, it is settled.

use std::collections::BTreeMap;

use crate::id::EntryId;

/// A character, by the entry that wrote it and the operation's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Element {
    pub(super) source: EntryId,
    pub(super) counter: u64,
}

/// One replacement: what an entry took away, and the characters that it put there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Replaced {
    pub(super) by: EntryId,
    /// The number of the first character inserted; the others follow it.
    pub(super) first: u64,
    /// How many were inserted.
    pub(super) length: usize,
    pub(super) gone: Vec<Element>,
}

/// A place where more than one wording stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// Where the first of them begins, in Unicode scalar values of today's text.
    pub at: usize,
    /// The wordings in the order in which they stand, each with the entry that wrote it.
    pub wordings: Vec<(EntryId, String)>,
}

/// Finds the conflicts of a text whose characters are `elements`.
pub(super) fn find(
    replaced: &[Replaced],
    text: &[char],
    elements: &[Option<Element>],
    concurrent: impl Fn(&EntryId, &EntryId) -> bool,
) -> Vec<Conflict> {
    let mut by_gone: BTreeMap<Element, Vec<usize>> = BTreeMap::new();
    for (at, r) in replaced.iter().enumerate() {
        for element in &r.gone {
            by_gone.entry(*element).or_default().push(at);
        }
    }
    let mut groups = Groups::new(replaced.len());
    for several in by_gone.values().filter(|s| s.len() > 1) {
        for pair in several.windows(2) {
            let [a, b] = pair else { continue };
            let (Some(x), Some(y)) = (replaced.get(*a), replaced.get(*b)) else { continue };
            if concurrent(&x.by, &y.by) {
                groups.join(*a, *b);
            }
        }
    }
    let place: BTreeMap<Element, usize> =
        elements.iter().enumerate().filter_map(|(at, e)| e.map(|e| (e, at))).collect();
    let mut found: BTreeMap<usize, Vec<(usize, EntryId, String)>> = BTreeMap::new();
    for (at, r) in replaced.iter().enumerate() {
        if let Some((start, wording)) = standing(r, text, &place) {
            found.entry(groups.find(at)).or_default().push((start, r.by, wording));
        }
    }
    let mut conflicts: Vec<Conflict> = found
        .into_values()
        .filter(|wordings| wordings.len() > 1)
        .map(|mut wordings| {
            wordings.sort_unstable();
            Conflict {
                at: wordings.first().map_or(0, |(at, ..)| *at),
                wordings: wordings.into_iter().map(|(_, by, text)| (by, text)).collect(),
            }
        })
        .collect();
    conflicts.sort_unstable_by_key(|c| c.at);
    conflicts
}

/// Where a wording stands, if it stands whole and together.
fn standing(
    r: &Replaced,
    text: &[char],
    place: &BTreeMap<Element, usize>,
) -> Option<(usize, String)> {
    let start = *place.get(&Element { source: r.by, counter: r.first })?;
    let mut wording = String::new();
    for n in 0..r.length {
        let element = Element { source: r.by, counter: r.first + n as u64 };
        if place.get(&element) != Some(&(start + n)) {
            return None;
        }
        wording.push(*text.get(start + n)?);
    }
    Some((start, wording))
}

/// Sets of places that belong together.
struct Groups(Vec<usize>);

impl Groups {
    fn new(n: usize) -> Groups {
        Groups((0..n).collect())
    }

    fn find(&self, mut at: usize) -> usize {
        while let Some(up) = self.0.get(at).filter(|up| **up != at) {
            at = *up;
        }
        at
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.find(a), self.find(b));
        if let Some(root) = self.0.get_mut(a.max(b)) {
            *root = a.min(b);
        }
    }
}
