//! Whether entries are authentic, and what can be found out of a batch before the writer is needed.
//!
//! A header is believed because of its own signature, or by the chain rule: because one that is authentic
//! names it as the one before it. Later ones of a log are looked at first, so that a run of a thousand costs
//! one signature check. Who vouches may be in the batch, in the store, or among those who wait for their device.
//!
//! There is one writer. So a large batch is looked at on a reading connection first ([`Ahead::of`]), beside
//! whoever writes: which entries are new, who vouches for each, whether its payload is the right one. In the
//! transaction that is true as long as nothing was put into the store since; then and where anything was
//! not as it mostly is, the transaction looks at all of it by itself.

use std::collections::{HashMap, HashSet};

use lanai_crdt::entry::{Class, Header, Signed, Verified, VerifyError};
use lanai_crdt::id::{CommunityId, EntryId, LogId};
use lanai_crdt::roster::RosterEntry;
use rusqlite::{Connection, OptionalExtension as _};

use super::StoreError;
use super::ingest::{Incoming, Refusal};
use super::roster_cache::open_roster_entry;
use super::rows::{self, ID_IS_1, N, meta, placed};

/// Batches of so many entries are looked at before the writer is needed.
const WORTH_LOOKING_AHEAD: usize = 100;

/// An authentic entry on its way in.
pub(super) struct Arrival {
    pub(super) verified: Verified,
    /// The payload that the header commits to, where it came along.
    pub(super) payload: Option<Vec<u8>>,
    /// The decoded roster entry, or why it is void.
    /// Not in the place of it: few are, and an arrival is moved often.
    pub(super) roster: Option<Box<Result<RosterEntry, String>>>,
    pub(super) from_waiting: bool,
}

impl Arrival {
    pub(super) fn new(verified: Verified, payload: Option<Vec<u8>>, from_waiting: bool) -> Arrival {
        let roster = match (&payload, verified.header().known_class()) {
            (Some(blob), Some(Class::Roster)) => Some(Box::new(open_roster_entry(&verified, blob))),
            _ => None,
        };
        Arrival { verified, payload, roster, from_waiting }
    }

    /// Where it comes among others: log by log, in their order.
    pub(super) fn place(&self) -> (LogId, u64, EntryId) {
        let header = self.verified.header();
        (header.log, header.seq, self.verified.id())
    }

    /// The decoded roster entry, or why it is void.
    pub(super) fn decoded(&self) -> Option<&Result<RosterEntry, String>> {
        self.roster.as_deref()
    }
}

/// Who vouches for an entry outside of its batch.
pub(super) trait Vouching {
    /// An authentic stored header that names the entry as the one before it.
    fn stored_successor(
        &mut self,
        id: &EntryId,
        header: &Header,
    ) -> Result<Option<Verified>, StoreError>;

    /// The entry, where the one after it waits for its device and so vouches for it.
    fn vouched_by_waiting(&mut self, signed: &Signed) -> Result<Option<Verified>, StoreError>;
}

/// What is thought of entries that are new here.
#[derive(Default)]
pub(super) struct Verdicts {
    /// The authentic ones in the order of their logs: the place in the batch, and whether the payload is to be
    /// kept.
    authentic: Vec<(usize, Verified, bool)>,
    pub(super) refused: Vec<(EntryId, Refusal)>,
    /// Entries whose payload is not the one that their header commits to.
    pub(super) bad_payloads: Vec<EntryId>,
}

/// Judges entries that are new here, each of which is there once.
pub(super) fn judge(
    fresh: &[Incoming],
    vouching: &mut impl Vouching,
) -> Result<Verdicts, StoreError> {
    let mut in_order: Vec<(usize, &Incoming)> = fresh.iter().enumerate().collect();
    in_order.sort_by_cached_key(|(_, i)| {
        let header = i.signed.header();
        (header.log, header.seq, i.signed.id())
    });
    let mut verdicts = Verdicts::default();
    // Authentic headers by the entry that they vouch for.
    let mut named: HashMap<EntryId, Vec<usize>> = HashMap::new();
    let mut authentic: Vec<(usize, Verified, bool)> = Vec::with_capacity(fresh.len());
    for (at, Incoming { signed, payload }) in in_order.into_iter().rev() {
        let id = signed.id();
        let by_chain = named
            .get(&id)
            .into_iter()
            .flatten()
            .filter_map(|at| authentic.get(*at))
            .find_map(|(_, next, _)| signed.clone().verify_by_next(next.header()).ok());
        let by_chain = match by_chain {
            Some(verified) => Some(verified),
            None => vouching
                .stored_successor(&id, signed.header())?
                .and_then(|next| signed.clone().verify_by_next(next.header()).ok()),
        };
        let checked: Result<Verified, VerifyError> = match by_chain {
            Some(verified) => Ok(verified),
            None => match signed.clone().verify() {
                Ok(verified) => Ok(verified),
                Err(e) => vouching.vouched_by_waiting(signed)?.ok_or(e),
            },
        };
        match checked {
            Ok(verified) => {
                let good = payload.as_ref().is_some_and(|blob| verified.matches_payload(blob));
                named.entry(verified.header().prev).or_default().push(authentic.len());
                authentic.push((at, verified, good));
            }
            Err(e) => verdicts.refused.push((id, Refusal::NotAuthentic(e))),
        }
    }
    for (at, verified, good) in authentic.into_iter().rev() {
        if !good && verified.header().known_class() == Some(Class::Roster) {
            verdicts.refused.push((verified.id(), Refusal::RosterPayload));
            continue;
        }
        if !good && fresh.get(at).is_some_and(|i| i.payload.is_some()) {
            verdicts.bad_payloads.push(verified.id());
        }
        verdicts.authentic.push((at, verified, good));
    }
    Ok(verdicts)
}

