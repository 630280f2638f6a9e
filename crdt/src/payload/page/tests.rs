//! Bytes of pages, and what is refused.

use proptest::prelude::*;

use super::super::{Body, decode, encode};
use super::*;
use crate::entry::Class;

fn splice(at: u32, delete: u32, insert: &str) -> Splice {
    Splice { at, delete, insert: insert.into() }
}

fn weave(splices: Vec<Splice>) -> Body {
    Body::Weave(Weave { page: PageKind::Answer, splices })
}

fn run(length: u32, n: u8) -> Run {
    Run { length, source: [n; 32].into() }
}

fn generation(text: &str, runs: Vec<Run>) -> Body {
    Body::Generation(Generation { page: PageKind::Question, text: text.into(), runs })
}

fn reframe(splices: Vec<Splice>, reason: Option<&str>) -> Body {
    Body::Reframe(Reframe { splices, reason: reason.map(str::to_owned) })
}

fn bytes(body: &Body) -> Vec<u8> {
    encode(body).unwrap()
}

#[test]
fn golden_bytes() {
    // [96, {0: 1 (answer), 1: [[0, 2, "né"]]}]
    let expected = [0x82, 0x18, 96, 0xa2, 0, 1, 1, 0x81, 0x83, 0, 2, 0x63, b'n', 0xc3, 0xa9];
    assert_eq!(bytes(&weave(vec![splice(0, 2, "né")])), expected);
    assert_eq!(bytes(&weave(vec![])), [0x82, 0x18, 96, 0xa2, 0, 1, 1, 0x80]);
    // [98, {0: [[3, 1, ""]], 1: "why"}]; without a reason the key is left out.
    let expected = [0x82, 0x18, 98, 0xa2, 0, 0x81, 0x83, 3, 1, 0x60, 1, 0x63, b'w', b'h', b'y'];
    assert_eq!(bytes(&reframe(vec![splice(3, 1, "")], Some("why"))), expected);
    let expected = [0x82, 0x18, 98, 0xa1, 0, 0x81, 0x83, 3, 1, 0x60];
    assert_eq!(bytes(&reframe(vec![splice(3, 1, "")], None)), expected);
    // [97, {0: 0 (question), 1: "ab", 2: [[2, source]]}]
    let mut expected = vec![0x82, 0x18, 97, 0xa3, 0, 0, 1, 0x62, b'a', b'b', 2, 0x81, 0x82, 2];
    expected.extend([0x58, 32]);
    expected.extend([7; 32]);
    assert_eq!(bytes(&generation("ab", vec![run(2, 7)])), expected);
}

fn samples() -> Vec<Body> {
    vec![
        weave(vec![]),
        weave(vec![splice(0, 0, "a"), splice(1, 0, "b"), splice(2, 7, ""), splice(10, 1, "🚛")]),
        weave(vec![splice(u32::MAX, u32::MAX, "end")]),
        reframe(vec![splice(0, 1, "b")], None),
        reframe(vec![splice(0, 1, "b")], Some("")),
        generation("", vec![]),
        generation("né🚛", vec![run(1, 1), run(2, 2)]),
    ]
}

#[test]
fn round_trips() {
    for body in samples() {
        let bytes = bytes(&body);
        assert_eq!(decode(Class::Weave, &bytes).unwrap(), body);
        for n in 0..bytes.len() {
            assert!(decode(Class::Weave, &bytes[..n]).is_err(), "{body:?} cut at {n}");
        }
        for class in Class::ALL.into_iter().filter(|c| *c != Class::Weave) {
            assert!(matches!(decode(class, &bytes), Err(PayloadError::WrongClass { .. })));
        }
    }
}

/// The same bytes as [`encode`] would give, without its checks.
fn unchecked(body: &Body) -> Vec<u8> {
    let mut out = Vec::new();
    let mut e = minicbor::Encoder::new(&mut out);
    e.array(2).unwrap().u16(body.kind_number()).unwrap();
    match body {
        Body::Weave(b) => e.encode(b).unwrap(),
        Body::Reframe(b) => e.encode(b).unwrap(),
        Body::Generation(b) => e.encode(b).unwrap(),
        _ => unreachable!(),
    };
    out
}

