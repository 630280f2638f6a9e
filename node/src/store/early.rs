//! What is read before all that it stands on is here.
//!
//! An entry is judged in its roster past, and that is known only when everything before it in its log is
//! here ([`super::pasts`]). Sync sends the newest first, so a newcomer would see nothing until the logs are
//! whole, and nothing at all where a link broke off half-way. Until then it is judged by the roster as it is
//! today:
//!
//! 1. Only posts, acts and the like ([`EARLY_CLASSES`]): pages are built from what they stand on, and
//!    profiles, names, side talks and own state wait.
//! 2. Who is no member today shows nothing early, whatever stood in the past.
//! 3. The judgement stands in `stands` as that of the past [`PRESENT`], and `entries.judged` names it. When
//!    the roster grows it is made again, as every other.
//! 4. When the past is known, it decides. Where it says the same, nothing is folded again; else the entry
//!    is, and shows what it would have shown at first.
//!
//! So views stay a function of what is here, in whatever order it came.

use lanai_crdt::entry::Class;
use lanai_crdt::payload::Body;
use rusqlite::OptionalExtension as _;

use super::StoreError;
use super::rows::Stored;
use super::write::{Ctx, role_number};

/// In place of a roster past: the roster of today. The numbers of pasts begin at 1.
pub(super) const PRESENT: i64 = 0;

/// Numbers of the classes that are read early, as SQL has them.
macro_rules! early_classes {
    () => {
        "(1, 2, 4)"
    };
}
pub(super) use early_classes;
/// The same.
pub(super) const EARLY_CLASSES: &str = early_classes!();

/// What waits in a store of an earlier version is read now.
pub(super) const MIGRATION: &str = concat!(
    "INSERT OR IGNORE INTO todo SELECT e.n, x.t FROM past_waits w JOIN entries e ON e.n = w.n
         JOIN payloads p ON p.n = e.n LEFT JOIN thread_entries x ON x.n = e.n
     WHERE e.state = 0 AND e.class IN ",
    early_classes!(),
    ";"
);

/// Whether entries of this class are read early.
pub(super) fn is_early_class(class: Option<Class>) -> bool {
    matches!(class, Some(Class::Act | Class::Post | Class::Light))
}

/// Whether something said this way may be read early.
pub(super) fn is_early_body(body: &Body) -> bool {
    !matches!(
        body,
        Body::SideOpen(_)
            | Body::SideSeal(_)
            | Body::SideSay(_)
            | Body::File(_)
            | Body::Profile(_)
            | Body::Community(_)
            | Body::Tend(_)
            | Body::Reason(_)
            | Body::OwnState(_)
            | Body::Unknown(_)
    )
}

impl Ctx<'_> {
    /// Notes that an entry is judged by the roster of today, or no longer.
    pub(super) fn set_early(&self, stored: &Stored, early: bool) -> Result<(), StoreError> {
        let judged = early.then_some(PRESENT);
        if stored.judged != judged {
            self.conn
                .prepare_cached("UPDATE entries SET judged = ?2 WHERE n = ?1")?
                .execute((stored.n, judged))?;
        }
        Ok(())
    }

    /// Whether an entry that was read early needs not be folded again, now that its roster past `p` is
    /// known.
    pub(super) fn was_read_right(&mut self, stored: &Stored, p: i64) -> Result<bool, StoreError> {
        Ok(stored.judged == Some(PRESENT) && self.reads_right(stored.l, p)?)
    }

    /// Whether what was read early of log `l` was judged as the past `p` judges it.
    pub(super) fn reads_right(&mut self, l: i64, p: i64) -> Result<bool, StoreError> {
        let Some(stand) = self.stand(p, l)? else { return Ok(false) };
        let device = self.device_of(l)?;
        if !self.roster.roster().cuts(&device).is_empty() {
            return Ok(false);
        }
        // As it was when the entry was folded: the roster may have grown in this transaction, and then who was
        // judged by the one before is listed, but not this entry any more.
        let early: Option<(Option<i64>, Option<i64>)> = self
            .conn
            .prepare_cached("SELECT m, role FROM stands WHERE p = ?1 AND l = ?2")?
            .query_row((PRESENT, l), |r| Ok((r.get(0)?, r.get(1)?)))
            .optional()?;
        Ok(early == Some((Some(stand.m), Some(role_number(stand.role)))))
    }
}
