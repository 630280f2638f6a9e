//! Comparing whole sets: what a session does where news do not explain the difference.
//!
//! The side that drives learns what only it has, which it puts into order and sends, and what only the peer has, which
//! it asks for. The other side answers, and is told.

use lanai_crdt::id::EntryId;

use super::{Phase, Session};
use crate::sync::config::{MAX_ROUNDS, MAX_SESSION_ENTRIES};
use crate::sync::error::SessionError;
use crate::sync::event::Query;
use crate::sync::frame::{FrameType, put_frame};
use crate::sync::reconcile::{ItemSet, Reconciler, SyncItem};
use crate::sync::tree::Tree;

impl Session {
    /// Compares whole sets, at once or after news that did not explain everything.
    pub(super) fn start_reconciliation(&mut self) {
        let told = self.phase == Phase::News;
        self.phase = Phase::Reconcile;
        // The driver always ends its wants; the other side has some only if it said so.
        let wants_payloads = self.peer_digest.is_some_and(|d| d.wants_payloads);
        self.peer_wants_done = self.drives && !wants_payloads;
        if told && !self.drives && self.state.wants_payloads() {
            self.queue_wants(true);
        }
        self.queries.push_back(Query::Set);
    }

    pub(super) fn on_set(&mut self, tree: Tree) -> Result<(), SessionError> {
        self.held = tree.len();
        if self.drives {
            let (reconciler, first) = Reconciler::drive(tree, &self.nonce);
            self.reconciler = Some(reconciler);
            self.send_rb(&first);
            return Ok(());
        }
        self.reconciler = Some(Reconciler::answering(tree));
        match self.early.take() {
            Some(message) => self.on_rb(message),
            None => Ok(()),
        }
    }

    fn send_rb(&mut self, message: &[u8]) {
        self.summary.rounds += 1;
        put_frame(&mut self.out, FrameType::Rb, message);
    }

    pub(super) fn on_rb(&mut self, message: Vec<u8>) -> Result<(), SessionError> {
        let Some(reconciler) = &mut self.reconciler else {
            // The driver may be quicker than this side's store, by one message.
            if self.drives || self.early.is_some() {
                return Err(SessionError::Unexpected(FrameType::Rb));
            }
            self.early = Some(message);
            return Ok(());
        };
        if !self.drives {
            let answer = reconciler.answer(&message)?;
            if self.summary.rounds == MAX_ROUNDS {
                return Err(SessionError::TooManyRounds);
            }
            self.send_rb(&answer);
            return Ok(());
        }
        let most = self.config.session_entries.min(MAX_SESSION_ENTRIES);
        let learnt = reconciler.learn(&message, most)?;
        self.summary.more |= learnt.more;
        self.have.extend(learnt.have);
        if self.have.len() > 2 * most {
            self.keep_first(most);
        }
        self.need.extend(learnt.need);
        let slack = 10_000;
        let peer_entries = usize::try_from(self.summary.peer_entries).unwrap_or(usize::MAX);
        if self.need.len() > peer_entries.saturating_mul(2).saturating_add(slack) {
            return Err(SessionError::TooManyDifferences);
        }
        let enough = self.summary.rounds == MAX_ROUNDS || self.need.len() >= most;
        match learnt.reply {
            Some(next) if !enough => self.send_rb(&next),
            reply => {
                self.summary.more |= reply.is_some();
                self.end_reconciliation();
            }
        }
        Ok(())
    }

    /// Of what only this side has, what is to be sent first.
    fn keep_first(&mut self, most: usize) {
        self.have.sort_unstable();
        self.have.dedup();
        self.summary.more |= self.have.len() > most;
        self.have.truncate(most);
    }

    /// The driver knows the differences.
    fn end_reconciliation(&mut self) {
        self.reconciler = None;
        let most = self.config.session_entries.min(MAX_SESSION_ENTRIES);
        self.keep_first(most);
        self.need.sort_unstable();
        self.need.dedup();
        let most = self.terms.needed(most);
        self.summary.more |= self.need.len() > most;
        self.summary.left_out += self.need.len().saturating_sub(most) as u64;
        self.need.truncate(most);
        // That both sides hold the same in the end is noted only if the differences explain both counts.
        let union = |held: u64, lacking: usize| held.checked_add(lacking as u64);
        let mine = union(self.state.entries(), self.need.len());
        if mine == union(self.summary.peer_entries, self.have.len()) {
            self.expected = Some(self.need.len() as u64);
        }
        self.queue_wants(false);
        let ids = self.have.iter().map(|key| key.id).collect();
        self.queries.push_back(Query::Places { ids });
        self.phase = Phase::Transfer;
    }

    /// What is to be sent can be put into order.
    pub(super) fn on_places(&mut self, items: Vec<SyncItem>) {
        self.items = ItemSet::new(items);
        if self.drives {
            let mut ids: Vec<EntryId> =
                std::mem::take(&mut self.have).into_iter().map(|key| key.id).collect();
            ids.sort_unstable();
            // One that is gone again can be had from the peer only.
            self.summary.more |= self.plan(&ids).contains(&false);
            return;
        }
        let wants = std::mem::take(&mut self.peer_wants);
        let mut places: Vec<(EntryId, u64)> = wants.into_iter().zip(0..).collect();
        places.sort_unstable();
        places.dedup_by_key(|(id, _)| *id);
        let ids: Vec<EntryId> = places.iter().map(|(id, _)| *id).collect();
        let found = self.plan(&ids);
        let missing = places.iter().zip(found).filter(|(_, found)| !found);
        let mut missing: Vec<u64> = missing.map(|((_, place), _)| *place).collect();
        missing.sort_unstable();
        self.send_skip(false, missing);
    }
}
