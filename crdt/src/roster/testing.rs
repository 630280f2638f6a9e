//! Builders for tests of the folds: a small community whose entries have real keys, hashes and join
//! records, written from any heads one likes.

use super::{Roster, RosterEntry};
use crate::clock::Hlc;
use crate::entry::{DeviceSecret, Header, HeaderTail, Verified, payload_hash};
use crate::id::{CommunityId, DeviceId, EntryId, EpochRef, LogId, LogNumber, MemberId};
use crate::payload::{
    Accept, AddDevice, Admit, Body, Checkpoint, DeviceStatement, Enact, Genesis, GrantRole,
    InvitePolicy, JoinRecord, Motion, Proposal, Readmit, Remove, Role, SignedDevice,
    SignedJoinRecord, Subject, Ticket, encode, recovery_statement, sign_recovery,
};
use crate::seal::SealingSecret;

/// A person of a test: keys from a small number.
#[derive(Debug, Clone)]
pub(crate) struct Person {
    pub(crate) secret: DeviceSecret,
    pub(crate) device: DeviceId,
}

pub(crate) fn person(n: u16) -> Person {
    let mut seed = [0x51; 32];
    seed[..2].copy_from_slice(&n.to_be_bytes());
    let secret = DeviceSecret::from_bytes(&seed);
    Person { device: secret.device(), secret }
}

fn sealing_key(n: u8) -> [u8; 32] {
    *SealingSecret::from_bytes(&[n; 32]).public().as_bytes()
}

/// The seed of the recovery key of every community under test.
pub(crate) const RECOVERY: [u8; 32] = [5; 32];

pub(crate) fn of_member(id: MemberId) -> Subject {
    Subject::Member((*id.as_bytes()).into())
}

pub(crate) fn of_role(id: MemberId, to: Role) -> Subject {
    Subject::Role((*id.as_bytes()).into(), to)
}

pub(crate) fn of_device(who: &Person) -> Subject {
    Subject::Device((*who.device.as_bytes()).into())
}

pub(crate) fn raw(ids: &[EntryId]) -> Vec<minicbor::bytes::ByteArray<32>> {
    let mut ids: Vec<EntryId> = ids.to_vec();
    ids.sort_unstable();
    ids.dedup();
    ids.iter().map(|id| (*id.as_bytes()).into()).collect()
}

pub(crate) fn remove_body(subject: Subject) -> Body {
    Body::Remove(Remove { subject, cut: vec![], recovery: None })
}

pub(crate) fn grant_body(to: MemberId, role: Role) -> GrantRole {
    GrantRole { member: (*to.as_bytes()).into(), role, recovery: None }
}

/// The seed of a ticket's key.
pub(crate) fn ticket_seed(n: u16) -> [u8; 32] {
    let mut seed = [0x71; 32];
    seed[..2].copy_from_slice(&n.to_be_bytes());
    seed
}

pub(crate) fn ticket_body(n: u16, role: Role, uses: u32) -> Body {
    let key = DeviceSecret::from_bytes(&ticket_seed(n)).device();
    Body::Ticket(Ticket { key: (*key.as_bytes()).into(), role, uses, expires: None })
}

/// A community under test; it only keeps what it made.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) community: CommunityId,
    pub(crate) genesis: EntryId,
    pub(crate) entries: Vec<RosterEntry>,
    written: u64,
}

impl World {
    /// Founds a community of the people `0..founders`.
    pub(crate) fn new(founders: u16, invite: InvitePolicy) -> World {
        let records = (0..founders).map(|n| founder_record(&person(n)).encode().into()).collect();
        let body = Body::Genesis(Genesis {
            rules: 1,
            founders: records,
            recovery_key: (*DeviceSecret::from_bytes(&RECOVERY).device().as_bytes()).into(),
            quorum_num: 2,
            quorum_den: 3,
            invite,
            history: None,
        });
        let mut world = World {
            community: CommunityId::ZERO,
            genesis: EntryId::ZERO,
            entries: Vec::new(),
            written: 0,
        };
        let genesis = world.make(&person(0), &[], &[], body);
        world.community = genesis.id.as_community();
        world.genesis = genesis.id;
        world.entries.push(genesis);
        world
    }

