//! What stewards do to the membership, and the list of all that was done.

use lanai_crdt::id::{EntryId, MemberId};
use lanai_crdt::limits::MAX_REASON_BYTES;
use lanai_crdt::payload::{Body, GrantRole, Proposal, Reason, Remove, Subject};
use lanai_crdt::roster::{MemberRecord, Roster, Verdict};
use lanai_node::random::OsRandom;
use lanai_node::store::{MembershipAct, NewEntry, NewRef};
use serde::Serialize;

use super::Context;
use crate::app::{App, People, Person};
use crate::error::{CliError, Exit};
use crate::layout::{Style, Table, Text};
use crate::time;
use crate::view::shape::role_word;

#[derive(Serialize)]
struct Removed {
    member: Person,
    reason: Option<String>,
}

#[derive(Serialize)]
struct Acts {
    acts: Vec<ActShape>,
}

#[derive(Serialize)]
struct ActShape {
    id: String,
    time: Option<String>,
    by: Option<Person>,
    what: &'static str,
    member: Option<Person>,
    role: Option<&'static str>,
    reason: Option<String>,
    counts: bool,
    /// Why it does not count.
    why_not: Option<String>,
}

/// Who is in the roster.
pub(super) fn present<'r>(
    roster: &'r Roster,
    wanted: &MemberId,
) -> Result<&'r MemberRecord, CliError> {
    roster
        .member(wanted)
        .ok_or_else(|| CliError::not_found("that member is not in the community any more"))
}

/// Writes an act with its reason; gives the act.
pub(super) fn publish(
    context: &mut Context,
    app: &App,
    act: Body,
    reason: Option<&str>,
) -> Result<EntryId, CliError> {
    let mut new = vec![NewEntry::new(act, [])];
    if let Some(text) = reason.map(str::trim).filter(|r| !r.is_empty()) {
        if text.len() > MAX_REASON_BYTES {
            let message = format!("the reason is over {MAX_REASON_BYTES} bytes");
            return Err(CliError::usage(message));
        }
        let body = Body::Reason(Reason { text: text.to_owned() });
        new.push(NewEntry { body, refs: vec![NewRef::Batch(0)] });
    }
    let ids = app.publish(context, new)?;
    ids.first().copied().ok_or_else(|| CliError::internal("nothing was written"))
}

/// Takes something away from a member, and at once gives all others a key that the member lacks.
pub(super) fn take_away(
    context: &mut Context,
    app: &App,
    record: &MemberRecord,
    subject: Subject,
    reason: Option<&str>,
) -> Result<(), CliError> {
    say_taken_away(context, app, record, subject, reason)?;
    app.store().top_up(&app.author()?, (context.clock)(), &mut OsRandom)?;
    app.written(context)
}

/// Takes something away from a member; the key stays as it is.
pub(super) fn say_taken_away(
    context: &mut Context,
    app: &App,
    record: &MemberRecord,
    subject: Subject,
    reason: Option<&str>,
) -> Result<(), CliError> {
    let devices = record.devices.iter().map(|d| d.device).collect();
    let cut = app.store().cut_of(&devices)?;
    remove_with_cut(context, app, &cut, subject, reason)
}

/// Takes something away; what is an ancestor of `cut` goes on counting.
pub(super) fn remove_with_cut(
    context: &mut Context,
    app: &App,
    cut: &[EntryId],
    subject: Subject,
    reason: Option<&str>,
) -> Result<(), CliError> {
    let cut = cut.iter().map(|id| (*id.as_bytes()).into()).collect();
    publish(context, app, Body::Remove(Remove { subject, cut, recovery: None }), reason)?;
    Ok(())
}

/// `lanai member remove`
pub(super) fn remove(
    context: &mut Context,
    typed: &str,
    reason: Option<&str>,
    yes: bool,
) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    app.catch_up()?;
    let people = app.people()?;
    let wanted = people.find(typed)?;
    if people.me() == Some(wanted) {
        return Err(CliError::usage("that is you").hint("`lanai leave` stops taking part"));
    }
    let roster = app.store().roster()?;
    let record = present(&roster, &wanted)?;
    let name = people.shown(&wanted);
    if !yes {
        context.ui.say("What they wrote stays; what they hold cannot be called back.");
    }
    context.ui.confirm(Text::from("Remove ").with(Style::Name, name.to_plain()).plain("?"), yes)?;
    let subject = Subject::Member((*wanted.as_bytes()).into());
    take_away(context, &app, record, subject, reason)?;
    if context.ui.is_json() {
        let reason = reason.map(str::to_owned);
        context.ui.json("member-remove", &Removed { member: people.person(&wanted), reason })?;
    } else {
        context.ui.say(name.plain(" is removed; what is written from now on has a new key"));
        context.ui.hint("`lanai sync --wait 1m` tells the others now, `lanai member log` shows it");
    }
    Ok(Exit::Done)
}

