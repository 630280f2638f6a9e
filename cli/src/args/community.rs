//! People, tickets, identity.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::content::TextArgs;
use super::machine::PhraseArgs;
use super::value::{Expiry, Role, parse_span};

/// `lanai invite`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lanai invite                     for one person, within a week
  lanai invite --uses 20 --expires 2d
  lanai invite --role lead --no-qr

Whoever holds the ticket can join; give it to nobody else. `lanai ticket close` ends it early.")]
pub struct InviteArgs {
    /// How many people may join with it
    #[arg(short = 'n', long, value_name = "N", default_value = "1")]
    pub uses: NonZeroU32,
    /// How long it is valid: 12h, 7d, 2w, never
    #[arg(short, long, value_name = "SPAN", default_value = "7d")]
    pub expires: Expiry,
    /// The role that newcomers get
    #[arg(short, long, value_enum, default_value = "member")]
    pub role: Role,
    /// Leave out this node's addresses; newcomers then find members by themselves
    #[arg(long)]
    pub no_addresses: bool,
    /// Print the ticket as text only
    #[arg(long)]
    pub no_qr: bool,
}

/// `lanai join`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lanai join lanai1q… --name \"Ann Lee\"
  lanai join - < ticket.txt
  lanai join lanai1q… --dial 192.168.4.20:4110
  lanai join lanai1q… --lock       with a passphrase, which is asked for twice
  lanai join                       go on with a join that was interrupted

Any member whose node can be reached lets you in, not only the one who invited you. A community
that you are alone in and that has no posts makes room; else use another --home. The members' charter
is shown once it has come (`lanai charter`); the phrase is explained by `lanai help recover`.

With --lock keys and store are sealed with a passphrase from the first byte (`lanai help lock`). Until you
are let in, the ticket and your name lie open in the home, so that the join can be gone on with.")]
pub struct JoinArgs {
    /// The ticket; \"-\" reads standard input [default: the one used before]
    #[arg(value_name = "TICKET")]
    pub ticket: Option<String>,
    /// Your name, as others see it [default: your user name]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// An address of a member's node; may be given several times
    #[arg(short, long, value_name = "ADDR")]
    pub dial: Vec<String>,
    /// How long to wait for a member's node [default: until Ctrl-C]
    #[arg(short, long, value_name = "SPAN", value_parser = parse_span)]
    pub wait: Option<Duration>,
    /// Accept what the members agree to without being asked
    #[arg(long)]
    pub accept_charter: bool,
    /// Protect the home with a passphrase
    #[arg(long)]
    pub lock: bool,
    /// The phrase that brings you back.
    #[command(flatten)]
    pub phrase: PhraseArgs,
}

/// `lanai charter`
#[derive(Debug, Subcommand)]
pub enum CharterCommand {
    /// Show it, and whether you have accepted this version
    Show,
    /// Set it, as a steward; in your editor, or with -m
    #[command(after_help = "\
Examples:
  lanai charter edit
  lanai charter edit -m \"We say what we tried. What is said here stays here.\"

Newcomers are shown it when they join, all others are told that it is new to them. It is a promise
among people: nothing enforces it but the stewards.")]
    Edit(TextArgs),
    /// Accept it; that stays in your store and is told to nobody
    Accept,
}

/// `lanai recover`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lanai device invite --member ann         any member types this, and gives Ann the text
  lanai recover lanaidev1…                 Ann types this on a new machine, and then her twelve words
  lanai recover lanaidev1… --revoke-others --reason \"the bag was stolen\"
  lanai recover --copy porch.lanai-backup  from a copy of a store, without any node

The copy may be anybody's, as long as it is not sealed: the key of a sealed store follows from the keys of
the device that made it, which are not on the paper. With an export of that device's keys the way is
`lanai identity import`, then `lanai store restore`.

Name, posts and roles are those that you had. The words sign for a new device, and are not kept here.
With --revoke-others every other device of yours is turned out; the paper is senior to them all, if the words
were made when you joined. Words from `lanai device phrase` turn out what was added after them. Whoever
finds the paper can do the same: then ask a steward to vouch for a new device (`lanai member vouch`),
which ends the paper as well. What a stolen device holds it goes on reading; what is written by those who
have heard of this it does not read.")]
pub struct RecoverArgs {
    /// What a member printed with `lanai device invite --member`
    #[arg(value_name = "TEXT", required_unless_present = "copy")]
    pub invitation: Option<String>,
    /// A backup or another copy of a store of the community
    #[arg(long, value_name = "FILE")]
    pub copy: Option<PathBuf>,
    /// Read the twelve words from this file instead of asking
    #[arg(long, value_name = "FILE")]
    pub phrase_file: Option<PathBuf>,
    /// Revoke all other devices of yours
    #[arg(long)]
    pub revoke_others: bool,
    /// Why, for all members to read
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// An address of a member's node, with its peer; may be given several times
    #[arg(short, long, value_name = "ADDR")]
    pub dial: Vec<String>,
    /// How long to wait for a member's node
    #[arg(short, long, value_name = "SPAN", value_parser = parse_span, default_value = "2m")]
    pub wait: Duration,
}

