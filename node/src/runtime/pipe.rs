//! One sync session over a pair of pipes: whatever carries bytes both ways carries lanai.
//!
//! 1. Each side sends a *greeting*: [`MAGIC`] and 16 random bytes. The side with the greater bytes
//!    plays the initiator of all that follows, so that both ends are started in the same way.
//! 2. libp2p's Noise handshake (XX) with the device keys. Both greetings are its prologue: whoever
//!    changes one on the way breaks it. After it each side knows the other's device, and all is sealed.
//! 3. Only the device of a member gets a session; any other learns this device's key and no more.
//! 4. The session is that of `/lanai/sync/1`.
//!
//! A link that ends at any byte loses nothing that came whole; the next run goes on from there.

use std::sync::Arc;
use std::time::Duration;

use futures::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use lanai_crdt::id::DeviceId;
use libp2p::core::upgrade::{InboundConnectionUpgrade as _, OutboundConnectionUpgrade as _};
use libp2p::{identity, noise};

use super::peers::Outcome;
use super::session::{SessionEnd, drive};
use super::state::blocking;
use crate::identity::Identity;
use crate::net::device_key_of;
use crate::random::random_bytes;
use crate::store::{Store, StoreError};
use crate::sync::{Config, Role, Severity};

/// What a stream of this kind begins with; the digit is its version.
const MAGIC: &[u8; 13] = b"lanai-pipe/1\n";
/// Bytes of a greeting.
const GREETING_BYTES: usize = MAGIC.len() + 16;

/// Bytes of entries sent in one piece. A piece counts only whole, so a line that breaks repeats this
/// much and what was sealed together with it.
const PIECE_BYTES: usize = 16 * 1024;

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
    /// There is more than one session carries.
    pub more: bool,
    /// The differences were known from what came since both held the same; no whole sets were compared.
    pub by_news: bool,
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

/// Runs one session over `link`, once somebody speaks there within `patience`.
///
/// # Errors
/// [`PipeError`]; whatever came whole before is in the store.
pub async fn pipe<L>(
    store: Store,
    identity: Arc<Identity>,
    link: L,
    patience: Duration,
) -> Result<PipeDone, PipeError>
where
    L: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let met = tokio::time::timeout(patience, meet(&identity, link)).await;
    let (device, role, link) = met.map_err(|_| PipeError::Silent)??;
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
    let config = Config {
        load_bytes: PIECE_BYTES,
        high_water: PIECE_BYTES,
        ..Config::new(store.community())
    };
    let SessionEnd { received, sent, bytes_in, bytes_out, by_news, outcome, .. } =
        drive(store, identity, device, link, role, config).await;
    match outcome {
        Outcome::Done { more, .. } => {
            Ok(PipeDone { device, received, sent, bytes_in, bytes_out, more, by_news })
        }
        Outcome::Failed { severity, why } => {
            Err(PipeError::Session { severity, why, received, sent })
        }
    }
}

/// Greeting and handshake: who is there, who begins, and the sealed stream.
async fn meet<L>(
    identity: &Identity,
    mut link: L,
) -> Result<(DeviceId, Role, noise::Output<L>), PipeError>
where
    L: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut own = [0; GREETING_BYTES];
    let (magic, nonce) = own.split_at_mut(MAGIC.len());
    magic.copy_from_slice(MAGIC);
    nonce.copy_from_slice(&random_bytes::<16>());
    link.write_all(&own).await?;
    link.flush().await?;
    let mut theirs = [0; GREETING_BYTES];
    // The first bytes that do not fit end it: a login banner is not waited out.
    let (magic, nonce) = theirs.split_at_mut(MAGIC.len());
    for (byte, expected) in magic.iter_mut().zip(MAGIC) {
        link.read_exact(std::slice::from_mut(byte)).await?;
        if byte != expected {
            return Err(PipeError::NotLanai);
        }
    }
    link.read_exact(nonce).await?;
    let role = match own.cmp(&theirs) {
        std::cmp::Ordering::Greater => Role::Initiator,
        std::cmp::Ordering::Less => Role::Responder,
        std::cmp::Ordering::Equal => return Err(PipeError::Loop),
    };
    let unproven = |error: &dyn std::fmt::Display| PipeError::Unproven(error.to_string());
    let mut secret = identity.device.to_bytes();
    let keys = identity::Keypair::ed25519_from_bytes(&mut secret).map_err(|e| unproven(&e))?;
    let greetings = if role == Role::Initiator { [own, theirs] } else { [theirs, own] };
    let noise =
        noise::Config::new(&keys).map_err(|e| unproven(&e))?.with_prologue(greetings.concat());
    let secured = match role {
        Role::Initiator => noise.upgrade_outbound(link, "").await,
        Role::Responder => noise.upgrade_inbound(link, "").await,
    };
    let (peer, link) = secured.map_err(|e| match e {
        noise::Error::Io(e) => PipeError::Closed(e),
        e => unproven(&e),
    })?;
    let device = device_key_of(&peer).ok_or_else(|| unproven(&"no device key"))?;
    Ok((DeviceId::new(device), role, link))
}
