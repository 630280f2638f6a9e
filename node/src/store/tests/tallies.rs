//! Counts over all threads, kept as they change.

use lanai_crdt::payload::Hide;
use lanai_crdt::thread::refs_for;

use super::super::tallies::MIGRATION;
use super::*;

fn holds(node: &Node) {
    assert!(node.store.tallies_hold().unwrap());
}

/// Takes the counts out of a store, and what came after them, as a version before would have left it.
pub(super) const WITHOUT: &str = "
    DROP INDEX IF EXISTS origins_of_roots; DROP TRIGGER tally_thread; DROP TRIGGER tally_gone_post;
    DROP TRIGGER tally_other_post; DROP TABLE tallies; DROP TABLE news; DROP TABLE untallied;";

fn without_counts(node: &Node) -> rusqlite::Connection {
    let conn = rusqlite::Connection::open(&node.place.db).unwrap();
    conn.execute_batch(WITHOUT).unwrap();
    conn
}

#[test]
fn counts_are_true_from_the_migration_on() {
    let mut a = Node::founder("ana");
    let mut b = a.invite("bo");
    b.pull(&a);
    let thread = b.note("t", "x");
    b.reply(thread, "y");
    a.pull(&b);
    let (hash, inbox) = (a.hash(), a.store.inbox(NOW, 0).unwrap());
    let stats = a.store.stats().unwrap();
    assert_eq!((stats.threads, stats.posts, inbox.unread()), (1, 2, 2));
    let version = i32::try_from(schema::MIGRATIONS.len()).unwrap();
    let before = schema::MIGRATIONS.iter().position(|m| *m == MIGRATION).unwrap();
    without_counts(&a).pragma_update(None, "user_version", i32::try_from(before).unwrap()).unwrap();
    a.reopen();
    assert_eq!((a.store.migrated().from, a.store.migrated().to), (Some(before as i32), version));
    holds(&a);
    assert_eq!((a.store.state_hash().unwrap(), a.store.inbox(NOW, 0).unwrap()), (hash, inbox));
    assert_eq!(a.store.stats().unwrap().posts, 2);
    // Killed between the migration and the count.
    let conn = without_counts(&a);
    conn.execute_batch(MIGRATION).unwrap();
    drop(conn);
    a.reopen();
    holds(&a);
    assert_eq!(a.store.state_hash().unwrap(), hash);
}

#[test]
fn a_check_finds_wrong_counts_and_a_rebuild_mends_them() {
    let mut a = Node::founder("ana");
    let mut b = a.invite("bo");
    b.pull(&a);
    b.note("t", "x");
    a.note("u", "x");
    a.pull(&b);
    let hash = a.hash();
    a.assert_clean();
    for spoil in [
        "UPDATE tallies SET posts = posts + 1",
        "UPDATE tallies SET new_threads = new_threads + 1",
        "UPDATE tallies SET new_posts = 0",
        "UPDATE tallies SET sum = x''",
        "DELETE FROM news",
        "UPDATE news SET place = place + 1",
        "UPDATE news SET for_me = 1",
    ] {
        let conn = rusqlite::Connection::open(&a.place.db).unwrap();
        assert_eq!(conn.execute(spoil, []).unwrap(), 1, "{spoil}");
        let damage = a.store.check(|_| ()).unwrap().damage;
        assert_eq!(damage, [Damage::Tallies], "{spoil}");
        a.store.rebuild(|_| ()).unwrap();
        a.assert_clean();
        assert_eq!(a.hash(), hash, "{spoil}");
    }
}

#[test]
fn what_is_hidden_withdrawn_or_written_by_the_reader_is_counted_as_it_is() {
    let mut a = Node::founder("ana");
    let mut b = a.invite("bo");
    b.pull(&a);
    let thread = b.note("t", "x");
    let first = b.reply(thread, "first");
    let second = b.reply(thread, "second");
    a.pull(&b);
    assert_eq!((a.store.unread_posts().unwrap(), a.store.stats().unwrap().posts), (3, 3));
    b.write(Body::Withdraw, [thread, first]);
    a.pull(&b);
    holds(&a);
    assert_eq!((a.store.unread_posts().unwrap(), a.store.stats().unwrap().posts), (2, 2));
    let entries = a.store.thread_entries(&thread).unwrap();
    let body = Body::Hide(Hide { on: true, reason: Some("off topic".into()) });
    let role = a.store.roster().unwrap().standing(&a.store.own_device()).unwrap().role;
    let refs = refs_for(&entries, &a.member(), role, &second, &body).unwrap();
    a.now += 1;
    a.store.append(&a.author, a.now, &mut a.rng, vec![NewEntry::new(body, refs)]).unwrap();
    holds(&a);
    assert_eq!((a.store.unread_posts().unwrap(), a.store.stats().unwrap().posts), (1, 2));
    a.reply(thread, "mine");
    holds(&a);
    assert_eq!((a.store.unread_posts().unwrap(), a.store.stats().unwrap().posts), (1, 3));
}
