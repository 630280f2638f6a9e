//! What the examples share: founding a community, letting people in without a network, and running a
//! node in a process of its own.

#![allow(dead_code, clippy::expect_used, clippy::unwrap_used)]

use std::error::Error;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use lanai_crdt::id::EntryId;
use lanai_crdt::payload::{
    Admit, Body, History, InvitePolicy, JoinRecord, Note, Post, PostRole, Profile, Role, Ticket,
};
use lanai_crdt::thread::PostText;
use lanai_node::control::{Client, NodeStatus, Reply, Request};
use lanai_node::home::{Environment, Home};
use lanai_node::identity::{Identity, Unlocked};
use lanai_node::random::{OsRandom, random_bytes};
use lanai_node::runtime::{self, NodeOptions};
use lanai_node::store::{Author, Founding, Incoming, NewEntry, Place, Source, Store};

pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A person on this machine: a home, keys and a store.
pub(crate) struct Person {
    pub(crate) home: Home,
    pub(crate) author: Author,
    pub(crate) store: Store,
}

/// Milliseconds by which the clock of this process is behind.
static BEHIND: AtomicU64 = AtomicU64::new(0);

/// Sets the clock of this process back, for a story that began some time ago.
pub(crate) fn set_clock_behind(millis: u64) {
    BEHIND.store(millis, Ordering::Relaxed);
}

pub(crate) fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64);
    now.saturating_sub(BEHIND.load(Ordering::Relaxed))
}

fn keys(home: &Home) -> Result<(Identity, Author)> {
    home.create()?;
    let identity = Identity::generate(&mut OsRandom);
    identity.create(&home.device_key())?;
    let author = Author { device: identity.device.clone(), sealing: identity.sealing.clone() };
    Ok((identity, author))
}

/// The keys of a home that was made before.
pub(crate) fn keys_of(home: &Home) -> Result<(Identity, Author)> {
    let identity = Identity::of_home(home)?;
    let author = Author { device: identity.device.clone(), sealing: identity.sealing.clone() };
    Ok((identity, author))
}

pub(crate) fn home(dir: &Path, name: &str) -> Result<Home> {
    Ok(Home::resolve(Some(&dir.join(name)), &Environment::of_process())?)
}

/// Somebody whose home is there already.
pub(crate) fn again(dir: &Path, name: &str) -> Result<Person> {
    let home = home(dir, name)?;
    let identity = Identity::load(&home.device_key())?;
    let author = Author { device: identity.device.clone(), sealing: identity.sealing.clone() };
    let store = Store::open(&Place::of_home(&home))?;
    Ok(Person { home, author, store })
}

/// Founds a community.
pub(crate) fn found(dir: &Path, name: &str) -> Result<Person> {
    let home = home(dir, name)?;
    let (_, author) = keys(&home)?;
    let founding = Founding {
        name: "The Porch".into(),
        charter: None,
        profile: Profile { name: name.into(), ..Profile::default() },
        recovery_key: random_bytes(),
        invite: InvitePolicy::Members,
        history: History::All,
        quorum: (2, 3),
        paper: None,
    };
    let store = Store::create(&Place::of_home(&home), &author, &founding, now(), &mut OsRandom)?;
    Ok(Person { home, author, store })
}

impl Person {
    /// Writes entries; gives their ids.
    pub(crate) fn write(&self, new: Vec<NewEntry>) -> Result<Vec<EntryId>> {
        Ok(self.store.append(&self.author, now(), &mut OsRandom, new)?)
    }

    fn write_one(&self, new: NewEntry) -> Result<EntryId> {
        self.write(vec![new])?.first().copied().ok_or_else(|| "nothing was written".into())
    }

    pub(crate) fn note(&self, title: &str, text: &str) -> Result<EntryId> {
        let note = Note { title: title.into(), text: text.into(), tags: vec![], origin: None };
        self.write_one(NewEntry::new(Body::Note(note), []))
    }

    pub(crate) fn reply(&self, thread: EntryId, text: &str) -> Result<EntryId> {
        let post = Post { role: PostRole::Reply, text: text.into(), origin: None, met: None };
        self.write_one(NewEntry::new(Body::Post(post), [thread]))
    }

