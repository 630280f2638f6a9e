//! Members' homes with the real program in them, for tests that run several nodes as processes on
//! this machine over loopback, with typed addresses.
//!
//! Every wait is for a condition with a deadline. mDNS is off, so that nodes of other tests or on the
//! network of whoever runs this do not meet.

#![allow(dead_code, reason = "each of the tests that include this uses a part of it")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long anything may take before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// One person's home and the commands given there.
pub(crate) struct Home {
    pub(crate) root: PathBuf,
    pub(crate) name: String,
}

impl Home {
    pub(crate) fn new(dir: &Path, name: &str) -> Home {
        Home { root: dir.join(name), name: name.to_owned() }
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lanai"));
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("LANAI_HOME", &self.root)
            .env("USER", &self.name)
            .arg("--no-pager")
            .args(args)
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn try_run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Runs a command that must succeed; gives its standard output.
    pub(crate) fn run(&self, args: &[&str]) -> String {
        let out = self.try_run(args);
        assert!(
            out.status.success(),
            "{}: lanai {args:?}: {}\n{}{}",
            self.name,
            out.status,
            String::from_utf8_lossy(&out.stdout),
            String::from_utf8_lossy(&out.stderr)
        );
        String::from_utf8(out.stdout).unwrap()
    }

    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let text = self.run(&[args, &["--json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("lanai {args:?}: {e}: {text}"))
    }

    pub(crate) fn text(&self, args: &[&str], field: &str) -> String {
        let value = self.json(args);
        match value[field].as_str() {
            Some(text) => text.to_owned(),
            None => panic!("lanai {args:?}: no {field} in {value}"),
        }
    }

    pub(crate) fn up(&self) {
        self.run(&[
            "up",
            "--no-mdns",
            "--no-beacon",
            "--listen",
            "127.0.0.1",
            "--name",
            &self.name,
        ]);
    }

    /// Whatever starts a node in this home, it stays to itself.
    pub(crate) fn stay_here(&self) {
        self.run(&["config", "set", "mdns", "false"]);
        self.run(&["config", "set", "beacon", "false"]);
        self.run(&["config", "set", "listen", "127.0.0.1"]);
    }

    pub(crate) fn stop(&self) {
        self.run(&["node", "stop"]);
    }

    pub(crate) fn state_hash(&self) -> String {
        self.text(&["status"], "state_hash")
    }

    /// An address of the running node.
    pub(crate) fn address(&self) -> String {
        let status = self.json(&["status"]);
        let listening = status["node"]["listening"].as_array().unwrap();
        let tcp = listening.iter().filter_map(Value::as_str).find(|a| a.contains("/tcp/"));
        tcp.unwrap_or_else(|| panic!("no TCP address in {status}")).to_owned()
    }

    pub(crate) fn ticket(&self, uses: &str) -> String {
        self.text(&["invite", "--uses", uses, "--no-addresses"], "ticket")
    }

    pub(crate) fn join(&self, ticket: &str, through: &Home) -> Output {
        let address = through.address();
        self.stay_here();
        self.try_run(&["join", ticket, "--name", &self.name, "--dial", &address, "--wait", "40s"])
    }

    pub(crate) fn must_join(&self, ticket: &str, through: &Home) {
        let out = self.join(ticket, through);
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    }

    /// Becomes a further device of who has the other home; its node is not started.
    pub(crate) fn becomes_device_of(&self, other: &Home) {
        self.stay_here();
        let invitation = other.text(&["device", "invite"], "invitation");
        let request = self.text(&["device", "join", &invitation], "request");
        other.run(&["device", "add", &request, "--yes"]);
    }

    pub(crate) fn post_texts(&self, thread: &str) -> Vec<String> {
        let mut texts: Vec<String> = self.json(&["read", thread])["posts"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|p| p["text"].as_str().map(str::to_owned))
            .collect();
        texts.sort();
        texts
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // It may not be running.
        let _stopped = self.try_run(&["node", "stop"]);
    }
}

#[track_caller]
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        std::thread::yield_now();
    }
}

#[track_caller]
pub(crate) fn until_equal(homes: &[&Home]) {
    let start = Instant::now();
    loop {
        let hashes: Vec<String> = homes.iter().map(|h| h.state_hash()).collect();
        if hashes.iter().all(|h| *h == hashes[0]) {
            return;
        }
        if start.elapsed() > PATIENCE {
            for home in homes {
                eprintln!("--- {}\n{}", home.name, home.run(&["status"]));
                eprintln!("{}", home.run(&["node", "logs", "-n", "30"]));
            }
            panic!("not equal within {PATIENCE:?}: {hashes:?}");
        }
    }
}

pub(crate) fn connect(a: &Home, b: &Home) {
    let address = b.address();
    a.run(&["sync", "--peer", &address, "--wait", "30s"]);
}
