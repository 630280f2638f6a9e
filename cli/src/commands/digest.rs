//! `lanai digest`: what is worth reading, as much as fits into some minutes. Made on this machine, from
//! what is here; marks nothing as read.
//!
//! Each section gives what it has, the most important first. Sections take turns, those that matter
//! more with more items a turn, until the words that can be read in the time are used up. What does
//! not fit is counted, with the command that shows it.

use std::collections::{BTreeSet, VecDeque};

use lanai_crdt::text::clean_line;
use lanai_node::store::{Inbox, InboxThread, Need, Newcomer, Outcome, Person as Member, Rank};
use serde::Serialize;

use super::{Context, inbox, needs, outcome, status, threads, who};
use crate::app::{App, People};
use crate::args::DigestArgs;
use crate::error::{CliError, Exit};
use crate::layout::{Indent, Style, Text};
use crate::time;
use crate::view::markdown;

/// Words that a reader takes in each minute: that of careful reading on a screen.
const WORDS_PER_MINUTE: usize = 200;
/// Words of a post that are shown.
const EXCERPT: usize = 70;
/// Words of a post in a thread that is only mentioned.
const SHORT_EXCERPT: usize = 25;
/// New posts shown of a thread.
const POSTS: usize = 3;
/// Words that an item costs beside those of its texts.
const OVERHEAD: usize = 4;

#[derive(Serialize)]
struct DigestShape {
    minutes: u32,
    since: Option<String>,
    /// Words in it.
    words: usize,
    sections: Vec<SectionShape>,
}

#[derive(Serialize)]
struct SectionShape {
    heading: &'static str,
    items: Vec<ItemShape>,
    left_out: usize,
    /// Shows what was left out.
    command: String,
}

#[derive(Serialize)]
struct ItemShape {
    id: String,
    short: String,
    title: String,
    note: String,
    texts: Vec<QuoteShape>,
}

#[derive(Serialize)]
struct QuoteShape {
    author: String,
    time: Option<String>,
    text: String,
    cut: bool,
}

/// A thread or a member, and what is said of it.
struct Item {
    id: String,
    short: String,
    title: String,
    note: String,
    quotes: Vec<Quote>,
}

/// The beginning of a post.
struct Quote {
    author: String,
    seconds: i64,
    text: String,
    cut: bool,
}

impl Item {
    fn words(&self) -> usize {
        let quotes: usize = self.quotes.iter().map(|q| words(&q.text) + words(&q.author)).sum();
        OVERHEAD + words(&self.title) + words(&self.note) + quotes
    }
}

struct Section {
    heading: &'static str,
    /// Items in each turn.
    weight: usize,
    items: Vec<Item>,
    /// What there is beside the items.
    beyond: usize,
    command: String,
}

fn words(text: &str) -> usize {
    text.split_whitespace().count()
}

/// The first words of a text on one line, and whether there are more.
fn excerpt(text: &str, most: usize) -> (String, bool) {
    let all = words(text);
    // A few words more than allowed are no reason to cut.
    let take = if all <= most + most / 5 { all } else { most };
    let taken: Vec<&str> = text.split_whitespace().take(take).collect();
    (taken.join(" "), take < all)
}

pub(super) fn run(context: &mut Context, args: &DigestArgs) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    app.catch_up()?;
    let minutes = args.minutes.get();
    let now_ms = (context.clock)();
    let span = u64::try_from(args.since.as_millis()).unwrap_or(u64::MAX);
    let since_ms = now_ms.saturating_sub(span);
    let sections = gather(context, &app, since_ms)?;
    let budget = WORDS_PER_MINUTE.saturating_mul(usize::try_from(minutes).unwrap_or(usize::MAX));
    let (sections, used) = fit(sections, budget);
    if context.ui.is_json() {
        let since = time::rfc3339(time::seconds(since_ms));
        let sections = sections.into_iter().map(shape).collect();
        let digest = DigestShape { minutes, since, words: used, sections };
        context.ui.json("digest", &digest)?;
        return Ok(Exit::Done);
    }
    if sections.iter().all(|section| section.items.is_empty()) {
        context.ui.say("nothing that you have not read, and nothing happened in that time");
        context.ui.hint("`lanai digest --since 4w` looks further back");
        return Ok(Exit::Done);
    }
    let title = format!("{}, {}", status::community_name(&app)?, time::day(context.now()));
    let reading = used.div_ceil(WORDS_PER_MINUTE);
    let minutes = status::count(u64::try_from(reading).unwrap_or(u64::MAX), "minute", "minutes");
    if context.ui.out_is_terminal() {
        context.ui.start_pager();
        let head = Text::styled(Style::Heading, title).with(Style::Dim, format!("  {minutes}"));
        context.ui.line(head)?;
        for section in &sections {
            pretty(context, section)?;
        }
        return Ok(Exit::Done);
    }
    context.ui.line(format!("# {}", markdown::inline(&title)))?;
    context.ui.blank()?;
    context.ui.line(format!(
        "*About {minutes} of reading, since {}.*",
        time::day(time::seconds(since_ms))
    ))?;
    for section in &sections {
        plain(context, section)?;
    }
    Ok(Exit::Done)
}

