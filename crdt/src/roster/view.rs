//! The records that [`Roster`] shows, made from the ledger in the view of all that is supported, and
//! the hash over them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use super::graph::Node;
use super::motions::{endorsers, judge_proposal, needed};
use super::rank::RankId;
use super::standing::{MemberNo, Taken};
use super::tickets::{TicketState, sponsor_stands};
use super::{
    Cut, DeviceRecord, EpochRecord, FormerMember, MemberRecord, MotionRecord, Rank, Reason,
    RevocationKind, RevocationRecord, Roster, SealedKey, TicketRecord,
};
use crate::id::{DeviceId, EntryId, EpochId, MemberId};
use crate::payload::{Body, Proposal, Role, paper_nonce};

const HASH_CONTEXT: &str = "lanai v1 roster state";

impl Roster {
    pub(super) fn fill_records(&mut self) {
        self.members = self.make_members();
        let tickets = self.ledger().tickets.by_node.iter();
        self.tickets = tickets.filter_map(|(n, t)| self.make_ticket(*n, t)).collect();
        let epochs = self.ledger().epochs.by_node.keys();
        self.epochs = epochs.filter_map(|n| self.make_epoch(*n)).collect();
        self.fill_short_lists();
    }

    /// The records after entries came behind all others and changed nothing about them: those of
    /// the members, tickets and epochs that they are about, and the short lists anew. With the
    /// same result as [`Roster::fill_records`].
    pub(super) fn refresh_records(&mut self, counted: &[Node]) {
        let changed: BTreeSet<MemberNo> =
            counted.iter().filter_map(|n| self.concerned(*n)).collect();
        self.refresh_members(&changed);
        changed.into_iter().for_each(|member| self.refresh_tickets_of(member));
        for node in counted {
            let first = self.entries.get(node.0 as usize).and_then(|e| e.header.refs().first());
            let first = first.and_then(|id| self.graph.node(id));
            match self.body(*node) {
                Some(Body::Ticket(_)) => self.refresh_ticket(*node),
                Some(Body::TicketClose | Body::Admit(_)) => {
                    first.into_iter().for_each(|ticket| self.refresh_ticket(ticket));
                }
                Some(Body::Epoch(_)) => self.refresh_epoch(*node),
                Some(Body::Seal(_)) => first.into_iter().for_each(|e| self.refresh_epoch(e)),
                _ => {}
            }
        }
        self.fill_short_lists();
    }

    /// Whose role, rank or devices an entry that counts may have changed.
    fn concerned(&self, node: Node) -> Option<MemberNo> {
        let ledger = self.ledger();
        let by_id = |id: &[u8; 32]| ledger.member_no(&MemberId::new(*id));
        if let Some(taken) = ledger.takes(node) {
            return Some(taken.member());
        }
        let entry = self.entries.get(node.0 as usize)?;
        match &entry.body {
            Body::Admit(_) | Body::AddDevice(_) | Body::Readmit(_) | Body::Restore => {
                let (_, member) = self.resolver.facts(node)?.enrols?;
                ledger.member_no(&member)
            }
            Body::Role(grant) => by_id(&grant.member),
            Body::Enact(_) => {
                let motion = self.graph.node(entry.header.refs().first()?)?;
                match &ledger.motions.get(&motion)?.proposal {
                    Proposal::Grant(grant) => by_id(&grant.member),
                    Proposal::Remove(_) => None,
                }
            }
            _ => None,
        }
    }

    /// Takes the records of members out and puts the present ones in their places.
    fn refresh_members(&mut self, changed: &BTreeSet<MemberNo>) {
        let mut members = std::mem::take(&mut self.members);
        // All of them at once: a list in which some have their old places has no order to search by.
        let changed_ids: BTreeSet<MemberId> = changed.iter().map(|no| self.name(*no)).collect();
        members.retain(|m| !m.pending && !changed_ids.contains(&m.id));
        let (ledger, now) = (self.ledger(), self.now());
        for no in changed {
            let Some(rank) = ledger.rank(&now, *no) else { continue };
            let at = self.place_by_rank(&members, rank);
            if let Some(record) = self.make_member(*no, Rank(0)) {
                members.insert(at, record);
            }
        }
        for (place, member) in (0u32..).zip(&mut members) {
            member.rank = Rank(place);
        }
        self.add_pending(&mut members);
        self.members = members;
    }

