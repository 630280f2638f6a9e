//! A community in memory with real keys, signatures, seals and folds, and a wire between the two
//! machines that can be cut at any byte.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use lanai_crdt::clock::Hlc;
use lanai_crdt::entry::{DeviceSecret, Header, HeaderTail, Verified, payload_hash};
use lanai_crdt::envelope;
use lanai_crdt::id::{CommunityId, DeviceId, EntryId, EpochRef, LogId, LogNumber};
use lanai_crdt::payload::{
    self, Admit, Body, DeviceSeal, Epoch, Genesis, InvitePolicy, JoinRecord, Role, Seal,
    SignedJoinRecord, Ticket,
};
use lanai_crdt::roster::{Roster, RosterEntry};
use lanai_crdt::seal::{EpochKey, SealingPublic, SealingSecret, seal_to_device};
use lanai_crdt::ticket::{TicketSecret, TicketText};

use super::super::*;
use crate::identity::Identity;
use crate::random::OsRandom;

pub(super) const NOW: u64 = 1_800_000_000_000;
pub(super) const NAME: &str = "The porch behind the motor pool";

pub(super) fn person(n: u8) -> Identity {
    Identity {
        device: DeviceSecret::from_bytes(&[n; 32]),
        sealing: SealingSecret::from_bytes(&[n ^ 0x80; 32]),
    }
}

#[derive(Clone)]
pub(super) struct Village {
    pub(super) community: CommunityId,
    pub(super) items: Vec<RosterItem>,
    pub(super) key: EpochKey,
    pub(super) epoch_entry: EntryId,
    /// Opened entries, which remember whether their join records are good.
    opened: Rc<RefCell<BTreeMap<EntryId, RosterEntry>>>,
    logs: BTreeMap<DeviceId, (u64, EntryId)>,
}

impl Village {
    /// Founded by one person, with an epoch and a seal of it.
    pub(super) fn found(founder: &Identity) -> Village {
        let record = JoinRecord {
            community: CommunityId::ZERO,
            ticket: EntryId::ZERO,
            device: founder.device_id(),
            sealing: *founder.sealing.public().as_bytes(),
            nonce: [1; 16],
        }
        .sign(&founder.device, None);
        let key = EpochKey::from_bytes(blake3::hash(founder.device_id().as_bytes()).as_bytes());
        let mut village = Village {
            community: CommunityId::ZERO,
            items: Vec::new(),
            key,
            epoch_entry: EntryId::ZERO,
            opened: Rc::default(),
            logs: BTreeMap::new(),
        };
        let genesis = village.write(
            founder,
            &[],
            &Body::Genesis(Genesis {
                rules: 1,
                founders: vec![record.encode().into()],
                recovery_key: [5; 32].into(),
                quorum_num: 2,
                quorum_den: 3,
                invite: InvitePolicy::Members,
                history: None,
            }),
        );
        village.community = genesis.as_community();
        village.epoch_entry = village.write(
            founder,
            &[],
            &Body::Epoch(Epoch {
                id: (*village.key.id().as_bytes()).into(),
                parents: vec![],
                links: vec![].into(),
            }),
        );
        village.seal(founder, &founder.device_id(), founder.sealing.public());
        village
    }

    pub(super) fn roster(&self) -> Roster {
        let mut opened = self.opened.borrow_mut();
        let entries: Vec<RosterEntry> = self
            .items
            .iter()
            .filter_map(|i| {
                let payload = i.payload.as_deref()?;
                if !opened.contains_key(&i.verified.id()) {
                    let entry = RosterEntry::open(&i.verified, payload).ok()?;
                    opened.insert(entry.id, entry);
                }
                opened.get(&i.verified.id()).cloned()
            })
            .collect();
        let roster = Roster::fold(self.community, &entries);
        // With what the fold has found out about their join records.
        opened.extend(entries.into_iter().map(|e| (e.id, e)));
        roster
    }

    /// Writes an entry on top of all there is.
    pub(super) fn write(&mut self, by: &Identity, refs: &[EntryId], body: &Body) -> EntryId {
        let heads = self.roster().frontier().to_vec();
        self.write_on(
            by,
            heads,
            refs,
            envelope::encode_clear(&payload::encode(body).unwrap()).unwrap(),
        )
    }

