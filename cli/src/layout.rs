//! Styled text, and fitting it into columns.
//!
//! [`Text`] is one line made of pieces, each with a [`Style`]. Every piece is cleaned when it is
//! put in, and colours are not characters of the text but marks beside it. So there is no way to
//! bring a peer's escape sequence, line end or direction override to the terminal through a
//! [`Text`], and nothing has to be remembered: `format!("{name} joined")` is as safe as the rest.
//!
//! Columns are counted by grapheme clusters (Unicode Standard Annex 29) and their width (Annex
//! 11). Clusters of absurd length, which the annex allows, are taken character by character.

use lanai_crdt::text::{clean_block, clean_line};
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// What a piece of text is, which decides its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Style {
    /// Ordinary text.
    #[default]
    Plain,
    /// A title or a heading.
    Heading,
    /// A short id.
    Id,
    /// A person's name.
    Name,
    /// A tag.
    Tag,
    /// Something new to the reader.
    Unread,
    /// Times, counts, tree lines: there when looked for.
    Dim,
    /// Text quoted from another post.
    Quote,
    /// A word that was searched for.
    Match,
    /// It went well.
    Good,
    /// It needs attention.
    Warn,
    /// It went wrong.
    Bad,
}

impl Style {
    /// Parameters of the SGR escape sequence (ECMA-48, 8.3.117). Only the sixteen colours that
    /// every terminal lets its user choose.
    pub(crate) const fn sgr(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Heading => Some("1"),
            Self::Id => Some("33"),
            Self::Name => Some("36"),
            Self::Tag => Some("35"),
            Self::Unread => Some("1;32"),
            Self::Dim | Self::Quote => Some("2"),
            Self::Match => Some("1;33"),
            Self::Good => Some("32"),
            Self::Warn => Some("33"),
            Self::Bad => Some("1;31"),
        }
    }
}

/// One line of styled text, clean by construction.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Text {
    pieces: Vec<(Style, String)>,
}

impl Text {
    /// A line without anything on it.
    #[must_use]
    pub const fn new() -> Self {
        Self { pieces: Vec::new() }
    }

    /// A line of one piece.
    #[must_use]
    pub fn styled(style: Style, text: impl AsRef<str>) -> Self {
        Self::new().with(style, text)
    }

    /// The line with another piece at its end.
    #[must_use]
    pub fn with(mut self, style: Style, text: impl AsRef<str>) -> Self {
        self.push(style, text);
        self
    }

    /// The line with ordinary text at its end.
    #[must_use]
    pub fn plain(self, text: impl AsRef<str>) -> Self {
        self.with(Style::Plain, text)
    }

    /// The line with another line at its end.
    #[must_use]
    pub fn then(mut self, other: Self) -> Self {
        self.pieces.extend(other.pieces);
        self
    }

    /// Adds a piece.
    pub fn push(&mut self, style: Style, text: impl AsRef<str>) {
        let cleaned = clean_line(text.as_ref());
        if !cleaned.is_empty() {
            self.pieces.push((style, cleaned.into_owned()));
        }
    }

    /// Whether nothing is on the line.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Columns it takes.
    #[must_use]
    pub fn width(&self) -> usize {
        self.cells().map(|cell| cell.width).sum()
    }

    /// The text without its styles.
    #[must_use]
    pub fn to_plain(&self) -> String {
        self.pieces.iter().map(|(_, text)| text.as_str()).collect()
    }

    /// The text with escape sequences for its styles, or without.
    #[must_use]
    pub fn render(&self, coloured: bool) -> String {
        let mut out = String::new();
        for (style, text) in &self.pieces {
            match style.sgr() {
                Some(sgr) if coloured => {
                    out.push_str("\u{1b}[");
                    out.push_str(sgr);
                    out.push('m');
                    out.push_str(text);
                    out.push_str("\u{1b}[0m");
                }
                _ => out.push_str(text),
            }
        }
        out
    }

