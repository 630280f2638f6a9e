//! Writing a file out for people.
//!
//! 1. Into a directory, under the last component of its name, cleaned ([`safe_name`]); where that is taken,
//!    with a number. Nothing is overwritten and no link is followed: the name is taken with `O_EXCL` first.
//! 2. To a path that the user typed, which is what they want it to be; overwritten only when they say so.
//! 3. Under its name it is whole: it is written beside it first. Every group is checked on the way.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use lanai_crdt::file::{FileKey, numbered_name, safe_name};
use lanai_crdt::id::base32;

use super::blobs::{Blob, BlobError};
use crate::random::random_bytes;

/// Numbers that are tried for a name that is taken.
const MAX_NUMBER: u32 = 9999;

/// Where a file goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Into this directory, under its own name.
    Directory(PathBuf),
    /// To this path; `force` overwrites what is there.
    Path {
        /// The path.
        path: PathBuf,
        /// Whether what is there may go.
        force: bool,
    },
}

/// Why a file was not written out.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// Its bytes cannot be read or opened.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// The name is taken.
    #[error("{} exists already", .0.display())]
    Exists(PathBuf),
    /// What the operating system says.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The error.
        source: io::Error,
    },
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> ExportError + '_ {
    move |source| ExportError::Io { path: path.to_path_buf(), source }
}

/// Opens a file and writes it out; gives its path. `progress` is told how many bytes are done.
///
/// # Errors
///
/// [`ExportError`]. Nothing is left behind then.
pub fn export(
    blob: &Blob,
    key: &FileKey,
    name: &str,
    target: &Target,
    progress: impl FnMut(u64),
) -> Result<PathBuf, ExportError> {
    let dir = match target {
        Target::Directory(dir) => dir.as_path(),
        Target::Path { path, .. } => match path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        },
    };
    if let Target::Path { path, force: false } = target
        && path.symlink_metadata().is_ok()
    {
        return Err(ExportError::Exists(path.clone()));
    }
    let beside = Beside::new(dir)?;
    beside.fill(blob, key, progress)?;
    match target {
        Target::Directory(dir) => {
            let name = safe_name(name);
            for number in 1..=MAX_NUMBER {
                let name = if number == 1 { name.clone() } else { numbered_name(&name, number) };
                let path = dir.join(name);
                if take(&path)? {
                    return beside.rename(path);
                }
            }
            Err(ExportError::Exists(dir.join(name)))
        }
        Target::Path { path, force } => {
            if !force && !take(path)? {
                return Err(ExportError::Exists(path.clone()));
            }
            beside.rename(path.clone())
        }
    }
}

/// Makes an empty file where there is nothing: from then on the name is ours. Whether it was free.
fn take(path: &Path) -> Result<bool, ExportError> {
    match OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(_) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(e) => Err(failed(path)(e)),
    }
}

/// A file that is being written, under a name of its own; gone if it is never renamed.
struct Beside {
    file: File,
    path: PathBuf,
    kept: bool,
}

impl Beside {
    fn new(dir: &Path) -> Result<Beside, ExportError> {
        let path = dir.join(format!(".lanai-{}", base32(&random_bytes::<8>())));
        let file = OpenOptions::new().write(true).create_new(true).open(&path);
        Ok(Beside { file: file.map_err(failed(&path))?, path, kept: false })
    }

    fn fill(
        &self,
        blob: &Blob,
        key: &FileKey,
        mut progress: impl FnMut(u64),
    ) -> Result<(), ExportError> {
        let mut done = 0;
        for group in 0..blob.layout().groups() {
            let text = blob.text(key, group)?;
            (&self.file).write_all(&text).map_err(failed(&self.path))?;
            done += text.len() as u64;
            progress(done);
        }
        self.file.sync_all().map_err(failed(&self.path))
    }

