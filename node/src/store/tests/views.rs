//! What people look at.

use super::*;
use lanai_crdt::id::IdPrefix;
use lanai_crdt::payload::{Ask, Edit, Mark, ThreadState};
use lanai_crdt::thread::ThreadKind;

fn ask(title: &str, tags: &[&str]) -> Body {
    Body::Ask(Ask {
        title: title.into(),
        situation: "situation".into(),
        decide: Some("whether to go".into()),
        need_by: None,
        tried: None,
        helps: None,
        tags: tags.iter().map(|t| t.to_string()).collect(),
        origin: None,
    })
}

#[test]
fn threads_are_listed_and_filtered() {
    let mut a = Node::founder("ana");
    let first = a.write(ask("first", &["Convoy", "night"]), []);
    let second = a.note("second", "x");
    let third = a.write(ask("third", &["convoy"]), []);
    a.write(Body::Mark(Mark::State(ThreadState::Answered)), [third, third]);
    a.reply(first, "late answer");
    let list = |filter: ThreadFilter| -> Vec<EntryId> {
        a.store.threads(&filter).unwrap().iter().map(|t| t.root).collect()
    };
    let all = ThreadFilter::default();
    assert_eq!(list(all.clone()), [first, third, second]);
    assert_eq!(list(ThreadFilter { limit: 1, ..all.clone() }), [first]);
    assert_eq!(list(ThreadFilter { kind: Some(ThreadKind::Note), ..all.clone() }), [second]);
    assert_eq!(list(ThreadFilter { tag: Some("CONVOY".into()), ..all.clone() }), [first, third]);
    assert_eq!(list(ThreadFilter { states: vec![ThreadState::Answered], ..all.clone() }), [third]);
    let open = vec![ThreadState::Open, ThreadState::Working];
    assert_eq!(list(ThreadFilter { states: open, ..all.clone() }), [first]);
    assert_eq!(list(ThreadFilter { unread: true, ..all.clone() }), []);
    let me = a.store.own_member().unwrap();
    assert_eq!(list(ThreadFilter { author: me, ..all }).len(), 3);
    let summary = &a.store.threads(&ThreadFilter::default()).unwrap()[0];
    assert_eq!((summary.title.as_str(), summary.posts), ("first", 2));
    assert_eq!(summary.tags, ["convoy", "night"]);
    assert_eq!(summary.author_name.as_deref(), Some("ana"));
}

#[test]
fn the_inbox_tells_what_is_for_me() {
    let mut a = Node::founder("ana");
    let mine = a.note("mine", "x");
    let mut b = a.invite("bo");
    b.pull(&a);
    let theirs = b.note("theirs", "y");
    b.reply(mine, "for ana");
    a.pull(&b);
    let listed = |a: &Node| -> Vec<(Rank, EntryId)> {
        let inbox = a.store.inbox(NOW, 0).unwrap();
        inbox.threads.iter().map(|item| (item.rank, item.thread.root)).collect()
    };
    let read = |a: &Node, thread: &EntryId| {
        let view = a.store.thread(thread).unwrap().unwrap();
        let shown: Vec<EntryId> = view.thread.posts.iter().map(|post| post.id).collect();
        a.store.mark_posts_read(&shown).unwrap()
    };
    assert_eq!(listed(&a), [(Rank::ForMe, mine), (Rank::Rest, theirs)]);
    let inbox = a.store.inbox(NOW, 0).unwrap();
    assert_eq!(inbox.threads[0].posts[0].author_name.as_deref(), Some("bo"));
    assert_eq!(inbox.threads[0].posts[0].for_me, Some(ForMe::Reply));
    assert_eq!(a.store.thread(&mine).unwrap().unwrap().unread.len(), 1);
    assert_eq!(read(&a, &mine), 1);
    assert_eq!(read(&a, &mine), 0);
    assert!(a.store.thread(&mine).unwrap().unwrap().unread.is_empty());
    assert_eq!(listed(&a), [(Rank::Rest, theirs)]);
    // An answer to my post in somebody else's thread is for me.
    let my_post = a.reply(theirs, "mine too");
    b.pull(&a);
    b.write(post("to ana"), [theirs, my_post]);
    a.pull(&b);
    assert_eq!(listed(&a), [(Rank::ForMe, theirs)]);
    let inbox = a.store.inbox(NOW, 0).unwrap();
    let posts: Vec<Option<ForMe>> = inbox.threads[0].posts.iter().map(|p| p.for_me).collect();
    assert_eq!(posts, [None, Some(ForMe::Reply)]);
    let (same, new) = a.store.inbox_to_mark(NOW, 0).unwrap();
    assert_eq!(same, inbox);
    assert_eq!(a.store.mark_all_read(&new).unwrap(), 2);
    assert!(a.store.inbox(NOW, 0).unwrap().is_empty());
    // Marks are local: no hash changes, and a rebuild keeps them.
    assert_eq!(a.hash(), b.hash());
    a.store.rebuild(|_| ()).unwrap();
    a.fold();
    assert!(a.store.inbox(NOW, 0).unwrap().is_empty());
    // An imported archive is nobody's news.
    let old = Body::Note(Note {
        title: "old".into(),
        text: "archive".into(),
        tags: vec![],
        origin: origin("m", "<1@x>"),
    });
    b.write(old, []);
    a.pull(&b);
    assert!(a.store.inbox(NOW, 0).unwrap().is_empty());
    assert_eq!(a.store.threads(&ThreadFilter::default()).unwrap().len(), 3);
}

