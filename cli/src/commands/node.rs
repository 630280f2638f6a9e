//! `lanai node`: the process that peers with others.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener, UdpSocket};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command as Process, Stdio};
use std::time::{Duration, Instant};

use lanai_node::config::{Config, ConfigError};
use lanai_node::control::{Client, ControlError, NodeStatus, Reply, Request};
use lanai_node::home::Home;
use lanai_node::lock::{LockError, NodeLock};
use lanai_node::runtime::{self, NodeOptions, RuntimeError};
use lanai_node::store::{Place, Store};
use serde::Serialize;

use super::{Context, metrics};
use crate::app;
use crate::args::{LogsArgs, NetworkArgs, NodeCommand};
use crate::error::{CliError, Exit};
use crate::layout::{Style, Text};
use crate::logs::{self, LogTo};
use crate::own;
use crate::time;

/// How long a node in the background may take to answer after its start.
const START_PATIENCE: Duration = Duration::from_secs(15);
/// How long a node may take to stop.
const STOP_PATIENCE: Duration = Duration::from_secs(10);
/// How long a node may take to answer a question.
pub(super) const ANSWER_PATIENCE: Duration = Duration::from_secs(5);
/// Pause between two looks at something that another process does.
const LOOK: Duration = Duration::from_millis(20);
/// Size at which a log is put aside when the node starts, in bytes.
const MAX_LOG_BYTES: u64 = 5 * 1024 * 1024;
/// Setting of the store that remembers the port.
const PORT_SETTING: &str = "port";
/// Ports that are tried before the choice is left to the system.
const PORT_TRIES: usize = 20;
/// Bytes of the log's end that are searched for lines.
const LOG_TAIL_BYTES: u64 = 4 * 1024 * 1024;

impl From<LockError> for CliError {
    fn from(error: LockError) -> CliError {
        let held = matches!(error, LockError::Held { .. });
        let error = CliError::failed(if held { "node-running" } else { "lock" }, error.to_string());
        if held {
            error.hint("`lanai node stop` ends it, `lanai status` says how it is")
        } else {
            error
        }
    }
}

impl From<ConfigError> for CliError {
    fn from(error: ConfigError) -> CliError {
        let hint = match &error {
            ConfigError::NoSuchKey(_) => Some("`lanai config list` shows them all"),
            ConfigError::Damaged { .. } => {
                Some("mend the file, or move it away to go on with what is built in")
            }
            _ => None,
        };
        let exit = match &error {
            ConfigError::NoSuchKey(_) => Exit::NotFound,
            ConfigError::BadValue { .. } | ConfigError::BadAddress(_) => Exit::Usage,
            ConfigError::Io { .. } | ConfigError::Damaged { .. } => Exit::Failed,
        };
        let error = CliError::new(exit, "config", error.to_string());
        match hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}

impl From<RuntimeError> for CliError {
    fn from(error: RuntimeError) -> CliError {
        match error {
            RuntimeError::Lock(e) => e.into(),
            RuntimeError::Store(e) => e.into(),
            RuntimeError::Identity(e) => e.into(),
            RuntimeError::Home(e) => e.into(),
            other => CliError::failed("node", other.to_string()),
        }
    }
}

impl From<ControlError> for CliError {
    fn from(error: ControlError) -> CliError {
        match error {
            ControlError::NotRunning => CliError::node_not_running(),
            ControlError::Io(_) => CliError::failed("node-silent", error.to_string())
                .hint("`lanai node logs` shows what it does")
                .retryable(),
            ControlError::Answer(_) => CliError::failed("node-version", error.to_string())
                .hint("`lanai node stop`, then `lanai up`: it may be of another version"),
        }
    }
}

/// Asks the running node. The error is [`Exit::NodeNotRunning`] where none runs.
pub(super) fn ask(home: &Home, request: &Request, patience: Duration) -> Result<Reply, CliError> {
    match Client::connect(&home.check_socket()?)?.ask(request, patience)? {
        Reply::Error { message } => Err(CliError::failed("node", message)),
        reply => Ok(reply),
    }
}

/// How the node is, or `None` where none runs.
pub(super) fn status_of(home: &Home) -> Result<Option<NodeStatus>, CliError> {
    if NodeLock::holder(&home.lock()).is_none() {
        return Ok(None);
    }
    match ask(home, &Request::Status, ANSWER_PATIENCE) {
        Ok(Reply::Status(status)) => Ok(Some(status)),
        Ok(_) => Err(CliError::internal("the node gave an answer that was not asked for")),
        Err(error) if error.exit == Exit::NodeNotRunning => Ok(None),
        Err(error) => Err(error),
    }
}

/// The settings of the home with what the command line says on top.
pub(super) fn settings(home: &Home, network: &NetworkArgs) -> Result<Config, CliError> {
    let mut config = Config::load(&home.config())?;
    if !network.listen.is_empty() {
        config.set("listen", &network.listen.join(" "))?;
    }
    if let Some(port) = network.port {
        config.port = port;
    }
    if network.no_mdns {
        config.mdns = false;
    }
    if network.no_beacon {
        config.beacon = false;
    }
    if !network.dial.is_empty() {
        let all: Vec<&str> = network
            .dial
            .iter()
            .map(String::as_str)
            .chain(config.dial.iter().map(String::as_str))
            .collect();
        config.set("dial", &all.join(" "))?;
    }
    Ok(config)
}

pub(super) fn run(context: &mut Context, command: &NodeCommand) -> Result<Exit, CliError> {
    match command {
        NodeCommand::Run { network, background } => {
            lanai_node::runtime::restart_with_process_environment();
            run_here(context, network, *background)
        }
        NodeCommand::Start { network } => {
            let home = app::open_home(context)?;
            let (status, new) = start(&home, network)?;
            show_status(context, Some(&status), if new { "started" } else { "was running already" })
        }
        NodeCommand::Stop => {
            let home = context.home()?;
            own::tell_after(context, true);
            let was = stop(&home)?;
            if context.ui.is_json() {
                context.ui.json("node-stop", &Stopped { stopped: was })?;
            } else if was {
                context.ui.say("the node has stopped");
            } else {
                context.ui.say("no node was running");
            }
            Ok(Exit::Done)
        }
        NodeCommand::Status => {
            let home = context.home()?;
            let status = status_of(&home)?;
            show_status(context, status.as_ref(), "is running")?;
            Ok(if status.is_some() { Exit::Done } else { Exit::NodeNotRunning })
        }
        NodeCommand::Metrics => {
            let app = app::App::open_quietly(context)?;
            let status = status_of(app.home())?;
            context.ui.trusted(&metrics::text(status.as_ref(), &app.store().stats()?))?;
            Ok(Exit::Done)
        }
        NodeCommand::Logs(args) => show_logs(context, args),
    }
}

#[derive(Serialize)]
struct Stopped {
    stopped: bool,
}

#[derive(Serialize)]
struct Running<'a> {
    running: bool,
    node: Option<&'a NodeStatus>,
}

