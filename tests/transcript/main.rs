//! Runs the transcripts in `docs/`: Markdown that is documentation and test at once.
//!
//! `markdown` says how a transcript is written, `pattern` what may stand for what in an expected
//! output. Commands are given to `sh` with the real program, on a terminal of 90 columns, in the home
//! of the member who gives them; nobody's node runs but while members join or sync.
//!
//! `LANAI_TRANSCRIPT=write` brings the expected outputs in the documents up to date; read the
//! difference before you commit it.
//!
//! The crates `trycmd` and `snapbox` do the part of this with one command in one directory. They have
//! no ids carried from one command to the next, no several people, and no terminal, which are most of
//! what is here.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test that goes wrong should say so and stop"
)]

#[path = "../homes.rs"]
mod homes;
mod markdown;
mod names;
mod pattern;
mod tests;
mod world;

use std::path::Path;

use pattern::Ids;
use world::World;

/// What came of running a transcript.
pub(crate) struct Outcome {
    /// The differences, each with its place; none if all is as it is written.
    pub(crate) differences: Vec<String>,
    /// The document with the outputs that came.
    pub(crate) rewritten: String,
}

/// Runs a transcript. `name` is how places in it are named.
pub(crate) fn run(name: &str, text: &str) -> Outcome {
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let steps = markdown::steps(&lines).unwrap_or_else(|e| panic!("{name}: {e}"));
    let mut world = World::new();
    let mut ids = Ids::new();
    let mut differences = Vec::new();
    let mut rewritten = Vec::new();
    let mut copied = 0;
    for step in &steps {
        let place = format!("{name}:{}: {}", step.line + 1, lines[step.line]);
        // Shown when something gives up on the way.
        eprintln!("{place}");
        let actual = world.act(&step.action, &ids);
        let expected = &lines[step.expected.clone()];
        let edits = pattern::compare(expected, &actual, &mut ids);
        if !pattern::is_same(&edits) {
            let diff = pattern::diff(&edits, expected, &actual);
            differences.push(format!("{place}\n{diff}"));
        }
        rewritten.extend_from_slice(&lines[copied..step.expected.start]);
        rewritten.extend(pattern::rewritten(&edits, expected, &actual, &ids));
        copied = step.expected.end;
    }
    rewritten.extend_from_slice(&lines[copied..]);
    Outcome { differences, rewritten: rewritten.join("\n") + "\n" }
}

fn check(file: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
    let text = std::fs::read_to_string(&path).unwrap();
    let outcome = run(file, &text);
    let write = std::env::var_os("LANAI_TRANSCRIPT").is_some_and(|v| v == "write");
    if write && outcome.rewritten != text {
        std::fs::write(&path, outcome.rewritten).unwrap();
    }
    let differences = outcome.differences;
    let hint = "expected -, came +; LANAI_TRANSCRIPT=write takes over what came";
    assert!(write || differences.is_empty(), "\n{}\n{hint}", differences.join("\n"));
}

#[test]
fn journey() {
    check("docs/journey.md");
}

#[test]
fn tutorials() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/tutorials");
    let names = std::fs::read_dir(dir).unwrap().map(|f| f.unwrap().file_name());
    let mut names: Vec<String> = names.map(|n| n.into_string().unwrap()).collect();
    names.sort();
    assert!(!names.is_empty());
    names.iter().for_each(|name| check(&format!("docs/tutorials/{name}")));
}
