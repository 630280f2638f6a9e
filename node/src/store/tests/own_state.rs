//! Read marks and drafts among the devices of one member.

use std::collections::BTreeMap;

use lanai_crdt::payload::{AddDevice, Kind};

use super::*;
use crate::identity::{Identity, link};

const HOUR: u64 = 60 * 60 * 1000;

impl Node {
    /// Another device of this member.
    pub(super) fn device(&mut self, name: &str) -> Node {
        let dir = tempfile::tempdir().unwrap();
        let mut rng = TestRng::new(name);
        let author = author(&mut rng);
        let Author { device, sealing } = author.clone();
        let identity = Identity { device, sealing };
        let me = self.store.own_member().unwrap().unwrap();
        let record = link::record(&identity, self.store.community(), me, rng.array());
        let add = AddDevice { record: record.encode().into(), vouch: None };
        self.write(Body::AddDevice(add), []);
        self.store.top_up(&self.author, self.now, &mut self.rng).unwrap();
        let place = place_in(dir.path());
        let device = identity.device_id();
        let community = self.store.community();
        let store = Store::create_returning(&place, community, device, self.now, &mut rng).unwrap();
        let node = Node { dir, place, author, rng, now: self.now, store };
        node.pull(self);
        node
    }

    fn tell(&mut self, drafts: &[(&str, &str)], at_once: bool) -> bool {
        let drafts: BTreeMap<String, String> =
            drafts.iter().map(|(k, t)| ((*k).to_owned(), (*t).to_owned())).collect();
        self.now += 1;
        let Node { store, author, now, rng, .. } = self;
        store.tell_own_devices(author, *now, rng, Some(&drafts), at_once).unwrap()
    }

    /// Takes everything from `other`, and puts drafts into files; gives those that are present.
    fn hear(&mut self, other: &Node) -> Vec<SharedDraft> {
        self.now = self.now.max(other.now);
        self.pull(other);
        self.take()
    }

    fn take(&self) -> Vec<SharedDraft> {
        self.store.take_own_states(|| Some(self.author.clone())).unwrap();
        let drafts = self.store.shared_drafts().unwrap();
        for draft in drafts.iter().filter(|d| d.changed) {
            self.store.draft_filed(draft).unwrap();
        }
        drafts
    }

    fn unread(&self) -> u64 {
        self.store.inbox(self.now, 100).unwrap().unread()
    }

    fn own_states(&self) -> usize {
        let body = |i: &Incoming| i.signed.header().class == Kind::OwnState.class().number();
        let mine = |i: &&Incoming| i.signed.header().log.device == self.author.device.device();
        self.everything().iter().filter(mine).filter(|i| body(i)).count()
    }
}

fn texts(drafts: &[SharedDraft], key: &str) -> Vec<String> {
    drafts.iter().find(|d| d.key == key).map_or_else(Vec::new, |d| d.texts.clone())
}

#[test]
fn what_one_device_read_is_read_on_the_other_and_on_nobody_elses() {
    let mut ana = Node::founder("ana");
    let mut ben = ana.invite("ben");
    ben.pull(&ana);
    let mut phone = ben.device("phone");
    let threads = [ana.note("One", "x"), ana.note("Two", "y"), ana.note("Three", "z")];
    for node in [&ben, &phone] {
        node.pull(&ana);
        assert_eq!(node.unread(), 3);
    }
    assert!(!ben.tell(&[], true), "nothing was read");
    ben.store.mark_posts_read(&threads[..2]).unwrap();
    assert!(ben.tell(&[], false), "the first one has nothing to wait for");
    ben.store.mark_posts_read(&threads[2..]).unwrap();
    assert!(!ben.tell(&[], false), "not for every read");
    assert_eq!(phone.hear(&ben), []);
    assert_eq!(phone.unread(), 1);
    ben.now += HOUR;
    assert!(ben.tell(&[], false));
    assert!(!ben.tell(&[], true), "all is told");
    phone.hear(&ben);
    assert_eq!(phone.unread(), 0);
    assert!(!phone.tell(&[], true), "what was heard is not told again");

    // Ana holds it all, sees the same community, and can open nothing of it.
    let before = ana.hash();
    let (read, state) = (ana.store.newest_arrival().unwrap(), ana.unread());
    ana.hear(&ben);
    assert!(ana.store.newest_arrival().unwrap() > read);
    assert_eq!((ana.hash(), ana.unread()), (ben.hash(), state));
    assert_ne!(before, ana.hash(), "Ben's second device and profile came");
    let quiet = ana.hash();
    let late = ana.note("Four", "w");
    for node in [&ben, &phone] {
        node.pull(&ana);
    }
    let hash = ana.hash();
    assert_ne!(hash, quiet);
    phone.store.mark_posts_read(&[late]).unwrap();
    assert!(phone.tell(&[], true));
    ana.hear(&phone);
    assert_eq!(ana.hash(), hash, "own state is no part of what all agree on");
    assert_eq!(phone.hash(), hash);
}

