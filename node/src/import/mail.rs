//! One raw mail as text and the few headers that matter.
//!
//! A mail from an old archive may hold anything. The result is always bounded and always plain
//! text; what had to be guessed or left out is said in [`Mail::notes`]. Text is kept as the author wrote
//! it, control characters included: whoever shows it cleans it, as all text from others. Only NULs,
//! which damaged mailboxes are padded with, are dropped.

use std::panic::{AssertUnwindSafe, catch_unwind};

use lanai_crdt::limits::{MAX_MESSAGE_ID_BYTES, MAX_NAME_BYTES, MAX_TITLE_BYTES};
use mail_parser::{Addr, Address, HeaderValue};

use super::date::parse_date;
use super::entity::{Fields, read_body, split_entity};
use super::text::{one_line, prefix};

/// Ancestors of one mail that are kept: the start of the thread and the nearest ones.
const MAX_REFERENCES: usize = 100;
/// Attachments that [`Mail::attachment_lines`] names.
const MAX_NAMED_ATTACHMENTS: usize = 10;

/// Why a mail cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MailError {
    /// No line of it is a header field.
    #[error("no mail: it has no header")]
    NoHeader,
    /// The parser gave up in a way it should not.
    #[error("it makes the mail parser fail")]
    Parser,
}

/// A date as the mail claims it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimedDate {
    /// Unix seconds, if the text can be read as a date, however implausible.
    pub unix_seconds: Option<i64>,
    /// The text as written, on one line, at most [`MAX_NAME_BYTES`].
    pub text: String,
}

/// An attachment that was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachmentNote {
    /// Its file name without any directory, safe to print.
    pub name: String,
    /// Its media type, such as `image/gif`.
    pub media_type: String,
    /// Its decoded size in bytes.
    pub bytes: u64,
}

/// One mail, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// Its message id without angle brackets, at most [`MAX_MESSAGE_ID_BYTES`]; derived from its
    /// content if it has none or a longer one.
    pub message_id: String,
    /// Message ids of its ancestors, oldest first: References, then In-Reply-To.
    pub references: Vec<String>,
    /// One line, at most [`MAX_TITLE_BYTES`]; may be empty.
    pub subject: String,
    /// Name of the author, at most [`MAX_NAME_BYTES`], never empty.
    pub from_name: String,
    /// Address of the author, may be empty.
    pub from_address: String,
    /// The date it claims, if it claims any.
    pub date: Option<ClaimedDate>,
    /// The text, lines ending in LF, no line end at the end; [`Mail::text`] is what a post says.
    pub body: String,
    /// Bytes of the text that were over the limit and are not in `body`.
    pub cut_bytes: u64,
    /// What was left out.
    pub attachments: Vec<AttachmentNote>,
    /// What was guessed, damaged or left out, for people.
    pub notes: Vec<String>,
}

impl Mail {
    /// Lines that name the attachments left out, for the end of the post; empty if there are none.
    #[must_use]
    pub fn attachment_lines(&self) -> String {
        let mut lines: Vec<String> = self
            .attachments
            .iter()
            .take(MAX_NAMED_ATTACHMENTS)
            .map(|a| {
                format!(
                    "[attachment not imported: {}, {}, {} bytes]",
                    a.name, a.media_type, a.bytes
                )
            })
            .collect();
        let more = self.attachments.len().saturating_sub(MAX_NAMED_ATTACHMENTS);
        if more > 0 {
            lines.push(format!("[and {more} more]"));
        }
        lines.join("\n")
    }

    /// The text of a post: the body, cut to fit where it must be, a line that says so, and the
    /// lines that name the attachments. At most `max_bytes`. True if anything of the body is missing.
    #[must_use]
    pub fn text(&self, max_bytes: usize) -> (String, bool) {
        let attachments = self.attachment_lines();
        let gap = if attachments.is_empty() || self.body.is_empty() { "" } else { "\n\n" };
        let end = format!("{gap}{attachments}");
        if self.cut_bytes == 0 && self.body.len() + end.len() <= max_bytes {
            return (format!("{}{end}", self.body), false);
        }
        let note = |left: u64| format!("\n[cut here: {left} bytes more in the original]");
        let whole = self.cut_bytes.saturating_add(self.body.len() as u64);
        let kept = prefix(&self.body, max_bytes.saturating_sub(note(whole).len() + end.len()));
        let note = note(whole - kept.len() as u64);
        let text = format!("{kept}{note}{end}");
        (prefix(text.trim_start(), max_bytes).to_owned(), true)
    }
}

