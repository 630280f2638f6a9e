//! Where a node keeps its things.
//!
//! Everything of one member on one machine lives in one directory, the *home*: one home, one
//! community. The command line and the running node find each other through it, so both use this
//! module and nothing else to build a path.
//!
//! Which directory, first that applies:
//!
//! 1. the one named on the command line or in `LANAI_HOME`;
//! 2. `$XDG_DATA_HOME/lanai`, if that variable is an absolute path, as the XDG base directory
//!    specification asks;
//! 3. `$HOME/.local/share/lanai`.
//!
//! The address of a Unix socket is short (108 bytes on Linux, 104 on the BSDs and macOS), and a
//! home may lie deep. Where `node.sock` does not fit, the socket moves to a directory of its own,
//! private to the user, whose name is a hash of the home's path, so that every process which
//! names the same home finds the same socket.

use std::ffi::OsString;
use std::fs::{DirBuilder, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::identity::{self, Unlocked};

/// Longest path, in bytes, at which a socket can be bound everywhere: 104 bytes on macOS and the
/// BSDs, less the terminating zero.
pub const MAX_SOCKET_PATH: usize = 103;

/// Access for the owner alone.
const PRIVATE_DIR: u32 = 0o700;

/// Why a home cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// Neither an explicit home nor `XDG_DATA_HOME` nor `HOME` is set.
    #[error("no home directory is known: neither LANAI_HOME nor XDG_DATA_HOME nor HOME is set")]
    Nowhere,
    /// The directory cannot be made or looked at.
    #[error("cannot use the directory {path}: {source}")]
    Io {
        /// The directory in question.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Something that is not a directory stands in the home's place.
    #[error("{0} is not a directory")]
    NotADirectory(PathBuf),
    /// The directory for the socket belongs to somebody else or is open to others.
    #[error("the directory {0} for the node's socket is not private to this user")]
    NotPrivate(PathBuf),
    /// Not even the fallback gives a path short enough for a socket.
    #[error("the path {0} is too long for a socket")]
    SocketPathTooLong(PathBuf),
}

/// The variables of the environment that decide where things are. Read once, at the rim.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// `HOME`
    pub home: Option<OsString>,
    /// `XDG_DATA_HOME`
    pub xdg_data_home: Option<OsString>,
    /// `XDG_RUNTIME_DIR`
    pub xdg_runtime_dir: Option<OsString>,
}

impl Environment {
    /// The environment of this process.
    #[must_use]
    pub fn of_process() -> Self {
        Self {
            home: std::env::var_os("HOME"),
            xdg_data_home: std::env::var_os("XDG_DATA_HOME"),
            xdg_runtime_dir: std::env::var_os("XDG_RUNTIME_DIR"),
        }
    }
}

/// A home directory, by an absolute path, and its keys where they were unlocked. Whether it exists
/// is another question.
#[derive(Debug, Clone)]
pub struct Home {
    root: PathBuf,
    runtime: Option<PathBuf>,
    unlocked: Option<Arc<Unlocked>>,
}

impl Home {
    /// Finds the home: `explicit` (from the command line or `LANAI_HOME`) if there is one and it
    /// is not empty, else the user's data directory.
    ///
    /// The path becomes absolute, and canonical as far as it exists, so that two spellings of one
    /// directory are one home.
    ///
    /// # Errors
    ///
    /// [`HomeError::Nowhere`] when nothing names a directory, [`HomeError::Io`] when the working
    /// directory that a relative path starts from is gone.
    pub fn resolve(explicit: Option<&Path>, env: &Environment) -> Result<Self, HomeError> {
        let named = explicit.filter(|path| !path.as_os_str().is_empty()).map(Path::to_path_buf);
        let root = named
            .or_else(|| Some(absolute(env.xdg_data_home.as_ref())?.join("lanai")))
            .or_else(|| Some(absolute(env.home.as_ref())?.join(".local/share/lanai")))
            .ok_or(HomeError::Nowhere)?;
        let full = std::path::absolute(&root)
            .map_err(|source| HomeError::Io { path: root.clone(), source })?;
        let root = canonical(&full);
        let runtime = absolute(env.xdg_runtime_dir.as_ref());
        Ok(Self { root, runtime, unlocked: None })
    }

