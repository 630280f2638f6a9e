//! What happens in a run: the scenario files of `tests/scenarios`, and the same made by a seed.
//!
//! A scenario is a TOML file that a person can read from top to bottom:
//!
//! ```toml
//! title = "Two halves and a courier"
//! outcome = "Everybody reads both posts, also what was carried across by hand."
//! seconds = 120
//!
//! nodes = [
//!   { name = "ana" },                          # the first one founds the community
//!   { name = "bo", clock = "1970" },           # the others are members from the start ...
//!   { name = "cleo", joins = true },           # ... but for those who join by a ticket later
//!   { name = "mal", hostile = "forker" },
//! ]
//!
//! links = { latency_ms = [5, 400], loss = 20, cut = 30, meet_every_ms = 3000 }
//!
//! timeline = [
//!   { at = 5,  who = "ana", do = "post", as = "plan", text = "Who brings the tables?" },
//!   { at = 10, do = "split", groups = [["ana", "mal"], ["bo"]] },
//!   { at = 30, who = "bo", do = "reply", to = "plan", as = "yes", text = "I do." },
//!   { at = 60, do = "heal" },
//! ]
//!
//! [expect]
//! members = ["ana", "bo", "mal"]
//! reads = { plan = "Who brings the tables?", yes = "I do." }
//! ```
//!
//! Times are seconds from the start. After the last of them, and `seconds` at least, the network
//! becomes good and comes to rest; then everything that holds for every run is checked, and what
//! `expect` says besides.

use std::collections::BTreeMap;

use serde::Deserialize;

/// Who, what, and what is to come of it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// In a few words.
    pub title: String,
    /// What comes of it, in words.
    pub outcome: String,
    /// How long the network lives before it comes to rest.
    #[serde(default)]
    pub seconds: u64,
    /// Acts that a store refuses are no mistake of the scenario.
    #[serde(default)]
    pub may_refuse: bool,
    /// The founder first.
    pub nodes: Vec<NodeSpec>,
    /// How well nodes reach each other.
    #[serde(default)]
    pub links: LinkSpec,
    /// What happens, in any order.
    #[serde(default)]
    pub timeline: Vec<Step>,
    /// What is to come of it.
    #[serde(default)]
    pub expect: Expect,
}

/// One node.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeSpec {
    /// Unique.
    pub name: String,
    /// The plug-in that it runs, if it is hostile: a name of [`hostile::ALL`](super::hostile::ALL).
    #[serde(default)]
    pub hostile: Option<String>,
    /// What its clock shows.
    #[serde(default)]
    pub clock: Clock,
    /// It is no member at the start.
    #[serde(default)]
    pub joins: bool,
}

/// What a node's clock shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum Clock {
    /// The time.
    #[default]
    #[serde(rename = "right")]
    Right,
    /// It lost its battery and stands at zero.
    #[serde(rename = "zero")]
    Zero,
    /// It began again on the second of January 1970.
    #[serde(rename = "1970")]
    Y1970,
    /// It is a lifetime ahead.
    #[serde(rename = "2099")]
    Y2099,
    /// It stands at the greatest number there is.
    #[serde(rename = "maximum")]
    Maximum,
}

impl Clock {
    /// All clocks.
    pub const ALL: [Clock; 5] =
        [Clock::Right, Clock::Zero, Clock::Y1970, Clock::Y2099, Clock::Maximum];

    /// What it shows, in Unix milliseconds, when the time is `now_ms`.
    pub fn shows(self, now_ms: u64) -> u64 {
        let since = now_ms.saturating_sub(super::START_MS);
        match self {
            Clock::Right => now_ms,
            Clock::Zero => 0,
            Clock::Y1970 => 86_400_000 + since,
            Clock::Y2099 => 4_070_908_800_000 + since,
            Clock::Maximum => u64::MAX,
        }
    }
}

