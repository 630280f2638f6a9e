//! Members, devices and roles, as far as they are settled, and who was what from where.
//!
//! The [`Ledger`] holds the effects of supported entries, each with the node of the entry that had
//! it. Nothing in it is ever "the present state": everything is asked *in a view*, and counts there
//! when its entry is in the view. The same ledger therefore answers for now, for an entry's own past
//! (rule 5) and for the roster past of a post (rule 11).
//!
//! A later version that knows revocations keeps them here too, with their nodes, and lets
//! [`Ledger::holds`] ask whether one in the view takes the effect away.

use std::collections::BTreeMap;

use super::epochs::Epochs;
use super::graph::{Node, NodeSet, View};
use super::rank::{RankId, Ranks};
use super::tickets::Tickets;
use crate::id::{DeviceId, MemberId};
use crate::payload::{InvitePolicy, Role};

/// What a genesis settles for good.
#[derive(Debug, Clone)]
pub(super) struct Founding {
    pub(super) rules: u16,
    pub(super) invite: InvitePolicy,
    pub(super) quorum: (u8, u8),
    pub(super) recovery_key: [u8; 32],
}

/// A place in [`Ledger::members`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct MemberNo(usize);

/// A supported grant of a role: a founding, an admission or a role entry.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grant {
    pub(super) node: Node,
    pub(super) role: Role,
    pub(super) rank: RankId,
}

#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) id: MemberId,
    /// The first supported admission, or the genesis.
    pub(super) admitted: Node,
    /// Who wrote that admission; none for founders.
    pub(super) admitted_by: Option<MemberNo>,
    /// Who issued the ticket; none for founders.
    pub(super) sponsor: Option<MemberNo>,
    pub(super) devices: Vec<DeviceId>,
    grants: Vec<Grant>,
}

#[derive(Debug, Clone)]
pub(super) struct Device {
    pub(super) member: MemberNo,
    pub(super) sealing: [u8; 32],
    /// Supported entries that enrol it, ascending.
    pub(super) enrolments: Vec<Node>,
}

/// Who a device is in some view.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    pub(super) member: MemberNo,
    pub(super) role: Role,
    pub(super) enrolled_by: Node,
}

/// The effects of all supported entries so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Ledger {
    pub(super) founding: Option<Founding>,
    members: Vec<Member>,
    by_id: BTreeMap<MemberId, MemberNo>,
    devices: BTreeMap<DeviceId, Device>,
    pub(super) ranks: Ranks,
    pub(super) tickets: Tickets,
    pub(super) epochs: Epochs,
}

impl Ledger {
    /// Whether an effect of the entry at `node` holds in `view`.
    pub(super) fn holds(&self, view: &View<'_>, node: Node) -> bool {
        view.has(node)
    }

    pub(super) fn members(&self) -> impl Iterator<Item = (MemberNo, &Member)> {
        self.members.iter().enumerate().map(|(n, m)| (MemberNo(n), m))
    }

    #[allow(clippy::indexing_slicing)] // numbers are only made by `enrol`, and members never removed
    pub(super) fn member(&self, no: MemberNo) -> &Member {
        &self.members[no.0]
    }

    pub(super) fn member_no(&self, id: &MemberId) -> Option<MemberNo> {
        self.by_id.get(id).copied()
    }

    pub(super) fn device(&self, id: &DeviceId) -> Option<&Device> {
        self.devices.get(id)
    }

    /// Who `device` is in `view`; none unless a supported entry in the view enrols it.
    ///
    /// Cost: one bit for each concurrent enrolment of the device and grant to its member.
    pub(super) fn seen(&self, view: &View<'_>, device: &DeviceId) -> Option<Seen> {
        let known = self.devices.get(device)?;
        let enrolled_by = known.enrolments.iter().copied().find(|n| self.holds(view, *n))?;
        let role = self.role(view, known.member)?;
        Some(Seen { member: known.member, role, enrolled_by })
    }

    /// The role of a member in `view`: the greatest one granted there; none for who is no member
    /// there.
    pub(super) fn role(&self, view: &View<'_>, member: MemberNo) -> Option<Role> {
        self.grants(view, member).map(|g| g.role).max()
    }

    /// Rule 4: the rank of the supported grant of the present role; several: the most senior.
    pub(super) fn rank(&self, view: &View<'_>, member: MemberNo) -> Option<RankId> {
        let role = self.role(view, member)?;
        self.grants(view, member)
            .filter(|g| g.role == role)
            .map(|g| g.rank)
            .min_by(|a, b| self.ranks.compare(*a, *b))
    }

    fn grants<'a>(
        &'a self,
        view: &'a View<'_>,
        member: MemberNo,
    ) -> impl Iterator<Item = &'a Grant> {
        self.member(member).grants.iter().filter(|g| self.holds(view, g.node))
    }

    /// Enrols a device for a member, who is made if there is none of this id.
    pub(super) fn enrol(&mut self, past: &NodeSet, newcomer: Enrolment) -> MemberNo {
        let Enrolment { id, device, sealing, node, admitted_by, sponsor } = newcomer;
        let no = match self.by_id.get(&id) {
            Some(no) => *no,
            None => {
                let no = MemberNo(self.members.len());
                let (devices, grants) = (Vec::new(), Vec::new());
                self.members.push(Member {
                    id,
                    admitted: node,
                    admitted_by,
                    sponsor,
                    devices,
                    grants,
                });
                self.by_id.insert(id, no);
                no
            }
        };
        match self.devices.get_mut(&device) {
            // An entry that has an earlier enrolment in its past adds nothing to it.
            Some(known) if known.enrolments.iter().any(|n| past.has(*n)) => {}
            Some(known) => known.enrolments.push(node),
            None => {
                self.devices.insert(device, Device { member: no, sealing, enrolments: vec![node] });
                if let Some(member) = self.members.get_mut(no.0) {
                    member.devices.push(device);
                }
            }
        }
        no
    }

    /// Adds a grant, unless one in its past already gives as much and as senior.
    pub(super) fn grant(&mut self, past: &NodeSet, member: MemberNo, grant: Grant) {
        let view = View::Past(past);
        let idle = self.grants(&view, member).any(|g| {
            g.role > grant.role
                || g.role == grant.role && self.ranks.compare(g.rank, grant.rank).is_le()
        });
        if !idle && let Some(member) = self.members.get_mut(member.0) {
            member.grants.push(grant);
        }
    }
}

/// A device that is enrolled.
pub(super) struct Enrolment {
    pub(super) id: MemberId,
    pub(super) device: DeviceId,
    pub(super) sealing: [u8; 32],
    pub(super) node: Node,
    pub(super) admitted_by: Option<MemberNo>,
    pub(super) sponsor: Option<MemberNo>,
}
