//! Writing, reading, archives.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::file::AttachArgs;
use super::value::{Help, Reaction};

/// Where a text comes from.
#[derive(Debug, Clone, Default, Args)]
pub struct TextArgs {
    /// The text; several make paragraphs; "-" reads standard input [default: the editor]
    #[arg(short, long, value_name = "TEXT")]
    pub message: Vec<String>,
}

/// `lanai ask`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lanai ask \"How do you run a first counselling?\" -m \"New sergeant, first week.\" -t people
  lanai ask \"Which radio for the patrol base?\" --decide \"order by Friday\" --by 2026-03-06
  lanai ask \"Can the ford take a loaded trailer?\" --by \"tomorrow 18:00\" --help-with facts
  lanai ask                        opens your editor; the first line is the title
  lanai ask \"First counselling?\" -m \"\" --dry-run     only shows what is here already

A good ask says what the situation is, what was tried and what would help. Before it is sent, earlier
threads like it and people who may know are shown, from what is on this device. At a terminal one of
them can be read; if it helped, nothing is sent and its author learns that it did.")]
pub struct AskArgs {
    /// The question in one line [default: the first line of the text]
    #[arg(value_name = "TITLE")]
    pub title: Option<String>,
    /// The situation.
    #[command(flatten)]
    pub text: TextArgs,
    /// A tag; may be given several times
    #[arg(short, long = "tag", value_name = "TAG")]
    pub tags: Vec<String>,
    /// What has to be decided
    #[arg(long, value_name = "TEXT")]
    pub decide: Option<String>,
    /// By when it is needed: 2026-03-06, 2026-03-06 18:00, tomorrow 18:00, 18:00 or 3d (UTC)
    #[arg(long, value_name = "WHEN")]
    pub by: Option<String>,
    /// What was tried already
    #[arg(long, value_name = "TEXT")]
    pub tried: Option<String>,
    /// What would help; may be given several times
    #[arg(long = "help-with", alias = "helps", value_enum, value_delimiter = ',')]
    pub helps: Vec<Help>,
    /// Files that go along.
    #[command(flatten)]
    pub attach: AttachArgs,
    /// Do not look for earlier threads and people
    #[arg(long, conflicts_with = "dry_run")]
    pub no_hints: bool,
    /// Only show earlier threads and people; send nothing
    #[arg(long, visible_alias = "hints")]
    pub dry_run: bool,
}

/// `lanai note`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lanai note \"What the convoy taught us\" -m \"…\" -t convoy
  lanai note \"The new map\" -m \"Since Monday.\" --attach map.pdf
  lanai note \"Agenda for Thursday\" < agenda.md")]
pub struct NoteArgs {
    /// The title [default: the first line of the text]
    #[arg(value_name = "TITLE")]
    pub title: Option<String>,
    /// The text.
    #[command(flatten)]
    pub text: TextArgs,
    /// A tag; may be given several times
    #[arg(short, long = "tag", value_name = "TAG")]
    pub tags: Vec<String>,
    /// Files that go along.
    #[command(flatten)]
    pub attach: AttachArgs,
}

/// The state of an ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ThreadState {
    /// Nobody has answered yet
    Open,
    /// Somebody is at it
    #[value(alias = "worked")]
    Working,
    /// Answered
    Answered,
    /// Closed
    Closed,
}

/// `lanai threads`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lanai threads --state open       asks that wait for an answer
  lanai threads --tag convoy -n 50
  lanai threads --all | wc -l")]
pub struct ThreadsArgs {
    /// Only threads in this state
    #[arg(short, long, value_enum)]
    pub state: Option<ThreadState>,
    /// Only threads with this tag; may be given several times, then with all of them
    #[arg(short, long = "tag", value_name = "TAG")]
    pub tags: Vec<String>,
    /// Only threads opened by this member
    #[arg(short, long, value_name = "MEMBER")]
    pub author: Option<String>,
    /// Only threads with something you have not read
    #[arg(short, long)]
    pub unread: bool,
    /// How many to list
    #[arg(short = 'n', long, value_name = "N", default_value_t = 30)]
    pub limit: usize,
    /// List all of them
    #[arg(long, conflicts_with = "limit")]
    pub all: bool,
}

