//! A community with members and real stores, for the tests of commands.

use std::path::Path;

use lanai_crdt::entry::{DeviceSecret, Signed};
use lanai_crdt::id::{DeviceId, EntryId};
use lanai_crdt::payload::{
    AddDevice, Admit, Ask, Body, History, InvitePolicy, JoinRecord, Note, Origin, Post, PostRole,
    Profile, Role, Ticket,
};
use lanai_node::home::{Environment, Home};
use lanai_node::identity::{Identity, link};
use lanai_node::random::{OsRandom, random_bytes};
use lanai_node::store::{Author, Founding, Incoming, NewEntry, Place, Source, Store, StoredEntry};

use super::testing::{Bench, bench, bench_with};
use crate::args::Cli;
use crate::error::{CliError, Exit};

/// A little before the clock of [`bench`].
pub(crate) const NOW: u64 = 1_699_999_000_000;

/// Text that would do harm on a terminal that gets it raw.
pub(crate) const HOSTILE: &str =
    "\u{1b}[2J\u{1b}]0;owned\u{7}\u{202e}evil\u{200b}\u{9b}31m\u{2028}x\r\ny\u{feff}";

/// A member's home.
pub(crate) struct House {
    dir: tempfile::TempDir,
    pub(crate) home: Home,
    author: Author,
    pub(crate) store: Store,
}

fn home_in(dir: &Path) -> (Home, Author) {
    let home = Home::resolve(Some(&dir.join("home")), &Environment::default()).unwrap();
    home.create().unwrap();
    let identity = Identity::generate(&mut OsRandom);
    identity.create(&home.device_key()).unwrap();
    let Identity { device, sealing } = identity;
    (home, Author { device, sealing })
}

fn profile(name: &str) -> Profile {
    Profile { name: name.into(), ..Profile::default() }
}

impl House {
    /// Founds a community.
    pub(crate) fn founder(name: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (home, author) = home_in(dir.path());
        let founding = Founding {
            name: "porch".into(),
            charter: None,
            profile: profile(name),
            recovery_key: random_bytes(),
            invite: InvitePolicy::Members,
            history: History::All,
            quorum: (2, 3),
            paper: None,
        };
        let place = Place::of_home(&home);
        let store = Store::create(&place, &author, &founding, NOW, &mut OsRandom).unwrap();
        Self { dir, home, author, store }
    }

    /// Lets somebody in, who gets all that is here.
    pub(crate) fn neighbour(&self, name: &str) -> Self {
        let secret: [u8; 32] = random_bytes();
        let key = *DeviceSecret::from_bytes(&secret).device().as_bytes();
        let ticket = Ticket { key: key.into(), role: Role::Member, uses: 1, expires: None };
        let ticket = self.write(Body::Ticket(ticket), []);
        let dir = tempfile::tempdir().unwrap();
        let (home, author) = home_in(dir.path());
        let record = JoinRecord {
            community: self.store.community(),
            ticket,
            device: author.device.device(),
            sealing: *author.sealing.public().as_bytes(),
            nonce: random_bytes(),
        };
        let signed = record.sign(&author.device, Some(&secret));
        self.write(Body::Admit(Admit { record: signed.encode().into() }), [ticket]);
        self.store.top_up(&self.author, NOW, &mut OsRandom).unwrap();
        let roster = self.store.roster_entries().unwrap().iter().map(incoming).collect();
        let (store, _) = Store::create_joined(
            &Place::of_home(&home),
            self.store.community(),
            author.device.device(),
            roster,
            NOW,
            &mut OsRandom,
        )
        .unwrap();
        store.open_seals(&author, NOW).unwrap();
        let house = Self { dir, home, author, store };
        house.write(Body::Profile(profile(name)), []);
        house.pull(self);
        self.pull(&house);
        house
    }

