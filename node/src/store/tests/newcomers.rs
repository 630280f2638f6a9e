//! Communities in which newcomers read from their admission on.

use std::collections::BTreeSet;

use lanai_crdt::payload::{Edit, Readmit, Remove, Subject};

use super::*;
use crate::identity::{Identity, link};

fn founder() -> Node {
    Node::founder_of("ana", History::FromAdmission)
}

fn titles(node: &Node) -> BTreeSet<String> {
    node.fold();
    let all = node.store.threads(&ThreadFilter::default()).unwrap();
    all.into_iter().map(|t| t.title).collect()
}

fn set(titles: &[&str]) -> BTreeSet<String> {
    titles.iter().map(|&t| t.to_owned()).collect()
}

fn names(node: &Node) -> BTreeSet<String> {
    node.store.names().unwrap().into_iter().map(|(_, name)| name).collect()
}

/// All take what all have, until nothing is sealed any more.
fn settle(nodes: &mut [&mut Node]) {
    for _ in 0..4 {
        for at in 0..nodes.len() {
            let all: Vec<Incoming> = nodes.iter().flat_map(|n| n.everything()).collect();
            let now = nodes.iter().map(|n| n.now).max().unwrap();
            let node = &mut nodes[at];
            node.now = now;
            node.ingest(all);
            node.fold();
            node.store.top_up(&node.author, now, &mut node.rng).unwrap();
            node.fold();
        }
    }
}

#[test]
fn a_newcomer_reads_nothing_from_before_and_knows_who_is_who() {
    let mut ana = founder();
    let old = ana.note("Old", "what was said among us");
    let mut ben = ana.invite("ben");
    ben.pull(&ana);
    assert_eq!(titles(&ben), set(&[]));
    assert_eq!(names(&ben), set(&["ana", "ben"]), "who lets somebody in introduces herself");
    assert_eq!(ben.store.community_info().unwrap().view.unwrap().name, "porch");
    let stats = ben.store.stats().unwrap();
    assert_eq!((stats.threads_before, stats.locked), (1, 0));
    assert_eq!(ben.store.open_seals(&ben.author, ben.now).unwrap().locked, BTreeSet::new());
    assert!(ben.store.thread(&old).unwrap().is_none());

    // What is said in the old thread stays with those who were there; new ones are for all.
    let reply = ana.reply(old, "still among us");
    let new = ben.note("New", "for all");
    let mut cleo = ana.invite("cleo");
    settle(&mut [&mut ana, &mut ben, &mut cleo]);
    assert!(ben.store.thread(&reply).unwrap().is_none());
    assert_eq!(titles(&ana), set(&["Old", "New"]));
    assert_eq!(titles(&ben), set(&["New"]));
    assert_eq!(titles(&cleo), set(&[]));
    assert_eq!(cleo.store.stats().unwrap().threads_before, 2);
    // Ben is known to Cleo from the moment he writes something that she can read.
    assert_eq!(names(&cleo), set(&["ana", "cleo"]));
    ben.write(Body::Edit(Edit { text: "for all of us".into() }), [new, new]);
    ben.note("Newer", "x");
    settle(&mut [&mut ana, &mut ben, &mut cleo]);
    assert_eq!(names(&cleo), set(&["ana", "ben", "cleo"]));
    assert_eq!(titles(&cleo), set(&["Newer"]));
    assert_eq!(names(&ana).len(), 3);
    for node in [&ana, &ben, &cleo] {
        assert_eq!(node.store.lacking_seals(node.now).unwrap(), BTreeSet::new());
        node.assert_clean();
    }
}

