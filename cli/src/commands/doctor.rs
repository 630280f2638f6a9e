//! `lanai doctor`: what works here, what does not, and what to type next.
//!
//! Each check gives one verdict. Nothing is changed by any of them.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use lanai_node::control::NodeStatus;
use lanai_node::home::Home;
use lanai_node::net::probe;
use serde::Serialize;

use super::{Context, node, status};
use crate::app::{App, People};
use crate::error::{CliError, Exit};
use crate::layout::{Style, Text};
use crate::time;

/// How long an own port may take to answer.
const PORT_PATIENCE: Duration = Duration::from_secs(2);
/// How long answers from the local network are waited for.
const NETWORK_PATIENCE: Duration = Duration::from_millis(2500);
/// Free bytes of the disk below which nothing can be relied upon.
const LEAST_ROOM: u64 = 50 << 20;
/// Free bytes of the disk below which it is said.
const LITTLE_ROOM: u64 = 500 << 20;
/// How long a post may be only here before it is worth a word, in milliseconds.
const LONG_ALONE_MS: u64 = 3_600_000;
/// How long an exchange may take before it is called stuck, in seconds.
const STUCK_S: u64 = 120;

/// Earlier than this program was written, in Unix milliseconds: November 2023.
const LEAST_NOW_MS: u64 = 1_699_000_000_000;

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    Warn,
    Fail,
}

#[derive(Debug, Serialize)]
struct Check {
    check: &'static str,
    verdict: Verdict,
    what: String,
    next: Option<String>,
}

#[derive(Serialize)]
struct Report<'a> {
    verdict: Verdict,
    checks: &'a [Check],
}

/// What was found so far.
#[derive(Debug, Default)]
struct Findings(Vec<Check>);

impl Findings {
    fn add(&mut self, check: &'static str, verdict: Verdict, what: impl Into<String>) {
        self.0.push(Check { check, verdict, what: what.into(), next: None });
    }

    fn ok(&mut self, check: &'static str, what: impl Into<String>) {
        self.add(check, Verdict::Ok, what);
    }

    fn warn(&mut self, check: &'static str, what: impl Into<String>) {
        self.add(check, Verdict::Warn, what);
    }

    fn fail(&mut self, check: &'static str, what: impl Into<String>) {
        self.add(check, Verdict::Fail, what);
    }

    /// What to type because of the last one.
    fn next(&mut self, next: impl Into<String>) {
        if let Some(last) = self.0.last_mut() {
            last.next = Some(next.into());
        }
    }

    fn verdict(&self) -> Verdict {
        self.0.iter().map(|c| c.verdict).max().unwrap_or(Verdict::Ok)
    }
}

pub(super) fn run(context: &mut Context) -> Result<Exit, CliError> {
    let app = App::open_quietly(context)?;
    let found = find(context, &app)?;
    tell(context, &found)
}

/// All that is found, for a report.
pub(super) fn checks(context: &mut Context, app: &App) -> Result<serde_json::Value, CliError> {
    let found = find(context, app)?;
    let report = Report { verdict: found.verdict(), checks: &found.0 };
    serde_json::to_value(&report).map_err(|e| CliError::internal(e.to_string()))
}

fn find(context: &mut Context, app: &App) -> Result<Findings, CliError> {
    let now_ms = (context.clock)();
    let mut found = Findings::default();
    home(&mut found, app.home());
    identity(&mut found, app)?;
    context.ui.detail("checking the store");
    store(&mut found, app)?;
    entries(&mut found, app)?;
    clock(&mut found, app, now_ms)?;
    posts(&mut found, app, now_ms)?;
    let people = app.people()?;
    let running = match node::status_of(app.home()) {
        Ok(running) => running,
        Err(error) => {
            found.fail("node", error.message);
            found.next("`lanai node stop`, then `lanai up`");
            return Ok(found);
        }
    };
    match &running {
        Some(node) => {
            let since = time::span(node.uptime_s);
            found.ok("node", format!("running for {since}, process {}", node.pid));
            context.ui.detail("trying the node's own ports");
            ports(&mut found, node);
            context.ui.detail("asking the local network");
            network(&mut found, app, node, now_ms)?;
        }
        None => {
            found.warn("node", "not running, so nothing is exchanged");
            found.next("`lanai up` starts it");
        }
    }
    peers(&mut found, app, &people, running.as_ref())?;
    Ok(found)
}

