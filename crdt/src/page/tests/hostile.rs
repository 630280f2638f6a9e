//! Floods, and altered payloads through decoding, validity and application.
//!
//! By hand, in release and under `/usr/bin/time -v` for the peak of memory:
//! `LANAI_TEST_DECODES=10000000 LANAI_TEST_APPLIES=100000 cargo test --release -p lanai-crdt hostile`.

use super::*;
use crate::entry::Class;
use crate::limits::{MAX_DEVICE_WEAVES, MAX_PAGE_BRANCHES};
use crate::payload::{Body, Generation, Reframe, Run, Weave, decode, encode};

fn budget(name: &str, few: usize) -> usize {
    std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(few)
}

fn splice(at: u32, delete: u32, insert: &str) -> Splice {
    Splice { at, delete, insert: insert.into() }
}

/// Adds one entry, given the honest base, its number and the one before it.
type Shape = fn(&mut Desk, EntryId, usize, EntryId) -> EntryId;

#[test]
fn ten_thousand_weaves_of_one_member_cost_little() {
    let shapes: [Shape; 3] = [
        // All on one base, from one place of the log.
        |h, base, n, _| {
            h.last.remove(&9);
            h.weave(9, &[base], &[(0, 0, &format!("spam {n}"))])
        },
        // Branches of ten.
        |h, base, n, last| {
            let on = if n % 10 == 0 { base } else { last };
            if n % 10 == 0 {
                h.last.remove(&9);
            }
            h.weave(9, &[on], &[(0, 0, "spam")])
        },
        // Joins of joins.
        |h, base, n, last| {
            h.last.remove(&9);
            let deps = if n % 2 == 0 { vec![base] } else { vec![last] };
            h.weave(9, &deps, &[])
        },
    ];
    for (n, shape) in shapes.into_iter().enumerate() {
        let mut h = Desk::new(answer());
        let base = h.weave(2, &[], &[(0, 0, "Honest text.")]);
        let mut last = base;
        for n in 0..10_000 {
            last = shape(&mut h, base, n, last);
        }
        let honest = h.weave(3, &[base], &[(12, 0, " More.")]);
        let mut page = Page::new(h.root.clone());
        page.set_entries(h.entries.clone());
        assert!(page.left() <= 2 + 10 * MAX_PAGE_BRANCHES, "shape {n}: {}", page.left());
        page.step(100_000);
        assert_eq!(page.log().len(), 10_002);
        assert_eq!(status(&page, honest), Status::Applied);
        assert!(page.text().contains("Honest text. More."));
        assert!(page.heads().len() <= MAX_PAGE_BRANCHES + 1);
    }
}

#[test]
fn a_long_line_of_ten_thousand_by_many_devices_is_planned() {
    let mut h = Desk::new(answer());
    let mut last: Vec<EntryId> = Vec::new();
    for n in 0..10_000 {
        last = vec![h.weave(u8::try_from(n % 200).unwrap(), &last, &[(0, 0, "x")])];
    }
    let mut page = Page::new(h.root.clone());
    page.set_entries(h.entries.clone());
    assert_eq!(page.left(), 10_000);
    assert_eq!(page.step(3), 9_997);
    assert_eq!(page.text(), "xxx");
    // One device alone comes to an end.
    let mut h = Desk::new(answer());
    let mut last: Vec<EntryId> = Vec::new();
    for _ in 0..2_000 {
        last = vec![h.weave(9, &last, &[(0, 0, "x")])];
    }
    let mut page = Page::new(h.root.clone());
    page.set_entries(h.entries.clone());
    assert_eq!(page.left(), MAX_DEVICE_WEAVES + 1);
}

#[test]
fn ids_that_form_a_cycle_wait() {
    let mut h = Desk::new(answer());
    let a = h.weave(2, &[id(2)], &[(0, 0, "x")]);
    let b = h.weave(3, &[a], &[(0, 0, "y")]);
    let own = h.weave(4, &[id(3)], &[(0, 0, "z")]);
    let honest = h.weave(5, &[], &[(0, 0, "text")]);
    let page = h.whole();
    for id in [a, b, own] {
        assert!(matches!(status(&page, id), Status::Waiting(_)));
    }
    assert_eq!(status(&page, honest), Status::Applied);
    assert_eq!(page.text(), "text");
}

fn bodies() -> Vec<Body> {
    let splices = vec![splice(0, 2, "näher"), splice(9, 0, "🚛"), splice(40, 7, "")];
    let run = |length, n| Run { length, source: [n; 32].into() };
    vec![
        Body::Weave(Weave { page: PageKind::Answer, splices: splices.clone() }),
        Body::Weave(Weave { page: PageKind::Question, splices: vec![] }),
        Body::Reframe(Reframe { splices, reason: Some("clearer".into()) }),
        Body::Generation(Generation {
            page: PageKind::Answer,
            text: "walk it".into(),
            runs: vec![run(5, 1), run(2, 2)],
        }),
    ]
}

/// A body with a few bytes changed, put in or taken out.
fn altered(bytes: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..1 + dice.below(4) {
        let at = dice.below(bytes.len());
        match dice.below(6) {
            0 => drop(bytes.splice(at..at, [dice.next() as u8])),
            1 if bytes.len() > 1 => drop(bytes.remove(at)),
            2 => bytes[at] = bytes[at].wrapping_add(1),
            3 => bytes[at] ^= 1 << dice.below(8),
            _ => bytes[at] = dice.next() as u8,
        }
    }
    bytes
}

