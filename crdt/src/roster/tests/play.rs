//! Acts of a few people for histories that are made by machine, and the comparison of the fold with
//! the oracle over one history.

use std::collections::BTreeSet;

use super::super::testing::*;
use super::super::*;
use super::oracle::{Oracle, Past};
use crate::payload::{Checkpoint, Proposal, Role, Subject};

/// What somebody does. Numbers are people; ids are earlier entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    Remove(u16),
    Demote(u16, Role),
    Grant(u16, Role),
    Admit(u16),
    MoveToRemove(u16),
    MoveToGrant(u16),
    Endorse(EntryId),
    Enact(EntryId),
    AddDevice(u16),
    Vouch(u16),
    RevokeDevice(u16),
    Readmit(EntryId, u16),
    Restore(EntryId),
    Accept(EntryId),
    Checkpoint,
    Recover(u16),
}

/// People whose numbers start here are second devices of person (n - `SECOND`).
pub(super) const SECOND: u16 = 100;
/// Devices that vouching brings.
const THIRD: u16 = 200;
/// Devices that readmission brings.
const FOURTH: u16 = 300;

/// A community at the start of the histories.
#[derive(Clone)]
pub(super) struct Stage {
    pub(super) world: World,
    pub(super) founders: u16,
    /// Tickets of one use each, with their numbers; the last is still unused.
    pub(super) tickets: Vec<(EntryId, u16)>,
    pub(super) tip: EntryId,
}

impl Stage {
    /// `founders` found it, and people up to `members` come in; `role` is theirs.
    pub(super) fn new(founders: u16, members: u16, role: Role) -> Stage {
        let mut world = World::new(founders, InvitePolicy::Members);
        let mut tip = world.genesis;
        let mut tickets = Vec::new();
        let count = members - founders + 1;
        for n in 0..count {
            // The last ticket is left over, with one use.
            let granted = if n + 1 == count { Role::Member } else { role };
            tip = world.add(&person(0), &[tip], &[], ticket_body(n, granted, 1));
            tickets.push((tip, n));
            if n + 1 < count {
                tip = world.admit(&person(0), &[tip], n, tip, &person(founders + n));
            }
        }
        Stage { world, founders, tickets, tip }
    }

    pub(super) fn member(&self, n: u16) -> MemberId {
        if n < self.founders {
            return self.world.founder(n);
        }
        let last = self.tickets.len() - 1;
        let ticket = self.tickets[usize::from(n - self.founders).min(last)].0;
        self.world.member_id(&person(n), ticket)
    }

    /// The entry that does it. `past` is the past of `heads` with them.
    pub(super) fn entry(
        &self,
        maker: &mut World,
        author: u16,
        heads: &[EntryId],
        past: &[RosterEntry],
        act: Act,
    ) -> RosterEntry {
        let of = |n: u16| self.member(n);
        let by = &person(author);
        match act {
            Act::Remove(n) => maker.remove(by, heads, of_member(of(n))),
            Act::Demote(n, to) => maker.remove(by, heads, of_role(of(n), to)),
            Act::Grant(n, role) => maker.grant(by, heads, of(n), role),
            Act::Admit(n) => {
                let (ticket, number) = self.tickets[self.tickets.len() - 1];
                maker.admit(by, heads, number, ticket, &person(n))
            }
            Act::MoveToRemove(n) => maker.move_to(
                by,
                heads,
                Proposal::Remove(Subject::Member((*of(n).as_bytes()).into())),
            ),
            Act::MoveToGrant(n) => {
                maker.move_to(by, heads, Proposal::Grant(grant_body(of(n), Role::Steward)))
            }
            Act::Endorse(motion) => maker.endorse(by, heads, motion),
            Act::Enact(motion) => {
                let mut listed: Vec<EntryId> = past
                    .iter()
                    .filter(|e| e.body == Body::Endorse && e.header.refs() == [motion])
                    .map(|e| e.id)
                    .collect();
                listed.push(motion);
                listed.sort_unstable();
                maker.enact(by, heads, motion, &listed)
            }
            Act::AddDevice(n) => maker.add_device(by, heads, &person(SECOND + n), of(n), false),
            Act::Vouch(n) => maker.add_device(by, heads, &person(THIRD + n), of(n), true),
            Act::RevokeDevice(n) => maker.remove(by, heads, of_device(&person(n))),
            Act::Readmit(removal, n) => {
                maker.readmit(by, heads, removal, &person(FOURTH + n), of(n))
            }
            Act::Restore(admit) => maker.restore(by, heads, admit),
            Act::Accept(removal) => maker.accept(by, heads, removal, &[EntryId::new([7; 32])]),
            Act::Checkpoint => maker.checkpoint(by, heads, &[EntryId::new([8; 32])]),
            Act::Recover(n) => maker.remove_by_recovery(by, heads, of_member(of(n))),
        };
        maker.entries.pop().unwrap()
    }
}

