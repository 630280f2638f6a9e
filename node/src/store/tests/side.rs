//! Side talks among real stores: who reads what, and what others can tell.

use std::collections::BTreeSet;

use super::*;
use lanai_crdt::payload::{Edit, Said};

impl Node {
    fn open_talk(&mut self, about: EntryId, with: &[&Node]) -> EntryId {
        self.now += 1;
        let members: BTreeSet<MemberId> = with.iter().map(|n| n.member()).collect();
        let (author, now) = (self.author.clone(), self.now);
        let about = (about, about);
        let rng = &mut self.rng;
        self.store
            .open_side_talk(&author, now, rng, about, &members, "Alone", "Between us.")
            .unwrap()
    }

    fn let_in(&mut self, talk: EntryId, with: &[&Node]) {
        self.now += 1;
        let members = with.iter().map(|n| n.member()).collect();
        self.store
            .let_into_side_talk(&self.author, self.now, &mut self.rng, &talk, &members)
            .unwrap();
    }

    fn hears(&self, from: &Node) -> usize {
        self.pull(from);
        self.store.open_side_talks(&self.author).unwrap()
    }
}

/// Ana, Ben, and Cleo who carries for them.
fn porch() -> (Node, Node, Node, EntryId) {
    let mut ana = Node::founder("ana");
    let thread = ana.note("Convoy", "How do I brief one?");
    let (ben, cleo) = (ana.invite("ben"), ana.invite("cleo"));
    ben.pull(&ana);
    cleo.pull(&ana);
    (ana, ben, cleo, thread)
}

#[test]
fn those_who_take_part_read_and_others_only_carry() {
    let (mut ana, mut ben, cleo, thread) = porch();
    ben.pull(&cleo);
    let talk = ana.open_talk(thread, &[&ben]);
    assert_eq!(ana.texts(&talk), ["Between us."]);
    // Through Cleo, who cannot look into it.
    assert_eq!(cleo.hears(&ana), 0);
    assert_eq!(ben.hears(&cleo), 1);
    let said = ben.reply(talk, "I hear you.");
    let again = ben.write(post("And more."), [talk, said]);
    ben.write(Body::Edit(Edit { text: "I do hear you.".into() }), [talk, said]);
    cleo.hears(&ben);
    ana.hears(&cleo);
    assert_eq!(ana.texts(&talk), ["Between us.", "I do hear you.", "And more."]);
    assert_eq!(ben.texts(&talk), ana.texts(&talk));
    for id in [talk, said, again] {
        assert!(cleo.store.thread(&id).unwrap().is_none());
        let entry = cleo.store.entry(&id).unwrap().unwrap();
        assert_eq!(entry.aside, None, "it counts, and says nothing");
    }
    // No view of the community depends on it.
    ben.pull(&ana);
    assert_eq!(ana.hash(), cleo.hash());
    assert_eq!(ben.hash(), cleo.hash());
    assert_eq!(ana.store.threads(&ThreadFilter::default()).unwrap().len(), 1);
    let query = SearchQuery { text: "hear".into(), limit: 9, ..SearchQuery::default() };
    assert!(ana.store.search(&query).unwrap().hits.is_empty());
    assert_eq!(cleo.store.stats().unwrap().locked, 0, "nothing waits for a key");
    [ana, ben, cleo].iter().for_each(Node::assert_clean);
}

#[test]
fn who_is_let_in_later_reads_all_and_others_are_not_heard() {
    let (mut ana, mut ben, mut cleo, thread) = porch();
    let talk = ana.open_talk(thread, &[&ben]);
    ben.hears(&ana);
    ben.reply(talk, "Ask Cleo.");
    cleo.hears(&ben);
    // Who has no key can only say something to all, and that is no part of the talk.
    cleo.write(post("What is this?"), [talk]);
    ana.hears(&cleo);
    assert_eq!(ana.texts(&talk), ["Between us.", "Ask Cleo."]);
    ana.let_in(talk, &[&cleo]);
    assert_eq!(cleo.hears(&ana), 1);
    assert_eq!(cleo.texts(&talk), ["Between us.", "Ask Cleo."]);
    cleo.reply(talk, "Here I am.");
    ben.hears(&cleo);
    assert_eq!(ben.texts(&talk), ["Between us.", "Ask Cleo.", "Here I am."]);
    assert_eq!(ben.store.side_talk(&talk).unwrap().unwrap().members.len(), 3);
}

#[test]
fn what_was_read_in_a_talk_is_not_new() {
    let (mut ana, mut ben, _, thread) = porch();
    let talk = ana.open_talk(thread, &[&ben]);
    ben.hears(&ana);
    assert_eq!(ben.store.side_talks().unwrap()[0].unread, [talk].into());
    assert_eq!(ben.store.mark_posts_read(&[talk]).unwrap(), 1);
    assert!(ben.store.thread(&talk).unwrap().unwrap().unread.is_empty());
    let said = ben.reply(talk, "Yes.");
    ana.hears(&ben);
    assert_eq!(ana.store.thread(&talk).unwrap().unwrap().unread, [said].into());
}

#[test]
fn only_words_are_said_in_a_talk() {
    let (mut ana, ben, _, thread) = porch();
    let talk = ana.open_talk(thread, &[&ben]);
    let pin = Body::Pin(lanai_crdt::payload::Pin { on: true, reason: None });
    let refused = ana.try_write(pin, [talk, talk]);
    assert!(matches!(refused, Err(StoreError::NotInSideTalk)), "{refused:?}");
}

