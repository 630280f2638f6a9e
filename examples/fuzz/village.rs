//! A community in memory with real keys, signatures and seals. Nothing in it is random: equal calls
//! make equal bytes.

use std::collections::BTreeMap;
use std::convert::Infallible;

use lanai_crdt::clock::Hlc;
use lanai_crdt::entry::{Class, DeviceSecret, Header, HeaderTail, payload_hash};
use lanai_crdt::envelope::{self, SEAL_OVERHEAD_BYTES};
use lanai_crdt::id::{CommunityId, DeviceId, EntryId, EpochRef, LogId, LogNumber, PayloadHash};
use lanai_crdt::payload::{
    self, Admit, Ask, Body, Community, DeviceSeal, Edit, Epoch, File, Genesis, GrantRole, Help,
    InvitePolicy, JoinRecord, Mark, Note, Origin, Post, PostRole, Profile, React, Reaction, Role,
    Seal, SignedJoinRecord, ThreadState, Ticket,
};
use lanai_crdt::roster::{Roster, RosterEntry};
use lanai_crdt::seal::rand_core::{TryCryptoRng, TryRng};
use lanai_crdt::seal::{EpochKey, SealingPublic, SealingSecret, seal_payload, seal_to_device};
use lanai_crdt::ticket::{TicketSecret, TicketText};
use lanai_node::identity::Identity;
use lanai_node::sync::StoredEntry;

use super::Random;

pub(crate) const NOW: u64 = 1_800_000_000_000;

impl TryRng for Random {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.next() as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.next())
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        out.iter_mut().for_each(|byte| *byte = self.next() as u8);
        Ok(())
    }
}

/// For seals that have to come out the same each time, of keys that protect nothing.
impl TryCryptoRng for Random {}

pub(crate) fn person(n: u8) -> Identity {
    Identity {
        device: DeviceSecret::from_bytes(&[n; 32]),
        sealing: SealingSecret::from_bytes(&[n ^ 0x80; 32]),
    }
}

pub(crate) struct Village {
    pub(crate) community: CommunityId,
    pub(crate) key: EpochKey,
    pub(crate) epoch: EntryId,
    pub(crate) entries: Vec<StoredEntry>,
    roster_head: Option<EntryId>,
    logs: BTreeMap<DeviceId, (u64, EntryId)>,
    random: Random,
}

impl Village {
    pub(crate) fn found(founder: &Identity) -> Village {
        let record = JoinRecord {
            community: CommunityId::ZERO,
            ticket: EntryId::ZERO,
            device: founder.device_id(),
            sealing: *founder.sealing.public().as_bytes(),
            nonce: [1; 16],
        }
        .sign(&founder.device, None);
        let mut village = Village {
            community: CommunityId::ZERO,
            key: EpochKey::from_bytes(&[8; 32]),
            epoch: EntryId::ZERO,
            entries: Vec::new(),
            roster_head: None,
            logs: BTreeMap::new(),
            random: Random::new(3),
        };
        let genesis = Genesis {
            rules: 1,
            founders: vec![record.encode().into()],
            recovery_key: [5; 32].into(),
            quorum_num: 2,
            quorum_den: 3,
            invite: InvitePolicy::Members,
            history: None,
        };
        village.community = village.write(founder, &[], &Body::Genesis(genesis)).as_community();
        let id = *village.key.id().as_bytes();
        let epoch = Epoch { id: id.into(), parents: vec![], links: vec![].into() };
        village.epoch = village.write(founder, &[], &Body::Epoch(epoch));
        village.seal(founder, founder);
        village
    }

    /// Writes an entry at the end of this person's log.
    pub(crate) fn write(&mut self, by: &Identity, refs: &[EntryId], body: &Body) -> EntryId {
        let class = body.class().unwrap();
        let body = payload::encode(body).unwrap();
        let clear = class == Class::Roster;
        let plain = if clear {
            envelope::encode_clear(&body).unwrap()
        } else {
            envelope::encode(&body).unwrap()
        };
        let device = by.device_id();
        let (seq, prev) = self.logs.get(&device).map_or((0, EntryId::ZERO), |(s, p)| (s + 1, *p));
        let overhead = if clear { 0 } else { SEAL_OVERHEAD_BYTES };
        let heads = self.roster_head.filter(|_| clear || seq == 0).into_iter().collect();
        let mut header = Header {
            class: class.number(),
            community: self.community,
            log: LogId { device, number: LogNumber([7; 8]) },
            seq,
            prev,
            time: Hlc::from_millis(NOW + 60_000 * self.entries.len() as u64),
            epoch: if clear { EpochRef::CLEAR } else { self.key.id().short_ref() },
            payload_hash: PayloadHash::ZERO,
            payload_len: (plain.len() + overhead) as u32,
            tail: HeaderTail::V1 { heads, refs: refs.to_vec() },
        };
        let blob = if clear {
            plain
        } else {
            let mut nonce = [0; 24];
            self.random.try_fill_bytes(&mut nonce).unwrap();
            seal_payload(&self.key, nonce, &header.associated_data(), &plain).unwrap()
        };
        header.payload_hash = payload_hash(&blob);
        let entry = by.device.sign(&header);
        let id = entry.id();
        self.logs.insert(device, (seq, id));
        self.entries.push(StoredEntry { entry, payload: Some(blob) });
        if clear {
            self.roster_head = Some(id);
        }
        id
    }

