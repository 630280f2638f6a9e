//! Side talks: what those who take part see of one.
//!
//! A pure function of the talk's entries, opened, in any order.
//!
//! 1. **Who takes part**: its author, whom the root names, and whom somebody who takes part let in.
//!    Nobody is put out of a talk: whoever is removed from the community cannot open what is sealed for
//!    the community after that, and so none of it.
//! 2. **What counts**: what those who take part say. Their posts, edits, withdrawals and reactions fold
//!    as in a thread (see [`crate::thread`]), whose root is the talk; nobody is a lead in it.
//! 3. **Bringing back**: anybody who takes part proposes a text. It may be published once all have
//!    consented who said something in the talk. Who proposes consents.

use std::collections::{BTreeMap, BTreeSet};

use crate::clock::Hlc;
use crate::entry::Class;
use crate::id::{DeviceId, EntryId, MemberId};
use crate::payload::{self, Body, Note, Role, Said, SideAdded, SideRoot};
use crate::thread::{TalkEntry, Thread, fold_thread};

/// What an entry of a talk says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SideWhat {
    /// Opens it.
    Root(SideRoot),
    /// Lets somebody in.
    Added(SideAdded),
    /// Says something.
    Said(Said),
}

/// An entry of a talk, opened, that counts in the community.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SideEntry {
    /// The entry.
    pub id: EntryId,
    /// Whose it is.
    pub member: MemberId,
    /// Its time.
    pub time: Hlc,
    /// What it says.
    pub what: SideWhat,
}

/// A text that is to be brought back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SideProposal {
    /// The entry that proposes it.
    pub id: EntryId,
    /// Who proposes it.
    pub by: MemberId,
    /// When.
    pub time: Hlc,
    /// The text.
    pub text: String,
    /// Who consents.
    pub agreed: BTreeSet<MemberId>,
}

/// A side talk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SideTalk {
    /// What is said in it, as a thread.
    pub thread: Thread,
    /// What that was folded from, as if it stood in a thread.
    pub entries: Vec<TalkEntry>,
    /// The thread and the post that it is about.
    pub about: (EntryId, EntryId),
    /// Who takes part.
    pub members: BTreeSet<MemberId>,
    /// Devices that its key was sealed to, as those say who sealed it.
    pub devices: BTreeSet<DeviceId>,
    /// Who said something in it.
    pub spoke: BTreeSet<MemberId>,
    /// Texts to bring back, the newest last.
    pub proposals: Vec<SideProposal>,
}

impl SideTalk {
    /// Folds a talk; `None` while its root is not here.
    pub fn fold(talk: &EntryId, entries: &[SideEntry]) -> Option<SideTalk> {
        let (opener, root) = entries.iter().find_map(|e| match &e.what {
            SideWhat::Root(root) if e.id == *talk => Some((e, root)),
            _ => None,
        })?;
        let (members, devices) = let_in(opener.member, root, entries);
        let note = Note {
            title: root.title.clone(),
            text: root.text.clone(),
            tags: Vec::new(),
            origin: None,
        };
        let mut inside = vec![entry(opener, Vec::new(), Body::Note(note))];
        let mut proposals: BTreeMap<EntryId, SideProposal> = BTreeMap::new();
        let mut consents: Vec<(MemberId, EntryId)> = Vec::new();
        for e in entries.iter().filter(|e| members.contains(&e.member)) {
            match &e.what {
                SideWhat::Said(Said::Entry(refs, body)) => {
                    let refs: Vec<EntryId> = refs.iter().map(|id| EntryId::new(**id)).collect();
                    inside.extend(spoken(body).map(|body| entry(e, refs, body)));
                }
                SideWhat::Said(Said::Proposal(text)) => {
                    let agreed = BTreeSet::from([e.member]);
                    let (id, by, time) = (e.id, e.member, e.time);
                    let proposal = SideProposal { id, by, time, text: text.clone(), agreed };
                    proposals.insert(id, proposal);
                }
                SideWhat::Said(Said::Consent(to)) => consents.push((e.member, EntryId::new(**to))),
                SideWhat::Root(_) | SideWhat::Added(_) => {}
            }
        }
        for (by, to) in consents {
            if let Some(proposal) = proposals.get_mut(&to) {
                proposal.agreed.insert(by);
            }
        }
        let mut proposals: Vec<SideProposal> = proposals.into_values().collect();
        proposals.sort_by_key(|p| (p.time, p.id));
        let thread = fold_thread(&inside)?;
        let spoke = thread.posts.iter().map(|p| p.author).collect();
        let about = (EntryId::new(*root.thread), EntryId::new(*root.post));
        Some(SideTalk { thread, entries: inside, about, members, devices, spoke, proposals })
    }

    /// Who has to consent to a proposal and has not; `present` says who is a member still.
    pub fn missing_consents(
        &self,
        proposal: &SideProposal,
        present: impl Fn(&MemberId) -> bool,
    ) -> BTreeSet<MemberId> {
        self.spoke.difference(&proposal.agreed).filter(|m| present(m)).copied().collect()
    }
}

/// Rule 1.
fn let_in(
    opener: MemberId,
    root: &SideRoot,
    entries: &[SideEntry],
) -> (BTreeSet<MemberId>, BTreeSet<DeviceId>) {
    let mut members = BTreeSet::from([opener]);
    let mut devices = BTreeSet::new();
    let mut add = |members: &mut BTreeSet<MemberId>, added: &SideAdded| {
        members.extend(added.members.iter().map(|m| MemberId::new(**m)));
        devices.extend(added.devices.iter().map(|d| DeviceId::new(**d)));
    };
    add(&mut members, &root.added);
    let mut left: Vec<(&MemberId, &SideAdded)> = entries
        .iter()
        .filter_map(|e| match &e.what {
            SideWhat::Added(added) => Some((&e.member, added)),
            _ => None,
        })
        .collect();
    loop {
        let (now, later): (Vec<_>, Vec<_>) =
            left.into_iter().partition(|(by, _)| members.contains(by));
        if now.is_empty() {
            break;
        }
        now.into_iter().for_each(|(_, added)| add(&mut members, added));
        left = later;
    }
    (members, devices)
}

