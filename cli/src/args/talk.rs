//! Side talks.

use clap::{Args, Subcommand};

use super::TextArgs;

/// `lanai talk`
#[derive(Debug, Subcommand)]
pub enum TalkCommand {
    /// Open a side talk about a post, with some members
    Open(TalkOpenArgs),
    /// List your side talks, the latest first
    List,
    /// Let more members into a side talk, or new devices of those who are in it
    Add(TalkAddArgs),
    /// Bring a summary back to the thread, once all who spoke in the talk consent
    Publish(TalkPublishArgs),
    /// Consent to what somebody wants to bring back
    Consent(TalkConsentArgs),
}

/// `lanai talk open`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lanai talk open k3f9 --with ben cleo -m \"This is not for everybody.\"
  lanai talk open k3f9 --with ben --title \"About the accident\"

Only you and those you name can read it. Other members carry it sealed: they see that you opened a side
talk, who writes in it, when and how much, and to about how many devices it was sealed; not whose they
are, nor what it is about. Whoever takes part can let others in, who then read all of it, and can pass
on what they read. Who is removed from the community reads nothing written after that, unless a member
helps: the talk's own key stays the same.

`lanai read`, `reply`, `edit`, `withdraw` and `react` take a side talk as they take a thread. A text that
is withdrawn is not shown any more, but stays sealed on the disks of all. Side talks are not searched and
not exported.")]
pub struct TalkOpenArgs {
    /// The post or thread that it is about, by any unique beginning of its id
    #[arg(value_name = "POST")]
    pub id: String,
    /// Who takes part beside you
    #[arg(long, value_name = "NAME", required = true, num_args = 1..)]
    pub with: Vec<String>,
    /// One line [default: that of the thread]
    #[arg(long, value_name = "TITLE")]
    pub title: Option<String>,
    /// The first words.
    #[command(flatten)]
    pub text: TextArgs,
}

/// `lanai talk add`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lanai talk add 7f3k dov          he reads all that was said so far
  lanai talk add 7f3k              new devices of those who are in it

Nobody can be put out of a side talk: open another one without them.")]
pub struct TalkAddArgs {
    /// The side talk, by any unique beginning of its id
    #[arg(value_name = "TALK")]
    pub id: String,
    /// Whom to let in
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// Do not ask whether to go on
    #[arg(short, long)]
    pub yes: bool,
}

/// `lanai talk publish`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lanai talk publish 7f3k -m \"What we would do: brief twice, and walk the ford.\"
  lanai talk publish 7f3k          once all consented: puts it into the thread

The first time it proposes a text to those who take part. Everybody who spoke in the talk, and is a member
still, has to consent with `lanai talk consent`; then the same command publishes it. Another -m proposes
another text. This program keeps that promise; it cannot keep others from passing on what they read, nor who
publishes from changing the text later. Those who take part see who consented to what: `lanai talk list --json`.")]
pub struct TalkPublishArgs {
    /// The side talk, by any unique beginning of its id
    #[arg(value_name = "TALK")]
    pub id: String,
    /// The summary.
    #[command(flatten)]
    pub text: TextArgs,
}

/// `lanai talk consent`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lanai talk consent 7f3k          shows the text and asks
  lanai talk consent 7f3k --yes")]
pub struct TalkConsentArgs {
    /// The side talk, or one of several proposals in it, by any unique beginning of its id
    #[arg(value_name = "TALK")]
    pub id: String,
    /// Do not ask whether to go on
    #[arg(short, long)]
    pub yes: bool,
}
