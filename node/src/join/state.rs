//! How far a join came, kept in the home as `join.json` so that a killed one goes on.
//!
//! It is written before the first message goes out. The nonce makes every attempt ask with the
//! same record, so that however often it is begun, one member comes of it.

use std::fmt;
use std::path::{Path, PathBuf};

use lanai_crdt::id::{base32, from_base32};
use lanai_crdt::payload::{JoinRecord, SignedDevice, paper_nonce};
use lanai_crdt::ticket::{TicketText, TicketTextError, fit_name};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::identity::private::{self, PrivateFileError};
use crate::identity::{Identity, link};

const VERSION: u32 = 1;
/// Bytes of a file that is read.
const MAX_FILE_BYTES: usize = 64 * 1024;

/// What is left to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JoinStage {
    /// No member has admitted this device yet.
    Asking,
    /// A member has; the store is being made from what it sent.
    Admitted,
}

/// A join that was begun. It holds the ticket's secret; wiped when dropped.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub struct JoinState {
    version: u32,
    ticket: String,
    record_nonce: String,
    /// The record of the device on paper, as a request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    paper: Option<String>,
    /// How far it came.
    #[zeroize(skip)]
    pub stage: JoinStage,
    /// How the newcomer wants to be called; safe to print.
    #[zeroize(skip)]
    pub name: String,
    /// When it was begun, in Unix milliseconds.
    #[zeroize(skip)]
    pub started_ms: u64,
    /// Why the last attempt came to nothing; safe to print.
    #[zeroize(skip)]
    #[serde(default)]
    pub problem: Option<String>,
}

/// Why a join's state could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum JoinStateError {
    /// The file itself.
    #[error(transparent)]
    File(#[from] PrivateFileError),
    /// Not the JSON that it should be.
    #[error("{} is damaged: {reason}", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Written by a later version.
    #[error("{} was written by a newer version of lanai (format {version})", .path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// The version that it states.
        version: u32,
    },
}

impl JoinState {
    /// A join that begins now. `record_nonce` is fresh random bytes.
    pub fn new(
        ticket: &TicketText,
        name: &str,
        record_nonce: [u8; 16],
        started_ms: u64,
    ) -> JoinState {
        JoinState {
            version: VERSION,
            ticket: ticket.encode().to_string(),
            record_nonce: base32(&record_nonce),
            paper: None,
            stage: JoinStage::Asking,
            name: fit_name(name),
            started_ms,
            problem: None,
        }
    }

    /// The ticket.
    ///
    /// # Errors
    ///
    /// None for a state that was made or loaded here.
    pub fn ticket(&self) -> Result<TicketText, TicketTextError> {
        TicketText::decode(&self.ticket)
    }

    /// The nonce of the join record.
    pub fn record_nonce(&self) -> [u8; 16] {
        nonce(&self.record_nonce).unwrap_or_default()
    }

    /// Makes `paper` the newcomer's device on paper; before anybody was asked.
    ///
    /// # Errors
    ///
    /// None for a state that was made or loaded here.
    pub fn set_paper(
        &mut self,
        own: &Identity,
        paper: &Identity,
        nonce: [u8; 16],
    ) -> Result<(), TicketTextError> {
        let ticket = self.ticket()?;
        let record_nonce = paper_nonce(&paper.device_id());
        let record = JoinRecord {
            community: ticket.community(),
            ticket: ticket.ticket(),
            device: own.device_id(),
            sealing: *own.sealing.public().as_bytes(),
            nonce: record_nonce,
        };
        let paper = link::record(paper, record.community, record.member(), nonce);
        self.record_nonce = base32(&record_nonce);
        self.paper = Some(link::request(&paper));
        Ok(())
    }

    /// The record of the device on paper, for which the join record is committed to it.
    pub fn paper(&self) -> Option<SignedDevice> {
        link::read_request(self.paper.as_deref()?).ok()
    }

    /// Whether this is about the same ticket, so that to join with it is to go on.
    pub fn is_for(&self, ticket: &TicketText) -> bool {
        self.ticket().is_ok_and(|t| {
            t.community() == ticket.community()
                && t.ticket() == ticket.ticket()
                && t.secret() == ticket.secret()
        })
    }

    /// Writes the state, whole or not at all, readable by its owner alone.
    ///
    /// # Errors
    ///
    /// [`JoinStateError::File`].
    pub fn save(&self, path: &Path) -> Result<(), JoinStateError> {
        let json = serde_json::to_vec_pretty(self).map(Zeroizing::new).map_err(|e| {
            JoinStateError::Damaged { path: path.to_path_buf(), reason: e.to_string() }
        })?;
        Ok(private::replace(path, &json)?)
    }

