//! `lanai edit`: new text for a post of one's own.

use lanai_crdt::id::EntryId;
use lanai_crdt::limits::MAX_REFS;
use lanai_crdt::payload::{Body, Edit};
use lanai_crdt::thread::{PostText, PostView};
use lanai_node::store::NewEntry;

use super::{Context, publish};
use crate::app::App;
use crate::args::EditArgs;
use crate::compose::Template;
use crate::error::{CliError, Exit};

const HELP: &str = "\
Change your post. Earlier versions stay to be read.
Nothing from the line above on is published.";

/// Edits that a new one can name beside the thread and the post.
const MAX_SUPERSEDED: usize = MAX_REFS - 2;

pub(super) fn run(context: &mut Context, args: &EditArgs) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    let people = app.people()?;
    let spot = app.find_post(&args.id)?;
    let copy = app.own_copy(&spot, &people)?;
    let post = spot.post();
    let PostText::Current(current) = &post.text else {
        return Err(CliError::failed("withdrawn", "the post was withdrawn and cannot be changed"));
    };
    let purpose = format!("edit {}", post.id.short());
    let template = Template { initial: current, help: HELP };
    let messages = &args.text.message;
    let written = publish::Written::get(context, &app, messages, &purpose, template, false)?;
    if written.text.trim_end() == current.trim_end() {
        written.forget();
        context.ui.say("the text is the same; nothing was published");
        return publish::report_unchanged(context, &post.id, &spot.thread().root);
    }
    let mut refs = vec![copy.thread, copy.id];
    refs.extend(superseded(post));
    let entry = NewEntry::new(Body::Edit(Edit { text: written.text.clone() }), refs);
    let id = written.publish(context, &app, Ok(entry))?;
    publish::report(context, "edited", &id, &spot.thread().root)?;
    Ok(Exit::Done)
}

/// The edits that a new one replaces: the latest, which are last. Naming the greatest is what
/// makes the new one current.
fn superseded(post: &PostView) -> impl Iterator<Item = EntryId> + '_ {
    post.edits.iter().rev().take(MAX_SUPERSEDED).map(|edit| edit.id)
}
