//! Five members, split in three groups, weave one answer; when the links return all have the same
//! page, and every character of it leads to the entry and the member that it came from.
//!
//! The paragraphs are those of this repository's own documents. By hand, with an archive:
//! `LANAI_TEST_ARCHIVE=archive.mbox.gz LANAI_TEST_ROUNDS=40 cargo nextest run -p lanai --test weaving`

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test that goes wrong should say so and stop"
)]

mod homes;

use std::collections::BTreeMap;
use std::io::Read;

use homes::{Home, connect, until, until_equal};
use serde_json::Value;

const NAMES: [&str; 5] = ["ana", "ben", "cleo", "dan", "eva"];
const GROUPS: [&[usize]; 3] = [&[0, 1], &[2, 3], &[4]];

/// What one member did to the page.
struct Weave {
    author: usize,
    /// The text that was met.
    before: String,
    /// The text that was left.
    after: String,
}

#[test]
fn what_five_weave_apart_comes_together_and_every_character_has_its_author() {
    let rounds: usize =
        std::env::var("LANAI_TEST_ROUNDS").ok().and_then(|r| r.parse().ok()).unwrap_or(3);
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut paragraphs = paragraphs().into_iter();
    let dir = tempfile::tempdir().unwrap();
    let homes = NAMES.map(|n| Home::new(dir.path(), n));
    homes[0].up();
    let ticket = homes[0].ticket("4");
    for home in &homes[1..] {
        home.must_join(&ticket, &homes[0]);
    }
    let thread = homes[0].text(&["ask", "What do we know?", "-m", "Write it down."], "id");
    let mut woven: BTreeMap<String, Weave> = BTreeMap::new();
    for _ in 0..4 {
        weave(&homes, 0, &thread, &mut random, &mut paragraphs, &mut woven);
    }
    let all: Vec<&Home> = homes.iter().collect();
    until_equal(&all);

    // The links break, and inside each group they hold.
    for home in &homes {
        home.stop();
    }
    for group in GROUPS {
        for member in group {
            homes[*member].up();
        }
        for member in &group[1..] {
            connect(&homes[*member], &homes[group[0]]);
        }
        for _ in 0..rounds {
            for member in group {
                weave(&homes, *member, &thread, &mut random, &mut paragraphs, &mut woven);
                // What was met is then known exactly; weaves cross between the groups.
                until_equal(&group.iter().map(|m| &homes[*m]).collect::<Vec<_>>());
            }
        }
        for member in group {
            homes[*member].stop();
        }
    }
    let apart: Vec<String> = [0, 2, 4].iter().map(|m| page(&homes[*m], &thread)).collect();
    assert!(apart[0] != apart[1] && apart[1] != apart[2], "nothing was written apart");

    // The links return.
    for home in &homes {
        home.up();
    }
    for home in &homes[1..] {
        connect(home, &homes[0]);
    }
    until_equal(&all);
    for home in &homes {
        until("the page has caught up", || {
            home.json(&["page", "show", &thread])["catching_up"] == 0
        });
    }
    let pages = homes.each_ref().map(|h| h.json(&["page", "show", &thread]));
    let blames = homes.each_ref().map(|h| h.json(&["page", "blame", &thread]));
    let logs = homes.each_ref().map(|h| h.json(&["page", "log", &thread]));
    for member in 1..NAMES.len() {
        assert_eq!(pages[member]["text"], pages[0]["text"]);
        assert_eq!(pages[member]["heads"], pages[0]["heads"]);
        assert_eq!(pages[member]["conflicts"], pages[0]["conflicts"]);
        assert_eq!(blames[member], blames[0], "{} blames otherwise", NAMES[member]);
    }
    assert_eq!(pages[0]["heads"].as_array().unwrap().len(), GROUPS.len());

    for log in &logs {
        nothing_is_gone(log, &woven);
    }
    every_character_has_its_author(&pages[0], &blames[0], &logs[0], &woven);

    // Whoever writes next joins the branches, for all.
    weave(&homes, 4, &thread, &mut random, &mut paragraphs, &mut woven);
    until_equal(&all);
    let pages = homes.each_ref().map(|h| page(h, &thread));
    assert!(pages.iter().all(|p| *p == pages[0]));
    assert_eq!(homes[0].json(&["page", "show", &thread])["heads"].as_array().unwrap().len(), 1);
    for home in &homes {
        home.run(&["store", "check"]);
    }
}

/// Every entry that was acknowledged is in the log, and what it says makes exactly the text that its
/// author left of the one that was met.
fn nothing_is_gone(log: &Value, woven: &BTreeMap<String, Weave>) {
    let entries = log["entries"].as_array().unwrap();
    for (id, weave) in woven {
        let entry = entries.iter().find(|e| e["id"] == id.as_str());
        let entry = entry.unwrap_or_else(|| panic!("{id} is gone from {log}"));
        assert_eq!(entry["by"]["name"], NAMES[weave.author]);
        assert_eq!(entry["status"], "in the text", "{entry}");
        assert_eq!(spliced(&weave.before, entry), weave.after, "{entry}");
    }
    assert_eq!(entries.len(), woven.len());
}

