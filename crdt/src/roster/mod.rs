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
use std::sync::OnceLock;

use crate::entry::Class;
use crate::id::{CommunityId, DeviceId, EntryId, MemberId};
use crate::payload::{Body, InvitePolicy, SignedJoinRecord};

mod effects;
mod entry;
mod epochs;
mod graph;
mod judge;
mod motions;
mod rank;
mod records;
mod resolve;
mod standing;
mod tickets;
mod verdict;
mod view;

pub use entry::{RecordFault, RosterEntry, RosterEntryError};
pub use graph::MAX_MISSING_LISTED;
pub use records::{
    AdmitRefusal, Cut, DeviceRecord, EpochRecord, FormerMember, MemberRecord, MotionRecord, Rank,
    RevocationKind, RevocationRecord, SealedKey, Standing, TicketRecord, TicketRefusal,
};
pub use verdict::{Reason, Verdict};

use graph::{Graph, Node, NodeSet, View};
use resolve::{Resolved, Resolver, Source};

/// The version of the rules in this code. A community with a later one is read as well as can be,
/// and no roster entries are written for it.
pub const RULES_VERSION: u16 = 1;

/// The folded roster. Clones cost as much as the roster is large; share it in an `Arc`.
#[derive(Debug, Clone)]
pub struct Roster {
    community: CommunityId,
    graph: Graph,
    /// The whole entries, by node.
    entries: Vec<RosterEntry>,
    /// Entries that are not whole.
    waiting: Vec<RosterEntry>,
    /// Entries of other communities.
    foreign: Vec<EntryId>,
    resolver: Resolver,
    /// Every node, and what is out of them.
    all: NodeSet,
    now: Resolved,
    /// The frontier and its past, and what is out of that: what a new entry would be judged in.
    tip: NodeSet,
    at_tip: Resolved,
    verdicts: BTreeMap<EntryId, Verdict>,
    missing: Vec<EntryId>,
    frontier: Vec<EntryId>,
    members: Vec<MemberRecord>,
    by_id: BTreeMap<MemberId, usize>,
    former: Vec<FormerMember>,
    tickets: Vec<TicketRecord>,
    epochs: Vec<EpochRecord>,
    motions: Vec<MotionRecord>,
    revocations: Vec<RevocationRecord>,
    cuts: BTreeMap<DeviceId, Vec<Cut>>,
    hash: OnceLock<[u8; 32]>,
}

impl Roster {
    /// Folds class 0 entries of a community, in any order; duplicates do no harm.
    pub fn fold(community: CommunityId, entries: &[RosterEntry]) -> Roster {
        let mut all: Vec<&RosterEntry> = entries.iter().collect();
        all.sort_unstable_by_key(|e| e.id);
        all.dedup_by_key(|e| e.id);
        let is_ours = |e: &RosterEntry| belongs(community, e);
        let foreign = all.iter().filter(|e| !is_ours(e)).map(|e| e.id).collect();
        all.retain(|e| is_ours(e));

        let graph::Built { graph, entries, waiting, missing } = graph::build(&all);
        let verdicts: BTreeMap<EntryId, Verdict> =
            waiting.into_iter().map(|(id, m)| (id, Verdict::Waiting { missing: m })).collect();
        let waits = all.iter().filter(|e| verdicts.contains_key(&e.id));
        let waiting = waits.map(|e| (*e).clone()).collect();
        let entries: Vec<RosterEntry> = entries.into_iter().cloned().collect();

        let mut resolver = Resolver::new(community);
        for node in (0u32..).map(Node).take(graph.len()) {
            resolver.add(Source { graph: &graph, entries: &entries }, node);
        }
        let nothing = NodeSet::default();
        let source = Source { graph: &graph, entries: &entries };
        let quiet = resolver.resolve(source, &nothing);
        let all = NodeSet::first(graph.len());
        let mut roster = Roster {
            community,
            graph,
            entries,
            waiting,
            foreign,
            resolver,
            all,
            now: quiet,
            tip: nothing,
            at_tip: quiet,
            verdicts,
            missing,
            frontier: Vec::new(),
            members: Vec::new(),
            by_id: BTreeMap::new(),
            former: Vec::new(),
            tickets: Vec::new(),
            epochs: Vec::new(),
            motions: Vec::new(),
            revocations: Vec::new(),
            cuts: BTreeMap::new(),
            hash: OnceLock::new(),
        };
        roster.settle();
        roster
    }

