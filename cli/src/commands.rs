//! What each command does. One file per command or group; the arguments are in [`crate::args`].

mod answer;
mod ask;
mod close;
mod completion;
mod edit;
mod export;
mod help;
mod inbox;
mod man;
mod note;
mod paths;
mod profile;
mod publish;
mod react;
mod read;
mod reply;
mod search;
mod threads;
#[cfg(test)]
mod village;
mod who;
mod withdraw;

use std::path::PathBuf;

use lanai_node::home::{Environment, Home};

use crate::args::{Command, Global};
use crate::error::{CliError, Exit};
use crate::time;
use crate::ui::Ui;

/// What every command works with.
#[derive(Debug)]
pub struct Context {
    /// Output, and questions to the user.
    pub ui: Ui,
    /// Options that every command takes.
    pub global: Global,
    /// Variables that decide where things are.
    pub places: Environment,
    /// The wall clock, in Unix milliseconds.
    pub clock: fn() -> u64,
}

impl Context {
    /// Now, in Unix seconds, for showing times.
    #[must_use]
    pub fn now(&self) -> i64 {
        time::seconds((self.clock)())
    }

    /// The home that the command line and the environment name.
    ///
    /// # Errors
    ///
    /// When none can be found.
    pub fn home(&self) -> Result<Home, CliError> {
        let named = self.ui.env().get_os("LANAI_HOME").map(PathBuf::from);
        Ok(Home::resolve(
            self.global.home.as_ref().or(named.as_ref()).map(PathBuf::as_path),
            &self.places,
        )?)
    }
}

/// Does what the command says. What it returns is the exit status of a command that did its work;
/// for a few commands that is not always [`Exit::Done`].
///
/// # Errors
///
/// Whatever kept it from its work.
pub fn run(context: &mut Context, command: &Command) -> Result<Exit, CliError> {
    match command {
        Command::Paths => paths::run(context),
        Command::Completion(args) => completion::run(context, args),
        Command::Man(args) => man::run(context, args),
        Command::Help(args) => help::run(context, args),
        Command::Ask(args) => ask::run(context, args),
        Command::Note(args) => note::run(context, args),
        Command::Threads(args) => threads::run(context, args),
        Command::Read(args) => read::run(context, args),
        Command::Reply(args) => reply::run(context, args),
        Command::Edit(args) => edit::run(context, args),
        Command::Withdraw(args) => withdraw::run(context, args),
        Command::React(args) => react::run(context, args),
        Command::Answer(args) => answer::run(context, args),
        Command::Close(args) => close::run(context, args),
        Command::Inbox(args) => inbox::run(context, args),
        Command::Search(args) => search::run(context, args),
        Command::Who(args) => who::run(context, args),
        Command::Profile(args) => profile::run(context, args),

        Command::Export(args) => export::run(context, args),
        Command::Up(_)
        | Command::Init(_)
        | Command::Invite(_)
        | Command::Join(_)
        | Command::Leave(_)
        | Command::Member(_)
        | Command::Ticket(_)
        | Command::Identity(_)
        | Command::Status
        | Command::Peers(_)
        | Command::Sync(_)
        | Command::Node(_)
        | Command::Import(_)
        | Command::Store(_)
        | Command::Config(_) => Err(CliError::internal("this build has no such command")),
    }
}

/// A context in a home of its own, for the tests of commands.
#[cfg(test)]
pub(crate) mod testing {
    use super::*;
    use crate::ui::UiOptions;
    use crate::ui::testing::{Kept, ui};

    pub(crate) struct Bench {
        pub(crate) context: Context,
        pub(crate) out: Kept,
        pub(crate) err: Kept,
        pub(crate) dir: tempfile::TempDir,
    }

    /// `columns` for a terminal of that width, `None` for pipes. It is 2023-11-14 22:13:20 UTC.
    pub(crate) fn bench(columns: Option<usize>, json: bool) -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let (ui, out, err) = ui(columns, UiOptions { json, ..UiOptions::default() }, "");
        let global = Global { home: Some(dir.path().join("home")), json, ..Global::default() };
        let context =
            Context { ui, global, places: Environment::default(), clock: || 1_700_000_000_000 };
        Bench { context, out, err, dir }
    }
}
