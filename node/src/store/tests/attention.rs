//! What deserves attention.

use std::collections::{BTreeMap, BTreeSet};

use lanai_crdt::payload::{Ask, Edit, Kind, Mark, PageKind, Splice, Tend, ThreadState, Weave};

use super::*;

const DAY: u64 = 86_400_000;

fn ask_by(title: &str, tags: &[&str], need_by: Option<u64>) -> Body {
    Body::Ask(Ask {
        title: title.into(),
        situation: "situation".into(),
        decide: None,
        need_by,
        tried: None,
        helps: None,
        tags: tags.iter().map(|t| t.to_string()).collect(),
        origin: None,
    })
}

fn outcome(text: &str) -> Body {
    Body::Post(Post { role: PostRole::Outcome, text: text.into(), origin: None, met: None })
}

fn state(state: ThreadState) -> Body {
    Body::Mark(Mark::State(state))
}

fn listed(node: &Node, now: u64) -> Vec<(Rank, EntryId)> {
    let inbox = node.store.inbox(now, 0).unwrap();
    inbox.threads.iter().map(|item| (item.rank, item.thread.root)).collect()
}

/// Shows a thread and marks what was shown.
fn read(node: &Node, thread: &EntryId) -> u64 {
    let view = node.store.thread(thread).unwrap().unwrap();
    let shown: Vec<EntryId> = view.thread.posts.iter().map(|post| post.id).collect();
    node.store.mark_posts_read(&shown).unwrap()
}

/// Two members, and a thread that the second one began and both hold.
fn two_and_a_note() -> (Node, Node, EntryId) {
    let mut a = Node::founder("ana");
    let mut b = a.invite("bo");
    b.pull(&a);
    let thread = b.note("t", "x");
    a.pull(&b);
    (a, b, thread)
}

#[test]
fn what_concerns_me_goes_first() {
    let mut a = Node::founder("Ana Lee");
    let mine = a.note("mine", "x");
    let mut b = a.invite("bo");
    b.pull(&a);
    let rest = b.note("rest", "y");
    let watched = b.note("watched", "y");
    let by_title = b.note("About our convoys", "y");
    let by_tag = b.write(ask_by("Which?", &["Radio"], None), []);
    let named = b.note("named", "what do you say, @ana-lee?");
    b.reply(mine, "z");
    a.pull(&b);
    a.store.set_watch(&watched, Watch::Watched).unwrap();
    assert!(a.store.follow_topic("#Convoy").unwrap());
    assert!(!a.store.follow_topic("convoy").unwrap());
    a.store.follow_topic("radio").unwrap();
    let ranks: BTreeMap<EntryId, Rank> =
        listed(&a, NOW).into_iter().map(|(rank, id)| (id, rank)).collect();
    let expected = [
        (mine, Rank::ForMe),
        (named, Rank::ForMe),
        (by_title, Rank::Topic),
        (by_tag, Rank::Topic),
        (watched, Rank::Watched),
        (rest, Rank::Rest),
    ];
    assert_eq!(ranks, expected.into_iter().collect());
    assert!(listed(&a, NOW).is_sorted_by_key(|(rank, _)| *rank));
    // What is for me stands there however short the list is.
    let short = a.store.inbox(NOW, 2).unwrap();
    assert!(short.threads.iter().all(|item| item.rank == Rank::ForMe));
    assert_eq!(short.more, Hidden { threads: 4, posts: 4 });
    assert_eq!(short.unread(), 6);
    a.store.unfollow_topic("RADIO").unwrap();
    let inbox = a.store.inbox(NOW, 0).unwrap();
    let rank = |id| inbox.threads.iter().find(|i| i.thread.root == id).unwrap().rank;
    assert_eq!(rank(by_tag), Rank::Rest);
    // An edit can name me too.
    b.write(Body::Edit(Edit { text: "@Ana: look".into() }), [rest, rest]);
    a.pull(&b);
    let inbox = a.store.inbox(NOW, 0).unwrap();
    let item = inbox.threads.iter().find(|i| i.thread.root == rest).unwrap();
    assert_eq!((item.rank, item.posts[0].for_me), (Rank::ForMe, Some(ForMe::Mention)));
}