    /// Adds entries, with the same result as [`Roster::fold`] of all that there are. Those that come
    /// after all others in (depth, id) order, as what is written at the tip does, are judged alone;
    /// others cost a fold.
    pub fn grow(&mut self, entries: &[RosterEntry]) {
        let mut fresh: Vec<&RosterEntry> =
            entries.iter().filter(|e| !self.verdicts.contains_key(&e.id)).collect();
        fresh.sort_unstable_by_key(|e| e.id);
        fresh.dedup_by_key(|e| e.id);
        let at_tip = self.waiting.is_empty() && fresh.iter().all(|e| belongs(self.community, e));
        let mut added = Vec::new();
        while at_tip && !fresh.is_empty() {
            // Parents first; with several at one depth the smaller id.
            let Some((place, depth)) = self.next_whole(&fresh) else { break };
            let entry = fresh.remove(place);
            let Some(node) = self.graph.append(entry, depth) else {
                fresh.push(entry);
                break;
            };
            self.entries.push(entry.clone());
            self.all.insert(node);
            let source = Source { graph: &self.graph, entries: &self.entries };
            self.resolver.add(source, node);
            added.push(node);
        }
        if !fresh.is_empty() {
            let known = self.entries.iter().chain(&self.waiting);
            let mut all: Vec<RosterEntry> = known.chain(fresh).cloned().collect();
            let foreign = std::mem::take(&mut self.foreign);
            all.dedup_by_key(|e| e.id);
            *self = Roster::fold(self.community, &all);
            self.foreign.extend(foreign);
            self.foreign.sort_unstable();
            self.foreign.dedup();
            self.note_foreign();
        } else if !added.is_empty() {
            self.settle_new(&added);
        }
    }

    fn next_whole(&self, fresh: &[&RosterEntry]) -> Option<(usize, u32)> {
        let depth = |e: &RosterEntry| self.graph.depth_of(e);
        let whole = fresh.iter().enumerate().filter_map(|(at, e)| Some((depth(e)?, e.id, at)));
        whole.min().map(|(depth, _, at)| (at, depth))
    }

    fn note_foreign(&mut self) {
        for id in &self.foreign {
            self.verdicts.insert(*id, Verdict::Unsupported(Reason::OtherCommunity));
        }
    }

    /// Resolves everything and makes all records.
    fn settle(&mut self) {
        let source = Source { graph: &self.graph, entries: &self.entries };
        self.now = self.resolver.resolve(source, &self.all);
        self.note_foreign();
        let mut counted = Vec::new();
        for node in (0u32..).map(Node).take(self.graph.len()) {
            let verdict = self.judge_whole(node);
            if verdict.counts() {
                counted.push(node);
            }
            self.verdicts.insert(self.graph.id(node), verdict);
        }
        self.frontier = self.graph.maximal(&counted).iter().map(|n| self.graph.id(*n)).collect();
        self.frontier.sort_unstable();
        self.settle_tip();
        self.fill_records();
    }

    /// As [`Roster::settle`], after `added` came behind all others.
    fn settle_new(&mut self, added: &[Node]) {
        let source = Source { graph: &self.graph, entries: &self.entries };
        let now = self.resolver.resolve(source, &self.all);
        if now != self.now {
            // Another signature: others than the new ones may have come in or gone out.
            return self.settle();
        }
        let mut counted = Vec::new();
        for node in added {
            let verdict = self.judge_whole(*node);
            if verdict.counts() {
                counted.push(*node);
            }
            self.verdicts.insert(self.graph.id(*node), verdict);
        }
        for node in &counted {
            let id = self.graph.id(*node);
            let graph = &self.graph;
            self.frontier.retain(|f| graph.node(f).is_none_or(|f| !graph.before(f, *node)));
            self.frontier.push(id);
        }
        self.frontier.sort_unstable();
        self.settle_tip();
        self.refresh_records(&counted);
    }

    fn settle_tip(&mut self) {
        let mut tip = NodeSet::default();
        let heads: Vec<Node> = self.frontier.iter().filter_map(|h| self.graph.node(h)).collect();
        heads.iter().filter_map(|h| self.graph.past(*h)).for_each(|past| tip.union(past));
        heads.iter().for_each(|h| tip.insert(*h));
        let source = Source { graph: &self.graph, entries: &self.entries };
        self.at_tip = self.resolver.resolve(source, &tip);
        self.tip = tip;
    }

    fn judge_whole(&self, node: Node) -> Verdict {
        match self.resolver.judged.get(node.0 as usize).map(|j| &j.sound) {
            Some(Ok(_)) if !self.resolver.out(self.now).has(node) => Verdict::Counts,
            Some(Ok(_)) => {
                let reason = self.resolver.reason(self.now, node);
                Verdict::Unsupported(reason.unwrap_or(Reason::AuthorNotMember))
            }
            Some(Err(reason)) => Verdict::Unsupported(*reason),
            None => Verdict::Unsupported(Reason::AuthorNotMember),
        }
    }

    fn ledger(&self) -> &standing::Ledger {
        &self.resolver.ledger
    }

