//! `lanai identity`: a person in a file, so that a lost laptop is no lost person.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;

use lanai_crdt::text::clean_line;
use lanai_node::identity::export::{
    Export, ExportError, MAX_EXPORT_ADDRESSES, MAX_EXPORT_TEXT_BYTES,
};
use lanai_node::identity::passphrase::{Lock, Passphrase, PassphraseError};
use lanai_node::identity::{IdentityError, private};
use lanai_node::net::{Multiaddr, peer_id_of, split_peer};
use lanai_node::random::OsRandom;
use lanai_node::store::{Place, Store};
use serde::Serialize;
use zeroize::Zeroizing;

use super::{Context, device, init, join, status};
use crate::app::{self, App};
use crate::args::IdentityCommand;
use crate::error::{CliError, Exit};
use crate::layout::{Style, Text};
use crate::time;

/// Bytes of a passphrase file that are read.
const MAX_PASSPHRASE_BYTES: u64 = 4096;

impl From<PassphraseError> for CliError {
    fn from(error: PassphraseError) -> CliError {
        IdentityError::from(error).into()
    }
}

impl From<ExportError> for CliError {
    fn from(error: ExportError) -> CliError {
        let (exit, hint) = match &error {
            ExportError::Passphrase(error) => return error.clone().into(),
            ExportError::WrongPassphrase => (Exit::Locked, Some("type it again")),
            ExportError::Newer(_) => (Exit::Failed, Some("install the newer version")),
            ExportError::CutOff | ExportError::Damaged => {
                (Exit::Failed, Some("use another copy of the file"))
            }
            _ => (Exit::Failed, None),
        };
        let error = CliError::new(exit, "identity-file", error.to_string());
        match hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}

#[derive(Serialize)]
struct Exported {
    path: String,
    community: status::CommunityShape,
    me: status::MeShape,
    addresses: usize,
}

#[derive(Serialize)]
struct Imported {
    community_id: String,
    community_name: String,
    member: Option<String>,
    name: String,
    device: String,
    exported: Option<String>,
    addresses: usize,
}

pub(super) fn run(context: &mut Context, command: &IdentityCommand) -> Result<Exit, CliError> {
    match command {
        IdentityCommand::Export { path, passphrase_file, force } => {
            export(context, path, passphrase_file.as_deref(), *force)
        }
        IdentityCommand::Import { path, passphrase_file } => {
            import(context, path, passphrase_file.as_deref())
        }
    }
}

fn export(
    context: &mut Context,
    path: &Path,
    passphrase_file: Option<&Path>,
    force: bool,
) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    if path.exists() && !force {
        let message = format!("{} exists already", path.display());
        return Err(CliError::failed("exists", message).hint("--force overwrites it"));
    }
    let me = status::MeShape::of(&app)?;
    let export = Export {
        identity: app::identity(app.home())?,
        community: app.store().community(),
        community_name: status::community_name(&app)?,
        member: app.store().own_member()?,
        member_name: me.name.clone(),
        addresses: addresses(&app)?,
        made_ms: (context.clock)(),
    };
    let passphrase = match passphrase_file {
        Some(file) => first_line(file)?,
        None => new_passphrase(context, "use --passphrase-file")?,
    };
    context.ui.detail("computing the key from the passphrase");
    let text = export.seal(&passphrase, &Lock::fresh())?;
    let text = Zeroizing::new(text);
    if force {
        private::replace(path, text.as_bytes())?;
    } else {
        private::create(path, text.as_bytes())?;
    }
    let shown = path.display().to_string();
    if context.ui.is_json() {
        let community = status::CommunityShape::of(&app)?;
        let addresses = export.addresses.len();
        context.ui.json("identity-export", &Exported { path: shown, community, me, addresses })?;
        return Ok(Exit::Done);
    }
    context.ui.say(format!("your keys are in {shown}; keep it away from this machine"));
    if export.addresses.is_empty() {
        context.ui.warn(
            "no other member's node was met yet, so the file cannot say where to find the \
             community; export again once you have met one",
        );
    }
    context.ui.hint(
        "it holds no posts: those come back from the other members, or from `lanai store backup`",
    );
    Ok(Exit::Done)
}

