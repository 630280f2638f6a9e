//! `lanai charter`: what the members of the community agree to.
//!
//! The text is a steward's, sealed like all that is written, so a newcomer sees it with the first
//! exchange after being let in. What somebody accepted stays in the own store.

use std::time::{Duration, Instant};

use lanai_crdt::payload::{Body, Community, History, Role};
use lanai_crdt::people::CommunityView;
use lanai_node::random::random_bytes;
use lanai_node::store::NewEntry;
use serde::Serialize;

use super::{Context, publish};
use crate::app::App;
use crate::args::CharterCommand;
use crate::compose::Template;
use crate::error::{CliError, Exit};
use crate::layout::{Indent, Style, Text};

const HELP: &str = "\
What the members of this community agree to. Everybody sees each version, and who set it.
Nothing from the line above on is published.";
/// The setting of the store that holds the text which was accepted.
const ACCEPTED: &str = "charter";
/// How long a newcomer waits for the charter.
const PATIENCE: Duration = Duration::from_secs(5);
/// Pause between two looks whether it has come.
const LOOK: Duration = Duration::from_millis(50);

#[derive(Serialize)]
struct CharterShape {
    charter: Option<String>,
    version: Option<String>,
    accepted: bool,
}

pub(super) fn run(context: &mut Context, command: &CharterCommand) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    app.catch_up()?;
    match command {
        CharterCommand::Show => {}
        CharterCommand::Accept => {
            let view = current(&app)?.ok_or_else(none)?;
            accepted(&app, view.charter.as_deref())?;
            context.ui.say("accepted");
        }
        CharterCommand::Edit(text) => edit(context, &app, &text.message)?,
    }
    let Some(view) = current(&app)? else {
        if context.ui.is_json() {
            let shape = CharterShape { charter: None, version: None, accepted: false };
            context.ui.json("charter", &shape)?;
            return Ok(Exit::Done);
        }
        return Err(none());
    };
    let accepted = is_accepted(&app, &view)?;
    if context.ui.is_json() {
        let version = Some(view.entry.full());
        context.ui.json("charter", &CharterShape { charter: view.charter, version, accepted })?;
    } else if matches!(command, CharterCommand::Show) {
        show(context, &app, &view)?;
        if !accepted {
            context.ui.hint("`lanai charter accept` accepts it; only you see whether you did");
        }
    }
    Ok(Exit::Done)
}

fn none() -> CliError {
    CliError::not_found("this community has no charter")
        .hint("a steward sets one: `lanai charter edit`")
}

/// The present version, if it has a text.
fn current(app: &App) -> Result<Option<CommunityView>, CliError> {
    Ok(app.store().community_info()?.view.filter(|v| v.charter.is_some()))
}

fn accepted(app: &App, text: Option<&str>) -> Result<(), CliError> {
    Ok(app.store().set_setting(ACCEPTED, text.map(str::as_bytes))?)
}

/// The same text may be set again, and is not to be accepted again.
fn is_accepted(app: &App, view: &CommunityView) -> Result<bool, CliError> {
    let text = view.charter.as_ref().map(String::as_bytes);
    Ok(app.store().setting(ACCEPTED)?.as_deref() == text)
}

fn show(context: &mut Context, app: &App, view: &CommunityView) -> Result<(), CliError> {
    let by = app.people()?.shown_to_me(&view.by);
    let heading = Text::from("What ").with(Style::Heading, &view.name).plain(" agrees to, set by ");
    context.ui.line(heading.then(by))?;
    let text = view.charter.as_deref().unwrap_or_default();
    for line in text.trim_end().lines() {
        match line.trim() {
            "" => context.ui.blank()?,
            line => context.ui.indented(line, &Indent::spaces(2))?,
        }
    }
    Ok(())
}

