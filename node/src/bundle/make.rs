//! Making a bundle.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Write, sink};

use lanai_crdt::id::{DeviceId, EntryId, MemberId};
use lanai_crdt::seal::{CryptoRng, SealingPublic};

use super::file::SealedWriter;
use super::take::MANIFEST_BYTES;
use super::{BundleError, SIGN_CONTEXT};
use crate::store::{Author, Store, StoreError, Uncovered};
use crate::sync::{Front, ItemSet, OneWayWriter, StoredEntry, SyncItem, front_frames};

/// Bytes of entries after which a group ends. A group is a chunk, so what a cut or a damaged byte takes
/// along; its box and its one signature cost some 130 bytes.
const GROUP_BYTES: usize = 1024;

/// How often what fits a budget is tried.
const FIT_TRIES: usize = 5;

/// What to put into a bundle, and for whom.
#[derive(Debug, Clone, Default)]
pub struct Spec {
    /// For these members; for all where there are none.
    pub members: BTreeSet<MemberId>,
    /// Also what all these devices said they hold.
    pub everything: bool,
    /// No entries: only what is held here, so that another can make the bundle that is lacking.
    pub only_front: bool,
    /// Bytes that the file may have.
    pub budget: Option<u64>,
}

/// What was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// Devices that can open it.
    pub devices: usize,
    /// Entries in it.
    pub entries: u64,
    /// Entries that those devices said they hold, and that were left out.
    pub left_out: u64,
    /// Entries that did not fit the budget.
    pub over_budget: u64,
    /// Bytes of the file.
    pub bytes: u64,
}

/// Writes a bundle to `out`; `progress` is told how many entries are written.
///
/// # Errors
///
/// [`BundleError`]; what was written to `out` is of no use then.
pub fn make(
    store: &Store,
    author: &Author,
    spec: &Spec,
    now_ms: u64,
    rng: &mut impl CryptoRng,
    out: impl Write,
    progress: impl FnMut(u64),
) -> Result<Made, BundleError> {
    let devices = devices(store, author, &spec.members)?;
    let held = store.stats()?.entries;
    let chosen = match spec.only_front {
        true => Vec::new(),
        false => lacking(store, &devices, spec)?,
    };
    let left_out = if spec.only_front { 0 } else { held.saturating_sub(chosen.len() as u64) };
    let front = front_frames(&store.front()?);
    let draft = Draft { store, author, devices: &devices, front: &front, now_ms };
    let (chosen, over_budget) = match spec.budget {
        Some(budget) => draft.fit(chosen, budget, rng)?,
        None => (chosen, 0),
    };
    let (entries, bytes) = draft.write(&chosen, over_budget > 0, rng, out, progress)?;
    Ok(Made { devices: devices.len(), entries, left_out, over_budget, bytes })
}

/// All of a bundle but what goes into it.
struct Draft<'a> {
    store: &'a Store,
    author: &'a Author,
    devices: &'a [(DeviceId, SealingPublic)],
    front: &'a [u8],
    now_ms: u64,
}

