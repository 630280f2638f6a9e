//! `lanai inbox`: what is new, in the order in which it concerns the reader.

use std::collections::BTreeMap;

use lanai_crdt::id::EntryId;
use lanai_crdt::thread::{PostText, PostView};
use lanai_node::store::{
    About, DueOutcome, ForMe, Hidden, Inbox, InboxPost, InboxThread, PageProposal, PageSource,
    ProposedToMe, Rank, SideTalkView, ThreadFilter, ThreadSummary,
};
use serde::Serialize;

use super::{Context, outcome, status, talk, threads};
use crate::app::{App, People, Person};
use crate::args::InboxArgs;
use crate::error::{CliError, Exit};
use crate::layout::{Indent, Style, Text};
use crate::time;
use crate::view::shape::SummaryShape;

/// New posts of a thread that are listed, the latest.
const MAX_POSTS: usize = 3;
/// From so many threads beyond the list on, nobody reads them one by one.
const MANY_MORE: u64 = 100;
/// Outcomes that are asked for at once.
const MAX_DUE: usize = 3;

#[derive(Serialize)]
struct InboxShape {
    /// Without muted and snoozed threads.
    unread: u64,
    for_me: Vec<Item>,
    topics: Vec<Item>,
    watched: Vec<Item>,
    rest: Vec<Item>,
    /// Beyond the limit.
    more: HiddenShape,
    muted: HiddenShape,
    snoozed: HiddenShape,
    /// Asks of the reader of which the outcome is due.
    outcomes_due: Vec<outcome::DueShape>,
    /// Wordings that others propose for asks of the reader.
    proposed: Vec<ProposedShape>,
    /// Side talks with something new.
    side_talks: Vec<talk::TalkShape>,
    /// With `--all`.
    read: Vec<SummaryShape>,
}

#[derive(Serialize)]
struct ProposedShape {
    thread: String,
    title: String,
    id: String,
    by: Option<Person>,
    reason: Option<String>,
}

fn proposed_shapes(proposed: &[ProposedToMe], people: &People) -> Vec<ProposedShape> {
    let of_ask = |ask: &ProposedToMe| -> Vec<ProposedShape> {
        let one = |(proposal, source): &(PageProposal, PageSource)| ProposedShape {
            thread: ask.thread.full(),
            title: ask.title.clone(),
            id: proposal.id.full(),
            by: source.member.map(|m| people.person(&m)),
            reason: proposal.reason.clone(),
        };
        ask.proposals.iter().map(one).collect()
    };
    proposed.iter().flat_map(of_ask).collect()
}

#[derive(Serialize)]
struct HiddenShape {
    threads: u64,
    posts: u64,
}

impl From<Hidden> for HiddenShape {
    fn from(hidden: Hidden) -> Self {
        Self { threads: hidden.threads, posts: hidden.posts }
    }
}

#[derive(Serialize)]
struct Item {
    thread: SummaryShape,
    /// The reader's topics that it is about.
    about: Vec<String>,
    posts: Vec<New>,
}

#[derive(Serialize)]
struct New {
    id: String,
    short: String,
    author: Person,
    time: Option<String>,
    time_ms: u64,
    /// `reply`, `mention` or `my-thread`.
    for_me: Option<&'static str>,
    text: Option<String>,
}

const fn for_me_word(for_me: ForMe) -> &'static str {
    match for_me {
        ForMe::Reply => "reply",
        ForMe::Mention => "mention",
        ForMe::MyThread => "my-thread",
    }
}

/// What is listed.
struct Listed {
    inbox: Inbox,
    due: Vec<DueOutcome>,
    proposed: Vec<ProposedToMe>,
    talks: Vec<SideTalkView>,
    read: Vec<ThreadSummary>,
}

pub(super) fn run(context: &mut Context, args: &InboxArgs) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    app.catch_up()?;
    if args.mark_all {
        let (inbox, new) = app.store().inbox_to_mark((context.clock)(), args.limit.max(1))?;
        tell(context, &app, args, inbox)?;
        let marked = app.store().mark_all_read(&new)?;
        context.ui.say(match marked {
            0 => "nothing was new".to_owned(),
            1 => "1 post is marked as read".to_owned(),
            n => format!("{n} posts are marked as read"),
        });
    } else {
        show(context, &app, args)?;
    }
    Ok(Exit::Done)
}

