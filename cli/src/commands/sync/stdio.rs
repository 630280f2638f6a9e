//! `lanai sync --stdio`: one session over standard input and output.

use std::convert::Infallible;
use std::fs::File;
use std::io::{stdin, stdout};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lanai_node::line::LineCounts;
use lanai_node::profile::Profile;
use lanai_node::runtime::{PipeDone, PipeError, PipeOptions, PipeProgress, now_millis, pipe};
use lanai_node::sync::{Progress, Severity, Terms};
use serde::Serialize;
use tokio::sync::watch;
use tokio_util::compat::TokioAsyncReadCompatExt as _;

use super::{Context, status};
use crate::app::{App, identity, wake};
use crate::args::SyncArgs;
use crate::error::{CliError, Exit};
use crate::time::span;

/// How long to wait for the other end to speak where nobody says: a slow line, or a person.
const USUAL_WAIT: Duration = Duration::from_secs(60);
/// The same on a thin line, whose other end may be started minutes later.
const THIN_WAIT: Duration = Duration::from_secs(600);

/// Bytes with which a session can come to anything.
const LEAST_BUDGET: u64 = 5_000;

#[derive(Serialize)]
struct Piped {
    device: String,
    received: u64,
    sent: u64,
    bytes_in: u64,
    bytes_out: u64,
    /// Entries that came though they were held here already.
    repeated: u64,
    /// Entries of this end that --budget or --since left out, whole or but for their header.
    left_out: u64,
    more: bool,
    profile: Profile,
    /// What went over a thin line.
    line: Option<OnTheLine>,
    unread: u64,
}

#[derive(Serialize)]
struct OnTheLine {
    bytes_in: u64,
    bytes_out: u64,
    /// Frames that were sent again.
    again: u64,
    /// Bytes that came and were part of no frame.
    garbage: u64,
    /// Usual time of an answer, in milliseconds.
    answer_ms: u64,
}

impl From<LineCounts> for OnTheLine {
    fn from(counts: LineCounts) -> OnTheLine {
        let LineCounts { bytes_out, bytes_in, again, garbage, answer_ms, .. } = counts;
        OnTheLine { bytes_in, bytes_out, again, garbage, answer_ms }
    }
}

impl From<PipeError> for CliError {
    fn from(error: PipeError) -> CliError {
        let message = error.to_string();
        let link = |code| {
            CliError::new(Exit::Unconfirmed, code, message.clone())
                .hint("nothing is lost: the same command goes on where this one ended")
                .retryable()
        };
        match error {
            PipeError::Store(e) => e.into(),
            PipeError::Silent => link("silent"),
            PipeError::Closed(_)
            | PipeError::Line(_)
            | PipeError::Session { severity: Severity::Link, .. } => {
                link("link-ended")
            }
            PipeError::NotLanai => CliError::failed("not-lanai", message).hint(
                "the command at the other end must print nothing but what `lanai sync --stdio` says; \
                 a line that loses or alters bytes needs --profile thin at both ends",
            ),
            PipeError::Loop => CliError::usage(message),
            PipeError::Unproven(_) => CliError::failed("unproven", message),
            PipeError::NotAMember(_) => CliError::refused(message)
                .hint("if they came in lately, sync first with the member who let them in"),
            PipeError::Session { .. } => CliError::failed("sync-failed", message),
        }
    }
}

