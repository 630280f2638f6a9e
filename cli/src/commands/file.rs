//! `lanai file`: files that are added to posts, threads and the community.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lanai_crdt::file::{FileKey, Layout};
use lanai_crdt::id::{DeviceId, EntryId, FileRoot, IdPrefix, from_base32};
use lanai_crdt::limits::{MAX_FILE_NAME_BYTES, MAX_MEDIA_TYPE_BYTES};
use lanai_crdt::payload::{Body, File};
use lanai_crdt::text::clean_line;
use lanai_crdt::thread::place_of;
use lanai_node::config::Config;
use lanai_node::control::{FileProgress, FileState, Reply, Request};
use lanai_node::files::export::{ExportError, Target, export};
use lanai_node::files::{BlobError, BlobInfo, Blobs};
use lanai_node::random::random_bytes;
use lanai_node::store::{FileView, NewEntry};
use serde::Serialize;

use super::{Context, node, publish, status};
use crate::app::{App, People, Person, Spot, ambiguous};
use crate::args::{FileAddArgs, FileCommand, FileGetArgs, FileListArgs};
use crate::error::{CliError, Exit};
use crate::interrupt::Hold;
use crate::layout::{Style, Table, Text};
use crate::time;

/// How long to wait for somebody where nobody says.
const USUAL_WAIT: Duration = Duration::from_secs(30);
/// Between two questions to the node.
const POLL: Duration = Duration::from_millis(100);
/// How long the node may take for an answer.
const ANSWER_PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of a unit of progress.
const KB: u64 = 1000;

/// Media types by the ending of a name.
const TYPES: [(&str, &str); 14] = [
    ("csv", "text/csv"),
    ("gif", "image/gif"),
    ("gpx", "application/gpx+xml"),
    ("htm", "text/html"),
    ("html", "text/html"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("md", "text/markdown"),
    ("mp4", "video/mp4"),
    ("pdf", "application/pdf"),
    ("png", "image/png"),
    ("svg", "image/svg+xml"),
    ("txt", "text/plain"),
    ("zip", "application/zip"),
];

/// How much of a file is on this disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// All of it.
    #[serde(rename = "here")]
    Whole,
    /// Some of it.
    Partly,
    /// Nothing.
    #[serde(rename = "not_here")]
    Missing,
}

impl Presence {
    /// How it is said.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Whole => "here",
            Self::Partly => "partly here",
            Self::Missing => "not here",
        }
    }
}

/// What lies on the disk, to be asked for many files.
#[derive(Debug)]
pub(super) struct OnDisk {
    whole: BTreeSet<FileRoot>,
    part: BTreeSet<FileRoot>,
}

impl OnDisk {
    pub(super) fn of(app: &App) -> Result<Self, CliError> {
        Ok(Self::from(Blobs::of_home(app.home()).list()?.as_slice()))
    }

    pub(super) fn state(&self, file: &FileView) -> Presence {
        if self.whole.contains(&file.root) {
            Presence::Whole
        } else if self.part.contains(&file.root) {
            Presence::Partly
        } else {
            Presence::Missing
        }
    }
}

impl From<&[BlobInfo]> for OnDisk {
    fn from(infos: &[BlobInfo]) -> Self {
        let roots =
            |whole| infos.iter().filter(move |i| i.whole == whole).map(|i| i.root).collect();
        Self { whole: roots(true), part: roots(false) }
    }
}

/// A file, for JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileShape {
    /// The whole id.
    pub id: String,
    /// What a person types for it.
    pub short: String,
    /// What it is called.
    pub name: String,
    /// Its media type, as its author says.
    pub media: Option<String>,
    /// Its bytes.
    pub bytes: u64,
    /// Who added it.
    pub author: Person,
    /// When.
    pub time: Option<String>,
    /// The post that it is attached to; none for a file of the community.
    pub post: Option<String>,
    /// How much of it is here: `here`, `partly` or `not_here`.
    pub state: Presence,
    /// Whether it stays, whatever room it takes.
    pub pinned: bool,
    /// Whether it is being waited for.
    pub wanted: bool,
    /// BLAKE3 of its sealed bytes.
    pub root: String,
}

