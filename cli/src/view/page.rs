//! Pages as JSON, and differences between two versions by lines.

use std::collections::BTreeMap;

use lanai_crdt::id::EntryId;
use lanai_crdt::page::{LogEntry, PageBody, splices_between};
use lanai_node::store::{PageSource, PageSpan, PageView};
use serde::Serialize;

use crate::app::{People, Person};
use crate::time;

/// A page.
#[derive(Debug, Serialize)]
pub struct PageShape {
    thread: String,
    page: &'static str,
    text: String,
    heads: Vec<String>,
    changes: u64,
    catching_up: u64,
    updated: Option<String>,
    generation: Option<String>,
    writers: Vec<Person>,
    cites: Vec<String>,
    conflicts: Vec<ConflictShape>,
    proposals: Vec<ProposalShape>,
    left_out: u64,
}

#[derive(Debug, Serialize)]
struct ConflictShape {
    at: u32,
    wordings: Vec<WordingShape>,
}

#[derive(Debug, Serialize)]
struct WordingShape {
    id: String,
    by: Option<Person>,
    text: String,
}

#[derive(Debug, Serialize)]
struct ProposalShape {
    id: String,
    by: Option<Person>,
    text: Option<String>,
    reason: Option<String>,
}

fn by(sources: &BTreeMap<EntryId, PageSource>, id: &EntryId, people: &People) -> Option<Person> {
    sources.get(id).and_then(|s| s.member).map(|m| people.person(&m))
}

/// A page for JSON.
#[must_use]
pub fn page(view: &PageView, people: &People, cites: &[EntryId]) -> PageShape {
    let mut writers: Vec<Person> = Vec::new();
    for person in view.spans.iter().filter_map(|s| by(&view.sources, &s.source, people)) {
        if !writers.contains(&person) {
            writers.push(person);
        }
    }
    let wording = |(id, text): &(EntryId, String)| WordingShape {
        id: id.full(),
        by: by(&view.sources, id, people),
        text: text.clone(),
    };
    PageShape {
        thread: view.thread.full(),
        page: view.kind.word(),
        text: view.text.clone(),
        heads: view.heads.iter().map(EntryId::full).collect(),
        changes: view.weaves,
        catching_up: view.left,
        updated: view.latest_ms.and_then(|ms| time::rfc3339(time::seconds(ms))),
        generation: view.generation.as_ref().map(EntryId::full),
        writers,
        cites: cites.iter().map(EntryId::full).collect(),
        conflicts: view
            .conflicts
            .iter()
            .map(|c| ConflictShape { at: c.at, wordings: c.wordings.iter().map(wording).collect() })
            .collect(),
        proposals: view
            .proposals
            .iter()
            .map(|p| ProposalShape {
                id: p.id.full(),
                by: by(&view.sources, &p.id, people),
                text: p.text.clone(),
                reason: p.reason.clone(),
            })
            .collect(),
        left_out: view.aside.earlier
            + view.aside.waiting
            + view.aside.flood
            + view.aside.unreadable
            + view.aside.uncounted,
    }
}

/// A stretch of text and its writer.
#[derive(Debug, Serialize)]
pub struct PartShape {
    text: String,
    entry: String,
    by: Option<Person>,
    claimed_by: Option<String>,
}

/// Who wrote which part.
#[derive(Debug, Serialize)]
pub struct Blame {
    thread: String,
    page: &'static str,
    parts: Vec<PartShape>,
}

/// The stretches of a page's text, each with its characters.
#[must_use]
pub fn parts(view: &PageView) -> Vec<(&PageSpan, String)> {
    let mut chars = view.text.chars();
    let take = |span| -> (&PageSpan, String) {
        let span: &PageSpan = span;
        (span, chars.by_ref().take(span.length as usize).collect())
    };
    view.spans.iter().map(take).collect()
}

/// Who wrote which part, for JSON.
#[must_use]
pub fn blame(view: &PageView, people: &People) -> Blame {
    let part = |(span, text): (&PageSpan, String)| PartShape {
        text,
        entry: span.source.full(),
        by: by(&view.sources, &span.source, people),
        claimed_by: span.claimed_by.as_ref().map(EntryId::full),
    };
    Blame {
        thread: view.thread.full(),
        page: view.kind.word(),
        parts: parts(view).into_iter().map(part).collect(),
    }
}

/// Everything that was written to a page.
#[derive(Debug, Serialize)]
pub struct Log {
    /// The thread.
    pub thread: String,
    /// The entries in causal order.
    pub entries: Vec<LogShape>,
}

#[derive(Debug, Serialize)]
struct SpliceShape {
    at: u32,
    delete: u32,
    insert: String,
}

/// An entry of a page.
#[derive(Debug, Serialize)]
pub struct LogShape {
    id: String,
    kind: &'static str,
    by: Option<Person>,
    time: Option<String>,
    status: String,
    built_on: Vec<String>,
    splices: Vec<SpliceShape>,
    text: Option<String>,
    reason: Option<String>,
}

