//! Where posts are shown (rules 11 to 13): all threads that were handed in as one forest.

use std::collections::BTreeMap;

use super::TalkEntry;
use super::acts::{Acts, Chain};
use super::fold::{Entries, Group};
use super::posts::{Posts, ROOT};
use crate::id::EntryId;
use crate::payload::{Body, ThreadAct, ThreadOp};

/// A thread as its authors made it.
pub(super) struct Home<'a> {
    pub(super) group: Group<'a>,
    pub(super) posts: Posts<'a>,
    /// The number of its root among all posts; its other posts follow.
    pub(super) first: usize,
}

/// All posts of all threads, numbered; what leads and stewards did with them; and where each of them
/// is shown.
pub(super) struct Forest<'a> {
    pub(super) homes: Vec<Home<'a>>,
    /// From the id of any copy of a root to its thread.
    home_of: BTreeMap<EntryId, usize>,
    /// The thread of each post.
    of: Vec<usize>,
    pub(super) acts: Acts<'a>,
    /// The post above each one; none for the root of a thread that is shown.
    pub(super) parent: Vec<Option<usize>>,
    /// The act that put a post where it is, other than its author did.
    pub(super) placed: BTreeMap<usize, &'a TalkEntry>,
    /// The root of the thread in which each post is shown.
    pub(super) shown_in: Vec<usize>,
}

/// A post below another one, or as the root of a thread.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Spot {
    Root,
    Below(usize),
}

impl<'a> Forest<'a> {
    pub(super) fn new(all: &Entries<'a>) -> Forest<'a> {
        let mut homes = Vec::new();
        let mut of = Vec::new();
        let mut home_of = BTreeMap::new();
        for group in all.groups() {
            let posts = Posts::build(all, &group.roots, &group.inside);
            let first = of.len();
            of.resize(first + posts.drafts.len(), homes.len());
            home_of.extend(group.roots.iter().map(|r| (r.id, homes.len())));
            homes.push(Home { group, posts, first });
        }
        let parent = vec![None; of.len()];
        let shown_in = (0..of.len()).collect();
        let placed = BTreeMap::new();
        let acts = Acts::default();
        let mut forest = Forest { homes, home_of, of, acts, parent, placed, shown_in };
        forest.acts = Acts::of(&forest);
        forest.place();
        forest.find_roots();
        forest
    }

    pub(super) fn len(&self) -> usize {
        self.of.len()
    }

    /// The thread that a post was written in, and its place there.
    pub(super) fn home(&self, node: usize) -> Option<(&Home<'a>, usize)> {
        let home = self.homes.get(*self.of.get(node)?)?;
        Some((home, node.checked_sub(home.first)?))
    }

    pub(super) fn copies(&self, node: usize) -> &[&'a TalkEntry] {
        self.home(node).map_or(&[], |(home, at)| home.posts.copies(at))
    }

    pub(super) fn canonical(&self, node: usize) -> Option<&'a TalkEntry> {
        self.copies(node).first().copied()
    }

    /// Whether a post opened the thread that it was written in.
    pub(super) fn is_home_root(&self, node: usize) -> bool {
        self.home(node).is_some_and(|(_, at)| at == ROOT)
    }

    /// Whether it is the root of a thread that is shown.
    pub(super) fn is_root(&self, node: usize) -> bool {
        self.parent.get(node).is_some_and(Option::is_none)
    }

    /// The post that an id stands for, in any thread.
    pub(super) fn find(&self, id: &EntryId) -> Option<usize> {
        self.homes.iter().find_map(|h| h.posts.place(id).map(|at| h.first + at))
    }

    /// The post that an entry of this thread is about.
    pub(super) fn subject(home: &Home<'_>, e: &TalkEntry) -> Option<usize> {
        home.posts.place(e.refs.get(1)?).map(|at| home.first + at)
    }

    /// The post that an `Under` names: by the thread that it names itself, which is its own id for a
    /// root.
    pub(super) fn target(&self, thread: &EntryId, post: &EntryId) -> Option<usize> {
        let home = self.homes.get(*self.home_of.get(thread)?)?;
        home.posts.place(post).map(|at| home.first + at)
    }

    /// Where its author put it.
    fn at_home(&self, node: usize) -> Option<usize> {
        let (home, at) = self.home(node)?;
        home.posts.parent(at).map(|p| home.first + p)
    }

    /// Where the act that is current for a post puts it; none for its author's place.
    fn wanted(&self, node: usize) -> Option<(Spot, &'a TalkEntry)> {
        let act = self.acts.current(node, &Chain::Place)?;
        let Body::ThreadOp(ThreadOp { act: what, .. }) = &act.body else { return None };
        let spot = match what {
            ThreadAct::Split(..) => Spot::Root,
            ThreadAct::Under(thread, post) => {
                Spot::Below(self.target(&EntryId::new(**thread), &EntryId::new(**post))?)
            }
            ThreadAct::Back | ThreadAct::Retitle(_) => return None,
        };
        // A thread is a thread already: splitting it off leaves it where its author put it.
        (spot != Spot::Root || !self.is_home_root(node)).then_some((spot, act))
    }

