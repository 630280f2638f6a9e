//! `lanai withdraw`: takes back a post of one's own.

use lanai_crdt::payload::Body;
use lanai_crdt::thread::{PostKind, PostText};

use super::{Context, file, publish};
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
    // What was attached goes along.
    let attached = app.store().files_of(&[post.id])?.into_values().flatten();
    let files = attached.filter(|file| file.own).map(|own| file::withdrawal(&own));
    let ids = app.publish(context, std::iter::once(entry).chain(files).collect())?;
    let id = ids.first().copied().ok_or_else(|| CliError::internal("nothing was written"))?;
    file::drop_withdrawn(context, &app)?;
    if !post.aliases.is_empty() {
        context.ui.warn(
            "others imported the same message; their copies stay, only they can withdraw them",
        );
    }
    publish::report(context, "withdrawn", &id, &spot.thread().root)?;
    Ok(Exit::Done)
}
