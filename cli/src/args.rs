//! The command line.
//!
//! What stands here as a comment on a command or an option is its help text. Bare verbs for the
//! daily loop, noun and verb for the rest. Options mean the same everywhere: `-m` a text, `-n` a
//! number of things, `-t` a tag, `-w` how long to wait, `-y` yes to the question.

mod attention;
mod bundle;
mod community;
mod content;
mod file;
mod lead;
mod machine;
mod page;
mod talk;
mod value;

use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, Subcommand};

pub use attention::{
    DigestArgs, InboxArgs, NeedsArgs, OutcomeArgs, SnoozeArgs, TopicCommand, WatchArgs, WorkArgs,
};
pub use bundle::{BundleCommand, BundleMakeArgs, BundleShownArgs, BundleWantArgs};
pub use community::{
    CharterCommand, DeviceCommand, IdentityCommand, InviteArgs, JoinArgs, LeaveArgs, MemberCommand,
    MotionAct, MotionCommand, ProfileArgs, RecoverArgs, ReturnArgs, TicketCommand, WhoArgs,
};
pub use content::{
    AnswerArgs, AskArgs, CloseArgs, EditArgs, ExportArgs, ExportFormat, ImportCommand, MboxArgs,
    NoteArgs, ReactArgs, ReadArgs, ReplyArgs, SearchArgs, TextArgs, ThreadState, ThreadsArgs,
    WithdrawArgs,
};
pub use file::{AttachArgs, FileAddArgs, FileCommand, FileGetArgs, FileListArgs};
pub use lead::{
    BackArgs, HideArgs, LogArgs as ThreadLogArgs, MergeArgs, MoveArgs, RetitleArgs, SplitArgs,
    SwitchArgs, TagArgs, ThreadCommand, UnhideArgs,
};
pub use machine::{
    ConfigCommand, EventsArgs, HelpArgs, InitArgs, LockArgs, LogsArgs, ManArgs, NetworkArgs,
    NodeCommand, PeersArgs, PhraseArgs, ReportArgs, StoreCommand, SyncArgs, UnlockArgs, UpArgs,
    WipeArgs,
};
pub use page::{
    PageArgs, PageCommand, PageDiffArgs, PageEditArgs, PageRenewArgs, PageRestoreArgs,
    PageShowArgs, PageTakeArgs, ReframeArgs, WhichPage,
};
pub use talk::{TalkAddArgs, TalkCommand, TalkConsentArgs, TalkOpenArgs, TalkPublishArgs};
pub use value::{Expiry, Help, History as HistoryArg, Reaction, Role, parse_span};

use crate::ui::{ColourChoice, UiOptions, Verbosity};

/// A forum without a server: a small community talks in threads, and every member keeps them.
#[derive(Debug, Parser)]
#[command(
    name = "lanai",
    version,
    about,
    disable_help_subcommand = true,
    subcommand_required = true,
    arg_required_else_help = true,
    infer_subcommands = false,
    after_help = "\
Begin with:
  lanai up                     set everything up, run a node, get a ticket for others
  lanai join TICKET            join a community with a ticket you were given
  lanai ask \"How do you …?\"    ask the community
  lanai inbox                  what is new; `lanai digest` as much as fits into ten minutes
  lanai needs                  who needs you: open asks about your topics

More: lanai help COMMAND, lanai help limits, lanai help exit-codes, lanai help environment"
)]
pub struct Cli {
    /// Options that every command takes.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options that every command takes.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Directory where everything is kept [default: LANAI_HOME, or the user's data directory]
    #[arg(long, global = true, value_name = "DIR")]
    pub home: Option<PathBuf>,
    /// Answer in JSON, for programs
    #[arg(long, global = true)]
    pub json: bool,
    /// Print long output without a pager
    #[arg(long, global = true)]
    pub no_pager: bool,
    /// Use colours: on a terminal, always or never
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value_t)]
    pub color: ColourChoice,
    /// Say only what went wrong
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say more about what is being done
    #[arg(short, long, global = true)]
    pub verbose: bool,
}

impl Global {
    /// What they say about output.
    #[must_use]
    pub fn ui(&self) -> UiOptions {
        let verbosity = match (self.quiet, self.verbose) {
            (true, _) => Verbosity::Quiet,
            (_, true) => Verbosity::Verbose,
            _ => Verbosity::Normal,
        };
        UiOptions { json: self.json, no_pager: self.no_pager, colour: self.color, verbosity }
    }
}

