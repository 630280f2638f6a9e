//! Reading a community's old mail archive: mbox, gzipped mbox and Maildir.
//!
//! The stages, each of which can be read alone:
//!
//! 1. [`source`] finds the raw mails in a file or directory, one at a time.
//! 2. [`mail`] turns one raw mail into plain text and the few headers that matter, with `entity`,
//!    [`html`], [`text`] and [`date`] beneath it.
//! 3. [`threading`] finds out who answers whom, and [`plausible`] when a mail was most likely
//!    written.
//! 4. [`archive`] puts the three together.
//! 5. [`run`] writes it into the store.
//!
//! An archive is old, foreign and partly broken. One rule holds for all stages: **a bad mail costs
//! that mail**, with its place and the reason named, and never the import.

pub mod archive;
pub mod date;
mod entity;
pub mod html;
pub mod mail;
pub mod plausible;
pub mod run;
pub mod source;
pub mod text;
pub mod threading;

pub use archive::{
    Archive, ArchivedMail, Duplicate, ImportError, Limits, Progress, Skipped, read_all,
};
pub use mail::{AttachmentNote, ClaimedDate, Mail, MailError, parse_mail};
pub use run::{Imported, write};
pub use source::{MailItem, Place, Source, SourceError, SourceKind};
