//! `lanai bundle` between two homes.

use super::village::{House, assert_harmless};
use crate::error::Exit;

/// Ann and Bob, who has only what let him in.
fn homes() -> (House, House, tempfile::TempDir) {
    let ann = House::founder("Ann Lee");
    let bob = ann.neighbour("Bob");
    ann.pull(&bob);
    (ann, bob, tempfile::tempdir().unwrap())
}

#[test]
fn a_card_goes_there_and_back() {
    let (ann, bob, card) = homes();
    let file = |name: &str| card.path().join(name).display().to_string();
    let (there, back) = (file("there.lanai"), file("back.lanai"));
    ann.note("Convoy lessons", "Brief the drivers.");
    let made = ann.run(&["bundle", "make", &there, "--for", "bob"]);
    assert!(made.err.contains("for 1 device of Bob"), "{}", made.err);
    assert!(made.err.contains("lanai bundle take there.lanai"), "{}", made.err);
    made.ok();
    let shown = bob.run(&["bundle", "show", &there]);
    assert!(shown.err.contains("lanai bundle take"), "{}", shown.err);
    let shown = shown.ok();
    assert!(shown.contains("Ann Lee") && shown.contains("not here yet"), "{shown}");
    assert!(!bob.run(&["threads"]).ok().contains("Convoy"));
    let taken = bob.run(&["bundle", "take", &there]);
    assert!(taken.err.contains("1 unread post"), "{}", taken.err);
    taken.ok();
    assert!(bob.run(&["threads"]).ok().contains("Convoy lessons"));

    bob.note("Thanks", "It went well.");
    let made = bob.json(&["bundle", "make", &back, "--for", "Ann Lee"]);
    assert!(made["left_out"].as_u64() > Some(0), "{made}");
    let taken = ann.json(&["bundle", "take", &back]);
    assert_eq!((&taken["maker"], &taken["whole"]), (&"Bob".into(), &true.into()));
    assert!(ann.run(&["threads"]).ok().contains("Thanks"));

    // What came back says that the first note is there now.
    let id = ann.note("Second convoy", "On foot.");
    let only = ann.run(&["status"]).ok();
    assert!(only.contains("1 post of yours that nobody else has yet"), "{only}");
    let status = ann.json(&["status"]);
    assert_eq!(status["only_here"]["own_posts"], 1);
    let peer = &status["peers"][0];
    assert_eq!((&peer["ahead"], &peer["behind"]), (&1.into(), &0.into()), "{peer}");
    assert_eq!((&peer["member"]["name"], &peer["connected"]), (&"Bob".into(), &false.into()));
    let text = ann.run(&["status"]).ok();
    assert!(text.contains("Bob not connected, last exchange"), "{text}");
    assert!(text.contains("1 entry here that may not be there"), "{text}");
    assert!(ann.run(&["read", &id.full()]).ok().contains("nobody else has it yet"));
    let threads = ann.json(&["threads"]);
    let first = threads["threads"]
        .as_array()
        .unwrap()
        .iter()
        .find(|t| t["title"] == "Convoy lessons")
        .unwrap();
    let first = first["id"].as_str().unwrap();
    assert!(!ann.run(&["read", first]).ok().contains("nobody else"));
    let held = ann.run(&["read", first, "-v"]).ok();
    assert!(held.contains("held by Bob and you"), "{held}");
    assert_eq!(ann.json(&["read", first])["posts"][0]["held_by"].as_array().unwrap().len(), 2);

    // The next card carries the second note only, and then nothing.
    let made = ann.json(&["bundle", "make", &file("second.lanai"), "--for", "bob"]);
    assert_eq!(made["entries"], 1);
    bob.run(&["bundle", "take", &file("second.lanai")]).ok();
    bob.run(&["bundle", "want", &file("want.lanai")]).ok();
    ann.run(&["bundle", "take", &file("want.lanai")]).ok();
    assert_eq!(ann.json(&["status"])["only_here"]["own_posts"], 0);
    let nothing = ann.run(&["bundle", "make", &file("more.lanai"), "--for", "bob"]);
    assert!(nothing.err.contains("--everything"), "{}", nothing.err);
}

#[test]
fn a_large_one_comes_in_parts() {
    let (ann, bob, card) = homes();
    for n in 0..40 {
        ann.note(&format!("Convoy {n}"), &format!("{n} {}", blake3::hash(&[n; 9])));
    }
    let file = card.path().join("card.lanai").display().to_string();
    let line = ["bundle", "make", &file, "--max-size", "4kB"];
    let made = ann.run(&line);
    assert!(made.err.contains("card-1.lanai to "), "{}", made.err);
    made.ok();
    let mut parts: Vec<String> = std::fs::read_dir(card.path())
        .unwrap()
        .map(|entry| entry.unwrap().path().display().to_string())
        .collect();
    parts.sort();
    assert!(parts.len() > 2 && parts[0].ends_with("card-1.lanai"), "{parts:?}");
    assert!(parts.iter().all(|p| std::fs::metadata(p).unwrap().len() <= 4000));
    assert!(ann.run(&line).failed().to_text().contains("--force"));
    let takes: Vec<&str> =
        ["bundle", "take"].into_iter().chain(parts.iter().map(|p| &**p)).collect();
    bob.run(&takes).ok();
    assert_eq!(bob.json(&["status"])["threads"], 40);

    let old = ann.run(&["bundle", "make", &file, "--since", "1m", "--everything"]);
    assert!(old.err.contains("older"), "{}", old.err);
}