    /// Whether an act may give its thread a title: split-off threads and notes, not asks, whose title
    /// is the first line of their question page.
    pub(super) fn takes_title(&self, node: usize) -> bool {
        let Some((home, at)) = self.home(node) else { return false };
        at != ROOT
            || home.posts.drafts.get(at).is_some_and(|d| {
                !d.withdrawn && d.canonical().is_some_and(|c| matches!(c.body, Body::Note(_)))
            })
    }

    fn place(&mut self) {
        for node in 0..self.len() {
            self.set(node, self.at_home(node));
        }
        let subjects: Vec<usize> = self.acts.subjects().collect();
        for node in subjects {
            if let Some((spot, act)) = self.wanted(node) {
                self.placed.insert(node, act);
                self.set(node, if let Spot::Below(p) = spot { Some(p) } else { None });
            }
        }
        // A loop holds at least one post that was put there, since what authors do makes none. Sending
        // one home may close another loop, which then leads through it.
        let mut suspects: Vec<usize> = self.placed.keys().copied().collect();
        while !suspects.is_empty() {
            let mut home = self.smallest_of_loops(&suspects);
            home.sort_unstable();
            home.dedup();
            for node in &home {
                self.placed.remove(node);
                self.set(*node, self.at_home(*node));
            }
            suspects = home;
        }
    }

    fn set(&mut self, node: usize, parent: Option<usize>) {
        if let Some(place) = self.parent.get_mut(node) {
            *place = parent;
        }
    }

    fn above(&self, node: usize) -> Option<usize> {
        self.parent.get(node).copied().flatten()
    }

    /// The smallest placed post of each loop that leads through one of `suspects`.
    fn smallest_of_loops(&self, suspects: &[usize]) -> Vec<usize> {
        let mut walk_of: BTreeMap<usize, usize> = BTreeMap::new();
        let mut found = Vec::new();
        for start in suspects {
            let mut at = Some(*start);
            while let Some(node) = at.filter(|n| !walk_of.contains_key(n)) {
                walk_of.insert(node, *start);
                at = self.above(node);
            }
            let Some(first) = at.filter(|n| walk_of.get(n) == Some(start)) else { continue };
            let mut round = vec![first];
            let mut at = self.above(first);
            while let Some(node) = at.filter(|n| *n != first) {
                round.push(node);
                at = self.above(node);
            }
            let placed = round.into_iter().filter(|n| self.placed.contains_key(n));
            found.extend(placed.min_by_key(|n| self.canonical(*n).map(|c| c.id)));
        }
        found
    }

    /// Whether `node` is `above` or stands below it.
    pub(super) fn is_below(&self, node: usize, above: usize) -> bool {
        let mut at = Some(node);
        while let Some(now) = at {
            if now == above {
                return true;
            }
            at = self.above(now);
        }
        false
    }

    fn find_roots(&mut self) {
        let mut known = vec![false; self.len()];
        for start in 0..self.len() {
            let mut path = Vec::new();
            let mut at = start;
            let root = loop {
                if known.get(at).copied().unwrap_or(true) {
                    break self.shown_in.get(at).copied().unwrap_or(at);
                }
                path.push(at);
                match self.above(at) {
                    Some(above) => at = above,
                    None => break at,
                }
            };
            for node in path {
                if let (Some(place), Some(known)) =
                    (self.shown_in.get_mut(node), known.get_mut(node))
                {
                    (*place, *known) = (root, true);
                }
            }
        }
    }

    /// All threads: for each root its posts in reading order, with their depth (rule 6).
    pub(super) fn threads(&self) -> Vec<Vec<(usize, u16)>> {
        let mut below: Vec<Vec<usize>> = vec![Vec::new(); self.len()];
        let mut roots = Vec::new();
        for (node, parent) in self.parent.iter().enumerate() {
            match parent.map(|p| below.get_mut(p)) {
                Some(Some(answers)) => answers.push(node),
                _ => roots.push(node),
            }
        }
        let key = |node: &usize| {
            let draft = self.home(*node).and_then(|(home, at)| home.posts.drafts.get(at));
            std::cmp::Reverse(draft.map(super::posts::Draft::sort_key))
        };
        let thread = |root: usize| {
            let mut order = Vec::new();
            let mut stack = vec![(root, 0u16)];
            while let Some((node, depth)) = stack.pop() {
                order.push((node, depth));
                let mut answers = below.get_mut(node).map(std::mem::take).unwrap_or_default();
                answers.sort_by_cached_key(key);
                stack.extend(answers.into_iter().map(|a| (a, depth.saturating_add(1))));
            }
            order
        };
        roots.into_iter().map(thread).collect()
    }
}
