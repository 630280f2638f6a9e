//! Talking to the person, and to the next program in the pipe.
//!
//! Standard output is data: what was asked for. Standard error is talk: what is being done, what
//! to do next, what went wrong. On a terminal, data is aligned, coloured, wrapped and paged; in a
//! pipe it is plain and whole.
//!
//! Everything printed goes through [`Text`], a [`Table`] or a block, which clean it; only
//! [`Ui::trusted`] does not, and it is for what lanai itself made (a man page, a completion
//! script). JSON makes unseen characters visible as escapes instead. The linter forbids printing
//! past this module.

use std::io::{self, BufRead, BufWriter, IsTerminal, Read, Write};

use clap::ValueEnum;
use serde::Serialize;

use crate::env::Env;
use crate::error::CliError;
use crate::json::{self, Envelope};
use crate::layout::{self, Indent, Style, Table, Text, wrap};
use crate::pager::{self, Pager};
use crate::progress::Progress;

/// Width assumed for a terminal that does not tell.
const DEFAULT_COLUMNS: usize = 80;
/// Text is not laid out wider than this, because the eye loses the line.
const MAX_COLUMNS: usize = 120;

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum ColourChoice {
    /// On a terminal, unless the environment objects.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// How much to say on standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Verbosity {
    /// Warnings and errors.
    Quiet,
    /// What is being done.
    #[default]
    Normal,
    /// More of it.
    Verbose,
}

/// What the command line says about output.
#[derive(Debug, Clone, Copy, Default)]
pub struct UiOptions {
    /// `--json`
    pub json: bool,
    /// `--no-pager`
    pub no_pager: bool,
    /// `--color`
    pub colour: ColourChoice,
    /// `-q` and `-v`
    pub verbosity: Verbosity,
}

/// One of the two outputs.
struct Stream {
    to: Box<dyn Write + Send>,
    terminal: bool,
    coloured: bool,
}

impl Stream {
    fn line(&mut self, text: &Text) -> io::Result<()> {
        let mut line = text.render(self.coloured);
        line.push('\n');
        self.to.write_all(line.as_bytes())
    }
}

/// Where output goes and how it looks.
pub struct Ui {
    out: Stream,
    err: Stream,
    input: Box<dyn BufRead + Send>,
    input_terminal: bool,
    columns: usize,
    options: UiOptions,
    env: Env,
    paging: bool,
}

impl std::fmt::Debug for Ui {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ui").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Ui {
    /// On the standard streams of this process.
    #[must_use]
    pub fn of_process(options: UiOptions, env: Env) -> Self {
        let out_terminal = io::stdout().is_terminal();
        let err_terminal = io::stderr().is_terminal();
        let columns = columns(&env);
        Self {
            out: Stream {
                to: Box::new(BufWriter::new(io::stdout())),
                terminal: out_terminal,
                coloured: colours(options.colour, out_terminal, &env),
            },
            err: Stream {
                to: Box::new(io::stderr()),
                terminal: err_terminal,
                coloured: colours(options.colour, err_terminal, &env),
            },
            input: Box::new(io::BufReader::new(io::stdin())),
            input_terminal: io::stdin().is_terminal(),
            columns,
            options,
            env,
            paging: false,
        }
    }

    /// Whether `--json` was given.
    #[must_use]
    pub fn is_json(&self) -> bool {
        self.options.json
    }

    /// Whether a person reads standard output.
    #[must_use]
    pub fn out_is_terminal(&self) -> bool {
        self.out.terminal
    }

    /// Whether standard output may hold colours.
    #[must_use]
    pub fn out_is_coloured(&self) -> bool {
        self.out.coloured
    }

    /// Whether there is somebody to answer a question.
    #[must_use]
    pub fn can_ask(&self) -> bool {
        self.input_terminal && self.err.terminal
    }

    /// Whether standard input is a terminal, and not a pipe or a file with text for us.
    #[must_use]
    pub fn input_is_terminal(&self) -> bool {
        self.input_terminal
    }

    /// How much is said.
    #[must_use]
    pub fn verbosity(&self) -> Verbosity {
        self.options.verbosity
    }

