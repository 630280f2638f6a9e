//! Bytes of what tends threads, of a post's wording, and what is refused.

use super::super::{Body, Post, PostRole, decode, encode};
use super::*;
use crate::entry::Class;
use crate::limits::{MAX_REASON_BYTES, MAX_TITLE_BYTES, MAX_WEAVE_DEPS};

fn op(act: ThreadAct, reason: Option<&str>) -> Body {
    Body::ThreadOp(ThreadOp { act, reason: reason.map(str::to_owned) })
}

fn tag(tag: &str, on: bool) -> Body {
    Body::Tag(Tag { tag: tag.into(), on })
}

fn tend(topic: &str, until: u64) -> Body {
    Body::Tend(Tend { topic: topic.into(), until })
}

fn post(met: Option<&[u8]>) -> Body {
    let met = met.map(|ids| ids.iter().map(|n| [*n; 32].into()).collect());
    Body::Post(Post { role: PostRole::Reply, text: "ok".into(), origin: None, met })
}

fn why() -> Option<String> {
    Some("why".into())
}

/// Each body with the bytes that it must have.
fn golden() -> Vec<(Body, Vec<u8>)> {
    let id = |n: u8| [&[0x58, 32][..], &[n; 32]].concat();
    let split = ThreadAct::Split("T".into(), true);
    let under = ThreadAct::Under([1; 32].into(), [2; 32].into());
    let title = ThreadAct::Retitle("é".into());
    let (hide, pin) = (Hide { on: true, reason: why() }, Pin { on: false, reason: None });
    let feature = Feature { on: true, reason: None };
    vec![
        // [38, {0: [0, "T", true], 1: "why"}]
        (
            op(split, Some("why")),
            [&[0x82, 0x18, 38, 0xa2, 0, 0x83, 0, 0x61, b'T', 0xf5, 1, 0x63][..], b"why"].concat(),
        ),
        (op(under, None), [&[0x82, 0x18, 38, 0xa1, 0, 0x83, 1][..], &id(1), &id(2)].concat()),
        (op(ThreadAct::Back, None), vec![0x82, 0x18, 38, 0xa1, 0, 0x81, 2]),
        (op(title, None), vec![0x82, 0x18, 38, 0xa1, 0, 0x82, 3, 0x62, 0xc3, 0xa9]),
        (Body::Hide(hide), [&[0x82, 0x18, 35, 0xa2, 0, 0xf5, 1, 0x63][..], b"why"].concat()),
        (Body::Pin(pin), vec![0x82, 0x18, 36, 0xa1, 0, 0xf4]),
        (Body::Feature(feature), vec![0x82, 0x18, 37, 0xa1, 0, 0xf5]),
        (tag("a", true), vec![0x82, 0x18, 131, 0xa2, 0, 0x61, b'a', 1, 0xf5]),
        (tend("a", 300), vec![0x82, 0x18, 133, 0xa2, 0, 0x61, b'a', 1, 0x19, 1, 44]),
        // [66, {0: 0, 1: "ok", 3: [id, id]}]
        (
            post(Some(&[1, 2])),
            [&[0x82, 0x18, 66, 0xa3, 0, 0, 1, 0x62, b'o', b'k', 3, 0x82][..], &id(1), &id(2)]
                .concat(),
        ),
    ]
}

#[test]
fn golden_bytes_that_are_read_back() {
    for (body, expected) in golden() {
        let bytes = encode(&body).unwrap();
        assert_eq!(bytes, expected, "{body:?}");
        let class = body.class().unwrap();
        assert_eq!(decode(class, &bytes).unwrap(), body);
        for n in 0..bytes.len() {
            assert!(decode(class, &bytes[..n]).is_err(), "{body:?} cut at {n}");
        }
        for other in Class::ALL.into_iter().filter(|c| *c != class) {
            assert!(matches!(decode(other, &bytes), Err(PayloadError::WrongClass { .. })));
        }
    }
}

/// The same bytes as [`encode`] would give, without its checks.
fn unchecked(body: &Body) -> Vec<u8> {
    let mut out = Vec::new();
    let mut e = minicbor::Encoder::new(&mut out);
    e.array(2).unwrap().u16(body.kind_number()).unwrap();
    match body {
        Body::ThreadOp(b) => e.encode(b).unwrap(),
        Body::Hide(b) => e.encode(b).unwrap(),
        Body::Pin(b) => e.encode(b).unwrap(),
        Body::Feature(b) => e.encode(b).unwrap(),
        Body::Tag(b) => e.encode(b).unwrap(),
        Body::Tend(b) => e.encode(b).unwrap(),
        Body::Post(b) => e.encode(b).unwrap(),
        _ => unreachable!(),
    };
    out
}

#[test]
fn refusals_on_both_sides() {
    let reason = "x".repeat(MAX_REASON_BYTES);
    let title = "x".repeat(MAX_TITLE_BYTES);
    let word = "x".repeat(MAX_TAG_BYTES);
    let ids: Vec<u8> = (0..).take(MAX_WEAVE_DEPS).collect();
    for good in [
        op(ThreadAct::Split(title.clone(), false), Some(&reason)),
        op(ThreadAct::Retitle(title.clone()), None),
        Body::Hide(Hide { on: true, reason: Some(reason.clone()) }),
        tag(&word, true),
        tend(&word, 0),
        post(Some(&ids)),
    ] {
        assert_eq!(unchecked(&good), encode(&good).unwrap());
        assert!(decode(good.class().unwrap(), &unchecked(&good)).is_ok());
    }
    let (reason, title, word) = (format!("{reason}x"), format!("{title}x"), format!("{word}x"));
    let over = Some(reason.clone());
    let ids: Vec<u8> = (0..).take(MAX_WEAVE_DEPS + 1).collect();
    for (bad, field) in [
        (op(ThreadAct::Back, Some(&reason)), "reason"),
        (op(ThreadAct::Split(title.clone(), true), None), "title"),
        (op(ThreadAct::Split(" ".into(), true), None), "title"),
        (op(ThreadAct::Retitle(title), None), "title"),
        (op(ThreadAct::Retitle(String::new()), None), "title"),
        (Body::Hide(Hide { on: true, reason: over.clone() }), "reason"),
        (Body::Pin(Pin { on: true, reason: over.clone() }), "reason"),
        (Body::Feature(Feature { on: true, reason: over }), "reason"),
        (tag(" ", true), "tag"),
        (tag(&word, true), "tag"),
        (tend("", 1), "tag"),
        (tend(&word, 1), "tag"),
        (post(Some(&ids)), "met"),
        (post(Some(&[2, 1])), "met"),
        (post(Some(&[1, 1])), "met"),
    ] {
        let back = decode(bad.class().unwrap(), &unchecked(&bad)).map(|_| ());
        for result in [encode(&bad).map(|_| ()), back] {
            match result {
                Err(PayloadError::Field { field: f, .. }) => assert_eq!(f, field, "{bad:?}"),
                other => panic!("{bad:?}: {other:?}"),
            }
        }
    }
}
