//! `lanai bundle`

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::value::{parse_size, parse_span};

/// `lanai bundle`
#[derive(Debug, Subcommand)]
#[command(after_help = "\
A bundle is a file: on a memory card, in a pocket, attached to a mail. It is sealed for the devices of \
the members that it is for; who finds it learns how large it is and for how many devices. It carries \
what everybody may carry, side talks included, which open to those who take part.

What comes with a bundle is checked like all that comes from peers. A damaged or cut-off file gives \
everything up to the damage.")]
pub enum BundleCommand {
    /// Write what others lack to a file
    Make(BundleMakeArgs),
    /// Take in what a file holds
    #[command(after_help = "\
Examples:
  lanai bundle take /media/card/from-ana.lanai
  lanai bundle take /media/card/*.lanai

Taking one twice does no harm. What its maker said that they hold is remembered, and left out of \
the next bundle for them.")]
    Take {
        /// The files
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Say what a file holds, and change nothing
    #[command(after_help = "\
Examples:
  lanai bundle show /media/card/from-ana.lanai")]
    Show {
        /// The file
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

/// `lanai bundle make`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lanai bundle make card.lanai                     for every member
  lanai bundle make card.lanai --for ana           what Ana's devices did not say that they hold
  lanai bundle make card.lanai --budget 20kB       the oldest of it, as much as fits
  lanai bundle make card.lanai --max-size 700kB    card-1.lanai, card-2.lanai, ... of that size
  lanai bundle make card.lanai --since 2d          nothing older
  lanai bundle make want.lanai --want              no posts: others see what to bring

With a budget, the next bundle goes on where this one ended once its reader has sent one back.")]
pub struct BundleMakeArgs {
    /// The file to write
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Only for this member, who may have several devices; may be given several times
    #[arg(short = 'f', long = "for", value_name = "NAME")]
    pub members: Vec<String>,
    /// At most so many bytes: 1200, 20kB, 5MB
    #[arg(short, long, value_name = "SIZE", value_parser = parse_size)]
    pub budget: Option<u64>,
    /// In parts of at most so many bytes, each a bundle that can be taken by itself
    #[arg(long, value_name = "SIZE", value_parser = parse_size, conflicts_with = "budget")]
    pub max_size: Option<u64>,
    /// Only what was written in so long: 90m, 12h, 3d, 2w
    #[arg(short, long, value_name = "SPAN", value_parser = parse_span)]
    pub since: Option<Duration>,
    /// Also what they said that they hold
    #[arg(long)]
    pub everything: bool,
    /// No posts, only what is held here, so that others can make the bundle that is lacking
    #[arg(long, conflicts_with_all = ["everything", "budget", "max_size", "since"])]
    pub want: bool,
    /// Overwrite the file
    #[arg(long)]
    pub force: bool,
}
