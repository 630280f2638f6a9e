//! What is here already when somebody is about to ask: earlier threads like the draft, and people
//! who may know. Made from this device's own store, so they come without a link.

use lanai_crdt::payload::{Body, React, Reaction};
use lanai_crdt::thread::PostText;
use lanai_node::store::{Expert, Similar, Who};
use serde::Serialize;

use super::{Context, search, who};
use crate::app::{App, People};
use crate::error::CliError;
use crate::layout::{Indent, Style, Text};
use crate::time;

/// Threads offered.
const MAX_THREADS: usize = 5;
/// People named.
const MAX_PEOPLE: usize = 3;

/// Earlier threads and people.
#[derive(Debug, Default)]
pub(super) struct Hints {
    pub(super) threads: Vec<Similar>,
    people: Vec<Expert>,
}

/// What a reader made of the hints.
#[derive(Debug)]
pub(super) enum Verdict {
    /// The ask is to be sent.
    Ask,
    /// One of them helped: nothing is asked.
    Helped(Similar),
}

#[derive(Serialize)]
pub(super) struct HintsShape {
    threads: Vec<ThreadShape>,
    people: Vec<who::ExpertShape>,
}

#[derive(Serialize)]
struct ThreadShape {
    thread: String,
    post: String,
    title: String,
    state: Option<&'static str>,
    has_outcome: bool,
    has_answer: bool,
    words: Vec<String>,
    time: Option<String>,
    snippet: String,
    matches: Vec<[usize; 2]>,
}

impl Hints {
    pub(super) fn find(app: &App, people: &People, text: &str) -> Result<Self, CliError> {
        app.catch_up()?;
        let threads = app.store().similar(text, MAX_THREADS)?;
        let mut named = app.store().people_for(text, MAX_PEOPLE + 1)?;
        named.retain(|expert| match &expert.who {
            Who::Member(member) => people.me() != Some(*member),
            Who::Origin(_) => true,
        });
        named.truncate(MAX_PEOPLE);
        Ok(Self { threads, people: named })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.threads.is_empty() && self.people.is_empty()
    }

    pub(super) fn shape(&self, people: &People) -> HintsShape {
        let thread = |s: &Similar| ThreadShape {
            thread: s.thread.full(),
            post: s.post.full(),
            title: s.title.clone(),
            state: s.state.map(|state| state.word()),
            has_outcome: s.has_outcome,
            has_answer: s.has_answer,
            words: s.words.clone(),
            time: time::rfc3339(time::seconds(s.time_ms)),
            snippet: s.snippet.clone(),
            matches: search::ranges(&s.matches),
        };
        HintsShape {
            threads: self.threads.iter().map(thread).collect(),
            people: self.people.iter().map(|e| who::ExpertShape::of(e, people)).collect(),
        }
    }

    /// The hints as lines, threads numbered from 1 where they can be chosen.
    fn lines(&self, people: &People, now: i64, numbered: bool) -> Vec<Text> {
        let mut out = Vec::new();
        for (place, similar) in self.threads.iter().enumerate() {
            let mut head = match numbered {
                true => Text::styled(Style::Id, format!("{}  ", place + 1)),
                false => Text::styled(Style::Id, format!("{}  ", similar.post.short())),
            };
            head.push(Style::Heading, &similar.title);
            let mut about: Vec<String> = Vec::new();
            about.extend(similar.state.map(|state| state.word().to_owned()));
            if similar.has_outcome {
                about.push("outcome told".into());
            }
            about.push(time::ago(time::seconds(similar.time_ms), now));
            head.push(Style::Dim, format!("  {}", about.join(", ")));
            out.push(head);
            let snippet = search::marked(&similar.snippet, &similar.matches, Style::Plain);
            out.push(Text::from("   ").then(snippet));
        }
        for expert in &self.people {
            let name = match &expert.who {
                Who::Member(member) => people.shown(member),
                Who::Origin(name) => Text::styled(Style::Name, name),
            };
            let mut line = name.plain(": ");
            if let Some(reason) = expert.reasons.first() {
                line = line.then(who::in_words(reason));
            }
            out.push(line);
        }
        out
    }

    /// Prints them as what was asked for.
    pub(super) fn print(&self, context: &mut Context, people: &People) -> Result<(), CliError> {
        let now = context.now();
        for line in self.lines(people, now, false) {
            context.ui.line(line)?;
        }
        Ok(())
    }

    /// Tells them beside what was done.
    pub(super) fn tell(&self, context: &mut Context, people: &People) {
        if self.is_empty() {
            return;
        }
        context.ui.say("You may also read, or ask:");
        let now = context.now();
        for line in self.lines(people, now, false) {
            context.ui.say(line);
        }
    }

    /// Shows them to somebody at a terminal before anything is sent, and lets one be read.
    pub(super) fn offer(
        &self,
        context: &mut Context,
        app: &App,
        people: &People,
    ) -> Result<Verdict, CliError> {
        if self.is_empty() {
            return Ok(Verdict::Ask);
        }
        context.ui.say("Before it is sent: this is here already.");
        let now = context.now();
        for line in self.lines(people, now, true) {
            context.ui.say(line);
        }
        loop {
            let answer = context.ui.ask("Read one (its number), or send the ask (Enter)?")?;
            if answer.is_empty() {
                return Ok(Verdict::Ask);
            }
            let number = answer.parse::<usize>().ok().and_then(|n| n.checked_sub(1));
            let Some(similar) = number.and_then(|at| self.threads.get(at)) else {
                context.ui.say("type one of the numbers, or nothing");
                continue;
            };
            read(context, app, similar)?;
            let answer = context.ui.ask("Did this help, so that nothing has to be asked? [y/N]")?;
            if matches!(answer.to_lowercase().as_str(), "y" | "yes") {
                return Ok(Verdict::Helped(similar.clone()));
            }
        }
    }
}

/// Shows the post that is like the draft, whole.
fn read(context: &mut Context, app: &App, similar: &Similar) -> Result<(), CliError> {
    context.ui.line(Text::styled(Style::Heading, &similar.title))?;
    let view = app.thread(&similar.post)?;
    let post = view.as_ref().and_then(|view| {
        let posts = &view.thread.posts;
        posts.iter().find(|p| p.id == similar.post || p.aliases.contains(&similar.post))
    });
    if let Some(PostText::Current(text)) = post.map(|post| &post.text) {
        context.ui.block(text, &Indent::spaces(2))?;
    }
    context.ui.hint(format!("the whole thread: lanai read {}", similar.post.short()));
    context.ui.flush()
}

/// Says of the post that it helped, as an answer to the ask that was not sent. Nothing new where it
/// was said before.
pub(super) fn helped(
    context: &mut Context,
    app: &App,
    people: &People,
    similar: &Similar,
) -> Result<(), CliError> {
    let me = app.me()?;
    let spot = app.find_post(&similar.post.full())?;
    let there = spot.post().reactions.get(&Reaction::Helped).is_some_and(|by| by.contains(&me));
    if !there {
        let react = Body::React(React { reaction: Reaction::Helped, on: true });
        let entry = app.about(&spot, people, react)?;
        app.publish_one(context, entry)?;
    }
    Ok(())
}