fn edit(context: &mut Context, app: &App, messages: &[String]) -> Result<(), CliError> {
    let standing = app.store().roster()?.standing(&app.store().own_device());
    if standing.is_none_or(|s| s.role < Role::Steward) {
        return Err(CliError::refused("the charter is set by stewards")
            .hint("`lanai ask` is where a change is talked over"));
    }
    let missing = || CliError::failed("no-name", "the community's name has not come yet");
    let view = app.store().community_info()?.view.ok_or_else(missing)?;
    let template = Template {
        initial: view.charter.as_deref().unwrap_or_default(),
        help: HELP,
        readers: None,
    };
    let written = publish::Written::get(context, app, messages, "charter", template, false)?;
    let text = written.text.trim_end().to_owned();
    let body =
        Community { name: view.name, charter: Some(text.clone()), salt: random_bytes().into() };
    let entry = NewEntry::new(Body::Community(body), view.heads);
    written.publish(context, app, Ok(entry))?;
    accepted(app, Some(&text))?;
    context.ui.say("set; members see it and are asked to accept it");
    Ok(())
}

/// Says so where there is a charter that was not accepted.
pub(super) fn remind(context: &mut Context, app: &App) -> Result<(), CliError> {
    if let Some(view) = current(app)?
        && !is_accepted(app, &view)?
    {
        context.ui.hint("what the members agree to is new to you: `lanai charter show`");
    }
    Ok(())
}

/// Shows a newcomer the charter once it has come, and asks whether it is accepted.
pub(super) fn meet(context: &mut Context, app: &App, accept: bool) -> Result<(), CliError> {
    let until = Instant::now() + PATIENCE;
    // The name comes with it, also where there is no charter.
    while app.store().community_info()?.view.is_none() && Instant::now() < until {
        app.catch_up()?;
        std::thread::sleep(LOOK);
    }
    if app.store().roster()?.history() == History::FromAdmission {
        context
            .ui
            .say("in this community you read what is written from now on, not what was before");
    }
    let Some(view) = current(app)? else { return Ok(()) };
    if !accept && (context.ui.is_json() || !context.ui.can_ask()) {
        return remind(context, app);
    }
    if !context.ui.is_json() {
        show(context, app, &view)?;
    }
    if accept || context.ui.ask("Do you accept this? [y/N]")?.to_lowercase().starts_with('y') {
        return accepted(app, view.charter.as_deref());
    }
    context.ui.warn("you are in, and have not accepted what the others agreed to");
    context.ui.hint("`lanai charter accept` does it later, `lanai leave` takes you out again");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::village::{HOSTILE, House, assert_harmless};
    use super::*;

    #[test]
    fn stewards_set_the_charter_and_each_accepts_it() {
        let ann = House::founder("Ann");
        let bob = ann.neighbour("Bob");
        assert_eq!(bob.run(&["charter", "show"]).failed().exit, Exit::NotFound);
        assert_eq!(bob.json(&["charter", "show"])["charter"], serde_json::Value::Null);
        assert_eq!(bob.run(&["charter", "accept"]).failed().exit, Exit::NotFound);
        assert_eq!(bob.run(&["charter", "edit", "-m", "x"]).failed().exit, Exit::Refused);

        let first = ann.json(&["charter", "edit", "-m", "Be kind.", "-m", HOSTILE]);
        assert_eq!(first["accepted"], true);
        bob.pull(&ann);
        let shown = bob.run(&["charter", "show"]);
        assert!(shown.out.contains("Be kind.") && shown.out.contains("Ann"), "{}", shown.out);
        assert!(shown.err.contains("lanai charter accept"), "{}", shown.err);
        assert_harmless(&shown.out);
        assert_eq!(bob.json(&["charter", "accept"])["accepted"], true);
        assert!(!bob.run(&["charter", "show"]).err.contains("accept"));

        // A new version is to be accepted anew.
        ann.run(&["charter", "edit", "-m", "Be kind and brief."]).ok();
        bob.pull(&ann);
        let now = bob.json(&["charter", "show"]);
        assert_eq!(
            (&now["charter"], &now["accepted"]),
            (&"Be kind and brief.".into(), &false.into())
        );
        assert_eq!(ann.json(&["status"])["community"]["name"], "porch");
    }
}
