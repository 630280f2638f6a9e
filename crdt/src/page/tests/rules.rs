//! Each rule by itself.

use super::*;
use crate::limits::{
    MAX_DEVICE_WEAVE_BYTES, MAX_DEVICE_WEAVES, MAX_PAGE_BRANCHES, MAX_PAGE_BYTES, MAX_WEAVE_DEPS,
    MAX_WEAVE_INSERT_BYTES,
};
use crate::payload::Run;

fn spans(page: &Page) -> Vec<(u32, EntryId)> {
    page.blame().iter().map(|s| (s.length, s.source)).collect()
}

#[test]
fn a_text_grows_and_every_character_names_its_entry() {
    let mut desk = Desk::new(answer());
    let a = desk.write(1, "Use a sand table.");
    let b = desk.write(2, "Use a big sand table.");
    let c = desk.write(1, "Use a big sand table. Walk it twice.");
    let page = desk.whole();
    assert_eq!(page.text(), "Use a big sand table. Walk it twice.");
    assert_eq!(spans(&page), [(6, a), (4, b), (11, a), (15, c)]);
    assert_eq!(page.heads(), [c]);
    assert_eq!(page.left(), 0);
    assert_eq!(page.merged(), None);
}

#[test]
fn a_question_begins_with_what_was_asked() {
    let mut desk = Desk::new(question("Title\n\nSituation"));
    assert_eq!(desk.whole().text(), "Title\n\nSituation");
    assert_eq!(spans(&desk.whole()), [(16, desk.root.thread)]);
    let a = desk.write(ASKER, "Better title\n\nSituation");
    assert_eq!(spans(&desk.whole()), [(12, a), (11, desk.root.thread)]);
    let mut page = desk.whole();
    assert_eq!(page.text_at(&[]).unwrap(), "Title\n\nSituation");
    assert_eq!(page.text_at(&[a]).unwrap(), "Better title\n\nSituation");
    assert_eq!(page.text_at(&[id(99)]), None);
}

#[test]
fn places_count_characters_and_not_bytes() {
    let mut desk = Desk::new(answer());
    let text = "né 🚚🚚 ja\u{301} ok";
    let a = desk.weave(1, &[], &[(0, 0, text)]);
    desk.weave(2, &[a], &[(3, 1, "X"), (5, 0, "Y")]);
    assert_eq!(desk.whole().text(), "né X🚚Y ja\u{301} ok");
    let end = u32::try_from(text.chars().count()).unwrap();
    let past = desk.weave(3, &[a], &[(end, 1, "")]);
    assert_eq!(status(&desk.whole(), past), Status::Malformed(Malformed::Range));
}

#[test]
fn two_wordings_of_the_same_words_are_shown() {
    let mut desk = Desk::new(answer());
    let base = desk.write(1, "Leave at dawn with four trucks.");
    desk.weave(2, &[base], &[(6, 7, "before first light")]);
    desk.weave(3, &[base], &[(6, 7, "at 0500")]);
    let page = desk.whole();
    assert_eq!(page.heads().len(), 2);
    let conflicts = page.conflicts();
    assert_eq!(conflicts.len(), 1);
    let mut wordings: Vec<&str> = conflicts[0].wordings.iter().map(|(_, w)| &w[..]).collect();
    wordings.sort_unstable();
    assert_eq!(wordings, ["at 0500", "before first light"]);
    // Somebody settles it.
    let join = desk.write(1, "Leave at 0500 with four trucks.");
    let page = desk.whole();
    assert_eq!(page.conflicts(), []);
    assert_eq!(page.merged(), Some(join));
    assert_eq!(page.text(), "Leave at 0500 with four trucks.");
}

