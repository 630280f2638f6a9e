//! `lanai watch`, `lanai mute`, `lanai snooze`: how much to hear of a thread. Local to this device.

use lanai_node::store::Watch;
use serde::Serialize;

use super::Context;
use crate::app::{App, Spot};
use crate::args::{SnoozeArgs, WatchArgs};
use crate::error::{CliError, Exit};
use crate::layout::{Style, Text};
use crate::time;

#[derive(Serialize)]
struct Stances {
    threads: Vec<StanceShape>,
}

#[derive(Serialize)]
struct StanceShape {
    id: String,
    short: String,
    title: String,
    watched: bool,
    muted: bool,
    snoozed_until: Option<String>,
}

pub(super) fn watch(context: &mut Context, args: &WatchArgs) -> Result<Exit, CliError> {
    set(context, args, Watch::Watched)
}

pub(super) fn mute(context: &mut Context, args: &WatchArgs) -> Result<Exit, CliError> {
    set(context, args, Watch::Muted)
}

fn set(context: &mut Context, args: &WatchArgs, wanted: Watch) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    let spots: Vec<Spot> =
        args.ids.iter().map(|id| app.find_thread(id)).collect::<Result<_, CliError>>()?;
    for spot in &spots {
        let now = spot.view().stance.watch;
        // What takes muting back leaves watching alone, and the other way round.
        let watch = match (args.off, now == wanted) {
            (false, _) => wanted,
            (true, true) => Watch::Normal,
            (true, false) => now,
        };
        app.store().set_watch(&spot.thread().root, watch)?;
        let said = match watch {
            Watch::Normal => "as any other thread",
            Watch::Watched => "watched; its news come before the rest",
            Watch::Muted => "muted; its news are only counted",
        };
        context.ui.say(named(spot).plain(": ").plain(said));
    }
    report(context, &app, &spots)
}

pub(super) fn snooze(context: &mut Context, args: &SnoozeArgs) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    let spot = app.find_thread(&args.id)?;
    let span = u64::try_from(args.span.as_millis()).unwrap_or(u64::MAX);
    let until = (!args.off).then(|| (context.clock)().saturating_add(span));
    app.store().snooze(&spot.thread().root, until)?;
    let said = match until {
        Some(until) => {
            let moment = time::moment(time::seconds(until));
            format!("snoozed until {moment}, or until somebody answers you")
        }
        None => "as any other thread".to_owned(),
    };
    context.ui.say(named(&spot).plain(": ").plain(said));
    report(context, &app, &[spot])
}

fn named(spot: &Spot) -> Text {
    Text::styled(Style::Heading, &spot.thread().title)
}

fn report(context: &mut Context, app: &App, spots: &[Spot]) -> Result<Exit, CliError> {
    if !context.ui.is_json() {
        return Ok(Exit::Done);
    }
    let shape = |spot: &Spot| {
        let root = &spot.thread().root;
        let stance = app.store().stance(root)?;
        Ok(StanceShape {
            id: root.full(),
            short: root.short(),
            title: spot.thread().title.clone(),
            watched: stance.watch == Watch::Watched,
            muted: stance.watch == Watch::Muted,
            snoozed_until: stance.snoozed_until.and_then(|ms| time::rfc3339(time::seconds(ms))),
        })
    };
    let threads = spots.iter().map(shape).collect::<Result<_, CliError>>()?;
    context.ui.json("stances", &Stances { threads })?;
    Ok(Exit::Done)
}