impl Verdicts {
    fn all_are_good(&self) -> bool {
        self.refused.is_empty() && self.bad_payloads.is_empty()
    }

    /// The authentic ones of `fresh`, which was judged.
    pub(super) fn arrivals(self, mut fresh: Vec<Incoming>) -> Vec<Arrival> {
        let arrival = |(at, verified, good): (usize, Verified, bool)| {
            let payload = fresh.get_mut(at).and_then(|i| i.payload.take()).filter(|_| good);
            Arrival::new(verified, payload, false)
        };
        self.authentic.into_iter().map(arrival).collect()
    }
}

/// Whether an entry may be of the community.
pub(super) fn is_of(community: &CommunityId, signed: &Signed) -> bool {
    match signed.header().is_genesis() {
        true => signed.id() == community.genesis(),
        false => signed.header().community == *community,
    }
}

/// What the store held when it was looked at; it is the same as long as nothing was put in or taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Held {
    newest: Option<i64>,
    /// Changes when a repair takes entries out.
    generation: u64,
    /// Somebody waits for their device.
    waiting: bool,
}

impl Held {
    fn now(conn: &Connection) -> Result<Held, StoreError> {
        Ok(Held {
            newest: conn
                .prepare_cached("SELECT max(n) FROM entries")?
                .query_row([], |r| r.get(0))?,
            generation: rows::get_u64(conn, meta::ROSTER_GENERATION)?,
            waiting: conn.prepare_cached("SELECT 1 FROM waiting LIMIT 1")?.exists([])?,
        })
    }
}

/// A batch of which all is new and good, as the store was when it was looked at.
pub(super) struct Ahead {
    held: Held,
    arrivals: Vec<Arrival>,
}

/// A batch that is to be taken in.
pub(super) enum Batch {
    /// Nothing is known of it.
    Raw(Vec<Incoming>),
    Looked(Ahead),
}

impl Batch {
    /// Looks at a large batch; where that tells less than all, it is as if nobody had looked.
    pub(super) fn look(
        batch: Vec<Incoming>,
        conn: &Connection,
        community: &CommunityId,
    ) -> Result<Batch, StoreError> {
        if batch.len() < WORTH_LOOKING_AHEAD {
            return Ok(Batch::Raw(batch));
        }
        let held = Held::now(conn)?;
        if held.waiting || !all_new(&batch, conn, community)? {
            return Ok(Batch::Raw(batch));
        }
        let verdicts = judge(&batch, &mut Reader { conn, community })?;
        if !verdicts.all_are_good() {
            return Ok(Batch::Raw(batch));
        }
        Ok(Batch::Looked(Ahead { held, arrivals: verdicts.arrivals(batch) }))
    }
}

/// Who vouches, as a reading connection sees it while nobody waits for their device.
struct Reader<'a> {
    conn: &'a Connection,
    community: &'a CommunityId,
}

impl Vouching for Reader<'_> {
    fn stored_successor(
        &mut self,
        id: &EntryId,
        header: &Header,
    ) -> Result<Option<Verified>, StoreError> {
        stored_successor(self.conn, self.community, id, header)
    }

    fn vouched_by_waiting(&mut self, _: &Signed) -> Result<Option<Verified>, StoreError> {
        Ok(None)
    }
}

/// The number of the entry that follows in the log of `header`, where it came first and waits for it.
pub(super) fn successor(
    conn: &Connection,
    id: &EntryId,
    header: &Header,
) -> Result<Option<N>, StoreError> {
    let next = placed(header.seq.wrapping_add(1));
    let found = conn
        .prepare_cached(
            "SELECT w.n FROM past_waits w JOIN entries e ON e.n = w.n
             JOIN logs g ON g.l = e.l
             WHERE w.prev = ?1 AND e.seq = ?2 AND g.device = ?3 AND g.number = ?4 LIMIT 1",
        )?
        .query_row((id.as_bytes(), next, header.log.device.as_bytes(), header.log.number.0), |r| {
            r.get(0)
        })
        .optional()?;
    Ok(found)
}

/// An authentic stored header that vouches for an entry by the chain rule.
pub(super) fn stored_successor(
    conn: &Connection,
    community: &CommunityId,
    id: &EntryId,
    header: &Header,
) -> Result<Option<Verified>, StoreError> {
    let Some(n) = successor(conn, id, header)? else { return Ok(None) };
    Ok(rows::entry_by_number(conn, community, n)?.map(|s| s.verified))
}

