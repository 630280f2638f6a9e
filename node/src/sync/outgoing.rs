//! The sending half of a session: what goes out, in which order, and how much at a time.
//!
//! 1. **Order.** Roster entries first, oldest first, so that the receiver knows who belongs before
//!    it judges anything else. Then the rest, newest first: what people wait for arrives early, and
//!    each entry's successor is already there when it comes, which is all that the chain rule needs.
//!    Lanes take turns of [`LANE_TURN`] entries. Last come entries of which only the payload was
//!    wanted.
//! 2. **Groups.** A *group* is one SEG frame and the PAY frames of its payloads. Within a group
//!    entries are in ascending order of time, so that ids can refer back.
//! 3. **Credit.** The receiver grants a window; a group's cost (see
//!    [`entry_cost`](super::run::entry_cost)) is spent when it is sent and comes back with the ACK
//!    that covers it.
//! 4. **Held back.** Usually an entry's successor is newer and so went out before it. Where its author's
//!    clock was put back, or stood still, it comes later; and an entry that is held without a
//!    signature, vouched for by that successor alone, would be refused. Such entries wait until the
//!    others are sent, and then go out in descending order of (log, seq), so that each comes after
//!    what vouches for it.
//! 5. The payload of every entry is hashed before it is sent. One that does not fit its header, by
//!    damage in the store, is sent as missing.

use std::collections::{HashMap, HashSet, VecDeque};

use lanai_crdt::entry::{Header, Verified};
use lanai_crdt::id::{CommunityId, EntryId, LogId};

use super::config::{MAX_SEG_RECORDS, MAX_SESSION_ENTRIES};
use super::frame::{Ack, FrameType, put_frame};
use super::reconcile::ItemSet;
use super::run::{PayWriter, PutError, SegWriter, entry_cost};
use super::terms::{MAX_OLDER_HEADERS, Room, Terms, strip};

/// Entries of one lane before the next lane has its turn.
pub const LANE_TURN: u32 = 64;

/// Headers that go into the place of one entry when only headers are sent.
const HEADERS_FOR_ONE: usize = 8;

/// An entry as the store holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEntry {
    /// The authentic header.
    pub entry: Verified,
    /// Its payload, where it is held.
    pub payload: Option<Vec<u8>>,
}

impl StoredEntry {
    fn cost(&self) -> u64 {
        entry_cost(self.entry.bytes().len(), self.entry.header().payload_len)
    }
}

/// Where an entry stands in its log: what a successor vouches for.
type Place = (EntryId, LogId, u64);

fn place(entry: &Verified) -> Place {
    (entry.id(), entry.header().log, entry.header().seq)
}

/// The place that this header vouches for, if it follows another in its log.
fn predecessor(header: &Header) -> Option<Place> {
    Some((header.prev, header.log, header.seq.checked_sub(1)?))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Queue {
    Roster,
    Talk,
    Late,
    Payloads,
}

/// The ids of a plan, in the order of sending.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) roster: Vec<EntryId>,
    pub(super) talk: Vec<EntryId>,
    /// For each wanted id whether the items hold it.
    pub(super) found: Vec<bool>,
    /// More was wanted than fits one session.
    pub(super) more: bool,
    /// Entries beyond the horizon that are not even sent as headers.
    pub(super) left_out: u64,
}

