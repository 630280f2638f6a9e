//! `lanai device`: the devices of a person.

use std::path::Path;

use lanai_crdt::id::{DeviceId, MemberId};
use lanai_crdt::payload::{AddDevice, Body, SignedDevice, Subject};
use lanai_crdt::roster::{DeviceRecord, Roster};
use lanai_node::identity::link::{self, Invitation, LinkError};
use lanai_node::identity::{Identity, private};
use lanai_node::net::{Multiaddr, device_key_of, peer_id_of, split_peer};
use lanai_node::random::{OsRandom, random_bytes};
use lanai_node::store::{Place, Store, StoreError};
use serde::Serialize;

use super::{Context, govern, identity, init, join, node, phrase, status};
use crate::app::{App, Person, by_id};
use crate::args::DeviceCommand;
use crate::error::{CliError, Exit};
use crate::layout::{Style, Table, Text};
use crate::qr;

impl From<LinkError> for CliError {
    fn from(error: LinkError) -> CliError {
        CliError::usage(error.to_string()).hint("`lanai device --help` says which text goes where")
    }
}

#[derive(Serialize)]
struct Invited {
    invitation: String,
    addresses: usize,
}

#[derive(Serialize)]
struct Requested {
    request: String,
    device: String,
    short: String,
}

#[derive(Serialize)]
struct Added {
    device: String,
    short: String,
}

#[derive(Serialize)]
struct OnPaper {
    device: String,
    short: String,
    revoked: Vec<String>,
    /// Words that only a steward can revoke.
    senior: Vec<String>,
}

#[derive(Serialize)]
struct Devices {
    member: Person,
    devices: Vec<DeviceShape>,
}

#[derive(Serialize)]
struct DeviceShape {
    id: String,
    short: String,
    /// Whether it is the one in use here.
    this: bool,
    /// Whether it is the phrase on paper.
    paper: bool,
}

pub(super) fn run(context: &mut Context, command: &DeviceCommand) -> Result<Exit, CliError> {
    match command {
        DeviceCommand::Invite { member, no_qr } => invite(context, member.as_deref(), *no_qr),
        DeviceCommand::Join { invitation } => request(context, invitation.as_deref()),
        DeviceCommand::Add { request, yes } => add(context, request, *yes),
        DeviceCommand::List { member } => list(context, member.as_deref()),
        DeviceCommand::Phrase { replace, phrase_file } => {
            on_paper(context, *replace, phrase_file.as_deref())
        }
        DeviceCommand::Revoke { id, reason, yes } => revoke(context, id, reason.as_deref(), *yes),
    }
}

fn invite(context: &mut Context, whose: Option<&str>, no_qr: bool) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    let me = app.me()?;
    let people = app.people()?;
    let member = whose.map_or(Ok(me), |typed| people.find(typed))?;
    let mut addresses = own_addresses(&app)?;
    addresses.extend(identity::addresses(&app)?);
    addresses.truncate(link::MAX_LINK_ADDRESSES);
    let invitation = Invitation {
        community: app.store().community(),
        member,
        community_name: status::community_name(&app)?,
        member_name: people.name(&member).unwrap_or_default().to_owned(),
        addresses,
    };
    let text = invitation.encode();
    if context.ui.is_json() {
        let addresses = invitation.addresses.len();
        context.ui.json("device-invite", &Invited { invitation: text, addresses })?;
        return Ok(Exit::Done);
    }
    context.ui.trusted(&format!("{text}\n"))?;
    if !no_qr && let Some(columns) = context.ui.columns() {
        let lines = qr::render(&text.to_uppercase())?;
        if qr::columns(&lines) <= columns {
            context.ui.trusted(&format!("\n{}\n", lines.join("\n")))?;
        }
    }
    if invitation.addresses.is_empty() {
        context.ui.warn("your node is not running, so the new device cannot be told where it is");
        context.ui.hint("`lanai up`, then this command again");
    } else {
        context.ui.hint("on the new device: `lanai device join` and this text");
    }
    Ok(Exit::Done)
}

/// Where the node of this device listens.
fn own_addresses(app: &App) -> Result<Vec<String>, CliError> {
    let Some(status) = node::status_of(app.home())? else { return Ok(Vec::new()) };
    let Ok(peer) = peer_id_of(app.store().own_device().as_bytes()) else { return Ok(Vec::new()) };
    let plain = |a: &String| {
        let address: Multiaddr = a.parse().ok()?;
        Some(format!("{}/p2p/{peer}", split_peer(&address).0))
    };
    Ok(status.listening.iter().filter_map(plain).collect())
}

