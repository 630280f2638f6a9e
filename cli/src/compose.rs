//! Where the text of a post comes from.
//!
//! `-m TEXT` (several make paragraphs), `-m -` or a pipe for standard input, else the editor. The
//! text is written down as a draft before anything else is tried with it, and the draft goes when
//! the text is published; so no refusal and no crash costs anybody a text.

use std::collections::BTreeSet;

use lanai_crdt::id::MemberId;

use crate::editor::{self, Draft};
use crate::error::CliError;
use crate::ui::Ui;

/// What the editor shows.
#[derive(Debug, Clone, Copy)]
pub struct Template<'a> {
    /// The text to begin with.
    pub initial: &'a str,
    /// Help, below the scissors line: what is being written, and within what limits.
    pub help: &'a str,
    /// Who can read it, where that is not everybody in the community.
    pub readers: Option<&'a BTreeSet<MemberId>>,
}

/// A text to be published, and the draft that keeps it until then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Composed {
    /// The text, without blank lines around it; never empty.
    pub text: String,
    /// Call [`Draft::published`] on this when the text is safe elsewhere.
    pub draft: Draft,
}

/// Gets the text, from `messages` (the values of `-m`), standard input or the editor, and keeps
/// it as a draft: in `draft`, or beside it where another text for the same purpose was begun.
///
/// # Errors
///
/// Code `empty` when there is no text; the errors of reading and of the editor.
pub fn compose(
    ui: &mut Ui,
    messages: &[String],
    draft: &Draft,
    template: Template<'_>,
) -> Result<Composed, CliError> {
    let from_input = |ui: &mut Ui| ui.read_input(editor::MAX_DRAFT);
    let text = match messages {
        [only] if only == "-" => from_input(ui)?,
        [] if !ui.input_is_terminal() => from_input(ui)?,
        [] => {
            let program = editor::command_line(ui.env())?;
            if draft.read()?.is_some() {
                ui.say("going on with the draft you began earlier");
            }
            ui.flush()?;
            let written = draft.edit(&program, template.initial, template.help)?;
            let text = written.ok_or_else(nothing)?;
            return Ok(Composed { text, draft: draft.clone() });
        }
        several => several.join("\n\n"),
    };
    let text = text.trim_end().trim_start_matches(['\n', '\r']).to_owned();
    if text.is_empty() {
        return Err(nothing());
    }
    let draft = draft.beside(&text)?;
    draft.keep(&text)?;
    Ok(Composed { text, draft })
}

fn nothing() -> CliError {
    CliError::failed("empty", "nothing was written, nothing was published")
        .hint("give the text with -m TEXT, on standard input, or in the editor")
}

/// Splits a text into its title (the first line, without Markdown's `#`) and the rest.
#[must_use]
pub fn split_title(text: &str) -> (&str, &str) {
    let (first, rest) = text.trim_start().split_once('\n').unwrap_or((text.trim_start(), ""));
    let title = first.trim();
    let heading = title.trim_start_matches('#');
    // "#5 is broken" is no heading: Markdown wants a space after the signs.
    let title = if heading.starts_with(' ') { heading.trim_start() } else { title };
    (title, rest.trim_start_matches(['\n', '\r']).trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::editor::Drafts;
    use crate::ui::UiOptions;
    use crate::ui::testing::ui;

    const TEMPLATE: Template<'_> = Template { initial: "", help: "help", readers: None };

    fn composed(messages: &[&str], input: &str) -> Result<String, CliError> {
        let dir = tempfile::tempdir().unwrap();
        let draft = Drafts::new(dir.path().join("d")).draft("x");
        let messages: Vec<String> = messages.iter().map(|&m| m.to_owned()).collect();
        let (mut ui, ..) = ui(None, UiOptions::default(), input);
        let composed = compose(&mut ui, &messages, &draft, TEMPLATE)?;
        assert_eq!(composed.draft, draft);
        assert_eq!(draft.read().unwrap().as_ref(), Some(&composed.text));
        Ok(composed.text)
    }

    #[test]
    fn a_text_from_the_command_line_spares_the_draft_in_the_editor() {
        let dir = tempfile::tempdir().unwrap();
        let draft = Drafts::new(dir.path().join("d")).draft("x");
        draft.keep("long thought").unwrap();
        let (mut ui, ..) = ui(None, UiOptions::default(), "");
        let quick = compose(&mut ui, &["quick".into()], &draft, TEMPLATE).unwrap();
        assert_ne!(quick.draft, draft);
        let again = compose(&mut ui, &["quick".into()], &draft, TEMPLATE).unwrap();
        assert_eq!(again, quick);
        quick.draft.published();
        assert_eq!(draft.read().unwrap().as_deref(), Some("long thought"));
    }

    #[test]
    fn messages_are_paragraphs_and_go_before_input() {
        assert_eq!(composed(&["one", "two"], "three").unwrap(), "one\n\ntwo");
        assert_eq!(composed(&["-"], "three\n").unwrap(), "three");
        assert_eq!(composed(&[], "three\nfour\n").unwrap(), "three\nfour");
        assert_eq!(composed(&["-", "x"], "").unwrap(), "-\n\nx");
    }

    #[test]
    fn nothing_is_not_published() {
        for (messages, input) in [(&[" "][..], "x"), (&["-"], ""), (&[], " \n")] {
            assert_eq!(composed(messages, input).unwrap_err().code, "empty");
        }
    }

    #[test]
    fn a_person_without_editor_is_told_the_other_ways() {
        let dir = tempfile::tempdir().unwrap();
        let draft = Drafts::new(dir.path().join("d")).draft("x");
        let (mut ui, ..) = ui(Some(80), UiOptions::default(), "typed");
        assert_eq!(compose(&mut ui, &[], &draft, TEMPLATE).unwrap_err().code, "no-editor");
    }

    #[test]
    fn titles() {
        assert_eq!(split_title("# A title\n\nBody\n"), ("A title", "Body"));
        assert_eq!(split_title("\nA title"), ("A title", ""));
        assert_eq!(split_title("#5 is broken\nwhy"), ("#5 is broken", "why"));
        assert_eq!(split_title(""), ("", ""));
    }
}