    /// Reads the state; `None` where no join was begun.
    ///
    /// # Errors
    ///
    /// Every variant.
    pub fn load(path: &Path) -> Result<Option<JoinState>, JoinStateError> {
        let bytes = match private::read(path, MAX_FILE_BYTES) {
            Err(PrivateFileError::Missing(_)) => return Ok(None),
            other => other?,
        };
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let damaged = |reason: String| JoinStateError::Damaged { path: path.to_path_buf(), reason };
        // serde_json's errors name places and types, never values of strings.
        let Versioned { version } =
            serde_json::from_slice(&bytes).map_err(|e| damaged(e.to_string()))?;
        if version != VERSION {
            return Err(JoinStateError::Newer { path: path.to_path_buf(), version });
        }
        let mut state: JoinState =
            serde_json::from_slice(&bytes).map_err(|e| damaged(e.to_string()))?;
        state.ticket().map_err(|e| damaged(e.to_string()))?;
        nonce(&state.record_nonce).ok_or_else(|| damaged("the nonce is not one".to_string()))?;
        state.name = fit_name(&state.name);
        Ok(Some(state))
    }

    /// Removes the state: the join is done, or was given up.
    ///
    /// # Errors
    ///
    /// [`JoinStateError::File`].
    pub fn remove(path: &Path) -> Result<(), JoinStateError> {
        Ok(private::remove(path)?)
    }
}

fn nonce(text: &str) -> Option<[u8; 16]> {
    from_base32(text)?.try_into().ok()
}

impl fmt::Debug for JoinState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinState")
            .field("stage", &self.stage)
            .field("name", &self.name)
            .field("started_ms", &self.started_ms)
            .field("problem", &self.problem)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use lanai_crdt::id::{CommunityId, EntryId};
    use lanai_crdt::ticket::TicketSecret;

    use super::*;

    fn ticket(n: u8) -> TicketText {
        TicketText::new(
            TicketSecret::from_bytes([n; 32]),
            CommunityId::new([2; 32]),
            EntryId::new([3; 32]),
            "The porch",
            vec!["/ip4/10.0.0.1/tcp/4001".into()],
        )
        .unwrap()
    }

    #[test]
    fn a_killed_join_goes_on_with_the_same_record() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("join.json");
        assert!(JoinState::load(&path).unwrap().is_none());
        let mut state = JoinState::new(&ticket(1), "Ana\u{1b}", [7; 16], 5);
        assert_eq!(state.name, "Ana␛");
        state.save(&path).unwrap();
        state.stage = JoinStage::Admitted;
        state.problem = Some("the connection ended".into());
        state.save(&path).unwrap();
        let found = JoinState::load(&path).unwrap().unwrap();
        assert_eq!(found, state);
        assert_eq!(found.record_nonce(), [7; 16]);
        assert_eq!(found.ticket().unwrap(), ticket(1));
        assert!(found.is_for(&ticket(1)) && !found.is_for(&ticket(9)));
        JoinState::remove(&path).unwrap();
        assert!(JoinState::load(&path).unwrap().is_none());
    }

    #[test]
    fn golden_json() {
        let state = JoinState::new(&ticket(1), "Ana", [7; 16], 5);
        let json = serde_json::to_value(&state).unwrap();
        let want = serde_json::json!({
            "version": 1,
            "ticket": ticket(1).encode().as_str(),
            "record_nonce": "0w3ge1r70w3ge1r70w3ge1r70w",
            "stage": "asking",
            "name": "Ana",
            "started_ms": 5,
            "problem": null,
        });
        assert_eq!(json, want, "join.json is read by later versions");
    }

    #[test]
    fn what_is_wrong_is_named_and_the_secret_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("join.json");
        let state = JoinState::new(&ticket(1), "Ana", [7; 16], 5);
        assert!(!format!("{state:?}").contains("lanai1"));
        let json = serde_json::to_string(&state).unwrap();
        for bad in [
            String::new(),
            "{}".into(),
            "[]".into(),
            json[..json.len() - 1].to_string(),
            json.replace("lanai1", "lanai1zz"),
            json.replace("0w3g", "uw3g"),
            json.replace("0w3g", ""),
            json.replace("asking", "lost"),
        ] {
            private::replace(&path, bad.as_bytes()).unwrap();
            let error = JoinState::load(&path).unwrap_err();
            assert!(matches!(&error, JoinStateError::Damaged { .. }), "{bad}: {error}");
            assert!(!error.to_string().contains("040g2081"), "{error}");
        }
        private::replace(&path, json.replace(":1,", ":2,").as_bytes()).unwrap();
        assert!(matches!(JoinState::load(&path), Err(JoinStateError::Newer { version: 2, .. })));
        private::replace(&path, &vec![b' '; MAX_FILE_BYTES + 1]).unwrap();
        assert!(matches!(JoinState::load(&path), Err(JoinStateError::File(_))));
    }
}
