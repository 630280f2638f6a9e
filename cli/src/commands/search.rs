//! `lanai search`: finds posts, pages and people by their words.

use std::collections::BTreeMap;
use std::ops::Range;

use lanai_crdt::id::EntryId;
use lanai_crdt::thread::PostText;
use lanai_node::store::{
    HitKind, SearchHit, SearchOrder, SearchQuery, SearchResults, SearchState, ThreadView, span,
};
use serde::Serialize;

use super::{Context, status, threads};
use crate::app::{App, People, Person};
use crate::args::SearchArgs;
use crate::error::{CliError, Exit};
use crate::layout::{Indent, Style, Table, Text};
use crate::time;

/// Documents that the store counts; so many may be more.
const MAX_COUNTED: usize = 1_000;

#[derive(Serialize)]
struct Found {
    query: String,
    /// Posts, pages and people that hold all words, up to 1,000.
    count: Option<usize>,
    /// Entries that are here and not in the index yet: with some of them, what is found is not all.
    unindexed: u64,
    corrected: Vec<Corrected>,
    ignored: Vec<String>,
    hits: Vec<Hit>,
}

#[derive(Serialize)]
struct Corrected {
    typed: String,
    searched: String,
}

#[derive(Serialize)]
struct Hit {
    id: String,
    short: String,
    kind: &'static str,
    thread: String,
    title: String,
    /// Where the words are: byte ranges `[from, to)` of the UTF-8 text.
    title_matches: Vec<[usize; 2]>,
    state: Option<&'static str>,
    author: Person,
    origin: Option<String>,
    time: Option<String>,
    time_ms: u64,
    snippet: String,
    matches: Vec<[usize; 2]>,
    more_in_thread: usize,
    partial: bool,
    text: Option<String>,
}

pub(super) fn run(context: &mut Context, args: &SearchArgs) -> Result<Exit, CliError> {
    let query = query(context, args)?;
    let app = App::open(context)?;
    let people = app.people()?;
    let unindexed = say_lag(context, &app)?;
    let found = app.store().search(&query)?;
    for filter in &found.ignored {
        context.ui.warn(format!("\"{filter}\" is not understood and left out"));
    }
    for (typed, searched) in &found.corrected {
        context.ui.say(format!("searched for «{searched}» instead of «{typed}»"));
    }
    if context.ui.is_json() {
        let corrected = found
            .corrected
            .iter()
            .map(|(typed, searched)| Corrected { typed: typed.clone(), searched: searched.clone() })
            .collect();
        let (count, ignored) = (found.count, found.ignored.clone());
        let hits = whole(&app, &people, found.hits)?;
        let query = query.text;
        context.ui.json("search", &Found { query, count, unindexed, corrected, ignored, hits })?;
        return Ok(Exit::Done);
    }
    if found.hits.is_empty() {
        context.ui.say("nothing found");
        context.ui.hint("all words must occur; part of a word is written as conv*");
        return Ok(Exit::Done);
    }
    if !context.ui.out_is_terminal() {
        let table = table(&found.hits, &people, context.now());
        context.ui.table(&table)?;
        return Ok(Exit::Done);
    }
    context.ui.start_pager();
    let mut partial = false;
    for (place, hit) in found.hits.iter().enumerate() {
        if place > 0 {
            context.ui.blank()?;
        }
        if hit.partial && !partial {
            context.ui.line(Text::styled(Style::Dim, "With some of the words:"))?;
            context.ui.blank()?;
            partial = true;
        }
        show(context, &people, hit)?;
    }
    context.ui.end_pager()?;
    tell_more(context, &query, &found);
    Ok(Exit::Done)
}

/// What a person may do next.
fn tell_more(context: &mut Context, query: &SearchQuery, found: &SearchResults) {
    let count = match found.count {
        Some(count) if count >= MAX_COUNTED => format!("{count} or more match"),
        Some(1) => "1 matches".to_owned(),
        Some(count) => format!("{count} match"),
        None => String::new(),
    };
    let mut hints = Vec::new();
    if found.hits.len() >= query.limit {
        hints.push("-n shows more");
    }
    if query.order == SearchOrder::Newest && found.count.is_some_and(|count| count > 5) {
        hints.push("these are the newest; --best ranks them");
    }
    if let Some(hit) = found.hits.first() {
        let next = match hit.kind {
            HitKind::Person => "lanai who NAME".to_owned(),
            _ => format!("lanai read {}", hit.post.short()),
        };
        let mut line = vec![count, hints.join("; "), next];
        line.retain(|part| !part.is_empty());
        context.ui.hint(line.join(" · "));
    }
}