impl Ahead {
    /// What was found, if that is still so.
    pub(super) fn still(
        self,
        conn: &Connection,
    ) -> Result<Result<Vec<Arrival>, Vec<Incoming>>, StoreError> {
        if Held::now(conn)? == self.held {
            return Ok(Ok(self.arrivals));
        }
        let again = |Arrival { verified, payload, .. }: Arrival| Incoming {
            signed: verified.into_signed(),
            payload,
        };
        Ok(Err(self.arrivals.into_iter().map(again).collect()))
    }
}

/// Whether all are of the community and not here yet, and none is there twice.
fn all_new(
    batch: &[Incoming],
    conn: &Connection,
    community: &CommunityId,
) -> Result<bool, StoreError> {
    let mut known = conn.prepare_cached(&format!("SELECT 1 FROM entries e WHERE {ID_IS_1}"))?;
    let mut seen = HashSet::with_capacity(batch.len());
    for incoming in batch {
        let id = incoming.signed.id();
        if !is_of(community, &incoming.signed)
            || !seen.insert(id)
            || known.exists([id.as_bytes()])?
        {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::{Node, unsigned};
    use crate::store::{Durability, Source};

    /// Two members, and what the second lacks: a run without signatures but for the last one.
    fn two(entries: usize) -> (Node, Node, Vec<Incoming>) {
        let mut a = Node::founder("ana");
        let thread = a.note("t", "root");
        let b = a.invite("bo");
        b.ingest(a.everything());
        let ids: Vec<EntryId> = (0..entries).map(|i| a.reply(thread, &i.to_string())).collect();
        let batch: Vec<Incoming> =
            a.everything().into_iter().filter(|i| ids.contains(&i.signed.id())).collect();
        let last = batch.iter().map(|i| i.signed.header().seq).max().unwrap();
        let signed =
            |i: &Incoming| if i.signed.header().seq == last { i.clone() } else { unsigned(i) };
        let batch = batch.iter().map(signed).collect();
        (a, b, batch)
    }

    fn assert_same(a: &Node, b: &Node) {
        a.pull(b);
        a.fold();
        b.fold();
        assert_eq!(a.hash(), b.hash());
        b.assert_clean();
    }

    fn look(node: &Node, batch: Vec<Incoming>) -> Batch {
        let community = node.store.community();
        node.store.inner.connections.read(|conn| Batch::look(batch, conn, &community)).unwrap()
    }

    fn take(node: &Node, batch: Batch) -> crate::store::IngestReport {
        let work = |ctx: &mut crate::store::write::Ctx<'_>| ctx.ingest(batch, &Source::File);
        node.store.inner.write(Durability::Normal, node.now, work).unwrap()
    }

    #[test]
    fn a_large_batch_is_looked_at_before() {
        let (a, b, batch) = two(WORTH_LOOKING_AHEAD);
        assert!(matches!(look(&b, batch[1..].to_vec()), Batch::Raw(_)), "a small one is not");
        let looked = look(&b, batch);
        assert!(matches!(looked, Batch::Looked(_)));
        assert_eq!(take(&b, looked).new.len(), WORTH_LOOKING_AHEAD);
        assert_same(&a, &b);
    }

    #[test]
    fn what_came_since_it_was_looked_at_is_noticed() {
        let (a, b, batch) = two(WORTH_LOOKING_AHEAD);
        let looked = look(&b, batch.clone());
        // Its last ones, of which one is signed.
        let half = batch.len() / 2;
        assert_eq!(b.ingest(batch[half..].to_vec()).new.len(), batch.len() - half);
        let report = take(&b, looked);
        assert_eq!((report.new.len(), report.known), (half, batch.len() - half));
        assert_same(&a, &b);
    }

    #[test]
    fn a_batch_that_is_not_all_new_and_good_is_left_to_the_transaction() {
        let (a, b, batch) = two(WORTH_LOOKING_AHEAD + 3);
        let is_raw = |batch: &[Incoming]| matches!(look(&b, batch.to_vec()), Batch::Raw(_));
        assert!(!is_raw(&batch));
        let mut twice = batch.clone();
        twice.push(batch[0].clone());
        assert!(is_raw(&twice));
        let unsigned_last: Vec<Incoming> = batch.iter().map(unsigned).collect();
        assert!(is_raw(&unsigned_last), "nobody vouches for the last");
        let mut wrong = batch.clone();
        wrong[1].payload.as_mut().unwrap()[0] ^= 1;
        assert!(is_raw(&wrong));
        let report = b.ingest(wrong);
        assert_eq!(report.new.len(), batch.len());
        assert_eq!(report.bad_payloads, vec![batch[1].signed.id()]);
        assert!(is_raw(&batch), "they are known");
        let report = b.ingest(batch);
        assert_eq!(report.payloads.len(), 1);
        assert_same(&a, &b);
    }
}
