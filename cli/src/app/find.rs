//! Which thread or post a typed id means.

use std::collections::BTreeSet;

use lanai_crdt::id::{EntryId, IdPrefix};
use lanai_crdt::text::clean_line;
use lanai_crdt::thread::{PostView, Thread};
use lanai_node::store::{Candidate, Found, ThreadView};

use super::App;
use super::people::ambiguous;
use crate::error::CliError;

/// A post in its thread.
#[derive(Debug, Clone)]
pub struct Spot {
    view: ThreadView,
    post: PostView,
}

impl Spot {
    /// The thread.
    #[must_use]
    pub fn thread(&self) -> &Thread {
        &self.view.thread
    }

    /// The thread with what is local to this node.
    #[must_use]
    pub fn view(&self) -> &ThreadView {
        &self.view
    }

    /// The post.
    #[must_use]
    pub fn post(&self) -> &PostView {
        &self.post
    }

    /// The thread, taken out.
    #[must_use]
    pub fn into_view(self) -> ThreadView {
        self.view
    }
}

impl App {
    /// The post that a typed id means: its own id, that of another import of it, or that of an
    /// edit of it. A thread means its first post.
    ///
    /// # Errors
    ///
    /// Not found; or ambiguous, with the candidates.
    pub fn find_post(&self, typed: &str) -> Result<Spot, CliError> {
        let id = self.find_id(typed)?;
        let Some(view) = self.thread(&id)? else { return Err(not_here(typed)) };
        let Some(post) = post_of(&view.thread, &id) else {
            let thread = view.thread.root.short();
            return Err(CliError::not_found(format!("{typed} is no post"))
                .hint(format!("it is something said about one in `lanai read {thread}`")));
        };
        Ok(Spot { view, post })
    }

    /// The thread that a typed id means, by anything in it; as the post that was named, or else
    /// its first.
    ///
    /// # Errors
    ///
    /// Not found; or ambiguous, with the candidates.
    pub fn find_thread(&self, typed: &str) -> Result<Spot, CliError> {
        let id = self.find_id(typed)?;
        let Some(view) = self.thread(&id)? else { return Err(not_here(typed)) };
        let post = post_of(&view.thread, &id).or_else(|| view.thread.posts.first().cloned());
        let Some(post) = post else { return Err(not_here(typed)) };
        Ok(Spot { view, post })
    }

    /// The one entry with a thread that a typed prefix fits; threads and posts go before what is
    /// said about them.
    ///
    /// # Errors
    ///
    /// Not found; or ambiguous, with the candidates.
    pub fn find_id(&self, typed: &str) -> Result<EntryId, CliError> {
        let prefix = IdPrefix::parse(typed).map_err(|error| {
            CliError::not_found(format!("\"{typed}\" is no id: {error}"))
                .hint("`lanai threads` and `lanai read` show ids")
        })?;
        let candidates = self.store.resolve(&prefix)?;
        let talks = |c: &&Candidate| matches!(c.found, Found::Thread { .. } | Found::Post { .. });
        let entries = |c: &&Candidate| matches!(c.found, Found::Entry);
        let mut fitting: Vec<&Candidate> = candidates.iter().filter(talks).collect();
        if fitting.is_empty() {
            fitting = candidates.iter().filter(entries).collect();
        }
        // Two imports of one post are two ids and one post.
        if fitting.len() > 1 && self.are_one(&fitting)? {
            fitting.truncate(1);
        }
        match fitting.as_slice() {
            [one] => Ok(one.entry()),
            [] => Err(not_here(typed)),
            several => {
                let lines: Vec<String> = several.iter().map(|c| describe(c)).collect();
                Err(ambiguous(format!("\"{typed}\" fits several ids"), &lines)
                    .hint("type more of the id"))
            }
        }
    }

    fn are_one(&self, candidates: &[&Candidate]) -> Result<bool, CliError> {
        let mut posts = BTreeSet::new();
        for candidate in candidates {
            let Some(view) = self.thread(&candidate.entry())? else { return Ok(false) };
            let id = candidate.entry();
            let post = view.thread.posts.iter().find(|p| p.id == id || p.aliases.contains(&id));
            let Some(post) = post else { return Ok(false) };
            posts.insert(post.id);
            if posts.len() > 1 {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The post with this id, with this one among its copies, or with this edit.
fn post_of(thread: &Thread, id: &EntryId) -> Option<PostView> {
    let is_it = |p: &&PostView| {
        p.id == *id || p.aliases.contains(id) || p.edits.iter().any(|edit| edit.id == *id)
    };
    thread.posts.iter().find(is_it).cloned()
}

fn not_here(typed: &str) -> CliError {
    CliError::not_found(format!("nothing here has an id that begins with \"{typed}\"")).hint(
        "`lanai threads` lists threads; what others wrote comes with the next sync: `lanai sync`",
    )
}

fn describe(candidate: &Candidate) -> String {
    let id = candidate.entry().short();
    match &candidate.found {
        Found::Thread { title, .. } => format!("{id}  thread \"{}\"", clean_line(title)),
        Found::Post { title, .. } => format!("{id}  post in \"{}\"", clean_line(title)),
        Found::Member { name, .. } => {
            format!("{id}  member {}", clean_line(name.as_deref().unwrap_or_default()))
        }
        Found::Entry => format!("{id}  something else"),
    }
}
