//! Rule 14: tickets, their uses, and their closing.

use std::collections::{BTreeMap, BTreeSet};

use super::entry::RecordFault;
use super::graph::{Node, View};
use super::standing::{Ledger, MemberNo, Seen};
use super::verdict::Reason;
use crate::id::{CommunityId, MemberId};
use crate::payload::{JoinRecord, Role, SignedJoinRecord, Ticket};

/// A sound ticket.
#[derive(Debug, Clone)]
pub(super) struct TicketState {
    pub(super) key: [u8; 32],
    pub(super) role: Role,
    pub(super) uses: u32,
    pub(super) expires: Option<u64>,
    pub(super) sponsor: MemberNo,
    /// Sound admissions by it, ascending, and whom they bring in.
    pub(super) admissions: Vec<(Node, MemberId)>,
    /// Sound closings.
    pub(super) closes: Vec<Node>,
}

/// An admission that is sound, or was short of nothing but a use of its ticket.
#[derive(Debug, Clone)]
pub(super) struct AdmissionState {
    pub(super) record: JoinRecord,
    pub(super) admitted_by: MemberNo,
    pub(super) sponsor: MemberNo,
    pub(super) role: Role,
}

/// All sound tickets, and all admissions that a steward can restore, by their node.
#[derive(Debug, Clone, Default)]
pub(super) struct Tickets {
    pub(super) by_node: BTreeMap<Node, TicketState>,
    pub(super) admissions: BTreeMap<Node, AdmissionState>,
}

/// Rules 5 and 14: a ticket is issued by whom the policy lets invite, for a role up to the own one.
pub(super) fn judge_ticket(ledger: &Ledger, author: Seen, ticket: &Ticket) -> Result<(), Reason> {
    may_invite(ledger, author.role, ticket.role)
}

fn may_invite(ledger: &Ledger, has: Role, granted: Role) -> Result<(), Reason> {
    let needs = least_inviting(ledger);
    if has < needs {
        return Err(Reason::MayNotInvite { has, needs });
    }
    if granted > has {
        return Err(Reason::RoleAboveOwn { own: has, granted });
    }
    Ok(())
}

fn least_inviting(ledger: &Ledger) -> Role {
    ledger.founding.as_ref().map_or(Role::Steward, |f| f.invite.least_role())
}

/// The role that issuing a ticket for this role takes.
pub(super) fn needs(ledger: &Ledger, role: Role) -> Role {
    least_inviting(ledger).max(role)
}

/// Rule 14: a ticket is closed by its sponsor or by a steward. Says whether by its sponsor.
pub(super) fn judge_close(
    ledger: &Ledger,
    view: &View<'_>,
    author: Seen,
    ticket: Option<Node>,
) -> Result<(Node, bool), Reason> {
    let (node, ticket) = find(ledger, view, ticket)?;
    let own = ticket.sponsor == author.member;
    if !own && author.role < Role::Steward {
        return Err(Reason::NotOwnTicket);
    }
    Ok((node, own))
}

fn find<'l>(
    ledger: &'l Ledger,
    view: &View<'_>,
    ticket: Option<Node>,
) -> Result<(Node, &'l TicketState), Reason> {
    let node = ticket.filter(|n| view.has(*n)).ok_or(Reason::NoTicket)?;
    let state = ledger.tickets.by_node.get(&node).ok_or(Reason::NoTicket)?;
    Ok((node, state))
}

/// Whether the sponsor could still issue the ticket in `view`.
pub(super) fn sponsor_stands(ledger: &Ledger, view: &View<'_>, ticket: &TicketState) -> bool {
    let role = ledger.role(view, ticket.sponsor);
    role.is_some_and(|role| may_invite(ledger, role, ticket.role).is_ok())
}

/// An admission to be judged.
pub(super) struct Admission<'a> {
    pub(super) community: CommunityId,
    pub(super) ticket: Option<Node>,
    pub(super) ticket_id: crate::id::EntryId,
    pub(super) record: &'a SignedJoinRecord,
}

/// Rules 3 and 14: whether a newcomer gets in. Any member may write the admission; what is asked of
/// it is that the newcomer's record is good, that the ticket was open as far as the admitter knew and
/// that its sponsor still stood there. Uses and devices are counted by [`has_room`] and
/// [`Ledger::is_taken`].
pub(super) fn judge_admission(
    ledger: &Ledger,
    view: &View<'_>,
    admission: &Admission<'_>,
    check: impl FnOnce(&[u8; 32]) -> Result<(), RecordFault>,
) -> Result<Node, Reason> {
    let (node, ticket) = find(ledger, view, admission.ticket)?;
    let record = &admission.record.record;
    if record.ticket != admission.ticket_id {
        return Err(Reason::OtherTicket);
    }
    if record.community != admission.community {
        return Err(Reason::RecordOfOtherCommunity);
    }
    check(&ticket.key).map_err(Reason::BadRecord)?;
    if ticket.closes.iter().any(|c| view.has(*c)) {
        return Err(Reason::TicketClosed);
    }
    if !sponsor_stands(ledger, view, ticket) {
        return Err(Reason::SponsorGone);
    }
    Ok(node)
}

/// Rule 14: whether a ticket has a use left for this newcomer, of those that admissions in `wide`
/// leave. Since admissions are judged in (depth, id) order, the smallest get them. A record names one
/// ticket, so who came in by it has used this one already.
pub(super) fn has_room(
    ticket: &TicketState,
    wide: impl Fn(Node) -> bool,
    member: MemberId,
) -> Result<(), Reason> {
    if ticket.admissions.len() < ticket.uses as usize {
        return Ok(());
    }
    let users: BTreeSet<MemberId> =
        ticket.admissions.iter().filter(|(n, _)| wide(*n)).map(|(_, m)| *m).collect();
    if users.len() < ticket.uses as usize || users.contains(&member) {
        return Ok(());
    }
    Err(Reason::TicketUsedUp { uses: ticket.uses })
}
