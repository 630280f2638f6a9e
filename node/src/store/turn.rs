//! Turns: who waits for the writer gets it next.
//!
//! A lock goes to whoever asks first once it is free, and who has just given it back asks first. So a thread that
//! folds one batch after another would keep sync out; and a command typed beside a node, which SQLite has look
//! whether the store is free ever more seldom, would be kept out for seconds. Therefore who wants the writer
//! takes the turn first, waits for the writer with it, and gives it up once he has that: whoever comes after
//! him waits for the turn.
//!
//! Threads take turns by a mutex, processes by an advisory lock on an empty file beside the store. The system
//! drops the lock when its holder ends. A holder who was stopped in between is waited for no longer than
//! [`PATIENCE`], and where the file cannot be locked, SQLite alone decides, as it would without.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a process waits for another one's turn to end; then it goes on without.
const PATIENCE: Duration = Duration::from_millis(500);
/// Pause between two attempts.
const PAUSE: Duration = Duration::from_millis(1);

/// The turns of a store, as one process takes part in them.
#[derive(Debug)]
pub(super) struct Turns {
    path: PathBuf,
    next: Mutex<Shared>,
}

/// The file by which processes take turns.
#[derive(Debug)]
enum Shared {
    NotOpened,
    File(File),
    Without,
}

/// The turn, until it is dropped.
pub(super) struct Turn<'a> {
    next: MutexGuard<'a, Shared>,
    locked: bool,
}

impl Turns {
    /// The turns of the store whose file for them is at `path`; made when one is taken.
    pub(super) fn at(path: PathBuf) -> Turns {
        Turns { path, next: Mutex::new(Shared::NotOpened) }
    }

    /// Waits for the turn.
    pub(super) fn take(&self) -> Turn<'_> {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*next, Shared::NotOpened) {
            // Whoever can open it can lock it.
            let file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(&self.path);
            *next = file.map_or(Shared::Without, Shared::File);
        }
        let locked = match &*next {
            Shared::File(file) => lock(file),
            Shared::NotOpened | Shared::Without => false,
        };
        Turn { next, locked }
    }
}

fn lock(file: &File) -> bool {
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return true,
            Err(TryLockError::WouldBlock) if begun.elapsed() < PATIENCE => {
                std::thread::sleep(PAUSE);
            }
            Err(_) => return false,
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let (true, Shared::File(file)) = (self.locked, &*self.next) {
            // What stays locked is waited for with patience, and freed when the process ends.
            let _unlocked = file.unlock();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn who_waits_comes_before_who_asks_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("turn");
        // As two processes: each its own file; the writer is one for both.
        let (mine, others) = (Turns::at(path.clone()), Turns::at(path));
        let writer = Mutex::new(());
        let (waits, served) = (AtomicBool::new(false), AtomicBool::new(false));
        let between = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let turn = others.take();
                waits.store(true, Ordering::SeqCst);
                let held = writer.lock().unwrap();
                drop(turn);
                served.store(true, Ordering::SeqCst);
                drop(held);
            });
            let begun = Instant::now();
            while !served.load(Ordering::SeqCst) {
                assert!(begun.elapsed() < Duration::from_secs(20));
                let turn = mine.take();
                let held = writer.lock().unwrap();
                drop(turn);
                if waits.load(Ordering::SeqCst) && !served.load(Ordering::SeqCst) {
                    between.fetch_add(1, Ordering::SeqCst);
                }
                drop(held);
            }
        });
        // Once it may have had the writer already when the other began to wait.
        assert!(between.load(Ordering::SeqCst) <= 2, "{between:?}");
    }

    #[test]
    fn a_holder_who_was_stopped_is_not_waited_for_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("turn");
        let (stopped, mine) = (Turns::at(path.clone()), Turns::at(path));
        let held = stopped.take();
        assert!(held.locked);
        assert!(!mine.take().locked);
        drop(held);
        assert!(mine.take().locked);
    }

    #[test]
    fn without_a_file_there_are_turns_among_threads() {
        let turns = Turns::at("/nowhere/at/all".into());
        assert!(!turns.take().locked);
    }
}
