//! MIME entities: header fields, transfer encodings, character sets, multiparts.
//!
//! The walk over the parts is done here rather than by the parser crate, whose nested messages are
//! dropped recursively: one small mail with many thousand nested `message/rfc822` headers would
//! end the process. Here depth and number of parts are bounded, and decoding is lenient: what can be
//! read of a damaged part is kept. `mail-parser` reads the structured header fields, the character
//! sets and HTML.
//!
//! 1. A header ends at the first empty line. Only fields that matter are kept, at most
//!    64 KiB of each, unfolded by the parser. Bytes that are not UTF-8 are read as
//!    windows-1252, what undeclared mail mostly is.
//! 2. `multipart/alternative` gives its plain text, or else the text of its HTML. All other multiparts
//!    give the texts of their parts one after another.
//! 3. Text parts are text unless declared an attachment. Everything else is named and left out, and so
//!    are files uuencoded inside a text.
//! 4. A wrong boundary is guessed from the first line that could be one; if there is none, the
//!    part is taken as it stands.

use std::borrow::Cow;

use mail_parser::decoders::charsets::map::charset_decoder;
use mail_parser::parsers::MessageStream;
use mail_parser::{ContentType, HeaderValue};

use super::html::html_to_text;
use super::mail::AttachmentNote;
use super::text::{one_line, shown_name, trim_blank_lines, unflow, unix_lines, without_uuencoded};

/// Bytes kept of one header field, folded lines included.
pub(crate) const MAX_FIELD_BYTES: usize = 64 * 1024;
/// Multiparts inside one another.
const MAX_DEPTH: usize = 12;
/// Parts of one mail that are looked at.
const MAX_PARTS: usize = 500;
/// Notes about one mail.
const MAX_NOTES: usize = 20;
/// Bytes of an attachment's name.
const MAX_ATTACHMENT_NAME_BYTES: usize = 120;

const KEPT_FIELDS: [&str; 11] = [
    "from",
    "sender",
    "reply-to",
    "subject",
    "date",
    "message-id",
    "references",
    "in-reply-to",
    "content-type",
    "content-transfer-encoding",
    "content-disposition",
];

/// The header fields of an entity that matter here.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    /// Name in lower case, value as written and valid UTF-8, ending in a line end.
    list: Vec<(String, String)>,
    /// Whether there was any header field at all, kept or not.
    pub(crate) any: bool,
}

impl Fields {
    /// The first field of that name, as written.
    pub(crate) fn raw(&self, name: &str) -> Option<&str> {
        self.list.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// A field of free text, with RFC 2047 encoded words decoded, on one line.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        let value = MessageStream::new(self.raw(name)?.as_bytes()).parse_unstructured();
        value.as_text().map(one_line)
    }

    /// A field of addresses.
    pub(crate) fn addresses(&self, name: &str) -> HeaderValue<'_> {
        self.raw(name)
            .map_or(HeaderValue::Empty, |raw| MessageStream::new(raw.as_bytes()).parse_address())
    }

    /// A field of message ids, without their angle brackets.
    pub(crate) fn ids(&self, name: &str) -> Vec<String> {
        let Some(raw) = self.raw(name) else { return Vec::new() };
        match MessageStream::new(raw.as_bytes()).parse_id() {
            HeaderValue::Text(id) => vec![id.into_owned()],
            HeaderValue::TextList(ids) => ids.into_iter().map(Cow::into_owned).collect(),
            _ => Vec::new(),
        }
    }

    fn content_type(&self, name: &str) -> Option<ContentType<'_>> {
        match MessageStream::new(self.raw(name)?.as_bytes()).parse_content_type() {
            HeaderValue::ContentType(content_type) => Some(content_type),
            _ => None,
        }
    }
}