/// `lanai leave`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lanai leave
  lanai leave --yes

What you wrote stays with the community; withdraw first what should not. What you have of it
moves into a directory inside the home and stays readable to you. A join that was begun and is
not finished is given up.")]
pub struct LeaveArgs {
    /// Do not ask whether to go on
    #[arg(short, long)]
    pub yes: bool,
}

/// `lanai who`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lanai who                        everybody
  lanai who ann                    by name
  lanai who \"convoy planning\"      who may know, and why

Somebody is named because of a profile, an answer, an outcome or a post; each name comes with its
reasons. Authors of imported posts are named too, though they are no members.")]
pub struct WhoArgs {
    /// A name, or what you want to know about
    #[arg(value_name = "WORDS")]
    pub words: Vec<String>,
}

/// `lanai profile`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lanai profile                    your own
  lanai profile ann
  lanai profile --name \"Ann Lee\" --ask-about radios --ask-about maps
  lanai profile --reach \"\"         an empty text takes something back")]
pub struct ProfileArgs {
    /// The member, by name or by any unique beginning of the id [default: yourself]
    #[arg(value_name = "MEMBER", conflicts_with_all = ["name", "held", "experience", "ask_about", "reach"])]
    pub member: Option<String>,
    /// Set your name
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Set the posts you held
    #[arg(long, value_name = "TEXT")]
    pub held: Option<String>,
    /// Set your experience
    #[arg(long, value_name = "TEXT")]
    pub experience: Option<String>,
    /// Set what people may ask you about; may be given several times
    #[arg(long, value_name = "TEXT")]
    pub ask_about: Vec<String>,
    /// Set how to reach you
    #[arg(long, value_name = "TEXT")]
    pub reach: Option<String>,
}

/// `lanai member`
#[derive(Debug, Subcommand)]
pub enum MemberCommand {
    /// List members with their roles and key marks
    List,
    /// Give a member a role, or take roles back
    #[command(after_help = "\
Examples:
  lanai member role ann lead
  lanai member role ann member --reason \"handed over to Ben\"

You may grant roles up to your own. Taking one back from a steward takes a steward who is senior, or a
motion (`lanai motion open`).")]
    Role {
        /// The member, by name or by any unique beginning of the id
        #[arg(value_name = "MEMBER")]
        member: String,
        /// The role
        #[arg(value_enum)]
        role: Role,
        /// Why, for all members to read
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        /// Act with the recovery key, whose text is the first line of this file
        #[arg(long, value_name = "FILE")]
        recovery_key_file: Option<PathBuf>,
    },
    /// Remove a member from the community
    #[command(after_help = "\
Examples:
  lanai member remove eve --reason \"the laptop was sold with the keys on it\"
  lanai member remove eve --recovery-key-file key.txt

Stewards remove whoever is no steward, and stewards junior to them. Against a senior one it takes a motion
(`lanai motion`), or the recovery key that was printed when the community was founded; with that any
member may remove anybody, and give roles. They hear that they were removed and by whom; the reason is
for those who stay. What they wrote until now stays. Whoever has seen the removal writes under a new key, which a removed
member never gets. What they hold already cannot be called back, and until the removal has reached
somebody, that member's node still shares new posts with them.")]
    Remove {
        /// The member, by name or by any unique beginning of the id
        #[arg(value_name = "MEMBER")]
        member: String,
        /// Why, for all members to read
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        /// Act with the recovery key, whose text is the first line of this file
        #[arg(long, value_name = "FILE")]
        recovery_key_file: Option<PathBuf>,
        /// Do not ask whether to go on
        #[arg(short, long)]
        yes: bool,
    },
    /// Vouch for a member who lost every device, and has a new one
    #[command(after_help = "\
Examples:
  lanai device invite --member ann        the text for her new device
  lanai member vouch lanaireq1… --reason \"I met her; her bag was stolen\"

Ann types `lanai device join` with that text on her new device, which prints the request. Vouching makes
the device hers and revokes all others: name and posts stay hers, a role above member has to be given
again. It takes a steward who could remove her. It does not check who holds the new device: you do.
Whoever stole a device reads what was written until now, and nothing that is written by those who know.")]
    Vouch(ReturnArgs),
    /// Take somebody back in who was removed, or has left
    #[command(after_help = "\
Examples:
  lanai device invite --member dan        the text for his new device
  lanai member readmit lanaireq1… --reason \"he has the laptop back\"

As for `lanai member vouch`, the device is a new one. Name and posts are his again; he comes back as a
member, whatever he was before. It takes a steward. What he wrote between stays folded away until
somebody accepts it (`lanai member accept`).")]
    Readmit(ReturnArgs),
    /// Make a member of a newcomer who is pending
    #[command(after_help = "\
Examples:
  lanai member list                       shows who is pending
  lanai member restore k3f9

Two who joined with one ticket for one while their nodes did not meet, or somebody let in by a member who was
removed at the same time: one is in, the other waits. It takes a steward; no ticket is used. What the
newcomer wrote meanwhile shows again.")]
    Restore(ReturnArgs),
    /// Accept what somebody wrote without knowing of their removal
    #[command(after_help = "\
Examples:
  lanai member log                        shows what was cut off, and by which removal
  lanai member accept 7f3k

What a member wrote after a removal, and before hearing of it, is kept and folded away: the one who
removed could not know what it says. A steward who has it may accept it. The removal stands. Nobody can tell
whether it was written before the removal, or later and in knowledge of it.")]
    Accept(ReturnArgs),
    /// List what happened to the membership: who did what, why, and what came of it
    Log,
}

