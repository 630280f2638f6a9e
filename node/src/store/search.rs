//! Full text search.
//!
//! What a person types is never FTS5 syntax: words are cut out of it and quoted, so that no input is
//! a syntax error or reaches further than a search.
//!
//! | typed | means |
//! | --- | --- |
//! | `convoy brief` | posts with both words, in any form (Porter stems) |
//! | `"convoy brief"` | the words next to each other |
//! | `conv*` | words that begin so |
//! | `-rain` | without that word |
//!
//! Newest first is the default and the index's own order, so that the first page costs the same at a
//! million posts. Ranking (bm25) looks at the newest [`MAX_RANKED`] matches only.

use lanai_crdt::id::{EntryId, MemberId};
use lanai_crdt::payload::Body;
use rusqlite::{Connection, OptionalExtension as _};

use super::fold::open_body;
use super::keys::Keyring;
use super::read::name_of;
use super::rows::{self, entry_by_number, entry_id};
use super::{Store, StoreError};

/// Matches that are ranked.
const MAX_RANKED: i64 = 2_000;
/// Matches looked through for those of one author.
const MAX_SCANNED: i64 = 20_000;
/// Terms taken from a query; the rest is ignored.
const MAX_TERMS: usize = 16;
/// Characters of a term.
const MAX_TERM_CHARS: usize = 64;
/// Characters of text around the first match.
const SNIPPET_CHARS: usize = 160;

/// In which order to give matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SearchOrder {
    /// By sort time, the latest first.
    #[default]
    Newest,
    /// By how well they match, among the newest.
    Best,
}

/// What to look for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SearchQuery {
    /// What a person typed.
    pub text: String,
    /// Only by this author: a name or a part of one, of a member or in an import; in any case.
    pub author: Option<String>,
    /// The order.
    pub order: SearchOrder,
    /// At most so many hits.
    pub limit: usize,
}

/// A post that matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchHit {
    /// The post.
    pub post: EntryId,
    /// The canonical root of its thread.
    pub thread: EntryId,
    /// The thread's title.
    pub title: String,
    /// Who wrote or imported it.
    pub author: MemberId,
    /// The author's name, where a profile is here.
    pub author_name: Option<String>,
    /// The original author of an import.
    pub origin: Option<String>,
    /// Its sort time, Unix milliseconds.
    pub time_ms: u64,
    /// Text around the first match, on one line.
    pub snippet: String,
}

/// One term of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Term {
    words: String,
    prefix: bool,
    without: bool,
}

/// Cuts a query into terms.
fn terms(text: &str) -> Vec<Term> {
    let mut out = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() && out.len() < MAX_TERMS {
        let (without, body) = match rest.strip_prefix('-') {
            Some(body) => (true, body),
            None => (false, rest),
        };
        let (raw, next, quoted) = match body.strip_prefix('"') {
            // A quotation that is not closed goes to the end.
            Some(quote) => {
                let (inside, after) = quote.split_once('"').unwrap_or((quote, ""));
                (inside, after, true)
            }
            None => {
                let end = body.find(|c: char| c.is_whitespace() || c == '"').unwrap_or(body.len());
                let (word, after) = body.split_at_checked(end).unwrap_or((body, ""));
                (word, after, false)
            }
        };
        rest = next.trim_start();
        let prefix = !quoted && raw.ends_with('*');
        // Anything that is neither letter nor digit is a gap to the tokenizer as well; control
        // characters (a zero ends an SQL text) never get that far.
        let words: String = raw
            .chars()
            .map(|c| if c.is_alphanumeric() { c } else { ' ' })
            .take(MAX_TERM_CHARS)
            .collect();
        let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
        if !words.is_empty() {
            out.push(Term { words, prefix, without });
        }
    }
    out
}

/// The FTS5 expression for the terms; `None` when there is nothing to look for.
fn expression(terms: &[Term]) -> Option<String> {
    let quote = |t: &Term| format!("\"{}\"{}", t.words, if t.prefix { "*" } else { "" });
    let with: Vec<String> = terms.iter().filter(|t| !t.without).map(quote).collect();
    if with.is_empty() {
        return None;
    }
    let mut out = with.join(" AND ");
    let without: Vec<String> = terms.iter().filter(|t| t.without).map(quote).collect();
    if !without.is_empty() {
        out = format!("({out}) NOT ({})", without.join(" OR "));
    }
    Some(out)
}

