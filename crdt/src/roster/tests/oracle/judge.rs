//! The rules by kind.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use super::{Effect, Found, Oracle, Out, Past};
use crate::id::{EntryId, MemberId};
use crate::payload::{
    Body, GrantRole, Proposal, Role, SignedDevice, recovery_statement, verify_recovery,
};
use crate::roster::RosterEntry;
use crate::seal::SealingPublic;

fn only_if(holds: bool) -> Result<(), Out> {
    if holds { Ok(()) } else { Err(Out::Not) }
}

/// Checks a signature over `what` once in a thread.
fn once(what: Vec<u8>, check: impl FnOnce() -> bool) -> bool {
    thread_local! {
        static CHECKED: RefCell<BTreeMap<Vec<u8>, bool>> = const { RefCell::new(BTreeMap::new()) };
    }
    CHECKED.with_borrow_mut(|known| *known.entry(what).or_insert_with(check))
}

fn sealing_key(key: &[u8; 32]) -> bool {
    once(key.to_vec(), || SealingPublic::checked(key).is_ok())
}

impl Oracle<'_> {
    /// Whether the rules hold for `e` in `view`; `so_far` is what is in before it, in its past or not.
    pub(super) fn judge(&self, e: &RosterEntry, view: &Past, so_far: &Past) -> Result<Found, Out> {
        if let Body::Genesis(g) = &e.body {
            // Founding is tested elsewhere; here the genesis is good.
            let founder = g.founder_records().unwrap().remove(0).record;
            return Ok(Found {
                author: founder.member(),
                device: e.header.log.device,
                role: Role::Steward,
                needed: Role::Member,
                sponsor: None,
                recovery: false,
                endorsed: 0,
                subject: None,
            });
        }
        let device = e.header.log.device;
        let (author, role, _) = self.standing(view, &device).ok_or(Out::Not)?;
        let mut found = Found {
            author,
            device,
            role,
            needed: Role::Member,
            sponsor: None,
            recovery: false,
            endorsed: 0,
            subject: None,
        };
        let first = e.header.refs().first().copied();
        let known = first.filter(|id| view.contains(id));
        let may_invite = self.genesis(view).ok_or(Out::Not)?.invite.least_role();
        match &e.body {
            Body::Ticket(t) => {
                found.needed = may_invite.max(t.role);
            }
            Body::TicketClose => {
                let t = known.ok_or(Out::Not)?;
                only_if(matches!(self.entries[&t].body, Body::Ticket(_)))?;
                let own = self.sound(&t)?.author == author;
                found.needed = if own { Role::Member } else { Role::Steward };
            }
            Body::Role(g) => {
                found.recovery = self.recovery_good(e, view);
                if !found.recovery {
                    found.needed = g.role;
                }
                only_if(self.role(view, &MemberId::new(*g.member)).is_some())?;
            }
            Body::Admit(a) => {
                let t = known.ok_or(Out::Not)?;
                let Body::Ticket(ticket) = &self.entries[&t].body else { return Err(Out::Not) };
                let r = a.signed_record().map_err(|_| Out::Not)?;
                only_if(r.record.ticket == t && r.record.community == self.community)?;
                let signed = [&r.encode()[..], &ticket.key[..]].concat();
                only_if(once(signed, || r.check_newcomer(&ticket.key).is_ok()))?;
                only_if(sealing_key(&r.record.sealing))?;
                only_if(!view.iter().any(|c| {
                    self.entries[c].body == Body::TicketClose
                        && self.entries[c].header.refs().first() == Some(&t)
                }))?;
                let sponsor = self.sound(&t)?.author;
                let needed = may_invite.max(ticket.role);
                only_if(self.role(view, &sponsor).is_some_and(|has| has >= needed))?;
                found.sponsor = Some((sponsor, needed));
                let member = r.record.member();
                self.device_is_free(so_far, member, &r.record.device)?;
                let users: BTreeSet<MemberId> = so_far
                    .iter()
                    .filter(|id| matches!(self.entries[id].body, Body::Admit(_)))
                    .filter_map(|id| self.join_record(id))
                    .filter(|o| o.ticket == t)
                    .map(|o| o.member())
                    .collect();
                if !users.contains(&member) && users.len() >= ticket.uses as usize {
                    return Err(Out::UsedUp);
                }
            }
            Body::AddDevice(a) => {
                let signed = a.signed_record().map_err(|_| Out::Not)?;
                let member = signed.statement.member;
                self.device_record_is_good(&signed, so_far)?;
                if a.vouch.is_some() {
                    found.needed = Role::Steward;
                    found.subject = Some(member);
                    only_if(member != author && self.may_remove(view, author, role, member))?;
                } else {
                    only_if(member == author)?;
                    let mut devices = self.devices(view, &member);
                    devices.remove(&signed.statement.device);
                    only_if(devices.len() < 32)?;
                }
            }
            Body::Remove(_) => {
                let effect = self.effect(&e.id).unwrap();
                let subject = self.subject(&effect, view)?;
                found.subject = Some(subject);
                found.recovery = self.recovery_good(e, view);
                let own = subject == author
                    && match effect {
                        Effect::Device(d) => {
                            self.seniority(view, &author, &d)
                                >= self.seniority(view, &author, &device)
                        }
                        _ => true,
                    };
                found.needed = if subject == author { Role::Member } else { Role::Steward };
                let allowed = own || self.may_remove(view, author, role, subject);
                only_if(found.recovery || allowed)?;
                if found.recovery {
                    found.needed = Role::Member;
                }
            }
            Body::Motion(_) | Body::Checkpoint(_) => {}
            Body::Endorse => {
                let motion = known.ok_or(Out::Not)?;
                only_if(matches!(self.entries[&motion].body, Body::Motion(_)))?;
                found.needed = Role::Steward;
            }
            Body::Enact(_) => {
                found.endorsed = self.count_endorsements(e, view, &mut found.subject)?;
            }
            Body::Accept(_) => {
                let r = first.filter(|r| self.effect(r).is_some()).ok_or(Out::Not)?;
                only_if(self.sound(&r).is_ok())?;
                found.needed = Role::Steward;
            }
            Body::Restore => {
                let admit = first.ok_or(Out::Not)?;
                let Body::Admit(_) = self.entries[&admit].body else { return Err(Out::Not) };
                only_if(self.sound(&admit) != Err(Out::Not))?;
                let r = self.join_record(&admit).unwrap();
                self.device_is_free(so_far, r.member(), &r.device)?;
                found.needed = Role::Steward;
            }
            Body::Readmit(a) => {
                let r = first.ok_or(Out::Not)?;
                let signed = a.signed_record().map_err(|_| Out::Not)?;
                let member = signed.statement.member;
                only_if(self.effect(&r) == Some(Effect::Member(member)))?;
                only_if(self.sound(&r).is_ok())?;
                self.device_record_is_good(&signed, so_far)?;
                found.needed = Role::Steward;
            }
            Body::Epoch(epoch) => {
                only_if(epoch.parents.iter().all(|p| {
                    self.pasts[&e.id].iter().any(|id| {
                        matches!(&self.entries[id].body, Body::Epoch(of) if of.id == *p)
                            && self.sound(id).is_ok()
                    })
                }))?;
            }
            Body::Seal(seal) => {
                let Body::Epoch(epoch) = &self.entries[&known.ok_or(Out::Not)?].body else {
                    return Err(Out::Not);
                };
                only_if(epoch.id == seal.epoch)?;
            }
            _ => return Err(Out::Not),
        }
        only_if(role >= found.needed)?;
        Ok(found)
    }

    /// The owner of what is taken away, if it is there to be taken.
    fn subject(&self, effect: &Effect, view: &Past) -> Result<MemberId, Out> {
        match effect {
            Effect::Member(m) | Effect::Role(m, _) | Effect::Vouch(m, _) => {
                self.role(view, m).map(|_| *m)
            }
            Effect::Device(d) => self.standing(view, d).map(|(m, _, _)| m),
        }
        .ok_or(Out::Not)
    }

    fn may_remove(&self, view: &Past, author: MemberId, role: Role, whom: MemberId) -> bool {
        match self.role(view, &whom) {
            None => false,
            Some(_) if role < Role::Steward => false,
            Some(Role::Steward) => self.rank(view, &author) < self.rank(view, &whom),
            Some(_) => true,
        }
    }

    fn recovery_good(&self, e: &RosterEntry, view: &Past) -> bool {
        let (body, signature) = match &e.body {
            Body::Role(g) => (Body::Role(GrantRole { recovery: None, ..g.clone() }), g.recovery),
            Body::Remove(r) => {
                let mut bare = r.clone();
                bare.recovery = None;
                (Body::Remove(bare), r.recovery)
            }
            _ => return false,
        };
        let (Some(signature), Some(genesis)) = (signature, self.genesis(view)) else {
            return false;
        };
        let act = crate::payload::encode(&body).unwrap();
        let statement = recovery_statement(&self.community, e.header.heads(), &act);
        verify_recovery(&genesis.recovery_key, &statement, &signature).is_ok()
    }

    fn device_is_free(
        &self,
        so_far: &Past,
        member: MemberId,
        device: &crate::id::DeviceId,
    ) -> Result<(), Out> {
        let all = self.all_enrolments(so_far);
        only_if(!all.iter().any(|n| n.device == *device && n.member != member))
    }

    fn device_record_is_good(&self, signed: &SignedDevice, so_far: &Past) -> Result<(), Out> {
        let s = &signed.statement;
        only_if(s.community == self.community)?;
        only_if(once(signed.encode(), || signed.check().is_ok()))?;
        only_if(sealing_key(&s.sealing))?;
        self.device_is_free(so_far, s.member, &s.device)
    }

    fn count_endorsements(
        &self,
        e: &RosterEntry,
        view: &Past,
        subject: &mut Option<MemberId>,
    ) -> Result<usize, Out> {
        let Body::Enact(enact) = &e.body else { return Err(Out::Not) };
        let motion = *e.header.refs().first().filter(|m| view.contains(m)).ok_or(Out::Not)?;
        let Body::Motion(m) = &self.entries[&motion].body else { return Err(Out::Not) };
        match &m.proposal {
            Proposal::Remove(_) => {
                *subject = Some(self.subject(&self.effect(&e.id).unwrap(), view)?);
            }
            Proposal::Grant(g) => {
                only_if(self.role(view, &MemberId::new(*g.member)).is_some())?;
            }
        }
        let stewards: BTreeSet<MemberId> = self
            .all_enrolments(view)
            .into_iter()
            .map(|n| n.member)
            .filter(|m| self.role(view, m) == Some(Role::Steward) && Some(*m) != *subject)
            .collect();
        let counted: BTreeSet<MemberId> = enact
            .endorsements
            .iter()
            .map(|id| EntryId::new(**id))
            .filter(|id| view.contains(id))
            .filter(|id| {
                let e = self.entries[id];
                *id == motion
                    || (e.body == Body::Endorse && e.header.refs().first() == Some(&motion))
            })
            .map(|id| self.sound(&id).unwrap().author)
            .filter(|m| stewards.contains(m))
            .collect();
        let g = self.genesis(view).ok_or(Out::Not)?;
        let needed =
            (stewards.len() * usize::from(g.quorum_num)).div_ceil(usize::from(g.quorum_den));
        only_if(counted.len() >= needed.max(1))?;
        Ok(counted.len())
    }
}
