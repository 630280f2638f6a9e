//! Files on the network: what is fetched, what is given, what goes for want of room.
//!
//! 1. Fetched is what somebody asked for (`lanai file get`), and unasked what is no larger than the setting
//!    `fetch_files_below`, as long as it fits without anything going. At most [`MAX_FETCHES`] at a time;
//!    one that nobody gives anything of ends after [`LONELY`] and has its turn again later.
//! 2. Every connected member's device is asked. One that lied about a file is not asked for it again as
//!    long as the node runs.
//! 3. Members' devices are given what [`crate::files`] says, each over at most [`MAX_SERVED_OF_ONE`] streams.
//! 4. Whatever the machines decide, bytes on the disk are written and read off the loop.

mod fetch;
mod room;
mod serve;

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use lanai_crdt::file::Layout;
use lanai_crdt::id::{DeviceId, EntryId, FileRoot};
use tokio::sync::watch;
use tokio::task::{AbortHandle, Id, JoinSet};

use self::fetch::FetchEnd;
use super::now_millis;
use super::state::{RuntimeError, blocking};
use super::throttle::Throttle;
use crate::control::{FileProgress, FileState, Reply};
use crate::files::Blobs;
use crate::home::Home;
use crate::net::{NetHandle, NetStream};
use crate::store::{FileView, Store, StoreError};

/// Files that are fetched at the same time.
const MAX_FETCHES: usize = 4;
/// How long a fetch of which nobody gives anything goes on.
const LONELY: Duration = Duration::from_secs(30);
/// How long until such a file has its turn again.
const AGAIN: Duration = Duration::from_secs(60);
/// Streams that are served at the same time.
const MAX_SERVED: usize = 16;
/// Of these, opened by one device.
const MAX_SERVED_OF_ONE: usize = 4;
/// Ended fetches that are remembered for who asks how it went.
const MAX_ENDED: usize = 64;
/// How often it is looked at what there is to fetch while things are coming in.
const LOOK: Duration = Duration::from_secs(1);
/// For how long after something came.
const ALERT: Duration = Duration::from_secs(5);
/// And otherwise.
const SELDOM: Duration = Duration::from_secs(30);

/// One fetch under way.
#[derive(Debug)]
struct Running {
    progress: watch::Receiver<FileProgress>,
    task: AbortHandle,
}

/// Something has ended.
#[derive(Debug)]
pub(super) enum FilesEvent {
    Fetched(FetchEnd),
    Served { device: DeviceId, groups: u64, breach: Option<String> },
    Panicked,
}

/// What the loop counts.
#[derive(Debug, Default)]
pub(super) struct FilesNews {
    /// Names and numbers.
    pub(super) counts: Vec<(&'static str, u64)>,
}

/// All of it.
#[derive(Debug)]
pub(super) struct Files {
    store: Store,
    net: NetHandle,
    home: Home,
    blobs: Blobs,
    connected: watch::Sender<BTreeSet<DeviceId>>,
    fetches: HashMap<FileRoot, Running>,
    ended: HashMap<FileRoot, (Instant, FileProgress)>,
    fetching: JoinSet<FetchEnd>,
    serving: JoinSet<serve::Served>,
    served: HashMap<Id, DeviceId>,
    liars: BTreeSet<(FileRoot, DeviceId)>,
    looked: Option<Instant>,
    alert_until: Instant,
    throttle: Throttle,
}

impl Files {
    pub(super) fn new(store: Store, net: NetHandle, home: Home) -> Files {
        Files {
            blobs: Blobs::of_home(&home),
            store,
            net,
            home,
            connected: watch::Sender::new(BTreeSet::new()),
            fetches: HashMap::new(),
            ended: HashMap::new(),
            fetching: JoinSet::new(),
            serving: JoinSet::new(),
            served: HashMap::new(),
            liars: BTreeSet::new(),
            looked: None,
            alert_until: Instant::now(),
            throttle: Throttle::default(),
        }
    }

    /// A member's device came.
    pub(super) fn connected(&mut self, device: DeviceId) {
        self.connected.send_if_modified(|all| all.insert(device));
        // It may have what nobody had.
        self.ended.retain(|_, (_, progress)| progress.state != FileState::Nobody);
        self.note();
    }

    /// It is gone.
    pub(super) fn disconnected(&mut self, device: &DeviceId) {
        self.connected.send_if_modified(|all| all.remove(device));
    }

    /// Something came or was written, which may be a manifest.
    pub(super) fn note(&mut self) {
        self.alert_until = Instant::now() + ALERT;
    }