/// How well nodes reach each other. What is left out is a fair link.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LinkSpec {
    /// The least and the greatest delay one way.
    pub latency_ms: (u64, u64),
    /// Speeds that a session may get, in bytes a millisecond.
    pub bytes_per_ms: Vec<u64>,
    /// Live messages that are lost, in percent.
    pub loss: u64,
    /// Live messages that arrive twice, in percent.
    pub duplicate: u64,
    /// Sessions that are cut at some byte, in percent.
    pub cut: u64,
    /// How often two nodes that reach each other begin a session; 0 for never.
    pub meet_every_ms: u64,
    /// Whether new entries are told live as well.
    pub live: bool,
}

impl Default for LinkSpec {
    fn default() -> LinkSpec {
        LinkSpec {
            latency_ms: (5, 200),
            bytes_per_ms: vec![1000],
            loss: 5,
            duplicate: 5,
            cut: 0,
            meet_every_ms: 2000,
            live: true,
        }
    }
}

/// Something that happens.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Step {
    /// Seconds from the start.
    pub at: f64,
    /// Which node does it, or whom it befalls.
    #[serde(default)]
    pub who: Option<String>,
    /// The store must refuse it.
    #[serde(default)]
    pub refused: bool,
    /// What.
    #[serde(flatten)]
    pub act: Act,
}

/// What happens. An act that names no entry takes any that the node holds, by chance.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Act {
    /// Opens a thread.
    Post {
        /// Its name in the rest of the scenario.
        #[serde(default, rename = "as")]
        name: Option<String>,
        /// What it says.
        text: String,
    },
    /// Answers in the thread of a post.
    Reply {
        /// Which post.
        #[serde(default)]
        to: Option<String>,
        /// Its name in the rest of the scenario.
        #[serde(default, rename = "as")]
        name: Option<String>,
        /// What it says.
        text: String,
    },
    /// Replaces the text of an own post.
    Edit {
        /// Which post.
        #[serde(default)]
        of: Option<String>,
        /// The new text.
        text: String,
    },
    /// Thanks for a post.
    React {
        /// Which post.
        #[serde(default)]
        to: Option<String>,
    },
    /// Writes a ticket.
    Ticket {
        /// Its name in the rest of the scenario.
        #[serde(rename = "as")]
        name: String,
        /// How many may use it.
        #[serde(default = "one")]
        uses: u32,
        /// With which role they come in.
        #[serde(default = "member")]
        role: RoleName,
        /// Seconds from the start after which nobody is admitted.
        #[serde(default)]
        expires: Option<u64>,
    },
    /// Closes a ticket.
    CloseTicket {
        /// Which.
        ticket: String,
    },
    /// Comes in by a ticket, at the door of a member's node.
    Join {
        /// Which ticket.
        ticket: String,
        /// Who opens.
        through: String,
    },
    /// Admits without being asked: strangers that were made up, or somebody who is in already.
    Admit {
        /// By which ticket.
        ticket: String,
        /// How many strangers.
        #[serde(default = "one")]
        count: u32,
        /// Whom once more, instead of strangers.
        #[serde(default)]
        again: Option<String>,
    },
    /// Grants a role.
    Grant {
        /// To whom.
        to: String,
        /// Which.
        role: RoleName,
    },
    /// Joins the roster's heads.
    Checkpoint,
    /// Takes membership away, with a cut at what the author saw.
    Remove {
        /// From whom.
        member: String,
        /// Signed with the founder's recovery key.
        #[serde(default)]
        recovery: bool,
        /// Everything that was ever written is to be cut off.
        #[serde(default)]
        erasing: bool,
    },
    /// Takes back in what a removal cut off, as far as the author holds it.
    Accept {
        /// Of whom.
        member: String,
    },
    /// Takes every role above one away.
    Demote {
        /// From whom.
        member: String,
        /// What is left.
        role: RoleName,
    },
    /// Asks the stewards to remove somebody.
    Motion {
        /// Its name in the rest of the scenario.
        #[serde(rename = "as")]
        name: String,
        /// Whom.
        remove: String,
    },
    /// Endorses a motion.
    Endorse {
        /// Which.
        motion: String,
    },
    /// Does what a motion asks, with all endorsements that the node holds.
    Enact {
        /// Which.
        motion: String,
    },
    /// Takes back somebody who was removed, with new keys.
    Readmit {
        /// Whom.
        member: String,
    },
    /// Vouches for somebody who lost every device and comes with new keys.
    Vouch {
        /// For whom.
        member: String,
    },
    /// Lets in somebody who is pending.
    LetIn {
        /// Whom.
        member: String,
    },
    /// Gives a hostile plug-in its turn.
    Turn,
    /// Groups of nodes that no longer reach each other. Who is not named is in a group with the
    /// others who are not.
    Split {
        /// Names.
        groups: Vec<Vec<String>>,
    },
    /// All nodes reach each other.
    Heal,
    /// A courier walks over to the group of another node.
    Carry {
        /// Whose.
        to: String,
    },
    /// The process is killed: what was not committed is gone.
    Crash {
        /// Seconds until it is started again.
        #[serde(default = "ten")]
        back_after: u64,
    },
    /// The machine sleeps: nothing happens on it, and it does not notice.
    Suspend {
        /// For how many seconds.
        seconds: u64,
    },
    /// A half-open link: what others send to this node is lost, and what it sends arrives.
    HalfOpen {
        /// Only what this node sends; what all others do where nobody is named.
        #[serde(default)]
        from: Option<String>,
        /// For how many seconds.
        seconds: u64,
    },
    /// It gets another address: everything that was open is dead, and nobody is told.
    Move,
    /// The clock is set.
    Clock {
        /// What it shows from now on.
        shows: Clock,
    },
    /// Keeps a copy of the whole home.
    Backup,
    /// Puts the copy back in place of the home, as if nothing had happened since.
    Restore,
    /// Begins a session.
    Meet {
        /// With whom.
        with: String,
    },
}

