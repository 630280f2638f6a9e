//! `lanai invite`: makes a ticket that lets others join.

use lanai_crdt::id::EntryId;
use lanai_crdt::limits::MAX_TICKET_USES;
use lanai_crdt::payload::{Body, Role, Ticket};
use lanai_crdt::ticket::{TicketSecret, TicketText, TicketTextError, is_ticket_address};
use lanai_node::net::Multiaddr;
use lanai_node::random::random_bytes;
use lanai_node::store::NewEntry;
use serde::Serialize;
use zeroize::Zeroizing;

use super::{Context, node, status};
use crate::app::App;
use crate::args::{self, Expiry, InviteArgs};
use crate::error::{CliError, Exit};
use crate::layout::Text;
use crate::{qr, time};

/// Addresses in a ticket.
const MAX_ADDRESSES: usize = 4;
/// Hosts among them: what is left goes to the other transport.
const MAX_HOSTS: usize = 3;

impl From<TicketTextError> for CliError {
    fn from(error: TicketTextError) -> CliError {
        let hint = match &error {
            TicketTextError::NotATicket => {
                "paste all of it, or give the file: `lanai join - < FILE`"
            }
            TicketTextError::Newer(_) => "install the newer version",
            TicketTextError::Malformed => "ask for another ticket",
            _ => "copy the ticket again, all of it",
        };
        CliError::usage(error.to_string()).hint(hint)
    }
}

impl From<args::Role> for Role {
    fn from(role: args::Role) -> Role {
        match role {
            args::Role::Member => Role::Member,
            args::Role::Lead => Role::Lead,
            args::Role::Steward => Role::Steward,
        }
    }
}

/// What a new ticket is to be.
pub(super) struct Order {
    pub(super) uses: u32,
    pub(super) expires: Expiry,
    pub(super) role: Role,
    pub(super) addresses: Vec<String>,
}

/// A ticket that was made.
pub(super) struct Made {
    pub(super) text: TicketText,
    pub(super) id: EntryId,
    pub(super) uses: u32,
    pub(super) expires_ms: Option<u64>,
    pub(super) role: Role,
}

/// A new ticket for JSON.
#[derive(Debug, Serialize)]
pub(super) struct TicketShape {
    #[serde(serialize_with = "as_text")]
    ticket: Zeroizing<String>,
    id: String,
    short: String,
    uses: u32,
    expires: Option<String>,
    role: &'static str,
    addresses: Vec<String>,
}

fn as_text<S: serde::Serializer>(text: &Zeroizing<String>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(text)
}

impl TicketShape {
    /// What others type.
    pub(super) fn text(&self) -> &str {
        &self.ticket
    }
}

impl Made {
    pub(super) fn shape(&self) -> TicketShape {
        TicketShape {
            ticket: self.text.encode(),
            id: self.id.full(),
            short: self.id.short(),
            uses: self.uses,
            expires: self.expires_ms.and_then(|ms| time::rfc3339(time::seconds(ms))),
            role: self.role.word(),
            addresses: self.text.addresses().to_vec(),
        }
    }

    /// For whom it is and until when, as in "for one person, until 2026-03-06 10:00 UTC".
    pub(super) fn terms(&self) -> String {
        let who = match self.uses {
            1 => "one person".to_owned(),
            n => format!("{n} people"),
        };
        let until = match self.expires_ms {
            Some(ms) => format!("until {}", time::moment(time::seconds(ms))),
            None => "until it is closed".to_owned(),
        };
        let role = match self.role {
            Role::Member => String::new(),
            role => format!(" as {}", role.word()),
        };
        format!("for {who}{role}, {until}")
    }

    /// Prints the text on a line of its own, never broken: a double click takes all of it.
    pub(super) fn print(&self, context: &mut Context) -> Result<(), CliError> {
        let text = self.text.encode();
        context.ui.trusted(&format!("{}\n", text.as_str()))
    }
}

