//! What every command on a community works with: the home, the store in it, who we are, and the
//! node that may be running beside us.
//!
//! Reading and writing never need the node. After something was written, [`wake`] tells a running
//! node, so that it goes out at once; when none runs, peers get it at the next sync.

mod find;
mod people;
mod readers;

use std::time::Duration;

use lanai_crdt::id::{EntryId, MemberId};
use lanai_crdt::payload::{Body, Mark, Profile, Role, ThreadAct, ThreadOp, ThreadState};
use lanai_crdt::people::fold_people;
use lanai_crdt::thread::{RefsError, refs_for};
use lanai_node::control::{Client, Request};
use lanai_node::home::Home;
use lanai_node::identity::Identity;
use lanai_node::random::OsRandom;
use lanai_node::store::{Author, NewEntry, PageError, Place, Store, StoreError, ThreadView};

use crate::commands::Context;
use crate::error::{CliError, Exit};
use crate::layout::Text;
use crate::own;
use crate::ui::Ui;

pub use find::Spot;
pub use people::{People, Person};
pub(crate) use people::{ambiguous, by_id};

/// How long a command waits for a running node to notice what was written. The post is safe
/// already; a node that is busy finds it a little later by itself.
const WAKE_PATIENCE: Duration = Duration::from_millis(300);

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
    Ok(Identity::of_home(home)?)
}