pub(super) fn run(context: &mut Context, args: &SyncArgs) -> Result<Exit, CliError> {
    if context.ui.input_is_terminal() || context.ui.out_is_terminal() {
        return Err(CliError::usage("--stdio speaks to a program, not to a terminal")
            .hint("`lanai help sync` shows how to join it to ssh, socat or a serial line"));
    }
    if args.budget.is_some_and(|bytes| bytes < LEAST_BUDGET) {
        return Err(CliError::usage("that is too little to find out what is new")
            .hint("a budget has to be 5kB at least"));
    }
    let app = App::open(context)?;
    let keys = Arc::new(identity(app.home())?);
    let failed = |e| CliError::io("use standard input and output", &e);
    let input = File::from(stdin().as_fd().try_clone_to_owned().map_err(failed)?);
    let output = File::from(stdout().as_fd().try_clone_to_owned().map_err(failed)?);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| CliError::io("start the session", &e))?;
    let link = tokio::io::join(tokio::fs::File::from_std(input), tokio::fs::File::from_std(output));
    let profile = args.profile.unwrap_or_default();
    let usual = if profile == Profile::Thin { THIN_WAIT } else { USUAL_WAIT };
    let (progress, watch) = watch::channel(PipeProgress::default());
    let since = args.since.map(|span| {
        now_millis().saturating_sub(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)).max(1)
    });
    let terms = Terms { since, budget: args.budget, ..Terms::default() };
    let patience = args.wait.unwrap_or(usual);
    let options = PipeOptions { profile, terms, patience, progress };
    let session = pipe(app.store().clone(), keys, link.compat(), options);
    let done = runtime.block_on(async {
        tokio::select! {
            done = session => done,
            never = show(context, watch) => match never {},
        }
    });
    // A thread may still wait for input; it ends with the process.
    runtime.shutdown_background();
    app.catch_up()?;
    wake(app.home());
    report(context, &app, &done?)
}

/// Shows how it comes along, until nobody asks any more.
async fn show(context: &mut Context, mut watch: watch::Receiver<PipeProgress>) -> Infallible {
    let mut bar = context.ui.progress("waiting for the other end", None, "bytes");
    let mut open = None;
    loop {
        let now = *watch.borrow_and_update();
        if let Some(device) = now.device {
            let begun = *open.get_or_insert_with(|| {
                let who = device.short();
                bar.aside(|| {
                    context.ui.detail(format!("{who} is there; comparing what each holds"))
                });
                Instant::now()
            });
            bar.label(&along(&now, begun.elapsed()));
            let Progress { bytes_in, bytes_out, .. } = now.session;
            let line = now.line.map(|line| line.bytes_in + line.bytes_out);
            bar.set(line.unwrap_or(bytes_in + bytes_out));
        }
        if watch.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// What came, what went, what remains and how long that will take, in a line.
fn along(now: &PipeProgress, open: Duration) -> String {
    let Progress { received, sent, to_receive, to_send, .. } = now.session;
    let mut text = format!("{received} received, {sent} sent");
    let (moved, left) = (received + sent, to_receive + to_send);
    if left > 0 {
        text.push_str(&format!(", {left} to go"));
        if let Some(each) = open.as_millis().checked_div(u128::from(moved)) {
            let ms = each.saturating_mul(u128::from(left));
            let about = u64::try_from(ms / 1000).unwrap_or(u64::MAX);
            text.push_str(&format!(", about {}", span(about)));
        }
    }
    text.push(';');
    text
}

fn report(context: &mut Context, app: &App, done: &PipeDone) -> Result<Exit, CliError> {
    let PipeDone {
        device,
        received,
        sent,
        bytes_in,
        bytes_out,
        repeated,
        left_out,
        more,
        profile,
        line,
        ..
    } = *done;
    if context.ui.is_json() {
        let (device, unread) = (device.full(), status::unread(app)?);
        let line = line.map(OnTheLine::from);
        let piped = Piped {
            device,
            received,
            sent,
            bytes_in,
            bytes_out,
            repeated,
            left_out,
            more,
            profile,
            line,
            unread,
        };
        context.ui.json_aside("sync", &piped)?;
    } else {
        let who = device.short();
        let step = if more { "not yet in step" } else { "in step" };
        context.ui.say(format!("{step} with {who}: {received} received, {sent} sent"));
        if left_out > 0 {
            context
                .ui
                .say(format!("left for another time, whole or but for their headers: {left_out}"));
        }
        if more {
            context.ui.hint("there is more, here or there: run it again");
        }
    }
    Ok(if more { Exit::Unconfirmed } else { Exit::Done })
}
