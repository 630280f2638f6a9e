//! Writing own entries.
//!
//! One call is one `IMMEDIATE` transaction on disk when it returns. Inside it the place in the log,
//! the clock, the roster heads and the epoch are read from the store itself, so that the node and a
//! command typed beside it can both write.
//!
//! Heads: an entry names the roster frontier as far as the past of its log does not cover it
//! already; most entries name none. A roster entry always names the whole frontier, and where that
//! has more than four heads, checkpoints that join them are written first.

use lanai_crdt::clock::Hlc;
use lanai_crdt::entry::{Class, DeviceSecret, Header, HeaderTail, Verified, payload_hash};
use lanai_crdt::envelope;
use lanai_crdt::id::{CommunityId, EntryId, EpochRef, LogId, LogNumber, MemberId, PayloadHash};
use lanai_crdt::limits::{MAX_HEADS, MAX_REFS};
use lanai_crdt::payload::{
    self, AddDevice, Body, Checkpoint, Community, Epoch, Genesis, History, InvitePolicy,
    JoinRecord, Profile,
};
use lanai_crdt::roster::{RULES_VERSION, RosterEntry};
use lanai_crdt::seal::{CryptoRng, EpochKey, NONCE_BYTES, SealingSecret, seal_payload};

use super::keys::{choose_epoch, effective, new_epoch, seal_bodies};
use super::rows::{self, N, meta};
use super::token::TOKEN_BYTES;
use super::write::Ctx;
use super::{Durability, Place, Store, StoreError};
use crate::identity::{Identity, link};

/// Bytes that sealing adds to an envelope: nonce and tag.
const SEAL_OVERHEAD_BYTES: usize = envelope::SEAL_OVERHEAD_BYTES;

/// The secrets of the device that writes. They live beside the store and never in it.
#[derive(Debug, Clone)]
pub struct Author {
    /// Signs entries.
    pub device: DeviceSecret,
    /// Opens seals made to this device.
    pub sealing: SealingSecret,
}

/// What a new entry refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewRef {
    /// An entry by its id.
    Id(EntryId),
    /// An earlier entry of the same batch, by its place there.
    Batch(usize),
}

impl From<EntryId> for NewRef {
    fn from(id: EntryId) -> NewRef {
        NewRef::Id(id)
    }
}

/// An entry to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEntry {
    /// What it says.
    pub body: Body,
    /// What it refers to; the meaning of each place depends on the kind.
    pub refs: Vec<NewRef>,
}

impl NewEntry {
    /// An entry that refers to entries by id.
    pub fn new(body: Body, refs: impl IntoIterator<Item = EntryId>) -> NewEntry {
        NewEntry { body, refs: refs.into_iter().map(NewRef::Id).collect() }
    }
}

/// Entries that are worth a thread of their own.
const MIN_SHARE: usize = 32;

/// What founds a community.
#[derive(Debug, Clone)]
pub struct Founding {
    /// The community's name.
    pub name: String,
    /// What its members agree to.
    pub charter: Option<String>,
    /// Who the founder is.
    pub profile: Profile,
    /// Ed25519 public key whose secret is printed for the founder.
    pub recovery_key: [u8; 32],
    /// Who may invite.
    pub invite: InvitePolicy,
    /// How far back newcomers read.
    pub history: History,
    /// Quorum of stewards as a fraction.
    pub quorum: (u8, u8),
    /// The founder's device on paper.
    pub paper: Option<Identity>,
}

/// Everything of an entry that is decided before its payload is sealed.
struct Draft {
    community: CommunityId,
    log: LogId,
    seq: u64,
    prev: EntryId,
    time: Hlc,
    heads: Vec<EntryId>,
    refs: Vec<EntryId>,
}

