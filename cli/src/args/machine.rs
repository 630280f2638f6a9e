//! The node, the network, the store, the program itself.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use lanai_node::profile::Profile;

use super::value::{History, parse_size, parse_span};

/// How a node reaches the network.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Network options")]
pub struct NetworkArgs {
    /// Address to listen on; may be given several times [default: all]
    #[arg(short, long, value_name = "ADDR")]
    pub listen: Vec<String>,
    /// Port to listen on, for TCP and UDP [default: the one used before, or any that is free]
    #[arg(short, long, value_name = "PORT")]
    pub port: Option<u16>,
    /// Do not look for members on the local network with mDNS
    #[arg(long)]
    pub no_mdns: bool,
    /// Do not look for members on the local network with beacons, which only they can read
    #[arg(long)]
    pub no_beacon: bool,
    /// An address of a member's node; may be given several times
    #[arg(short, long, value_name = "ADDR")]
    pub dial: Vec<String>,
}

/// The phrase that brings a member back.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Phrase")]
pub struct PhraseArgs {
    /// Make no phrase for paper; without a terminal none is made anyway
    #[arg(long)]
    pub no_phrase: bool,
    /// Write the phrase to a new file instead of showing it, for scripts
    #[arg(long, value_name = "FILE", conflicts_with = "no_phrase")]
    pub phrase_file: Option<PathBuf>,
}

/// `lanai up`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lanai up
  lanai up --name \"Ann Lee\" --community \"Platoon leaders\"
  lanai up --foreground            stay, and say what happens

The first time it makes your identity and a community, starts the node in the background and
prints a ticket for others. Later it starts the node if it is not running and shows what is new.
The phrase that is offered the first time is explained by `lanai help recover`, --history by \
`lanai help init`.")]
pub struct UpArgs {
    /// Run the node here, not in the background
    #[arg(short, long)]
    pub foreground: bool,
    /// Your name, as others see it [default: your user name]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Name of the community to be made [default: after you]
    #[arg(long, value_name = "NAME")]
    pub community: Option<String>,
    /// How far back newcomers will read in the community to be made
    #[arg(long, value_enum, default_value = "all")]
    pub history: History,
    /// The phrase that brings you back.
    #[command(flatten)]
    pub phrase: PhraseArgs,
    /// How to reach the network.
    #[command(flatten)]
    pub network: NetworkArgs,
}

/// `lanai init`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lanai init --name \"Ann Lee\" --community \"Platoon leaders\"
  lanai init --lock                with a passphrase, which is asked for twice
  lanai init --history admission   newcomers read what is written once they are in

`lanai up` does this by itself the first time. The phrase that is offered is explained by `lanai help recover`. \
A passphrase can be put on later, too: `lanai lock`.

By default newcomers read everything: a community's memory is its point. With --history admission they read
nothing that was written before they came, nor what somebody wrote who had not heard of them yet, and see
only that it is there; who was there reads all, on new devices too. That is settled for good, and
each admission then costs a new key for every member: it is meant for some hundred members. A member can
still show a newcomer what was said.")]
pub struct InitArgs {
    /// Your name, as others see it [default: your user name]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Name of the community [default: after you]
    #[arg(long, value_name = "NAME")]
    pub community: Option<String>,
    /// How far back newcomers read
    #[arg(long, value_enum, default_value = "all")]
    pub history: History,
    /// Protect the home with a passphrase
    #[arg(long)]
    pub lock: bool,
    /// The phrase that brings you back.
    #[command(flatten)]
    pub phrase: PhraseArgs,
}

/// `lanai lock`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lanai lock                       puts a passphrase on; where there is one, locks now
  lanai lock --change              another passphrase

Locking stops the node, which forgets the keys. From then on whoever has this disk gets nothing of \
your keys without the passphrase, and nobody can tell you the passphrase. While the node runs, \
and while you write in your editor, the machine itself is not protected: lock before you leave it.

What was written to the disk before the passphrase was put on may be found on it still, however \
well it was removed. `lanai init --lock` protects from the start.

In scripts LANAI_PASSPHRASE_FILE names a file whose first line is the passphrase.")]
pub struct LockArgs {
    /// Put on another passphrase
    #[arg(long)]
    pub change: bool,
    /// Read the new passphrase from the first line of this file instead of asking
    #[arg(long, value_name = "FILE", requires = "change")]
    pub new_passphrase_file: Option<PathBuf>,
}

/// `lanai unlock`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lanai unlock                     asks for the passphrase, and starts the node
  lanai unlock --remove            takes the passphrase off for good

