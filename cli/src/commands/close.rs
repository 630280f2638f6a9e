//! `lanai close`: sets the state of an ask.

use lanai_crdt::payload::{Body, Mark, ThreadState};
use lanai_crdt::thread::{PostKind, ThreadKind};

use super::{Context, publish, reply};
use crate::app::App;
use crate::args;
use crate::args::CloseArgs;
use crate::error::{CliError, Exit};

/// The state that a word on the command line means.
pub(super) const fn state(word: args::ThreadState) -> ThreadState {
    match word {
        args::ThreadState::Open => ThreadState::Open,
        args::ThreadState::Working => ThreadState::Working,
        args::ThreadState::Answered => ThreadState::Answered,
        args::ThreadState::Closed => ThreadState::Closed,
    }
}

pub(super) fn run(context: &mut Context, args: &CloseArgs) -> Result<Exit, CliError> {
    let wanted = if args.reopen { ThreadState::Open } else { state(args.state) };
    let app = App::open(context)?;
    let spot = app.find_thread(&args.id)?;
    let thread = spot.thread();
    let people = app.people()?;
    if thread.kind == ThreadKind::Note {
        return Err(CliError::failed(
            "no-ask",
            "a note has no state; only asks are open or closed",
        ));
    }
    if !args.outcome.is_empty() {
        let text = args.outcome.join("\n\n");
        if text.trim().is_empty() {
            return Err(CliError::usage("the outcome is empty"));
        }
        let mut entries = vec![app.about(
            &spot,
            &people,
            reply::body(text, true, &reply::wording(&app, &spot)?),
        )?];
        if thread.state != wanted {
            entries.push(app.about(&spot, &people, Body::Mark(Mark::State(wanted)))?);
        }
        let ids = app.publish(context, entries)?;
        let id = ids.first().unwrap_or(&thread.root);
        publish::report(context, "outcome told, now closed", id, &thread.root)?;
        return Ok(Exit::Done);
    }
    if thread.state == wanted {
        context.ui.say(format!("it is {} already", wanted.word()));
        return publish::report_unchanged(context, &thread.root, &thread.root);
    }
    let settled = matches!(thread.state, ThreadState::Answered | ThreadState::Closed);
    if wanted == ThreadState::Working && settled && !app.speaks_for(&spot)? {
        let message = format!(
            "it is {}; only who opened it, leads and stewards may reopen it",
            thread.state.word()
        );
        return Err(CliError::refused(message));
    }
    let entry = app.about(&spot, &people, Body::Mark(Mark::State(wanted)))?;
    let id = app.publish_one(context, entry)?;
    publish::report(context, &format!("now {}", wanted.word()), &id, &thread.root)?;
    let told = thread.posts.iter().any(|post| post.kind == PostKind::Outcome);
    if wanted == ThreadState::Closed && !told && people.me() == Some(thread.author) {
        let root = thread.root.short();
        context.ui.hint(format!(
            "how did it go? `lanai outcome {root}` tells those who look for it later"
        ));
    }
    Ok(Exit::Done)
}
