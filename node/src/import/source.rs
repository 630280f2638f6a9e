//! Finds the raw mails in an mbox, a gzipped mbox or a Maildir, one at a time.
//!
//! # What separates mails in an mbox
//!
//! There is no specification, only four dialects (mboxo, mboxrd, mboxcl, mboxcl2). The rules here
//! read all of them:
//!
//! 1. Mails are separated by a line that begins with `From `. `Content-Length` is ignored: tools
//!    that edit an mbox forget to update it.
//! 2. Such a line counts as a separator if it looks like one (month, time of day and year, as in
//!    `From joe@example.org Sat Jan  3 01:05:34 1998`) and either follows a blank line or is followed
//!    by a header; or if it follows a blank line and is followed by a header that only mails have.
//!    Sentences that begin with "From " stay in their mail, and a missing blank line splits all the
//!    same.
//! 3. `>From `, `>>From ` and so on lose one `>` (mboxrd).
//! 4. The one blank line before a separator belongs to the format, not to the mail.
//! 5. Lines end in LF or CRLF, in any mixture.
//!
//! # Memory
//!
//! One mail at a time, at most `max_mail_bytes` of it. A larger mail is passed over and named, and
//! so is one that is cut off by a read error: half a mail under its real message id would hide the
//! whole one from a later import.

use std::collections::VecDeque;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::GzDecoder;

use super::text::shown_name;

/// Bytes of one piece of a line. Longer lines are handled in several pieces.
const CHUNK_BYTES: usize = 64 * 1024;
/// Bytes of the buffers between the file and the reader of lines.
const BUFFER_BYTES: usize = 256 * 1024;
/// First two bytes of every gzip member (RFC 1952).
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const MONTHS: [&[u8]; 12] = [
    b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec",
];
/// Mails that a Maildir may hold. The names of all are sorted in memory.
const MAX_MAILDIR_FILES: usize = 5_000_000;

/// Why an archive cannot be opened, or cannot be read any further.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The path does not exist or must not be read.
    #[error("cannot open {}", shown_path(.path))]
    Open {
        /// The path.
        path: PathBuf,
        /// What the system said.
        #[source]
        error: io::Error,
    },
    /// A directory without `cur` and `new`.
    #[error("{} is a directory but no Maildir (no cur or new in it)", shown_path(.path))]
    NotMaildir {
        /// The path.
        path: PathBuf,
    },
    /// A pipe, a socket or a device.
    #[error("{} is neither a file nor a directory", shown_path(.path))]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// A file whose first line does not begin with `From `.
    #[error("{} is no mbox (its first line must begin with \"From \")", shown_path(.path))]
    NotMbox {
        /// The path.
        path: PathBuf,
    },
    /// A Maildir with more files than can be sorted in memory.
    #[error("{} holds more than {MAX_MAILDIR_FILES} mails", shown_path(.path))]
    TooManyFiles {
        /// The path.
        path: PathBuf,
    },
    /// The compressed stream is damaged or ends early.
    #[error("the gzip stream of {} is damaged after {after} of its bytes", shown_path(.path))]
    Gzip {
        /// The path.
        path: PathBuf,
        /// Compressed bytes read so far.
        after: u64,
        /// What the decoder said.
        #[source]
        error: io::Error,
    },
    /// The system could not read on.
    #[error("cannot read {} any further than byte {after}", shown_path(.path))]
    Read {
        /// The path.
        path: PathBuf,
        /// Bytes read so far.
        after: u64,
        /// What the system said.
        #[source]
        error: io::Error,
    },
}

fn shown_path(path: &Path) -> String {
    shown_name(&path.to_string_lossy(), 400)
}

/// How the archive stores its mails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceKind {
    /// One file of mails.
    Mbox,
    /// The same, compressed with gzip.
    MboxGz,
    /// A directory with one file for each mail.
    Maildir,
}

/// Where in the archive a mail stands, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Number of the mail, from 1.
    pub number: u64,
    /// Where the mail begins, in bytes of the uncompressed mbox; 0 in a Maildir.
    pub offset: u64,
    /// Name of the file in a Maildir, safe to print.
    pub file: Option<String>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(file) => write!(f, "mail {} ({file})", self.number),
            None => write!(f, "mail {} (byte {})", self.number, self.offset),
        }
    }
}

