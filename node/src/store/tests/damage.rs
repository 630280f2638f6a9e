//! Damage, rebuilding, migrations.

use super::*;

#[test]
fn rebuilding_gives_the_same_state() {
    let mut a = Node::founder("ana");
    let thread = a.note("t", "root");
    let mut b = a.invite("bo");
    b.pull(&a);
    b.reply(thread, "answer");
    a.pull(&b);
    let before = a.hash();
    let rebuilt = a.store.rebuild(|_| ()).unwrap();
    assert!(rebuilt.entries >= 5);
    assert_eq!(a.hash(), before);
    a.assert_clean();
    let query = SearchQuery { text: "answer".into(), limit: 5, ..SearchQuery::default() };
    assert_eq!(a.store.search(&query).unwrap().hits.len(), 1);
    // And from nothing but what is there after a reopening.
    a.reopen();
    assert_eq!(a.hash(), before);
}

#[test]
fn check_finds_what_was_altered_and_repair_fetches_it_again() {
    let mut a = Node::founder("ana");
    let thread = a.note("t", "root");
    let b = a.invite("bo");
    let bad_payload = a.reply(thread, "payload to be damaged");
    let bad_header = a.reply(thread, "header to be damaged");
    let unsigned = a.reply(thread, "signature to be damaged");
    b.pull(&a);
    let hash = b.hash();
    let heads = |n: &Node| {
        let mut heads = n.store.set_summary().unwrap().heads;
        heads.sort_unstable();
        heads
    };
    let heads_before = heads(&b);
    b.assert_clean();
    let conn = rusqlite::Connection::open(&b.place.db).unwrap();
    let flip = |sql: &str, id: &EntryId| {
        assert_eq!(conn.execute(sql, [id.as_bytes()]).unwrap(), 1);
    };
    flip(
        "UPDATE payloads SET blob = substr(blob, 1, 40) || x'ff' || substr(blob, 42)
         WHERE n = (SELECT n FROM entries WHERE id = ?1)",
        &bad_payload,
    );
    flip(
        "UPDATE entries SET header = CAST(substr(header, 1, 20) || x'ff' || substr(header, 22) AS BLOB)
         WHERE id = ?1",
        &bad_header,
    );
    flip("UPDATE entries SET sig = zeroblob(64) WHERE id = ?1", &unsigned);
    conn.execute("UPDATE threads SET hash = zeroblob(32) WHERE hash IS NOT NULL", []).unwrap();
    let report = b.store.check(|_| ()).unwrap();
    assert!(report.damage.contains(&Damage::Payload(bad_payload)));
    assert!(report.damage.contains(&Damage::Header(bad_header)));
    assert!(report.damage.contains(&Damage::NotAuthentic(unsigned)));
    assert!(report.damage.contains(&Damage::Thread(thread)));
    // A damaged entry does not keep the others from being read.
    assert!(b.texts(&thread).contains(&"root".to_string()));

    let generation = b.store.items().unwrap().generation;
    assert_eq!(b.store.repair(&report).unwrap(), 3);
    assert_ne!(b.store.items().unwrap().generation, generation);
    b.assert_clean();
    assert_eq!(b.store.missing_payloads(9).unwrap(), vec![bad_payload]);
    // Nobody has the signatures any more but that of the last entry.
    let head = a.store.log_heads().unwrap()[0].2;
    let all = a.everything();
    let bare: Vec<Incoming> = all
        .iter()
        .map(|i| if i.signed.id() == head { i.clone() } else { super::unsigned(i) })
        .collect();
    let report = b.ingest(bare);
    assert_eq!((report.refused, report.new.len(), report.payloads.len()), (vec![], 2, 1));
    assert_eq!(b.hash(), hash);
    assert_eq!(heads(&b), heads_before);
    b.assert_clean();
    let summary = b.store.set_summary().unwrap();
    assert!(!summary.holes && !summary.wanted_payloads);
}

#[test]
fn a_file_that_is_no_store_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let place = place_in(dir.path());
    assert!(matches!(Store::open(&place), Err(StoreError::Missing(_))));
    std::fs::write(&place.db, b"this is not a database at all, not even nearly one").unwrap();
    assert!(matches!(Store::open(&place), Err(StoreError::Damaged(_))));
    std::fs::remove_file(&place.db).unwrap();
    let conn = rusqlite::Connection::open(&place.db).unwrap();
    conn.execute_batch("CREATE TABLE other (x)").unwrap();
    drop(conn);
    assert!(matches!(Store::open(&place), Err(StoreError::NotAStore(_))));
}

#[test]
fn a_store_of_a_later_version_is_refused_untouched() {
    let mut a = Node::founder("ana");
    a.note("t", "x");
    let conn = rusqlite::Connection::open(&a.place.db).unwrap();
    conn.pragma_update(None, "user_version", 99).unwrap();
    drop(conn);
    let refused = Store::open(&a.place);
    let Err(StoreError::Newer { found: 99, known }) = refused else { panic!("{refused:?}") };
    assert_eq!(known as usize, schema::MIGRATIONS.len());
}

#[test]
fn migrations_are_backed_up_and_done_once() {
    let mut a = Node::founder("ana");
    a.note("t", "x");
    let steps: Vec<schema::Migration> = schema::MIGRATIONS
        .iter()
        .copied()
        .chain(["CREATE TABLE later (x INTEGER)", "INSERT INTO later VALUES (7)"])
        .collect();
    let version = i32::try_from(schema::MIGRATIONS.len()).unwrap();
    let mut conn = connection::open_writer(&a.place.db, None, false).unwrap();
    let done = schema::migrate(&mut conn, &a.place, &steps).unwrap();
    assert_eq!((done.from, done.to), (Some(version), version + 2));
    let x: i64 = conn.query_row("SELECT x FROM later", [], |r| r.get(0)).unwrap();
    assert_eq!(x, 7);
    let backup = rusqlite::Connection::open(done.backup.unwrap()).unwrap();
    let old: i32 = backup.query_row("PRAGMA user_version", [], |r| r.get(0)).unwrap();
    let entries: i64 = backup.query_row("SELECT count(*) FROM entries", [], |r| r.get(0)).unwrap();
    assert_eq!((old, entries), (version, 6));
    let again = schema::migrate(&mut conn, &a.place, &steps).unwrap();
    assert_eq!((again.from, again.backup), (Some(version + 2), None));
    // A step that fails leaves the version where it was.
    let broken: Vec<schema::Migration> = steps.iter().copied().chain(["CREATE TABL"]).collect();
    assert!(schema::migrate(&mut conn, &a.place, &broken).is_err());
    let now: i32 = conn.query_row("PRAGMA user_version", [], |r| r.get(0)).unwrap();
    assert_eq!(now, version + 2);
}
