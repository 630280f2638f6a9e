//! `lanai outcome`: what was done about an ask, and how it went; and the question after it.

use lanai_crdt::payload::{Body, Mark, ThreadState};
use lanai_crdt::thread::ThreadKind;
use lanai_node::config::Config;
use lanai_node::store::{DueOutcome, WhyDue};
use serde::Serialize;

use super::{Context, publish, reply, status};
use crate::app::{App, People};
use crate::args::OutcomeArgs;
use crate::error::{CliError, Exit};
use crate::layout::{Style, Text};
use crate::time;
use crate::view::shape::SummaryShape;

/// An ask of which the outcome is due, for JSON.
#[derive(Debug, Serialize)]
pub(super) struct DueShape {
    thread: SummaryShape,
    /// `needed-by`, `answered` or `replies`.
    why: &'static str,
}

impl DueShape {
    pub(super) fn of(due: &DueOutcome, people: &People) -> Self {
        let why = match due.why {
            WhyDue::NeededBy(_) => "needed-by",
            WhyDue::Answered => "answered",
            WhyDue::Replies(_) => "replies",
        };
        Self { thread: SummaryShape::of(&due.thread, people), why }
    }
}

/// Asks of ours of which the outcome is due, after the times that the settings give.
pub(super) fn due(context: &Context, app: &App) -> Result<Vec<DueOutcome>, CliError> {
    let delays = Config::load(&app.home().config())?.outcome_delays();
    Ok(app.store().due_outcomes((context.clock)(), delays)?)
}

/// Why it is asked for, in words.
pub(super) fn why(due: &DueOutcome, now: i64) -> String {
    match due.why {
        WhyDue::NeededBy(by) => format!("needed by {}", time::day(time::seconds(by))),
        WhyDue::Answered => {
            let last = due.thread.ask.as_ref().and_then(|ask| ask.last_reply_ms);
            let last =
                last.map(|ms| format!(", the last reply {}", time::ago(time::seconds(ms), now)));
            format!("answered{}", last.unwrap_or_default())
        }
        WhyDue::Replies(replies) => {
            let asked = time::ago(time::seconds(due.thread.started_ms), now);
            format!("asked {asked}, {}", status::count(replies, "reply", "replies"))
        }
    }
}

/// The title, why its outcome is asked for, and the command that tells it.
pub(super) fn reminder(due: &DueOutcome, now: i64) -> Text {
    Text::from(&due.thread.title)
        .with(Style::Dim, format!("  {}: ", why(due, now)))
        .with(Style::Id, format!("lanai outcome {}", due.thread.root.short()))
}

/// Asks how it went with a thread that was just shown.
pub(super) fn remind(context: &mut Context, due: &DueOutcome) {
    context.ui.hint(format!(
        "{}. How did it go? lanai outcome {}",
        why(due, context.now()),
        due.thread.root.short()
    ));
}

pub(super) fn run(context: &mut Context, args: &OutcomeArgs) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    let (spot, id) = reply::write(context, &app, &args.id, &args.text, true)?;
    let root = spot.thread().root;
    publish::report(context, "outcome told", &id, &root)?;
    let thread = spot.thread();
    let closes = thread.kind == ThreadKind::Ask
        && thread.state != ThreadState::Closed
        && !args.keep_open
        && (args.close || app.speaks_for(&spot)?);
    if !closes {
        return Ok(Exit::Done);
    }
    if !args.close {
        if !context.ui.can_ask() {
            context.ui.hint(format!("lanai close {} closes the ask", root.short()));
            return Ok(Exit::Done);
        }
        let answer = context.ui.ask("Close the ask with it? [y/N]")?;
        if !matches!(answer.to_lowercase().as_str(), "y" | "yes") {
            return Ok(Exit::Done);
        }
    }
    let people = app.people()?;
    let closed = app.about(&spot, &people, Body::Mark(Mark::State(ThreadState::Closed)))?;
    app.publish_one(context, closed)?;
    context.ui.say("and closed");
    Ok(Exit::Done)
}
