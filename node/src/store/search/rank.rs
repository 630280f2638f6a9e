//! Which documents match, in which order, with bounded work.
//!
//! 1. *Newest* is the index's own order: matches are taken from its end until there are enough.
//! 2. *Best* looks at the newest [`MAX_RANKED`] matches only, and weighs them by bm25 of the terms
//!    that tell something. A term in more than [`MAX_SCORED_DOCS`] documents is not weighed: bm25
//!    counts every document of a term, and what is everywhere tells nothing.
//! 3. Outcomes, posts that are part of an answer, answer pages, posts that helped, and threads with
//!    the words in their title are worth more.
//! 4. Of each thread the best document is given, with how many more of it matched.
//! 5. When few threads hold all words, those with some of the telling ones follow, within
//!    [`MAX_RELAXED_DOCS`] documents.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension as _};

use super::index::{DocKind, HELPED_SHIFT, OUTCOME, PART_OF_ANSWER};
use super::query::{Parsed, SearchState, Term, TermKind, all_of};
use super::snippet::{Wanted, alike};
use super::vocabulary::{self, Telling, words_of};
use crate::store::StoreError;
use crate::store::fold::{doc_from, thread_state_number};

/// Matches that are ranked.
const MAX_RANKED: usize = 500;
/// Matches looked through for those that pass the filters.
const MAX_SCANNED: i64 = 10_000;
/// Documents of the commonest term that is weighed.
const MAX_SCORED_DOCS: i64 = 40_000;
/// Terms that are weighed, the rarest.
const MAX_SCORED_TERMS: usize = 4;
/// Documents that some of the words are looked for in, together.
pub(super) const MAX_RELAXED_DOCS: i64 = 2_500;
/// Threads below which some of the words are enough.
const FEW_THREADS: usize = 10;
/// Matches that are counted.
pub(super) const MAX_COUNTED: usize = 1_000;
/// Weight of a word in the title beside one in the text.
const TITLE_WEIGHT: &str = "4.0";
/// How often a word of a draft's title is looked for, beside one of its text.
const TITLE_TIMES: usize = 3;

/// A document that matches.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Match {
    pub(super) doc: i64,
    pub(super) score: f64,
    /// Its thread, where it has one.
    pub(super) t: Option<i64>,
    pub(super) author: Option<i64>,
    pub(super) origin: Option<i64>,
    pub(super) worth: i64,
    /// Kind and subject of what is no post.
    pub(super) other: Option<(DocKind, i64)>,
    /// Further documents of the thread that matched.
    pub(super) more: usize,
    /// Not all words occur.
    pub(super) partial: bool,
    ask: bool,
    state: i64,
    title: String,
}

/// What is looked for, in the language of the index.
#[derive(Debug, Clone, Default)]
pub(super) struct Plan {
    /// All terms that must occur, each with about how many documents it has.
    pub(super) with: Vec<(String, i64)>,
    pub(super) without: Vec<(String, i64)>,
    pub(super) in_title: bool,
    /// Words to mark.
    pub(super) wanted: Vec<Wanted>,
    /// What was typed and what is looked for instead.
    pub(super) corrected: Vec<(String, String)>,
}

/// Whether anything matches.
pub(super) fn occurs(conn: &Connection, expression: &str) -> Result<bool, StoreError> {
    Ok(conn.prepare_cached("SELECT 1 FROM fts WHERE fts MATCH ?1 LIMIT 1")?.exists([expression])?)
}

impl Plan {
    pub(super) fn of(conn: &Connection, parsed: &Parsed) -> Result<Plan, StoreError> {
        let mut plan = Plan { in_title: parsed.in_title, ..Plan::default() };
        for term in &parsed.terms {
            let (expression, docs) = plan.term(conn, term)?;
            if term.without {
                plan.without.push((expression, docs));
            } else {
                plan.with.push((expression, docs));
            }
        }
        Ok(plan)
    }

