//! Making a bundle.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io::{Write, sink};

use lanai_crdt::clock::Hlc;
use lanai_crdt::id::{DeviceId, EntryId, MemberId};
use lanai_crdt::seal::{CryptoRng, SealingPublic};

use super::file::SealedWriter;
use super::take::MANIFEST_BYTES;
use super::{BundleError, SIGN_CONTEXT};
use crate::store::{Author, SetItem, Store, StoreError, Uncovered};
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
    /// For this device of theirs only.
    pub device: Option<DeviceId>,
    /// Also what all these devices said they hold.
    pub everything: bool,
    /// No entries: only what is held here, so that another can make the bundle that is lacking.
    pub only_front: bool,
    /// Bytes that the file may have.
    pub budget: Option<u64>,
    /// No entries written before, in Unix milliseconds, but those of the roster.
    pub since_ms: Option<u64>,
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
    /// Entries that they may lack, written before the time that was given.
    pub older: u64,
    /// Entries that did not fit the budget.
    pub over_budget: u64,
    /// Bytes of the file.
    pub bytes: u64,
}

/// Writes a bundle to `out`; `progress` is told how many entries are
/// written, and of how many.
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
    progress: impl FnMut(u64, u64),
) -> Result<Made, BundleError> {
    let draft = Draft::new(store, author, spec, now_ms)?;
    let fits = match spec.budget {
        Some(budget) => draft.fit(&draft.chosen, budget, rng)?,
        None => draft.chosen.len(),
    };
    let (chosen, over) = draft.chosen.split_at(fits);
    let (entries, bytes) = draft.write(chosen, !over.is_empty(), rng, out, progress)?;
    Ok(Made { entries, bytes, over_budget: over.len() as u64, ..draft.made })
}

/// Writes as many bundles as it takes, each within the budget. Each is a whole one: it can be taken
/// without the others, and in any order. `part` takes the file of each, in the order that they are best
/// taken in; `progress` is told how many entries are
/// written, and of how many.
///
/// # Errors
///
/// [`BundleError`]; the files that `part` was given are good.
pub fn make_parts(
    store: &Store,
    author: &Author,
    spec: &Spec,
    now_ms: u64,
    rng: &mut impl CryptoRng,
    mut part: impl FnMut(Vec<u8>) -> std::io::Result<()>,
    mut progress: impl FnMut(u64, u64),
) -> Result<Made, BundleError> {
    let draft = Draft::new(store, author, spec, now_ms)?;
    let budget = spec.budget.unwrap_or(u64::MAX);
    let mut made = Made { entries: 0, bytes: 0, over_budget: 0, ..draft.made };
    let mut rest = &draft.chosen[..];
    loop {
        let fits = draft.fit(rest, budget, rng)?;
        let (chosen, after) = rest.split_at(fits);
        if let (true, Some(first)) = (fits == 0, rest.first()) {
            let least = draft.write(&[*first], true, rng, sink(), |_, _| ())?.1;
            return Err(BundleError::BudgetTooSmall { budget, least });
        }
        let mut file = Vec::new();
        let before = made.entries;
        let tell = |entries, _| progress(before + entries, draft.chosen.len() as u64);
        let (entries, bytes) = draft.write(chosen, !after.is_empty(), rng, &mut file, tell)?;
        part(file)?;
        made.entries += entries;
        made.bytes += bytes;
        rest = after;
        if rest.is_empty() {
            return Ok(made);
        }
    }
}

/// A bundle that is not written yet.
struct Draft<'a> {
    store: &'a Store,
    author: &'a Author,
    devices: Vec<(DeviceId, SealingPublic)>,
    front: Vec<u8>,
    now_ms: u64,
    /// What they may lack: of the roster, then the oldest.
    chosen: Vec<Uncovered>,
    /// These as a session lists them: who wrote them says whose turn it is.
    items: HashMap<EntryId, SyncItem>,
    made: Made,
}