fn show_status(
    context: &mut Context,
    status: Option<&NodeStatus>,
    how: &str,
) -> Result<Exit, CliError> {
    if context.ui.is_json() {
        context.ui.json("node-status", &Running { running: status.is_some(), node: status })?;
        return Ok(Exit::Done);
    }
    let Some(status) = status else {
        context.ui.line("no node is running")?;
        context.ui.hint("`lanai node start` starts it");
        return Ok(Exit::Done);
    };
    context.ui.line(format!(
        "the node {how}: process {}, up for {}, {} connected",
        status.pid,
        time::span(status.uptime_s),
        status.peers.len()
    ))?;
    for address in &status.listening {
        context.ui.line(Text::styled(Style::Dim, format!("  {address}")))?;
    }
    Ok(Exit::Done)
}

/// The port for a node that was given none: the one used before, so that addresses in tickets and
/// in other members' books stay good; a new one at the first time, and where that one is taken. 0
/// where the addresses to listen on have ports of their own, or another node runs here.
fn port_used_before(home: &Home, config: &Config) -> Result<u16, CliError> {
    let mut hosts = Vec::new();
    for address in &config.listen {
        match address.parse::<IpAddr>() {
            Ok(host) => hosts.push(host),
            Err(_) => return Ok(0),
        }
    }
    if NodeLock::holder(&home.lock()).is_some() {
        return Ok(0);
    }
    if hosts.is_empty() {
        hosts = vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
    }
    let store = Store::open(&Place::of_home(home))?;
    let before = store.setting(PORT_SETTING)?.and_then(|bytes| <[u8; 2]>::try_from(bytes).ok());
    if let Some(port) = before.map(u16::from_be_bytes).filter(|port| is_free(&hosts, *port)) {
        return Ok(port);
    }
    let Some(port) = free_port(&hosts) else { return Ok(0) };
    store.set_setting(PORT_SETTING, Some(&port.to_be_bytes()))?;
    Ok(port)
}

/// Whether TCP and UDP can be listened on. A kind of address that this machine lacks is no obstacle.
fn is_free(hosts: &[IpAddr], port: u16) -> bool {
    let taken = |error: &std::io::Error| {
        matches!(error.kind(), std::io::ErrorKind::AddrInUse | std::io::ErrorKind::PermissionDenied)
    };
    port != 0
        && hosts.iter().all(|host| {
            let tcp = TcpListener::bind((*host, port)).err();
            let udp = UdpSocket::bind((*host, port)).err();
            !tcp.iter().chain(&udp).any(taken)
        })
}

