//! What the writing commands have in common: the text and its draft, tags, publishing, and saying
//! what was published.

use lanai_crdt::id::EntryId;
use lanai_crdt::limits::{MAX_TAG_BYTES, MAX_TAGS, MAX_TITLE_BYTES};
use lanai_node::store::NewEntry;
use serde::Serialize;

use super::Context;
use crate::app::App;
use crate::compose::{self, Composed, Template};
use crate::editor::{Draft, Drafts};
use crate::error::{CliError, Exit};
use crate::layout::{Style, Text};

/// The answer to `--json` of every command that publishes something.
#[derive(Debug, Serialize)]
struct Published {
    id: String,
    short: String,
    thread: String,
}

/// A text to be published, with its draft where there is one.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) text: String,
    draft: Option<Draft>,
}

impl Written {
    /// Gets the text for `purpose`. Where `may_be_empty`, no text on standard input is a text too.
    pub(super) fn get(
        context: &mut Context,
        app: &App,
        messages: &[String],
        purpose: &str,
        template: Template<'_>,
        may_be_empty: bool,
    ) -> Result<Self, CliError> {
        // A draft that was begun on another device is gone on with.
        app.catch_up()?;
        let draft = Drafts::new(app.home().drafts()).draft(purpose);
        let readers = app.who_can_read(&app.people()?, template.readers)?;
        let help = format!("{}\n\n{readers}", template.help.trim_end());
        let template = Template { help: &help, ..template };
        match compose::compose(&mut context.ui, messages, &draft, template) {
            Ok(Composed { text, draft }) => Ok(Self { text, draft: Some(draft) }),
            Err(error)
                if error.code == "empty" && may_be_empty && !context.ui.input_is_terminal() =>
            {
                Ok(Self { text: String::new(), draft: None })
            }
            Err(error) => Err(error),
        }
    }

    /// The same, where the entry could not be published: the error also says where the text is.
    pub(super) fn kept(&self, error: CliError) -> CliError {
        let Some(draft) = &self.draft else { return error };
        let kept = format!("your text is kept in {}", draft.path().display());
        let hint =
            error.hint.as_ref().map_or_else(|| kept.clone(), |hint| format!("{hint}; {kept}"));
        error.hint(hint)
    }

    /// Nobody wants the text any more.
    pub(super) fn forget(self) {
        if let Some(draft) = self.draft {
            draft.published();
        }
    }

    /// Lets the draft go once the text is published.
    pub(super) fn keep_on_error(
        self,
        published: Result<EntryId, CliError>,
    ) -> Result<EntryId, CliError> {
        let id = published.map_err(|e| self.kept(e))?;
        self.forget();
        Ok(id)
    }

    /// Publishes an entry that holds the text, and lets the draft go.
    pub(super) fn publish(
        self,
        context: &mut Context,
        app: &App,
        entry: Result<NewEntry, CliError>,
    ) -> Result<EntryId, CliError> {
        let id =
            entry.and_then(|entry| app.publish_one(context, entry)).map_err(|e| self.kept(e))?;
        self.forget();
        Ok(id)
    }
}

/// Says that nothing had to be published, after the reason was said: the answer to `--json` names
/// what was acted on.
pub(super) fn report_unchanged(
    context: &mut Context,
    id: &EntryId,
    thread: &EntryId,
) -> Result<Exit, CliError> {
    if context.ui.is_json() {
        let (id, short, thread) = (id.full(), id.short(), thread.full());
        context.ui.json("unchanged", &Published { id, short, thread })?;
    }
    Ok(Exit::Done)
}

/// Splits off the title and checks it.
pub(super) fn titled(title: Option<&str>, text: &str) -> Result<(String, String), CliError> {
    let (title, text) = match title {
        Some(title) => (title.trim(), text),
        None => compose::split_title(text),
    };
    if title.is_empty() {
        return Err(CliError::usage("the title is empty"));
    }
    if title.contains(['\n', '\r']) {
        return Err(CliError::usage("a title is one line"));
    }
    if title.len() > MAX_TITLE_BYTES {
        let message = format!("the title has {} bytes, {MAX_TITLE_BYTES} are allowed", title.len());
        return Err(CliError::failed("too-long", message)
            .hint("put a short question into the title and the rest into the text"));
    }
    Ok((title.to_owned(), text.to_owned()))
}

/// Tags as they are stored: without `#`, in small letters, each once.
pub(super) fn tags(given: &[String]) -> Result<Vec<String>, CliError> {
    let mut tags = Vec::new();
    for tag in given.iter().flat_map(|tag| tag.split(',')) {
        let tag = tag.trim().trim_start_matches('#').to_lowercase();
        if tag.is_empty() {
            return Err(CliError::usage("a tag is empty"));
        }
        if tag.len() > MAX_TAG_BYTES {
            return Err(CliError::usage(format!(
                "the tag \"{tag}\" has {} bytes, {MAX_TAG_BYTES} are allowed",
                tag.len()
            )));
        }
        if !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    if tags.len() > MAX_TAGS {
        return Err(CliError::usage(format!(
            "{} tags are given, {MAX_TAGS} are allowed",
            tags.len()
        )));
    }
    Ok(tags)
}

/// Says what was published: its id on standard output, the rest on standard error.
pub(super) fn report(
    context: &mut Context,
    what: &str,
    id: &EntryId,
    thread: &EntryId,
) -> Result<(), CliError> {
    report_with(context, what, id, thread, || format!("lanai read {}", thread.short()))
}

/// As [`report`], with another next command.
pub(super) fn report_with(
    context: &mut Context,
    what: &str,
    id: &EntryId,
    thread: &EntryId,
    next: impl FnOnce() -> String,
) -> Result<(), CliError> {
    if context.ui.is_json() {
        let (id, short, thread) = (id.full(), id.short(), thread.full());
        return context.ui.json("published", &Published { id, short, thread });
    }
    let shown = if context.ui.out_is_terminal() { id.short() } else { id.full() };
    context.ui.say(what);
    context.ui.line(Text::styled(Style::Id, shown))?;
    context.ui.hint(next());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_are_checked() {
        assert_eq!(titled(None, "# A\n\nb").unwrap(), ("A".into(), "b".into()));
        assert_eq!(titled(Some(" A "), "b").unwrap(), ("A".into(), "b".into()));
        assert_eq!(titled(Some("a\nb"), "").unwrap_err().code, "usage");
        assert_eq!(titled(Some(" "), "").unwrap_err().code, "usage");
        let long = "x".repeat(MAX_TITLE_BYTES + 1);
        assert_eq!(titled(Some(&long), "").unwrap_err().code, "too-long");
        assert!(titled(Some(&long[1..]), "").is_ok());
    }

    #[test]
    fn tags_are_folded() {
        let given = ["#Convoy".to_owned(), "people,convoy".to_owned()];
        assert_eq!(tags(&given).unwrap(), ["convoy", "people"]);
        assert!(tags(&["".to_owned()]).is_err());
        assert!(tags(&["x".repeat(MAX_TAG_BYTES + 1)]).is_err());
        let many: Vec<String> = (0..=MAX_TAGS).map(|n| n.to_string()).collect();
        assert!(tags(&many).is_err());
    }
}
