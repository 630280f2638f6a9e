//! `lanai bundle`: files that carry posts between nodes that never meet.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufReader, BufWriter, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use lanai_crdt::id::{DeviceId, MemberId};
use lanai_node::bundle::{self, BundleError, Damage, Made, Manifest, Shown, Spec, Taken};
use lanai_node::random::OsRandom;
use serde::Serialize;

use super::{Context, govern, status};
use crate::app::{App, People, wake};
use crate::args::{BundleCommand, BundleMakeArgs};
use crate::error::{CliError, Exit};
use crate::layout::{Style, Text};
use crate::{own, time};

#[derive(Serialize)]
struct MadeShape {
    files: Vec<String>,
    devices: usize,
    entries: u64,
    left_out: u64,
    older: u64,
    over_budget: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct ReadShape {
    path: String,
    maker_device: String,
    maker: Option<String>,
    made: i64,
    entries: u64,
    read: u64,
    whole: bool,
    damage: Option<String>,
    more: bool,
    #[serde(flatten)]
    what: WhatShape,
}

#[derive(Serialize)]
#[serde(untagged)]
enum WhatShape {
    Taken { new: u64, waiting: u64, refused: u64, unread: u64 },
    Shown { known: u64, logs: usize },
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
        BundleCommand::Take { files } => take(context, files),
        BundleCommand::Show { file } => show(context, file),
    }
}