/// Puts those items that are in `wanted` (ascending, each once) into the order of sending.
pub(super) fn order(items: &ItemSet, wanted: &[EntryId], terms: &Terms) -> Plan {
    let mut found = vec![false; wanted.len()];
    let mut pick = |id: &EntryId| match wanted.binary_search(id) {
        Ok(at) => found.get_mut(at).is_some_and(|f| !std::mem::replace(f, true)),
        Err(_) => false,
    };
    let (mut roster, mut talk, mut older) = (Vec::new(), Vec::new(), Vec::new());
    let mut turns: HashMap<u32, u32> = HashMap::new();
    for item in items.items().iter().rev().filter(|item| pick(&item.id)) {
        if item.roster {
            roster.push(item.id);
        } else if terms.is_older(item.time) {
            older.push(item.id);
        } else {
            let taken = turns.entry(item.lane).or_default();
            talk.push((*taken / LANE_TURN, item.id));
            *taken += 1;
        }
    }
    roster.reverse();
    talk.sort_by_key(|(turn, _)| *turn);
    let mut talk: Vec<EntryId> = talk.into_iter().map(|(_, id)| id).collect();
    let mut left_out = 0;
    if older.len() <= MAX_OLDER_HEADERS {
        talk.append(&mut older);
    } else {
        left_out = older.len() as u64;
    }
    let more = roster.len() + talk.len() > MAX_SESSION_ENTRIES;
    roster.truncate(MAX_SESSION_ENTRIES);
    talk.truncate(MAX_SESSION_ENTRIES - roster.len());
    Plan { roster, talk, found, more: more || left_out > 0, left_out }
}

/// What a peer asks for and acknowledges beyond what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BadAck;

#[derive(Debug)]
struct InFlight {
    through: u64,
    cost: u64,
}

/// The sending half.
#[derive(Debug)]
pub(super) struct Outgoing {
    community: CommunityId,
    window: u64,
    terms: Terms,
    /// Entries of which the terms left out the payload, or everything.
    left_out: u64,
    /// Only headers are sent from here on.
    headers_only: bool,
    roster: VecDeque<EntryId>,
    talk: VecDeque<EntryId>,
    /// Talk that waits for what vouches for it, while there is other talk.
    held_back: Vec<(LogId, u64, EntryId)>,
    late: VecDeque<EntryId>,
    payloads: VecDeque<EntryId>,
    payload_places: HashMap<EntryId, u64>,
    payloads_asked: u64,
    declined: Vec<u64>,
    loading: Option<Queue>,
    /// Ascending by time and id.
    loaded: Vec<StoredEntry>,
    loaded_from: Queue,
    vouched: HashSet<Place>,
    in_flight: VecDeque<InFlight>,
    in_flight_cost: u64,
    next: u64,
    acked: Ack,
    unsendable: u64,
    missing: u64,
    /// Groups may be lost, so none leaves out a signature because of another.
    alone: bool,
    #[cfg(any(test, feature = "simulator"))]
    sent_ids: Vec<EntryId>,
}

impl Outgoing {
    pub(super) fn new(community: CommunityId, window: u64, terms: Terms) -> Outgoing {
        Outgoing {
            community,
            window,
            terms,
            left_out: 0,
            headers_only: false,
            roster: VecDeque::new(),
            talk: VecDeque::new(),
            held_back: Vec::new(),
            late: VecDeque::new(),
            payloads: VecDeque::new(),
            payload_places: HashMap::new(),
            payloads_asked: 0,
            declined: Vec::new(),
            loading: None,
            loaded: Vec::new(),
            loaded_from: Queue::Roster,
            vouched: HashSet::new(),
            in_flight: VecDeque::new(),
            in_flight_cost: 0,
            next: 0,
            acked: Ack::default(),
            unsendable: 0,
            missing: 0,
            alone: false,
            #[cfg(any(test, feature = "simulator"))]
            sent_ids: Vec::new(),
        }
    }

    /// Each group has the signatures that its entries need, as far as they are held.
    pub(super) fn sign_each_group(&mut self) {
        self.alone = true;
    }

    pub(super) fn set_plan(&mut self, plan: Plan) {
        self.roster = plan.roster.into();
        self.talk = plan.talk.into();
    }

    /// The peer lacks the payloads of these entries.
    pub(super) fn want_payloads(&mut self, ids: &[EntryId]) {
        for id in ids {
            if self.payload_places.insert(*id, self.payloads_asked).is_none() {
                self.payloads.push_back(*id);
            }
            self.payloads_asked += 1;
        }
    }

    pub(super) fn payloads_asked(&self) -> u64 {
        self.payloads_asked
    }

    /// Nothing is left to load or to send.
    pub(super) fn is_drained(&self) -> bool {
        self.roster.is_empty()
            && self.talk.is_empty()
            && self.held_back.is_empty()
            && self.late.is_empty()
            && self.payloads.is_empty()
            && self.loading.is_none()
            && self.loaded.is_empty()
    }

