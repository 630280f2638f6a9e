//! Threads put in order by a lead while others reply off-line.

use lanai_crdt::id::IdPrefix;
use lanai_crdt::payload::{
    Ask, Edit, Hide, Mark, Pin, Tag, Tend, ThreadAct, ThreadOp, ThreadState,
};
use lanai_crdt::thread::{PostView, RefsError, ThreadKind, place_of, refs_for};

use super::*;

fn op(act: ThreadAct) -> Body {
    Body::ThreadOp(ThreadOp { act, reason: Some("order".into()) })
}

impl Node {
    fn refs(&self, on: EntryId, body: &Body) -> Result<Vec<EntryId>, RefsError> {
        let mut entries = self.store.thread_entries(&on).unwrap();
        if let Body::ThreadOp(ThreadOp { act: ThreadAct::Under(to, _), .. }) = body {
            entries.extend(self.store.thread_entries(&EntryId::new(**to)).unwrap());
        }
        let me = self.store.own_member().unwrap().unwrap();
        let role = self.store.roster().unwrap().standing(&self.store.own_device()).unwrap().role;
        refs_for(&entries, &me, role, &on, body)
    }

    /// Writes what is said about a post, with what it has to name.
    fn say(&mut self, on: EntryId, body: Body) -> EntryId {
        let refs = self.refs(on, &body).unwrap();
        self.now += 1;
        let new = vec![NewEntry::new(body, refs)];
        self.store.append(&self.author, self.now, &mut self.rng, new).unwrap()[0]
    }

    fn under(&self, to: EntryId) -> Body {
        let entries = self.store.thread_entries(&to).unwrap();
        let (thread, post) = place_of(&entries, &to).unwrap();
        op(ThreadAct::Under((*thread.as_bytes()).into(), (*post.as_bytes()).into()))
    }

    /// The thread in which a post is shown, by its title, and the post.
    fn found(&self, id: EntryId) -> (String, PostView) {
        let view = self.store.thread(&id).unwrap().unwrap();
        let post = view.thread.posts.iter().find(|p| p.id == id);
        (view.thread.title.clone(), post.cloned().unwrap_or_else(|| panic!("{id:?}")))
    }

    fn titles(&self) -> Vec<String> {
        let list = self.store.threads(&ThreadFilter::default()).unwrap();
        let mut titles: Vec<String> = list.into_iter().map(|t| t.title).collect();
        titles.sort();
        titles
    }

    fn means(&self, id: EntryId) -> Found {
        let found = self.store.resolve(&IdPrefix::parse(&id.full()).unwrap()).unwrap();
        assert_eq!(found.len(), 1);
        found[0].found.clone()
    }
}

fn ask(title: &str) -> Body {
    Body::Ask(Ask {
        title: title.into(),
        situation: "situation".into(),
        decide: None,
        need_by: None,
        tried: None,
        helps: None,
        tags: vec!["radio".into()],
        origin: None,
    })
}