#[test]
fn a_mark_may_come_before_the_post_and_survives_a_rebuild() {
    let mut ana = Node::founder("ana");
    let mut ben = ana.invite("ben");
    ben.pull(&ana);
    let phone = ben.device("phone");
    let note = ana.note("One", "x");
    ben.pull(&ana);
    ben.store.mark_posts_read(&[note]).unwrap();
    ben.tell(&[], true);
    let of_ben = ben.author.device.device();
    let only_ben = |i: &Incoming| i.signed.header().log.device == of_ben;
    phone.ingest(ben.everything().into_iter().filter(only_ben).collect());
    phone.fold();
    phone.take();
    phone.pull(&ana);
    assert_eq!(phone.unread(), 0);
    phone.store.rebuild(|_| ()).unwrap();
    phone.fold();
    phone.take();
    assert_eq!(phone.unread(), 0);
    phone.assert_clean();
}

#[test]
fn a_new_device_learns_what_was_read_before_it_came() {
    let mut ana = Node::founder("ana");
    let mut ben = ana.invite("ben");
    ben.pull(&ana);
    let mut phone = ben.device("phone");
    let old = ana.note("One", "x");
    ben.pull(&ana);
    ben.store.mark_posts_read(&[old]).unwrap();
    assert!(ben.tell(&[("ask", "begun")], true));
    phone.hear(&ben);
    let mut tablet = ben.device("tablet");
    assert_eq!(tablet.unread(), 1);
    assert_eq!(texts(&tablet.take(), "ask"), [""; 0], "it is not sealed to it");
    assert!(ben.tell(&[("ask", "begun")], false), "told again, and at once");
    assert_eq!(texts(&tablet.hear(&ben), "ask"), ["begun"]);
    assert_eq!(tablet.unread(), 0);
    assert!(!ben.tell(&[("ask", "begun")], true));
}

#[test]
fn drafts_go_with_the_member_and_no_text_is_lost() {
    let mut ana = Node::founder("ana");
    let mut ben = ana.invite("ben");
    ben.pull(&ana);
    let mut phone = ben.device("phone");
    ben.pull(&phone);
    assert!(ben.tell(&[("ask", "half"), ("page-x", "y")], true));
    assert_eq!(texts(&phone.hear(&ben), "ask"), ["half"]);
    // Gone on with there, and here again.
    assert!(phone.tell(&[("ask", "half a thought"), ("page-x", "y")], true));
    assert_eq!(texts(&ben.hear(&phone), "ask"), ["half a thought"]);

    // Both go on at once: two texts, in the same order everywhere.
    assert!(ben.tell(&[("ask", "mine"), ("page-x", "y")], true));
    assert!(phone.tell(&[("ask", "yours"), ("page-x", "y")], true));
    let (at_ben, at_phone) = (ben.hear(&phone), phone.hear(&ben));
    assert_eq!(texts(&at_ben, "ask"), texts(&at_phone, "ask"));
    assert_eq!(texts(&at_ben, "ask").len(), 2);
    // Each device settles it the same way, once.
    let settled = texts(&at_ben, "ask");
    let files = [("ask", settled[0].as_str()), ("ask-2", settled[1].as_str()), ("page-x", "y")];
    assert!(ben.tell(&files, true));
    assert!(phone.tell(&files, true));
    let (at_ben, at_phone) = (ben.hear(&phone), phone.hear(&ben));
    for (key, text) in [("ask", &settled[0]), ("ask-2", &settled[1])] {
        assert_eq!(texts(&at_ben, key), [text.as_str()]);
        assert_eq!(texts(&at_phone, key), [text.as_str()]);
    }
    assert!(!ben.tell(&files, true));
    assert!(!phone.tell(&files, true));

    // Published on the telephone, thrown away on the laptop while it was changed there.
    assert!(phone.tell(&[("ask-2", &settled[1])], true));
    assert_eq!(texts(&ben.hear(&phone), "ask"), [""; 0]);
    assert!(ben.tell(&[], true));
    assert!(phone.tell(&[("ask-2", "changed at the same time")], true));
    let (at_ben, at_phone) = (ben.hear(&phone), phone.hear(&ben));
    assert_eq!(texts(&at_ben, "ask-2"), ["changed at the same time"]);
    assert_eq!(texts(&at_phone, "ask-2"), ["changed at the same time"]);
}

#[test]
fn order_of_arrival_means_nothing_to_drafts() {
    let mut ben = Node::founder("ben");
    let phone = ben.device("phone");
    ben.pull(&phone);
    for text in ["one", "one two", "one two three"] {
        assert!(ben.tell(&[("ask", text)], true));
        ben.take();
    }
    // The telephone gets the payloads of the later ones first.
    let mut batch = ben.everything();
    let mut held = Vec::new();
    for incoming in &mut batch {
        if incoming.signed.header().class == Kind::OwnState.class().number() {
            held.push(incoming.clone());
            incoming.payload = None;
        }
    }
    phone.ingest(batch);
    for incoming in held.into_iter().rev() {
        phone.ingest(vec![incoming]);
        phone.fold();
        assert!(texts(&phone.take(), "ask").iter().all(|t| t != "one two"));
    }
    assert_eq!(texts(&phone.take(), "ask"), ["one two three"]);
}

#[test]
fn a_member_with_one_device_writes_nothing() {
    let mut ana = Node::founder("ana");
    let mut ben = ana.invite("ben");
    let note = ana.note("One", "x");
    ben.pull(&ana);
    ben.store.mark_posts_read(&[note]).unwrap();
    assert!(!ben.tell(&[("ask", "x")], true));
    assert!(!ben.store.has_other_devices().unwrap());
    let before = ben.own_states();
    assert!(!ben.tell(&[], true));
    assert_eq!(ben.own_states(), before);
}
