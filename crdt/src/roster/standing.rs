//! Members, devices and roles, and who was what from where.
//!
//! The [`Ledger`] holds the effects of all *sound* entries, each with the node of the entry that had
//! it. Nothing in it is ever "the present state": everything is asked *in a view*, and counts there
//! when its entry is in the view. The same ledger therefore answers for now, for an entry's own past
//! (rule 5), for what is left of it when some entries are out (rule 8), and for the roster past of a
//! post (rule 11).
//!
//! **What takes away** (rule 9) is held beside what gives: a grant or an enrolment is *in force* in a
//! view unless the view holds a revocation that it does not descend from. So a removal wins against an
//! admission at the same time, and what is granted after it holds.

use std::collections::BTreeMap;

use super::epochs::Epochs;
use super::graph::{Node, View};
use super::motions::Motions;
use super::rank::{RankId, Ranks};
use super::tickets::Tickets;
use crate::id::{DeviceId, MemberId};
use crate::payload::{History, InvitePolicy, Role, paper_nonce};

/// What a genesis settles for good.
#[derive(Debug, Clone)]
pub(super) struct Founding {
    pub(super) rules: u16,
    pub(super) invite: InvitePolicy,
    pub(super) history: History,
    pub(super) quorum: (u8, u8),
    pub(super) recovery_key: [u8; 32],
}

/// A place in [`Ledger::members`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct MemberNo(usize);

/// A grant of a role.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grant {
    pub(super) node: Node,
    pub(super) role: Role,
    pub(super) rank: RankId,
}

/// How somebody came in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Joining {
    pub(super) node: Node,
    /// Who wrote the admission; none for founders.
    pub(super) admitted_by: Option<MemberNo>,
    /// Who issued the ticket; none for founders.
    pub(super) sponsor: Option<MemberNo>,
}

#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) id: MemberId,
    /// The nonce of the join record, which may commit to a device on paper.
    nonce: [u8; 16],
    /// Ascending.
    pub(super) joinings: Vec<Joining>,
    pub(super) devices: Vec<DeviceId>,
    grants: Vec<Grant>,
    pub(super) removals: Vec<Node>,
    demotions: Vec<(Node, Role)>,
    vouchings: Vec<Node>,
}

/// A sound entry that enrols a device.
#[derive(Debug, Clone, Copy)]
pub(super) struct Enrolment {
    pub(super) node: Node,
    pub(super) member: MemberNo,
    pub(super) sealing: [u8; 32],
    /// Rule 7: what the device does is no stronger than the vouching that brought it.
    pub(super) cap: Option<RankId>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Device {
    /// Ascending by node.
    pub(super) enrolments: Vec<Enrolment>,
    revocations: Vec<Node>,
}

/// What a revocation takes away (rule 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// Membership.
    Member(MemberNo),
    /// The roles above this one.
    Role(MemberNo, Role),
    /// One device.
    Device(MemberNo, DeviceId),
    /// All devices but this one, and the roles above member.
    Vouch(MemberNo, DeviceId),
}

impl Taken {
    pub(super) fn member(&self) -> MemberNo {
        match self {
            Taken::Member(m) | Taken::Role(m, _) | Taken::Device(m, _) | Taken::Vouch(m, _) => *m,
        }
    }
}

/// Who a device is in some view.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    pub(super) member: MemberNo,
    pub(super) role: Role,
    pub(super) enrolled_by: Node,
    pub(super) cap: Option<RankId>,
}

/// The effects of all sound entries so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Ledger {
    pub(super) founding: Option<Founding>,
    members: Vec<Member>,
    by_id: BTreeMap<MemberId, MemberNo>,
    devices: BTreeMap<DeviceId, Device>,
    /// What each sound revocation takes away.
    takes: BTreeMap<Node, Taken>,
    /// Who was ever granted the role of a steward.
    stewards: Vec<MemberNo>,
    pub(super) ranks: Ranks,
    pub(super) tickets: Tickets,
    pub(super) motions: Motions,
    pub(super) epochs: Epochs,
    pub(super) cuts: Cuts,
}

