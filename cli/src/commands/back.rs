//! How people come in who are not, or no longer, in: a member who lost every device, one who was
//! removed, a newcomer whose admission did not hold; and entries that a removal cut off.

use lanai_crdt::id::{EntryId, MemberId};
use lanai_crdt::payload::{Accept, AddDevice, Body, Readmit, SignedDevice};
use lanai_node::identity::link;
use lanai_node::random::OsRandom;
use lanai_node::store::NewEntry;
use serde::Serialize;

use super::{Context, govern, status};
use crate::app::{App, Person, by_id};
use crate::args::ReturnArgs;
use crate::error::{CliError, Exit};
use crate::layout::{Style, Text};

#[derive(Serialize)]
struct Back {
    member: Person,
    device: String,
    reason: Option<String>,
}

#[derive(Serialize)]
struct Accepted {
    id: String,
    removal: String,
    entries: u64,
}

/// `lanai member vouch`
pub(super) fn vouch(context: &mut Context, args: &ReturnArgs) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    app.catch_up()?;
    let (record, id) = read_request(&app, &args.what)?;
    let people = app.people()?;
    let name = people.shown(&id).to_plain();
    if people.me() == Some(id) {
        return Err(CliError::usage("that device asks to be yours")
            .hint("`lanai device add` adds a device of your own"));
    }
    let roster = app.store().roster()?;
    let Some(member) = roster.member(&id).filter(|m| !m.pending) else {
        return Err(CliError::refused(format!("{name} is no member now"))
            .hint("`lanai member readmit` takes back in who was removed or left"));
    };
    let device = record.statement.device;
    context.ui.say(
        "Vouch only for a person whom you have seen or heard: whoever holds the new device will be \
         this member. All other devices of theirs are revoked; a role above member is given again \
         with `lanai member role`.",
    );
    ask_for(context, "Vouch that the device ", &device.short(), &name, args.yes)?;
    let devices = member.devices.iter().map(|d| d.device).collect();
    let cut = app.store().cut_of(&devices)?.iter().map(|id| (*id.as_bytes()).into()).collect();
    let body = Body::AddDevice(AddDevice { record: record.encode().into(), vouch: Some(cut) });
    let act = NewEntry::new(body, []);
    publish(context, &app, act, args.reason.as_deref())?;
    done(context, &app, "member-vouch", id, &device.full(), args.reason.as_deref(), " is back")
}

/// `lanai member readmit`
pub(super) fn readmit(context: &mut Context, args: &ReturnArgs) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    app.catch_up()?;
    let (record, id) = read_request(&app, &args.what)?;
    let name = app.people()?.shown(&id).to_plain();
    let roster = app.store().roster()?;
    let Some(former) = roster.former().find(|f| f.id == id) else {
        return Err(CliError::usage(format!("{name} was not removed and has not left"))
            .hint("`lanai member vouch` is for members who lost every device"));
    };
    let device = record.statement.device;
    ask_for(context, "Take back in, with the device ", &device.short(), &name, args.yes)?;
    let body = Body::Readmit(Readmit { record: record.encode().into() });
    let act = NewEntry::new(body, [former.removed_by]);
    publish(context, &app, act, args.reason.as_deref())?;
    let said = " is a member again";
    done(context, &app, "member-readmit", id, &device.full(), args.reason.as_deref(), said)
}

/// `lanai member restore`
pub(super) fn restore(context: &mut Context, args: &ReturnArgs) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    app.catch_up()?;
    let roster = app.store().roster()?;
    // Whoever waits has published no name that counts, so there are only ids to go by.
    let waiting = roster.members().filter(|m| m.pending);
    let listed = "`lanai member list` shows who is pending";
    let record = by_id("pending newcomer", &args.what, listed, waiting, |m| m.id.as_bytes())?;
    let device = record.devices.first().map(|d| d.device.full()).unwrap_or_default();
    let name = record.id.short();
    ask_for(context, "Make a member of whoever has the id ", &name, "", args.yes)?;
    let act = NewEntry::new(Body::Restore, [record.admitted_entry]);
    publish(context, &app, act, args.reason.as_deref())?;
    let said = " is a member now";
    done(context, &app, "member-restore", record.id, &device, args.reason.as_deref(), said)
}

/// `lanai member accept`
pub(super) fn accept(context: &mut Context, args: &ReturnArgs) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    app.catch_up()?;
    let roster = app.store().roster()?;
    let kept = roster.revocations().filter(|r| r.kept);
    let listed = "`lanai member log` lists them";
    let removal = by_id("removal", &args.what, listed, kept, |r| r.entry.as_bytes())?.entry;
    let entries = app.store().cut_off(&removal)?;
    if entries == 0 {
        return Err(CliError::usage("that cut nothing off")
            .hint("`lanai member log` says where something was cut off"));
    }
    let written = status::count(entries, "entry", "entries");
    let question = format!("Accept {written} written without knowing of it?");
    context.ui.confirm(Text::from(question), args.yes)?;
    let heads = app.store().cut_of(&roster.cut_by(&removal))?;
    let heads = heads.iter().map(|id| (*id.as_bytes()).into()).collect();
    let act = NewEntry::new(Body::Accept(Accept { heads }), [removal]);
    let id = publish(context, &app, act, args.reason.as_deref())?;
    if context.ui.is_json() {
        let shape = Accepted { id: id.full(), removal: removal.full(), entries };
        context.ui.json("member-accept", &shape)?;
    } else {
        context.ui.say(format!("{written} count again; the removal stands"));
    }
    Ok(Exit::Done)
}

/// What makes a member of somebody who is pending.
pub(super) fn restore_hint(id: &MemberId) -> String {
    format!("a steward lets in who is pending: `lanai member restore {}`", id.short())
}

/// A request that a new device printed, for this community.
fn read_request(app: &App, text: &str) -> Result<(SignedDevice, MemberId), CliError> {
    let record = link::read_request(text)?;
    if record.statement.community != app.store().community() {
        return Err(CliError::usage("that device asks to join another community"));
    }
    let member = record.statement.member;
    Ok((record, member))
}

fn ask_for(
    context: &mut Context,
    before: &str,
    mark: &str,
    name: &str,
    yes: bool,
) -> Result<(), CliError> {
    let question = Text::from(before).with(Style::Id, mark);
    let question = match name {
        "" => question,
        name => question.plain(" is that of ").with(Style::Name, name),
    };
    context.ui.confirm(question.plain("?"), yes)
}

/// Writes the act with its reason, and seals the key to whoever it brings in.
fn publish(
    context: &mut Context,
    app: &App,
    act: NewEntry,
    reason: Option<&str>,
) -> Result<EntryId, CliError> {
    let id = govern::publish_entry(context, app, act, reason)?;
    app.store().top_up(&app.author()?, (context.clock)(), &mut OsRandom)?;
    app.written(context)?;
    Ok(id)
}

fn done(
    context: &mut Context,
    app: &App,
    kind: &'static str,
    id: MemberId,
    device: &str,
    reason: Option<&str>,
    said: &str,
) -> Result<Exit, CliError> {
    let people = app.people()?;
    if context.ui.is_json() {
        let (member, device) = (people.person(&id), device.to_owned());
        context.ui.json(kind, &Back { member, device, reason: reason.map(str::to_owned) })?;
    } else {
        context.ui.say(people.shown(&id).plain(said));
        context.ui.hint("on the new device: `lanai up`; `lanai member log` shows all members why");
    }
    Ok(Exit::Done)
}
