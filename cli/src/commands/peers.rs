//! `lanai peers`: the nodes of other members.

use std::collections::BTreeMap;

use lanai_crdt::id::DeviceId;
use lanai_node::control::NodeStatus;
use lanai_node::profile::Profile;
use serde::Serialize;

use super::{Context, node, status};
use crate::app::{App, People, Person};
use crate::args::PeersArgs;
use crate::error::{CliError, Exit};
use crate::layout::{Style, Table, Text};
use crate::time;

/// Nodes that were not seen for so long are left out, in milliseconds: thirty days.
const LONG_MS: u64 = 30 * 86_400 * 1000;

#[derive(Serialize)]
struct Peers {
    node_running: bool,
    peers: Vec<Peer>,
}

/// A device of another member.
#[derive(Debug, Serialize)]
struct Peer {
    device: String,
    short: String,
    member: Person,
    connected: bool,
    in_sync: bool,
    transport: Option<String>,
    rtt_ms: Option<f64>,
    connected_s: Option<u64>,
    heard_s: Option<u64>,
    last_sync_s: Option<u64>,
    last_seen: Option<String>,
    last_seen_ms: Option<u64>,
    last_error: Option<String>,
    /// How the link is used, where there is one.
    profile: Option<Profile>,
    left_today: Option<u64>,
    addresses: Vec<String>,
}

pub(super) fn run(context: &mut Context, args: &PeersArgs) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    app.catch_up()?;
    let people = app.people()?;
    let node = node::status_of(app.home())?;
    let mut peers = collect(&app, &people, node.as_ref())?;
    let known = peers.len();
    if !args.all {
        let since = (context.clock)().saturating_sub(LONG_MS);
        peers.retain(|peer| peer.connected || peer.last_seen_ms.is_some_and(|seen| seen >= since));
    }
    if context.ui.is_json() {
        context.ui.json("peers", &Peers { node_running: node.is_some(), peers })?;
        return Ok(Exit::Done);
    }
    let connected = peers.iter().any(|peer| peer.connected);
    if peers.is_empty() {
        context.ui.say(match known {
            0 => "no other member's node is known",
            _ => "no other member's node was seen lately",
        });
    }
    context.ui.table(&table(context, &app, &people, &peers)?)?;
    if known > peers.len() {
        let more = u64::try_from(known - peers.len()).unwrap_or(u64::MAX);
        let nodes = status::count(more, "node was", "nodes were");
        context.ui.hint(format!("{nodes} not seen for long or never: `lanai peers --all`"));
    }
    if !connected {
        for reason in status::why_alone(&app, &people, node.as_ref())? {
            context.ui.say(reason.why);
            if let Some(next) = reason.next {
                context.ui.hint(next);
            }
        }
    }
    Ok(Exit::Done)
}

/// Every device of other members, those connected first, then by when they were last seen.
fn collect(app: &App, people: &People, node: Option<&NodeStatus>) -> Result<Vec<Peer>, CliError> {
    let mut book: BTreeMap<DeviceId, (u64, Vec<String>)> = BTreeMap::new();
    for known in app.store().peers()? {
        let entry = book.entry(known.device).or_default();
        entry.0 = entry.0.max(known.seen_ms);
        entry.1.push(known.address);
    }
    let mut peers = Vec::new();
    for (device, member) in status::other_devices(app)? {
        let full = device.full();
        let connection = node.and_then(|node| node.peers.iter().find(|p| p.device == full));
        let absent = node.and_then(|node| node.absent.iter().find(|p| p.device == full));
        let (seen, mut addresses) = book.remove(&device).unwrap_or_default();
        let others = absent.map(|absent| absent.addresses.as_slice()).unwrap_or_default();
        let current = connection.map(|c| &c.address).filter(|address| !address.is_empty());
        for address in current.into_iter().chain(others) {
            if !addresses.contains(address) {
                addresses.insert(0, address.clone());
            }
        }
        peers.push(Peer {
            short: device.short(),
            device: full,
            member: people.person(&member),
            connected: connection.is_some(),
            in_sync: connection.is_some_and(|c| c.in_sync),
            transport: connection.map(|c| c.transport.clone()).filter(|t| !t.is_empty()),
            rtt_ms: connection.and_then(|c| c.rtt_ms),
            connected_s: connection.map(|c| c.connected_s),
            last_sync_s: connection.and_then(|c| c.last_sync_s),
            heard_s: absent.and_then(|absent| absent.heard_s),
            last_seen: (seen > 0).then(|| time::rfc3339(time::seconds(seen))).flatten(),
            last_seen_ms: (seen > 0).then_some(seen),
            profile: connection.map(|c| c.profile),
            left_today: connection.and_then(|c| c.left_today),
            last_error: match (connection, absent) {
                (Some(connection), _) => connection.last_error.clone(),
                (None, absent) => absent.and_then(|absent| absent.last_error.clone()),
            },
            addresses,
        });
    }
    peers.sort_by_key(|peer| std::cmp::Reverse((peer.connected, peer.last_seen_ms)));
    Ok(peers)
}

