//! `lanai react`: says something of a post without words, or takes it back.

use lanai_crdt::payload::{Body, React, Reaction};

use super::{Context, publish};
use crate::app::App;
use crate::args;
use crate::args::ReactArgs;
use crate::error::{CliError, Exit};

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
    let people = app.people()?;
    let entry = app.about(&spot, &people, Body::React(React { reaction, on: !args.undo }))?;
    let id = app.publish_one(context, entry)?;
    let said = match (args.undo, reaction) {
        (true, _) => "taken back",
        (false, Reaction::Thanks) => "thanks said",
        (false, Reaction::Helped) => "noted that it helped you",
        (false, Reaction::BeenThere) => "noted that you have been there",
    };
    publish::report(context, said, &id, &root)?;
    Ok(Exit::Done)
}
