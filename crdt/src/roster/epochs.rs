//! Rule 16: epochs of the community's circle and the seals of their keys.

use std::collections::BTreeMap;

use super::SealedKey;
use super::graph::{Node, View};
use super::standing::Ledger;
use super::verdict::Reason;
use crate::id::{DeviceId, EpochId};
use crate::payload::{Epoch, Seal};

/// An epoch that counts.
#[derive(Debug, Clone)]
pub(super) struct EpochState {
    pub(super) id: EpochId,
    pub(super) parents: Vec<EpochId>,
    pub(super) links: Vec<u8>,
    pub(super) author: DeviceId,
    pub(super) sealed_to: BTreeMap<DeviceId, Vec<SealedKey>>,
}

/// All epochs that count, by their node.
#[derive(Debug, Clone, Default)]
pub(super) struct Epochs {
    pub(super) by_node: BTreeMap<Node, EpochState>,
    by_id: BTreeMap<EpochId, Vec<Node>>,
}

impl Epochs {
    pub(super) fn add(&mut self, node: Node, author: DeviceId, epoch: &Epoch) {
        let id = EpochId::new(*epoch.id);
        self.by_id.entry(id).or_default().push(node);
        let parents = epoch.parents.iter().map(|p| EpochId::new(**p)).collect();
        let links = epoch.links.to_vec();
        let sealed_to = BTreeMap::new();
        self.by_node.insert(node, EpochState { id, parents, links, author, sealed_to });
    }

    pub(super) fn seal(&mut self, epoch: Node, seal: &Seal, made: impl Fn([u8; 80]) -> SealedKey) {
        if let Some(state) = self.by_node.get_mut(&epoch) {
            for part in &seal.seals {
                let device = DeviceId::new(*part.device);
                state.sealed_to.entry(device).or_default().push(made(*part.sealed));
            }
        }
    }
}

/// An epoch follows epochs that its author could know.
pub(super) fn judge_epoch(ledger: &Ledger, view: &View<'_>, epoch: &Epoch) -> Result<(), Reason> {
    let known = |id: &EpochId| {
        let nodes = ledger.epochs.by_id.get(id);
        nodes.is_some_and(|nodes| nodes.iter().any(|n| ledger.holds(view, *n)))
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
    let node = epoch.filter(|n| ledger.holds(view, *n)).ok_or(Reason::NoEpoch)?;
    let state = ledger.epochs.by_node.get(&node).ok_or(Reason::NoEpoch)?;
    if state.id.as_bytes() == &*seal.epoch { Ok(node) } else { Err(Reason::NoEpoch) }
}
