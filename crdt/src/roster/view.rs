//! The records that [`Roster`] shows, made from the ledger, and the hash over them.

use super::graph::View;
use super::standing::{Ledger, MemberNo};
use super::tickets::sponsor_stands;
use super::{DeviceRecord, EpochRecord, MemberRecord, Rank, Roster, TicketRecord};
use crate::id::MemberId;

const HASH_CONTEXT: &str = "lanai v1 roster state";

impl Roster {
    pub(super) fn fill_records(&mut self) {
        self.fill_members();
        self.fill_tickets();
        self.fill_epochs();
        self.hash = self.digest();
    }

    fn fill_members(&mut self) {
        let ledger = &self.ledger;
        let name = |no: MemberNo| ledger.member(no).id;
        let mut ranked: Vec<_> = ledger
            .members()
            .filter_map(|(no, m)| Some((ledger.rank(&View::Now, no)?, no, m)))
            .collect();
        ranked.sort_by(|a, b| ledger.ranks.compare(a.0, b.0));
        let mut members = Vec::new();
        for (place, (_, no, member)) in (0u32..).zip(&ranked) {
            let device = |d| {
                let known = ledger.device(d)?;
                let enrolled_by = self.graph.id(*known.enrolments.first()?);
                Some(DeviceRecord { device: *d, sealing: known.sealing, enrolled_by })
            };
            let Some(role) = ledger.role(&View::Now, *no) else { continue };
            members.push(MemberRecord {
                id: member.id,
                role,
                devices: member.devices.iter().filter_map(device).collect(),
                sponsor: member.sponsor.map(name),
                admitted_by: member.admitted_by.map(name),
                admitted_entry: self.graph.id(member.admitted),
                rank: Rank(place),
                pending: false,
            });
        }
        let mut waiting: Vec<_> = ledger.tickets.pending.iter().collect();
        waiting.sort_by_key(|(_, p)| p.node);
        for (id, p) in waiting {
            let entry = self.graph.id(p.node);
            let record = &p.record.record;
            members.push(MemberRecord {
                id: *id,
                role: p.role,
                devices: vec![DeviceRecord {
                    device: record.device,
                    sealing: record.sealing,
                    enrolled_by: entry,
                }],
                sponsor: Some(name(p.sponsor)),
                admitted_by: Some(name(p.admitted_by)),
                admitted_entry: entry,
                rank: Rank(u32::try_from(members.len()).unwrap_or(u32::MAX)),
                pending: true,
            });
        }
        self.by_id = members.iter().enumerate().map(|(at, m)| (m.id, at)).collect();
        self.members = members;
    }

    fn fill_tickets(&mut self) {
        let ledger: &Ledger = &self.ledger;
        let name = |no: &MemberNo| ledger.member(*no).id;
        self.tickets = ledger
            .tickets
            .by_node
            .iter()
            .map(|(node, t)| TicketRecord {
                entry: self.graph.id(*node),
                key: t.key,
                role: t.role,
                uses: t.uses,
                expires: t.expires,
                sponsor: name(&t.sponsor),
                sponsor_stands: sponsor_stands(ledger, &View::Now, t),
                used_by: t.used_by.iter().map(name).collect(),
                closed: t.closes.first().map(|c| self.graph.id(*c)),
            })
            .collect();
    }

    fn fill_epochs(&mut self) {
        // The records are what is shown; the ledger keeps only what judging needs.
        let epochs = self.ledger.epochs.by_node.iter_mut().map(|(node, e)| EpochRecord {
            entry: self.graph.id(*node),
            id: e.id,
            parents: std::mem::take(&mut e.parents),
            links: std::mem::take(&mut e.links),
            author: e.author,
            sealed_to: std::mem::take(&mut e.sealed_to),
        });
        self.epochs = epochs.collect();
    }

    /// Every list is preceded by its length, so that no two contents have one encoding.
    fn digest(&self) -> [u8; 32] {
        let mut h = blake3::Hasher::new_derive_key(HASH_CONTEXT);
        let list = |h: &mut blake3::Hasher, n: usize| {
            h.update(&(n as u64).to_be_bytes());
        };
        h.update(self.community.as_bytes());
        h.update(&self.rules_version().to_be_bytes());
        h.update(&[self.invite_policy().least_role() as u8]);
        let (num, den) = self.quorum().unwrap_or_default();
        h.update(&[num, den]);
        h.update(&self.recovery_key().unwrap_or_default());
        let counted = || self.verdicts.iter().filter(|(_, v)| v.counts());
        list(&mut h, counted().count());
        counted().for_each(|(id, _)| {
            h.update(id.as_bytes());
        });
        list(&mut h, self.members.len());
        for m in &self.members {
            h.update(m.id.as_bytes());
            h.update(&[m.role as u8, u8::from(m.pending)]);
            h.update(m.sponsor.unwrap_or(MemberId::ZERO).as_bytes());
            h.update(m.admitted_by.unwrap_or(MemberId::ZERO).as_bytes());
            h.update(m.admitted_entry.as_bytes());
            list(&mut h, m.devices.len());
            for d in &m.devices {
                h.update(d.device.as_bytes());
                h.update(&d.sealing);
                h.update(d.enrolled_by.as_bytes());
            }
        }
        list(&mut h, self.tickets.len());
        for t in &self.tickets {
            h.update(t.entry.as_bytes());
            h.update(&[u8::from(t.sponsor_stands), u8::from(t.closed.is_some())]);
            list(&mut h, t.used_by.len());
            t.used_by.iter().for_each(|m| {
                h.update(m.as_bytes());
            });
        }
        list(&mut h, self.epochs.len());
        for e in &self.epochs {
            h.update(e.entry.as_bytes());
            list(&mut h, e.sealed_to.len());
            for (device, seals) in &e.sealed_to {
                h.update(device.as_bytes());
                list(&mut h, seals.len());
                seals.iter().for_each(|s| {
                    h.update(s.entry.as_bytes());
                });
            }
        }
        h.finalize().into()
    }
}
