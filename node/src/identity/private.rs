//! Small files that only their owner may read: keys, and how far a join came.
//!
//! 1. A file is written beside its place under a random name (`O_EXCL`, mode 0600), synced, and
//!    then linked or renamed there: whoever looks sees the old file, the new one or none, and never
//!    a half. The directory is synced last.
//! 2. A file that group or others may read or write is not read. Its secret may be known by now,
//!    and to go on quietly would hide that.
//! 3. What is read is bounded, and wiped from memory when dropped.

use std::fs::{File, OpenOptions, hard_link, remove_file, rename};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use lanai_crdt::id::base32;
use zeroize::Zeroizing;

use crate::random::random_bytes;

const OWNER_ONLY: u32 = 0o600;
const OTHERS: u32 = 0o077;

/// Why a private file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum PrivateFileError {
    /// There is no such file.
    #[error("{} does not exist", .0.display())]
    Missing(PathBuf),
    /// A file that must be new is there already.
    #[error("{} exists already and is not overwritten", .0.display())]
    Exists(PathBuf),
    /// Others than the owner may read or write it.
    #[error("{} can be read or written by others (mode {mode:03o})", .path.display())]
    OpenToOthers {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A directory, a pipe or the like.
    #[error("{} is not an ordinary file", .0.display())]
    NotAFile(PathBuf),
    /// Larger than what it should hold.
    #[error("{} is larger than {max} bytes, so it is not what it should be", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Bytes that it may have.
        max: usize,
    },
    /// The operating system said no.
    #[error("cannot {action} {}: {source}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

impl PrivateFileError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::OpenToOthers { path, .. } => Some(format!(
                "if nobody else has used this machine, close it with: chmod 600 {}",
                path.display()
            )),
            _ => None,
        }
    }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PrivateFileError {
    move |source| PrivateFileError::Io { action, path: path.to_path_buf(), source }
}

/// Writes a file that must not exist yet.
///
/// # Errors
///
/// [`PrivateFileError::Exists`], [`PrivateFileError::Io`].
pub fn create(path: &Path, bytes: &[u8]) -> Result<(), PrivateFileError> {
    let temporary = Temporary::write(path, bytes)?;
    // A link, other than a rename, fails when the name is taken.
    hard_link(&temporary.0, path).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => PrivateFileError::Exists(path.to_path_buf()),
        _ => failed("create", path)(source),
    })?;
    drop(temporary);
    sync_parent(path)
}

/// Writes a file, in place of the old one if there is one.
///
/// # Errors
///
/// [`PrivateFileError::Io`].
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), PrivateFileError> {
    let temporary = Temporary::write(path, bytes)?;
    rename(&temporary.0, path).map_err(failed("write", path))?;
    sync_parent(path)
}

/// Writes a file in place of one whose content nobody may read any more: that one is overwritten.
/// What the disk itself keeps of it (flash memory, snapshots) is out of reach.
///
/// # Errors
///
/// [`PrivateFileError::Io`].
pub fn replace_secret(path: &Path, bytes: &[u8]) -> Result<(), PrivateFileError> {
    let old = OpenOptions::new().write(true).open(path).map_err(failed("open", path))?;
    replace(path, bytes)?;
    overwrite(&old).map_err(failed("overwrite", path))
}

/// Overwrites a file and removes it, down to the disk.
///
/// # Errors
///
/// [`PrivateFileError::Io`].
pub fn destroy(path: &Path) -> Result<(), PrivateFileError> {
    let file = OpenOptions::new().write(true).open(path).map_err(failed("open", path))?;
    overwrite(&file).map_err(failed("overwrite", path))?;
    remove(path)
}

/// Writes zeros over all of a file, down to the disk.
pub(crate) fn overwrite(mut file: &File) -> io::Result<()> {
    let length = file.metadata()?.len();
    io::copy(&mut io::repeat(0).take(length), &mut file)?;
    file.sync_all()
}

/// Removes a file, if it is there.
///
/// # Errors
///
/// [`PrivateFileError::Io`].
pub fn remove(path: &Path) -> Result<(), PrivateFileError> {
    match remove_file(path) {
        Ok(()) => sync_parent(path),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(failed("remove", path)(e)),
    }
}

