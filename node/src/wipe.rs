//! Destroying a home.
//!
//! 1. Keys first: every key file of the home is overwritten and unlinked, and its directory synced.
//!    What was sealed with the keys is unreadable from then on, however the rest ends.
//! 2. Then everything else that lanai makes in a home, overwritten and unlinked, file by file.
//! 3. Nothing is followed: a link is removed, and what it points to is let be. What lanai did not make
//!    is let be as well, in case somebody named a directory of theirs as the home.
//!
//! What the disk itself keeps of a file that was overwritten (flash memory, snapshots, backups) is
//! out of reach; the keys are small and go first, so that little hangs on it.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use crate::home::Home;
use crate::identity::private;
use crate::lock::{LockError, NodeLock};

/// What the names of all that lanai makes in a home begin with.
const OURS: [&str; 11] = [
    "device.key",
    ".device.key.",
    "device.request",
    "store.",
    "config.json",
    ".config.json.",
    "node.",
    "drafts",
    "join.json",
    ".join.json.",
    "left-",
];
/// What the names of key files begin with, those that an interruption left included.
const KEYS: [&str; 2] = ["device.key", ".device.key."];

/// Why a home was not destroyed, or not all of it.
#[derive(Debug, thiserror::Error)]
pub enum WipeError {
    /// A node runs on it.
    #[error(transparent)]
    Running(#[from] LockError),
    /// A file could not be destroyed.
    #[error("cannot destroy {}: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

/// Something that is done, and stays done whatever happens next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A file is overwritten, and is still there.
    Overwritten(PathBuf),
    /// A file is gone.
    Removed(PathBuf),
    /// All key files are gone, down to the disk.
    KeysGone,
}

/// What became of a home.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wiped {
    /// Files destroyed.
    pub files: u64,
    /// What is in the home and was not made by lanai.
    pub left: Vec<PathBuf>,
}

/// Destroys a home on which no node runs. `after` hears of every step, and an error of it ends the
/// work there.
///
/// # Errors
///
/// [`WipeError`]. It can be called again, and goes on where it stopped.
pub fn wipe(
    home: &Home,
    mut after: impl FnMut(&Step) -> io::Result<()>,
) -> Result<Wiped, WipeError> {
    let lock = NodeLock::acquire(&home.lock())?;
    let mut wiped = Wiped::default();
    let (keys, others): (Vec<_>, Vec<_>) =
        files_below(home.root(), &mut wiped.left)?.into_iter().partition(|path| begins(path, &KEYS));
    for path in &keys {
        destroy(path, &mut after)?;
        wiped.files += 1;
    }
    step(&Step::KeysGone, home.root(), &mut after)?;
    let elsewhere = home.passing_dir().map(|dir| files_in(&dir, &[], &mut Vec::new()));
    for path in others.iter().chain(&elsewhere.transpose()?.unwrap_or_default()) {
        destroy(path, &mut after)?;
        wiped.files += 1;
    }
    drop(lock);
    for dir in [Some(home.root().to_path_buf()), home.passing_dir()].into_iter().flatten() {
        remove_empty(&dir);
    }
    Ok(wiped)
}

fn begins(path: &Path, names: &[&str]) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    names.iter().any(|begin| name.starts_with(begin))
}

/// The files of a home, those of homes inside it included.
fn files_below(root: &Path, left: &mut Vec<PathBuf>) -> Result<Vec<PathBuf>, WipeError> {
    files_in(root, &OURS, left)
}

/// All that is no directory below `dir`; in `dir` itself only what begins with one of `names`, where
/// there are any.
fn files_in(
    dir: &Path,
    names: &[&str],
    left: &mut Vec<PathBuf>,
) -> Result<Vec<PathBuf>, WipeError> {
    let io = |source| WipeError::Io { path: dir.to_path_buf(), source };
    let mut found = Vec::new();
    let entries = match fs::read_dir(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(found),
        entries => entries.map_err(io)?,
    };
    for entry in entries {
        let entry = entry.map_err(io)?;
        let path = entry.path();
        if !names.is_empty() && !begins(&path, names) {
            left.push(path);
        } else if entry.file_type().map_err(io)?.is_dir() {
            found.extend(files_in(&path, &[], left)?);
        } else {
            found.push(path);
        }
    }
    Ok(found)
}

fn destroy(
    path: &Path,
    after: &mut impl FnMut(&Step) -> io::Result<()>,
) -> Result<(), WipeError> {
    let io = |source| WipeError::Io { path: path.to_path_buf(), source };
    // A link, a pipe or a socket holds nothing, and to open it would reach elsewhere.
    if fs::symlink_metadata(path).map_err(io)?.is_file() {
        let file = OpenOptions::new().write(true).open(path).map_err(io)?;
        private::overwrite(&file).map_err(io)?;
        step(&Step::Overwritten(path.to_path_buf()), path, after)?;
    }
    fs::remove_file(path).map_err(io)?;
    private::sync_parent(path).map_err(|e| io(io::Error::other(e)))?;
    step(&Step::Removed(path.to_path_buf()), path, after)
}

fn step(
    step: &Step,
    path: &Path,
    after: &mut impl FnMut(&Step) -> io::Result<()>,
) -> Result<(), WipeError> {
    after(step).map_err(|source| WipeError::Io { path: path.to_path_buf(), source })
}

/// Removes directories that hold nothing any more.
fn remove_empty(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) && begins(&entry.path(), &OURS) {
            remove_empty(&entry.path());
        }
    }
    // Something of others' may be in it.
    let _kept = fs::remove_dir(dir);
}
