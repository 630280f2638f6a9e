//! One encoding of a folded thread, to be hashed: every field in the order of its declaration,
//! numbers as eight bytes, big endian, texts and lists after their length.

use super::{
    ActStanding, ActView, AskForm, Deed, EditView, LeadAct, PostKind, PostText, PostView, Thread,
    ThreadKind,
};
use crate::id::{EntryId, MemberId};
use crate::payload::Origin;

const THREAD_CONTEXT: &str = "lanai v1 thread state";

/// Hashes a canonical encoding as it is written.
pub(crate) struct Digest(blake3::Hasher);

impl Digest {
    pub(crate) fn new(context: &str) -> Digest {
        Digest(blake3::Hasher::new_derive_key(context))
    }

    pub(crate) fn number(&mut self, n: u64) {
        self.0.update(&n.to_be_bytes());
    }

    pub(crate) fn length(&mut self, n: usize) {
        self.number(n as u64);
    }

    /// A list of bytes with its length.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.length(bytes.len());
        self.0.update(bytes);
    }

    /// Exactly 32 bytes.
    pub(crate) fn id(&mut self, id: &[u8; 32]) {
        self.0.update(id);
    }

    pub(crate) fn maybe<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Digest, T)) {
        self.number(u64::from(value.is_some()));
        if let Some(value) = value {
            write(self, value);
        }
    }

    pub(crate) fn finish(&self) -> [u8; 32] {
        self.0.finalize().into()
    }

    /// As many bytes as are wanted, instead of 32.
    pub(crate) fn fill(&self, out: &mut [u8]) {
        self.0.finalize_xof().fill(out);
    }

    fn entry_ids(&mut self, ids: &[EntryId]) {
        self.length(ids.len());
        ids.iter().for_each(|i| self.id(i.as_bytes()));
    }

    fn member(&mut self, id: &MemberId) {
        self.id(id.as_bytes());
    }

    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    fn origin(&mut self, origin: Option<&Origin>) {
        self.maybe(origin, |d, o| {
            d.text(&o.name);
            d.text(&o.message_id);
            d.maybe(o.claimed, |d, n| d.number(n.cast_unsigned()));
            d.maybe(o.claimed_text.as_deref(), Digest::text);
            d.number(o.plausible.cast_unsigned());
        });
    }

    fn ask(&mut self, ask: &AskForm) {
        self.maybe(ask.decide.as_deref(), Digest::text);
        self.maybe(ask.need_by, Digest::number);
        self.maybe(ask.tried.as_deref(), Digest::text);
        self.length(ask.helps.len());
        ask.helps.iter().for_each(|h| self.number(*h as u64));
    }

    fn edit(&mut self, edit: &EditView) {
        self.id(edit.id.as_bytes());
        self.member(&edit.author);
        self.number(edit.time.0);
        self.text(&edit.text);
        self.number(u64::from(edit.current));
    }

    fn post(&mut self, post: &PostView) {
        self.id(post.id.as_bytes());
        self.entry_ids(&post.aliases);
        self.maybe(post.parent, |d, p| d.id(p.as_bytes()));
        self.maybe(post.wanted_parent, |d, p| d.id(p.as_bytes()));
        self.number(u64::from(post.depth));
        self.member(&post.author);
        self.number(post.author_role as u64);
        self.origin(post.origin.as_ref());
        self.number(post.time.0);
        self.number(post.sort_millis);
        self.number(match post.kind {
            PostKind::Root => 0,
            PostKind::Reply => 1,
            PostKind::Outcome => 2,
        });
        let text = match &post.text {
            PostText::Current(text) => Some(text.as_str()),
            PostText::Withdrawn => None,
        };
        self.maybe(text, Digest::text);
        self.maybe(post.original.as_deref(), Digest::text);
        self.length(post.edits.len());
        post.edits.iter().for_each(|e| self.edit(e));
        self.entry_ids(&post.met);
        self.length(post.reactions.len());
        for (reaction, members) in &post.reactions {
            self.number(*reaction as u64);
            self.length(members.len());
            members.iter().for_each(|m| self.member(m));
        }
        self.number(u64::from(post.part_of_answer));
        self.number(u64::from(post.orphan));
        self.maybe(post.hidden.as_ref(), Digest::deed);
        self.maybe(post.featured.as_ref(), Digest::deed);
        self.maybe(post.moved.as_ref(), |d, m| {
            d.id(m.from.as_bytes());
            d.text(&m.title);
            d.deed(&m.deed);
        });
    }

    fn deed(&mut self, deed: &Deed) {
        self.member(&deed.by);
        self.maybe(deed.reason.as_deref(), Digest::text);
        self.id(deed.entry.as_bytes());
    }

    fn act(&mut self, act: &ActView) {
        self.id(act.entry.as_bytes());
        self.member(&act.by);
        self.number(act.time.0);
        self.id(act.post.as_bytes());
        let mut switch = |kind: u64, on: bool| {
            self.number(kind);
            self.number(u64::from(on));
        };
        match &act.act {
            LeadAct::Split { title, ask } => {
                switch(0, *ask);
                self.text(title);
            }
            LeadAct::Under { thread, post } => {
                self.number(1);
                self.id(thread.as_bytes());
                self.id(post.as_bytes());
            }
            LeadAct::Back => self.number(2),
            LeadAct::Retitle(title) => {
                self.number(3);
                self.text(title);
            }
            LeadAct::Hide(on) => switch(4, *on),
            LeadAct::Pin(on) => switch(5, *on),
            LeadAct::Feature(on) => switch(6, *on),
            LeadAct::Tag { tag, on } => {
                switch(7, *on);
                self.text(tag);
            }
        }
        self.maybe(act.reason.as_deref(), Digest::text);
        self.number(match act.standing {
            ActStanding::InForce => 0,
            ActStanding::Idle => 1,
            ActStanding::Replaced => 2,
        });
    }
}

/// The hash of a thread; its `hash` field is not read.
pub(super) fn thread_hash(thread: &Thread) -> [u8; 32] {
    let mut d = Digest::new(THREAD_CONTEXT);
    d.id(thread.root.as_bytes());
    d.entry_ids(&thread.aliases);
    d.entry_ids(&thread.absorbed);
    d.number(u64::from(thread.split));
    d.number(match thread.kind {
        ThreadKind::Ask => 0,
        ThreadKind::Note => 1,
    });
    d.text(&thread.title);
    d.maybe(thread.retitled.as_ref(), Digest::deed);
    d.maybe(thread.pinned.as_ref(), Digest::deed);
    d.member(&thread.author);
    d.origin(thread.origin.as_ref());
    d.length(thread.tags.len());
    thread.tags.iter().for_each(|t| d.text(t));
    d.maybe(thread.ask.as_ref(), Digest::ask);
    d.number(thread.state as u64);
    d.maybe(thread.state_mark, |d, m| d.id(m.as_bytes()));
    d.length(thread.posts.len());
    thread.posts.iter().for_each(|p| d.post(p));
    d.number(thread.last_activity);
    d.length(thread.acts.len());
    thread.acts.iter().for_each(|a| d.act(a));
    d.finish()
}
