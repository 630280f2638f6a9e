//! One node of a simulated network: keys, a clock, and a store on a file.
//!
//! Nothing here knows of links or time. What the runtime does with a store on a real machine is done
//! here by hand, in the same order: seals are opened after the roster changed, what came is folded,
//! who admitted somebody gives the key.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use lanai_crdt::entry::DeviceSecret;
use lanai_crdt::id::{CommunityId, DeviceId, EntryId, MemberId};
use lanai_crdt::payload::{
    Admit, Body, DeviceStatement, History, InvitePolicy, JoinRecord, Profile, Role, SignedDevice,
    SignedJoinRecord, Ticket,
};
use lanai_crdt::seal::SealingSecret;

use super::hostile::Hostile;
use super::rng::Rng;
use super::scenario::{Clock, NodeSpec};
use crate::join::{Pushed, vouched};
use crate::store::{
    self, Author, Founding, NewEntry, Place, SetItem, Source, Store, StoreError, StoredEntry,
};
use crate::sync::{Incoming, IngestReport, LocalState, SyncItem};

/// Messages of a batch that are folded at once.
const FOLD: usize = 256;

/// A forged entry and who is shown it.
#[derive(Debug, Clone)]
pub struct Shown {
    /// The entry.
    pub entry: StoredEntry,
    /// Bit n: node n.
    pub to: u64,
}

impl Shown {
    fn item(&self) -> SyncItem {
        let header = self.entry.verified.header();
        let (time, id) = (header.time.0, self.entry.verified.id());
        SyncItem { time, id, lane: u32::MAX, roster: header.class == 0 }
    }
}

/// What a node is made of; a hostile plug-in may use all of it.
#[derive(Debug)]
pub struct Me {
    /// Place in the scenario's list of nodes.
    pub at: usize,
    /// How it is called.
    pub name: String,
    /// The keys of its device.
    pub author: Author,
    /// Its store; `None` while it is no member or not running.
    pub store: Option<Store>,
    /// Its randomness.
    pub rng: Rng,
    /// Entries that are in no store: made by a plug-in, and shown to some.
    pub extra: BTreeMap<EntryId, Shown>,
    /// How many nodes there are.
    pub nodes: usize,
    clock: Clock,
    place: Place,
    nonce: [u8; 16],
    /// As a member: what others call it, also after its device was changed.
    pub(super) member: Option<MemberId>,
    /// Times that it began anew with other keys.
    homes: u32,
    /// It was removed and taken back, or pending and let in.
    pub(super) away: bool,
}

/// A node and what befalls it.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) me: Me,
    pub(super) hostile: Option<Box<dyn Hostile>>,
    /// Which part of a split network it is in.
    pub(super) side: usize,
    pub(super) up: bool,
    /// Counts crashes.
    pub(super) life: u64,
    /// It does nothing before that.
    pub(super) asleep_until: u64,
    /// It will look who lacks the key.
    pub(super) turn: bool,
    /// The text of its own posts was last set by these.
    pub(super) last_edit: BTreeMap<EntryId, EntryId>,
    /// What it wrote while it was itself.
    pub(super) written: BTreeSet<EntryId>,
}

/// What became of a batch.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) report: IngestReport,
    pub(super) new: Vec<EntryId>,
    pub(super) refused: Vec<(EntryId, store::Refusal)>,
    pub(super) roster_changed: bool,
    /// A payload was not the one that its header commits to.
    pub(super) spoilt: bool,
    /// Something that it waits for is not here.
    pub(super) lacks: bool,
}

impl Node {
    pub(super) fn new(spec: &NodeSpec, at: usize, nodes: usize, dir: &Path, rng: &Rng) -> Node {
        let mut rng = rng.fork(&format!("node {at}"));
        let author = Author {
            device: DeviceSecret::from_bytes(&rng.array()),
            sealing: SealingSecret::from_bytes(&rng.array()),
        };
        let place = Place {
            db: dir.join(format!("{at}.db")),
            token: dir.join(format!("{at}.token")),
            machine: "a simulated machine".into(),
            key: None,
        };
        let nonce = rng.array();
        let plug_in = spec.hostile.as_deref().and_then(super::hostile::plug_in);
        Node {
            me: Me {
                at,
                name: spec.name.clone(),
                author,
                store: None,
                rng,
                extra: BTreeMap::new(),
                nodes,
                clock: spec.clock,
                place,
                nonce,
                member: None,
                homes: 0,
                away: false,
            },
            hostile: plug_in,
            side: 0,
            up: true,
            life: 0,
            asleep_until: 0,
            turn: false,
            last_edit: BTreeMap::new(),
            written: BTreeSet::new(),
        }
    }