fn tell(context: &mut Context, found: &Findings) -> Result<Exit, CliError> {
    let verdict = found.verdict();
    if context.ui.is_json() {
        context.ui.json("doctor", &Report { verdict, checks: &found.0 })?;
    } else {
        for check in &found.0 {
            let (style, word) = match check.verdict {
                Verdict::Ok => (Style::Good, "ok    "),
                Verdict::Warn => (Style::Warn, "warn  "),
                Verdict::Fail => (Style::Bad, "FAIL  "),
            };
            let mut line = Text::styled(style, word).plain(check.what.as_str());
            if let Some(next) = &check.next {
                line = line.with(Style::Dim, format!(": {next}"));
            }
            status::fact(context, check.check, line)?;
        }
    }
    Ok(match verdict {
        Verdict::Ok => Exit::Done,
        Verdict::Warn => Exit::DoctorWarns,
        Verdict::Fail => Exit::DoctorFails,
    })
}

/// Where everything is kept: whether others can look in, and whether there is room.
fn home(found: &mut Findings, home: &Home) {
    let place = home.root().display();
    match open_to_others(home) {
        Ok(false) => found.ok("home", format!("{place}, for this user only")),
        Ok(true) => {
            found.warn("home", format!("{place} can be read by other users of this machine"));
            found.next(format!("`chmod 700 {place}`"));
        }
        Err(error) => found.fail("home", format!("{place}: {error}")),
    }
    match rustix::fs::statvfs(home.root()) {
        Ok(disk) => {
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            let what = format!("{} free", status::size(free));
            if free < LEAST_ROOM {
                found.fail("disk", format!("{what}: there is no room for what comes"));
                found.next("make room; what is here stays whole meanwhile");
            } else if free < LITTLE_ROOM {
                found.warn("disk", what);
            } else {
                found.ok("disk", what);
            }
        }
        Err(error) => found.warn("disk", format!("how much is free cannot be told: {error}")),
    }
}

#[cfg(unix)]
fn open_to_others(home: &Home) -> std::io::Result<bool> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(std::fs::metadata(home.root())?.permissions().mode() & 0o077 != 0)
}

#[cfg(not(unix))]
fn open_to_others(home: &Home) -> std::io::Result<bool> {
    std::fs::metadata(home.root()).map(|_| false)
}

fn identity(found: &mut Findings, app: &App) -> Result<(), CliError> {
    let me = status::MeShape::of(app)?;
    match (me.role, app.store().own_member()?) {
        (Some(role), Some(member)) => {
            found.ok("identity", format!("{}, {role}, {}", me.name, member.short()));
        }
        _ => {
            let why = app.why_not_member()?;
            found.fail("identity", why.message);
            if let Some(hint) = why.hint {
                found.next(hint);
            }
        }
    }
    Ok(())
}

fn store(found: &mut Findings, app: &App) -> Result<(), CliError> {
    match app.store().quick_check()? {
        None => {
            let stats = app.store().stats()?;
            let entries = status::count(stats.entries, "entry", "entries");
            found.ok("store", format!("{entries} in {}", status::size(stats.bytes)));
        }
        Some(damage) => {
            found.fail("store", format!("damaged: {damage}"));
            found.next("`lanai store check` says what of it can be had from others");
        }
    }
    Ok(())
}

/// What is here and not shown, and what would bring it.
fn entries(found: &mut Findings, app: &App) -> Result<(), CliError> {
    let stats = app.store().stats()?;
    let mut all = true;
    for (n, what) in status::lagging(&stats).into_iter().filter(|(n, _)| *n > 0) {
        found.warn("entries", format!("{} {what}", status::count(n, "entry", "entries")));
        all = false;
    }
    if all {
        found.ok("entries", "all that is known of is here, readable and indexed");
    }
    Ok(())
}

