//! Drives one stream of somebody who fetches: the machine in `files::serve`, the stream, the disk.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use lanai_crdt::file::Layout;

use super::super::state::blocking;
use super::on_disk;
use crate::files::serve::{IDLE_MS, Input, Output, Serve};
use crate::files::wire::{FrameReader, MAX_REQUEST_BYTES, No, Request};
use crate::files::{Blob, Blobs};
use crate::store::Store;

/// How long who fetches may take to read one answer.
const WRITE_PATIENCE: Duration = Duration::from_secs(30);
/// Bytes read from the stream at once.
const READ_BYTES: usize = 4096;

/// How it went.
#[derive(Debug, Default)]
pub(super) struct Served {
    /// Groups given.
    pub(super) groups: u64,
    /// How the peer broke the protocol, if it did.
    pub(super) breach: Option<String>,
}

/// Serves a stream until it ends.
pub(super) async fn serve(
    store: Store,
    blobs: Blobs,
    stream: impl AsyncRead + AsyncWrite,
) -> Served {
    let mut served = Served::default();
    let (mut read, mut write) = stream.split();
    let mut machine = Serve::default();
    let mut frames = FrameReader::new(MAX_REQUEST_BYTES);
    let mut todo: VecDeque<Input> = VecDeque::new();
    let mut blob: Option<Arc<Blob>> = None;
    let mut buffer = vec![0; READ_BYTES];
    loop {
        while let Some(input) = todo.pop_front() {
            for output in machine.handle(input) {
                match output {
                    Output::Find { root, bytes, outline } => {
                        let (store, blobs) = (store.clone(), blobs.clone());
                        let found = blocking(move || -> Option<Blob> {
                            let layout = Layout::of(bytes).ok()?;
                            let given = store.is_served(&root, bytes).ok()?;
                            // What is damaged is told by `lanai file get` and `lanai storage`.
                            if given { blobs.open(&root, layout).ok()? } else { None }
                        });
                        match found.await.ok().flatten() {
                            Some(found) => {
                                let values =
                                    if outline { found.outline().to_vec() } else { Vec::new() };
                                let groups = found.layout().groups();
                                blob = Some(Arc::new(found));
                                todo.push_back(Input::Found { groups, outline: values });
                            }
                            None => todo.push_back(Input::Refused(No::NotHere)),
                        }
                    }
                    Output::Read(group) => {
                        let Some(blob) = blob.clone() else { return served };
                        match on_disk(move || blob.sealed(group)).await {
                            Ok(sealed) => todo.push_back(Input::Read { group, sealed }),
                            Err(e) => {
                                tracing::warn!("{e}");
                                todo.push_back(Input::Refused(No::Unreadable));
                            }
                        }
                    }
                    Output::Send(answer) => {
                        served.groups +=
                            u64::from(matches!(answer, crate::files::wire::Answer::Slice { .. }));
                        let bytes = answer.encode();
                        let sending = async {
                            write.write_all(&bytes).await?;
                            write.flush().await
                        };
                        match tokio::time::timeout(WRITE_PATIENCE, sending).await {
                            Ok(Ok(())) => todo.push_back(Input::Sent),
                            // It is gone or does not read; nothing is lost by that.
                            _ => return served,
                        }
                    }
                    Output::End(how) => {
                        served.breach =
                            how.err().map(|breach| format!("broke the protocol: {breach}"));
                        // The peer may be gone.
                        let _closed = tokio::time::timeout(WRITE_PATIENCE, write.close()).await;
                        return served;
                    }
                }
            }
        }
        let idle = Duration::from_millis(IDLE_MS);
        let n = match tokio::time::timeout(idle, read.read(&mut buffer)).await {
            Ok(Ok(n)) if n > 0 => n,
            _ => return served,
        };
        let mut input = buffer.get(..n).unwrap_or_default();
        loop {
            match frames.next(&mut input).and_then(|f| f.map(|f| Request::decode(&f)).transpose()) {
                Ok(Some(request)) => todo.push_back(Input::Request(request)),
                Ok(None) => break,
                Err(e) => {
                    served.breach = Some(format!("sent nonsense: {e}"));
                    return served;
                }
            }
        }
    }
}
