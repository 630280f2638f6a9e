//! Ctrl-C while another program has the terminal.
//!
//! Ctrl-C goes to every process in the foreground. While a pager or an editor runs, it is meant
//! for that program; were `lanai` to die of it, the shell and the pager would fight for the
//! keyboard. So it is held off for as long as a [`Hold`] lives. Afterwards it ends `lanai` again.
//!
//! A long work that wants to stop at a good place holds Ctrl-C off too, and asks
//! [`Hold::interrupted`] whenever it could stop.

use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::signal::unix::{SignalKind, signal};

/// How many holds there are.
static HOLDS: AtomicUsize = AtomicUsize::new(0);
/// How often Ctrl-C came.
static INTERRUPTS: AtomicUsize = AtomicUsize::new(0);
/// Guards the start of the one thread that listens.
static LISTENER: Once = Once::new();

/// The status a shell gives to a process that died of Ctrl-C: 128 and the number of the signal.
const DIED_OF_INTERRUPT: i32 = 130;

/// While one of these lives, Ctrl-C does not end the process.
#[derive(Debug)]
pub struct Hold {
    before: usize,
}

impl Hold {
    /// Holds Ctrl-C off. Where the system refuses to listen for it, nothing is held.
    #[must_use]
    pub fn new() -> Self {
        HOLDS.fetch_add(1, Ordering::SeqCst);
        LISTENER.call_once(|| {
            let (ready, started) = std::sync::mpsc::sync_channel(1);
            let thread = std::thread::Builder::new().name("interrupt".into());
            if thread.spawn(move || listen(&ready)).is_ok() {
                // An error means that the thread gave up, which is as good as an answer.
                let _ = started.recv();
            }
        });
        Self { before: INTERRUPTS.load(Ordering::SeqCst) }
    }

    /// Whether Ctrl-C came since this was made.
    #[must_use]
    pub fn interrupted(&self) -> bool {
        INTERRUPTS.load(Ordering::SeqCst) != self.before
    }
}

impl Default for Hold {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        HOLDS.fetch_sub(1, Ordering::SeqCst);
    }
}

fn listen(ready: &std::sync::mpsc::SyncSender<()>) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build() else {
        return;
    };
    runtime.block_on(async {
        let Ok(mut interrupts) = signal(SignalKind::interrupt()) else { return };
        let _ = ready.send(());
        while interrupts.recv().await.is_some() {
            INTERRUPTS.fetch_add(1, Ordering::SeqCst);
            if HOLDS.load(Ordering::SeqCst) == 0 {
                std::process::exit(DIED_OF_INTERRUPT);
            }
        }
    });
}
