//! Who is what in a set of supported entries.

use super::{Effect, Key, Oracle, Past, RankOf};
use crate::id::{DeviceId, EntryId, MemberId};
use crate::payload::{Body, Genesis, JoinRecord, Proposal, Role, paper_nonce};

/// An entry that enrols a device of a member.
#[derive(Debug, Clone)]
pub(in super::super) struct Enrolment {
    pub(in super::super) entry: EntryId,
    pub(in super::super) member: MemberId,
    pub(in super::super) device: DeviceId,
}

impl Oracle<'_> {
    pub(super) fn genesis(&self, view: &Past) -> Option<&Genesis> {
        match &self.entries.get(&self.community.genesis())?.body {
            Body::Genesis(g) if view.contains(&self.community.genesis()) => Some(g),
            _ => None,
        }
    }

    /// The join record of an admission, or of the one that a restoring names.
    pub(super) fn join_record(&self, id: &EntryId) -> Option<JoinRecord> {
        let e = self.entries.get(id)?;
        match &e.body {
            Body::Admit(a) => Some(a.signed_record().ok()?.record),
            Body::Restore => self.join_record(e.header.refs().first()?),
            _ => None,
        }
    }

    /// All enrolments in a view, in force or not.
    pub(in super::super) fn all_enrolments(&self, view: &Past) -> Vec<Enrolment> {
        let mut all = Vec::new();
        for id in view {
            let mut push = |member, device| all.push(Enrolment { entry: *id, member, device });
            match &self.entries[id].body {
                Body::Genesis(g) => g
                    .founder_records()
                    .unwrap()
                    .iter()
                    .for_each(|r| push(r.record.member(), r.record.device)),
                Body::Admit(_) | Body::Restore => {
                    let r = self.join_record(id).unwrap();
                    push(r.member(), r.device);
                }
                Body::AddDevice(a) => {
                    let s = a.signed_record().unwrap().statement;
                    push(s.member, s.device);
                }
                Body::Readmit(a) => {
                    let s = a.signed_record().unwrap().statement;
                    push(s.member, s.device);
                }
                _ => {}
            }
        }
        all
    }

    /// Enrolments that nothing in the view takes back.
    fn in_force(&self, view: &Past) -> Vec<Enrolment> {
        let mut all = self.all_enrolments(view);
        all.retain(|n| {
            !view.iter().any(|r| {
                *r != n.entry
                    && !self.pasts[&n.entry].contains(r)
                    && match self.effect(r) {
                        Some(Effect::Member(m) | Effect::Vouch(m, _)) => m == n.member,
                        Some(Effect::Device(d)) => d == n.device,
                        Some(Effect::Role(..)) | None => false,
                    }
            })
        });
        all
    }

    /// Devices of a member that stand, with the smallest enrolment of each.
    pub(in super::super) fn devices(
        &self,
        view: &Past,
        member: &MemberId,
    ) -> std::collections::BTreeMap<DeviceId, Key> {
        let mut devices = std::collections::BTreeMap::new();
        if self.role(view, member).is_some() {
            for n in self.in_force(view).into_iter().filter(|n| n.member == *member) {
                let key = self.key(&n.entry);
                let least = devices.entry(n.device).or_insert(key);
                *least = key.min(*least);
            }
        }
        devices
    }

    pub(super) fn enrolled_by(
        &self,
        view: &Past,
        device: &DeviceId,
        member: &MemberId,
    ) -> Option<EntryId> {
        self.devices(view, member).get(device).map(|(_, id)| *id)
    }

    /// Whose device it is, with which role, and by which entry.
    pub(in super::super) fn standing(
        &self,
        view: &Past,
        device: &DeviceId,
    ) -> Option<(MemberId, Role, EntryId)> {
        self.in_force(view)
            .into_iter()
            .filter(|n| n.device == *device)
            .filter_map(|n| Some((self.key(&n.entry), n.member, self.role(view, &n.member)?)))
            .min()
            .map(|((_, entry), member, role)| (member, role, entry))
    }

    pub(super) fn ticket_role(&self, admit: &EntryId) -> Option<Role> {
        match &self.entries.get(&self.join_record(admit)?.ticket)?.body {
            Body::Ticket(t) => Some(t.role),
            _ => None,
        }
    }

    fn grants(&self, view: &Past, member: &MemberId) -> Vec<(EntryId, Role)> {
        let mut grants: Vec<(EntryId, Role)> = Vec::new();
        for id in view {
            let e = self.entries[id];
            match &e.body {
                Body::Genesis(g)
                    if g.founder_records()
                        .unwrap()
                        .iter()
                        .any(|r| r.record.member() == *member) =>
                {
                    grants.push((*id, Role::Steward));
                }
                Body::Admit(_) | Body::Restore
                    if self.join_record(id).unwrap().member() == *member =>
                {
                    grants.push((*id, self.ticket_role(id).unwrap()));
                }
                Body::Role(g) if *g.member == *member.as_bytes() => grants.push((*id, g.role)),
                Body::Enact(_) => {
                    let Body::Motion(m) = &self.entries[&e.header.refs()[0]].body else { continue };
                    if let Proposal::Grant(g) = &m.proposal
                        && *g.member == *member.as_bytes()
                    {
                        grants.push((*id, g.role));
                    }
                }
                Body::Readmit(a) if a.signed_record().unwrap().statement.member == *member => {
                    grants.push((*id, Role::Member));
                }
                _ => {}
            }
        }
        let mut good = Vec::new();
        for (g, role) in grants {
            let mut left = Some(role);
            for r in view.iter().filter(|r| **r != g && !self.pasts[&g].contains(r)) {
                match self.effect(r) {
                    Some(Effect::Member(m)) if m == *member => left = None,
                    Some(Effect::Role(m, to)) if m == *member => left = left.map(|l| l.min(to)),
                    Some(Effect::Vouch(m, _)) if m == *member => {
                        left = left.map(|l| l.min(Role::Member));
                    }
                    _ => {}
                }
            }
            good.extend(left.map(|l| (g, l)));
        }
        good
    }

    pub(in super::super) fn role(&self, view: &Past, member: &MemberId) -> Option<Role> {
        self.grants(view, member).into_iter().map(|(_, role)| role).max()
    }

    pub(in super::super) fn rank(&self, view: &Past, member: &MemberId) -> RankOf {
        let role = self.role(view, member).unwrap();
        let grants = self.grants(view, member).into_iter().filter(|(_, r)| *r == role);
        grants.map(|(id, _)| self.rank_of_grant(&id, member)).min().unwrap()
    }

    fn rank_of_grant(&self, grant: &EntryId, member: &MemberId) -> RankOf {
        let e = self.entries[grant];
        let author = |id: &EntryId| self.sound(id).unwrap().author;
        let view = if e.header.is_genesis() { Past::new() } else { self.own_view(grant) };
        let sponsor = match &e.body {
            Body::Genesis(g) => {
                let records = g.founder_records().unwrap();
                let place = records.iter().position(|r| r.record.member() == *member).unwrap();
                return vec![(place as u64, EntryId::ZERO)];
            }
            Body::Admit(_) => author(&self.join_record(grant).unwrap().ticket),
            Body::Enact(_) => {
                let mover = author(&e.header.refs()[0]);
                if self.role(&view, &mover).is_some() { mover } else { author(grant) }
            }
            _ => author(grant),
        };
        let mut rank = self.rank(&view, &sponsor);
        rank.push(self.key(grant));
        rank
    }

    /// Everybody who ever is enrolled by these entries.
    pub(in super::super) fn all_members(&self) -> std::collections::BTreeSet<MemberId> {
        let ever = self.all_enrolments(&self.supported);
        ever.into_iter().map(|n| n.member).collect()
    }

    /// Seniority of a member's device: the one on paper, then by enrolment.
    pub(super) fn seniority(
        &self,
        view: &Past,
        member: &MemberId,
        device: &DeviceId,
    ) -> (bool, Key) {
        let mut records: Vec<JoinRecord> = Vec::new();
        for (id, e) in &self.entries {
            match &e.body {
                Body::Genesis(g) => {
                    records.extend(g.founder_records().unwrap().into_iter().map(|r| r.record));
                }
                Body::Admit(_) => records.extend(self.join_record(id)),
                _ => {}
            }
        }
        let record = records.into_iter().find(|r| r.member() == *member).unwrap();
        (record.nonce != paper_nonce(device), self.devices(view, member)[device])
    }
}
