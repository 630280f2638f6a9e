//! Drives the fetching of one file: the machine in `files::fetch`, a stream to each peer, the disk.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{AsyncReadExt as _, AsyncWriteExt as _};
use lanai_crdt::file::Layout;
use lanai_crdt::id::{DeviceId, FileRoot};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::super::now_millis;
use super::super::state::blocking;
use super::{LONELY, on_disk};
use crate::control::{FilePeer, FileProgress, FileState};
use crate::files::fetch::{Fetch, Input, Output, Standing, WINDOW};
use crate::files::wire::{Answer, FrameReader, No, Request};
use crate::files::{Blobs, PartialBlob};
use crate::net::{NetHandle, peer_id_of};
use crate::store::Store;

/// Peers that give at the same time.
const MAX_PEERS: usize = 8;
/// Answers of all peers that wait to be looked at.
const EVENT_QUEUE: usize = 16;
/// Before a peer that left, or could not be reached, is asked again.
const LEFT_PAUSE: Duration = Duration::from_secs(3);
/// Before one that does not have it is.
const NOT_HERE_PAUSE: Duration = Duration::from_secs(20);
/// Groups that are written before they are brought to the disk: 4 MiB.
const SYNC_GROUPS: u32 = 64;
/// The longest sleep of the loop.
const TICK: Duration = Duration::from_millis(500);
/// Bytes read from a stream at once.
const READ_BYTES: usize = 64 * 1024;

/// What is to be done.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) root: FileRoot,
    pub(super) layout: Layout,
    pub(super) store: Store,
    pub(super) blobs: Blobs,
    pub(super) net: NetHandle,
    pub(super) connected: watch::Receiver<BTreeSet<DeviceId>>,
    /// Devices that lied about this file before.
    pub(super) barred: BTreeSet<DeviceId>,
    pub(super) tell: watch::Sender<FileProgress>,
}

/// How it ended.
#[derive(Debug)]
pub(in crate::runtime) struct FetchEnd {
    pub(super) root: FileRoot,
    pub(super) progress: FileProgress,
    pub(super) groups: u64,
    pub(super) liars: Vec<DeviceId>,
}

/// Something came of a stream.
#[derive(Debug)]
enum Event {
    Joined,
    Answer(Answer),
    Nonsense,
    Left,
}

/// An open stream.
struct Stream {
    /// Tells events of this stream from those of an earlier one to the same device.
    number: u64,
    requests: mpsc::Sender<Request>,
}

struct Driver {
    job: Job,
    fetch: Fetch,
    part: Option<Arc<PartialBlob>>,
    unsynced: u32,
    streams: HashMap<DeviceId, Stream>,
    not_before: HashMap<DeviceId, Instant>,
    numbers: u64,
    started: Instant,
    groups: u64,
    liars: Vec<DeviceId>,
    complete: bool,
}

/// Fetches a file, until it is here or nobody gives anything of it.
pub(super) async fn run(job: Job) -> FetchEnd {
    let root = job.root;
    let found = {
        let (blobs, layout) = (job.blobs.clone(), job.layout);
        on_disk(move || blobs.resume(&root, layout)).await
    };
    let (fetch, part) = match found {
        Ok(Some((part, here))) => {
            let outline = part.outline().to_vec();
            (Fetch::resume(root, job.layout, outline, &here), Some(Arc::new(part)))
        }
        Ok(None) => (Fetch::new(root, job.layout), None),
        Err(e) => {
            let progress = FileProgress {
                state: FileState::Failed,
                error: Some(e),
                ..job.tell.borrow().clone()
            };
            return FetchEnd { root, progress, groups: 0, liars: Vec::new() };
        }
    };
    let mut driver = Driver {
        job,
        fetch,
        part,
        unsynced: 0,
        streams: HashMap::new(),
        not_before: HashMap::new(),
        numbers: 0,
        started: Instant::now(),
        groups: 0,
        liars: Vec::new(),
        complete: false,
    };
    let (state, error) = match driver.work().await {
        Ok(true) => (FileState::Here, None),
        Ok(false) => (FileState::Nobody, None),
        Err(e) => (FileState::Failed, Some(e)),
    };
    let progress = FileProgress { state, error, ..driver.progress() };
    FetchEnd { root, progress, groups: driver.groups, liars: driver.liars }
}

