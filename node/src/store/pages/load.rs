//! What a page is folded from: its entries, each with the place it has in its device's log.

use std::collections::{BTreeMap, HashMap, HashSet};

use lanai_crdt::entry::HeaderTail;
use lanai_crdt::id::{CommunityId, EntryId, MemberId};
use lanai_crdt::page::{PageBody, PageEntry};
use lanai_crdt::payload::{Body, PageKind, Role};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension as _};

use super::super::StoreError;
use super::super::fold::{Aside, open_body};
use super::super::keys::Keyring;
use super::super::rows::{
    AFTER_ENTRY, ENTRY_COLUMNS, ID_IS_1, PREV_ID, Stored, entry_id, read_entry, state, unplaced,
};
use super::super::write::role_from;

const COPIES: &str = "SELECT DISTINCT o.t FROM origins o JOIN entries e ON e.n = o.n
     JOIN threads x ON x.t = o.t
     WHERE o.root = 1 AND e.state = 0 AND o.fold IN
       (SELECT i.fold FROM origins i JOIN entries f ON f.n = i.n
        WHERE i.t = ?1 AND i.root = 1 AND f.state = 0)
     ORDER BY x.id";

/// The threads whose roots are copies of one imported message, `t` among them, the canonical one
/// (the smallest id) first.
pub(super) fn copies_of(conn: &Connection, t: i64) -> Result<Vec<i64>, StoreError> {
    let mut statement = conn.prepare_cached(COPIES)?;
    let found: Vec<i64> = statement.query_map([t], |r| r.get(0))?.collect::<Result<_, _>>()?;
    Ok(if found.contains(&t) { found } else { vec![t] })
}

/// One entry of class 3, opened as far as can be.
struct Candidate {
    stored: Stored,
    role: Option<Role>,
    member: Option<MemberId>,
    opened: Option<Body>,
    void: bool,
}

impl Candidate {
    fn page(&self) -> Option<PageKind> {
        page_of(self.opened.as_ref()?)
    }

    /// Whether a later weave of the same device must have it among its ancestors.
    fn binds(&self, kind: PageKind) -> bool {
        let binds = match &self.opened {
            Some(Body::Weave(w)) => !w.splices.is_empty(),
            Some(Body::Generation(_)) => true,
            _ => false,
        };
        binds && self.page() == Some(kind)
    }
}

/// The page that a body belongs to.
pub(super) fn page_of(body: &Body) -> Option<PageKind> {
    match body {
        Body::Weave(w) => Some(w.page),
        Body::Generation(g) => Some(g.page),
        Body::Reframe(_) => Some(PageKind::Question),
        _ => None,
    }
}

/// The entries of a page that are here with all that must be known of them. One that follows an
/// entry in its log whose payload is not here (it may be a weave of this page) waits with it.
pub(super) fn load_entries(
    conn: &Connection,
    community: &CommunityId,
    keys: &Keyring,
    threads: &[i64],
    kind: PageKind,
) -> Result<Vec<PageEntry>, StoreError> {
    let mut found: Vec<Candidate> = Vec::new();
    for t in threads {
        candidates(conn, community, keys, *t, &mut found)?;
    }
    let mut history = History::new(&found, kind);
    let mut entries = Vec::with_capacity(found.len());
    for candidate in &found {
        let Some(body) = candidate.opened.as_ref().filter(|b| page_of(b) == Some(kind)) else {
            continue;
        };
        if candidate.void {
            continue;
        }
        let stored = &candidate.stored;
        let header = stored.verified.header();
        let id = stored.verified.id();
        let HeaderTail::V1 { refs, .. } = &header.tail else { continue };
        let body = match body {
            Body::Weave(w) => PageBody::Weave(w.splices.clone()),
            Body::Reframe(r) => {
                PageBody::Reframe { splices: r.splices.clone(), reason: r.reason.clone() }
            }
            Body::Generation(g) => {
                PageBody::Generation { text: g.text.clone(), runs: g.runs.clone() }
            }
            _ => continue,
        };
        let previous = match &body {
            PageBody::Reframe { .. } => Previous::None,
            PageBody::Weave(splices) if splices.is_empty() => Previous::None,
            _ => history.previous(conn, stored)?,
        };
        let previous = match previous {
            Previous::None => None,
            Previous::Is(id) => Some(id),
            Previous::Unknown => continue,
        };
        entries.push(PageEntry {
            id,
            member: candidate.member.unwrap_or(MemberId::ZERO),
            device: header.log.device,
            role: candidate.role.unwrap_or(Role::Member),
            time: header.time,
            deps: refs.get(1..).unwrap_or_default().to_vec(),
            previous,
            counts: candidate.member.is_some() && stored.state == state::GOOD,
            body,
        });
    }
    Ok(entries)
}