/// This clock beside those of others.
fn clock(found: &mut Findings, app: &App, now_ms: u64) -> Result<(), CliError> {
    let now = time::rfc3339(time::seconds(now_ms)).unwrap_or_default();
    if now_ms < LEAST_NOW_MS {
        found.fail("clock", format!("{now}: it was never set, or lost its battery"));
        found.next("set it; what is written until then sorts as if it were old");
        return Ok(());
    }
    let (entries, devices, by_ms) = app.store().dated_ahead(now_ms)?;
    if entries == 0 {
        found.ok("clock", format!("{now}, and nothing here is dated ahead of it"));
        return Ok(());
    }
    let from = match devices {
        1 => "one other device".to_owned(),
        n => format!("{n} other devices"),
    };
    let by = time::span(by_ms / 1000);
    found.warn("clock", format!("{now}; {from} wrote with clocks up to {by} ahead"));
    found.next("if this clock is the wrong one, set it; nothing is lost by it");
    Ok(())
}

/// Own posts that nobody else has.
fn posts(found: &mut Findings, app: &App, now_ms: u64) -> Result<(), CliError> {
    let only = app.store().only_here()?;
    if only.posts == 0 {
        if !status::other_devices(app)?.is_empty() {
            found.ok("posts", "all of yours are known to be on another device");
        }
        return Ok(());
    }
    let (then, now) = (time::seconds(only.oldest_ms), time::seconds(now_ms));
    let what = format!(
        "{} of yours that nobody else has yet, the oldest from {}",
        status::count(only.posts, "post", "posts"),
        time::ago(then, now)
    );
    match now_ms.saturating_sub(only.oldest_ms) {
        ..LONG_ALONE_MS => found.ok("posts", what),
        _ => {
            found.warn("posts", what);
            found.next("`lanai sync`, or `lanai bundle make FILE` for a card");
        }
    }
    Ok(())
}

/// An address that the node listens on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Port {
    address: SocketAddr,
    quic: bool,
}

/// `/ip4/10.0.0.1/udp/4001/quic-v1/p2p/ID`, as far as it is understood here.
fn port(listening: &str) -> Option<Port> {
    let parts: Vec<&str> = listening.split('/').skip(1).collect();
    let [_, ip, transport, port, rest @ ..] = parts.as_slice() else { return None };
    let address = SocketAddr::new(ip.parse().ok()?, port.parse().ok()?);
    match (*transport, rest.first()) {
        ("tcp", _) => Some(Port { address, quic: false }),
        ("udp", Some(&"quic-v1")) => Some(Port { address, quic: true }),
        _ => None,
    }
}

/// Whether what the node listens on answers from this machine.
fn ports(found: &mut Findings, node: &NodeStatus) {
    let ports: BTreeSet<Port> = node.listening.iter().filter_map(|l| port(l)).collect();
    // An address of one link only needs its interface named, which the list does not tell.
    let is_linked = |ip: IpAddr| matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
    let tried: Vec<&Port> = ports.iter().filter(|p| !is_linked(p.address.ip())).collect();
    if tried.is_empty() {
        found.fail("ports", "the node listens nowhere, so nobody can reach it");
        found.next("`lanai config get listen` shows where it should");
        return;
    }
    let mut answered = 0;
    for Port { address, quic } in &tried {
        let tried = match quic {
            true => probe::quic(*address, PORT_PATIENCE),
            false => probe::tcp(*address, PORT_PATIENCE),
        };
        match tried {
            Ok(()) => answered += 1,
            Err(error) => {
                let name = if *quic { "QUIC" } else { "TCP" };
                found.fail("ports", format!("{name} at {address} does not answer: {error}"));
                found.next("a firewall on this machine may drop it");
            }
        }
    }
    if answered > 0 {
        let ports: BTreeSet<u16> = tried.iter().map(|p| p.address.port()).collect();
        let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
        let of = tried.len();
        found.ok(
            "ports",
            format!("{answered} of {of} addresses answer here, on {}", ports.join(", ")),
        );
        found.next(format!(
            "if others do not get in, let UDP and TCP {} through the firewall",
            ports.join(", ")
        ));
    }
}

