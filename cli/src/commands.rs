//! What each command does. One file per command or group; the arguments are in [`crate::args`].

mod answer;
mod ask;
mod ask_form;
#[cfg(test)]
mod attention_tests;
mod back;
mod bundle;
#[cfg(test)]
mod bundle_tests;
mod charter;
mod close;
mod completion;
mod config;
mod device;
mod digest;
mod doctor;
mod edit;
mod events;
mod export;
pub(crate) mod file;
#[cfg(test)]
mod file_tests;
mod govern;
mod help;
mod hints;
mod identity;
mod import;
mod inbox;
mod init;
mod invite;
mod join;
mod leave;
#[cfg(test)]
mod list_tests;
mod lock;
mod man;
mod member;
mod metrics;
mod motion;
mod needs;
mod node;
mod note;
mod outcome;
mod page;
#[cfg(test)]
mod page_tests;
mod paths;
mod peers;
mod phrase;
mod profile;
mod publish;
mod react;
mod read;
mod recover;
mod reply;
mod report;
mod search;
mod status;
mod status_peers;
mod storage;
mod store;
mod sync;
mod talk;
#[cfg(test)]
mod talk_tests;
mod thread;
#[cfg(test)]
mod thread_tests;
mod threads;
mod ticket;
mod topic;
mod up;
#[cfg(test)]
pub(crate) mod village;
mod watch;
mod welcome;
mod who;
mod wipe;
mod withdraw;
mod work;

use std::path::PathBuf;
use std::sync::Arc;

use lanai_node::home::{Environment, Home};
use lanai_node::identity::Unlocked;

use crate::args::{Command, Global};
use crate::error::{CliError, Exit};
use crate::own;
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
    /// The keys of a locked home, once they were unlocked.
    pub unlocked: Option<Arc<Unlocked>>,
}

impl Context {
    /// Now, in Unix seconds, for showing times.
    #[must_use]
    pub fn now(&self) -> i64 {
        time::seconds((self.clock)())
    }

    /// The home that the command line and the environment name, with its keys where they were
    /// unlocked.
    ///
    /// # Errors
    ///
    /// When none can be found.
    pub fn home(&self) -> Result<Home, CliError> {
        let named = self.ui.env().get_os("LANAI_HOME").map(PathBuf::from);
        let home = Home::resolve(
            self.global.home.as_ref().or(named.as_ref()).map(PathBuf::as_path),
            &self.places,
        )?;
        Ok(match &self.unlocked {
            Some(unlocked) => home.with_keys(unlocked.clone()),
            None => home,
        })
    }
}

/// Does what the command says. What it returns is the exit status of a command that did its work;
/// for a few commands that is not always [`Exit::Done`].
///
/// # Errors
///
/// Whatever kept it from its work.
pub fn run(context: &mut Context, command: &Command) -> Result<Exit, CliError> {
    lock::get_keys(context, command)?;
    let done = run_one(context, command);
    if matches!(
        command,
        Command::Read(_)
            | Command::Inbox(_)
            | Command::Ask(_)
            | Command::Note(_)
            | Command::Reply(_)
            | Command::Edit(_)
            | Command::Outcome(_)
            | Command::Charter(_)
    ) {
        own::tell_after(context, false);
    }
    done
}

fn run_one(context: &mut Context, command: &Command) -> Result<Exit, CliError> {
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
        Command::Work(args) => work::run(context, args),
        Command::Outcome(args) => outcome::run(context, args),
        Command::Answer(args) => answer::run(context, args),
        Command::Close(args) => close::run(context, args),
        Command::Talk(command) => talk::run(context, command),
        Command::Page(command) => page::run(context, command),
        Command::Reframe(args) => page::edit::reframe(context, args),
        Command::Inbox(args) => inbox::run(context, args),
        Command::Needs(args) => needs::run(context, args),
        Command::Digest(args) => digest::run(context, args),
        Command::Topic(command) => topic::run(context, command),
        Command::Watch(args) => watch::watch(context, args),
        Command::Mute(args) => watch::mute(context, args),
        Command::Snooze(args) => watch::snooze(context, args),
        Command::File(command) => file::run(context, command),
        Command::Search(args) => search::run(context, args),
        Command::Who(args) => who::run(context, args),
        Command::Profile(args) => profile::run(context, args),

        Command::Thread(command) => thread::run(context, command),
        Command::Hide(args) => thread::hide(context, args),
        Command::Unhide(args) => thread::unhide(context, args),

        Command::Import(command) => import::run(context, command),
        Command::Export(args) => export::run(context, args),
        Command::Up(args) => up::run(context, args),
        Command::Init(args) => init::run(context, args),
        Command::Invite(args) => invite::run(context, args),
        Command::Join(args) => join::run(context, args),
        Command::Charter(command) => charter::run(context, command),
        Command::Welcome => welcome::run(context),
        Command::Recover(args) => recover::run(context, args),
        Command::Leave(args) => leave::run(context, args),
        Command::Lock(args) => lock::lock(context, args),
        Command::Unlock(args) => lock::unlock(context, args),
        Command::Wipe(args) => wipe::run(context, args),
        Command::Member(command) => member::run(context, command),
        Command::Motion(command) => motion::run(context, command),
        Command::Ticket(command) => ticket::run(context, command),
        Command::Device(command) => device::run(context, command),
        Command::Identity(command) => identity::run(context, command),
        Command::Status => status::run(context),
        Command::Doctor => doctor::run(context),
        Command::Report(args) => report::run(context, args),
        Command::Events(args) => events::run(context, args),
        Command::Peers(args) => peers::run(context, args),
        Command::Sync(args) => sync::run(context, args),
        Command::Bundle(command) => bundle::run(context, command),
        Command::Node(command) => node::run(context, command),
        Command::Storage => storage::run(context),
        Command::Store(command) => store::run(context, command),
        Command::Config(command) => config::run(context, command),
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
        bench_with(columns, UiOptions { json, ..UiOptions::default() })
    }

    pub(crate) fn bench_with(columns: Option<usize>, options: UiOptions) -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let (ui, out, err) = ui(columns, options, "");
        let home = Some(dir.path().join("home"));
        let global = Global { home, json: options.json, ..Global::default() };
        let context = Context {
            ui,
            global,
            places: Environment::default(),
            clock: || 1_700_000_000_000,
            unlocked: None,
        };
        Bench { context, out, err, dir }
    }
}
