//! What a reader sees: threads out of the forest (rules 8, 9 and 13 to 15).

use std::collections::{BTreeMap, BTreeSet};

use super::acts::{Chain, deed};
use super::fold::Entries;
use super::place::Forest;
use super::posts::{Posts, ROOT, sort_millis};
use super::{
    AskForm, Moved, PostKind, PostText, PostView, TalkEntry, Thread, ThreadKind, digest, marks,
};
use crate::id::EntryId;
use crate::payload::{Body, Mark, Reaction, ThreadAct, ThreadOp};

/// All threads, in no order.
pub(super) fn threads(all: &Entries<'_>, forest: &Forest<'_>) -> Vec<Thread> {
    let facts = Facts::of(all, forest);
    forest.threads().iter().filter_map(|order| thread(forest, &facts, order)).collect()
}

/// What is looked up for each post.
struct Facts<'a> {
    /// Posts by themselves.
    views: Vec<Option<PostView>>,
    /// Posts that are part of the answer.
    answers: BTreeSet<usize>,
    /// Marks of state, by the post that they name.
    states: BTreeMap<usize, Vec<&'a TalkEntry>>,
    /// Acts by the thread in whose history they stand.
    history: BTreeMap<usize, Vec<super::ActView>>,
}

impl<'a> Facts<'a> {
    fn of(all: &Entries<'_>, forest: &Forest<'a>) -> Facts<'a> {
        let mut views = Vec::with_capacity(forest.len());
        let mut states: BTreeMap<usize, Vec<&TalkEntry>> = BTreeMap::new();
        for home in &forest.homes {
            let edits = Posts::edits(all, &home.group.inside);
            let mut reactions: BTreeMap<usize, BTreeMap<Reaction, _>> =
                home.posts.reactions(&home.group.inside);
            for at in 0..home.posts.drafts.len() {
                let placed = forest.placed.contains_key(&(home.first + at));
                let reactions = reactions.remove(&at).unwrap_or_default();
                views.push(home.posts.view(at, placed, &edits, reactions));
            }
            for e in &home.group.inside {
                if let (Body::Mark(Mark::State(_)), Some(node)) =
                    (&e.body, Forest::subject(home, e))
                {
                    states.entry(node).or_default().push(e);
                }
            }
        }
        let answers = marks::answers(answer_marks(forest));
        Facts { views, answers, states, history: forest.acts.history(forest) }
    }
}

/// The marks of posts as part of the answer that count (rule 9).
pub(super) fn answer_marks<'a>(forest: &Forest<'a>) -> marks::AnswerMarks<'a> {
    let mut found = marks::AnswerMarks::new();
    for home in &forest.homes {
        for e in &home.group.inside {
            let Body::Mark(Mark::Answer(part)) = e.body else { continue };
            let Some(node) = Forest::subject(home, e) else { continue };
            let speaks = |roots: &[&TalkEntry]| marks::speaks_for(roots, &e.member, e.role);
            if !forest.is_root(node)
                && (speaks(&home.group.roots) || speaks(shown_roots(forest, node)))
            {
                found.entry(node).or_default().push((e, part));
            }
        }
    }
    found
}

/// The copies of the root of the thread in which a post is shown.
pub(super) fn shown_roots<'f, 'a>(forest: &'f Forest<'a>, node: usize) -> &'f [&'a TalkEntry] {
    forest.shown_in.get(node).map_or(&[], |root| forest.copies(*root))
}

fn thread(forest: &Forest<'_>, facts: &Facts<'_>, order: &[(usize, u16)]) -> Option<Thread> {
    let (root, _) = *order.first()?;
    let copies = forest.copies(root);
    let first = *copies.first()?;
    let mut absorbed: Vec<EntryId> = order
        .iter()
        .filter(|(node, _)| *node != root && forest.is_home_root(*node))
        .flat_map(|(node, _)| forest.copies(*node).iter().map(|c| c.id))
        .collect();
    absorbed.sort_unstable();
    let posts: Vec<PostView> =
        order.iter().filter_map(|(node, depth)| post(forest, facts, *node, *depth)).collect();
    let marks = facts.states.get(&root).map_or(&[][..], Vec::as_slice);
    let (state, state_mark) = marks::States::of(copies, marks).current();
    let shown = posts.iter().filter(|p| !matches!(p.text, PostText::Withdrawn));
    let last_activity = shown.map(|p| p.sort_millis).max();
    let Named { kind, title, retitled } = named(forest, root);
    let pinned = forest.acts.current(root, &Chain::Pin);
    let mut thread = Thread {
        root: first.id,
        aliases: copies.iter().skip(1).map(|c| c.id).collect(),
        absorbed,
        split: !forest.is_home_root(root),
        kind,
        title,
        retitled: retitled.map(deed),
        pinned: pinned.filter(|e| matches!(&e.body, Body::Pin(p) if p.on)).map(deed),
        author: first.member,
        origin: posts.first().and_then(|p| p.origin.clone()),
        tags: tags(forest, root),
        ask: (kind == ThreadKind::Ask).then(|| form(&first.body)),
        state,
        state_mark,
        last_activity: last_activity.unwrap_or_else(|| sort_millis(None, first.time)),
        posts,
        acts: facts.history.get(&root).cloned().unwrap_or_default(),
        hash: [0; 32],
    };
    thread.hash = digest::thread_hash(&thread);
    Some(thread)
}