fn make(context: &mut Context, args: &BundleMakeArgs) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    let path = &args.file;
    if path.is_dir() {
        return Err(CliError::usage(format!("{} is a directory", path.display()))
            .hint("name a file: `lanai bundle make FILE`"));
    }
    let first = if args.max_size.is_some() { part_name(path, 1) } else { path.clone() };
    free(&first, args.force)?;
    app.me()?;
    own::tell(context, &app, true)?;
    let people = app.people()?;
    let roster = app.store().roster()?;
    let mut members = BTreeSet::new();
    for name in args.members.iter().flat_map(|n| n.split(',')).filter(|n| !n.trim().is_empty()) {
        members.insert(govern::present(&roster, &people.find(name)?)?.id);
    }
    let now_ms = (context.clock)();
    let since_ms = args
        .since
        .map(|since| now_ms.saturating_sub(u64::try_from(since.as_millis()).unwrap_or(u64::MAX)));
    let spec = Spec {
        members,
        everything: args.everything,
        only_front: args.want,
        budget: args.budget.or(args.max_size),
        since_ms,
    };
    let io = |e| CliError::io(format!("write {}", path.display()), &e);
    let (store, author) = (app.store(), app.author()?);
    let mut progress = context.ui.progress("writing", None, "posts and acts");
    let tell = |done| progress.set(done);
    let mut files = Vec::new();
    let made = if args.max_size.is_some() {
        let mut refused = None;
        let write = |bytes: Vec<u8>| {
            let name = part_name(path, files.len() + 1);
            if let Err(error) = free(&name, args.force) {
                refused = Some(error);
                return Err(ErrorKind::AlreadyExists.into());
            }
            let part = Part::create(&name)?;
            (&part.file).write_all(&bytes)?;
            part.finish(&name)?;
            files.push(name);
            Ok(())
        };
        let made = bundle::make_parts(store, &author, &spec, now_ms, &mut OsRandom, write, tell);
        if let Some(error) = refused {
            return Err(error);
        }
        made?
    } else {
        // Whoever pulls the card half-way finds no file that looks whole.
        let part = Part::create(path).map_err(io)?;
        let out = BufWriter::new(&part.file);
        let made = bundle::make(store, &author, &spec, now_ms, &mut OsRandom, out, tell)?;
        part.finish(path).map_err(io)?;
        files.push(path.clone());
        made
    };
    drop(progress);
    told_made(context, &people, &spec, &files, &made)
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
) -> Result<Exit, CliError> {
    let Made { devices, entries, left_out, older, over_budget, bytes } = *made;
    let names: Vec<String> = files.iter().map(|path| path.display().to_string()).collect();
    if context.ui.is_json() {
        let shape =
            MadeShape { files: names, devices, entries, left_out, older, over_budget, bytes };
        context.ui.json("bundle-made", &shape)?;
        return Ok(Exit::Done);
    }
    let size = status::size(bytes);
    let place = match names.as_slice() {
        [first, .., last] => format!("{} files, {first} to {last}", names.len()),
        names => names.concat(),
    };
    let mut line = match spec.only_front {
        true => Text::from(format!("{size}, saying what is held here, in {place}")),
        false => {
            let entries = status::count(entries, "post or act", "posts and acts");
            Text::from(format!("{entries}, {size}, in {place}"))
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

fn open(path: &Path) -> Result<BufReader<File>, CliError> {
    if !path.is_file() {
        return Err(CliError::not_found(format!("there is no file {}", path.display())));
    }
    let file =
        File::open(path).map_err(|e| CliError::io(format!("read {}", path.display()), &e))?;
    Ok(BufReader::new(file))
}

/// What the error is about, before what it says.
fn about(path: &Path, error: BundleError) -> CliError {
    CliError::from(error).about(path.display())
}

fn take(context: &mut Context, files: &[PathBuf]) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    let author = app.author()?;
    let inputs = files.iter().map(|file| open(file)).collect::<Result<Vec<_>, _>>()?;
    let mut exit = Exit::Done;
    let mut failed = None;
    for (path, input) in files.iter().zip(inputs) {
        let mut progress = context.ui.progress("reading", None, "posts and acts");
        let taken =
            bundle::take(app.store(), &author, (context.clock)(), input, |done| progress.set(done));
        drop(progress);
        match taken {
            Ok(taken) => {
                if taken.new + taken.payloads > 0 {
                    app.store().open_seals(&author, (context.clock)())?;
                }
                app.catch_up()?;
                wake(app.home());
                if taken.damage.is_some() {
                    exit = Exit::Failed;
                }
                told_taken(context, &app, path, &taken)?;
            }
            // The others may be whole.
            Err(error) => {
                let error = about(path, error);
                match failed.replace(error) {
                    None => (),
                    Some(before) => context.ui.warn(before.to_text()),
                }
            }
        }
    }
    failed.map_or(Ok(exit), Err)
}

/// Who made it, and when.
fn maker(
    app: &App,
    people: &People,
    manifest: &Manifest,
) -> Result<(Option<MemberId>, Text), CliError> {
    let roster = app.store().roster()?;
    let member = roster.standing(&manifest.maker).map(|s| s.member);
    Ok((member, member.map_or_else(|| unknown(&manifest.maker), |m| people.shown(&m))))
}

fn unknown(device: &DeviceId) -> Text {
    Text::styled(Style::Id, device.short()).plain(", no member's device as far as is known here")
}

fn shape(
    path: &Path,
    (member, people): (Option<MemberId>, &People),
    manifest: &Manifest,
    (read, damage, more): (u64, Option<Damage>, bool),
    what: WhatShape,
) -> ReadShape {
    ReadShape {
        path: path.display().to_string(),
        maker_device: manifest.maker.full(),
        maker: member.and_then(|m| people.name(&m).map(str::to_owned)),
        made: seconds(manifest.made_ms),
        entries: manifest.entries,
        read,
        whole: damage.is_none(),
        damage: damage.map(|d| d.to_string()),
        more,
        what,
    }
}

fn seconds(ms: u64) -> i64 {
    i64::try_from(ms / 1000).unwrap_or(i64::MAX)
}

fn damaged(context: &mut Context, manifest: &Manifest, read: u64, damage: Damage) {
    let lost = manifest.entries.saturating_sub(read);
    context.ui.warn(format!(
        "{damage}: {read} of {} could be read, the other {lost} are lost with it",
        status::count(manifest.entries, "post or act", "posts and acts")
    ));
}

fn told_taken(
    context: &mut Context,
    app: &App,
    path: &Path,
    taken: &Taken,
) -> Result<(), CliError> {
    let people = app.people()?;
    let (member, who) = maker(app, &people, &taken.manifest)?;
    let refused: u64 = taken.refused.values().sum();
    let unread = status::unread(app)?;
    if context.ui.is_json() {
        let what = WhatShape::Taken { new: taken.new, waiting: taken.waiting, refused, unread };
        let read = (taken.read, taken.damage, taken.more);
        let shape = shape(path, (member, &people), &taken.manifest, read, what);
        return context.ui.json_line("bundle-taken", &shape);
    }
    let made = time::ago(seconds(taken.manifest.made_ms), context.now());
    let read = status::count(taken.read, "post or act", "posts and acts");
    context.ui.say(
        Text::from(format!("{}: made {made} by ", path.display()))
            .then(who)
            .plain(format!("; {read} read, {} new here", taken.new)),
    );
    if taken.waiting > 0 {
        let waiting = status::count(taken.waiting, "waits", "wait");
        context.ui.say(format!("{waiting} for the one that admits the author's device"));
    }
    for (reason, count) in &taken.refused {
        context.ui.warn(format!("{count} refused: {reason}"));
    }
    if let Some(damage) = taken.damage {
        damaged(context, &taken.manifest, taken.read, damage);
        context
            .ui
            .hint("what was read is kept; a bundle made back shows its maker what is lacking");
    } else if taken.more {
        context.ui.say("its maker held more than fitted");
    }
    if unread > 0 {
        context.ui.hint(format!(
            "`lanai inbox` shows {}",
            status::count(unread, "unread post", "unread posts")
        ));
    }
    Ok(())
}

fn show(context: &mut Context, path: &Path) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    let shown = bundle::show(app.store(), &app.author()?, open(path)?);
    let Shown { manifest, read, known, front_logs, damage, more, bytes } =
        shown.map_err(|e| about(path, e))?;
    let people = app.people()?;
    let (member, who) = maker(&app, &people, &manifest)?;
    let exit = if damage.is_some() { Exit::Failed } else { Exit::Done };
    if context.ui.is_json() {
        let what = WhatShape::Shown { known, logs: front_logs };
        let shape = shape(path, (member, &people), &manifest, (read, damage, more), what);
        context.ui.json("bundle", &shape)?;
        return Ok(exit);
    }
    let made = time::ago(seconds(manifest.made_ms), context.now());
    context.ui.line(Text::from(format!("made {made} by ")).then(who))?;
    let held = status::count(read, "post or act", "posts and acts");
    let new = read.saturating_sub(known);
    context.ui.line(format!("{held} in {}, {new} of them not here yet", status::size(bytes)))?;
    if more {
        context.ui.line("its maker held more than fitted")?;
    }
    match damage {
        Some(damage) => damaged(context, &manifest, read, damage),
        None if new > 0 => {
            context.ui.hint(format!("`lanai bundle take {}`", path.display()));
        }
        None => (),
    }
    Ok(exit)
}
