//! The store of somebody who comes back with nothing but the keys.

use lanai_crdt::id::{CommunityId, DeviceId};
use lanai_crdt::seal::CryptoRng;

use super::token::TOKEN_BYTES;
use super::{Durability, Place, Store, StoreError};

impl Store {
    /// Makes an empty store for a device that is a member's already: of the community nothing is
    /// known but its id. The roster comes with the first sync with a member's node; until then the
    /// devices in the address book are all there is to go by. Own entries start a new log.
    ///
    /// # Errors
    ///
    /// [`StoreError::Exists`] when there is a store already; what the file system and SQLite say.
    pub fn create_returning(
        place: &Place,
        community: CommunityId,
        device: DeviceId,
        now_ms: u64,
        rng: &mut impl CryptoRng,
    ) -> Result<Store, StoreError> {
        let store = Store::prepare(place, community, device)?;
        let mut token = [0; TOKEN_BYTES];
        rng.fill_bytes(&mut token);
        store.inner.write(Durability::Full, now_ms, |ctx| ctx.name_store(&token))?;
        Ok(store)
    }
}