/// Whether nodes are found on the local network, this one first of all, by each way that is on.
fn network(
    found: &mut Findings,
    app: &App,
    node: &NodeStatus,
    now_ms: u64,
) -> Result<(), CliError> {
    const CHECK: &str = "discovery";
    if !node.mdns && !node.beacon {
        found.warn(CHECK, "mDNS and the beacon are switched off, so nobody is found by itself");
        found.next("`lanai config set mdns true`, `lanai node stop`, `lanai up`");
        return Ok(());
    }
    let interfaces: BTreeSet<Ipv4Addr> = node
        .listening
        .iter()
        .filter_map(|l| port(l))
        .filter_map(|p| match p.address.ip() {
            IpAddr::V4(ip) if !ip.is_loopback() => Some(ip),
            _ => None,
        })
        .collect();
    let interfaces: Vec<Ipv4Addr> = interfaces.into_iter().collect();
    if interfaces.is_empty() {
        found.warn(CHECK, "this machine is on no network (no IPv4 address but its own)");
        found.next("join a Wi-Fi, open a hotspot or plug in a cable; or `lanai bundle make FILE`");
        return Ok(());
    }
    if node.mdns {
        match &node.mdns_problem {
            Some(problem) => found.fail(CHECK, format!("mDNS does not work: {problem}")),
            None => mdns(found, &interfaces, node),
        }
    }
    if node.beacon {
        match &node.beacon_problem {
            Some(problem) => found.fail(CHECK, format!("the beacon does not work: {problem}")),
            None => beacon(found, app, &interfaces, now_ms)?,
        }
    }
    Ok(())
}

/// What to try where a way of looking works and nobody answers.
const NOBODY: &str = "same network? Many guest networks keep devices apart; a hotspot of a phone does not. \
                      `lanai sync --peer ADDRESS` goes to an address that a member tells you";

fn mdns(found: &mut Findings, interfaces: &[Ipv4Addr], node: &NodeStatus) {
    const CHECK: &str = "discovery";
    let own = node.listening.iter().find_map(|l| Some(l.rsplit_once("/p2p/")?.1)).unwrap_or("");
    match probe::mdns(interfaces, NETWORK_PATIENCE) {
        Err(error) => found.fail(CHECK, format!("mDNS questions cannot be sent: {error}")),
        Ok(nodes) if !nodes.contains(own) => {
            found.fail(CHECK, "this node's own mDNS answer does not come back");
            found.next("let UDP 5353 through the firewall of this machine");
        }
        Ok(nodes) if nodes.len() == 1 => {
            found.warn(CHECK, "mDNS works on this machine, and no other node answers it");
            found.next(NOBODY);
        }
        Ok(nodes) => {
            let others = status::count(nodes.len() as u64 - 1, "other node", "other nodes");
            found.ok(CHECK, format!("mDNS works, and {others} answered"));
        }
    }
}

fn beacon(
    found: &mut Findings,
    app: &App,
    interfaces: &[Ipv4Addr],
    now_ms: u64,
) -> Result<(), CliError> {
    const CHECK: &str = "discovery";
    let author = app.author()?;
    let as_who = (app.store().community(), &author.device);
    let port = lanai_node::discovery::beacon::PORT;
    match probe::beacon(interfaces, as_who, now_ms, NETWORK_PATIENCE) {
        Err(error) => found.fail(CHECK, format!("beacons cannot be sent: {error}")),
        Ok(devices) if !devices.contains(&author.device.device()) => {
            found.fail(CHECK, "this node does not answer a beacon that is sent on this machine");
            found.next(format!("let UDP {port} through the firewall of this machine"));
        }
        Ok(devices) if devices.len() == 1 => {
            found.warn(CHECK, "the beacon works on this machine, and nobody else answers it");
            found.next(NOBODY);
        }
        Ok(devices) => {
            let others = status::count(devices.len() as u64 - 1, "other device", "other devices");
            found.ok(CHECK, format!("the beacon works, and {others} answered"));
        }
    }
    Ok(())
}

