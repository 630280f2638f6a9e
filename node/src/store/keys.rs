//! Epoch keys: which are held, which one to write with, and who still needs a seal.
//!
//! A key comes into the store in one of three ways: minted here, opened from a seal made to this
//! device, or found among the links of an epoch that is held (a newcomer walks back to the first
//! epoch that way). The id of an epoch commits to its key, so a wrong one is never stored.
//!
//! # History from admission
//!
//! A community may be founded so that newcomers read nothing that was written before they came. Then:
//!
//! 1. An epoch is *open to* a member whose admission is in its past. Nobody seals it to others.
//! 2. It links to nothing, whatever it follows: a key leads to no other. So devices need a seal of each, and
//!    whoever holds a key tops up every device of those it is open to.
//! 3. It is usable only while it is open to all members: an admission makes it due for another.
//! 4. Who writes under an epoch for the first time writes the own profile again, a steward the
//!    community's name and charter: else newcomers would not know whom they read.

use std::collections::{BTreeMap, BTreeSet};

use lanai_crdt::clock::Hlc;
use lanai_crdt::id::{DeviceId, EntryId, EpochId, EpochRef};
use lanai_crdt::limits::MAX_EPOCH_PARENTS;
use lanai_crdt::payload::{Body, DeviceSeal, Epoch, History, Kind, Role, Seal};
use lanai_crdt::people::{fold_community, fold_people};
use lanai_crdt::roster::{EpochRecord, MemberRecord, RevocationKind, Roster};
use lanai_crdt::seal::{
    CryptoRng, EpochKey, NONCE_BYTES, SealingPublic, open_from_device, seal_to_device,
    unwrap_under, wrap_under,
};
use lanai_crdt::thread::TalkEntry;
use rusqlite::Connection;
use zeroize::Zeroizing;

use super::append::{NewEntry, NewRef};
use super::fold::load_specials;
use super::rows::{self, state};
use super::write::Ctx;
use super::{Author, Durability, Store, StoreError};

/// Milliseconds after which an epoch is followed by a new one.
pub(super) const MAX_EPOCH_AGE_MS: u64 = 30 * 24 * 60 * 60 * 1000;

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
/// Usable: its recipients, its author and who sealed it are effective devices, and it is open to all.
pub(super) fn choose_epoch<'r>(roster: &'r Roster, keys: &Keyring) -> Option<&'r EpochRecord> {
    let effective = |device: &DeviceId| roster.standing(device).is_some();
    heads(roster, keys)
        .filter(|e| effective(&e.author) && e.sealed_to.keys().all(effective))
        .filter(|e| e.sealed_to.values().flatten().all(|s| effective(&s.by)))
        .filter(|e| is_open_to_all(roster, e))
        .min_by_key(|e| (std::cmp::Reverse(e.sealed_to.len()), e.id, e.entry))
}

/// Whether a member may have the key of an epoch: of those who read from their admission on, that must be
/// in the epoch's past; of who was removed and taken back in between, also the device that came then.
pub(super) fn is_open_to(roster: &Roster, epoch: &EpochRecord, member: &MemberRecord) -> bool {
    let saw = |id: &EntryId| roster.covers(&[epoch.entry], id);
    let back = |removal: &EntryId| {
        let since = member.devices.iter().map(|d| d.enrolled_by);
        since.into_iter().any(|e| roster.covers(&[e], removal) && saw(&e))
    };
    let mut removals = roster.revocations().filter(|r| {
        r.kept && r.subject == member.id && r.kind == RevocationKind::Member && saw(&r.entry)
    });
    roster.history() == History::All
        || saw(&member.admitted_entry) && removals.all(|r| back(&r.entry))
}

fn is_open_to_all(roster: &Roster, epoch: &EpochRecord) -> bool {
    roster.history() == History::All
        || roster.members().filter(|m| !m.pending).all(|m| is_open_to(roster, epoch, m))
}

