//! A thread to be read in a terminal.
//!
//! Each post stands below the one it answers, indented by its depth. The indent stops growing
//! where it would leave too little room for the text; from there on, a post says whom it answers.
//! Everything a peer wrote goes through [`Text`], which cleans it.

use std::collections::{BTreeSet, HashMap};

use lanai_crdt::id::EntryId;
use lanai_crdt::payload::Origin;
use lanai_crdt::thread::{
    ActStanding, Deed, LeadAct, PostKind, PostText, PostView, Thread, ThreadKind,
};
use lanai_node::store::{Stance, Watch};

use super::Reading;
use super::shape::help_word;
use crate::commands::file::{named, state_style};
use crate::error::CliError;
use crate::layout::{Indent, Style, Text};
use crate::time;
use crate::ui::Ui;

/// Levels that are indented, at most.
const MAX_LEVELS: usize = 8;
/// Columns of a level.
const LEVEL: usize = 2;
/// The part of a terminal's width that indent may take: one in this many.
const SHARE: usize = 3;
/// Names listed for one reaction.
const MAX_REACTORS: usize = 10;

/// How to lay a thread out.
#[derive(Debug, Clone, Copy, Default)]
pub struct Look {
    /// In order of time instead of as a tree.
    pub flat: bool,
    /// With the earlier texts of edited posts.
    pub history: bool,
    /// With what leads folded away.
    pub hidden: bool,
    /// With who is known to hold each post.
    pub holders: bool,
    /// The post that was asked for, to be found at a glance.
    pub focus: Option<EntryId>,
}

/// Prints the title and what is known of the thread as a whole.
///
/// # Errors
///
/// Those of writing.
pub fn heading(ui: &mut Ui, reading: &Reading<'_>) -> Result<(), CliError> {
    let thread = reading.thread;
    let title = if thread.title.is_empty() {
        Text::styled(Style::Dim, "(withdrawn)")
    } else {
        Text::styled(Style::Heading, &thread.title)
    };
    ui.line(title)?;
    let mut about = Text::new();
    if thread.kind == ThreadKind::Ask {
        about = about.then(state(reading)).with(Style::Dim, " · ");
    }
    let posts = reading.posts();
    about =
        about.with(Style::Dim, if posts == 1 { "1 post".into() } else { format!("{posts} posts") });
    if !reading.unread.is_empty() {
        about = about
            .with(Style::Dim, ", ")
            .with(Style::Unread, format!("{} new", reading.unread.len()));
    }
    for tag in &thread.tags {
        about = about.plain(" ").with(Style::Tag, format!("#{tag}"));
    }
    let stance = stance_words(reading.stance, reading.now_ms);
    if !stance.is_empty() {
        about = about.with(Style::Dim, format!(" · {stance}"));
    }
    if thread.pinned.is_some() {
        about = about.with(Style::Dim, " · ").with(Style::Good, "pinned");
    }
    if thread.featured().is_some() {
        about = about.with(Style::Dim, " · ").with(Style::Good, "featured");
    }
    ui.line(about)?;
    if let Some(readers) = reading.readers {
        let names = reading.people.names_of(readers);
        ui.line(Text::styled(Style::Warn, format!("side talk: only {names} can read it")))?;
    }
    if let Some(deed) = &thread.retitled {
        ui.line(by("title given", deed, reading))?;
    }
    elsewhere(ui, reading)
}

/// `hidden by Ann Lee: names a patient`
fn by(what: &str, deed: &Deed, reading: &Reading<'_>) -> Text {
    let mut text =
        Text::styled(Style::Dim, format!("{what} by ")).then(reading.people.shown_to_me(&deed.by));
    if let Some(reason) = deed.reason.as_deref().filter(|r| !r.trim().is_empty()) {
        text.push(Style::Dim, format!(": {reason}"));
    }
    text
}

/// What was written here and is shown elsewhere.
fn elsewhere(ui: &mut Ui, reading: &Reading<'_>) -> Result<(), CliError> {
    let thread = reading.thread;
    let shown: BTreeSet<EntryId> = thread.posts.iter().map(|p| p.id).collect();
    let gone = thread
        .acts
        .iter()
        .filter(|act| act.standing == ActStanding::InForce && !shown.contains(&act.post));
    for act in gone {
        let deed = Deed { by: act.by, reason: act.reason.clone(), entry: act.entry };
        let line = match &act.act {
            LeadAct::Split { title, .. } => {
                by(&format!("\u{ab}{title}\u{bb} split off"), &deed, reading)
            }
            LeadAct::Under { .. } => by("a part moved to another thread", &deed, reading),
            _ => continue,
        };
        let hint = format!(" (lanai read {})", act.post.short());
        ui.line(line.with(Style::Dim, hint))?;
    }
    Ok(())
}

