//! Bodies of the conversation: asks, notes, posts and what is done to them.

use minicbor::bytes::ByteArray;
use minicbor::{Decode, Encode};

use super::{PayloadError, field_error};
use crate::limits::{
    MAX_MESSAGE_ID_BYTES, MAX_NAME_BYTES, MAX_PROFILE_FIELD_BYTES, MAX_TAG_BYTES, MAX_TAGS,
    MAX_TITLE_BYTES, MAX_WEAVE_DEPS,
};

pub(super) fn check_len(field: &'static str, text: &str, max: usize) -> Result<(), PayloadError> {
    if text.len() > max { Err(field_error(field, "too long")) } else { Ok(()) }
}

pub(super) fn check_title(title: &str) -> Result<(), PayloadError> {
    if title.trim().is_empty() {
        return Err(field_error("title", "empty"));
    }
    check_len("title", title, MAX_TITLE_BYTES)
}

fn check_tags(tags: &[String]) -> Result<(), PayloadError> {
    if tags.len() > MAX_TAGS {
        return Err(field_error("tags", "too many"));
    }
    if tags.iter().any(|t| t.is_empty()) {
        return Err(field_error("tags", "empty tag"));
    }
    tags.iter().try_for_each(|t| check_len("tags", t, MAX_TAG_BYTES))
}

fn check_origin(origin: &Option<Origin>) -> Result<(), PayloadError> {
    origin.as_ref().map_or(Ok(()), Origin::check)
}

/// Where an imported post came from. The entry's author is the importer; this is what the archive
/// claims.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Origin {
    /// Name of the original author.
    #[n(0)]
    pub name: String,
    /// The message's id in the archive.
    #[n(1)]
    pub message_id: String,
    /// The claimed date, Unix seconds; archives hold years such as 99.
    #[n(2)]
    pub claimed: Option<i64>,
    /// The claimed date as written, where it could not be read.
    #[n(3)]
    pub claimed_text: Option<String>,
    /// A plausible date for sorting, Unix seconds, chosen at import.
    #[n(4)]
    pub plausible: i64,
}

impl Origin {
    fn check(&self) -> Result<(), PayloadError> {
        check_len("origin name", &self.name, MAX_NAME_BYTES)?;
        check_len("origin message id", &self.message_id, MAX_MESSAGE_ID_BYTES)?;
        if self.message_id.is_empty() {
            return Err(field_error("origin message id", "empty"));
        }
        self.claimed_text.as_deref().map_or(Ok(()), |t| check_len("origin date", t, MAX_NAME_BYTES))
    }
}

/// What would help the asker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum Help {
    /// Facts.
    #[n(0)]
    Facts,
    /// A document or sample.
    #[n(1)]
    Document,
    /// Someone to talk to.
    #[n(2)]
    Talk,
    /// Just to be heard.
    #[n(3)]
    Heard,
}

/// Opens a thread that asks.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Ask {
    /// One line.
    #[n(0)]
    pub title: String,
    /// The situation.
    #[n(1)]
    pub situation: String,
    /// What must be decided.
    #[n(2)]
    pub decide: Option<String>,
    /// By when, Unix milliseconds.
    #[n(3)]
    pub need_by: Option<u64>,
    /// What was tried.
    #[n(4)]
    pub tried: Option<String>,
    /// What would help.
    #[n(5)]
    pub helps: Option<Vec<Help>>,
    /// Tags given by the asker.
    #[n(6)]
    pub tags: Vec<String>,
    /// For an imported post.
    #[n(7)]
    pub origin: Option<Origin>,
}

impl Ask {
    pub(super) fn check(&self) -> Result<(), PayloadError> {
        check_title(&self.title)?;
        if self.helps.as_ref().is_some_and(|h| h.len() > 4) {
            return Err(field_error("helps", "too many"));
        }
        check_tags(&self.tags)?;
        check_origin(&self.origin)
    }
}

/// Opens a thread that asks nothing: a story, a sample, an agenda.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Note {
    /// One line.
    #[n(0)]
    pub title: String,
    /// The text.
    #[n(1)]
    pub text: String,
    /// Tags given by the author.
    #[n(2)]
    pub tags: Vec<String>,
    /// For an imported post.
    #[n(3)]
    pub origin: Option<Origin>,
}

impl Note {
    pub(super) fn check(&self) -> Result<(), PayloadError> {
        check_title(&self.title)?;
        check_tags(&self.tags)?;
        check_origin(&self.origin)
    }
}

/// What a post is to its thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum PostRole {
    /// Answers its parent.
    #[n(0)]
    Reply,
    /// Tells what was done and how it went.
    #[n(1)]
    Outcome,
}

