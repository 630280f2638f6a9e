//! The roster: who belongs, with which devices and roles. A pure function of the set of class 0
//! entries, the same on every node that holds the same set, in whatever order they came.
//!
//! # Rules
//!
//! Each is kept by the code named with it. The numbers up to 15 are those of the protocol's roster
//! rules.
//!
//! 1. **Genesis** holds the founders' join records in the order of their seniority, the quorum, the
//!    invite policy and the rules version. Its id is the community's id; it is written by a founder,
//!    names nobody twice, and every record is good, or there is no community (`resolve::judge`).
//! 2. **Whole entries.** An entry is judged once all its ancestors (heads and refs) are here; until
//!    then it waits, and says what for. The same place in a log twice is two concurrent entries
//!    (`graph::build`).
//! 3. **Join records** are made and signed by the newcomer, with device and ticket. The member's id
//!    is the record's hash: two admissions of one record make one member. A device belongs to one
//!    member: of several records with one device the smallest (depth, id) enrols it
//!    (`tickets::judge_admission`).
//! 4. **Rank** is that of the supported grant of one's present role: founder i has `[i]`, others
//!    the sponsor's rank and then the (depth, id) of the grant; several: the smallest (`rank`).
//! 5. **Authority** is judged in the view of the entry's own past: inviting by policy, roles granted
//!    up to one's own, the present role being the greatest granted (`resolve::judge`,
//!    `standing::Ledger::role`).
//! 8. **Resolve**: the whole entries in (depth, id) order; supported is what the rules hold for,
//!    *using supported ancestors only* (`resolve::resolve`). Rules 6, 7, 9, 10, 12 and 13 (motions,
//!    revocations, cuts, further devices) are not in use in this version: such entries are kept,
//!    relayed and reported as unknown.
//! 11. **Entries of other classes** count when their device is enrolled by a supported entry in their
//!     roster past, and with the role held there ([`Roster::standing_in`]). A head that itself does
//!     not count still passes its past on: its author saw those ancestors, whatever became of it.
//! 14. **Tickets** have a key, a role, uses and a sponsor. Any member may write an admission. It
//!     counts when the ticket counts and, in its view, is not closed and its sponsor could still
//!     issue it. Uses count distinct records; too many: the smallest (depth, id) get in and the
//!     others are *pending*. Expiry needs a clock and is judged by the admitting node alone
//!     ([`Roster::may_admit`]). A ticket is closed by its sponsor or a steward (`tickets`).
//! 15. Somebody whose admission the other side lacks pushes the entries that enrol it and is then
//!     judged again: nothing here knows who sent an entry.
//! 16. **Epochs and seals** are written by effective members; an epoch follows only epochs of its
//!     past, a seal entry names its epoch in `refs[0]`. Whether a seal opens, only its device can
//!     tell, so all seals for a device are kept, in (depth, id) order (`epochs`).
//! 17. **Checkpoints** by members count and do nothing but join heads.
//!
//! Only the first refs have a meaning for a kind; further ones are ancestry.
//!
//! # What it costs
//!
//! [`Roster::fold`] starts from nothing: O(n log n), some 10 microseconds an entry when the join
//! records were checked before ([`RosterEntry`] remembers), and a few signature checks more for each
//! admission that was not. A question about a view costs one bit
//! for each head and each concurrent grant of the member asked about; nothing needs a cache.

use std::collections::BTreeMap;

use crate::entry::Class;
use crate::id::{CommunityId, DeviceId, EntryId, EpochId, MemberId};
use crate::payload::{Body, InvitePolicy, Role, SignedJoinRecord};

mod entry;
mod epochs;
mod graph;
mod rank;
mod resolve;
mod standing;
mod tickets;
mod verdict;
mod view;

pub use entry::{RecordFault, RosterEntry, RosterEntryError};
pub use graph::MAX_MISSING_LISTED;
pub use verdict::{Reason, Verdict};

use graph::{Graph, Node, View};
use standing::Ledger;

/// The version of the rules in this code. A community with a later one is read as well as can be,
/// and no roster entries are written for it.
pub const RULES_VERSION: u16 = 1;

/// Who a device is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Whose device it is.
    pub member: MemberId,
    /// The member's role.
    pub role: Role,
    /// The smallest supported entry that enrols the device.
    pub enrolled_by: EntryId,
}

/// What a removal, demotion or revocation leaves of somebody's entries of other classes (rule 10).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// The entry that takes something away.
    pub by: EntryId,
    /// The role that is left; none when nothing is.
    pub left: Option<Role>,
    /// Heads of logs: they and their ancestors by prev count as before.
    pub heads: Vec<EntryId>,
}

