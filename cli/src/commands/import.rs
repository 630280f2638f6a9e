//! `lanai import`: brings along an archive.
//!
//! Each archive is read whole, threaded, and then written in batches, each of which is safe when
//! the next begins. Ctrl-C stops between two; the same command goes on from there, because what
//! is here already is not imported twice.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use lanai_node::import::{self, Archive, ImportError, Imported, Limits};
use lanai_node::random::OsRandom;
use serde::Serialize;

use super::{Context, publish};
use crate::app::App;
use crate::args::{ImportCommand, MboxArgs};
use crate::error::{CliError, Exit};
use crate::interrupt::Hold;
use crate::layout::Text;

/// Mails that could not be used and are named one by one; with `-v` all are.
const MAX_NAMED: usize = 20;

/// What came of it, in all archives together.
#[derive(Debug, Default, Serialize)]
struct Summary {
    dry_run: bool,
    posts: u64,
    threads: u64,
    /// Posts that were here before.
    already: u64,
    /// Original authors of what the archives hold.
    authors: usize,
    /// Mails left out because the archive holds them twice.
    duplicates: usize,
    /// Attachments left out; the posts name them.
    attachments: usize,
    /// Texts that were too long.
    cut: u64,
    skipped: Vec<SkippedMail>,
    /// Why an archive could not be read to its end.
    broken: Vec<String>,
    stopped: bool,
    seconds: f64,
    posts_per_second: f64,
}

#[derive(Debug, Serialize)]
struct SkippedMail {
    archive: String,
    place: String,
    why: String,
}

pub(super) fn run(context: &mut Context, command: &ImportCommand) -> Result<Exit, CliError> {
    match command {
        ImportCommand::Mbox(args) => mbox(context, args),
    }
}

fn mbox(context: &mut Context, args: &MboxArgs) -> Result<Exit, CliError> {
    let tags = publish::tags(&args.tags)?;
    let app = App::open(context)?;
    // Whoever may not write learns it before an hour of reading.
    let _ = app.me()?;
    let started = Instant::now();
    let hold = Hold::new();
    let mut summary = Summary { dry_run: args.dry_run, ..Summary::default() };
    let mut authors = BTreeSet::new();
    let mut writing = 0.0;
    for path in &args.paths {
        let Some(archive) = read(context, path, &hold)? else {
            summary.stopped = true;
            break;
        };
        take_note(context, path, &archive, &mut summary);
        authors.extend(archive.mails.iter().map(|mail| mail.mail.from_name.clone()));
        if args.dry_run {
            look(&app, &archive, &mut summary)?;
        } else {
            let begun = Instant::now();
            write(context, &app, path, &archive, &tags, &hold, &mut summary)?;
            writing += begun.elapsed().as_secs_f64();
        }
        if summary.stopped {
            break;
        }
    }
    drop(hold);
    summary.authors = authors.len();
    summary.seconds = started.elapsed().as_secs_f64();
    summary.posts_per_second = rate(summary.posts, writing);
    if summary.posts > 0 && !args.dry_run {
        app.written(context)?;
    }
    report(context, &summary)?;
    if summary.stopped {
        let message = format!("stopped; the {} posts imported so far are kept", summary.posts);
        return Err(CliError::failed("interrupted", message)
            .hint("the same command goes on from there")
            .retryable());
    }
    if let Some(broken) = summary.broken.first() {
        return Err(CliError::failed("archive-damaged", broken.clone())
            .hint("what stands before the damage is imported"));
    }
    Ok(Exit::Done)
}

fn rate(posts: u64, seconds: f64) -> f64 {
    let posts = u32::try_from(posts).map_or(f64::from(u32::MAX), f64::from);
    if seconds > 0.0 { posts / seconds } else { 0.0 }
}