fn post(forest: &Forest<'_>, facts: &Facts<'_>, node: usize, depth: u16) -> Option<PostView> {
    let mut post = facts.views.get(node)?.clone()?;
    let above = forest.parent.get(node).copied().flatten();
    post.parent = above.and_then(|p| forest.canonical(p)).map(|c| c.id);
    post.depth = depth;
    if above.is_none() {
        post.kind = PostKind::Root;
    }
    post.part_of_answer = facts.answers.contains(&node);
    let hide = forest.acts.current(node, &Chain::Hide);
    post.hidden = hide.filter(|e| matches!(&e.body, Body::Hide(h) if h.on)).map(deed);
    let feature = forest.acts.current(node, &Chain::Feature);
    post.featured = feature.filter(|e| matches!(&e.body, Body::Feature(f) if f.on)).map(deed);
    post.moved = forest.placed.get(&node).and_then(|act| {
        let (home, _) = forest.home(node)?;
        let from = forest.canonical(home.first)?.id;
        Some(Moved { from, title: named(forest, home.first).title, deed: deed(act) })
    });
    Some(post)
}

struct Named<'a> {
    kind: ThreadKind,
    title: String,
    retitled: Option<&'a TalkEntry>,
}

/// What the thread that a post opens is called, and whether it asks something (rules 4 and 14).
fn named<'a>(forest: &Forest<'a>, root: usize) -> Named<'a> {
    let mut named = Named { kind: ThreadKind::Note, title: String::new(), retitled: None };
    if !forest.is_home_root(root) {
        let place = forest.placed.get(&root).map(|e| &e.body);
        if let Some(Body::ThreadOp(ThreadOp { act: ThreadAct::Split(title, ask), .. })) = place {
            named.title.clone_from(title);
            named.kind = if *ask { ThreadKind::Ask } else { ThreadKind::Note };
        }
    } else {
        match live_root(forest, root).map(|e| &e.body) {
            Some(Body::Ask(ask)) => {
                named.kind = ThreadKind::Ask;
                named.title.clone_from(&ask.title);
            }
            Some(Body::Note(note)) => named.title.clone_from(&note.title),
            _ => {}
        }
    }
    if let Some(act) = forest.acts.current(root, &Chain::Title).filter(|_| forest.takes_title(root))
        && let Body::ThreadOp(ThreadOp { act: ThreadAct::Retitle(title), .. }) = &act.body
    {
        named.title.clone_from(title);
        named.retitled = Some(act);
    }
    named
}

/// The root of the thread in which a post was written, unless it is withdrawn.
fn live_root<'a>(forest: &Forest<'a>, node: usize) -> Option<&'a TalkEntry> {
    let (home, _) = forest.home(node)?;
    home.posts.drafts.get(ROOT).filter(|d| !d.withdrawn)?.canonical()
}

fn tags(forest: &Forest<'_>, root: usize) -> Vec<String> {
    let given: &[String] = match live_root(forest, root).map(|e| &e.body) {
        Some(Body::Ask(ask)) => &ask.tags,
        Some(Body::Note(note)) => &note.tags,
        _ => &[],
    };
    let set: BTreeMap<&str, (&str, bool)> = forest
        .acts
        .tags(root)
        .filter_map(|(low, e)| match &e.body {
            Body::Tag(tag) => Some((low, (tag.tag.as_str(), tag.on))),
            _ => None,
        })
        .collect();
    let mut seen = BTreeSet::new();
    let mut tags = Vec::new();
    for tag in given {
        let low = tag.to_lowercase();
        let on = set.get(low.as_str()).is_none_or(|(_, on)| *on);
        if seen.insert(low) && on {
            tags.push(tag.clone());
        }
    }
    let more = set.into_iter().filter(|(low, (_, on))| *on && !seen.contains(*low));
    tags.extend(more.map(|(_, (tag, _))| tag.to_string()));
    tags
}

/// The rest of an ask; empty for one that was split off.
fn form(body: &Body) -> AskForm {
    let Body::Ask(ask) = body else {
        return AskForm { decide: None, need_by: None, tried: None, helps: Vec::new() };
    };
    AskForm {
        decide: ask.decide.clone(),
        need_by: ask.need_by,
        tried: ask.tried.clone(),
        helps: ask.helps.clone().unwrap_or_default(),
    }
}