/// Seniority: the place in the order of all members (rule 4), 0 the most senior.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rank(pub u32);

/// A device of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceRecord {
    /// Its signing key.
    pub device: DeviceId,
    /// Its X25519 sealing key.
    pub sealing: [u8; 32],
    /// The entry that enrols it.
    pub enrolled_by: EntryId,
}

/// A member as the roster has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberRecord {
    /// The member.
    pub id: MemberId,
    /// The present role; for a pending newcomer the ticket's.
    pub role: Role,
    /// The member's devices, in the order of their enrolment.
    pub devices: Vec<DeviceRecord>,
    /// Who issued the ticket; none for founders.
    pub sponsor: Option<MemberId>,
    /// Who wrote the admission; none for founders.
    pub admitted_by: Option<MemberId>,
    /// The first admission, or the genesis.
    pub admitted_entry: EntryId,
    /// Place in the order of seniority; pending newcomers come last.
    pub rank: Rank,
    /// Not effective: a use of the ticket was lacking (rule 14).
    pub pending: bool,
}

/// Why a ticket lets nobody in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TicketRefusal {
    /// It was closed.
    #[error("this ticket was closed")]
    Closed,
    /// All its uses are used.
    #[error("this ticket was used up")]
    UsedUp,
    /// Its time is over.
    #[error("this ticket has expired")]
    Expired,
    /// Its sponsor can no longer invite.
    #[error("whoever issued this ticket can no longer invite")]
    SponsorGone,
}

/// A ticket that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TicketRecord {
    /// The ticket entry.
    pub entry: EntryId,
    /// The public half of its key.
    pub key: [u8; 32],
    /// The role it grants.
    pub role: Role,
    /// Newcomers it lets in.
    pub uses: u32,
    /// Unix milliseconds after which nobody is to be admitted by it.
    pub expires: Option<u64>,
    /// Who issued it.
    pub sponsor: MemberId,
    /// Whether the sponsor could issue it now.
    pub sponsor_stands: bool,
    /// Who came in by it, first admission first.
    pub used_by: Vec<MemberId>,
    /// The first entry that closes it.
    pub closed: Option<EntryId>,
}

impl TicketRecord {
    /// Whether a newcomer may be admitted by it at this time (Unix milliseconds).
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn is_open(&self, now_ms: u64) -> Result<(), TicketRefusal> {
        if self.closed.is_some() {
            Err(TicketRefusal::Closed)
        } else if self.used_by.len() >= self.uses as usize {
            Err(TicketRefusal::UsedUp)
        } else if self.expires.is_some_and(|end| now_ms > end) {
            Err(TicketRefusal::Expired)
        } else if !self.sponsor_stands {
            Err(TicketRefusal::SponsorGone)
        } else {
            Ok(())
        }
    }
}

/// Why a newcomer is not to be admitted by this node now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AdmitRefusal {
    /// No ticket that counts here has this id. It may be on its way.
    #[error("this ticket is not known here")]
    UnknownTicket,
    /// The ticket lets nobody in.
    #[error(transparent)]
    Ticket(#[from] TicketRefusal),
    /// An admission of this record would not count.
    #[error("{0}")]
    Rules(Reason),
}

/// One seal of an epoch key for a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealedKey {
    /// HPKE encapsulated key and ciphertext.
    pub sealed: [u8; 80],
    /// Whose device made it.
    pub by: DeviceId,
    /// The seal entry.
    pub entry: EntryId,
}

/// An epoch that counts. Two entries may claim one epoch id, since an id can be copied; each has
/// its own record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EpochRecord {
    /// The epoch entry.
    pub entry: EntryId,
    /// Commits to the key.
    pub id: EpochId,
    /// Epochs that it follows; none for the first.
    pub parents: Vec<EpochId>,
    /// The parents' keys, sealed under this epoch's key.
    pub links: Vec<u8>,
    /// The device that minted it.
    pub author: DeviceId,
    /// The seals for each device, first made first. More than one may be there, and one that does
    /// not open says nothing about the next.
    pub sealed_to: BTreeMap<DeviceId, Vec<SealedKey>>,
}

/// The folded roster. Clones cost as much as the roster is large; share it in an `Arc`.
#[derive(Debug, Clone)]
pub struct Roster {
    community: CommunityId,
    graph: Graph,
    ledger: Ledger,
    verdicts: BTreeMap<EntryId, Verdict>,
    missing: Vec<EntryId>,
    frontier: Vec<EntryId>,
    members: Vec<MemberRecord>,
    by_id: BTreeMap<MemberId, usize>,
    tickets: Vec<TicketRecord>,
    epochs: Vec<EpochRecord>,
    hash: [u8; 32],
}

