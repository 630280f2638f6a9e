//! Reading a page: `page show`, `page log`, `page diff`, `page blame`, and its place in `read`.

use std::collections::BTreeMap;

use lanai_crdt::id::EntryId;
use lanai_crdt::page::{PageBody, Status};
use lanai_crdt::payload::PageKind;
use lanai_node::store::{PageSource, PageView};

use super::{Place, cite, version};
use crate::app::{App, People};
use crate::args::{PageDiffArgs, PageShowArgs, WhichPage};
use crate::commands::Context;
use crate::error::{CliError, Exit};
use crate::layout::{Indent, Style, Text};
use crate::time;
use crate::ui::Ui;
use crate::view::page as shape;

/// Who wrote an entry, for the eye.
fn writer(people: &People, sources: &BTreeMap<EntryId, PageSource>, id: &EntryId) -> Text {
    match sources.get(id).and_then(|s| s.member) {
        Some(member) => people.shown_to_me(&member),
        None => Text::styled(Style::Dim, "somebody who was no member"),
    }
}

fn when(sources: &BTreeMap<EntryId, PageSource>, id: &EntryId, now: i64) -> String {
    sources.get(id).map_or_else(String::new, |s| time::ago(time::seconds(s.time_ms), now))
}

/// The writers of a text, by how much of it is theirs.
fn writers(people: &People, view: &PageView) -> Text {
    let mut share: BTreeMap<_, u64> = BTreeMap::new();
    for span in &view.spans {
        if let Some(member) = view.sources.get(&span.source).and_then(|s| s.member) {
            *share.entry(member).or_default() += u64::from(span.length);
        }
    }
    let mut share: Vec<_> = share.into_iter().collect();
    share.sort_by_key(|(member, n)| (std::cmp::Reverse(*n), *member));
    let mut out = Text::new();
    for (at, (member, _)) in share.iter().enumerate() {
        if at > 0 {
            out.push(Style::Dim, ", ");
        }
        out = out.then(people.shown(member));
    }
    out
}

/// One line on how the page came about.
fn about(people: &People, view: &PageView, now: i64) -> Text {
    if view.weaves == 0 {
        return match view.kind {
            PageKind::Question => Text::styled(Style::Dim, "as it was asked"),
            PageKind::Answer => Text::styled(Style::Dim, "nobody wrote to it yet"),
        };
    }
    let mut line = Text::styled(Style::Dim, "by ").then(writers(people, view));
    let latest = view.latest_ms.map(|ms| time::ago(time::seconds(ms), now)).unwrap_or_default();
    let changes = match view.weaves {
        1 => format!(" · changed {latest}"),
        n => format!(" · {n} changes, the last {latest}"),
    };
    line.push(Style::Dim, changes);
    line
}

/// What a reader must know beside the text.
fn remarks(ui: &mut Ui, people: &People, view: &PageView, now: i64) -> Result<(), CliError> {
    let mut note = |text: Text| ui.indented(text, &Indent::spaces(2));
    if view.left > 0 {
        note(Text::styled(
            Style::Warn,
            format!("catching up: {} changes are still to be applied", view.left),
        ))?;
    }
    if view.heads.len() > 1 {
        let text = format!(
            "merged from {} branches that did not see each other; whoever edits next joins them",
            view.heads.len()
        );
        note(Text::styled(Style::Dim, text))?;
    } else if let Some(merged) = &view.merged {
        let who = writer(people, &view.sources, merged);
        let when = when(&view.sources, merged, now);
        note(
            Text::styled(Style::Dim, "branches joined by ")
                .then(who)
                .with(Style::Dim, format!(", {when}")),
        )?;
    }
    for conflict in &view.conflicts {
        note(Text::styled(Style::Warn, "two wordings of the same words:"))?;
        for (id, wording) in &conflict.wordings {
            let who = writer(people, &view.sources, id);
            let line = Text::from("  ")
                .then(who)
                .with(Style::Dim, ": ")
                .plain(format!("\"{}\"", wording.trim()));
            note(line)?;
        }
    }
    let aside = [
        (view.aside.earlier, "written on an earlier start of the text"),
        (view.aside.waiting, "waiting for what they are built on"),
        (view.aside.flood, "folded away as a flood"),
        (view.aside.unreadable, "unreadable"),
    ];
    let aside: Vec<String> =
        aside.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    if !aside.is_empty() {
        let text = format!("not in the text: {} (lanai page log)", aside.join(", "));
        note(Text::styled(Style::Dim, text))?;
    }
    Ok(())
}