/// `lanai read`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lanai read k3f9
  lanai read k3f9 --follow         go on showing posts as they come
  lanai read k3f9 --flat           in order of time, not as a tree

What it shows on a terminal counts as read from then on. In a pipe and with --json nothing does.")]
pub struct ReadArgs {
    /// The thread, or a post in it, by any unique beginning of its id
    #[arg(value_name = "ID")]
    pub id: String,
    /// Go on showing posts as they come, until Ctrl-C
    #[arg(short, long)]
    pub follow: bool,
    /// Show posts in order of time instead of as a tree
    #[arg(long)]
    pub flat: bool,
    /// Show earlier versions of posts that were edited
    #[arg(long)]
    pub history: bool,
    /// Show posts that a lead folded away, too
    #[arg(long)]
    pub hidden: bool,
    /// Only what you have not read
    #[arg(short, long)]
    pub unread: bool,
    /// Leave the marks of what you have read as they are
    #[arg(long)]
    pub keep_unread: bool,
}

/// `lanai reply`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lanai reply k3f9 -m \"We do it in two steps.\"
  lanai reply k3f9 --outcome -m \"Tried it, the second step was enough.\"
  lanai reply k3f9 -m \"As of this morning.\" --attach ford.jpg
  lanai reply k3f9 < answer.md")]
pub struct ReplyArgs {
    /// The thread or post to reply to, by any unique beginning of its id
    #[arg(value_name = "ID")]
    pub id: String,
    /// The reply.
    #[command(flatten)]
    pub text: TextArgs,
    /// Files that go along.
    #[command(flatten)]
    pub attach: AttachArgs,
    /// Tell how it went: what you did, and with what result (as `lanai outcome`)
    #[arg(short, long)]
    pub outcome: bool,
}

/// `lanai edit`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lanai edit k3f9                  opens your editor with the text as it is
  lanai edit k3f9 -m \"Corrected: 240 volts, not 24.\"

Earlier versions stay: lanai read ID --history")]
pub struct EditArgs {
    /// The post, by any unique beginning of its id
    #[arg(value_name = "ID")]
    pub id: String,
    /// The new text.
    #[command(flatten)]
    pub text: TextArgs,
}

/// `lanai withdraw`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lanai withdraw k3f9
  lanai withdraw k3f9 --yes

The post is hidden at once, and three days later its text is dropped on every honest node that
has heard of it. What others have read or copied cannot be called back.")]
pub struct WithdrawArgs {
    /// The post, by any unique beginning of its id
    #[arg(value_name = "ID")]
    pub id: String,
    /// Do not ask whether to go on
    #[arg(short, long)]
    pub yes: bool,
}

/// `lanai react`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lanai react k3f9 helped
  lanai react k3f9 helped --undo")]
pub struct ReactArgs {
    /// The post, by any unique beginning of its id
    #[arg(value_name = "ID")]
    pub id: String,
    /// What to say
    #[arg(value_enum)]
    pub kind: Reaction,
    /// Take it back
    #[arg(long)]
    pub undo: bool,
}

/// `lanai answer`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lanai answer p7xm                the post is part of the answer; its ask is answered
  lanai answer p7xm q2k0 r41t      several posts together are the answer
  lanai answer p7xm --undo

Who opened the ask, leads and stewards mark answers.")]
pub struct AnswerArgs {
    /// Posts, each by any unique beginning of its id
    #[arg(value_name = "ID", required = true)]
    pub ids: Vec<String>,
    /// They are no part of the answer after all
    #[arg(long)]
    pub undo: bool,
}

/// `lanai close`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lanai close k3f9
  lanai close k3f9 --outcome \"Did it in two steps; the second was enough.\"
  lanai close k3f9 --state working  somebody is at it
  lanai close k3f9 --reopen")]
