//! Search over small communities.

use lanai_crdt::id::EntryId;
use lanai_crdt::payload::{Ask, Body, Mark, Note, Post, PostRole, Profile, React, Reaction};

use super::*;
use crate::store::connection::Durability;
use crate::store::tests::Node;

fn ask(title: &str, situation: &str, tags: &[&str]) -> Body {
    Body::Ask(Ask {
        title: title.into(),
        situation: situation.into(),
        decide: None,
        need_by: None,
        tried: None,
        helps: None,
        tags: tags.iter().map(|&t| t.into()).collect(),
        origin: None,
    })
}

fn post(role: PostRole, text: &str) -> Body {
    Body::Post(Post { role, text: text.into(), origin: None, met: None })
}

fn query(text: &str) -> SearchQuery {
    SearchQuery { text: text.into(), limit: 20, ..SearchQuery::default() }
}

fn best(text: &str) -> SearchQuery {
    SearchQuery { order: SearchOrder::Best, ..query(text) }
}

fn posts(node: &Node, query: &SearchQuery) -> Vec<EntryId> {
    node.store.search(query).unwrap().hits.iter().map(|h| h.post).collect()
}

fn number(node: &Node, thread: &EntryId) -> i64 {
    let found = node.store.inner.connections.read(|c| rank::thread_number(c, thread.as_bytes()));
    found.unwrap().unwrap()
}

#[test]
fn filters_narrow_what_is_found() {
    let mut a = Node::founder("ana");
    let ford = a.write(ask("The ford", "Can it take trailers?", &["Roads"]), []);
    let answer = a.write(post(PostRole::Reply, "Trailers yes."), [ford, ford]);
    let note = a.note("Trailers", "All about them, and the ford.");
    assert_eq!(posts(&a, &query("trailers")), [note, answer, ford]);
    assert_eq!(posts(&a, &query("trailers tag:roads")), [answer, ford]);
    assert_eq!(posts(&a, &query("trailers in:title")), [note]);
    assert_eq!(posts(&a, &query("trailers state:open")), [answer, ford]);
    assert_eq!(posts(&a, &query("trailers state:outcome")), []);
    assert_eq!(posts(&a, &query("tag:roads")), [answer, ford], "a filter alone lists");
    assert_eq!(posts(&a, &query("trailers by:ANA")).len(), 3);
    assert_eq!(posts(&a, &query("trailers by:bob")), []);
    let at = SearchQuery { since_ms: Some(a.now), ..query("trailers") };
    assert_eq!(posts(&a, &at), [note]);
    let before = SearchQuery { until_ms: Some(a.now), ..query("trailers") };
    assert_eq!(posts(&a, &before), [answer, ford]);
    let odd = a.store.search(&query("trailers since:whenever")).unwrap();
    assert_eq!((odd.hits.len(), odd.ignored), (3, vec!["since:whenever".to_owned()]));
    assert_eq!(odd.count, Some(3));
    a.write(post(PostRole::Outcome, "It went well."), [ford, answer]);
    assert_eq!(posts(&a, &query("trailers state:outcome")), [answer, ford]);
}

#[test]
fn a_typo_is_forgiven_and_said() {
    let mut a = Node::founder("ana");
    let convoy = a.note("Night convoy", "Who drives the trailer?");
    let found = a.store.search(&query("convpy tralier")).unwrap();
    assert_eq!(found.hits[0].post, convoy);
    let corrected: Vec<(&str, &str)> =
        found.corrected.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    assert_eq!(corrected, [("convpy", "convoy"), ("tralier", "trailer")]);
    assert_eq!(found.hits[0].title_matches.first(), Some(&(6..12)));
    assert!(a.store.search(&query("zeppelin")).unwrap().hits.is_empty());
    // Folding everything anew makes the same vocabulary.
    a.store.rebuild(|_| ()).unwrap();
    assert_eq!(a.store.search(&query("convpy")).unwrap().hits.len(), 1);
}

#[test]
fn the_best_of_each_thread_comes_first_and_outcomes_before_others() {
    let mut a = Node::founder("ana");
    let ford = a.note("Crossing", "The ford is deep.");
    a.write(post(PostRole::Reply, "That ford again."), [ford, ford]);
    let outcome = a.write(post(PostRole::Outcome, "The ford held."), [ford, ford]);
    let other = a.note("Elsewhere", "Another ford is deep too.");
    let found = a.store.search(&best("ford")).unwrap();
    let hits: Vec<(EntryId, HitKind, usize)> =
        found.hits.iter().map(|h| (h.post, h.kind, h.more)).collect();
    assert_eq!(hits, [(outcome, HitKind::Outcome, 2), (other, HitKind::Post, 0)]);
    let some = a.store.search(&best("ford elsewhere zeppelin")).unwrap();
    assert!(!some.hits.is_empty() && some.hits.iter().all(|h| h.partial));
}