    /// The line cut to `columns`, with an ellipsis where something was cut off.
    #[must_use]
    pub fn truncated(&self, columns: usize) -> Self {
        if self.width() <= columns {
            return self.clone();
        }
        let room = columns.saturating_sub(1);
        let mut line = Line::default();
        for cell in self.cells() {
            if line.width + cell.width > room {
                break;
            }
            line.push(cell);
        }
        let mut out = line.into_text();
        if columns > 0 {
            out.push(Style::Dim, "…");
        }
        out
    }

    /// The line without the spaces at its end.
    fn without_end(self) -> Self {
        let mut line = Line { pieces: self.pieces, width: 0 };
        line.trim_end();
        line.into_text()
    }

    fn cells(&self) -> impl Iterator<Item = Cell<'_>> {
        self.pieces.iter().flat_map(|(style, text)| {
            text.graphemes(true).flat_map(split_absurd).map(|text| Cell {
                style: *style,
                text,
                width: text.width(),
            })
        })
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::styled(Style::Plain, text)
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<&String> for Text {
    fn from(text: &String) -> Self {
        Self::from(text.as_str())
    }
}

/// Longest cluster, in bytes, that is kept in one piece. A family emoji has 25 to 40.
const MAX_CLUSTER: usize = 64;

fn split_absurd(cluster: &str) -> impl Iterator<Item = &str> {
    let (whole, rest) =
        if cluster.len() <= MAX_CLUSTER { (Some(cluster), "") } else { (None, cluster) };
    whole
        .into_iter()
        .chain(rest.char_indices().filter_map(move |(at, c)| rest.get(at..at + c.len_utf8())))
}

/// One grapheme cluster of a line.
struct Cell<'a> {
    style: Style,
    text: &'a str,
    width: usize,
}

/// A line being put together from cells.
#[derive(Default)]
struct Line {
    pieces: Vec<(Style, String)>,
    width: usize,
}

impl Line {
    fn push(&mut self, cell: Cell<'_>) {
        self.width += cell.width;
        match self.pieces.last_mut() {
            Some((style, text)) if *style == cell.style => text.push_str(cell.text),
            _ => self.pieces.push((cell.style, cell.text.to_owned())),
        }
    }

    fn trim_end(&mut self) {
        while let Some((_, text)) = self.pieces.last_mut() {
            let kept = text.trim_end_matches(' ').len();
            text.truncate(kept);
            if kept > 0 {
                break;
            }
            self.pieces.pop();
        }
    }

    /// The cells came out of a clean text, so they are clean.
    fn into_text(self) -> Text {
        Text { pieces: self.pieces }
    }
}

/// What stands before the lines of a wrapped text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Indent {
    /// Before the first line.
    pub first: Text,
    /// Before all others.
    pub rest: Text,
}

impl Indent {
    /// The same before every line.
    #[must_use]
    pub fn all(before: impl Into<Text>) -> Self {
        let first = before.into();
        Self { rest: first.clone(), first }
    }

    /// Spaces before every line.
    #[must_use]
    pub fn spaces(count: usize) -> Self {
        Self::all(" ".repeat(count))
    }
}

/// Fewest columns a text is given, however narrow the terminal or deep the indent.
const MIN_COLUMNS: usize = 16;

