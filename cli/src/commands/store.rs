//! `lanai store`: check, rebuild, back up and restore what is kept.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lanai_node::home::Home;
use lanai_node::identity::{Unlocked, private};
use lanai_node::store::{self, CheckReport, Place, Store};
use serde::Serialize;

use super::{Context, node, status};
use crate::app::{self, App};
use crate::args::StoreCommand;
use crate::error::{CliError, Exit};
use crate::layout::{Style, Text};

/// Kinds of damage that are listed, at most.
const MAX_LISTED: usize = 50;

#[derive(Serialize)]
struct CheckShape {
    clean: bool,
    entries: u64,
    payloads: u64,
    threads: u64,
    unfolded: u64,
    damage: Vec<DamageShape>,
    repaired: Option<u64>,
}

#[derive(Serialize)]
struct DamageShape {
    what: String,
    only_view: bool,
}

#[derive(Serialize)]
struct Rebuilt {
    entries: u64,
    state_hash: String,
}

#[derive(Serialize)]
struct PurgeShape {
    dropped: u64,
    kept: u64,
    copies: u64,
}

#[derive(Serialize)]
struct BackedUp {
    path: String,
    bytes: u64,
}

#[derive(Serialize)]
struct RestoredShape {
    community_id: String,
    replaced: Option<String>,
    node_stopped: bool,
}

pub(super) fn run(context: &mut Context, command: &StoreCommand) -> Result<Exit, CliError> {
    match command {
        StoreCommand::Check { repair } => check(context, *repair),
        StoreCommand::Rebuild => rebuild(context),
        StoreCommand::Purge { yes } => purge(context, *yes),
        StoreCommand::Backup { path, force } => backup(context, path, *force),
        StoreCommand::Restore { path, yes } => restore(context, path, *yes),
    }
}

fn check(context: &mut Context, repair: bool) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    let entries = app.store().stats()?.entries;
    let mut progress = context.ui.progress("checking", Some(entries), "entries");
    let report = app.store().check(|done| progress.set(done));
    drop(progress);
    let report = report?;
    let repaired = match repair && !report.is_clean() {
        true => Some(mend(context, &app, &report)?),
        false => None,
    };
    if context.ui.is_json() {
        let damage = report.damage.iter().take(MAX_LISTED);
        let damage = damage.map(|damage| DamageShape {
            what: damage.to_string(),
            only_view: damage.is_of_views(),
        });
        let shape = CheckShape {
            clean: report.is_clean(),
            entries: report.entries,
            payloads: report.payloads,
            threads: report.threads,
            unfolded: report.unfolded,
            damage: damage.collect(),
            repaired,
        };
        context.ui.json("store-check", &shape)?;
    } else {
        told(context, &report, repaired)?;
    }
    // After a repair, what is left to do is the peers' part.
    Ok(if report.is_clean() || repaired.is_some() { Exit::Done } else { Exit::StoreDamaged })
}

fn told(
    context: &mut Context,
    report: &CheckReport,
    repaired: Option<u64>,
) -> Result<(), CliError> {
    let entries = status::count(report.entries, "entry", "entries");
    let threads = status::count(report.threads, "thread", "threads");
    if report.is_clean() {
        let line = format!("{entries} and {threads} checked, nothing is damaged");
        context.ui.line(Text::styled(Style::Good, line))?;
        if report.unfolded > 0 {
            let left = status::count(report.unfolded, "entry is", "entries are");
            context.ui.say(format!("{left} not yet indexed and could not be compared"));
        }
        return Ok(());
    }
    for damage in report.damage.iter().take(MAX_LISTED) {
        context.ui.line(Text::styled(Style::Bad, damage.to_string()))?;
    }
    if let Some(more) = report.damage.len().checked_sub(MAX_LISTED).filter(|more| *more > 0) {
        context.ui.line(format!("and {more} more"))?;
    }
    let found = u64::try_from(report.damage.len()).unwrap_or(u64::MAX);
    let found = status::count(found, "damage", "damages");
    context.ui.say(format!("{entries} and {threads} checked: {found}"));
    match repaired {
        Some(taken) => {
            let taken = status::count(taken, "entry was", "entries were");
            context.ui.say(format!("{taken} taken out, and the views were made anew"));
            context.ui.hint("`lanai sync` fetches what was taken out from other members");
        }
        None if report.damage.iter().all(|damage| damage.is_of_views()) => {
            context.ui.hint("`lanai store rebuild` makes the views anew; no entry is harmed");
        }
        None => context.ui.hint(
            "`lanai store check --repair` drops what is damaged, so that other members send it again; \
             `lanai store restore` puts a backup in place",
        ),
    }
    Ok(())
}

fn mend(context: &mut Context, app: &App, report: &CheckReport) -> Result<u64, CliError> {
    context.ui.detail("taking out what is damaged");
    let taken = app.store().repair(report)?;
    if taken == 0 && report.damage.iter().any(|damage| damage.is_of_views()) {
        app.store().rebuild(|_| ())?;
    }
    app::wake(app.home());
    Ok(taken)
}

