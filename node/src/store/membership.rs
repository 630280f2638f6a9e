//! What happened to the membership: every act with its author, what came of it, and the reason that
//! its author gave.
//!
//! Acts of class 0 name nobody in clear; the reason travels in a sealed entry of its own and counts as
//! one only when the act's author wrote it.

use std::collections::{BTreeSet, HashMap};

use lanai_crdt::entry::Class;
use lanai_crdt::envelope;
use lanai_crdt::id::{DeviceId, EntryId, MemberId};
use lanai_crdt::limits::MAX_CUT_HEADS;
use lanai_crdt::payload::{self, Body, Kind};
use lanai_crdt::roster::{MotionRecord, Roster, Verdict};

use super::fold::load_specials;
use super::keys::Keyring;
use super::rows::state;
use super::{Store, StoreError, StoredEntry};

/// One act about membership.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MembershipAct {
    /// The entry.
    pub entry: EntryId,
    /// When its author wrote it, Unix milliseconds by the author's clock.
    pub time_ms: u64,
    /// Who wrote it; none where the device was nobody's.
    pub by: Option<MemberId>,
    /// What it says.
    pub body: Body,
    /// What it refers to.
    pub refs: Vec<EntryId>,
    /// What came of it.
    pub verdict: Verdict,
    /// Why, as its author said.
    pub reason: Option<String>,
    /// Entries of whom it is about that were written without knowing of it, and do not count.
    pub cut_off: u64,
}

/// What stewards decide together: how far it has come, and the act that opened it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MotionView {
    /// The act that opened it.
    pub act: MembershipAct,
    /// What the roster says of it.
    pub record: MotionRecord,
}

impl MotionView {
    /// Endorsements that would count now.
    pub fn has(&self) -> usize {
        self.record.endorsements.len()
    }

    /// Endorsements that it takes now.
    pub fn needs(&self) -> usize {
        self.record.needed as usize
    }
}

impl Store {
    /// The motions that count.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn motions(&self) -> Result<Vec<MotionView>, StoreError> {
        let roster = self.roster()?;
        let mut acts: HashMap<EntryId, MembershipAct> =
            self.membership_log()?.into_iter().map(|act| (act.entry, act)).collect();
        let view = |record: &MotionRecord| {
            Some(MotionView { act: acts.remove(&record.entry)?, record: record.clone() })
        };
        Ok(roster.motions().filter_map(view).collect())
    }

    /// All acts about membership in the order in which they arrived here: admissions, roles,
    /// removals, devices, motions. Epochs, seals and checkpoints are none.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn membership_log(&self) -> Result<Vec<MembershipAct>, StoreError> {
        let roster = self.roster()?;
        let mut reasons = self.reasons()?;
        let mut acts = Vec::new();
        for StoredEntry { verified, payload } in self.roster_entries()? {
            let body = payload.as_deref().and_then(|p| envelope::decode_clear(p).ok());
            let body = body.and_then(|b| payload::decode(Class::Roster, &b).ok());
            let Some(body) = body.filter(is_membership) else { continue };
            let (entry, header) = (verified.id(), verified.header());
            let by = author_of(&roster, header.heads(), &header.log.device);
            let reason = by.and_then(|by| reasons.remove(&(entry, by)));
            let Some(verdict) = roster.verdict(&entry).cloned() else { continue };
            let (time_ms, refs) = (header.time.millis(), header.refs().to_vec());
            let cut_off = self.cut_off(&entry)?;
            acts.push(MembershipAct { entry, time_ms, by, body, refs, verdict, reason, cut_off });
        }
        Ok(acts)
    }

    /// Reasons by the act that they are about and who gave them; the last one stands.
    fn reasons(&self) -> Result<HashMap<(EntryId, MemberId), String>, StoreError> {
        self.inner.connections.read(|conn| {
            let keys = Keyring::load(conn)?;
            let mut found = load_specials(conn, &self.inner.community, &keys, Kind::Reason, None)?;
            found.sort_by_key(|(_, e)| (e.time, e.id));
            let reason = |(_, entry): (_, lanai_crdt::thread::TalkEntry)| match entry.body {
                Body::Reason(reason) => Some(((*entry.refs.first()?, entry.member), reason.text)),
                _ => None,
            };
            Ok(found.into_iter().filter_map(reason).collect())
        })
    }

    /// How many entries of those whom a removal is about were written without knowing of it, and do
    /// not count.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn cut_off(&self, removal: &EntryId) -> Result<u64, StoreError> {
        let devices = self.roster()?.cut_by(removal);
        self.inner.connections.read(|conn| {
            let mut count = conn.prepare_cached(
                "SELECT count(*) FROM entries e JOIN logs g ON g.l = e.l
                 WHERE g.device = ?1 AND e.judged IS NOT NULL AND e.state = ?2",
            )?;
            let mut of = |d: &DeviceId| {
                count.query_row((d.as_bytes(), state::UNCOUNTED), |r| r.get::<_, i64>(0))
            };
            let found: i64 = devices.iter().map(&mut of).sum::<Result<i64, _>>()?;
            Ok(u64::try_from(found).unwrap_or_default())
        })
    }

    /// The heads of the logs of these devices as they stand here, ascending: the cut of a removal. Of
    /// more than a removal may name, those of the longest logs.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn cut_of(&self, devices: &BTreeSet<DeviceId>) -> Result<Vec<EntryId>, StoreError> {
        let mut heads: Vec<(u64, EntryId)> = self
            .log_heads()?
            .into_iter()
            .filter(|(log, ..)| devices.contains(&log.device))
            .map(|(_, seq, id)| (seq, id))
            .collect();
        heads.sort_unstable_by(|a, b| b.cmp(a));
        let mut heads: Vec<EntryId> =
            heads.into_iter().map(|(_, id)| id).take(MAX_CUT_HEADS).collect();
        heads.sort_unstable();
        Ok(heads)
    }
}

fn author_of(roster: &Roster, heads: &[EntryId], device: &DeviceId) -> Option<MemberId> {
    let standing = roster.standing(device).or_else(|| roster.standing_in(heads, device));
    standing.map(|s| s.member)
}

fn is_membership(body: &Body) -> bool {
    !matches!(body, Body::Epoch(_) | Body::Seal(_) | Body::Checkpoint(_) | Body::Unknown(_))
}
