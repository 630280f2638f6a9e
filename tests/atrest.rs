//! What a thief of the disk finds, and what its owner goes through: homes with a passphrase, with
//! the real program.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test that goes wrong should say so and stop"
)]

mod homes;

use std::path::{Path, PathBuf};
use std::process::Output;

use homes::Home;
use serde_json::Value;

const PASSPHRASE: &str = "tide borrows gravel twice";

/// A home and a file with its passphrase beside it.
struct Locked {
    home: Home,
    secret: PathBuf,
}

impl Locked {
    fn new(dir: &Path, name: &str) -> Locked {
        let secret = dir.join(format!("{name}.secret"));
        std::fs::write(&secret, format!("{PASSPHRASE}\n")).unwrap();
        Locked { home: Home::new(dir, name), secret }
    }

    /// Runs a command that is told the passphrase and must succeed.
    fn knowing(&self, args: &[&str]) -> String {
        let out = self.telling(&self.secret, args);
        assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    }

    fn telling(&self, file: &Path, args: &[&str]) -> Output {
        self.home.command(args).env("LANAI_PASSPHRASE_FILE", file).output().unwrap()
    }

    fn unlock(&self) {
        self.knowing(&["unlock", "--no-mdns", "--listen", "127.0.0.1"]);
    }
}

#[track_caller]
fn assert_fails(out: &Output, status: i32, code: &str) {
    assert_eq!(out.status.code(), Some(status), "{}", String::from_utf8_lossy(&out.stderr));
    let error: Value = serde_json::from_slice(&out.stderr)
        .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&out.stderr)));
    assert_eq!(error["error"]["code"], code, "{error}");
}

#[test]
fn a_locked_home_takes_its_passphrase_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let ana = Locked::new(dir.path(), "ana");
    ana.knowing(&["init", "--lock", "--name", "Ana Okafor"]);
    ana.knowing(&["ask", "Where is the ford?", "-m", "North of the mill."]);

    // Nobody to ask, and nothing to tell.
    for args in [&["threads", "--json"][..], &["ask", "x", "-m", "y", "--json"], &["up", "--json"]] {
        assert_fails(&ana.home.try_run(args), 4, "locked");
    }
    let wrong = dir.path().join("wrong");
    std::fs::write(&wrong, "tide borrows gravel\n").unwrap();
    assert_fails(&ana.telling(&wrong, &["threads", "--json"]), 4, "wrong-passphrase");
    assert_fails(&ana.telling(&wrong, &["unlock", "--json"]), 4, "wrong-passphrase");
    assert!(ana.knowing(&["threads"]).contains("Where is the ford?"));
    // What needs no key asks for none.
    ana.home.run(&["paths"]);
    ana.home.run(&["node", "stop"]);

    let before = std::fs::read(ana.home.root.join("device.key")).unwrap();
    let new = dir.path().join("new");
    std::fs::write(&new, "another one\n").unwrap();
    let change = ["lock", "--change", "--new-passphrase-file", new.to_str().unwrap()];
    ana.knowing(&change);
    assert_ne!(std::fs::read(ana.home.root.join("device.key")).unwrap(), before);
    assert_fails(&ana.telling(&ana.secret, &["threads", "--json"]), 4, "wrong-passphrase");
    assert!(ana.telling(&new, &["unlock", "--remove"]).status.success());
    assert!(ana.home.run(&["threads"]).contains("Where is the ford?"));
    assert_fails(&ana.home.try_run(&["unlock", "--json"]), 1, "not-locked");
}

#[test]
fn a_running_node_holds_the_keys_until_it_is_locked() {
    let dir = tempfile::tempdir().unwrap();
    let ana = Locked::new(dir.path(), "ana");
    ana.home.run(&["init", "--name", "Ana Okafor"]);
    ana.home.run(&["ask", "Where is the ford?", "-m", "North of the mill."]);
    let device = ana.home.json(&["status"])["me"]["device"].clone();
    assert_fails(&ana.home.try_run(&["lock", "--json"]), 1, "unattended");
    ana.knowing(&["lock"]);
    assert_fails(&ana.home.try_run(&["node", "start", "--json"]), 4, "locked");

    ana.unlock();
    // Beside the node nobody is asked, for reading or writing.
    ana.home.run(&["note", "Ford found", "-m", "It is dry."]);
    let status = ana.home.json(&["status"]);
    assert_eq!(status["me"]["device"], device);
    let again: Value = serde_json::from_str(&ana.knowing(&["unlock", "--json"])).unwrap();
    assert_eq!(again["node_started"], false);

    let locked: Value = serde_json::from_str(&ana.home.run(&["lock", "--json"])).unwrap();
    assert_eq!(locked["node_stopped"], true);
    assert_fails(&ana.home.try_run(&["threads", "--json"]), 4, "locked");
    assert!(ana.knowing(&["threads"]).contains("Ford found"));
}
