//! What leads do with threads and posts.

use clap::{Args, Subcommand};

/// `lanai thread`
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Leads and stewards put threads in order; who opened a thread may retitle and tag it. All of it is
signed, listed by `lanai thread log`, and taken back by `lanai thread back`. Nothing is lost: what
others reply meanwhile goes where the post stands that they answer, and every id keeps leading there.")]
pub enum ThreadCommand {
    /// Make a post and all that answers it a thread of its own
    Split(SplitArgs),
    /// Put a whole thread below another one
    Merge(MergeArgs),
    /// Put a post and all that answers it into another thread
    Move(MoveArgs),
    /// Put a post or a merged thread back where its author put it
    Back(BackArgs),
    /// Give a thread another title
    Retitle(RetitleArgs),
    /// Keep a thread at the head of lists
    Pin(SwitchArgs),
    /// Do not keep it there any more
    Unpin(SwitchArgs),
    /// Show a thread or a post to everybody as worth reading
    Feature(SwitchArgs),
    /// Do not show it to everybody any more
    Unfeature(SwitchArgs),
    /// Put tags on a thread, or take them off
    Tag(TagArgs),
    /// What was done with a thread, by whom and why
    Log(LogArgs),
}

/// `lanai thread split`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lanai thread split k3f9 --title \"Which antenna for the base?\" --ask
  lanai thread split k3f9 --title \"Rations, a side story\" -r \"another subject\"")]
pub struct SplitArgs {
    /// The post, by any unique beginning of its id
    #[arg(value_name = "POST")]
    pub id: String,
    /// What the new thread is called
    #[arg(long, value_name = "TITLE")]
    pub title: String,
    /// It asks something, and can be answered and closed
    #[arg(long)]
    pub ask: bool,
    /// Why, for all to read
    #[arg(short, long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// `lanai thread merge`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lanai thread merge k3f9 --into 7xq2 -r \"the same question\"")]
pub struct MergeArgs {
    /// The thread that becomes a part, by any unique beginning of its id
    #[arg(value_name = "THREAD")]
    pub id: String,
    /// The thread that it becomes a part of
    #[arg(long, value_name = "THREAD")]
    pub into: String,
    /// Why, for all to read
    #[arg(short, long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// `lanai thread move`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lanai thread move k3f9 --to 7xq2          below the first post of that thread
  lanai thread move k3f9 --to 9abc -r \"answers that one\"")]
pub struct MoveArgs {
    /// The post, by any unique beginning of its id
    #[arg(value_name = "POST")]
    pub id: String,
    /// The thread or the post to put it below
    #[arg(long, value_name = "ID")]
    pub to: String,
    /// Why, for all to read
    #[arg(short, long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// `lanai thread back`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lanai thread back k3f9                    undoes a split, a move or a merge of it")]
pub struct BackArgs {
    /// The post or the merged thread, by any unique beginning of its id
    #[arg(value_name = "ID")]
    pub id: String,
    /// Why, for all to read
    #[arg(short, long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// `lanai thread retitle`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lanai thread retitle k3f9 \"What the second convoy taught us\"

The title of an ask is the first line of its question page, and changes with that.")]
pub struct RetitleArgs {
    /// The thread, by any unique beginning of its id
    #[arg(value_name = "THREAD")]
    pub id: String,
    /// The new title
    #[arg(value_name = "TITLE")]
    pub title: String,
    /// Why, for all to read
    #[arg(short, long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// `lanai thread pin` and its like
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lanai thread pin k3f9 -r \"read this first\"
  lanai thread feature 7xq2 -r \"the best answer of the month\"
  lanai thread unpin k3f9")]
pub struct SwitchArgs {
    /// The thread (or, to feature, the post), by any unique beginning of its id
    #[arg(value_name = "ID")]
    pub id: String,
    /// Why, for all to read
    #[arg(short, long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// `lanai thread tag`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lanai thread tag k3f9 +convoy
  lanai thread tag k3f9 +convoy -radio      puts one on and takes one off
  lanai --json thread tag k3f9 +convoy

Other options stand before the tags.")]
pub struct TagArgs {
    /// The thread, by any unique beginning of its id
    #[arg(value_name = "THREAD")]
    pub id: String,
    /// +TAG puts it on, -TAG takes it off
    #[arg(value_name = "TAG", required = true, allow_hyphen_values = true)]
    pub tags: Vec<String>,
}

/// `lanai thread log`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lanai thread log k3f9
  lanai thread log k3f9 --json")]
pub struct LogArgs {
    /// The thread, by any unique beginning of its id
    #[arg(value_name = "THREAD")]
    pub id: String,
}

/// `lanai hide`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lanai hide k3f9 --reason \"names a patient\"

For leads and stewards. The post is folded away everywhere, and listed; who wants to read it can:
lanai read ID --hidden. To take it back: lanai unhide ID")]
pub struct HideArgs {
    /// The post, by any unique beginning of its id
    #[arg(value_name = "POST")]
    pub id: String,
    /// Why, for all to read
    #[arg(short, long, value_name = "TEXT")]
    pub reason: String,
}

/// `lanai unhide`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lanai unhide k3f9
  lanai unhide k3f9 --reason \"nobody is named in it\"")]
pub struct UnhideArgs {
    /// The post, by any unique beginning of its id
    #[arg(value_name = "POST")]
    pub id: String,
    /// Why, for all to read
    #[arg(short, long, value_name = "TEXT")]
    pub reason: Option<String>,
}