    /// Entries that are to be sent or not yet acknowledged.
    pub(super) fn left(&self) -> u64 {
        let queues = [&self.roster, &self.talk, &self.late, &self.payloads];
        let queued: usize = queues.into_iter().map(VecDeque::len).sum();
        (queued + self.held_back.len() + self.loaded.len()) as u64 + self.next - self.acked.through
    }

    /// Everything sent has been acknowledged.
    pub(super) fn is_acked(&self) -> bool {
        self.acked.through == self.next
    }

    /// Headers sent.
    pub(super) fn sent(&self) -> u64 {
        self.next
    }

    pub(super) fn acked(&self) -> Ack {
        self.acked
    }

    /// Entries that were wanted and could not be sent because they are of another community.
    pub(super) fn unsendable(&self) -> u64 {
        self.unsendable
    }

    /// Entries that were to be sent and that the store did not give.
    pub(super) fn missing(&self) -> u64 {
        self.missing
    }

    /// Entries of which the terms left out the payload, or everything.
    pub(super) fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Ends the sending: the budget is spent.
    fn leave_out_the_rest(&mut self) {
        let lists = [&mut self.roster, &mut self.talk, &mut self.late, &mut self.payloads];
        let queued: usize = lists.into_iter().map(|list| list.drain(..).count()).sum();
        let more = self.held_back.drain(..).count() + self.loaded.drain(..).count();
        self.left_out += (queued + more) as u64;
    }

    /// Bytes of loaded entries.
    pub(super) fn buffered(&self) -> u64 {
        self.loaded.iter().map(StoredEntry::cost).sum()
    }

    fn queue(&mut self, queue: Queue) -> &mut VecDeque<EntryId> {
        match queue {
            Queue::Roster => &mut self.roster,
            Queue::Talk => &mut self.talk,
            Queue::Late => &mut self.late,
            Queue::Payloads => &mut self.payloads,
        }
    }

    /// The ids to ask the store for, when it is time to.
    pub(super) fn next_load(&mut self, limit: usize) -> Option<Vec<EntryId>> {
        if self.loading.is_some() || !self.loaded.is_empty() {
            return None;
        }
        if self.talk.is_empty() && !self.held_back.is_empty() {
            self.held_back.sort_unstable_by(|a, b| b.cmp(a));
            self.late = self.held_back.drain(..).map(|(_, _, id)| id).collect();
        }
        let queues = [Queue::Roster, Queue::Talk, Queue::Late, Queue::Payloads];
        let queue = queues.into_iter().find(|q| !self.queue(*q).is_empty())?;
        self.loading = Some(queue);
        let limit = if self.headers_only { limit * HEADERS_FOR_ONE } else { limit };
        Some(self.queue(queue).iter().take(limit.max(1)).copied().collect())
    }

    /// The store's answer: `taken` ids from the front were looked up. `false` when it was not
    /// asked or took nothing.
    pub(super) fn on_loaded(&mut self, mut entries: Vec<StoredEntry>, taken: usize) -> bool {
        let Some(queue) = self.loading.take() else { return false };
        let list = self.queue(queue);
        if taken == 0 || taken > list.len() {
            return false;
        }
        let ids: Vec<EntryId> = list.drain(..taken).collect();
        for stored in &mut entries {
            if stored.payload.as_ref().is_some_and(|p| !stored.entry.matches_payload(p)) {
                stored.payload = None;
            }
        }
        let terms = self.terms;
        let older = |e: &StoredEntry| terms.is_older(e.entry.header().time.0);
        if queue == Queue::Payloads {
            entries.retain(|e| e.payload.is_some() && !older(e));
            let served: HashSet<EntryId> = entries.iter().map(|e| e.entry.id()).collect();
            let places = ids.iter().filter(|id| !served.contains(id));
            let places: Vec<u64> =
                places.filter_map(|id| self.payload_places.get(id).copied()).collect();
            self.declined.extend(places);
        } else {
            self.missing += (ids.len() as u64).saturating_sub(entries.len() as u64);
        }
        match queue {
            // Sent from the end.
            Queue::Late => entries.sort_unstable_by_key(|e| {
                let header = e.entry.header();
                (header.log, header.seq, e.entry.id())
            }),
            _ => entries.sort_unstable_by_key(|e| (e.entry.header().time, e.entry.id())),
        }
        if matches!(queue, Queue::Talk | Queue::Late) {
            let bare = self.headers_only;
            for entry in entries.iter_mut().filter(|e| bare || older(e)) {
                self.left_out += strip(std::slice::from_mut(entry));
            }
        }
        if queue == Queue::Talk {
            self.hold_back(&mut entries);
        }
        self.loaded = entries;
        self.loaded_from = queue;
        true
    }

