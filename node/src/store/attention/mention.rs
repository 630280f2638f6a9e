//! Posts that name the reader as `@name`.
//!
//! 1. `@` begins a mention where no letter or digit stands before it, so that a mail address is none.
//! 2. Capitals, spaces, hyphens, underscores and full stops within a name make no difference:
//!    `@Ann Lee`, `@ann-lee` and `@annlee` are one. After the name comes no further letter or digit.
//! 3. The first word of a name is enough while no other member's name begins with that word.

use lanai_crdt::text::clean_line;

/// What stands for a name after `@`: its letters and digits.
fn handle(name: &str) -> String {
    clean_line(name).chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

fn first_word(name: &str) -> String {
    let name = clean_line(name);
    name.split_whitespace().map(handle).find(|word| !word.is_empty()).unwrap_or_default()
}

/// The handles that mean the bearer of `own` among members with the names of `others`.
pub fn own_handles<'a>(own: &str, others: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let (whole, first) = (handle(own), first_word(own));
    let unique = others.into_iter().all(|name| first_word(name) != first);
    let mut handles = vec![whole];
    if unique {
        handles.push(first);
    }
    handles.retain(|handle| !handle.is_empty());
    handles.dedup();
    handles
}

/// Whether a text mentions one of the handles.
pub fn mentions(text: &str, handles: &[String]) -> bool {
    let mut before = None;
    for (at, c) in text.char_indices() {
        let begins = c == '@' && !before.is_some_and(char::is_alphanumeric);
        before = Some(c);
        let rest = if begins { text.get(at + 1..) } else { None };
        if rest.is_some_and(|rest| handles.iter().any(|handle| begins_with(rest, handle))) {
            return true;
        }
    }
    false
}

fn begins_with(text: &str, handle: &str) -> bool {
    let mut wanted = handle.chars().peekable();
    let mut text = text.chars();
    let mut begun = false;
    while wanted.peek().is_some() {
        let Some(c) = text.next() else { return false };
        if begun && matches!(c, ' ' | '-' | '_' | '.') {
            continue;
        }
        begun = true;
        if !c.to_lowercase().all(|c| wanted.next() == Some(c)) {
            return false;
        }
    }
    !text.next().is_some_and(char::is_alphanumeric)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_met_in_every_spelling() {
        let handles = own_handles("Ann Lee", ["Bob", "Cid"]);
        for yes in ["@ann", "see @Ann Lee!", "(@ANN-LEE)", "@annlee, please", "a\n@ann_lee"] {
            assert!(mentions(yes, &handles), "{yes}");
        }
        for no in ["ann", "bob@ann.org", "@anna", "@ann2", "@ bob ann", "@", "@lee"] {
            assert!(!mentions(no, &handles), "{no}");
        }
    }

    #[test]
    fn a_first_name_that_two_bear_means_neither() {
        let handles = own_handles("Ann Lee", ["Ann Smith"]);
        assert!(!mentions("@ann", &handles) && !mentions("@Ann Smith", &handles));
        assert!(mentions("@Ann Lee", &handles));
        assert_eq!(own_handles("\u{200b}", []), Vec::<String>::new());
    }
}