/// A file for JSON.
#[must_use]
pub(crate) fn shape(file: &FileView, state: Presence, people: &People) -> FileShape {
    FileShape {
        id: file.id.full(),
        short: file.id.short(),
        name: file.name.clone(),
        media: file.media.clone(),
        bytes: file.bytes,
        author: people.person(&file.author),
        time: time::rfc3339(time::seconds(file.time_ms)),
        post: file.post.map(|post| post.full()),
        state,
        pinned: file.marks.pinned,
        wanted: file.marks.wanted,
        root: file.root.full(),
    }
}

#[derive(Serialize)]
struct Listed {
    files: Vec<FileShape>,
}

#[derive(Serialize)]
struct Got {
    file: FileShape,
    path: Option<String>,
    peers: Vec<PeerShape>,
}

#[derive(Serialize)]
struct Changed {
    file: FileShape,
    changed: bool,
}

/// A device that was asked for a file.
#[derive(Debug, Serialize)]
struct PeerShape {
    device: String,
    member: Option<Person>,
    groups: u32,
    standing: String,
    lied: bool,
}

pub(super) fn run(context: &mut Context, command: &FileCommand) -> Result<Exit, CliError> {
    match command {
        FileCommand::Add(args) => add(context, args),
        FileCommand::List(args) => list(context, args),
        FileCommand::Get(args) => get(context, args),
        FileCommand::Pin { id } => pin(context, id, true),
        FileCommand::Unpin { id } => pin(context, id, false),
        FileCommand::Drop { id, yes } => drop_bytes(context, id, *yes),
        FileCommand::Withdraw { id, yes } => withdraw(context, id, *yes),
    }
}

impl From<BlobError> for CliError {
    fn from(error: BlobError) -> Self {
        let (full, message) = (error.is_full(), error.to_string());
        match error {
            _ if full => Self::failed("disk-full", message)
                .hint("`lanai storage` shows what files take, and how to drop some")
                .retryable(),
            BlobError::NotAFile(_) => Self::usage(message),
            BlobError::Changed(_) => Self::failed("changed", message).retryable(),
            BlobError::File(_) => Self::failed("file", message),
            BlobError::Damaged(_) => Self::failed("file-damaged", message).hint(
                "`lanai file drop` and then `lanai file get` fetches it again from another member",
            ),
            BlobError::Io { .. } => Self::failed("io", message),
        }
    }
}

impl From<ExportError> for CliError {
    fn from(error: ExportError) -> Self {
        match error {
            ExportError::Blob(error) => error.into(),
            ExportError::Exists(_) => Self::failed("exists", error.to_string())
                .hint("--force overwrites it; --out with a directory picks another name"),
            ExportError::Io { .. } => Self::failed("io", error.to_string()),
        }
    }
}

/// `map.pdf (1.2 MB)`, cleaned by whoever prints it.
#[must_use]
pub(crate) fn named(file: &FileView) -> String {
    format!("{} ({})", clean_line(&file.name), status::size(file.bytes))
}

/// The one file that a typed beginning of an id fits.
fn find(app: &App, typed: &str) -> Result<FileView, CliError> {
    app.catch_up()?;
    let prefix = IdPrefix::parse(typed).map_err(|error| {
        CliError::not_found(format!("\"{typed}\" is no id: {error}"))
            .hint("`lanai file list` shows ids")
    })?;
    let mut found = app.store().files_by_prefix(&prefix)?;
    match (found.len(), found.pop()) {
        (1, Some(file)) if file.withdrawn => {
            Err(CliError::not_found("this file was withdrawn by who added it"))
        }
        (1, Some(file)) => Ok(file),
        (_, None) => {
            Err(CliError::not_found(format!("no file has an id that begins with \"{typed}\""))
                .hint("`lanai file list` lists them; what others added comes with the next sync"))
        }
        (_, Some(last)) => {
            let lines: Vec<String> = found
                .iter()
                .chain([&last])
                .map(|file| format!("{}  {}", file.id.short(), named(file)))
                .collect();
            Err(ambiguous(format!("\"{typed}\" fits several files"), &lines)
                .hint("type more of the id"))
        }
    }
}

