//! The store: every entry a node holds, and the views folded from them, in one SQLite file.
//!
//! Entries are the only truth; views can be thrown away and made again ([`Store::rebuild`]). The
//! parts:
//!
//! | module | what |
//! | --- | --- |
//! | `schema` | tables and migrations |
//! | `connection`, `checkpoint` | one writer, many readers, pragmas; what was written moves into the store |
//! | `write`, `pasts` | the writing transaction: inserting an entry, who counts; its roster past |
//! | `append`, `keys`, `token` | own entries, epoch keys, which log to continue |
//! | `ingest` | entries of others: known? authentic? enrolled? |
//! | `fold`, `groups`, `pending` | threads, posts, people, full text; what waits for that |
//! | `early` | what is read before all that it stands on is here |
//! | `read`, `search` | what people look at |
//! | `attention` | what is new and for whom: inbox, read marks, topics, asks that need somebody |
//! | `sync_reads` | what synchronisation needs |
//! | `check`, `backup` | damage, rebuilding, backup, restore |
//! | `sealing`, `purge` | the file sealed with a key; what was withdrawn leaves it |
//! | `fronts`, `held` | how far this node, and others as they said, hold each log, and what came here |
//! | `files` | manifests of files, and what is pinned or wanted of them |
//! | `own_state` | read marks and drafts among one's own devices |
//! | `local` | address book, settings, notices |
//!
//! # Rules
//!
//! 1. **Commit before acknowledging.** What a call reports as done is committed when it returns:
//!    own entries on disk, others' safe from anything but a power cut.
//! 2. **Nothing is unique by (device, log, seq).** Both branches of a fork are kept, exchanged and
//!    shown.
//! 3. **Order of arrival means nothing.** Any order and any repetition of the same entries ends in
//!    the same state hash.
//! 4. **One bad entry stops nothing else.** It is refused or set aside by name, and counted.
//! 5. Calls block. From async code they belong on a blocking thread.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lanai_crdt::entry::HeaderError;
use lanai_crdt::envelope::EnvelopeError;
use lanai_crdt::id::{CommunityId, DeviceId};
use lanai_crdt::payload::PayloadError;
use lanai_crdt::roster::{Reason, Roster};
use lanai_crdt::seal::SealError;

use crate::identity::StoreKey;

mod acts;
mod ahead;
mod append;
mod attention;
mod authentic;
mod backup;
mod bases;
mod check;
mod checkpoint;
mod connection;
mod cuts;
mod early;
mod files;
mod fold;
mod forks;
mod fronts;
mod groups;
mod held;
mod hot;
mod ingest;
mod keys;
mod local;
mod membership;
mod own_state;
mod pages;
mod pasts;
mod pending;
mod placing;
mod purge;
mod read;
mod reconciled;
mod returning;
mod roster_cache;
mod rows;
mod schema;
mod sealing;
mod search;
mod side;
mod stats;
mod sync_reads;
mod tallies;
mod token;
mod turn;
mod write;

#[cfg(test)]
pub(crate) mod tests;

pub use ahead::Exchange;
pub use append::{Author, Founding, NewEntry, NewRef};
pub use attention::{
    About, AllNew, AskFacts, DueOutcome, ForMe, Hidden, Inbox, InboxPost, InboxThread, MyTopic,
    Need, Needs, Newcomer, Outcome, OutcomeDelays, Rank, Stance, Tending, TopicSource,
    TopicSummary, Unanswered, Watch, WhyDue, mentions, own_handles,
};
pub use backup::{Restored, store_files};
pub use bases::{MAX_NEWS_RUNS, SyncState};
pub use check::{CheckReport, Damage, Rebuilt};
pub use files::{FileMarks, FileView};
pub use forks::Fork;
pub use fronts::{Lacking, Uncovered};
pub use held::OnlyHere;
pub use ingest::{Incoming, IngestReport, Refusal, Source};
pub use keys::SealsOpened;
pub use local::{Notice, PeerAddress};
pub use membership::{MembershipAct, MotionView};
pub use own_state::SharedDraft;
pub use pages::{
    PageAside, PageConflict, PageEdit, PageError, PageLog, PageProposal, PageSource, PageSpan,
    PageView, ProposedToMe,
};
pub use pending::FoldProgress;
pub(crate) use pending::{FoldFirst, PreparedFold};
pub use purge::Purged;
pub use read::{
    Candidate, CommunityInfo, EntryInfo, Found, Person, ThreadFilter, ThreadSummary, ThreadView,
};
pub use schema::Migrated;
pub use sealing::seal;
pub use search::{
    Expert, Grounds, HitKind, Named, SearchHit, SearchOrder, SearchQuery, SearchResults,
    SearchState, Similar, Who, span,
};
pub use side::SideTalkView;
pub use stats::Stats;
pub use sync_reads::{SetItem, SetItems, SetSummary, StoredEntry};

