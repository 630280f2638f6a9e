//! `[[id]]` in the text of a page: whom it credits.

use std::collections::BTreeMap;

use lanai_crdt::cite::{Citation, citations};
use lanai_crdt::id::{EntryId, IdPrefix};
use lanai_crdt::thread::{PostView, Thread};
use lanai_node::store::Found;

use crate::app::{App, People};
use crate::error::CliError;
use crate::layout::{Style, Text};
use crate::view::tree::shown_origin;

/// Characters of an id that a citation is published with: 80 bits, which nobody can hit by chance.
const PUBLISHED_CHARS: usize = 16;

/// A citation and the post that it names.
#[derive(Debug, Clone)]
pub(super) struct Cited {
    pub(super) citation: Citation,
    pub(super) post: PostView,
    pub(super) thread: EntryId,
}

impl Cited {
    /// Who wrote the post.
    pub(super) fn author(&self, people: &People) -> Text {
        match &self.post.origin {
            Some(origin) => Text::styled(Style::Name, shown_origin(origin)),
            None => people.shown(&self.post.author),
        }
    }
}

/// Looks citations up, each thread once.
struct Posts<'a> {
    app: &'a App,
    threads: BTreeMap<EntryId, Thread>,
}

impl Posts<'_> {
    fn find(&mut self, prefix: &IdPrefix) -> Result<Option<(PostView, EntryId)>, CliError> {
        let found = self.app.store().resolve(prefix)?;
        let talks = |f: &Found| matches!(f, Found::Thread { .. } | Found::Post { .. });
        let mut ids = found.iter().filter(|c| talks(&c.found)).map(|c| c.entry());
        let (Some(id), None) = (ids.next(), ids.next()) else { return Ok(None) };
        let is_it = |p: &&PostView| p.id == id || p.aliases.contains(&id);
        for thread in self.threads.values() {
            if let Some(post) = thread.posts.iter().find(is_it) {
                return Ok(Some((post.clone(), thread.root)));
            }
        }
        let Some(view) = self.app.thread(&id)? else { return Ok(None) };
        let post = view.thread.posts.iter().find(is_it).cloned();
        let root = view.thread.root;
        self.threads.insert(root, view.thread);
        Ok(post.map(|post| (post, root)))
    }
}

/// The citations of a text that name a post which is here.
pub(super) fn cited(app: &App, text: &str) -> Result<Vec<Cited>, CliError> {
    let mut posts = Posts { app, threads: BTreeMap::new() };
    let mut out = Vec::new();
    for citation in citations(text) {
        if let Some((post, thread)) = posts.find(&citation.id)? {
            out.push(Cited { citation, post, thread });
        }
    }
    Ok(out)
}

/// The text with each citation written so that it will still mean the same post when there are many
/// more. One that names nothing here is an error, unless it stood in the text before.
pub(super) fn settled(app: &App, text: &str, before: &str) -> Result<String, CliError> {
    let mut posts = Posts { app, threads: BTreeMap::new() };
    let mut out = text.to_owned();
    for citation in citations(text).into_iter().rev() {
        let typed = citation.id.to_string();
        let Some(written) = text.get(citation.range.clone()) else { continue };
        match posts.find(&citation.id)? {
            Some((post, _)) if typed.len() < PUBLISHED_CHARS => {
                let mut id = post.id.full();
                id.truncate(PUBLISHED_CHARS);
                let label = citation.label.map(|l| format!("|{l}")).unwrap_or_default();
                out.replace_range(citation.range, &format!("[[{id}{label}]]"));
            }
            None if !before.contains(written) => {
                let message = format!("{written} names no post that is here, or several");
                return Err(CliError::not_found(message)
                    .hint("`lanai read` shows the ids of posts; type more of it"));
            }
            _ => {}
        }
    }
    Ok(out)
}

/// The text as a reader sees it: citations with the name of whom they credit.
pub(super) fn with_names(text: &str, cited: &[Cited], people: &People) -> String {
    let mut out = text.to_owned();
    for c in cited.iter().rev() {
        let name = c.author(people).to_plain();
        let what = match &c.citation.label {
            Some(label) => format!("[{label}: {name}, {}]", c.post.id.short()),
            None => format!("[{name}, {}]", c.post.id.short()),
        };
        out.replace_range(c.citation.range.clone(), &what);
    }
    out
}