// ---- adding --------------------------------------------------------------------------------------

/// A file that is sealed and kept, and not published yet.
pub(super) struct Added {
    body: Body,
    root: FileRoot,
    name: String,
}

fn media_of(name: &str) -> Option<String> {
    let (_, ending) = name.rsplit_once('.')?;
    let ending = ending.to_ascii_lowercase();
    TYPES.iter().find(|(known, _)| *known == ending).map(|(_, media)| (*media).to_owned())
}

/// Looks whether files can be added, before anything is asked of whoever adds them.
pub(super) fn check_all(app: &App, paths: &[PathBuf]) -> Result<(), CliError> {
    let config = Config::load(&app.home().config())?;
    for path in paths {
        let meta = std::fs::metadata(path)
            .map_err(|e| CliError::io(format!("read {}", path.display()), &e))?;
        if !meta.is_file() {
            return Err(BlobError::NotAFile(path.clone()).into());
        }
        if meta.len() > config.file_max {
            let (size, most) = (status::size(meta.len()), status::size(config.file_max));
            let message = format!("{} has {size}, {most} are allowed", path.display());
            return Err(CliError::failed("too-large", message)
                .hint("`lanai config set file_max SIZE` allows more here; others need it, too"));
        }
    }
    Ok(())
}

/// Seals a file and keeps it; its manifest is still to be published.
pub(super) fn keep(
    context: &mut Context,
    app: &App,
    path: &Path,
    name: Option<&str>,
    media: Option<&str>,
) -> Result<Added, CliError> {
    let own = path.file_name().unwrap_or_default().to_string_lossy();
    let name = clean_line(name.unwrap_or(&own)).trim().to_owned();
    if name.is_empty() || name.len() > MAX_FILE_NAME_BYTES {
        return Err(CliError::usage(format!(
            "a file's name has between 1 and {MAX_FILE_NAME_BYTES} bytes"
        )));
    }
    let media = media.map(str::to_owned).or_else(|| media_of(&name));
    if media.as_ref().is_some_and(|media| media.len() > MAX_MEDIA_TYPE_BYTES) {
        return Err(CliError::usage(format!(
            "a media type has at most {MAX_MEDIA_TYPE_BYTES} bytes"
        )));
    }
    check_all(app, std::slice::from_ref(&path.to_path_buf()))?;
    let bytes = std::fs::metadata(path).map_or(0, |meta| meta.len());
    let mut progress =
        context.ui.progress(&format!("sealing {name}"), Some(bytes.div_ceil(KB)), "kB");
    let key: [u8; 32] = random_bytes();
    let added = Blobs::of_home(app.home()).add(path, &key, |done| progress.set(done.div_ceil(KB)));
    drop(progress);
    let (root, layout) = added?;
    app.store().use_file(&root, (context.clock)())?;
    let body = Body::File(File {
        name: name.clone(),
        media,
        bytes: layout.bytes(),
        root: (*root.as_bytes()).into(),
        key: key.into(),
    });
    Ok(Added { body, root, name })
}

/// Publishes what was kept, attached to a post or to nothing; ids of the manifests.
pub(super) fn publish_all(
    context: &mut Context,
    app: &App,
    added: Vec<Added>,
    place: Option<(EntryId, EntryId)>,
) -> Result<Vec<EntryId>, CliError> {
    let refs = || place.into_iter().flat_map(|(thread, post)| [thread, post]);
    let entries: Vec<NewEntry> =
        added.iter().map(|file| NewEntry::new(file.body.clone(), refs())).collect();
    match app.publish(context, entries) {
        Ok(ids) => {
            for file in &added {
                context.ui.detail(format!("attached {}", file.name));
            }
            Ok(ids)
        }
        Err(error) => {
            // Nobody will ever ask for bytes without a manifest.
            let blobs = Blobs::of_home(app.home());
            for file in &added {
                blobs.remove(&file.root)?;
            }
            Err(error)
        }
    }
}