/// Splits an entity into its header fields and its body.
pub(crate) fn split_entity(raw: &[u8]) -> (Fields, &[u8]) {
    let mut fields = Fields::default();
    let mut current: Option<(String, Vec<u8>)> = None;
    let mut rest = raw;
    while !rest.is_empty() {
        let (line, after) = split_line(rest);
        rest = after;
        if matches!(line, b"\n" | b"\r\n") {
            break;
        }
        if line.starts_with(b" ") || line.starts_with(b"\t") {
            if let Some((_, value)) = &mut current
                && value.len() + line.len() <= MAX_FIELD_BYTES
            {
                value.extend_from_slice(line);
            }
            continue;
        }
        fields.keep(current.take());
        // A line that is no field, such as a leftover separator, is passed over.
        if let Some((name, value)) = split_field(line) {
            fields.any = true;
            let kept = value.get(..value.len().min(MAX_FIELD_BYTES)).unwrap_or_default();
            let wanted = KEPT_FIELDS.contains(&name.as_str());
            current = wanted.then(|| (name, kept.to_vec()));
        }
    }
    fields.keep(current);
    (fields, rest)
}

impl Fields {
    fn keep(&mut self, field: Option<(String, Vec<u8>)>) {
        if let Some((name, value)) = field
            && self.raw(&name).is_none()
        {
            let mut value = match String::from_utf8(value) {
                Ok(value) => value,
                Err(error) => windows_1252(error.as_bytes()),
            };
            if !value.ends_with('\n') {
                value.push('\n');
            }
            self.list.push((name, value));
        }
    }
}

fn split_line(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|&b| b == b'\n').map_or(bytes.len(), |at| at + 1);
    bytes.split_at(end)
}

fn split_field(line: &[u8]) -> Option<(String, &[u8])> {
    let colon = line.iter().position(|&b| b == b':')?;
    let name = line.get(..colon)?.trim_ascii_end();
    if name.is_empty() || name.len() > 80 || !name.iter().all(u8::is_ascii_graphic) {
        return None;
    }
    let name = std::str::from_utf8(name).ok()?.to_ascii_lowercase();
    Some((name, line.get(colon + 1..)?))
}

/// What a mail's body comes to.
#[derive(Debug, Default)]
pub(crate) struct Content {
    pub(crate) text: String,
    pub(crate) attachments: Vec<AttachmentNote>,
    pub(crate) notes: Vec<String>,
}

/// Reads the body of a mail whose header is `fields`.
pub(crate) fn read_body(fields: &Fields, body: &[u8]) -> Content {
    let mut walk = Walk { parts: 0 };
    let mut found = walk.entity(fields, body, 0, false);
    let mut notes: Vec<String> = Vec::new();
    for note in found.notes {
        if !notes.contains(&note) && notes.len() < MAX_NOTES {
            notes.push(note);
        }
    }
    found.attachments.truncate(MAX_PARTS);
    Content { text: found.text, attachments: found.attachments, notes }
}

/// How good a text is, for the choice among alternatives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
enum Rank {
    #[default]
    Nothing,
    Html,
    Plain,
}

#[derive(Debug, Default)]
struct Found {
    rank: Rank,
    text: String,
    attachments: Vec<AttachmentNote>,
    notes: Vec<String>,
}

impl Found {
    fn note(note: impl Into<String>) -> Self {
        Found { notes: vec![note.into()], ..Found::default() }
    }
}

struct Walk {
    parts: usize,
}

impl Walk {
    fn entity(&mut self, fields: &Fields, body: &[u8], depth: usize, in_digest: bool) -> Found {
        self.parts += 1;
        if self.parts > MAX_PARTS {
            return Found::note(format!("more than {MAX_PARTS} parts: the rest is left out"));
        }
        let content_type = fields.content_type("content-type");
        let (main, sub) = match &content_type {
            Some(ct) => (ct.ctype().to_ascii_lowercase(), subtype(ct)),
            None if in_digest => ("message".to_owned(), "rfc822".to_owned()),
            None => ("text".to_owned(), "plain".to_owned()),
        };
        if main == "multipart" {
            let boundary = content_type.as_ref().and_then(|ct| ct.attribute("boundary"));
            return self.multipart(&sub, boundary.unwrap_or_default(), body, depth);
        }
        let disposition = fields.content_type("content-disposition");
        let leaf = Leaf { fields, body, content_type, disposition, main, sub };
        leaf.read()
    }

