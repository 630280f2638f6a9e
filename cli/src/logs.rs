//! What the node says to those who mend it.
//!
//! Log lines quote addresses, names and errors that peers had a part in, and logs are read on
//! terminals. So every line is cleaned on its way out. `LANAI_LOG` chooses what is logged, in the
//! syntax of `tracing_subscriber::EnvFilter`.

use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

use lanai_crdt::text::clean_block;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::env::Env;
use crate::error::CliError;
use crate::ui::Verbosity;

/// Where log lines go.
#[derive(Debug, Clone, Copy)]
pub enum LogTo<'a> {
    /// Standard error, for a node in the foreground and for commands.
    Stderr,
    /// The end of a file, for a node in the background.
    File(&'a Path),
}

/// Starts logging, for the rest of the process. A second call changes nothing.
///
/// # Errors
///
/// When the file cannot be opened.
pub fn start(to: LogTo<'_>, verbosity: Verbosity, env: &Env) -> Result<(), CliError> {
    let default = match (to, verbosity) {
        (_, Verbosity::Verbose) => "info,lanai_node=debug,lanai_cli=debug",
        (LogTo::File(_), _) => "warn,lanai_node=info,lanai_cli=info",
        (LogTo::Stderr, Verbosity::Normal) => "error",
        (LogTo::Stderr, Verbosity::Quiet) => "off",
    };
    let chosen = env.get_filled("LANAI_LOG").unwrap_or_else(|| default.to_owned());
    let filter = EnvFilter::try_new(&chosen).unwrap_or_else(|_| EnvFilter::new(default));
    let target: Box<dyn Write + Send> = match to {
        LogTo::Stderr => Box::new(io::stderr()),
        LogTo::File(path) => Box::new(
            open(path).map_err(|e| CliError::io(format!("open the log {}", path.display()), &e))?,
        ),
    };
    // A subscriber that exists already serves as well.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(Clean::new(target))
        .try_init();
    Ok(())
}

fn open(path: &Path) -> io::Result<std::fs::File> {
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

/// Cleans each log record and writes it in one piece. What cannot be written is lost and nothing said: where it would be
/// said is mostly the same full disk, and to fail to say so ends the process.
#[derive(Clone)]
struct Clean(Arc<Mutex<Box<dyn Write + Send>>>);

impl Clean {
    fn new(target: Box<dyn Write + Send>) -> Self {
        Self(Arc::new(Mutex::new(target)))
    }
}

impl Write for Clean {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        let Ok(mut target) = self.0.lock() else { return Ok(bytes.len()) };
        let _lost = target.write_all(clean_block(&text).as_bytes());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if let Ok(mut target) = self.0.lock() {
            let _lost = target.flush();
        }
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Clean {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::testing::Kept;

    #[test]
    fn a_log_on_a_full_disk_is_no_error() {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
        // Only Linux has it.
        let Ok(mut full) = full else { return };
        assert!(full.write_all(b"x").is_err());
        let mut log = Clean::new(Box::new(full));
        assert_eq!(log.write(b"x\n").unwrap(), 2);
        log.flush().unwrap();
    }

    #[test]
    fn records_are_cleaned() {
        let kept = Kept::default();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .without_time()
            .with_writer(Clean::new(Box::new(kept.clone())))
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(name = "a\u{202e}\u{9b}b", "joined \u{1b}[2J");
        });
        let text = kept.text();
        assert!(text.contains("joined"), "{text:?}");
        let hazard = |c: char| c != '\n' && lanai_crdt::text::is_hazard(c);
        assert!(!text.chars().any(hazard), "{text:?}");
    }
}