fn gather(context: &Context, app: &App, since_ms: u64) -> Result<Vec<Section>, CliError> {
    let people = app.people()?;
    let now_ms = (context.clock)();
    let now = context.now();
    let found = app.store().inbox(now_ms, 0)?;
    let mut texts = inbox::Texts::new(app);
    let mut news = |rank: Rank, heading, weight, most| {
        from_inbox(&found, rank, &people, &mut texts, since_ms, most).map(|(items, beyond)| {
            Section { heading, weight, items, beyond, command: "lanai inbox".into() }
        })
    };
    let for_me = news(Rank::ForMe, "For you", 3, EXCERPT)?;
    let topics = news(Rank::Topic, "Your topics", 2, EXCERPT)?;
    let watched = news(Rank::Watched, "Watched", 1, EXCERPT)?;
    let rest = news(Rank::Rest, "Elsewhere", 1, SHORT_EXCERPT)?;

    let due = outcome::due(context, app)?.into_iter().map(|due| Item {
        id: due.thread.root.full(),
        short: due.thread.root.short(),
        note: outcome::why(&due, now),
        title: due.thread.title,
        quotes: Vec::new(),
    });
    let due = Section {
        heading: "How did it go?",
        weight: 1,
        items: due.collect(),
        beyond: 0,
        command: "lanai outcome ID".into(),
    };

    let open = app.store().needs(now_ms, 0)?;
    let need = |need: &Need| Item {
        id: need.thread.root.full(),
        short: need.thread.root.short(),
        title: need.thread.title.clone(),
        note: format!(
            "{}, asked by {}",
            needs::why(need, &people, now),
            threads::author(&need.thread, &people).to_plain()
        ),
        quotes: Vec::new(),
    };
    let asks = Section {
        heading: if open.topics.is_empty() {
            "Asks that need somebody"
        } else {
            "Asks that need you"
        },
        weight: 2,
        // Where I wrote already, others are needed.
        items: open.needs.iter().filter(|n| !n.replied).map(need).collect(),
        beyond: 0,
        command: "lanai needs".into(),
    };

    let told = app.store().outcomes_since(since_ms)?;
    let told = told.iter().filter(|o| Some(o.author) != people.me());
    let outcomes = Section {
        heading: "What came of it",
        weight: 2,
        items: told.map(|outcome| of_outcome(outcome, &people)).collect(),
        beyond: 0,
        command: "lanai threads --state closed".into(),
    };

    let featured = app.store().featured_since(since_ms)?.into_iter().map(|thread| Item {
        id: thread.root.full(),
        short: thread.root.short(),
        note: format!("by {}", threads::author(&thread, &people).to_plain()),
        title: thread.title,
        quotes: Vec::new(),
    });
    let featured = Section {
        heading: "Featured by leads",
        weight: 2,
        items: featured.collect(),
        beyond: 0,
        command: "lanai threads".into(),
    };

    let members = app.store().people()?;
    let new = app.store().newcomers_since(since_ms)?;
    let newcomers = Section {
        heading: "Newcomers",
        weight: 2,
        items: new.iter().map(|new| newcomer(new, &members, &people, now)).collect(),
        beyond: 0,
        command: "lanai who".into(),
    };
    let mut sections =
        vec![for_me, due, asks, outcomes, featured, topics, watched, newcomers, rest];
    once_each(&mut sections);
    Ok(sections)
}

/// Leaves each thread in the first section that has it. What the others say of it and quote from it goes
/// along, where the first says or quotes nothing.
fn once_each(sections: &mut [Section]) {
    let mut later: Vec<Item> = Vec::new();
    let mut seen = BTreeSet::new();
    for section in sections.iter_mut() {
        let (first, again) =
            section.items.drain(..).partition(|item: &Item| seen.insert(item.id.clone()));
        section.items = first;
        later.extend(again);
    }
    for item in sections.iter_mut().flat_map(|section| &mut section.items) {
        for again in later.iter_mut().filter(|again| again.id == item.id) {
            if item.note.is_empty() {
                item.note = std::mem::take(&mut again.note);
            }
            if item.quotes.is_empty() {
                item.quotes = std::mem::take(&mut again.quotes);
            }
        }
    }
}

