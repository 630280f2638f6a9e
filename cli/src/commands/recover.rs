//! `lanai recover`: back in with the words on paper.
//!
//! 1. The device on paper is the home's device for as long as it takes, in a store of its own below the
//!    home: its keys are in memory alone. It gets everything from a member's node, or from a copy
//!    of a store.
//! 2. It enrols the device that is used from then on, revokes the others if that was asked for, and
//!    members' nodes hear of it.
//! 3. The home's store is made from what is there, and the paper's store is removed.
//!
//! Interrupted, it can be called again: the new device keeps its keys, so it is enrolled once.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use lanai_crdt::id::{CommunityId, DeviceId, EntryId, MemberId};
use lanai_crdt::payload::{AddDevice, Body, Reason, Remove, Subject};
use lanai_node::control::{NodeStatus, Reply, Request};
use lanai_node::home::{Environment, Home};
use lanai_node::identity::Identity;
use lanai_node::identity::link::{self, Invitation};
use lanai_node::random::{OsRandom, random_bytes};
use lanai_node::runtime;
use lanai_node::store::{self, Author, Incoming, NewEntry, NewRef, Place, Source, Store};
use serde::Serialize;

use super::{Context, device, govern, init, join, node, phrase, status};
use crate::app::App;
use crate::args::{NetworkArgs, RecoverArgs};
use crate::error::{CliError, Exit};
use crate::layout::{Style, Text};

/// The store of the device on paper, below the home.
const SCRATCH: &str = "recovering";
/// How long one question for a sync waits.
const SYNC_WAIT: Duration = Duration::from_secs(1);
/// What a node may take beyond what it was told to wait.
const GRACE: Duration = Duration::from_secs(5);
/// Pause between two looks at a node that has nobody to sync with.
const LOOK: Duration = Duration::from_millis(100);
/// Entries that are carried over at once.
const BATCH: usize = 1000;

#[derive(Serialize)]
struct Recovered {
    community: status::CommunityShape,
    me: status::MeShape,
    device: String,
    revoked: Vec<String>,
    /// Devices of this member that stand, without this one and these words.
    others: Vec<String>,
    /// Whether a member's node has heard of it.
    told: bool,
    node: Option<NodeStatus>,
}

pub(super) fn run(context: &mut Context, args: &RecoverArgs) -> Result<Exit, CliError> {
    let home = context.home()?;
    if init::has_community(&home)? {
        let message = format!("{} holds a community already", home.root().display());
        return Err(CliError::failed("exists", message)
            .hint("`lanai recover` needs a home of its own: --home DIR"));
    }
    if let Some(begun) = join::begun(&home)? {
        return Err(begun);
    }
    if let Some(copy) = args.copy.as_deref().filter(|copy| store::is_sealed(copy)) {
        let message = format!(
            "{} is sealed, and the words do not open it: its key follows from the keys of the device \
             that made it",
            copy.display()
        );
        return Err(CliError::new(Exit::Locked, "sealed-copy", message).hint(
            "any member's node brings you back: `lanai recover TEXT`; so does a copy that is not \
             sealed; with that device's keys: `lanai identity import`, then `lanai store restore`",
        ));
    }
    let invitation = args.invitation.as_deref().map(Invitation::decode).transpose()?;
    let paper = phrase::read(context, args.phrase_file.as_deref())?.identity();
    let fresh = init::identity_of(&home)?;
    let scratch = Scratch::new(&home)?;
    let now = (context.clock)();
    let back = match (&args.copy, &invitation) {
        (Some(copy), _) => {
            let copied = scratch.0.root().join("copy.db");
            let io = |e| CliError::io(format!("read {}", copy.display()), &e);
            std::fs::copy(copy, &copied).map_err(io)?;
            let token = scratch.0.root().join("copy.token");
            let from = Store::open(&Place::new(copied, token))?;
            let store = scratch.store(from.community(), &paper, now)?;
            carry(&from, &store, &author(&paper), now)?;
            take_over(&store, &paper, &fresh, args, now)?.into_back(store, false)
        }
        (None, Some(invitation)) => {
            let store = scratch.store(invitation.community, &paper, now)?;
            device::remember(&store, &invitation.addresses, now)?;
            device::remember(&store, &args.dial, now)?;
            say_who(context, invitation);
            let node = PaperNode::start(&scratch.0, &home, paper.clone(), args)?;
            let until = Instant::now() + args.wait;
            node.until_in_sync(&store, until)?;
            let taken = take_over(&store, &paper, &fresh, args, now)?;
            let told = node.tell(until)?;
            node.stop()?;
            taken.into_back(store, told)
        }
        (None, None) => return Err(CliError::usage("neither a text nor a copy is given")),
    };
    let community = back.store.community();
    let place = Place::of_home(&home);
    let own = fresh.device_id();
    let store = Store::create_returning(&place, community, own, now, &mut OsRandom)?;
    carry(&back.store, &store, &author(&fresh), now)?;
    for known in back.store.peers()? {
        store.remember_peer(&known.device, &known.address, now)?;
    }
    store.note_paper(&paper.device_id())?;
    drop(store);
    tell(context, &home, back, (own, paper.device_id()), args.revoke_others)
}

