//! `lanai sync --stdio`: one session over standard input and output.

use std::fs::File;
use std::io::{stdin, stdout};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::Duration;

use lanai_node::runtime::{PipeDone, PipeError, pipe};
use lanai_node::sync::Severity;
use serde::Serialize;
use tokio_util::compat::TokioAsyncReadCompatExt as _;

use super::{Context, status};
use crate::app::{App, identity, wake};
use crate::error::{CliError, Exit};

/// How long to wait for the other end to speak where nobody says: a slow line, or a person.
const USUAL_WAIT: Duration = Duration::from_secs(60);

#[derive(Serialize)]
struct Piped {
    device: String,
    received: u64,
    sent: u64,
    bytes_in: u64,
    bytes_out: u64,
    more: bool,
    unread: u64,
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
            PipeError::Closed(_) | PipeError::Session { severity: Severity::Link, .. } => {
                link("link-ended")
            }
            PipeError::NotLanai => CliError::failed("not-lanai", message).hint(
                "the command at the other end must print nothing but what `lanai sync --stdio` says",
            ),
            PipeError::Loop => CliError::usage(message),
            PipeError::Unproven(_) => CliError::failed("unproven", message),
            PipeError::NotAMember(_) => CliError::refused(message)
                .hint("if they came in lately, sync first with the member who let them in"),
            PipeError::Session { .. } => CliError::failed("sync-failed", message),
        }
    }
}

pub(super) fn run(context: &mut Context, wait: Option<Duration>) -> Result<Exit, CliError> {
    if context.ui.input_is_terminal() || context.ui.out_is_terminal() {
        return Err(CliError::usage("--stdio speaks to a program, not to a terminal")
            .hint("`lanai help sync` shows how to join it to ssh, socat or a serial line"));
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
    let session = pipe(app.store().clone(), keys, link.compat(), wait.unwrap_or(USUAL_WAIT));
    let done = runtime.block_on(session);
    // A thread may still wait for input; it ends with the process.
    runtime.shutdown_background();
    app.catch_up()?;
    wake(app.home());
    report(context, &app, &done?)
}

fn report(context: &mut Context, app: &App, done: &PipeDone) -> Result<Exit, CliError> {
    let PipeDone { device, received, sent, bytes_in, bytes_out, more, .. } = *done;
    if context.ui.is_json() {
        let (device, unread) = (device.full(), status::unread(app)?);
        let piped = Piped { device, received, sent, bytes_in, bytes_out, more, unread };
        context.ui.json_aside("sync", &piped)?;
    } else {
        let who = device.short();
        context.ui.say(format!("in step with {who}: {received} received, {sent} sent"));
        if more {
            context.ui.hint("there is more than one session carries: run it again");
        }
    }
    Ok(if more { Exit::Unconfirmed } else { Exit::Done })
}
