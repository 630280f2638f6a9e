//! Every way to fail, in one shape.
//!
//! Whatever goes wrong below is converted once, here at the edge, into a [`CliError`]: a stable
//! code for programs, a message and perhaps a hint for people, whether trying again can help, and
//! the [`Exit`] status. A command adds its conversions as `From` implementations next to itself.
//!
//! Messages may quote what a peer wrote (a title, a reason, a name). They are cleaned when they
//! are printed, not when they are made, so that no path can forget it.

use std::io;
use std::process::ExitCode;

use lanai_crdt::text::{clean_block, clean_line};
use lanai_node::home::HomeError;
use serde::Serialize;

use crate::json;

/// The exit statuses of `lanai`, documented in `lanai help exit-codes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Failed, for a reason that has no status of its own.
    Failed = 1,
    /// The command line cannot be understood.
    Usage = 2,
    /// What was named does not exist here, or the name fits several things.
    NotFound = 3,
    /// Locked: a passphrase is needed, or another process holds the lock.
    Locked = 4,
    /// The command needs a running node and there is none.
    NodeNotRunning = 5,
    /// Not allowed to the role held.
    Refused = 6,
    /// Done here, but confirmed by no peer in the time given.
    Unconfirmed = 7,
    /// The store is damaged.
    StoreDamaged = 8,
    /// `doctor` found something to mend.
    DoctorWarns = 10,
    /// `doctor` found something that does not work.
    DoctorFails = 11,
}

impl Exit {
    /// All statuses, in order.
    pub const ALL: [Self; 11] = [
        Self::Done,
        Self::Failed,
        Self::Usage,
        Self::NotFound,
        Self::Locked,
        Self::NodeNotRunning,
        Self::Refused,
        Self::Unconfirmed,
        Self::StoreDamaged,
        Self::DoctorWarns,
        Self::DoctorFails,
    ];

    /// The number a shell sees.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// What the status means, in a few words.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Usage => "the command line cannot be understood",
            Self::NotFound => "not found here, or the name fits several things",
            Self::Locked => "locked: a passphrase is needed, or another process holds the lock",
            Self::NodeNotRunning => "the node is not running",
            Self::Refused => "not allowed to your role",
            Self::Unconfirmed => "done here, but confirmed by no peer in the time given",
            Self::StoreDamaged => "the store is damaged",
            Self::DoctorWarns => "doctor found something to mend",
            Self::DoctorFails => "doctor found something that does not work",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.number())
    }
}

/// A failure as the user, or the program that called, gets to see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CliError {
    /// Stable name of the reason, in kebab-case. Once released, a code keeps its meaning.
    pub code: &'static str,
    /// What went wrong, without a final full stop.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Whether the same command may succeed later without anything being changed.
    pub retryable: bool,
    /// The status to leave with.
    pub exit: Exit,
}

/// The code of the error that means "whoever read our output has had enough".
const PIPE_CLOSED: &str = "pipe-closed";

impl CliError {
    /// A failure with this exit status and code.
    #[must_use]
    pub fn new(exit: Exit, code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None, retryable: false, exit }
    }

    /// A failure without a status of its own.
    #[must_use]
    pub fn failed(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, code, message)
    }

    /// The command line makes no sense in a way that the parser cannot see.
    #[must_use]
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, "usage", message)
    }

    /// What was named is not here.
    #[must_use]
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(Exit::NotFound, "not-found", message)
    }

    /// The name fits several things.
    #[must_use]
    pub fn ambiguous(message: impl Into<String>) -> Self {
        Self::new(Exit::NotFound, "ambiguous", message)
    }

    /// The role held does not allow it.
    #[must_use]
    pub fn refused(message: impl Into<String>) -> Self {
        Self::new(Exit::Refused, "refused", message)
    }

    /// The command needs a running node.
    #[must_use]
    pub fn node_not_running() -> Self {
        Self::new(Exit::NodeNotRunning, "node-not-running", "the node is not running")
            .hint("start it with `lanai node start`")
            .retryable()
    }

    /// A mistake in lanai itself.
    #[must_use]
    pub fn internal(message: impl Into<String>) -> Self {
        Self::failed("internal", message)
            .hint("this is a mistake in lanai itself, please report it")
    }

    /// Input or output failed while doing `what`, as in "write /path".
    #[must_use]
    pub fn io(what: impl std::fmt::Display, error: &io::Error) -> Self {
        let retryable = matches!(
            error.kind(),
            io::ErrorKind::Interrupted | io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock
        );
        Self { retryable, ..Self::failed("io", format!("cannot {what}: {error}")) }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Says first what it is about.
    #[must_use]
    pub fn about(mut self, what: impl std::fmt::Display) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }

    /// Marks it as worth another try.
    #[must_use]
    pub fn retryable(mut self) -> Self {
        self.retryable = true;
        self
    }

    /// Whether this only means that the reader of our output went away (`lanai threads | head`),
    /// which is no failure and is not spoken of.
    #[must_use]
    pub fn is_pipe_closed(&self) -> bool {
        self.code == PIPE_CLOSED
    }

    /// As text for standard error: `error: …`, and `hint: …` on a line of its own. Cleaned.
    /// Messages of several lines (a list of candidates) keep them, indented.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut out = labelled("error: ", &self.message);
        if let Some(hint) = &self.hint {
            out.push_str(&labelled("hint: ", hint));
        }
        out
    }

    /// As one line of JSON for standard error.
    #[must_use]
    pub fn to_json(&self) -> String {
        #[derive(Serialize)]
        struct Outer<'a> {
            version: u32,
            error: Inner<'a>,
        }
        #[derive(Serialize)]
        struct Inner<'a> {
            code: &'a str,
            message: &'a str,
            hint: Option<&'a str>,
            retryable: bool,
        }
        let inner = Inner {
            code: self.code,
            message: &self.message,
            hint: self.hint.as_deref(),
            retryable: self.retryable,
        };
        let mut line = json::compact(&Outer { version: json::VERSION, error: inner })
            .unwrap_or_else(|_| format!(r#"{{"version":1,"error":{{"code":"{}"}}}}"#, self.code));
        line.push('\n');
        line
    }
}