    fn multipart(&mut self, sub: &str, boundary: &str, body: &[u8], depth: usize) -> Found {
        if depth >= MAX_DEPTH {
            return Found::note(format!("parts nested more than {MAX_DEPTH} deep are left out"));
        }
        let mut guessed = None;
        let parts = split_parts(body, boundary.trim_end().as_bytes()).or_else(|| {
            guessed = guess_boundary(body);
            split_parts(body, guessed?)
        });
        let Some(parts) = parts else {
            let mut found = plain_text(String::from_utf8_lossy(body));
            found.notes.push("its MIME structure is broken: taken as it stands".to_owned());
            return found;
        };
        let mut children = Vec::with_capacity(parts.len());
        for part in parts {
            let (fields, body) = split_entity(part);
            children.push(self.entity(&fields, body, depth + 1, sub == "digest"));
        }
        let mut found = if sub == "alternative" { best_of(children) } else { all_of(children) };
        if guessed.is_some() {
            found.notes.push("its MIME boundary is wrong: guessed".to_owned());
        }
        found
    }
}

/// `Content-Type: text` and the like, from before MIME was finished, mean plain text.
fn subtype(content_type: &ContentType<'_>) -> String {
    content_type.subtype().unwrap_or("plain").to_ascii_lowercase()
}

fn best_of(children: Vec<Found>) -> Found {
    let mut best = Found::default();
    let mut attachments = Vec::new();
    for mut child in children {
        attachments.append(&mut child.attachments);
        if child.rank > best.rank || (best.rank == Rank::Nothing && best.notes.is_empty()) {
            best = child;
        }
    }
    best.attachments = attachments;
    best
}

fn all_of(children: Vec<Found>) -> Found {
    let mut all = Found::default();
    for mut child in children {
        all.rank = all.rank.max(child.rank);
        if !child.text.is_empty() {
            if !all.text.is_empty() {
                all.text.push_str("\n\n");
            }
            all.text.push_str(&child.text);
        }
        all.attachments.append(&mut child.attachments);
        all.notes.append(&mut child.notes);
    }
    all
}

/// The parts between the delimiter lines, without preamble and epilogue (RFC 2046, 5.1.1). None if
/// there is no delimiter line.
fn split_parts<'a>(body: &'a [u8], boundary: &[u8]) -> Option<Vec<&'a [u8]>> {
    if boundary.is_empty() {
        return None;
    }
    let mut parts = Vec::new();
    let mut start: Option<usize> = None;
    let mut at = 0;
    let mut rest = body;
    let mut closed = false;
    while !rest.is_empty() && parts.len() <= MAX_PARTS {
        let (line, after) = split_line(rest);
        rest = after;
        let delimiter =
            line.strip_prefix(b"--").and_then(|l| l.trim_ascii_end().strip_prefix(boundary));
        if let Some(end @ (b"" | b"--")) = delimiter {
            if let Some(start) = start {
                parts.push(without_last_line_end(body.get(start..at).unwrap_or_default()));
            }
            start = Some(at + line.len());
            closed = !end.is_empty();
            if closed {
                break;
            }
        }
        at += line.len();
    }
    let start = start?;
    if !closed {
        parts.push(body.get(start..).unwrap_or_default());
    }
    Some(parts)
}

fn without_last_line_end(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    bytes.strip_suffix(b"\r").unwrap_or(bytes)
}

/// The first line that begins with `--` and is followed by a `Content-` header.
fn guess_boundary(body: &[u8]) -> Option<&[u8]> {
    let mut rest = body;
    while !rest.is_empty() {
        let (line, after) = split_line(rest);
        rest = after;
        if let Some(boundary) = line.strip_prefix(b"--").map(<[u8]>::trim_ascii_end)
            && !boundary.is_empty()
            && after.get(..8).is_some_and(|next| next.eq_ignore_ascii_case(b"content-"))
        {
            return Some(boundary);
        }
    }
    None
}

/// A part without parts.
struct Leaf<'a> {
    fields: &'a Fields,
    body: &'a [u8],
    content_type: Option<ContentType<'a>>,
    disposition: Option<ContentType<'a>>,
    main: String,
    sub: String,
}

