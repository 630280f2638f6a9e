//! The words that occur, with how many documents each occurs in (about).
//!
//! 1. A word is a run of letters and digits in small letters, as it was written: its forms are
//!    separate words here, while the index of posts knows stems.
//! 2. Counts only grow while posts come and are edited; folding all views anew makes them exact.
//!    They steer which words tell something, never what is found.
//! 3. The number of documents is the count of the empty word.
//! 4. A typed word that occurs nowhere is replaced by the commonest word at edit distance 1, or
//!    else, for longer words with the same first letter, at distance 2 (the restricted
//!    Damerau-Levenshtein distance, in which swapped neighbours are one step).

use std::borrow::Cow;
use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension as _};

use crate::store::StoreError;
use crate::store::write::Ctx;

/// Characters of the shortest and longest word that is kept.
const WORD_CHARS: std::ops::RangeInclusive<usize> = 2..=32;
/// Different words that one document adds.
const MAX_WORDS_OF_DOC: usize = 4_000;
/// Characters that a word must have to be taken for a typo.
const MIN_TYPO_CHARS: usize = 4;
/// Characters that a word must have to be taken for two typos.
const MIN_TWO_TYPOS_CHARS: usize = 6;
/// Words compared for two typos.
const MAX_COMPARED: usize = 60_000;
/// Words that a prefix stands for, the commonest first.
pub(super) const MAX_EXPANDED: usize = 64;
/// Words looked at for a prefix.
const MAX_PREFIXED: i64 = 20_000;
/// Different words of a text that are looked up.
const MAX_LOOKED_UP: usize = 300;
/// A word in more than one of so many documents tells nothing, where there are some.
const COMMON_SHARE: i64 = 8;
/// Documents below which the share means nothing.
const MIN_DOCS_FOR_SHARE: i64 = 40;

/// Common words that are taken where there are no others.
const MOST_COMMON: usize = 3;

/// Words that a writing transaction met and has not written down yet.
#[derive(Debug, Default)]
pub(in crate::store) struct NewWords {
    seen: HashMap<String, Seen>,
    /// Documents so far.
    docs: i64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    docs: i64,
    /// The last document, counted from 1.
    last: i64,
}

/// The words of a text, in its order.
pub(super) fn words_of(text: &str) -> impl Iterator<Item = Cow<'_, str>> + '_ {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|w| !w.is_empty())
        .map(|w| {
            let small = w.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
            if small { Cow::Borrowed(w) } else { Cow::Owned(w.to_lowercase()) }
        })
        .filter(|w| {
            let chars = if w.is_ascii() { w.len() } else { w.chars().count() };
            WORD_CHARS.contains(&chars)
        })
}

impl NewWords {
    /// Counts a new document.
    pub(in crate::store) fn add(&mut self, title: &str, body: &str) {
        self.docs += 1;
        let mut words = 0;
        for word in words_of(title).chain(words_of(body)) {
            // Long numbers are ids and dates of one post each.
            let number = word.len() > 4 && word.bytes().all(|b| b.is_ascii_digit());
            if number || words >= MAX_WORDS_OF_DOC {
                continue;
            }
            let seen = match self.seen.get_mut(&*word) {
                Some(seen) => seen,
                None => self.seen.entry(word.into_owned()).or_default(),
            };
            if seen.last < self.docs {
                *seen = Seen { docs: seen.docs + 1, last: self.docs };
                words += 1;
            }
        }
    }
}

impl Ctx<'_> {
    /// Writes the words that were met into the vocabulary.
    pub(in crate::store) fn flush_words(&mut self) -> Result<(), StoreError> {
        let NewWords { seen, docs } = std::mem::take(&mut self.new_words);
        if docs == 0 {
            return Ok(());
        }
        let mut words: Vec<(String, i64)> = seen.into_iter().map(|(w, s)| (w, s.docs)).collect();
        words.push((String::new(), docs));
        words.sort_unstable();
        let mut statement = self.conn.prepare_cached(
            "INSERT INTO words (word, docs) VALUES (?1, ?2)
             ON CONFLICT (word) DO UPDATE SET docs = docs + excluded.docs",
        )?;
        for (word, docs) in words {
            statement.execute((word, docs))?;
        }
        Ok(())
    }
}

/// In how many documents a word occurs, about; 0 for one that is not known.
pub(super) fn docs(conn: &Connection, word: &str) -> Result<i64, StoreError> {
    let found: Option<i64> = conn
        .prepare_cached("SELECT docs FROM words WHERE word = ?1")?
        .query_row([word], |r| r.get(0))
        .optional()?;
    Ok(found.unwrap_or(0))
}

