//! Own entries: founding, writing, several processes, copies and restored backups.

use std::fs;

use super::*;
use lanai_crdt::entry::HeaderError;

#[test]
fn a_founded_store_has_a_community_a_steward_and_a_key() {
    let mut a = Node::founder("ana");
    let roster = a.store.roster().unwrap();
    assert!(roster.is_founded());
    assert_eq!(roster.members().len(), 1);
    assert_eq!(roster.epochs().len(), 1);
    assert_eq!(roster.standing(&a.store.own_device()).unwrap().role, Role::Steward);
    let info = a.store.community_info().unwrap();
    assert_eq!((info.id, info.view.unwrap().name.as_str()), (a.store.community(), "porch"));
    let people = a.store.people().unwrap();
    assert_eq!(people[0].profile.as_ref().unwrap().name, "ana");
    let again = Store::create(
        &a.place,
        &a.author,
        &Founding {
            name: "other".into(),
            charter: None,
            profile: profile("ana"),
            recovery_key: [1; 32],
            invite: InvitePolicy::Members,
            history: History::All,
            quorum: (1, 2),
            paper: None,
        },
        NOW,
        &mut a.rng,
    );
    assert!(matches!(again, Err(StoreError::Exists(_))));
    a.assert_clean();
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&a.place.db).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn entries_of_a_batch_refer_to_each_other() {
    let mut a = Node::founder("ana");
    let mut new = vec![NewEntry { body: note("t", "root"), refs: vec![] }];
    for i in 0..50 {
        let mut refs = vec![NewRef::Batch(0)];
        if i > 0 {
            refs.push(NewRef::Batch(i));
        }
        new.push(NewEntry { body: post(&format!("answer {i}")), refs });
    }
    let ids = a.store.append(&a.author, NOW + 5, &mut a.rng, new).unwrap();
    let view = a.store.thread(&ids[0]).unwrap().unwrap();
    assert_eq!(view.thread.posts.len(), 51);
    assert_eq!(view.thread.posts[50].depth, 50);
    let forward = vec![NewEntry { body: post("x"), refs: vec![NewRef::Batch(0)] }];
    let refused = a.store.append(&a.author, NOW + 6, &mut a.rng, forward);
    assert!(matches!(refused, Err(StoreError::BadBatchRef(0))));
    let heads: Vec<u64> = a.store.log_heads().unwrap().iter().map(|h| h.1).collect();
    assert_eq!(heads, vec![a.header(&ids[50]).seq], "a refused batch leaves nothing behind");
}

#[test]
fn what_is_over_a_limit_is_refused_whole() {
    let mut a = Node::founder("ana");
    let before = a.store.stats().unwrap();
    let thread = a.note("t", "x");
    let many = [thread; 11];
    assert!(matches!(
        a.try_write(post("x"), many),
        Err(StoreError::Header(HeaderError::TooManyRefs(11)))
    ));
    let mut noise = vec![0u8; 60_000];
    a.rng.0.fill(&mut noise);
    let text: String = noise.iter().map(|b| char::from(33 + b % 90)).collect();
    assert!(matches!(a.try_write(post(&text), [thread]), Err(StoreError::Envelope(_))));
    assert!(matches!(a.try_write(note(" ", "x"), []), Err(StoreError::Payload(_))));
    assert_eq!(a.store.stats().unwrap().entries, before.entries + 1);
    a.reply(thread, "still here");
    a.assert_clean();
}

#[test]
fn strangers_and_other_devices_cannot_write() {
    let mut a = Node::founder("ana");
    let mut b = Node::founder("bo");
    let wrong = a.store.append(&b.author, NOW, &mut b.rng, vec![NewEntry::new(post("x"), [])]);
    assert!(matches!(wrong, Err(StoreError::OtherDevice)));
    // A member cannot make stewards.
    let mut c = a.invite("cy");
    let member = c.store.own_member().unwrap().unwrap();
    let grant = lanai_crdt::payload::GrantRole {
        member: (*member.as_bytes()).into(),
        role: Role::Steward,
        recovery: None,
    };
    assert!(matches!(c.try_write(Body::Role(grant), []), Err(StoreError::WouldNotCount(_))));
}

#[test]
fn the_clock_only_goes_forward_and_ignores_absurd_ones() {
    let mut a = Node::founder("ana");
    let thread = a.note("t", "x");
    let mut b = a.invite("bo");
    // A clock ten years ahead.
    let ahead = NOW + 10 * 365 * 24 * 3_600_000;
    b.now = ahead;
    let far = b.reply(thread, "from the future");
    a.pull(&b);
    a.now = NOW - 50_000;
    let mine = a.reply(thread, "from a slow clock");
    let (far, mine) = (a.header(&far).time, a.header(&mine).time);
    assert_eq!(far.millis(), ahead + 1);
    assert!(mine.millis() < NOW + 1_000 && mine > a.header(&thread).time);
}

