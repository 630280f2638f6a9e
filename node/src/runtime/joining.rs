//! Joining a community: looks for a member's node that lets this device in, and makes the store.
//!
//! It runs without a store and without a node. Whoever is discovered on the local network, and
//! every address in the ticket or typed, is asked, one after another and again, until one admits
//! this device or the time is over. A killed join goes on where it was: the same record is shown
//! again, so one member comes of it.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::LocalBoxFuture;
use futures::stream::FuturesUnordered;
use futures::{AsyncReadExt as _, AsyncWriteExt as _, StreamExt as _};
use lanai_crdt::id::DeviceId;
use lanai_crdt::ticket::TicketText;

use super::now_millis;
use super::session::author;
use super::state::{RuntimeError, blocking};
use crate::home::Home;
use crate::identity::Identity;
use crate::join::{
    Joined as Admission, Joiner, JoinerError, JoinerInput, JoinerOutput, Next, Progress,
};
use crate::net::{
    self, DialTarget, Multiaddr, NetConfig, NetError, NetEvent, NetHandle, PeerId, Purpose,
    device_key_of,
};
use crate::random::{OsRandom, random_bytes};
use crate::store::{Incoming, Place, Store, StoreError};

/// Pause before a node that could not help is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(4);
/// How often the machine is told the time.
const TICK: Duration = Duration::from_secs(2);
/// Nodes remembered at most.
const MAX_CANDIDATES: usize = 512;
/// Addresses of one node that are tried.
const MAX_ADDRESSES: usize = 16;
/// Nodes asked at the same time, besides those whose address was given.
const MAX_ASKED_AT_ONCE: usize = 8;
/// A node that fails again and again is asked after so many pauses.
const MAX_PAUSES: u32 = 8;
/// How often it is looked at who is due.
const LOOK: Duration = Duration::from_millis(100);

/// How to join.
#[derive(Debug, Clone)]
pub struct JoinOptions {
    /// Where the store is going to be.
    pub home: Home,
    /// The ticket.
    pub ticket: TicketText,
    /// Nonce of the join record, the same in every attempt.
    pub record_nonce: [u8; 16],
    /// Addresses to ask besides those in the ticket.
    pub dial: Vec<Multiaddr>,
    /// Look for nodes on the local network with mDNS.
    pub mdns: bool,
    /// Look for members on the local network with beacons.
    pub beacon: bool,
    /// When to give up; never if `None`.
    pub wait: Option<Duration>,
}

/// What happens on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JoinEvent {
    /// The search begins; so many addresses are known beforehand.
    Looking {
        /// Addresses in the ticket and typed.
        addresses: usize,
    },
    /// A node was found on the local network.
    Found {
        /// Its device.
        device: DeviceId,
    },
    /// A node is being asked.
    Asking {
        /// Which.
        device: DeviceId,
    },
    /// It knows the ticket.
    Recognised,
    /// The roster comes.
    Receiving {
        /// Entries that have come.
        entries: u32,
        /// Entries that will come.
        of: u32,
    },
    /// An address does not answer, or a node cannot help; the search goes on.
    Trouble {
        /// Which node or address.
        with: String,
        /// Why.
        why: String,
    },
}

/// The outcome of a join.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// The community.
    pub community: lanai_crdt::id::CommunityId,
    /// Who this device's owner is now.
    pub member: lanai_crdt::id::MemberId,
    /// The member's device that admitted this one.
    pub through: DeviceId,
    /// Entries of the roster that were received.
    pub entries: usize,
    /// Addresses at which members were found, to be remembered.
    pub addresses: Vec<(DeviceId, Vec<String>)>,
}

