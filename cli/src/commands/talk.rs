//! `lanai talk`: a few members apart, and what of it comes back.

use std::collections::BTreeSet;

use lanai_crdt::id::{EntryId, MemberId};
use lanai_crdt::limits::{MAX_SIDE_MEMBERS, MAX_TITLE_BYTES};
use lanai_crdt::payload::Said;
use lanai_crdt::side::{SideProposal, SideTalk};
use lanai_crdt::thread::PostText;
use lanai_node::random::OsRandom;
use lanai_node::store::SideTalkView;
use serde::Serialize;

use super::{Context, govern, publish, reply};
use crate::app::{App, People, Person};
use crate::args::{
    TalkAddArgs, TalkCommand, TalkConsentArgs, TalkOpenArgs, TalkPublishArgs, TextArgs,
};
use crate::compose::Template;
use crate::error::{CliError, Exit};
use crate::layout::{Indent, Style, Table, Text};
use crate::time;

const OPEN_HELP: &str = "\
You open a side talk. Markdown is fine.
Nothing from the line above on is sent; an empty text opens nothing.";

const PUBLISH_HELP: &str = "\
You propose what is to be brought back to the thread, for all members to read. It is published once all
who spoke in the talk consent. Markdown is fine.
Nothing from the line above on is sent; an empty text proposes nothing.";

/// What stands below a text that came back from a side talk, before the names.
const FROM: &str = "\n\n*From a side talk of ";
/// And behind them.
const CONSENTED: &str = ", with the consent of all of them.*";

#[derive(Serialize)]
struct Talks {
    talks: Vec<TalkShape>,
}

/// A side talk for JSON.
#[derive(Serialize)]
pub(super) struct TalkShape {
    id: String,
    short: String,
    title: String,
    members: Vec<Person>,
    about: String,
    posts: usize,
    unread: usize,
    active: Option<String>,
    proposals: Vec<ProposalShape>,
}

#[derive(Serialize)]
struct ProposalShape {
    id: String,
    short: String,
    by: Person,
    text: String,
    agreed: Vec<Person>,
    missing: Vec<Person>,
}

#[derive(Serialize)]
struct Added {
    talk: String,
    members: Vec<Person>,
}

#[derive(Serialize)]
struct Proposed {
    talk: String,
    proposal: String,
    missing: Vec<Person>,
}

pub(super) fn run(context: &mut Context, command: &TalkCommand) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    app.catch_up()?;
    app.store().open_side_talks(&app.author()?)?;
    match command {
        TalkCommand::Open(args) => open(context, &app, args),
        TalkCommand::List => list(context, &app),
        TalkCommand::Add(args) => add(context, &app, args),
        TalkCommand::Publish(args) => publish(context, &app, args),
        TalkCommand::Consent(args) => consent(context, &app, args),
    }
}

/// Members by what was typed, oneself left out.
fn members(app: &App, people: &People, names: &[String]) -> Result<BTreeSet<MemberId>, CliError> {
    let roster = app.store().roster()?;
    let me = app.me()?;
    let mut found = BTreeSet::new();
    for name in names.iter().flat_map(|n| n.split(',')).filter(|n| !n.trim().is_empty()) {
        found.insert(govern::present(&roster, &people.find(name)?)?.id);
    }
    found.remove(&me);
    if found.len() > MAX_SIDE_MEMBERS {
        return Err(CliError::usage(format!("{MAX_SIDE_MEMBERS} members can be named at once")));
    }
    Ok(found)
}

fn persons<'m>(people: &People, members: impl IntoIterator<Item = &'m MemberId>) -> Vec<Person> {
    members.into_iter().map(|m| people.person(m)).collect()
}

fn open(context: &mut Context, app: &App, args: &TalkOpenArgs) -> Result<Exit, CliError> {
    let people = app.people()?;
    let spot = app.find_post(&args.id)?;
    if spot.view().readers.is_some() {
        return Err(CliError::usage("that is in a side talk already").hint(format!(
            "`lanai talk add {} NAME` lets more members in",
            spot.thread().root.short()
        )));
    }
    let with = members(app, &people, &args.with)?;
    if with.is_empty() {
        return Err(CliError::usage("name somebody beside yourself").hint("`lanai who` lists all"));
    }
    let title = match &args.title {
        Some(title) => publish::titled(Some(title), "")?.0,
        None => title_of(&spot.thread().title),
    };
    let mut readers = with.clone();
    readers.insert(app.me()?);
    let purpose = format!("talk {}", spot.post().id.short());
    let template = Template { initial: "", help: OPEN_HELP, readers: Some(&readers) };
    let messages = &args.text.message;
    let written = publish::Written::get(context, app, messages, &purpose, template, false)?;
    let about = (spot.thread().root, spot.post().id);
    let (author, now) = (app.author()?, (context.clock)());
    let opened = app.store().open_side_talk(
        &author,
        now,
        &mut OsRandom,
        about,
        &with,
        &title,
        &written.text,
    );
    let id = written.keep_on_error(opened.map_err(CliError::from))?;
    app.written(context)?;
    context.ui.say(app.who_can_read(&people, Some(&readers))?);
    publish::report(context, "the side talk is open", &id, &id)?;
    Ok(Exit::Done)
}