impl Draft<'_> {
    /// Writes the file; gives how many entries and bytes it has.
    fn write(
        &self,
        chosen: &[Uncovered],
        more: bool,
        rng: &mut impl CryptoRng,
        out: impl Write,
        mut progress: impl FnMut(u64),
    ) -> Result<(u64, u64), BundleError> {
        let Draft { store, author, .. } = *self;
        let items = ItemSet::new(items(store, chosen)?);
        let mut file = SealedWriter::begin(out, self.devices, rng)?;
        let mut manifest = Vec::with_capacity(MANIFEST_BYTES);
        manifest.extend_from_slice(store.community().as_bytes());
        manifest.extend_from_slice(author.device.device().as_bytes());
        manifest.extend_from_slice(&self.now_ms.to_be_bytes());
        manifest.extend_from_slice(&(items.len() as u64).to_be_bytes());
        manifest.extend_from_slice(blake3::hash(self.front).as_bytes());
        let signed = [&file.key_id()[..], &manifest].concat();
        manifest.extend_from_slice(&author.device.sign_bytes(SIGN_CONTEXT, &signed).0);
        file.put(&manifest)?;
        file.put(self.front)?;

        let ids = chosen.iter().map(|c| c.id).collect();
        let mut writer = OneWayWriter::new(store.community(), &items, ids);
        while let Some(ids) = writer.next_load() {
            let (entries, taken) = store.load(&ids, GROUP_BYTES)?;
            let entries: Vec<StoredEntry> = entries
                .into_iter()
                .map(|e| StoredEntry { entry: e.verified, payload: e.payload })
                .collect();
            if !writer.on_loaded(entries, taken) {
                return Err(StoreError::Internal("the store was asked for nothing").into());
            }
            while let Some(group) = writer.next_group() {
                file.put(&group)?;
            }
            progress(writer.written());
        }
        let entries = writer.written();
        let fin = writer.finish(more);
        file.put(&fin)?;
        let bytes = file.written();
        file.finish()?;
        Ok((entries, bytes))
    }

    /// Keeps roster entries and then the oldest, about as many as fit; and how many do not.
    ///
    /// What an entry takes depends on those beside it, so it is tried, each time with as much as the
    /// last try says would fit.
    fn fit(
        &self,
        mut chosen: Vec<Uncovered>,
        budget: u64,
        rng: &mut impl CryptoRng,
    ) -> Result<(Vec<Uncovered>, u64), BundleError> {
        let least = self.write(&[], true, rng, sink(), |_| ())?.1;
        if budget < least {
            return Err(BundleError::BudgetTooSmall { budget, least });
        }
        chosen.sort_unstable_by_key(|c| (!c.roster, c.time, c.id));
        // An entry in frames is hardly larger than by itself.
        let (mut best, mut share) = (0, 1.0);
        for _ in 0..FIT_TRIES {
            let mut sum = 0;
            let room = (budget - least) as f64 * share;
            let count = chosen.iter().take_while(|c| {
                sum += c.bytes;
                sum as f64 <= room
            });
            let count = count.count();
            let some = chosen.get(..count).unwrap_or_default();
            let bytes = self.write(some, true, rng, sink(), |_| ())?.1;
            if bytes <= budget {
                best = best.max(count);
            }
            if best == chosen.len() || bytes == least {
                break;
            }
            // A little less than would fit just so.
            share *= (budget - least) as f64 / (bytes - least) as f64 * 0.98;
        }
        let over = chosen.len() - best;
        chosen.truncate(best);
        Ok((chosen, over as u64))
    }
}

/// The devices of the chosen members but this one; a phrase on paper reads no files.
fn devices(
    store: &Store,
    author: &Author,
    members: &BTreeSet<MemberId>,
) -> Result<Vec<(DeviceId, SealingPublic)>, BundleError> {
    let roster = store.roster()?;
    let own = author.device.device();
    let mut found = BTreeMap::new();
    let chosen =
        roster.members().filter(|m| !m.pending && (members.is_empty() || members.contains(&m.id)));
    for device in chosen.flat_map(|m| &m.devices).filter(|d| !d.paper && d.device != own) {
        // Checked when it was enrolled.
        if let Ok(sealing) = SealingPublic::checked(&device.sealing) {
            found.insert(device.device, sealing);
        }
    }
    if found.is_empty() {
        return Err(BundleError::Nobody);
    }
    Ok(found.into_iter().collect())
}

/// What one of the devices may lack.
fn lacking(
    store: &Store,
    devices: &[(DeviceId, SealingPublic)],
    spec: &Spec,
) -> Result<Vec<Uncovered>, StoreError> {
    if spec.everything {
        return store.uncovered(&Front::new());
    }
    let mut found: BTreeMap<EntryId, Uncovered> = BTreeMap::new();
    for (device, _) in devices {
        let front = store.front_of(device)?.unwrap_or_default();
        let upto = store.held_upto(device)?;
        let lacks = store.uncovered(&front)?.into_iter().filter(|u| u.arrival > upto);
        found.extend(lacks.map(|u| (u.id, u)));
    }
    Ok(found.into_values().collect())
}

/// The chosen entries as a session lists them: who wrote them says whose turn it is.
fn items(store: &Store, chosen: &[Uncovered]) -> Result<Vec<SyncItem>, StoreError> {
    let wanted: BTreeSet<EntryId> = chosen.iter().map(|c| c.id).collect();
    let items = store.items()?.items.into_iter().filter(|i| wanted.contains(&i.id));
    Ok(items.map(|i| SyncItem { time: i.time, id: i.id, lane: i.lane, roster: i.roster }).collect())
}
