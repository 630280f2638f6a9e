//! What leads and stewards do with threads and posts (rules 10 to 15), and the history of it.

use std::collections::BTreeMap;

use super::place::Forest;
use super::supersede::{self, Superseding};
use super::{ActStanding, ActView, Deed, LeadAct, TalkEntry};
use crate::id::EntryId;
use crate::payload::{Body, Role, ThreadAct, ThreadOp};

/// What supersedes each other: acts on one post, of one chain.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Chain {
    /// Where it is shown.
    Place,
    /// What the thread that it opens is called.
    Title,
    /// Whether it is folded away.
    Hide,
    /// Whether its thread goes first.
    Pin,
    /// Whether it is shown to everybody.
    Feature,
    /// Whether its thread has this tag, in lower case.
    Tag(String),
}

/// The chains that an act belongs to; the first one decides whether it is current.
pub(super) fn chains(body: &Body) -> Vec<Chain> {
    match body {
        Body::ThreadOp(ThreadOp { act, .. }) => match act {
            ThreadAct::Split(..) => vec![Chain::Place, Chain::Title],
            ThreadAct::Under(..) | ThreadAct::Back => vec![Chain::Place],
            ThreadAct::Retitle(_) => vec![Chain::Title],
        },
        Body::Hide(_) => vec![Chain::Hide],
        Body::Pin(_) => vec![Chain::Pin],
        Body::Feature(_) => vec![Chain::Feature],
        Body::Tag(tag) => vec![Chain::Tag(tag.tag.to_lowercase())],
        _ => Vec::new(),
    }
}

/// Whether the author of a thread may do that too, and not leads and stewards alone.
pub(super) fn is_for_authors(body: &Body) -> bool {
    matches!(body, Body::Tag(_) | Body::ThreadOp(ThreadOp { act: ThreadAct::Retitle(_), .. }))
}

fn reason(body: &Body) -> Option<&str> {
    match body {
        Body::ThreadOp(op) => op.reason.as_deref(),
        Body::Hide(a) => a.reason.as_deref(),
        Body::Pin(a) => a.reason.as_deref(),
        Body::Feature(a) => a.reason.as_deref(),
        _ => None,
    }
}

pub(super) fn word(body: &Body) -> Option<LeadAct> {
    Some(match body {
        Body::ThreadOp(ThreadOp { act, .. }) => match act {
            ThreadAct::Split(title, ask) => LeadAct::Split { title: title.clone(), ask: *ask },
            ThreadAct::Under(thread, post) => {
                LeadAct::Under { thread: EntryId::new(**thread), post: EntryId::new(**post) }
            }
            ThreadAct::Back => LeadAct::Back,
            ThreadAct::Retitle(title) => LeadAct::Retitle(title.clone()),
        },
        Body::Hide(a) => LeadAct::Hide(a.on),
        Body::Pin(a) => LeadAct::Pin(a.on),
        Body::Feature(a) => LeadAct::Feature(a.on),
        Body::Tag(a) => LeadAct::Tag { tag: a.tag.clone(), on: a.on },
        _ => return None,
    })
}

/// Who did it, and why.
pub(super) fn deed(act: &TalkEntry) -> Deed {
    Deed { by: act.member, reason: reason(&act.body).map(str::to_string), entry: act.id }
}

/// The acts of one chain on one post.
struct Line<'a> {
    /// Ascending by id.
    acts: Vec<&'a TalkEntry>,
    resolved: Superseding,
    current: Option<usize>,
}

impl<'a> Line<'a> {
    fn items(acts: &[&'a TalkEntry]) -> Vec<(EntryId, &'a [EntryId])> {
        acts.iter().map(|e| (e.id, e.refs.get(2..).unwrap_or_default())).collect()
    }

    fn new(acts: Vec<&'a TalkEntry>) -> Line<'a> {
        let items = Self::items(&acts);
        let resolved = supersede::resolve(&items, |_, _| true);
        let current = resolved.current(&items, |_| true);
        Line { acts, resolved, current }
    }

    fn current(&self) -> Option<&'a TalkEntry> {
        self.acts.get(self.current?).copied()
    }
}

/// All acts that count, by the post that they are about.
#[derive(Default)]
pub(super) struct Acts<'a> {
    lines: BTreeMap<(usize, Chain), Line<'a>>,
}

