//! Two devices of one person, with real nodes: what is read on one is read on the other, drafts go along,
//! and a third member carries all of it and learns nothing.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test that goes wrong should say so and stop"
)]

mod homes;

use homes::{Home, until, until_equal};
use lanai_node::home::Environment;
use lanai_node::identity::Identity;
use lanai_node::store::{Author, Place, Store};

fn unread(home: &Home) -> u64 {
    home.json(&["inbox"])["unread"].as_u64().unwrap()
}

#[test]
fn read_marks_and_drafts_go_with_the_person() {
    let dir = tempfile::tempdir().unwrap();
    let [ana, ben] = ["ana", "ben"].map(|name| Home::new(dir.path(), name));
    ana.up();
    ben.must_join(&ana.ticket("1"), &ana);
    let phone = Home::new(dir.path(), "phone");
    phone.becomes_device_of(&ben);
    phone.up();
    let first = ana.text(&["ask", "Who has the map?", "-m", "The old one."], "id");
    ana.run(&["note", "The ford", "-m", "It is passable."]);
    until_equal(&[&ana, &ben, &phone]);
    assert_eq!((unread(&ben), unread(&phone)), (2, 2));

    // Looking at lists and files marks nothing, and nothing is told.
    ben.run(&["read", &first]);
    ben.json(&["inbox"]);
    ben.run(&["sync", "--wait", "20s"]);
    assert_eq!(unread(&phone), 2);

    ben.run(&["inbox", "--mark-all"]);
    until("the telephone knows what the laptop read", || unread(&phone) == 0);
    assert_eq!(ana.json(&["inbox"])["unread"], 0, "she wrote both");

    // A text begun on the laptop is there on the telephone, which publishes it.
    let short = ben.json(&["read", &first])["posts"][0]["short"].as_str().unwrap().to_owned();
    let file = format!("drafts/reply-{short}.md");
    let text = "I left it under the seat, with the torch.";
    std::fs::create_dir_all(ben.root.join("drafts")).unwrap();
    std::fs::write(ben.root.join(&file), text).unwrap();
    ben.run(&["sync", "--wait", "20s"]);
    until("the draft is on the telephone", || {
        phone.run(&["threads"]);
        std::fs::read_to_string(phone.root.join(&file)).is_ok_and(|t| t.trim_end() == text)
    });
    phone.run(&["reply", &first, "-m", text]);
    phone.run(&["sync", "--wait", "20s"]);
    until("the draft is gone from the laptop", || {
        ben.run(&["threads"]);
        !ben.root.join(&file).exists()
    });
    until_equal(&[&ana, &ben, &phone]);
    assert_eq!(ana.post_texts(&first).len(), 2);

    // Ana's node carries it all. With every key that she has it says nothing to her.
    let secret = "what I have not made up my mind to say";
    std::fs::write(ben.root.join("drafts/note.md"), secret).unwrap();
    ben.run(&["sync", "--wait", "20s"]);
    until_equal(&[&ana, &ben, &phone]);
    let hash = ana.state_hash();
    phone.run(&["threads"]);
    assert_eq!(std::fs::read_to_string(phone.root.join("drafts/note.md")).unwrap(), secret);
    for home in [&ana, &ben, &phone] {
        home.stop();
    }
    let home = home_of(&ana);
    let Identity { device, sealing } = Identity::of_home(&home).unwrap();
    let store = Store::open(&Place::of_home(&home)).unwrap();
    while store.fold_pending(1000).unwrap().left > 0 {}
    store.take_own_states(|| Some(Author { device, sealing })).unwrap();
    assert_eq!(store.shared_drafts().unwrap(), []);
    assert_eq!(ana.state_hash(), hash);
    assert_eq!(ana.json(&["search", "made up my mind"])["hits"].as_array().unwrap().len(), 0);
    assert!(!ana.root.join("drafts/note.md").exists());
    assert_eq!(ana.json(&["status"])["store"]["locked"], 0);
}

fn home_of(home: &Home) -> lanai_node::home::Home {
    lanai_node::home::Home::resolve(Some(&home.root), &Environment::default()).unwrap()
}
