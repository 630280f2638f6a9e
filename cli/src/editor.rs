//! Writing in the user's editor, and drafts that survive everything.
//!
//! 1. A draft is a file in the home's `drafts` directory, named after what it is for ("reply to
//!    k3f9"). It exists from before the editor is started until what it says was published.
//! 2. Whatever happens in between (the editor crashes, the battery dies, the post is refused),
//!    the same command opens the same draft again.
//! 3. The file holds the text, then a *scissors line*, then help. Nothing from the scissors line
//!    on is published, so help needs no comment sign, and a text may begin its lines with `#`.
//! 4. An empty text publishes nothing and removes the draft.
//! 5. Drafts go to the writer's other devices too (`own`).

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::env::Env;
use crate::error::CliError;
use crate::interrupt::Hold;
use crate::pager::shell_or_direct;

/// From this line on, nothing is published.
pub const SCISSORS: &str = "------------------------ >8 ------------------------";

/// Longest draft that is read, in bytes. Far more than a post may hold; the limit on posts is
/// checked, and spoken of, where a post is made.
pub const MAX_DRAFT: usize = 1 << 20;

/// Editors that are tried, in this order, when no variable names one.
const FALLBACKS: [&str; 4] = ["editor", "nano", "vim", "vi"];

/// The command line of the editor: `LANAI_EDITOR`, `VISUAL`, `EDITOR`, else the first common
/// editor that is installed.
///
/// # Errors
///
/// Code `no-editor` when there is none; the hint names the other ways to give a text.
pub fn command_line(env: &Env) -> Result<String, CliError> {
    let named = ["LANAI_EDITOR", "VISUAL", "EDITOR"];
    if let Some(line) = named.into_iter().find_map(|name| env.get_filled(name)) {
        return Ok(line);
    }
    let path = env.get("PATH").unwrap_or_default();
    let installed = |program: &&str| {
        std::env::split_paths(&path).any(|dir| dir.is_absolute() && dir.join(program).is_file())
    };
    FALLBACKS.into_iter().find(installed).map(str::to_owned).ok_or_else(|| {
        CliError::failed("no-editor", "no editor is known")
            .hint("give the text with -m TEXT or on standard input, or set EDITOR")
    })
}

/// The directory of drafts.
#[derive(Debug, Clone)]
pub struct Drafts {
    dir: PathBuf,
}

impl Drafts {
    /// Drafts in this directory, which is made when it is needed.
    #[must_use]
    pub fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// The draft for `purpose`, such as `"reply k3f9"`: letters, digits and whatever else, which
    /// is folded into a file name. The same purpose is the same draft.
    #[must_use]
    pub fn draft(&self, purpose: &str) -> Draft {
        Draft { path: self.dir.join(format!("{}.md", file_stem(purpose))) }
    }

    /// While the result lives no editor is opened on a draft; `None` where one is open.
    ///
    /// # Errors
    ///
    /// When the directory cannot be made.
    pub fn alone(&self) -> Result<Option<fs::File>, CliError> {
        let io = |error| failed("open", &self.dir, &error);
        make_dir(&self.dir).map_err(io)?;
        let dir = fs::File::open(&self.dir).map_err(io)?;
        Ok(dir.try_lock().is_ok().then_some(dir))
    }

    /// The purposes, as folded into file names, and the files of all drafts that are kept.
    ///
    /// # Errors
    ///
    /// When the directory exists but cannot be read.
    pub fn list(&self) -> Result<Vec<Draft>, CliError> {
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed("read", &self.dir, &error)),
        };
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let mut drafts: Vec<Draft> = paths
            .filter(|path| path.extension().is_some_and(|e| e == "md"))
            .map(|path| Draft { path })
            .collect();
        drafts.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(drafts)
    }
}

/// Longest file name made from a purpose, without its ending.
const MAX_STEM: usize = 80;

/// Most drafts for one purpose.
const MAX_BESIDE: u32 = 99;

/// Lower-case ASCII letters and digits, everything else a single hyphen.
fn file_stem(purpose: &str) -> String {
    let mut stem = String::new();
    for c in purpose.chars().take(MAX_STEM) {
        if c.is_ascii_alphanumeric() {
            stem.push(c.to_ascii_lowercase());
        } else if !stem.ends_with('-') && !stem.is_empty() {
            stem.push('-');
        }
    }
    let stem = stem.trim_end_matches('-');
    if stem.is_empty() { "draft".into() } else { stem.into() }
}

/// A text that was begun, and may have been finished, but was not published yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    path: PathBuf,
}

