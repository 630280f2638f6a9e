//! Files between real nodes: from several at once, one of which dies and one of which lies; and gone on
//! with after the fetching node was killed.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test that goes wrong should say so and stop"
)]

mod homes;

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use homes::{Home, connect, until, until_equal};
use lanai_node::control::{Client, FileProgress, Reply, Request};
use lanai_node::home::{Environment, Home as Place};
use serde_json::Value;

/// A member's device that gives files badly; killed when dropped.
struct Peer {
    process: Child,
    address: String,
}

impl Peer {
    fn start(home: &Home, args: &[&str]) -> Peer {
        let program = Path::new(env!("CARGO_BIN_EXE_lanai")).parent().unwrap();
        let program = program.join("examples/file_peer");
        assert!(
            program.exists(),
            "the example `file_peer` is not built: run `cargo build --examples` first"
        );
        let mut process = Command::new(program)
            .arg(&home.root)
            .args(args)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut address = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut address).unwrap();
        Peer { process, address: address.trim().to_owned() }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended.
        let _killed = self.process.kill();
        let _status = self.process.wait();
    }
}

fn signal(home: &Home, name: &str) {
    let pid = home.json(&["status"])["node"]["pid"].to_string();
    signal_pid(&pid, name);
}

fn signal_pid(pid: &str, name: &str) {
    assert!(Command::new("kill").args(["-s", name, pid]).status().unwrap().success());
}

fn pid(home: &Home) -> String {
    home.json(&["status"])["node"]["pid"].to_string()
}

fn progress(home: &Home, file: &str) -> FileProgress {
    let place = Place::resolve(Some(&home.root), &Environment::default()).unwrap();
    let request = Request::FileProgress { file: file.to_owned() };
    let client = Client::connect(&place.check_socket().unwrap()).unwrap();
    match client.ask(&request, Duration::from_secs(20)).unwrap() {
        Reply::File(progress) => progress,
        other => panic!("{other:?}"),
    }
}

fn counter(home: &Home, name: &str) -> u64 {
    let status = home.json(&["status"]);
    let counters = status["node"]["counters"].as_array().unwrap();
    let found = counters.iter().find(|counter| counter[0] == name);
    found.map_or(0, |counter| counter[1].as_u64().unwrap())
}

/// How many devices are connected.
fn peers(home: &Home) -> usize {
    home.json(&["status"])["node"]["peers"].as_array().unwrap().len()
}

/// Connects to a device that does not sync, besides which so many are connected in all.
fn meet(home: &Home, peer: &Peer, connected: usize) {
    // Nobody new confirms anything.
    let ran = home.try_run(&["sync", "--peer", &peer.address, "--wait", "1s"]);
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    until("it is connected", || {
        assert!(ran.status.code() != Some(1), "{said}");
        peers(home) >= connected
    });
}

/// Bytes that no compression makes smaller and no two groups share.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut out = Vec::with_capacity(bytes + 8);
    while out.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(&state.to_be_bytes());
    }
    out.truncate(bytes);
    out
}

fn file(dir: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

fn add(home: &Home, path: &Path) -> String {
    home.text(&["file", "add", path.to_str().unwrap()], "id")
}

fn get(home: &Home, id: &str, out: &Path) -> Value {
    home.json(&["file", "get", id, "--out", out.to_str().unwrap(), "--wait", "60s"])
}

/// What a device did, as `file get --json` tells it.
fn of<'a>(got: &'a Value, name: &str) -> &'a Value {
    let peers = got["peers"].as_array().unwrap();
    peers.iter().find(|p| p["member"]["name"] == name).unwrap_or_else(|| panic!("no {name}: {got}"))
}