fn candidates(
    conn: &Connection,
    community: &CommunityId,
    keys: &Keyring,
    t: i64,
    found: &mut Vec<Candidate>,
) -> Result<(), StoreError> {
    let mut statement = conn.prepare_cached(&format!(
        "SELECT {ENTRY_COLUMNS}, s.role, m.id, p.blob
         FROM page_entries x JOIN entries e ON e.n = x.n JOIN logs g ON g.l = e.l
         LEFT JOIN stands s ON s.p = coalesce(e.judged, e.past) AND s.l = e.l LEFT JOIN members m ON m.m = s.m
         LEFT JOIN payloads p ON p.n = e.n
         WHERE x.t = ?1 AND e.past IS NOT NULL"
    ))?;
    let mut rows = statement.query([t])?;
    while let Some(row) = rows.next()? {
        let Ok(stored) = read_entry(row, community)? else { continue };
        let (opened, void) = match row.get_ref(AFTER_ENTRY + 2)? {
            ValueRef::Blob(blob) => match open_body(keys, &stored, blob) {
                Ok(body) => (Some(body), false),
                Err(Aside::NoKey) => (None, false),
                Err(Aside::Void(_)) => (None, true),
            },
            _ => (None, false),
        };
        let member = match row.get_ref(AFTER_ENTRY + 1)? {
            ValueRef::Blob(id) => MemberId::from_slice(id),
            _ => None,
        };
        let role = row.get::<_, Option<i64>>(AFTER_ENTRY)?.map(role_from);
        let void = void || matches!(stored.state, state::VOID | state::BAD_LINK);
        found.push(Candidate { stored, role, member, opened, void });
    }
    Ok(())
}

/// The weave of the same device and page that comes before an entry in its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Previous {
    None,
    Is(EntryId),
    /// Something between is not here or cannot be opened: it may be one.
    Unknown,
}

/// One place in a log.
#[derive(Debug, Clone, Copy)]
struct Step {
    id: EntryId,
    prev: EntryId,
}

/// Follows logs backwards. What was found for one entry is kept for all on the way to it, so that
/// all weaves of a page together cost one walk over the stretches of the logs between them; logs
/// without a fork are not walked at all.
struct History {
    /// Entries that end a walk: what is found when one is met.
    known: HashMap<EntryId, Previous>,
    /// Places of those entries in each log, ascending.
    places: BTreeMap<i64, Vec<(u64, EntryId)>>,
    forked: HashMap<i64, bool>,
}

impl History {
    fn new(found: &[Candidate], kind: PageKind) -> History {
        let mut history =
            History { known: HashMap::new(), places: BTreeMap::new(), forked: HashMap::new() };
        for candidate in found {
            let id = candidate.stored.verified.id();
            let here = if candidate.binds(kind) && !candidate.void {
                Previous::Is(id)
            } else if candidate.opened.is_none() && !candidate.void {
                Previous::Unknown
            } else {
                continue;
            };
            history.known.insert(id, here);
            let seq = candidate.stored.verified.header().seq;
            history.places.entry(candidate.stored.l).or_default().push((seq, id));
        }
        history.places.values_mut().for_each(|places| places.sort_unstable());
        history
    }

