//! Acts by which membership is taken away, given back and decided on together.

use lanai_crdt::id::{EntryId, MemberId};
use lanai_crdt::limits::MAX_CUT_HEADS;
use lanai_crdt::payload::{
    self, Accept, AddDevice, Body, Enact, Motion, Proposal, Readmit, Remove, Subject,
    recovery_statement, sign_recovery,
};
use minicbor::bytes::{ByteArray, ByteVec};

use super::acts::Done;
use super::engine::Sim;
use super::scenario::Act;

fn ascending(ids: impl IntoIterator<Item = EntryId>) -> Vec<ByteArray<32>> {
    let mut ids: Vec<[u8; 32]> = ids.into_iter().map(|id| *id.as_bytes()).collect();
    ids.sort_unstable();
    ids.dedup();
    ids.into_iter().map(ByteArray::from).collect()
}

impl Sim<'_> {
    /// Does one; `None` if it cannot be done now.
    pub(super) fn govern(&mut self, who: usize, act: &Act) -> Option<Done> {
        let now = self.now;
        Some(match act {
            Act::Remove { member, recovery, erasing } => {
                let member = self.member(member)?;
                let subject = Subject::Member((*member.as_bytes()).into());
                let cut = if *erasing { Vec::new() } else { self.cut_of(who, &member) };
                let mut remove = Remove { subject, cut, recovery: None };
                if *recovery {
                    let body = payload::encode(&Body::Remove(remove.clone())).ok()?;
                    let roster = self.nodes[who].me.store().roster().ok()?;
                    let statement = recovery_statement(&self.community, roster.frontier(), &body);
                    let signature = sign_recovery(&self.recovery.to_bytes(), &statement);
                    remove.recovery = Some(signature.0.into());
                }
                self.nodes[who].me.write(Body::Remove(remove), [], now).map(|id| vec![id])
            }
            Act::Demote { member, role } => {
                let member = self.member(member)?;
                let subject = Subject::Role((*member.as_bytes()).into(), (*role).into());
                let remove = Remove { subject, cut: self.cut_of(who, &member), recovery: None };
                self.nodes[who].me.write(Body::Remove(remove), [], now).map(|id| vec![id])
            }
            Act::Motion { name, remove } => {
                let member = self.member(remove)?;
                let subject = Subject::Member((*member.as_bytes()).into());
                let motion = Motion { proposal: Proposal::Remove(subject) };
                let done = self.nodes[who].me.write(Body::Motion(motion), [], now);
                if let Ok(id) = &done {
                    // The motion is its author's endorsement.
                    self.motions.insert(name.clone(), (*id, vec![*id]));
                }
                done.map(|id| vec![id])
            }
            Act::Endorse { motion } => {
                let (entry, endorsements) = self.motions.get_mut(motion)?;
                let done = self.nodes[who].me.write(Body::Endorse, [*entry], now);
                endorsements.extend(&done);
                done.map(|id| vec![id])
            }
            Act::Enact { motion } => {
                let (entry, endorsements) = self.motions.get(motion)?.clone();
                let roster = self.nodes[who].me.store().roster().ok()?;
                let subject =
                    roster.motions().find(|m| m.entry == entry).and_then(|m| match &m.proposal {
                        Proposal::Remove(Subject::Member(id) | Subject::Role(id, _)) => {
                            Some(MemberId::new(**id))
                        }
                        _ => None,
                    });
                let unknown = self.nodes[who].me.store().unknown(&endorsements).ok()?;
                let held = endorsements.into_iter().filter(|id| !unknown.contains(id));
                let enact = Enact {
                    endorsements: ascending(held),
                    cut: subject.map_or(Vec::new(), |m| self.cut_of(who, &m)),
                };
                self.nodes[who].me.write(Body::Enact(enact), [entry], now).map(|id| vec![id])
            }
            Act::Accept { member } => {
                let removal = self.removal_of(who, member)?;
                let accept = Accept { heads: self.cut_of(who, &self.member(member)?) };
                self.nodes[who].me.write(Body::Accept(accept), [removal], now).map(|id| vec![id])
            }
            Act::Readmit { member } => {
                let removal = self.removal_of(who, member)?;
                let body = |record| Body::Readmit(Readmit { record });
                self.let_back_in(who, member, Some(removal), body)?
            }
            Act::Vouch { member } => {
                let vouch = Some(self.cut_of(who, &self.member(member)?));
                let body = |record| Body::AddDevice(AddDevice { record, vouch });
                self.let_back_in(who, member, None, body)?
            }
            Act::LetIn { member: name } => {
                let member = self.member(name)?;
                if let Some(node) = self.scenario.node(name) {
                    self.nodes[node].me.away = true;
                }
                let roster = self.nodes[who].me.store().roster().ok()?;
                let admit = roster.member(&member)?.admitted_entry;
                let done = self.nodes[who].me.write(Body::Restore, [admit], now);
                done.and_then(|id| {
                    let mut written = vec![id];
                    written.extend(self.nodes[who].me.top_up(now)?);
                    Ok(written)
                })
            }
            _ => return None,
        })
    }

    fn member(&self, name: &str) -> Option<MemberId> {
        self.nodes[self.scenario.node(name)?].me.member
    }

    /// By which entry `who` knows somebody to be removed.
    fn removal_of(&self, who: usize, name: &str) -> Option<EntryId> {
        let member = self.member(name)?;
        let roster = self.nodes[who].me.store().roster().ok()?;
        roster.former().find(|f| f.id == member).map(|f| f.removed_by)
    }

    /// The heads of a member's logs as `who` holds them.
    fn cut_of(&self, who: usize, member: &MemberId) -> Vec<ByteArray<32>> {
        let store = self.nodes[who].me.store();
        let roster = store.roster().expect("a store that works");
        let former = || roster.former().find(|f| f.id == *member).map(|f| f.devices.clone());
        let devices = roster.member(member).map(|m| m.devices.clone()).or_else(former);
        let devices = devices.unwrap_or_default();
        let heads = store.log_heads().expect("a store that works");
        let own =
            heads.into_iter().filter(|(log, ..)| devices.iter().any(|d| d.device == log.device));
        let mut cut = ascending(own.map(|(.., id)| id));
        cut.truncate(MAX_CUT_HEADS);
        cut
    }

    /// Somebody who was removed, or lost every device, comes to the door of a steward with new keys.
    /// `body` is of the entry that lets them in, by the record of those keys.
    fn let_back_in(
        &mut self,
        who: usize,
        name: &str,
        refs: Option<EntryId>,
        body: impl FnOnce(ByteVec) -> Body,
    ) -> Option<Done> {
        let back = self.scenario.node(name)?;
        let member = self.nodes[back].me.member?;
        // Nobody opens the own door from outside.
        if back == who || !self.nodes[back].up || !self.reach(who, back) {
            return None;
        }
        // The old home stays behind, with what nobody took of it.
        let behind = self.held_or_written(back);
        self.put_back.extend(behind);
        self.crash(back);
        let node = &mut self.nodes[back];
        node.up = true;
        let record = node.me.renew(self.community, member);
        let body = body(record.encode().into());
        let door = &mut self.nodes[who].me;
        let mut written = match door.write(body, refs, self.now) {
            Ok(id) => vec![id],
            Err(e) => return Some(Err(e)),
        };
        match door.top_up(self.now) {
            Ok(seals) => written.extend(seals),
            Err(e) => return Some(Err(e)),
        }
        let roster = door.store().roster_entries().expect("a store that works");
        let profile = self.nodes[back].me.join(self.community, &roster, self.now);
        Some(profile.map(|profile| {
            self.nodes[back].written.extend(profile);
            self.announce(back, profile.as_slice());
            written
        }))
    }
}