#[test]
fn what_breaks_a_rule_is_named_and_takes_only_what_is_built_on_it() {
    let mut desk = Desk::new(answer());
    let a = desk.weave(1, &[], &[(0, 0, "one two")]);
    let b = desk.weave(2, &[a], &[(7, 0, " three")]);
    let tangled = desk.weave(3, &[a, b], &[(0, 0, "x")]);
    let range = desk.weave(4, &[b], &[(90, 1, "x")]);
    let on_range = desk.weave(5, &[range], &[(0, 0, "x")]);
    let on_nothing = desk.weave(1, &[], &[(0, 0, "again ")]);
    let long = "x".repeat(30_000);
    let big = desk.weave(6, &[b], &[(0, 0, &long)]);
    let bigger = desk.weave(6, &[big], &[(0, 0, &long)]);
    let biggest = desk.weave(6, &[bigger], &[(0, 0, &long)]);
    let absent = desk.weave(8, &[id(999)], &[(0, 0, "x")]);
    let page = desk.whole();
    assert_eq!(status(&page, tangled), Status::Malformed(Malformed::Deps));
    assert_eq!(status(&page, range), Status::Malformed(Malformed::Range));
    assert_eq!(status(&page, on_range), Status::Malformed(Malformed::Ancestor));
    assert_eq!(status(&page, on_nothing), Status::Malformed(Malformed::Previous));
    assert_eq!(status(&page, bigger), Status::Applied);
    assert_eq!(status(&page, biggest), Status::Malformed(Malformed::Length));
    assert_eq!(status(&page, absent), Status::Waiting(vec![id(999)]));
    assert!(page.text().ends_with("one two three"));
    // One out of order does not lock its device out: the next follows the last good one.
    let next = desk.weave(3, &[b], &[(0, 0, "zero ")]);
    assert_eq!(status(&desk.whole(), next), Status::Applied);
}

#[test]
fn what_does_not_count_is_left_out_unless_others_built_on_it() {
    let mut desk = Desk::new(answer());
    let a = desk.weave(1, &[], &[(0, 0, "one")]);
    let mut removed = desk.entry(2, &[a], PageBody::Weave(splices_of(&[(3, 0, " two")])));
    removed.counts = false;
    let b = desk.add(removed);
    assert_eq!(desk.whole().text(), "one");
    assert_eq!(status(&desk.whole(), b), Status::Uncounted);
    desk.weave(1, &[b], &[(7, 0, " three")]);
    assert_eq!(desk.whole().text(), "one two three");
    assert_eq!(status(&desk.whole(), b), Status::Applied);
}

#[test]
fn a_page_shrinks_when_an_entry_no_longer_counts() {
    let mut desk = Desk::new(answer());
    let a = desk.write(1, "one");
    desk.write(2, "one two");
    let mut page = desk.whole();
    assert_eq!(page.text(), "one two");
    desk.entries[1].counts = false;
    page.set_entries(desk.entries.clone());
    while page.step(1) > 0 {}
    assert_eq!((page.text().as_str(), page.heads()), ("one", vec![a]));
    assert_eq!(seen(&page), seen(&desk.whole()));
}

#[test]
fn a_wording_is_proposed_and_taken_over() {
    let mut desk = Desk::new(question("Trucks?\n\nWe leave soon."));
    let splices = splices_of(&[(0, 7, "How many trucks do I need?")]);
    let reason = Some("says what is asked".into());
    let one = desk.entry(2, &[], PageBody::Reframe { splices: splices.clone(), reason });
    let one = desk.add(one);
    let two = desk.entry(3, &[], PageBody::Weave(splices_of(&[(0, 7, "Which trucks?")])));
    let two = desk.add(two);
    let mut page = desk.whole();
    assert_eq!(page.text(), "Trucks?\n\nWe leave soon.");
    assert!(page.is_proposal(&one) && page.is_proposal(&two));
    assert_eq!(page.text_proposed(&one).unwrap(), "How many trucks do I need?\n\nWe leave soon.");
    // The asker takes the first over; the second stays to be picked.
    let take = desk.weave(ASKER, &[one], &[]);
    let page = desk.whole();
    assert_eq!(page.text(), "How many trucks do I need?\n\nWe leave soon.");
    assert_eq!((page.heads(), page.is_proposal(&one)), (vec![take], false));
    assert!(page.is_proposal(&two));
    assert_eq!(spans(&page)[0], (26, one));
    // A second proposal of the same person stands by itself.
    let third = PageBody::Reframe { splices: splices_of(&[(26, 0, "?")]), reason: None };
    let third = desk.entry(2, &[take], third);
    let third = desk.add(third);
    assert!(desk.whole().is_proposal(&third));
}