/// Words that begin so, the commonest first.
pub(super) fn beginning(conn: &Connection, prefix: &str) -> Result<Vec<String>, StoreError> {
    let prefix = prefix.to_lowercase();
    let end = format!("{prefix}\u{10ffff}");
    let mut statement = conn.prepare_cached(
        "SELECT word FROM (SELECT word, docs FROM words WHERE word >= ?1 AND word < ?2 LIMIT ?3)
         ORDER BY docs DESC, word LIMIT ?4",
    )?;
    let limit = i64::try_from(MAX_EXPANDED).unwrap_or(i64::MAX);
    let found = statement.query_map((prefix, end, MAX_PREFIXED, limit), |r| r.get(0))?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// A word with how much it tells.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Telling {
    pub(super) word: String,
    pub(super) docs: i64,
    /// Inverse document frequency times a mild weight for repetition.
    pub(super) weight: f64,
    /// In a text with a title and more: it stands in the title, or as often as that is worth.
    pub(super) title: bool,
}

/// How often a word of the first line counts.
const TITLE_WORTH: f64 = 6.0;

/// The words of a text that tell most, the most telling first: at most `most` of them, and so many
/// that they occur in at most `budget` documents together (the first one always).
pub(super) fn telling(
    conn: &Connection,
    text: &str,
    most: usize,
    budget: i64,
) -> Result<Vec<Telling>, StoreError> {
    let mut counts: HashMap<Cow<'_, str>, (usize, f64)> = HashMap::new();
    let has_body = text.trim_start().lines().nth(1).is_some();
    let said = text.lines().enumerate().flat_map(|(line, text)| {
        // The title of a question says what it is about, the rest how it came up.
        let worth = if line == 0 { TITLE_WORTH } else { 1.0 };
        words_of(text).map(move |word| (word, worth))
    });
    for (word, worth) in said.filter(|(w, _)| w.chars().count() >= 3) {
        let len = counts.len();
        if let Some((_, count)) = counts.get_mut(&word) {
            *count += worth;
        } else if len < MAX_LOOKED_UP {
            counts.insert(word, (len, worth));
        }
    }
    let all = docs(conn, "")?.max(1);
    let (mut found, mut common) = (Vec::new(), Vec::new());
    for (word, (place, count)) in counts {
        let docs = docs(conn, &word)?;
        if docs == 0 {
            continue;
        }
        #[allow(clippy::cast_precision_loss)] // counts are far below 2^52
        let idf = (1.0 + all as f64 / docs as f64).ln();
        let list = match all >= MIN_DOCS_FOR_SHARE && docs > all / COMMON_SHARE {
            true => &mut common,
            false => &mut found,
        };
        let title = has_body && count >= TITLE_WORTH;
        let weight = idf * count.sqrt();
        list.push((place, Telling { word: word.into_owned(), docs, weight, title }));
    }
    // Where everything is common, the least common words must do.
    if found.is_empty() {
        common.sort_by_key(|(_, word): &(usize, Telling)| word.docs);
        common.truncate(MOST_COMMON);
        found = common;
    }
    found.sort_by(|a, b| b.1.weight.total_cmp(&a.1.weight).then(a.0.cmp(&b.0)));
    let mut left = budget;
    let mut out: Vec<Telling> = Vec::new();
    for (_, word) in found {
        if out.len() >= most {
            break;
        }
        if out.is_empty() || word.docs <= left {
            left -= word.docs;
            out.push(word);
        }
    }
    Ok(out)
}

/// The commonest known word that `typed` may be a misspelling of; `occurs` says whether the index
/// has posts with it.
pub(super) fn correct(
    conn: &Connection,
    typed: &str,
    mut occurs: impl FnMut(&str) -> Result<bool, StoreError>,
) -> Result<Option<String>, StoreError> {
    let typed = typed.to_lowercase();
    let chars: Vec<char> = typed.chars().collect();
    if chars.len() < MIN_TYPO_CHARS || !WORD_CHARS.contains(&chars.len()) {
        return Ok(None);
    }
    let mut near: Vec<(i64, String)> = Vec::new();
    for word in one_step(&chars) {
        let docs = docs(conn, &word)?;
        if docs > 0 {
            near.push((docs, word));
        }
    }
    if let Some(word) = first_that_occurs(near, &mut occurs)? {
        return Ok(Some(word));
    }
    if chars.len() < MIN_TWO_TYPOS_CHARS {
        return Ok(None);
    }
    let mut statement =
        conn.prepare_cached("SELECT word, docs FROM words WHERE word >= ?1 AND word < ?2")?;
    let first: String = chars.iter().take(1).collect();
    let mut rows = statement.query((&first, format!("{first}\u{10ffff}")))?;
    let mut far: Vec<(i64, String)> = Vec::new();
    let mut compared = 0;
    while let Some(row) = rows.next()? {
        compared += 1;
        if compared > MAX_COMPARED {
            break;
        }
        let word = row.get_ref(0)?.as_str().unwrap_or_default();
        if word.chars().count().abs_diff(chars.len()) <= 2
            && strsim::osa_distance(word, &typed) <= 2
        {
            far.push((row.get(1)?, word.to_owned()));
        }
    }
    first_that_occurs(far, &mut occurs)
}

