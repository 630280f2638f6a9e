//! `lanai search`: finds posts by their words.

use std::collections::{BTreeMap, BTreeSet};

use lanai_crdt::id::EntryId;
use lanai_crdt::thread::PostText;
use lanai_node::store::{SearchHit, SearchOrder, SearchQuery, ThreadFilter, ThreadView};
use serde::Serialize;

use super::{Context, threads};
use crate::app::{App, People, Person};
use crate::args::SearchArgs;
use crate::error::{CliError, Exit};
use crate::layout::{Indent, Style, Table, Text};
use crate::time;

/// Matches looked at for those with a tag.
const MAX_LOOKED_AT: usize = 20_000;

#[derive(Serialize)]
struct Found {
    query: String,
    hits: Vec<Hit>,
}

#[derive(Serialize)]
struct Hit {
    id: String,
    short: String,
    thread: String,
    title: String,
    author: Person,
    origin: Option<String>,
    time: Option<String>,
    time_ms: u64,
    snippet: String,
    text: Option<String>,
}

pub(super) fn run(context: &mut Context, args: &SearchArgs) -> Result<Exit, CliError> {
    let text = query(&args.words);
    let app = App::open(context)?;
    let people = app.people()?;
    say_lag(context, &app)?;
    let hits = find(&app, args, &text)?;
    if context.ui.is_json() {
        let hits = whole(&app, &people, hits)?;
        context.ui.json("search", &Found { query: text, hits })?;
        return Ok(Exit::Done);
    }
    if hits.is_empty() {
        context.ui.say("nothing found");
        context.ui.hint("all words must occur; part of a word is written as conv*");
        return Ok(Exit::Done);
    }
    if !context.ui.out_is_terminal() {
        let table = table(&hits, &people, context.now());
        context.ui.table(&table)?;
        return Ok(Exit::Done);
    }
    context.ui.start_pager();
    let words = words(&text);
    for (place, hit) in hits.iter().enumerate() {
        if place > 0 {
            context.ui.blank()?;
        }
        show(context, &people, hit, &words)?;
    }
    if hits.len() >= args.limit {
        context.ui.end_pager()?;
        context.ui.hint(format!("these are the first {}; -n shows more", hits.len()));
    }
    Ok(Exit::Done)
}

