//! `lanai edit`: new text for a post of one's own.

use lanai_crdt::payload::{Body, Edit};
use lanai_crdt::thread::{PostKind, PostText, ThreadKind};

use super::{Context, publish};
use crate::app::App;
use crate::args::EditArgs;
use crate::compose::Template;
use crate::error::{CliError, Exit};

const HELP: &str = "\
Change your post. Earlier versions stay to be read.
Nothing from the line above on is published.";

pub(super) fn run(context: &mut Context, args: &EditArgs) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    let people = app.people()?;
    let spot = app.find_post(&args.id)?;
    if spot.post().kind == PostKind::Root && spot.thread().kind == ThreadKind::Ask {
        let short = spot.thread().root.short();
        if !app.may_write_question(&spot)? {
            let message = "the question is written by who asked it, leads and stewards";
            return Err(CliError::refused(message)
                .hint(format!("`lanai reframe {short}` proposes a wording")));
        }
        return Err(CliError::failed("question-page", "a question is refined on its page")
            .hint(format!("lanai page edit {short} --question")));
    }
    let probe = Body::Edit(Edit { text: String::new() });
    // Refused before somebody writes a long text for nothing.
    app.about(&spot, &people, probe)?;
    let post = spot.post();
    let PostText::Current(current) = &post.text else {
        return Err(CliError::failed("withdrawn", "the post was withdrawn and cannot be changed"));
    };
    let purpose = format!("edit {}", post.id.short());
    let template = Template { initial: current, help: HELP, readers: spot.view().readers.as_ref() };
    let messages = &args.text.message;
    let written = publish::Written::get(context, &app, messages, &purpose, template, false)?;
    if written.text.trim_end() == current.trim_end() {
        written.forget();
        context.ui.say("the text is the same; nothing was published");
        return publish::report_unchanged(context, &post.id, &spot.thread().root);
    }
    let entry = app.about(&spot, &people, Body::Edit(Edit { text: written.text.clone() }));
    let id = written.publish(context, &app, entry)?;
    publish::report(context, "edited", &id, &spot.thread().root)?;
    Ok(Exit::Done)
}
