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
        self.knowing(&["unlock", "--no-mdns", "--no-beacon", "--listen", "127.0.0.1"]);
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
    for args in [&["threads", "--json"][..], &["ask", "x", "-m", "y", "--json"], &["up", "--json"]]
    {
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

/// All files below a directory, with what is in them.
fn files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let kind = std::fs::symlink_metadata(&path).unwrap().file_type();
        if kind.is_dir() {
            found.extend(files(&path));
        } else if kind.is_file() {
            found.push((path.clone(), std::fs::read(&path).unwrap()));
        }
    }
    found
}

/// Where any of the phrases stands, in any file, as text or as the bytes of an id.
fn readable(dir: &Path, phrases: &[Vec<u8>]) -> Vec<String> {
    let mut found = Vec::new();
    for (path, bytes) in files(dir) {
        for phrase in phrases {
            if bytes.windows(phrase.len()).any(|window| window == phrase) {
                found.push(format!("{}: {}", path.display(), String::from_utf8_lossy(phrase)));
            }
        }
    }
    found
}

/// What a thief looks for: texts, names, and keys as text and as bytes.
fn treasures(home: &Locked) -> Vec<Vec<u8>> {
    let texts = ["Where is the ford", "North of the mill", "Ana Okafor", "Ben Sato", "River Watch"];
    let mut treasures: Vec<Vec<u8>> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    let mut ids = Vec::new();
    let devices: Value =
        serde_json::from_str(&home.knowing(&["device", "list", "--json"])).unwrap();
    ids.extend(devices["devices"].as_array().unwrap().iter().map(|d| d["id"].clone()));
    let status: Value = serde_json::from_str(&home.knowing(&["status", "--json"])).unwrap();
    ids.push(status["community"]["id"].clone());
    for id in ids {
        let id = id.as_str().unwrap();
        treasures.push(id.as_bytes().to_vec());
        treasures.push(lanai_crdt::id::from_base32(id).unwrap());
    }
    treasures
}

