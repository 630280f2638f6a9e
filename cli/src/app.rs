//! What every command on a community works with: the home, the store in it, who we are, and the
//! node that may be running beside us.
//!
//! Reading and writing never need the node. After something was written, [`wake`] tells a running
//! node, so that it goes out at once; when none runs, peers get it at the next sync.

mod find;
mod people;

use std::collections::BTreeSet;
use std::time::Duration;

use lanai_crdt::id::{EntryId, MemberId};
use lanai_crdt::payload::{Body, Mark, Reaction, Role};
use lanai_crdt::thread::{TalkEntry, Thread};
use lanai_node::control::{Client, Request};
use lanai_node::home::Home;
use lanai_node::identity::{Identity, IdentityError};
use lanai_node::random::OsRandom;
use lanai_node::store::{Author, NewEntry, Place, Store, StoreError, ThreadView};

use crate::commands::Context;
use crate::error::{CliError, Exit};
use crate::layout::Text;
use crate::ui::Ui;

pub use find::Spot;
pub use people::{People, Person};

/// How long a command waits for a running node to notice what was written. The post is safe
/// already; a node that is busy finds it a little later by itself.
const WAKE_PATIENCE: Duration = Duration::from_millis(300);

/// Entries that a new one can name beside the thread and the post.
const MAX_SUPERSEDED: usize = lanai_crdt::limits::MAX_REFS - 2;

/// Entries that are folded before a list is shown; a fraction of a second.
const QUICK_FOLD: usize = 2000;

/// The home, which must hold a store.
///
/// # Errors
///
/// Code `no-community` where nothing was set up yet, with what to do about it.
pub fn open_home(context: &Context) -> Result<Home, CliError> {
    let home = context.home()?;
    if home.has_store() {
        return Ok(home);
    }
    let root = home.root().display();
    let error = if home.join_state().exists() {
        let message = format!("joining is not finished in {root}");
        CliError::new(Exit::NotFound, "join-unfinished", message)
            .hint("`lanai join` goes on with it")
    } else {
        let message = format!("there is no community in {root} yet");
        CliError::new(Exit::NotFound, "no-community", message).hint(
            "`lanai up` makes one, `lanai join TICKET` joins one, --home names another directory",
        )
    };
    Err(error)
}

/// The secret keys of this device.
///
/// # Errors
///
/// When the key file is missing, damaged or open to others.
pub fn identity(home: &Home) -> Result<Identity, CliError> {
    Ok(Identity::load(&home.device_key())?)
}

/// Tells a running node that there is something new in the store. Whether one was told.
pub fn wake(home: &Home) -> bool {
    let told = home.check_socket().ok().and_then(|socket| {
        Client::connect(&socket).ok()?.ask(&Request::Wake, WAKE_PATIENCE).ok()
    });
    told.is_some()
}

/// Tells the user what the store has to tell, once.
///
/// # Errors
///
/// When the store cannot be read or written.
pub fn tell_notices(ui: &mut Ui, store: &Store) -> Result<(), CliError> {
    let notices = store.notices()?;
    for notice in &notices {
        ui.warn(Text::from(&notice.detail));
    }
    match notices.last() {
        Some(last) => Ok(store.notices_shown(last.number)?),
        None => Ok(()),
    }
}

/// What a mark is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marked {
    /// The state of the thread.
    State,
    /// Whether the post is part of the answer.
    Answer,
}

/// An own entry that is acted on, and the thread that it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnCopy {
    /// The post.
    pub id: EntryId,
    /// The thread as the post itself names it.
    pub thread: EntryId,
}

/// A community opened for a command.
#[derive(Debug)]
pub struct App {
    home: Home,
    store: Store,
}

impl App {
    /// Opens the community of the home, and tells the user what the store has to tell.
    ///
    /// # Errors
    ///
    /// Where nothing was set up, or the store cannot be opened.
    pub fn open(context: &mut Context) -> Result<Self, CliError> {
        let home = open_home(context)?;
        let store = Store::open(&Place::of_home(&home))?;
        tell_notices(&mut context.ui, &store)?;
        Ok(Self { home, store })
    }

    /// The home.
    #[must_use]
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The member that this device belongs to.
    ///
    /// # Errors
    ///
    /// Refused, where it belongs to none (any more).
    pub fn me(&self) -> Result<MemberId, CliError> {
        self.store.own_member()?.ok_or_else(|| StoreError::NotMember.into())
    }

