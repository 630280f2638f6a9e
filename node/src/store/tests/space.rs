//! What is left out of rows, or kept short in an index, and comes back whole.

use super::*;

#[test]
fn ids_that_begin_alike_are_told_apart() {
    let mut a = Node::founder("ana");
    let thread = a.note("t", "root");
    let reply = a.reply(thread, "answer");
    let all = a.everything();
    let like = |id: &EntryId, end: u8| {
        let mut bytes = *id.as_bytes();
        bytes[8..].fill(end);
        EntryId::new(bytes)
    };
    // Nothing is taken for what only begins like it.
    let strangers = [like(&thread, 0), like(&thread, 0xff), like(&reply, 7)];
    assert_eq!(a.store.unknown(&strangers).unwrap(), strangers);
    for stranger in &strangers {
        assert!(a.store.entries(&[*stranger]).unwrap().is_empty());
        assert!(a.store.thread(stranger).unwrap().is_none());
        assert!(a.store.payload(stranger).unwrap().is_none());
    }
    // And where both are here, each is found, whichever the index has first.
    let conn = rusqlite::Connection::open(&a.place.db).unwrap();
    for id in &strangers {
        conn.execute(
            "INSERT INTO entries (id, l, seq, time, class, state, epoch, header)
             SELECT ?1, l, seq, time, -1, 4, epoch, header FROM entries ORDER BY n LIMIT 1",
            [id.as_bytes()],
        )
        .unwrap();
    }
    assert!(a.store.unknown(&strangers).unwrap().is_empty());
    for id in [thread, reply] {
        assert_eq!(a.store.entries(&[id]).unwrap()[0].verified.id(), id);
        assert!(a.store.thread(&id).unwrap().is_some());
    }
    let report = a.ingest(all.clone());
    assert_eq!((report.known, report.new.len()), (all.len(), 0));
}

#[test]
fn what_rows_leave_out_comes_back_in_any_order_of_arrival() {
    let mut a = Node::founder("ana");
    let thread = a.note("t", "root");
    let mut b = a.invite("bo");
    b.pull(&a);
    for i in 0..6 {
        a.reply(thread, &format!("reply {i}"));
        b.reply(thread, &format!("other {i}"));
    }
    a.pull(&b);
    b.pull(&a);
    let mut all = a.everything();
    all.sort_by_key(|e| e.signed.id());
    let bytes: Vec<Vec<u8>> = all.iter().map(|e| e.signed.bytes().to_vec()).collect();
    let ids: Vec<EntryId> = all.iter().map(|e| e.signed.id()).collect();
    let left_out = |node: &Node| -> i64 {
        let conn = rusqlite::Connection::open(&node.place.db).unwrap();
        conn.query_row("SELECT count(prev) FROM entries", [], |r| r.get(0)).unwrap()
    };
    // Log by log from its end, one by one: no predecessor is there yet.
    let mut order = all.clone();
    order.sort_by_key(|e| (e.signed.header().log, std::cmp::Reverse(e.signed.header().seq)));
    let c = a.invite("cy");
    let before = left_out(&c);
    for entry in order {
        c.ingest(vec![entry]);
    }
    c.fold();
    let d = a.invite("di");
    d.ingest(all.clone());
    d.fold();
    assert!(left_out(&d) - before > 10);
    for node in [&c, &d] {
        let mut found: Vec<(EntryId, Vec<u8>)> = node
            .store
            .entries(&ids)
            .unwrap()
            .iter()
            .map(|e| (e.verified.id(), e.verified.bytes().to_vec()))
            .collect();
        found.sort();
        assert_eq!(found, ids.iter().copied().zip(bytes.clone()).collect::<Vec<_>>());
        node.assert_clean();
        assert_eq!(node.store.set_summary().unwrap().entries, node.everything().len() as u64);
    }
}

#[test]
fn a_burst_of_one_millisecond_is_indexed_and_found_in_its_order() {
    let mut a = Node::founder("ana");
    a.note("Early", "firewood early");
    a.now += 10_000;
    let burst: Vec<NewEntry> =
        (0..600).map(|i| NewEntry::new(note(&format!("N {i}"), "firewood burst"), [])).collect();
    a.store.append(&a.author, a.now, &mut a.rng, burst).unwrap();
    a.now += 10_000;
    let late = a.note("Late", "firewood late");
    a.fold();
    let query = SearchQuery { text: "firewood".into(), limit: 1_000, ..SearchQuery::default() };
    let hits = a.store.search(&query).unwrap().hits;
    assert_eq!(hits.len(), 602);
    assert_eq!(hits[0].post, late);
    assert!(hits.is_sorted_by_key(|hit| std::cmp::Reverse(hit.time_ms)));
}
