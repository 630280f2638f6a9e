//! What a person typed, taken apart: words, phrases, prefixes, exclusions, filters.
//!
//! Nothing of it is ever FTS5 syntax: words are cut out and quoted, so that no input is a syntax
//! error or reaches further than a search. A filter that cannot be understood is named in the
//! answer and left out.

use lanai_crdt::payload::ThreadState;

/// Terms taken from a query; the rest is ignored.
pub(super) const MAX_TERMS: usize = 16;
/// Characters of a term.
const MAX_TERM_CHARS: usize = 64;
/// Milliseconds of a day.
const DAY_MS: u64 = 86_400_000;

/// In which order to give matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SearchOrder {
    /// By sort time, the latest first.
    #[default]
    Newest,
    /// By how well they match, among the newest; the best post of each thread.
    Best,
}

/// Only what is in threads of this state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SearchState {
    /// Asks in this state.
    Is(ThreadState),
    /// Threads in which somebody told the outcome.
    HasOutcome,
}

impl SearchState {
    /// Reads `open`, `working`, `answered`, `closed` or `outcome`.
    pub fn parse(text: &str) -> Option<SearchState> {
        Some(match text.to_lowercase().as_str() {
            "open" => SearchState::Is(ThreadState::Open),
            "working" | "worked" => SearchState::Is(ThreadState::Working),
            "answered" => SearchState::Is(ThreadState::Answered),
            "closed" => SearchState::Is(ThreadState::Closed),
            "outcome" => SearchState::HasOutcome,
            _ => return None,
        })
    }
}

/// What to look for. Filters may also be written in `text`; those count too.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SearchQuery {
    /// What a person typed.
    pub text: String,
    /// Only by this author: a name or a part of one, of a member or in an import; in any case.
    pub author: Option<String>,
    /// Only in threads with all of these tags, in any case.
    pub tags: Vec<String>,
    /// Only of this time or later, Unix milliseconds.
    pub since_ms: Option<u64>,
    /// Only before this time, Unix milliseconds.
    pub until_ms: Option<u64>,
    /// Only in threads of this state.
    pub state: Option<SearchState>,
    /// The words must be in the title.
    pub in_title: bool,
    /// The order.
    pub order: SearchOrder,
    /// At most so many hits.
    pub limit: usize,
    /// The time now, Unix milliseconds, from which spans such as `since:30d` are counted.
    pub now_ms: u64,
}

/// How the words of a term must occur.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TermKind {
    /// One word, or several that the index splits likewise.
    Word,
    /// Next to each other.
    Phrase,
    /// The last word is a beginning.
    Prefix,
}

/// One term of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Term {
    /// Words with single spaces between them.
    pub(super) words: String,
    pub(super) kind: TermKind,
    pub(super) without: bool,
}

/// A query, taken apart.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Parsed {
    pub(super) terms: Vec<Term>,
    pub(super) author: Option<String>,
    pub(super) tags: Vec<String>,
    pub(super) since_ms: Option<u64>,
    pub(super) until_ms: Option<u64>,
    pub(super) state: Option<SearchState>,
    pub(super) in_title: bool,
    /// Filters that were not understood.
    pub(super) ignored: Vec<String>,
}

impl Parsed {
    pub(super) fn of(query: &SearchQuery) -> Parsed {
        let mut out = Parsed {
            author: query.author.clone(),
            tags: query.tags.clone(),
            since_ms: query.since_ms,
            until_ms: query.until_ms,
            state: query.state,
            in_title: query.in_title,
            ..Parsed::default()
        };
        out.read(&query.text, query.now_ms);
        for tag in &mut out.tags {
            *tag = tag.trim().trim_start_matches('#').to_lowercase();
        }
        out
    }

    /// Whether anything but words narrows the search.
    pub(super) fn has_filters(&self) -> bool {
        self.author.is_some()
            || !self.tags.is_empty()
            || self.since_ms.is_some()
            || self.until_ms.is_some()
            || self.state.is_some()
    }

