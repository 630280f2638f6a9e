//! Folding beside the network: bulk sync writes entries, this makes threads of them.
//!
//! There is one writer, and who waits for it gets it next (`store/turn.rs`). So while entries stream in, they and
//! slices of what was written last are written by turns: a newcomer sees the newest threads long before all is
//! here, what comes waits for one slice at most, and the writer never waits. Once nothing came for a moment, the
//! rest follows in larger parts. While one part is folded the next is read and opened.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};

use super::RuntimeError;
use super::session::author;
use super::state::blocking;
use crate::identity::Identity;
use crate::store::{FoldFirst, PreparedFold, Store, StoreError};

/// Entries folded in one transaction when nothing else is to be done.
const BATCH: usize = 3_000;
/// Entries folded in one transaction when others have just begun to stream in: few, for a reader waits.
const FIRST_SLICE: usize = 1_000;
/// So many slices are such.
const FIRST_SLICES: usize = 8;
/// Entries folded in one transaction while others go on streaming in. Each makes a segment of the full text index, and of
/// too many FTS5 makes one while everybody waits.
const SLICE: usize = 1_500;
/// Entries stream in until none came for so long.
const STILL_STREAMING: Duration = Duration::from_millis(250);
/// Pause between two steps of merging.
const LEAVE: Duration = Duration::from_millis(20);
/// A step of merging waits for so long for the sessions under way to end.
const SESSION_PATIENCE: Duration = Duration::from_secs(10);

/// Folds what ingest has left behind, in bounded batches, whenever it is told to, and opens the side
/// talks that came for this device. Afterwards, until it is told again, what was indexed is merged while no
/// `sessions` are under way: serving one needs the processors, and nobody waits for a merge.
pub(super) async fn fold_loop(
    store: Store,
    identity: Arc<Identity>,
    wake: Arc<Notify>,
    mut sessions: watch::Receiver<usize>,
) {
    loop {
        wake.notified().await;
        loop {
            if let Err(e) = fold_all(&store, &identity).await {
                tracing::error!("folding: {e}");
            }
            match merge_until(&wake, &mut sessions, &store).await {
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
    let mut streaming = Streaming::default();
    let mut prepared = None;
    loop {
        let (limit, first) = match streaming.look(newest_arrival(store).await?) {
            true => (streaming.slice(), FoldFirst::Newest),
            false => (BATCH, FoldFirst::Arrived),
        };
        let step = Step { store: store.clone(), identity: identity.clone(), limit, first };
        let done = step.take(prepared.take()).await?;
        if done.left == 0 {
            return Ok(());
        }
        prepared = done.next;
    }
}

/// Whether entries stream in: something came a moment ago.
#[derive(Default)]
struct Streaming {
    newest: Option<i64>,
    changed: Option<Instant>,
    slices: usize,
}

impl Streaming {
    fn look(&mut self, newest: i64) -> bool {
        if self.newest.replace(newest).is_some_and(|before| before != newest) {
            self.changed = Some(Instant::now());
        }
        self.changed.is_some_and(|at| at.elapsed() < STILL_STREAMING)
    }

    /// How much the next slice is.
    fn slice(&mut self) -> usize {
        self.slices += 1;
        if self.slices <= FIRST_SLICES { FIRST_SLICE } else { SLICE }
    }
}

/// Why merging ended.
enum Merged {
    All,
    /// There is something to fold.
    Woken,
}

async fn merge_until(
    wake: &Notify,
    sessions: &mut watch::Receiver<usize>,
    store: &Store,
) -> Result<Merged, FoldError> {
    loop {
        let idle = async {
            tokio::time::sleep(LEAVE).await;
            // Who counts them has ended, or one takes long: then it goes on beside it, slowly.
            let _quiet =
                tokio::time::timeout(SESSION_PATIENCE, sessions.wait_for(|n| *n == 0)).await;
        };
        tokio::select! {
            () = wake.notified() => return Ok(Merged::Woken),
            () = idle => {}
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
    limit: usize,
    first: FoldFirst,
}

/// What a step has done.
struct Done {
    left: u64,
    /// What the next step is to fold.
    next: Option<Next>,
}

/// What was read while the step before was folded.
struct Next {
    fold: PreparedFold,
    first: FoldFirst,
}

impl Step {
    async fn take(self, prepared: Option<Next>) -> Result<Done, FoldError> {
        let Step { store, identity, limit, first } = self;
        let prepare = |but: HashSet<i64>| {
            let store = store.clone();
            blocking(move || store.prepare_fold(limit, first, &but))
        };
        // What was read while nothing came is too much for a slice, and not of the newest.
        let fits = |next: &Next| next.first == FoldFirst::Newest || first == FoldFirst::Arrived;
        let now = match prepared.filter(fits) {
            Some(next) => next.fold,
            None => prepare(HashSet::new()).await??,
        };
        let (taken, store_now) = (now.numbers(), store.clone());
        let fold = blocking(move || {
            let left = store_now.fold_prepared(now)?.left;
            if left == 0 {
                store_now.open_side_talks(&author(&identity))?;
            }
            Ok::<_, StoreError>(left)
        });
        if taken.len() < limit {
            return Ok(Done { left: fold.await??, next: None });
        }
        let (left, next) = tokio::join!(fold, prepare(taken));
        Ok(Done { left: left??, next: Some(Next { fold: next??, first }) })
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