impl Act {
    /// Whether it changes who may have the key.
    pub(super) fn changes_membership(&self) -> bool {
        matches!(
            self,
            Act::Remove { .. } | Act::Enact { .. } | Act::Readmit { .. } | Act::Vouch { .. }
        )
    }

    /// Whether it is something that a member's store writes.
    pub(super) fn is_written(&self) -> bool {
        match self {
            Act::Post { .. }
            | Act::Reply { .. }
            | Act::Edit { .. }
            | Act::React { .. }
            | Act::Ticket { .. }
            | Act::CloseTicket { .. }
            | Act::Join { .. }
            | Act::Admit { .. }
            | Act::Grant { .. }
            | Act::Checkpoint
            | Act::Remove { .. }
            | Act::Demote { .. }
            | Act::Motion { .. }
            | Act::Endorse { .. }
            | Act::Enact { .. }
            | Act::Accept { .. }
            | Act::Readmit { .. }
            | Act::Vouch { .. }
            | Act::LetIn { .. }
            | Act::Turn => true,
            Act::Split { .. }
            | Act::Heal
            | Act::Carry { .. }
            | Act::Crash { .. }
            | Act::Suspend { .. }
            | Act::HalfOpen { .. }
            | Act::Move
            | Act::Clock { .. }
            | Act::Backup
            | Act::Restore
            | Act::Meet { .. } => false,
        }
    }
}

fn one() -> u32 {
    1
}

fn ten() -> u64 {
    10
}

fn member() -> RoleName {
    RoleName::Member
}

/// A role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RoleName {
    /// Takes part.
    Member,
    /// Tends topics.
    Lead,
    /// Admits and removes.
    Steward,
}

impl From<RoleName> for lanai_crdt::payload::Role {
    fn from(name: RoleName) -> lanai_crdt::payload::Role {
        match name {
            RoleName::Member => lanai_crdt::payload::Role::Member,
            RoleName::Lead => lanai_crdt::payload::Role::Lead,
            RoleName::Steward => lanai_crdt::payload::Role::Steward,
        }
    }
}

/// What is to come of a scenario, on every honest node. What is not said is not looked at.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Expect {
    /// Exactly these nodes' devices are members'.
    pub members: Option<Vec<String>>,
    /// Exactly these are pending.
    pub pending: Option<Vec<String>>,
    /// How many are pending, where it is open who.
    pub pending_count: Option<usize>,
    /// Exactly these have the role of a lead.
    pub leads: Option<Vec<String>>,
    /// Exactly these have the role of a steward.
    pub stewards: Option<Vec<String>>,
    /// What posts say, by their names.
    pub reads: BTreeMap<String, String>,
    /// Entries with these names are held and do not count.
    pub aside: Vec<String>,
    /// Exactly these nodes' logs are seen to be forked: two entries with one number, which both count.
    pub forked: Vec<String>,
    /// How many threads there are.
    pub threads: Option<u64>,
    /// What nothing in the run may have grown beyond.
    pub at_most: Bounds,
}