/// Rule 10: what may widen the cut of a removal.
#[derive(Debug, Clone, Default)]
pub(super) struct Cuts {
    /// Sound checkpoints that name heads of logs, and their authors: leads and stewards.
    pub(super) checkpoints: Vec<(Node, MemberNo)>,
    /// Sound accepts, and the revocations that they are about.
    pub(super) accepts: Vec<(Node, Node)>,
}

impl Ledger {
    pub(super) fn members(&self) -> impl Iterator<Item = (MemberNo, &Member)> {
        self.members.iter().enumerate().map(|(n, m)| (MemberNo(n), m))
    }

    #[allow(clippy::indexing_slicing)] // numbers are only made by `make_member`, and members never removed
    pub(super) fn member(&self, no: MemberNo) -> &Member {
        &self.members[no.0]
    }

    pub(super) fn member_no(&self, id: &MemberId) -> Option<MemberNo> {
        self.by_id.get(id).copied()
    }

    pub(super) fn device(&self, id: &DeviceId) -> Option<&Device> {
        self.devices.get(id)
    }

    /// Who `device` is in `view`; none unless it stands there: an enrolment of it is in force and
    /// its member has a role.
    ///
    /// Cost: some bits for each enrolment of the device and grant to its member.
    pub(super) fn seen(&self, view: &View<'_>, device: &DeviceId) -> Option<Seen> {
        let enrolled = self.enrolment(view, device)?;
        let role = self.role(view, enrolled.member)?;
        let Enrolment { node: enrolled_by, member, cap, .. } = enrolled;
        Some(Seen { member, role, enrolled_by, cap })
    }

    /// The smallest enrolment of a device that is in force in `view` (rules 9 and 13).
    pub(super) fn enrolment(&self, view: &View<'_>, device: &DeviceId) -> Option<Enrolment> {
        let known = self.devices.get(device)?;
        let in_force = |e: &&Enrolment| {
            let member = self.member(e.member);
            let gone = |r: &Node| view.has_after(*r, e.node);
            view.has(e.node)
                && !member.removals.iter().any(gone)
                && !member.vouchings.iter().any(gone)
                && !known.revocations.iter().any(gone)
        };
        known.enrolments.iter().find(in_force).copied()
    }

    /// Rule 13: the devices of a member in `view`, the most senior first: the one on paper, then by
    /// enrolment.
    pub(super) fn devices_of(
        &self,
        view: &View<'_>,
        member: MemberNo,
    ) -> Vec<(DeviceId, Enrolment, bool)> {
        let known = self.member(member);
        let mut devices: Vec<(DeviceId, Enrolment, bool)> = known
            .devices
            .iter()
            .filter_map(|d| Some((*d, self.enrolment(view, d).filter(|e| e.member == member)?)))
            .map(|(d, e)| (d, e, self.is_paper(member, &d)))
            .collect();
        devices.sort_by_key(|(_, e, paper)| (!paper, e.node));
        devices
    }

    /// Whether the member's join record committed to this device as the one on paper.
    pub(super) fn is_paper(&self, member: MemberNo, device: &DeviceId) -> bool {
        paper_nonce(device) == self.member(member).nonce
    }

    /// The role of a member in `view`: the greatest one that is in force there, as far as demotions
    /// leave it; none for who is no member there (rules 5 and 9).
    pub(super) fn role(&self, view: &View<'_>, member: MemberNo) -> Option<Role> {
        let member = self.member(member);
        member.grants.iter().filter_map(|g| in_force(view, member, g)).max()
    }

    /// Rule 4: the rank of the grant of the present role; several: the most senior.
    pub(super) fn rank(&self, view: &View<'_>, member: MemberNo) -> Option<RankId> {
        let role = self.role(view, member)?;
        let member = self.member(member);
        member
            .grants
            .iter()
            .filter(|g| in_force(view, member, g) == Some(role))
            .map(|g| g.rank)
            .min_by(|a, b| self.ranks.compare(*a, *b))
    }