#[test]
fn muted_threads_are_counted_and_snoozed_ones_come_back() {
    let (mut a, mut b, thread) = two_and_a_note();
    let my_post = a.reply(thread, "mine");
    b.pull(&a);
    a.store.set_watch(&thread, Watch::Muted).unwrap();
    assert_eq!(listed(&a, NOW), []);
    let inbox = a.store.inbox(NOW, 0).unwrap();
    assert_eq!((inbox.muted, inbox.unread()), (Hidden { threads: 1, posts: 1 }, 0));
    // A setting made by any post of the thread holds for all of it.
    a.store.set_watch(&my_post, Watch::Normal).unwrap();
    assert_eq!(listed(&a, NOW), [(Rank::Rest, thread)]);

    a.store.snooze(&thread, Some(NOW + DAY)).unwrap();
    assert_eq!(listed(&a, NOW), []);
    assert_eq!(a.store.inbox(NOW, 0).unwrap().snoozed, Hidden { threads: 1, posts: 1 });
    assert_eq!(listed(&a, NOW + DAY), [(Rank::Rest, thread)]);
    b.reply(thread, "said to all");
    a.pull(&b);
    assert_eq!(listed(&a, NOW), []);
    b.write(post("to ana"), [thread, my_post]);
    a.pull(&b);
    assert_eq!(listed(&a, NOW), [(Rank::ForMe, thread)]);
    // Snoozed again, it waits for the next answer.
    a.store.snooze(&thread, Some(NOW + DAY)).unwrap();
    assert_eq!(listed(&a, NOW), []);
    a.store.snooze(&thread, None).unwrap();
    assert_eq!(listed(&a, NOW).len(), 1);
    assert_eq!(a.store.stance(&thread).unwrap(), Stance::default());
    assert!(!a.store.snooze(&EntryId::new([1; 32]), None).unwrap());
    // None of it is part of what nodes agree on.
    b.pull(&a);
    assert_eq!(a.hash(), b.hash());
}

#[test]
fn what_arrives_between_showing_and_marking_stays_unread() {
    let (a, mut b, thread) = two_and_a_note();
    let view = a.store.thread(&thread).unwrap().unwrap();
    let shown: Vec<EntryId> = view.thread.posts.iter().map(|post| post.id).collect();
    let (_, new) = a.store.inbox_to_mark(NOW, 0).unwrap();
    let late = b.reply(thread, "late");
    a.pull(&b);
    assert_eq!(a.store.mark_posts_read(&shown).unwrap(), 1);
    assert_eq!(a.store.thread(&thread).unwrap().unwrap().unread, BTreeSet::from([late]));
    a.store.mark_all_read(&new).unwrap();
    assert_eq!(a.store.thread(&thread).unwrap().unwrap().unread, BTreeSet::from([late]));
    let (_, new) = a.store.inbox_to_mark(NOW, 0).unwrap();
    assert_eq!(a.store.mark_all_read(&new).unwrap(), 1);
    assert!(a.store.inbox(NOW, 0).unwrap().is_empty());
}

#[test]
fn a_post_whose_text_comes_late_is_new_when_it_comes() {
    let mut a = Node::founder("ana");
    let mut b = a.invite("bo");
    b.pull(&a);
    let thread = b.note("t", "x");
    let first = b.reply(thread, "without its text at first");
    b.reply(thread, "second");
    let all = b.everything();
    let bare: Vec<Incoming> = all
        .iter()
        .map(|i| Incoming {
            signed: i.signed.clone(),
            payload: i.payload.clone().filter(|_| i.signed.id() != first),
        })
        .collect();
    a.ingest(bare);
    a.fold();
    assert_eq!(read(&a, &thread), 2);
    assert!(a.store.inbox(NOW, 0).unwrap().is_empty());
    a.ingest(all);
    a.fold();
    assert_eq!(a.store.thread(&thread).unwrap().unwrap().unread, BTreeSet::from([first]));
}