/// Where a post came from that a lead put here.
fn moved(reading: &Reading<'_>, post: &PostView) -> Option<Text> {
    let moved = post.moved.as_ref()?;
    let title = if moved.title.is_empty() { "(withdrawn)" } else { &moved.title };
    let what = if moved.from == post.id {
        format!("the thread \u{ab}{title}\u{bb}, merged here")
    } else if post.parent.is_none() {
        format!("split off from \u{ab}{title}\u{bb}")
    } else {
        format!("moved here from \u{ab}{title}\u{bb}")
    };
    Some(by(&what, &moved.deed, reading))
}

/// The state of an ask, by whom it is worked, and what there is of an answer and an outcome.
fn state(reading: &Reading<'_>) -> Text {
    use lanai_crdt::payload::ThreadState;
    let thread = reading.thread;
    let mut state = state_word(thread.state);
    if thread.state == ThreadState::Working {
        for (place, worker) in reading.workers.iter().enumerate() {
            let before = if place == 0 { ", by " } else { " and " };
            state = state.plain(before).then(reading.people.shown_to_me(worker));
        }
    }
    match (reading.parts(), thread.state) {
        (0, ThreadState::Answered) => state.push(Style::Dim, ", no post marked"),
        (0, _) => {}
        (1, _) => state.push(Style::Good, ", 1 post is part of the answer"),
        (n, _) => state.push(Style::Good, format!(", {n} posts are part of the answer")),
    }
    match (reading.outcomes(), thread.state) {
        (0, ThreadState::Closed) => state.push(Style::Dim, ", without an outcome"),
        (0, _) => {}
        (_, _) => state.push(Style::Good, ", with an outcome"),
    }
    state
}

/// What the reader wants to hear of a thread, as a few words; nothing for an ordinary one.
#[must_use]
pub fn stance_words(stance: Stance, now_ms: u64) -> String {
    let mut words = Vec::new();
    match stance.watch {
        Watch::Normal => {}
        Watch::Watched => words.push("watched".to_owned()),
        Watch::Muted => words.push("muted".to_owned()),
    }
    if let Some(until) = stance.snoozed_until.filter(|until| *until > now_ms) {
        words.push(format!("snoozed until {}", time::moment(time::seconds(until))));
    }
    words.join(", ")
}

/// A state in its colour.
#[must_use]
pub fn state_word(state: lanai_crdt::payload::ThreadState) -> Text {
    use lanai_crdt::payload::ThreadState;
    let style = match state {
        ThreadState::Open => Style::Warn,
        ThreadState::Working => Style::Plain,
        ThreadState::Answered => Style::Good,
        ThreadState::Closed => Style::Dim,
    };
    Text::styled(style, state.word())
}

/// Prints these posts of a thread, which must be in its order (or, for [`Look::flat`], in any).
///
/// # Errors
///
/// Those of writing.
pub fn posts<'a>(
    ui: &mut Ui,
    reading: &Reading<'_>,
    posts: impl IntoIterator<Item = &'a PostView>,
    look: Look,
) -> Result<(), CliError> {
    let authors: HashMap<EntryId, &PostView> =
        reading.thread.posts.iter().map(|p| (p.id, p)).collect();
    let levels = levels(ui.columns());
    let mut shown = BTreeSet::new();
    for post in posts {
        ui.blank()?;
        // Where the indent does not tell which post is answered, words do.
        let tells = |parent: &EntryId| {
            !look.flat && usize::from(post.depth) <= levels && shown.contains(parent)
        };
        let untold = post.parent.filter(|parent| !tells(parent));
        let answered = untold.and_then(|parent| authors.get(&parent).copied());
        one(ui, reading, post, answered, look, levels)?;
        shown.insert(post.id);
    }
    Ok(())
}

fn levels(columns: Option<usize>) -> usize {
    columns.map_or(MAX_LEVELS, |columns| (columns / SHARE / LEVEL).min(MAX_LEVELS))
}