    /// Writes an entry with any heads and any payload.
    pub(super) fn write_on(
        &mut self,
        by: &Identity,
        heads: Vec<EntryId>,
        refs: &[EntryId],
        blob: Vec<u8>,
    ) -> EntryId {
        let device = by.device_id();
        let (seq, prev) = self.logs.get(&device).map_or((0, EntryId::ZERO), |(s, p)| (s + 1, *p));
        let header = Header {
            class: 0,
            community: self.community,
            log: LogId { device, number: LogNumber([7; 8]) },
            seq,
            prev,
            time: Hlc::from_millis(NOW + seq),
            epoch: EpochRef::CLEAR,
            payload_hash: payload_hash(&blob),
            payload_len: blob.len() as u32,
            tail: HeaderTail::V1 { heads, refs: refs.to_vec() },
        };
        let verified = by.device.sign(&header);
        let id = verified.id();
        self.logs.insert(device, (seq, id));
        self.items.push(RosterItem { verified, payload: Some(blob) });
        id
    }

    pub(super) fn ticket(
        &mut self,
        by: &Identity,
        n: u8,
        uses: u32,
        expires: Option<u64>,
    ) -> TicketText {
        let secret = TicketSecret::from_bytes([n; 32]);
        let body =
            Body::Ticket(Ticket { key: secret.public().into(), role: Role::Member, uses, expires });
        let entry = self.write(by, &[], &body);
        TicketText::new(secret, self.community, entry, NAME, vec![]).unwrap()
    }

    pub(super) fn seal(&mut self, by: &Identity, device: &DeviceId, to: SealingPublic) -> EntryId {
        let sealed = seal_to_device(&to, device, &self.key, &mut OsRandom).unwrap();
        let part = DeviceSeal { device: (*device.as_bytes()).into(), sealed: sealed.into() };
        let body =
            Body::Seal(Seal { epoch: (*self.key.id().as_bytes()).into(), seals: vec![part] });
        self.write(by, &[self.epoch_entry], &body)
    }

    pub(super) fn admission(&mut self, by: &Identity, record: &SignedJoinRecord) -> EntryId {
        let body = Body::Admit(Admit { record: record.encode().into() });
        self.write(by, &[record.record.ticket], &body)
    }

    /// What a driver does for [`AdmitterOutput::Admit`].
    pub(super) fn publish(
        &mut self,
        by: &Identity,
        record: &SignedJoinRecord,
        known: Option<EntryId>,
    ) -> EntryId {
        let admit = known.unwrap_or_else(|| self.admission(by, record));
        let device = record.record.device;
        let sealed = self.roster().epochs().any(|e| e.sealed_to.contains_key(&device));
        if !sealed {
            self.seal(by, &device, SealingPublic::checked(&record.record.sealing).unwrap());
        }
        admit
    }

    /// How many entries admit somebody.
    pub(super) fn admissions(&self) -> usize {
        self.items
            .iter()
            .filter_map(|i| RosterEntry::open(&i.verified, i.payload.as_deref()?).ok())
            .filter(|e| matches!(e.body, Body::Admit(_)))
            .count()
    }

    pub(super) fn bytes(&self) -> u32 {
        self.items.iter().map(|i| i.encoded_bytes() as u32).sum()
    }

    pub(super) fn verified(&self, id: &EntryId) -> &Verified {
        &self.items.iter().find(|i| i.verified.id() == *id).unwrap().verified
    }
}

/// How a join went, as both sides and a listener on the wire saw it.
pub(super) struct Outcome {
    pub(super) joiner: Result<Box<Joined>, JoinerError>,
    /// `None` where it was cut before the member's side came to an end.
    pub(super) admitter: Option<Result<MemberIdOf, AdmitterError>>,
    pub(super) from_joiner: Vec<u8>,
    pub(super) from_admitter: Vec<u8>,
    pub(super) progress: Vec<Progress>,
}

type MemberIdOf = lanai_crdt::id::MemberId;