impl Leaf<'_> {
    fn read(&self) -> Found {
        let attached =
            self.disposition.as_ref().is_some_and(|d| d.ctype().eq_ignore_ascii_case("attachment"));
        let data = matches!(self.sub.as_str(), "calendar" | "rtf" | "vcard" | "x-vcard");
        if self.main != "text" || attached || data {
            return Found { attachments: vec![self.attachment()], ..Found::default() };
        }
        let mut notes = Vec::new();
        let bytes = self.decoded(&mut notes);
        let text = decode_charset(&bytes, self.attribute("charset"), &mut notes);
        let mut found = match self.sub.as_str() {
            "html" => {
                let text = html_to_text(&text);
                let rank = if text.is_empty() { Rank::Nothing } else { Rank::Html };
                Found { rank, text, ..Found::default() }
            }
            _ if self.has("format", "flowed") => {
                let text = unflow(&unix_lines(text), self.has("delsp", "yes"));
                plain_text(Cow::Owned(text))
            }
            _ => plain_text(text),
        };
        found.notes.append(&mut notes);
        found
    }

    fn attribute(&self, name: &str) -> Option<&str> {
        self.content_type.as_ref().and_then(|ct| ct.attribute(name))
    }

    fn has(&self, attribute: &str, value: &str) -> bool {
        self.attribute(attribute).is_some_and(|v| v.eq_ignore_ascii_case(value))
    }

    fn transfer_encoding(&self) -> String {
        let raw = self.fields.raw("content-transfer-encoding").unwrap_or_default();
        raw.split(['(', ';']).next().unwrap_or_default().trim().to_ascii_lowercase()
    }

    fn decoded(&self, notes: &mut Vec<String>) -> Cow<'_, [u8]> {
        let encoding = self.transfer_encoding();
        let (bytes, damaged) = match encoding.as_str() {
            "quoted-printable" => decode_quoted_printable(self.body),
            "base64" => decode_base64(self.body),
            _ => return Cow::Borrowed(self.body),
        };
        if damaged {
            notes.push(format!("its {encoding} encoding is damaged: kept what can be read"));
        }
        Cow::Owned(bytes)
    }

    fn attachment(&self) -> AttachmentNote {
        let media_type = shown_name(&format!("{}/{}", self.main, self.sub), 80);
        let bytes = match self.transfer_encoding().as_str() {
            "base64" => {
                let digits = self.body.iter().filter(|b| base64_value(**b).is_some()).count();
                digits as u64 * 3 / 4
            }
            "quoted-printable" => decode_quoted_printable(self.body).0.len() as u64,
            _ => self.body.len() as u64,
        };
        let name = self.disposition.as_ref().and_then(|d| d.attribute("filename"));
        let name = name.or_else(|| self.attribute("name")).map(decoded_words);
        let name = name.or_else(|| {
            let is_mail = self.main == "message";
            is_mail.then(|| split_entity(self.body).0.text("subject")).flatten()
        });
        AttachmentNote { name: file_name(&name.unwrap_or_default()), media_type, bytes }
    }
}

/// Encoded words stand in quoted names too, though RFC 2047 forbids it.
fn decoded_words(name: &str) -> String {
    if !name.contains("=?") {
        return name.to_owned();
    }
    let line = format!("{name}\n");
    let value = MessageStream::new(line.as_bytes()).parse_unstructured();
    value.as_text().unwrap_or(name).to_owned()
}

/// The last component of a path in any system's notation, safe to show and never a way out of a
/// directory.
fn file_name(path: &str) -> String {
    let last = path.rsplit(['/', '\\']).next().unwrap_or_default();
    let name = shown_name(last, MAX_ATTACHMENT_NAME_BYTES);
    if name.trim_matches('.').is_empty() { "unnamed".to_owned() } else { name }
}

fn plain_text(text: Cow<'_, str>) -> Found {
    let text = unix_lines(text);
    let (text, files) = without_uuencoded(&text);
    let text = trim_blank_lines(text.trim_start_matches('\u{feff}')).to_owned();
    let attachments = files
        .into_iter()
        .map(|file| AttachmentNote {
            name: file_name(&file.name),
            media_type: "application/octet-stream".to_owned(),
            bytes: file.bytes,
        })
        .collect();
    let rank = if text.is_empty() { Rank::Nothing } else { Rank::Plain };
    Found { rank, text, attachments, notes: Vec::new() }
}

