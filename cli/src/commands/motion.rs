//! `lanai motion`: what stewards decide together.

use lanai_crdt::id::EntryId;
use lanai_crdt::payload::{Body, Enact, GrantRole, Motion, Proposal, Subject};
use lanai_node::random::OsRandom;
use lanai_node::store::{MotionView, NewEntry};
use serde::Serialize;

use super::govern::{self, Said};
use super::{Context, status};
use crate::app::{App, People, Person, by_id};
use crate::args::{MotionAct, MotionCommand};
use crate::error::{CliError, Exit};
use crate::layout::{Style, Table, Text};

#[derive(Serialize)]
struct Motions {
    motions: Vec<MotionShape>,
}

#[derive(Serialize)]
struct MotionShape {
    id: String,
    short: String,
    by: Option<Person>,
    what: &'static str,
    member: Option<Person>,
    role: Option<&'static str>,
    reason: Option<String>,
    endorsed_by: Vec<Person>,
    needed: usize,
    enacted: Option<String>,
}

#[derive(Serialize)]
struct Written {
    id: String,
    motion: String,
}

pub(super) fn run(context: &mut Context, command: &MotionCommand) -> Result<Exit, CliError> {
    match command {
        MotionCommand::Open { act } => open(context, act),
        MotionCommand::Endorse { id } => endorse(context, id),
        MotionCommand::Enact { id } => enact(context, id),
        MotionCommand::List { all } => list(context, *all),
    }
}

fn open(context: &mut Context, act: &MotionAct) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    app.catch_up()?;
    let people = app.people()?;
    let roster = app.store().roster()?;
    let (MotionAct::Remove { member, reason } | MotionAct::Role { member, reason, .. }) = act;
    let record = govern::present(&roster, &people.find(member)?)?;
    let member = (*record.id.as_bytes()).into();
    let proposal = match act {
        MotionAct::Remove { .. } => Proposal::Remove(Subject::Member(member)),
        MotionAct::Role { role, .. } => {
            let role = (*role).into();
            if role == record.role {
                let name = people.shown(&record.id).to_plain();
                return Err(CliError::usage(format!("{name} has that role already")));
            }
            if role < record.role {
                Proposal::Remove(Subject::Role(member, role))
            } else {
                Proposal::Grant(GrantRole { member, role, recovery: None })
            }
        }
    };
    let id = govern::publish(context, &app, Body::Motion(Motion { proposal }), reason.as_deref())?;
    written(context, &id, &id, "the motion is open")?;
    context.ui.hint(format!("stewards type `lanai motion endorse {}`", id.short()));
    Ok(Exit::Done)
}

fn endorse(context: &mut Context, typed: &str) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    app.catch_up()?;
    let motion = find(&app, typed)?;
    let id = motion.act.entry;
    let own = app.store().own_member()?;
    if motion.record.endorsements.iter().any(|(_, by)| Some(*by) == own) {
        return Err(CliError::usage("you endorse it already").hint("`lanai motion list`"));
    }
    let new = app.publish_one(context, NewEntry::new(Body::Endorse, [id]))?;
    written(context, &new, &id, "endorsed")?;
    if motion.has() + 1 >= motion.needs() {
        context.ui.hint(format!("that is enough: `lanai motion enact {}`", id.short()));
    }
    Ok(Exit::Done)
}