fn entry(of: &SideEntry, refs: Vec<EntryId>, body: Body) -> TalkEntry {
    TalkEntry { id: of.id, member: of.member, role: Role::Member, time: of.time, refs, body }
}

/// What may be said in a talk.
pub fn may_be_said(body: &Body) -> bool {
    matches!(body, Body::Post(_) | Body::Edit(_) | Body::Withdraw | Body::React(_))
}

fn spoken(bytes: &[u8]) -> Option<Body> {
    let class = [Class::Post, Class::Act, Class::Light];
    let body = class.into_iter().find_map(|class| payload::decode(class, bytes).ok())?;
    may_be_said(&body).then_some(body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::{Edit, Post, PostRole, encode};
    use crate::thread::PostText;

    fn id(n: u8) -> EntryId {
        EntryId::new([n; 32])
    }

    fn member(n: u8) -> MemberId {
        MemberId::new([n; 32])
    }

    fn entry(n: u8, by: u8, what: SideWhat) -> SideEntry {
        SideEntry { id: id(n), member: member(by), time: Hlc::from_millis(u64::from(n)), what }
    }

    fn added(members: &[u8]) -> SideAdded {
        let members: Vec<_> = members.iter().map(|m| [*m; 32].into()).collect();
        SideAdded { devices: members.clone(), members }
    }

    fn root(members: &[u8]) -> SideEntry {
        let (title, text) = ("Alone".into(), "Between us.".into());
        let (thread, post, added) = ([90; 32].into(), [91; 32].into(), added(members));
        entry(1, 1, SideWhat::Root(SideRoot { thread, post, title, text, added }))
    }

    fn say(n: u8, by: u8, refs: &[u8], body: Body) -> SideEntry {
        let refs = refs.iter().map(|r| [*r; 32].into()).collect();
        entry(n, by, SideWhat::Said(Said::Entry(refs, encode(&body).unwrap().into())))
    }

    fn post(text: &str) -> Body {
        Body::Post(Post { role: PostRole::Reply, text: text.into(), origin: None, met: None })
    }

    fn texts(talk: &SideTalk) -> Vec<String> {
        let texts = talk.thread.posts.iter().map(|p| match &p.text {
            PostText::Current(text) => text.clone(),
            PostText::Withdrawn => "-".into(),
        });
        texts.collect()
    }

    #[test]
    fn only_those_who_take_part_are_heard() {
        let mut entries = vec![
            root(&[2]),
            say(2, 2, &[1], post("I hear you.")),
            say(3, 9, &[1], post("Me too!")),
            entry(4, 9, SideWhat::Added(added(&[9]))),
            entry(5, 3, SideWhat::Added(added(&[4]))),
            entry(6, 2, SideWhat::Added(added(&[3]))),
            say(7, 4, &[1, 2], post("Let in by one who was let in.")),
            say(8, 2, &[1, 2], Body::Edit(Edit { text: "I do hear you.".into() })),
        ];
        let talk = SideTalk::fold(&id(1), &entries).unwrap();
        assert_eq!(talk.members, [1, 2, 3, 4].map(member).into());
        assert_eq!(
            texts(&talk),
            ["Between us.", "I do hear you.", "Let in by one who was let in."]
        );
        assert_eq!(talk.about, (id(90), id(91)));
        entries.reverse();
        assert_eq!(SideTalk::fold(&id(1), &entries).unwrap().thread, talk.thread);
        entries.pop();
        assert_eq!(SideTalk::fold(&id(1), &entries), None);
    }

    #[test]
    fn no_lead_acts_and_no_second_root_in_a_talk() {
        let note = Note { title: "t".into(), text: "x".into(), tags: vec![], origin: None };
        let entries = [
            root(&[2]),
            say(2, 2, &[], Body::Note(note)),
            say(3, 2, &[1, 1], Body::Pin(crate::payload::Pin { on: true, reason: None })),
        ];
        let talk = SideTalk::fold(&id(1), &entries).unwrap();
        assert_eq!((talk.thread.title.as_str(), talk.thread.acts.len()), ("Alone", 0));
        assert_eq!(talk.thread.posts.len(), 1);
    }

    #[test]
    fn all_who_spoke_and_are_members_still_must_consent() {
        let mut entries = vec![
            root(&[2, 3, 4]),
            say(2, 2, &[1], post("yes")),
            say(3, 3, &[1], post("no")),
            entry(4, 2, SideWhat::Said(Said::Proposal("We agree.".into()))),
            entry(5, 9, SideWhat::Said(Said::Consent([4; 32].into()))),
        ];
        let missing = |entries: &[SideEntry], gone: u8| {
            let talk = SideTalk::fold(&id(1), entries).unwrap();
            talk.missing_consents(&talk.proposals[0], |m| *m != member(gone))
        };
        assert_eq!(missing(&entries, 9), [1, 3].map(member).into(), "4 said nothing");
        assert_eq!(missing(&entries, 3), [1].map(member).into());
        entries.push(entry(6, 1, SideWhat::Said(Said::Consent([4; 32].into()))));
        entries.push(entry(7, 3, SideWhat::Said(Said::Consent([4; 32].into()))));
        assert!(missing(&entries, 9).is_empty());
    }
}
