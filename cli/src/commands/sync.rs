//! `lanai sync`: exchange what is new with other members now.

mod stdio;

use std::time::{Duration, Instant};

use lanai_crdt::id::DeviceId;
use lanai_node::config::parse_address;
use lanai_node::control::{Reply, Request, SyncOutcome};
use lanai_node::home::Home;
use lanai_node::net::{Multiaddr, device_key_of, split_peer};
use serde::Serialize;

use super::{Context, node, status};
use crate::app::{App, People};
use crate::args::SyncArgs;
use crate::error::{CliError, Exit};
use crate::own;

/// How long to wait for a peer where nobody says.
const USUAL_WAIT: Duration = Duration::from_secs(10);
/// How long a node may take beyond what it was told to wait.
const GRACE: Duration = Duration::from_secs(5);
/// Pause between two looks at whether a dialled peer has come.
const LOOK: Duration = Duration::from_millis(25);

#[derive(Serialize)]
struct Synced<'a> {
    #[serde(flatten)]
    outcome: &'a SyncOutcome,
    unread: u64,
}

pub(super) fn run(context: &mut Context, args: &SyncArgs) -> Result<Exit, CliError> {
    if args.stdio {
        return stdio::run(context, args);
    }
    let app = App::open(context)?;
    let home = app.home().clone();
    if node::status_of(&home)?.is_none() {
        return Err(CliError::node_not_running());
    }
    own::tell(context, &app, true)?;
    let until = Instant::now() + args.wait.unwrap_or(USUAL_WAIT);
    if !args.peers.is_empty() {
        let people = app.people()?;
        for typed in &args.peers {
            connect(context, &app, &people, typed, until)?;
        }
    }
    let mut wait = until.saturating_duration_since(Instant::now());
    if app.store().own_member()?.is_some() && status::other_devices(&app)?.is_empty() {
        // Nobody to wait for.
        wait = Duration::ZERO;
    }
    let request = Request::Sync { wait_ms: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX) };
    let outcome = match node::ask(&home, &request, wait.saturating_add(GRACE))? {
        Reply::Synced(outcome) => outcome,
        _ => return Err(CliError::internal("the node gave an answer that was not asked for")),
    };
    app.catch_up()?;
    report(context, &app, &outcome)?;
    Ok(if outcome.confirmed > 0 { Exit::Done } else { Exit::Unconfirmed })
}

/// Makes the node connect to an address, or to the nodes of a member, and waits until it has.
fn connect(
    context: &mut Context,
    app: &App,
    people: &People,
    typed: &str,
    until: Instant,
) -> Result<(), CliError> {
    let addresses = addresses_of(app, people, typed)?;
    let mut failures = Vec::new();
    for address in addresses {
        let patience = until.saturating_duration_since(Instant::now()).saturating_add(GRACE);
        let request = Request::Dial { address: address.to_string() };
        match node::ask(app.home(), &request, patience) {
            Ok(_) => {
                context.ui.detail(format!("connected to {address}"));
                let peer = split_peer(&address).1.and_then(|peer| device_key_of(&peer));
                return match peer.map(DeviceId::new) {
                    Some(device) => arrive(app.home(), &device, until),
                    None => Ok(()),
                };
            }
            Err(error) if error.exit == Exit::NodeNotRunning => return Err(error),
            Err(error) => failures.push(format!("{address}: {}", error.message)),
        }
    }
    let why = if failures.is_empty() { "no address is known".into() } else { failures.join("\n") };
    Err(CliError::new(
        Exit::Unconfirmed,
        "unreachable",
        format!("{typed} cannot be reached\n{why}"),
    )
    .hint("is that member's node running? `lanai status` there shows its addresses")
    .retryable())
}

/// Waits until the node counts a dialled device among its peers: it may be no member's.
fn arrive(home: &Home, device: &DeviceId, until: Instant) -> Result<(), CliError> {
    let full = device.full();
    loop {
        let status = node::status_of(home)?.ok_or_else(CliError::node_not_running)?;
        if status.peers.iter().any(|peer| peer.device == full) {
            return Ok(());
        }
        if Instant::now() >= until {
            let message =
                format!("{} answered, but is not known as a member's node", device.short());
            return Err(CliError::new(Exit::Unconfirmed, "not-a-member", message).hint(
                "a node of another community, or of a newcomer: sync with another member first",
            ));
        }
        std::thread::sleep(LOOK);
    }
}

