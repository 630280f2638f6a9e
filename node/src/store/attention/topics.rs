//! Which topics are mine, and what is about one of them.
//!
//! 1. My topics are those I follow (local), those I look after until a time (published), and what my
//!    "ask me about" lists: short phrases between commas and "and" as they stand, of anything longer
//!    each word.
//! 2. A thread is about a topic if a tag of it is the topic, or a word or several of it ("anthropic" of
//!    "anthropic reasoning"), or if its title holds the topic's words next to each other. Usual English
//!    endings make no difference, so that "convoy" meets "Convoys at night". Untagged threads, an old
//!    archive's above all, are found by their titles.

use std::collections::{BTreeMap, BTreeSet};

use lanai_crdt::id::MemberId;
use lanai_crdt::payload::Kind;
use lanai_crdt::people::fold_people;
use lanai_crdt::people::topic_key;
use lanai_crdt::text::clean_line;
use lanai_crdt::thread::TalkEntry;
use rusqlite::Connection;

use super::tends::{self, Tending};
use crate::store::fold::load_specials;
use crate::store::keys::Keyring;
use crate::store::read::own_number;
use crate::store::{Durability, Store, StoreError};

/// Fewest letters of a word of a profile that is a topic.
const MIN_WORD: usize = 3;
/// Topics that a profile names, at most.
const MAX_TOPICS: usize = 40;
/// Words of a phrase that is a topic as it stands, at most.
const MAX_PHRASE: usize = 3;

/// Words of a profile that say nothing by themselves.
const IDLE: &[&str] = &[
    "about", "all", "also", "and", "any", "anything", "are", "ask", "been", "but", "can", "did",
    "for", "from", "getting", "had", "has", "have", "how", "into", "its", "just", "kind", "like",
    "lot", "made", "make", "not", "our", "own", "some", "such", "than", "that", "the", "their",
    "them", "then", "there", "these", "things", "this", "through", "too", "use", "used", "using",
    "very", "was", "well", "were", "what", "when", "where", "which", "while", "who", "will",
    "with", "work", "working", "would", "years", "you", "your",
];

/// Endings in which two forms of an English word differ.
const ENDINGS: &[&str] = &["s", "es", "ed", "ing", "ings", "er", "ers", "or", "ors", "ly"];

/// Why a topic is mine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TopicSource {
    /// I follow it.
    Followed,
    /// I look after it until then, Unix milliseconds.
    Tended(u64),
    /// My profile says to ask me about it.
    Profile,
}

/// A topic of mine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MyTopic {
    /// In small letters.
    pub topic: String,
    /// Why, at least one.
    pub sources: Vec<TopicSource>,
}

/// A topic that a thread is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// The topic, as it is mine.
    pub topic: String,
    /// Whether a tag says so; otherwise the title does.
    pub by_tag: bool,
}

/// A topic of the community: a tag in use, or one that somebody looks after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSummary {
    /// In small letters.
    pub topic: String,
    /// Threads with this tag.
    pub threads: u64,
    /// Open asks among them.
    pub open: u64,
    /// Who looks after it, and until when, expired terms included, the longest first.
    pub tended: Vec<(MemberId, u64)>,
}