    // ---- giving ----------------------------------------------------------------------------------

    /// Serves a stream that a member's device opened, if there is room for it.
    pub(super) fn serve(&mut self, device: DeviceId, stream: NetStream) -> bool {
        let of_one = self.served.values().filter(|d| **d == device).count();
        if self.served.len() >= MAX_SERVED || of_one >= MAX_SERVED_OF_ONE {
            return false;
        }
        let (store, blobs) = (self.store.clone(), self.blobs.clone());
        let task = self.serving.spawn(serve::serve(store, blobs, stream));
        self.served.insert(task.id(), device);
        true
    }

    // ---- fetching --------------------------------------------------------------------------------

    /// Waits until something ends; `None` when nothing is under way. Cancelling loses nothing.
    pub(super) async fn next(&mut self) -> Option<FilesEvent> {
        tokio::select! {
            Some(end) = self.fetching.join_next() => {
                Some(end.map_or(FilesEvent::Panicked, FilesEvent::Fetched))
            }
            Some(end) = self.serving.join_next_with_id() => {
                let id = match &end {
                    Ok((id, _)) => *id,
                    Err(e) => e.id(),
                };
                let device = self.served.remove(&id);
                let event = device.zip(end.ok()).map(|(device, (_, served))| FilesEvent::Served {
                    device,
                    groups: served.groups,
                    breach: served.breach,
                });
                Some(event.unwrap_or(FilesEvent::Panicked))
            }
            else => None,
        }
    }

    /// Takes note of an end.
    pub(super) fn on_event(&mut self, event: FilesEvent) -> FilesNews {
        let mut news = FilesNews::default();
        match event {
            FilesEvent::Fetched(end) => {
                let FetchEnd { root, progress, groups, liars } = end;
                news.counts.push(("file groups received", groups));
                news.counts.push(("file lies", liars.len() as u64));
                self.liars.extend(liars.into_iter().map(|device| (root, device)));
                match progress.state {
                    FileState::Here => tracing::info!(file = %root, "a file is complete"),
                    _ => {
                        let why = progress.error.as_deref().unwrap_or("nobody here has it");
                        self.throttle.info(|| format!("file {root}: {why}"));
                    }
                }
                self.fetches.remove(&root);
                if self.ended.len() >= MAX_ENDED {
                    let oldest = self.ended.iter().min_by_key(|(_, (at, _))| *at);
                    if let Some(root) = oldest.map(|(root, _)| *root) {
                        self.ended.remove(&root);
                    }
                }
                self.ended.insert(root, (Instant::now(), progress));
                self.note();
            }
            FilesEvent::Served { device, groups, breach } => {
                news.counts.push(("file groups sent", groups));
                if let Some(breach) = breach {
                    self.throttle.warn(|| format!("{device} asked for a file and {breach}"));
                    news.counts.push(("file streams refused", 1));
                }
            }
            FilesEvent::Panicked => {
                self.throttle.warn(|| "a file task failed by a mistake here".to_owned());
                self.fetches.retain(|_, running| !running.task.is_finished());
            }
        }
        news
    }

    fn is_due(&self, now: Instant) -> bool {
        let every = if now < self.alert_until { LOOK } else { SELDOM };
        self.looked.is_none_or(|at| now.saturating_duration_since(at) >= every)
    }

    /// Looks, when it is time to: drops what was withdrawn or has no room, fetches what is wanted.
    pub(super) async fn look(&mut self) -> Result<(), RuntimeError> {
        let now = Instant::now();
        if !self.is_due(now) {
            return Ok(());
        }
        self.looked = Some(now);
        let busy: BTreeSet<FileRoot> = self.fetches.keys().copied().collect();
        let (store, blobs, home) = (self.store.clone(), self.blobs.clone(), self.home.clone());
        let survey =
            blocking(move || room::survey(&store, &blobs, &home, &busy, now_millis())).await?;
        let survey = match survey {
            Ok(survey) => survey,
            Err(e) => {
                self.throttle.warn(|| format!("files: {e}"));
                return Ok(());
            }
        };
        for root in survey.dropped {
            tracing::info!(file = %root, "dropped a file");
            self.forget(&root);
        }
        if self.connected.borrow().is_empty() {
            return Ok(());
        }
        for file in survey.wanted {
            let waits = self
                .ended
                .get(&file.root)
                .is_some_and(|(at, _)| now.saturating_duration_since(*at) < AGAIN);
            if !waits && self.fetches.len() < MAX_FETCHES {
                self.start(&file);
            }
        }
        Ok(())
    }

