//! `lanai join`: become a member with a ticket.
//!
//! 1. How far it came stands in `join.json` before the first message goes out, so whatever happens
//!    in between, `lanai join` goes on, and one member comes of it.
//! 2. A home holds one community. One that nobody but its founder is in and that has no posts makes
//!    room; it is put aside until the join has succeeded, and put back when it has not.
//! 3. Only a refusal that asking on cannot change ends the attempt for good.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lanai_crdt::payload::{Body, Profile};
use lanai_crdt::ticket::{MAX_TICKET_TEXT_CHARS, TicketText};
use lanai_node::config::{Config, parse_address};
use lanai_node::control::NodeStatus;
use lanai_node::home::Home;
use lanai_node::join::{JoinStage, JoinState, JoinStateError, Next};
use lanai_node::net::Multiaddr;
use lanai_node::random::random_bytes;
use lanai_node::runtime::{self, JoinEvent, JoinOptions, JoinRunError, Joined};
use lanai_node::store::{NewEntry, store_files};
use serde::Serialize;

use super::{Context, charter, device, init, lock, node, phrase, status};
use crate::app::App;
use crate::args::{JoinArgs, NetworkArgs};
use crate::error::{CliError, Exit};
use crate::layout::{Style, Text};
use crate::time;
use crate::ui::Ui;

/// How often it is said that nothing has happened.
const REMIND: Duration = Duration::from_secs(15);
/// What the files of a store are called while it is put aside.
const ASIDE: &str = ".aside";

impl From<JoinStateError> for CliError {
    fn from(error: JoinStateError) -> CliError {
        match error {
            JoinStateError::File(error) => error.into(),
            JoinStateError::Damaged { .. } => CliError::failed("join-state", error.to_string())
                .hint("`lanai join TICKET` begins anew once that file is removed"),
            JoinStateError::Newer { .. } => {
                CliError::failed("join-state", error.to_string()).hint("install the newer version")
            }
        }
    }
}

impl From<JoinRunError> for CliError {
    fn from(error: JoinRunError) -> CliError {
        let message = error.to_string();
        match error {
            JoinRunError::Refused(why) => {
                let error = CliError::new(Exit::Refused, "join-refused", message);
                match why.hint() {
                    Some(hint) => error.hint(hint),
                    None => error,
                }
            }
            JoinRunError::NobodyFound { .. } => {
                CliError::new(Exit::Unconfirmed, "nobody-found", message)
                    .hint(
                        "a member's node must run and be reachable: ask for its address and try \
                         `lanai join --dial ADDRESS`",
                    )
                    .retryable()
            }
            JoinRunError::Net(error) => CliError::failed("network", error.to_string()),
            JoinRunError::Store(error) => error.into(),
            JoinRunError::Runtime(error) => error.into(),
        }
    }
}

#[derive(Serialize)]
struct JoinShape {
    community: CommunityShape,
    me: status::MeShape,
    through: Option<String>,
    entries: Option<usize>,
    node: Option<NodeStatus>,
}

#[derive(Serialize)]
struct CommunityShape {
    id: String,
    name: String,
}

/// The error for a command that cannot go with a join that was begun.
pub(super) fn begun(home: &Home) -> Result<Option<CliError>, CliError> {
    let Some(state) = JoinState::load(&home.join_state())? else { return Ok(None) };
    let name = state.ticket().map(|ticket| ticket.name().to_owned()).unwrap_or_default();
    let mut message = format!("joining \"{name}\" was begun here and is not finished");
    if let Some(problem) = &state.problem {
        message.push_str(&format!(" ({problem})"));
    }
    Ok(Some(
        CliError::failed("join-unfinished", message)
            .hint("`lanai join` goes on with it, `lanai leave` gives it up"),
    ))
}

pub(super) fn run(context: &mut Context, args: &JoinArgs) -> Result<Exit, CliError> {
    run_with(context, args, &NetworkArgs::default())
}

