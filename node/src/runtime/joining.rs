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

use futures::{AsyncReadExt as _, AsyncWriteExt as _};
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
    /// Look for nodes on the local network.
    pub mdns: bool,
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
}

async fn search(
    options: &JoinOptions,
    identity: &Arc<Identity>,
    net: &NetHandle,
    events: &mut tokio::sync::mpsc::Receiver<NetEvent>,
    tell: &impl Fn(JoinEvent),
) -> Result<Found, JoinRunError> {
    let until = options.wait.map(|w| Instant::now() + w);
    let mut typed: VecDeque<Multiaddr> = options.dial.iter().cloned().collect();
    typed.extend(options.ticket.addresses().iter().filter_map(|a| a.to_string().parse().ok()));
    let mut seen = HashSet::new();
    typed.retain(|a| seen.insert(a.clone()));
    tell(JoinEvent::Looking { addresses: typed.len() });

    let mut candidates: HashMap<PeerId, Candidate> = HashMap::new();
    let mut last = None;
    let mut next_round = Instant::now();
    let mut told: HashSet<String> = HashSet::new();
    loop {
        if until.is_some_and(|u| Instant::now() >= u) {
            return Err(JoinRunError::NobodyFound { last });
        }
        // What the network found meanwhile.
        while let Ok(event) = events.try_recv() {
            note(event, &mut candidates, tell);
        }
        if Instant::now() >= next_round {
            next_round = Instant::now() + ASK_AGAIN;
            for address in &typed {
                let dialled = patiently(
                    net.dial(DialTarget::Address(address.clone()), Purpose::Join),
                    events,
                    &mut candidates,
                    tell,
                )
                .await;
                match dialled {
                    Ok(peer) => {
                        let candidate = candidates.entry(peer).or_default();
                        if !candidate.addresses.contains(address) {
                            candidate.addresses.push(address.clone());
                        }
                    }
                    Err(e) => {
                        let why = e.to_string();
                        if told.insert(format!("{address} {why}")) {
                            tell(JoinEvent::Trouble {
                                with: address.to_string(),
                                why: why.clone(),
                            });
                        }
                        last = Some(format!("{address}: {why}"));
                    }
                }
            }
        }
        let now = Instant::now();
        let ready = candidates
            .iter()
            .filter(|(_, c)| c.not_before.is_none_or(|t| t <= now))
            .map(|(peer, c)| (*peer, c.addresses.clone()))
            .next();
        let Some((peer, addresses)) = ready else {
            let pause = tokio::time::sleep(Duration::from_millis(100));
            tokio::select! {
                Some(event) = events.recv() => note(event, &mut candidates, tell),
                () = pause => {}
            }
            continue;
        };
        let Some(device) = device_key_of(&peer).map(DeviceId::new) else { continue };
        let asked = patiently(
            ask(options, identity, net, (peer, addresses), device, tell),
            events,
            &mut candidates,
            tell,
        )
        .await;
        match asked {
            Ok(admission) => {
                let known = candidates
                    .iter()
                    .filter_map(|(peer, c)| {
                        let device = DeviceId::new(device_key_of(peer)?);
                        let member = admission.roster.standing(&device).is_some();
                        let texts = c.addresses.iter().map(ToString::to_string).collect();
                        member.then_some((device, texts))
                    })
                    .collect();
                return Ok((admission, device, known));
            }
            Err(Trouble::Join(e)) if e.next() == Next::GiveUp => {
                return Err(JoinRunError::Refused(e));
            }
            Err(trouble) => {
                let why = trouble.to_string();
                if told.insert(format!("{device} {why}")) {
                    tell(JoinEvent::Trouble { with: device.short(), why: why.clone() });
                }
                last = Some(why);
                if let Some(candidate) = candidates.get_mut(&peer) {
                    candidate.not_before = Some(Instant::now() + ASK_AGAIN);
                }
            }
        }
    }
}

/// Waits for `work` while taking note of what the network reports, so that its events never pile up.
async fn patiently<T>(
    work: impl Future<Output = T>,
    events: &mut tokio::sync::mpsc::Receiver<NetEvent>,
    candidates: &mut HashMap<PeerId, Candidate>,
    tell: &impl Fn(JoinEvent),
) -> T {
    tokio::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            Some(event) = events.recv() => note(event, candidates, tell),
        }
    }
}

fn note(event: NetEvent, candidates: &mut HashMap<PeerId, Candidate>, tell: &impl Fn(JoinEvent)) {
    match event {
        NetEvent::Discovered { peer, addresses } => {
            if candidates.len() >= MAX_CANDIDATES && !candidates.contains_key(&peer) {
                return;
            }
            let new = !candidates.contains_key(&peer);
            let candidate = candidates.entry(peer).or_default();
            candidate.addresses = addresses;
            if new && let Some(device) = device_key_of(&peer) {
                tell(JoinEvent::Found { device: DeviceId::new(device) });
            }
        }
        NetEvent::Expired { peer } => {
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