#[test]
fn a_summary_needs_the_consent_of_all_who_spoke() {
    let (mut ana, mut ben, mut cleo, thread) = porch();
    let talk = ana.open_talk(thread, &[&ben, &cleo]);
    ben.hears(&ana);
    ben.reply(talk, "Yes.");
    ana.hears(&ben);
    cleo.hears(&ben);
    let say = |node: &mut Node, said: Said| {
        node.now += 1;
        node.store.say_in_side_talk(&node.author, node.now, &mut node.rng, &talk, &said).unwrap()
    };
    let proposal = say(&mut ana, Said::Proposal("Brief twice.".into()));
    let missing = |node: &Node| {
        let talk = node.store.side_talk(&talk).unwrap().unwrap();
        talk.missing_consents(&talk.proposals[0], |_| true)
    };
    assert_eq!(missing(&ana), [ben.member()].into(), "Cleo said nothing");
    cleo.hears(&ana);
    say(&mut cleo, Said::Consent((*proposal.as_bytes()).into()));
    ben.hears(&cleo);
    assert_eq!(missing(&ben), [ben.member()].into());
    say(&mut ben, Said::Consent((*proposal.as_bytes()).into()));
    ana.hears(&ben);
    assert!(missing(&ana).is_empty());
}

#[test]
fn garbage_seals_are_tried_once_and_open_nothing() {
    use lanai_crdt::payload::SideOpen;
    let (mut ana, ben, _, _) = porch();
    let mut seals: Vec<[u8; 80]> = (0..128).map(|_| ana.rng.array()).collect();
    seals.sort_unstable();
    let open = |seals: &[[u8; 80]]| {
        Body::SideOpen(SideOpen {
            key: [1; 32].into(),
            seals: seals.iter().map(|s| (*s).into()).collect(),
            sealed: vec![0; 100].into(),
        })
    };
    ana.write(open(&seals), []);
    assert_eq!(ben.hears(&ana), 0);
    // Many more in one talk: each is opened once.
    let talk = ana.write(open(&seals[..2]), []);
    for n in 0..200 {
        let seal = lanai_crdt::payload::SideSeal { seals: vec![], sealed: vec![n; 9].into() };
        ana.write(Body::SideSeal(seal), [talk]);
    }
    assert_eq!(ben.hears(&ana), 0);
    let left = |node: &Node| -> i64 {
        let conn = rusqlite::Connection::open(&node.place.db).unwrap();
        conn.query_row("SELECT count(*) FROM side_seals WHERE tried = 0", [], |r| r.get(0)).unwrap()
    };
    assert_eq!(left(&ben), 0);
    seals.push([255; 80]);
    assert!(matches!(ana.try_write(open(&seals), []), Err(StoreError::Payload(_))));
    seals.truncate(2);
    seals.reverse();
    assert!(matches!(ana.try_write(open(&seals), []), Err(StoreError::Payload(_))));
}

#[test]
fn seals_of_talks_that_are_not_here_keep_no_other_from_being_tried() {
    use lanai_crdt::payload::SideSeal;
    let (mut ana, ben, cleo, thread) = porch();
    for n in 0..100 {
        let seal = SideSeal { seals: vec![], sealed: vec![n; 50].into() };
        ana.write(Body::SideSeal(seal), [EntryId::new([n; 32])]);
    }
    let talk = ana.open_talk(thread, &[&ben]);
    ana.let_in(talk, &[&cleo]);
    ben.pull(&ana);
    assert_eq!(ben.store.open_side_talks(&ben.author).unwrap(), 1);
    assert_eq!(ben.texts(&talk), ["Between us."]);
    // What lets Cleo in comes before what opens the talk.
    let (first, rest): (Vec<Incoming>, Vec<Incoming>) =
        ana.everything().into_iter().partition(|i| i.signed.id() != talk);
    cleo.ingest(first);
    cleo.fold();
    assert_eq!(cleo.store.open_side_talks(&cleo.author).unwrap(), 0);
    cleo.ingest(rest);
    cleo.fold();
    assert_eq!(cleo.store.open_side_talks(&cleo.author).unwrap(), 1);
    assert_eq!(cleo.texts(&talk), ["Between us."]);
}

#[test]
fn who_is_removed_reads_no_more_of_a_talk() {
    use lanai_crdt::payload::{Remove, Subject};
    let (mut ana, ben, mut cleo, thread) = porch();
    let talk = ana.open_talk(thread, &[&ben, &cleo]);
    ben.hears(&ana);
    cleo.hears(&ana);
    let subject = Subject::Member((*ben.member().as_bytes()).into());
    ana.write(Body::Remove(Remove { subject, cut: vec![], recovery: None }), []);
    ana.now += 1;
    ana.store.top_up(&ana.author, ana.now, &mut ana.rng).unwrap();
    let said = ana.reply(talk, "Now without him.");
    cleo.hears(&ana);
    cleo.reply(talk, "Yes.");
    // He holds every byte, and the talk's key.
    ben.pull(&cleo);
    ben.hears(&ana);
    assert_eq!(ben.texts(&talk), ["Between us."]);
    assert_eq!(ben.store.entry(&said).unwrap().unwrap().body, None);
    ana.hears(&cleo);
    assert_eq!(ana.texts(&talk), ["Between us.", "Now without him.", "Yes."]);
}

#[test]
fn a_rebuilt_store_reads_its_talks() {
    let (mut ana, ben, _, thread) = porch();
    let talk = ana.open_talk(thread, &[&ben]);
    ben.hears(&ana);
    ben.store.rebuild(|_| ()).unwrap();
    assert_eq!(ben.texts(&talk), ["Between us."]);
}
