//! Compares expected output with what came.
//!
//! In the expected output a line `...` stands for any number of lines, `[..]` for any characters
//! within a line, and `[ID:name]` for an id: the first one to match gives the name its id, which
//! commands further down use as `$name`, and from then on only that id matches. In `[[ID:name]]`, which
//! cites an id, both brackets are part of the text.

use std::collections::BTreeMap;
use std::ops::Range;

/// The ids that were captured, by their names; as the program shows them.
pub(crate) type Ids = BTreeMap<String, String>;

const ANY_LINES: &str = "...";
const ANY: &str = "[..]";
/// Letters and digits in a short id, in one that a text cites, and in a whole one.
const SHORT_ID: usize = 8;
const CITED_ID: usize = 16;
const WHOLE_ID: usize = 52;

/// How one line of the expected output or of the actual one is accounted for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Edit {
    /// The expected line matches the actual one, by their indices.
    Same(usize, usize),
    /// The expected line `...` stands for these.
    Any(usize, Range<usize>),
    /// An expected line that did not come.
    Missing(usize),
    /// A line that came and was not expected.
    Extra(usize),
}

/// Lays the two side by side with as few differences as can be, and notes the ids.
pub(crate) fn compare(expected: &[String], actual: &[String], ids: &mut Ids) -> Vec<Edit> {
    let before = ids.clone();
    let matches = |e: usize, a: usize| {
        expected[e] != ANY_LINES && line(&expected[e], &actual[a], &mut before.clone())
    };
    // cost[e][a]: differences between what is left from the lines e and a on.
    let (height, width) = (expected.len(), actual.len());
    let mut cost = vec![vec![0usize; width + 1]; height + 1];
    for e in (0..=height).rev() {
        for a in (0..=width).rev() {
            if e == height {
                cost[e][a] = width - a;
                continue;
            }
            let any = expected[e] == ANY_LINES;
            let free = usize::from(!any);
            let mut best = cost[e + 1][a] + free;
            if a < width {
                best = best.min(cost[e][a + 1] + free);
                if matches(e, a) {
                    best = best.min(cost[e + 1][a + 1]);
                }
            }
            cost[e][a] = best;
        }
    }
    let mut edits = Vec::new();
    let (mut e, mut a) = (0, 0);
    while e < height || a < width {
        if e == height {
            edits.push(Edit::Extra(a));
            a += 1;
        } else if expected[e] == ANY_LINES {
            let from = a;
            while a < width && cost[e + 1][a] != cost[e][from] {
                a += 1;
            }
            edits.push(Edit::Any(e, from..a));
            e += 1;
        } else if a < width && cost[e][a] == cost[e + 1][a + 1] && matches(e, a) {
            // An id may have been captured further up in this very output.
            if line(&expected[e], &actual[a], ids) {
                edits.push(Edit::Same(e, a));
            } else {
                edits.extend([Edit::Missing(e), Edit::Extra(a)]);
            }
            (e, a) = (e + 1, a + 1);
        } else if cost[e][a] == cost[e + 1][a] + 1 {
            edits.push(Edit::Missing(e));
            e += 1;
        } else {
            edits.push(Edit::Extra(a));
            a += 1;
        }
    }
    edits
}

/// Whether nothing is missing and nothing came that was not expected.
pub(crate) fn is_same(edits: &[Edit]) -> bool {
    edits.iter().all(|e| matches!(e, Edit::Same(..) | Edit::Any(..)))
}

/// The differences for a reader.
pub(crate) fn diff(edits: &[Edit], expected: &[String], actual: &[String]) -> String {
    let mut out = String::new();
    for edit in edits {
        let (mark, text) = match edit {
            Edit::Same(_, a) => (' ', actual[*a].as_str()),
            Edit::Any(..) => (' ', ANY_LINES),
            Edit::Missing(e) => ('-', expected[*e].as_str()),
            Edit::Extra(a) => ('+', actual[*a].as_str()),
        };
        out.push_str(format!("    {mark} {text}").trim_end());
        out.push('\n');
    }
    out
}

/// The expected output brought up to date: what still matches stays as it was written, the rest is
/// taken from what came, with names for the known ids and `[..]` for what differs in each run.
pub(crate) fn rewritten(
    edits: &[Edit],
    expected: &[String],
    actual: &[String],
    ids: &Ids,
) -> Vec<String> {
    edits
        .iter()
        .filter_map(|edit| match edit {
            Edit::Same(e, _) | Edit::Any(e, _) => Some(expected[*e].clone()),
            Edit::Missing(_) => None,
            Edit::Extra(a) => Some(lasting(&actual[*a], ids)),
        })
        .collect()
}

