//! What happens in a node, told while it happens to whoever listens on the control socket.
//!
//! A listener sends the request `events` and gets `done`, then a line of JSON for each [`Event`] until it
//! hangs up or the node ends. [`QUEUE`] events wait for a slow listener; of those after them it is told how
//! many there were ([`Happening::Dropped`]). Nobody in the node ever waits for a listener.

use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

/// Events that wait for one listener.
const QUEUE: usize = 256;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When, in Unix milliseconds.
    pub at_ms: u64,
    /// What.
    #[serde(flatten)]
    pub what: Happening,
}

/// What happened. Devices are written out in base32.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Happening {
    /// A member's device is connected.
    Connected {
        /// Which.
        device: String,
        /// Where it is.
        address: String,
        /// This node called it.
        outbound: bool,
    },
    /// A member's device is not connected any more.
    Disconnected {
        /// Which.
        device: String,
    },
    /// A sync session with a member's device began.
    SessionBegan {
        /// Which.
        device: String,
        /// This node opened it.
        opened: bool,
    },
    /// A sync session ended.
    SessionEnded {
        /// With which device.
        device: String,
        /// This node had opened it.
        opened: bool,
        /// Entries or texts that were new here.
        received: u64,
        /// Entries that the device took.
        sent: u64,
        /// Bytes above the transport.
        bytes_in: u64,
        /// Bytes above the transport.
        bytes_out: u64,
        /// Entries that were refused.
        refused: u64,
        /// Milliseconds that it took.
        took_ms: u64,
        /// Why it failed, if it did.
        error: Option<String>,
    },
    /// Entries came in, by a session or live.
    Arrived {
        /// How many.
        entries: u64,
        /// They were told live.
        live: bool,
    },
    /// Entries were written on this device.
    Written {
        /// How many; nothing where they are too many to be told live.
        entries: Option<u64>,
    },
    /// Who belongs changed.
    RosterChanged {
        /// Devices of members there are now, this one included.
        devices: u64,
    },
    /// Something went wrong in the node.
    Problem {
        /// What, for people.
        message: String,
    },
    /// The listener was too slow: so many events were not told.
    Dropped {
        /// How many.
        events: u64,
    },
}

/// Where events are told.
#[derive(Debug, Clone)]
pub struct Events(broadcast::Sender<Event>);

impl Default for Events {
    fn default() -> Events {
        Events(broadcast::channel(QUEUE).0)
    }
}

impl Events {
    /// Tells it to all who listen.
    pub fn tell(&self, at_ms: u64, what: Happening) {
        if self.0.receiver_count() > 0 {
            // The last one may just have gone.
            let _nobody = self.0.send(Event { at_ms, what });
        }
    }

    /// Listens from now on.
    pub fn listen(&self) -> Listener {
        Listener { events: self.0.subscribe(), last_ms: 0 }
    }
}

/// Who listens.
#[derive(Debug)]
pub struct Listener {
    events: broadcast::Receiver<Event>,
    last_ms: u64,
}

impl Listener {
    /// The next event; `None` when the node ends.
    pub async fn next(&mut self) -> Option<Event> {
        match self.events.recv().await {
            Ok(event) => {
                self.last_ms = event.at_ms;
                Some(event)
            }
            Err(RecvError::Lagged(events)) => {
                Some(Event { at_ms: self.last_ms, what: Happening::Dropped { events } })
            }
            Err(RecvError::Closed) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(entries: u64) -> Happening {
        Happening::Written { entries: Some(entries) }
    }

    #[tokio::test]
    async fn who_is_slow_is_told_how_much_was_dropped() {
        let events = Events::default();
        events.tell(1, written(0));
        let mut listener = events.listen();
        let many = QUEUE as u64 + 10;
        (0..many).for_each(|n| events.tell(n, written(n)));
        let first = listener.next().await.unwrap();
        assert_eq!(first.what, Happening::Dropped { events: 10 });
        for n in 10..many {
            assert_eq!(listener.next().await, Some(Event { at_ms: n, what: written(n) }));
        }
        drop(events);
        assert_eq!(listener.next().await, None);
    }

    #[test]
    fn lines_are_as_documented() {
        let device = "d".to_owned();
        let event = Event { at_ms: 7, what: Happening::Disconnected { device } };
        let line = serde_json::to_string(&event).unwrap();
        assert_eq!(line, r#"{"at_ms":7,"event":"disconnected","device":"d"}"#);
        assert_eq!(serde_json::from_str::<Event>(&line).unwrap(), event);
        let line = serde_json::to_string(&Event { at_ms: 8, what: written(2) }).unwrap();
        assert_eq!(line, r#"{"at_ms":8,"event":"written","entries":2}"#);
    }
}
