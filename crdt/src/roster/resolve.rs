//! Rule 8, as far as there are no revocations: take the whole entries in (depth, id) order and keep
//! those that are supported, each judged in the view of its own past.
//!
//! [`judge`] decides without changing anything, so that the same code answers for entries that are
//! not written yet; [`apply`] adds the effect of a supported entry to the ledger. Revocations come
//! before this pass (strongest first, each judged with `judge`), and strip authors in it.

use super::entry::check_founder;
use super::graph::{Graph, Node, View};
use super::standing::{Enrolment, Founding, Grant, Ledger, MemberNo, Seen};
use super::tickets::{Admission, Pending, TicketState};
use super::verdict::Reason;
use super::{RosterEntry, SealedKey, epochs, tickets};
use crate::id::{CommunityId, DeviceId, EntryId, MemberId};
use crate::payload::{Body, Genesis, Role, SignedJoinRecord};

/// What is judged: an entry, or one that may be written.
pub(super) struct Act<'a> {
    pub(super) author: DeviceId,
    pub(super) refs: &'a [EntryId],
    pub(super) body: &'a Body,
    /// The entry, if there is one already.
    pub(super) entry: Option<&'a RosterEntry>,
}

/// What a supported entry does.
pub(super) enum Effect {
    Found(Vec<SignedJoinRecord>),
    Ticket,
    Close(Node),
    Admit {
        ticket: Node,
        record: Box<SignedJoinRecord>,
    },
    Grant(MemberNo, Role),
    Epoch,
    Seal(Node),
    /// Being an ancestor is all it does.
    Join,
}

/// Who wrote it, as `judge` found.
#[derive(Clone, Copy)]
pub(super) enum By {
    /// The genesis, which nothing precedes.
    Founder,
    Member(Seen),
}

/// Rules 1, 3, 5 and 14: whether an act is supported in `view`, and what it does.
pub(super) fn judge(
    community: CommunityId,
    graph: &Graph,
    ledger: &Ledger,
    view: &View<'_>,
    act: &Act<'_>,
) -> Result<(By, Effect), Reason> {
    if let Body::Genesis(genesis) = act.body {
        let is_genesis = act.entry.is_some_and(|e| e.header.is_genesis());
        if !is_genesis {
            return Err(Reason::NotGenesis);
        }
        return judge_genesis(act.author, genesis).map(|f| (By::Founder, Effect::Found(f)));
    }
    if act.entry.is_some_and(|e| e.header.is_genesis()) {
        return Err(Reason::NotGenesis);
    }
    let author = ledger.seen(view, &act.author).ok_or(Reason::AuthorNotMember)?;
    let first = act.refs.first().and_then(|id| graph.node(id));
    let effect = match act.body {
        Body::Ticket(ticket) => {
            tickets::judge_ticket(ledger, author, ticket).map(|()| Effect::Ticket)
        }
        Body::TicketClose => tickets::judge_close(ledger, view, author, first).map(Effect::Close),
        Body::Admit(admit) => {
            // Decoding an admission checks the record's length, which is all that can fail here.
            let record = admit.signed_record().map_err(|_| Reason::OtherTicket)?;
            let ticket_id = act.refs.first().copied().unwrap_or(EntryId::ZERO);
            let admission = Admission { community, ticket: first, ticket_id, record: &record };
            let ticket = match act.entry {
                Some(e) => tickets::judge_admission(ledger, view, &admission, |key| {
                    e.check_newcomer(&record, key)
                }),
                None => tickets::judge_admission(
                    ledger,
                    view,
                    &admission,
                    tickets::check_record(&record),
                ),
            };
            match ticket {
                Ok(ticket) => Ok(Effect::Admit { ticket, record: Box::new(record) }),
                Err(reason) => Err(reason),
            }
        }
        Body::Role(grant) => {
            judge_grant(ledger, view, author, &MemberId::new(*grant.member), grant.role)
        }
        Body::Epoch(epoch) => epochs::judge_epoch(ledger, view, epoch).map(|()| Effect::Epoch),
        Body::Seal(seal) => epochs::judge_seal(ledger, view, first, seal).map(Effect::Seal),
        Body::Checkpoint(_) => Ok(Effect::Join),
        other => Err(Reason::UnknownKind(other.kind_number())),
    }?;
    Ok((By::Member(author), effect))
}

/// Rule 1. The community's id is the hash of this entry, so a flaw in it can never be mended: the
/// whole community does not exist.
fn judge_genesis(author: DeviceId, genesis: &Genesis) -> Result<Vec<SignedJoinRecord>, Reason> {
    let records = genesis.founder_records().map_err(|_| Reason::NotGenesis)?;
    for (n, record) in records.iter().enumerate() {
        check_founder(record).map_err(Reason::BadFounder)?;
        if records.iter().take(n).any(|r| r.record.device == record.record.device) {
            return Err(Reason::FounderTwice);
        }
    }
    if !records.iter().any(|r| r.record.device == author) {
        return Err(Reason::NotByFounder);
    }
    Ok(records)
}

/// Rule 5: roles are granted to members, up to one's own.
fn judge_grant(
    ledger: &Ledger,
    view: &View<'_>,
    author: Seen,
    grantee: &MemberId,
    role: Role,
) -> Result<Effect, Reason> {
    if role > author.role {
        return Err(Reason::RoleAboveOwn { own: author.role, granted: role });
    }
    let member = ledger.member_no(grantee).filter(|m| ledger.role(view, *m).is_some());
    member.map(|m| Effect::Grant(m, role)).ok_or(Reason::GranteeNotMember)
}