/// Attaches files to what was just published. `id`: the post, in this thread.
pub(super) fn attach_all(
    context: &mut Context,
    app: &App,
    added: Vec<Added>,
    thread: &EntryId,
    id: &EntryId,
) -> Result<(), CliError> {
    if added.is_empty() {
        return Ok(());
    }
    let n = u64::try_from(added.len()).unwrap_or(u64::MAX);
    publish_all(context, app, added, Some((*thread, *id))).map_err(|error| {
        let hint =
            format!("the text is published; attach with `lanai file add PATH --to {}`", id.short());
        error.hint(hint)
    })?;
    context.ui.say(status::count(n, "file attached", "files attached"));
    Ok(())
}

/// Keeps files that are to go along with a text, before the text is asked for.
pub(super) fn keep_all(
    context: &mut Context,
    app: &App,
    paths: &[PathBuf],
) -> Result<Vec<Added>, CliError> {
    check_all(app, paths)?;
    paths.iter().map(|path| keep(context, app, path, None, None)).collect()
}

/// A side talk takes no files: their manifests would be open to everybody.
pub(super) fn refuse_in_talk(spot: &Spot) -> Result<(), CliError> {
    match spot.view().readers {
        Some(_) => Err(CliError::refused("files cannot be attached in a side talk")
            .hint("every member would see their names, and could fetch them")),
        None => Ok(()),
    }
}

fn add(context: &mut Context, args: &FileAddArgs) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    let spot = args.to.as_deref().map(|typed| app.find_post(typed)).transpose()?;
    let place = match &spot {
        Some(spot) => {
            refuse_in_talk(spot)?;
            let entries = app.store().thread_entries(&spot.thread().root)?;
            let place = place_of(&entries, &spot.post().id);
            Some(place.ok_or_else(|| CliError::not_found("this post is not here"))?)
        }
        None => None,
    };
    let added = keep(context, &app, &args.path, args.name.as_deref(), args.media.as_deref())?;
    let ids = publish_all(context, &app, vec![added], place)?;
    let id = ids.first().copied().ok_or_else(|| CliError::internal("nothing was written"))?;
    let thread = spot.map_or(id, |spot| spot.thread().root);
    publish::report_with(context, "added", &id, &thread, || {
        format!("others: lanai file get {}", id.short())
    })?;
    Ok(Exit::Done)
}

// ---- listing -------------------------------------------------------------------------------------

fn list(context: &mut Context, args: &FileListArgs) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    app.catch_up()?;
    let people = app.people()?;
    let files = match &args.thread {
        Some(typed) => {
            let spot = app.find_thread(typed)?;
            let posts = &spot.thread().posts;
            let ids: Vec<EntryId> =
                posts.iter().flat_map(|p| std::iter::once(p.id).chain(p.aliases.clone())).collect();
            app.store().files_of(&ids)?.into_values().flatten().collect()
        }
        None => app.store().files()?,
    };
    let disk = OnDisk::of(&app)?;
    if context.ui.is_json() {
        let files = files.iter().map(|file| shape(file, disk.state(file), &people)).collect();
        context.ui.json("files", &Listed { files })?;
        return Ok(Exit::Done);
    }
    if files.is_empty() {
        context.ui.say("no files");
        context.ui.hint("`lanai file add PATH` adds one");
        return Ok(Exit::Done);
    }
    let now = context.now();
    let mut table = Table::new()
        .column("file")
        .flexible("name")
        .numbers("size")
        .column("state")
        .column("by")
        .column("added")
        .column("attached to");
    for file in &files {
        let state = disk.state(file);
        let mut words = Text::styled(state_style(state), state.words());
        if file.marks.pinned {
            words.push(Style::Dim, ", pinned");
        }
        table.row([
            Text::styled(Style::Id, file.id.short()),
            Text::from(&file.name),
            Text::from(status::size(file.bytes)),
            words,
            people.shown_to_me(&file.author),
            Text::styled(Style::Dim, time::ago(time::seconds(file.time_ms), now)),
            Text::styled(Style::Id, file.post.map_or(String::new(), |post| post.short())),
        ]);
    }
    context.ui.table(&table)?;
    if files.iter().any(|file| disk.state(file) != Presence::Whole) {
        context.ui.hint("`lanai file get FILE` fetches what is not here");
    }
    Ok(Exit::Done)
}

