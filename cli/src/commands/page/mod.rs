//! `lanai page`: the texts that the members of a thread write together.

mod cite;
pub(super) mod edit;
mod show;

use lanai_crdt::id::{EntryId, IdPrefix};
use lanai_crdt::payload::PageKind;
use lanai_node::store::PageView;

use super::Context;
use crate::app::{App, Spot};
use crate::args::{PageCommand, WhichPage};
use crate::error::{CliError, Exit};

pub(super) use show::answer_above;

pub(super) fn run(context: &mut Context, command: &PageCommand) -> Result<Exit, CliError> {
    match command {
        PageCommand::Show(args) => show::show(context, args),
        PageCommand::Edit(args) => edit::edit(context, args),
        PageCommand::Log(args) => show::log(context, &args.which),
        PageCommand::Diff(args) => show::diff(context, args),
        PageCommand::Blame(args) => show::blame(context, &args.which),
        PageCommand::Restore(args) => edit::restore(context, args),
        PageCommand::Take(args) => edit::take(context, args),
        PageCommand::Renew(args) => edit::renew(context, args),
    }
}

fn kind_of(question: bool) -> PageKind {
    if question { PageKind::Question } else { PageKind::Answer }
}

/// A page of a thread that somebody typed.
struct Place {
    spot: Spot,
    view: PageView,
    kind: PageKind,
}

impl Place {
    fn find(app: &App, which: &WhichPage) -> Result<Place, CliError> {
        Place::of(app, &which.thread, kind_of(which.question))
    }

    fn of(app: &App, typed: &str, kind: PageKind) -> Result<Place, CliError> {
        let spot = app.find_thread(typed)?;
        let root = spot.thread().root;
        let Some(view) = app.store().page(&root, kind)? else {
            let message = match kind {
                PageKind::Question => "a note asks nothing: it has no question page",
                PageKind::Answer => "the root of that thread is not here yet",
            };
            return Err(CliError::not_found(message).hint(format!("lanai read {}", root.short())));
        };
        Ok(Place { spot, view, kind })
    }
}

/// The entry of a page that a typed id means.
fn version(app: &App, place: &Place, typed: &str) -> Result<EntryId, CliError> {
    let prefix = IdPrefix::parse(typed)
        .map_err(|e| CliError::not_found(format!("\"{typed}\" is no id: {e}")))?;
    let log = app.store().page_log(&place.view.thread, place.kind)?;
    let entries = log.map(|log| log.entries).unwrap_or_default();
    let mut ids: Vec<EntryId> =
        entries.iter().map(|e| e.entry.id).filter(|id| prefix.matches(id.as_bytes())).collect();
    match (ids.pop(), ids.is_empty()) {
        (Some(id), true) => Ok(id),
        (Some(_), false) => {
            Err(CliError::ambiguous(format!("\"{typed}\" fits several versions of the page")))
        }
        (None, _) => {
            let question = if place.kind == PageKind::Question { " --question" } else { "" };
            let hint = format!("lanai page log {}{question}", place.view.thread.short());
            Err(CliError::not_found(format!("no version of the page begins with \"{typed}\""))
                .hint(hint))
        }
    }
}
