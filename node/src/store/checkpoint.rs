//! Moving what was written from the log of writes into the store, beside whoever writes.
//!
//! SQLite appends what is committed to a log (the WAL) and moves the pages into the store when the log has grown, at
//! the end of some commit: there the writer waits for the disk, a tenth of the time of a first sync. But any
//! connection may do it while another one writes, so after a large transaction a thread does. The log begins anew
//! once all of it was moved, and what the thread does not get done a commit still does.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::Place;
use super::connection::open_reader;

/// The thread ends when nothing was to be done for so long.
const IDLE: Duration = Duration::from_secs(2);

/// The thread of a store, while there is one.
#[derive(Debug)]
pub(super) struct Checkpoints {
    place: Place,
    running: Mutex<Option<Running>>,
}

#[derive(Debug)]
struct Running {
    wake: SyncSender<()>,
    thread: JoinHandle<()>,
}

impl Checkpoints {
    pub(super) fn of(place: Place) -> Checkpoints {
        Checkpoints { place, running: Mutex::new(None) }
    }

    /// Asks for one, and does not wait for it.
    pub(super) fn begin(&self) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        match running.as_ref().map(|r| r.wake.try_send(())) {
            // One that is asked for already will see what was committed since.
            Some(Ok(()) | Err(TrySendError::Full(()))) => return,
            Some(Err(TrySendError::Disconnected(()))) | None => {}
        }
        let (wake, wakes) = sync_channel(1);
        let place = self.place.clone();
        let asked = wake.try_send(());
        let thread = std::thread::Builder::new()
            .name("checkpoint".into())
            .spawn(move || checkpoint(&place, &wakes));
        // Without a thread, a commit does it.
        *running = thread.ok().filter(|_| asked.is_ok()).map(|thread| Running { wake, thread });
    }
}

impl Drop for Checkpoints {
    /// Its connection must not be the last: who closes a store finds all in one file.
    fn drop(&mut self) {
        let running = self.running.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Running { wake, thread }) = running {
            drop(wake);
            let _ended = thread.join();
        }
    }
}

fn checkpoint(place: &Place, wakes: &Receiver<()>) {
    let Ok(conn) = open_reader(place) else { return };
    while wakes.recv_timeout(IDLE).is_ok() {
        // What fails, on a full disk, is tried again by a commit, and told there.
        let _done = conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use crate::store::tests::Node;

    #[test]
    fn what_much_was_written_is_moved_into_the_store() {
        let mut a = Node::founder("ana");
        let thread = a.note("t", "root");
        for i in 0..super::super::write::MANY {
            a.reply(thread, &i.to_string());
        }
        let b = a.invite("bo");
        b.ingest(a.everything());
        // Pages in the log, and how many of them are in the store.
        let moved = || -> (i64, i64) {
            let sql = "PRAGMA wal_checkpoint(NOOP)";
            let conn = rusqlite::Connection::open(&b.place.db).unwrap();
            conn.query_row(sql, [], |r| Ok((r.get(1)?, r.get(2)?))).unwrap()
        };
        let begun = Instant::now();
        while moved().0 != moved().1 {
            assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", moved());
            std::thread::sleep(Duration::from_millis(5));
        }
        let (wal, place) = (b.place.db.with_extension("db-wal"), b.place.clone());
        assert!(wal.exists());
        drop(b.store);
        assert!(place.db.exists() && !wal.exists(), "closed, all is in one file");
    }
}
