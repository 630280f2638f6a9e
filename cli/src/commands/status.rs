//! `lanai status`: how things stand, and why there are no peers.

use std::collections::{BTreeMap, BTreeSet};

use lanai_crdt::id::{DeviceId, EntryId, MemberId};
use lanai_crdt::payload::{History, Role};
use lanai_node::control::{AbsentPeer, NodeStatus};
use lanai_node::join::JoinState;
use lanai_node::store::{Fork, Stats};
use serde::Serialize;

use super::status_peers::{self, PeerShape};
use super::{Context, node};
use crate::app::{App, People};
use crate::error::{CliError, Exit};
use crate::layout::{Indent, Style, Table, Text};
use crate::time;
use crate::ui::Verbosity;
use crate::view::shape::role_word;

/// Columns of the labels.
const LABEL: usize = 11;
/// Nodes that cannot be reached and are named, at most.
const MAX_NAMED: usize = 5;
/// What is to be known where newcomers do not read everything.
pub(super) const NEWCOMERS: &str = "newcomers read what is written once they are in";
/// Seconds since a device was heard of for which it counts as being around.
pub(super) const AROUND_S: u64 = 180;
/// Addresses of the node that a terminal is shown without being asked for more.
const SHOWN_ADDRESSES: usize = 4;

/// The community for JSON.
#[derive(Debug, Serialize)]
pub(super) struct CommunityShape {
    id: String,
    pub(super) name: String,
    /// How far back newcomers read.
    history: &'static str,
}

/// Who we are, for JSON.
#[derive(Debug, Serialize)]
pub(super) struct MeShape {
    member: Option<String>,
    pub(super) name: String,
    device: String,
    pub(super) role: Option<&'static str>,
}

#[derive(Serialize)]
struct StatusShape {
    state_hash: String,
    members: usize,
    threads: u64,
    posts: u64,
    entries: u64,
    unread: u64,
    waiting: u64,
    missing: u64,
    unfolded: u64,
    search: SearchShape,
    community: CommunityShape,
    me: MeShape,
    store: StoreShape,
    node: Option<NodeStatus>,
    node_problem: Option<String>,
    peers: Vec<PeerShape>,
    alone: Vec<Reason>,
    joining: Option<Joining>,
    notices: Vec<NoticeShape>,
    forks: Vec<ForkShape>,
    only_here: OnlyHereShape,
}

/// Whether lists and search know everything that is here.
#[derive(Serialize)]
struct SearchShape {
    complete: bool,
    /// Entries that are here and not in lists and the index yet.
    waiting: u64,
}

/// Own posts that no other device is known to hold.
#[derive(Serialize)]
struct OnlyHereShape {
    own_posts: u64,
    oldest: Option<String>,
    oldest_ms: u64,
}

/// Two entries in one place of a log.
#[derive(Serialize)]
struct ForkShape {
    device: String,
    member: Option<String>,
    place: u64,
    branches: Vec<BranchShape>,
}

#[derive(Serialize)]
struct BranchShape {
    entry: String,
    written: Option<String>,
}

impl ForkShape {
    fn of(fork: &Fork) -> Self {
        let branch = |(id, ms): &(EntryId, u64)| BranchShape {
            entry: id.full(),
            written: time::rfc3339(time::seconds(*ms)),
        };
        Self {
            device: fork.log.device.full(),
            member: fork.member.map(|member| member.full()),
            place: fork.seq,
            branches: fork.branches.iter().map(branch).collect(),
        }
    }
}

#[derive(Serialize)]
struct StoreShape {
    path: String,
    bytes: u64,
    logs: u64,
    locked: u64,
    /// Threads from before this member came, where newcomers read no further back.
    threads_before: u64,
    uncounted: u64,
    void: u64,
}

#[derive(Serialize)]
struct NoticeShape {
    kind: String,
    detail: String,
    at: Option<String>,
}

/// A join that was begun.
#[derive(Serialize)]
struct Joining {
    to: String,
    since: Option<String>,
    problem: Option<String>,
}

#[derive(Serialize)]
struct Nothing {
    community: Option<CommunityShape>,
    joining: Joining,
}