    /// Takes out what nothing vouches for yet when its turn comes (rule 4); the last goes out first.
    fn hold_back(&mut self, entries: &mut Vec<StoredEntry>) {
        if entries.iter().all(|e| e.entry.signature().is_some()) {
            return;
        }
        let mut vouched = HashSet::new();
        let mut kept = Vec::with_capacity(entries.len());
        for stored in entries.drain(..).rev() {
            let place = place(&stored.entry);
            let header = stored.entry.header();
            let good = stored.entry.signature().is_some()
                || vouched.contains(&place)
                || self.vouched.contains(&place);
            if good {
                vouched.extend(predecessor(header));
                kept.push(stored);
            } else {
                self.held_back.push((header.log, header.seq, stored.entry.id()));
            }
        }
        kept.reverse();
        *entries = kept;
    }

    /// The places of wanted payloads that are not held, ascending; once all have been looked up.
    pub(super) fn take_declined(&mut self) -> Vec<u64> {
        if !self.payloads.is_empty() || self.loading == Some(Queue::Payloads) {
            return Vec::new();
        }
        let mut places = std::mem::take(&mut self.declined);
        places.sort_unstable();
        places
    }

    pub(super) fn on_ack(&mut self, ack: Ack) -> Result<(), BadAck> {
        let refused = ack.refused.checked_sub(self.acked.refused).ok_or(BadAck)?;
        let through = ack.through.checked_sub(self.acked.through).ok_or(BadAck)?;
        if ack.through > self.next || refused > through {
            return Err(BadAck);
        }
        while let Some(group) = self.in_flight.front() {
            if group.through > ack.through {
                break;
            }
            self.in_flight_cost -= group.cost;
            self.in_flight.pop_front();
        }
        self.acked = ack;
        Ok(())
    }

    /// Writes one group if something is loaded and the window has room. Returns whether it made a
    /// step and should be asked again. `spent`: bytes that the session took so far, without `out`.
    pub(super) fn send_group(&mut self, out: &mut Vec<u8>, spent: u64) -> bool {
        let oldest_first = self.loaded_from == Queue::Roster;
        let most = self.window / 2;
        let by_cost = |entries: &mut dyn Iterator<Item = &StoredEntry>| {
            let mut sum = 0;
            entries
                .take(MAX_SEG_RECORDS)
                .take_while(|e| {
                    sum += e.cost();
                    sum <= most
                })
                .count()
        };
        let mut count = match oldest_first {
            true => by_cost(&mut self.loaded.iter()),
            false => by_cost(&mut self.loaded.iter().rev()),
        };
        let mut dropped = false;
        while count > 0 {
            let from = if oldest_first { 0 } else { self.loaded.len() - count };
            let group = self.loaded.get(from..from + count).unwrap_or_default();
            let cost: u64 = group.iter().map(StoredEntry::cost).sum();
            if self.in_flight_cost + cost > self.window {
                return false;
            }
            match self.write_seg(group) {
                Ok(body) => {
                    let payloads: usize =
                        group.iter().filter_map(|e| e.payload.as_ref()).map(Vec::len).sum();
                    let bytes = (body.len() + payloads + 4 * group.len() + 8) as u64;
                    let roster = self.loaded_from == Queue::Roster;
                    match self.terms.judge(spent + out.len() as u64, bytes, roster) {
                        Room::Whole => {}
                        Room::HeadersUpTo(room) if payloads == 0 && bytes <= room => {}
                        _ if count > 1 => {
                            count /= 2;
                            continue;
                        }
                        Room::HeadersUpTo(_)
                            if payloads > 0 && self.loaded_from != Queue::Payloads =>
                        {
                            self.headers_only = true;
                            self.left_out += strip(&mut self.loaded);
                            return true;
                        }
                        _ => {
                            self.leave_out_the_rest();
                            return true;
                        }
                    }
                    let group: Vec<StoredEntry> = self.loaded.drain(from..from + count).collect();
                    self.put_group(out, &body, &group, cost);
                    return true;
                }
                Err((_, PutError::Full)) => count /= 2,
                Err((at, PutError::Foreign)) => {
                    self.loaded.remove(from + at);
                    self.unsendable += 1;
                    dropped = true;
                    count -= 1;
                }
            }
        }
        dropped
    }

