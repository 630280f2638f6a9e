//! Hostile peers: members whose program was changed.
//!
//! A hostile node has a store, keys and a place in the community as everybody has, and its sessions
//! are driven by the same machine as an honest one's. A plug-in steps in where it wants to differ:
//! each hook of [`Hostile`] gets what an honest node would say, and may change it. Whatever a
//! plug-in does, the honest nodes must agree in the end, lose nothing that one of them wrote, and
//! stay within their bounds.

mod back_dater;
mod flooder;
mod forker;
mod liar;
mod malformed;
mod old_ticket;
mod replayer;
mod withholder;

use std::fmt;

use super::node::Me;
use crate::sync::{Incoming, LocalState, StoredEntry, SyncItem};

/// What a plug-in may change. The default is to be honest.
pub trait Hostile: fmt::Debug + Send {
    /// A turn of its own, a few times in a run.
    fn turn(&mut self, _me: &mut Me, _now: u64) {}

    /// What a peer is told about what it holds, in one hash.
    fn state(&mut self, _me: &mut Me, _peer: usize, _state: &mut LocalState) {}

    /// What it says it holds.
    fn items(&mut self, _me: &mut Me, _peer: usize, _items: &mut Vec<SyncItem>) {}

    /// What it sends of what it was asked for.
    fn load(&mut self, _me: &mut Me, _peer: usize, _entries: &mut Vec<StoredEntry>) {}

    /// What it keeps of what it was sent. All of it is acknowledged.
    fn keep(&mut self, _me: &mut Me, _batch: &mut Vec<Incoming>) {}

    /// The bytes that it puts on a session's stream.
    fn send(&mut self, _me: &mut Me, _bytes: &mut Vec<u8>) {}

    /// A live message that it sends or hands on; `None` for none at all.
    fn live(&mut self, _me: &mut Me, message: Vec<u8>) -> Option<Vec<u8>> {
        Some(message)
    }
}

/// The names of all plug-ins.
pub const ALL: [&str; 8] = [
    "forker",
    "flooder",
    "withholder",
    "liar",
    "replayer",
    "back-dater",
    "malformed",
    "old-ticket",
];

/// A fresh plug-in by its name.
pub fn plug_in(name: &str) -> Option<Box<dyn Hostile>> {
    Some(match name {
        "forker" => Box::<forker::Forker>::default(),
        "flooder" => Box::<flooder::Flooder>::default(),
        "withholder" => Box::<withholder::Withholder>::default(),
        "liar" => Box::<liar::Liar>::default(),
        "replayer" => Box::<replayer::Replayer>::default(),
        "back-dater" => Box::<back_dater::BackDater>::default(),
        "malformed" => Box::<malformed::Malformed>::default(),
        "old-ticket" => Box::<old_ticket::OldTicket>::default(),
        _ => return None,
    })
}