/// A port that is free for TCP and UDP.
fn free_port(hosts: &[IpAddr]) -> Option<u16> {
    let host = *hosts.first()?;
    (0..PORT_TRIES).find_map(|_| {
        // The system chooses; the listener is dropped at once.
        let port = TcpListener::bind((host, 0)).ok()?.local_addr().ok()?.port();
        is_free(hosts, port).then_some(port)
    })
}

/// How a node is run in a home.
pub(super) fn options(home: Home, config: &Config) -> Result<NodeOptions, CliError> {
    let (listen, dial) = (config.listen_addresses()?, config.dial_addresses()?);
    let (mdns, beacon, profiles) = (config.mdns, config.beacon, config.link_rules()?);
    Ok(NodeOptions { listen, dial, mdns, beacon, profiles, home })
}

/// Runs the node in this process until it is told to stop.
pub(super) fn run_here(
    context: &mut Context,
    network: &NetworkArgs,
    background: bool,
) -> Result<Exit, CliError> {
    let home = app::open_home(context)?;
    let log = home.log();
    let to = if background { LogTo::File(&log) } else { LogTo::Stderr };
    logs::start(to, context.ui.verbosity(), context.ui.env())?;
    let mut config = settings(&home, network)?;
    if config.port == 0 {
        config.port = port_used_before(&home, &config)?;
    }
    let options = options(home, &config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| CliError::io("start the node", &e))?;
    let result = runtime.block_on(async {
        let stop = stop_signal()?;
        runtime::run(options, stop).await.map_err(CliError::from)
    });
    runtime.shutdown_timeout(Duration::from_millis(500));
    if background && let Err(error) = &result {
        tracing::error!("{}", error.to_text());
    }
    result.map(|()| Exit::Done)
}

/// Done when the process is asked to end, by Ctrl-C or the system.
pub(super) fn stop_signal() -> Result<impl Future<Output = ()>, CliError> {
    use tokio::signal::unix::{SignalKind, signal};
    let error = |e| CliError::io("listen for signals", &e);
    let mut terminate = signal(SignalKind::terminate()).map_err(error)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(error)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(error)?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hangup.recv() => {}
        }
    })
}