fn table(context: &Context, app: &App, people: &People, peers: &[Peer]) -> Result<Table, CliError> {
    let terminal = context.ui.out_is_terminal();
    let owners = status::other_devices(app)?;
    let mut table = Table::new()
        .column("DEVICE")
        .flexible("MEMBER")
        .flexible("STATE")
        .column("SEEN")
        .flexible("ADDRESS");
    for peer in peers {
        let state = if peer.connected {
            let mut state = Text::styled(Style::Good, "connected");
            if let Some(transport) = &peer.transport {
                state.push(Style::Plain, format!(", {transport}"));
            }
            if let Some(rtt) = peer.rtt_ms {
                state.push(Style::Dim, format!(" {rtt:.1} ms"));
            }
            if let Some(profile) = peer.profile.filter(|profile| *profile != Profile::Lan) {
                state.push(Style::Plain, format!(", {profile}"));
            }
            if let Some(left) = peer.left_today {
                state.push(Style::Dim, format!(" ({} left today)", status::size(left)));
            }
            match &peer.last_error {
                Some(error) => state.push(Style::Warn, format!(", failed: {error}")),
                None if peer.in_sync => state.push(Style::Plain, ", in sync"),
                None => {}
            }
            state
        } else {
            match &peer.last_error {
                Some(error) => Text::styled(Style::Warn, error),
                // Among many, each node is connected to some and reaches the others through them.
                None if peer.heard_s.is_some_and(|s| s <= status::AROUND_S) => {
                    Text::styled(Style::Plain, "around, reached through others")
                }
                None => Text::styled(Style::Dim, "not connected"),
            }
        };
        let seen = match (peer.connected, peer.last_seen_ms.map(time::seconds)) {
            (true, _) => "now".to_owned(),
            (false, Some(seen)) if terminal => time::ago(seen, context.now()),
            (false, Some(seen)) => time::rfc3339(seen).unwrap_or_default(),
            (false, None) => "never".to_owned(),
        };
        table.row([
            Text::styled(Style::Id, if terminal { &peer.short } else { &peer.device }),
            status::device_name(&owners, people, &peer.device),
            state,
            Text::styled(Style::Dim, seen),
            Text::styled(
                Style::Dim,
                peer.addresses.first().map(String::as_str).unwrap_or_default(),
            ),
        ]);
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use lanai_node::control::{AbsentPeer, PeerStatus};

    use super::super::village::{HOSTILE, House, NOW, assert_harmless};
    use super::*;

    #[test]
    fn devices_are_listed_with_when_they_were_seen() {
        let ann = House::founder("Ann");
        let bob = ann.neighbour(HOSTILE);
        let device = bob.store.own_device();
        assert_eq!(ann.json(&["peers"])["peers"].as_array().unwrap().len(), 0);
        assert_eq!(ann.json(&["peers", "--all"])["peers"].as_array().unwrap().len(), 1);
        ann.store.remember_peer(&device, "/ip4/10.0.0.1/tcp/1", NOW).unwrap();
        let listed = ann.json(&["peers"]);
        assert_eq!(listed["peers"][0]["device"], device.full());
        assert_eq!(listed["peers"][0]["addresses"][0], "/ip4/10.0.0.1/tcp/1");
        assert_eq!(listed["node_running"], false);
        let shown = ann.on_terminal(&["peers"]);
        assert!(shown.err.contains("no node is running"), "{}", shown.err);
        assert_harmless(&shown.err);
        assert_harmless(&shown.ok());
    }

    #[test]
    fn what_the_node_knows_comes_first() {
        let ann = House::founder("Ann");
        let bob = ann.neighbour("Bob");
        let cleo = ann.neighbour("Cleo");
        let node = NodeStatus {
            peers: vec![PeerStatus {
                device: cleo.store.own_device().full(),
                address: "/ip4/10.0.0.3/tcp/1".into(),
                transport: "tcp".into(),
                in_sync: true,
                rtt_ms: Some(1.25),
                ..PeerStatus::default()
            }],
            absent: vec![AbsentPeer {
                device: bob.store.own_device().full(),
                addresses: vec!["/ip4/10.0.0.2/tcp/1".into()],
                last_error: Some("refused".into()),
                heard_s: Some(3),
            }],
            ..NodeStatus::default()
        };
        let mut bench = ann.bench(Some(120), false);
        let app = App::open(&mut bench.context).unwrap();
        let people = app.people().unwrap();
        let peers = collect(&app, &people, Some(&node)).unwrap();
        assert_eq!(peers[0].member.name, "Cleo");
        assert_eq!(peers[1].last_error.as_deref(), Some("refused"));
        let table = table(&bench.context, &app, &people, &peers).unwrap();
        bench.context.ui.table(&table).unwrap();
        let text = bench.out.text();
        assert!(text.contains("connected, tcp 1.2 ms, in sync"), "{text}");
        assert!(text.contains("refused"), "{text}");
    }
}
