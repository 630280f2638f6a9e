//! What is left of a text that was withdrawn.

use lanai_crdt::payload::{Ask, Edit};

use super::*;
use crate::store::purge::Purged;

/// Whether any file of the directory holds `phrase`, as it is or as a word of an index.
fn found(node: &Node, phrase: &str) -> bool {
    std::fs::read_dir(node.dir.path()).unwrap().any(|entry| {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        bytes.windows(phrase.len()).any(|window| window == phrase.as_bytes())
    })
}

fn ask(title: &str, situation: &str) -> Body {
    Body::Ask(Ask {
        title: title.into(),
        situation: situation.into(),
        decide: Some("quagmire or heath".into()),
        need_by: None,
        tried: None,
        helps: None,
        tags: vec!["marshland".into()],
        origin: None,
    })
}

#[test]
fn nothing_of_a_withdrawn_text_stays_in_any_file_and_no_peer_brings_it_back() {
    let mut a = Node::founder("ana");
    let b = a.invite("ben");
    a.pull(&b);
    let kept = a.note("Firewood", "Behind the barn.");
    let root = a.write(ask("Which way round the quicksand?", "We saw sphagnum."), []);
    let answer = a.reply(kept, "The shibboleth is heron.");
    a.write(Body::Edit(Edit { text: "The shibboleth is bittern.".into() }), [kept, answer]);
    a.fold();
    let lost = ["quicksand", "sphagnum", "quagmire", "marshland", "shibboleth", "bittern"];
    let before = a.everything();
    b.ingest(before.clone());
    b.fold();
    a.pull(&b);
    // The index stores words, shortened.
    for word in ["quicksand", "quagmire", "marshland", "shibboleth"] {
        assert!(found(&a, word), "{word} cannot be found in the first place");
    }

    a.write(Body::Withdraw, [root, root]);
    a.write(Body::Withdraw, [kept, answer]);
    let hash = a.hash();
    let purged = a.store.purge(a.now, |_| ()).unwrap();
    assert_eq!(purged, Purged { dropped: 3, kept: 0 });
    for word in lost {
        assert!(!found(&a, word), "{word} is still here");
    }
    assert!(found(&a, "Firewood"));
    assert_eq!(a.hash(), hash, "what is left is folded as before");
    a.assert_clean();

    // A peer that kept it sends it again.
    let report = a.ingest(before);
    assert_eq!((report.payloads.len(), report.new.len()), (0, 0));
    assert!(!a.store.set_summary().unwrap().wanted_payloads);
    a.fold();
    assert_eq!(a.hash(), hash);
    assert_eq!(a.store.purge(a.now, |_| ()).unwrap(), Purged::default());
    assert_eq!(a.texts(&kept), ["Behind the barn.", "(withdrawn)"]);

    // Who keeps it and who dropped it see the same.
    let mut b = b;
    b.pull(&a);
    assert_eq!(b.hash(), hash);
    // Another's text stays until its time is over, in case a thief withdrew it.
    b.now = a.now;
    assert_eq!(b.store.purge(b.now, |_| ()).unwrap(), Purged { dropped: 0, kept: 3 });
    for word in lost {
        assert!(!found(&b, word), "{word} is only sealed at the other's");
    }
    b.now += 3 * 24 * 60 * 60 * 1000;
    assert_eq!(b.store.purge(b.now, |_| ()).unwrap(), Purged { dropped: 3, kept: 0 });
    assert_eq!(b.hash(), hash);
}

#[test]
fn older_copies_of_the_store_are_found() {
    let a = Node::founder("ana");
    for name in ["store.db.v3", "store.db.replaced-17", "store.db.replaced-17-wal", "other.db.v3"] {
        std::fs::write(a.dir.path().join(name), "x").unwrap();
    }
    let copies = a.store.older_copies().unwrap();
    let names: Vec<_> = copies.iter().map(|p| p.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["store.db.replaced-17", "store.db.replaced-17-wal", "store.db.v3"]);
}
