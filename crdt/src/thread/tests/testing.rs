//! Builders of talk entries. Ids are hashes of a counter, so their order says nothing.

use crate::clock::Hlc;
use crate::id::{EntryId, MemberId};
use crate::payload::{
    Ask, Body, Edit, Hide, Mark, Note, Origin, Post, PostRole, React, Reaction, Role, Tag,
    ThreadAct, ThreadOp, ThreadState,
};

use super::super::TalkEntry;

/// A day in 2027.
pub(super) const NOW: u64 = 1_800_000_000_000;

pub(super) fn member(n: u8) -> MemberId {
    MemberId::new([n; 32])
}

pub(super) fn id_of(n: u64) -> EntryId {
    EntryId::new(*blake3::hash(&n.to_be_bytes()).as_bytes())
}

/// The entries of a test, in the order they were written.
#[derive(Debug, Clone, Default)]
pub(super) struct Talk {
    pub(super) entries: Vec<TalkEntry>,
}

impl Talk {
    /// Adds an entry by a member (a plain one), a millisecond after the one before.
    pub(super) fn add(&mut self, by: u8, refs: &[EntryId], body: Body) -> EntryId {
        let n = self.entries.len() as u64;
        let (id, time) = (id_of(n), Hlc::from_millis(NOW + n));
        let refs = refs.to_vec();
        self.entries.push(TalkEntry {
            id,
            member: member(by),
            role: Role::Member,
            time,
            refs,
            body,
        });
        id
    }

    pub(super) fn last(&mut self) -> &mut TalkEntry {
        self.entries.last_mut().unwrap()
    }

    /// The same as a lead's.
    pub(super) fn add_lead(&mut self, by: u8, refs: &[EntryId], body: Body) -> EntryId {
        let id = self.add(by, refs, body);
        self.last().role = Role::Lead;
        id
    }

    pub(super) fn reply(&mut self, by: u8, refs: &[EntryId], text: &str) -> EntryId {
        self.add(by, refs, post(text, None))
    }

    pub(super) fn edit(&mut self, by: u8, refs: &[EntryId], text: &str) -> EntryId {
        self.add(by, refs, Body::Edit(Edit { text: text.into() }))
    }

    pub(super) fn react(&mut self, by: u8, refs: &[EntryId], on: bool) -> EntryId {
        self.add(by, refs, Body::React(React { reaction: Reaction::Thanks, on }))
    }
}

pub(super) fn ask(title: &str) -> Body {
    Body::Ask(Ask {
        title: title.into(),
        situation: "the situation".into(),
        decide: None,
        need_by: Some(5),
        tried: None,
        helps: None,
        tags: vec!["t".into()],
        origin: None,
    })
}

pub(super) fn note(title: &str, origin: Option<Origin>) -> Body {
    Body::Note(Note { title: title.into(), text: "text".into(), tags: vec![], origin })
}

pub(super) fn post(text: &str, origin: Option<Origin>) -> Body {
    Body::Post(Post { role: PostRole::Reply, text: text.into(), origin, met: None })
}

pub(super) fn origin(message: &str, plausible: i64) -> Option<Origin> {
    Some(Origin {
        name: "old hand".into(),
        message_id: message.into(),
        claimed: None,
        claimed_text: Some("in the year 99".into()),
        plausible,
    })
}

pub(super) fn state(state: ThreadState) -> Body {
    Body::Mark(Mark::State(state))
}

pub(super) fn answer(part: bool) -> Body {
    Body::Mark(Mark::Answer(part))
}

fn op(act: ThreadAct) -> Body {
    Body::ThreadOp(ThreadOp { act, reason: Some("why".into()) })
}

pub(super) fn split(title: &str, ask: bool) -> Body {
    op(ThreadAct::Split(title.into(), ask))
}

pub(super) fn under(thread: EntryId, post: EntryId) -> Body {
    op(ThreadAct::Under((*thread.as_bytes()).into(), (*post.as_bytes()).into()))
}

pub(super) fn back() -> Body {
    op(ThreadAct::Back)
}

pub(super) fn retitle(title: &str) -> Body {
    op(ThreadAct::Retitle(title.into()))
}

pub(super) fn hide(on: bool) -> Body {
    Body::Hide(Hide { on, reason: Some("rude".into()) })
}

pub(super) fn tag(tag: &str, on: bool) -> Body {
    Body::Tag(Tag { tag: tag.into(), on })
}