    pub(super) fn is_honest(&self) -> bool {
        self.hostile.is_none()
    }

    /// Awake, running and a member.
    pub(super) fn is_there(&self, now: u64) -> bool {
        self.up && self.me.store.is_some() && self.asleep_until <= now
    }

    pub(super) fn crash(&mut self) {
        self.up = false;
        self.life += 1;
        self.me.store = None;
    }

    pub(super) fn start(&mut self) {
        self.up = true;
        self.me.open();
    }

    pub(super) fn set_clock(&mut self, clock: Clock) {
        self.me.clock = clock;
    }
}

impl Me {
    /// What its clock shows when the time is `now`.
    pub fn clock(&self, now: u64) -> u64 {
        self.clock.shows(now)
    }

    /// Its device.
    pub fn device(&self) -> DeviceId {
        self.author.device.device()
    }

    /// Its store.
    ///
    /// # Panics
    ///
    /// When it is not running; nobody asks it anything then.
    pub fn store(&self) -> &Store {
        self.store.as_ref().expect("who acts has a store")
    }

    /// Whether it is, or once was, a member with a store.
    pub(super) fn has_home(&self) -> bool {
        self.place.db.exists()
    }

    fn open(&mut self) {
        if self.place.db.exists() && self.store.is_none() {
            self.store = Some(Store::open(&self.place).expect("a store that was closed opens"));
        }
    }

    fn profile(&self) -> Profile {
        Profile { name: self.name.clone(), ..Profile::default() }
    }

    pub(super) fn found(
        &mut self,
        recovery: &DeviceSecret,
        now: u64,
    ) -> Result<CommunityId, StoreError> {
        let founding = Founding {
            name: "porch".into(),
            charter: None,
            profile: self.profile(),
            recovery_key: *recovery.device().as_bytes(),
            invite: InvitePolicy::Members,
            history: History::All,
            quorum: (2, 3),
            paper: None,
        };
        let now = self.clock(now);
        let store = Store::create(&self.place, &self.author, &founding, now, &mut self.rng)?;
        let community = store.community();
        self.store = Some(store);
        self.member = self.store().own_member()?;
        Ok(community)
    }

    /// Writes an entry through the store.
    ///
    /// # Errors
    ///
    /// What the store says.
    pub fn write(
        &mut self,
        body: Body,
        refs: impl IntoIterator<Item = EntryId>,
        now: u64,
    ) -> Result<EntryId, StoreError> {
        let now = self.clock(now);
        let Some(store) = self.store.as_ref() else {
            return Err(StoreError::Internal("whoever is suspended writes nothing"));
        };
        let new = vec![NewEntry::new(body, refs)];
        let ids = store.append(&self.author, now, &mut self.rng, new)?;
        ids.first().copied().ok_or(StoreError::Internal("nothing was written"))
    }

    /// Writes a ticket; gives its entry and its secret.
    pub(super) fn ticket(
        &mut self,
        uses: u32,
        role: Role,
        expires: Option<u64>,
        now: u64,
    ) -> Result<(EntryId, [u8; 32]), StoreError> {
        let secret: [u8; 32] = self.rng.array();
        let key = *DeviceSecret::from_bytes(&secret).device().as_bytes();
        let ticket = Ticket { key: key.into(), role, uses, expires };
        Ok((self.write(Body::Ticket(ticket), [], now)?, secret))
    }

    /// What a newcomer signs with a ticket.
    pub fn join_record(
        &self,
        community: CommunityId,
        ticket: &(EntryId, [u8; 32]),
    ) -> SignedJoinRecord {
        let record = JoinRecord {
            community,
            ticket: ticket.0,
            device: self.device(),
            sealing: *self.author.sealing.public().as_bytes(),
            nonce: self.nonce,
        };
        record.sign(&self.author.device, Some(&ticket.1))
    }

    /// Admits a newcomer as the runtime does: judged, published, given the key. Gives whether it was
    /// admitted, and what was written.
    pub(super) fn admit(
        &mut self,
        record: &SignedJoinRecord,
        now: u64,
    ) -> Result<Option<Vec<EntryId>>, StoreError> {
        let clock = self.clock(now);
        let roster = self.store().roster()?;
        if roster.may_admit(&self.device(), record, clock).is_err() {
            return Ok(None);
        }
        let mut written = Vec::new();
        if roster.member(&record.record.member()).is_none_or(|m| m.pending) {
            let body = Body::Admit(Admit { record: record.encode().into() });
            written.push(self.write(body, [record.record.ticket], now)?);
        }
        written.extend(self.top_up(now)?);
        Ok(Some(written))
    }

