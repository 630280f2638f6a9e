//! Small transformations of text: line ends, format=flowed, uuencoded blocks, cutting, safe names.

use std::borrow::Cow;

use lanai_crdt::text::is_hazard;

/// The longest prefix of at most `max` bytes that ends between characters.
#[must_use]
pub(crate) fn prefix(text: &str, max: usize) -> &str {
    let mut end = max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// One line that is safe to print wherever a name is shown: no control characters, no characters
/// that reorder or hide text, at most `max` bytes.
#[must_use]
pub(crate) fn shown_name(name: &str, max: usize) -> String {
    let clean: String = name.chars().filter(|c| !is_hazard(*c)).collect();
    prefix(clean.trim(), max).trim_end().to_owned()
}

/// Folds every run of white space, line ends included, to one space, and trims.
#[must_use]
pub(crate) fn one_line(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(512));
    for word in text.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
    out
}

/// CRLF and lone CR become LF.
#[must_use]
pub(crate) fn unix_lines(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.contains('\r') {
        Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n"))
    } else {
        text
    }
}

/// Removes blank lines at both ends and blanks at the end.
#[must_use]
pub(crate) fn trim_blank_lines(text: &str) -> &str {
    let text = text.trim_end();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        if !line.trim().is_empty() {
            break;
        }
        start += line.len();
    }
    text.get(start..).unwrap_or_default()
}

/// Joins the lines of a format=flowed text to paragraphs (RFC 3676).
///
/// A line that ends in a space goes on in the next one of the same quote depth; with `del_sp` that
/// space is not part of the text. One leading space protects lines such as ` From` and ` >` and is
/// removed. The line `-- ` before a signature is never joined.
#[must_use]
pub(crate) fn unflow(text: &str, del_sp: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut open: Option<usize> = None;
    for (number, line) in text.lines().enumerate() {
        let content = line.trim_start_matches('>');
        let depth = line.len() - content.len();
        let content = content.strip_prefix(' ').unwrap_or(content);
        let signature = content == "-- ";
        if open != Some(depth) || signature {
            if number > 0 {
                out.push('\n');
            }
            out.extend(std::iter::repeat_n('>', depth));
            if depth > 0 && !content.is_empty() {
                out.push(' ');
            }
        }
        out.push_str(content);
        open = (content.ends_with(' ') && !signature).then_some(depth);
        if open.is_some() && del_sp {
            out.pop();
        }
    }
    out
}

/// A file that stood uuencoded in the middle of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UuFile {
    /// The name on the `begin` line, as written.
    pub(crate) name: String,
    /// Bytes of the decoded file.
    pub(crate) bytes: u64,
}

/// Takes complete uuencoded files out of a text: how attachments travelled before MIME.
///
/// Only a block with a `begin` line, well-formed lines and an `end` is taken; all else is text.
#[must_use]
pub(crate) fn without_uuencoded(text: &str) -> (Cow<'_, str>, Vec<UuFile>) {
    if !text.contains("begin ") {
        return (Cow::Borrowed(text), Vec::new());
    }
    let mut files = Vec::new();
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let (line, after) = split_line(rest);
        if let Some(name) = uu_begin(line)
            && let Some((bytes, end)) = uu_block(after)
        {
            files.push(UuFile { name: name.to_owned(), bytes });
            rest = end;
            continue;
        }
        out.push_str(rest.get(..rest.len() - after.len()).unwrap_or_default());
        rest = after;
    }
    if files.is_empty() { (Cow::Borrowed(text), files) } else { (Cow::Owned(out), files) }
}

fn split_line(text: &str) -> (&str, &str) {
    match text.split_once('\n') {
        Some((line, rest)) => (line, rest),
        None => (text, ""),
    }
}

fn uu_begin(line: &str) -> Option<&str> {
    let (mode, name) = line.strip_prefix("begin ")?.split_once(' ')?;
    let octal = (3..=4).contains(&mode.len()) && mode.bytes().all(|b| (b'0'..=b'7').contains(&b));
    (octal && !name.trim().is_empty()).then_some(name)
}

/// The decoded length of the block and what follows its `end`.
fn uu_block(mut rest: &str) -> Option<(u64, &str)> {
    let mut bytes = 0_u64;
    while !rest.is_empty() {
        let (line, after) = split_line(rest);
        rest = after;
        let line = line.trim_end();
        if line == "end" {
            return (bytes > 0).then_some((bytes, rest));
        }
        let Some(&first) = line.as_bytes().first() else { continue };
        if !(b' '..=b'`').contains(&first) {
            return None;
        }
        let count = u64::from((first - b' ') & 0x3f);
        // Four characters carry three bytes; blanks at the end may have been lost on the way.
        let most = 1 + count.div_ceil(3) * 4 + 1;
        if line.len() as u64 > most || !line.bytes().all(|b| (b' '..=b'`').contains(&b)) {
            return None;
        }
        bytes += count;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flowed_lines_become_paragraphs() {
        let text = "one \ntwo \nthree\n\n> quoted \n> on\n>> deeper\n From here\n-- \nme ";
        assert_eq!(
            unflow(text, false),
            "one two three\n\n> quoted on\n>> deeper\nFrom here\n-- \nme "
        );
        assert_eq!(unflow("ka \nta\n", true), "kata");
        assert_eq!(unflow("\na", false), "\na");
    }

    #[test]
    fn uuencoded_files_are_taken_out_and_sentences_are_not() {
        let text = "hi\nbegin 644 cat.txt\n#0V%T\n`\nend\nbye\n";
        let (kept, files) = without_uuencoded(text);
        assert_eq!(kept, "hi\nbye\n");
        assert_eq!(files, vec![UuFile { name: "cat.txt".into(), bytes: 3 }]);
        for text in ["begin 644 x\nlower case is no uuencoding\nend\n", "begin at the end\nend"] {
            assert_eq!(without_uuencoded(text), (Cow::Borrowed(text), Vec::new()));
        }
    }

    #[test]
    fn names_are_harmless_to_show() {
        assert_eq!(shown_name("a\u{1b}[31mb\u{202e}c\n\u{200b}d", 99), "a[31mbcd");
        assert_eq!(shown_name("ééé", 5), "éé");
    }

    #[test]
    fn blank_lines_at_the_ends_go_but_indentation_stays() {
        assert_eq!(trim_blank_lines("\n \n  indented\nx\n\n "), "  indented\nx");
        assert_eq!(trim_blank_lines(" \n\n"), "");
    }
}