/// A line of text around the first occurrence of a term.
fn snippet(text: &str, terms: &[Term]) -> String {
    let line: Vec<char> = text.split_whitespace().collect::<Vec<_>>().join(" ").chars().collect();
    let lower: String = line.iter().map(|c| c.to_lowercase().next().unwrap_or(*c)).collect();
    let hit = terms
        .iter()
        .filter(|t| !t.without)
        .filter_map(|t| {
            let first = t.words.split(' ').next()?.to_lowercase();
            // The stem of a long word: what it ends in may differ.
            let cut = first.chars().count().saturating_sub(2).max(3);
            let stem: String = first.chars().take(cut).collect();
            let whole = lower.find(&first).or_else(|| lower.find(&stem))?;
            lower.get(..whole).map(|before| before.chars().count())
        })
        .min()
        .unwrap_or(0);
    let start = hit.saturating_sub(SNIPPET_CHARS / 3);
    let end = (start + SNIPPET_CHARS).min(line.len());
    let mut out = String::new();
    if start > 0 {
        out.push('…');
    }
    out.extend(line.get(start..end).unwrap_or_default());
    if end < line.len() {
        out.push('…');
    }
    out
}

/// Numbers of members and original names that an author filter means.
struct Authors {
    members: Vec<i64>,
    names: Vec<i64>,
}