    /// Makes an entry without adding it. Every entry is its author's first of a new log, so that
    /// only heads and refs say what came before.
    pub(crate) fn make(
        &mut self,
        author: &Person,
        heads: &[EntryId],
        refs: &[EntryId],
        body: Body,
    ) -> RosterEntry {
        self.written += 1;
        let bytes = encode(&body).unwrap();
        let mut heads = heads.to_vec();
        heads.sort();
        heads.dedup();
        let header = Header {
            class: 0,
            community: self.community,
            log: LogId { device: author.device, number: LogNumber(self.written.to_be_bytes()) },
            seq: 0,
            prev: EntryId::ZERO,
            time: Hlc::from_millis(1_800_000_000_000),
            epoch: EpochRef::CLEAR,
            payload_hash: payload_hash(&bytes),
            payload_len: bytes.len() as u32,
            tail: HeaderTail::V1 { heads, refs: refs.to_vec() },
        };
        let verified = Verified::from_trusted_storage(header.encode(), None).unwrap();
        RosterEntry::new(&verified, body).unwrap()
    }

    /// Makes and adds an entry.
    pub(crate) fn add(
        &mut self,
        author: &Person,
        heads: &[EntryId],
        refs: &[EntryId],
        body: Body,
    ) -> EntryId {
        let entry = self.make(author, heads, refs, body);
        let id = entry.id;
        self.entries.push(entry);
        id
    }

    pub(crate) fn ticket(&mut self, by: &Person, heads: &[EntryId], n: u16, uses: u32) -> EntryId {
        self.add(by, heads, &[], ticket_body(n, Role::Member, uses))
    }

    /// The record of a newcomer with ticket number `n`, which is the entry `ticket`.
    pub(crate) fn record(&self, who: &Person, n: u16, ticket: EntryId) -> SignedJoinRecord {
        join_record(who, self.community, ticket).sign(&who.secret, Some(&ticket_seed(n)))
    }

    pub(crate) fn member_id(&self, who: &Person, ticket: EntryId) -> MemberId {
        join_record(who, self.community, ticket).member()
    }

    pub(crate) fn admit(
        &mut self,
        by: &Person,
        heads: &[EntryId],
        n: u16,
        ticket: EntryId,
        who: &Person,
    ) -> EntryId {
        let record = self.record(who, n, ticket);
        self.add(by, heads, &[ticket], admit_body(&record))
    }

    pub(crate) fn grant(
        &mut self,
        by: &Person,
        heads: &[EntryId],
        to: MemberId,
        role: Role,
    ) -> EntryId {
        self.add(
            by,
            heads,
            &[],
            Body::Role(GrantRole { member: (*to.as_bytes()).into(), role, recovery: None }),
        )
    }

    /// The member id of a founder.
    pub(crate) fn founder(&self, n: u16) -> MemberId {
        founder_record(&person(n)).record.member()
    }

    pub(crate) fn remove(&mut self, by: &Person, heads: &[EntryId], subject: Subject) -> EntryId {
        self.add(by, heads, &[], remove_body(subject))
    }

    /// Signed by the recovery key over the heads as the header has them.
    pub(crate) fn remove_by_recovery(
        &mut self,
        by: &Person,
        heads: &[EntryId],
        subject: Subject,
    ) -> EntryId {
        let mut heads = heads.to_vec();
        heads.sort_unstable();
        let bytes = encode(&remove_body(subject)).unwrap();
        let signed = sign_recovery(&RECOVERY, &recovery_statement(&self.community, &heads, &bytes));
        let recovery = Some(signed.0.into());
        self.add(by, &heads, &[], Body::Remove(Remove { subject, cut: vec![], recovery }))
    }

