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

/// What the names of all that lanai makes in a home begin with, after a dot where an interruption left
/// them unfinished.
const OURS: [&str; 9] = [
    "device.",
    "store.",
    "config.json",
    "node.",
    "drafts",
    "files",
    "join.",
    "left-",
    "recovering",
];
/// What the names of key files begin with.
const KEYS: [&str; 1] = ["device.key"];

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
    let found = files_in(home.root(), &OURS, &mut wiped.left)?;
    let (keys, mut others): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|path| begins(path, &KEYS));
    for path in &keys {
        destroy(path, &mut after)?;
    }
    step(&Step::KeysGone, home.root(), &mut after)?;
    let memory = home.memory_dir();
    if let Some(memory) = &memory {
        others.extend(files_in(memory, &[], &mut Vec::new())?);
    }
    for path in &others {
        destroy(path, &mut after)?;
    }
    wiped.files = u64::try_from(keys.len() + others.len()).unwrap_or(u64::MAX);
    drop(lock);
    for dir in memory.iter().map(PathBuf::as_path).chain([home.root()]) {
        remove_empty(dir);
    }
    Ok(wiped)
}

fn begins(path: &Path, names: &[&str]) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = name.strip_prefix('.').unwrap_or(&name);
    names.iter().any(|begin| name.starts_with(begin))
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

fn destroy(path: &Path, after: &mut impl FnMut(&Step) -> io::Result<()>) -> Result<(), WipeError> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::home::Environment;

    const SECRET: &[u8] = b"all my keys";

    /// A home with all kinds of things in it, and a directory beside it that a link points to.
    fn furnished(dir: &Path) -> Home {
        let home = Home::resolve(Some(&dir.join("home")), &Environment::default()).unwrap();
        home.create().unwrap();
        let outside = dir.join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("photo"), "mine").unwrap();
        for name in ["drafts", "left-k3f9", "music"] {
            fs::create_dir(home.root().join(name)).unwrap();
        }
        for (name, content) in [
            ("device.key", SECRET),
            (".device.key.q7", SECRET),
            ("left-k3f9/device.key", SECRET),
            ("left-k3f9/store.db", b"texts"),
            ("store.db", b"texts"),
            ("store.db.v3", b"texts"),
            ("drafts/reply.md", b"texts"),
            ("config.json", b"{}"),
            ("music/song", b"not ours"),
        ] {
            fs::write(home.root().join(name), content).unwrap();
        }
        std::os::unix::fs::symlink(&outside, home.root().join("drafts/link")).unwrap();
        std::os::unix::fs::symlink(outside.join("photo"), home.root().join("store.link")).unwrap();
        home
    }

    fn contents(dir: &Path) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(dir).into_iter().flatten() {
            let path = entry.unwrap().path();
            match fs::symlink_metadata(&path).unwrap().file_type() {
                kind if kind.is_dir() => found.extend(contents(&path)),
                kind if kind.is_file() => found.push(fs::read(&path).unwrap()),
                _ => {}
            }
        }
        found
    }

    #[test]
    fn keys_go_first_whenever_it_is_interrupted_and_the_next_run_ends_it() {
        for stop in 0.. {
            let dir = tempfile::tempdir().unwrap();
            let home = furnished(dir.path());
            let (mut steps, mut keys_gone) = (0, false);
            let result = wipe(&home, |step| {
                keys_gone |= *step == Step::KeysGone;
                steps += 1;
                if steps > stop { Err(io::Error::other("the battery is empty")) } else { Ok(()) }
            });
            let left = contents(home.root());
            if keys_gone {
                assert!(!left.iter().any(|bytes| bytes == SECRET), "after {steps} steps");
            } else {
                let texts = left.iter().filter(|bytes| *bytes == b"texts").count();
                assert_eq!(texts, 4, "a text went before the keys, after {steps} steps");
            }
            let done = result.is_ok();
            let wiped = result.unwrap_or_else(|_| wipe(&home, |_| Ok(())).unwrap());
            assert_eq!(wiped.left, [home.root().join("music")]);
            assert_eq!(contents(home.root()), [b"not ours"]);
            assert!(!home.root().join("left-k3f9").exists());
            assert_eq!(fs::read(dir.path().join("outside/photo")).unwrap(), b"mine");
            if done {
                assert!(stop > 15, "{stop}");
                return;
            }
        }
    }

    #[test]
    fn a_home_with_a_node_is_let_be() {
        let dir = tempfile::tempdir().unwrap();
        let home = furnished(dir.path());
        let _node = NodeLock::acquire(&home.lock()).unwrap();
        assert!(matches!(wipe(&home, |_| Ok(())), Err(WipeError::Running(_))));
        assert_eq!(fs::read(home.device_key()).unwrap(), SECRET);
    }

    /// The texts of a sealed store are gone with the keys, locked or not.
    #[test]
    #[cfg(feature = "sqlcipher")]
    fn of_a_sealed_store_nothing_can_be_read_at_any_interruption() {
        use lanai_crdt::payload::{History, InvitePolicy, Profile};

        use crate::identity::Identity;
        use crate::identity::passphrase::{Cost, Lock, Passphrase};
        use crate::random::OsRandom;
        use crate::store::{Author, Founding, Place, Store};

        for locked in [true, false] {
            for stop in 0.. {
                let dir = tempfile::tempdir().unwrap();
                let home = Home::resolve(Some(&dir.path().join("home")), &Environment::default());
                let home = home.unwrap();
                home.create().unwrap();
                let identity = Identity::generate(&mut OsRandom);
                let lock =
                    Lock { cost: Cost { memory_kib: 8, passes: 1, lanes: 1 }, ..Lock::fresh() };
                let key = lock.new_key(&Passphrase::new("heron".into())).unwrap();
                match locked {
                    true => identity.write_locked(&home.device_key(), &lock, &key).unwrap(),
                    false => identity.create(&home.device_key()).unwrap(),
                }
                let place = Place {
                    key: Some(identity.store_key()),
                    ..Place::new(home.store(), home.token())
                };
                let founding = Founding {
                    name: "The Quicksand Porch".into(),
                    charter: None,
                    profile: Profile { name: "Ana Okafor".into(), ..Profile::default() },
                    recovery_key: [1; 32],
                    invite: InvitePolicy::Members,
                    history: History::All,
                    quorum: (2, 3),
                    paper: None,
                };
                let seed = identity.device.to_bytes();
                let author = Author { device: identity.device, sealing: identity.sealing };
                let store =
                    Store::create(&place, &author, &founding, 1_800_000_000_000, &mut OsRandom);
                let store = store.unwrap();
                while store.fold_pending(100).unwrap().left > 0 {}
                drop(store);
                let (mut steps, mut keys_gone) = (0, false);
                let result = wipe(&home, |step| {
                    keys_gone |= *step == Step::KeysGone;
                    steps += 1;
                    if steps > stop { Err(io::Error::other("power")) } else { Ok(()) }
                });
                let phrases: [&[u8]; 4] = [b"Quicksand", b"Okafor", b"SQLite format", &seed];
                if locked || keys_gone {
                    for bytes in contents(home.root()) {
                        for phrase in phrases {
                            assert!(!bytes.windows(phrase.len()).any(|w| w == phrase));
                        }
                    }
                }
                if result.is_ok() {
                    break;
                }
            }
        }
    }
}
