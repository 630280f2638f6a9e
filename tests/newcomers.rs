//! A community in which newcomers read what is written once they are in, with real nodes.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test that goes wrong should say so and stop"
)]

mod homes;

use homes::{Home, until};
use serde_json::Value;

fn titles(home: &Home) -> Vec<String> {
    let threads = home.json(&["threads"]);
    let title = |t: &Value| t["title"].as_str().unwrap().to_owned();
    let mut titles: Vec<String> =
        threads["threads"].as_array().unwrap().iter().map(title).collect();
    titles.sort();
    titles
}

fn said(home: &Home, args: &[&str]) -> String {
    let out = home.try_run(args);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stderr).unwrap()
}

fn names(home: &Home) -> Vec<String> {
    let list = home.json(&["member", "list"]);
    assert_eq!(list["history"], "admission");
    let name = |m: &Value| m["name"].as_str().unwrap_or_default().to_owned();
    list["members"].as_array().unwrap().iter().map(name).collect()
}

#[test]
fn what_was_said_before_stays_with_those_who_were_there() {
    let dir = tempfile::tempdir().unwrap();
    let [ana, ben, phone] = ["ana", "ben", "phone"].map(|name| Home::new(dir.path(), name));
    let up = [
        "up",
        "--no-mdns",
        "--no-beacon",
        "--listen",
        "127.0.0.1",
        "--name",
        "ana",
        "--history",
        "admission",
    ];
    ana.run(&[&up[..], &["--community", "The Porch"]].concat());
    ana.run(&["charter", "edit", "-m", "What is said here stays here."]);
    let old = ana.text(&["ask", "Who drinks?", "-m", "Between the two of us."], "id");

    let ticket = ana.ticket("1");
    let address = ana.address();
    ben.stay_here();
    let join = ["join", &ticket, "--name", "ben", "--dial", &address, "--wait", "40s"];
    let told = said(&ben, &[&join[..], &["--accept-charter"]].concat());
    assert!(told.contains("you read what is written from now on"), "{told}");
    until("Ben has what Ana has", || ben.json(&["status"])["store"]["threads_before"] == 1);
    assert_eq!(ben.json(&["charter", "show"])["accepted"], true);
    assert_eq!(ben.json(&["status"])["community"]["name"], "The Porch");
    until("Ana knows Ben's name", || names(&ana) == ["ana", "ben"]);
    assert_eq!(names(&ben), ["ana", "ben"]);

    // He can read nothing of it, and is told so instead of being told to wait.
    assert_eq!(titles(&ben), [""; 0]);
    assert!(said(&ben, &["threads"]).contains("1 earlier thread is from before you joined"));
    assert!(
        said(&ben, &["search", "drinks"]).contains("1 earlier thread is from before you joined")
    );
    assert_ne!(ben.try_run(&["read", &old]).status.code(), Some(0));
    let status = ben.json(&["status"]);
    assert_eq!((&status["waiting"], &status["store"]["locked"]), (&0.into(), &0.into()));
    ana.run(&["reply", &old, "-m", "He should not hear of this."]);
    let new = ben.text(&["ask", "Who has the map?", "-m", "I am new here."], "id");
    until("Ana reads what Ben writes", || titles(&ana).len() == 2);
    ana.run(&["reply", &new, "-m", "Welcome."]);
    until("Ben reads what Ana writes", || ben.post_texts(&new).len() == 2);
    assert_eq!(titles(&ben), ["Who has the map?"]);

    // A further device of Ana reads all of it.
    phone.becomes_device_of(&ana);
    phone.up();
    until("the telephone reads all", || titles(&phone) == ["Who drinks?", "Who has the map?"]);
    assert_eq!(phone.post_texts(&old), ["Between the two of us.", "He should not hear of this."]);
    assert_eq!(phone.json(&["status"])["store"]["threads_before"], 0);
    until("Ben has heard of the reply", || {
        let entries = |home: &Home| home.json(&["status"])["entries"].as_u64().unwrap();
        entries(&ben) == entries(&ana)
    });
    assert_eq!(titles(&ben), ["Who has the map?"]);
}
