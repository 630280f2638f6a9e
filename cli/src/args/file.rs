//! `lanai file`, `lanai storage`, and attaching.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::value::parse_span;

/// Files that go along with what is published.
#[derive(Debug, Clone, Default, Args)]
pub struct AttachArgs {
    /// Attach a file; may be given several times
    #[arg(long, value_name = "PATH")]
    pub attach: Vec<PathBuf>,
}

/// `lanai file`
#[derive(Debug, Subcommand)]
#[command(after_help = "\
A file is added to a post, a thread, or the community. Everybody learns its name and size with the next sync; \
its bytes stay where they are until somebody asks for them, or come by themselves if it is small \
(`lanai config get fetch_files_below`). They come from every member's node that is connected and has them, each \
piece is checked, and what came is kept when a link breaks.

Files are sealed, on the way and on the disk. They are not part of a backup or of a bundle.")]
pub enum FileCommand {
    /// Add a file
    Add(FileAddArgs),
    /// List files, the latest last
    List(FileListArgs),
    /// Fetch a file, if it is not here, and write it out
    Get(FileGetArgs),
    /// Keep a file here, whatever room it takes; it is fetched if it is not here
    #[command(after_help = "\
Examples:
  lanai file pin k3f9")]
    Pin {
        /// The file, by any unique beginning of its id
        #[arg(value_name = "FILE")]
        id: String,
    },
    /// A pinned file may be dropped again when there is no room
    #[command(after_help = "\
Examples:
  lanai file unpin k3f9")]
    Unpin {
        /// The file, by any unique beginning of its id
        #[arg(value_name = "FILE")]
        id: String,
    },
    /// Drop the bytes of a file here; others keep theirs
    #[command(after_help = "\
Examples:
  lanai file drop k3f9

It is not fetched again unless you ask for it. A file of your own that nobody else is known to have is \
dropped only after a question.")]
    Drop {
        /// The file, by any unique beginning of its id
        #[arg(value_name = "FILE")]
        id: String,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
    /// Take back a file of your own
    #[command(after_help = "\
Examples:
  lanai file withdraw k3f9 --yes

It is hidden and given to nobody any more at once; three days later honest nodes drop its bytes. What others \
have written out or copied cannot be called back.")]
    Withdraw {
        /// The file, by any unique beginning of its id
        #[arg(value_name = "FILE")]
        id: String,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
}

/// `lanai file add`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lanai file add map.pdf                       for the community
  lanai file add map.pdf --to k3f9             attached to a thread or post
  lanai file add IMG_0042.jpg --to k3f9 --name \"ford from the east.jpg\"")]
pub struct FileAddArgs {
    /// The file
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// The thread or post that it belongs to, by any unique beginning of its id
    #[arg(long, value_name = "ID")]
    pub to: Option<String>,
    /// What it is called [default: its name]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Its media type [default: by its ending]
    #[arg(long = "type", value_name = "TYPE")]
    pub media: Option<String>,
}

/// `lanai file list`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lanai file list
  lanai file list k3f9             those of one thread")]
pub struct FileListArgs {
    /// Only those of this thread, by the id of anything in it
    #[arg(value_name = "THREAD")]
    pub thread: Option<String>,
}

/// `lanai file get`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lanai file get k3f9                      into the current directory, under its name
  lanai file get k3f9 --out maps/          into another directory
  lanai file get k3f9 --out ford.pdf       to this path
  lanai file get k3f9 --wait 10m           wait so long for somebody who has it

In a directory nothing is overwritten: a name that is taken gets a number. Ctrl-C ends the waiting; what came is \
kept, and the node goes on with it. If nobody who has it was there in time, the exit code is 7.")]
pub struct FileGetArgs {
    /// The file, by any unique beginning of its id
    #[arg(value_name = "FILE")]
    pub id: String,
    /// A directory, or the path to write to [default: the current directory]
    #[arg(short, long, value_name = "PATH")]
    pub out: Option<PathBuf>,
    /// Overwrite what is at that path
    #[arg(long, requires = "out")]
    pub force: bool,
    /// Only fetch it, write nothing out
    #[arg(long, conflicts_with = "out")]
    pub keep: bool,
    /// How long to wait while nothing comes: 30s, 10m, 2h [default: 30s]
    #[arg(short, long, value_name = "SPAN", value_parser = parse_span)]
    pub wait: Option<Duration>,
}