    /// Where a member of this rank is among those who wait for nothing, or would be.
    fn place_by_rank(&self, members: &[MemberRecord], rank: RankId) -> usize {
        let (ledger, now) = (self.ledger(), self.now());
        members.partition_point(|m| {
            let other = ledger.member_no(&m.id).filter(|_| !m.pending);
            let other = other.and_then(|other| ledger.rank(&now, other));
            other.is_some_and(|other| ledger.ranks.compare(other, rank).is_lt())
        })
    }

    pub(super) fn find_member(&self, id: &MemberId) -> Option<&MemberRecord> {
        let no = self.ledger().member_no(id);
        match no.and_then(|no| self.ledger().rank(&self.now(), no)) {
            Some(rank) => self.members.get(self.place_by_rank(&self.members, rank)),
            None => self.members.iter().rev().take_while(|m| m.pending).find(|m| m.id == *id),
        }
    }

    fn refresh_tickets_of(&mut self, member: MemberNo) {
        let id = self.name(member);
        let theirs: Vec<EntryId> =
            self.tickets.iter().filter(|t| t.sponsor == id).map(|t| t.entry).collect();
        let nodes: Vec<Node> = theirs.iter().filter_map(|t| self.graph.node(t)).collect();
        nodes.into_iter().for_each(|node| self.refresh_ticket(node));
    }

    fn refresh_ticket(&mut self, node: Node) {
        let ticket = self.ledger().tickets.by_node.get(&node);
        let Some(record) = ticket.and_then(|t| self.make_ticket(node, t)) else { return };
        let place = |t: &TicketRecord| self.graph.node(&t.entry).cmp(&Some(node));
        match self.tickets.binary_search_by(place) {
            Ok(at) => {
                if let Some(slot) = self.tickets.get_mut(at) {
                    *slot = record;
                }
            }
            Err(at) => self.tickets.insert(at, record),
        }
    }

    fn refresh_epoch(&mut self, node: Node) {
        let Some(record) = self.make_epoch(node) else { return };
        let place = |e: &EpochRecord| self.graph.node(&e.entry).cmp(&Some(node));
        match self.epochs.binary_search_by(place) {
            Ok(at) => {
                if let Some(slot) = self.epochs.get_mut(at) {
                    *slot = record;
                }
            }
            Err(at) => self.epochs.insert(at, record),
        }
    }

    /// What is short enough to be made anew each time.
    fn fill_short_lists(&mut self) {
        self.former = self.make_former();
        self.motions = self.make_motions();
        self.revocations = self.make_revocations();
        self.cuts = self.make_cuts();
        self.hash = OnceLock::new();
    }

    fn name(&self, no: MemberNo) -> MemberId {
        self.ledger().member(no).id
    }

    fn body(&self, node: Node) -> Option<&Body> {
        self.entries.get(node.0 as usize).map(|e| &e.body)
    }

    fn make_members(&self) -> Vec<MemberRecord> {
        let (ledger, now) = (self.ledger(), self.now());
        let mut ranked: Vec<_> =
            ledger.members().filter_map(|(no, _)| Some((ledger.rank(&now, no)?, no))).collect();
        ranked.sort_by(|a, b| ledger.ranks.compare(a.0, b.0));
        let mut members: Vec<MemberRecord> = (0u32..)
            .zip(&ranked)
            .filter_map(|(place, (_, no))| self.make_member(*no, Rank(place)))
            .collect();
        self.add_pending(&mut members);
        members
    }