/// The title of the thread, as that of a talk beside it; a withdrawn one has none.
fn title_of(thread: &str) -> String {
    let thread = if thread.is_empty() { "side talk" } else { thread };
    let mut end = thread.len().min(MAX_TITLE_BYTES);
    while !thread.is_char_boundary(end) {
        end -= 1;
    }
    thread.get(..end).unwrap_or_default().to_owned()
}

fn list(context: &mut Context, app: &App) -> Result<Exit, CliError> {
    let people = app.people()?;
    let talks = app.store().side_talks()?;
    if context.ui.is_json() {
        let talks = talks.iter().map(|v| shape(app, &people, v)).collect::<Result<_, _>>()?;
        context.ui.json("talks", &Talks { talks })?;
        return Ok(Exit::Done);
    }
    if talks.is_empty() {
        context.ui.say("you take part in no side talk");
        context.ui.hint("`lanai talk open POST --with NAME` opens one");
        return Ok(Exit::Done);
    }
    let mut table = Table::new().column("ID").flexible("TITLE").flexible("WITH");
    for view in &talks {
        let talk = &view.talk;
        let mut about = Text::styled(Style::Heading, &talk.thread.title);
        if !view.unread.is_empty() {
            about = about.plain(" ").with(Style::Unread, format!("{} new", view.unread.len()));
        }
        let with = people.names_of(&talk.members);
        table.row([
            Text::styled(Style::Id, talk.thread.root.short()),
            about,
            Text::styled(Style::Dim, with),
        ]);
    }
    context.ui.table(&table)?;
    for view in &talks {
        tell_proposals(context, app, &people, &view.talk.thread.root)?;
    }
    Ok(Exit::Done)
}

/// Where the proposals of a talk stand.
pub(super) fn tell_proposals(
    context: &mut Context,
    app: &App,
    people: &People,
    talk: &EntryId,
) -> Result<(), CliError> {
    let Some(talk) = app.store().side_talk(talk)? else { return Ok(()) };
    for proposal in &talk.proposals {
        tell_proposal(context, app, people, &talk, proposal)?;
    }
    Ok(())
}

/// Side talks in which something is new, as the inbox lists them.
pub(super) fn list_new(
    context: &mut Context,
    people: &People,
    talks: &[SideTalkView],
) -> Result<(), CliError> {
    let new: usize = talks.iter().map(|v| v.unread.len()).sum();
    let heading = Text::styled(Style::Heading, "Side talks");
    context.ui.line(heading.with(Style::Unread, format!("  {new} new")))?;
    for view in talks {
        let talk = &view.talk;
        let line = Text::styled(Style::Id, talk.thread.root.short())
            .plain("  ")
            .with(Style::Plain, &talk.thread.title)
            .with(Style::Dim, format!("  {}", people.names_of(&talk.members)))
            .with(Style::Unread, format!("  {} new", view.unread.len()));
        context.ui.indented(line, &Indent::spaces(2))?;
    }
    Ok(())
}

/// Where a proposal stands; nothing, where it was published.
fn tell_proposal(
    context: &mut Context,
    app: &App,
    people: &People,
    talk: &SideTalk,
    proposal: &SideProposal,
) -> Result<(), CliError> {
    if is_published(app, talk, proposal)? {
        return Ok(());
    }
    let me = app.me()?;
    let missing = missing(app, talk, proposal)?;
    let short = talk.thread.root.short();
    let by = people.shown(&proposal.by).to_plain();
    context.ui.hint(if missing.contains(&me) {
        format!("{by} wants to bring something back from {short}: `lanai talk consent {short}`")
    } else if !missing.is_empty() {
        format!("from {short} nothing comes back before {} consent", people.names_of(&missing))
    } else if proposal.by == me {
        format!("all consent: `lanai talk publish {short}` brings it back")
    } else {
        format!("all consent; {by} can publish it from {short}")
    });
    Ok(())
}

