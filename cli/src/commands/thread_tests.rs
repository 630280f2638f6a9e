//! Threads put in order by a lead, as people see it.

use lanai_crdt::payload::{Body, GrantRole, Role};

use super::village::{HOSTILE, House, assert_harmless};
use crate::error::Exit;

fn id(value: &serde_json::Value) -> String {
    value["id"].as_str().unwrap().to_owned()
}

fn reply(house: &House, to: &str, text: &str) -> String {
    id(&house.json(&["reply", to, "-m", text]))
}

/// The thread in which a post is shown, by its title, and the text of the post above it.
fn found(house: &House, post: &str) -> (String, String) {
    let read = house.json(&["read", post]);
    let posts = read["posts"].as_array().unwrap();
    let it = posts.iter().find(|p| p["id"] == post).unwrap();
    let above = posts.iter().find(|p| p["id"] == it["parent"]).unwrap();
    let text = |v: &serde_json::Value| v.as_str().unwrap_or_default().to_owned();
    (text(&read["thread"]["title"]), text(&above["text"]))
}

#[test]
fn a_lead_puts_threads_in_order_while_others_reply() {
    let ann = House::founder("Ann");
    let bob = ann.neighbour("Bob");
    let cem = ann.neighbour("Cem");
    let radio = ann.ask("Radio", "which?", &["radio"]).full();
    let antenna = reply(&ann, &radio, "Which antenna, by the way?");
    let long = reply(&ann, &antenna, "The long one.");
    let again = ann.ask("Radio again", "the same", &[]).full();
    let tale = ann.note("Convoy tale", "text").full();
    let misplaced = reply(&ann, &tale, "Bring more rations.");
    let rations = ann.note("Rations", "how many?").full();
    bob.pull(&ann);
    cem.pull(&ann);

    let split =
        ["thread", "split", &antenna, "--title", "Antennas", "--ask", "-r", "its own question"];
    ann.json(&split);
    ann.json(&["thread", "merge", &again, "--into", &radio, "-r", "the same question"]);
    ann.json(&["thread", "move", &misplaced, "--to", &rations]);
    ann.json(&["thread", "retitle", &tale, "What the convoy taught"]);
    let b = reply(&bob, &long, "bob: how long?");
    let c = reply(&cem, &again, "cem: me too");
    let d = reply(&bob, &misplaced, "bob: and water");
    let e = reply(&cem, &tale, "cem: well told");
    for (to, from) in [(&ann, &bob), (&cem, &bob), (&ann, &cem), (&bob, &ann), (&cem, &ann)] {
        to.pull(from);
    }
    let hash = ann.store.state_hash().unwrap();
    for house in [&ann, &bob, &cem] {
        assert_eq!(house.store.state_hash().unwrap(), hash);
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(found(house, &b), pair("Antennas", "The long one."));
        assert_eq!(found(house, &c), pair("Radio", "the same"));
        assert_eq!(found(house, &d), pair("Rations", "Bring more rations."));
        assert_eq!(found(house, &e), pair("What the convoy taught", "text"));
    }
    // It says so, where a reader looks.
    let text = bob.on_terminal(&["read", &antenna]).ok();
    assert!(text.contains("split off from «Radio» by Ann: its own question"), "{text}");
    let text = bob.on_terminal(&["read", &again]).ok();
    assert!(
        text.contains("the thread «Radio again», merged here by Ann: the same question"),
        "{text}"
    );
    assert!(text.contains("«Antennas» split off by Ann"), "{text}");
    let text = bob.on_terminal(&["read", &rations]).ok();
    assert!(text.contains("moved here from «What the convoy taught» by Ann"), "{text}");
    let text = bob.on_terminal(&["read", &tale]).ok();
    assert!(text.contains("title given by Ann"), "{text}");
    assert!(text.contains("a part moved to another thread by Ann"), "{text}");
    let log = bob.json(&["thread", "log", &radio]);
    let acts: Vec<&str> =
        log["acts"].as_array().unwrap().iter().map(|a| a["act"].as_str().unwrap()).collect();
    assert_eq!(acts, ["split", "put under a thread"]);
    assert_eq!(log["acts"][0]["standing"], "in force");
    assert!(bob.on_terminal(&["thread", "log", &radio]).ok().contains("split: Antennas"));

    // And back.
    ann.json(&["thread", "back", &again]);
    assert_eq!(found(&ann, &c).0, "Radio again");
    ann.json(&["thread", "back", &antenna]);
    assert_eq!(found(&ann, &b).0, "Radio");
    let error = ann.run(&["thread", "back", &antenna]).failed();
    assert_eq!((error.exit, error.code), (Exit::Failed, "not-moved"));
    assert!(error.hint.unwrap().contains("lanai thread log"));
}