impl Draft {
    /// Seals and signs. The length of the blob is part of what the sealing is bound to, so the
    /// header is made first and the hash of the blob put into it last.
    fn finish(
        self,
        secret: &DeviceSecret,
        class: Class,
        packed: Vec<u8>,
        key: Option<&EpochKey>,
        rng: &mut impl CryptoRng,
    ) -> Result<(Verified, Vec<u8>), StoreError> {
        let bytes = if key.is_some() { packed.len() + SEAL_OVERHEAD_BYTES } else { packed.len() };
        let mut header = Header {
            class: class.number(),
            community: self.community,
            log: self.log,
            seq: self.seq,
            prev: self.prev,
            time: self.time,
            epoch: key.map_or(EpochRef::CLEAR, |k| k.id().short_ref()),
            payload_hash: PayloadHash::ZERO,
            payload_len: u32::try_from(bytes).map_err(|_| StoreError::Internal("payload"))?,
            tail: HeaderTail::V1 { heads: self.heads, refs: self.refs },
        };
        header.check()?;
        let blob = match key {
            Some(key) => {
                let mut nonce = [0; NONCE_BYTES];
                rng.fill_bytes(&mut nonce);
                seal_payload(key, nonce, &header.associated_data(), &packed)?
            }
            None => packed,
        };
        header.payload_hash = payload_hash(&blob);
        Ok((secret.sign(&header), blob))
    }
}

/// The envelope of a body, before it is sealed.
fn pack(body: &Body) -> Result<Vec<u8>, StoreError> {
    let bytes = payload::encode(body)?;
    Ok(match body.class() {
        Some(Class::Roster) => envelope::encode_clear(&bytes)?,
        _ => envelope::encode(&bytes)?,
    })
}

/// The envelopes of a batch, packed on every core: compressing is a sixth of what an import costs, and
/// the only part of it that asks nothing of the entry before.
fn pack_all(new: &[NewEntry]) -> Result<Vec<Vec<u8>>, StoreError> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let share = new.len().div_ceil(cores).max(MIN_SHARE);
    let pack_share = |share: &[NewEntry]| share.iter().map(|e| pack(&e.body)).collect::<Vec<_>>();
    let mut shares = new.chunks(share);
    let first = shares.next().unwrap_or_default();
    std::thread::scope(|scope| {
        let others: Vec<_> = shares.map(|s| scope.spawn(move || pack_share(s))).collect();
        let mut packed = pack_share(first);
        for other in others {
            packed.extend(other.join().map_err(|_| StoreError::Internal("packing"))?);
        }
        packed.into_iter().collect()
    })
}

/// An epoch that was just made.
pub(super) struct Minted {
    key: EpochKey,
    epoch: EntryId,
    entries: Vec<N>,
}

/// Where the next own entry goes.
pub(super) struct Tip {
    log: LogId,
    seq: u64,
    prev: EntryId,
    past: Vec<EntryId>,
}

