//! Entries as the folds take them, for whoever writes a new one that must name the ones it
//! replaces: an edit, a mark, a reaction taken back, a profile.

use lanai_crdt::id::{EntryId, MemberId};
use lanai_crdt::payload::Kind;
use lanai_crdt::thread::TalkEntry;
use rusqlite::OptionalExtension as _;

use super::fold::load_specials;
use super::groups::entries_of_group;
use super::keys::Keyring;
use super::read::group_of;
use super::{Store, StoreError};

impl Store {
    /// The entries that count of the thread that `id` belongs to, in no order: its root, an alias
    /// of it, or any entry in it.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn thread_entries(&self, id: &EntryId) -> Result<Vec<TalkEntry>, StoreError> {
        self.inner.connections.read(|conn| {
            if let Some((talk, _)) = super::side::load(self, conn, id)? {
                return Ok(talk.entries);
            }
            let Some(group) = group_of(conn, id)? else { return Ok(Vec::new()) };
            let keys = Keyring::load(conn)?;
            entries_of_group(conn, &self.inner.community, &keys, group)
        })
    }

    /// All profiles of a member, replaced ones included.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn profile_entries(&self, member: &MemberId) -> Result<Vec<TalkEntry>, StoreError> {
        self.inner.connections.read(|conn| {
            let m: Option<i64> = conn
                .prepare_cached("SELECT m FROM members WHERE id = ?1")?
                .query_row([member.as_bytes()], |r| r.get(0))
                .optional()?;
            let Some(m) = m else { return Ok(Vec::new()) };
            let keys = Keyring::load(conn)?;
            let community = &self.inner.community;
            let loaded = load_specials(conn, community, &keys, Kind::Profile, Some(m))?;
            Ok(loaded.into_iter().map(|(_, entry)| entry).collect())
        })
    }

    /// The names of all members whose profile is here, by member.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn names(&self) -> Result<Vec<(MemberId, String)>, StoreError> {
        self.inner.connections.read(|conn| {
            let mut statement = conn
                .prepare_cached("SELECT m.id, p.name FROM people p JOIN members m ON m.m = p.m")?;
            let found = statement.query_map([], |r| {
                let id = MemberId::from_slice(r.get_ref(0)?.as_blob()?).unwrap_or(MemberId::ZERO);
                Ok((id, r.get(1)?))
            })?;
            Ok(found.collect::<Result<_, _>>()?)
        })
    }
}