    pub(crate) fn grant_by_recovery(
        &mut self,
        by: &Person,
        heads: &[EntryId],
        to: MemberId,
        role: Role,
    ) -> EntryId {
        let mut heads = heads.to_vec();
        heads.sort_unstable();
        let bare = grant_body(to, role);
        let bytes = encode(&Body::Role(bare.clone())).unwrap();
        let signed = sign_recovery(&RECOVERY, &recovery_statement(&self.community, &heads, &bytes));
        let recovery = Some(signed.0.into());
        self.add(by, &heads, &[], Body::Role(GrantRole { recovery, ..bare }))
    }

    pub(crate) fn move_to(
        &mut self,
        by: &Person,
        heads: &[EntryId],
        proposal: Proposal,
    ) -> EntryId {
        self.add(by, heads, &[], Body::Motion(Motion { proposal }))
    }

    pub(crate) fn endorse(&mut self, by: &Person, heads: &[EntryId], motion: EntryId) -> EntryId {
        self.add(by, heads, &[motion], Body::Endorse)
    }

    pub(crate) fn enact(
        &mut self,
        by: &Person,
        heads: &[EntryId],
        motion: EntryId,
        endorsements: &[EntryId],
    ) -> EntryId {
        let enact = Enact { endorsements: raw(endorsements), cut: vec![] };
        self.add(by, heads, &[motion], Body::Enact(enact))
    }

    pub(crate) fn device_record(&self, who: &Person, of: MemberId) -> SignedDevice {
        let statement = DeviceStatement {
            community: self.community,
            member: of,
            device: who.device,
            sealing: sealing_key(who.device.as_bytes()[0]),
            nonce: [6; 16],
        };
        statement.sign(&who.secret)
    }

    pub(crate) fn add_device(
        &mut self,
        by: &Person,
        heads: &[EntryId],
        new: &Person,
        of: MemberId,
        vouch: bool,
    ) -> EntryId {
        let record = self.device_record(new, of).encode().into();
        let vouch = vouch.then(Vec::new);
        self.add(by, heads, &[], Body::AddDevice(AddDevice { record, vouch }))
    }

    pub(crate) fn readmit(
        &mut self,
        by: &Person,
        heads: &[EntryId],
        removal: EntryId,
        new: &Person,
        of: MemberId,
    ) -> EntryId {
        let record = self.device_record(new, of).encode().into();
        self.add(by, heads, &[removal], Body::Readmit(Readmit { record }))
    }

    pub(crate) fn restore(&mut self, by: &Person, heads: &[EntryId], of: EntryId) -> EntryId {
        self.add(by, heads, &[of], Body::Restore)
    }

    pub(crate) fn checkpoint(
        &mut self,
        by: &Person,
        heads: &[EntryId],
        seen: &[EntryId],
    ) -> EntryId {
        self.add(by, heads, &[], Body::Checkpoint(Checkpoint { seen: raw(seen) }))
    }

    pub(crate) fn accept(
        &mut self,
        by: &Person,
        heads: &[EntryId],
        removal: EntryId,
        more: &[EntryId],
    ) -> EntryId {
        self.add(by, heads, &[removal], Body::Accept(Accept { heads: raw(more) }))
    }

    pub(crate) fn fold(&self) -> Roster {
        Roster::fold(self.community, &self.entries)
    }
}

pub(crate) fn admit_body(record: &SignedJoinRecord) -> Body {
    Body::Admit(Admit { record: record.encode().into() })
}

pub(crate) fn join_record(who: &Person, community: CommunityId, ticket: EntryId) -> JoinRecord {
    JoinRecord {
        community,
        ticket,
        device: who.device,
        sealing: sealing_key(who.device.as_bytes()[0]),
        nonce: [4; 16],
    }
}

pub(crate) fn founder_record(who: &Person) -> SignedJoinRecord {
    join_record(who, CommunityId::ZERO, EntryId::ZERO).sign(&who.secret, None)
}