    /// Our role now; none where we are no member.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn my_role(&self) -> Result<Option<Role>, CliError> {
        Ok(self.store.roster()?.standing(&self.store.own_device()).map(|s| s.role))
    }

    /// Everybody's names.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn people(&self) -> Result<People, CliError> {
        Ok(People::new(self.store.names()?, self.store.own_member()?))
    }

    /// One thread, by the id of anything in it.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn thread(&self, id: &EntryId) -> Result<Option<ThreadView>, CliError> {
        Ok(self.store.thread(id)?)
    }

    /// Brings lists and search up to date, as far as that is quick. How many entries are left
    /// for the node, or for the next time.
    ///
    /// # Errors
    ///
    /// When the store cannot be read or written.
    pub fn catch_up(&self) -> Result<u64, CliError> {
        Ok(self.store.fold_pending(QUICK_FOLD)?.left)
    }

    /// Writes entries by this device, wakes the node, and tells what the store has to tell. Gives
    /// their ids.
    ///
    /// # Errors
    ///
    /// When the roster, a limit or the disk does not allow it. Nothing is written then.
    pub fn publish(
        &self,
        context: &mut Context,
        entries: Vec<NewEntry>,
    ) -> Result<Vec<EntryId>, CliError> {
        let Identity { device, sealing } = identity(&self.home)?;
        let author = Author { device, sealing };
        let ids = self.store.append(&author, (context.clock)(), &mut OsRandom, entries)?;
        tell_notices(&mut context.ui, &self.store)?;
        if wake(&self.home) {
            context.ui.detail("the node sends it out");
        } else {
            context.ui.detail("no node is running; `lanai node start` sends it out");
        }
        Ok(ids)
    }

    /// Writes one entry by this device.
    ///
    /// # Errors
    ///
    /// As for [`publish`](Self::publish).
    pub fn publish_one(
        &self,
        context: &mut Context,
        entry: NewEntry,
    ) -> Result<EntryId, CliError> {
        let ids = self.publish(context, vec![entry])?;
        ids.first().copied().ok_or_else(|| CliError::internal("nothing was written"))
    }

    /// The thread that a post names in its own header, which may be an alias; the post itself
    /// where it opens a thread.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn thread_named_by(&self, post: &EntryId) -> Result<EntryId, CliError> {
        let info = self.store.entry(post)?;
        Ok(info.and_then(|info| info.header.refs().first().copied()).unwrap_or(*post))
    }

    /// Our own copy of a post, which alone we may edit or withdraw.
    ///
    /// # Errors
    ///
    /// Refused, where others wrote or imported it.
    pub fn own_copy(&self, spot: &Spot, people: &People) -> Result<OwnCopy, CliError> {
        let me = self.me()?;
        let post = spot.post();
        for id in std::iter::once(&post.id).chain(&post.aliases) {
            let Some(info) = self.store.entry(id)? else { continue };
            if info.member.is_some_and(|(member, _)| member == me) {
                let thread = info.header.refs().first().copied().unwrap_or(*id);
                return Ok(OwnCopy { id: *id, thread });
            }
        }
        let name = people.shown(&post.author).to_plain();
        let deed = if post.origin.is_some() { "imported" } else { "wrote" };
        Err(CliError::refused(format!("{name} {deed} it, and nobody else can change it"))
            .hint(format!("answer it with `lanai reply {}`", post.id.short())))
    }

    /// Whether we may set the state of a thread and say what answers it: who opened it, leads and
    /// stewards may.
    ///
    /// # Errors
    ///
    /// Refused, with `what` we wanted in the message.
    pub fn must_speak_for(&self, thread: &Thread, what: &str) -> Result<(), CliError> {
        let me = self.me()?;
        if thread.author == me || self.my_role()?.is_some_and(|role| role >= Role::Lead) {
            return Ok(());
        }
        for copy in &thread.aliases {
            let info = self.store.entry(copy)?;
            if info.and_then(|info| info.member).is_some_and(|(member, _)| member == me) {
                return Ok(());
            }
        }
        Err(CliError::refused(format!("only who opened the thread, leads and stewards may {what}")))
    }

    /// The references of a new mark: thread, post, and the marks it replaces.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn mark_refs(&self, spot: &Spot, what: Marked) -> Result<Vec<EntryId>, CliError> {
        let thread = spot.thread();
        let (named, about) = match what {
            Marked::State => (thread.root, thread.root),
            Marked::Answer => (self.thread_named_by(&spot.post().id)?, spot.post().id),
        };
        let targets: BTreeSet<EntryId> = match what {
            Marked::State => std::iter::once(thread.root).chain(thread.aliases.clone()).collect(),
            Marked::Answer => spot.copies().collect(),
        };
        let entries = self.store.thread_entries(&thread.root)?;
        let marks: Vec<&TalkEntry> = entries
            .iter()
            .filter(|e| e.refs.get(1).is_some_and(|id| targets.contains(id)))
            .filter(|e| match (&e.body, what) {
                (Body::Mark(Mark::State(_)), Marked::State) => true,
                (Body::Mark(Mark::Answer(_)), Marked::Answer) => true,
                _ => false,
            })
            .collect();
        // The mark that counts must be among those named, or the new one would not outrank it.
        let current = thread.state_mark.filter(|_| what == Marked::State);
        let mut refs = vec![named, about];
        refs.extend(current);
        let rest = unsuperseded(&marks).into_iter().filter(|id| Some(*id) != current);
        refs.extend(rest.take(MAX_SUPERSEDED - usize::from(current.is_some())));
        Ok(refs)
    }

    /// The entries by which `member` reacted to a post so, and did not take back.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn reactions_of(
        &self,
        spot: &Spot,
        member: MemberId,
        reaction: Reaction,
    ) -> Result<Vec<EntryId>, CliError> {
        let targets: BTreeSet<EntryId> = spot.copies().collect();
        let entries = self.store.thread_entries(&spot.thread().root)?;
        let reacts: Vec<(&TalkEntry, bool)> = entries
            .iter()
            .filter(|e| e.member == member)
            .filter_map(|e| match &e.body {
                Body::React(react) if react.reaction == reaction => Some((e, react.on)),
                _ => None,
            })
            .collect();
        let taken: BTreeSet<EntryId> = reacts
            .iter()
            .filter(|(_, on)| !on)
            .flat_map(|(e, _)| e.refs.iter().skip(2).copied())
            .collect();
        let about = |e: &TalkEntry| e.refs.get(1).is_some_and(|id| targets.contains(id));
        let left = reacts.iter().filter(|(e, on)| *on && about(e) && !taken.contains(&e.id));
        Ok(left.map(|(e, _)| e.id).collect())
    }

    /// The references of a new profile: those it replaces.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn profile_refs(&self, member: &MemberId) -> Result<Vec<EntryId>, CliError> {
        let entries = self.store.profile_entries(member)?;
        let mut refs = unsuperseded(&entries.iter().collect::<Vec<_>>());
        refs.truncate(MAX_SUPERSEDED);
        Ok(refs)
    }
}

