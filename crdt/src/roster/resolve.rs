//! Rule 8: which entries hold, when revocations meet what they take away.
//!
//! # The definition
//!
//! X is a set of whole entries with all their ancestors; past(e) is one. e ∥ f: neither is in the
//! other's past.
//!
//! - **Sound(e)**: the rules hold for e in S(past(e)). It never changes, whatever else comes.
//! - **K(X)**, the revocations that are kept: the sound revocations of X, strongest first; each is kept
//!   unless one that was kept strikes it, or the rules do not hold for it in
//!   Sift(X, K ∪ H) ∩ past(r). K is what was kept so far, thus what is stronger; H are the weaker
//!   ones that r was written in the knowledge of: those of K(past(r)) that no k of K strikes.
//! - **S(X)** = Sift(X, K(X)), the supported entries.
//! - **Sift(X, K)**: the sound entries of X in (depth, id) order. A revocation is in if it is in K;
//!   another entry is in unless some k of K strikes it, if the rules hold for it in what is in so far
//!   of its past. (The uses of a ticket and "a device belongs to one member" look at all that is
//!   in so far.)
//! - **k strikes e** if k ∥ e and k takes away what e was written with: the author's membership, the
//!   device, or the role it needed; of an admission also what the sponsor needed. An enact is not
//!   struck by way of its author (its endorsements are), nor is what carries a good recovery
//!   signature, nor the genesis.
//!
//! # How it is computed
//!
//! Literally it would be a fold for each entry. But S(X) differs from "all sound entries of X" only by
//! *conflicts* that X holds whole: a sound revocation and a sound entry that it strikes; all
//! admissions by a ticket that has too many of them; two enrolments of one device for different
//! members that do not know of each other. Call the conflicts in X its **signature**.
//!
//! - If X has none it is *quiet*: by induction over strength nothing is struck, every view that is asked for is the one in
//!   which soundness was judged, and so K is all revocations and S all sound entries.
//! - If X ⊂ Y have one signature, S(X) = S(Y) ∩ X: what Y has more strikes nothing that counts here,
//!   is in no past of an entry of X, and takes no use of a ticket that has too few. For any X and Y
//!   of one signature the same follows by way of X ∩ Y, which has it too.
//!
//! So for each signature that turns up there is one [`Resolution`]: which entries are *out* under it.
//! It grows as views ask for more entries, and judges each of them once. An entry is judged anew only
//! if what is out of its past differs from what was out when its soundness was judged. A
//! revocation that no conflict reaches from outside its own past needs no view of its own either.
//! All effects of sound entries lie in one ledger, and a view is a past without what is out.

use std::collections::{BTreeMap, BTreeSet};

use super::RosterEntry;
use super::effects::{self, acting_rank};
use super::graph::{Graph, Node, NodeSet, View};
use super::judge::{Act, Deed, Effect, Found, Known, judge};
use super::rank::RankId;
use super::standing::{Ledger, MemberNo, Seen, Taken};
use super::tickets::{has_room, needs};
use super::verdict::Reason;
use crate::id::{CommunityId, DeviceId, MemberId};
use crate::payload::Role;

/// Rule 7: the strength of a revocation, as found when its soundness was judged.
#[derive(Debug, Clone, Copy)]
pub(super) enum Strength {
    Recovery,
    /// With this many endorsements.
    Enact(u32),
    Rank(Option<RankId>),
}

/// What was found when an entry's soundness was judged.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub(super) by: Option<Seen>,
    device: DeviceId,
    needs: Role,
    /// Never struck.
    immune: bool,
    recovery: bool,
    /// Of an admission: the ticket, its sponsor and the role that issuing it takes.
    ticket: Option<(Node, MemberNo, Role)>,
    enrols: Option<(DeviceId, MemberId)>,
    /// Of a revocation.
    pub(super) strength: Option<Strength>,
}

/// What is known of a node for good.
#[derive(Debug, Clone)]
pub(super) struct Judged {
    /// The signature of its past.
    signature: usize,
    pub(super) sound: Result<Facts, Reason>,
}