/// Parses one raw mail. The body is cut to `max_text_bytes`.
///
/// # Errors
///
/// [`MailError`] if it is no mail at all.
pub fn parse_mail(raw: &[u8], max_text_bytes: usize) -> Result<Mail, MailError> {
    guarded(|| parse(raw, max_text_bytes))
}

/// Runs a parser that may panic.
///
/// Safe to go on after: the closure gets shared bytes and returns an owned value, so that nothing it
/// left half done can be seen afterwards.
fn guarded(parser: impl FnOnce() -> Result<Mail, MailError>) -> Result<Mail, MailError> {
    catch_unwind(AssertUnwindSafe(parser)).unwrap_or(Err(MailError::Parser))
}

fn parse(raw: &[u8], max_text_bytes: usize) -> Result<Mail, MailError> {
    let (fields, body) = split_entity(raw);
    if !fields.any {
        return Err(MailError::NoHeader);
    }
    let mut content = read_body(&fields, body);
    without_nul(&mut content.text);
    let message_id = match fields.ids("message-id").into_iter().next().map(|id| clean_id(&id)) {
        Some(id) if id.is_empty() => derived_id(raw),
        Some(id) if id.len() > MAX_MESSAGE_ID_BYTES => {
            content.notes.push("its message id is too long: replaced".to_owned());
            derived_id(raw)
        }
        Some(id) => id,
        None => derived_id(raw),
    };
    let (from_name, from_address) = author(&fields);
    let date = fields.raw("date").map(header_line).filter(|text| !text.is_empty());
    let date = date.map(|text| ClaimedDate {
        unix_seconds: parse_date(&text),
        text: prefix(&text, MAX_NAME_BYTES).to_owned(),
    });
    let subject = header_line(&fields.text("subject").unwrap_or_default());
    let text = prefix(&content.text, max_text_bytes);
    let cut_bytes = (content.text.len() - text.len()) as u64;
    Ok(Mail {
        references: references(&fields, &message_id),
        message_id,
        subject: prefix(&subject, MAX_TITLE_BYTES).to_owned(),
        from_name,
        from_address,
        date,
        body: text.to_owned(),
        cut_bytes,
        attachments: content.attachments,
        notes: content.notes,
    })
}

fn without_nul(text: &mut String) {
    if text.contains('\0') {
        text.retain(|c| c != '\0');
    }
}

/// A header's text on one line.
fn header_line(text: &str) -> String {
    let mut line = one_line(text);
    without_nul(&mut line);
    line
}

fn clean_id(id: &str) -> String {
    id.chars().filter(|c| !c.is_whitespace() && !c.is_control()).collect()
}

/// The same mail gets the same id from every archive that holds it, whatever its line ends and what
/// mail programs noted in its header about reading it.
fn derived_id(raw: &[u8]) -> String {
    let mut hasher = blake3::Hasher::new();
    let mut in_header = true;
    for line in raw.trim_ascii_end().split(|&b| b == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        in_header &= !line.is_empty();
        if in_header && is_readers_note(line) {
            continue;
        }
        hasher.update(line);
        hasher.update(b"\n");
    }
    let hash = hasher.finalize().to_hex();
    format!("{}@imported.lanai.invalid", prefix(&hash, 40))
}

/// Whether a header line is what a mail program writes into a mailbox while a mail is read and moved.
fn is_readers_note(line: &[u8]) -> bool {
    const NAMES: [&str; 8] = [
        "status",
        "x-status",
        "x-keywords",
        "x-uid",
        "x-mozilla-status",
        "x-mozilla-status2",
        "content-length",
        "lines",
    ];
    let name = line.split(|&b| b == b':').next().unwrap_or_default();
    NAMES.iter().any(|n| name.eq_ignore_ascii_case(n.as_bytes()))
}

/// References, then those of In-Reply-To that are not among them. In-Reply-To may hold free text, of
/// which only what stands in angle brackets, or is one word with an @, is an id.
fn references(fields: &Fields, own: &str) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for name in ["references", "in-reply-to"] {
        let bracketed = fields.raw(name).is_some_and(|raw| raw.contains('<'));
        for id in fields.ids(name) {
            let is_id = bracketed || (id.contains('@') && !id.contains(char::is_whitespace));
            let id = clean_id(&id);
            let fits = !id.is_empty() && id.len() <= MAX_MESSAGE_ID_BYTES;
            if is_id && fits && id != own && !all.contains(&id) {
                all.push(id);
            }
            if all.len() > MAX_REFERENCES {
                all.remove(1);
            }
        }
    }
    all
}

