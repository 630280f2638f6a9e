//! Measures how many nodes on one network find each other, and how fast a post reaches all of them.
//!
//! `tests/fifty_nodes.sh` makes a bridge and a network namespace for each node, and runs this there:
//!
//! ```text
//! sudo LANAI_NODES=50 LANAI_FAKES=200 LANAI_TEST_PROFILE=release tests/fifty_nodes.sh
//! ```
//!
//! Every node is a process of the real program in a namespace of its own. *Found* means: its status names every
//! other device, connected or heard of since the start, with an address; and the graph of all connections is
//! connected. Times begin when the first process is started, and, beside it, when the last one answers.
//! A post is written to one node's store as the command line does it; it has reached a node when it is in that
//! node's store, looked at from outside about every ten milliseconds.
//!
//! Fakes are announcers that belong to nobody: each has a key of its own, answers every mDNS question with an
//! address, asks by itself, and broadcasts beacons of another community and noise of the same size.

#![allow(clippy::print_stdout, clippy::print_stderr, clippy::expect_used, clippy::indexing_slicing)]

#[path = "lan/fakes.rs"]
mod fakes;
mod support;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use lanai_crdt::id::EntryId;
use lanai_node::control::{Client, NodeStatus, Reply, Request};
use lanai_node::store::{Place, Store};
use support::{Person, Result, found};

/// The port of the node whose address is typed at the others.
const KNOWN_PORT: u16 = 4100;
/// Between two looks at the stores.
const LOOK: Duration = Duration::from_millis(10);
/// Between two looks at the nodes' statuses.
const STATUS_LOOK: Duration = Duration::from_millis(500);

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Way {
    /// mDNS alone.
    Mdns,
    /// The beacon alone.
    Beacon,
    /// One address, typed at all others.
    Typed,
    /// Whatever is on by default.
    All,
}

#[derive(Debug, Parser)]
struct Args {
    /// Make this many homes in --dir and end.
    #[arg(long)]
    make: Option<usize>,
    /// Where the homes are.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Namespaces are called this and the number of the node.
    #[arg(long, default_value = "lanai")]
    namespace: String,
    /// Address of the first node.
    #[arg(long, default_value = "10.77.0.1")]
    first: String,
    /// How they are to find each other.
    #[arg(long, value_enum, default_value = "all")]
    way: Way,
    /// Posts to time.
    #[arg(long, default_value_t = 50)]
    posts: usize,
    /// Seconds in which all must have been found, or it is a failure.
    #[arg(long, default_value_t = 60)]
    limit: u64,
    /// The program.
    #[arg(long)]
    program: Option<PathBuf>,
    /// Be this many fakes for --seconds, from this process.
    #[arg(long)]
    fakes: Option<usize>,
    /// For how long.
    #[arg(long, default_value_t = 3600)]
    seconds: u64,
    /// Print what nodes did on the network at the end.
    #[arg(long)]
    counters: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    if let Some(number) = args.fakes {
        return fakes::be(number, Duration::from_secs(args.seconds));
    }
    let dir = args.dir.clone().ok_or("--dir is missing")?;
    match args.make {
        Some(number) => make(&dir, number),
        None => measure(&args, &dir),
    }
}

fn name(n: usize) -> String {
    format!("n{n}")
}

/// Makes a community of so many, all of whom know of all.
fn make(dir: &Path, number: usize) -> Result<()> {
    let start = Instant::now();
    let founder = found(dir, &name(0))?;
    let others: Vec<Person> =
        (1..number).map(|n| founder.admit(dir, &name(n))).collect::<Result<_>>()?;
    for other in &others {
        founder.take_all_from(other)?;
    }
    for other in &others {
        other.take_all_from(&founder)?;
    }
    let hashes: BTreeSet<String> =
        std::iter::once(&founder).chain(&others).map(Person::state_hash).collect::<Result<_>>()?;
    if hashes.len() != 1 {
        return Err("the homes differ".into());
    }
    println!("{number} homes made in {:.1} s", start.elapsed().as_secs_f64());
    Ok(())
}