impl Draft {
    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The text above the scissors line, without trailing blank lines; `None` when there is no
    /// draft or nothing in it.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, is longer than [`MAX_DRAFT`] or is not UTF-8.
    pub fn read(&self) -> Result<Option<String>, CliError> {
        let file = match fs::File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("read", &self.path, &error)),
        };
        let most = u64::try_from(MAX_DRAFT).unwrap_or(u64::MAX).saturating_add(1);
        let mut bytes = Vec::new();
        file.take(most)
            .read_to_end(&mut bytes)
            .map_err(|error| failed("read", &self.path, &error))?;
        if bytes.len() > MAX_DRAFT {
            return Err(self.kept("draft-too-long", "the draft is longer than a text can be"));
        }
        let text = String::from_utf8(bytes)
            .map_err(|_| self.kept("not-utf8", "the draft is not UTF-8 text"))?;
        Ok(Some(above_scissors(&text)).filter(|text| !text.is_empty()))
    }

    /// This draft, or where one was begun already that says something else, a free one beside it:
    /// what came by `-m` must not overwrite what is being written in the editor.
    ///
    /// # Errors
    ///
    /// When a draft cannot be read, or there are absurdly many.
    pub fn beside(&self, text: &str) -> Result<Self, CliError> {
        let stem = self.path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let others = (2..=MAX_BESIDE)
            .map(|number| Self { path: self.path.with_file_name(format!("{stem}-{number}.md")) });
        for draft in std::iter::once(self.clone()).chain(others) {
            if draft.read()?.is_none_or(|begun| begun == text) {
                return Ok(draft);
            }
        }
        Err(self.kept("too-many-drafts", "there are too many drafts for the same post"))
    }

    /// Keeps a text that came from elsewhere (`-m`, standard input) and could not be published.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn keep(&self, text: &str) -> Result<(), CliError> {
        self.write(text).map_err(|error| failed("keep the draft", &self.path, &error))
    }

    /// Opens the draft in the editor and gives back what was written. An earlier draft comes
    /// back instead of `initial`. `help` stands below the scissors line. The draft stays until
    /// [`published`](Self::published), unless it was left empty.
    ///
    /// # Errors
    ///
    /// When there is no editor, or it fails (then the draft stays), or the draft cannot be
    /// written or read.
    pub fn edit(
        &self,
        editor: &str,
        initial: &str,
        help: &str,
    ) -> Result<Option<String>, CliError> {
        let begun = self.read()?;
        let text = begun.as_deref().unwrap_or(initial).trim_end();
        let file = format!("{text}\n\n{SCISSORS}\n{}\n", help.trim_end());
        self.write(&file).map_err(|error| failed("write the draft", &self.path, &error))?;

        // Nothing that comes from another device is put into the file meanwhile.
        let dir = self.path.parent().and_then(|dir| fs::File::open(dir).ok());
        let _open = dir.filter(|dir| dir.lock_shared().is_ok());
        let hold = Hold::new();
        let status = editor_command(editor, &self.path).status();
        drop(hold);
        let status = status.map_err(|error| {
            self.kept("editor-failed", &format!("cannot start the editor `{editor}`: {error}"))
        })?;
        if !status.success() {
            let failure = format!("the editor `{editor}` failed ({status})");
            return Err(self.kept("editor-failed", &failure));
        }
        let written = self.read()?;
        if written.is_none() {
            self.published();
        }
        Ok(written)
    }

    /// The text is published, or nobody wants it any more: the draft goes.
    pub fn published(&self) {
        // A draft that cannot be removed is offered again, which does no harm.
        let _ = fs::remove_file(&self.path);
    }

    /// An error whose hint says where the text is.
    fn kept(&self, code: &'static str, message: &str) -> CliError {
        let path = self.path.display();
        CliError::failed(code, message)
            .hint(format!("the draft is kept in {path}; the same command opens it again"))
    }

    /// Replaces the file in one step, so that a crash leaves the old text or the new one.
    fn write(&self, text: &str) -> io::Result<()> {
        if let Some(dir) = self.path.parent() {
            make_dir(dir)?;
        }
        let fresh = self.path.with_extension(format!("new-{}", std::process::id()));
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, &self.path)
    }
}

fn make_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

fn failed(what: &str, path: &Path, error: &io::Error) -> CliError {
    CliError::io(format!("{what} {}", path.display()), error)
}

/// The editor with the file as its last argument, also where the shell has to read the rest.
fn editor_command(line: &str, file: &Path) -> std::process::Command {
    let mut command = shell_or_direct(line);
    if command.get_program() == "sh" && line.trim() != "sh" {
        command = std::process::Command::new("sh");
        command.arg("-c").arg(format!("{line} \"$@\"")).arg(line);
    }
    command.arg(file);
    command
}

