//! What there is to fetch, and what goes for it.

use std::collections::BTreeSet;
use std::time::Duration;

use lanai_crdt::file::Layout;
use lanai_crdt::id::FileRoot;

use crate::config::Config;
use crate::files::quota::{Kept, plan};
use crate::files::{BlobError, BlobInfo, Blobs};
use crate::home::Home;
use crate::store::{FileView, Store, StoreError};

/// Age from which on a half-added file is nobody's.
const LEFT_OVER: Duration = Duration::from_secs(60 * 60);

/// Why there is no room.
#[derive(Debug, thiserror::Error)]
pub(super) enum RoomError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Blobs(#[from] BlobError),
    /// Larger than this node takes.
    #[error("it has {0} bytes, more than the setting `file_max` allows")]
    TooLarge(u64),
    /// The quota is full of what stays.
    #[error(
        "there is no room: {over} bytes too many, and all that is left is pinned or your own; \
         `lanai storage` shows what takes it"
    )]
    Full { over: u64 },
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// To be fetched, what somebody asked for first.
    pub(super) wanted: Vec<FileView>,
    /// What went.
    pub(super) dropped: Vec<FileRoot>,
}

/// Files on the disk as the quota sees them.
fn kept(
    files: &[FileView],
    infos: &[BlobInfo],
    busy: &BTreeSet<FileRoot>,
    me: &Store,
) -> Result<Vec<Kept>, StoreError> {
    let roster = me.roster()?;
    let is_member = |file: &FileView| roster.members().any(|m| m.id == file.author && !m.pending);
    Ok(infos
        .iter()
        .map(|info| {
            let named: Vec<&FileView> = files.iter().filter(|f| f.root == info.root).collect();
            Kept {
                root: info.root,
                bytes: info.disk_bytes,
                stays: busy.contains(&info.root)
                    || named.iter().any(|file| file.own || file.marks.pinned || file.marks.wanted),
                elsewhere: named.iter().any(|file| !file.own && is_member(file)),
                used_ms: named.iter().map(|file| file.marks.used_ms).max().unwrap_or(0),
            }
        })
        .collect())
}

/// Bytes that a file takes once it is here.
pub(super) fn cost(file: &FileView) -> u64 {
    Layout::of(file.bytes).map_or(u64::MAX, |l| l.sealed_bytes() + l.outline_bytes())
}

/// Drops what was withdrawn and what is over the quota, and says what there is to fetch.
pub(super) fn survey(
    store: &Store,
    blobs: &Blobs,
    home: &Home,
    busy: &BTreeSet<FileRoot>,
    now_ms: u64,
) -> Result<Survey, RoomError> {
    let config = Config::load(&home.config()).unwrap_or_default();
    let mut survey = Survey::default();
    blobs.sweep(LEFT_OVER)?;
    for root in store.files_to_drop(now_ms)? {
        if blobs.remove(&root)? {
            survey.dropped.push(root);
        }
    }
    let files = store.files()?;
    let infos = blobs.list()?;
    if files.is_empty() && infos.is_empty() {
        return Ok(survey);
    }
    let kept = kept(&files, &infos, busy, store)?;
    for root in plan(&kept, config.files_quota, 0).drop {
        blobs.remove(&root)?;
        survey.dropped.push(root);
    }
    let gone: BTreeSet<FileRoot> = survey.dropped.iter().copied().collect();
    let mut room = config
        .files_quota
        .saturating_sub(kept.iter().filter(|k| !gone.contains(&k.root)).map(|k| k.bytes).sum());
    let whole: BTreeSet<FileRoot> = infos.iter().filter(|i| i.whole).map(|i| i.root).collect();
    let lacking = |file: &&FileView| !whole.contains(&file.root) && file.bytes <= config.file_max;
    let (asked, others): (Vec<&FileView>, Vec<&FileView>) =
        files.iter().filter(lacking).partition(|file| file.marks.wanted);
    let unasked = |file: &&FileView| {
        !file.marks.declined && !gone.contains(&file.root) && file.bytes <= config.fetch_files_below
    };
    survey.wanted.extend(asked.into_iter().cloned());
    // The newest first.
    for file in others.into_iter().rev().filter(unasked) {
        if let Some(left) = room.checked_sub(cost(file)) {
            room = left;
            survey.wanted.push(file.clone());
        }
    }
    Ok(survey)
}

/// Makes room for a file that somebody wants; gives what went for it.
pub(super) fn make(
    store: &Store,
    blobs: &Blobs,
    home: &Home,
    busy: &BTreeSet<FileRoot>,
    file: &FileView,
) -> Result<Vec<FileRoot>, RoomError> {
    let config = Config::load(&home.config()).unwrap_or_default();
    if file.bytes > config.file_max {
        return Err(RoomError::TooLarge(file.bytes));
    }
    if blobs.has(&file.root) {
        return Ok(Vec::new());
    }
    let mut infos = blobs.list()?;
    // What is here of it is a part of what it takes.
    infos.retain(|info| info.root != file.root);
    let kept = kept(&store.files()?, &infos, busy, store)?;
    let plan = plan(&kept, config.files_quota, cost(file));
    if plan.over > 0 {
        return Err(RoomError::Full { over: plan.over });
    }
    for root in &plan.drop {
        blobs.remove(root)?;
    }
    Ok(plan.drop)
}
