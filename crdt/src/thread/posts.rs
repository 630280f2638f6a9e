//! The posts of one thread as their authors put them: copies (rule 2), edits and withdrawals (3, 4),
//! the tree (5), reactions (7).

use std::collections::{BTreeMap, BTreeSet};

use super::fold::Entries;
use super::supersede;
use super::{EditView, PostKind, PostText, PostView, TalkEntry, origin_key};
use crate::clock::Hlc;
use crate::id::{EntryId, MemberId};
use crate::payload::{Body, Origin, PostRole, React, Reaction};

/// The millisecond to sort by. Dates before 1970 and beyond the clock's range go to its ends.
pub(super) fn sort_millis(origin: Option<&Origin>, time: Hlc) -> u64 {
    sort_time(origin, time).millis()
}

fn sort_time(origin: Option<&Origin>, time: Hlc) -> Hlc {
    origin.map_or(time, |o| {
        Hlc::from_millis(u64::try_from(o.plausible).unwrap_or(0).saturating_mul(1000))
    })
}

fn origin_of(body: &Body) -> Option<&Origin> {
    match body {
        Body::Ask(a) => a.origin.as_ref(),
        Body::Note(n) => n.origin.as_ref(),
        Body::Post(p) => p.origin.as_ref(),
        _ => None,
    }
}

fn text_of(body: &Body) -> &str {
    match body {
        Body::Ask(a) => &a.situation,
        Body::Note(n) => &n.text,
        Body::Post(p) => &p.text,
        _ => "",
    }
}

/// A post: its copies, ascending, and its place in the tree.
pub(super) struct Draft<'a> {
    pub(super) copies: Vec<&'a TalkEntry>,
    pub(super) withdrawn: bool,
    parent: usize,
    orphan: bool,
}

impl<'a> Draft<'a> {
    pub(super) fn canonical(&self) -> Option<&'a TalkEntry> {
        self.copies.first().copied()
    }

    /// What siblings are ordered by.
    pub(super) fn sort_key(&self) -> (Hlc, Option<EntryId>) {
        let key = self.canonical().map(|c| {
            let origin = origin_of(&c.body).filter(|_| !self.withdrawn);
            (sort_time(origin, c.time), Some(c.id))
        });
        key.unwrap_or_default()
    }
}

/// The posts of one thread; the root's own is the first.
pub(super) struct Posts<'a> {
    pub(super) drafts: Vec<Draft<'a>>,
    /// From the id of any copy.
    by_id: BTreeMap<EntryId, usize>,
}

/// The place of the root among the posts of its thread.
pub(super) const ROOT: usize = 0;

