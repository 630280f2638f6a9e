//! One sync session over a pair of pipes: whatever carries bytes both ways carries lanai.
//!
//! 1. Each side sends a *greeting*: [`MAGIC`] and 16 random bytes. The side with the greater bytes
//!    plays the initiator of all that follows, so that both ends are started in the same way.
//! 2. libp2p's Noise handshake (XX) with the device keys. Both greetings are its prologue: whoever
//!    changes one on the way breaks it. After it each side knows the other's device, and all is sealed.
//! 3. Only the device of a member gets a session; any other learns this device's key and no more.
//! 4. The session is that of `/lanai/sync/1`.
//!
//! With the profile `thin` the link is a slow line that loses bytes. Then 2 to 4 go over the line
//! protocol of [`crate::line`], whose greetings take the place of those above, in short records
//! (`records`) and with few entries at a time. An end without that profile takes to it when the first
//! byte it reads is that of a line's frame: it is enough that one of them asks for it.
//!
//! A link that ends at any byte loses nothing that came whole; the next run goes on from there.

mod records;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use futures::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use lanai_crdt::id::DeviceId;
use libp2p::core::upgrade::{InboundConnectionUpgrade as _, OutboundConnectionUpgrade as _};
use libp2p::{identity, noise};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::compat::TokioAsyncReadCompatExt as _;

use self::records::Records;
use self::wire::{Waiting, WireEnd};
use super::peers::Outcome;
use super::session::{SessionEnd, drive};
use super::state::blocking;
use crate::identity::Identity;
use crate::line::{self, LineCounts, LineError};
use crate::net::device_key_of;
use crate::profile::Profile;
use crate::random::random_bytes;
use crate::store::{Store, StoreError};
use crate::sync::{Config, MAX_SESSION_ENTRIES, Progress, Role, Severity, Terms};

/// What a stream of this kind begins with; the digit is its version.
const MAGIC: &[u8; 13] = b"lanai-pipe/1\n";
/// Bytes of a greeting.
const GREETING_BYTES: usize = MAGIC.len() + 16;

/// Bytes of entries sent in one piece. A piece counts only whole, so a line that breaks repeats this
/// much and what was sealed together with it.
const PIECE_BYTES: usize = 16 * 1024;
/// Greetings and handshake, both ways, about.
const MEETING_BYTES: u64 = 600;
/// Bytes sealed in one record on a thin line: what is lost of it holds up all of it.
const RECORD_BYTES: usize = 512;

/// How to hold a session over pipes.
#[derive(Debug)]
pub struct PipeOptions {
    /// What the link can bear.
    pub profile: Profile,
    /// How much to carry, and nothing older. The budget is in bytes on the link, both ways, about.
    pub terms: Terms,
    /// How long the other end may take to prove who it is.
    pub patience: Duration,
    /// Told how it comes along.
    pub progress: watch::Sender<PipeProgress>,
}

impl PipeOptions {
    /// As over a local network; nobody is told how it comes along.
    pub fn new(patience: Duration) -> PipeOptions {
        PipeOptions {
            profile: Profile::Lan,
            terms: Terms::default(),
            patience,
            progress: watch::Sender::default(),
        }
    }
}

/// How a session over pipes comes along.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PipeProgress {
    /// Whose device is at the other end, once that is proven: then the session is open.
    pub device: Option<DeviceId>,
    /// How far the session is.
    pub session: Progress,
    /// What the line carried, where it is a thin one.
    pub line: Option<LineCounts>,
}

/// What a session over pipes did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PipeDone {
    /// Whose device is at the other end.
    pub device: DeviceId,
    /// Entries or payloads that were new here.
    pub received: u64,
    /// Entries that the other end has committed.
    pub sent: u64,
    /// Bytes of the session, before sealing.
    pub bytes_in: u64,
    /// Bytes of the session, before sealing.
    pub bytes_out: u64,
    /// Entries that came though they were held here already.
    pub repeated: u64,
    /// Entries of this end that the terms left out, whole or but for their header.
    pub left_out: u64,
    /// There is more than this session carried.
    pub more: bool,
    /// The differences were known from what came since both held the same; no whole sets were compared.
    pub by_news: bool,
    /// How the link was used, whichever end asked for it.
    pub profile: Profile,
    /// What the line carried, where it is a thin one.
    pub line: Option<LineCounts>,
}