/// What the shell took apart is one query; a word with spaces in it was quoted.
fn query(words: &[String]) -> String {
    let quoted = |word: &String| {
        let is_phrase = word.contains(char::is_whitespace) && !word.contains('"');
        if is_phrase { format!("\"{word}\"") } else { word.clone() }
    };
    words.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

fn find(app: &App, args: &SearchArgs, text: &str) -> Result<Vec<SearchHit>, CliError> {
    let limit = args.limit.max(1);
    let search = |limit: usize| {
        app.store().search(&SearchQuery {
            text: text.to_owned(),
            author: args.author.clone(),
            order: if args.best { SearchOrder::Best } else { SearchOrder::Newest },
            limit,
        })
    };
    let Some(tag) = &args.tag else { return Ok(search(limit)?) };
    let tag = Some(tag.trim().trim_start_matches('#').to_lowercase());
    let tagged = app.store().threads(&ThreadFilter { tag, ..ThreadFilter::default() })?;
    let tagged: BTreeSet<EntryId> = tagged.into_iter().map(|thread| thread.root).collect();
    let mut look_at = limit.saturating_mul(4);
    loop {
        let mut hits = search(look_at)?;
        let all = hits.len() < look_at || look_at >= MAX_LOOKED_AT;
        hits.retain(|hit| tagged.contains(&hit.thread));
        if all || hits.len() >= limit {
            hits.truncate(limit);
            return Ok(hits);
        }
        look_at = look_at.saturating_mul(4).min(MAX_LOOKED_AT);
    }
}

/// Posts that are here and not searched yet are spoken of.
fn say_lag(context: &mut Context, app: &App) -> Result<(), CliError> {
    let left = app.catch_up()?;
    if left > 0 {
        context
            .ui
            .warn(format!("{left} entries are not in the index yet; search again in a while"));
    }
    Ok(())
}

fn show(
    context: &mut Context,
    people: &People,
    hit: &SearchHit,
    words: &[String],
) -> Result<(), CliError> {
    let when = time::ago(time::seconds(hit.time_ms), context.now());
    let title = if hit.title.is_empty() { "(withdrawn)" } else { &hit.title };
    let head = Text::styled(Style::Id, hit.post.short()).plain("  ").with(Style::Heading, title);
    context.ui.line(head)?;
    let indent = Indent::spaces(2);
    let mut by = author(hit, people);
    if hit.origin.is_none() && people.me() == Some(hit.author) {
        by.push(Style::Dim, " (you)");
    }
    let by = by.with(Style::Dim, format!(", {when}"));
    context.ui.indented(by, &indent)?;
    context.ui.indented(highlighted(&hit.snippet, words), &indent)
}

fn author(hit: &SearchHit, people: &People) -> Text {
    match &hit.origin {
        Some(name) => Text::styled(Style::Name, name),
        None => people.shown(&hit.author),
    }
}

/// Words to highlight, in small letters; those that must not occur left out.
fn words(query: &str) -> Vec<String> {
    let wanted = query.split_whitespace().filter(|word| !word.starts_with('-'));
    let parts = wanted.flat_map(|word| word.split(|c: char| !c.is_alphanumeric()));
    parts.filter(|part| !part.is_empty()).map(str::to_lowercase).collect()
}

/// Marks the words of a line that are forms of one of `wanted`.
fn highlighted(line: &str, wanted: &[String]) -> Text {
    let mut text = Text::new();
    let mut rest = line;
    while !rest.is_empty() {
        let is_word = rest.starts_with(char::is_alphanumeric);
        let end = rest.find(|c: char| c.is_alphanumeric() != is_word).unwrap_or(rest.len());
        let (piece, after) = rest.split_at(end);
        let hit = is_word && wanted.iter().any(|word| alike(&piece.to_lowercase(), word));
        text.push(if hit { Style::Match } else { Style::Plain }, piece);
        rest = after;
    }
    text
}

/// Longest ending in which two forms of a word differ.
const MAX_ENDING: usize = 5;

/// Whether two words may be forms of one: more than half of the longer is common to both, and
/// only a short ending is not. The index knows better; this is for the eye.
fn alike(found: &str, wanted: &str) -> bool {
    let common = found.chars().zip(wanted.chars()).take_while(|(a, b)| a == b).count();
    let longer = found.chars().count().max(wanted.chars().count());
    let prefix = common == wanted.chars().count();
    prefix || (common * 5 >= longer * 3 && longer - common <= MAX_ENDING)
}

fn table(hits: &[SearchHit], people: &People, now: i64) -> Table {
    let mut table =
        Table::new().column("ID").column("TIME").column("BY").column("TITLE").column("TEXT");
    for hit in hits {
        table.row([
            Text::styled(Style::Id, hit.post.full()),
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
        if !opened.contains_key(&hit.post) && !opened.contains_key(&hit.thread) {
            opened.insert(hit.thread, app.thread(&hit.post)?);
        }
        let view = opened.get(&hit.thread).and_then(Option::as_ref);
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
            thread: hit.thread.full(),
            title: hit.title,
            author: people.person(&hit.author),
            origin: hit.origin,
            time: time::rfc3339(time::seconds(hit.time_ms)),
            time_ms: hit.time_ms,
            snippet: hit.snippet,
            text,
        });
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(words: &[&str]) -> String {
        query(&words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn words_of_the_shell_become_a_query() {
        assert_eq!(given(&["convoy", "brief"]), "convoy brief");
        assert_eq!(given(&["combat patrol", "night"]), "\"combat patrol\" night");
        assert_eq!(given(&["\"combat patrol\""]), "\"combat patrol\"");
        assert_eq!(given(&["convoy brief"]), "\"convoy brief\"");
    }

    #[test]
    fn matches_are_highlighted() {
        let text = highlighted("The Convoys, and a conversation", &words("convoy -rain"));
        assert_eq!(text.render(true), "The \u{1b}[1;33mConvoys\u{1b}[0m, and a conversation");
        assert!(alike("counsel", "counselling") && alike("briefings", "brief"));
        assert_eq!(words("\"a b\" c* -d"), ["a", "b", "c"]);
    }
}
