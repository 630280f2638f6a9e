//! `lanai bundle`: files that carry posts between nodes that never meet.

mod screen;
mod take;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufWriter, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use lanai_crdt::id::MemberId;
use lanai_node::bundle::{self, BundleError, Made, Spec};
use lanai_node::random::OsRandom;
use serde::Serialize;

use super::{Context, govern, status};
use crate::app::{App, People};
use crate::args::{BundleCommand, BundleMakeArgs, BundleShownArgs, BundleWantArgs};
use crate::error::{CliError, Exit};
use crate::layout::Text;
use crate::own;

#[derive(Serialize)]
struct MadeShape {
    files: Vec<String>,
    devices: usize,
    entries: u64,
    left_out: u64,
    older: u64,
    over_budget: u64,
    bytes: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    text: Vec<String>,
}

impl From<BundleError> for CliError {
    fn from(error: BundleError) -> CliError {
        let message = error.to_string();
        match error {
            BundleError::Io(e) => CliError::io("use the bundle", &e),
            BundleError::Store(e) => e.into(),
            BundleError::Nobody => CliError::not_found(message)
                .hint("`lanai member list` shows who has devices; a bundle is for others' devices"),
            BundleError::TooManyDevices(_) => {
                CliError::usage(message).hint("--for NAME makes one for fewer")
            }
            BundleError::BudgetTooSmall { .. } => {
                CliError::usage(message).hint("--for NAME needs less than one for everybody")
            }
            BundleError::TooLarge => CliError::usage(message),
            BundleError::NotABundle => CliError::failed("no-bundle", message),
            BundleError::NotForUs => CliError::refused(message).hint(
                "ask its maker for one made now: it is for the devices that were members' then",
            ),
            BundleError::OtherCommunity => {
                CliError::refused(message).hint("--home names the directory of another community")
            }
            BundleError::Damaged(_) => CliError::failed("damaged", message)
                .hint("copy the file again, or ask its maker for another"),
            BundleError::BadSignature => CliError::failed("bad-signature", message),
            BundleError::Seal(_) => CliError::internal(message),
        }
    }
}

pub(super) fn run(context: &mut Context, command: &BundleCommand) -> Result<Exit, CliError> {
    match command {
        BundleCommand::Make(args) => make(context, args),
        BundleCommand::Want(args) => want(context, args),
        BundleCommand::Take { files, text } => take::take(context, files, *text),
        BundleCommand::Show { file } => take::show(context, file),
    }
}

fn want(context: &mut Context, args: &BundleWantArgs) -> Result<Exit, CliError> {
    let (app, people) = open(context)?;
    let members = find(&app, &people, &args.members)?;
    let spec = Spec { members, only_front: true, ..Spec::default() };
    let shown = BundleShownArgs { qr: args.qr, text: args.text };
    write(context, &app, &people, &spec, (args.file.as_deref(), false, args.force), shown)
}

fn make(context: &mut Context, args: &BundleMakeArgs) -> Result<Exit, CliError> {
    let (app, people) = open(context)?;
    let mut spec = Spec {
        members: find(&app, &people, &args.members)?,
        everything: args.everything,
        budget: args.budget.or(args.max_size),
        ..Spec::default()
    };
    if let Some(path) = &args.answer {
        let (device, member) = take::wanted(context, &app, path)?;
        spec.members = BTreeSet::from([member]);
        spec.device = Some(device);
    }
    spec.since_ms = args.since.map(|since| {
        let since = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        (context.clock)().saturating_sub(since)
    });
    let file = (args.file.as_deref(), args.max_size.is_some(), args.force);
    write(context, &app, &people, &spec, file, args.shown)
}

fn open(context: &mut Context) -> Result<(App, People), CliError> {
    let app = App::open(context)?;
    app.me()?;
    own::tell(context, &app, true)?;
    let people = app.people()?;
    Ok((app, people))
}

/// The members with these names; none where none is given.
fn find(app: &App, people: &People, names: &[String]) -> Result<BTreeSet<MemberId>, CliError> {
    let roster = app.store().roster()?;
    let mut members = BTreeSet::new();
    for name in names.iter().flat_map(|n| n.split(',')).filter(|n| !n.trim().is_empty()) {
        members.insert(govern::present(&roster, &people.find(name)?)?.id);
    }
    Ok(members)
}

