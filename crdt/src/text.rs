//! Cleaning of text that somebody else wrote, before a person sees it.
//!
//! Whatever a peer signs may hold terminal escapes, direction overrides, invisible characters
//! or towers of combining marks. None of that is refused, for what was signed is kept as it was
//! signed; it is made harmless on the way to the eye. Nothing here decides what nodes agree on:
//! the tables grow with Unicode, and no entry, fold or state hash may depend on them.
//!
//! The rules, in the order in which they are applied to each character:
//!
//! 1. Line ends (`\n`, `\r\n`, `\r`, VT, FF, NEL, U+2028, U+2029) become one `\n` in a block and
//!    one space in a line. A tab becomes four spaces in a block and one in a line.
//! 2. The other controls become their *control pictures*, so a reader sees that something was
//!    there: ESC is shown as `␛`, NUL as `␀`, DEL as `␡`. C1 controls (which 8-bit terminals
//!    obey) and noncharacters become U+FFFD. What followed an ESC stays as plain text.
//! 3. Characters that exist to be invisible or to turn the direction of text are removed:
//!    bidi marks, embeddings, overrides and isolates, zero-width spaces, word joiners, byte order
//!    marks, soft hyphens, invisible fillers, interlinear annotation, shorthand and musical
//!    format controls, tags. Mail and office programs leave such characters in honest text, so
//!    they are not made visible.
//! 4. Variation selectors stay, one after each character that is there to be varied.
//! 5. At most [`MAX_MARKS`] combining marks stay on one base. A mark that begins a line gets a
//!    dotted circle (U+25CC) to sit on, or it would sit on whatever the program printed before.
//! 6. The joiners ZWJ and ZWNJ stay between letters (Indic and Persian spelling needs them) and
//!    between emoji (families and professions are made with them), one at a place; elsewhere they
//!    are removed.
//!
//! Cleaning is idempotent, and what comes out never holds a character for which [`is_hazard`] is
//! true. Combining marks are recognised by their width of zero columns (Unicode Standard Annex 11).

use std::borrow::Cow;

use unicode_normalization::UnicodeNormalization;
use unicode_width::UnicodeWidthChar;

/// Combining marks that stay on one base character. Living scripts stack up to five or six.
pub const MAX_MARKS: usize = 8;

/// Spaces that stand for a tab in a block of text.
const TAB: &str = "    ";

/// Zero width non-joiner.
const ZWNJ: char = '\u{200C}';
/// Zero width joiner.
const ZWJ: char = '\u{200D}';
/// What a combining mark without a base is placed on.
const DOTTED_CIRCLE: char = '\u{25CC}';

/// Cleans a text that must stay on one line: a name, a title, a reason, an address.
///
/// Line ends and tabs become spaces; the module's rules apply to the rest. Borrows when there is
/// nothing to clean.
///
/// ```
/// use lanai_crdt::text::clean_line;
/// assert_eq!(clean_line("Ann\u{1b}[2J\u{202e}bob\n"), "Ann␛[2Jbob ");
/// ```
#[must_use]
pub fn clean_line(text: &str) -> Cow<'_, str> {
    clean(text, Shape::Line)
}

/// Cleans a text of several lines. Line ends become `\n`, a tab becomes four spaces; the module's
/// rules apply to the rest. Borrows when there is nothing to clean.
#[must_use]
pub fn clean_block(text: &str) -> Cow<'_, str> {
    clean(text, Shape::Block)
}

/// Whether a character never comes out of [`clean_line`] and, `\n` excepted, of [`clean_block`]:
/// a control, a line separator, a direction control, an invisible character, a tag or a
/// noncharacter. The joiners are judged by their place and are not hazards as such.
#[must_use]
pub fn is_hazard(c: char) -> bool {
    !matches!(classify(c), Class::Keep | Class::Joiner | Class::Selector)
}

/// Whether a character is invisible or turns text, so that a program that shows text exactly as
/// it is (JSON output, say) has to write it as an escape: the hazards and the joiners.
#[must_use]
pub fn is_unseen(c: char) -> bool {
    !matches!(classify(c), Class::Keep | Class::Selector)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Line,
    Block,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Keep,
    Joiner,
    Selector,
    LineEnd,
    Tab,
    /// Shown as this character instead.
    Picture(char),
    Remove,
}