    fn term(&mut self, conn: &Connection, term: &Term) -> Result<(String, i64), StoreError> {
        let mut quoted = term.quoted();
        let mut words: Vec<String> = term.words.split(' ').map(str::to_lowercase).collect();
        if term.kind == TermKind::Prefix {
            let (prefix, before) = words.split_last().map_or(("", ""), |(last, rest)| {
                (last.as_str(), rest.first().map_or("", String::as_str))
            });
            let forms = vocabulary::beginning(conn, prefix)?;
            if !forms.is_empty() && before.is_empty() {
                let mut docs = 0;
                for form in &forms {
                    docs += vocabulary::docs(conn, form)?;
                }
                if !term.without {
                    self.wanted.push(Wanted { word: prefix.to_owned(), prefix: true });
                }
                let forms: Vec<String> = forms.iter().map(|f| format!("\"{f}\"")).collect();
                return Ok((format!("({})", forms.join(" OR ")), docs));
            }
            quoted.push('*');
        }
        if term.kind == TermKind::Word && !term.without && !occurs(conn, &quoted)? {
            let one = words.first().filter(|_| words.len() == 1);
            let found = match one {
                Some(word) => {
                    vocabulary::correct(conn, word, |w| occurs(conn, &format!("\"{w}\"")))?
                }
                None => None,
            };
            if let Some(found) = found {
                quoted = format!("\"{found}\"");
                self.corrected.push((term.words.clone(), found.clone()));
                words = vec![found];
            }
        }
        let mut docs = i64::MAX;
        for word in &words {
            let known = vocabulary::docs(conn, word)?;
            // A word that the vocabulary does not know may be another form of a common one.
            let known = if known == 0 { count(conn, &quoted, MAX_SCORED_DOCS)? } else { known };
            docs = docs.min(known);
        }
        if !term.without {
            let prefix = term.kind == TermKind::Prefix;
            self.wanted.extend(words.into_iter().map(|word| Wanted { word, prefix }));
        }
        Ok((quoted, docs))
    }

    /// The expression for documents that match all.
    pub(super) fn expression(&self) -> Option<String> {
        let list = |terms: &[(String, i64)]| -> Vec<String> {
            terms.iter().map(|(expression, _)| expression.clone()).collect()
        };
        all_of(&list(&self.with), &list(&self.without), self.in_title)
    }

    /// The expression by which matches are weighed, where it is another one; `None` for no weighing.
    fn weighing(&self) -> Option<Option<String>> {
        let mut rare: Vec<&(String, i64)> =
            self.with.iter().filter(|(_, docs)| *docs <= MAX_SCORED_DOCS).collect();
        rare.sort_by_key(|(_, docs)| *docs);
        rare.truncate(MAX_SCORED_TERMS);
        let cheap = self.without.iter().all(|(_, docs)| *docs <= MAX_SCORED_DOCS);
        if rare.len() == self.with.len() && cheap {
            return Some(None);
        }
        let list: Vec<String> = rare.iter().map(|(expression, _)| expression.clone()).collect();
        all_of(&list, &[], self.in_title).map(Some)
    }
}

/// How many documents match, up to `most`.
pub(super) fn count(conn: &Connection, expression: &str, most: i64) -> Result<i64, StoreError> {
    let mut statement = conn
        .prepare_cached("SELECT count(*) FROM (SELECT 1 FROM fts WHERE fts MATCH ?1 LIMIT ?2)")?;
    Ok(statement.query_row((expression, most), |r| r.get(0))?)
}

/// What a match must be besides holding the words.
pub(super) struct Filters {
    /// Rowids.
    docs: (i64, i64),
    authors: Option<Authors>,
    tags: Vec<String>,
    state: Option<SearchState>,
}

/// Numbers of members and original names that an author filter means.
pub(super) struct Authors {
    members: Vec<i64>,
    names: Vec<i64>,
}

