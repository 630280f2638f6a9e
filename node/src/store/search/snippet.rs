//! The part of a text that shows why it was found.
//!
//! The text is laid on one line. Of all windows that begin before a match, the one with the most
//! different words searched for is taken, the author's own words before quoted ones.

use std::ops::Range;

/// Characters of a snippet.
const SNIPPET_CHARS: usize = 160;
/// Characters before the first match.
const LEAD_CHARS: usize = 50;
/// Matches that windows are tried at.
const MAX_PLACES: usize = 200;
/// Longest ending in which two forms of a word differ.
const MAX_ENDING: usize = 5;

/// Shortest beginning that makes two words forms of one.
const MIN_STEM: usize = 4;

/// A snippet with the places of the words that were searched for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Snippet {
    /// Text on one line.
    pub text: String,
    /// Byte ranges of the matches in it, ascending.
    pub matches: Vec<Range<usize>>,
}

/// Whether two words in small letters may be forms of one: more than half of the longer, or all of
/// the wanted one, is common to both, and only a short ending is not. The index knows better; this is for the eye.
pub(super) fn alike(found: &str, wanted: &str) -> bool {
    let common = found.chars().zip(wanted.chars()).take_while(|(a, b)| a == b).count();
    let longer = found.chars().count().max(wanted.chars().count());
    let most = common * 5 >= longer * 3 || common == wanted.chars().count();
    let stem = common >= MIN_STEM && most && longer - common <= MAX_ENDING;
    stem || found.trim_end_matches('s') == wanted.trim_end_matches('s')
}

/// A word to mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    /// In small letters.
    pub(super) word: String,
    /// Any word that begins so.
    pub(super) prefix: bool,
}

impl Wanted {
    pub(super) fn is(&self, found: &str) -> bool {
        (self.prefix && found.starts_with(&self.word)) || alike(found, &self.word)
    }
}

struct Match {
    at: Range<usize>,
    word: usize,
    quoted: bool,
}

/// The snippet of a text.
pub(super) fn snippet(text: &str, wanted: &[Wanted]) -> Snippet {
    let mut line = String::new();
    let mut quoted: Vec<Range<usize>> = Vec::new();
    for part in text.lines() {
        let from = line.len();
        for word in part.split_whitespace() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        if part.trim_start().starts_with('>') {
            quoted.push(from..line.len());
        }
    }
    let found = matches(&line, wanted, &quoted);
    let window = |from: usize| {
        let start = back(&line, from, LEAD_CHARS);
        start..forward(&line, start, SNIPPET_CHARS)
    };
    let worth = |at: &Range<usize>| {
        let inside = || found.iter().filter(|m| m.at.start >= at.start && m.at.end <= at.end);
        let mut words: Vec<usize> = inside().map(|m| m.word).collect();
        words.sort_unstable();
        words.dedup();
        let own = inside().any(|m| !m.quoted);
        (words.len(), own)
    };
    let mut best = window(0);
    let mut most = (0, false);
    for place in found.iter().take(MAX_PLACES) {
        let at = window(place.at.start);
        let here = worth(&at);
        if here > most {
            (best, most) = (at, here);
        }
    }
    let mut out = Snippet::default();
    if best.start > 0 {
        out.text.push('…');
    }
    let shift = out.text.len();
    out.text.push_str(line.get(best.clone()).unwrap_or_default());
    if best.end < line.len() {
        out.text.push('…');
    }
    out.matches = found
        .iter()
        .filter(|m| m.at.start >= best.start && m.at.end <= best.end)
        .map(|m| m.at.start - best.start + shift..m.at.end - best.start + shift)
        .collect();
    out
}

/// The places of the words in a text.
pub(super) fn marks(text: &str, wanted: &[Wanted]) -> Vec<Range<usize>> {
    matches(text, wanted, &[]).into_iter().map(|m| m.at).collect()
}

fn matches(line: &str, wanted: &[Wanted], quoted: &[Range<usize>]) -> Vec<Match> {
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(rest) = line.get(at..).filter(|rest| !rest.is_empty()) {
        let Some(skip) = rest.find(char::is_alphanumeric) else { break };
        let start = at + skip;
        let word = line.get(start..).unwrap_or_default();
        let len = word.find(|c: char| !c.is_alphanumeric()).unwrap_or(word.len());
        let found = word.get(..len).unwrap_or_default().to_lowercase();
        if let Some(place) = wanted.iter().position(|w| w.is(&found)) {
            let quoted = quoted.iter().any(|q| q.contains(&start));
            out.push(Match { at: start..start + len, word: place, quoted });
        }
        at = start + len;
    }
    out
}

fn back(line: &str, from: usize, chars: usize) -> usize {
    let before = line.get(..from).unwrap_or_default();
    let at = before.char_indices().rev().nth(chars.saturating_sub(1)).map_or(0, |(at, _)| at);
    // A window begins with a whole word.
    match before.get(at..).and_then(|lead| lead.find(' ')) {
        Some(space) if at > 0 => at + space + 1,
        _ => at,
    }
}

fn forward(line: &str, from: usize, chars: usize) -> usize {
    let rest = line.get(from..).unwrap_or_default();
    rest.char_indices().nth(chars).map_or(line.len(), |(at, _)| from + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(words: &[&str]) -> Vec<Wanted> {
        words.iter().map(|&w| Wanted { word: w.into(), prefix: false }).collect()
    }

    fn marked(text: &str, words: &[&str]) -> String {
        let found = snippet(text, &wanted(words));
        let mut out = String::new();
        let mut at = 0;
        for range in &found.matches {
            out.push_str(&found.text[at..range.start]);
            out.push_str(&format!("[{}]", &found.text[range.clone()]));
            at = range.end;
        }
        out + &found.text[at..]
    }

    #[test]
    fn snippets_surround_the_match() {
        let text = format!("{} needle {}", "hay ".repeat(100), "stack ".repeat(100));
        let found = marked(&text, &["needles"]);
        assert!(found.contains("hay [needle] stack"), "{found}");
        assert!(found.starts_with("…hay") && found.ends_with('…'));
        assert!(found.chars().count() <= SNIPPET_CHARS + 4);
        assert_eq!(marked("a\nb\t c", &["zzz"]), "a b c");
        assert_eq!(marked("Ärger: ärger!", &["ärger"]), "[Ärger]: [ärger]!");
    }

    #[test]
    fn the_window_with_most_words_is_taken_and_own_words_before_quoted_ones() {
        let text = format!("the ford. {} the ford at the bridge", "x ".repeat(200));
        assert!(marked(&text, &["ford", "bridge"]).contains("[ford] at the [bridge]"));
        let text = format!("> the ford\n{}\nmy ford", "x ".repeat(200));
        assert!(marked(&text, &["ford"]).ends_with("my [ford]"));
    }

    #[test]
    fn forms_of_a_word() {
        assert!(alike("counsel", "counselling") && alike("briefings", "brief"));
        assert!(!alike("conversation", "con") && !alike("for", "ford") && !alike("at", "as"));
        let prefix = Wanted { word: "conv".into(), prefix: true };
        assert!(prefix.is("conversation") && !prefix.is("con"));
    }
}