fn classify(c: char) -> Class {
    match c {
        ' '..='~' => Class::Keep,
        '\t' => Class::Tab,
        '\n' | '\r' | '\u{0B}' | '\u{0C}' | '\u{85}' | '\u{2028}' | '\u{2029}' => Class::LineEnd,
        '\0'..='\u{1F}' => {
            Class::Picture(char::from_u32(0x2400 + u32::from(c)).unwrap_or(char::REPLACEMENT_CHARACTER))
        }
        '\u{7F}' => Class::Picture('\u{2421}'),
        '\u{80}'..='\u{9F}' => Class::Picture(char::REPLACEMENT_CHARACTER),
        ZWNJ | ZWJ => Class::Joiner,
        '\u{FE00}'..='\u{FE0F}'
        | '\u{E0100}'..='\u{E01EF}'
        | '\u{180B}'..='\u{180D}'
        | '\u{180F}' => Class::Selector,
        // Soft hyphen, combining grapheme joiner, Arabic letter mark, Hangul fillers, invisible
        // Khmer vowels, Mongolian vowel separator.
        '\u{AD}'
        | '\u{034F}'
        | '\u{061C}'
        | '\u{115F}'
        | '\u{1160}'
        | '\u{3164}'
        | '\u{FFA0}'
        | '\u{17B4}'
        | '\u{17B5}'
        | '\u{180E}'
        // Zero width space, direction marks, embeddings and overrides; word joiner, invisible
        // operators, isolates, deprecated format characters.
        | '\u{200B}'
        | '\u{200E}'
        | '\u{200F}'
        | '\u{202A}'..='\u{202E}'
        | '\u{2060}'..='\u{206F}'
        // Byte order mark, reserved ignorables, interlinear annotation.
        | '\u{FEFF}'
        | '\u{FFF0}'..='\u{FFFB}'
        // Shorthand and musical format controls, tags and what is reserved around them.
        | '\u{1BCA0}'..='\u{1BCA3}'
        | '\u{1D173}'..='\u{1D17A}'
        | '\u{E0000}'..='\u{E0FFF}' => Class::Remove,
        '\u{FDD0}'..='\u{FDEF}' => Class::Picture(char::REPLACEMENT_CHARACTER),
        _ if u32::from(c) & 0xFFFE == 0xFFFE => Class::Picture(char::REPLACEMENT_CHARACTER),
        _ => Class::Keep,
    }
}

/// Whether a character takes no column of its own and sits on the one before.
fn is_mark(c: char) -> bool {
    !c.is_ascii() && c.width() == Some(0)
}

/// Whether a character takes part in emoji sequences made with the joiner: pictographs, the
/// arrows, signs and symbols used in them, skin tones.
fn is_emoji(c: char) -> bool {
    matches!(c,
        '\u{A9}' | '\u{AE}' | '\u{203C}' | '\u{2049}' | '\u{2122}' | '\u{2139}'
        | '\u{2190}'..='\u{21FF}' | '\u{2300}'..='\u{23FF}' | '\u{25A0}'..='\u{27BF}'
        | '\u{2900}'..='\u{297F}' | '\u{2B00}'..='\u{2BFF}' | '\u{3030}' | '\u{303D}'
        | '\u{3297}' | '\u{3299}' | '\u{1F000}'..='\u{1FAFF}')
}

fn clean(text: &str, shape: Shape) -> Cow<'_, str> {
    let plain = |b: u8| (b' '..=b'~').contains(&b) || (b == b'\n' && shape == Shape::Block);
    if text.bytes().all(plain) {
        return Cow::Borrowed(text);
    }
    let cleaned = place_joiners(&replace(text, shape));
    if cleaned == text { Cow::Borrowed(text) } else { Cow::Owned(cleaned) }
}