/// The style for how much of a file is here.
#[must_use]
pub(crate) fn state_style(state: Presence) -> Style {
    match state {
        Presence::Whole => Style::Good,
        Presence::Partly | Presence::Missing => Style::Warn,
    }
}

// ---- getting -------------------------------------------------------------------------------------

fn get(context: &mut Context, args: &FileGetArgs) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    let file = find(&app, &args.id)?;
    let target = match &args.out {
        None => Target::Directory(PathBuf::from(".")),
        Some(path) if path.is_dir() || path.as_os_str().to_string_lossy().ends_with('/') => {
            std::fs::create_dir_all(path)
                .map_err(|e| CliError::io(format!("make the directory {}", path.display()), &e))?;
            Target::Directory(path.clone())
        }
        Some(path) => Target::Path { path: path.clone(), force: args.force },
    };
    let people = app.people()?;
    let blobs = Blobs::of_home(app.home());
    let mut peers = Vec::new();
    if !blobs.has(&file.root) {
        let progress = fetch(context, &app, &people, &file, args.wait.unwrap_or(USUAL_WAIT))?;
        peers = peer_shapes(&app, &people, &progress)?;
    }
    let path = if args.keep { None } else { Some(write_out(context, &app, &file, &target)?) };
    if context.ui.is_json() {
        let file = shape(&file, Presence::Whole, &people);
        let path = path.map(|path| path.display().to_string());
        context.ui.json("file", &Got { file, path, peers })?;
        return Ok(Exit::Done);
    }
    match path {
        Some(path) => context.ui.line(path.display().to_string())?,
        None => context.ui.say(format!("{} is here", named(&file))),
    }
    Ok(Exit::Done)
}

fn write_out(
    context: &mut Context,
    app: &App,
    file: &FileView,
    target: &Target,
) -> Result<PathBuf, CliError> {
    let blobs = Blobs::of_home(app.home());
    let layout = Layout::of(file.bytes).map_err(BlobError::from)?;
    let blob = blobs.open(&file.root, layout)?;
    let blob = blob.ok_or_else(|| CliError::not_found("the file is not here any more"))?;
    let key = app.store().file_key(&file.id)?;
    let key = key.ok_or_else(|| CliError::failed("no-key", "the key of the file is not here"))?;
    let label = format!("writing {}", clean_line(&file.name));
    let mut progress = context.ui.progress(&label, Some(file.bytes.div_ceil(KB)), "kB");
    let written = export(&blob, &FileKey::from_bytes(&key), &file.name, target, |done| {
        progress.set(done.div_ceil(KB));
    });
    drop(progress);
    let path = written?;
    app.store().use_file(&file.root, (context.clock)())?;
    Ok(path)
}

fn ask_node(app: &App, request: &Request) -> Result<FileProgress, CliError> {
    match node::ask(app.home(), request, ANSWER_PATIENCE)? {
        Reply::File(progress) => Ok(progress),
        _ => Err(CliError::internal("the node gave an answer that was not asked for")),
    }
}