impl Ctx<'_> {
    /// Writes own entries, in order, and folds them.
    pub(super) fn append(
        &mut self,
        author: &Author,
        rng: &mut impl CryptoRng,
        new: Vec<NewEntry>,
    ) -> Result<Vec<EntryId>, StoreError> {
        let mut tip = self.tip(rng)?;
        let mut ids: Vec<EntryId> = Vec::with_capacity(new.len());
        let mut written: Vec<N> = Vec::with_capacity(new.len());
        let mut key = None;
        let mut grew = false;
        let new = self.put_in_boxes(rng, new)?;
        let packed = pack_all(&new)?;
        let introduces =
            new.iter().any(|e| matches!(e.body, Body::Profile(_) | Body::Community(_)));
        for (NewEntry { body, refs }, packed) in new.into_iter().zip(packed) {
            let class = body.class().ok_or(StoreError::UnknownKind(body.kind_number()))?;
            let refs = refs
                .into_iter()
                .map(|r| match r {
                    NewRef::Id(id) => Ok(id),
                    NewRef::Batch(i) => ids.get(i).copied().ok_or(StoreError::BadBatchRef(i)),
                })
                .collect::<Result<Vec<_>, _>>()?;
            let n = if class == Class::Roster {
                grew = true;
                key = None;
                self.append_roster(author, &mut tip, &body, refs, rng)?
            } else {
                if key.is_none() {
                    let state = self.roster.clone();
                    if state.roster().standing(&author.device.device()).is_none() {
                        return Err(StoreError::NotMember);
                    }
                    let chosen = choose_epoch(state.roster(), self.keys()?).map(|e| e.id);
                    key = match chosen {
                        Some(epoch) => self.keys()?.exact(&epoch).cloned(),
                        None => {
                            grew = true;
                            let minted = self.mint(author, &mut tip, rng)?;
                            written.extend(minted.entries);
                            Some(minted.key)
                        }
                    };
                }
                let key = key.as_ref().ok_or(StoreError::NoEpochKey)?;
                self.append_sealed(author, &mut tip, class, packed, refs, key, rng)?
            };
            ids.push(tip.prev);
            written.push(n);
        }
        if let (Some(key), false) = (key, introduces) {
            written.extend(self.introduce(author, &mut tip, &key, rng)?);
        }
        if grew {
            self.roster_grew()?;
            self.let_in_waiting()?;
        }
        self.fold(&written)?;
        Ok(ids)
    }

    fn introduce(
        &mut self,
        author: &Author,
        tip: &mut Tip,
        key: &EpochKey,
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<N>, StoreError> {
        let mut written = Vec::new();
        for NewEntry { body, refs } in self.introductions(author, key)? {
            let class = body.class().ok_or(StoreError::UnknownKind(body.kind_number()))?;
            let refs = refs.iter().filter_map(|r| match r {
                NewRef::Id(id) => Some(*id),
                NewRef::Batch(_) => None,
            });
            let refs = refs.collect();
            written.push(self.append_sealed(author, tip, class, pack(&body)?, refs, key, rng)?);
        }
        Ok(written)
    }

    fn tip(&mut self, rng: &mut impl CryptoRng) -> Result<Tip, StoreError> {
        let own = match self.own_log(self.inner)? {
            Some(log) => log,
            None => {
                let mut number = [0; 8];
                rng.fill_bytes(&mut number);
                let before = self.last_own_head()?;
                let log = self.start_log(LogNumber(number))?;
                // A head that waits for its own past would make everything written now wait too.
                if let Some((head, p)) = before.and_then(|h| h.past.map(|p| (h, p))) {
                    let past = self.past_heads(p)?.to_vec();
                    let log = LogId { device: self.own, number: log.number };
                    return Ok(Tip { log, seq: 0, prev: head.verified.id(), past });
                }
                log
            }
        };
        let log = LogId { device: self.own, number: own.number };
        if own.next == 0 {
            return Ok(Tip { log, seq: 0, prev: EntryId::ZERO, past: Vec::new() });
        }
        let l = self.log(&log)?;
        let head = self.head_of(l)?.ok_or(StoreError::DamagedLog)?;
        let p = head.past.ok_or(StoreError::DamagedLog)?;
        let past = self.past_heads(p)?.to_vec();
        Ok(Tip { log, seq: own.next, prev: head.verified.id(), past })
    }

    #[allow(clippy::too_many_arguments, reason = "one entry has that many parts")]
    fn append_sealed(
        &mut self,
        author: &Author,
        tip: &mut Tip,
        class: Class,
        packed: Vec<u8>,
        refs: Vec<EntryId>,
        key: &EpochKey,
        rng: &mut impl CryptoRng,
    ) -> Result<N, StoreError> {
        let roster = self.roster.roster();
        let mut heads: Vec<EntryId> =
            roster.frontier().iter().filter(|f| !roster.covers(&tip.past, f)).copied().collect();
        // The greatest; later entries name the rest.
        heads.drain(..heads.len().saturating_sub(MAX_HEADS));
        let draft = self.draft(tip, heads, refs)?;
        let (verified, blob) = draft.finish(&author.device, class, packed, Some(key), rng)?;
        self.put(tip, &verified, &blob)
    }

    /// Writes a roster entry, and before it what joins the heads; it counts, or nothing is written.
    fn append_roster(
        &mut self,
        author: &Author,
        tip: &mut Tip,
        body: &Body,
        refs: Vec<EntryId>,
        rng: &mut impl CryptoRng,
    ) -> Result<N, StoreError> {
        let roster = self.roster.roster();
        if roster.needs_upgrade() {
            return Err(StoreError::NeedsUpgrade(roster.rules_version()));
        }
        self.join_heads(author, tip, rng)?;
        let roster = self.roster.roster();
        roster
            .would_count(&author.device.device(), &refs, body)
            .map_err(StoreError::WouldNotCount)?;
        let heads = roster.frontier().to_vec();
        self.put_roster(author, tip, heads, body, refs, rng)
    }

    /// Mints an epoch that follows those that can be opened here, and seals its key to every effective
    /// device.
    pub(super) fn mint(
        &mut self,
        author: &Author,
        tip: &mut Tip,
        rng: &mut impl CryptoRng,
    ) -> Result<Minted, StoreError> {
        let state = self.roster.clone();
        let key = EpochKey::generate(rng);
        let (epoch, struck) = new_epoch(state.roster(), self.keys()?, &key, rng)?;
        let body = Body::Epoch(epoch);
        let mut entries = vec![self.append_roster(author, tip, &body, struck, rng)?];
        let epoch = tip.prev;
        self.add_key(&key)?;
        for NewEntry { body, .. } in seal_bodies(epoch, &key, &effective(state.roster()), rng)? {
            entries.push(self.append_roster(author, tip, &body, vec![epoch], rng)?);
        }
        Ok(Minted { key, epoch, entries })
    }

    /// Mints an epoch and has everything judged that hangs on it.
    pub(super) fn rotate(
        &mut self,
        author: &Author,
        rng: &mut impl CryptoRng,
    ) -> Result<EntryId, StoreError> {
        let mut tip = self.tip(rng)?;
        let mut minted = self.mint(author, &mut tip, rng)?;
        minted.entries.extend(self.introduce(author, &mut tip, &minted.key, rng)?);
        self.roster_grew()?;
        self.let_in_waiting()?;
        self.fold(&minted.entries)?;
        Ok(minted.epoch)
    }

    /// Writes checkpoints until the frontier fits a header.
    fn join_heads(
        &mut self,
        author: &Author,
        tip: &mut Tip,
        rng: &mut impl CryptoRng,
    ) -> Result<(), StoreError> {
        let body = Body::Checkpoint(Checkpoint::default());
        loop {
            let state = self.roster.clone();
            let roster = state.roster();
            let mut frontier = roster.frontier().to_vec();
            if frontier.len() <= MAX_HEADS {
                return Ok(());
            }
            // The own enrolment must be among the ancestors, or the checkpoint is nobody's.
            if let Some(own) = roster.standing(&author.device.device()) {
                frontier.sort_by_key(|f| !roster.covers(&[*f], &own.enrolled_by));
            }
            frontier.truncate(MAX_HEADS + MAX_REFS);
            let refs = frontier.split_off(MAX_HEADS);
            frontier.sort_unstable();
            roster
                .would_count(&author.device.device(), &refs, &body)
                .map_err(StoreError::WouldNotCount)?;
            self.put_roster(author, tip, frontier, &body, refs, rng)?;
        }
    }

    fn put_roster(
        &mut self,
        author: &Author,
        tip: &mut Tip,
        heads: Vec<EntryId>,
        body: &Body,
        refs: Vec<EntryId>,
        rng: &mut impl CryptoRng,
    ) -> Result<N, StoreError> {
        let draft = self.draft(tip, heads, refs)?;
        let (verified, blob) =
            draft.finish(&author.device, Class::Roster, pack(body)?, None, rng)?;
        let entry = RosterEntry::new(&verified, body.clone())
            .map_err(|_| StoreError::Internal("roster entry"))?;
        self.grow_roster(vec![entry]);
        self.put(tip, &verified, &blob)
    }

    fn draft(
        &mut self,
        tip: &Tip,
        heads: Vec<EntryId>,
        refs: Vec<EntryId>,
    ) -> Result<Draft, StoreError> {
        Ok(Draft {
            community: self.community,
            log: tip.log,
            seq: tip.seq,
            prev: tip.prev,
            time: self.next_time()?,
            heads,
            refs,
        })
    }

    fn put(&mut self, tip: &mut Tip, verified: &Verified, blob: &[u8]) -> Result<N, StoreError> {
        let inserted = self.insert(verified, Some(blob), None)?;
        let past = self.known_past(&inserted.id).ok_or(StoreError::Internal("past"))?;
        let same = verified.header().heads().is_empty() && verified.header().class != 0;
        if !same || tip.seq == 0 {
            tip.past = self.past_heads(past)?.to_vec();
        }
        tip.prev = inserted.id;
        tip.seq = tip.seq.saturating_add(1);
        Ok(inserted.n)
    }

    /// Writes genesis, the first epoch with a seal for the founder, the community's name and the
    /// founder's profile.
    fn found(
        &mut self,
        author: &Author,
        founding: &Founding,
        genesis: (Verified, Vec<u8>),
        rng: &mut impl CryptoRng,
    ) -> Result<(), StoreError> {
        let (verified, blob) = genesis;
        rows::set_meta(self.conn, meta::OWN_LOG, &verified.header().log.number.0)?;
        let entry = super::roster_cache::open_roster_entry(&verified, &blob)
            .map_err(|_| StoreError::Internal("genesis"))?;
        self.grow_roster(vec![entry]);
        self.insert(&verified, Some(&blob), None)?;

        if let Some(paper) = &founding.paper {
            let founder = self.roster.roster().standing(&author.device.device());
            let founder = founder.ok_or(StoreError::NotMember)?.member;
            let mut nonce = [0; 16];
            rng.fill_bytes(&mut nonce);
            let record = link::record(paper, self.community, founder, nonce).encode().into();
            let add = Body::AddDevice(AddDevice { record, vouch: None });
            self.append_fresh(author, rng, vec![NewEntry::new(add, [])])?;
        }
        let key = EpochKey::generate(rng);
        self.add_key(&key)?;
        let epoch = Epoch {
            id: (*key.id().as_bytes()).into(),
            parents: Vec::new(),
            links: Vec::new().into(),
        };
        let epoch = NewEntry::new(Body::Epoch(epoch), []);
        let written = self.append_fresh(author, rng, vec![epoch])?;
        let epoch = *written.first().ok_or(StoreError::Internal("epoch"))?;
        let devices = effective(self.roster.roster());
        let seal = seal_bodies(epoch, &key, &devices, rng)?;
        self.append_fresh(author, rng, seal)?;

        let mut salt = [0; 16];
        rng.fill_bytes(&mut salt);
        let community = Community {
            name: founding.name.clone(),
            charter: founding.charter.clone(),
            salt: salt.into(),
        };
        self.append_fresh(
            author,
            rng,
            vec![
                NewEntry::new(Body::Community(community), []),
                NewEntry::new(Body::Profile(founding.profile.clone()), []),
            ],
        )?;
        Ok(())
    }

    /// Like [`Ctx::append`] while there is no token file yet.
    fn append_fresh(
        &mut self,
        author: &Author,
        rng: &mut impl CryptoRng,
        new: Vec<NewEntry>,
    ) -> Result<Vec<EntryId>, StoreError> {
        self.founding = true;
        let written = self.append(author, rng, new);
        self.founding = false;
        written
    }
}