fn missing(
    app: &App,
    talk: &SideTalk,
    proposal: &SideProposal,
) -> Result<BTreeSet<MemberId>, CliError> {
    let roster = app.store().roster()?;
    Ok(talk.missing_consents(proposal, |m| roster.members().any(|r| r.id == *m && !r.pending)))
}

/// What is said below the text that comes back.
fn summary(people: &People, talk: &SideTalk, proposal: &SideProposal) -> String {
    let names = people.names_for_all(&talk.spoke);
    format!("{}{FROM}{names}{CONSENTED}", proposal.text)
}

fn is_published(app: &App, talk: &SideTalk, proposal: &SideProposal) -> Result<bool, CliError> {
    let Some(view) = app.thread(&talk.about.0)? else { return Ok(false) };
    let begin = format!("{}{FROM}", proposal.text);
    let is_it = |text: &String| text.starts_with(&begin) && text.ends_with(CONSENTED);
    let mut own = view.thread.posts.iter().filter(|p| p.author == proposal.by);
    Ok(own.any(|p| {
        let now = match &p.text {
            PostText::Current(text) => Some(text),
            PostText::Withdrawn => None,
        };
        now.into_iter().chain(&p.original).any(is_it)
    }))
}

/// A side talk for JSON.
pub(super) fn shape(
    app: &App,
    people: &People,
    view: &SideTalkView,
) -> Result<TalkShape, CliError> {
    let talk = &view.talk;
    let mut proposals = Vec::new();
    for p in &talk.proposals {
        proposals.push(ProposalShape {
            id: p.id.full(),
            short: p.id.short(),
            by: people.person(&p.by),
            text: p.text.clone(),
            agreed: persons(people, &p.agreed),
            missing: persons(people, &missing(app, talk, p)?),
        });
    }
    Ok(TalkShape {
        id: talk.thread.root.full(),
        short: talk.thread.root.short(),
        title: talk.thread.title.clone(),
        members: persons(people, &talk.members),
        about: talk.about.1.full(),
        posts: talk.thread.posts.len(),
        unread: view.unread.len(),
        active: time::rfc3339(time::seconds(talk.thread.last_activity)),
        proposals,
    })
}

/// The talk that a typed id is in, and the entry that was named.
fn find(app: &App, typed: &str) -> Result<(SideTalk, EntryId), CliError> {
    let id = app.find_id(typed)?;
    let talk = app.store().side_talk(&id)?.ok_or_else(|| {
        CliError::not_found(format!("{typed} is no side talk of yours")).hint("`lanai talk list`")
    })?;
    Ok((talk, id))
}

fn add(context: &mut Context, app: &App, args: &TalkAddArgs) -> Result<Exit, CliError> {
    let people = app.people()?;
    let (talk, _) = find(app, &args.id)?;
    let root = talk.thread.root;
    let new: BTreeSet<MemberId> =
        members(app, &people, &args.names)?.difference(&talk.members).copied().collect();
    if !new.is_empty() {
        let names = people.names_of(&new);
        let question = format!("Let {names} read all that was said in it, and what comes?");
        context.ui.confirm(question, args.yes)?;
    }
    let (author, now) = (app.author()?, (context.clock)());
    let done = app.store().let_into_side_talk(&author, now, &mut OsRandom, &root, &new)?;
    if !done.is_empty() {
        app.written(context)?;
    }
    let all = talk.members.union(&new).copied().collect();
    if context.ui.is_json() {
        let members = persons(&people, &all);
        context.ui.json("talk", &Added { talk: root.full(), members })?;
    } else if done.is_empty() {
        context.ui.say("all of them can read it already, on every device");
    } else {
        context.ui.say(app.who_can_read(&people, Some(&all))?);
    }
    Ok(Exit::Done)
}

fn publish(context: &mut Context, app: &App, args: &TalkPublishArgs) -> Result<Exit, CliError> {
    let people = app.people()?;
    let (talk, _) = find(app, &args.id)?;
    let me = app.me()?;
    let own = talk.proposals.iter().rev().find(|p| p.by == me);
    if let Some(proposal) = own.filter(|_| args.text.message.is_empty())
        && !is_published(app, &talk, proposal)?
    {
        return bring_back(context, app, &people, &talk, proposal);
    }
    propose(context, app, &people, &talk, &args.text)
}