pub(super) fn run(context: &mut Context, args: &InviteArgs) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    let status = node::status_of(app.home()).unwrap_or_default();
    let addresses = match &status {
        Some(status) if !args.no_addresses => chosen(&status.listening),
        _ => Vec::new(),
    };
    let order =
        Order { uses: args.uses.get(), expires: args.expires, role: args.role.into(), addresses };
    let made = make(context, &app, order)?;
    if context.ui.is_json() {
        context.ui.json("invite", &made.shape())?;
        return Ok(Exit::Done);
    }
    context.ui.say(format!("a ticket {}; whoever holds it can join:", made.terms()));
    made.print(context)?;
    if !args.no_qr {
        picture(context, &made)?;
    }
    if status.is_none() {
        context.ui.warn("your node is not running, so nobody can join through it: `lanai up`");
    } else if !args.no_addresses && made.text.addresses().is_empty() {
        context.ui.warn("your node listens nowhere, so the ticket holds no address");
    }
    let id = made.id.short();
    context.ui.hint(format!("others type `lanai join TICKET`; `lanai ticket close {id}` ends it"));
    Ok(Exit::Done)
}

/// Publishes a ticket.
pub(super) fn make(context: &mut Context, app: &App, order: Order) -> Result<Made, CliError> {
    if order.uses > MAX_TICKET_USES {
        return Err(CliError::usage(format!("a ticket lets in at most {MAX_TICKET_USES} people")));
    }
    let expires_ms = match order.expires {
        Expiry::Never => None,
        Expiry::After(span) => {
            let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
            Some((context.clock)().saturating_add(millis))
        }
    };
    let secret = TicketSecret::from_bytes(random_bytes());
    let ticket = Ticket {
        key: secret.public().into(),
        role: order.role,
        uses: order.uses,
        expires: expires_ms,
    };
    let id = app.publish_one(context, NewEntry::new(Body::Ticket(ticket), []))?;
    let name = status::community_name(app)?;
    let text = TicketText::new(secret, app.store().community(), id, &name, order.addresses)?;
    Ok(Made { text, id, uses: order.uses, expires_ms, role: order.role })
}

/// The ticket as a picture, for a person's phone; not where it does not fit.
fn picture(context: &mut Context, made: &Made) -> Result<(), CliError> {
    let Some(columns) = context.ui.columns() else { return Ok(()) };
    let lines = qr::render(&made.text.encode_qr())?;
    if qr::columns(&lines) > columns {
        let needed = qr::columns(&lines);
        context.ui.say(Text::from(format!("the QR code needs a terminal of {needed} columns")));
        return Ok(());
    }
    context.ui.trusted(&format!("\n{}\n", lines.join("\n")))
}

/// Where an address leads, the most useful first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reach {
    /// An IPv4 address of a network.
    V4,
    /// An IPv6 address that means the same everywhere.
    V6,
    /// Anything else, such as a name.
    Other,
    /// This machine only.
    Loopback,
}

/// Which of the addresses that a node listens on go into a ticket: first one of each host over
/// QUIC, then TCP for networks that stop UDP. Loopback only where there is nothing else.
pub(super) fn chosen(listening: &[String]) -> Vec<String> {
    let mut known: Vec<(Reach, usize, String, &String)> = Vec::new();
    for address in listening.iter().filter(|address| is_ticket_address(address)) {
        let Some((reach, host)) = reach(address) else { continue };
        let transport = usize::from(!address.contains("/quic"));
        known.push((reach, transport, host, address));
    }
    let far = known.iter().any(|(reach, ..)| *reach != Reach::Loopback);
    known.retain(|(reach, ..)| !far || *reach != Reach::Loopback);
    known.sort_by(|a, b| (a.0, &a.2, a.1).cmp(&(b.0, &b.2, b.1)));
    let mut hosts: Vec<String> = known.iter().map(|(_, _, host, _)| host.clone()).collect();
    hosts.dedup();
    hosts.truncate(MAX_HOSTS);
    known.retain(|(_, _, host, _)| hosts.contains(host));
    known.sort_by_key(|(reach, transport, ..)| (*transport, *reach));
    known.into_iter().take(MAX_ADDRESSES).map(|(.., address)| address.clone()).collect()
}

