//! The answering side: accepts connections and hands each request to the runtime.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::{Events, MAX_REQUEST_BYTES, Reply, Request};

/// How long a client may take to say what it wants.
const REQUEST_PATIENCE: Duration = Duration::from_secs(5);
/// How long a client may take to read its answer.
const ANSWER_PATIENCE: Duration = Duration::from_secs(10);
/// Clients at the same time; more are hung up on.
const MAX_CLIENTS: usize = 128;
/// Of these, who listen to events.
const MAX_LISTENERS: usize = 16;
/// Requests that wait for the runtime.
const QUEUE: usize = 16;

/// A request and the place for its answer.
#[derive(Debug)]
pub struct Incoming {
    /// What is asked.
    pub request: Request,
    /// Where the answer goes.
    pub reply: oneshot::Sender<Reply>,
    /// Done when the answer is written: to be waited for by who ends the process.
    pub delivered: oneshot::Receiver<()>,
}

/// Listens on `socket`, which only this user may open. The caller holds the home's lock, so a socket
/// file that is there was left behind and is replaced.
pub fn listen(socket: &Path, events: Events) -> std::io::Result<mpsc::Receiver<Incoming>> {
    match std::fs::remove_file(socket) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let listener = UnixListener::bind(socket)?;
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600))?;
    let (tx, rx) = mpsc::channel(QUEUE);
    let places = Arc::new(Semaphore::new(MAX_CLIENTS));
    let listeners = Arc::new(Semaphore::new(MAX_LISTENERS));
    tokio::spawn(async move {
        while !tx.is_closed() {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let Ok(place) = places.clone().try_acquire_owned() else { continue };
                    let (queue, events, listeners) =
                        (tx.clone(), events.clone(), listeners.clone());
                    tokio::spawn(async move {
                        serve(stream, queue, events, listeners).await;
                        drop(place);
                    });
                }
                Err(e) => {
                    tracing::warn!("control socket: {e}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    });
    Ok(rx)
}

async fn serve(
    stream: UnixStream,
    queue: mpsc::Sender<Incoming>,
    events: Events,
    listeners: Arc<Semaphore>,
) {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    let (written, delivered) = oneshot::channel();
    let mut limited = BufReader::new(read.take(MAX_REQUEST_BYTES as u64));
    let reply = match tokio::time::timeout(REQUEST_PATIENCE, limited.read_line(&mut line)).await {
        Ok(Ok(n)) if n > 0 => match serde_json::from_str(&line) {
            Ok(Request::Events) => {
                return tell(limited.into_inner().into_inner(), write, events, listeners).await;
            }
            Ok(request) => {
                let (reply, answer) = oneshot::channel();
                if queue.send(Incoming { request, reply, delivered }).await.is_err() {
                    return;
                }
                let Ok(reply) = answer.await else { return };
                reply
            }
            Err(e) => Reply::Error { message: format!("request not understood: {e}") },
        },
        _ => return,
    };
    if let Ok(mut text) = serde_json::to_string(&reply) {
        text.push('\n');
        // A client that went away needs no answer.
        let writing = write.write_all(text.as_bytes());
        let _gone = tokio::time::timeout(ANSWER_PATIENCE, writing).await;
    }
    // Most answers are not waited for.
    let _unheeded = written.send(());
}

/// Tells a listener what happens, until it hangs up.
async fn tell(
    mut read: OwnedReadHalf,
    mut write: OwnedWriteHalf,
    events: Events,
    places: Arc<Semaphore>,
) {
    let Ok(_place) = places.try_acquire_owned() else {
        let message = "too many listen already".to_owned();
        put(&mut write, &Reply::Error { message }).await;
        return;
    };
    let mut listener = events.listen();
    drop(events);
    if !put(&mut write, &Reply::Done).await {
        return;
    }
    let mut more = [0];
    loop {
        tokio::select! {
            event = listener.next() => match event {
                Some(event) if put(&mut write, &event).await => {}
                _ => return,
            },
            // Whoever hangs up, or has more to say, is done.
            _ = read.read(&mut more) => return,
        }
    }
}

/// Writes a line; whether it was taken in time.
async fn put(write: &mut OwnedWriteHalf, what: &impl serde::Serialize) -> bool {
    let Ok(mut line) = serde_json::to_string(what) else { return false };
    line.push('\n');
    let writing = write.write_all(line.as_bytes());
    matches!(tokio::time::timeout(ANSWER_PATIENCE, writing).await, Ok(Ok(())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{Client, ControlError, Event, Happening, NodeStatus};

    #[tokio::test]
    async fn asks_and_answers_over_a_private_socket() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.sock");
        assert!(matches!(Client::connect(&path), Err(ControlError::NotRunning)));
        let mut requests = listen(&path, Events::default()).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let asker = tokio::task::spawn_blocking(move || {
            Client::connect(&path).unwrap().ask(&Request::Status, Duration::from_secs(10)).unwrap()
        });
        let incoming = requests.recv().await.unwrap();
        assert_eq!(incoming.request, Request::Status);
        let status = NodeStatus { pid: 7, ..NodeStatus::default() };
        incoming.reply.send(Reply::Status(status.clone())).unwrap();
        assert_eq!(asker.await.unwrap(), Reply::Status(status));
    }

    #[tokio::test]
    async fn events_come_until_somebody_hangs_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.sock");
        let events = Events::default();
        let _requests = listen(&path, events.clone()).unwrap();
        let (listening, heard) = std::sync::mpsc::sync_channel(1);
        let listener = tokio::task::spawn_blocking(move || {
            let patience = Duration::from_secs(10);
            let mut events = Client::connect(&path).unwrap().listen(patience).unwrap();
            listening.send(()).unwrap();
            (0..3).map(|_| events.next().unwrap().unwrap()).collect::<Vec<Event>>()
        });
        tokio::task::spawn_blocking(move || heard.recv().unwrap()).await.unwrap();
        let what = |n| Happening::Written { entries: Some(n) };
        (0..3).for_each(|n| events.tell(n, what(n)));
        let heard: Vec<Event> = listener.await.unwrap();
        assert_eq!(heard, [0, 1, 2].map(|n| Event { at_ms: n, what: what(n) }));
    }

    #[tokio::test]
    async fn a_socket_left_behind_is_replaced_and_an_endless_request_is_cut() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        assert!(matches!(Client::connect(&path), Err(ControlError::NotRunning)));
        let _requests = listen(&path, Events::default()).unwrap();
        let mut stream = UnixStream::connect(&path).await.unwrap();
        // No line ends; the rest of it may find nobody listening any more.
        stream.write_all(&[b'x'; MAX_REQUEST_BYTES]).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        assert!(text.contains("not understood"), "{text}");
    }

    #[tokio::test]
    async fn nonsense_is_answered_with_a_reason() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.sock");
        let _requests = listen(&path, Events::default()).unwrap();
        let mut stream = UnixStream::connect(&path).await.unwrap();
        stream.write_all(b"{\"op\":\"dance\"}\n").await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        assert!(text.contains("not understood"), "{text}");
    }
}