impl<'a> Posts<'a> {
    pub(super) fn build(
        all: &Entries<'_>,
        roots: &[&'a TalkEntry],
        inside: &[&'a TalkEntry],
    ) -> Posts<'a> {
        let mut posts = Posts { drafts: Vec::new(), by_id: BTreeMap::new() };
        let withdrawn = roots.first().is_some_and(|r| all.is_withdrawn(&r.id));
        posts.add(roots.to_vec(), withdrawn);
        let mut imported: BTreeMap<[u8; 32], Vec<&TalkEntry>> = BTreeMap::new();
        for post in inside.iter().filter(|e| all.is_post(e)) {
            let withdrawn = all.is_withdrawn(&post.id);
            match origin_key(&post.body).filter(|_| !withdrawn) {
                Some(key) => imported.entry(key).or_default().push(post),
                None => posts.add(vec![post], withdrawn),
            }
        }
        imported.into_values().for_each(|copies| posts.add(copies, false));
        posts.find_parents();
        posts.break_loops();
        posts
    }

    fn add(&mut self, copies: Vec<&'a TalkEntry>, withdrawn: bool) {
        let at = self.drafts.len();
        copies.iter().for_each(|c| {
            self.by_id.insert(c.id, at);
        });
        self.drafts.push(Draft { copies, withdrawn, parent: ROOT, orphan: false });
    }

    /// The post that a copy answers: `refs[1]`, or the thread itself.
    fn parent_of(&self, at: usize, copy: &TalkEntry) -> Option<usize> {
        let named = copy.refs.get(1).or(copy.refs.first())?;
        self.by_id.get(named).copied().filter(|p| *p != at)
    }

    fn find_parents(&mut self) {
        for at in 1..self.drafts.len() {
            let copies = self.drafts.get(at).map(|d| d.copies.clone()).unwrap_or_default();
            let parent = copies.iter().find_map(|c| self.parent_of(at, c));
            if let Some(draft) = self.drafts.get_mut(at) {
                draft.parent = parent.unwrap_or(ROOT);
                draft.orphan = parent.is_none();
            }
        }
    }

    /// Every post has one parent, so following parents ends at the root or runs into a loop. The
    /// smallest post of each loop becomes an orphan.
    #[allow(clippy::indexing_slicing)] // parents and walked places are places in `drafts`
    fn break_loops(&mut self) {
        const NEW: usize = usize::MAX;
        let mut walk_of = vec![NEW; self.drafts.len()];
        walk_of[ROOT] = ROOT;
        for start in 1..self.drafts.len() {
            let mut at = start;
            while walk_of[at] == NEW {
                walk_of[at] = start;
                at = self.drafts[at].parent;
            }
            if walk_of[at] != start || at == ROOT {
                continue;
            }
            let (first, mut smallest) = (at, at);
            loop {
                at = self.drafts[at].parent;
                let id = |n: usize| self.drafts[n].canonical().map(|c| c.id);
                if id(at) < id(smallest) {
                    smallest = at;
                }
                if at == first {
                    break;
                }
            }
            self.drafts[smallest].parent = ROOT;
            self.drafts[smallest].orphan = true;
        }
    }

    /// Edits that were not withdrawn, by the copy that they name.
    pub(super) fn edits<'e>(
        all: &Entries<'_>,
        inside: &[&'e TalkEntry],
    ) -> BTreeMap<EntryId, Vec<&'e TalkEntry>> {
        let mut edits: BTreeMap<EntryId, Vec<&TalkEntry>> = BTreeMap::new();
        let standing =
            |e: &&&TalkEntry| matches!(e.body, Body::Edit(_)) && !all.is_withdrawn(&e.id);
        for e in inside.iter().filter(standing) {
            if let Some(target) = e.refs.get(1) {
                edits.entry(*target).or_default().push(e);
            }
        }
        edits
    }

    /// The post above, as its author put it; none for the root.
    pub(super) fn parent(&self, at: usize) -> Option<usize> {
        self.drafts.get(at).filter(|_| at != ROOT).map(|d| d.parent)
    }

    /// A post by itself: what does not depend on where it is shown. `placed` says that somebody put
    /// it elsewhere than its author did.
    pub(super) fn view(
        &self,
        at: usize,
        placed: bool,
        edits: &BTreeMap<EntryId, Vec<&TalkEntry>>,
        reactions: BTreeMap<Reaction, BTreeSet<MemberId>>,
    ) -> Option<PostView> {
        let draft = self.drafts.get(at)?;
        let canonical = draft.canonical()?;
        let live = !draft.withdrawn;
        let origin = origin_of(&canonical.body).filter(|_| live);
        let (text, original, edits) = match &canonical.body {
            _ if !live => Default::default(),
            // Rule 3: what an ask says now stands on its question page.
            Body::Ask(ask) => (Some(ask.situation.clone()), None, Vec::new()),
            _ => text(&draft.copies, edits),
        };
        let orphan = draft.orphan && !placed;
        let (kind, met) = match &canonical.body {
            Body::Post(p) if live => {
                let met = p.met.iter().flatten().map(|id| EntryId::new(**id)).collect();
                let outcome = p.role == PostRole::Outcome;
                (if outcome { PostKind::Outcome } else { PostKind::Reply }, met)
            }
            _ => (PostKind::Reply, Vec::new()),
        };
        Some(PostView {
            id: canonical.id,
            aliases: draft.copies.iter().skip(1).map(|c| c.id).collect(),
            parent: None,
            wanted_parent: canonical
                .refs
                .get(1)
                .copied()
                .filter(|p| orphan && !self.by_id.contains_key(p)),
            depth: 0,
            author: canonical.member,
            author_role: canonical.role,
            origin: origin.cloned(),
            time: canonical.time,
            sort_millis: sort_millis(origin, canonical.time),
            kind,
            text: text.map_or(PostText::Withdrawn, PostText::Current),
            original,
            edits,
            met,
            reactions,
            part_of_answer: false,
            orphan,
            hidden: None,
            featured: None,
            moved: None,
        })
    }

