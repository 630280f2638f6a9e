//! Citations in a text: `[[id]]` names a post and gives its author credit.
//!
//! An id is written as a prefix of its base32 form, hyphens and case as people please; text after a
//! bar is for the reader: `[[k3p9-qx2m|Bo's checklist]]`. What is not an id stays plain text.

use std::ops::Range;

use crate::id::IdPrefix;

/// Citations read from one text; the rest stays plain.
pub const MAX_CITATIONS: usize = 200;
/// The longest inside of a citation, in bytes.
const MAX_INSIDE_BYTES: usize = 160;
/// Fewer characters of an id than this name too much.
const MIN_ID_CHARS: usize = 4;

/// A citation in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Citation {
    /// Where it stands, in bytes, brackets included.
    pub range: Range<usize>,
    /// What it names.
    pub id: IdPrefix,
    /// What the reader is told it is.
    pub label: Option<String>,
}

/// The citations of a text, in order.
pub fn citations(text: &str) -> Vec<Citation> {
    let mut found = Vec::new();
    let mut from = 0;
    while found.len() < MAX_CITATIONS {
        let Some(open) = text.get(from..).and_then(|t| t.find("[[")).map(|at| at + from) else {
            break;
        };
        from = open + 2;
        let Some(inside) = text.get(from..) else { break };
        let near = inside.as_bytes().iter().take(MAX_INSIDE_BYTES + 2);
        let closing = near.clone().zip(near.skip(1)).position(|pair| pair == (&b']', &b']'));
        let Some(length) = closing else { continue };
        let Some(inside) = inside.get(..length) else { break };
        let (id, label) = match inside.split_once('|') {
            Some((id, label)) => (id, Some(label.trim().to_string())),
            None => (inside, None),
        };
        let chars = id.trim().chars().filter(|c| *c != '-').count();
        if chars < MIN_ID_CHARS || inside.contains('\n') {
            continue;
        }
        let Ok(id) = IdPrefix::parse(id) else { continue };
        from += length + 2;
        found.push(Citation { range: open..from, id, label: label.filter(|l| !l.is_empty()) });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_labels_are_read_and_the_rest_is_text() {
        let text = "As [[K3P9-qx2m]] says, and [[k3p9qx2m0|Bo's list]]; not [[no id here]], [[ab]] \
                    or [[k3p9\nqx2m]], nor [[";
        let found = citations(text);
        assert_eq!(found.len(), 2);
        assert_eq!(text.get(found[0].range.clone()), Some("[[K3P9-qx2m]]"));
        assert_eq!((found[0].id.to_string().as_str(), &found[0].label), ("k3p9qx2m", &None));
        assert_eq!(found[1].label.as_deref(), Some("Bo's list"));
    }

    #[test]
    fn nested_and_unclosed_brackets_hide_nothing() {
        assert_eq!(citations("[[[[k3p9qx2m]]]]").len(), 1);
        assert_eq!(citations(&"[[".repeat(10_000)).len(), 0);
        assert_eq!(citations(&"[[k3p9qx2m]]".repeat(1000)).len(), MAX_CITATIONS);
    }
}