    fn now(&self) -> View<'_> {
        View::now(&self.graph, self.resolver.out(self.now))
    }

    /// The community.
    pub fn community(&self) -> CommunityId {
        self.community
    }

    /// Whether the genesis is here and good. Without it nobody is a member of anything.
    pub fn is_founded(&self) -> bool {
        self.ledger().founding.is_some()
    }

    /// Who may issue tickets.
    pub fn invite_policy(&self) -> InvitePolicy {
        self.ledger().founding.as_ref().map_or(InvitePolicy::Stewards, |f| f.invite)
    }

    /// The version of the rules that the genesis names; 0 without a genesis.
    pub fn rules_version(&self) -> u16 {
        self.ledger().founding.as_ref().map_or(0, |f| f.rules)
    }

    /// Whether the community lives by later rules than [`RULES_VERSION`]: write no roster entries.
    pub fn needs_upgrade(&self) -> bool {
        self.rules_version() > RULES_VERSION
    }

    /// The quorum of stewards as a fraction; `None` without a genesis.
    pub fn quorum(&self) -> Option<(u8, u8)> {
        self.ledger().founding.as_ref().map(|f| f.quorum)
    }

    /// The Ed25519 key whose secret was printed at founding; `None` without a genesis.
    pub fn recovery_key(&self) -> Option<[u8; 32]> {
        self.ledger().founding.as_ref().map(|f| f.recovery_key)
    }

    /// BLAKE3 over everything that was resolved, and the ids of all entries that count.
    pub fn hash(&self) -> [u8; 32] {
        *self.hash.get_or_init(|| self.digest())
    }

    /// Who a device is now.
    pub fn standing(&self, device: &DeviceId) -> Option<Standing> {
        self.standing_at(&self.now(), device)
    }

    /// Who a device is in the roster past with these heads (rule 11). Heads that are not here, or
    /// wait, are ignored.
    pub fn standing_in(&self, heads: &[EntryId], device: &DeviceId) -> Option<Standing> {
        self.standing_at(&self.view(heads), device)
    }

    fn standing_at(&self, view: &View<'_>, device: &DeviceId) -> Option<Standing> {
        let seen = self.ledger().seen(view, device)?;
        let enrolled_by = self.graph.id(seen.enrolled_by);
        Some(Standing {
            member: self.ledger().member(seen.member).id,
            role: seen.role,
            enrolled_by,
        })
    }

    fn view(&self, heads: &[EntryId]) -> View<'_> {
        let heads = heads.iter().filter_map(|h| self.graph.node(h)).collect();
        View::heads(&self.graph, heads, self.resolver.out(self.now))
    }

    /// All members, the most senior first; pending newcomers last.
    pub fn members(&self) -> impl ExactSizeIterator<Item = &MemberRecord> {
        self.members.iter()
    }

    /// One member.
    pub fn member(&self, id: &MemberId) -> Option<&MemberRecord> {
        self.by_id.get(id).and_then(|at| self.members.get(*at))
    }

    /// Who was a member and is none now, by removals and leavings, in the order of the first admissions.
    pub fn former(&self) -> impl ExactSizeIterator<Item = &FormerMember> {
        self.former.iter()
    }

    /// All motions that count, in (depth, id) order.
    pub fn motions(&self) -> impl ExactSizeIterator<Item = &MotionRecord> {
        self.motions.iter()
    }

    /// All revocations that were allowed to their authors, kept or not, in (depth, id) order.
    pub fn revocations(&self) -> impl ExactSizeIterator<Item = &RevocationRecord> {
        self.revocations.iter()
    }

    /// The cuts through the logs of a device, in the (depth, id) order of the revocations (rule 10).
    pub fn cuts(&self, device: &DeviceId) -> &[Cut] {
        self.cuts.get(device).map_or(&[], Vec::as_slice)
    }

    /// All devices whose logs are cut.
    pub fn cut_devices(&self) -> impl Iterator<Item = (&DeviceId, &[Cut])> {
        self.cuts.iter().map(|(device, cuts)| (device, cuts.as_slice()))
    }

    /// Whether an entry was allowed to its author, judged in its own past: a thing that never changes,
    /// whatever becomes of the entry (rule 8).
    pub fn is_sound(&self, id: &EntryId) -> bool {
        self.graph.node(id).is_some_and(|n| self.resolver.facts(n).is_some())
    }

    /// The maximal entries that count, ascending. Past [`MAX_HEADS`](crate::limits::MAX_HEADS) a
    /// checkpoint that names some of them as further refs joins them.
    pub fn frontier(&self) -> &[EntryId] {
        &self.frontier
    }

    /// Whether an entry is one of `heads` or in their past. Heads that are not here, or wait, are
    /// ignored. Cost: two binary searches and one bit for each head.
    pub fn covers(&self, heads: &[EntryId], id: &EntryId) -> bool {
        let Some(node) = self.graph.node(id) else { return false };
        let mut heads = heads.iter().filter_map(|h| self.graph.node(h));
        heads.any(|h| h == node || self.graph.before(node, h))
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
        let act = judge::Act {
            author: *author,
            heads: &self.frontier,
            refs,
            body,
            entry: None,
            known: None,
        };
        let view = View::past(&self.graph, &self.tip, self.resolver.out(self.at_tip));
        let found = judge::judge(self.community, self.ledger(), &view, &act)?;
        self.resolver.look_beyond(&found, |n| view.has(n))
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

/// Whether an entry claims to be of this community.
fn belongs(community: CommunityId, e: &RosterEntry) -> bool {
    if e.header.is_genesis() {
        e.id == community.genesis()
    } else {
        e.header.community == community
    }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
