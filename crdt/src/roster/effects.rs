//! What a sound entry adds to the ledger.

use super::RosterEntry;
use super::graph::{Node, View};
use super::judge::{Deed, Effect, Found};
use super::motions::MotionState;
use super::rank::RankId;
use super::standing::{Enrolment, Founding, Grant, Joining, Ledger, MemberNo, Seen, Taken};
use super::tickets::{AdmissionState, TicketState};
use crate::id::DeviceId;
use crate::payload::{Body, JoinRecord, Role};

/// Adds the effects of the sound entry at `at`, which was judged in `view`.
pub(super) fn apply(
    ledger: &mut Ledger,
    view: &View<'_>,
    at: Node,
    entry: &RosterEntry,
    found: Found,
) {
    let Some(by) = found.by else {
        if let Effect::Found(records) = found.effect {
            let records: Vec<JoinRecord> = records.into_iter().map(|r| r.record).collect();
            found_community(ledger, at, entry, &records);
        }
        return;
    };
    match found.effect {
        Effect::Ticket => {
            let Body::Ticket(ticket) = &entry.body else { return };
            let state = TicketState {
                key: *ticket.key,
                role: ticket.role,
                uses: ticket.uses,
                expires: ticket.expires,
                sponsor: by.member,
                admissions: Vec::new(),
                closes: Vec::new(),
            };
            ledger.tickets.by_node.insert(at, state);
        }
        Effect::Close(ticket) => {
            if let Some(ticket) = ledger.tickets.by_node.get_mut(&ticket) {
                ticket.closes.push(at);
            }
        }
        Effect::Admit { ticket, record } => {
            let Some(state) = note_admission(ledger, at, by, ticket, *record) else { return };
            if let Some(ticket) = ledger.tickets.by_node.get_mut(&ticket) {
                ticket.admissions.push((at, state.record.member()));
            }
            let joining =
                Joining { node: at, admitted_by: Some(by.member), sponsor: Some(state.sponsor) };
            bring_in(ledger, view, joining, &state, state.sponsor);
        }
        Effect::Restore { admission } => {
            let Some(state) = ledger.tickets.admissions.get(&admission).cloned() else { return };
            let joining =
                Joining { node: at, admitted_by: Some(by.member), sponsor: Some(state.sponsor) };
            bring_in(ledger, view, joining, &state, by.member);
        }
        Effect::Grant(member, role) => grant(ledger, view, at, member, role, by.member),
        Effect::Enrol { member, statement, vouch } => {
            let cap = if vouch { acting_rank(ledger, view, by) } else { by.cap };
            let enrolment = Enrolment { node: at, member, sealing: statement.sealing, cap };
            ledger.enrol(statement.device, enrolment);
            if vouch {
                ledger.revoke(at, Taken::Vouch(member, statement.device));
            }
        }
        Effect::Readmit { member, statement } => {
            ledger.join(member, Joining { node: at, admitted_by: Some(by.member), sponsor: None });
            enrol(ledger, at, member, statement.device, statement.sealing);
            grant(ledger, view, at, member, Role::Member, by.member);
        }
        Effect::Take(taken) => ledger.revoke(at, taken),
        Effect::Motion => {
            let Body::Motion(motion) = &entry.body else { return };
            let state = MotionState {
                proposal: motion.proposal.clone(),
                author: by.member,
                endorsements: Vec::new(),
                enacts: Vec::new(),
            };
            ledger.motions.insert(at, state);
        }
        Effect::Endorse(motion) => {
            if let Some(motion) = ledger.motions.get_mut(&motion) {
                motion.endorsements.push((at, by.member));
            }
        }
        Effect::Enact(enacted) => {
            if let Some(motion) = ledger.motions.get_mut(&enacted.motion) {
                motion.enacts.push(at);
            }
            match enacted.deed {
                Deed::Take(taken) => ledger.revoke(at, taken),
                Deed::Grant(member, role) => {
                    // Rule 4: the mover is the sponsor, or who enacts if the mover is gone.
                    let mover = ledger.rank(view, enacted.moved_by).map(|_| enacted.moved_by);
                    grant(ledger, view, at, member, role, mover.unwrap_or(by.member));
                }
            }
        }
        Effect::Accept(removal) => ledger.cuts.accepts.push((at, removal)),
        Effect::Join => {
            // Rule 10: what leads and stewards say they hold widens cuts.
            if by.role >= Role::Lead
                && matches!(&entry.body, Body::Checkpoint(c) if !c.seen.is_empty())
            {
                ledger.cuts.checkpoints.push((at, by.member));
            }
        }
        Effect::Epoch => {
            let Body::Epoch(epoch) = &entry.body else { return };
            ledger.epochs.add(at, epoch);
        }
        Effect::Seal(epoch) => ledger.epochs.seal(epoch, at),
        Effect::Found(_) => {}
    }
}