/// Why no peer is connected, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Reason {
    pub(super) why: String,
    pub(super) next: Option<String>,
}

impl Reason {
    fn new(why: impl Into<String>) -> Self {
        Self { why: why.into(), next: None }
    }

    fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }
}

/// The name of the community; where it has not come yet, its short id.
pub(super) fn community_name(app: &App) -> Result<String, CliError> {
    let info = app.store().community_info()?;
    let name = info.view.map(|view| view.name).filter(|name| !name.trim().is_empty());
    Ok(name.unwrap_or_else(|| info.id.short()))
}

impl CommunityShape {
    pub(super) fn of(app: &App) -> Result<Self, CliError> {
        let history = app.store().roster()?.history().word();
        Ok(Self { id: app.store().community().full(), name: community_name(app)?, history })
    }
}

impl MeShape {
    pub(super) fn of(app: &App) -> Result<Self, CliError> {
        let own = app.store().own_device();
        let member = app.store().own_member()?;
        let name = match &member {
            Some(member) => app.store().name(member)?.unwrap_or_default(),
            None => String::new(),
        };
        Ok(Self {
            member: member.map(|member| member.full()),
            name,
            device: own.full(),
            role: app.store().roster()?.standing(&own).map(|standing| role_word(standing.role)),
        })
    }
}

/// Posts of others that were not read, without muted threads.
pub(super) fn unread(app: &App) -> Result<u64, CliError> {
    Ok(app.store().unread_posts()?)
}

/// The devices of all members but this one, with their members.
pub(super) fn other_devices(app: &App) -> Result<BTreeMap<DeviceId, MemberId>, CliError> {
    let roster = app.store().roster()?;
    let own = app.store().own_device();
    let devices = roster.members().filter(|member| !member.pending).flat_map(|member| {
        member.devices.iter().map(|device| (device.device, member.id)).collect::<Vec<_>>()
    });
    Ok(devices.filter(|(device, _)| *device != own).collect())
}

pub(super) fn run(context: &mut Context) -> Result<Exit, CliError> {
    let home = context.home()?;
    let joining = JoinState::load(&home.join_state()).ok().flatten().map(|state| Joining {
        to: state.ticket().map(|ticket| ticket.name().to_owned()).unwrap_or_default(),
        since: time::rfc3339(time::seconds(state.started_ms)),
        problem: state.problem.clone(),
    });
    if !home.has_store()
        && let Some(joining) = joining
    {
        return only_joining(context, joining);
    }
    let app = App::open_quietly(context)?;
    app.catch_up()?;
    let (node, node_problem) = match node::status_of(&home) {
        Ok(node) => (node, None),
        Err(error) => (None, Some(error.message)),
    };
    let people = app.people()?;
    let stats = app.store().stats()?;
    let hash = app.store().state_hash()?;
    let notices = app.store().notices()?;
    let forks = app.store().forks()?;
    let only_here = app.store().only_here()?;
    let shape = StatusShape {
        state_hash: lanai_crdt::id::base32(&hash),
        members: app.store().roster()?.members().filter(|member| !member.pending).count(),
        threads: stats.threads,
        posts: stats.posts,
        entries: stats.entries,
        unread: unread(&app)?,
        waiting: stats.waiting_for_past + stats.waiting_for_device + stats.locked,
        missing: stats.missing_payloads + stats.holes,
        unfolded: stats.unfolded,
        search: SearchShape { complete: stats.unfolded == 0, waiting: stats.unfolded },
        community: CommunityShape::of(&app)?,
        me: MeShape::of(&app)?,
        store: StoreShape {
            path: home.store().to_string_lossy().into_owned(),
            bytes: stats.bytes,
            logs: stats.logs,
            locked: stats.locked,
            threads_before: stats.threads_before,
            uncounted: stats.uncounted,
            void: stats.void,
        },
        alone: if node_problem.is_some() {
            Vec::new()
        } else {
            why_alone(&app, &people, node.as_ref())?
        },
        peers: status_peers::collect(&app, &people, node.as_ref(), (context.clock)())?,
        node,
        node_problem,
        joining,
        notices: notices
            .iter()
            .map(|notice| NoticeShape {
                kind: notice.kind.clone(),
                detail: notice.detail.clone(),
                at: time::rfc3339(time::seconds(notice.at_ms)),
            })
            .collect(),
        forks: forks.iter().map(ForkShape::of).collect(),
        only_here: OnlyHereShape {
            own_posts: only_here.posts,
            oldest: time::rfc3339(time::seconds(only_here.oldest_ms))
                .filter(|_| only_here.posts > 0),
            oldest_ms: only_here.oldest_ms,
        },
    };
    if context.ui.is_json() {
        context.ui.json("status", &shape)?;
        return Ok(Exit::Done);
    }
    text(context, &app, &people, &shape, &stats)?;
    let own = app.store().roster()?.standing(&app.store().own_device());
    if own.is_some_and(|own| own.role >= Role::Lead) {
        tell_forks(context, &people, &forks)?;
    }
    if let Some(last) = notices.last() {
        app.store().notices_shown(last.number)?;
    }
    Ok(Exit::Done)
}