#[test]
fn asks_that_need_somebody_are_sorted_by_need() {
    let mut a = Node::founder("ana");
    let mut b = a.invite("bo");
    b.pull(&a);
    let old = b.write(ask_by("old", &["convoy"], None), []);
    let answered_once = b.write(ask_by("replied to", &["convoy"], None), []);
    let long_past = b.write(ask_by("long past", &["convoy"], Some(NOW - 40 * DAY)), []);
    let soon = b.write(ask_by("soon", &["convoy"], Some(NOW + DAY)), []);
    let later = b.write(ask_by("later", &["convoy"], Some(NOW + 5 * DAY)), []);
    let overdue = b.write(ask_by("overdue", &["convoy"], Some(NOW - DAY)), []);
    let other = b.write(ask_by("other topic", &["radio"], Some(u64::MAX)), []);
    let done = b.write(ask_by("done", &["convoy"], None), []);
    b.write(state(ThreadState::Closed), [done, done]);
    a.pull(&b);
    a.write(ask_by("mine", &["convoy"], None), []);
    let replied = b.write(ask_by("I replied", &["convoy"], Some(NOW)), []);
    a.pull(&b);
    a.reply(replied, "have you tried");
    let mut c = a.invite("cid");
    c.pull(&b);
    c.pull(&a);
    c.reply(answered_once, "hm");
    a.pull(&c);
    let roots = |needs: &Needs| -> Vec<EntryId> {
        needs.needs.iter().map(|need| need.thread.root).collect()
    };
    let all = a.store.needs(NOW, 0).unwrap();
    assert!(all.topics.is_empty() && all.needs.iter().all(|need| need.about.is_empty()));
    assert_eq!(all.needs.len(), 8);
    a.store.follow_topic("convoy").unwrap();
    let needs = a.store.needs(NOW, 0).unwrap();
    assert_eq!(roots(&needs), [overdue, soon, later, old, long_past, answered_once, replied]);
    assert_eq!((needs.elsewhere, needs.more, needs.hidden), (1, 0, 0));
    assert_eq!(needs.unanswered, 1);
    assert_eq!(needs.needs[0].about, [About { topic: "convoy".into(), by_tag: true }]);
    let facts = needs.needs[5].thread.ask.clone().unwrap();
    assert_eq!((facts.replies, facts.need_by_ms), (1, None));
    assert!(needs.needs[6].replied);
    assert_ne!(roots(&needs)[0], other);
    let few = a.store.needs(NOW, 2).unwrap();
    assert_eq!((roots(&few), few.more), (vec![overdue, soon], 5));
    a.store.set_watch(&overdue, Watch::Muted).unwrap();
    a.store.snooze(&soon, Some(NOW + 1)).unwrap();
    let fewer = a.store.needs(NOW, 0).unwrap();
    assert_eq!((roots(&fewer)[0], fewer.hidden), (later, 2));
    a.store.rebuild(|_| ()).unwrap();
    a.fold();
    assert_eq!(roots(&a.store.needs(NOW, 0).unwrap()), roots(&fewer));
}

