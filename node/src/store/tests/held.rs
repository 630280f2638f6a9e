//! What others are known to hold.

use std::collections::BTreeSet;

use super::*;

#[test]
fn what_arrived_before_a_session_is_held_and_what_came_later_is_not() {
    let mut ana = Node::founder("ana");
    assert_eq!(ana.store.only_here().unwrap(), OnlyHere::default(), "nobody else could hold it");
    let mut ben = ana.invite("ben");
    ana.pull(&ben);
    let device = ben.author.device.device();
    let first = ana.note("Convoy", "How do I brief one?");
    ana.fold();
    let only = ana.store.only_here().unwrap();
    assert_eq!((only.posts, only.oldest_ms), (1, ana.now));
    assert_eq!(ana.store.holders(&[first]).unwrap(), [BTreeSet::from([ana.member()])]);

    // A session: it began with the first, and the second came meanwhile.
    let arrived = ana.store.newest_arrival().unwrap();
    let second = ana.reply(first, "And a short one?");
    ana.fold();
    ben.pull(&ana);
    ana.store.note_held(&device, arrived, 20).unwrap();
    let both = BTreeSet::from([ana.member(), ben.member()]);
    let unheard = EntryId::new([7; 32]);
    assert_eq!(
        ana.store.holders(&[second, first, unheard]).unwrap(),
        [BTreeSet::from([ana.member()]), both.clone(), BTreeSet::new()]
    );
    assert_eq!(ana.store.only_here().unwrap().posts, 1);
    // What was heard before says nothing against it, what is heard later does: a home put back.
    ana.store.note_held(&device, 0, 10).unwrap();
    assert_eq!(ana.store.held_upto(&device).unwrap(), arrived);
    ana.store.note_held(&device, 0, 30).unwrap();
    assert_eq!(ana.store.only_here().unwrap().posts, 2);

    // Whoever wrote something holds it. A device of nobody's is not believed.
    let theirs = ben.reply(first, "Like so.");
    ana.pull(&ben);
    assert_eq!(ana.store.holders(&[theirs]).unwrap(), [both]);
    let newest = ana.store.newest_arrival().unwrap();
    ana.store.note_held(&DeviceId::new([9; 32]), newest, 40).unwrap();
    assert_eq!(ana.store.only_here().unwrap().posts, 2);
}

#[test]
fn a_front_says_up_to_where_all_is_held() {
    let mut ana = Node::founder("ana");
    let ben = ana.invite("ben");
    ana.pull(&ben);
    let device = ben.author.device.device();
    let thread = ana.note("Convoy", "How do I brief one?");
    ben.pull(&ana);
    let held = ana.store.newest_arrival().unwrap();
    let front = ben.store.front().unwrap();
    for n in 0..3 {
        ana.reply(thread, &format!("{n}"));
    }
    ana.fold();
    ana.store.note_front(&device, 10, &front).unwrap();
    assert_eq!(ana.store.held_upto(&device).unwrap(), held);
    assert_eq!(ana.store.only_here().unwrap().posts, 3);
    ben.pull(&ana);
    ana.store.note_front(&device, 20, &ben.store.front().unwrap()).unwrap();
    assert_eq!(ana.store.only_here().unwrap(), OnlyHere::default());
}
