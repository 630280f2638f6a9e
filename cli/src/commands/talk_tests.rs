//! Writing and reading with real stores: what one writes another reads.

use lanai_crdt::payload::{Body, Mark, Post, PostRole, Profile, ThreadState};

use super::village::{HOSTILE, House, assert_harmless, origin};
use crate::error::Exit;

#[test]
fn without_a_community_the_next_command_is_named() {
    let mut bench = super::testing::bench(None, false);
    for line in [&["threads"][..], &["ask", "x", "-m", "y"], &["read", "abc"], &["inbox"]] {
        use clap::Parser as _;
        let words = std::iter::once("lanai").chain(line.iter().copied());
        let cli = crate::args::Cli::try_parse_from(words).unwrap();
        let error = super::run(&mut bench.context, &cli.command).unwrap_err();
        assert_eq!((error.exit, error.code), (Exit::NotFound, "no-community"), "{line:?}");
        assert!(error.hint.unwrap().contains("lanai up"));
    }
}

#[test]
fn an_ask_is_answered_edited_and_read() {
    let ann = House::founder("Ann Lee");
    let bob = ann.neighbour("Bob");
    let asked = ann.json(&[
        "ask",
        "Which radio?",
        "-m",
        "For the base.",
        "-m",
        "By Friday.",
        "-t",
        "Radio",
        "--decide",
        "order",
        "--by",
        "2026-03-06",
        "--helps",
        "facts,talk",
    ]);
    assert_eq!(asked["kind"], "published");
    assert_eq!(asked["id"], asked["thread"]);
    let thread = asked["id"].as_str().unwrap().to_owned();
    assert_eq!(thread.len(), 52);
    bob.pull(&ann);

    let short = asked["short"].as_str().unwrap();
    let reply = bob.json(&["reply", short, "-m", "The small one."]);
    let reply = reply["id"].as_str().unwrap().to_owned();
    ann.pull(&bob);
    let under = ann.json(&["reply", &reply, "--outcome", "-m", "Tried it, works."]);
    bob.pull(&ann);
    bob.json(&["edit", &reply, "-m", "The small one, with the long antenna."]);
    bob.json(&["react", under["id"].as_str().unwrap(), "helped"]);
    ann.pull(&bob);
    ann.json(&["answer", &reply]);

    let read = ann.json(&["read", short]);
    assert_eq!(read["thread"]["title"], "Which radio?");
    assert_eq!(read["thread"]["state"], "answered");
    assert_eq!(read["thread"]["tags"][0], "radio");
    assert_eq!(read["thread"]["helps"][1], "talk");
    assert_eq!(read["thread"]["need_by"], "2026-03-06T23:59:59Z");
    let posts = read["posts"].as_array().unwrap();
    assert_eq!(posts.len(), 3);
    assert_eq!(posts[0]["text"], "For the base.\n\nBy Friday.");
    assert_eq!(posts[1]["id"], reply.as_str());
    assert_eq!(posts[1]["text"], "The small one, with the long antenna.");
    assert_eq!(posts[1]["edited"], 1);
    assert_eq!(posts[1]["original"], "The small one.");
    assert_eq!(posts[1]["part_of_answer"], true);
    assert_eq!(posts[1]["author"]["name"], "Bob");
    assert_eq!(posts[1]["unread"], true);
    assert_eq!(posts[2]["role"], "outcome");
    assert_eq!(posts[2]["parent"], reply.as_str());
    assert_eq!(posts[2]["depth"], 2);
    assert_eq!(posts[2]["reactions"]["helped"][0]["name"], "Bob");

    let text = ann.on_terminal(&["read", short, "--history"]).ok();
    for part in [
        "Which radio?",
        "answered",
        "3 posts",
        "1 new",
        "#radio",
        "to decide: order",
        "needed by: 2026-03-06",
        "would help: facts, talk",
        "● ",
        "Bob, just now · edited",
        "✓ part of the answer",
        "first text:",
        "¦ The small one.",
        "OUTCOME",
        "Ann Lee (you)",
        "helped: Bob",
        "│ │   Tried it, works.",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let again = ann.on_terminal(&["read", short]).ok();
    assert!(!again.contains('●') && !again.contains("new"), "{again}");
}

#[test]
fn only_what_a_person_saw_is_marked_as_read() {
    let ann = House::founder("Ann");
    let bob = ann.neighbour("Bob");
    let note = bob.note("News", "text");
    ann.pull(&bob);
    let id = note.full();
    let new = |ann: &House| ann.json(&["threads"])["threads"][0]["unread"].as_u64().unwrap();
    assert_eq!(new(&ann), 1);
    ann.json(&["read", &id]);
    ann.run(&["read", &id]).ok();
    ann.on_terminal(&["read", &id, "--keep-unread"]).ok();
    assert_eq!(new(&ann), 1);
    assert!(ann.on_terminal(&["read", &id, "--unread"]).ok().contains("text"));
    assert_eq!(new(&ann), 0);
    let nothing = ann.on_terminal(&["read", &id, "--unread"]);
    assert!(nothing.err.contains("nothing new in it"));
    assert_eq!(nothing.ok(), "");
}

#[test]
fn what_is_not_ours_is_refused() {
    let ann = House::founder("Ann");
    let bob = ann.neighbour("Bob");
    let ask = ann.ask("Q", "text", &[]);
    bob.pull(&ann);
    let id = ask.full();
    for line in [
        &["edit", &id, "-m", "mine now"][..],
        &["withdraw", &id, "--yes"],
        &["close", &id],
        &["close", &id, "--state", "answered"],
    ] {
        let error = bob.run(line).failed();
        assert_eq!(error.exit, Exit::Refused, "{line:?}");
    }
    bob.json(&["close", &id, "--state", "working"]);
    assert_eq!(bob.json(&["read", &id])["thread"]["state"], "working");
    ann.pull(&bob);
    ann.json(&["close", &id]);
    bob.pull(&ann);
    assert_eq!(bob.run(&["close", &id, "--state", "working"]).failed().exit, Exit::Refused);
    assert_eq!(ann.json(&["close", &id])["kind"], "unchanged");
    ann.json(&["close", &id, "--reopen"]);
    assert_eq!(ann.json(&["read", &id])["thread"]["state"], "open");
    // The founder is a steward and speaks for threads of others.
    let hers = bob.ask("R", "text", &[]);
    ann.pull(&bob);
    ann.json(&["close", &hers.full()]);
}

#[test]
fn reactions_and_answers_can_be_taken_back() {
    let ann = House::founder("Ann");
    let ask = ann.ask("Q", "text", &[]);
    let reply = ann.post([ask], "A").full();
    ann.json(&["react", &reply, "thanks"]);
    assert_eq!(ann.json(&["react", &reply, "thanks"])["kind"], "unchanged");
    let posts = ann.json(&["read", &reply]);
    assert_eq!(posts["posts"][1]["reactions"]["thanks"].as_array().unwrap().len(), 1);
    ann.json(&["react", &reply, "thanks", "--undo"]);
    assert_eq!(ann.json(&["react", &reply, "thanks", "--undo"])["kind"], "unchanged");
    ann.json(&["answer", &reply]);
    ann.json(&["answer", &reply, "--undo"]);
    let posts = ann.json(&["read", &reply]);
    assert!(posts["posts"][1]["reactions"].as_object().unwrap().is_empty());
    assert_eq!(posts["posts"][1]["part_of_answer"], false);
    ann.json(&["answer", &reply]);
    assert_eq!(ann.json(&["read", &reply])["posts"][1]["part_of_answer"], true);
    assert_eq!(ann.run(&["answer", &ask.full()]).failed().exit, Exit::Usage);
}

#[test]
fn a_withdrawn_post_is_a_place_without_words() {
    let ann = House::founder("Ann");
    let note = ann.note("N", "text");
    let reply = ann.post([note], "regretted words").full();
    let unasked = ann.run(&["withdraw", &reply]).failed();
    assert!(unasked.hint.unwrap().contains("--yes"));
    ann.json(&["withdraw", &reply, "--yes"]);
    let read = ann.json(&["read", &note.full()]);
    assert_eq!(read["posts"][1]["withdrawn"], true);
    assert_eq!(read["posts"][1]["text"], serde_json::Value::Null);
    let text = ann.run(&["read", &note.full()]).ok();
    assert!(text.contains("withdrawn by its author") && !text.contains("regretted"));
    assert_eq!(ann.json(&["withdraw", &reply, "--yes"])["kind"], "unchanged");
    assert_eq!(ann.run(&["edit", &reply, "-m", "x"]).failed().code, "withdrawn");
}

#[test]
fn a_text_that_is_refused_is_kept() {
    let ann = House::founder("Ann");
    // A text that does not compress.
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(b'!' + u8::try_from((state >> 33) % 90).unwrap())
    };
    let long: String = (0..60_000).map(|_| next()).collect();
    let error = ann.run(&["note", "Long", "-m", &long]).failed();
    assert_eq!(error.code, "too-long");
    assert!(error.hint.unwrap().contains("kept in"));
    let drafts = std::fs::read_dir(ann.home.drafts()).unwrap().count();
    assert_eq!(drafts, 1);
    ann.json(&["note", "Short", "-m", "text"]);
    assert_eq!(std::fs::read_dir(ann.home.drafts()).unwrap().count(), 1);
    assert_eq!(ann.run(&["note", "", "-m", "x"]).failed().exit, Exit::Usage);
    assert_eq!(ann.run(&["reply", "zzzzzz", "-m", "x"]).failed().exit, Exit::NotFound);
    assert_eq!(ann.run(&["read", "!"]).failed().exit, Exit::NotFound);
}