#[test]
fn ids_mean_threads_posts_and_members() {
    let mut a = Node::founder("ana");
    let thread = a.note("title", "x");
    let answer = a.reply(thread, "y");
    let edit = a.write(Body::Edit(Edit { text: "z".into() }), [thread, answer]);
    let find = |text: &str| a.store.resolve(&IdPrefix::parse(text).unwrap()).unwrap();
    let one = |id: EntryId| -> Found {
        let found = find(&id.full());
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].entry(), id);
        found[0].found.clone()
    };
    assert_eq!(one(thread), Found::Thread { root: thread, title: "title".into() });
    assert_eq!(one(answer), Found::Post { thread, title: "title".into() });
    assert_eq!(one(edit), Found::Entry);
    let me = a.store.own_member().unwrap().unwrap();
    let found = find(&me.short());
    assert_eq!(found[0].found, Found::Member { member: me, name: Some("ana".into()) });
    assert_eq!(find("zzzzzzzzzzzz"), vec![]);
    // Any entry of a thread leads to it.
    for id in [thread, answer, edit] {
        assert_eq!(a.store.thread(&id).unwrap().unwrap().thread.root, thread);
    }
    assert!(a.store.thread(&EntryId::new([1; 32])).unwrap().is_none());
    // Somebody who names a post as if it were a thread changes nothing about where it belongs.
    a.reply(answer, "misplaced");
    assert_eq!(a.store.thread(&answer).unwrap().unwrap().thread.root, thread);
    let info = a.store.entry(&edit).unwrap().unwrap();
    assert_eq!((info.body, info.aside), (Some(Body::Edit(Edit { text: "z".into() })), None));
}