/// Breaks a line at spaces so that it fits `columns`, indent included; `None` never breaks. A
/// word that is too long by itself is broken where the line ends. Spaces at the beginning are
/// kept, those at a break are dropped.
#[must_use]
pub fn wrap(line: &Text, columns: Option<usize>, indent: &Indent) -> Vec<Text> {
    let Some(columns) = columns else {
        return vec![indent.first.clone().then(line.clone())];
    };
    let room = |before: &Text| columns.saturating_sub(before.width()).max(MIN_COLUMNS);
    let mut lines: Vec<Line> = Vec::new();
    let mut current = Line::default();
    let mut limit = room(&indent.first);
    let mut end_line = |current: &mut Line, limit: &mut usize| {
        let mut full = std::mem::take(current);
        full.trim_end();
        lines.push(full);
        *limit = room(&indent.rest);
    };
    let mut broken = false;
    for word in words(line) {
        let width: usize = word.iter().map(|cell| cell.width).sum();
        let blank = word.iter().all(|cell| cell.text == " ");
        if blank && broken && current.width == 0 {
            continue;
        }
        if current.width + width > limit && current.width > 0 && (blank || width <= limit) {
            end_line(&mut current, &mut limit);
            broken = true;
            if blank {
                continue;
            }
        }
        for cell in word {
            if current.width + cell.width > limit && current.width > 0 {
                end_line(&mut current, &mut limit);
                broken = true;
            }
            current.push(cell);
        }
    }
    if current.width > 0 || !current.pieces.is_empty() || !broken {
        end_line(&mut current, &mut limit);
    }
    let indents = std::iter::once(&indent.first).chain(std::iter::repeat(&indent.rest));
    let joined = |(before, text): (&Text, Line)| {
        let empty = text.pieces.is_empty();
        let line = before.clone().then(text.into_text());
        if empty { line.without_end() } else { line }
    };
    indents.zip(lines).map(joined).collect()
}

/// The runs of spaces and of other things that a line consists of.
fn words(line: &Text) -> Vec<Vec<Cell<'_>>> {
    let mut words: Vec<Vec<Cell<'_>>> = Vec::new();
    for cell in line.cells() {
        match words.last_mut() {
            Some(word) if word.last().is_some_and(|c| (c.text == " ") == (cell.text == " ")) => {
                word.push(cell);
            }
            _ => words.push(vec![cell]),
        }
    }
    words
}

/// Lays out a text of several lines, such as a post: cleaned, each line wrapped, quoted lines
/// (they begin with `>`) in their style.
#[must_use]
pub fn block(text: &str, columns: Option<usize>, indent: &Indent) -> Vec<Text> {
    let mut out = Vec::new();
    let mut indent = indent.clone();
    for line in clean_block(text.trim_end()).split('\n') {
        let style = if line.starts_with('>') { Style::Quote } else { Style::Plain };
        out.extend(wrap(&Text::styled(style, line), columns, &indent));
        indent.first = indent.rest.clone();
    }
    out
}

/// To which side a column's cells keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// A column of a [`Table`].
#[derive(Debug, Clone)]
struct Column {
    header: &'static str,
    align: Align,
    gives_way: bool,
}

/// Rows of cells. Aligned under headers for a terminal, where the columns that give way are cut
/// to fit; tab-separated, whole and without headers for a pipe.
#[derive(Debug, Clone, Default)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Text>>,
}

/// Columns of space between two columns.
const GAP: usize = 2;
/// Fewest columns that a column which gives way keeps.
const MIN_CELL: usize = 8;

impl Table {
    /// A table without columns.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With another column, which is always shown whole.
    #[must_use]
    pub fn column(self, header: &'static str) -> Self {
        self.add(header, Align::Left, false)
    }

    /// With another column of numbers.
    #[must_use]
    pub fn numbers(self, header: &'static str) -> Self {
        self.add(header, Align::Right, false)
    }

    /// With another column, which is cut when the terminal is too narrow for all.
    #[must_use]
    pub fn flexible(self, header: &'static str) -> Self {
        self.add(header, Align::Left, true)
    }

    fn add(mut self, header: &'static str, align: Align, gives_way: bool) -> Self {
        self.columns.push(Column { header, align, gives_way });
        self
    }

    /// Adds a row. Cells that are missing are empty, those beyond the columns are left out.
    pub fn row<T: Into<Text>>(&mut self, cells: impl IntoIterator<Item = T>) {
        let mut row: Vec<Text> = cells.into_iter().map(Into::into).collect();
        row.resize(self.columns.len(), Text::new());
        self.rows.push(row);
    }

