//! Sync: two nodes compare what they hold and exchange the difference, `/lanai/sync/1`.
//!
//! A session is a state machine without sockets, clock, randomness, threads or SQL: inputs are
//! bytes, answers of the store and the time; outputs are bytes, questions to the store and
//! batches to commit. Everything that can go wrong between two nodes can therefore be played
//! through in a test, by a seed.
//!
//! # The session
//!
//! 1. **Greeting** ([`Hello`], [`Digest`]). The initiator sends HELLO and DIGEST at once; the
//!    responder answers with its own. If the digests say that both hold the same, both are done:
//!    one round trip, 62 to 90 bytes each way.
//! 2. **News** ([`News`], [`Base`]). If both remember a moment at which they held the same, each names what
//!    came since, and sends what the other did not name. That is all, unless it fails to explain the
//!    counts in both digests; then whole sets are compared.
//! 3. **Reconciliation** (RB, [`Reconciler`]). The side that said it has more entries *drives*, the
//!    initiator when both have the same number. It sends messages and gets answers until it knows
//!    which entries only it has and which only the peer has. It says what it needs in WANT frames,
//!    the last of them marked, and that ends reconciliation.
//! 4. **Transfer.** Both sides send at the same time: roster entries first, then newest first, in
//!    groups of one SEG frame and its PAY frames ([`run`] has the layout). Groups spend the
//!    credit that the receiver's HELLO granted; ACK gives it back when they are durably committed.
//! 5. **End.** Each side says FIN when it has sent all that is wanted. A side is done when its FIN
//!    is sent, all it sent is acknowledged, and all it received up to the peer's FIN is committed
//!    and acknowledged. A session that breaks off at any byte loses nothing that was acknowledged;
//!    the next one finds what is left.
//!
//! Rules:
//!
//! 1. A peer is never believed about what *this* side holds. What it says about itself can only
//!    cost itself.
//! 2. Nothing received is believed here. [`Incoming`] entries are decoded, not verified; the store
//!    verifies signatures and the chain rule in one transaction per batch.
//! 3. Lengths and counts are checked before anything is allocated. A session holds at most its
//!    window of received entries, one unfinished frame, and bounded output ([`Session::buffered`]).
//! 4. A record that is no well-formed header is refused by name and harms no neighbour. A frame
//!    that cannot be read ends the session with a named error; whole groups that came before it are
//!    still handed over.
//! 5. Frames of reserved and unknown types are passed over and counted.
//! 6. A side without progress for [`Config::stall_ms`] ends the session. While this side's own store
//!    works it does not blame the peer, and tells it by repeating its last ACK that it is alive.
//!
//! # Frames
//!
//! A frame is u24 body length, u8 type, body; at most 64 KiB in all. Numbers inside bodies are
//! LEB128 varints in their shortest form.
//!
//! | no. | type | body |
//! | --- | --- | --- |
//! | 1 | HELLO | [`Hello`] |
//! | 2 | DIGEST | [`Digest`] |
//! | 3 | FRONT | [`Front`]; in bundles, passed over by sessions |
//! | 4 | RB | a negentropy v1 message |
//! | 5 | SEG | records to the end of the body; see [`run`] |
//! | 6 | PAY | payloads to the end of the body; see [`run`] |
//! | 7 | WANT | [`Want`] |
//! | 8 | SKIP | [`Skip`] |
//! | 9 | HAVE | reserved |
//! | 10 | FILE | reserved |
//! | 11 | ACK | [`Ack`] |
//! | 12 | FIN | [`Fin`] |
//! | 13 | BYE | u8 [`ByeReason`]; later versions may append to it |
//! | 14 | NEWS | [`News`] |
//!
//! # What a driver does
//!
//! The driver joins a session to a stream, a clock and a store. It owns all waiting:
//!
//! ```text
//! state   = store.local_state()              roster hash, count, heads, holes, wanted payloads
//! session = Session::new(role, config, state, fresh random nonce, now)
//! todo    = session.handle(Start, now)
//! loop
//!     for output in todo, in order
//!         Send(bytes)    queue for the writer task; when n bytes are written, input Sent(n)
//!         Query(q)       ask the store on a blocking thread; its answer is an input
//!         Ingest(batch)  commit on a blocking thread; then input Ingested(report).
//!                        Batches of one session in their order, also the last one before Failed
//!         Done(summary)  flush, close the write side, stop
//!         Failed(error)  flush for a moment, close, stop; error.severity() says when to try again
//!     wait for the first of
//!         bytes read             -> Bytes(piece)      any size; 64 KiB is good
//!         end of stream          -> Eof
//!         n bytes written        -> Sent(n)
//!         answer, commit, error  -> Set, News, Places, WantedPayloads, Loaded, Ingested,
//!                                   StoreFailed
//!         session.deadline()     -> Tick
//!         shutdown               -> Stop
//!     todo = session.handle(that input, now)
//! ```
//!
//! The writer's queue needs no bound of its own: a session stops producing entries while more than
//! [`Config::high_water`] bytes are unsent, and gives up when a peer makes it exceed
//! [`MAX_UNSENT_BYTES`]. Bytes may be read as fast as they come: what they can make the session
//! hold is bounded by the window.
//!
//! From the store a session needs, beside the queries: ingest that finds the authentic successor
//! of an unsigned header, in the batch or on disk, by (log, seq + 1); and that takes a payload for
//! a header it already holds.

mod base;
mod config;
mod digest;
mod error;
mod event;
mod frame;
mod front;
mod incoming;
mod one_way;
mod outgoing;
mod reconcile;
pub mod run;
mod session;
mod terms;
mod tree;
mod wire;

pub use base::{
    BASE_NAME_BYTES, Base, BaseName, BaseToken, Equal, MAX_BASES, MAX_NEWS, News, ShortNames,
};
pub use config::*;
pub use digest::{Digest, Hello, LocalState, Nonce, community_check};
pub use error::{ByeReason, SessionError, Severity};
pub use event::{Input, Output, Progress, Query, Role, Summary};
pub use frame::{Ack, Fin, Frame, FrameReader, FrameTooLong, FrameType, Skip, Want};
pub use front::{FRONT_ID_BYTES, Front, IdPrefix, LogFront, MAX_FRONT_LOGS, id_prefix};
pub use incoming::{Incoming, IngestReport};
pub use one_way::{OneWayError, OneWayReader, OneWayWriter, front_frames};
pub use outgoing::{LANE_TURN, StoredEntry};
pub use reconcile::{ItemSet, Learnt, ReconcileError, Reconciler, SyncItem};
pub use run::{Built, PayReader, PayWriter, PutError, SegWriter, Segment, entry_cost};
pub use session::Session;
pub use terms::{MAX_OLDER_HEADERS, Terms};
pub use tree::{Key, Tree};
pub use wire::WireError;
pub(crate) use wire::{Cursor, put_varint};

#[cfg(test)]
mod tests;