/// Four threads of three members: what ana does with them, and what bo and cy reply without knowing.
struct Scene {
    nodes: [Node; 3],
    /// Each late reply, the thread that a reader looks for it in, and the post above it.
    late: Vec<(EntryId, &'static str, EntryId)>,
    absorbed: EntryId,
    split: EntryId,
}

fn scene() -> Scene {
    let mut ana = Node::founder("ana");
    let mut bo = ana.invite("bo");
    let mut cy = ana.invite("cy");
    let radio = ana.write(ask("Radio"), []);
    let antenna = ana.reply(radio, "Which antenna, by the way?");
    let long = ana.write(post("The long one."), [radio, antenna]);
    let again = ana.write(ask("Radio again"), []);
    let answer = ana.reply(again, "The small one.");
    let tale = ana.note("Convoy tale", "text");
    let misplaced = ana.reply(tale, "About rations: bring more.");
    let rations = ana.note("Rations", "text");
    for node in [&bo, &cy] {
        node.pull(&ana);
    }
    // Ana puts things in order.
    ana.say(antenna, op(ThreadAct::Split("Antennas".into(), true)));
    let body = ana.under(radio);
    ana.say(again, body);
    let body = ana.under(rations);
    ana.say(misplaced, body);
    ana.say(tale, op(ThreadAct::Retitle("What the convoy taught".into())));
    // The others reply to what they see.
    let late = vec![
        (bo.say(long, post("bo: how long?")), "Antennas", long),
        (cy.say(antenna, post("cy: the whip")), "Antennas", antenna),
        (bo.say(again, post("bo: same here")), "Radio", again),
        (cy.say(answer, post("cy: agreed")), "Radio", answer),
        (bo.say(misplaced, post("bo: and water")), "Rations", misplaced),
        (cy.say(tale, post("cy: well told")), "What the convoy taught", tale),
        (cy.say(radio, post("cy: to the first one")), "Radio", radio),
    ];
    bo.say(
        misplaced,
        Body::React(lanai_crdt::payload::React {
            reaction: lanai_crdt::payload::Reaction::Thanks,
            on: true,
        }),
    );
    Scene { nodes: [ana, bo, cy], late, absorbed: again, split: antenna }
}

impl Scene {
    fn assert_found(&self) {
        let hash = self.nodes[0].hash();
        for node in &self.nodes {
            assert_eq!(node.hash(), hash);
            for (id, title, above) in &self.late {
                let (found, post) = node.found(*id);
                assert_eq!((found.as_str(), post.parent), (*title, Some(*above)));
                assert!(!post.orphan);
                let Found::Post { title: listed, .. } = node.means(*id) else { panic!() };
                assert_eq!(listed, *title);
            }
            let titles = ["Antennas", "Radio", "Rations", "What the convoy taught"];
            assert_eq!(node.titles(), titles);
            let Found::Thread { title, .. } = node.means(self.absorbed) else { panic!() };
            assert_eq!(title, "Radio");
            let Found::Thread { root, title } = node.means(self.split) else { panic!() };
            assert_eq!((root, title.as_str()), (self.split, "Antennas"));
            node.assert_clean();
        }
    }
}

#[test]
fn replies_written_meanwhile_are_found_where_a_reader_looks() {
    // Who visits whom, until all have all.
    let orders: [&[(usize, usize)]; 4] = [
        &[(0, 1), (0, 2), (1, 0), (2, 0), (1, 0)],
        &[(1, 0), (2, 1), (0, 2), (1, 2), (0, 2)],
        &[(2, 1), (1, 2), (0, 1), (2, 0), (1, 0)],
        &[(1, 2), (2, 1), (2, 0), (0, 1), (1, 0)],
    ];
    for order in orders {
        let scene = scene();
        for (to, from) in order {
            scene.nodes[*to].pull(&scene.nodes[*from]);
            scene.nodes[*to].assert_clean();
        }
        scene.assert_found();
        // From the entries alone, too.
        for node in &scene.nodes {
            node.store.rebuild(|_| ()).unwrap();
            node.assert_clean();
        }
        scene.assert_found();
    }
}

#[test]
fn entry_by_entry_and_backwards() {
    let scene = scene();
    for n in [1, 2] {
        scene.nodes[0].pull(&scene.nodes[n]);
    }
    for (n, backwards) in [(1, false), (2, true)] {
        let mut all = scene.nodes[0].everything();
        if backwards {
            all.reverse();
        }
        for one in all {
            // What is not authentic yet waits for its log's next round.
            scene.nodes[n].ingest(vec![one]);
            scene.nodes[n].fold();
        }
        scene.nodes[n].pull(&scene.nodes[0]);
    }
    scene.assert_found();
}

#[test]
fn back_again_and_back_for_good() {
    let mut ana = Node::founder("ana");
    let a = ana.note("A", "x");
    let b = ana.note("B", "y");
    let answer = ana.reply(b, "z");
    let body = ana.under(a);
    ana.say(b, body);
    assert_eq!(ana.titles(), ["A"]);
    assert_eq!(ana.found(answer).0, "A");
    assert_eq!(ana.means(b), Found::Thread { root: a, title: "A".into() });
    let search = |ana: &Node, words: &str| {
        let found = ana.store.search(&SearchQuery {
            text: words.into(),
            limit: 9,
            ..SearchQuery::default()
        });
        found.unwrap().hits.len()
    };
    // The title of a merged thread is still found.
    assert_eq!(search(&ana, "B"), 1);
    ana.say(b, op(ThreadAct::Back));
    assert_eq!(ana.titles(), ["A", "B"]);
    assert_eq!(ana.found(answer).0, "B");
    assert_eq!(ana.means(b), Found::Thread { root: b, title: "B".into() });
    ana.say(answer, op(ThreadAct::Split("C".into(), true)));
    let list = ana.store.threads(&ThreadFilter::default()).unwrap();
    let split = list.iter().find(|t| t.root == answer).unwrap();
    assert_eq!((split.title.as_str(), split.kind, split.posts), ("C", ThreadKind::Ask, 1));
    ana.say(answer, Body::Mark(Mark::State(ThreadState::Answered)));
    let list = ana.store.threads(&ThreadFilter::default()).unwrap();
    assert!(list.iter().any(|t| t.root == answer && t.state == ThreadState::Answered));
    ana.say(answer, Body::Edit(Edit { text: "edited".into() }));
    assert_eq!(ana.texts(&answer), ["edited"]);
    ana.say(answer, op(ThreadAct::Back));
    assert_eq!(ana.titles(), ["A", "B"]);
    assert_eq!(ana.means(answer), Found::Post { thread: b, title: "B".into() });
    ana.assert_clean();
}

#[test]
fn acts_are_for_leads_and_leave_others_threads_alone() {
    let mut ana = Node::founder("ana");
    let (a, b) = (ana.note("A", "x"), ana.note("B", "y"));
    let mut bo = ana.invite("bo");
    bo.pull(&ana);
    let body = bo.under(a);
    assert_eq!(bo.refs(b, &body), Err(RefsError::NotLead));
    assert_eq!(bo.refs(b, &op(ThreadAct::Split("x".into(), false))), Err(RefsError::NotLead));
    // Written all the same, it counts for nothing and unites nothing.
    bo.write(body, [b, b]);
    ana.pull(&bo);
    assert_eq!((ana.titles(), bo.titles()), (vec!["A".to_string(), "B".into()], ana.titles()));
    assert_eq!(ana.store.thread_entries(&a).unwrap().len(), 1);
    assert_eq!(ana.hash(), bo.hash());
}

#[test]
fn pins_go_first_hidden_posts_are_not_searched_and_tags_are_found() {
    let mut ana = Node::founder("ana");
    let old = ana.note("Old", "read this first");
    let new = ana.note("New", "x");
    let rude = ana.reply(new, "unprintable");
    let first = |ana: &Node| ana.store.threads(&ThreadFilter::default()).unwrap()[0].root;
    let search = |ana: &Node| {
        let query = SearchQuery { text: "unprintable".into(), limit: 9, ..SearchQuery::default() };
        ana.store.search(&query).unwrap().hits.len()
    };
    assert_eq!((first(&ana), search(&ana)), (new, 1));
    let pin = ana.say(old, Body::Pin(Pin { on: true, reason: None }));
    ana.say(rude, Body::Hide(Hide { on: true, reason: Some("rude".into()) }));
    ana.say(old, Body::Tag(Tag { tag: "Start".into(), on: true }));
    assert_eq!((first(&ana), search(&ana)), (old, 0));
    let one = ThreadFilter { limit: 1, ..ThreadFilter::default() };
    assert_eq!(ana.store.threads(&one).unwrap()[0].root, old);
    let tagged = ThreadFilter { tag: Some("start".into()), ..ThreadFilter::default() };
    assert_eq!(ana.store.threads(&tagged).unwrap().len(), 1);
    let hidden = ana.found(rude).1;
    assert_eq!(hidden.hidden.unwrap().reason.as_deref(), Some("rude"));
    let hash = ana.hash();
    ana.store.rebuild(|_| ()).unwrap();
    assert_eq!((ana.hash(), search(&ana)), (hash, 0));
    ana.write(Body::Pin(Pin { on: false, reason: None }), [old, old, pin]);
    ana.say(rude, Body::Hide(Hide { on: false, reason: None }));
    assert_eq!((first(&ana), search(&ana)), (new, 1));
}

#[test]
fn what_members_tend_is_part_of_what_nodes_agree_on() {
    let mut ana = Node::founder("ana");
    let mut bo = ana.invite("bo");
    let before = bo.hash();
    let term = bo.write(Body::Tend(Tend { topic: "Convoy".into(), until: 5 }), []);
    assert_ne!(bo.hash(), before);
    bo.write(Body::Tend(Tend { topic: "convoy".into(), until: 9 }), [term]);
    ana.pull(&bo);
    bo.pull(&ana);
    assert_eq!(ana.hash(), bo.hash());
    let me = bo.store.own_member().unwrap().unwrap();
    let people = ana.store.people().unwrap();
    let person = people.iter().find(|p| p.member == me).unwrap();
    assert_eq!((person.tends.len(), person.tends[0].until), (1, 9));
    // It is no thread, and nothing is left over.
    assert_eq!(ana.store.stats().unwrap().threads, 0);
    let _ = ana.note("A", "x");
    ana.assert_clean();
}