    /// Gives the key to whoever lacks it, if it has one itself.
    pub(super) fn top_up(&mut self, now: u64) -> Result<Vec<EntryId>, StoreError> {
        let now = self.clock(now);
        let store = self.store.as_ref().expect("who acts has a store");
        match store.top_up(&self.author, now, &mut self.rng) {
            // Somebody else has it, or it comes later.
            Err(StoreError::NoEpochKey) => Ok(Vec::new()),
            other => other,
        }
    }

    /// Makes the store of a newcomer from what its admitter sent, and says who it is; gives the profile.
    pub(super) fn join(
        &mut self,
        community: CommunityId,
        roster: &[StoredEntry],
        now: u64,
    ) -> Result<Option<EntryId>, StoreError> {
        let device = self.device();
        let roster = roster.iter().map(incoming).collect();
        let clock = self.clock(now);
        let (store, _) =
            Store::create_joined(&self.place, community, device, roster, clock, &mut self.rng)?;
        store.open_seals(&self.author, clock)?;
        self.store = Some(store);
        self.member = self.store().own_member()?;
        match self.write(Body::Profile(self.profile()), [], now) {
            // The key comes later; a profile can wait.
            Err(StoreError::NoEpochKey) => Ok(None),
            other => other.map(Some),
        }
    }

    /// Begins anew as the member that it was, with other keys and an empty home; gives the statement
    /// of the new device.
    pub(super) fn renew(&mut self, community: CommunityId, member: MemberId) -> SignedDevice {
        self.store = None;
        self.homes += 1;
        self.away = true;
        self.author = Author {
            device: DeviceSecret::from_bytes(&self.rng.array()),
            sealing: SealingSecret::from_bytes(&self.rng.array()),
        };
        self.place.db.set_extension(format!("{}.db", self.homes));
        self.place.token.set_extension(format!("{}.token", self.homes));
        let statement = DeviceStatement {
            community,
            member,
            device: self.device(),
            sealing: *self.author.sealing.public().as_bytes(),
            nonce: self.rng.array(),
        };
        statement.sign(&self.author.device)
    }

    /// Takes a batch in, and makes what came readable.
    pub(super) fn take(
        &self,
        batch: Vec<Incoming>,
        from: DeviceId,
        now: u64,
    ) -> Result<Taken, StoreError> {
        let (store, clock) = (self.store(), self.clock(now));
        let batch = batch
            .into_iter()
            .map(|Incoming { signed, payload }| store::Incoming { signed, payload })
            .collect();
        let done = store.ingest(batch, &Source::Peer(from), clock)?;
        if done.roster_changed {
            store.open_seals(&self.author, clock)?;
        }
        if !done.new.is_empty() || !done.payloads.is_empty() {
            store.fold_pending(FOLD)?;
        }
        let refused = done.refused_by_reason().into_iter().map(|(word, n)| (word, n as u64));
        let report = IngestReport {
            stored: done.new.len() as u64,
            known: done.known as u64,
            payloads: done.payloads.len() as u64,
            waiting: done.waiting as u64,
            refused: refused.collect(),
        };
        let spoilt = !done.bad_payloads.is_empty();
        let lacks = done.waiting > 0;
        let roster_changed = done.roster_changed;
        Ok(Taken { report, new: done.new, refused: done.refused, roster_changed, spoilt, lacks })
    }

    /// Takes the roster entries that enrol `peer`, if somebody known vouches for them.
    pub(super) fn enrol(
        &self,
        peer: DeviceId,
        shown: &[StoredEntry],
        now: u64,
    ) -> Result<(), StoreError> {
        let (store, clock) = (self.store(), self.clock(now));
        let roster = store.roster()?;
        let pushed = shown.iter().filter_map(|e| {
            let signed = e.verified.clone().into_signed();
            Some(Pushed { signed, payload: e.payload.clone()? })
        });
        let is_member = |device: &DeviceId| roster.standing(device).is_some();
        let good = vouched(store.community(), &peer, is_member, pushed.collect());
        let batch = good.into_iter().flatten().map(|(verified, payload)| store::Incoming {
            signed: verified.into_signed(),
            payload: Some(payload),
        });
        let done = store.ingest(batch.collect(), &Source::Peer(peer), clock)?;
        if done.roster_changed {
            store.open_seals(&self.author, clock)?;
        }
        Ok(())
    }

    /// Whether it is a member itself as far as it knows.
    pub(super) fn is_member(&self) -> bool {
        self.knows(&self.device())
    }

