//! `lanai topic`: topics that are followed (local) and looked after (published).

use std::collections::BTreeMap;
use std::time::Duration;

use lanai_crdt::payload::{Body, Tend};
use lanai_node::store::{MyTopic, NewEntry, Tending, TopicSource, TopicSummary};
use serde::Serialize;

use super::{Context, publish};
use crate::app::{App, People, Person};
use crate::args::TopicCommand;
use crate::error::{CliError, Exit};
use crate::layout::{Style, Table, Text};
use crate::time;

/// Topics of the community that are listed without `--all`.
const MOST_USED: usize = 20;

#[derive(Serialize)]
struct Topics {
    mine: Vec<Mine>,
    /// Terms of the reader that are over.
    expired: Vec<Term>,
    topics: Vec<Topic>,
}

#[derive(Serialize)]
struct Mine {
    topic: String,
    followed: bool,
    profile: bool,
    tended_until: Option<String>,
}

#[derive(Serialize)]
struct Term {
    topic: String,
    until: Option<String>,
}

#[derive(Serialize)]
struct Topic {
    topic: String,
    threads: u64,
    open: u64,
    tended: Vec<Tends>,
}

#[derive(Serialize)]
struct Tends {
    member: Person,
    until: Option<String>,
    expired: bool,
}

#[derive(Serialize)]
struct Changed {
    followed: Vec<String>,
}

pub(super) fn run(context: &mut Context, command: &TopicCommand) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    app.catch_up()?;
    match command {
        TopicCommand::Follow { topics } => follow(context, &app, topics, true),
        TopicCommand::Unfollow { topics } => follow(context, &app, topics, false),
        TopicCommand::List { all } => list(context, &app, *all),
        TopicCommand::Tend { topic, until } => tend(context, &app, topic, Some(*until)),
        TopicCommand::Done { topic } => tend(context, &app, topic, None),
    }
}

fn follow(context: &mut Context, app: &App, typed: &[String], on: bool) -> Result<Exit, CliError> {
    for topic in publish::tags(typed)? {
        let changed = match on {
            true => app.store().follow_topic(&topic)?,
            false => app.store().unfollow_topic(&topic)?,
        };
        let said = match (on, changed) {
            (true, true) => "followed",
            (true, false) => "followed already",
            (false, true) => "not followed any more",
            (false, false) => "was not followed",
        };
        context.ui.say(Text::styled(Style::Tag, &topic).plain(": ").plain(said));
    }
    let mine = app.store().my_topics((context.clock)())?;
    let followed = mine.into_iter().filter(|t| t.sources.contains(&TopicSource::Followed));
    let followed: Vec<String> = followed.map(|topic| topic.topic).collect();
    if context.ui.is_json() {
        context.ui.json("followed", &Changed { followed })?;
    } else if on {
        context.ui.hint("`lanai needs` lists open asks about your topics");
    }
    Ok(Exit::Done)
}

