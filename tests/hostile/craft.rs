//! Entries as a member writes them who does not use this program: any header, any payload.

use lanai_crdt::clock::Hlc;
use lanai_crdt::entry::{Class, Header, HeaderTail, Verified, payload_hash};
use lanai_crdt::envelope::{self, SEAL_OVERHEAD_BYTES};
use lanai_crdt::id::{EntryId, EpochRef, LogId, LogNumber, PayloadHash};
use lanai_crdt::payload::{self, Body, Post, PostRole};
use lanai_crdt::seal::{EpochKey, open_from_device, seal_payload};
use lanai_node::store::{Incoming, StoredEntry};

use crate::support::{Person, now};

pub(crate) type Crafted = (Verified, Vec<u8>);

pub(crate) fn incoming((verified, blob): &Crafted) -> Incoming {
    Incoming { signed: verified.clone().into_signed(), payload: Some(blob.clone()) }
}

pub(crate) fn stored(entry: &StoredEntry) -> Incoming {
    Incoming { signed: entry.verified.clone().into_signed(), payload: entry.payload.clone() }
}

/// All that a person's store holds.
pub(crate) fn everything(person: &Person) -> Vec<Incoming> {
    let ids: Vec<EntryId> = person.store.items().unwrap().items.iter().map(|i| i.id).collect();
    person.store.entries(&ids).unwrap().iter().map(stored).collect()
}

pub(crate) fn post(text: &str) -> Body {
    Body::Post(Post { role: PostRole::Reply, text: text.into(), origin: None, met: None })
}

/// The envelope of a body that keeps to all limits.
pub(crate) fn pack(body: &Body) -> Vec<u8> {
    envelope::encode(&payload::encode(body).unwrap()).unwrap()
}

/// Somebody with a member's keys and a log of their own.
pub(crate) struct Scribe<'a> {
    pub(crate) person: &'a Person,
    pub(crate) key: EpochKey,
    log: LogNumber,
    seq: u64,
    prev: EntryId,
    heads: Vec<EntryId>,
    nonce: u64,
}

impl<'a> Scribe<'a> {
    pub(crate) fn new(person: &'a Person, log: u8) -> Scribe<'a> {
        let roster = person.store.roster().unwrap();
        let device = person.store.own_device();
        let seals = roster
            .epochs()
            .flat_map(|e| e.sealed_to.get(&device).into_iter().flatten().map(move |s| (e.id, s)));
        let key = seals
            .filter_map(|(id, s)| {
                open_from_device(&person.author.sealing, &id, &device, &s.sealed).ok()
            })
            .last()
            .unwrap();
        let heads = roster.frontier().to_vec();
        let log = LogNumber([log; 8]);
        Scribe { person, key, log, seq: 0, prev: EntryId::ZERO, heads, nonce: 0 }
    }

    /// The next entry with this plaintext: sealed, or in the clear for class 0.
    pub(crate) fn write(
        &mut self,
        class: Class,
        refs: &[EntryId],
        plain: &[u8],
        change: impl FnOnce(&mut Header),
    ) -> Crafted {
        let crafted = self.beside(class, refs, plain, change);
        self.seq += 1;
        self.prev = crafted.0.id();
        crafted
    }

    /// As [`Scribe::write`]; the next entry goes to the same place of the log once more.
    pub(crate) fn beside(
        &mut self,
        class: Class,
        refs: &[EntryId],
        plain: &[u8],
        change: impl FnOnce(&mut Header),
    ) -> Crafted {
        let clear = class == Class::Roster;
        let overhead = if clear { 0 } else { SEAL_OVERHEAD_BYTES };
        let mut header = Header {
            class: class.number(),
            community: self.person.store.community(),
            log: LogId { device: self.person.store.own_device(), number: self.log },
            seq: self.seq,
            prev: self.prev,
            time: Hlc::from_millis(now()),
            epoch: if clear { EpochRef::CLEAR } else { self.key.id().short_ref() },
            payload_hash: PayloadHash::ZERO,
            payload_len: u32::try_from(plain.len() + overhead).unwrap(),
            tail: HeaderTail::V1 {
                heads: if clear || self.seq == 0 { self.heads.clone() } else { vec![] },
                refs: refs.to_vec(),
            },
        };
        change(&mut header);
        self.nonce += 1;
        let mut nonce = [0; 24];
        nonce[..8].copy_from_slice(&self.nonce.to_be_bytes());
        let blob = if clear {
            plain.to_vec()
        } else {
            seal_payload(&self.key, nonce, &header.associated_data(), plain).unwrap()
        };
        header.payload_hash = payload_hash(&blob);
        (self.person.author.device.sign(&header), blob)
    }
}
