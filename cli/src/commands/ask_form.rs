//! The short form of an ask: what the editor offers, and what comes back.
//!
//! Nothing has to be filled in: an empty section says nothing, and a text without sections is the
//! situation as a whole.

use lanai_crdt::payload::Help;

/// What an ask may say beside its title and situation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Form {
    /// The title's line and the situation.
    pub(super) text: String,
    pub(super) decide: Option<String>,
    pub(super) by: Option<String>,
    pub(super) tried: Option<String>,
    /// What would help, as written.
    pub(super) helps: Option<String>,
}

/// Headings of the sections, in the order in which they are offered.
const HEADINGS: [&str; 4] =
    ["## What must be decided", "## By when", "## What was tried", "## What would help"];

/// The empty form, without the sections that were given otherwise.
pub(super) fn offer(given: [bool; 4]) -> String {
    let mut out = String::from("\n");
    for (heading, given) in HEADINGS.iter().zip(given) {
        if !given {
            out.push_str("\n\n");
            out.push_str(heading);
            out.push('\n');
        }
    }
    out
}

/// Takes a text apart at the headings of the form.
pub(super) fn read(text: &str) -> Form {
    let mut parts: [Vec<&str>; 5] = Default::default();
    let mut at = 0;
    for line in text.lines() {
        let heading = HEADINGS.iter().position(|h| line.trim().eq_ignore_ascii_case(h));
        match heading {
            Some(heading) => at = heading + 1,
            None => {
                if let Some(part) = parts.get_mut(at) {
                    part.push(line);
                }
            }
        }
    }
    let [text, decide, by, tried, helps] = parts.map(|lines| {
        let text = lines.join("\n");
        text.trim_matches('\n').trim_end().to_owned()
    });
    let some = |text: String| (!text.trim().is_empty()).then_some(text);
    Form { text, decide: some(decide), by: some(by), tried: some(tried), helps: some(helps) }
}

/// Reads what would help: words such as `facts, talk`; the first one that is none of them is the
/// error.
pub(super) fn helps(text: &str) -> Result<Vec<Help>, String> {
    let mut out = Vec::new();
    for word in text.split([',', ';', '\n']).map(str::trim).filter(|word| !word.is_empty()) {
        let word = word.trim_start_matches(['-', '*', ' ']).to_lowercase();
        out.push(match word.as_str() {
            "facts" => Help::Facts,
            "document" | "a document" | "sample" => Help::Document,
            "talk" | "someone to talk to" | "somebody to talk to" => Help::Talk,
            "heard" | "just to be heard" => Help::Heard,
            _ => return Err(word),
        });
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_form_says_nothing() {
        let form = read(&offer([false; 4]));
        assert_eq!(form, Form::default());
        assert!(!offer([true, false, true, true]).contains("tried"));
        assert_eq!(read("A title\n\nA story").text, "A title\n\nA story");
    }

    #[test]
    fn sections_come_back() {
        let text = "Which ford?\n\nIt rained.\n\n## By when\n3d\n## what must be decided\nNorth\nor south\n\n\
                    ## What would help\nfacts, just to be heard\n";
        let form = read(text);
        assert_eq!(form.text, "Which ford?\n\nIt rained.");
        assert_eq!(form.by.as_deref(), Some("3d"));
        assert_eq!(form.decide.as_deref(), Some("North\nor south"));
        assert_eq!(form.tried, None);
        assert_eq!(helps(&form.helps.unwrap()), Ok(vec![Help::Facts, Help::Heard]));
        assert_eq!(helps("money"), Err("money".into()));
    }
}
