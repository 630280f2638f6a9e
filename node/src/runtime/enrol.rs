//! Shows a member's node that does not know this device the entries that make it a member.

use std::time::Duration;

use futures::{AsyncReadExt as _, AsyncWriteExt as _};
use lanai_crdt::id::DeviceId;

use super::admit::ServeError;
use super::now_millis;
use super::state::{RuntimeError, blocking};
use crate::join::{Answer, Refusal, RosterItem, enrolment_frames};
use crate::net::{NetHandle, OpenError, PeerId};
use crate::store::Store;

/// How long all of it may take.
const PATIENCE: Duration = Duration::from_secs(90);

/// Why it came to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum EnrolError {
    /// This device is no member by its own roster.
    #[error("this device is no member")]
    NoMember,
    /// No stream.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The other side did not take the entries.
    #[error("it does not take this device's admission: it may lack what came before")]
    Refused(Refusal),
    /// No answer in time.
    #[error("no answer in time")]
    TimedOut,
    /// Anything else.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// A task died.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
}

/// What the user is told when a member's node holds something that speaks against this device.
const NOT_KNOWN: &str = "a member's node does not take this device for a member's: it may have been \
                         removed, or let in by a ticket that was used up; nothing is lost, ask a \
                         steward";

/// Pushes the enrolment of `own` to `peer`, which then knows it as a member; the connection is to be
/// made anew.
pub(super) async fn push(
    store: Store,
    own: DeviceId,
    net: NetHandle,
    peer: PeerId,
) -> Result<(), EnrolError> {
    let told = store.clone();
    let pushed = tokio::time::timeout(PATIENCE, push_now(store, own, net, peer)).await;
    let pushed = pushed.map_err(|_| EnrolError::TimedOut)?;
    if let Err(EnrolError::Refused(Refusal::Unknown)) = pushed {
        blocking(move || told.notify("not-known", NOT_KNOWN, now_millis()))
            .await?
            .map_err(ServeError::from)?;
    }
    pushed
}

async fn push_now(
    store: Store,
    own: DeviceId,
    net: NetHandle,
    peer: PeerId,
) -> Result<(), EnrolError> {
    let frames = blocking(move || -> Result<_, ServeError> {
        let Some(standing) = store.roster()?.standing(&own) else { return Ok(None) };
        let items: Vec<RosterItem> = store
            .roster_entries()?
            .into_iter()
            .map(|e| RosterItem { verified: e.verified, payload: e.payload })
            .collect();
        Ok(Some(enrolment_frames(&items, &standing.enrolled_by)))
    })
    .await??
    .ok_or(EnrolError::NoMember)?;
    let mut stream = net.open_join(peer).await?;
    for frame in frames {
        stream.write_all(&frame).await.map_err(ServeError::from)?;
    }
    stream.flush().await.map_err(ServeError::from)?;
    let mut answer = Answer::default();
    let mut buffer = [0; 64];
    loop {
        let n = stream.read(&mut buffer).await.map_err(ServeError::from)?;
        let bytes = buffer.get(..n).filter(|b| !b.is_empty());
        let bytes = bytes.ok_or_else(|| {
            ServeError::from(std::io::Error::from(std::io::ErrorKind::UnexpectedEof))
        })?;
        let read = answer.read(bytes).map_err(|e| ServeError::Join(e.into()))?;
        match read {
            Some(Ok(_)) => return Ok(()),
            Some(Err(refusal)) => return Err(EnrolError::Refused(refusal)),
            None => {}
        }
    }
}