fn genesis(
    author: &Author,
    founding: &Founding,
    now_ms: u64,
    rng: &mut impl CryptoRng,
) -> Result<(Verified, Vec<u8>), StoreError> {
    let (mut nonce, mut number) = ([0; 16], [0; 8]);
    rng.fill_bytes(&mut nonce);
    if let Some(paper) = &founding.paper {
        nonce = payload::paper_nonce(&paper.device_id());
    }
    rng.fill_bytes(&mut number);
    let record = JoinRecord {
        community: CommunityId::ZERO,
        ticket: EntryId::ZERO,
        device: author.device.device(),
        sealing: *author.sealing.public().as_bytes(),
        nonce,
    };
    let body = Body::Genesis(Genesis {
        rules: RULES_VERSION,
        founders: vec![record.sign(&author.device, None).encode().into()],
        recovery_key: founding.recovery_key.into(),
        quorum_num: founding.quorum.0,
        quorum_den: founding.quorum.1,
        invite: founding.invite,
        history: Some(founding.history).filter(|h| *h != History::All),
    });
    let draft = Draft {
        community: CommunityId::ZERO,
        log: LogId { device: author.device.device(), number: LogNumber(number) },
        seq: 0,
        prev: EntryId::ZERO,
        time: Hlc::next(Hlc::default(), now_ms),
        heads: Vec::new(),
        refs: Vec::new(),
    };
    draft.finish(&author.device, Class::Roster, pack(&body)?, None, rng)
}