    fn make_member(&self, no: MemberNo, rank: Rank) -> Option<MemberRecord> {
        let (ledger, now) = (self.ledger(), self.now());
        let member = ledger.member(no);
        let joinings = &member.joinings;
        let joining = joinings.iter().find(|j| now.has(j.node)).or_else(|| joinings.first())?;
        let devices = ledger.devices_of(&now, no).into_iter().map(|(device, e, paper)| {
            let enrolled_by = self.graph.id(e.node);
            DeviceRecord { device, sealing: e.sealing, enrolled_by, paper }
        });
        Some(MemberRecord {
            id: member.id,
            role: ledger.role(&now, no)?,
            devices: devices.collect(),
            sponsor: joining.sponsor.map(|m| self.name(m)),
            admitted_by: joining.admitted_by.map(|m| self.name(m)),
            admitted_entry: self.graph.id(joining.node),
            rank,
            pending: false,
        })
    }

    /// Rules 9 and 14: newcomers whose admission lacked a use of the ticket, or was struck. Who came in
    /// otherwise does not wait.
    fn add_pending(&self, members: &mut Vec<MemberRecord>) {
        let (ledger, now) = (self.ledger(), self.now());
        let mut seen = BTreeSet::new();
        for node in &self.pending {
            let Some(admission) = ledger.tickets.admissions.get(node) else { continue };
            let entry = self.graph.id(*node);
            let record = &admission.record;
            let id = record.member();
            let enrols = |d: &DeviceId, of: Option<MemberId>| {
                ledger.device(d).is_some_and(|d| {
                    d.enrolments
                        .iter()
                        .any(|e| now.has(e.node) && of.is_none_or(|m| m == self.name(e.member)))
                })
            };
            let came_in = || {
                let known = ledger.member_no(&id).map(|no| ledger.member(no));
                known.is_some_and(|m| m.devices.iter().any(|d| enrols(d, Some(id))))
                    || enrols(&record.device, None)
            };
            if came_in() || !seen.insert(id) {
                continue;
            }
            members.push(MemberRecord {
                id,
                role: admission.role,
                devices: vec![DeviceRecord {
                    device: record.device,
                    sealing: record.sealing,
                    enrolled_by: entry,
                    paper: paper_nonce(&record.device) == record.nonce,
                }],
                sponsor: Some(self.name(admission.sponsor)),
                admitted_by: Some(self.name(admission.admitted_by)),
                admitted_entry: entry,
                rank: Rank(u32::try_from(members.len()).unwrap_or(u32::MAX)),
                pending: true,
            });
        }
    }

    fn make_former(&self) -> Vec<FormerMember> {
        let (ledger, now) = (self.ledger(), self.now());
        let removed: BTreeSet<MemberNo> = self
            .resolver
            .revocations
            .iter()
            .filter_map(|n| match ledger.takes(*n) {
                Some(Taken::Member(no)) => Some(no),
                _ => None,
            })
            .collect();
        let gone = removed.into_iter().filter_map(|no| {
            let m = ledger.member(no);
            let removal = m.removals.iter().rev().find(|r| now.has(**r))?;
            if ledger.role(&now, no).is_some() {
                return None;
            }
            let author = self.resolver.facts(*removal)?.by?.member;
            let device = |d: &DeviceId| {
                let known = ledger.device(d)?;
                let enrolment =
                    known.enrolments.iter().find(|e| e.member == no && now.has(e.node))?;
                let (device, sealing) = (*d, enrolment.sealing);
                let enrolled_by = self.graph.id(enrolment.node);
                Some(DeviceRecord { device, sealing, enrolled_by, paper: ledger.is_paper(no, d) })
            };
            Some(FormerMember {
                id: m.id,
                removed_by: self.graph.id(*removal),
                author: self.name(author),
                devices: m.devices.iter().filter_map(device).collect(),
            })
        });
        gone.collect()
    }