/// Rules 1 to 5. Joiners pass through and count for nothing, so that taking some of them out
/// afterwards changes none of the decisions made here.
fn replace(text: &str, shape: Shape) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    let mut has_base = false;
    let mut varied = false;
    let mut marks = 0;
    while let Some(c) = chars.next() {
        let shown = match classify(c) {
            Class::Remove => continue,
            Class::Joiner => {
                out.push(c);
                continue;
            }
            Class::Selector => {
                if has_base && !varied {
                    out.push(c);
                    varied = true;
                }
                continue;
            }
            Class::LineEnd => {
                if c == '\r' && chars.peek() == Some(&'\n') {
                    chars.next();
                }
                match shape {
                    Shape::Line => ' ',
                    Shape::Block => '\n',
                }
            }
            Class::Tab => {
                match shape {
                    Shape::Line => out.push(' '),
                    Shape::Block => out.push_str(TAB),
                }
                (has_base, varied, marks) = (true, false, 0);
                continue;
            }
            Class::Picture(picture) => picture,
            Class::Keep => c,
        };
        varied = false;
        if is_mark(shown) {
            if !has_base {
                out.push(DOTTED_CIRCLE);
                has_base = true;
            }
            marks += 1;
            if marks > MAX_MARKS {
                // A selector after a mark that was cut would vary the wrong character.
                varied = true;
                continue;
            }
        } else {
            has_base = shown != '\n';
            marks = 0;
        }
        out.push(shown);
    }
    out
}

/// Rule 6, on text that went through the rules before it.
fn place_joiners(text: &str) -> String {
    if !text.contains([ZWJ, ZWNJ]) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut base = None;
    let mut waiting = None;
    for c in text.chars() {
        if matches!(c, ZWJ | ZWNJ) {
            waiting = waiting.or(Some(c));
            continue;
        }
        if let Some(joiner) = waiting.take() {
            let joins = base.is_some_and(|b: char| {
                (b.is_alphabetic() && (c.is_alphabetic() || is_written_mark(c)))
                    || (is_emoji(b) && is_emoji(c))
            });
            if joins {
                out.push(joiner);
            }
        }
        if !is_mark(c) {
            base = Some(c);
        }
        out.push(c);
    }
    out
}

/// A mark that spelling may put after a joiner, such as the virama of Bengali ya-phalaa.
fn is_written_mark(c: char) -> bool {
    is_mark(c) && classify(c) == Class::Keep
}

/// Folds a name to what it looks like at a glance, to compare it with other names.
///
/// The text is cleaned and decomposed (Unicode compatibility form NFKD, which also turns full
/// width and mathematical letters into plain ones), lowered, stripped of marks, joiners, spaces
/// and the separators people put into names, and then the commonest look-alikes become one:
/// `0` and `o`; `1`, `i`, `l` and `|`; `rn` and `m`; `vv` and `w`; Cyrillic and Greek letters
/// shaped like Latin ones. This is a small table, made for warnings, in the spirit of Unicode
/// Technical Standard 39: names that differ here may still look alike in some font.
#[must_use]
pub fn skeleton(name: &str) -> String {
    let cleaned = clean_line(name);
    let mixed = cleaned.nfkd().any(|c| c.is_ascii_alphabetic());
    let mut folded = String::with_capacity(cleaned.len());
    let decomposed = cleaned.nfkd().map(|c| if mixed { unmask_capital(c) } else { c });
    for c in decomposed.flat_map(char::to_lowercase).nfkd() {
        if is_mark(c) || c.is_whitespace() || is_separator(c) || is_hazard(c) {
            continue;
        }
        folded.push(look(c));
    }
    folded.replace("rn", "m").replace("vv", "w")
}

/// Whether two names can be taken for one another: they fold to one [`skeleton`]. A name looks
/// like itself, and two names that show nothing at all look alike.
#[must_use]
pub fn looks_like(a: &str, b: &str) -> bool {
    skeleton(a) == skeleton(b)
}

fn is_separator(c: char) -> bool {
    matches!(c, '.' | ',' | '_' | '-' | '\'' | '"' | '`' | '*' | '\u{B7}' | '\u{2800}')
        || ('\u{2010}'..='\u{2027}').contains(&c)
        || matches!(c, '\u{B4}' | '\u{2B0}'..='\u{2FF}' | '\u{2212}' | '\u{25CC}')
}

/// Greek capitals whose small letter resembles another Latin letter than they do. Only within
/// names that also hold Latin letters, so that a Greek name still equals itself in capitals.
fn unmask_capital(c: char) -> char {
    match c {
        'Η' => 'h',
        'Ν' => 'n',
        'Υ' => 'y',
        'Ρ' => 'p',
        _ => c,
    }
}