/// Joins, and starts the node with these network options.
pub(super) fn run_with(
    context: &mut Context,
    args: &JoinArgs,
    network: &NetworkArgs,
) -> Result<Exit, CliError> {
    let home = context.home()?;
    let (ticket, mut state, begins) = what_to_join(context, &home, args)?;
    let network = NetworkArgs {
        dial: args.dial.iter().chain(&network.dial).cloned().collect(),
        ..network.clone()
    };
    let typed = typed_addresses(&network.dial)?;
    let config = node::settings(&home, &network)?;
    put_back(&home)?;

    let mut alone = false;
    if init::has_community(&home)? {
        let app = App::open_quietly(context)?;
        if app.store().community() == ticket.community() {
            return already_in(context, &home, app, state, (&network, args.accept_charter));
        }
        alone = must_make_room(&app)?;
    }
    if args.lock {
        if alone {
            return Err(CliError::usage("--lock is for a home that holds no community yet")
                .hint("name another with --home, or type `lanai lock` once you are in"));
        }
        lock::init(context, &home)?;
    }
    let home = context.home()?;
    let identity = Arc::new(init::identity_of(&home)?);
    if begins && let Some(phrase) = phrase::offer(context, &args.phrase)? {
        state.set_paper(&identity, &phrase.identity(), random_bytes())?;
    }
    state.problem = None;
    state.save(&home.join_state())?;

    let was_running = alone && node::stop(&home)?;
    if alone {
        put_aside(&home)?;
        context.ui.detail("the community of one that was here makes room");
    }
    let options = JoinOptions {
        home: home.clone(),
        ticket,
        record_nonce: state.record_nonce(),
        dial: typed.into_iter().chain(dial_of(&config)?).collect(),
        mdns: config.mdns,
        beacon: config.beacon,
        wait: args.wait,
    };
    match search(&mut context.ui, options, identity) {
        Ok(joined) => {
            state.stage = JoinStage::Admitted;
            state.save(&home.join_state())?;
            finish(context, &home, state, Some(joined), (&network, args.accept_charter))
        }
        Err(failure) => {
            put_back(&home)?;
            failure.note(&home, state)?;
            if was_running {
                node::start(&home, &network)?;
            }
            Err(failure.error)
        }
    }
}

/// The ticket that was typed or used before, how far joining with it came, and whether it begins
/// now.
fn what_to_join(
    context: &mut Context,
    home: &Home,
    args: &JoinArgs,
) -> Result<(TicketText, JoinState, bool), CliError> {
    let before = JoinState::load(&home.join_state())?;
    let typed = match args.ticket.as_deref() {
        Some("-") => Some(context.ui.read_input(MAX_TICKET_TEXT_CHARS * 4)?),
        Some(text) => Some(text.to_owned()),
        None => None,
    };
    let typed = typed.map(|text| TicketText::decode(&text)).transpose()?;
    let (ticket, mut state, begins) = match (typed, before) {
        (None, None) => {
            return Err(CliError::usage("no ticket is given, and no join was begun here").hint(
                "`lanai join TICKET`, with a ticket that a member made with `lanai invite`",
            ));
        }
        (None, Some(state)) => (state.ticket()?, state, false),
        (Some(ticket), Some(state)) if state.is_for(&ticket) => (ticket, state, false),
        (Some(ticket), before) => {
            if before.is_some() {
                context.ui.say("the join that was begun with another ticket is given up");
            }
            let name = init::name_of_user(context, args.name.as_deref())?;
            let state = JoinState::new(&ticket, &name, random_bytes(), (context.clock)());
            (ticket, state, true)
        }
    };
    if args.name.is_some() {
        state.name = init::name_of_user(context, args.name.as_deref())?;
    }
    Ok((ticket, state, begins))
}

fn typed_addresses(typed: &[String]) -> Result<Vec<Multiaddr>, CliError> {
    let mut all = Vec::new();
    for text in typed {
        all.extend(parse_address(text)?);
    }
    Ok(all)
}

fn dial_of(config: &Config) -> Result<Vec<Multiaddr>, CliError> {
    Ok(config.dial_addresses()?)
}

/// Whether the community that is here may make room: nobody else is in it and nothing was written.
fn must_make_room(app: &App) -> Result<bool, CliError> {
    while app.catch_up()? > 0 {}
    let stats = app.store().stats()?;
    let members = app.store().roster()?.members().count();
    // A returning member's store knows of no members yet, and is not to be thrown away.
    if members == 1 && stats.posts == 0 && app.store().own_member()?.is_some() {
        return Ok(true);
    }
    let name = status::community_name(app)?;
    Err(CliError::failed("home-in-use", format!("this home holds the community \"{name}\""))
        .hint("a home holds one community: `lanai join TICKET --home DIR` uses another one"))
}

/// The store, what is kept beside it, and its token.
fn files_of_store(home: &Home) -> Vec<PathBuf> {
    let mut files = store_files(&home.store()).to_vec();
    files.push(home.token());
    files
}

fn aside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ASIDE);
    PathBuf::from(name)
}