    fn make_ticket(&self, node: Node, ticket: &TicketState) -> Option<TicketRecord> {
        let now = self.now();
        if !now.has(node) {
            return None;
        }
        let mut used_by = Vec::new();
        let mut seen = BTreeSet::new();
        for (_, member) in ticket.admissions.iter().filter(|(n, _)| now.has(*n)) {
            if seen.insert(*member) {
                used_by.push(*member);
            }
        }
        Some(TicketRecord {
            entry: self.graph.id(node),
            key: ticket.key,
            role: ticket.role,
            uses: ticket.uses,
            expires: ticket.expires,
            sponsor: self.name(ticket.sponsor),
            sponsor_stands: sponsor_stands(self.ledger(), &now, ticket),
            used_by,
            closed: ticket.closes.iter().find(|c| now.has(**c)).map(|c| self.graph.id(*c)),
        })
    }

    fn make_epoch(&self, node: Node) -> Option<EpochRecord> {
        let now = self.now();
        if now.has(node) { self.epoch_of(node, |n| now.has(n)) } else { None }
    }

    /// Epochs that do not count, or have seals that do not, though each was allowed to its author:
    /// whoever made them was removed meanwhile. Honest entries may be sealed under their keys. With
    /// all those seals.
    pub fn struck_epochs(&self) -> Vec<EpochRecord> {
        let now = self.now();
        let struck = self.ledger().epochs.by_node.iter().filter(|(node, state)| {
            !now.has(**node) || state.seals.iter().any(|seal| !now.has(*seal))
        });
        struck.filter_map(|(node, _)| self.epoch_of(*node, |_| true)).collect()
    }

    fn epoch_of(&self, node: Node, takes: impl Fn(Node) -> bool) -> Option<EpochRecord> {
        let state = self.ledger().epochs.by_node.get(&node)?;
        let entry = self.entries.get(node.0 as usize)?;
        let Body::Epoch(epoch) = &entry.body else { return None };
        let mut sealed_to: BTreeMap<DeviceId, Vec<SealedKey>> = BTreeMap::new();
        for at in state.seals.iter().filter(|n| takes(**n)) {
            let Some(entry) = self.entries.get(at.0 as usize) else { continue };
            let Body::Seal(seal) = &entry.body else { continue };
            let (by, entry) = (entry.header.log.device, entry.id);
            for part in &seal.seals {
                let sealed = SealedKey { sealed: *part.sealed, by, entry };
                sealed_to.entry(DeviceId::new(*part.device)).or_default().push(sealed);
            }
        }
        Some(EpochRecord {
            entry: entry.id,
            id: state.id,
            parents: epoch.parents.iter().map(|p| EpochId::new(**p)).collect(),
            links: epoch.links.to_vec(),
            author: entry.header.log.device,
            sealed_to,
        })
    }

    fn make_motions(&self) -> Vec<MotionRecord> {
        let (ledger, now) = (self.ledger(), self.now());
        let motions = ledger.motions.iter().filter(|(n, _)| now.has(**n));
        let record = |(node, motion): (&Node, &super::motions::MotionState)| {
            let proposed = judge_proposal(ledger, &now, &motion.proposal);
            let subject = proposed.as_ref().ok().and_then(|(_, subject)| *subject);
            let for_it = endorsers(ledger, &now, (*node, motion), |_| true, subject);
            let entry_of = |member: MemberNo| {
                let own = (*node, motion.author);
                let mut all = motion.endorsements.iter().chain(std::iter::once(&own));
                let (at, _) = all.find(|(n, m)| *m == member && now.has(*n))?;
                Some((self.graph.id(*at), self.name(member)))
            };
            let enacted_by = motion.enacts.iter().find(|n| now.has(**n)).map(|n| self.graph.id(*n));
            MotionRecord {
                entry: self.graph.id(*node),
                proposal: motion.proposal.clone(),
                author: self.name(motion.author),
                endorsements: for_it.into_iter().filter_map(entry_of).collect(),
                needed: needed(ledger, &now, subject),
                enacted_by,
                open: enacted_by.is_none() && proposed.is_ok(),
            }
        };
        motions.map(record).collect()
    }

