//! `lanai export`: threads as Markdown or JSON, to standard output, a file, or a directory with a
//! file for each thread.

use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use lanai_crdt::id::EntryId;
use lanai_crdt::thread::Thread;
use lanai_node::store::{ThreadFilter, ThreadView};
use serde::Serialize;

use super::Context;
use crate::app::{App, People};
use crate::args::{ExportArgs, ExportFormat};
use crate::error::{CliError, Exit};
use crate::json::{self, Envelope};
use crate::time;
use crate::view::{Reading, markdown, shape};

/// Longest part of a file name that is made from a title, in bytes.
const MAX_SLUG: usize = 60;

/// The answer to `--json` when files were written.
#[derive(Debug, Serialize)]
struct Exported {
    threads: usize,
    posts: usize,
    format: &'static str,
    files: Vec<String>,
}

pub(super) fn run(context: &mut Context, args: &ExportArgs) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    let threads = match &args.thread {
        Some(typed) => {
            let spot = app.find_thread(typed)?;
            if spot.view().readers.is_some() {
                return Err(CliError::refused("a side talk is not exported")
                    .hint("`lanai talk publish` brings back what all who spoke in it want to"));
            }
            vec![Row::of_one(spot.thread())]
        }
        None => all(&app)?,
    };
    let job =
        Job { format: format(context, args), people: app.people()?, app, threads, all: args.all };
    match &args.out {
        None => job.to_stdout(context),
        Some(path) if path.is_dir() || path.as_os_str().to_string_lossy().ends_with('/') => {
            job.to_directory(context, path, args.force)
        }
        Some(path) => job.to_file(context, path, args.force),
    }
}

/// `--json` on standard output means JSON there; into files goes what `--format` says.
fn format(context: &Context, args: &ExportArgs) -> ExportFormat {
    if context.ui.is_json() && args.out.is_none() { ExportFormat::Json } else { args.format }
}

/// A thread to be written.
struct Row {
    root: EntryId,
    title: String,
    started_ms: u64,
}

impl Row {
    fn of_one(thread: &Thread) -> Self {
        let started_ms = thread.posts.first().map_or(0, |post| post.sort_millis);
        Self { root: thread.root, title: thread.title.clone(), started_ms }
    }
}

/// All threads, the oldest first.
fn all(app: &App) -> Result<Vec<Row>, CliError> {
    while app.catch_up()? > 0 {}
    let threads = app.store().threads(&ThreadFilter::default())?.into_iter().map(|thread| Row {
        root: thread.root,
        title: thread.title,
        started_ms: thread.started_ms,
    });
    let mut threads: Vec<Row> = threads.collect();
    threads.sort_by_key(|thread| (thread.started_ms, thread.root));
    Ok(threads)
}

struct Job {
    app: App,
    people: People,
    threads: Vec<Row>,
    format: ExportFormat,
    all: bool,
}

impl Job {
    fn to_stdout(&self, context: &mut Context) -> Result<Exit, CliError> {
        if self.format == ExportFormat::Md {
            context.ui.start_pager();
        }
        let now = (context.clock)();
        // What comes is clean: Markdown is made of cleaned lines, JSON has escapes.
        self.write_all(now, |text| context.ui.trusted(text))?;
        Ok(Exit::Done)
    }

    fn to_file(&self, context: &mut Context, path: &Path, force: bool) -> Result<Exit, CliError> {
        let mut file = Fresh::create(path, force)?;
        let mut progress =
            context.ui.progress("export", Some(self.threads.len() as u64), "threads");
        let mut done = 0;
        let posts = self.write_all((context.clock)(), |text| {
            done += 1;
            progress.set(done);
            file.write(text)
        })?;
        drop(progress);
        file.finish()?;
        self.report(context, posts, vec![path.to_path_buf()])
    }

