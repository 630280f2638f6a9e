//! The control socket: how the command line talks to a running node.
//!
//! A Unix socket in the home, mode 0600. One request a connection: a line of JSON goes in, a line
//! of JSON comes out; only `events` goes on with a line for each event. Nothing here is needed to read or write; only peering is asked for.

mod client;
mod events;
mod server;

pub use client::{Client, ControlError, Listening};
pub use events::{Event, Events, Happening, Listener};
pub use server::{Incoming, listen};

use serde::{Deserialize, Serialize};

use crate::identity::passphrase::WrapKey;
use crate::profile::Profile;

/// Bytes of a request line.
const MAX_REQUEST_BYTES: usize = 16 * 1024;
/// Bytes of a reply line.
const MAX_REPLY_BYTES: u64 = 4 * 1024 * 1024;

/// What the command line asks of the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Request {
    /// How is it going?
    Status,
    /// Something was written to the store: send it out now.
    Wake,
    /// Sync with every connected member; answer when they have confirmed, or the time is over.
    Sync {
        /// How long to wait, in milliseconds.
        wait_ms: u64,
    },
    /// Connect to a typed address and remember it.
    Dial {
        /// A multiaddress.
        address: String,
    },
    /// Fetch a file from whoever has it.
    FileGet {
        /// Its manifest, base32.
        file: String,
    },
    /// How far is it?
    FileProgress {
        /// Its manifest, base32.
        file: String,
    },
    /// Do not go on with it.
    FileStop {
        /// Its manifest, base32.
        file: String,
    },
    /// What opens the key file of the home, for a command beside the node.
    Key,
    /// What happens from now on, an [`Event`] a line until the asker hangs up.
    Events,
    /// End gracefully.
    Stop,
}

/// What the node answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum Reply {
    /// To [`Request::Status`].
    Status(NodeStatus),
    /// Done.
    Done,
    /// To [`Request::Sync`].
    Synced(SyncOutcome),
    /// To [`Request::Key`].
    Key {
        /// What the passphrase gave; `None` where the key file takes none.
        key: Option<WrapKey>,
    },
    /// To [`Request::FileGet`] and [`Request::FileProgress`].
    File(FileProgress),
    /// It could not be done.
    Error {
        /// Why, for people.
        message: String,
    },
}

/// A running node as it sees itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Process id.
    pub pid: u32,
    /// Seconds since it started.
    pub uptime_s: u64,
    /// Addresses it listens on, with its peer id.
    pub listening: Vec<String>,
    /// Whether it looks for members with mDNS.
    pub mdns: bool,
    /// Why mDNS cannot be used though it should be.
    pub mdns_problem: Option<String>,
    /// Whether it sends and hears beacons.
    #[serde(default)]
    pub beacon: bool,
    /// Why it cannot, though it should.
    #[serde(default)]
    pub beacon_problem: Option<String>,
    /// Connected peers.
    pub peers: Vec<PeerStatus>,
    /// Members whose nodes are known and not connected, with the reason.
    pub absent: Vec<AbsentPeer>,
    /// Devices of no member of this community that are seen on this network.
    pub strangers: usize,
    /// Counters since the start, by name.
    pub counters: Vec<(String, u64)>,
}

/// One connected peer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PeerStatus {
    /// Device key, base32.
    pub device: String,
    /// Address.
    pub address: String,
    /// `quic` or `tcp`.
    pub transport: String,
    /// Seconds since it connected.
    pub connected_s: u64,
    /// Round trip in milliseconds.
    pub rtt_ms: Option<f64>,
    /// Seconds since the last finished exchange.
    pub last_sync_s: Option<u64>,
    /// Whether the last exchange ended with both holding the same.
    pub in_sync: bool,
    /// Why the last exchange failed, if it did.
    pub last_error: Option<String>,
    /// How the link is used.
    #[serde(default)]
    pub profile: Profile,
    /// Bytes that sessions over it may still take today; `None` if there is no limit.
    #[serde(default)]
    pub left_today: Option<u64>,
}

/// A member's device that is not connected.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct AbsentPeer {
    /// Device key, base32.
    pub device: String,
    /// Addresses that are tried.
    pub addresses: Vec<String>,
    /// What happened at the last try.
    pub last_error: Option<String>,
    /// Seconds since it was connected, announced itself, or somebody connected to it told of it;
    /// `None` if not since the node started.
    #[serde(default)]
    pub heard_s: Option<u64>,
}

/// How a file stands with the node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileState {
    /// Nobody fetches it.
    #[default]
    Idle,
    /// It is being fetched.
    Fetching,
    /// All of it is here.
    Here,
    /// Nobody who is connected gave anything of it.
    Nobody,
    /// It could not be kept.
    Failed,
}

/// How far a file is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileProgress {
    /// How it stands.
    pub state: FileState,
    /// Groups of it that are here.
    pub have: u32,
    /// Groups that it has.
    pub groups: u32,
    /// Its bytes.
    pub bytes: u64,
    /// Who was asked.
    pub peers: Vec<FilePeer>,
    /// Why it could not be kept.
    pub error: Option<String>,
}

/// A device that was asked for a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilePeer {
    /// Device key, base32.
    pub device: String,
    /// How it stands, in a few words.
    pub standing: String,
    /// Groups that it gave.
    pub groups: u32,
    /// Whether it sent what is not the file's.
    pub lied: bool,
}

/// What a requested sync came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncOutcome {
    /// Members' devices that were connected.
    pub asked: usize,
    /// Of these, how many confirmed that both hold the same.
    pub confirmed: usize,
    /// Entries received.
    pub received: u64,
    /// Entries sent.
    pub sent: u64,
    /// What went wrong, by peer.
    pub errors: Vec<String>,
}
