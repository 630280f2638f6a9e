//! `lanai leave`: stop taking part.
//!
//! Nothing that was written can be called back, and the home stays readable: all of it moves into a
//! directory inside the home, which is a home of its own. The home is free for another community.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lanai_crdt::payload::{Role, Subject};
use lanai_node::home::Home;
use lanai_node::join::JoinState;
use lanai_node::store::store_files;
use serde::Serialize;

use super::{Context, govern, node, status};
use crate::app::App;
use crate::args::LeaveArgs;
use crate::error::{CliError, Exit};
use crate::layout::{Style, Text};

/// How long to wait for the connected nodes to hear that this member leaves.
const TELLING: Duration = Duration::from_secs(10);
/// Pause between two looks at who is still connected.
const LOOK: Duration = Duration::from_millis(50);

#[derive(Serialize)]
struct Left {
    community: Option<status::CommunityShape>,
    moved_to: Option<String>,
    node_stopped: bool,
    /// Nodes that heard of it.
    told: usize,
}

pub(super) fn run(context: &mut Context, args: &LeaveArgs) -> Result<Exit, CliError> {
    let home = context.home()?;
    if !home.has_store() && home.join_state().exists() {
        return give_up(context, &home, args.yes);
    }
    let app = App::open(context)?;
    let name = status::community_name(&app)?;
    if !args.yes {
        explain(context, &app)?;
    }
    let question = Text::from("Leave ").with(Style::Heading, &name).plain("?");
    context.ui.confirm(question, args.yes)?;
    let told = tell(context, &app)?;
    let node_stopped = node::stop(&home)?;
    let shape = status::CommunityShape::of(&app)?;
    let short = app.store().community().short();
    drop(app);
    let to = move_out(context, &home, &short)?;
    let shown = to.display().to_string();
    if context.ui.is_json() {
        let left = Left { community: Some(shape), moved_to: Some(shown), node_stopped, told };
        context.ui.json("leave", &left)?;
        return Ok(Exit::Done);
    }
    context.ui.say(Text::from("you have left ").with(Style::Heading, name));
    if told == 0 {
        context.ui.say("no other node heard of it: the others still see you as a member");
    }
    context.ui.say(format!("what you have of it is in {shown}, and stays readable to you"));
    context
        .ui
        .hint(format!("`lanai threads --home {shown}` reads it; `lanai up` begins anew here"));
    Ok(Exit::Done)
}

/// Writes that this member leaves, and waits a little for others to hear of it. Gives how many did.
fn tell(context: &mut Context, app: &App) -> Result<usize, CliError> {
    let roster = app.store().roster()?;
    let me = app.store().own_member()?.and_then(|me| roster.member(&me).cloned());
    let Some(me) = me.filter(|_| roster.members().len() > 1) else { return Ok(0) };
    let subject = Subject::Member((*me.id.as_bytes()).into());
    let connected = |home: &Home| -> Result<BTreeSet<String>, CliError> {
        let peers = node::status_of(home)?.map(|status| status.peers).unwrap_or_default();
        Ok(peers.into_iter().map(|peer| peer.device).collect())
    };
    let before = connected(app.home())?;
    govern::say_taken_away(context, app, &me, subject, govern::Why::default())?;
    // Whoever hears of it hangs up; that this node then calls again does not undo it.
    let mut told = BTreeSet::new();
    let until = Instant::now() + TELLING;
    loop {
        told.extend(before.difference(&connected(app.home())?).cloned());
        if told.len() == before.len() || Instant::now() >= until {
            return Ok(told.len());
        }
        std::thread::sleep(LOOK);
    }
}

/// A join that was begun and not finished.
fn give_up(context: &mut Context, home: &Home, yes: bool) -> Result<Exit, CliError> {
    let state = JoinState::load(&home.join_state());
    let name = match &state {
        Ok(Some(state)) => state.ticket().map(|t| t.name().to_owned()).unwrap_or_default(),
        _ => String::new(),
    };
    context.ui.confirm(format!("Give up joining \"{name}\"?"), yes)?;
    JoinState::remove(&home.join_state())?;
    if context.ui.is_json() {
        let left = Left { community: None, moved_to: None, node_stopped: false, told: 0 };
        context.ui.json("leave", &left)?;
    } else {
        context.ui.say("the join is given up; the ticket may be good for another attempt");
    }
    Ok(Exit::Done)
}