#[test]
fn a_summary_goes_out_and_what_is_lacking_comes_back_on_the_screen() {
    let (ann, bob, card) = homes();
    let file = |name: &str| card.path().join(name).display().to_string();
    let want = file("want.lanai");
    let made = bob.run(&["bundle", "want", &want]);
    assert!(made.err.contains("saying what is held here"), "{}", made.err);
    assert!(made.err.contains("lanai bundle make rest.lanai --answer want.lanai"), "{}", made.err);
    ann.note("Convoy lessons", "Brief the drivers.");
    let made = ann.json(&["bundle", "make", "--text", "--answer", &want]);
    assert_eq!((&made["entries"], &made["devices"]), (&1.into(), &1.into()), "{made}");
    let mut parts: Vec<&str> =
        made["text"].as_array().unwrap().iter().map(|part| part.as_str().unwrap()).collect();
    assert!(parts.len() > 1, "{made}");
    // A part is missing, and one has a mistake in it.
    let text = file("mail.txt");
    let last = parts.pop().unwrap().replace(':', ":Z");
    std::fs::write(&text, format!("Hello Bob,\n{}\n{last}\n", parts.join("\n> "))).unwrap();
    let ran = bob.run(&["bundle", "take", "--text", &text]);
    assert_harmless(&ran.err);
    let error = ran.failed();
    let missing = format!("part {0} of {0} missing", parts.len() + 1);
    assert!(error.to_text().contains(&missing), "{}", error.to_text());
    let whole = made["text"].as_array().unwrap().iter().rev().map(|p| p.as_str().unwrap());
    std::fs::write(&text, whole.collect::<Vec<_>>().join("\n").to_lowercase()).unwrap();
    bob.run(&["bundle", "take", "--text", &text]).ok();
    assert!(bob.run(&["threads"]).ok().contains("Convoy lessons"));

    // As pictures: in a pipe one after the other.
    let shown = ann.run(&["bundle", "make", "--qr", "--for", "bob", "--everything"]);
    let shown = shown.ok();
    assert!(shown.contains("1 of ") && shown.contains('\u{2588}'), "{shown}");
    for n in 0..120 {
        ann.note(&format!("Convoy {n}"), &format!("{n} {}", blake3::hash(&[n; 9])));
    }
    let large = ann.run(&["bundle", "make", "--text", "--for", "bob"]).failed();
    assert!(large.to_text().contains("--budget"), "{}", large.to_text());
    ann.run(&["bundle", "make", "--text", "--for", "bob", "--budget", "4kB"]).ok();
    let nothing = bob.run(&["bundle", "take", "--text", &want]).failed();
    assert!(nothing.to_text().contains("no part of a bundle"), "{}", nothing.to_text());
}

#[test]
fn what_is_lacking_is_named_by_its_author() {
    let (ann, bob, card) = homes();
    for n in 0..30 {
        ann.note(&format!("Convoy {n}"), &blake3::hash(&[n; 9]).to_string());
    }
    let path = card.path().join("card.lanai");
    let file = path.display().to_string();
    ann.run(&["bundle", "make", &file]).ok();
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let ran = bob.run(&["bundle", "take", &file]);
    assert!(ran.err.contains("it is damaged at byte"), "{}", ran.err);
    assert!(ran.err.contains("by Ann Lee") && ran.err.contains("bundle want"), "{}", ran.err);
    let threads = bob.json(&["status"])["threads"].as_u64().unwrap();
    // What comes after it in its author's log is held, and shown once that is there.
    assert!((1..30).contains(&threads), "{threads}");
    let taken = bob.run(&["bundle", "take", &file, "--json"]);
    let lacking = taken.out.contains("\"lacking\":[{") && taken.out.contains("\"first\":");
    assert!(lacking, "{}", taken.out);
}

#[test]
fn mistakes_are_explained_and_spoil_nothing() {
    let (ann, bob, card) = homes();
    let path = card.path().join("card.lanai");
    let file = path.display().to_string();
    ann.note("Convoy lessons", "Brief the drivers.");
    ann.run(&["bundle", "make", &file]).ok();
    let again = ann.run(&["bundle", "make", &file]).failed();
    assert!(again.to_text().contains("--force"), "{}", again.to_text());
    ann.run(&["bundle", "make", &file, "--force"]).ok();
    let narrow = ann.run(&["bundle", "make", &file, "--force", "--budget", "50"]).failed();
    assert_eq!(narrow.exit, Exit::Usage);
    assert!(bob.run(&["bundle", "show", &file]).ok().contains("Ann Lee"), "the old one is whole");
    assert_eq!(std::fs::read_dir(card.path()).unwrap().count(), 1, "nothing half is left");

    assert_eq!(ann.run(&["bundle", "take", &file]).failed().exit, Exit::Refused);
    assert_eq!(bob.run(&["bundle", "take", "/nowhere"]).failed().exit, Exit::NotFound);
    let whole = std::fs::read(&path).unwrap();
    let cut = card.path().join("cut.lanai");
    std::fs::write(&cut, &whole[..whole.len() - 10]).unwrap();
    let noise = card.path().join("noise.lanai");
    std::fs::write(&noise, b"\x1b[2Jno bundle").unwrap();
    let said = bob.run(&["bundle", "take", &noise.display().to_string()]).failed();
    assert!(said.to_text().contains("no bundle"), "{}", said.to_text());
    // Of several files, those that can be read are.
    let both = [&noise, &cut].map(|p| p.display().to_string());
    let taken = bob.run(&["bundle", "take", &both[0], &both[1]]);
    assert!(taken.err.contains("cut off after"), "{}", taken.err);
    assert_harmless(&taken.err);
    taken.failed();
    assert!(bob.run(&["threads"]).ok().contains("Convoy lessons"));
}
