//! `lanai events`: what happens in the node, while it happens.

use lanai_crdt::id::MemberId;
use lanai_node::control::{Client, Event, Happening};
use serde::Serialize;

use super::{Context, node, status};
use crate::app::{App, People};
use crate::args::EventsArgs;
use crate::error::{CliError, Exit};
use crate::layout::{Style, Text};
use crate::time;

/// An event with the names that this home knows.
#[derive(Serialize)]
struct Shape<'a> {
    time: Option<String>,
    #[serde(flatten)]
    event: &'a Event,
    name: Option<String>,
}

pub(super) fn run(context: &mut Context, args: &EventsArgs) -> Result<Exit, CliError> {
    let app = App::open_quietly(context)?;
    let mut people = app.people()?;
    let client = Client::connect(&app.home().check_socket()?)?;
    let mut listening = client.listen(node::ANSWER_PATIENCE)?;
    context.ui.detail("listening; Ctrl-C ends");
    let mut told = 0u64;
    while args.count.is_none_or(|count| told < count) {
        let Some(event) = listening.next()? else {
            return Err(CliError::node_not_running());
        };
        if matches!(event.what, Happening::RosterChanged { .. }) {
            people = app.people()?;
        }
        told += 1;
        let who = device_of(&event.what).map(|d| (d, member_of(&app, d)));
        let name = who.as_ref().and_then(|(_, member)| people.name(member.as_ref()?));
        let at = time::rfc3339(time::seconds(event.at_ms));
        if context.ui.is_json() {
            let shape = Shape { time: at, event: &event, name: name.map(str::to_owned) };
            context.ui.json_line("event", &shape)?;
            continue;
        }
        let who = who.map_or_else(|| Text::from(""), |(d, member)| shown(&people, d, member));
        let line = Text::styled(Style::Dim, at.unwrap_or_default()).plain("  ");
        context.ui.line(line.then(text(&event.what, who)))?;
        context.ui.flush()?;
    }
    Ok(Exit::Done)
}

fn device_of(what: &Happening) -> Option<&str> {
    match what {
        Happening::Connected { device, .. }
        | Happening::Disconnected { device }
        | Happening::SessionBegan { device, .. }
        | Happening::SessionEnded { device, .. } => Some(device),
        Happening::Arrived { .. }
        | Happening::Written { .. }
        | Happening::RosterChanged { .. }
        | Happening::Problem { .. }
        | Happening::Dropped { .. } => None,
    }
}

fn member_of(app: &App, device: &str) -> Option<MemberId> {
    let owners = status::other_devices(app).ok()?;
    owners.iter().find(|(known, _)| known.full() == device).map(|(_, member)| *member)
}

fn shown(people: &People, device: &str, member: Option<MemberId>) -> Text {
    match member {
        Some(member) => people.shown(&member),
        None => Text::from(device.chars().take(8).collect::<String>()),
    }
}

/// The event in words; `who` it is about.
fn text(what: &Happening, who: Text) -> Text {
    match what {
        Happening::Connected { address, outbound, .. } => {
            let how = if *outbound { "was called at" } else { "called from" };
            who.plain(format!(" is connected, {how} {address}"))
        }
        Happening::Disconnected { .. } => who.plain(" is gone"),
        Happening::SessionBegan { opened, .. } => {
            who.plain(if *opened { ": an exchange begins" } else { " begins an exchange" })
        }
        Happening::SessionEnded {
            received,
            sent,
            bytes_in,
            bytes_out,
            refused,
            took_ms,
            error,
            ..
        } => {
            let numbers = format!(
                "{received} received, {sent} sent, {} in, {} out, {took_ms} ms",
                status::size(*bytes_in),
                status::size(*bytes_out)
            );
            let line = match error {
                Some(error) => {
                    who.plain(": the exchange failed: ").with(Style::Bad, error.as_str())
                }
                None => who.plain(": the exchange is done"),
            };
            let line = line.plain(format!("; {numbers}"));
            if *refused > 0 { line.with(Style::Bad, format!(", {refused} refused")) } else { line }
        }
        Happening::Arrived { entries, live } => Text::from(format!(
            "{} came{}",
            status::count(*entries, "entry", "entries"),
            if *live { ", told live" } else { "" }
        )),
        Happening::Written { entries: Some(n) } => {
            Text::from(format!("{} written here", status::count(*n, "entry", "entries")))
        }
        Happening::Written { entries: None } => Text::from("many entries written here"),
        Happening::RosterChanged { devices } => Text::from(format!(
            "who belongs changed: {} of members",
            status::count(*devices, "device", "devices")
        )),
        Happening::Problem { message } => Text::styled(Style::Bad, message.as_str()),
        Happening::Dropped { events } => Text::styled(
            Style::Warn,
            format!("too slow: {} not told", status::count(*events, "event was", "events were")),
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use lanai_node::control::{Events, listen};

    use super::super::village::{HOSTILE, House, assert_harmless};
    use super::*;

    /// Listens while these happen again and again.
    fn listen_to(house: &House, what: &[Happening], line: &[&str]) -> String {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let socket = house.home.prepare_socket().unwrap();
        let events = Events::default();
        let _requests = runtime.block_on(async { listen(&socket, events.clone()).unwrap() });
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    what.iter().for_each(|what| events.tell(1_700_000_000_000, what.clone()));
                    std::thread::sleep(Duration::from_millis(10));
                }
            });
            let ran = house.run(line);
            done.store(true, Ordering::Relaxed);
            ran.ok()
        })
    }

    #[test]
    fn what_happens_is_told_with_names() {
        let ann = House::founder("Ann");
        let bob = ann.neighbour("Bob");
        let device = bob.store.own_device().full();
        let error = Some(format!("cut {HOSTILE}"));
        let ended = Happening::SessionEnded {
            device: device.clone(),
            opened: true,
            received: 3,
            sent: 1,
            bytes_in: 2000,
            bytes_out: 10,
            refused: 2,
            took_ms: 7,
            error,
        };
        let lost = Happening::Disconnected { device };
        let all = [ended, lost];
        let text = listen_to(&ann, &all, &["events", "-n", "4"]);
        assert_eq!(text.lines().count(), 4, "{text}");
        assert!(text.contains("Bob is gone") && text.contains("the exchange failed"), "{text}");
        assert!(text.contains("3 received, 1 sent, 2.0 kB in") && text.contains("2 refused"));
        assert_harmless(&text);
        let text = listen_to(&ann, &all, &["events", "-n", "2", "--json"]);
        assert_eq!(text.lines().count(), 2, "{text}");
        for line in text.lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!((&line["kind"], &line["name"]), (&"event".into(), &"Bob".into()), "{line}");
            assert!(line["time"].as_str().unwrap().starts_with("2023-11-14T"), "{line}");
        }
        assert_harmless(&text);
        let gone = ann.run(&["events"]).failed();
        assert_eq!(gone.exit, Exit::NodeNotRunning);
    }
}
