//! `lanai bundle take` and `show`.

use std::fs::File;
use std::io::{BufReader, Cursor, Read};
use std::path::{Path, PathBuf};

use lanai_crdt::id::{DeviceId, MemberId, base32};
use lanai_node::bundle::{self, BundleError, Damage, Manifest, Shown, Taken};
use lanai_node::store::Lacking;
use serde::Serialize;

use super::super::{Context, status};
use super::screen;
use crate::app::{App, People, wake};
use crate::error::{CliError, Exit};
use crate::layout::{Style, Text};
use crate::time;

/// Authors of what is lacking that are named.
const MAX_NAMED: usize = 8;

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
    places: u64,
    more: bool,
    #[serde(flatten)]
    what: WhatShape,
}

#[derive(Serialize)]
#[serde(untagged)]
enum WhatShape {
    Taken { new: u64, waiting: u64, refused: u64, unread: u64, lacking: Vec<LackingShape> },
    Shown { known: u64, logs: usize },
}

/// Entries of one log that the bundle's maker holds and that are not here.
#[derive(Serialize)]
struct LackingShape {
    device: String,
    author: Option<String>,
    log: String,
    first: u64,
    last: u64,
}

pub(super) fn open(path: &Path) -> Result<BufReader<File>, CliError> {
    if !path.is_file() {
        return Err(CliError::not_found(format!("there is no file {}", path.display())));
    }
    let file =
        File::open(path).map_err(|e| CliError::io(format!("read {}", path.display()), &e))?;
    Ok(BufReader::new(file))
}

/// Takes in a summary for what its maker lacks; gives its device and member.
pub(super) fn wanted(
    context: &mut Context,
    app: &App,
    path: &Path,
) -> Result<(DeviceId, MemberId), CliError> {
    let input = open(path)?;
    let taken = bundle::take(app.store(), &app.author()?, (context.clock)(), input, |_, _| ());
    let taken = taken.map_err(|e| about(path, e))?;
    let device = taken.manifest.maker;
    let member = app.store().roster()?.standing(&device).map(|s| s.member);
    match member {
        Some(member) if taken.front => Ok((device, member)),
        Some(_) => Err(CliError::failed("damaged", "what its maker holds cannot be read")
            .about(path.display())
            .hint("copy the file again, or ask for another: `lanai bundle want FILE`")),
        None => {
            Err(CliError::refused("its maker's device is no member's, as far as is known here")
                .about(path.display())
                .hint("what is not known here cannot be written for"))
        }
    }
}

/// What the error is about, before what it says.
fn about(path: &Path, error: BundleError) -> CliError {
    CliError::from(error).about(path.display())
}

/// What parts of text are said to come from.
const TYPED: &str = "the text";

pub(super) fn take(
    context: &mut Context,
    files: &[PathBuf],
    is_text: bool,
) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    let author = app.author()?;
    let mut inputs: Vec<(PathBuf, Box<dyn Read>)> = Vec::new();
    if is_text {
        let file = screen::read_parts(context, files)?;
        let name = files.first().cloned().unwrap_or_else(|| TYPED.into());
        inputs.push((name, Box::new(Cursor::new(file))));
    } else {
        for file in files {
            inputs.push((file.clone(), Box::new(open(file)?)));
        }
    }
    let mut exit = Exit::Done;
    let mut failed = None;
    for (path, input) in inputs {
        let path = path.as_path();
        let mut progress = context.ui.progress("reading", None, "posts and acts");
        let tell = |done, of| {
            progress.set_total(of);
            progress.set(done);
        };
        let taken = bundle::take(app.store(), &author, (context.clock)(), input, tell);
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
    (read, damage, places, more): (u64, Option<Damage>, u64, bool),
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
        places,
        more,
        what,
    }
}

fn seconds(ms: u64) -> i64 {
    i64::try_from(ms / 1000).unwrap_or(i64::MAX)
}