fn query(context: &Context, args: &SearchArgs) -> Result<SearchQuery, CliError> {
    let now_ms = (context.clock)();
    let time = |text: &Option<String>, option: &str| match text {
        None => Ok(None),
        Some(text) => span(text, now_ms).map(Some).ok_or_else(|| {
            CliError::usage(format!("\"{text}\" is no time for {option}"))
                .hint("write 2001, 2001-05, 2001-05-12, or so long ago: 12h, 30d, 6m, 1y")
        }),
    };
    let state = match &args.state {
        None => None,
        Some(text) => Some(SearchState::parse(text).ok_or_else(|| {
            CliError::usage(format!("there is no state \"{text}\""))
                .hint("open, working, answered, closed or outcome")
        })?),
    };
    let query = SearchQuery {
        text: joined(&args.words),
        author: args.author.clone(),
        tags: args.tags.clone(),
        since_ms: time(&args.since, "--since")?.map(|(from, _)| from),
        until_ms: time(&args.until, "--until")?.map(|(_, to)| to),
        state,
        in_title: args.title,
        order: if args.best { SearchOrder::Best } else { SearchOrder::Newest },
        limit: args.limit.max(1),
        now_ms,
    };
    let nothing = SearchQuery {
        order: query.order,
        limit: query.limit,
        now_ms,
        in_title: query.in_title,
        ..SearchQuery::default()
    };
    if query == nothing {
        return Err(CliError::usage("there is nothing to look for")
            .hint("give words, or a filter such as --tag convoy"));
    }
    Ok(query)
}

/// What the shell took apart is one query; a word with spaces in it was quoted.
fn joined(words: &[String]) -> String {
    let quoted = |word: &String| {
        let is_phrase = word.contains(char::is_whitespace) && !word.contains('"');
        if !is_phrase {
            return word.clone();
        }
        // `by:"Ann Lee"` reaches us as one word without its quotes.
        match word.split_once(':').filter(|(name, _)| FILTERS.contains(name)) {
            Some((name, value)) => format!("{name}:\"{value}\""),
            None => format!("\"{word}\""),
        }
    };
    words.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

/// Filters whose value may have spaces.
const FILTERS: [&str; 3] = ["by", "author", "tag"];

/// Posts that are here and not searched yet are spoken of.
pub(super) fn say_lag(context: &mut Context, app: &App) -> Result<u64, CliError> {
    let left = app.catch_up()?;
    if left > 0 {
        context
            .ui
            .warn(format!("{left} entries are not in the index yet; search again in a while"));
    }
    status::say_before(context, app)?;
    Ok(left)
}

fn show(context: &mut Context, people: &People, hit: &SearchHit) -> Result<(), CliError> {
    let when = time::ago(time::seconds(hit.time_ms), context.now());
    let title = match hit.title.is_empty() {
        true => Text::styled(Style::Heading, "(withdrawn)"),
        false => marked(&hit.title, &hit.title_matches, Style::Heading),
    };
    let id = if hit.kind == HitKind::Person { hit.author.short() } else { hit.post.short() };
    let mut head = Text::styled(Style::Id, id).plain("  ").then(title);
    if let Some(what) = kind_shown(hit.kind) {
        head.push(Style::Good, format!("  {what}"));
    }
    context.ui.line(head)?;
    let indent = Indent::spaces(2);
    if hit.kind != HitKind::Person {
        let mut by = author(hit, people);
        if hit.origin.is_none() && people.me() == Some(hit.author) {
            by.push(Style::Dim, " (you)");
        }
        let mut by = by.with(Style::Dim, format!(", {when}"));
        if let Some(state) = hit.state {
            by.push(Style::Dim, format!(", {}", state.word()));
        }
        if hit.more > 0 {
            by.push(Style::Dim, format!(", {} more in the thread", hit.more));
        }
        context.ui.indented(by, &indent)?;
    }
    context.ui.indented(marked(&hit.snippet, &hit.matches, Style::Plain), &indent)
}

/// What a hit is, where it is more than a post.
fn kind_shown(kind: HitKind) -> Option<&'static str> {
    match kind {
        HitKind::Post => None,
        HitKind::Outcome => Some("outcome"),
        HitKind::PartOfAnswer => Some("part of the answer"),
        HitKind::AnswerPage => Some("answer"),
        HitKind::QuestionPage => Some("question"),
        HitKind::Person => Some("person"),
    }
}

