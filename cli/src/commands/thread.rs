//! `lanai thread`, `lanai hide` and `lanai unhide`: what leads and stewards do with threads and posts.

use std::fmt::Write as _;

use lanai_crdt::id::EntryId;
use lanai_crdt::limits::MAX_TAG_BYTES;
use lanai_crdt::payload::{Body, Feature, Hide, Pin, Tag, ThreadAct, ThreadOp};
use lanai_crdt::thread::{ActStanding, ActView, LeadAct, place_of};
use serde::Serialize;

use super::{Context, publish};
use crate::app::{App, Person, Spot};
use crate::args::{
    BackArgs, HideArgs, MergeArgs, MoveArgs, RetitleArgs, SplitArgs, SwitchArgs, TagArgs,
    ThreadCommand, ThreadLogArgs, UnhideArgs,
};
use crate::error::{CliError, Exit};
use crate::layout::{Style, Table, Text};
use crate::time;

pub(super) fn run(context: &mut Context, command: &ThreadCommand) -> Result<Exit, CliError> {
    match command {
        ThreadCommand::Split(args) => split(context, args),
        ThreadCommand::Merge(args) => merge(context, args),
        ThreadCommand::Move(args) => move_post(context, args),
        ThreadCommand::Back(args) => back(context, args),
        ThreadCommand::Retitle(args) => retitle(context, args),
        ThreadCommand::Pin(args) => pin(context, args, true),
        ThreadCommand::Unpin(args) => pin(context, args, false),
        ThreadCommand::Feature(args) => feature(context, args, true),
        ThreadCommand::Unfeature(args) => feature(context, args, false),
        ThreadCommand::Tag(args) => tag(context, args),
        ThreadCommand::Log(args) => log(context, args),
    }
}

fn op(act: ThreadAct, reason: Option<&String>) -> Body {
    Body::ThreadOp(ThreadOp { act, reason: reason.cloned() })
}

/// Publishes an act on a post, and says it. The thread to read afterwards is that of `read`.
fn act(
    context: &mut Context,
    app: &App,
    spot: &Spot,
    on: &EntryId,
    body: Body,
    said: &str,
    read: &EntryId,
) -> Result<Exit, CliError> {
    let people = app.people()?;
    let entry = app.act_on(spot, &people, on, body)?;
    let id = app.publish_one(context, entry)?;
    publish::report(context, said, &id, read)?;
    Ok(Exit::Done)
}

fn split(context: &mut Context, args: &SplitArgs) -> Result<Exit, CliError> {
    let (title, _) = publish::titled(Some(&args.title), "")?;
    let app = App::open(context)?;
    let spot = app.find_post(&args.id)?;
    let id = spot.post().id;
    let body = op(ThreadAct::Split(title, args.ask), args.reason.as_ref());
    act(context, &app, &spot, &id, body, "a thread of its own now", &id)
}

/// The thread that an id means, unless it has become a part of another one.
fn whole_thread(app: &App, typed: &str) -> Result<Spot, CliError> {
    let spot = app.find_thread(typed)?;
    let (thread, id) = (spot.thread(), spot.post().id);
    if thread.absorbed.contains(&id) {
        let (id, root) = (id.short(), thread.root.short());
        let message = format!("it is a part of the thread {root} \"{}\" now", thread.title);
        return Err(CliError::failed("merged", message)
            .hint(format!("`lanai thread back {id}` makes it a thread again")));
    }
    Ok(spot)
}

fn under(
    context: &mut Context,
    app: &App,
    spot: &Spot,
    to: &Spot,
    on: &EntryId,
    reason: Option<&String>,
    said: &str,
) -> Result<Exit, CliError> {
    let below = to.post().id;
    let entries = app.store().thread_entries(&to.thread().root)?;
    let (thread, post) = place_of(&entries, &below)
        .ok_or_else(|| CliError::not_found("the post to put it under is not here"))?;
    let act_body = ThreadAct::Under((*thread.as_bytes()).into(), (*post.as_bytes()).into());
    act(context, app, spot, on, op(act_body, reason), said, &to.thread().root)
}

fn merge(context: &mut Context, args: &MergeArgs) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    let spot = whole_thread(&app, &args.id)?;
    let root = spot.thread().root;
    if spot.post().id != root {
        let post = spot.post().id.short();
        return Err(CliError::failed("no-thread", format!("{post} is a post, not a thread"))
            .hint(format!("`lanai thread move {post} --to {}` moves a post", args.into)));
    }
    let to = app.find_thread(&args.into)?;
    if to.thread().root == root {
        return Err(CliError::failed("same-thread", "that is the same thread"));
    }
    under(context, &app, &spot, &to, &root, args.reason.as_ref(), "merged")
}

