//! Epoch keys: which are held, which one to write with, and who still needs a seal.
//!
//! A key comes into the store in one of three ways: minted here, opened from a seal made to this
//! device, or found among the links of an epoch that is held (a newcomer walks back to the first
//! epoch that way). The id of an epoch commits to its key, so a wrong one is never stored.

use std::collections::{BTreeMap, BTreeSet};

use lanai_crdt::id::{DeviceId, EntryId, EpochId, EpochRef};
use lanai_crdt::payload::{Body, DeviceSeal, Seal};
use lanai_crdt::roster::{EpochRecord, Roster};
use lanai_crdt::seal::{
    CryptoRng, EpochKey, SealingPublic, open_from_device, seal_to_device, unwrap_under,
};
use rusqlite::Connection;
use zeroize::Zeroizing;

use super::append::{NewEntry, NewRef};
use super::rows::state;
use super::write::Ctx;
use super::{Author, Durability, Store, StoreError};

/// Seals in one entry: below the format's limit, so that the payload stays under its own.
const SEALS_PER_ENTRY: usize = 400;

/// Keys by the name that headers use.
#[derive(Debug, Default, Clone)]
pub(super) struct Keyring {
    keys: BTreeMap<EpochRef, EpochKey>,
}

impl Keyring {
    pub(super) fn load(conn: &Connection) -> Result<Keyring, StoreError> {
        let mut keys = BTreeMap::new();
        let mut statement = conn.prepare_cached("SELECT key FROM epoch_keys")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let bytes: Zeroizing<Vec<u8>> = Zeroizing::new(row.get(0)?);
            if let Ok(bytes) = <&[u8; 32]>::try_from(bytes.as_slice()) {
                let key = EpochKey::from_bytes(bytes);
                keys.insert(key.id().short_ref(), key);
            }
        }
        Ok(Keyring { keys })
    }

    pub(super) fn get(&self, epoch: &EpochRef) -> Option<&EpochKey> {
        self.keys.get(epoch)
    }

    /// The key of exactly this epoch: headers name only half of an id.
    pub(super) fn exact(&self, id: &EpochId) -> Option<&EpochKey> {
        self.keys.get(&id.short_ref()).filter(|k| k.id() == *id)
    }
}

/// The epoch to write under: the usable head with most recipients, then the smallest id.
///
/// Usable: its key is held, and its recipients, its author and who sealed it are effective devices.
/// A head: no other counted epoch follows it.
pub(super) fn choose_epoch<'r>(roster: &'r Roster, keys: &Keyring) -> Option<&'r EpochRecord> {
    let followed: BTreeSet<EpochId> =
        roster.epochs().flat_map(|e| e.parents.iter().copied()).collect();
    let effective = |device: &DeviceId| roster.standing(device).is_some();
    roster
        .epochs()
        .filter(|e| !followed.contains(&e.id) && keys.exact(&e.id).is_some())
        .filter(|e| effective(&e.author) && e.sealed_to.keys().all(effective))
        .filter(|e| e.sealed_to.values().flatten().all(|s| effective(&s.by)))
        .min_by_key(|e| (std::cmp::Reverse(e.sealed_to.len()), e.id, e.entry))
}

/// What [`Store::open_seals`] found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SealsOpened {
    /// Epochs whose keys were not held before.
    pub new_keys: usize,
    /// Entries that can be read now.
    pub readable: usize,
    /// Epochs of the roster that still cannot be opened.
    pub locked: usize,
}

impl Ctx<'_> {
    /// Stores an epoch key and lets the entries sealed under it be folded.
    pub(super) fn add_key(&mut self, key: &EpochKey) -> Result<usize, StoreError> {
        self.conn
            .prepare_cached("INSERT OR IGNORE INTO epoch_keys (id, key) VALUES (?1, ?2)")?
            .execute((key.id().as_bytes(), key.expose()))?;
        let epoch = key.id().short_ref();
        self.keys()?.keys.insert(epoch, key.clone());
        // In the packed header the epoch's name begins at byte 50 (SQLite counts from one).
        self.conn
            .prepare_cached(
                "INSERT OR IGNORE INTO todo (n) SELECT n FROM entries
                 WHERE state = ?1 AND substr(header, 51, 16) = ?2",
            )?
            .execute((state::NO_KEY, epoch.0))?;
        let readable = self
            .conn
            .prepare_cached(
                "UPDATE entries SET state = 0 WHERE state = ?1 AND substr(header, 51, 16) = ?2",
            )?
            .execute((state::NO_KEY, epoch.0))?;
        Ok(readable)
    }

    /// Opens what is sealed to the author's device, and what those epochs link to.
    pub(super) fn open_seals(&mut self, author: &Author) -> Result<SealsOpened, StoreError> {
        let state = self.roster.clone();
        let device = author.device.device();
        let mut found = SealsOpened::default();
        for epoch in state.roster().epochs() {
            if self.keys()?.exact(&epoch.id).is_some() {
                continue;
            }
            let seals = epoch.sealed_to.get(&device).map(Vec::as_slice).unwrap_or_default();
            let opened = seals.iter().find_map(|s| {
                open_from_device(&author.sealing, &epoch.id, &device, &s.sealed).ok()
            });
            if let Some(key) = opened {
                found.readable += self.add_key(&key)?;
                found.new_keys += 1;
            }
        }
        // Each round opens at least one more epoch, or is the last.
        loop {
            let mut linked = Vec::new();
            for epoch in state.roster().epochs() {
                if let Some(key) = self.keys()?.exact(&epoch.id) {
                    linked.extend(parent_keys(epoch, key));
                }
            }
            let before = found.new_keys;
            for key in linked {
                if self.keys()?.exact(&key.id()).is_none() {
                    found.readable += self.add_key(&key)?;
                    found.new_keys += 1;
                }
            }
            if found.new_keys == before {
                break;
            }
        }
        let keys = self.keys()?;
        found.locked = state.roster().epochs().filter(|e| keys.exact(&e.id).is_none()).count();
        Ok(found)
    }

    /// Seal entries for the effective devices that lack the present epoch's key.
    fn missing_seals(&mut self, rng: &mut impl CryptoRng) -> Result<Vec<NewEntry>, StoreError> {
        let state = self.roster.clone();
        let roster = state.roster();
        let keys = self.keys()?;
        let epoch = choose_epoch(roster, keys).ok_or(StoreError::NoEpochKey)?;
        let key = keys.exact(&epoch.id).ok_or(StoreError::NoEpochKey)?;
        seal_bodies(epoch.entry, key, &lacking(roster, epoch), rng)
    }
}