#[test]
fn search_finds_words_phrases_and_authors_as_they_read_now() {
    let mut a = Node::founder("ana");
    let thread = a.note("Convoy briefing", "How do you brief a night convoy in the rain?");
    let answer = a.reply(thread, "With a sand table. Café is open.");
    let old = Body::Note(Note {
        title: "Archive".into(),
        text: "convoy notes of long ago".into(),
        tags: vec![],
        origin: origin("Sgt. Pepper", "<9@x>"),
    });
    let old = a.write(old, []);
    let search = |text: &str, author: Option<&str>, order| -> Vec<EntryId> {
        let query = SearchQuery {
            text: text.into(),
            author: author.map(String::from),
            order,
            limit: 10,
            ..SearchQuery::default()
        };
        a.store.search(&query).unwrap().hits.iter().map(|h| h.post).collect()
    };
    let newest = SearchOrder::Newest;
    assert_eq!(search("convoys", None, newest), [thread, old], "the archive's date is older");
    assert_eq!(search("convoy", None, SearchOrder::Best).len(), 2);
    assert_eq!(search("\"night convoy\"", None, newest), [thread]);
    assert_eq!(search("\"convoy night\"", None, newest), []);
    assert_eq!(search("convoy -rain", None, newest), [old]);
    assert_eq!(search("cafe", None, newest), [answer]);
    assert_eq!(search("conv* brief*", None, newest), [thread]);
    assert_eq!(search("convoy", Some("pepper"), newest), [old]);
    assert_eq!(search("convoy", Some("ANA"), newest), [thread]);
    assert_eq!(search("convoy", Some("nobody"), newest), []);
    let hit = a
        .store
        .search(&SearchQuery { text: "rain".into(), limit: 1, ..SearchQuery::default() })
        .unwrap();
    assert!(hit.hits[0].snippet.contains("rain"));
    assert_eq!((hit.hits[0].title.as_str(), hit.hits[0].thread), ("Convoy briefing", thread));

    a.write(Body::Edit(Edit { text: "With slides.".into() }), [thread, answer]);
    let search = |text: &str| -> Vec<SearchHit> {
        let query = SearchQuery { text: text.into(), limit: 10, ..SearchQuery::default() };
        a.store.search(&query).unwrap().hits
    };
    assert_eq!(search("sand"), vec![]);
    assert_eq!(search("slides")[0].snippet, "With slides.");
    a.write(Body::Withdraw, [thread, answer]);
    let search = |text: &str| -> usize {
        let query = SearchQuery { text: text.into(), limit: 10, ..SearchQuery::default() };
        a.store.search(&query).unwrap().hits.len()
    };
    assert_eq!(search("slides"), 0);
    assert_eq!(search("decide"), 0);
    a.assert_clean();
}

#[test]
fn no_input_is_a_syntax_error() {
    let mut a = Node::founder("ana");
    a.note("quote", "a \"quoted\" word; DROP TABLE posts; -- and NEAR(x y)");
    let hostile = [
        "\"",
        "\"\"\"",
        "'",
        "''; DROP TABLE entries; --",
        "NEAR(",
        "a NEAR/2 b",
        "title:",
        "-",
        "^a",
        "a*b",
        "*",
        "(a",
        "a)",
        "{a b}:c",
        "AND",
        "OR NOT",
        "a AND",
        "\u{0}",
        "a\u{0}b",
        "+",
        "a + b",
        ":",
        "\\",
        "%",
        "_",
        "\u{202e}",
        "🙂",
        "\"🙂",
        "col : \"x\" *",
        "-\"a\" -b",
        "a OR b",
        "NOT",
        "fts",
        "rowid:1",
        &"x ".repeat(5_000),
        &"\"".repeat(999),
        &"é".repeat(3_000),
    ];
    for text in hostile {
        for order in [SearchOrder::Newest, SearchOrder::Best] {
            for author in [None, Some(text.to_string())] {
                let query = SearchQuery {
                    text: text.into(),
                    author,
                    order,
                    limit: 3,
                    ..SearchQuery::default()
                };
                a.store.search(&query).unwrap_or_else(|e| panic!("{text:?}: {e}"));
            }
        }
    }
    let query = SearchQuery { text: "drop table".into(), limit: 3, ..SearchQuery::default() };
    assert_eq!(a.store.search(&query).unwrap().hits.len(), 1);
}

