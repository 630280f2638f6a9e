//! Coming back, with real nodes: every device lost, removed by mistake, let in by a ticket that was
//! used twice.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test that goes wrong should say so and stop"
)]

mod homes;

use std::path::Path;

use homes::{Home, connect, until, until_equal};
use serde_json::Value;

/// Members' homes, all with nodes and all equal; the first founds, the others join through it.
fn community<const N: usize>(dir: &Path, names: [&str; N]) -> [Home; N] {
    let homes = names.map(|n| Home::new(dir, n));
    homes[0].up();
    let ticket = homes[0].ticket(&(N - 1).to_string());
    homes[1..].iter().for_each(|home| home.must_join(&ticket, &homes[0]));
    until_equal(&homes.iter().collect::<Vec<_>>());
    homes
}

/// A new home that asks, with a text from `by`, to be a device of `whose`. Gives the request.
fn asks(new: &Home, by: &Home, whose: &str) -> String {
    let invitation = by.text(&["device", "invite", "--member", whose], "invitation");
    new.stay_here();
    new.text(&["device", "join", &invitation], "request")
}

fn members(home: &Home) -> Vec<Value> {
    home.json(&["member", "list"])["members"].as_array().unwrap().clone()
}

fn member(home: &Home, name: &str) -> Value {
    let found: Vec<Value> = members(home).into_iter().filter(|m| m["name"] == name).collect();
    assert_eq!(found.len(), 1, "{name}: {found:?}");
    found[0].clone()
}

/// What the members are told of the last act of a kind.
fn told(home: &Home, what: &str) -> Value {
    let log = home.json(&["member", "log"]);
    let acts = log["acts"].as_array().unwrap();
    acts.iter().rfind(|a| a["what"] == what).unwrap_or_else(|| panic!("{what}: {log}")).clone()
}

#[test]
fn who_lost_every_device_comes_back_by_vouching() {
    let dir = tempfile::tempdir().unwrap();
    let [ana, ben, eve] = community(dir.path(), ["ana", "ben", "eve"]);
    ana.run(&["member", "role", "eve", "lead"]);
    let thread = eve.text(&["ask", "Who has the map?", "-m", "It is mine."], "id");
    until_equal(&[&ana, &ben, &eve]);

    // Eve's bag is stolen, and the thief writes on. Only a steward may vouch, and not for herself.
    eve.stop();
    let new = Home::new(dir.path(), "new");
    let request = asks(&new, &ana, "eve");
    assert_eq!(ben.try_run(&["member", "vouch", &request, "--yes"]).status.code(), Some(6));
    eve.run(&["reply", &thread, "-m", "Written by the thief."]);
    ana.run(&["member", "vouch", &request, "--yes", "--reason", "I met her at the station"]);
    new.up();
    until_equal(&[&ana, &ben, &new]);

    let eve_now = member(&ben, "eve");
    assert_eq!(
        (&eve_now["role"], eve_now["devices"].as_array().unwrap().len()),
        (&"member".into(), 1)
    );
    let reply = new.text(&["reply", &thread, "-m", "I am back."], "id");
    until_equal(&[&ana, &ben, &new]);
    let posts = ben.json(&["read", &thread])["posts"].clone();
    let said = posts.as_array().unwrap().iter().find(|p| p["id"] == reply.as_str()).unwrap();
    assert_eq!(said["author"]["name"], "eve");
    assert_eq!(ben.post_texts(&thread), ["I am back.", "It is mine."]);
    let act = told(&ben, "vouches for a new device of");
    assert_eq!(act["member"]["name"], "eve");
    assert_eq!(
        (&act["by"]["name"], &act["reason"]),
        (&"ana".into(), &"I met her at the station".into())
    );

    // The thief is out.
    eve.run(&["node", "start"]);
    let out = eve.try_run(&["sync", "--peer", &ana.address(), "--wait", "3s"]);
    assert!(!out.status.success(), "{out:?}");
    assert_eq!(ana.post_texts(&thread), ["I am back.", "It is mine."]);
}

