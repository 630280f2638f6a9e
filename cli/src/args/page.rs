//! Arguments of the commands on the texts that a thread's members write together.

use clap::{Args, Subcommand};

use super::content::TextArgs;

/// `lanai page`
#[derive(Debug, Subcommand)]
pub enum PageCommand {
    /// Show the answer as it is woven, or the question as it is refined
    Show(PageShowArgs),
    /// Change the text in your editor; others may change it at the same time
    Edit(PageEditArgs),
    /// Everything that was ever written to it, and what became of it
    Log(PageArgs),
    /// What changed between two versions
    Diff(PageDiffArgs),
    /// Who wrote which part, each with its entry
    Blame(PageArgs),
    /// Make the text again what it was at an earlier version
    Restore(PageRestoreArgs),
    /// Take over a wording of the question that somebody proposed
    Take(PageTakeArgs),
    /// Start a page with a long past afresh from its text (leads)
    Renew(PageRenewArgs),
}

/// The page of a thread.
#[derive(Debug, Clone, Args)]
pub struct WhichPage {
    /// The thread, by any unique beginning of its id
    #[arg(value_name = "THREAD")]
    pub thread: String,
    /// The question instead of the answer
    #[arg(short = 'Q', long)]
    pub question: bool,
}

/// `lanai page log`, `lanai page blame`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lanai page log k3f9
  lanai page blame k3f9
  lanai page blame k3f9 --question --json

Nothing that anybody wrote is ever gone from the log, also where it is no longer in the text.")]
pub struct PageArgs {
    /// Which page
    #[command(flatten)]
    pub which: WhichPage,
}

/// `lanai page show`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lanai page show k3f9                 the answer that members weave together
  lanai page show k3f9 --question      the question, with proposed wordings
  lanai page show k3f9 --at m2ap       the text as it was at that version (lanai page log)")]
pub struct PageShowArgs {
    /// Which page
    #[command(flatten)]
    pub which: WhichPage,
    /// As it stood at this version
    #[arg(long, value_name = "VERSION")]
    pub at: Option<String>,
}

/// `lanai page edit`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lanai page edit k3f9                           opens your editor with the answer as it is
  lanai page edit k3f9 --question                the question of your own ask
  lanai page edit k3f9 --append -m \"Rehearse it once, as [[m2ap-9xq4]] says.\"
  lanai page edit k3f9 -m - < answer.md          the whole new text from a file

Every member may weave the answer; the question is written by who asked it, leads and stewards, and
others propose a wording with lanai reframe. [[id]] cites a post and credits its author. What others
write meanwhile is merged; nothing is lost.")]
pub struct PageEditArgs {
    /// Which page
    #[command(flatten)]
    pub which: WhichPage,
    /// Add the text as a paragraph at the end instead of replacing the whole
    #[arg(short, long)]
    pub append: bool,
    /// The new text.
    #[command(flatten)]
    pub text: TextArgs,
}

/// `lanai page diff`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lanai page diff k3f9                 what the latest change did
  lanai page diff k3f9 m2ap            from that version to now
  lanai page diff k3f9 m2ap q7z1       between two versions")]
pub struct PageDiffArgs {
    /// Which page
    #[command(flatten)]
    pub which: WhichPage,
    /// The earlier version [default: the one before the latest]
    #[arg(value_name = "FROM")]
    pub from: Option<String>,
    /// The later version [default: now]
    #[arg(value_name = "TO")]
    pub to: Option<String>,
}

/// `lanai page restore`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lanai page restore k3f9 m2ap

It is one more change: what was written since stays in the log.")]
pub struct PageRestoreArgs {
    /// Which page
    #[command(flatten)]
    pub which: WhichPage,
    /// The version (lanai page log)
    #[arg(value_name = "VERSION")]
    pub version: String,
}

/// `lanai page take`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lanai page take k3f9                 the one wording that is proposed
  lanai page take k3f9 m2ap            one of several

For who asked, leads and stewards. The words stay credited to who proposed them.")]
pub struct PageTakeArgs {
    /// The ask, by any unique beginning of its id
    #[arg(value_name = "THREAD")]
    pub thread: String,
    /// The proposal [default: the only one]
    #[arg(value_name = "PROPOSAL")]
    pub proposal: Option<String>,
}

/// `lanai page renew`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lanai page renew k3f9

Worth it past some 2,000 changes. What members write on the earlier text without having seen this
stays in the log, to be taken up again.")]
pub struct PageRenewArgs {
    /// Which page
    #[command(flatten)]
    pub which: WhichPage,
}

/// `lanai reframe`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lanai reframe k3f9                   opens your editor with the question as it is
  lanai reframe k3f9 --why \"the trucks are not the problem\" -m - < question.txt

Who asked takes it over with lanai page take. Several proposals stand side by side until then.")]
pub struct ReframeArgs {
    /// The ask, by any unique beginning of its id
    #[arg(value_name = "THREAD")]
    pub thread: String,
    /// Why it is better put so
    #[arg(long, value_name = "REASON")]
    pub why: Option<String>,
    /// The wording you propose: title, an empty line, the rest.
    #[command(flatten)]
    pub text: TextArgs,
}