/// The threads of one rank. Of the rest, only what was written since then.
fn from_inbox(
    found: &Inbox,
    rank: Rank,
    people: &People,
    texts: &mut inbox::Texts<'_>,
    since_ms: u64,
    most: usize,
) -> Result<(Vec<Item>, usize), CliError> {
    let recent = |item: &InboxThread| item.posts.iter().any(|post| post.time_ms >= since_ms);
    let (listed, old): (Vec<&InboxThread>, Vec<&InboxThread>) =
        found.ranked(rank).partition(|item| rank != Rank::Rest || recent(item));
    let mut items = Vec::new();
    for item in listed {
        let shown = inbox::chosen(&item.posts, POSTS);
        let mut quotes = Vec::new();
        for post in &shown {
            let Some(text) = texts.of(&post.id)? else { continue };
            let (text, cut) = excerpt(&text, most);
            let author = people.shown(&post.author).to_plain();
            quotes.push(Quote { author, seconds: time::seconds(post.time_ms), text, cut });
        }
        let mut note = vec![inbox::reason(item)];
        let more = item.thread.unread.saturating_sub(u64::try_from(shown.len()).unwrap_or(0));
        if more > 0 {
            note.push(status::count(more, "more new post", "more new posts"));
        }
        note.retain(|part| !part.is_empty());
        items.push(Item {
            id: item.thread.root.full(),
            short: item.thread.root.short(),
            title: item.thread.title.clone(),
            note: note.join(", "),
            quotes,
        });
    }
    Ok((items, old.len()))
}

fn of_outcome(outcome: &Outcome, people: &People) -> Item {
    let (text, cut) = excerpt(outcome.text.as_deref().unwrap_or_default(), EXCERPT);
    let asked = people.shown(&outcome.thread.author).to_plain();
    let author = people.shown(&outcome.author).to_plain();
    Item {
        id: outcome.thread.root.full(),
        short: outcome.thread.root.short(),
        title: outcome.thread.title.clone(),
        note: if author == asked { String::new() } else { format!("asked by {asked}") },
        quotes: vec![Quote { author, seconds: time::seconds(outcome.time_ms), text, cut }],
    }
}

fn newcomer(new: &Newcomer, members: &[Member], people: &People, now: i64) -> Item {
    let member = members.iter().find(|member| member.member == new.member);
    let about: Vec<String> = member
        .map(who::fields)
        .unwrap_or_default()
        .into_iter()
        .filter(|(label, _)| *label != "reach me")
        .map(|(label, text)| format!("{label}: {}", excerpt(text, SHORT_EXCERPT).0))
        .collect();
    let came = time::ago(time::seconds(new.admitted_ms), now);
    let mut note = vec![format!("came {came}")];
    note.extend(about);
    Item {
        id: new.member.full(),
        short: new.member.short(),
        title: people.shown(&new.member).to_plain(),
        note: note.join("; "),
        quotes: Vec::new(),
    }
}

/// Keeps what fits into so many words; the rest is counted. Every section that has anything gives at
/// least one item. Gives the sections with anything, and the words used.
fn fit(sections: Vec<Section>, budget: usize) -> (Vec<Section>, usize) {
    let mut used = 0;
    let mut waiting: Vec<VecDeque<Item>> = Vec::new();
    let mut out: Vec<Section> = Vec::new();
    for mut section in sections.into_iter().filter(|s| !s.items.is_empty()) {
        let mut items: VecDeque<Item> = std::mem::take(&mut section.items).into();
        if let Some(first) = items.pop_front() {
            used += first.words();
            section.items.push(first);
        }
        waiting.push(items);
        out.push(section);
    }
    let mut full = vec![false; out.len()];
    while full.iter().any(|full| !full) {
        let turns = out.iter_mut().zip(&mut waiting).zip(&mut full);
        for ((section, items), full) in turns.filter(|(_, full)| !**full) {
            for _ in 0..section.weight {
                let fits = items.front().is_some_and(|item| used + item.words() <= budget);
                let Some(item) = (if fits { items.pop_front() } else { None }) else {
                    *full = true;
                    break;
                };
                used += item.words();
                section.items.push(item);
            }
        }
    }
    for (section, items) in out.iter_mut().zip(&waiting) {
        section.beyond += items.len();
    }
    (out, used)
}

