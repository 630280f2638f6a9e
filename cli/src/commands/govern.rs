//! What stewards do to the membership, and the list of all that was done.

use std::path::Path;

use lanai_crdt::entry::DeviceSecret;
use lanai_crdt::id::{EntryId, MemberId, from_base32};
use lanai_crdt::limits::MAX_REASON_BYTES;
use lanai_crdt::payload::{
    self, Body, GrantRole, Proposal, Reason, Remove, Subject, recovery_statement, sign_recovery,
};
use lanai_crdt::roster::{MemberRecord, Roster, Verdict};
use lanai_node::random::OsRandom;
use lanai_node::store::{MembershipAct, NewEntry, NewRef};
use serde::Serialize;
use zeroize::Zeroizing;

use super::{Context, status};
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
    /// Entries that a removal cut off.
    cut_off: u64,
    /// Why it does not count.
    why_not: Option<String>,
}

/// The secret that was printed when the community was founded.
pub(super) struct RecoveryKey(Zeroizing<[u8; 32]>);

impl RecoveryKey {
    /// From the first line of a file, as it was printed.
    pub(super) fn read(path: &Path) -> Result<RecoveryKey, CliError> {
        let io = |e| CliError::io(format!("read {}", path.display()), &e);
        let text = Zeroizing::new(std::fs::read_to_string(path).map_err(io)?);
        let line = text.lines().next().unwrap_or_default().trim();
        let bytes = from_base32(line).map(Zeroizing::new);
        let seed = bytes.and_then(|b| <[u8; 32]>::try_from(b.as_slice()).ok());
        seed.map(|seed| RecoveryKey(Zeroizing::new(seed))).ok_or_else(|| {
            CliError::usage(format!("{} does not begin with a recovery key", path.display()))
                .hint("it has 52 letters and digits, as they were printed at the founding")
        })
    }
}

/// On what ground something is done, and why.
#[derive(Clone, Copy, Default)]
pub(super) struct Why<'a> {
    /// For all members to read.
    pub(super) reason: Option<&'a str>,
    /// The recovery key, where it is what allows the act.
    pub(super) recovery: Option<&'a RecoveryKey>,
}

impl Why<'_> {
    /// Signs an act with the recovery key, where there is one.
    pub(super) fn signed(&self, roster: &Roster, mut act: Body) -> Result<Body, CliError> {
        let Some(RecoveryKey(seed)) = self.recovery else { return Ok(act) };
        if roster.recovery_key() != Some(*DeviceSecret::from_bytes(seed).device().as_bytes()) {
            return Err(CliError::refused("that is not the recovery key of this community"));
        }
        let bytes = payload::encode(&act).map_err(|e| CliError::internal(e.to_string()))?;
        let statement = recovery_statement(&roster.community(), roster.frontier(), &bytes);
        let signature = sign_recovery(seed, &statement).0.into();
        match &mut act {
            Body::Remove(remove) => remove.recovery = Some(signature),
            Body::Role(grant) => grant.recovery = Some(signature),
            _ => {}
        }
        Ok(act)
    }
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
    publish_entry(context, app, NewEntry::new(act, []), reason)
}

/// As [`publish`], for an act that refers to another.
pub(super) fn publish_entry(
    context: &mut Context,
    app: &App,
    act: NewEntry,
    reason: Option<&str>,
) -> Result<EntryId, CliError> {
    let mut new = vec![act];
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
    why: Why<'_>,
) -> Result<(), CliError> {
    say_taken_away(context, app, record, subject, why)?;
    app.store().top_up(&app.author()?, (context.clock)(), &mut OsRandom)?;
    app.written(context)
}

/// Takes something away from a member; the key stays as it is.
pub(super) fn say_taken_away(
    context: &mut Context,
    app: &App,
    record: &MemberRecord,
    subject: Subject,
    why: Why<'_>,
) -> Result<(), CliError> {
    let devices = record.devices.iter().map(|d| d.device).collect();
    let cut = app.store().cut_of(&devices)?;
    remove_with_cut(context, app, &cut, subject, why)
}

/// Takes something away; what is an ancestor of `cut` goes on counting.
pub(super) fn remove_with_cut(
    context: &mut Context,
    app: &App,
    cut: &[EntryId],
    subject: Subject,
    why: Why<'_>,
) -> Result<(), CliError> {
    let cut = cut.iter().map(|id| (*id.as_bytes()).into()).collect();
    let body = Body::Remove(Remove { subject, cut, recovery: None });
    let roster = app.store().roster()?;
    let body = why.signed(&roster, body)?;
    publish(context, app, body, why.reason)?;
    Ok(())
}

/// `lanai member remove`
pub(super) fn remove(
    context: &mut Context,
    typed: &str,
    why: Why<'_>,
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
    take_away(context, &app, record, subject, why)?;
    if context.ui.is_json() {
        let reason = why.reason.map(str::to_owned);
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
    if act.cut_off > 0 {
        let written = status::count(act.cut_off, "entry", "entries");
        let accept = format!("`lanai member accept {}`", act.entry.short());
        let said = format!(" - {written} written without knowing of it: {accept}");
        text.push(Style::Dim, said);
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
        cut_off: act.cut_off,
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
