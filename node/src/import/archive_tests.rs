use std::path::PathBuf;

use super::*;
use crate::import::date::DAY;

const NOW: i64 = 1_700_000_000;
/// 1999-01-01 10:00 UTC; the mails of the fixture are a day apart.
const START: i64 = 915_184_800;

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/oddities.mbox")
}

fn read(path: &Path, limits: &Limits) -> Archive {
    read_all(path, limits, NOW, &mut |_| ControlFlow::Continue(())).unwrap()
}

fn archive() -> Archive {
    read(&fixture(), &Limits::default())
}

fn by_subject<'a>(archive: &'a Archive, subject: &str) -> &'a ArchivedMail {
    archive.mails.iter().find(|m| m.mail.subject == subject).unwrap()
}

fn by_id<'a>(archive: &'a Archive, id: &str) -> &'a ArchivedMail {
    let id = format!("{id}@list.example");
    archive.mails.iter().find(|m| m.mail.message_id == id).unwrap()
}

fn parent_id(archive: &Archive, id: &str) -> Option<String> {
    by_id(archive, id).parent.map(|p| archive.mails[p].mail.message_id.replace("@list.example", ""))
}

#[test]
fn every_mail_comes_out_or_is_named() {
    let archive = archive();
    assert_eq!(archive.mails.len(), 34);
    assert!(archive.broken.is_none());
    assert_eq!(archive.kind, SourceKind::Mbox);
    let [skipped] = archive.skipped.as_slice() else { panic!("{:?}", archive.skipped) };
    assert_eq!(skipped.why, "no mail: it has no header");
    assert!(skipped.place.to_string().starts_with("mail 25 (byte "));
    let [duplicate] = archive.duplicates.as_slice() else { panic!("{:?}", archive.duplicates) };
    assert_eq!(duplicate.message_id, "qp@list.example");
    assert_eq!(archive.mails[duplicate.first].mail.from_name, "Jörg Müller");
}

#[test]
fn texts_are_decoded() {
    let archive = archive();
    for (id, text) in [
        (
            "root",
            "First line.\n\nFrom the start of a line, quoted.\n>From a quotation.\n\
             > From is no quoting.\n\nFrom what I hear, this sentence stays.",
        ),
        ("qp", "Grüße aus Köln, a long line that is continued. 1 = 1"),
        ("b64", "Grüße zurück, 你好."),
        ("cp1252", "“Smart” – 10 €"),
        ("koi8", "Как дела?"),
        ("martian", "plain \u{fffd}\u{fffd} end"),
        ("html", "Café & bar\n\n- one\n- two\nSee the map [http://club.example/map]."),
        ("alt", "The plain one."),
        ("nested", "Inner téxt.\n\nList footer."),
        ("wrongb", "Behind a wrong boundary."),
        ("nob", "No part anywhere."),
        ("empty", ""),
        ("esc", "\u{1b}[2J\u{1b}[31mred\u{1b}[0m \u{202e}gnirts\u{202c} zero\u{200b}width"),
        ("flowed", "A paragraph that flows over lines.\n\n> quoted too\n-- \nAnn"),
        ("uu", "Before.\nAfter."),
        ("tight", "The next mail follows without a blank line."),
        ("crlf", "CRLF\nhere."),
        ("raw8", "Undeclared: naïve."),
        ("badb64", "The readable part.\n___ footer of the list ___"),
        ("badqp", "50% is =ZZ and"),
        ("last", "The last one ends without a line end."),
    ] {
        assert_eq!(by_id(&archive, id).mail.body, text, "{id}");
    }
    assert_eq!(by_id(&archive, "long").mail.body.len(), 10_000);
}

#[test]
fn headers_are_decoded() {
    let archive = archive();
    assert_eq!(by_id(&archive, "koi8").mail.subject, "Привет");
    assert_eq!(by_id(&archive, "koi8").mail.from_name, "Иван");
    assert_eq!(by_id(&archive, "enc").mail.subject, "Über zwei Wörter – 漢字");
    assert_eq!(by_id(&archive, "raw8").mail.subject, "Déjà vu");
    assert_eq!(by_id(&archive, "raw8").mail.from_name, "René");
    assert_eq!(by_id(&archive, "b64").mail.from_name, "Bell, Ann");
    assert!(by_id(&archive, "esc").mail.subject.contains("\u{1b}[31m"));
    let no_id = &by_subject(&archive, "No message id").mail;
    assert!(no_id.message_id.ends_with("@imported.lanai.invalid"));
    assert_eq!(by_id(&archive, "bighead").mail.references.len(), 100);
}

