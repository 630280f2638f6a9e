//! A lead puts threads in order while two others reply off-line: when the links return, every reply
//! stands on all nodes where a reader would look for it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test that goes wrong should say so and stop"
)]

mod homes;

use std::collections::BTreeMap;

use homes::{Home, connect, until_equal};
use serde_json::Value;

/// The root and the title of the thread in which an id is shown, and its texts.
fn shown(home: &Home, id: &str) -> (String, String, Vec<String>) {
    let read = home.json(&["read", id]);
    let field = |name: &str| read["thread"][name].as_str().unwrap().to_owned();
    let posts = read["posts"].as_array().unwrap();
    let mut texts: Vec<String> =
        posts.iter().filter_map(|p| p["text"].as_str().map(str::to_owned)).collect();
    texts.sort();
    (field("id"), field("title"), texts)
}

fn reply(home: &Home, to: &str, text: &str) -> String {
    home.text(&["reply", to, "-m", text], "id")
}

/// The id of the post that answers, as the node of `home` shows it.
fn parent(home: &Home, id: &str) -> Value {
    let read = home.json(&["read", id]);
    let post = read["posts"].as_array().unwrap().iter().find(|p| p["id"] == id);
    post.unwrap_or_else(|| panic!("{id} is not in {read}"))["parent"].clone()
}

#[test]
fn replies_written_off_line_stand_where_the_lead_put_what_they_answer() {
    let dir = tempfile::tempdir().unwrap();
    let [ana, ben, cleo] = ["ana", "ben", "cleo"].map(|n| Home::new(dir.path(), n));
    ana.up();
    let ticket = ana.ticket("2");
    ben.must_join(&ticket, &ana);
    cleo.must_join(&ticket, &ana);
    let all = [&ana, &ben, &cleo];
    until_equal(&all);

    // Three threads and a note, as they grow when nobody tends them.
    let convoy = ben.text(&["ask", "First convoy, what do we need?", "-m", "convoy root"], "id");
    let radio = cleo.text(&["ask", "Which antenna?", "-m", "radio root"], "id");
    let again = ben.text(&["ask", "Antenna for the base?", "-m", "again root"], "id");
    let note = ben.text(&["note", "Notes", "-m", "note root"], "id");
    until_equal(&all);
    let route = reply(&cleo, &convoy, "route");
    let rations = reply(&ana, &convoy, "rations");
    let mast = reply(&ana, &convoy, "mast");
    let duplicate = reply(&cleo, &again, "again reply");
    until_equal(&all);
    let recipe = reply(&cleo, &rations, "recipe");
    until_equal(&all);
    for home in all {
        home.stop();
    }

    // Apart: Ana puts in order, Ben and Cleo reply to what they still see where it was.
    ana.run(&["thread", "split", &rations, "--title", "Rations", "--reason", "a side story"]);
    ana.run(&["thread", "merge", &again, "--into", &radio]);
    ana.run(&["thread", "move", &mast, "--to", &radio]);
    ana.run(&["thread", "retitle", &note, "What the first convoy taught us"]);
    let mut replies = BTreeMap::new();
    for (home, name) in [(&ben, "ben"), (&cleo, "cleo")] {
        for (to, what) in [
            (&convoy, "convoy root"),
            (&route, "route"),
            (&rations, "rations"),
            (&recipe, "recipe"),
            (&mast, "mast"),
            (&again, "again root"),
            (&duplicate, "again reply"),
            (&radio, "radio root"),
            (&note, "note root"),
        ] {
            let text = format!("{name} to {what}");
            replies.insert(text.clone(), (reply(home, to, &text), to.clone()));
        }
    }

    for home in all {
        home.up();
    }
    connect(&ben, &ana);
    connect(&cleo, &ana);
    until_equal(&all);

    let expected = |own: &[&str]| {
        let mut texts: Vec<String> = own.iter().map(|t| (*t).to_owned()).collect();
        texts.extend(own.iter().flat_map(|t| [format!("ben to {t}"), format!("cleo to {t}")]));
        texts.sort();
        texts
    };
    let places = [
        (&convoy, "First convoy, what do we need?", vec!["convoy root", "route"]),
        (&rations, "Rations", vec!["rations", "recipe"]),
        (&radio, "Which antenna?", vec!["radio root", "again root", "again reply", "mast"]),
        (&note, "What the first convoy taught us", vec!["note root"]),
    ];
    for home in all {
        for (root, title, own) in &places {
            let (id, called, texts) = shown(home, root);
            assert_eq!((id.as_str(), called.as_str()), (root.as_str(), *title), "{}", home.name);
            assert_eq!(texts, expected(own), "{} in {title}", home.name);
        }
        // Each id, of whatever was moved or written, leads to where it stands now.
        for moved in [&again, &duplicate, &mast] {
            assert_eq!(shown(home, moved).0, radio, "{}", home.name);
        }
        assert_eq!(shown(home, &recipe).0, rations);
        for (text, (id, to)) in &replies {
            let (_, title, texts) = shown(home, id);
            assert!(texts.contains(text), "{}: {text} is not in {title}", home.name);
            assert_eq!(parent(home, id), to.as_str(), "{}: {text}", home.name);
        }
        let listed = home.json(&["threads", "--all"]);
        let mut titles: Vec<&str> = listed["threads"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|t| t["title"].as_str())
            .collect();
        titles.sort_unstable();
        let mut hoped: Vec<&str> = places.iter().map(|(_, title, _)| *title).collect();
        hoped.sort_unstable();
        assert_eq!(titles, hoped, "{}", home.name);
    }

    // Later replies go there too, and undoing it brings all of it back.
    let late = reply(&cleo, &recipe, "late");
    until_equal(&all);
    assert_eq!(shown(&ben, &late).0, rations);
    ana.run(&["thread", "back", &rations]);
    until_equal(&all);
    for home in all {
        let (id, _, texts) = shown(home, &rations);
        assert_eq!(id, convoy, "{}", home.name);
        for text in ["rations", "ben to recipe", "cleo to rations", "late"] {
            assert!(texts.iter().any(|t| t == text), "{}: {text} is gone", home.name);
        }
        home.run(&["store", "check"]);
    }
}