/// What stands at one place of the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MailItem {
    /// A mail, as stored, without separator and `>From ` quoting.
    Raw {
        /// Where it stands.
        place: Place,
        /// Its bytes.
        bytes: Vec<u8>,
    },
    /// A mail that cannot be used.
    Skipped {
        /// Where it stands.
        place: Place,
        /// Why, safe to print.
        why: String,
    },
}

/// An open archive: an iterator over its mails in file order.
///
/// After an `Err` it ends. Everything before the error has been handed out by then.
pub struct Source {
    kind: SourceKind,
    path: PathBuf,
    total_bytes: u64,
    done_bytes: Arc<AtomicU64>,
    reader: Reader,
    failed: bool,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("kind", &self.kind).field("path", &self.path).finish()
    }
}

enum Reader {
    Mbox(MboxReader<Box<dyn BufRead + Send>>),
    Maildir(MaildirReader),
}

/// Counts the bytes that really come from the file, so that progress and time left are right for
/// compressed archives too.
struct Counting<R> {
    inner: R,
    done: Arc<AtomicU64>,
}

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.done.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

/// The members of a gzip file, one after another. Zeros after the last are padding, as tapes and
/// block devices leave it, and no damage: the last mail is whole.
struct Members<R: BufRead> {
    /// Empty after the end and after an error.
    member: Option<GzDecoder<R>>,
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while let Some(mut member) = self.member.take() {
            let n = member.read(buf)?;
            if n > 0 || buf.is_empty() {
                self.member = Some(member);
                return Ok(n);
            }
            let mut input = member.into_inner();
            let mut padded = false;
            loop {
                let rest = input.fill_buf()?;
                if rest.is_empty() {
                    return Ok(0);
                }
                let zeros = rest.iter().take_while(|&&b| b == 0).count();
                if zeros == 0 {
                    break;
                }
                padded = true;
                input.consume(zeros);
            }
            if padded {
                return Err(io::Error::other("something follows the padding after its end"));
            }
            self.member = Some(GzDecoder::new(input));
        }
        Ok(0)
    }
}

impl Source {
    /// Opens `path`, a file or a Maildir. Compression is recognised by content, not by name.
    ///
    /// `max_mail_bytes` bounds the memory for one mail.
    ///
    /// # Errors
    ///
    /// [`SourceError`], if this is no archive that can be read. An empty file is an empty mbox.
    pub fn open(path: &Path, max_mail_bytes: usize) -> Result<Self, SourceError> {
        let open_error = |error| SourceError::Open { path: path.to_owned(), error };
        let meta = fs::metadata(path).map_err(open_error)?;
        let done_bytes = Arc::new(AtomicU64::new(0));
        if meta.is_dir() {
            let (reader, total_bytes) = MaildirReader::open(path, max_mail_bytes)?;
            return Ok(Source {
                kind: SourceKind::Maildir,
                path: path.to_owned(),
                total_bytes,
                done_bytes,
                reader: Reader::Maildir(reader),
                failed: false,
            });
        }
        if !meta.is_file() {
            return Err(SourceError::NotAFile { path: path.to_owned() });
        }
        let file = File::open(path).map_err(open_error)?;
        let counting = Counting { inner: file, done: Arc::clone(&done_bytes) };
        let mut buffered = BufReader::with_capacity(BUFFER_BYTES, counting);
        let start = buffered.fill_buf().map_err(open_error)?;
        let (kind, input): (_, Box<dyn BufRead + Send>) = if start.starts_with(&GZIP_MAGIC) {
            let gz = Members { member: Some(GzDecoder::new(buffered)) };
            (SourceKind::MboxGz, Box::new(BufReader::with_capacity(BUFFER_BYTES, gz)))
        } else {
            (SourceKind::Mbox, Box::new(buffered))
        };
        Ok(Source {
            kind,
            path: path.to_owned(),
            total_bytes: meta.len(),
            done_bytes,
            reader: Reader::Mbox(MboxReader::new(input, max_mail_bytes)),
            failed: false,
        })
    }

    /// How the archive stores its mails.
    #[must_use]
    pub fn kind(&self) -> SourceKind {
        self.kind
    }

    /// Bytes of the archive on disk, compressed if it is.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    /// Bytes of the archive read so far, in the unit of [`Source::total_bytes`].
    #[must_use]
    pub fn done_bytes(&self) -> u64 {
        self.done_bytes.load(Ordering::Relaxed).min(self.total_bytes)
    }

