//! `lanai read`: a thread as a tree.
//!
//! What was shown on a terminal counts as read. What went into a pipe or out as JSON does not:
//! nobody may have looked at it.

use std::collections::BTreeSet;
use std::time::Duration;

use lanai_crdt::id::EntryId;
use lanai_crdt::thread::PostView;
use lanai_node::store::{FileView, ThreadView};
use serde::Serialize;

use super::{Context, file, outcome as outcomes, page, status, talk};
use crate::app::{App, People};
use crate::args::ReadArgs;
use crate::error::{CliError, Exit};
use crate::layout::{Style, Text};
use crate::ui::Verbosity;
use crate::view::tree::{self, Look};
use crate::view::{Attached, Holders, Reading, shape};

/// How often the store is asked whether something came. One indexed look-up each time.
const POLL: Duration = Duration::from_millis(300);

/// A post that came while following, as JSON on a line of its own.
#[derive(Serialize)]
struct Came {
    post: shape::PostShape,
}

pub(super) fn run(context: &mut Context, args: &ReadArgs) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    let people = app.people()?;
    let arrived = app.store().newest_arrival()?;
    let spot = app.find_thread(&args.id)?;
    let named = spot.post().id;
    let focus = (named != spot.thread().root).then_some(named);
    let view = spot.into_view();
    let holders = context.ui.verbosity() >= Verbosity::Verbose;
    let look = Look { flat: args.flat, history: args.history, hidden: args.hidden, holders, focus };
    let now_ms = (context.clock)();
    let held = holders_of(&app, &view)?;
    let attached = files_of(&app, &view)?;
    let reading = Reading {
        holders: held.as_ref(),
        files: Some(&attached),
        ..Reading::of(&view, &people, now_ms)
    };
    let wanted = |post: &&PostView| !args.unread || view.unread.contains(&post.id);

    if context.ui.is_json() {
        let mut whole = shape::whole(&reading);
        whole.posts.retain(|post| !args.unread || post.unread);
        if args.follow {
            context.ui.json_line("thread", &whole)?;
            return Follow::new(&app, &view, args, arrived).run(context, look);
        }
        context.ui.json("thread", &whole)?;
        return Ok(Exit::Done);
    }

    say_what_lacks(context, &view);
    let mut posts: Vec<&PostView> = view.thread.posts.iter().filter(wanted).collect();
    if posts.is_empty() {
        context.ui.say("nothing new in it; without --unread all of it is shown");
    } else {
        if args.flat {
            posts.sort_by_key(|post| (post.sort_millis, post.id));
        }
        if !args.follow {
            context.ui.start_pager();
        }
        let shown: Vec<EntryId> = posts.iter().map(|post| post.id).collect();
        tree::heading(&mut context.ui, &reading)?;
        if !args.unread {
            page::answer_above(context, &app, &people, &view.thread.root)?;
        }
        tree::posts(&mut context.ui, &reading, posts, look)?;
        if view.readers.is_some() {
            talk::tell_proposals(context, &app, &people, &view.thread.root)?;
        }
        context.ui.flush()?;
        mark_read(context, &app, &shown, args)?;
    }
    if args.follow {
        return Follow::new(&app, &view, args, arrived).run(context, look);
    }
    if let Some(due) =
        outcomes::due(context, &app)?.iter().find(|d| d.thread.root == view.thread.root)
    {
        context.ui.end_pager()?;
        outcomes::remind(context, due);
    }
    Ok(Exit::Done)
}

/// Who is known to hold each post of a thread; nothing where nobody else could.
fn holders_of(app: &App, view: &ThreadView) -> Result<Option<Holders>, CliError> {
    if status::other_devices(app)?.is_empty() {
        return Ok(None);
    }
    let posts: Vec<EntryId> = view.thread.posts.iter().map(|post| post.id).collect();
    let holders = app.store().holders(&posts)?;
    Ok(Some(posts.into_iter().zip(holders).collect()))
}

/// The files attached to each post of a thread, and whether they are here.
fn files_of(app: &App, view: &ThreadView) -> Result<Attached, CliError> {
    let posts: Vec<EntryId> = view.thread.posts.iter().flat_map(ids).collect();
    let files = app.store().files_of(&posts)?;
    if files.is_empty() {
        return Ok(Attached::new());
    }
    let disk = file::OnDisk::of(app)?;
    let with_state = |files: Vec<FileView>| {
        files.into_iter().map(|file| (disk.state(&file), file)).map(|(here, file)| (file, here))
    };
    Ok(files.into_iter().map(|(post, files)| (post, with_state(files).collect())).collect())
}

/// What was shown on a terminal is read. A post that came since was not shown.
fn mark_read(
    context: &Context,
    app: &App,
    shown: &[EntryId],
    args: &ReadArgs,
) -> Result<(), CliError> {
    if context.ui.out_is_terminal() && !context.ui.is_json() && !args.keep_unread {
        app.store().mark_posts_read(shown)?;
    }
    Ok(())
}