fn above_scissors(text: &str) -> String {
    let mut kept = String::new();
    for line in text.lines().take_while(|line| line.trim_end() != SCISSORS) {
        kept.push_str(line.trim_end());
        kept.push('\n');
    }
    kept.trim_start_matches('\n').trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn drafts() -> (tempfile::TempDir, Drafts) {
        let dir = tempfile::tempdir().unwrap();
        let drafts = Drafts::new(dir.path().join("drafts"));
        (dir, drafts)
    }

    /// An editor that does `script` to its file, which is `$1`.
    fn editor(dir: &Path, script: &str) -> String {
        let path = dir.join("editor.sh");
        fs::write(&path, format!("{script}\n")).unwrap();
        format!("sh {}", path.display())
    }

    #[test]
    fn the_editor_is_the_one_asked_for() {
        let env = Env::default().with("EDITOR", "ed");
        assert_eq!(command_line(&env).unwrap(), "ed");
        let env = env.with("VISUAL", "vi -x");
        assert_eq!(command_line(&env).unwrap(), "vi -x");
        let env = env.with("LANAI_EDITOR", " ");
        assert_eq!(command_line(&env).unwrap(), "vi -x");
        let env = env.with("LANAI_EDITOR", "code -w");
        assert_eq!(command_line(&env).unwrap(), "code -w");
        let none = command_line(&Env::default().with("PATH", "/nowhere")).unwrap_err();
        assert_eq!(none.code, "no-editor");
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("nano"), "").unwrap();
        let env = Env::default().with("PATH", dir.path().to_str().unwrap());
        assert_eq!(command_line(&env).unwrap(), "nano");
    }

    #[test]
    fn what_is_written_above_the_scissors_comes_back() {
        let (dir, drafts) = drafts();
        let draft = drafts.draft("reply k3f9");
        let script = r#"cp "$1" "$1.seen"; { echo '# A heading'; echo; cat "$1"; } > "$1.x"; mv "$1.x" "$1""#;
        let editor = editor(dir.path(), script);
        let text = draft.edit(&editor, "Dear all  ", "This is help.\nMore.").unwrap();
        assert_eq!(text.unwrap(), "# A heading\n\nDear all");
        let seen = fs::read_to_string(dir.path().join("drafts/reply-k3f9.md.seen")).unwrap();
        assert_eq!(seen, format!("Dear all\n\n{SCISSORS}\nThis is help.\nMore.\n"));
    }

    #[test]
    fn a_draft_stays_until_it_is_published() {
        let (dir, drafts) = drafts();
        let draft = drafts.draft("ask");
        let write = editor(dir.path(), r#"echo "half a thought" > "$1""#);
        draft.edit(&write, "", "help").unwrap();
        let crash = editor(dir.path(), "exit 3");
        let error = draft.edit(&crash, "something else", "help").unwrap_err();
        assert_eq!(error.code, "editor-failed");
        assert!(error.hint.unwrap().contains("drafts/ask.md"));
        let missing = draft.edit("lanai-no-such-editor", "", "help").unwrap_err();
        assert_eq!(missing.code, "editor-failed");
        let look = editor(dir.path(), "true");
        assert_eq!(draft.edit(&look, "other", "help").unwrap().unwrap(), "half a thought");
        assert_eq!(drafts.list().unwrap(), std::slice::from_ref(&draft));
        draft.published();
        assert_eq!(draft.read().unwrap(), None);
        assert_eq!(drafts.list().unwrap(), []);
        assert_eq!(draft.edit(&look, "other", "help").unwrap().unwrap(), "other");
    }

    #[test]
    fn an_empty_text_removes_the_draft() {
        let (dir, drafts) = drafts();
        let draft = drafts.draft("note");
        let look = editor(dir.path(), "true");
        assert_eq!(draft.edit(&look, "", "help").unwrap(), None);
        assert!(!draft.path().exists());
    }

    #[test]
    fn drafts_are_private() {
        let (_dir, drafts) = drafts();
        let draft = drafts.draft("x");
        draft.keep("secret").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(draft.path()), 0o600);
        assert_eq!(mode(draft.path().parent().unwrap()), 0o700);
        assert_eq!(draft.read().unwrap().unwrap(), "secret");
    }

    #[test]
    fn purposes_become_harmless_file_names() {
        let (dir, drafts) = drafts();
        for purpose in ["../../etc/passwd", "/", "", "a\0b", &"x".repeat(5000), "é", "-rf"] {
            let path = drafts.draft(purpose).path().to_path_buf();
            assert_eq!(path.parent().unwrap(), dir.path().join("drafts"), "{purpose}");
            assert!(path.file_name().unwrap().len() < 100);
            assert!(!path.file_name().unwrap().to_str().unwrap().starts_with(['.', '-']));
        }
        assert_eq!(drafts.draft("Reply  K3F9"), drafts.draft("reply-k3f9"));
    }

    #[test]
    fn odd_drafts_are_named_errors() {
        let (_dir, drafts) = drafts();
        let draft = drafts.draft("x");
        draft.keep("y").unwrap();
        fs::write(draft.path(), [0xff, 0xfe]).unwrap();
        assert_eq!(draft.read().unwrap_err().code, "not-utf8");
        fs::write(draft.path(), vec![b'x'; MAX_DRAFT + 1]).unwrap();
        assert_eq!(draft.read().unwrap_err().code, "draft-too-long");
    }

    #[test]
    fn an_editor_line_may_need_the_shell() {
        let (dir, drafts) = drafts();
        let draft = drafts.draft("a b");
        let line = format!("cd '{}' && sh -c 'echo \"by shell\" > \"$1\"' x", dir.path().display());
        assert_eq!(draft.edit(&line, "", "help").unwrap().unwrap(), "by shell");
    }
}
