//! Folding beside the network: bulk sync writes entries, this makes threads of them.

use std::sync::Arc;

use tokio::sync::Notify;

use super::session::author;
use super::state::blocking;
use crate::identity::Identity;
use crate::store::{Store, StoreError};

/// Folds what ingest has left behind, in bounded batches, whenever it is told to, and opens the side
/// talks that came for this device.
pub(super) async fn fold_loop(store: Store, identity: Arc<Identity>, wake: Arc<Notify>) {
    const BATCH: usize = 1_000;
    loop {
        wake.notified().await;
        loop {
            let (store, identity) = (store.clone(), identity.clone());
            let folded = blocking(move || {
                let progress = store.fold_pending(BATCH)?;
                if progress.left == 0 {
                    store.open_side_talks(&author(&identity))?;
                }
                Ok::<_, StoreError>(progress)
            });
            match folded.await {
                Ok(Ok(progress)) if progress.left == 0 => break,
                Ok(Ok(_)) => {}
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