/// Why a session over pipes did not come about, or ended early.
#[derive(Debug, thiserror::Error)]
pub enum PipeError {
    /// Nobody spoke in time.
    #[error("nobody answered at the other end")]
    Silent,
    /// The link ended before the session began.
    #[error("the link ended before both ends knew each other: {0}")]
    Closed(#[from] std::io::Error),
    /// Something else than this program, or another version of it.
    #[error("what is at the other end does not speak this version of lanai's pipe protocol")]
    NotLanai,
    /// This side reads what it writes.
    #[error("standard input repeats what standard output says")]
    Loop,
    /// The line, before the session began.
    #[error("{0} before both ends knew each other")]
    Line(LineError),
    /// The other end could not prove who it is.
    #[error("the other end could not prove who it is: {0}")]
    Unproven(String),
    /// The other end is no member's device, as far as this store knows.
    #[error("{} at the other end is not known as a member's device", .0.short())]
    NotAMember(DeviceId),
    /// The session ended early; what came whole is kept.
    #[error("{why} ({received} received and kept, {sent} sent)")]
    Session {
        /// Whose fault it was.
        severity: Severity,
        /// Why, for people.
        why: String,
        /// Entries or payloads that were new here.
        received: u64,
        /// Entries that the other end has committed.
        sent: u64,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Runs one session over `link`, once somebody speaks there.
///
/// # Errors
/// [`PipeError`]; whatever came whole before is in the store.
pub async fn pipe<L>(
    store: Store,
    identity: Arc<Identity>,
    link: L,
    options: PipeOptions,
) -> Result<PipeDone, PipeError>
where
    L: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut heard = None;
    let met = meet(&identity, link, options.profile, &mut heard);
    let met = tokio::time::timeout(options.patience, met).await;
    let Met { device, role, link, line } = met.map_err(|_| match heard {
        Some(counts) if counts.borrow().echoes > 0 => PipeError::Loop,
        _ => PipeError::Silent,
    })??;
    let profile = if line.is_some() { Profile::Thin } else { options.profile };
    let roster = {
        let store = store.clone();
        blocking(move || store.roster())
            .await
            .map_err(|_| StoreError::Internal("a task of the store ended"))??
    };
    let members = roster.members().filter(|m| !m.pending);
    if !members.flat_map(|m| &m.devices).any(|d| d.device == device) {
        return Err(PipeError::NotAMember(device));
    }
    let mut config = match profile {
        Profile::Lan => Config {
            load_bytes: PIECE_BYTES,
            high_water: PIECE_BYTES,
            ..Profile::Lan.session(store.community())
        },
        other => other.session(store.community()),
    };
    // Nobody starts the next session here.
    config.session_entries = MAX_SESSION_ENTRIES;
    config.terms = terms_inside(options.terms, line.as_ref());
    let (progress, counts) = (options.progress, line.as_ref().map(|line| line.counts.clone()));
    let tell = move |session| {
        let line = counts.as_ref().map(|counts| *counts.borrow());
        progress.send_replace(PipeProgress { device: Some(device), session, line });
    };
    tell(Progress::default());
    let end = drive(store, identity, device, link, role, config, Some(Box::new(tell))).await;
    let SessionEnd { received, repeated, sent, bytes_in, bytes_out, left_out, .. } = end;
    let SessionEnd { by_news, outcome, .. } = end;
    let mut why_ended = None;
    let mut carried = None;
    if let Some(ThinLine { task, counts }) = line {
        // What was said last is on its way; the line says when it has come.
        why_ended = task.await.ok().and_then(Result::err);
        carried = Some(*counts.borrow());
    }
    match outcome {
        Outcome::Done { more, .. } => Ok(PipeDone {
            device,
            received,
            sent,
            bytes_in,
            bytes_out,
            repeated,
            left_out,
            more,
            by_news,
            profile,
            line: carried,
        }),
        Outcome::Failed { severity, why } => {
            // That the stream was cut off the line can say better.
            let why =
                why_ended.filter(|_| severity == Severity::Link).map_or(why, |e| e.to_string());
            Err(PipeError::Session { severity, why, received, sent })
        }
    }
}

/// The terms of the session, given those of the link: what meeting took is spent, and sealing, frames
/// and what is sent again take their share.
fn terms_inside(terms: Terms, line: Option<&ThinLine>) -> Terms {
    let (spent, share) = match line {
        Some(line) => {
            let counts = *line.counts.borrow();
            (counts.bytes_in + counts.bytes_out, 82)
        }
        None => (MEETING_BYTES, 97),
    };
    let budget = terms.budget.map(|bytes| (bytes.saturating_sub(spent) / 100 * share).max(1));
    Terms { budget, ..terms }
}

/// A stream that is sealed, and whose other end is known.
struct Met {
    device: DeviceId,
    role: Role,
    link: Box<dyn Link>,
    line: Option<ThinLine>,
}

/// The line below a stream.
struct ThinLine {
    task: JoinHandle<Result<(), WireEnd>>,
    counts: watch::Receiver<LineCounts>,
}

trait Link: AsyncRead + AsyncWrite + Unpin + Send {}

impl<L: AsyncRead + AsyncWrite + Unpin + Send> Link for L {}

/// What both ends drew, and who begins.
struct Greetings {
    role: Role,
    prologue: Vec<u8>,
}

impl Greetings {
    fn new(magic: &[u8], own: [u8; 16], theirs: [u8; 16]) -> Result<Greetings, PipeError> {
        let (role, nonces) = match own.cmp(&theirs) {
            std::cmp::Ordering::Greater => (Role::Initiator, [own, theirs]),
            std::cmp::Ordering::Less => (Role::Responder, [theirs, own]),
            std::cmp::Ordering::Equal => return Err(PipeError::Loop),
        };
        let prologue = nonces.iter().flat_map(|nonce| magic.iter().chain(nonce)).copied();
        Ok(Greetings { role, prologue: prologue.collect() })
    }
}

/// Greeting and handshake: who is there, who begins, and the sealed stream. `heard` is set once the
/// link is used as a line.
async fn meet<L>(
    identity: &Identity,
    mut link: L,
    profile: Profile,
    heard: &mut Option<watch::Receiver<LineCounts>>,
) -> Result<Met, PipeError>
where
    L: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let own: [u8; 16] = random_bytes();
    let mut first = Vec::new();
    if profile != Profile::Thin {
        match greet(&mut link, own).await? {
            Some(theirs) => {
                let greetings = Greetings::new(MAGIC, own, theirs)?;
                let role = greetings.role;
                let (device, link) = secure(identity, link, greetings).await?;
                return Ok(Met { device, role, link: Box::new(link), line: None });
            }
            None => first.push(0),
        }
    }
    let waiting = Waiting::new(link, own, first);
    *heard = Some(waiting.counts());
    let (theirs, wire) = waiting.met().await.map_err(|end| match end {
        WireEnd::Line(error) => PipeError::Line(error),
        WireEnd::Closed => PipeError::Closed(std::io::ErrorKind::UnexpectedEof.into()),
    })?;
    let greetings = Greetings::new(line::MAGIC, own, theirs)?;
    let role = greetings.role;
    let (device, link) = secure(identity, wire.stream.compat(), greetings).await?;
    let line = Some(ThinLine { task: wire.task, counts: wire.counts });
    Ok(Met { device, role, link: Box::new(Records::new(link, RECORD_BYTES)), line })
}

/// Greets, and reads the other end's greeting. `None`: what it read was the first byte of a line's
/// frame.
async fn greet<L>(link: &mut L, own: [u8; 16]) -> Result<Option<[u8; 16]>, PipeError>
where
    L: AsyncRead + AsyncWrite + Unpin,
{
    let mut greeting = [0; GREETING_BYTES];
    let (magic, nonce) = greeting.split_at_mut(MAGIC.len());
    magic.copy_from_slice(MAGIC);
    nonce.copy_from_slice(&own);
    link.write_all(&greeting).await?;
    link.flush().await?;
    // The first bytes that do not fit end it: a login banner is not waited out.
    for (at, expected) in MAGIC.iter().enumerate() {
        let mut byte = [0];
        link.read_exact(&mut byte).await?;
        match byte {
            [0] if at == 0 => return Ok(None),
            [byte] if byte == *expected => {}
            _ => return Err(PipeError::NotLanai),
        }
    }
    let mut theirs = [0; 16];
    link.read_exact(&mut theirs).await?;
    Ok(Some(theirs))
}

/// Noise over `link`: whose device is there, and the sealed stream.
async fn secure<L>(
    identity: &Identity,
    link: L,
    greetings: Greetings,
) -> Result<(DeviceId, noise::Output<L>), PipeError>
where
    L: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let unproven = |error: &dyn std::fmt::Display| PipeError::Unproven(error.to_string());
    let mut secret = identity.device.to_bytes();
    let keys = identity::Keypair::ed25519_from_bytes(&mut secret).map_err(|e| unproven(&e))?;
    let noise =
        noise::Config::new(&keys).map_err(|e| unproven(&e))?.with_prologue(greetings.prologue);
    let secured = match greetings.role {
        Role::Initiator => noise.upgrade_outbound(link, "").await,
        Role::Responder => noise.upgrade_inbound(link, "").await,
    };
    let (peer, link) = secured.map_err(|e| match e {
        noise::Error::Io(e) => PipeError::Closed(e),
        e => unproven(&e),
    })?;
    let device = device_key_of(&peer).ok_or_else(|| unproven(&"no device key"))?;
    Ok((DeviceId::new(device), link))
}

#[cfg(test)]
mod tests;