#[test]
fn an_ambiguous_id_lists_its_candidates() {
    let ann = House::founder("Ann");
    // With 40 notes, two of them begin alike (32 first characters).
    let ids: Vec<String> =
        (0..40).map(|n| ann.note(&format!("note {n}\n{HOSTILE}"), "x").full()).collect();
    let first = (0..40).find_map(|n| {
        let c = &ids[n][..1];
        (ids.iter().filter(|id| id.starts_with(c)).count() > 1).then(|| c.to_owned())
    });
    let error = ann.run(&["read", &first.unwrap()]);
    assert_harmless(&error.err);
    let error = error.failed();
    assert_eq!((error.exit, error.code), (Exit::NotFound, "ambiguous"));
    assert!(error.message.lines().count() >= 3, "{}", error.message);
}

#[test]
fn deep_threads_stay_readable() {
    let ann = House::founder("Ann");
    let note = ann.note("Deep", "top");
    let mut parent = ann.post([note], "level 1");
    for level in 2..40 {
        parent = ann.post([note, parent], &format!("level {level}, with quite some words in it"));
    }
    let text = ann.on_terminal(&["read", &note.full()]).ok();
    let widest = text.lines().map(unicode_width::UnicodeWidthStr::width).max().unwrap();
    assert!(widest <= 80, "{widest}");
    assert!(text.contains("level 39, with quite some words in it"), "{text}");
    assert!(text.contains(" to Ann ("), "{text}");
    let flat = ann.run(&["read", &note.full(), "--flat"]).ok();
    assert!(flat.lines().all(|line| !line.starts_with("   ")), "{flat}");
}