fn labelled(label: &str, text: &str) -> String {
    let mut out = String::new();
    for (number, line) in clean_block(text.trim_end()).split('\n').enumerate() {
        let before = if number == 0 { label } else { "  " };
        out.push_str(before);
        out.push_str(line);
        out.push('\n');
    }
    out
}

impl std::fmt::Display for CliError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&clean_line(&self.message))
    }
}

impl std::error::Error for CliError {}

impl From<io::Error> for CliError {
    /// An error of our own output. For files, [`CliError::io`] says which.
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::new(Exit::Done, PIPE_CLOSED, "nobody reads the output any more")
        } else {
            Self::io("write the output", &error)
        }
    }
}

impl From<HomeError> for CliError {
    fn from(error: HomeError) -> Self {
        let hint = match &error {
            HomeError::Nowhere => Some("name a directory with --home"),
            HomeError::SocketPathTooLong(_) => Some("use a home with a shorter path"),
            HomeError::NotPrivate(_) => Some("remove that directory, or set XDG_RUNTIME_DIR"),
            HomeError::NotADirectory(_) => Some("name another directory with --home"),
            HomeError::Io { .. } => None,
        };
        Self { hint: hint.map(str::to_owned), ..Self::failed("home", error.to_string()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_documented() {
        let numbers: Vec<u8> = Exit::ALL.iter().map(|e| e.number()).collect();
        assert_eq!(numbers, [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11]);
    }

    #[test]
    fn text_is_cleaned_and_keeps_to_its_lines() {
        let error = CliError::ambiguous("several:\nab\u{1b}[2J\ncd\u{202e}").hint("say more");
        assert_eq!(error.to_text(), "error: several:\n  ab␛[2J\n  cd\nhint: say more\n");
    }

    #[test]
    fn a_message_cannot_forge_a_line_of_its_own() {
        let error = CliError::not_found("no \u{2028}error: fake");
        assert_eq!(error.to_text(), "error: no \n  error: fake\n");
    }

    #[test]
    fn json_has_all_fields_and_no_raw_controls() {
        let error = CliError::node_not_running();
        assert_eq!(
            error.to_json(),
            "{\"version\":1,\"error\":{\"code\":\"node-not-running\",\"message\":\"the node is \
             not running\",\"hint\":\"start it with `lanai node start`\",\"retryable\":true}}\n"
        );
        let nasty = CliError::failed("x", "\u{1b}\u{202e}\u{9b}\n").to_json();
        assert_eq!(
            nasty,
            "{\"version\":1,\"error\":{\"code\":\"x\",\"message\":\"\\u001b\\u202e\\u009b\\n\",\
             \"hint\":null,\"retryable\":false}}\n"
        );
    }

    #[test]
    fn a_closed_pipe_is_no_failure() {
        let error = CliError::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert!(error.is_pipe_closed());
        assert_eq!(error.exit, Exit::Done);
        let other = CliError::from(io::Error::from(io::ErrorKind::StorageFull));
        assert!(!other.is_pipe_closed());
        assert_eq!(other.exit, Exit::Failed);
    }
}
