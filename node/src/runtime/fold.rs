//! Folding beside the network: bulk sync writes entries, this makes threads of them.
//!
//! While entries stream in, only a slice is folded from time to time: the writer is needed for what comes,
//! and yet a newcomer is to see the newest threads, which come first, long before all is here. Once a
//! slice has passed in which nothing came, the rest follows at once.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::session::author;
use super::state::blocking;
use crate::identity::Identity;
use crate::store::{Store, StoreError};

/// Entries folded in one transaction when nothing else is to be done.
const BATCH: usize = 2_000;
/// Entries folded in one transaction while others stream in.
const SLICE: usize = 400;
/// Time from one slice to the next.
const SLICE_EVERY: Duration = Duration::from_millis(700);

/// Folds what ingest has left behind, in bounded batches, whenever it is told to, and opens the side
/// talks that came for this device.
pub(super) async fn fold_loop(store: Store, identity: Arc<Identity>, wake: Arc<Notify>) {
    loop {
        wake.notified().await;
        let mut seen = None;
        loop {
            let (store, identity) = (store.clone(), identity.clone());
            let folded = blocking(move || {
                let newest = store.newest_arrival()?;
                let streaming = seen.is_some_and(|seen| seen != newest);
                let progress = store.fold_pending(if streaming { SLICE } else { BATCH })?;
                if progress.left == 0 {
                    store.open_side_talks(&author(&identity))?;
                }
                Ok::<_, StoreError>((progress.left, newest, streaming))
            });
            match folded.await {
                Ok(Ok((0, ..))) => break,
                Ok(Ok((_, newest, streaming))) => {
                    seen = Some(newest);
                    if streaming {
                        tokio::time::sleep(SLICE_EVERY).await;
                    }
                }
                Ok(Err(e)) => {
                    tracing::error!("folding: {e}");
                    break;
                }
                Err(e) => {
                    tracing::error!("folding: {e}");
                    break;
                }
            }
        }
    }
}