    fn to_directory(
        &self,
        context: &mut Context,
        dir: &Path,
        force: bool,
    ) -> Result<Exit, CliError> {
        fs::create_dir_all(dir)
            .map_err(|e| CliError::io(format!("make the directory {}", dir.display()), &e))?;
        let paths: Vec<PathBuf> =
            self.threads.iter().map(|thread| dir.join(self.file_name(thread))).collect();
        let exist = paths.iter().filter(|path| path.symlink_metadata().is_ok()).count();
        if exist > 0 && !force {
            let message = format!("{exist} of the files are in {} already", dir.display());
            return Err(CliError::failed("exists", message)
                .hint("--force overwrites them; nothing was written"));
        }
        let now = (context.clock)();
        let mut progress = context.ui.progress("export", Some(paths.len() as u64), "threads");
        let mut posts = 0;
        let mut written = Vec::new();
        for (thread, path) in self.threads.iter().zip(paths) {
            let Some(opened) = self.app.thread(&thread.root)? else { continue };
            posts += opened.thread.posts.len();
            let mut file = Fresh::create(&path, force)?;
            file.write(&self.text(&opened, now, true)?)?;
            file.finish()?;
            written.push(path);
            progress.set(written.len() as u64);
        }
        drop(progress);
        self.report(context, posts, written)
    }

    fn report(
        &self,
        context: &mut Context,
        posts: usize,
        files: Vec<PathBuf>,
    ) -> Result<Exit, CliError> {
        let threads = self.threads.len();
        if context.ui.is_json() {
            let format = match self.format {
                ExportFormat::Md => "md",
                ExportFormat::Json => "json",
            };
            let files = files.iter().map(|path| path.to_string_lossy().into_owned()).collect();
            context.ui.json("exported", &Exported { threads, posts, format, files })?;
        } else {
            let place = match files.as_slice() {
                [one] => one.display().to_string(),
                several => format!("{} files", several.len()),
            };
            let (threads, posts) = (
                super::status::count(threads as u64, "thread", "threads"),
                super::status::count(posts as u64, "post", "posts"),
            );
            context.ui.say(format!("wrote {threads} with {posts} to {place}"));
        }
        Ok(Exit::Done)
    }

    /// All threads as one text, piece by piece: a community need not fit into memory. How many
    /// posts there were.
    fn write_all(
        &self,
        now_ms: u64,
        mut write: impl FnMut(&str) -> Result<(), CliError>,
    ) -> Result<usize, CliError> {
        let list = self.all && self.format == ExportFormat::Json;
        let between = match self.format {
            ExportFormat::Json => ",\n",
            ExportFormat::Md => "\n---\n\n",
        };
        if list {
            write(&format!(
                "{{\"version\":{},\"kind\":\"threads\",\"threads\":[\n",
                json::VERSION
            ))?;
        }
        let mut posts = 0;
        let mut first = true;
        for row in &self.threads {
            let Some(opened) = self.app.thread(&row.root)? else { continue };
            posts += opened.thread.posts.len();
            let text = self.text(&opened, now_ms, !list)?;
            if first {
                write(&text)?
            } else {
                write(&format!("{between}{text}"))?
            }
            first = false;
        }
        if list {
            write("\n]}\n")?;
        }
        Ok(posts)
    }

    /// One thread; `alone` when it is not an item of a list in JSON.
    fn text(&self, opened: &ThreadView, now_ms: u64, alone: bool) -> Result<String, CliError> {
        let reading = Reading::of(opened, &self.people, now_ms);
        let text = match self.format {
            ExportFormat::Md => return Ok(markdown::thread(&reading)),
            ExportFormat::Json if alone => {
                json::compact(&Envelope::new("thread", &shape::whole(&reading))).map(|t| t + "\n")
            }
            ExportFormat::Json => json::compact(&shape::whole(&reading)),
        };
        text.map_err(|e| CliError::internal(format!("cannot write JSON: {e}")))
    }