    /// The post that an id is a copy of.
    pub(super) fn place(&self, id: &EntryId) -> Option<usize> {
        self.by_id.get(id).copied()
    }

    /// The copies of a post, ascending.
    pub(super) fn copies(&self, at: usize) -> &[&'a TalkEntry] {
        self.drafts.get(at).map_or(&[], |d| &d.copies)
    }

    /// A member's entries that make a reaction to a post, the newest first: what taking it back
    /// names.
    pub(super) fn own_reactions(
        &self,
        inside: &[&TalkEntry],
        at: usize,
        member: &MemberId,
        wanted: &React,
    ) -> Vec<EntryId> {
        let mut own: Vec<(Hlc, EntryId)> = standing_reactions(inside)
            .filter(|(e, reaction)| e.member == *member && *reaction == wanted.reaction)
            .filter(|(e, _)| e.refs.get(1).and_then(|p| self.place(p)) == Some(at))
            .map(|(e, _)| (e.time, e.id))
            .collect();
        own.sort_unstable_by(|a, b| b.cmp(a));
        own.into_iter().map(|(_, id)| id).collect()
    }

    /// Rule 7, for each post.
    pub(super) fn reactions(
        &self,
        inside: &[&TalkEntry],
    ) -> BTreeMap<usize, BTreeMap<Reaction, BTreeSet<MemberId>>> {
        let mut found: BTreeMap<usize, BTreeMap<Reaction, BTreeSet<MemberId>>> = BTreeMap::new();
        for (e, reaction) in standing_reactions(inside) {
            if let Some(post) = e.refs.get(1).and_then(|p| self.place(p)) {
                found.entry(post).or_default().entry(reaction).or_default().insert(e.member);
            }
        }
        found
    }
}

/// The entries that make reactions, without those that their member took back.
fn standing_reactions<'e>(
    inside: &[&'e TalkEntry],
) -> impl Iterator<Item = (&'e TalkEntry, Reaction)> {
    let mut made = Vec::new();
    let mut taken_back = BTreeSet::new();
    for e in inside {
        let Body::React(React { reaction, on }) = e.body else { continue };
        if on {
            made.push((*e, reaction));
        } else {
            taken_back.extend(e.refs.iter().skip(2).map(|id| (*id, e.member, reaction)));
        }
    }
    made.into_iter().filter(move |(e, r)| !taken_back.contains(&(e.id, e.member, *r)))
}

/// Rule 3: the text shown, the original if there are edits, and the edits.
fn text(
    copies: &[&TalkEntry],
    edits: &BTreeMap<EntryId, Vec<&TalkEntry>>,
) -> (Option<String>, Option<String>, Vec<EditView>) {
    let mut history: Vec<((u32, Option<EntryId>), EditView)> = Vec::new();
    let mut shown: Option<(u32, Option<EntryId>)> = None;
    let mut untouched = false;
    for copy in copies {
        let own: Vec<&TalkEntry> = edits
            .get(&copy.id)
            .into_iter()
            .flatten()
            .copied()
            .filter(|e| e.member == copy.member)
            .collect();
        let items: Vec<(EntryId, &[EntryId])> =
            own.iter().map(|e| (e.id, e.refs.get(2..).unwrap_or_default())).collect();
        let resolved = supersede::resolve(&items, |_, _| true);
        match resolved.current(&items, |_| true) {
            Some(current) => shown = shown.max(Some(resolved.key(&items, current))),
            None => untouched = true,
        }
        for (at, e) in own.iter().enumerate() {
            if let Body::Edit(edit) = &e.body {
                let (id, author, time) = (e.id, e.member, e.time);
                let text = edit.text.clone();
                let view = EditView { id, author, time, text, current: false };
                history.push((resolved.key(&items, at), view));
            }
        }
    }
    history.sort_by_key(|(key, _)| *key);
    let original = copies.first().map_or("", |c| text_of(&c.body)).to_string();
    let mut text = None;
    if !untouched && let Some((_, edit)) = history.iter_mut().find(|(key, _)| Some(*key) == shown) {
        edit.current = true;
        text = Some(edit.text.clone());
    }
    let edits: Vec<EditView> = history.into_iter().map(|(_, e)| e).collect();
    match text {
        Some(text) => (Some(text), Some(original), edits),
        None => {
            let first = (!edits.is_empty()).then(|| original.clone());
            (Some(original), first, edits)
        }
    }
}