/// The Latin letter a lower-case letter or digit resembles.
fn look(c: char) -> char {
    match c {
        '0' | 'о' | 'ο' | 'σ' | 'ø' | 'օ' => 'o',
        '1' | 'i' | '|' | 'ı' | 'і' | 'ι' | 'ӏ' | 'ł' | 'ǀ' | 'ɩ' => 'l',
        'а' | 'α' | 'ɑ' => 'a',
        'в' | 'β' | 'ь' | 'ß' => 'b',
        'с' | 'ς' | 'ϲ' => 'c',
        'ԁ' | 'đ' => 'd',
        'е' | 'ε' | 'є' => 'e',
        'ɡ' => 'g',
        'н' | 'һ' | 'ħ' => 'h',
        'ј' | 'ϳ' => 'j',
        'к' | 'κ' => 'k',
        'м' | 'μ' => 'm',
        'п' | 'η' => 'n',
        'р' | 'ρ' => 'p',
        'ԛ' => 'q',
        'г' => 'r',
        'ѕ' => 's',
        'т' | 'τ' | 'ŧ' => 't',
        'υ' => 'u',
        'ν' | 'ѵ' => 'v',
        'ԝ' | 'ω' => 'w',
        'х' | 'χ' => 'x',
        'у' | 'γ' => 'y',
        'ζ' => 'z',
        _ => c,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plain_text_is_borrowed() {
        assert!(matches!(clean_line("hello, world"), Cow::Borrowed(_)));
        assert!(matches!(clean_block("hello,\nworld"), Cow::Borrowed(_)));
        assert!(matches!(clean_line("déjà vu — 日本語 🙂"), Cow::Borrowed(_)));
    }

    #[test]
    fn escape_sequences_are_shown_and_powerless() {
        assert_eq!(clean_line("\u{1b}[31mred\u{1b}]0;title\u{7}"), "␛[31mred␛]0;title␇");
        assert_eq!(clean_line("\u{9b}2J\u{9d}0;t\u{9c}"), "\u{fffd}2J\u{fffd}0;t\u{fffd}");
        assert_eq!(clean_line("a\0b\u{8}c\u{7f}"), "a␀b␈c␡");
    }

    #[test]
    fn line_ends_and_tabs() {
        assert_eq!(clean_block("a\r\nb\rc\u{2028}d\u{2029}e\u{b}f\u{85}g"), "a\nb\nc\nd\ne\nf\ng");
        assert_eq!(clean_line("a\r\nb\rc\u{2028}d\te"), "a b c d e");
        assert_eq!(clean_block("\ta"), "    a");
        assert_eq!(clean_block("a\n\r\nb"), "a\n\nb");
    }

    #[test]
    fn direction_and_invisible_characters_go() {
        for c in ('\u{202a}'..='\u{202e}')
            .chain('\u{2066}'..='\u{2069}')
            .chain("\u{200e}\u{200f}\u{61c}\u{200b}\u{2060}\u{feff}\u{ad}\u{34f}\u{180e}".chars())
            .chain('\u{e0000}'..='\u{e007f}')
            .chain('\u{fff9}'..='\u{fffb}')
            .chain("\u{3164}\u{115f}\u{1160}\u{ffa0}".chars())
        {
            assert_eq!(clean_line(&format!("a{c}b")), "ab", "U+{:04X}", u32::from(c));
            assert_eq!(clean_block(&format!("{c}a\nb{c}")), "a\nb", "U+{:04X}", u32::from(c));
        }
    }

    #[test]
    fn selectors_stay_one_at_a_place() {
        assert_eq!(clean_line("❤\u{fe0f}!"), "❤\u{fe0f}!");
        assert_eq!(clean_line("a\u{fe0f}\u{fe01}\u{e0101}b"), "a\u{fe0f}b");
        assert_eq!(clean_line("\u{fe0f}b"), "b");
    }

    #[test]
    fn towers_of_marks_are_cut() {
        let tower = format!("z{}y\u{301}", "\u{335}".repeat(50));
        assert_eq!(clean_line(&tower), format!("z{}y\u{301}", "\u{335}".repeat(MAX_MARKS)));
        assert_eq!(clean_line("\u{301}a"), "\u{25cc}\u{301}a");
        assert_eq!(clean_block("a\n\u{301}b"), "a\n\u{25cc}\u{301}b");
    }

    #[test]
    fn joiners_stay_between_letters_and_between_emoji() {
        let family = "👨\u{200d}👩\u{200d}👧";
        let flag = "🏳\u{fe0f}\u{200d}🌈";
        let heart = "👩🏽\u{200d}❤\u{fe0f}\u{200d}👨🏿";
        let persian = "می\u{200c}خواهم";
        let sinhala = "ශ\u{dca}\u{200d}රී";
        let bengali = "র\u{200d}\u{9cd}য";
        for kept in [family, flag, heart, persian, sinhala, bengali] {
            assert_eq!(clean_line(kept), kept);
        }
        assert_eq!(clean_line("\u{200d}a\u{200c}"), "a");
        assert_eq!(clean_line("a \u{200d}b"), "a b");
        assert_eq!(clean_line("1\u{200d}2"), "12");
        assert_eq!(clean_line("a\u{200d}🙂"), "a🙂");
        assert_eq!(clean_line("a\u{200c}\u{200d}\u{200b}\u{200d}b"), "a\u{200c}b");
        assert_eq!(clean_line("a\u{200d}\u{1b}b"), "a␛b");
    }

    #[test]
    fn every_single_character_is_judged() {
        for c in '\0'..=char::MAX {
            let out = clean_line(&format!("x{c}x")).into_owned();
            assert!(!out.chars().any(is_hazard), "U+{:04X}", u32::from(c));
            assert!(!out.chars().any(char::is_control), "U+{:04X}", u32::from(c));
            assert!(!is_hazard(c) || is_unseen(c));
            if is_hazard(c) {
                assert_ne!(out, format!("x{c}x"));
            }
        }
    }

    #[test]
    fn names_that_look_alike() {
        for (a, b) in [
            ("Ann", "ann"),
            ("Bob Lee", "B0b-L\u{435}e"),
            ("Ian", "lan"),
            ("Ian", "1an"),
            ("paul", "\u{440}\u{430}ul"),
            ("Hans", "\u{397}ans"),
            ("José", "Jose"),
            ("José", "Jose\u{301}"),
            ("modern", "modem"),
            ("Walter", "VValter"),
            ("ann", "\u{ff41}\u{1d427}n"),
            ("ann", "a\u{200d}nn"),
            ("Νίκος", "ΝΙΚΟΣ".to_lowercase().as_str()),
            ("admin", "adm\u{200b}in"),
        ] {
            assert!(looks_like(a, b), "{a} {b}: {} {}", skeleton(a), skeleton(b));
        }
        for (a, b) in [("Ann", "Anna"), ("Paul", "Pau"), ("Kim", "Tim"), ("Ann 2", "Ann 3")] {
            assert!(!looks_like(a, b), "{a} {b}");
        }
        assert!(looks_like("", "\u{200b} \u{3164}"));
    }

    /// Strings in which the interesting characters are common and stand next to each other.
    fn nasty() -> impl Strategy<Value = String> {
        let one = prop_oneof![
            any::<char>(),
            prop::char::range('\0', '\u{ff}'),
            prop::char::range('\u{300}', '\u{36f}'),
            prop::char::range('\u{900}', '\u{97f}'),
            prop::char::range('\u{200b}', '\u{206f}'),
            prop::char::range('\u{fe00}', '\u{fe0f}'),
            prop::char::range('\u{1f300}', '\u{1f9ff}'),
            prop::sample::select(vec!['\u{200d}', '\u{200c}', '\n', '\r', 'a', 'я', '\u{e0101}']),
        ];
        prop::collection::vec(one, 0..60).prop_map(|chars| chars.into_iter().collect())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn cleaning_twice_is_cleaning_once(text in nasty()) {
            let line = clean_line(&text).into_owned();
            prop_assert_eq!(clean_line(&line), line.as_str());
            prop_assert_eq!(clean_block(&line), line.as_str());
            let block = clean_block(&text).into_owned();
            prop_assert_eq!(clean_block(&block), block.as_str());
        }

        #[test]
        fn nothing_forbidden_comes_out(text in nasty()) {
            let line = clean_line(&text);
            prop_assert!(!line.chars().any(is_hazard), "{:?}", line);
            let block = clean_block(&text);
            prop_assert!(!block.chars().any(|c| c != '\n' && is_hazard(c)), "{:?}", block);
            let mut marks = 0;
            for c in block.chars().filter(|&c| classify(c) == Class::Keep) {
                marks = if is_mark(c) { marks + 1 } else { 0 };
                prop_assert!(marks <= MAX_MARKS);
            }
        }

        #[test]
        fn a_skeleton_is_its_own_skeleton(text in nasty()) {
            let folded = skeleton(&text);
            prop_assert_eq!(skeleton(&folded), folded);
        }
    }
}