/// A part of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Conflict {
    /// The first strikes the second.
    Strike(Node, Node),
    /// Of the admissions by a ticket that has too many: ticket and admission.
    Contest(Node, Node),
    /// Two that enrol one device for different members, in (depth, id) order.
    Clash(Node, Node),
}

/// Which entries are out under one signature, as far as that was asked for.
#[derive(Debug, Clone, Default)]
struct Resolution {
    signature: Vec<Conflict>,
    struck_by: BTreeMap<Node, Vec<Node>>,
    /// What the look beyond the own past concerns.
    loose: BTreeSet<Node>,
    walked: NodeSet,
    out: NodeSet,
    kept: NodeSet,
    reasons: BTreeMap<Node, Reason>,
}

/// The conflicts among all sound entries so far.
#[derive(Debug, Clone, Default)]
struct Conflicts {
    strikes: BTreeMap<Node, Vec<Node>>,
    contested: BTreeSet<Node>,
    clashes: Vec<(Node, Node)>,
}

/// All that was found out about a set of whole entries.
#[derive(Debug, Clone)]
pub(super) struct Resolver {
    community: CommunityId,
    pub(super) ledger: Ledger,
    pub(super) judged: Vec<Judged>,
    conflicts: Conflicts,
    resolutions: Vec<Resolution>,
    by_signature: BTreeMap<Vec<Conflict>, usize>,
    /// Sound revocations, ascending.
    pub(super) revocations: Vec<Node>,
    /// Sound entries by the device that wrote them.
    written: BTreeMap<DeviceId, Vec<Node>>,
    /// Sound admissions by the sponsor of their ticket.
    sponsored: BTreeMap<MemberNo, Vec<Node>>,
    /// Sound revocations by whom they concern.
    against: BTreeMap<MemberNo, Vec<Node>>,
    against_device: BTreeMap<DeviceId, Vec<Node>>,
}

/// A set of nodes, resolved: what is out of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Resolved(usize);

/// Where the entries are that the nodes stand for.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) graph: &'a Graph,
    pub(super) entries: &'a [RosterEntry],
}

impl Source<'_> {
    fn entry(&self, node: Node) -> Option<&RosterEntry> {
        self.entries.get(node.0 as usize)
    }
}

#[allow(clippy::indexing_slicing)] // resolutions are only added, and their numbers made with them
impl Resolver {
    pub(super) fn new(community: CommunityId) -> Resolver {
        Resolver {
            community,
            ledger: Ledger::default(),
            judged: Vec::new(),
            conflicts: Conflicts::default(),
            resolutions: vec![Resolution::default()],
            by_signature: BTreeMap::from([(Vec::new(), 0)]),
            revocations: Vec::new(),
            written: BTreeMap::new(),
            sponsored: BTreeMap::new(),
            against: BTreeMap::new(),
            against_device: BTreeMap::new(),
        }
    }

    /// What was found of a sound entry.
    pub(super) fn facts(&self, node: Node) -> Option<&Facts> {
        self.judged.get(node.0 as usize)?.sound.as_ref().ok()
    }

    /// What is out under a resolution.
    pub(super) fn out(&self, resolved: Resolved) -> &NodeSet {
        &self.resolutions[resolved.0].out
    }

    /// Why a sound entry is out.
    pub(super) fn reason(&self, resolved: Resolved, node: Node) -> Option<Reason> {
        self.resolutions[resolved.0].reasons.get(&node).copied()
    }

    /// Resolves a set of nodes with all their ancestors.
    pub(super) fn resolve(&mut self, source: Source<'_>, set: &NodeSet) -> Resolved {
        let signature = self.signature(set);
        let number = self.number(signature);
        self.ensure(source, number, set);
        Resolved(number)
    }