impl<'a> Acts<'a> {
    pub(super) fn of(forest: &Forest<'a>) -> Acts<'a> {
        let mut lines: BTreeMap<(usize, Chain), Vec<&TalkEntry>> = BTreeMap::new();
        for home in &forest.homes {
            for e in &home.group.inside {
                let chains = chains(&e.body);
                if chains.is_empty() {
                    continue;
                }
                let Some(node) = Forest::subject(home, e) else { continue };
                let own = || forest.copies(node).iter().any(|c| c.member == e.member);
                if e.role >= Role::Lead || is_for_authors(&e.body) && own() {
                    for chain in chains {
                        lines.entry((node, chain)).or_default().push(e);
                    }
                }
            }
        }
        Acts { lines: lines.into_iter().map(|(key, acts)| (key, Line::new(acts))).collect() }
    }

    /// The act that decides.
    pub(super) fn current(&self, node: usize, chain: &Chain) -> Option<&'a TalkEntry> {
        self.lines.get(&(node, chain.clone()))?.current()
    }

    /// Posts that somebody put somewhere.
    pub(super) fn subjects(&self) -> impl Iterator<Item = usize> {
        self.lines.keys().filter(|(_, chain)| *chain == Chain::Place).map(|(node, _)| *node)
    }

    /// The tags that were set or taken off, in lower case, each with the act that decides.
    pub(super) fn tags(&self, node: usize) -> impl Iterator<Item = (&str, &'a TalkEntry)> {
        let from = (node, Chain::Tag(String::new()));
        self.lines.range(from..).take_while(move |((n, _), _)| *n == node).filter_map(
            |((_, chain), line)| match chain {
                Chain::Tag(tag) => Some((tag.as_str(), line.current()?)),
                _ => None,
            },
        )
    }

    /// What a new act on a post names: of its chains all that stands, the greatest first.
    pub(super) fn to_supersede(&self, node: usize, body: &Body) -> Vec<EntryId> {
        let mut named: Vec<EntryId> = Vec::new();
        for chain in chains(body) {
            let Some(line) = self.lines.get(&(node, chain)) else { continue };
            for head in line.resolved.heads(&Line::items(&line.acts)) {
                if !named.contains(&head) {
                    named.push(head);
                }
            }
        }
        named
    }

    /// All acts by the root of each thread in whose history they stand: the one where the post that
    /// they are about is shown, and the one where the thread is shown that it was written in.
    pub(super) fn history(&self, forest: &Forest<'a>) -> BTreeMap<usize, Vec<ActView>> {
        let mut history: BTreeMap<usize, Vec<ActView>> = BTreeMap::new();
        for ((node, chain), line) in &self.lines {
            let shown_in = |node: usize| forest.shown_in.get(node).copied();
            let home = forest.home(*node).and_then(|(home, _)| shown_in(home.first));
            let shown = shown_in(*node);
            let threads = shown.into_iter().chain(home.filter(|h| Some(*h) != shown));
            let threads: Vec<usize> = threads.collect();
            let Some(subject) = forest.canonical(*node) else { continue };
            for (at, e) in line.acts.iter().enumerate() {
                // A split is in two chains, and listed for its place.
                if chains(&e.body).first() != Some(chain) {
                    continue;
                }
                let Some(act) = word(&e.body) else { continue };
                let standing = if line.current != Some(at) {
                    ActStanding::Replaced
                } else if in_force(forest, *node, e) {
                    ActStanding::InForce
                } else {
                    ActStanding::Idle
                };
                let view = ActView {
                    entry: e.id,
                    by: e.member,
                    time: e.time,
                    post: subject.id,
                    act,
                    reason: reason(&e.body).map(str::to_string),
                    standing,
                };
                for thread in &threads {
                    history.entry(*thread).or_default().push(view.clone());
                }
            }
        }
        for list in history.values_mut() {
            list.sort_by_key(|a| (a.time, a.entry));
        }
        history
    }
}

/// Whether a current act does something as things stand.
fn in_force(forest: &Forest<'_>, node: usize, act: &TalkEntry) -> bool {
    match &act.body {
        Body::ThreadOp(ThreadOp { act: what, .. }) => match what {
            ThreadAct::Split(..) | ThreadAct::Under(..) => {
                forest.placed.get(&node).is_some_and(|by| by.id == act.id)
            }
            ThreadAct::Back => true,
            ThreadAct::Retitle(_) => forest.is_root(node) && forest.takes_title(node),
        },
        Body::Pin(_) | Body::Tag(_) => forest.is_root(node),
        _ => true,
    }
}
