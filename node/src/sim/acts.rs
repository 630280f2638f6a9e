//! What members do, and what befalls their machines.

use lanai_crdt::id::EntryId;
use lanai_crdt::payload::{Admit, Body, Checkpoint, Edit, GrantRole, Note, React, Reaction};

use super::engine::{Event, Post, Sim};
use super::forge;
use super::scenario::Act;
use super::{START_MS, node::Node};
use crate::store::StoreError;

/// An act that was done: the entries it wrote.
pub(super) type Done = Result<Vec<EntryId>, StoreError>;

/// Whether a store said no to its member, as opposed to not working.
fn is_refusal(error: &StoreError) -> bool {
    matches!(error, StoreError::NotMember | StoreError::WouldNotCount(_) | StoreError::NoEpochKey)
}

impl Sim<'_> {
    /// Does the step with this number of the timeline.
    pub(super) fn act(&mut self, at: usize) {
        let scenario = self.scenario;
        let Some(step) = scenario.timeline.get(at) else { return };
        let who = step.who.as_deref().and_then(|name| scenario.node(name));
        let name = step.who.as_deref().unwrap_or_default();
        self.tell(|_| format!("{name} {:?}", step.act));
        let Some(who) = who else { return self.befall(None, &step.act) };
        if !step.act.is_written() {
            return self.befall(Some(who), &step.act);
        }
        let Some(done) = self.write(who, &step.act) else {
            // What a seed made need not make sense.
            assert!(scenario.may_refuse, "{name}: {:?} cannot be done now", step.act);
            return;
        };
        match done {
            Ok(ids) => {
                assert!(!step.refused, "{name}: {:?} is not refused", step.act);
                self.report.acts += 1;
                if self.nodes[who].is_honest() {
                    self.nodes[who].written.extend(&ids);
                }
                self.announce(who, &ids);
                if step.act.changes_membership() {
                    self.roster_changed(who, true);
                }
            }
            Err(error) if is_refusal(&error) => {
                self.report.refused += 1;
                assert!(step.refused || scenario.may_refuse, "{name}: {:?}: {error}", step.act);
            }
            Err(error) => panic!("{name}: {:?}: {error}", step.act),
        }
    }

    /// An act that writes entries; `None` if it is none, or cannot be done now.
    fn write(&mut self, who: usize, act: &Act) -> Option<Done> {
        if !matches!(act, Act::Join { .. }) && !self.nodes[who].is_there(self.now) {
            return None;
        }
        let now = self.now;
        Some(match act {
            Act::Post { name, text } => {
                let title = text.chars().take(60).collect();
                let text = text.clone();
                let body = Body::Note(Note { title, text, tags: vec![], origin: None });
                let id = match self.nodes[who].me.write(body, [], now) {
                    Ok(id) => id,
                    Err(e) => return Some(Err(e)),
                };
                self.posted(name.as_ref(), Post { id, thread: id, by: who });
                Ok(vec![id])
            }
            Act::Reply { to, name, text } => {
                let to = self.post(who, to.as_ref(), |_| true)?;
                let refs = match to.id == to.thread {
                    true => vec![to.thread],
                    false => vec![to.thread, to.id],
                };
                let id = match self.nodes[who].me.write(forge::post(text.clone()), refs, now) {
                    Ok(id) => id,
                    Err(e) => return Some(Err(e)),
                };
                self.posted(name.as_ref(), Post { id, thread: to.thread, by: who });
                Ok(vec![id])
            }
            Act::Edit { of, text } => {
                let of = self.post(who, of.as_ref(), |p| p.by == who)?;
                let node = &mut self.nodes[who];
                let held = |id: &&EntryId| {
                    node.me.store().unknown(&[**id]).is_ok_and(|unknown| unknown.is_empty())
                };
                let before = node.last_edit.get(&of.id).filter(held).copied();
                let refs = [of.thread, of.id].into_iter().chain(before);
                let edit = Body::Edit(Edit { text: text.clone() });
                let done = node.me.write(edit, refs, now);
                if let Ok(id) = &done {
                    node.last_edit.insert(of.id, *id);
                }
                done.map(|id| vec![id])
            }
            Act::React { to } => {
                let to = self.post(who, to.as_ref(), |_| true)?;
                let react = Body::React(React { reaction: Reaction::Thanks, on: true });
                self.nodes[who].me.write(react, [to.thread, to.id], now).map(|id| vec![id])
            }
            Act::Ticket { name, uses, role, expires } => {
                let expires = expires.map(|s| START_MS + s * 1000);
                let ticket = self.nodes[who].me.ticket(*uses, (*role).into(), expires, now);
                ticket.map(|ticket| {
                    self.tickets.insert(name.clone(), ticket);
                    vec![ticket.0]
                })
            }
            Act::CloseTicket { ticket } => {
                let (entry, _) = *self.tickets.get(ticket)?;
                self.nodes[who].me.write(Body::TicketClose, [entry], now).map(|id| vec![id])
            }
            Act::Join { ticket, through } => {
                let through = self.scenario.node(through)?;
                self.join(who, ticket, through)?
            }
            Act::Admit { ticket, count, again } => {
                let ticket = *self.tickets.get(ticket)?;
                let again = match again {
                    Some(name) => Some(self.scenario.node(name)?),
                    None => None,
                };
                let admitted = (0..*count).map(|_| {
                    let record = match again {
                        Some(node) => self.nodes[node].me.join_record(self.community, &ticket),
                        None => forge::stranger(&mut self.rng, self.community, &ticket),
                    };
                    let admit = Body::Admit(Admit { record: record.encode().into() });
                    self.nodes[who].me.write(admit, [ticket.0], now)
                });
                admitted.collect()
            }
            Act::Grant { to, role } => {
                let to = self.scenario.node(to)?;
                let member = self.nodes[to].me.member?;
                let grant = GrantRole {
                    member: (*member.as_bytes()).into(),
                    role: (*role).into(),
                    recovery: None,
                };
                self.nodes[who].me.write(Body::Role(grant), [], now).map(|id| vec![id])
            }
            Act::Checkpoint => {
                let body = Body::Checkpoint(Checkpoint::default());
                self.nodes[who].me.write(body, [], now).map(|id| vec![id])
            }
            Act::Remove { .. }
            | Act::Demote { .. }
            | Act::Motion { .. }
            | Act::Endorse { .. }
            | Act::Enact { .. }
            | Act::Accept { .. }
            | Act::Readmit { .. }
            | Act::Vouch { .. }
            | Act::LetIn { .. } => return self.govern(who, act),
            Act::Turn => {
                let Node { me, hostile, .. } = &mut self.nodes[who];
                if let Some(hostile) = hostile {
                    hostile.turn(me, now);
                }
                Ok(Vec::new())
            }
            Act::Split { .. }
            | Act::Heal
            | Act::Carry { .. }
            | Act::Crash { .. }
            | Act::Suspend { .. }
            | Act::Clock { .. }
            | Act::Backup
            | Act::Restore
            | Act::HalfOpen { .. }
            | Act::Move
            | Act::Meet { .. } => return None,
        })
    }

    /// A newcomer at a member's door. `None` when there is nobody, or nobody to ask.
    fn join(&mut self, who: usize, ticket: &str, through: usize) -> Option<Done> {
        if self.nodes[who].me.has_home()
            || !self.nodes[who].up
            || !self.nodes[through].is_there(self.now)
            || !self.reach(who, through)
        {
            return None;
        }
        let ticket = *self.tickets.get(ticket)?;
        let now = self.now;
        let record = self.nodes[who].me.join_record(self.community, &ticket);
        let door = &mut self.nodes[through].me;
        let written = match door.admit(&record, now) {
            Ok(Some(written)) => written,
            Ok(None) => return Some(Err(StoreError::NotMember)),
            Err(e) => return Some(Err(e)),
        };
        let roster = door.store().roster_entries().expect("a store that works");
        if self.nodes[through].is_honest() {
            self.nodes[through].written.extend(&written);
        }
        self.announce(through, &written);
        let profile = self.nodes[who].me.join(self.community, &roster, now);
        Some(profile.map(|profile| profile.into_iter().collect()))
    }

    fn posted(&mut self, name: Option<&String>, post: Post) {
        if let Some(name) = name {
            self.named.insert(name.clone(), post.clone());
        }
        self.posts.push(post);
    }

    /// The post with this name, or one by chance, that the node holds.
    fn post(
        &mut self,
        who: usize,
        name: Option<&String>,
        fits: impl Fn(&Post) -> bool,
    ) -> Option<Post> {
        let holds = |post: &Post| {
            self.nodes[who].me.store().unknown(&[post.id]).is_ok_and(|unknown| unknown.is_empty())
        };
        if let Some(name) = name {
            let post = self.named.get(name);
            let me = &self.nodes[who].me.name;
            let post = post.unwrap_or_else(|| panic!("nothing is called {name} yet"));
            assert!(holds(post), "{me} does not hold {name} yet");
            return Some(post.clone());
        }
        let mut rng = self.rng.clone();
        let found = (0..8).find_map(|_| {
            let post = self.posts.get(rng.place(self.posts.len()))?;
            (fits(post) && holds(post)).then(|| post.clone())
        });
        self.rng = rng;
        found
    }

    /// What happens to a machine or to the network.
    fn befall(&mut self, who: Option<usize>, act: &Act) {
        match (act, who) {
            (Act::Split { groups }, _) => {
                for node in &mut self.nodes {
                    let group = groups.iter().position(|g| g.contains(&node.me.name));
                    node.side = group.map_or(0, |g| g + 1);
                }
                self.cut_apart();
            }
            (Act::Heal, _) => self.nodes.iter_mut().for_each(|n| n.side = 0),
            (Act::Carry { to }, Some(who)) => {
                if let Some(to) = self.scenario.node(to) {
                    self.nodes[who].side = self.nodes[to].side;
                    self.cut_apart();
                }
            }
            (Act::Crash { back_after }, Some(who)) if self.nodes[who].up => {
                self.crash(who);
                let time = self.now + back_after * 1000;
                self.at(time, Event::Restart { node: who });
            }
            (Act::Suspend { seconds }, Some(who)) => {
                self.nodes[who].asleep_until = self.now + seconds * 1000;
            }
            (Act::HalfOpen { from, seconds }, Some(who)) => {
                let from = from.as_ref().and_then(|name| self.scenario.node(name));
                self.half_open(from, who, *seconds);
            }
            (Act::Move, Some(who)) => self.moved(who),
            (Act::Clock { shows }, Some(who)) => self.nodes[who].set_clock(*shows),
            (Act::Backup, Some(who)) if self.nodes[who].is_there(self.now) => {
                self.nodes[who].me.backup().expect("a directory that works");
            }
            (Act::Restore, Some(who)) if self.nodes[who].is_there(self.now) => self.restore(who),
            (Act::Meet { with }, Some(who)) => {
                if let Some(with) = self.scenario.node(with) {
                    self.connect(who, with);
                }
            }
            _ => {}
        }
    }

    /// Puts a node's home back to its copy. What it wrote since may be gone with it.
    fn restore(&mut self, who: usize) {
        let held = self.held_or_written(who);
        self.crash(who);
        let restored = self.nodes[who].me.restore().expect("a directory that works");
        self.nodes[who].start();
        if !restored {
            return;
        }
        let store = self.nodes[who].me.store();
        self.put_back.extend(store.unknown(&held).expect("a store that works"));
    }

    /// What may be gone when a node's home is: all that it holds, and all that it wrote.
    pub(super) fn held_or_written(&self, who: usize) -> Vec<EntryId> {
        let held = self.nodes[who].me.store().items().expect("a store that works").items;
        let written = self.nodes[who].written.iter().copied();
        held.iter().map(|item| item.id).chain(written).collect()
    }
}