/// Effective devices that an epoch's key is not sealed to, with their sealing keys.
fn lacking(roster: &Roster, epoch: &EpochRecord) -> BTreeMap<DeviceId, [u8; 32]> {
    roster
        .members()
        .filter(|m| !m.pending)
        .flat_map(|m| &m.devices)
        .filter(|d| !epoch.sealed_to.contains_key(&d.device))
        .map(|d| (d.device, d.sealing))
        .collect()
}

/// Seal entries that give `key` to each of `devices`. A device with a sealing key that nothing can
/// be sealed to is left out.
pub(super) fn seal_bodies(
    epoch: EntryId,
    key: &EpochKey,
    devices: &BTreeMap<DeviceId, [u8; 32]>,
    rng: &mut impl CryptoRng,
) -> Result<Vec<NewEntry>, StoreError> {
    let mut seals = Vec::with_capacity(devices.len());
    for (device, sealing) in devices {
        let Ok(to) = SealingPublic::checked(sealing) else { continue };
        let sealed = seal_to_device(&to, device, key, rng)?;
        seals.push(DeviceSeal { device: (*device.as_bytes()).into(), sealed: sealed.into() });
    }
    let id = *key.id().as_bytes();
    Ok(seals
        .chunks(SEALS_PER_ENTRY)
        .map(|part| NewEntry {
            body: Body::Seal(Seal { epoch: id.into(), seals: part.to_vec() }),
            refs: vec![NewRef::Id(epoch)],
        })
        .collect())
}

/// The keys that an epoch's links hold: those whose id is the one that the entry names.
fn parent_keys(epoch: &EpochRecord, key: &EpochKey) -> Vec<EpochKey> {
    if epoch.parents.is_empty() {
        return Vec::new();
    }
    let Ok(links) = unwrap_under(key, epoch.id.as_bytes(), &epoch.links) else {
        return Vec::new();
    };
    let keys = links.chunks_exact(32).filter_map(|k| <&[u8; 32]>::try_from(k).ok());
    keys.map(EpochKey::from_bytes)
        .zip(&epoch.parents)
        .filter(|(key, parent)| key.id() == **parent)
        .map(|(key, _)| key)
        .collect()
}

impl Store {
    /// Opens the seals addressed to this device and keeps the epoch keys found in them. To be
    /// called after roster entries arrived; entries that become readable are folded by
    /// [`Store::fold_pending`].
    ///
    /// # Errors
    ///
    /// When the store cannot be written.
    pub fn open_seals(&self, author: &Author, now_ms: u64) -> Result<SealsOpened, StoreError> {
        self.inner.write(Durability::Full, now_ms, |ctx| ctx.open_seals(author))
    }

    /// The devices that [`Store::top_up`] would write seals for; none when this store cannot open
    /// the present epoch itself.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn lacking_seals(&self) -> Result<BTreeSet<DeviceId>, StoreError> {
        self.inner.connections.read(|conn| {
            let state = self.inner.rosters.get(conn)?;
            let roster = state.roster();
            let Some(epoch) = choose_epoch(roster, &Keyring::load(conn)?) else {
                return Ok(BTreeSet::new());
            };
            let can_be_sealed_to = |sealing: &[u8; 32]| SealingPublic::checked(sealing).is_ok();
            let lacking = lacking(roster, epoch).into_iter();
            Ok(lacking.filter(|(_, s)| can_be_sealed_to(s)).map(|(device, _)| device).collect())
        })
    }

    /// Writes seals of the present epoch for all effective devices that have none; `None` when
    /// nobody lacks one. To be called after an admission.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoEpochKey`] when this store cannot open the epoch itself; the errors of
    /// [`Store::append`].
    pub fn top_up(
        &self,
        author: &Author,
        now_ms: u64,
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<EntryId>, StoreError> {
        self.own_write(author, now_ms, |ctx| {
            let new = ctx.missing_seals(rng)?;
            if new.is_empty() { Ok(Vec::new()) } else { ctx.append(author, rng, new) }
        })
    }
}
