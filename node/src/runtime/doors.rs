//! The join streams under way: who is served, who is told that there is no room.
//!
//! Anybody on the network may open such a stream. [`Gate`] bounds how many are served; a few more
//! are told *busy*, and the rest are hung up on.

use std::future::Future;
use std::time::Duration;

use futures::AsyncWriteExt as _;
use lanai_crdt::id::DeviceId;
use tokio::task::JoinSet;

use super::admit::{ServeError, Served};
use super::now_millis;
use super::throttle::Throttle;
use crate::join::{Gate, Refusal, WHOLE_JOIN_MS};
use crate::net::NetStream;

/// Streams that are told *busy* at the same time.
const MAX_TOLD: usize = 16;
/// How long that may take.
const TELL_PATIENCE: Duration = Duration::from_secs(5);
/// A join that its machine has not ended by then is cut off.
const WHOLE_JOIN: Duration = Duration::from_millis(WHOLE_JOIN_MS + 60_000);

/// All join streams.
#[derive(Debug, Default)]
pub(super) struct Doors {
    gate: Gate,
    serving: JoinSet<Option<(DeviceId, Result<Served, ServeError>)>>,
    telling: JoinSet<()>,
    throttle: Throttle,
}

impl Doors {
    /// Serves `device` with what `serve` makes of its stream, if there is room. Gives whether it is.
    pub(super) fn open<F>(
        &mut self,
        device: DeviceId,
        stream: NetStream,
        serve: impl FnOnce(NetStream) -> F,
    ) -> bool
    where
        F: Future<Output = Result<Served, ServeError>> + Send + 'static,
    {
        if self.enter(device) {
            self.run(device, serve(stream));
            return true;
        }
        while self.telling.try_join_next().is_some() {}
        if self.telling.len() < MAX_TOLD {
            self.telling.spawn(async move {
                // Whoever does not listen is not waited for.
                let _told = tokio::time::timeout(TELL_PATIENCE, tell_busy(stream)).await;
            });
        }
        false
    }

    fn enter(&mut self, device: DeviceId) -> bool {
        self.gate.enter(device, now_millis())
    }

    fn run(
        &mut self,
        device: DeviceId,
        work: impl Future<Output = Result<Served, ServeError>> + Send + 'static,
    ) {
        self.serving.spawn(async move {
            let served = tokio::time::timeout(WHOLE_JOIN, work).await.ok()?;
            Some((device, served))
        });
    }

    /// Waits for one to end; `None` when there is none. Cancelling loses nothing.
    pub(super) async fn next(&mut self) -> Option<Option<Served>> {
        let end = self.serving.join_next().await?;
        self.gate.leave();
        Some(match end {
            Ok(Some((_, Ok(served)))) => Some(served),
            Ok(Some((device, Err(e)))) => {
                self.throttle.info(|| format!("join of {device}: {e}"));
                None
            }
            Ok(None) => None,
            Err(e) => {
                tracing::error!("a join failed: {e}");
                None
            }
        })
    }

    /// Ends all.
    pub(super) async fn shutdown(&mut self) {
        self.serving.shutdown().await;
        self.telling.shutdown().await;
    }
}

async fn tell_busy(mut stream: NetStream) -> std::io::Result<()> {
    stream.write_all(&Refusal::Busy.frame()).await?;
    stream.close().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::join::MAX_CONCURRENT_JOINS;

    fn device(n: usize) -> DeviceId {
        DeviceId::new([u8::try_from(n).unwrap(); 32])
    }

    #[tokio::test]
    async fn places_come_back_however_a_join_ends() {
        let mut doors = Doors::default();
        for n in 0..MAX_CONCURRENT_JOINS {
            assert!(doors.enter(device(n)));
            doors.run(device(n), async move {
                assert!(n % 2 == 1, "on purpose");
                Ok(Served::Joined(device(n)))
            });
        }
        assert!(!doors.enter(device(99)));
        let mut joined = 0;
        for _ in 0..MAX_CONCURRENT_JOINS {
            joined += usize::from(doors.next().await.unwrap().is_some());
        }
        assert_eq!(joined, MAX_CONCURRENT_JOINS / 2);
        assert!(doors.next().await.is_none());
        assert!(doors.enter(device(99)));
    }
}