/// Why nothing came of it.
#[derive(Debug, thiserror::Error)]
pub enum JoinRunError {
    /// Asking on changes nothing.
    #[error(transparent)]
    Refused(JoinerError),
    /// Nobody who could help was found in time.
    #[error("no member's node was found in time{}", last.as_ref().map(|l| format!(" (last: {l})")).unwrap_or_default())]
    NobodyFound {
        /// The last thing that went wrong.
        last: Option<String>,
    },
    /// The network could not be set up.
    #[error(transparent)]
    Net(#[from] NetError),
    /// The store could not be made.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A task died.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
}

/// Joins, and leaves a store in the home. `on_event` is told what happens.
///
/// # Errors
/// [`JoinRunError`]; the attempt can be repeated with the same options.
pub async fn join(
    options: JoinOptions,
    identity: Arc<Identity>,
    on_event: impl FnMut(JoinEvent),
) -> Result<Joined, JoinRunError> {
    let mut config = NetConfig::new(
        zeroize::Zeroizing::new(identity.device.to_bytes()),
        net::listen_everywhere(0),
    );
    config.mdns = options.mdns;
    config.beacon = options.beacon.then(|| options.ticket.community());
    config.find_everybody = true;
    let (net, mut events) = net::start(config)?;
    let on_event = RefCell::new(on_event);
    let tell = |event| on_event.borrow_mut()(event);
    let result = search(&options, &identity, &net, &mut events, &tell).await;
    net.shutdown().await;
    let (admission, through, addresses) = result?;
    let (member, community) = (admission.member, admission.community);
    let home = options.home.clone();
    let entries = admission.entries.len();
    let known = addresses.clone();
    blocking(move || -> Result<(), StoreError> {
        let roster = admission
            .entries
            .into_iter()
            .map(|e| Incoming { signed: e.verified.into_signed(), payload: e.payload })
            .collect();
        let place = Place::of_home(&home);
        let device = identity.device_id();
        let (store, _) =
            Store::create_joined(&place, community, device, roster, now_millis(), &mut OsRandom)?;
        store.open_seals(&author(&identity), now_millis())?;
        for (device, texts) in known {
            for text in texts {
                store.remember_peer(&device, &text, now_millis())?;
            }
        }
        Ok(())
    })
    .await??;
    Ok(Joined { community, member, through, entries, addresses })
}

type Found = (Box<Admission>, DeviceId, Vec<(DeviceId, Vec<String>)>);

/// A node that may be asked.
#[derive(Debug, Default)]
struct Candidate {
    addresses: Vec<Multiaddr>,
    not_before: Option<Instant>,
    /// Somebody gave its address, so it is more likely to be a member's than one that was seen.
    given: bool,
    busy: bool,
    failures: u32,
}

/// An address from the ticket or the command line, whose node is not known before it answers.
#[derive(Debug)]
struct Given {
    address: Multiaddr,
    not_before: Option<Instant>,
    busy: bool,
}

/// Something that was tried has come to an end.
enum Done {
    Dialled { place: usize, result: Result<PeerId, net::DialError> },
    Asked { peer: PeerId, device: DeviceId, result: Result<Box<Admission>, Trouble> },
}

/// Everybody who may be asked, and when.
struct Search<'a> {
    options: &'a JoinOptions,
    identity: &'a Arc<Identity>,
    net: &'a NetHandle,
    given: Vec<Given>,
    candidates: HashMap<PeerId, Candidate>,
    told: HashSet<String>,
    last: Option<String>,
}

