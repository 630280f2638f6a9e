//! Homes that were copied or put back, with real nodes: who sees two entries in one place of a log.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test that goes wrong should say so and stop"
)]

mod homes;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use homes::{Home, connect, until, until_equal};
use serde_json::Value;

/// Ana, who founded, and Ben; a thread; Ben's node is down.
fn two(dir: &Path) -> (Home, Home, String) {
    let (ana, ben) = (Home::new(dir, "ana"), Home::new(dir, "ben"));
    ana.up();
    ben.must_join(&ana.ticket("1"), &ana);
    let thread = ana.text(&["ask", "Who brings the tables?", "-m", "We need three."], "id");
    until_equal(&[&ana, &ben]);
    ben.stop();
    (ana, ben, thread)
}

fn forks(home: &Home) -> Vec<Value> {
    home.json(&["status"])["forks"].as_array().unwrap().clone()
}

fn warnings(home: &Home) -> String {
    String::from_utf8(home.try_run(&["status"]).stderr).unwrap()
}

fn meet(ben: &Home, ana: &Home) {
    ben.up();
    connect(ben, ana);
    until_equal(&[ana, ben]);
    ben.stop();
}

#[test]
fn a_home_that_is_put_back_forks_once_and_leads_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let (ana, ben, thread) = two(dir.path());
    let files = ["store.db", "store.token"].map(|f| ben.root.join(f));
    let copies = files.each_ref().map(|f| std::fs::read(f).unwrap());
    let reply = |text: &str| ben.text(&["reply", &thread, "-m", text], "id");

    let before = reply("I bring one.");
    meet(&ben, &ana);
    assert!(forks(&ana).is_empty());
    // Into the files that are there: nothing on his machine tells the old home from the new.
    for (file, copy) in files.iter().zip(&copies) {
        std::fs::write(file, copy).unwrap();
    }
    let after = reply("Did I answer this?");
    meet(&ben, &ana);

    until("Ana sees the fork", || !forks(&ana).is_empty());
    let seen = forks(&ana);
    let branches = seen[0]["branches"].as_array().unwrap();
    let branches: BTreeSet<&str> = branches.iter().filter_map(|b| b["entry"].as_str()).collect();
    assert_eq!(branches, BTreeSet::from([before.as_str(), after.as_str()]), "{seen:?}");
    let told = warnings(&ana);
    assert!(told.contains("ben wrote two entries in one place"), "{told}");
    assert!(!warnings(&ben).contains("in one place"), "Ben is no lead");

    // His node goes on in a new log by itself.
    reply("I did.");
    meet(&ben, &ana);
    let texts = ["Did I answer this?", "I bring one.", "I did.", "We need three."];
    assert_eq!(ana.post_texts(&thread), texts);
    assert_eq!(forks(&ana), seen);
}

#[test]
fn a_home_that_is_copied_forks_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (ana, ben, thread) = two(dir.path());
    let twin = Home::new(dir.path(), "twin");
    let copied = Command::new("cp").arg("-a").args([&ben.root, &twin.root]).status().unwrap();
    assert!(copied.success());
    for (home, text) in [(&ben, "By the one."), (&twin, "By the other.")] {
        home.run(&["reply", &thread, "-m", text]);
        meet(home, &ana);
    }
    assert_eq!(ana.post_texts(&thread), ["By the one.", "By the other.", "We need three."]);
    assert!(forks(&ana).is_empty(), "{:?}", forks(&ana));
}