fn move_post(context: &mut Context, args: &MoveArgs) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    let spot = app.find_post(&args.id)?;
    let id = spot.post().id;
    if id == spot.thread().root && !spot.thread().split {
        let (id, to) = (id.short(), &args.to);
        return Err(CliError::failed("is-thread", format!("{id} is a whole thread"))
            .hint(format!("`lanai thread merge {id} --into {to}` puts it below another one")));
    }
    let to = app.find_post(&args.to)?;
    under(context, &app, &spot, &to, &id, args.reason.as_ref(), "moved")
}

fn back(context: &mut Context, args: &BackArgs) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    let spot = app.find_post(&args.id)?;
    let id = spot.post().id;
    let body = op(ThreadAct::Back, args.reason.as_ref());
    act(context, &app, &spot, &id, body, "back where its author put it", &id)
}

fn retitle(context: &mut Context, args: &RetitleArgs) -> Result<Exit, CliError> {
    let (title, _) = publish::titled(Some(&args.title), "")?;
    let app = App::open(context)?;
    let spot = whole_thread(&app, &args.id)?;
    let root = spot.thread().root;
    if spot.thread().title == title {
        context.ui.say("it is called so already");
        return publish::report_unchanged(context, &root, &root);
    }
    let body = op(ThreadAct::Retitle(title), args.reason.as_ref());
    act(context, &app, &spot, &root, body, "retitled", &root)
}

fn pin(context: &mut Context, args: &SwitchArgs, on: bool) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    let spot = whole_thread(&app, &args.id)?;
    let root = spot.thread().root;
    if spot.thread().pinned.is_some() == on {
        context.ui.say(if on { "it is pinned already" } else { "it is not pinned" });
        return publish::report_unchanged(context, &root, &root);
    }
    let body = Body::Pin(Pin { on, reason: args.reason.clone() });
    act(context, &app, &spot, &root, body, if on { "pinned" } else { "not pinned any more" }, &root)
}

fn feature(context: &mut Context, args: &SwitchArgs, on: bool) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    let spot = app.find_post(&args.id)?;
    let (id, root) = (spot.post().id, spot.thread().root);
    if spot.post().featured.is_some() == on {
        context.ui.say(if on { "it is featured already" } else { "it is not featured" });
        return publish::report_unchanged(context, &id, &root);
    }
    let body = Body::Feature(Feature { on, reason: args.reason.clone() });
    let said = if on { "featured" } else { "not featured any more" };
    act(context, &app, &spot, &id, body, said, &root)
}

/// Tags with their signs, each once: the last word on it holds.
fn signed_tags(given: &[String]) -> Result<Vec<(String, bool)>, CliError> {
    let mut tags: Vec<(String, bool)> = Vec::new();
    for word in given {
        let (on, tag) = match (word.strip_prefix('+'), word.strip_prefix('-')) {
            (Some(tag), _) => (true, tag),
            (None, Some(tag)) if !tag.starts_with('-') => (false, tag),
            (None, Some(_)) => {
                return Err(CliError::usage(format!("\"{word}\" is no tag"))
                    .hint("options stand before the tags: `lanai --json thread tag ID +TAG`"));
            }
            (None, None) => {
                return Err(CliError::usage(format!("\"{word}\" has no sign"))
                    .hint(format!("+{word} puts it on, -{word} takes it off")));
            }
        };
        let tag = tag.trim().trim_start_matches('#').to_lowercase();
        if tag.is_empty() || tag.len() > MAX_TAG_BYTES {
            return Err(CliError::usage(format!("a tag has 1 to {MAX_TAG_BYTES} bytes")));
        }
        tags.retain(|(other, _)| *other != tag);
        tags.push((tag, on));
    }
    Ok(tags)
}

fn tag(context: &mut Context, args: &TagArgs) -> Result<Exit, CliError> {
    let wanted = signed_tags(&args.tags)?;
    let app = App::open(context)?;
    let spot = whole_thread(&app, &args.id)?;
    let thread = spot.thread();
    let root = thread.root;
    let has = |tag: &str| thread.tags.iter().any(|t| t.to_lowercase() == tag);
    let people = app.people()?;
    let mut entries = Vec::new();
    for (tag, on) in wanted.into_iter().filter(|(tag, on)| has(tag) != *on) {
        entries.push(app.act_on(&spot, &people, &root, Body::Tag(Tag { tag, on }))?);
    }
    if entries.is_empty() {
        context.ui.say("its tags are so already");
        return publish::report_unchanged(context, &root, &root);
    }
    let ids = app.publish(context, entries)?;
    let last = ids.last().copied().unwrap_or(root);
    publish::report(context, "tagged", &last, &root)?;
    Ok(Exit::Done)
}

