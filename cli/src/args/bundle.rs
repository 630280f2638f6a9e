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

What comes with a bundle is checked like all that comes from peers. A cut-off file gives everything before the \
cut, a damaged one everything but what is damaged, and what is lacking is named.")]
pub enum BundleCommand {
    /// Write what others lack to a file
    Make(BundleMakeArgs),
    /// Write what is held here to a small file, so that others can make the bundle that is lacking
    Want(BundleWantArgs),
    /// Take in what a file holds
    #[command(after_help = "\
Examples:
  lanai bundle take /media/card/from-ana.lanai
  lanai bundle take /media/card/*.lanai
  lanai bundle take --text         paste or type the parts of one made with --qr or --text
  lanai bundle take --text mail.txt

Taking one twice does no harm. What its maker said that they hold is remembered, and left out of \
the next bundle for them.")]
    Take {
        /// The files
        #[arg(required_unless_present = "text", value_name = "FILE")]
        files: Vec<PathBuf>,
        /// They hold parts as text; without a file, of standard input
        #[arg(long)]
        text: bool,
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
  lanai bundle make rest.lanai --answer want.lanai   what the maker of want.lanai lacks, for that device
  lanai bundle make --qr --for ana --budget 3kB    as QR codes, to be taken with a phone from the screen
  lanai bundle make --text --for ana --budget 3kB  as text, for a mail or to be read aloud

With a budget, the next bundle goes on where this one ended once its reader has sent one back. What is \
shown as QR codes or text is sealed like a file: it is for its readers' devices only.")]
pub struct BundleMakeArgs {
    /// The file to write
    #[arg(required_unless_present_any = ["qr", "text"], conflicts_with_all = ["qr", "text"], value_name = "FILE")]
    pub file: Option<PathBuf>,
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
    /// What the maker of this summary lacks, for that device: a file of `bundle want`
    #[arg(long, value_name = "WANT", conflicts_with_all = ["members", "everything"])]
    pub answer: Option<PathBuf>,
    /// How it is shown instead.
    #[command(flatten)]
    pub shown: BundleShownArgs,
    /// Overwrite the file
    #[arg(long)]
    pub force: bool,
}

/// A bundle on the screen.
#[derive(Debug, Clone, Copy, Default, Args)]
#[command(next_help_heading = "Instead of a file")]
pub struct BundleShownArgs {
    /// As QR codes, one after the other
    #[arg(long, conflicts_with_all = ["max_size", "text"])]
    pub qr: bool,
    /// As lines of text
    #[arg(long, conflicts_with = "max_size")]
    pub text: bool,
}

/// `lanai bundle want`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lanai bundle want want.lanai                 for every member
  lanai bundle want want.lanai --for ana
  lanai bundle want --qr --for ana             as QR codes

The file says how far this device holds each member's log, and has no posts. Whoever gets it makes what \
is lacking: `lanai bundle make rest.lanai --answer want.lanai`; or takes it, and the next bundle for you leaves \
out what you hold.")]
pub struct BundleWantArgs {
    /// The file to write
    #[arg(required_unless_present_any = ["qr", "text"], conflicts_with_all = ["qr", "text"], value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Only for this member, who may have several devices; may be given several times
    #[arg(short = 'f', long = "for", value_name = "NAME")]
    pub members: Vec<String>,
    /// As QR codes, one after the other
    #[arg(long, conflicts_with = "text")]
    pub qr: bool,
    /// As lines of text
    #[arg(long)]
    pub text: bool,
    /// Overwrite the file
    #[arg(long)]
    pub force: bool,
}