/// What nothing in a run may have grown beyond, at any time. What is not said is not looked at.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Bounds {
    /// Bytes that one session held for its peer.
    pub session_bytes: Option<u64>,
    /// Sessions at one time.
    pub sessions: Option<u64>,
    /// Entries that waited in one store for their author to be known.
    pub waiting: Option<u64>,
    /// Bytes of one store for each entry in it, beside a fixed part.
    pub store_bytes_an_entry: Option<u64>,
    /// Events that waited to happen, but for what the scenario has to come.
    pub events: Option<u64>,
}

/// Why a scenario cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// Not in the form of a scenario.
    #[error("{0}")]
    Form(#[from] toml::de::Error),
    /// A name that no node has.
    #[error("no node is called {0}")]
    NoNode(String),
    /// Two nodes with one name.
    #[error("two nodes are called {0}")]
    Twice(String),
    /// A plug-in that there is not.
    #[error("there is no hostile plug-in {0}")]
    NoPlugIn(String),
    /// No honest founder.
    #[error("the first node founds the community: it must be there, honest, and not join")]
    NoFounder,
    /// An act that somebody must do.
    #[error("the step at {0} s does not say who")]
    NoOne(f64),
}

impl Scenario {
    /// Reads a scenario file.
    ///
    /// # Errors
    ///
    /// When it is not one, or speaks of nodes that are not there.
    pub fn parse(text: &str) -> Result<Scenario, ScenarioError> {
        let scenario: Scenario = toml::from_str(text)?;
        scenario.check()?;
        Ok(scenario)
    }

    /// The place of a node.
    pub(super) fn node(&self, name: &str) -> Option<usize> {
        self.nodes.iter().position(|n| n.name == name)
    }

    /// Looks whether everybody who is spoken of is there.
    ///
    /// # Errors
    ///
    /// Names who is not.
    pub fn check(&self) -> Result<(), ScenarioError> {
        let founder = self.nodes.first().filter(|n| n.hostile.is_none() && !n.joins);
        founder.ok_or(ScenarioError::NoFounder)?;
        for (at, node) in self.nodes.iter().enumerate() {
            if self.node(&node.name) != Some(at) {
                return Err(ScenarioError::Twice(node.name.clone()));
            }
            if let Some(plug_in) = &node.hostile
                && super::hostile::plug_in(plug_in).is_none()
            {
                return Err(ScenarioError::NoPlugIn(plug_in.clone()));
            }
        }
        let mut names: Vec<&String> = Vec::new();
        for step in &self.timeline {
            names.extend(&step.who);
            match &step.act {
                Act::Split { groups } => names.extend(groups.iter().flatten()),
                Act::Heal => {}
                act => {
                    if step.who.is_none() {
                        return Err(ScenarioError::NoOne(step.at));
                    }
                    match act {
                        Act::Join { through: name, .. }
                        | Act::Grant { to: name, .. }
                        | Act::Remove { member: name, .. }
                        | Act::Demote { member: name, .. }
                        | Act::Motion { remove: name, .. }
                        | Act::Admit { again: Some(name), .. }
                        | Act::HalfOpen { from: Some(name), .. }
                        | Act::Accept { member: name }
                        | Act::Readmit { member: name }
                        | Act::Vouch { member: name }
                        | Act::LetIn { member: name }
                        | Act::Carry { to: name }
                        | Act::Meet { with: name } => names.push(name),
                        _ => {}
                    }
                }
            }
        }
        let expect = &self.expect;
        let lists = [&expect.members, &expect.pending, &expect.leads, &expect.stewards];
        names.extend(lists.into_iter().flatten().flatten());
        names.extend(&expect.forked);
        match names.into_iter().find(|name| self.node(name).is_none()) {
            Some(name) => Err(ScenarioError::NoNode(name.clone())),
            None => Ok(()),
        }
    }
}
