//! `lanai init`: founds a community.

use lanai_crdt::entry::DeviceSecret;
use lanai_crdt::id::base32;
use lanai_crdt::limits::MAX_NAME_BYTES;
use lanai_crdt::payload::{History, InvitePolicy, Profile};
use lanai_crdt::text::clean_line;
use lanai_crdt::ticket::fit_name;
use lanai_node::home::Home;
use lanai_node::identity::Identity;
use lanai_node::identity::phrase::Phrase;
use lanai_node::identity::private::PrivateFileError;
use lanai_node::random::{OsRandom, random_bytes};
use lanai_node::store::{Author, Founding, Place, Store, StoreError};
use serde::Serialize;

use super::{Context, join, lock, phrase, status};
use crate::app::App;
use crate::args::{HistoryArg, InitArgs};
use crate::error::{CliError, Exit};
use crate::layout::{Indent, Style, Text};

/// The quorum of stewards of a new community.
const QUORUM: (u8, u8) = (2, 3);
/// The name of somebody who gave none, on a machine that knows none.
const NOBODY: &str = "member";

impl From<PrivateFileError> for CliError {
    fn from(error: PrivateFileError) -> CliError {
        let hint = error.hint();
        CliError { hint, ..CliError::failed("file", error.to_string()) }
    }
}

#[derive(Serialize)]
struct InitShape {
    community: status::CommunityShape,
    me: status::MeShape,
    recovery_key: String,
}

pub(super) fn run(context: &mut Context, args: &InitArgs) -> Result<Exit, CliError> {
    let home = context.home()?;
    if has_community(&home)? {
        let app = App::open_quietly(context)?;
        let name = status::community_name(&app)?;
        return Err(CliError::failed(
            "exists",
            format!("this home holds the community \"{name}\""),
        )
        .hint("`lanai up` starts its node; --home names another directory"));
    }
    if let Some(begun) = join::begun(&home)? {
        return Err(begun);
    }
    if args.lock {
        lock::init(context, &home)?;
    }
    let home = context.home()?;
    let phrase = phrase::offer(context, &args.phrase)?;
    let names = (args.name.as_deref(), args.community.as_deref());
    let founded = found(context, &home, names, args.history, phrase.as_ref())?;
    if context.ui.is_json() {
        let community = status::CommunityShape::of(&founded.app)?;
        let me = status::MeShape::of(&founded.app)?;
        let shape = InitShape { community, me, recovery_key: founded.recovery_key };
        context.ui.json("init", &shape)?;
        return Ok(Exit::Done);
    }
    founded.say(context)?;
    context.ui.hint("`lanai up` starts the node and makes a ticket for others");
    Ok(Exit::Done)
}

/// A community that was founded just now.
pub(super) struct Founded {
    pub(super) app: App,
    /// The secret half of the recovery key, in groups. It is kept nowhere.
    pub(super) recovery_key: String,
}

impl Founded {
    /// Says what was founded, and shows the recovery key, which nobody can show again.
    pub(super) fn say(&self, context: &mut Context) -> Result<(), CliError> {
        let name = status::community_name(&self.app)?;
        let me = status::MeShape::of(&self.app)?.name;
        let said = Text::from("the community ")
            .with(Style::Heading, &name)
            .plain(" is founded, and ")
            .with(Style::Name, me)
            .plain(" is its first steward");
        context.ui.say(said);
        if context.ui.out_is_terminal() {
            context
                .ui
                .line("Recovery key, shown this once and kept nowhere. Write it on paper:")?;
            context.ui.indented(self.recovery_key.as_str(), &Indent::spaces(2))
        } else {
            status::fact(context, "recovery-key", self.recovery_key.as_str())
        }
    }
}

