//! `lanai reply`: answers a thread or a post.

use lanai_crdt::id::EntryId;
use lanai_crdt::limits::MAX_WEAVE_DEPS;
use lanai_crdt::payload::{Body, PageKind, Post, PostRole};
use lanai_crdt::text::{clean_block, clean_line};
use lanai_crdt::thread::{PostText, PostView, ThreadKind};

use super::{Context, file, publish};
use crate::app::{App, People, Spot};
use crate::args::{ReplyArgs, TextArgs};
use crate::compose::Template;
use crate::error::{CliError, Exit};

/// Lines of the post that is answered, shown below the scissors line.
const QUOTED_LINES: usize = 200;

pub(super) fn run(context: &mut Context, args: &ReplyArgs) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    let attached = &args.attach.attach;
    if !attached.is_empty() {
        file::refuse_in_talk(&app.find_post(&args.id)?)?;
        file::check_all(&app, attached)?;
    }
    let (spot, id) = write(context, &app, &args.id, &args.text, args.outcome)?;
    let added = file::keep_all(context, &app, attached)?;
    let thread = app.store().entry(&id)?.and_then(|entry| entry.header.refs().first().copied());
    file::attach_all(context, &app, added, &thread.unwrap_or(spot.thread().root), &id)?;
    if spot.view().readers.is_some() {
        let readers = spot.view().readers.as_ref();
        context.ui.say(app.who_can_read(&app.people()?, readers)?);
    }
    let said = if args.outcome { "outcome told" } else { "replied" };
    publish::report(context, said, &id, &spot.thread().root)?;
    Ok(Exit::Done)
}

/// The wording of the question that the writer has before them, where it is not the first one: the
/// heads of the question page.
pub(super) fn wording(app: &App, spot: &Spot) -> Result<Vec<EntryId>, CliError> {
    if spot.thread().kind != ThreadKind::Ask {
        return Ok(Vec::new());
    }
    let page = app.store().page(&spot.thread().root, PageKind::Question)?;
    let mut heads = page.map(|p| p.heads).unwrap_or_default();
    heads.truncate(MAX_WEAVE_DEPS);
    Ok(heads)
}

/// A post as it is published; `met` is the wording of the question that its writer had before them.
pub(super) fn body(text: String, outcome: bool, met: &[EntryId]) -> Body {
    let role = if outcome { PostRole::Outcome } else { PostRole::Reply };
    let met = (!met.is_empty()).then(|| met.iter().map(|h| (*h.as_bytes()).into()).collect());
    Body::Post(Post { role, text, origin: None, met })
}

/// Gets the text and publishes it below what `typed` means; gives what that was, and the post.
pub(super) fn write(
    context: &mut Context,
    app: &App,
    typed: &str,
    text: &TextArgs,
    outcome: bool,
) -> Result<(Spot, EntryId), CliError> {
    let people = app.people()?;
    let spot = app.find_post(typed)?;
    let help = help(&spot, &people, outcome);
    let purpose = format!("reply {}", spot.post().id.short());
    let template = Template { initial: "", help: &help, readers: spot.view().readers.as_ref() };
    let written = publish::Written::get(context, app, &text.message, &purpose, template, false)?;
    let met = wording(app, &spot)?;
    let entry = app.about(&spot, &people, body(written.text.clone(), outcome, &met));
    let id = written.publish(context, app, entry)?;
    Ok((spot, id))
}

fn help(spot: &Spot, people: &People, outcome: bool) -> String {
    let post = spot.post();
    let name = author(post, people);
    let what = if outcome {
        "You tell how it went: what you did, and with what result."
    } else {
        "You reply. Markdown is fine."
    };
    let title = clean_line(&spot.thread().title).into_owned();
    let mut help = format!(
        "{what}\nNothing from the line above on is published; an empty text publishes nothing.\n\n\
         In \"{title}\", {name} wrote:\n"
    );
    if let PostText::Current(text) = &post.text {
        for line in clean_block(text).lines().take(QUOTED_LINES) {
            help.push_str("> ");
            help.push_str(line);
            help.push('\n');
        }
    }
    help
}

fn author(post: &PostView, people: &People) -> String {
    match &post.origin {
        Some(origin) => clean_line(&origin.name).into_owned(),
        None => people.shown(&post.author).to_plain(),
    }
}
