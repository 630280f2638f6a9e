//! Pages in real stores.

use lanai_crdt::page::Status;
use lanai_crdt::payload::{Ask, PageKind, Splice, Weave};

use super::super::{NewRef, PageEdit, PageError, PageView};
use super::*;

fn ask(node: &mut Node, title: &str, situation: &str) -> EntryId {
    let ask = Ask {
        title: title.into(),
        situation: situation.into(),
        decide: None,
        need_by: None,
        tried: None,
        helps: None,
        tags: Vec::new(),
        origin: None,
    };
    node.write(Body::Ask(ask), [])
}

fn change(
    node: &mut Node,
    thread: EntryId,
    kind: PageKind,
    edit: PageEdit,
) -> Result<EntryId, StoreError> {
    node.now += 1;
    node.store.write_page(&node.author, node.now, &mut node.rng, &thread, kind, edit)
}

/// Makes `text` of a page as this node sees it.
fn weave(node: &mut Node, thread: EntryId, kind: PageKind, text: &str) -> EntryId {
    let base = page(node, thread, kind).heads;
    change(node, thread, kind, PageEdit::Text { base, text: text.into() }).unwrap()
}

fn page(node: &Node, thread: EntryId, kind: PageKind) -> PageView {
    node.store.page(&thread, kind).unwrap().unwrap()
}

fn blame(node: &Node, thread: EntryId, kind: PageKind) -> Vec<(u32, String)> {
    let view = page(node, thread, kind);
    let name = |s: &EntryId| view.sources[s].name.clone().unwrap();
    view.spans.iter().map(|s| (s.length, name(&s.source))).collect()
}

fn refusal(result: Result<EntryId, StoreError>) -> PageError {
    match result.unwrap_err() {
        StoreError::Page(error) => error,
        other => panic!("{other}"),
    }
}

#[test]
fn an_answer_is_woven_by_members_who_were_split() {
    let mut a = Node::founder("ana");
    let thread = ask(&mut a, "Convoy", "How do I brief one?");
    let mut b = a.invite("bo");
    let mut c = a.invite("cy");
    b.pull(&a);
    c.pull(&a);
    assert_eq!(page(&b, thread, PageKind::Answer).text, "");
    weave(&mut b, thread, PageKind::Answer, "Walk the route.");
    weave(&mut b, thread, PageKind::Answer, "Walk the route on a map.");
    weave(&mut c, thread, PageKind::Answer, "Rehearse halts.");
    a.pull(&b);
    a.pull(&c);
    weave(&mut a, thread, PageKind::Answer, "Walk the route on a map. Rehearse halts.");
    for (to, from) in [(0, 1), (1, 0), (2, 0), (1, 2), (2, 1)] {
        let nodes = [&a, &b, &c];
        nodes[to].pull(nodes[from]);
    }
    b.pull(&a);
    assert_eq!(a.hash(), b.hash());
    assert_eq!(a.hash(), c.hash());
    let seen = page(&a, thread, PageKind::Answer);
    assert_eq!((seen.weaves, seen.left, seen.heads.len()), (4, 0, 1));
    assert_eq!(seen.text, "Walk the route on a map. Rehearse halts.");
    for node in [&b, &c] {
        assert_eq!(page(node, thread, PageKind::Answer), seen);
    }
    let log = c.store.page_log(&thread, PageKind::Answer).unwrap().unwrap();
    assert!(log.entries.iter().all(|e| e.status == Status::Applied) && log.entries.len() == 4);
    a.assert_clean();
}

#[test]
fn the_question_is_refined_by_its_asker_and_proposed_by_others() {
    let mut a = Node::founder("ana");
    let mut b = a.invite("bo");
    let mut c = a.invite("cy");
    b.pull(&a);
    let thread = ask(&mut b, "Trucks", "How many?");
    a.pull(&b);
    c.pull(&b);
    let kind = PageKind::Question;
    assert_eq!(page(&c, thread, kind).text, "Trucks\n\nHow many?");
    weave(&mut b, thread, kind, "Trucks for 40 people\n\nHow many?");
    c.pull(&b);
    let title = |n: &Node| {
        n.store.threads(&super::super::ThreadFilter::default()).unwrap()[0].title.clone()
    };
    assert_eq!(title(&c), "Trucks for 40 people");
    let base = page(&c, thread, kind).heads;
    let text = "Trucks for 40 people\n\nHow many, and which?".to_string();
    let edit = PageEdit::Text { base: base.clone(), text: text.clone() };
    assert_eq!(refusal(change(&mut c, thread, kind, edit)), PageError::NotEntitled);
    let edit = PageEdit::Propose { base, text: text.clone(), reason: Some("which?".into()) };
    let proposal = change(&mut c, thread, kind, edit).unwrap();
    assert_eq!(page(&c, thread, kind).text, "Trucks for 40 people\n\nHow many?");
    b.pull(&c);
    let seen = page(&b, thread, kind);
    assert_eq!(seen.proposals.len(), 1);
    assert_eq!(seen.proposals[0].text.as_ref(), Some(&text));
    assert_eq!(seen.sources[&proposal].name.as_deref(), Some("cy"));
    assert_eq!(
        refusal(change(&mut c, thread, kind, PageEdit::Take(proposal))),
        PageError::NotEntitled
    );
    change(&mut b, thread, kind, PageEdit::Take(proposal)).unwrap();
    assert_eq!(page(&b, thread, kind).text, text);
    assert_eq!(page(&b, thread, kind).proposals, []);
    assert_eq!(
        refusal(change(&mut b, thread, kind, PageEdit::Take(proposal))),
        PageError::NoProposal
    );
    assert_eq!(
        blame(&b, thread, kind).iter().map(|(_, n)| &n[..]).collect::<Vec<_>>(),
        ["bo", "bo", "bo", "cy", "bo"]
    );
    for node in [&a, &c] {
        node.pull(&b);
        node.pull(&c);
    }
    b.pull(&a);
    assert_eq!(a.hash(), b.hash());
    // A fold from nothing gives the same.
    let before = page(&a, thread, kind);
    a.store.rebuild(|_| ()).unwrap();
    a.fold();
    assert_eq!(page(&a, thread, kind), before);
    assert_eq!(a.hash(), b.hash());
    assert_eq!(title(&a), "Trucks for 40 people");
}