fn say_who(context: &mut Context, invitation: &Invitation) {
    let said = Text::from("looking for a member's node of ")
        .with(Style::Heading, &invitation.community_name)
        .plain(", to come back as ")
        .with(Style::Name, &invitation.member_name);
    context.ui.say(said);
}

fn tell(
    context: &mut Context,
    home: &Home,
    back: Back,
    (own, paper): (DeviceId, DeviceId),
    revoke_others: bool,
) -> Result<Exit, CliError> {
    let app = App::open_quietly(context)?;
    while app.catch_up()? > 0 {}
    let started = node::start(home, &NetworkArgs::default());
    let me = app.me()?;
    let roster = app.store().roster()?;
    let devices = &govern::present(&roster, &me)?.devices;
    let others: Vec<DeviceId> =
        devices.iter().map(|d| d.device).filter(|d| *d != own && *d != paper).collect();
    if context.ui.is_json() {
        let shape = Recovered {
            community: status::CommunityShape::of(&app)?,
            me: status::MeShape::of(&app)?,
            device: own.full(),
            revoked: back.revoked.iter().map(DeviceId::full).collect(),
            others: others.iter().map(DeviceId::full).collect(),
            told: back.told,
            node: started.ok().map(|(status, _)| status),
        };
        context.ui.json("recover", &shape)?;
        return Ok(Exit::Done);
    }
    let name = status::community_name(&app)?;
    let said = Text::from("you are back in ").with(Style::Heading, name).plain(" as ");
    context.ui.say(said.then(app.people()?.shown(&me)));
    for device in &back.revoked {
        context.ui.say(Text::from("revoked: ").with(Style::Id, device.short()));
    }
    if !others.is_empty() {
        let marks: Vec<String> = others.iter().map(DeviceId::short).collect();
        context
            .ui
            .warn(format!("your other devices still write in your name: {}", marks.join(", ")));
        context.ui.hint(match revoke_others {
            true => {
                "these words are junior to them; a steward revokes one: `lanai device revoke ID`"
            }
            false => "one that is in wrong hands: `lanai recover` again with --revoke-others",
        });
    }
    if let Err(error) = started {
        context.ui.warn(format!("you are back, but {}", error.message));
    }
    if !back.told {
        context.ui.warn("no member's node has heard of it yet; `lanai sync --wait 1m` tells them");
    }
    context.ui.hint("keep the paper: the same words bring you back again");
    Ok(Exit::Done)
}

/// What came of it.
struct Back {
    store: Store,
    revoked: Vec<DeviceId>,
    told: bool,
}

struct TakenOver {
    revoked: Vec<DeviceId>,
}

impl TakenOver {
    fn into_back(self, store: Store, told: bool) -> Back {
        Back { store, revoked: self.revoked, told }
    }
}

fn author(identity: &Identity) -> Author {
    Author { device: identity.device.clone(), sealing: identity.sealing.clone() }
}

/// Signs with the paper: the new device comes in, and the others go if that was asked for.
fn take_over(
    store: &Store,
    paper: &Identity,
    fresh: &Identity,
    args: &RecoverArgs,
    now: u64,
) -> Result<TakenOver, CliError> {
    let me = who(store)?;
    let (own, by) = (fresh.device_id(), author(paper));
    let roster = store.roster()?;
    if roster.standing(&own).is_none() {
        let record = link::record(fresh, store.community(), me, random_bytes()).encode().into();
        let add = Body::AddDevice(AddDevice { record, vouch: None });
        store.append(&by, now, &mut OsRandom, vec![NewEntry::new(add, [])])?;
    }
    let mut revoked = Vec::new();
    let lost = govern::present(&roster, &me)?.devices.iter().map(|d| d.device);
    for lost in lost.filter(|d| args.revoke_others && *d != own && *d != paper.device_id()) {
        let cut = store.cut_of(&[lost].into())?.iter().map(|id| (*id.as_bytes()).into()).collect();
        let subject = Subject::Device((*lost.as_bytes()).into());
        let remove = Body::Remove(Remove { subject, cut, recovery: None });
        // Words that were made later are junior to it.
        if store.roster()?.would_count(&paper.device_id(), &[], &remove).is_err() {
            continue;
        }
        let mut new = vec![NewEntry::new(remove, [])];
        if let Some(text) = &args.reason {
            let body = Body::Reason(Reason { text: text.clone() });
            new.push(NewEntry { body, refs: vec![NewRef::Batch(0)] });
        }
        store.append(&by, now, &mut OsRandom, new)?;
        revoked.push(lost);
    }
    store.top_up(&by, now, &mut OsRandom)?;
    Ok(TakenOver { revoked })
}