fn put_aside(home: &Home) -> Result<(), CliError> {
    move_all(&files_of_store(home), |path| (path.to_path_buf(), aside(path)))
}

/// Puts back what was put aside for a join that did not succeed; does nothing where nothing was.
fn put_back(home: &Home) -> Result<(), CliError> {
    let files = files_of_store(home);
    if !aside(&home.store()).exists() {
        return Ok(());
    }
    if init::has_community(home)? {
        return forget_aside(home);
    }
    for path in &files {
        remove(path)?;
    }
    move_all(&files, |path| (aside(path), path.to_path_buf()))
}

fn forget_aside(home: &Home) -> Result<(), CliError> {
    files_of_store(home).iter().try_for_each(|path| remove(&aside(path)))
}

/// The last of `files` first, so that the store itself says whether all was moved.
fn move_all(
    files: &[PathBuf],
    from_to: impl Fn(&Path) -> (PathBuf, PathBuf),
) -> Result<(), CliError> {
    for path in files.iter().rev() {
        let (from, to) = from_to(path);
        match std::fs::rename(&from, &to) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(CliError::io(format!("move {}", from.display()), &e));
            }
            _ => {}
        }
    }
    Ok(())
}

fn remove(path: &Path) -> Result<(), CliError> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(CliError::io(format!("remove {}", path.display()), &e))
        }
        _ => Ok(()),
    }
}

/// Why nothing came of it, and whether another attempt can be better.
#[derive(Debug)]
struct Failure {
    error: CliError,
    for_good: bool,
}

impl Failure {
    /// Keeps the reason for `lanai status`, or forgets the join.
    fn note(&self, home: &Home, mut state: JoinState) -> Result<(), CliError> {
        if self.for_good {
            return Ok(JoinState::remove(&home.join_state())?);
        }
        state.problem = Some(lanai_crdt::text::clean_line(&self.error.message).into_owned());
        Ok(state.save(&home.join_state())?)
    }
}

impl From<CliError> for Failure {
    fn from(error: CliError) -> Failure {
        Failure { error, for_good: false }
    }
}

/// Looks for a member's node that lets this device in, and says what happens, until one does, the
/// time is over, or Ctrl-C.
fn search(
    ui: &mut Ui,
    options: JoinOptions,
    identity: Arc<lanai_node::identity::Identity>,
) -> Result<Joined, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| CliError::io("start the network", &e))?;
    let teller = RefCell::new(Teller::new(ui, &options));
    let result = runtime.block_on(async {
        let stop = node::stop_signal()?;
        let remind = async {
            let mut tick = tokio::time::interval(REMIND);
            tick.tick().await;
            loop {
                tick.tick().await;
                teller.borrow_mut().remind();
            }
        };
        let join = runtime::join(options, identity, |event| teller.borrow_mut().tell(event));
        tokio::select! {
            joined = join => joined.map_err(|error| {
                let for_good = matches!(&error, JoinRunError::Refused(e) if e.next() == Next::GiveUp);
                Failure { error: error.into(), for_good }
            }),
            () = stop => Err(interrupted().into()),
            () = remind => Err(CliError::internal("the reminder ended").into()),
        }
    });
    runtime.shutdown_timeout(Duration::from_millis(500));
    result
}

fn interrupted() -> CliError {
    CliError::failed("interrupted", "joining was interrupted; nothing is lost")
        .hint("`lanai join` goes on with it")
        .retryable()
}

/// Says what happens on the way, and why it takes long.
struct Teller<'a> {
    ui: &'a mut Ui,
    name: String,
    /// Whether the local network is searched, by whatever means.
    network: bool,
    begun: Instant,
    seen: usize,
    receiving: bool,
    last: Option<String>,
}

impl<'a> Teller<'a> {
    fn new(ui: &'a mut Ui, options: &JoinOptions) -> Self {
        Self {
            ui,
            name: options.ticket.name().to_owned(),
            network: options.mdns || options.beacon,
            begun: Instant::now(),
            seen: 0,
            receiving: false,
            last: None,
        }
    }