fn rebuild(context: &mut Context) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    let entries = app.store().stats()?.entries;
    let mut progress = context.ui.progress("rebuilding", Some(entries), "entries");
    let done = app.store().rebuild(|done| progress.set(done));
    drop(progress);
    let done = done?;
    let state_hash = lanai_crdt::id::base32(&app.store().state_hash()?);
    if context.ui.is_json() {
        context.ui.json("store-rebuild", &Rebuilt { entries: done.entries, state_hash })?;
    } else {
        let entries = status::count(done.entries, "entry", "entries");
        context.ui.say(format!("all views are made anew from {entries}"));
    }
    Ok(Exit::Done)
}

fn purge(context: &mut Context, yes: bool) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    let copies = app.store().older_copies()?;
    if !copies.is_empty() {
        let names: Vec<_> = copies.iter().map(|path| path.display().to_string()).collect();
        let question =
            format!("Older copies of the store go as well:\n{}\nGo on?", names.join("\n"));
        context.ui.confirm(question, yes)?;
    }
    super::file::drop_withdrawn(context, &app)?;
    let entries = app.store().stats()?.entries;
    let mut progress = context.ui.progress("purging", Some(entries), "entries");
    let purged = app.store().purge((context.clock)(), |done| progress.set(done));
    drop(progress);
    let purged = purged?;
    for path in &copies {
        private::destroy(path)?;
    }
    let copies = u64::try_from(copies.len()).unwrap_or(u64::MAX);
    if context.ui.is_json() {
        let shape = PurgeShape { dropped: purged.dropped, kept: purged.kept, copies };
        context.ui.json("store-purge", &shape)?;
        return Ok(Exit::Done);
    }
    let dropped = status::count(purged.dropped, "withdrawn text is", "withdrawn texts are");
    context
        .ui
        .say(format!("{dropped} dropped, and nothing of what was withdrawn is left to be read"));
    if purged.kept > 0 {
        let kept = status::count(purged.kept, "text of others is", "texts of others are");
        context.ui.say(format!("{kept} kept sealed until three days after the withdrawal"));
    }
    Ok(Exit::Done)
}

