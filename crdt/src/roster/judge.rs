//! The rules by kind: whether an act is supported in a view, and what it does.
//!
//! [`judge`] decides without changing anything, so that the same code answers for entries in their own
//! past (soundness), for what is left of them when others are out (rule 8), and for entries that are
//! not written yet. `effects` adds what a sound entry does to the ledger.

use std::collections::BTreeSet;

use super::RosterEntry;
use super::entry::{RecordFault, check_device_record, check_founders};
use super::epochs;
use super::graph::{Node, View};
use super::motions::{self, Enacted};
use super::standing::{Ledger, MemberNo, Seen, Taken};
use super::tickets::{self, Admission};
use super::verdict::Reason;
use crate::id::{CommunityId, DeviceId, EntryId, MemberId};
use crate::limits::MAX_MEMBER_DEVICES;
use crate::payload::{
    self, Body, DeviceStatement, Genesis, GrantRole, JoinRecord, Remove, Role, SignedDevice,
    SignedJoinRecord, Subject,
};

/// What is judged: an entry, or one that may be written.
pub(super) struct Act<'a> {
    pub(super) author: DeviceId,
    pub(super) heads: &'a [EntryId],
    pub(super) refs: &'a [EntryId],
    pub(super) body: &'a Body,
    /// The entry, if there is one already.
    pub(super) entry: Option<&'a RosterEntry>,
    /// What was found of its signatures when it was judged first.
    pub(super) known: Option<Known>,
}

/// What judging again needs not check again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    pub(super) recovery: bool,
}

