//! The variables of the environment that `lanai` looks at, read once at the rim.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

/// Every variable that is looked at, with what it does. `lanai help environment` prints this.
pub const VARIABLES: [(&str, &str); 18] = [
    ("LANAI_HOME", "the home directory, where everything is kept; --home goes before it"),
    ("LANAI_PASSPHRASE_FILE", "a file whose first line is the passphrase of a locked home"),
    ("LANAI_EDITOR", "the editor to write with, before VISUAL and EDITOR"),
    ("VISUAL", "the editor to write with"),
    ("EDITOR", "the editor to write with"),
    ("LANAI_PAGER", "the pager to read with, before PAGER; empty or \"cat\" for none"),
    ("PAGER", "the pager to read with"),
    ("LESS", "options for less; set to FRX where it is not set"),
    ("NO_COLOR", "no colours, if it is set to anything"),
    ("CLICOLOR", "no colours, if it is 0"),
    ("CLICOLOR_FORCE", "colours even into a pipe, if it is set and not 0"),
    ("TERM", "no colours and no pager, if it is dumb"),
    ("COLUMNS", "width of the terminal, where the terminal itself does not say"),
    ("PATH", "where editors are looked for"),
    ("USER", "your name in a community, where you give no other"),
    ("LOGNAME", "the same, where USER is not set"),
    ("LANAI_LOG", "what the node logs, as in lanai_node=debug"),
    ("LESSCHARSET", "set to utf-8 for less where it is not set"),
];

/// The values of [`VARIABLES`]. Tests make their own.
#[derive(Debug, Clone, Default)]
pub struct Env(BTreeMap<&'static str, OsString>);

impl Env {
    /// Those of this process.
    #[must_use]
    pub fn of_process() -> Self {
        let read = |(name, _)| std::env::var_os(name).map(|value| (name, value));
        Self(VARIABLES.into_iter().filter_map(read).collect())
    }

    /// With a variable set.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.0.insert(name, value.into());
        self
    }

    /// The value as it is, if the variable is set.
    #[must_use]
    pub fn get_os(&self, name: &str) -> Option<&OsStr> {
        self.0.get(name).map(OsString::as_os_str)
    }

    /// The value as text, if the variable is set; what is not Unicode is shown as such.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<String> {
        self.0.get(name).map(|value| value.to_string_lossy().into_owned())
    }

    /// The value as text, if the variable is set and holds more than spaces.
    #[must_use]
    pub fn get_filled(&self, name: &str) -> Option<String> {
        self.get(name).filter(|value| !value.trim().is_empty())
    }
}