#[test]
fn who_was_removed_by_mistake_is_taken_back_in() {
    let dir = tempfile::tempdir().unwrap();
    let [ana, ben, eve] = community(dir.path(), ["ana", "ben", "eve"]);
    let thread = eve.text(&["ask", "Who has the map?", "-m", "Before."], "id");
    until_equal(&[&ana, &ben, &eve]);
    ben.stop();
    eve.stop();
    // Ben has what Eve wrote meanwhile; Ana has not, when she removes her.
    eve.run(&["reply", &thread, "-m", "Between."]);
    ana.run(&["member", "remove", "eve", "--yes", "--reason", "the key was found in a shop"]);
    ana.stop();
    eve.up();
    ben.up();
    connect(&ben, &eve);
    until_equal(&[&ben, &eve]);
    eve.stop();
    ana.up();
    connect(&ben, &ana);
    until_equal(&[&ana, &ben]);
    for home in [&ana, &ben] {
        assert_eq!(home.post_texts(&thread), ["Before."]);
    }

    // What was cut off is told, and accepted by a steward who knows that it was hers.
    let removal = told(&ana, "removes");
    assert!(removal["cut_off"].as_u64().unwrap() > 0, "{removal}");
    let id = removal["id"].as_str().unwrap();
    assert_eq!(ben.try_run(&["member", "accept", id, "--yes"]).status.code(), Some(6));
    ana.run(&["member", "accept", id, "--yes", "--reason", "I asked her"]);
    until_equal(&[&ana, &ben]);
    for home in [&ana, &ben] {
        assert_eq!(home.post_texts(&thread), ["Before.", "Between."]);
        assert_eq!(told(home, "removes")["cut_off"], 0);
    }
    assert_eq!(ana.try_run(&["member", "accept", id, "--yes"]).status.code(), Some(2));

    // She comes back with new keys, as who she was.
    let new = Home::new(dir.path(), "new");
    let request = asks(&new, &ana, "eve");
    assert_eq!(ana.try_run(&["member", "vouch", &request, "--yes"]).status.code(), Some(6));
    ana.run(&["member", "readmit", &request, "--yes", "--reason", "it was another one's key"]);
    new.up();
    until_equal(&[&ana, &ben, &new]);
    assert_eq!(member(&ben, "eve")["role"], "member");
    new.run(&["reply", &thread, "-m", "After."]);
    until_equal(&[&ana, &ben, &new]);
    assert_eq!(ben.post_texts(&thread), ["After.", "Before.", "Between."]);
    let act = told(&ben, "takes back in");
    assert_eq!((&act["member"]["name"], &act["by"]["name"]), (&"eve".into(), &"ana".into()));
    assert_eq!(act["reason"], "it was another one's key");
}

#[test]
fn a_ticket_for_one_that_two_used_leaves_the_second_pending_until_restored() {
    let dir = tempfile::tempdir().unwrap();
    let [ana, ben] = community(dir.path(), ["ana", "ben"]);
    let ticket = ana.ticket("1");
    until_equal(&[&ana, &ben]);
    // Ana's node and Ben's do not meet while each lets somebody in.
    ben.stop();
    let eve = Home::new(dir.path(), "eve");
    eve.must_join(&ticket, &ana);
    until_equal(&[&ana, &eve]);
    ana.stop();
    eve.stop();
    ben.up();
    let dan = Home::new(dir.path(), "dan");
    dan.must_join(&ticket, &ben);
    dan.run(&["ask", "May I?", "-m", "I was told to ask here."]);
    until_equal(&[&ben, &dan]);
    eve.run(&["ask", "May I?", "-m", "I was told to ask here."]);

    ana.up();
    eve.up();
    connect(&ben, &ana);
    until_equal(&[&ana, &ben]);
    let pending: Vec<Value> = members(&ana).into_iter().filter(|m| m["pending"] == true).collect();
    assert_eq!(pending.len(), 1, "{pending:?}");
    let id = pending[0]["id"].as_str().unwrap();
    let is_in = |name: &str| members(&ana).iter().any(|m| m["name"] == name);
    assert_ne!(is_in("dan"), is_in("eve"));
    let out = if is_in("dan") { &eve } else { &dan };
    let shown = String::from_utf8(ben.try_run(&["member", "list"]).stderr).unwrap();
    assert!(shown.contains("lanai member restore"), "{shown}");

    // Whoever waits is told so, and what came of the second admission stands in the log.
    until("the pending one is told", || {
        let told = out.try_run(&["profile"]);
        String::from_utf8_lossy(&told.stderr).contains("used up")
    });
    let log = ben.json(&["member", "log"]);
    let lost = log["acts"].as_array().unwrap().iter().find(|a| a["counts"] == false).unwrap();
    assert_eq!(lost["what"], "lets in");
    assert!(lost["why_not"].as_str().unwrap().contains("is pending"), "{lost}");

    // A steward lets the second one in; what was written before shows again, by name.
    assert_eq!(ben.try_run(&["member", "restore", id, "--yes"]).status.code(), Some(6));
    ana.run(&["member", "restore", id, "--yes", "--reason", "both were invited"]);
    until_equal(&[&ana, &ben, &eve, &dan]);
    assert_eq!(member(&ben, &out.name)["pending"], false);
    let threads = ben.json(&["threads"])["threads"].as_array().unwrap().clone();
    assert_eq!(threads.len(), 2, "{threads:?}");
    out.run(&["note", "Thank you", "-m", "I am in."]);
    until_equal(&[&ana, &ben, &eve, &dan]);
}

