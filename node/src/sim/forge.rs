//! Entries that no store would write: what a member with a changed program can sign.
//!
//! Everything a member has is used: the device's key, the epoch's key, the place in the log. What
//! a forger cannot do is sign for another.

use lanai_crdt::clock::Hlc;
use lanai_crdt::entry::{Class, DeviceSecret, Header, HeaderTail, payload_hash};
use lanai_crdt::envelope;
use lanai_crdt::id::{CommunityId, EntryId, EpochRef, LogId, PayloadHash};
use lanai_crdt::payload::{self, Body, JoinRecord, Post, PostRole, SignedJoinRecord};
use lanai_crdt::seal::{EpochKey, NONCE_BYTES, SealingSecret, open_from_device, seal_payload};

use super::node::Me;
use super::rng::Rng;
use crate::store::StoredEntry;

/// Everything about a forged entry that its maker chooses.
#[derive(Debug, Clone)]
pub struct Forgery {
    /// Of which community.
    pub community: CommunityId,
    /// Which log.
    pub log: LogId,
    /// Place in it.
    pub seq: u64,
    /// What it says it follows.
    pub prev: EntryId,
    /// When it says it was written.
    pub time: Hlc,
    /// Roster heads.
    pub heads: Vec<EntryId>,
    /// What it refers to.
    pub refs: Vec<EntryId>,
}

/// The join record of somebody who is nowhere.
pub(super) fn stranger(
    rng: &mut Rng,
    community: CommunityId,
    ticket: &(EntryId, [u8; 32]),
) -> SignedJoinRecord {
    let device = DeviceSecret::from_bytes(&rng.array());
    let record = JoinRecord {
        community,
        ticket: ticket.0,
        device: device.device(),
        sealing: *SealingSecret::from_bytes(&rng.array()).public().as_bytes(),
        nonce: rng.array(),
    };
    record.sign(&device, Some(&ticket.1))
}

impl Forgery {
    /// The next entry of the node's own log, as the store would write it; `None` when it has none.
    pub fn next_of(me: &Me) -> Option<Forgery> {
        let store = me.store.as_ref()?;
        let heads = store.log_heads().ok()?;
        let (log, seq, prev) = heads.into_iter().find(|(log, ..)| log.device == me.device())?;
        Some(Forgery {
            community: store.community(),
            log,
            seq: seq + 1,
            prev,
            time: Hlc(store.clock().ok()?.0.saturating_add(1)),
            heads: store.roster().ok()?.frontier().iter().take(4).copied().collect(),
            refs: Vec::new(),
        })
    }

    /// Signs it with `secret`, sealed under `key` or clear without one. `None` if it cannot be
    /// made.
    pub fn sign(
        &self,
        body: &Body,
        secret: &DeviceSecret,
        key: Option<&EpochKey>,
        rng: &mut Rng,
    ) -> Option<StoredEntry> {
        let bytes = payload::encode(body).ok()?;
        let packed = match key {
            Some(_) => envelope::encode(&bytes).ok()?,
            None => envelope::encode_clear(&bytes).ok()?,
        };
        let sealed = key.map_or(0, |_| envelope::SEAL_OVERHEAD_BYTES);
        let mut header = Header {
            class: body.class().unwrap_or(Class::Post).number(),
            community: self.community,
            log: self.log,
            seq: self.seq,
            prev: self.prev,
            time: self.time,
            epoch: key.map_or(EpochRef::CLEAR, |k| k.id().short_ref()),
            payload_hash: PayloadHash::ZERO,
            payload_len: u32::try_from(packed.len() + sealed).ok()?,
            tail: HeaderTail::V1 { heads: self.heads.clone(), refs: self.refs.clone() },
        };
        header.check().ok()?;
        let blob = match key {
            Some(key) => {
                let nonce: [u8; NONCE_BYTES] = rng.array();
                seal_payload(key, nonce, &header.associated_data(), &packed).ok()?
            }
            None => packed,
        };
        header.payload_hash = payload_hash(&blob);
        Some(StoredEntry { verified: secret.sign(&header), payload: Some(blob) })
    }
}

/// An epoch key that was sealed to the node's device.
pub fn epoch_key(me: &Me) -> Option<EpochKey> {
    let roster = me.store.as_ref()?.roster().ok()?;
    let device = me.device();
    roster.epochs().find_map(|epoch| {
        let seals = epoch.sealed_to.get(&device)?;
        seals
            .iter()
            .find_map(|s| open_from_device(&me.author.sealing, &epoch.id, &device, &s.sealed).ok())
    })
}

/// The root of a thread that the node holds.
pub fn some_thread(me: &mut Me) -> Option<EntryId> {
    let threads = me.store.as_ref()?.threads(&crate::store::ThreadFilter::default()).ok()?;
    let mut roots: Vec<EntryId> = threads.iter().map(|t| t.root).collect();
    roots.sort_unstable();
    (!roots.is_empty()).then(|| *me.rng.pick(&roots))
}

/// A post.
pub fn post(text: String) -> Body {
    Body::Post(Post { role: PostRole::Reply, text, origin: None, met: None })
}
