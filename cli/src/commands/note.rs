//! `lanai note`: opens a thread that asks nothing.

use lanai_crdt::payload::{Body, Note};
use lanai_node::store::NewEntry;

use super::{Context, file, publish};
use crate::app::App;
use crate::args::NoteArgs;
use crate::compose::Template;
use crate::error::{CliError, Exit};

const HELP: &str = "\
You tell the whole community something: a story, a sample, an agenda. The first line is the
title, unless you gave one. Markdown is fine.
Nothing from the line above on is published; an empty text publishes nothing.";

pub(super) fn run(context: &mut Context, args: &NoteArgs) -> Result<Exit, CliError> {
    let tags = publish::tags(&args.tags)?;
    if let Some(title) = &args.title {
        publish::titled(Some(title), "")?;
    }
    let app = App::open(context)?;
    file::check_all(&app, &args.attach.attach)?;
    let template = Template { initial: "", help: HELP, readers: None };
    let messages = &args.text.message;
    let written =
        publish::Written::get(context, &app, messages, "note", template, args.title.is_some())?;
    let entry = publish::titled(args.title.as_deref(), &written.text).map(|(title, text)| {
        NewEntry::new(Body::Note(Note { title, text, tags, origin: None }), [])
    });
    let added = file::keep_all(context, &app, &args.attach.attach)?;
    let id = written.publish(context, &app, entry)?;
    file::attach_all(context, &app, added, &id, &id)?;
    publish::report(context, "published", &id, &id)?;
    Ok(Exit::Done)
}
