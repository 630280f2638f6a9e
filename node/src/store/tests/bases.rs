//! Moments at which a peer held the same.

use super::*;
use crate::sync::{BaseToken, Equal};

fn equal(n: u8, received: u64, entries: u64, kept: Option<u8>) -> Equal {
    let token = |n: u8| BaseToken([n; 16]);
    Equal { token: token(n), kept: kept.map(token), entries, received, runs: 0 }
}

#[test]
fn a_base_is_noted_only_if_nothing_else_came() {
    let mut ana = Node::founder("ana");
    let ben = ana.invite("ben");
    let device = ben.author.device.device();
    ana.pull(&ben);
    let start = ana.store.sync_state(&device).unwrap();
    assert_eq!((start.bases.len(), start.arrived), (0, ana.store.newest_arrival().unwrap()));
    assert_eq!(start.summary, ana.store.set_summary().unwrap());
    let entries = start.summary.entries;
    let note = |ana: &Node, n, received, entries, kept| {
        let equal = equal(n, received, entries, kept);
        ana.store.note_equal(&device, &equal, start.arrived, start.generation).unwrap()
    };
    // Nothing came in the session; what comes afterwards is not part of it.
    let thread = ana.note("one", "more");
    assert!(note(&ana, 1, 0, entries, None));
    let bases = ana.store.sync_state(&device).unwrap().bases;
    assert_eq!((bases.len(), bases[0].upto, bases[0].entries), (1, start.arrived, entries));
    let news = ana.store.items_between(bases[0].upto, i64::MAX, 10).unwrap().items;
    assert_eq!(news.iter().map(|i| i.id).collect::<Vec<_>>(), [thread]);

    // One came in a session; two are there.
    ana.reply(thread, "and another");
    assert!(!note(&ana, 2, 1, entries + 1, Some(1)));
    assert!(note(&ana, 3, 2, entries + 2, Some(1)));
    let bases = ana.store.sync_state(&device).unwrap().bases;
    assert_eq!(bases.iter().map(|b| b.token.0[0]).collect::<Vec<_>>(), [3, 1]);
    assert_eq!(bases[0].upto, ana.store.newest_arrival().unwrap());
    // What is neither new nor common goes.
    let now = ana.store.sync_state(&device).unwrap();
    let again = equal(4, 0, entries + 2, Some(1));
    assert!(ana.store.note_equal(&device, &again, now.arrived, now.generation).unwrap());
    let bases = ana.store.sync_state(&device).unwrap().bases;
    assert_eq!(bases.iter().map(|b| b.token.0[0]).collect::<Vec<_>>(), [4, 1]);
    // And who has nothing new to note writes nothing.
    let same = equal(5, 0, entries + 2, Some(4));
    assert!(ana.store.note_equal(&device, &same, now.arrived, now.generation).unwrap());
    assert_eq!(ana.store.sync_state(&device).unwrap().bases, bases);
    // Other devices have their own.
    assert_eq!(ana.store.sync_state(&DeviceId::new([9; 32])).unwrap().bases, []);
}

#[test]
fn bases_end_with_a_repair_and_after_many_runs() {
    let mut ana = Node::founder("ana");
    let thread = ana.note("one", "root");
    let broken = ana.reply(thread, "to be damaged");
    let ben = ana.invite("ben");
    let device = ben.author.device.device();
    ben.pull(&ana);
    ana.pull(&ben);
    let start = ana.store.sync_state(&device).unwrap();
    let mut fresh = equal(1, 0, start.summary.entries, None);
    assert!(ana.store.note_equal(&device, &fresh, start.arrived, start.generation).unwrap());
    assert_eq!(ana.store.sync_state(&device).unwrap().bases.len(), 1);
    fresh.token = BaseToken([2; 16]);
    fresh.runs = MAX_NEWS_RUNS;
    assert!(ana.store.note_equal(&device, &fresh, start.arrived, start.generation).unwrap());
    assert_eq!(ana.store.sync_state(&device).unwrap().bases, []);
    fresh.runs = 3;
    assert!(ana.store.note_equal(&device, &fresh, start.arrived, start.generation).unwrap());
    assert_eq!(ana.store.sync_state(&device).unwrap().bases[0].runs, 3);
    let conn = rusqlite::Connection::open(&ana.place.db).unwrap();
    let damaged = "UPDATE entries SET header = CAST(substr(header, 1, 20) || x'ff' ||
                   substr(header, 22) AS BLOB) WHERE id = ?1";
    assert_eq!(conn.execute(damaged, [broken.as_bytes()]).unwrap(), 1);
    drop(conn);
    let report = ana.store.check(|_| ()).unwrap();
    ana.store.repair(&report).unwrap();
    assert_eq!(ana.store.sync_state(&device).unwrap().bases, []);
}
