//! Who may know about something, and why.
//!
//! Documents with the telling words of the text are looked at, and speak for people:
//!
//! 1. a profile for its member, most of all;
//! 2. an outcome, a part of an answer, a post that helped: for its author;
//! 3. an answer page: for those who wrote it, by their share;
//! 4. any other post: a little, and many of them only a little more. Asking a question says nothing.
//!
//! Authors of imported posts are named too, after the members, who can be asked.

use std::collections::BTreeMap;

use lanai_crdt::id::{EntryId, MemberId};
use rusqlite::{Connection, OptionalExtension as _};

use super::index::{DocKind, HELPED_SHIFT, OUTCOME, PART_OF_ANSWER};
use super::rank::{Filters, Match, some_of};
use super::snippet::{Wanted, marks};
use super::{is_member, rows};
use crate::store::{Store, StoreError};

/// Telling words that are looked for.
const MAX_WORDS: usize = 8;
/// Reasons given for one person.
const MAX_REASONS: usize = 4;
/// Documents other than profiles that weigh less than this share of the best say nothing. A profile is
/// short, and whoever offers to be asked about one thing should not have to write about all of it.
const MIN_SHARE: f64 = 0.3;

/// A person who may know.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// A member.
    Member(MemberId),
    /// The author of imported posts, by the name in the archive.
    Origin(String),
}

/// A thread that is named in a reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The post; the root for a page.
    pub post: EntryId,
    /// The thread's title.
    pub title: String,
}

/// Why a person is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The profile says so: a label and its text.
    Profile(&'static str, String),
    /// Posts that are part of an answer; the nearest one.
    Answers(usize, Named),
    /// Outcomes that were told; the nearest one.
    Outcomes(usize, Named),
    /// Posts of which members said that they helped; the nearest one.
    Helped(usize, Named),
    /// Answer pages written at; the nearest one.
    Pages(usize, Named),
    /// Other posts about it; the nearest one.
    Posts(usize, Named),
}

/// A person who may know, with the reasons, the weightiest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expert {
    /// Who.
    pub who: Who,
    /// Why.
    pub reasons: Vec<Reason>,
}

/// Number of a member or of an original name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Number {
    Member(i64),
    Name(i64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Ground {
    Profile,
    Answer,
    Outcome,
    Helped,
    Page,
    Post,
}

/// What speaks for somebody on one ground.
#[derive(Debug, Clone, Copy)]
struct Tally {
    count: usize,
    best: f64,
    doc: i64,
    t: Option<i64>,
}

impl Ground {
    const fn weight(self) -> f64 {
        match self {
            Ground::Profile => 4.0,
            Ground::Answer | Ground::Outcome => 3.0,
            Ground::Page => 2.5,
            Ground::Helped => 2.0,
            Ground::Post => 1.0,
        }
    }
}

impl Tally {
    fn points(&self, ground: Ground) -> f64 {
        let more = u32::try_from(self.count.saturating_sub(1)).unwrap_or(u32::MAX);
        self.best * ground.weight() * (1.0 + 0.3 * f64::from(more).ln_1p())
    }
}

/// Grounds with what speaks on each, the weightiest first.
type Grounded = Vec<(Ground, Tally)>;
type Tallies = BTreeMap<Number, BTreeMap<Ground, Tally>>;

impl Store {
    /// The people who may know about a text, the likeliest first.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn people_for(&self, text: &str, limit: usize) -> Result<Vec<Expert>, StoreError> {
        self.inner.connections.read(|conn| {
            let (found, words) = some_of(conn, text, &Filters::none(), MAX_WORDS)?;
            let wanted: Vec<Wanted> =
                words.into_iter().map(|t| Wanted { word: t.word, prefix: false }).collect();
            let best = found.iter().map(|m| m.score).fold(0.0, f64::max);
            let mut tallies = Tallies::new();
            let is_profile = |m: &Match| matches!(m.other, Some((DocKind::Person, _)));
            let tells = |m: &&Match| is_profile(m) || m.score >= best * MIN_SHARE;
            for found in found.iter().filter(tells) {
                speak(conn, found, &mut tallies)?;
            }
            let mut people: Vec<(f64, Number, Grounded)> = tallies
                .into_iter()
                .map(|(who, grounds)| {
                    let points = grounds.iter().map(|(ground, tally)| tally.points(*ground)).sum();
                    let mut grounds: Grounded = grounds.into_iter().collect();
                    grounds.sort_by(|a, b| b.1.points(b.0).total_cmp(&a.1.points(a.0)));
                    (points, who, grounds)
                })
                .collect();
            let can_be_asked = |number: &Number| matches!(number, Number::Member(_));
            people.sort_by(|a, b| {
                let members_first = can_be_asked(&b.1).cmp(&can_be_asked(&a.1));
                members_first.then(b.0.total_cmp(&a.0)).then(a.1.cmp(&b.1))
            });
            let mut out = Vec::new();
            for (_, number, grounds) in people {
                if out.len() >= limit {
                    break;
                }
                let Some(who) = self.who(conn, number)? else { continue };
                let mut reasons = Vec::new();
                for (ground, tally) in grounds.into_iter().take(MAX_REASONS) {
                    reasons.extend(reason(conn, ground, &tally, &wanted)?);
                }
                if !reasons.is_empty() {
                    out.push(Expert { who, reasons });
                }
            }
            Ok(out)
        })
    }

    fn who(&self, conn: &Connection, number: Number) -> Result<Option<Who>, StoreError> {
        match number {
            Number::Name(a) => Ok(conn
                .prepare_cached("SELECT name FROM names WHERE a = ?1")?
                .query_row([a], |r| r.get(0))
                .optional()?
                .map(Who::Origin)),
            Number::Member(m) => {
                let id: Option<Vec<u8>> = conn
                    .prepare_cached("SELECT id FROM members WHERE m = ?1")?
                    .query_row([m], |r| r.get(0))
                    .optional()?;
                let member = id.and_then(|id| MemberId::from_slice(&id));
                match member {
                    Some(member) if is_member(self, conn, &member)? => {
                        Ok(Some(Who::Member(member)))
                    }
                    _ => Ok(None),
                }
            }
        }
    }
}