/// Decodes what can be decoded; a `=` that begins no code stays. True if there was one.
fn decode_quoted_printable(body: &[u8]) -> (Vec<u8>, bool) {
    let mut out = Vec::with_capacity(body.len());
    let mut damaged = false;
    let mut rest = body;
    while !rest.is_empty() {
        let (line, after) = split_line(rest);
        rest = after;
        let text = line.trim_ascii_end();
        let mut codes = text;
        while let Some((&first, tail)) = codes.split_first() {
            codes = tail;
            if first != b'=' {
                out.push(first);
                continue;
            }
            match tail {
                [] => {}
                [high, low, after @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                    out.push(hex_value(*high) << 4 | hex_value(*low));
                    codes = after;
                }
                _ => {
                    damaged = true;
                    out.push(b'=');
                }
            }
        }
        if !text.ends_with(b"=") && line.ends_with(b"\n") {
            out.push(b'\n');
        }
    }
    (out, damaged)
}

fn hex_value(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        b'A'..=b'F' => digit - b'A' + 10,
        _ => 0,
    }
}

/// Decodes the lines up to the first that is no base64. What follows, such as the footer of a list
/// server, is kept as it stands. True if something did.
fn decode_base64(body: &[u8]) -> (Vec<u8>, bool) {
    let mut out = Vec::with_capacity(body.len() / 4 * 3);
    let mut rest = body;
    let (mut bits, mut count) = (0_u32, 0_u32);
    while !rest.is_empty() {
        let (line, after) = split_line(rest);
        let line = line.trim_ascii();
        if !line.iter().all(|&b| b == b'=' || base64_value(b).is_some()) {
            break;
        }
        rest = after;
        for value in line.iter().map(|&b| base64_value(b)) {
            match value {
                Some(value) => {
                    bits = bits << 6 | u32::from(value);
                    count += 6;
                    if count >= 8 {
                        count -= 8;
                        out.push((bits >> count & 0xff) as u8);
                    }
                }
                None => (bits, count) = (0, 0),
            }
        }
    }
    if rest.is_empty() {
        return (out, false);
    }
    if !out.is_empty() && !out.ends_with(b"\n") {
        out.push(b'\n');
    }
    out.extend_from_slice(rest);
    (out, true)
}

fn base64_value(digit: u8) -> Option<u8> {
    match digit {
        b'A'..=b'Z' => Some(digit - b'A'),
        b'a'..=b'z' => Some(digit - b'a' + 26),
        b'0'..=b'9' => Some(digit - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

/// Text of bytes in a named character set.
///
/// Undeclared (or wrongly declared ASCII) bytes are UTF-8 if they can be, and windows-1252 if not. In
/// an unknown set only the ASCII part is sure: the rest becomes U+FFFD.
fn decode_charset<'a>(
    bytes: &'a [u8],
    charset: Option<&str>,
    notes: &mut Vec<String>,
) -> Cow<'a, str> {
    let name = charset.unwrap_or_default().trim().to_ascii_lowercase();
    match name.as_str() {
        "" | "us-ascii" | "ascii" | "ansi_x3.4-1968" => match std::str::from_utf8(bytes) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => {
                notes.push("no character set named: read as windows-1252".to_owned());
                Cow::Owned(windows_1252(bytes))
            }
        },
        "utf-8" | "utf8" => {
            let text = String::from_utf8_lossy(bytes);
            if matches!(text, Cow::Owned(_)) {
                notes.push("damaged UTF-8: unreadable characters replaced".to_owned());
            }
            text
        }
        _ => match charset_decoder(name.as_bytes()) {
            Some(decode) => Cow::Owned(decode(bytes)),
            None => {
                let name = shown_name(&name, 40);
                notes.push(format!("unknown character set {name}: unreadable characters replaced"));
                String::from_utf8_lossy(bytes)
            }
        },
    }
}

fn windows_1252(bytes: &[u8]) -> String {
    match charset_decoder(b"windows-1252") {
        Some(decode) => decode(bytes),
        None => String::from_utf8_lossy(bytes).into_owned(),
    }
}

#[cfg(test)]
#[path = "entity_tests.rs"]
mod tests;