#[test]
fn who_is_no_lead_is_refused_and_told() {
    let ann = House::founder("Ann");
    let bob = ann.neighbour("Bob");
    let note = ann.note("Ann's", "text").full();
    let answer = reply(&ann, &note, "answer");
    let own = bob.note("Bob's", "text").full();
    bob.pull(&ann);
    let lines: [&[&str]; 6] = [
        &["thread", "split", &answer, "--title", "x"],
        &["thread", "merge", &own, "--into", &note],
        &["thread", "pin", &own],
        &["hide", &answer, "--reason", "x"],
        &["thread", "retitle", &note, "x"],
        &["thread", "tag", &note, "+x"],
    ];
    for line in lines {
        let error = bob.run(line).failed();
        assert_eq!((error.exit, error.code), (Exit::Refused, "refused"), "{line:?}");
    }
    // Of one's own thread, one gives the title and the tags.
    bob.json(&["thread", "retitle", &own, "Mine"]);
    bob.run(&["thread", "tag", &own, "+Convoy", "+x", "-x"]).ok();
    let read = bob.json(&["read", &own]);
    assert_eq!(
        (&read["thread"]["title"], &read["thread"]["tags"][0]),
        (&"Mine".into(), &"convoy".into())
    );
    // A lead does it anywhere, once it is one.
    let me = bob.store.own_member().unwrap().unwrap();
    let grant = GrantRole { member: (*me.as_bytes()).into(), role: Role::Lead, recovery: None };
    ann.write(Body::Role(grant), []);
    bob.pull(&ann);
    bob.json(&["thread", "pin", &note]);
    assert_eq!(bob.json(&["threads"])["threads"][0]["pinned"], true);
    assert!(bob.on_terminal(&["threads"]).ok().contains("pinned: Ann's"));
    bob.json(&["thread", "unpin", &note]);
    bob.json(&["thread", "feature", &answer, "-r", "good"]);
    assert!(bob.on_terminal(&["read", &note]).ok().contains("featured by Bob (you): good"));
}

#[test]
fn hidden_posts_are_folded_away_and_can_be_read() {
    let ann = House::founder("Ann");
    let note = ann.note("N", "text").full();
    let rude = reply(&ann, &note, "unprintable");
    ann.json(&["hide", &rude, "--reason", "rude"]);
    let text = ann.on_terminal(&["read", &note]).ok();
    assert!(text.contains("hidden by Ann (you): rude") && text.contains("--hidden"), "{text}");
    assert!(!text.contains("unprintable"), "{text}");
    assert!(ann.on_terminal(&["read", &note, "--hidden"]).ok().contains("unprintable"));
    let read = ann.json(&["read", &note]);
    assert_eq!(read["posts"][1]["hidden"]["reason"], "rude");
    ann.run(&["hide", &rude, "--reason", "again"]).ok();
    ann.json(&["unhide", &rude]);
    assert!(ann.on_terminal(&["read", &note]).ok().contains("unprintable"));
}

#[test]
fn what_makes_no_sense_names_the_next_command() {
    let ann = House::founder("Ann");
    let (a, b) = (ann.note("A", "x").full(), ann.ask("B", "y", &[]).full());
    let answer = reply(&ann, &a, "z");
    let lines: [(&[&str], &str, &str); 7] = [
        (&["thread", "retitle", &b, "x"], "question-page", "lanai page edit"),
        (&["edit", &b, "-m", "x"], "question-page", "--question"),
        (&["thread", "move", &a, "--to", &b], "is-thread", "lanai thread merge"),
        (&["thread", "merge", &answer, "--into", &b], "no-thread", "lanai thread move"),
        (&["thread", "split", &a, "--title", "x"], "senseless", "lanai read"),
        (&["thread", "tag", &a, "x"], "usage", "+x"),
        (&["thread", "tag", &a, "+x", "--json"], "usage", "lanai --json"),
    ];
    for (line, code, hint) in lines {
        let error = ann.run(line).failed();
        assert_eq!(error.code, code, "{line:?}");
        assert!(
            error.hint.as_ref().is_some_and(|h| h.contains(hint)),
            "{line:?}: {:?}",
            error.hint
        );
    }
    ann.json(&["thread", "merge", &a, "--into", &b]);
    let error = ann.run(&["thread", "pin", &a]).failed();
    assert_eq!(error.code, "merged");
    assert!(error.hint.unwrap().contains("lanai thread back"));
    let error = ann.run(&["thread", "move", &b, "--to", &a]).failed();
    assert_eq!(error.code, "is-thread");
}

#[test]
fn titles_and_reasons_do_no_harm() {
    let ann = House::founder("Ann");
    let note = ann.note(HOSTILE, HOSTILE);
    let other = ann.note("Other", "x").full();
    let answer = reply(&ann, &note.full(), "z");
    let line = HOSTILE.replace(['\r', '\n'], "");
    ann.run(&["thread", "split", &answer, "--title", &line, "-r", HOSTILE]).ok();
    ann.run(&["hide", &answer, "-r", HOSTILE]).ok();
    ann.run(&["thread", "merge", &note.full(), "--into", &other, "-r", HOSTILE]).ok();
    for line in
        [&["read", &other][..], &["read", &answer], &["thread", "log", &other], &["threads"]]
    {
        assert_harmless(&ann.run(line).ok());
    }
}
