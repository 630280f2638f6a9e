//! `lanai profile`: who a member is, and who we say we are.

use lanai_crdt::id::MemberId;
use lanai_crdt::payload::Profile;
use lanai_node::store::Person as Member;
use serde::Serialize;

use super::{Context, who};
use crate::app::{App, People};
use crate::args::ProfileArgs;
use crate::error::{CliError, Exit};
use crate::layout::{Indent, Style, Text};
use crate::time;
use crate::view::shape::role_word;

/// A member for JSON.
#[derive(Debug, Serialize)]
pub(super) struct ProfileShape {
    id: String,
    short: String,
    name: String,
    role: &'static str,
    pending: bool,
    me: bool,
    devices: Vec<String>,
    sponsor: Option<String>,
    last_seen: Option<String>,
    posts_held: Option<String>,
    experience: Option<String>,
    ask_about: Option<String>,
    reach: Option<String>,
}

impl ProfileShape {
    pub(super) fn of(member: &Member, people: &People, last_seen_ms: Option<u64>) -> Self {
        let profile = member.profile.clone().unwrap_or_default();
        Self {
            id: member.member.full(),
            short: member.member.short(),
            name: profile.name,
            role: role_word(member.role),
            pending: member.pending,
            me: people.me() == Some(member.member),
            devices: member.devices.iter().map(|device| device.full()).collect(),
            sponsor: member.sponsor.map(|sponsor| sponsor.full()),
            last_seen: last_seen_ms.and_then(|ms| time::rfc3339(time::seconds(ms))),
            posts_held: profile.posts_held,
            experience: profile.experience,
            ask_about: profile.ask_about,
            reach: profile.reach,
        }
    }
}

pub(super) fn run(context: &mut Context, args: &ProfileArgs) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    let changes = args.name.is_some()
        || args.held.is_some()
        || args.experience.is_some()
        || !args.ask_about.is_empty()
        || args.reach.is_some();
    if changes { change(context, &app, args) } else { show(context, &app, args.member.as_deref()) }
}

fn show(context: &mut Context, app: &App, typed: Option<&str>) -> Result<Exit, CliError> {
    app.catch_up()?;
    let people = app.people()?;
    let wanted = match typed {
        Some(typed) => people.find(typed)?,
        None => app.me()?,
    };
    let members = app.store().people()?;
    let Some(member) = members.into_iter().find(|member| member.member == wanted) else {
        return Err(CliError::not_found("that member is not in the community any more"));
    };
    let last = who::last_seen(&member, &who::seen(app)?);
    if context.ui.is_json() {
        context.ui.json("profile", &ProfileShape::of(&member, &people, last))?;
        return Ok(Exit::Done);
    }
    print(context, &member, &people, last)?;
    if typed.is_none() && who::fields(&member).is_empty() {
        context.ui.hint("tell others what to ask you about: lanai profile --ask-about \"…\"");
    }
    Ok(Exit::Done)
}

fn print(
    context: &mut Context,
    member: &Member,
    people: &People,
    last_seen_ms: Option<u64>,
) -> Result<(), CliError> {
    let role = format!(", {}", role_word(member.role));
    let name = people.shown_to_me(&member.member).with(Style::Dim, role);
    context.ui.line(name)?;
    let mut facts = vec![("member", member.member.short())];
    facts.push(("devices", member.devices.len().to_string()));
    if let Some(sponsor) = &member.sponsor {
        facts.push(("invited by", people.shown(sponsor).to_plain()));
    }
    if let Some(last) = last_seen_ms {
        facts.push(("last seen", time::ago(time::seconds(last), context.now())));
    }
    if member.pending {
        facts.push(("pending", "let in too late for the ticket; a steward has to decide".into()));
    }
    let facts = facts.iter().map(|(label, text)| (*label, text.as_str()));
    for (label, text) in facts.chain(who::fields(member)) {
        let first = Text::styled(Style::Dim, format!("  {label}: "));
        context.ui.block(text, &Indent { first, rest: Text::from("    ") })?;
    }
    Ok(())
}

fn change(context: &mut Context, app: &App, args: &ProfileArgs) -> Result<Exit, CliError> {
    let me: MemberId = app.me()?;
    let members = app.store().people()?;
    let before = members.into_iter().find(|member| member.member == me);
    let before = before.and_then(|member| member.profile).unwrap_or_default();
    let after = changed(&before, args)?;
    if after == before {
        context.ui.say("that is what it says already; nothing was published");
        return show(context, app, None);
    }
    let people = app.people()?;
    if args.name.is_some() && !people.lookalikes(&after.name, Some(me)).is_empty() {
        context
            .ui
            .warn("another member's name looks like this one; both are shown with their key marks");
    }
    let entry = app.new_profile(after)?;
    app.publish_one(context, entry)?;
    context.ui.say("your profile is published");
    show(context, app, None)
}

fn changed(before: &Profile, args: &ProfileArgs) -> Result<Profile, CliError> {
    let mut after = before.clone();
    if let Some(name) = &args.name {
        name.trim().clone_into(&mut after.name);
    }
    if after.name.is_empty() {
        return Err(CliError::usage("a name is needed").hint("give it with --name"));
    }
    let set = |field: &mut Option<String>, text: &Option<String>| {
        if let Some(text) = text {
            *field = Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        }
    };
    set(&mut after.posts_held, &args.held);
    set(&mut after.experience, &args.experience);
    set(&mut after.reach, &args.reach);
    if !args.ask_about.is_empty() {
        set(&mut after.ask_about, &Some(args.ask_about.join("\n")));
    }
    Ok(after)
}
