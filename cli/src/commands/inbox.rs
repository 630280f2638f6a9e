//! `lanai inbox`: what is new.

use std::collections::BTreeMap;

use lanai_crdt::id::{EntryId, MemberId};
use lanai_crdt::thread::{PostText, PostView};
use lanai_node::store::{InboxPost, InboxThread, ThreadFilter, ThreadSummary};
use serde::Serialize;

use super::{Context, threads};
use crate::app::{App, People, Person};
use crate::args::InboxArgs;
use crate::error::{CliError, Exit};
use crate::layout::{Indent, Style, Text};
use crate::time;
use crate::view::shape::SummaryShape;

/// New posts of a thread that are listed, the latest.
const MAX_POSTS: usize = 3;

#[derive(Serialize)]
struct InboxShape {
    unread: u64,
    for_me: Vec<Item>,
    my_threads: Vec<Item>,
    rest: Vec<Item>,
    /// With `--all`.
    read: Vec<SummaryShape>,
}

#[derive(Serialize)]
struct Item {
    thread: SummaryShape,
    posts: Vec<New>,
}

#[derive(Serialize)]
struct New {
    id: String,
    short: String,
    author: Person,
    time: Option<String>,
    time_ms: u64,
    for_me: bool,
    text: Option<String>,
}

/// What is new, in the order in which it concerns the reader.
struct Sorted {
    for_me: Vec<InboxThread>,
    my_threads: Vec<InboxThread>,
    rest: Vec<InboxThread>,
    read: Vec<ThreadSummary>,
}

pub(super) fn run(context: &mut Context, args: &InboxArgs) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    app.catch_up()?;
    show(context, &app, args)?;
    if args.mark_read {
        app.store().mark_all_read()?;
        context.ui.say("all of it is marked as read");
    }
    Ok(Exit::Done)
}

/// Prints the inbox of a community that is open: also what `lanai up` ends with.
pub(crate) fn show(context: &mut Context, app: &App, args: &InboxArgs) -> Result<(), CliError> {
    let people = app.people()?;
    let sorted = sorted(app, &people, args)?;
    let texts = Texts { app, known: BTreeMap::new() };
    if context.ui.is_json() {
        json(context, &people, &sorted, texts)
    } else {
        text(context, app, &people, &sorted, texts)
    }
}

fn sorted(app: &App, people: &People, args: &InboxArgs) -> Result<Sorted, CliError> {
    let limit = args.limit.max(1);
    let inbox = app.store().inbox(limit)?;
    let mine = |item: &InboxThread| {
        item.thread.origin.is_none() && Some(item.thread.author) == people.me()
    };
    let (my_threads, for_me) = inbox.for_me.into_iter().partition(mine);
    let mut read = Vec::new();
    if args.all {
        read = app.store().threads(&ThreadFilter { limit, ..ThreadFilter::default() })?;
        read.retain(|thread| thread.unread == 0);
    }
    Ok(Sorted { for_me, my_threads, rest: inbox.rest, read })
}

fn json(
    context: &mut Context,
    people: &People,
    sorted: &Sorted,
    mut texts: Texts<'_>,
) -> Result<(), CliError> {
    let mut items = |list: &[InboxThread]| -> Result<Vec<Item>, CliError> {
        let item = |item: &InboxThread| {
            let posts = item.posts.iter().map(|post| {
                Ok(New {
                    id: post.id.full(),
                    short: post.id.short(),
                    author: people.person(&post.author),
                    time: time::rfc3339(time::seconds(post.time_ms)),
                    time_ms: post.time_ms,
                    for_me: post.for_me,
                    text: texts.of(&item.thread.root, &post.id)?,
                })
            });
            let posts = posts.collect::<Result<_, CliError>>()?;
            Ok(Item { thread: SummaryShape::of(&item.thread, people), posts })
        };
        list.iter().map(item).collect()
    };
    let (for_me, my_threads, rest) =
        (items(&sorted.for_me)?, items(&sorted.my_threads)?, items(&sorted.rest)?);
    let all = [&sorted.for_me, &sorted.my_threads, &sorted.rest];
    let unread = all.into_iter().flatten().map(|item| item.thread.unread).sum();
    let read = sorted.read.iter().map(|thread| SummaryShape::of(thread, people)).collect();
    context.ui.json("inbox", &InboxShape { unread, for_me, my_threads, rest, read })
}

