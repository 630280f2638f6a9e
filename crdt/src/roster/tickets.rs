//! Rule 14: tickets, their uses, and their closing.

use std::collections::BTreeMap;

use super::entry::{RecordFault, check_newcomer};
use super::graph::{Node, View};
use super::standing::{Ledger, MemberNo, Seen};
use super::verdict::Reason;
use crate::id::{CommunityId, MemberId};
use crate::payload::{Role, SignedJoinRecord, Ticket};

/// A ticket that counts.
#[derive(Debug, Clone)]
pub(super) struct TicketState {
    pub(super) key: [u8; 32],
    pub(super) role: Role,
    pub(super) uses: u32,
    pub(super) expires: Option<u64>,
    pub(super) sponsor: MemberNo,
    /// Newcomers, in the (depth, id) order of their first supported admission.
    pub(super) used_by: Vec<MemberNo>,
    /// Supported closings, none in another's past.
    pub(super) closes: Vec<Node>,
}

/// A newcomer whom a used-up ticket left outside.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    pub(super) record: SignedJoinRecord,
    pub(super) node: Node,
    pub(super) admitted_by: MemberNo,
    pub(super) sponsor: MemberNo,
    pub(super) role: Role,
}

/// All tickets that count, by their node.
#[derive(Debug, Clone, Default)]
pub(super) struct Tickets {
    pub(super) by_node: BTreeMap<Node, TicketState>,
    /// By member id; the first in (depth, id) order.
    pub(super) pending: BTreeMap<MemberId, Pending>,
}

/// Rules 5 and 14: a ticket is issued by whom the policy lets invite, for a role up to the own one.
pub(super) fn judge_ticket(ledger: &Ledger, author: Seen, ticket: &Ticket) -> Result<(), Reason> {
    may_invite(ledger, author.role, ticket.role)
}

fn may_invite(ledger: &Ledger, has: Role, granted: Role) -> Result<(), Reason> {
    let needs = ledger.founding.as_ref().map_or(Role::Steward, |f| f.invite.least_role());
    if has < needs {
        return Err(Reason::MayNotInvite { has, needs });
    }
    if granted > has {
        return Err(Reason::RoleAboveOwn { own: has, granted });
    }
    Ok(())
}

/// Rule 14: a ticket is closed by its sponsor or by a steward.
pub(super) fn judge_close(
    ledger: &Ledger,
    view: &View<'_>,
    author: Seen,
    ticket: Option<Node>,
) -> Result<Node, Reason> {
    let (node, ticket) = find(ledger, view, ticket)?;
    if ticket.sponsor != author.member && author.role < Role::Steward {
        return Err(Reason::NotOwnTicket);
    }
    Ok(node)
}

fn find<'l>(
    ledger: &'l Ledger,
    view: &View<'_>,
    ticket: Option<Node>,
) -> Result<(Node, &'l TicketState), Reason> {
    let node = ticket.filter(|n| ledger.holds(view, *n)).ok_or(Reason::NoTicket)?;
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
/// it is that the newcomer's record is good, that the ticket was open as far as the admitter knew,
/// that its sponsor still stood there, that the device is nobody else's, and that the uses suffice:
/// since admissions are judged in (depth, id) order, the smallest get them.
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
    if ticket.closes.iter().any(|c| ledger.holds(view, *c)) {
        return Err(Reason::TicketClosed);
    }
    if !sponsor_stands(ledger, view, ticket) {
        return Err(Reason::SponsorGone);
    }
    let member = ledger.member_no(&record.member());
    if ledger.device(&record.device).is_some_and(|d| Some(d.member) != member) {
        return Err(Reason::DeviceTaken);
    }
    // A record names one ticket, so who is a member by it has used this one already.
    if member.is_none() && ticket.used_by.len() >= ticket.uses as usize {
        return Err(Reason::TicketUsedUp { uses: ticket.uses });
    }
    Ok(node)
}

/// Checks a record outside of any entry, for [`judge_admission`].
pub(super) fn check_record(
    record: &SignedJoinRecord,
) -> impl FnOnce(&[u8; 32]) -> Result<(), RecordFault> + '_ {
    move |key| check_newcomer(record, key)
}
