//! Rule 16: epochs of the community's circle and the seals of their keys.

use std::collections::BTreeMap;

use super::graph::{Node, View};
use super::standing::Ledger;
use super::verdict::Reason;
use crate::id::{EntryId, EpochId};
use crate::payload::{Epoch, Seal};

/// A sound epoch.
#[derive(Debug, Clone)]
pub(super) struct EpochState {
    pub(super) id: EpochId,
    /// Sound seal entries.
    pub(super) seals: Vec<Node>,
}

/// All sound epochs, by their node.
#[derive(Debug, Clone, Default)]
pub(super) struct Epochs {
    pub(super) by_node: BTreeMap<Node, EpochState>,
    by_id: BTreeMap<EpochId, Vec<Node>>,
}

impl Epochs {
    pub(super) fn add(&mut self, node: Node, epoch: &Epoch) {
        let id = EpochId::new(*epoch.id);
        self.by_id.entry(id).or_default().push(node);
        self.by_node.insert(node, EpochState { id, seals: Vec::new() });
    }

    pub(super) fn seal(&mut self, epoch: Node, seal: Node) {
        if let Some(state) = self.by_node.get_mut(&epoch) {
            state.seals.push(seal);
        }
    }
}

/// An epoch follows epochs that its author could know, struck ones too: what was written under the
/// key of somebody who was removed meanwhile is to be read by those who come later.
/// `refs` are in the past of an entry that is written; of one that may be, nothing is yet.
pub(super) fn judge_epoch(
    ledger: &Ledger,
    view: &View<'_>,
    refs: &[EntryId],
    epoch: &Epoch,
) -> Result<(), Reason> {
    let named = |n: &Node| refs.iter().any(|id| view.graph.node(id) == Some(*n));
    let known = |id: &EpochId| {
        let nodes = ledger.epochs.by_id.get(id);
        nodes.is_some_and(|nodes| nodes.iter().any(|n| view.saw(*n) || named(n)))
    };
    if epoch.parents.iter().all(|p| known(&EpochId::new(**p))) {
        Ok(())
    } else {
        Err(Reason::UnknownParentEpoch)
    }
}

/// A seal entry names the epoch entry in `refs[0]` and repeats its id.
pub(super) fn judge_seal(
    ledger: &Ledger,
    view: &View<'_>,
    epoch: Option<Node>,
    seal: &Seal,
) -> Result<Node, Reason> {
    let node = epoch.filter(|n| view.has(*n)).ok_or(Reason::NoEpoch)?;
    let state = ledger.epochs.by_node.get(&node).ok_or(Reason::NoEpoch)?;
    if state.id.as_bytes() == &*seal.epoch { Ok(node) } else { Err(Reason::NoEpoch) }
}