/// As `must_join`, with a phrase, whose file is returned.
fn joins_with_phrase(new: &Home, ticket: &str, through: &Home) -> String {
    new.stay_here();
    let words = new.root.with_extension("words").to_str().unwrap().to_owned();
    let address = through.address();
    let line = ["join", ticket, "--name", &new.name, "--dial", &address, "--wait", "40s"];
    new.run(&[&line[..], &["--phrase-file", &words]].concat());
    words
}

#[test]
fn who_lost_every_device_comes_back_with_twelve_words() {
    let dir = tempfile::tempdir().unwrap();
    let [ana, ben] = community(dir.path(), ["ana", "ben"]);
    let eve = Home::new(dir.path(), "eve");
    let words = joins_with_phrase(&eve, &ana.ticket("1"), &ana);
    until_equal(&[&ana, &ben, &eve]);
    ana.run(&["member", "role", "eve", "lead"]);
    connect(&eve, &ben);
    let thread = eve.text(&["ask", "Who has the map?", "-m", "It is mine."], "id");
    until_equal(&[&ana, &ben, &eve]);
    let devices = eve.json(&["device", "list"])["devices"].as_array().unwrap().clone();
    assert_eq!(devices.iter().filter(|d| d["paper"] == true).count(), 1, "{devices:?}");
    assert_eq!(devices[0]["paper"], true, "the most senior is the one on paper");

    // The laptop is stolen while Ana is away; any member's node will do.
    ana.stop();
    eve.stop();
    let invitation = ben.text(&["device", "invite", "--member", "eve"], "invitation");
    let new = Home::new(dir.path(), "new");
    new.stay_here();
    let wrong = dir.path().join("wrong");
    std::fs::write(
        &wrong,
        "legal winner thank year wave sausage worth useful legal winner thank yellow\n",
    )
    .unwrap();
    let recover = |words: &str, more: &[&str]| {
        let line = ["recover", &invitation, "--phrase-file", words, "--json"];
        new.try_run(&[&line[..], more].concat())
    };
    let out = recover(wrong.to_str().unwrap(), &["--wait", "2s"]);
    assert_eq!(out.status.code(), Some(7), "{out:?}");
    let out = recover(&words, &["--revoke-others", "--reason", "stolen on the train"]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let back: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!((&back["me"]["name"], &back["me"]["role"]), (&"eve".into(), &"lead".into()));
    assert_eq!((back["revoked"].as_array().unwrap().len(), &back["told"]), (1, &true.into()));
    assert!(!new.root.join("recovering").exists());

    // Name, posts and role are hers, and all see why.
    until_equal(&[&ben, &new]);
    assert_eq!(new.post_texts(&thread), ["It is mine."]);
    new.run(&["reply", &thread, "-m", "I am back."]);
    ana.up();
    until_equal(&[&ana, &ben, &new]);
    let posts = ana.json(&["read", &thread])["posts"].clone();
    assert!(posts.as_array().unwrap().iter().all(|p| p["author"]["name"] == "eve"), "{posts}");
    let eve_now = member(&ana, "eve");
    assert_eq!(
        (&eve_now["role"], eve_now["devices"].as_array().unwrap().len()),
        (&"lead".into(), 2)
    );
    let act = told(&ana, "revokes a device");
    assert_eq!(
        (&act["by"]["name"], &act["reason"]),
        (&"eve".into(), &"stolen on the train".into())
    );

    // The thief is out, and cannot revoke the paper.
    eve.run(&["node", "start"]);
    assert!(!eve.try_run(&["sync", "--peer", &ana.address(), "--wait", "3s"]).status.success());
    let paper = devices[0]["id"].as_str().unwrap();
    assert!(!eve.try_run(&["device", "revoke", paper, "--yes"]).status.success());

    // The same words again, from a copy and with no node at all.
    let copy = dir.path().join("copy");
    ben.run(&["store", "backup", copy.to_str().unwrap()]);
    let second = Home::new(dir.path(), "second");
    second.stay_here();
    let line = ["recover", "--copy", copy.to_str().unwrap(), "--phrase-file", &words];
    let back = second.json(&line);
    assert_eq!((&back["told"], back["others"].as_array().unwrap().len()), (&false.into(), 1));
    assert_eq!(second.post_texts(&thread), ["I am back.", "It is mine."]);
    connect(&second, &ben);
    until_equal(&[&ana, &ben, &new, &second]);
    assert_eq!(member(&ana, "eve")["devices"].as_array().unwrap().len(), 3);
}

#[test]
fn a_founder_comes_back_with_twelve_words() {
    let dir = tempfile::tempdir().unwrap();
    let ana = Home::new(dir.path(), "ana");
    ana.stay_here();
    let words = dir.path().join("words");
    let words = words.to_str().unwrap();
    ana.run(&["init", "--name", "ana", "--phrase-file", words]);
    ana.up();
    let ben = Home::new(dir.path(), "ben");
    ben.must_join(&ana.ticket("1"), &ana);
    until_equal(&[&ana, &ben]);
    let invitation = ben.text(&["device", "invite", "--member", "ana"], "invitation");
    ana.stop();
    let new = Home::new(dir.path(), "new");
    new.stay_here();
    let back = new.json(&["recover", &invitation, "--phrase-file", words]);
    assert_eq!((&back["me"]["name"], &back["me"]["role"]), (&"ana".into(), &"steward".into()));
    assert_eq!(back["others"].as_array().unwrap().len(), 1);
    new.run(&["member", "role", "ben", "lead"]);
    until_equal(&[&ben, &new]);
    assert_eq!(member(&ben, "ben")["role"], "lead");
}

#[test]
fn words_that_are_made_later_bring_back_and_turn_out_what_is_younger() {
    let dir = tempfile::tempdir().unwrap();
    let [ana, ben] = community(dir.path(), ["ana", "ben"]);
    let file = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let [first, second] = ["first", "second"].map(file);
    let none = ben.try_run(&["device", "phrase"]);
    assert!(String::from_utf8_lossy(&none.stderr).contains("--phrase-file"), "{none:?}");
    ben.run(&["device", "phrase", "--phrase-file", &first]);
    let again = ben.try_run(&["device", "phrase", "--phrase-file", &second]);
    assert!(String::from_utf8_lossy(&again.stderr).contains("--replace"), "{again:?}");
    let made = ben.json(&["device", "phrase", "--replace", "--phrase-file", &second]);
    assert_eq!(made["revoked"].as_array().unwrap().len(), 1, "{made}");
    assert_eq!(made["senior"].as_array().unwrap().len(), 0, "{made}");
    let devices = ben.json(&["device", "list"])["devices"].as_array().unwrap().clone();
    let on_paper: Vec<bool> = devices.iter().map(|d| d["paper"].as_bool().unwrap()).collect();
    assert_eq!(on_paper, [false, true], "the paper is junior");

    let tablet = Home::new(dir.path(), "tablet");
    tablet.becomes_device_of(&ben);
    until_equal(&[&ana, &ben]);
    ben.stop();

    let invitation = ana.text(&["device", "invite", "--member", "ben"], "invitation");
    let new = Home::new(dir.path(), "new");
    new.stay_here();
    let recover = |words: &str| {
        let line = ["recover", &invitation, "--phrase-file", words, "--revoke-others", "--json"];
        new.try_run(&[&line[..], &["--wait", "10s"]].concat())
    };
    assert_eq!(recover(&first).status.code(), Some(7), "words that were replaced");
    let out = recover(&second);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let back: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(back["revoked"].as_array().unwrap().len(), 1, "{back}");
    let laptop = devices[0]["id"].as_str().unwrap();
    assert_eq!(back["others"].as_array().unwrap(), &[laptop], "it is older than the words");
    until_equal(&[&ana, &new]);
    ana.run(&["device", "revoke", laptop, "--yes"]);
    until_equal(&[&ana, &new]);
    assert_eq!(member(&ana, "ben")["devices"].as_array().unwrap().len(), 2);
}

#[test]
fn words_from_joining_are_revoked_by_a_steward_alone() {
    let dir = tempfile::tempdir().unwrap();
    let ana = Home::new(dir.path(), "ana");
    ana.up();
    let eve = Home::new(dir.path(), "eve");
    joins_with_phrase(&eve, &ana.ticket("1"), &ana);
    until_equal(&[&ana, &eve]);
    let file = dir.path().join("later");
    let made =
        eve.json(&["device", "phrase", "--replace", "--phrase-file", file.to_str().unwrap()]);
    let senior = made["senior"][0].as_str().unwrap();
    until_equal(&[&ana, &eve]);
    ana.run(&["device", "revoke", senior, "--yes"]);
    until_equal(&[&ana, &eve]);
    assert_eq!(eve.json(&["device", "list"])["devices"].as_array().unwrap().len(), 2);
}