    fn name_error(&self, fault: Fault) -> SourceError {
        let (path, after) = (self.path.clone(), self.done_bytes());
        match (fault, self.kind) {
            (Fault::NotMbox, _) => SourceError::NotMbox { path },
            (Fault::Io(error), SourceKind::MboxGz) => SourceError::Gzip { path, after, error },
            (Fault::Io(error), _) => SourceError::Read { path, after, error },
        }
    }
}

impl Iterator for Source {
    type Item = Result<MailItem, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let item = match &mut self.reader {
            Reader::Mbox(mbox) => mbox.next_item(),
            Reader::Maildir(maildir) => Ok(maildir.next_item(&self.done_bytes)),
        };
        match item {
            Ok(item) => item.map(Ok),
            Err(fault) => {
                self.failed = true;
                Some(Err(self.name_error(fault)))
            }
        }
    }
}

/// What can end an mbox early.
#[derive(Debug)]
enum Fault {
    NotMbox,
    Io(io::Error),
}

/// A line or a piece of a long one, with its line end.
#[derive(Default)]
struct Chunk {
    bytes: Vec<u8>,
    starts_line: bool,
}

impl Chunk {
    fn is_blank_line(&self) -> bool {
        self.starts_line && matches!(self.bytes.as_slice(), b"\n" | b"\r\n")
    }
}

struct MboxReader<R> {
    input: R,
    max_mail_bytes: usize,
    peeked: Option<Chunk>,
    at_line_start: bool,
    offset: u64,
    number: u64,
    started: bool,
    /// A read error that waits until the broken-off mail has been named.
    pending: Option<io::Error>,
    ended: bool,
}

impl<R: BufRead> MboxReader<R> {
    fn new(input: R, max_mail_bytes: usize) -> Self {
        MboxReader {
            input,
            max_mail_bytes,
            peeked: None,
            at_line_start: true,
            offset: 0,
            number: 0,
            started: false,
            pending: None,
            ended: false,
        }
    }

    /// Reads up to the next line end, at most [`CHUNK_BYTES`].
    fn read_chunk(&mut self) -> io::Result<Option<Chunk>> {
        let mut bytes = Vec::new();
        (&mut self.input).take(CHUNK_BYTES as u64).read_until(b'\n', &mut bytes)?;
        if bytes.is_empty() {
            return Ok(None);
        }
        let starts_line = self.at_line_start;
        self.at_line_start = bytes.ends_with(b"\n");
        Ok(Some(Chunk { bytes, starts_line }))
    }

    fn next_chunk(&mut self) -> io::Result<Option<Chunk>> {
        let chunk = match self.peeked.take() {
            Some(chunk) => Some(chunk),
            None => self.read_chunk()?,
        };
        self.offset += chunk.as_ref().map_or(0, |c| c.bytes.len() as u64);
        Ok(chunk)
    }

    fn peek_bytes(&mut self) -> io::Result<&[u8]> {
        if self.peeked.is_none() {
            self.peeked = self.read_chunk()?;
        }
        Ok(self.peeked.as_ref().map_or(&[], |c| c.bytes.as_slice()))
    }

    /// Consumes everything up to and including the first separator. False if there is no mail.
    fn start(&mut self) -> Result<bool, Fault> {
        self.started = true;
        while let Some(chunk) = self.next_chunk().map_err(Fault::Io)? {
            let line = chunk.bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&chunk.bytes);
            if line.starts_with(b"From ") {
                self.skip_rest_of_line(chunk).map_err(Fault::Io)?;
                return Ok(true);
            }
            if !line.iter().all(u8::is_ascii_whitespace) {
                return Err(Fault::NotMbox);
            }
        }
        Ok(false)
    }

    fn skip_rest_of_line(&mut self, mut piece: Chunk) -> io::Result<()> {
        while !piece.bytes.ends_with(b"\n") {
            let Some(next) = self.next_chunk()? else { break };
            piece = next;
        }
        Ok(())
    }

    fn next_item(&mut self) -> Result<Option<MailItem>, Fault> {
        if let Some(error) = self.pending.take() {
            self.ended = true;
            return Err(Fault::Io(error));
        }
        if self.ended {
            return Ok(None);
        }
        if !self.started && !self.start()? {
            self.ended = true;
            return Ok(None);
        }
        self.number += 1;
        let place = Place { number: self.number, offset: self.offset, file: None };
        let mut mail = Collected::new(self.max_mail_bytes);
        loop {
            match self.advance(&mut mail) {
                Ok(Step::More) => {}
                Ok(Step::MailEnd) => break,
                Ok(Step::ArchiveEnd) => {
                    self.ended = true;
                    break;
                }
                Err(error) => {
                    self.pending = Some(error);
                    let why = "the archive cannot be read to the end of this mail".to_owned();
                    return Ok(Some(MailItem::Skipped { place, why }));
                }
            }
        }
        Ok(Some(mail.finish(place)))
    }

    fn advance(&mut self, mail: &mut Collected) -> io::Result<Step> {
        let Some(chunk) = self.next_chunk()? else {
            return Ok(Step::ArchiveEnd);
        };
        if chunk.starts_line && chunk.bytes.starts_with(b"From ") {
            let after_blank = mail.last_was_blank;
            let before = self.peek_bytes()?;
            if is_separator(&chunk.bytes, after_blank, before) {
                self.skip_rest_of_line(chunk)?;
                return Ok(Step::MailEnd);
            }
        }
        mail.push(&chunk);
        Ok(Step::More)
    }
}

