//! The texts that members write together, from one home to the next.

use super::village::{HOSTILE, House, assert_harmless};
use crate::error::Exit;

fn sync(houses: &[&House]) {
    for _ in 0..2 {
        for to in houses {
            for from in houses.iter().filter(|from| from.home.root() != to.home.root()) {
                to.pull(from);
            }
        }
    }
}

#[test]
fn an_answer_is_woven_cited_blamed_and_restored() {
    let ann = House::founder("Ann");
    let bob = ann.neighbour("Bob");
    let cy = ann.neighbour("Cy");
    let thread = ann.ask("Which radio?", "For the base.", &[]);
    let id = thread.full();
    sync(&[&ann, &bob, &cy]);
    let reply = bob.json(&["reply", &id, "-m", "The small one."]);
    let reply = reply["id"].as_str().unwrap().to_owned();
    sync(&[&ann, &bob, &cy]);
    let cite = format!("Take the small one, as [[{}]] says.", &reply[..8]);
    ann.json(&["page", "edit", &id, "-m", &cite]);
    sync(&[&ann, &bob, &cy]);
    // Two who do not see each other.
    bob.json(&["page", "edit", &id, "--append", "-m", "Bring a spare battery."]);
    cy.json(&["page", "edit", &id, "--append", "-m", "Check the antenna."]);
    sync(&[&ann, &bob, &cy]);
    let shown = ann.json(&["page", "show", &id]);
    let text = shown["text"].as_str().unwrap().to_owned();
    assert!(text.contains("spare battery") && text.contains("antenna"), "{text}");
    assert!(text.contains(&format!("[[{}]]", &reply[..16])), "{text}");
    assert_eq!(shown["cites"][0], reply.as_str());
    assert_eq!(shown["heads"].as_array().unwrap().len(), 2);
    for house in [&bob, &cy] {
        assert_eq!(house.json(&["page", "show", &id]), shown);
        assert_eq!(house.json(&["page", "blame", &id]), ann.json(&["page", "blame", &id]));
    }
    let blame = ann.json(&["page", "blame", &id]);
    let parts = blame["parts"].as_array().unwrap();
    let whole: String = parts.iter().map(|p| p["text"].as_str().unwrap()).collect();
    assert_eq!(whole, text);
    let by = |name: &str| parts.iter().any(|p| p["by"]["name"] == name);
    assert!(by("Ann") && by("Bob") && by("Cy"));

    let seen = cy.on_terminal(&["read", &id]).ok();
    assert!(seen.contains("The answer by"), "{seen}");
    assert!(seen.contains("as [Bob, "), "{seen}");
    assert!(seen.contains("merged from 2 branches"), "{seen}");
    let log = ann.json(&["page", "log", &id]);
    let entries = log["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 3);
    let first = entries[0]["id"].as_str().unwrap();
    let diff = ann.on_terminal(&["page", "diff", &id, first]).ok();
    assert!(diff.contains("+ Bring a spare battery."), "{diff}");
    ann.json(&["page", "restore", &id, first]);
    let restored = ann.json(&["page", "show", &id]);
    assert!(restored["text"].as_str().unwrap().ends_with("says."), "{restored}");
    let at = entries[1]["id"].as_str().unwrap();
    assert_ne!(ann.json(&["page", "show", &id, "--at", at])["text"], restored["text"]);
    assert_eq!(ann.json(&["page", "log", &id])["entries"].as_array().unwrap().len(), 4);
}

#[test]
fn a_question_is_reframed_and_taken_over() {
    let ann = House::founder("Ann");
    let bob = ann.neighbour("Bob");
    let thread = bob.ask("Trucks?", "We leave soon.", &[]);
    let id = thread.full();
    sync(&[&ann, &bob]);
    let cy = ann.neighbour("Cy");
    let refused = cy.run(&["page", "edit", &id, "--question", "-m", "Mine"]).failed();
    assert_eq!((refused.exit, refused.code), (Exit::Refused, "refused"));
    assert!(refused.hint.unwrap().contains("lanai reframe"));
    let wording = "How many trucks for 40 people?\n\nWe leave soon.";
    let proposed = cy.json(&["reframe", &id, "-m", wording, "--why", "says what is asked"]);
    bob.pull(&cy);
    let inbox = bob.on_terminal(&["inbox"]).ok();
    assert!(inbox.contains("Your questions, put otherwise"), "{inbox}");
    assert!(inbox.contains("Cy, ") && inbox.contains("says what is asked"), "{inbox}");
    assert_eq!(bob.json(&["inbox"])["proposed"][0]["id"], proposed["id"]);
    let seen = bob.on_terminal(&["page", "show", &id, "--question"]).ok();
    for part in ["Trucks?", "Proposed wording", "Cy", "says what is asked", "How many trucks"] {
        assert!(seen.contains(part), "{part}: {seen}");
    }
    assert!(bob.on_terminal(&["read", &id]).ok().contains("another wording is proposed"));
    let none = bob.run(&["page", "take", &id, "zzzz"]).failed();
    assert_eq!(none.exit, Exit::NotFound);
    bob.json(&["page", "take", &id]);
    assert_eq!(bob.json(&["page", "show", &id, "-Q"])["text"], wording);
    ann.pull(&bob);
    let listed = ann.json(&["threads"]);
    assert_eq!(listed["threads"][0]["title"], "How many trucks for 40 people?");
    let again = bob.run(&["page", "take", &id, proposed["id"].as_str().unwrap()]).failed();
    assert_eq!(again.exit, Exit::NotFound);
}

#[test]
fn mistakes_are_explained() {
    let ann = House::founder("Ann");
    let note = ann.note("Packing", "what to take").full();
    let question = ann.run(&["page", "show", &note, "--question"]).failed();
    assert_eq!((question.exit, question.code), (Exit::NotFound, "not-found"));
    let unknown = ann.run(&["page", "edit", &note, "-m", "See [[zzzz-zzzz]]."]).failed();
    assert_eq!(unknown.exit, Exit::NotFound);
    assert!(unknown.message.contains("[[zzzz-zzzz]]"), "{}", unknown.message);
    assert!(unknown.hint.unwrap().contains("kept in"), "the draft is lost");
    ann.json(&["page", "edit", &note, "-m", "one"]);
    assert_eq!(ann.json(&["page", "edit", &note, "-m", "one"])["kind"], "unchanged");
    let long = ann.run(&["page", "edit", &note, "-m", &"x".repeat(70_000)]).failed();
    assert_eq!(long.code, "too-long");
    assert_eq!(ann.run(&["page", "restore", &note, "zzzz"]).failed().exit, Exit::NotFound);
}

#[test]
fn hostile_text_on_a_page_is_shown_harmlessly() {
    let ann = House::founder("Ann");
    let bob = ann.neighbour("Bob");
    let note = ann.note("Packing", "what to take").full();
    bob.pull(&ann);
    bob.json(&["page", "edit", &note, "-m", HOSTILE]);
    ann.pull(&bob);
    for command in ["show", "log", "blame", "diff"] {
        assert_harmless(&ann.on_terminal(&["page", command, &note]).ok());
        assert_harmless(&ann.run(&["page", command, &note, "--json"]).ok());
    }
    assert_harmless(&ann.on_terminal(&["read", &note]).ok());
}
