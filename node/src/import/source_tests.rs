use std::io::{Cursor, Write};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

const FIXTURE: &[u8] = include_bytes!("../../tests/fixtures/oddities.mbox");

/// The mails of an mbox; an `Err` for a skipped one.
fn read(mbox: &[u8], max: usize) -> Vec<Result<String, String>> {
    let mut reader = MboxReader::new(Cursor::new(mbox), max);
    let mut out = Vec::new();
    while let Some(item) = reader.next_item().unwrap() {
        out.push(match item {
            MailItem::Raw { bytes, .. } => Ok(String::from_utf8(bytes).unwrap()),
            MailItem::Skipped { why, .. } => Err(why),
        });
    }
    out
}

fn mails(mbox: &str) -> Vec<String> {
    read(mbox.as_bytes(), 10_000).into_iter().map(|m| m.unwrap_or_else(|why| why)).collect()
}

fn raw_bytes(source: Source) -> Vec<Vec<u8>> {
    source
        .filter_map(|item| match item.unwrap() {
            MailItem::Raw { bytes, .. } => Some(bytes),
            MailItem::Skipped { .. } => None,
        })
        .collect()
}

fn write(dir: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.join(name);
    fs::write(&path, bytes).unwrap();
    path
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

const SEP: &str = "From joe@x.example Sat Jan  3 01:05:34 1998\n";

#[test]
fn separators_and_quoting_of_all_dialects() {
    let mbox = format!("{SEP}A: 1\n\nx\n>From y\n>>From z\n>> From\n\n{SEP}B: 2\n\n\n\n{SEP}C: 3");
    assert_eq!(mails(&mbox), ["A: 1\n\nx\nFrom y\n>From z\n>> From\n", "B: 2\n\n\n", "C: 3"]);
    let crlf = mbox.replace('\n', "\r\n");
    assert_eq!(mails(&crlf)[1], "B: 2\r\n\r\n\r\n");
    let lying = format!("{SEP}Content-Length: 9999\n\nshort\n\n{SEP}B: 2\n\n");
    assert_eq!(mails(&lying).len(), 2);
}

#[test]
fn sentences_stay_and_a_missing_blank_line_splits() {
    let body =
        "From here on\n\nFrom what I hear\nnote: this\n\nFrom 10:30 in May 1999 it rained.\nYes.";
    assert_eq!(mails(&format!("{SEP}A: 1\n\n{body}\n")), [format!("A: 1\n\n{body}\n")]);
    assert_eq!(mails(&format!("{SEP}A: 1\n\nx\n{SEP}B: 2\n\ny\n")), ["A: 1\n\nx\n", "B: 2\n\ny\n"]);
    let short = format!("{SEP}A: 1\n\nx\n\nFrom joe\nReceived: by x\n\ny\n");
    assert_eq!(mails(&short), ["A: 1\n\nx\n", "Received: by x\n\ny\n"]);
}

#[test]
fn odd_files() {
    assert!(mails("").is_empty());
    assert!(mails("\n\r\n\n").is_empty());
    assert_eq!(mails(&format!("\u{feff}\n{SEP}A: 1\n")), ["A: 1\n"]);
    assert_eq!(mails(&format!("{SEP}{SEP}A: 1\n")), ["nothing in it", "A: 1\n"]);
    assert_eq!(mails("From "), ["nothing in it"]);
    let mut reader = MboxReader::new(Cursor::new(b"Subject: x\n"), 100);
    assert!(matches!(reader.next_item(), Err(Fault::NotMbox)));
}

#[test]
fn a_mail_over_the_limit_is_named_and_the_next_is_read() {
    let long = "x".repeat(3 * CHUNK_BYTES);
    let mbox = format!("{SEP}A: 1\n\n{long}\n\n{SEP}{long}\nB: 2\n");
    let read = read(mbox.as_bytes(), 1000);
    assert!(read[0].as_ref().unwrap_err().contains("more than the 1000 allowed"), "{read:?}");
    assert_eq!(read.len(), 2);
    let mbox = format!("From {long}\nA: 1\n\n{SEP}B: 2\n");
    assert_eq!(mails(&mbox), ["A: 1\n", "B: 2\n"]);
}

#[test]
fn places_name_number_and_offset() {
    let mbox = format!("{SEP}A: 1\n\n{SEP}B: 2\n");
    let mut reader = MboxReader::new(Cursor::new(mbox.as_bytes()), 100);
    reader.next_item().unwrap();
    let Some(MailItem::Raw { place, .. }) = reader.next_item().unwrap() else { panic!() };
    assert_eq!(place.to_string(), format!("mail 2 (byte {})", 2 * SEP.len() + 6));
}

#[test]
fn gzip_is_recognised_by_content_and_progress_reaches_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let plain = Source::open(&write(dir.path(), "a.gz", FIXTURE), 1 << 20).unwrap();
    assert_eq!(plain.kind(), SourceKind::Mbox);
    // Two members, as `cat a.gz b.gz` makes them.
    let (first, second) = FIXTURE.split_at(30_000);
    let packed = [gz(first), gz(second)].concat();
    let mut source = Source::open(&write(dir.path(), "plain.mbox", &packed), 1 << 20).unwrap();
    assert_eq!(source.kind(), SourceKind::MboxGz);
    assert_eq!(source.total_bytes(), packed.len() as u64);
    let count = source.by_ref().map(Result::unwrap).count();
    assert_eq!(source.done_bytes(), source.total_bytes());
    assert_eq!(count, 36);
    assert_eq!(
        raw_bytes(Source::open(&dir.path().join("plain.mbox"), 1 << 20).unwrap()),
        raw_bytes(plain)
    );
}