/// Reads a file of at most `max` bytes that nobody but its owner can read or write.
///
/// # Errors
///
/// Every variant but [`PrivateFileError::Exists`].
pub fn read(path: &Path, max: usize) -> Result<Zeroizing<Vec<u8>>, PrivateFileError> {
    let missing = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => PrivateFileError::Missing(path.to_path_buf()),
        _ => failed("read", path)(source),
    };
    // Before opening, for to open a pipe would wait for its other end.
    if !std::fs::metadata(path).map_err(missing)?.is_file() {
        return Err(PrivateFileError::NotAFile(path.to_path_buf()));
    }
    let file = File::open(path).map_err(missing)?;
    let found = file.metadata().map_err(failed("read", path))?;
    if !found.is_file() {
        return Err(PrivateFileError::NotAFile(path.to_path_buf()));
    }
    let mode = found.mode() & 0o777;
    if mode & OTHERS != 0 {
        return Err(PrivateFileError::OpenToOthers { path: path.to_path_buf(), mode });
    }
    // Room for all of it at once: growing would leave copies of the secret behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(max.saturating_add(1)));
    let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    file.take(limit).read_to_end(&mut bytes).map_err(failed("read", path))?;
    if bytes.len() > max {
        return Err(PrivateFileError::TooLarge { path: path.to_path_buf(), max });
    }
    Ok(bytes)
}

/// A written and synced file under a random name; removed when dropped, if it is still there.
struct Temporary(PathBuf);

impl Temporary {
    fn write(place: &Path, bytes: &[u8]) -> Result<Temporary, PrivateFileError> {
        let name = place.file_name().unwrap_or_default().to_string_lossy();
        let random = base32(&random_bytes::<8>());
        let path = place.with_file_name(format!(".{name}.{random}"));
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(OWNER_ONLY)
            .open(&path)
            .map_err(failed("create", place))?;
        let temporary = Temporary(path);
        file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed("write", place))?;
        Ok(temporary)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // After a rename it is gone, and otherwise nothing can be done about a failure.
        let _ = remove_file(&self.0);
    }
}

pub(crate) fn sync_parent(path: &Path) -> Result<(), PrivateFileError> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(parent).and_then(|d| d.sync_all()).map_err(failed("sync", parent))
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        std::fs::read_dir(dir)
            .unwrap()
            .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
            .collect()
    }

    #[test]
    fn create_replace_read_remove() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        assert!(matches!(read(&path, 9), Err(PrivateFileError::Missing(_))));
        create(&path, b"one").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(read(&path, 3).unwrap().as_slice(), b"one");
        assert!(matches!(read(&path, 2), Err(PrivateFileError::TooLarge { max: 2, .. })));
        assert!(matches!(create(&path, b"two"), Err(PrivateFileError::Exists(_))));
        assert_eq!(read(&path, 3).unwrap().as_slice(), b"one");
        replace(&path, b"two").unwrap();
        assert_eq!(read(&path, 3).unwrap().as_slice(), b"two");
        assert_eq!(names(dir.path()), ["key"], "nothing is left lying about");
        remove(&path).unwrap();
        remove(&path).unwrap();
        assert!(names(dir.path()).is_empty());
        assert!(matches!(
            create(&dir.path().join("no/key"), b"x"),
            Err(PrivateFileError::Io { action: "create", .. })
        ));
    }

    #[test]
    fn what_others_can_read_is_refused_with_a_hint() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        create(&path, b"one").unwrap();
        for mode in [0o640, 0o604, 0o660, 0o602, 0o610] {
            set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let error = read(&path, 3).unwrap_err();
            assert!(matches!(&error, PrivateFileError::OpenToOthers { mode: m, .. } if *m == mode));
            assert!(error.hint().unwrap().contains("chmod 600"));
        }
        set_permissions(&path, Permissions::from_mode(0o400)).unwrap();
        assert!(read(&path, 3).is_ok());
        assert!(matches!(read(dir.path(), 3), Err(PrivateFileError::NotAFile(_))));
    }
}