    /// The environment this was made with.
    #[must_use]
    pub fn env(&self) -> &Env {
        &self.env
    }

    /// Columns to lay text out in, or nothing where text must stay whole.
    #[must_use]
    pub fn columns(&self) -> Option<usize> {
        self.out.terminal.then_some(self.columns)
    }

    /// From here on, standard output goes through the pager, if a person reads it, wants a pager
    /// and did not ask for JSON. [`finish`](Self::finish) waits for it.
    pub fn start_pager(&mut self) {
        if !self.out.terminal || self.options.no_pager || self.options.json || self.paging {
            return;
        }
        let Some(line) = pager::command_line(&self.env) else { return };
        if self.flush().is_err() {
            return;
        }
        match Pager::start(&line, &self.env) {
            Ok(pager) => {
                self.out.to = Box::new(BufWriter::new(pager));
                self.paging = true;
            }
            Err(error) => self.detail(format!("cannot start the pager `{line}`: {error}")),
        }
    }

    /// Writes out what is buffered. To be called before anything that waits.
    ///
    /// # Errors
    ///
    /// A closed pipe, which [`CliError::is_pipe_closed`] tells from others.
    pub fn flush(&mut self) -> Result<(), CliError> {
        Ok(self.out.to.flush()?)
    }

    /// Waits for the pager, if there is one, so that hints and questions do not go into its screen.
    /// Output can go on afterwards, without it.
    ///
    /// # Errors
    ///
    /// As for [`flush`](Self::flush).
    pub fn end_pager(&mut self) -> Result<(), CliError> {
        let flushed = self.flush();
        if !self.paging {
            return flushed;
        }
        // Dropping the pager waits for it.
        self.out.to = Box::new(BufWriter::new(io::stdout()));
        self.paging = false;
        // Who leaves the pager early has seen enough of this, and not of what follows.
        flushed.or_else(|error| if error.is_pipe_closed() { Ok(()) } else { Err(error) })
    }

    /// The end of all output: writes out the rest and waits for the pager.
    ///
    /// # Errors
    ///
    /// As for [`flush`](Self::flush).
    pub fn finish(&mut self) -> Result<(), CliError> {
        let flushed = self.flush();
        // Dropping the pager waits for it.
        self.out.to = Box::new(io::sink());
        self.paging = false;
        flushed
    }

    // Standard output.

    /// One line of data, cleaned; wrapped on a terminal.
    ///
    /// # Errors
    ///
    /// As for [`flush`](Self::flush); so for the other functions that write data.
    pub fn line(&mut self, text: impl Into<Text>) -> Result<(), CliError> {
        self.indented(text, &Indent::default())
    }

    /// One line of data with something before it and before the lines it is wrapped to.
    ///
    /// # Errors
    ///
    /// As for [`flush`](Self::flush).
    pub fn indented(&mut self, text: impl Into<Text>, indent: &Indent) -> Result<(), CliError> {
        for line in wrap(&text.into(), self.columns(), indent) {
            self.out.line(&line)?;
        }
        Ok(())
    }

    /// An empty line.
    ///
    /// # Errors
    ///
    /// As for [`flush`](Self::flush).
    pub fn blank(&mut self) -> Result<(), CliError> {
        Ok(self.out.line(&Text::new())?)
    }

    /// A text of several lines, such as a post: cleaned, and wrapped on a terminal.
    ///
    /// # Errors
    ///
    /// As for [`flush`](Self::flush).
    pub fn block(&mut self, text: &str, indent: &Indent) -> Result<(), CliError> {
        for line in layout::block(text, self.columns(), indent) {
            self.out.line(&line)?;
        }
        Ok(())
    }

    /// A table: aligned under headers on a terminal, tab-separated and whole in a pipe. Nothing
    /// for a table without rows.
    ///
    /// # Errors
    ///
    /// As for [`flush`](Self::flush).
    pub fn table(&mut self, table: &Table) -> Result<(), CliError> {
        if table.is_empty() {
            return Ok(());
        }
        if self.out.terminal {
            for line in table.aligned(self.columns) {
                self.out.line(&line)?;
            }
        } else {
            for line in table.tabbed() {
                writeln!(self.out.to, "{line}")?;
            }
        }
        Ok(())
    }

