//! Each peer in `lanai status`: its path, the last exchange with it, and how far it is ahead and behind.

use lanai_crdt::id::MemberId;
use lanai_node::control::NodeStatus;
use serde::Serialize;

use super::{Context, status};
use crate::app::{App, People, Person};
use crate::error::CliError;
use crate::layout::{Style, Text};
use crate::time;

/// Peers that a text shows, at most.
const MAX_SHOWN: usize = 12;

/// A device of another member, or another one of one's own.
#[derive(Debug, Serialize)]
pub(super) struct PeerShape {
    device: String,
    member: Person,
    #[serde(skip)]
    who: MemberId,
    pub(super) connected: bool,
    /// `quic` or `tcp`, where it is connected.
    transport: Option<String>,
    address: Option<String>,
    in_sync: bool,
    /// End of the last exchange, or when it last said in a bundle what it holds.
    last_exchange: Option<String>,
    last_exchange_ms: Option<u64>,
    /// Entries here that it is not known to hold; nothing where nothing is known.
    ahead: Option<u64>,
    /// Entries that it said it holds and that are not here; nothing where nothing is known.
    behind: Option<u64>,
    error: Option<String>,
}

/// All peers that are connected or that there was an exchange with; the connected first, then by when.
pub(super) fn collect(
    app: &App,
    people: &People,
    node: Option<&NodeStatus>,
    now_ms: u64,
) -> Result<Vec<PeerShape>, CliError> {
    let exchanges = app.store().exchanges()?;
    let mut peers = Vec::new();
    for (device, member) in status::other_devices(app)? {
        let full = device.full();
        let connection = node.and_then(|node| node.peers.iter().find(|p| p.device == full));
        let absent = node.and_then(|node| node.absent.iter().find(|p| p.device == full));
        let exchange = exchanges.get(&device);
        if connection.is_none() && exchange.is_none() {
            continue;
        }
        let live = connection.and_then(|c| c.last_sync_s);
        let live = live.map(|s| now_ms.saturating_sub(s.saturating_mul(1000)));
        let last = live.max(exchange.map(|e| e.at_ms));
        let in_sync = connection.is_some_and(|c| c.in_sync);
        let filled = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        peers.push(PeerShape {
            device: full,
            member: people.person(&member),
            who: member,
            connected: connection.is_some(),
            transport: connection.and_then(|c| filled(&c.transport)),
            address: connection.and_then(|c| filled(&c.address)),
            in_sync,
            last_exchange: last.and_then(|ms| time::rfc3339(time::seconds(ms))),
            last_exchange_ms: last,
            // What is written while this is looked at is not told of yet.
            ahead: if in_sync { Some(0) } else { exchange.map(|e| e.ahead) },
            behind: if in_sync { Some(0) } else { exchange.map(|e| e.behind) },
            error: match connection {
                Some(connection) => connection.last_error.clone(),
                None => absent.and_then(|absent| absent.last_error.clone()),
            },
        });
    }
    peers.sort_by_key(|p| (!p.connected, std::cmp::Reverse(p.last_exchange_ms)));
    Ok(peers)
}

/// A line for each of the first of them.
pub(super) fn tell(
    context: &mut Context,
    people: &People,
    peers: &[PeerShape],
) -> Result<(), CliError> {
    let now = context.now();
    for peer in peers.iter().take(MAX_SHOWN) {
        let path = match (&peer.transport, peer.connected) {
            (Some(transport), _) => format!(" over {transport}"),
            (None, true) => " connected".to_owned(),
            (None, false) => " not connected".to_owned(),
        };
        let mut line = people.shown(&peer.who).plain(path);
        if let Some(ms) = peer.last_exchange_ms {
            line = line.plain(format!(", last exchange {}", time::ago(time::seconds(ms), now)));
        }
        line = match (&peer.error, peer.in_sync) {
            (Some(error), _) if peer.connected => {
                line.with(Style::Warn, format!(", the last one failed: {error}"))
            }
            (_, true) => line.with(Style::Good, ", holds the same"),
            _ => line,
        };
        if let (Some(ahead), false) = (peer.ahead, peer.in_sync) {
            let entries = status::count(ahead, "entry", "entries");
            line = line.plain(format!("; {entries} here that may not be there"));
        }
        if let Some(behind) = peer.behind.filter(|n| *n > 0) {
            line = line.with(Style::Warn, format!(", {behind} there that are not here"));
        }
        status::fact(context, "", line)?;
    }
    if let Some(more) = peers.len().checked_sub(MAX_SHOWN).filter(|n| *n > 0) {
        let more = format!("and {more} more: `lanai peers`");
        status::fact(context, "", Text::styled(Style::Dim, more))?;
    }
    Ok(())
}