fn one(
    ui: &mut Ui,
    reading: &Reading<'_>,
    post: &PostView,
    answered: Option<&PostView>,
    look: Look,
    levels: usize,
) -> Result<(), CliError> {
    let depth = if look.flat { 0 } else { usize::from(post.depth) };
    let level = depth.min(levels);
    let guide = if ui.out_is_terminal() { "│ " } else { "  " };
    let margin = Text::styled(Style::Dim, guide.repeat(level));
    // Two columns for the unread mark, which the text is then indented by.
    let text_margin = Indent::all(margin.clone().plain("  "));
    let mark = if look.focus == Some(post.id) {
        Text::styled(Style::Heading, "→ ")
    } else if reading.unread.contains(&post.id) {
        Text::styled(Style::Unread, "● ")
    } else {
        Text::from("  ")
    };
    let first = margin.clone().then(mark);
    let head = header(reading, post, answered, look);
    ui.indented(head, &Indent { first, rest: text_margin.first.clone() })?;
    if let Some(moved) = moved(reading, post) {
        ui.indented(moved, &text_margin)?;
    }
    if let Some(deed) = &post.featured
        && post.kind != PostKind::Root
    {
        ui.indented(by("featured", deed, reading), &text_margin)?;
    }
    if let Some(deed) = &post.hidden {
        let line = by("hidden", deed, reading);
        let hint = format!(" (lanai read {} --hidden)", post.id.short());
        let line = if look.hidden { line } else { line.with(Style::Dim, hint) };
        ui.indented(line, &text_margin)?;
        if !look.hidden {
            return Ok(());
        }
    }
    match &post.text {
        PostText::Withdrawn => {
            ui.indented(Text::styled(Style::Dim, "(withdrawn by its author)"), &text_margin)?;
        }
        PostText::Current(text) if text.trim().is_empty() => {}
        PostText::Current(text) => ui.block(text, &text_margin)?,
    }
    if post.kind == PostKind::Root {
        form(ui, reading.thread, &text_margin)?;
    }
    if post.text != PostText::Withdrawn {
        files(ui, reading, post, &text_margin)?;
    }
    reactions(ui, reading, post, &text_margin)?;
    if look.history {
        history(ui, reading, post, &text_margin)?;
    }
    Ok(())
}

/// `+ map.pdf (1.2 MB), here · lanai file get k3f9-27aa`
fn files(
    ui: &mut Ui,
    reading: &Reading<'_>,
    post: &PostView,
    margin: &Indent,
) -> Result<(), CliError> {
    for (file, here) in reading.files_of(post) {
        let mut line = Text::styled(Style::Dim, "+ ").plain(named(file)).with(Style::Dim, ", ");
        line.push(state_style(*here), here.words());
        if file.author != post.author {
            line =
                line.with(Style::Dim, ", added by ").then(reading.people.shown_to_me(&file.author));
        }
        line.push(Style::Dim, format!(" · lanai file get {}", file.id.short()));
        ui.indented(line, margin)?;
    }
    Ok(())
}

/// `k3f9-27aa  Ann Lee, 3 h ago · edited twice · part of the answer`
fn header(reading: &Reading<'_>, post: &PostView, answered: Option<&PostView>, look: Look) -> Text {
    let people = reading.people;
    let mut head = Text::styled(Style::Id, post.id.short()).plain("  ");
    if post.kind == PostKind::Outcome {
        head.push(Style::Good, "OUTCOME ");
    }
    head = head.then(author(reading, post));
    if let Some(to) = answered {
        head = head.with(Style::Dim, " to ").then(author_name(reading, to));
        head.push(Style::Dim, format!(" ({})", to.id.short()));
    }
    let now = time::seconds(reading.now_ms);
    let when = match &post.origin {
        Some(origin) => time::ago(origin.plausible, now),
        None => time::ago(time::seconds(post.time.millis()), now),
    };
    head.push(Style::Dim, format!(", {when}"));
    if let Some(claim) = post.origin.as_ref().and_then(claim) {
        head.push(Style::Dim, format!(" ({claim})"));
    }
    if post.origin.is_some() {
        let importer = people.shown_to_me(&post.author);
        head = head.with(Style::Dim, " (imported by ").then(importer).with(Style::Dim, ")");
    }
    let mut note = |style, text: String| {
        head.push(Style::Dim, " · ");
        head.push(style, text);
    };
    match post.edits.len() {
        0 => {}
        1 => note(Style::Dim, "edited".into()),
        times => note(Style::Dim, format!("edited {times}×")),
    }
    if post.part_of_answer {
        note(Style::Good, "✓ part of the answer".into());
    }
    if post.time.is_unsure(reading.now_ms) {
        note(Style::Warn, "clock unsure".into());
    }
    if let Some(members) = reading.holders.and_then(|all| all.get(&post.id)) {
        let me = people.me();
        if members.iter().all(|member| Some(*member) == me) {
            note(Style::Warn, "nobody else has it yet".into());
        } else if look.holders {
            note(Style::Dim, format!("held by {}", people.names_of(members)));
        }
    }
    if post.orphan {
        let missing =
            post.wanted_parent.map(|p| format!("answers {}, which is not here yet", p.short()));
        note(Style::Warn, missing.unwrap_or_else(|| "answers a post of another thread".into()));
    }
    head
}

