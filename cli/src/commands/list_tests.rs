//! Lists, search, people and export with real stores.

use lanai_crdt::payload::{Body, Post, PostRole};

use super::village::{House, origin};
use crate::error::Exit;

/// Ann's home with an ask by Bob, answered by Ann and Bob, and a note by Ann.
fn village() -> (House, House, [String; 2]) {
    let ann = House::founder("Ann Lee");
    let bob = ann.neighbour("Bob");
    let ask = bob.ask("Which radio for the base?", "We have 240 volts.", &["radio", "base"]);
    ann.pull(&bob);
    let reply = ann.post([ask], "The small one is a fine radio.");
    bob.pull(&ann);
    bob.post([ask, reply], "Thanks, we take the small one.");
    let note = ann.note("Convoy lessons", "Brief the drivers. Radios failed twice.");
    ann.pull(&bob);
    bob.pull(&ann);
    (ann, bob, [ask.full(), note.full()])
}

#[test]
fn threads_are_listed_and_filtered() {
    let (ann, _bob, [ask, note]) = village();
    let all = ann.run(&["threads"]).ok();
    let lines: Vec<Vec<&str>> = all.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(lines.len(), 2);
    let asked = lines.iter().find(|line| line[0] == ask).unwrap();
    assert_eq!(asked[1..4], ["open", "2", "3"]);
    assert_eq!(asked[5..], ["Which radio for the base?", "Bob", "#base #radio"]);
    let noted = lines.iter().find(|line| line[0] == note).unwrap();
    assert_eq!(noted[1..4], ["note", "0", "1"]);

    let count = |line: &[&str]| ann.json(line)["threads"].as_array().unwrap().len();
    assert_eq!(count(&["threads", "--state", "open"]), 1);
    assert_eq!(count(&["threads", "--state", "closed"]), 0);
    assert_eq!(count(&["threads", "-t", "radio", "-t", "#BASE"]), 1);
    assert_eq!(count(&["threads", "-t", "radio", "-t", "convoy"]), 0);
    assert_eq!(count(&["threads", "--author", "bob"]), 1);
    assert_eq!(count(&["threads", "--unread"]), 1);
    assert_eq!(count(&["threads", "-n", "1"]), 1);
    assert_eq!(count(&["threads", "--all"]), 2);
    assert_eq!(ann.run(&["threads", "--author", "zed"]).failed().exit, Exit::NotFound);

    let screen = ann.on_terminal(&["threads", "-n", "1"]);
    assert!(screen.err.contains("--all lists all"), "{}", screen.err);
    assert!(screen.ok().starts_with("ID"));
}

#[test]
fn nothing_is_said_as_such() {
    let ann = House::founder("Ann");
    for line in [&["threads"][..], &["search", "x"], &["inbox"], &["who", "zzz"]] {
        let ran = ann.run(line);
        assert!(!ran.err.is_empty(), "{line:?}");
        assert_eq!(ran.ok(), "", "{line:?}");
    }
    assert_eq!(ann.json(&["threads"])["threads"], serde_json::json!([]));
    assert_eq!(ann.json(&["inbox"])["unread"], 0);
}

#[test]
fn search_finds_words_and_phrases() {
    let (ann, _bob, [ask, _]) = village();
    let hits = |line: &[&str]| ann.json(line)["hits"].as_array().unwrap().clone();
    assert_eq!(hits(&["search", "radio"]).len(), 3);
    let found = hits(&["search", "small one", "fine"]);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0]["thread"], ask.as_str());
    assert_eq!(found[0]["title"], "Which radio for the base?");
    assert_eq!(found[0]["author"]["name"], "Ann Lee");
    assert_eq!(found[0]["text"], "The small one is a fine radio.");
    assert_eq!(hits(&["search", "one small"]).len(), 0);
    assert_eq!(hits(&["search", "small", "--author", "bob"]).len(), 1);
    assert_eq!(hits(&["search", "radio", "--tag", "base"]).len(), 2);
    assert_eq!(hits(&["search", "radio", "-n", "1"]).len(), 1);
    assert_eq!(hits(&["search", "radio", "--best"]).len(), 2, "the best of each thread");
    let syntax = hits(&["search", "\"radio", "AND", "(NEAR"]);
    assert!(syntax.is_empty());

    let line = ann.run(&["search", "fine"]).ok();
    assert_eq!(line.lines().count(), 1);
    assert!(line.contains("\tAnn Lee\tWhich radio for the base?\tThe small one"), "{line}");
    let screen = ann.on_terminal(&["search", "fine"]).ok();
    assert!(screen.contains("Which radio for the base?\n  Ann Lee (you), "), "{screen}");
}