fn shown(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// Reads an archive; nothing when Ctrl-C came.
fn read(context: &Context, path: &Path, hold: &Hold) -> Result<Option<Archive>, CliError> {
    const KIB: u64 = 1024;
    let mut progress = context.ui.progress(&format!("reading {}", shown(path)), Some(0), "KiB");
    let read = import::read_all(path, &Limits::default(), context.now(), &mut |step| {
        progress.set_total(step.total_bytes.div_ceil(KIB));
        progress.set(step.done_bytes / KIB);
        if hold.interrupted() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    match read {
        Ok(archive) => Ok(Some(archive)),
        Err(ImportError::Stopped) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Names what is left out.
fn take_note(context: &mut Context, path: &Path, archive: &Archive, summary: &mut Summary) {
    let name = shown(path);
    for (place, skipped) in archive.skipped.iter().enumerate() {
        let text = Text::from(format!("{name}: {} is left out: {}", skipped.place, skipped.why));
        if place < MAX_NAMED {
            context.ui.warn(text)
        } else {
            context.ui.detail(text)
        }
        summary.skipped.push(SkippedMail {
            archive: path.to_string_lossy().into_owned(),
            place: skipped.place.to_string(),
            why: skipped.why.clone(),
        });
    }
    if let Some(more) = archive.skipped.len().checked_sub(MAX_NAMED).filter(|more| *more > 0) {
        context.ui.warn(format!("{name}: {more} more mails are left out; -v names them"));
    }
    for duplicate in &archive.duplicates {
        let id = &duplicate.message_id;
        context.ui.detail(format!("{name}: {} is there twice ({id})", duplicate.place));
    }
    summary.duplicates += archive.duplicates.len();
    summary.attachments += archive.mails.iter().map(|m| m.mail.attachments.len()).sum::<usize>();
    if let Some(broken) = &archive.broken {
        summary.broken.push(broken.to_string());
    }
}

/// What writing would do.
fn look(app: &App, archive: &Archive, summary: &mut Summary) -> Result<(), CliError> {
    for mail in &archive.mails {
        if !app.store().find_message(&mail.mail.message_id)?.is_empty() {
            summary.already += 1;
            continue;
        }
        summary.posts += 1;
        summary.threads += u64::from(mail.parent.is_none());
    }
    Ok(())
}

fn write(
    context: &mut Context,
    app: &App,
    path: &Path,
    archive: &Archive,
    tags: &[String],
    hold: &Hold,
    summary: &mut Summary,
) -> Result<(), CliError> {
    let total = u64::try_from(archive.mails.len()).unwrap_or(u64::MAX);
    let label = format!("importing {}", shown(path));
    let mut progress = context.ui.progress(&label, Some(total), "posts");
    let mut kept = 0;
    let mut step = |mails: u64, done: &Imported| {
        progress.set(mails);
        kept = done.posts;
        if hold.interrupted() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let now_ms = (context.clock)();
    let author = app.author()?;
    let written =
        import::write(app.store(), &author, archive, tags, now_ms, &mut OsRandom, &mut step);
    drop(progress);
    let done = written.map_err(|error| {
        let error = CliError::from(error);
        let so_far = format!(
            "{} posts are imported and kept; the same command goes on",
            summary.posts + kept
        );
        let hint =
            error.hint.as_ref().map_or_else(|| so_far.clone(), |hint| format!("{hint}; {so_far}"));
        error.hint(hint)
    })?;
    summary.posts += done.posts;
    summary.threads += done.threads;
    summary.already += done.already;
    summary.cut += done.cut;
    summary.stopped = done.stopped;
    Ok(())
}

fn report(context: &mut Context, summary: &Summary) -> Result<(), CliError> {
    if context.ui.is_json() {
        return context.ui.json("import", summary);
    }
    let verb = if summary.dry_run { "would import" } else { "imported" };
    let mut line = format!("{verb} {} posts in {} new threads", summary.posts, summary.threads);
    if summary.already > 0 {
        line.push_str(&format!("; {} were here already", summary.already));
    }
    context.ui.line(line)?;
    context.ui.line(format!("the archive holds posts by {} authors", summary.authors))?;
    let lacks = [
        (summary.skipped.len(), "mails that cannot be read"),
        (summary.duplicates, "mails that are there twice"),
        (summary.attachments, "attachments (the posts name them)"),
    ];
    let lacks: Vec<String> = lacks
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    if !lacks.is_empty() {
        context.ui.line(format!("left out: {}", lacks.join(", ")))?;
    }
    if summary.cut > 0 {
        context.ui.line(format!("{} texts were too long and are cut, with a note", summary.cut))?;
    }
    if summary.posts > 0 && !summary.dry_run {
        let rate = summary.posts_per_second;
        context.ui.say(format!("in {:.1} s, {rate:.0} posts/s written", summary.seconds));
        context.ui.hint("lanai threads · lanai search WORDS");
    }
    Ok(())
}

impl From<ImportError> for CliError {
    fn from(error: ImportError) -> Self {
        let mut message = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            message.push_str(&format!(": {cause}"));
            source = cause.source();
        }
        Self::failed("archive", message)
    }
}

#[cfg(test)]
mod tests {
    use crate::commands::village::{House, assert_harmless};

    fn fixture() -> String {
        concat!(env!("CARGO_MANIFEST_DIR"), "/../node/tests/fixtures/oddities.mbox").to_owned()
    }

    #[test]
    fn an_archive_is_imported_once() {
        let ann = House::founder("Ann");
        let bob = ann.neighbour("Bob");
        let file = fixture();
        let dry = ann.json(&["import", "mbox", &file, "--dry-run"]);
        assert_eq!(dry["dry_run"], true);
        let posts = dry["posts"].as_u64().unwrap();
        assert!(posts > 5);
        assert_eq!(ann.json(&["threads", "--all"])["threads"].as_array().unwrap().len(), 0);

        let first = ann.json(&["import", "mbox", &file, "-t", "Archive"]);
        assert_eq!(first["posts"], posts);
        assert_eq!(first["threads"], dry["threads"]);
        assert_eq!(first["authors"], dry["authors"]);
        assert_eq!(first["stopped"], false);
        let threads = ann.json(&["threads", "--all", "--tag", "archive"]);
        assert_eq!(threads["threads"].as_array().unwrap().len() as u64, first["threads"]);
        assert_eq!(ann.json(&["inbox"])["unread"], 0);

        let again = ann.json(&["import", "mbox", &file]);
        assert_eq!((again["posts"].as_u64(), again["already"].as_u64()), (Some(0), Some(posts)));
        bob.pull(&ann);
        let third = bob.json(&["import", "mbox", &file]);
        assert_eq!(third["posts"], 0);
    }

    #[test]
    fn what_is_said_is_harmless_and_errors_name_the_file() {
        let ann = House::founder("Ann");
        let ran = ann.run(&["import", "mbox", &fixture(), "-v"]);
        assert_harmless(&ran.out);
        assert_harmless(&ran.err);
        assert!(ran.ok().starts_with("imported "));
        for line in [&["threads", "--all"][..], &["export", "--all"], &["search", "the"]] {
            let ran = ann.on_terminal(line);
            assert_harmless(&ran.out);
            assert_harmless(&ran.err);
        }
        let missing = ann.run(&["import", "mbox", "/nowhere/x.mbox"]).failed();
        assert_eq!(missing.code, "archive");
        assert!(missing.message.contains("/nowhere/x.mbox"), "{}", missing.message);
        let note = ann.beside("note.txt");
        std::fs::write(&note, "Hello\n").unwrap();
        let not = ann.run(&["import", "mbox", note.to_str().unwrap()]).failed();
        assert!(not.message.contains("no mbox"), "{}", not.message);
    }
}