enum Step {
    More,
    MailEnd,
    ArchiveEnd,
}

/// The mail that is being read.
struct Collected {
    bytes: Vec<u8>,
    len: u64,
    max: usize,
    last_was_blank: bool,
    last_blank_len: usize,
}

impl Collected {
    fn new(max: usize) -> Self {
        // The separator itself counts as a blank line before what follows it.
        Collected { bytes: Vec::new(), len: 0, max, last_was_blank: true, last_blank_len: 0 }
    }

    fn push(&mut self, chunk: &Chunk) {
        let line = if chunk.starts_line { unquote(&chunk.bytes) } else { &chunk.bytes };
        self.last_was_blank = chunk.is_blank_line();
        self.last_blank_len = if self.last_was_blank { line.len() } else { 0 };
        self.len += line.len() as u64;
        if self.len <= self.max as u64 {
            self.bytes.extend_from_slice(line);
        } else {
            self.bytes = Vec::new();
        }
    }

    fn finish(mut self, place: Place) -> MailItem {
        if self.len > self.max as u64 {
            let why = format!("{} bytes are more than the {} allowed", self.len, self.max);
            return MailItem::Skipped { place, why };
        }
        self.bytes.truncate(self.bytes.len() - self.last_blank_len.min(self.bytes.len()));
        if self.bytes.iter().all(u8::is_ascii_whitespace) {
            return MailItem::Skipped { place, why: "nothing in it".to_owned() };
        }
        MailItem::Raw { place, bytes: self.bytes }
    }
}

/// `>From ` becomes `From `, `>>From ` becomes `>From `.
fn unquote(line: &[u8]) -> &[u8] {
    let Some(rest) = line.strip_prefix(b">") else { return line };
    let quoted = rest.iter().position(|&b| b != b'>').and_then(|at| rest.get(at..));
    if quoted.is_some_and(|q| q.starts_with(b"From ")) { rest } else { line }
}

/// Rule 2 of the module documentation.
fn is_separator(line: &[u8], after_blank: bool, next: &[u8]) -> bool {
    if looks_like_separator(line) {
        after_blank || header_name(next).is_some()
    } else {
        after_blank && header_name(next).is_some_and(is_mail_header)
    }
}

/// Whether the line holds a date as `From ` lines do: `Jan  3 01:05:34 1998`, a zone before the year
/// or not, or as mail headers do: `3 Jan 1998 01:05:34`.
fn looks_like_separator(line: &[u8]) -> bool {
    let words: Vec<&[u8]> =
        line.split(u8::is_ascii_whitespace).filter(|w| !w.is_empty()).skip(1).take(14).collect();
    let number = |at: Option<usize>, lengths: RangeInclusive<usize>| {
        at.and_then(|at| words.get(at))
            .is_some_and(|w| lengths.contains(&w.len()) && w.iter().all(u8::is_ascii_digit))
    };
    let time = |at: usize| {
        let mut parts = words.get(at).copied().unwrap_or_default().split(|&b| b == b':');
        let two = [parts.next(), parts.next()];
        two.iter().flatten().filter(|p| matches!(p, [b'0'..=b'9'] | [_, b'0'..=b'9'])).count() == 2
    };
    let is_month = |w: &[u8]| MONTHS.iter().any(|m| w.eq_ignore_ascii_case(m));
    let months = words.iter().enumerate().filter(|(_, w)| is_month(w)).map(|(at, _)| at);
    months.into_iter().any(|at| {
        let in_order = number(Some(at + 1), 1..=2)
            && time(at + 2)
            && (3..=5).any(|after| number(Some(at + after), 4..=4));
        let as_header =
            number(at.checked_sub(1), 1..=2) && number(Some(at + 1), 4..=4) && time(at + 2);
        in_order || as_header
    })
}