/// What somebody typed as a peer: an address, else a member whose addresses are known.
fn addresses_of(app: &App, people: &People, typed: &str) -> Result<Vec<Multiaddr>, CliError> {
    let bad = match parse_address(typed) {
        Ok(addresses) => return Ok(addresses),
        Err(error) => error,
    };
    let member = match people.find(typed) {
        Ok(member) => member,
        Err(error) if error.code == "ambiguous" => return Err(error),
        Err(_) => {
            return Err(CliError::from(bad).hint("or give the name of a member: `lanai who`"));
        }
    };
    let owners = status::other_devices(app)?;
    let known = app.store().peers()?;
    let of_member = known.into_iter().filter(|peer| owners.get(&peer.device) == Some(&member));
    Ok(of_member.filter_map(|peer| peer.address.parse().ok()).collect())
}

fn report(context: &mut Context, app: &App, outcome: &SyncOutcome) -> Result<(), CliError> {
    let unread = status::unread(app)?;
    if context.ui.is_json() {
        return context.ui.json("sync", &Synced { outcome, unread });
    }
    for error in &outcome.errors {
        context.ui.warn(error.as_str());
    }
    if outcome.confirmed == 0 {
        let why = match outcome.asked {
            0 => "no member's node is connected",
            _ => "no member's node has confirmed in time",
        };
        context.ui.warn(format!("{why}; what you wrote is safe here and goes out when one comes"));
        let people = app.people()?;
        let node = node::status_of(app.home())?;
        for reason in status::why_alone(app, &people, node.as_ref())? {
            context.ui.say(reason.why);
            if let Some(next) = reason.next {
                context.ui.hint(next);
            }
        }
        return Ok(());
    }
    let (confirmed, asked) = (outcome.confirmed, outcome.asked);
    let nodes = u64::try_from(asked).unwrap_or(u64::MAX);
    let nodes = status::count(nodes, "member's node", "members' nodes");
    context.ui.say(format!(
        "{confirmed} of {nodes} confirmed: {} received, {} sent",
        outcome.received, outcome.sent
    ));
    if unread > 0 {
        context
            .ui
            .hint(format!("{} unread: `lanai inbox`", status::count(unread, "post", "posts")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::village::{HOSTILE, House, NOW, assert_harmless};
    use super::*;

    #[test]
    fn without_a_node_it_says_how_to_start_one() {
        let ann = House::founder("Ann");
        let error = ann.run(&["sync"]).failed();
        assert_eq!(error.exit, Exit::NodeNotRunning);
        assert!(error.hint.unwrap().contains("lanai node start"));
    }

    #[test]
    fn peers_are_typed_as_addresses_or_names() {
        let ann = House::founder("Ann");
        let bob = ann.neighbour("Bob");
        let mut bench = ann.bench(None, false);
        let app = App::open(&mut bench.context).unwrap();
        let people = app.people().unwrap();
        let texts = |typed: &str| -> Vec<String> {
            addresses_of(&app, &people, typed).unwrap().iter().map(ToString::to_string).collect()
        };
        assert_eq!(texts("10.0.0.1:7").len(), 2);
        assert_eq!(texts("/ip4/10.0.0.1/tcp/1"), ["/ip4/10.0.0.1/tcp/1"]);
        assert!(texts("bob").is_empty());
        ann.store.remember_peer(&bob.store.own_device(), "/ip4/10.0.0.2/tcp/1", NOW).unwrap();
        assert_eq!(texts("bob"), ["/ip4/10.0.0.2/tcp/1"]);
        assert_eq!(addresses_of(&app, &people, "zed").unwrap_err().exit, Exit::Usage);
    }

    #[test]
    fn what_came_of_it_is_told() {
        let ann = House::founder("Ann");
        let mut bench = ann.bench(None, false);
        let app = App::open(&mut bench.context).unwrap();
        let good = SyncOutcome { asked: 2, confirmed: 1, received: 3, sent: 4, errors: Vec::new() };
        report(&mut bench.context, &app, &good).unwrap();
        assert!(bench.err.text().contains("1 of 2 members' nodes confirmed: 3 received, 4 sent"));
        let bad = SyncOutcome { errors: vec![HOSTILE.into()], ..SyncOutcome::default() };
        report(&mut bench.context, &app, &bad).unwrap();
        assert!(bench.err.text().contains("nobody but you is a member"), "{}", bench.err.text());
        assert_harmless(&bench.err.text());
    }
}
