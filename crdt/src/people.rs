//! People and the community itself: names and profiles in their own words.
//!
//! 1. A profile says who its author is; nobody writes another member's.
//! 2. Profiles of one member supersede each other: current is the one that no other supersedes;
//!    several: the greatest (supersede depth, id). The others stay in the history.
//! 3. A member volunteers to tend topics, each until some time. For each topic, whatever its case, these
//!    supersede each other; a time of zero ends it. It gives no power.
//! 4. The community's name and charter are set by stewards, and supersede each other likewise.

use std::collections::BTreeMap;

use crate::id::{EntryId, MemberId};
use crate::limits::MAX_REFS;
use crate::payload::{Body, Community, Profile, Role, Tend};
use crate::thread::TalkEntry;
use crate::thread::supersede;

/// A topic that a member tends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TendView {
    /// The topic, as it was written.
    pub topic: String,
    /// Until when, Unix milliseconds. It may have passed: time decides nothing here.
    pub until: u64,
    /// The entry that it comes from.
    pub entry: EntryId,
}

/// Who a member is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonView {
    /// The name shown beside posts. Not unique.
    pub name: String,
    /// The whole profile.
    pub profile: Profile,
    /// The entry that it comes from.
    pub entry: EntryId,
    /// All profiles of the member, by (supersede depth, id).
    pub history: Vec<EntryId>,
    /// What the member's next profile supersedes: its refs.
    pub heads: Vec<EntryId>,
    /// Topics that the member tends, by topic.
    pub tends: Vec<TendView>,
}

/// What a community calls itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommunityView {
    /// Name.
    pub name: String,
    /// What members agree to.
    pub charter: Option<String>,
    /// Which steward set it.
    pub by: MemberId,
    /// The entry that it comes from.
    pub entry: EntryId,
    /// All such entries, by (supersede depth, id).
    pub history: Vec<EntryId>,
    /// What the next such entry supersedes: its refs.
    pub heads: Vec<EntryId>,
}

/// The last word of a member about a topic, ended and expired ones included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TendTerm {
    /// Who.
    pub member: MemberId,
    /// The topic as it is compared: its [`topic_key`].
    pub key: String,
    /// What it says.
    pub view: TendView,
    /// What the member's next entry about this topic supersedes: its refs.
    pub heads: Vec<EntryId>,
}

/// Folds what members said of tending topics, by member and topic. Entries that count, in any order;
/// other kinds and duplicates do no harm.
pub fn tend_terms(entries: &[TalkEntry]) -> Vec<TendTerm> {
    let term = |((member, key), list)| {
        let Found { entry, value, heads, .. } = current::<Tend>(list)?;
        let view = TendView { topic: value.topic.clone(), until: value.until, entry: entry.id };
        Some(TendTerm { member, key, view, heads })
    };
    tend_lines(entries).into_iter().filter_map(term).collect()
}

/// What members tend, by topic. What was ended is not in it.
pub fn fold_tends(entries: &[TalkEntry]) -> BTreeMap<MemberId, Vec<TendView>> {
    let mut tends: BTreeMap<MemberId, Vec<TendView>> = BTreeMap::new();
    for term in tend_terms(entries).into_iter().filter(|t| t.view.until > 0) {
        tends.entry(term.member).or_default().push(term.view);
    }
    tends
}

type TendLines<'a> = BTreeMap<(MemberId, String), Vec<(&'a TalkEntry, &'a Tend)>>;

/// A topic as it is compared: without spaces around it and signs before it, in lower case.
pub fn topic_key(topic: &str) -> String {
    topic.trim().trim_start_matches('#').to_lowercase()
}

/// By member and topic.
fn tend_lines(entries: &[TalkEntry]) -> TendLines<'_> {
    let mut lines = TendLines::new();
    for entry in entries {
        if let Body::Tend(tend) = &entry.body {
            let key = (entry.member, topic_key(&tend.topic));
            lines.entry(key).or_default().push((entry, tend));
        }
    }
    lines
}

/// Folds profiles, and what those who have one tend. Entries that count, in any order; other kinds and
/// duplicates do no harm.
pub fn fold_people(entries: &[TalkEntry]) -> BTreeMap<MemberId, PersonView> {
    let mut by_member: BTreeMap<MemberId, Vec<(&TalkEntry, &Profile)>> = BTreeMap::new();
    for entry in entries {
        if let Body::Profile(profile) = &entry.body {
            by_member.entry(entry.member).or_default().push((entry, profile));
        }
    }
    let mut tends = fold_tends(entries);
    let mut person = |(member, list): (MemberId, Vec<_>)| {
        let Found { entry, value, history, heads } = current::<Profile>(list)?;
        let (name, profile) = (value.name.clone(), value.clone());
        let tends = tends.remove(&member).unwrap_or_default();
        Some((member, PersonView { name, profile, entry: entry.id, history, heads, tends }))
    };
    by_member.into_iter().filter_map(&mut person).collect()
}

/// Folds the community's name and charter. `None` until a steward has set them.
pub fn fold_community(entries: &[TalkEntry]) -> Option<CommunityView> {
    let by_stewards = entries.iter().filter(|e| e.role == Role::Steward);
    let set = by_stewards.filter_map(|e| match &e.body {
        Body::Community(c) => Some((e, c)),
        _ => None,
    });
    let Found { entry, value, history, heads } = current::<Community>(set.collect())?;
    let (name, charter) = (value.name.clone(), value.charter.clone());
    Some(CommunityView { name, charter, by: entry.member, entry: entry.id, history, heads })
}