    fn previous(&mut self, conn: &Connection, stored: &Stored) -> Result<Previous, StoreError> {
        let header = stored.verified.header();
        let (mut log, mut seq, mut next) = (stored.l, header.seq, header.prev);
        let mut walked: HashSet<EntryId> = HashSet::new();
        let result = loop {
            if let Some(known) = self.known.get(&next) {
                break *known;
            }
            if !self.is_forked(conn, log)? {
                let places = self.places.get(&log).map_or(&[][..], Vec::as_slice);
                let before = places.partition_point(|(s, _)| *s < seq);
                if let Some((_, id)) = before.checked_sub(1).and_then(|at| places.get(at)) {
                    break self.known.get(id).copied().unwrap_or(Previous::None);
                }
                // On to what the log as a whole follows.
                let Some(first) = first_of(conn, log)? else { break Previous::None };
                next = first.prev;
                if let Some(known) = self.known.get(&next) {
                    break *known;
                }
            }
            if next.is_zero() || !walked.insert(next) {
                break Previous::None;
            }
            let Some((step, l, s)) = step(conn, &next)? else { break Previous::Unknown };
            (log, seq, next) = (l, s, step.prev);
            debug_assert!(walked.contains(&step.id));
        };
        for id in walked {
            self.known.entry(id).or_insert(result);
        }
        Ok(result)
    }

    fn is_forked(&mut self, conn: &Connection, log: i64) -> Result<bool, StoreError> {
        if let Some(known) = self.forked.get(&log) {
            return Ok(*known);
        }
        let forked =
            conn.prepare_cached("SELECT 1 FROM forked_logs WHERE l = ?1")?.exists([log])?;
        self.forked.insert(log, forked);
        Ok(forked)
    }
}

fn step(conn: &Connection, id: &EntryId) -> Result<Option<(Step, i64, u64)>, StoreError> {
    read_step(conn, ID_IS_1, id.as_bytes())
}

/// The first entry of a log without forks.
fn first_of(conn: &Connection, log: i64) -> Result<Option<Step>, StoreError> {
    let found = match read_step(conn, "e.l = ?1 AND e.seq >= 0 ORDER BY e.seq LIMIT 1", log)? {
        None => read_step(conn, "e.l = ?1 ORDER BY e.seq LIMIT 1", log)?,
        found => found,
    };
    Ok(found.map(|(step, ..)| step))
}

fn read_step(
    conn: &Connection,
    condition: &str,
    key: impl rusqlite::ToSql,
) -> Result<Option<(Step, i64, u64)>, StoreError> {
    let found = conn
        .prepare_cached(&format!(
            "SELECT e.id, {PREV_ID}, e.l, e.seq FROM entries e WHERE {condition}"
        ))?
        .query_row([key], |r| {
            let id = entry_id(r.get_ref(0)?.as_blob()?);
            let prev = entry_id(r.get_ref(1)?.as_blob()?);
            Ok((Step { id, prev }, r.get(2)?, unplaced(r.get(3)?)))
        })
        .optional()?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::COPIES;
    use crate::store::tests::Node;

    #[test]
    fn copies_of_a_root_are_found_without_going_through_all_that_was_imported() {
        let a = Node::founder("ana");
        let conn = rusqlite::Connection::open(&a.place.db).unwrap();
        let scans = || {
            let mut plan = conn.prepare(&format!("EXPLAIN QUERY PLAN {COPIES}")).unwrap();
            let steps = plan.query_map([1], |r| r.get::<_, String>(3)).unwrap();
            steps.map(Result::unwrap).filter(|step| step.starts_with("SCAN")).count()
        };
        assert_eq!(scans(), 0);
        conn.execute_batch("DROP INDEX origins_of_roots").unwrap();
        assert_eq!(scans(), 1);
    }
}