#[test]
fn pages_and_people_are_found() {
    let mut a = Node::founder("ana");
    let thread = a.write(ask("The ford", "How deep?", &[]), []);
    let t = number(&a, &thread);
    let page = |text: Option<&str>| {
        let written = a.store.inner.write(Durability::Normal, 0, |ctx| match text {
            Some(text) => ctx.index_page(t, DocKind::Answer, 1_800_000_000_000, "The ford", text),
            None => ctx.unindex_page(t, DocKind::Answer),
        });
        written.unwrap();
    };
    page(Some("Knee deep, says the gauge."));
    page(Some("Hip deep, says the gauge."));
    let found = a.store.search(&best("gauge")).unwrap();
    assert_eq!(found.hits.len(), 1);
    assert_eq!((found.hits[0].kind, found.hits[0].thread), (HitKind::AnswerPage, thread));
    assert_eq!(found.hits[0].snippet, "Hip deep, says the gauge.");
    assert!(a.store.search(&query("knee")).unwrap().hits.is_empty());
    page(None);
    assert!(a.store.search(&query("gauge")).unwrap().hits.is_empty());

    let profile = Profile {
        name: "Ana Ruiz".into(),
        ask_about: Some("river crossings".into()),
        ..Profile::default()
    };
    let before = a.store.profile_entries(&own(&a)).unwrap();
    a.write(Body::Profile(profile), [before[0].id]);
    let found = a.store.search(&query("crossings")).unwrap();
    assert_eq!((found.hits[0].kind, found.hits[0].title.as_str()), (HitKind::Person, "Ana Ruiz"));
    let who = a.store.people_for("a river crossing", 5).unwrap();
    assert_eq!(who[0].who, Who::Member(own(&a)));
    assert_eq!(who[0].reasons, [Grounds::Profile("ask me about", "river crossings".into())]);
}

fn own(node: &Node) -> MemberId {
    node.store.roster().unwrap().standing(&node.store.own_device()).unwrap().member
}

#[test]
fn earlier_threads_and_people_are_named_with_reasons() {
    let mut a = Node::founder("ana");
    let ford = a.write(ask("Can the ford take a trailer?", "The gauge is broken.", &[]), []);
    let answer = a.write(post(PostRole::Reply, "Measure it with poles first."), [ford, ford]);
    a.write(Body::Mark(Mark::Answer(true)), [ford, answer]);
    a.write(Body::React(React { reaction: Reaction::Helped, on: true }), [ford, answer]);
    a.note("Cooking", "Beans for forty.");
    let found = a.store.similar("Is the ford passable with a loaded trailer?", 5).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].thread, found[0].has_answer, found[0].has_outcome), (ford, true, false));
    assert!(found[0].words.contains(&"ford".to_owned()), "{:?}", found[0].words);
    assert!(a.store.similar("Quantum gravity?", 5).unwrap().is_empty());
    assert!(a.store.similar("", 5).unwrap().is_empty());

    let who = a.store.people_for("poles", 5).unwrap();
    let named = Named { post: answer, title: "Can the ford take a trailer?".into() };
    assert_eq!(who.len(), 1);
    assert_eq!(who[0].reasons, [Grounds::Answers(1, named.clone()), Grounds::Helped(1, named)]);
    assert!(a.store.people_for("gauge", 5).unwrap().is_empty(), "asking shows no knowledge");
    let t = number(&a, &ford);
    let m = 1;
    a.store
        .inner
        .write(Durability::Normal, 0, |ctx| {
            ctx.index_page(t, DocKind::Answer, 1_800_000_000_000, "x", "Soundings by hand.")?;
            ctx.set_credits(t, &[(m, 40)])
        })
        .unwrap();
    let who = a.store.people_for("soundings", 5).unwrap();
    assert!(matches!(who[0].reasons[0], Grounds::Pages(1, _)), "{who:?}");
}

#[test]
fn what_a_question_is_about_outweighs_how_it_came_up() {
    let mut a = Node::founder("ana");
    let ford = a.write(ask("Depth of the ford", "Is it passable for trailers?", &[]), []);
    a.note("Away", "I will talk about my report next week.");
    for n in 0..40 {
        a.note(&format!("Day {n}"), "Nothing happened.");
    }
    let draft = "Is the ford passable?\n\nI have to talk about my report next week.";
    let found = a.store.similar(draft, 5).unwrap();
    assert_eq!(found.first().map(|s| s.thread), Some(ford), "{found:?}");
    let turned = "Do I talk about my report next week?\n\nThe ford may be passable.";
    let found = a.store.similar(turned, 5).unwrap();
    assert_eq!(found.first().map(|s| s.title.as_str()), Some("Away"), "{found:?}");
}

#[test]
fn notes_of_one_word_are_found_by_common_words_too() {
    let mut a = Node::founder("ana");
    for n in 0..60 {
        a.write(
            Body::Note(Note {
                title: format!("Note {n}"),
                text: "the same".into(),
                tags: vec![],
                origin: None,
            }),
            [],
        );
    }
    assert_eq!(posts(&a, &best("the same")).len(), 20);
    assert_eq!(a.store.similar("the same note", 5).unwrap().len(), 5);
}

#[test]
fn the_index_is_merged_when_nothing_else_is_to_be_done() {
    let mut a = Node::founder("ana");
    let thread = a.note("crossing", "the first");
    let mut ids: Vec<EntryId> =
        (0..12).map(|i| a.reply(thread, &format!("ford number {i}"))).collect();
    ids.sort_unstable();
    let found = |node: &Node| {
        let mut found = posts(node, &query("ford"));
        found.sort_unstable();
        found
    };
    let segments = |node: &Node| -> i64 {
        let count = "SELECT count(DISTINCT id >> 37) FROM fts_data WHERE id > 10";
        let read = |c: &rusqlite::Connection| Ok(c.query_row(count, [], |r| r.get(0))?);
        node.store.inner.connections.read(read).unwrap()
    };
    assert!(segments(&a) > 12, "every commit makes one");
    let mut steps = 0;
    while a.store.merge_texts().unwrap() {
        steps += 1;
        assert!(steps < 100);
    }
    assert!(steps > 0);
    assert!(segments(&a) <= 4, "{}", segments(&a));
    assert_eq!(found(&a), ids);
    a.assert_clean();
    a.store.rebuild(|_| ()).unwrap();
    assert_eq!(found(&a), ids);
    let before = segments(&a);
    for i in 0..9 {
        a.reply(thread, &format!("later ford {i}"));
    }
    assert_eq!(segments(&a), before + 9, "made anew it does not merge by itself either");
}
