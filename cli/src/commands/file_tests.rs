//! Files without a network: added, shown, written out, dropped, withdrawn.

use super::village::{HOSTILE, House, assert_harmless};
use crate::error::Exit;

fn write(house: &House, name: &str, bytes: &[u8]) -> String {
    let path = house.beside(name);
    std::fs::write(&path, bytes).unwrap();
    path.to_str().unwrap().to_owned()
}

fn out_dir(house: &House) -> String {
    let out = house.beside("out");
    std::fs::create_dir_all(&out).unwrap();
    out.to_str().unwrap().to_owned()
}

#[test]
fn a_file_is_added_listed_and_written_out() {
    let ann = House::founder("Ann");
    let path = write(&ann, "map.pdf", &[7; 100_000]);
    let id = ann.json(&["file", "add", &path])["id"].as_str().unwrap().to_owned();
    let listed = ann.json(&["file", "list"]);
    let file = &listed["files"][0];
    assert_eq!(file["id"], id.as_str());
    assert_eq!((&file["name"], &file["bytes"]), (&"map.pdf".into(), &100_000.into()));
    assert_eq!((&file["media"], &file["state"]), (&"application/pdf".into(), &"here".into()));
    assert!(file["post"].is_null());
    let out = out_dir(&ann);
    for name in ["map.pdf", "map-2.pdf"] {
        let got = ann.json(&["file", "get", &id[..8], "--out", &out]);
        let path = std::path::Path::new(&out).join(name);
        assert_eq!(got["path"], path.to_str().unwrap());
        assert_eq!(std::fs::read(path).unwrap(), [7; 100_000]);
    }
    let typed = format!("{out}/typed");
    ann.run(&["file", "get", &id, "--out", &typed]).ok();
    assert_eq!(ann.run(&["file", "get", &id, "--out", &typed]).failed().code, "exists");
    ann.run(&["file", "get", &id, "--out", &typed, "--force"]).ok();
    assert_eq!(ann.run(&["file", "get", "zzzz"]).failed().exit, Exit::NotFound);
    let before = ann.json(&["status"])["state_hash"].clone();
    assert_eq!(ann.json(&["store", "rebuild"])["state_hash"], before);
    assert_eq!(ann.json(&["file", "list"]), listed);
}