impl Store {
    /// Founds a community and makes its store.
    ///
    /// # Errors
    ///
    /// [`StoreError::Exists`] when there is one already; a name or profile over its limit; what
    /// the file system says.
    pub fn create(
        place: &Place,
        author: &Author,
        founding: &Founding,
        now_ms: u64,
        rng: &mut impl CryptoRng,
    ) -> Result<Store, StoreError> {
        let genesis = genesis(author, founding, now_ms, rng)?;
        let community = genesis.0.id().as_community();
        let store = Store::prepare(place, community, author.device.device())?;
        let mut token = [0; TOKEN_BYTES];
        rng.fill_bytes(&mut token);
        store.inner.write(Durability::Full, now_ms, |ctx| {
            ctx.name_store(&token)?;
            ctx.found(author, founding, genesis, rng)
        })?;
        store.inner.refresh_token()?;
        Ok(store)
    }

    /// Writes new entries by this device, in order, in one transaction that is on disk when the
    /// call returns; gives their ids. Entries may refer to earlier ones of the batch.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotMember`] and [`StoreError::WouldNotCount`] when the roster does not allow
    /// it, [`StoreError::NoEpochKey`] when there is no key to write with, a body over a limit, and
    /// what SQLite says. Nothing is written then.
    pub fn append(
        &self,
        author: &Author,
        now_ms: u64,
        rng: &mut impl CryptoRng,
        new: Vec<NewEntry>,
    ) -> Result<Vec<EntryId>, StoreError> {
        if new.is_empty() {
            return Ok(Vec::new());
        }
        self.own_write(author, now_ms, |ctx| ctx.append(author, rng, new))
    }

    /// Runs a transaction that writes own entries, and moves the token on.
    pub(super) fn own_write<T>(
        &self,
        author: &Author,
        now_ms: u64,
        work: impl FnOnce(&mut Ctx<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if author.device.device() != self.inner.own {
            return Err(StoreError::OtherDevice);
        }
        let done = self.inner.write(Durability::Full, now_ms, work)?;
        // The entries are committed; a token that lags behind is no mismatch.
        if let Err(e) = self.inner.refresh_token() {
            tracing::warn!("the token beside the store could not be written: {e}");
        }
        Ok(done)
    }

    /// The member that this store's device belongs to.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn own_member(&self) -> Result<Option<MemberId>, StoreError> {
        self.inner.connections.read(|conn| {
            let state = self.inner.rosters.get(conn)?;
            Ok(state.roster().standing(&self.inner.own).map(|s| s.member))
        })
    }
}