    fn read(&mut self, text: &str, now_ms: u64) {
        let mut rest = text.trim_start();
        while !rest.is_empty() && self.terms.len() < MAX_TERMS {
            let (without, body) = match rest.strip_prefix('-') {
                Some(body) => (true, body),
                None => (false, rest),
            };
            if let Some((name, value, after)) = filter(body).filter(|_| !without) {
                rest = after.trim_start();
                if !self.take(name, value, now_ms) {
                    let shown: String = format!("{name}:{value}").chars().take(64).collect();
                    self.ignored.push(shown);
                }
                continue;
            }
            let (raw, next, quoted) = cut(body);
            rest = next.trim_start();
            let kind = match (quoted, raw.ends_with('*')) {
                (true, _) => TermKind::Phrase,
                (false, true) => TermKind::Prefix,
                (false, false) => TermKind::Word,
            };
            // Anything that is neither letter nor digit is a gap to the tokenizer as well; control
            // characters (a zero ends an SQL text) never get that far.
            let words: String = raw
                .chars()
                .map(|c| if c.is_alphanumeric() { c } else { ' ' })
                .take(MAX_TERM_CHARS)
                .collect();
            let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
            if !words.is_empty() {
                self.terms.push(Term { words, kind, without });
            }
        }
    }

    /// Takes a filter; false when its value means nothing.
    fn take(&mut self, name: &str, value: &str, now_ms: u64) -> bool {
        match name {
            "tag" => self.tags.push(value.to_owned()),
            "by" | "author" => self.author = Some(value.to_owned()),
            "since" => match span(value, now_ms) {
                Some((from, _)) => self.since_ms = Some(from),
                None => return false,
            },
            "until" => match span(value, now_ms) {
                Some((_, to)) => self.until_ms = Some(to),
                None => return false,
            },
            "state" => match SearchState::parse(value) {
                Some(state) => self.state = Some(state),
                None => return false,
            },
            "in" if value.eq_ignore_ascii_case("title") => self.in_title = true,
            _ => return false,
        }
        true
    }
}

/// Cuts the next term off: its text, what follows, and whether it was quoted. A quotation that is
/// not closed goes to the end.
fn cut(text: &str) -> (&str, &str, bool) {
    match text.strip_prefix('"') {
        Some(quote) => {
            let (inside, after) = quote.split_once('"').unwrap_or((quote, ""));
            (inside, after, true)
        }
        None => {
            let end = text.find(|c: char| c.is_whitespace() || c == '"').unwrap_or(text.len());
            let (word, after) = text.split_at_checked(end).unwrap_or((text, ""));
            (word, after, false)
        }
    }
}

/// `name:value` at the beginning of a text, for the names that there are.
fn filter(text: &str) -> Option<(&'static str, &str, &str)> {
    const NAMES: [&str; 7] = ["tag", "by", "author", "since", "until", "state", "in"];
    let name = NAMES.into_iter().find(|name| {
        text.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
            && text.get(name.len()..).is_some_and(|rest| rest.starts_with(':'))
    })?;
    let (value, after, _) = cut(text.get(name.len() + 1..)?);
    (!value.is_empty()).then_some((name, value, after))
}

/// A span of time as `[from, to)` in Unix milliseconds: `2001`, `2001-05`, `2001-05-12`, or so long
/// ago: `12h`, `30d`, `2w`, `6m`, `1y`.
pub fn span(text: &str, now_ms: u64) -> Option<(u64, u64)> {
    if let Some((count, unit)) = text.char_indices().next_back().map(|(at, c)| (text.get(..at), c))
        && let Some(count) = count.and_then(|c| c.parse::<u64>().ok())
        && let Some(unit) = match unit {
            'h' => Some(DAY_MS / 24),
            'd' => Some(DAY_MS),
            'w' => Some(7 * DAY_MS),
            'm' => Some(30 * DAY_MS),
            'y' => Some(365 * DAY_MS),
            _ => None,
        }
    {
        let then = now_ms.saturating_sub(count.saturating_mul(unit));
        return Some((then, then));
    }
    let digits = |part: &str, len: usize| {
        let fits = part.len() == len && part.bytes().all(|b| b.is_ascii_digit());
        if fits { part.parse::<i64>().ok() } else { None }
    };
    let mut parts = text.split('-');
    let year = digits(parts.next()?, 4)?;
    let month = parts.next().map(|part| digits(part, 2));
    let day = parts.next().map(|part| digits(part, 2));
    if parts.next().is_some() {
        return None;
    }
    let (from, to) = match (month, day) {
        (None, _) => (days(year, 1, 1)?, days(year + 1, 1, 1)?),
        (Some(month), None) => {
            let month = month?;
            let next = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
            (days(year, month, 1)?, days(next.0, next.1, 1)?)
        }
        (Some(month), Some(day)) => {
            let first = days(year, month?, day?)?;
            (first, first + 1)
        }
    };
    let millis = |days: i64| u64::try_from(days).ok().map(|days| days.saturating_mul(DAY_MS));
    // What lies before 1970 is before everything that is here.
    Some((millis(from).unwrap_or(0), millis(to).unwrap_or(0)))
}