#[test]
fn attachments_are_shown_below_their_post() {
    let ann = House::founder("Ann");
    let bob = ann.neighbour("Bob");
    let (map, list) = (write(&ann, "map.pdf", &[1; 1500]), write(&ann, "list.csv", b"a,b"));
    let note = ann.json(&["note", "N", "-m", "text", "--attach", &map, "--attach", &list]);
    let note = note["id"].as_str().unwrap();
    let reply = ann.json(&["reply", note, "-m", "More.", "--attach", &list]);
    let reply = reply["id"].as_str().unwrap();
    ann.run(&["file", "add", &list, "--to", reply, "--name", "again.csv"]).ok();
    let thread = ann.json(&["read", note]);
    let names = |post: usize| -> Vec<String> {
        let files = thread["posts"][post]["files"].as_array().unwrap();
        files.iter().map(|f| f["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(0), ["map.pdf", "list.csv"]);
    assert_eq!(names(1), ["list.csv", "again.csv"]);
    assert_eq!(ann.json(&["file", "list", note])["files"].as_array().unwrap().len(), 4);

    bob.pull(&ann);
    let shown = bob.run(&["read", note]).ok();
    assert!(shown.contains("+ map.pdf (1.5 kB), not here · lanai file get "), "{shown}");
    let id = thread["posts"][0]["files"][0]["id"].as_str().unwrap();
    let error = bob.run(&["file", "get", id]).failed();
    assert_eq!(error.exit, Exit::NodeNotRunning, "{error:?}");

    // A post that is withdrawn takes its files along.
    ann.run(&["withdraw", reply, "--yes"]).ok();
    let thread = ann.json(&["read", note]);
    assert_eq!(thread["posts"][1]["files"].as_array().unwrap().len(), 0);
    assert_eq!(ann.json(&["file", "list"])["files"].as_array().unwrap().len(), 2);
    assert_eq!(std::fs::read_dir(ann.home.files()).unwrap().count(), 2);
    bob.pull(&ann);
    assert_eq!(bob.json(&["status"])["state_hash"], ann.json(&["status"])["state_hash"]);
}

#[test]
fn a_file_is_taken_back_by_its_author_alone() {
    let ann = House::founder("Ann");
    let bob = ann.neighbour("Bob");
    let path = write(&ann, "map.pdf", &[1; 1500]);
    let id = ann.json(&["file", "add", &path])["id"].as_str().unwrap().to_owned();
    bob.pull(&ann);
    assert_eq!(bob.run(&["file", "withdraw", &id, "--yes"]).failed().exit, Exit::Refused);
    assert_eq!(ann.run(&["file", "withdraw", &id]).failed().code, crate::ui::UNATTENDED);
    ann.run(&["file", "withdraw", &id, "--yes"]).ok();
    assert!(ann.json(&["file", "list"])["files"].as_array().unwrap().is_empty());
    assert_eq!(std::fs::read_dir(ann.home.files()).unwrap().count(), 0);
    assert_eq!(ann.run(&["file", "get", &id]).failed().exit, Exit::NotFound);
    bob.pull(&ann);
    assert!(bob.json(&["file", "list"])["files"].as_array().unwrap().is_empty());
    assert_eq!(bob.json(&["status"])["state_hash"], ann.json(&["status"])["state_hash"]);
    // Its manifest goes at once here, and is not missed.
    assert_eq!(ann.json(&["store", "purge", "--yes"])["dropped"], 1);
    assert_eq!(bob.json(&["store", "purge", "--yes"])["kept"], 1);
    assert_eq!(bob.json(&["status"])["state_hash"], ann.json(&["status"])["state_hash"]);
}

#[test]
fn storage_says_what_takes_room() {
    let ann = House::founder("Ann");
    let path = write(&ann, "map.pdf", &[1; 150_000]);
    let id = ann.json(&["file", "add", &path])["id"].as_str().unwrap().to_owned();
    let storage = ann.json(&["storage"]);
    assert_eq!(storage["own"]["count"], 1);
    assert!(storage["own"]["bytes"].as_u64().unwrap() >= 150_000);
    assert_eq!(storage["quota"], 2_000_000_000u64);
    assert!(storage["next_to_go"].as_array().unwrap().is_empty(), "own files stay");
    ann.run(&["config", "set", "files_quota", "100kB"]).ok();
    let ran = ann.run(&["storage"]);
    assert!(ran.err.contains("too much"), "{}", ran.err);
    ran.ok();
    ann.run(&["file", "pin", &id]).ok();
    assert_eq!(ann.run(&["file", "drop", &id]).failed().code, crate::ui::UNATTENDED);
    ann.run(&["file", "drop", &id, "--yes"]).ok();
    assert_eq!(ann.json(&["storage"])["files_bytes"], 0);
    assert_eq!(ann.json(&["file", "list"])["files"][0]["pinned"], false);
    ann.run(&["config", "set", "file_max", "1kB"]).ok();
    assert_eq!(ann.run(&["file", "add", &path]).failed().code, "too-large");
    let error = ann.run(&["file", "add", ann.home.root().to_str().unwrap()]).failed();
    assert_eq!(error.exit, Exit::Usage);
}

#[test]
fn what_peers_call_their_files_does_no_harm() {
    use lanai_crdt::payload::{Body, File};
    let ann = House::founder("Ann");
    let bob = ann.neighbour("Bob");
    let note = ann.note("N", "text");
    let file = File {
        name: format!("../{HOSTILE}"),
        media: Some(HOSTILE.into()),
        bytes: 5,
        root: [1; 32].into(),
        key: [2; 32].into(),
    };
    let id = ann.write(Body::File(file), [note, note]);
    bob.pull(&ann);
    for line in [&["file", "list"][..], &["read", &note.full()], &["storage"]] {
        for ran in [bob.on_terminal(line), bob.run(line)] {
            assert_harmless(&ran.out);
            assert_harmless(&ran.err);
        }
    }
    let error = bob.run(&["file", "get", &id.full()]).failed();
    assert_harmless(&error.to_text());
}