/// Volunteers, renews, or ends it.
fn tend(
    context: &mut Context,
    app: &App,
    typed: &str,
    span: Option<Duration>,
) -> Result<Exit, CliError> {
    let topics = publish::tags(&[typed.to_owned()])?;
    let [topic] = topics.as_slice() else { return Err(CliError::usage("name one topic")) };
    let me = app.me()?;
    let now_ms = (context.clock)();
    let before = app.store().tendings()?.into_iter().find(|t| t.member == me && t.topic == *topic);
    if span.is_none() && before.as_ref().is_none_or(|before| before.until_ms == 0) {
        context.ui.say(format!("you do not look after {topic}"));
        return report(context, topic, None);
    }
    let until = span.map_or(0, |span| {
        now_ms.saturating_add(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
    });
    let renewed = before.as_ref().is_some_and(|before| before.runs(now_ms));
    let refs = before.map(|before| before.heads).unwrap_or_default();
    let body = Body::Tend(Tend { topic: topic.clone(), until });
    app.publish_one(context, NewEntry::new(body, refs))?;
    let day = time::day(time::seconds(until));
    context.ui.say(match (span, renewed) {
        (None, _) => format!("you look after {topic} no more"),
        (Some(_), true) => format!("you look after {topic} until {day} now"),
        (Some(_), false) => format!("you look after {topic} until {day}; everybody sees it"),
    });
    report(context, topic, span.map(|_| until))
}

fn report(context: &mut Context, topic: &str, until: Option<u64>) -> Result<Exit, CliError> {
    if context.ui.is_json() {
        let until = until.and_then(|ms| time::rfc3339(time::seconds(ms)));
        context.ui.json("term", &Term { topic: topic.to_owned(), until })?;
    }
    Ok(Exit::Done)
}

fn list(context: &mut Context, app: &App, all: bool) -> Result<Exit, CliError> {
    let now_ms = (context.clock)();
    let people = app.people()?;
    let mine = app.store().my_topics(now_ms)?;
    let mut topics = app.store().topics()?;
    let me = people.me();
    let over = |t: &Tending| Some(t.member) == me && t.until_ms > 0 && !t.runs(now_ms);
    let expired: Vec<Tending> = app.store().tendings()?.into_iter().filter(over).collect();
    if context.ui.is_json() {
        return json(context, &people, &mine, &expired, &topics);
    }
    if mine.is_empty() && topics.is_empty() {
        context.ui.say("there are no topics yet");
        context.ui.hint("`lanai topic follow TOPIC`; asks get theirs with `lanai ask -t TAG`");
        return Ok(Exit::Done);
    }
    let counts: BTreeMap<&str, &TopicSummary> =
        topics.iter().map(|topic| (topic.topic.as_str(), topic)).collect();
    context.ui.start_pager();
    if !mine.is_empty() || !expired.is_empty() {
        let mut table = Table::new().column("YOUR TOPIC").flexible("WHY").numbers("OPEN ASKS");
        for topic in &mine {
            let open = counts.get(topic.topic.as_str()).map_or(0, |summary| summary.open);
            table.row([
                Text::styled(Style::Tag, &topic.topic),
                Text::from(why_mine(topic)),
                Text::from(open.to_string()),
            ]);
        }
        for term in &expired {
            let day = time::day(time::seconds(term.until_ms));
            table.row([
                Text::styled(Style::Dim, &term.topic),
                Text::styled(Style::Warn, format!("you looked after it until {day}")),
                Text::new(),
            ]);
        }
        context.ui.table(&table)?;
    }
    let used = topics.len();
    if !all {
        topics.retain(|topic| topic.threads > 0 || !topic.tended.is_empty());
        topics.sort_by_key(|topic| topic.tended.is_empty());
        topics.truncate(MOST_USED);
    }
    if !topics.is_empty() {
        if !mine.is_empty() || !expired.is_empty() {
            context.ui.blank()?;
        }
        let table = community(&topics, &people, now_ms);
        context.ui.table(&table)?;
    }
    context.ui.end_pager()?;
    if let Some(term) = expired.first() {
        context.ui.hint(format!("`lanai topic tend \"{}\"` renews it", term.topic));
    }
    if topics.len() < used {
        context.ui.hint(format!("--all lists all {used}"));
    }
    if mine.is_empty() {
        context.ui.hint("`lanai topic follow TOPIC` puts what is about it before the rest");
    }
    Ok(Exit::Done)
}

fn why_mine(topic: &MyTopic) -> String {
    let why = topic.sources.iter().map(|source| match source {
        TopicSource::Followed => "you follow it".to_owned(),
        TopicSource::Tended(until) => {
            format!("you look after it until {}", time::day(time::seconds(*until)))
        }
        TopicSource::Profile => "your profile says to ask you".to_owned(),
    });
    why.collect::<Vec<_>>().join(", ")
}

fn community(topics: &[TopicSummary], people: &People, now_ms: u64) -> Table {
    let mut table = Table::new()
        .column("TOPIC")
        .numbers("THREADS")
        .numbers("OPEN ASKS")
        .flexible("LOOKED AFTER BY");
    for topic in topics {
        let mut by = Text::new();
        for (place, (member, until)) in topic.tended.iter().enumerate() {
            let runs = *until > now_ms;
            let day = time::day(time::seconds(*until));
            by = by.plain(if place == 0 { "" } else { ", " }).then(people.shown_to_me(member));
            let (style, words) =
                if runs { (Style::Dim, "until") } else { (Style::Warn, "expired") };
            by.push(style, format!(" ({words} {day})"));
        }
        table.row([
            Text::styled(Style::Tag, &topic.topic),
            Text::from(topic.threads.to_string()),
            Text::from(topic.open.to_string()),
            by,
        ]);
    }
    table
}

fn json(
    context: &mut Context,
    people: &People,
    mine: &[MyTopic],
    expired: &[Tending],
    topics: &[TopicSummary],
) -> Result<Exit, CliError> {
    let now_ms = (context.clock)();
    let date = |ms: u64| time::rfc3339(time::seconds(ms));
    let tended = |topic: &MyTopic| {
        topic.sources.iter().find_map(|source| match source {
            TopicSource::Tended(until) => date(*until),
            _ => None,
        })
    };
    let shape = Topics {
        mine: mine
            .iter()
            .map(|topic| Mine {
                topic: topic.topic.clone(),
                followed: topic.sources.contains(&TopicSource::Followed),
                profile: topic.sources.contains(&TopicSource::Profile),
                tended_until: tended(topic),
            })
            .collect(),
        expired: expired
            .iter()
            .map(|t| Term { topic: t.topic.clone(), until: date(t.until_ms) })
            .collect(),
        topics: topics
            .iter()
            .map(|topic| Topic {
                topic: topic.topic.clone(),
                threads: topic.threads,
                open: topic.open,
                tended: topic
                    .tended
                    .iter()
                    .map(|(member, until)| Tends {
                        member: people.person(member),
                        until: date(*until),
                        expired: *until <= now_ms,
                    })
                    .collect(),
            })
            .collect(),
    };
    context.ui.json("topics", &shape)?;
    Ok(Exit::Done)
}