    /// Another device of the same member.
    pub(crate) fn second(&self) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (home, author) = home_in(dir.path());
        let Author { device, sealing } = author.clone();
        let identity = Identity { device, sealing };
        let me = self.store.own_member().unwrap().unwrap();
        let community = self.store.community();
        let record = link::record(&identity, community, me, random_bytes()).encode().into();
        self.write(Body::AddDevice(AddDevice { record, vouch: None }), []);
        self.store.top_up(&self.author, NOW, &mut OsRandom).unwrap();
        let (place, own) = (Place::of_home(&home), identity.device_id());
        let store = Store::create_returning(&place, community, own, NOW, &mut OsRandom).unwrap();
        let house = Self { dir, home, author, store };
        house.pull(self);
        house
    }

    /// Takes everything that the other has.
    pub(crate) fn pull(&self, other: &Self) {
        let ids: Vec<EntryId> = other.store.items().unwrap().items.iter().map(|i| i.id).collect();
        let batch = other.store.entries(&ids).unwrap().iter().map(incoming).collect();
        self.store.ingest(batch, &Source::Peer(DeviceId::new([7; 32])), NOW).unwrap();
        self.store.open_seals(&self.author, NOW).unwrap();
        while self.store.fold_pending(1000).unwrap().left > 0 {}
    }

    pub(crate) fn write<const N: usize>(&self, body: Body, refs: [EntryId; N]) -> EntryId {
        self.write_at(NOW, body, refs)
    }

    pub(crate) fn write_at<const N: usize>(
        &self,
        now_ms: u64,
        body: Body,
        refs: [EntryId; N],
    ) -> EntryId {
        let new = vec![NewEntry::new(body, refs)];
        self.store.append(&self.author, now_ms, &mut OsRandom, new).unwrap()[0]
    }

    pub(crate) fn note(&self, title: &str, text: &str) -> EntryId {
        let (title, text) = (title.to_owned(), text.to_owned());
        self.write(Body::Note(Note { title, text, tags: Vec::new(), origin: None }), [])
    }

    pub(crate) fn ask(&self, title: &str, text: &str, tags: &[&str]) -> EntryId {
        let ask = Ask {
            title: title.into(),
            situation: text.into(),
            decide: None,
            need_by: None,
            tried: None,
            helps: None,
            tags: tags.iter().map(|&tag| tag.to_owned()).collect(),
            origin: None,
        };
        self.write(Body::Ask(ask), [])
    }

    pub(crate) fn post<const N: usize>(&self, refs: [EntryId; N], text: &str) -> EntryId {
        let role = PostRole::Reply;
        self.write(Body::Post(Post { role, text: text.into(), origin: None, met: None }), refs)
    }

    /// A context in this home; `columns` for a terminal of that width, `None` for pipes.
    pub(crate) fn bench(&self, columns: Option<usize>, json: bool) -> Bench {
        let mut bench = bench(columns, json);
        bench.context.global.home = Some(self.home.root().to_path_buf());
        bench
    }

    /// Runs a command line in a pipe. Standard output, standard error, and how it ended.
    pub(crate) fn run(&self, line: &[&str]) -> Ran {
        self.run_in(None, line)
    }

    /// Runs a command line on a terminal of eighty columns.
    pub(crate) fn on_terminal(&self, line: &[&str]) -> Ran {
        self.run_in(Some(80), line)
    }

    /// As [`run`](Self::run), in another home.
    pub(crate) fn run_at(&self, home: &str, line: &[&str]) -> Ran {
        let line: Vec<&str> = line.iter().copied().chain(["--home", home]).collect();
        self.run(&line)
    }

    /// Runs a command line on a terminal of some width, or in a pipe.
    pub(crate) fn run_in(&self, columns: Option<usize>, line: &[&str]) -> Ran {
        use clap::Parser as _;
        let words = std::iter::once("lanai").chain(line.iter().copied());
        let cli = Cli::try_parse_from(words).unwrap_or_else(|e| panic!("{e}"));
        let mut bench = bench_with(columns, cli.global.ui());
        bench.context.global.home = Some(self.home.root().to_path_buf());
        if let Some(home) = &cli.global.home {
            bench.context.global.home = Some(home.clone());
        }
        let done = super::run(&mut bench.context, &cli.command);
        if let Err(error) = &done {
            bench.context.ui.error(error);
        }
        Ran { out: bench.out.text(), err: bench.err.text(), done }
    }

    /// As [`run`](Self::run) with `--json`, for a command that succeeds.
    pub(crate) fn json(&self, line: &[&str]) -> serde_json::Value {
        let line: Vec<&str> = line.iter().copied().chain(["--json"]).collect();
        let ran = self.run(&line);
        assert!(ran.done.is_ok(), "{line:?}: {}", ran.err);
        serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{line:?}: {e}: {}", ran.out))
    }

    /// A file or directory beside the home.
    pub(crate) fn beside(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }
}

/// How a command ended.
pub(crate) struct Ran {
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) done: Result<Exit, CliError>,
}

impl Ran {
    /// What it printed, if it succeeded.
    pub(crate) fn ok(self) -> String {
        assert!(self.done.is_ok(), "{}", self.err);
        self.out
    }

    /// Why it failed.
    pub(crate) fn failed(self) -> CliError {
        self.done.expect_err(&self.out)
    }
}

pub(crate) fn origin(name: &str, message: &str, plausible: i64) -> Option<Origin> {
    Some(Origin {
        name: name.into(),
        message_id: message.into(),
        claimed: Some(plausible),
        claimed_text: None,
        plausible,
    })
}

/// Fails where a text holds anything that acts on a terminal or hides from the eye.
pub(crate) fn assert_harmless(text: &str) {
    let bad = text.chars().find(|&c| c != '\n' && c != '\t' && lanai_crdt::text::is_hazard(c));
    assert_eq!(bad, None, "{text:?}");
}

pub(crate) fn incoming(entry: &StoredEntry) -> Incoming {
    let v = &entry.verified;
    let signed = Signed::decode(v.bytes().to_vec(), v.signature().copied()).unwrap();
    Incoming { signed, payload: entry.payload.clone() }
}