/// Prints the inbox of a community that is open: also what `lanai up` ends with. Marks nothing.
pub(crate) fn show(context: &mut Context, app: &App, args: &InboxArgs) -> Result<(), CliError> {
    let inbox = app.store().inbox((context.clock)(), args.limit.max(1))?;
    tell(context, app, args, inbox)
}

fn tell(context: &mut Context, app: &App, args: &InboxArgs, inbox: Inbox) -> Result<(), CliError> {
    let people = app.people()?;
    let limit = args.limit.max(1);
    let mut read = Vec::new();
    if args.all {
        read = app.store().threads(&ThreadFilter { limit, ..ThreadFilter::default() })?;
        read.retain(|thread| thread.unread == 0);
    }
    let proposed = app.store().proposed_to_me()?;
    let mut talks = app.store().side_talks()?;
    talks.retain(|view| !view.unread.is_empty());
    let listed = Listed { inbox, due: outcome::due(context, app)?, proposed, talks, read };
    let texts = Texts::new(app);
    if context.ui.is_json() {
        json(context, app, &people, &listed, texts)
    } else {
        text(context, app, &people, &listed, texts)
    }
}

fn json(
    context: &mut Context,
    app: &App,
    people: &People,
    listed: &Listed,
    mut texts: Texts<'_>,
) -> Result<(), CliError> {
    let mut items = |rank: Rank| -> Result<Vec<Item>, CliError> {
        let item = |item: &InboxThread| {
            let posts = item.posts.iter().map(|post| {
                Ok(New {
                    id: post.id.full(),
                    short: post.id.short(),
                    author: people.person(&post.author),
                    time: time::rfc3339(time::seconds(post.time_ms)),
                    time_ms: post.time_ms,
                    for_me: post.for_me.map(for_me_word),
                    text: texts.of(&post.id)?,
                })
            });
            let posts = posts.collect::<Result<_, CliError>>()?;
            let about = item.about.iter().map(|about| about.topic.clone()).collect();
            Ok(Item { thread: SummaryShape::of(&item.thread, people), about, posts })
        };
        listed.inbox.ranked(rank).map(item).collect()
    };
    let side_talks = listed.talks.iter().map(|view| talk::shape(app, people, view));
    let shape = InboxShape {
        unread: listed.inbox.unread(),
        for_me: items(Rank::ForMe)?,
        topics: items(Rank::Topic)?,
        watched: items(Rank::Watched)?,
        rest: items(Rank::Rest)?,
        more: listed.inbox.more.into(),
        muted: listed.inbox.muted.into(),
        snoozed: listed.inbox.snoozed.into(),
        outcomes_due: listed.due.iter().map(|due| outcome::DueShape::of(due, people)).collect(),
        proposed: proposed_shapes(&listed.proposed, people),
        side_talks: side_talks.collect::<Result<_, _>>()?,
        read: listed.read.iter().map(|thread| SummaryShape::of(thread, people)).collect(),
    };
    context.ui.json("inbox", &shape)
}