/// Lets a document speak for whom it names.
fn speak(conn: &Connection, found: &Match, tallies: &mut Tallies) -> Result<(), StoreError> {
    let mut add = |who: Number, ground: Ground, points: f64| {
        let tally = tallies.entry(who).or_default().entry(ground).or_insert(Tally {
            count: 0,
            best: 0.0,
            doc: found.doc,
            t: found.t,
        });
        tally.count += 1;
        if points > tally.best {
            (tally.best, tally.doc, tally.t) = (points, found.doc, found.t);
        }
    };
    match (found.other, found.t) {
        (Some((DocKind::Person, m)), _) => add(Number::Member(m), Ground::Profile, found.score),
        (Some((DocKind::Answer, t)), _) => {
            let credits: Vec<(i64, i64)> = conn
                .prepare_cached("SELECT m, chars FROM credits WHERE t = ?1")?
                .query_map([t], |r| Ok((r.get(0)?, r.get(1)?)))?
                .collect::<Result<_, _>>()?;
            let all: i64 = credits.iter().map(|(_, chars)| *chars).sum::<i64>().max(1);
            for (m, chars) in credits {
                #[allow(clippy::cast_precision_loss)] // a page has 64,000 bytes
                let share = chars as f64 / all as f64;
                add(Number::Member(m), Ground::Page, found.score * share.sqrt());
            }
        }
        (Some(_), _) => {}
        (None, _) => {
            let who = match (found.origin, found.author) {
                (Some(name), _) => Number::Name(name),
                (None, Some(m)) => Number::Member(m),
                (None, None) => return Ok(()),
            };
            if found.worth & OUTCOME != 0 {
                add(who, Ground::Outcome, found.score);
            }
            if found.worth & PART_OF_ANSWER != 0 {
                add(who, Ground::Answer, found.score);
            }
            if found.worth >> HELPED_SHIFT != 0 {
                add(who, Ground::Helped, found.score);
            }
            if found.worth == 0 && !found.asks(conn)? {
                add(who, Ground::Post, found.score);
            }
        }
    }
    Ok(())
}

impl Match {
    /// Whether it is the post that opened an ask.
    fn asks(&self, conn: &Connection) -> Result<bool, StoreError> {
        let mut statement = conn.prepare_cached(
            "SELECT 1 FROM posts x JOIN entries e ON e.n = x.n JOIN threads t ON t.id = e.id
             WHERE x.doc = ?1 AND t.kind = 0",
        )?;
        Ok(statement.exists([self.doc])?)
    }
}

fn reason(
    conn: &Connection,
    ground: Ground,
    tally: &Tally,
    wanted: &[Wanted],
) -> Result<Option<Reason>, StoreError> {
    if ground == Ground::Profile {
        let text: Option<String> = conn
            .prepare_cached("SELECT text FROM docs WHERE doc = ?1")?
            .query_row([tally.doc], |r| r.get(0))
            .optional()?;
        return Ok(text.and_then(|text| nearest_field(&text, wanted)));
    }
    let Some(named) = named(conn, tally)? else { return Ok(None) };
    Ok(Some(match ground {
        Ground::Answer => Reason::Answers(tally.count, named),
        Ground::Outcome => Reason::Outcomes(tally.count, named),
        Ground::Helped => Reason::Helped(tally.count, named),
        Ground::Page => Reason::Pages(tally.count, named),
        Ground::Profile | Ground::Post => Reason::Posts(tally.count, named),
    }))
}

/// The field of an indexed profile with most of the words; its name alone is no reason.
fn nearest_field(text: &str, wanted: &[Wanted]) -> Option<Reason> {
    let labels = super::index::PROFILE_LABELS;
    let mut best: Option<(usize, Reason)> = None;
    let mut label = "";
    for line in text.lines() {
        // A field may have several lines; only its first has the label.
        let start = labels
            .into_iter()
            .find_map(|label| Some((label, line.strip_prefix(label)?.strip_prefix(": ")?)));
        let (now, text) = start.unwrap_or((label, line));
        label = now;
        let hits = marks(text, wanted).len();
        if hits > best.as_ref().map_or(0, |(most, _)| *most) {
            best = Some((hits, Reason::Profile(label, text.to_owned())));
        }
    }
    best.map(|(_, reason)| reason)
}

fn named(conn: &Connection, tally: &Tally) -> Result<Option<Named>, StoreError> {
    let mut post = conn.prepare_cached(
        "SELECT e.id, t.title FROM posts x JOIN entries e ON e.n = x.n JOIN threads t ON t.t = x.t
         WHERE x.doc = ?1",
    )?;
    let read = |r: &rusqlite::Row<'_>| {
        let post = rows::entry_id(r.get_ref(0)?.as_blob()?);
        Ok(Named { post, title: r.get::<_, Option<String>>(1)?.unwrap_or_default() })
    };
    if let Some(named) = post.query_row([tally.doc], read).optional()? {
        return Ok(Some(named));
    }
    let mut page = conn.prepare_cached("SELECT id, title FROM threads WHERE t = ?1")?;
    Ok(page.query_row([tally.t], read).optional()?)
}
