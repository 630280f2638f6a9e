//! The state hash: one number that is equal on two nodes exactly when their readers see the same.
//!
//! It covers what is folded from entries (roster, threads, people, the community's name) and nothing
//! local: no inbox, read marks, drafts, peers, or how far an index has come.

use std::collections::BTreeMap;

use crate::id::{EntryId, MemberId};
use crate::payload::PageKind;
use crate::people::{CommunityView, PersonView};
use crate::thread::digest::Digest;

const STATE_CONTEXT: &str = "lanai v1 state";

/// Combines the hashes of the roster, of all threads (by canonical root, in any order) and of all
/// pages that somebody wrote to (by thread and kind, in any order) with the people, the
/// community's name and charter, and the manifests of the files that were not withdrawn (in any order).
pub fn state_hash(
    roster: [u8; 32],
    threads: impl IntoIterator<Item = (EntryId, [u8; 32])>,
    pages: impl IntoIterator<Item = (EntryId, PageKind, [u8; 32])>,
    people: &BTreeMap<MemberId, PersonView>,
    community: Option<&CommunityView>,
    files: impl IntoIterator<Item = EntryId>,
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
        d.length(person.tends.len());
        for tend in &person.tends {
            d.bytes(tend.topic.as_bytes());
            d.number(tend.until);
            d.id(tend.entry.as_bytes());
        }
    }
    d.length(threads.len());
    for (root, hash) in &threads {
        d.id(root.as_bytes());
        d.id(hash);
    }
    let mut pages: Vec<(EntryId, PageKind, [u8; 32])> = pages.into_iter().collect();
    pages.sort_unstable();
    d.length(pages.len());
    for (thread, kind, hash) in &pages {
        d.id(thread.as_bytes());
        d.number(*kind as u64);
        d.id(hash);
    }
    let mut files: Vec<EntryId> = files.into_iter().collect();
    files.sort_unstable();
    d.length(files.len());
    files.iter().for_each(|file| d.id(file.as_bytes()));
    d.finish()
}

fn history(d: &mut Digest, current: EntryId, all: &[EntryId]) {
    d.id(current.as_bytes());
    d.length(all.len());
    all.iter().for_each(|id| d.id(id.as_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::Profile;
    use crate::people::TendView;

    fn person(name: &str, reach: Option<&str>) -> PersonView {
        let reach = reach.map(str::to_string);
        let profile = Profile { name: name.into(), reach, ..Profile::default() };
        let entry = EntryId::new([8; 32]);
        let tends = vec![TendView { topic: "radio".into(), until: 7, entry }];
        let (history, heads) = (vec![entry], vec![entry]);
        PersonView { name: name.into(), profile, entry, history, heads, tends }
    }

    fn named(name: &str) -> CommunityView {
        let entry = EntryId::new([9; 32]);
        let (by, history) = (MemberId::new([1; 32]), vec![entry]);
        CommunityView { name: name.into(), charter: None, by, entry, history, heads: vec![entry] }
    }

    #[test]
    fn covers_every_part_and_no_order() {
        let threads = [(EntryId::new([1; 32]), [2; 32]), (EntryId::new([3; 32]), [4; 32])];
        let people = |p| BTreeMap::from([(MemberId::new([1; 32]), p)]);
        let ana = people(person("Ana", None));
        let porch = named("porch");
        let base = state_hash([0; 32], threads, [], &ana, Some(&porch), []);
        let mut reversed = threads;
        reversed.reverse();
        assert_eq!(state_hash([0; 32], reversed, [], &ana, Some(&porch), []), base);
        let page = (EntryId::new([1; 32]), PageKind::Question, [6; 32]);
        let mut other_thread = threads;
        other_thread[1].1 = [5; 32];
        let others = [
            state_hash([1; 32], threads, [], &ana, Some(&porch), []),
            state_hash([0; 32], other_thread, [], &ana, Some(&porch), []),
            state_hash([0; 32], threads[..1].iter().copied(), [], &ana, Some(&porch), []),
            state_hash([0; 32], threads, [], &people(person("Anna", None)), Some(&porch), []),
            state_hash([0; 32], threads, [], &people(person("Ana", Some(""))), Some(&porch), []),
            state_hash([0; 32], threads, [], &BTreeMap::new(), Some(&porch), []),
            state_hash([0; 32], threads, [], &ana, Some(&named("veranda")), []),
            state_hash([0; 32], threads, [], &ana, None, []),
            state_hash([0; 32], threads, [page], &ana, Some(&porch), []),
            state_hash(
                [0; 32],
                threads,
                [(page.0, PageKind::Answer, page.2)],
                &ana,
                Some(&porch),
                [],
            ),
        ];
        let mut all = others.to_vec();
        all.push(state_hash([0; 32], threads, [], &ana, Some(&porch), [page.0]));
        all.push(base);
        all.sort();
        all.dedup();
        assert_eq!(all.len(), others.len() + 2);
    }

    #[test]
    fn golden_hash() {
        let people = BTreeMap::from([(MemberId::new([1; 32]), person("Ana", Some("radio")))]);
        let threads = [(EntryId::new([1; 32]), [2; 32])];
        let pages = [(EntryId::new([1; 32]), PageKind::Answer, [6; 32])];
        let hash = state_hash(
            [7; 32],
            threads,
            pages,
            &people,
            Some(&named("porch")),
            [EntryId::new([5; 32])],
        );
        assert_eq!(crate::id::base32(&hash)[..16], *"ktm967kzbsezt6bp");
    }
}