fn text(
    context: &mut Context,
    app: &App,
    people: &People,
    listed: &Listed,
    mut texts: Texts<'_>,
) -> Result<(), CliError> {
    let Listed { inbox, due, proposed, talks, read } = listed;
    let quiet = due.is_empty() && proposed.is_empty() && talks.is_empty();
    if inbox.threads.is_empty() && read.is_empty() && quiet {
        context.ui.say("nothing new");
        say_hidden(context, inbox);
        return suggest_when_empty(context, app);
    }
    context.ui.start_pager();
    let mut first = true;
    if !talks.is_empty() {
        first = false;
        talk::list_new(context, people, talks)?;
    }
    let mut heading = |context: &mut Context, text: Text| {
        if !std::mem::take(&mut first) {
            context.ui.blank()?;
        }
        context.ui.line(text)
    };
    for (rank, words) in [
        (Rank::ForMe, "For you"),
        (Rank::Topic, "Your topics"),
        (Rank::Watched, "Watched"),
        (Rank::Rest, "Elsewhere"),
    ] {
        let new: u64 = inbox.ranked(rank).map(|item| item.thread.unread).sum();
        if new > 0 {
            let words = Text::styled(Style::Heading, words);
            heading(context, words.with(Style::Unread, format!("  {new} new")))?;
        }
        for item in inbox.ranked(rank) {
            one(context, people, item, &mut texts)?;
        }
        if rank == Rank::ForMe && !proposed.is_empty() {
            heading(context, Text::styled(Style::Heading, "Your questions, put otherwise"))?;
            for ask in proposed {
                wordings(context, people, ask)?;
            }
        }
        if rank == Rank::ForMe && !due.is_empty() {
            heading(context, Text::styled(Style::Heading, "How did it go?"))?;
            reminders(context, due)?;
        }
    }
    if !read.is_empty() {
        heading(context, Text::styled(Style::Heading, "Read"))?;
        for thread in read {
            let by = threads::author(thread, people);
            let line = head(thread).with(Style::Dim, "  ").then(by);
            context.ui.indented(line, &Indent::spaces(2))?;
        }
    }
    context.ui.end_pager()?;
    say_hidden(context, inbox);
    if let Some(next) = inbox.threads.first() {
        context.ui.hint(format!("lanai read {} · lanai reply ID", next.thread.root.short()));
    }
    Ok(())
}

/// Who proposes another wording of an ask, why, and what to do about it.
fn wordings(context: &mut Context, people: &People, ask: &ProposedToMe) -> Result<(), CliError> {
    let short = ask.thread.short();
    context.ui.indented(
        Text::styled(Style::Id, &short).plain("  ").plain(&ask.title),
        &Indent::spaces(2),
    )?;
    for (proposal, source) in &ask.proposals {
        let mut line = match &source.member {
            Some(member) => people.shown(member),
            None => Text::styled(Style::Dim, "somebody"),
        };
        let when = time::ago(time::seconds(source.time_ms), context.now());
        line.push(Style::Dim, format!(", {when}"));
        if let Some(reason) = &proposal.reason {
            line = line.with(Style::Dim, ": ").plain(reason);
        }
        context.ui.indented(line, &Indent::spaces(4))?;
    }
    let next = format!("lanai page show {short} --question · lanai page take {short}");
    context.ui.indented(Text::styled(Style::Dim, next), &Indent::spaces(4))
}

fn reminders(context: &mut Context, due: &[DueOutcome]) -> Result<(), CliError> {
    for due in due.iter().take(MAX_DUE) {
        context.ui.indented(outcome::reminder(due, context.now()), &Indent::spaces(2))?;
    }
    match due.len().checked_sub(MAX_DUE).filter(|more| *more > 0) {
        Some(more) => {
            context.ui.line(Text::styled(Style::Dim, format!("  and {more} more of your asks")))
        }
        None => Ok(()),
    }
}

/// Counts what is new and not listed.
fn say_hidden(context: &mut Context, inbox: &Inbox) {
    let count = |hidden: &Hidden| {
        let threads = status::count(hidden.threads, "thread", "threads");
        let posts = status::count(hidden.posts, "new post", "new posts");
        format!("{threads} with {posts}")
    };
    if inbox.more.threads > 0 {
        context.ui.say(format!("and {} more; -n lists more of them", count(&inbox.more)));
    }
    if inbox.more.threads > MANY_MORE {
        context.ui.hint("`lanai inbox --mark-all` marks all of it as read, to begin afresh");
    }
    if inbox.snoozed.threads > 0 {
        context.ui.say(format!("snoozed: {}", count(&inbox.snoozed)));
    }
    if inbox.muted.threads > 0 {
        context.ui.say(format!("muted: {}", count(&inbox.muted)));
    }
}

