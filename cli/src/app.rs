//! What every command on a community works with: the home, the store in it, who we are, and the
//! node that may be running beside us.
//!
//! Reading and writing never need the node. After something was written, [`wake`] tells a running
//! node, so that it goes out at once; when none runs, peers get it at the next sync.

mod people;

use std::time::Duration;

use lanai_node::control::{Client, Request};
use lanai_node::home::Home;
use lanai_node::identity::{Identity, IdentityError};

use crate::commands::Context;
use crate::error::{CliError, Exit};

pub use people::{People, Person};

/// How long a command waits for a running node to notice what was written. The post is safe
/// already; a node that is busy finds it a little later by itself.
const WAKE_PATIENCE: Duration = Duration::from_millis(300);

/// The home, which must hold a store.
///
/// # Errors
///
/// Code `no-community` where nothing was set up yet, with what to do about it.
pub fn open_home(context: &Context) -> Result<Home, CliError> {
    let home = context.home()?;
    if home.has_store() {
        return Ok(home);
    }
    let root = home.root().display();
    let error = if home.join_state().exists() {
        CliError::new(
            Exit::NotFound,
            "join-unfinished",
            format!("joining is not finished in {root}"),
        )
        .hint("`lanai join` goes on with it")
    } else {
        CliError::new(
            Exit::NotFound,
            "no-community",
            format!("there is no community in {root} yet"),
        )
        .hint("`lanai up` makes one, `lanai join TICKET` joins one, --home names another directory")
    };
    Err(error)
}

/// The secret keys of this device.
///
/// # Errors
///
/// When the key file is missing, damaged or open to others.
pub fn identity(home: &Home) -> Result<Identity, CliError> {
    Ok(Identity::load(&home.device_key())?)
}

/// Tells a running node that there is something new in the store. Whether one was told.
pub fn wake(home: &Home) -> bool {
    let told = home
        .check_socket()
        .ok()
        .and_then(|socket| Client::connect(&socket).ok()?.ask(&Request::Wake, WAKE_PATIENCE).ok());
    told.is_some()
}

impl From<IdentityError> for CliError {
    fn from(error: IdentityError) -> Self {
        let hint = error.hint();
        Self { hint, ..Self::failed("identity", error.to_string()) }
    }
}