fn peers(
    found: &mut Findings,
    app: &App,
    people: &People,
    node: Option<&NodeStatus>,
) -> Result<(), CliError> {
    let owners = status::other_devices(app)?;
    for peer in node.iter().flat_map(|node| &node.peers) {
        let name = status::device_name(&owners, people, &peer.device).to_plain();
        let stuck = !peer.in_sync
            && peer.connected_s > STUCK_S
            && peer.last_sync_s.is_none_or(|since| since > STUCK_S);
        match &peer.last_error {
            Some(error) => {
                found.warn("peers", format!("{name}: the last exchange failed: {error}"));
            }
            None if stuck => {
                let since = time::span(peer.last_sync_s.unwrap_or(peer.connected_s));
                found.warn("peers", format!("{name}: no exchange has ended for {since}"));
                found.next("`lanai sync` tries again at once");
            }
            None if peer.in_sync => found.ok("peers", format!("{name} holds the same")),
            None => found.ok("peers", format!("{name}: exchanging")),
        }
    }
    // Without a node there is one reason, and it was said.
    if let Some(node) = node {
        for reason in status::why_alone(app, people, Some(node))? {
            found.warn("peers", reason.why);
            if let Some(next) = reason.next {
                found.next(next);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::village::House;
    use super::*;

    fn verdicts(ran: &serde_json::Value) -> Vec<(&str, &str)> {
        let checks = ran["checks"].as_array().unwrap();
        checks
            .iter()
            .map(|c| (c["check"].as_str().unwrap(), c["verdict"].as_str().unwrap()))
            .collect()
    }

    #[test]
    fn without_a_node_it_says_what_is_well_and_what_to_type() {
        let ann = House::founder("Ann");
        let bob = ann.neighbour("Bob");
        let found = ann.json(&["doctor"]);
        assert_eq!(found["verdict"], "warn");
        let verdicts = verdicts(&found);
        for check in ["identity", "store", "entries", "clock", "posts"] {
            assert!(verdicts.contains(&(check, "ok")), "{check}: {found}");
        }
        assert!(verdicts.contains(&("node", "warn")), "{found}");
        let ran = ann.run(&["doctor"]);
        assert!(ran.out.contains("`lanai up` starts it"), "{}", ran.out);
        assert!(matches!(ran.done, Ok(Exit::DoctorWarns)));

        // What only this device has for long, what lacks its past, and a clock far ahead.
        let note = ann.note("Convoy lessons", "Brief the drivers.");
        let soon = ann.run(&["doctor"]).out;
        assert!(soon.contains("1 post of yours that nobody else has yet"), "{soon}");
        bob.pull(&ann);
        bob.post([note, note], "It went well.");
        ann.pull(&bob);
        let found = ann.json(&["doctor"]);
        assert_eq!(found["checks"].as_array().unwrap().len(), verdicts.len(), "{found}");
    }

    #[test]
    fn addresses_that_are_listened_on() {
        let quic = port("/ip4/10.0.0.1/udp/4001/quic-v1/p2p/12D3KooW").unwrap();
        assert_eq!((quic.address, quic.quic), ("10.0.0.1:4001".parse().unwrap(), true));
        let tcp = port("/ip6/::1/tcp/4001/p2p/12D3KooW").unwrap();
        assert_eq!((tcp.address, tcp.quic), ("[::1]:4001".parse().unwrap(), false));
        for other in ["", "/", "/dns/porch/tcp/1", "/ip4/10.0.0.1/udp/1/x", "/ip4/10.0.0.1/tcp/x"] {
            assert_eq!(port(other), None, "{other}");
        }
    }
}