#[test]
fn imports_show_their_origin() {
    let ann = House::founder("Ann");
    let body = |text: &str, origin| {
        Body::Post(Post { role: PostRole::Reply, text: text.into(), origin, met: None })
    };
    let note = ann.note("N", "x");
    ann.write(body("old words", origin("Maj Smith", "<1@x>", 984_400_000)), [note]);
    let mut odd = origin("", "<2@x>", 984_400_001);
    if let Some(odd) = &mut odd {
        odd.claimed = Some(-59_042_995_200);
    }
    ann.write(body("odd words", odd), [note]);
    let text = ann.run(&["read", &note.full()]).ok();
    assert!(text.contains("Maj Smith, 2001-03-12 (imported by Ann (you))"), "{text}");
    assert!(text.contains("(no name), 2001-03-12 (dated 0099-01-01)"), "{text}");
    let json = ann.json(&["read", &note.full()]);
    assert_eq!(json["posts"][1]["origin"]["name"], "Maj Smith");
    assert_eq!(json["posts"][1]["origin"]["date"], "2001-03-12T12:26:40Z");
}

#[test]
fn absurd_clocks_are_told() {
    let ann = House::founder("Ann");
    let bob = ann.neighbour("Bob");
    let body = Body::Note(lanai_crdt::payload::Note {
        title: "From 2099".into(),
        text: "x".into(),
        tags: Vec::new(),
        origin: None,
    });
    let id = bob.write_at(4_070_908_800_000, body, []);
    ann.pull(&bob);
    assert!(ann.run(&["read", &id.full()]).ok().contains("clock unsure"));
    assert_eq!(ann.json(&["read", &id.full()])["posts"][0]["clock_unsure"], true);
}

