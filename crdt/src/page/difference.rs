//! From two texts to splices, and back.

use similar::{Algorithm, DiffOp, capture_diff_slices};

use crate::limits::{MAX_SPLICES, MAX_WEAVE_INSERT_BYTES};
use crate::payload::Splice;

/// More was changed than one weave may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too much was changed at once")]
pub struct TooMuch;

/// Replacements that are closer to each other than this many characters become one: a person changed
/// a phrase, and two people who changed the same phrase should notice.
const NEAR_CHARS: u32 = 2;

/// The words of a text with the gaps between them, each with its length in characters.
fn tokens(text: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let mut start = 0;
    let mut last: Option<u8> = None;
    for (at, c) in text.char_indices() {
        let kind = if c.is_alphanumeric() || c == '_' || c == '\'' {
            1
        } else if c == '\n' {
            2
        } else if c.is_whitespace() {
            3
        } else {
            4
        };
        // Every sign and every line end stands for itself.
        if last.is_some_and(|k| k != kind || k == 2 || k == 4) {
            out.extend(text.get(start..at));
            start = at;
        }
        last = Some(kind);
    }
    out.extend(text.get(start..).filter(|t| !t.is_empty()));
    out
}

fn chars(tokens: &[&str]) -> u32 {
    let n: usize = tokens.iter().map(|t| t.chars().count()).sum();
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// The splices that make `new` of `old`: whole words, ascending and apart. Myers' algorithm ("An
/// O(ND) difference algorithm and its variations", 1986) over words, which falls back to larger
/// replacements where the texts have little in common.
///
/// # Errors
///
/// When one weave cannot hold them.
pub fn splices_between(old: &str, new: &str) -> Result<Vec<Splice>, TooMuch> {
    let (before, after) = (tokens(old), tokens(new));
    let mut splices: Vec<Splice> = Vec::new();
    let mut at = 0u32;
    for op in capture_diff_slices(Algorithm::Myers, &before, &after) {
        let (_, old_range, new_range) = op.as_tag_tuple();
        let length = chars(before.get(old_range).unwrap_or_default());
        if matches!(op, DiffOp::Equal { .. }) {
            at += length;
            continue;
        }
        let insert = after.get(new_range).unwrap_or_default().concat();
        push(&mut splices, Splice { at, delete: length, insert }, old);
        at += length;
    }
    trim(&mut splices, old);
    let inserted: usize = splices.iter().map(|s| s.insert.len()).sum();
    if splices.len() > MAX_SPLICES || inserted > MAX_WEAVE_INSERT_BYTES {
        return Err(TooMuch);
    }
    Ok(splices)
}

/// Adds a splice, into the one before it where they touch or only a gap is between them.
fn push(splices: &mut Vec<Splice>, next: Splice, old: &str) {
    if let Some(last) = splices.last_mut() {
        let end = last.at + last.delete;
        let gap = next.at.saturating_sub(end);
        if gap < NEAR_CHARS {
            let between: String = old.chars().skip(end as usize).take(gap as usize).collect();
            // A line end is no gap between words.
            if gap == 0 || !between.contains('\n') {
                last.delete += gap + next.delete;
                last.insert.push_str(&between);
                last.insert.push_str(&next.insert);
                return;
            }
        }
    }
    splices.push(next);
}

/// Leaves out what a splice takes away only to put it back.
fn trim(splices: &mut Vec<Splice>, old: &str) {
    if splices.iter().all(|s| s.delete == 0 || s.insert.is_empty()) {
        splices.retain(|s| s.delete > 0 || !s.insert.is_empty());
        return;
    }
    let text: Vec<char> = old.chars().collect();
    for s in splices.iter_mut() {
        let gone = text.get(s.at as usize..s.end() as usize).unwrap_or_default();
        let insert: Vec<char> = s.insert.chars().collect();
        let front = gone.iter().zip(&insert).take_while(|(a, b)| a == b).count();
        let (gone, rest) =
            (gone.get(front..).unwrap_or_default(), insert.get(front..).unwrap_or_default());
        let back = gone.iter().rev().zip(rest.iter().rev()).take_while(|(a, b)| a == b).count();
        // Only a pure insertion or deletion is cut: a replaced word stays a whole word.
        if gone.len() == back || rest.len() == back {
            s.at += u32::try_from(front).unwrap_or(0);
            s.delete = u32::try_from(gone.len() - back).unwrap_or(0);
            s.insert = rest.get(..rest.len() - back).unwrap_or_default().iter().collect();
        }
    }
    splices.retain(|s| s.delete > 0 || !s.insert.is_empty());
}

/// The text with splices, ascending and apart, applied to it. `None` when one reaches outside.
pub fn apply_splices(text: &str, splices: &[Splice]) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut at = 0u64;
    for s in splices {
        let (kept, after) = split_chars(rest, u64::from(s.at).checked_sub(at)?)?;
        let (_, after) = split_chars(after, u64::from(s.delete))?;
        out.push_str(kept);
        out.push_str(&s.insert);
        rest = after;
        at = s.end();
    }
    out.push_str(rest);
    Some(out)
}

