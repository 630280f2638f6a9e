//! Answers somebody who asks to join: drives the member's machine of the join protocol.

use std::sync::Arc;
use std::time::Duration;

use futures::{AsyncReadExt as _, AsyncWriteExt as _};
use lanai_crdt::id::{DeviceId, EntryId};
use lanai_crdt::payload::{Admit, Body, SignedJoinRecord};
use lanai_crdt::roster::Standing;
use minicbor::bytes::ByteVec;
use tokio::sync::{mpsc, oneshot};

use super::now_millis;
use super::session::author;
use super::state::{RuntimeError, blocking};
use crate::identity::Identity;
use crate::join::{
    Admitter, AdmitterError, AdmitterInput, AdmitterOutput, Pushed, Refusal, RosterItem, vouched,
};
use crate::net::NetStream;
use crate::random::{OsRandom, random_bytes};
use crate::store::{Incoming, NewEntry, Source, Store, StoreError};

/// Bytes of roster entries handed to the machine at once.
const PIECE_BYTES: usize = 60 * 1024;
/// How often the machine is told the time.
const TICK: Duration = Duration::from_secs(2);
/// How long a write may take.
const WRITE_PATIENCE: Duration = Duration::from_secs(30);

/// Why a join was not served to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum ServeError {
    /// The newcomer's doing, or refused with a reason.
    #[error(transparent)]
    Join(#[from] AdmitterError),
    /// The stream broke.
    #[error("the connection broke: {0}")]
    Stream(#[from] std::io::Error),
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A task died.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
}

/// What came of a join stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Served {
    /// The device was let in.
    Joined(DeviceId),
    /// The device showed that it belonged already.
    Enrolled(DeviceId),
}

/// Serves one join stream; gives what became of the device once it is a member. `news` is where the
/// node is told that the roster has changed; it answers when it has taken that in.
pub(super) async fn serve(
    store: Store,
    identity: Arc<Identity>,
    newcomer: DeviceId,
    news: mpsc::Sender<oneshot::Sender<()>>,
    mut stream: NetStream,
) -> Result<Served, ServeError> {
    let roster = {
        let store = store.clone();
        blocking(move || store.roster()).await??
    };
    let own = identity.device_id();
    let mut machine =
        Admitter::new(own, newcomer, Arc::new((*roster).clone()), random_bytes(), now_millis());
    let mut served = Served::Joined(newcomer);
    let mut roster_items: Vec<RosterItem> = Vec::new();
    let mut buffer = vec![0; 4096];
    let mut outputs = std::collections::VecDeque::new();
    loop {
        while let Some(output) = outputs.pop_front() {
            let answers = match output {
                AdmitterOutput::Send(bytes) => {
                    let write = async {
                        stream.write_all(&bytes).await?;
                        stream.flush().await
                    };
                    tokio::time::timeout(WRITE_PATIENCE, write)
                        .await
                        .map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))??;
                    continue;
                }
                AdmitterOutput::Admit { record, known } => {
                    let (store, identity) = (store.clone(), identity.clone());
                    match blocking(move || admit(&store, &identity, &record, known)).await? {
                        Ok((admitted, items)) => {
                            let bytes: usize = items.iter().map(RosterItem::encoded_bytes).sum();
                            roster_items = items;
                            machine.handle(
                                AdmitterInput::Admitted {
                                    admit: admitted,
                                    entries: u32::try_from(roster_items.len()).unwrap_or(u32::MAX),
                                    bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
                                },
                                now_millis(),
                            )
                        }
                        Err(NotAdmitted::Refused(refusal)) => {
                            machine.handle(AdmitterInput::Refused(refusal), now_millis())
                        }
                        Err(NotAdmitted::Store(e)) => {
                            tracing::error!("admitting: {e}");
                            machine.handle(AdmitterInput::Refused(Refusal::Internal), now_millis())
                        }
                    }
                }
                AdmitterOutput::Enrol(pushed) => {
                    served = Served::Enrolled(newcomer);
                    let store = store.clone();
                    let standing = blocking(move || enrol(&store, newcomer, pushed)).await??;
                    let input = match standing {
                        Some(standing) => {
                            // The peer connects anew at once: by then it must be known as a member.
                            let (done, taken_in) = oneshot::channel();
                            if news.send(done).await.is_ok() {
                                // An error says that the node is stopping.
                                let _stopping = taken_in.await;
                            }
                            AdmitterInput::Enrolled {
                                member: standing.member,
                                admit: standing.enrolled_by,
                            }
                        }
                        None => AdmitterInput::Refused(Refusal::Unknown),
                    };
                    machine.handle(input, now_millis())
                }
                AdmitterOutput::WantEntries { from } => {
                    let mut piece = Vec::new();
                    let mut bytes = 0;
                    for item in roster_items.iter().skip(from as usize) {
                        bytes += item.encoded_bytes();
                        if bytes > PIECE_BYTES && !piece.is_empty() {
                            break;
                        }
                        piece.push(item.clone());
                    }
                    machine.handle(AdmitterInput::Entries(piece), now_millis())
                }
                AdmitterOutput::Finished(result) => {
                    // What was written is on its way; the newcomer may have closed already.
                    let _closed = tokio::time::timeout(WRITE_PATIENCE, stream.close()).await;
                    return Ok(result.map(|_| served)?);
                }
            };
            outputs.extend(answers);
        }
        let read = tokio::time::timeout(TICK, stream.read(&mut buffer)).await;
        let input = match read {
            Ok(Ok(0)) => AdmitterInput::Closed,
            Ok(Ok(n)) => AdmitterInput::Bytes(buffer.get(..n).unwrap_or_default()),
            Ok(Err(e)) => return Err(e.into()),
            Err(_) => AdmitterInput::Tick,
        };
        outputs.extend(machine.handle(input, now_millis()));
    }
}

