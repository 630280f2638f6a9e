//! `lanai threads`: the list of threads.

use std::collections::BTreeSet;

use lanai_crdt::text::clean_line;
use lanai_crdt::thread::ThreadKind;
use lanai_node::store::{ThreadFilter, ThreadSummary};
use serde::Serialize;

use super::{Context, close, status};
use crate::app::{App, People};
use crate::args::ThreadsArgs;
use crate::error::{CliError, Exit};
use crate::layout::{Style, Table, Text};
use crate::time;
use crate::view::shape::SummaryShape;
use crate::view::tree;

/// Columns of a terminal from which on tags and names of who works on an ask are shown.
const ROOMY: usize = 100;

#[derive(Serialize)]
struct Threads {
    threads: Vec<SummaryShape>,
}

pub(super) fn run(context: &mut Context, args: &ThreadsArgs) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    let people = app.people()?;
    app.catch_up()?;
    let threads = select(&app, &people, args)?;
    if context.ui.is_json() {
        let threads = threads.iter().map(|t| SummaryShape::of(t, &people)).collect();
        context.ui.json("threads", &Threads { threads })?;
        return Ok(Exit::Done);
    }
    if threads.is_empty() {
        context.ui.say("no such threads here");
        status::say_before(context, &app)?;
        context.ui.hint("`lanai ask` opens one");
        return Ok(Exit::Done);
    }
    let full = args.all || threads.len() < args.limit;
    context.ui.start_pager();
    let table = table(context, &threads, &people);
    context.ui.table(&table)?;
    if !full && context.ui.out_is_terminal() {
        context.ui.end_pager()?;
        context.ui.hint(format!("these are the latest {}; --all lists all", threads.len()));
    }
    if full {
        context.ui.end_pager()?;
        status::say_before(context, &app)?;
    }
    Ok(Exit::Done)
}

/// The first tag and the author narrow the search down in the store, the rest here.
fn select(app: &App, people: &People, args: &ThreadsArgs) -> Result<Vec<ThreadSummary>, CliError> {
    let fold = |tag: &String| tag.trim().trim_start_matches('#').to_lowercase();
    let tags: BTreeSet<String> = args.tags.iter().map(fold).collect();
    let member = args.author.as_deref().map(|typed| people.find(typed)).transpose();
    // Who is no member may be the author of something imported.
    let (author, original) = match (member, &args.author) {
        (Ok(member), _) => (member, None),
        (Err(error), Some(typed)) if error.code == "not-found" => (None, Some((typed, error))),
        (Err(error), _) => return Err(error),
    };
    let limit = if args.all { 0 } else { args.limit.max(1) };
    let narrow = tags.len() <= 1 && original.is_none();
    let mut threads = app.store().threads(&ThreadFilter {
        states: args.state.map(close::state).into_iter().collect(),
        kind: None,
        tag: tags.first().cloned(),
        author,
        unread: args.unread,
        limit: if narrow { limit } else { 0 },
    })?;
    threads.retain(|thread| tags.iter().all(|tag| thread.tags.iter().any(|t| fold(t) == *tag)));
    if let Some((typed, error)) = original {
        let wanted = typed.trim().to_lowercase();
        let by = |name: &String| clean_line(name).to_lowercase().contains(&wanted);
        threads.retain(|thread| thread.origin.as_ref().is_some_and(by));
        if threads.is_empty() {
            return Err(error);
        }
    }
    if limit > 0 {
        threads.truncate(limit);
    }
    Ok(threads)
}

fn table(context: &Context, threads: &[ThreadSummary], people: &People) -> Table {
    let terminal = context.ui.out_is_terminal();
    // Where there is little room, titles need it.
    let roomy = context.ui.columns().is_none_or(|columns| columns >= ROOMY);
    let (now, now_ms) = (context.now(), (context.clock)());
    let mut table = Table::new()
        .column("ID")
        .column("STATE")
        .numbers("NEW")
        .numbers("POSTS")
        .column("LAST")
        .flexible("TITLE")
        .flexible("BY");
    if roomy {
        table = table.flexible("TAGS");
    }
    for thread in threads {
        let id = if terminal { thread.root.short() } else { thread.root.full() };
        let state = match thread.kind {
            ThreadKind::Ask if terminal => state(thread, people, roomy),
            ThreadKind::Ask => tree::state_word(thread.state),
            ThreadKind::Note => Text::styled(Style::Dim, "note"),
        };
        let new = match thread.unread {
            0 if terminal => Text::new(),
            0 => Text::from("0"),
            new => Text::styled(Style::Unread, new.to_string()),
        };
        let title = if thread.pinned { Text::styled(Style::Good, "pinned: ") } else { Text::new() };
        let title = title.then(match (thread.title.as_str(), thread.unread) {
            ("", _) => Text::styled(Style::Dim, "(withdrawn)"),
            (title, 0) => Text::from(title),
            (title, _) => Text::styled(Style::Heading, title),
        });
        let stance = tree::stance_words(thread.stance, now_ms);
        let title = match stance.as_str() {
            words if terminal && !words.is_empty() => title.with(Style::Dim, format!(" · {words}")),
            _ => title,
        };
        let mut tags = Text::new();
        for (place, tag) in thread.tags.iter().enumerate() {
            let gap = if place == 0 { "" } else { " " };
            tags = tags.plain(gap).with(Style::Tag, format!("#{tag}"));
        }
        let mut cells = vec![
            Text::styled(Style::Id, id),
            state,
            new,
            Text::from(thread.posts.to_string()),
            Text::styled(Style::Dim, when(thread.active_ms, now, terminal)),
            title,
            author(thread, people),
        ];
        cells.extend(roomy.then_some(tags));
        table.row(cells);
    }
    table
}

/// The state with what makes it plain: who works on it, how much of an answer there is, whether
/// the outcome was told.
fn state(thread: &ThreadSummary, people: &People, names: bool) -> Text {
    let mut state = tree::state_word(thread.state);
    let Some(ask) = &thread.ask else { return state };
    if let Some((first, more)) = ask.workers.split_first().filter(|_| names) {
        state = state.plain(": ").then(people.shown(first));
        if !more.is_empty() {
            state.push(Style::Plain, format!(" +{}", more.len()));
        }
    }
    if ask.parts > 1 {
        state.push(Style::Good, format!(" ({})", ask.parts));
    }
    if ask.outcomes > 0 {
        state.push(Style::Good, " ✓");
    }
    state
}

/// How long ago on a terminal, the time itself in a pipe.
pub(super) fn when(millis: u64, now: i64, terminal: bool) -> String {
    let seconds = time::seconds(millis);
    if terminal {
        time::ago(seconds, now)
    } else {
        time::rfc3339(seconds).unwrap_or_else(|| time::UNCLEAR.into())
    }
}

pub(super) fn author(thread: &ThreadSummary, people: &People) -> Text {
    match &thread.origin {
        Some(name) => Text::styled(Style::Name, name),
        None => people.shown(&thread.author),
    }
}