    /// Whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The rows for a pipe.
    #[must_use]
    pub fn tabbed(&self) -> Vec<String> {
        let joined =
            |row: &Vec<Text>| row.iter().map(Text::to_plain).collect::<Vec<_>>().join("\t");
        self.rows.iter().map(joined).collect()
    }

    /// The rows for a terminal of this many columns, under their headers.
    #[must_use]
    pub fn aligned(&self, columns: usize) -> Vec<Text> {
        let widths = self.widths(columns);
        let header: Vec<Text> =
            self.columns.iter().map(|c| Text::styled(Style::Dim, c.header)).collect();
        let with_header = !self.columns.iter().all(|c| c.header.is_empty());
        let first = with_header.then_some(&header);
        first.into_iter().chain(&self.rows).map(|row| self.line(row, &widths)).collect()
    }

    fn line(&self, row: &[Text], widths: &[usize]) -> Text {
        let mut out = Line::default();
        let cells = row.iter().zip(widths).zip(&self.columns);
        let last = row.iter().rposition(|cell| !cell.is_empty()).unwrap_or_default();
        let mut text = Text::new();
        for (number, ((cell, &width), column)) in cells.enumerate().take(last + 1) {
            let cell = cell.truncated(width);
            let space = " ".repeat(width.saturating_sub(cell.width()));
            let gap = if number == 0 { "" } else { "  " };
            text = match column.align {
                Align::Left if number == last => text.plain(gap).then(cell),
                Align::Left => text.plain(gap).then(cell).plain(space),
                Align::Right => text.plain(gap).plain(space).then(cell),
            };
        }
        for cell in text.cells() {
            out.push(cell);
        }
        out.into_text()
    }