    /// Whether one member is senior to another in `view`.
    pub(super) fn is_senior(&self, view: &View<'_>, one: MemberNo, other: MemberNo) -> bool {
        match (self.rank(view, one), self.rank(view, other)) {
            (Some(one), Some(other)) => self.ranks.compare(one, other).is_lt(),
            _ => false,
        }
    }

    /// The stewards in `view`.
    pub(super) fn stewards<'a>(
        &'a self,
        view: &'a View<'_>,
    ) -> impl Iterator<Item = MemberNo> + 'a {
        let is = |m: &MemberNo| self.role(view, *m) == Some(Role::Steward);
        self.stewards.iter().copied().filter(is)
    }

    /// Rule 3: whether what is in `wide` enrols the device for somebody else, in force or not.
    pub(super) fn is_taken(
        &self,
        wide: impl Fn(Node) -> bool,
        device: &DeviceId,
        id: &MemberId,
    ) -> bool {
        self.devices.get(device).is_some_and(|d| {
            d.enrolments.iter().any(|e| self.member(e.member).id != *id && wide(e.node))
        })
    }

    /// The member with this id, made if there is none.
    pub(super) fn make_member(&mut self, id: MemberId, nonce: [u8; 16]) -> MemberNo {
        let next = MemberNo(self.members.len());
        let no = *self.by_id.entry(id).or_insert(next);
        if no == next {
            self.members.push(Member {
                id,
                nonce,
                joinings: Vec::new(),
                devices: Vec::new(),
                grants: Vec::new(),
                removals: Vec::new(),
                demotions: Vec::new(),
                vouchings: Vec::new(),
            });
        }
        no
    }

    /// What the revocation at `node` takes away; none if there is no sound one.
    pub(super) fn takes(&self, node: Node) -> Option<Taken> {
        self.takes.get(&node).copied()
    }

    fn member_mut(&mut self, no: MemberNo) -> Option<&mut Member> {
        self.members.get_mut(no.0)
    }

    pub(super) fn join(&mut self, no: MemberNo, joining: Joining) {
        if let Some(member) = self.member_mut(no) {
            member.joinings.push(joining);
        }
    }

    pub(super) fn enrol(&mut self, device: DeviceId, enrolment: Enrolment) {
        self.devices.entry(device).or_default().enrolments.push(enrolment);
        if let Some(member) = self.member_mut(enrolment.member)
            && !member.devices.contains(&device)
        {
            member.devices.push(device);
        }
    }

    pub(super) fn grant(&mut self, no: MemberNo, grant: Grant) {
        if grant.role == Role::Steward && !self.stewards.contains(&no) {
            self.stewards.push(no);
        }
        if let Some(member) = self.member_mut(no) {
            member.grants.push(grant);
        }
    }

    pub(super) fn revoke(&mut self, node: Node, taken: Taken) {
        self.takes.insert(node, taken);
        if let Taken::Device(_, device) = &taken {
            self.devices.entry(*device).or_default().revocations.push(node);
        }
        let Some(member) = self.member_mut(taken.member()) else { return };
        match taken {
            Taken::Member(_) => member.removals.push(node),
            Taken::Role(_, to) => member.demotions.push((node, to)),
            Taken::Vouch(..) => {
                member.vouchings.push(node);
                member.demotions.push((node, Role::Member));
            }
            Taken::Device(..) => {}
        }
    }
}

/// Rule 9: the role that a grant gives in `view`, if any.
fn in_force(view: &View<'_>, member: &Member, grant: &Grant) -> Option<Role> {
    if !view.has(grant.node) || member.removals.iter().any(|r| view.has_after(*r, grant.node)) {
        return None;
    }
    let caps = member.demotions.iter().filter(|(r, _)| view.has_after(*r, grant.node));
    Some(caps.map(|(_, to)| *to).fold(grant.role, Role::min))
}