impl Draft<'_> {
    fn new<'a>(
        store: &'a Store,
        author: &'a Author,
        spec: &Spec,
        now_ms: u64,
    ) -> Result<Draft<'a>, BundleError> {
        let devices = devices(store, author, spec)?;
        let held = store.stats()?.entries;
        let (mut chosen, mut left_out) = (Vec::new(), 0);
        if !spec.only_front {
            chosen = lacking(store, &devices, spec)?;
            left_out = held.saturating_sub(chosen.len() as u64);
        }
        let lacked = chosen.len();
        let since = spec.since_ms.map_or(0, |ms| Hlc::from_millis(ms).0);
        chosen.retain(|c| c.roster || c.time >= since);
        chosen.sort_unstable_by_key(|c| (!c.roster, c.time, c.id));
        let older = (lacked - chosen.len()) as u64;
        let devices_count = devices.len();
        let made =
            Made { devices: devices_count, entries: 0, left_out, older, over_budget: 0, bytes: 0 };
        let front = front_frames(&store.front()?);
        let items = items(store, &chosen)?;
        Ok(Draft { store, author, devices, front, now_ms, chosen, items, made })
    }

    /// Writes the file; gives how many entries and bytes it has.
    fn write(
        &self,
        chosen: &[Uncovered],
        more: bool,
        rng: &mut impl CryptoRng,
        out: impl Write,
        mut progress: impl FnMut(u64, u64),
    ) -> Result<(u64, u64), BundleError> {
        let Draft { store, author, .. } = *self;
        let items = chosen.iter().filter_map(|c| self.items.get(&c.id).copied());
        let items = ItemSet::new(items.collect());
        let mut file = SealedWriter::begin(out, &self.devices, rng)?;
        let mut manifest = Vec::with_capacity(MANIFEST_BYTES);
        manifest.extend_from_slice(store.community().as_bytes());
        manifest.extend_from_slice(author.device.device().as_bytes());
        manifest.extend_from_slice(&self.now_ms.to_be_bytes());
        manifest.extend_from_slice(&(items.len() as u64).to_be_bytes());
        manifest.extend_from_slice(blake3::hash(&self.front).as_bytes());
        let signed = [&file.key_id()[..], &manifest].concat();
        manifest.extend_from_slice(&author.device.sign_bytes(SIGN_CONTEXT, &signed).0);
        file.put(0, &manifest)?;
        if !self.front.is_empty() {
            file.put(0, &self.front)?;
        }

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
            let mut before = writer.written();
            while let Some(group) = writer.next_group() {
                file.put(before, &group)?;
                before = writer.written();
            }
            progress(before, chosen.len() as u64);
        }
        let entries = writer.written();
        let fin = writer.finish(more);
        file.put(entries, &fin)?;
        let bytes = file.written();
        file.finish()?;
        Ok((entries, bytes))
    }

    /// About as many from the front as fit.
    ///
    /// What an entry takes depends on those beside it, so it is tried, each time with as much as the
    /// last try says would fit.
    fn fit(
        &self,
        chosen: &[Uncovered],
        budget: u64,
        rng: &mut impl CryptoRng,
    ) -> Result<usize, BundleError> {
        let least = self.write(&[], true, rng, sink(), |_, _| ())?.1;
        if budget < least {
            return Err(BundleError::BudgetTooSmall { budget, least });
        }
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
            let bytes = self.write(some, true, rng, sink(), |_, _| ())?.1;
            if bytes <= budget {
                best = best.max(count);
            }
            if best == chosen.len() || bytes == least {
                break;
            }
            // A little less than would fit just so.
            share *= (budget - least) as f64 / (bytes - least) as f64 * 0.98;
        }
        Ok(best)
    }
}

/// The devices of the chosen members but this one; a phrase on paper reads no files.
fn devices(
    store: &Store,
    author: &Author,
    spec: &Spec,
) -> Result<Vec<(DeviceId, SealingPublic)>, BundleError> {
    let roster = store.roster()?;
    let own = author.device.device();
    let mut found = BTreeMap::new();
    let chosen = roster
        .members()
        .filter(|m| !m.pending && (spec.members.is_empty() || spec.members.contains(&m.id)));
    let is_meant = |d: &DeviceId| *d != own && spec.device.is_none_or(|only| only == *d);
    for device in chosen.flat_map(|m| &m.devices).filter(|d| !d.paper && is_meant(&d.device)) {
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

fn items(store: &Store, chosen: &[Uncovered]) -> Result<HashMap<EntryId, SyncItem>, StoreError> {
    if chosen.is_empty() {
        return Ok(HashMap::new());
    }
    let wanted: HashSet<EntryId> = chosen.iter().map(|c| c.id).collect();
    let items = store.items()?.items.into_iter().filter(|i| wanted.contains(&i.id));
    let item = |i: SetItem| SyncItem { time: i.time, id: i.id, lane: i.lane, roster: i.roster };
    Ok(items.map(|i| (i.id, item(i))).collect())
}
