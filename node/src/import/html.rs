//! HTML mail as plain text.
//!
//! `mail-parser` knows all entities and drops tags, but sees `<br>`, `</p>` and `<style>` only when
//! they carry no attributes, and no other block at all. So the tags are brought into that form
//! first: blocks become line breaks, the content of `head`, `style` and `script` and all comments go, a
//! link is followed by its address, and a `<` that begins no tag becomes an entity.

/// Bytes of a link's address that are kept.
const MAX_LINK_BYTES: usize = 300;

/// The text of an HTML document or fragment. Linear in its length.
#[must_use]
pub fn html_to_text(html: &str) -> String {
    let text = mail_parser::decoders::html::html_to_text(&simplify(html));
    tidy(&text)
}

fn simplify(html: &str) -> String {
    let mut out = String::with_capacity(html.len());
    let mut link: Option<(String, usize)> = None;
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let Some(tag) = Tag::read(from) else {
            out.push_str("&lt;");
            rest = from.get(1..).unwrap_or_default();
            continue;
        };
        rest = tag.after;
        if let Some(name) = hidden_content(&tag) {
            rest = after_closing(rest, name);
            continue;
        }
        match (tag.name.as_str(), tag.closing) {
            ("br" | "hr" | "p" | "div" | "tr" | "table" | "ul" | "ol" | "dl" | "dt", _)
            | ("h1" | "h2" | "h3" | "h4" | "h5" | "h6" | "pre" | "blockquote", _) => {
                out.push_str("<br>");
            }
            ("li", false) => out.push_str("<br>- "),
            ("td" | "th" | "dd", false) => out.push(' '),
            ("a", false) => link = tag.href().map(|href| (href, out.len())),
            ("a", true) => {
                if let Some((href, start)) = link.take()
                    && !out.get(start..).unwrap_or_default().contains(&href)
                {
                    out.push_str(" [");
                    out.push_str(&href);
                    out.push(']');
                }
            }
            _ => {}
        }
    }
    out.push_str(rest);
    out
}

struct Tag<'a> {
    /// In lower case; empty for comments and declarations.
    name: String,
    closing: bool,
    attributes: &'a str,
    after: &'a str,
}

impl<'a> Tag<'a> {
    /// Reads the tag that `from` begins with. None if its `<` begins no tag.
    fn read(from: &'a str) -> Option<Self> {
        let inner = from.get(1..)?;
        if let Some(comment) = inner.strip_prefix("!--") {
            let after = comment.split_once("-->").map_or("", |(_, after)| after);
            return Some(Tag { name: String::new(), closing: false, attributes: "", after });
        }
        let closing = inner.starts_with('/');
        let inner = inner.strip_prefix('/').unwrap_or(inner);
        let declaration = inner.starts_with(['!', '?']);
        if !declaration && !inner.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return None;
        }
        let end = tag_end(inner);
        let (content, after) = inner.split_at(end);
        let after = after.get(1..).unwrap_or_default();
        let name_end = content.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(content.len());
        let (name, attributes) = content.split_at(name_end);
        Some(Tag { name: name.to_ascii_lowercase(), closing, attributes, after })
    }

    fn href(&self) -> Option<String> {
        let at = self.attributes.to_ascii_lowercase().find("href")?;
        let value = self.attributes.get(at + 4..)?.trim_start().strip_prefix('=')?.trim_start();
        let address = match value.chars().next()? {
            quote @ ('"' | '\'') => value.get(1..)?.split(quote).next()?,
            _ => value.split_whitespace().next()?,
        };
        let shown = ["http://", "https://", "ftp://"].iter().any(|scheme| {
            address.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
        });
        let plain = address.len() <= MAX_LINK_BYTES && !address.contains(['<', '>', '\n']);
        (shown && plain).then(|| address.to_owned())
    }
}

/// Where the tag's `>` stands; one inside quotes does not count, unless the quotes never end.
fn tag_end(inner: &str) -> usize {
    let mut quote = None;
    for (at, b) in inner.bytes().enumerate().take(4096) {
        match (quote, b) {
            (None, b'>') => return at,
            (None, b'"' | b'\'') => quote = Some(b),
            (Some(q), b) if q == b => quote = None,
            _ => {}
        }
    }
    inner.find('>').unwrap_or(inner.len())
}

fn hidden_content(tag: &Tag<'_>) -> Option<&'static str> {
    if tag.closing {
        return None;
    }
    ["head", "style", "script", "template", "title"].into_iter().find(|name| *name == tag.name)
}

/// What follows `</name…>`; everything is hidden if the element never ends, except that an unclosed
/// head ends where the body begins.
fn after_closing<'a>(text: &'a str, name: &str) -> &'a str {
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        let from = rest.get(at..).unwrap_or_default();
        rest = from.get(1..).unwrap_or_default();
        let ends = rest.strip_prefix('/').is_some_and(|inner| is_named(inner, name));
        if ends || (name == "head" && is_named(rest, "body")) {
            return Tag::read(from).map_or("", |tag| tag.after);
        }
    }
    ""
}

fn is_named(inner: &str, name: &str) -> bool {
    let start = inner.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
    start && !inner.as_bytes().get(name.len()).is_some_and(u8::is_ascii_alphanumeric)
}

/// No blanks at the ends of lines, no more than one blank line in a row.
fn tidy(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut blank = 0;
    for line in text.lines().map(|l| l.trim_matches([' ', '\u{a0}'])) {
        blank = if line.is_empty() { blank + 1 } else { 0 };
        if blank <= 1 {
            out.push_str(line);
            out.push('\n');
        }
    }
    out.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_entities_and_links_become_text() {
        let html = "<HTML><head><title>t</title><style type=\"text/css\">p {x}</style></head>\
            <body bgcolor=#fff><!-- no > --><div>Caf&eacute; &amp; &lt;b&gt;</div>\
            <p align=left>1 < 2<br clear=\"a>b\">two<ul><li>one<li>two</ul>\
            See <a href=\"http://example.org/x\">here</a> or \
            <a href='http://example.org'>http://example.org</a>\
            <script>if (a<b) {alert('</p>')}</script></body></html>";
        let text = html_to_text(html);
        assert_eq!(
            text,
            "Café & <b>\n\n1 < 2\ntwo\n\n- one\n- two\nSee here [http://example.org/x] or \
             http://example.org"
        );
    }

    #[test]
    fn broken_html_loses_no_text_and_never_hangs() {
        assert_eq!(html_to_text("a < b <i>c"), "a < b c");
        assert_eq!(html_to_text("<head><body>text"), "text");
        assert_eq!(html_to_text("x<a href=\"javascript:evil()\">y</a>"), "xy");
        for html in
            ["", "<", "</", "<!--", "&", "&;", "&#xfffffff;", "<a href=", "é<é>é", "<p", "&#x1b;"]
        {
            let _ = html_to_text(html);
        }
        let deep = "<div>".repeat(100_000);
        assert_eq!(html_to_text(&deep), "");
    }

    #[test]
    fn unclosed_hidden_parts_take_linear_time() {
        let html = "<style>".repeat(20_000);
        assert_eq!(html_to_text(&html), "");
        for start in ["", "<style>"] {
            let html = format!("{start}{}", "<i \"".repeat(500_000));
            assert_eq!(html_to_text(&html), "");
        }
    }
}