/// An entry of a page for JSON.
#[must_use]
pub fn log_entry(
    entry: &LogEntry,
    sources: &BTreeMap<EntryId, PageSource>,
    people: &People,
    status: &str,
) -> LogShape {
    let e = &entry.entry;
    let (kind, text, reason) = match &e.body {
        PageBody::Weave(_) => ("weave", None, None),
        PageBody::Reframe { reason, .. } => ("proposal", None, reason.clone()),
        PageBody::Generation { text, .. } => ("generation", Some(text.clone()), None),
    };
    let splice = |s: &lanai_crdt::payload::Splice| SpliceShape {
        at: s.at,
        delete: s.delete,
        insert: s.insert.clone(),
    };
    LogShape {
        id: e.id.full(),
        kind,
        by: by(sources, &e.id, people),
        time: time::rfc3339(time::seconds(e.time.millis())),
        status: status.to_owned(),
        built_on: e.deps.iter().map(EntryId::full).collect(),
        splices: e.splices().iter().map(splice).collect(),
        text,
        reason,
    }
}

/// A line of a difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DiffLine {
    /// `+` came, `-` went, space stayed.
    pub sign: char,
    /// The line.
    pub text: String,
}

/// A difference between two versions.
#[derive(Debug, Serialize)]
pub struct Diff {
    /// The thread.
    pub thread: String,
    /// Its lines; of those that stayed only the ones near a change.
    pub lines: Vec<DiffLine>,
}

/// Lines around a change that are shown with it.
const CONTEXT_LINES: usize = 2;

/// The lines that went and came, with some that stayed around them.
#[must_use]
pub fn line_diff(before: &str, after: &str) -> Vec<DiffLine> {
    let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let changed = changed_lines(before, after);
    let mut all: Vec<DiffLine> = Vec::new();
    let line = |sign, text: &str| DiffLine { sign, text: text.to_owned() };
    let (mut o, mut n) = (0, 0);
    while o < old.len() || n < new.len() {
        let gone = old.get(o).filter(|_| changed.0.contains(&o));
        let came = new.get(n).filter(|_| changed.1.contains(&n));
        match (gone, came) {
            (Some(text), _) => {
                all.push(line('-', text));
                o += 1;
            }
            (None, Some(text)) => {
                all.push(line('+', text));
                n += 1;
            }
            (None, None) => {
                let text = new.get(n).or_else(|| old.get(o)).copied().unwrap_or_default();
                all.push(line(' ', text));
                (o, n) = (o + 1, n + 1);
            }
        }
    }
    let near = |at: usize| {
        let around = at.saturating_sub(CONTEXT_LINES)..=at + CONTEXT_LINES;
        all.iter().enumerate().any(|(n, l)| l.sign != ' ' && around.contains(&n))
    };
    let keep: Vec<bool> = (0..all.len()).map(near).collect();
    all.into_iter().zip(keep).filter_map(|(l, keep)| keep.then_some(l)).collect()
}

/// The numbers of the lines that differ, in the one text and in the other.
fn changed_lines(before: &str, after: &str) -> (Vec<usize>, Vec<usize>) {
    let Ok(splices) = splices_between(before, after) else {
        return ((0..before.lines().count()).collect(), (0..after.lines().count()).collect());
    };
    let line_at = |text: &[char], at: usize| text.iter().take(at).filter(|c| **c == '\n').count();
    let old: Vec<char> = before.chars().collect();
    let new: Vec<char> = after.chars().collect();
    let (mut gone, mut came) = (Vec::new(), Vec::new());
    let mut shift = 0i64;
    for s in &splices {
        let start = s.at as usize;
        let end = start + s.delete as usize;
        let new_start = usize::try_from(i64::from(s.at) + shift).unwrap_or(0);
        let inserted = s.insert.chars().count();
        // Whole lines that came or went leave the lines beside them alone.
        let whole_lines = (start == 0 || old.get(start - 1) == Some(&'\n'))
            && (s.insert.is_empty() || s.insert.ends_with('\n'))
            && (s.delete == 0 || old.get(end.saturating_sub(1)) == Some(&'\n'));
        let last = |text: &[char], end: usize| {
            line_at(text, if whole_lines { end.saturating_sub(1) } else { end })
        };
        if !whole_lines || s.delete > 0 {
            gone.extend(line_at(&old, start)..=last(&old, end));
        }
        if !whole_lines || inserted > 0 {
            came.extend(line_at(&new, new_start)..=last(&new, new_start + inserted));
        }
        shift += i64::try_from(inserted).unwrap_or(0) - i64::from(s.delete);
    }
    (gone, came)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diff(before: &str, after: &str) -> String {
        line_diff(before, after).iter().map(|l| format!("{}{}\n", l.sign, l.text)).collect()
    }

    #[test]
    fn lines_that_went_and_came_are_told() {
        assert_eq!(diff("a\nb\nc", "a\nb\nc"), "");
        assert_eq!(diff("a\nb\nc", "a\nx\nc"), " a\n-b\n+x\n c\n");
        assert_eq!(diff("", "one\ntwo"), "+one\n+two\n");
        assert_eq!(diff("one", ""), "-one\n");
        assert_eq!(diff("a\nb\n", "a\nnew\nb\n"), " a\n+new\n b\n");
        assert_eq!(diff("1\n2\n3\n4\n5\n6\n7", "1\n2\n3\n4\n5\n6\nseven"), " 5\n 6\n-7\n+seven\n");
        assert_eq!(diff("a b", "a b c"), "-a b\n+a b c\n");
    }
}
