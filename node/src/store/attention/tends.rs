//! Who looks after which topic.
//!
//! A member volunteers for a topic until a time; a later entry of the same member about the same topic
//! that names the earlier one replaces it. Of several that nothing replaces, the greatest (supersede
//! depth, id) holds. Volunteering gives no power: it is shown, and it steers what is put before whom.

use lanai_crdt::id::{EntryId, MemberId};
use lanai_crdt::payload::Kind;
use lanai_crdt::people::{TendTerm, tend_terms};
use lanai_crdt::thread::TalkEntry;
use rusqlite::Connection;

use crate::store::fold::load_specials;
use crate::store::keys::Keyring;
use crate::store::{Store, StoreError};

/// A member who looks after a topic, or did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tending {
    /// Who.
    pub member: MemberId,
    /// The topic, in small letters.
    pub topic: String,
    /// Until when, Unix milliseconds; zero once it was ended.
    pub until_ms: u64,
    /// What the member's next entry about this topic supersedes: its refs.
    pub heads: Vec<EntryId>,
}

impl Tending {
    /// Whether the term runs at this time, Unix milliseconds.
    #[must_use]
    pub fn runs(&self, now_ms: u64) -> bool {
        self.until_ms > now_ms
    }
}

fn fold(entries: &[TalkEntry]) -> Vec<Tending> {
    let tending = |term: TendTerm| Tending {
        member: term.member,
        topic: term.key,
        until_ms: term.view.until,
        heads: term.heads,
    };
    tend_terms(entries).into_iter().map(tending).collect()
}

/// All that was volunteered for, ended and expired terms included.
pub(super) fn load(conn: &Connection, store: &Store) -> Result<Vec<Tending>, StoreError> {
    let keys = Keyring::load(conn)?;
    let entries = load_specials(conn, &store.inner.community, &keys, Kind::Tend, None)?;
    let entries: Vec<TalkEntry> = entries.into_iter().map(|(_, entry)| entry).collect();
    Ok(fold(&entries))
}

impl Store {
    /// Who looks after which topic, ended and expired terms included, by member and topic.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn tendings(&self) -> Result<Vec<Tending>, StoreError> {
        self.inner.connections.read(|conn| load(conn, self))
    }
}

#[cfg(test)]
mod tests {
    use lanai_crdt::clock::Hlc;
    use lanai_crdt::payload::{Body, Role, Tend};

    use super::*;

    fn entry(id: u8, member: u8, topic: &str, until: u64, refs: &[u8]) -> TalkEntry {
        TalkEntry {
            id: EntryId::new([id; 32]),
            member: MemberId::new([member; 32]),
            role: Role::Member,
            time: Hlc(0),
            refs: refs.iter().map(|r| EntryId::new([*r; 32])).collect(),
            body: Body::Tend(Tend { topic: topic.into(), until }),
        }
    }

    #[test]
    fn the_latest_word_about_each_topic_holds() {
        let entries = [
            entry(9, 1, "Convoy", 10, &[]),
            entry(5, 1, "convoy", 20, &[9]),
            entry(7, 1, "convoy", 30, &[9]),
            entry(3, 1, "convoy", 0, &[7]),
            entry(4, 1, "radio", 5, &[]),
            entry(6, 2, "convoy", 8, &[3]),
        ];
        for turn in 0..entries.len() {
            let mut turned = entries.to_vec();
            turned.rotate_left(turn);
            let found = fold(&turned);
            let told: Vec<(u8, &str, u64)> = found
                .iter()
                .map(|t| (t.member.as_bytes()[0], t.topic.as_str(), t.until_ms))
                .collect();
            assert_eq!(told, [(1, "convoy", 0), (1, "radio", 5), (2, "convoy", 8)]);
            assert_eq!(found[0].heads, [EntryId::new([3; 32]), EntryId::new([5; 32])]);
        }
        assert!(fold(&[]).is_empty());
    }
}