/// `lanai member vouch`, `readmit`, `restore` and `accept`
#[derive(Debug, Args)]
pub struct ReturnArgs {
    /// What it is about: a request that a new device printed, or the beginning of an id
    #[arg(value_name = "WHAT")]
    pub what: String,
    /// Why, for all members to read
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Do not ask whether to go on
    #[arg(short, long)]
    pub yes: bool,
}

/// `lanai motion`
#[derive(Debug, Subcommand)]
pub enum MotionCommand {
    /// Propose something to the stewards
    #[command(after_help = "\
Examples:
  lanai motion open remove dan --reason \"his key was stolen\"
  lanai motion open role dan member
  lanai motion open role ann steward

A motion does what a steward alone may not: it can remove or demote a senior steward. It takes two thirds
of the stewards (or what the community agreed on at its founding), whoever it is about left out.")]
    Open {
        /// What is proposed
        #[command(subcommand)]
        act: MotionAct,
    },
    /// Endorse a motion, as a steward
    #[command(after_help = "\
Examples:
  lanai motion endorse 7f3k")]
    Endorse {
        /// The motion, by any unique beginning of its id
        #[arg(value_name = "ID")]
        id: String,
    },
    /// Do what a motion proposes, once enough stewards endorse it
    #[command(after_help = "\
Examples:
  lanai motion enact 7f3k")]
    Enact {
        /// The motion, by any unique beginning of its id
        #[arg(value_name = "ID")]
        id: String,
    },
    /// List motions, with who endorses them and how many it takes
    List {
        /// Also those that were enacted
        #[arg(long)]
        all: bool,
    },
}