struct Found<'a, T> {
    entry: &'a TalkEntry,
    value: &'a T,
    history: Vec<EntryId>,
    heads: Vec<EntryId>,
}

fn current<'a, T>(mut list: Vec<(&'a TalkEntry, &'a T)>) -> Option<Found<'a, T>> {
    list.sort_by_key(|(e, _)| e.id);
    list.dedup_by_key(|(e, _)| e.id);
    let items: Vec<(EntryId, &[EntryId])> = list.iter().map(|(e, _)| (e.id, &e.refs[..])).collect();
    let resolved = supersede::resolve(&items, |_, _| true);
    let (entry, value) = list.get(resolved.current(&items, |_| true)?).copied()?;
    let mut order: Vec<usize> = (0..items.len()).collect();
    order.sort_by_key(|at| resolved.key(&items, *at));
    let history = order.into_iter().filter_map(|at| items.get(at).map(|(id, _)| *id)).collect();
    let mut heads = resolved.heads(&items);
    heads.truncate(MAX_REFS);
    Some(Found { entry, value, history, heads })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Hlc;

    fn id(n: u8) -> EntryId {
        EntryId::new([n; 32])
    }

    fn entry(n: u8, by: u8, role: Role, refs: &[u8], body: Body) -> TalkEntry {
        let (member, refs) = (MemberId::new([by; 32]), refs.iter().map(|r| id(*r)).collect());
        TalkEntry { id: id(n), member, role, time: Hlc(0), refs, body }
    }

    fn profile(n: u8, by: u8, refs: &[u8], name: &str) -> TalkEntry {
        let body = Body::Profile(Profile { name: name.into(), ..Profile::default() });
        entry(n, by, Role::Member, refs, body)
    }

    fn community(n: u8, by: u8, role: Role, refs: &[u8], name: &str) -> TalkEntry {
        let (name, charter, salt) = (name.into(), None, [0; 16].into());
        entry(n, by, role, refs, Body::Community(Community { name, charter, salt }))
    }

    #[test]
    fn profiles_supersede_within_a_member() {
        let all = [
            profile(9, 1, &[], "Ana"),
            profile(3, 1, &[9], "Ana B."),
            profile(4, 2, &[9, 3], "not Ana"),
            profile(2, 1, &[9], "Anna"),
            entry(8, 3, Role::Member, &[], Body::Withdraw),
        ];
        let people = fold_people(&all);
        assert_eq!(people.len(), 2);
        let ana = &people[&MemberId::new([1; 32])];
        assert_eq!((ana.name.as_str(), ana.entry), ("Ana B.", id(3)));
        assert_eq!(ana.history, [id(9), id(2), id(3)]);
        assert_eq!(ana.heads, [id(3), id(2)]);
        let mut again: Vec<TalkEntry> = all.iter().rev().cloned().collect();
        again.extend(all);
        assert_eq!(fold_people(&again), people);
    }

    #[test]
    fn members_tend_topics_until_they_end_it() {
        let tend = |n, by, refs: &[u8], topic: &str, until| {
            entry(n, by, Role::Member, refs, Body::Tend(Tend { topic: topic.into(), until }))
        };
        let mut all = vec![
            tend(9, 1, &[], "Convoy", 50),
            tend(3, 1, &[9], "#convoy", 70),
            tend(5, 1, &[], "radio", 10),
            tend(4, 2, &[9, 3], "convoy", 0),
            profile(2, 1, &[], "Ana"),
        ];
        let of = |all: &[TalkEntry], by: u8| -> Vec<(String, u64)> {
            let mut tends = fold_tends(all);
            let own = tends.remove(&MemberId::new([by; 32])).unwrap_or_default();
            own.into_iter().map(|t| (t.topic, t.until)).collect()
        };
        assert_eq!(of(&all, 1), [("#convoy".to_string(), 70), ("radio".to_string(), 10)]);
        assert_eq!(of(&all, 2), []);
        let ana = MemberId::new([1; 32]);
        let heads = |topic: &str| {
            let terms = tend_terms(&all);
            let of = |t: &&TendTerm| t.member == ana && t.key == topic_key(topic);
            terms.iter().find(of).map(|t| t.heads.clone()).unwrap_or_default()
        };
        assert_eq!(heads("CONVOY"), [id(3)]);
        assert_eq!(heads("other"), []);
        let before = fold_tends(&all);
        assert_eq!(fold_people(&all)[&ana].tends, before[&ana]);
        let mut again: Vec<TalkEntry> = all.iter().rev().cloned().collect();
        again.extend(all.clone());
        assert_eq!(fold_tends(&again), before);
        all.push(tend(1, 1, &[3], "convoy", 0));
        assert_eq!(of(&all, 1), [("radio".to_string(), 10)]);
    }

    #[test]
    fn stewards_name_the_community() {
        let mut all = vec![
            community(1, 1, Role::Steward, &[], "porch"),
            community(9, 2, Role::Lead, &[1], "mine"),
        ];
        let named = fold_community(&all).unwrap();
        assert_eq!((named.name.as_str(), named.by), ("porch", MemberId::new([1; 32])));
        all.push(community(0, 3, Role::Steward, &[1], "veranda"));
        assert_eq!(fold_community(&all).unwrap().name, "veranda");
        assert_eq!(fold_community(&all).unwrap().history, [id(1), id(0)]);
        assert_eq!(fold_community(&all[1..2]), None);
    }
}
