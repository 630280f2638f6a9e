//! `lanai needs`: who needs me. Open asks about the reader's topics, the most urgent first, each with
//! why it is there.

use lanai_node::store::{Need, Needs};
use serde::Serialize;

use super::{Context, inbox, status, threads};
use crate::app::{App, People};
use crate::args::NeedsArgs;
use crate::error::{CliError, Exit};
use crate::layout::{Indent, Style, Table, Text};
use crate::time;
use crate::view::shape::SummaryShape;

/// Seconds of a day.
const DAY: i64 = 86_400;
/// Days for which a date that has passed is called overdue.
const OVERDUE_DAYS: i64 = 30;
/// Days ahead for which a date is also told as a distance.
const NEAR_DAYS: i64 = 14;

#[derive(Serialize)]
struct NeedsShape {
    topics: Vec<String>,
    needs: Vec<NeedShape>,
    /// Beyond the limit.
    more: u64,
    /// Open asks about other topics.
    elsewhere: u64,
    /// Those of them that nobody replied to.
    unanswered: u64,
    /// In muted and snoozed threads.
    hidden: u64,
}

#[derive(Serialize)]
pub(super) struct NeedShape {
    thread: SummaryShape,
    /// Why it is here, in words.
    why: String,
    overdue: bool,
    replied: bool,
    about: Vec<AboutShape>,
}

#[derive(Serialize)]
struct AboutShape {
    topic: String,
    /// `tag` or `title`.
    by: &'static str,
}

impl NeedShape {
    pub(super) fn of(need: &Need, people: &People, now_ms: u64) -> Self {
        let by = need.thread.ask.as_ref().and_then(|ask| ask.need_by_ms);
        let about = need.about.iter().map(|about| AboutShape {
            topic: about.topic.clone(),
            by: if about.by_tag { "tag" } else { "title" },
        });
        Self {
            thread: SummaryShape::of(&need.thread, people),
            why: why(need, people, time::seconds(now_ms)),
            overdue: by.is_some_and(|by| by < now_ms),
            replied: need.replied,
            about: about.collect(),
        }
    }
}

/// When something is needed: `by tomorrow 18:00 UTC`, `by 2026-03-06 (in 3 days)`, `overdue since
/// yesterday`. A time that ends a day, as dates without a time do, is shown as the day.
pub(super) fn by_when(need_by_ms: u64, now: i64) -> String {
    let by = time::seconds(need_by_ms);
    let days = by.div_euclid(DAY) - now.div_euclid(DAY);
    let of_day = by.rem_euclid(DAY);
    let clock = match of_day == DAY - 1 {
        true => String::new(),
        false => format!(" {:02}:{:02} UTC", of_day / 3600, of_day / 60 % 60),
    };
    let date = time::day(by);
    match days {
        _ if by < now && days < -OVERDUE_DAYS => format!("was needed by {date}"),
        -1 if by < now => "overdue since yesterday".into(),
        _ if by < now => format!("overdue since {}", if days == 0 { "today" } else { &date }),
        0 => format!("by today{clock}"),
        1 => format!("by tomorrow{clock}"),
        2..=NEAR_DAYS => format!("by {date}{clock} (in {days} days)"),
        _ => format!("by {date}{clock}"),
    }
}

/// Why an ask is listed, in words.
pub(super) fn why(need: &Need, people: &People, now: i64) -> String {
    let ask = need.thread.ask.clone().unwrap_or_default();
    let mut parts = Vec::new();
    parts.extend(ask.need_by_ms.map(|by| by_when(by, now)));
    parts.push(match ask.replies {
        0 => "no reply yet".into(),
        n => status::count(n, "reply", "replies"),
    });
    if !ask.workers.is_empty() {
        let names: Vec<String> =
            ask.workers.iter().map(|worker| people.shown(worker).to_plain()).collect();
        parts.push(format!("{} at it", names.join(" and ")));
    }
    if need.replied {
        parts.push("you replied".into());
    }
    let topics = inbox::topics(&need.about);
    if !topics.is_empty() {
        parts.push(topics);
    }
    parts.join(", ")
}