/// Tells a running node that there is something new in the store. Whether one was told.
pub fn wake(home: &Home) -> bool {
    let told = home
        .check_socket()
        .ok()
        .and_then(|socket| Client::connect(&socket).ok()?.ask(&Request::Wake, WAKE_PATIENCE).ok());
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
        let mut text = Text::from(&notice.detail);
        if matches!(notice.kind.as_str(), "copied" | "continued" | "restored") {
            text = text.plain("; it goes on under a new log, and nothing is lost");
        }
        ui.warn(text);
    }
    match notices.last() {
        Some(last) => Ok(store.notices_shown(last.number)?),
        None => Ok(()),
    }
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
        let app = Self::open_quietly(context)?;
        tell_notices(&mut context.ui, &app.store)?;
        Ok(app)
    }

    /// Opens the community of the home, for a command that tells notices in its own way.
    ///
    /// # Errors
    ///
    /// Where nothing was set up, or the store cannot be opened.
    pub fn open_quietly(context: &Context) -> Result<Self, CliError> {
        let home = open_home(context)?;
        let store = Store::open(&Place::of_home(&home))?;
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
        match self.store.own_member()? {
            Some(me) => Ok(me),
            None => Err(self.why_not_member()?),
        }
    }

    /// Why this device is nobody's: it was removed, or nobody let it in yet.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn why_not_member(&self) -> Result<CliError, CliError> {
        let roster = self.store.roster()?;
        let own = self.store.own_device();
        if roster.members().any(|m| m.pending && m.devices.iter().any(|d| d.device == own)) {
            let message = "you were let in, and that does not hold: the ticket was used up, or who \
                           let you in was removed at that time";
            return Ok(CliError::refused(message)
                .hint("nothing that you wrote is lost; a steward types `lanai member restore`"));
        }
        let Some(former) = roster.former().find(|f| f.devices.iter().any(|d| d.device == own))
        else {
            return Ok(StoreError::NotMember.into());
        };
        let message = if former.author == former.id {
            "you have left this community".to_owned()
        } else {
            // The reason is sealed under a key that this device does not get.
            let by = self.people()?.shown(&former.author).to_plain();
            format!("you were removed from this community by {by}")
        };
        Ok(CliError::refused(message)
            .hint("what you have stays readable; `lanai leave` puts it aside for a new beginning"))
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

    /// Brings lists, search, and what other devices of ours told up to date, as far as that is quick. How many entries are left
    /// for the node, or for the next time.
    ///
    /// # Errors
    ///
    /// When the store cannot be read or written.
    pub fn catch_up(&self) -> Result<u64, CliError> {
        match self.store.fold_pending(QUICK_FOLD) {
            Ok(progress) => {
                own::take(self)?;
                Ok(progress.left)
            }
            // What is here already can be looked at all the same.
            Err(StoreError::DiskFull) => Ok(self.store.stats()?.unfolded),
            Err(e) => Err(e.into()),
        }
    }

    /// The secret keys that entries are written with.
    ///
    /// # Errors
    ///
    /// As for [`identity`].
    pub fn author(&self) -> Result<Author, CliError> {
        let Identity { device, sealing } = identity(&self.home)?;
        Ok(Author { device, sealing })
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
        let written = self.store.append(&self.author()?, (context.clock)(), &mut OsRandom, entries);
        let ids = match written {
            Err(StoreError::NotMember) => return Err(self.why_not_member()?),
            written => written?,
        };
        self.written(context)?;
        Ok(ids)
    }

    /// After something was written: wakes the node, and tells what the store has to tell.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn written(&self, context: &mut Context) -> Result<(), CliError> {
        tell_notices(&mut context.ui, &self.store)?;
        if wake(&self.home) {
            context.ui.detail("the node sends it out");
        } else {
            context.ui.detail("no node is running; `lanai node start` sends it out");
        }
        Ok(())
    }

    /// Writes one entry by this device.
    ///
    /// # Errors
    ///
    /// As for [`publish`](Self::publish).
    pub fn publish_one(&self, context: &mut Context, entry: NewEntry) -> Result<EntryId, CliError> {
        let ids = self.publish(context, vec![entry])?;
        ids.first().copied().ok_or_else(|| CliError::internal("nothing was written"))
    }

    /// An entry of ours about a post: a reply, an edit, a withdrawal, a reaction, a mark. It names
    /// what the folds want it to name.
    ///
    /// # Errors
    ///
    /// Refused, where it is not ours to say.
    pub fn about(&self, spot: &Spot, people: &People, body: Body) -> Result<NewEntry, CliError> {
        self.act_on(spot, people, &spot.post().id, body)
    }

    /// As [`about`](Self::about), about another post of the thread; an act of a lead.
    ///
    /// # Errors
    ///
    /// Refused, where it is not ours to say.
    pub fn act_on(
        &self,
        spot: &Spot,
        people: &People,
        on: &EntryId,
        body: Body,
    ) -> Result<NewEntry, CliError> {
        let post = spot.post();
        let refs = self.refs(spot, on, &body).map_err(|error| match error {
            Refused::Store(error) => error.into(),
            Refused::NoMember(error) => error,
            Refused::Rule(RefsError::NotOwn) => {
                let name = people.shown(&post.author).to_plain();
                let deed = if post.origin.is_some() { "imported" } else { "wrote" };
                CliError::refused(format!("{name} {deed} it, and nobody else can change it"))
                    .hint(format!("answer it with `lanai reply {}`", post.id.short()))
            }
            Refused::Rule(RefsError::NotEntitled) => {
                CliError::refused(RefsError::NotEntitled.to_string())
            }
            Refused::Rule(RefsError::Withdrawn) => {
                CliError::failed("withdrawn", RefsError::Withdrawn.to_string())
            }
            Refused::Rule(RefsError::NotHere) => {
                CliError::not_found(RefsError::NotHere.to_string())
            }
            Refused::Rule(RefsError::NotLead) => CliError::refused(RefsError::NotLead.to_string())
                .hint("`lanai member list` says who they are"),
            Refused::Rule(RefsError::QuestionPage) => {
                let root = spot.thread().root.short();
                CliError::failed("question-page", RefsError::QuestionPage.to_string())
                    .hint(format!("change it with `lanai page edit {root} --question`"))
            }
            Refused::Rule(RefsError::NotMoved) => {
                let root = spot.thread().root.short();
                CliError::failed("not-moved", RefsError::NotMoved.to_string())
                    .hint(format!("`lanai thread log {root}` says what was done"))
            }
            Refused::Rule(error @ (RefsError::IsThread | RefsError::Loop)) => {
                CliError::failed("senseless", error.to_string())
                    .hint("name another post; `lanai read` shows their ids")
            }
            Refused::Rule(error) => CliError::failed("senseless", error.to_string()),
        })?;
        Ok(NewEntry::new(body, refs))
    }

    /// Whether we may settle the thread: who opened it, leads and stewards may.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn speaks_for(&self, spot: &Spot) -> Result<bool, CliError> {
        let reopen = Body::Mark(Mark::State(ThreadState::Open));
        match self.refs(spot, &spot.thread().root, &reopen) {
            Ok(_) => Ok(true),
            Err(Refused::Rule(_)) => Ok(false),
            Err(Refused::Store(error)) => Err(error.into()),
            Err(Refused::NoMember(error)) => Err(error),
        }
    }

    fn refs(&self, spot: &Spot, target: &EntryId, body: &Body) -> Result<Vec<EntryId>, Refused> {
        let me = self.me().map_err(Refused::NoMember)?;
        let standing = self.store.roster()?.standing(&self.store.own_device());
        let role = standing.map_or(Role::Member, |standing| standing.role);
        let mut entries = self.store.thread_entries(&spot.thread().root)?;
        if let Body::ThreadOp(ThreadOp { act: ThreadAct::Under(to, _), .. }) = body {
            entries.extend(self.store.thread_entries(&EntryId::new(**to))?);
        }
        refs_for(&entries, &me, role, target, body).map_err(Refused::Rule)
    }

    /// A new profile of ours, which replaces the one before.
    ///
    /// # Errors
    ///
    /// When we are no member, or the store cannot be read.
    pub fn new_profile(&self, profile: Profile) -> Result<NewEntry, CliError> {
        let me = self.me()?;
        let entries = self.store.profile_entries(&me)?;
        let before = fold_people(&entries).remove(&me);
        let refs = before.map(|person| person.heads).unwrap_or_default();
        Ok(NewEntry::new(Body::Profile(profile), refs))
    }
}