fn text(
    context: &mut Context,
    app: &App,
    people: &People,
    sorted: &Sorted,
    mut texts: Texts<'_>,
) -> Result<(), CliError> {
    let lists = [
        ("For you", &sorted.for_me),
        ("In your threads", &sorted.my_threads),
        ("Elsewhere", &sorted.rest),
    ];
    if lists.iter().all(|(_, list)| list.is_empty()) && sorted.read.is_empty() {
        context.ui.say("nothing new");
        return suggest_when_empty(context, app);
    }
    context.ui.start_pager();
    let mut first = true;
    for (heading, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
        if !first {
            context.ui.blank()?;
        }
        first = false;
        let new: u64 = list.iter().map(|item| item.thread.unread).sum();
        let line =
            Text::styled(Style::Heading, heading).with(Style::Unread, format!("  {new} new"));
        context.ui.line(line)?;
        for item in list {
            one(context, people, item, &mut texts)?;
        }
    }
    if !sorted.read.is_empty() {
        if !first {
            context.ui.blank()?;
        }
        context.ui.line(Text::styled(Style::Heading, "Read"))?;
        for thread in &sorted.read {
            let by = threads::author(thread, people);
            context
                .ui
                .indented(head(thread).with(Style::Dim, "  ").then(by), &Indent::spaces(2))?;
        }
    }
    let next = [&sorted.for_me, &sorted.my_threads, &sorted.rest].into_iter().flatten().next();
    context.ui.end_pager()?;
    if let Some(next) = next {
        context.ui.hint(format!(
            "lanai read {} · lanai reply ID · lanai inbox --mark-read",
            next.thread.root.short()
        ));
    }
    Ok(())
}

fn suggest_when_empty(context: &mut Context, app: &App) -> Result<(), CliError> {
    let open = app.store().threads(&ThreadFilter {
        states: vec![lanai_crdt::payload::ThreadState::Open],
        limit: 1,
        ..ThreadFilter::default()
    })?;
    match open.first() {
        Some(_) => {
            context.ui.hint("`lanai threads --state open` lists asks that wait for an answer")
        }
        None => {
            context.ui.hint("`lanai ask` asks the community, `lanai threads` lists what is here")
        }
    }
    Ok(())
}

fn head(thread: &ThreadSummary) -> Text {
    let title = if thread.title.is_empty() { "(withdrawn)" } else { &thread.title };
    Text::styled(Style::Id, thread.root.short()).plain("  ").plain(title)
}

fn one(
    context: &mut Context,
    people: &People,
    item: &InboxThread,
    texts: &mut Texts<'_>,
) -> Result<(), CliError> {
    let thread = &item.thread;
    let mark = Text::styled(Style::Unread, "● ");
    let mut line = head(thread);
    if thread.unread > 1 {
        line.push(Style::Unread, format!("  {} new", thread.unread));
    }
    context.ui.indented(line, &Indent { first: mark, rest: Text::from("  ") })?;
    let skipped = item.posts.len().saturating_sub(MAX_POSTS);
    for post in item.posts.iter().skip(skipped) {
        post_line(context, people, thread, post, texts)?;
    }
    Ok(())
}

/// Who wrote when, and as much of the text as one line takes.
fn post_line(
    context: &mut Context,
    people: &People,
    thread: &ThreadSummary,
    post: &InboxPost,
    texts: &mut Texts<'_>,
) -> Result<(), CliError> {
    let when = time::ago(time::seconds(post.time_ms), context.now());
    let author: &MemberId = &post.author;
    let mut line =
        Text::from("    ").then(people.shown(author)).with(Style::Dim, format!(", {when}: "));
    let text = texts.of(&thread.root, &post.id)?.unwrap_or_else(|| "(withdrawn)".into());
    line.push(Style::Plain, text.split_whitespace().collect::<Vec<_>>().join(" "));
    if let Some(columns) = context.ui.columns() {
        line = line.truncated(columns);
    }
    context.ui.line(line)
}

/// The texts of posts, each thread opened once.
struct Texts<'a> {
    app: &'a App,
    known: BTreeMap<EntryId, Vec<PostView>>,
}

impl Texts<'_> {
    fn of(&mut self, thread: &EntryId, post: &EntryId) -> Result<Option<String>, CliError> {
        if !self.known.contains_key(thread) {
            let posts = self.app.thread(thread)?.map(|view| view.thread.posts).unwrap_or_default();
            self.known.insert(*thread, posts);
        }
        let posts = self.known.get(thread).map(Vec::as_slice).unwrap_or_default();
        let found = posts.iter().find(|p| p.id == *post || p.aliases.contains(post));
        Ok(found.and_then(|post| match &post.text {
            PostText::Current(text) => Some(text.clone()),
            PostText::Withdrawn => None,
        }))
    }
}