impl Roster {
    /// Folds class 0 entries of a community, in any order; duplicates do no harm.
    pub fn fold(community: CommunityId, entries: &[RosterEntry]) -> Roster {
        let mut all: Vec<&RosterEntry> = entries.iter().collect();
        all.sort_unstable_by_key(|e| e.id);
        all.dedup_by_key(|e| e.id);

        let mut verdicts = BTreeMap::new();
        all.retain(|e| {
            let ours = if e.header.is_genesis() {
                e.id == community.genesis()
            } else {
                e.header.community == community
            };
            if !ours {
                verdicts.insert(e.id, Verdict::Unsupported(Reason::OtherCommunity));
            }
            ours
        });
        let graph::Built { graph, entries, waiting, missing } = graph::build(&all);
        verdicts.extend(waiting.into_iter().map(|(id, m)| (id, Verdict::Waiting { missing: m })));

        let (ledger, outcomes) = resolve::resolve(community, &graph, &entries);
        let mut counted = Vec::new();
        for (node, outcome) in (0u32..).map(Node).zip(outcomes) {
            let verdict = match outcome {
                Ok(()) => {
                    counted.push(node);
                    Verdict::Counts
                }
                Err(reason) => Verdict::Unsupported(reason),
            };
            verdicts.insert(graph.id(node), verdict);
        }
        let mut frontier: Vec<EntryId> =
            graph.maximal(&counted).into_iter().map(|n| graph.id(n)).collect();
        frontier.sort_unstable();

        let mut roster = Roster {
            community,
            graph,
            ledger,
            verdicts,
            missing,
            frontier,
            members: Vec::new(),
            by_id: BTreeMap::new(),
            tickets: Vec::new(),
            epochs: Vec::new(),
            hash: [0; 32],
        };
        roster.fill_records();
        roster
    }

    /// The community.
    pub fn community(&self) -> CommunityId {
        self.community
    }

    /// Whether the genesis is here and good. Without it nobody is a member of anything.
    pub fn is_founded(&self) -> bool {
        self.ledger.founding.is_some()
    }

    /// Who may issue tickets.
    pub fn invite_policy(&self) -> InvitePolicy {
        self.ledger.founding.as_ref().map_or(InvitePolicy::Stewards, |f| f.invite)
    }

    /// The version of the rules that the genesis names; 0 without a genesis.
    pub fn rules_version(&self) -> u16 {
        self.ledger.founding.as_ref().map_or(0, |f| f.rules)
    }

    /// Whether the community lives by later rules than [`RULES_VERSION`]: write no roster entries.
    pub fn needs_upgrade(&self) -> bool {
        self.rules_version() > RULES_VERSION
    }

    /// The quorum of stewards as a fraction; `None` without a genesis.
    pub fn quorum(&self) -> Option<(u8, u8)> {
        self.ledger.founding.as_ref().map(|f| f.quorum)
    }

    /// The Ed25519 key whose secret was printed at founding; `None` without a genesis.
    pub fn recovery_key(&self) -> Option<[u8; 32]> {
        self.ledger.founding.as_ref().map(|f| f.recovery_key)
    }

    /// BLAKE3 over everything that was resolved, and the ids of all entries that count.
    pub fn hash(&self) -> [u8; 32] {
        self.hash
    }

    /// Who a device is now.
    pub fn standing(&self, device: &DeviceId) -> Option<Standing> {
        self.standing_at(&View::Now, device)
    }

    /// Who a device is in the roster past with these heads (rule 11). Heads that are not here, or
    /// wait, are ignored.
    pub fn standing_in(&self, heads: &[EntryId], device: &DeviceId) -> Option<Standing> {
        self.standing_at(&self.view(heads), device)
    }

    fn standing_at(&self, view: &View<'_>, device: &DeviceId) -> Option<Standing> {
        let seen = self.ledger.seen(view, device)?;
        let enrolled_by = self.graph.id(seen.enrolled_by);
        Some(Standing { member: self.ledger.member(seen.member).id, role: seen.role, enrolled_by })
    }

