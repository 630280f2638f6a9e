//! Reading a bundle, and taking it in.

use std::collections::BTreeMap;
use std::io::Read;

use lanai_crdt::entry::{Signature, verify_context};
use lanai_crdt::id::{CommunityId, DeviceId};

use super::file::{Chunk, ChunkError, Damage, SealedReader};
use super::{BundleError, SIGN_CONTEXT};
use crate::store::{Author, Incoming, Lacking, Source, Store};
use crate::sync::{OneWayReader, front_frames};

/// Bytes of a manifest.
pub(super) const MANIFEST_BYTES: usize = 32 + 32 + 8 + 8 + 32 + 64;
/// Entries that are committed at once, unless they are large.
const BATCH_ENTRIES: usize = 2000;
/// Bytes of payloads that are committed at once, but for what one chunk adds.
const BATCH_BYTES: usize = 4 << 20;

/// What a bundle says of itself, signed by the device that made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The device that made it.
    pub maker: DeviceId,
    /// When, by its clock, in milliseconds since 1970.
    pub made_ms: u64,
    /// Entries in it when it is whole.
    pub entries: u64,
    front: [u8; 32],
}

/// What came of a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// What it says of itself.
    pub manifest: Manifest,
    /// Entries that could be read.
    pub read: u64,
    /// Of these, new here.
    pub new: u64,
    /// Payloads that were lacking here.
    pub payloads: u64,
    /// Entries that wait for the one that admits their author.
    pub waiting: u64,
    /// Entries that were refused, by reason.
    pub refused: BTreeMap<&'static str, u64>,
    /// Where it is first not as it was made; nothing where it is whole.
    pub damage: Option<Damage>,
    /// Places where it is not as it was made.
    pub places: u64,
    /// What its maker holds, by the front in it, and is not here now; in the order of logs. Nothing where the
    /// front could not be read.
    pub lacking: Vec<Lacking>,
    /// Its maker held more than went in.
    pub more: bool,
    /// What its maker holds is remembered.
    pub front: bool,
}

/// What a bundle is, without taking it in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// What it says of itself.
    pub manifest: Manifest,
    /// Entries that can be read.
    pub read: u64,
    /// Of these, here already.
    pub known: u64,
    /// Logs that its maker said it holds.
    pub front_logs: usize,
    /// Where it is first not as it was made; nothing where it is whole.
    pub damage: Option<Damage>,
    /// Places where it is not as it was made.
    pub places: u64,
    /// Its maker held more than went in.
    pub more: bool,
    /// Bytes that could be read.
    pub bytes: u64,
}

/// An open bundle.
struct Open<R: Read> {
    file: SealedReader<R>,
    frames: OneWayReader,
    manifest: Manifest,
    damage: Option<Damage>,
    places: u64,
    /// Something before the next chunk was lost, and where it began.
    lost: bool,
}

impl<R: Read> Open<R> {
    fn begin(store: &Store, author: &Author, input: R) -> Result<Open<R>, BundleError> {
        let mut file = SealedReader::begin(input, &author.device.device(), &author.sealing)?;
        let at = file.at();
        let first = match file.next() {
            Ok(Some(Chunk { follows: true, frames, .. })) => frames,
            Ok(Some(_)) => return Err(BundleError::Damaged(Damage::Altered { at })),
            Ok(None) => return Err(BundleError::Damaged(Damage::CutOff { at })),
            Err(ChunkError::Damage(damage)) => return Err(BundleError::Damaged(damage)),
            Err(ChunkError::Io(e)) => return Err(e.into()),
        };
        let manifest = manifest(&store.community(), &file.key_id(), &first)
            .ok_or(BundleError::Damaged(Damage::Altered { at }))??;
        let frames = OneWayReader::new(store.community());
        Ok(Open { file, frames, manifest, damage: None, places: 0, lost: false })
    }

    fn damaged(&mut self, damage: Damage) {
        self.damage.get_or_insert(damage);
        // A place without a chunk that is read may be found by more than one of its ends.
        self.places += u64::from(!self.lost);
        self.lost = true;
    }

    /// Reads on until there are entries, behind what is damaged; `false` at the end.
    fn next(&mut self, whole: &mut Vec<Incoming>) -> Result<bool, BundleError> {
        let began = self.file.at();
        let chunk = match self.file.next() {
            Ok(Some(chunk)) => chunk,
            Ok(None) => {
                if self.frames.end().is_none() && !self.lost {
                    self.damaged(Damage::CutOff { at: began });
                }
                return Ok(false);
            }
            Err(ChunkError::Damage(damage)) => {
                self.damaged(damage);
                return Ok(matches!(damage, Damage::Altered { .. }));
            }
            Err(ChunkError::Io(e)) => return Err(e.into()),
        };
        let damage = Damage::Altered { at: chunk.at };
        match chunk.before {
            _ if self.frames.end().is_some() => {
                self.damaged(damage);
                return Ok(false);
            }
            Some(before) if !self.lost && chunk.follows && self.frames.is_at(before) => {}
            Some(before) => {
                if !self.lost {
                    self.damaged(damage);
                }
                if self.frames.resume(before).is_err() {
                    return Ok(true);
                }
                self.lost = false;
            }
            // It goes on with what was lost.
            None if self.lost || !chunk.follows => {
                if !self.lost {
                    self.damaged(damage);
                }
                return Ok(true);
            }
            None => {}
        }
        let mut entries = Vec::new();
        if self.frames.take(&chunk.frames, &mut entries).is_err() {
            self.damaged(damage);
        }
        whole
            .extend(entries.into_iter().map(|e| Incoming { signed: e.signed, payload: e.payload }));
        Ok(true)
    }

