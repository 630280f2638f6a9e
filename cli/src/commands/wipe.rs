//! `lanai wipe`: destroys the home, keys first.

use lanai_node::home::Home;
use lanai_node::identity;
use lanai_node::wipe::{WipeError, wipe};
use serde::Serialize;

use super::{Context, node, status};
use crate::app::App;
use crate::args::WipeArgs;
use crate::error::{CliError, Exit};
use crate::layout::{Style, Text};

/// What is typed where the name of the community cannot be read without the passphrase.
const WORD: &str = "wipe";

impl From<WipeError> for CliError {
    fn from(error: WipeError) -> Self {
        match error {
            WipeError::Running(error) => error.into(),
            WipeError::Io { .. } => CliError::failed("wipe", error.to_string())
                .hint("run the command again: it goes on where it stopped"),
        }
    }
}

#[derive(Serialize)]
struct WipeShape {
    files: u64,
    left: Vec<String>,
    node_stopped: bool,
}

pub(super) fn run(context: &mut Context, args: &WipeArgs) -> Result<Exit, CliError> {
    let home = context.home()?;
    if !home.root().is_dir() {
        return Err(CliError::not_found(format!("there is no home {}", home.root().display())));
    }
    if !args.yes {
        confirm(context, &home)?;
    }
    let node_stopped = node::stop(&home)?;
    let wiped = wipe(&home, |_| Ok(()))?;
    let left: Vec<String> = wiped.left.iter().map(|path| path.display().to_string()).collect();
    if context.ui.is_json() {
        context.ui.json("wipe", &WipeShape { files: wiped.files, left, node_stopped })?;
        return Ok(Exit::Done);
    }
    let files = status::count(wiped.files, "file is", "files are");
    context.ui.say(format!("{files} destroyed, the keys first"));
    for path in left {
        context.ui.say(format!("let be, for lanai did not make it: {path}"));
    }
    context.ui.hint("what you wrote stays with the other members; a backup elsewhere stays, too");
    Ok(Exit::Done)
}

fn confirm(context: &mut Context, home: &Home) -> Result<(), CliError> {
    // To destroy a home one need not be able to open it.
    let name = match identity::is_locked(&home.device_key()) {
        true => None,
        false => App::open_quietly(context).ok().and_then(|app| status::community_name(&app).ok()),
    };
    let word = name.unwrap_or_else(|| WORD.to_owned());
    let said = Text::from("This destroys your keys and all that is kept in ")
        .plain(home.root().display().to_string())
        .plain(". It cannot be undone. Type ")
        .with(Style::Heading, &word)
        .plain(" to go on:");
    let unattended = |e: CliError| match e.code {
        crate::ui::UNATTENDED => e.hint("use --yes"),
        _ => e,
    };
    if context.ui.ask(said).map_err(unattended)? == word {
        Ok(())
    } else {
        Err(CliError::failed("cancelled", "cancelled, nothing was done"))
    }
}