    /// The same home with its keys, for a process that was given the passphrase.
    #[must_use]
    pub fn with_keys(self, unlocked: Arc<Unlocked>) -> Self {
        Self { unlocked: Some(unlocked), ..self }
    }

    /// The keys that were unlocked.
    #[must_use]
    pub fn unlocked(&self) -> Option<&Unlocked> {
        self.unlocked.as_deref()
    }

    /// The directory itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether a store was ever made here.
    #[must_use]
    pub fn has_store(&self) -> bool {
        self.store().exists()
    }

    /// The SQLite file that holds all entries.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.root.join("store.db")
    }

    /// The token beside the store that tells a copied or restored store from its original.
    #[must_use]
    pub fn token(&self) -> PathBuf {
        self.root.join("store.token")
    }

    /// The secret keys of this device; never part of a backup.
    #[must_use]
    pub fn device_key(&self) -> PathBuf {
        self.root.join("device.key")
    }

    /// Settings.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.root.join("config.json")
    }

    /// Directory of the sealed bytes of files.
    #[must_use]
    pub fn files(&self) -> PathBuf {
        self.root.join("files")
    }

    /// Held locked by the one node that runs here; names its process.
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.root.join("node.lock")
    }

    /// Log of a node in the background; of a locked home in the [`passing_dir`](Self::passing_dir).
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.passing_dir().unwrap_or_else(|| self.root.clone()).join("node.log")
    }

    /// Directory of texts that were begun and not published; of a locked home in the
    /// [`passing_dir`](Self::passing_dir).
    #[must_use]
    pub fn drafts(&self) -> PathBuf {
        self.passing_dir().unwrap_or_else(|| self.root.clone()).join("drafts")
    }

    /// Where a locked home keeps what must not come to rest on the disk: a directory in memory, which
    /// is empty after the machine was off. `None` where the home has no passphrase, or the system has
    /// no such place.
    #[must_use]
    pub fn passing_dir(&self) -> Option<PathBuf> {
        identity::is_locked(&self.device_key()).then(|| self.memory_dir()).flatten()
    }

    /// The [`passing_dir`](Self::passing_dir) that the home has or would have with a passphrase.
    pub(crate) fn memory_dir(&self) -> Option<PathBuf> {
        let memory = self.runtime.clone().or_else(|| {
            let shared = Path::new("/dev/shm");
            shared.is_dir().then(|| shared.to_path_buf())
        })?;
        Some(memory.join(self.short_name()))
    }

    /// Makes the [`passing_dir`](Self::passing_dir), where there is one, and checks that nobody else
    /// can look into it.
    ///
    /// # Errors
    ///
    /// As for [`prepare_socket`](Self::prepare_socket).
    pub fn prepare_passing(&self) -> Result<(), HomeError> {
        match self.passing_dir() {
            Some(dir) => {
                make_private_dir(&dir)?;
                self.check_private(&dir)
            }
            None => Ok(()),
        }
    }

    /// A name that no other home has.
    fn short_name(&self) -> String {
        let hash = blake3::hash(self.root.as_os_str().as_bytes()).to_hex();
        format!("lanai-{}", hash.chars().take(16).collect::<String>())
    }

    /// The request of this device to become a member's, until it is one.
    #[must_use]
    pub fn device_request(&self) -> PathBuf {
        self.root.join("device.request")
    }

    /// How far joining a community came.
    #[must_use]
    pub fn join_state(&self) -> PathBuf {
        self.root.join("join.json")
    }

    /// The control socket of the running node: `node.sock` in the home, or a short path elsewhere
    /// when that is longer than [`MAX_SOCKET_PATH`]. Always the same for the same home and
    /// environment.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        let inside = self.root.join("node.sock");
        if fits(&inside) {
            return inside;
        }
        let name = self.short_name();
        let candidate = |base: &Path| base.join(&name).join("node.sock");
        match self.runtime.as_deref().map(candidate) {
            Some(path) if fits(&path) => path,
            _ => candidate(Path::new("/tmp")),
        }
    }

    /// Makes the home, readable by its owner alone, with its parents. Does nothing to one that
    /// exists.
    ///
    /// # Errors
    ///
    /// [`HomeError::Io`] when it cannot be made, [`HomeError::NotADirectory`] when something else
    /// has its name.
    pub fn create(&self) -> Result<(), HomeError> {
        make_private_dir(&self.root)
    }

    /// Makes the directory the [`socket`](Self::socket) stands in and checks that nobody else can
    /// reach into it. To be called by the node before it binds.
    ///
    /// # Errors
    ///
    /// [`HomeError::NotPrivate`] when a directory of that name was made by somebody else (in a
    /// shared `/tmp` anybody can) or is open to others; the errors of [`create`](Self::create).
    pub fn prepare_socket(&self) -> Result<PathBuf, HomeError> {
        self.create()?;
        let socket = self.socket();
        if !fits(&socket) {
            return Err(HomeError::SocketPathTooLong(socket));
        }
        match socket.parent() {
            Some(dir) if dir != self.root => {
                make_private_dir(dir)?;
                self.check_private(dir)?;
            }
            _ => {}
        }
        Ok(socket)
    }

    /// Checks that the socket's directory is this user's own, for a client about to connect: a
    /// socket in a directory made by somebody else would be answered by somebody else.
    ///
    /// # Errors
    ///
    /// [`HomeError::NotPrivate`], or [`HomeError::Io`] when there is no such directory.
    pub fn check_socket(&self) -> Result<PathBuf, HomeError> {
        let socket = self.socket();
        match socket.parent() {
            Some(dir) if dir != self.root => self.check_private(dir)?,
            _ => {}
        }
        Ok(socket)
    }

    /// A private directory has the owner of the home, and neither group nor others may use it.
    fn check_private(&self, dir: &Path) -> Result<(), HomeError> {
        let look = |path: &Path, meta: io::Result<Metadata>| {
            meta.map_err(|source| HomeError::Io { path: path.to_path_buf(), source })
        };
        let home = look(&self.root, std::fs::metadata(&self.root))?;
        // Not followed: a link could be turned elsewhere later.
        let found = look(dir, std::fs::symlink_metadata(dir))?;
        if found.is_dir() && found.uid() == home.uid() && found.mode() & 0o077 == 0 {
            Ok(())
        } else {
            Err(HomeError::NotPrivate(dir.to_path_buf()))
        }
    }
}