    /// Judges whether the next node is sound, and adds what it does.
    pub(super) fn add(&mut self, source: Source<'_>, at: Node) {
        let (Some(entry), Some(past)) = (source.entry(at), source.graph.past(at)) else { return };
        let signature = self.signature_of_past(source, entry, past);
        self.ensure(source, signature, past);
        let out = self.resolutions[signature].out.clone();
        let view = View::past(source.graph, past, &out);
        let act = Act::of(entry, None);
        let sound = judge(self.community, &self.ledger, &view, &act).and_then(|found| {
            let room = self.look_beyond(&found, |n| view.has(n));
            if let Err(Reason::TicketUsedUp { .. }) = &room
                && let (Effect::Admit { ticket, record }, Some(by)) = (&found.effect, found.by)
            {
                let record = (**record).clone();
                effects::note_admission(&mut self.ledger, at, by, *ticket, record);
            }
            room.map(|()| found)
        });
        let sound = sound.map(|found| {
            let facts = self.facts_of(&view, entry, &found);
            effects::apply(&mut self.ledger, &view, at, entry, found);
            facts
        });
        if let Ok(facts) = &sound {
            self.note_conflicts(source.graph, at, facts);
        }
        self.judged.push(Judged { signature, sound });
    }

    /// Rules 3 and 14, as far as they look beyond the own past.
    pub(super) fn look_beyond(
        &self,
        found: &Found,
        wide: impl Fn(Node) -> bool,
    ) -> Result<(), Reason> {
        let enrols = found.enrols(&self.ledger);
        if let Some((device, member)) = &enrols
            && self.ledger.is_taken(&wide, device, member)
        {
            return Err(Reason::DeviceTaken);
        }
        if let (Effect::Admit { ticket, .. }, Some((_, member))) = (&found.effect, enrols)
            && let Some(ticket) = self.ledger.tickets.by_node.get(ticket)
        {
            has_room(ticket, wide, member)?;
        }
        Ok(())
    }

    fn facts_of(&self, view: &View<'_>, entry: &RosterEntry, found: &Found) -> Facts {
        let ledger = &self.ledger;
        let strength = match &found.effect {
            Effect::Take(_) if found.recovery => Some(Strength::Recovery),
            Effect::Take(_) | Effect::Enrol { vouch: true, .. } => {
                Some(Strength::Rank(found.by.and_then(|by| acting_rank(ledger, view, by))))
            }
            Effect::Enact(e) if matches!(e.deed, Deed::Take(_)) => {
                Some(Strength::Enact(e.endorsements))
            }
            _ => None,
        };
        let ticket = match &found.effect {
            Effect::Admit { ticket, .. } => ledger
                .tickets
                .by_node
                .get(ticket)
                .map(|t| (*ticket, t.sponsor, needs(ledger, t.role))),
            _ => None,
        };
        Facts {
            by: found.by,
            device: entry.header.log.device,
            needs: found.needs,
            immune: found.by.is_none()
                || found.recovery
                || matches!(found.effect, Effect::Enact(_)),
            recovery: found.recovery,
            ticket,
            enrols: found.enrols(ledger),
            strength,
        }
    }

    // Conflicts.

    /// Rule 8: whether what takes this away strikes an entry that does not know of it.
    fn strikes(taken: Taken, facts: &Facts) -> bool {
        let Some(by) = facts.by.filter(|_| !facts.immune) else { return false };
        let (is_author, needs) = (by.member == taken.member(), facts.needs);
        let sponsor_needs =
            facts.ticket.filter(|(_, m, _)| *m == taken.member()).map(|(_, _, needs)| needs);
        match taken {
            Taken::Member(_) => is_author || sponsor_needs.is_some(),
            Taken::Role(_, to) => {
                is_author && to < needs || sponsor_needs.is_some_and(|needs| to < needs)
            }
            Taken::Device(_, device) => facts.device == device,
            Taken::Vouch(_, device) => {
                is_author && (facts.device != device || Role::Member < needs)
                    || sponsor_needs.is_some_and(|needs| Role::Member < needs)
            }
        }
    }