fn split_chars(text: &str, count: u64) -> Option<(&str, &str)> {
    let count = usize::try_from(count).ok()?;
    let mut places = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    text.split_at_checked(places.nth(count)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::payload::{Body, PageKind, Weave, encode};

    fn splice(at: u32, delete: u32, insert: &str) -> Splice {
        Splice { at, delete, insert: insert.into() }
    }

    fn make(old: &str, new: &str) -> Vec<Splice> {
        let splices = splices_between(old, new).unwrap();
        assert_eq!(apply_splices(old, &splices).as_deref(), Some(new));
        let weave = Weave { page: PageKind::Answer, splices: splices.clone() };
        assert!(encode(&Body::Weave(weave)).is_ok(), "{splices:?}");
        splices
    }

    #[test]
    fn differences_are_what_people_changed() {
        assert_eq!(make("", ""), vec![]);
        assert_eq!(make("same", "same"), vec![]);
        assert_eq!(make("", "new"), vec![splice(0, 0, "new")]);
        assert_eq!(make("old", ""), vec![splice(0, 3, "")]);
        assert_eq!(make("take the bridge now", "take the ford now"), vec![splice(9, 6, "ford")]);
        assert_eq!(make("näh 🚛 a", "näh 🚛 b"), vec![splice(6, 1, "b")]);
        // Two words beside each other are one change; two apart are two.
        assert_eq!(make("a red house", "a blue barn"), vec![splice(2, 9, "blue barn")]);
        assert_eq!(make("red is the house", "blue is the barn").len(), 2);
    }

    #[test]
    fn what_one_weave_cannot_hold_is_refused() {
        let fits = "x".repeat(MAX_WEAVE_INSERT_BYTES);
        assert_eq!(make("", &fits).len(), 1);
        assert_eq!(splices_between("", &format!("{fits}x")), Err(TooMuch));
        let many = |word: char, n: usize| -> String {
            (0..n).map(|n| format!("{word}{n} these are the same ")).collect()
        };
        assert_eq!(make(&many('w', MAX_SPLICES), &many('v', MAX_SPLICES)).len(), MAX_SPLICES);
        let (old, new) = (many('w', MAX_SPLICES + 1), many('v', MAX_SPLICES + 1));
        assert_eq!(splices_between(&old, &new), Err(TooMuch));
    }

    #[test]
    fn splices_outside_the_text_give_nothing() {
        assert_eq!(apply_splices("né", &[splice(2, 0, "x")]).as_deref(), Some("néx"));
        for bad in [splice(3, 0, "x"), splice(2, 1, ""), splice(u32::MAX, u32::MAX, "")] {
            assert_eq!(apply_splices("né", &[bad]), None);
        }
        assert_eq!(apply_splices("abc", &[splice(2, 0, "x"), splice(1, 0, "x")]), None);
    }

    proptest! {
        #[test]
        fn differences_give_the_new_text(
            old in "[ab é🚛\n.']{0,60}",
            new in "[ab é🚛\n.']{0,60}",
        ) {
            make(&old, &new);
        }

        #[test]
        fn differences_of_edited_texts(
            words in prop::collection::vec("[a-d]{1,3}[ .\n]{1,2}", 0..80),
            edits in prop::collection::vec((any::<prop::sample::Index>(), "[a-d]{0,3}"), 0..8),
        ) {
            let mut new = words.clone();
            for (at, text) in edits {
                if !new.is_empty() {
                    let at = at.index(new.len());
                    new[at] = text;
                }
            }
            make(&words.concat(), &new.concat());
        }
    }
}