#[test]
fn two_processes_write_one_log_without_a_fork() {
    let mut a = Node::founder("ana");
    let thread = a.note("t", "root");
    let other = Store::open(&a.place).unwrap();
    std::thread::scope(|scope| {
        for (i, store) in [a.store.clone(), other].into_iter().enumerate() {
            let author = a.author.clone();
            scope.spawn(move || {
                let mut rng = TestRng::new(&format!("process {i}"));
                for n in 0..40 {
                    let new = vec![NewEntry::new(post(&format!("{i}/{n}")), [thread])];
                    store.append(&author, NOW + n, &mut rng, new).unwrap();
                }
            });
        }
    });
    assert_eq!(a.texts(&thread).len(), 81);
    assert_eq!(a.store.log_heads().unwrap().len(), 1, "one line, no fork");
    assert_eq!(a.store.notices().unwrap(), vec![]);
    a.assert_clean();
    let before = a.hash();
    a.reopen();
    assert_eq!(a.hash(), before);
}

#[test]
fn another_process_sees_what_the_roster_became() {
    let mut a = Node::founder("ana");
    let other = Store::open(&a.place).unwrap();
    assert_eq!(other.roster().unwrap().members().len(), 1);
    let b = a.invite("bo");
    assert_eq!(other.roster().unwrap().members().len(), 2);
    let report = other.ingest(b.everything(), &Source::File, NOW).unwrap();
    assert_eq!((report.waiting, report.refused.len(), report.new.len()), (0, 0, 1));
}

/// What `cp -a` does: new files with the old contents.
fn copy_home(from: &Node) -> (tempfile::TempDir, Place) {
    let dir = tempfile::tempdir().unwrap();
    for file in fs::read_dir(from.dir.path()).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), dir.path().join(file.file_name())).unwrap();
    }
    let place = place_in(dir.path());
    (dir, place)
}

#[test]
fn a_copied_store_starts_a_new_log_and_says_so() {
    let mut a = Node::founder("ana");
    let thread = a.note("t", "root");
    let (dir, place) = copy_home(&a);
    let store = Store::open(&place).unwrap();
    let mut copy =
        Node { dir, place, author: a.author.clone(), rng: TestRng::new("copy"), now: a.now, store };
    let here = a.reply(thread, "by the original");
    let there = copy.reply(thread, "by the copy");
    assert_eq!(a.store.notices().unwrap(), vec![]);
    let notices = copy.store.notices().unwrap();
    assert_eq!(notices.len(), 1);
    assert_eq!(notices[0].kind, "copied");
    assert_ne!(a.log_number(&here), copy.log_number(&there));
    let first = copy.header(&there);
    assert_eq!((first.seq, first.prev), (0, thread));
    // It says so once, and goes on in its new log.
    let next = copy.reply(thread, "again by the copy");
    assert_eq!((copy.header(&next).seq, copy.store.notices().unwrap().len()), (1, 1));
    copy.store.notices_shown(notices[0].number).unwrap();
    assert_eq!(copy.store.notices().unwrap(), vec![]);

    a.pull(&copy);
    copy.pull(&a);
    assert_eq!(a.hash(), copy.hash());
    assert_eq!(a.texts(&thread).len(), 4);
    // The original still writes its old log.
    let more = a.reply(thread, "still the original");
    assert_eq!(a.log_number(&more), a.log_number(&here));
}

#[test]
fn a_store_put_back_in_place_starts_a_new_log() {
    let mut a = Node::founder("ana");
    let thread = a.note("t", "root");
    a.store.backup(&a.dir.path().join("b1")).unwrap();
    let old: Vec<u8> = {
        drop(a.store.clone());
        let conn = rusqlite::Connection::open(&a.place.db).unwrap();
        conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        fs::read(&a.place.db).unwrap()
    };
    let lost = a.reply(thread, "written after the copy was taken");
    let lost = a.store.entries(&[lost]).unwrap();
    // The same file, overwritten with its earlier contents: same inode, older head.
    let path = a.place.db.clone();
    a.store = Store::open(&a.place).unwrap();
    let elsewhere = Node::founder("elsewhere");
    a.store = elsewhere.store.clone();
    fs::write(&path, old).unwrap();
    for suffix in ["-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{suffix}", path.display()));
    }
    a.reopen();
    let again = a.reply(thread, "written by the restored store");
    assert_ne!(a.log_number(&again), lost[0].verified.header().log.number);
    assert_eq!(a.store.notices().unwrap()[0].kind, "copied");
    // What was lost comes back from a peer, without alarm.
    let report = a.ingest(lost.iter().map(incoming).collect());
    assert_eq!((report.new.len(), report.own_unknown), (1, false));
    a.fold();
    assert_eq!(a.texts(&thread).len(), 3);
    a.assert_clean();
}

