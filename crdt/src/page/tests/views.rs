//! Blame and opening texts.

use super::*;

/// What a linear history must give, by pushing characters about.
fn naive(desk: &Desk) -> Vec<(char, EntryId)> {
    let mut text: Vec<(char, EntryId)> = Vec::new();
    for entry in &desk.entries {
        for s in entry.splices().iter().rev() {
            let at = s.at as usize;
            let new = s.insert.chars().map(|c| (c, entry.id));
            text.splice(at..at + s.delete as usize, new);
        }
    }
    text
}

fn characters(page: &Page) -> Vec<(char, EntryId)> {
    let sources: Vec<EntryId> = page
        .blame()
        .iter()
        .flat_map(|s| std::iter::repeat_n(s.source, s.length as usize))
        .collect();
    page.text().chars().zip(sources).collect()
}

#[test]
fn blame_of_a_line_is_what_pushing_characters_gives() {
    for seed in 0..8 {
        let mut dice = Dice::new(seed);
        let mut desk = Desk::new(answer());
        let mut last: Vec<EntryId> = Vec::new();
        for n in 0..40u8 {
            let long = naive(&desk).len();
            let mut splices: Vec<(u32, u32, &str)> = Vec::new();
            let mut at = dice.below(long / 2 + 1);
            while at <= long && splices.len() < 4 {
                let delete = dice.below((long - at).min(5) + 1);
                let insert = ["é", "two ", "\n🚛"][dice.below(3)];
                splices.push((u32::try_from(at).unwrap(), u32::try_from(delete).unwrap(), insert));
                at += delete + 1 + dice.below(9);
            }
            last = vec![desk.weave(n % 5 + 1, &last, &splices)];
        }
        let page = desk.whole();
        assert!(page.log().iter().all(|l| l.status == Status::Applied));
        assert_eq!(characters(&page), naive(&desk));
        assert!(page.conflicts().is_empty());
        assert_eq!(page.merged(), None);
    }
}

#[test]
fn a_conflict_is_over_when_one_wording_is_gone() {
    let mut desk = Desk::new(answer());
    let a = desk.weave(2, &[], &[(0, 0, "red")]);
    let b = desk.weave(3, &[a], &[(0, 3, "blue")]);
    let c = desk.weave(4, &[a], &[(0, 3, "green")]);
    let page = desk.whole();
    assert_eq!(page.conflicts().len(), 1);
    let at = u32::try_from(page.text().find("green").unwrap()).unwrap();
    desk.weave(2, &[b, c], &[(at, 5, "")]);
    let page = desk.whole();
    assert_eq!((page.text().as_str(), page.conflicts().len()), ("blue", 0));
}

#[test]
fn a_saved_page_needs_no_computing() {
    let mut desk = Desk::new(question("Which ford?"));
    desk.write(ASKER, "Which ford at night?");
    let bad = desk.weave(ASKER, &desk.whole().heads(), &[(99, 1, "")]);
    let mut page = desk.whole();
    let saved = page.save();
    let mut loaded = Page::load(desk.root.clone(), &saved).unwrap();
    loaded.set_entries(desk.entries.clone());
    assert_eq!(loaded.left(), 0, "nothing is computed again");
    assert_eq!(status(&loaded, bad), Status::Malformed(Malformed::Range));
    assert_eq!(seen(&loaded), seen(&page));
    let other = PageRoot { opening: Some("else".into()), ..desk.root.clone() };
    assert_eq!(Page::load(other, &saved).unwrap_err(), CacheError::OtherPage);
}

#[test]
fn opening_texts() {
    let mut ask = Ask {
        title: "How?".into(),
        situation: "We are here.".into(),
        decide: None,
        need_by: Some(1),
        tried: None,
        helps: None,
        tags: vec![],
        origin: None,
    };
    assert_eq!(opening_text(&ask), "How?\n\nWe are here.");
    ask.decide = Some("Ford or bridge.".into());
    ask.tried = Some("Asking.".into());
    let expected = "How?\n\nWe are here.\n\nTo decide: Ford or bridge.\n\nTried: Asking.";
    assert_eq!(opening_text(&ask), expected);
}