/// Rule 7: the rank by which a member acts with a device: its own, and no more senior than the
/// vouching that brought the device.
pub(super) fn acting_rank(ledger: &Ledger, view: &View<'_>, by: Seen) -> Option<RankId> {
    let rank = ledger.rank(view, by.member)?;
    Some(match by.cap {
        Some(cap) if ledger.ranks.compare(cap, rank).is_gt() => cap,
        _ => rank,
    })
}

/// Keeps an admission that can be restored. None if the ticket is not known.
pub(super) fn note_admission(
    ledger: &mut Ledger,
    at: Node,
    by: Seen,
    ticket: Node,
    record: JoinRecord,
) -> Option<AdmissionState> {
    let ticket = ledger.tickets.by_node.get(&ticket)?;
    let (sponsor, role) = (ticket.sponsor, ticket.role);
    let state = AdmissionState { record, admitted_by: by.member, sponsor, role };
    ledger.tickets.admissions.insert(at, state.clone());
    Some(state)
}

fn found_community(ledger: &mut Ledger, at: Node, entry: &RosterEntry, records: &[JoinRecord]) {
    let Body::Genesis(genesis) = &entry.body else { return };
    ledger.founding = Some(Founding {
        rules: genesis.rules,
        invite: genesis.invite,
        history: genesis.history.unwrap_or_default(),
        quorum: (genesis.quorum_num, genesis.quorum_den),
        recovery_key: *genesis.recovery_key,
    });
    for (place, record) in (0u32..).zip(records) {
        let no = ledger.make_member(record.member(), record.nonce);
        ledger.join(no, Joining { node: at, admitted_by: None, sponsor: None });
        enrol(ledger, at, no, record.device, record.sealing);
        let rank = ledger.ranks.founder(place);
        ledger.grant(no, Grant { node: at, role: Role::Steward, rank });
    }
}

fn bring_in(
    ledger: &mut Ledger,
    view: &View<'_>,
    joining: Joining,
    admission: &AdmissionState,
    sponsor: MemberNo,
) {
    let record = &admission.record;
    let no = ledger.make_member(record.member(), record.nonce);
    ledger.join(no, joining);
    enrol(ledger, joining.node, no, record.device, record.sealing);
    grant(ledger, view, joining.node, no, admission.role, sponsor);
}

fn enrol(ledger: &mut Ledger, node: Node, member: MemberNo, device: DeviceId, sealing: [u8; 32]) {
    ledger.enrol(device, Enrolment { node, member, sealing, cap: None });
}

/// Rule 4: the rank of a grant is that of its sponsor, and then the grant.
fn grant(
    ledger: &mut Ledger,
    view: &View<'_>,
    node: Node,
    member: MemberNo,
    role: Role,
    sponsor: MemberNo,
) {
    if let Some(rank) = ledger.rank(view, sponsor) {
        let rank = ledger.ranks.granted(rank, node);
        ledger.grant(member, Grant { node, role, rank });
    }
}