/// Days from 1970-01-01 to a date of the Gregorian calendar (Howard Hinnant's `days_from_civil`).
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let longest = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return None,
    };
    if !(1..=longest).contains(&day) {
        return None;
    }
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
}

impl Term {
    /// The term in the language of the index.
    pub(super) fn quoted(&self) -> String {
        format!("\"{}\"", self.words)
    }
}

/// The expression for posts that hold all of `with` and none of `without`; none when there is
/// nothing to look for.
pub(super) fn all_of(with: &[String], without: &[String], in_title: bool) -> Option<String> {
    if with.is_empty() {
        return None;
    }
    let mut out = with.join(" AND ");
    if in_title {
        out = format!("title : ({out})");
    }
    if !without.is_empty() {
        out = format!("({out}) NOT ({})", without.join(" OR "));
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_000 * DAY_MS;

    fn parsed(text: &str) -> Parsed {
        Parsed::of(&SearchQuery { text: text.into(), now_ms: NOW, ..SearchQuery::default() })
    }

    fn terms(text: &str) -> Vec<String> {
        let show = |t: &Term| {
            let star = if t.kind == TermKind::Prefix { "*" } else { "" };
            format!("{}{}{star}", if t.without { "-" } else { "" }, t.quoted())
        };
        parsed(text).terms.iter().map(show).collect()
    }

    #[test]
    fn what_is_typed_becomes_quoted_terms() {
        assert_eq!(terms("convoy brief"), ["\"convoy\"", "\"brief\""]);
        assert_eq!(terms("\"convoy brief\" -rain"), ["\"convoy brief\"", "-\"rain\""]);
        assert_eq!(terms("conv*"), ["\"conv\"*"]);
        assert_eq!(terms("\"open"), ["\"open\""]);
        assert_eq!(terms("a AND b"), ["\"a\"", "\"AND\"", "\"b\""]);
        assert_eq!(terms("title:x NEAR(a b)"), ["\"title x\"", "\"NEAR a\"", "\"b\""]);
        for nothing in ["", "  ", "\"", "\"\"", "*", "-", "\0", "()"] {
            assert!(terms(nothing).is_empty(), "{nothing:?}");
        }
        assert_eq!(terms(&"x ".repeat(100)).len(), MAX_TERMS);
    }

    #[test]
    fn filters_are_taken_out_of_the_text() {
        let found = parsed("tag:#Convoy ford by:\"Ann Lee\" state:open in:title since:2001-05");
        assert_eq!(found.tags, ["convoy"]);
        assert_eq!(found.author.as_deref(), Some("Ann Lee"));
        assert_eq!(found.state, Some(SearchState::Is(ThreadState::Open)));
        assert_eq!(found.since_ms, Some(988_675_200_000));
        assert!(found.in_title && found.ignored.is_empty());
        assert_eq!(found.terms.len(), 1);
        let odd = parsed("since:yesteryear state:lost until:2001-02-30 x");
        assert_eq!(odd.ignored, ["since:yesteryear", "state:lost", "until:2001-02-30"]);
        assert_eq!(odd.terms.len(), 1);
        assert_eq!(parsed("by: tag:").terms.len(), 2, "without a value they are words");
    }

    #[test]
    fn spans_of_time() {
        assert_eq!(span("30d", NOW), Some((970 * DAY_MS, 970 * DAY_MS)));
        assert_eq!(span("1970", NOW), Some((0, 365 * DAY_MS)));
        assert_eq!(span("1970-12", NOW), Some((334 * DAY_MS, 365 * DAY_MS)));
        assert_eq!(span("1972-02-29", NOW), Some((789 * DAY_MS, 790 * DAY_MS)));
        assert_eq!(span("1950", NOW), Some((0, 0)));
        assert_eq!(span("99999999999999999999d", NOW), None);
        assert_eq!(span("9999999999999d", NOW), Some((0, 0)));
        for bad in ["", "d", "1970-13", "1970-1", "1971-02-29", "1970-01-01-01", "é", "5é"] {
            assert_eq!(span(bad, NOW), None, "{bad}");
        }
    }

    #[test]
    fn expressions() {
        let with = ["\"a\"".to_owned(), "\"b\"".to_owned()];
        assert_eq!(all_of(&with, &[], false).unwrap(), "\"a\" AND \"b\"");
        let without = ["\"c\"".to_owned()];
        assert_eq!(
            all_of(&with, &without, true).unwrap(),
            "(title : (\"a\" AND \"b\")) NOT (\"c\")"
        );
        assert_eq!(all_of(&[], &without, false), None);
    }
}
