//! Removing members with real nodes: who may still read what, and what becomes of what was written.

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

use homes::{Home, connect, until, until_equal};
use lanai_node::store::{Incoming, Place, Source, Store};

const NOW: u64 = 1_900_000_000_000;

fn store(home: &Home) -> Store {
    Store::open(&Place::new(home.root.join("store.db"), home.root.join("store.token"))).unwrap()
}

fn names(home: &Home) -> BTreeSet<String> {
    let list = home.json(&["member", "list"]);
    let members = list["members"].as_array().unwrap();
    members.iter().map(|m| m["name"].as_str().unwrap().to_owned()).collect()
}

/// Ana, who founded, with Ben and Eve, all equal and all with nodes.
fn three(dir: &Path) -> [Home; 3] {
    let homes = ["ana", "ben", "eve"].map(|n| Home::new(dir, n));
    let [ana, ben, eve] = &homes;
    ana.up();
    let ticket = ana.ticket("2");
    ben.must_join(&ticket, ana);
    eve.must_join(&ticket, ana);
    until_equal(&[ana, ben, eve]);
    homes
}

/// Puts everything that `from` holds into the store of `to`, as a thief with a full copy would.
fn leak_everything(from: &Home, to: &Home) {
    let (from, to) = (store(from), store(to));
    let ids: Vec<_> = from.items().unwrap().items.iter().map(|i| i.id).collect();
    let batch = from.entries(&ids).unwrap().into_iter();
    let batch =
        batch.map(|e| Incoming { signed: e.verified.into_signed(), payload: e.payload }).collect();
    to.ingest(batch, &Source::File, NOW).unwrap();
    while to.fold_pending(1000).unwrap().left > 0 {}
}

#[test]
fn a_removed_member_reads_nothing_that_was_written_by_who_knew() {
    let dir = tempfile::tempdir().unwrap();
    let [ana, ben, eve] = three(dir.path());
    let before = eve.text(&["ask", "Who has the map?", "-m", "I had it before."], "id");
    until_equal(&[&ana, &ben, &eve]);

    // Dan is there when he is removed, and hears of it.
    let dan = Home::new(dir.path(), "dan");
    dan.must_join(&ana.ticket("1"), &ana);
    until_equal(&[&ana, &ben, &eve, &dan]);
    ana.run(&["member", "remove", "dan", "--reason", "he moved away", "--yes"]);
    until("Dan knows", || {
        let out = dan.try_run(&["note", "Hello", "-m", "x"]);
        out.status.code() == Some(6)
            && String::from_utf8_lossy(&out.stderr).contains("removed from this community by ana")
    });
    dan.stop();

    // Eve is out of reach when she is removed, and writes on.
    eve.stop();
    let late = eve.text(&["reply", &before, "-m", "Written without knowing."], "id");
    ana.run(&["member", "remove", "eve", "--reason", "she sold the laptop", "--yes"]);
    until("Ben knows that Eve is gone", || !names(&ben).contains("eve"));
    until_equal(&[&ana, &ben]);
    let secrets = ["the bridge is at kilometre nine", "we cross at four"];
    let first = ana.text(&["ask", "Where do we cross?", "-m", secrets[0]], "id");
    until_equal(&[&ana, &ben]);
    ben.run(&["reply", &first, "-m", secrets[1]]);
    until_equal(&[&ana, &ben]);

    // What she wrote before stays; what she wrote since is folded away; everybody can see why.
    let texts = ana.post_texts(&before);
    assert_eq!(texts, ["I had it before."]);
    let log = ben.json(&["member", "log"]);
    let acts = log["acts"].as_array().unwrap();
    let removal = acts.iter().rfind(|a| a["what"] == "removes").unwrap();
    assert_eq!(removal["member"]["name"], "eve");
    assert_eq!(removal["by"]["name"], "ana");
    assert_eq!(removal["reason"], "she sold the laptop");

    // She gets no connection and, even with a copy of every byte, no text.
    eve.up();
    let address = ana.address();
    assert!(!eve.try_run(&["sync", "--peer", &address, "--wait", "2s"]).status.success());
    eve.stop();
    leak_everything(&ana, &eve);
    for secret in secrets {
        assert_eq!(eve.json(&["search", secret])["hits"].as_array().unwrap().len(), 0);
    }
    assert_ne!(eve.try_run(&["read", &first]).status.code(), Some(0));
    let status = eve.json(&["status"]);
    assert!(status["store"]["locked"].as_u64().unwrap() >= 2, "{status}");

    // Her late reply reaches Ana all the same, and is kept but not shown.
    leak_everything(&eve, &ana);
    assert_eq!(ana.post_texts(&before), ["I had it before."]);
    assert!(store(&ana).items().unwrap().items.iter().any(|i| i.id.full() == late));
    leak_everything(&eve, &ben);
    until_equal(&[&ana, &ben]);
    for home in [&ana, &ben] {
        home.run(&["store", "check"]);
    }
}