/// Writes a bundle to a file, to several, or to the screen.
fn write(
    context: &mut Context,
    app: &App,
    people: &People,
    spec: &Spec,
    (path, in_parts, force): (Option<&Path>, bool, bool),
    shown: BundleShownArgs,
) -> Result<Exit, CliError> {
    let now_ms = (context.clock)();
    let (store, author) = (app.store(), app.author()?);
    let mut progress = context.ui.progress("writing", None, "posts and acts");
    let tell = |done, of| {
        progress.set_total(of);
        progress.set(done);
    };
    let Some(path) = path else {
        let mut bytes = Vec::new();
        let made = bundle::make(store, &author, spec, now_ms, &mut OsRandom, &mut bytes, tell)?;
        drop(progress);
        let parts = screen::to_parts(&bytes)?;
        if context.ui.is_json() {
            return told_made(context, people, spec, &[], &made, parts);
        }
        told_made(context, people, spec, &[], &made, Vec::new())?;
        return screen::show_parts(context, &parts, shown.qr);
    };
    if path.is_dir() {
        return Err(CliError::usage(format!("{} is a directory", path.display()))
            .hint("name a file: `lanai bundle make FILE`"));
    }
    free(&if in_parts { part_name(path, 1) } else { path.to_owned() }, force)?;
    let io = |e| CliError::io(format!("write {}", path.display()), &e);
    let mut files = Vec::new();
    let made = if in_parts {
        let mut refused = None;
        let write = |bytes: Vec<u8>| {
            let name = part_name(path, files.len() + 1);
            if let Err(error) = free(&name, force) {
                refused = Some(error);
                return Err(ErrorKind::AlreadyExists.into());
            }
            let part = Part::create(&name)?;
            (&part.file).write_all(&bytes)?;
            part.finish(&name)?;
            files.push(name);
            Ok(())
        };
        let made = bundle::make_parts(store, &author, spec, now_ms, &mut OsRandom, write, tell);
        if let Some(error) = refused {
            return Err(error);
        }
        made?
    } else {
        // Whoever pulls the card half-way finds no file that looks whole.
        let part = Part::create(path).map_err(io)?;
        let out = BufWriter::new(&part.file);
        let made = bundle::make(store, &author, spec, now_ms, &mut OsRandom, out, tell)?;
        part.finish(path).map_err(io)?;
        files.push(path.to_owned());
        made
    };
    drop(progress);
    told_made(context, people, spec, &files, &made, Vec::new())
}

/// Whether a file may be written.
fn free(path: &Path, force: bool) -> Result<(), CliError> {
    if path.exists() && !force {
        let message = format!("{} exists already", path.display());
        return Err(CliError::failed("exists", message).hint("--force overwrites it"));
    }
    Ok(())
}

/// `card-1.lanai` of `card.lanai`.
fn part_name(path: &Path, number: usize) -> PathBuf {
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push(format!("-{number}"));
    if let Some(ending) = path.extension() {
        name.push(".");
        name.push(ending);
    }
    path.with_file_name(name)
}

/// A file that is not there yet under its name; goes away with this unless it is finished.
struct Part {
    file: File,
    path: PathBuf,
}

impl Part {
    fn create(of: &Path) -> std::io::Result<Part> {
        let mut name = of.as_os_str().to_owned();
        name.push(format!(".{}.part", std::process::id()));
        let path = PathBuf::from(name);
        Ok(Part { file: File::create_new(&path)?, path })
    }

    fn finish(self, to: &Path) -> std::io::Result<()> {
        self.file.sync_all()?;
        std::fs::rename(&self.path, to)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // After it was renamed there is none.
        let _gone = std::fs::remove_file(&self.path);
    }
}

fn told_made(
    context: &mut Context,
    people: &People,
    spec: &Spec,
    files: &[PathBuf],
    made: &Made,
    text: Vec<String>,
) -> Result<Exit, CliError> {
    let Made { devices, entries, left_out, older, over_budget, bytes } = *made;
    let names: Vec<String> = files.iter().map(|path| path.display().to_string()).collect();
    if context.ui.is_json() {
        let shape =
            MadeShape { files: names, devices, entries, left_out, older, over_budget, bytes, text };
        context.ui.json("bundle-made", &shape)?;
        return Ok(Exit::Done);
    }
    let size = status::size(bytes);
    let place = match names.as_slice() {
        [first, .., last] => format!(" in {} files, {first} to {last}", names.len()),
        [name] => format!(" in {name}"),
        [] => String::new(),
    };
    let mut line = match spec.only_front {
        true => Text::from(format!("{size}, saying what is held here,{place}")),
        false => {
            let entries = status::count(entries, "post or act", "posts and acts");
            Text::from(format!("{entries}, {size},{place}"))
        }
    };
    let devices = status::count(devices as u64, "device", "devices");
    line = line.plain(format!(", for {devices} of "));
    if spec.members.is_empty() {
        line = line.plain("all members");
    }
    for (n, member) in spec.members.iter().enumerate() {
        line = line.plain(if n == 0 { "" } else { ", " }).then(people.shown(member));
    }
    context.ui.say(line);
    if left_out > 0 {
        context.ui.say(format!("left out: {left_out} that they said they hold"));
    }
    if older > 0 {
        context.ui.say(format!("left out: {older} that are older; they may lack them"));
    }
    if over_budget > 0 {
        context.ui.say(format!("over the budget and not in it: {over_budget}, the newest"));
    }
    if over_budget > 0 && entries == 0 {
        context.ui.hint("not even the oldest of them fits; --budget has to be larger");
    } else if entries == 0 && older > 0 {
        context.ui.hint("nothing is so new; without --since all of it is in");
    } else if entries == 0 && !spec.only_front {
        context.ui.hint("they said they hold all of it; --everything puts it in all the same");
    } else if files.is_empty() {
        context.ui.hint("there: `lanai bundle take --text`");
    } else if spec.only_front {
        let name = files.first().map(|path| file_name(path)).unwrap_or_default();
        context.ui.hint(format!("there: `lanai bundle make rest.lanai --answer {name}`"));
    } else {
        let names: Vec<String> = files.iter().map(|path| file_name(path)).collect();
        let names = if names.len() > 3 { "FILES".to_owned() } else { names.join(" ") };
        context.ui.hint(format!("there: `lanai bundle take {names}`"));
    }
    Ok(Exit::Done)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}