    fn view(&self, heads: &[EntryId]) -> View<'_> {
        View::Heads(&self.graph, heads.iter().filter_map(|h| self.graph.node(h)).collect())
    }

    /// The cuts that concern entries of this device.
    pub fn cuts(&self, _device: &DeviceId) -> &[Cut] {
        &[]
    }

    /// All devices that cuts concern.
    pub fn cut_devices(&self) -> impl Iterator<Item = (&DeviceId, &[Cut])> {
        std::iter::empty()
    }

    /// All members, the most senior first; pending newcomers last.
    pub fn members(&self) -> impl ExactSizeIterator<Item = &MemberRecord> {
        self.members.iter()
    }

    /// One member.
    pub fn member(&self, id: &MemberId) -> Option<&MemberRecord> {
        self.by_id.get(id).and_then(|at| self.members.get(*at))
    }

    /// The maximal entries that count, ascending. Past [`MAX_HEADS`](crate::limits::MAX_HEADS) a
    /// checkpoint that names some of them as further refs joins them.
    pub fn frontier(&self) -> &[EntryId] {
        &self.frontier
    }

    /// Whether an entry is one of `heads` or in their past. Heads that are not here, or wait, are
    /// ignored. Cost: two binary searches and one bit for each head.
    pub fn covers(&self, heads: &[EntryId], id: &EntryId) -> bool {
        self.graph.node(id).is_some_and(|node| self.view(heads).has(node))
    }

    /// Those of `heads` that no other covers, ascending; heads that are not here, or wait, stay.
    ///
    /// The roster past of an entry of another class is that of its own heads and of its log's
    /// previous entry. So a store keeps, for each log entry, the reduced union of both.
    pub fn reduce_heads(&self, heads: &[EntryId]) -> Vec<EntryId> {
        let (mut known, mut reduced) = (Vec::new(), Vec::new());
        for head in heads {
            match self.graph.node(head) {
                Some(node) => known.push(node),
                None => reduced.push(*head),
            }
        }
        reduced.extend(self.graph.maximal(&known).into_iter().map(|n| self.graph.id(n)));
        reduced.sort_unstable();
        reduced.dedup();
        reduced
    }

    /// Those of `heads` that are not here whole: until they are, what names them cannot be judged
    /// for good.
    pub fn unknown_heads(&self, heads: &[EntryId]) -> Vec<EntryId> {
        heads.iter().copied().filter(|h| self.graph.node(h).is_none()).collect()
    }

    /// Ids that entries name as ancestors and that are not here, ascending.
    pub fn missing(&self) -> &[EntryId] {
        &self.missing
    }

    /// All tickets that count, in (depth, id) order.
    pub fn tickets(&self) -> impl ExactSizeIterator<Item = &TicketRecord> {
        self.tickets.iter()
    }

    /// One ticket.
    pub fn ticket(&self, entry: &EntryId) -> Option<&TicketRecord> {
        self.tickets.iter().find(|t| t.entry == *entry)
    }

    /// All epochs that count, in (depth, id) order.
    pub fn epochs(&self) -> impl ExactSizeIterator<Item = &EpochRecord> {
        self.epochs.iter()
    }

    /// What was decided about an entry; `None` if it was not among those folded.
    pub fn verdict(&self, id: &EntryId) -> Option<&Verdict> {
        self.verdicts.get(id)
    }

    /// What was decided about every entry, ascending by id.
    pub fn verdicts(&self) -> impl ExactSizeIterator<Item = (&EntryId, &Verdict)> {
        self.verdicts.iter()
    }

    /// Whether an entry that `author` writes now, with [`Roster::frontier`] as its heads, would
    /// count. Ask before writing.
    ///
    /// # Errors
    ///
    /// The reason that its verdict would have.
    pub fn would_count(
        &self,
        author: &DeviceId,
        refs: &[EntryId],
        body: &Body,
    ) -> Result<(), Reason> {
        if body.class().is_some_and(|c| c != Class::Roster) {
            return Err(Reason::UnknownKind(body.kind_number()));
        }
        let act = resolve::Act { author: *author, refs, body, entry: None };
        resolve::judge(self.community, &self.graph, &self.ledger, &View::Now, &act).map(|_| ())
    }

    /// Whether this node may admit whoever made `record`, at this time (Unix milliseconds). A
    /// record that is a member's already may be admitted again: it makes no second member.
    ///
    /// # Errors
    ///
    /// Why not, for the newcomer to read.
    pub fn may_admit(
        &self,
        admitter: &DeviceId,
        record: &SignedJoinRecord,
        now_ms: u64,
    ) -> Result<(), AdmitRefusal> {
        let id = record.record.ticket;
        let ticket = self.ticket(&id).ok_or(AdmitRefusal::UnknownTicket)?;
        if self.member(&record.record.member()).is_none_or(|m| m.pending) {
            ticket.is_open(now_ms)?;
        }
        let body = Body::Admit(crate::payload::Admit { record: record.encode().into() });
        self.would_count(admitter, &[id], &body).map_err(AdmitRefusal::Rules)
    }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