#[test]
fn who_works_on_an_ask_is_known() {
    let mut a = Node::founder("ana");
    let ask = a.write(ask_by("q", &[], None), []);
    let mut b = a.invite("bo");
    b.pull(&a);
    let first = b.write(state(ThreadState::Working), [ask, ask]);
    a.pull(&b);
    let (ana, bo) =
        (a.store.own_member().unwrap().unwrap(), b.store.own_member().unwrap().unwrap());
    assert_eq!(a.store.thread(&ask).unwrap().unwrap().workers, [bo]);
    let second = a.write(state(ThreadState::Working), [ask, ask, first]);
    assert_eq!(a.store.thread(&ask).unwrap().unwrap().workers, [ana, bo]);
    let facts = a.store.threads(&ThreadFilter::default()).unwrap()[0].ask.clone().unwrap();
    assert_eq!(BTreeSet::from_iter(facts.workers), BTreeSet::from([ana, bo]));
    a.write(state(ThreadState::Answered), [ask, ask, second]);
    assert!(a.store.thread(&ask).unwrap().unwrap().workers.is_empty());
    assert!(
        a.store.threads(&ThreadFilter::default()).unwrap()[0]
            .ask
            .clone()
            .unwrap()
            .workers
            .is_empty()
    );
}

#[test]
fn outcomes_are_asked_for_when_they_are_due() {
    let delays = OutcomeDelays { after_answer_ms: 3 * DAY, after_ask_ms: 14 * DAY };
    let mut a = Node::founder("ana");
    let mut b = a.invite("bo");
    let dated = a.write(ask_by("dated", &[], Some(NOW + DAY)), []);
    let answered = a.write(ask_by("answered", &[], None), []);
    let replied = a.write(ask_by("replied", &[], None), []);
    a.write(ask_by("silent", &[], None), []);
    a.note("note", "x");
    b.pull(&a);
    let reply = b.reply(answered, "do this");
    b.reply(replied, "hm");
    a.pull(&b);
    a.write(Body::Mark(Mark::Answer(true)), [answered, reply]);
    let due = |a: &Node, days: u64| -> Vec<(EntryId, WhyDue)> {
        let due = a.store.due_outcomes(NOW + days * DAY + 1000, delays).unwrap();
        let mut due: Vec<_> = due.into_iter().map(|d| (d.thread.root, d.why)).collect();
        due.sort_by_key(|(id, _)| [dated, answered, replied].iter().position(|x| x == id));
        due
    };
    assert_eq!(due(&a, 0), []);
    let by = (dated, WhyDue::NeededBy(NOW + DAY));
    assert_eq!(due(&a, 1), [by]);
    assert_eq!(due(&a, 3), [by, (answered, WhyDue::Answered)]);
    assert_eq!(due(&a, 14), [by, (answered, WhyDue::Answered), (replied, WhyDue::Replies(1))]);
    a.write(outcome("went well"), [answered]);
    a.write(state(ThreadState::Closed), [dated, dated]);
    assert_eq!(due(&a, 14), [(replied, WhyDue::Replies(1))]);
    a.store.set_watch(&replied, Watch::Muted).unwrap();
    assert_eq!(due(&a, 14), []);
    assert_eq!(b.store.due_outcomes(NOW + 99 * DAY, delays).unwrap(), []);
    // Told outcomes are found again.
    b.pull(&a);
    let told = b.store.outcomes_since(NOW).unwrap();
    assert_eq!((told.len(), told[0].thread.root), (1, answered));
    assert_eq!(told[0].text.as_deref(), Some("went well"));
    assert_eq!(b.store.outcomes_since(u64::MAX).unwrap().len(), 1);
    read(&b, &answered);
    assert_eq!(b.store.outcomes_since(u64::MAX).unwrap(), []);
    assert_eq!(b.store.outcomes_since(NOW).unwrap().len(), 1);
}

