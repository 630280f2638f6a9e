//! Who answers whom.
//!
//! A pure function of light records, after Jamie Zawinski's "message threading", simplified:
//!
//! 1. Of several mails with one message id the first in the file counts; the others are duplicates.
//! 2. A mail answers the nearest of its references that is in the archive.
//! 3. No mail becomes its own ancestor: where references run in a circle, links to mails that stand
//!    earlier in the file are made first, and the link that would close the circle gives way to the
//!    next nearest ancestor, or to none.
//! 4. A mail without such an ancestor whose subject says it is a reply answers the earliest earlier mail
//!    with the same normalised subject. Without "Re:" it starts a thread: two people may well use one
//!    title.
//! 5. Mails are handed out thread by thread: threads by the plausible date of their first mail, the
//!    mails of one by plausible date, then file order, but a parent always before its children. So
//!    whoever writes them in batches touches each thread in one batch or two, and not in all.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use super::plausible::{Dated, plausible_dates};

/// What threading needs to know of a mail.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Record {
    /// Its message id.
    pub message_id: String,
    /// Its ancestors, oldest first.
    pub references: Vec<String>,
    /// Its subject.
    pub subject: String,
    /// The date it claims, in Unix seconds.
    pub claimed: Option<i64>,
}

/// Where a mail belongs. All indices are positions in the list of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// The mail it answers, if any.
    pub parent: Option<usize>,
    /// The mail that starts its thread; itself, if it does.
    pub root: usize,
    /// The first mail with the same message id, if this is a duplicate. Duplicates have no parent, no
    /// children, and are not handed out.
    pub duplicate_of: Option<usize>,
    /// Its plausible date in Unix seconds; see [`plausible`](super::plausible).
    pub plausible: i64,
}

/// The outcome of [`thread`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Threading {
    /// One link for each record, in the same order.
    pub links: Vec<Link>,
    /// All records but the duplicates, parents before children.
    pub order: Vec<usize>,
}

/// Threads records given in file order. `now` (Unix seconds) bounds the plausible dates.
///
/// The result depends on nothing else. Linear in records and references, but for sorting.
#[must_use]
pub fn thread(records: &[Record], now: i64) -> Threading {
    let mut forest = Forest::new(records.len());
    let (by_id, duplicate_of) = first_by_id(records);
    let is_duplicate = |at: usize| duplicate_of.get(at).is_some_and(Option::is_some);

    link_references(records, &by_id, &is_duplicate, &mut forest);
    let dated = |forest: &Forest| -> Vec<i64> {
        let mails: Vec<Dated> = records
            .iter()
            .zip(&forest.parents)
            .map(|(record, &parent)| Dated { claimed: record.claimed, parent })
            .collect();
        plausible_dates(&mails, now)
    };
    let dates = dated(&forest);
    link_subjects(records, &dates, &is_duplicate, &mut forest);
    let dates = dated(&forest);

    let mut order = emission_order(&forest.parents, &dates, &is_duplicate);
    let mut roots: Vec<usize> = (0..records.len()).collect();
    for &at in &order {
        let root = forest.parent(at).and_then(|p| roots.get(p).copied());
        if let (Some(root), Some(slot)) = (root, roots.get_mut(at)) {
            *slot = root;
        }
    }
    let start = |at: usize| roots.get(at).map(|&root| (dates.get(root).copied(), root));
    order.sort_by_key(|&at| start(at));
    let links = roots
        .into_iter()
        .zip(&forest.parents)
        .zip(duplicate_of)
        .zip(&dates)
        .map(|(((root, &parent), duplicate_of), &plausible)| Link {
            parent,
            root,
            duplicate_of,
            plausible,
        })
        .collect();
    Threading { links, order }
}

type ById<'a> = HashMap<&'a str, usize>;

fn first_by_id(records: &[Record]) -> (ById<'_>, Vec<Option<usize>>) {
    let mut by_id = HashMap::with_capacity(records.len());
    let mut duplicate_of = Vec::with_capacity(records.len());
    for (at, record) in records.iter().enumerate() {
        let first = *by_id.entry(record.message_id.as_str()).or_insert(at);
        duplicate_of.push((first != at).then_some(first));
    }
    (by_id, duplicate_of)
}

/// Rules 2 and 3.
fn link_references(
    records: &[Record],
    by_id: &ById<'_>,
    is_duplicate: &impl Fn(usize) -> bool,
    forest: &mut Forest,
) {
    let known = |at: usize| {
        let references = records.get(at).map(|r| r.references.as_slice()).unwrap_or_default();
        references.iter().rev().filter_map(move |id| by_id.get(id.as_str()).copied())
    };
    let counted = (0..records.len()).filter(|&at| !is_duplicate(at));
    let (to_earlier, to_later): (Vec<usize>, Vec<usize>) =
        counted.partition(|&at| known(at).find(|&p| p != at).is_some_and(|p| p < at));
    for at in to_earlier.into_iter().chain(to_later) {
        for parent in known(at) {
            if forest.link(at, parent) {
                break;
            }
        }
    }
}