/// A node of the real program in its namespace.
struct Running {
    child: Child,
    person: Person,
    device: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

impl Running {
    fn start(args: &Args, dir: &Path, program: &Path, n: usize) -> Result<Self> {
        let home = support::home(dir, &name(n))?;
        let (_, author) = support::keys_of(&home)?;
        let store = Store::open(&Place::of_home(&home))?;
        let device = author.device.device().full();
        let log = std::fs::File::create(dir.join(format!("{}.log", name(n))))?;
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &format!("{}{n}", args.namespace)]).arg(program);
        command.arg("--home").arg(home.root()).args(["node", "run"]);
        if !matches!(args.way, Way::Mdns | Way::All) {
            command.arg("--no-mdns");
        }
        if !matches!(args.way, Way::Beacon | Way::All) {
            command.arg("--no-beacon");
        }
        match (args.way, n) {
            (Way::Typed, 0) => command.args(["--port", &KNOWN_PORT.to_string()]),
            (Way::Typed, _) => command.args(["--dial", &format!("{}:{KNOWN_PORT}", args.first)]),
            _ => &mut command,
        };
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn()?;
        Ok(Self { child, person: Person { home, author, store }, device })
    }

    fn status(&self) -> Option<NodeStatus> {
        let client = Client::connect(&self.person.home.socket()).ok()?;
        match client.ask(&Request::Status, Duration::from_secs(20)).ok()? {
            Reply::Status(status) => Some(status),
            _ => None,
        }
    }

    fn wake(&self) -> Result<()> {
        Client::connect(&self.person.home.socket())?
            .ask(&Request::Wake, Duration::from_secs(20))?;
        Ok(())
    }

    /// CPU seconds so far, and peak memory in MiB.
    fn cost(&self) -> Option<(f64, f64)> {
        let proc = PathBuf::from(format!("/proc/{}", self.child.id()));
        let stat = std::fs::read_to_string(proc.join("stat")).ok()?;
        let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
        let ticks: f64 =
            fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
        let text = std::fs::read_to_string(proc.join("status")).ok()?;
        let line = text.lines().find(|l| l.starts_with("VmHWM:"))?;
        let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
        Some((ticks / 100.0, kib / 1024.0))
    }
}

/// How many of the others a node has found.
fn has_found(status: &NodeStatus, own: &str) -> BTreeSet<String> {
    let connected = status.peers.iter().map(|p| p.device.clone());
    let heard = status
        .absent
        .iter()
        .filter(|p| p.heard_s.is_some() && !p.addresses.is_empty())
        .map(|p| p.device.clone());
    connected.chain(heard).filter(|device| device != own).collect()
}

fn homes(dir: &Path) -> usize {
    (0..).take_while(|n| dir.join(name(*n)).is_dir()).count()
}