    /// Natural widths, with what is too much taken from the widest column that gives way, one
    /// column at a time.
    fn widths(&self, columns: usize) -> Vec<usize> {
        let mut widths: Vec<usize> = self.columns.iter().map(|c| c.header.width()).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.width());
            }
        }
        let gaps = GAP * widths.len().saturating_sub(1);
        let mut excess = (widths.iter().sum::<usize>() + gaps).saturating_sub(columns);
        while excess > 0 {
            let pairs = widths.iter_mut().zip(&self.columns);
            let widest =
                pairs.filter(|(w, c)| c.gives_way && **w > MIN_CELL).max_by_key(|(w, _)| **w);
            let Some((width, _)) = widest else { break };
            *width -= 1;
            excess -= 1;
        }
        widths
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrapped(text: &str, columns: usize) -> Vec<String> {
        wrap(&text.into(), Some(columns), &Indent::default()).iter().map(Text::to_plain).collect()
    }

    #[test]
    fn peer_text_is_clean_whatever_way_it_comes() {
        let evil = "a\u{1b}[31m\nerror: b\u{202e}";
        let line = Text::from(format!("{evil} joined")).with(Style::Name, evil);
        assert_eq!(line.to_plain(), "a␛[31m error: b joineda␛[31m error: b");
        assert_eq!(
            Text::styled(Style::Name, evil).render(true),
            "\u{1b}[36ma␛[31m error: b\u{1b}[0m"
        );
        let text: Vec<String> =
            block(evil, Some(80), &Indent::default()).iter().map(|t| t.render(false)).collect();
        assert_eq!(text, ["a␛[31m", "error: b"]);
    }

    #[test]
    fn lines_break_at_spaces() {
        assert_eq!(wrapped("one two three four five", 16), ["one two three", "four five"]);
        assert_eq!(wrapped("", 16), [""]);
        assert_eq!(wrapped("   indented text here", 16), ["   indented text", "here"]);
        assert_eq!(wrapped("sixteen letters ", 16), ["sixteen letters"]);
        assert_eq!(wrapped("1234567890123456  next", 16), ["1234567890123456", "next"]);
    }

    #[test]
    fn a_long_word_is_broken_and_nothing_is_lost() {
        let long = "x".repeat(10_000);
        let lines = wrapped(&long, 80);
        assert_eq!(lines.len(), 125);
        assert!(lines.iter().all(|l| l.len() == 80));
        assert_eq!(lines.concat(), long);
        let mixed = wrapped(&format!("see {}", "y".repeat(40)), 20);
        assert_eq!(mixed, [format!("see {}", "y".repeat(16)), "y".repeat(20), "y".repeat(4)]);
    }

    #[test]
    fn wide_characters_count_twice_and_clusters_stay_whole() {
        assert_eq!(wrapped(&"日本".repeat(8), 16), ["日本".repeat(4), "日本".repeat(4)]);
        let family = "👨\u{200d}👩\u{200d}👧";
        assert_eq!(wrapped(&family.repeat(10), 16), [family.repeat(8), family.repeat(2)]);
        let absurd = format!("👨{}", "\u{200d}👨".repeat(2000));
        assert!(wrapped(&absurd, 40).iter().all(|l| l.chars().count() <= 80));
    }

    #[test]
    fn styles_survive_a_break() {
        let line = Text::from("plain words ").with(Style::Name, "a name that is long");
        let lines = wrap(&line, Some(16), &Indent::spaces(2));
        let shown: Vec<String> = lines.iter().map(|l| l.render(true)).collect();
        assert_eq!(
            shown,
            [
                "  plain words \u{1b}[36ma\u{1b}[0m",
                "  \u{1b}[36mname that is\u{1b}[0m",
                "  \u{1b}[36mlong\u{1b}[0m"
            ]
        );
    }

    #[test]
    fn without_columns_nothing_breaks() {
        let long = "word ".repeat(1000);
        assert_eq!(wrap(&long.as_str().into(), None, &Indent::default()).len(), 1);
    }

    #[test]
    fn blocks_keep_their_lines_and_mark_quotes() {
        let indent = Indent { first: "* ".into(), rest: "| ".into() };
        let lines = block("> was\r\n\r\n  is\n\n", Some(40), &indent);
        let shown: Vec<String> = lines.iter().map(|l| l.render(true)).collect();
        assert_eq!(shown, ["* \u{1b}[2m> was\u{1b}[0m", "|", "|   is"]);
    }

    #[test]
    fn cutting_ends_with_an_ellipsis() {
        assert_eq!(Text::from("abcdef").truncated(6).to_plain(), "abcdef");
        assert_eq!(Text::from("abcdefg").truncated(6).to_plain(), "abcde…");
        assert_eq!(Text::from("日本語").truncated(4).to_plain(), "日…");
        assert_eq!(Text::from("abc").truncated(0).to_plain(), "");
    }

    fn table() -> Table {
        let mut table = Table::new().column("ID").flexible("TITLE").numbers("N");
        table.row([Text::from("a1"), Text::from("a title of some length\tand a tab"), "5".into()]);
        table.row([Text::from("b22"), Text::from("short"), "12".into()]);
        table
    }

    #[test]
    fn tables_are_aligned_and_cut_to_fit() {
        let shown: Vec<String> = table().aligned(30).iter().map(Text::to_plain).collect();
        assert_eq!(
            shown,
            [
                "ID   TITLE                   N",
                "a1   a title of some leng…   5",
                "b22  short                  12"
            ]
        );
        let roomy: Vec<usize> = table().aligned(200).iter().map(Text::width).collect();
        assert_eq!(roomy, [41, 41, 41]);
    }

    #[test]
    fn tables_for_pipes_are_whole() {
        assert_eq!(table().tabbed(), ["a1\ta title of some length and a tab\t5", "b22\tshort\t12"]);
    }

    #[test]
    fn a_row_that_is_too_short_is_filled_up() {
        let mut table = Table::new().column("A").column("B");
        table.row(["x"]);
        table.row(["x", "y", "z"]);
        assert_eq!(table.tabbed(), ["x\t", "x\ty"]);
    }
}