    fn make_revocations(&self) -> Vec<RevocationRecord> {
        let (ledger, now) = (self.ledger(), self.now());
        let record = |node: &Node| {
            let taken = ledger.takes(*node)?;
            let author = self.resolver.facts(*node)?.by?.member;
            let kind = match taken {
                Taken::Member(_) => RevocationKind::Member,
                Taken::Role(_, to) => RevocationKind::Role(to),
                Taken::Device(_, device) => RevocationKind::Device(device),
                Taken::Vouch(_, device) => RevocationKind::Vouch(device),
            };
            let struck_by = match self.resolver.reason(self.now, *node) {
                Some(Reason::Struck { by }) => Some(by),
                _ => None,
            };
            Some(RevocationRecord {
                entry: self.graph.id(*node),
                kind,
                subject: self.name(taken.member()),
                author: self.name(author),
                kept: now.has(*node),
                struck_by,
            })
        };
        self.resolver.revocations.iter().filter_map(record).collect()
    }

    /// Rule 10: the cuts of supported revocations. What the author saw, and what others say they hold.
    fn make_cuts(&self) -> BTreeMap<DeviceId, Vec<Cut>> {
        let (ledger, now) = (self.ledger(), self.now());
        let mut cuts: BTreeMap<DeviceId, Vec<Cut>> = BTreeMap::new();
        for node in self.resolver.revocations.iter().filter(|n| now.has(**n)) {
            let Some(taken) = ledger.takes(*node) else { continue };
            let own: &[_] = match self.body(*node) {
                Some(Body::Remove(remove)) => &remove.cut,
                Some(Body::Enact(enact)) => &enact.cut,
                Some(Body::AddDevice(add)) => add.vouch.as_deref().unwrap_or_default(),
                _ => &[],
            };
            let mut heads: BTreeSet<EntryId> = own.iter().map(|h| EntryId::new(**h)).collect();
            for (at, author) in &ledger.cuts.checkpoints {
                // The subject's own word widens nothing, nor does what was said in the knowledge of it.
                if *author == taken.member() || !now.has(*at) || self.graph.before(*node, *at) {
                    continue;
                }
                if let Some(Body::Checkpoint(checkpoint)) = self.body(*at) {
                    heads.extend(checkpoint.seen.iter().map(|h| EntryId::new(**h)));
                }
            }
            for (at, _) in ledger.cuts.accepts.iter().filter(|(a, of)| of == node && now.has(*a)) {
                if let Some(Body::Accept(accept)) = self.body(*at) {
                    heads.extend(accept.heads.iter().map(|h| EntryId::new(**h)));
                }
            }
            let heads: Vec<EntryId> = heads.into_iter().collect();
            let member = taken.member();
            let is_theirs = |d: &&DeviceId| {
                ledger.device(d).is_some_and(|known| {
                    known.enrolments.iter().any(|e| e.member == member && now.has(e.node))
                })
            };
            let concerned: Vec<DeviceId> = match taken {
                // Whosever it is, and also when what enrolled it was struck after this was kept.
                Taken::Device(_, revoked) => vec![revoked],
                _ => ledger.member(member).devices.iter().filter(is_theirs).copied().collect(),
            };
            for device in concerned {
                let left = match taken {
                    Taken::Member(_) | Taken::Device(..) => None,
                    Taken::Role(_, to) => Some(to),
                    Taken::Vouch(_, brought) if brought == device => Some(Role::Member),
                    Taken::Vouch(..) => None,
                };
                let by = self.graph.id(*node);
                cuts.entry(device).or_default().push(Cut { by, left, heads: heads.clone() });
            }
        }
        cuts
    }