fn suggest_when_empty(context: &mut Context, app: &App) -> Result<(), CliError> {
    let open = app.store().needs((context.clock)(), 1)?;
    match open.needs.first() {
        Some(_) => context.ui.hint("`lanai needs` lists asks that wait for somebody"),
        None => {
            context.ui.hint("`lanai ask` asks the community, `lanai threads` lists what is here")
        }
    }
    Ok(())
}

pub(super) fn head(thread: &ThreadSummary) -> Text {
    let title = if thread.title.is_empty() { "(withdrawn)" } else { &thread.title };
    Text::styled(Style::Id, thread.root.short()).plain("  ").plain(title)
}

/// Why the thread stands where it does, in a few words.
pub(super) fn reason(item: &InboxThread) -> String {
    let because = |why: ForMe| item.posts.iter().any(|post| post.for_me == Some(why));
    match item.rank {
        Rank::ForMe if because(ForMe::Reply) => "answers you".into(),
        Rank::ForMe if because(ForMe::Mention) => "names you".into(),
        Rank::ForMe => "in your thread".into(),
        Rank::Topic => topics(&item.about),
        Rank::Watched | Rank::Rest => String::new(),
    }
}

/// The topics that a thread is about.
pub(super) fn topics(about: &[About]) -> String {
    let names: Vec<&str> = about.iter().map(|about| about.topic.as_str()).collect();
    match names.len() {
        0 => String::new(),
        1 => format!("topic {}", names.concat()),
        _ => format!("topics {}", names.join(", ")),
    }
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
    let reason = reason(item);
    if !reason.is_empty() {
        line.push(Style::Dim, format!("  {reason}"));
    }
    context.ui.indented(line, &Indent { first: mark, rest: Text::from("  ") })?;
    for post in chosen(&item.posts, MAX_POSTS) {
        post_line(context, people, post, texts)?;
    }
    Ok(())
}

/// The posts to show of a thread: those for me before others, the latest, in order of time.
pub(super) fn chosen(posts: &[InboxPost], most: usize) -> Vec<&InboxPost> {
    let mut order: Vec<usize> = (0..posts.len()).collect();
    let strength = |at: usize| {
        let why = posts.get(at).and_then(|post| post.for_me);
        (why.is_none_or(|why| why == ForMe::MyThread), std::cmp::Reverse(at))
    };
    order.sort_by_key(|at| strength(*at));
    let mut chosen: Vec<&InboxPost> =
        order.into_iter().take(most).filter_map(|at| posts.get(at)).collect();
    chosen.sort_by_key(|post| post.time_ms);
    chosen
}

/// Who wrote when, and as much of the text as one line takes.
fn post_line(
    context: &mut Context,
    people: &People,
    post: &InboxPost,
    texts: &mut Texts<'_>,
) -> Result<(), CliError> {
    let when = time::ago(time::seconds(post.time_ms), context.now());
    let mut line =
        Text::from("    ").then(people.shown(&post.author)).with(Style::Dim, format!(", {when}: "));
    let text = texts.of(&post.id)?.unwrap_or_else(|| "(withdrawn)".into());
    line.push(Style::Plain, text.split_whitespace().collect::<Vec<_>>().join(" "));
    if let Some(columns) = context.ui.columns() {
        line = line.truncated(columns);
    }
    context.ui.line(line)
}

/// The texts of posts, each thread opened once.
pub(super) struct Texts<'a> {
    app: &'a App,
    known: BTreeMap<EntryId, PostView>,
}

impl<'a> Texts<'a> {
    pub(super) fn new(app: &'a App) -> Self {
        Self { app, known: BTreeMap::new() }
    }

    /// The text of a post, none if it was withdrawn.
    pub(super) fn of(&mut self, post: &EntryId) -> Result<Option<String>, CliError> {
        if !self.known.contains_key(post)
            && let Some(view) = self.app.thread(post)?
        {
            for post in view.thread.posts {
                for alias in post.aliases.clone() {
                    self.known.insert(alias, post.clone());
                }
                self.known.insert(post.id, post);
            }
        }
        Ok(self.known.get(post).and_then(|post| match &post.text {
            PostText::Current(text) => Some(text.clone()),
            PostText::Withdrawn => None,
        }))
    }
}
