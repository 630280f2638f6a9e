//! `lanai answer`: marks a post as part of the answer to its ask.

use lanai_crdt::payload::{Body, Mark, ThreadState};
use lanai_crdt::thread::{PostKind, PostText, ThreadKind};

use super::{Context, publish};
use crate::app::App;
use crate::args::AnswerArgs;
use crate::error::{CliError, Exit};

pub(super) fn run(context: &mut Context, args: &AnswerArgs) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    let spot = app.find_post(&args.id)?;
    let (thread, post) = (spot.thread(), spot.post());
    if post.kind == PostKind::Root {
        return Err(CliError::usage("the first post of a thread cannot be its own answer")
            .hint("name a reply; `lanai read` shows their ids"));
    }
    if post.text == PostText::Withdrawn && !args.undo {
        return Err(CliError::failed("withdrawn", "the post was withdrawn"));
    }
    let people = app.people()?;
    let mark = app.about(&spot, &people, Body::Mark(Mark::Answer(!args.undo)))?;
    if post.part_of_answer != args.undo {
        let said = if args.undo { "it is no part of the answer" } else { "it is marked already" };
        context.ui.say(said);
        return publish::report_unchanged(context, &post.id, &thread.root);
    }
    let mut entries = vec![mark];
    let open = matches!(thread.state, ThreadState::Open | ThreadState::Working);
    if !args.undo && thread.kind == ThreadKind::Ask && open {
        let answered = Body::Mark(Mark::State(ThreadState::Answered));
        entries.push(app.about(&spot, &people, answered)?);
    }
    let written = app.publish(context, entries)?;
    let said =
        if args.undo { "no part of the answer any more" } else { "marked as part of the answer" };
    publish::report(context, said, written.first().unwrap_or(&post.id), &thread.root)?;
    Ok(Exit::Done)
}