pub(super) fn hide(context: &mut Context, args: &HideArgs) -> Result<Exit, CliError> {
    switch_hidden(context, &args.id, true, Some(&args.reason))
}

pub(super) fn unhide(context: &mut Context, args: &UnhideArgs) -> Result<Exit, CliError> {
    switch_hidden(context, &args.id, false, args.reason.as_ref())
}

fn switch_hidden(
    context: &mut Context,
    typed: &str,
    on: bool,
    reason: Option<&String>,
) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    let spot = app.find_post(typed)?;
    let (id, root) = (spot.post().id, spot.thread().root);
    if spot.post().hidden.is_some() == on {
        context.ui.say(if on { "it is hidden already" } else { "it is not hidden" });
        return publish::report_unchanged(context, &id, &root);
    }
    let body = Body::Hide(Hide { on, reason: reason.cloned() });
    act(context, &app, &spot, &id, body, if on { "hidden" } else { "not hidden any more" }, &root)
}

/// An act, for `--json`.
#[derive(Serialize)]
struct ActShape {
    id: String,
    by: Person,
    time: Option<String>,
    post: String,
    act: &'static str,
    detail: Option<String>,
    reason: Option<String>,
    standing: &'static str,
}

#[derive(Serialize)]
struct Log {
    thread: String,
    title: String,
    acts: Vec<ActShape>,
}

fn word(act: &LeadAct) -> &'static str {
    match act {
        LeadAct::Split { .. } => "split",
        LeadAct::Under { thread, post } if thread == post => "put under a thread",
        LeadAct::Under { .. } => "put under a post",
        LeadAct::Back => "back",
        LeadAct::Retitle(_) => "retitle",
        LeadAct::Hide(true) => "hide",
        LeadAct::Hide(false) => "unhide",
        LeadAct::Pin(true) => "pin",
        LeadAct::Pin(false) => "unpin",
        LeadAct::Feature(true) => "feature",
        LeadAct::Feature(false) => "unfeature",
        LeadAct::Tag { on: true, .. } => "tag",
        LeadAct::Tag { on: false, .. } => "untag",
    }
}

fn detail(act: &LeadAct, whole: bool) -> Option<String> {
    match act {
        LeadAct::Split { title, .. } | LeadAct::Retitle(title) => Some(title.clone()),
        LeadAct::Under { post, .. } => Some(if whole { post.full() } else { post.short() }),
        LeadAct::Tag { tag, .. } => Some(tag.clone()),
        _ => None,
    }
}

fn standing(act: &ActView) -> &'static str {
    match act.standing {
        ActStanding::InForce => "in force",
        ActStanding::Idle => "no effect now",
        ActStanding::Replaced => "replaced",
    }
}

fn log(context: &mut Context, args: &ThreadLogArgs) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    let people = app.people()?;
    let spot = app.find_thread(&args.id)?;
    let thread = spot.thread();
    if context.ui.is_json() {
        let shape = |act: &ActView| ActShape {
            id: act.entry.full(),
            by: people.person(&act.by),
            time: time::rfc3339(time::seconds(act.time.millis())),
            post: act.post.full(),
            act: word(&act.act),
            detail: detail(&act.act, true),
            reason: act.reason.clone(),
            standing: standing(act),
        };
        let acts = thread.acts.iter().map(shape).collect();
        let log = Log { thread: thread.root.full(), title: thread.title.clone(), acts };
        context.ui.json("thread-log", &log)?;
        return Ok(Exit::Done);
    }
    if thread.acts.is_empty() {
        context.ui.say("nobody did anything with it");
        return Ok(Exit::Done);
    }
    let terminal = context.ui.out_is_terminal();
    let now = context.now();
    let mut table = Table::new()
        .column("WHEN")
        .flexible("WHO")
        .column("POST")
        .flexible("WHAT")
        .flexible("WHY")
        .column("NOW");
    for act in &thread.acts {
        let mut what = word(&act.act).to_owned();
        if let Some(detail) = detail(&act.act, !terminal) {
            // Writing to a string does not fail.
            let _ = write!(what, ": {detail}");
        }
        let style = if act.standing == ActStanding::InForce { Style::Plain } else { Style::Dim };
        table.row([
            Text::styled(Style::Dim, super::threads::when(act.time.millis(), now, terminal)),
            people.shown(&act.by),
            Text::styled(Style::Id, if terminal { act.post.short() } else { act.post.full() }),
            Text::styled(style, what),
            Text::styled(style, act.reason.as_deref().unwrap_or_default()),
            Text::styled(style, standing(act)),
        ]);
    }
    context.ui.start_pager();
    context.ui.table(&table)?;
    Ok(Exit::Done)
}
