//! `lanai up`: the one command to begin with, and the one to come back with.

use std::time::Duration;

use lanai_crdt::payload::Role;
use lanai_node::control::NodeStatus;
use lanai_node::home::Home;
use lanai_node::join::JoinState;
use serde::Serialize;

use super::{Context, charter, inbox, init, invite, join, node, phrase, status, welcome};
use crate::app::App;
use crate::args::{Expiry, InboxArgs, JoinArgs, NetworkArgs, UpArgs};
use crate::error::{CliError, Exit};
use crate::layout::{Style, Text};

/// Uses of the first ticket.
const USES: u32 = 10;
/// How long the first ticket is valid.
const VALID: Duration = Duration::from_secs(7 * 86_400);
/// Threads of the inbox that are shown.
const INBOX: usize = 10;

#[derive(Serialize)]
struct UpShape {
    founded: bool,
    started: bool,
    community: status::CommunityShape,
    me: status::MeShape,
    recovery_key: Option<String>,
    ticket: Option<invite::TicketShape>,
    unread: u64,
    node: Option<NodeStatus>,
}

pub(super) fn run(context: &mut Context, args: &UpArgs) -> Result<Exit, CliError> {
    if args.foreground {
        lanai_node::runtime::restart_with_process_environment();
    }
    let home = context.home()?;
    if let Some(state) = JoinState::load(&home.join_state())? {
        return go_on_joining(context, args, &state);
    }
    // A mistake on the command line is told before anything is made.
    node::settings(&home, &args.network)?.listen_addresses()?;
    if init::has_community(&home)? {
        return again(context, &home, args);
    }
    let phrase = phrase::offer(context, &args.phrase)?;
    let names = (args.name.as_deref(), args.community.as_deref());
    let founded = init::found(context, &home, names, args.history, phrase.as_ref())?;
    first(context, &home, args, &founded)
}

fn go_on_joining(
    context: &mut Context,
    args: &UpArgs,
    state: &JoinState,
) -> Result<Exit, CliError> {
    let name = state.ticket().map(|ticket| ticket.name().to_owned()).unwrap_or_default();
    let said = Text::from("joining ").with(Style::Heading, name);
    context.ui.say(said.plain(" was begun and is not finished; going on with it"));
    let (name, phrase) = (args.name.clone(), args.phrase.clone());
    let join = JoinArgs {
        ticket: None,
        name,
        dial: Vec::new(),
        wait: None,
        accept_charter: false,
        lock: false,
        phrase,
    };
    join::run_with(context, &join, &args.network)
}

/// The first time: a community, a running node, a ticket, and what to do with them.
fn first(
    context: &mut Context,
    home: &Home,
    args: &UpArgs,
    founded: &init::Founded,
) -> Result<Exit, CliError> {
    let app = &founded.app;
    if !context.ui.is_json() {
        // Before anything can go wrong: nobody can show the recovery key again.
        founded.say(context)?;
        context.ui.flush()?;
    }
    let started = match args.foreground {
        true => Ok(None),
        false => node::start(home, &args.network).map(|(status, _)| Some(status)),
    };
    let listening = match &started {
        Ok(Some(status)) => status.listening.as_slice(),
        _ => &[],
    };
    let order = invite::Order {
        uses: USES,
        expires: Expiry::After(VALID),
        role: Role::Member,
        addresses: invite::chosen(listening),
    };
    let made = invite::make(context, app, order)?;
    if context.ui.is_json() {
        let shape = UpShape {
            founded: true,
            started: matches!(started, Ok(Some(_))),
            community: status::CommunityShape::of(app)?,
            me: status::MeShape::of(app)?,
            recovery_key: Some(founded.recovery_key.clone()),
            ticket: Some(made.shape()),
            unread: 0,
            node: started.as_ref().ok().cloned().flatten(),
        };
        context.ui.json("up", &shape)?;
    } else if context.ui.out_is_terminal() {
        context.ui.line(format!("Ticket {}:", made.terms()))?;
        context.ui.blank()?;
        made.print(context)?;
        context.ui.blank()?;
    } else {
        status::fact(context, "ticket", made.shape().text())?;
    }
    context.ui.flush()?;
    let status = started?;
    if args.foreground {
        context.ui.say("the node runs here, until Ctrl-C");
        return node::run_here(context, &args.network, false);
    }
    if let (false, Some(status)) = (context.ui.is_json(), &status) {
        running(context, status, true);
        context
            .ui
            .hint("whoever should take part types `lanai join` and the ticket on their machine");
        context.ui.hint("`lanai invite` makes another ticket, with a QR code");
        context
            .ui
            .hint("`lanai import mbox FILE` brings along an archive, `lanai ask` asks something");
    }
    Ok(Exit::Done)
}