fn kind_word(kind: HitKind) -> &'static str {
    match kind {
        HitKind::Post => "post",
        HitKind::Outcome => "outcome",
        HitKind::PartOfAnswer => "part-of-answer",
        HitKind::AnswerPage => "answer-page",
        HitKind::QuestionPage => "question-page",
        HitKind::Person => "person",
    }
}

fn author(hit: &SearchHit, people: &People) -> Text {
    match &hit.origin {
        Some(name) => Text::styled(Style::Name, name),
        None => people.shown(&hit.author),
    }
}

/// A text with its matches marked.
pub(super) fn marked(line: &str, matches: &[Range<usize>], style: Style) -> Text {
    let mut text = Text::new();
    let mut at = 0;
    for range in matches {
        if let (Some(before), Some(hit)) = (line.get(at..range.start), line.get(range.clone())) {
            text.push(style, before);
            text.push(Style::Match, hit);
            at = range.end;
        }
    }
    text.push(style, line.get(at..).unwrap_or_default());
    text
}

pub(super) fn ranges(matches: &[Range<usize>]) -> Vec<[usize; 2]> {
    matches.iter().map(|range| [range.start, range.end]).collect()
}

fn table(hits: &[SearchHit], people: &People, now: i64) -> Table {
    let mut table =
        Table::new().column("ID").column("TIME").column("BY").column("TITLE").column("TEXT");
    for hit in hits {
        let id = if hit.kind == HitKind::Person { hit.author.full() } else { hit.post.full() };
        table.row([
            Text::styled(Style::Id, id),
            Text::from(threads::when(hit.time_ms, now, false)),
            author(hit, people),
            Text::from(&hit.title),
            Text::from(&hit.snippet),
        ]);
    }
    table
}

/// The hits with the whole text of each post.
fn whole(app: &App, people: &People, hits: Vec<SearchHit>) -> Result<Vec<Hit>, CliError> {
    let mut opened: BTreeMap<EntryId, Option<ThreadView>> = BTreeMap::new();
    let mut out = Vec::with_capacity(hits.len());
    for hit in hits {
        let is_post = matches!(hit.kind, HitKind::Post | HitKind::Outcome | HitKind::PartOfAnswer);
        if is_post && !opened.contains_key(&hit.thread) {
            opened.insert(hit.thread, app.thread(&hit.post)?);
        }
        let view = opened.get(&hit.thread).and_then(Option::as_ref).filter(|_| is_post);
        let post = view.and_then(|view| {
            view.thread.posts.iter().find(|p| p.id == hit.post || p.aliases.contains(&hit.post))
        });
        let text = post.and_then(|post| match &post.text {
            PostText::Current(text) => Some(text.clone()),
            PostText::Withdrawn => None,
        });
        out.push(Hit {
            id: hit.post.full(),
            short: hit.post.short(),
            kind: kind_word(hit.kind),
            thread: hit.thread.full(),
            title_matches: ranges(&hit.title_matches),
            title: hit.title,
            state: hit.state.map(|state| state.word()),
            author: people.person(&hit.author),
            origin: hit.origin,
            time: time::rfc3339(time::seconds(hit.time_ms)),
            time_ms: hit.time_ms,
            matches: ranges(&hit.matches),
            snippet: hit.snippet,
            more_in_thread: hit.more,
            partial: hit.partial,
            text,
        });
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(words: &[&str]) -> String {
        joined(&words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn words_of_the_shell_become_a_query() {
        assert_eq!(given(&["convoy", "brief"]), "convoy brief");
        assert_eq!(given(&["combat patrol", "night"]), "\"combat patrol\" night");
        assert_eq!(given(&["\"combat patrol\""]), "\"combat patrol\"");
        assert_eq!(given(&["by:Ann Lee", "tag:x"]), "by:\"Ann Lee\" tag:x");
    }

    #[test]
    fn matches_are_marked() {
        let text = marked("The Convoys, and", std::slice::from_ref(&(4..11)), Style::Plain);
        assert_eq!(text.render(true), "The \u{1b}[1;33mConvoys\u{1b}[0m, and");
        let odd = marked("ab", &[5..9, 1..2], Style::Plain);
        assert_eq!(odd.to_plain(), "ab");
    }
}
