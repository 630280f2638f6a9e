//! `lanai storage`: what takes room here, what would go next, and what to type to change that.

use lanai_node::config::Config;
use lanai_node::files::quota::{Kept, order};
use lanai_node::files::{BlobInfo, Blobs};
use lanai_node::store::FileView;
use serde::Serialize;

use super::file::{FileShape, OnDisk, shape};
use super::{Context, status};
use crate::app::{App, People};
use crate::error::{CliError, Exit};
use crate::layout::{Style, Table, Text};

/// Files that are named as the next to go.
const MAX_NEXT: usize = 5;

/// A kind of thing that takes room.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
struct Share {
    count: u64,
    bytes: u64,
}

impl Share {
    fn add(&mut self, bytes: u64) {
        self.count += 1;
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

#[derive(Debug, Serialize)]
struct Storage {
    store_bytes: u64,
    own: Share,
    pinned: Share,
    fetched: Share,
    partial: Share,
    unknown: Share,
    not_here: Share,
    files_bytes: u64,
    quota: u64,
    over_quota: u64,
    fetch_files_below: u64,
    file_max: u64,
    next_to_go: Vec<Next>,
}

/// A file that would go.
#[derive(Debug, Serialize)]
struct Next {
    #[serde(flatten)]
    file: FileShape,
    disk_bytes: u64,
    elsewhere: bool,
}

pub(super) fn run(context: &mut Context) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    app.catch_up()?;
    let people = app.people()?;
    let config = Config::load(&app.home().config())?;
    let files = app.store().files()?;
    let infos = Blobs::of_home(app.home()).list()?;
    let storage = collect(&app, &people, &config, &files, &infos)?;
    if context.ui.is_json() {
        context.ui.json("storage", &storage)?;
        return Ok(Exit::Done);
    }
    show(context, &storage)?;
    Ok(Exit::Done)
}

fn collect(
    app: &App,
    people: &People,
    config: &Config,
    files: &[FileView],
    infos: &[BlobInfo],
) -> Result<Storage, CliError> {
    let roster = app.store().roster()?;
    let disk = OnDisk::from(infos);
    let mut storage = Storage {
        store_bytes: app.store().stats()?.bytes,
        own: Share::default(),
        pinned: Share::default(),
        fetched: Share::default(),
        partial: Share::default(),
        unknown: Share::default(),
        not_here: Share::default(),
        files_bytes: infos.iter().map(|info| info.disk_bytes).sum(),
        quota: config.files_quota,
        over_quota: 0,
        fetch_files_below: config.fetch_files_below,
        file_max: config.file_max,
        next_to_go: Vec::new(),
    };
    storage.over_quota = storage.files_bytes.saturating_sub(storage.quota);
    let mut kept = Vec::new();
    for info in infos {
        let named: Vec<&FileView> = files.iter().filter(|file| file.root == info.root).collect();
        let share = if !info.whole {
            &mut storage.partial
        } else if named.is_empty() {
            &mut storage.unknown
        } else if named.iter().any(|file| file.own) {
            &mut storage.own
        } else if named.iter().any(|file| file.marks.pinned) {
            &mut storage.pinned
        } else {
            &mut storage.fetched
        };
        share.add(info.disk_bytes);
        let is_member = |file: &&&FileView| roster.members().any(|m| m.id == file.author);
        kept.push(Kept {
            root: info.root,
            bytes: info.disk_bytes,
            stays: named.iter().any(|f| f.own || f.marks.pinned || f.marks.wanted),
            elsewhere: named.iter().filter(|file| !file.own).any(|file| is_member(&file)),
            used_ms: named.iter().map(|file| file.marks.used_ms).max().unwrap_or(0),
        });
    }
    for file in files {
        if disk.state(file) == super::file::Presence::Missing {
            storage.not_here.add(file.bytes);
        }
    }
    for kept in order(&kept).into_iter().take(MAX_NEXT) {
        let Some(file) = files.iter().find(|file| file.root == kept.root) else { continue };
        storage.next_to_go.push(Next {
            file: shape(file, disk.state(file), people),
            disk_bytes: kept.bytes,
            elsewhere: kept.elsewhere,
        });
    }
    Ok(storage)
}

fn show(context: &mut Context, storage: &Storage) -> Result<(), CliError> {
    let mut table = Table::new().column("what").numbers("files").numbers("size").flexible("");
    let dim = |text: &str| Text::styled(Style::Dim, text);
    table.row([
        Text::from("store"),
        Text::new(),
        Text::from(status::size(storage.store_bytes)),
        dim("posts, pages, roster; `lanai store backup` saves it, without files"),
    ]);
    for (what, share, note) in [
        ("own files", storage.own, "never dropped by itself"),
        ("pinned files", storage.pinned, "never dropped by itself; `lanai file unpin`"),
        (
            "fetched files",
            storage.fetched,
            "dropped when there is no room, the longest unused first",
        ),
        ("partly here", storage.partial, "go on with `lanai file get`"),
        (
            "of nobody any more",
            storage.unknown,
            "no manifest that counts names them; the first to go",
        ),
    ] {
        if share.count > 0 {
            let cells = [what.to_owned(), share.count.to_string(), status::size(share.bytes)]
                .map(Text::from);
            table.row(cells.into_iter().chain([dim(note)]));
        }
    }
    context.ui.table(&table)?;
    let (files, quota) = (status::size(storage.files_bytes), status::size(storage.quota));
    context.ui.line(format!("files take {files} of {quota} that they may take"))?;
    if storage.over_quota > 0 {
        let over = status::size(storage.over_quota);
        context.ui.warn(format!("that is {over} too much; a running node drops what it may"));
    }
    if storage.not_here.count > 0 {
        let others =
            status::count(storage.not_here.count, "file of others is", "files of others are");
        let size = status::size(storage.not_here.bytes);
        context
            .ui
            .line(format!("{others} not here ({size}); `lanai file get FILE` fetches one"))?;
    }
    let mut next = Table::new().column("next to go").flexible("name").numbers("size").column("");
    for file in &storage.next_to_go {
        let elsewhere = match file.elsewhere {
            true => Text::from(format!("{} has it", file.file.author.name)),
            false => Text::styled(Style::Warn, "nobody else is known to have it"),
        };
        next.row([
            Text::styled(Style::Id, &file.file.short),
            Text::from(&file.file.name),
            Text::from(status::size(file.disk_bytes)),
            elsewhere,
        ]);
    }
    context.ui.table(&next)?;
    let below = status::size(storage.fetch_files_below);
    context.ui.say(format!("files of up to {below} are fetched unasked; larger ones on request"));
    context.ui.hint(
        "`lanai config set files_quota 5GB`, `lanai config set fetch_files_below 200kB`, \
         `lanai file pin FILE`, `lanai file drop FILE`",
    );
    Ok(())
}