/// Candidates that are tried in the index.
const MAX_TRIED: usize = 8;

fn first_that_occurs(
    mut found: Vec<(i64, String)>,
    occurs: &mut impl FnMut(&str) -> Result<bool, StoreError>,
) -> Result<Option<String>, StoreError> {
    found.sort_unstable_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    found.dedup();
    for (_, word) in found.into_iter().take(MAX_TRIED) {
        if occurs(&word)? {
            return Ok(Some(word));
        }
    }
    Ok(None)
}

/// All words at distance 1: a letter left out, swapped with its neighbour, another, or one more.
/// Letters come from the Latin alphabet and the word itself.
fn one_step(chars: &[char]) -> Vec<String> {
    let mut letters: Vec<char> = ('a'..='z').chain(chars.iter().copied()).collect();
    letters.sort_unstable();
    letters.dedup();
    let mut out = Vec::new();
    for at in 0..=chars.len() {
        let (head, tail) = chars.split_at(at);
        let with = |middle: &[char], tail: &[char]| -> String {
            head.iter().chain(middle).chain(tail).collect()
        };
        for letter in &letters {
            out.push(with(&[*letter], tail));
        }
        if let [first, rest @ ..] = tail {
            out.push(with(&[], rest));
            for letter in letters.iter().filter(|l| *l != first) {
                out.push(with(&[*letter], rest));
            }
            if let [second, rest @ ..] = rest {
                out.push(with(&[*second, *first], rest));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn vocabulary(words: &[(&str, i64)]) -> Connection {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch(super::super::index::TABLES).unwrap();
        for row in words {
            conn.execute("INSERT INTO words VALUES (?1, ?2)", *row).unwrap();
        }
        conn
    }

    fn corrected(conn: &Connection, typed: &str) -> Option<String> {
        correct(conn, typed, |_| Ok(true)).unwrap()
    }

    #[test]
    fn typos_are_forgiven_within_reason() {
        let conn = vocabulary(&[("convoy", 40), ("convoys", 3), ("envoy", 90), ("brief", 2)]);
        for typed in ["convoi", "cnovoy", "cconvoy", "convy", "xonvoy", "CONVOI"] {
            assert_eq!(corrected(&conn, typed).as_deref(), Some("convoy"), "{typed}");
        }
        assert_eq!(corrected(&conn, "konvoi"), None, "two steps need the first letter");
        assert_eq!(corrected(&conn, "connvoi").as_deref(), Some("convoy"));
        assert_eq!(corrected(&conn, "brie"), Some("brief".into()));
        assert_eq!(corrected(&conn, "bri"), None, "short words are left alone");
        assert_eq!(corrected(&conn, &"x".repeat(5_000)), None);
        assert_eq!(correct(&conn, "convoi", |_| Ok(false)).unwrap(), None);
    }

    #[test]
    fn steps_are_as_many_as_there_are() {
        let steps: HashSet<String> = one_step(&['a', 'b']).into_iter().collect();
        // 2 left out, 1 swapped, 2 * 25 changed, 3 * 26 more, of which 2 come twice.
        assert_eq!(steps.len(), 2 + 1 + 50 + 76);
        assert!(steps.iter().all(|w| strsim::osa_distance(w, "ab") == 1));
    }

    #[test]
    fn rare_words_tell_most_and_the_budget_bounds_them() {
        let conn = vocabulary(&[("", 1000), ("the", 900), ("road", 100), ("ford", 10), ("mud", 5)]);
        let words = |budget| -> Vec<String> {
            let found = telling(&conn, "The road, the ford; the mud and unheard", 12, budget);
            found.unwrap().into_iter().map(|t| t.word).collect()
        };
        assert_eq!(words(1_000), ["mud", "ford", "road"]);
        assert_eq!(words(50), ["mud", "ford"]);
        assert_eq!(words(0), ["mud"]);
    }

    #[test]
    fn prefixes_stand_for_the_commonest_words() {
        let conn = vocabulary(&[("convoy", 4), ("conversation", 9), ("cow", 3), ("cönv", 1)]);
        assert_eq!(beginning(&conn, "Conv").unwrap(), ["conversation", "convoy"]);
    }
}