fn only_joining(context: &mut Context, joining: Joining) -> Result<Exit, CliError> {
    if context.ui.is_json() {
        context.ui.json("status", &Nothing { community: None, joining })?;
        return Ok(Exit::Done);
    }
    tell_joining(context, &joining)?;
    context.ui.hint("`lanai join` goes on with it");
    Ok(Exit::Done)
}

fn tell_joining(context: &mut Context, joining: &Joining) -> Result<(), CliError> {
    let name = if joining.to.is_empty() { "a community" } else { &joining.to };
    let line = Text::from("not finished: ").with(Style::Heading, name);
    fact(context, "joining", line)?;
    match &joining.problem {
        Some(problem) => fact(context, "", Text::styled(Style::Warn, problem)),
        None => Ok(()),
    }
}

/// A labelled line: aligned on a terminal, label and value with a tab in a pipe.
pub(super) fn fact(
    context: &mut Context,
    label: &str,
    value: impl Into<Text>,
) -> Result<(), CliError> {
    if !context.ui.out_is_terminal() {
        let mut table = Table::new().column("FACT").flexible("VALUE");
        table.row([Text::from(label), value.into()]);
        return context.ui.table(&table);
    }
    let first = Text::styled(Style::Dim, format!("{label:LABEL$}"));
    let rest = Text::from(" ".repeat(LABEL));
    context.ui.indented(value, &Indent { first, rest })
}

/// "1 post", "2 posts".
pub(super) fn count(n: u64, one: &str, many: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {many}") }
}

/// A number of bytes for the eye.
pub(super) fn size(bytes: u64) -> String {
    let mut rest = bytes;
    let mut tenths = 0;
    let mut unit = "bytes";
    for larger in ["kB", "MB", "GB", "TB"] {
        if rest < 1000 {
            break;
        }
        tenths = rest % 1000 / 100;
        rest /= 1000;
        unit = larger;
    }
    if unit == "bytes" || rest >= 100 {
        format!("{rest} {unit}")
    } else {
        format!("{rest}.{tenths} {unit}")
    }
}