#[test]
fn whoever_leaves_is_gone_for_all_and_newcomers_read_the_whole_past() {
    let dir = tempfile::tempdir().unwrap();
    let [ana, ben, eve] = three(dir.path());
    let old = eve.text(&["ask", "Who has the map?", "-m", "It was under the seat."], "id");
    until_equal(&[&ana, &ben, &eve]);
    let left = eve.json(&["leave", "--yes"]);
    assert!(left["told"].as_u64().unwrap() > 0, "{left}");
    until("both know that Eve left", || [&ana, &ben].iter().all(|h| !names(h).contains("eve")));
    let new = ben.text(&["ask", "Where do we meet?", "-m", "By the ford."], "id");
    until_equal(&[&ana, &ben]);

    let cleo = Home::new(dir.path(), "cleo");
    cleo.must_join(&ana.ticket("1"), &ana);
    connect(&cleo, &ben);
    until_equal(&[&ana, &ben, &cleo]);
    assert_eq!(cleo.post_texts(&old), ["It was under the seat."]);
    assert_eq!(cleo.post_texts(&new), ["By the ford."]);
}

#[test]
fn a_second_device_comes_in_and_a_stolen_one_is_shut_out() {
    let dir = tempfile::tempdir().unwrap();
    let [ana, ben, eve] = three(dir.path());
    eve.stop();
    let thread = ben.text(&["ask", "Who has the map?", "-m", "Asked on the laptop."], "id");
    until_equal(&[&ana, &ben]);

    // Ben's telephone makes its own keys; two texts cross.
    let phone = Home::new(dir.path(), "phone");
    let invitation = ben.text(&["device", "invite"], "invitation");
    phone.run(&["config", "set", "mdns", "false"]);
    phone.run(&["config", "set", "beacon", "false"]);
    phone.run(&["config", "set", "listen", "127.0.0.1"]);
    let asked = phone.json(&["device", "join", &invitation]);
    let request = asked["request"].as_str().unwrap();
    assert_eq!(phone.text(&["device", "join"], "request"), request, "it can be shown again");
    assert!(!ana.try_run(&["device", "add", request, "--yes"]).status.success(), "not Ana's");
    ben.run(&["device", "add", request, "--yes"]);
    phone.up();
    until_equal(&[&ana, &ben, &phone]);
    let reply = phone.text(&["reply", &thread, "-m", "Said on the telephone."], "id");
    until_equal(&[&ana, &ben, &phone]);
    let posts = ana.json(&["read", &thread])["posts"].clone();
    let said = posts.as_array().unwrap().iter().find(|p| p["id"] == reply.as_str()).unwrap();
    assert_eq!(said["author"]["name"], "ben");

    // The telephone is stolen: it cannot revoke the laptop, which is senior, and is revoked.
    phone.stop();
    let devices = ben.json(&["device", "list"]);
    let ids: Vec<&str> =
        devices["devices"].as_array().unwrap().iter().map(|d| d["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 2);
    assert_eq!(ids[1], asked["device"].as_str().unwrap());
    assert!(!phone.try_run(&["device", "revoke", ids[0], "--yes"]).status.success());
    let late = phone.text(&["reply", &thread, "-m", "Written by the thief."], "id");
    ben.run(&["device", "revoke", ids[1], "--reason", "left in the train", "--yes"]);
    until_equal(&[&ana, &ben]);
    let secret = "the new meeting place is the mill";
    let after = ana.text(&["ask", "Where?", "-m", secret], "id");
    until_equal(&[&ana, &ben]);

    leak_everything(&ana, &phone);
    assert_eq!(phone.json(&["search", secret])["hits"].as_array().unwrap().len(), 0);
    assert_ne!(phone.try_run(&["read", &after]).status.code(), Some(0));
    leak_everything(&phone, &ana);
    leak_everything(&phone, &ben);
    until_equal(&[&ana, &ben]);
    let texts = ana.post_texts(&thread);
    assert_eq!(texts, ["Asked on the laptop.", "Said on the telephone."], "{late}");
}

#[test]
fn a_stolen_founder_is_removed_with_the_key_on_paper() {
    let dir = tempfile::tempdir().unwrap();
    let [ana, ben, eve] = ["ana", "ben", "eve"].map(|n| Home::new(dir.path(), n));
    let founded =
        ana.json(&["up", "--no-mdns", "--no-beacon", "--listen", "127.0.0.1", "--name", "ana"]);
    let paper = dir.path().join("paper.txt");
    std::fs::write(&paper, founded["recovery_key"].as_str().unwrap()).unwrap();
    let paper = paper.to_str().unwrap();
    let ticket = ana.ticket("2");
    ben.must_join(&ticket, &ana);
    eve.must_join(&ticket, &ana);
    connect(&ben, &eve);
    until_equal(&[&ana, &ben, &eve]);

    // Ana's laptop is in other hands. Ben is a member only, and holds her printed key.
    ana.stop();
    let thief = ana.text(&["note", "All is well", "-m", "Send me your keys."], "id");
    assert_eq!(ben.try_run(&["member", "remove", "ana", "--yes"]).status.code(), Some(6));
    let other = dir.path().join("other.txt");
    std::fs::write(&other, "0".repeat(52)).unwrap();
    let wrong = ben.try_run(&[
        "member",
        "remove",
        "ana",
        "--yes",
        "--recovery-key-file",
        other.to_str().unwrap(),
    ]);
    assert_eq!(wrong.status.code(), Some(6));
    ben.run(&["member", "role", "ben", "steward", "--recovery-key-file", paper]);
    ben.run(&["member", "remove", "ana", "--yes", "--recovery-key-file", paper]);
    until_equal(&[&ben, &eve]);
    assert!(!names(&eve).contains("ana"));

    // What the thief does out there changes nothing, though it is a founder's.
    assert!(!names(&ana).is_empty());
    ana.run(&["member", "remove", "ben", "--yes"]);
    for home in [&ben, &eve] {
        leak_everything(&ana, home);
        assert!(names(home).contains("ben") && !names(home).contains("ana"));
        assert_ne!(home.try_run(&["read", &thief]).status.code(), Some(0));
    }
    until_equal(&[&ben, &eve]);
    let log = eve.json(&["member", "log"]);
    let lost = log["acts"].as_array().unwrap().iter().find(|a| a["counts"] == false).unwrap();
    assert_eq!((&lost["what"], &lost["by"]["name"]), (&"removes".into(), &"ana".into()));
    assert!(!lost["why_not"].as_str().unwrap().is_empty());
}

#[test]
fn stewards_decide_together_what_one_may_not() {
    let dir = tempfile::tempdir().unwrap();
    let [ana, ben, eve] = three(dir.path());
    for name in ["ben", "eve"] {
        ana.run(&["member", "role", name, "steward"]);
    }
    until_equal(&[&ana, &ben, &eve]);
    let demote = ["member", "role", "ana", "member"];
    assert_eq!(ben.try_run(&demote).status.code(), Some(6), "Ana is senior");
    let open = ["motion", "open", "role", "ana", "member", "--reason", "she asked for a rest"];
    let motion = ben.text(&open, "id");
    until_equal(&[&ana, &ben, &eve]);
    let early = ben.try_run(&["motion", "enact", &motion]);
    assert_eq!(early.status.code(), Some(6));
    assert!(String::from_utf8_lossy(&early.stderr).contains("1 of 2"));
    eve.run(&["motion", "endorse", &motion]);
    until_equal(&[&ana, &ben, &eve]);
    let list = ana.json(&["motion", "list"]);
    let listed = &list["motions"][0];
    assert_eq!((&listed["needed"], &listed["reason"]), (&2.into(), &"she asked for a rest".into()));
    eve.run(&["motion", "enact", &motion]);
    until_equal(&[&ana, &ben, &eve]);
    let members = ana.json(&["member", "list"]);
    let me = members["members"].as_array().unwrap().iter().find(|m| m["name"] == "ana").unwrap();
    assert_eq!(me["role"], "member");
    assert_eq!(ana.json(&["motion", "list"])["motions"].as_array().unwrap().len(), 0);
}