As long as the node runs, no command asks for the passphrase. `lanai lock` ends that.")]
pub struct UnlockArgs {
    /// Take the passphrase off for good
    #[arg(long)]
    pub remove: bool,
    /// How to reach the network.
    #[command(flatten)]
    pub network: NetworkArgs,
}

/// `lanai wipe`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lanai wipe
  lanai wipe --yes                 without asking

Stops the node and destroys the home: the keys first, then the store, drafts and settings. Of a home \
that `lanai init --lock` made nothing can be read at any moment of it, and once the keys are gone \
nobody can open what is left, not even with the passphrase. Of a home without a passphrase the texts \
are on the disk until their file is overwritten, a moment later, and flash memory may keep them longer.

What others hold, backups, and an identity that was exported are not touched. Links are not followed.")]
pub struct WipeArgs {
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
}

/// `lanai peers`
#[derive(Debug, Args)]
pub struct PeersArgs {
    /// Also those that were not seen for long
    #[arg(long)]
    pub all: bool,
}

/// `lanai sync`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lanai sync
  lanai sync --wait 10             at most ten seconds; status 7 when no peer has confirmed
  lanai sync --peer 192.168.4.20:4110
  socat EXEC:'lanai sync --stdio' EXEC:'ssh camp lanai sync --stdio'
  lanai sync --stdio </dev/ttyUSB0 >/dev/ttyUSB0          the same at the other end of the line
  lanai sync --stdio --profile thin </dev/ttyUSB0 >/dev/ttyUSB0
  lanai sync --stdio --budget 20kB --since 7d             about 20 kB, and no texts older than a week

With --stdio no node is needed, and one may run. Both ends prove which device they are, and all
between them is sealed: the line sees how much is sent and when. A stranger at the other end learns
the key of this device and nothing else. When the line breaks, what came whole is kept; run it again.
Standard output carries the session, so --json is written to standard error.

A slow line that loses or alters bytes, as a radio modem's, needs --profile thin; where bytes may be \
lost, at both ends, so that either can begin. It brings the newest first, a few posts at a time; each few that came are kept \
whatever happens next. It waits up to ten minutes for the other end, and gives a dead line up after five. \
With --budget the newest posts come whole, and then, in a quarter of the budget, what others before them need to \
be shown: their headers. The other end's limits hold as well. What was left out \
comes with a later run; the status is 7 as long as there is more. A budget has to be some 5 kB at least: to \
find out what is new takes one or two. With --since older texts stay away, and their headers come if they are \
not more than 256.

Set a serial device to raw first: `stty -F /dev/ttyUSB0 raw -echo -ixon 1200`.")]
pub struct SyncArgs {
    /// How long to wait until a peer has confirmed
    #[arg(short, long, value_name = "SPAN", value_parser = parse_span)]
    pub wait: Option<Duration>,
    /// Only with the node at this address, or of this member; may be given several times
    #[arg(short, long = "peer", value_name = "ADDR")]
    pub peers: Vec<String>,
    /// One session over standard input and output; --wait: how long for the other end to speak
    #[arg(long, conflicts_with = "peers")]
    pub stdio: bool,
    /// What the line of --stdio can bear: lan, metered, or thin (slow, and loses bytes)
    #[arg(long, value_name = "PROFILE", requires = "stdio")]
    pub profile: Option<Profile>,
    /// At most about so many bytes, both ways: 1200, 20kB, 5MB
    #[arg(short, long, value_name = "SIZE", value_parser = parse_size, requires = "stdio")]
    pub budget: Option<u64>,
    /// No texts that are older: 90m, 12h, 3d, 2w
    #[arg(short, long, value_name = "SPAN", value_parser = parse_span, requires = "stdio")]
    pub since: Option<Duration>,
}

/// `lanai node`
#[derive(Debug, Subcommand)]
pub enum NodeCommand {
    /// Run the node here, until Ctrl-C
    Run {
        /// How to reach the network.
        #[command(flatten)]
        network: NetworkArgs,
        /// Log to node.log instead of standard error
        #[arg(long, hide = true)]
        background: bool,
    },
    /// Start the node in the background
    Start {
        /// How to reach the network.
        #[command(flatten)]
        network: NetworkArgs,
    },
    /// Stop the node
    Stop,
    /// Whether the node is running, since when, and where it listens
    Status,
    /// Its numbers, as Prometheus reads them
    #[command(after_help = "\
Examples:
  lanai node metrics
  lanai node metrics > /var/lib/node_exporter/lanai.prom

Also where no node runs: lanai_up is 0 then. No name, id or address is in it.")]
    Metrics,
    /// What the node logged
    #[command(after_help = "\
Examples:
  lanai node logs -n 200
  lanai node logs --follow")]
    Logs(LogsArgs),
}