#[test]
fn two_editors_of_one_device_keep_both_changes() {
    let mut a = Node::founder("ana");
    let thread = a.note("Packing list", "what to take");
    let kind = PageKind::Answer;
    weave(&mut a, thread, kind, "Water. Maps. Rope.");
    let base = page(&a, thread, kind).heads;
    let first = PageEdit::Text { base: base.clone(), text: "Water. Maps. Rope. Radio.".into() };
    let second = PageEdit::Text { base, text: "Clean water. Maps. Rope.".into() };
    change(&mut a, thread, kind, first).unwrap();
    change(&mut a, thread, kind, second).unwrap();
    assert_eq!(page(&a, thread, kind).text, "Clean water. Maps. Rope. Radio.");
    let log = a.store.page_log(&thread, kind).unwrap().unwrap();
    assert!(log.entries.iter().all(|e| e.status == Status::Applied));
    let same = PageEdit::Text {
        base: page(&a, thread, kind).heads,
        text: "Clean water. Maps. Rope. Radio.".into(),
    };
    assert_eq!(refusal(change(&mut a, thread, kind, same)), PageError::Unchanged);
    let question = PageEdit::Text { base: Vec::new(), text: "x".into() };
    let refused = change(&mut a, thread, PageKind::Question, question);
    assert_eq!(refusal(refused), PageError::NoPage);
    let long = PageEdit::Text { base: Vec::new(), text: "x".repeat(64_001) };
    assert_eq!(refusal(change(&mut a, thread, kind, long)), PageError::TooLong(64_001));
}

#[test]
fn a_page_survives_the_loss_or_damage_of_its_cache() {
    let mut a = Node::founder("ana");
    let thread = a.note("n", "t");
    let kind = PageKind::Answer;
    weave(&mut a, thread, kind, "one");
    let db = rusqlite::Connection::open(&a.place.db).unwrap();
    for damage in ["NULL", "x'00'", "substr(cache, 1, 100)", "zeroblob(5000)"] {
        let changed = db.execute(&format!("UPDATE pages SET cache = {damage}"), []).unwrap();
        assert_eq!(changed, 1);
        let text = page(&a, thread, kind).text;
        weave(&mut a, thread, kind, &format!("{text} more"));
    }
    assert_eq!(page(&a, thread, kind).text, "one more more more more");
    assert_eq!(page(&a, thread, kind).weaves, 5);
}

#[test]
fn a_flood_of_weaves_is_applied_in_steps_and_readers_do_not_wait() {
    let mut a = Node::founder("ana");
    let thread = a.note("n", "t");
    let mut b = a.invite("bo");
    b.pull(&a);
    let kind = PageKind::Answer;
    let mut text = String::new();
    let mut weaves = Vec::new();
    for n in 0..300usize {
        let insert = format!("line {n}\n");
        let at = u32::try_from(text.chars().count()).unwrap();
        text.push_str(&insert);
        let splices = vec![Splice { at, delete: 0, insert }];
        let mut new = NewEntry::new(Body::Weave(Weave { page: kind, splices }), [thread]);
        new.refs.extend(n.checked_sub(1).map(NewRef::Batch));
        weaves.push(new);
    }
    b.store.append(&b.author, b.now, &mut b.rng, weaves).unwrap();
    b.fold();
    a.ingest(b.everything());
    a.store.open_seals(&a.author, a.now).unwrap();
    let first = page(&a, thread, kind);
    assert!(first.left > 0 && first.text.len() < text.len(), "{}", first.left);
    while a.store.fold_pending(1000).unwrap().left > 0 {}
    let whole = page(&a, thread, kind);
    assert_eq!((whole.left, &whole.text), (0, &text));
    assert_eq!(a.hash(), b.hash());
}

#[test]
fn a_lead_starts_a_page_afresh() {
    let mut a = Node::founder("ana");
    let thread = a.note("n", "t");
    let mut b = a.invite("bo");
    b.pull(&a);
    let kind = PageKind::Answer;
    weave(&mut b, thread, kind, "one");
    weave(&mut b, thread, kind, "one two");
    a.pull(&b);
    weave(&mut b, thread, kind, "one two late");
    assert_eq!(refusal(change(&mut b, thread, kind, PageEdit::Renew)), PageError::NotLead);
    let fresh = change(&mut a, thread, kind, PageEdit::Renew).unwrap();
    weave(&mut a, thread, kind, "one two three");
    b.pull(&a);
    a.pull(&b);
    let seen = page(&b, thread, kind);
    assert_eq!((seen.text.as_str(), seen.generation), ("one two three", Some(fresh)));
    assert_eq!(seen.aside.earlier, 3);
    assert_eq!(blame(&b, thread, kind), [(3, "bo".into()), (4, "bo".into()), (6, "ana".into())]);
    weave(&mut b, thread, kind, "one two three four");
    a.pull(&b);
    assert_eq!(page(&a, thread, kind).text, "one two three four");
    assert_eq!(a.hash(), b.hash());
}