/// Whether the home holds a community. A store whose making was interrupted is none yet: founding
/// or joining takes it over.
pub(super) fn has_community(home: &Home) -> Result<bool, CliError> {
    if !home.has_store() {
        return Ok(false);
    }
    match Store::open(&Place::of_home(home)) {
        Ok(_) => Ok(true),
        Err(StoreError::Missing(_) | StoreError::Unfinished(_)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The name somebody gave, or the one that the machine knows.
pub(super) fn name_of_user(context: &Context, given: Option<&str>) -> Result<String, CliError> {
    if let Some(name) = given {
        return checked("name", name);
    }
    let env = context.ui.env();
    let known = env.get_filled("USER").or_else(|| env.get_filled("LOGNAME")).unwrap_or_default();
    Ok(Some(fit_name(&known)).filter(|name| !name.is_empty()).unwrap_or_else(|| NOBODY.to_owned()))
}

fn checked(what: &str, text: &str) -> Result<String, CliError> {
    let name = clean_line(text.trim()).trim().to_owned();
    if name.is_empty() {
        return Err(CliError::usage(format!("the {what} is empty")));
    }
    if name.len() > MAX_NAME_BYTES {
        let long = name.len();
        return Err(CliError::usage(format!(
            "the {what} has {long} bytes, {MAX_NAME_BYTES} are allowed"
        )));
    }
    Ok(name)
}

/// The keys of this device: those of the home, or new ones.
pub(super) fn identity_of(home: &Home) -> Result<Identity, CliError> {
    home.create()?;
    if home.device_key().exists() {
        return Ok(Identity::of_home(home)?);
    }
    let identity = Identity::generate(&mut OsRandom);
    identity.create(&home.device_key())?;
    Ok(identity)
}

/// Founds a community in a home that has none. Interrupted, it can be called again.
pub(super) fn found(
    context: &Context,
    home: &Home,
    (name, community): (Option<&str>, Option<&str>),
    history: HistoryArg,
    phrase: Option<&Phrase>,
) -> Result<Founded, CliError> {
    let name = name_of_user(context, name)?;
    let community = match community {
        Some(community) => checked("name of the community", community)?,
        None => fit_name(&format!("{name}'s community")),
    };
    let Identity { device, sealing } = identity_of(home)?;
    let author = Author { device, sealing };
    let recovery = DeviceSecret::from_bytes(&random_bytes());
    let founding = Founding {
        name: community,
        charter: None,
        profile: Profile { name, ..Profile::default() },
        recovery_key: *recovery.device().as_bytes(),
        invite: InvitePolicy::Members,
        history: match history {
            HistoryArg::All => History::All,
            HistoryArg::Admission => History::FromAdmission,
        },
        quorum: QUORUM,
        paper: phrase.map(Phrase::identity),
    };
    Store::create(&Place::of_home(home), &author, &founding, (context.clock)(), &mut OsRandom)?;
    let app = App::open_quietly(context)?;
    app.catch_up()?;
    Ok(Founded { app, recovery_key: in_groups(&base32(&recovery.to_bytes())) })
}

/// Groups of four, to be copied by hand.
fn in_groups(text: &str) -> String {
    let mut out = String::new();
    for (at, c) in text.chars().enumerate() {
        if at > 0 && at % 4 == 0 {
            out.push('-');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::testing::bench;
    use super::*;
    use crate::args::PhraseArgs;

    fn args(name: Option<&str>, community: Option<&str>) -> InitArgs {
        let phrase = PhraseArgs::default();
        let (name, community) = (name.map(Into::into), community.map(Into::into));
        InitArgs { name, community, history: HistoryArg::All, lock: false, phrase }
    }

    #[test]
    fn a_community_is_founded_once() {
        let mut pipe = bench(None, false);
        run(&mut pipe.context, &args(Some(" Ann\u{1b} Lee "), Some("The Porch"))).unwrap();
        let out = pipe.out.text();
        let key = out.strip_prefix("recovery-key\t").unwrap().trim();
        assert_eq!(key.split('-').count(), 13, "{key}");
        assert!(pipe.err.text().contains("The Porch"), "{}", pipe.err.text());
        assert!(!pipe.err.text().contains('\u{1b}'));

        let app = App::open(&mut pipe.context).unwrap();
        let people = app.store().people().unwrap();
        assert_eq!(people.len(), 1);
        assert_eq!(people[0].profile.as_ref().unwrap().name, "Ann␛ Lee");
        let home = app.home().clone();
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &std::fs::metadata(home.device_key()).unwrap().permissions(),
        );
        assert_eq!(mode & 0o777, 0o600);

        let error = run(&mut pipe.context, &args(None, None)).unwrap_err();
        assert_eq!(error.code, "exists");
        assert!(error.message.contains("The Porch"));
    }

    #[test]
    fn the_community_is_named_after_who_founds_it() {
        let mut json = bench(None, true);
        run(&mut json.context, &args(Some("Ann"), None)).unwrap();
        let value: serde_json::Value = serde_json::from_str(&json.out.text()).unwrap();
        assert_eq!(value["kind"], "init");
        assert_eq!(value["community"]["name"], "Ann's community");
        assert_eq!(value["me"]["name"], "Ann");
        assert_eq!(value["me"]["role"], "steward");
        assert_eq!(value["recovery_key"].as_str().unwrap().len(), 52 + 12);
    }

    #[test]
    fn names_are_found_and_checked() {
        let bench = bench(None, false);
        assert_eq!(name_of_user(&bench.context, None).unwrap(), "member");
        assert_eq!(name_of_user(&bench.context, Some(" ")).unwrap_err().exit, Exit::Usage);
        let long = "x".repeat(MAX_NAME_BYTES + 1);
        assert_eq!(name_of_user(&bench.context, Some(&long)).unwrap_err().exit, Exit::Usage);
    }

    #[test]
    fn an_interrupted_founding_is_taken_up_again() {
        let mut pipe = bench(None, false);
        let home = pipe.context.home().unwrap();
        let keys = identity_of(&home).unwrap();
        run(&mut pipe.context, &args(Some("Ann"), None)).unwrap();
        assert_eq!(Identity::load(&home.device_key()).unwrap().device_id(), keys.device_id());
    }
}