#[test]
fn hostile_text_is_shown_harmlessly_everywhere() {
    let ann = House::founder("Ann");
    let eve = ann.neighbour("Eve");
    let line = "w".repeat(10_000);
    let ask =
        eve.ask(&format!("T{HOSTILE}"), &format!("S {HOSTILE}\n{line}"), &["t\u{1b}[1m\u{202e}"]);
    let reply = eve.post([ask], &format!("{line}{HOSTILE} needle"));
    let imported = Body::Post(Post {
        role: PostRole::Outcome,
        text: format!("I {HOSTILE}"),
        origin: origin(&format!("O{}", &HOSTILE[..20]), "<m@x>", 984_400_000),
        met: None,
    });
    eve.write(imported, [ask, reply]);
    eve.write(Body::Mark(Mark::State(ThreadState::Working)), [ask, ask]);
    let name = "E\u{1b}[31m\u{202e}v\u{200b}e";
    let text = Some(format!("knows {HOSTILE} radios"));
    eve.write(
        Body::Profile(Profile {
            name: name.into(),
            posts_held: text.clone(),
            experience: text.clone(),
            ask_about: text.clone(),
            reach: text,
        }),
        [],
    );
    ann.pull(&eve);
    let out = ann.beside("out");
    let out = out.to_str().unwrap();
    let id = ask.full();
    let lines = [
        &["read", &id, "--history", "--keep-unread"][..],
        &["read", &id, "--flat", "--keep-unread"],
        &["threads"],
        &["threads", "--state", "working"],
        &["inbox"],
        &["inbox", "--all"],
        &["needs"],
        &["digest"],
        &["topic", "list"],
        &["search", "needle"],
        &["search", "knows OR \"evil", "--best"],
        &["who"],
        &["who", "radios"],
        &["profile", "eve"],
        &["export", &id],
        &["export", "--all", "--format", "json"],
        &["export", &id, "--out", out, "--force"],
        &["edit", &id, "-m", "x"],
        &["reply", &reply.full(), "-m", "answered"],
        &["withdraw", &id, "--yes"],
        &["react", &id, "thanks"],
        &["react", &id, "thanks", "--undo"],
    ];
    for line in lines {
        for ran in [ann.run(line), ann.on_terminal(line)] {
            assert_harmless(&ran.out);
            assert_harmless(&ran.err);
        }
        let json: Vec<&str> = line.iter().copied().chain(["--json"]).collect();
        let ran = ann.run(&json);
        assert_harmless(&ran.out);
        assert_harmless(&ran.err);
    }
    let read = ann.on_terminal(&["read", &id]).ok();
    let widest = read.lines().map(unicode_width::UnicodeWidthStr::width).max().unwrap();
    assert!(widest <= 80, "{widest}");
    // In JSON nothing is lost.
    let json = ann.json(&["read", &id]);
    assert_eq!(json["thread"]["title"], format!("T{HOSTILE}"));
    assert!(std::fs::read_to_string(out).unwrap().contains("␛[2J"));
}

#[test]
fn lookalike_names_get_their_key_marks() {
    let ann = House::founder("Ann Lee");
    let false_ann = ann.neighbour("Ann L\u{435}e");
    let note = false_ann.note("N", "trust me");
    ann.pull(&false_ann);
    let member = false_ann.store.own_member().unwrap().unwrap().short();
    let text = ann.run(&["read", &note.full()]).ok();
    assert!(text.contains(&format!("Ann Lеe [{member}]")), "{text}");
    let warned = ann.run(&["profile", "--name", "Ann\u{a0}Lee"]);
    assert!(warned.err.contains("looks like this one"), "{}", warned.err);
}