pub use connection::{CAN_SEAL, is_sealed};
use connection::{Connections, Durability};
use roster_cache::RosterCache;
use rows::meta;

/// Why a store call failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no store at this path.
    #[error("there is no store at {0}")]
    Missing(PathBuf),
    /// There is a store already.
    #[error("there is a store at {0} already")]
    Exists(PathBuf),
    /// The file is sealed, and its key is not at hand.
    #[error("the store at {0} is sealed, and its key is not at hand")]
    Sealed(PathBuf),
    /// The file is sealed, and this build cannot open it.
    #[error("the store at {0} is sealed, and this lanai was built without SQLCipher")]
    CannotUnseal(PathBuf),
    /// The file is a database of something else.
    #[error("{0} is not a lanai store")]
    NotAStore(PathBuf),
    /// Making the store was interrupted before it had a community.
    #[error("the store at {0} was never finished")]
    Unfinished(PathBuf),
    /// Written by a later version of this program.
    #[error("the store has version {found}, and this program knows up to {known}: use a newer one")]
    Newer {
        /// Version of the store.
        found: i32,
        /// Newest version that this program knows.
        known: i32,
    },
    /// Another process holds the store for too long.
    #[error("the store is busy: another process is writing to it")]
    Busy,
    /// No room on the disk.
    #[error("the disk is full")]
    DiskFull,
    /// SQLite finds the file damaged.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// The head of the own log cannot be read.
    #[error("the store is damaged: the last own entry cannot be read")]
    DamagedLog,
    /// Anything else that SQLite says.
    #[error("database: {0}")]
    Database(String),
    /// What the file system says.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The error.
        source: std::io::Error,
    },
    /// The device is not that of this store.
    #[error("this store belongs to another device")]
    OtherDevice,
    /// The device is not a member's.
    #[error("this device does not belong to a member of the community (yet)")]
    NotMember,
    /// A roster entry would not count.
    #[error("{0}")]
    WouldNotCount(Reason),
    /// The community lives by later rules.
    #[error("the community lives by version {0} of the rules: this program must be updated first")]
    NeedsUpgrade(u16),
    /// There is no epoch key to write with.
    #[error("the community's key is not here yet: no peer has sent a seal for this device")]
    NoEpochKey,
    /// A kind of entry that this version cannot write.
    #[error("entries of kind {0} cannot be written")]
    UnknownKind(u16),
    /// Neither heard nor said in a side talk.
    #[error("this device takes no part in that side talk, or that cannot be said in one")]
    NotInSideTalk,
    /// A reference to a place in the batch that is not before it.
    #[error("reference to place {0} of the batch, which is not before it")]
    BadBatchRef(usize),
    /// A field over its limit.
    #[error(transparent)]
    Payload(#[from] PayloadError),
    /// The text is too long once packed.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// A change to a page that cannot be made.
    #[error(transparent)]
    Page(#[from] PageError),
    /// Sealing failed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// Too many references.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// A file offered for restoring is of another community or device.
    #[error("the backup belongs to another community or device")]
    OtherStore,
    /// Something that cannot happen did.
    #[error("internal error: {0}")]
    Internal(&'static str),
}

impl From<rusqlite::Error> for StoreError {
    fn from(e: rusqlite::Error) -> StoreError {
        use rusqlite::ErrorCode as Code;
        match e.sqlite_error_code() {
            Some(Code::DatabaseBusy | Code::DatabaseLocked) => StoreError::Busy,
            Some(Code::DiskFull) => StoreError::DiskFull,
            Some(Code::DatabaseCorrupt) => StoreError::Damaged(e.to_string()),
            Some(Code::NotADatabase) => StoreError::Damaged("not a database".into()),
            _ => StoreError::Database(e.to_string()),
        }
    }
}

impl From<rusqlite::types::FromSqlError> for StoreError {
    fn from(e: rusqlite::types::FromSqlError) -> StoreError {
        rusqlite::Error::from(e).into()
    }
}

/// Where a store lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The SQLite file.
    pub db: PathBuf,
    /// The token beside it.
    pub token: PathBuf,
    /// What tells this machine from others; empty where nothing does.
    pub machine: String,
    /// What a sealed store is sealed with.
    pub key: Option<StoreKey>,
}

impl Place {
    /// A store at `db` with its token at `token`, on this machine.
    pub fn new(db: impl Into<PathBuf>, token: impl Into<PathBuf>) -> Place {
        let known = ["/etc/machine-id", "/var/lib/dbus/machine-id"];
        let machine = known.iter().find_map(|path| std::fs::read_to_string(path).ok());
        Place {
            db: db.into(),
            token: token.into(),
            machine: machine.map_or(String::new(), |id| id.trim().chars().take(64).collect()),
            key: None,
        }
    }

    /// The store of a home; sealed where the home was unlocked.
    pub fn of_home(home: &crate::home::Home) -> Place {
        let key = home.unlocked().map(|unlocked| unlocked.identity.store_key());
        Place { key, ..Place::new(home.store(), home.token()) }
    }
}

/// A community's entries and views on this device. Clones share one store.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    place: Place,
    connections: Connections,
    community: CommunityId,
    own: DeviceId,
    rosters: RosterCache,
    set: reconciled::SetCache,
    migrated: Migrated,
}

