//! `lanai lock` and `lanai unlock`, and what every other command does in a home with a passphrase.
//!
//! A locked home gives up its keys to a passphrase alone. A command gets them, in this order, from
//! the node that runs beside it, from the file that `LANAI_PASSPHRASE_FILE` names, or from whoever
//! sits at the terminal.

use std::path::Path;
use std::sync::Arc;

use lanai_node::control::{Reply, Request};
use lanai_node::home::Home;
use lanai_node::identity::passphrase::{Lock, Passphrase, PassphraseError, WrapKey};
use lanai_node::identity::{Identity, IdentityError, KeyFile, LockedKeys, Unlocked, private};
use lanai_node::random::OsRandom;
use lanai_node::store::{self, Place, Store};
use serde::Serialize;

use super::{Context, identity, node};
use crate::app;
use crate::args::{Command, LockArgs, NodeCommand, UnlockArgs};
use crate::editor::Drafts;
use crate::error::{CliError, Exit};
use crate::ui::UNATTENDED;

/// The variable that names a file with the passphrase in its first line.
const PASSPHRASE_FILE: &str = "LANAI_PASSPHRASE_FILE";
/// Bytes of a key that another process hands over, with the line's end and more.
const MAX_HANDED: usize = 256;

impl From<IdentityError> for CliError {
    fn from(error: IdentityError) -> Self {
        let (exit, code) = match &error {
            IdentityError::Locked(_) => (Exit::Locked, "locked"),
            IdentityError::WrongPassphrase => (Exit::Locked, "wrong-passphrase"),
            IdentityError::Passphrase(PassphraseError::Empty) => (Exit::Usage, "identity"),
            _ => (Exit::Failed, "identity"),
        };
        let hint = error.hint();
        Self { hint, ..Self::new(exit, code, error.to_string()) }
    }
}

#[derive(Serialize)]
struct LockShape {
    locked: bool,
    /// Whether the texts are sealed as well, and not the keys alone.
    store_sealed: bool,
    node_stopped: bool,
}

#[derive(Serialize)]
struct UnlockShape {
    passphrase: bool,
    node_started: bool,
}

/// Gets the keys of a locked home for a command that needs them, and keeps them in the context.
pub(super) fn get_keys(context: &mut Context, command: &Command) -> Result<(), CliError> {
    let handed_over = match command {
        Command::Paths
        | Command::Completion(_)
        | Command::Man(_)
        | Command::Help(_)
        | Command::Config(_)
        | Command::Lock(_)
        | Command::Unlock(_)
        | Command::Wipe(_)
        | Command::Node(NodeCommand::Stop | NodeCommand::Status | NodeCommand::Logs(_)) => {
            return Ok(());
        }
        Command::Node(NodeCommand::Run { background, .. }) => *background,
        _ => false,
    };
    let home = context.home()?;
    let unlocked = match KeyFile::read(&home.device_key()) {
        Ok(KeyFile::Locked(locked)) if handed_over => {
            let text = context.ui.read_input(MAX_HANDED)?;
            let key = WrapKey::try_from(text.trim().to_owned()).map_err(|_| shut())?;
            locked.open_with(key)?
        }
        Ok(KeyFile::Locked(locked)) => open(context, &home, &locked)?,
        Ok(KeyFile::Open(identity)) if store::is_sealed(&home.store()) => {
            Unlocked { identity, wrap: None }
        }
        // What is wrong with the keys is told where they are needed.
        Ok(KeyFile::Open(_)) | Err(_) => return Ok(()),
    };
    context.unlocked = Some(Arc::new(unlocked));
    Ok(home.prepare_passing()?)
}

fn shut() -> CliError {
    CliError::new(Exit::Locked, "locked", "this home is locked with a passphrase").hint(format!(
        "`lanai unlock` on a terminal opens it while the node runs; for scripts {PASSPHRASE_FILE} \
         names a file with the passphrase"
    ))
}

/// Opens the keys with what a running node has, or with the passphrase.
fn open(context: &mut Context, home: &Home, locked: &LockedKeys) -> Result<Unlocked, CliError> {
    if let Ok(Reply::Key { key: Some(key) }) = node::ask(home, &Request::Key, node::ANSWER_PATIENCE)
        && let Ok(unlocked) = locked.open_with(key)
    {
        return Ok(unlocked);
    }
    let passphrase = match passphrase_file(context) {
        Some(file) => identity::first_line(Path::new(&file))?,
        None => match context.ui.ask_secret("Passphrase:") {
            Ok(typed) => Passphrase::new(typed),
            Err(error) if error.code == UNATTENDED => return Err(shut()),
            Err(error) => return Err(error),
        },
    };
    Ok(locked.open(&passphrase)?)
}

fn passphrase_file(context: &Context) -> Option<String> {
    context.ui.env().get_filled(PASSPHRASE_FILE)
}

/// A passphrase for a home that has none: from the file that the environment names, or asked twice.
fn first_passphrase(context: &mut Context) -> Result<Passphrase, CliError> {
    match passphrase_file(context) {
        Some(file) => identity::first_line(Path::new(&file)),
        None => identity::new_passphrase(context, &format!("name a file with {PASSPHRASE_FILE}")),
    }
}

/// Puts a passphrase on the key file. The context has the keys afterwards.
fn put_on(
    context: &mut Context,
    home: &Home,
    identity: Identity,
    passphrase: &Passphrase,
) -> Result<(), CliError> {
    context.ui.detail("computing the key from the passphrase");
    let lock = Lock::fresh();
    let wrap = lock.new_key(passphrase)?;
    identity.write_locked(&home.device_key(), &lock, &wrap)?;
    context.unlocked = Some(Arc::new(Unlocked { identity, wrap: Some(wrap) }));
    Ok(())
}

