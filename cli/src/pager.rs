//! Showing long output one screen at a time.
//!
//! `LANAI_PAGER`, else `PAGER`, else `less -FRX` (which leaves at once what fits one screen, and
//! leaves it on the screen). Only ever between `lanai` and a terminal. A pager that cannot be
//! started is done without.

use std::io::{self, Write};
use std::process::{Child, ChildStdin, Command, Stdio};

use crate::env::Env;
use crate::interrupt::Hold;

/// What is run when nothing else is asked for.
const DEFAULT: &str = "less -FRX";

/// The pager's command line, or nothing where the user wants none: an empty variable, `cat`, or
/// a terminal that is `dumb`.
#[must_use]
pub fn command_line(env: &Env) -> Option<String> {
    if env.get("TERM").is_some_and(|term| term == "dumb") {
        return None;
    }
    let chosen = env.get("LANAI_PAGER").or_else(|| env.get("PAGER"));
    let line = chosen.unwrap_or_else(|| DEFAULT.to_owned()).trim().to_owned();
    (!line.is_empty() && line != "cat").then_some(line)
}

/// A running pager. Write to it, then [`finish`](Self::finish).
#[derive(Debug)]
pub struct Pager {
    child: Child,
    input: Option<ChildStdin>,
    _hold: Hold,
}

impl Pager {
    /// Starts the command line, through the shell where it needs one. `env` says which of the
    /// settings of `less` the user made; the others are given.
    ///
    /// # Errors
    ///
    /// Those of starting a process.
    pub fn start(line: &str, env: &Env) -> io::Result<Self> {
        Self::start_to(line, env, Stdio::inherit())
    }

    fn start_to(line: &str, env: &Env, output: Stdio) -> io::Result<Self> {
        let mut command = shell_or_direct(line);
        for (name, value) in [("LESS", "FRX"), ("LESSCHARSET", "utf-8")] {
            if env.get(name).is_none() {
                command.env(name, value);
            }
        }
        let hold = Hold::new();
        let mut child = command.stdin(Stdio::piped()).stdout(output).spawn()?;
        let input = child.stdin.take();
        Ok(Self { child, input, _hold: hold })
    }

    /// Says that nothing more comes, and waits until the reader has had enough.
    ///
    /// # Errors
    ///
    /// Those of waiting for a process.
    pub fn finish(&mut self) -> io::Result<()> {
        self.input = None;
        self.child.wait().map(drop)
    }
}

impl Write for Pager {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.input {
            Some(input) => input.write(bytes),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.input.as_mut().map_or(Ok(()), Write::flush)
    }
}

impl Drop for Pager {
    fn drop(&mut self) {
        // Whatever happened, the terminal must not be left to two programs.
        let _ = self.finish();
    }
}

/// A command line from a variable: words alone are run directly, so that a missing program is
/// noticed when it is started; anything that a shell would read otherwise is left to the shell.
pub(crate) fn shell_or_direct(line: &str) -> Command {
    let simple = |c: char| c.is_alphanumeric() || " ./_-+=:,@%".contains(c);
    let mut words = line.split_whitespace();
    match words.next() {
        Some(program) if line.chars().all(simple) && !program.contains('=') => {
            let mut command = Command::new(program);
            command.args(words);
            command
        }
        _ => {
            let mut command = Command::new("sh");
            command.arg("-c").arg(line);
            command
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn the_pager_is_the_one_asked_for() {
        let env = Env::default();
        assert_eq!(command_line(&env).unwrap(), "less -FRX");
        let env = env.with("PAGER", "more");
        assert_eq!(command_line(&env).unwrap(), "more");
        let env = env.with("LANAI_PAGER", "most -s");
        assert_eq!(command_line(&env).unwrap(), "most -s");
        for none in ["", " ", "cat"] {
            assert_eq!(command_line(&env.clone().with("LANAI_PAGER", none)), None);
        }
        assert_eq!(command_line(&Env::default().with("TERM", "dumb")), None);
    }

    fn through(line: &str, text: &str) -> String {
        let (mut reader, writer) = io::pipe().unwrap();
        let mut pager = Pager::start_to(line, &Env::default(), writer.into()).unwrap();
        pager.write_all(text.as_bytes()).unwrap();
        pager.finish().unwrap();
        drop(pager);
        let mut out = String::new();
        reader.read_to_string(&mut out).unwrap();
        out
    }

    #[test]
    fn text_goes_through_and_the_pager_is_waited_for() {
        assert_eq!(through("cat -", "one\ntwo\n"), "one\ntwo\n");
        assert_eq!(through("sed 's/o/0/' | tr a-z A-Z", "one\ntwo\n"), "0NE\nTW0\n");
        assert_eq!(through("printenv LESS", ""), "FRX\n");
    }

    #[test]
    fn a_reader_who_leaves_is_a_closed_pipe() {
        let (_reader, writer) = io::pipe().unwrap();
        let mut pager = Pager::start_to("true", &Env::default(), writer.into()).unwrap();
        let chunk = [b'x'; 65_536];
        let error = (0..100).find_map(|_| pager.write_all(&chunk).err()).unwrap();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        pager.finish().unwrap();
    }

    #[test]
    fn a_missing_pager_is_an_error_at_the_start() {
        assert!(Pager::start("lanai-no-such-pager -x", &Env::default()).is_err());
    }
}