    /// The answer to `--json`: an object of this kind with the fields of `data`; indented on a
    /// terminal, else on one line.
    ///
    /// # Errors
    ///
    /// As for [`flush`](Self::flush), and an internal error where `data` is no object.
    pub fn json<T: Serialize>(&mut self, kind: &str, data: &T) -> Result<(), CliError> {
        let answer = Envelope::new(kind, data);
        let text = if self.out.terminal { json::pretty(&answer) } else { json::compact(&answer) };
        self.json_text(text)
    }

    /// One of many answers that come over time, each an object on a line of its own; written out
    /// at once.
    ///
    /// # Errors
    ///
    /// As for [`json`](Self::json).
    pub fn json_line<T: Serialize>(&mut self, kind: &str, data: &T) -> Result<(), CliError> {
        self.json_text(json::compact(&Envelope::new(kind, data)))?;
        self.flush()
    }

    fn json_text(&mut self, text: serde_json::Result<String>) -> Result<(), CliError> {
        let text = text.map_err(|e| CliError::internal(format!("cannot write JSON: {e}")))?;
        Ok(writeln!(self.out.to, "{text}")?)
    }

    /// One answer on standard error, of a command whose standard output carries something else.
    ///
    /// # Errors
    ///
    /// As for [`json`](Self::json).
    pub fn json_aside<T: Serialize>(&mut self, kind: &str, data: &T) -> Result<(), CliError> {
        let text = json::compact(&Envelope::new(kind, data));
        let text = text.map_err(|e| CliError::internal(format!("cannot write JSON: {e}")))?;
        Ok(writeln!(self.err.to, "{text}")?)
    }

    /// Text that lanai itself made and that needs its bytes kept: a man page, a completion
    /// script, a picture of a QR code. Never anything a peer had a part in.
    ///
    /// # Errors
    ///
    /// As for [`flush`](Self::flush).
    pub fn trusted(&mut self, text: &str) -> Result<(), CliError> {
        Ok(self.out.to.write_all(text.as_bytes())?)
    }

    // Standard error. That it cannot be written to is no reason to fail.

    /// Says what was done, unless `-q`.
    pub fn say(&mut self, text: impl Into<Text>) {
        if self.options.verbosity >= Verbosity::Normal {
            self.talk(text.into());
        }
    }

    /// Says more, with `-v`.
    pub fn detail(&mut self, text: impl Into<Text>) {
        if self.options.verbosity >= Verbosity::Verbose {
            self.talk(Text::new().then(text.into()));
        }
    }

    /// Says what to do next, unless `-q`.
    pub fn hint(&mut self, text: impl Into<Text>) {
        if self.options.verbosity >= Verbosity::Normal {
            self.talk(Text::styled(Style::Dim, "hint: ").then(text.into()));
        }
    }

    /// Says what may be wrong, always.
    pub fn warn(&mut self, text: impl Into<Text>) {
        self.talk(Text::styled(Style::Warn, "warning: ").then(text.into()));
    }

    /// Says why it failed: as text, or as JSON with `--json`. Says nothing of a closed pipe.
    pub fn error(&mut self, error: &CliError) {
        if error.is_pipe_closed() {
            return;
        }
        let _ = if self.options.json {
            self.err.to.write_all(error.to_json().as_bytes())
        } else {
            self.error_text(&error.to_text())
        };
        let _ = self.err.to.flush();
    }

    /// The labels get their colours here; the text is clean already.
    fn error_text(&mut self, text: &str) -> io::Result<()> {
        for line in text.lines() {
            let labels = [("error: ", Style::Bad), ("hint: ", Style::Dim)];
            let label = labels.into_iter().find_map(|(label, style)| {
                Some(Text::styled(style, label).plain(line.strip_prefix(label)?))
            });
            self.err.line(&label.unwrap_or_else(|| line.into()))?;
        }
        Ok(())
    }

    fn talk(&mut self, text: Text) {
        if !self.paging {
            // What was printed before is read before. An error comes again at the next flush.
            let _ = self.out.to.flush();
        }
        let columns = self.err.terminal.then_some(self.columns);
        for line in wrap(&text, columns, &Indent::default()) {
            let _ = self.err.line(&line);
        }
        let _ = self.err.to.flush();
    }

