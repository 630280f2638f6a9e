//! Manifests of files: in any order the same, taken back by their author alone, marks are local.

use lanai_crdt::id::FileRoot;
use lanai_crdt::payload::File;

use super::*;

fn file(name: &str, root: u8) -> Body {
    Body::File(File {
        name: name.into(),
        media: None,
        bytes: 70_000,
        root: [root; 32].into(),
        key: [root; 32].into(),
    })
}

fn names(node: &Node) -> Vec<String> {
    node.store.files().unwrap().into_iter().map(|file| file.name).collect()
}

#[test]
fn any_order_and_a_rebuild_show_the_same_files() {
    let mut a = Node::founder("ana");
    let mut b = a.invite("ben");
    a.pull(&b);
    let newcomers = ["cleo", "dora"].map(|name| {
        let mut newcomer = Newcomer::new(name);
        let ticket = a.ticket(1);
        a.admit(&mut newcomer, &ticket);
        newcomer
    });
    let note = a.note("Firewood", "Behind the barn.");
    let reply = a.reply(note, "Here is a map.");
    let first = a.write(file("map.pdf", 1), [note, reply]);
    let second = a.write(file("rules.pdf", 2), []);
    b.pull(&a);
    // Whoever did not add it cannot take it back.
    b.write(Body::Withdraw, [note, first]);
    let before = a.everything();
    a.write(Body::Withdraw, [second, second]);
    a.pull(&b);
    a.fold();
    assert_eq!(names(&a), ["map.pdf"]);
    let of_posts = a.store.files_of(&[note, reply]).unwrap();
    assert_eq!(of_posts.keys().collect::<Vec<_>>(), [&reply]);
    let shown = &of_posts[&reply][0];
    assert_eq!((shown.id, shown.author, shown.own), (first, a.member(), true));
    assert_eq!(a.store.file_key(&first).unwrap().as_deref(), Some(&[1; 32]));

    // The withdrawal comes first, and what it takes back after it.
    let late: Vec<Incoming> = a.everything();
    for (newcomer, reversed) in newcomers.into_iter().zip([false, true]) {
        let c = newcomer.join(&a);
        let mut parts = [before.clone(), late.clone()];
        if reversed {
            parts.reverse();
            parts.iter_mut().for_each(|part| part.reverse());
        }
        for part in parts {
            c.ingest(part);
            c.fold();
        }
        a.pull(&c);
        a.fold();
        c.pull(&a);
        assert_eq!(names(&c), ["map.pdf"]);
        assert_eq!(c.hash(), a.hash());
        c.store.rebuild(|_| ()).unwrap();
        assert_eq!(names(&c), ["map.pdf"]);
        assert_eq!(c.hash(), a.hash());
    }
    a.assert_clean();
}

#[test]
fn what_is_done_with_a_file_here_is_told_to_nobody() {
    let mut a = Node::founder("ana");
    let id = a.write(file("map.pdf", 1), []);
    let (hash, root) = (a.hash(), FileRoot::new([1; 32]));
    let marks = |a: &Node| a.store.file(&id).unwrap().unwrap().marks;
    a.store.pin_file(&root, true).unwrap();
    a.store.want_file(&root).unwrap();
    assert!(marks(&a).pinned && marks(&a).wanted);
    a.store.use_file(&root, 77).unwrap();
    assert_eq!((marks(&a).wanted, marks(&a).used_ms), (false, 77));
    a.store.decline_file(&root).unwrap();
    assert_eq!((marks(&a).pinned, marks(&a).declined), (false, true));
    assert_eq!(a.hash(), hash);
    a.store.rebuild(|_| ()).unwrap();
    assert!(marks(&a).declined);
}

#[test]
fn bytes_go_when_nobody_names_them_any_more() {
    let mut a = Node::founder("ana");
    let mut b = a.invite("ben");
    a.pull(&b);
    let root = FileRoot::new([1; 32]);
    let id = a.write(file("map.pdf", 1), []);
    b.pull(&a);
    assert!(b.store.is_served(&root, 70_000).unwrap());
    assert!(!b.store.is_served(&root, 70_001).unwrap());
    assert!(a.store.files_to_drop(a.now).unwrap().is_empty());
    a.write(Body::Withdraw, [id, id]);
    b.pull(&a);
    assert_eq!(a.store.files_to_drop(a.now).unwrap(), [root]);
    // Another's waits, in case a thief withdrew it, and is given to nobody.
    assert!(b.store.files_to_drop(a.now).unwrap().is_empty());
    assert!(!b.store.is_served(&root, 70_000).unwrap());
    let later = a.now + 3 * 24 * 60 * 60 * 1000;
    assert_eq!(b.store.files_to_drop(later).unwrap(), [root]);
    // Somebody else's manifest that names the same bytes keeps them.
    b.now = a.now;
    b.write(file("copy.pdf", 1), []);
    assert!(b.store.files_to_drop(later).unwrap().is_empty());
    assert!(b.store.is_served(&root, 70_000).unwrap());
}