/// Rule 4.
fn link_subjects(
    records: &[Record],
    dates: &[i64],
    is_duplicate: &impl Fn(usize) -> bool,
    forest: &mut Forest,
) {
    let mut by_date: Vec<(i64, usize)> =
        dates.iter().copied().enumerate().map(|(at, date)| (date, at)).collect();
    by_date.retain(|&(_, at)| !is_duplicate(at));
    by_date.sort_unstable();
    let mut first: HashMap<String, usize> = HashMap::new();
    for (_, at) in by_date {
        let Some(record) = records.get(at) else { continue };
        let subject = Subject::read(&record.subject);
        if subject.normalised.is_empty() {
            continue;
        }
        let earliest = *first.entry(subject.normalised).or_insert(at);
        if subject.is_reply && forest.parent(at).is_none() {
            forest.link(at, earliest);
        }
    }
}

/// Parents before children, else by date, then file order.
fn emission_order(
    parents: &[Option<usize>],
    dates: &[i64],
    is_duplicate: &impl Fn(usize) -> bool,
) -> Vec<usize> {
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); parents.len()];
    let mut ready = BinaryHeap::new();
    let key = |at: usize| Reverse((dates.get(at).copied().unwrap_or(0), at));
    for (at, parent) in parents.iter().enumerate() {
        match parent.and_then(|p| children.get_mut(p)) {
            Some(siblings) => siblings.push(at),
            None if !is_duplicate(at) => ready.push(key(at)),
            None => {}
        }
    }
    let mut order = Vec::with_capacity(parents.len());
    while let Some(Reverse((_, at))) = ready.pop() {
        order.push(at);
        ready.extend(children.get(at).into_iter().flatten().map(|&child| key(child)));
    }
    order
}

/// Parents, and beside them a union-find over the trees, which answers "would this link close a
/// circle" in nearly constant time.
struct Forest {
    parents: Vec<Option<usize>>,
    towards_root: Vec<usize>,
}

impl Forest {
    fn new(len: usize) -> Self {
        Forest { parents: vec![None; len], towards_root: (0..len).collect() }
    }

    fn parent(&self, at: usize) -> Option<usize> {
        self.parents.get(at).copied().flatten()
    }

    /// The root of a tree, shortening the way for the next question (path halving).
    fn root(&mut self, mut at: usize) -> usize {
        loop {
            let up = self.towards_root.get(at).copied().unwrap_or(at);
            if up == at {
                return at;
            }
            let higher = self.towards_root.get(up).copied().unwrap_or(up);
            if let Some(slot) = self.towards_root.get_mut(at) {
                *slot = higher;
            }
            at = up;
        }
    }

    /// Makes `child`, which has no parent yet, answer `parent`. False if that would close a circle.
    fn link(&mut self, child: usize, parent: usize) -> bool {
        // Without a parent, `child` is the root of its tree; so only its own tree is forbidden.
        if self.root(parent) == child {
            return false;
        }
        let (Some(slot), Some(up)) =
            (self.parents.get_mut(child), self.towards_root.get_mut(child))
        else {
            return false;
        };
        *slot = Some(parent);
        *up = parent;
        true
    }
}

/// A subject without what mail programs and list servers put before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// Lower case, white space folded, without prefixes, list tags and "(was: …)".
    pub normalised: String,
    /// Whether one of the prefixes says that it answers something.
    pub is_reply: bool,
}

/// "Re:" in the languages of common mail programs.
const REPLY: [&str; 15] = [
    "re", "aw", "antw", "antwort", "sv", "vs", "odp", "rif", "res", "rép", "vá", "ynt", "回复",
    "答复", "返信",
];
/// "Fwd:" likewise. Forwarding is no answer.
const FORWARD: [&str; 9] = ["fwd", "fw", "wg", "tr", "rv", "enc", "vl", "i", "转发"];
/// Bytes of a list tag such as `[everything-list]`, brackets included.
const MAX_TAG_BYTES: usize = 40;

impl Subject {
    /// Reads a subject, on one line or many.
    #[must_use]
    pub fn read(subject: &str) -> Self {
        let folded = super::text::one_line(subject).to_lowercase();
        let mut rest = folded.as_str();
        let mut is_reply = false;
        loop {
            rest = rest.trim_start();
            if let Some(after) = without_tag(rest) {
                rest = after;
            } else if let Some((reply, after)) = without_prefix(rest) {
                is_reply |= reply;
                rest = after;
            } else {
                break;
            }
        }
        let rest = rest.trim();
        // Normal for a new subject in an old thread: "new (was: old)".
        let rest = rest
            .find("(was:")
            .filter(|at| *at > 0)
            .map_or(rest, |at| rest.get(..at).unwrap_or(rest));
        let rest = rest.trim_end().trim_end_matches("(fwd)").trim_end();
        Subject { normalised: rest.to_owned(), is_reply }
    }
}

/// `[tag] subject` becomes `subject`, unless nothing would be left.
fn without_tag(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('[')?;
    let (tag, after) = inner.split_once(']')?;
    (tag.len() + 2 <= MAX_TAG_BYTES && !after.trim().is_empty()).then_some(after)
}

/// `re: subject`, `re[2]: subject`, `re(2): subject`, `re^2: subject` become `subject`.
fn without_prefix(text: &str) -> Option<(bool, &str)> {
    let (prefix, after) = text.split_once([':', '：'])?;
    let word = prefix.trim_end_matches(|c: char| {
        c.is_ascii_digit() || matches!(c, '[' | ']' | '(' | ')' | '^' | '*' | ' ')
    });
    let reply = REPLY.contains(&word);
    (reply || FORWARD.contains(&word)).then_some((reply, after))
}

#[cfg(test)]
#[path = "threading_tests.rs"]
mod tests;