    /// Shows how a long work comes along, on standard error. `total` where it is known; `unit` in
    /// the plural, as in "posts".
    #[must_use]
    pub fn progress(&self, label: &str, total: Option<u64>, unit: &'static str) -> Progress {
        let quiet = self.options.verbosity == Verbosity::Quiet;
        Progress::new(label, total, unit, self.err.terminal, quiet)
    }

    // Standard input.

    /// All of standard input, up to `limit` bytes of UTF-8.
    ///
    /// # Errors
    ///
    /// When there is more, or it is not UTF-8, or it cannot be read.
    pub fn read_input(&mut self, limit: usize) -> Result<String, CliError> {
        let mut bytes = Vec::new();
        let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        self.input
            .by_ref()
            .take(most)
            .read_to_end(&mut bytes)
            .map_err(|e| CliError::io("read standard input", &e))?;
        if bytes.len() > limit {
            return Err(CliError::failed(
                "input-too-long",
                format!("standard input holds more than {limit} bytes"),
            ));
        }
        String::from_utf8(bytes)
            .map_err(|_| CliError::failed("not-utf8", "standard input is not UTF-8 text"))
    }

    /// The next line of standard input, up to `limit` bytes of it; `None` at its end. What is not UTF-8 is
    /// replaced.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn input_line(&mut self, limit: usize) -> Result<Option<String>, CliError> {
        let mut line = Vec::new();
        self.input
            .by_ref()
            .take(u64::try_from(limit).unwrap_or(u64::MAX))
            .read_until(b'\n', &mut line)
            .map_err(|e| CliError::io("read standard input", &e))?;
        Ok((!line.is_empty()).then(|| String::from_utf8_lossy(&line).into_owned()))
    }

    /// Asks a question that is answered with a line. Never asks where nobody can answer.
    ///
    /// # Errors
    ///
    /// [`unattended`] where there is no terminal; an error when the answer cannot be read.
    pub fn ask(&mut self, question: impl Into<Text>) -> Result<String, CliError> {
        let question = question.into();
        if !self.can_ask() {
            return Err(unattended(&question));
        }
        self.flush()?;
        let prompt = question.plain(" ").render(self.err.coloured);
        let _ = self.err.to.write_all(prompt.as_bytes());
        let _ = self.err.to.flush();
        let mut answer = String::new();
        let longest = 4096;
        self.input
            .by_ref()
            .take(longest)
            .read_line(&mut answer)
            .map_err(|e| CliError::io("read the answer", &e))?;
        Ok(answer.trim().to_owned())
    }

    /// Asks whether to go on. `yes` is the answer of `--yes`, which makes the question needless.
    ///
    /// # Errors
    ///
    /// As for [`ask`](Self::ask), and code `cancelled` when the answer is not yes.
    pub fn confirm(&mut self, question: impl Into<Text>, yes: bool) -> Result<(), CliError> {
        if yes {
            return Ok(());
        }
        let question = question.into();
        let asked = self.ask(question.plain(" [y/N]"));
        let answer =
            asked.map_err(|e| if e.code == UNATTENDED { e.hint("use --yes") } else { e })?;
        match answer.to_lowercase().as_str() {
            "y" | "yes" => Ok(()),
            _ => Err(CliError::failed("cancelled", "cancelled, nothing was done")),
        }
    }

    /// Asks for a secret, which is not shown while it is typed.
    ///
    /// # Errors
    ///
    /// As for [`ask`](Self::ask).
    pub fn ask_secret(&mut self, question: impl Into<Text>) -> Result<String, CliError> {
        let question = question.into();
        if !self.can_ask() {
            return Err(unattended(&question));
        }
        self.flush()?;
        let prompt = question.plain(" ").render(self.err.coloured);
        let _ = self.err.to.write_all(prompt.as_bytes());
        let _ = self.err.to.flush();
        console::Term::stderr().read_secure_line().map_err(|e| CliError::io("read the secret", &e))
    }
}

/// Code of the error for a question that nobody can answer.
pub const UNATTENDED: &str = "unattended";

