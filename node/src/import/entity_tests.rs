use super::*;

fn content(raw: &[u8]) -> Content {
    let (fields, body) = split_entity(raw);
    read_body(&fields, body)
}

fn nested(depth: usize, kind: &str) -> Vec<u8> {
    let mut raw = Vec::new();
    for level in 0..depth {
        raw.extend_from_slice(
            format!("Content-Type: {kind}; boundary=b{level}\n\n--b{level}\n").as_bytes(),
        );
    }
    raw.extend_from_slice(b"\ntext\n");
    raw
}

#[test]
fn headers_are_bounded_and_decoded() {
    let junk = "X-Junk: y\n".repeat(50_000);
    let long = " word\n".repeat(50_000);
    let raw = format!("{junk}>From a\nSubject: a\n{long}subject: second\nNo field\n\nbody\n");
    let (fields, body) = split_entity(raw.as_bytes());
    assert_eq!(fields.list.len(), 1);
    let subject = fields.raw("subject").unwrap();
    assert!(subject.starts_with(" a\n word\n") && subject.len() <= MAX_FIELD_BYTES);
    assert_eq!(body, b"body\n");
    let (fields, _) = split_entity(b"Subject: D\xe9j\xe0 =?utf-8?q?v=C3=BC?=");
    assert_eq!(fields.text("subject").unwrap(), "Déjà vü");
    let (fields, body) = split_entity(b"Subject: x\r\nA: b\r\n\r\nbody");
    assert_eq!((fields.text("subject").as_deref(), body), (Some("x"), &b"body"[..]));
}

#[test]
fn deep_nesting_ends_in_a_note_and_not_in_the_stack() {
    for kind in ["multipart/mixed", "multipart/digest", "multipart/alternative"] {
        let found = content(&nested(50_000, kind));
        assert!(found.notes.iter().any(|n| n.contains("deep")), "{kind}: {:?}", found.notes);
    }
    let messages = "Content-Type: message/rfc822\n\n".repeat(100_000);
    assert_eq!(content(messages.as_bytes()).attachments.len(), 1);
}

#[test]
fn many_parts_end_in_a_note() {
    let parts = "--b\n\nx\n".repeat(10_000);
    let raw = format!("Content-Type: multipart/mixed; boundary=b\n\n{parts}");
    let found = content(raw.as_bytes());
    assert!(found.notes.iter().any(|n| n.contains("more than 500 parts")));
    assert_eq!(found.text.matches('x').count(), MAX_PARTS - 1);
}

#[test]
fn a_boundary_that_another_begins_with_is_not_confused() {
    let raw = b"Content-Type: multipart/mixed; boundary=b\n\n--b\n\n--bb\none\n--b  \r\n\ntwo\n--b--\nrest\n";
    assert_eq!(content(raw).text, "--bb\none\n\ntwo");
}

#[test]
fn alternatives_prefer_plain_text_that_says_something() {
    let of = |parts: &str| {
        content(format!("Content-Type: multipart/alternative; boundary=b\n\n{parts}").as_bytes())
    };
    let html = "--b\nContent-Type: text/html\n\n<p>html</p>\n";
    let plain = "--b\nContent-Type: text/plain\n\nplain\n";
    let blank = "--b\nContent-Type: text/plain\n\n \n\n";
    assert_eq!(of(&format!("{html}{plain}--b--")).text, "plain");
    assert_eq!(of(&format!("{blank}{html}--b--")).text, "html");
    let calendar = "--b\nContent-Type: text/calendar; name=meet.ics\n\nBEGIN:VCALENDAR\n";
    let found = of(&format!("{plain}{calendar}--b--"));
    assert_eq!((found.text.as_str(), found.attachments[0].name.as_str()), ("plain", "meet.ics"));
}

#[test]
fn quoted_printable_is_lenient() {
    for (raw, text, damaged) in [
        ("a=20b=\nc  \nd", "a bc\nd", false),
        ("=C3=A9=3d", "é=", false),
        ("x=\r\ny\r\n", "xy\n", false),
        ("50% = =Z =4", "50% = =Z =4", true),
        ("=", "", false),
        ("", "", false),
    ] {
        let (out, bad) = decode_quoted_printable(raw.as_bytes());
        assert_eq!((String::from_utf8(out).unwrap().as_str(), bad), (text, damaged), "{raw:?}");
    }
}

#[test]
fn base64_is_lenient() {
    for (raw, text, damaged) in [
        ("aGVsbG8=\n", "hello", false),
        ("aGVs\r\nbG8=\r\n\r\n", "hello", false),
        ("aGVsbG8", "hello", false),
        ("aGk=aGk=", "hihi", false),
        ("aGk=\n__ footer __\n", "hi\n__ footer __\n", true),
        ("not base64 at all!", "not base64 at all!", true),
    ] {
        let (out, bad) = decode_base64(raw.as_bytes());
        assert_eq!((String::from_utf8(out).unwrap().as_str(), bad), (text, damaged), "{raw:?}");
    }
}

#[test]
fn attachment_names_never_leave_a_directory() {
    for (path, name) in [
        ("../../etc/passwd", "passwd"),
        ("C:\\x\\y.txt", "y.txt"),
        ("..", "unnamed"),
        ("a/", "unnamed"),
        ("", "unnamed"),
        ("\u{202e}\u{1b}[0m.txt", "[0m.txt"),
    ] {
        assert_eq!(file_name(path), name);
    }
    assert_eq!(file_name(&"é".repeat(500)).len(), MAX_ATTACHMENT_NAME_BYTES);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(300))]

    /// Whatever bytes stand in a mail, it is read or refused, within its limits.
    #[test]
    fn arbitrary_mails_never_panic(parts in proptest::collection::vec(0_usize..PIECES.len(), 0..60)) {
        let raw: Vec<u8> = parts.iter().flat_map(|&p| PIECES[p].iter().copied()).collect();
        if let Ok(mail) = crate::import::mail::parse_mail(&raw, 200) {
            assert!(mail.body.len() <= 200);
            assert!(!mail.message_id.is_empty() && !mail.from_name.is_empty());
        }
    }
}

const PIECES: &[&[u8]] = &[
    b"\n",
    b"\r\n",
    b"From: ",
    b"Subject: ",
    b"Date: ",
    b"References: <",
    b"Message-ID: <a@b>",
    b"Content-Type: multipart/mixed; boundary=\"b\"\n",
    b"Content-Type: multipart/alternative; boundary=b\n",
    b"Content-Type: text/html; charset=utf-7\n",
    b"Content-Type: text/plain; charset=iso-2022-jp; format=flowed; delsp=yes\n",
    b"Content-Type: text/plain; charset*0*=",
    b"Content-Type: message/rfc822\n",
    b"Content-Transfer-Encoding: base64\n",
    b"Content-Transfer-Encoding: quoted-printable\n",
    b"Content-Disposition: attachment; filename*=utf-8''%ff%",
    b"--b\n",
    b"--b--",
    b"=?utf-8?B?",
    b"=?koi8-r?q?=",
    b"?=",
    b"<a href=\"",
    b"<!--",
    b"<style>",
    b"&#x",
    b"begin 644 x\n#0V%T\n",
    b"end\n",
    b"> quoted \n",
    b"\xff\xfe\x00",
    "é\u{1f600}".as_bytes(),
    b"\x1b[31m",
    b"(",
    b"\\",
    b"\"",
    b"<",
    b">",
    b"@",
    b";",
    b":",
    b" ",
    b"Mon, 99 Jan 0099 99:99 +9999",
    b"QUJD",
    b"=3D=",
];