    fn rename(mut self, to: PathBuf) -> Result<PathBuf, ExportError> {
        // A rename replaces a link that somebody put there meanwhile, and does not follow it.
        std::fs::rename(&self.path, &to).map_err(failed(&to))?;
        self.kept = true;
        Ok(to)
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        if !self.kept {
            // It begins with a dot and our name, for who finds it.
            let _gone = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Blobs;
    use crate::home::{Environment, Home};

    struct Added {
        dir: tempfile::TempDir,
        blob: Blob,
        key: FileKey,
    }

    fn added(bytes: &[u8]) -> Added {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::resolve(Some(&dir.path().join("home")), &Environment::default()).unwrap();
        home.create().unwrap();
        let source = dir.path().join("source");
        std::fs::write(&source, bytes).unwrap();
        let blobs = Blobs::of_home(&home);
        let (root, layout) = blobs.add(&source, &[7; 32], |_| ()).unwrap();
        let blob = blobs.open(&root, layout).unwrap().unwrap();
        Added { dir, blob, key: FileKey::from_bytes(&[7; 32]) }
    }

    fn names(dir: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(dir).unwrap();
        let mut names: Vec<String> =
            entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn attachment_names_never_leave_the_folder_that_was_chosen() {
        let Added { dir, blob, key } = added(b"content");
        let out = dir.path().join("out");
        std::fs::create_dir(&out).unwrap();
        let target = Target::Directory(out.clone());
        let before = names(dir.path());
        for name in [
            "../escape",
            "/etc/lanai-test-escape",
            "..\\..\\escape.exe",
            "a/../../b",
            ".hidden",
            "..",
            "",
            "nul",
            "x\0y",
            "\u{202e}gpj.exe",
        ] {
            let path = export(&blob, &key, name, &target, |_| ()).unwrap();
            assert_eq!(path.parent(), Some(out.as_path()), "{name:?}");
            assert_eq!(std::fs::read(&path).unwrap(), b"content");
        }
        assert_eq!(names(dir.path()), before);
        let inside = names(&out);
        assert_eq!(inside.len(), 10);
        assert!(!inside.iter().any(|name| name.starts_with('.')), "{inside:?}");
    }

    #[test]
    fn nothing_is_overwritten_and_no_link_is_followed() {
        let Added { dir, blob, key } = added(b"content");
        let out = dir.path().join("out");
        std::fs::create_dir(&out).unwrap();
        let outside = dir.path().join("outside");
        std::fs::write(&outside, "mine").unwrap();
        std::fs::write(out.join("map.pdf"), "old").unwrap();
        std::os::unix::fs::symlink(&outside, out.join("map-2.pdf")).unwrap();
        std::os::unix::fs::symlink(dir.path().join("nowhere"), out.join("map-3.pdf")).unwrap();
        let target = Target::Directory(out.clone());
        let path = export(&blob, &key, "map.pdf", &target, |_| ()).unwrap();
        assert_eq!(path, out.join("map-4.pdf"));
        assert_eq!(std::fs::read(&outside).unwrap(), b"mine");
        assert_eq!(std::fs::read(out.join("map.pdf")).unwrap(), b"old");
        assert!(!dir.path().join("nowhere").exists());

        let typed = |name: &str, force| Target::Path { path: out.join(name), force };
        for name in ["map.pdf", "map-2.pdf", "map-3.pdf"] {
            let refused = export(&blob, &key, "x", &typed(name, false), |_| ());
            assert!(matches!(refused, Err(ExportError::Exists(_))), "{name}");
        }
        export(&blob, &key, "x", &typed("map-2.pdf", true), |_| ()).unwrap();
        assert_eq!(std::fs::read(out.join("map-2.pdf")).unwrap(), b"content");
        assert_eq!(std::fs::read(&outside).unwrap(), b"mine");
        export(&blob, &key, "x", &typed("new", false), |_| ()).unwrap();
        assert_eq!(names(&out).len(), 5);
    }

    #[test]
    fn what_does_not_open_leaves_nothing_behind() {
        let Added { dir, blob, .. } = added(b"content");
        let out = dir.path().join("out");
        std::fs::create_dir(&out).unwrap();
        let target = Target::Directory(out.clone());
        let wrong = FileKey::from_bytes(&[8; 32]);
        let error = export(&blob, &wrong, "a", &target, |_| ()).unwrap_err();
        assert!(matches!(error, ExportError::Blob(BlobError::File(_))), "{error}");
        assert!(names(&out).is_empty());
        let nowhere = Target::Directory(out.join("none"));
        assert!(matches!(
            export(&blob, &wrong, "a", &nowhere, |_| ()),
            Err(ExportError::Io { .. })
        ));
    }
}