pub struct CloseArgs {
    /// The thread, by any unique beginning of its id
    #[arg(value_name = "ID")]
    pub id: String,
    /// The state to put it into
    #[arg(short, long, value_enum, default_value = "closed")]
    pub state: ThreadState,
    /// Open it again
    #[arg(long, conflicts_with = "state")]
    pub reopen: bool,
    /// Tell what was done and how it went, and close it; several make paragraphs
    #[arg(short, long, value_name = "TEXT", conflicts_with_all = ["state", "reopen"])]
    pub outcome: Vec<String>,
}

/// `lanai search`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lanai search first counselling
  lanai search \"combat patrol\" --author ann -n 5
  lanai search convoy -- -rain     with the one word and without the other
  lanai search conv* by:ann tag:roads since:2026-03 in:title
  lanai search --best trailer brakes
  lanai search --state outcome --since 30d

Words match in any form; \"quoted words\" stand together; conv* is a beginning; -word must not occur
(after --). A word that occurs nowhere is taken for a typo of one that does. In the text, tag:, by:,
since:, until:, state: and in:title do what the options do. Times are 2001, 2001-05, 2001-05-12, or
so long ago: 12h, 30d, 2w, 6m, 1y. Found are posts, question and answer pages, and people.")]
pub struct SearchArgs {
    /// Words that must all occur, and filters
    #[arg(value_name = "WORDS")]
    pub words: Vec<String>,
    /// Only what this member or original author wrote
    #[arg(short, long, visible_alias = "by", value_name = "NAME")]
    pub author: Option<String>,
    /// Only in threads with this tag; may be given several times, then with all of them
    #[arg(short, long = "tag", value_name = "TAG")]
    pub tags: Vec<String>,
    /// Only of this time or later
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Only of this time or earlier
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Only in asks that are open, working, answered or closed; outcome: where one was told
    #[arg(short, long, value_name = "STATE")]
    pub state: Option<String>,
    /// The words must be in the title
    #[arg(long)]
    pub title: bool,
    /// The best matches first, one of each thread
    #[arg(short, long, conflicts_with = "newest")]
    pub best: bool,
    /// The newest first, as without this
    #[arg(long)]
    pub newest: bool,
    /// How many to list
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    pub limit: usize,
}

/// `lanai import`
#[derive(Debug, Subcommand)]
pub enum ImportCommand {
    /// Import mail: mbox files, gzipped or not, and Maildir directories
    Mbox(MboxArgs),
}

/// `lanai import mbox`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lanai import mbox archive.mbox.gz
  lanai import mbox ~/Maildir --dry-run

Replies become threads, original names and dates are kept, attachments are named and left out.
Importing twice, or by two members, adds nothing twice. Ctrl-C keeps what is done; the same
command goes on from there.")]
pub struct MboxArgs {
    /// Files or Maildir directories
    #[arg(value_name = "PATH", required = true)]
    pub paths: Vec<PathBuf>,
    /// Only say what would be imported
    #[arg(long)]
    pub dry_run: bool,
    /// A tag for all threads; may be given several times
    #[arg(short, long = "tag", value_name = "TAG")]
    pub tags: Vec<String>,
}

/// How threads are written out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// Markdown, for people
    Md,
    /// JSON, for programs
    Json,
}

/// `lanai export`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lanai export k3f9 > thread.md
  lanai export --all --format json --out community.json
  lanai export --all --out archive/      one Markdown file for each thread")]
pub struct ExportArgs {
    /// The thread, by any unique beginning of its id
    #[arg(value_name = "THREAD", required_unless_present = "all", conflicts_with = "all")]
    pub thread: Option<String>,
    /// All threads
    #[arg(long)]
    pub all: bool,
    /// Format to write
    #[arg(short, long, value_enum, default_value = "md")]
    pub format: ExportFormat,
    /// File, or directory for many [default: standard output]
    #[arg(short, long, value_name = "PATH")]
    pub out: Option<PathBuf>,
    /// Overwrite files that exist
    #[arg(long)]
    pub force: bool,
}