#[test]
fn topics_are_tended_for_a_time() {
    let mut a = Node::founder("ana");
    let mut b = a.invite("bo");
    let tend = |topic: &str, until| Body::Tend(Tend { topic: topic.into(), until });
    let first = a.write(tend("Convoy", NOW + DAY), []);
    let second = a.write(tend("convoy", NOW + 2 * DAY), [first]);
    a.write(tend("radio", NOW - DAY), []);
    let me = a.store.own_member().unwrap().unwrap();
    b.pull(&a);
    for node in [&a, &b] {
        let found = node.store.tendings().unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].topic.as_str(), found[0].until_ms), ("convoy", NOW + 2 * DAY));
        assert_eq!((found[0].member, found[0].heads.clone()), (me, vec![second]));
        let topics = node.store.topics().unwrap();
        assert_eq!(topics[0].tended, [(me, NOW + 2 * DAY)]);
        assert!(node.store.threads(&ThreadFilter::default()).unwrap().is_empty());
    }
    assert_eq!(Kind::Tend.number(), 133);
    let mine = |now| -> Vec<String> {
        a.store.my_topics(now).unwrap().into_iter().map(|t| t.topic).collect()
    };
    assert_eq!(mine(NOW), ["convoy"]);
    assert!(mine(NOW + 2 * DAY).is_empty());
    a.write(tend("convoy", 0), [second]);
    a.store.rebuild(|_| ()).unwrap();
    a.fold();
    assert_eq!(a.store.tendings().unwrap()[0].until_ms, 0);
    assert_eq!(a.store.topics().unwrap().len(), 1);
    b.pull(&a);
    a.pull(&b);
    assert_eq!(a.hash(), b.hash());
    // What I am asked about is a topic too.
    let about =
        Profile { name: "bo".into(), ask_about: Some("Sand tables".into()), ..Profile::default() };
    let bo = b.store.own_member().unwrap().unwrap();
    let before = b.store.profile_entries(&bo).unwrap()[0].id;
    b.write(Body::Profile(about), [before]);
    let mine: Vec<String> = b.store.my_topics(NOW).unwrap().into_iter().map(|t| t.topic).collect();
    assert_eq!(mine, ["sand tables"]);
}

#[test]
fn newcomers_are_known_by_their_admission() {
    let mut a = Node::founder("ana");
    a.now = NOW + 5 * DAY;
    let b = a.invite("bo");
    let bo = b.store.own_member().unwrap().unwrap();
    let new = a.store.newcomers_since(NOW + DAY).unwrap();
    assert_eq!(new.iter().map(|n| n.member).collect::<Vec<_>>(), [bo]);
    assert!(new[0].admitted_ms >= NOW + 5 * DAY);
    assert_eq!(a.store.newcomers_since(NOW + 9 * DAY).unwrap(), []);
    assert_eq!(b.store.newcomers_since(0).unwrap().len(), 1);
}