    /// Lets somebody in, as the join protocol would, but without a network.
    pub(crate) fn admit(&self, dir: &Path, name: &str) -> Result<Person> {
        self.admit_to(home(dir, name)?, name, false)
    }

    /// As [`admit`](Self::admit), with a sealed store where this build can seal.
    #[allow(dead_code, reason = "not every example seals a store")]
    pub(crate) fn admit_sealed(&self, dir: &Path, name: &str) -> Result<Person> {
        self.admit_to(home(dir, name)?, name, true)
    }

    fn admit_to(&self, home: Home, name: &str, sealed: bool) -> Result<Person> {
        let (identity, author) = keys(&home)?;
        let home = match sealed {
            true => {
                let identity = identity.clone();
                home.with_keys(std::sync::Arc::new(Unlocked { identity, wrap: None }))
            }
            false => home,
        };
        let secret: [u8; 32] = random_bytes();
        let key = lanai_crdt::entry::DeviceSecret::from_bytes(&secret).device();
        let body =
            Ticket { key: (*key.as_bytes()).into(), role: Role::Member, uses: 1, expires: None };
        let ticket = self.write_one(NewEntry::new(Body::Ticket(body), []))?;
        let record = JoinRecord {
            community: self.store.community(),
            ticket,
            device: identity.device_id(),
            sealing: *identity.sealing.public().as_bytes(),
            nonce: random_bytes(),
        };
        let record = record.sign(&identity.device, Some(&secret));
        let admit = Body::Admit(Admit { record: record.encode().into() });
        self.write(vec![NewEntry::new(admit, [ticket])])?;
        self.store.top_up(&self.author, now(), &mut OsRandom)?;
        let roster = self.roster()?;
        let place = Place::of_home(&home);
        let device = identity.device_id();
        let community = self.store.community();
        let (store, _) =
            Store::create_joined(&place, community, device, roster, now(), &mut OsRandom)?;
        store.open_seals(&author, now())?;
        let profile = Profile { name: name.into(), ..Profile::default() };
        let person = Person { home, author, store };
        person.write(vec![NewEntry::new(Body::Profile(profile), [])])?;
        Ok(person)
    }

    fn roster(&self) -> Result<Vec<Incoming>> {
        let entries = self.store.roster_entries()?;
        Ok(entries
            .into_iter()
            .map(|e| Incoming { signed: e.verified.into_signed(), payload: e.payload })
            .collect())
    }

    /// Takes over all that somebody else holds, without a network.
    pub(crate) fn take_all_from(&self, other: &Person) -> Result<usize> {
        let ids: Vec<EntryId> = other.store.items()?.items.iter().map(|i| i.id).collect();
        let mut new = 0;
        for part in ids.chunks(5_000) {
            let batch = other
                .store
                .entries(part)?
                .into_iter()
                .map(|e| Incoming { signed: e.verified.into_signed(), payload: e.payload })
                .collect();
            new += self.store.ingest(batch, &Source::File, now())?.new.len();
        }
        self.store.open_seals(&self.author, now())?;
        while self.store.fold_pending(5_000)?.left > 0 {}
        Ok(new)
    }

    pub(crate) fn state_hash(&self) -> Result<String> {
        Ok(lanai_crdt::id::base32(&self.store.state_hash()?))
    }
}

/// A node in a process of its own.
pub(crate) struct Node {
    child: Child,
    home: Home,
}