pub(super) fn run(context: &mut Context, args: &NeedsArgs) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    app.catch_up()?;
    let people = app.people()?;
    let now_ms = (context.clock)();
    let limit = args.limit.max(1);
    let needs = match args.all {
        true => app.store().needs_of_all(now_ms, limit)?,
        false => app.store().needs(now_ms, limit)?,
    };
    if context.ui.is_json() {
        let shape = NeedsShape {
            topics: needs.topics.iter().map(|topic| topic.topic.clone()).collect(),
            needs: needs.needs.iter().map(|n| NeedShape::of(n, &people, now_ms)).collect(),
            more: needs.more,
            elsewhere: needs.elsewhere,
            unanswered: needs.unanswered,
            hidden: needs.hidden,
        };
        context.ui.json("needs", &shape)?;
        return Ok(Exit::Done);
    }
    if needs.needs.is_empty() {
        context.ui.say("no open ask needs you");
    } else if context.ui.out_is_terminal() {
        list(context, &people, &needs)?;
    } else {
        let table = table(&needs, &people, context.now());
        context.ui.table(&table)?;
    }
    say_rest(context, args, &needs);
    Ok(Exit::Done)
}

fn list(context: &mut Context, people: &People, needs: &Needs) -> Result<(), CliError> {
    let now = context.now();
    context.ui.start_pager();
    for need in &needs.needs {
        let overdue = need.thread.ask.as_ref().and_then(|ask| ask.need_by_ms);
        let overdue = overdue.is_some_and(|by| time::seconds(by) < now);
        let title = if need.thread.unread > 0 { Style::Heading } else { Style::Plain };
        let head = Text::styled(Style::Id, need.thread.root.short())
            .plain("  ")
            .with(title, &need.thread.title);
        context.ui.indented(head, &Indent::default())?;
        let style = if overdue && !need.replied { Style::Warn } else { Style::Plain };
        let asked = time::ago(time::seconds(need.thread.started_ms), now);
        let line = Text::styled(style, why(need, people, now))
            .with(Style::Dim, " · asked by ")
            .then(threads::author(&need.thread, people))
            .with(Style::Dim, format!(", {asked}"));
        context.ui.indented(line, &Indent::spaces(4))?;
    }
    context.ui.end_pager()
}

fn table(needs: &Needs, people: &People, now: i64) -> Table {
    let mut table = Table::new()
        .column("ID")
        .column("NEEDED BY")
        .numbers("REPLIES")
        .column("BY")
        .column("TITLE")
        .column("WHY");
    for need in &needs.needs {
        let ask = need.thread.ask.clone().unwrap_or_default();
        let by = ask.need_by_ms.and_then(|by| time::rfc3339(time::seconds(by)));
        table.row([
            Text::from(need.thread.root.full()),
            Text::from(by.unwrap_or_default()),
            Text::from(ask.replies.to_string()),
            threads::author(&need.thread, people),
            Text::from(&need.thread.title),
            Text::from(why(need, people, now)),
        ]);
    }
    table
}

fn say_rest(context: &mut Context, args: &NeedsArgs, needs: &Needs) {
    let asks = |n: u64| status::count(n, "open ask", "open asks");
    if needs.more > 0 {
        context.ui.say(format!("and {} more; -n lists more of them", asks(needs.more)));
    }
    if needs.hidden > 0 {
        context.ui.say(format!("muted or snoozed: {}", asks(needs.hidden)));
    }
    if needs.elsewhere > 0 {
        let unanswered = match needs.unanswered {
            0 => String::new(),
            n => format!(", {n} without any reply"),
        };
        let said = format!(
            "{} about other topics{unanswered}; --all lists them too",
            asks(needs.elsewhere)
        );
        context.ui.say(said);
    }
    if needs.topics.is_empty() && !args.all {
        context
            .ui
            .hint("these are all open asks; `lanai topic follow TOPIC` says what yours are about");
    } else if let Some(first) = needs.needs.first() {
        let id = first.thread.root.short();
        context.ui.hint(format!("lanai read {id} · lanai work {id} · lanai reply {id}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_told_as_people_say_them() {
        // 2023-11-14 22:13:20
        let now = 1_700_000_000;
        let midnight = 1_699_920_000;
        for (by, text) in [
            (midnight + 86_399, "by today"),
            (midnight + 23 * 3600, "by today 23:00 UTC"),
            (midnight + DAY + 18 * 3600, "by tomorrow 18:00 UTC"),
            (midnight + 3 * DAY - 1, "by 2023-11-16 (in 2 days)"),
            (midnight + 30 * DAY - 1, "by 2023-12-13"),
            (midnight + 3600, "overdue since today"),
            (midnight - 1, "overdue since yesterday"),
            (midnight - DAY, "overdue since yesterday"),
            (midnight - DAY - 1, "overdue since 2023-11-12"),
            (midnight - 60 * DAY, "was needed by 2023-09-15"),
            (i64::MAX / 2000, "by date unclear 00:23 UTC"),
        ] {
            let ms = u64::try_from(by).unwrap() * 1000;
            let told = by_when(ms, now);
            if text.contains("unclear") {
                assert!(told.starts_with("by date unclear"), "{told}");
            } else {
                assert_eq!(told, text);
            }
        }
    }
}