impl Authors {
    fn find(conn: &Connection, wanted: &str) -> Result<Authors, StoreError> {
        let wanted = wanted.trim().to_lowercase();
        let matching = |sql: &str| -> Result<Vec<i64>, StoreError> {
            let mut statement = conn.prepare_cached(sql)?;
            let mut found = statement.query([])?;
            let mut out = Vec::new();
            while let Some(row) = found.next()? {
                // SQLite folds case for ASCII only, and `LIKE` has wildcards.
                if row.get::<_, String>(1)?.to_lowercase().contains(&wanted) {
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

    fn wrote(&self, author: i64, origin: Option<i64>) -> bool {
        match origin {
            Some(name) => self.names.contains(&name),
            None => self.members.contains(&author),
        }
    }
}

impl Store {
    /// Searches titles and texts of posts as they read now.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn search(&self, query: &SearchQuery) -> Result<Vec<SearchHit>, StoreError> {
        let terms = terms(&query.text);
        let Some(expression) = expression(&terms) else { return Ok(Vec::new()) };
        self.inner.connections.read(|conn| {
            let authors = match &query.author {
                Some(wanted) => Some(Authors::find(conn, wanted)?),
                None => None,
            };
            let docs = match query.order {
                SearchOrder::Newest => newest(conn, &expression, authors.as_ref(), query.limit)?,
                SearchOrder::Best => best(conn, &expression, authors.as_ref(), query.limit)?,
            };
            let keys = Keyring::load(conn)?;
            let mut hits = Vec::with_capacity(docs.len());
            for doc in docs {
                hits.extend(self.hit(conn, &keys, doc, &terms)?);
            }
            Ok(hits)
        })
    }

    fn hit(
        &self,
        conn: &Connection,
        keys: &Keyring,
        doc: i64,
        terms: &[Term],
    ) -> Result<Option<SearchHit>, StoreError> {
        let mut statement = conn.prepare_cached(
            "SELECT e.id, t.id, t.title, m.id, o.name, x.sort, x.text_n
             FROM posts x JOIN entries e ON e.n = x.n JOIN threads t ON t.t = x.t
             JOIN members m ON m.m = x.author LEFT JOIN names o ON o.a = x.origin
             WHERE x.doc = ?1",
        )?;
        let found = statement
            .query_row([doc], |r| {
                let hit = SearchHit {
                    post: entry_id(r.get_ref(0)?.as_blob()?),
                    thread: entry_id(r.get_ref(1)?.as_blob()?),
                    title: r.get::<_, Option<String>>(2)?.unwrap_or_default(),
                    author: MemberId::from_slice(r.get_ref(3)?.as_blob()?)
                        .unwrap_or(MemberId::ZERO),
                    author_name: None,
                    origin: r.get(4)?,
                    time_ms: r.get::<_, i64>(5)?.unsigned_abs(),
                    snippet: String::new(),
                };
                Ok((hit, r.get::<_, i64>(6)?))
            })
            .optional()?;
        let Some((mut hit, text_n)) = found else { return Ok(None) };
        hit.author_name = name_of(conn, &hit.author)?;
        if let (Some(stored), Some(blob)) =
            (entry_by_number(conn, &self.inner.community, text_n)?, rows::payload(conn, text_n)?)
            && let Ok(body) = open_body(keys, &stored, &blob)
        {
            hit.snippet = snippet(text_of(&body), terms);
        }
        Ok(Some(hit))
    }
}

fn text_of(body: &Body) -> &str {
    match body {
        Body::Ask(a) => &a.situation,
        Body::Note(n) => &n.text,
        Body::Post(p) => &p.text,
        Body::Edit(e) => &e.text,
        _ => "",
    }
}

fn newest(
    conn: &Connection,
    expression: &str,
    authors: Option<&Authors>,
    limit: usize,
) -> Result<Vec<i64>, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT x.doc, x.author, x.origin
         FROM (SELECT rowid AS doc FROM fts WHERE fts MATCH ?1 ORDER BY rowid DESC LIMIT ?2) f
         CROSS JOIN posts x ON x.doc = f.doc",
    )?;
    let scan = match authors {
        Some(_) => MAX_SCANNED,
        None => i64::try_from(limit).unwrap_or(i64::MAX),
    };
    let mut found = statement.query((expression, scan))?;
    let mut out = Vec::new();
    while let Some(row) = found.next()? {
        if out.len() >= limit {
            break;
        }
        if authors.is_none_or(|a| match (row.get(1), row.get(2)) {
            (Ok(author), Ok(origin)) => a.wrote(author, origin),
            _ => false,
        }) {
            out.push(row.get(0)?);
        }
    }
    Ok(out)
}

fn best(
    conn: &Connection,
    expression: &str,
    authors: Option<&Authors>,
    limit: usize,
) -> Result<Vec<i64>, StoreError> {
    let oldest: Option<i64> = conn
        .prepare_cached(
            "SELECT rowid FROM fts WHERE fts MATCH ?1 ORDER BY rowid DESC LIMIT 1 OFFSET ?2",
        )?
        .query_row((expression, MAX_RANKED - 1), |r| r.get(0))
        .optional()?;
    // A word in the title weighs more than one in the text.
    let mut statement = conn.prepare_cached(
        "SELECT x.doc, x.author, x.origin
         FROM (SELECT rowid AS doc, bm25(fts, 4.0, 1.0) AS score FROM fts
               WHERE fts MATCH ?1 AND rowid >= ?2) f
         CROSS JOIN posts x ON x.doc = f.doc ORDER BY f.score, x.doc DESC",
    )?;
    let mut found = statement.query((expression, oldest.unwrap_or(0)))?;
    let mut out = Vec::new();
    while let Some(row) = found.next()? {
        if out.len() >= limit {
            break;
        }
        if authors.is_none_or(|a| match (row.get(1), row.get(2)) {
            (Ok(author), Ok(origin)) => a.wrote(author, origin),
            _ => false,
        }) {
            out.push(row.get(0)?);
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expr(text: &str) -> Option<String> {
        expression(&terms(text))
    }

    #[test]
    fn what_is_typed_becomes_quoted_terms() {
        assert_eq!(expr("convoy brief").unwrap(), "\"convoy\" AND \"brief\"");
        assert_eq!(expr("\"convoy brief\" -rain").unwrap(), "(\"convoy brief\") NOT (\"rain\")");
        assert_eq!(expr("conv*").unwrap(), "\"conv\"*");
        assert_eq!(expr("\"open").unwrap(), "\"open\"");
        assert_eq!(expr("a AND b").unwrap(), "\"a\" AND \"AND\" AND \"b\"");
        assert_eq!(expr("title:x NEAR(a b)").unwrap(), "\"title x\" AND \"NEAR a\" AND \"b\"");
        for nothing in ["", "  ", "\"", "\"\"", "*", "-", "-rain", "\0", "()"] {
            assert_eq!(expr(nothing), None, "{nothing:?}");
        }
    }

    #[test]
    fn snippets_surround_the_match() {
        let text = format!("{} needle {}", "hay ".repeat(100), "stack ".repeat(100));
        let found = snippet(&text, &terms("needles"));
        assert!(found.contains("needle") && found.starts_with('…') && found.ends_with('…'));
        assert!(found.chars().count() <= SNIPPET_CHARS + 2);
        assert_eq!(snippet("a\nb\t c", &terms("zzz")), "a b c");
    }
}