impl Store {
    /// Opens the store at `place`, bringing it to the newest version first.
    ///
    /// # Errors
    ///
    /// [`StoreError::Missing`], [`StoreError::NotAStore`], [`StoreError::Unfinished`],
    /// [`StoreError::Newer`], [`StoreError::Damaged`], and what SQLite says.
    pub fn open(place: &Place) -> Result<Store, StoreError> {
        let mut conn = connection::open_writer(&place.db, place.key.as_ref(), false)?;
        let migrated = schema::migrate(&mut conn, place, schema::MIGRATIONS)?;
        let community = rows::get_meta(&conn, meta::COMMUNITY)?;
        let device = rows::get_meta(&conn, meta::DEVICE)?;
        let (Some(community), Some(own)) = (
            community.and_then(|c| CommunityId::from_slice(&c)),
            device.and_then(|d| DeviceId::from_slice(&d)),
        ) else {
            return Err(StoreError::Unfinished(place.db.clone()));
        };
        let store = Store::assemble(place, conn, community, own, migrated);
        store.tally()?;
        Ok(store)
    }

    /// Makes the file for a new store, or takes over one that was never finished.
    fn prepare(place: &Place, community: CommunityId, own: DeviceId) -> Result<Store, StoreError> {
        let mut conn = connection::open_writer(&place.db, place.key.as_ref(), true)?;
        let migrated = schema::migrate(&mut conn, place, schema::MIGRATIONS)?;
        if rows::get_meta(&conn, meta::COMMUNITY)?.is_some() {
            return Err(StoreError::Exists(place.db.clone()));
        }
        restrict(&place.db)?;
        Ok(Store::assemble(place, conn, community, own, migrated))
    }

    fn assemble(
        place: &Place,
        conn: rusqlite::Connection,
        community: CommunityId,
        own: DeviceId,
        migrated: Migrated,
    ) -> Store {
        let inner = Inner {
            place: place.clone(),
            connections: Connections::new(place.clone(), conn),
            community,
            own,
            rosters: RosterCache::new(community),
            set: reconciled::SetCache::default(),
            migrated,
        };
        Store { inner: Arc::new(inner) }
    }

    /// The community.
    pub fn community(&self) -> CommunityId {
        self.inner.community
    }

    /// This store's own device.
    pub fn own_device(&self) -> DeviceId {
        self.inner.own
    }

    /// What opening the store did to its version.
    pub fn migrated(&self) -> &Migrated {
        &self.inner.migrated
    }

    /// The roster now. Cheap while no roster entry arrives.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn roster(&self) -> Result<RosterView, StoreError> {
        self.inner.connections.read(|conn| Ok(RosterView(self.inner.rosters.get(conn)?)))
    }
}

/// The roster at one moment.
#[derive(Debug, Clone)]
pub struct RosterView(Arc<roster_cache::RosterState>);

impl std::ops::Deref for RosterView {
    type Target = Roster;

    fn deref(&self) -> &Roster {
        self.0.roster()
    }
}

/// The store holds the community's keys: readable by its owner alone.
fn restrict(path: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
        .map_err(|source| StoreError::Io { path: path.to_path_buf(), source })
}
