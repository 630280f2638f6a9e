//! Rule 6: motions, endorsements and what enacts them.
//!
//! An enact lists the endorsements it rests on. They are counted in its own view, and so is the
//! quorum: distinct members who are stewards there, the subject left out. The enact is what acts; who
//! wrote it plays no part.

use std::collections::BTreeMap;

use super::graph::{Node, View};
use super::judge::{Deed, judge_subject};
use super::standing::{Ledger, MemberNo};
use super::verdict::Reason;
use crate::id::MemberId;
use crate::payload::{Enact, Proposal, Role};

/// A sound motion.
#[derive(Debug, Clone)]
pub(super) struct MotionState {
    pub(super) proposal: Proposal,
    pub(super) author: MemberNo,
    /// Sound endorsements and who made them.
    pub(super) endorsements: Vec<(Node, MemberNo)>,
    /// Sound enacts.
    pub(super) enacts: Vec<Node>,
}

/// All sound motions, by their node.
pub(super) type Motions = BTreeMap<Node, MotionState>;

/// The motion in `refs[0]`.
pub(super) fn find<'l>(
    ledger: &'l Ledger,
    view: &View<'_>,
    motion: Option<Node>,
) -> Result<(Node, &'l MotionState), Reason> {
    let node = motion.filter(|n| view.has(*n)).ok_or(Reason::NoMotion)?;
    Ok((node, ledger.motions.get(&node).ok_or(Reason::NoMotion)?))
}

/// How many endorsements a decision about `subject` takes in `view`.
pub(super) fn needed(ledger: &Ledger, view: &View<'_>, subject: Option<MemberNo>) -> u32 {
    let stewards = ledger.stewards(view).filter(|m| Some(*m) != subject).count();
    let (num, den) = ledger.founding.as_ref().map_or((1, 1), |f| f.quorum);
    let needed = (stewards as u64 * u64::from(num)).div_ceil(u64::from(den.max(1)));
    u32::try_from(needed).unwrap_or(u32::MAX).max(1)
}

/// What a motion proposes, and whom its endorsers may not be.
pub(super) fn judge_proposal(
    ledger: &Ledger,
    view: &View<'_>,
    proposal: &Proposal,
) -> Result<(Deed, Option<MemberNo>), Reason> {
    match proposal {
        Proposal::Remove(subject) => {
            let taken = judge_subject(ledger, view, subject)?;
            Ok((Deed::Take(taken), Some(taken.member())))
        }
        Proposal::Grant(grant) => {
            let member = ledger.member_no(&MemberId::new(*grant.member));
            let member = member.filter(|m| ledger.role(view, *m).is_some());
            let member = member.ok_or(Reason::GranteeNotMember)?;
            Ok((Deed::Grant(member, grant.role), None))
        }
    }
}

/// The members whose endorsements, among those named, count in `view`.
pub(super) fn endorsers(
    ledger: &Ledger,
    view: &View<'_>,
    (node, motion): (Node, &MotionState),
    named: impl Fn(Node) -> bool,
    subject: Option<MemberNo>,
) -> Vec<MemberNo> {
    let own = (node, motion.author);
    let all = motion.endorsements.iter().chain(std::iter::once(&own));
    let mut members: Vec<MemberNo> = all
        .filter(|(n, m)| Some(*m) != subject && named(*n) && view.has(*n))
        .map(|(_, m)| *m)
        .collect();
    members.sort_unstable();
    members.dedup();
    members.retain(|m| ledger.role(view, *m) == Some(Role::Steward));
    members
}

/// An enact that holds.
#[derive(Debug)]
pub(super) struct Enacted {
    pub(super) motion: Node,
    pub(super) deed: Deed,
    /// Endorsements that count: the strength of a revocation.
    pub(super) endorsements: u32,
    pub(super) moved_by: MemberNo,
}

/// Whether an enact holds in `view`.
pub(super) fn judge_enact(
    ledger: &Ledger,
    view: &View<'_>,
    first: Option<Node>,
    enact: &Enact,
) -> Result<Enacted, Reason> {
    let (node, motion) = find(ledger, view, first)?;
    let (deed, subject) = judge_proposal(ledger, view, &motion.proposal)?;
    let mut named: Vec<Node> = enact
        .endorsements
        .iter()
        .filter_map(|id| view.graph.node(&crate::id::EntryId::new(**id)))
        .collect();
    named.sort_unstable();
    let members =
        endorsers(ledger, view, (node, motion), |n| named.binary_search(&n).is_ok(), subject);
    let has = u32::try_from(members.len()).unwrap_or(u32::MAX);
    let needs = needed(ledger, view, subject);
    if has < needs {
        return Err(Reason::TooFewEndorsements { has, needs });
    }
    Ok(Enacted { motion: node, deed, endorsements: has, moved_by: motion.author })
}