/// The name of a header line (RFC 5322, printable characters without space, then a colon).
fn header_name(line: &[u8]) -> Option<&[u8]> {
    let name = line.split(|&b| b == b':').next()?;
    let named =
        name.len() < line.len() && !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
    named.then_some(name)
}

fn is_mail_header(name: &[u8]) -> bool {
    const KNOWN: [&[u8]; 16] = [
        b"from",
        b"to",
        b"cc",
        b"subject",
        b"date",
        b"sender",
        b"reply-to",
        b"received",
        b"return-path",
        b"message-id",
        b"delivered-to",
        b"mime-version",
        b"references",
        b"in-reply-to",
        b"status",
        b"errors-to",
    ];
    let starts = |prefix: &[u8]| {
        name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    KNOWN.iter().any(|known| name.eq_ignore_ascii_case(known))
        || starts(b"x-")
        || starts(b"content-")
        || starts(b"list-")
}

struct MaildirReader {
    files: VecDeque<PathBuf>,
    max_mail_bytes: usize,
    number: u64,
}

impl MaildirReader {
    /// Lists `cur` and `new`. Names begin with the time of delivery, so sorting by name is sorting
    /// by time; `tmp` holds unfinished deliveries and is left alone.
    fn open(path: &Path, max_mail_bytes: usize) -> Result<(Self, u64), SourceError> {
        let folders: Vec<PathBuf> =
            ["cur", "new"].iter().map(|f| path.join(f)).filter(|f| f.is_dir()).collect();
        if folders.is_empty() {
            return Err(SourceError::NotMaildir { path: path.to_owned() });
        }
        let mut files = Vec::new();
        let mut total = 0_u64;
        for folder in folders {
            let open_error = |error| SourceError::Open { path: folder.clone(), error };
            for entry in fs::read_dir(&folder).map_err(open_error)? {
                let file = entry.map_err(open_error)?.path();
                if file.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(b".")) {
                    continue;
                }
                if files.len() >= MAX_MAILDIR_FILES {
                    return Err(SourceError::TooManyFiles { path: path.to_owned() });
                }
                total += fs::metadata(&file).map_or(0, |m| m.len());
                files.push(file);
            }
        }
        files.sort_by(|a, b| a.file_name().cmp(&b.file_name()).then_with(|| a.cmp(b)));
        Ok((MaildirReader { files: files.into(), max_mail_bytes, number: 0 }, total))
    }

    fn next_item(&mut self, done_bytes: &AtomicU64) -> Option<MailItem> {
        let path = self.files.pop_front()?;
        self.number += 1;
        let name = path.file_name().map(|n| shown_name(&n.to_string_lossy(), 120));
        let place = Place { number: self.number, offset: 0, file: name };
        Some(match self.read(&path, done_bytes) {
            Ok(bytes) if bytes.iter().all(u8::is_ascii_whitespace) => {
                MailItem::Skipped { place, why: "nothing in it".to_owned() }
            }
            Ok(bytes) => MailItem::Raw { place, bytes },
            Err(why) => MailItem::Skipped { place, why },
        })
    }

    fn read(&self, path: &Path, done_bytes: &AtomicU64) -> Result<Vec<u8>, String> {
        let unreadable = |error: io::Error| format!("cannot be read: {error}");
        // Asked before opening: opening a pipe would wait for a writer.
        let meta = fs::metadata(path).map_err(unreadable)?;
        if !meta.is_file() {
            return Err("not a file".to_owned());
        }
        done_bytes.fetch_add(meta.len(), Ordering::Relaxed);
        let max = self.max_mail_bytes as u64;
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(unreadable)?;
        file.take(max.saturating_add(1)).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() as u64 > max {
            return Err(format!("more than the {max} bytes allowed"));
        }
        // Some deliver agents keep the mbox separator as the first line.
        if bytes.starts_with(b"From ") {
            let end = bytes.iter().position(|&b| b == b'\n').map_or(bytes.len(), |at| at + 1);
            bytes.drain(..end);
        }
        Ok(bytes)
    }
}

#[cfg(test)]
#[path = "source_tests.rs"]
mod tests;