/// `lanai member log`
pub(super) fn log(context: &mut Context) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    app.catch_up()?;
    let people = app.people()?;
    let acts = app.store().membership_log()?;
    if context.ui.is_json() {
        let acts = acts.iter().map(|act| shape(act, &people)).collect();
        context.ui.json("member-log", &Acts { acts })?;
        return Ok(Exit::Done);
    }
    context.ui.start_pager();
    let terminal = context.ui.out_is_terminal();
    let mut table = Table::new().column("ID").column("WHEN").flexible("BY").flexible("WHAT");
    for act in &acts {
        let seconds = time::seconds(act.time_ms);
        let when = if terminal {
            time::moment(seconds)
        } else {
            time::rfc3339(seconds).unwrap_or_default()
        };
        let id = if terminal { act.entry.short() } else { act.entry.full() };
        table.row([
            Text::styled(Style::Id, id),
            Text::styled(Style::Dim, when),
            act.by.map(|by| people.shown_to_me(&by)).unwrap_or_default(),
            told(act, &people),
        ]);
    }
    context.ui.table(&table)?;
    Ok(Exit::Done)
}

/// What an act says, why, and what came of it.
pub(super) fn told(act: &MembershipAct, people: &People) -> Text {
    let said = Said::of(&act.body);
    let mut text = Text::from(said.what);
    if let Some(member) = said.member {
        text.push(Style::Name, format!(" {}", people.shown(&member).to_plain()));
    }
    if let Some(role) = said.role {
        text.push(Style::Plain, format!(" ({role})"));
    }
    if let Some(reason) = &act.reason {
        text.push(Style::Dim, format!(": {reason}"));
    }
    if !act.verdict.counts() {
        text.push(Style::Warn, format!(" - does not count: {}", act.verdict));
    }
    text
}

fn shape(act: &MembershipAct, people: &People) -> ActShape {
    let said = Said::of(&act.body);
    ActShape {
        id: act.entry.full(),
        time: time::rfc3339(time::seconds(act.time_ms)),
        by: act.by.map(|by| people.person(&by)),
        what: said.what,
        member: said.member.map(|m| people.person(&m)),
        role: said.role,
        reason: act.reason.clone(),
        counts: act.verdict.counts(),
        why_not: (act.verdict != Verdict::Counts).then(|| act.verdict.to_string()),
    }
}

/// An act in words.
pub(super) struct Said {
    pub(super) what: &'static str,
    pub(super) member: Option<MemberId>,
    pub(super) role: Option<&'static str>,
}

impl Said {
    pub(super) fn of(body: &Body) -> Said {
        let plain = |what| Said { what, member: None, role: None };
        let about = |what, member: &[u8; 32]| Said {
            what,
            member: Some(MemberId::new(*member)),
            role: None,
        };
        let taken = |what, subject: &Subject| match subject {
            Subject::Member(member) => about(what, member),
            Subject::Role(member, role) => {
                Said { role: Some(role_word(*role)), ..about("takes back the role of", member) }
            }
            Subject::Device(_) => plain("revokes a device"),
        };
        let granted = |grant: &GrantRole| Said {
            role: Some(role_word(grant.role)),
            ..about("gives a role to", &grant.member)
        };
        match body {
            Body::Genesis(_) => plain("founds the community"),
            Body::Ticket(ticket) => {
                Said { role: Some(role_word(ticket.role)), ..plain("makes a ticket") }
            }
            Body::TicketClose => plain("closes a ticket"),
            Body::Admit(admit) => match admit.signed_record() {
                Ok(record) => about("lets in", record.record.member().as_bytes()),
                Err(_) => plain("lets somebody in"),
            },
            Body::Role(grant) => granted(grant),
            Body::AddDevice(add) => match add.signed_record() {
                Ok(record) if add.vouch.is_some() => {
                    about("vouches for a new device of", record.statement.member.as_bytes())
                }
                Ok(record) => about("adds a device of", record.statement.member.as_bytes()),
                Err(_) => plain("adds a device"),
            },
            Body::Remove(remove) => taken("removes", &remove.subject),
            Body::Motion(motion) => match &motion.proposal {
                Proposal::Remove(subject) => taken("moves to remove", subject),
                Proposal::Grant(grant) => {
                    Said { what: "moves to give a role to", ..granted(grant) }
                }
            },
            Body::Endorse => plain("endorses a motion"),
            Body::Enact(_) => plain("enacts a motion"),
            Body::Accept(_) => plain("accepts what a cut left out"),
            Body::Restore => plain("makes a pending newcomer a member"),
            Body::Readmit(readmit) => match readmit.signed_record() {
                Ok(record) => about("takes back in", record.statement.member.as_bytes()),
                Err(_) => plain("takes somebody back in"),
            },
            _ => plain("does something that this version does not know"),
        }
    }
}