#[test]
fn refusals_on_both_sides() {
    let many = |n: usize| (0..n).map(|n| splice(n as u32 * 2, 1, "")).collect::<Vec<_>>();
    let runs = |n: usize| (0..n).map(|_| run(1, 1)).collect::<Vec<_>>();
    let long = "x".repeat(MAX_WEAVE_INSERT_BYTES);
    let page = "x".repeat(MAX_PAGE_BYTES);
    let reason = "x".repeat(MAX_REASON_BYTES);
    for good in [
        weave(many(MAX_SPLICES)),
        weave(vec![splice(0, 0, &long)]),
        reframe(vec![splice(0, 1, "")], Some(&reason)),
        generation(&page, vec![run(MAX_PAGE_BYTES as u32, 1)]),
        generation(&"x".repeat(MAX_GENERATION_RUNS), runs(MAX_GENERATION_RUNS)),
    ] {
        assert_eq!(unchecked(&good), bytes(&good));
        assert!(decode(Class::Weave, &bytes(&good)).is_ok());
    }
    let too_long_reason = format!("{reason}x");
    for (bad, field) in [
        (weave(many(MAX_SPLICES + 1)), "splices"),
        (weave(vec![splice(0, 0, &long), splice(1, 0, "x")]), "splices"),
        (weave(vec![splice(0, 0, "")]), "splices"),
        (weave(vec![splice(5, 1, "x"), splice(0, 1, "y")]), "splices"),
        (weave(vec![splice(0, 1, "x"), splice(1, 1, "y")]), "splices"),
        (weave(vec![splice(0, 3, "x"), splice(2, 1, "y")]), "splices"),
        (weave(vec![splice(0, 0, "x"), splice(0, 0, "y")]), "splices"),
        // The end is beyond 32 bits.
        (weave(vec![splice(7, u32::MAX, ""), splice(9, 1, "y")]), "splices"),
        (reframe(vec![], None), "splices"),
        (reframe(vec![splice(0, 0, "")], None), "splices"),
        (reframe(vec![splice(0, 1, "")], Some(&too_long_reason)), "reason"),
        (generation(&format!("{page}x"), vec![run(MAX_PAGE_BYTES as u32 + 1, 1)]), "text"),
        (generation(&"x".repeat(MAX_GENERATION_RUNS + 1), runs(MAX_GENERATION_RUNS + 1)), "runs"),
        (generation("ab", vec![run(2, 1), run(0, 1)]), "runs"),
        (generation("ab", vec![run(1, 1)]), "runs"),
        (generation("ab", vec![run(3, 1)]), "runs"),
        // Bytes are not what is counted, and sums do not wrap.
        (generation("né", vec![run(3, 1)]), "runs"),
        (generation("a", vec![run(u32::MAX, 1), run(2, 1)]), "runs"),
    ] {
        for result in [encode(&bad).map(|_| ()), decode(Class::Weave, &unchecked(&bad)).map(|_| ())]
        {
            match result {
                Err(PayloadError::Field { field: f, .. }) => assert_eq!(f, field, "{bad:?}"),
                other => panic!("{bad:?}: {other:?}"),
            }
        }
    }
}

#[test]
fn lists_of_huge_declared_length_allocate_nothing() {
    let huge = [0x9a, 0xff, 0xff, 0xff, 0xff];
    for start in [&[0x82, 0x18, 96, 0xa2, 0, 1, 1][..], &[0x82, 0x18, 97, 0xa3, 0, 0, 1, 0x60, 2]] {
        let bytes = [start, &huge].concat();
        assert!(matches!(decode(Class::Weave, &bytes), Err(PayloadError::Malformed(_))));
    }
}

#[test]
fn a_weave_of_the_greatest_size_fits_into_a_body() {
    // A thousand places and 32 KiB of text are far below what a body may hold.
    let splices: Vec<Splice> =
        (0..MAX_SPLICES as u32).map(|n| splice(n * 64, 60, &"x".repeat(32))).collect();
    assert!(bytes(&weave(splices)).len() < crate::limits::MAX_INFLATED_BYTES / 4);
}

proptest! {
    #[test]
    fn altered_bytes_never_panic(which in 0usize..7, at: usize, value: u8) {
        let mut bytes = bytes(&samples()[which]);
        let at = at % bytes.len();
        bytes[at] = value;
        if let Ok(body) = decode(Class::Weave, &bytes) {
            prop_assert!(encode(&body).is_ok());
        }
    }
}
