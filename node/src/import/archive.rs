//! A whole archive, read, threaded and in the order in which its posts can be written.
//!
//! Parents must be written before their children, and who is a parent is known only after the last
//! mail: so the texts of all mails are held in memory, about the size of the uncompressed archive
//! without its attachments. Meant for archives up to some 200 MB (half a million mails); beyond
//! [`Limits::max_archive_text_bytes`] the import stops with an error that names it.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::path::Path;

use lanai_crdt::limits::MAX_INFLATED_BYTES;

use super::mail::{Mail, parse_mail};
use super::source::{MailItem, Place, Source, SourceError, SourceKind};
use super::threading::{Record, thread};

/// Bounds of an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one raw mail; a larger one is skipped.
    pub max_mail_bytes: usize,
    /// Bytes of one text; of a longer one the rest is dropped and counted in [`Mail::cut_bytes`].
    pub max_text_bytes: usize,
    /// Bytes of all texts together.
    pub max_archive_text_bytes: usize,
}

impl Default for Limits {
    /// 32 MiB for a mail; 240 KiB for a text, as much as a payload can inflate to; 512 MiB for all
    /// texts.
    fn default() -> Self {
        Limits {
            max_mail_bytes: 32 * 1024 * 1024,
            max_text_bytes: MAX_INFLATED_BYTES - 16 * 1024,
            max_archive_text_bytes: 512 * 1024 * 1024,
        }
    }
}

/// How far the reading has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Bytes of the archive read, compressed if it is.
    pub done_bytes: u64,
    /// Bytes of the archive, in the same unit.
    pub total_bytes: u64,
    /// Mails read and kept so far, duplicates included.
    pub mails: u64,
    /// Mails skipped so far.
    pub skipped: u64,
}

/// Why an import comes to nothing.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The archive cannot be opened. Read errors half-way are in [`Archive::broken`] instead.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The caller said stop.
    #[error("stopped while the archive was read")]
    Stopped,
    /// More text than fits in memory.
    #[error("the texts of the archive are more than {max} bytes: split it and import the parts")]
    TooLarge {
        /// [`Limits::max_archive_text_bytes`].
        max: usize,
    },
}

/// A mail of an [`Archive`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchivedMail {
    /// The mail.
    pub mail: Mail,
    /// Where it stands.
    pub place: Place,
    /// Index in [`Archive::mails`] of the mail it answers; always smaller than its own.
    pub parent: Option<usize>,
    /// Index in [`Archive::mails`] of the mail that starts its thread; its own, if it does.
    pub root: usize,
    /// A plausible date for sorting, in Unix seconds, not before the parent's.
    pub plausible: i64,
}

/// A mail with the message id of an earlier one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Duplicate {
    /// Where it stands.
    pub place: Place,
    /// The message id.
    pub message_id: String,
    /// Index in [`Archive::mails`] of the one that counts.
    pub first: usize,
}

/// A mail that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Where it stands.
    pub place: Place,
    /// Why, safe to print.
    pub why: String,
}

/// Everything in an archive.
#[derive(Debug)]
pub struct Archive {
    /// How it stores its mails.
    pub kind: SourceKind,
    /// The mails, thread by thread, parents before children, else by plausible date.
    pub mails: Vec<ArchivedMail>,
    /// Mails left out because an earlier one has the same message id.
    pub duplicates: Vec<Duplicate>,
    /// Mails that cannot be used.
    pub skipped: Vec<Skipped>,
    /// The error that ended the reading early, if one did. What came before is complete.
    pub broken: Option<SourceError>,
}

impl Archive {
    /// Number of threads.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.mails.iter().filter(|m| m.parent.is_none()).count()
    }

    /// Number of distinct authors, by name and address.
    #[must_use]
    pub fn authors(&self) -> usize {
        let key = |m: &ArchivedMail| (m.mail.from_name.clone(), m.mail.from_address.clone());
        self.mails.iter().map(key).collect::<HashSet<_>>().len()
    }
}

/// Reads and threads a whole archive. `now` is the current time in Unix seconds.
///
/// `progress` is called after every mail and may stop the reading; nothing has been written anywhere
/// by then.
///
/// # Errors
///
/// [`ImportError`]. A bad mail is no error, nor is a read error half-way: see [`Archive`].
pub fn read_all(
    path: &Path,
    limits: &Limits,
    now: i64,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Archive, ImportError> {
    let mut source = Source::open(path, limits.max_mail_bytes)?;
    let mut read: Vec<(Place, Mail)> = Vec::new();
    let mut skipped = Vec::new();
    let mut broken = None;
    let mut text_bytes = 0_usize;
    while let Some(item) = source.next() {
        match item {
            Ok(MailItem::Raw { place, bytes }) => match parse_mail(&bytes, limits.max_text_bytes) {
                Ok(mail) => {
                    text_bytes = text_bytes.saturating_add(mail.body.len());
                    read.push((place, mail));
                }
                Err(error) => skipped.push(Skipped { place, why: error.to_string() }),
            },
            Ok(MailItem::Skipped { place, why }) => skipped.push(Skipped { place, why }),
            Err(error @ SourceError::NotMbox { .. }) => return Err(error.into()),
            Err(error) => broken = Some(error),
        }
        if text_bytes > limits.max_archive_text_bytes {
            return Err(ImportError::TooLarge { max: limits.max_archive_text_bytes });
        }
        let state = Progress {
            done_bytes: source.done_bytes(),
            total_bytes: source.total_bytes(),
            mails: read.len() as u64,
            skipped: skipped.len() as u64,
        };
        if progress(state).is_break() {
            return Err(ImportError::Stopped);
        }
    }
    let (mails, duplicates) = arrange(read, now);
    Ok(Archive { kind: source.kind(), mails, duplicates, skipped, broken })
}

/// Threads the mails and brings them into their order.
fn arrange(read: Vec<(Place, Mail)>, now: i64) -> (Vec<ArchivedMail>, Vec<Duplicate>) {
    let records: Vec<Record> = read
        .iter()
        .map(|(_, mail)| Record {
            message_id: mail.message_id.clone(),
            references: mail.references.clone(),
            subject: mail.subject.clone(),
            claimed: mail.date.as_ref().and_then(|d| d.unix_seconds),
        })
        .collect();
    let threading = thread(&records, now);
    drop(records);
    let mut position: Vec<usize> = vec![0; read.len()];
    for (new, &old) in threading.order.iter().enumerate() {
        if let Some(slot) = position.get_mut(old) {
            *slot = new;
        }
    }
    let moved = |old: usize| position.get(old).copied().unwrap_or(0);
    let mut duplicates = Vec::new();
    let mut mails: Vec<(usize, ArchivedMail)> = Vec::with_capacity(read.len());
    for (old, ((place, mail), link)) in read.into_iter().zip(threading.links).enumerate() {
        if let Some(first) = link.duplicate_of {
            duplicates.push(Duplicate { place, message_id: mail.message_id, first: moved(first) });
            continue;
        }
        let parent = link.parent.map(moved);
        let root = moved(link.root);
        mails.push((
            moved(old),
            ArchivedMail { mail, place, parent, root, plausible: link.plausible },
        ));
    }
    mails.sort_unstable_by_key(|(new, _)| *new);
    (mails.into_iter().map(|(_, mail)| mail).collect(), duplicates)
}

#[cfg(test)]
#[path = "archive_tests.rs"]
mod tests;