/// Takes in the roster entries that a peer shows as the ones that enrol it; gives its standing if
/// they do.
fn enrol(
    store: &Store,
    peer: DeviceId,
    pushed: Vec<Pushed>,
) -> Result<Option<Standing>, StoreError> {
    let roster = store.roster()?;
    if let Some(standing) = roster.standing(&peer) {
        return Ok(Some(standing));
    }
    let is_member = |device: &DeviceId| roster.standing(device).is_some();
    let Some(good) = vouched(store.community(), &peer, is_member, pushed) else { return Ok(None) };
    let batch = good
        .into_iter()
        .map(|(verified, payload)| Incoming {
            signed: verified.into_signed(),
            payload: Some(payload),
        })
        .collect();
    store.ingest(batch, &Source::Peer(peer), now_millis())?;
    Ok(store.roster()?.standing(&peer))
}

enum NotAdmitted {
    Refused(Refusal),
    Store(StoreError),
}

impl From<StoreError> for NotAdmitted {
    fn from(error: StoreError) -> NotAdmitted {
        NotAdmitted::Store(error)
    }
}

/// Publishes the admission, unless it stands already, and a seal of the current epoch; gives the
/// admission and the whole roster.
fn admit(
    store: &Store,
    identity: &Identity,
    record: &SignedJoinRecord,
    known: Option<EntryId>,
) -> Result<(EntryId, Vec<RosterItem>), NotAdmitted> {
    let author = author(identity);
    let now = now_millis();
    let roster = store.roster()?;
    // Two joins may run side by side: what the machine saw may be old by now.
    roster
        .may_admit(&author.device.device(), record, now)
        .map_err(|e| NotAdmitted::Refused(e.into()))?;
    let standing = roster.member(&record.record.member()).filter(|m| !m.pending);
    let admitted = match known.or(standing.map(|m| m.admitted_entry)) {
        Some(entry) => entry,
        None => {
            let body = Body::Admit(Admit { record: ByteVec::from(record.encode()) });
            let entry = NewEntry::new(body, [record.record.ticket]);
            let ids = store.append(&author, now, &mut OsRandom, vec![entry])?;
            ids.first().copied().ok_or(NotAdmitted::Refused(Refusal::Internal))?
        }
    };
    store.top_up(&author, now, &mut OsRandom)?;
    let items = store
        .roster_entries()?
        .into_iter()
        .map(|e| RosterItem { verified: e.verified, payload: e.payload })
        .collect();
    Ok((admitted, items))
}
