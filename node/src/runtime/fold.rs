//! Folding beside the network: bulk sync writes entries, this makes threads of them.
//!
//! There is one writer. While entries stream in, slices are folded of what was written last, and after each the
//! writer is left to what comes for as long as that took: so a newcomer sees the newest threads long before all is
//! here, and what comes is held up by half at most. Once nothing came for a whole slice, the rest follows in larger
//! parts; while one is folded the next is read and opened.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::RuntimeError;
use super::session::author;
use super::state::blocking;
use crate::identity::Identity;
use crate::store::{FoldFirst, PreparedFold, Store, StoreError};

/// Entries folded in one transaction when nothing else is to be done.
const BATCH: usize = 3_000;
/// Entries folded in one transaction while others stream in.
const SLICE: usize = 1_000;
/// The writer is left to what streams in for at least so long.
const LEAVE: Duration = Duration::from_millis(20);

/// Folds what ingest has left behind, in bounded batches, whenever it is told to, and opens the side
/// talks that came for this device. Afterwards, until it is told again, what was indexed is merged.
pub(super) async fn fold_loop(store: Store, identity: Arc<Identity>, wake: Arc<Notify>) {
    loop {
        wake.notified().await;
        loop {
            if let Err(e) = fold_all(&store, &identity).await {
                tracing::error!("folding: {e}");
            }
            match merge_until(&wake, &store).await {
                Ok(Merged::All) => break,
                Ok(Merged::Woken) => {}
                Err(e) => {
                    tracing::error!("merging the index: {e}");
                    break;
                }
            }
        }
    }
}

async fn fold_all(store: &Store, identity: &Arc<Identity>) -> Result<(), FoldError> {
    let mut prepared = None;
    let mut seen = None;
    loop {
        let step = Step { store: store.clone(), identity: identity.clone(), seen };
        let done = step.take(prepared.take()).await?;
        if done.left == 0 {
            return Ok(());
        }
        seen = Some(done.newest);
        prepared = done.next;
        if done.streaming {
            tokio::time::sleep(done.took.max(LEAVE)).await;
        }
    }
}

/// Why merging ended.
enum Merged {
    All,
    /// There is something to fold.
    Woken,
}

async fn merge_until(wake: &Notify, store: &Store) -> Result<Merged, FoldError> {
    loop {
        if tokio::time::timeout(LEAVE, wake.notified()).await.is_ok() {
            return Ok(Merged::Woken);
        }
        let store = store.clone();
        if !blocking(move || store.merge_texts()).await?? {
            return Ok(Merged::All);
        }
    }
}

async fn newest_arrival(store: &Store) -> Result<i64, FoldError> {
    let store = store.clone();
    Ok(blocking(move || store.newest_arrival()).await??)
}

/// One transaction of folding.
struct Step {
    store: Store,
    identity: Arc<Identity>,
    /// The last arrival when the one before was begun.
    seen: Option<i64>,
}

/// What a step has done.
struct Done {
    left: u64,
    newest: i64,
    streaming: bool,
    /// How long folding had the writer.
    took: Duration,
    /// What the next step is to fold, where it was read already.
    next: Option<PreparedFold>,
}

impl Step {
    async fn take(self, prepared: Option<PreparedFold>) -> Result<Done, FoldError> {
        let Step { store, identity, seen } = self;
        let newest = newest_arrival(&store).await?;
        let streaming = seen.is_some_and(|seen| seen != newest);
        let (limit, first) = match streaming {
            true => (SLICE, FoldFirst::Newest),
            false => (BATCH, FoldFirst::Arrived),
        };
        let prepare = |but: HashSet<i64>| {
            let store = store.clone();
            blocking(move || store.prepare_fold(limit, first, &but))
        };
        // What was read while nothing came is too much for a slice, and not of the newest.
        let now = match prepared.filter(|_| !streaming) {
            Some(prepared) => prepared,
            None => prepare(HashSet::new()).await??,
        };
        let (taken, store_now) = (now.numbers(), store.clone());
        let fold = blocking(move || {
            let progress = store_now.fold_prepared(now)?;
            if progress.left == 0 {
                store_now.open_side_talks(&author(&identity))?;
            }
            Ok::<_, StoreError>((progress.left, progress.took))
        });
        if streaming || taken.len() < BATCH {
            let (left, took) = fold.await??;
            return Ok(Done { left, newest, streaming, took, next: None });
        }
        let (left, next) = tokio::join!(fold, prepare(taken));
        let ((left, took), next) = (left??, Some(next??));
        Ok(Done { left, newest, streaming, took, next })
    }
}

/// Why a step did not end.
#[derive(Debug, thiserror::Error)]
enum FoldError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
}