#[test]
fn zeros_after_a_gzip_stream_are_padding() {
    let dir = tempfile::tempdir().unwrap();
    let whole = gz(FIXTURE);
    let padded = [whole.as_slice(), &[0; 1000]].concat();
    let source = Source::open(&write(dir.path(), "padded", &padded), 1 << 20).unwrap();
    assert_eq!(raw_bytes(source).len(), 36);
    for junk in [&b"junk"[..], b"\0\0junk"] {
        let path = write(dir.path(), "junk", &[whole.as_slice(), junk].concat());
        let last = Source::open(&path, 1 << 20).unwrap().last().unwrap();
        assert!(matches!(last, Err(SourceError::Gzip { .. })), "{last:?}");
    }
}

#[test]
fn a_broken_gzip_stream_yields_what_came_before_and_then_a_named_error() {
    let dir = tempfile::tempdir().unwrap();
    let whole = gz(FIXTURE);
    for cut in [whole.len() / 2, whole.len() - 4] {
        let path = write(dir.path(), "cut", whole.get(..cut).unwrap());
        let items: Vec<_> = Source::open(&path, 1 << 20).unwrap().collect();
        let (last, before) = items.split_last().unwrap();
        assert!(matches!(last, Err(SourceError::Gzip { .. })), "{last:?}");
        let (partial, good) = before.split_last().unwrap();
        assert!(matches!(partial, Ok(MailItem::Skipped { why, .. }) if why.contains("to the end")));
        assert!(good.len() > 3 && good.iter().all(Result::is_ok));
    }
    let mut damaged = whole.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 0xff;
    let last = Source::open(&write(dir.path(), "bad", &damaged), 1 << 20).unwrap().last().unwrap();
    assert!(matches!(last, Err(SourceError::Gzip { .. })));
    let text = Source::open(&write(dir.path(), "text", &gz(b"no mbox")), 99).unwrap().last();
    assert!(matches!(text, Some(Err(SourceError::NotMbox { .. }))));
}

#[test]
fn a_maildir_gives_the_same_mails() {
    let dir = tempfile::tempdir().unwrap();
    let from_mbox = raw_bytes(Source::open(&write(dir.path(), "mbox", FIXTURE), 1 << 20).unwrap());
    for folder in ["cur", "new", "tmp"] {
        fs::create_dir(dir.path().join(folder)).unwrap();
    }
    for (n, bytes) in from_mbox.iter().enumerate() {
        let folder = if n < 20 { "cur/" } else { "new/" };
        write(dir.path(), &format!("{folder}{}.x:2,S", 900_000_000 + n), bytes);
    }
    write(dir.path(), "tmp/900000001.unfinished", b"A: 1\n\n");
    write(dir.path(), "cur/.hidden", b"A: 1\n\n");
    let mut source = Source::open(dir.path(), 1 << 20).unwrap();
    assert_eq!(source.kind(), SourceKind::Maildir);
    assert_eq!(source.by_ref().count(), 36);
    assert_eq!(source.done_bytes(), source.total_bytes());
    assert_eq!(raw_bytes(Source::open(dir.path(), 1 << 20).unwrap()), from_mbox);
}

#[test]
fn a_maildir_names_what_it_cannot_read() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("new/3-directory")).unwrap();
    write(dir.path(), "new/1-empty", b"");
    write(dir.path(), "new/2-large\u{1b}[2J", &[b'x'; 101]);
    let postmark = format!("{SEP}A: 1\n");
    write(dir.path(), "new/4-postmark", postmark.as_bytes());
    let items: Vec<_> = Source::open(dir.path(), 100).unwrap().map(Result::unwrap).collect();
    let shown: Vec<String> = items
        .iter()
        .map(|item| match item {
            MailItem::Raw { place, bytes } => {
                format!("{place}: {}", String::from_utf8_lossy(bytes))
            }
            MailItem::Skipped { place, why } => format!("{place}: {why}"),
        })
        .collect();
    assert_eq!(
        shown,
        [
            "mail 1 (1-empty): nothing in it",
            "mail 2 (2-large[2J): more than the 100 bytes allowed",
            "mail 3 (3-directory): not a file",
            "mail 4 (4-postmark): A: 1\n",
        ]
    );
}

#[test]
fn what_is_no_archive_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let open = |path: &Path| Source::open(path, 100).unwrap_err();
    assert!(matches!(open(dir.path()), SourceError::NotMaildir { .. }));
    assert!(matches!(open(&dir.path().join("none")), SourceError::Open { .. }));
    #[cfg(unix)]
    assert!(matches!(open(Path::new("/dev/null")), SourceError::NotAFile { .. }));
    let named = open(&dir.path().join("e\u{1b}[2Jvil")).to_string();
    assert!(!named.contains('\u{1b}'));
}