    /// Whether what came as its maker's front is what the maker signed.
    fn front_is_signed(&self) -> bool {
        *blake3::hash(&front_frames(self.frames.front())).as_bytes() == self.manifest.front
    }
}

fn manifest(
    community: &CommunityId,
    key_id: &[u8; 32],
    chunk: &[u8],
) -> Option<Result<Manifest, BundleError>> {
    let (fields, signature) = chunk.split_last_chunk::<64>()?;
    let (of, rest) = fields.split_first_chunk::<32>()?;
    let (device, rest) = rest.split_first_chunk::<32>()?;
    let (made, rest) = rest.split_first_chunk::<8>()?;
    let (entries, rest) = rest.split_first_chunk::<8>()?;
    let front = <[u8; 32]>::try_from(rest).ok()?;
    if of != community.as_bytes() {
        return Some(Err(BundleError::OtherCommunity));
    }
    let signed = [&key_id[..], fields].concat();
    let good = verify_context(device, SIGN_CONTEXT, &signed, &Signature(*signature));
    if good.is_err() {
        return Some(Err(BundleError::BadSignature));
    }
    Some(Ok(Manifest {
        maker: DeviceId::new(*device),
        made_ms: u64::from_be_bytes(*made),
        entries: u64::from_be_bytes(*entries),
        front,
    }))
}

fn is_full(batch: &[Incoming]) -> bool {
    let bytes = || batch.iter().filter_map(|i| i.payload.as_ref()).map(Vec::len).sum::<usize>();
    batch.len() >= BATCH_ENTRIES || bytes() >= BATCH_BYTES
}

/// Takes in what a bundle holds, as far as it can be read. `progress` is told how many entries
/// that is by now, and how many it says it has.
///
/// # Errors
///
/// [`BundleError`]; what was committed before stays.
pub fn take(
    store: &Store,
    author: &Author,
    now_ms: u64,
    input: impl Read,
    mut progress: impl FnMut(u64, u64),
) -> Result<Taken, BundleError> {
    let mut open = Open::begin(store, author, input)?;
    let mut taken = Taken {
        manifest: open.manifest.clone(),
        read: 0,
        new: 0,
        payloads: 0,
        waiting: 0,
        refused: BTreeMap::new(),
        damage: None,
        places: 0,
        lacking: Vec::new(),
        more: false,
        front: false,
    };
    let mut batch = Vec::new();
    loop {
        let goes_on = open.next(&mut batch)?;
        if is_full(&batch) || (!goes_on && !batch.is_empty()) {
            let report = store.ingest(std::mem::take(&mut batch), &Source::File, now_ms)?;
            taken.new += report.new.len() as u64;
            taken.payloads += report.payloads.len() as u64;
            taken.waiting += report.waiting as u64;
            for (reason, count) in report.refused_by_reason() {
                *taken.refused.entry(reason).or_default() += count as u64;
            }
            progress(open.frames.read(), open.manifest.entries);
        }
        if !goes_on {
            break;
        }
    }
    taken.read = open.frames.read();
    for (reason, count) in open.frames.refused() {
        *taken.refused.entry(reason).or_default() += count;
    }
    (taken.damage, taken.places) = (open.damage, open.places);
    if open.front_is_signed() {
        taken.lacking = store.lacking(open.frames.front())?;
    }
    taken.more = open.frames.end().unwrap_or(false);
    // The bundle may have brought what makes its maker a member.
    let stands = store.roster()?.standing(&open.manifest.maker).is_some();
    if stands && open.front_is_signed() && !open.frames.front().is_empty() {
        let Manifest { maker, made_ms, .. } = open.manifest;
        store.note_front(&maker, made_ms.min(now_ms), open.frames.front())?;
        taken.front = true;
    }
    Ok(taken)
}

/// Reads a bundle and changes nothing.
///
/// # Errors
///
/// [`BundleError`].
pub fn show(store: &Store, author: &Author, input: impl Read) -> Result<Shown, BundleError> {
    let mut open = Open::begin(store, author, input)?;
    let (mut read, mut unknown) = (0, 0);
    let mut batch = Vec::new();
    let mut goes_on = true;
    while goes_on {
        goes_on = open.next(&mut batch)?;
        if is_full(&batch) || !goes_on {
            let ids: Vec<_> = batch.drain(..).map(|i| i.signed.id()).collect();
            read += ids.len() as u64;
            unknown += store.unknown(&ids)?.len() as u64;
        }
    }
    Ok(Shown {
        manifest: open.manifest,
        read,
        known: read.saturating_sub(unknown),
        front_logs: open.frames.front().len(),
        damage: open.damage,
        places: open.places,
        more: open.frames.end().unwrap_or(false),
        bytes: open.file.at(),
    })
}
