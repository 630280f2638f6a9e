//! What the documents name exists.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The names of all functions in the program text below a directory.
fn functions(dir: &Path, out: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path: PathBuf = entry.unwrap().path();
        if path.is_dir() {
            functions(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let names = text.split("fn ").skip(1).map(|rest| {
                rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
            });
            out.extend(names);
        }
    }
}

#[test]
fn every_test_that_the_threats_name_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut known = BTreeSet::new();
    for part in ["crdt/src", "node/src", "cli/src", "tests"] {
        functions(&root.join(part), &mut known);
    }
    let text = std::fs::read_to_string(root.join("docs/threats.md")).unwrap();
    // The last column of a table's row holds the tests.
    let rows = text.lines().filter(|l| l.starts_with("| ")).filter_map(|l| l.rsplit('|').nth(1));
    let mut named = 0;
    for name in rows.flat_map(|cell| cell.split('`').skip(1).step_by(2)) {
        let exists = match Path::new(name).extension().and_then(|e| e.to_str()) {
            Some("toml") => root.join("tests/scenarios").join(name).exists(),
            Some("sh") => root.join(name).exists(),
            _ => known.contains(name),
        };
        assert!(exists, "docs/threats.md names {name}, which is no test");
        named += 1;
    }
    assert!(named > 100, "only {named} names were found");
}