impl Driver {
    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// True once it is here, false when nobody gives anything.
    async fn work(&mut self) -> Result<bool, String> {
        let (tell, mut events) = mpsc::channel::<(DeviceId, u64, Event)>(EVENT_QUEUE);
        let mut tasks: JoinSet<()> = JoinSet::new();
        let mut heard = Instant::now();
        self.feed(Input::Tick).await?;
        while !self.complete {
            self.open_streams(&mut tasks, &tell);
            self.job.tell.send_replace(self.progress());
            let due = self.fetch.deadline().unwrap_or(u64::MAX).saturating_sub(self.now());
            let sleep = Duration::from_millis(due).min(TICK);
            let input = tokio::select! {
                Some((device, number, event)) = events.recv() => {
                    if self.streams.get(&device).is_none_or(|s| s.number != number) {
                        continue;
                    }
                    match event {
                        Event::Joined => Input::Joined(device),
                        Event::Answer(answer) => {
                            self.not_before.insert(device, Instant::now() + pause_after(&answer));
                            if matches!(answer, Answer::Slice { .. } | Answer::Outline(_)) {
                                heard = Instant::now();
                            }
                            Input::Answer(device, answer)
                        }
                        Event::Nonsense => Input::Nonsense(device),
                        Event::Left => {
                            self.streams.remove(&device);
                            let again = Instant::now() + LEFT_PAUSE;
                            let at = self.not_before.entry(device).or_insert(again);
                            *at = again.max(*at);
                            Input::Left(device)
                        }
                    }
                }
                Some(_) = tasks.join_next() => continue,
                changed = self.job.connected.changed() => match changed {
                    Ok(()) => continue,
                    Err(_) => return Err("the node stops".to_owned()),
                },
                () = tokio::time::sleep(sleep) => Input::Tick,
            };
            self.feed(input).await?;
            if heard.elapsed() > LONELY && !self.complete {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn feed(&mut self, input: Input) -> Result<(), String> {
        let mut inputs = std::collections::VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let now = self.now();
            for output in self.fetch.handle(input, now) {
                match output {
                    Output::Send(device, request) => {
                        let sent = self.streams.get(&device).map(|s| s.requests.try_send(request));
                        if !matches!(sent, Some(Ok(()))) {
                            self.streams.remove(&device);
                            inputs.push_back(Input::Left(device));
                        }
                    }
                    Output::HangUp(device) => {
                        self.streams.remove(&device);
                        let again = Instant::now() + LEFT_PAUSE;
                        let at = self.not_before.entry(device).or_insert(again);
                        *at = again.max(*at);
                    }
                    Output::Begin(outline) => {
                        let (blobs, root, layout) =
                            (self.job.blobs.clone(), self.job.root, self.job.layout);
                        let part = on_disk(move || blobs.begin(&root, layout, outline)).await?;
                        self.part = Some(Arc::new(part));
                    }
                    Output::Write(group, sealed) => {
                        self.write(group, sealed).await?;
                        inputs.push_back(Input::Written(group));
                    }
                    Output::Blame(device, lie) => {
                        tracing::warn!(%device, file = %self.job.root, "{lie}; it is not asked again");
                        self.liars.push(device);
                    }
                    Output::Complete => self.finish().await?,
                }
            }
        }
        Ok(())
    }

    async fn write(&mut self, group: u32, sealed: Vec<u8>) -> Result<(), String> {
        let part = self.part.clone().ok_or_else(|| "no place for the file".to_owned())?;
        self.groups += 1;
        self.unsynced += 1;
        let sync = self.unsynced >= SYNC_GROUPS;
        if sync {
            self.unsynced = 0;
        }
        on_disk(move || {
            part.write(group, &sealed)?;
            if sync { part.sync() } else { Ok(()) }
        })
        .await
    }

    async fn finish(&mut self) -> Result<(), String> {
        let part = self.part.take().and_then(Arc::into_inner);
        let part = part.ok_or_else(|| "no place for the file".to_owned())?;
        let (blobs, store, root) = (self.job.blobs.clone(), self.job.store.clone(), self.job.root);
        on_disk(move || part.finish(&blobs)).await?;
        let used = blocking(move || store.use_file(&root, now_millis())).await;
        if !matches!(used, Ok(Ok(()))) {
            tracing::warn!(file = %root, "when it came could not be noted");
        }
        self.complete = true;
        Ok(())
    }

    fn open_streams(
        &mut self,
        tasks: &mut JoinSet<()>,
        tell: &mpsc::Sender<(DeviceId, u64, Event)>,
    ) {
        let now = Instant::now();
        let connected = self.job.connected.borrow_and_update().clone();
        for device in connected {
            let due = self.not_before.get(&device).is_none_or(|at| *at <= now);
            let known = self.streams.contains_key(&device) || self.job.barred.contains(&device);
            if known || !due || !self.fetch.may_ask(&device) || self.streams.len() >= MAX_PEERS {
                continue;
            }
            self.numbers += 1;
            let number = self.numbers;
            let (requests, queue) = mpsc::channel(WINDOW + 2);
            self.streams.insert(device, Stream { number, requests });
            let (net, tell) = (self.job.net.clone(), tell.clone());
            let limit = Answer::max_bytes(&self.job.layout);
            tasks.spawn(async move {
                let say = Say { tell, device, number };
                let end = talk(&net, device, queue, limit, &say).await;
                // Nobody may be listening any more.
                let _told = say.say(end).await;
            });
        }
    }

    fn progress(&self) -> FileProgress {
        let mut peers: BTreeMap<DeviceId, FilePeer> = BTreeMap::new();
        for (device, standing, groups) in self.fetch.peers() {
            let (word, lied) = match standing {
                Standing::Asked => ("is asked".to_owned(), false),
                Standing::Gives => ("gives".to_owned(), false),
                Standing::Refused(no) => (no.words().to_owned(), false),
                Standing::Left => ("left, or was too slow".to_owned(), false),
                Standing::Lied(lie) => (lie.to_string(), true),
            };
            peers.insert(device, FilePeer { device: device.full(), standing: word, groups, lied });
        }
        for device in &self.job.barred {
            peers.entry(*device).or_insert_with(|| FilePeer {
                device: device.full(),
                standing: "lied before and is not asked".to_owned(),
                groups: 0,
                lied: true,
            });
        }
        FileProgress {
            state: FileState::Fetching,
            groups: self.job.layout.groups(),
            have: self.fetch.written(),
            bytes: self.job.layout.bytes(),
            peers: peers.into_values().collect(),
            error: None,
        }
    }
}

fn pause_after(answer: &Answer) -> Duration {
    match answer {
        Answer::No(No::NotHere) => NOT_HERE_PAUSE,
        _ => LEFT_PAUSE,
    }
}

/// Where the events of one stream go.
struct Say {
    tell: mpsc::Sender<(DeviceId, u64, Event)>,
    device: DeviceId,
    number: u64,
}

impl Say {
    /// Whether anybody listens.
    async fn say(&self, event: Event) -> bool {
        self.tell.send((self.device, self.number, event)).await.is_ok()
    }
}

/// Opens a stream and carries requests and answers over it, until one side has enough.
async fn talk(
    net: &NetHandle,
    device: DeviceId,
    mut requests: mpsc::Receiver<Request>,
    limit: usize,
    say: &Say,
) -> Event {
    let Ok(peer) = peer_id_of(device.as_bytes()) else { return Event::Left };
    let stream = match net.open_file(peer).await {
        Ok(stream) => stream,
        Err(e) => {
            tracing::debug!(%device, "no stream for a file: {e}");
            return Event::Left;
        }
    };
    let (mut read, mut write) = stream.split();
    if !say.say(Event::Joined).await {
        return Event::Left;
    }
    let mut frames = FrameReader::new(limit);
    let mut buffer = vec![0; READ_BYTES];
    loop {
        tokio::select! {
            request = requests.recv() => {
                let Some(request) = request else {
                    // Hung up on; the peer learns it by the end of the stream.
                    let _closed = write.close().await;
                    return Event::Left;
                };
                let mut bytes = request.encode();
                while let Ok(more) = requests.try_recv() {
                    bytes.extend(more.encode());
                }
                if write.write_all(&bytes).await.is_err() || write.flush().await.is_err() {
                    return Event::Left;
                }
            }
            n = read.read(&mut buffer) => {
                let n = match n {
                    Ok(n) if n > 0 => n,
                    _ => return Event::Left,
                };
                let mut input = buffer.get(..n).unwrap_or_default();
                loop {
                    match frames.next(&mut input).and_then(|f| f.map(Answer::decode).transpose()) {
                        Ok(Some(answer)) => {
                            if !say.say(Event::Answer(answer)).await {
                                return Event::Left;
                            }
                        }
                        Ok(None) => break,
                        Err(_) => return Event::Nonsense,
                    }
                }
            }
        }
    }
}