    /// Finds the conflicts of a new sound entry with those before it.
    fn note_conflicts(&mut self, graph: &Graph, at: Node, facts: &Facts) {
        let mut pairs = Vec::new();
        if let Some(by) = facts.by {
            // Who strikes it.
            let sponsor = facts.ticket.map(|(_, m, _)| m).filter(|m| *m != by.member);
            let members = [Some(by.member), sponsor];
            let against = members.iter().flatten().filter_map(|m| self.against.get(m));
            let of_device = self.against_device.get(&facts.device);
            for k in against.chain(of_device).flatten() {
                let taken = self.ledger.takes(*k);
                if !graph.before(*k, at) && taken.is_some_and(|t| Resolver::strikes(t, facts)) {
                    pairs.push((*k, at));
                }
            }
        }
        if facts.strength.is_some()
            && let Some(taken) = self.ledger.takes(at)
        {
            // Whom it strikes.
            let member = self.ledger.member(taken.member());
            let devices: Vec<DeviceId> = match taken {
                Taken::Device(_, device) => vec![device],
                _ => member.devices.clone(),
            };
            let mut struck: Vec<Node> =
                devices.iter().filter_map(|d| self.written.get(d)).flatten().copied().collect();
            struck.extend(self.sponsored.get(&taken.member()).into_iter().flatten());
            struck.sort_unstable();
            struck.dedup();
            for e in struck {
                let hit = self.facts(e).is_some_and(|f| Resolver::strikes(taken, f));
                if hit && !graph.before(e, at) {
                    pairs.push((at, e));
                }
            }
            match taken {
                Taken::Device(_, device) => {
                    self.against_device.entry(device).or_default().push(at);
                }
                _ => self.against.entry(taken.member()).or_default().push(at),
            }
            self.revocations.push(at);
        }
        for (k, e) in pairs {
            self.conflicts.strikes.entry(k).or_default().push(e);
        }
        if facts.by.is_some() {
            self.written.entry(facts.device).or_default().push(at);
        }
        if let Some((ticket, sponsor, _)) = facts.ticket {
            self.sponsored.entry(sponsor).or_default().push(at);
            let state = self.ledger.tickets.by_node.get(&ticket);
            let too_many = state.is_some_and(|t| {
                t.admissions.len() > t.uses as usize
                    && t.admissions.iter().map(|(_, m)| *m).collect::<BTreeSet<_>>().len()
                        > t.uses as usize
            });
            if too_many {
                self.conflicts.contested.insert(ticket);
            }
        }
        if let Some((device, id)) = &facts.enrols
            && let Some(known) = self.ledger.device(device)
        {
            let others = known.enrolments.iter().filter(|e| {
                e.node != at && self.ledger.member(e.member).id != *id && !graph.before(e.node, at)
            });
            self.conflicts.clashes.extend(others.map(|e| (e.node, at)));
        }
    }

    /// The conflicts that a set holds whole.
    fn signature(&self, set: &NodeSet) -> Vec<Conflict> {
        let mut found = Vec::new();
        for (k, struck) in self.conflicts.strikes.iter().filter(|(k, _)| set.has(**k)) {
            found.extend(struck.iter().filter(|e| set.has(**e)).map(|e| Conflict::Strike(*k, *e)));
        }
        for node in &self.conflicts.contested {
            let Some(ticket) = self.ledger.tickets.by_node.get(node) else { continue };
            let here = || ticket.admissions.iter().filter(|(n, _)| set.has(*n));
            if here().map(|(_, m)| m).collect::<BTreeSet<_>>().len() > ticket.uses as usize {
                found.extend(here().map(|(n, _)| Conflict::Contest(*node, *n)));
            }
        }
        let clashes = self.conflicts.clashes.iter();
        found.extend(
            clashes
                .filter(|(a, b)| set.has(*a) && set.has(*b))
                .map(|(a, b)| Conflict::Clash(*a, *b)),
        );
        found.sort_unstable();
        found
    }

    /// As [`Resolver::signature`], of an entry's past. An only parent conflicts with nothing in its own past, so
    /// the signature is that of the parent's past.
    fn signature_of_past(
        &mut self,
        source: Source<'_>,
        entry: &RosterEntry,
        past: &NodeSet,
    ) -> usize {
        let named = entry.header.heads().iter().chain(entry.header.refs());
        let parents: Vec<Node> = named.filter_map(|id| source.graph.node(id)).collect();
        let newest = parents.iter().max().copied();
        if let Some(newest) = newest
            && parents.iter().all(|p| *p == newest || source.graph.before(*p, newest))
            && let Some(judged) = self.judged.get(newest.0 as usize)
        {
            let ticket = judged.sound.as_ref().ok().and_then(|f| f.ticket);
            if ticket.is_none_or(|(t, ..)| !self.conflicts.contested.contains(&t)) {
                return judged.signature;
            }
        }
        let signature = self.signature(past);
        self.number(signature)
    }