/// Whom the text cites.
fn credits(
    ui: &mut Ui,
    people: &People,
    cited: &[cite::Cited],
    thread: &EntryId,
) -> Result<(), CliError> {
    if cited.is_empty() {
        return Ok(());
    }
    ui.blank()?;
    ui.line(Text::styled(Style::Dim, "It cites"))?;
    let mut told = Vec::new();
    for c in cited {
        if told.contains(&c.post.id) {
            continue;
        }
        told.push(c.post.id);
        let mut line =
            Text::from("  ").with(Style::Id, c.post.id.short()).plain("  ").then(c.author(people));
        if c.thread != *thread {
            line.push(Style::Dim, format!(", in thread {}", c.thread.short()));
        }
        ui.line(line)?;
    }
    Ok(())
}

fn proposals(ui: &mut Ui, people: &People, view: &PageView, now: i64) -> Result<(), CliError> {
    for proposal in &view.proposals {
        ui.blank()?;
        let line = Text::styled(Style::Heading, "Proposed wording ")
            .with(Style::Id, proposal.id.short())
            .with(Style::Dim, " by ")
            .then(writer(people, &view.sources, &proposal.id))
            .with(Style::Dim, format!(", {}", when(&view.sources, &proposal.id, now)));
        ui.line(line)?;
        if let Some(reason) = &proposal.reason {
            ui.indented(Text::styled(Style::Dim, "because: ").plain(reason), &Indent::spaces(2))?;
        }
        match &proposal.text {
            Some(text) => ui.block(text, &Indent::spaces(2))?,
            None => ui.line(Text::styled(Style::Warn, "  (it cannot be shown)"))?,
        }
    }
    if let Some(first) = view.proposals.first() {
        ui.hint(format!(
            "lanai page take {} {}   takes it over (who asked, leads)",
            view.thread.short(),
            first.id.short()
        ));
    }
    Ok(())
}

pub(super) fn show(context: &mut Context, args: &PageShowArgs) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    let people = app.people()?;
    let place = Place::find(&app, &args.which)?;
    let now = context.now();
    let mut view = place.view.clone();
    if let Some(typed) = &args.at {
        let at = version(&app, &place, typed)?;
        let text = app.store().page_at(&view.thread, place.kind, &[at])?;
        view.text = text.ok_or_else(|| {
            CliError::not_found("that change is not part of the text, so there is no version of it")
        })?;
        view.heads = vec![at];
        (view.spans, view.conflicts, view.proposals) = Default::default();
    }
    let cited = cite::cited(&app, &view.text)?;
    if context.ui.is_json() {
        let cites: Vec<EntryId> = cited.iter().map(|c| c.post.id).collect();
        context.ui.json("page", &shape::page(&view, &people, &cites))?;
        return Ok(Exit::Done);
    }
    context.ui.start_pager();
    let ui = &mut context.ui;
    let what = match place.kind {
        PageKind::Question => "Question",
        PageKind::Answer => "Answer",
    };
    ui.line(Text::styled(Style::Heading, format!("{what}: {}", place.spot.thread().title)))?;
    match &args.at {
        Some(_) => ui.line(Text::styled(
            Style::Dim,
            format!("as of {}", view.heads.first().map(EntryId::short).unwrap_or_default()),
        ))?,
        None => ui.line(about(&people, &view, now))?,
    }
    if !view.text.trim().is_empty() {
        ui.blank()?;
        ui.block(&cite::with_names(&view.text, &cited, &people), &Indent::spaces(2))?;
    }
    credits(ui, &people, &cited, &view.thread)?;
    if args.at.is_none() {
        remarks(ui, &people, &view, now)?;
        proposals(ui, &people, &view, now)?;
        if view.text.is_empty() {
            ui.hint(format!("lanai page edit {}", view.thread.short()));
        }
    }
    Ok(Exit::Done)
}