    fn tell(&mut self, event: JoinEvent) {
        match event {
            JoinEvent::Looking { addresses } => {
                let addresses = u64::try_from(addresses).unwrap_or(u64::MAX);
                let addresses = match addresses {
                    0 => None,
                    n => Some(format!("at {}", status::count(n, "address", "addresses"))),
                };
                let network = self.network.then(|| "on the local network".to_owned());
                let places: Vec<String> = network.into_iter().chain(addresses).collect();
                let name = Text::styled(Style::Heading, &self.name);
                if places.is_empty() {
                    self.ui.warn(
                        "there is nowhere to look: looking on the local network is switched off, \
                         and no address is known; give one with --dial",
                    );
                }
                let said = Text::from("looking for a member's node of ").then(name);
                self.ui.say(said.plain(format!(" {}", places.join(" and "))));
            }
            JoinEvent::Found { device } => {
                self.seen += 1;
                self.ui.detail(format!("the node {} is on the local network", device.short()));
            }
            JoinEvent::Asking { device } => {
                self.ui.detail(format!("asking the node {}", device.short()));
            }
            JoinEvent::Recognised => self.ui.say("it knows the ticket; waiting to be let in"),
            JoinEvent::Receiving { of, .. } if !self.receiving => {
                self.receiving = true;
                let entries = status::count(of.into(), "entry", "entries");
                self.ui.say(format!("let in; receiving who belongs to it ({entries})"));
            }
            JoinEvent::Receiving { .. } => {}
            JoinEvent::Trouble { with, why } => {
                let said = format!("{with}: {why}");
                self.ui.say(said.as_str());
                self.last = Some(said);
            }
        }
    }

    fn remind(&mut self) {
        if self.receiving {
            return;
        }
        let why = match (self.network, self.seen) {
            (true, 0) => "no lanai node was seen on the local network yet".to_owned(),
            (false, _) => "looking on the local network is switched off".to_owned(),
            (true, 1) => "one node was seen, and it has not let you in".to_owned(),
            (true, n) => format!("{n} nodes were seen, and none has let you in"),
        };
        let since = time::span(self.begun.elapsed().as_secs());
        let last = self.last.as_ref().map(|last| format!("; the last: {last}")).unwrap_or_default();
        self.ui.say(format!("still looking after {since}: {why}{last}"));
        self.ui.hint(
            "a member's node must be running (`lanai up`); Ctrl-C stops, `lanai join` goes on",
        );
    }
}

/// The home is in that community: what an interrupted join left to do is done.
fn already_in(
    context: &mut Context,
    home: &Home,
    app: App,
    state: JoinState,
    how: (&NetworkArgs, bool),
) -> Result<Exit, CliError> {
    drop(app);
    if JoinState::load(&home.join_state())?.is_some() {
        return finish(context, home, state, None, how);
    }
    let app = App::open_quietly(context)?;
    let name = status::community_name(&app)?;
    if context.ui.is_json() {
        return json(context, &app, name, None, node::status_of(home)?);
    }
    context.ui.say(Text::from("you are in ").with(Style::Heading, name).plain(" already"));
    context.ui.hint("`lanai up` starts the node, `lanai inbox` shows what is new");
    Ok(Exit::Done)
}

/// The store is there: the name is published, the node started, and the attempt forgotten.
fn finish(
    context: &mut Context,
    home: &Home,
    state: JoinState,
    joined: Option<Joined>,
    (network, accept_charter): (&NetworkArgs, bool),
) -> Result<Exit, CliError> {
    forget_aside(home)?;
    let app = App::open_quietly(context)?;
    let me = app.me()?;
    if app.store().name(&me)?.is_none() {
        let profile = Profile { name: state.name.clone(), ..Profile::default() };
        let done = app.publish_one(context, NewEntry::new(Body::Profile(profile), []));
        match done {
            Ok(_) => {
                app.catch_up()?;
            }
            Err(error) if error.code == "no-key" => context.ui.warn(
                "your name could not be published yet: `lanai profile --name NAME` does it later",
            ),
            Err(error) => return Err(error),
        }
    }
    if let Some(paper) = state.paper()
        && app.store().roster()?.standing(&paper.statement.device).is_none()
    {
        device::enrol(context, &app, &paper)?;
    }
    JoinState::remove(&home.join_state())?;
    let name = app.store().community_info()?.view.map(|view| view.name);
    let name = name.or_else(|| state.ticket().ok().map(|ticket| ticket.name().to_owned()));
    let name = name.unwrap_or_default();
    let node = match node::start(home, network) {
        Ok((status, _)) => Some(status),
        Err(error) => {
            context.ui.warn(format!("you are a member, but {}", error.message));
            None
        }
    };
    if node.is_some() {
        charter::meet(context, &app, accept_charter)?;
    }
    if context.ui.is_json() {
        return json(context, &app, name, joined, node);
    }
    let said = Text::from("you are a member of ").with(Style::Heading, name);
    let as_who = app.store().name(&me)?.unwrap_or_default();
    context.ui.say(said.plain(" as ").with(Style::Name, as_who));
    if node.is_some() {
        context.ui.say("the node is running and fetches what was written");
        context.ui.hint(
            "`lanai threads` lists it, `lanai inbox` what is new, `lanai status` how it goes",
        );
    } else {
        context.ui.hint("`lanai up` starts the node, which fetches what was written");
    }
    Ok(Exit::Done)
}