async fn search<T: Fn(JoinEvent)>(
    options: &JoinOptions,
    identity: &Arc<Identity>,
    net: &NetHandle,
    events: &mut tokio::sync::mpsc::Receiver<NetEvent>,
    tell: &T,
) -> Result<Found, JoinRunError> {
    let until = options.wait.map(|w| tokio::time::Instant::now() + w);
    let of_ticket = options.ticket.addresses().iter().filter_map(|a| a.to_string().parse().ok());
    let mut seen = HashSet::new();
    let given: Vec<Given> = options
        .dial
        .iter()
        .cloned()
        .chain(of_ticket)
        .filter(|address: &Multiaddr| seen.insert(address.clone()))
        .map(|address| Given { address, not_before: None, busy: false })
        .collect();
    tell(JoinEvent::Looking { addresses: given.len() });
    let mut search = Search {
        options,
        identity,
        net,
        given,
        candidates: HashMap::new(),
        told: HashSet::new(),
        last: None,
    };
    let mut running = FuturesUnordered::new();
    loop {
        search.begin(&mut running, tell);
        let over = async {
            match until {
                Some(until) => tokio::time::sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        let done = tokio::select! {
            Some(event) = events.recv() => {
                note(event, &mut search.candidates, tell);
                continue;
            }
            Some(done) = running.next() => done,
            // Somebody may be asked again.
            () = tokio::time::sleep(LOOK) => continue,
            () = over => return Err(JoinRunError::NobodyFound { last: search.last }),
        };
        match done {
            Done::Dialled { place, result } => search.dialled(place, result, tell),
            Done::Asked { device, result: Ok(admission), .. } => {
                let known = search.members(&admission);
                return Ok((admission, device, known));
            }
            Done::Asked { result: Err(Trouble::Join(e)), .. } if e.next() == Next::GiveUp => {
                return Err(JoinRunError::Refused(e));
            }
            Done::Asked { peer, device, result: Err(trouble) } => {
                search.failed(peer, device, &trouble, tell);
            }
        }
    }
}

impl<'a> Search<'a> {
    /// Dials and asks whoever is due, several at a time: on a network full of nodes that do not
    /// answer, or take their time, the one that lets this device in is not to wait for them. That
    /// two members are asked at once does no harm, since both admit the same record.
    fn begin<T: Fn(JoinEvent)>(
        &mut self,
        running: &mut FuturesUnordered<LocalBoxFuture<'a, Done>>,
        tell: &'a T,
    ) {
        let now = Instant::now();
        let net = self.net;
        for (place, given) in self.given.iter_mut().enumerate() {
            if !given.busy && given.not_before.is_none_or(|t| t <= now) {
                given.busy = true;
                let target = DialTarget::Address(given.address.clone());
                running.push(Box::pin(async move {
                    Done::Dialled { place, result: net.dial(target, Purpose::Join).await }
                }));
            }
        }
        loop {
            let busy = self.candidates.values().filter(|c| c.busy && !c.given).count();
            let due = self
                .candidates
                .iter_mut()
                .filter(|(_, c)| !c.busy && c.not_before.is_none_or(|t| t <= now))
                .filter(|(_, c)| c.given || busy < MAX_ASKED_AT_ONCE)
                .min_by_key(|(_, c)| (!c.given, c.failures));
            let Some((peer, candidate)) = due else { return };
            candidate.busy = true;
            let (peer, addresses) = (*peer, candidate.addresses.clone());
            let Some(device) = device_key_of(&peer).map(DeviceId::new) else { continue };
            let (options, identity) = (self.options, self.identity);
            running.push(Box::pin(async move {
                let result = ask(options, identity, net, (peer, addresses), device, tell).await;
                Done::Asked { peer, device, result }
            }));
        }
    }

    fn dialled(
        &mut self,
        place: usize,
        result: Result<PeerId, net::DialError>,
        tell: &impl Fn(JoinEvent),
    ) {
        let Some(given) = self.given.get_mut(place) else { return };
        given.busy = false;
        given.not_before = Some(Instant::now() + ASK_AGAIN);
        match result {
            Ok(peer) if device_key_of(&peer).is_none() => {}
            Ok(peer) => {
                let candidate = self.candidates.entry(peer).or_default();
                candidate.given = true;
                if !candidate.addresses.contains(&given.address) {
                    candidate.addresses.push(given.address.clone());
                }
            }
            Err(e) => {
                let (with, why) = (given.address.to_string(), e.to_string());
                if self.told.insert(format!("{with} {why}")) {
                    tell(JoinEvent::Trouble { with: with.clone(), why: why.clone() });
                }
                self.last = Some(format!("{with}: {why}"));
            }
        }
    }

    fn failed(
        &mut self,
        peer: PeerId,
        device: DeviceId,
        trouble: &Trouble,
        tell: &impl Fn(JoinEvent),
    ) {
        let why = trouble.to_string();
        if self.told.insert(format!("{device} {why}")) {
            tell(JoinEvent::Trouble { with: device.short(), why: why.clone() });
        }
        self.last = Some(why);
        if let Some(candidate) = self.candidates.get_mut(&peer) {
            candidate.busy = false;
            candidate.failures = candidate.failures.saturating_add(1);
            let pause = ASK_AGAIN * candidate.failures.min(MAX_PAUSES);
            candidate.not_before = Some(Instant::now() + pause);
        }
    }

    /// Where members' nodes were found.
    fn members(&self, admission: &Admission) -> Vec<(DeviceId, Vec<String>)> {
        self.candidates
            .iter()
            .filter_map(|(peer, c)| {
                let device = DeviceId::new(device_key_of(peer)?);
                let member = admission.roster.standing(&device).is_some();
                let texts = c.addresses.iter().map(ToString::to_string).collect();
                member.then_some((device, texts))
            })
            .collect()
    }
}

fn note(event: NetEvent, candidates: &mut HashMap<PeerId, Candidate>, tell: &impl Fn(JoinEvent)) {
    match event {
        NetEvent::Discovered { peer, addresses } => {
            let Some(device) = device_key_of(&peer) else { return };
            let new = !candidates.contains_key(&peer);
            if new && candidates.len() >= MAX_CANDIDATES {
                return;
            }
            let candidate = candidates.entry(peer).or_default();
            if candidate.given {
                let more = addresses.into_iter().filter(|a| !candidate.addresses.contains(a));
                candidate.addresses =
                    candidate.addresses.iter().cloned().chain(more).take(MAX_ADDRESSES).collect();
            } else {
                candidate.addresses = addresses;
            }
            if new {
                tell(JoinEvent::Found { device: DeviceId::new(device) });
            }
        }
        NetEvent::Expired { peer }
            if candidates.get(&peer).is_some_and(|c| !c.given && !c.busy) =>
        {
            candidates.remove(&peer);
        }
        _ => {}
    }
}

/// Why one node did not help.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Join(#[from] JoinerError),
    #[error("cannot be reached: {0}")]
    Dial(#[from] net::DialError),
    #[error("does not answer: {0}")]
    Open(#[from] net::OpenError),
}

async fn ask(
    options: &JoinOptions,
    identity: &Arc<Identity>,
    net: &NetHandle,
    (peer, addresses): (PeerId, Vec<Multiaddr>),
    device: DeviceId,
    tell: &impl Fn(JoinEvent),
) -> Result<Box<Admission>, Trouble> {
    tell(JoinEvent::Asking { device });
    net.dial(DialTarget::Peer { peer, addresses }, Purpose::Join).await?;
    let mut stream = net.open_join(peer).await?;
    let (mut machine, outputs) = Joiner::start(
        options.ticket.clone(),
        identity.as_ref().clone(),
        options.record_nonce,
        device,
        random_bytes(),
        now_millis(),
    );
    let mut outputs = VecDeque::from(outputs);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        while let Some(output) = outputs.pop_front() {
            match output {
                JoinerOutput::Send(bytes) => {
                    let write = async {
                        stream.write_all(&bytes).await?;
                        stream.flush().await
                    };
                    if write.await.is_err() {
                        outputs.extend(machine.handle(JoinerInput::Closed, now_millis()));
                    }
                }
                JoinerOutput::Progress(Progress::Recognised) => tell(JoinEvent::Recognised),
                JoinerOutput::Progress(Progress::Receiving { entries, of }) => {
                    tell(JoinEvent::Receiving { entries, of });
                }
                JoinerOutput::Finished(result) => {
                    // The other side has nothing more to say.
                    let _closed = tokio::time::timeout(TICK, stream.close()).await;
                    return Ok(result?);
                }
            }
        }
        let read = tokio::time::timeout(TICK, stream.read(&mut buffer)).await;
        let input = match read {
            Ok(Ok(0) | Err(_)) => JoinerInput::Closed,
            Ok(Ok(n)) => JoinerInput::Bytes(buffer.get(..n).unwrap_or_default()),
            Err(_) => JoinerInput::Tick,
        };
        outputs.extend(machine.handle(input, now_millis()));
    }
}