/// A post in a thread.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Post {
    /// Reply or outcome.
    #[n(0)]
    pub role: PostRole,
    /// The text.
    #[n(1)]
    pub text: String,
    /// For an imported post.
    #[n(2)]
    pub origin: Option<Origin>,
    /// The wording of the question that its author had before them: the heads of the question page,
    /// ascending. None: the first wording.
    #[n(3)]
    pub met: Option<Vec<ByteArray<32>>>,
}

impl Post {
    pub(super) fn check(&self) -> Result<(), PayloadError> {
        let met = self.met.as_deref().unwrap_or_default();
        if met.len() > MAX_WEAVE_DEPS || !met.is_sorted_by(|a, b| a[..] < b[..]) {
            return Err(field_error("met", "too many, or not ascending"));
        }
        check_origin(&self.origin)
    }
}

/// New text for an own post; the history stays.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Edit {
    /// The whole new text.
    #[n(0)]
    pub text: String,
}

impl Edit {
    pub(super) fn check(&self) -> Result<(), PayloadError> {
        Ok(())
    }
}

/// What a reader says without words. No scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum Reaction {
    /// Thanks.
    #[n(0)]
    Thanks,
    /// It helped me.
    #[n(1)]
    Helped,
    /// Been there.
    #[n(2)]
    BeenThere,
}

impl Reaction {
    /// All reactions.
    pub const ALL: [Reaction; 3] = [Reaction::Thanks, Reaction::Helped, Reaction::BeenThere];

    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Reaction::Thanks => "thanks",
            Reaction::Helped => "helped",
            Reaction::BeenThere => "been-there",
        }
    }
}

/// Adds a reaction to a post, or takes own ones back (an observed-remove set).
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct React {
    /// Which reaction.
    #[n(0)]
    pub reaction: Reaction,
    /// False takes back: the reactions that `refs[2..]` names are gone.
    #[n(1)]
    pub on: bool,
}

impl React {
    pub(super) fn check(&self) -> Result<(), PayloadError> {
        Ok(())
    }
}

/// The state of an ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum ThreadState {
    /// Waits for an answer.
    #[n(0)]
    Open,
    /// Somebody is on it.
    #[n(1)]
    Working,
    /// Answered.
    #[n(2)]
    Answered,
    /// Closed.
    #[n(3)]
    Closed,
}

impl ThreadState {
    /// All states.
    pub const ALL: [ThreadState; 4] =
        [ThreadState::Open, ThreadState::Working, ThreadState::Answered, ThreadState::Closed];

    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            ThreadState::Open => "open",
            ThreadState::Working => "working",
            ThreadState::Answered => "answered",
            ThreadState::Closed => "closed",
        }
    }
}

/// Says something about an ask (`refs[1]` is the thread) or about a post in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(flat)]
pub enum Mark {
    /// The ask's state.
    #[n(0)]
    State(#[n(0)] ThreadState),
    /// Whether the post in `refs[1]` is part of the answer.
    #[n(1)]
    Answer(#[n(0)] bool),
}

impl Mark {
    pub(super) fn check(&self) -> Result<(), PayloadError> {
        Ok(())
    }
}

/// Who a member is, in the member's own words.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Profile {
    /// Name shown beside posts. Not unique.
    #[n(0)]
    pub name: String,
    /// Posts held.
    #[n(1)]
    pub posts_held: Option<String>,
    /// Experience.
    #[n(2)]
    pub experience: Option<String>,
    /// "Ask me about".
    #[n(3)]
    pub ask_about: Option<String>,
    /// How to reach me.
    #[n(4)]
    pub reach: Option<String>,
}

impl Profile {
    pub(super) fn check(&self) -> Result<(), PayloadError> {
        if self.name.trim().is_empty() {
            return Err(field_error("name", "empty"));
        }
        check_len("name", &self.name, MAX_NAME_BYTES)?;
        let rest = [&self.posts_held, &self.experience, &self.ask_about, &self.reach];
        rest.into_iter()
            .flatten()
            .try_for_each(|f| check_len("profile field", f, MAX_PROFILE_FIELD_BYTES))
    }
}

/// The community's name and charter, by a steward.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Community {
    /// Name.
    #[n(0)]
    pub name: String,
    /// What members agree to.
    #[n(1)]
    pub charter: Option<String>,
    /// Random, so that two communities of one name and founder differ.
    #[n(2)]
    pub salt: ByteArray<16>,
}

impl Community {
    pub(super) fn check(&self) -> Result<(), PayloadError> {
        if self.name.trim().is_empty() {
            return Err(field_error("name", "empty"));
        }
        check_len("name", &self.name, MAX_NAME_BYTES)?;
        self.charter.as_deref().map_or(Ok(()), |c| check_len("charter", c, MAX_PROFILE_FIELD_BYTES))
    }
}