/// Adds what a supported entry does.
pub(super) fn apply(
    graph: &Graph,
    ledger: &mut Ledger,
    at: Node,
    e: &RosterEntry,
    by: By,
    effect: Effect,
) {
    let Some(past) = graph.past(at) else { return };
    let view = View::Past(past);
    match (by, effect) {
        (By::Founder, Effect::Found(records)) => {
            let Body::Genesis(genesis) = &e.body else { return };
            ledger.founding = Some(Founding {
                rules: genesis.rules,
                invite: genesis.invite,
                quorum: (genesis.quorum_num, genesis.quorum_den),
                recovery_key: *genesis.recovery_key,
            });
            for (place, record) in (0u32..).zip(&records) {
                let no = ledger.enrol(past, enrolment(at, &record.record, None, None));
                let rank = ledger.ranks.founder(place);
                ledger.grant(past, no, Grant { node: at, role: Role::Steward, rank });
            }
        }
        (By::Member(author), Effect::Ticket) => {
            let Body::Ticket(ticket) = &e.body else { return };
            let state = TicketState {
                key: *ticket.key,
                role: ticket.role,
                uses: ticket.uses,
                expires: ticket.expires,
                sponsor: author.member,
                used_by: Vec::new(),
                closes: Vec::new(),
            };
            ledger.tickets.by_node.insert(at, state);
        }
        (By::Member(_), Effect::Close(ticket)) => {
            if let Some(ticket) = ledger.tickets.by_node.get_mut(&ticket)
                && !ticket.closes.iter().any(|c| past.has(*c))
            {
                ticket.closes.push(at);
            }
        }
        (By::Member(author), Effect::Admit { ticket: node, record }) => {
            let Some(ticket) = ledger.tickets.by_node.get(&node) else { return };
            let (sponsor, role) = (ticket.sponsor, ticket.role);
            let new = ledger.member_no(&record.record.member()).is_none();
            let no = ledger
                .enrol(past, enrolment(at, &record.record, Some(author.member), Some(sponsor)));
            if new && let Some(ticket) = ledger.tickets.by_node.get_mut(&node) {
                ticket.used_by.push(no);
            }
            if let Some(rank) = ledger.rank(&view, sponsor) {
                let rank = ledger.ranks.granted(rank, at);
                ledger.grant(past, no, Grant { node: at, role, rank });
            }
        }
        (By::Member(author), Effect::Grant(member, role)) => {
            if let Some(rank) = ledger.rank(&view, author.member) {
                let rank = ledger.ranks.granted(rank, at);
                ledger.grant(past, member, Grant { node: at, role, rank });
            }
        }
        (By::Member(_), Effect::Epoch) => {
            let Body::Epoch(epoch) = &e.body else { return };
            ledger.epochs.add(at, e.header.log.device, epoch);
        }
        (By::Member(_), Effect::Seal(epoch)) => {
            let Body::Seal(seal) = &e.body else { return };
            let (entry, by) = (e.id, e.header.log.device);
            ledger.epochs.seal(epoch, seal, |sealed| SealedKey { sealed, by, entry });
        }
        (_, Effect::Join) | (By::Founder, _) | (By::Member(_), Effect::Found(_)) => {}
    }
}

fn enrolment(
    node: Node,
    record: &crate::payload::JoinRecord,
    admitted_by: Option<MemberNo>,
    sponsor: Option<MemberNo>,
) -> Enrolment {
    let (id, device, sealing) = (record.member(), record.device, record.sealing);
    Enrolment { id, device, sealing, node, admitted_by, sponsor }
}

/// Folds the whole entries. Returns one outcome for each node.
pub(super) fn resolve(
    community: CommunityId,
    graph: &Graph,
    entries: &[&RosterEntry],
) -> (Ledger, Vec<Result<(), Reason>>) {
    let mut ledger = Ledger::default();
    let mut outcomes = Vec::with_capacity(entries.len());
    for (at, entry) in (0u32..).map(Node).zip(entries) {
        let Some(past) = graph.past(at) else { continue };
        let act = Act {
            author: entry.header.log.device,
            refs: entry.header.refs(),
            body: &entry.body,
            entry: Some(entry),
        };
        match judge(community, graph, &ledger, &View::Past(past), &act) {
            Ok((by, effect)) => {
                apply(graph, &mut ledger, at, entry, by, effect);
                outcomes.push(Ok(()));
            }
            Err(reason) => {
                if reason.is_pending() {
                    note_pending(graph, &mut ledger, at, entry);
                }
                outcomes.push(Err(reason));
            }
        }
    }
    // Who came in by another admission is a member, not somebody who waits.
    let mut pending = std::mem::take(&mut ledger.tickets.pending);
    pending.retain(|id, p| {
        ledger.member_no(id).is_none() && ledger.device(&p.record.record.device).is_none()
    });
    ledger.tickets.pending = pending;
    (ledger, outcomes)
}

fn note_pending(graph: &Graph, ledger: &mut Ledger, at: Node, entry: &RosterEntry) {
    let Body::Admit(admit) = &entry.body else { return };
    let Ok(record) = admit.signed_record() else { return };
    let Some(view) = graph.past(at).map(View::Past) else { return };
    let ticket = entry.header.refs().first().and_then(|id| graph.node(id));
    let ticket = ticket.and_then(|node| ledger.tickets.by_node.get(&node));
    let author = ledger.seen(&view, &entry.header.log.device);
    if let (Some(ticket), Some(author)) = (ticket, author) {
        let (sponsor, role, admitted_by) = (ticket.sponsor, ticket.role, author.member);
        let pending = Pending { record, node: at, admitted_by, sponsor, role };
        ledger.tickets.pending.entry(pending.record.record.member()).or_insert(pending);
    }
}