#[test]
fn a_restored_backup_starts_a_new_log() {
    let mut a = Node::founder("ana");
    let thread = a.note("t", "root");
    let backup = a.dir.path().join("backup.db");
    a.store.backup(&backup).unwrap();
    assert!(matches!(a.store.backup(&backup), Err(StoreError::Exists(_))));
    let raw = fs::read(&backup).unwrap();
    for secret in [a.author.device.to_bytes(), *a.author.sealing.to_bytes()] {
        assert!(!raw.windows(32).any(|w| w == secret), "a secret is in the backup");
    }
    let after = a.reply(thread, "after the backup");
    let (hash, log) = (a.hash(), a.log_number(&after));
    let late = a.everything();

    let dir = tempfile::tempdir().unwrap();
    let place = place_in(dir.path());
    let other = DeviceId::new([3; 32]);
    assert!(matches!(Store::restore(&place, &backup, &other, NOW), Err(StoreError::OtherStore)));
    let restored = Store::restore(&place, &backup, &a.store.own_device(), NOW).unwrap();
    assert_eq!((restored.community, restored.replaced), (a.store.community(), None));
    let store = Store::open(&place).unwrap();
    let mut b =
        Node { dir, place, author: a.author.clone(), rng: TestRng::new("r"), now: NOW, store };
    assert_eq!(b.store.notices().unwrap()[0].kind, "restored");
    assert_eq!(b.texts(&thread), ["root"]);
    let report = b.ingest(late);
    assert!(!report.own_unknown);
    assert_eq!(b.hash(), hash);
    let new = b.reply(thread, "from the restored store");
    assert_ne!(b.log_number(&new), log);
    assert_eq!((b.header(&new).seq, b.header(&new).prev), (0, after));
    b.assert_clean();
    // Over an existing store: that one is kept under another name.
    let again = Store::restore(&b.place, &backup, &b.author.device.device(), NOW + 9).unwrap();
    assert!(again.replaced.unwrap().exists());
}

#[test]
fn an_unknown_entry_of_the_own_log_starts_a_new_one() {
    let mut a = Node::founder("ana");
    let thread = a.note("t", "root");
    // A twin that the token cannot tell: both files in one place.
    let (dir, place) = copy_home(&a);
    let mut twin = Node {
        dir,
        place: a.place.clone(),
        author: a.author.clone(),
        rng: TestRng::new("twin"),
        now: a.now,
        store: Store::open(&place).unwrap(),
    };
    fs::remove_file(place.token).unwrap();
    let conn = rusqlite::Connection::open(place.db).unwrap();
    conn.execute("DELETE FROM meta WHERE key = 'own_log'", []).unwrap();
    let number = a.log_number(&thread).0;
    conn.execute("INSERT INTO meta VALUES ('own_log', ?1)", [number]).unwrap();
    drop(conn);
    twin.store
        .inner
        .write(Durability::Full, NOW, |ctx| {
            ctx.founding = true;
            let new = vec![NewEntry::new(post("by the twin"), [thread])];
            ctx.append(&twin.author, &mut twin.rng, new)
        })
        .unwrap();
    let before = a.reply(thread, "by the original");
    let report = a.pull(&twin);
    assert!(report.own_unknown);
    assert_eq!(a.store.notices().unwrap()[0].kind, "continued");
    let after = a.reply(thread, "after that");
    assert_ne!(a.log_number(&after), a.log_number(&before));
    assert!(!a.pull(&twin).own_unknown, "known by now");
    assert_eq!(a.texts(&thread).len(), 4, "both branches of the fork are shown");
    assert_eq!(a.store.log_heads().unwrap().len(), 3);
    a.assert_clean();
}

#[test]
fn more_than_four_roster_heads_are_joined_by_a_checkpoint() {
    let mut a = Node::founder("ana");
    let mut others: Vec<Node> = (0..6).map(|i| a.invite(&format!("m{i}"))).collect();
    for other in &mut others {
        other.pull(&a);
        // Concurrent roster entries: one head each.
        other.ticket(1);
    }
    for other in &others {
        a.pull(other);
    }
    assert_eq!(a.store.roster().unwrap().frontier().len(), 6);
    a.ticket(1);
    let roster = a.store.roster().unwrap();
    assert_eq!(roster.frontier().len(), 1);
    assert!(roster.verdicts().all(|(_, v)| v.counts()));
    let thread = a.note("t", "after all that");
    let b = &others[0];
    b.pull(&a);
    assert_eq!(b.texts(&thread), ["after all that"]);
    assert_eq!(a.hash(), b.hash());
}