fn json(
    context: &mut Context,
    app: &App,
    name: String,
    joined: Option<Joined>,
    node: Option<NodeStatus>,
) -> Result<Exit, CliError> {
    let shape = JoinShape {
        community: CommunityShape { id: app.store().community().full(), name },
        me: status::MeShape::of(app)?,
        through: joined.as_ref().map(|joined| joined.through.full()),
        entries: joined.as_ref().map(|joined| joined.entries),
        node,
    };
    context.ui.json("join", &shape)?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use lanai_crdt::id::{CommunityId, DeviceId, EntryId};
    use lanai_crdt::ticket::TicketSecret;

    use super::super::testing::{Bench, bench};
    use super::super::village::{HOSTILE, House, assert_harmless};
    use super::*;
    use crate::args::{HistoryArg, PhraseArgs};

    fn ticket() -> String {
        let secret = TicketSecret::from_bytes([1; 32]);
        let (community, id) = (CommunityId::new([2; 32]), EntryId::new([3; 32]));
        TicketText::new(secret, community, id, "The Porch", Vec::new())
            .unwrap()
            .encode()
            .to_string()
    }

    fn args(ticket: Option<String>) -> JoinArgs {
        JoinArgs {
            ticket,
            name: Some("Bob".into()),
            dial: Vec::new(),
            wait: Some(Duration::ZERO),
            accept_charter: false,
            lock: false,
            phrase: PhraseArgs::default(),
        }
    }

    /// No multicast from tests.
    fn without_mdns(bench: &Bench) -> Home {
        let home = bench.context.home().unwrap();
        home.create().unwrap();
        let config = Config { mdns: false, beacon: false, ..Config::default() };
        config.save(&home.config()).unwrap();
        home
    }

    #[test]
    fn a_join_that_finds_nobody_is_kept_and_gone_on_with() {
        let mut pipe = bench(None, false);
        let home = without_mdns(&pipe);
        let error = run(&mut pipe.context, &args(Some(ticket()))).unwrap_err();
        assert_eq!((error.exit, error.code), (Exit::Unconfirmed, "nobody-found"));
        assert!(error.retryable && error.hint.unwrap().contains("--dial"));
        let first = JoinState::load(&home.join_state()).unwrap().unwrap();
        assert_eq!(first.name, "Bob");
        assert!(first.problem.as_ref().unwrap().contains("no member's node"));

        let again = run(&mut pipe.context, &args(None)).unwrap_err();
        assert_eq!(again.code, "nobody-found");
        let second = JoinState::load(&home.join_state()).unwrap().unwrap();
        assert_eq!(second.record_nonce(), first.record_nonce());
        assert!(pipe.err.text().contains("The Porch"), "{}", pipe.err.text());
        assert!(pipe.err.text().contains("nowhere to look"), "{}", pipe.err.text());

        // Others say what stands in the way.
        let error = super::super::init::run(
            &mut pipe.context,
            &crate::args::InitArgs {
                name: None,
                community: None,
                history: HistoryArg::All,
                lock: false,
                phrase: PhraseArgs::default(),
            },
        )
        .unwrap_err();
        assert_eq!(error.code, "join-unfinished");
        status::run(&mut pipe.context).unwrap();
        assert!(pipe.out.text().contains("not finished: The Porch"), "{}", pipe.out.text());
    }

    #[test]
    fn what_is_no_ticket_is_explained() {
        let mut pipe = bench(None, false);
        let error = run(&mut pipe.context, &args(None)).unwrap_err();
        assert_eq!(error.exit, Exit::Usage);
        assert!(error.hint.unwrap().contains("lanai invite"));
        for bad in ["nonsense", "lanai1", &ticket()[..60]] {
            let error = run(&mut pipe.context, &args(Some(bad.into()))).unwrap_err();
            assert_eq!(error.exit, Exit::Usage, "{bad}");
        }
        assert!(!pipe.context.home().unwrap().join_state().exists());
    }

    #[test]
    fn a_community_with_others_or_posts_makes_no_room() {
        let ann = House::founder("Ann");
        let _bob = ann.neighbour("Bob");
        let error = ann.run(&["join", &ticket(), "--wait", "0"]).failed();
        assert_eq!(error.code, "home-in-use");
        assert!(error.hint.unwrap().contains("--home"));
        let cleo = House::founder("Cleo");
        cleo.ask("Anybody?", "x", &[]);
        assert_eq!(cleo.run(&["join", &ticket(), "--wait", "0"]).failed().code, "home-in-use");
        assert_eq!(cleo.json(&["status"])["posts"], 1);
        assert!(!cleo.home.join_state().exists());
    }

    #[test]
    fn a_community_of_one_is_there_again_when_nobody_was_found() {
        let mut pipe = bench(None, false);
        let home = without_mdns(&pipe);
        init::found(&pipe.context, &home, (Some("Ann"), None), HistoryArg::All, None).unwrap();
        let community = App::open_quietly(&pipe.context).unwrap().store().community();
        let error = run(&mut pipe.context, &args(Some(ticket()))).unwrap_err();
        assert_eq!(error.code, "nobody-found");
        let app = App::open_quietly(&pipe.context).unwrap();
        assert_eq!(app.store().community(), community);
        drop(app);

        // Killed while it was put aside.
        put_aside(&home).unwrap();
        assert!(!home.has_store());
        std::fs::write(home.token(), "of a store that was never finished").unwrap();
        put_back(&home).unwrap();
        let app = App::open_quietly(&pipe.context).unwrap();
        assert_eq!(app.store().community(), community);
        assert!(!aside(&home.store()).exists());
        assert!(app.store().own_member().unwrap().is_some());
    }

    #[test]
    fn a_member_is_told_so() {
        let ann = House::founder("Ann");
        let made = ann.json(&["invite"]);
        let ran = ann.run(&["join", made["ticket"].as_str().unwrap()]);
        assert!(ran.err.contains("you are in porch already"), "{}", ran.err);
        assert_eq!(ran.done.unwrap(), Exit::Done);
    }

    #[test]
    fn refusals_end_it_and_other_failures_do_not() {
        use lanai_node::join::{JoinerError, Refusal};
        let mut pipe = bench(None, false);
        let home = without_mdns(&pipe);
        let state = JoinState::new(&TicketText::decode(&ticket()).unwrap(), "Bob", [7; 16], 1);
        state.save(&home.join_state()).unwrap();
        let refused = JoinRunError::Refused(JoinerError::Refused(Refusal::UsedUp));
        let error = CliError::from(refused);
        assert_eq!(error.exit, Exit::Refused);
        assert!(error.message.contains("used up"), "{error:?}");
        Failure { error: error.clone(), for_good: false }.note(&home, state.clone()).unwrap();
        let kept = JoinState::load(&home.join_state()).unwrap().unwrap();
        assert!(kept.problem.as_ref().unwrap().contains("used up"));
        Failure { error, for_good: true }.note(&home, state).unwrap();
        assert!(!home.join_state().exists());
        pipe.context.ui.flush().unwrap();
    }

    #[test]
    fn what_happens_is_told_harmlessly() {
        let mut pipe = bench(None, false);
        let options = JoinOptions {
            home: pipe.context.home().unwrap(),
            ticket: TicketText::decode(&ticket()).unwrap(),
            record_nonce: [0; 16],
            dial: Vec::new(),
            mdns: true,
            beacon: false,
            wait: None,
        };
        let mut teller = Teller::new(&mut pipe.context.ui, &options);
        teller.tell(JoinEvent::Looking { addresses: 2 });
        teller.remind();
        teller.tell(JoinEvent::Found { device: DeviceId::new([1; 32]) });
        teller.tell(JoinEvent::Trouble { with: HOSTILE.into(), why: HOSTILE.into() });
        teller.remind();
        teller.tell(JoinEvent::Recognised);
        teller.tell(JoinEvent::Receiving { entries: 1, of: 2 });
        teller.tell(JoinEvent::Receiving { entries: 2, of: 2 });
        teller.remind();
        let said = pipe.err.text();
        assert!(said.contains("on the local network and at 2 addresses"), "{said}");
        assert!(said.contains("no lanai node was seen"), "{said}");
        assert!(said.contains("one node was seen"), "{said}");
        assert_eq!(said.matches("receiving").count(), 1, "{said}");
        assert_harmless(&said);
    }
}