fn damaged(context: &mut Context, manifest: &Manifest, read: u64, damage: Damage, places: u64) {
    let lost = manifest.entries.saturating_sub(read);
    let more = match places {
        0 | 1 => String::new(),
        n => format!(", and in {}", status::count(n - 1, "more place", "more places")),
    };
    context.ui.warn(format!(
        "{damage}{more}: {read} of {} could be read, the other {lost} are lost with it",
        status::count(manifest.entries, "post or act", "posts and acts")
    ));
}

/// What the maker holds and is not here, by whose it is.
fn tell_lacking(
    context: &mut Context,
    app: &App,
    people: &People,
    lacking: &[Lacking],
) -> Result<(), CliError> {
    let roster = app.store().roster()?;
    let mut sums: Vec<(Text, u64)> = Vec::new();
    for lack in lacking {
        let who = match roster.standing(&lack.log.device) {
            Some(standing) => people.shown(&standing.member),
            None => Text::from(lack.log.device.short()),
        };
        match sums.iter_mut().find(|(known, _)| known.to_plain() == who.to_plain()) {
            Some((_, sum)) => *sum = sum.saturating_add(lack.count()),
            None => sums.push((who, lack.count())),
        }
    }
    if sums.is_empty() {
        return Ok(());
    }
    sums.sort_by_key(|(_, sum)| std::cmp::Reverse(*sum));
    let mut line = Text::from("its maker holds, and is not here: ");
    for (n, (who, sum)) in sums.iter().take(MAX_NAMED).enumerate() {
        let comma = if n == 0 { "" } else { ", " };
        line = line.plain(format!("{comma}{sum} by ")).then(who.clone());
    }
    if let Some(more) = sums.len().checked_sub(MAX_NAMED).filter(|n| *n > 0) {
        line = line.plain(format!(", and some by {more} others"));
    }
    context.ui.say(line);
    context.ui.hint("`lanai bundle want FILE` makes the file by which others bring exactly this");
    Ok(())
}

fn lacking_shapes(
    app: &App,
    people: &People,
    lacking: &[Lacking],
) -> Result<Vec<LackingShape>, CliError> {
    let roster = app.store().roster()?;
    let mut shapes = Vec::new();
    for Lacking { log, places } in lacking {
        let author = roster.standing(&log.device).and_then(|s| people.name(&s.member));
        shapes.extend(places.iter().map(|(first, last)| LackingShape {
            device: log.device.full(),
            author: author.map(str::to_owned),
            log: base32(&log.number.0),
            first: *first,
            last: *last,
        }));
    }
    Ok(shapes)
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
        let lacking = lacking_shapes(app, &people, &taken.lacking)?;
        let (new, waiting) = (taken.new, taken.waiting);
        let what = WhatShape::Taken { new, waiting, refused, unread, lacking };
        let read = (taken.read, taken.damage, taken.places, taken.more);
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
    match taken.damage {
        Some(damage) => {
            damaged(context, &taken.manifest, taken.read, damage, taken.places);
            context.ui.say("what was read is kept");
        }
        None if taken.more => context.ui.say("its maker held more than fitted"),
        None => {}
    }
    tell_lacking(context, app, &people, &taken.lacking)?;
    if unread > 0 {
        context.ui.hint(format!(
            "`lanai inbox` shows {}",
            status::count(unread, "unread post", "unread posts")
        ));
    }
    Ok(())
}

pub(super) fn show(context: &mut Context, path: &Path) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    let shown = bundle::show(app.store(), &app.author()?, open(path)?);
    let Shown { manifest, read, known, front_logs, damage, places, more, bytes } =
        shown.map_err(|e| about(path, e))?;
    let people = app.people()?;
    let (member, who) = maker(&app, &people, &manifest)?;
    let exit = if damage.is_some() { Exit::Failed } else { Exit::Done };
    if context.ui.is_json() {
        let what = WhatShape::Shown { known, logs: front_logs };
        let shape = shape(path, (member, &people), &manifest, (read, damage, places, more), what);
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
        Some(damage) => damaged(context, &manifest, read, damage, places),
        None if new > 0 => {
            context.ui.hint(format!("`lanai bundle take {}`", path.display()));
        }
        None => (),
    }
    Ok(exit)
}
