//! The state hash: one number that is equal on two nodes exactly when their readers see the same.
//!
//! It covers what is folded from entries (roster, threads, people, the community's name) and nothing
//! local: no inbox, read marks, drafts, peers, or how far an index has come.

use std::collections::BTreeMap;

use crate::id::{EntryId, MemberId};
use crate::people::{CommunityView, PersonView};
use crate::thread::digest::Digest;

const STATE_CONTEXT: &str = "lanai v1 state";

/// Combines the hashes of the roster and of all threads (by canonical root, in any order) with the
/// people and the community's name and charter.
pub fn state_hash(
    roster: [u8; 32],
    threads: impl IntoIterator<Item = (EntryId, [u8; 32])>,
    people: &BTreeMap<MemberId, PersonView>,
    community: Option<&CommunityView>,
) -> [u8; 32] {
    let mut threads: Vec<(EntryId, [u8; 32])> = threads.into_iter().collect();
    threads.sort_unstable();
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
    }
    d.length(threads.len());
    for (root, hash) in &threads {
        d.id(root.as_bytes());
        d.id(hash);
    }
    d.finish()
}

fn history(d: &mut Digest, current: EntryId, all: &[EntryId]) {
    d.id(current.as_bytes());
    d.length(all.len());
    all.iter().for_each(|id| d.id(id.as_bytes()));
}