/// Makes keys that are locked from the start, for a home that has none yet.
pub(super) fn init(context: &mut Context, home: &Home) -> Result<(), CliError> {
    // After an interruption they may be here.
    if context.unlocked.is_some() {
        return Ok(());
    }
    let path = home.device_key();
    let identity =
        if path.exists() { Identity::load(&path)? } else { Identity::generate(&mut OsRandom) };
    let passphrase = first_passphrase(context)?;
    home.create()?;
    put_on(context, home, identity, &passphrase)?;
    tell_what_is_locked(context);
    Ok(context.home()?.prepare_passing()?)
}

fn tell_what_is_locked(context: &mut Context) {
    if store::CAN_SEAL {
        return;
    }
    context.ui.warn(
        "only the keys are locked: this lanai was built without SQLCipher, so whoever has the disk \
         can read the posts and names in the store",
    );
}

pub(super) fn lock(context: &mut Context, args: &LockArgs) -> Result<Exit, CliError> {
    let home = app::open_home(context)?;
    let read = KeyFile::read(&home.device_key())?;
    // What is asked comes before anything is done.
    match read {
        KeyFile::Open(identity) => {
            let passphrase = first_passphrase(context)?;
            let node_stopped = node::stop(&home)?;
            put_on(context, &home, identity, &passphrase)?;
            close_up(context)?;
            done(context, &home, node_stopped)
        }
        KeyFile::Locked(locked) if args.change => {
            let unlocked = open(context, &home, &locked)?;
            let passphrase = match &args.new_passphrase_file {
                Some(file) => identity::first_line(file)?,
                None => identity::new_passphrase(context, "use --new-passphrase-file")?,
            };
            let node_stopped = node::stop(&home)?;
            put_on(context, &home, unlocked.identity, &passphrase)?;
            done(context, &home, node_stopped)
        }
        KeyFile::Locked(locked) => {
            // Locked by a build that could not seal, or interrupted.
            if store::CAN_SEAL && !store::is_sealed(&home.store()) {
                context.unlocked = Some(Arc::new(open(context, &home, &locked)?));
                node::stop(&home)?;
                close_up(context)?;
            }
            let node_stopped = node::stop(&home)?;
            done(context, &home, node_stopped)
        }
    }
}

/// Seals what lies open in a home that has a passphrase now.
fn close_up(context: &mut Context) -> Result<(), CliError> {
    let home = context.home()?;
    home.prepare_passing()?;
    let place = Place::of_home(&home);
    context.ui.detail("sealing the store");
    let copies = Store::open(&place)?.older_copies()?;
    for db in copies.into_iter().chain([home.store()]) {
        store::seal(&Place { db, ..place.clone() })?;
    }
    let Some(passing) = home.passing_dir() else { return Ok(()) };
    for log in ["node.log", "node.log.old"] {
        let path = home.root().join(log);
        if path.is_file() {
            private::destroy(&path)?;
        }
    }
    let drafts = home.root().join("drafts");
    let begun = Drafts::new(drafts.clone()).list()?;
    for draft in &begun {
        let Some(text) = draft.read()? else { continue };
        let name = draft.path().file_stem().unwrap_or_default().to_string_lossy();
        Drafts::new(passing.join("drafts")).draft(&name).keep(&text)?;
        private::destroy(draft.path())?;
    }
    if !begun.is_empty() {
        context.ui.warn("drafts are kept in memory now, until the machine is switched off");
    }
    Ok(())
}

fn done(context: &mut Context, home: &Home, node_stopped: bool) -> Result<Exit, CliError> {
    let store_sealed = store::is_sealed(&home.store());
    if context.ui.is_json() {
        context.ui.json("lock", &LockShape { locked: true, store_sealed, node_stopped })?;
        return Ok(Exit::Done);
    }
    if node_stopped {
        context.ui.say("the node has stopped, and has forgotten the keys");
    }
    context.ui.say("locked: every command asks for the passphrase now");
    tell_what_is_locked(context);
    context.ui.hint("nobody can tell you the passphrase; `lanai unlock` asks for it once");
    Ok(Exit::Done)
}

pub(super) fn unlock(context: &mut Context, args: &UnlockArgs) -> Result<Exit, CliError> {
    let home = app::open_home(context)?;
    let KeyFile::Locked(locked) = KeyFile::read(&home.device_key())? else {
        return Err(CliError::failed("not-locked", "this home has no passphrase")
            .hint("`lanai lock` puts one on"));
    };
    let unlocked = open(context, &home, &locked)?;
    if args.remove {
        unlocked.identity.write_open(&home.device_key())?;
        if context.ui.is_json() {
            let shape = UnlockShape { passphrase: false, node_started: false };
            context.ui.json("unlock", &shape)?;
        } else {
            context.ui.say("the passphrase is off: whoever has this disk has your keys");
        }
        return Ok(Exit::Done);
    }
    context.unlocked = Some(Arc::new(unlocked));
    home.prepare_passing()?;
    let (_, node_started) = node::start(&context.home()?, &args.network)?;
    if context.ui.is_json() {
        context.ui.json("unlock", &UnlockShape { passphrase: true, node_started })?;
    } else {
        let how = if node_started { "unlocked" } else { "it was unlocked already" };
        context.ui.say(format!("{how}: as long as the node runs, nothing asks for the passphrase"));
        context.ui.hint("`lanai lock` stops it, and locks");
    }
    Ok(Exit::Done)
}