/// The question page of a thread, where somebody changed it or proposes to: `read` shows it.
fn question_of(app: &App, thread: &EntryId) -> Result<Option<PageView>, CliError> {
    let view = app.store().page(thread, PageKind::Question)?;
    Ok(view.filter(|v| v.weaves > 0 || !v.proposals.is_empty()))
}

/// Shows the refined question and the woven answer above the posts of a thread.
pub(in crate::commands) fn answer_above(
    context: &mut Context,
    app: &App,
    people: &People,
    thread: &EntryId,
) -> Result<(), CliError> {
    let now = context.now();
    let short = thread.short();
    if let Some(view) = question_of(app, thread)? {
        let ui = &mut context.ui;
        if view.weaves > 0 {
            ui.blank()?;
            ui.line(
                Text::styled(Style::Heading, "The question now ").then(about(people, &view, now)),
            )?;
            ui.block(&view.text, &Indent::spaces(2))?;
        }
        if !view.proposals.is_empty() {
            let n = view.proposals.len();
            let what = if n == 1 {
                "another wording is".into()
            } else {
                format!("{n} other wordings are")
            };
            ui.blank()?;
            let line = format!("{what} proposed: lanai page show {short} --question");
            ui.line(Text::styled(Style::Warn, line))?;
        }
    }
    let Some(view) = app.store().page(thread, PageKind::Answer)? else { return Ok(()) };
    if view.weaves == 0 || view.text.trim().is_empty() {
        return Ok(());
    }
    let cited = cite::cited(app, &view.text)?;
    let ui = &mut context.ui;
    ui.blank()?;
    ui.line(Text::styled(Style::Good, "The answer ").then(about(people, &view, now)))?;
    ui.block(&cite::with_names(&view.text, &cited, people), &Indent::spaces(2))?;
    remarks(ui, people, &view, now)
}

fn status_word(status: &Status) -> (Style, String) {
    match status {
        Status::Applied => (Style::Good, "in the text".into()),
        Status::Pending => (Style::Dim, "being applied".into()),
        Status::Waiting(ids) => (
            Style::Warn,
            format!("waits for {}", ids.first().map(EntryId::short).unwrap_or_default()),
        ),
        Status::Malformed(reason) => (Style::Bad, format!("unreadable: {reason}")),
        Status::Uncounted => (Style::Warn, "does not count: its writer was no member".into()),
        Status::Flood => (Style::Warn, "folded away: too many branches of one member".into()),
        Status::OtherGeneration => (Style::Dim, "on an earlier start of the text".into()),
        Status::Proposed => (Style::Warn, "proposed".into()),
    }
}

pub(super) fn log(context: &mut Context, which: &WhichPage) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    let people = app.people()?;
    let place = Place::find(&app, which)?;
    let log = app.store().page_log(&place.view.thread, place.kind)?;
    let Some(log) = log else { return Err(CliError::not_found("there is no such page")) };
    if context.ui.is_json() {
        let entries: Vec<_> = log
            .entries
            .iter()
            .map(|e| shape::log_entry(e, &log.sources, &people, &status_word(&e.status).1))
            .collect();
        context.ui.json("page-log", &shape::Log { thread: place.view.thread.full(), entries })?;
        return Ok(Exit::Done);
    }
    if log.entries.is_empty() {
        context.ui.say("nobody wrote to it yet");
        return Ok(Exit::Done);
    }
    let now = context.now();
    context.ui.start_pager();
    for e in log.entries.iter().rev() {
        let ui = &mut context.ui;
        let (style, word) = status_word(&e.status);
        let head = Text::styled(Style::Id, e.entry.id.short())
            .plain("  ")
            .then(writer(&people, &log.sources, &e.entry.id))
            .with(Style::Dim, format!(", {} · ", when(&log.sources, &e.entry.id, now)))
            .with(style, word);
        ui.line(head)?;
        let indent = Indent::spaces(4);
        match &e.entry.body {
            PageBody::Generation { text, .. } => {
                let chars = text.chars().count();
                ui.indented(
                    Text::styled(Style::Dim, format!("the text afresh, {chars} characters")),
                    &indent,
                )?;
            }
            PageBody::Weave(splices) if splices.is_empty() => {
                let built: Vec<String> = e.entry.deps.iter().map(EntryId::short).collect();
                ui.indented(
                    Text::styled(Style::Dim, format!("joins {}", built.join(" and "))),
                    &indent,
                )?;
            }
            _ => {
                for s in e.entry.splices() {
                    let gone = if s.delete > 0 { format!("-{} ", s.delete) } else { String::new() };
                    let line = Text::styled(Style::Dim, format!("at {}: {gone}", s.at));
                    ui.indented(line.plain(format!("+\"{}\"", s.insert.trim_end())), &indent)?;
                }
            }
        }
    }
    Ok(Exit::Done)
}

