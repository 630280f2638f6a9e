//! The roster: who belongs, with which devices and roles. A pure function of the set of class 0
//! entries, the same on every node that holds the same set, in whatever order they came.
//!
//! # Rules
//!
//! Each is kept by the code named with it. The numbers are those of the protocol's roster rules.
//!
//! 1. **Genesis** holds the founders' join records in the order of their seniority, the recovery
//!    key, the quorum, the invite policy and the rules version. Its id is the community's id; it is
//!    written by a founder, names nobody twice, and every record is good, or there is no community
//!    (`judge::judge_genesis`).
//! 2. **Whole entries.** Ancestry is heads and refs, not `prev`. past(e) is all ancestors of e,
//!    without e; depth is 0 for the genesis, otherwise one more than the deepest parent. An entry
//!    is judged once all its ancestors are here; until then it waits, and says what for. The same
//!    place in a log twice is two concurrent entries (e ∥ f: neither is in the other's past)
//!    (`graph::build`).
//! 3. **Join records** are made and signed by the newcomer, with device and ticket. The member's id
//!    is the record's hash: two admissions of one record make one member. A device belongs to one
//!    member: what would enrol a device that an entry before it in (depth, id) order enrols for
//!    somebody else does not count (`standing::Ledger::is_taken`).
//! 4. **Rank** is the order of seniority, a list: founder i has `[i]`; a grant of a role has its
//!    sponsor's rank in its own past and then its (depth, id). Sponsor: of an admission whoever
//!    issued the ticket, of an enacted grant the mover (who enacts, if the mover is gone),
//!    otherwise the author. A prefix is senior, otherwise lists compare element by element. A
//!    member has the smallest rank of the grants that are in force and give the present role
//!    (`rank`).
//! 5. **Authority** is judged in the view of the entry's own past; the author's device must stand
//!    there. Inviting by policy; roles granted to members, up to one's own, or any with a good
//!    recovery signature. Anyone may leave or step down, and revoke own devices that are not senior
//!    to the one used. A steward may remove, demote and revoke the devices of whoever is no steward
//!    there; between stewards seniority decides. With a good signature of the recovery key over the
//!    heads and the body without it, any member may. A signature that is not good is as none
//!    (`judge`).
//! 6. **Motions** are opened by any member and endorsed by stewards. An enact, by any member, lists
//!    endorsements (the motion itself is its author's). Those count that are in its view, by
//!    distinct members who are stewards there, the subject (for a device: its owner) left out. It
//!    takes max(1, ⌈n · quorum⌉) of them, n being the stewards in its view without the subject. It
//!    does what the motion proposes, whoever wrote it (`motions`).
//! 7. **Strength of revocations** (removals and enacts that take away, and vouchings): a recovery
//!    signature first, then enacts, more endorsements first, then the author's rank in the
//!    revocation's own past, most senior first. With a device that a vouching brought, or that such
//!    a device added, nobody acts with more seniority than the vouching had. Ties: smaller depth,
//!    then smaller id (`resolve::Resolver::is_stronger`).
//! 8. **Resolve.** e is *sound* if the rules hold for it in S(past(e)). K(X): of the sound
//!    revocations of X, strongest first, each that no kept one strikes and for which the rules hold
//!    in Sift(X, K ∪ H) ∩ past(r), where K are the stronger ones that were kept and H are the
//!    weaker ones of K(past(r)) that none of K strikes. S(X) = Sift(X, K(X)) are the *supported*
//!    entries. Sift(X, K): the sound entries of X in (depth, id) order; a revocation is in if it is
//!    in K; another entry unless one of K strikes it, if the rules hold for it in what is in so far
//!    of its past. Uses of tickets (rule 14) and owners of devices (rule 3) are counted over all
//!    that is in so far. k *strikes* e if k ∥ e and k removes e's author, or revokes the device it
//!    was written with, or leaves the author less than the role that it took: the granted role for
//!    a grant; what rule 14 says for a ticket; steward for endorse, accept, restore, readmit,
//!    vouching, removing others and closing another's ticket; otherwise member. An admission is
//!    also struck by what removes its ticket's sponsor or leaves the sponsor less than issuing
//!    took. An enact is not struck by way of its author, and neither the genesis nor what carries a
//!    good recovery signature is ever struck (`resolve`).
//! 9. **In force.** In a view, a grant gives its role unless the view holds a removal of the member
//!    that is not in the grant's past, and at most the role to which such a demotion leads. An
//!    enrolment holds unless the view has, outside its past, a removal or a vouching of the member
//!    or a revocation of the device. A device *stands* if an enrolment of it is in force and its
//!    member has a role, which is the greatest one. So removal wins against an admission at the
//!    same time. An admission that was struck leaves its newcomer *pending*: a steward's `restore`
//!    brings the newcomer in, with role and device of the admission, and takes no use of the ticket
//!    (`standing::Ledger`). What the newcomer wrote before counts too ([`Roster::standing_in`]).
//! 10. **Cuts.** A kept revocation names heads of the subject's logs. They are widened by the
//!     `seen` of supported checkpoints of leads and stewards, other than the subject, that do not
//!     descend from it, and by supported `accept` entries of stewards that name it. Entries of
//!     other classes whose roster past does not hold the revocation count as ever if they are one
//!     of the heads or an ancestor by `prev`; the others with the role that is left: none, after a
//!     removal or for a revoked device; the lower role after a demotion ([`Roster::cuts`]).
//! 11. **Entries of other classes** count when their device stands by supported entries in their
//!     roster past, with the role held there, and inside the cuts ([`Roster::standing_in`]). A head
//!     that itself does not count still passes its past on: its author saw those ancestors,
//!     whatever became of it.
//! 12. **Re-admission**, by a steward, names a sound removal of the member (one that need not have
//!     been kept) and brings the record of a device; the role is member (`judge::judge_readmit`).
//! 13. **Devices.** A member's devices rank by seniority: first the one on paper, to which the join
//!     record's nonce commits, then by the smallest enrolment in force. A device of the member adds
//!     another (at most 32 in force); its record is its own statement. A steward who could remove a
//!     member, and is not that member, may *vouch*: the device brought replaces all others, and
//!     every role above member is gone (`judge::judge_device`).
//! 14. **Tickets** have a key, a role, uses and a sponsor; issuing takes the role of the invite
//!     policy and at least the role granted. Any member may write an admission. It counts when the
//!     ticket counts and, in its view, is not closed and its sponsor could still issue it. Uses
//!     count distinct records of admissions; too many: the smallest (depth, id) get in and the
//!     others are *pending*. Expiry needs a clock and is judged by the admitting node alone
//!     ([`Roster::may_admit`]). A ticket is closed by its sponsor or a steward (`tickets`).
//! 15. Somebody whose admission the other side lacks pushes the entries that enrol it and is then
//!     judged again: nothing here knows who sent an entry.
//! 16. **Epochs and seals** are written by members; an epoch follows only epochs of its past, a
//!     seal entry names its epoch in `refs[0]`. Whether a seal opens, only its device can tell, so
//!     all seals for a device are kept, in (depth, id) order (`epochs`).
//! 17. **Checkpoints** by members count. They join heads, and widen cuts (rule 10).
//!
//! Only the first refs have a meaning for a kind; further ones are ancestry.
//!
//! # What it costs
//!
//! [`Roster::fold`] starts from nothing: some 10 microseconds an entry when the join records were
//! checked before ([`RosterEntry`] remembers), a few signature checks more for each admission that was
//! not, and one walk over all entries for each combination of conflicts that somebody's past held
//! (`resolve`). [`Roster::grow`] adds what comes behind all others to a fold, which is what a node does all day. A
//! question about a view costs a few bits for each grant to the member asked about; nothing needs a cache.
//!
//! # What it cannot do
//!
//! Nobody can tell an act that was written late from one that was written in time and came late. So
//! a former quorum with old heads can still enact; who holds the recovery key can do anything; and what a removed
//! member wrote before the removal reached them is struck, honest or not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use crate::entry::Class;
use crate::id::{CommunityId, DeviceId, EntryId, MemberId};
use crate::payload::{Body, History, InvitePolicy, SignedJoinRecord};

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
    entries: Vec<Arc<RosterEntry>>,
    /// Entries that are not whole.
    waiting: Vec<RosterEntry>,
    /// Entries of other communities.
    foreign: Vec<EntryId>,
    resolver: Resolver,
    /// Every node, and what is out of them.
    all: NodeSet,
    now: Resolved,
    /// Admissions that leave their newcomers pending, ascending.
    pending: Vec<Node>,
    /// The frontier and its past, and what is out of that: what a new entry would be judged in.
    tip: NodeSet,
    at_tip: Resolved,
    verdicts: BTreeMap<EntryId, Verdict>,
    missing: Vec<EntryId>,
    frontier: Vec<EntryId>,
    members: Vec<MemberRecord>,
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
        let entries: Vec<Arc<RosterEntry>> =
            entries.into_iter().map(|e| Arc::new(e.clone())).collect();

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
            pending: Vec::new(),
            tip: nothing,
            at_tip: quiet,
            verdicts,
            missing,
            frontier: Vec::new(),
            members: Vec::new(),
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
            self.entries.push(Arc::new(entry.clone()));
            self.all.insert(node);
            let source = Source { graph: &self.graph, entries: &self.entries };
            self.resolver.add(source, node);
            added.push(node);
        }
        if !fresh.is_empty() {
            let known = self.entries.iter().map(Arc::as_ref).chain(&self.waiting);
            let all: Vec<RosterEntry> = known.chain(fresh).cloned().collect();
            let foreign = std::mem::take(&mut self.foreign);
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
        self.pending = Vec::new();
        let counted = self.give_verdicts((0u32..).map(Node).take(self.graph.len()));
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
        let counted = self.give_verdicts(added.iter().copied());
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

    /// Notes the verdicts of whole entries, and returns those that count.
    fn give_verdicts(&mut self, nodes: impl Iterator<Item = Node>) -> Vec<Node> {
        let mut counted = Vec::new();
        for node in nodes {
            let verdict = self.judge_whole(node);
            match &verdict {
                Verdict::Counts => counted.push(node),
                Verdict::Unsupported(reason) if reason.is_pending() => self.pending.push(node),
                _ => {}
            }
            self.verdicts.insert(self.graph.id(node), verdict);
        }
        counted
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

    /// How far back newcomers read.
    pub fn history(&self) -> History {
        self.ledger().founding.as_ref().map_or(History::All, |f| f.history)
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
        let standing = self.standing_at(&self.view(heads), device);
        standing.or_else(|| {
            let heads: Vec<EntryId> =
                heads.iter().copied().chain(self.restored(heads, device)?).collect();
            self.standing_at(&self.view(&heads), device)
        })
    }

    /// Rule 9: the restorations of a device whose admission is in the past of `heads`. What a newcomer
    /// wrote before being restored counts as if the restoration had been seen.
    fn restored(&self, heads: &[EntryId], device: &DeviceId) -> Option<Vec<EntryId>> {
        let enrolments = self.ledger().device(device)?.enrolments.iter();
        let restore = |node: Node| {
            let entry = self.entries.get(node.0 as usize)?;
            let admission = entry.header.refs().first()?;
            let held = matches!(entry.body, Body::Restore)
                && self.now().has(node)
                && self.covers(heads, admission);
            held.then_some(entry.id)
        };
        Some(enrolments.filter_map(|e| restore(e.node)).collect())
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
        self.find_member(id)
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

    /// The devices whose logs a revocation cuts.
    pub fn cut_by(&self, revocation: &EntryId) -> BTreeSet<DeviceId> {
        let cut = self.cuts.iter().filter(|(_, cuts)| cuts.iter().any(|c| c.by == *revocation));
        cut.map(|(device, _)| *device).collect()
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