/// Has the node fetch a file, and waits for it.
fn fetch(
    context: &mut Context,
    app: &App,
    people: &People,
    file: &FileView,
    wait: Duration,
) -> Result<FileProgress, CliError> {
    if node::status_of(app.home())?.is_none() {
        return Err(CliError::node_not_running().about(format!("{} is not here", named(file))));
    }
    let id = file.id.full();
    let hold = Hold::new();
    let mut seen = ask_node(app, &Request::FileGet { file: id.clone() })?;
    let mut told: BTreeSet<String> = BTreeSet::new();
    let label = format!("fetching {}", clean_line(&file.name));
    let mut bar = context.ui.progress(&label, Some(file.bytes.div_ceil(KB)), "kB");
    let mut moved = Instant::now();
    let end = loop {
        let groups = u64::from(seen.groups.max(1));
        bar.set((file.bytes / KB).saturating_mul(u64::from(seen.have)) / groups);
        for peer in seen.peers.iter().filter(|peer| peer.lied) {
            if told.insert(peer.device.clone()) {
                let name = device_shown(app, people, &peer.device)?;
                let line = format!("{name} {}; it is not asked for this file again", peer.standing);
                bar.aside(|| context.ui.warn(line));
            }
        }
        match seen.state {
            FileState::Here => break Ok(()),
            FileState::Failed => {
                let why = seen.error.clone().unwrap_or_default();
                break Err(CliError::failed("file", format!("the file could not be kept: {why}"))
                    .hint("`lanai storage` shows what files take"));
            }
            FileState::Idle | FileState::Fetching | FileState::Nobody => {}
        }
        if hold.interrupted() {
            break Err(CliError::failed("interrupted", "interrupted; what came is kept")
                .hint(format!(
                    "the node goes on with it; `lanai file drop {}` ends that",
                    file.id.short()
                ))
                .retryable());
        }
        if moved.elapsed() >= wait {
            break Err(nobody(app, people, file, &seen)?);
        }
        std::thread::sleep(POLL);
        let next = ask_node(app, &Request::FileProgress { file: id.clone() })?;
        if next.have > seen.have || next.state == FileState::Here {
            moved = Instant::now();
        }
        seen = next;
    };
    drop(bar);
    end.map(|()| seen)
}

/// Nobody gave it in time: who may have it, and what became of who was asked.
fn nobody(
    app: &App,
    people: &People,
    file: &FileView,
    seen: &FileProgress,
) -> Result<CliError, CliError> {
    let mut message = format!("nobody gave {} in time", named(file));
    let owners = status::other_devices(app)?;
    let node = node::status_of(app.home())?;
    for peer in &seen.peers {
        let name = device_shown(app, people, &peer.device)?;
        message.push_str(&format!("\n{name} {}", peer.standing));
    }
    let author = people.shown(&file.author).to_plain();
    let connected = node.is_some_and(|node| {
        let devices: BTreeSet<String> = owners
            .iter()
            .filter(|(_, member)| **member == file.author)
            .map(|(device, _)| device.full())
            .collect();
        node.peers.iter().any(|peer| devices.contains(&peer.device))
    });
    message.push_str(&match (file.own, connected) {
        (true, _) => "\nyou added it yourself, on another device".to_owned(),
        (_, true) => format!("\n{author} added it and is connected"),
        (_, false) => {
            format!("\n{author} added it, has it as far as is known, and is not connected")
        }
    });
    Ok(CliError::new(Exit::Unconfirmed, "no-peer", message)
        .hint(format!(
            "the node fetches it when somebody comes who has it; `lanai file get {} --wait 1h` waits \
             longer, what came is kept",
            file.id.short()
        ))
        .retryable())
}

fn device_of(device: &str) -> Option<DeviceId> {
    from_base32(device).and_then(|bytes| DeviceId::from_slice(&bytes))
}

fn device_shown(app: &App, people: &People, device: &str) -> Result<String, CliError> {
    let Some(id) = device_of(device) else { return Ok("a device".to_owned()) };
    let owner = status::other_devices(app)?.get(&id).copied();
    Ok(match owner {
        Some(member) => {
            format!("{} (device {})", people.shown(&member).to_plain(), id.short())
        }
        None => format!("device {}", id.short()),
    })
}