#[test]
fn a_new_device_reads_what_its_member_could_read() {
    let mut ana = founder();
    ana.note("Oldest", "x");
    let mut ben = ana.invite("ben");
    ben.pull(&ana);
    ben.note("Bens", "y");
    let cleo = ana.invite("cleo");
    ana.pull(&ben);
    ana.note("Latest", "z");
    ben.pull(&ana);
    ben.pull(&cleo);
    let phone = ben.device("phone");
    phone.pull(&ben);
    assert_eq!(titles(&phone), set(&["Bens", "Latest"]));
    assert_eq!(phone.store.stats().unwrap().threads_before, 1);
    let laptop = ana.device("laptop");
    laptop.pull(&ben);
    assert_eq!(titles(&laptop), set(&["Oldest", "Bens", "Latest"]));
    assert_eq!(laptop.store.stats().unwrap().locked, 0);
}

#[test]
fn two_admissions_while_split_end_in_one_key_for_all() {
    let mut ana = founder();
    let mut ben = ana.invite("ben");
    ben.pull(&ana);
    let mut cleo = ana.invite("cleo");
    let mut dan = ben.invite("dan");
    ana.note("With Cleo", "x");
    ben.note("With Dan", "y");
    settle(&mut [&mut ana, &mut ben, &mut cleo, &mut dan]);
    // Written without knowing of the other newcomer.
    for node in [&ana, &ben] {
        assert_eq!(titles(node), set(&["With Cleo", "With Dan"]));
    }
    assert_eq!((titles(&cleo), titles(&dan)), (set(&["With Cleo"]), set(&["With Dan"])));
    dan.note("Together", "z");
    settle(&mut [&mut ana, &mut ben, &mut cleo, &mut dan]);
    for node in [&ana, &ben, &cleo, &dan] {
        assert!(titles(node).contains("Together"));
        assert_eq!(node.store.stats().unwrap().locked, 0);
    }
    assert!(dan.store.top_up(&dan.author, dan.now, &mut dan.rng).unwrap().is_empty());
}

#[test]
fn who_is_taken_back_reads_nothing_of_the_time_between() {
    let mut ana = founder();
    let mut ben = ana.invite("ben");
    ben.pull(&ana);
    ben.note("Before", "x");
    ana.pull(&ben);
    let member = ben.store.own_member().unwrap().unwrap();
    let subject = Subject::Member((*member.as_bytes()).into());
    let cut = ana.store.cut_of(&[ben.author.device.device()].into()).unwrap();
    let cut = cut.iter().map(|id| (*id.as_bytes()).into()).collect();
    let removal = ana.write(Body::Remove(Remove { subject, cut, recovery: None }), []);
    ana.store.top_up(&ana.author, ana.now, &mut ana.rng).unwrap();
    ana.note("Between", "y");

    let mut rng = TestRng::new("again");
    let author = author(&mut rng);
    let Author { device, sealing } = author.clone();
    let identity = Identity { device, sealing };
    let record = link::record(&identity, ana.store.community(), member, rng.array());
    ana.write(Body::Readmit(Readmit { record: record.encode().into() }), [removal]);
    ana.store.top_up(&ana.author, ana.now, &mut ana.rng).unwrap();
    ana.note("After", "z");
    let dir = tempfile::tempdir().unwrap();
    let (place, own) = (place_in(dir.path()), identity.device_id());
    let store =
        Store::create_returning(&place, ana.store.community(), own, ana.now, &mut rng).unwrap();
    let again = Node { dir, place, author, rng, now: ana.now, store };
    again.pull(&ana);
    assert_eq!(titles(&again), set(&["Before", "After"]));
    assert_eq!(again.store.stats().unwrap().threads_before, 1);
}

#[test]
fn elsewhere_nothing_is_said_twice() {
    let mut ana = Node::founder("ana");
    ana.note("Old", "x");
    let before = ana.everything().len();
    let ben = ana.invite("ben");
    // A ticket, an admission, a seal.
    assert_eq!(ana.everything().len(), before + 3);
    assert_eq!(titles(&ben), set(&[]));
    ben.pull(&ana);
    assert_eq!(titles(&ben), set(&["Old"]));
}
