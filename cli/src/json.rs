//! JSON for programs, safe for the terminal it may end up on.
//!
//! Every answer is an object that begins with `version` and `kind`. Fields may be added within a
//! version; a field that changes its meaning or goes away makes a new one.
//!
//! Strings hold exactly what a peer wrote, uncleaned, for a program has to see the truth. What
//! would act on a terminal or hide from the eye (controls, direction controls, zero-width
//! characters, tags) is written as `\uXXXX`, which every JSON reader turns back into the
//! character.

use std::io::{self, Write};

use lanai_crdt::text::is_unseen;
use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, PrettyFormatter, Serializer};

/// Version of the JSON answers.
pub const VERSION: u32 = 1;

/// An answer: `version`, `kind`, then the fields of `data`, which must be a struct or a map.
#[derive(Serialize)]
pub struct Envelope<'a, T> {
    version: u32,
    kind: &'a str,
    #[serde(flatten)]
    data: &'a T,
}

impl<'a, T: Serialize> Envelope<'a, T> {
    /// Puts `data` into an answer of this kind, such as `"threads"`.
    pub const fn new(kind: &'a str, data: &'a T) -> Self {
        Self { version: VERSION, kind, data }
    }
}

/// On one line, without a line end.
///
/// # Errors
///
/// When `value` cannot be represented: map keys that are no strings, or an [`Envelope`] around
/// something without fields.
pub fn compact<T: Serialize + ?Sized>(value: &T) -> serde_json::Result<String> {
    write_with(value, CompactFormatter)
}

/// Indented, for eyes; without a final line end.
///
/// # Errors
///
/// As for [`compact`].
pub fn pretty<T: Serialize + ?Sized>(value: &T) -> serde_json::Result<String> {
    write_with(value, PrettyFormatter::new())
}

fn write_with<T: Serialize + ?Sized, F: Formatter>(
    value: &T,
    layout: F,
) -> serde_json::Result<String> {
    let mut bytes = Vec::new();
    value.serialize(&mut Serializer::with_formatter(&mut bytes, Visible(layout)))?;
    String::from_utf8(bytes).map_err(|error| serde_json::Error::io(io::Error::other(error)))
}

/// Writes unseen characters as escapes and leaves the layout to another formatter.
struct Visible<F>(F);

impl<F: Formatter> Formatter for Visible<F> {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        w: &mut W,
        text: &str,
    ) -> io::Result<()> {
        let mut rest = text;
        while let Some((at, c)) = rest.char_indices().find(|&(_, c)| is_unseen(c)) {
            let (before, after) = rest.split_at(at);
            w.write_all(before.as_bytes())?;
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(w, "\\u{unit:04x}")?;
            }
            rest = after.strip_prefix(c).unwrap_or_default();
        }
        w.write_all(rest.as_bytes())
    }

    fn begin_array<W: ?Sized + Write>(&mut self, w: &mut W) -> io::Result<()> {
        self.0.begin_array(w)
    }

    fn end_array<W: ?Sized + Write>(&mut self, w: &mut W) -> io::Result<()> {
        self.0.end_array(w)
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, w: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_array_value(w, first)
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, w: &mut W) -> io::Result<()> {
        self.0.end_array_value(w)
    }

    fn begin_object<W: ?Sized + Write>(&mut self, w: &mut W) -> io::Result<()> {
        self.0.begin_object(w)
    }

    fn end_object<W: ?Sized + Write>(&mut self, w: &mut W) -> io::Result<()> {
        self.0.end_object(w)
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, w: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_object_key(w, first)
    }

    fn end_object_key<W: ?Sized + Write>(&mut self, w: &mut W) -> io::Result<()> {
        self.0.end_object_key(w)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, w: &mut W) -> io::Result<()> {
        self.0.begin_object_value(w)
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, w: &mut W) -> io::Result<()> {
        self.0.end_object_value(w)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[derive(Serialize)]
    struct Found {
        title: String,
        count: u32,
    }

    #[test]
    fn an_answer_says_version_and_kind_first() {
        let found = Found { title: "a \"b\"".into(), count: 2 };
        assert_eq!(
            compact(&Envelope::new("found", &found)).unwrap(),
            r#"{"version":1,"kind":"found","title":"a \"b\"","count":2}"#
        );
        assert_eq!(
            pretty(&Envelope::new("found", &found)).unwrap(),
            "{\n  \"version\": 1,\n  \"kind\": \"found\",\n  \"title\": \"a \\\"b\\\"\",\n  \
             \"count\": 2\n}"
        );
    }

    #[test]
    fn unseen_characters_are_escapes_and_come_back() {
        let raw = "a\u{1b}[2J\u{7f}\u{9b}\u{202e}\u{200b}\u{200d}\u{feff}\u{2028}\u{e0041}é🙂\n";
        let value = json!({ "text": raw, raw: [1, "x"] });
        for text in [compact(&value).unwrap(), pretty(&value).unwrap()] {
            assert!(!text.chars().any(|c| c != '\n' && is_unseen(c)), "{text}");
            assert!(text.contains("é🙂"));
            assert!(text.contains(r"\u202e\u200b\u200d\ufeff\u2028\udb40\udc41"), "{text}");
            assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
        }
    }

    #[test]
    fn layout_is_that_of_the_inner_formatter() {
        let value = json!({"a": [], "b": [1, {"c": null}], "d": {}});
        assert_eq!(compact(&value).unwrap(), serde_json::to_string(&value).unwrap());
        assert_eq!(pretty(&value).unwrap(), serde_json::to_string_pretty(&value).unwrap());
    }
}