fn enact(context: &mut Context, typed: &str) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    app.catch_up()?;
    let motion = find(&app, typed)?;
    let id = motion.act.entry;
    if motion.record.enacted_by.is_some() {
        return Err(CliError::usage("it is enacted already").hint("`lanai member log` shows it"));
    }
    let (has, needs) = (motion.has(), motion.needs());
    if has < needs {
        let message = format!("{has} of {needs} endorsements that it takes are here");
        return Err(CliError::refused(message).hint("`lanai motion list` says whose"));
    }
    let roster = app.store().roster()?;
    let devices = match &motion.record.proposal {
        Proposal::Remove(Subject::Member(member) | Subject::Role(member, _)) => {
            let record = govern::present(&roster, &lanai_crdt::id::MemberId::new(**member))?;
            record.devices.iter().map(|d| d.device).collect()
        }
        Proposal::Remove(Subject::Device(device)) => {
            [lanai_crdt::id::DeviceId::new(**device)].into()
        }
        Proposal::Grant(_) => std::collections::BTreeSet::new(),
    };
    let bytes = |id: &EntryId| (*id.as_bytes()).into();
    let mut endorsements: Vec<_> =
        motion.record.endorsements.iter().map(|(id, _)| bytes(id)).collect();
    endorsements.sort_unstable();
    let cut = app.store().cut_of(&devices)?.iter().map(bytes).collect();
    let body = Body::Enact(Enact { endorsements, cut });
    let new = app.publish_one(context, NewEntry::new(body, [id]))?;
    app.store().top_up(&app.author()?, (context.clock)(), &mut OsRandom)?;
    app.written(context)?;
    written(context, &new, &id, "enacted; `lanai member log` shows what came of it")?;
    Ok(Exit::Done)
}

fn written(
    context: &mut Context,
    id: &EntryId,
    motion: &EntryId,
    said: &str,
) -> Result<(), CliError> {
    if context.ui.is_json() {
        context.ui.json("motion", &Written { id: id.full(), motion: motion.full() })?;
    } else {
        context.ui.say(said);
    }
    Ok(())
}

fn find(app: &App, typed: &str) -> Result<MotionView, CliError> {
    let motions = app.store().motions()?;
    by_id("motion", typed, "`lanai motion list --all` lists them", &motions, |m| {
        m.act.entry.as_bytes()
    })
    .cloned()
}

fn list(context: &mut Context, all: bool) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    app.catch_up()?;
    let people = app.people()?;
    let mut motions = app.store().motions()?;
    motions.retain(|m| all || m.record.open);
    if context.ui.is_json() {
        let motions = motions.iter().map(|m| shape(m, &people)).collect();
        context.ui.json("motions", &Motions { motions })?;
        return Ok(Exit::Done);
    }
    if motions.is_empty() {
        context.ui.say("no motion is open");
        return Ok(Exit::Done);
    }
    let terminal = context.ui.out_is_terminal();
    let mut table = Table::new()
        .column("ID")
        .flexible("BY")
        .flexible("WHAT")
        .column("ENDORSED")
        .flexible("BY STEWARDS");
    for motion in &motions {
        let id = motion.act.entry;
        let names: Vec<String> =
            motion.record.endorsements.iter().map(|(_, by)| people.shown(by).to_plain()).collect();
        let state = match motion.record.enacted_by {
            Some(_) => "enacted".to_owned(),
            None => format!("{} of {}", motion.has(), motion.needs()),
        };
        table.row([
            Text::styled(Style::Id, if terminal { id.short() } else { id.full() }),
            motion.act.by.map(|by| people.shown_to_me(&by)).unwrap_or_default(),
            govern::told(&motion.act, &people),
            Text::from(state),
            Text::from(names.join(", ")),
        ]);
    }
    context.ui.table(&table)?;
    let ready = motions.iter().filter(|m| m.record.open && m.has() >= m.needs());
    let ready = u64::try_from(ready.count()).unwrap_or(u64::MAX);
    if ready > 0 {
        let ready = status::count(ready, "motion has", "motions have");
        context.ui.hint(format!("{ready} enough endorsements: `lanai motion enact ID`"));
    }
    Ok(Exit::Done)
}

fn shape(motion: &MotionView, people: &People) -> MotionShape {
    let said = Said::of(&motion.act.body);
    MotionShape {
        id: motion.act.entry.full(),
        short: motion.act.entry.short(),
        by: motion.act.by.map(|by| people.person(&by)),
        what: said.what,
        member: said.member.map(|m| people.person(&m)),
        role: said.role,
        reason: motion.act.reason.clone(),
        endorsed_by: motion.record.endorsements.iter().map(|(_, by)| people.person(by)).collect(),
        needed: motion.needs(),
        enacted: motion.record.enacted_by.map(|id| id.full()),
    }
}