impl Authors {
    pub(super) fn find(conn: &Connection, wanted: &str) -> Result<Authors, StoreError> {
        let wanted = wanted.trim().to_lowercase();
        let matching = |sql: &str| -> Result<Vec<i64>, StoreError> {
            let mut statement = conn.prepare_cached(sql)?;
            let mut found = statement.query([])?;
            let mut out = Vec::new();
            while let Some(row) = found.next()? {
                // SQLite folds case for ASCII only, and `LIKE` has wildcards.
                if row.get_ref(1)?.as_str().unwrap_or_default().to_lowercase().contains(&wanted) {
                    out.push(row.get(0)?);
                }
            }
            Ok(out)
        };
        Ok(Authors {
            members: matching("SELECT m, name FROM people")?,
            names: matching("SELECT a, name FROM names")?,
        })
    }

    fn wrote(&self, found: &Match) -> bool {
        match (found.origin, found.author, found.other) {
            (Some(name), ..) => self.names.contains(&name),
            (None, Some(author), _) => self.members.contains(&author),
            (None, None, Some((DocKind::Person, m))) => self.members.contains(&m),
            _ => false,
        }
    }
}

impl Filters {
    pub(super) fn of(conn: &Connection, parsed: &Parsed) -> Result<Filters, StoreError> {
        let place = |ms: u64| doc_from(i64::try_from(ms).unwrap_or(i64::MAX));
        let authors = parsed.author.as_deref().map(|wanted| Authors::find(conn, wanted));
        Ok(Filters {
            docs: (
                parsed.since_ms.map_or(i64::MIN, place),
                parsed.until_ms.map_or(i64::MAX, |ms| place(ms).saturating_sub(1)),
            ),
            authors: authors.transpose()?,
            tags: parsed.tags.clone(),
            state: parsed.state,
        })
    }

    /// Whether more than the time is filtered.
    fn looks_at_rows(&self) -> bool {
        self.authors.is_some() || !self.tags.is_empty() || self.state.is_some()
    }

    fn pass(&self, conn: &Connection, found: &Match) -> Result<bool, StoreError> {
        if self.authors.as_ref().is_some_and(|authors| !authors.wrote(found)) {
            return Ok(false);
        }
        for tag in &self.tags {
            let mut has =
                conn.prepare_cached("SELECT 1 FROM thread_tags WHERE tag = ?1 AND t = ?2")?;
            if !has.exists((tag, found.t))? {
                return Ok(false);
            }
        }
        match self.state {
            None => Ok(true),
            Some(SearchState::Is(state)) => {
                Ok(found.ask && found.state == thread_state_number(state))
            }
            Some(SearchState::HasOutcome) => match found.t {
                Some(t) => has_worth(conn, t, OUTCOME),
                None => Ok(false),
            },
        }
    }
}

/// Whether a post of the thread has one of these bits of worth.
pub(super) fn has_worth(conn: &Connection, t: i64, bits: i64) -> Result<bool, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT 1 FROM threads th JOIN worth w ON w.grp = th.grp JOIN posts x ON x.n = w.n
         WHERE th.t = ?1 AND x.t = ?1 AND w.worth & ?2 <> 0",
    )?;
    Ok(statement.exists((t, bits))?)
}

const COLUMNS: &str = "f.doc, f.score, coalesce(x.t, CASE WHEN d.kind < 3 THEN d.subject END), \
     x.author, x.origin, coalesce(w.worth, 0), d.kind, d.subject, th.kind, th.state, th.title";

const JOINS: &str = "LEFT JOIN posts x ON x.doc = f.doc LEFT JOIN docs d ON d.doc = f.doc \
     LEFT JOIN threads th ON th.t = coalesce(x.t, CASE WHEN d.kind < 3 THEN d.subject END) \
     LEFT JOIN worth w ON w.n = x.n";