fn measure(args: &Args, dir: &Path) -> Result<()> {
    let number = homes(dir);
    if number < 2 {
        return Err("make some homes first (--make N)".into());
    }
    let program = match &args.program {
        Some(program) => program.clone(),
        None => std::env::current_exe()?
            .parent()
            .and_then(Path::parent)
            .ok_or("no place for the program")?
            .join("lanai"),
    };
    let start = Instant::now();
    let nodes: Vec<Running> =
        (0..number).map(|n| Running::start(args, dir, &program, n)).collect::<Result<_>>()?;
    let cpu = |nodes: &[Running]| nodes.iter().filter_map(Running::cost).map(|c| c.0).sum::<f64>();
    let (first, last_up, found) = await_found(&nodes, start, Duration::from_secs(args.limit))?;
    let since_up = found.saturating_sub(last_up);
    let cpu_found = cpu(&nodes);
    let connected = await_graph(&nodes, start)?;
    let whole = start.elapsed();
    let degrees: Vec<usize> = connected.values().map(BTreeSet::len).collect();
    let far = connected.keys().filter_map(|from| farthest(&connected, from)).max().unwrap_or(0);
    await_quiet(&nodes)?;
    let (cpu_quiet, quiet) = (cpu(&nodes), start.elapsed());
    let posts = posts(&nodes, args.posts)?;
    if args.counters {
        let (all, end) = (cpu(&nodes), start.elapsed());
        println!(
            "  CPU seconds: {cpu_found:.1} until found, {:.1} until at rest ({:.1} s), {:.1} for posts ({:.1} s)",
            cpu_quiet - cpu_found,
            (quiet - found).as_secs_f64(),
            all - cpu_quiet,
            (end - quiet).as_secs_f64()
        );
    }
    let cost: Vec<(f64, f64)> = nodes.iter().filter_map(Running::cost).collect();
    let cpu: f64 = cost.iter().map(|c| c.0).sum();
    let peak = cost.iter().map(|c| c.1).fold(0.0, f64::max);
    println!(
        "| {:?} | {number} | {:.1} | {:.1} | {:.1} | {:.1} | {} to {}, {far} steps | {} | {} | {} | {} | {cpu:.0} | {peak:.0} |",
        args.way,
        first.as_secs_f64(),
        found.as_secs_f64(),
        since_up.as_secs_f64(),
        whole.as_secs_f64(),
        degrees.iter().min().unwrap_or(&0),
        degrees.iter().max().unwrap_or(&0),
        millis(percentile(&posts.each, 50)),
        millis(percentile(&posts.each, 99)),
        millis(percentile(&posts.all, 50)),
        millis(percentile(&posts.all, 99)),
    );
    if args.counters {
        print_counters(&nodes);
    }
    Ok(())
}

fn millis(time: Duration) -> u128 {
    time.as_millis()
}

fn percentile(times: &[Duration], percent: usize) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    let place = (times.len() * percent).div_ceil(100).saturating_sub(1);
    times.get(place).copied().unwrap_or_default()
}

/// When the first node had found all, when the last one was up, and when the last one had found all.
fn await_found(
    nodes: &[Running],
    start: Instant,
    limit: Duration,
) -> Result<(Duration, Duration, Duration)> {
    let everybody: BTreeSet<String> = nodes.iter().map(|n| n.device.clone()).collect();
    let mut up: BTreeMap<usize, Duration> = BTreeMap::new();
    let mut done: BTreeMap<usize, Duration> = BTreeMap::new();
    let mut missing = BTreeMap::new();
    while done.len() < nodes.len() {
        let round = Instant::now();
        for (n, node) in nodes.iter().enumerate() {
            if done.contains_key(&n) {
                continue;
            }
            let Some(status) = node.status().filter(|s| !s.listening.is_empty()) else { continue };
            up.entry(n).or_insert_with(|| start.elapsed());
            let found = has_found(&status, &node.device);
            missing.insert(n, everybody.len() - 1 - found.len());
            if found.len() + 1 >= everybody.len() {
                done.insert(n, start.elapsed());
            }
        }
        if start.elapsed() > limit {
            let lacking: Vec<String> = missing
                .iter()
                .filter(|(n, _)| !done.contains_key(n))
                .map(|(n, missing)| format!("{}: {missing}", name(*n)))
                .collect();
            return Err(format!(
                "{} of {} have not found all after {limit:?} (how many each lacks: {})",
                nodes.len() - done.len(),
                nodes.len(),
                lacking.join(", ")
            )
            .into());
        }
        std::thread::sleep(STATUS_LOOK.saturating_sub(round.elapsed()));
    }
    let least = done.values().min().copied().unwrap_or_default();
    let last = done.values().max().copied().unwrap_or_default();
    Ok((least, up.values().max().copied().unwrap_or_default(), last))
}

type Graph = BTreeMap<String, BTreeSet<String>>;

/// Waits until the graph of connections is connected.
fn await_graph(nodes: &[Running], start: Instant) -> Result<Graph> {
    loop {
        let mut graph = Graph::new();
        for node in nodes {
            let status = node.status().ok_or("a node has ended")?;
            graph.entry(node.device.clone()).or_default();
            for peer in status.peers {
                graph.entry(peer.device.clone()).or_default().insert(node.device.clone());
                graph.entry(node.device.clone()).or_default().insert(peer.device);
            }
        }
        if graph.keys().next().is_some_and(|first| farthest(&graph, first).is_some()) {
            return Ok(graph);
        }
        if start.elapsed() > Duration::from_secs(90) {
            return Err("the graph of connections falls apart".into());
        }
        std::thread::sleep(STATUS_LOOK);
    }
}