fn words(text: &str) -> Vec<String> {
    let text = clean_line(text).to_lowercase();
    let words = text.split(|c: char| !c.is_alphanumeric());
    words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// Whether two words in small letters may be forms of one.
fn alike(a: &str, b: &str) -> bool {
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    if short == long {
        return true;
    }
    let Some(rest) = long.strip_prefix(short).filter(|_| short.chars().count() >= MIN_WORD) else {
        // "supplies" and "supply".
        let stem = short.strip_suffix('y');
        return stem.is_some_and(|s| long.strip_prefix(s).is_some_and(|rest| rest == "ies"));
    };
    // "plan" and "planning".
    let doubled = short.chars().last().and_then(|c| rest.strip_prefix(c));
    ENDINGS.contains(&rest) || doubled.is_some_and(|rest| ENDINGS.contains(&rest))
}

/// Topics made ready for comparing.
#[derive(Debug)]
pub(super) struct Matcher(Vec<(String, Vec<String>)>);

impl Matcher {
    pub(super) fn new(topics: &[MyTopic]) -> Matcher {
        Matcher(topics.iter().map(|t| (t.topic.clone(), words(&t.topic))).collect())
    }

    /// The topics that a thread is about.
    pub(super) fn about(&self, title: &str, tags: &[String]) -> Vec<About> {
        let title = words(title);
        let tags: Vec<(String, Vec<String>)> =
            tags.iter().map(|tag| (topic_key(tag), words(tag))).collect();
        let holds = |whole: &[String], part: &[String]| {
            !part.is_empty()
                && whole
                    .windows(part.len())
                    .any(|window| window.iter().zip(part).all(|(a, b)| alike(a, b)))
        };
        let mut out = Vec::new();
        for (topic, parts) in &self.0 {
            let tagged = |(tag, words): &(String, Vec<String>)| {
                tag == topic || words.len() <= parts.len() && holds(parts, words)
            };
            let by_tag = tags.iter().any(tagged);
            if by_tag || holds(&title, parts) {
                out.push(About { topic: topic.clone(), by_tag });
            }
        }
        out
    }
}

/// The topics that a profile's "ask me about" names.
fn listed_in(text: &str) -> BTreeSet<String> {
    let lower = text.to_lowercase();
    let parts = lower.split(['\n', ',', ';', '.', '/', '(', ')', '&']);
    let phrases = parts.flat_map(|part| part.split(" and ")).flat_map(|part| part.split(" or "));
    let idle = |word: &String| word.chars().count() < MIN_WORD || IDLE.contains(&word.as_str());
    let says = |word: &String| {
        let long = word.chars().count() >= MIN_WORD;
        long && !word.chars().all(|c| c.is_ascii_digit()) && !IDLE.contains(&word.as_str())
    };
    let mut out = BTreeSet::new();
    for phrase in phrases {
        let phrase: Vec<String> = words(phrase).into_iter().skip_while(idle).collect();
        if phrase.len() > MAX_PHRASE {
            out.extend(phrase.into_iter().filter(says));
        } else if phrase.iter().any(says) {
            out.insert(phrase.join(" "));
        }
    }
    out.into_iter().take(MAX_TOPICS).collect()
}

fn followed(conn: &Connection) -> Result<Vec<String>, StoreError> {
    let mut statement = conn.prepare_cached("SELECT topic FROM followed ORDER BY topic")?;
    Ok(statement.query_map([], |r| r.get(0))?.collect::<Result<_, _>>()?)
}

pub(super) fn my_topics(
    conn: &Connection,
    store: &Store,
    now_ms: u64,
) -> Result<Vec<MyTopic>, StoreError> {
    let mut found: BTreeMap<String, Vec<TopicSource>> = BTreeMap::new();
    for topic in followed(conn)? {
        found.entry(topic).or_default().push(TopicSource::Followed);
    }
    let own = own_number(conn, store)?;
    if let Some(me) = store.inner.rosters.get(conn)?.roster().standing(&store.inner.own) {
        for tending in tends::load(conn, store)? {
            if tending.member == me.member && tending.runs(now_ms) {
                let source = TopicSource::Tended(tending.until_ms);
                found.entry(tending.topic).or_default().push(source);
            }
        }
        let keys = Keyring::load(conn)?;
        let profiles =
            load_specials(conn, &store.inner.community, &keys, Kind::Profile, Some(own))?;
        let profiles: Vec<TalkEntry> = profiles.into_iter().map(|(_, entry)| entry).collect();
        let profile = fold_people(&profiles).remove(&me.member).map(|person| person.profile);
        let text = profile.and_then(|profile| profile.ask_about).unwrap_or_default();
        for topic in listed_in(&text) {
            found.entry(topic).or_default().push(TopicSource::Profile);
        }
    }
    Ok(found.into_iter().map(|(topic, sources)| MyTopic { topic, sources }).collect())
}

impl Store {
    /// The topics that are mine, by name.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn my_topics(&self, now_ms: u64) -> Result<Vec<MyTopic>, StoreError> {
        self.inner.connections.read(|conn| my_topics(conn, self, now_ms))
    }

    /// Follows a topic, in any case, with or without `#`. False if it was followed already, or is
    /// nothing.
    ///
    /// # Errors
    ///
    /// When the store cannot be written.
    pub fn follow_topic(&self, topic: &str) -> Result<bool, StoreError> {
        let topic = topic_key(topic);
        if topic.is_empty() {
            return Ok(false);
        }
        self.inner.write(Durability::Normal, 0, |ctx| {
            let sql = "INSERT OR IGNORE INTO followed (topic) VALUES (?1)";
            Ok(ctx.conn.execute(sql, [&topic])? > 0)
        })
    }

    /// Follows a topic no more. False if it was not followed.
    ///
    /// # Errors
    ///
    /// When the store cannot be written.
    pub fn unfollow_topic(&self, topic: &str) -> Result<bool, StoreError> {
        let topic = topic_key(topic);
        self.inner.write(Durability::Normal, 0, |ctx| {
            Ok(ctx.conn.execute("DELETE FROM followed WHERE topic = ?1", [&topic])? > 0)
        })
    }

    /// The topics of the community, those with most threads first.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn topics(&self) -> Result<Vec<TopicSummary>, StoreError> {
        self.inner.connections.read(|conn| {
            let mut found: BTreeMap<String, TopicSummary> = BTreeMap::new();
            let new = |topic: &str| TopicSummary {
                topic: topic.to_owned(),
                threads: 0,
                open: 0,
                tended: Vec::new(),
            };
            let mut statement = conn.prepare_cached(
                "SELECT g.tag, count(*), sum(t.kind = 0 AND t.state <= 1)
                 FROM thread_tags g JOIN threads t ON t.t = g.t
                 WHERE t.hash IS NOT NULL GROUP BY g.tag",
            )?;
            let rows = statement.query_map([], |r| {
                Ok((r.get::<_, String>(0)?, r.get::<_, i64>(1)?, r.get::<_, i64>(2)?))
            })?;
            for row in rows {
                let (tag, threads, open) = row?;
                let summary = found.entry(topic_key(&tag)).or_insert_with_key(|topic| new(topic));
                summary.threads += threads.unsigned_abs();
                summary.open += open.unsigned_abs();
            }
            let standing = self.inner.rosters.get(conn)?;
            let is_member = |m: &MemberId| standing.roster().members().any(|r| r.id == *m);
            let mut tended: Vec<Tending> = tends::load(conn, self)?;
            tended.retain(|tending| tending.until_ms > 0 && is_member(&tending.member));
            tended.sort_by_key(|tending| std::cmp::Reverse(tending.until_ms));
            for tending in tended {
                let summary =
                    found.entry(tending.topic.clone()).or_insert_with_key(|topic| new(topic));
                summary.tended.push((tending.member, tending.until_ms));
            }
            let mut topics: Vec<TopicSummary> = found.into_values().collect();
            topics.sort_by(|a, b| b.threads.cmp(&a.threads).then_with(|| a.topic.cmp(&b.topic)));
            Ok(topics)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_a_word_are_alike() {
        for (a, b) in [
            ("convoy", "convoys"),
            ("plan", "planning"),
            ("brief", "briefings"),
            ("supply", "supplies"),
            ("counsel", "counseling"),
            ("x", "x"),
        ] {
            assert!(alike(a, b) && alike(b, a), "{a} {b}");
        }
        for (a, b) in [("car", "carbon"), ("plan", "plane"), ("is", "ises"), ("radio", "ratio")] {
            assert!(!alike(a, b) && !alike(b, a), "{a} {b}");
        }
    }

    #[test]
    fn threads_are_met_by_tag_and_by_title() {
        let mine = |topic: &str| MyTopic { topic: topic.into(), sources: vec![] };
        let matcher = Matcher::new(&[mine("convoy"), mine("night driving"), mine("c++")]);
        let about = |title: &str, tags: &[&str]| -> Vec<(String, bool)> {
            let tags: Vec<String> = tags.iter().map(|&t| t.to_owned()).collect();
            matcher.about(title, &tags).into_iter().map(|a| (a.topic, a.by_tag)).collect()
        };
        assert_eq!(about("x", &["Convoys"]), [("convoy".into(), true)]);
        assert_eq!(about("First convoys", &[]), [("convoy".into(), false)]);
        assert_eq!(about("Night-driving drills", &[]), [("night driving".into(), false)]);
        assert_eq!(about("x", &["night"]), [("night driving".into(), true)]);
        assert_eq!(about("x", &["driving-night", "night-driving-course"]), []);
        assert!(about("driving at night", &["nightshift"]).is_empty());
        assert!(about("", &[]).is_empty());
    }

    #[test]
    fn a_profile_names_topics() {
        let listed = |text: &str| listed_in(text).into_iter().collect::<Vec<_>>();
        assert_eq!(
            listed("Ask me about convoys, first counselling and 240 V radios"),
            ["240 v radios", "convoys", "first counselling"]
        );
        assert_eq!(listed("many worlds; identity"), ["identity", "many worlds"]);
        assert_eq!(
            listed("anything about planning of night convoys with trucks"),
            ["convoys", "night", "planning", "trucks"]
        );
        assert!(listed("the, and of. 12").is_empty());
    }
}