/// Entries that no other of these names, ascending.
fn unsuperseded(entries: &[&TalkEntry]) -> Vec<EntryId> {
    let named: BTreeSet<&EntryId> = entries.iter().flat_map(|e| &e.refs).collect();
    let left: BTreeSet<EntryId> =
        entries.iter().map(|e| e.id).filter(|id| !named.contains(id)).collect();
    left.into_iter().collect()
}

impl From<IdentityError> for CliError {
    fn from(error: IdentityError) -> Self {
        let hint = error.hint();
        Self { hint, ..Self::failed("identity", error.to_string()) }
    }
}

impl From<StoreError> for CliError {
    fn from(error: StoreError) -> Self {
        let message = error.to_string();
        match error {
            StoreError::Missing(_) => Self::new(Exit::NotFound, "no-community", message)
                .hint("`lanai up` makes a community, `lanai join TICKET` joins one"),
            StoreError::Unfinished(_) => Self::failed("store-unfinished", message)
                .hint("remove that file and run the command again that was interrupted"),
            StoreError::Exists(_) => {
                Self::failed("exists", message).hint("name another directory with --home")
            }
            StoreError::NotAStore(_) => Self::failed("not-a-store", message),
            StoreError::Newer { .. } => Self::failed("store-newer", message),
            StoreError::Busy => Self::failed("store-busy", message).retryable(),
            StoreError::DiskFull => Self::failed("disk-full", message).retryable(),
            StoreError::Damaged(_) | StoreError::DamagedLog => {
                Self::new(Exit::StoreDamaged, "store-damaged", message)
                    .hint("`lanai store check` says what is damaged")
            }
            StoreError::NotMember => Self::refused(message)
                .hint("a member's node has to let you in first; `lanai status` says how it stands"),
            StoreError::WouldNotCount(_) => Self::refused(message),
            StoreError::NeedsUpgrade(_) => Self::failed("needs-upgrade", message),
            StoreError::NoEpochKey => Self::failed("no-key", message)
                .hint("it comes with the next sync: `lanai sync --wait 30`")
                .retryable(),
            StoreError::OtherDevice => Self::failed("other-device", message)
                .hint("the key file and the store are not from the same home"),
            StoreError::OtherStore => Self::failed("other-store", message),
            StoreError::Payload(_) => Self::failed("refused-text", message)
                .hint("`lanai help limits` lists what is allowed"),
            StoreError::Envelope(_) | StoreError::Header(_) => Self::failed("too-long", message)
                .hint("make it shorter, or several posts of it; `lanai help limits`"),
            StoreError::Io { .. } => Self::failed("io", message),
            StoreError::Database(_) => Self::failed("database", message),
            StoreError::UnknownKind(_)
            | StoreError::BadBatchRef(_)
            | StoreError::Seal(_)
            | StoreError::Internal(_) => Self::internal(message),
        }
    }
}