/// `lanai events`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lanai events
  lanai events --json | jq 'select(.event == \"session-ended\")'
  lanai events --count 1           waits for the next one

Peers come and go, exchanges begin and end with their numbers, entries arrive, who belongs changes, something \
goes wrong. Who reads too slowly is told how many events were left out. Ctrl-C ends it; exit code 5 when the node ends.")]
pub struct EventsArgs {
    /// End after so many
    #[arg(short = 'n', long, value_name = "N")]
    pub count: Option<u64>,
}

/// `lanai report`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lanai report
  lanai report trouble && tar czf trouble.tgz trouble

It holds versions, numbers, what `lanai doctor` finds, settings and the end of the log as plain files, so that you \
can see what you hand on. Names, ids, keys, addresses, paths and texts are left out; of addresses the kind is left.")]
pub struct ReportArgs {
    /// Directory to make [default: lanai-report- and the time]
    #[arg(value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// `lanai node logs`
#[derive(Debug, Args)]
pub struct LogsArgs {
    /// Go on showing lines as they come, until Ctrl-C
    #[arg(short, long)]
    pub follow: bool,
    /// How many lines to show
    #[arg(short = 'n', long, value_name = "N", default_value_t = 50)]
    pub lines: usize,
}

/// `lanai store`
#[derive(Debug, Subcommand)]
pub enum StoreCommand {
    /// Check every entry against its hash and signature
    Check {
        /// Drop damaged entries, so that peers send them again
        #[arg(long)]
        repair: bool,
    },
    /// Make all views anew from the entries
    Rebuild,
    /// Drop what was withdrawn, and every trace of it in the store's files
    #[command(after_help = "\
Examples:
  lanai store purge

A withdrawal hides a text at once and leaves it in the store. This drops the texts that you withdrew, \
and those that others withdrew three days ago or longer; peers that send them again send in vain. \
Everything else is written anew, so that no copy of a text stays in an index or in free space. It takes \
memory for all of the store, and the disk may keep what it overwrote.

Other members' nodes keep what they hold until they purge it, too.")]
    Purge {
        /// Do not ask whether older copies of the store may go
        #[arg(short, long)]
        yes: bool,
    },
    /// Write a copy of the store, without keys, while the node may be running
    #[command(after_help = "\
Examples:
  lanai store backup lanai-2026-03-06.db")]
    Backup {
        /// The file to write
        #[arg(value_name = "FILE")]
        path: PathBuf,
        /// Overwrite a file that exists
        #[arg(long)]
        force: bool,
    },
    /// Put a backup in the store's place
    #[command(after_help = "\
Examples:
  lanai store restore lanai-2026-03-06.db

What was written since the backup comes back from peers. The device goes on under a new log.")]
    Restore {
        /// The file to read
        #[arg(value_name = "FILE")]
        path: PathBuf,
        /// Do not ask whether to go on
        #[arg(short, long)]
        yes: bool,
    },
}

/// `lanai config`
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// List all settings
    List,
    /// Print a setting
    #[command(after_help = "\
Examples:
  lanai config get port")]
    Get {
        /// Name of the setting
        #[arg(value_name = "KEY")]
        key: String,
    },
    /// Change a setting
    #[command(after_help = "\
Examples:
  lanai config set port 4110
  lanai config set mdns false
  lanai config set dial \"192.168.4.20:4110 node.example:4110\"")]
    Set {
        /// Name of the setting
        #[arg(value_name = "KEY")]
        key: String,
        /// Its new value
        #[arg(value_name = "VALUE")]
        value: String,
    },
    /// Set back to what it is by itself
    #[command(after_help = "\
Examples:
  lanai config unset port")]
    Unset {
        /// Name of the setting
        #[arg(value_name = "KEY")]
        key: String,
    },
}

/// `lanai man`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lanai man > lanai.1
  lanai man --out man1             a page for each command, in this directory
  lanai man ask > lanai-ask.1")]
pub struct ManArgs {
    /// The command whose page to print [default: lanai itself]
    #[arg(value_name = "COMMAND", conflicts_with = "out")]
    pub command: Vec<String>,
    /// Write all pages into this directory
    #[arg(short, long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// `lanai help`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lanai help ask
  lanai help member role
  lanai help limits

Topics: limits, exit-codes, environment")]
pub struct HelpArgs {
    /// A command or a topic
    #[arg(value_name = "COMMAND|TOPIC")]
    pub words: Vec<String>,
}
