//! What is new, what waits, and how much to hear of it.

use std::num::NonZeroU32;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::content::TextArgs;
use super::value::parse_span;

/// `lanai inbox`
#[derive(Debug, Clone, Copy, Args)]
#[command(after_help = "\
Examples:
  lanai inbox
  lanai inbox -n 100
  lanai inbox --mark-all           and nothing of it is new any more

What is for you comes first: answers to you, posts in your threads, posts that name you as @name.
Then come your topics (`lanai topic`), what you watch (`lanai watch`), and the rest.
Looking at the inbox marks nothing as read; reading a thread does: lanai read ID")]
pub struct InboxArgs {
    /// Also list threads without anything new
    #[arg(long)]
    pub all: bool,
    /// Mark all of it as read, muted and snoozed threads included
    #[arg(long, alias = "mark-read")]
    pub mark_all: bool,
    /// How many threads to list
    #[arg(short = 'n', long, value_name = "N", default_value_t = 30)]
    pub limit: usize,
}

/// `lanai needs`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lanai needs                      open asks about your topics, the most urgent first
  lanai needs --all                about any topic

Your topics are those you follow (lanai topic follow TOPIC), those you look after (lanai topic tend
TOPIC), and the words of your profile's \"ask me about\".")]
pub struct NeedsArgs {
    /// Asks about any topic
    #[arg(long)]
    pub all: bool,
    /// How many to list
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    pub limit: usize,
}

/// `lanai digest`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lanai digest                     what fits into ten minutes
  lanai digest --minutes 3 --since 2d
  lanai digest > digest.md         as Markdown

It is made on this machine and marks nothing as read. What you have not read and is for you, about
your topics or watched is in it however old it is; --since bounds the rest.")]
pub struct DigestArgs {
    /// How long reading it may take, in minutes
    #[arg(short, long, value_name = "N", default_value = "10")]
    pub minutes: NonZeroU32,
    /// How far back to look for outcomes, newcomers and the rest: 2d, 7d, 4w
    #[arg(short, long, value_name = "SPAN", value_parser = parse_span, default_value = "7d")]
    pub since: Duration,
}

/// `lanai topic`
#[derive(Debug, Subcommand)]
pub enum TopicCommand {
    /// Put what is about a topic before the rest, for you alone
    #[command(after_help = "\
Examples:
  lanai topic follow convoy
  lanai topic follow convoy \"night driving\"

A thread is about a topic if it has that tag or its title says so.")]
    Follow {
        /// Topics
        #[arg(value_name = "TOPIC", required = true)]
        topics: Vec<String>,
    },
    /// Follow a topic no more
    #[command(after_help = "\
Examples:
  lanai topic unfollow convoy")]
    Unfollow {
        /// Topics
        #[arg(value_name = "TOPIC", required = true)]
        topics: Vec<String>,
    },
    /// Your topics, and those of the community with who looks after them
    #[command(after_help = "\
Examples:
  lanai topic list
  lanai topic list --all")]
    List {
        /// All tags of the community, not only the most used
        #[arg(long)]
        all: bool,
    },
    /// Volunteer to look after a topic for a time; everybody sees it
    #[command(after_help = "\
Examples:
  lanai topic tend convoy
  lanai topic tend convoy --until 3mo

Its open asks come up in your `lanai needs`. It gives no power; terms end by themselves, and the
same command renews one.")]
    Tend {
        /// The topic
        #[arg(value_name = "TOPIC")]
        topic: String,
        /// For how long: 4w, 6mo, 1y
        #[arg(short, long, value_name = "SPAN", value_parser = parse_span, default_value = "6mo")]
        until: Duration,
    },
    /// Look after a topic no more
    #[command(after_help = "\
Examples:
  lanai topic done convoy")]
    Done {
        /// The topic
        #[arg(value_name = "TOPIC")]
        topic: String,
    },
}

/// `lanai watch` and `lanai mute`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lanai watch k3f9                 its news come before the rest
  lanai mute k3f9                  its news are counted and not shown
  lanai mute k3f9 --off            as any other again

Only this device knows.")]
pub struct WatchArgs {
    /// Threads, each by any unique beginning of its id
    #[arg(value_name = "ID", required = true)]
    pub ids: Vec<String>,
    /// As any other thread again
    #[arg(long)]
    pub off: bool,
}

/// `lanai snooze`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lanai snooze k3f9                until tomorrow at this time
  lanai snooze k3f9 3d
  lanai snooze k3f9 --off

The thread comes back when the time is over, or as soon as somebody answers you in it. Only this
device knows.")]
pub struct SnoozeArgs {
    /// The thread, by any unique beginning of its id
    #[arg(value_name = "ID")]
    pub id: String,
    /// For how long: 12h, 3d, 2w, 1mo
    #[arg(value_name = "SPAN", value_parser = parse_span, default_value = "1d")]
    pub span: Duration,
    /// Show it again
    #[arg(long)]
    pub off: bool,
}

/// `lanai outcome`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lanai outcome k3f9 -m \"Did it in two steps as Ben says; the second was enough.\"
  lanai outcome k3f9 --close -m \"Went well.\"
  lanai outcome k3f9 < outcome.md

What was done and how it went is what others look for later. Nothing to tell? `lanai close ID` or
`lanai snooze ID 30d` ends the reminder.")]
pub struct OutcomeArgs {
    /// The thread, or the post whose advice was taken, by any unique beginning of its id
    #[arg(value_name = "ID")]
    pub id: String,
    /// What was done, and how it went.
    #[command(flatten)]
    pub text: TextArgs,
    /// Close the ask with it, without asking
    #[arg(long, conflicts_with = "keep_open")]
    pub close: bool,
    /// Leave the ask as it is, without asking
    #[arg(long)]
    pub keep_open: bool,
}

/// `lanai work`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lanai work k3f9                  others see that you are at it

Any member may say so of an open ask; several may. Who opened it, leads and stewards set other
states: lanai close ID --state open")]
pub struct WorkArgs {
    /// The ask, by any unique beginning of its id
    #[arg(value_name = "ID")]
    pub id: String,
}
