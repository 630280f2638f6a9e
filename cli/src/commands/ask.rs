//! `lanai ask`: opens a thread that asks.

use lanai_crdt::payload::{Ask, Body, Help as CrdtHelp};
use lanai_node::store::NewEntry;

use super::{Context, publish};
use crate::app::App;
use crate::args::{AskArgs, Help};
use crate::compose::Template;
use crate::error::{CliError, Exit};
use crate::time;

const HELP: &str = "\
You ask the whole community. The first line is the question, the rest is the situation:
what is it about, what was tried, what would help? Markdown is fine.
Nothing from the line above on is published; an empty text publishes nothing.";

const HELP_WITH_TITLE: &str = "\
You ask the whole community. Describe the situation: what is it about, what was tried, what
would help? Markdown is fine.
Nothing from the line above on is published; an empty text publishes nothing.";

/// Seconds of a day: what is needed by a date may come on that day.
const DAY: i64 = 86_400;

pub(super) fn run(context: &mut Context, args: &AskArgs) -> Result<Exit, CliError> {
    let tags = publish::tags(&args.tags)?;
    let need_by = args.by.as_deref().map(need_by).transpose()?;
    if let Some(title) = &args.title {
        publish::titled(Some(title), "")?;
    }
    let app = App::open(context)?;
    let help = if args.title.is_some() { HELP_WITH_TITLE } else { HELP };
    let template = Template { initial: "", help };
    let written = publish::Written::get(
        context,
        &app,
        &args.text.message,
        "ask",
        template,
        args.title.is_some(),
    )?;
    let entry = publish::titled(args.title.as_deref(), &written.text).map(|(title, situation)| {
        let ask = Ask {
            title,
            situation,
            decide: args.decide.clone(),
            need_by,
            tried: args.tried.clone(),
            helps: (!args.helps.is_empty()).then(|| helps(&args.helps)),
            tags,
            origin: None,
        };
        NewEntry::new(Body::Ask(ask), [])
    });
    let id = written.publish(context, &app, entry)?;
    publish::report(context, "asked", &id, &id)?;
    Ok(Exit::Done)
}

fn need_by(text: &str) -> Result<u64, CliError> {
    time::parse_day(text)
        .and_then(|first| u64::try_from(first + DAY - 1).ok())
        .map(|seconds| seconds.saturating_mul(1000))
        .ok_or_else(|| {
            CliError::usage(format!("\"{text}\" is no date")).hint("write it as 2026-03-06")
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