fn request(context: &mut Context, invitation: Option<&str>) -> Result<Exit, CliError> {
    let home = context.home()?;
    let kept = home.device_request();
    let Some(text) = invitation else {
        let text = std::fs::read_to_string(&kept).map_err(|_| {
            CliError::usage("no request was made here").hint("`lanai device join TEXT` makes one")
        })?;
        return show_request(context, text.trim());
    };
    if init::has_community(&home)? || home.device_key().exists() {
        let message = format!("{} has an identity already", home.root().display());
        return Err(CliError::failed("exists", message)
            .hint("`lanai device join` prints a request again; else use another --home DIR"));
    }
    if let Some(begun) = join::begun(&home)? {
        return Err(begun);
    }
    let invitation = Invitation::decode(text)?;
    home.create()?;
    let identity = Identity::generate(&mut OsRandom);
    let device = identity.device_id();
    let (community, member) = (invitation.community, invitation.member);
    let text = link::request(&link::record(&identity, community, member, random_bytes()));
    private::create(&kept, text.as_bytes())?;
    identity.create(&home.device_key())?;
    let now = (context.clock)();
    let place = Place::of_home(&home);
    let store = Store::create_returning(&place, community, device, now, &mut OsRandom)?;
    remember(&store, &invitation.addresses, now)?;
    if !context.ui.is_json() {
        let said = Text::from("this machine asks to be a device of ")
            .with(Style::Name, &invitation.member_name)
            .plain(" in ")
            .with(Style::Heading, &invitation.community_name);
        context.ui.say(said);
    }
    show_request(context, &text)
}

/// Notes where members' nodes are; gives how many addresses were any good.
pub(super) fn remember(store: &Store, addresses: &[String], now: u64) -> Result<usize, CliError> {
    let mut good = 0;
    for address in addresses {
        let Ok(address) = address.parse::<Multiaddr>() else { continue };
        let (rest, Some(peer)) = split_peer(&address) else { continue };
        let Some(key) = device_key_of(&peer) else { continue };
        store.remember_peer(&DeviceId::new(key), &rest.to_string(), now)?;
        good += 1;
    }
    Ok(good)
}

fn show_request(context: &mut Context, text: &str) -> Result<Exit, CliError> {
    let device = link::read_request(text)?.statement.device;
    let (full, short) = (device.full(), device.short());
    if context.ui.is_json() {
        let shape = Requested { request: text.to_owned(), device: full, short };
        context.ui.json("device-request", &shape)?;
        return Ok(Exit::Done);
    }
    context.ui.trusted(&format!("{text}\n"))?;
    context.ui.say(Text::from("its device mark is ").with(Style::Id, short));
    context.ui.hint(
        "on your other device: `lanai device add` and this text; if you have none left, a steward \
         vouches with `lanai member vouch`. Then `lanai up` here",
    );
    Ok(Exit::Done)
}

fn add(context: &mut Context, text: &str, yes: bool) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    app.catch_up()?;
    let me = app.me()?;
    let record = link::read_request(text)?;
    let statement = &record.statement;
    if statement.community != app.store().community() {
        return Err(CliError::usage("that device asks to join another community"));
    }
    if statement.member != me {
        return Err(CliError::usage("that device asks to be somebody else's")
            .hint("the invitation must come from a device of yours: `lanai device invite`"));
    }
    let device = statement.device;
    let question =
        Text::from("Add the device ").with(Style::Id, device.short()).plain(" as yours?");
    context.ui.confirm(question, yes)?;
    enrol(context, &app, &record)?;
    if context.ui.is_json() {
        context.ui.json("device-add", &Added { device: device.full(), short: device.short() })?;
    } else {
        context.ui.say("added; it reads and writes in your name from now on");
        context.ui.hint("on the new device: `lanai up`");
    }
    Ok(Exit::Done)
}

/// Writes a device of ours into the roster, and seals the key to it.
pub(super) fn enrol(
    context: &mut Context,
    app: &App,
    record: &SignedDevice,
) -> Result<(), CliError> {
    let body = Body::AddDevice(AddDevice { record: record.encode().into(), vouch: None });
    govern::publish(context, app, body, None)?;
    match app.store().top_up(&app.author()?, (context.clock)(), &mut OsRandom) {
        // Whoever has the key sees to it.
        Ok(_) | Err(StoreError::NoEpochKey) => app.written(context),
        Err(error) => Err(error.into()),
    }
}

