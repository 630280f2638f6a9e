//! The rules once more, as slowly and plainly as they can be written: sets of ids, everything
//! computed afresh for each question. It shares nothing with the fold but the types.

use std::collections::{BTreeMap, BTreeSet};

use super::super::RosterEntry;
use crate::id::{CommunityId, DeviceId, EntryId, EpochId, MemberId};
use crate::payload::{Body, Genesis, Role, SignedJoinRecord};

pub(super) type Past = BTreeSet<EntryId>;

pub(super) struct Oracle<'a> {
    community: CommunityId,
    entries: BTreeMap<EntryId, &'a RosterEntry>,
    pasts: BTreeMap<EntryId, Past>,
    depths: BTreeMap<EntryId, u64>,
    pub(super) supported: Past,
    pub(super) pending: BTreeSet<MemberId>,
}

impl<'a> Oracle<'a> {
    pub(super) fn new(community: CommunityId, entries: &'a [RosterEntry]) -> Oracle<'a> {
        let entries = entries.iter().map(|e| (e.id, e)).collect();
        let mut o = Oracle {
            community,
            entries,
            pasts: BTreeMap::new(),
            depths: BTreeMap::new(),
            supported: Past::new(),
            pending: BTreeSet::new(),
        };
        // Add pasts until nothing more becomes whole.
        loop {
            let before = o.pasts.len();
            for (id, e) in &o.entries {
                let parents: Vec<EntryId> =
                    e.header.heads().iter().chain(e.header.refs()).copied().collect();
                if parents.iter().all(|p| o.pasts.contains_key(p)) {
                    let mut past: Past = parents.iter().copied().collect();
                    parents.iter().for_each(|p| past.extend(&o.pasts[p]));
                    let depth = parents.iter().map(|p| o.depths[p] + 1).max().unwrap_or(0);
                    o.pasts.insert(*id, past);
                    o.depths.insert(*id, depth);
                }
            }
            if o.pasts.len() == before {
                break;
            }
        }
        let mut order: Vec<EntryId> = o.pasts.keys().copied().collect();
        order.sort_by_key(|id| (o.depths[id], *id));
        for id in order {
            let past = o.supported.intersection(&o.pasts[&id]).copied().collect();
            match o.judge(o.entries[&id], &past) {
                Some(true) => {
                    o.supported.insert(id);
                }
                Some(false) => {
                    let record = record(o.entries[&id]).unwrap();
                    o.pending.insert(record.record.member());
                }
                None => {}
            }
        }
        let enrolled: BTreeSet<DeviceId> =
            o.enrolments().map(|(_, r, _)| r.record.device).collect();
        let out: BTreeSet<MemberId> = o
            .entries
            .values()
            .filter_map(|e| record(e))
            .filter(|r| enrolled.contains(&r.record.device))
            .map(|r| r.record.member())
            .collect();
        o.pending.retain(|m| !out.contains(m));
        o
    }

    pub(super) fn whole(&self, id: &EntryId) -> bool {
        self.pasts.contains_key(id)
    }

    /// The supported entries that are one of `heads` or in their past.
    pub(super) fn past_of(&self, heads: &[EntryId]) -> Past {
        let mut past = Past::new();
        for h in heads.iter().filter(|h| self.whole(h)) {
            past.insert(*h);
            past.extend(&self.pasts[h]);
        }
        past.intersection(&self.supported).copied().collect()
    }

    fn key(&self, id: &EntryId) -> (u64, EntryId) {
        (self.depths[id], *id)
    }

    fn genesis(&self, past: &Past) -> Option<&Genesis> {
        match &self.entries.get(&self.community.genesis())?.body {
            Body::Genesis(g) if past.contains(&self.community.genesis()) => Some(g),
            _ => None,
        }
    }

    /// Supported enrolments so far: entry, record, role.
    fn enrolments(&self) -> impl Iterator<Item = (EntryId, SignedJoinRecord, Role)> {
        self.supported.iter().flat_map(|id| -> Vec<_> {
            let e = self.entries[id];
            match &e.body {
                Body::Genesis(g) => g
                    .founder_records()
                    .unwrap()
                    .into_iter()
                    .map(|r| (*id, r, Role::Steward))
                    .collect(),
                Body::Admit(_) => {
                    let r = record(e).unwrap();
                    let Body::Ticket(t) = &self.entries[&r.record.ticket].body else { panic!() };
                    vec![(*id, r, t.role)]
                }
                _ => vec![],
            }
        })
    }

    pub(super) fn standing(
        &self,
        past: &Past,
        device: &DeviceId,
    ) -> Option<(MemberId, Role, EntryId)> {
        let (entry, member) = self
            .enrolments()
            .filter(|(id, r, _)| past.contains(id) && r.record.device == *device)
            .map(|(id, r, _)| (id, r.record.member()))
            .min_by_key(|(id, _)| self.key(id))?;
        Some((member, self.role(past, &member)?, entry))
    }

    fn grants(&self, past: &Past, member: &MemberId) -> Vec<(EntryId, Role)> {
        let mut grants: Vec<(EntryId, Role)> = self
            .enrolments()
            .filter(|(id, r, _)| past.contains(id) && r.record.member() == *member)
            .map(|(id, _, role)| (id, role))
            .collect();
        for id in past {
            if let Body::Role(g) = &self.entries[id].body
                && *g.member == *member.as_bytes()
            {
                grants.push((*id, g.role));
            }
        }
        grants
    }

    pub(super) fn role(&self, past: &Past, member: &MemberId) -> Option<Role> {
        self.grants(past, member).into_iter().map(|(_, role)| role).max()
    }

    pub(super) fn rank(&self, past: &Past, member: &MemberId) -> Vec<(u64, EntryId)> {
        let role = self.role(past, member).unwrap();
        let grants = self.grants(past, member).into_iter().filter(|(_, r)| *r == role);
        grants.map(|(id, _)| self.rank_of_grant(&id, member)).min().unwrap()
    }

    fn rank_of_grant(&self, grant: &EntryId, member: &MemberId) -> Vec<(u64, EntryId)> {
        let e = self.entries[grant];
        let past: Past = self.supported.intersection(&self.pasts[grant]).copied().collect();
        let author =
            |e: &RosterEntry, past: &Past| self.standing(past, &e.header.log.device).unwrap().0;
        let sponsor = match &e.body {
            Body::Genesis(g) => {
                let records = g.founder_records().unwrap();
                let place = records.iter().position(|r| r.record.member() == *member).unwrap();
                return vec![(place as u64, EntryId::ZERO)];
            }
            Body::Admit(_) => {
                let ticket = record(e).unwrap().record.ticket;
                let its = self.supported.intersection(&self.pasts[&ticket]).copied().collect();
                author(self.entries[&ticket], &its)
            }
            _ => author(e, &past),
        };
        let mut rank = self.rank(&past, &sponsor);
        rank.push(self.key(grant));
        rank
    }

    fn may_invite(&self, past: &Past, role: Role, granted: Role) -> bool {
        self.genesis(past).is_some_and(|g| role >= g.invite.least_role()) && granted <= role
    }

    /// `Some(false)`: pending.
    fn judge(&self, e: &RosterEntry, past: &Past) -> Option<bool> {
        if e.header.is_genesis() {
            // Founding is tested elsewhere; here the genesis is good.
            return (e.id == self.community.genesis()).then_some(true);
        }
        let (author, role, _) = self.standing(past, &e.header.log.device)?;
        let first = e.header.refs().first();
        match &e.body {
            Body::Ticket(t) => self.may_invite(past, role, t.role).then_some(true),
            Body::TicketClose => {
                let t = first.filter(|t| past.contains(t))?;
                let Body::Ticket(_) = &self.entries[t].body else { return None };
                (self.sponsor(t) == author || role == Role::Steward).then_some(true)
            }
            Body::Role(g) => {
                let member = MemberId::new(*g.member);
                (g.role <= role && self.role(past, &member).is_some()).then_some(true)
            }
            Body::Admit(_) => {
                let r = record(e)?;
                let t = first.filter(|t| past.contains(t))?;
                let Body::Ticket(ticket) = &self.entries[t].body else { return None };
                let fits = r.record.ticket == *t && r.record.community == self.community;
                if !fits || r.check_newcomer(&ticket.key).is_err() {
                    return None;
                }
                let closed = past.iter().any(|c| {
                    self.entries[c].body == Body::TicketClose
                        && self.entries[c].header.refs().first() == Some(t)
                });
                let sponsor = self.role(past, &self.sponsor(t));
                if closed || !sponsor.is_some_and(|s| self.may_invite(past, s, ticket.role)) {
                    return None;
                }
                let member = r.record.member();
                let taken = |(_, o, _): &(EntryId, SignedJoinRecord, Role)| {
                    o.record.device == r.record.device && o.record.member() != member
                };
                if self.enrolments().any(|o| taken(&o)) {
                    return None;
                }
                let users: BTreeSet<MemberId> = self
                    .enrolments()
                    .filter(|(_, o, _)| o.record.ticket == *t)
                    .map(|(_, o, _)| o.record.member())
                    .collect();
                Some(users.contains(&member) || users.len() < ticket.uses as usize)
            }
            Body::Epoch(epoch) => {
                let known = |p: &[u8; 32]| {
                    past.iter().any(|id| match &self.entries[id].body {
                        Body::Epoch(e) => EpochId::new(*e.id) == EpochId::new(*p),
                        _ => false,
                    })
                };
                epoch.parents.iter().all(|p| known(p)).then_some(true)
            }
            Body::Seal(seal) => {
                let of = first.filter(|t| past.contains(t))?;
                let Body::Epoch(epoch) = &self.entries[of].body else { return None };
                (epoch.id == seal.epoch).then_some(true)
            }
            Body::Checkpoint(_) => Some(true),
            _ => None,
        }
    }

    fn sponsor(&self, ticket: &EntryId) -> MemberId {
        let past = self.supported.intersection(&self.pasts[ticket]).copied().collect();
        self.standing(&past, &self.entries[ticket].header.log.device).unwrap().0
    }
}

fn record(e: &RosterEntry) -> Option<SignedJoinRecord> {
    match &e.body {
        Body::Admit(a) => a.signed_record().ok(),
        _ => None,
    }
}