/// Name and address of the author. Archives hide addresses (`joe at example.org`) and mails lack
/// names; one of both stands in for the other.
fn author(fields: &Fields) -> (String, String) {
    if let Some(hidden) = hidden_address(fields) {
        return hidden;
    }
    for field in ["from", "sender", "reply-to"] {
        if let HeaderValue::Address(address) = fields.addresses(field)
            && let Some(addr) = first_address(&address)
        {
            let name = header_line(addr.name.as_deref().unwrap_or_default());
            let address = header_line(addr.address.as_deref().unwrap_or_default());
            let name = name.trim_matches(['"', '\'', ' ']).to_owned();
            let fallback = address.split(['@', ' ']).next().unwrap_or_default();
            let name = if name.is_empty() { fallback.to_owned() } else { name };
            if !name.is_empty() {
                let name = prefix(&name, MAX_NAME_BYTES).trim_end().to_owned();
                return (name, prefix(&address, MAX_MESSAGE_ID_BYTES).to_owned());
            }
        }
    }
    ("unknown".to_owned(), String::new())
}

/// `joe at example.org (Joe Doe)`, as the archives of Mailman write it.
fn hidden_address(fields: &Fields) -> Option<(String, String)> {
    let from = fields
        .text("from")
        .map(|from| header_line(&from))
        .filter(|from| !from.contains(['@', '<', ',', ';']))?;
    let (address, name) = from.split_once('(').unwrap_or((&from, ""));
    let (local, domain) = address.trim().split_once(" at ")?;
    if local.contains(' ') || domain.contains(' ') || !domain.contains('.') {
        return None;
    }
    let name = name.trim_end_matches([')', ' ']);
    let name = if name.is_empty() { local } else { name };
    let address = format!("{local}@{domain}");
    Some((
        prefix(name, MAX_NAME_BYTES).to_owned(),
        prefix(&address, MAX_MESSAGE_ID_BYTES).to_owned(),
    ))
}