#[test]
fn the_inbox_sorts_what_concerns_us() {
    let (ann, bob, [ask, note]) = village();
    let carol = ann.neighbour("Carol");
    let thread = carol.store.resolve(&lanai_crdt::id::IdPrefix::parse(&note).unwrap()).unwrap();
    carol.post([thread[0].entry()], "Ours too.");
    carol.note("Elsewhere", "Nothing to do with Ann.");
    ann.pull(&carol);
    let inbox = ann.json(&["inbox"]);
    assert_eq!(inbox["unread"], 4);
    assert_eq!(inbox["for_me"][0]["thread"]["id"], ask.as_str());
    let last = inbox["for_me"][0]["posts"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(last["text"], "Thanks, we take the small one.");
    assert_eq!(last["for_me"], "reply");
    assert_eq!(inbox["for_me"][1]["thread"]["id"], note.as_str());
    assert_eq!(inbox["for_me"][1]["posts"][0]["for_me"], "reply");
    assert_eq!(inbox["rest"][0]["thread"]["title"], "Elsewhere");

    let screen = ann.on_terminal(&["inbox"]);
    assert!(screen.err.contains("lanai read "), "{}", screen.err);
    let text = screen.ok();
    for part in
        ["For you  3 new", "2 new  answers you", "Elsewhere  1 new", "Carol, 16 min ago: Ours too."]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    ann.json(&["inbox", "--mark-all"]);
    assert_eq!(ann.json(&["inbox"])["unread"], 0);
    assert_eq!(ann.json(&["inbox", "--all"])["read"].as_array().unwrap().len(), 3);
    drop(bob);
}

#[test]
fn people_and_their_profiles() {
    let (ann, bob, _) = village();
    let line = &["profile", "--ask-about", "radios", "--ask-about", "maps", "--held", "XO"];
    let mine = bob.json(line);
    assert_eq!(mine["name"], "Bob");
    assert_eq!(mine["ask_about"], "radios\nmaps");
    ann.pull(&bob);
    let who = ann.json(&["who"]);
    let members = who["members"].as_array().unwrap();
    assert_eq!(members.len(), 2);
    assert_eq!(members[0]["name"], "Ann Lee");
    assert_eq!(members[0]["role"], "steward");
    assert_eq!(members[0]["me"], true);
    assert_eq!(members[1]["devices"].as_array().unwrap().len(), 1);
    let found = ann.on_terminal(&["who", "MAPS"]).ok();
    assert!(found.contains("Bob, member\n  ask me about: radios\n    maps"), "{found}");
    assert_eq!(ann.json(&["profile", "bob"])["posts_held"], "XO");
    bob.json(&["profile", "--held", ""]);
    bob.json(&["profile", "--name", "Bob Ray"]);
    ann.pull(&bob);
    let after = ann.json(&["profile", "bob"]);
    assert_eq!(after["posts_held"], serde_json::Value::Null);
    assert_eq!(after["name"], "Bob Ray");
    assert_eq!(after["ask_about"], "radios\nmaps");
    assert_eq!(bob.run(&["profile", "--name", " "]).failed().exit, Exit::Usage);
    assert_eq!(ann.run(&["profile", "zed"]).failed().exit, Exit::NotFound);
    let long = "x".repeat(70);
    assert_eq!(bob.run(&["profile", "--name", &long]).failed().code, "refused-text");
}

#[test]
fn threads_are_exported() {
    let (ann, bob, [ask, _]) = village();
    let note = bob.note("# Fake *title* <b>", "> ## Ann Lee, 2001\n\nforged?\n## heading");
    ann.pull(&bob);
    let body = Body::Post(Post {
        role: PostRole::Outcome,
        text: "It went well.".into(),
        origin: origin("Maj _S_", "<1@x>", 984_400_000),
        met: None,
    });
    ann.write(body, [note]);

    let md = ann.run(&["export", &ask]).ok();
    assert!(md.starts_with("# Which radio for the base?\n\n- thread: "), "{md}");
    assert!(md.contains("- tags: radio, base\n"), "{md}");
    assert!(md.contains("### Ann Lee, 2023-11-14 21:56 UTC"), "{md}");
    assert!(md.contains("#### Bob, "), "{md}");
    assert!(md.contains("\n> The small one is a fine radio.\n"), "{md}");
    let forged = ann.run(&["export", &note.full()]).ok();
    assert!(forged.starts_with("# \\# Fake \\*title\\* \\<b\\>\n"), "{forged}");
    assert!(forged.contains("\n> > ## Ann Lee, 2001\n>\n> forged?\n> ## heading\n"), "{forged}");
    assert!(forged.contains("### Maj \\_S\\_, 2001-03-12"), "{forged}");

    let one: serde_json::Value =
        serde_json::from_str(&ann.run(&["export", &ask, "--format", "json"]).ok()).unwrap();
    assert_eq!(one["kind"], "thread");
    assert_eq!(one["posts"].as_array().unwrap().len(), 3);
    let all: serde_json::Value =
        serde_json::from_str(&ann.run(&["export", "--all", "--format", "json"]).ok()).unwrap();
    assert_eq!(all["threads"].as_array().unwrap().len(), 3);
    assert_eq!(all["threads"][0]["posts"][0]["depth"], 0);
    assert_eq!(ann.json(&["export", "--all"])["threads"].as_array().unwrap().len(), 3);
}

#[test]
fn exports_go_to_files_and_overwrite_nothing() {
    let (ann, _bob, [ask, _]) = village();
    let file = ann.beside("thread.md");
    let path = file.to_str().unwrap();
    let said = ann.run(&["export", &ask, "--out", path]);
    assert!(said.err.contains("1 thread with 3 posts"), "{}", said.err);
    assert_eq!(said.ok(), "");
    let again = ann.run(&["export", &ask, "--out", path]).failed();
    assert_eq!(again.code, "exists");
    ann.run(&["export", &ask, "--out", path, "--force"]).ok();
    assert!(std::fs::read_to_string(&file).unwrap().contains("240 volts"));

    let dir = ann.beside("archive");
    let path = format!("{}/", dir.display());
    let written = ann.json(&["export", "--all", "--out", &path]);
    assert_eq!(written["threads"], 2);
    let mut names: Vec<String> = std::fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names.len(), 2);
    assert!(names[0].starts_with("2023-11-14-convoy-lessons-"), "{names:?}");
    assert_eq!(ann.run(&["export", "--all", "--out", &path]).failed().code, "exists");
    assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 2);
    ann.run(&["export", "--all", "--out", &path, "--force"]).ok();
}