/// Why an entry about a post has no references.
enum Refused {
    Store(StoreError),
    NoMember(CliError),
    Rule(RefsError),
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

fn page_error(error: &PageError, message: String) -> CliError {
    match error {
        PageError::NotEntitled => {
            CliError::refused(message).hint("`lanai reframe ID` proposes a wording")
        }
        PageError::NotLead => CliError::refused(message),
        PageError::NoPage => CliError::not_found(message)
            .hint("a note has no question to refine; its text is changed with `lanai edit`"),
        PageError::NoProposal => CliError::not_found(message)
            .hint("`lanai page show ID --question` lists what is proposed"),
        PageError::NoBase => {
            CliError::not_found(message).hint("`lanai page log ID` lists its versions")
        }
        PageError::Unchanged => CliError::failed("unchanged", message),
        PageError::TooLong(_) => CliError::failed("too-long", message)
            .hint("move a part of it into a post, and cite that: [[id]]"),
        PageError::TooMuch => CliError::failed("too-much", message),
    }
}

impl From<StoreError> for CliError {
    fn from(error: StoreError) -> Self {
        let message = error.to_string();
        match error {
            StoreError::Missing(_) => Self::new(Exit::NotFound, "no-community", message)
                .hint("`lanai up` makes a community, `lanai join TICKET` joins one"),
            StoreError::Sealed(_) => Self::new(Exit::Locked, "locked", message)
                .hint("its key is in the key file of the home it was made in"),
            StoreError::CannotUnseal(_) => Self::new(Exit::Locked, "cannot-unseal", message)
                .hint("released builds can open it; build with `--features sqlcipher`"),
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
            StoreError::NotInSideTalk => Self::refused(message)
                .hint("in a side talk one can reply, edit, withdraw and react; `lanai talk list`"),
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
            StoreError::Page(error) => page_error(&error, message),
            StoreError::Io { .. } => Self::failed("io", message),
            StoreError::Database(_) => Self::failed("database", message),
            StoreError::UnknownKind(_)
            | StoreError::BadBatchRef(_)
            | StoreError::Seal(_)
            | StoreError::Internal(_) => Self::internal(message),
        }
    }
}