fn unattended(question: &Text) -> CliError {
    let asked = question.to_plain();
    CliError::failed(UNATTENDED, format!("there is no terminal to ask: {asked}"))
}

/// The conventions of <https://no-color.org> and <https://bixense.com/clicolors>.
fn colours(choice: ColourChoice, terminal: bool, env: &Env) -> bool {
    match choice {
        ColourChoice::Always => true,
        ColourChoice::Never => false,
        ColourChoice::Auto => {
            let is = |name, value: &str| env.get(name).is_some_and(|v| v == value);
            if env.get("NO_COLOR").is_some_and(|v| !v.is_empty()) {
                false
            } else if env.get_filled("CLICOLOR_FORCE").is_some_and(|v| v != "0") {
                true
            } else {
                terminal && !is("CLICOLOR", "0") && !is("TERM", "dumb")
            }
        }
    }
}

fn columns(env: &Env) -> usize {
    let asked = console::Term::stdout()
        .size_checked()
        .or_else(|| console::Term::stderr().size_checked())
        .map(|(_, columns)| usize::from(columns))
        .filter(|&columns| columns > 0);
    let told = || env.get("COLUMNS").and_then(|v| v.parse().ok()).filter(|&columns| columns > 0);
    asked.or_else(told).unwrap_or(DEFAULT_COLUMNS).min(MAX_COLUMNS)
}

/// A [`Ui`] whose output is kept, for the tests of commands.
#[cfg(test)]
pub(crate) mod testing {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    pub(crate) struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Kept {
        pub(crate) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// `columns` for a terminal of that width, `None` for pipes.
    pub(crate) fn ui(columns: Option<usize>, options: UiOptions, input: &str) -> (Ui, Kept, Kept) {
        let (out, err) = (Kept::default(), Kept::default());
        let terminal = columns.is_some();
        let coloured = options.colour == ColourChoice::Always;
        let stream = |to: &Kept| Stream { to: Box::new(to.clone()), terminal, coloured };
        let ui = Ui {
            out: stream(&out),
            err: stream(&err),
            input: Box::new(io::Cursor::new(input.to_owned().into_bytes())),
            input_terminal: terminal,
            columns: columns.unwrap_or(DEFAULT_COLUMNS),
            options: UiOptions { no_pager: true, ..options },
            env: Env::default(),
            paging: false,
        };
        (ui, out, err)
    }
}

#[cfg(test)]
mod tests {
    use super::testing::ui;
    use super::*;

    #[test]
    fn colours_follow_the_conventions() {
        let env = Env::default();
        assert!(colours(ColourChoice::Auto, true, &env));
        assert!(!colours(ColourChoice::Auto, false, &env));
        assert!(!colours(ColourChoice::Auto, true, &env.clone().with("NO_COLOR", "1")));
        assert!(colours(ColourChoice::Auto, true, &env.clone().with("NO_COLOR", "")));
        assert!(!colours(ColourChoice::Auto, true, &env.clone().with("CLICOLOR", "0")));
        assert!(!colours(ColourChoice::Auto, true, &env.clone().with("TERM", "dumb")));
        let forced = env.with("CLICOLOR_FORCE", "1");
        assert!(colours(ColourChoice::Auto, false, &forced));
        assert!(!colours(ColourChoice::Auto, false, &forced.clone().with("NO_COLOR", "1")));
        assert!(colours(ColourChoice::Always, false, &forced.clone().with("NO_COLOR", "1")));
        assert!(!colours(ColourChoice::Never, true, &forced));
    }

    #[test]
    fn a_terminal_gets_wrapped_lines_and_a_pipe_whole_ones() {
        let long = "x".repeat(10_000);
        let (mut narrow, out, _) = ui(Some(80), UiOptions::default(), "");
        narrow.line(&long).unwrap();
        narrow.block(&long, &Indent::spaces(2)).unwrap();
        assert!(out.text().lines().all(|l| l.len() <= 80));
        let (mut pipe, out, _) = ui(None, UiOptions::default(), "");
        pipe.line(&long).unwrap();
        assert_eq!(out.text(), format!("{long}\n"));
    }

