//! `lanai member`: who belongs to the community, in which role.

use lanai_crdt::id::MemberId;
use lanai_crdt::payload::{Body, GrantRole, History, Role, Subject};
use lanai_node::store::Person as Member;
use serde::Serialize;

use super::govern::{self, RecoveryKey, Why};
use super::{Context, back, profile, status, who};
use crate::app::{App, People, Person};
use crate::args::MemberCommand;
use crate::error::{CliError, Exit};
use crate::layout::{Style, Table, Text};
use crate::view::shape::role_word;

#[derive(Serialize)]
struct Members {
    /// How far back newcomers read.
    history: &'static str,
    members: Vec<profile::ProfileShape>,
}

#[derive(Serialize)]
struct Granted {
    member: Person,
    role: &'static str,
    was: &'static str,
    changed: bool,
}

pub(super) fn run(context: &mut Context, command: &MemberCommand) -> Result<Exit, CliError> {
    match command {
        MemberCommand::List => list(context),
        MemberCommand::Role { member, role, reason, recovery_key_file } => {
            let recovery = recovery_key_file.as_deref().map(RecoveryKey::read).transpose()?;
            let why = Why { reason: reason.as_deref(), recovery: recovery.as_ref() };
            change_role(context, member, (*role).into(), why)
        }
        MemberCommand::Remove { member, reason, recovery_key_file, yes } => {
            let recovery = recovery_key_file.as_deref().map(RecoveryKey::read).transpose()?;
            let why = Why { reason: reason.as_deref(), recovery: recovery.as_ref() };
            govern::remove(context, member, why, *yes)
        }
        MemberCommand::Vouch(args) => back::vouch(context, args),
        MemberCommand::Readmit(args) => back::readmit(context, args),
        MemberCommand::Restore(args) => back::restore(context, args),
        MemberCommand::Accept(args) => back::accept(context, args),
        MemberCommand::Log => govern::log(context),
    }
}

fn list(context: &mut Context) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    app.catch_up()?;
    let people = app.people()?;
    let members = app.store().people()?;
    if context.ui.is_json() {
        let seen = who::seen(&app)?;
        let shape = |member: &Member| {
            profile::ProfileShape::of(member, &people, who::last_seen(member, &seen))
        };
        let members = members.iter().map(shape).collect();
        let history = app.store().roster()?.history().word();
        context.ui.json("members", &Members { history, members })?;
        return Ok(Exit::Done);
    }
    context.ui.start_pager();
    let table = table(context, &members, &people);
    context.ui.table(&table)?;
    for pending in members.iter().filter(|m| m.pending) {
        context.ui.hint(back::restore_hint(&pending.member));
    }
    if app.store().roster()?.history() == History::FromAdmission {
        context.ui.say(status::NEWCOMERS);
    }
    Ok(Exit::Done)
}

/// Names are not unique, so each stands beside the key mark.
fn table(context: &Context, members: &[Member], people: &People) -> Table {
    let terminal = context.ui.out_is_terminal();
    let mut table = Table::new()
        .column("KEY MARK")
        .flexible("NAME")
        .column("ROLE")
        .numbers("DEVICES")
        .flexible("INVITED BY");
    for member in members {
        let id = if terminal { member.member.short() } else { member.member.full() };
        let mut role = Text::from(role_word(member.role));
        if member.pending {
            role.push(Style::Warn, " (pending)");
        }
        let name = people.name(&member.member).unwrap_or_default();
        let mut name = Text::styled(Style::Name, name);
        if terminal && people.me() == Some(member.member) {
            name.push(Style::Dim, " (you)");
        }
        table.row([
            Text::styled(Style::Id, id),
            name,
            role,
            Text::from(member.devices.len().to_string()),
            member.sponsor.map(|sponsor| people.shown(&sponsor)).unwrap_or_default(),
        ]);
    }
    table
}

fn change_role(
    context: &mut Context,
    typed: &str,
    role: Role,
    why: Why<'_>,
) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    app.catch_up()?;
    let people = app.people()?;
    let wanted: MemberId = people.find(typed)?;
    let roster = app.store().roster()?;
    let record = govern::present(&roster, &wanted)?;
    let (was, pending) = (record.role, record.pending);
    let name = people.shown(&wanted);
    if pending {
        return Err(CliError::refused(format!(
            "{} was let in too late for the ticket and is not a member yet",
            name.to_plain()
        ))
        .hint(back::restore_hint(&wanted)));
    }
    if role > was {
        let member = (*wanted.as_bytes()).into();
        let grant = Body::Role(GrantRole { member, role, recovery: None });
        let grant = why.signed(&roster, grant)?;
        govern::publish(context, &app, grant, why.reason)?;
    } else if role < was {
        let subject = Subject::Role((*wanted.as_bytes()).into(), role);
        govern::take_away(context, &app, record, subject, why)?;
    }
    if context.ui.is_json() {
        let shape = Granted {
            member: people.person(&wanted),
            role: role_word(role),
            was: role_word(was),
            changed: role != was,
        };
        context.ui.json("member-role", &shape)?;
    } else if role != was {
        context.ui.say(name.plain(format!(" is a {} now", role_word(role))));
    } else {
        context.ui.say(name.plain(format!(" was a {} already", role_word(role))));
    }
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::super::village::{House, assert_harmless};
    use super::*;

    #[test]
    fn members_are_listed_with_their_key_marks() {
        let ann = House::founder("Ann");
        let bob = ann.neighbour("Ann\u{202e}");
        let lines = ann.run(&["member", "list"]).ok();
        assert_eq!(lines.lines().count(), 2);
        assert!(lines.lines().next().unwrap().ends_with("\tAnn\tsteward\t1\t"), "{lines}");
        assert_harmless(&lines);
        let table = bob.on_terminal(&["member", "list"]).ok();
        assert!(table.contains("KEY MARK") && table.contains("(you)"), "{table}");
        let value = ann.json(&["member", "list"]);
        assert_eq!(value["members"][1]["role"], "member");
    }

    #[test]
    fn roles_are_granted_up_to_the_own_one() {
        let ann = House::founder("Ann");
        let bob = ann.neighbour("Bob");
        let cleo = ann.neighbour("Cleo");
        bob.pull(&ann);
        assert_eq!(bob.run(&["member", "role", "cleo", "lead"]).failed().exit, Exit::Refused);
        let done = ann.json(&["member", "role", "bob", "lead"]);
        assert_eq!((&done["was"], &done["changed"]), (&"member".into(), &true.into()));
        bob.pull(&ann);
        cleo.pull(&ann);
        assert_eq!(bob.json(&["member", "role", "cleo", "lead"])["role"], "lead");
        assert_eq!(ann.json(&["member", "role", "bob", "lead"])["changed"], false);
        assert_eq!(bob.run(&["member", "role", "ann", "member"]).failed().exit, Exit::Refused);
        assert_eq!(ann.json(&["member", "role", "bob", "member"])["was"], "lead");
        assert_eq!(ann.run(&["member", "role", "zed", "lead"]).failed().exit, Exit::NotFound);
    }
}