/// What a motion proposes.
#[derive(Debug, Clone, Subcommand)]
pub enum MotionAct {
    /// To remove a member
    #[command(after_help = "\
Examples:
  lanai motion open remove dan --reason \"his key was stolen\"")]
    Remove {
        /// The member, by name or by any unique beginning of the id
        #[arg(value_name = "MEMBER")]
        member: String,
        /// Why, for all members to read
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// To give a member a role, or to take roles back
    #[command(after_help = "\
Examples:
  lanai motion open role dan member
  lanai motion open role ann steward")]
    Role {
        /// The member, by name or by any unique beginning of the id
        #[arg(value_name = "MEMBER")]
        member: String,
        /// The role
        #[arg(value_enum)]
        role: Role,
        /// Why, for all members to read
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
}

/// `lanai ticket`
#[derive(Debug, Subcommand)]
pub enum TicketCommand {
    /// List tickets: who made them, how often they were used, when they end
    List {
        /// Also those that were used up, closed or ran out
        #[arg(long)]
        all: bool,
    },
    /// Close a ticket, so that nobody can join with it any more
    #[command(after_help = "\
Examples:
  lanai ticket close t8wd")]
    Close {
        /// The ticket, by any unique beginning of its id
        #[arg(value_name = "ID")]
        id: String,
    },
}

/// `lanai device`
#[derive(Debug, Subcommand)]
pub enum DeviceCommand {
    /// Say where the community is, for a further device of yours
    #[command(after_help = "\
Examples:
  lanai device invite              on the device that you have
  lanai device join lanaidev1…     on the new one; it answers with a request
  lanai device add lanaireq1…      on the device that you have

The text holds no secret. It tells who reads it the names of the community and yours, and addresses.
With --member it is for somebody else's new device: `lanai member vouch --help`.")]
    Invite {
        /// For a member who lost every device, or was removed: a steward makes the text
        #[arg(long, value_name = "MEMBER")]
        member: Option<String>,
        /// Print the text only
        #[arg(long)]
        no_qr: bool,
    },
    /// Make this machine a device of yours
    #[command(after_help = "\
Examples:
  lanai device join lanaidev1…
  lanai device join                print the request again

Needs a home without an identity. Once the request was added on the other device, `lanai up` gets
everything from the members' nodes.")]
    Join {
        /// What `lanai device invite` printed on the other device
        #[arg(value_name = "TEXT")]
        invitation: Option<String>,
    },
    /// Add a new device by the request that it printed
    #[command(after_help = "\
Examples:
  lanai device add lanaireq1…

Whoever holds a device of yours writes in your name. Compare the device mark with what the new device
shows. What you have read, and texts that you began, go to all your devices, sealed to them alone: the
other members see that a device wrote something for the others, when, and roughly how large. Drafts
of pages stay on their device.")]
    Add {
        /// What `lanai device join` printed on the new device
        #[arg(value_name = "TEXT")]
        request: String,
        /// Do not ask whether to go on
        #[arg(short, long)]
        yes: bool,
    },
    /// List the devices of a member, the most senior first
    #[command(after_help = "\
Examples:
  lanai device list
  lanai device list ann")]
    List {
        /// The member, by name or by any unique beginning of the id [default: yourself]
        #[arg(value_name = "MEMBER")]
        member: Option<String>,
    },
    /// Make twelve words for paper, or others in their place
    #[command(after_help = "\
Examples:
  lanai device phrase              shown once, and checked by asking two of them back
  lanai device phrase --replace    the paper is lost: other words

The words are a device of yours that exists on paper only: `lanai recover` with them makes you a new
device when every other is lost. Whoever finds the paper can be you.

Words that are made later cannot do what those can that are made when you join: they are junior to the
devices that you have now. They bring you back, and turn out devices that were added after them; one
that is older they cannot turn out, and it can turn out what they bring. If it was stolen, a steward
revokes it (`lanai device revoke ID`).

With --replace the words that were made here before are revoked. Those from when you joined are senior to
every device: only a steward can revoke them.")]
    Phrase {
        /// Revoke the words that there are
        #[arg(long)]
        replace: bool,
        /// Write the words to a new file instead of showing them, for scripts
        #[arg(long, value_name = "FILE")]
        phrase_file: Option<PathBuf>,
    },
    /// Revoke a device that was lost or stolen
    #[command(after_help = "\
Examples:
  lanai device revoke 7f3k --reason \"left in the train\"

What it wrote until now stays. Whoever has seen this writes under a new key, which the device never
gets. A device revokes those that were added after it; a steward may revoke a member's.")]
    Revoke {
        /// The device, by any unique beginning of its mark
        #[arg(value_name = "ID")]
        id: String,
        /// Why, for all members to read
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        /// Do not ask whether to go on
        #[arg(short, long)]
        yes: bool,
    },
}

/// `lanai identity`
#[derive(Debug, Subcommand)]
pub enum IdentityCommand {
    /// Write your keys to a file that a passphrase protects
    #[command(after_help = "\
Examples:
  lanai identity export ann.lanai-identity

Keep the file away from this machine. With it and the passphrase, a lost laptop is no lost person.")]
    Export {
        /// The file to write
        #[arg(value_name = "FILE")]
        path: PathBuf,
        /// Read the passphrase from the first line of this file instead of asking
        #[arg(long, value_name = "FILE")]
        passphrase_file: Option<PathBuf>,
        /// Overwrite a file that exists
        #[arg(long)]
        force: bool,
    },
    /// Be the person whose keys are in a file
    #[command(after_help = "\
Examples:
  lanai identity import ann.lanai-identity
  lanai identity import ann.lanai-identity --home /tmp/ann

Needs a home without an identity. The device goes on under a new log, so nothing is forked.")]
    Import {
        /// The file to read
        #[arg(value_name = "FILE")]
        path: PathBuf,
        /// Read the passphrase from the first line of this file instead of asking
        #[arg(long, value_name = "FILE")]
        passphrase_file: Option<PathBuf>,
    },
}