fn running(context: &mut Context, status: &NodeStatus, new: bool) {
    let how = if new { "is running now" } else { "was running already" };
    let place = match status.listening.len() {
        0 => "; it listens nowhere yet".to_owned(),
        n => {
            let n = u64::try_from(n).unwrap_or(u64::MAX);
            format!(", on {}", status::count(n, "address", "addresses"))
        }
    };
    context.ui.say(format!("the node {how} (process {}{place})", status.pid));
}

/// Every other time: the node runs, and what is new is shown.
fn again(context: &mut Context, home: &Home, args: &UpArgs) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    app.catch_up()?;
    other_names(context, &app, args)?;
    if args.foreground {
        inbox_of(context, &app)?;
        context.ui.flush()?;
        drop(app);
        return node::run_here(context, &args.network, false);
    }
    let (status, new) = node::start(home, &args.network)?;
    if context.ui.is_json() {
        let shape = UpShape {
            founded: false,
            started: new,
            community: status::CommunityShape::of(&app)?,
            me: status::MeShape::of(&app)?,
            recovery_key: None,
            ticket: None,
            unread: status::unread(&app)?,
            node: Some(status),
        };
        context.ui.json("up", &shape)?;
        return Ok(Exit::Done);
    }
    running(context, &status, new);
    if !new && asks_for_something(&args.network) {
        context.ui.hint("network options count when it starts: `lanai node stop` first");
    }
    if app.store().own_member()?.is_none() {
        context.ui.say("nothing of the community is here yet; it comes from the first member's node that is met");
        context.ui.hint("`lanai status` says how it goes");
        return Ok(Exit::Done);
    }
    inbox_of(context, &app)?;
    charter::remind(context, &app)?;
    welcome::remind(context, &app)?;
    Ok(Exit::Done)
}

fn asks_for_something(network: &NetworkArgs) -> bool {
    !network.listen.is_empty()
        || network.port.is_some()
        || network.no_mdns
        || network.no_beacon
        || !network.dial.is_empty()
}

/// Names that are given when there is a community already change nothing.
fn other_names(context: &mut Context, app: &App, args: &UpArgs) -> Result<(), CliError> {
    let me = status::MeShape::of(app)?.name;
    if args.name.as_ref().is_some_and(|name| name.trim() != me) && !me.is_empty() {
        context.ui.hint(format!("you are called {me} here; `lanai profile --name` changes that"));
    }
    let name = status::community_name(app)?;
    if args.community.as_ref().is_some_and(|given| given.trim() != name) {
        context.ui.hint(format!("this home holds {name}; another community needs another --home"));
    }
    Ok(())
}

fn inbox_of(context: &mut Context, app: &App) -> Result<(), CliError> {
    if context.ui.is_json() {
        return Ok(());
    }
    inbox::show(context, app, &InboxArgs { all: false, mark_all: false, limit: INBOX })
}

#[cfg(test)]
mod tests {
    use super::super::village::House;
    use super::*;
    use crate::args::PhraseArgs;

    #[test]
    fn a_bad_option_is_told_before_anything_is_made() {
        let mut bench = super::super::testing::bench(None, false);
        let args = UpArgs {
            foreground: false,
            name: None,
            community: None,
            history: crate::args::HistoryArg::All,
            network: NetworkArgs { listen: vec!["nonsense".into()], ..NetworkArgs::default() },
            phrase: PhraseArgs::default(),
        };
        assert_eq!(run(&mut bench.context, &args).unwrap_err().exit, Exit::Usage);
        assert!(!bench.context.home().unwrap().root().exists());
    }

    #[test]
    fn other_names_are_not_taken_silently() {
        let ann = House::founder("Ann");
        let mut bench = ann.bench(None, false);
        let app = App::open(&mut bench.context).unwrap();
        let mut args = UpArgs {
            foreground: false,
            name: Some("Ann".into()),
            community: Some("porch".into()),
            history: crate::args::HistoryArg::All,
            network: NetworkArgs::default(),
            phrase: PhraseArgs::default(),
        };
        other_names(&mut bench.context, &app, &args).unwrap();
        assert_eq!(bench.err.text(), "");
        args.name = Some("Bob".into());
        args.community = Some("Other".into());
        other_names(&mut bench.context, &app, &args).unwrap();
        assert!(bench.err.text().contains("lanai profile --name"));
        assert!(bench.err.text().contains("another --home"));
    }
}
