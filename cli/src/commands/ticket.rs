//! `lanai ticket`: the tickets of the community.

use lanai_crdt::payload::Body;
use lanai_crdt::roster::{TicketRecord, TicketRefusal};
use lanai_node::store::NewEntry;
use serde::Serialize;

use super::Context;
use crate::app::{App, People, Person, by_id};
use crate::args::TicketCommand;
use crate::error::{CliError, Exit};
use crate::layout::{Style, Table, Text};
use crate::time;
use crate::view::shape::role_word;

#[derive(Serialize)]
struct Tickets {
    tickets: Vec<TicketShape>,
}

#[derive(Serialize)]
struct TicketShape {
    id: String,
    short: String,
    state: &'static str,
    role: &'static str,
    uses: u32,
    used_by: Vec<Person>,
    expires: Option<String>,
    by: Person,
    mine: bool,
}

#[derive(Serialize)]
struct Closed {
    id: String,
    short: String,
    was_closed: bool,
}

pub(super) fn run(context: &mut Context, command: &TicketCommand) -> Result<Exit, CliError> {
    match command {
        TicketCommand::List { all } => list(context, *all),
        TicketCommand::Close { id } => close(context, id),
    }
}

/// In one word, whether anybody can still join with it.
const fn state(open: Result<(), TicketRefusal>) -> &'static str {
    match open {
        Ok(()) => "open",
        Err(TicketRefusal::Closed) => "closed",
        Err(TicketRefusal::UsedUp) => "used up",
        Err(TicketRefusal::Expired) => "expired",
        Err(TicketRefusal::SponsorGone) => "void",
    }
}

fn list(context: &mut Context, all: bool) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    app.catch_up()?;
    let people = app.people()?;
    let now = (context.clock)();
    let roster = app.store().roster()?;
    let tickets: Vec<&TicketRecord> =
        roster.tickets().filter(|ticket| all || ticket.is_open(now).is_ok()).collect();
    if context.ui.is_json() {
        let tickets = tickets.into_iter().map(|ticket| shape(ticket, &people, now)).collect();
        context.ui.json("tickets", &Tickets { tickets })?;
        return Ok(Exit::Done);
    }
    if tickets.is_empty() {
        context.ui.say(if all { "no ticket was ever made" } else { "no ticket is open" });
        context.ui.hint(if all || roster.tickets().len() == 0 {
            "`lanai invite` makes one"
        } else {
            "`lanai invite` makes one, `lanai ticket list --all` lists those of the past"
        });
        return Ok(Exit::Done);
    }
    let terminal = context.ui.out_is_terminal();
    let mut table = Table::new()
        .column("ID")
        .column("STATE")
        .column("ROLE")
        .column("USED")
        .column("ENDS")
        .flexible("BY");
    for ticket in tickets {
        let id = if terminal { ticket.entry.short() } else { ticket.entry.full() };
        let ends = ticket.expires.map(time::seconds);
        let ends = match ends {
            Some(end) if terminal => time::moment(end),
            Some(end) => time::rfc3339(end).unwrap_or_default(),
            None => "never".to_owned(),
        };
        let open = ticket.is_open(now);
        let style = if open.is_ok() { Style::Good } else { Style::Dim };
        table.row([
            Text::styled(Style::Id, id),
            Text::styled(style, state(open)),
            Text::from(role_word(ticket.role)),
            Text::from(format!("{} of {}", ticket.used_by.len(), ticket.uses)),
            Text::styled(Style::Dim, ends),
            people.shown_to_me(&ticket.sponsor),
        ]);
    }
    context.ui.table(&table)?;
    Ok(Exit::Done)
}

fn shape(ticket: &TicketRecord, people: &People, now: u64) -> TicketShape {
    TicketShape {
        id: ticket.entry.full(),
        short: ticket.entry.short(),
        state: state(ticket.is_open(now)),
        role: role_word(ticket.role),
        uses: ticket.uses,
        used_by: ticket.used_by.iter().map(|member| people.person(member)).collect(),
        expires: ticket.expires.and_then(|ms| time::rfc3339(time::seconds(ms))),
        by: people.person(&ticket.sponsor),
        mine: people.me() == Some(ticket.sponsor),
    }
}

fn close(context: &mut Context, typed: &str) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    let roster = app.store().roster()?;
    let ticket =
        by_id("ticket", typed, "`lanai ticket list --all` lists them", roster.tickets(), |t| {
            t.entry.as_bytes()
        })?;
    let was_closed = ticket.closed.is_some();
    let (id, short) = (ticket.entry.full(), ticket.entry.short());
    if !was_closed {
        app.publish_one(context, NewEntry::new(Body::TicketClose, [ticket.entry]))?;
    }
    if context.ui.is_json() {
        context.ui.json("ticket-close", &Closed { id, short, was_closed })?;
    } else if was_closed {
        context.ui.say(format!("the ticket {short} was closed before"));
    } else {
        context.ui.say(format!("the ticket {short} is closed: nobody can join with it any more"));
        context.ui.hint(
            "a member's node that has not heard of it yet may still let somebody in; \
             `lanai sync` tells those that are connected",
        );
    }
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::super::village::{House, assert_harmless};
    use super::*;

    #[test]
    fn tickets_are_listed_and_closed() {
        let ann = House::founder("Ann");
        assert_eq!(ann.run(&["ticket", "list"]).ok(), "");
        let made = ann.json(&["invite", "--uses", "2"]);
        let id = made["id"].as_str().unwrap();
        let listed = ann.json(&["ticket", "list"]);
        assert_eq!(listed["tickets"][0]["id"], id);
        assert_eq!(listed["tickets"][0]["state"], "open");
        assert_eq!(listed["tickets"][0]["by"]["name"], "Ann");
        let line = ann.run(&["ticket", "list"]).ok();
        assert!(line.starts_with(&format!("{id}\topen\tmember\t0 of 2\t2023-11-21T")), "{line}");
        let table = ann.on_terminal(&["ticket", "list"]).ok();
        assert!(table.contains("Ann (you)"), "{table}");

        assert_eq!(ann.json(&["ticket", "close", &id[..6]])["was_closed"], false);
        assert_eq!(ann.json(&["ticket", "close", id])["was_closed"], true);
        assert_eq!(ann.json(&["ticket", "list"])["tickets"].as_array().unwrap().len(), 0);
        assert_eq!(ann.json(&["ticket", "list", "--all"])["tickets"][0]["state"], "closed");
    }

    #[test]
    fn who_used_a_ticket_is_shown_and_made_harmless() {
        let ann = House::founder("Ann\u{1b}");
        let _bob = ann.neighbour("Bob\u{202e}");
        let listed = ann.json(&["ticket", "list", "--all"]);
        assert_eq!(listed["tickets"][0]["state"], "used up");
        assert_eq!(listed["tickets"][0]["used_by"][0]["name"], "Bob\u{202e}");
        assert_harmless(&ann.run(&["ticket", "list", "--all"]).ok());
    }

    #[test]
    fn what_is_no_ticket_cannot_be_closed() {
        let ann = House::founder("Ann");
        let bob = ann.neighbour("Bob");
        assert_eq!(ann.run(&["ticket", "close", "zzzz"]).failed().exit, Exit::NotFound);
        assert_eq!(ann.run(&["ticket", "close", "?"]).failed().exit, Exit::NotFound);
        let id = ann.json(&["invite"])["id"].as_str().unwrap().to_owned();
        bob.pull(&ann);
        assert_eq!(bob.run(&["ticket", "close", &id]).failed().exit, Exit::Refused);
    }
}