/// What leaving does and does not do.
fn explain(context: &mut Context, app: &App) -> Result<(), CliError> {
    let ui = &mut context.ui;
    ui.say("Leaving stops your node; it sends and fetches nothing any more.");
    ui.say("The others are told, and write under a new key from then on.");
    ui.say("What you wrote stays with them, and so does your name beside it.");
    ui.say("What you have of the community stays here, readable to you.");
    let roster = app.store().roster()?;
    let me = app.store().own_member()?;
    let stewards: Vec<_> =
        roster.members().filter(|m| !m.pending && m.role == Role::Steward).map(|m| m.id).collect();
    if roster.members().len() > 1 && stewards.len() == 1 && stewards.first() == me.as_ref() {
        ui.warn(
            "you are the only steward: `lanai member role NAME steward` makes another one first",
        );
    }
    let now = (context.clock)();
    let mine = roster.tickets().filter(|t| Some(t.sponsor) == me && t.is_open(now).is_ok()).count();
    if mine > 0 {
        let mine = u64::try_from(mine).unwrap_or(u64::MAX);
        let tickets = status::count(mine, "ticket of yours is", "tickets of yours are");
        context.ui.warn(format!("{tickets} still open: `lanai ticket close` ends them"));
    }
    Ok(())
}

/// Moves everything that belongs to the community into a home inside this one.
fn move_out(context: &Context, home: &Home, short: &str) -> Result<PathBuf, CliError> {
    let mut dir = home.root().join(format!("left-{short}"));
    if dir.exists() {
        dir = home.root().join(format!("left-{short}-{}", (context.clock)()));
    }
    let left = Home::resolve(Some(&dir), &context.places)?;
    left.create()?;
    // The store last: as long as it is here, the community is, and the command can be repeated.
    let [store, beside @ ..] = store_files(&home.store());
    let mut files = vec![home.drafts(), home.files(), home.join_state(), home.log(), home.token()];
    files.extend(beside);
    files.extend([home.device_key(), store]);
    // What a locked home keeps in memory stays there.
    for from in files.into_iter().filter(|from| from.starts_with(home.root())) {
        let Some(name) = from.file_name() else { continue };
        let to: &Path = &left.root().join(name);
        match std::fs::rename(&from, to) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(CliError::io(format!("move {}", from.display()), &e));
            }
            _ => {}
        }
    }
    Ok(left.root().to_path_buf())
}

#[cfg(test)]
mod tests {
    use super::super::village::House;

    #[test]
    fn a_home_is_left_and_stays_readable() {
        let ann = House::founder("Ann");
        let _bob = ann.neighbour("Bob");
        ann.ask("Who knows?", "Tell me.", &[]);
        assert_eq!(ann.run(&["leave"]).failed().code, crate::ui::UNATTENDED);
        assert!(ann.home.has_store());
        let left = ann.json(&["leave", "--yes"]);
        assert_eq!(left["community"]["name"], "porch");
        assert!(!ann.home.has_store() && !ann.home.device_key().exists());
        assert_eq!(ann.run(&["threads"]).failed().code, "no-community");
        let place = left["moved_to"].as_str().unwrap();
        assert!(ann.run_at(place, &["threads"]).ok().contains("Who knows?"));
        // Moved, not copied: the log goes on.
        let ran = ann.run_at(place, &["note", "Still here", "-m", "x"]);
        assert!(!ran.err.contains("copy"), "{}", ran.err);
        assert_eq!(ran.failed().exit, crate::error::Exit::Refused);
    }

    #[test]
    fn what_it_means_is_said_first() {
        let ann = House::founder("Ann");
        let _bob = ann.neighbour("Bob");
        ann.json(&["invite"]);
        let ran = ann.on_terminal(&["leave"]);
        assert!(ran.err.contains("only steward"), "{}", ran.err);
        assert!(ran.err.contains("1 ticket of yours is still open"), "{}", ran.err);
        assert_eq!(ran.failed().code, "cancelled");
        assert!(ann.home.has_store());
    }
}