impl<'a> Act<'a> {
    pub(super) fn of(entry: &'a RosterEntry, known: Option<Known>) -> Act<'a> {
        let header = &entry.header;
        let (author, heads, refs) = (header.log.device, header.heads(), header.refs());
        Act { author, heads, refs, body: &entry.body, entry: Some(entry), known }
    }
}

/// What is taken or given by an act or a motion.
#[derive(Debug, Clone, Copy)]
pub(super) enum Deed {
    Take(Taken),
    Grant(MemberNo, Role),
}

/// What a supported entry does.
#[derive(Debug)]
pub(super) enum Effect {
    Found(Vec<SignedJoinRecord>),
    Ticket,
    Close(Node),
    Admit {
        ticket: Node,
        record: Box<JoinRecord>,
    },
    Restore {
        admission: Node,
    },
    Grant(MemberNo, Role),
    Enrol {
        member: MemberNo,
        statement: Box<DeviceStatement>,
        vouch: bool,
    },
    Readmit {
        member: MemberNo,
        statement: Box<DeviceStatement>,
    },
    Take(Taken),
    Motion,
    Endorse(Node),
    Enact(Enacted),
    Accept(Node),
    Epoch,
    Seal(Node),
    /// Being an ancestor is all it does.
    Join,
}

/// What was found about an act that holds.
#[derive(Debug)]
pub(super) struct Found {
    /// Who wrote it; nobody of the genesis.
    pub(super) by: Option<Seen>,
    /// The role it takes (rule 8: a demotion strikes what needed more).
    pub(super) needs: Role,
    /// It carries a good recovery signature.
    pub(super) recovery: bool,
    pub(super) effect: Effect,
}

impl Found {
    /// The device it enrols, with its member.
    pub(super) fn enrols(&self, ledger: &Ledger) -> Option<(DeviceId, MemberId)> {
        match &self.effect {
            Effect::Admit { record, .. } => Some((record.device, record.member())),
            Effect::Restore { admission } => {
                let admission = ledger.tickets.admissions.get(admission)?;
                Some((admission.record.device, admission.record.member()))
            }
            Effect::Enrol { statement, .. } | Effect::Readmit { statement, .. } => {
                Some((statement.device, statement.member))
            }
            _ => None,
        }
    }
}

/// Rules 1, 3, 5, 6, 12, 13, 14, 16 and 17: whether an act holds in `view`. What looks beyond the
/// view (uses of a ticket, a device that is somebody else's) is left to the caller.
pub(super) fn judge(
    community: CommunityId,
    ledger: &Ledger,
    view: &View<'_>,
    act: &Act<'_>,
) -> Result<Found, Reason> {
    let is_genesis = act.entry.is_some_and(|e| e.header.is_genesis());
    if let Body::Genesis(genesis) = act.body {
        if !is_genesis {
            return Err(Reason::NotGenesis);
        }
        let effect = Effect::Found(judge_genesis(act, genesis)?);
        return Ok(Found { by: None, needs: Role::Member, recovery: false, effect });
    }
    if is_genesis {
        return Err(Reason::NotGenesis);
    }
    let author = ledger.seen(view, &act.author).ok_or(Reason::AuthorNotMember)?;
    let first = act.refs.first().and_then(|id| view.graph.node(id));
    let mut recovery = false;
    let (needs, effect) = match act.body {
        Body::Ticket(ticket) => {
            tickets::judge_ticket(ledger, author, ticket)?;
            (tickets::needs(ledger, ticket.role), Effect::Ticket)
        }
        Body::TicketClose => {
            let (node, own) = tickets::judge_close(ledger, view, author, first)?;
            (if own { Role::Member } else { Role::Steward }, Effect::Close(node))
        }
        Body::Admit(admit) => {
            // Decoding an admission checks the record's length, which is all that can fail here.
            let record = admit.signed_record().map_err(|_| Reason::OtherTicket)?;
            let ticket_id = act.refs.first().copied().unwrap_or(EntryId::ZERO);
            let admission = Admission { community, ticket: first, ticket_id, record: &record };
            let check = |key: &[u8; 32]| match (act.known, act.entry) {
                (Some(_), _) => Ok(()),
                (None, Some(entry)) => entry.check_newcomer(&record, key),
                (None, None) => super::entry::check_newcomer(&record, key),
            };
            let ticket = tickets::judge_admission(ledger, view, &admission, check)?;
            (Role::Member, Effect::Admit { ticket, record: Box::new(record.record) })
        }
        Body::Role(grant) => {
            recovery = is_by_recovery(community, ledger, act);
            (grant.role, judge_grant(ledger, view, author, grant, recovery)?)
        }
        Body::AddDevice(add) => {
            let record = add.signed_record().map_err(|_| bad_record())?;
            let vouch = add.vouch.is_some();
            let needs = if vouch { Role::Steward } else { Role::Member };
            (needs, judge_device(community, ledger, view, author, (&record, vouch), act)?)
        }
        Body::Remove(remove) => {
            recovery = is_by_recovery(community, ledger, act);
            let (needs, taken) = judge_remove(ledger, view, author, &remove.subject, recovery)?;
            (needs, Effect::Take(taken))
        }
        Body::Motion(_) => (Role::Member, Effect::Motion),
        Body::Endorse => {
            steward(author)?;
            (Role::Steward, Effect::Endorse(motions::find(ledger, view, first)?.0))
        }
        Body::Enact(enact) => {
            let enacted = motions::judge_enact(ledger, view, first, enact)?;
            (Role::Member, Effect::Enact(enacted))
        }
        Body::Accept(_) => {
            steward(author)?;
            let removal = first.filter(|n| ledger.takes(*n).is_some());
            (Role::Steward, Effect::Accept(removal.ok_or(Reason::NoRemoval)?))
        }
        Body::Restore => {
            steward(author)?;
            let admission = first.filter(|n| ledger.tickets.admissions.contains_key(n));
            (Role::Steward, Effect::Restore { admission: admission.ok_or(Reason::NoAdmission)? })
        }
        Body::Readmit(readmit) => {
            steward(author)?;
            let record = readmit.signed_record().map_err(|_| bad_record())?;
            (Role::Steward, judge_readmit(community, ledger, first, &record, act)?)
        }
        Body::Epoch(epoch) => {
            epochs::judge_epoch(ledger, view, act.refs, epoch)?;
            (Role::Member, Effect::Epoch)
        }
        Body::Seal(seal) => {
            (Role::Member, Effect::Seal(epochs::judge_seal(ledger, view, first, seal)?))
        }
        Body::Checkpoint(_) => (Role::Member, Effect::Join),
        other => return Err(Reason::UnknownKind(other.kind_number())),
    };
    Ok(Found { by: Some(author), needs, recovery, effect })
}

/// Rule 1. The community's id is the hash of this entry, so a flaw in it can never be mended: the
/// whole community does not exist.
fn judge_genesis(act: &Act<'_>, genesis: &Genesis) -> Result<Vec<SignedJoinRecord>, Reason> {
    let records = genesis.founder_records().map_err(|_| Reason::NotGenesis)?;
    match act.entry {
        Some(entry) => entry.check_founders(&records),
        None => check_founders(&records),
    }
    .map_err(Reason::BadFounder)?;
    let devices: BTreeSet<DeviceId> = records.iter().map(|r| r.record.device).collect();
    if devices.len() < records.len() {
        return Err(Reason::FounderTwice);
    }
    if !devices.contains(&act.author) {
        return Err(Reason::NotByFounder);
    }
    Ok(records)
}

fn steward(author: Seen) -> Result<(), Reason> {
    if author.role < Role::Steward {
        return Err(Reason::NotSteward { has: author.role });
    }
    Ok(())
}

fn bad_record() -> Reason {
    Reason::BadDevice(RecordFault::Join(payload::JoinError::Length(0)))
}

/// Rule 5: roles are granted to members, up to one's own, or any by the recovery key.
fn judge_grant(
    ledger: &Ledger,
    view: &View<'_>,
    author: Seen,
    grant: &GrantRole,
    recovery: bool,
) -> Result<Effect, Reason> {
    if grant.role > author.role && !recovery {
        return Err(Reason::RoleAboveOwn { own: author.role, granted: grant.role });
    }
    let member = ledger.member_no(&MemberId::new(*grant.member));
    let member = member.filter(|m| ledger.role(view, *m).is_some());
    member.map(|m| Effect::Grant(m, grant.role)).ok_or(Reason::GranteeNotMember)
}

/// Whether the act carries a good signature of the recovery key. One that is not good is as none.
fn is_by_recovery(community: CommunityId, ledger: &Ledger, act: &Act<'_>) -> bool {
    if let Some(known) = act.known {
        return known.recovery;
    }
    let (signature, bare) = match act.body {
        Body::Remove(remove) => {
            (remove.recovery, Body::Remove(Remove { recovery: None, ..remove.clone() }))
        }
        Body::Role(grant) => {
            (grant.recovery, Body::Role(GrantRole { recovery: None, ..grant.clone() }))
        }
        _ => return false,
    };
    let (Some(signature), Some(founding)) = (signature, ledger.founding.as_ref()) else {
        return false;
    };
    let Ok(bytes) = payload::encode(&bare) else { return false };
    let statement = payload::recovery_statement(&community, act.heads, &bytes);
    payload::verify_recovery(&founding.recovery_key, &statement, &signature).is_ok()
}

/// What a removal is about, in this view: a member, or a device that stands.
pub(super) fn judge_subject(
    ledger: &Ledger,
    view: &View<'_>,
    subject: &Subject,
) -> Result<Taken, Reason> {
    let member = |id: &[u8; 32]| {
        let no = ledger.member_no(&MemberId::new(*id));
        no.filter(|m| ledger.role(view, *m).is_some()).ok_or(Reason::SubjectNotMember)
    };
    match subject {
        Subject::Member(id) => member(id).map(Taken::Member),
        Subject::Role(id, to) => member(id).map(|m| Taken::Role(m, *to)),
        Subject::Device(id) => {
            let device = DeviceId::new(**id);
            let seen = ledger.seen(view, &device).ok_or(Reason::SubjectNotMember)?;
            Ok(Taken::Device(seen.member, device))
        }
    }
}

/// Rule 5: who may take what away from whom.
fn judge_remove(
    ledger: &Ledger,
    view: &View<'_>,
    author: Seen,
    subject: &Subject,
    recovery: bool,
) -> Result<(Role, Taken), Reason> {
    let taken = judge_subject(ledger, view, subject)?;
    let own = taken.member() == author.member;
    let needs = if own { Role::Member } else { Role::Steward };
    if recovery {
        return Ok((needs, taken));
    }
    match taken {
        Taken::Member(_) | Taken::Role(..) if own => return Ok((needs, taken)),
        // Rule 13: a device that was stolen does not turn out those that were there before it.
        Taken::Device(_, device) if own => {
            let devices = ledger.devices_of(view, author.member);
            let place = |of: &dyn Fn(&DeviceId, Node) -> bool| {
                devices.iter().position(|(d, e, _)| of(d, e.node))
            };
            let used = place(&|_, node| node == author.enrolled_by);
            if place(&|d, _| *d == device) >= used {
                return Ok((needs, taken));
            }
            return may_take(ledger, view, author, author.member)
                .map(|()| (needs, taken))
                .map_err(|_| Reason::SeniorDevice);
        }
        _ => {}
    }
    may_take(ledger, view, author, taken.member()).map(|()| (needs, taken))
}

/// Rule 5: a steward may take from whoever is no steward; between stewards seniority decides.
fn may_take(
    ledger: &Ledger,
    view: &View<'_>,
    author: Seen,
    subject: MemberNo,
) -> Result<(), Reason> {
    steward(author)?;
    let is_steward = ledger.role(view, subject) == Some(Role::Steward);
    if is_steward && !ledger.is_senior(view, author.member, subject) {
        return Err(Reason::NotSenior);
    }
    Ok(())
}

fn check_record(
    community: CommunityId,
    record: &SignedDevice,
    act: &Act<'_>,
) -> Result<(), Reason> {
    if record.statement.community != community {
        return Err(Reason::RecordOfOtherCommunity);
    }
    match (act.known, act.entry) {
        (Some(_), _) => Ok(()),
        (None, Some(entry)) => entry.check_device(record),
        (None, None) => check_device_record(record),
    }
    .map_err(Reason::BadDevice)
}

/// Rule 13: a further device, brought by an own one, or by a steward who vouches.
fn judge_device(
    community: CommunityId,
    ledger: &Ledger,
    view: &View<'_>,
    author: Seen,
    (record, vouch): (&SignedDevice, bool),
    act: &Act<'_>,
) -> Result<Effect, Reason> {
    let statement = &record.statement;
    let member = ledger.member_no(&statement.member);
    let member = member.filter(|m| ledger.role(view, *m).is_some());
    let member = member.ok_or(Reason::SubjectNotMember)?;
    if vouch {
        if member == author.member {
            return Err(Reason::VouchesForSelf);
        }
        may_take(ledger, view, author, member)?;
    } else {
        if member != author.member {
            return Err(Reason::NotOwnDevice);
        }
        let devices = ledger.devices_of(view, member);
        let others = devices.iter().filter(|(d, ..)| *d != statement.device).count();
        if others >= MAX_MEMBER_DEVICES {
            return Err(Reason::TooManyDevices);
        }
    }
    check_record(community, record, act)?;
    Ok(Effect::Enrol { member, statement: Box::new(statement.clone()), vouch })
}

/// Rule 12: back after a removal that the entry names, with a new device.
fn judge_readmit(
    community: CommunityId,
    ledger: &Ledger,
    removal: Option<Node>,
    record: &SignedDevice,
    act: &Act<'_>,
) -> Result<Effect, Reason> {
    let member = match removal.and_then(|n| ledger.takes(n)) {
        Some(Taken::Member(m)) => m,
        _ => return Err(Reason::NoRemoval),
    };
    if ledger.member(member).id != record.statement.member {
        return Err(Reason::NoRemoval);
    }
    check_record(community, record, act)?;
    Ok(Effect::Readmit { member, statement: Box::new(record.statement.clone()) })
}