fn peer_shapes(
    app: &App,
    people: &People,
    progress: &FileProgress,
) -> Result<Vec<PeerShape>, CliError> {
    let owners = status::other_devices(app)?;
    let shape = |peer: &lanai_node::control::FilePeer| PeerShape {
        device: peer.device.clone(),
        member: device_of(&peer.device)
            .and_then(|device| owners.get(&device))
            .map(|member| people.person(member)),
        groups: peer.groups,
        standing: peer.standing.clone(),
        lied: peer.lied,
    };
    Ok(progress.peers.iter().map(shape).collect())
}

// ---- keeping and dropping ------------------------------------------------------------------------

fn answer(context: &mut Context, app: &App, id: &EntryId, changed: bool) -> Result<Exit, CliError> {
    if context.ui.is_json() {
        let people = app.people()?;
        let file = app.store().file(id)?;
        let file = file.ok_or_else(|| CliError::not_found("the file is not here any more"))?;
        let state = OnDisk::of(app)?.state(&file);
        context.ui.json("file", &Changed { file: shape(&file, state, &people), changed })?;
    }
    Ok(Exit::Done)
}

fn pin(context: &mut Context, typed: &str, pinned: bool) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    let file = find(&app, typed)?;
    let changed = file.marks.pinned != pinned;
    app.store().pin_file(&file.root, pinned)?;
    if pinned && !Blobs::of_home(app.home()).has(&file.root) {
        app.store().want_file(&file.root)?;
        crate::app::wake(app.home());
        context.ui.say(format!("{} is fetched and stays", named(&file)));
        context.ui.hint(format!("lanai file get {} --keep", file.id.short()));
    } else if pinned {
        context.ui.say(format!("{} stays, whatever room it takes", named(&file)));
    } else {
        context.ui.say(format!("{} may be dropped when there is no room", named(&file)));
    }
    answer(context, &app, &file.id, changed)
}

fn drop_bytes(context: &mut Context, typed: &str, yes: bool) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    let file = find(&app, typed)?;
    let blobs = Blobs::of_home(app.home());
    if file.own && blobs.has(&file.root) {
        let question = format!(
            "{} is your own, and nobody else is known to have it. Drop it all the same?",
            named(&file)
        );
        context.ui.confirm(question, yes)?;
    }
    // First it is not wanted, then nobody fetches it, then it goes.
    app.store().decline_file(&file.root)?;
    if node::status_of(app.home())?.is_some() {
        let request = Request::FileStop { file: file.id.full() };
        node::ask(app.home(), &request, ANSWER_PATIENCE)?;
    }
    let dropped = blobs.remove(&file.root)?;
    context.ui.say(match dropped {
        true => format!("{} is dropped here; others keep theirs", named(&file)),
        false => format!("nothing of {} was here", named(&file)),
    });
    answer(context, &app, &file.id, dropped)
}

/// The withdrawal of a file: it names the file in the place of a post.
pub(super) fn withdrawal(file: &FileView) -> NewEntry {
    NewEntry::new(Body::Withdraw, [file.thread.unwrap_or(file.id), file.id])
}

fn withdraw(context: &mut Context, typed: &str, yes: bool) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    let file = find(&app, typed)?;
    if !file.own {
        let name = app.people()?.shown(&file.author).to_plain();
        return Err(CliError::refused(format!(
            "{name} added it, and nobody else can take it back"
        ))
        .hint(format!("`lanai file drop {}` drops it here", file.id.short())));
    }
    context.ui.confirm(format!("withdraw {}? It cannot be undone.", named(&file)), yes)?;
    let id = app.publish_one(context, withdrawal(&file))?;
    drop_withdrawn(context, &app)?;
    publish::report_with(context, "withdrawn", &id, &file.id, || "lanai file list".to_owned())?;
    Ok(Exit::Done)
}

/// Drops the bytes of what was withdrawn long enough ago; own ones at once.
pub(super) fn drop_withdrawn(context: &Context, app: &App) -> Result<u64, CliError> {
    let blobs = Blobs::of_home(app.home());
    let mut dropped = 0;
    for root in app.store().files_to_drop((context.clock)())? {
        dropped += u64::from(blobs.remove(&root)?);
    }
    Ok(dropped)
}
