//! `lanai work`: says that somebody is working on an ask.

use lanai_crdt::payload::{Body, Mark, ThreadState};
use lanai_crdt::thread::ThreadKind;

use super::{Context, publish};
use crate::app::App;
use crate::args::WorkArgs;
use crate::error::{CliError, Exit};

pub(super) fn run(context: &mut Context, args: &WorkArgs) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    let spot = app.find_thread(&args.id)?;
    let thread = spot.thread();
    if thread.kind == ThreadKind::Note {
        return Err(CliError::failed("no-ask", "a note asks nothing that could be worked on"));
    }
    if spot.view().workers.contains(&app.me()?) {
        context.ui.say("you said so already");
        return publish::report_unchanged(context, &thread.root, &thread.root);
    }
    if matches!(thread.state, ThreadState::Answered | ThreadState::Closed)
        && !app.speaks_for(&spot)?
    {
        let message = format!(
            "it is {}; only who opened it, leads and stewards may reopen it",
            thread.state.word()
        );
        return Err(CliError::refused(message));
    }
    let people = app.people()?;
    for worker in &spot.view().workers {
        context.ui.say(people.shown(worker).plain(" is working on it too"));
    }
    let entry = app.about(&spot, &people, Body::Mark(Mark::State(ThreadState::Working)))?;
    let id = app.publish_one(context, entry)?;
    publish::report(context, "others see that you are working on it", &id, &thread.root)?;
    Ok(Exit::Done)
}