#[test]
fn what_was_guessed_or_left_out_is_named() {
    let archive = archive();
    let nested = &by_id(&archive, "nested").mail;
    let left_out: Vec<(&str, &str, u64)> = nested
        .attachments
        .iter()
        .map(|a| (a.name.as_str(), a.media_type.as_str(), a.bytes))
        .collect();
    assert_eq!(
        left_out,
        [
            ("dot.gif", "image/gif", 46),
            ("passwd", "application/octet-stream", 10),
            ("evilgnp.exe", "application/octet-stream", 2),
            ("The forwarded one", "message/rfc822", 66),
        ]
    );
    assert_eq!(by_id(&archive, "uu").mail.attachments[0].name, "cat.txt");
    assert_eq!(by_id(&archive, "wrongb").mail.attachments[0].name, "x.png");
    for (id, part) in [
        ("martian", "unknown character set x-martian"),
        ("wrongb", "boundary is wrong"),
        ("nob", "MIME structure is broken"),
        ("raw8", "windows-1252"),
        ("badb64", "base64 encoding is damaged"),
        ("badqp", "quoted-printable encoding is damaged"),
    ] {
        let notes = &by_id(&archive, id).mail.notes;
        assert!(notes.iter().any(|n| n.contains(part)), "{id}: {notes:?}");
    }
    let unnoted = ["root", "qp", "b64", "koi8", "html", "alt", "nested", "flowed", "crlf"];
    assert!(unnoted.iter().all(|id| by_id(&archive, id).mail.notes.is_empty()));
}

#[test]
fn threads_are_found() {
    let archive = archive();
    for (id, parent) in [
        ("root", None),
        ("qp", Some("root")),
        ("b64", Some("qp")),
        ("bighead", Some("root")),
        ("cyc-a", None),
        ("cyc-b", Some("cyc-a")),
        ("subj", Some("cp1252")),
        ("subj2", Some("cp1252")),
        ("same", None),
        ("last", Some("alt")),
    ] {
        assert_eq!(parent_id(&archive, id).as_deref(), parent, "{id}");
    }
    for (at, mail) in archive.mails.iter().enumerate() {
        assert!(mail.parent.is_none_or(|p| p < at && archive.mails[p].plausible < mail.plausible));
        assert_eq!(mail.root, mail.parent.map_or(at, |p| archive.mails[p].root));
    }
    assert_eq!(archive.threads(), 34 - 7);
}

#[test]
fn wrong_dates_neither_change_nor_break_the_order() {
    let archive = archive();
    for (id, text) in [
        ("y99", "Thu, 14 Jan 0099 10:00:00 +0000"),
        ("y2099", "Thu, 01 Jan 2099 10:00:00 +0000"),
        ("baddate", "Foo, 99 Bar 12345678 99:99:99 +9999 (\\"),
    ] {
        let mail = by_id(&archive, id);
        assert_eq!(mail.mail.date.as_ref().unwrap().text, text);
        assert!((START..START + 40 * DAY).contains(&mail.plausible), "{id}: {}", mail.plausible);
    }
    assert_eq!(by_id(&archive, "nodate").mail.date, None);
    let (before, after) = (by_id(&archive, "enc").plausible, by_id(&archive, "nob").plausible);
    let between = by_id(&archive, "nodate").plausible;
    assert!((before..after).contains(&between), "{before} {between} {after}");
    assert_eq!(
        by_id(&archive, "y99").mail.date.as_ref().unwrap().unix_seconds,
        Some(-59_041_836_000)
    );
}

#[test]
fn long_texts_are_cut_with_a_note() {
    let limits = Limits { max_text_bytes: 1000, ..Limits::default() };
    let archive = read(&fixture(), &limits);
    let mail = &by_id(&archive, "long").mail;
    assert_eq!((mail.body.len(), mail.cut_bytes), (1000, 9000));
    let (text, cut) = mail.text(2000);
    assert!(cut && text.ends_with("x\n[cut here: 9000 bytes more in the original]"), "{text}");
}

#[test]
fn limits_and_interruption_end_the_reading_with_a_name() {
    let small = Limits { max_archive_text_bytes: 5000, ..Limits::default() };
    let result = read_all(&fixture(), &small, NOW, &mut |_| ControlFlow::Continue(()));
    assert!(matches!(result, Err(ImportError::TooLarge { max: 5000 })));
    let mut calls = Vec::new();
    let result = read_all(&fixture(), &Limits::default(), NOW, &mut |p| {
        calls.push(p);
        if p.mails == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(matches!(result, Err(ImportError::Stopped)));
    assert_eq!(calls.len(), 3);
    assert!(calls[0].total_bytes > 50_000 && calls[0].done_bytes <= calls[0].total_bytes);
    let result =
        read_all(Path::new("/nonexistent"), &small, NOW, &mut |_| ControlFlow::Continue(()));
    assert!(matches!(result, Err(ImportError::Source(SourceError::Open { .. }))));
}

#[test]
fn reading_twice_gives_the_same() {
    assert_eq!(archive().mails, archive().mails);
}