#[test]
fn imports_of_one_archive_by_two_members_are_one_thread() {
    let mut a = Node::founder("ana");
    let mut b = a.invite("bo");
    let root = Body::Note(Note {
        title: "old".into(),
        text: "text".into(),
        tags: vec![],
        origin: origin("m-1", "<1@x>"),
    });
    let reply = Body::Post(Post {
        role: PostRole::Reply,
        text: "re".into(),
        origin: origin("m-2", "<2@x>"),
        met: None,
    });
    let in_a = a.write(root.clone(), []);
    a.write(reply.clone(), [in_a]);
    assert_eq!(a.store.find_import(&root).unwrap().unwrap(), (in_a, in_a));
    assert_eq!(a.store.find_message("<2@x>").unwrap()[0].1, in_a);
    assert_eq!(a.store.find_message("<3@x>").unwrap(), vec![]);
    let in_b = b.write(root, []);
    b.write(reply, [in_b]);
    b.reply(in_b, "by bo");
    a.pull(&b);
    b.pull(&a);
    assert_eq!(a.hash(), b.hash());
    for node in [&a, &b] {
        assert_eq!(node.store.threads(&ThreadFilter::default()).unwrap().len(), 1);
        assert_eq!(node.store.stats().unwrap().posts, 3);
        assert_eq!(node.texts(&in_a), node.texts(&in_b));
        assert_eq!(node.texts(&in_a), ["text", "re", "by bo"]);
        node.assert_clean();
    }
    // A read mark of one name holds for the other.
    assert_eq!(a.store.thread(&in_b).unwrap().unwrap().unread.len(), 1);
    let shown: Vec<EntryId> = a.store.thread(&in_a).unwrap().unwrap().unread.into_iter().collect();
    a.store.mark_posts_read(&shown).unwrap();
    assert!(a.store.thread(&in_b).unwrap().unwrap().unread.is_empty());
    let prefix = |id: &EntryId| IdPrefix::parse(&id.full()).unwrap();
    let canonical = in_a.min(in_b);
    for id in [in_a, in_b] {
        let found = a.store.resolve(&prefix(&id)).unwrap();
        assert_eq!(found[0].found, Found::Thread { root: canonical, title: "old".into() });
    }
}

#[test]
fn withdrawing_an_imported_root_splits_it_off_again() {
    let mut a = Node::founder("ana");
    let mut b = a.invite("bo");
    let root = Body::Note(Note {
        title: "old".into(),
        text: "text".into(),
        tags: vec![],
        origin: origin("m-1", "<1@x>"),
    });
    let in_a = a.write(root.clone(), []);
    let in_b = b.write(root, []);
    a.pull(&b);
    a.write(Body::Withdraw, [in_a, in_a]);
    b.pull(&a);
    a.pull(&b);
    assert_eq!(a.hash(), b.hash());
    assert_eq!(a.store.threads(&ThreadFilter::default()).unwrap().len(), 2);
    assert_eq!(a.texts(&in_b), ["text"]);
    assert_eq!(a.texts(&in_a), ["(withdrawn)"]);
    a.assert_clean();
}

#[test]
fn reading_folds_what_waits_for_it() {
    let mut a = Node::founder("ana");
    let thread = a.note("t", "root");
    let b = a.invite("bo");
    a.reply(thread, "later");
    b.ingest(a.everything());
    b.store.open_seals(&b.author, b.now).unwrap();
    assert!(b.store.stats().unwrap().unfolded > 0);
    assert_eq!(b.texts(&thread), ["root", "later"]);
}

#[test]
fn many_posts_of_one_moment_find_a_place_in_the_index() {
    let mut a = Node::founder("ana");
    let new = (0..3_000)
        .map(|i| {
            let origin = Origin { plausible: -5, ..origin("m", &format!("<{i}@x>")).unwrap() };
            let body = Body::Note(Note {
                title: format!("t{i}"),
                text: "same".into(),
                tags: vec![],
                origin: Some(origin),
            });
            NewEntry::new(body, [])
        })
        .collect();
    a.store.append(&a.author, NOW, &mut a.rng, new).unwrap();
    assert_eq!(a.store.stats().unwrap().posts, 3_000);
    let query = SearchQuery { text: "same".into(), limit: 5_000, ..SearchQuery::default() };
    assert_eq!(a.store.search(&query).unwrap().hits.len(), 3_000);
}