/// Where members were reached, the latest first, each with the peer it belongs to.
pub(super) fn addresses(app: &App) -> Result<Vec<String>, CliError> {
    let others = status::other_devices(app)?;
    let mut found = Vec::new();
    for known in app.store().peers()? {
        let peer = peer_id_of(known.device.as_bytes()).ok();
        let (Some(peer), Ok(address)) = (peer, known.address.parse::<Multiaddr>()) else {
            continue;
        };
        if others.contains_key(&known.device) {
            found.push(format!("{}/p2p/{peer}", split_peer(&address).0));
        }
    }
    found.truncate(MAX_EXPORT_ADDRESSES);
    Ok(found)
}

fn import(
    context: &mut Context,
    path: &Path,
    passphrase_file: Option<&Path>,
) -> Result<Exit, CliError> {
    let home = context.home()?;
    if init::has_community(&home)? || home.device_key().exists() {
        let message = format!("{} has an identity already", home.root().display());
        return Err(CliError::failed("exists", message)
            .hint("import into another directory: `lanai identity import FILE --home DIR`"));
    }
    if let Some(begun) = join::begun(&home)? {
        return Err(begun);
    }
    let text = read_bounded(path)?;
    let passphrase = match passphrase_file {
        Some(file) => first_line(file)?,
        None => Passphrase::new(context.ui.ask_secret("Passphrase of the file:")?),
    };
    let export = Export::open(&text, &passphrase)?;
    let own = export.identity.device_id();
    home.create()?;
    export.identity.create(&home.device_key())?;
    let now = (context.clock)();
    let place = Place::of_home(&home);
    let store = Store::create_returning(&place, export.community, own, now, &mut OsRandom)?;
    let addresses = device::remember(&store, &export.addresses, now)?;
    if context.ui.is_json() {
        let shape = Imported {
            community_id: export.community.full(),
            community_name: export.community_name,
            member: export.member.map(|member| member.full()),
            name: export.member_name,
            device: own.full(),
            exported: time::rfc3339(time::seconds(export.made_ms)),
            addresses,
        };
        context.ui.json("identity-import", &shape)?;
        return Ok(Exit::Done);
    }
    let said = Text::from("you are ")
        .with(Style::Name, &export.member_name)
        .plain(" of ")
        .with(Style::Heading, &export.community_name)
        .plain(" again, under a new log");
    context.ui.say(said);
    let others = "never run this identity on two machines at once";
    context.ui.say(others);
    if addresses == 0 {
        context.ui.warn("the file does not say where other members are");
        context.ui.hint("`lanai store restore FILE` puts a backup in place, if you have one");
    } else {
        context.ui.hint("`lanai up` starts the node, which gets everything from the other members");
    }
    Ok(Exit::Done)
}

pub(super) fn read_bounded(path: &Path) -> Result<Zeroizing<String>, CliError> {
    let io = |e| CliError::io(format!("read {}", path.display()), &e);
    let limit = MAX_EXPORT_TEXT_BYTES + 1;
    let mut bytes = Zeroizing::new(Vec::new());
    let most = u64::try_from(limit).unwrap_or(u64::MAX);
    File::open(path).map_err(io)?.take(most).read_to_end(&mut bytes).map_err(io)?;
    match std::str::from_utf8(&bytes) {
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(_) => Err(ExportError::NotAnExport.into()),
    }
}

pub(super) fn first_line(path: &Path) -> Result<Passphrase, CliError> {
    let io = |e| CliError::io(format!("read {}", path.display()), &e);
    let file = File::open(path).map_err(io)?.take(MAX_PASSPHRASE_BYTES);
    let mut line = String::new();
    BufReader::new(file).read_line(&mut line).map_err(io)?;
    let text = line.trim_end_matches(['\n', '\r']).to_owned();
    Ok(Passphrase::new(text))
}