#[test]
fn marks_of_an_earlier_version_are_kept() {
    let mut a = Node::founder("ana");
    let mut b = a.invite("bo");
    b.pull(&a);
    let old = b.note("old", "read in version 1");
    let half = b.note("half", "read");
    a.pull(&b);
    b.reply(half, "not read");
    a.pull(&b);
    let ask = b.write(ask_by("q", &[], Some(NOW)), []);
    let splices = vec![Splice { at: 0, delete: 0, insert: "woven".into() }];
    b.write(Body::Weave(Weave { page: PageKind::Answer, splices }), [ask]);
    a.pull(&b);
    // The same store as version 1 had it.
    let entries = a.everything();
    let Node { place, dir: _dir, store, .. } = a;
    drop(store);
    let mut conn = connection::open_writer(&place.db, None, false).unwrap();
    conn.execute_batch(super::tallies::WITHOUT).unwrap();
    conn.execute_batch(
        "ALTER TABLE entries RENAME TO newer;
         CREATE TABLE entries (
             n INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, l INTEGER NOT NULL,
             seq INTEGER NOT NULL, time INTEGER NOT NULL, class INTEGER NOT NULL, past INTEGER,
             state INTEGER NOT NULL DEFAULT 0, header BLOB NOT NULL, sig BLOB, judged INTEGER
         );
         INSERT INTO entries SELECT n, id, l, seq - 9223372036854775807 - 1, time, class, past, state,
             header, sig, judged FROM newer;
         DROP TABLE newer; DROP TABLE epochs; DELETE FROM meta WHERE key = 'entries';
         ALTER TABLE posts RENAME TO newer;
         CREATE TABLE posts (
             doc INTEGER PRIMARY KEY, n INTEGER NOT NULL UNIQUE, grp INTEGER NOT NULL,
             t INTEGER NOT NULL, text_n INTEGER NOT NULL, author INTEGER NOT NULL, parent INTEGER,
             origin INTEGER, sort INTEGER NOT NULL, print BLOB NOT NULL
         );
         INSERT INTO posts SELECT doc, n, grp, t, text_n, author, parent, origin, sort, print FROM newer;
         DROP TABLE newer;
         CREATE INDEX posts_by_group ON posts (grp, n);
         CREATE INDEX entries_by_log ON entries (l, seq);
         CREATE INDEX entries_of_roster ON entries (n) WHERE class = 0;
         CREATE INDEX entries_set_aside ON entries (state) WHERE state BETWEEN 1 AND 5;",
    )
    .unwrap();
    for entry in &entries {
        let bytes = entry.signed.bytes();
        let header = [&bytes[..2], &bytes[74..]].concat();
        let sql = "UPDATE entries SET header = ?1 WHERE id = ?2";
        assert_eq!(conn.execute(sql, (header, entry.signed.id().as_bytes())).unwrap(), 1);
    }
    conn.execute_batch(
        "DROP TABLE docs; DROP TABLE worth; DROP TABLE credits; DROP TABLE words;
         DROP TABLE page_entries; DROP TABLE page_todo; DROP TABLE pages; DROP TABLE forked_logs;
         DROP INDEX threads_pinned; ALTER TABLE threads DROP COLUMN shown;
         ALTER TABLE threads DROP COLUMN pinned; ALTER TABLE threads DROP COLUMN featured;
         UPDATE entries SET state = 4 WHERE class = 3;
         CREATE TABLE read_marks (grp INTEGER PRIMARY KEY, n INTEGER NOT NULL);
         INSERT INTO read_marks SELECT grp, min(n) FROM posts GROUP BY grp;
         DELETE FROM read_marks WHERE grp = (SELECT max(grp) FROM posts);
         DROP TABLE reads; DROP TABLE reads_ahead; DROP TABLE drafts;
         DROP TABLE draft_files; DROP TABLE attention; DROP TABLE followed;
         DROP TABLE asks; DROP TABLE ask_workers; DROP TABLE log_cuts;
         DROP TABLE side_keys; DROP TABLE side_seals; DROP TABLE fronts; DROP TABLE held;
         DROP TABLE bases; DROP TABLE files; DROP TABLE withdrawals; DROP TABLE file_marks;
         ALTER TABLE entries DROP COLUMN judged; DROP INDEX waiting_by_prev;
         PRAGMA user_version = 1;",
    )
    .unwrap();
    schema::migrate(&mut conn, &place, schema::MIGRATIONS).unwrap();
    drop(conn);
    let store = Store::open(&place).unwrap();
    while store.fold_pending(100).unwrap().left > 0 {}
    assert_eq!(store.check(|_| ()).unwrap().damage, vec![]);
    let ids: Vec<EntryId> = entries.iter().map(|e| e.signed.id()).collect();
    assert_eq!(store.entries(&ids).unwrap().len(), ids.len());
    let unread = |id: &EntryId| store.thread(id).unwrap().unwrap().unread.len();
    assert_eq!((unread(&old), unread(&half), unread(&ask)), (0, 1, 1));
    assert_eq!(store.needs(NOW, 0).unwrap().needs.len(), 1);
    // What version 1 kept unread is read now.
    let page = store.page(&ask, PageKind::Answer).unwrap().unwrap();
    assert_eq!(page.text, "woven");
    assert_eq!(store.state_hash().unwrap(), b.hash());
}