#[test]
fn a_flood_is_folded_away_and_the_rest_stays() {
    let mut desk = Desk::new(answer());
    let a = desk.write(1, "base");
    let mut flood = Vec::new();
    for _ in 0..60 {
        let mut entry = desk.entry(9, &[a], PageBody::Weave(splices_of(&[(0, 0, "spam ")])));
        entry.previous = None;
        flood.push(desk.add(entry));
    }
    let honest = desk.weave(2, &[a], &[(4, 0, " and more")]);
    let page = desk.whole();
    let applied = flood.iter().filter(|f| status(&page, **f) == Status::Applied).count();
    assert_eq!(applied, MAX_PAGE_BRANCHES);
    assert_eq!(status(&page, honest), Status::Applied);
    assert_eq!(page.text().matches("spam").count(), MAX_PAGE_BRANCHES);
    // What somebody else built on stays, whatever else its author does.
    let kept = *flood.iter().find(|f| status(&page, **f) == Status::Flood).unwrap();
    desk.weave(3, &[kept], &[(0, 5, "")]);
    assert_eq!(status(&desk.whole(), kept), Status::Applied);
}

#[test]
fn a_generation_starts_the_text_afresh_and_keeps_who_wrote_it() {
    let mut desk = Desk::new(answer());
    let a = desk.write(1, "one");
    let b = desk.write(2, "one two");
    let page = desk.whole();
    let runs: Vec<Run> = page
        .blame()
        .iter()
        .map(|s| Run { length: s.length, source: (*s.source.as_bytes()).into() })
        .collect();
    let body = PageBody::Generation { text: page.text(), runs };
    let mut entry = desk.entry(4, &page.heads(), body.clone());
    let late = desk.weave(3, &[b], &[(7, 0, " late")]);
    // Not a lead's: it changes nothing.
    desk.entries.push(entry.clone());
    assert_eq!(desk.whole().generation(), None);
    desk.entries.pop();
    entry.role = Role::Lead;
    let fresh = desk.add(entry);
    let page = desk.whole();
    assert_eq!((page.generation(), page.heads()), (Some(fresh), vec![fresh]));
    let claimed: Vec<_> = page.blame().iter().map(|s| (s.length, s.source, s.claimed_by)).collect();
    assert_eq!(claimed, [(3, a, Some(fresh)), (4, b, Some(fresh))]);
    assert_eq!(status(&page, late), Status::OtherGeneration);
    let next = desk.write(1, "one two three");
    let mut page = desk.whole();
    assert_eq!((page.text().as_str(), page.heads()), ("one two three", vec![next]));
    let cache = page.save();
    let mut again = Page::load(desk.root.clone(), &cache).unwrap();
    again.set_entries(desk.entries.clone());
    assert_eq!(again.step(9), 0);
    assert_eq!(seen(&again), seen(&page));
    // One that was written on two generations cannot be placed.
    let mixed = desk.weave(5, &[late, next], &[(0, 0, "x")]);
    assert_eq!(status(&desk.whole(), mixed), Status::Malformed(Malformed::Generations));
    // Who was late for it goes on with it.
    let again = desk.weave(3, &[next], &[(13, 0, " late")]);
    assert_eq!(status(&desk.whole(), again), Status::Applied);
}

#[test]
fn many_heads_are_joined_by_weaves_that_change_nothing() {
    let mut desk = Desk::new(answer());
    let a = desk.write(1, "base");
    let branches: Vec<EntryId> = (2..12).map(|who| desk.weave(who, &[a], &[(4, 0, "!")])).collect();
    let join = desk.weave(1, &branches[..MAX_WEAVE_DEPS], &[]);
    let page = desk.whole();
    assert_eq!(page.heads().len(), 1 + branches.len() - MAX_WEAVE_DEPS);
    assert!(page.heads().contains(&join));
    let deps = page.heads();
    desk.weave(1, &deps, &[(0, 4, "BASE")]);
    assert_eq!(desk.whole().text(), "BASE!!!!!!!!!!");
    let mut page = desk.whole();
    assert_eq!(page.text_at(&[join]).unwrap(), "base!!!!!!!");
}

#[test]
fn a_text_edited_on_an_older_version_is_carried_over() {
    let mut desk = Desk::new(answer());
    let a = desk.write(1, "one two three");
    let b = desk.write(1, "one two three four");
    let mut page = desk.whole();
    let text = page.carry_over(&[a], "zero one two three", &[b]).unwrap();
    assert_eq!(text, "zero one two three four");
    assert_eq!(seen(&page), seen(&desk.whole()));
}

#[test]
fn a_changed_cache_is_refused_before_automerge_sees_it() {
    let mut desk = Desk::new(answer());
    desk.write(1, "one");
    let cache = desk.whole().save();
    for at in 0..cache.len() {
        let mut changed = cache.clone();
        changed[at] ^= 1;
        assert_eq!(Page::load(desk.root.clone(), &changed).unwrap_err(), CacheError::Checksum);
        assert_eq!(Page::load(desk.root.clone(), &cache[..at]).unwrap_err(), CacheError::Checksum);
    }
    let other = PageRoot { thread: id(5), ..desk.root.clone() };
    assert_eq!(Page::load(other, &cache).unwrap_err(), CacheError::OtherPage);
}

