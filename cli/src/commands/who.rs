//! `lanai who`: the members of the community, and what they know.

use std::collections::BTreeMap;

use lanai_crdt::id::DeviceId;
use lanai_crdt::text::clean_line;
use lanai_node::store::Person as Member;
use serde::Serialize;

use super::{Context, profile};
use crate::app::{App, People};
use crate::args::WhoArgs;
use crate::error::{CliError, Exit};
use crate::layout::{Indent, Style, Table, Text};
use crate::time;
use crate::view::shape::role_word;

#[derive(Serialize)]
struct Members {
    members: Vec<profile::ProfileShape>,
}

pub(super) fn run(context: &mut Context, args: &WhoArgs) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    app.catch_up()?;
    let people = app.people()?;
    let seen = seen(&app)?;
    let words: Vec<String> = args.words.iter().map(|word| word.to_lowercase()).collect();
    let mut members = app.store().people()?;
    members.retain(|member| words.iter().all(|word| mentions(member, word)));
    if context.ui.is_json() {
        let shape =
            |member: &Member| profile::ProfileShape::of(member, &people, last_seen(member, &seen));
        context.ui.json("members", &Members { members: members.iter().map(shape).collect() })?;
        return Ok(Exit::Done);
    }
    if members.is_empty() {
        context.ui.say("nobody's name or profile mentions that");
        return Ok(Exit::Done);
    }
    context.ui.start_pager();
    if words.is_empty() {
        let table = table(context, &members, &people, &seen);
        context.ui.table(&table)?;
    } else {
        for (place, member) in members.iter().enumerate() {
            if place > 0 {
                context.ui.blank()?;
            }
            matching(context, member, &people, &words)?;
        }
    }
    Ok(Exit::Done)
}

/// When each device was last reached from here, Unix milliseconds.
pub(super) fn seen(app: &App) -> Result<BTreeMap<DeviceId, u64>, CliError> {
    let mut seen = BTreeMap::new();
    for peer in app.store().peers()? {
        let latest: &mut u64 = seen.entry(peer.device).or_default();
        *latest = peer.seen_ms.max(*latest);
    }
    Ok(seen)
}

pub(super) fn last_seen(member: &Member, seen: &BTreeMap<DeviceId, u64>) -> Option<u64> {
    member.devices.iter().filter_map(|device| seen.get(device)).max().copied()
}

/// The fields of a profile that `lanai who` looks into, with their labels.
pub(super) fn fields(member: &Member) -> Vec<(&'static str, &str)> {
    let Some(profile) = &member.profile else { return Vec::new() };
    let fields = [
        ("posts held", &profile.posts_held),
        ("experience", &profile.experience),
        ("ask me about", &profile.ask_about),
        ("reach me", &profile.reach),
    ];
    fields.into_iter().filter_map(|(label, field)| Some((label, field.as_deref()?))).collect()
}

fn mentions(member: &Member, word: &str) -> bool {
    let has = |text: &str| clean_line(text).to_lowercase().contains(word);
    let name = member.profile.as_ref().is_some_and(|profile| has(&profile.name));
    name || has(role_word(member.role)) || fields(member).iter().any(|(_, text)| has(text))
}

fn table(
    context: &Context,
    members: &[Member],
    people: &People,
    seen: &BTreeMap<DeviceId, u64>,
) -> Table {
    let terminal = context.ui.out_is_terminal();
    let mut table =
        Table::new().column("ID").flexible("NAME").column("ROLE").numbers("DEVICES").column("SEEN");
    for member in members {
        let id = if terminal { member.member.short() } else { member.member.full() };
        let mut role = Text::from(role_word(member.role));
        if member.pending {
            role.push(Style::Warn, " (pending)");
        }
        let me = people.me() == Some(member.member);
        let last = last_seen(member, seen).map(time::seconds);
        let last = match last {
            _ if me && terminal => String::new(),
            Some(last) if terminal => time::ago(last, context.now()),
            Some(last) => time::rfc3339(last).unwrap_or_default(),
            None if terminal => "never".into(),
            None => String::new(),
        };
        let name = people.shown(&member.member);
        let name = if me && terminal { name.with(Style::Dim, " (you)") } else { name };
        table.row([
            Text::styled(Style::Id, id),
            name,
            role,
            Text::from(member.devices.len().to_string()),
            Text::styled(Style::Dim, last),
        ]);
    }
    table
}

/// A member with the fields that hold one of the words.
fn matching(
    context: &mut Context,
    member: &Member,
    people: &People,
    words: &[String],
) -> Result<(), CliError> {
    let id = Text::styled(Style::Id, member.member.short()).plain("  ");
    let role = format!(", {}", role_word(member.role));
    context.ui.line(id.then(people.shown_to_me(&member.member)).with(Style::Dim, role))?;
    for (label, text) in fields(member) {
        let lower = clean_line(text).to_lowercase();
        if words.iter().any(|word| lower.contains(word)) {
            let first = Text::styled(Style::Dim, format!("  {label}: "));
            context.ui.block(text, &Indent { first, rest: Text::from("    ") })?;
        }
    }
    Ok(())
}
