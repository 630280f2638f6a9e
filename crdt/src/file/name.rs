//! Names of files: what may become of a peer's text on a disk of ours.

use crate::text::is_unseen;

/// Bytes of a name that [`safe_name`] gives, at most; file systems take 255.
pub const MAX_SAFE_NAME_BYTES: usize = 180;
/// Longest ending that is kept when a name is cut, dot included, in bytes.
const MAX_ENDING_BYTES: usize = 16;
/// What a file without a usable name is called.
const NAMELESS: &str = "file";
/// Names of devices on some systems, whatever their ending.
const DEVICES: [&str; 6] = ["con", "prn", "aux", "nul", "conin$", "conout$"];

/// A name under which a file may be written into a directory: one path component on every system, not
/// hidden, no option of a command, no device, without characters that are invisible, turn text or mean
/// something to a shell's globbing or to Windows.
#[must_use]
pub fn safe_name(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let kept: String = last.chars().filter(|c| is_kept(*c)).collect();
    let kept = kept.trim_start_matches(|c: char| c == '.' || c == '-' || c.is_whitespace());
    let kept = ended(kept);
    if kept.is_empty() {
        return NAMELESS.to_owned();
    }
    let stem = kept.split('.').next().unwrap_or_default().trim_end().to_ascii_lowercase();
    let numbered = |begin: &str| {
        let rest = stem.strip_prefix(begin);
        rest.is_some_and(|n| n.chars().count() == 1 && n.chars().all(char::is_numeric))
    };
    let device = DEVICES.contains(&stem.as_str()) || numbered("com") || numbered("lpt");
    let name = if device { format!("_{kept}") } else { kept.to_owned() };
    shortened(&name)
}

/// The same name with a number before its ending, for when the name is taken: `map-2.pdf`.
#[must_use]
pub fn numbered_name(name: &str, number: u32) -> String {
    let (stem, ending) = parts(name);
    format!("{stem}-{number}{ending}")
}

fn is_kept(c: char) -> bool {
    !is_unseen(c) && !matches!(c, '<' | '>' | ':' | '"' | '|' | '?' | '*')
}

/// Without what some systems take off the end by themselves.
fn ended(name: &str) -> &str {
    name.trim_end_matches(|c: char| c == '.' || c.is_whitespace())
}

/// Stem, and ending with its dot.
fn parts(name: &str) -> (&str, &str) {
    match name.rfind('.') {
        Some(at) if at > 0 && name.len() - at <= MAX_ENDING_BYTES => name.split_at(at),
        _ => (name, ""),
    }
}

fn shortened(name: &str) -> String {
    if name.len() <= MAX_SAFE_NAME_BYTES {
        return name.to_owned();
    }
    let (stem, ending) = parts(name);
    let mut end = MAX_SAFE_NAME_BYTES.saturating_sub(ending.len()).min(stem.len());
    while !stem.is_char_boundary(end) {
        end -= 1;
    }
    let (stem, _) = stem.split_at(end);
    format!("{}{ending}", ended(stem))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_stay_names_and_nothing_else() {
        for (name, safe) in [
            ("map.pdf", "map.pdf"),
            ("../../etc/passwd", "passwd"),
            ("..", "file"),
            ("", "file"),
            ("/", "file"),
            ("C:\\Users\\ana\\map.pdf", "map.pdf"),
            (".bashrc", "bashrc"),
            ("-rf", "rf"),
            (" . . x", "x"),
            ("x. . ", "x"),
            ("a\u{202e}fdp.exe", "afdp.exe"),
            ("a\u{1b}[2J\0\nb", "a[2Jb"),
            ("what?*<>|\":.txt", "what.txt"),
            ("CON", "_CON"),
            ("nul.txt", "_nul.txt"),
            ("com1 .log", "_com1 .log"),
            ("com\u{b9}.log", "_com\u{b9}.log"),
            ("common.log", "common.log"),
            ("日本.txt", "日本.txt"),
        ] {
            assert_eq!(safe_name(name), safe, "{name:?}");
        }
        let long = safe_name(&format!("{}.tar.gz", "ü".repeat(300)));
        assert!(long.len() <= MAX_SAFE_NAME_BYTES && long.ends_with("ü.gz"), "{long}");
    }

    #[test]
    fn a_name_that_is_taken_gets_a_number_before_its_ending() {
        assert_eq!(numbered_name("map.pdf", 2), "map-2.pdf");
        assert_eq!(numbered_name("README", 12), "README-12");
        assert_eq!(numbered_name("a.b.c", 3), "a.b-3.c");
    }

    proptest! {
        #[test]
        fn any_text_becomes_one_harmless_path_component(name in ".{0,300}") {
            let safe = safe_name(&name);
            prop_assert!(!safe.is_empty() && safe.len() <= MAX_SAFE_NAME_BYTES + 1);
            prop_assert!(!safe.starts_with(['.', '-', ' ']) && !safe.ends_with(['.', ' ']));
            prop_assert!(!safe.contains(['/', '\\', '\0']));
            let mut parts = std::path::Path::new(&safe).components();
            prop_assert!(matches!(parts.next(), Some(std::path::Component::Normal(_))));
            prop_assert_eq!(parts.next(), None);
            prop_assert_eq!(safe_name(&safe), safe);
        }
    }
}