    fn number(&mut self, signature: Vec<Conflict>) -> usize {
        if let Some(known) = self.by_signature.get(&signature) {
            return *known;
        }
        let number = self.resolutions.len();
        let mut made = Resolution { signature: signature.clone(), ..Resolution::default() };
        for conflict in &signature {
            match conflict {
                Conflict::Strike(k, e) => made.struck_by.entry(*e).or_default().push(*k),
                Conflict::Contest(_, e) | Conflict::Clash(_, e) => {
                    made.loose.insert(*e);
                }
            }
        }
        self.resolutions.push(made);
        self.by_signature.insert(signature, number);
        number
    }

    // Resolving.

    /// Rule 7: whether revocation `a` is stronger than `b`.
    pub(super) fn is_stronger(&self, a: Node, b: Node) -> bool {
        self.compare_strength(a, b).is_lt()
    }

    fn compare_strength(&self, a: Node, b: Node) -> std::cmp::Ordering {
        use Strength::{Enact, Rank, Recovery};
        use std::cmp::Ordering::{Equal, Greater, Less};
        let strength = |n: Node| self.facts(n).and_then(|f| f.strength).unwrap_or(Rank(None));
        let order = match (strength(a), strength(b)) {
            (Recovery, Recovery) => Equal,
            (Recovery, _) => Less,
            (_, Recovery) => Greater,
            (Enact(x), Enact(y)) => y.cmp(&x),
            (Enact(_), _) => Less,
            (_, Enact(_)) => Greater,
            (Rank(Some(x)), Rank(Some(y))) => self.ledger.ranks.compare(x, y),
            (Rank(Some(_)), Rank(None)) => Less,
            (Rank(None), Rank(Some(_))) => Greater,
            (Rank(None), Rank(None)) => Equal,
        };
        order.then(a.cmp(&b))
    }

    /// Makes the resolution with this number answer for every entry of `set`, whose signature it has.
    fn ensure(&mut self, source: Source<'_>, number: usize, set: &NodeSet) {
        if number == 0 {
            return;
        }
        let fresh = set.without(&self.resolutions[number].walked);
        if fresh.is_empty() {
            return;
        }
        let mut r = std::mem::take(&mut self.resolutions[number]);
        let mut revocations: Vec<Node> =
            self.revocations.iter().copied().filter(|n| fresh.binary_search(n).is_ok()).collect();
        revocations.sort_by(|a, b| self.compare_strength(*a, *b));
        for node in revocations {
            match self.keep(source, number, &r, set, node) {
                Ok(()) => r.kept.insert(node),
                Err(reason) => {
                    r.reasons.insert(node, reason);
                }
            }
        }
        let mut out = std::mem::take(&mut r.out);
        let mut reasons = std::mem::take(&mut r.reasons);
        let walk = Walk { number, own: None, resolution: &r, set, kept: &r.kept };
        self.sift(source, &walk, &fresh, &mut out, |node, reason| {
            reasons.entry(node).or_insert(reason);
        });
        (r.out, r.reasons) = (out, reasons);
        fresh.iter().for_each(|n| r.walked.insert(*n));
        self.resolutions[number] = r;
    }

    /// Whether a revocation is kept, given what was decided about all stronger ones.
    fn keep(
        &self,
        source: Source<'_>,
        number: usize,
        r: &Resolution,
        set: &NodeSet,
        node: Node,
    ) -> Result<(), Reason> {
        let strikers = r.struck_by.get(&node).into_iter().flatten();
        let by = strikers.filter(|k| r.kept.has(**k) && self.is_stronger(**k, node)).min();
        if let Some(by) = by {
            return Err(Reason::Struck { by: source.graph.id(*by) });
        }
        let Some(past) = source.graph.past(node) else { return Ok(()) };
        if !reaches(&r.signature, node, past) {
            return Ok(());
        }
        // K ∪ H.
        let mut heard = NodeSet::default();
        let stronger = |n: &Node| self.is_stronger(*n, node);
        let kept = self.revocations.iter().filter(|n| r.kept.has(**n));
        kept.filter(|n| stronger(n)).for_each(|n| heard.insert(*n));
        let then = match self.judged.get(node.0 as usize) {
            Some(j) if j.signature == number => &r.out,
            Some(j) => &self.resolutions[j.signature].out,
            None => return Ok(()),
        };
        let strong = heard.clone();
        for weaker in self.revocations.iter().filter(|n| past.has(**n) && !then.has(**n)) {
            let struck =
                r.struck_by.get(weaker).is_some_and(|by| by.iter().any(|k| strong.has(*k)));
            if !stronger(weaker) && !struck {
                heard.insert(*weaker);
            }
        }
        let mut out = NodeSet::default();
        let all = set.without(&NodeSet::default());
        let walk = Walk { number, own: Some(&r.out), resolution: r, set, kept: &heard };
        self.sift(source, &walk, &all, &mut out, |_, _| {});
        self.holds_again(source, &out, set, node)
    }