fn text(
    context: &mut Context,
    app: &App,
    people: &People,
    shape: &StatusShape,
    stats: &Stats,
) -> Result<(), CliError> {
    let community = Text::styled(Style::Heading, &shape.community.name)
        .with(Style::Dim, format!("  {}", app.store().community().short()));
    fact(context, "community", community)?;
    let you = match (&shape.me.member, people.me()) {
        (Some(_), Some(me)) => {
            let role = shape.me.role.unwrap_or("no role");
            people
                .shown(&me)
                .plain(format!(", {role}"))
                .with(Style::Dim, format!("  {}", me.short()))
        }
        _ => Text::styled(Style::Warn, app.why_not_member()?.message),
    };
    fact(context, "you", you)?;
    let members = u64::try_from(shape.members).unwrap_or(u64::MAX);
    fact(context, "members", count(members, "member", "members"))?;
    let posts = count(shape.posts, "post", "posts");
    let mut threads = Text::from(format!("{}, {posts}", count(shape.threads, "thread", "threads")));
    if shape.unread > 0 {
        threads.push(Style::Unread, format!(", {} unread", shape.unread));
    }
    fact(context, "threads", threads)?;
    if shape.community.history == History::FromAdmission.word() {
        fact(context, "history", Text::from(NEWCOMERS))?;
    }
    say_before(context, app)?;
    if shape.only_here.own_posts > 0 {
        let posts = count(shape.only_here.own_posts, "post", "posts");
        let oldest =
            time::ago(time::seconds(shape.only_here.oldest_ms), time::seconds((context.clock)()));
        let line = format!("{posts} of yours that nobody else has yet, the oldest from {oldest}");
        fact(context, "only here", Text::styled(Style::Warn, line))?;
    }
    if stats.unfolded == 0 {
        fact(context, "search", Text::from("complete: all that is here is indexed"))?;
    } else {
        let left = count(stats.unfolded, "entry", "entries");
        let line = format!("incomplete: {left} of {} to be indexed", shape.entries);
        fact(context, "search", Text::styled(Style::Warn, line))?;
    }
    tell_lagging(context, stats)?;
    let entries = count(shape.entries, "entry", "entries");
    let store = Text::from(format!("{entries} in {}", size(shape.store.bytes)))
        .with(Style::Dim, format!("  {}", shape.store.path));
    fact(context, "store", store)?;
    fact(context, "state", Text::styled(Style::Dim, &shape.state_hash))?;
    node_text(context, app, people, shape)?;
    if let Some(joining) = &shape.joining {
        tell_joining(context, joining)?;
    }
    for notice in &shape.notices {
        context.ui.warn(Text::from(&notice.detail));
    }
    Ok(())
}

/// What a reader who came later is not shown, where that is the policy.
pub(super) fn say_before(context: &mut Context, app: &App) -> Result<(), CliError> {
    match app.store().threads_before()? {
        0 => {}
        1 => context.ui.say("1 earlier thread is from before you joined"),
        n => context.ui.say(format!("{n} earlier threads are from before you joined")),
    }
    Ok(())
}