/// Asks twice, for nobody sees what they type. `otherwise` is what to do without a terminal.
pub(super) fn new_passphrase(
    context: &mut Context,
    otherwise: &str,
) -> Result<Passphrase, CliError> {
    let unattended = |error: CliError| {
        if error.code == crate::ui::UNATTENDED { error.hint(otherwise) } else { error }
    };
    let first = Zeroizing::new(context.ui.ask_secret("New passphrase:").map_err(unattended)?);
    if first.is_empty() {
        return Err(PassphraseError::Empty.into());
    }
    if *first != clean_line(&first) {
        context.ui.warn("the passphrase holds characters that cannot be seen");
    }
    let second = Zeroizing::new(context.ui.ask_secret("The same again:")?);
    if *first != *second {
        return Err(CliError::failed("passphrases-differ", "the two passphrases differ")
            .hint("nothing was written; run the command again"));
    }
    Ok(Passphrase::new((*first).clone()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::testing::bench;
    use super::super::village::{House, NOW};
    use super::*;

    #[test]
    fn a_person_moves_to_another_machine() {
        let ann = House::founder("Ann");
        let bob = ann.neighbour("Bob");
        let device = ann.store.own_device();
        bob.store.remember_peer(&device, "/ip4/10.0.0.1/tcp/1", NOW).unwrap();
        let secret = bob.beside("passphrase");
        std::fs::write(&secret, "correct horse\nsecond line\n").unwrap();
        let (secret, file) = (secret.to_str().unwrap(), bob.beside("bob.id"));
        let file = file.to_str().unwrap();
        let made = bob.json(&["identity", "export", file, "--passphrase-file", secret]);
        assert_eq!(made["addresses"], 1);
        assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
        let again = bob.run(&["identity", "export", file, "--passphrase-file", secret]).failed();
        assert_eq!(again.code, "exists");
        assert!(again.hint.unwrap().contains("--force"));

        // Into the home it came from: no.
        let there = bob.run(&["identity", "import", file, "--passphrase-file", secret]).failed();
        assert_eq!(there.code, "exists");

        let mut new = bench(None, true);
        let import = |passphrase_file: &str| IdentityCommand::Import {
            path: file.into(),
            passphrase_file: Some(passphrase_file.into()),
        };
        let wrong = run(&mut new.context, &import(file)).unwrap_err();
        assert_eq!((wrong.exit, wrong.code), (Exit::Locked, "identity-file"));
        run(&mut new.context, &import(secret)).unwrap();
        let value: serde_json::Value = serde_json::from_str(&new.out.text()).unwrap();
        assert_eq!(value["name"], "Bob");
        assert_eq!(value["community_name"], "porch");
        let app = App::open(&mut new.context).unwrap();
        assert_eq!(app.store().own_device(), bob.store.own_device());
        assert_eq!(app.store().community(), bob.store.community());
        assert_eq!(app.store().peers().unwrap()[0].device, device);
        assert_eq!(app.store().own_member().unwrap(), None);

        // What the others hold makes it a member again, and it writes under a new log.
        let author = lanai_node::store::Author {
            device: app::identity(app.home()).unwrap().device,
            sealing: app::identity(app.home()).unwrap().sealing,
        };
        let ids: Vec<_> = ann.store.items().unwrap().items.iter().map(|i| i.id).collect();
        let batch = ann.store.entries(&ids).unwrap();
        let batch = batch.iter().map(super::super::village::incoming).collect();
        let source = lanai_node::store::Source::Peer(device);
        app.store().ingest(batch, &source, NOW).unwrap();
        app.store().open_seals(&author, NOW).unwrap();
        app.catch_up().unwrap();
        assert_eq!(app.me().unwrap(), bob.store.own_member().unwrap().unwrap());
        let home = app.home().root().to_str().unwrap().to_owned();
        let logs = app.store().stats().unwrap().logs;
        let ran = ann.run_at(&home, &["note", "Back", "-m", "again"]);
        assert!(!ran.err.contains("copy"), "{}", ran.err);
        ran.ok();
        assert_eq!(app.store().stats().unwrap().logs, logs + 1);
    }

    #[test]
    fn nobody_is_asked_where_nobody_can_answer() {
        let ann = House::founder("Ann");
        let file = ann.beside("ann.id");
        let error = ann.run(&["identity", "export", file.to_str().unwrap()]).failed();
        assert_eq!(error.code, crate::ui::UNATTENDED);
        assert!(error.hint.unwrap().contains("--passphrase-file"));
        assert!(!file.exists());
        let missing = ann.beside("none");
        let mut new = bench(None, false);
        let command = IdentityCommand::Import { path: missing, passphrase_file: None };
        assert_eq!(run(&mut new.context, &command).unwrap_err().code, "io");
        std::fs::write(&file, "nonsense").unwrap();
        let command =
            IdentityCommand::Import { path: file.clone(), passphrase_file: Some(file.clone()) };
        let error = run(&mut new.context, &command).unwrap_err();
        assert!(error.message.contains("not a lanai identity"), "{error:?}");
        assert!(!new.context.home().unwrap().device_key().exists());
    }
}