    fn forget(&mut self, root: &FileRoot) {
        if let Some(running) = self.fetches.remove(root) {
            running.task.abort();
        }
        self.ended.remove(root);
    }

    fn start(&mut self, file: &FileView) {
        let Ok(layout) = Layout::of(file.bytes) else { return };
        if self.fetches.contains_key(&file.root) {
            return;
        }
        let liars = self.liars.iter().filter(|(root, _)| *root == file.root);
        let (tell, progress) = watch::channel(FileProgress {
            groups: layout.groups(),
            bytes: file.bytes,
            state: FileState::Fetching,
            ..FileProgress::default()
        });
        let job = fetch::Job {
            root: file.root,
            layout,
            store: self.store.clone(),
            blobs: self.blobs.clone(),
            net: self.net.clone(),
            connected: self.connected.subscribe(),
            barred: liars.map(|(_, device)| *device).collect(),
            tell,
        };
        let task = self.fetching.spawn(fetch::run(job));
        self.fetches.insert(file.root, Running { progress, task });
    }

    // ---- the command line --------------------------------------------------------------------------

    async fn find(&self, file: &str) -> Result<Result<FileView, Reply>, RuntimeError> {
        let id = lanai_crdt::id::from_base32(file).and_then(|id| EntryId::from_slice(&id));
        let Some(id) = id else { return Ok(Err(refused("not an id"))) };
        let store = self.store.clone();
        let found = blocking(move || -> Result<_, StoreError> {
            // What was written a moment ago may not be folded yet.
            store.fold_pending(1_000)?;
            store.file(&id)
        });
        let found = found.await??.filter(|file| !file.withdrawn);
        Ok(found.ok_or_else(|| refused("there is no such file, or it was withdrawn")))
    }

    /// Somebody wants a file.
    pub(super) async fn get(&mut self, file: &str) -> Result<Reply, RuntimeError> {
        let file = match self.find(file).await? {
            Ok(file) => file,
            Err(reply) => return Ok(reply),
        };
        let busy: BTreeSet<FileRoot> = self.fetches.keys().copied().collect();
        let (store, blobs, home) = (self.store.clone(), self.blobs.clone(), self.home.clone());
        let wanted = file.clone();
        let made = blocking(move || -> Result<_, room::RoomError> {
            store.want_file(&wanted.root)?;
            room::make(&store, &blobs, &home, &busy, &wanted)
        });
        match made.await? {
            Ok(dropped) => dropped.iter().for_each(|root| self.forget(root)),
            Err(e) => return Ok(refused(&e.to_string())),
        }
        // Whoever asks need not wait for a turn.
        self.ended.remove(&file.root);
        self.start(&file);
        Ok(Reply::File(self.progress_of(&file)))
    }

    /// How far it is.
    pub(super) async fn progress(&mut self, file: &str) -> Result<Reply, RuntimeError> {
        Ok(match self.find(file).await? {
            Ok(file) => Reply::File(self.progress_of(&file)),
            Err(reply) => reply,
        })
    }

    /// Nobody wants it any more.
    pub(super) async fn stop(&mut self, file: &str) -> Result<Reply, RuntimeError> {
        Ok(match self.find(file).await? {
            Ok(file) => {
                self.forget(&file.root);
                Reply::Done
            }
            Err(reply) => reply,
        })
    }

    fn progress_of(&self, file: &FileView) -> FileProgress {
        // One that has just come is told of when all is known of how it came.
        if let Some(running) = self.fetches.get(&file.root) {
            return running.progress.borrow().clone();
        }
        let ended = self.ended.get(&file.root).map(|(_, progress)| progress.clone());
        let mut progress = ended.unwrap_or_default();
        if self.blobs.has(&file.root) {
            progress.state = FileState::Here;
        }
        progress
    }

    /// Ends all. What was written stays.
    pub(super) async fn shutdown(&mut self) {
        self.fetching.shutdown().await;
        self.serving.shutdown().await;
    }
}

fn refused(why: &str) -> Reply {
    Reply::Error { message: why.to_owned() }
}

/// Writing and reading in small pieces, off the loop.
async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, crate::files::BlobError> + Send + 'static,
) -> Result<T, String> {
    match blocking(work).await {
        Ok(done) => done.map_err(|e| e.to_string()),
        Err(e) => Err(e.to_string()),
    }
}