    #[test]
    fn nothing_gets_past_the_cleaning() {
        let evil = "e\u{1b}[2J\u{9b}\u{202e}\u{200b}\nfake";
        for columns in [Some(80), None] {
            let (mut ui, out, err) = ui(columns, UiOptions::default(), "");
            ui.line(evil).unwrap();
            ui.block(evil, &Indent::default()).unwrap();
            let mut table = Table::new().column("A");
            table.row([evil]);
            ui.table(&table).unwrap();
            ui.json("evil", &serde_json::json!({ "text": evil })).unwrap();
            ui.say(evil);
            ui.warn(evil);
            ui.hint(evil);
            ui.error(&CliError::failed("evil", evil).hint(evil));
            ui.options.json = true;
            ui.error(&CliError::failed("evil", evil).hint(evil));
            for text in [out.text(), err.text()] {
                assert!(!text.is_empty());
                let hazard = |c: char| c != '\n' && lanai_crdt::text::is_hazard(c);
                assert!(!text.chars().any(hazard), "{text:?}");
            }
        }
    }

    #[test]
    fn quiet_and_verbose() {
        let shown = |verbosity| {
            let (mut ui, _, err) = ui(None, UiOptions { verbosity, ..UiOptions::default() }, "");
            ui.say("said");
            ui.hint("do");
            ui.detail("more");
            ui.warn("careful");
            err.text()
        };
        assert_eq!(shown(Verbosity::Quiet), "warning: careful\n");
        assert_eq!(shown(Verbosity::Normal), "said\nhint: do\nwarning: careful\n");
        assert_eq!(shown(Verbosity::Verbose), "said\nhint: do\nmore\nwarning: careful\n");
    }

    #[test]
    fn errors_are_text_or_json() {
        let error = CliError::not_found("no such thread").hint("try `lanai threads`");
        let (mut plain, _, err) = ui(Some(80), UiOptions::default(), "");
        plain.error(&error);
        assert_eq!(err.text(), "error: no such thread\nhint: try `lanai threads`\n");
        let (mut json, out, err) = ui(None, UiOptions { json: true, ..UiOptions::default() }, "");
        json.error(&error);
        json.error(&CliError::from(io::Error::from(io::ErrorKind::BrokenPipe)));
        assert_eq!(err.text(), error.to_json());
        assert_eq!(out.text(), "");
    }

    #[test]
    fn json_answers() {
        let data = serde_json::json!({ "count": 1 });
        let (mut pipe, out, _) = ui(None, UiOptions::default(), "");
        pipe.json("threads", &data).unwrap();
        pipe.json_line("post", &data).unwrap();
        assert_eq!(
            out.text(),
            "{\"version\":1,\"kind\":\"threads\",\"count\":1}\n\
             {\"version\":1,\"kind\":\"post\",\"count\":1}\n"
        );
        assert_eq!(pipe.json("x", &1).unwrap_err().code, "internal");
    }

    #[test]
    fn questions_are_only_asked_of_somebody() {
        let (mut person, _, err) = ui(Some(80), UiOptions::default(), "y\nno\n");
        person.confirm("Leave?", false).unwrap();
        assert_eq!(person.confirm("Leave?", false).unwrap_err().code, "cancelled");
        assert_eq!(err.text(), "Leave? [y/N] Leave? [y/N] ");
        let (mut pipe, _, err) = ui(None, UiOptions::default(), "y\n");
        pipe.confirm("Leave?", true).unwrap();
        let error = pipe.confirm("Leave?", false).unwrap_err();
        assert_eq!((error.code, error.hint.as_deref()), (UNATTENDED, Some("use --yes")));
        assert_eq!(pipe.ask_secret("Passphrase:").unwrap_err().code, UNATTENDED);
        assert_eq!(err.text(), "");
    }

    #[test]
    fn input_is_bounded() {
        let (mut fits, ..) = ui(None, UiOptions::default(), "12345");
        assert_eq!(fits.read_input(5).unwrap(), "12345");
        let (mut more, ..) = ui(None, UiOptions::default(), "123456");
        assert_eq!(more.read_input(5).unwrap_err().code, "input-too-long");
    }
}