#[test]
fn fifty_megabytes_come_from_two_peers_of_which_one_dies_past_a_liar_who_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let [ana, ben, liam, cleo] = ["ana", "ben", "liam", "cleo"].map(|n| Home::new(dir.path(), n));
    ana.up();
    let ticket = ana.ticket("3");
    for home in [&ben, &liam, &cleo] {
        home.must_join(&ticket, &ana);
    }
    let content = noise(50_000_000);
    let path = file(dir.path(), "map.bin", &content);
    let id = add(&ana, &path);
    until_equal(&[&ana, &ben, &liam, &cleo]);
    // It is larger than what comes by itself.
    for home in [&ben, &liam] {
        home.run(&["file", "get", &id, "--keep", "--wait", "60s"]);
    }
    assert_eq!(cleo.json(&["file", "list"])["files"][0]["state"], "not_here");

    liam.stop();
    let liar = Peer::start(&liam, &["--lie"]);
    connect(&cleo, &ben);
    connect(&cleo, &ana);
    meet(&cleo, &liar, 3);

    // The honest ones are held until the liar has had its turn.
    let (anas, bens) = (pid(&ana), pid(&ben));
    signal_pid(&anas, "STOP");
    signal_pid(&bens, "STOP");
    let out = dir.path().join("got.bin");
    let fetch = cleo
        .command(&["file", "get", &id, "--out", out.to_str().unwrap(), "--wait", "60s", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut last = FileProgress::default();
    until("the liar is found out", || {
        last = progress(&cleo, &id);
        last.peers.iter().any(|peer| peer.lied)
    });
    assert_eq!(last.have, 0, "{last:?}");
    signal_pid(&bens, "CONT");
    signal_pid(&anas, "CONT");
    until("half of it is there", || {
        last = progress(&cleo, &id);
        last.have * 2 >= last.groups && last.groups > 0
    });
    signal_pid(&anas, "KILL");
    assert!(last.have < last.groups, "it was quicker than the test: {last:?}");

    let done = fetch.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}");
    assert!(std::fs::read(&out).unwrap() == content, "other bytes came out");
    let got: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(of(&got, "liam")["lied"], true, "{got}");
    assert_eq!(of(&got, "liam")["groups"], 0);
    assert!(said.contains("liam") && said.contains("sent wrong bytes"), "{said}");
    let (of_ana, of_ben) = (&of(&got, "ana")["groups"], &of(&got, "ben")["groups"]);
    let both = of_ana.as_u64().unwrap() + of_ben.as_u64().unwrap();
    assert!(of_ana.as_u64().unwrap() > 0 && of_ben.as_u64().unwrap() > 0, "{got}");
    // Every group came once.
    assert_eq!(both, 50_000_000_u64.div_ceil(64 * 1024 - 16));
    assert_eq!(counter(&cleo, "file groups received"), both);
    assert_eq!(counter(&cleo, "file lies"), 1);
}

#[test]
fn a_killed_node_goes_on_where_it_was_and_fetches_nothing_twice() {
    let dir = tempfile::tempdir().unwrap();
    let [ana, ben, cleo] = ["ana", "ben", "cleo"].map(|n| Home::new(dir.path(), n));
    ana.up();
    let ticket = ana.ticket("2");
    for home in [&ben, &cleo] {
        home.must_join(&ticket, &ana);
    }
    let content = noise(10_000_000);
    let id = add(&ana, &file(dir.path(), "map.bin", &content));
    let small = add(&ana, &file(dir.path(), "small.txt", b"comes by itself"));
    until_equal(&[&ana, &ben, &cleo]);
    ben.run(&["file", "get", &id, "--keep", "--wait", "60s"]);
    until("the small one came unasked", || {
        cleo.json(&["file", "list"])["files"]
            .as_array()
            .unwrap()
            .iter()
            .any(|f| f["id"] == small.as_str() && f["state"] == "here")
    });

    ana.stop();
    ben.stop();
    until("nobody is connected any more", || peers(&cleo) == 0);
    let staller = Peer::start(&ben, &["--stall-after", "60"]);
    meet(&cleo, &staller, 1);
    let out = dir.path().join("got.bin");
    // Nobody gives the rest in time: exit code 7, and who is known to have it.
    let ran = cleo.try_run(&["file", "get", &id, "--out", out.to_str().unwrap(), "--wait", "2s"]);
    let said = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(ran.status.code(), Some(7), "{said}");
    assert!(said.contains("ana added it") && said.contains("--wait 1h"), "{said}");
    assert!(!out.exists());
    assert_eq!(progress(&cleo, &id).have, 60);
    signal(&cleo, "KILL");
    until("the killed node is gone", || cleo.json(&["status"])["node"].is_null());

    drop(staller);
    ana.up();
    cleo.up();
    connect(&cleo, &ana);
    get(&cleo, &id, &out);
    assert!(std::fs::read(&out).unwrap() == content, "other bytes came out");
    let groups = 10_000_000_u64.div_ceil(64 * 1024 - 16);
    assert_eq!(counter(&cleo, "file groups received"), groups - 60);

    // What its author takes back is given to nobody any more.
    cleo.run(&["file", "drop", &id]);
    ana.run(&["file", "withdraw", &id, "--yes"]);
    until_equal(&[&ana, &cleo]);
    let gone = cleo.try_run(&["file", "get", &id]);
    assert_eq!(gone.status.code(), Some(3), "{}", String::from_utf8_lossy(&gone.stderr));
}