/// In a process that was started as a node this runs it and never returns; call it first in `main`.
pub(crate) fn be_a_node_if_asked() -> Result<()> {
    let words: Vec<String> = std::env::args().collect();
    let [_, flag, root, dial @ ..] = &words[..] else { return Ok(()) };
    if flag != "--be-a-node" {
        return Ok(());
    }
    let options = NodeOptions {
        home: Home::resolve(Some(Path::new(root)), &Environment::of_process())?,
        listen: vec!["/ip4/127.0.0.1/tcp/0".parse()?, "/ip4/127.0.0.1/udp/0/quic-v1".parse()?],
        mdns: false,
        beacon: false,
        dial: dial.iter().map(|a| a.parse()).collect::<std::result::Result<_, _>>()?,
        profiles: Vec::new(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(runtime::run(options, std::future::pending()))?;
    std::process::exit(0);
}

impl Node {
    /// Starts a node on a home.
    pub(crate) fn start_without_waiting(home: &Home, dial: &[String]) -> Result<Node> {
        let mut command = Command::new(std::env::current_exe()?);
        lanai_node::runtime::set_process_environment(&mut command);
        let child =
            command.arg("--be-a-node").arg(home.root()).args(dial).stdin(Stdio::null()).spawn()?;
        Ok(Node { child, home: home.clone() })
    }

    /// Starts a node on a home and waits until it listens.
    pub(crate) fn start(home: &Home, dial: &[String]) -> Result<Node> {
        let node = Node::start_without_waiting(home, dial)?;
        let start = Instant::now();
        while node.status().map_or(true, |s| s.listening.is_empty()) {
            if start.elapsed() > Duration::from_secs(120) {
                return Err("the node did not start".into());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(node)
    }

    pub(crate) fn ask(&self, request: &Request) -> Result<Reply> {
        Ok(Client::connect(&self.home.socket())?.ask(request, Duration::from_secs(120))?)
    }

    pub(crate) fn status(&self) -> Result<NodeStatus> {
        match self.ask(&Request::Status)? {
            Reply::Status(status) => Ok(status),
            other => Err(format!("{other:?}").into()),
        }
    }

    pub(crate) fn counter(&self, name: &str) -> Result<u64> {
        let status = self.status()?;
        Ok(status.counters.iter().find(|(k, _)| k == name).map_or(0, |(_, v)| *v))
    }

    /// An address to dial: over QUIC or TCP.
    pub(crate) fn address(&self, transport: &str) -> Result<String> {
        let status = self.status()?;
        let found = status.listening.iter().find(|a| a.contains(transport)).cloned();
        found.ok_or_else(|| "the node does not listen".into())
    }

    pub(crate) fn wake(&self) -> Result<()> {
        self.ask(&Request::Wake).map(|_| ())
    }

    /// Peak resident memory so far, in MiB (Linux).
    pub(crate) fn peak_mib(&self) -> Option<f64> {
        self.memory_mib("VmHWM:")
    }

    /// Resident memory now, in MiB (Linux).
    pub(crate) fn resident_mib(&self) -> Option<f64> {
        self.memory_mib("VmRSS:")
    }

    fn memory_mib(&self, name: &str) -> Option<f64> {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = text.lines().find(|l| l.starts_with(name))?;
        let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
        Some(kib / 1024.0)
    }

    /// Processor time used so far (Linux, where a tick is a hundredth of a second).
    pub(crate) fn cpu(&self) -> Option<Duration> {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).ok()?;
        // Behind the name, which may hold anything, come the state and ten more fields.
        let (_, fields) = text.rsplit_once(')')?;
        let ticks: Vec<u64> =
            fields.split_whitespace().skip(11).take(2).filter_map(|f| f.parse().ok()).collect();
        Some(Duration::from_millis(10 * ticks.iter().sum::<u64>()))
    }

    /// Waits until the node has nothing more to do: until it used less than a fiftieth of a processor for a second.
    pub(crate) fn rest(&self, patience: Duration) -> Result<()> {
        const SECOND: Duration = Duration::from_secs(1);
        let start = Instant::now();
        while let Some(before) = self.cpu() {
            std::thread::sleep(SECOND);
            if self.cpu().unwrap_or(before).saturating_sub(before) < SECOND / 50 {
                break;
            }
            if start.elapsed() > patience {
                return Err("the node does not come to rest".into());
            }
        }
        Ok(())
    }

    pub(crate) fn stop(mut self) -> Result<()> {
        self.ask(&Request::Stop)?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended already.
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Waits until `done`, looking every millisecond, at most `limit`.
pub(crate) fn wait_until(
    limit: Duration,
    mut done: impl FnMut() -> Result<bool>,
) -> Result<Duration> {
    let start = Instant::now();
    while !done()? {
        if start.elapsed() > limit {
            return Err(format!("not within {limit:?}").into());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(start.elapsed())
}

/// What a reader sees of a post.
pub(crate) fn text_of(text: &PostText) -> &str {
    match text {
        PostText::Current(text) => text,
        PostText::Withdrawn => "(withdrawn)",
    }
}