/// Makes a device on paper for who is a member already.
fn on_paper(context: &mut Context, replace: bool, file: Option<&Path>) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    app.catch_up()?;
    let me = app.me()?;
    let roster = app.store().roster()?;
    let old = papers(&app, &roster, &me)?;
    if !old.is_empty() && !replace {
        return Err(CliError::failed("exists", "there are words on paper for you already")
            .hint("`lanai device phrase --replace` makes others, if the paper is lost"));
    }
    let paper = phrase::make(context, file)?.identity();
    enrol(context, &app, &link::record(&paper, app.store().community(), me, random_bytes()))?;
    let device = paper.device_id();
    app.store().note_paper(&device)?;
    let (mut revoked, mut senior) = (Vec::new(), Vec::new());
    for lost in old {
        match turn_out(context, &app, lost, Some("other words are on paper")) {
            Ok(()) => revoked.push(lost),
            Err(error) if error.exit == Exit::Refused => senior.push(lost),
            Err(error) => return Err(error),
        }
    }
    if context.ui.is_json() {
        let full = |ids: &[DeviceId]| ids.iter().map(DeviceId::full).collect();
        let (revoked, senior) = (full(&revoked), full(&senior));
        let (device, short) = (device.full(), device.short());
        context.ui.json("device-phrase", &OnPaper { device, short, revoked, senior })?;
        return Ok(Exit::Done);
    }
    context.ui.say(Text::from("the words are a device of yours, ").with(Style::Id, device.short()));
    if !revoked.is_empty() {
        context.ui.say("the words from before are revoked");
    }
    for lost in senior {
        context.ui.warn("the words from when you joined are senior to this device, and stay good");
        context.ui.hint(format!("a steward revokes them: `lanai device revoke {}`", lost.short()));
    }
    context.ui.hint(
        "they bring you back, and turn out what was added after them: `lanai device phrase --help`",
    );
    Ok(Exit::Done)
}

/// The devices of a member that are on paper, as far as that is known here.
fn papers(app: &App, roster: &Roster, me: &MemberId) -> Result<Vec<DeviceId>, CliError> {
    let made_here = app.store().papers()?;
    let devices = govern::present(roster, me)?.devices.iter();
    let papers = devices.filter(|d| d.paper || made_here.contains(&d.device));
    Ok(papers.map(|d| d.device).collect())
}

fn list(context: &mut Context, member: Option<&str>) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    app.catch_up()?;
    let people = app.people()?;
    let wanted = match member {
        Some(typed) => people.find(typed)?,
        None => app.me()?,
    };
    let roster = app.store().roster()?;
    let devices = &govern::present(&roster, &wanted)?.devices;
    let own = app.store().own_device();
    let papers = papers(&app, &roster, &wanted)?;
    if context.ui.is_json() {
        let shape = |d: &DeviceRecord| DeviceShape {
            id: d.device.full(),
            short: d.device.short(),
            this: d.device == own,
            paper: papers.contains(&d.device),
        };
        let devices = devices.iter().map(shape).collect();
        context.ui.json("devices", &Devices { member: people.person(&wanted), devices })?;
        return Ok(Exit::Done);
    }
    let terminal = context.ui.out_is_terminal();
    let mut table = Table::new().column("DEVICE").column("");
    for device in devices {
        let id = if terminal { device.device.short() } else { device.device.full() };
        let note = match (device.device == own, papers.contains(&device.device)) {
            (true, _) => "this one",
            (_, true) => "on paper",
            _ => "",
        };
        table.row([Text::styled(Style::Id, id), Text::styled(Style::Dim, note)]);
    }
    context.ui.table(&table)?;
    Ok(Exit::Done)
}

/// Revokes a device, and gives all others a key that it does not get.
fn turn_out(
    context: &mut Context,
    app: &App,
    device: DeviceId,
    reason: Option<&str>,
) -> Result<(), CliError> {
    let subject = Subject::Device((*device.as_bytes()).into());
    let cut = app.store().cut_of(&[device].into())?;
    let why = govern::Why { reason, recovery: None };
    govern::remove_with_cut(context, app, &cut, subject, why)?;
    if device != app.store().own_device() {
        app.store().top_up(&app.author()?, (context.clock)(), &mut OsRandom)?;
        app.written(context)?;
    }
    Ok(())
}

fn revoke(
    context: &mut Context,
    typed: &str,
    reason: Option<&str>,
    yes: bool,
) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    app.catch_up()?;
    let people = app.people()?;
    let roster = app.store().roster()?;
    let devices: Vec<_> =
        roster.members().flat_map(|m| m.devices.iter().map(move |d| (m, d))).collect();
    let (owner, device) =
        by_id("device", typed, "`lanai device list` lists yours", &devices, |(_, d)| {
            d.device.as_bytes()
        })?;
    if device.device == app.store().own_device() {
        context.ui.warn("this is the device that you use: it writes nothing any more after that");
    }
    let question = Text::from("Revoke ")
        .with(Style::Id, device.device.short())
        .plain(format!(" of {}?", people.shown(&owner.id).to_plain()));
    context.ui.confirm(question, yes)?;
    turn_out(context, &app, device.device, reason)?;
    if context.ui.is_json() {
        let (device, short) = (device.device.full(), device.device.short());
        context.ui.json("device-revoke", &Added { device, short })?;
    } else {
        context.ui.say("revoked; what is written from now on has a key that it does not get");
        context.ui.hint("`lanai sync --wait 1m` tells the others now");
    }
    Ok(Exit::Done)
}