/// A text after the splices of an entry.
fn spliced(before: &str, entry: &Value) -> String {
    let mut text: Vec<char> = before.chars().collect();
    for splice in entry["splices"].as_array().unwrap().iter().rev() {
        let number = |field: &str| usize::try_from(splice[field].as_u64().unwrap()).unwrap();
        let (at, end) = (number("at"), number("at") + number("delete"));
        text.splice(at..end, splice["insert"].as_str().unwrap().chars());
    }
    text.into_iter().collect()
}

/// The parts make the text, and each was typed by whom it is said to be, in the entry it names.
fn every_character_has_its_author(
    page: &Value,
    blame: &Value,
    log: &Value,
    woven: &BTreeMap<String, Weave>,
) {
    let parts = blame["parts"].as_array().unwrap();
    let whole: String = parts.iter().filter_map(|p| p["text"].as_str()).collect();
    assert_eq!(page["text"], whole.as_str());
    let mut authors = BTreeMap::new();
    // What is left of an entry stands in the order in which it was typed.
    let inserted = |id: &str| {
        let entries = log["entries"].as_array().unwrap();
        inserts(entries.iter().find(|e| e["id"] == id).unwrap()).concat()
    };
    let mut left: BTreeMap<&str, std::vec::IntoIter<char>> = BTreeMap::new();
    for part in parts {
        let (text, id) = (part["text"].as_str().unwrap(), part["entry"].as_str().unwrap());
        let weave = woven.get(id).unwrap_or_else(|| panic!("nobody wrote {id}: {part}"));
        assert_eq!(part["by"]["name"], NAMES[weave.author], "{part}");
        let typed =
            left.entry(id).or_insert_with(|| inserted(id).chars().collect::<Vec<_>>().into_iter());
        assert!(text.chars().all(|c| typed.any(|t| t == c)), "{part} is not of {}", inserted(id));
        *authors.entry(weave.author).or_insert(0usize) += text.chars().count();
    }
    eprintln!("{} characters in {} parts; by {authors:?}", whole.chars().count(), parts.len());
    assert_eq!(authors.len(), NAMES.len(), "somebody's text did not survive: {authors:?}");
}

fn inserts(entry: &Value) -> Vec<&str> {
    entry["splices"].as_array().unwrap().iter().filter_map(|s| s["insert"].as_str()).collect()
}

fn page(home: &Home, thread: &str) -> String {
    home.text(&["page", "show", thread], "text")
}

/// Changes the page as somebody would who has read it.
fn weave(
    homes: &[Home],
    author: usize,
    thread: &str,
    random: &mut Random,
    paragraphs: &mut impl Iterator<Item = String>,
    woven: &mut BTreeMap<String, Weave>,
) {
    let home = &homes[author];
    let before = page(home, thread);
    let mut text: Vec<String> =
        before.split("\n\n").filter(|p| !p.trim().is_empty()).map(str::to_owned).collect();
    let new = paragraphs.next().unwrap_or_else(|| panic!("too few paragraphs for so many rounds"));
    let at = random.below(text.len() + 1);
    match random.below(6) {
        // A sentence of somebody's is put otherwise.
        0 | 1 if at < text.len() => {
            let words: Vec<&str> = text[at].split(' ').collect();
            let from = random.below(words.len());
            let to = words.len().min(from + 1 + random.below(8));
            let mended: Vec<&str> = new.split(' ').take(6).collect();
            let all = [&words[..from], mended.as_slice(), &words[to..]].concat();
            text[at] = all.join(" ");
        }
        // A paragraph makes room for another.
        2 if text.len() > 5 && at < text.len() => text[at] = new,
        _ => text.insert(at, new),
    }
    let after = text.join("\n\n");
    let id = home.text(&["page", "edit", thread, "-m", &after], "id");
    woven.insert(id, Weave { author, before, after });
}

/// Paragraphs of people's prose, each once.
fn paragraphs() -> Vec<String> {
    let mut text = String::new();
    let mut archived = false;
    match std::env::var_os("LANAI_TEST_ARCHIVE") {
        Some(path) => {
            let file = std::fs::File::open(path).unwrap();
            let mut bytes = Vec::new();
            flate2::read::MultiGzDecoder::new(file).read_to_end(&mut bytes).unwrap();
            text = String::from_utf8_lossy(&bytes).into_owned();
            archived = true;
        }
        None => {
            for own in [include_str!("../README.md"), include_str!("../ARCHITECTURE.md")] {
                text.push_str(own);
                text.push_str("\n\n");
            }
        }
    }
    let prose = |p: &&str| {
        (100..900).contains(&p.len())
            && !p.contains("```")
            && p.lines().all(|l| !l.starts_with(['>', '|', ' ', '#']))
            && !(archived && p.contains("Message-ID"))
    };
    let mut all: Vec<String> =
        text.split("\n\n").map(str::trim).filter(prose).map(str::to_owned).collect();
    let mut seen = std::collections::BTreeSet::new();
    all.retain(|p| seen.insert(p.clone()));
    all
}

/// Xorshift: the same choices in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(n).unwrap()).unwrap()
    }
}