/// The date that an archive claims, where it is not the one shown.
fn claim(origin: &Origin) -> Option<String> {
    match (origin.claimed, &origin.claimed_text) {
        (Some(claimed), _) if claimed == origin.plausible => None,
        (Some(claimed), _) => Some(format!("dated {}", time::day(claimed))),
        (None, Some(text)) => Some(format!("dated \"{text}\"")),
        (None, None) => Some("undated".into()),
    }
}

fn author(reading: &Reading<'_>, post: &PostView) -> Text {
    match &post.origin {
        Some(origin) => Text::styled(Style::Name, shown_origin(origin)),
        None => reading.people.shown_to_me(&post.author),
    }
}

fn author_name(reading: &Reading<'_>, post: &PostView) -> Text {
    match &post.origin {
        Some(origin) => Text::styled(Style::Name, shown_origin(origin)),
        None => reading.people.shown(&post.author),
    }
}

/// The name of an original author, or that there is none.
#[must_use]
pub fn shown_origin(origin: &Origin) -> &str {
    if origin.name.trim().is_empty() { "(no name)" } else { &origin.name }
}

/// The rest of an ask, below its situation.
fn form(ui: &mut Ui, thread: &Thread, margin: &Indent) -> Result<(), CliError> {
    let Some(ask) = &thread.ask else { return Ok(()) };
    let mut field = |label: &str, text: &str| {
        let label = Text::styled(Style::Dim, label);
        let first = margin.first.clone().then(label);
        ui.block(text, &Indent { first, rest: margin.rest.clone().plain("  ") })
    };
    if let Some(decide) = &ask.decide {
        field("to decide: ", decide)?;
    }
    if let Some(by) = ask.need_by {
        field("needed by: ", &time::day(time::seconds(by)))?;
    }
    if let Some(tried) = &ask.tried {
        field("tried: ", tried)?;
    }
    if !ask.helps.is_empty() {
        let words: Vec<&str> = ask.helps.iter().copied().map(help_word).collect();
        field("would help: ", &words.join(", "))?;
    }
    Ok(())
}

fn reactions(
    ui: &mut Ui,
    reading: &Reading<'_>,
    post: &PostView,
    margin: &Indent,
) -> Result<(), CliError> {
    let mut line = Text::new();
    for (reaction, members) in &post.reactions {
        if !line.is_empty() {
            line.push(Style::Dim, " · ");
        }
        line.push(Style::Dim, format!("{}: ", reaction.word().replace('-', " ")));
        for (place, member) in members.iter().take(MAX_REACTORS).enumerate() {
            if place > 0 {
                line.push(Style::Dim, ", ");
            }
            line = line.then(reading.people.shown(member));
        }
        if let Some(more) = members.len().checked_sub(MAX_REACTORS).filter(|more| *more > 0) {
            line.push(Style::Dim, format!(" and {more} more"));
        }
    }
    if line.is_empty() { Ok(()) } else { ui.indented(line, margin) }
}

fn history(
    ui: &mut Ui,
    reading: &Reading<'_>,
    post: &PostView,
    margin: &Indent,
) -> Result<(), CliError> {
    let now = time::seconds(reading.now_ms);
    let inner = Indent::all(margin.rest.clone().with(Style::Dim, "¦ "));
    let shown_original = post.edits.iter().all(|edit| !edit.current);
    let mut version = |label: String, text: &str| {
        ui.indented(Text::styled(Style::Dim, label), margin)?;
        ui.block(text, &inner)
    };
    if let Some(original) = &post.original
        && !shown_original
    {
        version("first text:".into(), original)?;
    }
    for edit in post.edits.iter().filter(|edit| !edit.current) {
        let when = time::ago(time::seconds(edit.time.millis()), now);
        version(format!("edit {}, {when}:", edit.id.short()), &edit.text)?;
    }
    Ok(())
}
