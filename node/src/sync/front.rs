//! FRONT: how far a node holds each log, so that another can leave out what it has.
//!
//! A log is a chain, so a node that holds all entries of it up to some place says so by that place and
//! the ids at it and at some places before. The places are the last one and those 1, 3, 7, 15, ...
//! before it: whoever is behind finds one that he knows as well, and what he holds beyond it is at most
//! as much as he is behind. Ids are cut to eight bytes: who collides two of them has what he wrote
//! himself left out, until the next comparison of whole sets.
//!
//! A place counts only if everything before it is there, with its payload, and no two entries claim one
//! place. So a front never says more than is true, and says less where a log is forked or has holes.
//!
//! | bytes | field of a record; a FRONT frame has records to its end |
//! | --- | --- |
//! | 32 | the log's device |
//! | 8 | the log's number |
//! | varint | the last place |
//! | 8 each | the first bytes of the ids at the places above, the last place first |

use std::collections::HashMap;

use lanai_crdt::id::{DeviceId, EntryId, LogId, LogNumber};

use super::config::MAX_BODY_BYTES;
use super::wire::{Cursor, WireError, put_varint};

/// Logs in one front. A front of this size has some sixteen megabytes.
pub const MAX_FRONT_LOGS: usize = 1 << 17;
/// Bytes of an id in a front.
pub const FRONT_ID_BYTES: usize = 8;

/// The first bytes of an entry id.
pub type IdPrefix = [u8; FRONT_ID_BYTES];

/// The part of an id that a front tells.
pub fn id_prefix(id: &EntryId) -> IdPrefix {
    id.as_bytes().first_chunk().copied().unwrap_or_default()
}

/// How many places before the last one the `n`th named place stands; `None` when no log is that long.
fn distance(n: u32) -> Option<u64> {
    1u64.checked_shl(n).map(|d| d - 1)
}

/// How far one log is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFront {
    last: u64,
    points: Vec<IdPrefix>,
}

impl LogFront {
    /// A log of which the entries with these ids are held, from the first place on; `None` without any.
    pub fn new(ids: &[IdPrefix]) -> Option<LogFront> {
        let at = ids.len().checked_sub(1)?;
        let points = (0..).map_while(|n| {
            let before = usize::try_from(distance(n)?).ok()?;
            ids.get(at.checked_sub(before)?).copied()
        });
        Some(LogFront { last: at as u64, points: points.collect() })
    }

    /// The places that are named, with their ids, the last first.
    pub fn points(&self) -> impl Iterator<Item = (u64, &IdPrefix)> {
        let places = (0..).map_while(|n| self.last.checked_sub(distance(n)?));
        places.zip(&self.points)
    }
}

/// How far a node holds each log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Front(HashMap<LogId, LogFront>);

impl Front {
    /// The front that says nothing.
    pub fn new() -> Front {
        Front::default()
    }

    /// Adds a log. `false` when there are too many.
    pub fn insert(&mut self, log: LogId, front: LogFront) -> bool {
        if self.0.len() >= MAX_FRONT_LOGS && !self.0.contains_key(&log) {
            return false;
        }
        self.0.insert(log, front);
        true
    }

    /// What it says of a log.
    pub fn get(&self, log: &LogId) -> Option<&LogFront> {
        self.0.get(log)
    }

    /// The logs that it says something of, with the last place of each, in no order.
    pub fn ends(&self) -> impl Iterator<Item = (LogId, u64)> {
        self.0.iter().map(|(log, front)| (*log, front.last))
    }

    /// Logs that it says something of.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bodies of its frames, the logs in their order.
    pub fn encode(&self) -> Vec<Vec<u8>> {
        let mut logs: Vec<_> = self.0.iter().collect();
        logs.sort_unstable_by_key(|(log, _)| **log);
        let mut bodies: Vec<Vec<u8>> = Vec::new();
        for (log, front) in logs {
            let mut record = Vec::new();
            record.extend_from_slice(log.device.as_bytes());
            record.extend_from_slice(&log.number.0);
            put_varint(&mut record, front.last);
            for point in &front.points {
                record.extend_from_slice(point);
            }
            match bodies.last_mut().filter(|b| b.len() + record.len() <= MAX_BODY_BYTES) {
                Some(body) => body.extend_from_slice(&record),
                None => bodies.push(record),
            }
        }
        bodies
    }