/// Starts the node in the background, unless it runs already; says whether it is new.
pub(super) fn start(home: &Home, network: &NetworkArgs) -> Result<(NodeStatus, bool), CliError> {
    if let Some(status) = status_of(home)? {
        return Ok((status, false));
    }
    // A mistake in the settings is better told here than in a log.
    settings(home, network)?.listen_addresses()?;
    put_old_log_aside(&home.log());
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(home.log())
        .map_err(|e| CliError::io(home.log().display(), &e))?;
    let from = log.metadata().map_or(0, |m| m.len());
    let program = std::env::current_exe().map_err(|e| CliError::io("find this program", &e))?;
    let mut process = Process::new(program);
    lanai_node::runtime::set_process_environment(&mut process);
    process.arg("--home").arg(home.root()).args(["node", "run", "--background"]);
    for address in &network.listen {
        process.args(["--listen", address]);
    }
    if let Some(port) = network.port {
        process.args(["--port", &port.to_string()]);
    }
    if network.no_mdns {
        process.arg("--no-mdns");
    }
    if network.no_beacon {
        process.arg("--no-beacon");
    }
    for address in &network.dial {
        process.args(["--dial", address]);
    }
    // The keys of a locked home go from hand to hand, and over no command line.
    let wrap = home.unlocked().and_then(|unlocked| unlocked.wrap.clone());
    // Its own process group, so that Ctrl-C here does not reach it; a place that cannot vanish.
    let mut child = process
        .process_group(0)
        .current_dir("/")
        .stdin(if wrap.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .map_err(|e| CliError::io("start the node", &e))?;
    if let (Some(wrap), Some(mut pipe)) = (wrap, child.stdin.take()) {
        // A node that ended already is told of below.
        let _gone = writeln!(pipe, "{}", String::from(wrap));
    }
    let begun = Instant::now();
    loop {
        if let Some(status) = status_of(home)? {
            return Ok((status, true));
        }
        if ended(&mut child) || begun.elapsed() > START_PATIENCE {
            let last = log_since(&home.log(), from).unwrap_or_default();
            let last: Vec<&str> = last.lines().rev().take(5).collect();
            let last: Vec<&str> = last.into_iter().rev().collect();
            return Err(CliError::failed(
                "node-start",
                format!("the node did not start\n{}", last.join("\n")),
            )
            .hint("`lanai node run` runs it here, where it can be watched"));
        }
        std::thread::sleep(LOOK);
    }
}

fn ended(child: &mut Child) -> bool {
    matches!(child.try_wait(), Ok(Some(_)) | Err(_))
}

/// Stops the node and waits until its lock is free. Says whether one was running.
pub(super) fn stop(home: &Home) -> Result<bool, CliError> {
    if NodeLock::holder(&home.lock()).is_none() {
        return Ok(false);
    }
    let begun = Instant::now();
    // A node that is just starting or stopping does not listen yet, or any more.
    let mut asked = false;
    while NodeLock::holder(&home.lock()).is_some() {
        if !asked {
            match ask(home, &Request::Stop, ANSWER_PATIENCE) {
                Ok(_) => asked = true,
                Err(e) if e.exit == Exit::NodeNotRunning => {}
                Err(e) => return Err(e),
            }
        }
        if begun.elapsed() > STOP_PATIENCE {
            let holder = NodeLock::holder(&home.lock()).unwrap_or_default();
            return Err(CliError::failed(
                "node-stop",
                format!("the node ({holder}) does not stop"),
            )
            .hint("`lanai node logs` shows what it does"));
        }
        std::thread::sleep(LOOK);
    }
    Ok(true)
}

fn put_old_log_aside(log: &Path) {
    if std::fs::metadata(log).is_ok_and(|m| m.len() > MAX_LOG_BYTES) {
        // A log that cannot be put aside only grows on.
        let _grows = std::fs::rename(log, log.with_extension("log.old"));
    }
}

fn log_since(path: &Path, from: u64) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(LOG_TAIL_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn show_logs(context: &mut Context, args: &LogsArgs) -> Result<Exit, CliError> {
    let home = context.home()?;
    let path = home.log();
    let io = |e: &std::io::Error| CliError::io(path.display(), e);
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Err(CliError::not_found("the node has not logged anything yet")
                .hint("only a node in the background logs to a file: `lanai node start`"));
        }
        Err(e) => return Err(io(&e)),
    };
    let length = file.metadata().map_err(|e| io(&e))?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL_BYTES))).map_err(|e| io(&e))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(|e| io(&e))?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    for line in lines.iter().skip(lines.len().saturating_sub(args.lines)) {
        context.ui.line(*line)?;
    }
    if !args.follow {
        return Ok(Exit::Done);
    }
    context.ui.flush()?;
    let mut reader = BufReader::new(file);
    let mut line = String::new();
    loop {
        match reader.read_line(&mut line) {
            Ok(0) => std::thread::sleep(Duration::from_millis(200)),
            Ok(_) if line.ends_with('\n') => {
                context.ui.line(line.trim_end())?;
                context.ui.flush()?;
                line.clear();
            }
            // A line that is being written.
            Ok(_) => {}
            Err(e) => return Err(io(&e)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::village::House;
    use super::*;

    #[test]
    fn a_port_is_kept_until_somebody_else_has_it() {
        let ann = House::founder("Ann");
        let config = Config { listen: vec!["127.0.0.1".into()], ..Config::default() };
        let first = port_used_before(&ann.home, &config).unwrap();
        assert_ne!(first, 0);
        assert_eq!(port_used_before(&ann.home, &config).unwrap(), first);
        let taken = UdpSocket::bind(("127.0.0.1", first)).unwrap();
        let second = port_used_before(&ann.home, &config).unwrap();
        assert_ne!(second, first);
        drop(taken);
        assert_eq!(port_used_before(&ann.home, &config).unwrap(), second);
        let own = Config { listen: vec!["/ip4/127.0.0.1/tcp/7".into()], ..Config::default() };
        assert_eq!(port_used_before(&ann.home, &own).unwrap(), 0);
        let _runs = NodeLock::acquire(&ann.home.lock()).unwrap();
        assert_eq!(port_used_before(&ann.home, &config).unwrap(), 0);
    }

    #[test]
    fn without_a_node_the_commands_say_so() {
        let ann = House::founder("Ann");
        let ran = ann.run(&["node", "status"]);
        assert_eq!(*ran.done.as_ref().unwrap(), Exit::NodeNotRunning);
        assert!(ran.out.contains("no node is running"));
        assert_eq!(ann.json(&["node", "stop"])["stopped"], false);
        assert_eq!(ann.run(&["node", "logs"]).failed().exit, Exit::NotFound);
        std::fs::write(ann.home.log(), "one\ntwo\x1b[2J\nthree\n").unwrap();
        let lines = ann.run(&["node", "logs", "-n", "2"]).ok();
        assert_eq!(lines.lines().count(), 2);
        super::super::village::assert_harmless(&lines);
    }
}