/// All commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    // The daily loop.
    /// Set up what is missing, start the node, show what is new
    Up(UpArgs),
    /// Ask the community something
    Ask(AskArgs),
    /// Tell the community something: a story, a sample, an agenda
    Note(NoteArgs),
    /// List threads, the latest first
    Threads(ThreadsArgs),
    /// Read a thread as a tree
    Read(ReadArgs),
    /// Reply to a thread or a post
    Reply(ReplyArgs),
    /// Change a post of your own
    Edit(EditArgs),
    /// Take back a post of your own
    Withdraw(WithdrawArgs),
    /// Thank for a post, or say that it helped
    React(ReactArgs),
    /// Say that you are working on an ask
    Work(WorkArgs),
    /// Mark posts as part of the answer
    Answer(AnswerArgs),
    /// Tell what was done about an ask, and how it went
    Outcome(OutcomeArgs),
    /// Close a thread, or open it again
    Close(CloseArgs),
    /// The texts of a thread that its members write together
    #[command(subcommand)]
    Page(PageCommand),
    /// Talk apart with some members, and bring back what all of you want to
    #[command(subcommand)]
    Talk(TalkCommand),
    /// Propose another wording of a question
    Reframe(ReframeArgs),
    /// What is new, and what of it is for you
    Inbox(InboxArgs),
    /// Needs me: open asks about your topics, the most urgent first
    Needs(NeedsArgs),
    /// What is worth reading, as much as fits into some minutes
    Digest(DigestArgs),
    /// Topics that you follow or look after
    #[command(subcommand)]
    Topic(TopicCommand),
    /// Put the news of a thread before the rest
    Watch(WatchArgs),
    /// Hear no more of a thread
    Mute(WatchArgs),
    /// Hear of a thread later, or when somebody answers you
    Snooze(SnoozeArgs),
    /// Files of posts, threads and the community
    #[command(subcommand)]
    File(FileCommand),
    /// Search everything that was written
    Search(SearchArgs),
    /// Who is in the community, and what they know
    Who(WhoArgs),
    /// Show a member's profile, or change your own
    Profile(ProfileArgs),

    // Order.
    /// Split, merge, move, retitle, pin, feature and tag threads
    #[command(subcommand)]
    Thread(ThreadCommand),
    /// Fold a post away, for a reason
    Hide(HideArgs),
    /// Show a post again that was folded away
    Unhide(UnhideArgs),

    // Community.
    /// Make an identity and a community, without starting a node
    Init(InitArgs),
    /// Make a ticket that lets others join
    Invite(InviteArgs),
    /// Join a community with a ticket
    Join(JoinArgs),
    /// What the members agree to
    #[command(subcommand)]
    Charter(CharterCommand),
    /// Newcomers who have written and whom nobody has answered yet
    Welcome,
    /// Come back with the words on paper, when every device is lost
    Recover(RecoverArgs),
    /// Leave the community
    Leave(LeaveArgs),
    /// Members and their roles
    #[command(subcommand)]
    Member(MemberCommand),
    /// What stewards decide together
    #[command(subcommand)]
    Motion(MotionCommand),
    /// Tickets that were made
    #[command(subcommand)]
    Ticket(TicketCommand),
    /// Your devices: add one, list them, revoke one that was lost
    #[command(subcommand)]
    Device(DeviceCommand),
    /// Your keys, to be kept somewhere safe
    #[command(subcommand)]
    Identity(IdentityCommand),
    /// Protect this home with a passphrase, or lock it now
    Lock(LockArgs),
    /// Open a locked home for as long as the node runs
    Unlock(UnlockArgs),
    /// Destroy this home, the keys first
    Wipe(WipeArgs),

    // Node and network.
    /// How things stand: community, store, node, network
    Status,
    /// Check what works here and what does not, and say what to type next
    #[command(after_help = "\
Looks at the home and its disk, the store, what waits and for what, the clock, your posts that nobody else \
has, the node's ports, discovery on the local network, and the nodes of others. Changes nothing.

It ends with 0 when all is well, with 10 when something should be mended and with 11 when something does \
not work.

Examples:
  lanai doctor
  lanai doctor --json | jq '.checks[] | select(.verdict != \"ok\")'")]
    Doctor,
    /// Write a report for those who mend lanai, without names, texts and addresses
    Report(ReportArgs),
    /// Show what happens in the node, while it happens
    Events(EventsArgs),
    /// The nodes of other members: which are known, which connected
    Peers(PeersArgs),
    /// Exchange what is new with other members now
    Sync(SyncArgs),
    /// Files that carry posts between nodes that never meet
    #[command(subcommand)]
    Bundle(BundleCommand),
    /// The node that exchanges posts with other members
    #[command(subcommand)]
    Node(NodeCommand),

    // Keeping.
    /// Bring along an archive
    #[command(subcommand)]
    Import(ImportCommand),
    /// Write threads to Markdown or JSON
    Export(ExportArgs),
    /// What takes room here: the store, and files
    Storage,
    /// Check, rebuild, back up and restore the store
    #[command(subcommand)]
    Store(StoreCommand),
    /// Where things are kept
    Paths,
    /// Settings
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print a script that completes command lines in your shell
    Completion(CompletionArgs),
    /// Print the manual page
    Man(ManArgs),
    /// Help on a command or a topic
    Help(HelpArgs),
}

/// `lanai completion`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lanai completion bash > ~/.local/share/bash-completion/completions/lanai
  lanai completion fish > ~/.config/fish/completions/lanai.fish")]