fn first_address<'a>(address: &'a Address<'a>) -> Option<&'a Addr<'a>> {
    let named = |a: &&Addr<'_>| a.name.is_some() || a.address.is_some();
    match address {
        Address::List(list) => list.iter().find(named),
        Address::Group(groups) => groups.iter().flat_map(|g| g.addresses.iter()).find(named),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail(raw: &str) -> Mail {
        parse_mail(raw.as_bytes(), 10_000).unwrap()
    }

    #[test]
    fn a_panic_in_the_parser_costs_one_mail() {
        let result = guarded(|| panic!("as the parser might"));
        assert_eq!(result, Err(MailError::Parser));
    }

    #[test]
    fn no_header_is_no_mail() {
        assert_eq!(parse_mail(b"", 100), Err(MailError::NoHeader));
        assert_eq!(parse_mail(b"just a line\n\nand more\n", 100), Err(MailError::NoHeader));
    }

    #[test]
    fn names_and_addresses_stand_in_for_each_other() {
        for (from, name, address) in [
            ("Ann Bell <ann@example.org>", "Ann Bell", "ann@example.org"),
            ("\"Bell, Ann\" <ann@example.org>", "Bell, Ann", "ann@example.org"),
            ("ann@example.org (Ann Bell)", "Ann Bell", "ann@example.org"),
            ("ann@example.org", "ann", "ann@example.org"),
            ("=?iso-8859-1?Q?J=F6rg?= <j@example.org>", "Jörg", "j@example.org"),
            ("team: Ann <ann@example.org>, b@example.org;", "Ann", "ann@example.org"),
            ("ann at example.org (Ann Bell)", "Ann Bell", "ann@example.org"),
            ("ann at example.org", "ann", "ann@example.org"),
            ("Ann Bell", "Ann Bell", ""),
            ("Looking at stars", "Looking at stars", ""),
            ("", "unknown", ""),
        ] {
            let mail = mail(&format!("From: {from}\nSubject: x\n\nx\n"));
            assert_eq!((mail.from_name.as_str(), mail.from_address.as_str()), (name, address));
        }
        assert_eq!(mail("Sender: s@example.org\n\nx\n").from_name, "s");
    }

    #[test]
    fn references_are_ordered_and_free_text_is_no_id() {
        let m = mail(
            "Message-ID: <c@x>\nReferences: <a@x>\n <b@x> <a@x> <c@x>\n\
             In-Reply-To: Your message of \"Sat, 17 Jan\" <p@x>\n\nx\n",
        );
        assert_eq!(m.references, ["a@x", "b@x", "p@x"]);
        assert!(mail("In-Reply-To: your mail of Monday\n\nx\n").references.is_empty());
        assert_eq!(mail("In-Reply-To: bare@x\n\nx\n").references, ["bare@x"]);
        let many: String = (0..1000).map(|n| format!(" <{n}@x>\n")).collect();
        let m = mail(&format!("References:{many}\nx\n"));
        assert_eq!(m.references.len(), MAX_REFERENCES);
        assert_eq!(m.references.first().unwrap(), "0@x");
        assert_eq!(m.references.last().unwrap(), "999@x");
    }

    #[test]
    fn a_missing_message_id_comes_from_the_content() {
        let unix = mail("From: a@x\n\none\ntwo\n");
        assert!(unix.message_id.ends_with("@imported.lanai.invalid"));
        assert_eq!(unix.message_id, mail("From: a@x\r\n\r\none\r\ntwo\r\n\r\n").message_id);
        assert_ne!(unix.message_id, mail("From: a@x\n\none\nthree\n").message_id);
        let read = mail("Status: RO\nFrom: a@x\nX-Mozilla-Status: 0001\n\none\ntwo\n");
        assert_eq!(unix.message_id, read.message_id);
        assert_ne!(unix.message_id, mail("From: a@x\n\nStatus: RO\none\ntwo\n").message_id);
        let long = mail(&format!("Message-ID: <{}@x>\n\nx\n", "a".repeat(MAX_MESSAGE_ID_BYTES)));
        assert!(long.message_id.ends_with("@imported.lanai.invalid"));
        assert_eq!(long.notes.len(), 1);
    }

    #[test]
    fn claimed_dates_are_kept_whatever_they_say() {
        let m = mail("From: a@x\nDate: Fri, 01 Jan 0099 10:00:00 +0000\n\nx\n");
        let date = m.date.unwrap();
        assert_eq!(date.text, "Fri, 01 Jan 0099 10:00:00 +0000");
        assert!(date.unix_seconds.unwrap() < 0);
        let m = mail(&format!("Date: {}\n\nx\n", "soon ".repeat(50)));
        let date = m.date.unwrap();
        assert_eq!(date.unix_seconds, None);
        assert!(date.text.len() <= MAX_NAME_BYTES && date.text.starts_with("soon soon"));
        assert_eq!(mail("Date:\nFrom: a@x\n\nx\n").date, None);
    }

    #[test]
    fn attachments_are_named_up_to_a_number() {
        let mut m = mail("From: a@x\n\nx\n");
        assert_eq!(m.attachment_lines(), "");
        m.attachments = (0..12)
            .map(|n| AttachmentNote { name: n.to_string(), media_type: "a/b".into(), bytes: n })
            .collect();
        let lines = m.attachment_lines();
        assert!(lines.starts_with("[attachment not imported: 0, a/b, 0 bytes]\n"));
        assert!(lines.ends_with("\n[and 2 more]"));
    }

    #[test]
    fn a_text_is_cut_between_characters_and_says_what_is_missing() {
        let mut m =
            mail(&format!("Content-Type: text/plain; charset=utf-8\n\n{}", "é".repeat(500)));
        m.attachments.push(AttachmentNote { name: "x".into(), media_type: "a/b".into(), bytes: 1 });
        let (whole, cut) = m.text(usize::MAX);
        assert_eq!((whole.len(), cut), (1000 + 2 + m.attachment_lines().len(), false));
        for more in [0, 7] {
            m.cut_bytes = more;
            for limit in 0..whole.len() {
                let (text, cut) = m.text(limit);
                assert!(cut && text.len() <= limit);
                if limit > 150 {
                    let (kept, end) = text.split_once('\n').unwrap();
                    assert!(kept.chars().all(|c| c == 'é'));
                    let missing = 1000 - kept.len() as u64 + more;
                    let note = format!("[cut here: {missing} bytes more in the original]");
                    assert_eq!(end, format!("{note}\n\n{}", m.attachment_lines()));
                }
            }
        }
    }

    #[test]
    fn nuls_are_dropped_and_other_controls_stay() {
        let m = mail("From: A\0nn <a@x>\nSubject: a\0b\u{1b}[1m\nDate: \0\n\nx\0y\u{1b}[2J\n");
        assert_eq!((m.from_name.as_str(), m.subject.as_str()), ("Ann", "ab\u{1b}[1m"));
        assert_eq!((m.body.as_str(), m.date), ("xy\u{1b}[2J", None));
        let m = mail("From: a@x\nContent-Transfer-Encoding: base64\n\nAEEA\n");
        assert_eq!(m.body, "A");
    }
}