pub(super) struct Wire<'a> {
    pub(super) village: &'a mut Village,
    pub(super) member: &'a Identity,
    pub(super) newcomer: &'a Identity,
    pub(super) ticket: &'a TicketText,
    /// Delivered bytes, both ways together, after which the connection is gone.
    pub(super) cut: usize,
    pub(super) now: u64,
    /// Whom the newcomer believes to talk to; the member's device unless somebody lies.
    pub(super) dialled: DeviceId,
    pub(super) record_nonce: [u8; 16],
}

impl<'a> Wire<'a> {
    pub(super) fn new(
        village: &'a mut Village,
        member: &'a Identity,
        newcomer: &'a Identity,
        ticket: &'a TicketText,
    ) -> Wire<'a> {
        let dialled = member.device_id();
        let (cut, now, record_nonce) = (usize::MAX, NOW, [4; 16]);
        Wire { village, member, newcomer, ticket, cut, now, dialled, record_nonce }
    }

    pub(super) fn run(self) -> Outcome {
        let roster = Arc::new(self.village.roster());
        let mut admitter = Admitter::new(
            self.member.device_id(),
            self.newcomer.device_id(),
            roster,
            [0xaa; 32],
            self.now,
        );
        let (mut joiner, mut joiner_out) = Joiner::start(
            self.ticket.clone(),
            self.newcomer.clone(),
            self.record_nonce,
            self.dialled,
            [0xbb; 32],
            self.now,
        );
        let (mut from_joiner, mut from_admitter) = (Vec::new(), Vec::new());
        let (mut joined, mut admitted) = (None, None);
        let mut progress = Vec::new();
        let mut left = self.cut;
        let deliver = |bytes: &[u8], left: &mut usize| {
            let n = bytes.len().min(*left);
            *left -= n;
            bytes[..n].to_vec()
        };
        while joined.is_none() {
            let mut to_admitter = Vec::new();
            for output in joiner_out.drain(..) {
                match output {
                    JoinerOutput::Send(bytes) => to_admitter.extend(deliver(&bytes, &mut left)),
                    JoinerOutput::Progress(p) => progress.push(p),
                    JoinerOutput::Finished(how) => joined = Some(how),
                }
            }
            from_joiner.extend_from_slice(&to_admitter);
            let mut outputs = Vec::new();
            // In pieces, as streams do.
            for piece in to_admitter.chunks(50) {
                outputs.extend(admitter.handle(AdmitterInput::Bytes(piece), self.now));
            }
            let mut to_joiner = Vec::new();
            while !outputs.is_empty() {
                for output in std::mem::take(&mut outputs) {
                    match output {
                        AdmitterOutput::Send(bytes) => {
                            to_joiner.extend(deliver(&bytes, &mut left));
                        }
                        AdmitterOutput::Admit { record, known } => {
                            let admit = self.village.publish(self.member, &record, known);
                            let entries = self.village.items.len() as u32;
                            let bytes = self.village.bytes();
                            let input = AdmitterInput::Admitted { admit, entries, bytes };
                            outputs.extend(admitter.handle(input, self.now));
                        }
                        AdmitterOutput::WantEntries { from } => {
                            let from = from as usize;
                            let to = self.village.items.len().min(from + 100);
                            let items = self.village.items[from..to].to_vec();
                            outputs
                                .extend(admitter.handle(AdmitterInput::Entries(items), self.now));
                        }
                        AdmitterOutput::Enrol(_) => panic!("nobody pushes"),
                        AdmitterOutput::Finished(how) => admitted = Some(how),
                    }
                }
            }
            from_admitter.extend_from_slice(&to_joiner);
            for piece in to_joiner.chunks(1000) {
                joiner_out.extend(joiner.handle(JoinerInput::Bytes(piece), self.now));
            }
            if to_joiner.is_empty() && joined.is_none() {
                // Nothing is under way: the connection was cut, or the member has closed it.
                joiner_out.extend(joiner.handle(JoinerInput::Closed, self.now));
                if left == 0 {
                    let _ = admitter.handle(AdmitterInput::Closed, self.now);
                    assert!(admitter.is_finished());
                }
            }
        }
        assert!(joiner.is_finished());
        Outcome {
            joiner: joined.unwrap(),
            admitter: admitted,
            from_joiner,
            from_admitter,
            progress,
        }
    }
}

pub(super) fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|w| w == needle)
}
