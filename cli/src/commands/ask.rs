//! `lanai ask`: opens a thread that asks.
//!
//! Before it is sent, earlier threads and people who may know are shown. At a terminal one can be
//! read, and when it helped nothing is sent: the helpful post is told so instead.

use lanai_crdt::payload::{Ask, Body, Help as CrdtHelp};
use lanai_node::store::NewEntry;

use super::ask_form::{self, Form};
use super::hints::{self, Hints, Verdict};
use super::{Context, file, publish};
use crate::app::App;
use crate::args::{AskArgs, Help};
use crate::compose::Template;
use crate::error::{CliError, Exit};
use crate::time;

const HELP: &str = "\
You ask the whole community. The first line is the question, the text below it the situation. The
sections are offers: leave empty what does not fit. \"By when\" is 2026-03-06, tomorrow 18:00 or 3d;
\"What would help\" is any of: facts, document, talk, heard. Markdown is fine.
Nothing from the line above on is published; an empty text publishes nothing.";

const HELP_WITH_TITLE: &str = "\
You ask the whole community. Describe the situation above the sections, which are offers: leave
empty what does not fit. \"By when\" is 2026-03-06, tomorrow 18:00 or 3d; \"What would help\" is any
of: facts, document, talk, heard. Markdown is fine.
Nothing from the line above on is published; an empty text publishes nothing.";

pub(super) fn run(context: &mut Context, args: &AskArgs) -> Result<Exit, CliError> {
    let tags = publish::tags(&args.tags)?;
    let now = context.now();
    let need_by = args.by.as_deref().map(|text| need_by(text, now)).transpose()?;
    if let Some(title) = &args.title {
        publish::titled(Some(title), "")?;
    }
    let app = App::open(context)?;
    file::check_all(&app, &args.attach.attach)?;
    let help = if args.title.is_some() { HELP_WITH_TITLE } else { HELP };
    let given =
        [args.decide.is_some(), args.by.is_some(), args.tried.is_some(), !args.helps.is_empty()];
    let form = ask_form::offer(given);
    let template = Template { initial: &form, help, readers: None };
    let in_editor = args.text.message.is_empty() && context.ui.input_is_terminal();
    let written = publish::Written::get(
        context,
        &app,
        &args.text.message,
        "ask",
        template,
        args.title.is_some(),
    )?;
    let form = match in_editor {
        true => ask_form::read(&written.text),
        false => Form { text: written.text.clone(), ..Form::default() },
    };
    let ask = match filled(args, form, tags, need_by, now) {
        Ok(ask) => ask,
        Err(error) => return Err(written.kept(error)),
    };
    if args.dry_run {
        return only_hints(context, &app, &ask);
    }
    let people = app.people()?;
    let hints = match args.no_hints {
        true => Hints::default(),
        false => Hints::find(&app, &people, &text_of(&ask))?,
    };
    let at_terminal = context.ui.can_ask() && !context.ui.is_json();
    if at_terminal {
        let verdict = match hints.offer(context, &app, &people) {
            Ok(verdict) => verdict,
            Err(error) => return Err(written.kept(error)),
        };
        if let Verdict::Helped(similar) = verdict {
            hints::helped(context, &app, &people, &similar)?;
            written.forget();
            context
                .ui
                .say("good; nothing was asked, and the post is marked as one that helped you");
            context.ui.hint(format!("lanai read {}", similar.thread.short()));
            return Ok(Exit::Done);
        }
    }
    let added = file::keep_all(context, &app, &args.attach.attach)?;
    let id = written.publish(context, &app, Ok(NewEntry::new(Body::Ask(ask), [])))?;
    file::attach_all(context, &app, added, &id, &id)?;
    publish::report(context, "asked", &id, &id)?;
    if !at_terminal {
        hints.tell(context, &people);
    }
    Ok(Exit::Done)
}

/// The ask that was written, by the options and the form; options go first.
fn filled(
    args: &AskArgs,
    form: Form,
    tags: Vec<String>,
    mut due: Option<u64>,
    now: i64,
) -> Result<Ask, CliError> {
    let (title, situation) = publish::titled(args.title.as_deref(), &form.text)?;
    if let (None, Some(by)) = (due, &form.by) {
        due = Some(need_by(by.trim(), now)?);
    }
    let mut helps = helps(&args.helps);
    if let (true, Some(text)) = (helps.is_empty(), &form.helps) {
        helps = ask_form::helps(text).map_err(|word| {
            CliError::usage(format!("\"{word}\" is nothing that helps"))
                .hint("any of: facts, document, talk, heard")
        })?;
        helps.sort_unstable();
        helps.dedup();
    }
    Ok(Ask {
        title,
        situation,
        decide: args.decide.clone().or(form.decide),
        need_by: due,
        tried: args.tried.clone().or(form.tried),
        helps: (!helps.is_empty()).then_some(helps),
        tags,
        origin: None,
    })
}

/// What the hints are looked for by.
fn text_of(ask: &Ask) -> String {
    let mut text = format!("{}\n{}", ask.title, ask.situation);
    for more in [&ask.decide, &ask.tried].into_iter().flatten() {
        text.push('\n');
        text.push_str(more);
    }
    for tag in &ask.tags {
        text.push('\n');
        text.push_str(tag);
    }
    text
}

fn only_hints(context: &mut Context, app: &App, ask: &Ask) -> Result<Exit, CliError> {
    let people = app.people()?;
    let hints = Hints::find(app, &people, &text_of(ask))?;
    if context.ui.is_json() {
        context.ui.json("hints", &hints.shape(&people))?;
        return Ok(Exit::Done);
    }
    if hints.is_empty() {
        context.ui.say("nothing like it is here, and nobody is known to know");
        return Ok(Exit::Done);
    }
    hints.print(context, &people)?;
    context.ui.hint("nothing was sent; without --dry-run it is");
    Ok(Exit::Done)
}

fn need_by(text: &str, now: i64) -> Result<u64, CliError> {
    time::parse_when(text, now)
        .and_then(|seconds| u64::try_from(seconds).ok())
        .map(|seconds| seconds.saturating_mul(1000))
        .ok_or_else(|| {
            CliError::usage(format!("\"{text}\" is no date"))
                .hint("write it as 2026-03-06, 2026-03-06 18:00, tomorrow 18:00, 18:00 or 3d (UTC)")
        })
}

fn helps(given: &[Help]) -> Vec<CrdtHelp> {
    let mut helps: Vec<CrdtHelp> = given
        .iter()
        .map(|help| match help {
            Help::Facts => CrdtHelp::Facts,
            Help::Document => CrdtHelp::Document,
            Help::Talk => CrdtHelp::Talk,
            Help::Heard => CrdtHelp::Heard,
        })
        .collect();
    helps.sort_unstable();
    helps.dedup();
    helps
}
