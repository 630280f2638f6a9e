//! The roster rules once more, as slowly and plainly as they can be written: literal recursion over
//! sets of ids, remembered only by set. It shares nothing with the fold but the types.
//!
//! `sound` asks whether an entry was allowed in its own past; `resolve` which revocations of a set
//! hold and what is supported then; `sift` walks a set under given revocations; `view` says who is
//! what in a set of supported entries; `judge` holds the rules by kind.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::super::RosterEntry;
use crate::id::{CommunityId, DeviceId, EntryId, MemberId};
use crate::payload::{Body, Proposal, Role, Subject};

mod judge;
mod view;

pub(super) type Past = BTreeSet<EntryId>;
pub(super) type Key = (u64, EntryId);
type RankOf = Vec<Key>;

/// Why the rules do not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Out {
    /// Only for want of a use of the ticket.
    UsedUp,
    /// Anything else.
    Not,
}

/// What was found when an entry was judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) author: MemberId,
    pub(super) device: DeviceId,
    pub(super) role: Role,
    needed: Role,
    /// The sponsor of an admission and the role that its ticket takes.
    sponsor: Option<(MemberId, Role)>,
    recovery: bool,
    /// Endorsements that an enact counts.
    endorsed: usize,
    /// The owner of what a revocation takes away.
    pub(super) subject: Option<MemberId>,
}

/// What a revocation does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Effect {
    Member(MemberId),
    Role(MemberId, Role),
    Device(DeviceId),
    Vouch(MemberId, DeviceId),
}

#[derive(Debug)]
pub(super) struct Resolved {
    pub(super) kept: Past,
    pub(super) supported: Past,
    used_up: Past,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Strength {
    Recovery(Key),
    Enact(Reverse<usize>, Key),
    Rank(RankOf, Key),
}

/// Rule 10 for one device.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct OracleCut {
    pub(super) by: EntryId,
    pub(super) left: Option<Role>,
    pub(super) heads: Past,
}

pub(super) struct Oracle<'a> {
    community: CommunityId,
    entries: BTreeMap<EntryId, &'a RosterEntry>,
    pasts: BTreeMap<EntryId, Past>,
    depths: BTreeMap<EntryId, u64>,
    sounds: RefCell<BTreeMap<EntryId, Result<Found, Out>>>,
    resolves: RefCell<BTreeMap<Past, Rc<Resolved>>>,
    pub(super) kept: Past,
    pub(super) supported: Past,
    pub(super) pending: BTreeSet<MemberId>,
}

