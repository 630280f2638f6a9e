//! The command line of lanai.
//!
//! Thin: it reads what the user wants ([`args`]), does it with `lanai-node` ([`commands`]) and
//! shows what came of it ([`ui`]). What data means is decided elsewhere.
//!
//! Conventions that hold for every command:
//!
//! 1. Standard output is data, standard error is talk ([`ui`]).
//! 2. What a peer wrote is cleaned on every way to a terminal ([`layout`], [`error`], [`logs`],
//!    [`progress`]); JSON writes unseen characters as escapes ([`json`]).
//! 3. A failure has a code, a message, perhaps a hint, and an exit status ([`error`]).
//! 4. No text that somebody wrote is lost ([`editor`], [`compose`]).
//! 5. Nothing is asked where nobody can answer.

#![warn(missing_docs)]

pub mod app;
pub mod args;
pub mod commands;
pub mod compose;
pub mod editor;
pub mod env;
pub mod error;
pub mod interrupt;
pub mod json;
pub mod layout;
pub mod logs;
mod own;
pub mod pager;
pub mod progress;
pub mod qr;
pub mod time;
pub mod ui;
pub mod view;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;
use lanai_node::home::Environment;

use crate::args::Cli;
use crate::commands::Context;
use crate::env::Env;
use crate::error::{CliError, Exit};
use crate::ui::{Ui, UiOptions};

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    let env = Env::of_process();
    let cli = match Cli::try_parse_from(&words) {
        Ok(cli) => cli,
        Err(error) => return misread(&error, &words, env).into(),
    };
    let ui = Ui::of_process(cli.global.ui(), env);
    let mut context = Context {
        ui,
        global: cli.global,
        places: Environment::of_process(),
        clock: time::now_millis,
        unlocked: None,
    };
    let done = commands::run(&mut context, &cli.command);
    // What was printed before a failure is still worth showing.
    let finished = context.ui.finish();
    let exit = match done.and_then(|exit| finished.map(|()| exit)) {
        Ok(exit) => exit,
        Err(error) => {
            context.ui.error(&error);
            error.exit
        }
    };
    exit.into()
}

/// The parser's answer when there is no command to run: help, the version, or what is wrong.
fn misread(error: &clap::Error, words: &[OsString], env: Env) -> Exit {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        // A closed pipe is no failure, and there is nowhere to report another.
        let _ = error.print();
        return Exit::Done;
    }
    if words.iter().any(|word| word == "--json") {
        let options = UiOptions { json: true, ..UiOptions::default() };
        Ui::of_process(options, env).error(&usage(error));
    } else {
        let _ = error.print();
    }
    Exit::Usage
}

/// The parser's complaint in the shape of all other errors.
fn usage(error: &clap::Error) -> CliError {
    let text = error.render().to_string();
    let (complaint, rest) = text.split_once("\n\n").unwrap_or((&text, ""));
    let message = complaint.strip_prefix("error: ").unwrap_or(complaint).trim();
    let tip = rest.lines().find_map(|line| line.trim().strip_prefix("tip: "));
    CliError::usage(message).hint(tip.unwrap_or("`lanai help COMMAND` shows how"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_errors_have_the_shape_of_all_errors() {
        let error = usage(&Cli::try_parse_from(["lanai", "raed", "x"]).unwrap_err());
        assert_eq!(error.exit, Exit::Usage);
        assert_eq!(error.message, "unrecognized subcommand 'raed'");
        assert!(error.hint.unwrap().contains("read"));
    }
}