/// The member that the paper belongs to.
fn who(store: &Store) -> Result<MemberId, CliError> {
    store.own_member()?.ok_or_else(|| {
        CliError::refused("these words belong to no member of this community")
            .hint("a steward can vouch for a new device: `lanai member vouch --help`")
    })
}

/// Puts all that one store holds into another, and opens what is sealed to its device.
fn carry(from: &Store, to: &Store, by: &Author, now: u64) -> Result<(), CliError> {
    let ids: Vec<EntryId> = from.items()?.items.iter().map(|i| i.id).collect();
    for ids in ids.chunks(BATCH) {
        let incoming = |e: lanai_node::store::StoredEntry| Incoming {
            signed: e.verified.into_signed(),
            payload: e.payload,
        };
        let batch = from.entries(ids)?.into_iter().map(incoming).collect();
        to.ingest(batch, &Source::File, now)?;
    }
    to.open_seals(by, now)?;
    Ok(())
}

/// A home below the home; gone when it is dropped.
struct Scratch(Home);

impl Scratch {
    fn new(home: &Home) -> Result<Scratch, CliError> {
        let path = home.root().join(SCRATCH);
        let scratch = Scratch(Home::resolve(Some(&path), &Environment::default())?);
        // Of an attempt that was interrupted.
        scratch.remove();
        scratch.0.create()?;
        Ok(scratch)
    }

    fn store(&self, community: CommunityId, paper: &Identity, now: u64) -> Result<Store, CliError> {
        let place = Place::of_home(&self.0);
        let own = paper.device_id();
        Ok(Store::create_returning(&place, community, own, now, &mut OsRandom)?)
    }

    fn remove(&self) {
        // What stays is sealed, and is removed the next time.
        drop(std::fs::remove_dir_all(self.0.root()));
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.remove();
    }
}

/// A node of the device on paper, inside this process.
struct PaperNode {
    home: Home,
    runtime: tokio::runtime::Runtime,
    stop: tokio::sync::oneshot::Sender<()>,
    ended: mpsc::Receiver<Result<(), CliError>>,
}

impl PaperNode {
    fn start(
        scratch: &Home,
        home: &Home,
        paper: Identity,
        args: &RecoverArgs,
    ) -> Result<PaperNode, CliError> {
        let network = NetworkArgs { dial: args.dial.clone(), ..NetworkArgs::default() };
        let config = node::settings(home, &network)?;
        let options = node::options(scratch.clone(), &config)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|e| CliError::io("start the network", &e))?;
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (sender, ended) = mpsc::sync_channel(1);
        runtime.spawn(async move {
            let stop = async { drop(stopped.await) };
            let result = runtime::run_as(options, paper, stop).await;
            // Nobody may ask any more.
            let _gone = sender.send(result.map_err(CliError::from));
        });
        Ok(PaperNode { home: scratch.clone(), runtime, stop, ended })
    }

    /// How many members' nodes confirm that both hold the same.
    fn sync(&self) -> Result<usize, CliError> {
        if let Ok(Err(error)) = self.ended.try_recv() {
            return Err(error);
        }
        let wait_ms = u64::try_from(SYNC_WAIT.as_millis()).unwrap_or(u64::MAX);
        match node::ask(&self.home, &Request::Sync { wait_ms }, SYNC_WAIT + GRACE) {
            Ok(Reply::Synced(outcome)) => Ok(outcome.confirmed),
            Ok(_) => Err(CliError::internal("the node gave an answer that was not asked for")),
            // It is just starting.
            Err(error) if error.exit == Exit::NodeNotRunning => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Waits until a member's node has given everything to the paper's store.
    fn until_in_sync(&self, store: &Store, until: Instant) -> Result<(), CliError> {
        loop {
            // The first exchange brings who belongs, and is followed by another.
            if self.sync()? > 0 && store.roster()?.is_founded() {
                return who(store).map(|_| ());
            }
            if Instant::now() >= until {
                let message = "no member's node took these words for a device";
                return Err(CliError::new(Exit::Unconfirmed, "nobody-found", message)
                    .hint(
                        "either none can be reached (a newer text from `lanai device invite`, or \
                         --dial ADDRESS), or the words are another one's, or were revoked",
                    )
                    .retryable());
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Whether a member's node hears of what was written, in time.
    fn tell(&self, until: Instant) -> Result<bool, CliError> {
        loop {
            if self.sync()? > 0 {
                return Ok(true);
            }
            if Instant::now() >= until {
                return Ok(false);
            }
            std::thread::sleep(LOOK);
        }
    }

    fn stop(self) -> Result<(), CliError> {
        // It may have ended by itself.
        let _ended = self.stop.send(());
        let result = self.ended.recv_timeout(runtime::STOP_PATIENCE + GRACE);
        self.runtime.shutdown_timeout(Duration::from_millis(500));
        result.unwrap_or(Ok(()))
    }
}