#[test]
fn altered_payloads_are_decoded_or_refused() {
    let mut dice = Dice::new(11);
    let originals: Vec<Vec<u8>> = bodies().iter().map(|b| encode(b).unwrap()).collect();
    let total = budget("LANAI_TEST_DECODES", 20_000);
    let (mut accepted, mut valid) = (0usize, 0usize);
    let mut h = Desk::new(answer());
    let base = h.weave(2, &[], &[(0, 0, "Walk the ford first, näher to the bank, twice.")]);
    let entries = h.entries.clone();
    let text = h.whole().text();
    for _ in 0..total {
        let bytes = altered(&originals[dice.below(originals.len())], &mut dice);
        let Ok(body) = decode(Class::Weave, &bytes) else { continue };
        accepted += 1;
        assert!(encode(&body).is_ok());
        let Some(body) = page_body(body) else { continue };
        // Validity, by shape and against the text.
        let mut desk = Desk::new(answer());
        desk.entries.clone_from(&entries);
        let entry = desk.entry(3, &[base], body);
        let mut page = Page::new(desk.root.clone());
        let generation = matches!(entry.body, PageBody::Generation { .. });
        let fits = apply_splices(&text, entry.splices()).is_some();
        let id = desk.add(PageEntry { id: id(9999), ..entry });
        page.set_entries(desk.entries);
        assert_eq!(matches!(status(&page, id), Status::OtherGeneration), generation);
        valid += usize::from(fits);
    }
    println!("{total} altered payloads: {accepted} decoded, {valid} of them fit the text");
    assert!(accepted > total / 100 && valid > 0 && accepted < total);
}

fn page_body(body: Body) -> Option<PageBody> {
    Some(match body {
        Body::Weave(w) => PageBody::Weave(w.splices),
        Body::Reframe(r) => PageBody::Reframe { splices: r.splices, reason: r.reason },
        Body::Generation(g) => PageBody::Generation { text: g.text, runs: g.runs },
        _ => return None,
    })
}

/// Splices as no editor makes them: often outside the text, huge, or beside each other.
fn wild(dice: &mut Dice) -> Vec<Splice> {
    let texts = ["", "x", "\0", "\u{fffc}", "e\u{301}", "🚛🚛", "\r\n", "a long stretch of words "];
    let mut at = 0u32;
    let mut splices = Vec::new();
    for _ in 0..dice.below(5) {
        at = match dice.below(60) {
            0 => u32::MAX - dice.below(3) as u32,
            _ => at.saturating_add(dice.below(12) as u32),
        };
        let delete = match dice.below(60) {
            0 => u32::MAX,
            _ => dice.below(4) as u32,
        };
        splices.push(splice(at, delete, texts[dice.below(texts.len())]));
        at = at.saturating_add(delete).saturating_add(1);
    }
    splices
}

#[test]
fn wild_histories_are_applied_without_a_panic() {
    let total = budget("LANAI_TEST_APPLIES", 3_000);
    let mut dice = Dice::new(12);
    let (mut done, mut applied, mut refused) = (0usize, 0usize, 0usize);
    while done < total {
        let root = if dice.below(3) == 0 { question("Which ford?") } else { answer() };
        let mut h = Desk::new(root);
        h.weave(ASKER, &[], &[(0, 0, "Walk the ford first, näher to the bank 🚛, twice.")]);
        for _ in 0..40 {
            let by = u8::try_from(dice.below(5)).unwrap() + 1;
            let n = h.entries.len();
            let mut deps = Vec::new();
            for _ in 0..1 + dice.below(40) / 30 {
                // Mostly an old one; now and then one that is not there yet.
                let among = 1 + dice.below(n) + dice.below(9) / 8;
                deps.push(id(u16::try_from(1 + dice.below(among)).unwrap()));
            }
            if dice.below(9) > 0 {
                deps.sort();
                deps.dedup();
            }
            if dice.below(9) > 0 {
                h.last.remove(&by);
            }
            let body = Body::Weave(Weave { page: h.root.kind, splices: wild(&mut dice) });
            // What a peer sends is what can be decoded.
            let Ok(bytes) = encode(&body) else { continue };
            let body = decode(Class::Weave, &bytes).unwrap();
            let entry = h.entry(by, &deps, page_body(body).unwrap());
            h.add(entry);
        }
        done += h.entries.len();
        let mut page = h.whole();
        for line in page.log() {
            applied += usize::from(line.status == Status::Applied);
            refused += usize::from(line.status == Status::Malformed(Malformed::Unappliable));
        }
        // It can be saved and taken back, and says the same.
        let mut again = Page::load(h.root.clone(), &page.save()).unwrap();
        again.set_entries(h.entries.clone());
        assert_eq!(again.left(), 0);
        assert_eq!(again.hash(), page.hash());
    }
    println!("{done} wild weaves: {applied} applied, {refused} refused by the document");
    assert!(applied > done / 10);
    assert_eq!(refused, 0, "Automerge refuses nothing that passed our own rules");
}
