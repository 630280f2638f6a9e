//! `lanai answer`: marks posts as part of the answer to their ask.

use std::collections::BTreeSet;

use lanai_crdt::payload::{Body, Mark, ThreadState};
use lanai_crdt::thread::{PostKind, PostText, ThreadKind};

use super::{Context, publish};
use crate::app::{App, Spot};
use crate::args::AnswerArgs;
use crate::error::{CliError, Exit};

pub(super) fn run(context: &mut Context, args: &AnswerArgs) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    let people = app.people()?;
    // All of them are looked at before any is marked.
    let spots: Vec<Spot> =
        args.ids.iter().map(|id| app.find_post(id)).collect::<Result<_, CliError>>()?;
    let mut entries = Vec::new();
    let mut marked = BTreeSet::new();
    let mut answered = BTreeSet::new();
    for spot in &spots {
        let (thread, post) = (spot.thread(), spot.post());
        if post.kind == PostKind::Root {
            return Err(CliError::usage("the first post of a thread cannot be its own answer")
                .hint("name a reply; `lanai read` shows their ids"));
        }
        if post.text == PostText::Withdrawn && !args.undo {
            return Err(CliError::failed("withdrawn", "the post was withdrawn"));
        }
        let mark = app.about(spot, &people, Body::Mark(Mark::Answer(!args.undo)))?;
        if post.part_of_answer != args.undo || !marked.insert(post.id) {
            continue;
        }
        entries.push(mark);
        let open = matches!(thread.state, ThreadState::Open | ThreadState::Working);
        if !args.undo && thread.kind == ThreadKind::Ask && open && answered.insert(thread.root) {
            let state = Body::Mark(Mark::State(ThreadState::Answered));
            entries.push(app.about(spot, &people, state)?);
        }
    }
    let Some(first) = spots.first() else { return Ok(Exit::Done) };
    let root = first.thread().root;
    if entries.is_empty() {
        let said = if args.undo { "it is no part of the answer" } else { "it is marked already" };
        context.ui.say(said);
        return publish::report_unchanged(context, &first.post().id, &root);
    }
    let written = app.publish(context, entries)?;
    let said = match (args.undo, marked.len()) {
        (true, _) => "no part of the answer any more".to_owned(),
        (false, 1) => "marked as part of the answer".to_owned(),
        (false, n) => format!("{n} posts are marked as parts of the answer"),
    };
    publish::report(context, &said, written.first().unwrap_or(&first.post().id), &root)?;
    Ok(Exit::Done)
}