fn fits(path: &Path) -> bool {
    path.as_os_str().len() <= MAX_SOCKET_PATH
}

/// A variable's value where it is an absolute path. XDG says to ignore any other.
fn absolute(value: Option<&OsString>) -> Option<PathBuf> {
    value.map(PathBuf::from).filter(|path| path.is_absolute())
}

/// Canonical as far as the path exists; the rest is appended as it is.
fn canonical(path: &Path) -> PathBuf {
    for ancestor in path.ancestors() {
        if let Ok(real) = ancestor.canonicalize() {
            return match path.strip_prefix(ancestor) {
                Ok(rest) if !rest.as_os_str().is_empty() => real.join(rest),
                _ => real,
            };
        }
    }
    path.to_path_buf()
}

fn make_private_dir(dir: &Path) -> Result<(), HomeError> {
    let made = DirBuilder::new().recursive(true).mode(PRIVATE_DIR).create(dir);
    match made {
        Ok(()) => Ok(()),
        Err(_) if dir.exists() && !dir.is_dir() => Err(HomeError::NotADirectory(dir.to_path_buf())),
        Err(source) => Err(HomeError::Io { path: dir.to_path_buf(), source }),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn env(home: &str, data: &str, runtime: &str) -> Environment {
        let some = |s: &str| (!s.is_empty()).then(|| OsString::from(s));
        Environment { home: some(home), xdg_data_home: some(data), xdg_runtime_dir: some(runtime) }
    }

    fn root(explicit: Option<&str>, env: &Environment) -> PathBuf {
        Home::resolve(explicit.map(Path::new), env).unwrap().root().to_path_buf()
    }

    #[test]
    fn the_first_that_is_named_wins() {
        let both = env("/nowhere/u", "/nowhere/data", "");
        assert_eq!(root(Some("/nowhere/x"), &both), Path::new("/nowhere/x"));
        assert_eq!(root(None, &both), Path::new("/nowhere/data/lanai"));
        assert_eq!(root(Some(""), &both), Path::new("/nowhere/data/lanai"));
        let relative_data = env("/nowhere/u", "data", "");
        assert_eq!(root(None, &relative_data), Path::new("/nowhere/u/.local/share/lanai"));
        let none = Home::resolve(None, &Environment::default());
        assert!(matches!(none, Err(HomeError::Nowhere)));
    }

    #[test]
    fn two_spellings_are_one_home() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().join("real");
        std::fs::create_dir(&real).unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let env = Environment::default();
        let by_link = Home::resolve(Some(&link.join("new")), &env).unwrap();
        let by_name = Home::resolve(Some(&real.join("new")), &env).unwrap();
        assert_eq!(by_link.root(), by_name.root());
    }

    #[test]
    fn a_new_home_is_private_and_making_it_twice_is_fine() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        let home = Home::resolve(Some(&path), &Environment::default()).unwrap();
        home.create().unwrap();
        home.create().unwrap();
        let mode = std::fs::metadata(home.root()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        std::fs::write(dir.path().join("file"), "").unwrap();
        let taken = Home::resolve(Some(&dir.path().join("file")), &Environment::default()).unwrap();
        assert!(matches!(taken.create(), Err(HomeError::NotADirectory(_))));
    }

    #[test]
    fn a_deep_home_has_a_short_socket() {
        let dir = tempfile::tempdir().unwrap();
        let runtime = dir.path().join("run");
        std::fs::create_dir(&runtime).unwrap();
        let env = env("", "", runtime.to_str().unwrap());
        let shallow = Home::resolve(Some(&dir.path().join("h")), &env).unwrap();
        assert_eq!(shallow.prepare_socket().unwrap(), shallow.root().join("node.sock"));

        let deep_path = dir.path().join("deep".repeat(20)).join("er".repeat(20));
        let deep = Home::resolve(Some(&deep_path), &env).unwrap();
        let socket = deep.prepare_socket().unwrap();
        assert!(socket.starts_with(&runtime), "{socket:?}");
        assert!(socket.as_os_str().len() <= MAX_SOCKET_PATH);
        assert_eq!(deep.check_socket().unwrap(), socket);
        std::os::unix::net::UnixListener::bind(&socket).unwrap();

        let other = Home::resolve(Some(&deep_path.join("x")), &env).unwrap();
        assert_ne!(other.socket(), socket);
        let no_runtime = Home::resolve(Some(&deep_path), &Environment::default()).unwrap();
        assert!(no_runtime.socket().starts_with("/tmp"));
    }

    #[test]
    fn a_socket_directory_open_to_others_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let runtime = dir.path().join("run");
        std::fs::create_dir(&runtime).unwrap();
        let env = env("", "", runtime.to_str().unwrap());
        let deep = Home::resolve(Some(&dir.path().join("deep".repeat(30))), &env).unwrap();
        let socket = deep.prepare_socket().unwrap();
        let parent = socket.parent().unwrap();
        std::fs::set_permissions(parent, PermissionsExt::from_mode(0o755)).unwrap();
        assert!(matches!(deep.prepare_socket(), Err(HomeError::NotPrivate(_))));
        assert!(matches!(deep.check_socket(), Err(HomeError::NotPrivate(_))));
        std::fs::remove_dir(parent).unwrap();
        let elsewhere = dir.path().join("elsewhere");
        std::fs::create_dir(&elsewhere).unwrap();
        std::fs::set_permissions(&elsewhere, PermissionsExt::from_mode(0o700)).unwrap();
        std::os::unix::fs::symlink(&elsewhere, parent).unwrap();
        assert!(matches!(deep.prepare_socket(), Err(HomeError::NotPrivate(_))));
    }
}