/// Everything in which the fold and the oracle differ, in words; empty: they agree.
pub(super) fn differences(
    r: &Roster,
    community: CommunityId,
    entries: &[RosterEntry],
) -> Vec<String> {
    let o = Oracle::new(community, entries);
    let mut out = Vec::new();
    let mut devices: BTreeSet<DeviceId> = BTreeSet::new();
    for n in o.all_enrolments(&o.supported) {
        devices.insert(n.device);
    }
    for e in entries {
        devices.insert(e.header.log.device);
        let counts = o.supported.contains(&e.id);
        let verdict = r.verdict(&e.id).unwrap();
        if verdict.counts() != counts {
            let sound = o.whole(&e.id) && o.sound(&e.id).is_ok();
            out.push(format!("{:?} {:?}: oracle {counts} (sound: {sound})", e.id, verdict));
        }
        if matches!(verdict, Verdict::Waiting { .. }) == o.whole(&e.id) {
            out.push(format!("{:?} waits on one side", e.id));
        }
        if o.whole(&e.id) && o.sound(&e.id).is_ok() != r.is_sound(&e.id) {
            out.push(format!("{:?} is sound: oracle {:?}", e.id, o.sound(&e.id)));
        }
    }
    let now: &Past = &o.supported;
    let mut want: Vec<_> = o
        .all_members()
        .into_iter()
        .filter_map(|m| o.role(now, &m).map(|role| (o.rank(now, &m), m, role)))
        .map(|(rank, m, role)| {
            let devices: BTreeSet<DeviceId> = o.devices(now, &m).into_keys().collect();
            (rank, m, role, devices)
        })
        .collect();
    want.sort();
    let want: Vec<_> = want.into_iter().map(|(_, m, role, devices)| (m, role, devices)).collect();
    let got: Vec<_> = r
        .members()
        .filter(|m| !m.pending)
        .map(|m| (m.id, m.role, m.devices.iter().map(|d| d.device).collect::<BTreeSet<_>>()))
        .collect();
    if got != want {
        out.push(format!("members {got:?}, oracle {want:?}"));
    }
    let pending: BTreeSet<MemberId> = r.members().filter(|m| m.pending).map(|m| m.id).collect();
    if pending != o.pending {
        out.push(format!("pending {pending:?}, oracle {:?}", o.pending));
    }
    for d in &devices {
        let got = r.standing(d).map(|s| (s.member, s.role, s.enrolled_by));
        let want = o.standing(now, d);
        if got != want {
            out.push(format!("device {d:?} {got:?}, oracle {want:?}"));
        }
        let mut got: Vec<_> = r
            .cuts(d)
            .iter()
            .map(|c| (c.by, c.left, c.heads.iter().copied().collect::<BTreeSet<_>>()))
            .collect();
        got.sort();
        let want: Vec<_> = o.cuts(d).into_iter().map(|c| (c.by, c.left, c.heads)).collect();
        if got != want {
            out.push(format!("cuts of {d:?} {got:?}, oracle {want:?}"));
        }
    }
    out
}

/// All that a roster says and would say next, for comparing two of them.
pub(super) fn all_of(r: &Roster) -> impl PartialEq + std::fmt::Debug + use<> {
    let devices: BTreeSet<DeviceId> = r.entries.iter().map(|e| e.header.log.device).collect();
    let next = |d: &DeviceId| r.would_count(d, &[], &Body::Checkpoint(Checkpoint::default()));
    (
        r.hash(),
        (r.members().cloned().collect::<Vec<_>>(), r.former().cloned().collect::<Vec<_>>()),
        r.members().map(|m| r.member(&m.id).cloned()).collect::<Vec<_>>(),
        r.tickets().cloned().collect::<Vec<_>>(),
        (r.epochs().cloned().collect::<Vec<_>>(), r.struck_epochs()),
        r.motions().cloned().collect::<Vec<_>>(),
        r.revocations().cloned().collect::<Vec<_>>(),
        r.cuts.clone(),
        r.verdicts().map(|(i, v)| (*i, v.clone(), r.is_sound(i))).collect::<Vec<_>>(),
        (r.frontier().to_vec(), r.missing().to_vec()),
        devices.iter().map(|d| (r.standing(d), next(d))).collect::<Vec<_>>(),
        devices.iter().map(|d| r.standing_in(r.frontier(), d)).collect::<Vec<_>>(),
    )
}