    pub(crate) fn seal(&mut self, by: &Identity, to: &Identity) -> EntryId {
        let public = SealingPublic::checked(to.sealing.public().as_bytes()).unwrap();
        let device = to.device_id();
        let sealed = seal_to_device(&public, &device, &self.key, &mut self.random).unwrap();
        let part = DeviceSeal { device: (*device.as_bytes()).into(), sealed: sealed.into() };
        let body =
            Body::Seal(Seal { epoch: (*self.key.id().as_bytes()).into(), seals: vec![part] });
        self.write(by, &[self.epoch], &body)
    }

    pub(crate) fn ticket(&mut self, by: &Identity, n: u8, uses: u32) -> TicketText {
        let secret = TicketSecret::from_bytes([n; 32]);
        let key = secret.public().into();
        let body = Body::Ticket(Ticket { key, role: Role::Member, uses, expires: None });
        let entry = self.write(by, &[], &body);
        let addresses = vec![
            "/ip4/192.168.4.20/tcp/4110".to_owned(),
            "/ip6/fe80::1/udp/4110/quic-v1".to_owned(),
        ];
        TicketText::new(secret, self.community, entry, "The Porch", addresses).unwrap()
    }

    /// Publishes what lets the owner of this record in.
    pub(crate) fn admit(
        &mut self,
        by: &Identity,
        newcomer: &Identity,
        record: &SignedJoinRecord,
    ) -> EntryId {
        let body = Body::Admit(Admit { record: record.encode().into() });
        let admit = self.write(by, &[record.record.ticket], &body);
        self.seal(by, newcomer);
        admit
    }

    pub(crate) fn roster_entries(&self) -> Vec<RosterEntry> {
        let open = |e: &StoredEntry| RosterEntry::open(&e.entry, e.payload.as_deref()?).ok();
        self.entries.iter().filter_map(open).collect()
    }

    pub(crate) fn roster(&self) -> Roster {
        Roster::fold(self.community, &self.roster_entries())
    }
}

pub(crate) fn origin(message_id: &str) -> Origin {
    Origin {
        name: "Capt. A. Nother".into(),
        message_id: message_id.into(),
        claimed: Some(-59_000_000_000),
        claimed_text: Some("Mon, 3 Jan 0099 10:00:00".into()),
        plausible: 915_357_600,
    }
}

/// Bodies of every kind but genesis, epoch, seal and admit, which have to fit their community.
pub(crate) fn bodies(member: [u8; 32]) -> Vec<Body> {
    let text = "A longer text that compresses, compresses and compresses again. ".repeat(12);
    let some = |text: &str| Some(text.to_owned());
    vec![
        Body::Ask(Ask {
            title: "Who has crossed the ford?".into(),
            situation: text.clone(),
            decide: some("whether to cross"),
            need_by: Some(NOW),
            tried: some("the map"),
            helps: Some(vec![Help::Facts, Help::Document, Help::Talk, Help::Heard]),
            tags: vec!["ford".into(), "water".into()],
            origin: None,
        }),
        Body::Note(Note {
            title: "An imported note".into(),
            text: "short".into(),
            tags: vec![],
            origin: Some(origin("n1@example.org")),
        }),
        Body::Post(Post { role: PostRole::Reply, text: "Yes.".into(), origin: None, met: None }),
        Body::Post(Post {
            role: PostRole::Outcome,
            text: text.clone(),
            origin: Some(origin("p1@example.org")),
            met: None,
        }),
        Body::Edit(Edit { text }),
        Body::Withdraw,
        Body::React(React { reaction: Reaction::Helped, on: true }),
        Body::React(React { reaction: Reaction::Thanks, on: false }),
        Body::Mark(Mark::State(ThreadState::Working)),
        Body::Mark(Mark::Answer(true)),
        Body::Profile(Profile {
            name: "Ana".into(),
            posts_held: some("S4, 2nd of the 9th"),
            experience: some("two winters"),
            ask_about: some("fuel"),
            reach: some("channel 3"),
        }),
        Body::Community(Community {
            name: "The Porch".into(),
            charter: some("Be kind."),
            salt: [4; 16].into(),
        }),
        Body::Role(GrantRole { member: member.into(), role: Role::Steward, recovery: None }),
        Body::Ticket(Ticket {
            key: [9; 32].into(),
            role: Role::Lead,
            uses: 1000,
            expires: Some(NOW),
        }),
        Body::TicketClose,
        Body::File(File {
            name: "ford.jpg".into(),
            media: some("image/jpeg"),
            bytes: 70_000,
            root: [5; 32].into(),
            key: [6; 32].into(),
        }),
    ]
}