fn unread(desk: &Desk) -> Page {
    let mut page = Page::new(desk.root.clone());
    page.set_entries(desk.entries.clone());
    page
}

#[test]
fn broken_branches_have_a_place_among_the_sixteen() {
    let mut desk = Desk::new(answer());
    let a = desk.write(1, "base");
    let mut branches = Vec::new();
    for n in 0..60 {
        let at = if n % 2 == 0 { 90 } else { 0 };
        let mut entry = desk.entry(9, &[a], PageBody::Weave(splices_of(&[(at, 0, "spam ")])));
        entry.previous = None;
        branches.push((desk.add(entry), n % 2 == 0));
    }
    // Sixteen are tried and no more, whatever comes of it.
    assert_eq!(unread(&desk).left(), 1 + MAX_PAGE_BRANCHES);
    let page = desk.whole();
    branches.sort_unstable();
    for (n, (id, broken)) in branches.iter().rev().enumerate() {
        let expected = match broken {
            _ if n >= MAX_PAGE_BRANCHES => Status::Flood,
            true => Status::Malformed(Malformed::Range),
            false => Status::Applied,
        };
        assert_eq!(status(&page, *id), expected);
    }
}

#[test]
fn a_flood_below_a_kept_branch_of_another_takes_part_with_it() {
    let mut desk = Desk::new(answer());
    let start = desk.write(2, "Base.");
    let mut flood = Vec::new();
    for n in 0..40 {
        desk.last.remove(&9);
        let below = desk.weave(9, &[start], &[(0, 0, &format!("spam {n} "))]);
        let above = desk.weave(9, &[below], &[(0, 0, "more ")]);
        flood.push((below, above));
    }
    flood.sort_by_key(|(_, above)| *above);
    let (low_below, low) = flood[0];
    let honest = desk.weave(4, &[low_below], &[(0, 0, "Hm: ")]);
    let page = desk.whole();
    let kept = &flood[flood.len() - MAX_PAGE_BRANCHES..];
    for (below, above) in &flood {
        let expected = if kept.iter().any(|(_, k)| k == above) {
            (Status::Applied, Status::Applied)
        } else if *above == low {
            (Status::Applied, Status::Flood)
        } else {
            (Status::Flood, Status::Flood)
        };
        assert_eq!((status(&page, *below), status(&page, *above)), expected);
    }
    assert_eq!(status(&page, honest), Status::Applied);
    assert_eq!(page.log().len(), desk.entries.len());
    assert_eq!(page.heads().len(), MAX_PAGE_BRANCHES + 1);
    // What others wrote is not counted against them: twenty people, one weave each.
    let mut desk = Desk::new(answer());
    for n in 0..20 {
        desk.weave(n + 1, &[], &[(0, 0, "x")]);
    }
    assert_eq!(desk.whole().text().len(), 20);
}

#[test]
fn proposals_are_bounded_too_and_taken_over_ones_take_no_room() {
    let mut desk = Desk::new(question("Q"));
    let mut all = Vec::new();
    for n in 0..30 {
        let splices = splices_of(&[(1, 0, &format!(" {n}"))]);
        let entry = desk.entry(7, &[], PageBody::Reframe { splices, reason: None });
        all.push(desk.add(entry));
    }
    all.sort_unstable();
    let page = desk.whole();
    for (n, id) in all.iter().enumerate() {
        let kept = n + MAX_PAGE_BRANCHES >= all.len();
        assert_eq!(status(&page, *id), if kept { Status::Proposed } else { Status::Flood });
    }
    desk.weave(ASKER, &[all[29]], &[]);
    let page = desk.whole();
    assert_eq!(status(&page, all[29]), Status::Applied);
    assert_eq!(status(&page, all[13]), Status::Proposed);
    assert_eq!(status(&page, all[12]), Status::Flood);
}

#[test]
fn an_unreadable_proposal_is_never_part_of_the_text() {
    let mut desk = Desk::new(question("How?"));
    let body = PageBody::Reframe { splices: splices_of(&[(9, 1, "x")]), reason: None };
    let bad = desk.entry(4, &[], body);
    let bad = desk.add(bad);
    let on = desk.weave(ASKER, &[bad], &[(0, 0, "y")]);
    let mut page = desk.whole();
    assert_eq!(status(&page, bad), Status::Proposed);
    assert_eq!(page.text_proposed(&bad), None);
    assert_eq!(status(&page, on), Status::Malformed(Malformed::Ancestor));
    assert_eq!(page.text(), "How?");
}