/// Read marks as they should be: which posts were shown, and nothing else.
#[derive(Default)]
struct Model {
    threads: Vec<EntryId>,
    /// Posts of others with their threads.
    posts: BTreeMap<EntryId, EntryId>,
    read: BTreeSet<EntryId>,
}

impl Model {
    fn unread(&self, thread: &EntryId) -> BTreeSet<EntryId> {
        let here = self.posts.iter().filter(|(_, t)| *t == thread).map(|(id, _)| *id);
        here.filter(|id| !self.read.contains(id)).collect()
    }

    fn check(&self, node: &Node) {
        let summaries = node.store.threads(&ThreadFilter::default()).unwrap();
        let mut total = 0;
        for thread in &self.threads {
            let expected = self.unread(thread);
            total += expected.len();
            assert_eq!(node.store.thread(thread).unwrap().unwrap().unread, expected);
            let summary = summaries.iter().find(|s| s.root == *thread).unwrap();
            assert_eq!(summary.unread, expected.len() as u64);
        }
        let unread = ThreadFilter { unread: true, ..ThreadFilter::default() };
        let with_news = self.threads.iter().filter(|t| !self.unread(t).is_empty()).count();
        assert_eq!(node.store.threads(&unread).unwrap().len(), with_news);
        let inbox = node.store.inbox(NOW, 0).unwrap();
        let hidden = inbox.muted.posts + inbox.snoozed.posts;
        let shown: u64 = inbox.threads.iter().map(|item| item.thread.unread).sum();
        assert_eq!((shown + hidden) as usize, total);
        assert_eq!(inbox.unread(), shown);
        assert!(node.store.tallies_hold().unwrap());
        for limit in 1..4 {
            let short = node.store.inbox(NOW, limit).unwrap();
            let (first, rest) = inbox.threads.split_at(limit.min(inbox.threads.len()));
            assert_eq!(short.threads, first);
            let beyond: u64 = rest.iter().map(|item| item.thread.unread).sum();
            assert_eq!(short.more, Hidden { threads: rest.len() as u64, posts: beyond });
            assert_eq!((short.unread(), short.muted), (inbox.unread(), inbox.muted));
            assert_eq!(short.snoozed, inbox.snoozed);
        }
        let heard = summaries.iter().filter(|s| s.stance.watch != Watch::Muted);
        assert_eq!(node.store.unread_posts().unwrap(), heard.map(|s| s.unread).sum::<u64>());
        for item in &inbox.threads {
            let listed: BTreeSet<EntryId> = item.posts.iter().map(|p| p.id).collect();
            assert_eq!(listed, self.unread(&item.thread.root));
        }
    }
}