/// Epochs whose keys are held and that no other such epoch follows. One that cannot be opened here
/// is passed over: its seal may be on its way, or lost with the disk of whoever made it, or there never
/// was a good one; nobody who lacks it stops writing for that.
fn heads<'r>(roster: &'r Roster, keys: &Keyring) -> impl Iterator<Item = &'r EpochRecord> {
    let held: Vec<&EpochRecord> = roster.epochs().filter(|e| keys.exact(&e.id).is_some()).collect();
    let followed: BTreeSet<EpochId> = held.iter().flat_map(|e| e.parents.iter().copied()).collect();
    held.into_iter().filter(move |e| !followed.contains(&e.id))
}

/// Epochs whose makers were removed meanwhile, whose keys are held here and that nothing that counts
/// leads back to: whoever comes in later could not read what was written under them.
fn orphans(roster: &Roster, keys: &Keyring) -> Vec<EpochRecord> {
    let led_to: BTreeSet<EpochId> =
        roster.epochs().flat_map(|e| e.parents.iter().copied().chain([e.id])).collect();
    let mut orphans = roster.struck_epochs();
    orphans.retain(|e| !led_to.contains(&e.id) && keys.exact(&e.id).is_some());
    orphans
}

/// The body of an epoch that follows the heads and orphans that can be opened here, and the entries
/// of those orphans. What has most recipients comes first, should there be more than an epoch may
/// follow.
pub(super) fn new_epoch(
    roster: &Roster,
    keys: &Keyring,
    key: &EpochKey,
    rng: &mut impl CryptoRng,
) -> Result<(Epoch, Vec<EntryId>), StoreError> {
    let orphans = orphans(roster, keys);
    let mut parents: Vec<(&EpochRecord, &EpochKey)> =
        heads(roster, keys).chain(&orphans).filter_map(|e| Some((e, keys.exact(&e.id)?))).collect();
    // Who can open none is waiting for a seal; an epoch without the history would lose it for all.
    if parents.is_empty() {
        return Err(StoreError::NoEpochKey);
    }
    parents.sort_by_key(|(e, _)| (std::cmp::Reverse(e.sealed_to.len()), e.id));
    parents.dedup_by_key(|(e, _)| e.id);
    parents.truncate(MAX_EPOCH_PARENTS);
    let id = key.id();
    let links = match roster.history() {
        History::All => {
            let links: Vec<u8> = parents.iter().flat_map(|(_, k)| *k.expose()).collect();
            let mut nonce = [0; NONCE_BYTES];
            rng.fill_bytes(&mut nonce);
            wrap_under(key, nonce, id.as_bytes(), &Zeroizing::new(links))?
        }
        History::FromAdmission => Vec::new(),
    };
    let epoch = Epoch {
        id: (*id.as_bytes()).into(),
        parents: parents.iter().map(|(e, _)| (*e.id.as_bytes()).into()).collect(),
        links: links.into(),
    };
    // They count for nothing, so no roster head has them in its past.
    let struck = |e: &&EpochRecord| orphans.iter().any(|o| o.entry == e.entry);
    Ok((epoch, parents.iter().map(|(e, _)| *e).filter(struck).map(|e| e.entry).collect()))
}

/// What [`Store::open_seals`] found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SealsOpened {
    /// Epochs whose keys were not held before.
    pub new_keys: usize,
    /// Entries that can be read now.
    pub readable: usize,
    /// Epochs of the roster that still cannot be opened, and are meant for this member.
    pub locked: BTreeSet<EpochId>,
}