    fn write_seg(&self, group: &[StoredEntry]) -> Result<Vec<u8>, (usize, PutError)> {
        let vouched: HashSet<Place> =
            group.iter().filter_map(|e| predecessor(e.entry.header())).collect();
        let mut seg = SegWriter::new(self.community);
        for (at, stored) in group.iter().enumerate() {
            let place = place(&stored.entry);
            let covered =
                vouched.contains(&place) || (!self.alone && self.vouched.contains(&place));
            let sign = stored.entry.header().class == 0 || !covered;
            seg.put(&stored.entry, sign, stored.payload.is_some()).map_err(|e| (at, e))?;
        }
        Ok(seg.into_body())
    }

    fn put_group(&mut self, out: &mut Vec<u8>, body: &[u8], group: &[StoredEntry], cost: u64) {
        put_frame(out, FrameType::Seg, body);
        let mut pay = PayWriter::default();
        for (number, stored) in (self.next..).zip(group) {
            let Some(payload) = &stored.payload else { continue };
            if !pay.put(number, payload) {
                let full = std::mem::take(&mut pay);
                put_frame(out, FrameType::Pay, &full.into_body());
                // A payload is shorter than an empty frame.
                pay.put(number, payload);
            }
        }
        if !pay.is_empty() {
            put_frame(out, FrameType::Pay, &pay.into_body());
        }
        let inside: HashSet<EntryId> = group.iter().map(|e| e.entry.id()).collect();
        for stored in group {
            self.vouched.remove(&place(&stored.entry));
            if let Some(before) = predecessor(stored.entry.header())
                && !inside.contains(&before.0)
            {
                self.vouched.insert(before);
            }
        }
        #[cfg(any(test, feature = "simulator"))]
        self.sent_ids.extend(group.iter().map(|e| e.entry.id()));
        self.next += group.len() as u64;
        self.in_flight.push_back(InFlight { through: self.next, cost });
        self.in_flight_cost += cost;
    }

    #[cfg(test)]
    pub(super) fn sent_ids(&self) -> &[EntryId] {
        &self.sent_ids
    }

    /// The entries that the peer says it has dealt with.
    #[cfg(any(test, feature = "simulator"))]
    pub(super) fn acked_ids(&self) -> &[EntryId] {
        let acked = usize::try_from(self.acked.through).unwrap_or(usize::MAX);
        self.sent_ids.get(..acked).unwrap_or(&self.sent_ids)
    }

    #[cfg(any(test, feature = "simulator"))]
    pub(super) fn check_invariants(&self) {
        assert_eq!(self.in_flight_cost, self.in_flight.iter().map(|g| g.cost).sum::<u64>());
        assert!(self.in_flight_cost <= self.window);
        assert!(self.acked.through <= self.next && self.acked.refused <= self.acked.through);
        assert!(self.in_flight.iter().all(|g| g.through > self.acked.through));
        assert!(self.loaded.len() <= MAX_SEG_RECORDS);
        assert!(self.vouched.len() as u64 <= self.next);
    }
}