/// Nothing for what nobody else can use: unspecified and link-local addresses.
fn reach(address: &str) -> Option<(Reach, String)> {
    use std::net::IpAddr;
    // What cannot be read is no use to others either.
    let readable = address.parse::<Multiaddr>().is_ok();
    let mut parts = address.split('/').skip(1);
    let (_, host) = (parts.next()?, parts.next().filter(|_| readable)?);
    let reach = match host.parse::<IpAddr>() {
        Ok(ip) if ip.is_unspecified() => return None,
        Ok(ip) if ip.is_loopback() => Reach::Loopback,
        Ok(IpAddr::V4(ip)) if ip.is_link_local() => Reach::Other,
        Ok(IpAddr::V4(_)) => Reach::V4,
        Ok(IpAddr::V6(ip)) if ip.is_unicast_link_local() => return None,
        Ok(IpAddr::V6(_)) => Reach::V6,
        Err(_) => Reach::Other,
    };
    Some((reach, host.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::super::village::House;
    use super::*;

    fn strings(list: &[&str]) -> Vec<String> {
        list.iter().map(|&a| a.to_owned()).collect()
    }

    #[test]
    fn addresses_that_help_others_are_chosen() {
        let found = chosen(&strings(&[
            "/ip4/127.0.0.1/tcp/1",
            "/ip6/fe80::1/tcp/1",
            "/ip6/2001:db8::1/udp/4/quic-v1",
            "/ip4/10.0.0.1/tcp/2",
            "/ip4/10.0.0.1/udp/3/quic-v1",
            "/ip4/10.0.9.1/tcp/2",
            "/ip4/10.0.9.1/udp/3/quic-v1",
            "/ip4/0.0.0.0/tcp/2",
            "nonsense",
            "/nonsense/x/y",
        ]));
        assert_eq!(
            found,
            [
                "/ip4/10.0.0.1/udp/3/quic-v1",
                "/ip4/10.0.9.1/udp/3/quic-v1",
                "/ip6/2001:db8::1/udp/4/quic-v1",
                "/ip4/10.0.0.1/tcp/2",
            ]
        );
        let alone = strings(&["/ip4/127.0.0.1/tcp/1", "/ip4/127.0.0.1/udp/2/quic-v1"]);
        assert_eq!(chosen(&alone), [alone[1].clone(), alone[0].clone()]);
        assert!(chosen(&[]).is_empty());
    }

    #[test]
    fn a_ticket_is_published_and_can_be_read_back() {
        let ann = House::founder("Ann");
        let made = ann.json(&["invite", "--uses", "3", "--expires", "1d", "--role", "lead"]);
        let text = TicketText::decode(made["ticket"].as_str().unwrap()).unwrap();
        assert_eq!(text.community(), ann.store.community());
        assert_eq!(text.ticket().full(), made["id"].as_str().unwrap());
        assert_eq!(text.name(), "porch");
        assert_eq!(made["expires"], "2023-11-15T22:13:20Z");
        let roster = ann.store.roster().unwrap();
        let record = roster.ticket(&text.ticket()).unwrap();
        assert_eq!((record.uses, record.role), (3, Role::Lead));
        assert_eq!(record.key, text.secret().public());
        assert!(record.is_open(1_700_000_000_000).is_ok());
    }

    #[test]
    fn the_ticket_is_all_that_a_pipe_gets_and_a_terminal_gets_a_picture() {
        let ann = House::founder("Ann");
        let out = ann.run(&["invite"]).ok();
        assert_eq!(out.lines().count(), 1);
        assert!(TicketText::decode(&out).is_ok());
        let shown = ann.on_terminal(&["invite"]);
        assert!(shown.err.contains("not running") && shown.err.contains("for one person"));
        let shown = shown.ok();
        assert!(shown.contains('▀') && shown.starts_with("lanai1"));
        assert!(!ann.on_terminal(&["invite", "--no-qr"]).ok().contains('▀'));
    }

    #[test]
    fn nobody_makes_a_ticket_for_more_than_the_own_role() {
        let ann = House::founder("Ann");
        let bob = ann.neighbour("Bob");
        let error = bob.run(&["invite", "--role", "steward"]).failed();
        assert_eq!(error.exit, Exit::Refused, "{error:?}");
        assert_eq!(ann.run(&["invite", "--uses", "1001"]).failed().exit, Exit::Usage);
    }
}