/// Done when 7: random commands, of which only reading in a thread may change read marks.
#[test]
fn only_reading_in_a_thread_marks() {
    for seed in 0..12 {
        let mut dice = TestRng::new(&format!("marks {seed}"));
        let mut roll = move |n: usize| dice.try_next_u32().unwrap() as usize % n;
        let mut a = Node::founder("ana");
        let mut b = a.invite("bo");
        b.pull(&a);
        let mut model = Model::default();
        let mut by_b: Vec<(EntryId, EntryId)> = Vec::new();
        let mut seen_by_b: Vec<EntryId> = Vec::new();
        for step in 0..90 {
            let any = |roll: &mut dyn FnMut(usize) -> usize, list: &[EntryId]| -> Option<EntryId> {
                (!list.is_empty()).then(|| list[roll(list.len())])
            };
            let thread = any(&mut roll, &model.threads);
            match (roll(20), thread) {
                (0, _) => {
                    let id = b.write(ask_by("ask about convoys", &["radio"], None), []);
                    by_b.push((id, id));
                }
                (1, _) => {
                    let id = b.note("note", "told to @ana");
                    by_b.push((id, id));
                }
                (2..=5, _) => {
                    if let Some(thread) = any(&mut roll, &seen_by_b) {
                        let id = b.reply(thread, "a word");
                        by_b.push((id, thread));
                    }
                }
                (6, _) => {
                    let id = a.note("own", "never new to its author");
                    model.threads.push(id);
                    b.pull(&a);
                    seen_by_b.push(id);
                }
                (7, Some(thread)) => {
                    a.reply(thread, "own reply");
                }
                (8..=10, _) => {
                    a.pull(&b);
                    for (id, thread) in by_b.drain(..) {
                        if id == thread {
                            model.threads.push(id);
                            seen_by_b.push(id);
                        }
                        model.posts.insert(id, thread);
                    }
                }
                (11 | 12, Some(thread)) => {
                    // Reading: what was shown is read, and what comes before marking is not.
                    let view = a.store.thread(&thread).unwrap().unwrap();
                    let shown: Vec<EntryId> = view.thread.posts.iter().map(|p| p.id).collect();
                    if roll(2) == 0 && seen_by_b.contains(&thread) {
                        let late = b.reply(thread, "in between");
                        a.pull(&b);
                        for (id, thread) in by_b.drain(..).chain([(late, thread)]) {
                            if id == thread {
                                model.threads.push(id);
                                seen_by_b.push(id);
                            }
                            model.posts.insert(id, thread);
                        }
                    }
                    let expected =
                        model.unread(&thread).iter().filter(|i| shown.contains(i)).count();
                    let marked = a.store.mark_posts_read(&shown).unwrap();
                    assert_eq!(marked as usize, expected);
                    model.read.extend(shown);
                }
                (13, Some(thread)) => {
                    let watch = [Watch::Normal, Watch::Watched, Watch::Muted][roll(3)];
                    a.store.set_watch(&thread, watch).unwrap();
                }
                (14, Some(thread)) => {
                    let until = [None, Some(NOW - 1), Some(NOW + DAY)][roll(3)];
                    a.store.snooze(&thread, until).unwrap();
                }
                (15, _) => {
                    if roll(2) == 0 {
                        a.store.follow_topic("radio").unwrap();
                    } else {
                        a.store.unfollow_topic("radio").unwrap();
                    }
                }
                (16, Some(thread)) => {
                    a.store.thread(&thread).unwrap();
                    a.store.thread_entries(&thread).unwrap();
                    a.store.needs(NOW, 5).unwrap();
                    a.store.inbox(NOW, 1).unwrap();
                    a.store.outcomes_since(0).unwrap();
                    a.store
                        .search(&SearchQuery {
                            text: "word".into(),
                            limit: 5,
                            ..SearchQuery::default()
                        })
                        .unwrap();
                }
                (17, _) if step % 9 == 0 => {
                    a.store.rebuild(|_| ()).unwrap();
                    a.fold();
                }
                (18, Some(_)) => {
                    let theirs: Vec<EntryId> =
                        model.posts.iter().filter(|(id, t)| id != t).map(|(id, _)| *id).collect();
                    // What its author takes back is nobody's news any more.
                    if let (Some(post), 0) = (any(&mut roll, &theirs), roll(2)) {
                        let thread = model.posts[&post];
                        b.write(Body::Withdraw, [thread, post]);
                        a.pull(&b);
                        for (id, thread) in by_b.drain(..) {
                            if id == thread {
                                model.threads.push(id);
                                seen_by_b.push(id);
                            }
                            model.posts.insert(id, thread);
                        }
                        model.posts.remove(&post);
                    }
                }
                _ => {
                    if roll(12) == 0 {
                        let (inbox, new) = a.store.inbox_to_mark(NOW, 3).unwrap();
                        assert_eq!(inbox, a.store.inbox(NOW, 3).unwrap());
                        a.store.mark_all_read(&new).unwrap();
                        model.read.extend(model.posts.keys());
                    }
                }
            }
            model.check(&a);
        }
        assert!(!model.read.is_empty() && model.posts.len() > 5);
    }
}