fn propose(
    context: &mut Context,
    app: &App,
    people: &People,
    talk: &SideTalk,
    text: &TextArgs,
) -> Result<Exit, CliError> {
    let root = talk.thread.root;
    let purpose = format!("publish {}", root.short());
    let template = Template { initial: "", help: PUBLISH_HELP, readers: Some(&talk.members) };
    let written = publish::Written::get(context, app, &text.message, &purpose, template, false)?;
    let (author, now) = (app.author()?, (context.clock)());
    let said = Said::Proposal(written.text.clone());
    let id = app.store().say_in_side_talk(&author, now, &mut OsRandom, &root, &said);
    let id = written.keep_on_error(id.map_err(CliError::from))?;
    app.written(context)?;
    let (talk, _) = find(app, &root.full())?;
    let missing = match talk.proposals.iter().find(|p| p.id == id) {
        Some(proposal) => missing(app, &talk, proposal)?,
        None => BTreeSet::new(),
    };
    if context.ui.is_json() {
        let (talk, proposal) = (root.full(), id.full());
        let missing = persons(people, &missing);
        context.ui.json("proposal", &Proposed { talk, proposal, missing })?;
        return Ok(Exit::Done);
    }
    context.ui.say("proposed");
    let short = root.short();
    context.ui.hint(match missing.is_empty() {
        true => format!("nobody else spoke: `lanai talk publish {short}` brings it back"),
        false => format!(
            "once {} consent, `lanai talk publish {short}` brings it back",
            people.names_of(&missing)
        ),
    });
    Ok(Exit::Done)
}

fn bring_back(
    context: &mut Context,
    app: &App,
    people: &People,
    talk: &SideTalk,
    proposal: &SideProposal,
) -> Result<Exit, CliError> {
    let missing = missing(app, talk, proposal)?;
    if !missing.is_empty() {
        let names = people.names_of(&missing);
        return Err(CliError::refused(format!("{names} did not consent so far"))
            .hint(format!("they type `lanai talk consent {}`", talk.thread.root.short())));
    }
    let spot = app.find_post(&talk.about.1.full())?;
    let met = reply::wording(app, &spot)?;
    let body = reply::body(summary(people, talk, proposal), false, &met);
    let id = app.publish_one(context, app.about(&spot, people, body)?)?;
    context.ui.say(app.who_can_read(people, None)?);
    publish::report(context, "brought back", &id, &spot.thread().root)?;
    Ok(Exit::Done)
}

fn consent(context: &mut Context, app: &App, args: &TalkConsentArgs) -> Result<Exit, CliError> {
    let people = app.people()?;
    let (talk, named) = find(app, &args.id)?;
    let root = talk.thread.root;
    let me = app.me()?;
    let waits = |p: &&SideProposal| !p.agreed.contains(&me) && (named == root || p.id == named);
    let waiting: Vec<&SideProposal> = talk.proposals.iter().filter(waits).collect();
    let [proposal] = waiting.as_slice() else {
        if waiting.is_empty() {
            return Err(CliError::failed(
                "nothing-proposed",
                "nothing in it waits for your consent",
            )
            .hint(format!("lanai read {}", root.short())));
        }
        let ids: Vec<String> = waiting.iter().map(|p| p.id.short()).collect();
        return Err(crate::app::ambiguous("several texts wait for your consent".into(), &ids)
            .hint("name one of them; `lanai talk list --json` has their texts"));
    };
    let by = people.shown(&proposal.by).to_plain();
    if !context.ui.is_json() {
        context.ui.say(format!("{by} wants to bring this back to the thread:"));
        context.ui.block(&proposal.text, &Indent::spaces(2))?;
        context.ui.flush()?;
    }
    let all = app.who_can_read(&people, None)?;
    context.ui.confirm(format!("{all} Do you consent?"), args.yes)?;
    let (author, now) = (app.author()?, (context.clock)());
    let said = Said::Consent((*proposal.id.as_bytes()).into());
    app.store().say_in_side_talk(&author, now, &mut OsRandom, &root, &said)?;
    app.written(context)?;
    let mut missing = missing(app, &talk, proposal)?;
    missing.remove(&me);
    if context.ui.is_json() {
        let (talk, proposal) = (root.full(), proposal.id.full());
        let missing = persons(&people, &missing);
        context.ui.json("consent", &Proposed { talk, proposal, missing })?;
    } else if missing.is_empty() {
        context.ui.say(format!("you consent, as all do; {by} can publish it now"));
    } else {
        context.ui.say(format!("you consent; {} did not so far", people.names_of(&missing)));
    }
    Ok(Exit::Done)
}