    /// Sift: decides about `nodes`, ascending, whatever is in their past being decided.
    fn sift(
        &self,
        source: Source<'_>,
        walk: &Walk<'_>,
        nodes: &[Node],
        out: &mut NodeSet,
        mut note: impl FnMut(Node, Reason),
    ) {
        for node in nodes {
            let Some(judged) = self.judged.get(node.0 as usize) else { continue };
            let Ok(facts) = &judged.sound else { continue };
            if facts.strength.is_some() {
                if !walk.kept.has(*node) {
                    out.insert(*node);
                }
                continue;
            }
            let strikers = walk.resolution.struck_by.get(node).into_iter().flatten();
            if let Some(by) = strikers.filter(|k| walk.kept.has(**k)).min() {
                let by = source.graph.id(*by);
                let admits = facts.ticket.is_some();
                out.insert(*node);
                note(
                    *node,
                    if admits { Reason::AdmitterStruck { by } } else { Reason::Struck { by } },
                );
                continue;
            }
            let Some(past) = source.graph.past(*node) else { continue };
            let same = match (judged.signature == walk.number, walk.own) {
                (true, None) => true,
                (true, Some(own)) => past.sees_same(out, own),
                (false, _) => past.sees_same(out, &self.resolutions[judged.signature].out),
            };
            if same && !walk.resolution.loose.contains(node) {
                continue;
            }
            if let Err(reason) = self.holds_again(source, out, walk.set, *node) {
                out.insert(*node);
                note(*node, reason);
            }
        }
    }

    /// Whether the rules hold for a sound entry in what is in of its past.
    fn holds_again(
        &self,
        source: Source<'_>,
        out: &NodeSet,
        set: &NodeSet,
        node: Node,
    ) -> Result<(), Reason> {
        let (Some(entry), Some(past)) = (source.entry(node), source.graph.past(node)) else {
            return Ok(());
        };
        let recovery = self.facts(node).is_some_and(|f| f.recovery);
        let view = View::past(source.graph, past, out);
        let act = Act::of(entry, Some(Known { recovery }));
        let found = judge(self.community, &self.ledger, &view, &act)?;
        self.look_beyond(&found, |n| n < node && set.has(n) && !out.has(n))
    }
}

/// What a walk is made for.
struct Walk<'a> {
    number: usize,
    /// What is out under this very signature, unless that is what the walk finds out.
    own: Option<&'a NodeSet>,
    resolution: &'a Resolution,
    set: &'a NodeSet,
    kept: &'a NodeSet,
}

/// Whether a conflict reaches into the past of a revocation from outside it.
fn reaches(signature: &[Conflict], node: Node, past: &NodeSet) -> bool {
    let mut contests: BTreeMap<Node, [bool; 2]> = BTreeMap::new();
    for conflict in signature {
        match conflict {
            Conflict::Strike(k, e) if past.has(*e) && !past.has(*k) => return true,
            Conflict::Clash(a, b) if (*b == node || past.has(*b)) && !past.has(*a) => return true,
            Conflict::Contest(ticket, e) => {
                let seen = contests.entry(*ticket).or_default();
                seen[usize::from(past.has(*e))] = true;
            }
            Conflict::Strike(..) | Conflict::Clash(..) => {}
        }
    }
    contests.values().any(|seen| *seen == [true, true])
}