/// The newest `most` matches that pass the filters. Without an expression every post matches.
fn matches(
    conn: &Connection,
    expression: Option<&str>,
    weigh: bool,
    filters: &Filters,
    most: usize,
) -> Result<Vec<Match>, StoreError> {
    let score = match weigh {
        true => format!("-bm25(fts, 1.0, {TITLE_WEIGHT})"),
        false => "0.0".to_owned(),
    };
    let source = match expression {
        Some(_) => format!(
            "SELECT rowid AS doc, {score} AS score FROM fts
             WHERE fts MATCH ?1 AND rowid BETWEEN ?2 AND ?3 ORDER BY rowid DESC LIMIT ?4"
        ),
        None => "SELECT doc, 0.0 AS score FROM posts
             WHERE ?1 IS NULL AND doc BETWEEN ?2 AND ?3 ORDER BY doc DESC LIMIT ?4"
            .to_owned(),
    };
    let mut statement =
        conn.prepare_cached(&format!("SELECT {COLUMNS} FROM ({source}) f {JOINS}"))?;
    let scan = match filters.looks_at_rows() {
        true => MAX_SCANNED,
        false => i64::try_from(most).unwrap_or(i64::MAX),
    };
    let mut rows = statement.query((expression, filters.docs.0, filters.docs.1, scan))?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        if out.len() >= most {
            break;
        }
        let kind: Option<i64> = row.get(6)?;
        let subject: Option<i64> = row.get(7)?;
        let found = Match {
            doc: row.get(0)?,
            score: row.get(1)?,
            t: row.get(2)?,
            author: row.get(3)?,
            origin: row.get(4)?,
            worth: row.get(5)?,
            other: kind.and_then(DocKind::from_number).zip(subject),
            more: 0,
            partial: false,
            ask: row.get::<_, Option<i64>>(8)? == Some(0),
            state: row.get::<_, Option<i64>>(9)?.unwrap_or(0),
            title: row.get::<_, Option<String>>(10)?.unwrap_or_default(),
        };
        if filters.pass(conn, &found)? {
            out.push(found);
        }
    }
    Ok(out)
}

/// The newest matches.
pub(super) fn newest(
    conn: &Connection,
    plan: &Plan,
    filters: &Filters,
    limit: usize,
) -> Result<Vec<Match>, StoreError> {
    matches(conn, plan.expression().as_deref(), false, filters, limit)
}

/// The best of the newest matches, one of each thread.
pub(super) fn best(
    conn: &Connection,
    plan: &Plan,
    filters: &Filters,
    limit: usize,
) -> Result<Vec<Match>, StoreError> {
    let expression = plan.expression();
    let weighing = if expression.is_some() { plan.weighing() } else { None };
    let alone = weighing == Some(None);
    let mut found = matches(conn, expression.as_deref(), alone, filters, MAX_RANKED)?;
    if let (Some(Some(weighing)), Some(first), Some(last)) =
        (&weighing, found.last().map(|m| m.doc), found.first().map(|m| m.doc))
    {
        let scores = scores(conn, weighing, (first, last))?;
        for found in &mut found {
            found.score = scores.get(&found.doc).copied().unwrap_or(0.0);
        }
    }
    let words: Vec<&Wanted> = plan.wanted.iter().collect();
    let mut out = grouped(found, &words);
    if out.len() < FEW_THREADS.min(limit) && plan.with.len() > 1 && !plan.in_title {
        let text: Vec<&str> = plan.wanted.iter().map(|w| w.word.as_str()).collect();
        let some = some_of(conn, &text.join(" "), filters, MAX_SCORED_TERMS * 2)?;
        let more = grouped(some.0, &words)
            .into_iter()
            .filter(|m| !out.iter().any(|o| o.doc == m.doc || (o.t.is_some() && o.t == m.t)));
        let more: Vec<Match> = more.map(|m| Match { partial: true, ..m }).collect();
        out.extend(more);
    }
    out.truncate(limit);
    Ok(out)
}

/// Documents with some of the telling words of a text, weighed; and those words.
pub(super) fn some_of(
    conn: &Connection,
    text: &str,
    filters: &Filters,
    most_words: usize,
) -> Result<(Vec<Match>, Vec<Telling>), StoreError> {
    let telling = vocabulary::telling(conn, text, most_words, MAX_RELAXED_DOCS)?;
    if telling.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    let weigh = telling.iter().all(|t| t.docs <= MAX_SCORED_DOCS);
    // What a question is about outweighs how it came up: bm25 adds up the terms, as often as they stand.
    let times = |t: &Telling| if t.title { TITLE_TIMES } else { 1 };
    let quoted: Vec<String> = telling
        .iter()
        .flat_map(|t| std::iter::repeat_n(format!("\"{}\"", t.word), times(t)))
        .collect();
    let most = usize::try_from(MAX_RELAXED_DOCS).unwrap_or(usize::MAX);
    Ok((matches(conn, Some(&quoted.join(" OR ")), weigh, filters, most)?, telling))
}

