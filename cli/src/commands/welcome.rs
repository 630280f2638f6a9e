//! `lanai welcome`: newcomers who have written and whom nobody has answered yet.

use lanai_node::store::Unanswered;
use serde::Serialize;

use super::{Context, status};
use crate::app::{App, Person};
use crate::error::{CliError, Exit};
use crate::layout::{Style, Table, Text};
use crate::time;

#[derive(Serialize)]
struct Welcome {
    newcomers: Vec<NewcomerShape>,
}

#[derive(Serialize)]
struct NewcomerShape {
    member: Person,
    thread: String,
    title: String,
    post: String,
    time: Option<String>,
}

pub(super) fn run(context: &mut Context) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    app.catch_up()?;
    let people = app.people()?;
    let waiting = app.store().unanswered()?;
    if context.ui.is_json() {
        let shape = |u: &Unanswered| NewcomerShape {
            member: people.person(&u.member),
            thread: u.thread.full(),
            title: u.title.clone(),
            post: u.post.full(),
            time: time::rfc3339(time::seconds(u.time_ms)),
        };
        let newcomers = waiting.iter().map(shape).collect();
        context.ui.json("welcome", &Welcome { newcomers })?;
        return Ok(Exit::Done);
    }
    if waiting.is_empty() {
        context.ui.say("everybody who wrote was answered");
        return Ok(Exit::Done);
    }
    let terminal = context.ui.out_is_terminal();
    let mut table = Table::new().column("ID").flexible("WHO").flexible("WROTE").column("WHEN");
    for u in &waiting {
        let seconds = time::seconds(u.time_ms);
        let when = if terminal {
            time::moment(seconds)
        } else {
            time::rfc3339(seconds).unwrap_or_default()
        };
        table.row([
            Text::styled(Style::Id, if terminal { u.post.short() } else { u.post.full() }),
            people.shown(&u.member),
            Text::from(&u.title),
            Text::styled(Style::Dim, when),
        ]);
    }
    context.ui.table(&table)?;
    context.ui.hint("`lanai reply ID` answers; who was answered once is off the list");
    Ok(Exit::Done)
}

/// Says how many wait, if any do.
pub(super) fn remind(context: &mut Context, app: &App) -> Result<(), CliError> {
    let waiting = u64::try_from(app.store().unanswered()?.len()).unwrap_or(u64::MAX);
    if waiting > 0 {
        let who = status::count(waiting, "member was", "members were");
        context.ui.hint(format!("{who} never answered by anybody: `lanai welcome`"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::village::{HOSTILE, House, assert_harmless, origin};

    #[test]
    fn newcomers_wait_until_somebody_answers() {
        let ann = House::founder("Ann");
        let bob = ann.neighbour("Bob");
        let cleo = ann.neighbour(HOSTILE);
        assert!(ann.run(&["welcome"]).err.contains("everybody who wrote was answered"));
        let note = bob.note("Good evening", "I am new here.");
        bob.post([note, note], "Nobody?");
        let asked = cleo.ask(&format!("Who?{HOSTILE}"), "x", &[]);
        ann.pull(&bob);
        ann.pull(&cleo);
        let waiting = ann.json(&["welcome"]);
        let waiting = waiting["newcomers"].as_array().unwrap();
        assert_eq!(waiting.len(), 2, "{waiting:?}");
        let bobs = waiting.iter().find(|w| w["member"]["name"] == "Bob").unwrap();
        assert_eq!(
            (&bobs["title"], &bobs["thread"]),
            (&"Good evening".into(), &note.full().into())
        );
        assert_harmless(&ann.on_terminal(&["welcome"]).ok());
        assert_eq!(bob.json(&["welcome"])["newcomers"].as_array().unwrap().len(), 0, "not oneself");

        ann.post([asked, asked], "I do.");
        let waiting = ann.json(&["welcome"]);
        assert_eq!(waiting["newcomers"][0]["member"]["name"], "Bob");
        assert_eq!(waiting["newcomers"].as_array().unwrap().len(), 1);
        ann.post([note, note], "Welcome!");
        assert_eq!(ann.json(&["welcome"])["newcomers"].as_array().unwrap().len(), 0);
        // What somebody imports is none of their own words.
        let old = lanai_crdt::payload::Note {
            title: "Old".into(),
            text: "x".into(),
            tags: Vec::new(),
            origin: origin("Dan", "<1@x>", 1_000_000_000),
        };
        let dan = ann.neighbour("Dan");
        dan.write(lanai_crdt::payload::Body::Note(old), []);
        ann.pull(&dan);
        assert_eq!(ann.json(&["welcome"])["newcomers"].as_array().unwrap().len(), 0);
    }
}