#[test]
fn a_broken_weave_that_counts_does_not_carry_what_does_not() {
    let mut desk = Desk::new(answer());
    let mut gone = desk.entry(3, &[], PageBody::Weave(splices_of(&[(0, 0, "spam")])));
    gone.counts = false;
    let gone = desk.add(gone);
    desk.weave(4, &[gone], &[(40, 0, "x")]);
    let page = desk.whole();
    assert_eq!(status(&page, gone), Status::Uncounted);
    assert_eq!(page.text(), "");
}

#[test]
fn a_device_must_build_on_its_own() {
    let mut desk = Desk::new(answer());
    let a = desk.weave(2, &[], &[(0, 0, "one")]);
    let b = desk.weave(3, &[a], &[(3, 0, " two")]);
    let c = desk.weave(3, &[a], &[(3, 0, " three")]);
    assert_eq!(status(&desk.whole(), c), Status::Malformed(Malformed::Previous));
    // The next one need not be built on a malformed one, but on what was in order before it.
    let d = desk.weave(3, &[a], &[(3, 0, " four")]);
    let e = desk.weave(3, &[b], &[(3, 0, " five")]);
    let page = desk.whole();
    assert_eq!(status(&page, d), Status::Malformed(Malformed::Previous));
    assert_eq!(status(&page, e), Status::Applied);
    assert_eq!(page.text(), "one five two");
    // It waits while the one before it is not here.
    assert_eq!(status(&desk.page(|id| *id != d), e), Status::Waiting(vec![d]));
}

#[test]
fn joins_do_not_oblige_their_device_and_are_not_bound() {
    let mut desk = Desk::new(answer());
    let a = desk.weave(1, &[], &[(0, 0, "one")]);
    let b = desk.weave(2, &[a], &[(3, 0, " two")]);
    let c = desk.weave(1, &[a], &[(0, 0, "zero ")]);
    let join = desk.weave(1, &[b], &[]);
    let d = desk.weave(1, &[c], &[(0, 0, "- ")]);
    // A store that names the join as the previous one changes nothing.
    let mut entry = desk.entry(1, &[d], PageBody::Weave(splices_of(&[(0, 1, "*")])));
    entry.previous = Some(join);
    let e = desk.add(entry);
    let page = desk.whole();
    for id in [join, d, e] {
        assert_eq!(status(&page, id), Status::Applied);
    }
    assert_eq!(page.text(), "* zero one two");
}

#[test]
fn a_device_has_a_thousand_weaves() {
    let mut desk = Desk::new(answer());
    let mut last = desk.weave(2, &[], &[(0, 0, "x")]);
    for _ in 0..MAX_DEVICE_WEAVES {
        last = desk.weave(2, &[last], &[(0, 1, "y")]);
    }
    let other = desk.weave(3, &[last], &[(1, 0, "z")]);
    let over = desk.weave(2, &[other], &[(0, 1, "n")]);
    let page = unread(&desk);
    assert_eq!(status(&page, last), Status::Pending);
    assert_eq!(status(&page, other), Status::Pending);
    assert_eq!(status(&page, over), Status::Malformed(Malformed::DeviceWeaves));
    // A generation is the way out, for that device too.
    let runs = vec![Run { length: 1, source: (*last.as_bytes()).into() }];
    let body = PageBody::Generation { text: "y".into(), runs };
    let mut fresh = desk.entry(2, &[other], body);
    fresh.role = Role::Lead;
    let fresh = desk.add(fresh);
    let next = desk.weave(2, &[fresh], &[(1, 0, "!")]);
    let page = desk.whole();
    assert_eq!((page.text().as_str(), page.heads()), ("y!", vec![next]));
}