fn say_what_lacks(context: &mut Context, view: &ThreadView) {
    let lacks = |count: u64, what: &str, brings: &str| {
        let (noun, verb) = if count == 1 { ("entry", "is") } else { ("entries", "are") };
        Text::from(format!("{count} {noun} of this thread {verb} {what}; {brings}"))
    };
    if view.missing > 0 {
        context.ui.warn(lacks(
            view.missing,
            "not here yet",
            "`lanai sync` asks peers for the rest",
        ));
    }
    if view.locked > 0 {
        context.ui.warn(lacks(
            view.locked,
            "sealed under a key that is not here",
            "the next sync brings it, if it is meant for this device",
        ));
    }
}

/// Showing posts as they come.
struct Follow<'a> {
    app: &'a App,
    args: &'a ReadArgs,
    root: EntryId,
    shown: BTreeSet<EntryId>,
    arrived: i64,
}

impl<'a> Follow<'a> {
    fn new(app: &'a App, view: &ThreadView, args: &'a ReadArgs, arrived: i64) -> Self {
        let shown = view.thread.posts.iter().flat_map(ids).collect();
        Self { app, args, root: view.thread.root, shown, arrived }
    }

    /// Until Ctrl-C, or nobody reads any more.
    fn run(mut self, context: &mut Context, look: Look) -> Result<Exit, CliError> {
        if context.ui.out_is_terminal() {
            context.ui.say(Text::styled(Style::Dim, "waiting for more; Ctrl-C ends"));
        }
        loop {
            std::thread::sleep(POLL);
            self.step(context, look)?;
        }
    }

    /// Shows what came since the last time; how much that was.
    fn step(&mut self, context: &mut Context, look: Look) -> Result<usize, CliError> {
        let arrived = self.app.store().newest_arrival()?;
        if arrived == self.arrived {
            return Ok(0);
        }
        self.arrived = arrived;
        let Some(view) = self.app.thread(&self.root)? else { return Ok(0) };
        let is_new = |post: &&PostView| !ids(post).any(|id| self.shown.contains(&id));
        let new: Vec<&PostView> = view.thread.posts.iter().filter(is_new).collect();
        if new.is_empty() {
            return Ok(0);
        }
        let people: People = self.app.people()?;
        let held = holders_of(self.app, &view)?;
        let attached = files_of(self.app, &view)?;
        let reading = Reading {
            holders: held.as_ref(),
            files: Some(&attached),
            ..Reading::of(&view, &people, (context.clock)())
        };
        if context.ui.is_json() {
            for post in &new {
                context.ui.json_line("post", &Came { post: shape::post(post, &reading) })?;
            }
        } else {
            // Without the tree above it a post has to say whom it answers.
            let look = Look { flat: true, ..look };
            tree::posts(&mut context.ui, &reading, new.iter().copied(), look)?;
            context.ui.flush()?;
            let shown: Vec<EntryId> = new.iter().map(|post| post.id).collect();
            mark_read(context, self.app, &shown, self.args)?;
        }
        let count = new.len();
        self.shown.extend(view.thread.posts.iter().flat_map(ids));
        Ok(count)
    }
}

fn ids(post: &PostView) -> impl Iterator<Item = EntryId> + '_ {
    std::iter::once(post.id).chain(post.aliases.iter().copied())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::village::House;

    fn args(id: &str) -> ReadArgs {
        let id = id.to_owned();
        let (flat, history, hidden) = (false, false, false);
        let (unread, keep_unread) = (false, false);
        ReadArgs { id, follow: true, flat, history, hidden, unread, keep_unread }
    }

    #[test]
    fn what_comes_while_following_is_shown_once() {
        let ann = House::founder("Ann");
        let bob = ann.neighbour("Bob");
        let note = ann.note("N", "text");
        bob.pull(&ann);
        for (columns, json) in [(Some(80), false), (None, true)] {
            let mut bench = ann.bench(columns, json);
            let app = App::open(&mut bench.context).unwrap();
            let args = args(&note.full());
            let view = app.thread(&note).unwrap().unwrap();
            let arrived = app.store().newest_arrival().unwrap();
            let mut follow = Follow::new(&app, &view, &args, arrived);
            let step = |follow: &mut Follow<'_>, bench: &mut crate::commands::testing::Bench| {
                follow.step(&mut bench.context, Look::default()).unwrap()
            };
            assert_eq!(step(&mut follow, &mut bench), 0);
            ann.note("Other", "not in this thread");
            assert_eq!(step(&mut follow, &mut bench), 0);
            bob.post([note], "It came.");
            ann.pull(&bob);
            assert_eq!(step(&mut follow, &mut bench), 1);
            assert_eq!(step(&mut follow, &mut bench), 0);
            let text = bench.out.text();
            if json {
                let value: serde_json::Value = serde_json::from_str(&text).unwrap();
                assert_eq!(value["kind"], "post");
                assert_eq!(value["post"]["text"], "It came.");
                assert_eq!(value["post"]["unread"], true);
            } else {
                assert!(text.contains("Bob to Ann ("), "{text}");
                assert!(text.contains("It came."), "{text}");
                assert!(app.thread(&note).unwrap().unwrap().unread.is_empty());
            }
        }
    }
}