fn backup(context: &mut Context, path: &Path, force: bool) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    if path.exists() && !force {
        let message = format!("{} exists already", path.display());
        return Err(CliError::failed("exists", message).hint("--force overwrites it"));
    }
    if path.is_dir() {
        return Err(CliError::usage(format!("{} is a directory", path.display()))
            .hint("name a file: `lanai store backup FILE`"));
    }
    let io = |e| CliError::io(format!("write {}", path.display()), &e);
    if path.exists() {
        // The old backup stays whole until the new one is.
        let new = beside(path, ".new");
        if new.exists() {
            std::fs::remove_file(&new).map_err(io)?;
        }
        app.store().backup(&new)?;
        std::fs::rename(&new, path).map_err(io)?;
    } else {
        app.store().backup(path)?;
    }
    let bytes = std::fs::metadata(path).map_err(io)?.len();
    if context.ui.is_json() {
        let path = path.display().to_string();
        context.ui.json("store-backup", &BackedUp { path, bytes })?;
        return Ok(Exit::Done);
    }
    context.ui.say(format!("{} with all entries are in {}", status::size(bytes), path.display()));
    context.ui.say("whoever has the file can read the community; nobody can write with it");
    context.ui.say("the bytes of files are not in it; other members' nodes give them again");
    context.ui.hint("your keys are not in it: `lanai identity export`");
    Ok(Exit::Done)
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn restore(context: &mut Context, path: &Path, yes: bool) -> Result<Exit, CliError> {
    let home: Home = context.home()?;
    if !path.is_file() {
        return Err(CliError::not_found(format!("there is no file {}", path.display())));
    }
    if !home.device_key().exists() {
        let message = format!("there is no identity in {}", home.root().display());
        return Err(CliError::new(Exit::NotFound, "no-identity", message)
            .hint("a backup holds no keys: `lanai identity import FILE` brings yours first"));
    }
    let identity = app::identity(&home)?;
    let device = identity.device_id();
    if store::is_sealed(path) && context.unlocked.is_none() {
        context.unlocked = Some(Arc::new(Unlocked { identity, wrap: None }));
    }
    let home = context.home()?;
    let question = match home.has_store() {
        true => format!("Put the backup {} in the place of the store?", path.display()),
        false => format!("Make a store from the backup {}?", path.display()),
    };
    context.ui.confirm(question, yes)?;
    let node_stopped = node::stop(&home)?;
    let place = Place::of_home(&home);
    let restored = Store::restore(&place, path, &device, (context.clock)())?;
    let replaced = restored.replaced.as_ref().map(|path| path.display().to_string());
    if context.ui.is_json() {
        let community_id = restored.community.full();
        let shape = RestoredShape { community_id, replaced, node_stopped };
        context.ui.json("store-restore", &shape)?;
        return Ok(Exit::Done);
    }
    // Opening it tells that it was restored.
    App::open(context)?;
    context.ui.say("what you write from now on goes into a new log, so that nothing is forked");
    if let Some(replaced) = replaced {
        context.ui.say(format!("the store that was here is now {replaced}"));
    }
    let next = if node_stopped { "the node was stopped: " } else { "" };
    context.ui.hint(format!("{next}`lanai up` starts it, and brings what was written since"));
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::super::village::House;
    use super::*;

    /// Changes a byte in the middle of the sealed text of an entry, behind the store's back.
    fn damage(house: &House, needle: &[u8]) {
        let path = house.home.store();
        let mut bytes = std::fs::read(&path).unwrap();
        let at = bytes.windows(needle.len()).position(|w| w == needle).unwrap();
        bytes[at + needle.len() / 2] ^= 1;
        std::fs::write(&path, bytes).unwrap();
    }

    #[test]
    fn a_clean_store_is_clean_and_can_be_rebuilt() {
        let ann = House::founder("Ann");
        ann.ask("Who knows?", "Tell me.", &[]);
        let checked = ann.json(&["store", "check"]);
        assert_eq!(checked["clean"], true);
        assert!(checked["entries"].as_u64().unwrap() > 3);
        let before = ann.json(&["status"])["state_hash"].clone();
        assert_eq!(ann.json(&["store", "rebuild"])["state_hash"], before);
        assert!(ann.run(&["store", "check"]).ok().contains("nothing is damaged"));
    }

    #[test]
    fn damage_is_named_and_mended() {
        let ann = House::founder("Ann");
        let ask = ann.ask("Who knows?", "Tell me.", &[]);
        let payload = ann.store.payload(&ask).unwrap().unwrap();
        let file = ann.beside("whole.db");
        ann.run(&["store", "backup", file.to_str().unwrap()]).ok();
        // One file without a log beside it, so that the bytes are where they are looked for.
        let House { home, .. } = &ann;
        ann.run(&["store", "restore", file.to_str().unwrap(), "--yes"]).ok();
        assert!(home.has_store());
        damage(&ann, &payload);
        let ran = ann.run(&["store", "check"]);
        assert_eq!(*ran.done.as_ref().unwrap(), Exit::StoreDamaged, "{}", ran.err);
        assert!(ran.out.contains(&ask.to_string()), "{}", ran.out);
        assert!(ran.err.contains("--repair"), "{}", ran.err);
        let repaired = ann.run(&["store", "check", "--repair", "--json"]);
        assert_eq!(*repaired.done.as_ref().unwrap(), Exit::Done);
        let value: serde_json::Value = serde_json::from_str(&repaired.out).unwrap();
        assert_eq!(value["repaired"], 1);
        assert_eq!(ann.json(&["store", "check"])["clean"], true);
        assert_eq!(ann.json(&["status"])["missing"], 1);
    }

    #[test]
    fn a_backup_is_made_and_put_back_under_a_new_log() {
        let ann = House::founder("Ann");
        ann.ask("Before", "x", &[]);
        let file = ann.beside("ann.db");
        let name = file.to_str().unwrap();
        assert!(ann.json(&["store", "backup", name])["bytes"].as_u64().unwrap() > 0);
        assert_eq!(ann.run(&["store", "backup", name]).failed().code, "exists");
        ann.run(&["store", "backup", name, "--force"]).ok();
        ann.ask("After", "x", &[]);
        assert_eq!(ann.json(&["status"])["threads"], 2);

        let unasked = ann.run(&["store", "restore", name]).failed();
        assert_eq!(unasked.code, crate::ui::UNATTENDED);
        assert_eq!(ann.json(&["status"])["threads"], 2);
        let restored = ann.run(&["store", "restore", name, "--yes"]);
        assert!(
            restored.err.contains("new log") && restored.err.contains("restored"),
            "{}",
            restored.err
        );
        assert!(restored.done.is_ok());
        assert_eq!(ann.json(&["status"])["threads"], 1);
        let logs = ann.json(&["status"])["store"]["logs"].as_u64().unwrap();
        ann.run(&["ask", "Again", "-m", "y"]).ok();
        assert_eq!(ann.json(&["status"])["store"]["logs"].as_u64().unwrap(), logs + 1);
        assert_eq!(ann.json(&["store", "check"])["clean"], true);
    }

    #[test]
    fn what_cannot_be_restored_changes_nothing() {
        let ann = House::founder("Ann");
        let bob = House::founder("Bob");
        let file = ann.beside("bob.db");
        let name = file.to_str().unwrap();
        assert_eq!(ann.run(&["store", "restore", name, "--yes"]).failed().exit, Exit::NotFound);
        std::fs::write(&file, "nonsense").unwrap();
        assert!(ann.run(&["store", "restore", name, "--yes"]).done.is_err());
        bob.run(&["store", "backup", name, "--force"]).ok();
        assert_eq!(ann.run(&["store", "restore", name, "--yes"]).failed().code, "other-store");
        assert_eq!(ann.json(&["store", "check"])["clean"], true);
        assert_eq!(ann.json(&["status"])["me"]["name"], "Ann");
    }
}