#[test]
fn a_stolen_disk_shows_nothing_of_a_locked_home() {
    if !lanai_node::store::CAN_SEAL {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let ana = Locked::new(dir.path(), "ana");
    let founding = ["init", "--lock", "--name", "Ana Okafor", "--community", "River Watch"];
    ana.knowing(&founding);
    ana.knowing(&["ask", "Where is the ford?", "-m", "North of the mill."]);
    ana.unlock();
    let ticket = ana.home.ticket("1");
    let ben = Locked::new(dir.path(), "ben");
    let out = {
        let address = ana.home.address();
        ben.home.run(&["config", "set", "mdns", "false"]);
        ben.home.run(&["config", "set", "beacon", "false"]);
        ben.home.run(&["config", "set", "listen", "127.0.0.1"]);
        ben.home
            .try_run(&["join", &ticket, "--name", "Ben Sato", "--dial", &address, "--wait", "40s"])
    };
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    homes::until_equal(&[&ana.home, &ben.home]);
    let treasures = treasures(&ana);
    // Ana's power is cut: her node runs on, and no file waits to be tidied.
    assert_eq!(readable(&ana.home.root, &treasures), Vec::<String>::new());
    ana.home.run(&["note", "Ford", "-m", "It was North of the mill."]);
    assert_eq!(readable(&ana.home.root, &treasures), Vec::<String>::new());

    // Ben had no passphrase until now.
    assert!(!readable(&ben.home.root, &treasures).is_empty(), "the search finds nothing at all");
    std::fs::create_dir_all(ben.home.root.join("drafts")).unwrap();
    std::fs::write(ben.home.root.join("drafts/note.md"), "North of the mill, I think").unwrap();
    ben.knowing(&["lock"]);
    assert_eq!(readable(&ben.home.root, &treasures), Vec::<String>::new());
    assert!(ben.knowing(&["threads"]).contains("Where is the ford?"));
    // It is the same device in the same log.
    ben.unlock();
    ben.home.run(&["note", "Boat", "-m", "There is one."]);
    homes::until_equal(&[&ana.home, &ben.home]);
    for home in [&ana, &ben] {
        home.home.run(&["wipe", "--yes"]);
        assert!(!home.home.root.exists());
    }
}

#[test]
fn a_home_without_passphrase_is_wiped_and_purged() {
    let dir = tempfile::tempdir().unwrap();
    let ana = Home::new(dir.path(), "ana");
    ana.run(&["init", "--name", "Ana Okafor", "--community", "River Watch"]);
    let id = ana.text(&["note", "The quicksand", "-m", "Keep left."], "id");
    let phrases = [b"quicksand".to_vec()];
    assert!(!readable(&ana.root, &phrases).is_empty());
    ana.run(&["withdraw", &id, "--yes"]);
    let purged = ana.json(&["store", "purge", "--yes"]);
    assert_eq!((purged["dropped"].as_u64(), purged["kept"].as_u64()), (Some(1), Some(0)));
    assert_eq!(readable(&ana.root, &phrases), Vec::<String>::new());

    assert_fails(&ana.try_run(&["wipe", "--json"]), 1, "unattended");
    ana.up();
    std::fs::write(ana.root.join("holiday.jpg"), "not lanai's").unwrap();
    let wiped = ana.json(&["wipe", "--yes"]);
    assert_eq!(wiped["node_stopped"], true);
    assert_eq!(wiped["left"].as_array().unwrap().len(), 1);
    assert_eq!(files(&ana.root).len(), 1);
    assert_fails(&ana.try_run(&["threads", "--json"]), 3, "no-community");
}

#[test]
fn who_joins_with_a_passphrase_is_locked_from_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let ana = Home::new(dir.path(), "ana");
    ana.up();
    ana.run(&["note", "The ford", "-m", "North of the mill."]);
    let (ticket, address) = (ana.ticket("1"), ana.address());
    let ben = Locked::new(dir.path(), "ben");
    ben.home.stay_here();
    let join = ["join", &ticket, "--name", "Ben Adeyemi", "--dial", &address, "--wait", "40s"];
    let join = [&join[..], &["--lock", "--json"]].concat();
    assert_fails(&ben.home.try_run(&join), 1, "unattended");
    assert!(!ben.home.root.join("device.key").exists(), "nothing is made without it");
    ben.knowing(&join);
    // The node that was started has the keys.
    homes::until("Ben has the note", || ben.home.run(&["threads"]).contains("The ford"));
    ben.home.run(&["lock"]);
    assert_fails(&ben.home.try_run(&["threads", "--json"]), 4, "locked");
    assert!(ben.knowing(&["threads"]).contains("The ford"));
    let key = std::fs::read(ben.home.root.join("device.key")).unwrap();
    assert_eq!(key.get(8).copied(), Some(2), "{:?}", &key[..16]);
    assert!(!ben.home.root.join("join.json").exists());
    if lanai_node::store::CAN_SEAL {
        assert!(lanai_node::store::is_sealed(&ben.home.root.join("store.db")));
        for (path, bytes) in files(&ben.home.root) {
            let text = b"Ben Adeyemi";
            assert!(!bytes.windows(text.len()).any(|w| w == text), "{}", path.display());
        }
    }
}

#[test]
fn a_sealed_copy_is_no_way_back_and_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let ana = Home::new(dir.path(), "ana");
    let (copy, words) = (dir.path().join("copy"), dir.path().join("words"));
    // Whole pages of noise, as a sealed store is to whoever lacks the key.
    std::fs::write(&copy, vec![0xa5; 8192]).unwrap();
    std::fs::write(&words, "x").unwrap();
    let [copy, words] = [&copy, &words].map(|path| path.to_str().unwrap());
    let out = ana.try_run(&["recover", "--copy", copy, "--phrase-file", words, "--json"]);
    assert_fails(&out, 4, "sealed-copy");
    assert!(!ana.root.join("device.key").exists());
}
