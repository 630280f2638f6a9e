//! `lanai withdraw`: takes back a post of one's own.

use lanai_crdt::payload::Body;
use lanai_crdt::thread::{PostKind, PostText};

use super::{Context, publish};
use crate::app::App;
use crate::args::WithdrawArgs;
use crate::error::{CliError, Exit};
use crate::layout::{Style, Text};

/// Columns of the text shown in the question.
const EXCERPT: usize = 60;

pub(super) fn run(context: &mut Context, args: &WithdrawArgs) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    let people = app.people()?;
    let spot = app.find_post(&args.id)?;
    let post = spot.post();
    let PostText::Current(text) = &post.text else {
        context.ui.say("it is withdrawn already");
        return publish::report_unchanged(context, &post.id, &spot.thread().root);
    };
    let entry = app.about(&spot, &people, Body::Withdraw)?;
    let what = if post.kind == PostKind::Root { "your thread" } else { "your post" };
    let excerpt = if post.kind == PostKind::Root { &spot.thread().title } else { text };
    let question = Text::from(format!("withdraw {what} "))
        .with(Style::Id, post.id.short())
        .plain(" \"")
        .then(Text::from(excerpt).truncated(EXCERPT))
        .plain("\"? It cannot be undone.");
    context.ui.confirm(question, args.yes)?;
    let id = app.publish_one(context, entry)?;
    if !post.aliases.is_empty() {
        context.ui.warn(
            "others imported the same message; their copies stay, only they can withdraw them",
        );
    }
    publish::report(context, "withdrawn", &id, &spot.thread().root)?;
    Ok(Exit::Done)
}
