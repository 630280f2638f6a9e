//! Costs of the roster: `cargo bench -p lanai-crdt --bench roster`.
//!
//! The history is ten thousand entries: a handful of stewards, tickets, thousands of admissions by
//! whoever is about, forks that join again, and forty removals, each of which strikes something that the
//! removed member wrote meanwhile. The goals, on one ordinary laptop: the replay in 200 ms, one more
//! entry at the tip in 1 ms. Signatures of join records were checked before, as they are in a store.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use divan::{Bencher, black_box};
use lanai_crdt::clock::Hlc;
use lanai_crdt::entry::{DeviceSecret, Header, HeaderTail, payload_hash};
use lanai_crdt::id::{CommunityId, EntryId, EpochRef, LogId, LogNumber, MemberId};
use lanai_crdt::payload::{
    Admit, Body, Checkpoint, Genesis, GrantRole, InvitePolicy, JoinRecord, Remove, Role,
    SignedJoinRecord, Subject, Ticket, encode,
};
use lanai_crdt::roster::{Roster, RosterEntry};
use lanai_crdt::seal::SealingSecret;

const ENTRIES: usize = 10_000;

fn main() {
    divan::main();
}

fn secret(n: usize) -> DeviceSecret {
    let mut seed = [0x51; 32];
    seed[..8].copy_from_slice(&(n as u64).to_be_bytes());
    DeviceSecret::from_bytes(&seed)
}

struct Village {
    community: CommunityId,
    entries: Vec<RosterEntry>,
    written: u64,
    sealing: [u8; 32],
}

impl Village {
    fn new(founders: usize) -> Village {
        let sealing = *SealingSecret::from_bytes(&[7; 32]).public().as_bytes();
        let mut v =
            Village { community: CommunityId::ZERO, entries: Vec::new(), written: 0, sealing };
        let records = (0..founders)
            .map(|n| {
                let record = v.record(&secret(n), EntryId::ZERO);
                record.sign(&secret(n), None).encode().into()
            })
            .collect();
        let genesis = Body::Genesis(Genesis {
            rules: 1,
            founders: records,
            recovery_key: [5; 32].into(),
            quorum_num: 2,
            quorum_den: 3,
            invite: InvitePolicy::Members,
            history: None,
        });
        let id = v.add(&secret(0), &[], &[], genesis);
        v.community = id.as_community();
        v
    }

    fn record(&self, who: &DeviceSecret, ticket: EntryId) -> JoinRecord {
        let (community, sealing) = (self.community, self.sealing);
        JoinRecord { community, ticket, device: who.device(), sealing, nonce: [4; 16] }
    }

    fn make(
        &mut self,
        by: &DeviceSecret,
        heads: &[EntryId],
        refs: &[EntryId],
        body: Body,
    ) -> RosterEntry {
        self.written += 1;
        let bytes = encode(&body).unwrap();
        let mut heads = heads.to_vec();
        heads.sort_unstable();
        let header = Header {
            class: 0,
            community: self.community,
            log: LogId { device: by.device(), number: LogNumber(self.written.to_be_bytes()) },
            seq: 0,
            prev: EntryId::ZERO,
            time: Hlc::from_millis(1_800_000_000_000),
            epoch: EpochRef::CLEAR,
            payload_hash: payload_hash(&bytes),
            payload_len: u32::try_from(bytes.len()).unwrap(),
            tail: HeaderTail::V1 { heads, refs: refs.to_vec() },
        };
        RosterEntry::new(&by.sign(&header), body).unwrap().trust_join_record()
    }

    fn add(
        &mut self,
        by: &DeviceSecret,
        heads: &[EntryId],
        refs: &[EntryId],
        body: Body,
    ) -> EntryId {
        let entry = self.make(by, heads, refs, body);
        let id = entry.id;
        self.entries.push(entry);
        id
    }

    fn ticket(&mut self, by: &DeviceSecret, head: EntryId) -> EntryId {
        let key = (*secret(1_000_000).device().as_bytes()).into();
        let ticket = Ticket { key, role: Role::Member, uses: 200, expires: None };
        self.add(by, &[head], &[], Body::Ticket(ticket))
    }

    fn newcomer(&self, who: &DeviceSecret, ticket: EntryId) -> (SignedJoinRecord, MemberId) {
        let record = self.record(who, ticket);
        let id = record.member();
        (record.sign(who, Some(&secret(1_000_000).to_bytes())), id)
    }
}