fn shape(section: Section) -> SectionShape {
    let quote = |quote: Quote| QuoteShape {
        author: quote.author,
        time: time::rfc3339(quote.seconds),
        text: quote.text,
        cut: quote.cut,
    };
    let item = |item: Item| ItemShape {
        id: item.id,
        short: item.short,
        title: item.title,
        note: item.note,
        texts: item.quotes.into_iter().map(quote).collect(),
    };
    SectionShape {
        heading: section.heading,
        items: section.items.into_iter().map(item).collect(),
        left_out: section.beyond,
        command: section.command,
    }
}

fn left_out(section: &Section) -> Option<String> {
    let count = u64::try_from(section.beyond).unwrap_or(u64::MAX);
    (count > 0).then(|| format!("{count} more: {}", section.command))
}

fn pretty(context: &mut Context, section: &Section) -> Result<(), CliError> {
    let now = context.now();
    context.ui.blank()?;
    context.ui.line(Text::styled(Style::Heading, section.heading))?;
    for item in &section.items {
        let title = if item.title.is_empty() { "(withdrawn)" } else { &item.title };
        let mut head = Text::styled(Style::Id, &item.short).plain("  ").plain(title);
        if !item.note.is_empty() {
            head.push(Style::Dim, format!("  {}", item.note));
        }
        context.ui.indented(head, &Indent { first: Text::new(), rest: Text::from("    ") })?;
        for quote in &item.quotes {
            let mut line = Text::styled(Style::Name, &quote.author)
                .with(Style::Dim, format!(", {}: ", time::ago(quote.seconds, now)))
                .plain(&quote.text);
            if quote.cut {
                line.push(Style::Dim, " …");
            }
            context.ui.indented(line, &Indent::spaces(4))?;
        }
    }
    if let Some(more) = left_out(section) {
        context.ui.line(Text::styled(Style::Dim, more))?;
    }
    Ok(())
}

fn plain(context: &mut Context, section: &Section) -> Result<(), CliError> {
    context.ui.blank()?;
    context.ui.line(format!("## {}", section.heading))?;
    context.ui.blank()?;
    for item in &section.items {
        let title = if clean_line(&item.title).trim().is_empty() {
            "(withdrawn)".to_owned()
        } else {
            markdown::inline(&item.title)
        };
        let mut line = format!("- **{title}** ({})", item.short);
        if !item.note.is_empty() {
            line.push_str(&format!(": {}", markdown::inline(&item.note)));
        }
        context.ui.line(line)?;
        for quote in &item.quotes {
            let dots = if quote.cut { " …" } else { "" };
            context.ui.line(format!(
                "  - {}, {}: {}{dots}",
                markdown::inline(&quote.author),
                time::day(quote.seconds),
                markdown::inline(&quote.text)
            ))?;
        }
    }
    if let Some(more) = left_out(section) {
        context.ui.blank()?;
        context.ui.line(format!("*{more}*"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(heading: &'static str, weight: usize, items: usize, words: usize) -> Section {
        let item = |_| Item {
            id: String::new(),
            short: String::new(),
            title: vec!["word"; words - OVERHEAD].join(" "),
            note: String::new(),
            quotes: Vec::new(),
        };
        let items = (0..items).map(item).collect();
        Section { heading, weight, items, beyond: 1, command: String::new() }
    }

    fn counts(sections: &[Section]) -> Vec<(usize, usize)> {
        sections.iter().map(|s| (s.items.len(), s.beyond)).collect()
    }

    #[test]
    fn what_fits_is_kept_and_the_rest_is_counted() {
        let sections =
            || vec![section("a", 3, 20, 50), section("none", 1, 0, 50), section("b", 1, 20, 50)];
        let (kept, used) = fit(sections(), 500);
        assert_eq!((counts(&kept), used), (vec![(7, 14), (3, 18)], 500));
        // Every section says something, however short the time.
        let (kept, used) = fit(sections(), 1);
        assert_eq!((counts(&kept), used), (vec![(1, 20), (1, 20)], 100));
        let (kept, used) = fit(sections(), 100_000);
        assert_eq!((counts(&kept), used), (vec![(20, 1), (20, 1)], 2000));
    }

    #[test]
    fn excerpts_are_cut_at_words() {
        assert_eq!(excerpt("a b\n c", 2), ("a b".into(), true));
        assert_eq!(excerpt("a b c d e f", 5), ("a b c d e f".into(), false));
        assert_eq!(excerpt("", 5), (String::new(), false));
    }
}