impl<'a> Oracle<'a> {
    pub(super) fn new(community: CommunityId, entries: &'a [RosterEntry]) -> Oracle<'a> {
        let ours = |e: &&RosterEntry| {
            if e.header.is_genesis() {
                e.id == community.genesis()
            } else {
                e.header.community == community
            }
        };
        let mut o = Oracle {
            community,
            entries: entries.iter().filter(ours).map(|e| (e.id, e)).collect(),
            pasts: BTreeMap::new(),
            depths: BTreeMap::new(),
            sounds: RefCell::default(),
            resolves: RefCell::default(),
            kept: Past::new(),
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
        let whole: Past = o.pasts.keys().copied().collect();
        let now = o.resolve(&whole);
        o.kept = now.kept.clone();
        o.supported = now.supported.clone();
        o.pending = o.who_is_pending(&now);
        o
    }

    fn who_is_pending(&self, now: &Resolved) -> BTreeSet<MemberId> {
        let mut pending = BTreeSet::new();
        for (id, e) in &self.entries {
            let (Body::Admit(a), true) = (&e.body, self.whole(id)) else { continue };
            let waits = match self.sound(id) {
                Err(out) => out == Out::UsedUp,
                Ok(_) if now.supported.contains(id) => false,
                Ok(_) => now.used_up.contains(id) || now.kept.iter().any(|k| self.strikes(k, id)),
            };
            let record = a.signed_record().unwrap().record;
            let enrolled = self
                .all_enrolments(&now.supported)
                .iter()
                .any(|n| n.member == record.member() || n.device == record.device);
            if waits && !enrolled {
                pending.insert(record.member());
            }
        }
        pending
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

    pub(super) fn key(&self, id: &EntryId) -> Key {
        (self.depths[id], *id)
    }

    fn sorted(&self, set: &Past) -> Vec<EntryId> {
        let mut all: Vec<EntryId> = set.iter().copied().collect();
        all.sort_by_key(|id| self.key(id));
        all
    }

    fn concurrent(&self, a: &EntryId, b: &EntryId) -> bool {
        a != b && !self.pasts[a].contains(b) && !self.pasts[b].contains(a)
    }

    /// The supported entries of an entry's past, by that past alone.
    pub(super) fn own_view(&self, id: &EntryId) -> Past {
        self.resolve(&self.pasts[id]).supported.clone()
    }

    /// Whether the rules held in the entry's own past.
    pub(super) fn sound(&self, id: &EntryId) -> Result<Found, Out> {
        if let Some(known) = self.sounds.borrow().get(id) {
            return known.clone();
        }
        let view = self.own_view(id);
        let found = self.judge(self.entries[id], &view, &view);
        self.sounds.borrow_mut().insert(*id, found.clone());
        found
    }

    /// What an entry takes away, if its kind takes anything away.
    pub(super) fn effect(&self, id: &EntryId) -> Option<Effect> {
        let of = |s: &Subject| match s {
            Subject::Member(m) => Effect::Member(MemberId::new(**m)),
            Subject::Role(m, to) => Effect::Role(MemberId::new(**m), *to),
            Subject::Device(d) => Effect::Device(DeviceId::new(**d)),
        };
        let e = self.entries[id];
        match &e.body {
            Body::Remove(r) => Some(of(&r.subject)),
            Body::Enact(_) => match &self.entries.get(e.header.refs().first()?)?.body {
                Body::Motion(m) => match &m.proposal {
                    Proposal::Remove(subject) => Some(of(subject)),
                    Proposal::Grant(_) => None,
                },
                _ => None,
            },
            Body::AddDevice(a) if a.vouch.is_some() => {
                let s = a.signed_record().ok()?.statement;
                Some(Effect::Vouch(s.member, s.device))
            }
            _ => None,
        }
    }

    fn strength(&self, id: &EntryId, found: &Found) -> Strength {
        let key = self.key(id);
        if found.recovery {
            Strength::Recovery(key)
        } else if let Body::Enact(_) = self.entries[id].body {
            Strength::Enact(Reverse(found.endorsed), key)
        } else {
            Strength::Rank(self.rank_used(id, found), key)
        }
    }

    /// The author's rank, but not more senior than the vouchings by which the device stands.
    fn rank_used(&self, id: &EntryId, found: &Found) -> RankOf {
        let rank = self.rank(&self.own_view(id), &found.author);
        self.device_cap(id, found).map_or(rank.clone(), |cap| rank.max(cap))
    }

    fn device_cap(&self, id: &EntryId, found: &Found) -> Option<RankOf> {
        let by = self.enrolled_by(&self.own_view(id), &found.device, &found.author)?;
        let Body::AddDevice(a) = &self.entries[&by].body else { return None };
        let of = self.sound(&by).unwrap();
        match a.vouch {
            Some(_) => Some(self.rank_used(&by, &of)),
            None => self.device_cap(&by, &of),
        }
    }

    pub(super) fn resolve(&self, set: &Past) -> Rc<Resolved> {
        if let Some(known) = self.resolves.borrow().get(set) {
            return known.clone();
        }
        let mut revocations: Vec<(Strength, EntryId)> = set
            .iter()
            .filter(|id| self.effect(id).is_some())
            .filter_map(|id| Some((self.strength(id, &self.sound(id).ok()?), *id)))
            .collect();
        revocations.sort();
        let strength: BTreeMap<EntryId, &Strength> =
            revocations.iter().map(|(s, id)| (*id, s)).collect();
        let mut kept = Past::new();
        for (own, r) in &revocations {
            if kept.iter().any(|k| self.strikes(k, r)) {
                continue;
            }
            // The weaker ones that it saw, unless something kept strikes them.
            let mut heard = kept.clone();
            for h in &self.resolve(&self.pasts[r]).kept {
                if strength[h] > own && !kept.iter().any(|k| self.strikes(k, h)) {
                    heard.insert(*h);
                }
            }
            let (within, _) = self.sift(set, &heard);
            let view: Past = within.intersection(&self.pasts[r]).copied().collect();
            let so_far = within.into_iter().filter(|id| self.key(id) < self.key(r)).collect();
            if self.judge(self.entries[r], &view, &so_far).is_ok() {
                kept.insert(*r);
            }
        }
        let (supported, used_up) = self.sift(set, &kept);
        let resolved = Rc::new(Resolved { kept, supported, used_up });
        self.resolves.borrow_mut().insert(set.clone(), resolved.clone());
        resolved
    }

    /// What is in under these revocations, and what only a use is short of.
    fn sift(&self, set: &Past, kept: &Past) -> (Past, Past) {
        let (mut within, mut used_up) = (Past::new(), Past::new());
        for id in self.sorted(set) {
            if self.sound(&id).is_err() {
                continue;
            }
            if self.effect(&id).is_some() {
                if kept.contains(&id) {
                    within.insert(id);
                }
                continue;
            }
            if kept.iter().any(|k| self.strikes(k, &id)) {
                continue;
            }
            let view = within.intersection(&self.pasts[&id]).copied().collect();
            match self.judge(self.entries[&id], &view, &within) {
                Ok(_) => {
                    within.insert(id);
                }
                Err(Out::UsedUp) => {
                    used_up.insert(id);
                }
                Err(Out::Not) => {}
            }
        }
        (within, used_up)
    }

    /// Whether revocation `k` strips the author of `e`, or the sponsor of the ticket that it uses.
    fn strikes(&self, k: &EntryId, e: &EntryId) -> bool {
        let body = &self.entries[e].body;
        if !self.concurrent(k, e) || matches!(body, Body::Genesis(_) | Body::Enact(_)) {
            return false;
        }
        let (Some(effect), Ok(found)) = (self.effect(k), self.sound(e)) else { return false };
        if found.recovery {
            return false;
        }
        let strips = |member: MemberId, device: Option<DeviceId>, needed: Role| match effect {
            Effect::Member(m) => m == member,
            Effect::Role(m, to) => m == member && needed > to,
            Effect::Device(d) => device == Some(d),
            Effect::Vouch(m, new) => {
                m == member && (device.is_some_and(|d| d != new) || needed > Role::Member)
            }
        };
        strips(found.author, Some(found.device), found.needed)
            || found.sponsor.is_some_and(|(m, needed)| strips(m, None, needed))
    }

    /// Rule 10: the cuts that concern a device, in order of the revocations' ids.
    pub(super) fn cuts(&self, device: &DeviceId) -> Vec<OracleCut> {
        let owners: BTreeSet<MemberId> = self
            .all_enrolments(&self.supported)
            .into_iter()
            .filter(|n| n.device == *device)
            .map(|n| n.member)
            .collect();
        let mut cuts = Vec::new();
        for by in &self.kept {
            let left = match self.effect(by).unwrap() {
                Effect::Member(m) if owners.contains(&m) => None,
                Effect::Role(m, to) if owners.contains(&m) => Some(to),
                Effect::Device(d) if d == *device => None,
                Effect::Vouch(m, new) if owners.contains(&m) => {
                    (new == *device).then_some(Role::Member)
                }
                _ => continue,
            };
            let subject = self.sound(by).unwrap().subject;
            let mut heads = match &self.entries[by].body {
                Body::Remove(r) => ids(&r.cut),
                Body::Enact(e) => ids(&e.cut),
                Body::AddDevice(a) => ids(a.vouch.as_deref().unwrap_or(&[])),
                _ => Past::new(),
            };
            for id in &self.supported {
                match &self.entries[id].body {
                    Body::Checkpoint(c) if !self.pasts[id].contains(by) => {
                        let author = self.sound(id).unwrap();
                        if author.role >= Role::Lead && Some(author.author) != subject {
                            heads.extend(ids(&c.seen));
                        }
                    }
                    Body::Accept(a) if self.entries[id].header.refs().first() == Some(by) => {
                        heads.extend(ids(&a.heads));
                    }
                    _ => {}
                }
            }
            cuts.push(OracleCut { by: *by, left, heads });
        }
        cuts
    }
}

fn ids(raw: &[minicbor::bytes::ByteArray<32>]) -> Past {
    raw.iter().map(|id| EntryId::new(**id)).collect()
}