impl Filters {
    /// Lets everything pass.
    pub(super) fn none() -> Filters {
        Filters { docs: (i64::MIN, i64::MAX), authors: None, tags: Vec::new(), state: None }
    }
}

fn scores(
    conn: &Connection,
    expression: &str,
    docs: (i64, i64),
) -> Result<HashMap<i64, f64>, StoreError> {
    let mut statement = conn.prepare_cached(&format!(
        "SELECT rowid, -bm25(fts, 1.0, {TITLE_WEIGHT}) FROM fts
         WHERE fts MATCH ?1 AND rowid BETWEEN ?2 AND ?3 ORDER BY rowid DESC LIMIT ?4"
    ))?;
    let found = statement
        .query_map((expression, docs.0, docs.1, MAX_SCANNED), |r| Ok((r.get(0)?, r.get(1)?)))?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// How much more than by its words a document is worth.
fn factor(found: &Match, title: f64) -> f64 {
    let mut factor = 1.0;
    if found.worth & OUTCOME != 0 {
        factor += 0.6;
    }
    if found.worth & PART_OF_ANSWER != 0 {
        factor += 0.6;
    }
    let helped = u32::try_from((found.worth >> HELPED_SHIFT).min(5)).unwrap_or(0);
    factor += 0.1 * f64::from(helped);
    match found.other {
        Some((DocKind::Answer, _)) => factor += 1.0,
        Some((DocKind::Question, _)) => factor += 0.2,
        _ => {}
    }
    factor + 0.8 * title
}

/// The share of the words that a title has.
fn title_share(title: &str, words: &[&Wanted]) -> f64 {
    if words.is_empty() {
        return 0.0;
    }
    let title: Vec<_> = words_of(title).collect();
    let hit = |w: &&&Wanted| title.iter().any(|t| (w.prefix && w.is(t)) || alike(t, &w.word));
    let hits = words.iter().filter(hit).count();
    #[allow(clippy::cast_precision_loss)] // a handful of words
    let share = hits as f64 / words.len() as f64;
    share
}

/// The best document of each thread, the best first; equal ones the newest first.
pub(super) fn grouped(found: Vec<Match>, words: &[&Wanted]) -> Vec<Match> {
    let mut places: HashMap<(Option<i64>, i64), usize> = HashMap::new();
    let mut titles: HashMap<Option<i64>, f64> = HashMap::new();
    let mut out: Vec<Match> = Vec::new();
    for mut found in found {
        let title = *titles.entry(found.t).or_insert_with(|| title_share(&found.title, words));
        // What cannot be weighed still differs by what it is.
        found.score = found.score.max(1e-3) * factor(&found, title);
        let key = (found.t, if found.t.is_some() { 0 } else { found.doc });
        match places.get(&key).and_then(|place| out.get_mut(*place)) {
            None => {
                places.insert(key, out.len());
                out.push(found);
            }
            Some(known) => {
                let more = known.more + 1;
                if found.score > known.score {
                    *known = found;
                }
                known.more = more;
            }
        }
    }
    for found in &mut out {
        let more = u32::try_from(found.more).unwrap_or(u32::MAX);
        found.score *= 1.0 + 0.1 * f64::from(more).ln_1p();
    }
    out.sort_by(|a, b| b.score.total_cmp(&a.score).then(b.doc.cmp(&a.doc)));
    out
}

/// The number of a thread's live group member, by its id.
pub(super) fn thread_number(conn: &Connection, id: &[u8]) -> Result<Option<i64>, StoreError> {
    Ok(conn
        .prepare_cached("SELECT t FROM threads WHERE id = ?1")?
        .query_row([id], |r| r.get(0))
        .optional()?)
}