fn remove(member: MemberId) -> Body {
    let subject = Subject::Member((*member.as_bytes()).into());
    Body::Remove(Remove { subject, cut: vec![], recovery: None })
}

fn village() -> (Village, EntryId, EntryId) {
    let mut v = Village::new(5);
    let mut head = v.entries[0].id;
    let mut ticket = head;
    let mut members: Vec<(usize, MemberId)> = Vec::new();
    let (mut next, mut used) = (5, 0);
    while v.entries.len() < ENTRIES {
        let round = v.entries.len();
        if used == 0 {
            ticket = v.ticket(&secret(round % 5), head);
            head = ticket;
        }
        used = (used + 2) % 150;
        // Two admissions at once, and who comes next sees both.
        let mut heads = Vec::new();
        for _ in 0..2 {
            let who = secret(next);
            let by = match members.len() {
                0..20 => secret(round % 5),
                n => secret(members[round % n].0),
            };
            let (record, id) = v.newcomer(&who, ticket);
            let body = Body::Admit(Admit { record: record.encode().into() });
            heads.push(v.add(&by, &[head], &[ticket], body));
            members.push((next, id));
            next += 1;
        }
        head = v.add(&secret(round % 5), &heads, &[], Body::Checkpoint(Checkpoint::default()));
        if round % 250 < 3 && members.len() > 40 {
            // Somebody is removed who invites somebody meanwhile.
            let (n, id) = members.swap_remove(round % members.len());
            let gone = v.add(&secret(round % 5), &[head], &[], remove(id));
            let late = v.ticket(&secret(n), head);
            let join = Body::Checkpoint(Checkpoint::default());
            head = v.add(&secret(0), &[gone, late], &[], join);
        }
    }
    (v, head, ticket)
}

#[divan::bench(sample_count = 20)]
fn replay_ten_thousand(bencher: Bencher) {
    let (v, ..) = village();
    let r = Roster::fold(v.community, &v.entries);
    assert!(r.revocations().filter(|r| r.kept).count() >= 30);
    assert!(v.entries.iter().filter(|e| r.verdict(&e.id).unwrap().counts()).count() > 9_900);
    bencher.bench_local(|| black_box(Roster::fold(v.community, &v.entries)));
}

fn one_more(bencher: Bencher, make: impl Fn(&mut Village, EntryId, EntryId) -> RosterEntry) {
    let (mut v, head, ticket) = village();
    let roster = Roster::fold(v.community, &v.entries);
    let entry = [make(&mut v, head, ticket)];
    bencher.with_inputs(|| roster.clone()).bench_local_values(|mut roster| {
        roster.grow(&entry);
        assert!(roster.verdict(&entry[0].id).unwrap().counts());
        roster
    });
}

#[divan::bench(sample_count = 50)]
fn one_more_admission(bencher: Bencher) {
    one_more(bencher, |v, head, ticket| {
        let (record, _) = v.newcomer(&secret(500_000), ticket);
        let body = Body::Admit(Admit { record: record.encode().into() });
        v.make(&secret(0), &[head], &[ticket], body)
    });
}

#[divan::bench(sample_count = 50)]
fn one_more_grant(bencher: Bencher) {
    one_more(bencher, |v, head, _| {
        let member = v.record(&secret(1), EntryId::ZERO);
        let member = JoinRecord { community: CommunityId::ZERO, ..member }.member();
        let member = (*member.as_bytes()).into();
        let grant = GrantRole { member, role: Role::Lead, recovery: None };
        v.make(&secret(0), &[head], &[], Body::Role(grant))
    });
}

#[divan::bench(sample_count = 50)]
fn one_more_removal(bencher: Bencher) {
    one_more(bencher, |v, head, _| {
        let member = v.record(&secret(4), EntryId::ZERO);
        let member = JoinRecord { community: CommunityId::ZERO, ..member }.member();
        v.make(&secret(0), &[head], &[], remove(member))
    });
}

/// Once after each change, when somebody asks.
#[divan::bench(sample_count = 20)]
fn hash_of_ten_thousand(bencher: Bencher) {
    let (v, ..) = village();
    bencher
        .with_inputs(|| Roster::fold(v.community, &v.entries))
        .bench_local_values(|roster| black_box(roster.hash()));
}