#[test]
fn a_device_inserts_a_megabyte() {
    let mut desk = Desk::new(answer());
    let long = "x".repeat(MAX_WEAVE_INSERT_BYTES);
    let all = u32::try_from(MAX_WEAVE_INSERT_BYTES).unwrap();
    let mut last = desk.weave(2, &[], &[(0, 0, &long)]);
    for _ in 1..MAX_DEVICE_WEAVE_BYTES / MAX_WEAVE_INSERT_BYTES {
        last = desk.weave(2, &[last], &[(0, all, &long)]);
    }
    let over = desk.weave(2, &[last], &[(0, 1, "n")]);
    let shorter = desk.weave(2, &[last], &[(0, 1, "")]);
    let other = desk.weave(3, &[last], &[(0, 1, "n")]);
    let page = unread(&desk);
    for id in [last, shorter, other] {
        assert_eq!(status(&page, id), Status::Pending);
    }
    assert_eq!(status(&page, over), Status::Malformed(Malformed::DeviceWeaves));
}

#[test]
fn what_concurrent_weaves_added_is_not_there_for_who_did_not_see_it() {
    let mut desk = Desk::new(answer());
    let a = desk.weave(2, &[], &[(0, 0, "näher 🚛")]);
    let end = desk.weave(3, &[a], &[(7, 0, "!")]);
    let over = desk.weave(4, &[a], &[(8, 0, "!")]);
    let deletes = desk.weave(5, &[a], &[(6, 2, "")]);
    let huge = desk.weave(6, &[a], &[(u32::MAX, u32::MAX, "")]);
    let on = desk.weave(7, &[over], &[]);
    let page = desk.whole();
    assert_eq!(status(&page, end), Status::Applied);
    for id in [over, deletes, huge] {
        assert_eq!(status(&page, id), Status::Malformed(Malformed::Range));
    }
    assert_eq!(status(&page, on), Status::Malformed(Malformed::Ancestor));
    assert_eq!(page.text(), "näher 🚛!");
}

#[test]
fn a_page_has_a_limit_and_may_shrink_to_it() {
    let mut desk = Desk::new(answer());
    let half = "ä".repeat(MAX_PAGE_BYTES / 4);
    let a = desk.weave(2, &[], &[(0, 0, &half)]);
    let b = desk.weave(3, &[a], &[(0, 0, &half)]);
    let over = desk.weave(4, &[b], &[(0, 0, "x")]);
    let same = desk.weave(5, &[b], &[(0, 1, "ö")]);
    assert_eq!(status(&desk.whole(), over), Status::Malformed(Malformed::Length));
    assert_eq!(status(&desk.whole(), same), Status::Applied);
    // Concurrent weaves may together be longer; then the page only shrinks.
    let c = desk.weave(6, &[a], &[(0, 0, &half)]);
    let shorter = desk.weave(7, &[b, c], &[(0, 2, "ö")]);
    let longer = desk.weave(8, &[b, c], &[(0, 0, "o")]);
    let page = desk.whole();
    assert_eq!(status(&page, shorter), Status::Applied);
    assert_eq!(status(&page, longer), Status::Malformed(Malformed::Length));
    assert!(page.text().len() > MAX_PAGE_BYTES);
}

#[test]
fn a_generation_needs_a_lead_and_the_deepest_is_present() {
    let mut desk = Desk::new(answer());
    let a = desk.weave(2, &[], &[(0, 0, "one")]);
    let start = |desk: &mut Desk, who: u8, on: EntryId, text: &str| {
        let runs = vec![Run { length: 4, source: (*on.as_bytes()).into() }];
        let mut entry = desk.entry(who, &[on], PageBody::Generation { text: text.into(), runs });
        entry.role = if who == 3 { Role::Member } else { Role::Lead };
        entry.counts = who != 4;
        desk.add(entry)
    };
    let by_member = start(&mut desk, 3, a, "mine");
    let removed = start(&mut desk, 4, a, "gone");
    let page = desk.whole();
    assert_eq!((page.text(), page.generation()), ("one".into(), None));
    for id in [by_member, removed] {
        assert_eq!(status(&page, id), Status::OtherGeneration);
    }
    let b = desk.weave(2, &[a], &[(3, 0, "!")]);
    let deep = start(&mut desk, 5, b, "deep");
    let flat = start(&mut desk, 6, a, "flat");
    let on_flat = desk.weave(7, &[flat], &[(0, 0, "x")]);
    let mut page = desk.whole();
    assert_eq!(page.text(), "deep");
    assert_eq!(status(&page, flat), Status::OtherGeneration);
    assert_eq!(status(&page, on_flat), Status::OtherGeneration);
    // Should the deep one stop counting, the other takes its place, and the document follows.
    desk.entries.iter_mut().find(|e| e.id == deep).unwrap().counts = false;
    page.set_entries(desk.entries.clone());
    while page.step(9) > 0 {}
    assert_eq!(page.text(), "xflat");
}
