//! One node per home: an advisory lock on a file that also says who holds it.
//!
//! The operating system drops the lock when its holder ends, however it ends, so a crash leaves
//! nothing to clean up.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

/// Bytes of the lock file that are read at most.
const MAX_HOLDER_BYTES: u64 = 256;
/// How long somebody who only looks for a holder may keep the lock from one.
const LOOKER_PATIENCE: Duration = Duration::from_millis(500);
/// Pause between two attempts.
const PAUSE: Duration = Duration::from_millis(5);

/// Holds the home until it is dropped.
#[derive(Debug)]
pub struct NodeLock {
    _file: File,
}

/// Why the lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process runs a node on this home.
    #[error("a node already runs on this home ({holder})")]
    Held {
        /// What the holder wrote about itself, such as `process 4711`.
        holder: String,
    },
    /// The file could not be opened or written.
    #[error("lock file {path}: {source}")]
    Io {
        /// The lock file.
        path: String,
        /// The operating system's reason.
        source: std::io::Error,
    },
}

impl NodeLock {
    /// Takes the lock, or says who holds it.
    pub fn acquire(path: &Path) -> Result<NodeLock, LockError> {
        let io = |source| LockError::Io { path: path.display().to_string(), source };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(io)?;
        let begun = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => break,
                // It may be somebody who looks for a holder, and is one while looking.
                Err(TryLockError::WouldBlock) if begun.elapsed() < LOOKER_PATIENCE => {
                    std::thread::sleep(PAUSE);
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(LockError::Held { holder: holder(&file) });
                }
                Err(TryLockError::Error(e)) => return Err(io(e)),
            }
        }
        file.set_len(0).map_err(io)?;
        write!(file, "process {}", std::process::id()).map_err(io)?;
        file.flush().map_err(io)?;
        Ok(NodeLock { _file: file })
    }

    /// Whether some process holds the lock now, and what it says of itself.
    pub fn holder(path: &Path) -> Option<String> {
        let file = File::open(path).ok()?;
        // Shared, so that two who look do not take one another for the holder.
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => Some(holder(&file)),
            _ => None,
        }
    }
}

fn holder(mut file: &File) -> String {
    let mut text = String::new();
    let read = file.rewind().and_then(|()| file.take(MAX_HOLDER_BYTES).read_to_string(&mut text));
    match read {
        Ok(n) if n > 0 => text.trim().to_owned(),
        _ => "process unknown".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_taker_hears_who_holds_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.lock");
        assert_eq!(NodeLock::holder(&path), None);
        let held = NodeLock::acquire(&path).unwrap();
        let me = format!("process {}", std::process::id());
        assert!(
            matches!(NodeLock::acquire(&path), Err(LockError::Held { holder }) if holder == me)
        );
        assert_eq!(NodeLock::holder(&path), Some(me));
        drop(held);
        assert!(NodeLock::acquire(&path).is_ok());
        assert_eq!(NodeLock::holder(&path), None);
    }

    #[test]
    fn looking_for_a_holder_keeps_nobody_from_being_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.lock");
        drop(NodeLock::acquire(&path).unwrap());
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while !done.load(std::sync::atomic::Ordering::Relaxed) {
                        NodeLock::holder(&path);
                        std::thread::yield_now();
                    }
                });
            }
            let taken: Vec<_> = (0..200).map(|_| NodeLock::acquire(&path).map(drop)).collect();
            done.store(true, std::sync::atomic::Ordering::Relaxed);
            assert!(taken.iter().all(Result::is_ok), "{taken:?}");
        });
    }
}