    fn file_name(&self, thread: &Row) -> String {
        let ending = match self.format {
            ExportFormat::Md => "md",
            ExportFormat::Json => "json",
        };
        file_name(&thread.root, &thread.title, thread.started_ms, ending)
    }
}

/// `2001-03-12-what-the-convoy-taught-us-k3f927aa.md`: made of ASCII letters, digits and hyphens
/// alone, so that no title can name another directory or a hidden or reserved file.
fn file_name(root: &EntryId, title: &str, started_ms: u64, ending: &str) -> String {
    let mut slug = String::new();
    for c in title.chars() {
        if slug.len() >= MAX_SLUG {
            break;
        }
        if c.is_ascii_alphanumeric() {
            slug.push(c.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    let date = time::date_of(time::seconds(started_ms))
        .map_or_else(|| "undated".to_owned(), |_| time::day(time::seconds(started_ms)));
    let mut parts = vec![date];
    parts.extend(Some(slug.trim_end_matches('-').to_owned()).filter(|slug| !slug.is_empty()));
    parts.push(root.short().replace('-', ""));
    format!("{}.{ending}", parts.join("-"))
}

/// A file that is being written. It gets its name when it is whole.
struct Fresh {
    path: PathBuf,
    temporary: PathBuf,
    file: BufWriter<File>,
    finished: bool,
}

impl Fresh {
    fn create(path: &Path, force: bool) -> Result<Self, CliError> {
        // A link counts too: what it points to is not ours to write.
        if !force && path.symlink_metadata().is_ok() {
            return Err(CliError::failed("exists", format!("{} exists already", path.display()))
                .hint("--force overwrites it"));
        }
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.part", std::process::id()));
        let temporary = path.with_file_name(name);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&temporary)
            .map_err(|e| CliError::io(format!("write {}", temporary.display()), &e))?;
        let file = BufWriter::new(file);
        Ok(Self { path: path.to_path_buf(), temporary, file, finished: false })
    }

    fn write(&mut self, text: &str) -> Result<(), CliError> {
        let done = self.file.write_all(text.as_bytes());
        done.map_err(|e| CliError::io(format!("write {}", self.path.display()), &e))
    }

    fn finish(mut self) -> Result<(), CliError> {
        let failed = |e| CliError::io(format!("write {}", self.path.display()), &e);
        self.file.flush().map_err(failed)?;
        self.file.get_ref().sync_all().map_err(failed)?;
        fs::rename(&self.temporary, &self.path).map_err(failed)?;
        self.finished = true;
        Ok(())
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        if !self.finished {
            // What is half written is of no use; there is nowhere to report a failure to.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_are_harmless_whatever_the_title() {
        let id = EntryId::new([7; 32]);
        let short = id.short().replace('-', "");
        let name = |title: &str| file_name(&id, title, 984_400_000_000, "md");
        assert_eq!(name("What? The Convoy!"), format!("2001-03-12-what-the-convoy-{short}.md"));
        assert_eq!(name("../../etc/passwd"), format!("2001-03-12-etc-passwd-{short}.md"));
        assert_eq!(name("日本\u{202e}\0/"), format!("2001-03-12-{short}.md"));
        assert!(name(&"x".repeat(1000)).len() < 100);
        assert_eq!(file_name(&id, "a", u64::MAX, "md"), format!("undated-a-{short}.md"));
    }

    #[test]
    fn files_are_whole_and_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.md");
        let mut file = Fresh::create(&path, false).unwrap();
        file.write("one").unwrap();
        assert!(!path.exists());
        file.finish().unwrap();
        assert_eq!(Fresh::create(&path, false).err().unwrap().code, "exists");
        let mut again = Fresh::create(&path, true).unwrap();
        again.write("half").unwrap();
        drop(again);
        assert_eq!(fs::read_to_string(&path).unwrap(), "one");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        let link = dir.path().join("link");
        std::os::unix::fs::symlink("/nowhere", &link).unwrap();
        assert_eq!(Fresh::create(&link, false).err().unwrap().code, "exists");
    }
}
