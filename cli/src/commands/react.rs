//! `lanai react`: says something of a post without words, or takes it back.

use lanai_crdt::id::EntryId;
use lanai_crdt::limits::MAX_REFS;
use lanai_crdt::payload::{Body, React, Reaction};
use lanai_node::store::NewEntry;

use super::{Context, publish};
use crate::app::App;
use crate::args;
use crate::args::ReactArgs;
use crate::error::{CliError, Exit};

/// Own reactions that one entry can take back.
const MAX_TAKEN_BACK: usize = MAX_REFS - 2;

pub(super) fn run(context: &mut Context, args: &ReactArgs) -> Result<Exit, CliError> {
    let reaction = match args.kind {
        args::Reaction::Thanks => Reaction::Thanks,
        args::Reaction::Helped => Reaction::Helped,
        args::Reaction::BeenThere => Reaction::BeenThere,
    };
    let app = App::open(context)?;
    let me = app.me()?;
    let spot = app.find_post(&args.id)?;
    let post = spot.post();
    let there = post.reactions.get(&reaction).is_some_and(|members| members.contains(&me));
    let root = spot.thread().root;
    if there != args.undo {
        context.ui.say(if there { "you said so already" } else { "there is nothing to take back" });
        return publish::report_unchanged(context, &post.id, &root);
    }
    let thread = app.thread_named_by(&post.id)?;
    let mut ids = Vec::new();
    if args.undo {
        let own = app.reactions_of(&spot, me, reaction)?;
        for some in own.chunks(MAX_TAKEN_BACK) {
            let mut refs: Vec<EntryId> = vec![thread, post.id];
            refs.extend(some);
            ids.push(NewEntry::new(Body::React(React { reaction, on: false }), refs));
        }
    } else {
        let body = Body::React(React { reaction, on: true });
        ids.push(NewEntry::new(body, [thread, post.id]));
    }
    let written = app.publish(context, ids)?;
    let said = if args.undo { "taken back" } else { "said" };
    let last = written.last().copied().unwrap_or(post.id);
    publish::report(context, said, &last, &root)?;
    Ok(Exit::Done)
}
