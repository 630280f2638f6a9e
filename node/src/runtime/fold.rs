//! Folding beside the network: bulk sync writes entries, this makes threads of them.
//!
//! While entries stream in, only a slice is folded from time to time, of what was written last: the writer is
//! needed for what comes, and yet a newcomer is to see the newest threads long before all is here. Once a
//! slice has passed in which nothing came, the rest follows at once. While some entries are folded the next
//! ones are read and opened.

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
const BATCH: usize = 2_000;
/// Entries folded in one transaction while others stream in.
const SLICE: usize = 400;
/// Looks at whether something came since the last look, between two slices.
const LOOKS: usize = 7;
/// Time from one look to the next.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Folds what ingest has left behind, in bounded batches, whenever it is told to, and opens the side
/// talks that came for this device.
pub(super) async fn fold_loop(store: Store, identity: Arc<Identity>, wake: Arc<Notify>) {
    loop {
        wake.notified().await;
        let mut prepared = None;
        let mut seen = None;
        loop {
            let step = Step { store: store.clone(), identity: identity.clone(), seen };
            match step.take(prepared.take()).await {
                Ok(Done { left: 0, .. }) => break,
                Ok(Done { newest, streaming, next, .. }) => {
                    seen = Some(newest);
                    prepared = next;
                    if streaming && let Err(e) = leave_writer(&store).await {
                        tracing::error!("folding: {e}");
                    }
                }
                Err(e) => {
                    tracing::error!("folding: {e}");
                    break;
                }
            }
        }
    }
}

/// Leaves the writer to what streams in for a while, or until nothing comes any more.
async fn leave_writer(store: &Store) -> Result<(), FoldError> {
    let mut seen = None;
    for _ in 0..LOOKS {
        tokio::time::sleep(LOOK_EVERY).await;
        let newest = newest_arrival(store).await?;
        if seen.replace(newest) == Some(newest) {
            break;
        }
    }
    Ok(())
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
            Ok::<_, StoreError>(progress.left)
        });
        if streaming || taken.len() < BATCH {
            return Ok(Done { left: fold.await??, newest, streaming, next: None });
        }
        let (left, next) = tokio::join!(fold, prepare(taken));
        Ok(Done { left: left??, newest, streaming, next: Some(next??) })
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