/// Steps to the node that is farthest; `None` if one cannot be reached.
fn farthest(graph: &Graph, from: &str) -> Option<usize> {
    let mut steps = BTreeMap::from([(from.to_owned(), 0)]);
    let mut queue = VecDeque::from([from.to_owned()]);
    while let Some(at) = queue.pop_front() {
        for next in &graph[&at] {
            if !steps.contains_key(next) {
                steps.insert(next.clone(), steps[&at] + 1);
                queue.push_back(next.clone());
            }
        }
    }
    (steps.len() == graph.len()).then(|| steps.values().max().copied().unwrap_or(0))
}

/// Waits until the first exchanges are over, so that posts are timed in a community at rest.
fn await_quiet(nodes: &[Running]) -> Result<()> {
    let start = Instant::now();
    loop {
        let all = nodes.iter().all(|node| {
            node.status().is_some_and(|s| !s.peers.is_empty() && s.peers.iter().all(|p| p.in_sync))
        });
        if all {
            return Ok(());
        }
        if start.elapsed() > Duration::from_secs(120) {
            return Err("the nodes do not come to rest".into());
        }
        std::thread::sleep(STATUS_LOOK);
    }
}

#[derive(Debug, Default)]
struct Times {
    /// From the commit of a post to its arrival at each other node.
    each: Vec<Duration>,
    /// To its arrival at the last of them.
    all: Vec<Duration>,
}

fn posts(nodes: &[Running], number: usize) -> Result<Times> {
    let thread = nodes.first().ok_or("no nodes")?.person.note("Are all here?", "Answer, all.")?;
    nodes.first().ok_or("no nodes")?.wake()?;
    await_everywhere(nodes, thread, Instant::now())?;
    let mut times = Times::default();
    for post in 0..number {
        let author = &nodes[(post * 7 + 1) % nodes.len()];
        let id = author.person.reply(thread, &format!("Post {post} of the measurement."))?;
        let written = Instant::now();
        author.wake()?;
        let arrived = await_everywhere(nodes, id, written)?;
        times.all.push(arrived.iter().max().copied().unwrap_or_default());
        times.each.extend(arrived);
    }
    Ok(times)
}

/// Waits until an entry is in every store; how long it took for each that did not have it at once.
fn await_everywhere(nodes: &[Running], id: EntryId, written: Instant) -> Result<Vec<Duration>> {
    let mut newest = vec![-1i64; nodes.len()];
    let mut missing: BTreeSet<usize> = (0..nodes.len()).collect();
    let mut times = Vec::new();
    while !missing.is_empty() {
        let round = Instant::now();
        for n in missing.clone() {
            let store = &nodes[n].person.store;
            let arrival = store.newest_arrival()?;
            if arrival != newest[n] {
                newest[n] = arrival;
                if !store.entries(&[id])?.is_empty() {
                    missing.remove(&n);
                    times.push(written.elapsed());
                }
            }
        }
        if written.elapsed() > Duration::from_secs(60) {
            return Err(
                format!("a post has not reached {} nodes in a minute", missing.len()).into()
            );
        }
        std::thread::sleep(LOOK.saturating_sub(round.elapsed()));
    }
    // The author's own is the first, and took no way.
    times.sort_unstable();
    times.remove(0);
    Ok(times)
}

fn print_counters(nodes: &[Running]) {
    let mut sums: BTreeMap<String, u64> = BTreeMap::new();
    for status in nodes.iter().filter_map(Running::status) {
        for (name, value) in status.counters {
            *sums.entry(name).or_default() += value;
        }
        *sums.entry("strangers".to_owned()).or_default() += status.strangers as u64;
    }
    for (name, value) in sums {
        println!("  {name}: {value}");
    }
}