    /// Whether a device is a member's as far as this node knows.
    pub(super) fn knows(&self, device: &DeviceId) -> bool {
        self.store().roster().is_ok_and(|r| r.standing(device).is_some())
    }

    /// What it holds, as a session with `peer`, whose device is `theirs`, is told; with what a plug-in shows.
    /// And the last arrival that is part of it, and the store's generation.
    pub(super) fn state(
        &self,
        peer: usize,
        theirs: &DeviceId,
    ) -> Result<((i64, u64), LocalState), StoreError> {
        let state = self.store().sync_state(theirs)?;
        let held = state.summary;
        let mut heads = held.heads;
        heads.extend(self.shown_to(peer).map(|s| s.entry.verified.id()));
        let entries = held.entries + self.shown_to(peer).count() as u64;
        let local = LocalState::new(held.roster, entries, heads, held.holes, held.wanted_payloads);
        Ok(((state.arrived, state.generation), local.with_bases(state.bases)))
    }

    /// The forged entries that `peer` is shown.
    pub fn shown_to(&self, peer: usize) -> impl Iterator<Item = &Shown> {
        self.extra.values().filter(move |s| s.to >> peer & 1 == 1)
    }

    /// What arrived after one number and up to another, with what a plug-in shows to `peer`.
    pub(super) fn items(
        &self,
        peer: usize,
        after: i64,
        upto: i64,
    ) -> Result<Vec<SyncItem>, StoreError> {
        let mut items: Vec<SyncItem> = self
            .store()
            .items_between(after, upto, usize::MAX)?
            .items
            .into_iter()
            .map(|i| SyncItem { time: i.time, id: i.id, lane: i.lane, roster: i.roster })
            .collect();
        items.extend(self.shown_to(peer).map(Shown::item));
        items.sort_unstable();
        items.dedup_by_key(|i| i.id);
        Ok(items)
    }

    /// What decides the order of sending these, with what a plug-in shows to `peer`.
    pub(super) fn places(&self, peer: usize, ids: &[EntryId]) -> Result<Vec<SyncItem>, StoreError> {
        let wanted: BTreeSet<EntryId> = ids.iter().copied().collect();
        let shown = self.shown_to(peer).map(Shown::item).filter(|i| wanted.contains(&i.id));
        let item = |i: SetItem| SyncItem { time: i.time, id: i.id, lane: i.lane, roster: i.roster };
        let mut items: Vec<SyncItem> =
            self.store().places(ids)?.into_iter().map(item).chain(shown).collect();
        items.sort_unstable();
        items.dedup_by_key(|i| i.id);
        Ok(items)
    }

    /// Entries by id, as a session asks for them.
    pub(super) fn load(
        &self,
        ids: &[EntryId],
        max_bytes: usize,
    ) -> Result<(Vec<crate::sync::StoredEntry>, usize), StoreError> {
        let (entries, taken) = self.store().load(ids, max_bytes)?;
        let asked = ids.iter().take(taken);
        let extra = asked.filter_map(|id| self.extra.get(id)).map(|s| s.entry.clone());
        let mut out: Vec<crate::sync::StoredEntry> = Vec::with_capacity(entries.len());
        for e in entries.into_iter().chain(extra) {
            if !out.iter().rev().take(1).any(|o| o.entry.id() == e.verified.id()) {
                out.push(crate::sync::StoredEntry { entry: e.verified, payload: e.payload });
            }
        }
        Ok((out, taken))
    }

    /// Files of the home that a copy of it has.
    fn files(&self) -> [(std::path::PathBuf, std::path::PathBuf); 2] {
        [&self.place.db, &self.place.token].map(|p| (p.clone(), p.with_added_extension("copy")))
    }

    /// Copies the home as it is.
    pub(super) fn backup(&mut self) -> std::io::Result<()> {
        // The last connection to close moves everything into the one file.
        self.store = None;
        for (file, copy) in self.files() {
            std::fs::copy(file, copy)?;
        }
        self.open();
        Ok(())
    }

    /// Puts the copy back into the same files. Gives whether there was one.
    pub(super) fn restore(&mut self) -> std::io::Result<bool> {
        if self.files().iter().any(|(_, copy)| !copy.exists()) {
            return Ok(false);
        }
        self.store = None;
        for (file, copy) in self.files() {
            // Into the file that is there, so that the store does not notice.
            std::fs::write(file, std::fs::read(copy)?)?;
        }
        self.open();
        Ok(true)
    }
}

/// An entry of a store as another takes it.
pub fn incoming(entry: &StoredEntry) -> store::Incoming {
    store::Incoming { signed: entry.verified.clone().into_signed(), payload: entry.payload.clone() }
}