pub(super) fn blame(context: &mut Context, which: &WhichPage) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    let people = app.people()?;
    let place = Place::find(&app, which)?;
    let view = &place.view;
    if context.ui.is_json() {
        context.ui.json("page-blame", &shape::blame(view, &people))?;
        return Ok(Exit::Done);
    }
    if view.spans.is_empty() {
        context.ui.say("nobody wrote to it yet");
        return Ok(Exit::Done);
    }
    let now = context.now();
    context.ui.start_pager();
    for (span, part) in shape::parts(view) {
        let ui = &mut context.ui;
        let mut head = Text::styled(Style::Id, span.source.short())
            .plain("  ")
            .then(writer(&people, &view.sources, &span.source))
            .with(Style::Dim, format!(", {}", when(&view.sources, &span.source, now)));
        if let Some(by) = &span.claimed_by {
            head = head
                .with(Style::Dim, ", as ")
                .then(writer(&people, &view.sources, by))
                .with(Style::Dim, " says");
        }
        ui.line(head)?;
        let shown = if part.trim().is_empty() { "(only space)" } else { part.trim_matches('\n') };
        ui.block(shown, &Indent::spaces(4))?;
    }
    Ok(Exit::Done)
}

pub(super) fn diff(context: &mut Context, args: &PageDiffArgs) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    let place = Place::find(&app, &args.which)?;
    let (thread, kind) = (place.view.thread, place.kind);
    let at = |heads: &[EntryId]| -> Result<String, CliError> {
        app.store().page_at(&thread, kind, heads)?.ok_or_else(|| {
            CliError::not_found("that change is not part of the text, so there is no version of it")
        })
    };
    let from = match &args.from {
        Some(typed) => vec![version(&app, &place, typed)?],
        None => before_latest(&app, &place)?,
    };
    let after = match &args.to {
        Some(typed) => at(&[version(&app, &place, typed)?])?,
        None => place.view.text.clone(),
    };
    let before = at(&from)?;
    let lines = shape::line_diff(&before, &after);
    if context.ui.is_json() {
        context.ui.json("page-diff", &shape::Diff { thread: thread.full(), lines })?;
        return Ok(Exit::Done);
    }
    if lines.iter().all(|l| l.sign == ' ') {
        context.ui.say("the two versions are the same");
        return Ok(Exit::Done);
    }
    context.ui.start_pager();
    for line in &lines {
        let style = match line.sign {
            '+' => Style::Good,
            '-' => Style::Bad,
            _ => Style::Plain,
        };
        let text = Text::styled(style, format!("{} {}", line.sign, line.text));
        context.ui.indented(text, &Indent::default())?;
    }
    Ok(Exit::Done)
}

/// What the latest change that is in the text was built on.
fn before_latest(app: &App, place: &Place) -> Result<Vec<EntryId>, CliError> {
    let log = app.store().page_log(&place.view.thread, place.kind)?;
    let entries = log.map(|l| l.entries).unwrap_or_default();
    let mut changes = entries
        .iter()
        .rev()
        .filter(|e| e.status == Status::Applied && !e.entry.splices().is_empty());
    Ok(changes.next().map(|e| e.entry.deps.clone()).unwrap_or_default())
}
