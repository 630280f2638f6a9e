//! Bodies by which leads tend threads, and members volunteer to tend topics.

use minicbor::bytes::ByteArray;
use minicbor::{Decode, Encode};

use super::page::check_reason;
use super::talk::{check_len, check_title};
use super::{PayloadError, field_error};
use crate::limits::MAX_TAG_BYTES;

/// Where a post or a thread (`refs[1]`) belongs, or what a thread is called.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(flat)]
pub enum ThreadAct {
    /// The post and all below it are a thread of their own, with this title.
    #[n(0)]
    Split(#[n(0)] String, #[n(1)] bool),
    /// The post, or the whole thread, stands below a post of another thread: its thread, and the post
    /// (the thread itself for its root).
    #[n(1)]
    Under(#[n(0)] ByteArray<32>, #[n(1)] ByteArray<32>),
    /// It stands again where its author put it.
    #[n(2)]
    Back,
    /// The thread's title. The title of an ask is the first line of its question page instead.
    #[n(3)]
    Retitle(#[n(0)] String),
}

/// Splits, merges, moves or retitles; signed, with a reason, and reversible.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ThreadOp {
    /// What is done.
    #[n(0)]
    pub act: ThreadAct,
    /// Why.
    #[n(1)]
    pub reason: Option<String>,
}

impl ThreadOp {
    pub(super) fn check(&self) -> Result<(), PayloadError> {
        check_reason(self.reason.as_deref())?;
        match &self.act {
            ThreadAct::Split(title, _) | ThreadAct::Retitle(title) => check_title(title),
            ThreadAct::Under(..) | ThreadAct::Back => Ok(()),
        }
    }
}

macro_rules! switches {
    ($($(#[$doc:meta])* $name:ident;)+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
        #[cbor(map)]
        pub struct $name {
            /// Whether it is so now.
            #[n(0)]
            pub on: bool,
            /// Why.
            #[n(1)]
            pub reason: Option<String>,
        }

        impl $name {
            pub(super) fn check(&self) -> Result<(), PayloadError> {
                check_reason(self.reason.as_deref())
            }
        }
    )+};
}

switches! {
    /// Folds the post in `refs[1]` away; a reader may look anyway.
    Hide;
    /// Keeps the thread at the head of lists.
    Pin;
    /// Shows the thread or post to everybody as worth reading.
    Feature;
}

/// Puts a tag on a thread, or takes it off.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Tag {
    /// The tag.
    #[n(0)]
    pub tag: String,
    /// Whether the thread has it.
    #[n(1)]
    pub on: bool,
}

fn check_tag(tag: &str) -> Result<(), PayloadError> {
    if tag.trim().is_empty() {
        return Err(field_error("tag", "empty"));
    }
    check_len("tag", tag, MAX_TAG_BYTES)
}

impl Tag {
    pub(super) fn check(&self) -> Result<(), PayloadError> {
        check_tag(&self.tag)
    }
}

/// A member volunteers to look after a topic for a time.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Tend {
    /// The topic: a tag.
    #[n(0)]
    pub topic: String,
    /// Until when, Unix milliseconds; zero ends it.
    #[n(1)]
    pub until: u64,
}

impl Tend {
    pub(super) fn check(&self) -> Result<(), PayloadError> {
        check_tag(&self.topic)
    }
}

#[cfg(test)]
mod tests;