/// A line of output without what is different in each run.
fn lasting(text: &str, ids: &Ids) -> String {
    let mut out = String::new();
    let mut rest = text;
    let mut in_word = false;
    while let Some(c) = rest.chars().next() {
        if !in_word {
            let cited = rest.strip_prefix("[[").and_then(|r| Some((id_at(r)?, r)));
            let cited = cited.filter(|(id, r)| r[id.len()..].starts_with("]]"));
            let named = |id| ids.iter().find(|(_, known)| same_id(known, id));
            if let Some((id, _)) = cited {
                let stands = named(id).map_or("[[[..]]]".into(), |(n, _)| format!("[[ID:{n}]]"));
                out.push_str(&stands);
                rest = &rest[id.len() + 4..];
                continue;
            }
            if let Some(id) = id_at(rest) {
                let known = named(id).map(|(name, _)| format!("[ID:{name}]"));
                // A word such as `been-here` has the shape of an id.
                let sure = id.bytes().any(|b| b.is_ascii_digit());
                if let Some(stands) = known.or_else(|| sure.then(|| ANY.into())) {
                    out.push_str(&stands);
                    rest = &rest[id.len()..];
                    continue;
                }
            }
            if let Some(len) = ago_at(rest).or_else(|| day_at(rest)) {
                out.push_str(ANY);
                rest = &rest[len..];
                continue;
            }
        }
        in_word = c.is_alphanumeric();
        out.push(c);
        rest = &rest[c.len_utf8()..];
    }
    out
}

/// Length of a `just now` or `5 min ago` at the beginning of a text.
fn ago_at(text: &str) -> Option<usize> {
    if text.starts_with("just now") {
        return Some("just now".len());
    }
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let unit = [" s ago", " min ago", " h ago"].into_iter().find(|u| text[digits..].starts_with(u));
    unit.filter(|_| digits > 0).map(|u| digits + u.len())
}

/// Length of a `2026-03-06` at the beginning of a text.
fn day_at(text: &str) -> Option<usize> {
    let shape = text.bytes().map(|b| if b.is_ascii_digit() { b'0' } else { b });
    let len = "0000-00-00".len();
    shape.take(len).eq(*b"0000-00-00").then_some(len)
}

/// Whether a line matches; notes the ids if it does.
fn line(pattern: &str, text: &str, ids: &mut Ids) -> bool {
    let Some(open) = pattern.find('[') else { return pattern == text };
    let Some(text) = text.strip_prefix(&pattern[..open]) else { return false };
    let pattern = &pattern[open..];
    if let Some(rest) = pattern.strip_prefix(ANY) {
        let ends = text.char_indices().map(|(i, _)| i).chain([text.len()]);
        return ends.into_iter().any(|end| attempt(rest, &text[end..], ids));
    }
    let cited = pattern.strip_prefix("[[ID:").and_then(|p| p.split_once("]]"));
    if let Some((name, rest)) = cited {
        return text.strip_prefix("[[").is_some_and(|text| {
            let after = |text: &str, ids: &mut Ids| {
                text.strip_prefix("]]").is_some_and(|text| line(rest, text, ids))
            };
            id(name, text, ids, after)
        });
    }
    let named = pattern.strip_prefix("[ID:").and_then(|p| p.split_once(']'));
    if let Some((name, rest)) = named {
        return id(name, text, ids, |text, ids| line(rest, text, ids));
    }
    match text.strip_prefix('[') {
        Some(text) => line(&pattern[1..], text, ids),
        None => false,
    }
}

/// Whether the text begins with the id of this name, and `after` matches what follows.
fn id(name: &str, text: &str, ids: &mut Ids, after: impl Fn(&str, &mut Ids) -> bool) -> bool {
    let Some(id) = id_at(text) else { return false };
    let mut with = ids.clone();
    let known = with.entry(name.to_owned()).or_insert_with(|| id.to_owned());
    let fits = same_id(known, id) && after(&text[id.len()..], &mut with);
    if fits {
        *ids = with;
    }
    fits
}

fn attempt(pattern: &str, text: &str, ids: &mut Ids) -> bool {
    let mut with = ids.clone();
    let fits = line(pattern, text, &mut with);
    if fits {
        *ids = with;
    }
    fits
}

fn same_id(a: &str, b: &str) -> bool {
    let (a, b) = (a.replace('-', ""), b.replace('-', ""));
    a.starts_with(&b) || b.starts_with(&a)
}

/// The id at the beginning of a text: `k3f9-7xmp` or a whole one.
fn id_at(text: &str) -> Option<&str> {
    let letter = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let ends = |len: usize| !text[len..].starts_with(|c: char| c.is_alphanumeric());
    let run = text.bytes().take_while(|b| letter(b)).count();
    if run == WHOLE_ID || run == CITED_ID {
        return Some(&text[..run]);
    }
    let half = SHORT_ID / 2;
    let second = text[run..].strip_prefix('-')?;
    let tail = second.bytes().take_while(|b| letter(b)).count();
    let len = SHORT_ID + 1;
    let short = run == half && tail == half && ends(len);
    short.then(|| &text[..len])
}
