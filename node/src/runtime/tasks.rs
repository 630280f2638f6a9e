//! The sync sessions under way: who they are with, however they end.
//!
//! A session is a task. A task that panics says nothing about itself, so who it was with is kept here
//! by the task's id: no peer stays "in a session" for ever, and no place stays taken.

use std::collections::HashMap;
use std::future::Future;
use std::time::Instant;

use lanai_crdt::id::DeviceId;
use tokio::sync::watch;
use tokio::task::{Id, JoinSet};

use super::peers::Outcome;
use super::session::SessionEnd;
use crate::sync::Severity;

/// Sessions opened by peers, over all of them.
const MAX_INBOUND: usize = 16;
/// Sessions opened by one peer. Two: it may start anew before the end of the first is noticed.
const MAX_INBOUND_OF_ONE_PEER: usize = 2;
/// Sessions opened by this node.
const MAX_OUTBOUND: usize = 16;

/// Which session.
#[derive(Debug, Clone, Copy)]
pub(super) struct Label {
    /// With whom.
    pub(super) device: DeviceId,
    /// Which visit of it, as `Peers` counts them.
    pub(super) visit: u64,
    /// Whether this node opened it.
    pub(super) opened: bool,
    /// When it was started.
    pub(super) started: Instant,
}

/// All sessions.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    tasks: JoinSet<SessionEnd>,
    labels: HashMap<Id, Label>,
    running: watch::Sender<usize>,
}

impl Sessions {
    /// Starts one.
    pub(super) fn spawn(
        &mut self,
        label: Label,
        session: impl Future<Output = SessionEnd> + Send + 'static,
    ) {
        let task = self.tasks.spawn(session);
        self.labels.insert(task.id(), label);
        self.running.send_replace(self.labels.len());
    }

    /// How many there are, for whoever is to keep out of their way.
    pub(super) fn running(&self) -> watch::Receiver<usize> {
        self.running.subscribe()
    }

    /// Waits for one to end; `None` when there is none. Cancelling loses nothing.
    pub(super) async fn next(&mut self) -> Option<(Label, SessionEnd)> {
        loop {
            let (id, end) = match self.tasks.join_next_with_id().await? {
                Ok((id, end)) => (id, end),
                Err(e) => {
                    let why = "a part of this node failed during the session".to_owned();
                    let outcome = Outcome::Failed { severity: Severity::Local, why };
                    let began = Instant::now();
                    (
                        e.id(),
                        SessionEnd { panicked: e.is_panic(), ..SessionEnd::new(began, outcome) },
                    )
                }
            };
            if let Some(label) = self.labels.remove(&id) {
                self.running.send_replace(self.labels.len());
                return Some((label, end));
            }
        }
    }

    /// Whether there is a place for a session that `device` opens.
    pub(super) fn has_room_for(&self, device: &DeviceId) -> bool {
        let inbound = || self.labels.values().filter(|l| !l.opened);
        inbound().count() < MAX_INBOUND
            && inbound().filter(|l| l.device == *device).count() < MAX_INBOUND_OF_ONE_PEER
    }

    /// How many more this node may open.
    pub(super) fn room(&self) -> usize {
        MAX_OUTBOUND.saturating_sub(self.labels.values().filter(|l| l.opened).count())
    }

    /// Ends all.
    pub(super) async fn shutdown(&mut self) {
        self.tasks.shutdown().await;
        self.labels.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(n: u8, opened: bool) -> Label {
        Label { device: DeviceId::new([n; 32]), visit: 1, opened, started: Instant::now() }
    }

    fn fine() -> SessionEnd {
        SessionEnd::new(Instant::now(), Outcome::Done { more: false, moved: false })
    }

    #[tokio::test]
    async fn a_session_that_panics_is_reported_and_gives_its_place_back() {
        let mut sessions = Sessions::default();
        let running = sessions.running();
        for _ in 0..MAX_INBOUND_OF_ONE_PEER {
            sessions.spawn(label(1, false), async { panic!("on purpose") });
        }
        assert_eq!(*running.borrow(), MAX_INBOUND_OF_ONE_PEER);
        assert!(!sessions.has_room_for(&DeviceId::new([1; 32])));
        assert!(sessions.has_room_for(&DeviceId::new([2; 32])));
        for _ in 0..MAX_INBOUND_OF_ONE_PEER {
            let (label, end) = sessions.next().await.unwrap();
            assert_eq!(label.device, DeviceId::new([1; 32]));
            assert!(end.panicked);
            assert!(matches!(end.outcome, Outcome::Failed { severity: Severity::Local, .. }));
        }
        assert!(sessions.has_room_for(&DeviceId::new([1; 32])));
        assert_eq!(*running.borrow(), 0);
        assert!(sessions.next().await.is_none());
    }

    #[tokio::test]
    async fn places_are_counted_by_who_opened() {
        let mut sessions = Sessions::default();
        for n in 0..MAX_INBOUND {
            let n = u8::try_from(n).unwrap();
            sessions.spawn(label(n, false), std::future::pending());
            sessions.spawn(label(n, true), std::future::pending());
        }
        assert!(!sessions.has_room_for(&DeviceId::new([200; 32])));
        assert_eq!(sessions.room(), 0);
        sessions.shutdown().await;
        assert_eq!(sessions.room(), MAX_OUTBOUND);
        sessions.spawn(label(1, true), async { fine() });
        let (_, end) = sessions.next().await.unwrap();
        assert_eq!(end.outcome, fine().outcome);
    }
}