    /// Every list is preceded by its length, so that no two contents have one encoding.
    pub(super) fn digest(&self) -> [u8; 32] {
        let mut h = Digest(blake3::Hasher::new_derive_key(HASH_CONTEXT));
        h.id(self.community.as_bytes());
        h.0.update(&self.rules_version().to_be_bytes());
        h.byte(self.invite_policy().least_role() as u8);
        let (num, den) = self.quorum().unwrap_or_default();
        h.0.update(&[num, den]);
        h.id(&self.recovery_key().unwrap_or_default());
        let counted: Vec<&EntryId> =
            self.verdicts.iter().filter(|(_, v)| v.counts()).map(|(id, _)| id).collect();
        h.list(counted.iter().map(|id| id.as_bytes()));
        h.count(self.members.len());
        for m in &self.members {
            h.id(m.id.as_bytes());
            h.0.update(&[m.role as u8, u8::from(m.pending)]);
            h.id(m.sponsor.unwrap_or(MemberId::ZERO).as_bytes());
            h.id(m.admitted_by.unwrap_or(MemberId::ZERO).as_bytes());
            h.id(m.admitted_entry.as_bytes());
            h.devices(&m.devices);
        }
        h.count(self.former.len());
        for m in &self.former {
            h.id(m.id.as_bytes());
            h.id(m.removed_by.as_bytes());
            h.id(m.author.as_bytes());
            h.devices(&m.devices);
        }
        h.count(self.tickets.len());
        for t in &self.tickets {
            h.id(t.entry.as_bytes());
            h.0.update(&[u8::from(t.sponsor_stands), u8::from(t.closed.is_some())]);
            h.list(t.used_by.iter().map(|m| m.as_bytes()));
        }
        h.count(self.epochs.len());
        for e in &self.epochs {
            h.id(e.entry.as_bytes());
            h.count(e.sealed_to.len());
            for (device, seals) in &e.sealed_to {
                h.id(device.as_bytes());
                h.list(seals.iter().map(|s| s.entry.as_bytes()));
            }
        }
        h.count(self.motions.len());
        for m in &self.motions {
            h.id(m.entry.as_bytes());
            h.list(m.endorsements.iter().map(|(_, member)| member.as_bytes()));
            h.0.update(&m.needed.to_be_bytes());
            h.id(m.enacted_by.unwrap_or(EntryId::ZERO).as_bytes());
            h.byte(u8::from(m.open));
        }
        h.count(self.revocations.len());
        for r in &self.revocations {
            h.id(r.entry.as_bytes());
            h.id(r.struck_by.unwrap_or(EntryId::ZERO).as_bytes());
            h.byte(u8::from(r.kept));
        }
        h.count(self.cuts.len());
        for (device, cuts) in &self.cuts {
            h.id(device.as_bytes());
            h.count(cuts.len());
            for cut in cuts {
                h.id(cut.by.as_bytes());
                h.byte(cut.left.map_or(u8::MAX, |r| r as u8));
                h.list(cut.heads.iter().map(|e| e.as_bytes()));
            }
        }
        h.0.finalize().into()
    }
}

struct Digest(blake3::Hasher);

impl Digest {
    fn id(&mut self, id: &[u8; 32]) {
        self.0.update(id);
    }

    fn byte(&mut self, byte: u8) {
        self.0.update(&[byte]);
    }

    fn count(&mut self, n: usize) {
        self.0.update(&(n as u64).to_be_bytes());
    }

    fn list<'a>(&mut self, ids: impl ExactSizeIterator<Item = &'a [u8; 32]>) {
        self.count(ids.len());
        ids.for_each(|id| self.id(id));
    }

    fn devices(&mut self, devices: &[DeviceRecord]) {
        self.count(devices.len());
        for d in devices {
            self.id(d.device.as_bytes());
            self.id(&d.sealing);
            self.id(d.enrolled_by.as_bytes());
            self.byte(u8::from(d.paper));
        }
    }
}