    /// Adds what the body of a frame says.
    ///
    /// # Errors
    ///
    /// [`WireError`]; what came before in the body is added.
    pub fn add_body(&mut self, body: &[u8]) -> Result<(), WireError> {
        let mut c = Cursor::new(body);
        while c.remaining() > 0 {
            let device = DeviceId::new(c.array()?);
            let number = LogNumber(c.array()?);
            let last = c.varint()?;
            let mut points = Vec::new();
            for n in 0.. {
                if distance(n).is_none_or(|d| d > last) {
                    break;
                }
                points.push(c.array()?);
            }
            if !self.insert(LogId { device, number }, LogFront { last, points }) {
                return Err(WireError::Range("number of logs"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn prefix(n: usize) -> IdPrefix {
        (n as u64).to_be_bytes()
    }

    fn log(n: u8) -> LogId {
        LogId { device: DeviceId::new([n; 32]), number: LogNumber([n; 8]) }
    }

    #[test]
    fn who_is_behind_finds_a_place_he_knows() {
        let ids: Vec<IdPrefix> = (0..1000).map(prefix).collect();
        let front = LogFront::new(&ids).unwrap();
        assert_eq!(front.points.len(), 10);
        for held in 0..1000u64 {
            let known = front.points().find(|(place, _)| *place <= held);
            let Some((place, id)) = known else {
                // Nothing in common: he holds less than he lacks.
                assert!(held + 1 < 1000 - held, "{held}");
                continue;
            };
            assert_eq!(*id, prefix(usize::try_from(place).unwrap()));
            assert!(held - place <= 999 - held, "{held} {place}");
        }
        assert_eq!(LogFront::new(&[]), None);
        assert_eq!(LogFront::new(&ids[..1]).unwrap().points().collect::<Vec<_>>(), [(0, &ids[0])]);
    }

    #[test]
    fn bytes_of_a_record() {
        let mut front = Front::new();
        let ids = [prefix(1), prefix(2)];
        assert!(front.insert(log(7), LogFront::new(&ids).unwrap()));
        let expected = [&[7; 32][..], &[7; 8], &[1], &ids[1], &ids[0]].concat();
        assert_eq!(front.encode(), [expected]);
    }

    #[test]
    fn many_logs_take_several_frames() {
        let mut front = Front::new();
        for n in 0..3000u32 {
            let device = DeviceId::new(*blake3::hash(&n.to_be_bytes()).as_bytes());
            let log = LogId { device, number: LogNumber([0; 8]) };
            assert!(front.insert(log, LogFront::new(&[prefix(1)]).unwrap()));
        }
        let bodies = front.encode();
        assert!(bodies.len() > 1 && bodies.iter().all(|b| b.len() <= MAX_BODY_BYTES));
        let mut read = Front::new();
        bodies.iter().for_each(|b| read.add_body(b).unwrap());
        assert_eq!(read, front);
    }

    proptest! {
        #[test]
        fn fronts_round_trip(logs in proptest::collection::vec((any::<u8>(), 1usize..200), 0..20)) {
            let mut front = Front::new();
            for (n, len) in logs {
                let ids: Vec<IdPrefix> = (0..len).map(prefix).collect();
                front.insert(log(n), LogFront::new(&ids).unwrap());
            }
            let mut read = Front::new();
            for body in front.encode() {
                read.add_body(&body).unwrap();
            }
            prop_assert_eq!(read, front);
        }

        #[test]
        fn random_bodies_never_panic(body: Vec<u8>) {
            let mut front = Front::new();
            let _refused = front.add_body(&body);
            prop_assert!(front.len() <= body.len() / 40);
        }
    }
}