pub struct CompletionArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// The command line as clap builds it: for help, completion and man pages.
#[must_use]
pub fn definition() -> clap::Command {
    Cli::command()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Cli {
        Cli::try_parse_from(line.split(' ')).unwrap_or_else(|e| panic!("{line}: {e}"))
    }

    #[test]
    fn the_definition_is_sound() {
        definition().debug_assert();
    }

    /// Every command that does something, with its words.
    fn leaves(command: &clap::Command, words: &str, found: &mut Vec<(String, clap::Command)>) {
        for sub in command.get_subcommands() {
            let words = format!("{words} {}", sub.get_name());
            if sub.has_subcommands() {
                leaves(sub, &words, found);
            } else {
                found.push((words, sub.clone()));
            }
        }
    }

    #[test]
    fn every_command_and_option_has_help() {
        let mut found = Vec::new();
        leaves(&definition(), "lanai", &mut found);
        assert!(found.len() > 40);
        let bare = ["lanai status", "lanai paths", "lanai welcome", "lanai storage"];
        for (words, command) in found {
            assert!(command.get_about().is_some(), "{words}");
            for arg in command.get_arguments() {
                assert!(arg.get_help().is_some(), "{words} {}", arg.get_id());
            }
            let explained = command.get_after_help().is_some() || bare.contains(&words.as_str());
            let takes = command.get_positionals().next().is_some();
            assert!(explained || !takes, "{words} takes arguments and shows no example");
        }
    }

    #[test]
    fn examples_in_the_help_are_valid_command_lines() {
        let mut found = Vec::new();
        leaves(&definition(), "lanai", &mut found);
        let mut checked = 0;
        for (words, command) in found {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            for line in help.lines().filter_map(|l| l.strip_prefix("  ")) {
                let Some(start) = line.find("lanai ") else { continue };
                let (before, line) = line.split_at(start);
                // What another program is told to run ends with its quotes.
                let quoted = before.chars().next_back().filter(|c| *c == '\'');
                let line = quoted.and_then(|q| line.split(q).next()).unwrap_or(line);
                let line = line.split("  ").next().unwrap_or_default();
                let line = line.split([';', '<', '>', '|', '&']).next().unwrap_or_default().trim();
                let args = shell_words(line);
                let parsed = Cli::try_parse_from(&args);
                assert!(parsed.is_ok(), "{words}: `{line}`: {}", parsed.unwrap_err());
                checked += 1;
            }
        }
        assert!(checked > 40, "{checked}");
    }

    /// Splits as a shell does, as far as the examples need it.
    fn shell_words(line: &str) -> Vec<String> {
        let mut words = Vec::new();
        let mut word = None;
        let mut quote = None;
        for c in line.chars() {
            match (c, quote) {
                ('"' | '\'', None) => {
                    quote = Some(c);
                    word.get_or_insert_with(String::new);
                }
                (c, Some(q)) if c == q => quote = None,
                (' ', None) => words.extend(word.take()),
                (c, _) => word.get_or_insert_with(String::new).push(c),
            }
        }
        words.extend(word);
        words
    }

    #[test]
    fn global_options_stand_anywhere() {
        for line in ["lanai --json -q --home /x status", "lanai status --json -q --home /x"] {
            let cli = parsed(line);
            assert!(cli.global.json && cli.global.quiet);
            assert_eq!(cli.global.home.as_deref(), Some(std::path::Path::new("/x")));
            assert_eq!(cli.global.ui().verbosity, Verbosity::Quiet);
        }
        assert!(Cli::try_parse_from(["lanai", "-q", "-v", "status"]).is_err());
    }

    #[test]
    fn the_command_lines_people_use() {
        let Command::Ask(ask) = parsed("lanai ask Title -m one -m two -t a -t b").command else {
            panic!("not ask")
        };
        assert_eq!(ask.title.as_deref(), Some("Title"));
        assert_eq!(ask.text.message, ["one", "two"]);
        assert_eq!(ask.tags, ["a", "b"]);
        let Command::Reply(reply) = parsed("lanai reply k3f9 -m -").command else {
            panic!("not reply")
        };
        assert_eq!((reply.id.as_str(), reply.text.message), ("k3f9", vec!["-".to_owned()]));
        let Command::React(react) = parsed("lanai react k3f9 been-there --undo").command else {
            panic!("not react")
        };
        assert_eq!((react.kind, react.undo), (Reaction::BeenThere, true));
        let Command::Up(up) = parsed(
            "lanai up --foreground --listen 10.0.0.1 --listen ::1 --port 7 --no-mdns --no-beacon",
        )
        .command
        else {
            panic!("not up")
        };
        assert_eq!(up.network.listen.len(), 2);
        assert!(up.foreground && up.network.no_mdns && up.network.no_beacon);
        assert_eq!(up.network.port, Some(7));
        let Command::Sync(sync) = parsed("lanai sync --wait 10 --peer /ip4/10.0.0.1/tcp/1").command
        else {
            panic!("not sync")
        };
        assert_eq!(sync.wait.unwrap().as_secs(), 10);
        for bad in ["lanai", "lanai nonsense", "lanai react k3f9 boo", "lanai read"] {
            assert!(Cli::try_parse_from(bad.split(' ')).is_err(), "{bad}");
        }
    }
}