/// What is here and not shown yet, and what would bring it: how many entries for each reason.
pub(super) fn lagging(stats: &Stats) -> [(u64, &'static str); 5] {
    [
        (stats.unfolded, "not yet indexed; the node goes on with it, or the next command"),
        (stats.missing_payloads, "without text yet; the next sync brings it"),
        (stats.holes, "missing in between; the next sync brings them"),
        (stats.locked, "sealed under a key that is not here yet; any member's node can send it"),
        (
            stats.waiting_for_device + stats.waiting_for_past,
            "waiting to hear who wrote them; the next sync brings it",
        ),
    ]
}

fn tell_lagging(context: &mut Context, stats: &Stats) -> Result<(), CliError> {
    for (n, what) in lagging(stats).into_iter().filter(|(n, _)| *n > 0) {
        let entries = count(n, "entry", "entries");
        fact(context, "", Text::styled(Style::Warn, format!("{entries} {what}")))?;
    }
    Ok(())
}

/// What leads are told: who signed two entries for one place, when, and both.
fn tell_forks(context: &mut Context, people: &People, forks: &[Fork]) -> Result<(), CliError> {
    for fork in forks.iter().take(MAX_NAMED) {
        let who = match &fork.member {
            Some(member) => people.shown(member),
            None => Text::from(fork.log.device.short()),
        };
        let mut line = who.plain(" wrote two entries in one place: ");
        for (at, (id, ms)) in fork.branches.iter().enumerate() {
            let when = time::rfc3339(time::seconds(*ms)).unwrap_or_default();
            line.push(Style::Plain, if at > 0 { " and " } else { "" });
            line.push(Style::Plain, format!("{} ({when})", id.short()));
        }
        context.ui.warn(line);
    }
    if !forks.is_empty() {
        context.ui.hint(
            "`lanai read ID` shows each. A home that was put back to an old copy does this once and \
             goes on by itself; whoever tells two people two things does it again",
        );
    }
    Ok(())
}

fn node_text(
    context: &mut Context,
    app: &App,
    people: &People,
    shape: &StatusShape,
) -> Result<(), CliError> {
    match &shape.node {
        Some(node) => {
            let known = other_devices(app)?.len();
            let connected = node.peers.len();
            let up = time::span(node.uptime_s);
            let line = Text::styled(Style::Good, "running")
                .plain(format!(" for {up}, process {}", node.pid));
            fact(context, "node", line)?;
            let terminal = context.ui.out_is_terminal();
            let all = !terminal || context.ui.verbosity() == Verbosity::Verbose;
            let mut addresses: Vec<&String> = node.listening.iter().collect();
            addresses.sort_by_key(|a| {
                a.contains("/127.0.0.1/") || a.contains("/ip6/::1/") || a.contains("/ip6/fe80")
            });
            let shown = if all { addresses.len() } else { SHOWN_ADDRESSES };
            for address in addresses.iter().take(shown) {
                // The part that says whose it is fills a line and is of no use to the eye.
                let eye = address.split("/p2p/").next().unwrap_or_default();
                let text = if terminal { eye } else { address };
                fact(context, "", Text::styled(Style::Dim, format!("listens on {text}")))?;
            }
            if addresses.len() > shown {
                let more = format!("and on {} more (status -v)", addresses.len() - shown);
                fact(context, "", Text::styled(Style::Dim, more))?;
            }
            let style = if connected > 0 { Style::Good } else { Style::Warn };
            let around = around(node);
            let peers = Text::styled(style, format!("{connected} of {known} connected"));
            let peers = match around {
                0 => peers,
                n => peers.plain(format!(", {n} more around and reached through them")),
            };
            fact(context, "peers", peers)?;
        }
        None => {
            let line = match &shape.node_problem {
                Some(problem) => Text::styled(Style::Bad, problem),
                None => Text::styled(Style::Warn, "not running"),
            };
            fact(context, "node", line)?;
        }
    }
    status_peers::tell(context, people, &shape.peers)?;
    for (place, reason) in shape.alone.iter().enumerate() {
        let label = if place == 0 { "alone" } else { "" };
        fact(context, label, reason.why.as_str())?;
    }
    for next in shape.alone.iter().filter_map(|reason| reason.next.as_ref()) {
        context.ui.hint(next.as_str());
    }
    Ok(())
}

/// Devices that are not connected although they are around: among many, each node is connected to some.
fn around(node: &NodeStatus) -> usize {
    let is_around = |peer: &&AbsentPeer| {
        peer.last_error.is_none() && peer.heard_s.is_some_and(|s| s <= AROUND_S)
    };
    match node.peers.is_empty() {
        true => 0,
        false => node.absent.iter().filter(is_around).count(),
    }
}

/// The name of the member that a device, written out, belongs to; else the device itself.
pub(super) fn device_name(
    owners: &BTreeMap<DeviceId, MemberId>,
    people: &People,
    device: &str,
) -> Text {
    match owners.iter().find(|(known, _)| known.full() == device) {
        Some((_, member)) => people.shown(member),
        None => Text::from(device.chars().take(8).collect::<String>()),
    }
}

/// Why no peer is connected, in plain words; nothing where one is.
pub(super) fn why_alone(
    app: &App,
    people: &People,
    node: Option<&NodeStatus>,
) -> Result<Vec<Reason>, CliError> {
    let mut reasons = Vec::new();
    if node.is_some_and(|node| !node.peers.is_empty()) {
        return Ok(reasons);
    }
    let others = other_devices(app)?;
    if others.is_empty() {
        if app.store().own_member()?.is_some() {
            let reason = Reason::new("nobody but you is a member yet")
                .next("`lanai invite` makes a ticket for others");
            reasons.push(reason);
        } else {
            reasons.push(Reason::new(
                "the roster has not come yet: this node waits to meet a member's node",
            ));
        }
    }
    let Some(node) = node else {
        let reason = Reason::new("no node is running, and only a node meets others")
            .next("`lanai node start` starts it");
        reasons.push(reason);
        return Ok(reasons);
    };
    if !others.is_empty() {
        reasons.extend(unreachable(&others, people, &node.absent));
    }
    reasons.extend(looking(node));
    if node.strangers > 0 {
        let n = u64::try_from(node.strangers).unwrap_or(u64::MAX);
        let nodes = count(n, "node that is", "nodes that are");
        reasons.push(Reason::new(format!("{nodes} no member's was seen on the local network")));
    }
    if !others.is_empty() {
        let next = "`lanai sync --peer ADDRESS` connects to an address that a member tells you";
        match reasons.last_mut() {
            Some(last) if last.next.is_none() => last.next = Some(next.into()),
            _ => {}
        }
    }
    Ok(reasons)
}

/// How looking for members on the local network goes. One way that works is enough.
fn looking(node: &NodeStatus) -> Option<Reason> {
    let problem = |name: &str, problem: &Option<String>| {
        problem.as_ref().map(|problem| format!("{name}: {problem}"))
    };
    let mdns = node.mdns && node.mdns_problem.is_none();
    let beacon = node.beacon && node.beacon_problem.is_none();
    let problems: Vec<String> = [
        problem("mDNS", &node.mdns_problem).filter(|_| node.mdns),
        problem("the beacon", &node.beacon_problem).filter(|_| node.beacon),
    ]
    .into_iter()
    .flatten()
    .collect();
    if mdns || beacon {
        let nobody = "no other lanai node was seen on the local network";
        return (node.strangers == 0).then(|| Reason::new(nobody));
    }
    if problems.is_empty() {
        let why = "looking for members on the local network is switched off";
        let next = "`lanai node stop`, then `lanai up` without --no-mdns and --no-beacon (and \
                    `lanai config set mdns true`, `lanai config set beacon true`)";
        return Some(Reason::new(why).next(next));
    }
    let why = problems.join("; ");
    Some(Reason::new(format!("looking for members on the local network does not work: {why}")))
}

/// Members' nodes that are known and do not answer, or whose place nobody knows.
fn unreachable(
    others: &BTreeMap<DeviceId, MemberId>,
    people: &People,
    absent: &[AbsentPeer],
) -> Vec<Reason> {
    let tried: Vec<&AbsentPeer> = absent.iter().filter(|peer| !peer.addresses.is_empty()).collect();
    let mut reasons = Vec::new();
    for peer in tried.iter().take(MAX_NAMED) {
        let name = device_name(others, people, &peer.device).to_plain();
        let place = peer.addresses.first().map(String::as_str).unwrap_or_default();
        let why = match &peer.last_error {
            Some(error) => format!("{name}'s node does not answer at {place}: {error}"),
            None => format!("{name}'s node is being called at {place}"),
        };
        reasons.push(Reason::new(why));
    }
    if let Some(more) = tried.len().checked_sub(MAX_NAMED).filter(|more| *more > 0) {
        reasons.push(Reason::new(format!("{more} more do not answer; `lanai peers` lists them")));
    }
    let known: BTreeSet<&str> = tried.iter().map(|peer| peer.device.as_str()).collect();
    let mut lost: Vec<String> = others
        .iter()
        .filter(|(device, _)| !known.contains(device.full().as_str()))
        .map(|(_, member)| people.shown(member).to_plain())
        .collect();
    lost.dedup();
    if let Some(first) = lost.first() {
        let more = lost.len() - 1;
        let who = if more == 0 { first.clone() } else { format!("{first} and {more} others") };
        reasons.push(Reason::new(format!("no address is known for the node of {who}")));
    }
    reasons
}

#[cfg(test)]
mod tests {
    use lanai_node::control::PeerStatus;

    use super::super::village::{HOSTILE, House, assert_harmless};
    use super::*;

    fn whys(house: &House, node: Option<&NodeStatus>) -> String {
        let mut bench = house.bench(None, false);
        let app = App::open(&mut bench.context).unwrap();
        let people = app.people().unwrap();
        let reasons = why_alone(&app, &people, node).unwrap();
        reasons
            .iter()
            .map(|r| format!("{} [{}]\n", r.why, r.next.clone().unwrap_or_default()))
            .collect()
    }

    #[test]
    fn the_numbers_of_a_community_without_a_node() {
        let ann = House::founder("Ann");
        let bob = ann.neighbour("Bob");
        let ask = bob.ask("Who knows?", "Tell me.", &[]);
        bob.post([ask, ask], "It is me.");
        ann.pull(&bob);
        let status = ann.json(&["status"]);
        assert_eq!(status["kind"], "status");
        assert_eq!(status["posts"], 2);
        assert_eq!(status["threads"], 1);
        assert_eq!(status["members"], 2);
        assert_eq!(status["unread"], 2);
        assert_eq!(status["unfolded"], 0);
        assert_eq!(status["search"], serde_json::json!({ "complete": true, "waiting": 0 }));
        assert_eq!(status["community"]["id"], ann.store.community().full());
        assert_eq!(status["community"]["name"], "porch");
        assert_eq!(status["me"]["name"], "Ann");
        assert_eq!(status["me"]["role"], "steward");
        assert!(status["node"].is_null() && status["store"]["bytes"].as_u64().unwrap() > 0);
        assert_eq!(status["state_hash"], bob.json(&["status"])["state_hash"]);
        assert!(status["alone"].to_string().contains("no node is running"));
        let text = ann.run(&["status", "--json"]).ok();
        for key in ["state_hash", "posts", "threads", "members", "entries", "unread"] {
            assert_eq!(text.matches(&format!("\"{key}\":")).count(), 1, "{key} in {text}");
        }
        let text = ann.on_terminal(&["status"]);
        assert!(text.err.contains("lanai node start"), "{}", text.err);
        let text = text.ok();
        assert!(text.contains("1 thread, 2 posts, 2 unread"), "{text}");
        assert!(text.contains("complete: all that is here is indexed"), "{text}");
        assert!(text.contains("Ann, steward") && text.contains("not running"), "{text}");
    }

    #[test]
    fn why_nobody_is_there() {
        let ann = House::founder("Ann");
        let alone = whys(&ann, None);
        assert!(alone.contains("nobody but you") && alone.contains("lanai invite"), "{alone}");
        assert!(alone.contains("no node is running"), "{alone}");

        let bob = ann.neighbour("Bob");
        let device = bob.store.own_device().full();
        let off = NodeStatus { mdns: false, ..NodeStatus::default() };
        let told = whys(&ann, Some(&off));
        assert!(told.contains("no address is known for the node of Bob"), "{told}");
        assert!(told.contains("switched off") && told.contains("config set mdns true"), "{told}");

        let absent = AbsentPeer {
            device: device.clone(),
            addresses: vec!["/ip4/10.0.0.1/tcp/1".into()],
            last_error: Some(format!("refused {HOSTILE}")),
            heard_s: None,
        };
        let problem = NodeStatus {
            mdns: true,
            mdns_problem: Some("no multicast".into()),
            absent: vec![absent],
            strangers: 2,
            ..NodeStatus::default()
        };
        let told = whys(&ann, Some(&problem));
        assert!(told.contains("Bob's node does not answer at /ip4/10.0.0.1/tcp/1"), "{told}");
        assert!(told.contains("does not work: mDNS: no multicast"), "{told}");
        assert!(told.contains("2 nodes that are no member's"), "{told}");
        assert!(told.contains("lanai sync --peer"), "{told}");

        let peer = PeerStatus { device, ..PeerStatus::default() };
        let met = NodeStatus { peers: vec![peer], ..NodeStatus::default() };
        assert_eq!(whys(&ann, Some(&met)), "");
    }

    #[test]
    fn hostile_names_are_harmless_here() {
        let ann = House::founder(HOSTILE);
        for ran in
            [ann.run(&["status"]), ann.on_terminal(&["status"]), ann.run(&["status", "--json"])]
        {
            assert_harmless(&ran.err);
            assert_harmless(&ran.ok());
        }
    }

    #[test]
    fn without_a_community_it_says_what_to_do() {
        let mut bench = super::super::testing::bench(None, false);
        let error = run(&mut bench.context).unwrap_err();
        assert_eq!(error.exit, Exit::NotFound);
        assert!(error.hint.unwrap().contains("lanai up"));
    }

    #[test]
    fn sizes() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (999, "999 bytes"),
            (1234, "1.2 kB"),
            (5_432_100, "5.4 MB"),
            (123_456_789, "123 MB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }
}
