//! `lanai close`: sets the state of an ask.

use lanai_crdt::payload::{Body, Mark, ThreadState};
use lanai_crdt::thread::ThreadKind;

use super::{Context, publish};
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
    if thread.kind == ThreadKind::Note {
        return Err(CliError::failed(
            "no-ask",
            "a note has no state; only asks are open or closed",
        ));
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
    let people = app.people()?;
    let entry = app.about(&spot, &people, Body::Mark(Mark::State(wanted)))?;
    let id = app.publish_one(context, entry)?;
    publish::report(context, &format!("now {}", wanted.word()), &id, &thread.root)?;
    Ok(Exit::Done)
}
