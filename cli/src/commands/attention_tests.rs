//! What is new, who needs me, and how it went, with real stores and whole command lines.

use std::collections::BTreeSet;

use lanai_crdt::id::EntryId;
use lanai_crdt::payload::{Ask, Body, Post, PostRole};
use serde_json::Value;

use super::village::{House, NOW};
use crate::error::Exit;

const DAY: u64 = 86_400_000;

fn dated(house: &House, title: &str, need_by: u64, tags: &[&str], at: u64) -> EntryId {
    let ask = Ask {
        title: title.into(),
        situation: "situation".into(),
        decide: None,
        need_by: Some(need_by),
        tried: None,
        helps: None,
        tags: tags.iter().map(|&tag| tag.to_owned()).collect(),
        origin: None,
    };
    house.write_at(at, Body::Ask(ask), [])
}

fn ids(list: &Value) -> Vec<String> {
    let ids = list.as_array().unwrap().iter();
    ids.map(|item| item["thread"]["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn asks_of_my_topics_come_with_a_reason() {
    let ann = House::founder("Ann");
    let bob = ann.neighbour("Bob");
    let radio = bob.ask("Which radio?", "x", &["radio"]);
    let convoy = dated(&bob, "Night convoys", NOW + DAY, &[], NOW);
    let late = dated(&bob, "Spares", NOW - 2 * DAY, &["convoy"], NOW);
    ann.pull(&bob);
    let all = ann.on_terminal(&["needs"]);
    assert!(all.err.contains("lanai topic follow"), "{}", all.err);
    assert_eq!(all.ok().lines().count(), 6);
    ann.json(&["topic", "follow", "#Convoy"]);
    let needs = ann.json(&["needs"]);
    assert_eq!(ids(&needs["needs"]), [late.full(), convoy.full()]);
    assert_eq!(
        (needs["elsewhere"].as_u64(), needs["needs"][0]["overdue"].as_bool()),
        (Some(1), Some(true))
    );
    assert_eq!(needs["needs"][1]["about"][0]["by"], "title");
    let why = needs["needs"][1]["why"].as_str().unwrap();
    assert!(
        why.starts_with("by tomorrow ") && why.ends_with("no reply yet, topic convoy"),
        "{why}"
    );
    assert_eq!(ids(&ann.json(&["needs", "--all"])["needs"]).len(), 3);
    let screen = ann.on_terminal(&["needs"]);
    assert!(
        screen.err.contains("1 open ask about other topics, 1 without any reply"),
        "{}",
        screen.err
    );
    let text = screen.ok();
    assert!(
        text.contains("overdue since 2023-11-12, no reply yet, topic convoy · asked by Bob"),
        "{text}"
    );

    ann.json(&["work", &late.full()]);
    assert_eq!(ann.json(&["work", &late.full()])["kind"], "unchanged");
    assert!(ann.json(&["needs"])["needs"][0]["why"].as_str().unwrap().contains("Ann at it"));
    assert!(ann.run_in(Some(120), &["threads"]).ok().contains("working: Ann"));
    let read = ann.on_terminal(&["read", &late.full()]).ok();
    assert!(read.contains("working, by Ann (you)"), "{read}");
    let note = ann.note("N", "x").full();
    assert_eq!(ann.run(&["work", &note]).failed().code, "no-ask");
    assert_eq!(ann.json(&["read", &radio.full()])["thread"]["workers"], serde_json::json!([]));
}

#[test]
fn topics_are_followed_and_looked_after() {
    let ann = House::founder("Ann");
    let bob = ann.neighbour("Bob");
    ann.ask("Q", "x", &["radio"]);
    ann.json(&["topic", "tend", "convoy"]);
    ann.json(&["topic", "tend", "Convoy", "--until", "1y"]);
    let term = ann.json(&["topic", "tend", "radio", "--until", "2d"]);
    assert_eq!(term["until"], "2023-11-16T22:13:20Z");
    ann.json(&["profile", "--ask-about", "sand tables"]);
    ann.json(&["topic", "follow", "radio", "night driving"]);
    bob.pull(&ann);
    let mine = ann.json(&["topic", "list"]);
    let names: Vec<&str> =
        mine["mine"].as_array().unwrap().iter().map(|t| t["topic"].as_str().unwrap()).collect();
    assert_eq!(names, ["convoy", "night driving", "radio", "sand tables"]);
    assert_eq!(mine["mine"][2]["tended_until"], "2023-11-16T22:13:20Z");
    assert_eq!(mine["mine"][2]["followed"], true);
    let seen = bob.on_terminal(&["topic", "list"]).ok();
    assert!(seen.contains("Ann (until 2024-11-13)"), "{seen}");
    assert!(!seen.contains("YOUR TOPIC"), "{seen}");
    ann.json(&["topic", "done", "convoy"]);
    let ended = ann.run(&["topic", "done", "convoy"]);
    assert!(ended.err.contains("do not look after"));
    ann.json(&["topic", "unfollow", "radio", "night driving"]);
    let mine = ann.on_terminal(&["topic", "list"]).ok();
    assert!(!mine.contains("convoy") && !mine.contains("night"), "{mine}");
    // Terms that are over are shown as such.
    let entry = Body::Tend(lanai_crdt::payload::Tend { topic: "old".into(), until: NOW - DAY });
    ann.write(entry, []);
    bob.pull(&ann);
    assert!(bob.on_terminal(&["topic", "list"]).ok().contains("Ann (expired 2023-11-13)"));
    let mine = ann.on_terminal(&["topic", "list"]).ok();
    assert!(mine.contains("you looked after it until 2023-11-13"), "{mine}");
    assert_eq!(ann.json(&["topic", "list"])["expired"][0]["topic"], "old");
    assert_eq!(ann.run(&["topic", "follow", " "]).failed().exit, Exit::Usage);
}

#[test]
fn threads_are_watched_muted_and_snoozed() {
    let ann = House::founder("Ann");
    let bob = ann.neighbour("Bob");
    let (one, two) = (bob.note("One", "x"), bob.note("Two", "x"));
    ann.pull(&bob);
    ann.json(&["watch", &one.full()]);
    ann.json(&["mute", &two.full()]);
    let inbox = ann.json(&["inbox"]);
    assert_eq!(ids(&inbox["watched"]), [one.full()]);
    assert_eq!(inbox["muted"], serde_json::json!({"threads": 1, "posts": 1}));
    assert_eq!((inbox["unread"].as_u64(), ids(&inbox["rest"]).len()), (Some(1), 0));
    let screen = ann.on_terminal(&["inbox"]);
    assert!(screen.err.contains("muted: 1 thread with 1 new post"), "{}", screen.err);
    assert!(screen.ok().contains("Watched  1 new"));
    let list = ann.on_terminal(&["threads"]).ok();
    assert!(list.contains("Two · muted") && list.contains("One · watched"), "{list}");
    assert!(ann.on_terminal(&["read", &two.full(), "--keep-unread"]).ok().contains(" · muted"));
    // Taking back what is not set changes nothing else.
    ann.json(&["mute", &one.full(), "--off"]);
    assert_eq!(ids(&ann.json(&["inbox"])["watched"]).len(), 1);
    ann.json(&["mute", &two.full(), "--off"]);
    assert_eq!(ids(&ann.json(&["inbox"])["rest"]), [two.full()]);
    let snoozed = ann.json(&["snooze", &two.full(), "3d"]);
    assert_eq!(snoozed["threads"][0]["snoozed_until"], "2023-11-17T22:13:20Z");
    let inbox = ann.run(&["inbox"]);
    assert!(inbox.err.contains("snoozed: 1 thread"), "{}", inbox.err);
    ann.json(&["snooze", &two.full(), "--off"]);
    assert_eq!(ann.json(&["inbox"])["unread"], 2);
    assert_eq!(ann.run(&["watch", "zzzzzz"]).failed().exit, Exit::NotFound);
}

#[test]
fn an_ask_goes_on_until_its_outcome_is_told() {
    let ann = House::founder("Ann");
    let bob = ann.neighbour("Bob");
    let ask = dated(&ann, "Ford at night?", NOW - DAY, &["convoy"], NOW - 9 * DAY);
    bob.pull(&ann);
    let reply = bob.post([ask], "Not after rain.");
    let second = bob.post([ask], "Mark the poles.");
    ann.pull(&bob);
    ann.json(&["answer", &reply.full(), &second.full()]);
    assert_eq!(ann.json(&["answer", &reply.full()])["kind"], "unchanged");
    let read = ann.on_terminal(&["read", &ask.full()]);
    assert!(
        read.err.contains(&format!("How did it go? lanai outcome {}", ask.short())),
        "{}",
        read.err
    );
    assert!(read.ok().contains("answered, 2 posts are part of the answer"));
    assert!(ann.on_terminal(&["threads"]).ok().contains("answered (2)"));
    let inbox = ann.json(&["inbox"]);
    assert_eq!(inbox["outcomes_due"][0]["why"], "needed-by");
    let screen = ann.on_terminal(&["inbox"]).ok();
    assert!(screen.contains("How did it go?\n  Ford at night?"), "{screen}");
    assert!(bob.json(&["inbox"])["outcomes_due"].as_array().unwrap().is_empty());

    let told = ann.json(&["outcome", &reply.full(), "--close", "-m", "Dry feet."]);
    assert_eq!(told["kind"], "published");
    let read = ann.json(&["read", &ask.full()]);
    assert_eq!(
        (&read["thread"]["state"], &read["thread"]["outcomes"]),
        (&"closed".into(), &1.into())
    );
    assert!(ann.json(&["inbox"])["outcomes_due"].as_array().unwrap().is_empty());
    let read = ann.on_terminal(&["read", &ask.full()]);
    assert!(!read.err.contains("How did it go"), "{}", read.err);
    assert!(read.ok().contains("closed, 2 posts are part of the answer, with an outcome"));

    let other = ann.ask("Other", "x", &[]).full();
    ann.json(&["close", &other, "--outcome", "Went well.", "--outcome", "Twice."]);
    let read = ann.json(&["read", &other]);
    assert_eq!(
        (&read["thread"]["state"], &read["posts"][1]["role"]),
        (&"closed".into(), &"outcome".into())
    );
    assert_eq!(read["posts"][1]["text"], "Went well.\n\nTwice.");
    let third = ann.ask("Third", "x", &[]).full();
    let open = ann.run(&["outcome", &third, "-m", "So so."]);
    assert!(open.err.contains("closes the ask"), "{}", open.err);
    assert_eq!(ann.json(&["read", &third])["thread"]["state"], "open");
    let fourth = ann.ask("Fourth", "x", &[]).full();
    let closed = ann.run(&["close", &fourth]);
    assert!(closed.err.contains("how did it go?"), "{}", closed.err);
    // Who may not close it tells its outcome all the same.
    bob.pull(&ann);
    bob.json(&["outcome", &third, "-m", "I tried it too."]);
    assert_eq!(bob.run(&["close", &third, "--outcome", "x"]).failed().exit, Exit::Refused);
}

#[test]
fn the_time_after_which_outcomes_are_asked_for_is_a_setting() {
    let ann = House::founder("Ann");
    let bob = ann.neighbour("Bob");
    let ask = Body::Ask(Ask {
        title: "Q".into(),
        situation: "x".into(),
        decide: None,
        need_by: None,
        tried: None,
        helps: None,
        tags: vec![],
        origin: None,
    });
    let ask = ann.write_at(NOW - 6 * DAY, ask, []);
    bob.pull(&ann);
    bob.post([ask], "A");
    ann.pull(&bob);
    let due = |ann: &House| ann.json(&["inbox"])["outcomes_due"].as_array().unwrap().len();
    assert_eq!(due(&ann), 0);
    ann.run(&["config", "set", "outcome_after_days", "5"]).ok();
    assert_eq!(due(&ann), 1);
    assert_eq!(
        ann.run(&["config", "set", "outcome_after_days", "soon"]).failed().exit,
        Exit::Usage
    );
    assert!(ann.run(&["config", "list"]).ok().contains("outcome_after_answer_days\t3\t"));
}

#[test]
fn a_digest_holds_what_is_worth_reading() {
    let ann = House::founder("Ann");
    let bob = ann.neighbour("Bob");
    let mine = ann.ask("My ask *really*", "x", &[]);
    let hers = bob.ask("Spares for the truck", "x", &["supply"]);
    bob.note("Elsewhere", &"many words ".repeat(60));
    bob.pull(&ann);
    bob.post([mine], "An answer\nfor Ann");
    let done = bob.ask("Ford", "x", &[]);
    let body = Post { role: PostRole::Outcome, text: "Dry feet.".into(), origin: None, met: None };
    bob.write(Body::Post(body), [done]);
    ann.pull(&bob);
    ann.json(&["topic", "follow", "supplies"]);
    let digest = ann.json(&["digest"]);
    let headings: Vec<&str> = digest["sections"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["heading"].as_str().unwrap())
        .collect();
    assert_eq!(
        headings,
        ["For you", "Asks that need you", "What came of it", "Newcomers", "Elsewhere"]
    );
    assert_eq!(digest["sections"][1]["items"][0]["id"], hers.full());
    assert_eq!(digest["sections"][1]["items"][0]["texts"][0]["text"], "x");
    assert_eq!(digest["sections"][0]["items"][0]["texts"][0]["text"], "An answer for Ann");
    let markdown = ann.run(&["digest", "--minutes", "1"]).ok();
    for part in [
        "# porch, 2023-11-14\n",
        "*About 1 minute of reading, since 2023-11-07.*",
        &format!("## For you\n\n- **My ask \\*really\\*** ({}): answers you\n", mine.short()),
        "  - Bob, 2023-11-14: An answer for Ann\n",
        "no reply yet, topic supplies, asked by Bob",
        "## What came of it\n",
        ": Dry feet.",
        "## Newcomers\n\n- **Bob** (",
        "words many …",
    ] {
        assert!(markdown.contains(part), "{part}: {markdown}");
    }
    let screen = ann.on_terminal(&["digest"]).ok();
    assert!(screen.contains("For you\n") && screen.contains("Dry feet."), "{screen}");
    let nobody = House::founder("Zoe");
    let empty = nobody.run(&["digest"]);
    assert!(empty.err.contains("--since 4w"), "{}", empty.err);
    assert_eq!(empty.ok(), "");
}

/// Numbers that repeat from run to run (Knuth's MMIX generator).
fn dice(seed: u64) -> impl FnMut(usize) -> usize {
    let mut state = seed;
    move |sides| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % sides
    }
}

/// Random command lines over a store: of all of them only reading in a thread, on a terminal, marks as
/// read exactly what it showed, and `inbox --mark-all` what was new.
#[test]
fn of_all_commands_only_reading_marks() {
    let ann = House::founder("Ann");
    let bob = ann.neighbour("Bob");
    let mut threads: Vec<EntryId> = Vec::new();
    let mut by_bob: Vec<(EntryId, EntryId)> = Vec::new();
    for n in 0..4 {
        let ask = bob.ask(&format!("Ask {n} about convoys"), "words", &["radio"]);
        by_bob.push((ask, ask));
        let note = ann.note(&format!("Note {n}"), "words");
        threads.extend([ask, note]);
    }
    bob.pull(&ann);
    ann.pull(&bob);
    let mut unread: BTreeSet<(EntryId, EntryId)> = by_bob.iter().copied().collect();
    let count = |ann: &House, thread: &EntryId| {
        let view = ann.store.thread(thread).unwrap().unwrap();
        view.unread.into_iter().map(|id| (id, *thread)).collect::<BTreeSet<_>>()
    };
    let mut roll = dice(7);
    let out = ann.beside("export");
    let out = out.to_str().unwrap().to_owned();
    for _ in 0..160 {
        let thread = threads[roll(threads.len())];
        let id = thread.full();
        let some_post = by_bob[roll(by_bob.len())].0.full();
        let line: Vec<&str> = match roll(28) {
            0..=4 => {
                let post = bob.post([thread], "a word to @Ann");
                by_bob.push((post, thread));
                ann.pull(&bob);
                unread.insert((post, thread));
                continue;
            }
            5 | 6 => {
                ann.on_terminal(&["read", &id]).ok();
                unread.retain(|(_, t)| *t != thread);
                continue;
            }
            7 => {
                ann.on_terminal(&["read", &some_post, "--unread", "--flat"]).ok();
                let thread = ann
                    .store
                    .thread(
                        &EntryId::from_slice(
                            by_bob
                                .iter()
                                .find(|(p, _)| p.full() == some_post)
                                .unwrap()
                                .0
                                .as_bytes(),
                        )
                        .unwrap(),
                    )
                    .unwrap()
                    .unwrap()
                    .thread
                    .root;
                unread.retain(|(_, t)| *t != thread);
                continue;
            }
            8 => vec!["read", &id],
            9 => vec!["read", &id, "--json"],
            10 => vec!["read", &id, "--keep-unread"],
            11 => vec!["inbox"],
            12 => vec!["inbox", "--json", "--all"],
            13 => vec!["needs"],
            14 => vec!["digest"],
            15 => vec!["search", "word"],
            16 => vec!["threads", "--unread"],
            17 => vec!["export", &id],
            18 => vec!["export", "--all", "--format", "json", "--force", "--out", &out],
            19 => vec!["reply", &id, "-m", "mine"],
            20 => vec!["react", &some_post, "thanks"],
            21 => vec!["watch", &id],
            22 => vec!["mute", &id],
            23 => vec!["snooze", &id, "2d"],
            24 => vec!["topic", "follow", "radio"],
            25 => vec!["mute", &id, "--off"],
            26 => vec!["status"],
            _ if roll(8) == 0 => {
                ann.run(&["inbox", "--mark-all", "-n", "1"]).ok();
                unread.clear();
                continue;
            }
            _ => vec!["who"],
        };
        // Whether on a terminal or not, but for reading there.
        let keeps = line[0] != "read" || line.contains(&"--keep-unread");
        let ran = if keeps && roll(2) == 0 { ann.on_terminal(&line) } else { ann.run(&line) };
        ran.ok();
        let here: BTreeSet<_> = threads.iter().flat_map(|thread| count(&ann, thread)).collect();
        assert_eq!(here, unread, "{line:?}");
        let list = ann.json(&["threads", "--all"]);
        let total: u64 =
            list["threads"].as_array().unwrap().iter().map(|t| t["unread"].as_u64().unwrap()).sum();
        assert_eq!(total, unread.len() as u64, "{line:?}");
    }
    assert!(by_bob.len() > 15);
}