impl Ctx<'_> {
    /// Stores an epoch key and lets the entries sealed under it be folded.
    pub(super) fn add_key(&mut self, key: &EpochKey) -> Result<usize, StoreError> {
        self.conn
            .prepare_cached("INSERT OR IGNORE INTO epoch_keys (id, key) VALUES (?1, ?2)")?
            .execute((key.id().as_bytes(), key.expose()))?;
        let epoch = key.id().short_ref();
        self.keys()?.keys.insert(epoch, key.clone());
        self.conn
            .prepare_cached(
                "INSERT OR IGNORE INTO todo (n) SELECT n FROM entries
                 WHERE state = ?1 AND epoch = (SELECT k FROM epochs WHERE ref = ?2)",
            )?
            .execute((state::NO_KEY, epoch.0))?;
        let readable = self
            .conn
            .prepare_cached(
                "UPDATE entries SET state = 0
                 WHERE state = ?1 AND epoch = (SELECT k FROM epochs WHERE ref = ?2)",
            )?
            .execute((state::NO_KEY, epoch.0))?;
        Ok(readable)
    }

    /// Where newcomers read from their admission on: what is to be written again under an epoch, so that
    /// they know whom they read and where they are. Nothing where it stands under that epoch already.
    pub(super) fn introductions(
        &mut self,
        author: &Author,
        key: &EpochKey,
    ) -> Result<Vec<NewEntry>, StoreError> {
        let state = self.roster.clone();
        let own = state.roster().standing(&author.device.device());
        let (History::FromAdmission, Some(own)) = (state.roster().history(), own) else {
            return Ok(Vec::new());
        };
        let (conn, community) = (self.conn, self.community);
        let m = self.member(&own.member)?;
        let mut load = |kind, m| -> Result<Vec<TalkEntry>, StoreError> {
            let loaded = load_specials(conn, &community, self.keys()?, kind, m)?;
            Ok(loaded.into_iter().map(|(_, e)| e).collect())
        };
        let mut now: Vec<(EntryId, Vec<EntryId>)> = Vec::new();
        let mut all = load(Kind::Profile, Some(m))?;
        now.extend(fold_people(&all).into_values().map(|p| (p.entry, p.heads)));
        if own.role == Role::Steward {
            let names = load(Kind::Community, None)?;
            now.extend(fold_community(&names).map(|c| (c.entry, c.heads)));
            all.extend(names);
        }
        let mut new = Vec::new();
        for (entry, heads) in now {
            let stored = rows::entry_by_id(conn, &community, &entry)?;
            let written = stored.map(|s| s.verified.header().epoch);
            let body = all.iter().find(|e| e.id == entry).map(|e| e.body.clone());
            if let (Some(body), true) = (body, written != Some(key.id().short_ref())) {
                new.push(NewEntry::new(body, heads));
            }
        }
        Ok(new)
    }

    /// Opens what is sealed to the author's device, and what those epochs link to.
    pub(super) fn open_seals(&mut self, author: &Author) -> Result<SealsOpened, StoreError> {
        let state = self.roster.clone();
        let device = author.device.device();
        let mut found = SealsOpened::default();
        let struck = state.roster().struck_epochs();
        let all = || state.roster().epochs().chain(&struck);
        for epoch in all() {
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
            for epoch in all() {
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
        let closed = closed_epochs(state.roster(), keys, &device);
        let epochs = state.roster().epochs().map(|e| e.id);
        found.locked =
            epochs.filter(|id| keys.exact(id).is_none() && !closed.contains(id)).collect();
        Ok(found)
    }
}

/// Epochs that are no business of the member whose device this is: from before the admission.
pub(super) fn closed_epochs(
    roster: &Roster,
    keys: &Keyring,
    device: &DeviceId,
) -> BTreeSet<EpochId> {
    let Some(me) = roster.standing(device).and_then(|own| roster.member(&own.member)) else {
        return BTreeSet::new();
    };
    let closed = |e: &&EpochRecord| keys.exact(&e.id).is_none() && !is_open_to(roster, e, me);
    roster.epochs().filter(closed).map(|e| e.id).collect()
}

/// What there is to write with.
enum Present {
    /// An epoch that is held, and that only effective devices can open.
    Usable,
    /// None, or several heads, or an old one; there is a head, so this store can mint the next.
    Due,
    /// No epoch at all can be opened here: a seal is still on its way.
    Locked,
}

fn present_epoch(
    conn: &Connection,
    roster: &Roster,
    keys: &Keyring,
    now_ms: u64,
) -> Result<Present, StoreError> {
    let held: BTreeSet<EpochId> = heads(roster, keys).map(|e| e.id).collect();
    // Who comes in later gets the key of one head and walks back from it, so there is to be one.
    if held.len() > 1 || !held.is_empty() && !orphans(roster, keys).is_empty() {
        return Ok(Present::Due);
    }
    let Some(epoch) = choose_epoch(roster, keys) else {
        return Ok(if held.is_empty() { Present::Locked } else { Present::Due });
    };
    let entry = rows::entry_by_id(conn, &roster.community(), &epoch.entry)?;
    let made = entry.map_or(now_ms, |e| e.verified.header().time.millis());
    // A clock may stand beyond what a stamp can say.
    let now_ms = Hlc::from_millis(now_ms).millis();
    let old = made.saturating_add(MAX_EPOCH_AGE_MS) < now_ms;
    Ok(if old { Present::Due } else { Present::Usable })
}

/// The devices of members, with their sealing keys.
pub(super) fn effective(roster: &Roster) -> BTreeMap<DeviceId, [u8; 32]> {
    let members = roster.members().filter(|m| !m.pending);
    members.flat_map(|m| &m.devices).map(|d| (d.device, d.sealing)).collect()
}

/// Effective devices of those to whom an epoch is open that its key is not sealed to, with their sealing
/// keys.
fn lacking(roster: &Roster, epoch: &EpochRecord) -> BTreeMap<DeviceId, [u8; 32]> {
    let members = roster.members().filter(|m| !m.pending && is_open_to(roster, epoch, m));
    let devices = members.flat_map(|m| &m.devices).map(|d| (d.device, d.sealing));
    devices.filter(|(device, _)| !epoch.sealed_to.contains_key(device)).collect()
}

/// The epochs whose keys are to be sealed to all: what is written with, from where links lead on; where there
/// are no links, every one that is held.
fn to_be_sealed<'r>(
    roster: &'r Roster,
    keys: &'r Keyring,
) -> impl Iterator<Item = (&'r EpochRecord, &'r EpochKey)> {
    let present = choose_epoch(roster, keys).map(|e| e.entry);
    let all = roster.history() == History::FromAdmission;
    let epochs = roster.epochs().filter(move |e| all || Some(e.entry) == present);
    epochs.filter_map(|e| Some((e, keys.exact(&e.id)?)))
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

    /// The devices that [`Store::top_up`] would write seals for: those that lack the present epoch's
    /// key, or all, where a new epoch is due; none when this store can open no epoch to begin with.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn lacking_seals(&self, now_ms: u64) -> Result<BTreeSet<DeviceId>, StoreError> {
        self.inner.connections.read(|conn| {
            let state = self.inner.rosters.get(conn)?;
            let roster = state.roster();
            let keys = Keyring::load(conn)?;
            let lacking = match present_epoch(conn, roster, &keys, now_ms)? {
                Present::Usable => {
                    to_be_sealed(roster, &keys).flat_map(|(e, _)| lacking(roster, e)).collect()
                }
                Present::Due => effective(roster),
                Present::Locked => BTreeMap::new(),
            };
            let can_be_sealed_to = |sealing: &[u8; 32]| SealingPublic::checked(sealing).is_ok();
            let lacking = lacking.into_iter();
            Ok(lacking.filter(|(_, s)| can_be_sealed_to(s)).map(|(device, _)| device).collect())
        })
    }

    /// Sees to it that every effective device has a seal of an epoch that only effective devices can
    /// open: writes seals for those that have none, or mints an epoch where somebody was removed who
    /// could open the present one, or it is old, or there are several. Lets one's own new devices into one's
    /// side talks. Nothing when all is well. To be called after an admission and a removal.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoEpochKey`] when this store can open no epoch itself; the errors of
    /// [`Store::append`].
    pub fn top_up(
        &self,
        author: &Author,
        now_ms: u64,
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<EntryId>, StoreError> {
        let mut written = self.own_write(author, now_ms, |ctx| {
            let (state, keys) = (ctx.roster.clone(), ctx.keys()?.clone());
            let mut written = match present_epoch(ctx.conn, state.roster(), &keys, now_ms)? {
                Present::Usable => Vec::new(),
                Present::Due => vec![ctx.rotate(author, rng)?],
                Present::Locked => return Err(StoreError::NoEpochKey),
            };
            let (state, keys) = (ctx.roster.clone(), ctx.keys()?.clone());
            let mut new = Vec::new();
            for (epoch, key) in to_be_sealed(state.roster(), &keys) {
                let lacking = lacking(state.roster(), epoch);
                new.extend(seal_bodies(epoch.entry, key, &lacking, rng)?);
            }
            if !new.is_empty() {
                written.extend(ctx.append(author, rng, new)?);
            }
            Ok(written)
        })?;
        written.extend(self.share_side_talks(author, now_ms, rng)?);
        Ok(written)
    }
}
